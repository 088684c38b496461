"""One way for a value from data into Markdown or HTML."""

from __future__ import annotations

import string

import pandas as pd

_HARMLESS = " ,%?"
_ESCAPES: dict[int, str | None] = dict.fromkeys((*range(32), *range(127, 160), 0x200B, 0x200E, 0x200F, 0xFEFF))
_ESCAPES |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2060, 0x2070)))  # direction marks and invisible operators
_ESCAPES |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_ESCAPES |= {ord(mark): f"&#{ord(mark)};" for mark in string.punctuation if mark not in _HARMLESS}
_ESCAPES[ord("$")] = "<span>&#36;</span>"


def escape(value: object) -> str:
    """How does a value from data enter Markdown or HTML so that its text is shown as text?

    Every punctuation mark that means something in Markdown, HTML or an attribute becomes a numeric entity (a dollar sign stands
    in a `span` as well, which keeps MathJax from reading it); white space and line breaks become one space; control, direction
    and half characters go; a missing value is the empty text. For running text and table cells, not for code spans, which show
    entities as they are. Escaping twice shows entities.

    >>> escape("<b>1|2</b>")
    '&#60;b&#62;1&#124;2&#60;&#47;b&#62;'
    >>> escape(None), escape(12)
    ('', '12')
    """
    if value is None or (not isinstance(value, str) and pd.isna(value) is True):  # type: ignore[call-overload]
        return ""
    return " ".join(str(value).split()).translate(_ESCAPES)
