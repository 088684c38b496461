"""Looking through disguises: a text as its reader sees it, and where each of its characters came from."""

from __future__ import annotations

import html
import re
import unicodedata

GONE = "\0"  # stands where something was redacted; part of no word, number or address

Places = list[tuple[int, int]] | None  # for each plain character its stretch of the original; None: they are the same

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});|%40", re.ASCII)
_SPECIAL = {
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "Œ": "OE",
    "ı": "i",
}
_SPECIAL |= dict.fromkeys("‐‑‒–—―−﹣－", "-") | dict.fromkeys("’‘ʼ`´", "'") | {GONE: " "}


class _Folding(dict[str, str]):
    """The plain form of each character, worked out once: no accents or format characters, ASCII digits, one kind of space."""

    def __missing__(self, char: str) -> str:
        kind = unicodedata.category(char)
        if kind in ("Cf", "Mn", "Me"):
            folded = ""
        elif kind == "Nd":
            folded = str(unicodedata.decimal(char))
        elif kind == "Zs" or (kind == "No" and "\u2044" in unicodedata.normalize("NFKD", char)):
            folded = " "  # a fraction such as ¼ would lend its digits to the number after it, and hide a card
        else:
            folded = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
        self[char] = folded
        return folded


_FOLDING = _Folding(_SPECIAL)


def fold(text: str) -> str:
    """Text without accents, format characters and foreign digits.

    >>> fold("Zoë Łukasz\u200b ４２")
    'Zoe Lukasz 42'
    """
    return text if text.isascii() else "".join(map(_FOLDING.__getitem__, text))


def plain(text: str) -> tuple[str, Places]:
    """The text as its reader sees it (folded, HTML entities and %40 decoded) and the place of each character in `text`.

    >>> plain("a&#64;b")
    ('a@b', [(0, 1), (1, 6), (6, 7)])
    """
    encoded = list(_ENTITY.finditer(text)) if "&" in text or "%40" in text else []
    if text.isascii() and not encoded and GONE not in text:
        return text, None
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    for shown, start, end in _pieces(text, encoded):
        folded = fold(shown) if shown != GONE else " "
        pieces.append(folded)
        places += [(start, end)] * len(folded)
    return "".join(pieces), places


def _pieces(text: str, encoded: list[re.Match[str]]):
    done = 0
    for match in encoded:
        yield from ((text[i], i, i + 1) for i in range(done, match.start()))
        yield "@" if match[0] == "%40" else html.unescape(match[0]).replace(GONE, " "), *match.span()
        done = match.end()
    yield from ((text[i], i, i + 1) for i in range(done, len(text)))


def in_the_original(found: list[tuple[int, int, str]], places: Places) -> list[tuple[int, int, str]]:
    """Spans of the plain text as spans of the original; two that share one of its characters (a ligature) become one."""
    if places is None:
        return found
    moved: list[tuple[int, int, str]] = []
    for start, end, kind in found:
        first, last = places[start][0], places[end - 1][1]
        if moved and first < moved[-1][1]:
            moved[-1] = (moved[-1][0], max(last, moved[-1][1]), moved[-1][2])
        else:
            moved.append((first, last, kind))
    return moved
