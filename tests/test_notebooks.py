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
