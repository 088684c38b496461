"""Touches in parquet files whose columns the caller names, as SQL."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from tqdm import tqdm

from cxlib.eventlog import progress
from cxlib.eventlog.touches import LAST_SEQ, Touches, facts_of, limit_memory, microseconds, owned
from cxlib.schema import STAGES, DataError, nearest
from cxlib.store import Settings, connect
from cxlib.store.check import sql_text
from cxlib.store.settings import read_settings, stage_names


def is_dataset(path: Path) -> bool:
    """Is this the folder of a data set, rather than of parquet files with touches?"""
    return path.is_dir() and any((path / name).is_file() for name in ("dataset.toml", "touchpoints.parquet", "tickets.parquet"))


def parquet_files(source: str | Path) -> list[Path]:
    """The parquet files that a path, a folder or a glob names; raises DataError where there are none."""
    path = Path(source)
    if path.is_file():
        return [path]
    found = path.rglob("*.parquet") if path.is_dir() else map(Path, glob.glob(str(source), recursive=True))
    if files := sorted(found):
        return files
    raise DataError(
        f"no parquet file at {source}: name a file, a folder, a pattern such as touches/*.parquet, or a dataset folder"
    )


def content(files: Sequence[Path]) -> list[str]:
    """A hash of each file's bytes, so that a changed or added file is noticed whatever its name and date say."""
    with progress.bar("reading files", sum(file.stat().st_size for file in files), unit="B", unit_scale=True) as shown:
        return [_hash(file, shown) for file in files]


def _hash(file: Path, shown: tqdm) -> str:
    digest, chunk = hashlib.sha256(), memoryview(bytearray(1 << 18))
    with file.open("rb", buffering=0) as handle:
        while n := handle.readinto(chunk):
            digest.update(chunk[:n])
            shown.update(n)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Rows:
    """The rows of parquet files as SQL: where they are, what is read of them, and which can be used."""

    con: duckdb.DuckDBPyConnection
    source: str
    column: Mapping[str, str]  # case, at, stage and, where there are any, user and tie: the names, quoted
    kind: Mapping[str, str]  # their types
    usable: str

    @property
    def us(self) -> str:
        return f"epoch_us({self.column['at']})"

    @property
    def stage(self) -> str:
        return f"CAST({self.column['stage']} AS VARCHAR)"

    @property
    def seq(self) -> str | None:
        return f"coalesce(CAST({self.column['tie']} AS BIGINT), {LAST_SEQ})" if "tie" in self.column else None

    def ask(self, what: str, where: str = "true") -> tuple:
        return self.con.execute(f"SELECT {what} FROM {self.source} WHERE {where}").fetchall()[0]


def of_files(files: Sequence[Path], names: Mapping[str, str | None], settings: Settings | None, memory: str) -> Touches:
    """The touches of parquet files; `names` says which column is case, user, at, stage and tie. See `compile`."""
    con = connect()
    limit_memory(con, memory)
    source = f"read_parquet([{', '.join(sql_text(str(file)) for file in files)}], union_by_name = true)"
    kinds = _kinds(con, source, files[0].name, names)
    column = {what: '"' + name.replace('"', '""') + '"' for what, name in names.items() if name is not None}
    usable = " AND ".join(f"{column[what]} IS NOT NULL" for what in ("case", "at", "stage"))
    rows, period, notes, n = _observed(_Rows(con, source, column, kinds, usable), settings)
    code = f"CAST(list_position([{', '.join(map(sql_text, period.stages))}], {rows.stage}) - 1 AS UTINYINT)"
    facts = facts_of(period, ("",), notes)
    of_owners = partial(_of_owners, rows, code, facts, n)
    if "user" in column and rows.ask("count(*)", f"{rows.usable} AND {column['user']} IS NULL")[0]:
        return of_owners()
    return _as_named(rows, code, facts, n, of_owners)


def _observed(rows: _Rows, settings: Settings | None) -> tuple[_Rows, Settings, list[str], int]:
    """The rows that were observed, the settings with their period, what is odd about them, and how many they are."""
    n, kept, first, last = rows.ask(f"count(*), count(*) FILTER ({rows.usable}), min({rows.us}), max({rows.us})")
    notes = [f"{n - kept} of {n} rows have no case, time or stage and are not in the journey"] if n > kept else []
    found = rows.con.execute(f"SELECT DISTINCT {rows.stage} FROM {rows.source} WHERE {rows.usable} ORDER BY 1").fetchall()
    settings = stages_known([name for (name,) in found], settings, notes)
    if settings.observed_until is not None:
        inside = f"{rows.us} <= {microseconds(settings.observed_until)}"
        (later,) = rows.ask("count(*)", f"{rows.usable} AND NOT {inside}")
        notes += [f"{later} rows lie after observed_until and are not in the journey"] if later else []
        rows, kept = replace(rows, usable=f"{rows.usable} AND {inside}"), kept - later
    return rows, within_period(settings, first, last), notes, kept


def _of_owners(rows: _Rows, code: str, facts: Mapping[str, Any], n: int) -> Touches:
    """The touches where a case may have two customers, or none: whose it is must be found out."""
    named = f"""SELECT CAST({rows.column["case"]} AS VARCHAR) AS case_id, CAST({rows.column["user"]} AS VARCHAR) AS who,
        {rows.us} AS us, {rows.seq or LAST_SEQ} AS seq, {code} AS stage, '' AS action, '' AS touchpoint_id,
        NULL::VARCHAR AS ticket_id FROM {rows.source} WHERE {rows.usable}"""
    keys = ("customer", "kind", "label", "us", "seq", "stage")
    return Touches(rows.con, f"SELECT {', '.join(keys)} FROM ({owned(named, (), 0)})", keys, facts, n, try_as_is=True)


def _as_named(rows: _Rows, code: str, facts: Mapping[str, Any], n: int, of_owners: Callable[[], Touches]) -> Touches:
    """The touches as the rows say, each of the customer it names, or of its case where no column names one."""
    ids = {what: _id(rows.column[what], rows.kind[what]) for what in ("case", "user") if what in rows.column}
    seq = f"{rows.seq} AS seq, " if rows.seq else ""
    sql = f"""SELECT {ids.get("user", ids["case"])} AS customer, {ids["case"]} AS label, {rows.us} AS us, {seq}{code} AS stage
        FROM {rows.source} WHERE {rows.usable}"""
    keys = ("customer", *(["label"] if "user" in ids else []), "us", *(["seq"] if seq else []), "stage")
    return Touches(rows.con, sql, keys, facts, n, try_as_is=True, if_shared=of_owners if "user" in ids else None)


def _kinds(con: duckdb.DuckDBPyConnection, source: str, file: str, names: Mapping[str, str | None]) -> dict[str, str]:
    """The type of each column that is named; raises DataError where it is missing or of a type that cannot be."""
    try:
        kinds = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    except duckdb.OutOfMemoryException:
        raise  # not the file's fault
    except duckdb.Error as error:
        raise DataError(f"{file} cannot be read as parquet ({str(error).splitlines()[0]})") from None
    for what, name in names.items():
        if name is not None and name not in kinds:
            raise DataError(f"{file} has no column {name} ({what}=): {nearest(name, kinds)}")
    found = {what: kinds[name] for what, name in names.items() if name is not None}
    if not found["at"].startswith(("TIMESTAMP", "DATE")):
        kind = found["at"].lower()
        raise DataError(f"{names['at']} holds {kind}, not times: a number has no unit; write the column as timestamps")
    if "tie" in found:
        refuse_unless_whole(str(names["tie"]), found["tie"])
    return found


def refuse_unless_whole(column: str, kind: str) -> None:
    """Raise DataError unless a type, by DuckDB's name or Spark's, is one of whole numbers, which alone can decide ties.

    >>> refuse_unless_whole("n", "BIGINT")
    >>> refuse_unless_whole("n", "VARCHAR")
    Traceback (most recent call last):
    cxlib.schema.DataError: n holds varchar, not whole numbers (tie=): write the column as integers, in pandas with \
.astype("Int64")
    """
    if not re.fullmatch(r'u?(tiny|small|big)?int(eger)?|decimal\(\d+, ?0\)|"null"', kind.lower()):  # null: no value at all
        raise DataError(
            f"{column} holds {kind.lower()}, not whole numbers (tie=): "
            'write the column as integers, in pandas with .astype("Int64")'
        )


def _id(column: str, kind: str) -> str:
    """An id as SQL: whole numbers stay numbers, everything else is text."""
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return f"CAST({column} AS BIGINT)"
    return column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"


def stages_known(found: Sequence[str], settings: Settings | None, notes: list[str]) -> Settings:
    """The settings given, the usual ones, or the stages found in the order of the alphabet, which `notes` then says."""
    if settings is None and not set(found) <= set(STAGES):
        notes.append(
            f"the stages are taken in this order, the last as escalation: {', '.join(found)}; settings= can say otherwise"
        )
        return read_settings({"stages": list(found)}, "stages found")
    settings = settings or Settings()
    stage_names(settings.stages, "settings=")
    if unknown := [name for name in found if name not in settings.stages]:
        raise DataError(f"stage {unknown[0]!r} is not a stage: {nearest(unknown[0], settings.stages)}")
    return settings


def within_period(settings: Settings, first: int | None, last: int | None) -> Settings:
    """The settings, observed from the first touch to the last (microseconds) where they do not say."""
    began, ended = (None if us is None else pd.Timestamp(us, unit="us", tz="UTC") for us in (first, last))
    return replace(settings, observed_from=settings.observed_from or began, observed_until=settings.observed_until or ended)
