"""The log itself: sorted arrays with offsets, in parts of whole customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxlib.schema import DataError

NO_MOOD = np.int16(-32768)
PER_TOUCH = {"stage": "uint8", "action": "uint16", "at": "int64", "mood": "int16"}
PER_CASE = {"case_end": "int64", "case_open": "bool"}


@dataclass(frozen=True, eq=False)
class EventLog:
    """A log of touches, sorted by customer, case and time.

    `stage`, `action`, `at` (microseconds since 1970, UTC) and `mood` (thousandths, `NO_MOOD` where missing) have one entry per
    touch; `case_end` and `case_open` one per case; `customer_key` (a 64-bit hash of the id) one per customer. Case i holds the
    touches `case_start[i]:case_start[i + 1]`, customer j the cases `customer_start[j]:customer_start[j + 1]`.
    """

    stage: np.ndarray
    action: np.ndarray
    at: np.ndarray
    mood: np.ndarray
    case_start: np.ndarray
    customer_start: np.ndarray
    case_end: np.ndarray
    case_open: np.ndarray
    customer_key: np.ndarray
    stages: tuple[str, ...]
    actions: tuple[str, ...]
    escalation: int
    problem_from: int
    observed_from: int
    observed_until: int
    timezone: str = "UTC"
    ties: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    names: Path | Mapping[str, pa.Table] | None = None

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
        return np.repeat(np.arange(self.n_cases), np.diff(self.case_start))

    @cached_property
    def customer_of_case(self) -> np.ndarray:
        """The customer of each case, as a position."""
        return np.repeat(np.arange(self.n_customers), np.diff(self.customer_start))

    @cached_property
    def touchpoint_id(self) -> np.ndarray:
        """The id of each touch."""
        return self._names("touches", "touchpoint_id")

    @cached_property
    def case_id(self) -> np.ndarray:
        """The id of each case: the export's, or customer#number where cases were cut by gap."""
        return self._names("cases", "case_id")

    @cached_property
    def customer_id(self) -> np.ndarray:
        """The id of each customer."""
        return self._names("cases", "customer_id")[self.customer_start[:-1]]

    def _names(self, what: str, column: str) -> np.ndarray:
        if self.names is None:
            raise DataError("this part of a log carries no ids: ask the whole log")
        table = pq.read_table(self.names / f"{what}.parquet") if isinstance(self.names, Path) else self.names[what]
        return table[column].to_numpy(zero_copy_only=False).astype(object)

    def shards(self, touches: int = 4_000_000) -> Iterator[EventLog]:
        """The log in parts of whole customers, each of about `touches` touches; the arrays are views, not copies."""
        ends = self.case_start[self.customer_start]
        first = 0
        while first < self.n_customers:
            last = max(first + 1, int(np.searchsorted(ends, ends[first] + touches, side="right")) - 1)
            yield self._part(first, last)
            first = last

    def _part(self, first: int, last: int) -> EventLog:
        cases = slice(self.customer_start[first], self.customer_start[last])
        touches = slice(self.case_start[cases.start], self.case_start[cases.stop])
        return EventLog(
            **{name: getattr(self, name)[touches] for name in PER_TOUCH},
            **{name: getattr(self, name)[cases] for name in PER_CASE},
            case_start=self.case_start[cases.start : cases.stop + 1] - touches.start,
            customer_start=self.customer_start[first : last + 1] - cases.start,
            customer_key=self.customer_key[first:last],
            **{name: getattr(self, name) for name in _SETTINGS},
        )

    def add_up(self, kernel: Callable[..., np.ndarray], **params: Any) -> np.ndarray:
        """The sum of a kernel's counts over the parts of the log: the same number on any split."""
        parts = [kernel(part, **params) for part in self.shards()]
        return np.sum(parts, axis=0) if parts else kernel(self, **params)

    def per_case(self, kernel: Callable[..., dict[str, np.ndarray]], **params: Any) -> pd.DataFrame:
        """A kernel's answers with one row per case, in the order of the log."""
        parts = [pd.DataFrame(kernel(part, **params)) for part in self.shards()] or [pd.DataFrame(kernel(self, **params))]
        return pd.concat(parts, ignore_index=True)

    def by_customer(self) -> EventLog:
        """The same log with each customer's touches as one case, in order of time."""
        order = np.lexsort((np.arange(self.n_touches), self.at, self.customer_of_case[self.case_of_touch]))
        first = self.customer_start[:-1]
        whole = {name: getattr(self, name)[order] for name in PER_TOUCH}
        return EventLog(
            **whole,
            case_start=self.case_start[self.customer_start],
            customer_start=np.arange(self.n_customers + 1),
            case_end=np.maximum.reduceat(self.case_end, first) if len(first) else self.case_end,
            case_open=np.logical_or.reduceat(self.case_open, first) if len(first) else self.case_open,
            customer_key=self.customer_key,
            **{name: getattr(self, name) for name in _SETTINGS},
        )


_SETTINGS = ("stages", "actions", "escalation", "problem_from", "observed_from", "observed_until", "timezone")
