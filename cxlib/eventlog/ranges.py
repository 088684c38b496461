"""Touches sorted as numbers: dealt out by ranges of customers, each range sorted by itself.

A sort that compares costs more than ten times as much for ten times the rows, most of all where it compares ids as text. Here
every key becomes whole numbers that rise as it does, and no step but dealing out sees more than one range.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cxlib.eventlog import progress
from cxlib.eventlog.touches import BATCH, Touches

RANGE = 12 << 20  # bytes of rows that are sorted at once: larger ones leave the processor's cache, smaller ones are more reads
RANGES = 200  # beyond so many, ranges become larger instead where memory allows it
BLOCKS = 1_000  # so many times rows are dealt out, or more often on small logs
DEALT = 1 << 20  # rows dealt out at a time at most
AT_WORK = 5  # how many times its rows a range takes while it is sorted
LONGEST = 64  # bytes of an id
SAMPLED = 500  # customers looked at per range, to cut ranges of about one size
SMALLEST = 1 << 16  # bytes of a range, however little memory there is
WORKERS = 4  # ranges sorted at the same time at most
_SIGN = np.uint64(1 << 63)
# Masks of a word's first n bytes, for n from 0 to 8.
_FIRST = np.array([0, *((1 << 64) - (1 << 8 * (8 - n)) for n in range(1, 9))], dtype=np.uint64)


class _Unfit(Exception):
    """What cannot be sorted as numbers."""


@dataclass(frozen=True)
class _Number:
    """A column of whole numbers."""

    kind: np.dtype

    @property
    def kinds(self) -> list[np.dtype]:
        return [self.kind]

    def stored(self, column: pa.Array) -> list[np.ndarray]:
        return [column.to_numpy()]

    def keys(self, stored: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Numbers without sign in the same order."""
        if self.kind.kind == "u":
            return [stored[0].astype(np.uint64)]
        return [stored[0].astype(np.int64).view(np.uint64) ^ _SIGN]

    def restored(self, stored: Sequence[np.ndarray]) -> pa.Array:
        return pa.array(stored[0])


@dataclass(frozen=True)
class _Text:
    """A column of ids: what follows the beginning that all share, eight bytes a number, the first byte weighing most."""

    shared: bytes
    longest: int  # bytes of an id

    @property
    def words(self) -> int:
        return max(1, -(-(self.longest - len(self.shared)) // 8))

    @property
    def kinds(self) -> list[np.dtype]:
        return [np.dtype(np.uint64)] * self.words

    def stored(self, column: pa.Array) -> list[np.ndarray]:
        n, width = len(column), 4 if pa.types.is_string(column.type) else 8
        if not n:
            return [np.empty(0, dtype=np.uint64)] * self.words
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, f"i{width}", n + 1, column.offset * width).astype(np.int64)
        text = np.zeros(ends[-1] - ends[0] + 8, dtype=np.uint8)
        if len(text) > 8:
            text[:-8] = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
            if not text[:-8].min():
                raise _Unfit  # a NUL would look like the end of an id
        eight = np.ndarray((len(text) - 7,), dtype=">u8", buffer=text, strides=(1,))
        start, length = ends[:-1] - ends[0], np.diff(ends)
        shortest, longest, past = int(length.min()), int(length.max()), len(self.shared)
        if longest > self.longest:
            raise _Unfit  # the source has changed meanwhile
        found = []
        for _ in range(self.words):
            if 0 < shortest == longest:  # as most ids are, and then read far faster
                words = eight[min(past, longest) :: longest][:n]
                found.append(words.astype(np.uint64) & _FIRST[min(max(longest - past, 0), 8)])
            else:
                words = eight[np.minimum(start + past, len(eight) - 1)]
                found.append(words.astype(np.uint64) & _FIRST[np.clip(length - past, 0, 8)])
            past += 8
        return found

    def keys(self, stored: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(stored)

    def restored(self, stored: Sequence[np.ndarray]) -> pa.Array:
        """Each id once for a run of rows that have it."""
        new = _changes(stored)
        named = np.stack([word[new] for word in stored], axis=1).astype(">u8").view(np.uint8)
        shared = np.broadcast_to(np.frombuffer(self.shared, np.uint8), (len(named), len(self.shared)))
        letters = np.concatenate([shared, named], axis=1)
        used = letters != 0
        ends = np.append(0, np.cumsum(used.sum(axis=1, dtype=np.int64)))
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(letters[used])]
        names = pa.Array.from_buffers(pa.large_string(), len(named), buffers)
        return pa.DictionaryArray.from_arrays((np.cumsum(new) - 1).astype(np.int32), names)


_Column = _Number | _Text


def _changes(words: Sequence[np.ndarray]) -> np.ndarray:
    """Which rows differ from the row before? The first does."""
    new = np.ones(len(words[0]), dtype=bool)
    new[1:] = False
    for word in words:
        new[1:] |= word[1:] != word[:-1]
    return new


def in_ranges(touches: Touches, scratch: Path) -> Generator[pa.RecordBatch] | None:
    """The touches in the order of the log, a range of customers at a time; None where DuckDB must sort.

    It must where ids are long or hold a NUL, where one customer has more touches than memory allows, and where the disk has no
    room. Ids come as dictionaries. `scratch` is a folder for the rows as they are dealt out: eight bytes for the time and for
    each eight bytes of ids, but for what all ids begin with.
    """
    file = scratch / "dealt.rows"
    try:
        plan = _plan(touches)
        return _Dealt(touches, plan, file).in_order()
    except (_Unfit, OSError):
        file.unlink(missing_ok=True)
        return None


@dataclass(frozen=True)
class _Plan:
    """What each column is, the customers at which ranges begin, and how many bytes of rows may be sorted at once."""

    columns: Mapping[str, _Column]
    bounds: Sequence[np.ndarray]
    most: int
    workers: int


def _plan(touches: Touches) -> _Plan:
    """Look at all ids once; raises _Unfit where they or another column cannot be numbers."""
    schema = touches.con.sql(f"SELECT * FROM ({touches.sql}) LIMIT 0").to_arrow_table().schema
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    numbers = {field.name: field.type.to_pandas_dtype() for field in schema if pa.types.is_integer(field.type)}
    if not touches.rows or len(texts) + len(numbers) < len(schema):
        raise _Unfit
    asked = [f"[encode(min({name})), encode(max({name}))], max(strlen({name}))" for name in texts]
    workers = min(WORKERS, os.cpu_count() or 1)
    (memory,) = touches.con.sql("SELECT parse_formatted_bytes(current_setting('memory_limit'))").fetchall()[0]
    most = memory // (AT_WORK * (workers + 1))  # one more than at work waits to be taken
    asked.append(f"list(customer) FILTER (random() < {SAMPLED * (1 / touches.rows + 8 * len(schema) / RANGE)})")
    with progress.queries(touches.con, "looking at ids"):
        *found, sample = touches.con.sql(f"SELECT {', '.join(asked)} FROM ({touches.sql})").fetchall()[0]
    columns: dict[str, _Column] = {name: _Number(np.dtype(kind)) for name, kind in numbers.items()}
    for name, ends, longest in zip(texts, found[::2], found[1::2], strict=True):
        if longest is None or longest > LONGEST:
            raise _Unfit
        columns[name] = _Text(_shared(*ends), longest)
    customer = columns["customer"]
    keys = customer.keys(customer.stored(pa.array(sample or [], schema.field("customer").type)))
    order = order_of(keys)
    size = touches.rows * sum(kind.itemsize for column in columns.values() for kind in column.kinds)
    n = -(-size // min(max(RANGE, size // RANGES), max(most // 2, SMALLEST)))
    chosen = order[np.arange(1, n) * len(order) // n] if len(order) else order
    return _Plan(columns, [key[chosen] for key in keys], most, workers)


def _shared(first: bytes, last: bytes) -> bytes:
    """What two texts begin with, and so all texts between them do."""
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:n]


class _Dealt:
    """Rows in a file, a block after another: in each column by column, in each range by range."""

    def __init__(self, touches: Touches, plan: _Plan, file: Path):
        self.touches, self.columns, self.workers, self.file = touches, plan.columns, plan.workers, file
        self.kinds = [kind for column in self.columns.values() for kind in column.kinds]
        self.width = sum(kind.itemsize for kind in self.kinds)
        ends = []
        with file.open("wb") as out:
            for block in touches.as_is(max(BATCH, min(touches.rows // BLOCKS, DEALT))):
                if any(column.null_count for column in block.columns):
                    raise _Unfit
                stored = {name: column.stored(block[name]) for name, column in self.columns.items()}
                order, end = _cut(self.columns["customer"].keys(stored["customer"]), plan.bounds)
                ends.append(end)
                for values in stored.values():
                    for value in values:
                        out.write(value[order].data)
        self.ends = np.array(ends, dtype=np.int64)  # of each range in each block
        if np.diff(self.ends, axis=1, prepend=0).sum(axis=0).max() * self.width > plan.most:
            raise _Unfit

    def in_order(self) -> Generator[pa.RecordBatch]:
        n, waiting = self.ends.shape[1], deque[Future[pa.RecordBatch]]()
        with (
            progress.bar("sorting touches", self.touches.rows, bar_format=progress.SHARE) as shown,
            ThreadPoolExecutor(self.workers) as pool,
        ):
            for i in range(n + self.workers):
                if i < n:
                    waiting.append(pool.submit(self._sorted, i))
                if i >= self.workers:
                    batch = waiting.popleft().result()
                    shown.update(batch.num_rows)
                    yield batch

    def _sorted(self, which: int) -> pa.RecordBatch:
        """One range, in order."""
        read = self._read(which)
        stored = {name: [next(read) for _ in column.kinds] for name, column in self.columns.items()}
        keys = [self.columns[name].keys(stored[name]) for name in self.touches.keys]
        late = self.touches.keys.index("us")
        ids, times = ([key for part in parts for key in part] for parts in (keys[:late], keys[late:]))
        order = order_of(ids)  # rows of one case stay as they stood, which is often in order already
        if not _rises([key[order] for key in times], ~_changes([key[order] for key in ids])):
            order = order_of([*ids, *times])
        columns = [column.restored([value[order] for value in stored[name]]) for name, column in self.columns.items()]
        return pa.record_batch(columns, names=list(self.columns))

    def _read(self, which: int) -> Iterator[np.ndarray]:
        """The columns of one range, each in its own arrays."""
        size = self.ends[:, -1]
        first = self.ends[:, which - 1] if which else np.zeros_like(size)
        n = self.ends[:, which] - first
        at, begins = np.append(0, np.cumsum(n)), (np.cumsum(size) - size) * self.width
        with self.file.open("rb", buffering=0) as file:
            for kind in self.kinds:
                values = np.empty(at[-1], dtype=kind)
                for block in np.flatnonzero(n):
                    part = values[at[block] : at[block + 1]]
                    file.seek(begins[block] + first[block] * kind.itemsize)
                    if file.readinto(part.data) != part.nbytes:
                        raise OSError(f"{self.file} was cut short")
                begins += size * kind.itemsize
                yield values


def _cut(keys: Sequence[np.ndarray], bounds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order of their keys, and where each range ends among them; ranges begin at the bounds, which rise.

    >>> keys, bounds = np.array([7, 1, 5, 3], dtype=np.uint64), np.array([3, 6], dtype=np.uint64)
    >>> [found.tolist() for found in _cut([keys], [bounds])]
    [[1, 3, 2, 0], [1, 3, 4]]
    """
    n = len(bounds[0])
    order = order_of([np.concatenate(both) for both in zip(bounds, keys, strict=True)])  # a bound stands before its equals
    is_bound = order < n
    return order[~is_bound] - n, np.append(np.flatnonzero(is_bound) - np.arange(n), len(keys[0]))


def _rises(keys: Sequence[np.ndarray], tied: np.ndarray) -> bool:
    """Do rows that are `tied` with the row before stand in order after it, the first key deciding first?"""
    open_still = tied[1:]
    for key in keys:
        if ((key[1:] < key[:-1]) & open_still).any():
            return False
        open_still = (key[1:] == key[:-1]) & open_still
    return True


def order_of(keys: Sequence[np.ndarray]) -> np.ndarray:
    """The rows in the order of their keys, numbers without sign, the first key deciding first; equal rows as they stand.

    A radix sort from the last digit to the first. A digit is as many bits as a number has room for beside the row's place, and
    numpy sorts such numbers many times faster than it sorts places.

    >>> order_of([np.array([2, 1, 2, 1], dtype=np.uint64), np.array([0, 9, 0, 8], dtype=np.uint64)])
    array([3, 1, 0, 2])
    """
    n = len(keys[0])
    place = max(1, n - 1).bit_length()
    rows = np.arange(n, dtype=np.uint64)
    order: np.ndarray | None = None
    for digit in _digits(keys, 64 - place):
        packed = (digit if order is None else digit[order]) << np.uint64(place)
        packed |= rows
        packed.sort()
        packed &= np.uint64((1 << place) - 1)
        found = packed.view(np.int64)  # what numpy looks up by without a copy
        order = found if order is None else order[found]
    return rows.view(np.int64) if order is None else order


def _digits(keys: Sequence[np.ndarray], room: int) -> Iterator[np.ndarray]:
    """All bits of the keys that differ, as numbers of at most `room` bits, the last first."""
    digit, filled = np.zeros(len(keys[0]), dtype=np.uint64), 0
    for key in reversed(keys):
        for first, n in _varying(key):
            low, left = first, n
            while left:
                taken = min(left, room - filled)
                digit |= ((key >> np.uint64(low)) & np.uint64((1 << taken) - 1)) << np.uint64(filled)
                low, left, filled = low + taken, left - taken, filled + taken
                if filled == room:
                    yield digit
                    digit, filled = np.zeros(len(key), dtype=np.uint64), 0
    if filled:
        yield digit


def _varying(key: np.ndarray) -> list[tuple[int, int]]:
    """The runs of bits that are not the same in all rows, the lowest first: where each begins and how many there are.

    >>> _varying(np.array([0b10001, 0b00111], dtype=np.uint64))
    [(1, 2), (4, 1)]
    """
    differ = format(int(np.bitwise_or.reduce(key ^ key[0])) if len(key) else 0, "b")[::-1]
    return [(run.start(), run.end() - run.start()) for run in re.finditer("1+", differ)]
