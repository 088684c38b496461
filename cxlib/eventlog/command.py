"""`cx compile`: sort the touches of a source into a log, before anyone asks it something."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxlib.eventlog.files import is_dataset
from cxlib.eventlog.log import EventLog
from cxlib.eventlog.sorting import cache_places, compile
from cxlib.schema import DataError

_ABOUT = """Sort touches into a log by customer, case and time, once; every later question maps it from the cache.

SOURCE is a parquet file, a folder or a quoted pattern of them ("touches/*.parquet") with one row per touch, or a dataset
folder, which names its own columns. An unchanged source is found again; a changed one is compiled anew."""
_COLUMNS = {
    "case": "the case of each touch (default: case_id)",
    "user": "its customer (default: each case is a customer of its own)",
    "at": "when it happened (default: occurred_at)",
    "stage": "where on the journey (default: stage)",
    "tie": "whole numbers that order touches of one case at one time",
}


def add_compile(subparsers: Any) -> argparse.ArgumentParser:
    """Add `compile` to the subcommands of `cx`; `run_compile` does what it was asked."""
    parser = subparsers.add_parser(
        "compile",
        help="sort touches into a log, so that every report finds it ready",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="parquet file, folder or pattern, or a dataset folder")
    for name, about in _COLUMNS.items():
        parser.add_argument(f"--{name}", metavar="COLUMN", help=f"of parquet files: {about}")
    parser.add_argument("--memory", default="2GB", metavar="SIZE", help="what sorting may use; beyond, on disk (default: 2GB)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where the log goes (default: CX_CACHE, or the source's own)")
    return parser


def run_compile(args: argparse.Namespace) -> int:
    """Compile as asked and print what the log holds and where it lies; returns 0. Raises DataError."""
    named: dict[str, Any] = {name: column for name in _COLUMNS if (column := getattr(args, name)) is not None}
    dataset = Path(args.source) if is_dataset(Path(args.source)) else None
    if dataset and named:
        raise DataError(f"{args.source} is a data set and names its own columns: leave out --{', --'.join(named)}")
    before = set(_lying(args.cache, dataset))
    began = time.monotonic()
    log = compile(args.source, **named, cache=args.cache, memory=args.memory)
    print(summary(log, args.source, f"{_where(log, before)} ({time.monotonic() - began:.1f} s)"))
    return 0


def summary(log: EventLog, source: str, place: str) -> str:
    """What a log holds, as a table for a terminal; `place` says where it lies.

    >>> from cxlib.eventlog import from_paths
    >>> print(summary(from_paths(a="help phone", b="help"), "two cases", "in memory"))
    two cases
    touches         3
    cases           2
    customers       2
    span            1970-01-01 00:00 to 1970-01-01 01:00, UTC
    ties decided    by seq 0, by stage 0, by action 0, by touchpoint_id 0
    log             in memory
    """
    lines = {
        "touches": f"{log.n_touches:,}",
        "cases": f"{log.n_cases:,}",
        "customers": f"{log.n_customers:,}",
        "span": _span(log),
        "ties decided": ", ".join(f"by {rule} {n:,}" for rule, n in log.ties.items()),
        "log": place,
    }
    notes = [f"note            {note}" for note in log.notes]
    return "\n".join([source, *(f"{name:<16}{value}" for name, value in lines.items()), *notes])


def _span(log: EventLog) -> str:
    """From the first touch to the last, in the time zone of the log."""
    if not log.n_touches:
        return "no touch"
    ends = (pd.Timestamp(us, unit="us", tz="UTC").tz_convert(log.timezone) for us in (int(log.at.min()), int(log.at.max())))
    return f"{' to '.join(f'{end:%Y-%m-%d %H:%M}' for end in ends)}, {log.timezone}"


def _lying(cache: Path | None, dataset: Path | None) -> Iterator[tuple[int, int]]:
    """Which logs lie in the places that are looked at: folders by what tells them from those made later under their name."""
    for place in cache_places(cache, dataset):
        for folder in place.glob("log-*"):
            yield _identity(folder)


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_ino, about.st_mtime_ns


def _where(log: EventLog, before: set[tuple[int, int]]) -> str:
    """Where a log lies, and whether it was among those that lay there before."""
    mapped = log.case_start.base  # every log has this array, and maps it where it lies on disk
    if not isinstance(mapped, np.memmap):
        return "in memory only: no cache folder can be written, name one with --cache; compiled"
    folder = Path(str(mapped.filename)).parent
    return f"{folder}, {'found there' if _identity(folder) in before else 'compiled'}"
