"""Slow proofs in hundreds of simulated worlds: `make drills` runs them and writes results.md; the tests run a quick version."""

from scipy.stats import binom


def central(worlds: int) -> tuple[int, int]:
    """DESIGN's coverage rule: the central 99 % of Binomial(worlds, .95).

    >>> central(100), central(400)
    ((89, 100), (368, 390))
    """
    return int(binom.ppf(0.005, worlds, 0.95)), int(binom.ppf(0.995, worlds, 0.95))
