"""A codebook grown with its tickets: what is new gets a theme, what has come apart is split, all else stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csgraph
from threadpoolctl import threadpool_limits

from cxlib.themes.clusters import kept_inside
from cxlib.themes.codebook import ANEW, NO_CHANGES, Codebook, Kept, Read, described, hashed, themes_of
from cxlib.themes.graph import fuzzy_graph, partition
from cxlib.themes.layout import mixing
from cxlib.themes.shares import MIXED
from cxlib.themes.texts import Lexical, plain

BIRTH, SPLIT, MERGE, DEATH = "birth", "split", "merge", "death"
_FEWEST = 20  # distinct texts of a theme that is born or split off
_CROWDED = 4.0  # times the usual odds that a neighbour is new: there a theme is born ...
_TIED = 0.3  # ... from texts with ties as strong as this
_HEIR = 0.3  # of a theme's texts lie in its heir, more than that
_MORE = 0.1  # groups looked for beyond the themes there are: what comes apart has to find room
_OUTGROWN = 1 / 3  # of a theme's texts are new: it may have become two
_PART = 0.25  # of a theme's texts go to what is split off, at least
_PURE = 0.6  # of the texts of what is split off come from that theme
_APART = 0.9  # of its ties stay in what is split off
_RUN = 0.4  # of the ties of the smaller theme go to the other: they are one (two halves of one group: .5)
_GONE = 0.1  # of the new texts that its old share promised: a theme with fewer is dead


def refitted(
    old: Codebook, texts: Sequence[str | None], customers: Sequence | pd.Series | None, seed: int
) -> tuple[Codebook, pd.DataFrame]:
    """See `Codebook.refit`."""
    said = [plain(text) for text in texts]
    with threadpool_limits(1):
        read = Read.of(said, old.text_model if old.text_model == Lexical.name else old.kept.model, seed)
        theme = old.kept.assigned(read.whole)
        is_new = ~np.isin(hashed(read.whole), old.kept.known)
        graph = fuzzy_graph(read.points)
        n_old = int(max(old.kept.theme.max(), old.kept.known_theme.max())) + 1
        wanted = int(np.ceil(len(np.unique(theme[theme >= 0])) * (1 + _MORE))) + 1
        fresh = np.unique(partition(graph, min(wanted, len(read.whole)), seed), return_inverse=True)[1]
        grown, events = _born(theme, graph, is_new, n_old)
        grown, parted = _split(grown, fresh, is_new, kept_inside(graph, fresh), n_old)
        grown, joined = _merged(grown, graph, n_old)
        events += [*parted, *joined, *_died(theme, is_new, n_old)]
        kept = _with_old(read.kept(grown, seed), old.kept, events)
        found = themes_of(said, kept)
        kept = replace(kept.remembering(found), pins=old.kept.pins)
        names = dict(zip(old.table["theme"].tolist(), old.table["name"].tolist(), strict=True))
        book = described(read, kept, grown, graph, said, found, customers, names)
    changes = _listed(events, {**names, **dict(zip(book.table["theme"], book.table["name"], strict=True))}, old.version + 1)
    history = replace(book, stability=old.stability, why=old.why, version=old.version + 1)
    return replace(history, changes=pd.concat([old.changes, changes], ignore_index=True)), changes


Event = tuple[str, int, int, int]  # kind, theme, other theme (-1: none), distinct texts


def _born(theme: np.ndarray, graph: sparse.csr_matrix, is_new: np.ndarray, n_old: int) -> tuple[np.ndarray, list[Event]]:
    """Themes of the new texts whose neighbours, and the neighbours of these, are new far more often than is usual."""
    usual = is_new.mean()
    odds = _CROWDED * usual / max(1 - usual, 1e-9)
    degree = np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)
    newness = (graph @ ((graph @ is_new.astype(float)) / degree)) / degree
    crowd = np.flatnonzero((newness >= odds / (1 + odds)) & is_new & (usual < 1))
    part = csgraph.connected_components(graph[crowd][:, crowd] > _TIED, directed=False)[1] if len(crowd) else crowd
    grown, events = theme.copy(), list[Event]()
    size = np.bincount(part)
    for born in np.argsort(-size, kind="stable")[: (size >= _FEWEST).sum()]:
        grown[crowd[part == born]] = n_old + len(events)
        events.append((BIRTH, n_old + len(events), MIXED, int(size[born])))
    return grown, events


def _split(
    theme: np.ndarray, fresh: np.ndarray, is_new: np.ndarray, inside: np.ndarray, n_old: int
) -> tuple[np.ndarray, list[Event]]:
    """Old themes that have come apart: fresh groups within one that are nobody's heir."""
    heirs = _heirs(theme, fresh, n_old)
    grown, events, next_id = theme.copy(), list[Event](), int(theme.max()) + 1
    for group in np.argsort(-np.bincount(fresh), kind="stable"):
        members = np.flatnonzero(fresh == group)
        of = theme[members][(theme[members] >= 0) & (theme[members] < n_old)]
        if group in heirs or not len(of) or inside[group] < _APART:
            continue
        parent = int(np.bincount(of).argmax())
        n, whole = int((of == parent).sum()), theme == parent
        if n < max(_FEWEST, _PURE * len(members)) or not _PART <= n / whole.sum() <= 1 - _PART:
            continue
        if is_new[whole].mean() >= _OUTGROWN:
            grown[members[theme[members] == parent]] = next_id
            events.append((SPLIT, next_id, parent, n))
            next_id += 1
    return grown, events


def _heirs(theme: np.ndarray, fresh: np.ndarray, n_old: int) -> set[int]:
    """The fresh groups that old themes are matched with, so that as many texts as possible keep their theme."""
    shared = np.zeros((n_old, int(fresh.max()) + 1))
    told = (theme >= 0) & (theme < n_old)
    np.add.at(shared, (theme[told], fresh[told]), 1)
    old, group = linear_sum_assignment(-shared)
    return set(group[shared[old, group] > _HEIR * shared.sum(axis=1)[old]].tolist())  # of a theme that is gone: none


def _merged(theme: np.ndarray, graph: sparse.csr_matrix, n_old: int) -> tuple[np.ndarray, list[Event]]:
    """Old themes that run into each other become one, that of the lower number."""
    told = np.flatnonzero(theme >= 0)
    pairs = mixing(graph[told][:, told], np.unique(theme[told], return_inverse=True)[1])
    ids = np.unique(theme[told])
    grown, events, gone = theme.copy(), list[Event](), set[int]()
    for row in pairs[pairs["share"] >= _RUN].itertuples():
        stays, goes = sorted((int(ids[row.theme]), int(ids[row.other])))
        if goes < n_old and not {stays, goes} & gone:
            events.append((MERGE, goes, stays, int((theme == goes).sum())))
            grown[theme == goes] = stays
            gone |= {stays, goes}
    return grown, events


def _with_old(kept: Kept, old: Kept, events: Sequence[Event]) -> Kept:
    """With the themes of old texts that were not read this time; where theirs was split they are asked for anew."""
    left = ~np.isin(old.known, kept.known)
    theme = old.known_theme[left]
    for kind, one, other, _ in events:
        if kind == MERGE:
            theme = np.where(theme == one, other, theme)
        elif kind == SPLIT:
            theme = np.where(theme == other, ANEW, theme)
    known = np.append(kept.known, old.known[left])
    order = np.argsort(known)
    return replace(kept, known=known[order], known_theme=np.append(kept.known_theme, theme)[order])


def _died(theme: np.ndarray, is_new: np.ndarray, n_old: int) -> list[Event]:
    """Themes of which hardly a new text speaks, though their share of the old ones promised 20 or more."""
    told = theme >= 0
    old, new = (np.bincount(theme[told & of], minlength=n_old) for of in (~is_new, is_new))
    promised = old / max(old.sum(), 1) * new.sum()
    return [(DEATH, int(i), MIXED, int(new[i])) for i in np.flatnonzero((promised >= _FEWEST) & (new <= _GONE * promised))]


def _listed(events: Sequence[Event], names: dict[int, str], version: int) -> pd.DataFrame:
    rows = [(version, kind, theme, names.get(theme, ""), other, names.get(other, ""), n) for kind, theme, other, n in events]
    return pd.DataFrame(rows, columns=NO_CHANGES.columns)
