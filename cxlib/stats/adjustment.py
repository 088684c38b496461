"""What would have been different on the other side? Comparisons made fair by what was known before, and what stays hidden.

Rows belong to one of two sides, `first` or not; asked is what the others would have been like, had they been first. What was
known before is levelled out twice, by a model of the side and by a model of the outcome (doubly robust: one of the two has to
be right), each fitted on other clusters than it is used on. Two noisy signs of one hidden cause tell how much of it the
levelling has missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from cxlib.stats.intervals import LEVEL, _mixed

FOLDS = 5
OVERLAP = 0.05  # rows with a smaller chance of being first have no counterpart on the other side: left out
STRONG = 10.0  # an F statistic below this is that of a weak instrument (Staiger and Stock 1997)


class Estimate(NamedTuple):
    """A difference, first less other, and its 95 % interval by cluster."""

    effect: float
    low: float
    high: float


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


def _with_one(known: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(known), 1)), known])


def corrected(
    outcomes: np.ndarray,
    is_first: np.ndarray,
    known: np.ndarray,
    signs: np.ndarray,
    key: np.ndarray,
    asked: np.ndarray | None = None,
    *,
    near: float = 1.0,
) -> list[Corrected]:
    """How would the outcomes of the others differ, had they been first, with a hidden cause measured by two signs of it?

    Parameters
    ----------
    outcomes : array, (row, outcome)
    is_first, known, key
        As in `doubly_robust`; the signs are *not* among `known`.
    signs : array, (row, 2)
        Two noisy readings of the hidden cause, as numbers.
    asked : array of bool, optional
        Which of the others the answer is about: all unless given. The line is drawn near all of them either way.
    near : float
        Power of the odds by which rows weigh. Above 1 the line is drawn nearer to the others: less biased where the outcome
        bends, and less sure.

    Returns
    -------
    list of Corrected
        The mean difference over the others asked about, one per outcome. Where `strength` is below 10 the interval cannot be
        trusted (`holds`).

    Notes
    -----
    Among the first, the outcome is a straight line of sign w and what was known, h(w, x). Fitted plainly its slope in w would
    be too flat, since w is a noisy reading; so it is fitted where the *other* sign z tells (two-stage least squares, z the
    instrument for w), and averaged over the others. The rows weigh by the odds of not being first given z and x, so that
    the line is drawn near the others. The roles of the signs are taken in turn and averaged. Interval: linearised, by
    cluster.

    Assumes: the side moves neither sign; given the hidden cause and what was known, the errors of the two signs are unrelated
    to each other, and to outcome and side; the outcome is about linear in the hidden cause near the others.

    References
    ----------
    Miao, Geng and Tchetgen Tchetgen (2018), Biometrika 105, and Tchetgen Tchetgen et al. (2024), An introduction to proximal
    causal inference, Stat. Sci. 39 (h is their outcome bridge, linear).
    """
    known, others, cluster = _standard(known), ~is_first if asked is None else asked & ~is_first, _codes(key)
    mean_other = outcomes[others].mean(axis=0)
    effect, influence, strength = -mean_other, -_influence_of_mean(outcomes, others, mean_other), np.inf
    for w, z in ((0, 1), (1, 0)):
        design, instruments = _with_one(np.column_stack([known, signs[:, w]])), _with_one(np.column_stack([known, signs[:, z]]))
        e = _chance(instruments[:, 1:], is_first, instruments[:, 1:]).clip(OVERLAP)
        weight = np.where(is_first, ((1 - e) / e) ** near, 0.0)
        mean, part = _bridge(design, instruments * weight[:, None], outcomes, others)
        effect, influence = effect + mean / 2, influence + part / 2
        strength = min(strength, _strength(signs[:, [w, z]], _with_one(known), weight, cluster))
    return [
        Corrected(*_estimate(float(one), column, cluster), strength) for one, column in zip(effect, influence.T, strict=True)
    ]


def _influence_of_mean(values: np.ndarray, rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.where(rows[:, None], values - mean, 0.0) / rows.mean()


def _bridge(
    design: np.ndarray, weighted: np.ndarray, outcomes: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the others of the line through the first rows (those with weight), and each row's influence on it."""
    inverse = np.linalg.pinv(weighted.T @ design)
    line = inverse @ (weighted.T @ outcomes)
    fitted = design @ line
    mean = fitted[others].mean(axis=0)
    pull = weighted @ (inverse.T @ design[others].mean(axis=0)) * len(design)
    return mean, _influence_of_mean(fitted, others, mean) + pull[:, None] * (outcomes - fitted)


def _strength(signs: np.ndarray, known: np.ndarray, weight: np.ndarray, cluster: np.ndarray) -> float:
    """The F statistic of the two signs' agreement where what was known is the same, by cluster."""
    heavy = known * weight[:, None]
    rest = signs - known @ (np.linalg.pinv(heavy.T @ known) @ (heavy.T @ signs))
    together = weight * rest[:, 0] * rest[:, 1]
    error = _error(together - weight * together.mean() / max(weight.mean(), 1e-300), cluster)
    return float((together.mean() / error) ** 2) if error > 0 else 0.0


def _codes(key: np.ndarray) -> np.ndarray:
    return np.unique(key, return_inverse=True)[1]


def _estimate(effect: float, influence: np.ndarray, cluster: np.ndarray) -> Estimate:
    half = float(stdtrit(max(1, cluster.max(initial=0)), (1 + LEVEL) / 2)) * _error(influence, cluster)
    return Estimate(effect, effect - half, effect + half)


def _error(influence: np.ndarray, cluster: np.ndarray) -> float:
    """Standard error of a mean between clusters, from each row's influence on it."""
    sums = np.bincount(cluster, weights=influence)
    return float(np.sqrt((sums**2).sum() * len(sums) / max(1, len(sums) - 1)) / max(1, len(influence)))


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
