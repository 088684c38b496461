"""Which themes are alike? A map with one place per theme, and how much their texts mix."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import linear_sum_assignment

_ASPECT = 1.6  # the map is this much wider than high


def place_themes(centres: np.ndarray) -> pd.DataFrame:
    """Where does each theme lie on a map? One row per theme, columns x and y in cells of a honeycomb.

    The two main directions of classical scaling of the cosines between centres, then each theme moved to a cell of its own
    with the least movement in all: what lies side by side is alike, distances are not to scale, no two themes overlap.

    >>> place_themes(np.eye(3)).drop_duplicates().shape
    (3, 2)
    """
    n = len(centres)
    flat = _classical_scaling(1 - centres @ centres.T)
    cells = _honeycomb(n)
    spread = np.maximum(np.abs(flat).max(axis=0), 1e-9)
    wanted = flat / spread * np.abs(cells).max(axis=0)
    cost = ((wanted[:, None, :] - cells[None, :, :]) ** 2).sum(axis=2)
    _, chosen = linear_sum_assignment(cost.round(9))
    return pd.DataFrame(cells[chosen], columns=["x", "y"])


def _classical_scaling(distance: np.ndarray) -> np.ndarray:
    n = len(distance)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-centring @ distance @ centring / 2)
    flat = np.zeros((n, 2))
    m = min(n, 2)
    flat[:, :m] = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :m]
    strongest = np.abs(flat).argmax(axis=0)
    return flat * np.where(flat[strongest, [0, 1]] < 0, -1.0, 1.0)  # the sign of an eigenvector is arbitrary: fix it


def _honeycomb(n: int) -> np.ndarray:
    """At least n cells, a quarter of them spare, centred on 0."""
    wide = max(1, int(np.ceil(np.sqrt(1.25 * n * _ASPECT / 2))))
    high = int(np.ceil(1.25 * n / wide))
    cells = np.array([(column + row % 2 / 2, row) for row in range(high) for column in range(wide)], dtype=float)
    return cells - cells.mean(axis=0)


def mixing(graph: sparse.csr_matrix, labels: np.ndarray) -> pd.DataFrame:
    """Which themes are hard to tell apart? One row per pair of themes, the most mixed first.

    Returns
    -------
    DataFrame
        theme, other (theme < other), share (0 to 1: of the ties that the texts of the less tied of the two have, how much goes
        to the other).
    """
    n_themes = int(labels.max()) + 1
    member = sparse.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(n_themes, len(labels)))
    ties = (member @ graph @ member.T).toarray()
    theme, other = np.triu_indices(n_themes, 1)
    share = ties[theme, other] / np.maximum(np.minimum(ties.sum(axis=1)[theme], ties.sum(axis=1)[other]), 1e-12)
    pairs = pd.DataFrame({"theme": theme, "other": other, "share": share})
    return pairs.sort_values(["share", "theme", "other"], ascending=[False, True, True], ignore_index=True)
