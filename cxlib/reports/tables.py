"""How does a table of pandas become one that people and screen readers read well? (It has passed `html.clean` before.)"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TABLE = re.compile(r"<table>(.*?)</table>", re.DOTALL)
_ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
_CELL = re.compile(r"<(t[hd])((?: [^>]*)?)>(.*?)</\1>", re.DOTALL)
_NUMBER = re.compile(r"[-+−]?\d[\d,.\s]*(e[-+]?\d+)?\s*%?|[-–—]|", re.IGNORECASE)
_MISSING = re.compile(r"nan|none|nat|&lt;na&gt;", re.IGNORECASE)

Cell = tuple[str, str, str]  # tag, attributes, what it holds


def readable(markup: str) -> str:
    """The same HTML, each table with one head row, `scope` on its heads and its numbers marked.

    A head of two rows (pandas writes the names of the index below those of the columns) becomes one, an index that only
    numbers the rows goes, a missing number becomes a dash, and a table without a row says so.

    >>> head = "<thead><tr><th></th><th>n</th></tr></thead>"
    >>> print(readable(f"<table>{head}<tbody><tr><th>0</th><td>12</td></tr></tbody></table>"))
    <div class="scroll" role="group" aria-label="Table" tabindex="0"><table><thead><tr><th scope="col" class="number">n</th>\
</tr></thead><tbody><tr><td class="number">12</td></tr></tbody></table></div>
    """
    return _TABLE.sub(lambda table: _rebuilt(table[1]), markup)


def count_rows(markup: str) -> int:
    """How many rows with values do the tables hold?"""
    return sum("<td" in row for row in _ROW.findall(markup))


def _rebuilt(inner: str) -> str:
    head, _, body = inner.rpartition("</thead>")
    caption = re.match(r"\s*<caption>.*?</caption>", head or body, re.DOTALL)
    heads, rows = ([_CELL.findall(row) for row in _ROW.findall(part)] for part in (head, body))
    if len(heads) == 2 and heads[1] and not heads[1][-1][2]:
        heads = [[(tag, rest, text or low) for (tag, rest, text), (_, _, low) in zip(*heads, strict=False)]]
    if not rows:
        return "<p>No rows.</p>"
    if _is_only_numbered(heads, rows):
        heads, rows = [row[1:] for row in heads], [row[1:] for row in rows]
    wide = max(len(row) for row in rows)
    numeric = {k for k in range(1, wide + 1) if _is_numeric([row[-k][2].strip() for row in rows if len(row) >= k])}
    made = "".join(
        f"<{tag}>{''.join(lines)}</{tag}>"
        for tag, lines in (
            ("thead", [_row(row, numeric, "col") for row in heads]),
            ("tbody", [_row(row, numeric, "row") for row in rows]),
        )
        if lines
    )
    table = f"<table>{caption[0] if caption else ''}{made}</table>"
    return f'<div class="scroll" role="group" aria-label="Table" tabindex="0">{table}</div>'


def _is_only_numbered(heads: Sequence[Sequence[Cell]], rows: Sequence[Sequence[Cell]]) -> bool:
    """Is the first column an index without a name that runs 0, 1, 2, ...?"""
    first = [row[0] for row in rows if row]
    unnamed = len(heads) == 1 and bool(heads[0]) and not heads[0][0][2].strip()
    return unnamed and [cell[::2] for cell in first] == [("th", str(k)) for k in range(len(first))]


def _is_numeric(texts: Sequence[str]) -> bool:
    return any(re.search(r"\d", text) for text in texts) and all(
        _NUMBER.fullmatch(text) or _MISSING.fullmatch(text) for text in texts
    )


def _row(cells: Sequence[Cell], numeric: set[int], scope: str) -> str:
    """One row; columns are counted from the right, because pandas leaves out repeated cells of an index on the left."""
    made = []
    for k, (tag, rest, text) in zip(range(len(cells), 0, -1), cells, strict=True):
        extra = (f' scope="{scope}"' if tag == "th" else "") + (' class="number"' if k in numeric else "")
        shown = "–" if k in numeric and _MISSING.fullmatch(text.strip()) else text
        made.append(f"<{tag}{rest}{extra}>{shown}</{tag}>")
    return f"<tr>{''.join(made)}</tr>"
