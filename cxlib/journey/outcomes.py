"""What became of each case in its first days: the measures that the scorecard and the comparisons share.

Every measure is a pair of whole numbers per case, y of n, so that it adds up by customer, period or segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from cxlib.eventlog import NO_MOOD, NO_WAIT, NO_WORD, EventLog, began, furthest, returned
from cxlib.eventlog.log import PER_TOUCH
from cxlib.journey.reach import FORCED, OUTCOMES, outcome_codes
from cxlib.schema import DAY, DataError, nearest

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


@dataclass(frozen=True, eq=False)
class Window:
    """What the cases of a log did in the first `within` microseconds after they began, and who came back after that.

    >>> from cxlib.eventlog import from_paths
    >>> seen = Window(from_paths(a="help product phone"), within=3_600_000_000)
    >>> seen.early.stage.tolist(), seen.sought.tolist(), seen.forced.tolist(), seen.back.tolist()
    ([1, 0], [True], [False], [True])
    """

    log: EventLog
    within: int

    @cached_property
    def early(self) -> EventLog:
        """The log of those first touches alone; every case has its first, so none is lost."""
        kept = np.flatnonzero(self._inside)
        columns = {name: getattr(self.log, name).take(kept) for name in PER_TOUCH}
        sizes = np.add.reduceat(self._inside, self.log.case_start[:-1], dtype=np.int64)
        return replace(self.log, **columns, case_start=np.append(0, np.cumsum(sizes)), labels=None)

    @cached_property
    def sought(self) -> np.ndarray:
        """Per case: sought help."""
        return self._outcome >= 0

    @cached_property
    def forced(self) -> np.ndarray:
        """Per case: forced to call, as in `journey.forced_to_call`."""
        return self._outcome == OUTCOMES.index(FORCED)

    @cached_property
    def back(self) -> np.ndarray:
        """Per case that sought help: back in the 7 days after its last early touch that did.

        Either the customer began another case that sought help early (as in `journey.returns`), or this one sought help again.
        """
        early, log = self.early, self.log
        since = np.where(early.stage >= log.problem_from, early.at, began(log)[early.case_of_touch])
        last = np.maximum.reduceat(since, early.case_start[:-1])
        over = replace(early, case_end=last, case_open=np.zeros(log.n_cases, dtype=bool))
        soon = ~self._inside & (log.stage >= log.problem_from) & (log.at - last[log.case_of_touch] <= RETURN)
        again = np.logical_or.reduceat(soon, log.case_start[:-1])
        return self.sought & (again | (returned(over, RETURN) == 1))

    @cached_property
    def _inside(self) -> np.ndarray:
        return self.log.at - began(self.log)[self.log.case_of_touch] <= self.within

    @cached_property
    def _outcome(self) -> np.ndarray:
        return outcome_codes(self.early)["outcome"]


def measured(seen: Window, name: str, stage: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """A measure of each case: y and n, whole numbers; n is 0 where the measure does not speak of the case.

    - forced to call: touched the escalation stage after trying something to its left, of the cases that sought help.
    - calls per 1,000 cases: touches at the escalation stage, of the cases that sought help.
    - mood along the journey: the mean mood of a case's touches (whole thousandths); each case counts once, however long it is.
    - back within 7 days: see `Window.back`, of the cases that sought help.
    - went no further: of the cases with a touch at `stage`, those without one further right.
    - solved, at most: of them, those that did not come back either. Some are solved, some have given up: a log cannot tell.
    - solved, at least: of them, those whose last touch at `stage` the export calls solved.
    - first-contact resolution: one touch at `stage`, none further right, not back; of the cases with a touch there.
    - hold time: whole seconds waited, of the touches at `stage` that say so.

    >>> from cxlib.eventlog import from_paths
    >>> y, n = measured(Window(from_paths(a="help phone", b="phone", c="product"), DAY), "forced to call")
    >>> y.tolist(), n.tolist()
    ([1, 0, 0], [1, 1, 0])
    """
    y, n = _of_the_whole(seen, name) if name in OF_CASES else _of_a_stage(seen, name, stage)
    return y.astype(np.int64), n.astype(np.int64)


def _of_the_whole(seen: Window, name: str) -> tuple[np.ndarray, np.ndarray]:
    log = seen.early
    if name == MOOD:
        known = log.mood != NO_MOOD
        n = _added(log, known)
        return np.rint(_added(log, np.where(known, log.mood, 0)) / np.maximum(n, 1)), n > 0
    if name == CALLS:
        return _added(log, log.stage == log.escalation), seen.sought
    return (seen.forced if name == FORCED else seen.back), seen.sought


def _of_a_stage(seen: Window, name: str, stage: int) -> tuple[np.ndarray, np.ndarray]:
    log = seen.early
    here = log.stage == stage
    if name == HOLD:
        waited = here & (log.wait != NO_WAIT)
        return _added(log, np.where(waited, log.wait, 0)), _added(log, waited)
    touches = _added(log, here)
    used = touches > 0
    if name == TOLD:
        return _last_word(log, here) != NO_WORD, used
    stayed = used & (furthest(log) <= stage)
    if name == NO_FURTHER:
        return stayed, used
    gone = stayed & ~seen.back
    if name == AT_MOST:
        return gone, used
    return gone & (touches == 1 if name == FIRST_CONTACT else _last_word(log, here) == 1), used


def _last_word(log: EventLog, here: np.ndarray) -> np.ndarray:
    """Per case what the export says of its last touch for which `here` holds: solved (1), not solved (0), `NO_WORD`."""
    last = np.maximum.reduceat(np.where(here, np.arange(log.n_touches), -1), log.case_start[:-1])
    return np.where(last >= 0, log.solved[last], NO_WORD)


def _added(log: EventLog, values: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, log.case_start[:-1], dtype=np.int64)


def counted(log: EventLog, within: int, until: int) -> np.ndarray:
    """Which cases are old enough for every measure: observed for the window and the 7 days in which they may come back."""
    return began(log) <= until - within - RETURN


def case_measures(log: EventLog, *, within: int, until: int, name: str) -> dict[str, np.ndarray]:
    """A kernel for `log.per_case`: one global measure of each case, y and n, and when the case began.

    n is 0 for cases that are not old enough.
    """
    y, n = measured(Window(log, within), name)
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


def begins_late(log: EventLog, edges: np.ndarray) -> bool:
    """Was only the end of the first period observed (but for a day)?"""
    return bool(edges[0] + DAY < log.observed_from)


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
