"""What `dataset.toml` may say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from cxlib.schema import ESCALATION, PROBLEM_FROM, STAGES, DataError, duration, nearest

ARROW = " > "  # between the stages of a path


@dataclass(frozen=True)
class Settings:
    """What `dataset.toml` says; times are UTC, None where the file leaves them to the tables."""

    name: str = "unnamed"
    timezone: str = "UTC"
    observed_from: pd.Timestamp | None = None
    observed_until: pd.Timestamp | None = None
    stages: tuple[str, ...] = STAGES
    escalation: str = ESCALATION
    problem_from: str = PROBLEM_FROM
    cases_by: str = "user_id"
    cases_gap: str = "7d"
    cost: Mapping[str, float] = field(default_factory=dict)

    def as_toml(self) -> dict:
        """The settings with the keys of `dataset.toml`."""
        plain: dict = {"name": self.name, "timezone": self.timezone}
        for name in ("observed_from", "observed_until"):
            if (time := getattr(self, name)) is not None:
                plain[name] = time.to_pydatetime()
        plain |= {"stages": list(self.stages), "escalation": self.escalation, "problem_from": self.problem_from}
        return (
            plain | {"cases": {"by": self.cases_by, "gap": self.cases_gap}} | ({"cost": dict(self.cost)} if self.cost else {})
        )


def read_settings(plain: Mapping, where: str = "dataset.toml") -> Settings:
    """The settings in a parsed `dataset.toml`; raises DataError for an unknown key or a value that cannot be.

    >>> read_settings({"name": "shop", "stages": ["app", "phone"]}).problem_from
    'app'
    >>> read_settings({"nmae": "shop"})
    Traceback (most recent call last):
    cxlib.schema.DataError: dataset.toml: unknown key nmae: did you mean name? Allowed: name, timezone, observed_from, \
observed_until, stages, escalation, problem_from, cases, cost
    """
    allowed = ["name", "timezone", "observed_from", "observed_until", "stages", "escalation", "problem_from", "cases", "cost"]
    _refuse_unknown(plain, allowed, where)
    cases, cost = plain.get("cases", {}), plain.get("cost", {})
    _refuse_unknown(cases, ["by", "gap"], f"{where} [cases]")
    zone = _zone(plain.get("timezone", "UTC"), where)
    stages = stage_names(plain.get("stages", STAGES), where)
    _refuse_unknown(cost, stages, f"{where} [cost]")
    if bad := [stage for stage, price in cost.items() if isinstance(price, bool) or not isinstance(price, (int, float))]:
        raise DataError(f"{where} [cost]: {bad[0]} = {cost[bad[0]]!r} is not a number")
    escalation = plain.get("escalation", ESCALATION if ESCALATION in stages else stages[-1])
    problem_from = plain.get("problem_from", PROBLEM_FROM if PROBLEM_FROM in stages else stages[0])
    for key, stage in (("escalation", escalation), ("problem_from", problem_from)):
        if stage not in stages:
            raise DataError(f"{where}: {key} = {stage!r} is not one of the stages: {nearest(str(stage), stages)}")
    if stages.index(problem_from) > stages.index(escalation):
        raise DataError(f"{where}: problem_from ({problem_from}) stands to the right of escalation ({escalation})")
    by, gap = cases.get("by", "user_id"), str(cases.get("gap", "7d"))
    if by != "user_id":
        raise DataError(f'{where} [cases]: by = {by!r} is not known: write by = "user_id"')
    duration(gap, "gap")
    first, last = (_moment(plain.get(name), zone, f"{where}: {name}") for name in ("observed_from", "observed_until"))
    if first is not None and last is not None and first > last:
        raise DataError(f"{where}: observed_from lies after observed_until")
    return Settings(
        str(plain.get("name", "unnamed")), str(zone), first, last, stages, escalation, problem_from, by, gap, dict(cost)
    )


def stage_names(stages: object, where: str) -> tuple[str, ...]:
    """The names of the stages from left to right; raises DataError where they cannot be told apart, alone or in a path.

    >>> stage_names(["app", "app > call"], "dataset.toml")
    Traceback (most recent call last):
    cxlib.schema.DataError: dataset.toml: stage 'app > call' holds ' > ', which stands between the stages of a path: name it \
otherwise, such as 'app - call'
    """
    if not isinstance(stages, (list, tuple)) or not 1 <= len(stages) <= 15 or not all(isinstance(s, str) and s for s in stages):
        raise DataError(f"{where}: stages must be a list of 1 to 15 names from left to right, such as {list(STAGES)}")
    if len(set(stages)) < len(stages):
        raise DataError(f"{where}: stages names one stage twice: {', '.join(stages)}")
    if joined := [stage for stage in stages if ARROW in f" {stage} "]:  # a sign at the end of a name misleads as well
        other = joined[0].replace(">", "-")
        raise DataError(
            f"{where}: stage {joined[0]!r} holds {ARROW!r}, which stands between the stages of a path: "
            f"name it otherwise, such as {other!r}"
        )
    return tuple(stages)


def _refuse_unknown(plain: Mapping, allowed: Sequence[str], where: str) -> None:
    if not isinstance(plain, Mapping):
        raise DataError(f"{where} must be a table of {', '.join(allowed)}")
    for key in plain:
        if key not in allowed:
            raise DataError(f"{where}: unknown key {key}: {nearest(str(key), allowed)}")


def _zone(name: object, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(
            f'{where}: timezone = {name!r} is not an IANA time zone: write one like "Europe/Berlin" or "UTC"'
        ) from None


def _moment(value: object, zone: ZoneInfo, where: str) -> pd.Timestamp | None:
    """A time as `dataset.toml` may hold it; without an offset it is local."""
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, date) else str(value)
    try:
        if not re.match(r"\d{4}-\d\d-\d\d", text):
            raise ValueError
        time = pd.Timestamp(text)
        return (time.tz_localize(zone) if time.tzinfo is None else time).tz_convert("UTC").as_unit("us")
    except ValueError:  # also a local time that does not exist, or exists twice
        raise DataError(f"{where} = {text!r} is not a time: write one with its offset, like 2026-10-01T00:00:00Z") from None
