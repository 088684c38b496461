"""Touches in parquet files whose columns the caller names, as SQL."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
from cxlib.store.settings import read_settings


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
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
            shown.update(len(chunk))
    return digest.hexdigest()


def of_files(files: Sequence[Path], names: Mapping[str, str | None], settings: Settings | None, memory: str) -> Touches:
    """The touches of parquet files; `names` says which column is case, user, at, stage and tie. See `compile`."""
    con = connect()
    limit_memory(con, memory)
    source = f"read_parquet([{', '.join(sql_text(str(file)) for file in files)}], union_by_name = true)"
    kinds = _kinds(con, source, files[0].name, names)
    column = {what: '"' + name.replace('"', '""') + '"' for what, name in names.items() if name is not None}
    us, stage = f"epoch_us({column['at']})", f"CAST({column['stage']} AS VARCHAR)"
    usable = " AND ".join(f"{column[what]} IS NOT NULL" for what in ("case", "at", "stage"))

    def ask(sql: str) -> tuple:
        return con.execute(sql).fetchall()[0]

    rows, kept, first, last = ask(f"SELECT count(*), count(*) FILTER ({usable}), min({us}), max({us}) FROM {source}")
    notes = [f"{rows - kept} of {rows} rows have no case, time or stage and are not in the journey"] if rows > kept else []
    found = con.execute(f"SELECT DISTINCT {stage} FROM {source} WHERE {usable} ORDER BY 1").fetchall()
    settings = _settings([name for (name,) in found], settings, notes)
    if settings.observed_until is not None:
        inside = f"{us} <= {microseconds(settings.observed_until)}"
        (later,) = ask(f"SELECT count(*) FROM {source} WHERE {usable} AND NOT {inside}")
        notes += [f"{later} rows lie after observed_until and are not in the journey"] if later else []
        usable += f" AND {inside}"
    stages = f"[{', '.join(map(sql_text, settings.stages))}]"
    code = f"CAST(list_position({stages}, {stage}) - 1 AS UTINYINT)"
    seq = f"coalesce(CAST({column['tie']} AS BIGINT), {LAST_SEQ})" if "tie" in column else None
    period = replace(
        settings,
        observed_from=settings.observed_from or _time(first),
        observed_until=settings.observed_until or _time(last),
    )

    def touches(sql: str, *keys: str | None, **more: Any) -> Touches:
        return Touches(con, sql, tuple(filter(None, keys)), facts_of(period, ("",), notes), kept, try_as_is=True, **more)

    def of_owners() -> Touches:
        named = f"""SELECT CAST({column["case"]} AS VARCHAR) AS case_id, CAST({column["user"]} AS VARCHAR) AS who, {us} AS us,
            {seq or LAST_SEQ} AS seq, {code} AS stage, '' AS action, '' AS touchpoint_id, NULL::VARCHAR AS ticket_id
            FROM {source} WHERE {usable}"""
        sql = f"SELECT customer, kind, label, us, seq, stage FROM ({owned(named, (), 0)})"
        return touches(sql, "customer", "kind", "label", "us", "seq", "stage")

    if "user" in column and ask(f"SELECT count(*) FROM {source} WHERE {usable} AND {column['user']} IS NULL")[0]:
        return of_owners()
    ids = {what: _id(column[what], kinds[str(names[what])]) for what in ("case", "user") if what in column}
    sql = f"""SELECT {ids.get("user", ids["case"])} AS customer, {ids["case"]} AS label, {us} AS us,
        {f"{seq} AS seq, " if seq else ""}{code} AS stage FROM {source} WHERE {usable}"""
    if "user" not in column:
        return touches(sql, "customer", "us", seq and "seq", "stage")
    return touches(sql, "customer", "label", "us", seq and "seq", "stage", if_shared=of_owners)


def _kinds(con: duckdb.DuckDBPyConnection, source: str, file: str, names: Mapping[str, str | None]) -> dict[str, str]:
    """The type of each column; raises DataError where a named one is missing or times are not times."""
    try:
        kinds = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    except duckdb.OutOfMemoryException:
        raise  # not the file's fault
    except duckdb.Error as error:
        raise DataError(f"{file} cannot be read as parquet ({str(error).splitlines()[0]})") from None
    for what, name in names.items():
        if name is not None and name not in kinds:
            raise DataError(f"{file} has no column {name} ({what}=): {nearest(name, kinds)}")
    if not kinds[str(names["at"])].startswith(("TIMESTAMP", "DATE")):
        kind = kinds[str(names["at"])].lower()
        raise DataError(f"{names['at']} holds {kind}, not times: a number has no unit; write the column as timestamps")
    return kinds


def _owner_unclear(ask: Callable[[str], tuple], source: str, usable: str, column: Mapping[str, str]) -> bool:
    """Is a touch without customer, or a case with two?"""
    user = column["user"]
    if ask(f"SELECT count(*) FROM {source} WHERE {usable} AND {user} IS NULL")[0]:
        return True
    two = f"SELECT 1 FROM {source} WHERE {usable} GROUP BY {column['case']} HAVING min({user}) <> max({user}) LIMIT 1"
    return bool(ask(f"SELECT count(*) FROM ({two})")[0])


def _id(column: str, kind: str) -> str:
    """An id as SQL: whole numbers stay numbers, everything else is text."""
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return f"CAST({column} AS BIGINT)"
    return column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"


def _settings(found: Sequence[str], settings: Settings | None, notes: list[str]) -> Settings:
    """The settings given, the usual ones, or the stages found in the order of the alphabet, which `notes` then says."""
    if settings is None and not set(found) <= set(STAGES):
        notes.append(
            f"the stages are taken in this order, the last as escalation: {', '.join(found)}; settings= can say otherwise"
        )
        return read_settings({"stages": list(found)}, "stages found")
    settings = settings or Settings()
    if unknown := [name for name in found if name not in settings.stages]:
        raise DataError(f"stage {unknown[0]!r} is not a stage: {nearest(unknown[0], settings.stages)}")
    return settings


def _time(us: int | None) -> pd.Timestamp | None:
    return None if us is None else pd.Timestamp(us, unit="us", tz="UTC")
