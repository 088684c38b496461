"""What would have been different on the other side? Comparisons made fair by what was known before.

Rows belong to one of two sides, `first` or not; asked is what the others would have been like, had they been first. What was
known before is levelled out twice, by a model of the side and by a model of the outcome (doubly robust: one of the two has to
be right), each fitted on other clusters than it is used on. `hidden` tells how much this has missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from cxlib.stats.intervals import LEVEL, _mixed

FOLDS = 5
OVERLAP = 0.05  # rows with a smaller chance of being first have no counterpart on the other side: left out


class Estimate(NamedTuple):
    """A difference, first less other, and its 95 % interval by cluster."""

    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class Adjusted:
    """Doubly robust answers: one estimate per outcome, and which rows had counterparts."""

    estimates: list[Estimate]
    chance: np.ndarray  # of being first, one per row
    kept: np.ndarray  # one flag per row: the chance is above `OVERLAP`


def plain_difference(outcome: np.ndarray, is_first: np.ndarray, key: np.ndarray) -> Estimate:
    """The difference of two means, first less other, with its interval by cluster: nothing is levelled out.

    >>> y, first = np.array([3.0, 1.0, 4.0, 2.0]), np.array([True, False, True, False])
    >>> plain_difference(y, first, np.arange(4)).effect
    2.0
    """
    p = is_first.mean()
    influence, effect = np.zeros(len(outcome)), 0.0
    for side, sign, share in ((is_first, 1, p), (~is_first, -1, 1 - p)):
        mean = outcome[side].mean()
        effect += sign * mean
        influence[side] = sign * (outcome[side] - mean) / share
    return _estimate(float(effect), influence, _codes(key))


def doubly_robust(outcomes: np.ndarray, is_first: np.ndarray, known: np.ndarray, key: np.ndarray, *, seed: int = 0) -> Adjusted:
    """How would the outcomes of the others differ, had they been first, as far as what was known tells?

    Parameters
    ----------
    outcomes : array, (row, outcome)
        Without missing values; the outcomes share the model of the side.
    is_first : array of bool
        The side of each row; both occur in several clusters.
    known : array, (row, column)
        What was known before, as numbers.
    key : array of uint64
        A hash of each row's cluster. It and `seed` decide which fold a cluster is in, and nothing else does.

    Returns
    -------
    Adjusted
        The mean difference over the others whose chance of being first is above 0.05, for each outcome, with its interval by
        cluster.

    Notes
    -----
    Augmented inverse probability weighting with cross-fitting, for the mean over those that are not first: with e(x) the
    chance of being first (logistic regression) and m(x) the mean outcome of the first (ridge regression), both fitted on the
    other four folds of clusters, it is the mean of first (1 - e) / e (y - m) - (1 - first) (y - m), over the share of the
    others. Assumes that nothing hidden drives both side and outcome: see `corrected`.

    References
    ----------
    Chernozhukov et al. (2018), Double/debiased machine learning, Econometrics J. 21, section 5; trimming: Crump et al. (2009),
    Biometrika 96.

    Examples
    --------
    Nobody differs in what was known, so it is the plain difference of means:

    >>> y = np.tile([3.0, 1.0], 50)[:, None]
    >>> found = doubly_robust(y, y[:, 0] > 2, np.zeros((100, 1)), np.arange(100, dtype=np.uint64))
    >>> round(found.estimates[0].effect, 3)
    2.0
    """
    is_first = np.asarray(is_first, dtype=bool)
    chance, mean = _cross_fitted(outcomes, is_first, known, key, seed)
    kept = chance > OVERLAP
    first, e = is_first[kept], chance[kept]
    weight = np.where(first, (1 - e) / e, -1.0) / max((~first).mean(), 1e-300) if kept.any() else e
    score = weight[:, None] * (outcomes[kept] - mean[kept])
    other = ~first / max((~first).mean(), 1e-300) if kept.any() else e
    estimates, cluster = [], _codes(key[kept])
    for column in score.T:
        effect = float(column.mean()) if (~first).any() else np.nan
        estimates.append(_estimate(effect, column - other * effect, cluster))
    return Adjusted(estimates, chance, kept)


def _cross_fitted(
    outcomes: np.ndarray, is_first: np.ndarray, known: np.ndarray, key: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chance of being first, and the mean outcomes if first, from models of other clusters."""
    from sklearn.linear_model import Ridge  # here, since it takes a second that most questions can do without

    fold, known = _fold(key, seed), _standard(known)
    chance, mean = np.empty(len(fold)), np.empty(outcomes.shape)
    for held_out in np.unique(fold):
        here, rest = fold == held_out, fold != held_out
        chance[here] = _chance(known[rest], is_first[rest], known[here])
        rows = rest & is_first
        mean[here] = Ridge(alpha=1.0).fit(known[rows], outcomes[rows]).predict(known[here]).reshape(here.sum(), -1)
    return chance, mean


def _fold(key: np.ndarray, seed: int) -> np.ndarray:
    salt = np.uint64((seed * 0x9E3779B97F4A7C15 + 0x5851F42D4C957F2D) % 2**64)
    with np.errstate(over="ignore"):
        return (_mixed(np.asarray(key, dtype=np.uint64) ^ salt) % np.uint64(FOLDS)).astype(np.int64)


def _standard(known: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1; those that do not vary are left out, or are one of zeros if none does."""
    spread = known.std(axis=0)
    varying = (known[:, spread > 0] - known[:, spread > 0].mean(axis=0)) / spread[spread > 0]
    return varying if varying.shape[1] else np.zeros((len(known), 1))


def _chance(known: np.ndarray, is_first: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The chance of being first, by logistic regression with a slight pull to 0."""
    from sklearn.linear_model import LogisticRegression

    # Where nothing varies the solver may have no step to take, which it warns of; one side alone it refuses.
    if not known.any() or is_first.all() or not is_first.any():
        return np.full(len(asked), is_first.mean())
    return LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-6).fit(known, is_first).predict_proba(asked)[:, 1]


def _codes(key: np.ndarray) -> np.ndarray:
    return np.unique(key, return_inverse=True)[1]


def _estimate(effect: float, influence: np.ndarray, cluster: np.ndarray) -> Estimate:
    half = float(stdtrit(max(1, cluster.max(initial=0)), (1 + LEVEL) / 2)) * _error(influence, cluster)
    return Estimate(effect, effect - half, effect + half)


def _error(influence: np.ndarray, cluster: np.ndarray) -> float:
    """Standard error of a mean between clusters, from each row's influence on it."""
    return float(np.sqrt(_covariance(influence[:, None], cluster)[0, 0]))


def _covariance(influence: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Of the means of several columns, between clusters."""
    sums = np.column_stack([np.bincount(cluster, weights=column) for column in influence.T])
    return sums.T @ sums * len(sums) / max(1, len(sums) - 1) / max(1, len(influence)) ** 2
