"""How often would tickets drawn blindly hold the answer? Counted, not drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln


@dataclass(frozen=True)
class Draw:
    """Who is asked about, who is learnt from in order of time, and how many of these each may see."""

    asked: np.ndarray
    learnt: np.ndarray
    before: np.ndarray

    def seen(self, code: np.ndarray) -> np.ndarray:
        """How many that each may see have its own code? None where it has no code (-1). `code` has one entry per ticket.

        >>> Draw(np.array([2, 3]), np.array([0, 1]), np.array([1, 2])).seen(np.array([5, 5, 5, -1])).tolist()
        [1, 0]
        """
        size = len(self.learnt) + 1
        known = np.flatnonzero(code[self.learnt] >= 0)
        keys = np.sort(code[self.learnt[known]] * size + known)
        wanted = code[self.asked] * size
        found = np.searchsorted(keys, wanted + self.before) - np.searchsorted(keys, wanted)
        return np.where(code[self.asked] >= 0, found, 0)

    def by_chance(self, answer: np.ndarray, n: int) -> np.ndarray:
        """The chance that one of any `n` has the same answer."""
        return 1 - missed(self.before, self.seen(answer), n)

    def in_category(self, answer: np.ndarray, category: np.ndarray, n: int) -> np.ndarray:
        """The same for any `n` of its own category, filled up with any others where there are fewer."""
        both = np.where((category < 0) | (answer < 0), -1, category * (answer.max(initial=0) + 1) + answer)
        own, own_good = self.seen(category), self.seen(both)
        others, others_good = self.before - own, self.seen(answer) - own_good
        return 1 - missed(own, own_good, n) * missed(others, others_good, n - np.minimum(n, own))


def missed(n_all: np.ndarray, n_good: np.ndarray, drawn: np.ndarray | int) -> np.ndarray:
    """Chance that none of `drawn` of n_all without replacement is good (all are drawn where there are fewer).

    >>> missed(np.array([4, 1, 0]), np.array([2, 1, 0]), 2).round(3).tolist()
    [0.167, 0.0, 1.0]
    """
    drawn, bad = np.minimum(drawn, n_all), n_all - n_good
    ways = gammaln(np.maximum(bad - drawn, 0) + 1)
    log = gammaln(bad + 1) - ways + gammaln(n_all - drawn + 1) - gammaln(n_all + 1)
    return np.where(bad >= drawn, np.exp(log), 0.0)
