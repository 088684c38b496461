"""Where does a finished run go? Into a folder that is complete before anyone can see it; `latest` switches by one rename."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxlib.reports import html, metrics, pages
from cxlib.reports.parameters import ROOT
from cxlib.schema import DataError

if TYPE_CHECKING:
    from cxlib.store import Dataset

_PACKAGES = "numpy pandas scipy scikit-learn duckdb pyarrow matplotlib seaborn papermill nbclient ipykernel nh3 cxlib".split()  # noqa: SIM905


@contextmanager
def running(out: Path) -> Iterator[Path]:
    """A folder `out/.running/RUN_ID` for a run to work in, removed afterwards; nobody who reads reports looks there.

    Every run holds a shared lock on `out` while it works, which the system frees however it ends. So a run that gets the lock
    for itself alone is the only one, and what it finds in `.running` was left behind by a run that was killed.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: name a folder for the reports with --out")
    if (out / "latest").exists() and not (out / "latest").is_symlink():
        raise DataError(f"{out / 'latest'} is not a link of ours: move it away, or name another folder with --out")
    (out / ".running").mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for stale in (out / ".running").iterdir():
                shutil.rmtree(stale)
        except BlockingIOError:
            print("another run is writing to the same folder; both will be published", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_SH)
        folder = _new_folder(out / ".running")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _new_folder(parent: Path) -> Path:
    """A new folder called after this microsecond, so that run ids sort by time."""
    while True:
        folder = parent / f"{datetime.now(UTC):%Y%m%dT%H%M%S-%fZ}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder


def manifest(
    run_id: str, dataset: Dataset | None, parameters: Mapping[str, Mapping[str, Any]], durations: Mapping[str, float]
) -> dict[str, Any]:
    """Everything needed to make the run again, and how long it took."""
    seeds = [own["seed"] for own in parameters.values() if "seed" in own]
    moment = datetime.strptime(run_id, "%Y%m%dT%H%M%S-%fZ").replace(tzinfo=UTC)
    return {
        "run_id": run_id,
        "run_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "notebooks": list(parameters),
        "data": _about(dataset),
        "parameters": {stem: dict(own) for stem, own in parameters.items()},
        "seed": seeds[0] if seeds else None,
        "durations_s": {stem: round(seconds, 1) for stem, seconds in durations.items()},
        "git_commit": _commit(),
        "versions": {"python": sys.version.split()[0]} | {package: version(package) for package in _PACKAGES},
    }


def _about(dataset: Dataset | None) -> dict[str, Any] | None:
    if dataset is None:
        return None
    settings = dataset.settings
    ends = {name: getattr(settings, name) for name in ("observed_from", "observed_until")}
    return {
        "name": settings.name,
        "timezone": settings.timezone,
        **{name: None if end is None else end.isoformat() for name, end in ends.items()},
        "fingerprint": dataset.fingerprint,
        "rows": {name: int(dataset.accounting[name].sum()) for name in ("rows_in", "kept", "broken", "left_out")},
    }


def _commit() -> str | None:
    """The commit the project stands at, `-dirty` if its files have changed since; None outside of git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return None
    asked = [git, "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() or None


def write_report(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the executed notebooks in `folder` into a report, in place; returns the notebooks by stem."""
    import nbformat

    books = {stem: tidy(nbformat.read(folder / f"{stem}.ipynb", as_version=4)) for stem in about["notebooks"]}
    for stem, book in books.items():
        _write(folder / f"{stem}.ipynb", nbformat.writes(book) + "\n")
        _write(folder / f"{stem}.html", pages.page(stem, books, about))
    rows = [{**row, "notebook": stem} for stem, book in books.items() for row in html.metrics(book)]
    metrics.as_frame(rows).to_parquet(folder / "metrics.parquet", index=False)
    _write(folder / "index.html", pages.index(books, about))
    _write(folder / "manifest.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    _sync(folder / "metrics.parquet")
    _sync(folder)
    return books


def tidy(notebook: Any) -> Any:
    """An executed notebook without what differs between two equal runs: times, paths and random ids."""
    notebook.metadata.pop("papermill", None)
    for k, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{k}"
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return notebook


def publish(folder: Path, out: Path, about: Mapping[str, Any]) -> Path:
    """Make a finished report visible: move it to `runs`, note it in the ledger, point `latest` at it. Returns its index."""
    run_id = about["run_id"]
    (out / "runs").mkdir(exist_ok=True)
    os.rename(folder, out / "runs" / run_id)
    _sync(out / "runs")
    line = {key: about[key] for key in ("run_id", "run_at", "data", "notebooks", "parameters", "git_commit")}
    with (out / ".lock-publish").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ledger = _append(out / "ledger.jsonl", json.dumps(line, ensure_ascii=False))
        for place, prefix in ((out, "runs/"), (out / "runs", "")):  # the same link, ../index.html, from latest and from runs
            _replace(place / "index.html", pages.runs(ledger, prefix))
        _point(out / "latest", Path("runs") / run_id)
    _sync(out)
    return out / "latest" / "index.html"


def keep_failed(folder: Path, out: Path, stems: list[str]) -> dict[str, Path]:
    """Keep half-run notebooks for a look, as far as they had begun: `out/failed/RUN_ID/STEM.ipynb`, by stem."""
    kept = {stem: out / "failed" / folder.name / f"{stem}.ipynb" for stem in stems if (folder / f"{stem}.ipynb").is_file()}
    for stem, path in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / f"{stem}.ipynb", path)
    return kept


def _append(ledger: Path, line: str) -> list[dict[str, Any]]:
    """Add a line to the ledger and return all that can be read; a line cut short by a crash is left alone and skipped."""
    torn = ledger.is_file() and not ledger.read_bytes().endswith(b"\n")
    with ledger.open("a", encoding="utf-8") as handle:
        handle.write(("\n" if torn else "") + line + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    return [
        json.loads(row) for row in ledger.read_text(encoding="utf-8").splitlines() if row.startswith("{") and row.endswith("}")
    ]


def _point(link: Path, target: Path) -> None:
    """Let a symbolic link point elsewhere, in one step."""
    fresh = link.with_name(f".{link.name}-{target.name}")
    fresh.symlink_to(target, target_is_directory=True)
    os.replace(fresh, link)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    _write(fresh, text)
    os.replace(fresh, path)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
    _sync(path)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
