"""Which whole paths do cases take, and how often? Exact, on a log of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cxlib.eventlog import POOL, EventLog, spread
from cxlib.journey.reach import stage_code
from cxlib.journey.shares import share_table
from cxlib.schema import DataError
from cxlib.store.settings import ARROW

_NIBBLES = 16  # a path of up to so many touches is packed into 64 bits, four a stage: equal numbers are equal paths
_AT_ONCE = 32  # parts that are put together at a time
_PATHS = 65_536  # put together or written at a time, so that what is needed on the way stays small
_SAMPLED = 64  # of so many paths one is looked at to find ranges of about one size


@dataclass(frozen=True)
class Variants:
    """The answer of `variants`; `table` has one row per path, the most frequent first."""

    table: pd.DataFrame  # path, touches, count, share, low, high, n
    stages: tuple[str, ...]
    n_variants: int
    n_cases: int
    log: EventLog = field(repr=False)

    def cases_at(self, path: str) -> pd.DataFrame:
        """Which cases took this path? One row per case: case_id, customer_id; as many as `count` says."""
        codes = np.array([stage_code(self.log, name) for name in path.split(ARROW)], dtype=np.uint8)
        same = self.log.per_case(_took, path=tuple(codes.tolist()))["took"].to_numpy()
        return self.log.case_labels()[same].reset_index(drop=True)


def variants(log: EventLog, top: int | None = None) -> Variants:
    """Which whole paths do cases take, and how often?

    Parameters
    ----------
    top : int, optional
        Only the `top` most frequent paths; all of them otherwise.

    Returns
    -------
    Variants
        `table` has one row per path: path (its stages, "help > phone"), touches (its length), count (cases), their share of all
        `n` cases with the 95 % interval by customer. Most frequent first, then shorter, then from left to right.

    Notes
    -----
    Exact: a path of up to 16 touches is packed into 64 bits, a longer one is compared as it is. Open cases count with the path
    they have taken so far.

    >>> from cxlib.eventlog import from_paths
    >>> variants(from_paths(a="help phone", b="help", c="help phone")).table[["path", "touches", "count"]]
               path  touches  count
    0  help > phone        2      2
    1          help        1      1
    """
    if top is not None and (isinstance(top, bool) or int(top) != top or top < 1):
        raise DataError(f"top={top} is not a number of paths: write a whole number from 1 on, or None for all")
    tally: _Tally = log.add_up(_tally, together=_together)
    size = np.append(_length(tally.short), np.fromiter(map(len, tally.long), dtype=np.int64, count=len(tally.long)))
    sums = np.hstack([tally.short_sums, tally.long_sums])
    order = np.lexsort((_shorter_first(tally, size), size > _NIBBLES, -sums[0]))[:top]
    table = _table(order, size, sums, tally, log.stages)
    return Variants(table, log.stages, sums.shape[1], int(tally.totals[1]), log)


@dataclass(frozen=True)
class _Tally:
    """Paths with what has to be added up for each: cases, cases times the customer's cases, squares of a customer's cases."""

    short: np.ndarray  # packed, uint64, rising
    short_sums: np.ndarray
    long: np.ndarray  # bytes, one a stage
    long_sums: np.ndarray
    totals: np.ndarray  # customers, cases, squares of cases per customer


def _tally(log: EventLog) -> _Tally:
    length = np.diff(log.case_start)
    per = np.diff(log.customer_start)
    short, long = np.flatnonzero(length <= _NIBBLES), np.flatnonzero(length > _NIBBLES)
    raw = log.stage.tobytes() if len(long) else b""
    paths = np.empty(len(long), dtype=object)
    paths[:] = [raw[a:b] for a, b in zip(log.case_start[long].tolist(), log.case_start[long + 1].tolist(), strict=True)]
    return _Tally(
        *_counted(_packed(log, length).take(short), log.customer_of_case.take(short), per),
        *_counted(paths, log.customer_of_case.take(long), per),
        np.array([log.n_customers, log.n_cases, int((per.astype(np.int64) ** 2).sum())]),
    )


def _packed(log: EventLog, length: np.ndarray) -> np.ndarray:
    """The paths of cases as numbers that sort like them: the first touch in the highest four bits, a stage as 1-15.

    A case of more than 16 touches gets a number without meaning.
    """
    if not len(length):
        return np.empty(0, dtype=np.uint64)
    # A running sum, in which each touch lies four bits below the one before and each case begins at the top again. It wraps
    # at 256 and, further down, at 2**64: differences stay exact.
    step = np.full(log.n_touches, 256 - 4, dtype=np.uint8)
    step[log.case_start[:-1]] = np.append(4 * (_NIBBLES - 1), 4 * (length[:-1] - 1)).astype(np.uint8)
    shift = np.add.accumulate(step, out=step)
    shift &= np.uint8(63)
    code = (log.stage + np.uint8(1)).astype(np.uint64)
    code <<= shift
    so_far = np.cumsum(code, out=code)
    return np.diff(so_far[log.case_start[1:] - 1], prepend=np.uint64(0))


def _counted(keys: np.ndarray, customer: np.ndarray, per: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys with their three sums, numbers rising; cases come by customer."""
    code, distinct = pd.factorize(keys, sort=keys.dtype != object)
    count = np.bincount(code, minlength=len(distinct))
    cases = np.bincount(code, weights=per[customer], minlength=len(distinct)).astype(np.int64)
    if len(customer) == len(per) and (per == 1).all():
        return distinct, np.stack([count, cases, count])
    pair, pairs = pd.factorize(code * np.int64(len(per)) + customer)
    run = np.bincount(pair)
    squares = np.bincount(pairs // len(per), weights=run * run, minlength=len(distinct)).astype(np.int64)
    return distinct, np.stack([count, cases, squares])


def _together(parts: Iterable[_Tally]) -> _Tally:
    """The tallies of several parts as one; customers are whole in a part, so squares add up.

    Many parts are put together by the score as they come: they share most of their paths, and what has few entries stays in
    the cache.
    """
    coming, scores = iter(parts), list[_Tally]()
    while score := list(islice(coming, _AT_ONCE)):
        scores.append(_merged(score))
    return _together(scores) if len(scores) > 1 else scores[0]


def _merged(parts: Sequence[_Tally]) -> _Tally:
    if len(parts) == 1:
        return parts[0]
    long = np.concatenate([part.long for part in parts])
    code, distinct = pd.factorize(long)
    return _Tally(
        *_summed([part.short for part in parts], [part.short_sums for part in parts]),
        distinct,
        _by_code(code, np.hstack([part.long_sums for part in parts]))[1],
        np.sum([part.totals for part in parts], axis=0),
    )


def _by_code(code: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each code once, rising, and its sums."""
    order = np.argsort(code)  # costs less than a table of all paths, which outgrows the cache
    code = code.take(order)
    first = np.flatnonzero(np.append(True, code[1:] != code[:-1])[: len(code)])
    return code.take(first), np.stack([np.add.reduceat(row.take(order), first) for row in sums])


def _summed(keys: Sequence[np.ndarray], sums: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Keys of several parts, rising in each, as one, with their sums: one range of keys after another, a cacheful at a time."""
    bounds = np.sort(np.concatenate([key[::_SAMPLED] for key in keys]))[_PATHS // _SAMPLED :: _PATHS // _SAMPLED]
    cuts = [[0, *np.searchsorted(key, bounds).tolist(), len(key)] for key in keys]
    n = sum(map(len, keys))
    found, of_found, last = np.empty(n, dtype=np.uint64), np.empty((3, n), dtype=np.int64), 0
    for i in range(len(bounds) + 1):
        some = [slice(*cut[i : i + 2]) for cut in cuts]
        code = np.concatenate([key[rows] for key, rows in zip(keys, some, strict=True)])
        code, of_code = _by_code(code, np.hstack([row[:, rows] for row, rows in zip(sums, some, strict=True)]))
        first, last = last, last + len(code)
        found[first:last], of_found[:, first:last] = code, of_code
    return found[:last], of_found[:, :last]


def _shorter_first(tally: _Tally, size: np.ndarray) -> np.ndarray:
    """One number per path that rises with its length, and among equal lengths from left to right; long paths apart."""
    n = len(tally.short)
    short = tally.short >> (4 * (_NIBBLES - size[:n])).astype(np.uint64)  # the last touch now stands in the lowest four bits
    long = pa.table({"size": size[n:], "path": pa.array(tally.long, pa.binary())})
    rank = np.empty(long.num_rows, dtype=np.uint64)
    rank[pc.sort_indices(long, [("size", "ascending"), ("path", "ascending")]).to_numpy()] = np.arange(len(rank))
    return np.append(short, rank)


def _length(packed: np.ndarray) -> np.ndarray:
    """How many touches has a packed path?"""
    size = np.zeros(len(packed), dtype=np.int64)
    rest = packed.copy()
    while rest.any():
        size += rest > 0
        rest <<= np.uint64(4)
    return size


def _table(order: np.ndarray, size: np.ndarray, sums: np.ndarray, tally: _Tally, stages: tuple[str, ...]) -> pd.DataFrame:
    """The table of paths in this order; each column is made once and filled piece by piece, for there may be millions."""
    paths, columns = list[pa.Array](), dict[str, np.ndarray]()
    for first in range(0, max(len(order), 1), _PATHS):
        some = order[first : first + _PATHS]
        count, with_n, square = sums.take(some, axis=1)
        m, n, nn = np.broadcast_to(tally.totals[:, None], (3, len(some)))
        shares = share_table(np.stack([m, count, n, square, with_n, nn]), pd.RangeIndex(len(some)), "count")
        for name, values in (shares.assign(touches=size.take(some))).items():
            columns.setdefault(name, np.empty(len(order), dtype=values.dtype))[first : first + _PATHS] = values
        paths.append(_written(some, columns["touches"][first : first + _PATHS], tally, stages))
    path = pa.chunked_array(paths).to_pandas()
    return pd.DataFrame({"path": path, "touches": columns.pop("touches"), **columns}, copy=False)


def _written(order: np.ndarray, size: np.ndarray, tally: _Tally, stages: tuple[str, ...]) -> pa.Array:
    """Some paths in words; `size` is how many touches each has."""
    n, start = len(tally.short), np.append(0, np.cumsum(size))
    short, long = np.flatnonzero(order < n), order[order >= n] - n
    packed = np.zeros(len(order), dtype=np.uint64)
    packed[short] = tally.short.take(order.take(short))
    path = spread(start[:-1], start[-1])
    place = np.arange(start[-1]) - start.take(path)
    shift = (4 * (_NIBBLES - 1 - place)) & 63
    flat = (packed.take(path) >> shift.astype(np.uint64)).astype(np.uint8)
    flat &= np.uint8(15)
    flat -= np.uint8(1)
    flat[np.repeat(order >= n, size)] = np.frombuffer(b"".join(tally.long[long]), dtype=np.uint8)
    names = pc.take(pa.array(stages, pa.string()), pa.array(flat), memory_pool=POOL)
    lists = pa.ListArray.from_arrays(pa.array(start, pa.int32()), names)
    return pc.binary_join(lists, ARROW, memory_pool=POOL)


def _took(log: EventLog, path: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Which cases took exactly this path?"""
    took = np.diff(log.case_start) == len(path)
    live = np.flatnonzero(took)
    for place, code in enumerate(path):
        live = live[log.stage[log.case_start[live] + place] == code]
    took[:] = False
    took[live] = True
    return {"took": took}
