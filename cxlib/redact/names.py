"""The names of the data set's own users and agents, and where they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from cxlib.redact.common_words import COMMON_WORDS, NEVER_ALONE
from cxlib.redact.plain import fold

Word = tuple[int, int, str]  # start, end, lower case


@dataclass(frozen=True)
class Gazetteer:
    """Names, e-mails and phones of users and agents, folded for lookup (see `gazetteer`)."""

    full: frozenset[tuple[str, ...]] = frozenset()  # whole names, word by word, in the orders people write them
    parts: frozenset[str] = frozenset()  # words of names that are no common words
    doubtful: frozenset[str] = frozenset()  # words of names that count only when capitalised: short ones, and such as "will"
    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()  # the last nine digits
    words: frozenset[str] = frozenset()  # every word that can begin a match: a text without any is done at once
    longest: int = 0  # words in the longest name


NOBODY = Gazetteer()


def gazetteer(tables: Mapping[str, pd.DataFrame]) -> Gazetteer:
    """Whose names, e-mails and phones must not be shown?

    Reads `name`, `email` and `phone` of the tables `users` and `agents`, if there. A name is known whole, in both orders,
    with an initial and glued together, and by its parts; parts that are short or common words only when written as a name.

    >>> from cxlib.redact import redact
    >>> known = gazetteer({"users": pd.DataFrame({"name": ["Jane Doe", "Will May"]})})
    >>> redact("jane will tell what may be; ask Will or DOE, J.", known)
    '[name] will tell what may be; ask [name] or [name].'
    """
    people = [tables[table] for table in ("users", "agents") if table in tables]
    names = [words for name in _column(people, "name") for words in _spellings(name)]
    full = frozenset(variant for words in names if len(words) > 1 for variant in _variants(words))
    single = {form for words in names for word in words for form in (word, word.replace("'", ""))} - NEVER_ALONE
    doubtful = frozenset(word for word in single if len(word) == 2 or word in COMMON_WORDS)
    glued = {"".join(words) for words in names} | {login for table in people for login in _logins(table)}
    parts = frozenset(word for word in single | glued if len(word) > 2) - COMMON_WORDS - NEVER_ALONE
    digits = ("".join(filter(str.isdigit, fold(phone))) for phone in _column(people, "phone"))
    return Gazetteer(
        full=full,
        parts=parts,
        doubtful=doubtful,
        emails=frozenset(re.sub(r"\s", "", fold(email)).lower() for email in _column(people, "email")),
        phones=frozenset(number[-9:] for number in digits if len(number) >= 7),
        words=parts | doubtful | {name[0] for name in full},
        longest=max(map(len, full), default=0),
    )


def _column(people: list[pd.DataFrame], name: str) -> Iterator[str]:
    for table in people:
        if name in table:
            yield from map(str, table[name].dropna().unique())


def _spellings(name: str) -> set[tuple[str, ...]]:
    """The words of a name, with umlauts dropped and spelled out.

    >>> sorted(_spellings("Zoë Müller"))
    [('zoe', 'mueller'), ('zoe', 'muller')]
    """
    return {words for form in (name, name.translate(_UMLAUTS)) if (words := tuple(_WORD.findall(fold(form).lower())))}


def _logins(table: pd.DataFrame) -> Iterator[str]:
    """First parts of e-mail addresses that hold a word of the person's own name: jdoe for jdoe@example.com, but not billing."""
    if {"name", "email"} <= set(table):
        for name, email in table[["name", "email"]].dropna().itertuples(index=False):
            login = re.sub(r"@.*|\W|\d", "", fold(str(email)).lower())
            if any(len(word) > 2 and word in login for words in _spellings(str(name)) for word in words):
                yield login


def _variants(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    first, last = words[0], words[-1]
    yield from (words, (last, *words[:-1]), (first, last), (last, first), (first[0], last), (last, first[0]))


_WORD = re.compile(r"[^\W\d_]+(?:'(?!s\b)[^\W\d_]+)*")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_TOUCHING = re.compile(r"[ \t]*[,._-]?[ \t]*\n?")
_NEW_SENTENCE = re.compile(r"[.!?:;\n\0][\s\"'(*>-]*$")


def names(text: str, known: Gazetteer) -> Iterator[tuple[int, int]]:
    """Whole names as one span, else their parts."""
    low = text.lower()
    if known.words.isdisjoint(_WORD.findall(low)):
        return
    words = [(match.start(), match.end(), match[0]) for match in _WORD.finditer(low)]
    i = 0
    while i < len(words):
        n = _words_of_name(text, words, i, known) if words[i][2] in known.words else 0
        if n:
            yield words[i][0], words[i + n - 1][1]
        i += max(n, 1)


def _words_of_name(text: str, words: list[Word], i: int, known: Gazetteer) -> int:
    """How many words from the i-th on are a name? A whole name of common words only (Will May) must be capitalised."""
    for n in range(min(known.longest, len(words) - i), 1, -1):
        name = tuple(word for _, _, word in words[i : i + n])
        touching = name in known.full and all(_touch(text, words[j], words[j + 1]) for j in range(i, i + n - 1))
        if touching and (not known.parts.isdisjoint(name) or all(text[start].isupper() for start, _, _ in words[i : i + n])):
            return n
    return int(_is_part(text, words, i, known))


def _touch(text: str, one: Word, other: Word) -> bool:
    """Only spaces, a comma, a hyphen or the dot of an initial stand between the parts of one name."""
    between = _TOUCHING.fullmatch(text, one[1], other[0])
    return bool(between and between[0] and ("." not in between[0] or len(one[2]) == 1))


def _is_part(text: str, words: list[Word], i: int, known: Gazetteer) -> bool:
    """Is the i-th word part of a name? A doubtful one must be capitalised, and do more than begin a sentence."""
    start, end, word = words[i]
    if word not in known.doubtful:
        return word in known.parts
    if not (text[start].isupper() and text[start + 1 : end].islower()):
        return False
    begins = i == 0 or bool(_NEW_SENTENCE.search(text[words[i - 1][1] : start]))
    following = text[slice(*words[i + 1][:2])] if i + 1 < len(words) and text[end : words[i + 1][0]] == " " else ""
    goes_on = following[:1].islower() or following == "I"
    return not (begins and goes_on)
