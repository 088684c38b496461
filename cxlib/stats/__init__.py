"""Intervals, curves, chains, decompositions and adjustment; knows no customers, only clusters.

A 95 % interval is meant throughout. What is counted comes in clusters (several cases of one customer), so intervals are by
cluster: by case they would be too narrow.
"""

from cxlib.stats.decomposition import Split, kitagawa, kitagawa_interval, simpson, table_products
from cxlib.stats.difference import Difference, cross_sums, difference_from_sums, rate_interval, sums_against_rest, sums_in_a_row
from cxlib.stats.intervals import LEVEL, mean_from_sums, poisson_weights, ratio_interval, ratio_sums, share_from_sums, wilson
from cxlib.stats.multiplicity import false_discovery
from cxlib.stats.survival import cumulative_incidence, incidence_interval

__all__ = [
    "LEVEL",
    "Difference",
    "Split",
    "cross_sums",
    "cumulative_incidence",
    "difference_from_sums",
    "false_discovery",
    "incidence_interval",
    "kitagawa",
    "kitagawa_interval",
    "mean_from_sums",
    "poisson_weights",
    "rate_interval",
    "ratio_interval",
    "ratio_sums",
    "share_from_sums",
    "simpson",
    "sums_against_rest",
    "sums_in_a_row",
    "table_products",
    "wilson",
]
