"""What is a theme called? The words and phrases that are said more often in it than elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

N_KEYWORDS = 6
_PRIOR = 500.0  # imagined texts that say everything as often as all texts do
_COMMON = 0.08  # a phrase names a theme only if at least this share of its texts hold it
_LONGEST = 32  # characters in one half of a name
_READ = 100  # texts of each theme, by lot: a phrase that 8 % hold is seen in them
_CONTRACTION = re.compile(r".*['’](?:t|s|m|re|ve|ll|d)")
_OTHER_SMALL = """hi hello dear thanks thank regards best kind please just want know like need does did don didn ve way got ago
im ive id dont didnt doesnt cant wont isnt whats"""
_SMALL_WORDS = ENGLISH_STOP_WORDS.union(_OTHER_SMALL.split())
_WORD = re.compile(r"[^\W\d_][\w'’\-]*")
_BREAK = re.compile(r"[.,;:!?()\"\n]+")


def log_odds(inside: np.ndarray, outside: np.ndarray, prior: float = _PRIOR) -> np.ndarray:
    """How much more often is each term said inside than outside, in standard errors? One z per term, 0 = equally often.

    Parameters
    ----------
    inside, outside : array of counts, one per term
        How many texts hold the term, in the theme and in all other themes.
    prior : float
        Size of the imagined sample, with the terms in the proportions of both together, that holds rare terms back.

    References
    ----------
    Monroe, Colaresi and Quinn (2008), Fightin' words, Political Analysis 16, section 3.3.2 (log-odds ratio, informative
    Dirichlet prior).

    Examples
    --------
    Two terms, said 10 and 0 times inside, 0 and 10 outside, prior 2 (so 1 for each): log(11/1) - log(1/11), over
    sqrt(1/11 + 1/1), is 4.796 / 1.045.

    >>> log_odds(np.array([10, 0]), np.array([0, 10]), prior=2).round(2).tolist()
    [4.59, -4.59]
    """
    both = inside + outside
    imagined = prior * both / max(both.sum(), 1)
    here, there = inside + imagined, outside + imagined
    ratio = np.log(here / (here.sum() - here)) - np.log(there / (there.sum() - there))
    return ratio / np.sqrt(1 / here + 1 / there)


def name_themes(texts: Sequence[str], labels: np.ndarray) -> pd.DataFrame:
    """What is each theme called, and by which words is it known? One row per theme, columns name and keywords.

    Parameters
    ----------
    texts : sequence of str
        Plain, redacted, distinct texts: a name repeats their words.
    labels : array of int
        The theme of each text, 0 to k - 1; every theme has at least one.

    Notes
    -----
    A name is the phrase of one to four words that is most typical of the theme (`log_odds`, two telling words counting more)
    among those that at least 8 % of its texts hold, and a second one that adds other words. Either begins and ends with a
    word that says something, neither a small English word nor one as common elsewhere, with at most one small word between.
    Names differ: a third phrase or a number settles ties.

    Examples
    --------
    >>> name_themes(["reset password", "reset password now", "late refund", "late refund again"], np.array([0, 0, 1, 1]))
                 name        keywords
    0  reset password  reset password
    1     late refund     late refund
    """
    read = _by_lot(labels)
    texts, labels = [texts[i] for i in read], labels[read]
    counter = CountVectorizer(analyzer=phrases, binary=True, min_df=1 if len(texts) < 100 else 2)
    try:
        counts, terms = counter.fit_transform(texts).tocsc(), counter.get_feature_names_out()
    except ValueError:  # not one word, or none twice
        counts, terms = sparse.csc_matrix((len(texts), 0)), np.array([], dtype=object)
    size = np.bincount(labels)
    said = _per_theme(counts, labels)
    common = np.unique(said.indices[said.data >= _COMMON * np.repeat(size, np.diff(said.indptr))])
    terms, said = terms[common], said[:, common].toarray()  # the few that can name a theme
    taken: set[str] = set()
    rows = []
    for theme, inside in enumerate(said):
        found = _ranked(terms, inside, said.sum(axis=0) - inside, int(size[theme]))
        name = _distinct(found, taken) or _distinct([_first(texts, labels, theme)], taken)
        taken.add(name)
        rows.append((name, ", ".join(_apart(found)[:N_KEYWORDS])))
    return pd.DataFrame(rows, columns=["name", "keywords"])


def phrases(text: str) -> list[str]:
    """Words, and two to four words in a row within one clause.

    >>> phrases("late again. refund")
    ['late', 'again', 'refund', 'late again']
    """
    clauses = [_WORD.findall(clause) for clause in _BREAK.split(text)]
    return [" ".join(clause[i : i + n]) for n in (1, 2, 3, 4) for clause in clauses for i in range(len(clause) - n + 1)]


def _by_lot(labels: np.ndarray) -> np.ndarray:
    """Positions of up to 100 texts of each theme, rising."""
    drawn = np.random.default_rng(0).permutation(len(labels))
    order = drawn[np.argsort(labels[drawn], kind="stable")]
    rank = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return np.sort(order[rank < _READ])


def _per_theme(counts: sparse.csc_matrix, labels: np.ndarray) -> sparse.csr_matrix:
    """In how many texts of each theme does each term stand? (themes, terms)."""
    n_themes = int(labels.max()) + 1
    member = sparse.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(n_themes, len(labels)))
    return (member @ counts).tocsr()


def _ranked(terms: np.ndarray, inside: np.ndarray, outside: np.ndarray, n_texts: int) -> list[str]:
    """Terms that tell the theme apart, the most telling first; longer phrases count more, for they read better."""
    z = log_odds(inside, outside) if outside.any() else inside
    common = np.flatnonzero((inside >= _COMMON * n_texts) & (z > 0))  # with a phrase its words: they are as common
    terms, z, inside, outside = (values[common] for values in (terms, z, inside, outside))
    told = dict(zip(terms, z, strict=True))
    own = inside / np.maximum(inside + outside, 1)  # the share of the term's texts that are the theme's
    said = np.array([sum(not _is_small(word) for word in term.split()) for term in terms], dtype=int)
    score = z * own * (1 + 0.5 * (said.clip(1, 2) - 1))  # two words that say something read better than one
    return [terms[i] for i in np.lexsort((terms, -score)) if _says_something(terms[i], told)]


def _says_something(term: str, told: dict[str, float]) -> bool:
    words = term.split()
    edges = (words[0], words[-1])
    if any(_is_small(word) or told.get(word, 0) <= 0 for word in edges):
        return False
    return sum(map(_is_small, words)) <= 1 and len(set(words)) == len(words)


def _is_small(word: str) -> bool:
    return word in _SMALL_WORDS or _CONTRACTION.fullmatch(word) is not None


def _distinct(found: Sequence[str], taken: set[str]) -> str:
    """The first phrase and the next that shares no word with it; more of them, then a number, until the name is new."""
    parts: list[str] = []
    for term in found:
        if len(term) <= _LONGEST and not _stems(" ".join(parts)) & _stems(term):
            parts.append(term)
            name = " · ".join(parts)
            if len(parts) >= 2 and name not in taken:
                return name
    name = " · ".join(parts)
    number = 2
    while parts and name in taken:
        name, number = f"{' · '.join(parts)} ({number})", number + 1
    return name


def _apart(found: Sequence[str]) -> list[str]:
    """Those terms that are not part of an earlier one, nor hold one.

    >>> _apart(["late refund", "refund", "late refund again", "waiting"])
    ['late refund', 'waiting']
    """
    kept: list[str] = []
    for term in found:
        words = set(term.split())
        if not any(words <= set(other.split()) or words >= set(other.split()) for other in kept):
            kept.append(term)
    return kept


def _stems(term: str) -> set[str]:
    return {word[:4] for word in term.split() if word not in _SMALL_WORDS}


def _first(texts: Sequence[str], labels: np.ndarray, theme: int) -> str:
    return texts[int(np.flatnonzero(labels == theme)[0])][:_LONGEST] or "no words"
