"""What do customers ask about? Texts in themes, each with a size, a name and its most typical texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from cxlib import stats
from cxlib.schema import DataError
from cxlib.themes.graph import N_NEIGHBOURS, fuzzy_graph, neighbours, partition, stability
from cxlib.themes.layout import mixing, place_themes
from cxlib.themes.names import name_themes
from cxlib.themes.texts import first_positions, lexical, plain

NO_TEXT = -1
N_TYPICAL = 3
_CORE = 20_000  # distinct texts that are clustered; the others join the theme of their neighbours
_BLOCK = 5_000  # other texts placed at once
_SAMPLE = 2_500  # distinct texts on which the number of themes is chosen
_FEWEST = 30  # fewer distinct texts than this are one theme unless a number is given
_TIED = 0.01  # stabilities this close count as equal: the finer themes are then the more useful
_HEAP = 0.5  # a theme with a larger share of the texts is a heap
_TEXTS_PER_THEME = 40  # the most themes tried: one per this many distinct texts
_GRID = (*range(4, 17), 18, 20, 23, 27, 32, 38, 45, 54, 65, 77, 92)  # numbers of themes tried


@dataclass(frozen=True)
class Themes:
    """Texts in themes. `labels` has one integer per text, in order: the theme, or -1 for a text without words."""

    labels: np.ndarray
    table: (
        pd.DataFrame
    )  # one row per theme, largest first: theme, name, n, share, low, high, keywords, typical (positions of texts)
    stability: pd.DataFrame  # one row per number of themes tried: see graph.stability; empty if k was given
    places: pd.DataFrame  # one row per theme: theme, x, y on the map
    mixing: pd.DataFrame  # one row per pair of themes: theme, other, share
    n_texts: int  # with words
    n_distinct: int
    n_empty: int  # without words: label -1, in no share


def fit(
    texts: Sequence[str | None], k: int | None = None, seed: int = 0, *, customers: Sequence | pd.Series | None = None
) -> Themes:
    """What are these texts about?

    Parameters
    ----------
    texts : sequence of str
        One per ticket, redacted: names repeat their words. Missing ones and those without a letter or digit are labelled -1.
    k : int, optional
        How many themes. Without it, the number at which partitions of random 80 % of the texts agree best (`stability`),
        the larger where two agree as well; numbers at which one theme holds more than half of the texts are passed over.
    seed : int
        Of everything random. Same texts and seed, same themes, in any order of the texts and on any number of threads.
    customers : sequence, optional
        Whose each text is; the intervals of the shares then allow for customers who write more than once.

    Returns
    -------
    Themes
        `table` counts texts (equal ones each count), `share` is of the texts with words (0 to 1), with its 95 % interval: what
        another sample of customers would give with these themes, not how sure the themes themselves are (see `stability`).

    Raises
    ------
    DataError
        If no text has words, or more themes are asked for than there are distinct texts.

    Notes
    -----
    Equal texts are clustered once. Letters and words as TF-IDF, reduced by SVD; a fuzzy graph of the 15 nearest neighbours; its
    leading eigenvectors; KMeans on those. Of more than 20,000 distinct texts a random 20,000 are clustered and each other one
    joins the theme that most of its 15 nearest among them are in.

    References
    ----------
    McInnes, Healy and Melville (2018), UMAP; Ng, Jordan and Weiss (2001), On spectral clustering.

    Examples
    --------
    >>> found = fit(["reset my password", "late refund", "reset password", "refund is late", None], k=2)
    >>> found.labels.tolist(), found.table["n"].tolist()
    ([1, 0, 1, 0, -1], [2, 2])
    """
    said = [plain(text) for text in texts]
    first = first_positions(said)
    distinct = sorted(first)  # an order of its own, so that the order of the input cannot matter
    _check(k, seed, len(texts), len(distinct))
    with threadpool_limits(1):  # sums over several threads differ in the last digit
        points, groups, graph, curve = _partition(distinct, k, seed)
        number = dict(zip(distinct, groups.tolist(), strict=True))
        labels = np.array([number.get(text, NO_TEXT) for text in said], dtype=int)
        order = _by_size(labels, groups)
        labels, groups = np.where(labels >= 0, order[labels], NO_TEXT), order[groups]
        centres = normalize(np.vstack([points[groups == theme].mean(axis=0) for theme in range(len(order))]))
        typical = [tuple(first[distinct[i]] for i in nearest) for nearest in _nearest_to(centres, points, groups)]
        table = name_themes(distinct, groups).join(shares_by(labels, customers)).assign(typical=typical)
        return Themes(
            labels=labels,
            table=table.rename_axis("theme").reset_index()[_COLUMNS],
            stability=curve,
            places=place_themes(centres).rename_axis("theme").reset_index(),
            mixing=mixing(graph, groups[_core(len(distinct), seed)]),
            n_texts=int((labels >= 0).sum()),
            n_distinct=len(distinct),
            n_empty=int((labels < 0).sum()),
        )


_COLUMNS = ["theme", "name", "n", "share", "low", "high", "keywords", "typical"]
_NO_CURVE = pd.DataFrame(columns=["k", "stability", "low", "high", "n", "largest"]).astype(
    {"k": int, "n": int, "largest": float}
)


def _check(k: int | None, seed: int, n_texts: int, n_distinct: int) -> None:
    if not n_distinct:
        raise DataError(
            f"none of the {n_texts:,} texts has a word: themes need short_description or description, or use category"
        )
    if k is not None and not 1 <= k <= n_distinct:
        raise DataError(
            f"{k} themes asked for, but there are {n_distinct:,} distinct texts: ask for 1 to {n_distinct:,}, or leave k out"
        )
    if seed < 0:
        raise DataError(f"seed={seed} is negative: use 0 or more")


def _partition(
    texts: Sequence[str], k: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix, pd.DataFrame]:
    """The place and the group of each text, the graph of the core, and the stability of the numbers of groups tried."""
    core = _core(len(texts), seed)
    model, placed = lexical([texts[i] for i in core], seed)
    curve = _curve(placed, seed) if k is None else _NO_CURVE
    graph = fuzzy_graph(placed)
    of_core = np.unique(partition(graph, k or _most_stable(curve), seed), return_inverse=True)[1]  # none may be empty
    points, groups = np.empty((len(texts), placed.shape[1])), np.empty(len(texts), dtype=int)
    points[core], groups[core] = placed, of_core
    others = np.setdiff1d(np.arange(len(texts)), core)
    for some in (others[start : start + _BLOCK] for start in range(0, len(others), _BLOCK)):
        points[some] = model.place([texts[i] for i in some])
        groups[some] = _vote(points[some], placed, of_core)
    return points, groups, graph, curve


def _vote(points: np.ndarray, placed: np.ndarray, of_placed: np.ndarray) -> np.ndarray:
    """For each point the group with the most weight among its nearest placed texts."""
    near, cosine = neighbours(points, min(N_NEIGHBOURS, len(placed)), among=placed)
    votes = np.zeros((len(points), of_placed.max() + 1))
    np.add.at(votes, (np.arange(len(points))[:, None], of_placed[near]), np.maximum(cosine, 1e-9))
    return votes.argmax(axis=1)


def _core(n: int, seed: int, at_most: int = _CORE) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(n, at_most, replace=False)) if n > at_most else np.arange(n)


def _curve(points: np.ndarray, seed: int) -> pd.DataFrame:
    sample = points[_core(len(points), seed, _SAMPLE)]
    grid = [k for k in _GRID if k * _TEXTS_PER_THEME <= len(sample)] or [2, 3]
    return stability(sample, grid, seed) if len(sample) >= _FEWEST else _NO_CURVE


def _most_stable(curve: pd.DataFrame) -> int:
    """The number of themes at which partitions agree best, the largest of those as good; one where there is no choice.

    A heap with a few odd texts beside it comes out the same each time and says nothing: numbers at which one theme holds more
    than half of the texts count only if all do.
    """
    told = curve[curve["largest"] <= _HEAP] if (curve["largest"] <= _HEAP).any() else curve
    return int(told.loc[told["stability"] >= told["stability"].max() - _TIED, "k"].max()) if len(told) else 1


def _by_size(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """New number of each group: the largest is 0; of two as large, the one whose first text comes first in the alphabet."""
    sizes = np.bincount(labels[labels >= 0], minlength=groups.max() + 1)
    earliest = np.array([np.argmax(groups == group) for group in range(len(sizes))])
    new = np.empty(len(sizes), dtype=int)
    new[np.lexsort((earliest, -sizes))] = np.arange(len(sizes))
    return new


def _nearest_to(centres: np.ndarray, points: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """Per theme the texts nearest to its centre."""
    closeness = np.einsum("ij,ij->i", points, centres[groups]).round(9)
    order = np.argsort(-closeness, kind="stable")
    return [order[groups[order] == theme][:N_TYPICAL] for theme in range(len(centres))]


def shares_by(labels: np.ndarray, customers: Sequence | pd.Series | None = None, n_labels: int | None = None) -> pd.DataFrame:
    """Which share of the labelled rows has each label? One row per label from 0: n, share, low, high (95 %, by customer).

    A row without customer is a customer of its own; a negative label is no label.

    >>> shares_by(np.array([0, 0, 0, 1, -1]))[["n", "share"]].values.tolist()
    [[3.0, 0.75], [1.0, 0.25]]
    """
    kept = labels >= 0
    who = np.arange(kept.sum()) if customers is None else customer_codes(pd.Series(list(customers), dtype=object)[kept])
    written = np.bincount(who)
    rows = []
    for label in range(labels.max(initial=NO_TEXT) + 1 if n_labels is None else n_labels):
        inside = np.bincount(who, weights=labels[kept] == label, minlength=len(written)).astype(int)
        rows.append((int(inside.sum()), *stats.ratio_interval(inside, written)))
    return pd.DataFrame(rows, columns=["n", "share", "low", "high"])


def customer_codes(customers: pd.Series) -> np.ndarray:
    """A number for each customer; each missing one gets its own.

    >>> customer_codes(pd.Series(["b", None, "b", None])).tolist()
    [0, 1, 0, 2]
    """
    codes = pd.factorize(customers)[0]
    missing = codes < 0
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(missing.sum())
    return codes
