"""What has a shape of its own: e-mails, IBANs, cards, IP addresses and phone numbers, found by pattern and check digit.

Each finder gets the plain text (what is found already is blanked by NUL) and the gazetteer; it gives (start, end) of each find.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable, Iterator

from cxlib.redact.names import Gazetteer
from cxlib.redact.plain import GONE

Found = Iterator[tuple[int, int]]
Groups = list[tuple[int, str]]  # digit groups: place and digits

_LOCAL = r"\w.!#$%&'*+/=?^`{|}~-"
_DOMAIN = r"(?:[\w-]++\.)*[^\W\d_][\w-]*+"
_EMAIL = re.compile(rf'(?:(?<![{_LOCAL}])([{_LOCAL}]++)|"[^"@\n\0]{{1,64}}+")@(?:{_DOMAIN}|\[[\w:.]++\])')
_APART = re.compile(r"(?<![\w.+-])[\w+-]++(?: ?\. ?[\w+-]++){0,4} ?@ ?[\w-]++(?: ?\. ?[\w-]++){1,4}")
_NEARLY = re.compile(r"(?<![\w.+-])[\w.+-]*\w ?@ ?(?:[\w-]++\.)+[a-z]{2,24}\b")
_AT = r"(?: ?[\[({] ?(?:at|@) ?[\])}] ?)"
_DOT = r"(?: ?[\[({] ?(?:dot|\.) ?[\])}] ?)"
_SPOKEN = re.compile(
    rf"(?<![\w.+-])[\w+-]++(?:(?:\.| dot |{_DOT})[\w+-]++){{0,3}}"
    rf"(?:{_AT}[\w-]++(?:(?:{_DOT}|\.| dot )[\w-]++)+| at [\w-]++(?:(?: dot |{_DOT})[\w-]++)+)",
    re.IGNORECASE,
)


def emails(text: str, known: Gazetteer) -> Found:
    """Addresses as written: `jane.doe+x@mail.example.com`, `root@host`, `"jane doe"@example.com`."""
    for match in _EMAIL.finditer(text) if "@" in text else ():
        quotes = len(match[1]) - len(match[1].lstrip(string.punctuation)) if match[1] else 0
        yield match.start() + (quotes if match[1] and quotes < len(match[1]) else 0), match.end()


def emails_apart(text: str, known: Gazetteer) -> Found:
    """Addresses with spaces in them: any round the @, and those of the gazetteer with spaces anywhere."""
    if "@" not in text:
        return
    for match in _APART.finditer(text):
        for end in sorted((match.start() + dot.start() for dot in re.finditer(r" ?\.|$", match[0])), reverse=True):
            if text[match.start() : end].replace(" ", "").lower() in known.emails:
                yield match.start(), end
                break
    yield from (match.span() for match in _NEARLY.finditer(text))


def emails_spoken(text: str, known: Gazetteer) -> Found:
    """`jane at example dot com`, `jane [at] example.com`; not `look at example.com`."""
    if " at " in text or " AT " in text or "[" in text or "(" in text or "{" in text:
        yield from (match.span() for match in _SPOKEN.finditer(text))


_IBAN_LENGTH = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ -]?\d[ -]?\d")
_IBAN_BODY = re.compile(r"[A-Za-z]{2}[ -]?\d{1}(?:[ -]?[A-Za-z0-9]){12,34}")


def ibans(text: str, known: Gazetteer) -> Found:
    """Account numbers of the length their country has and with a right check sum (ISO 13616, mod 97 = 1), in groups or not."""
    for begin in _IBAN_START.finditer(text):
        length = _IBAN_LENGTH.get(begin[0][:2].upper(), 99)
        match = _IBAN_BODY.match(text, begin.start()) if length < 99 else None
        places = [i for i in range(*match.span()) if text[i].isalnum()] if match else []
        if len(places) >= length and not text[places[length - 1] + 1 : places[length - 1] + 2].isalnum():
            code = "".join(text[i] for i in places[:length])
            if int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1:
                yield places[0], places[length - 1] + 1


_DIGITS = re.compile(r"\d+")
_DIGIT_RUN = re.compile(r"\d++(?:[\s().-]{1,2}\d++)*")


def _stretches(run: re.Match[str], longest: int) -> Iterator[tuple[int, Groups]]:
    """Stretches of whole digit groups of up to `longest` digits, by first group, longest first; none breaks at - or dot."""
    text, groups = run.string, [(group.start(), group[0]) for group in _DIGITS.finditer(run.string, *run.span())]
    for first in range(len(groups)):
        if first and text[groups[first][0] - 1] in "-.":
            continue
        lasts, size = [], 0
        for last in range(first, len(groups)):
            size += len(groups[last][1])
            if size > longest:
                break
            if last + 1 == len(groups) or text[groups[last][0] + len(groups[last][1])] not in "-.":
                lasts.append(last + 1)
        yield from ((first, groups[first:last]) for last in reversed(lasts))


def _pick(run: re.Match[str], longest: int, wanted: Callable[[Groups], bool]) -> Found:
    done = 0
    for first, groups in _stretches(run, longest):
        if first >= done and wanted(groups):
            done = first + len(groups)
            yield groups[0][0], groups[-1][0] + len(groups[-1][1])


def _luhn(digits: str) -> bool:
    """
    >>> _luhn("4111111111111111"), _luhn("4111111111111112")
    (True, False)
    """
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 * (d > 9) for d in doubled)) % 10 == 0


def _is_card(groups: Groups) -> bool:
    digits = "".join(group for _, group in groups)
    return 13 <= len(digits) <= 19 and digits[0] not in "01" and _luhn(digits)  # with a leading 1 it is a time in milliseconds


def cards(text: str, known: Gazetteer) -> Found:
    """Card numbers: 13 to 19 digits, in groups or not, with a right check digit (Luhn, ISO/IEC 7812-1)."""
    for run in _DIGIT_RUN.finditer(text):
        if run.end() - run.start() >= 13:
            yield from _pick(run, 19, _is_card)


_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w.])(?:[0-9A-Fa-f]{0,4}:){2,8}[0-9A-Fa-f.]*(?!\w)")
_VERSION = re.compile(r"(?:\bv|version|build|release|firmware|driver|update)[ .:]{0,2}$", re.IGNORECASE)


def ips_v4(text: str, known: Gazetteer) -> Found:
    """IPv4 addresses; `version 10.0.1.4` is none."""
    for match in _IPV4.finditer(text):
        version = _VERSION.search(text, max(0, match.start() - 12), match.start())
        if not version and all(int(part) < 256 for part in match[0].split(".")):
            yield match.span()


def ips_v6(text: str, known: Gazetteer) -> Found:
    """IPv6 addresses, short or long; `10:15:30` and `std::vector` are none."""
    for match in _IPV6.finditer(text) if text.count(":") > 1 else ():
        ends = (len(match[0].rstrip(".")), len(match[0].rstrip(".:")))
        yield from ((match.start(), match.start() + end) for end in ends if _is_ipv6(match[0][:end]))


def _is_ipv6(address: str) -> bool:
    """
    >>> [_is_ipv6(text) for text in ("2001:db8::1", "10:15:30", "a::b", "::")]
    [True, False, False, False]
    """
    if address.count(":") < 4 and not any(map(str.isdigit, address)):
        return False
    try:
        return bool(ipaddress.IPv6Address(address))
    except ValueError:
        return False


_NO_PHONE = re.compile(
    r"""(?<![\d./-])(?:
      (?:19|20)\d\d([-./])(?:0?[1-9]|1[0-2])\1(?:[12]\d|3[01]|0?[1-9])(?:[T ]+\d{1,2}:\d\d(?::\d\d)?)?  # 2024-01-15 10:30
    | (?:[12]\d|3[01]|0?[1-9])([-./])(?:[12]\d|3[01]|0?[1-9])\2(?:19|20)?\d\d(?:,?[ ]\d{1,2}:\d\d)?      # 15.01.24, 1/15/2024
    | \d{1,2}:\d\d(?::\d\d)?                                                                           # 10:30
    | (?:19|20)\d\d[ ]?-[ ]?(?:19|20)\d\d                                                                # 2023-2024
    | \d+(?:\.\d+){5,} | \d{1,3}(?:,\d{3})+(?:\.\d+)?                                                    # a version; 1,234,567
    )(?![\d/]|[.-]\d)""",
    re.VERBOSE,
)
_PHONE_RUN = re.compile(
    r"(?<![\w#$€£&])(?<![^\W_][-/.])(?P<lead>\( ?\+ ?|\+ ?\(?|\()?\d++(?:[ \t()./-]{1,3}\d++)*(?![^\W_]|[-/:]\w|[.,]\d|%)"
)
_SEVEN_DIGITS = re.compile(r"\d(?:[ \t()./-]{0,3}\d){6}")
_CUE = re.compile(
    r"""\b(?:(?P<call>tel|telephone|telefon|phones?|mobile|mob|cell|cellphone|handy|fax|whatsapp|call|called|calling|callback|ring|text
    |sms|dial|reach|reached|contact|hotline|ph|landline|line)
    |orders?|tickets?|case|invoice|ref|reference|ids?|no|nr|number|serial|tracking|account|acct|po|sku|version|build|error|code|article
    |request|incident|transaction|contract|customer|policy|licen[cs]e|part|model|isbn|ean|imei|amount|total|key|port|room|kb|asset
    |device|batch)(?:[ ]?(?:number|num|no|nr|id|me|us|him|her|back|is|on|at|to|under|was|via|or|and)\b)*[ .:=(-]*$""",
    re.IGNORECASE | re.VERBOSE,
)
_EXTENSION = re.compile(r"[ ,]{0,2}(?:x|ext|extension)[. ]{0,2}\d{1,6}(?![\d\w]|[-.]\d)", re.IGNORECASE)


def phones(text: str, known: Gazetteer) -> Found:
    """Phone numbers in international and national ways of writing; not dates, versions, or numbers of orders and tickets."""
    if not _SEVEN_DIGITS.search(text):
        return
    text = _NO_PHONE.sub(lambda match: GONE * len(match[0]), text)
    for run in _PHONE_RUN.finditer(text):
        if run.end() - run.start() < 7:
            continue
        cue = _CUE.search(text, max(0, run.start() - 40), run.start())
        first = run.end("lead") if run["lead"] else run.start()

        def wanted(groups: Groups, run=run, cue=cue, first=first) -> bool:
            begins = groups[0][0] == first
            plus = begins and "+" in (run["lead"] or "")
            return _is_phone(
                [group for _, group in groups], plus, bool(cue and cue["call"]), bool(cue and not cue["call"]), known
            )

        for start, end in _pick(run, 17, wanted):
            more = _EXTENSION.match(text, end)
            yield run.start() if start == first else start, more.end() if more else end


def _is_phone(groups: list[str], plus: bool, called: bool, numbered: bool, known: Gazetteer) -> bool:
    """Are these digit groups a phone number? `called`, `numbered`: the words before speak of a call, or of an order or ticket.

    >>> known = Gazetteer()
    >>> [_is_phone(n.split(), False, False, False, known) for n in ("415 555 2671", "020 7946 0958", "12345 67", "1 234 567")]
    [True, True, False, False]
    """
    digits, shape = "".join(groups), [len(group) for group in groups]
    if 7 <= len(digits) <= 17 and digits[-9:] in known.phones:
        return True
    if plus:
        return 7 <= len(digits) <= 15
    if numbered or not 7 <= len(digits) <= 17:
        return False
    if digits.startswith("00"):
        return len(digits.lstrip("0")) >= 8
    if digits.startswith("0"):
        return 9 <= len(digits) <= 12
    american = re.fullmatch(r"1?[2-9]\d\d[2-9]\d{6}", digits) and (shape[-2:] == [3, 4] or shape in ([3, 7], [1, 3, 7]))
    indian = shape == [5, 5] and digits[0] in "6789"
    return bool(american or indian or (called and len(digits) <= 15) or (shape == [3, 4] and groups[0] == "555"))
