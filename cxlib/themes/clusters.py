"""Which texts belong together: how many groups, which text is in which, and which groups are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from cxlib.themes.graph import cut, fuzzy_graph, neighbours, partition, spectral, stability

CORE = 20_000  # distinct texts that are clustered; the others join the group of their neighbours
N_TYPICAL = 3
_VOTERS = 15  # placed texts that say which group a point joins
_LANDMARKS = 5_000  # texts of the core that others are compared with
_OF_EACH = 60  # of them at least so many of each group, that a small one can be joined
_SAMPLE = 2_500  # distinct texts on which the number of groups is chosen
FEWEST = 30  # fewer distinct texts than this are one group unless a number is given
_TIED = 0.01  # stabilities this close count as equal: the finer groups are then the more useful
_HEAP, _EVEN = 0.5, 0.18  # what is a heap: see `_without_heap`; themes of sizes 1, 1/2, 1/3, ... 1/77 have an evenness of .19
_TEXTS_PER_GROUP = 40  # the most groups tried: one per this many distinct texts
FEWEST_THEMES = 4  # tried, unless there are too few texts, or fewer are asked for
_GRID = (*range(2, 17), 18, 20, 23, 27, 32, 38, 45, 54, 65, 77, 92)  # numbers of groups tried
# What is called mixed: a choice. Ties stay in a group of random texts in proportion to its size, in a theme mostly.
_INSIDE = 0.3  # a group that keeps a smaller share of its ties to itself says nothing
_SMALL = 5  # distinct texts: fewer are an accident
_MIXED_AT_MOST = 0.1  # of the distinct texts

NO_CURVE = pd.DataFrame(columns=["k", "stability", "low", "high", "n", "largest"]).astype(
    {"k": int, "n": int, "largest": float}
)


@dataclass(frozen=True)
class Groups:
    """Texts as points in groups: `number` is the group of each, from 0."""

    number: np.ndarray
    graph: sparse.csr_matrix
    stability: pd.DataFrame
    is_mixed: np.ndarray  # one flag per group


def grouped(points: np.ndarray, k: int | None, seed: int, fewest: int = FEWEST_THEMES) -> Groups:
    """The groups of these rows of unit length: `k` of them, or as many as come out the same on random parts.

    Groups of fewer than five texts, and those that keep less than 30 % of their ties, are called mixed unless `k` is given: the
    smallest and loosest first, up to a tenth of the texts in all.
    """
    curve = curve_of(points[sample_of(len(points), seed)], seed, fewest) if k is None else NO_CURVE
    graph = fuzzy_graph(points)
    number = partition(graph, k, seed) if k else _without_heap(graph, _by_stability(curve), seed)
    number = np.unique(number, return_inverse=True)[1]  # none may be empty
    none = np.zeros(number.max() + 1, dtype=bool)
    return Groups(number, graph, curve, _mixed(kept_inside(graph, number), number) if k is None else none)


def core(n: int, seed: int, at_most: int | None = None) -> np.ndarray:
    """Positions of a random `at_most` of n (`CORE` unless given), rising."""
    at_most = CORE if at_most is None else at_most
    return np.sort(np.random.default_rng(seed).choice(n, at_most, replace=False)) if n > at_most else np.arange(n)


def sample_of(n: int, seed: int) -> np.ndarray:
    """Positions of the texts on which the number of groups is chosen."""
    return core(n, seed, _SAMPLE)


def curve_of(sample: np.ndarray, seed: int, fewest: int = FEWEST_THEMES) -> pd.DataFrame:
    """How well partitions of random parts agree, by their number of groups: see `graph.stability`."""
    grid = [k for k in _GRID if k >= fewest and k * _TEXTS_PER_GROUP <= len(sample)] or [2, 3]
    return stability(sample, grid, seed) if len(sample) >= FEWEST else NO_CURVE


def _by_stability(curve: pd.DataFrame) -> list[int]:
    """The numbers of groups, first that at which partitions agree best; of those as good the largest. 1 without a choice.

    >>> _by_stability(pd.DataFrame({"k": [4, 5, 20, 23], "stability": [0.8, 0.75, 0.5, 0.495]}))
    [4, 5, 23, 20]
    """
    left, order = dict(zip(curve["k"], curve["stability"], strict=True)), []
    while left:
        order.append(int(max(k for k, found in left.items() if found >= max(left.values()) - _TIED)))
        del left[order[-1]]
    return order or [1]


def _without_heap(graph: sparse.csr_matrix, numbers: Sequence[int], seed: int) -> np.ndarray:
    """The first of these partitions that is no heap with a few odd texts beside it; of heaps the least uneven.

    A heap comes out the same each time and says nothing: one group holds more than half of the texts (of two or three: 1.5
    times its part), or the texts are in effect (one over the sum of squared shares) in fewer than 18 % as many groups as there
    are.
    """
    view = spectral(graph, max(numbers))
    tried = []
    for k in numbers:
        number = cut(view, k, seed) if k > 1 else np.zeros(graph.shape[0], dtype=int)
        share = np.bincount(number) / len(number)
        tried.append((1 / (len(share) * (share**2).sum()), number))
        if share.max() <= max(_HEAP, 1.5 / k) and tried[-1][0] >= _EVEN:
            break
    return max(tried, key=lambda one: one[0])[1]


def kept_inside(graph: sparse.csr_matrix, number: np.ndarray) -> np.ndarray:
    """Which share of the ties of each group's texts leads to the same group? 1 where a group has none."""
    n_groups = int(number.max()) + 1
    ties = graph.tocoo()
    total = np.bincount(number[ties.row], weights=ties.data, minlength=n_groups)
    own = np.where(number[ties.row] == number[ties.col], ties.data, 0)
    return np.divide(
        np.bincount(number[ties.row], weights=own, minlength=n_groups), total, out=np.ones(n_groups), where=total > 0
    )


def _mixed(inside: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Which groups say nothing: small or loose ones, as long as they hold no more than a tenth of the texts; never all."""
    size = np.bincount(number, minlength=len(inside))
    odd = (size < _SMALL) | (inside < _INSIDE)
    order = np.lexsort((size, inside, size >= _SMALL))
    order = order[odd[order]]
    found = np.zeros(len(inside), dtype=bool)
    found[order[np.cumsum(size[order]) <= _MIXED_AT_MOST * len(number)]] = True
    return found if not found.all() else np.zeros(len(inside), dtype=bool)


def landmarks(number: np.ndarray, seed: int) -> np.ndarray:
    """Positions of the texts that stand for their groups (-1 is one too): all, or 5,000 by lot and of each at least 60."""
    if len(number) <= _LANDMARKS:
        return np.arange(len(number))
    drawn = np.random.default_rng(seed).permutation(len(number))
    order = drawn[np.argsort(number[drawn], kind="stable")]
    rank = np.empty(len(number), dtype=int)  # of each text within its group, by lot
    rank[order] = np.arange(len(number)) - np.searchsorted(number[order], number[order])
    chosen = np.zeros(len(number), dtype=bool)
    chosen[drawn[:_LANDMARKS]] = True
    return np.flatnonzero(chosen | (rank < _OF_EACH))


def joined(points: np.ndarray, placed: np.ndarray, number: np.ndarray) -> np.ndarray:
    """For each point the group (-1 or more) with most weight among its 15 nearest placed texts; -1 with nothing in common."""
    near, cosine = neighbours(points, min(_VOTERS, len(placed)), among=placed)
    wide = int(number.max()) + 2
    cell = np.arange(len(points))[:, None] * wide + number[near] + 1
    votes = np.bincount(cell.ravel(), weights=np.maximum(cosine, 0).ravel(), minlength=len(points) * wide)
    votes = votes.reshape(len(points), wide).round(9)
    return np.where(votes.max(axis=1) > 0, votes.argmax(axis=1) - 1, -1)


def nearest_to(centres: np.ndarray, points: np.ndarray, number: np.ndarray) -> tuple[list[np.ndarray], list[int | None]]:
    """Per group the texts nearest to its centre; and the one furthest from it, unless it is among these."""
    closeness = np.einsum("ij,ij->i", points, centres[number]).round(9)
    order = np.argsort(-closeness, kind="stable")
    members = [order[number[order] == group] for group in range(len(centres))]
    return [of[:N_TYPICAL] for of in members], [int(of[-1]) if len(of) > N_TYPICAL else None for of in members]
