"""Absorbing Markov chains: walks over states that sooner or later end; knows no stages, only states.

`moves` has k rows and k + 1 columns: of the moves out of each state, the share that goes to each state and, in the last column,
the share that ends. Any dimensions before these two (such as replicates) are carried along. A state without known moves has a
row of zeros; answers for walks that may come into it, or that may never end, are NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

_ENOUGH = 10  # expected moves of a cell that the test of memory looks at


def shares_of_moves(counts: np.ndarray) -> np.ndarray:
    """Counts of moves as shares of all moves out of the same state; zeros where there are none.

    >>> shares_of_moves(np.array([[1, 3], [0, 0]])).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    total = counts.sum(axis=-1, keepdims=True)
    return counts / np.where(total > 0, total, 1)


def visits(moves: np.ndarray) -> np.ndarray:
    """How often is each state (column) touched by a walk that begins in each state (row), the first touch included?

    The fundamental matrix (I - Q)^-1 of Kemeny and Snell (1960), Finite Markov Chains, theorem 3.2.4. Their example of a drunk
    on four corners between home and bar, who turns left or right by chance:

    >>> corners = np.array([[0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]])
    >>> visits(corners).round(2).tolist()
    [[1.5, 1.0, 0.5], [1.0, 2.0, 1.0], [0.5, 1.0, 1.5]]
    """
    inner = moves[..., :-1]
    return _solve(inner, np.broadcast_to(np.eye(inner.shape[-1]), inner.shape), moves[..., -1] > 0)


def along(moves: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """What does a walk from each state add up to until its end, if each touch of a state brings that state's `gain`?

    With a gain of 1 it is the number of touches. A state whose gain is NaN counts only for walks that may come there.

    >>> along(np.array([[0, 0.5, 0.5], [0, 0, 1.0]]), np.array([2.0, 10.0])).tolist()
    [7.0, 10.0]
    """
    touched = visits(moves)
    brings = touched * gain[..., None, :]
    return np.where(touched == 0, 0.0, brings).sum(axis=-1)


def ever(moves: np.ndarray, targets: list[int]) -> np.ndarray:
    """How likely is a walk from each state to touch one of the `targets` before it ends? 1 at the targets themselves.

    Kemeny and Snell (1960), theorem 3.3.7, with the targets made absorbing.

    >>> ever(np.array([[0, 0.5, 0.5], [0, 0, 1.0]]), targets=[1]).tolist()
    [0.5, 1.0]
    """
    inner = moves[..., :-1].copy()
    gain = inner[..., targets].sum(axis=-1)
    leaves = (moves[..., -1] > 0) | (gain > 0)
    inner[..., targets, :], inner[..., :, targets] = 0, 0
    gain[..., targets], leaves[..., targets] = 1, True
    return _solve(inner, gain[..., None], leaves)[..., 0]


def ever_after(moves: np.ndarray, targets: list[int], tried: list[int]) -> np.ndarray:
    """How likely is a walk from each state to touch one of the `targets` before it ends, but first one of the `tried` states?

    Walks that come to a target with nothing tried before do not count, so it is 0 at the targets.

    >>> chain = np.array([[0, 0.5, 0.5, 0], [0, 0, 0, 1.0], [0.5, 0.5, 0, 0]])
    >>> ever_after(chain, targets=[1], tried=[0]).round(2).tolist()
    [1.0, 0.0, 0.5]
    """
    reached = ever(moves, targets)
    inner = moves[..., :-1].copy()
    gain = np.where(inner[..., tried] > 0, inner[..., tried] * reached[..., None, tried], 0).sum(axis=-1)
    leaves = (moves[..., -1] > 0) | (inner[..., tried + targets] > 0).any(axis=-1)
    inner[..., tried + targets, :], inner[..., :, tried + targets] = 0, 0
    gain[..., tried], gain[..., targets], leaves[..., tried + targets] = reached[..., tried], 0, True
    return _solve(inner, gain[..., None], leaves)[..., 0]


def with_more_ends(moves: np.ndarray, states: list[int], more: float) -> np.ndarray:
    """The chain in which `more` (0 to 1) of the touches of these states end the walk, taken from the other moves in proportion.

    Where fewer than that go on, all of them end.

    >>> with_more_ends(np.array([[0.1, 0.3, 0.6], [0.0, 0.0, 1.0]]), states=[0], more=0.2).round(3).tolist()
    [[0.05, 0.15, 0.8], [0.0, 0.0, 1.0]]
    """
    better = moves.copy()
    goes_on = moves[..., states, :-1].sum(axis=-1)
    kept = np.clip(1 - more / np.where(goes_on > 0, goes_on, 1), 0, 1)
    better[..., states, :-1] *= kept[..., None]
    better[..., states, -1] += goes_on * (1 - kept)
    return better


def without(first: np.ndarray, moves: np.ndarray, state: int, *, spread: bool) -> tuple[np.ndarray, np.ndarray]:
    """The chain with a state taken out, as (shares of walks that begin in each state, moves).

    Without `spread`, a walk ends where it would have entered the state (one that would have begun there is none). With it, it
    takes one of the other moves (beginnings) instead, in proportion.

    >>> first, moves = without(np.array([0.5, 0.5]), np.array([[0, 0.5, 0.5], [0, 0, 1.0]]), 1, spread=True)
    >>> first.tolist(), moves[0].tolist()
    ([1.0, 0.0], [0.0, 0.0, 1.0])
    """
    first, moves = first.astype(float), moves.copy()
    gone = moves[..., state].copy()
    first[..., state], moves[..., state] = 0, 0
    if spread:
        return shares_of_moves(first), shares_of_moves(moves)
    moves[..., -1] += gone
    return first, moves


def second_order(counts: np.ndarray) -> np.ndarray:
    """The chain that remembers one step: its moves, from counts by came from, is, goes to.

    With k states there are (k + 1) k of the new ones: number i k + j is "at j, came from i", where i = k means that the walk
    began at j. Where such a state was never left, it moves as j does at large.

    >>> counts = np.zeros((2, 1, 2), dtype=int)  # one state: walks begin there, stay three times of four, then end
    >>> counts[1, 0], counts[0, 0] = [3, 1], [0, 3]
    >>> second_order(counts).tolist()
    [[0.0, 0.0, 1.0], [0.75, 0.0, 0.25]]
    """
    k = counts.shape[1]
    rows = np.where(counts.sum(axis=2, keepdims=True) > 0, shares_of_moves(counts), shares_of_moves(counts.sum(axis=0)))
    moves = np.zeros((k + 1, k, k + 1, k))
    for state in range(k):
        moves[:, state, state, :] = rows[:, state, :k]  # whoever goes on from here came from here
    return np.concatenate([moves.reshape((k + 1) * k, -1), rows[..., k].reshape(-1, 1)], axis=1)


class Memory(NamedTuple):
    """The answer of `memory_test`."""

    pearson: float  # as counted: the chi-square that independent walks would be judged by
    statistic: float  # the same, scaled for clusters
    df: float  # degrees of freedom that go with it
    p: float


def memory_test(counts: np.ndarray) -> Memory:
    """Does it matter for the next move where a walk came from, once it is known where it is?

    Parameters
    ----------
    counts : array
        One layer as counted, then one for each bootstrap replicate by cluster; in each: came from, is, goes to.

    Returns
    -------
    Memory
        A small `p` says that the chain is not of the first order. NaN where there is nothing to compare.

    Notes
    -----
    Pearson's chi-square of came from by goes to, added over the states (Anderson and Goodman 1957, Ann. Math. Stat. 28). Cells
    with fewer than 10 expected moves are left out: which they are depends on the margins alone, so the level stays, and one
    rare walk that a cluster repeats cannot decide. Walks of one cluster are alike, so the law is not the printed one but a sum
    of chi-squares of unequal weight; its mean and variance are taken from the replicates and matched (Rao and Scott 1984, Ann.
    Stat. 12; Satterthwaite 1946, Biometrics Bulletin 2).

    >>> alike = np.array([[[30, 70]], [[30, 70]]])
    >>> memory_test(np.stack([alike, alike + [[[5, 0]], [[0, 0]]], alike - [[[0, 5]], [[5, 0]]]])).pearson
    0.0
    """
    counts = counts.astype(float)
    came = counts.sum(axis=-1, keepdims=True)
    off = counts - came * shares_of_moves(counts.sum(axis=1, keepdims=True))
    expected = (counts - off)[0]
    scale = np.where(expected >= _ENOUGH, expected, np.inf)
    pearson = float((off[0] ** 2 / scale).sum())
    draws = ((off[1:] - off[0]) ** 2 / scale).sum(axis=(1, 2, 3))
    mean, variance = (draws.mean(), draws.var(ddof=1)) if len(draws) > 1 else (0.0, 0.0)
    if variance <= 0:
        return Memory(pearson, np.nan, np.nan, np.nan)
    df = 2 * mean**2 / variance
    statistic = pearson * df / mean
    return Memory(pearson, float(statistic), float(df), float(chdtrc(df, statistic)))


def _solve(inner: np.ndarray, gain: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """x = inner x + gain, NaN for states that may come to one from which no known move leads out.

    `leaves` marks the states that have such a move.
    """
    paths = (np.eye(inner.shape[-1]) + (inner > 0)).astype(np.float32)
    for _ in range(max(1, int(inner.shape[-1]).bit_length())):
        paths = (paths @ paths > 0).astype(np.float32)
    stuck = (paths @ leaves[..., None].astype(np.float32))[..., 0] == 0
    lost = (paths @ stuck[..., None].astype(np.float32)) > 0
    kept = np.where(stuck[..., None], 0, inner)
    known = np.where(stuck[..., None] | np.isnan(gain), 0, gain)
    x = np.linalg.solve(np.eye(inner.shape[-1]) - kept, known)
    lost = lost | ((paths @ np.isnan(gain).any(axis=-1, keepdims=True).astype(np.float32)) > 0)
    return np.where(lost, np.nan, x)
