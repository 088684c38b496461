"""What would have been different on the other side? Comparisons made fair by what was known before, and what stays hidden.

Rows belong to one of two sides, `first` or not. What was known before is levelled out twice, by a model of the side and by
a model of the outcome (doubly robust: one of the two has to be right), each fitted on other clusters than it is used on. Two
noisy signs of one hidden cause tell how much of it the levelling has missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit
from threadpoolctl import threadpool_limits

from cxlib.stats.intervals import LEVEL, _mixed

FOLDS = 5
OVERLAP = 0.05  # rows whose chance of being first lies nearer to 0 or 1 have no counterpart on the other side: left out
STRONG = 10.0  # an F statistic below this is that of a weak instrument (Staiger and Stock 1997)


class Estimate(NamedTuple):
    """A difference, first less other, and its 95 % interval by cluster."""

    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """Doubly robust scores of the rows that have counterparts: a mean of a column is an estimate, its spread the uncertainty.

    `first`, `other` and `residual` have one row per row kept and one column per outcome; `weight` says how much a row's
    residual speaks about what is hidden.
    """

    first: np.ndarray
    other: np.ndarray
    residual: np.ndarray
    weight: np.ndarray
    chance: np.ndarray  # of being first, one per row given
    kept: np.ndarray  # one flag per row given
    cluster: np.ndarray  # codes from 0, one per row kept


def doubly_robust(
    outcomes: np.ndarray, is_first: np.ndarray, known: np.ndarray, key: np.ndarray, *, whom: str = "all", seed: int = 0
) -> Scores:
    """What would each outcome be, if everyone (or all of the other side) had been first, and if not?

    Parameters
    ----------
    outcomes : array, (row, outcome)
        Without missing values. Different outcomes share the model of the side.
    is_first : array of bool
        The side of each row; both occur in several clusters.
    known : array, (row, column)
        What was known before, as numbers.
    key : array of uint64
        A hash of each row's cluster. It and `seed` decide which fold a cluster is in, and nothing else does.
    whom : str
        "all": means over all rows. "other": over the rows that are not first; their own outcomes stand as they are.

    Returns
    -------
    Scores
        Of the rows whose chance of being first lies within 0.05 to 0.95 (with "other": below 0.95 for those not first, and
        above 0.05 for those first).

    Notes
    -----
    Augmented inverse probability weighting with cross-fitting: the score of "first" is m(x) + first (y - m(x)) / e(x), with
    e(x) the chance of being first (logistic regression) and m(x) the mean outcome of the first (ridge regression), both fitted
    on the other four folds of clusters. With whom="other" it is ((1 - first) m(x) + first (1 - e(x)) / e(x) (y - m(x)))
    over the
    share of the others. Assumes that nothing hidden drives both side and outcome: see `corrected`.

    References
    ----------
    Chernozhukov et al. (2018), Double/debiased machine learning, Econometrics J. 21, section 5; trimming: Crump et al. (2009),
    Biometrika 96.

    Examples
    --------
    Nobody differs in what was known, so it is the plain difference of means:

    >>> y = np.tile([3.0, 1.0], 50)[:, None]
    >>> found = doubly_robust(y, y[:, 0] > 2, np.zeros((100, 1)), np.arange(100, dtype=np.uint64))
    >>> round(mean_difference(found).effect, 6)
    2.0
    """
    is_first = np.asarray(is_first, dtype=bool)
    chance, mean_first, mean_other = _cross_fitted(outcomes, is_first, known, key, seed)
    kept = _overlap(chance, is_first, whom)
    y, first, e = outcomes[kept], is_first[kept][:, None], chance[kept][:, None]
    m1, m0 = mean_first[kept], mean_other[kept]
    p = first.mean() if kept.any() else np.nan
    if whom == "all":
        score_first, score_other = m1 + first * (y - m1) / e, m0 + ~first * (y - m0) / (1 - e)
        weight = np.where(first[:, 0], (1 - p) / p, p / (1 - p))
    else:
        score_first, score_other = (~first * m1 + first * (1 - e) / e * (y - m1)) / (1 - p), ~first * y / (1 - p)
        weight = first[:, 0] / p
    residual = y - np.where(first, m1, m0)
    cluster = np.unique(key[kept], return_inverse=True)[1]
    return Scores(score_first, score_other, residual, weight, chance, kept, cluster)


def _overlap(chance: np.ndarray, is_first: np.ndarray, whom: str) -> np.ndarray:
    enough, not_all = chance > OVERLAP, chance < 1 - OVERLAP
    return enough & not_all if whom == "all" else enough


def _cross_fitted(
    outcomes: np.ndarray, is_first: np.ndarray, known: np.ndarray, key: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chance of being first, and the mean outcomes of the first and of the others, from models of other clusters."""
    from sklearn.linear_model import (
        LogisticRegression,
        Ridge,
    )  # here, since it takes a second that most questions can do without

    side_model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=50)
    fold = _fold(key, seed)
    known = (known - known.mean(axis=0)) / np.where(known.std(axis=0) > 0, known.std(axis=0), 1)
    chance, means = np.empty(len(fold)), np.empty((2, *outcomes.shape))
    with threadpool_limits(1):
        for held_out in range(FOLDS):
            here, rest = fold == held_out, fold != held_out
            if not here.any():
                continue
            chance[here] = side_model.fit(known[rest], is_first[rest]).predict_proba(known[here])[:, 1]
            for side in (0, 1):
                rows = rest & (is_first == bool(side))
                fitted = Ridge(alpha=1.0).fit(known[rows], outcomes[rows]).predict(known[here])
                means[side, here] = fitted.reshape(here.sum(), -1)
    return chance, means[1], means[0]


def _fold(key: np.ndarray, seed: int) -> np.ndarray:
    salt = np.uint64((seed * 0x9E3779B97F4A7C15 + 0x5851F42D4C957F2D) % 2**64)
    with np.errstate(over="ignore"):
        return (_mixed(np.asarray(key, dtype=np.uint64) ^ salt) % np.uint64(FOLDS)).astype(np.int64)


def mean_difference(scores: Scores, outcome: int = 0) -> Estimate:
    """The mean difference of an outcome, first less other, levelled for what was known, with its interval by cluster."""
    score = scores.first[:, outcome] - scores.other[:, outcome]
    return _within(float(score.mean()), np.sqrt(_covariance([score - score.mean()], scores.cluster)[0, 0]), scores.cluster)


def _within(effect: float, error: float, cluster: np.ndarray) -> Estimate:
    half = _quantile(cluster) * error
    return Estimate(effect, effect - half, effect + half)


def _quantile(cluster: np.ndarray) -> float:
    return float(stdtrit(max(1, cluster.max(initial=0)), (1 + LEVEL) / 2))


def _covariance(influence: list[np.ndarray], cluster: np.ndarray) -> np.ndarray:
    """Covariance of means between clusters, from each row's influence on them."""
    sums = np.column_stack([np.bincount(cluster, weights=one) for one in influence])
    clusters = max(2, len(sums))
    return sums.T @ sums * clusters / (clusters - 1) / len(cluster) ** 2


class Corrected(NamedTuple):
    """A difference less what two signs of a hidden cause say was missed; `strength` is the F statistic of their agreement."""

    effect: float
    low: float
    high: float
    strength: float

    @property
    def holds(self) -> bool:
        """Do the two signs agree clearly enough to measure the hidden cause?"""
        return self.strength >= STRONG


def corrected(scores: Scores, outcome: int = 0, signs: tuple[int, int] = (1, 2)) -> Corrected:
    """The difference of an outcome, corrected for a hidden cause that two columns of the scores are noisy signs of.

    Parameters
    ----------
    scores : Scores
        From `doubly_robust`, with the two signs among the outcomes and *not* among what was known.

    Returns
    -------
    Corrected
        The interval is Fieller's, by cluster; it has infinite bounds where the signs do not agree clearly.

    Notes
    -----
    The side cannot have moved a sign of what was there before. So where the sides differ in sign w although what was known is
    levelled, that difference d(w) is hidden cause; and the outcome carries a(w) of it per unit of w, which the *other* sign z
    tells without w's noise: a(w) = cov(z, y) / cov(z, w) of the residuals. The effect is d(y) - a(w) d(w), the two roles
    of the signs taken in turn and averaged: d(y) - (d(w) cov(z, y) + d(z) cov(w, y)) / (2 cov(w, z)). The covariances within
    the first weigh by the share of the others and the other way round, as the bias does.

    Assumes: neither sign is moved by the side; given the hidden cause and what was known, the errors of the two signs
    are unrelated to each other and to outcome and side; outcome and signs are about linear in the hidden cause.

    References
    ----------
    Miao, Geng and Tchetgen Tchetgen (2018), Biometrika 105, and Tchetgen Tchetgen et al. (2024), An introduction to proximal
    causal inference, Stat. Sci. 39 (this is their linear case); Fieller (1954), J. R. Stat. Soc. B 16.
    """
    w, z = signs
    score = (scores.first - scores.other)[:, [outcome, w, z]]
    r = scores.residual[:, [outcome, w, z]]
    products = scores.weight[:, None] * np.column_stack([r[:, 2] * r[:, 0], r[:, 1] * r[:, 0], r[:, 1] * r[:, 2]])
    (dy, dw, dz), (zy, wy, wz) = score.mean(axis=0), products.mean(axis=0)
    of_y, of_w, of_z = (score - score.mean(axis=0)).T
    of_zy, of_wy, of_wz = (products - products.mean(axis=0)).T
    top = wz * dy - (dw * zy + dz * wy) / 2
    of_top = of_wz * dy + wz * of_y - (of_w * zy + dw * of_zy + of_z * wy + dz * of_wy) / 2
    covariance = _covariance([of_top, of_wz], scores.cluster)
    strength = wz**2 / covariance[1, 1] if covariance[1, 1] > 0 else 0.0
    return Corrected(top / wz if wz else np.nan, *_fieller(top, wz, covariance, _quantile(scores.cluster)), float(strength))


def _fieller(top: float, bottom: float, covariance: np.ndarray, quantile: float) -> tuple[float, float]:
    """Between which bounds lies a ratio of two estimates? Infinite ones where the bottom is not clear of zero."""
    q = quantile**2
    a = bottom**2 - q * covariance[1, 1]
    b = top * bottom - q * covariance[0, 1]
    c = top**2 - q * covariance[0, 0]
    if a <= 0:
        return -np.inf, np.inf
    root = np.sqrt(max(0.0, b * b - a * c))
    return float((b - root) / a), float((b + root) / a)


def paired_scores(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers for the levels of two categories, so that the two agree as much as they can.

    Returns one number per row for each of the two, with mean 0 and standard deviation 1 over the rows; zeros where a category
    has one level. The first axis of a correspondence analysis: Greenacre (2017), Correspondence Analysis in Practice,
    chapter 7.

    >>> x, y = paired_scores(np.array(["low", "low", "high", "high"]), np.array(["calm", "calm", "mad", "mad"]))
    >>> bool(abs(np.corrcoef(x, y)[0, 1]).round(6) == 1)
    True
    """
    (_, i), (_, j) = (np.unique(np.asarray(x, dtype=str), return_inverse=True) for x in (a, b))
    if not len(i) or not i.max() or not j.max():
        return np.zeros(len(i)), np.zeros(len(j))
    table = np.zeros((i.max() + 1, j.max() + 1))
    np.add.at(table, (i, j), 1 / len(i))
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns)
    u, _, v = np.linalg.svd((table - expected) / np.sqrt(expected))
    return (u[:, 0] / np.sqrt(rows))[i], (v[0] / np.sqrt(columns))[j]


def e_value(ratio: float) -> float:
    """How strongly, as a risk ratio, must an unseen cause go with both sides of a comparison to explain its ratio away?

    1 needs no cause at all. VanderWeele and Ding (2017), Ann. Intern. Med. 167; their example, a risk ratio of 3.9:

    >>> round(e_value(3.9), 1), e_value(1.0), round(e_value(1 / 3.9), 1)
    (7.3, 1.0, 7.3)
    """
    if not ratio > 0:
        return np.nan
    ratio = max(ratio, 1 / ratio)
    return float(ratio + np.sqrt(ratio * (ratio - 1)))


def e_value_of_mean(difference: float, spread: float) -> float:
    """The E-value of a difference of means, from its size in standard deviations d: the risk ratio is about exp(0.91 d).

    VanderWeele and Ding (2017), table 2.

    >>> round(e_value_of_mean(0.5, 1.0), 2)
    2.53
    """
    return e_value(float(np.exp(0.91 * abs(difference) / spread))) if spread > 0 else np.nan
