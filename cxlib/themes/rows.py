"""Rows that were computed before, in a file that several processes may read and write at once."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_AT_ONCE = 500  # keys in one question
_PATIENCE = 30  # seconds to wait while another process writes
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True)
class Rows:
    """Rows of float32 under keys. A cache: what cannot be read is not there, what cannot be written is not kept.

    >>> kept = Rows(getfixture("tmp_path") / "rows.sqlite")
    >>> kept.write({b"a": np.ones(2, dtype=np.float32)})
    >>> kept.read([b"a", b"b"])
    {b'a': array([1., 1.], dtype=float32)}
    """

    file: Path

    def read(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """The rows that are there and whole."""
        found: dict[bytes, np.ndarray] = {}

        def look(con: sqlite3.Connection) -> None:
            for start in range(0, len(keys), _AT_ONCE):
                asked = keys[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(asked))
                for key, row, check in con.execute(f"SELECT key, row, sum FROM kept WHERE key IN ({marks})", asked):
                    if zlib.crc32(row) == check:
                        found[key] = np.frombuffer(row, dtype="<f4")

        self._try(look)
        return found

    def write(self, rows: Mapping[bytes, np.ndarray]) -> None:
        """Keep these rows, all or none of them."""
        stored = [(key, data, zlib.crc32(data)) for key, row in rows.items() for data in [row.astype("<f4").tobytes()]]

        def put(con: sqlite3.Connection) -> None:
            with con:
                con.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", stored)

        self._try(put)

    def _try(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Work with the file, made where there is none; a broken one is removed, any other trouble passed over."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=_PATIENCE)) as con:
                con.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, row BLOB, sum INTEGER)")
                work(con)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN:
                with suppress(OSError):
                    self.file.unlink()
                    self.file.with_name(self.file.name + "-journal").unlink()
        except OSError:
            pass  # no folder that can be written
