"""What do customers ask about? Themes that stay: fitted once, kept, and given to later texts without changing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from cxlib.eventlog import progress
from cxlib.schema import DataError
from cxlib.themes.boilerplate import Boilerplate
from cxlib.themes.clusters import FEWEST_THEMES, NO_CURVE, core, grouped, joined, kept_inside, landmarks, nearest_to
from cxlib.themes.graph import fuzzy_graph
from cxlib.themes.layout import mixing, place_themes
from cxlib.themes.models import TextModel, chosen
from cxlib.themes.names import name_themes
from cxlib.themes.shares import MIXED, NO_TEXT, shares_of
from cxlib.themes.texts import essence, first_positions, plain

NO_CHANGES = pd.DataFrame(columns=["version", "kind", "theme", "name", "other", "other_name", "n"])
_WORD = re.compile(r"\w+")
ANEW = -3  # a text that is known, but not its theme
_BLOCK = 5_000  # texts placed at once


@dataclass(frozen=True)
class Codebook:
    """Themes, and what it takes to give them to any text. `labels` has one integer per text it was fitted on, in order: the
    theme, -1 for a text in no theme (mixed), -2 for one without words."""

    labels: np.ndarray
    table: pd.DataFrame  # one row per theme: theme, name, n, share, low, high, keywords, inside, typical, dissenting
    stability: pd.DataFrame  # one row per number of themes tried: see graph.stability; empty if k was given
    places: pd.DataFrame  # one row per theme: theme, x, y on the map
    mixing: pd.DataFrame  # one row per pair of themes: theme, other, share
    n_texts: int  # with words
    n_distinct: int  # of them different in more than digits and signs
    n_empty: int  # without words: label -2, in no share
    n_mixed: int  # in no theme: label -1; `share` of a theme is of all texts with words
    n_cut: int  # texts in which something was boilerplate
    text_model: str  # how texts were compared
    why: str  # and why so
    kept: Kept = field(repr=False)
    version: int = 1
    changes: pd.DataFrame = field(default_factory=NO_CHANGES.copy)  # what each refit changed: see `refit`

    def assign(self, texts: Sequence[str | None]) -> np.ndarray:
        """Which theme does each of these texts have? One integer per text, in order: a theme, -1 (mixed) or -2 (no words).

        A text it was fitted on has the theme it had then, and so have texts that differ from it in digits and signs only. Any
        other one joins the theme that most of its 15 nearest fitted texts are in. It depends on nothing but the text and this
        codebook: not on the other texts, not on when it is asked.
        """
        with threadpool_limits(1):  # sums over several threads differ in the last digit
            said = [plain(text) for text in texts]
            return _labels(said, themes_of(said, self.kept))

    def applied(self, texts: Sequence[str | None], *, customers: Sequence | pd.Series | None = None, seed: int = 0) -> Codebook:
        """The same themes as they stand in these texts: `labels` as `assign` gives them, and every table counted anew."""
        said = [plain(text) for text in texts]
        with threadpool_limits(1):
            read = Read.of(said, self.kept.model, seed, boilerplate=self.kept.boilerplate)
            found = themes_of(said, self.kept)
            theme = np.array([found[text] for text in read.whole])
            if (theme < 0).all():
                raise DataError(f"none of the {len(said):,} texts is about a theme of this codebook: refit it, or fit another")
            names = dict(zip(self.table["theme"].tolist(), self.table["name"].tolist(), strict=True))
            book = described(read, self.kept, theme, fuzzy_graph(read.points), said, found, customers, names)
        return replace(book, stability=self.stability, why=self.why, version=self.version, changes=self.changes)

    def refit(
        self, texts: Sequence[str | None], *, customers: Sequence | pd.Series | None = None, seed: int = 0
    ) -> tuple[Codebook, pd.DataFrame]:
        """What has become of the themes, now that there are more texts?

        Parameters
        ----------
        texts : sequence of str
            The texts that are known by now, old and new.

        Returns
        -------
        Codebook
            With one version more. Numbers and names of themes stay; themes that come to be get new numbers. No text changes
            its theme except by a split or merge in the list.
        DataFrame
            The changes, one row each: version, kind, theme, name, other, other_name, n (distinct texts).
            *birth*: a theme of new texts. *split*: `theme` was a part of `other`. *merge*: `theme` has gone into `other`.
            *death*: hardly a new text is about `theme`; its old ones stay in it.

        Notes
        -----
        A theme is born of 20 or more new texts that are tied to each other and stand in a new neighbourhood: of their nearest
        texts and the nearest of these, new ones have four times their usual odds. For splits the texts are grouped anew, into a
        tenth more groups than there are themes, and each old theme finds its heir, the group with which it shares most (Kuhn
        1955, The Hungarian method). A group that is nobody's heir is split off if 60 % of its texts come from one theme of
        which a third is new, are at least a quarter and at most three quarters of it, and 90 % of their ties stay among them.
        Themes merge where 40 % of the ties of one lead to the other. Groups of fewer than 20 distinct texts change nothing.
        Partitions made anew agree on three texts in four only; that is why the old themes are kept and changes are few.
        """
        from cxlib.themes.refit import refitted

        return refitted(self, texts, customers, seed)

    def save(self, path: str | Path) -> Path:
        """Keep it in one file, such as DATA/codebooks/0001.npz. A language model is not kept in it, only which one it was."""
        from cxlib.themes.files import save

        return save(self, path)

    @staticmethod
    def load(path: str | Path) -> Codebook:
        """The codebook that was saved there. Raises DataError if it is none, cut short, or its model is another one by now."""
        from cxlib.themes.files import load

        return load(path)


@dataclass(frozen=True)
class Kept:
    """What a codebook has to know to give a text its theme."""

    model: TextModel
    boilerplate: Boilerplate
    points: np.ndarray  # of texts that stand for their themes
    theme: np.ndarray  # of each of them; -1 = mixed
    known: np.ndarray  # hashes of the essences of the texts it was fitted on, rising
    known_theme: np.ndarray  # of each; `ANEW` where it is asked for anew, as for a text that is not known
    pins: tuple[tuple[str, int], ...] = ()  # plain words that an analyst has tied to a theme, before all else

    def assigned(self, distinct: Sequence[str]) -> np.ndarray:
        """The theme of each of these plain texts, block by block."""
        found = np.empty(len(distinct), dtype=int)
        with progress.bar("finding themes", len(distinct), unit="text") as shown:
            for start in range(0, len(distinct), _BLOCK):
                some = distinct[start : start + _BLOCK]
                found[start : start + len(some)] = self._assigned(some)
                shown.update(len(some))
        return found

    def _assigned(self, texts: Sequence[str]) -> np.ndarray:
        hashes = hashed(texts)
        place = np.searchsorted(self.known, hashes).clip(max=len(self.known) - 1)
        theme = np.where(self.known[place] == hashes, self.known_theme[place], ANEW)
        if len(new := np.flatnonzero(theme == ANEW)):
            points = self.model.place(self.boilerplate.dropped([texts[i] for i in new.tolist()]))
            theme[new] = joined(points, self.points, self.theme)
        for words, pinned in self.pins:
            theme[[f" {words} " in f" {' '.join(_WORD.findall(text))} " for text in texts]] = pinned
        return theme

    def remembering(self, found: Mapping[str, int]) -> Kept:
        """The same with the themes of these plain texts beside those it knows; of near duplicates the first one's counts."""
        texts, told = sorted(found), self.known_theme != ANEW
        hashes = np.concatenate([self.known[told], hashed(texts), self.known[~told]])
        themes = np.concatenate([self.known_theme[told], [found[text] for text in texts], self.known_theme[~told]])
        known, first = np.unique(hashes, return_index=True)
        return replace(self, known=known, known_theme=themes[first].astype(int))


def hashed(texts: Sequence[str]) -> np.ndarray:
    """A 64-bit hash of each text's essence, the same on every machine."""
    return np.frombuffer(b"".join(map(_digest, texts)), dtype="<u8").astype(np.uint64)


@lru_cache(maxsize=1 << 15)  # a fit asks several times
def _digest(text: str) -> bytes:
    return hashlib.blake2b(essence(text).encode("utf-8", "replace"), digest_size=8).digest()


def fit(
    texts: Sequence[str | None],
    k: int | None = None,
    text_model: str | TextModel = "auto",
    seed: int = 0,
    *,
    customers: Sequence | pd.Series | None = None,
    fewest: int = FEWEST_THEMES,
) -> Codebook:
    """What are these texts about?

    Parameters
    ----------
    texts : sequence of str
        One per ticket, redacted: names repeat their words. Missing ones and those without a letter or digit are labelled -2.
    k : int, optional
        How many themes. Without it, the number at which partitions of random 80 % of the texts agree best (`stability`),
        the larger where two agree as well; numbers that give a heap and odd texts beside it are passed over.
    text_model : str
        How texts are compared: "lexical" (letters and words), "semantic" (a small language model, from the extra of that name),
        the folder of another model, or "auto", which chooses and says `why`; see `models.chosen`.
    seed : int
        Of everything random. Same texts and seed, same themes, in any order of the texts and on any number of threads.
    customers : sequence, optional
        Whose each text is; the intervals of the shares then allow for customers who write more than once.
    fewest : int
        The smallest number of themes that is tried.

    Returns
    -------
    Codebook
        `table` counts texts (equal ones each count), the largest theme first; `share` is of the texts with words (0 to 1), with
        its 95 % interval: what another sample of customers would give with these themes, not how sure the themes themselves are
        (see `stability`); `inside` the share of its texts' ties that stays in the theme; `typical` and `dissenting` are
        positions of texts: the three nearest to its centre, and the one furthest from it.

    Raises
    ------
    DataError
        If no text has words, or more themes are asked for than there are distinct texts.

    Notes
    -----
    What many texts share word for word is dropped first (`boilerplate`); texts that differ in digits and signs only are grouped
    once and counted each. A fuzzy graph of the 25 nearest neighbours; its leading eigenvectors, those that fade sooner weighing
    less; KMeans on those, started from a tree. Of more than 20,000 distinct texts a random 20,000 are grouped, and the others
    are given their theme as `assign` does. Without `k`, groups of fewer than five texts and those that keep less than 30 % of
    their ties are mixed (-1): a tenth of the texts at most.

    References
    ----------
    McInnes, Healy and Melville (2018), UMAP; Ng, Jordan and Weiss (2001), On spectral clustering; Coifman and Lafon (2006),
    Diffusion maps.

    Examples
    --------
    >>> found = fit(["reset my password", "late refund", "reset password", "refund is late", None], k=2)
    >>> found.labels.tolist(), found.assign(["password reset?", "refund"]).tolist()
    ([1, 0, 1, 0, -2], [1, 0])
    """
    said = [plain(text) for text in texts]
    with threadpool_limits(1):
        read = Read.of(said, text_model, seed, k=k)
        groups = grouped(read.points, k, seed, fewest)
        theme = np.where(groups.is_mixed[groups.number], MIXED, groups.number)
        kept = read.kept(theme, seed)
        found = themes_of(said, kept)
        number = _by_size(theme, _labels(said, found))
        theme, found = number[theme], {text: int(number[theme]) for text, theme in found.items()}
        kept = replace(kept, theme=number[kept.theme], known_theme=number[kept.known_theme]).remembering(found)
        book = described(read, kept, theme, groups.graph, said, found, customers)
        return replace(book, stability=groups.stability)


@dataclass(frozen=True)
class Read:
    """Texts read for grouping: the distinct ones that are grouped, and as points."""

    whole: list[str]  # plain, distinct, in the order of the alphabet
    cut: list[str]  # without boilerplate
    points: np.ndarray
    model: TextModel
    why: str
    boilerplate: Boilerplate
    n_distinct: int  # of all texts

    @classmethod
    def of(
        cls,
        said: Sequence[str],
        text_model: str | TextModel,
        seed: int,
        *,
        k: int | None = None,
        boilerplate: Boilerplate | None = None,
    ) -> Read:
        distinct = _representatives(said)  # in an order of its own, so that the order of the input cannot matter
        _check(k, seed, len(said), len(distinct))
        whole = [distinct[i] for i in core(len(distinct), seed)]
        boilerplate = Boilerplate.of(whole) if boilerplate is None else boilerplate
        cut = boilerplate.dropped(whole)
        model, points, why = chosen(cut, text_model, seed)
        return cls(whole, cut, points, model, why, boilerplate, len(distinct))

    def kept(self, theme: np.ndarray, seed: int) -> Kept:
        """What gives any text its theme, once these texts have theirs."""
        some, nothing = landmarks(theme, seed), np.empty(0, dtype=int)
        kept = Kept(self.model, self.boilerplate, self.points[some], theme[some], nothing.astype(np.uint64), nothing)
        return kept.remembering(dict(zip(self.whole, theme.tolist(), strict=True)))


def described(
    read: Read,
    kept: Kept,
    theme: np.ndarray,
    graph: sparse.csr_matrix,
    said: Sequence[str],
    found: Mapping[str, int],
    customers: Sequence | pd.Series | None,
    names: Mapping[int, str] | None = None,
) -> Codebook:
    """The codebook of texts, `said` plainly: `theme` is that of each text read, `found` of all with words; `names` stay."""
    labels, first = _labels(said, found), first_positions(said)
    inside = np.flatnonzero(theme >= 0)
    ids, row = np.unique(theme[inside], return_inverse=True)
    points, graph = read.points[inside], graph[inside][:, inside]
    member = sparse.csr_matrix((np.ones(len(row)), (row, np.arange(len(row)))), shape=(len(ids), len(row)))
    centres = normalize(member @ points)
    typical, dissenting = nearest_to(centres, points, row)
    stands = [first[read.whole[i]] for i in inside]
    table = name_themes([read.cut[i] for i in inside], row).assign(theme=ids, inside=kept_inside(graph, row))
    table["name"] = [(names or {}).get(theme, name) for theme, name in zip(ids.tolist(), table["name"], strict=True)]
    table["typical"] = [tuple(stands[i] for i in some) for some in typical]
    table["dissenting"] = [None if i is None else stands[i] for i in dissenting]
    pairs = mixing(graph, row)
    return Codebook(
        labels=labels,
        table=table.join(shares_of(labels, customers), on="theme")[_COLUMNS],
        stability=NO_CURVE,
        places=place_themes(centres).assign(theme=ids)[["theme", "x", "y"]],
        mixing=pairs.assign(theme=ids[pairs["theme"]], other=ids[pairs["other"]]),
        n_texts=int((labels != NO_TEXT).sum()),
        n_distinct=read.n_distinct,
        n_empty=int((labels == NO_TEXT).sum()),
        n_mixed=int((labels == MIXED).sum()),
        n_cut=_n_cut(said, kept.boilerplate),
        text_model=read.model.name,
        why=read.why,
        kept=kept,
    )


def themes_of(said: Sequence[str], kept: Kept) -> dict[str, int]:
    """The theme of each distinct plain text that has words."""
    distinct = sorted(set(said) - {""})
    return dict(zip(distinct, kept.assigned(distinct).tolist(), strict=True))


def _labels(said: Sequence[str], found: Mapping[str, int]) -> np.ndarray:
    return np.array([found.get(text, NO_TEXT) for text in said], dtype=int)


def _n_cut(said: Sequence[str], boilerplate: Boilerplate) -> int:
    """In how many of the texts is there something to drop?"""
    distinct = sorted(set(said))
    cut = {text for text, left in zip(distinct, boilerplate.dropped(distinct), strict=True) if left != text}
    return sum(text in cut for text in said)


_COLUMNS = ["theme", "name", "n", "share", "low", "high", "keywords", "inside", "typical", "dissenting"]


def _representatives(said: Iterable[str]) -> list[str]:
    """Of plain texts that differ in digits and signs only, the one that comes first in the alphabet; in that order."""
    found: dict[str, str] = {}
    for text in sorted(set(said) - {""}):
        found.setdefault(essence(text), text)
    return list(found.values())


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


def _by_size(theme: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The new number of each theme, that of -1 at the end: the largest first; of two as large, that of the earlier text."""
    found, earliest = np.unique(theme[theme >= 0], return_index=True)
    sizes = np.bincount(labels[labels >= 0], minlength=found.max() + 1)[found]
    new = np.full(found.max() + 2, MIXED)
    new[found[np.lexsort((earliest, -sizes))]] = np.arange(len(found))
    return new
