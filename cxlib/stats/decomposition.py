"""Why did a rate change: because its parts did, or because their mix did?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import ndtri, stdtrit

from cxlib.stats.intervals import LEVEL


class Split(NamedTuple):
    """A change split by segment; the sum of all entries of `mix` and `rate` is the change."""

    mix: np.ndarray
    rate: np.ndarray


def kitagawa(n0: np.ndarray, y0: np.ndarray, n1: np.ndarray, y1: np.ndarray) -> Split:
    """How much of a rate's change comes from the mix of segments, and how much from the segments' own rates?

    Parameters
    ----------
    n0, y0, n1, y1 : array
        Cases and events per segment, before and after; further dimensions are splits of their own.

    Returns
    -------
    Split
        `mix` and `rate` per segment, in the unit of y / n. NaN where a period has no case at all.

    Notes
    -----
    The symmetric form without a rest, with w a segment's share of the cases, r its rate, bars the mean of before and after, R
    the whole rate: mix = (w1 - w0)(rbar - Rbar), rate = (r1 - r0) wbar. Subtracting Rbar does not change the sum over
    segments, because the shares sum to 1, and makes each part readable: a segment that calls more than most adds to the
    change when it grows. A segment that is empty in one period has no rate there: it is taken to be the rate of the other
    period, so all of its part is mix. Source: Kitagawa (1955), J. Am. Stat. Assoc. 50, 1168-1194.

    >>> split = kitagawa(n0=np.array([50, 50]), y0=np.array([5, 10]), n1=np.array([10, 90]), y1=np.array([2, 18]))
    >>> split.mix.round(3).tolist(), split.rate.round(3).tolist()
    ([0.01, 0.01], [0.03, 0.0])
    """
    n0, y0, n1, y1 = (np.asarray(x, dtype=float) for x in (n0, y0, n1, y1))
    if not (n0.any() and n1.any()):
        return Split(np.full(n0.shape, np.nan), np.full(n0.shape, np.nan))
    w0, w1 = n0 / n0.sum(axis=0), n1 / n1.sum(axis=0)
    own0, own1 = _rates(y0, n0), _rates(y1, n1)
    r0, r1 = np.where(n0 > 0, own0, own1), np.where(n1 > 0, own1, own0)
    middle = (y0.sum(axis=0) / n0.sum(axis=0) + y1.sum(axis=0) / n1.sum(axis=0)) / 2
    return Split((w1 - w0) * ((r0 + r1) / 2 - middle), (r1 - r0) * (w0 + w1) / 2)


def _rates(y: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.divide(y, n, out=np.zeros(n.shape), where=n > 0)


def table_products(row: np.ndarray, column: np.ndarray, value: np.ndarray, columns: int) -> np.ndarray:
    """Add up, over clusters, the products of each two of their totals: the spread of anything that is made of the totals.

    The entries are sparse: `value` (a whole number) belongs to cluster `row` and total `column`. Returns a (columns, columns)
    array of whole numbers; parts of the data that hold whole clusters add up to exactly the same.

    >>> table_products(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([2, 3, 1]), columns=2).tolist()
    [[4, 6], [6, 10]]
    """
    clusters = int(row.max()) + 1 if len(row) else 0
    totals = sparse.csr_array((np.asarray(value, dtype=np.int64), (row, column)), shape=(clusters, columns))
    return (totals.T @ totals).toarray()


def kitagawa_interval(
    totals: np.ndarray, products: np.ndarray, clusters: int, *, seed: int = 0, draws: int = 4000
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The 95 % interval by cluster of each part of `kitagawa`, of their sums and of the whole change.

    Parameters
    ----------
    totals : array
        The four rows n0, y0, n1, y1, one column per segment.
    products : array
        `table_products` of the same totals, flattened row by row: (4 segments, 4 segments).
    clusters : int
        How many clusters there are.

    Returns
    -------
    dict
        ``mix`` and ``rate`` (one bound per segment), ``all_mix``, ``all_rate`` and ``change``: each (low, high); NaN where
        there are too few cases for such a law: less than two clusters, or a period that some draw leaves empty.

    Notes
    -----
    The totals are sums over many clusters, so they are drawn from the normal law that resampling the clusters would give
    them, and each draw is split; the bounds are percentiles. Mix is a product of two differences: its law is skewed, and an
    interval of the same width on both sides (the delta method) held in 92 to 93 % of simulated worlds. Source of the method:
    MacKinnon, Lockwood and Williams (2004), Multivariate Behavioral Research 39.

    >>> n, y = np.array([20]), np.array([5])
    >>> bounds = kitagawa_interval(np.array([n, y, n, y]), np.zeros((4, 4)), clusters=10)
    >>> [float(x) for x in bounds["change"]]
    [0.0, 0.0]
    """
    few = max(clusters - 1, 1)
    wide = stdtrit(few, (1 + LEVEL) / 2) / ndtri((1 + LEVEL) / 2) * np.sqrt(clusters / few)  # Student for normal
    values, axes = np.linalg.eigh(products.astype(float))
    spread = axes * np.sqrt(values.clip(0))
    noise = np.random.default_rng(seed).standard_normal((totals.size, draws))
    n0, y0, n1, y1 = (totals.reshape(-1, 1) + wide * spread @ noise).reshape(4, -1, draws)
    n0, n1 = n0.clip(0), n1.clip(0)
    y0, y1 = np.where(n0 > 0, y0, 0), np.where(n1 > 0, y1, 0)
    known = clusters > 1 and min(n0.sum(axis=0).min(), n1.sum(axis=0).min()) > 0
    mix, rate = kitagawa(n0, y0, n1, y1) if known else kitagawa(0 * n0, y0, n1, y1)
    sums = {"all_mix": mix.sum(axis=0), "all_rate": rate.sum(axis=0), "change": mix.sum(axis=0) + rate.sum(axis=0)}
    bounds = {
        name: np.quantile(x, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
        for name, x in ({"mix": mix, "rate": rate} | sums).items()
    }
    return {name: (low, high) for name, (low, high) in bounds.items()}


def simpson(n0: np.ndarray, y0: np.ndarray, n1: np.ndarray, y1: np.ndarray, minimum: int = 1) -> bool:
    """Does the whole rate move one way while every segment's rate moves the other?

    Segments with fewer cases than `minimum` before or after say nothing and only count for the whole; with none left the answer
    is no. Simpson (1951), J. R. Stat. Soc. B 13.

    >>> simpson(n0=np.array([90, 10]), y0=np.array([9, 5]), n1=np.array([10, 90]), y1=np.array([0, 36]))
    True
    """
    n0, y0, n1, y1 = (np.asarray(x, dtype=float) for x in (n0, y0, n1, y1))
    large = (n0 >= max(1, minimum)) & (n1 >= max(1, minimum))
    if not large.any():
        return False
    whole = np.sign(y1.sum() / n1.sum() - y0.sum() / n0.sum())
    parts = np.sign(y1[large] / n1[large] - y0[large] / n0[large])
    return bool(whole != 0 and (parts == -whole).all())
