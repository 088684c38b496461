"""Whom did it happen to? A few cases behind a number, touch by touch, de-identified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from cxlib.eventlog import NO_MOOD, EventLog, furthest
from cxlib.redact import Gazetteer, gazetteer, redact
from cxlib.schema import HOUR
from cxlib.store import Dataset

LONGEST = 16  # touches shown of one case: the first twelve and the last four


@dataclass(frozen=True)
class Stories:
    """Typical cases of a group and one that does not fit."""

    table: pd.DataFrame  # one row per touch shown: case, touch (from 1), when, stage, action, said, wait_s, mood
    cases: pd.DataFrame  # one row per case: case, is_typical, touches, hours, furthest
    n_cases: int  # in the group


def of_cases(
    dataset: Dataset, log: EventLog, case_ids: Iterable[str], n: int = 3, seed: int = 0, known: Gazetteer | None = None
) -> Stories:
    """Whom did it happen to? `n` typical cases of the group, and the one that fits least.

    Parameters
    ----------
    dataset, log
        The data set and its compiled log.
    case_ids : iterable of str
        The group behind a number; ids that the log does not hold are passed over.
    n : int
        How many typical cases; the odd one comes on top, in groups of more than `n` cases.
    seed : int
        Decides between cases that are equally typical.
    known : Gazetteer, optional
        Names to redact; by default those of the data set's users and agents.

    Returns
    -------
    Stories
        `table` has one row per touch: case (A, B, ...; no id), when ("day 2, 09:14", in the data set's time zone, counted from
        the case's first touch), stage, action, what the customer wrote (the ticket's short description, redacted, at its first
        touch), seconds of waiting and mood (-1 to 1). What the data set lacks is missing. Long cases are cut in the middle.

    Notes
    -----
    Typical is near the middle of the group (the median) in number of touches, furthest stage and duration, counts and durations
    on a log scale, each in units of its spread; of one customer at most one case. What does not fit is what lies furthest away.
    Neither is a random sample: the stories show what the number means, they prove nothing.

    >>> from cxlib.eventlog import from_paths
    >>> log = from_paths(a="help phone", b="help phone", c="help help help chatbot agent phone")
    >>> of_cases(None, log, ["a", "b", "c"], n=1).cases[["case", "is_typical", "touches", "furthest"]]
      case  is_typical  touches furthest
    0    A        True        2    phone
    1    B       False        6    phone
    """
    group = np.flatnonzero(np.isin(log.case_id, np.array(list(case_ids), dtype=object)))
    chosen, is_typical = _choose(log, group, n, seed)
    if known is None:
        known = gazetteer(dataset.tables if dataset is not None else {})
    names = [ascii_uppercase[i % 26] * (1 + i // 26) for i in range(len(chosen))]
    touches = [_shown(log.case_start[case], log.case_start[case + 1]) for case in chosen]
    told = _details(dataset, log.touchpoint_id[np.concatenate(touches)]) if len(chosen) else pd.DataFrame()
    parts = [_tell(log, name, rows, told, known) for name, rows in zip(names, touches, strict=True)]
    cases = pd.DataFrame(
        {
            "case": names,
            "is_typical": is_typical,
            "touches": np.diff(log.case_start)[chosen],
            "hours": (log.at[log.case_start[chosen + 1] - 1] - log.at[log.case_start[chosen]]) / HOUR,
            "furthest": np.array(log.stages, dtype=object)[furthest(log)[chosen]],
        }
    )
    return Stories(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS), cases, len(group))


_COLUMNS = ["case", "touch", "when", "stage", "action", "said", "wait_s", "mood"]


def _choose(log: EventLog, group: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, list[bool]]:
    """The `n` cases nearest to the middle of the group, one per customer, and the furthest one."""
    away = _distance(log, group)
    lot = [hashlib.sha256(f"{seed} {case}".encode()).digest() for case in log.case_id[group]]
    ordered = sorted(range(len(group)), key=lambda i: (round(float(away[i]), 9), lot[i]))
    typical: dict[int, int] = {}
    for i in ordered:
        if len(typical) < n:
            typical.setdefault(int(log.customer_of_case[group[i]]), i)
    kept = list(typical.values())
    odd = [i for i in ordered[-1:] if i not in kept and len(group) > n]
    return group[np.array(kept + odd, dtype=np.int64)], [True] * len(kept) + [False] * len(odd)


def _distance(log: EventLog, group: np.ndarray) -> np.ndarray:
    """How far is each case from the middle of the group?"""
    first, end = log.case_start[group], log.case_start[group + 1]
    hours = (log.at[end - 1] - log.at[first]) / HOUR
    looks = np.column_stack([np.log1p(end - first), furthest(log)[group], np.log1p(hours)]).astype(float)
    if not len(group):
        return np.empty(0)
    spread = looks.std(axis=0)
    return np.sqrt((((looks - np.median(looks, axis=0)) / np.where(spread > 0, spread, 1)) ** 2).sum(axis=1))


def _shown(first: int, end: int) -> np.ndarray:
    rows = np.arange(first, end)
    return rows if len(rows) <= LONGEST else np.concatenate([rows[: LONGEST - 4], rows[-4:]])


def _details(dataset: Dataset | None, touchpoint_ids: Sequence[str]) -> pd.DataFrame:
    """What the tables add to these touches, by touchpoint_id: ticket_id, wait_s, said."""
    wanted = pd.DataFrame({"touchpoint_id": list(map(str, touchpoint_ids))})
    empty = wanted.assign(ticket_id=None, wait_s=np.nan, said=None)
    if dataset is None:
        return empty.set_index("touchpoint_id")
    if "touchpoints" in dataset.queries:
        touches = _read(dataset, "touchpoints", "touchpoint_id", wanted["touchpoint_id"], ["ticket_id", "wait_s"])
    else:  # the log was made from tickets: each is one touch
        touches = wanted.assign(ticket_id=wanted["touchpoint_id"], wait_s=np.nan)
    if "tickets" not in dataset.queries:
        return touches.assign(said=None).set_index("touchpoint_id")
    tickets = _read(dataset, "tickets", "ticket_id", touches["ticket_id"].dropna(), ["short_description", "description"])
    said = tickets["short_description"].where(tickets["short_description"].notna(), tickets["description"])
    return touches.assign(said=touches["ticket_id"].map(said.set_axis(tickets["ticket_id"]))).set_index("touchpoint_id")


def _read(dataset: Dataset, table: str, key: str, ids: Iterable[str], columns: list[str]) -> pd.DataFrame:
    """The rows of a table with these keys; a column that it does not have is missing."""
    query = dataset.queries[table]
    has = {row[0] for row in dataset.connection.execute(f"DESCRIBE {query}").fetchall()}
    wanted = ", ".join(name if name in has else f"NULL AS {name}" for name in columns)
    found = f"SELECT {key}, {wanted} FROM ({query}) WHERE {key} IN (SELECT unnest(?::VARCHAR[]))"
    return dataset.connection.execute(found, [list(map(str, ids))]).df()


def _tell(log: EventLog, name: str, rows: np.ndarray, told: pd.DataFrame, known: Gazetteer) -> pd.DataFrame:
    """The touches of one case."""
    about = told.reindex(log.touchpoint_id[rows])
    first_of_ticket = (about["ticket_id"].notna() & ~about["ticket_id"].duplicated()).to_numpy()
    mood = log.mood[rows].astype(float)
    return pd.DataFrame(
        {
            "case": name,
            "touch": rows - log.case_start[log.case_of_touch[rows[0]]] + 1,
            "when": _when(log, rows),
            "stage": np.array(log.stages, dtype=object)[log.stage[rows]],
            "action": [redact(log.actions[code], known) for code in log.action[rows]],
            "said": [
                redact(text, known) if is_first and isinstance(text, str) else None
                for text, is_first in zip(about["said"], first_of_ticket, strict=True)
            ],
            "wait_s": about["wait_s"].to_numpy(dtype=float),
            "mood": np.where(mood == NO_MOOD, np.nan, mood / 1000),
        },
        columns=_COLUMNS,
    )


def _when(log: EventLog, rows: np.ndarray) -> list[str]:
    """Local times as people say them, days counted from the case's first touch."""
    start = log.case_start[log.case_of_touch[rows[0]]]
    local = (
        pd.to_datetime(log.at[np.append(start, rows)], unit="us", utc=True).tz_convert(ZoneInfo(log.timezone)).tz_localize(None)
    )
    days = (local.normalize() - local[0].normalize()).days
    return [f"day {day + 1}, {time:%H:%M}" for day, time in zip(days[1:], local[1:], strict=True)]
