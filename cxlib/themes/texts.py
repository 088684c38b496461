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

N_DIMENSIONS = 400
WORD_WEIGHT = 0.8  # of the word part beside the letter part
_BASIS = 5_000  # texts from which the directions are found
_WORD = r"\w+"
_HIDDEN = re.compile(r"\[(?:" + "|".join(map(re.escape, KINDS)) + r")\]")


def plain(text: object) -> str:
    r"""The text as it is compared: lower case, single spaces, a line break for each mark of redaction. Missing is empty.

    >>> plain("Mail  [e-mail] about\n\nMY card"), plain(None), plain("  !? ")
    ('mail\nabout\nmy card', '', '')
    """
    if not isinstance(text, str):
        return ""
    lines = (" ".join(line.split()) for line in _HIDDEN.sub("\n", text).replace("\0", " ").casefold().splitlines())
    folded = "\n".join(filter(None, lines))
    return folded if any(char.isalnum() for char in folded) else ""


@dataclass(frozen=True)
class Lexical:
    """TF-IDF of letters and of words, side by side, turned into the few directions in which texts differ most."""

    letters: TfidfVectorizer
    words: TfidfVectorizer
    svd: TruncatedSVD | None  # None where texts are too few to need one

    def place(self, texts: Sequence[str]) -> np.ndarray:
        """Rows of unit length, one per text; a text without anything known is a row of zeros."""
        parts = [texts[start : start + 5000] for start in range(0, len(texts), 5000)] or [texts]
        return np.vstack([self._reduced(self._counts(part)) for part in parts])

    def _counts(self, texts: Sequence[str], method: str = "transform") -> sparse.csr_matrix:
        letters, words = (getattr(part, method)(texts) for part in (self.letters, self.words))
        return sparse.hstack([letters, WORD_WEIGHT * words]).tocsr()

    def _reduced(self, counts: sparse.csr_matrix) -> np.ndarray:
        return normalize(self.svd.transform(counts) if self.svd else counts.toarray())


def lexical(texts: Sequence[str], seed: int = 0) -> tuple[Lexical, np.ndarray]:
    """How can these texts be compared? Takes plain, distinct texts (see `plain`); returns the model and a row per text.

    Groups of 3 to 5 letters within words forgive typing errors and endings; words and pairs of words carry the sense. Both are
    weighted 1 + log(count) times inverse document frequency, scaled to length 1, joined with the words at .8 of the weight of
    the letters, and reduced to 400 directions by a truncated SVD (of a random 5,000 texts where there are more). Fewer
    directions blur look-alike topics.

    References
    ----------
    Deerwester et al. (1990), Indexing by latent semantic analysis.
    """
    rarest = max(min(3, 1 + len(texts) // 500), len(texts) // 2000)  # texts that must hold a term for it to count
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=rarest)
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, sublinear_tf=True, min_df=rarest)
    try:
        counts = Lexical(letters, words, None)._counts(texts, "fit_transform")
    except ValueError:  # nothing is said twice
        counts = Lexical(letters.set_params(min_df=1), words.set_params(min_df=1), None)._counts(texts, "fit_transform")
    n_dimensions = min(N_DIMENSIONS, counts.shape[0] - 1, counts.shape[1] - 1)
    svd = TruncatedSVD(n_dimensions, n_iter=1, random_state=seed) if n_dimensions >= 10 else None
    if svd is not None:
        n = counts.shape[0]
        svd.fit(counts[np.sort(np.random.default_rng(seed).permutation(n)[:_BASIS])])
    model = Lexical(letters, words, svd)
    return model, model._reduced(counts)


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
