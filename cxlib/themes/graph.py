"""Which texts belong together? A graph of nearest neighbours, its spectral picture, and KMeans on that.

Everything here takes rows of unit length, in an order that does not depend on the input's order, and draws from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

N_NEIGHBOURS = 15
_BLOCK = 1000  # rows of similarities held in memory at once
_DENSE = 300  # up to here the whole spectrum costs less than an iterative search


def neighbours(points: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Which k rows are most alike, by cosine? (Of `points` itself without the row, or of `among`.)

    Returns indices and cosines, both (rows, k), the most alike first; equal ones in order of their index.

    >>> neighbours(np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]]), 1)[0].ravel().tolist()
    [2, 2, 1]
    """
    blocks = list(_nearest(points, k, points if among is None else among, among is None))
    return np.vstack([index for index, _ in blocks]), np.vstack([cosine for _, cosine in blocks])


def _nearest(points: np.ndarray, k: int, among: np.ndarray, itself: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(points), _BLOCK):
        cosine = (points[start : start + _BLOCK] @ among.T).round(9)  # so that equal texts tie on any processor
        if itself:
            rows = np.arange(len(cosine))
            cosine[rows, start + rows] = -2  # less than any cosine
        index = np.sort(np.argpartition(-cosine, k - 1, axis=1)[:, :k], axis=1)
        near = np.take_along_axis(cosine, index, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        yield np.take_along_axis(index, order, axis=1), np.take_along_axis(near, order, axis=1)


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


def spectral(graph: sparse.csr_matrix, k: int) -> np.ndarray:
    """Where does each text lie in the graph's k slowest directions? (n, k) coordinates, the slowest first.

    The leading eigenvectors of the symmetrically normalised graph: texts tied to each other by many short ways lie together.

    Notes
    -----
    Each part of the graph without ties to the rest has an eigenvector of its own for the eigenvalue 1, the roots of its
    degrees; an iterative search misses some of several equal ones, so these are written down (larger parts first) and only
    the others searched for, with the known ones moved below all others (from 1 to -2).

    References
    ----------
    Ng, Jordan and Weiss (2001), On spectral clustering. Scale the rows to unit length before clustering.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    root = np.sqrt(np.maximum(degree, 1e-12))
    known = _parts(graph, root)[:, :k]
    scaled = graph.multiply(1 / root[:, None]).multiply(1 / root[None, :]).tocsr()
    n, others = graph.shape[0], k - known.shape[1]
    if others <= 0:
        return known
    if n <= _DENSE or others > n // 3:
        return np.hstack([known, np.linalg.eigh(scaled.toarray() - 3 * known @ known.T)[1][:, ::-1][:, :others]])
    rest = LinearOperator((n, n), matvec=lambda x: scaled @ x - 3 * known @ (known.T @ x), dtype=float)
    values, vectors = eigsh(rest, k=others, which="LA", v0=np.random.default_rng(0).normal(size=n))
    return np.hstack([known, vectors[:, np.argsort(-values, kind="stable")]])


def _parts(graph: sparse.csr_matrix, root: np.ndarray) -> np.ndarray:
    """A unit vector for each connected part of the graph, larger parts first."""
    _, part = csgraph.connected_components(graph, directed=False)
    order = np.argsort(-np.bincount(part), kind="stable")
    vectors = np.where(part[:, None] == order[None, :], root[:, None], 0)
    return vectors / np.linalg.norm(vectors, axis=0)


def cut(coordinates: np.ndarray, k: int, seed: int, starts: int = 20) -> np.ndarray:
    """Which of k groups is each row in? KMeans on rows of unit length, the best of `starts` fixed starts."""
    rows = normalize(coordinates[:, :k])
    return KMeans(k, n_init=starts, random_state=seed).fit_predict(rows)


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
        groups = [cut(view, k, seed, starts=3) for view in views]
        labels = [dict(zip(*pair, strict=True)) for pair in zip((s.tolist() for s in samples), groups, strict=True)]
        agreed = [_agreement(labels[i], labels[j]) for i in range(runs) for j in range(i)]
        largest = np.mean([np.bincount(group).max() / len(group) for group in groups])
        rows.append((k, np.mean(agreed), np.min(agreed), np.max(agreed), len(agreed), largest))
    return pd.DataFrame(rows, columns=["k", "stability", "low", "high", "n", "largest"])


def _agreement(one: dict[int, int], other: dict[int, int]) -> float:
    both = sorted(one.keys() & other.keys())
    return float(adjusted_rand_score([one[i] for i in both], [other[i] for i in both]))
