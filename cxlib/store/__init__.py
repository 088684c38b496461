"""Is the data fit to read? Open and write dataset folders; what breaks the contract is set aside with its reason.

A dataset is a folder with a parquet file per table and a `dataset.toml`. Both ways in, writing an import and opening a
folder, run the same check.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from cxlib.schema import STAGES, TABLES, DataError, nearest
from cxlib.store.check import BROKEN, LEFT_OUT, QUARANTINE, check, connect, sql_text, with_period
from cxlib.store.settings import Settings, read_settings

__all__ = [
    "BROKEN",
    "LEFT_OUT",
    "QUARANTINE",
    "Dataset",
    "Settings",
    "Tables",
    "connect",
    "open_dataset",
    "read_settings",
    "refuse_foreign_folder",
    "scratch_folder",
    "whole_file",
    "write_dataset",
]

ANALYSTS = ("codebooks", "themes.toml")  # what is kept in a dataset folder by those who read it; an import leaves it there
_OURS = {*ANALYSTS, "dataset.toml", "quarantine", "truth", ".cache", *(f"{table}.parquet" for table in TABLES)}


@contextmanager
def scratch_folder(place: Path, prefix: str) -> Iterator[Path]:
    """A folder in `place` that is gone afterwards, whatever is raised.

    Its name is known before it is made: `tempfile.TemporaryDirectory` leaves it behind if a signal comes in between.
    """
    folder = place / f"{prefix}{uuid4().hex}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that takes its place at `path` only once it is whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(path.parent, f".{path.name}-") as scratch:
        yield scratch / path.name
        os.replace(scratch / path.name, path)


class Tables(Mapping[str, pd.DataFrame]):
    """The tables that exist and hold at least one row, read when they are first asked for."""

    def __init__(self, con: duckdb.DuckDBPyConnection, queries: Mapping[str, str]):
        self._con, self._queries, self._read = con, queries, dict[str, pd.DataFrame]()

    def __getitem__(self, table: str) -> pd.DataFrame:
        if table not in self._read:
            self._read[table] = _frame(self._con.sql(self._queries[table]).to_arrow_table(), table)
        return self._read[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)

    def __contains__(self, table: object) -> bool:
        return table in self._queries


def _frame(arrow: pa.Table, table: str) -> pd.DataFrame:
    """An arrow table as pandas, in the types that the dictionary names."""
    frame = arrow.to_pandas()
    for name in frame.columns:
        kind = TABLES[table][name].kind
        if kind == "time":
            frame[name] = frame[name].astype("datetime64[us, UTC]")
        elif kind in ("int", "bool"):
            frame[name] = frame[name].astype("Int64" if kind == "int" else "boolean")
        elif kind in ("id", "text"):
            frame[name] = frame[name].astype("str")
    return frame


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder: what can be read, what was set aside, and how it adds up."""

    path: Path
    settings: Settings
    tables: Tables
    queries: Mapping[str, str]  # SQL of the kept rows of each table, for DuckDB over the folder (see `connection`)
    quarantine: pd.DataFrame  # one row per row that was set aside: table, row, column, value, kind, reason, record
    accounting: pd.DataFrame  # one row per table: rows_in = kept + broken + left_out
    notes: tuple[str, ...]
    fingerprint: str
    connection: duckdb.DuckDBPyConnection = field(repr=False)


def open_dataset(path: str | Path) -> Dataset:
    """Is this folder a dataset, and which of its rows can be used?

    Parameters
    ----------
    path : str or Path
        A folder with `touchpoints.parquet` or `tickets.parquet` (or both) and, usually, `dataset.toml`.

    Returns
    -------
    Dataset
        `.tables` holds a table only if it has at least one usable row. `.quarantine` has one row per refused row, those of the
        import and those found now. Opening writes nothing.

    Raises
    ------
    DataError
        If there is no such folder, no usable row in touchpoints and tickets, a required column is missing, or `dataset.toml`
        cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"no dataset folder at {path}: make one with cx import servicenow FILE --out {path}, or use data/demo")
    files = {table: file for table in TABLES if (file := path / f"{table}.parquet").is_file()}
    if not {"touchpoints", "tickets"} & set(files):
        raise DataError(
            f"{path} holds neither touchpoints.parquet nor tickets.parquet: make a dataset with cx import, or use data/demo"
        )
    settings, notes = _settings_file(path)
    con = connect()
    sources = {table: _readable(con, file) for table, file in files.items()}
    stored = _stored_quarantine(path)
    notes += _stored_notes(path)
    queries, asides, counts = {}, [stored], []
    for table, source in sources.items():
        try:
            checked = check(con, table, source, settings)
        except duckdb.Error as error:
            raise _unreadable(files[table], error) from None
        before = stored[stored["table"] == table]
        kept = checked.rows - len(checked.set_aside)
        asides.append(checked.set_aside)
        notes += checked.notes
        left_out = int((before["kind"] == LEFT_OUT).sum())
        counts.append((table, checked.rows + len(before), kept, len(checked.set_aside) + len(before) - left_out, left_out))
        if kept:
            queries[table] = checked.sql
    if not {"touchpoints", "tickets"} & set(queries):
        raise DataError(f"{path} {_nothing_usable(asides)}")
    settings = with_period(settings, con, {table: f"({query})" for table, query in queries.items()})
    quarantine = pd.concat([a for a in asides if len(a)] or asides[:1], ignore_index=True)
    accounting = pd.DataFrame(counts, columns=["table", "rows_in", "kept", "broken", "left_out"])
    return Dataset(
        path, settings, Tables(con, queries), queries, quarantine, accounting, tuple(notes), _fingerprint(path, files), con
    )


def _nothing_usable(asides: Sequence[pd.DataFrame]) -> str:
    broken = [row for aside in asides for row in aside.itertuples() if row.table in ("touchpoints", "tickets")]
    first = f"; the first: {broken[0].column} {broken[0].reason}" if broken else ""
    return f"has no usable row in touchpoints or tickets: one touch with a stage and a time is enough{first}"


def _readable(con: duckdb.DuckDBPyConnection, file: Path) -> str:
    """SQL over a parquet file with its row numbers from 1; refused in one line where it is no parquet file."""
    read = f"read_parquet({sql_text(str(file))}, file_row_number = true, hive_partitioning = false)"
    source = f"(SELECT file_row_number + 1 AS _row, * EXCLUDE (file_row_number) FROM {read})"
    try:
        con.execute(f"DESCRIBE SELECT * FROM {source}")
    except duckdb.Error as error:
        raise _unreadable(file, error) from None
    return source


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{file.name} cannot be read as parquet ({str(error).splitlines()[0]}): write it again with cx import")


def _settings_file(path: Path) -> tuple[Settings, list[str]]:
    file = path / "dataset.toml"
    if not file.is_file():
        return read_settings({"name": path.resolve().name}), [
            f"no dataset.toml: the stages {', '.join(STAGES)} and UTC are assumed"
        ]
    try:
        return read_settings(tomllib.loads(file.read_text(encoding="utf-8")), str(file)), []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not valid TOML: {error}") from None


def _stored_quarantine(path: Path) -> pd.DataFrame:
    file = path / "quarantine" / "rows.parquet"
    if not file.is_file():
        return pd.DataFrame(columns=QUARANTINE)
    try:
        return pq.read_table(file, columns=QUARANTINE).to_pandas()[QUARANTINE]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise _unreadable(file, error) from None


def _stored_notes(path: Path) -> list[str]:
    file = path / "quarantine" / "notes.txt"
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []


def _fingerprint(path: Path, files: Mapping[str, Path]) -> str:
    """A hash of all that can change a result: tables, settings, what was set aside, and what analysts keep there."""
    digest = hashlib.sha256()
    settings, of_analysts = path / "dataset.toml", [path / "themes.toml", *(path / "codebooks").glob("*")]
    for file in sorted([*files.values(), settings, path / "quarantine" / "rows.parquet", *of_analysts]):
        if file.is_file():
            digest.update(file.name.encode())
            with file.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def write_dataset(
    out: str | Path,
    settings: Mapping,
    tables: Mapping[str, pd.DataFrame],
    set_aside: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> pd.DataFrame:
    """Write tables as a dataset folder, after the same check that opening does.

    Parameters
    ----------
    out : str or Path
        A folder that does not exist, is empty, or is a dataset (which is replaced as a whole, at the end, by a rename).
    settings : mapping
        The keys of `dataset.toml`.
    tables : mapping of str to DataFrame
        Strings only, or typed values. Times as strings are ISO 8601 with an offset. `_row`, if there, is the row in the source.
    set_aside : DataFrame, optional
        Rows that the importer already set aside, with the columns of `QUARANTINE`.
    notes : sequence of str
        What a reader of the data must know, a line each; notebook 0 prints them.

    Returns
    -------
    DataFrame
        One row per table: table, rows_in, kept, broken, left_out; rows_in = kept + broken + left_out.
    """
    out = Path(out).resolve()
    refuse_foreign_folder(out)
    for table in tables:
        if table not in TABLES:
            raise DataError(f"unknown table {table}: {nearest(table, TABLES)}")
    wanted = read_settings(settings)
    con = connect()
    sources = {}
    for table, frame in tables.items():
        numbered = frame if "_row" in frame else frame.assign(_row=range(1, len(frame) + 1))
        con.register(f"in_{table}", pa.Table.from_pandas(numbered, preserve_index=False))
        sources[table] = f"in_{table}"
    asides = [set_aside[QUARANTINE]] if set_aside is not None and len(set_aside) else []
    notes, counts = list(notes), []
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out.parent, ".cx-") as scratch:
        folder = scratch / "dataset"
        folder.mkdir()
        for table, source in sources.items():
            checked = check(con, table, source, wanted)
            _write_parquet(con.sql(checked.sql).to_arrow_table(), folder / f"{table}.parquet")
            before = (
                asides[0][asides[0]["table"] == table] if set_aside is not None and len(set_aside) else checked.set_aside[:0]
            )
            left_out = int((before["kind"] == LEFT_OUT).sum())
            kept = checked.rows - len(checked.set_aside)
            counts.append((table, checked.rows + len(before), kept, len(checked.set_aside) + len(before) - left_out, left_out))
            asides.append(checked.set_aside) if len(checked.set_aside) else None
            notes += checked.notes
        if not any(kept for table, _, kept, _, _ in counts if table in ("touchpoints", "tickets")):
            raise DataError(f"nothing was written to {out}: the input {_nothing_usable(asides)}")
        _write_text(folder / "dataset.toml", tomli_w.dumps(wanted.as_toml()))
        if asides:
            rows = pd.concat(asides, ignore_index=True)
            (folder / "quarantine").mkdir()
            _write_parquet(
                pa.Table.from_pandas(rows.astype(dict.fromkeys(QUARANTINE, "str") | {"row": "int64"}), preserve_index=False),
                folder / "quarantine" / "rows.parquet",
            )
        if notes:
            (folder / "quarantine").mkdir(exist_ok=True)
            _write_text(folder / "quarantine" / "notes.txt", "\n".join(notes) + "\n")
        _replace(folder, out)
    return pd.DataFrame(counts, columns=["table", "rows_in", "kept", "broken", "left_out"])


def refuse_foreign_folder(out: Path) -> None:
    """Refuse to write a dataset over anything that is not one."""
    if out.resolve() == Path.cwd():
        raise DataError("a dataset replaces its whole folder, and this is the one you are in: name a folder inside it")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: name a folder for the dataset")
    if foreign := [entry.name for entry in sorted(out.iterdir()) if entry.name not in _OURS] if out.exists() else []:
        raise DataError(f"{out} holds {foreign[0]}, which is not part of a dataset: name a new or empty folder")


def _write_parquet(table: pa.Table, file: Path) -> None:
    pq.write_table(table, file, compression="zstd", compression_level=9)


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


def _replace(new: Path, out: Path) -> None:
    """Put the finished folder in place, with what analysts keep there; the old one stays whole until the new one is ready."""
    if out.exists():
        for name in ANALYSTS:
            if (out / name).exists():
                shutil.copytree(out / name, new / name) if (out / name).is_dir() else shutil.copy2(out / name, new / name)
        os.replace(out, new.parent / "old")
    os.replace(new, out)
    shutil.rmtree(new.parent / "old", ignore_errors=True)
