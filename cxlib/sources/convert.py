"""What every source needs: times to UTC, rows set aside with a reason, and the shape of an import."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from cxlib.schema import DataError
from cxlib.sources.read import Broken, Chunk

SET_ASIDE = ["table", "row", "column", "value", "kind", "reason", "record"]
BROKEN, LEFT_OUT = "broken", "left out"
EMPTY = "is empty, and the row means nothing without it"
_UNIX = {"unix": 1_000_000, "unix_ms": 1_000}  # microseconds
_DATED, _OFFSET = r"\d{4}-\d\d-\d\d", r"\d\d:?\d\d.*(?:Z|[+-]\d\d:?(?:\d\d)?)"


class Imported(NamedTuple):
    """An export as tables.

    `settings` has the keys of `dataset.toml`. `tables` hold text or typed values, and `_row`, the row in the export.
    `set_aside` has one row per table and row that did not get in: `kind` is broken or left out. `notes` are what a reader
    must know.
    """

    settings: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    set_aside: pd.DataFrame
    notes: list[str]


class Times(NamedTuple):
    """Times in UTC, NaT where missing or broken; `reason` is NA where nothing is broken; `n_twice` local times occur twice."""

    at: pd.Series
    reason: pd.Series
    n_twice: int


def zone(name: str) -> ZoneInfo:
    """The time zone of this IANA name.

    >>> zone("Mars")
    Traceback (most recent call last):
    cxlib.schema.DataError: time zone 'Mars' is not known: write an IANA name such as "Europe/Berlin" or "UTC"
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise DataError(f'time zone {name!r} is not known: write an IANA name such as "Europe/Berlin" or "UTC"') from None


def to_utc(texts: pd.Series, form: str | None = None, local: str = "UTC") -> Times:
    """When were these local times, in UTC?

    Parameters
    ----------
    texts : Series of str
        One time per row, missing as NA.
    form : str, optional
        As in strptime, or "unix" or "unix_ms"; without it ISO 8601, with or without an offset. Nothing is guessed.
    local : str
        IANA zone of the times that carry no offset.

    Notes
    -----
    A local time that occurs twice (the clocks go back) is read as the first and counted. One that does not occur is broken.

    >>> to_utc(pd.Series(["29/2/2016 01:16"]), "%d/%m/%Y %H:%M", "America/New_York").at[0]
    Timestamp('2016-02-29 06:16:00+0000', tz='UTC')
    """
    if form in _UNIX:
        numbers = pd.to_numeric(texts, errors="coerce")
        whole = (numbers * _UNIX[form]).round().where(numbers.abs() < 1e13).astype("Int64")
        at = pd.to_datetime(whole, unit="us", errors="coerce", utc=True)
        return _times(texts, at, f"is not a number of {'seconds' if form == 'unix' else 'milliseconds'} since 1970")
    if form is not None:
        read = pd.to_datetime(texts, format=form, errors="coerce", utc="%z" in form)
        times = _times(texts, read, f"does not match the format {form}")
        return times if "%z" in form else _localized(times, local)
    dated = texts.where(texts.str.match(_DATED).fillna(False).astype(bool))
    aware = dated.str.contains(_OFFSET + "$", regex=True).fillna(False).astype(bool)
    naive = _localized(_times(texts, pd.to_datetime(dated.where(~aware), format="ISO8601", errors="coerce"), ""), local)
    at = pd.to_datetime(dated.where(aware), format="ISO8601", errors="coerce", utc=True).dt.as_unit("us").fillna(naive.at)
    why = 'is not ISO 8601 (2026-10-31 14:05): name its format in the mapping, such as [dates] format = "%d/%m/%Y %H:%M"'
    reason = _times(texts, at, why).reason
    return Times(at, naive.reason.where(naive.reason.notna() & naive.reason.ne("") & at.isna(), reason), naive.n_twice)


def _times(texts: pd.Series, at: pd.Series, why: str) -> Times:
    at = at.dt.as_unit("us")
    return Times(at, pd.Series(why, texts.index, dtype="str").where(texts.notna() & at.isna()), 0)


def _localized(times: Times, local: str) -> Times:
    naive, name = times.at, zone(local)
    at = naive.dt.tz_localize(name, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    odd = naive[at.isna() & naive.notna()]
    if odd.empty:
        return times._replace(at=at)
    either = [
        odd.dt.tz_localize(name, ambiguous=[dst] * len(odd), nonexistent="NaT").dt.tz_convert("UTC") for dst in (True, False)
    ]
    first = either[0].where(either[0] < either[1], either[1])
    gone = first.index[first.isna()]
    reason = times.reason.copy()
    reason.loc[gone] = f"does not exist in {local}: the clocks went forward over it"
    at.loc[first.index] = first
    return Times(at, reason, int(first.notna().sum()))


def first_reason(found: Sequence[tuple[str, pd.Series]], index: pd.Index) -> pd.DataFrame:
    """Which rows break, and by what first? (column, reason) per broken row, indexed by row number.

    `found` has one (column, reasons) per check, reasons NA where the row passes.
    """
    column, reason = pd.Series(pd.NA, index, dtype="str"), pd.Series(pd.NA, index, dtype="str")
    for name, reasons in found:
        new = reasons.notna() & reason.isna()
        column, reason = column.mask(new, name), reason.fillna(reasons)
    return pd.DataFrame({"column": column, "reason": reason})[reason.notna()]


def set_aside(table: str, raw: pd.DataFrame, why: pd.DataFrame, theirs: dict[str, str], kind: str = BROKEN) -> pd.DataFrame:
    """Rows of `raw` that do not get into `table`, for the quarantine.

    `why` has column and reason, indexed by row number; `theirs` gives the export's name of a column. A broken row is
    kept whole, as JSON; one that is left out on purpose is found in the export by its number.
    """
    values = pd.Series("", why.index, dtype="str")
    for name in why["column"].unique():
        here = why["column"] == name
        values = values.mask(here, raw.loc[why.index, theirs.get(name, name)].fillna(""))
    frame = pd.DataFrame(
        {"table": table, "row": why.index, "column": why["column"], "value": values, "kind": kind, "reason": why["reason"]}
    )
    return frame.assign(record=_records(raw.loc[why.index]) if kind == BROKEN else "").reset_index(drop=True)


def _records(rows: pd.DataFrame) -> list[str]:
    plain = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return [json.dumps(record, ensure_ascii=False) for record in plain]


def unreadable(table: str, broken: Sequence[Broken]) -> pd.DataFrame:
    """Rows that the reader could not cut into columns, for the quarantine of `table`."""
    return pd.DataFrame(
        [(table, b.row, "", "", BROKEN, b.reason, json.dumps(b.text, ensure_ascii=False)) for b in broken], columns=SET_ASIDE
    )


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All set-aside rows in one frame."""
    return pd.concat([f for f in frames if len(f)] or [pd.DataFrame(columns=SET_ASIDE)], ignore_index=True)


def need_rows(chunk: Chunk, what: str) -> None:
    """Refuse an export that has a header and nothing else."""
    if chunk.frame.empty and not chunk.broken:
        raise DataError(f"{what} has a header and no rows: export it again, with rows")
