"""Which ways do cases take? Moves between stages, whole paths, what stands at each step, and going back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cxlib import stats
from cxlib.eventlog import EventLog
from cxlib.journey.shares import share_table, sums_by_code
from cxlib.schema import DataError


@dataclass(frozen=True)
class Transitions:
    """The answer of `transitions`; `table` has one row per pair of stages."""

    table: pd.DataFrame  # source, target, count, share, low, high, n
    stages: tuple[str, ...]


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
        codes = np.array([_stage_of(self.stages, name) for name in path.split(_ARROW)], dtype=np.uint8)
        same = self.log.per_case(_took, path=tuple(codes.tolist()))["took"].to_numpy()
        return self.log.case_labels()[same].reset_index(drop=True)


@dataclass(frozen=True)
class StepMatrix:
    """The answer of `step_matrix`; `table` has one row per step and stage."""

    table: pd.DataFrame  # step, stage, count, share, low, high, n
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Flow:
    """The answer of `flow`; `table` has one row per step and pair of stages that occurs."""

    table: pd.DataFrame  # step, source, target, count, share, low, high, n
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Loops:
    """The answer of `loops`; `table` has one row per stage."""

    table: pd.DataFrame  # again, share, low, high, n
    stages: tuple[str, ...]


END = "end"
_ARROW = " > "
_NIBBLES = 16  # a path of up to so many touches is packed into 64 bits, four a stage: equal numbers are equal paths


def transitions(log: EventLog) -> Transitions:
    """From each stage, where does the next touch of a case go?

    Returns
    -------
    Transitions
        `table` has one row per pair that occurs: source, target (a stage, or "end" for the last touch of a case that is over),
        count, and its share of all `n` moves out of the source, with the 95 % interval by customer.

    Notes
    -----
    The unit is the touch. The last touch of an open case leads nowhere yet and is not counted.

    >>> from cxlib.eventlog import from_paths
    >>> transitions(from_paths(a="help phone", b="help")).table[["source", "target", "count", "n"]]
      source target  count  n
    0   help  phone      1  2
    1   help    end      1  2
    2  phone    end      1  1
    """
    k = len(log.stages)
    answer = log.add_up(_transition_sums)
    crossed, counts, clusters = answer[:-2], answer[-2], answer[-1, :k]
    source = np.repeat(np.arange(k), k + 1)
    same = source[:, None] == source[None, :]
    n = same @ counts
    sums = np.stack(
        [
            clusters[source],
            counts,
            n,
            np.diag(crossed),
            (crossed * same).sum(axis=1),
            same.astype(int) @ (crossed * same).sum(axis=1),
        ]
    )
    targets = (*log.stages, END)
    names = pd.MultiIndex.from_product([log.stages, targets], names=["source", "target"])
    table = share_table(sums, names, "count").reset_index()
    return Transitions(table[table["count"] > 0].reset_index(drop=True), log.stages)


def _transition_sums(log: EventLog) -> np.ndarray:
    """Products of the counts of moves, by pairs of cells (source, target); a row of counts; a row of customers per source."""
    k = len(log.stages)
    cells = k * (k + 1)
    move = log.stage * np.uint8(k + 1)  # at most 15 stages: 240 cells
    move[:-1] += log.stage[1:]
    last = log.case_start[1:] - 1
    move[last] = log.stage[last] * np.uint8(k + 1) + np.uint8(k)
    touches = np.diff(log.case_start[log.customer_start])
    cell = np.repeat(np.arange(log.n_customers) * cells, touches)
    cell += move
    if log.case_open.any():
        counted = np.ones(log.n_touches, dtype=bool)
        counted[last[log.case_open]] = False
        cell = cell[counted]
    counts = np.bincount(cell, minlength=log.n_customers * cells).reshape(log.n_customers, cells)
    clusters = np.zeros((1, cells), dtype=np.int64)
    clusters[0, :k] = np.count_nonzero(np.add.reduceat(counts, np.arange(0, cells, k + 1), axis=1), axis=0)
    return np.vstack([stats.crossed(counts), counts.sum(axis=0, keepdims=True), clusters])


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
    place = np.arange(log.n_touches, dtype=np.int32) - np.repeat(log.case_start[:-1].astype(np.int32), length)
    shift = np.maximum(4 * (_NIBBLES - 1) - 4 * place, 0).astype(np.uint64)
    code = (log.stage + np.uint8(1)).astype(np.uint64) << shift
    return np.add.reduceat(code, log.case_start[:-1])[is_short]


def _counted(keys: np.ndarray, customer: np.ndarray, per: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys with their three sums; cases come by customer."""
    code, distinct = pd.factorize(keys)
    count = np.bincount(code, minlength=len(distinct))
    cases = np.bincount(code, weights=per[customer], minlength=len(distinct)).astype(np.int64)
    if len(customer) == len(per) and (per == 1).all():
        return distinct, np.stack([count, cases, count])
    both = np.sort(code * np.int64(len(per) + 1) + customer)
    first = np.flatnonzero(np.diff(both, prepend=-1))
    run = np.diff(np.append(first, len(both)))
    squares = np.bincount(both[first] // (len(per) + 1), weights=run * run, minlength=len(distinct)).astype(np.int64)
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


def _stage_of(stages: tuple[str, ...], name: str) -> int:
    if name not in stages:
        raise DataError(f"{name!r} is not a stage: write a path as in the table, such as {_ARROW.join(stages[:2])}")
    return stages.index(name)


def step_matrix(log: EventLog, steps: int = 8) -> StepMatrix:
    """At the first, second, third ... touch of a case: which stage is it, and how many cases are over by then?

    Returns
    -------
    StepMatrix
        `table` has one row per step and stage (and "end"): step (from 1), stage, count (cases), share of the `n` cases that are
        known to have had a touch there or to be over, 95 % interval by customer.

    Notes
    -----
    The unit is the case. An open case counts up to its last touch and is then left out of `n`: what follows is not known.

    >>> from cxlib.eventlog import from_paths
    >>> table = step_matrix(from_paths(a="help phone", b="help"), steps=2).table
    >>> table[table["count"] > 0][["step", "stage", "count", "n"]]
        step  stage  count  n
    1      1   help      2  2
    10     2  phone      1  2
    11     2    end      1  2
    """
    _whole_steps(steps, 1)
    names = (*log.stages, END)
    sums = log.add_up(_step_sums, steps=int(steps))
    parts = [
        share_table(at, pd.Index(names, name="stage"), "count").reset_index().assign(step=i + 1) for i, at in enumerate(sums)
    ]
    table = pd.concat(parts, ignore_index=True)
    return StepMatrix(table[["step", *table.columns.drop("step")]], log.stages)


def _step_sums(log: EventLog, steps: int) -> np.ndarray:
    k = len(log.stages)
    length = np.diff(log.case_start)
    parts = []
    for place in range(steps):
        code = np.where(log.case_open, -1, k)
        there = length > place
        code[there] = log.stage[log.case_start[:-1][there] + place]
        parts.append(sums_by_code(log, code, k + 1))
    return np.stack(parts)


def flow(log: EventLog, steps: int = 5) -> Flow:
    """From touch to touch, which cases go where? What a picture of streams from step to step shows.

    Returns
    -------
    Flow
        `table` has one row per step (1 = from the first to the second touch) and pair of stages that occurs: step, source,
        target ("end" where the case is over, and stays so at later steps), count (cases), share of all `n` cases whose way is
        known so far, 95 % interval by customer.

    >>> from cxlib.eventlog import from_paths
    >>> flow(from_paths(a="help phone", b="help"), steps=2).table[["step", "source", "target", "count"]]
       step source target  count
    0     1   help  phone      1
    1     1   help    end      1
    """
    _whole_steps(steps, 2)
    names = (*log.stages, END)
    sums = log.add_up(_flow_sums, steps=int(steps))
    rows = pd.MultiIndex.from_product([range(1, int(steps)), log.stages, names], names=["step", "source", "target"])
    table = share_table(np.concatenate(list(sums), axis=1), rows, "count").reset_index()
    return Flow(table[table["count"] > 0].reset_index(drop=True), log.stages)


def _flow_sums(log: EventLog, steps: int) -> np.ndarray:
    """For each step the sums of every pair (source, target); cases that are over before are counted in n alone."""
    k = len(log.stages)
    length = np.diff(log.case_start)
    parts = []
    for place in range(1, steps):
        code = np.where(log.case_open, -1, k * (k + 1))  # over before this step
        here, on = length >= place, length > place
        source = log.stage[log.case_start[:-1][here] + place - 1].astype(np.int64) * (k + 1)
        code[here] = np.where(log.case_open[here], -1, source + k)
        code[on] = source[on[here]] + log.stage[log.case_start[:-1][on] + place]
        parts.append(sums_by_code(log, code, k * (k + 1) + 1)[:, :-1])
    return np.stack(parts)


def _whole_steps(steps: int, least: int) -> None:
    if isinstance(steps, bool) or int(steps) != steps or not least <= steps <= 100:
        raise DataError(f"steps={steps} is not a number of steps: write a whole number from {least} to 100")


def loops(log: EventLog) -> Loops:
    """How many cases come back to a stage that they had left, or need it twice in a row?

    Returns
    -------
    Loops
        `table` has one row per stage: again (cases with two or more touches there), their share of the `n` cases that used the
        stage (0 to 1), 95 % interval by customer.

    Notes
    -----
    Open cases count with what they have done so far, so the share can only grow.

    >>> from cxlib.eventlog import from_paths
    >>> loops(from_paths(a="help chatbot help", b="help")).table.loc["help", ["again", "n"]].tolist()
    [1, 2]
    """
    sums = log.add_up(_loop_sums)
    return Loops(share_table(sums, pd.Index(log.stages, name="stage"), "again"), log.stages)


def _loop_sums(log: EventLog) -> np.ndarray:
    k = len(log.stages)
    used = np.bincount(log.case_of_touch * k + log.stage, minlength=log.n_cases * k).reshape(-1, k)
    customer = log.customer_start[:-1]
    both = np.stack([used > 1, used > 0]).astype(np.int64)
    y, n = np.add.reduceat(both, customer, axis=1) if log.n_customers else both
    return stats.ratio_sums(y, n)
