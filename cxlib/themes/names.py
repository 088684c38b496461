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
_CONTRACTION = re.compile(r".*['’](?:t|s|m|re|ve|ll|d)")
_OTHER_SMALL = """hi hello dear thanks thank regards best kind please just want know like need does did don didn ve way
im ive id dont didnt doesnt cant wont isnt whats"""
_SMALL_WORDS = ENGLISH_STOP_WORDS.union(_OTHER_SMALL.split())
_WORD = r"[^\W\d_][\w'’\-]+"


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
    A name is the phrase of one to three words that is most typical of the theme (`log_odds`, longer phrases counting more)
    among those that at least 8 % of its texts hold, and a second one that adds other words. Either begins and ends with a
    word that says something: neither a small English word nor one as common elsewhere. Names differ: a third phrase or a number
    settles ties.

    Examples
    --------
    >>> name_themes(["reset password", "reset password now", "late refund", "late refund again"], np.array([0, 0, 1, 1]))
                 name                       keywords
    0  reset password  reset password, password, reset
    1     late refund        late refund, late, refund
    """
    rarest = 1 if len(texts) < 100 else 2
    counter = CountVectorizer(ngram_range=(1, 3), token_pattern=_WORD, binary=True, min_df=rarest)
    try:
        counts = counter.fit_transform(texts).tocsc()
    except ValueError:  # not one word in all texts
        counts, terms = sparse.csc_matrix((len(texts), 0)), np.array([], dtype=object)
    else:
        terms = counter.get_feature_names_out()
    said = _per_theme(counts, labels)
    taken: set[str] = set()
    rows = []
    for theme, inside in enumerate(said):
        found = _ranked(terms, inside, said.sum(axis=0) - inside, int((labels == theme).sum()))
        name = _distinct(found, taken) or _distinct([_first(texts, labels, theme)], taken)
        taken.add(name)
        rows.append((name, ", ".join(found[:N_KEYWORDS])))
    return pd.DataFrame(rows, columns=["name", "keywords"])


def _per_theme(counts: sparse.csc_matrix, labels: np.ndarray) -> np.ndarray:
    """In how many texts of each theme does each term stand? (themes, terms)."""
    n_themes = int(labels.max()) + 1
    member = sparse.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(n_themes, len(labels)))
    return (member @ counts).toarray()


def _ranked(terms: np.ndarray, inside: np.ndarray, outside: np.ndarray, n_texts: int) -> list[str]:
    """Terms that tell the theme apart, the most telling first; longer phrases count more, for they read better."""
    z = log_odds(inside, outside) if len(terms) else np.empty(0)
    telling = dict(zip(terms[z > 0], z[z > 0], strict=True))
    common = (inside >= _COMMON * n_texts) & (z > 0 if outside.any() else inside > 0)
    length = np.array([term.count(" ") for term in terms])
    order = np.lexsort((terms, -z * (1 + 0.5 * length)))
    return [terms[i] for i in order if common[i] and _says_something(terms[i], telling if outside.any() else None)]


def _says_something(term: str, telling: dict[str, float] | None) -> bool:
    words = term.split()
    edges = {words[0], words[-1]}
    if any(word in _SMALL_WORDS or _CONTRACTION.fullmatch(word) for word in edges):
        return False
    return (telling is None or edges <= telling.keys()) and len(set(words)) == len(words)


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


def _stems(term: str) -> set[str]:
    return {word[:4] for word in term.split() if word not in _SMALL_WORDS}


def _first(texts: Sequence[str], labels: np.ndarray, theme: int) -> str:
    return texts[int(np.flatnonzero(labels == theme)[0])][:_LONGEST] or "no words"
