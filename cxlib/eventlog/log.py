"""The log itself: sorted arrays with offsets, in parts of whole customers."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cxlib.schema import DataError, duration

NO_MOOD, NO_WAIT, NO_WORD = np.int16(-32768), np.int32(-1), np.int8(-1)
# What a column holds where the export does not have it; such a column takes no room.
PER_TOUCH: dict[str, tuple[str, int | None]] = {
    "stage": ("uint8", None),
    "at": ("int64", None),
    "action": ("uint16", 0),
    "mood": ("int16", int(NO_MOOD)),
    "wait": ("int32", int(NO_WAIT)),
    "solved": ("int8", int(NO_WORD)),
}
PER_CASE = {"case_end": "int64", "case_open": "bool", "case_resolved": "bool"}
SHARD = 250_000  # touches a part: small enough for the processor's cache, large enough for numpy
_NAMED = 250_000  # customers whose cases are given their name at a time
POOL = pa.system_memory_pool()  # for what Arrow makes beside them: its own pool takes more pages than it needs


def _keep_freed_memory() -> None:
    """Let the C library keep the memory of freed arrays for the next ones, instead of handing it back to the system.

    It hands back what is larger than a limit, which it raises to the largest array freed so far, and every page asked for anew
    costs. So one array of almost 32 MB, the highest limit there is, is made, never touched and freed: the temporary arrays of
    the kernels then stay below the limit. Where the C library is not glibc it does nothing.
    """
    np.empty((32 << 20) - 8192, dtype=np.uint8)


_keep_freed_memory()


def _let_go(array: np.ndarray) -> None:
    """Give back the memory of an array that is mapped from a file. It can be read again: its pages come back by themselves."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap):
        start = array.ctypes.data - np.frombuffer(owner, dtype=np.uint8).ctypes.data
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        owner.madvise(mmap.MADV_DONTNEED, first, start + array.nbytes - first)


def spread(start: np.ndarray, n: int) -> np.ndarray:
    """Which run does each of `n` positions lie in, if runs begin at `start` (rising, the first at 0)?

    >>> spread(np.array([0, 2]), 3)
    array([0, 0, 1])
    """
    run = np.zeros(n, dtype=np.int64)
    run[start[1:]] = 1
    return np.cumsum(run, out=run)  # several times faster than np.repeat


def total(answers: Iterable, together: Callable[[Iterable], Any] | None) -> Any:
    """What the answers of several parts of a log add up to; see `EventLog.add_up`."""
    if together:
        return together(answers)
    counts = list(answers)
    return np.sum(counts, axis=0) if len(counts) > 1 else counts[0]


@dataclass(frozen=True, eq=False)
class EventLog:
    """A log of touches, sorted by customer, case and time.

    One entry per touch: `stage`, `at` (microseconds since 1970, UTC), `action`, `mood` (thousandths, `NO_MOOD` where missing),
    `wait` (whole seconds, `NO_WAIT` where missing), `solved` (1, 0, `NO_WORD` where the export does not say). One per case:
    `case_end`, `case_open` and `case_resolved` (its tickets are all resolved). One per customer: `customer_key` (a 64-bit hash
    of the id). Case i holds the touches `case_start[i]:case_start[i + 1]`, customer j the cases
    `customer_start[j]:customer_start[j + 1]`.
    """

    stage: np.ndarray
    at: np.ndarray
    action: np.ndarray
    mood: np.ndarray
    wait: np.ndarray
    solved: np.ndarray
    case_start: np.ndarray
    customer_start: np.ndarray
    case_end: np.ndarray
    case_open: np.ndarray
    case_resolved: np.ndarray
    customer_key: np.ndarray
    stages: tuple[str, ...]
    actions: tuple[str, ...]
    escalation: int
    problem_from: int
    observed_from: int
    observed_until: int
    gap: int
    timezone: str = "UTC"
    ties: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    labels: Mapping[str, pa.Array | pa.ChunkedArray] | None = None  # case_id, customer_id, touchpoint_id where there are any

    @property
    def n_touches(self) -> int:
        return len(self.stage)

    @property
    def n_cases(self) -> int:
        return len(self.case_start) - 1

    @property
    def n_customers(self) -> int:
        return len(self.customer_start) - 1

    @cached_property
    def case_of_touch(self) -> np.ndarray:
        """The case of each touch, as a position."""
        return spread(self.case_start[:-1], self.n_touches)

    @cached_property
    def customer_of_case(self) -> np.ndarray:
        """The customer of each case, as a position."""
        return spread(self.customer_start[:-1], self.n_cases)

    @cached_property
    def touchpoint_id(self) -> np.ndarray:
        """The id of each touch."""
        return self._label("touchpoint_id").to_numpy(zero_copy_only=False)

    @cached_property
    def case_id(self) -> np.ndarray:
        """The id of each case: the export's, or customer#number where cases were cut by gap."""
        return self._label("case_id").to_numpy(zero_copy_only=False)

    @cached_property
    def customer_id(self) -> np.ndarray:
        """The id of each customer."""
        return self._label("customer_id").to_numpy(zero_copy_only=False)

    def case_labels(self) -> pd.DataFrame:
        """The ids of each case and of its customer, one row per case in the order of the log."""
        names = self._label("customer_id")
        parts = []
        for first in range(0, self.n_customers, _NAMED):  # in pieces: the positions of all cases would take room for a moment
            start = self.customer_start[first : first + _NAMED + 1]
            position = pa.array(spread(start[:-1] - start[0], int(start[-1] - start[0])))
            parts.append(pc.take(names.slice(first, _NAMED), position, memory_pool=POOL))
        customer = pa.chunked_array([chunk for part in parts for chunk in part.chunks], names.type)
        return pd.DataFrame({"case_id": self._label("case_id").to_pandas(), "customer_id": customer.to_pandas()})

    def _label(self, name: str) -> pa.ChunkedArray:
        if not self.n_touches:  # nothing was dated, so nothing has a name to carry
            return pa.chunked_array([], pa.large_string())
        if self.labels is None or name not in self.labels:
            raise DataError(f"this log carries no {name}: ask the whole log, compiled from a source that has them")
        found = self.labels[name]
        return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])

    def shards(self, touches: int = SHARD) -> Iterator[EventLog]:
        """The log in parts of whole customers, each of about `touches` touches; the arrays are views, not copies.

        What was read of a log that lies on disk is let go when the next part is asked for, so that memory stays bounded.
        """
        ends = self.case_start[self.customer_start]
        first = 0
        while first < self.n_customers:
            last = max(first + 1, int(np.searchsorted(ends, ends[first] + touches, side="right")) - 1)
            part = self._part(first, last)
            yield part
            for name in PER_TOUCH:
                _let_go(getattr(part, name))
            first = last

    def _part(self, first: int, last: int) -> EventLog:
        if (first, last) == (0, self.n_customers):
            return self
        cases = slice(self.customer_start[first], self.customer_start[last])
        touches = slice(self.case_start[cases.start], self.case_start[cases.stop])
        return replace(
            self,
            **{name: getattr(self, name)[touches] for name in PER_TOUCH},
            **{name: getattr(self, name)[cases] for name in PER_CASE},
            case_start=self.case_start[cases.start : cases.stop + 1] - touches.start,
            customer_start=self.customer_start[first : last + 1] - cases.start,
            customer_key=self.customer_key[first:last],
            labels=None,
        )

    def add_up(self, kernel: Callable[..., Any], *, together: Callable[[Iterable], Any] | None = None, **params: Any) -> Any:
        """The sum of a kernel's counts over the parts of the log: the same on any split.

        `together` adds up answers that are not arrays, such as counts under a key. They come one by one, as parts are counted.
        """
        return total((kernel(part, **params) for part in (self.shards() if self.n_customers else [self])), together)

    def per_case(self, kernel: Callable[..., dict[str, np.ndarray]], **params: Any) -> pd.DataFrame:
        """A kernel's answers with one row per case, or per case that it answers for, in the order of the log."""
        found: dict[str, np.ndarray] = {}
        first = last = 0
        for part in self.shards() if self.n_customers else [self]:
            for name, values in kernel(part, **params).items():
                last = first + len(values)
                found.setdefault(name, np.empty(self.n_cases, dtype=values.dtype))[first:last] = values
            first = last
        return pd.DataFrame({name: values[:last] for name, values in found.items()}, copy=False)

    def by_customer(self) -> EventLog:
        """The same log with each customer's touches as one case, in order of time."""
        customer = self.customer_of_case[self.case_of_touch] if self.n_cases else np.empty(0, dtype=np.int64)
        order = np.lexsort((np.arange(self.n_touches), self.at, customer))
        first = self.customer_start[:-1]
        ids = self.labels["customer_id"] if self.labels and "customer_id" in self.labels else None
        how = {"case_end": np.maximum, "case_open": np.logical_or, "case_resolved": np.logical_and}
        ends: dict[str, Any] = {name: getattr(self, name) for name in PER_CASE}
        if len(first):
            ends = {name: how[name].reduceat(values, first) for name, values in ends.items()}
        return replace(
            self,
            **{name: getattr(self, name)[order] for name in PER_TOUCH},
            **ends,
            case_start=self.case_start[self.customer_start],
            customer_start=np.arange(self.n_customers + 1),
            labels=None if ids is None else {"case_id": ids, "customer_id": ids},
        )

    def split_sessions(self, gap: str) -> EventLog:
        """The same log with each case cut where it paused longer than `gap`, such as "30min": a session is then a case.

        A session is over when the pause has passed since its last touch. Raises UnitError if `gap` has no unit.
        """
        pause = duration(gap, "gap")
        new = np.diff(self.at, prepend=self.at[:1]) > pause
        new[self.case_start[:-1]] = True
        start = np.append(np.flatnonzero(new), self.n_touches)
        before = np.append(0, np.cumsum(new))  # sessions that begin before each touch
        end = self.at[start[1:] - 1]
        labels = None
        if self.labels is not None:
            of_session = np.repeat(np.arange(self.n_cases), np.diff(before[self.case_start]))
            labels = {"case_id": self._label("case_id").take(pa.array(of_session)), "customer_id": self._label("customer_id")}
        return replace(
            self,
            case_start=start,
            customer_start=before[self.case_start[self.customer_start]],
            case_end=end,
            case_open=end > self.observed_until - pause,
            case_resolved=np.zeros(len(end), dtype=bool),
            gap=pause,
            labels=labels,
        )
