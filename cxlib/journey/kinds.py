"""Three kinds of customer, month by month: new, regular, blocked; and how they become one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog, began
from cxlib.journey.outcomes import Window, begins_late, cases_by_period, cases_until, named, period_of, periods, tidy
from cxlib.journey.reach import FORCED
from cxlib.schema import duration

NEW, REGULAR, BLOCKED, AWAY = "new", "regular", "blocked", "away"
KINDS = (NEW, REGULAR, BLOCKED, AWAY)  # and their codes
UNSEEN = -1


@dataclass(frozen=True)
class Kinds:
    """The answer of `kinds`; `table` has one row per month and kind, `moves` one per pair of kinds."""

    table: pd.DataFrame  # month, kind, customers, share, low, high, n
    moves: pd.DataFrame  # source, target, count, share, low, high, n
    blocked_by: str  # what blocks: forced to call, or forced to another last stage
    base: str  # the month before the first one shown; who has a case in it or earlier is not new afterwards
    missing: str  # why there is nothing to show
    within: str


def kinds(log: EventLog, *, within: str = "7d") -> Kinds:
    """Which customers of a month are new, regular or blocked, and what are they the month after?

    Parameters
    ----------
    within : str
        How long a case is watched for being forced to call; only whole months whose last case was watched that long are shown.

    Returns
    -------
    Kinds
        `table` has one row per month and kind: customers, their share of all `n` customers with a case in that month (0 to 1)
        and its 95 % interval. `moves` has one row per kind in a month (source) and kind in the next (target), all pairs of
        months taken together: count, share of all `n` customers of the source, 95 % interval by customer.

    Raises
    ------
    UnitError
        If `within` has no unit.

    Notes
    -----
    The rule, in this order, for a customer with at least one case that began in the calendar month (time zone of the log):

    - *blocked*: at least one of these cases was forced to call: within `within` from the beginning of the case it reached the
      escalation stage, after a touch to its left (at `problem_from` or further right);
    - *new*: no case began in an earlier month of the log;
    - *regular*: all others.

    A customer seen in an earlier month and without a case in this one is *away*; `moves` has them, `table` does not. The log
    does not reach back for ever: its months up to the first one that was observed whole (but for a day) only serve to know who
    was there and are not shown; those after it still call some customers new who had been there before the log began.

    >>> from cxlib import eventlog
    >>> days = ["2026-06-01", "2026-07-01", "2026-07-02", "2026-07-03", "2026-09-01"]
    >>> touches = pd.DataFrame({"touchpoint_id": list("12345"), "user_id": list("abbac"), "case_id": list("12234"),
    ...     "stage": ["help", "help", "phone", "help", "help"]})
    >>> touches["occurred_at"] = pd.to_datetime(pd.Series(days), utc=True).dt.as_unit("us")
    >>> kinds(eventlog.compile(touches)).table[["month", "kind", "customers", "n"]].head(3)
         month     kind  customers  n
    0  2026-07      new          0  2
    1  2026-07  regular          1  2
    2  2026-07  blocked          1  2
    """
    names, edges = periods(log, "month")
    inside = duration(within)
    held, repeated = log.add_up(_several_months, edges=tuple(edges.tolist()))
    months = np.flatnonzero(log.add_up(cases_by_period, edges=tuple(edges.tolist())))
    ends = min(cases_until(log), log.observed_until - inside)
    base = 1 + int(begins_late(log, edges))
    whole = [k for k in range(base, months[-1] + 1 if len(months) else 0) if edges[k + 1] <= ends]
    before = names[min(base, len(names)) - 1]
    by = named(log, FORCED)
    columns = "month kind customers:n share:x low:x high:x n:n", "source target count:n share:x low:x high:x n:n"
    empty, no_moves = (tidy([], names) for names in columns)
    if not whole or not held:
        return Kinds(empty, no_moves, by, before, "no whole month with cases follows the first whole one of the log", within)
    if not repeated:
        missing = "no customer has cases in two months (customers may be unknown), so nobody can be told from a new one"
        return Kinds(empty, no_moves, by, before, missing, within)
    sums = log.add_up(kind_sums, edges=tuple(edges[: whole[-1] + 2].tolist()), within=inside, base=base)
    by_month = sums[: 3 * len(whole)].reshape(len(whole), 3, 6)
    rows = [
        (names[k], kind, int(column[1]), *stats.share_from_sums(column), int(column[2]))
        for k, month in zip(whole, by_month, strict=True)
        for kind, column in zip(KINDS, month, strict=False)
    ]
    steps = sums[3 * len(whole) :].reshape(4, 4, 6)
    moved = [
        (source, target, int(column[1]), *stats.share_from_sums(column), int(column[2]))
        for source, row in zip(KINDS, steps, strict=True)
        for target, column in zip(KINDS, row, strict=True)
        if target != NEW and column[2]
    ]
    return Kinds(tidy(rows, columns[0]), tidy(moved, columns[1]), by, before, "", within)


def _several_months(log: EventLog, edges: tuple[int, ...]) -> np.ndarray:
    """A kernel: how many customers have cases, and how many have them in more than one month?"""
    cells = np.unique(log.customer_of_case * len(edges) + period_of(began(log), np.array(edges)))
    return np.array([log.n_customers, (np.diff(cells // len(edges)) == 0).sum()])


def kind_sums(log: EventLog, *, edges: tuple[int, ...], within: int, base: int) -> np.ndarray:
    """A kernel: `ratio_sums` of the three kinds in each month but the first `base`, then of the 4 x 4 moves between months."""
    months = len(edges) - 1
    if not log.n_customers:
        return np.zeros((3 * (months - base) + 16, 6), dtype=np.int64)
    kind = _kind_of(log, np.array(edges), within)[:, base:]
    seen = (kind >= 0) & (kind != KINDS.index(AWAY))
    in_month = [stats.ratio_sums(kind == k, seen) for k in range(3)]  # one column per month
    moves = [_moves(kind, source) for source in range(4)]
    return np.concatenate([np.stack(in_month).transpose(2, 0, 1).reshape(-1, 6), np.concatenate(moves)])


def _kind_of(log: EventLog, edges: np.ndarray, within: int) -> np.ndarray:
    """The kind of each customer in each month; `UNSEEN` before the first one with a case."""
    months = len(edges) - 1
    place = period_of(began(log), edges)
    forced = Window(log, within).forced
    present, blocked = (np.zeros((log.n_customers, months), dtype=bool) for _ in range(2))
    present[log.customer_of_case[place >= 0], place[place >= 0]] = True
    blocked[log.customer_of_case[forced & (place >= 0)], place[forced & (place >= 0)]] = True
    known = np.maximum.accumulate(present, axis=1)
    earlier = np.pad(known[:, :-1], ((0, 0), (1, 0)))
    codes = [KINDS.index(kind) for kind in (BLOCKED, NEW, REGULAR, AWAY)]
    return np.select([blocked, present & ~earlier, present, known], codes, UNSEEN).astype(np.int8)


def _moves(kind: np.ndarray, source: int) -> np.ndarray:
    """`ratio_sums` of where the customers of one kind are a month later, one row per target."""
    before, after = kind[:, :-1], kind[:, 1:]
    come = (before == source).any(axis=1)
    before, after = before[come], after[come]
    counts = np.stack([((before == source) & (after == target)).sum(axis=1) for target in range(4)], axis=1)
    return stats.ratio_sums(counts, np.repeat(counts.sum(axis=1, keepdims=True), 4, axis=1)).T
