"""Segments and groups of cases beside each other: which differ from the rest, and where do their steps differ?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog, began, mature, settled
from cxlib.journey.outcomes import (
    NO_LABEL,
    Labels,
    Window,
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


@dataclass(frozen=True)
class Segments:
    """The answer of `segments`; `table` has one row per segment that is large enough."""

    table: pd.DataFrame  # segment, value, low, high, n, rest, rest_n, difference, difference_low, difference_high, p, q
    small: pd.DataFrame  # segment, n: fewer cases than `minimum` in it or outside it, not tested
    metric: str
    unit: str
    rising_is_better: bool
    minimum: int
    n_cases: int
    n_immature: int
    within: str


@dataclass(frozen=True)
class MatrixDiff:
    """The answer of `matrix_diff`; `table` has one row per pair of stages that occurs in either group."""

    table: pd.DataFrame  # source, target, count0, n0, share0, count1, n1, share1, difference, low, high, p, q
    groups: tuple[str, str]
    stages: tuple[str, ...]
    minimum: int


MOST_LEVELS = 100  # more are names of single things and not segments
UNKNOWN = 0.1  # a column that is missing in a larger share of the cases is offered last
_NOT_SEGMENTS = ("month", "n_earlier", "earlier_mood")


def segmentations(known: pd.DataFrame, first: str | None = None) -> dict[str, pd.Series]:
    """By what can the cases be divided into segments? Labels per case, by name.

    Parameters
    ----------
    known : DataFrame
        One row per case, as `cases` gives it.
    first : str, optional
        The column that is to come first.

    Returns
    -------
    dict of Series
        What the case is about first (topic, application), then who the customer is, then what is not known of one case in
        ten or more: a topic that is read from a ticket is known only of those who came so far, which is no fair division.
        Only columns with 2 to 100 values; if there is none, the kind of customer, so that there always is a segment.

    Raises
    ------
    DataError
        If `first` is none of them.

    >>> known = pd.DataFrame({"kind": ["new", "regular"], "topic": ["a", "b"], "role": ["x", "x"]})
    >>> list(segmentations(known))
    ['topic', 'kind']
    """
    wanted = [name for name in ("topic", "application") if name in known]
    wanted += [name for name in known if name not in (*wanted, *_NOT_SEGMENTS, "kind")] + ["kind"]
    divides = [name for name in wanted if 2 <= known[name].nunique() <= MOST_LEVELS] or ["kind"]
    found = {name: known[name] for name in sorted(divides, key=lambda name: known[name].isna().mean() > UNKNOWN)}
    if first is None:
        return found
    if first not in found:
        raise DataError(f"segment={first!r} does not divide the cases: {nearest(first, found)}")
    return {first: found[first]} | found


def case_periods(log: EventLog, period: str = "month") -> pd.Series:
    """In which period did each case begin? Its name, one per case, as in `scorecard`.

    >>> from cxlib.eventlog import from_paths
    >>> case_periods(from_paths(a="help")).tolist()
    ['1970-01']
    """
    names, edges = periods(log, period)
    place = log.per_case(_period_codes, edges=tuple(edges.tolist()))["place"].to_numpy()
    return pd.Series(np.array([*names, None], dtype=object)[place])


def _period_codes(log: EventLog, *, edges: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"place": period_of(began(log), np.array(edges))}


def segments(log: EventLog, segment: Labels, *, metric: str = FORCED, minimum: int = 30, within: str = "7d") -> Segments:
    """Which segments differ from the rest, and by how much?

    Parameters
    ----------
    segment : one label per case, in the order of the log
        Such as the topic or the application; missing labels are a segment of their own.
    metric : str
        A global measure: forced to call, calls per 1,000 cases, mood along the journey or back within 7 days; see
        `outcomes.measured`.
    minimum : int
        A segment with fewer cases that count, or with fewer outside it, is not tested and listed in `small`.
    within : str
        As in `scorecard`: only touches so long after a case began, and only cases old enough.

    Returns
    -------
    Segments
        `table` has one row per segment, the worst first: value with its 95 % interval by customer and `n`, the value of the
        rest and its `rest_n`, `difference` (segment less rest) with its interval, `p`, and `q`: of all with q <= .05 at most
        5 % are expected to be chance (Benjamini and Hochberg).

    Raises
    ------
    DataError
        If there is not one label per case, or the metric is not known.

    Notes
    -----
    A customer may have cases in the segment and outside it; the interval takes their covariance into account. A difference is
    not an effect: segments differ in more than their name.

    >>> from cxlib.eventlog import from_paths
    >>> log = from_paths(a="help phone", b="help", c="help phone", d="help")
    >>> segments(log, ["x", "y", "x", "y"], minimum=2).table[["segment", "value", "rest", "difference"]]
      segment  value  rest  difference
    0       x    1.0   0.0         1.0
    1       y    0.0   1.0        -1.0
    """
    how, (codes, labels) = chosen(metric), coded(log, segment)
    cases = log.per_case(case_measures, within=duration(within), until=cases_until(log), name=metric)
    kept = cases["n"].to_numpy() > 0
    y, n = (cases[name].to_numpy()[kept] for name in ("y", "n"))
    sums = stats.sums_against_rest(log.customer_of_case[kept], codes[kept], len(labels), y, n)
    interval = stats.share_from_sums if how.share else stats.mean_from_sums
    rows, small = [], []
    for label, row in zip(labels, sums, strict=True):
        rest, own, cross = row[:6], row[6:12], row[12:]
        if min(rest[2], own[2]) < max(1, minimum):
            small.append((label, int(own[2])))
            continue
        apart = stats.difference_from_sums(rest, own, cross, share=how.share)
        value, low, high = interval(own)
        scaled = [how.scale * x for x in (value, low, high, rest[1] / rest[2], *apart[:3])]
        rows.append((label, *scaled[:3], int(own[2]), scaled[3], int(rest[2]), *scaled[4:], apart.p))
    columns = "segment value:x low:x high:x n:n rest:x rest_n:n difference:x difference_low:x difference_high:x p:x"
    table = tidy(rows, columns)
    table["q"] = stats.false_discovery(table["p"].to_numpy())
    table = table.sort_values("difference", ascending=how.rising_is_better, ignore_index=True)
    few = tidy(small, "segment n:n").query("n > 0").sort_values("n", ascending=False, ignore_index=True)
    young = int((~cases["counted"]).sum())
    name = named(log, metric)
    return Segments(table, few, name, how.unit, how.rising_is_better, minimum, int(kept.sum()), young, within)


def matrix_diff(log: EventLog, group: Labels, *, minimum: int = 30, within: str | None = None) -> MatrixDiff:
    """Where do two groups of cases go differently, step by step?

    Parameters
    ----------
    group : one label per case, in the order of the log
        Two distinct labels; cases with a missing label are in neither group.
    minimum : int
        A step out of a stage that one of the groups left fewer times than this is shown but not tested (`p` and `q` are NaN).
    within : str, optional
        Only touches up to this long after a case began, and only cases that were observed for that long; "end" is then no
        further touch within it. Without it touches count as in `transitions`, and of two groups the older has had more time.

    Returns
    -------
    MatrixDiff
        `table` has one row per pair of source and target (a stage, or "end" for the last touch of a case that is over):
        count, all moves `n` out of the source, and their share, in the first group (0) and the second (1) by the alphabet;
        the difference (second less first) with its 95 % interval by customer, `p`, and `q` (Benjamini and Hochberg).

    Raises
    ------
    DataError
        If there is not one label per case, or there are not exactly two labels.

    Notes
    -----
    The unit is the touch. Shares out of one source sum to 1, so when one rises others fall: the tests are not independent.

    >>> from cxlib.eventlog import from_paths
    >>> log = from_paths(a="help phone", b="help")
    >>> matrix_diff(log, ["x", "y"]).table[["source", "target", "share0", "share1", "difference"]]
      source target  share0  share1  difference
    0   help  phone     1.0     0.0        -1.0
    1   help    end     0.0     1.0         1.0
    2  phone    end     1.0     NaN         NaN
    """
    codes, labels = coded(log, group)
    names = [label for label in labels if label != NO_LABEL]
    if len(names) != 2:
        raise DataError(
            f"group has {len(names)} labels ({', '.join(names[:5])}): give two, and a missing label for other cases"
        )
    side = np.array([names.index(label) if label in names else -1 for label in labels], dtype=np.int64)[codes]
    inside = duration(within) if within is not None else None
    sums = np.sum([step_sums(part, own, inside) for part, own in _parts(log, side)], axis=0)
    targets = (*log.stages, "end")
    rows = []
    for s, t in np.argwhere(sums[:, :, 1] + sums[:, :, 7] > 0):
        first, second, cross = np.split(sums[s, t], [6, 12])
        apart = stats.difference_from_sums(first, second, cross)
        p = apart.p if min(first[2], second[2]) >= minimum else np.nan
        shares = [x[1] / x[2] if x[2] else np.nan for x in (first, second)]
        rows.append((log.stages[s], targets[t], int(first[1]), int(first[2]), shares[0],
                     int(second[1]), int(second[2]), shares[1], *apart[:3], p))  # fmt: skip
    table = tidy(rows, "source target count0:n n0:n share0:x count1:n n1:n share1:x difference:x low:x high:x p:x")
    return MatrixDiff(table.assign(q=stats.false_discovery(table["p"].to_numpy())), (names[0], names[1]), log.stages, minimum)


def _parts(log: EventLog, of_case: np.ndarray) -> Iterator[tuple[EventLog, np.ndarray]]:
    """The parts of the log, each with what is known of its own cases; `add_up` asks every part the same."""
    first = 0
    for part in log.shards():
        yield part, of_case[first : first + part.n_cases]
        first += part.n_cases


def step_sums(log: EventLog, side: np.ndarray, within: int | None = None) -> np.ndarray:
    """A kernel: for each source and target: `ratio_sums` of the first and of the second group, and `cross_sums` of the two."""
    k = len(log.stages)
    out = np.zeros((k, k + 1, 17), dtype=np.int64)
    if not log.n_cases:
        return out
    if within is None:
        group = np.where(settled(log), side[log.case_of_touch], -1)
    else:
        side = np.where(mature(log, within), side, -1)
        log = Window(log, within).early
        group = side[log.case_of_touch]
    target = np.append(log.stage[1:], 0).astype(np.int64)
    target[log.case_start[1:] - 1] = k
    customer = log.customer_of_case[log.case_of_touch]
    for source in range(k):
        moves = (log.stage == source) & (group >= 0)
        owner, rows = np.unique(customer[moves], return_inverse=True)
        cell = (group[moves] * len(owner) + rows) * (k + 1) + target[moves]
        y0, y1 = np.bincount(cell, minlength=2 * len(owner) * (k + 1)).reshape(2, len(owner), k + 1)
        n0, n1 = (np.repeat(y.sum(axis=1, keepdims=True), k + 1, axis=1) for y in (y0, y1))
        sums = [stats.ratio_sums(y0, n0), stats.ratio_sums(y1, n1), stats.cross_sums(y0, n0, y1, n1)]
        out[source] = np.concatenate(sums).T
    return out
