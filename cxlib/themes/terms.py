"""Terms of texts: groups of letters, words and pairs of words, found in whole arrays of characters and weighted.

A term is known by a number made of its characters, so that a vocabulary is two arrays, saved as they are, and no text is cut
up in a loop. Two of four million numbers now and then mean the same: harmless, since only frequent terms count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse

GROUPS = (3, 4, 5)  # letters in a row
_BITS = 22  # of a term's number
_MOST = 50_000  # terms
_AT_ONCE = 1 << 19  # characters: their arrays fit the processor's cache
_SPACE = 32
_ODD, _STIR, _BASE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0x5851F42D4C957F2D)

Terms = Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]


def letter_groups(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The groups of 3 to 5 letters in each text: the number of each, and the position of its text.

    A group lies within one word and the spaces around it, so that beginnings and endings are told apart.

    >>> letter_groups(["ab", "b"])[1].tolist()  # " ab", "ab ", " b "; " ab "
    [0, 0, 1, 0]
    """
    codes, row = _characters(texts)
    inner = np.cumsum(codes == _SPACE, dtype=np.int32)
    number = codes.astype(np.uint64)
    found = []
    for size in range(2, max(GROUPS) + 1):
        number = number[:-1] * _ODD + codes[size - 1 :]
        number ^= number >> np.uint64(29)
        if size in GROUPS and len(number):
            n = len(number)
            whole = np.flatnonzero(inner[size - 2 : size - 2 + n] == inner[:n])  # no space between the first and the last
            found.append((_short(number.take(whole)), row.take(whole)))
    return _joined(found)


def words(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The words and pairs of neighbouring words in each text: the number of each, and the position of its text.

    >>> words(["late again", "again"])[1].tolist()  # late, again; again; late again
    [0, 0, 1, 0]
    """
    word, of, _, _ = word_runs(texts)
    run, where = runs(word, of, 2)
    return _joined([(_short(word), of), (_short(run), of[where])])


def word_runs(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All words of the texts in order: a 64-bit number for each, whose it is, and where in its text it begins and ends.

    Texts have single spaces or line breaks between their words, none at either end.
    """
    codes, row = _characters(texts)
    inside = _is_word(codes)
    edge = np.flatnonzero(inside[1:] != inside[:-1]) + 1  # every text begins and ends with a space
    start, end = edge[::2], edge[1::2]
    power, inverse = _powers(len(codes))
    so_far = np.append(np.uint64(0), np.cumsum((codes + np.uint64(1)) * power[: len(codes)], dtype=np.uint64))
    word = (so_far[end] - so_far[start]) * inverse[start]  # the same wherever the word stands
    word ^= word >> np.uint64(31)
    of = row[start]
    begins = np.append(0, np.cumsum([len(text) + 2 for text in texts]))[of] + 1
    return word, of, start - begins, end - begins


def runs(word: np.ndarray, of: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The runs of n words within one text: a number for each, and the place of its first word."""
    where = np.flatnonzero(of[n - 1 :] == of[: len(of) - n + 1]) if len(of) >= n else np.empty(0, dtype=np.int64)
    number = word[where]
    for i in range(1, n):
        number = number * _ODD + word[where + i]
        number ^= number >> np.uint64(29)
    return number, where


def _characters(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """All characters of the texts, each text between two spaces, and whose they are."""
    padded = [f" {' '.join(text.split())} " for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return codes, np.repeat(np.arange(len(padded), dtype=np.int32), [len(text) for text in padded])


def _is_word(codes: np.ndarray) -> np.ndarray:
    """Which characters belong to words: letters, digits, underscores, and the marks that some scripts put on letters."""
    present = np.flatnonzero(np.bincount(codes))
    return np.isin(codes, present[[_belongs(int(code)) for code in present]])


@cache
def _belongs(code: int) -> bool:
    char = chr(code)
    return char.isalnum() or char == "_" or unicodedata.category(char).startswith("M")


@cache
def _powers_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    inverse = np.uint64(pow(int(_BASE), -1, 1 << 64))
    return tuple(np.cumprod(np.append(np.uint64(1), np.full(n - 1, base)), dtype=np.uint64) for base in (_BASE, inverse))  # type: ignore[return-value]


def _powers(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The base of the words' numbers to the power of 0, 1, ..., and one over it, modulo 2**64; at least `n` of them."""
    return _powers_of(1 << max(int(n - 1).bit_length(), 20))


def _short(number: np.ndarray) -> np.ndarray:
    return ((number * _STIR) >> np.uint64(64 - _BITS)).astype(np.int32)


def _joined(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    found = [(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)), *found]
    return np.concatenate([term for term, _ in found]), np.concatenate([row for _, row in found])


@dataclass(frozen=True)
class Vocabulary:
    """Terms that enough texts hold, and how telling each is."""

    terms: Terms
    known: np.ndarray  # numbers of the terms, rising
    idf: np.ndarray  # inverse document frequency of each

    @classmethod
    def of(cls, terms: Terms, texts: Sequence[str], rarest: int) -> Vocabulary:
        """The terms that at least `rarest` of the texts hold, the most frequent 50,000 at most; each with log((1 + texts) /
        (1 + texts that hold it)) + 1."""
        held = np.zeros(1 << _BITS, dtype=np.int64)
        for part in parts(texts):
            term, row = terms(part)
            key = once(row.astype(np.int64) << _BITS | term)[0]
            held += np.bincount(key & ((1 << _BITS) - 1), minlength=1 << _BITS)
        known = np.flatnonzero(held >= rarest)
        if len(known) > _MOST:  # of random letters; the rarest say least of who is near whom
            known = np.sort(known[np.argsort(-held[known], kind="stable")[:_MOST]])
        return cls(terms, known, np.log((1 + len(texts)) / (1 + held[known])) + 1)

    def weigh(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """TF-IDF: a row of length 1 per text, (1 + log(count)) x idf per known term; a row of zeros where none is known."""
        column = np.full(1 << _BITS, -1, dtype=np.int32)
        column[self.known] = np.arange(len(self.known))
        rows = [self._weighed(part, column) for part in parts(texts)]
        return sparse.vstack(rows, format="csr") if rows else sparse.csr_matrix((0, len(self.known)))

    def _weighed(self, texts: Sequence[str], column: np.ndarray) -> sparse.csr_matrix:
        term, row = self.terms(texts)
        place = column.take(term)
        told = np.flatnonzero(place >= 0)
        key, count = once(row.take(told).astype(np.int64) << _BITS | place.take(told))
        index, row = key & ((1 << _BITS) - 1), key >> _BITS
        value = (1 + np.log(count)) * self.idf.take(index)
        length = np.sqrt(np.bincount(row, weights=value * value, minlength=len(texts)))
        start = np.append(0, np.cumsum(np.bincount(row, minlength=len(texts))))
        return sparse.csr_matrix((value / length.take(row), index, start), shape=(len(texts), len(self.known)))


def once(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, rising, and how often it was there; by sorting, which is faster here than np.unique's table."""
    key = np.sort(key)
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    return key.take(first), np.diff(np.append(first, len(key)))


def parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in a row, some half a million characters at a time."""
    ends = np.cumsum([len(text) + 2 for text in texts])
    first = 0
    while first < len(texts):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        yield texts[first:last]
        first = last
