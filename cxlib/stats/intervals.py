"""Intervals of shares and means, and weights to resample by; knows no customers, only clusters.

A 95 % interval is meant throughout. What is counted comes in clusters (several cases of one customer), so intervals are by
cluster: by case they would be too narrow.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, pdtr, stdtrit

LEVEL = 0.95
_POISSON = pdtr(np.arange(20), 1)  # P(Poisson(1) <= k)


def wilson(k: float, n: float, quantile: float | None = None) -> tuple[float, float]:
    """Between which bounds does a share lie, if `k` of `n` independent trials succeeded?

    Returns (low, high) in 0 to 1; (0, 1) where n is 0. Wilson (1927), J. Am. Stat. Assoc. 22; printed values in Newcombe
    (1998), Stat. Med. 17, table I: 81 of 263 gives .2553 to .3662.

    >>> [round(x, 4) for x in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    if n <= 0:
        return 0.0, 1.0
    z = ndtri((1 + LEVEL) / 2) if quantile is None else quantile
    p = k / n
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))  # exact at the edges, where rounding would show


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


def _ratio(sums: np.ndarray) -> tuple[float, float, float]:
    """A ratio, its variance between clusters, and the number of clusters."""
    m, y, n, yy, yn, nn = (float(x) for x in sums)
    if n == 0:
        return np.nan, np.nan, m
    r = y / n
    spread = max(0.0, yy - 2 * r * yn + r * r * nn)
    return r, spread * m / ((m - 1) * n * n) if m > 1 else np.nan, m


def share_from_sums(sums: np.ndarray) -> tuple[float, float, float]:
    """A share and its interval by cluster, from `ratio_sums`: (share, low, high) in 0 to 1, NaN where nothing was counted.

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
    if np.isnan(share):
        return np.nan, np.nan, np.nan
    if clusters < 2:
        return share, 0.0, 1.0
    trials = share * (1 - share) / variance if variance > 0 else clusters
    return share, *wilson(share * trials, trials, stdtrit(clusters - 1, (1 + LEVEL) / 2))


def ratio_interval(y: np.ndarray, n: np.ndarray) -> tuple[float, float, float]:
    """A share with its interval, from counts per cluster: `y` of `n` in each. See `share_from_sums`.

    >>> [round(x, 2) for x in ratio_interval(np.array([1, 0, 2, 0]), np.array([2, 1, 2, 1]))]
    [0.5, 0.08, 0.92]
    """
    return share_from_sums(ratio_sums(y, n))


def mean_from_sums(sums: np.ndarray) -> tuple[float, float, float]:
    """A mean with its interval by cluster, from `ratio_sums` of sums and counts; NaN bounds with fewer than two clusters.

    >>> mean_from_sums(ratio_sums(np.array([4, 6, 5]), np.array([1, 1, 1])))[0]
    5.0
    """
    mean, variance, clusters = _ratio(sums)
    half = stdtrit(clusters - 1, (1 + LEVEL) / 2) * np.sqrt(variance) if clusters > 1 else np.nan
    return mean, mean - half, mean + half


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
