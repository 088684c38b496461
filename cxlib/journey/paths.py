"""Which ways do cases take? Moves between stages, what stands at each step, and going back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog, settled, spread
from cxlib.journey.shares import share_table, sums_by_code
from cxlib.schema import DataError


@dataclass(frozen=True)
class Transitions:
    """The answer of `transitions`; `table` has one row per pair of stages."""

    table: pd.DataFrame  # source, target, count, share, low, high, n
    stages: tuple[str, ...]


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


def transitions(log: EventLog) -> Transitions:
    """From each stage, where does the next touch of a case go?

    Returns
    -------
    Transitions
        `table` has one row per pair that occurs: source, target (a stage, or "end" for the last touch of a case that is over),
        count, and its share of all `n` moves out of the source, with the 95 % interval by customer.

    Notes
    -----
    The unit is the touch. What followed is told of touches that lie at least the log's `gap` before the end of observation, but
    for the last touch of a case that is open still: a move is known at once, an end only after that silence, so the newest
    touches would show moves and hardly an end.

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
    with_n = (crossed * same).sum(axis=1)  # products of a cell's count with all moves out of its source
    sums = np.stack([clusters[source], counts, same @ counts, np.diag(crossed), with_n, same.astype(np.int64) @ with_n])
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
    cell = spread(log.case_start[log.customer_start[:-1]], log.n_touches)
    cell *= cells
    cell += move
    known = settled(log)
    if not known.all():
        cell = cell[known]
    counts = np.bincount(cell, minlength=log.n_customers * cells).reshape(log.n_customers, cells)
    clusters = np.zeros((1, cells), dtype=np.int64)
    clusters[0, :k] = np.count_nonzero(np.add.reduceat(counts, np.arange(0, cells, k + 1), axis=1), axis=0)
    return np.vstack([stats.crossed(counts), counts.sum(axis=0, keepdims=True), clusters])


def step_matrix(log: EventLog, steps: int = 8) -> StepMatrix:
    """At the first, second, third ... touch of a case: which stage is it, and how many cases are over by then?

    Returns
    -------
    StepMatrix
        `table` has one row per step and stage (and "end"): step (from 1), stage, count (cases), share of the `n` cases that are
        known to have had a touch there or to be over, 95 % interval by customer.

    Notes
    -----
    The unit is the case. It counts as far as it is known what followed its touches (see `transitions`), and is then left out
    of `n`.

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
    length, known = np.diff(log.case_start), settled(log)
    over = np.where(known[log.case_start[1:] - 1], k, -1)
    parts = []
    for place in range(steps):
        code, there = over.copy(), np.flatnonzero(length > place)
        touch = log.case_start.take(there) + place
        stage = log.stage[touch].astype(np.int64)
        code[there] = np.where(known[touch - 1], stage, -1) if place else stage
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
    length, known = np.diff(log.case_start), settled(log)
    over = np.where(known[log.case_start[1:] - 1], k * (k + 1), -1)
    parts = []
    for place in range(1, steps):
        code, here = over.copy(), np.flatnonzero(length >= place)
        touch = log.case_start.take(here) + place - 1
        goes_on = length.take(here) > place
        target = np.where(goes_on, log.stage[np.where(goes_on, touch + 1, touch)], k)
        code[here] = np.where(known[touch], log.stage[touch].astype(np.int64) * (k + 1) + target, -1)
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
