"""Intervals, curves, chains, decompositions and adjustment; knows no customers, only clusters.

A 95 % interval is meant throughout. What is counted comes in clusters (several cases of one customer), so intervals are by
cluster: by case they would be too narrow.
"""

from cxlib.stats.intervals import LEVEL, mean_from_sums, poisson_weights, ratio_interval, ratio_sums, share_from_sums, wilson
from cxlib.stats.survival import cumulative_incidence, incidence_interval

__all__ = [
    "LEVEL",
    "cumulative_incidence",
    "incidence_interval",
    "mean_from_sums",
    "poisson_weights",
    "ratio_interval",
    "ratio_sums",
    "share_from_sums",
    "wilson",
]
