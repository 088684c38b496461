"""Personal data out of text, and text from data made safe to show.

`redact` finds what has a shape of its own (e-mails, card numbers, IBANs, IP addresses, phone numbers) by pattern and check
digit, and names by the data set's own users and agents: no pattern finds a name (recall .14), a list of those concerned does.
`escape` is the one way by which a value from data enters Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cxlib.redact.escaping import escape
from cxlib.redact.names import NOBODY, Gazetteer, gazetteer, names
from cxlib.redact.patterns import cards, emails, emails_apart, emails_spoken, ibans, ips_v4, ips_v6, phones
from cxlib.redact.plain import GONE, in_the_original, plain

__all__ = ["KINDS", "Gazetteer", "escape", "gazetteer", "redact", "redact_many", "spans"]

KINDS = ("e-mail", "phone", "card", "IP", "IBAN", "name")
_TOKEN = re.compile(rf"\[(?:{'|'.join(KINDS)})\]")
_FINDERS = (  # kind, finder, and how many digits a text must have for a look to be worth while
    ("e-mail", emails, 0), ("e-mail", emails_apart, 0), ("e-mail", emails_spoken, 0), ("IBAN", ibans, 8), ("card", cards, 13),
    ("IP", ips_v6, 0), ("IP", ips_v4, 4), ("phone", phones, 7), ("name", names, 0),
)  # fmt: skip


def redact(text: str, gazetteer: Gazetteer | None = None) -> str:
    """What does the text say, without the personal data in it?

    Each span is replaced by `[e-mail]`, `[phone]`, `[card]`, `[IP]`, `[IBAN]` or `[name]`; all else stays as it is, and
    redacting again changes nothing. Zero-width characters, full-width digits, HTML entities and accents hide nothing. A name is
    found only if it is in the gazetteer; a common word (Will, May, Mark) counts as a name when it is capitalised and does not
    merely begin a sentence. Dates, and numbers that follow words such as order, ticket or version, are not taken for phones.

    >>> redact("Call +49 171 2345678 or mail jane@example.com, card 4111 1111 1111 1111, order 4155552671")
    'Call [phone] or mail [e-mail], card [card], order 4155552671'
    """
    pieces, done = [], 0
    for start, end, kind in spans(text, gazetteer):
        pieces += [text[done:start], f"[{kind}]"]
        done = end
    return "".join(pieces) + text[done:]


def redact_many(texts: Iterable[object], gazetteer: Gazetteer | None = None) -> list[str]:
    """The same for many texts; missing ones become empty.

    >>> redact_many(["at 10.1.2.3", None])
    ['at [IP]', '']
    """
    return [redact(text, gazetteer) if isinstance(text, str) else "" for text in texts]


def spans(text: str, gazetteer: Gazetteer | None = None) -> list[tuple[int, int, str]]:
    """Where is personal data? As (start, end, kind), in order and without overlap.

    >>> spans("mail jane@example.com now")
    [(5, 21, 'e-mail')]
    """
    seen, places = plain(text)
    left = _TOKEN.sub(lambda token: GONE * len(token[0]), seen)
    found: list[tuple[int, int, str]] = []
    while True:  # what was found is blanked, as redaction will; a further look rarely finds anything in what is left
        fresh = []
        digits = sum(map(left.count, "0123456789"))
        for kind, finder, needed in _FINDERS:
            for start, end in finder(left, gazetteer or NOBODY) if digits >= needed else ():
                if GONE not in left[start:end]:
                    fresh.append((start, end, kind))
                    left = f"{left[:start]}{GONE * (end - start)}{left[end:]}"
        if not fresh:
            return in_the_original(sorted(found), places)
        found += fresh
