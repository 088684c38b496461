"""What became of each case in its first days: the measures that the scorecard and the comparisons share.

Every measure is a pair of whole numbers per case, y of n, so that it adds up by customer, period or segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from cxlib.eventlog import NO_MOOD, NO_WAIT, EventLog, began, first_touch
from cxlib.journey.reach import FORCED
from cxlib.schema import DataError, nearest

DAY = 86_400_000_000
RETURN = 7 * DAY
CALLS, MOOD, BACK = "calls per 1,000 cases", "mood along the journey", "back within 7 days"
AT_LEAST, AT_MOST, NO_FURTHER = "solved, at least", "solved, at most", "went no further"
FIRST_CONTACT, HOLD = "first-contact resolution", "hold time"
ENOUGH = 30  # with fewer cases (or touches) in one of two groups nothing is compared
NO_LABEL = "(none)"  # the segment of cases without a label
Labels: TypeAlias = Sequence | np.ndarray | pd.Series  # one label per case, in the order of the log
TOLD = "said whether solved"  # how many cases AT_LEAST can speak of; never shown by itself


class Measure(NamedTuple):
    """How a measure is read: in units of y / n times `scale`; `share` has an interval within 0 and 1."""

    unit: str
    rising_is_better: bool
    scale: float = 1.0
    share: bool = True


MEASURES = {
    FORCED: Measure("share", False),
    CALLS: Measure("per 1,000", False, 1000.0, share=False),
    MOOD: Measure("-1 to 1", True, 0.001, share=False),
    BACK: Measure("share", False),
    AT_LEAST: Measure("share", True),
    AT_MOST: Measure("share", True),
    NO_FURTHER: Measure("share", True),
    FIRST_CONTACT: Measure("share", True),
    HOLD: Measure("seconds", False, 1.0, share=False),
    TOLD: Measure("share", True),
}
OF_CASES = (FORCED, CALLS, MOOD, BACK)  # the global ones: they ask nothing of a single stage


@dataclass(frozen=True)
class Window:
    """A log with what its cases did in their first days."""

    log: EventLog
    inside: np.ndarray  # per touch: at most so long after its case began
    far: np.ndarray  # per case: the rightmost stage inside
    sought: np.ndarray  # per case: sought help inside
    back: np.ndarray  # per case: sought help again within 7 days of its last touch that sought help


def window(log: EventLog, within: int) -> Window:
    """Look at the touches of each case up to `within` microseconds after it began, and at who came back.

    A case came back if, in the 7 days after its last touch at `problem_from` or further right, it was touched there again
    beyond the window, or another case of the same customer began to seek help.

    >>> from cxlib.eventlog import from_paths
    >>> seen = window(from_paths(a="help product phone"), within=3_600_000_000)
    >>> seen.far.tolist(), seen.back.tolist()
    ([1], [True])
    """
    if not log.n_cases:
        none = np.empty(0, dtype=bool)
        return Window(log, none, none.astype(np.int16), none, none)
    inside = log.at - began(log)[log.case_of_touch] <= within
    seeking = log.stage >= log.problem_from
    start = log.case_start[:-1]
    never = np.iinfo(np.int64).min
    last = np.maximum.reduceat(np.where(inside & seeking, log.at, never), start)
    sought = last > never
    later = first_touch(log, seeking & ~inside)
    again = _time(log, later) - np.where(sought, last, 0)
    back = sought & (((later < log.n_touches) & (again <= RETURN)) | _another_case(log, last))
    far = np.maximum.reduceat(np.where(inside, log.stage, 0).astype(np.int16), start)
    return Window(log, inside, far, sought, back)


def _time(log: EventLog, touch: np.ndarray) -> np.ndarray:
    return log.at[np.minimum(touch, log.n_touches - 1)]


def _another_case(log: EventLog, last: np.ndarray) -> np.ndarray:
    """Did another case of the same customer begin to seek help within 7 days after `last`?"""
    several = np.repeat(np.diff(log.customer_start) > 1, np.diff(log.customer_start))
    first = first_touch(log, log.stage >= log.problem_from)
    begins, asks = np.flatnonzero(several & (first < log.n_touches)), np.flatnonzero(several)
    customer = log.customer_of_case[np.concatenate([begins, asks])]
    time = np.concatenate([_time(log, first[begins]), last[asks]])
    asking = np.arange(len(time)) >= len(begins)
    order = np.lexsort((asking, time, customer))  # at one time a beginning comes first: it is not after what ends then
    ahead = np.where(asking[order], len(time), np.arange(len(time)))
    ahead = np.minimum.accumulate(ahead[::-1])[::-1]
    found = np.minimum(ahead, len(time) - 1)
    near = (ahead < len(time)) & (customer[order][found] == customer[order]) & (time[order][found] <= time[order] + RETURN)
    came = np.zeros(len(time), dtype=bool)
    came[order] = near
    back = np.zeros(log.n_cases, dtype=bool)
    back[asks] = came[len(begins) :]
    return back


def measured(seen: Window, name: str, stage: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """A measure of each case: y and n, whole numbers; n is 0 where the measure does not speak of the case.

    - forced to call: touched the escalation stage after trying something to its left, of the cases that sought help.
    - calls per 1,000 cases: touches at the escalation stage, of the cases that sought help.
    - mood along the journey: the mean mood of a case's touches (whole thousandths); each case counts once, however long it is.
    - back within 7 days: see `window`, of the cases that sought help.
    - went no further: of the cases with a touch at `stage`, those without one further right.
    - solved, at most: of them, those that did not come back either. Some are solved, some have given up: a log cannot tell.
    - solved, at least: of them, those whose last touch at `stage` the export calls solved.
    - first-contact resolution: one touch at `stage`, none further right, not back; of the cases with a touch there.
    - hold time: whole seconds waited, of the touches at `stage` that say so.

    >>> from cxlib.eventlog import from_paths
    >>> y, n = measured(window(from_paths(a="help phone", b="phone", c="product"), DAY), "forced to call")
    >>> y.tolist(), n.tolist()
    ([1, 0, 0], [1, 1, 0])
    """
    log, far = seen.log, seen.far
    if not log.n_cases:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    if name == FORCED:
        return _forced(seen), seen.sought.astype(np.int64)
    if name == CALLS:
        return _counted(log, seen.inside & (log.stage == log.escalation)), seen.sought.astype(np.int64)
    if name == MOOD:
        return _mood(seen)
    if name == BACK:
        return seen.back.astype(np.int64), seen.sought.astype(np.int64)
    here = seen.inside & (log.stage == stage)
    if name == HOLD:
        waited = here & (log.wait != NO_WAIT)
        return _counted(log, np.where(waited, log.wait, 0)), _counted(log, waited)
    touches = _counted(log, here)
    used = touches > 0
    stayed = used & (far <= stage)
    if name in (AT_LEAST, TOLD):
        last = np.maximum.reduceat(np.where(here, np.arange(log.n_touches), -1), log.case_start[:-1])
        word = np.where(used, log.solved[last], -1)
        said = (word >= 0) if name == TOLD else stayed & ~seen.back & (word == 1)
        return said.astype(np.int64), used.astype(np.int64)
    kept = {NO_FURTHER: stayed, AT_MOST: stayed & ~seen.back, FIRST_CONTACT: stayed & ~seen.back & (touches == 1)}[name]
    return kept.astype(np.int64), used.astype(np.int64)


def _counted(log: EventLog, values: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.astype(np.int64), log.case_start[:-1])


def _forced(seen: Window) -> np.ndarray:
    log = seen.log
    called = first_touch(log, seen.inside & (log.stage == log.escalation))
    tried = first_touch(log, seen.inside & (log.stage >= log.problem_from) & (log.stage < log.escalation))
    return ((called < log.n_touches) & (tried < called)).astype(np.int64)


def _mood(seen: Window) -> tuple[np.ndarray, np.ndarray]:
    log = seen.log
    known = seen.inside & (log.mood != NO_MOOD)
    total, n = _counted(log, np.where(known, log.mood, 0)), _counted(log, known)
    return np.rint(total / np.maximum(n, 1)).astype(np.int64), (n > 0).astype(np.int64)


def counted(log: EventLog, within: int, until: int) -> np.ndarray:
    """Which cases are old enough for every measure: observed for the window and the 7 days in which they may come back."""
    return began(log) <= until - within - RETURN


def case_measures(log: EventLog, *, within: int, until: int, name: str) -> dict[str, np.ndarray]:
    """A kernel for `log.per_case`: one global measure of each case, y and n, and when the case began.

    n is 0 for cases that are not old enough.
    """
    y, n = measured(window(log, within), name)
    kept = counted(log, within, until)
    return {"y": y, "n": n * kept, "began": began(log), "counted": kept}


def named(log: EventLog, name: str) -> str:
    """A global measure's name as it is true for this data set: what is called "call" may be a visit.

    >>> from cxlib.eventlog import from_paths
    >>> named(from_paths(a="help"), "calls per 1,000 cases")
    'calls per 1,000 cases'
    """
    stage = log.stages[log.escalation]
    if any(word in stage.lower() for word in ("call", "phone")):
        return name
    return {FORCED: f"forced to {stage}", CALLS: f"touches at {stage} per 1,000 cases"}.get(name, name)


def chosen(metric: str) -> Measure:
    """The global measure of this name, or the error that says which there are."""
    if metric not in OF_CASES:
        raise DataError(f"metric={metric!r} is not known: {nearest(metric, OF_CASES)}")
    return MEASURES[metric]


def coded(log: EventLog, labels: Labels) -> tuple[np.ndarray, list[str]]:
    """Labels of cases as positions in the list of distinct labels, in alphabetical order.

    >>> from cxlib.eventlog import from_paths
    >>> codes, names = coded(from_paths(a="help", b="help", c="help"), ["y", None, "x"])
    >>> codes.tolist(), names
    ([2, 0, 1], ['(none)', 'x', 'y'])
    """
    if len(labels) != log.n_cases:
        raise DataError(f"there are {len(labels)} labels for {log.n_cases} cases: give one per case, in the order of the log")
    codes, found = pd.factorize(pd.Series(labels))
    texts = [str(label) for label in found] + [NO_LABEL]
    names = sorted({texts[code] for code in np.unique(codes)})
    return np.array([names.index(text) if text in names else -1 for text in texts])[codes], names


def tidy(rows: Sequence[tuple], columns: str) -> pd.DataFrame:
    """Rows as a table; a column is text, or a whole number if its name ends in ``:n``, or a float if it ends in ``:x``.

    >>> tidy([], "segment n:n value:x").dtypes.astype(str).to_dict()
    {'segment': 'str', 'n': 'int64', 'value': 'float64'}
    """
    kinds = dict(name.partition(":")[::2] for name in columns.split())
    table = pd.DataFrame(rows, columns=list(kinds))
    return table.astype({name: {"n": "int64", "x": "float64"}.get(kind, "str") for name, kind in kinds.items()})


_PERIODS = {"month": ("M", "%Y-%m"), "week": ("W-SUN", "%Y-%m-%d"), "day": ("D", "%Y-%m-%d")}


def periods(log: EventLog, period: str) -> tuple[list[str], np.ndarray]:
    """The calendar periods of the observed time in the log's own time zone: their names, and their edges in microseconds.

    A month is called 2026-04, a week by its Monday, a day by itself. There is one edge more than names.

    >>> from cxlib.eventlog import from_paths
    >>> periods(from_paths(a="help"), "month")[0][:2]
    ['1970-01', '1970-02']
    """
    if period not in _PERIODS:
        raise DataError(f"period={period!r} is not known: {nearest(period, list(_PERIODS))}")
    length, form = _PERIODS[period]
    ends = pd.to_datetime([log.observed_from, log.observed_until], unit="us", utc=True).tz_convert(log.timezone)
    spans = pd.period_range(*ends.tz_localize(None), freq=length)
    days = spans.append(spans[-1:] + 1).start_time
    # Some clocks skip midnight or strike it twice: then the day begins at its first moment.
    local = days.tz_localize(log.timezone, ambiguous=np.ones(len(days), dtype=bool), nonexistent="shift_forward")
    return list(spans.start_time.strftime(form)), local.tz_convert("UTC").tz_localize(None).as_unit("us").asi8


def cases_until(log: EventLog) -> int:
    """Until when does the log take in new cases?

    Usually to the end of observation. Some exports hold the cases that began in some months, with all their later touches:
    what comes after the last beginning is then no silence of the customers. It is taken to be so where at least 30 cases
    began over two weeks or more and, at their daily rate, 30 more should have begun after the last one (a chance of e^-30).

    >>> from cxlib.eventlog import from_paths
    >>> log = from_paths(a="help")
    >>> cases_until(log) == log.observed_until
    True
    """
    edges = periods(log, "day")[1]
    per_day = log.add_up(cases_by_period, edges=tuple(edges.tolist()))
    days = np.flatnonzero(per_day)
    if per_day.sum() < ENOUGH or days[-1] - days[0] < 14:
        return log.observed_until
    end = int(edges[days[-1] + 1])
    missing = (log.observed_until - end) / DAY * per_day.sum() / (days[-1] - days[0] + 1)
    return end if missing >= ENOUGH else log.observed_until


def cases_by_period(log: EventLog, *, edges: tuple[int, ...]) -> np.ndarray:
    """A kernel: how many cases began in each period."""
    place = period_of(began(log), np.array(edges))
    return np.bincount(place[place >= 0], minlength=len(edges) - 1)


def period_of(time: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The period of each time as a position; -1 before the first edge and from the last on."""
    place = np.searchsorted(edges, time, side="right") - 1
    return np.where(place < len(edges) - 1, place, -1)
