"""Intervals, curves, chains, decompositions and adjustment; knows no customers, only clusters.

A 95 % interval is meant throughout. What is counted comes in clusters (several cases of one customer), so intervals are by
cluster: by case they would be too narrow.
"""

from cxlib.stats.adjustment import Adjusted, Estimate, doubly_robust, plain_difference
from cxlib.stats.columns import numbers
from cxlib.stats.counts import Departure, departure, deviance, poisson_fit, shared_dispersion
from cxlib.stats.decomposition import Split, kitagawa, kitagawa_interval, simpson, table_products
from cxlib.stats.difference import Difference, cross_sums, difference_from_sums, rate_interval, sums_against_rest, sums_in_a_row
from cxlib.stats.hidden import STRONG, Corrected, corrected, e_value, e_value_of_mean, paired_scores, scores_of
from cxlib.stats.intervals import (
    LEVEL,
    crossed,
    mean_from_sums,
    poisson_weights,
    ratio_interval,
    ratio_sums,
    share_from_sums,
    wilson,
)
from cxlib.stats.markov import (
    Memory,
    along,
    ever,
    ever_after,
    memory_test,
    second_order,
    shares_of_moves,
    visits,
    with_more_ends,
    without,
)
from cxlib.stats.multiplicity import FALSE_DISCOVERY_RATE, false_discovery
from cxlib.stats.nonresponse import for_all
from cxlib.stats.resampling import mean_from_draws, resampled_sums, share_from_draws, size_from_draws
from cxlib.stats.survival import cumulative_incidence, incidence_interval

__all__ = [
    "FALSE_DISCOVERY_RATE",
    "LEVEL",
    "STRONG",
    "Adjusted",
    "Corrected",
    "Departure",
    "Difference",
    "Estimate",
    "Memory",
    "Split",
    "along",
    "corrected",
    "cross_sums",
    "crossed",
    "cumulative_incidence",
    "departure",
    "deviance",
    "difference_from_sums",
    "doubly_robust",
    "e_value",
    "e_value_of_mean",
    "ever",
    "ever_after",
    "false_discovery",
    "for_all",
    "incidence_interval",
    "kitagawa",
    "kitagawa_interval",
    "mean_from_draws",
    "mean_from_sums",
    "memory_test",
    "numbers",
    "paired_scores",
    "plain_difference",
    "poisson_fit",
    "poisson_weights",
    "rate_interval",
    "ratio_interval",
    "ratio_sums",
    "resampled_sums",
    "scores_of",
    "second_order",
    "share_from_draws",
    "share_from_sums",
    "shared_dispersion",
    "shares_of_moves",
    "simpson",
    "size_from_draws",
    "sums_against_rest",
    "sums_in_a_row",
    "table_products",
    "visits",
    "wilson",
    "with_more_ends",
    "without",
]
