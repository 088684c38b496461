"""A report as a reader's browser shows it: nothing fails, nothing is fetched, every picture is there and described."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd
import pytest
from playwright.sync_api import Browser, sync_playwright

from cxlib import cli, open_dataset, store

FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
HOSTILE = ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "[x](javascript:alert(1))"]
SPOKEN = ["<svg onload=prompt(2)>", "<object data=q:prompt(2)>", "[y](vbscript:prompt(2))"]  # no word of a name: not redacted
SAID = {
    "users": ["name", "email"],
    "agents": ["name", "group_id"],
    "applications": ["owner_group"],
    "articles": ["title", "body", "topic"],
    "tickets": ["category", "subcategory", "assignment_group", "close_code", "resolution", "short_description", "description"],
    "ticket_events": ["old_value", "new_value"],
    "touchpoints": ["action", "outcome"],
}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on the path: install Debian's package chromium to run the browser test")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


def publish(data: Path, out: Path, *more: str) -> Path:
    """The project's own notebooks on a data set; returns the published folder."""
    assert cli.main(["report", "--data", str(data), "--out", str(out), *more]) == 0
    return out / "latest"


@pytest.fixture(scope="session")
def report(demo, tmp_path_factory) -> Path:
    return publish(demo, tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def hostile_report(demo, tmp_path_factory) -> Path:
    """The report on a small data set in which every text that a customer or an export could choose is hostile."""
    dataset = open_dataset(demo)
    users = set(dataset.tables["users"]["user_id"].iloc[:300])
    tables = {table: spoiled(table, of_users(frame, users)) for table, frame in dataset.tables.items()}
    settings = dataset.settings.as_toml() | {"name": f"Demo {' '.join(HOSTILE)}"}
    place = tmp_path_factory.mktemp("hostile")
    store.write_dataset(place / "data", settings, tables)
    return publish(place / "data", place / "out", "-p", "n_themes=5")


def of_users(frame: pd.DataFrame, users: set[str]) -> pd.DataFrame:
    return frame[frame["user_id"].isin(users)].reset_index(drop=True) if "user_id" in frame else frame


def spoiled(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The table with something hostile behind every text; equal texts stay equal."""
    frame = frame.copy()
    for column in [column for column in SAID.get(table, []) if column in frame]:
        said = SPOKEN if column in ("action", "short_description", "description", "resolution") else HOSTILE
        behind = {text: f"{text} {said[k % len(said)]}" for k, text in enumerate(frame[column].dropna().unique())}
        frame[column] = frame[column].map(behind)
    return frame


def problems(browser: Browser, page_file: Path) -> list[str]:
    """What a reader's browser has to complain about on one page, on a laptop and on a phone."""
    found: list[str] = []
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.on(
        "console", lambda message: found.append(f"console: {message.text}") if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (found.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else found.append(f"request: {r.url}"))
    page.goto(page_file.absolute().as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    for src, is_shown, alt in page.eval_on_selector_all(
        "img", "all => all.map(i => [i.src.slice(0, 60), i.complete && i.naturalWidth > 0, i.alt.trim()])"
    ):
        found += [f"picture not shown: {src}"] * (not is_shown) + [f"picture not described: {src}"] * (not alt)
    for address in page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)"):
        parts = urlparse(address)
        if parts.scheme == "file" and not Path(unquote(parts.path)).exists():
            found.append(f"link to nothing: {address}")
    for width in (1366, 390):
        page.set_viewport_size({"width": width, "height": 768})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"wider than {width} pixels")
    if page.eval_on_selector_all("h1", "all => all.length") != 1:
        found.append("not exactly one main heading")
    page.close()
    return found


@pytest.mark.parametrize("which", ["report", "hostile_report"])
def test_every_page_opens_without_error_request_or_missing_picture(which, browser, request):
    folder = request.getfixturevalue(which)
    files = sorted(folder.glob("*.html"))
    assert len(files) == 1 + len(list(folder.glob("*.ipynb"))) > 1
    assert {file.name: found for file in files if (found := problems(browser, file))} == {}
    assert problems(browser, folder.parent / "index.html") == []


def test_each_notebook_stands_on_the_index_with_its_question_sentence_and_figure(report, browser):
    page = browser.new_page()
    page.goto((report / "index.html").absolute().as_uri())
    cards = page.query_selector_all("article")
    assert len(cards) == len(list(report.glob("*.ipynb")))
    for card in cards:
        assert card.query_selector("h2 a") and card.query_selector("img") and card.query_selector("p")
    page.close()


def test_hostile_text_is_shown_as_text(hostile_report, browser):
    page = browser.new_page()
    shown = ""
    for file in sorted(hostile_report.glob("*.html")):
        page.goto(file.absolute().as_uri())
        shown += page.text_content("body")
    page.close()
    assert all(text in shown for text in HOSTILE)  # in the data set's name, at least
    assert any(text in shown for text in SPOKEN)  # in a story, at least


def test_the_index_fits_a_laptop_screen_and_an_a4_page(report, browser, tmp_path):
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto((report / "index.html").absolute().as_uri())
    assert page.evaluate("document.documentElement.scrollHeight") <= 1.15 * 768
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1
    page.close()


def test_the_browser_sees_what_is_wrong_with_a_bad_page(browser, tmp_path):
    parts = ['<h1>a</h1><img src="https://example.invalid/x.png">', "<script>alert(1); missing()</script>"]
    bad = "".join([*parts, '<a href="gone.html">b</a><hr width=900>'])
    (tmp_path / "bad.html").write_text(bad)
    found = problems(browser, tmp_path / "bad.html")
    for kind in (
        "request: https",
        "picture not shown",
        "picture not described",
        "dialog: 1",
        "link to nothing",
        "error: ",
        "wider than 390",
    ):
        assert any(kind in line for line in found), (kind, found)
