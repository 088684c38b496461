"""Ticket texts: a topic's wordings, shared phrases, typos, and personal data whose places are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from . import phrases
from .columns import TEXT, flat_pick, ids
from .plan import APPLICATIONS, KEYS, N_TOPICS
from .vocabulary import FAMILIES

MIXED = 0.45  # of the tickets with two sentences take the second from another wording of the topic
MISTAKEN = 0.04  # of the tickets are about another topic than the case (asked in passing, or filed under the wrong case)
ASIDE_TOPIC = 0.12  # mention another topic in passing
TYPO_SENTENCES, TYPO_SUBJECTS = 0.35, 0.20  # of the sentences and subject lines hold a typo
LOWER = 0.12  # of the customers' texts are in lower case
_NEAR = (
    "asqz bvgn cxvd dsfe ewrd fdgr gfht hgjy iuok jhku kjli lkop mnj nbmh oipl "
    "pol qwa retf sadw tryg uyij vcbf wqes xzcs ytuh zxa"
)
NEIGHBOURS = {keys[0]: keys[1:] for keys in _NEAR.split()}  # a letter and what lies beside it on the keyboard
KINDS = ("email", "phone", "card", "iban", "ip", "name")


def expand(template: str) -> list[str]:
    """All readings of a template.

    >>> expand("[my |]code is [late|lost]")
    ['my code is late', 'my code is lost', 'code is late', 'code is lost']
    """
    parts = [part.split("|") for part in re.split(r"[\[\]]", template)]
    return [" ".join("".join(choice).split()) for choice in product(*parts)]


class Bank:
    """Every reading of every template of a kind, and where those of (topic, family, template) begin."""

    def __init__(self, column: int):
        templates = [[[t.strip() for t in family[column].split(";")] for family in FAMILIES[key]] for key in KEYS]
        self.n_families, self.n_templates = 3, max(len(f) for topic in templates for f in topic)
        readings: list[str] = []
        self.start = np.zeros((N_TOPICS, self.n_families, self.n_templates), np.int64)
        self.size = np.zeros_like(self.start)
        for t, f, i in np.ndindex(self.start.shape):
            family = templates[t][f]
            these = expand(family[i % len(family)])
            self.start[t, f, i], self.size[t, f, i] = len(readings), len(these)
            readings += these
        self.readings = readings

    def draw(self, rng: np.random.Generator, topic: np.ndarray, family: np.ndarray, template: np.ndarray) -> np.ndarray:
        at = (topic, family, template)
        return self.start[at] + (rng.random(len(topic)) * self.size[at]).astype(np.int64)


SUBJECTS, SENTENCES = Bank(0), Bank(1)


def misspell(word: str, where: float, how: int) -> str:
    """One slip of the hand at a share `where` of the text: a neighbouring key, two letters swapped, one lost, or one doubled.

    >>> misspell("invoice", 0.3, 0), misspell("invoice", 0.3, 1), misspell("invoice", 0.3, 2), misspell("invoice", 0.3, 3)
    ('ihvoice', 'ivnoice', 'ivoice', 'innvoice')
    """
    at = int(where * (len(word) - 1))
    letter = word[at]
    if not letter.isalpha():
        return word
    if how == 0:
        near = NEIGHBOURS.get(letter.lower(), letter)
        return word[:at] + near[int(where * 997) % len(near)] + word[at + 1 :]
    middle = (word[at + 1] + letter, "", letter * 2)[how - 1]
    return word[:at] + middle + word[at + (2 if how == 1 else 1) :]


def luhn(digits: str) -> int:
    """The check digit of a card number (ISO/IEC 7812-1).

    >>> luhn("411111111111111")
    1
    """
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return -sum(d // 10 + d % 10 for d in doubled) % 10


def iban(account: int) -> str:
    """A German IBAN with valid check digits (ISO 13616).

    >>> iban(370400440532013000)
    'DE89 3704 0044 0532 0130 00'
    """
    check = 98 - int(f"{account:018d}131400") % 97
    whole = f"DE{check:02d}{account:018d}"
    return " ".join(whole[i : i + 4] for i in range(0, 22, 4))


def _detail(kind: str, number: int, how: int, user: tuple[str, str, str]) -> str:
    """A personal detail of a user (name, e-mail, phone)."""
    if kind == "name":
        return user[0]
    if kind == "email":
        return user[1]
    if kind == "phone":
        return (user[2], user[2], user[2].replace(" ", "-"), user[2].replace(" ", ""))[how]
    if kind == "card":
        body = ("411111", "555555", "401288", "510510")[how] + f"{number % 10**9:09d}"
        whole = body + str(luhn(body))
        return whole if how == 3 else " ".join(whole[i : i + 4] for i in range(0, 16, 4))
    if kind == "iban":
        return iban(number) if how < 3 else iban(number).replace(" ", "")
    return ("192.0.2.", "198.51.100.", "203.0.113.", "192.0.2.")[how] + str(1 + number % 254)


def _take(readings: Iterable[str], index: np.ndarray) -> pa.Array:
    """The readings at `index`; empty where it is below 0."""
    codes = np.where(index < 0, 0, index + 1)
    return pa.array(["", *readings], pa.large_string()).take(pa.array(codes))


def _slips(rng: np.random.Generator, pieces: pa.Array, share: float) -> pa.Array:
    """Typos in a share of the pieces."""
    n = len(pieces)
    rows = np.flatnonzero(rng.random(n) < share)
    where, how = rng.random(len(rows)), rng.integers(0, 4, len(rows))
    slipped = [
        misspell(s, w, h) if len(s) > 3 else s
        for s, w, h in zip(pieces.take(pa.array(rows)).to_pylist(), where, how, strict=True)
    ]
    mask = np.zeros(n, bool)
    mask[rows] = True
    return pc.replace_with_mask(pieces, pa.array(mask), pa.array(slipped, pa.large_string()))


def _upper_first(pieces: pa.Array) -> pa.Array:
    return _join(pc.utf8_upper(pc.utf8_slice_codeunits(pieces, 0, 1)), pc.utf8_slice_codeunits(pieces, 1))


def _join(*pieces: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, pa.scalar("", pa.large_string()))


def _maybe(rng: np.random.Generator, readings: tuple[str, ...], n: int, share: float) -> np.ndarray:
    return np.where(rng.random(n) < share, rng.integers(0, len(readings), n), -1)


def write(
    rng: np.random.Generator, topic: np.ndarray, application: np.ndarray, users: pd.DataFrame
) -> tuple[dict[str, pd.Series], pd.DataFrame]:
    """Subject and text of each ticket, and the places of the personal data in them.

    Parameters
    ----------
    topic, application : codes, one per ticket
    users : name, email and phone of the writer, one row per ticket

    Returns
    -------
    words : short_description and description
    personal : one row per personal detail: ticket_id, column, start, end (characters), kind, value
    """
    n = len(topic)
    said = np.where(rng.random(n) < MISTAKEN, rng.integers(0, N_TOPICS, n), topic)
    family = rng.integers(0, 3, n)
    other = np.where(rng.random(n) < MIXED, (family + 1 + rng.integers(0, 2, n)) % 3, family)
    template = rng.integers(0, 4, n)
    second = (template + 1 + rng.integers(0, 3, n)) % 4
    third = np.array([[(a + 1) % 4 if (a + 1) % 4 != b else (a + 2) % 4 for b in range(4)] for a in range(4)])[template, second]
    elsewhere = np.where(rng.random(n) < ASIDE_TOPIC, rng.integers(0, N_TOPICS, n), said)

    first_sentence = SENTENCES.draw(rng, said, family, template)
    second_sentence = np.where(rng.random(n) < 0.75, SENTENCES.draw(rng, said, other, second), -1)
    third_sentence = np.where(
        (second_sentence >= 0) & (rng.random(n) < 0.35), SENTENCES.draw(rng, elsewhere, family, third), -1
    )
    named = np.where(rng.random(n) < 0.8, application, rng.integers(0, len(APPLICATIONS), n))
    openings = [opening.format(app=app) for app, _, _ in APPLICATIONS for opening in phrases.OPENINGS]
    opening = _maybe(rng, phrases.OPENINGS, n, 0.5)
    opening = np.where(opening >= 0, opening + named * len(phrases.OPENINGS), -1)

    low = pa.array(rng.random(n) < LOWER)

    def part(readings: Iterable[str], index: np.ndarray, typos: float = 0.0, end: str = " ") -> pa.Array:
        pieces = _take(readings, index)
        pieces = _slips(rng, pieces, typos) if typos else pieces
        pieces = pc.if_else(low, pc.utf8_lower(pieces), pieces)
        return _join(pieces, _take([end], np.where(index >= 0, 0, -1)))

    sentences = [f"{reading}." for reading in SENTENCES.readings]
    greeting = flat_pick(rng, np.ones(len(phrases.GREETINGS)), n)
    before = _join(
        part(phrases.GREETINGS, np.where(greeting < 9, greeting, -1), end="\n"),
        part(openings, opening, 0.1),
        part(sentences, first_sentence, TYPO_SENTENCES),
        part(phrases.CONTEXT, _maybe(rng, phrases.CONTEXT, n, 0.5), 0.15),
        part(sentences, second_sentence, TYPO_SENTENCES),
        part(phrases.CONTEXT, _maybe(rng, phrases.CONTEXT, n, 0.15), 0.15),
        part(sentences, third_sentence, TYPO_SENTENCES),
        part(phrases.ASIDES, _maybe(rng, phrases.ASIDES, n, 0.12)),
    )
    after = _join(
        part(phrases.URGENT, _maybe(rng, phrases.URGENT, n, 0.35)),
        part(phrases.CLOSINGS, np.where((closing := rng.integers(0, len(phrases.CLOSINGS), n)) < 8, closing, -1), end="\n"),
    )
    details, personal = _details(rng, n, users)
    signature, signed = _signatures(rng, n, users)
    head, tail = _lengths(before), _lengths(_join(before, details, after))
    description = _join(before, details, after, signature)
    subject = _slips(rng, _take(SUBJECTS.readings, SUBJECTS.draw(rng, said, family, rng.integers(0, 3, n))), TYPO_SUBJECTS)
    subject = pc.if_else(pa.array(rng.random(n) < 0.75), _upper_first(subject), subject)

    personal["start"] += head[personal["ticket"]]
    signed["start"] += tail[signed["ticket"]]
    spans = pd.concat([personal, signed], ignore_index=True).sort_values(["ticket", "start"], kind="stable", ignore_index=True)
    words = {
        "short_description": pd.Series(subject, dtype=TEXT),
        "description": pd.Series(pc.utf8_rtrim_whitespace(description), dtype=TEXT),
    }
    return words, _span_table(spans)


def _lengths(pieces: pa.Array) -> np.ndarray:
    return pc.utf8_length(pieces).to_numpy()


def _span_table(spans: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ticket_id": ids("T", spans["ticket"].to_numpy() + 1),
            "column": pd.Series(["description"] * len(spans), dtype=TEXT),
            "start": spans["start"],
            "end": spans["start"] + spans["value"].str.len(),
            "kind": spans["kind"].astype(TEXT),
            "value": spans["value"].astype(TEXT),
        }
    )


def _details(rng: np.random.Generator, n: int, users: pd.DataFrame) -> tuple[pa.Array, pd.DataFrame]:
    """A sentence with a personal detail for about a fifth of the tickets, and where the detail stands in it."""
    rows = np.flatnonzero(rng.random(n) < 0.22)
    kinds = flat_pick(rng, [0.25, 0.3, 0.12, 0.1, 0.08, 0.15], len(rows))
    number, how = rng.integers(10**16, 10**17, len(rows)), rng.integers(0, 4, len(rows))
    owners = zip(*(users[c].iloc[rows] for c in ("name", "email", "phone")), strict=True)
    sentences, found = np.full(n, "", object), []
    for row, kind, k, h, owner in zip(rows.tolist(), kinds.tolist(), number.tolist(), how.tolist(), owners, strict=True):
        name = KINDS[kind]
        value = _detail(name, k, h, owner)
        template = phrases.DETAILS[name][k % len(phrases.DETAILS[name])]
        sentences[row] = template.format(value) + " "
        found.append((row, template.index("{}"), name, value))
    return pa.array(sentences, pa.large_string()), pd.DataFrame(found, columns=["ticket", "start", "kind", "value"])


def _signatures(rng: np.random.Generator, n: int, users: pd.DataFrame) -> tuple[pa.Array, pd.DataFrame]:
    """Full name, given name or nothing at the end."""
    full, given = users["name"].to_numpy(object), users["name"].str.split(" ").str[0].to_numpy(object)
    u = rng.random(n)
    names = np.where(u < 0.4, full, np.where(u < 0.6, given, ""))
    rows = np.flatnonzero(u < 0.6)
    return pa.array(names, pa.large_string()), pd.DataFrame({"ticket": rows, "start": 0, "kind": "name", "value": names[rows]})
