"""Local and global: each stage's own measure beside those of the whole journey, period on period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog, began
from cxlib.journey.outcomes import (
    AT_LEAST,
    AT_MOST,
    BACK,
    ENOUGH,
    FIRST_CONTACT,
    HOLD,
    MEASURES,
    MOOD,
    NO_FURTHER,
    OF_CASES,
    TOLD,
    Measure,
    Window,
    begins_late,
    cases_until,
    counted,
    measured,
    named,
    period_of,
    periods,
    tidy,
)
from cxlib.schema import duration

BETTER, WORSE, UNCLEAR = "better", "worse", "unclear"


_COLUMNS = "period scope stage metric unit better value:x low:x high:x n:n change:x change_low:x change_high:x p:x verdict"
_FLAGS = ["period", "stage", "metric", "change", "global_metric", "global_change", "p", "q"]


@dataclass(frozen=True)
class Scorecard:
    """The answer of `scorecard`; `table` has one row per period and metric."""

    table: (
        pd.DataFrame
    )  # period, scope, stage, metric, unit, better, value, low, high, n, change, change_low, change_high, p, verdict
    flags: pd.DataFrame  # period, stage, metric, change, global_metric, global_change, p, q
    missing: tuple[str, ...]  # what could not be measured, and why
    n_cases: int
    n_customers: int
    n_immature: int  # began too late to be counted
    n_tested: int  # pairs of a local and a global metric in a period that could have been flagged
    within: str
    period: str


def scorecard(log: EventLog, *, period: str = "month", within: str = "7d") -> Scorecard:
    """Does a stage look better while the whole journey gets worse?

    Parameters
    ----------
    log : EventLog
        One row per touch.
    period : str
        "month", "week" or "day", by the calendar of the log's time zone. A case belongs to the period in which it began.
    within : str
        Only touches up to this long after a case began count, so that old and new cases are seen equally long. Cases younger
        than this and 7 days more (in which they may come back) are left out and counted in `n_immature`; so the newest period
        may hold fewer cases, but none that is flattered.

    Returns
    -------
    Scorecard
        `table` has one row per period and metric: value with its 95 % interval by customer, `n` (cases; for hold time
        touches), `change` from the period before with its interval, `p` (two-sided, by customer) and verdict (better, worse,
        unclear: the interval holds 0 or p is above .05; empty where a period has fewer than 30 to compare, or the one
        before was not observed from its beginning). `flags` has one row per pair of a local metric that improved and a
        global one that got worse in the same period.

    Raises
    ------
    UnitError
        If `within` has no unit.
    DataError
        If `period` is not known.

    Notes
    -----
    Local, for each stage from `problem_from` up to the escalation: solved as a bound, ``solved, at least`` (the export says
    so) to ``solved, at most`` (no touch further right, not back within 7 days: neither can a log tell the solved from the
    silent); for the stage "agent" first-contact resolution; hold time, the mean of the waits recorded. Global: share forced
    to call, calls per 1,000 cases that sought help, mood along the journey (mean over cases of each case's mean mood), share
    back within 7 days. See `outcomes.measured` for each. What an export lacks is named in `missing` and not shown.

    A flag claims two things at once, so its p-value is the larger of the two one-sided ones (intersection-union test: Berger
    1982, Technometrics 24). Over all pairs and periods the false discovery rate is held at 5 % (Benjamini and Hochberg);
    where nothing is wrong, that is also the chance of any flag. Differences take into account that customers may have cases
    in both periods.

    Examples
    --------
    Two cases that began in January 1970, one forced to call: too few to compare, but counted.

    >>> from cxlib.eventlog import from_paths
    >>> card = scorecard(from_paths(a="help phone", b="help"))
    >>> card.table.set_index("metric").loc[["forced to call"], ["period", "value", "n"]]
                     period  value  n
    metric
    forced to call  1970-01    0.5  2
    """
    names, edges = periods(log, period)
    inside = duration(within)
    wanted = _wanted(log)
    until = cases_until(log)
    sums = log.add_up(score_sums, edges=tuple(edges.tolist()), within=inside, until=until, wanted=wanted)
    shown, missing = _measurable(log, wanted, sums)
    if until < log.observed_until:
        last = pd.Timestamp(until - 1, unit="us", tz="UTC").tz_convert(log.timezone)
        missing += (f"cases that began after {last:%Y-%m-%d}: the log goes on but holds none",)
    held = np.flatnonzero(sums[-1, :, 1]).tolist()
    span = range(held[0], held[-1] + 1) if held else range(0)
    # A period of which the log saw only the end is shown, and nothing is compared with it.
    alone = {span[0], *([1] if begins_late(log, edges) else [])} if held else set()
    rows = [_row(log, wanted[k], sums[k], i, names, first=i in alone) for i in span for k in shown]
    table = tidy(rows, _COLUMNS)
    flags, n_tested = _flags(table)
    counts = log.add_up(_case_counts, within=inside, until=until)
    return Scorecard(table, flags, missing, int(counts[0]), int(counts[1]), int(counts[2]), n_tested, within, period)


def _wanted(log: EventLog) -> tuple[tuple[str, int], ...]:
    """Every metric that the stages allow, with its stage; the last one counts cases."""
    stages = range(log.problem_from, len(log.stages))
    local = []
    for stage in stages:
        if stage < log.escalation:
            local += [(name, stage) for name in (TOLD, AT_LEAST, AT_MOST, NO_FURTHER)]
            local += [(FIRST_CONTACT, stage)] * (log.stages[stage] == "agent")
        local.append((HOLD, stage))
    return (*local, *((name, -1) for name in OF_CASES), ("", -1))


def score_sums(
    log: EventLog, *, edges: tuple[int, ...], within: int, until: int, wanted: tuple[tuple[str, int], ...]
) -> np.ndarray:
    """A kernel: for each metric and period what `stats.sums_in_a_row` adds up; the last metric counts cases."""
    groups = len(edges) - 1
    if not log.n_cases:
        return np.zeros((len(wanted), groups, 11), dtype=np.int64)
    place = period_of(began(log), np.array(edges))
    kept = counted(log, within, until) & (place >= 0)
    customer, place, seen = log.customer_of_case[kept], place[kept], Window(log, within)

    def added(name: str, stage: int) -> np.ndarray:
        y, n = measured(seen, name, stage) if name else (np.ones(log.n_cases), np.ones(log.n_cases))
        return stats.sums_in_a_row(customer, place, groups, y[kept], n[kept])

    return np.stack([added(name, stage) for name, stage in wanted])


def _case_counts(log: EventLog, within: int, until: int) -> np.ndarray:
    kept = counted(log, within, until)
    customers = len(np.unique(log.customer_of_case[kept]))
    return np.array([kept.sum(), customers, (~kept).sum()])


def _measurable(log: EventLog, wanted: tuple[tuple[str, int], ...], sums: np.ndarray) -> tuple[list[int], tuple[str, ...]]:
    """The metrics that can be shown, as positions, and a line for what cannot."""
    total = {key: column[:, 1:3].sum(axis=0) for key, column in zip(wanted, sums, strict=True)}  # y and n of all periods
    if not total["", -1][1]:
        return [], ("no case is old enough to be counted",)
    tried = [stage for name, stage in wanted if name == TOLD and total[name, stage][1]]
    told = [stage for stage in tried if total[TOLD, stage][0]]
    returns = bool(total[BACK, -1][0])

    def fits(name: str, stage: int) -> bool:
        """Can the log answer this?"""
        if name in ("", TOLD) or not total[name, stage][1]:
            return False
        rests_on = {AT_LEAST: stage in told and returns, NO_FURTHER: not returns}
        return rests_on.get(name, returns if name in (AT_MOST, FIRST_CONTACT, BACK) else True)

    shown = [k for k, (name, stage) in enumerate(wanted) if fits(name, stage)]
    names = {wanted[k][0] for k in shown}
    silent = ", ".join(log.stages[stage] for stage in tried if stage not in told)
    notes = {
        "no case came back within 7 days (customers may be unknown, or cases cut by such a pause): returns, and what rests on "
        "them, are not shown": not returns,
        f"the export does not say whether touches at {silent} solved the problem: there is no lower bound": bool(silent),
        "no stage is called agent: first-contact resolution is not shown": "agent" not in log.stages,
        "no touch says how long the customer waited: hold time is not shown": HOLD not in names,
        "no touch carries a mood": MOOD not in names,
    }
    return shown, tuple(note for note, applies in notes.items() if applies)


def _row(log: EventLog, which: tuple[str, int], sums: np.ndarray, place: int, names: list[str], *, first: bool) -> tuple:
    """A metric in one period, and its change from the period before."""
    name, stage = which
    how = MEASURES[name]
    value = [how.scale * x for x in _interval(how)(sums[place, :6])]
    change = _change(how, sums, place) if not first else stats.Difference(np.nan, np.nan, np.nan, np.nan)
    scaled = [how.scale * x for x in change[:3]]
    where = (names[place], "global", "") if stage < 0 else (names[place], "local", log.stages[stage])
    better = "higher" if how.rising_is_better else "lower"
    found = (*value, int(sums[place, 2]), *scaled, change.p, _verdict(change, how.rising_is_better))
    return *where, named(log, name), how.unit, better, *found


def _interval(how: Measure):
    return stats.share_from_sums if how.share else stats.mean_from_sums


def _change(how: Measure, sums: np.ndarray, place: int) -> stats.Difference:
    before, now = sums[place - 1], sums[place]
    if min(before[2], now[2]) < ENOUGH:
        return stats.Difference(np.nan, np.nan, np.nan, np.nan)
    return stats.difference_from_sums(before[:6], now[:6], now[6:], share=how.share)


def _verdict(change: stats.Difference, rising_is_better: bool) -> str:
    if np.isnan(change.p):
        return ""
    if change.p > stats.FALSE_DISCOVERY_RATE or change.low <= 0 <= change.high:
        return UNCLEAR
    return BETTER if (change.change > 0) == rising_is_better else WORSE


def _flags(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The pairs of a local metric that improved and a global one that worsened, and how many pairs were tested."""
    tested = table.dropna(subset=["p"])
    towards = (tested["change"] > 0) == (tested["better"] == "higher")
    tested = tested.assign(
        improved=np.where(towards, tested["p"] / 2, 1 - tested["p"] / 2),
        worsened=np.where(towards, 1 - tested["p"] / 2, tested["p"] / 2),
    )
    local, whole = tested[tested["scope"] == "local"], tested[tested["scope"] == "global"]
    pairs = local.merge(whole, on="period", suffixes=("", "_whole"))
    p = np.maximum(pairs["improved"], pairs["worsened_whole"])
    pairs = pairs.assign(global_metric=pairs["metric_whole"], global_change=pairs["change_whole"], p=p)
    pairs["q"] = stats.false_discovery(pairs["p"].to_numpy())
    return pairs.loc[pairs["q"] <= stats.FALSE_DISCOVERY_RATE, _FLAGS].sort_values(["period", "q"], ignore_index=True), len(
        pairs
    )
