"""Tables of counts with their shares and intervals by customer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog


def share_table(sums: np.ndarray, index: pd.Index, count: str) -> pd.DataFrame:
    """Counts, shares and intervals, one row per column of `sums` (see `stats.ratio_sums`): count, share, low, high, n."""
    share, low, high = stats.share_from_sums(sums)
    return pd.DataFrame({count: sums[1], "share": share, "low": low, "high": high, "n": sums[2]}, index=index)


def sums_by_code(log: EventLog, code: np.ndarray, size: int, *, at_least: bool = False) -> np.ndarray:
    """`stats.ratio_sums` of the share of each code among the cases that have one.

    `code` is one whole number per case, below `size`; negative ones are not counted. With `at_least` a case counts for every
    code up to its own. Returns six rows, one column per code.
    """
    customer, customers = log.customer_of_case, log.n_customers
    if (code < 0).any():
        counted = np.flatnonzero(code >= 0)
        customer, code = customer.take(counted), code.take(counted)
        customers = int(np.count_nonzero(np.diff(customer))) + min(len(customer), 1)
    cell = customer * size + code
    counts = np.bincount(cell, minlength=log.n_customers * size).reshape(log.n_customers, size)
    pairs, total = stats.crossed(counts), counts.sum(axis=0)
    if at_least:  # sums over all codes further on
        pairs = pairs[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
        with_n, y, cases, square = pairs[:, 0], total[::-1].cumsum()[::-1], total.sum(), pairs[0, 0]
    else:
        with_n, y, cases, square = pairs.sum(axis=1), total, total.sum(), pairs.sum()
    one = np.ones(size, dtype=np.int64)
    return np.stack([customers * one, y, cases * one, np.diag(pairs), with_n, square * one])
