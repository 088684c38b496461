"""How far right do cases go, where do they end, who is forced to call, and how do they feel on the way?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import MODES, NO_MOOD, EventLog, first_touch, furthest, mature, stepped
from cxlib.journey.shares import share_table, sums_by_code
from cxlib.schema import DataError, duration, nearest


@dataclass(frozen=True)
class Funnel:
    """The answer of `funnel`; `table` has one row per stage or step."""

    table: pd.DataFrame  # reached, share, low, high, n
    n_cases: int
    n_customers: int
    n_immature: int  # younger than the window, not counted
    n_open: int  # counted, but not over yet: they may still go further right
    by: str
    mode: str
    within: str | None
    log: EventLog = field(repr=False)
    asked: dict = field(repr=False)  # how the kernel was asked: what a drill-down asks again

    def cases_at(self, step: str) -> pd.DataFrame:
        """Which cases are counted in the row of `step`? One row per case: case_id, customer_id; as many as `reached` says.

        `step` is a name from the index of `table`. With by="user" one row per customer, whose id stands in both columns.

        >>> from cxlib.eventlog import from_paths
        >>> funnel(from_paths(a="help", b="help phone")).cases_at("phone")["case_id"].tolist()
        ['b']
        """
        names = list(self.table.index)
        if step not in names:
            raise DataError(f"{step!r} is not in this funnel: {nearest(str(step), names)}")
        units = self.log.by_customer() if self.by == "user" else self.log
        depth = units.per_case(_depths, **self.asked)["depth"].to_numpy()
        return units.case_labels()[depth >= names.index(step)].reset_index(drop=True)


@dataclass(frozen=True)
class Ends:
    """The answer of `ends`; `table` has one row per stage."""

    table: pd.DataFrame  # ended, share, low, high, n
    n_open: int


@dataclass(frozen=True)
class Forced:
    """The answer of `forced_to_call`; `table` has one row per way a case went."""

    table: pd.DataFrame  # cases, share, low, high, n
    n_cases: int
    n_customers: int
    n_open: int
    escalation: str
    problem_from: str
    log: EventLog = field(repr=False)

    def cases_at(self, outcome: str) -> pd.DataFrame:
        """Which cases went this way? One row per case: case_id, customer_id; as many as `table` counts.

        >>> from cxlib.eventlog import from_paths
        >>> forced_to_call(from_paths(a="help", b="help phone")).cases_at(FORCED)["case_id"].tolist()
        ['b']
        """
        if outcome not in OUTCOMES:
            raise DataError(f"{outcome!r} is not an outcome: {nearest(str(outcome), OUTCOMES)}")
        code = self.log.per_case(outcome_codes)["outcome"].to_numpy()
        return self.log.case_labels()[code == OUTCOMES.index(outcome)].reset_index(drop=True)


@dataclass(frozen=True)
class Mood:
    """The answer of `mood`; `table` has one row per stage."""

    table: pd.DataFrame  # mood, low, high, n (touches with a mood), touches


_YOUNG = -2
FORCED, CALLED_FIRST, SPARED = OUTCOMES = ("forced to call", "called first", "did not call")


def funnel(
    log: EventLog, steps: Sequence[str] | None = None, *, mode: str = "open", within: str | None = None, by: str = "case"
) -> Funnel:
    """How many cases went at least this far right? (With `steps`: how many took those steps in order.)

    Parameters
    ----------
    log : EventLog
        One row per touch; row order does not matter.
    steps : sequence of str, optional
        Stages to be taken in this order, other touches between them allowed. One that is named again must be taken again.
    mode : str
        With `steps`: "open" (other touches may lie between two steps), "closed" (likewise, and the case begins with the first
        step), "strict" (each step directly after the one before) or "any-order" (row k: the first k steps were all taken).
    within : str, optional
        Only touches up to this long after the case began (with `steps`: after the first step) count, such as ``"7d"``. Cases
        that have not had that long are left out and counted in `n_immature`.
    by : str
        "case", or "user": then all touches of a customer are taken together.

    Returns
    -------
    Funnel
        `table` has one row per stage or step: ``reached`` (cases), ``share`` (of all `n` mature cases, 0 to 1), 95 % interval.
        A step that is named again has a row of its own, "help (2)".

    Raises
    ------
    UnitError
        If `within` has no unit: ``7`` could be days or hours.
    DataError
        If a step is not a stage of the log, or is named twice in "any-order", or a mode is unknown.

    Notes
    -----
    The unit is the case, not the touch: three calls in one case count once. A case that began at the phone has "reached" every
    stage to its left, so `reached` never rises from left to right; it is *not* the number of cases that used a stage. Cases
    still open count as far as they have come.

    References
    ----------
    Cochran (1977), Sampling Techniques, section 6 (ratio estimate over clusters).

    Examples
    --------
    Three cases: one ends in help, one in the chatbot, one calls.

    >>> from cxlib.eventlog import from_paths
    >>> funnel(from_paths(a="help", b="help chatbot", c="product phone")).table[["reached", "share"]].round(2)
             reached  share
    stage
    product        3   1.00
    help           3   1.00
    chatbot        2   0.67
    agent          1   0.33
    phone          1   0.33
    """
    if mode not in MODES:
        raise DataError(f"mode={mode!r} is not known: {nearest(str(mode), MODES)}")
    if by not in ("case", "user"):
        raise DataError(f"by={by!r} is not known: {nearest(str(by), ['case', 'user'])}")
    if steps is not None and not len(steps):
        raise DataError(f"steps is empty: name at least one of {', '.join(log.stages)}")
    if steps is not None and mode == "any-order" and len(set(steps)) < len(steps):
        raise DataError("steps names one stage twice: in any order each step can be asked for once")
    codes = None if steps is None else tuple(stage_code(log, step) for step in steps)
    names = pd.Index(log.stages if steps is None else _told_apart(steps), name="stage" if steps is None else "step")
    asked: dict[str, Any] = {"steps": codes, "within": None if within is None else duration(within), "mode": mode}
    sums = log.add_up(_funnel_sums, by=by, **asked)
    n_immature, n_open = int(sums[6, 0]), int(sums[6, 1])
    table = share_table(sums[:6, 1:], names, "reached")
    if steps is None and sums[2, 0]:
        table.loc[names[0], ["low", "high"]] = 1.0  # every case has reached the leftmost stage: nothing is estimated
    return Funnel(table, int(sums[2, 0]), int(sums[0, 0]), n_immature, n_open, by, mode, within, log, asked)


def _told_apart(steps: Sequence[str]) -> list[str]:
    """The steps as names of rows: one that was named before gets its number.

    >>> _told_apart(["help", "phone", "help"])
    ['help', 'phone', 'help (2)']
    """
    rows: list[str] = []
    for step in steps:
        numbered = chain([step], (f"{step} ({number})" for number in count(2)))
        rows.append(next(name for name in numbered if name not in rows))
    return rows


def _funnel_sums(log: EventLog, steps: tuple[int, ...] | None, within: int | None, mode: str, by: str) -> np.ndarray:
    """Sums for the share of each level, after a first column for all that are counted; last row: immature, open."""
    units = log.by_customer() if by == "user" else log
    depth = _depths(units, steps, within, mode)["depth"].astype(np.int64)
    levels = len(log.stages) if steps is None else len(steps)
    aside = np.zeros((1, levels + 1), dtype=np.int64)
    aside[0, :2] = (depth == _YOUNG).sum(), (units.case_open & (depth != _YOUNG)).sum()
    return np.vstack([sums_by_code(units, depth + 1, levels + 1, at_least=True), aside])


def _depths(log: EventLog, steps: tuple[int, ...] | None, within: int | None, mode: str) -> dict[str, np.ndarray]:
    """For each case the position of the furthest level it reached, -1 for none, `_YOUNG` if not observed long enough."""
    kept = mature(log, within)
    if steps is None:
        depth = furthest(log, within)
    else:  # the window runs from the first step, where it was taken
        taken, first_step = stepped(log, steps, within, mode)
        depth = taken - 1
        kept &= first_step <= log.observed_until - (within or 0)
    return {"depth": np.where(kept, depth, _YOUNG).astype(np.int8)}


def stage_code(log: EventLog, stage: str) -> int:
    """The position of a stage; raises DataError where the log has none of that name."""
    if stage not in log.stages:
        raise DataError(f"{stage!r} is not a stage: {nearest(str(stage), log.stages)}")
    return log.stages.index(stage)


def ends(log: EventLog) -> Ends:
    """At which stage was the last touch of the cases that are over?

    Returns
    -------
    Ends
        `table` has one row per stage: ended (cases), share of all `n` finished cases (0 to 1, they sum to 1) and its 95 %
        interval by customer. Open cases are counted in `n_open`.

    >>> from cxlib.eventlog import from_paths
    >>> ends(from_paths(a="help phone help", b="help")).table["ended"].to_dict()
    {'product': 0, 'help': 2, 'chatbot': 0, 'agent': 0, 'phone': 0}
    """
    sums = log.add_up(_end_sums)
    return Ends(share_table(sums[:, :-1], pd.Index(log.stages, name="stage"), "ended"), int(sums[1, -1]))


def _end_sums(log: EventLog) -> np.ndarray:
    """Sums for the share of each stage among the last touches of finished cases; the last column counts the open cases."""
    last = log.stage[log.case_start[1:] - 1].astype(np.int64) if log.n_cases else np.empty(0, dtype=np.int64)
    sums = sums_by_code(log, np.where(log.case_open, -1, last), len(log.stages))
    n_open = np.zeros((6, 1), dtype=np.int64)
    n_open[1] = log.case_open.sum()
    return np.hstack([sums, n_open])


def forced_to_call(log: EventLog) -> Forced:
    """Of the cases that sought help, how many reached the last resort after trying something to its left?

    Returns
    -------
    Forced
        `table` has three rows: forced to call (a touch at `problem_from` or further right, left of the escalation stage,
        before the first escalation), called first (no such touch before it) and did not call. Each has its count of cases, its
        share of all `n` cases that sought help (0 to 1) and the 95 % interval by customer.

    Notes
    -----
    Being forced and calling first mean different things and are never summed silently. Cases without a touch at
    `problem_from` or further right did not seek help and are not counted. An open case that has not called yet counts as
    "did not call" and may still move: `n_open` says how many of the cases that sought help those are.

    >>> from cxlib.eventlog import from_paths
    >>> forced_to_call(from_paths(a="product help phone", b="product phone", c="chatbot", d="product")).table["cases"].to_dict()
    {'forced to call': 1, 'called first': 1, 'did not call': 1}
    """
    sums = log.add_up(_forced_sums)
    table = share_table(sums[:, :3], pd.Index(OUTCOMES, name="outcome"), "cases")
    names = log.stages[log.escalation], log.stages[log.problem_from]
    return Forced(table, int(sums[2, 0]), int(sums[0, 0]), int(sums[1, 3]), *names, log)


def outcome_codes(log: EventLog) -> dict[str, np.ndarray]:
    """One code per case, a position in `OUTCOMES`; -1 for cases that sought no help."""
    if not log.n_cases:
        return {"outcome": np.empty(0, dtype=np.int8)}
    never = log.n_touches
    sought = furthest(log) >= log.problem_from
    called = first_touch(log, log.stage == log.escalation)
    tried = first_touch(log, (log.stage >= log.problem_from) & (log.stage < log.escalation))
    return {"outcome": np.select([~sought, called == never, tried < called], [-1, 2, 0], 1).astype(np.int8)}


def _forced_sums(log: EventLog) -> np.ndarray:
    """Sums for the share of each outcome; the last column counts the open cases that have not called."""
    code = outcome_codes(log)["outcome"].astype(np.int64)
    n_open = np.zeros((6, 1), dtype=np.int64)
    n_open[1] = (log.case_open & (code == 2)).sum()
    return np.hstack([sums_by_code(log, code, 3), n_open])


def mood(log: EventLog) -> Mood:
    """How do customers feel at each stage?

    Returns
    -------
    Mood
        `table` has one row per stage: mood (mean over touches that have one, -1 to 1), its 95 % interval by customer, `n`
        (touches with a mood) and touches. A stage without any has NaN.

    Notes
    -----
    The mood of those whose mood is known: where it is missing for a reason, the mean misleads; `n` beside `touches` shows it.

    >>> from cxlib.eventlog import from_paths
    >>> int(mood(from_paths(a="help phone")).table["n"].sum())
    0
    """
    sums = log.add_up(_mood_sums)
    columns = dict(zip(("mood", "low", "high"), (x / 1000 for x in stats.mean_from_sums(sums[:6])), strict=True))
    return Mood(pd.DataFrame(columns | {"n": sums[2], "touches": sums[6]}, index=pd.Index(log.stages, name="stage")))


def _mood_sums(log: EventLog) -> np.ndarray:
    known = log.mood != NO_MOOD
    shape = (log.n_customers, len(log.stages))
    cell = (log.customer_of_case[log.case_of_touch] * shape[1] + log.stage)[known]
    total = np.bincount(cell, weights=log.mood[known], minlength=shape[0] * shape[1]).reshape(shape)
    sums = stats.ratio_sums(np.rint(total).astype(np.int64), np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape))
    return np.vstack([sums, np.bincount(log.stage, minlength=shape[1])])
