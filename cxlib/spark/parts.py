"""From touches on a cluster to parts of whole customers, and kernels over them: what runs on the workers.

A worker receives the rows of its customers in the order of the log, as batches of Arrow. Batches cut customers; parts do not.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxlib.eventlog import EventLog
from cxlib.eventlog.arrays import arranged
from cxlib.eventlog.log import PER_TOUCH, total

Batches = Iterator[pa.RecordBatch]
Views = Sequence[tuple[str, tuple]]  # methods of a log that give a log, and what they are asked with
PART = "part binary, labels binary"  # of one part of the log: its arrays, and its ids apart, which few questions need
ANSWER = "answer binary"


def compiled(batches: Batches, facts: Mapping[str, Any], touches: int) -> Batches:
    """Rows in the order of the log -> parts of whole customers, of `touches` touches or a little more."""
    for group in whole_customers(batches, touches):
        rows = pa.Table.from_batches(group)
        log = arranged([rows], facts, _ends(rows) if "done" in rows.column_names else None)
        yield _pickled(part=_without_room(log), labels=log.labels)


def _without_room(log: EventLog) -> EventLog:
    """A log to be stored: without ids, and with one value for a column that the source lacks (pickled, it would take room)."""
    missing = {name: values[:1] for name in PER_TOUCH if not (values := getattr(log, name)).strides[0]}
    return replace(log, labels=None, **missing)


def _as_it_was(log: EventLog, *labels: Mapping) -> EventLog:
    n = log.case_start[-1]
    missing: dict[str, Any] = {name: np.broadcast_to(values, n) for name in PER_TOUCH if len(values := getattr(log, name)) < n}
    return replace(log, labels=labels[0] if labels else None, **missing)


def whole_customers(batches: Iterable[pa.RecordBatch], touches: int) -> Iterator[list[pa.RecordBatch]]:
    """Groups of at least `touches` rows (the last one: what is left) that end where a customer ends.

    A customer may fill many batches: what is unfinished waits for the next batch.

    >>> batches = [pa.record_batch({"customer": list(rows)}) for rows in ("aab", "bb", "bc", "cd")]
    >>> [["".join(batch["customer"].to_pylist()) for batch in group] for group in whole_customers(batches, touches=2)]
    [['aa'], ['b', 'bb', 'b'], ['c', 'c'], ['d']]
    """
    waiting, n = list[pa.RecordBatch](), 0
    for batch in batches:
        end = _last_start(batch, waiting)
        if end is not None and n + end >= touches:
            yield [*waiting, batch.slice(0, end)]
            waiting, n, batch = [], 0, batch.slice(end)  # noqa: PLW2901
        if batch.num_rows:
            waiting.append(batch)
            n += batch.num_rows
    if waiting:
        yield waiting


def _last_start(batch: pa.RecordBatch, before: Sequence[pa.RecordBatch]) -> int | None:
    """Where in a batch does its last customer begin? None if that is the one that the batches before it end with."""
    new = np.flatnonzero(_changes(batch["customer"]))
    if len(new) > 1:
        return int(new[-1])
    return 0 if len(new) and before and before[-1]["customer"][-1] != batch["customer"][0] else None


def _changes(values: pa.Array) -> np.ndarray:
    """Where does a column differ from the row before? Its first row does."""
    later = pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
    return np.append(np.ones(min(len(values), 1), dtype=bool), later)


def _ends(rows: pa.Table) -> dict[str, np.ndarray]:
    """What the rows say of the ends of their cases, one entry per case."""
    keys = (rows[name].combine_chunks() for name in ("customer", "kind", "label"))
    first = np.logical_or.reduce([_changes(key) for key in keys])
    return {
        "done": rows["done"].to_numpy()[first].astype(float),
        "unresolved": rows["unresolved"].fill_null(False).to_numpy()[first],
    }


def added_up(
    batches: Batches, views: Views, kernel: Callable[..., Any], params: Mapping, together: Callable[[Iterable], Any] | None
) -> Batches:
    """The sum of a kernel's counts over the parts that one task holds; nothing where it holds none."""
    if answers := [kernel(part, **params) for part in parts(batches, views)]:
        yield _pickled(answer=total(answers, together))


def each(batches: Batches, views: Views, kernel: Callable[..., Any], params: Mapping) -> Batches:
    """A kernel's answer for each part."""
    for part in parts(batches, views):
        yield _pickled(answer=kernel(part, **params))


def parts(batches: Batches, views: Views) -> Iterator[EventLog]:
    """The parts of the log that `compiled` made, each seen as the views ask."""
    for batch in batches:
        columns = [unpickled(batch[name]) for name in batch.schema.names]
        for stored in zip(*columns, strict=True):
            part = _as_it_was(*stored)
            for name, args in views:
                part = getattr(part, name)(*args)
            yield part


def _pickled(**values: Any) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array([pickle.dumps(value, protocol=5)], pa.binary()) for name, value in values.items()})


def unpickled(column: pa.Array | pa.ChunkedArray) -> Iterator[Any]:
    """What the workers pickled: it never left the cluster and this program."""
    return (pickle.loads(value.as_buffer()) for value in column)  # noqa: S301
