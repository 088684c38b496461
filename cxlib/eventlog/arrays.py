"""From rows in the order of the log to its arrays, in memory or in a folder that is mapped back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cxlib.eventlog.log import PER_CASE, PER_TOUCH, EventLog

LABELS = {"label": "case_id", "customer": "customer_id", "touchpoint_id": "touchpoint_id"}
TIE_RULES = ("seq", "stage", "action", "touchpoint_id")  # what puts touches of one time in order, first rule first
_DTYPES = {name: kind for name, (kind, _) in PER_TOUCH.items()} | PER_CASE
_DTYPES |= {"case_start": "int64", "customer_start": "int64", "customer_key": "uint64"}


class OutOfOrder(Exception):
    """A row that stands before its predecessor in the order of the log."""


def customer_keys(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A 64-bit hash of each customer's id, the same on every machine: what resampling draws from.

    >>> customer_keys(pa.array(["u", "v"])).dtype
    dtype('uint64')
    """
    values = ids.to_numpy() if pa.types.is_integer(ids.type) else ids.to_numpy(zero_copy_only=False).astype(object)
    return pd.util.hash_array(values, categorize=False)


def arranged(rows: Iterable[pa.RecordBatch | pa.Table], facts: Mapping[str, Any], ends: Mapping | None = None) -> EventLog:
    """The log of rows that are in order already, in memory.

    Parameters
    ----------
    rows : batches of Arrow
        One row per touch, in the order of the log: customer, label (of the case; with `kind` where labels of several kinds
        meet), us (int64), stage (uint8), and where the source has them seq, action (uint16), mood, wait, solved, touchpoint_id.
    facts : mapping
        The fields of the log that are not arrays.
    ends : mapping, optional
        What is known of the cases' ends, in their order: done (microseconds), unresolved (bool).
    """
    shelf = _Shelf(None)
    shelf.fill(rows)
    return finish(shelf, facts, ends)


class _Shelf:
    """The columns of a log as they grow: lists of arrays, or files in a folder."""

    def __init__(self, folder: Path | None):
        self.folder, self.parts, self.files, self.writers = folder, dict[str, list](), dict[str, Any](), dict[str, Any]()
        self.touches = self.cases = 0
        self.ties = dict.fromkeys(TIE_RULES, 0)
        self.last: pa.RecordBatch | None = None
        self.last_at = list[np.ndarray]()  # of each case that is over: when its last touch was

    def put(self, name: str, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, dtype=_DTYPES[name])
        if self.folder is None:
            self.parts.setdefault(name, []).append(values)
            return
        if name not in self.files:
            self.files[name] = (self.folder / f"{name}.bin").open("wb")
        values.tofile(self.files[name])

    def put_labels(self, name: str, values: pa.Array) -> None:
        values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
        values = values.cast(pa.large_string()) if pa.types.is_string(values.type) else values
        if self.folder is None:
            self.parts.setdefault(name, []).append(values)
            return
        batch = pa.record_batch([values], names=[name])
        if name not in self.writers:
            self.writers[name] = pa.ipc.new_file(str(self.folder / f"{name}.arrow"), batch.schema)
        self.writers[name].write_batch(batch)

    def fill(self, rows: Iterable[pa.RecordBatch | pa.Table], keys: Sequence[str] = ()) -> None:
        """Put rows on the shelf; with `keys`, raises OutOfOrder at the first row that they do not put after its predecessor."""
        for table in rows:
            for batch in table.to_batches() if isinstance(table, pa.Table) else [table]:
                if batch.num_rows:
                    self._add(batch, keys)

    def _add(self, batch: pa.RecordBatch, keys: Sequence[str]) -> None:
        if keys:
            _check_order(batch, self.last, keys)
        new_customer = self._differs(batch, "customer")
        new_case = new_customer | self._differs(batch, "label")
        if "kind" in batch.schema.names:
            new_case |= self._differs(batch, "kind")
        self.put("case_start", self.touches + np.flatnonzero(new_case))
        self.put("customer_start", self.cases + np.cumsum(new_case)[new_customer] - 1)
        for name in PER_TOUCH:
            column = "us" if name == "at" else name
            if column in batch.schema.names:
                self.put(name, batch[column].to_numpy(zero_copy_only=False))
        self.put_labels("case_id", batch["label"].filter(pa.array(new_case)))
        customers = batch["customer"].filter(pa.array(new_customer))
        self.put_labels("customer_id", customers)
        self.put("customer_key", customer_keys(customers))
        before = np.append(self._last_us(), batch["us"].to_numpy()[:-1])
        self.last_at.append(before[new_case[len(new_case) - len(before) :]])
        if "touchpoint_id" in batch.schema.names:
            self.put_labels("touchpoint_id", batch["touchpoint_id"])
        tied = ~new_case & ~self._differs(batch, "us")
        for rule in TIE_RULES[:-1]:
            if tied.any() and rule in batch.schema.names:
                decided = tied & self._differs(batch, rule)
                self.ties[rule] += int(decided.sum())
                tied &= ~decided
        self.ties["touchpoint_id"] += int(tied.sum())
        self.touches += batch.num_rows
        self.cases += int(new_case.sum())
        self.last = batch.slice(batch.num_rows - 1, 1)

    def _differs(self, batch: pa.RecordBatch, name: str) -> np.ndarray:
        """Where does a column change from one row to the next?"""
        now = batch[name]
        changed = np.empty(len(now), dtype=bool)
        changed[0] = self.last is None or now[0].as_py() != self.last[name][0].as_py()
        now = now.indices if pa.types.is_dictionary(now.type) else now
        changed[1:] = pc.not_equal(now[1:], now[:-1]).to_numpy(zero_copy_only=False)
        return changed

    def _last_us(self) -> np.ndarray:
        return np.empty(0, dtype=np.int64) if self.last is None else self.last["us"].to_numpy()

    def put_ends(self, facts: Mapping[str, Any], ends: Mapping | None) -> None:
        """When each case ended and whether it is open, once all rows are in; in pieces, so that little is needed on the way."""
        if ends is not None and len(ends["done"]) != self.cases:
            raise ValueError(f"{len(ends['done'])} ends of {self.cases} cases")
        first = 0
        for last in [*self.last_at, self._last_us()]:
            these = slice(first, first := first + len(last))
            silent = last > facts["observed_until"] - facts["gap"]
            done = last if ends is None else ends["done"][these]
            known = np.full(len(last), ends is not None) & ~np.isnan(done)
            unresolved = silent if ends is None else np.where(known, ends["unresolved"][these], silent)
            self.put("case_end", np.maximum(last, np.where(known, done, last).astype(np.int64)))
            self.put("case_open", unresolved)
            self.put("case_resolved", known & ~unresolved)

    def close(self) -> None:
        for file in (*self.files.values(), *self.writers.values()):
            file.close()


def _check_order(batch: pa.RecordBatch, before: pa.RecordBatch | None, keys: Sequence[str]) -> None:
    """Raise OutOfOrder unless the rows rise by `keys`, the first key deciding first."""
    rows = pa.Table.from_batches([before, batch] if before is not None else [batch]).combine_chunks()
    open_still: pa.Array | None = None
    for key in keys:
        column = rows[key].combine_chunks() if isinstance(rows[key], pa.ChunkedArray) else rows[key]
        now, earlier = column[1:], column[:-1]
        less = pc.less(now, earlier)
        if pc.any(less if open_still is None else pc.and_(less, open_still)).as_py():
            raise OutOfOrder
        same = pc.equal(now, earlier)
        open_still = same if open_still is None else pc.and_(same, open_still)
        if not pc.any(open_still).as_py():
            return


def finish(shelf: _Shelf, facts: Mapping[str, Any], ends: Mapping | None) -> EventLog:
    """The log of a shelf: adds what is known only when all rows are in (ends of cases, last offsets)."""
    shelf.put("case_start", np.array([shelf.touches]))
    shelf.put("customer_start", np.array([shelf.cases]))
    shelf.put("customer_key", np.empty(0))  # there even where no row came
    shelf.put_ends(facts, ends)
    shelf.close()
    if shelf.folder is None:
        columns = {name: np.concatenate(parts) for name, parts in shelf.parts.items() if name in _DTYPES}
        return EventLog(**_whole(columns, shelf.touches), **facts, ties=shelf.ties, labels=_labels(shelf))
    sizes = {file.name: file.stat().st_size for file in sorted(shelf.folder.iterdir())}
    content = {"facts": dict(facts), "ties": shelf.ties, "touches": shelf.touches, "sizes": sizes}
    (shelf.folder / "log.json").write_text(json.dumps(content), encoding="utf-8")
    return load(shelf.folder)


def _whole(arrays: dict[str, np.ndarray], touches: int) -> dict[str, Any]:
    """All arrays of a log; a column that the source lacks is one value, seen as often as there are touches."""
    for name, (kind, missing) in PER_TOUCH.items():
        if name not in arrays:
            arrays[name] = np.broadcast_to(np.array(missing or 0, dtype=kind), touches)
    return arrays


def _labels(shelf: _Shelf) -> dict[str, pa.ChunkedArray]:
    if shelf.folder is None:
        found = {name: pa.chunked_array(shelf.parts[name]) for name in LABELS.values() if name in shelf.parts}
        return found or {name: pa.chunked_array([pa.array([], pa.large_string())]) for name in ("case_id", "customer_id")}
    return {name: _mapped_labels(shelf.folder / f"{name}.arrow") for name in LABELS.values() if name in shelf.writers}


def _mapped_labels(file: Path) -> pa.ChunkedArray:
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all().column(0)


def _mapped(file: Path, kind: str) -> np.ndarray:
    """A column as it lies on disk; a plain array, since slices of a memmap are slow to make."""
    return np.asarray(np.memmap(file, dtype=kind, mode="r")) if file.stat().st_size else np.empty(0, dtype=kind)


def store(folder: Path, rows: Iterable[pa.RecordBatch], keys: Sequence[str] = ()) -> _Shelf:
    """Write rows in the order of the log to a folder, batch by batch; see `arranged` for the columns."""
    shelf = _Shelf(folder)
    try:
        shelf.fill(rows, keys)
    except BaseException:
        shelf.close()
        raise
    return shelf


def load(folder: Path) -> EventLog:
    """The log that lies in a folder, memory-mapped. Raises OSError, ValueError or KeyError where a part of it is missing."""
    content = json.loads((folder / "log.json").read_text(encoding="utf-8"))
    for name, size in content["sizes"].items():
        if (folder / name).stat().st_size != size:
            raise ValueError(f"{name} was cut short")
    facts = content["facts"] | {name: tuple(content["facts"][name]) for name in ("stages", "actions", "notes")}
    arrays = {
        name: _mapped(folder / f"{name}.bin", kind) for name, kind in _DTYPES.items() if f"{name}.bin" in content["sizes"]
    }
    labels = {name: _mapped_labels(folder / f"{name}.arrow") for name in LABELS.values() if f"{name}.arrow" in content["sizes"]}
    return EventLog(**_whole(arrays, content["touches"]), **facts, ties=content["ties"], labels=labels)
