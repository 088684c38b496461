"""A progress bar for what takes longer than two seconds, on a terminal only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
from tqdm import tqdm

PATIENCE = 2.0  # seconds without a bar
SHARE = "{desc} {bar:24} {percentage:3.0f} % {elapsed}"  # for what is counted in nothing that a reader would know


def bar(said: str, total: float, **options: Any) -> tqdm:
    """A bar that shows itself when the work is not done by then, and leaves nothing behind."""
    return tqdm(
        total=total,
        desc=said,
        delay=PATIENCE,
        mininterval=PATIENCE / 20,
        leave=False,
        disable=not sys.stderr.isatty(),
        **options,
    )


@contextmanager
def queries(con: duckdb.DuckDBPyConnection, said: str) -> Iterator[None]:
    """A bar for what DuckDB is asked meanwhile, by its own account: a sort says nothing until its first row is out."""
    over = threading.Event()
    with bar(said, 100, miniters=0, bar_format=SHARE) as shown:
        if not shown.disable:
            con.execute("SET enable_progress_bar = true")
            con.execute("SET enable_progress_bar_print = false")
            threading.Thread(target=_follow, args=(con, shown, over), daemon=True).start()
        try:
            yield
        finally:
            over.set()


def _follow(con: duckdb.DuckDBPyConnection, shown: tqdm, over: threading.Event) -> None:
    while not over.wait(0.1):
        shown.update(max(0.0, con.query_progress() - shown.n))
