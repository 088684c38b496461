"""Texts as points: the letters and words they share, with nothing to download and no language assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from cxlib.redact import KINDS

N_DIMENSIONS = 300
WORD_WEIGHT = 0.5  # of the word part beside the letter part; see the table in tests/test_themes.py
_WORD = r"\w+"
_HIDDEN = re.compile(r"\[(?:" + "|".join(map(re.escape, KINDS)) + r")\]")


def plain(text: object) -> str:
    """The text as it is compared: lower case, one space between words, marks of redaction left out. Missing is empty.

    >>> plain("Mail  [e-mail]\\nabout MY card"), plain(None), plain("  !? ")
    ('mail about my card', '', '')
    """
    if not isinstance(text, str):
        return ""
    folded = " ".join(_HIDDEN.sub(" ", text).replace("\\0", " ").casefold().split())
    return folded if any(char.isalnum() for char in folded) else ""


@dataclass(frozen=True)
class Lexical:
    """TF-IDF of letters and of words, side by side, turned into the few directions in which texts differ most."""

    letters: TfidfVectorizer
    words: TfidfVectorizer
    svd: TruncatedSVD | None  # None where texts are too few to need one

    def place(self, texts: Sequence[str]) -> np.ndarray:
        """Rows of unit length, one per text; a text without any known letters is a row of zeros."""
        blocks = (self._place(texts[start : start + 5000]) for start in range(0, len(texts), 5000))
        return np.vstack(list(blocks)).astype(np.float32)

    def _place(self, texts: Sequence[str]) -> np.ndarray:
        counts = _weighted(self.letters.transform(texts), self.words.transform(texts))
        return normalize(self.svd.transform(counts) if self.svd else counts.toarray())


def lexical(texts: Sequence[str], seed: int = 0) -> Lexical:
    """How can these texts be compared? Fitted on plain, distinct texts (see `plain`).

    Groups of 3 to 5 letters within words forgive typing errors and endings; words and pairs of words carry the sense. Both are
    weighted 1 + log(count) times inverse document frequency, scaled to length 1, joined with the words at half weight, and
    reduced to 300 directions by a truncated SVD.

    References
    ----------
    Deerwester et al. (1990), Indexing by latent semantic analysis.
    """
    rarest = 1 if len(texts) < 100 else max(2, len(texts) // 2000)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=rarest)
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, sublinear_tf=True, min_df=rarest)
    counts = _weighted(_fit(letters, texts), _fit(words, texts))
    n_dimensions = min(N_DIMENSIONS, counts.shape[0] - 1, counts.shape[1] - 1)
    if n_dimensions < 10:
        return Lexical(letters, words, None)
    return Lexical(letters, words, TruncatedSVD(n_dimensions, n_iter=4, random_state=seed).fit(counts))


def _fit(vectorizer: TfidfVectorizer, texts: Sequence[str]) -> sparse.csr_matrix:
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:  # nothing is frequent enough, or every text is shorter than a feature: take what there is
        return vectorizer.set_params(min_df=1).fit_transform([*texts])


def _weighted(letters: sparse.csr_matrix, words: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.hstack([letters, WORD_WEIGHT * words]).tocsr()


def first_positions(texts: Iterable[str]) -> dict[str, int]:
    """At which position does each distinct non-empty text come first?

    >>> first_positions(["b", "", "a", "b"])
    {'b': 0, 'a': 2}
    """
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        if text:
            first.setdefault(text, position)
    return first
