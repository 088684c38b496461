"""Why did a rate change: because its parts did, or because their mix did?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import stdtrit

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
        Cases and events per segment, before and after; any non-negative numbers.

    Returns
    -------
    Split
        `mix` and `rate` per segment, in the unit of y / n. NaN where a period has no case at all.

    Notes ----- The symmetric form without a rest, with w a segment's share of the cases, r its rate, bars the mean of before
    and after, R the whole rate: mix = (w1 - w0)(rbar - Rbar), rate = (r1 - r0) wbar. Subtracting Rbar does not change the sum
    over segments, because the shares sum to 1, and makes each part readable: a segment that calls more than most adds to the
    change when it grows. A segment that is empty in one period has no rate there: it is taken to be the rate of the other
    period, so all of its part is mix. Source: Kitagawa (1955), J. Am. Stat. Assoc. 50, 1168-1194.

    >>> split = kitagawa(n0=np.array([50, 50]), y0=np.array([5, 10]), n1=np.array([10, 90]), y1=np.array([2, 18]))
    >>> split.mix.round(3).tolist(), split.rate.round(3).tolist()
    ([0.01, 0.01], [0.03, 0.0])
    """
    n0, y0, n1, y1 = (np.asarray(x) * 1.0 for x in (n0, y0, n1, y1))
    if not (np.real(n0).sum() > 0 and np.real(n1).sum() > 0):
        return Split(np.full(len(n0), np.nan), np.full(len(n0), np.nan))
    w0, w1 = n0 / n0.sum(), n1 / n1.sum()
    own0, own1 = _rates(y0, n0), _rates(y1, n1)
    r0, r1 = np.where(np.real(n0) > 0, own0, own1), np.where(np.real(n1) > 0, own1, own0)
    middle = (y0.sum() / n0.sum() + y1.sum() / n1.sum()) / 2
    return Split((w1 - w0) * ((r0 + r1) / 2 - middle), (r1 - r0) * (w0 + w1) / 2)


def _rates(y: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.divide(y, n, out=np.zeros_like(y + n), where=np.real(n) > 0)


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


def kitagawa_interval(totals: np.ndarray, products: np.ndarray, clusters: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
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
        ``mix`` and ``rate`` (one bound per segment), ``all_mix``, ``all_rate`` and ``change``: each (low, high).

    Notes ----- Linearised: the variance of g(totals) is g' S g' over clusters, the gradient g' exact by complex steps (Squire
    and Trapp 1998, SIAM Rev. 40). What resampling whole clusters converges to.

    >>> n0, y0 = np.array([2]), np.array([1])
    >>> bounds = kitagawa_interval(np.array([n0, y0, n0, y0]), np.zeros((4, 4)), clusters=2)
    >>> [float(x) for x in bounds["change"]]
    [0.0, 0.0]
    """
    shape, size = totals.shape, totals.size
    steps = totals.ravel() + 1e-20j * np.eye(size)  # so small that the step adds no error at all
    slopes = np.array([_parts(step.reshape(shape)) for step in steps]).imag / 1e-20
    middle = _parts(totals.astype(float))
    variance = np.einsum("ij,ik,kj->j", slopes, products.astype(float), slopes).clip(0)
    half = (
        stdtrit(clusters - 1, (1 + LEVEL) / 2) * np.sqrt(variance * clusters / (clusters - 1))
        if clusters > 1
        else np.full(len(middle), np.nan)
    )
    low, high, k = middle - half, middle + half, shape[1]
    ends = {"mix": slice(k), "rate": slice(k, 2 * k), "all_mix": 2 * k, "all_rate": 2 * k + 1, "change": 2 * k + 2}
    return {name: (low[end], high[end]) for name, end in ends.items()}


def _parts(totals: np.ndarray) -> np.ndarray:
    n0, y0, n1, y1 = totals
    mix, rate = kitagawa(n0, y0, n1, y1)
    return np.concatenate([mix, rate, [mix.sum(), rate.sum(), y1.sum() / n1.sum() - y0.sum() / n0.sum()]])


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
