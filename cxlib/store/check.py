"""Does a table keep the contract of `schema`? Checked by DuckDB, so it never has to fit in memory."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pandas as pd

from cxlib.schema import ROW_TIME, TABLES, Column, DataError, key_of, nearest
from cxlib.store.settings import Settings

QUARANTINE = ["table", "row", "column", "value", "kind", "reason", "record"]
BROKEN, LEFT_OUT = "broken", "left out"


def connect(memory: str | None = None, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB that works in UTC, loads nothing from a network and spills to a temporary folder."""
    config: dict = {
        "autoinstall_known_extensions": False,
        "temp_directory": str(Path(tempfile.gettempdir()) / f"cxlib-{os.getpid()}"),
    }
    config |= {"memory_limit": memory} if memory else {}
    config |= {"threads": threads} if threads else {}
    con = duckdb.connect(config=config)
    con.execute("SET TimeZone = 'UTC'")
    return con


def _q(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


_TRUE, _FALSE = "('true', 't', 'yes', '1', '1.0')", "('false', 'f', 'no', '0', '0.0')"


def _cast(name: str, kind: str, stored_as: str) -> str:
    """SQL that reads a stored column as its kind in the dictionary, NULL where that cannot be."""
    c = _q(name)
    text = f"NULLIF(CAST({c} AS VARCHAR), '')"
    if kind == "id" and stored_as in ("DOUBLE", "FLOAT"):  # whole numbers with gaps, as pandas keeps them
        return f"CASE WHEN {c} = trunc({c}) THEN CAST(CAST({c} AS BIGINT) AS VARCHAR) ELSE {text} END"
    if kind in ("id", "text"):
        return text
    if kind == "bool":
        return f"CASE WHEN lower({text}) IN {_TRUE} THEN true WHEN lower({text}) IN {_FALSE} THEN false END"
    if kind == "date":
        return f"TRY_CAST({text} AS DATE)"
    if kind == "time":
        if stored_as in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
            return f"CAST({c} AS TIMESTAMPTZ)"
        if stored_as.startswith("TIMESTAMP") or stored_as == "DATE":
            return f"timezone('UTC', CAST({c} AS TIMESTAMP))"
        return (
            rf"CASE WHEN regexp_matches({text}, '\d\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)$') THEN TRY_CAST({text} AS TIMESTAMPTZ) END"
        )
    number = f"CASE WHEN isfinite(TRY_CAST({text} AS DOUBLE)) THEN TRY_CAST({text} AS DOUBLE) END"
    if kind == "float":
        return number
    return f"CASE WHEN {number} = trunc({number}) THEN TRY_CAST({text} AS BIGINT) END"


_NOT_A = {
    "time": "is not a time with its offset; name its format and time zone in the mapping: cx import table --mapping",
    "date": "is not a date like 2026-10-31",
    "float": "is not a finite number",
    "int": "is not a whole number",
    "bool": "is not true or false",
}


def _faults(table: str, columns: Sequence[str], settings: Settings) -> list[tuple[str, str, str]]:
    """How a row of `table` can break the contract: (SQL that finds it, column, reason), the first that holds is given."""
    faults = []
    for name in columns:
        column: Column = TABLES[table][name]
        c, raw = _q(name), _q("~" + name)
        missing = f"{raw} IS NULL OR {raw} = '' OR (lower({raw}) = 'nan' AND {column.kind in ('float', 'int')})"
        if column.required:
            faults.append((missing, name, "is empty, and the row means nothing without it"))
        if column.kind in _NOT_A:
            faults.append((f"NOT ({missing}) AND {c} IS NULL", name, _NOT_A[column.kind]))
        if column.low is not None:
            faults.append((f"{c} < {column.low}", name, f"is below {column.low:g}"))
        if column.high is not None:
            faults.append((f"{c} > {column.high}", name, f"is above {column.high:g}"))
        if column.allowed:
            faults.append(
                (f"{c} NOT IN ({', '.join(map(sql_text, column.allowed))})", name, f"is not one of {', '.join(column.allowed)}")
            )
    if "stage" in columns:
        known = ", ".join(settings.stages)
        reason = f"is not one of the stages ({known}); map it when importing: --map-value stage:THEIRS={settings.stages[-1]}"
        faults.append((f"stage NOT IN ({', '.join(map(sql_text, settings.stages))})", "stage", reason))
    when = ROW_TIME.get(table, "")
    if when in columns:
        for sign, bound, word in (
            ("<", settings.observed_from, "before observed_from"),
            (">", settings.observed_until, "after observed_until"),
        ):
            if bound is not None:
                until = f"{word} ({bound:%Y-%m-%dT%H:%M:%SZ}); change it in dataset.toml to keep the row"
                faults.append((f"{_q(when)} {sign} TIMESTAMPTZ {sql_text(bound.isoformat())}", when, f"lies {until}"))
    return faults


@dataclass(frozen=True)
class Checked:
    """One table after the check."""

    sql: str  # SELECT of the kept rows, typed, in file order
    rows: int
    set_aside: pd.DataFrame
    notes: list[str]


def check(con: duckdb.DuckDBPyConnection, table: str, source: str, settings: Settings) -> Checked:
    """Which rows of `source` (SQL with a `_row`) keep the contract of `table`, and what is wrong with the others?"""
    stored = {name: str(kind) for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    columns = [name for name in TABLES[table] if name in stored]
    notes = []
    if unknown := [name for name in stored if name not in TABLES[table] and name != "_row"]:
        notes.append(f"{table}: columns that the dictionary does not know were not read: {', '.join(unknown)}")
    needed = [name for name, column in TABLES[table].items() if column.required and name not in stored]
    keys = key_of(table)
    if absent := [name for name in needed if name not in keys or len(keys) > 1]:
        theirs = [name for name in stored if name != "_row"]
        raise DataError(
            f"{table} has no column {absent[0]}: {nearest(absent[0], theirs)}; map it when importing: --map {absent[0]}=THEIRS"
        )
    naive = [n for n in columns if TABLES[table][n].kind == "time" and stored[n].startswith(("TIMESTAMP", "DATE"))]
    if naive := [n for n in naive if stored[n] not in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")]:
        notes.append(f"{table}: times without a zone were read as UTC: {', '.join(naive)}")
    if needed:
        notes.append(f"{table}: no column {needed[0]}; the row number stands in for it")
    made_up = [f"CAST(_row AS VARCHAR) AS {_q(name)}" for name in needed]
    typed = ", ".join(
        ["_row", *made_up, *(f"{_cast(name, TABLES[table][name].kind, stored[name])} AS {_q(name)}" for name in columns)]
    )
    raws = ", ".join(f"CAST({_q(name)} AS VARCHAR) AS {_q('~' + name)}" for name in columns) or "NULL AS nothing"
    key = ", ".join(map(_q, keys))
    faults = _faults(table, columns, settings)
    case = " ".join(f"WHEN {condition} THEN {i}" for i, (condition, *_) in enumerate(faults)) or "WHEN FALSE THEN 0"
    rows = con.execute(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    found = con.execute(
        f"""WITH typed AS (SELECT {typed}, {raws} FROM {source}),
            seen AS (SELECT *, CASE {case} END AS _own FROM typed),
            twice AS (SELECT {key}, min(_row) AS _first FROM seen WHERE _own IS NULL GROUP BY {key} HAVING count(*) > 1)
            SELECT * FROM (SELECT seen._row, {", ".join(_q("~" + n) for n in columns) or "NULL"},
                                  coalesce(_own, CASE WHEN _first < seen._row THEN {len(faults)} END) AS _fault
                           FROM seen LEFT JOIN twice USING ({key})) WHERE _fault IS NOT NULL ORDER BY _row"""
    ).df()
    kept = f"SELECT {typed} FROM {source}"
    if len(found):
        bad = f"bad_{table}_{con.execute('SELECT count(*) FROM duckdb_tables()').fetchall()[0][0]}"
        con.execute(f"CREATE TEMP TABLE {bad} AS SELECT unnest(?::BIGINT[]) AS _row", [found["_row"].tolist()])
        kept += f" WHERE _row NOT IN (SELECT _row FROM {bad})"
    faults.append(("", keys[0], "repeats the key of an earlier row"))
    return Checked(
        f"SELECT * EXCLUDE (_row) FROM ({kept} ORDER BY _row)",
        rows,
        _explain(table, columns, faults, found),
        notes,
    )


def _explain(table: str, columns: Sequence[str], faults: list[tuple[str, str, str]], found: pd.DataFrame) -> pd.DataFrame:
    """One row per refused row: where, what, why, and the whole row as JSON, so that nothing is lost."""
    if found.empty:
        return pd.DataFrame(columns=QUARANTINE)
    raw = found[["~" + name for name in columns]].set_axis(list(columns), axis=1).astype(object)
    raw = raw.where(raw.notna(), None)
    records = raw.to_dict("records")
    where = [(faults[code][1], faults[code][2]) for code in found["_fault"].astype(int)]
    return pd.DataFrame(
        {
            "table": table,
            "row": found["_row"].astype("int64").to_numpy(),
            "column": [column for column, _ in where],
            "value": [record.get(column) or "" for record, (column, _) in zip(records, where, strict=True)],
            "kind": BROKEN,
            "reason": [reason for _, reason in where],
            "record": [json.dumps(record, ensure_ascii=False) for record in records],
        }
    )


def _last_times(con: duckdb.DuckDBPyConnection, sources: Mapping[str, str]) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """First and last time of the rows of each table that has one."""
    found = []
    for table, source in sources.items():
        stored = {name: str(kind) for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        when = ROW_TIME.get(table, "")
        if when in stored:
            cast = _cast(when, "time", stored[when])
            bounds = con.execute(f"SELECT epoch_us(min({cast})), epoch_us(max({cast})) FROM {source}").fetchall()[0]
            if bounds[0] is not None:
                found.append(tuple(pd.Timestamp(us, unit="us", tz="UTC").as_unit("us") for us in bounds))
    return found


def with_period(settings: Settings, con: duckdb.DuckDBPyConnection, sources: Mapping[str, str]) -> Settings:
    """Fill in the observed period from the tables where the settings leave it open."""
    if settings.observed_from is not None and settings.observed_until is not None:
        return settings
    times = _last_times(con, {t: s for t, s in sources.items() if t in ("touchpoints", "tickets", "ticket_events")})
    if not times:
        return settings
    return replace(
        settings,
        observed_from=settings.observed_from or min(first for first, _ in times),
        observed_until=settings.observed_until or max(last for _, last in times),
    )
