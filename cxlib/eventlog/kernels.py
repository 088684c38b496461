"""Kernels: short pure functions of a log and parameters, right on any part of a log that holds whole customers."""

from __future__ import annotations

import numpy as np

from cxlib.eventlog.log import EventLog


def per_customer(log: EventLog, per_case: np.ndarray) -> np.ndarray:
    """Add up values of cases for each customer; rows are cases, then customers."""
    values = np.asarray(per_case, dtype=np.int64)
    return np.add.reduceat(values, log.customer_start[:-1], axis=0) if log.n_customers else values[:0]


def furthest(log: EventLog, within: int | None = None) -> np.ndarray:
    """The rightmost stage of each case (-1 for none), counting only touches up to `within` microseconds after it began."""
    if log.n_cases == 0:
        return np.empty(0, dtype=np.int16)
    stage = log.stage.astype(np.int16)
    if within is not None:
        stage = np.where(log.at - began(log)[log.case_of_touch] <= within, stage, -1)
    return np.maximum.reduceat(stage, log.case_start[:-1])


def began(log: EventLog) -> np.ndarray:
    """When each case began: the time of its first touch."""
    return log.at[log.case_start[:-1]]


def mature(log: EventLog, within: int | None) -> np.ndarray:
    """Which cases were observed for the whole window?"""
    return began(log) <= log.observed_until - (within or 0)


def first_touch(log: EventLog, wanted: np.ndarray) -> np.ndarray:
    """The position of each case's first touch for which `wanted` holds; the log's length where there is none."""
    if log.n_cases == 0:
        return np.empty(0, dtype=np.int64)
    return np.minimum.reduceat(np.where(wanted, np.arange(log.n_touches), log.n_touches), log.case_start[:-1])


def stepped(log: EventLog, steps: tuple[int, ...], within: int | None = None) -> np.ndarray:
    """How many of `steps` did each case take in order, others between allowed, the window counted from the first?"""
    taken, position, start = (
        np.zeros(log.n_cases, dtype=np.int16),
        np.full(log.n_cases, -1),
        np.zeros(log.n_cases, dtype=np.int64),
    )
    for number, step in enumerate(steps):
        possible = (log.stage == step) & (np.arange(log.n_touches) > position[log.case_of_touch])
        if number and within is not None:
            possible &= log.at - start[log.case_of_touch] <= within
        found = first_touch(log, possible)
        here = (found < log.n_touches) & (taken == number)
        position = np.where(here, found, log.n_touches)
        start = start if number else np.where(here, log.at[np.minimum(found, log.n_touches - 1)], 0) if log.n_touches else start
        taken += here
    return taken
