"""Is a count more than its own past explains? Quasi-Poisson regression of many short series, with dispersions shared."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import digamma, polygamma, stdtr, stdtrit, xlogy

from cxlib.stats.intervals import LEVEL

_STEPS = 60  # of Newton's method and of halving
_FEWEST = 3  # series, for their dispersions to be shared
_FAR = 30.0  # log of a ratio, either way, that counts as without bound


class Departure(NamedTuple):
    """The last count of each series against what the others lead to expect; one entry per series."""

    expected: np.ndarray
    ratio: np.ndarray  # count / expected
    low: np.ndarray
    high: np.ndarray  # 95 % interval of the ratio
    p: np.ndarray  # the chance of a ratio as far from 1, either way, if nothing had changed
    dispersion: np.ndarray  # variance in parts of the mean, 1 or more


def poisson_fit(y: np.ndarray, design: np.ndarray, offset: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Which means do Poisson regressions with a log link give? One row per series, all with the same design.

    Parameters
    ----------
    y, offset : array (series, times)
        Counts, and the log of what they are a part of.
    design : array (times, terms)
    weight : array (series, times), optional
        0 leaves a count out; its mean is told all the same.

    Notes
    -----
    Newton's method from equal rates, a step halved where it would raise the deviance: McCullagh and Nelder (1989),
    Generalized Linear Models, section 2.5.

    Examples
    --------
    Two of 10 and four of 20 are one rate of .2.

    >>> poisson_fit(np.array([[2, 4]]), np.ones((2, 1)), np.log([[10, 20]])).round(6).tolist()
    [[2.0, 4.0]]
    """
    weight = np.ones(np.shape(y)) if weight is None else weight
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    rate = (weight * y).sum(axis=1) / (weight * np.exp(offset)).sum(axis=1)
    shift = np.log(np.maximum(rate, 1e-12))[:, None] + offset
    terms = np.zeros((len(y), design.shape[1]))
    for _ in range(_STEPS):
        mean = _mean(shift, terms, design)
        slope = (weight * (y - mean)) @ design
        curve = ((weight * mean) @ products).reshape(len(y), *[design.shape[1]] * 2)
        ridge = 1e-10 * (1 + np.trace(curve, axis1=1, axis2=2))[:, None, None] * np.eye(design.shape[1])
        step = np.linalg.solve(curve + ridge, slope[..., None])[..., 0]
        before = deviance(y, mean, weight)
        for _ in range(_STEPS):
            worse = deviance(y, _mean(shift, terms + step, design), weight) > before + 1e-9 * (1 + before)
            if not worse.any():
                break
            step = np.where(worse[:, None], step / 2, step)
        terms = terms + step
        if np.abs(step @ design.T).max(initial=0) < 1e-9:
            break
    return _mean(shift, terms, design)


def _mean(shift: np.ndarray, terms: np.ndarray, design: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(shift + terms @ design.T, -_FAR, _FAR))


def deviance(y: np.ndarray, mean: np.ndarray, weight: np.ndarray | float = 1.0) -> np.ndarray:
    """How far are counts from their means? Twice the log-likelihood lost, summed over the last axis.

    >>> deviance(np.array([[3, 0]]), np.array([[3.0, 1.0]])).tolist()
    [2.0]
    """
    return 2 * (weight * (xlogy(y, y) - xlogy(y, mean) - (y - mean))).sum(axis=-1)


def shared_dispersion(dispersion: np.ndarray, freedom: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much do counts vary beyond chance, if each series alone is too short to tell?

    Parameters
    ----------
    dispersion : array, one per series
        Pearson's chi-square over its degrees of freedom; 1 = as Poisson.
    freedom, mean : array
        Those degrees of freedom, and the series' mean count.

    Returns
    -------
    (dispersion, freedom)
        Each drawn towards 1 + c times the mean, with one c for all (as if rates varied alike), the more the less the series
        differ beyond chance; never below 1. The degrees of freedom are its own and those that it borrows.

    References
    ----------
    Smyth (2004), Stat. Appl. Genet. Mol. Biol. 3, section 6 (the prior by moments of log F); Lund et al. (2012), the same
    journal 11, for quasi-likelihood.

    Examples
    --------
    >>> shared_dispersion(np.array([2.0, 2.0, 2.0]), np.array([9, 9, 9]), np.array([5.0, 5.0, 5.0]))[0].round(2).tolist()
    [2.0, 2.0, 2.0]
    """
    if len(dispersion) < _FEWEST:
        return np.maximum(dispersion, 1.0), freedom.astype(float)
    usual = 1 + max(0.0, (freedom * mean * (dispersion - 1)).sum() / (freedom * mean**2).sum()) * mean
    relative = np.maximum(dispersion / usual, 1e-5)
    logs = np.log(relative) - digamma(freedom / 2) + np.log(freedom / 2)
    prior = 2 * _trigamma_inverse(logs.var(ddof=1) - polygamma(1, freedom / 2).mean())
    borrowed = min(prior, freedom.sum())
    level = np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2)) if np.isfinite(prior) else relative.mean()
    drawn = (borrowed * level * usual + freedom * dispersion) / (borrowed + freedom)
    return np.maximum(drawn, 1.0), np.minimum(borrowed + freedom, freedom.sum()).astype(float)


def _trigamma_inverse(x: float) -> float:
    """Where is trigamma equal to x? Infinity for x of zero or less. Newton on 1 / trigamma, as in Smyth (2004), appendix."""
    if x <= 0:
        return np.inf
    y = 0.5 + 1 / x
    for _ in range(_STEPS):
        value = polygamma(1, y)
        y += value * (1 - value / x) / polygamma(2, y)
    return float(y)


def departure(y: np.ndarray, design: np.ndarray, offset: np.ndarray, weight: np.ndarray) -> Departure:
    """Is the last count of each series other than the counts before it lead to expect?

    Parameters
    ----------
    y, offset, weight, design
        As in `poisson_fit`; the last column is asked about, the others are its past.

    Notes
    -----
    The last count times a factor: the deviance that a factor costs, over the dispersion of the past (`shared_dispersion`), is
    compared with F on 1 and the dispersion's degrees of freedom, its signed root with Student's t. So the test knows that the
    past is short, that the last count varies itself, and that counts are skewed. The interval holds the factors that such
    a test at 5 % would not refuse.
    """
    past = weight.copy()
    past[:, -1] = 0
    mean = poisson_fit(y, design, offset, past)
    free = past.sum(axis=1) - np.linalg.matrix_rank(design[:-1])
    pearson = (past * (y - mean) ** 2 / mean).sum(axis=1) / free
    dispersion, freedom = shared_dispersion(pearson, free, (past * mean).sum(axis=1) / past.sum(axis=1))
    least = deviance(y, mean, past)

    def score(log_factor: np.ndarray) -> np.ndarray:
        moved = offset.copy()
        moved[:, -1] += log_factor
        with_it = poisson_fit(y, design, moved, weight)
        root = np.sqrt(np.maximum(deviance(y, with_it, weight) - least, 0) / dispersion)
        return np.where(y[:, -1] >= mean[:, -1] * np.exp(log_factor), root, -root)

    expected = mean[:, -1]
    limit = stdtrit(freedom, (1 + LEVEL) / 2)
    low, high = (_crossing(score, side) for side in (limit, -limit))
    low = np.where(y[:, -1] > 0, low, 0.0)
    p = 2 * stdtr(freedom, -np.abs(score(np.zeros(len(y)))))
    return Departure(expected, np.minimum(y[:, -1] / expected, np.exp(_FAR)), low, high, p, dispersion)


def _crossing(score, level: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The factor at which a falling score passes a level, by halving."""
    low, high = np.full(len(level), -_FAR), np.full(len(level), _FAR)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = score(middle) > level
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp((low + high) / 2)
