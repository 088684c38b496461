"""Texts as points: the letters and words they share, with nothing to download and no language assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_range_finder

from cxlib.redact import KINDS
from cxlib.themes.boilerplate import own_words
from cxlib.themes.terms import Vocabulary, letter_groups, words

N_DIMENSIONS = 320
WORD_WEIGHT = 0.8  # of the word part beside the letter part
_BASIS = 5_000  # texts from which the directions are found
_HIDDEN = re.compile(r"\[(?:" + "|".join(map(re.escape, KINDS)) + r")\]")
_LETTERS = re.compile(r"[^\W\d_]+")


class TextModel(Protocol):
    """What turns texts into points."""

    @property
    def name(self) -> str: ...

    def place(self, texts: Sequence[str]) -> np.ndarray:
        """Rows of unit length, one per text, the same for a text whatever stands beside it; zeros where nothing is known."""
        ...


def plain(text: object) -> str:
    r"""The text as it is compared: its own words, lower case, single spaces, a line break for each mark of redaction.

    The mail that is answered and what follows a signature's dashes are left out (`boilerplate.own_words`). Missing is empty.

    >>> plain("Mail  [e-mail] about\n\nMY card"), plain(None), plain("  !? ")
    ('mail\nabout\nmy card', '', '')
    """
    if not isinstance(text, str):
        return ""
    own = own_words(text) if "\n" in text else text
    lines = (" ".join(line.split()) for line in _HIDDEN.sub("\n", own).replace("\0", " ").casefold().splitlines())
    folded = "\n".join(filter(None, lines))
    return folded if any(char.isalnum() for char in folded) else ""


def essence(text: str) -> str:
    """What near duplicates share: the words of a plain text without digits and signs; the text itself where that is nothing.

    >>> essence("order 4711 is late!"), essence("order no. 12: is late"), essence("4711")
    ('order is late', 'order no is late', '4711')
    """
    return " ".join(_LETTERS.findall(text)) or text


@dataclass(frozen=True)
class Lexical:
    """TF-IDF of letters and of words, side by side, seen in a few directions that keep who is near whom."""

    letters: Vocabulary
    words: Vocabulary
    directions: np.ndarray | None  # (terms, directions); None where texts are too few to need them
    name: str = "lexical"

    def place(self, texts: Sequence[str]) -> np.ndarray:
        """Rows of unit length, one per text; a text without anything known is a row of zeros."""
        return self.reduced(self.counts(texts))

    def counts(self, texts: Sequence[str]) -> sparse.csr_matrix:
        return sparse.hstack([self.letters.weigh(texts), WORD_WEIGHT * self.words.weigh(texts)], format="csr")

    def reduced(self, counts: sparse.csr_matrix) -> np.ndarray:
        return normalize(counts.toarray() if self.directions is None else counts.astype(np.float32) @ self.directions)

    def arrays(self) -> dict[str, np.ndarray]:
        """What has to be kept to make the model again: see `of_arrays`."""
        kept = {"letters": self.letters.known, "letters_idf": self.letters.idf}
        kept |= {"words": self.words.known, "words_idf": self.words.idf}
        return kept if self.directions is None else kept | {"directions": self.directions}

    @classmethod
    def of_arrays(cls, kept: Mapping[str, np.ndarray]) -> Lexical:
        letters = Vocabulary(letter_groups, kept["letters"], kept["letters_idf"])
        return cls(letters, Vocabulary(words, kept["words"], kept["words_idf"]), kept.get("directions"))


def lexical(texts: Sequence[str], seed: int = 0) -> tuple[Lexical, np.ndarray]:
    """How can these texts be compared? Takes plain, distinct texts (see `plain`); returns the model and a row per text.

    Groups of 3 to 5 letters within words forgive typing errors and endings; words and pairs of words carry the sense. Both are
    weighted 1 + log(count) times inverse document frequency, scaled to length 1, joined with the words at .8 of the weight of
    the letters, and reduced to 320 directions: those in which random mixtures of the texts (5,000 by lot, where there are more)
    lie. Ranked ones, of a singular value decomposition, cost more and blur look-alike topics.

    References
    ----------
    Halko, Martinsson and Tropp (2011), Finding structure with randomness.
    """
    rarest = max(min(3, 1 + len(texts) // 500), len(texts) // 2000)  # texts that must hold a term for it to count
    letters, of_words = (Vocabulary.of(terms, texts, rarest) for terms in (letter_groups, words))
    if not len(letters.known) or not len(of_words.known):  # nothing is said twice
        letters, of_words = (Vocabulary.of(terms, texts, 1) for terms in (letter_groups, words))
    model = Lexical(letters, of_words, None)
    counts = model.counts(texts)
    n_dimensions = min(N_DIMENSIONS, counts.shape[0] - 1, counts.shape[1] - 1)
    if n_dimensions < 10:
        return model, model.reduced(counts)
    some = counts[np.sort(np.random.default_rng(seed).permutation(counts.shape[0])[:_BASIS])].astype(np.float32)
    directions = randomized_range_finder(some.T, size=n_dimensions, n_iter=0, random_state=seed)
    model = Lexical(letters, of_words, np.ascontiguousarray(directions, dtype=np.float32))
    return model, model.reduced(counts)


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
