"""Sums over resampled clusters, in whole numbers so that parts of the data add up exactly, and the intervals they give."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.special import stdtrit

from cxlib.stats.intervals import LEVEL, poisson_weights, wilson

_CLUSTERS = 8192  # weights of so many clusters are held at a time: with 200 replicates 13 MB


def resampled_sums(
    cluster: np.ndarray, cell: np.ndarray, value: np.ndarray, cells: int, key: np.ndarray, *, seed: int, replicates: int
) -> np.ndarray:
    """The sum of each cell as counted, and in each bootstrap replicate with whole clusters counted Poisson(1) times.

    Parameters
    ----------
    cluster, cell, value : array of int
        One entry per thing counted: its cluster (a position in `key`), its cell (0 to `cells` - 1), and what it adds.
    key : array of uint64
        A 64-bit hash of each cluster's id, as in `poisson_weights`.

    Returns
    -------
    array of int64
        1 + `replicates` rows, the first as counted; one column per cell.

    >>> ones = np.ones(3, dtype=int)
    >>> sums = resampled_sums(np.array([0, 0, 1]), np.array([0, 1, 1]), ones, 2, np.arange(2), seed=0, replicates=2)
    >>> sums[0].tolist(), sums.shape
    ([1, 2], (3, 2))
    """
    per_cluster = csr_array((value.astype(np.int64), (cluster, cell)), shape=(len(key), cells))
    sums = np.zeros((1 + replicates, cells), dtype=np.int64)
    sums[0] = per_cluster.sum(axis=0)
    for first in range(0, len(key), _CLUSTERS):
        block = slice(first, first + _CLUSTERS)
        weights = np.empty((len(key[block]), replicates), dtype=np.int64)
        for r in range(replicates):
            weights[:, r] = poisson_weights(key[block], seed, r)
        sums[1:] += (per_cluster[block].T @ weights).T
    return sums


def spread_of_draws(draws: np.ndarray) -> np.ndarray:
    """The standard deviation over replicates (first dimension), of those that are known; NaN where most are not.

    >>> spread_of_draws(np.array([[1.0, np.nan], [3.0, np.nan], [2.0, 5.0]])).tolist()
    [1.0, nan]
    """
    known = ~np.isnan(draws)
    n = known.sum(axis=0)
    mean = np.where(known, draws, 0).sum(axis=0) / np.maximum(n, 1)
    variance = np.where(known, (draws - mean) ** 2, 0).sum(axis=0) / np.maximum(n - 1, 1)
    return np.where((n > 1) & (2 * n > len(draws)), np.sqrt(variance), np.nan)


def share_from_draws(values: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of shares, from values as counted (first row) and in replicates: (low, high) in 0 to 1.

    The spread over the replicates gives an effective number of trials for Wilson's interval with Student's quantile, as in
    `share_from_sums`; at exactly 0 and 1 the number of clusters stands in.

    >>> low, high = share_from_draws(np.array([[0.5], [0.4], [0.6]]), clusters=100)
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.26], [0.74])
    """
    share, spread = values[0], spread_of_draws(values[1:])
    pairs = [_wilson(p, s, clusters) for p, s in zip(np.ravel(share), np.ravel(spread), strict=True)]
    bounds = np.array(pairs).reshape(*share.shape, 2)
    return bounds[..., 0], bounds[..., 1]


def _wilson(share: float, spread: float, clusters: int) -> tuple[float, float]:
    if np.isnan(share):
        return np.nan, np.nan
    if clusters < 2 or np.isnan(spread):
        return 0.0, 1.0
    trials = share * (1 - share) / spread**2 if spread > 0 and 0 < share < 1 else clusters
    return wilson(share * trials, trials, stdtrit(clusters - 1, (1 + LEVEL) / 2))


def mean_from_draws(values: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of any number, from values as counted (first row) and in replicates: Student's, (low, high).

    >>> low, high = mean_from_draws(np.array([[0.0], [-1.0], [1.0]]), clusters=1000)
    >>> low.round(1).tolist(), high.round(1).tolist()
    ([-2.8], [2.8])
    """
    half = _half(values, clusters)
    return values[0] - half, values[0] + half


def size_from_draws(values: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """As `mean_from_draws` for numbers that cannot change their sign: Student's on the log scale; unknown at 0."""
    size = np.where(values[0] == 0, np.nan, values[0])
    factor = np.exp(_half(values, clusters) / np.abs(size))
    return np.minimum(size / factor, size * factor), np.maximum(size / factor, size * factor)


def _half(values: np.ndarray, clusters: int) -> np.ndarray:
    quantile = stdtrit(clusters - 1, (1 + LEVEL) / 2) if clusters > 1 else np.nan
    return quantile * spread_of_draws(values[1:])
