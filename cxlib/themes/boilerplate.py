"""What many tickets say word for word: templates, signatures and the mails that were answered. Found, dropped and counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxlib.themes.terms import once, parts, runs, word_runs

RUN = 8  # words in a row that nobody writes twice by chance
_SHARE, _FEWEST = 0.01, 20  # of the distinct texts, and texts, that have to hold such a run
_LEFT = 3  # words that must stay: a text that is all template is not emptied
_ANSWERED = re.compile(
    r"^\s*(?:-{2,} ?(?:original message|forwarded message|ursprüngliche nachricht|message d'origine)|_{10,}\s*$"
    r"|from: .*\n\s*(?:sent|date|to): |von: .*\n\s*(?:gesendet|datum|an): |de : .*\n\s*(?:envoyé|date|à) : "
    r"|(?:on|am|le) .{6,120}(?:wrote|schrieb.{0,60}|a écrit) ?:\s*$)",
    re.IGNORECASE | re.MULTILINE,
)
_SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)  # as mail programs set it (RFC 3676, section 4.3)
_QUOTED = re.compile(r"^\s*>.*$\n?", re.MULTILINE)


def own_words(text: str) -> str:
    r"""The text without the mail it answers and without what follows a signature's dashes; itself where that is all of it.

    >>> own_words("Still broken\n\nOn Monday, 3 March 2025, support wrote:\n> Try again\n-- \nAda")
    'Still broken\n'
    >>> own_words("> only a quotation")
    '> only a quotation'
    """
    kept = text
    for mark in (_ANSWERED, _SIGNATURE):
        if (found := mark.search(kept)) is not None:
            kept = kept[: found.start()]
    if ">" in kept:
        kept = _QUOTED.sub("", kept)
    return kept if any(char.isalnum() for char in kept) else text


@dataclass(frozen=True)
class Boilerplate:
    """Runs of eight words that many texts share, each as a 64-bit number."""

    known: np.ndarray  # rising

    @classmethod
    def of(cls, texts: Sequence[str]) -> Boilerplate:
        """The runs that at least 1 % of these plain, distinct texts hold, and at least 20."""
        found = [_held(part) for part in parts(texts)]
        run, count = once(np.concatenate(found)) if found else (np.empty(0, dtype=np.uint64), np.empty(0, dtype=int))
        return cls(run[count >= max(_FEWEST, _SHARE * len(texts))])

    def dropped(self, texts: Sequence[str]) -> list[str]:
        """The texts without these runs, a line break in the place of each; as they are where fewer than three words stayed.

        >>> shared = "this mail was sent by a machine do not reply"
        >>> many = [f"{word} {shared}" for word in "abcdefghijklmnopqrstuvwxyz"]
        >>> Boilerplate.of(many).dropped([f"where is my card {shared}", f"hello {shared}"])
        ['where is my card', 'hello this mail was sent by a machine do not reply']
        """
        if not len(self.known):
            return list(texts)
        return [text for part in parts(texts) for text in self._dropped(part)]

    def _dropped(self, texts: Sequence[str]) -> list[str]:
        word, of, start, end = word_runs(texts)
        run, first = runs(word, of, RUN)
        place = np.searchsorted(self.known, run).clip(max=len(self.known) - 1)
        shared = first[self.known[place] == run]
        kept = list(texts)
        if not len(shared):
            return kept
        covered = np.zeros(len(word) + 1, dtype=int)
        np.add.at(covered, shared, 1)
        np.add.at(covered, shared + RUN, -1)
        inside = np.cumsum(covered)[:-1] > 0
        stays = np.bincount(of[~inside], minlength=len(texts))
        for row in np.unique(of[shared]):
            if stays[row] >= _LEFT:
                words = np.flatnonzero(of == row)
                kept[row] = _without(texts[row], start[words], end[words], inside[words])
        return kept


def _held(texts: Sequence[str]) -> np.ndarray:
    """The runs of eight words of these texts, each once per text that holds it."""
    word, of, _, _ = word_runs(texts)
    run, first = runs(word, of, RUN)
    row = of[first]
    order = np.lexsort((run, row))
    run, row = run[order], row[order]
    return run[np.append(True, (run[1:] != run[:-1]) | (row[1:] != row[:-1]))[: len(run)]]


def _without(text: str, start: np.ndarray, end: np.ndarray, inside: np.ndarray) -> str:
    """The stretches of words that are not inside, with what stands between their words."""
    edge = np.flatnonzero(np.diff(inside.astype(int), prepend=1, append=1))
    return "\n".join(text[start[first] : end[last - 1]] for first, last in zip(edge[::2], edge[1::2], strict=True))
