"""How does an executed notebook become HTML that is safe and easy to read? Cells and outputs; `pages` puts them on a page.

Whatever comes from a cell or an output passes one allow-list (nh3) after it has been rendered: no script, no style, no event
handler, no address that a browser would fetch. Raw HTML in Markdown that is not on the list stays readable, as text. A kernel's
outputs are trusted less than an author's cells: only cells may link to other sites.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mistune
import nh3

from cxlib.reports import tables

METRICS = "application/vnd.cxlib.metrics+json"
SHORT = {"headline", "watch-out"}  # tags of the cells that say it in short

_RAW = {  # what raw HTML in Markdown may hold; links and images come as Markdown
    *("p", "br", "hr", "b", "i", "em", "strong", "s", "del", "small", "sub", "sup", "abbr", "code", "pre", "kbd", "mark"),
    *("blockquote", "q", "cite", "span", "div", "time", "ul", "ol", "li", "dl", "dt", "dd", "details", "summary"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "details": {"open"},
    "img": {"src", "alt"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "time": {"datetime"},
}
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+")
_NEIGHBOUR = re.compile(r"#[\w.-]*|[\w][\w.-]*\.(html|ipynb)(#[\w.-]*)?")
_SITE = re.compile(r"https?://[^\s]+|mailto:[^\s]+")


class Figure(NamedTuple):
    """One picture of a notebook, as a data address, and the sentence that says what it shows."""

    src: str
    alt: str

    @property
    def html(self) -> str:
        return f'<figure><img src="{html.escape(self.src)}" alt="{html.escape(self.alt)}"></figure>'


def clean(markup: str, sites: bool = False) -> str:
    """The markup with nothing left in it that runs, loads or styles; `sites` keeps links to other sites.

    >>> clean('<p onclick="x()">a <script>alert(1)</script><a href="javascript:x()">b</a></p>')
    '<p>a <a rel="noopener noreferrer">b</a></p>'
    """

    def address(tag: str, name: str, value: str) -> str | None:
        if name == "src":
            return value if _PICTURE.fullmatch(value) else None
        if name == "href":
            if _NEIGHBOUR.fullmatch(value):
                return re.sub(r"\.ipynb(?=#|$)", ".html", value)
            return value if sites and _SITE.fullmatch(value) else None
        return value

    return nh3.clean(
        markup,
        tags={*_RAW, "a", "img"},
        attributes=_ATTRIBUTES,
        attribute_filter=address,
        url_schemes={"http", "https", "mailto", "data"},
        clean_content_tags={"script", "style"},
    )


class _Renderer(mistune.HTMLRenderer):
    """Markdown to HTML where raw HTML with a tag off the list is shown as text instead of vanishing."""

    def inline_html(self, html: str) -> str:
        return _raw(html)

    def block_html(self, html: str) -> str:
        return _raw(html) + "\n"


def _raw(markup: str) -> str:
    tags = re.findall(r"<\s*/?\s*([^\s<>/]*)", markup)
    return markup if all(tag.lower() in _RAW for tag in tags) else html.escape(markup)


_markdown = mistune.create_markdown(renderer=_Renderer(escape=False), plugins=["table", "strikethrough"])


def markdown(text: str, sites: bool = False) -> str:
    """Markdown as clean HTML.

    >>> print(markdown("**so** <img src=x onerror=alert(1)>"))
    <p><strong>so</strong> &lt;img src=x onerror=alert(1)&gt;</p>
    """
    return tables.readable(clean(str(_markdown(text)), sites)).strip()


def plain_text(markup: str) -> str:
    """What a clean piece of HTML says, as one line of text.

    >>> plain_text("<p>11 % of <b>cases</b>, n &lt; 5</p>")
    '11 % of cases, n < 5'
    """
    spaced = re.sub(r"<(br|/p|/li|/h\d|/td|/th)>", r"<\1> ", markup)
    words = " ".join(html.unescape(nh3.clean(spaced, tags=set())).split())
    return "".join(letter for letter in words if letter.isprintable())  # it may reach a terminal


# --- cells ---


def body(notebook: Any) -> str:
    """A notebook without its code: Markdown cells and outputs, one after the other."""
    alt = ""
    pieces = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            pieces.append(markdown(cell.source, sites=True))
        elif cell.cell_type == "code":
            shown = []
            for output in cell.outputs:
                markup, alt = _output(output, alt or title(notebook), "table" in tags(cell))
                shown.append(markup)
            pieces += [f'<div class="short">{"".join(shown)}</div>'] if SHORT & {*tags(cell)} else shown
    return "\n".join(pieces)


def _output(output: Any, alt: str, folded: bool) -> tuple[str, str]:
    """One output as HTML, and the sentence that describes the next picture."""
    data = output.get("data", {})
    if output.output_type == "stream":
        return f"<pre>{html.escape(_text(output.text))}</pre>", alt
    if picture := _picture(data):
        return Figure(picture, alt).html, alt
    if "text/markdown" in data:
        markup = markdown(_text(data["text/markdown"]))
        return markup, plain_text(markup) or alt
    if "text/html" in data:
        markup = tables.readable(clean(_text(data["text/html"])))
        if METRICS in data:
            return _folded(markup, "The numbers of this page, for other programs"), alt
        return (_folded(markup, f"Show the table ({_rows(markup)})") if folded else markup), alt
    return f"<pre>{html.escape(_text(data.get('text/plain', '')))}</pre>", alt


def _folded(markup: str, words: str) -> str:
    return f"<details><summary>{words}</summary>{markup}</details>"


def _rows(markup: str) -> str:
    n = tables.count_rows(markup)
    return "1 row" if n == 1 else f"{n:,} rows"


def _picture(data: Any) -> str:
    """The address of an output's picture, empty if it has none."""
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f"data:{kind};base64,{''.join(_text(data[kind]).split())}"
    if "image/svg+xml" in data:
        return "data:image/svg+xml;base64," + base64.b64encode(_text(data["image/svg+xml"]).encode()).decode()
    return ""


def _text(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


# --- what other pages show of a notebook ---


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def title(notebook: Any) -> str:
    """The question a notebook asks: its first heading."""
    headings = (re.search(r"^#\s+(.+)$", c.source, re.MULTILINE) for c in notebook.cells if c.cell_type == "markdown")
    return next((plain_text(markdown(found[1])) for found in headings if found), "Untitled")


def headline(notebook: Any, tag: str = "headline") -> str:
    """The Markdown output of the cells with that tag, as clean HTML; empty where there is none."""
    return "\n".join(markdown(_text(d["text/markdown"])) for d in _data(notebook, tag) if "text/markdown" in d)


def main_figure(notebook: Any) -> Figure | None:
    """The picture of the cell tagged `main-figure`, described by the last sentence before it."""
    alt = title(notebook)
    for cell in notebook.cells:
        for data in (o.get("data", {}) for o in cell.get("outputs", [])):
            if (picture := _picture(data)) and "main-figure" in tags(cell):
                return Figure(picture, alt)
            if "text/markdown" in data:
                alt = plain_text(markdown(_text(data["text/markdown"]))) or alt
    return None


def metrics(notebook: Any) -> list[dict[str, Any]]:
    """The rows that `show_metrics` recorded in a notebook's outputs."""
    outputs = (o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", []))
    return [row for data in outputs for row in data.get(METRICS, [])]


def _data(notebook: Any, tag: str) -> Iterator[Any]:
    return (o.get("data", {}) for cell in notebook.cells if tag in tags(cell) for o in cell.get("outputs", []))
