"""A codebook grown with its tickets: what is new gets a theme, what has come apart is split, all else stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from cxlib.themes.clusters import kept_inside
from cxlib.themes.codebook import Codebook, Read, assigned_to, described, hashed
from cxlib.themes.graph import fuzzy_graph, partition
from cxlib.themes.layout import mixing
from cxlib.themes.shares import MIXED
from cxlib.themes.texts import Lexical, plain

BIRTH, SPLIT, MERGE, DEATH = "birth", "split", "merge", "death"
_HEIR = 0.3  # of a theme's texts lie in its heir, at least
_FEWEST = 20  # distinct texts of a theme that is born or split off
_MORE = 0.1  # groups looked for beyond the themes there are: what is born has to find room
_NEW = 0.5  # of the texts of a theme that is born, at least so many are new ...
_LIFT = 2.0  # ... and at least so many times the share of new texts in all
_OUTGROWN = 1 / 3  # of a theme's texts are new: it may have become two
_PART = 0.25  # of a theme's texts go to what is split off, at least
_PURE = 0.6  # of the texts of what is split off come from that theme; and of a theme's texts lie in what it is merged into
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
        n_old = int(old.kept.theme.max()) + 1
        wanted = int(np.ceil(n_old * (1 + _MORE))) + 1
        fresh = np.unique(partition(graph, min(wanted, len(read.whole)), seed), return_inverse=True)[1]
        grown, events = _changed(theme, fresh, is_new, kept_inside(graph, fresh), n_old)
        grown, merged = _merged(grown, graph, n_old)
        events += merged + _died(theme, is_new, n_old)
        group = np.where(grown >= 0, grown, grown.max() + 1)  # the mixed ones are a group of their own
        number = np.append(np.arange(grown.max() + 1), MIXED)
        kept = read.kept(group, number, seed)
        labels = assigned_to(kept, said)
        names = dict(zip(old.table["theme"].tolist(), old.table["name"].tolist(), strict=True))
        book = described(read, kept, grown, graph, labels, customers, names)
    changes = _listed(events, {**names, **dict(zip(book.table["theme"], book.table["name"], strict=True))}, old.version + 1)
    history = replace(book, stability=old.stability, why=old.why, version=old.version + 1)
    return replace(history, changes=pd.concat([old.changes, changes], ignore_index=True)), changes


Event = tuple[str, int, int, int]  # kind, theme, other theme (-1: none), distinct texts


def _changed(
    theme: np.ndarray, fresh: np.ndarray, is_new: np.ndarray, inside: np.ndarray, n_old: int
) -> tuple[np.ndarray, list[Event]]:
    """Themes after births and splits. Fresh groups that are the heirs of an old theme, or neither, change nothing."""
    heirs = _heirs(theme, fresh, n_old)
    grown, events, next_id = theme.copy(), list[Event](), n_old
    for group in np.argsort(-np.bincount(fresh), kind="stable"):
        members = np.flatnonzero(fresh == group)
        if group in heirs or len(members) < _FEWEST:
            continue
        new = members[is_new[members]]
        of = theme[members][theme[members] >= 0]
        parent = int(np.bincount(of).argmax()) if len(of) else MIXED
        own = members[theme[members] == parent]
        if len(new) >= _FEWEST and len(new) / len(members) >= max(_NEW, min(_LIFT * is_new.mean(), 0.8)):
            grown[new] = next_id
            events.append((BIRTH, next_id, MIXED, len(new)))
        elif (
            parent != MIXED
            and is_new[theme == parent].mean() >= _OUTGROWN
            and inside[group] >= _APART
            and len(own) >= max(_FEWEST, _PART * (theme == parent).sum(), _PURE * len(members))
            and len(own) <= (1 - _PART) * (theme == parent).sum()
        ):
            grown[own] = next_id
            events.append((SPLIT, next_id, parent, len(own)))
        else:
            continue
        next_id += 1
    return grown, events


def _heirs(theme: np.ndarray, fresh: np.ndarray, n_old: int) -> set[int]:
    """The fresh groups that old themes are matched with, so that as many texts as possible keep their theme."""
    shared = np.zeros((n_old, int(fresh.max()) + 1))
    told = theme >= 0
    np.add.at(shared, (theme[told], fresh[told]), 1)
    old, group = linear_sum_assignment(-shared)
    return set(group[shared[old, group] >= _HEIR * shared.sum(axis=1)[old]].tolist())


def _merged(theme: np.ndarray, graph, n_old: int) -> tuple[np.ndarray, list[Event]]:
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


def _died(theme: np.ndarray, is_new: np.ndarray, n_old: int) -> list[Event]:
    """Themes of which hardly a new text speaks, though their share of the old ones promised 20 or more."""
    told = theme >= 0
    old, new = (np.bincount(theme[told & of], minlength=n_old) for of in (~is_new, is_new))
    promised = old / max(old.sum(), 1) * new.sum()
    return [(DEATH, int(i), MIXED, int(new[i])) for i in np.flatnonzero((promised >= _FEWEST) & (new <= _GONE * promised))]


def _listed(events: Sequence[Event], names: dict[int, str], version: int) -> pd.DataFrame:
    rows = [(version, kind, theme, names.get(theme, ""), other, names.get(other, ""), n) for kind, theme, other, n in events]
    return pd.DataFrame(rows, columns=["version", "kind", "theme", "name", "other", "other_name", "n"])
