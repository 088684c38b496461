"""What levelling by what was known has missed: noisy readings of one hidden cause tell, or an E-value bounds it.

Sides, outcomes and the question are those of `adjustment`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxlib.stats.adjustment import OVERLAP, _chance, _codes, _covariance, _estimate, _standard

STRONG = 10.0  # an F statistic below this is that of a weak instrument (Staiger and Stock 1997)


class Corrected(NamedTuple):
    """A difference less what readings of a hidden cause say was missed; `strength` is the F statistic of their agreement."""

    effect: float
    low: float
    high: float
    strength: float

    @property
    def holds(self) -> bool:
        """Do the readings agree clearly enough to measure the hidden cause?"""
        return self.strength >= STRONG


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
    reading: np.ndarray | None = None,
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
    reading : array, (row,), optional
        A third reading of the hidden cause, NaN where there is none; its error may be shared with the outcomes.
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

    Rows with a `reading` have a line of their own: it takes the place of w, and both signs that of z. What tells (z) must not
    share its error with the outcome; what is read (w) may, so the reading never tells. A reading that is less noisy than a sign
    makes the answer surer.

    Assumes: the side moves neither sign nor reading; given the hidden cause, what was known, and whether there is a reading,
    the errors of the two signs are unrelated to each other, to the reading, and to outcome and side, and the reading's to the
    side; the outcome is about linear in the hidden cause near the others.

    References
    ----------
    Miao, Geng and Tchetgen Tchetgen (2018), Biometrika 105, and Tchetgen Tchetgen et al. (2024), An introduction to proximal
    causal inference, Stat. Sci. 39 (h is their outcome bridge, linear; w their outcome and z their treatment confounding
    proxy).
    """
    known, others, cluster = _standard(known), ~is_first if asked is None else asked & ~is_first, _codes(key)
    mean_other = outcomes[others].mean(axis=0)
    effect, influence, strength = -mean_other, -_influence_of_mean(outcomes, others, mean_other), np.inf
    for rows, w, z, share in _readings(signs, reading):
        design, instruments = (rows[:, None] * _with_one(np.column_stack([known, x])) for x in (w, z))
        e = np.ones(len(rows))
        e[rows] = _chance(instruments[rows, 1:], is_first[rows], instruments[rows, 1:]).clip(OVERLAP)
        weight = np.where(rows & is_first, ((1 - e) / e) ** near, 0.0)
        mean, part = _bridge(design, instruments, weight, outcomes, others)
        effect, influence = effect + share * mean, influence + share * part
        strength = min(strength, _strength(w, z, _with_one(known), weight, cluster))
    return [
        Corrected(*_estimate(float(one), column, cluster), strength) for one, column in zip(effect, influence.T, strict=True)
    ]


def _readings(signs: np.ndarray, reading: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """The lines to draw: for which rows, what is read (w), what tells (z), and what share of these rows' answer it gives."""
    told = np.zeros(len(signs), dtype=bool) if reading is None else ~np.isnan(reading)
    if not told.all():
        yield ~told, signs[:, [0]], signs[:, [1]], 1 / 2
        yield ~told, signs[:, [1]], signs[:, [0]], 1 / 2
    if reading is not None and told.any():
        yield told, np.where(told, reading, 0.0)[:, None], signs, 1.0


def _influence_of_mean(values: np.ndarray, rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.where(rows[:, None], values - mean, 0.0) / rows.mean()


def _bridge(
    design: np.ndarray, instruments: np.ndarray, weight: np.ndarray, outcomes: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the others of the line through the rows with weight, and each row's influence on it.

    Rows of zeros in `design` have nothing to do with the line and count as 0: lines of several groups of rows add up.
    """
    heavy = weight[:, None] * instruments
    told = heavy @ (np.linalg.pinv(heavy.T @ instruments) @ (heavy.T @ design))
    inverse = np.linalg.pinv(told.T @ design)
    line = inverse @ (told.T @ outcomes)
    fitted = design @ line
    mean = fitted[others].mean(axis=0)
    pull = told @ (inverse.T @ design[others].mean(axis=0)) * len(design)
    return mean, _influence_of_mean(fitted, others, mean) + pull[:, None] * (outcomes - fitted)


def _strength(w: np.ndarray, z: np.ndarray, known: np.ndarray, weight: np.ndarray, cluster: np.ndarray) -> float:
    """The F statistic of how what is read agrees with what tells, where what was known is the same, by cluster."""
    heavy, both = known * weight[:, None], np.hstack([w, z])
    rest = both - known @ (np.linalg.pinv(heavy.T @ known) @ (heavy.T @ both))
    together = weight[:, None] * rest[:, :1] * rest[:, 1:]
    mean = together.mean(axis=0)
    spread = _covariance(together - weight[:, None] * mean / max(weight.mean(), 1e-300), cluster)
    return float(mean @ np.linalg.pinv(spread) @ mean) / len(mean)


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


def scores_of(signs: pd.DataFrame) -> np.ndarray:
    """Two columns of categories as `paired_scores`, (row, 2); 0 where one of the two is missing.

    >>> scores_of(pd.DataFrame({"a": ["low", "high", "low"], "b": ["calm", "mad", None]})).round(6).tolist()[2]
    [0.0, 0.0]
    """
    both = signs.notna().all(axis=1).to_numpy()
    found = np.zeros((len(signs), 2))
    found[both] = np.column_stack(paired_scores(*(signs.loc[both, name].to_numpy() for name in signs)))
    return found


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
