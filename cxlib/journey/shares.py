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
    counted = code >= 0
    cell = log.customer_of_case[counted] * size + code[counted]
    counts = np.bincount(cell, minlength=log.n_customers * size).reshape(log.n_customers, size)
    n = counts.sum(axis=1, keepdims=True)
    y = counts[:, ::-1].cumsum(axis=1)[:, ::-1] if at_least else counts
    both = stats.crossed(np.hstack([y, n]))
    square, cross = np.diag(both)[:-1], both[:-1, -1]
    same = np.ones(size, dtype=np.int64)
    return np.stack([same * int((n > 0).sum()), y.sum(axis=0), same * int(n.sum()), square, cross, same * both[-1, -1]])
