"""Did a measure change because the segments did, or because their mix did?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog
from cxlib.journey.outcomes import (
    ENOUGH,
    RETURN,
    Labels,
    Measure,
    case_measures,
    cases_until,
    chosen,
    coded,
    named,
    period_of,
    periods,
    tidy,
)
from cxlib.journey.reach import FORCED
from cxlib.schema import DataError, duration, nearest

NONE, SEEN, CLEAR = "no", "seen", "clear"


@dataclass(frozen=True)
class Change:
    """The answer of `change`; `table` has one row per segment, `parts` one row per part of the change."""

    table: pd.DataFrame  # segment, n0, n1, share0, share1, mix, mix_low, mix_high, rate, rate_low, rate_high, total
    parts: pd.DataFrame  # part (mix, rate, change), value, low, high
    before: str
    after: str
    value0: float
    value1: float
    n0: int
    n1: int
    n_customers: int
    reversal: str  # NONE, SEEN or CLEAR: do all segments move one way and the whole the other?
    metric: str
    unit: str
    rising_is_better: bool
    within: str
    missing: str  # why there is nothing to compare; empty where there is


def change(
    log: EventLog,
    segment: Labels,
    *,
    before: str | None = None,
    after: str | None = None,
    metric: str = FORCED,
    period: str = "month",
    within: str = "7d",
) -> Change:
    """Did the share forced to call change because the segments did, or because their mix did?

    Parameters
    ----------
    segment : one label per case, in the order of the log
        Such as the topic or the application; missing labels are a segment of their own.
    before, after : str, optional
        The two periods, such as "2026-07" and "2026-08"; by default the last whole one and the one before it, of those with 30
        cases (where none is whole, or fewer than two have 30 cases: of those with any).
    metric, period, within
        As in `segments` and `scorecard`.

    Returns
    -------
    Change
        `table` has one row per segment: cases and share before and after (0 and 1), its parts `mix` and `rate` of the whole
        change with 95 % intervals by customer, and their sum `total`. `parts` has the sums. Mix and rate add up to the change
        without a rest. `reversal` says whether every segment with 30 cases in both periods moves one way and the whole the
        other (Simpson's paradox): "seen", or "clear" if the intervals of the change and of its rate part agree. Where neither
        period is named and there are not two to compare, the tables are empty and `missing` says why.

    Raises
    ------
    DataError
        If a period that was named holds no case that counts, or there is not one label per case.

    Notes
    -----
    Kitagawa (1955), symmetric form, see `stats.kitagawa`; intervals see `stats.kitagawa_interval`. A split explains nothing by
    itself: what is called mix depends on the segments chosen.

    In July one of two cases is forced to call, in August none of one: all of it is rate, because there is one segment.

    >>> from cxlib import eventlog
    >>> days = ["2026-07-01", "2026-07-02", "2026-07-03", "2026-08-01", "2026-09-01"]
    >>> touches = pd.DataFrame({"touchpoint_id": list("12345"), "user_id": list("aabcd"), "occurred_at": days})
    >>> touches["stage"] = ["help", "phone", "help", "help", "product"]
    >>> touches["occurred_at"] = pd.to_datetime(touches["occurred_at"], utc=True).dt.as_unit("us")
    >>> change(eventlog.compile(touches), ["x", "x", "x", "x"]).parts["value"].tolist()
    [0.0, -0.5, -0.5]
    """
    how, (codes, labels) = chosen(metric), coded(log, segment)
    names, edges = periods(log, period)
    cases = log.per_case(case_measures, within=duration(within), until=cases_until(log), name=metric)
    place = np.where(cases["n"] > 0, period_of(cases["began"].to_numpy(), edges), -1)
    held = np.bincount(place[place >= 0], minlength=len(names))
    if before is None and after is None and np.count_nonzero(held) < 2:
        return _nothing(log, metric, how, within, _began_in(int(np.count_nonzero(held)), period))
    complete = edges[1:] <= cases_until(log) - duration(within) - RETURN
    places = _two_periods(names, held, complete, before, after)
    totals, products, customers = _tallied(log, cases, codes, len(labels), [place == at for at in places])
    split, bounds = stats.kitagawa(*totals), stats.kitagawa_interval(totals, products, customers)
    n0, y0, n1, y1 = totals
    with np.errstate(invalid="ignore"):
        shares = (how.scale * y0 / n0, how.scale * y1 / n1)
    parts_of = {
        f"{part}{end}": how.scale * values
        for part in ("mix", "rate")
        for end, values in (("", getattr(split, part)), ("_low", bounds[part][0]), ("_high", bounds[part][1]))
    }
    table = pd.DataFrame({"segment": labels, "n0": n0, "n1": n1, "share0": shares[0], "share1": shares[1]} | parts_of)
    table["total"] = table["mix"] + table["rate"]
    value0, value1 = how.scale * y0.sum() / n0.sum(), how.scale * y1.sum() / n1.sum()
    whole = {"mix": table["mix"].sum(), "rate": table["rate"].sum(), "change": value1 - value0}
    ends = {"mix": "all_mix", "rate": "all_rate", "change": "change"}
    rows = [(part, value, *(how.scale * float(x) for x in bounds[ends[part]])) for part, value in whole.items()]
    parts = tidy(rows, "part value:x low:x high:x")
    seen = table[(table["n0"] > 0) | (table["n1"] > 0)].reset_index(drop=True)
    return Change(
        seen, parts, names[places[0]], names[places[1]], float(value0), float(value1), int(n0.sum()), int(n1.sum()),
        customers, _reversal(totals, parts), named(log, metric), how.unit, how.rising_is_better, within, "",
    )  # fmt: skip


def _began_in(n: int, period: str) -> str:
    return f"cases that count began in {n} {period}{'' if n == 1 else 's'}, not in two"


def _nothing(log: EventLog, metric: str, how: Measure, within: str, missing: str) -> Change:
    table = tidy([], "segment n0:n n1:n share0:x share1:x mix:x mix_low:x mix_high:x rate:x rate_low:x rate_high:x total:x")
    parts = tidy([], "part value:x low:x high:x")
    unknown = (float("nan"), float("nan"), 0, 0, 0, NONE)
    return Change(table, parts, "", "", *unknown, named(log, metric), how.unit, how.rising_is_better, within, missing)


def _two_periods(names: list[str], cases: np.ndarray, whole: np.ndarray, before: str | None, after: str | None) -> list[int]:
    """The positions of the two periods to compare."""
    known = [names[i] for i in np.flatnonzero(cases)]
    for name in (before, after):
        if name is not None and name not in known:
            raise DataError(f"{name!r} is no period with cases that count: {nearest(name, known)}")
    if len(known) < 2 and (before is None or after is None):
        raise DataError(f"a change needs two periods with cases that count, and there are {len(known)}")
    large = [name for name in known if cases[names.index(name)] >= ENOUGH]
    enough = large if len(large) > 1 else known
    last = after or next((name for name in reversed(enough[1:]) if whole[names.index(name)]), enough[-1])
    if before is None and known.index(last) == 0:
        raise DataError(f"{last!r} is the first period with cases that count: nothing lies before it")
    return [names.index(before or known[known.index(last) - 1]), names.index(last)]


def _tallied(
    log: EventLog, cases: pd.DataFrame, codes: np.ndarray, segments: int, periods: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, int]:
    """n0, y0, n1, y1 by segment; the products by customer of each two of these totals; the customers in either period."""
    row, column, value = [], [], []
    for k, chosen_cases in enumerate(periods):
        for shift, name in ((0, "n"), (1, "y")):
            row.append(log.customer_of_case[chosen_cases])
            column.append((2 * k + shift) * segments + codes[chosen_cases])
            value.append(cases[name].to_numpy()[chosen_cases])
    rows, columns, values = (np.concatenate(x).astype(np.int64) for x in (row, column, value))
    totals = np.zeros(4 * segments, dtype=np.int64)
    np.add.at(totals, columns, values)
    customers, rows = np.unique(rows, return_inverse=True)
    return totals.reshape(4, segments), stats.table_products(rows, columns, values, 4 * segments), len(customers)


def _reversal(totals: np.ndarray, parts: pd.DataFrame) -> str:
    n0, y0, n1, y1 = totals
    if not stats.simpson(n0, y0, n1, y1, minimum=ENOUGH):
        return NONE
    rate, whole = (parts.set_index("part").loc[name] for name in ("rate", "change"))
    sure = all(part["low"] > 0 or part["high"] < 0 for part in (rate, whole))
    return CLEAR if sure and rate["value"] * whole["value"] < 0 else SEEN
