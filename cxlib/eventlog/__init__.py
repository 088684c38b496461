"""Touchpoints as sorted arrays: compiled once from parquet, then every question about journeys is counting over offsets.

A log is sorted by customer, case and time; a case is one problem of one customer. DuckDB reads, numpy sorts (a range of
customers at a time, within a memory limit) and counts.
"""

from cxlib.eventlog.command import add_compile, run_compile
from cxlib.eventlog.kernels import (
    MODES,
    began,
    first_touch,
    furthest,
    mature,
    per_customer,
    returned,
    settled,
    settled_until,
    sought,
    stepped,
)
from cxlib.eventlog.log import NO_MOOD, NO_WAIT, NO_WORD, POOL, EventLog, spread
from cxlib.eventlog.sorting import compile, from_paths

__all__ = [
    "MODES",
    "NO_MOOD",
    "NO_WAIT",
    "NO_WORD",
    "POOL",
    "EventLog",
    "add_compile",
    "began",
    "compile",
    "first_touch",
    "from_paths",
    "furthest",
    "mature",
    "per_customer",
    "returned",
    "run_compile",
    "settled",
    "settled_until",
    "sought",
    "spread",
    "stepped",
]
