"""How much do groups differ, when some clusters have cases in several? And a rate per exposure, by cluster."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, stdtr

from cxlib.stats.intervals import LEVEL, mean_from_sums, share_from_sums


class Difference(NamedTuple):
    """A difference, its 95 % interval, and the chance of one as large (either way) if there were none."""

    change: float
    low: float
    high: float
    p: float


_UNKNOWN = Difference(np.nan, np.nan, np.nan, np.nan)


def cross_sums(y0: np.ndarray, n0: np.ndarray, y1: np.ndarray, n1: np.ndarray) -> np.ndarray:
    """What has to be added up, besides each group's `ratio_sums`, to know the difference of two ratios.

    The arguments have one row per cluster: y of n in the first and in the second group. Returns the rows clusters in both, sum
    y0*y1, sum y0*n1, sum n0*y1, sum n0*n1: whole numbers, so parts of the data add up to exactly the same.

    >>> cross_sums(np.array([1, 0]), np.array([2, 1]), np.array([3, 0]), np.array([4, 0])).tolist()
    [1, 3, 4, 6, 8]
    """
    y0, n0, y1, n1 = (np.asarray(x, dtype=np.int64) for x in (y0, n0, y1, n1))
    both = ((n0 > 0) & (n1 > 0)).sum(axis=0)
    return np.stack([both, (y0 * y1).sum(0), (y0 * n1).sum(0), (n0 * y1).sum(0), (n0 * n1).sum(0)])


def sums_in_a_row(cluster: np.ndarray, group: np.ndarray, groups: int, y: np.ndarray, n: np.ndarray) -> np.ndarray:
    """What has to be added up to know the ratio of each group, and its difference from the group before.

    Parameters
    ----------
    cluster, group : array of int
        Of each case; groups are numbered in their order, such as months, from 0 to `groups` - 1.
    y, n : array of int
        y of n of each case.

    Returns
    -------
    array
        One row per group: the six numbers of `ratio_sums`, then the five of `cross_sums` of the group before and this one.

    >>> sums_in_a_row(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, np.array([1, 0, 1]), np.ones(3, dtype=int)).tolist()
    [[1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], [2, 1, 2, 1, 1, 2, 1, 0, 1, 0, 1]]
    """
    cell, (y, n) = _cells(np.asarray(cluster, dtype=np.int64) * groups + group, y, n)
    place = cell % groups
    own = [n > 0, y, n, y * y, y * n, n * n]
    next_to = np.flatnonzero((np.diff(cell) == 1) & (place[1:] > 0))
    y0, n0, y1, n1 = y[next_to], n[next_to], y[next_to + 1], n[next_to + 1]
    crossed = [(n0 > 0) & (n1 > 0), y0 * y1, y0 * n1, n0 * y1, n0 * n1]
    columns = [_added(x, place, groups) for x in own] + [_added(x, place[next_to + 1], groups) for x in crossed]
    return np.stack(columns, axis=1)


def sums_against_rest(cluster: np.ndarray, group: np.ndarray, groups: int, y: np.ndarray, n: np.ndarray) -> np.ndarray:
    """What has to be added up to compare each group with all the others together.

    As `sums_in_a_row`, without an order of the groups; returns one row per group: the six numbers of `ratio_sums` of the
    rest, the six of the group, and the five of `cross_sums` of the two.

    >>> sums_against_rest(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, np.array([1, 0, 1]), np.ones(3, dtype=int)).tolist()
    [[2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 1, 2, 1, 2, 1, 1, 2, 1, 0, 1, 0, 1]]
    """
    cell, (y, n) = _cells(np.asarray(cluster, dtype=np.int64) * groups + group, y, n)
    place = cell % groups
    _, owner = np.unique(cell // groups, return_inverse=True)
    clusters = int(owner.max()) + 1 if len(owner) else 0
    all_y, all_n = _added(y, owner, clusters), _added(n, owner, clusters)
    whole = [(all_n > 0).sum(), all_y.sum(), all_n.sum(), (all_y**2).sum(), (all_y * all_n).sum(), (all_n**2).sum()]
    other_y, other_n = all_y[owner] - y, all_n[owner] - n
    own = [n > 0, y, n, y * y, y * n, n * n]
    # What the clusters of a group lose when the group is taken out of them; the other clusters keep all.
    lost = [
        (all_n[owner] > 0) & (other_n == 0), y, n,
        all_y[owner] ** 2 - other_y**2, (all_y * all_n)[owner] - other_y * other_n, all_n[owner] ** 2 - other_n**2,
    ]  # fmt: skip
    crossed = [(n > 0) & (other_n > 0), other_y * y, other_y * n, other_n * y, other_n * n]
    rest = [total - _added(x, place, groups) for total, x in zip(whole, lost, strict=True)]
    return np.stack(rest + [_added(x, place, groups) for x in own + crossed], axis=1)


def _cells(code: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct codes in order, and the values added up under each."""
    order = np.argsort(code, kind="stable")
    start = np.flatnonzero(np.diff(code[order], prepend=-1))
    sums = [
        np.add.reduceat(np.asarray(v, dtype=np.int64)[order], start) if len(start) else np.empty(0, dtype=np.int64)
        for v in values
    ]
    return code[order][start], sums


def _added(values: np.ndarray, place: np.ndarray, places: int) -> np.ndarray:
    """Whole numbers added up by place, exactly."""
    total = np.zeros(places, dtype=np.int64)
    np.add.at(total, place, values.astype(np.int64))
    return total


def difference_from_sums(first: np.ndarray, second: np.ndarray, cross: np.ndarray, *, share: bool = True) -> Difference:
    """The second group's ratio less the first's, with its interval by cluster.

    Parameters
    ----------
    first, second : array
        `ratio_sums` of each group.
    cross : array
        `cross_sums` of the two; zeros where no cluster has cases in both.
    share : bool
        Whether the ratios are shares (0 to 1) or means.

    Returns
    -------
    Difference
        In the unit of the ratio; NaN where a group is empty.

    Notes
    -----
    The interval joins the two groups' own intervals (`share_from_sums`, `mean_from_sums`) by the method of variance estimates
    recovery: d - sqrt((r1 - l1)^2 - 2 c (r1 - l1)(u0 - r0) + (u0 - r0)^2) and its mirror image, where c is the correlation of
    the two ratios, from the clusters with cases in both (Zou and Donner 2008, Stat. Med. 27; with c = 0 and one case a
    cluster it is Newcombe's method 10, Stat. Med. 17, 1998). The p-value is that of a score test by cluster: the variance is
    taken around the common ratio (Boos 1992, Am. Stat. 46), with Student's t; for shares no group's is taken to be smaller than
    a binomial's (what it lacks, the other has too much of), or 0 of 31 would seem sure to differ from 4 in 1,000.

    >>> from cxlib.stats.intervals import ratio_sums
    >>> men = ratio_sums(np.array([1] * 48 + [0] * 32), np.ones(80))
    >>> women = ratio_sums(np.array([1] * 56 + [0] * 14), np.ones(70))
    >>> [round(x, 3) for x in difference_from_sums(men, women, np.zeros(5))[:3]]
    [0.2, 0.049, 0.337]
    """
    first, second, cross = (np.asarray(sums, dtype=float) for sums in (first, second, cross))
    if not (first[2] and second[2]):
        return _UNKNOWN
    interval = share_from_sums if share else mean_from_sums
    (r0, low0, high0), (r1, low1, high1) = interval(first), interval(second)
    clusters = first[0] + second[0] - cross[0]
    c = _correlation(first, second, cross, r0, r1)
    down = _joined(r1 - low1, high0 - r0, c)
    up = _joined(high1 - r1, r0 - low0, c)
    d = r1 - r0
    low, high = (max(-1.0, d - down), min(1.0, d + up)) if share else (d - down, d + up)
    return Difference(float(d), float(low), float(high), _score_p(first, second, cross, d, clusters, share))


def _joined(a: float, b: float, c: float) -> float:
    return float(np.sqrt(max(0.0, a * a - 2 * c * a * b + b * b)))


def _products(cross: np.ndarray, r0: float, r1: float) -> float:
    """Sum over clusters of (y0 - r0 n0)(y1 - r1 n1)."""
    _, yy, yn, ny, nn = cross
    return yy - r1 * yn - r0 * ny + r0 * r1 * nn


def _squares(sums: np.ndarray, r: float) -> float:
    """Sum over clusters of (y - r n)^2."""
    _, _, _, yy, yn, nn = sums
    return max(0.0, yy - 2 * r * yn + r * r * nn)


def _correlation(first: np.ndarray, second: np.ndarray, cross: np.ndarray, r0: float, r1: float) -> float:
    spread = np.sqrt(_squares(first, r0) * _squares(second, r1))
    return float(np.clip(_products(cross, r0, r1) / spread, -1, 1)) if spread > 0 else 0.0


def _score_p(first: np.ndarray, second: np.ndarray, cross: np.ndarray, d: float, clusters: float, share: bool) -> float:
    n0, n1 = first[2], second[2]
    r = (first[1] + second[1]) / (n0 + n1)
    n = np.array([n0, n1])
    squares, least = np.array([_squares(first, r), _squares(second, r)]), n * (r * (1 - r) if share else 0.0)
    lacks = np.maximum(least - squares, 0.0)
    own = np.maximum(squares + lacks - lacks[::-1], least)
    spread = (own / n**2).sum() - 2 * _products(cross, r, r) / (n0 * n1)
    if d == 0 or clusters < 2 or spread <= 0:
        return 1.0
    t = abs(d) / np.sqrt(spread * clusters / (clusters - 1))
    return float(2 * stdtr(clusters - 1, -t))


def rate_interval(y: np.ndarray, exposure: float) -> tuple[float, float, float]:
    """Events per unit of exposure with the interval by cluster: (rate, low, high), NaN without exposure.

    `y` has the events of each cluster that had any. Clusters come and bring several events each (compound Poisson), which is
    worth sum(y)^2 / sum(y^2) single events; of these Garwood's exact interval is taken (Biometrika 28, 1936; for the
    effective number Fay and Feuer 1997, Stat. Med. 16). Ten single events have the printed bounds 4.795 and 18.390.

    >>> [round(x, 3) for x in rate_interval(np.ones(10), 1)]
    [10.0, 4.795, 18.39]
    """
    y = np.asarray(y, dtype=float)
    if exposure <= 0:
        return np.nan, np.nan, np.nan
    total, squares = y.sum(), (y * y).sum()
    if total == 0:
        return 0.0, 0.0, float(gammaincinv(1, (1 + LEVEL) / 2) / exposure)
    weight = squares / total
    low, high = gammaincinv(total / weight, (1 - LEVEL) / 2), gammaincinv(total / weight + 1, (1 + LEVEL) / 2)
    return float(total / exposure), float(low * weight / exposure), float(high * weight / exposure)
