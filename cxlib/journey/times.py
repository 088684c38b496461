"""How long do cases take: to a stage, in all, until the customer is back?"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog, first_touch, furthest, returned, settled_until
from cxlib.journey.reach import stage_code
from cxlib.journey.shares import share_table
from cxlib.schema import HOUR, duration

ENDS = ("still under way", "reached", "resolved", "went silent")


@dataclass(frozen=True)
class TimeTo:
    """The answer of `time_to`; `table` has one row per time."""

    table: pd.DataFrame  # hours, share, low, high, resolved, silent, at_risk, n
    stage: str
    n_cases: int
    n_open: int
    time: np.ndarray = field(repr=False)  # per case that sought help: microseconds to its end, or to the end of observation
    end: np.ndarray = field(repr=False)  # and which end that is: a position in ENDS

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Every step of the curve: hours, at_risk, events, competing, incidence."""
        found = stats.cumulative_incidence(self.time, self.end)
        found.insert(0, "hours", found.pop("time") / HOUR)
        return found


@dataclass(frozen=True)
class CaseSummary:
    """The answer of `case_summary` and `sessions`; `table` has one row per case."""

    table: pd.DataFrame  # case_id, customer_id, touches, began_at, ended_at, duration_s, first, last, furthest, is_open
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Returns:
    """The answer of `returns`; `table` has one row per stage."""

    table: pd.DataFrame  # returned, share, low, high, n
    within: str
    n_cases: int  # finished cases that were watched for the whole window
    n_untold: int  # open, or over too recently


_GRID = (0, 1, 2, 4, 8, 12, 24, 36, 48, 72, 96, 120, 144, 168, 240, 336, 504, 720, 1080, 1440, 2160, 4320)  # hours
_ENOUGH = 30  # with fewer cases under way the curve says more about single cases than about the share


def time_to(log: EventLog, stage: str) -> TimeTo:
    """How long after a customer first sought help do they reach `stage`, and how many ever do?

    Returns
    -------
    TimeTo
        `table` has one row per time from 0 h on, while 30 cases (a tenth of a small log) are under way: hours, share (of the
        `n` cases that sought help, 0 to 1, that had reached the stage by then), its 95 % interval by customer, resolved and
        silent (the shares that had ended otherwise: solved by what the export says, or with no further touch), at_risk (cases
        still under way). `curve` has every step.

    Notes
    -----
    Aalen-Johansen: cases that end without reaching the stage compete. All are watched until the log's `gap` before the end of
    observation and censored there: reaching the stage is known at once, silence only after that long, so later times would show
    calls and hardly an end. Cases that sought help later than that are not counted.
    Time runs from the first touch at `problem_from` or further right, so those who went to `stage` at once count at 0 h.
    "Resolved" is a last touch with the outcome solved, or tickets that are all resolved; "went silent" may be solved or given
    up. Intervals: see `stats.incidence_interval`.

    >>> from cxlib.eventlog import from_paths
    >>> time_to(from_paths(a="help phone", b="help"), "phone").table[["hours", "share", "silent"]].head(2)
       hours  share  silent
    0      0    0.0     0.5
    1      1    0.5     0.5
    """
    cases = log.per_case(_times_to, stage=stage_code(log, stage))
    time, end = cases["time"].to_numpy(), cases["end"].to_numpy()
    if not len(time):
        empty = pd.DataFrame(columns=["hours", "share", "low", "high", "resolved", "silent", "at_risk", "n"])
        return TimeTo(empty, stage, 0, 0, time, end)
    hours = np.array([h for h in _GRID if h * HOUR <= time.max()] or [0])
    customer = np.cumsum(cases["is_new_customer"].to_numpy(), dtype=np.int32)
    customer -= 1  # from 0 on, as the interval takes them without a copy
    found = stats.incidence_interval(time, end, customer, hours * HOUR, kinds=len(ENDS) - 1)
    table = pd.DataFrame({"hours": hours, "share": found["incidence"], "low": found["low"], "high": found["high"]})
    table = table.assign(resolved=found["incidence_2"], silent=found["incidence_3"], at_risk=found["at_risk"], n=len(time))
    table = table[table["at_risk"] >= min(_ENOUGH, len(time) / 10)]
    return TimeTo(table, stage, len(time), int((end == 0).sum()), time, end)


def _times_to(log: EventLog, stage: int) -> dict[str, np.ndarray]:
    """For each case that sought help in time: how long to its end (microseconds), which of ENDS, is it its customer's first?"""
    if not log.n_cases:
        return {
            "time": np.empty(0, dtype=np.int64),
            "end": np.empty(0, dtype=np.int8),
            "is_new_customer": np.empty(0, dtype=bool),
        }
    helped = log.stage >= log.problem_from
    sought = first_touch(log, helped)
    # What is reached counts from the first touch that seeks help; stages left of it can be reached later only.
    wanted = log.stage == stage
    if stage < log.problem_from:
        wanted &= np.arange(log.n_touches) >= sought[log.case_of_touch]
    reached = first_touch(log, wanted)
    last = log.n_touches - 1
    start, met = log.at[np.minimum(sought, last)], reached < log.n_touches
    end = np.where(met, log.at[np.minimum(reached, last)], log.case_end)
    kind = np.full(log.n_cases, ENDS.index("went silent"), dtype=np.int8)
    kind[log.case_resolved | (log.solved[log.case_start[1:] - 1] == 1)] = ENDS.index("resolved")
    kind[met] = ENDS.index("reached")
    limit = settled_until(log)
    under_way = (log.case_open & ~met) | (end > limit)
    kind[under_way] = ENDS.index("still under way")
    told = np.flatnonzero((sought <= last) & (start <= limit))  # later than the limit nothing can be said
    time, customer = np.where(under_way, limit, end) - start, log.customer_of_case.take(told)
    is_new = np.append(True, customer[1:] != customer[:-1])[: len(told)]
    return {"time": time.take(told), "end": kind.take(told), "is_new_customer": is_new}


def case_summary(log: EventLog) -> CaseSummary:
    """What did each case look like from outside?

    Returns
    -------
    CaseSummary
        `table` has one row per case: case_id, customer_id, touches, began_at, ended_at (last touch), duration_s (between the
        two), first, last and furthest stage, is_open.

    >>> from cxlib.eventlog import from_paths
    >>> case_summary(from_paths(a="help phone help")).table[["touches", "duration_s", "last", "furthest"]]
       touches  duration_s  last furthest
    0        3        7200  help    phone
    """
    table = log.case_labels().join(log.per_case(_summaries))
    for name in ("began_at", "ended_at"):
        table[name] = table[name].astype("datetime64[us, UTC]")
    for name in ("first", "last", "furthest"):
        table[name] = pd.Categorical.from_codes(table[name].to_numpy(), list(log.stages), ordered=True)
    return CaseSummary(table, log.stages)


def _summaries(log: EventLog) -> dict[str, np.ndarray]:
    first, last = log.case_start[:-1], log.case_start[1:] - 1
    start, end = log.at[first], log.at[last]
    return {
        "touches": np.diff(log.case_start).astype(np.int32),
        "began_at": start,
        "ended_at": end,
        "duration_s": (end - start) // 1_000_000,
        "first": log.stage[first],
        "last": log.stage[last],
        "furthest": furthest(log).astype(np.uint8),
        "is_open": log.case_open,
    }


def sessions(log: EventLog, gap: str) -> CaseSummary:
    """What did each session look like? A new one begins when a case paused longer than `gap`, such as "30min".

    `table` as in `case_summary`, one row per session. `log.split_sessions(gap)` is the log behind it, for any other question.

    >>> from cxlib.eventlog import from_paths
    >>> sessions(from_paths(a="help phone", step="2h"), "1h").table["touches"].tolist()
    [1, 1]
    """
    return case_summary(log.split_sessions(gap))


def returns(log: EventLog, within: str = "7d") -> Returns:
    """How many customers are back with another problem soon after a case ended, by the stage where it ended?

    Returns
    -------
    Returns
        `table` has one row per stage: returned (finished cases after whose end the customer began another case that sought
        help, up to `within` later), their share of the `n` finished cases that ended there, 95 % interval by customer.

    Notes
    -----
    Only cases whose end lies at least `within` before the end of observation count: the newest weeks would read too low.

    >>> from cxlib.eventlog import from_paths
    >>> log = from_paths(a="help phone", a__2="help", b="help", step="1h")
    >>> int(returns(log).table["returned"].sum())  # a's two cases begin at the same time: neither follows the other
    0
    """
    sums = log.add_up(_return_sums, within=duration(within))
    table = share_table(sums[:, :-1], pd.Index(log.stages, name="stage"), "returned")
    return Returns(table, within, int(sums[2, :-1].sum()), int(sums[1, -1]))


def _return_sums(log: EventLog, within: int) -> np.ndarray:
    """Sums for the share of each last stage; the last column counts the cases of which it cannot be told."""
    k = len(log.stages)
    back = returned(log, within)
    last = log.stage[log.case_start[1:] - 1].astype(np.int64)
    counted = back >= 0
    cell = log.customer_of_case[counted] * k + last[counted]
    n = np.bincount(cell, minlength=log.n_customers * k)
    y = np.bincount(cell, weights=back[counted], minlength=log.n_customers * k).astype(np.int64)
    untold = np.zeros((6, 1), dtype=np.int64)
    untold[1] = (~counted).sum()
    return np.hstack([stats.ratio_sums(y.reshape(-1, k), n.reshape(-1, k)), untold])
