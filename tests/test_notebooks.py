"""The notebooks as users run them: plain papermill from any folder gives what `cx report` gives."""

import os
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from conftest import ROOT

from cxlib import cli

MIME = "application/vnd.cxlib.metrics+json"


def metrics_of(book):
    rows = [
        row
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for row in output.get("data", {}).get(MIME, [])
    ]
    return pd.DataFrame(rows)


def by_papermill(notebook, out, folder):
    command = [
        sys.executable,
        "-m",
        "papermill",
        os.path.relpath(notebook, folder),
        str(out),
        "-p",
        "data_dir",
        "data/demo",
        "--no-progress-bar",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return metrics_of(nbformat.read(out, as_version=4))


def test_papermill_from_two_folders_and_the_report_give_the_same_metrics(tmp_path):
    notebook = ROOT / "notebooks" / "1_where_customers_go.ipynb"
    committed = metrics_of(nbformat.read(notebook, as_version=4))
    from_root = by_papermill(notebook, tmp_path / "a.ipynb", ROOT)
    from_notebooks = by_papermill(notebook, tmp_path / "b.ipynb", notebook.parent)
    assert cli.main(["report", "1", "--out", str(tmp_path / "reports")]) == 0
    reported = pd.read_parquet(tmp_path / "reports" / "latest" / "metrics.parquet")
    assert len(committed) == 1
    for other in (from_root, from_notebooks, reported[committed.columns]):
        pd.testing.assert_frame_equal(other, committed, check_dtype=False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "--data", "no/such/folder"], "no dataset folder"),
        (["report", "-p", "nope=1"], "has a parameter 'nope'"),
        (["report", "-p", 'x=__import__("os").system("id");y', "1"], "has a parameter 'x'"),
        (["report", "1", "-p", "within=7"], 'write "7d"'),
        (["check", "no/such/folder"], "no dataset folder"),
        (["import", "servicenow", "no_such.csv", "--out", "x"], "no file"),
        (["import", "servicenow", "README.md", "--out", "x"], "columns are missing"),
    ],
)
def test_what_cannot_be_done_is_one_line_on_stderr_and_exit_2(arguments, says, tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text("# not an export\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_nbval_fails_on_a_planted_wrong_number(tmp_path):
    source = ROOT / "notebooks" / "0_can_we_trust_the_data.ipynb"
    book = nbformat.read(source, as_version=4)
    (cell,) = [cell for cell in book.cells if "headline" in cell.metadata.get("tags", [])]
    said = cell.outputs[0]["data"]["text/markdown"]
    assert "100 %" in said
    cell.outputs[0]["data"]["text/markdown"] = said.replace("100 %", "99 %", 1)
    nbformat.write(book, tmp_path / source.name)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
        str(tmp_path / source.name),
    ]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "1 failed" in run.stdout, run.stdout[-2000:]


def test_a_data_set_without_a_usable_row_publishes_nothing(tmp_path, capsys):
    (tmp_path / "d").mkdir()
    pd.DataFrame({"touchpoint_id": ["1"], "stage": ["fax"], "occurred_at": ["2026-01-01T00:00Z"]}).to_parquet(
        tmp_path / "d" / "touchpoints.parquet"
    )
    assert cli.main(["report", "--data", str(tmp_path / "d"), "--out", str(tmp_path / "r")]) == 2
    pd.DataFrame({"touchpoint_id": ["1"], "stage": ["help"]}).to_parquet(tmp_path / "d" / "touchpoints.parquet")
    assert cli.main(["report", "--data", str(tmp_path / "d"), "--out", str(tmp_path / "r")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "no usable row" in errors[0]
    assert "no column occurred_at" in errors[1]
    assert not (tmp_path / "r").exists()


def test_what_would_move_them_left_has_a_page_also_where_there_is_nothing_to_compare(tmp_path):
    """Five touches in one month, no ticket, no mood, no wait, nobody who came back."""
    touches = pd.DataFrame({"user_id": list("aabbc"), "stage": ["help", "phone", "help", "agent", "phone"]})
    times = ["2026-01-01T00:00Z", "2026-01-01T02:00Z", "2026-01-03T02:00Z", "2026-01-03T05:00Z", "2026-01-20T02:00Z"]
    (tmp_path / "d").mkdir()
    touches.assign(touchpoint_id=list("12345"), occurred_at=pd.to_datetime(times)).to_parquet(
        tmp_path / "d" / "touchpoints.parquet"
    )
    assert cli.main(["report", "1", "4", "--data", str(tmp_path / "d"), "--out", str(tmp_path / "r")]) == 0
    page = (tmp_path / "r" / "latest" / "4_what_would_move_them_left.html").read_text()
    assert "Nothing can be compared: cases that count began in 1 month, not in two." in page
    assert "Watch out</strong> <p>Too few months with cases" in (tmp_path / "r" / "latest" / "index.html").read_text()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("segment=colour", "segment='colour' does not divide the cases: "),
        ("after=2020-01", "'2020-01' is no period with cases that count"),
    ],
)
def test_a_period_or_segment_that_is_not_there_fails_in_one_line(given, says, tmp_path, capsys):
    assert cli.main(["report", "4", "-p", given, "--out", str(tmp_path)]) == 1
    assert says in capsys.readouterr().err
