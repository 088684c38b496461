"""Which whole paths do cases take, and how often? Exact, on a log of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cxlib.eventlog import EventLog
from cxlib.journey.reach import stage_code
from cxlib.journey.shares import share_table
from cxlib.schema import DataError

_ARROW = " > "
_NIBBLES = 16  # a path of up to so many touches is packed into 64 bits, four a stage: equal numbers are equal paths


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
        codes = np.array([stage_code(self.log, name) for name in path.split(_ARROW)], dtype=np.uint8)
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
    count = np.concatenate([tally.short_sums[0], tally.long_sums[0]])
    # Short and long paths never have the same length, so each kind may bring an order of its own.
    from_left = np.concatenate([tally.short, np.argsort(np.argsort(tally.long)).astype(np.uint64)])
    order = np.lexsort((from_left, size, -count))[:top]
    sums = np.hstack([tally.short_sums, tally.long_sums])[:, order]
    m, n, nn = tally.totals
    one = np.ones(len(order), dtype=np.int64)
    whole = np.stack([m * one, sums[0], n * one, sums[2], sums[1], nn * one])
    table = share_table(whole, pd.RangeIndex(len(order)), "count")
    table.insert(0, "path", _written(order, size[order], tally, log.stages))
    table.insert(1, "touches", size[order])
    return Variants(table, log.stages, len(count), int(n), log)


@dataclass(frozen=True)
class _Tally:
    """Paths with what has to be added up for each: cases, cases times the customer's cases, squares of a customer's cases."""

    short: np.ndarray  # packed, uint64
    short_sums: np.ndarray
    long: np.ndarray  # bytes, one a stage
    long_sums: np.ndarray
    totals: np.ndarray  # customers, cases, squares of cases per customer


def _tally(log: EventLog) -> _Tally:
    length = np.diff(log.case_start)
    per = np.diff(log.customer_start)
    is_short = length <= _NIBBLES
    packed = _packed(log, is_short, length)
    long = np.flatnonzero(~is_short)
    raw = log.stage.tobytes() if len(long) else b""
    paths = np.empty(len(long), dtype=object)
    paths[:] = [raw[a:b] for a, b in zip(log.case_start[long].tolist(), log.case_start[long + 1].tolist(), strict=True)]
    return _Tally(
        *_counted(packed, log.customer_of_case[is_short], per),
        *_counted(paths, log.customer_of_case[long], per),
        np.array([log.n_customers, log.n_cases, int((per.astype(np.int64) ** 2).sum())]),
    )


def _packed(log: EventLog, is_short: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The paths of short cases as numbers that sort like them: the first touch in the highest four bits, a stage as 1-15."""
    if not len(length):
        return np.empty(0, dtype=np.uint64)
    # A running sum, in which each touch lies four bits below the one before and each case begins at the top again. It wraps
    # at 256 and, further down, at 2**64: differences stay exact, and what long cases add is dropped with them.
    step = np.full(log.n_touches, 256 - 4, dtype=np.uint8)
    step[log.case_start[:-1]] = np.append(4 * (_NIBBLES - 1), 4 * (length[:-1] - 1)).astype(np.uint8)
    shift = np.add.accumulate(step, out=step)
    shift &= np.uint8(63)
    code = (log.stage + np.uint8(1)).astype(np.uint64)
    code <<= shift
    so_far = np.cumsum(code, out=code)
    return np.diff(so_far[log.case_start[1:] - 1], prepend=np.uint64(0))[is_short]


def _counted(keys: np.ndarray, customer: np.ndarray, per: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys with their three sums; cases come by customer."""
    code, distinct = pd.factorize(keys)
    count = np.bincount(code, minlength=len(distinct))
    cases = np.bincount(code, weights=per[customer], minlength=len(distinct)).astype(np.int64)
    if len(customer) == len(per) and (per == 1).all():
        return distinct, np.stack([count, cases, count])
    pair, pairs = pd.factorize(code * np.int64(len(per)) + customer)
    run = np.bincount(pair)
    squares = np.bincount(pairs // len(per), weights=run * run, minlength=len(distinct)).astype(np.int64)
    return distinct, np.stack([count, cases, squares])


def _together(parts: Sequence[_Tally]) -> _Tally:
    """The tallies of several parts as one; customers are whole in a part, so squares add up."""
    if len(parts) == 1:
        return parts[0]

    def merged(keys: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        code, distinct = pd.factorize(keys)
        rows = [np.bincount(code, weights=row, minlength=len(distinct)) for row in sums]
        return distinct, np.rint(rows).astype(np.int64).reshape(3, -1)

    return _Tally(
        *merged(np.concatenate([p.short for p in parts]), np.hstack([p.short_sums for p in parts])),
        *merged(np.concatenate([p.long for p in parts]), np.hstack([p.long_sums for p in parts])),
        np.sum([p.totals for p in parts], axis=0),
    )


def _length(packed: np.ndarray) -> np.ndarray:
    """How many touches has a packed path?"""
    size = np.zeros(len(packed), dtype=np.int64)
    rest = packed.copy()
    while rest.any():
        size += rest > 0
        rest <<= np.uint64(4)
    return size


def _written(order: np.ndarray, size: np.ndarray, tally: _Tally, stages: tuple[str, ...]) -> pd.Series:
    """Some paths in words; `size` is how many touches each has."""
    n, ends = len(tally.short), np.cumsum(size)
    flat = np.empty(int(size.sum()), dtype=np.uint8)
    is_short = order < n
    packed, start = tally.short[order[is_short]], (ends - size)[is_short]
    for place in range(_NIBBLES):
        live = packed > 0
        packed, start = packed[live], start[live]
        flat[start + place] = (packed >> np.uint64(60)) - np.uint64(1)
        packed <<= np.uint64(4)
    flat[np.repeat(~is_short, size)] = np.frombuffer(b"".join(tally.long[order[~is_short] - n]), dtype=np.uint8)
    names = pa.array(stages, pa.string()).take(pa.array(flat))
    lists = pa.ListArray.from_arrays(pa.array(np.append(0, ends), pa.int32()), names)
    return pc.binary_join(lists, _ARROW).to_pandas()


def _took(log: EventLog, path: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Which cases took exactly this path?"""
    took = np.diff(log.case_start) == len(path)
    live = np.flatnonzero(took)
    for place, code in enumerate(path):
        live = live[log.stage[log.case_start[live] + place] == code]
    took[:] = False
    took[live] = True
    return {"took": took}
