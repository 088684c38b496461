"""Reports: parameters are checked before anything runs, a report appears as a whole or not at all, and its pages are safe."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cxlib import reports, store
from cxlib.reports import html, metrics, pages, publish, tables
from cxlib.reports.command import from_root, read_given
from cxlib.reports.parameters import PARAMETERS, ROOT, check_parameters, declared, parse, shared_out
from cxlib.reports.run import choose, run
from cxlib.schema import DataError

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMETER_CELL = 'data_dir = "data/demo"  # dataset folder\nseed = 0\nwithin = ""  # such as 7d'
SHOW = """
from IPython.display import display
display({"text/markdown": "**In short**: the seed is %d." % seed}, raw=True)
"""
FIGURE = f"""
import base64
display({{"image/png": base64.b64decode("{DOT}")}}, raw=True)
"""
METRICS = """
rows = [{"notebook": "any", "metric": "seed", "segment": "all", "value": seed, "low": None, "high": None, "n": 1}]
display({"application/vnd.cxlib.metrics+json": rows, "text/html": "<p>seed</p>", "text/plain": "seed"}, raw=True)
"""


def code(source: str, *tags: str):
    return new_code_cell(source.strip(), metadata={"tags": list(tags)})


def write_notebook(path: Path, *cells) -> Path:
    """A notebook with a title; cells are sources, or made by `code`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [code(cell) if isinstance(cell, str) else cell for cell in cells]
    book = new_notebook(cells=[new_markdown_cell(f"# {path.stem}?"), *made])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return path


def good_notebook(path: Path) -> Path:
    return write_notebook(
        path, code(PARAMETER_CELL, "parameters"), code(SHOW, "headline"), code(FIGURE, "main-figure"), code(METRICS)
    )


def shown(*outputs: dict, tag: str = "") -> nbformat.NotebookNode:
    """An executed notebook with these mime bundles as outputs."""
    made = [new_output("display_data", data=data) for data in outputs]
    cell = new_code_cell("show()", outputs=made, execution_count=1, metadata={"tags": [tag]} if tag else {})
    return new_notebook(cells=[new_markdown_cell("# Why?"), cell])


def cx(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    reports.add_report(parser.add_subparsers())
    return reports.run_report(parser.parse_args(["report", *map(str, arguments)]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A place with a data set of three touches, `data`."""
    place = tmp_path_factory.mktemp("reports")
    times = pd.to_datetime(["2026-10-01 08:00", "2026-10-02 09:00", "2026-10-31 10:00"], utc=True)
    touches = pd.DataFrame({"touchpoint_id": list("abc"), "occurred_at": times, "stage": ["help", "phone", "fax"]})
    ends = {"observed_from": pd.Timestamp("2026-10-01", tz="UTC"), "observed_until": pd.Timestamp("2026-11-01", tz="UTC")}
    settings = {"name": "Three & <Co>", **{name: end.to_pydatetime() for name, end in ends.items()}}
    store.write_dataset(place / "data", settings, {"touchpoints": touches})
    return place


@pytest.fixture(scope="module")
def published(folder: Path) -> Path:
    """One good report under `folder/out`; returns `latest`."""
    first, second = good_notebook(folder / "1_journey.ipynb"), good_notebook(folder / "0_data.ipynb")
    assert cx(second, first, "--data", folder / "data", "--out", folder / "out", "-p", "seed=7") == 0
    return folder / "out" / "latest"


# --- parameters ---


@given(st.integers(min_value=0, max_value=10**15))
def test_a_whole_number_is_read_as_it_is_written(number):
    assert parse("seed", f" {number} ") == number


@given(st.text())
def test_no_text_is_ever_taken_for_another_kind_of_value(text):
    for name, kinds in (("seed", int), ("split", float), ("within", str), ("top", int)):
        try:
            assert type(parse(name, text)) is kinds
        except DataError as error:
            assert len(str(error).splitlines()) == 1


@given(st.floats(min_value=0.5, max_value=0.95))
def test_a_share_survives_being_written_and_read(share):
    assert parse("split", repr(share)) == share


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("seed", "true", "seed=true is not a whole number: 0 or more"),
        ("seed", "-1", "seed=-1 is out of range: 0 or more"),
        ("seed", "1.5", "not a whole number"),
        ("seed", "1e3", "not a whole number"),
        ("seed", "٣", "not a whole number"),
        ("split", "nan", "not a number: 0.5 to 0.95"),
        ("split", "1", "out of range: 0.5 to 0.95 share"),
        ("n_themes", "1", "out of range: 2 or more themes, or 0 = chosen by stability"),
        ("capacity", "100001", "1 to 100,000 cases"),
        ("within", "14", 'write "14d" for 14 days'),
        ("within", "two weeks", "write a number and a unit"),
        ("within", "0d", "no time at all"),
        ("data_dir", "", "data_dir is empty: the dataset folder"),
        ("data_dir", "a\nb", "is not a path"),
        ("sede", "1", "did you mean seed"),
        ('x=__import__("os").system("id");y', "1", "is not a parameter name: write -p name=value"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_line_that_says_what_would_work(name, text, says):
    with pytest.raises(DataError) as error:
        parse(name, text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [True, "7", 7.5, None])
def test_the_notebook_checks_types_as_the_command_does(value):
    with pytest.raises(DataError, match=r"parameter seed=.* is not a whole number"):
        check_parameters(seed=value)


def test_a_bare_number_as_a_window_is_refused_in_a_notebook_too():
    with pytest.raises(DataError, match='write "7d" for 7 days'):
        check_parameters(within=7)


def test_a_relative_data_folder_starts_at_the_root_of_the_project_wherever_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_parameters(data_dir="data/demo").data_dir == ROOT / "data" / "demo"
    assert check_parameters(data_dir=str(tmp_path)).data_dir == tmp_path
    assert from_root(Path("here")) == str(tmp_path.resolve() / "here")
    monkeypatch.chdir(ROOT / "data")
    assert from_root(Path("demo")) == "data/demo"


def test_what_a_notebook_declares_is_read_without_running_it(tmp_path):
    cell = code("seed: int = 3  # any\nwithin = '7d'", "parameters")
    assert declared(write_notebook(tmp_path / "a.ipynb", cell)) == {"seed": 3, "within": "7d"}
    assert declared(write_notebook(tmp_path / "b.ipynb", "seed = 3")) == {}
    with pytest.raises(DataError, match="plain assignments only"):
        declared(write_notebook(tmp_path / "c.ipynb", code("seed = open('x').read()", "parameters")))
    (tmp_path / "d.ipynb").write_text("{}")
    with pytest.raises(DataError, match="not a readable notebook"):
        declared(tmp_path / "d.ipynb")


def test_a_parameter_goes_to_the_notebooks_that_declare_it_and_must_be_declared_by_one():
    own = {"1_a": {"seed": 0}, "2_b": {"seed": 0, "top": 5}}
    assert shared_out({"top": "9"}, own) == {"1_a": {}, "2_b": {"top": 9}}
    with pytest.raises(DataError, match="none of the chosen notebooks has a parameter 'capacity'"):
        shared_out({"capacity": "9"}, own)
    with pytest.raises(DataError, match="none of the chosen notebooks has a parameter 'sed': did you mean seed"):
        shared_out({"sed": "9"}, own)
    with pytest.raises(DataError, match="1_a: parameter seed=-1 is out of range"):
        shared_out({}, {"1_a": {"seed": -1}})


def test_both_ways_to_write_a_parameter_are_understood():
    assert read_given([["seed=1", "2"], ["top", "5", "3"]]) == ({"seed": "1", "top": "5"}, ["2", "3"])
    with pytest.raises(DataError, match="write -p seed=value"):
        read_given([["seed"]])
    with pytest.raises(DataError, match="given twice"):
        read_given([["seed=1"], ["seed", "2"]])


def test_every_parameter_says_what_it_is_and_its_example_range_is_not_empty():
    for name, parameter in PARAMETERS.items():
        assert parameter.about, name
        assert parameter.low is None or parameter.high is None or parameter.low < parameter.high, name


def test_a_notebook_is_found_by_number_stem_name_and_path(tmp_path):
    made = [good_notebook(tmp_path / f"{stem}.ipynb") for stem in ("10_later", "1_first", "2_second")]
    assert list(choose([], tmp_path)) == ["1_first", "2_second", "10_later"]
    for name in ("1", "01", "1_first", "1_first.ipynb", str(made[1])):
        assert list(choose([name], tmp_path)) == ["1_first"], name
    with pytest.raises(DataError, match="no notebook '3': choose from 1_first, 2_second, 10_later"):
        choose(["3"], tmp_path)
    with pytest.raises(DataError, match="two of the chosen notebooks are called 1_first"):
        choose(["1", "1_first"], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "no dataset folder at"),
        (["--data", "."], "holds neither touchpoints.parquet nor tickets.parquet"),
        (["-p", 'x=__import__("os").system("id");y', "1"], "no notebook '1'|none of the chosen notebooks has a parameter 'x'"),
        (["-p", "sed=1"], "did you mean seed"),
        (["--jobs", "0"], "--jobs 0 is out of range: 1 to 64"),
        (["--data", "a", "-p", "data_dir=b"], "named twice"),
        (["missing.ipynb"], "no notebook 'missing.ipynb'"),
    ],
)
def test_what_cannot_be_is_refused_before_a_kernel_starts_or_a_file_is_written(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cxlib.reports.command.run", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(DataError, match=says):
        cx(good_notebook(tmp_path / "1_a.ipynb"), *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["1_a.ipynb"]


# --- a run and what it publishes ---


def test_a_report_holds_its_pages_notebooks_metrics_and_how_it_was_made(published, folder):
    names = {"index.html", "metrics.parquet", "manifest.json"}
    names |= {f"{stem}.{kind}" for stem in ("0_data", "1_journey") for kind in ("html", "ipynb")}
    assert {path.name for path in published.iterdir()} == names
    about = json.loads((published / "manifest.json").read_text())
    assert about["seed"] == 7
    assert about["data"]["fingerprint"] == store.open_dataset(folder / "data").fingerprint
    assert about["data"]["rows"] == {"rows_in": 3, "kept": 2, "broken": 1, "left_out": 0}
    assert about["parameters"]["1_journey"]["seed"] == 7
    assert about["versions"]["pandas"] == pd.__version__
    assert about["run_id"] == published.resolve().name
    ledger = [json.loads(line) for line in (published.parent / "ledger.jsonl").read_text().splitlines()]
    assert about["run_id"] in [line["run_id"] for line in ledger]
    assert not list((published.parent / ".running").iterdir())


def test_metrics_are_collected_under_the_name_of_the_notebook_file(published):
    table = pd.read_parquet(published / "metrics.parquet")
    assert list(table.columns) == ["notebook", "metric", "segment", "value", "low", "high", "n"]
    assert table[["notebook", "metric", "value", "n"]].values.tolist() == [
        ["0_data", "seed", 7, 1],
        ["1_journey", "seed", 7, 1],
    ]
    assert (table["value"].dtype, table["n"].dtype) == ("float64", "Int64")


def test_the_index_names_the_data_its_period_what_was_set_aside_and_every_question(published):
    index = (published / "index.html").read_text()
    said = html.plain_text(index[index.index("<body>") :])
    for words in (
        "Three & <Co>",
        "October 2026",
        "2 of 3 rows used; set aside: 1 broken",
        "0 0_data?",
        "1 1_journey?",
        "is 7.",
    ):
        assert words in said
    assert index.count("<figure>") == 2
    assert '<a href="../index.html">all runs</a>' in index


def test_all_runs_are_listed_from_latest_and_from_each_run(published):
    out, run_id = published.parent, published.resolve().name
    assert f'href="runs/{run_id}/index.html"' in (out / "index.html").read_text()  # ../index.html as seen from latest/
    assert f'href="{run_id}/index.html"' in (out / "runs" / "index.html").read_text()  # and from runs/RUN_ID/


def test_a_page_hides_the_code_and_says_what_it_was_made_from(published):
    page = (published / "1_journey.html").read_text()
    assert "b64decode" not in page
    assert all(words in page for words in ("Three &amp; &lt;Co&gt;", "October 2026", "seed = 7", 'href="1_journey.ipynb"'))
    assert 'alt="In short: the seed is 7."' in page
    assert "data_dir" not in page


def test_the_same_data_and_parameters_give_the_same_bytes(published, folder):
    assert cx(folder / "0_data.ipynb", folder / "1_journey.ipynb", "--data", folder / "data", "--out", folder / "again",
              "-p", "seed", "7", "--jobs", "1") == 0  # fmt: skip
    for path in sorted(published.iterdir()):
        if path.name not in ("index.html", "manifest.json"):
            assert path.read_bytes() == (folder / "again" / "latest" / path.name).read_bytes(), path.name


def test_a_failed_notebook_publishes_nothing_and_is_kept_for_a_look(published, folder, capsys):
    before = {path: path.read_bytes() for path in published.iterdir()}, os.readlink(published)
    bad = write_notebook(folder / "4_bad.ipynb", "kept = 1", "print(kept)\n1 / 0", "never = 2")
    assert cx(bad, "--out", folder / "out") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "4_bad failed: cell In [2] 'print(kept)': ZeroDivisionError: division by zero. Nothing was published" in said
    kept = list((folder / "out" / "failed").glob("*/4_bad.ipynb"))
    assert len(kept) == 1
    assert str(kept[0]) in said
    assert "ZeroDivisionError" in kept[0].read_text()
    assert before == ({path: path.read_bytes() for path in published.iterdir()}, os.readlink(published))
    assert len((folder / "out" / "ledger.jsonl").read_text().splitlines()) == 1


def test_a_notebook_that_stops_early_counts_as_failed_however_it_stopped(tmp_path):
    dies = write_notebook(tmp_path / "dies.ipynb", "x = 1", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "y = 2")
    quits = write_notebook(tmp_path / "quits.ipynb", "x = 1", "raise SystemExit(0)", "y = 2")
    (tmp_path / "work").mkdir()
    died, quit_ = run({"dies": dies, "quits": quits}, {}, tmp_path / "work", jobs=2)
    assert "cell In [2]: DeadKernelError" in died.error
    assert "1 of 3 code cells did not run" in quit_.error


CHILD = """
import argparse, sys
from cxlib import reports
parser = argparse.ArgumentParser()
reports.add_report(parser.add_subparsers())
sys.exit(reports.run_report(parser.parse_args(sys.argv[1:])))
"""


def start(notebook: Path, out: Path) -> subprocess.Popen:
    """`cx report` in a process of its own, given back once the notebook is in its second cell."""
    before = set(out.glob(".running/*"))
    child = subprocess.Popen([sys.executable, "-c", CHILD, "report", notebook, "--out", out], stderr=subprocess.PIPE, text=True)
    for _ in range(1800):
        fresh = [path for path in out.glob(".running/*/*.ipynb") if path.parent not in before]
        if any('"execution_count": 1' in path.read_text() for path in fresh):
            return child
        time.sleep(0.1)
    child.kill()
    raise AssertionError("the notebook did not start within three minutes")


def test_a_killed_run_leaves_the_last_report_alone_and_the_next_one_clears_up(tmp_path):
    slow = write_notebook(tmp_path / "slow.ipynb", "x = 1", "import time; time.sleep(100)")
    out = tmp_path / "out"
    child = start(slow, out)
    child.kill()
    child.wait()
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == []
    left = list((out / ".running").iterdir())
    assert len(left) == 1
    child = start(slow, out)  # the second run finds the first one's folder, and is asked to end
    assert not left[0].exists()
    child.send_signal(signal.SIGTERM)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 1
    assert "slow failed: interrupted. Nothing was published" in said.splitlines()[-1]
    assert list(out.glob("failed/*/slow.ipynb"))
    assert not (out / "latest").exists()
    assert not list((out / ".running").iterdir())


def fake_run(out: Path, seed: int) -> None:
    """Publish a report without running anything."""
    with publish.running(out) as work:
        book = shown({"text/markdown": f"seed {seed}"}, tag="headline")
        nbformat.write(book, work / "1_a.ipynb")
        about = publish.manifest(work.name, None, {"1_a": {"seed": seed}}, {"1_a": 1.0})
        publish.write_report(work, about)
        publish.publish(work, out, about)


def test_a_reader_never_sees_half_a_report(tmp_path):
    fake_run(tmp_path, 0)
    done, seen, torn = threading.Event(), set(), []

    def look() -> None:
        while not done.is_set():
            if not (tmp_path / "latest" / "index.html").exists():
                torn.append("no latest")

    def read() -> None:
        while not done.is_set():
            now = tmp_path / os.readlink(tmp_path / "latest")
            about = json.loads((now / "manifest.json").read_text())
            texts = [(now / name).read_text() for name in ("index.html", "1_a.html")]
            whole = about["run_id"] == now.name and all(text.endswith("</html>\n") for text in texts)
            if not whole or f"seed {about['seed']}" not in texts[0] or len(pd.read_parquet(now / "metrics.parquet")):
                torn.append(now)
            seen.add(now.name)

    readers = [threading.Thread(target=target) for target in (look, look, read)]
    for reader in readers:
        reader.start()
    for seed in range(1, 20):
        fake_run(tmp_path, seed)
    done.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert len(seen) > 1


def test_runs_at_the_same_time_are_all_published_and_none_clears_another_away(tmp_path):
    runners = [threading.Thread(target=fake_run, args=(tmp_path, seed)) for seed in range(8)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert sorted(line["parameters"]["1_a"]["seed"] for line in ledger) == list(range(8))
    assert {line["run_id"] for line in ledger} == {path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()}
    assert all(line["run_id"] in (tmp_path / "index.html").read_text() for line in ledger)


def test_a_ledger_line_cut_short_by_a_crash_spoils_no_other(tmp_path):
    fake_run(tmp_path, 0)
    with (tmp_path / "ledger.jsonl").open("a") as ledger:
        ledger.write('{"run_id": "2026')
    fake_run(tmp_path, 1)
    assert (tmp_path / "ledger.jsonl").read_text().count('{"run_id": "2026') == 3
    assert (tmp_path / "index.html").read_text().count("<tr>") == 3  # the head and two runs


def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"), publish.running(tmp_path / "file"):
        pass
    (tmp_path / "latest").mkdir()
    with pytest.raises(DataError, match="not a link of ours"), publish.running(tmp_path):
        pass


# --- pages ---

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "![x](https://evil.example/pixel.png)",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<math><mtext></table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<iframe src='https://evil.example'></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='data:text/html,x'></object><embed src='//evil.example'>",
    "<p style='background:url(https://evil.example);width:expression(alert(1))'>x</p>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<link rel=stylesheet href='https://evil.example/x.css'><base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<form action='https://evil.example'><input autofocus onfocus=alert(1)><button>go</button></form>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<a href='//evil.example'>x</a><a href='https://evil.example' target=_blank>y</a>",
    "<video poster='https://evil.example'><source onerror=alert(1)></video><audio src=x onerror=alert(1)>",
    "<b id=main name=body class=skip onclick=alert(1)>x</b>",
    "</div></main></body></html><script>alert(1)</script>",
    "--><img src=x onerror=alert(1)><!--",
    "```\n<img src=x onerror=alert(1)>\n```",
    "| <img src=x onerror=alert(1)> | b |\n|---|---|\n| <script>alert(1)</script> | 2 |",
    "[x]: javascript:alert(1)\n\n[x] <javascript:alert(1)> <https://evil.example>",
]


class Live(HTMLParser):
    """What in a page could run, load or style: collected with the standard library's parser, not the sanitiser's."""

    def __init__(self, markup: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        if tag not in html._RAW | {"a", "img", "figure", "main", "nav", "header", "body", "article"}:
            self.found.append(tag)
        for name, value in attrs:
            harmless = name in ("alt", "scope", "colspan", "rowspan", "title", "open", "rel", "start", "datetime", "role")
            ours = (name, value) in (("class", "scroll"), ("class", "number"), ("tabindex", "0"), ("aria-label", "Table"))
            picture = name == "src" and (value or "").startswith("data:image/png;base64,")
            inside = name == "href" and html._NEIGHBOUR.fullmatch(value or "")
            if not (harmless or ours or picture or inside):
                self.found.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_lives_in_markdown_html_tables_or_cells(text):
    frame = pd.DataFrame({text: [text], "n": [1]})
    outputs = [{"text/markdown": text}, {"text/html": text}, {"text/html": frame.to_html(escape=False)}, {"text/plain": text},
               {"text/html": frame.to_html()}, {"text/html": frame.style.to_html()}, {"image/png": f'{DOT}" onerror="alert(1)'},
               {"text/html": text, html.METRICS: [], "text/plain": text}]  # fmt: skip
    for bundle in outputs:
        assert Live(html.body(shown(bundle))).found == [], bundle
    assert Live(html.headline(shown({"text/markdown": text}, tag="headline"))).found == []
    stream = new_output("stream", name="stderr", text=text)
    book = new_notebook(cells=[new_markdown_cell(f"# {text}"), new_code_cell("x", outputs=[stream])])
    assert [found for found in Live(html.body(book)).found if "evil.example" not in found] == []  # an author may link


def test_the_check_for_live_markup_can_fail():
    assert [bool(Live(text).found) for text in HOSTILE if text.startswith("<")].count(False) == 0


def test_raw_html_in_markdown_that_is_not_allowed_is_shown_as_text():
    page = html.body(shown({"text/markdown": "Customers wrote <script>alert(1)</script> and <img src=x onerror=alert(1)>."}))
    assert "Customers wrote <script>alert(1)</script> and <img src=x onerror=alert(1)>." in html.plain_text(page)


def test_an_escaped_value_is_shown_as_it_was_written():
    from cxlib.redact import escape

    for text in HOSTILE:
        page = html.body(shown({"text/markdown": f"They wrote {escape(text)}!"}))
        assert f"They wrote {' '.join(text.split())}!" in html.plain_text(page)


def test_tables_and_pictures_pass_untouched():
    frame = pd.DataFrame({"share": [0.5, None], "stage": ["help", "phone"]}, index=pd.Index(["a", "b"], name="case"))
    page = html.body(shown({"image/png": DOT, "text/plain": "<Figure>"}, {"text/html": frame.to_html()}))
    assert f'<img src="data:image/png;base64,{DOT}" alt="Why?">' in page
    assert '<th scope="col">case</th><th scope="col" class="number">share</th><th scope="col">stage</th>' in page
    assert '<th scope="row">b</th><td class="number">–</td><td>phone</td>' in page


def test_a_table_is_folded_away_where_its_cell_says_so():
    frame = pd.DataFrame({"n": range(12)})
    assert "<summary>Show the table (12 rows)</summary>" in html.body(shown({"text/html": frame.to_html()}, tag="table"))
    assert "<details>" not in html.body(shown({"text/html": frame.to_html()}))
    assert tables.count_rows(frame.to_html()) == 12


def test_a_table_without_rows_says_so():
    page = html.body(shown({"text/html": pd.DataFrame({"n": []}).to_html()}))
    assert page.endswith("<p>No rows.</p>")


def test_a_picture_is_described_by_the_last_sentence_shown_before_it():
    book = shown(
        {"text/markdown": "First."}, {"image/png": DOT}, {"text/markdown": '11 % & **more**: "so"'}, {"image/png": DOT}
    )
    assert [part.split('"')[0] for part in html.body(book).split('alt="')[1:]] == ["First.", "11 % &amp; more: &quot;so&quot;"]
    assert html.main_figure(new_notebook()) is None


def test_a_link_to_another_notebook_leads_to_its_page_and_authors_may_link_out():
    text = "[next](2_what.ipynb#part) [paper](https://example.org/x)"
    cell = html.body(new_notebook(cells=[new_markdown_cell(text)]))
    assert 'href="2_what.html#part"' in cell
    assert 'href="https://example.org/x" rel="noopener noreferrer"' in cell
    assert "example.org" not in html.body(shown({"text/markdown": text}))


def test_a_page_has_one_language_landmarks_and_a_policy_that_forbids_requests():
    book = shown({"text/markdown": "## One\n\ntext\n\n### Two"})
    page = pages.page("1_a", {"1_a": book}, {"data": None, "parameters": {}})
    for part in ('<html lang="en">', '<main id="main">', 'aria-label="On this page"', 'aria-current="page"'):
        assert part in page
    for part in ("default-src 'none'", '<h2 id="one">', 'href="#two"'):
        assert part in page
    assert "<script" not in page
    assert page.count("<h1") == 1


def test_the_first_page_quotes_what_pages_tag_for_it_and_nothing_else():
    plain, warned, new = (shown({"text/markdown": f"**{tag}**"}, tag=tag) for tag in ("headline", "watch-out", "what-is-new"))
    about = {"data": None, "parameters": {}, "run_at": "2026-10-01T00:00:00"}
    assert 'class="watch' not in pages.index({"1_a": plain, "2_b": plain}, about)
    index = pages.index({"1_a": plain, "2_b": new, "4_c": warned, "5_d": plain}, about)
    assert index.count('class="watch') == 2
    lines = [
        '<strong>Watch out</strong> <p><strong>watch-out</strong></p> → <a href="4_c.html">4</a></div>',
        '<strong>What is new</strong> <p><strong>what-is-new</strong></p> → <a href="2_b.html">2</a></div>',
    ]
    assert index.index(lines[0]) < index.index(lines[1])


# --- metrics ---


def test_metrics_are_shown_rounded_and_carried_as_json(monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: displayed.append(bundle))
    frame = pd.DataFrame(
        [["auc", "all", 0.8512345, 0.8, 0.9, 1200], ["n", "all", 123456, None, None, 7]], columns=metrics.COLUMNS
    )
    reports.show_metrics("3_who", frame)
    (bundle,) = displayed
    assert bundle[html.METRICS][0] == {"notebook": "3_who", "metric": "auc", "segment": "all", "value": 0.8512, "low": 0.8,
                                       "high": 0.9, "n": 1200}  # fmt: skip
    assert bundle[html.METRICS][1]["value"] == 123456
    assert "0.8512" in bundle["text/html"]
    assert json.loads(json.dumps(bundle, allow_nan=False)) == bundle


def test_metrics_that_cannot_be_right_are_refused():
    row = ["auc", "all", 0.85, 0.8, 0.9, 10]
    with pytest.raises(DataError, match=r"metrics of 3_who lack n: .*Allowed: metric"):
        reports.show_metrics("3_who", pd.DataFrame([row[:5]], columns=metrics.COLUMNS[:5]))
    with pytest.raises(DataError, match="auc of all more than once"):
        reports.show_metrics("3_who", pd.DataFrame([row, row], columns=metrics.COLUMNS))
    with pytest.raises(DataError, match=r"auc = 0\.95 lies outside its interval 0\.8 to 0\.9"):
        reports.show_metrics("3_who", pd.DataFrame([["auc", "all", 0.95, 0.8, 0.9, 10]], columns=metrics.COLUMNS))
