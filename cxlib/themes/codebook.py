"""What do customers ask about? Themes that stay: fitted once, kept, and given to later texts without changing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from cxlib import stats
from cxlib.eventlog import progress
from cxlib.schema import DataError
from cxlib.themes.boilerplate import Boilerplate
from cxlib.themes.clusters import Groups, core, grouped, joined, landmarks, nearest_to
from cxlib.themes.layout import mixing, place_themes
from cxlib.themes.models import TextModel, chosen
from cxlib.themes.names import name_themes
from cxlib.themes.texts import essence, first_positions, plain

MIXED = -1  # a text in no theme: its group is too small or too loose, or nothing in it is known
NO_TEXT = -2
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

    def assign(self, texts: Sequence[str | None]) -> np.ndarray:
        """Which theme does each of these texts have? One integer per text, in order: a theme, -1 (mixed) or -2 (no words).

        A text it was fitted on has the theme it had then, and so have texts that differ from it in digits and signs only. Any
        other one joins the theme that most of its 15 nearest fitted texts are in. It depends on nothing but the text and this
        codebook: not on the other texts, not on when it is asked.
        """
        said = [plain(text) for text in texts]
        distinct = sorted(set(said) - {""})
        with threadpool_limits(1):  # sums over several threads differ in the last digit
            found = dict(zip(distinct, self.kept.assigned(distinct).tolist(), strict=True))
        return np.array([found.get(text, NO_TEXT) for text in said], dtype=int)


@dataclass(frozen=True)
class Kept:
    """What a codebook has to know to give a text its theme."""

    model: TextModel
    boilerplate: Boilerplate
    points: np.ndarray  # of texts that stand for their groups
    group: np.ndarray  # of each of them
    theme: np.ndarray  # of each group; -1 = mixed
    known: np.ndarray  # hashes of the essences of the texts it was fitted on, rising
    known_group: np.ndarray

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
        known = self.known[place] == hashes
        group = np.where(known, self.known_group[place], -1)
        if not known.all():
            new = np.flatnonzero(~known)
            points = self.model.place(self.boilerplate.dropped([texts[i] for i in new]))
            group[new] = joined(points, self.points, self.group)
        return np.append(self.theme, MIXED)[group]


def hashed(texts: Sequence[str]) -> np.ndarray:
    """A 64-bit hash of each text's essence, the same on every machine."""
    digests = b"".join(hashlib.blake2b(essence(text).encode("utf-8", "replace"), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def fit(
    texts: Sequence[str | None],
    k: int | None = None,
    text_model: str | TextModel = "auto",
    seed: int = 0,
    *,
    customers: Sequence | pd.Series | None = None,
) -> Codebook:
    """What are these texts about?

    Parameters
    ----------
    texts : sequence of str
        One per ticket, redacted: names repeat their words. Missing ones and those without a letter or digit are labelled -2.
    k : int, optional
        How many themes. Without it, the number at which partitions of random 80 % of the texts agree best (`stability`),
        the larger where two agree as well; numbers at which one theme holds more than half of the texts are passed over.
    text_model : str
        How texts are compared: "lexical" (letters and words), "semantic" (a small language model, from the extra of that name),
        the folder of another model, or "auto", which chooses and says `why`; see `models.chosen`.
    seed : int
        Of everything random. Same texts and seed, same themes, in any order of the texts and on any number of threads.
    customers : sequence, optional
        Whose each text is; the intervals of the shares then allow for customers who write more than once.

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
    once and counted each. A fuzzy graph of the 15 nearest neighbours; its leading eigenvectors; KMeans on those. Of more than
    20,000 distinct texts a random 20,000 are grouped, and the others are given their theme as `assign` does. Without `k`, groups
    of fewer than five texts and those that keep less than 30 % of their ties are mixed (-1), a tenth of the texts at most.

    References
    ----------
    McInnes, Healy and Melville (2018), UMAP; Ng, Jordan and Weiss (2001), On spectral clustering.

    Examples
    --------
    >>> found = fit(["reset my password", "late refund", "reset password", "refund is late", None], k=2)
    >>> found.labels.tolist(), found.assign(["password reset?", "refund"]).tolist()
    ([1, 0, 1, 0, -2], [1, 0])
    """
    said = [plain(text) for text in texts]
    first = first_positions(said)
    distinct = _representatives(first)  # in an order of its own, so that the order of the input cannot matter
    _check(k, seed, len(texts), len(distinct))
    with threadpool_limits(1):
        whole = [distinct[i] for i in core(len(distinct), seed)]
        boilerplate = Boilerplate.of(whole)
        cut = boilerplate.dropped(whole)
        model, points, why = chosen(cut, text_model, seed)
        groups = grouped(points, k, seed)
        kept = _kept(model, boilerplate, points, groups, whole, seed)
        every = sorted(first)
        number = dict(zip(every, kept.assigned(every).tolist(), strict=True))
        labels = np.array([number.get(text, NO_TEXT) for text in said], dtype=int)
        kept, labels = _by_size(kept, labels, groups.number)
        theme = kept.theme[groups.number]
        centres, typical, dissenting = _evidence(points, theme)
        table = name_themes([text for text, of in zip(cut, theme, strict=True) if of >= 0], theme[theme >= 0])
        table = table.join(shares_of(labels, customers)).assign(
            inside=groups.inside[np.argsort(kept.theme)[np.sort(kept.theme) >= 0]],
            typical=[tuple(first[whole[i]] for i in some) for some in typical],
            dissenting=[None if i is None else first[whole[i]] for i in dissenting],
        )
        return Codebook(
            labels=labels,
            table=table.rename_axis("theme").reset_index()[_COLUMNS],
            stability=groups.stability,
            places=place_themes(centres).rename_axis("theme").reset_index(),
            mixing=mixing(groups.graph[theme >= 0][:, theme >= 0], theme[theme >= 0]),
            n_texts=int((labels != NO_TEXT).sum()),
            n_distinct=len(distinct),
            n_empty=int((labels == NO_TEXT).sum()),
            n_mixed=int((labels == MIXED).sum()),
            n_cut=sum(map(str.__ne__, whole, cut)),
            text_model=model.name,
            why=why,
            kept=kept,
        )


_COLUMNS = ["theme", "name", "n", "share", "low", "high", "keywords", "inside", "typical", "dissenting"]


def _representatives(plain_texts: Iterable[str]) -> list[str]:
    """Of texts that differ in digits and signs only, the one that comes first in the alphabet; in that order."""
    found: dict[str, str] = {}
    for text in sorted(plain_texts):
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


def _kept(
    model: TextModel, boilerplate: Boilerplate, points: np.ndarray, groups: Groups, whole: Sequence[str], seed: int
) -> Kept:
    some, hashes = landmarks(groups.number, seed), hashed(whole)
    order = np.argsort(hashes)
    themes = np.where(groups.is_mixed, MIXED, np.arange(len(groups.inside)))
    return Kept(model, boilerplate, points[some], groups.number[some], themes, hashes[order], groups.number[order])


def _by_size(kept: Kept, labels: np.ndarray, number: np.ndarray) -> tuple[Kept, np.ndarray]:
    """Themes numbered by size: the largest is 0; of two as large, the one whose first text comes first in the alphabet."""
    found = np.flatnonzero(kept.theme >= 0)
    sizes = np.bincount(labels[labels >= 0], minlength=len(kept.theme))
    earliest = np.unique(number, return_index=True)[1]
    new = np.full(len(kept.theme) + 2, MIXED)
    new[found[np.lexsort((earliest[found], -sizes[found]))]] = np.arange(len(found))
    new[NO_TEXT] = NO_TEXT
    return replace(kept, theme=new[:-2]), new[labels]


def _evidence(points: np.ndarray, theme: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], list[int | None]]:
    """Centres of the themes; the texts nearest to each, and the one furthest from it, as positions."""
    inside = np.flatnonzero(theme >= 0)
    n_themes = int(theme.max()) + 1
    member = sparse.csr_matrix((np.ones(len(inside)), (theme[inside], np.arange(len(inside)))), shape=(n_themes, len(inside)))
    centres = normalize(member @ points[inside])
    typical, dissenting = nearest_to(centres, points[inside], theme[inside])
    return centres, [inside[some] for some in typical], [None if i is None else int(inside[i]) for i in dissenting]


def shares_of(labels: np.ndarray, customers: Sequence | pd.Series | None = None, n_themes: int | None = None) -> pd.DataFrame:
    """Which share of the texts with words has each theme? One row per theme: n, share, low, high (95 %, by customer).

    A text without customer is a customer of its own; mixed texts count in the whole.

    >>> shares_of(np.array([0, 0, 0, 1, -2]))[["n", "share"]].values.tolist()
    [[3.0, 0.75], [1.0, 0.25]]
    >>> shares_of(np.array([0, 0, -1, -1]))["share"].tolist()
    [0.5]
    """
    kept = labels != NO_TEXT
    who = np.arange(kept.sum()) if customers is None else customer_codes(pd.Series(list(customers), dtype=object)[kept])
    written = np.bincount(who)
    rows = []
    for theme in range(labels.max(initial=MIXED) + 1 if n_themes is None else n_themes):
        inside = np.bincount(who, weights=labels[kept] == theme, minlength=len(written)).astype(int)
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
