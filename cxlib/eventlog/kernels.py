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
    if within is None:
        return np.maximum.reduceat(log.stage, log.case_start[:-1]).astype(np.int16)
    inside = log.at - np.repeat(began(log), np.diff(log.case_start)) <= within
    return np.maximum.reduceat(np.where(inside, log.stage.astype(np.int8), np.int8(-1)), log.case_start[:-1]).astype(np.int16)


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
    found = np.flatnonzero(wanted)
    # Touches before a case that are wanted: the next of them is the case's own, unless it lies beyond the case.
    earlier = np.concatenate([[0], np.cumsum(wanted, dtype=np.int32 if log.n_touches < 2**31 else np.int64)])
    here = np.append(found, log.n_touches)[earlier[log.case_start[:-1]]]
    return np.where(here < log.case_start[1:], here, log.n_touches)


def returned(log: EventLog, within: int) -> np.ndarray:
    """After each case, did the same customer begin another that sought help within `within` microseconds of its end?

    1 yes, 0 no, -1 not to be told: the case is open, or the time since its end is shorter than `within`.
    """
    if log.n_cases == 0:
        return np.empty(0, dtype=np.int8)
    never = np.iinfo(np.int64).max
    sought = np.maximum.reduceat(log.stage, log.case_start[:-1]) >= log.problem_from
    # By customer and time; the cases of one customer are few, and in most logs already in this order.
    order = np.lexsort((began(log), log.customer_of_case))
    customer, start, end = log.customer_of_case[order], began(log)[order], log.case_end[order]
    helped = np.append(np.flatnonzero(sought[order]), log.n_cases)
    answer = np.zeros(log.n_cases, dtype=bool)
    at = np.searchsorted(helped, np.arange(log.n_cases), side="right")
    live = np.arange(log.n_cases)
    while len(live):  # a later case may begin before this one ended: then the one after it counts
        following = helped[np.minimum(at[live], len(helped) - 1)]
        there = following < log.n_cases
        live, following = live[there], following[there]
        same = customer[following] == customer[live]
        live, following = live[same], following[same]
        after = start[following] > end[live]
        answer[live[after]] = start[following[after]] - end[live[after]] <= within
        live = live[~after]
        at[live] += 1
    told = ~log.case_open & (log.case_end <= min(log.observed_until, never) - within)
    found = np.empty(log.n_cases, dtype=np.int8)
    found[order] = answer
    return np.where(told, found, -1).astype(np.int8)


MODES = ("open", "closed", "strict", "any-order")


def stepped(log: EventLog, steps: tuple[int, ...], within: int | None = None, mode: str = "open") -> np.ndarray:
    """How many of `steps` did each case take, one after the other?

    "open": in this order, other touches between them allowed. "closed": likewise, and the case begins with the first step.
    "strict": each directly after the one before. "any-order": the first k steps were all taken, in whatever order. The window
    runs from the first step taken: from its first touch in "open" and "closed", from each possible start in "strict", from the
    earliest of the first touches of the k steps in "any-order".
    """
    if log.n_cases == 0:
        return np.empty(0, dtype=np.int16)
    if mode == "strict":
        return _stepped_directly(log, steps, within)
    if mode == "any-order":
        return _stepped_in_any_order(log, steps, within)
    alive = np.arange(log.n_cases)
    if mode == "closed":
        alive = alive[log.stage[log.case_start[:-1]] == steps[0]]
    taken = np.zeros(log.n_cases, dtype=np.int16)
    position = log.case_start[alive]  # where the search for the next step begins
    start = None
    for step in steps:
        wanted = log.stage == step
        found = np.append(np.flatnonzero(wanted), log.n_touches)
        earlier = np.concatenate([[0], np.cumsum(wanted, dtype=np.int32 if log.n_touches < 2**31 else np.int64)])
        here = found[earlier[position]]
        ok = here < log.case_start[alive + 1]
        if start is not None and within is not None:
            ok &= log.at[np.minimum(here, log.n_touches - 1)] - start <= within
        alive, here = alive[ok], here[ok]
        start = log.at[here] if start is None else start[ok]
        taken[alive] += 1
        position = here + 1
    return taken


def _stepped_directly(log: EventLog, steps: tuple[int, ...], within: int | None) -> np.ndarray:
    depth = np.zeros(log.n_touches, dtype=np.int16)  # how many steps were taken directly from each touch on
    start = np.flatnonzero(log.stage == steps[0])
    end_of_case = np.repeat(log.case_start[1:], np.diff(log.case_start))
    depth[start] = 1
    for number, step in enumerate(steps[1:], start=1):
        here = start + number
        inside = here < end_of_case[start]
        start, here = start[inside], here[inside]
        ok = log.stage[here] == step
        if within is not None:
            ok &= log.at[here] - log.at[start] <= within
        start = start[ok]
        depth[start] = number + 1
    return np.maximum.reduceat(depth, log.case_start[:-1])


def _stepped_in_any_order(log: EventLog, steps: tuple[int, ...], within: int | None) -> np.ndarray:
    taken = np.zeros(log.n_cases, dtype=np.int16)
    ok = np.ones(log.n_cases, dtype=bool)
    earliest = np.full(log.n_cases, np.iinfo(np.int64).max)
    latest = np.full(log.n_cases, np.iinfo(np.int64).min)
    for step in steps:
        first = first_touch(log, log.stage == step)
        ok &= first < log.n_touches
        at = log.at[np.minimum(first, log.n_touches - 1)]
        earliest, latest = np.minimum(earliest, at), np.maximum(latest, at)
        if within is not None:
            ok &= latest - earliest <= within
        taken += ok
    return taken
