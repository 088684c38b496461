"""Kernels: short pure functions of a log and parameters, right on any part of a log that holds whole customers."""

from __future__ import annotations

from collections.abc import Callable

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


def settled_until(log: EventLog) -> int:
    """Up to which time is it known of every touch what followed it?

    That a case went on is known at once, that it ended only when it was silent for `gap`. Whoever counts the newest touches
    counts those who went on quickly, and hardly any end.
    """
    return log.observed_until - log.gap


def settled(log: EventLog) -> np.ndarray:
    """Of which touches is it known what followed them: another touch of the case, or its end?

    True for touches up to `settled_until`, but for the last one of a case that is still open.
    """
    known = np.ones(log.n_touches, dtype=bool)
    late = np.flatnonzero((log.case_end > settled_until(log)) | log.case_open)
    if len(late):
        size = np.diff(log.case_start).take(late)
        begins = np.cumsum(size) - size
        touches = np.arange(size.sum()) + np.repeat(log.case_start.take(late) - begins, size)
        known[touches] = log.at.take(touches) <= settled_until(log)
        known[log.case_start.take(late + 1)[log.case_open.take(late)] - 1] = False
    return known


def first_touch(log: EventLog, wanted: np.ndarray) -> np.ndarray:
    """The position of each case's first touch for which `wanted` holds; the log's length where there is none."""
    if log.n_cases == 0:
        return np.empty(0, dtype=np.int64)
    here = _next(wanted)(log.case_start[:-1])
    return np.where(here < log.case_start[1:], here, log.n_touches)


def sought(log: EventLog) -> np.ndarray:
    """The position of the touch at which help was first sought: the case's first touch where it never was."""
    found = first_touch(log, log.stage >= log.problem_from)
    return np.where(found < log.n_touches, found, log.case_start[:-1])


def _next(wanted: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that gives, for positions, the first wanted one from there on; the length where there is none.

    How many wanted ones lie before a position is counted by words of 64 flags and, within a word, by its bits (Jacobson 1989,
    Space-efficient static trees and graphs, FOCS): a count for every position would cost more than all else here.
    """
    n = len(wanted)
    found = np.append(np.flatnonzero(wanted), n)
    flags = np.zeros(8 * (n // 64 + 1), dtype=np.uint8)
    flags[: -(-n // 8)] = np.packbits(wanted, bitorder="little")
    words = flags.view("<u8")
    earlier = np.append(0, np.cumsum(np.bitwise_count(words), dtype=np.int64))
    one, low = np.uint64(1), np.uint64(63)

    def first_from(position: np.ndarray) -> np.ndarray:
        word = position >> 6
        below = (one << (position.view(np.uint64) & low)) - one
        return found.take(earlier.take(word) + np.bitwise_count(words.take(word) & below))

    return first_from


def returned(log: EventLog, within: int) -> np.ndarray:
    """After each case, did the same customer begin another that sought help within `within` microseconds of its end?

    1 yes, 0 no, -1 not to be told: the case is open, or the time since its end is shorter than `within`.
    """
    if log.n_cases == 0:
        return np.empty(0, dtype=np.int8)
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
    told = ~log.case_open & (log.case_end <= log.observed_until - within)
    found = np.empty(log.n_cases, dtype=np.int8)
    found[order] = answer
    return np.where(told, found, -1).astype(np.int8)


MODES = ("open", "closed", "strict", "any-order")


NEVER = np.iinfo(np.int64).min


def stepped(
    log: EventLog, steps: tuple[int, ...], within: int | None = None, mode: str = "open"
) -> tuple[np.ndarray, np.ndarray]:
    """How many of `steps` did each case take, one after the other, and when did it take the first (`NEVER` if it did not)?

    "open": in this order, other touches between them allowed. "closed": likewise, and the case begins with the first step.
    "strict": each directly after the one before. "any-order": the first k steps were all taken, in whatever order. The window
    runs from the first step taken: from its first touch in "open" and "closed", from each possible start in "strict", from the
    earliest of the first touches of the k steps in "any-order".
    """
    taken, began_at = np.zeros(log.n_cases, dtype=np.int16), np.full(log.n_cases, NEVER)
    if log.n_cases:
        walk = {"strict": _directly, "any-order": _in_any_order}.get(mode, _in_order)
        walk(log, steps, within, mode, taken, began_at)
    return taken, began_at


def _in_order(log: EventLog, steps: tuple, within: int | None, mode: str, taken: np.ndarray, began_at: np.ndarray) -> None:
    position, end = log.case_start[:-1], log.case_start[1:]  # where the search for the next step begins, and stops
    alive = np.arange(log.n_cases)
    if mode == "closed":
        alive, position, end = _where(log.stage.take(position) == steps[0], alive, position, end)
    for number, step in enumerate(steps):
        here = _next(log.stage == step)(position)
        alive, here, end = _where(here < end, alive, here, end)
        if number == 0:
            began_at[alive] = log.at.take(here)
        elif within is not None:
            alive, here, end = _where(log.at.take(here) - began_at.take(alive) <= within, alive, here, end)
        taken[alive] = number + 1
        position = here + 1


def _where(ok: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """The entries for which `ok` holds: by position, which is several times faster than by flag."""
    kept = np.flatnonzero(ok)
    return [column.take(kept) for column in columns]


def _directly(log: EventLog, steps: tuple, within: int | None, mode: str, taken: np.ndarray, began_at: np.ndarray) -> None:
    depth = np.zeros(log.n_touches, dtype=np.int16)  # how many steps were taken directly from each touch on
    start = np.flatnonzero(log.stage == steps[0])
    case = np.searchsorted(log.case_start, start, side="right") - 1
    began_at[case[::-1]] = log.at[start[::-1]]  # the first of several is written last
    depth[start] = 1
    end_of_case = log.case_start[case + 1]
    for number, step in enumerate(steps[1:], start=1):
        inside = start + number < end_of_case
        start, end_of_case = start[inside], end_of_case[inside]
        ok = log.stage[start + number] == step
        if within is not None:
            ok &= log.at[start + number] - log.at[start] <= within
        start, end_of_case = start[ok], end_of_case[ok]
        depth[start] = number + 1
    taken[:] = np.maximum.reduceat(depth, log.case_start[:-1])


def _in_any_order(log: EventLog, steps: tuple, within: int | None, mode: str, taken: np.ndarray, began_at: np.ndarray) -> None:
    ok = np.ones(log.n_cases, dtype=bool)
    never = np.iinfo(np.int64).max
    earliest, latest, any_step = np.full(log.n_cases, never), np.full(log.n_cases, NEVER), np.full(log.n_cases, never)
    for step in steps:
        first = first_touch(log, log.stage == step)
        there = first < log.n_touches
        at = np.where(there, log.at[np.minimum(first, log.n_touches - 1)], never)
        any_step = np.minimum(any_step, at)
        ok &= there
        earliest, latest = np.minimum(earliest, at), np.where(ok, np.maximum(latest, at), latest)
        if within is not None:
            ok &= latest - np.where(ok, earliest, latest) <= within
        taken += ok
    began_at[:] = np.where(any_step == never, NEVER, any_step)
