"""Where do customers go? The funnel over stages, transitions, ends, mood, and who is forced to call.

The unit is the case: one problem of one customer. Intervals are by customer, because one customer's cases resemble each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import NO_MOOD, EventLog, began, first_touch, furthest, mature, per_customer, stepped
from cxlib.schema import DataError, duration, nearest

HOUR = 3_600_000_000


@dataclass(frozen=True)
class Funnel:
    """The answer of `funnel`; `table` has one row per stage or step."""

    table: pd.DataFrame  # reached, share, low, high, n
    n_cases: int
    n_customers: int
    n_immature: int  # younger than the window, not counted
    n_open: int  # counted, but not over yet: they may still go further right
    by: str
    within: str | None


@dataclass(frozen=True)
class Transitions:
    """The answer of `transitions`; `table` has one row per pair of stages."""

    table: pd.DataFrame  # source, target, count, share, low, high, n
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Ends:
    """The answer of `ends`; `table` has one row per stage."""

    table: pd.DataFrame  # ended, share, low, high, n
    n_open: int


@dataclass(frozen=True)
class Forced:
    """The answer of `forced_to_call`; `table` has one row per way a case went."""

    table: pd.DataFrame  # cases, share, low, high, n
    per_case: pd.DataFrame  # one row per case: case_id, customer_id, outcome (empty for cases that sought no help)
    n_cases: int
    n_customers: int
    n_open: int
    escalation: str
    problem_from: str


@dataclass(frozen=True)
class Mood:
    """The answer of `mood`; `table` has one row per stage."""

    table: pd.DataFrame  # mood, low, high, n (touches with a mood), touches


@dataclass(frozen=True)
class TimeTo:
    """The answer of `time_to`; `table` has one row per time."""

    table: pd.DataFrame  # hours, share, low, high, at_risk, n
    curve: pd.DataFrame  # every step of the curve: hours, at_risk, events, competing, incidence
    stage: str
    n_cases: int
    n_open: int


FORCED, CALLED_FIRST, SPARED = "forced to call", "called first", "did not call"


def funnel(
    log: EventLog, steps: Sequence[str] | None = None, *, mode: str = "open", within: str | None = None, by: str = "case"
) -> Funnel:
    """How many cases went at least this far right? (With `steps`: how many took those steps in order.)

    Parameters
    ----------
    log : EventLog
        One row per touch; row order does not matter.
    steps : sequence of str, optional
        Stages to be taken in this order, other touches between them allowed.
    mode : str
        "open", the only mode yet: other touches may lie between two steps.
    within : str, optional
        Only touches up to this long after the case began (with `steps`: after the first step) count, such as ``"7d"``. Cases
        that have not had that long are left out and counted in `n_immature`.
    by : str
        "case", or "user": then all touches of a customer are taken together.

    Returns
    -------
    Funnel
        `table` has one row per stage: ``reached`` (cases), ``share`` (of all `n` mature cases, 0 to 1), 95 % interval.

    Raises
    ------
    UnitError
        If `within` has no unit: ``7`` could be days or hours.
    DataError
        If a step is not a stage of the log.

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
    if mode != "open":
        raise DataError(f"mode={mode!r} is not known: write mode='open'")
    if by not in ("case", "user"):
        raise DataError(f"by={by!r} is not known: {nearest(by, ['case', 'user'])}")
    window = None if within is None else duration(within)
    if steps is not None and not len(steps):
        raise DataError(f"steps is empty: name at least one of {', '.join(log.stages)}")
    codes = None if steps is None else tuple(_code(log, step) for step in steps)
    units = log.by_customer() if by == "user" else log
    sums = units.add_up(_funnel_sums, steps=codes, within=window)
    names = pd.Index(log.stages if steps is None else list(steps), name="stage" if steps is None else "step")
    n_immature, n_open = (int(x) for x in units.add_up(_funnel_aside, steps=codes, within=window))
    table = _shares(sums, names, "reached")
    if steps is None and len(table) and sums[2, 0]:
        table.loc[names[0], ["low", "high"]] = 1.0  # every case has reached the leftmost stage: nothing is estimated
    return Funnel(table, int(sums[2, 0]), int(sums[0, 0]), n_immature, n_open, by, within)


def _funnel_sums(log: EventLog, steps: tuple[int, ...] | None, within: int | None) -> np.ndarray:
    kept = _observed_long_enough(log, steps, within)
    depth = furthest(log, within) + 1 if steps is None else stepped(log, steps, within)
    levels = np.arange(len(log.stages) if steps is None else len(steps))
    reached = (depth[:, None] > levels) & kept[:, None]
    return stats.ratio_sums(per_customer(log, reached), per_customer(log, np.repeat(kept[:, None], len(levels), axis=1)))


def _observed_long_enough(log: EventLog, steps: tuple[int, ...] | None, within: int | None) -> np.ndarray:
    """Mature cases; with steps, the window runs from the first step where it was taken."""
    kept = mature(log, within)
    if steps is not None and log.n_cases:
        first = first_touch(log, log.stage == steps[0])
        start = log.at[np.minimum(first, log.n_touches - 1)]
        kept &= (first == log.n_touches) | (start <= log.observed_until - (within or 0))
    return kept


def _funnel_aside(log: EventLog, steps: tuple[int, ...] | None, within: int | None) -> np.ndarray:
    kept = _observed_long_enough(log, steps, within)
    return np.array([(~kept).sum(), (log.case_open & kept).sum()])


def _code(log: EventLog, stage: str) -> int:
    if stage not in log.stages:
        raise DataError(f"{stage!r} is not a stage: {nearest(str(stage), log.stages)}")
    return log.stages.index(stage)


def _shares(sums: np.ndarray, index: pd.Index, count: str) -> pd.DataFrame:
    """Counts, shares and intervals as a table, one row per column of `sums`."""
    bounds = np.array([stats.share_from_sums(column) for column in sums.T]).reshape(-1, 3)
    columns = {count: sums[1], "share": bounds[:, 0], "low": bounds[:, 1], "high": bounds[:, 2], "n": sums[2]}
    return pd.DataFrame(columns, index=index)


def transitions(log: EventLog) -> Transitions:
    """From each stage, where does the next touch of a case go?

    Returns
    -------
    Transitions
        `table` has one row per pair that occurs: source, target (a stage, or "end" for the last touch of a case that is over),
        count, and its share of all `n` moves out of the source, with the 95 % interval by customer.

    Notes
    -----
    The unit is the touch. The last touch of an open case leads nowhere yet and is not counted.

    >>> from cxlib.eventlog import from_paths
    >>> transitions(from_paths(a="help phone", b="help")).table[["source", "target", "count", "n"]]
      source target  count  n
    0   help  phone      1  2
    1   help    end      1  2
    2  phone    end      1  1
    """
    k = len(log.stages)
    sums = log.add_up(_transition_sums).reshape(6, k, k + 1)
    targets = (*log.stages, "end")
    rows = [
        (log.stages[s], targets[t], int(sums[1, s, t]), *stats.share_from_sums(sums[:, s, t]), int(sums[2, s, t]))
        for s in range(k)
        for t in range(k + 1)
        if sums[1, s, t]
    ]
    return Transitions(pd.DataFrame(rows, columns=["source", "target", "count", "share", "low", "high", "n"]), log.stages)


def _transition_sums(log: EventLog) -> np.ndarray:
    k = len(log.stages)
    target = np.append(log.stage[1:], 0).astype(np.int64)
    last = log.case_start[1:] - 1
    target[last] = k
    counted = np.ones(log.n_touches, dtype=bool)
    counted[last[log.case_open]] = False
    customer = log.customer_of_case[log.case_of_touch]
    cell = (customer * k + log.stage) * (k + 1) + target
    counts = np.bincount(cell[counted], minlength=log.n_customers * k * (k + 1)).reshape(log.n_customers, k, k + 1)
    n = np.repeat(counts.sum(axis=2, keepdims=True), k + 1, axis=2)
    cells = (log.n_customers, k * (k + 1))
    return stats.ratio_sums(counts.reshape(cells), n.reshape(cells))


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
    table = _shares(log.add_up(_end_sums), pd.Index(log.stages, name="stage"), "ended")
    return Ends(table, int(log.add_up(lambda part: part.case_open.sum())))


def _end_sums(log: EventLog) -> np.ndarray:
    last = log.stage[log.case_start[1:] - 1]
    over = ~log.case_open[:, None] & np.ones(len(log.stages), dtype=bool)
    return stats.ratio_sums(per_customer(log, (last[:, None] == np.arange(len(log.stages))) & over), per_customer(log, over))


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
    outcomes = (FORCED, CALLED_FIRST, SPARED)
    sums = log.add_up(_forced_sums)
    codes = log.per_case(lambda part: {"outcome": _forced_codes(part)})["outcome"]
    per_case = pd.DataFrame(
        {"case_id": log.case_id, "customer_id": _customers(log), "outcome": codes.map(dict(enumerate(outcomes)))}
    )
    n_open = int(log.add_up(lambda part: (part.case_open & (_forced_codes(part) == 2)).sum()))
    table = _shares(sums, pd.Index(outcomes, name="outcome"), "cases")
    names = log.stages[log.escalation], log.stages[log.problem_from]
    return Forced(table, per_case, int(sums[2, 0]), int(sums[0, 0]), n_open, *names)


def _customers(log: EventLog) -> np.ndarray:
    return log.customer_id[log.customer_of_case] if log.n_cases else np.empty(0, dtype=object)


def _forced_codes(log: EventLog) -> np.ndarray:
    """One code per case: 0 forced, 1 called first, 2 did not call, -1 sought no help."""
    sought = first_touch(log, log.stage >= log.problem_from)
    called = first_touch(log, log.stage == log.escalation)
    tried = first_touch(log, (log.stage >= log.problem_from) & (log.stage < log.escalation))
    never = log.n_touches
    return np.select([sought == never, called == never, tried < called], [-1, 2, 0], 1)


def _forced_sums(log: EventLog) -> np.ndarray:
    codes = _forced_codes(log)[:, None]
    return stats.ratio_sums(per_customer(log, codes == np.arange(3)), per_customer(log, (codes >= 0) & np.ones(3, dtype=bool)))


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
    rows = [np.array(stats.mean_from_sums(column)) / 1000 for column in sums.T]
    table = pd.DataFrame(rows, columns=["mood", "low", "high"], index=pd.Index(log.stages, name="stage"))
    touches = log.add_up(lambda part: np.bincount(part.stage, minlength=len(part.stages)))
    return Mood(table.assign(n=sums[2], touches=touches))


def _mood_sums(log: EventLog) -> np.ndarray:
    known = log.mood != NO_MOOD
    cell = (log.customer_of_case[log.case_of_touch] * len(log.stages) + log.stage)[known]
    shape = (log.n_customers, len(log.stages))
    total = np.bincount(cell, weights=log.mood[known], minlength=shape[0] * shape[1]).reshape(shape)
    return stats.ratio_sums(np.rint(total).astype(np.int64), np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape))


_GRID = (0, 1, 2, 4, 8, 12, 24, 36, 48, 72, 96, 120, 144, 168, 240, 336, 504, 720, 1080, 1440, 2160, 4320)  # hours
_ENOUGH = 30  # with fewer cases under way the curve says more about single cases than about the share


def time_to(log: EventLog, stage: str, *, seed: int = 0) -> TimeTo:
    """How long after a customer first sought help do they reach `stage`, and how many ever do?

    Returns
    -------
    TimeTo
        `table` has one row per time from 0 h on, while 30 cases (a tenth of a small log) are under way: hours, share (of the
        `n` cases that sought help, 0 to 1, that had reached the stage by then), its 95 % interval by customer, at_risk (cases
        still under way). `curve` has every step.

    Notes
    -----
    Aalen-Johansen: cases that end without reaching the stage compete, open cases are censored at the end of observation.
    Time runs from the first touch at `problem_from` or further right, so those who went to `stage` at once count at 0 h.
    Intervals by Poisson bootstrap of customers.

    >>> from cxlib.eventlog import from_paths
    >>> time_to(from_paths(a="help phone", b="help"), "phone").table[["hours", "share"]].head(2)
       hours  share
    0      0    0.0
    1      1    0.5
    """
    cases = log.per_case(_times_to, stage=_code(log, stage))
    sought = cases["sought"].to_numpy()
    time, event = cases["time"].to_numpy()[sought], cases["event"].to_numpy()[sought]
    if not len(time):
        empty = pd.DataFrame(columns=["hours", "share", "low", "high", "at_risk", "n"])
        return TimeTo(empty, pd.DataFrame(columns=["hours", "at_risk", "events", "competing", "incidence"]), stage, 0, 0)
    hours = np.array([h for h in _GRID if h * HOUR <= time.max()] or [0])
    customer = log.customer_of_case[sought]
    at = stats.incidence_interval(time, event, customer, log.customer_key, hours * HOUR, seed=seed)
    table = pd.DataFrame(
        {"hours": hours, "share": at["incidence"], "low": at["low"], "high": at["high"], "at_risk": at["at_risk"]}
    )
    table = table[table["at_risk"] >= min(_ENOUGH, len(time) / 10)].assign(n=len(time))
    curve = stats.cumulative_incidence(time, event)
    curve.insert(0, "hours", curve.pop("time") / HOUR)
    return TimeTo(table, curve, stage, len(time), int((event == 0).sum()))


def _times_to(log: EventLog, stage: int) -> dict[str, np.ndarray]:
    """For each case: did it seek help, how long from then to the stage or the end (microseconds), and which of the two."""
    if not log.n_cases:
        return {"sought": np.empty(0, dtype=bool), "time": np.empty(0, dtype=np.int64), "event": np.empty(0, dtype=np.int8)}
    sought = first_touch(log, log.stage >= log.problem_from)
    start = np.where(sought < log.n_touches, log.at[np.minimum(sought, log.n_touches - 1)], began(log))
    reached = first_touch(log, (log.stage == stage) & (np.arange(log.n_touches) >= sought[log.case_of_touch]))
    met = reached < log.n_touches
    end = np.where(log.case_open, np.maximum(log.observed_until, log.case_end), log.case_end)
    end = np.where(met, log.at[np.minimum(reached, log.n_touches - 1)], end)
    return {
        "sought": sought < log.n_touches,
        "time": end - start,
        "event": np.select([met, log.case_open], [1, 0], 2).astype(np.int8),
    }
