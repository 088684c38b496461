"""Any CSV, JSON-lines or parquet file, by a mapping that says which of its columns are which of ours.

A mapping is a TOML file without expressions (`data/mappings/boston311.toml` is one, with every key explained).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd

from cxlib.schema import STAGES, TABLES, DataError, duration, key_of, nearest
from cxlib.sources import convert
from cxlib.sources.convert import LEFT_OUT, Imported
from cxlib.sources.read import Chunk

SETTINGS = ("name", "timezone", "observed_from", "observed_until", "stages", "escalation", "problem_from", "cases", "cost")
READING = ("delimiter", "encoding", "missing", "missing_without", "dates", "drop", "tables")
_CASE_KEY = "_case_key"


def load_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a TOML file, checked."""
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no mapping {path}: write one like data/mappings/boston311.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML: {error}") from None
    return check_mapping(plain, str(path))


def check_mapping(plain: Mapping[str, Any], where: str = "the mapping") -> dict[str, Any]:
    """Refuse a mapping with an unknown key, table or column, or with a value of the wrong kind.

    >>> check_mapping({"tables": {"applications": {"columns": {"owner": "team"}}}})
    Traceback (most recent call last):
    cxlib.schema.DataError: the mapping [tables.applications.columns]: unknown key owner: did you mean owner_group? \
Allowed: application_id, owner_group, tier
    """
    _keys(plain, (*SETTINGS, *READING), where)
    for key in ("delimiter", "encoding"):
        _want(plain.get(key, ","), str, f"{where}: {key}")
    if len(plain.get("delimiter", ",")) != 1:
        raise DataError(f'{where}: delimiter = {plain["delimiter"]!r} is not one character: write "," or ";" or "\\t"')
    _texts(plain.get("missing", []), f"{where}: missing")
    _names(plain.get("missing_without", {}), f"{where} [missing_without]")
    _dates(plain.get("dates", {}), f"{where} [dates]")
    for number, rule in enumerate(_want(plain.get("drop", []), list, f"{where}: drop"), 1):
        _rule(rule, f"{where}: drop {number}")
    tables = plain.get("tables", {})
    _keys(tables, tuple(TABLES), f"{where} [tables]")
    if not tables:
        raise DataError(
            f'{where} names no table: write [tables.touchpoints.columns] with lines like occurred_at = "THEIR COLUMN"'
        )
    for table, part in tables.items():
        _table(table, part, f"{where} [tables.{table}")
    return dict(plain)


def _table(table: str, part: Any, where: str) -> None:
    ours = tuple(TABLES[table])
    _keys(part, ("columns", "values", "dates", "cases"), f"{where}]")
    _keys(part.get("columns", {}), ours, f"{where}.columns]")
    _names(part.get("columns", {}), f"{where}.columns]")
    _keys(part.get("values", {}), ours, f"{where}.values]")
    for column, values in part.get("values", {}).items():
        _names(values, f"{where}.values.{column}]")
    _keys(part.get("dates", {}), tuple(n for n, c in TABLES[table].items() if c.kind in ("time", "date")), f"{where}.dates]")
    for column, form in part.get("dates", {}).items():
        _dates(form, f"{where}.dates.{column}]")
    for kind in ("values", "dates"):
        for column in part.get(kind, {}):
            if column not in part.get("columns", {}):
                raise DataError(f"{where}.{kind}.{column}]: {column} has no line in {where}.columns]")
    if "cases" in part:
        _cases(table, part["cases"], f"{where}.cases]")
    missing = [n for n, c in TABLES[table].items() if c.required and n not in part.get("columns", {})]
    if needed := [name for name in missing if name not in key_of(table) or len(key_of(table)) > 1]:
        raise DataError(
            f"{where}.columns] has no line for {needed[0]}, which {table} cannot do without: give --map {needed[0]}=THEIRS"
        )


def _cases(table: str, cases: Any, where: str) -> None:
    if table != "touchpoints":
        raise DataError(f"{where}: cases are cut from touchpoints: write [tables.touchpoints.cases]")
    _keys(cases, ("key", "gap"), where)
    if not _texts(cases.get("key", []), f"{where}: key"):
        raise DataError(f'{where}: key is missing: write key = ["THEIR COLUMN", ...], the columns that make a case')
    duration(cases.get("gap"), f"{where} gap")


def _rule(rule: Any, where: str) -> None:
    _keys(rule, ("column", "values", "reason"), where)
    for key in ("column", "reason"):
        _want(rule.get(key), str, f"{where}: {key}")
    _texts(rule.get("values"), f"{where}: values")


def _dates(form: Any, where: str) -> None:
    _keys(form, ("format", "timezone"), where)
    for key in form:
        _want(form[key], str, f"{where}: {key}")
    if "timezone" in form:
        convert.zone(form["timezone"])


def _keys(plain: Any, allowed: tuple[str, ...], where: str) -> None:
    for key in _want(plain, dict, where):
        if key not in allowed:
            raise DataError(f"{where}: unknown key {key}: {nearest(key, allowed)}")


def _want(value: Any, kind: type, where: str) -> Any:
    words: dict[type, str] = {
        str: 'a text, such as "abc"',
        list: 'a list, such as ["a", "b"]',
        dict: "a table of key = value lines",
    }
    if not isinstance(value, kind):
        raise DataError(f"{where} is {'missing' if value is None else repr(value)}: write {words[kind]}")
    return value


def _texts(value: Any, where: str) -> list[str]:
    return [_want(text, str, f"{where}, entry {n}") for n, text in enumerate(_want(value, list, where), 1)]


def _names(value: Any, where: str) -> None:
    for name, text in _want(value, dict, where).items():
        _want(text, str, f"{where}: {name}")


# ---- conversion


def convert_rows(chunks: Iterable[Chunk], mapping: Mapping[str, Any], path: Path | str = "the export") -> Imported:
    """Which rows of any export are which rows of ours?

    Parameters
    ----------
    chunks : iterable of Chunk
        The export, as `read.chunks` gives it.
    mapping : mapping
        As `check_mapping` returns it. One row may feed several tables.

    Returns
    -------
    Imported
        Each table holds the mapped columns and `_row`. Every row of the export is, for each table, there or in `set_aside`.

    Raises
    ------
    DataError
        If the export lacks a column that the mapping names, or has no rows.
    """
    parts: dict[str, list[pd.DataFrame]] = {table: [] for table in mapping["tables"]}
    asides: list[pd.DataFrame] = []
    seen: dict[str, None] = {}
    twice = 0
    for n, chunk in enumerate(chunks):
        if n == 0:
            convert.need_rows(chunk, str(path))
        seen |= dict.fromkeys(chunk.frame.columns)
        if n == 0 and chunk.same_columns:
            _check_columns(mapping, list(seen), path)
        raw = chunk.frame.reindex(columns=list(dict.fromkeys([*chunk.frame.columns, *_theirs(mapping)])))
        texts, left_out = _sifted(raw, mapping)
        for table, part in mapping["tables"].items():
            built, broken, n_twice = _built(table, texts, mapping, chunk.times)
            parts[table].append(built)
            asides += [convert.unreadable(table, chunk.broken), convert.set_aside(table, raw, broken, part["columns"])]
            asides += [convert.set_aside(table, raw, why, {}, LEFT_OUT) for why in left_out]
            twice += n_twice
    _check_columns(mapping, list(seen), path)
    tables = {table: pd.concat(built) for table, built in parts.items()}
    notes = [f"{twice:,} local times that occur twice (the clocks go back) were read as the first"] if twice else []
    notes += _cut_cases(tables, mapping)
    plain = {table: frame.rename_axis("_row").reset_index() for table, frame in tables.items()}
    settings = {key: mapping[key] for key in SETTINGS if key in mapping}
    return Imported(settings, plain, convert.stacked(asides), notes)


def _theirs(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Every column of the export that the mapping names, and where."""
    named = {rule["column"]: "drop" for rule in mapping.get("drop", [])}
    for column, other in mapping.get("missing_without", {}).items():
        named |= {column: "missing_without", other: "missing_without"}
    for table, part in mapping["tables"].items():
        named |= dict.fromkeys(part.get("cases", {}).get("key", []), f"{table}.cases")
        named |= {theirs: f"{table}.{ours}" for ours, theirs in part["columns"].items()}
    return named


def _check_columns(mapping: Mapping[str, Any], found: list[str], path: Path | str) -> None:
    absent = {name: where for name, where in _theirs(mapping).items() if name not in found}
    for name, where in absent.items():
        raise DataError(
            f"{path} has no column {name!r} (mapped for {where}), {len(absent)} missing in all: {nearest(name, found)}"
        )


def _sifted(raw: pd.DataFrame, mapping: Mapping[str, Any]) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The rows that are wanted, with what counts as missing taken out; and why each of the others is not."""
    texts = raw.mask(raw.isin(mapping.get("missing", [])))
    left_out = []
    for rule in mapping.get("drop", []):
        column = texts[rule["column"]]
        gone = texts.index[column.isin(rule["values"]) | (column.isna() & ("" in rule["values"]))]
        left_out.append(pd.DataFrame({"column": rule["column"], "reason": rule["reason"]}, index=gone))
        texts = texts.drop(gone)
    for column, other in mapping.get("missing_without", {}).items():
        texts[column] = texts[column].where(texts[other].notna())
    return texts, left_out


def _built(
    table: str, texts: pd.DataFrame, mapping: Mapping[str, Any], stored_times: frozenset[str]
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Our columns of these rows; which rows break and why; how many local times occur twice."""
    part = mapping["tables"][table]
    built, found, twice = {}, [], 0
    for ours, theirs in part["columns"].items():
        column = built[ours] = _renamed(texts[theirs], part.get("values", {}).get(ours, {}))
        if TABLES[table][ours].kind in ("time", "date"):
            form = {"timezone": mapping.get("timezone", "UTC")} | mapping.get("dates", {}) | part.get("dates", {}).get(ours, {})
            local = form["timezone"] if TABLES[table][ours].kind == "time" else "UTC"
            times = convert.to_utc(column, None if theirs in stored_times else form.get("format"), local)
            built[ours] = times.at if TABLES[table][ours].kind == "time" else times.at.dt.strftime("%Y-%m-%d")
            found.append((ours, times.reason))
            twice += times.n_twice
        if ours == "stage" and table == "touchpoints":
            found.append((ours, _unmapped(column, theirs, mapping.get("stages", STAGES))))
        if TABLES[table][ours].required:
            found.append((ours, pd.Series(convert.EMPTY, texts.index, dtype="str").where(column.isna())))
    if "cases" in part:
        keys = [texts[name] for name in part["cases"]["key"]]
        built[_CASE_KEY] = keys[0].str.cat(keys[1:], sep="\x1f")  # missing where one of them is
    why = convert.first_reason(found, texts.index)
    return pd.DataFrame(built, index=texts.index).drop(why.index), why, twice


def _renamed(column: pd.Series, values: Mapping[str, str]) -> pd.Series:
    """Their values as ours; one without a line stays as it is; "" stands for missing."""
    if not values:
        return column
    return column.map(dict(values)).astype("str").fillna(column).fillna(values.get("", pd.NA))


def _unmapped(stage: pd.Series, theirs: str, stages: Iterable[str]) -> pd.Series:
    """Why these are no stages, with the line that would make them one."""
    stages = list(stages)
    to = stages[-2] if len(stages) > 1 else stages[-1]

    def line(value: str) -> str:
        short = value.isprintable() and len(value) <= 60
        return f"--map-value {quote(f'stage:{value}={to}')}" if short else "a line under [tables.touchpoints.values.stage]"

    odd = {
        value: f"{theirs} is no stage ({', '.join(stages)}): map it, such as {line(value)}"
        for value in stage.dropna().unique()
        if value not in stages
    }
    return stage.map(odd).astype("str")


def _cut_cases(tables: dict[str, pd.DataFrame], mapping: Mapping[str, Any]) -> list[str]:
    """Give the touches their case_id, and the rows of other tables that of the touch from the same row.

    A case is a run of touches with the same key and no pause longer than the gap; it is named after its first touch. A touch
    that lacks a part of the key is a case of its own.
    """
    cases = mapping["tables"].get("touchpoints", {}).get("cases")
    if cases is None:
        return []
    touches = tables["touchpoints"]
    names = touches.get("touchpoint_id", pd.Series(touches.index.astype(str), touches.index)).to_numpy(dtype=object)
    key = pd.factorize(touches.pop(_CASE_KEY))[0]
    at = touches["occurred_at"].astype("int64").to_numpy()
    order = np.lexsort((touches.index.to_numpy(), at, key))
    key, at = key[order], at[order]
    new = (key == -1) | np.r_[True, key[1:] != key[:-1]] | np.r_[True, np.diff(at) > duration(cases["gap"])]
    starts = order[new]
    case = np.empty(len(order), dtype=object)
    case[order] = names[starts][np.cumsum(new) - 1]
    touches["case_id"] = pd.Series(case, touches.index, dtype="str")
    for table, frame in tables.items():
        if "case_id" in TABLES[table] and "case_id" not in frame:
            frame["case_id"] = touches["case_id"].reindex(frame.index)
    return [
        f"{len(starts):,} cases: the same {' and '.join(cases['key'])} with no pause longer than {cases['gap']}; "
        f"{(key == -1).sum():,} touches lack one of them and are cases of their own"
    ]
