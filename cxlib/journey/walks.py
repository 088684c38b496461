"""How cases walk from stage to stage, counted: what the chain of `absorbing` is made of."""

from __future__ import annotations

import numpy as np

from cxlib import stats
from cxlib.eventlog import NO_MOOD, EventLog, settled


def blocks(k: int) -> dict[str, tuple[int, ...]]:
    """What `walk_sums` counts, in this order: names and shapes, for k states."""
    return {
        "moves": (k + 1, k, k + 1),  # came from (k: began here), is, goes to (k: the case ends)
        "starts": (k,),  # cases that began at the state
        "mood": (k,),  # sum over touches, in thousandths
        "felt": (k,),  # touches with a mood
        "still_open": (k, 2, k),  # open cases that have not called: began at, tried left of the escalation (1) or not (0), is
        "forced": (k,),  # cases forced to call, by where they began
        "customers": (1,),  # that sought help
    }


def walk_sums(log: EventLog, *, seed: int, replicates: int) -> np.ndarray:
    """A kernel for `log.add_up`: the counts the chain is made of, as counted (first row) and in each replicate.

    Whole numbers; the columns are those of `blocks`, one after the other.
    """
    k, begin = len(log.stages) - log.problem_from, log.problem_from
    seeks, leads = _known_walks(log)
    state, case = log.stage[seeks].astype(np.int64) - begin, log.case_of_touch[seeks]
    changes = np.flatnonzero(np.diff(case)) + 1
    opens = np.append(0, changes)[: len(seeks)]  # positions of the first touch of each case that seeks help
    lasts = np.append(changes, len(seeks))[: len(opens)] - 1
    came, goes = np.append(k, state[:-1])[: len(state)], np.append(state[1:], k)[: len(state)]
    came[opens], goes[lasts] = k, k
    whose, is_open = log.customer_of_case[case], ~leads[lasts]
    phone = log.escalation - begin
    tried, called = _first(state < phone, opens), _first(state == phone, opens)
    waits, forced = is_open & (called == len(state)), opens[(tried < called) & (called < len(state))]
    stands = (state[opens] * 2 + (tried < len(state))) * k + state[lasts]
    felt = log.mood[seeks] != NO_MOOD
    counted = {
        "moves": (whose[leads], (came * k + state)[leads] * (k + 1) + goes[leads], None),
        "starts": (whose[opens], state[opens], None),
        "mood": (whose[felt], state[felt], log.mood[seeks][felt]),
        "felt": (whose[felt], state[felt], None),
        "still_open": (whose[opens[waits]], stands[waits], None),
        "forced": (whose[forced], state[forced], None),
        "customers": (np.unique(whose), 0, None),
    }
    return _resampled(counted, blocks(k), log.customer_key, seed, replicates)


def _known_walks(log: EventLog) -> tuple[np.ndarray, np.ndarray]:
    """The touches that seek help, each case as far as it is known what followed, and of which it is known where they led."""
    seeks = np.flatnonzero(log.stage >= log.problem_from)
    case = log.case_of_touch[seeks]
    same = np.diff(case, append=-1) == 0
    before_next = np.where(same, np.append(seeks[1:], 0)[: len(seeks)], log.case_start[case + 1]) - 1
    leads = settled(log)[before_next]
    kept = np.append(True, leads[:-1] | ~same[:-1])[: len(seeks)]
    return seeks[kept], leads[kept]


def _first(wanted: np.ndarray, opens: np.ndarray) -> np.ndarray:
    """The first place in each case where `wanted` holds; the number of touches where there is none."""
    place = np.where(wanted, np.arange(len(wanted)), len(wanted))
    return np.minimum.reduceat(place, opens) if len(opens) else place


def _resampled(counted: dict, blocks: dict, key: np.ndarray, seed: int, replicates: int) -> np.ndarray:
    clusters, cells, values, width = [], [], [], 0
    for name, (cluster, cell, value) in counted.items():
        clusters.append(cluster)
        cells.append(np.broadcast_to(cell, cluster.shape) + width)
        values.append(np.ones(len(cluster), dtype=np.int64) if value is None else value.astype(np.int64))
        width += int(np.prod(blocks[name]))
    whose, cell, value = (np.concatenate(part) for part in (clusters, cells, values))
    return stats.resampled_sums(whose, cell, value, width, key, seed=seed, replicates=replicates)
