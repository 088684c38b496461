"""One theme against the others, made comparable by what was known when help was first sought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from cxlib import stats

FEWEST, FEWEST_CUSTOMERS = 50, 30  # cases and customers that a theme, and the others together, need
FEWEST_EVENTS = 5  # of both kinds, among a theme's cases, where the outcome is yes or no
SIGNS = ("impact", "urgency")  # two noisy readings of how severe a problem is
KNOWN = 0.9  # a column is used where it is known of this share of a theme's cases and of the others'
_OF_EARLIER = ("n_earlier", "earlier_mood")  # of a customer's earlier cases: missing where there are none, and used anyhow


@dataclass(frozen=True)
class Side:
    """What a comparison needs beside the outcomes, one entry per case."""

    theme: np.ndarray  # its theme, or whether it is of the one asked about
    key: np.ndarray  # of its customer
    told: dict[str, np.ndarray]  # by column of what was known: is it known of the case?
    numbers: dict[str, np.ndarray]  # by column, (case, number)
    scores: np.ndarray  # the two signs of severity as numbers, 0 where one is missing

    @classmethod
    def of(cls, theme: np.ndarray, known: pd.DataFrame, key: np.ndarray) -> Side:
        told = {name: known[name].notna().to_numpy() for name in known}
        scores = stats.scores_of(known[list(SIGNS)]) if set(SIGNS) <= set(known) else np.zeros((len(known), 2))
        return cls(theme, key, told, {name: stats.numbers(known, [name]) for name in known}, scores)

    def where(self, rows: np.ndarray) -> Side:
        told, numbers = ({name: column[rows] for name, column in part.items()} for part in (self.told, self.numbers))
        return Side(self.theme[rows], self.key[rows], told, numbers, self.scores[rows])

    def columns(self) -> list[str]:
        """The columns known of enough cases of the theme and of the others."""
        sides = (self.theme, ~self.theme)
        return [
            name for name, told in self.told.items() if name in _OF_EARLIER or min(told[side].mean() for side in sides) >= KNOWN
        ]

    def together(self, columns: list[str]) -> np.ndarray:
        return np.hstack([np.zeros((len(self.theme), 0)), *(self.numbers[name] for name in columns)])


def too_few(values: np.ndarray, side: Side, *, yes_or_no: bool) -> str:
    """Why nothing can be said of an outcome (NaN: not known); "" if something can."""
    told = ~np.isnan(values)
    for rows in (told & side.theme, told & ~side.theme):
        if rows.sum() < FEWEST or len(np.unique(side.key[rows])) < FEWEST_CUSTOMERS:
            return f"fewer than {FEWEST} cases or {FEWEST_CUSTOMERS} customers of the theme or of the others"
        if yes_or_no and min(values[rows].sum(), (1 - values[rows]).sum()) < FEWEST_EVENTS:
            return f"fewer than {FEWEST_EVENTS} cases with it, or without it, of the theme or of the others"
    return ""


def effects(outcomes: np.ndarray, side: Side, seed: int) -> list[tuple[stats.Estimate, bool]]:
    """How do the theme's cases differ from what they would be like as cases of other themes?

    One estimate per outcome, own less as of other themes, and whether it is corrected for severity as two signs tell it.
    Outcomes are complete.
    """
    others, columns = ~side.theme, side.columns()
    adjusted = stats.doubly_robust(outcomes, others, side.together(columns), side.key, seed=seed)
    best: list = list(adjusted.estimates)
    if set(SIGNS) <= set(columns):
        rest = side.together([name for name in columns if name not in SIGNS])
        found = stats.corrected(*(part[adjusted.kept] for part in (outcomes, others, rest, side.scores, side.key)))
        best = [one if one.holds else plain for one, plain in zip(found, best, strict=True)]
    return [(stats.Estimate(-one.effect, -one.high, -one.low), isinstance(one, stats.Corrected)) for one in best]


def p_value(found: stats.Estimate, key: np.ndarray) -> float:
    """How likely is an effect at least as large by chance, if there is none? From its interval, with Student's t.

    >>> round(p_value(stats.Estimate(2.0, 0.0, 4.0), np.arange(1000)), 3)
    0.05
    """
    df = max(1, len(np.unique(key)) - 1)
    error = (found.high - found.effect) / stdtrit(df, (1 + stats.LEVEL) / 2)
    return float(2 * stdtr(df, -abs(found.effect) / error)) if error > 0 else np.nan


def burden(found: stats.Estimate, theme: np.ndarray, key: np.ndarray, cases_a_month: float) -> stats.Estimate:
    """Share of the cases times effect, times cases a month, with the interval of both, taken as unrelated.

    >>> key, theme = np.arange(1000), np.arange(1000) % 4 == 0
    >>> [round(x) for x in burden(stats.Estimate(0.2, 0.1, 0.3), theme, key, 400)]
    [20, 10, 30]
    """
    _, customer = np.unique(key, return_inverse=True)
    own, cases = np.bincount(customer, weights=theme).astype(int), np.bincount(customer)
    share, _, high = stats.mean_from_sums(stats.ratio_sums(own, cases))
    half = np.hypot(share * (found.high - found.effect), found.effect * np.nan_to_num(high - share))
    return stats.Estimate(*(cases_a_month * (share * found.effect + sign * half) for sign in (0, -1, 1)))
