"""How does a notebook run? With papermill, each in a kernel of its own; a run that was cut short counts as failed."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

from cxlib.reports.parameters import ROOT
from cxlib.schema import DataError
from cxlib.spark import MASTER

_BAR = "{desc} {bar:24} {n_fmt}/{total_fmt} cells {elapsed}"


class Result(NamedTuple):
    """How one notebook ran: `error` is empty if every cell did, else one line that names the cell and what went wrong."""

    stem: str
    cells: int
    seconds: float
    error: str


def choose(wanted: list[str], folder: Path = ROOT / "notebooks") -> dict[str, Path]:
    """Which notebooks are meant? By path, file name, stem or leading number; none named means all of the folder, in order.

    Returns paths by stem. Raises DataError for one that is not there, and for two with the same stem.
    """
    ours = sorted(folder.glob("*.ipynb"), key=lambda path: (int(re.match(r"\d*", path.stem)[0] or 10**6), path.stem))  # type: ignore[index]
    if not ours and not wanted:
        raise DataError(f"no notebook in {folder}: name one, such as cx report my_question.ipynb")
    chosen: dict[str, Path] = {}
    for path in [_find(name, ours) for name in wanted] if wanted else ours:
        if path.stem in chosen:
            raise DataError(f"two of the chosen notebooks are called {path.stem}: name each once")
        chosen[path.stem] = path
    return chosen


def _find(name: str, ours: list[Path]) -> Path:
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name)
    for path in ours:
        if name in (path.name, path.stem) or (name.isdecimal() and re.match(rf"0*{int(name)}(?!\d)", path.stem)):
            return path
    raise DataError(f"no notebook {name!r}: choose from {', '.join(path.stem for path in ours) or 'none'}, or give a path")


def run(
    notebooks: Mapping[str, Path],
    passed: Mapping[str, Mapping[str, Any]],
    folder: Path,
    jobs: int,
    master: str | None = None,
) -> list[Result]:
    """Run notebooks with their parameters; each leaves `folder/STEM.ipynb`, also where it fails.

    `master` is the Spark cluster that their logs lie on, None for this machine.

    A progress bar per notebook on a terminal, else a line when it is done. After the first failure no further notebook starts.
    Raises KeyboardInterrupt, after all kernels have ended, if the run is interrupted (see `interruptible`).
    """
    done: list[Result] = []
    _papermill()  # before the threads, which would import it twice at once
    with _environment(master) as runtime, ThreadPoolExecutor(jobs) as pool:
        tasks = [
            pool.submit(_run_one, path, passed.get(stem, {}), folder / f"{stem}.ipynb", place)
            for place, (stem, path) in enumerate(notebooks.items())
        ]
        try:
            waiting = set(tasks)
            while waiting:
                ended, waiting = wait(waiting, timeout=0.5)
                for result in (task.result() for task in tasks if task in ended and not task.cancelled()):
                    done.append(result)
                    _tell(result)
                    if result.error:
                        waiting -= {task for task in waiting if task.cancel()}
        except KeyboardInterrupt:
            _stop(tasks, runtime)
            raise
    return sorted(done, key=lambda result: list(notebooks).index(result.stem))


def _tell(result: Result) -> None:
    if not sys.stderr.isatty():
        print(f"{result.stem}: {'failed' if result.error else 'done'}, {result.seconds:.0f} s", file=sys.stderr)


def _run_one(source: Path, parameters: Mapping[str, Any], target: Path, place: int) -> Result:
    """Run one notebook. A kernel that dies says nothing in the notebook, so every way to end early is looked for."""
    papermill = _papermill()
    from traitlets.config import Config

    began = time.monotonic()
    bar = {"desc": f"{target.stem:<28}", "bar_format": _BAR, "file": sys.stderr}
    try:
        papermill.execute_notebook(
            _verbatim(source),
            _verbatim(target),
            dict(parameters),
            kernel_name="python3",
            progress_bar=bar if sys.stderr.isatty() else False,
            coalesce_streams=True,
            start_timeout=180,  # seconds; a busy machine is no failure
            iopub_timeout=60,
            extra_arguments=["--IPKernelApp.log_level=50"],  # what goes wrong is in the notebook; no noise when a kernel ends
            config=Config({"KernelManager": _connection(place)}),
        )
        error = _unfinished(target)
    except papermill.PapermillExecutionError as failed:
        line = next(iter(failed.source.strip().splitlines()), "")
        error = _one_line(f"cell In [{failed.exec_count}] {line!r}: {failed.ename}: {failed.evalue}")
    except Exception as failed:  # a dead kernel, a kernel that does not start, a notebook that is none: all are a failed run
        error = _one_line(f"{_last_cell(target)}{type(failed).__name__}: {failed}")
    return Result(target.stem, len(_cells(target)), time.monotonic() - began, error)


def _papermill() -> ModuleType:
    """papermill, without the 5 seconds in which jsonschema builds a grammar for a format that no notebook has."""
    missing = "rfc3987_syntax" not in sys.modules
    if missing:
        sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # read as: not installed
    import papermill

    if missing:
        sys.modules.pop("rfc3987_syntax", None)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it says of a failure, the result says as well
    return papermill


def _verbatim(path: Path) -> str:
    """A path that papermill, which reads braces as parameters, takes as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _connection(place: int) -> dict[str, str]:
    """How to reach kernel number `place`: by sockets in the runtime folder, where their names are short enough, else by TCP.

    The kernel warns about TCP. Without a connection file of its own, all kernels would share sockets in the working folder.
    """
    file = f"{os.environ['JUPYTER_RUNTIME_DIR']}/{place}.json"
    return {"connection_file": file, "transport": "ipc" if len(file) < 90 else "tcp"}


def _cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook that hold code."""
    if not notebook.is_file() or not (text := notebook.read_text(encoding="utf-8")):
        return []
    return [c for c in json.loads(text)["cells"] if c["cell_type"] == "code" and "".join(c["source"]).strip()]


def _unfinished(notebook: Path) -> str:
    cells = _cells(notebook)
    skipped = sum(cell["execution_count"] is None for cell in cells)
    return f"{skipped} of {len(cells)} code cells did not run, as if the notebook had been told to stop" if skipped else ""


def _last_cell(notebook: Path) -> str:
    """Where a run stopped: the last cell that papermill began, whether or not the kernel lived to number it."""
    begun = [k for k, cell in enumerate(_cells(notebook), start=1) if cell["metadata"].get("papermill", {}).get("start_time")]
    return f"cell In [{begun[-1]}]: " if begun else "before the first cell: "


def _one_line(text: str) -> str:
    plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    return plain if len(plain) <= 400 else plain[:397] + "..."


# --- what surrounds a run ---


@contextmanager
def _environment(master: str | None) -> Iterator[Path]:
    """What the kernels inherit: hashes and threads that do not vary, inline figures, the cluster, a runtime folder."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="cx-") as runtime:
        os.environ.pop("MPLBACKEND", None)
        os.environ[MASTER] = master or ""
        os.environ.update(JUPYTER_RUNTIME_DIR=runtime, PYTHONHASHSEED="0")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        try:
            yield Path(runtime)
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ours = [signal.SIGTERM, signal.SIGHUP] if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, interrupt) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(tasks: list[Future[Result]], runtime: Path) -> None:
    """End every kernel of this run (their command lines name its runtime folder) until all notebooks have ended."""
    import psutil

    for task in tasks:
        task.cancel()
    while wait(tasks, timeout=0.2).not_done:
        for child in psutil.Process().children():
            try:
                if str(runtime) in " ".join(child.cmdline()):
                    child.kill()
            except psutil.NoSuchProcess:
                continue
