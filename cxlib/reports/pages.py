"""What does the reader of a report see? One page per notebook and an index, each a single file that fetches nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from cxlib.reports import html

NAME = "Support journey report"
_CSS = Path(__file__).with_name("style.css")
# What the first page quotes of other pages, by the tag of the cell that says it.
_TOLD = {"watch-out": "Watch out", "what-is-new": "What is new", "fix-first": "Fix first"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(stem: str, notebooks: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """One notebook as a page; it holds nothing that changes from run to run, such as the time."""
    notebook = notebooks[stem]
    text, contents = with_contents(html.body(notebook))
    facts = [*_data_facts(manifest["data"]), *_parameter_facts(manifest["parameters"].get(stem, {}))]
    pages = "".join(f"<li>{_link(other, book, current=other == stem)}</li>" for other, book in notebooks.items())
    return _document(
        " – ".join([html.title(notebook), *_heading(manifest["data"])[1:]]),
        f"""<header>
<nav class="pages" aria-label="Pages"><a href="index.html">{NAME}</a><ul>{pages}</ul></nav>
<dl class="facts">{"".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts)}
<div><dt>Made by</dt><dd><a href="{quote(stem)}.ipynb">{escape(stem)}.ipynb</a></dd></div></dl>
</header>
<div class="columns">
{_contents(contents)}
<main id="main">
{text}
</main>
</div>""",
    )


def index(notebooks: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The first page: the headline and figure of the journey, what to watch out for, and a card for every other notebook."""
    lead = leading(notebooks)
    cards = "\n".join(_card(stem, book) for stem, book in notebooks.items() if stem != lead)
    name, *rest = _heading(manifest["data"])
    run = f'run <time datetime="{manifest["run_at"]}">{_minute(manifest)} UTC</time>'
    facts = [*(f"{k.lower()} {v}" for k, v in _data_facts(manifest["data"])[2:]), run, '<a href="../index.html">all runs</a>']
    return _document(
        " – ".join([name, *rest]),
        f"""<header class="index">
<h1>{" <span>·</span> ".join(map(escape, [name, *rest]))}</h1>
<p class="facts">{" · ".join(facts)}</p>
</header>
<main id="main">
{_hero(lead, notebooks[lead])}
{_told(notebooks)}
<div class="cards">
{cards}
</div>
{_rows(manifest["data"], notebooks)}
</main>""",
    )


def runs(ledger: Sequence[Mapping[str, Any]], folder: str) -> str:
    """All published runs, the newest first, as links into `folder`."""
    rows = "".join(_run(run, folder) for run in sorted(ledger, key=lambda run: run["run_id"], reverse=True))
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Run (UTC)", "Data", "Fingerprint", "Notebooks"))
    return _document(
        f"{NAME} – all runs",
        f'<main id="main"><h1>All runs</h1><div class="scroll" role="group" aria-label="Runs" tabindex="0">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></main>",
    )


def _run(run: Mapping[str, Any], folder: str) -> str:
    link = f'<a href="{folder}{escape(run["run_id"])}/index.html">{_minute(run)}</a>'
    data = run["data"] or {"fingerprint": ""}
    cells = " · ".join(_heading(run["data"])[1:]), data["fingerprint"][:8], ", ".join(run["notebooks"])
    return f'<tr><th scope="row">{link}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'


def _minute(run: Mapping[str, Any]) -> str:
    return escape(run["run_at"][:16].replace("T", " "))


def leading(notebooks: Mapping[str, Any]) -> str:
    """Which notebook opens the index? The journey (number 1), else the first that has a main figure, else the first."""
    numbered = [stem for stem in notebooks if re.match(r"0*1\D", stem)]
    return next(iter([*numbered, *(s for s, book in notebooks.items() if html.main_figure(book)), *notebooks]))


def with_contents(markup: str) -> tuple[str, list[tuple[int, str, str]]]:
    """Clean HTML with an id on each heading of level 2 and 3, and the list of (level, id, text).

    >>> with_contents("<h2>Why?</h2><h2>Why?</h2>")
    ('<h2 id="why">Why?</h2><h2 id="why-2">Why?</h2>', [(2, 'why', 'Why?'), (2, 'why-2', 'Why?')])
    """
    found: list[tuple[int, str, str]] = []

    def marked(heading: re.Match[str]) -> str:
        text = html.plain_text(heading[2])
        slug = re.sub(r"\W+", "-", text.lower()).strip("-") or "section"
        before = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for _, other, _ in found)
        name = f"{slug}-{before + 1}" if before else slug
        found.append((int(heading[1]), name, text))
        return f'<h{heading[1]} id="{name}">{heading[2]}</h{heading[1]}>'

    return re.sub(r"<h([23])>(.*?)</h\1>", marked, markup, flags=re.DOTALL), found


def period(data: Mapping[str, Any]) -> str:
    """When was it observed, as people write it?

    >>> october = {"observed_from": "2026-10-01T00:00:00Z", "observed_until": "2026-11-01T00:00:00Z", "timezone": "UTC"}
    >>> period(october)
    'October 2026'
    >>> period(october | {"observed_until": "2026-11-14T08:00:00Z"})
    '1 October 2026 to 14 November 2026'
    """
    zone = ZoneInfo(data["timezone"])
    ends = [data["observed_from"], data["observed_until"]]
    first, last = (datetime.fromisoformat(end).astimezone(zone) if end else None for end in ends)
    if last is not None:
        last -= timedelta(microseconds=1)  # midnight belongs to the day before
    if (
        first
        and last
        and first.day == 1
        and (last + timedelta(days=1)).day == 1
        and (first.year, first.month) == (last.year, last.month)
    ):
        return f"{first:%B %Y}"
    return " to ".join(f"{day.day} {day:%B %Y}" for day in (first, last) if day)


def _heading(data: Mapping[str, Any] | None) -> list[str]:
    """The report's name, the data set's and its period."""
    return [NAME, *filter(None, [data["name"], period(data)])] if data else [NAME]


def _data_facts(data: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not data:
        return []
    fingerprint = f'<code title="{escape(data["fingerprint"])}">{escape(data["fingerprint"][:8])}</code>'
    return [("Data set", escape(data["name"])), ("Period", escape(period(data))), ("Data", fingerprint)]


def _parameter_facts(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The parameters but for the folder, which is named by its data set."""
    shown = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in parameters.items() if name != "data_dir"]
    return [("Parameters", escape(", ".join(shown)))] if shown else []


def _rows(data: Mapping[str, Any] | None, notebooks: Mapping[str, Any]) -> str:
    """One line: how many rows were used and how many set aside."""
    if not data:
        return ""
    rows = data["rows"]
    aside = f"{rows['broken']:,} broken and {rows['left_out']:,} left out" if rows["broken"] + rows["left_out"] else "none"
    zero = "".join(_arrow(stem) for stem in notebooks if _number(stem) == "0")
    said = f"{rows['kept']:,} of {rows['rows_in']:,} rows used; set aside: {aside}."
    return f'<p class="rows"><strong>Data</strong> {said}{zero}</p>'


def _arrow(stem: str) -> str:
    return f' → <a href="{quote(stem)}.html">{escape(_number(stem))}</a>'


def _told(notebooks: Mapping[str, Any]) -> str:
    """A line for each notebook that has a cell with one of these tags: what the reader of the first page must not miss."""
    return "\n".join(
        f'<div class="watch {tag}"><strong>{name}</strong> {said}{_arrow(stem)}</div>'
        for tag, name in _TOLD.items()
        for stem, book in notebooks.items()
        if (said := html.headline(book, tag))
    )


def _hero(stem: str, notebook: Any) -> str:
    figure = html.main_figure(notebook)
    return f"""<article class="hero">
<div><h2>{_link(stem, notebook)}</h2>
{html.headline(notebook)}</div>
{figure.html if figure else ""}
</article>"""


def _card(stem: str, notebook: Any) -> str:
    figure = html.main_figure(notebook)
    return f"""<article>
<h2>{_link(stem, notebook)}</h2>
{figure.html if figure else ""}
{html.headline(notebook)}
</article>"""


def _link(stem: str, notebook: Any, current: bool = False) -> str:
    number = f"<span>{escape(_number(stem))}</span> " if _number(stem) else ""
    here = ' aria-current="page"' if current else ""
    return f'<a href="{quote(stem)}.html"{here}>{number}{escape(html.title(notebook))}</a>'


def _number(stem: str) -> str:
    return re.match(r"\d*", stem)[0]  # type: ignore[index]


def _contents(contents: Sequence[tuple[int, str, str]]) -> str:
    if not contents:
        return ""
    items = "".join(f'<li class="level{level}"><a href="#{name}">{escape(text)}</a></li>' for level, name, text in contents)
    return f'<nav class="contents" aria-label="On this page"><p>On this page</p><ul>{items}</ul></nav>'


def _document(title: str, text: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>
{_CSS.read_text(encoding="utf-8")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the text</a>
{text}
</body>
</html>
"""
