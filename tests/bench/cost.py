"""Run one piece of the bench in this process, and say what it cost: CPU of all processes, wall time, peak memory.

    PYTHONPATH=tests python -m bench.cost TOOL STEP EVENTS FOLDER

TOOL is a class of peers.py or ours.py, STEP its `prepare` or a question. A rehearsal on a small log comes first, so that late
imports are not counted for anybody. Writes FOLDER/TOOL/STEP.json and, where there is one, FOLDER/TOOL/STEP.answer.parquet.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TICKS = os.sysconf("SC_CLK_TCK")


def tool(name: str) -> Any:
    """The tool of that name."""
    return getattr(importlib.import_module("bench.ours" if name.startswith("Ours") else "bench.peers"), name)()


def run(name: str, step: str, events: Path, folder: Path) -> dict[str, float]:
    """Rehearse, then run the piece once under the clock; leave its cost and its answer in the folder."""
    with tempfile.TemporaryDirectory() as small:
        _rehearse(name, step, events.with_name("rehearsal-" + events.name), Path(small))
    tried, here = tool(name), folder / name
    kept = folder / getattr(tried, "kept_by", name) / "kept"
    here.mkdir(parents=True, exist_ok=True)
    if step == "prepare":
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        prepared, cost = clocked(lambda: tried.prepare(events, kept))
        tried.keep(prepared, kept)
    else:
        state = tried.load(events, kept)
        found, cost = clocked(lambda: getattr(tried, step)(state))
        if getattr(tried, "answer", None):
            pq.write_table(pa.table(tried.answer(step, found, kept)), here / f"{step}.answer.parquet")
    (here / f"{step}.json").write_text(json.dumps(cost), encoding="utf-8")
    return cost


def _rehearse(name: str, step: str, events: Path, kept: Path) -> None:
    tried = tool(name)
    if hasattr(tried, "prepare"):
        tried.keep(tried.prepare(events, kept), kept)
    if step != "prepare":
        getattr(tried, step)(tried.load(events, kept))


def clocked(work: Any) -> tuple[Any, dict[str, float]]:
    """What `work` returns and what it cost: CPU and wall in seconds, the peak of this process so far in MB."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    found = work()
    wall = time.perf_counter() - wall
    return found, {"cpu": cpu_seconds() - cpu, "wall": wall, "peak": peak_megabytes()}


def cpu_seconds() -> float:
    """User and system time of this process, of its ended children and of those that still run."""
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    running = [sum(map(int, _stat(child)[11:15])) / TICKS for child in descendants(os.getpid())]
    return sum(usage.ru_utime + usage.ru_stime for usage in ended) + sum(running)


def descendants(parent: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    parents = {int(name): int(stat[1]) for name in os.listdir("/proc") if name.isdigit() and (stat := _stat(int(name)))}
    found = [parent]
    for process in found:
        found += [child for child, above in parents.items() if above == process]
    return found[1:]


def _stat(process: int) -> list[str]:
    """What follows the name in /proc/PID/stat; nothing where the process has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def peak_megabytes() -> float:
    """The most memory that this process ever held, mapped files included."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
