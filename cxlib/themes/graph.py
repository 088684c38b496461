"""Which texts belong together? A graph of nearest neighbours, its spectral picture, and groups on that.

Everything here takes rows of unit length, in an order that does not depend on the input's order, and draws from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csgraph
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

N_NEIGHBOURS = 25
_BLOCK = 1000  # rows of similarities held in memory at once
_SPARE = 5  # neighbours beyond those asked for, looked at in double precision
_BLUR = 3e-5  # how far a cosine of some hundred numbers can be off in single precision
_DENSE = 300  # up to here the whole spectrum costs less than an iterative search
_LAST = 0.6  # weight of the last direction in use beside the first: a choice; less makes heaps of long texts that are all alike
_TREE, _SMALL_TREE = 4_000, 1_000  # texts in the tree that KMeans starts from; in that of a partition only to compare


def neighbours(points: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Which k rows are most alike, by cosine? (Of `points` itself without the row, or of `among`.)

    Returns indices and cosines, both (rows, k), the most alike first; equal ones in order of their index.

    >>> neighbours(np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]]), 1)[0].ravel().tolist()
    [2, 2, 1]
    """
    others, itself = points if among is None else among, among is None
    short, n = points.astype(np.float32), min(k + _SPARE, len(others) - itself)
    near = _near_each_other(short, n) if itself else _near_others(short, others.astype(np.float32), n)
    blocks = list(_nearest(points.astype(float), k, others.astype(float), itself, near))
    return np.vstack([index for index, _ in blocks]), np.vstack([cosine for _, cosine in blocks])


Near = tuple[np.ndarray, np.ndarray]  # of each row: which others, and how near in single precision


def _near_others(points: np.ndarray, others: np.ndarray, n: int) -> Iterator[Near]:
    """The n nearest of the others, block by block of the points, in no order."""
    for start in range(0, len(points), _BLOCK):
        yield _largest(points[start : start + _BLOCK] @ others.T, 0, n)


def _near_each_other(points: np.ndarray, n: int) -> Iterator[Near]:
    """The n nearest of the other points, block by block, in no order. Each cosine is found once and told to both."""
    told: dict[int, Near] = {}  # to later blocks, by earlier ones
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        cosine = block @ points[start:].T
        np.fill_diagonal(cosine, -2)  # less than any cosine
        yield _nearer(told.pop(start, None), _largest(cosine, start, n), n)
        for later in range(start + _BLOCK, len(points), _BLOCK):
            theirs = np.ascontiguousarray(cosine[:, later - start : later - start + _BLOCK].T)
            told[later] = _nearer(told.get(later), _largest(theirs, start, n), n)


def _largest(cosine: np.ndarray, first: int, n: int) -> Near:
    """The n largest of each row; `first` is the number of the first column."""
    at = np.argpartition(cosine, max(cosine.shape[1] - n, 0), axis=1)[:, max(cosine.shape[1] - n, 0) :]
    return at + first, np.take_along_axis(cosine, at, axis=1)


def _nearer(one: Near | None, other: Near, n: int) -> Near:
    if one is None:
        return other
    index, cosine = (np.hstack(both) for both in zip(one, other, strict=True))
    at, cosine = _largest(cosine, 0, n)
    return np.take_along_axis(index, at, axis=1), cosine


def _nearest(points: np.ndarray, k: int, among: np.ndarray, itself: bool, candidates: Iterator[Near]) -> Iterator[Near]:
    """The nearest of the candidates by their cosines in double precision; of all, in rows where others may be as near."""
    for start, (near_by, roughly) in zip(range(0, len(points), _BLOCK), candidates, strict=True):
        block, index = points[start : start + _BLOCK], np.sort(near_by, axis=1)
        near = np.einsum("ij,ikj->ik", block, among[index]).round(9)  # so that equal texts tie on any processor
        order = np.argsort(-near, axis=1, kind="stable")[:, :k]
        index, near = np.take_along_axis(index, order, axis=1), np.take_along_axis(near, order, axis=1)
        is_told = near_by.shape[1] == len(among) - itself  # every other one was looked at
        for row in () if is_told else np.flatnonzero(roughly.min(axis=1) > near[:, -1] - _BLUR).tolist():
            exact = (among @ block[row]).round(9)
            if itself:
                exact[start + row] = -2
            index[row] = np.argsort(-exact, kind="stable")[:k]
            near[row] = exact[index[row]]
        yield index, near


def fuzzy_graph(points: np.ndarray, k: int = N_NEIGHBOURS) -> sparse.csr_matrix:
    """How strongly is each text tied to its neighbours? A symmetric (n, n) matrix of weights from 0 to 1.

    Notes
    -----
    The weight of a neighbour falls with its distance beyond the nearest one, at a pace fitted to each text so that its
    weights sum to log2(k): texts in a crowd and texts alone have equally many ties. Both directions join as a + b - ab.

    References
    ----------
    McInnes, Healy and Melville (2018), UMAP, section 3.1 (local connectivity and fuzzy union).

    Examples
    --------
    Two pairs of equal texts: each is tied to its twin alone.

    >>> fuzzy_graph(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), 1).toarray().astype(int).tolist()
    [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    """
    n, k = len(points), min(k, len(points) - 1)
    if n == 1:
        return sparse.csr_matrix((1, 1))
    index, cosine = neighbours(points, k)
    weight = _local_weights(np.maximum(1 - cosine, 0))
    one_way = sparse.csr_matrix((weight.ravel(), (np.repeat(np.arange(n), k), index.ravel())), shape=(n, n))
    other_way = one_way.T.tocsr()
    return (one_way + other_way - one_way.multiply(other_way)).tocsr()


def _local_weights(distance: np.ndarray) -> np.ndarray:
    """exp(-(d - nearest) / pace), the pace found by bisection so that each row sums to log2(k)."""
    beyond, target = distance - distance.min(axis=1, keepdims=True), np.log2(max(distance.shape[1], 2))
    low, high = np.full((2, len(beyond), 1), [[[0.0]], [[4.0]]])
    for _ in range(40):
        pace = (low + high) / 2
        too_much = np.exp(-beyond / pace).sum(axis=1, keepdims=True) > target
        low, high = np.where(too_much, low, pace), np.where(too_much, pace, high)
    return np.exp(-beyond / np.maximum(high, 1e-3 * distance.mean() + 1e-12))


@dataclass(frozen=True)
class Spectrum:
    """A graph's slowest directions, the slowest first: how much of each is left after a step, and each text's place in it."""

    left: np.ndarray  # eigenvalues, 1 for directions that stay
    places: np.ndarray  # (n, directions)

    def rows(self, k: int) -> np.ndarray:
        """Where does each text lie in the first k directions? Rows of unit length; those that fade sooner weigh less.

        Each direction weighs what is left of it after so many steps that .6 is left of the last one (a diffusion map). With
        equal weights the last ones, in which there is little but chance, would count as much as the first.

        >>> Spectrum(np.array([1.0, 0.5]), np.array([[0.6, 0.6], [0.6, -0.6]])).rows(2).round(2).tolist()
        [[0.86, 0.51], [0.86, -0.51]]
        """
        pace = np.log(self.left[:k].clip(1e-9, 1 - 1e-9))
        return normalize(self.places[:, :k] * _LAST ** (pace / pace[-1]))


def spectral(graph: sparse.csr_matrix, k: int) -> Spectrum:
    """In which k directions do texts lie together that are tied by many short ways?

    The leading eigenvectors of the symmetrically normalised graph.

    Notes
    -----
    Each part of the graph without ties to the rest has an eigenvector of its own for the eigenvalue 1, the roots of its
    degrees; an iterative search misses some of several equal ones, so these are written down (larger parts first) and only
    the others searched for, with the known ones moved below all others (from 1 to -2), in single precision, which takes half
    the time.

    References
    ----------
    Ng, Jordan and Weiss (2001), On spectral clustering; Coifman and Lafon (2006), Diffusion maps.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    root = np.sqrt(np.maximum(degree, 1e-12))
    known = _parts(graph, root)[:, :k]
    scaled = graph.multiply(1 / root[:, None]).multiply(1 / root[None, :]).tocsr()
    n, n_known = graph.shape[0], known.shape[1]
    others = k - n_known
    if others <= 0:
        values, vectors = np.empty(0), np.empty((n, 0))
    elif n <= _DENSE or others > n // 3:
        values, vectors = np.linalg.eigh(scaled.toarray() - 3 * known @ known.T)
    else:
        short, moved = scaled.astype(np.float32), known.astype(np.float32)
        rest = LinearOperator((n, n), matvec=lambda x: short @ x - 3 * moved @ (moved.T @ x), dtype=np.float32)
        start = np.random.default_rng(0).normal(size=n).astype(np.float32)
        values, vectors = eigsh(rest, k=others, which="LA", v0=start)
    order = np.argsort(-values, kind="stable")[:others]
    return Spectrum(np.append(np.ones(n_known), values[order]), np.hstack([known, vectors[:, order]]))


def _parts(graph: sparse.csr_matrix, root: np.ndarray) -> np.ndarray:
    """A unit vector for each connected part of the graph, larger parts first."""
    _, part = csgraph.connected_components(graph, directed=False)
    order = np.argsort(-np.bincount(part), kind="stable")
    vectors = np.where(part[:, None] == order[None, :], root[:, None], 0)
    return vectors / np.linalg.norm(vectors, axis=0)


def cut(spectrum: Spectrum, k: int, seed: int, tree: int = _TREE) -> np.ndarray:
    """Which of k groups is each text in? KMeans, from the k branches of a tree of so many texts by lot.

    A tree has no starts to draw: where all texts are in it, the seed changes nothing.

    References
    ----------
    Ward (1963), Hierarchical grouping to optimize an objective function.
    """
    rows = spectrum.rows(k)
    some = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[: max(tree, k)])]
    branch = _branches(some, k)
    centres = np.stack([some[branch == number].mean(axis=0) for number in range(k)])
    return KMeans(k, init=centres, n_init=1).fit_predict(rows)


def _branches(rows: np.ndarray, k: int) -> np.ndarray:
    """Ward's tree of the rows with its last k - 1 merges undone: the branch of each row, 0 to k - 1."""
    n = len(rows)
    merged = linkage(rows, "ward")[: n - k, :2].astype(int)
    ends = np.repeat(np.arange(n, n + len(merged)), 2)
    tree = sparse.coo_matrix((np.ones(len(ends)), (ends, merged.ravel())), shape=(2 * n, 2 * n))
    return np.unique(csgraph.connected_components(tree, directed=False)[1][:n], return_inverse=True)[1]


def partition(graph: sparse.csr_matrix, k: int, seed: int = 0) -> np.ndarray:
    """Which of k groups does each text belong to? One integer per row of the graph.

    >>> two_pairs = fuzzy_graph(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), 1)
    >>> partition(two_pairs, 2).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    True
    """
    return cut(spectral(graph, k), k, seed) if k > 1 else np.zeros(graph.shape[0], dtype=int)


def stability(points: np.ndarray, grid: Sequence[int], seed: int = 0, runs: int = 5) -> pd.DataFrame:
    """How far do two partitions agree that saw different 80 % of the texts? One row per k of `grid`.

    Returns
    -------
    DataFrame
        k, stability (mean over pairs of runs of the adjusted Rand index on the texts that both saw; 1 = the same groups, 0 = no
        more than chance), low and high (the least and the most of the pairs), n (pairs), largest (share of a run's texts in its
        largest group, 0 to 1, mean over runs).

    References
    ----------
    Ben-Hur, Elisseeff and Guyon (2002), A stability based method for discovering structure in clustered data.
    """
    draw = np.random.default_rng(seed)
    samples = [np.sort(draw.choice(len(points), int(0.8 * len(points)), replace=False)) for _ in range(runs)]
    views = [spectral(fuzzy_graph(points[sample]), max(grid)) for sample in samples]
    rows = []
    for k in grid:
        groups = [cut(view, k, seed, _SMALL_TREE) for view in views]
        labels = [dict(zip(*pair, strict=True)) for pair in zip((s.tolist() for s in samples), groups, strict=True)]
        agreed = [_agreement(labels[i], labels[j]) for i in range(runs) for j in range(i)]
        largest = np.mean([np.bincount(group).max() / len(group) for group in groups])
        rows.append((k, np.mean(agreed), np.min(agreed), np.max(agreed), len(agreed), largest))
    return pd.DataFrame(rows, columns=["k", "stability", "low", "high", "n", "largest"])


def _agreement(one: dict[int, int], other: dict[int, int]) -> float:
    both = sorted(one.keys() & other.keys())
    return float(adjusted_rand_score([one[i] for i in both], [other[i] for i in both]))
