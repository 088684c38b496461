"""A log that stays on a cluster, with the verbs of a local one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cxlib.eventlog import EventLog
from cxlib.eventlog.arrays import arranged
from cxlib.eventlog.log import PER_CASE, PER_TOUCH, SHARD
from cxlib.spark.parts import ANSWER, PART, Batches, Views, added_up, compiled, each, parts, total, unpickled
from cxlib.spark.reading import Touches
from cxlib.spark.session import quiet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PER_TASK, PER_PART = 2_000_000, SHARD  # touches that one task sorts and keeps, and that a kernel sees at a time, about
_FACTS = {"stages", "actions", "escalation", "problem_from", "observed_from", "observed_until", "gap", "timezone", "notes"}
_ARRAYS = {*PER_TOUCH, *PER_CASE, "customer_key"}
_IDS = {"case_id", "customer_id", "touchpoint_id"}
_POSITIONS = {
    "case_start": "n_touches",
    "customer_start": "n_cases",
    "case_of_touch": "n_cases",
    "customer_of_case": "n_customers",
}


@dataclass(frozen=True, eq=False)
class SparkLog:
    """An event log in parts on the nodes of a cluster; every question that takes an EventLog takes this as well.

    Questions count with `add_up` and ask `per_case`: then the touches stay where they are. The parts stand in the order of the
    log, so an answer per case has the same row for the same case. Any array of a log can be asked for as well (`case_open`,
    `case_id`, `at`, ...) and is fetched once; one with an entry per touch then has to fit into this machine's memory.
    """

    touches: Touches
    stored: DataFrame  # one row per part, kept on the nodes' disks and made again where a node is lost
    empty: EventLog  # what the log would be without a touch: its facts, and its answers where there is none
    views: Views = ()

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS:
            return getattr(self.empty, name)
        if name not in _ARRAYS | _IDS | _POSITIONS.keys():
            raise AttributeError(f"a log on Spark has no {name}")
        self.__dict__[name] = found = self._fetched(name)
        return found

    def _fetched(self, name: str) -> np.ndarray:
        """An array of the whole log, from its parts."""
        if name not in _POSITIONS:
            return np.concatenate(self._each(lambda part: getattr(part, name), labels=name in _IDS))
        counted = _POSITIONS[name]
        found = self._each(lambda part: (getattr(part, name), getattr(part, counted)))
        before = np.cumsum([0, *(n for _, n in found)])
        is_offset = name.endswith("_start")
        shifted = [(values[:-1] if is_offset else values) + n for (values, _), n in zip(found, before[:-1], strict=True)]
        return np.concatenate([*shifted, before[-1:]] if is_offset else shifted)

    @cached_property
    def _sizes(self) -> list[int]:
        return self.add_up(lambda part: np.array([part.n_touches, part.n_cases, part.n_customers])).tolist()

    @property
    def n_touches(self) -> int:
        return self._sizes[0]

    @property
    def n_cases(self) -> int:
        return self._sizes[1]

    @property
    def n_customers(self) -> int:
        return self._sizes[2]

    @cached_property
    def ties(self) -> Mapping[str, int]:
        """How many touches of one case share a time with the one before, by the rule that put them in order."""
        rules = tuple(self.empty.ties)
        counts = self.add_up(lambda part: np.array([part.ties[rule] for rule in rules]))
        return dict(zip(rules, counts.tolist(), strict=True))

    def case_labels(self) -> pd.DataFrame:
        """The ids of each case and of its customer, one row per case in the order of the log."""
        return pd.concat(self._each(EventLog.case_labels, labels=True), ignore_index=True)

    def add_up(self, kernel: Callable[..., Any], *, together: Callable[[Iterable], Any] | None = None, **params: Any) -> Any:
        """The sum of a kernel's counts over the log, the same as `EventLog.add_up`: each task adds up its parts."""
        views = self.views

        def run(batches: Batches) -> Batches:
            return added_up(batches, views, kernel, params, together)

        answers = _answers(self.stored.select("part"), run)
        return total(answers, together) if answers else kernel(self.empty, **params)

    def per_case(self, kernel: Callable[..., dict[str, np.ndarray]], **params: Any) -> pd.DataFrame:
        """A kernel's answers, the same as `EventLog.per_case`."""
        found = self._each(kernel, **params)
        return pd.DataFrame({name: np.concatenate([part[name] for part in found]) for name in found[0]}, copy=False)

    def _each(self, kernel: Callable[..., Any], labels: bool = False, **params: Any) -> list:
        """A kernel's answer for each part, in the order of the log; that of the empty log where there is none."""
        views = self.views

        def run(batches: Batches) -> Batches:
            return each(batches, views, kernel, params)

        return _answers(self.stored if labels else self.stored.select("part"), run) or [kernel(self.empty, **params)]

    def shards(self) -> Iterator[EventLog]:
        """The parts of the log, fetched one after the other."""
        rows = self.stored.select("part").toLocalIterator()
        return parts((pa.record_batch({"part": [bytes(row.part)]}) for row in rows), self.views)

    def by_customer(self) -> SparkLog:
        """The same log with each customer's touches as one case, in order of time."""
        return self._viewed("by_customer")

    def split_sessions(self, gap: str) -> SparkLog:
        """The same log with each case cut where it paused longer than `gap`, such as "30min"."""
        return self._viewed("split_sessions", gap)

    def _viewed(self, name: str, *args: Any) -> SparkLog:
        return replace(self, empty=getattr(self.empty, name)(*args), views=(*self.views, (name, args)))


def _answers(stored: DataFrame, run: Callable[[Batches], Batches]) -> list:
    with quiet():
        return list(unpickled(stored.mapInArrow(run, ANSWER).toArrow()["answer"]))


def spread(touches: Touches) -> SparkLog:
    """Put touches in order on the cluster and keep them there as parts of whole customers.

    Ranges of customers, rather than hashes, so that the parts stand in the order of the log; a customer is never cut. The parts
    are kept on the nodes' disks: if a node is lost, Spark makes its parts again from the source, and the same.
    """
    from pyspark import StorageLevel

    facts, size = dict(touches.facts), PER_PART

    def run(batches: Batches) -> Batches:
        return compiled(batches, facts, size)

    tasks = max(touches.rows.sparkSession.sparkContext.defaultParallelism, touches.n // PER_TASK)
    with quiet():
        ordered = touches.rows.repartitionByRange(tasks, "customer").sortWithinPartitions(*touches.keys)
        stored = ordered.mapInArrow(run, PART).persist(StorageLevel.DISK_ONLY)
    return SparkLog(touches, stored, arranged([], facts))
