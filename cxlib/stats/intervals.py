"""Intervals of shares and means, and weights to resample by; knows no customers, only clusters.

A 95 % interval is meant throughout. What is counted comes in clusters (several cases of one customer), so intervals are by
cluster: by case they would be too narrow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, pdtr, stdtrit

LEVEL = 0.95
_POISSON = pdtr(np.arange(20), 1)  # P(Poisson(1) <= k)


def wilson(k: ArrayLike, n: ArrayLike, quantile: ArrayLike | None = None) -> tuple[Any, Any]:
    """Between which bounds does a share lie, if `k` of `n` independent trials succeeded?

    Returns (low, high) in 0 to 1, numbers or arrays; (0, 1) where n is 0. Wilson (1927), J. Am. Stat. Assoc. 22; printed values
    in Newcombe (1998), Stat. Med. 17, table I: 81 of 263 gives .2553 to .3662.

    >>> [round(x, 4) for x in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    k, n = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    z = ndtri((1 + LEVEL) / 2) if quantile is None else np.asarray(quantile, dtype=float)
    known = n > 0
    safe = np.where(known, n, 1)
    p = k / safe
    middle, half = p + z**2 / (2 * safe), z * np.sqrt(p * (1 - p) / safe + z**2 / (4 * safe**2))
    low, high = (middle - half) / (1 + z**2 / safe), (middle + half) / (1 + z**2 / safe)
    low = np.where(known & (k > 0), low, 0.0)  # exact at the edges, where rounding would show
    high = np.where(known & (k < n), high, 1.0)
    return (low, high) if low.ndim else (float(low), float(high))


def ratio_sums(y: np.ndarray, n: np.ndarray) -> np.ndarray:
    """What has to be added up, over clusters, to know a ratio sum(y) / sum(n) and its interval.

    `y` and `n` have one row per cluster (further dimensions are ratios of their own). Returns an array with the rows clusters,
    sum y, sum n, sum y*y, sum y*n, sum n*n: whole numbers, so parts of the data add up to exactly the same.

    >>> ratio_sums(np.array([1, 0, 2]), np.array([2, 1, 2])).tolist()
    [3, 3, 5, 5, 6, 9]
    """
    y, n = np.broadcast_arrays(np.asarray(y, dtype=np.int64), np.asarray(n, dtype=np.int64))
    clusters = np.full(y.shape[1:], len(y)) if n.ndim == 1 else (n > 0).sum(axis=0)
    return np.stack([clusters, y.sum(0), n.sum(0), (y * y).sum(0), (y * n).sum(0), (n * n).sum(0)])


def crossed(counts: np.ndarray) -> np.ndarray:
    """Sums of products over clusters, for every pair of columns: what all ratios of the columns need, in one product.

    `counts` has one row per cluster. Returns whole numbers, so parts of the data add up to exactly the same.

    >>> crossed(np.array([[1, 0], [2, 3]])).tolist()
    [[5, 6], [6, 9]]
    """
    whole = counts.astype(np.float64)  # exact up to 2**53, and the product is one call of BLAS
    return np.rint(whole.T @ whole).astype(np.int64)


def _ratio(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratios, their variances between clusters, and the numbers of clusters."""
    m, y, n, yy, yn, nn = np.asarray(sums, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(n > 0, y / n, np.nan)
        spread = np.maximum(0.0, yy - 2 * r * yn + r * r * nn)
        return r, np.where(m > 1, spread * m / ((m - 1) * n * n), np.nan), m


def _student(clusters: np.ndarray) -> np.ndarray:
    """Student's quantile for numbers of clusters, of which there are few different ones."""
    distinct, where = np.unique(clusters, return_inverse=True)
    return stdtrit(np.maximum(distinct - 1, 1), (1 + LEVEL) / 2)[where].reshape(np.shape(clusters))


def share_from_sums(sums: np.ndarray) -> tuple[Any, Any, Any]:
    """A share and its interval by cluster, from `ratio_sums`: (share, low, high) in 0 to 1, NaN where nothing was counted.

    `sums` has six rows; with further dimensions the answers are arrays, one entry per ratio.

    Notes
    -----
    The variance is that of the ratio of sums over clusters (linearised: what resampling whole clusters converges to). It
    gives an effective number of trials, which goes into Wilson's interval with Student's quantile for the number of clusters.
    A share of exactly 0 or 1 has no spread to measure: there the number of clusters stands in. Sources: Cochran (1977),
    Sampling Techniques, section 6; Korn and Graubard (1998), Survey Methodology 24, for the effective number.

    >>> one_case_each = ratio_sums(np.array([1] * 81 + [0] * 182), np.ones(263))
    >>> [round(x, 3) for x in share_from_sums(one_case_each)]
    [0.308, 0.255, 0.367]
    """
    share, variance, clusters = _ratio(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        trials = np.where(variance > 0, share * (1 - share) / variance, clusters)
    several = clusters > 1
    trials = np.where(several & ~np.isnan(share), trials, 0.0)
    low, high = wilson(np.nan_to_num(share) * trials, trials, _student(clusters))
    low, high = np.where(np.isnan(share), np.nan, low), np.where(np.isnan(share), np.nan, high)
    return (share, low, high) if share.ndim else (float(share), float(low), float(high))


def ratio_interval(y: np.ndarray, n: np.ndarray) -> tuple[float, float, float]:
    """A share with its interval, from counts per cluster: `y` of `n` in each. See `share_from_sums`.

    >>> [round(x, 2) for x in ratio_interval(np.array([1, 0, 2, 0]), np.array([2, 1, 2, 1]))]
    [0.5, 0.08, 0.92]
    """
    return share_from_sums(ratio_sums(y, n))


def mean_from_sums(sums: np.ndarray) -> tuple[Any, Any, Any]:
    """A mean with its interval by cluster, from `ratio_sums` of sums and counts; NaN bounds with fewer than two clusters.

    >>> mean_from_sums(ratio_sums(np.array([4, 6, 5]), np.array([1, 1, 1])))[0]
    5.0
    """
    mean, variance, clusters = _ratio(sums)
    half = np.where(clusters > 1, _student(clusters) * np.sqrt(variance), np.nan)
    return (mean, mean - half, mean + half) if mean.ndim else (float(mean), float(mean - half), float(mean + half))


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of x."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def poisson_weights(key: np.ndarray, seed: int, replicate: int) -> np.ndarray:
    """How often does each cluster count in one bootstrap replicate? Poisson(1), the same wherever the cluster is computed.

    `key` is a 64-bit hash of each cluster's id. Resampling by independent Poisson weights: Chamandy et al. (2012), Estimating
    uncertainty for massive data streams.

    >>> float(poisson_weights(np.arange(100_000, dtype=np.uint64), seed=0, replicate=0).mean().round(1))
    1.0
    """
    with np.errstate(over="ignore"):
        salt = _mixed(np.array([(seed * 1_000_003 + replicate + 1) % 2**64], dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        uniform = (_mixed(np.asarray(key, dtype=np.uint64) + salt) >> np.uint64(11)) * 2.0**-53
    return np.searchsorted(_POISSON, uniform, side="right").astype(np.int8)
