"""Read any export as text: nothing is guessed, nothing is dropped in silence.

Every value arrives as the string that stood in the file ("NA" stays "NA", "00123" stays "00123"); the empty string is missing.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from cxlib.schema import DataError

CHUNK = 20_000  # rows held as Python strings at a time
LONGEST_FIELD = 16 * 2**20  # characters; an unclosed quote swallows at most this much
LONGEST_RECORD = 10_000  # characters of a broken row that are kept
_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_ZSTD = b"\x28\xb5\x2f\xfd"
_BROKEN_PACKING = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, OSError)


class Broken(NamedTuple):
    """A row that could not be read: its number, why, and what stood there."""

    row: int
    reason: str
    text: str


class Chunk(NamedTuple):
    """Some rows of a file, in order.

    `frame` has the file's own column names, text only, missing as NA; its index is the row number (1 = first row after the
    header). `broken` holds the rows that are not in it. `times` names the columns that the file itself stores as times: they
    are written as ISO 8601. `same_columns`: every chunk of the file has these columns (JSON lines may bring new ones).
    """

    frame: pd.DataFrame
    broken: list[Broken]
    times: frozenset[str] = frozenset()
    same_columns: bool = True


def chunks(path: Path, delimiter: str = ",", encoding: str = "utf-8", size: int = CHUNK) -> Iterator[Chunk]:
    """What stands in this CSV, JSON-lines or parquet file (the first two also as .gz, .bz2, .xz or .zst)?

    Yields at least one chunk, of at most `size` rows. Blank lines are not rows.

    Raises
    ------
    DataError
        If there is no such file, or it is empty, cut off, packed in an unknown way or in another encoding, or its header
        names a column twice.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}: give the path of a CSV, JSON-lines or parquet file")
    start = _start_of(path)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and not encoding.lower().startswith(("utf-16", "utf_16", "utf16")):
        raise DataError(f'{path} is UTF-16: write encoding = "utf-16" in the mapping, or give --encoding utf-16')
    if start.startswith(b"PAR1"):
        yield from _parquet(path, size)
        return
    if start.startswith(b"PK\x03\x04"):
        raise DataError(f"{path} is a zip or Excel file: save it as CSV, or unpack it first")
    with _text(path, start, encoding) as lines:
        first = next(lines, "")
        if not first.strip():
            raise DataError(f"{path} is empty: it needs a header line, then one line per row")
        whole = _chain(first, lines)
        yield from _json_lines(path, whole, size) if _is_json(path, first) else _csv(path, whole, delimiter, size)


def columns(path: Path, delimiter: str = ",", encoding: str = "utf-8") -> list[str]:
    """Which columns does this file have? (Of JSON lines: those of the first rows.)"""
    return list(next(chunks(path, delimiter, encoding, size=1000)).frame.columns)


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(6)


def _chain(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


def _is_json(path: Path, first: str) -> bool:
    kinds = {suffix.lower() for suffix in path.suffixes}
    if kinds & {".csv", ".tsv", ".txt"}:
        return False
    return bool(kinds & {".json", ".jsonl", ".ndjson"}) or first.lstrip().startswith("{")


def _unpacked(file: BinaryIO, start: bytes) -> Any:
    if start.startswith(_ZSTD):
        return pa.CompressedInputStream(file, "zstd")
    for magic, unpack in _PACKED.items():
        if start.startswith(magic):
            return unpack(file)
    return file


@contextmanager
def _text(path: Path, start: bytes, encoding: str) -> Iterator[Iterator[str]]:
    """The lines of a file, with a progress bar where somebody watches for more than two seconds, and clear errors."""
    with (
        path.open("rb") as file,
        tqdm(
            total=path.stat().st_size,
            unit="B",
            unit_scale=True,
            desc=path.name,
            delay=2,
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        try:
            text = io.TextIOWrapper(
                _unpacked(file, start), encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline=""
            )
        except LookupError:
            raise DataError(f"encoding {encoding!r} is unknown: write utf-8, latin-1, cp1252 or utf-16") from None
        yield _lines(text, file, bar, path, encoding)


def _lines(text: Iterable[str], file: BinaryIO, bar: tqdm[Any], path: Path, encoding: str) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(text, 1):
            yield line
            if number % 4096 == 0:
                bar.update(file.tell() - bar.n)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not {encoding} after line {number:,} (byte 0x{error.object[error.start]:02x}): "
            'write encoding = "latin-1" (or "cp1252" for Windows) in the mapping, or give --encoding latin-1'
        ) from None
    except UnicodeError as error:
        raise DataError(f"{path} is not {encoding} after line {number:,} ({error}): give --encoding utf-8 or latin-1") from None
    except _BROKEN_PACKING as error:
        raise DataError(f"{path} breaks off after line {number:,} ({error}): copy or download it again") from None


# ---- CSV


def _csv(path: Path, lines: Iterable[str], delimiter: str, size: int) -> Iterator[Chunk]:
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        records = _records(lines, delimiter)
        fields, reason, _ = next(records)
        if fields is None:
            raise DataError(f"the header of {path} cannot be read: {reason}")
        names = _header(path, fields, delimiter)
        yield from _batches(_checked(records, len(names)), names, size)
    finally:
        csv.field_size_limit(limit)


def _header(path: Path, fields: list[str], delimiter: str) -> list[str]:
    names = [name or f"column {number}" for number, name in enumerate(fields, 1)]
    for other in ",;\t|":
        if len(names) == 1 and other != delimiter and other in names[0]:
            raise DataError(
                f"{path} has one column {names[0][:60]!r} when cut at {delimiter!r}: "
                f'write delimiter = "{_shown(other)}" in the mapping, or give --delimiter "{_shown(other)}"'
            )
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        where = ", ".join(str(number) for number, name in enumerate(names, 1) if name == twice[0])
        raise DataError(f"{path} has more than one column {twice[0]!r} (columns {where}): rename all but one")
    return names


def _shown(delimiter: str) -> str:
    return "\\t" if delimiter == "\t" else delimiter


def _records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[list[str] | None, str, str]]:
    """One (fields, reason, raw text) per record that is not a blank line; no fields where the quotes make no sense."""
    raw: list[str] = []

    def remembered() -> Iterator[str]:
        for line in lines:
            raw.append(line)
            yield line

    reader = csv.reader(remembered(), delimiter=delimiter, strict=True)
    while True:
        raw.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield None, f"quotes that do not match, over {len(raw):,} line(s) of the file ({error})", "".join(raw)
            continue
        if fields:
            yield fields, "", "".join(raw)


def _checked(records: Iterable[tuple[list[str] | None, str, str]], width: int) -> Iterator[tuple[list[str] | None, str, str]]:
    for fields, reason, text in records:
        if fields is not None and len(fields) != width:
            yield None, f"{len(fields)} fields where the header has {width}", text
        else:
            yield fields, reason, text


def _batches(records: Iterable[tuple[list[str] | None, str, str]], names: list[str], size: int) -> Iterator[Chunk]:
    rows: list[list[str]] = []
    numbers: list[int] = []
    broken: list[Broken] = []
    for number, (fields, reason, text) in enumerate(records, 1):
        if fields is None:
            broken.append(Broken(number, reason, text[:LONGEST_RECORD]))
        else:
            rows.append(fields)
            numbers.append(number)
        if len(rows) + len(broken) == size:
            yield Chunk(_frame(rows, names, numbers), broken)
            rows, numbers, broken = [], [], []
    if rows or broken or not numbers:
        yield Chunk(_frame(rows, names, numbers), broken)


def _frame(rows: list[list[str]], names: list[str], numbers: list[int]) -> pd.DataFrame:
    texts = [pa.array(column, pa.large_string()) for column in zip(*rows, strict=True)] or [
        pa.array([], pa.large_string())
    ] * len(names)
    return _as_frame(dict(zip(names, texts, strict=True)), numbers)


def _as_frame(texts: dict[str, pa.Array], numbers: list[int] | range) -> pd.DataFrame:
    index = pd.Index(numbers, dtype="int64", name="row")
    empty_is_missing = {
        name: pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text) for name, text in texts.items()
    }
    return pd.DataFrame({name: pd.array(text, dtype="str") for name, text in empty_is_missing.items()}).set_axis(index, axis=0)


# ---- JSON lines


def _json_lines(path: Path, lines: Iterable[str], size: int) -> Iterator[Chunk]:
    rows: dict[int, dict[str, str | None]] = {}
    broken: list[Broken] = []
    number = 0
    filled = ((number, line) for number, line in zip(count(1), (line for line in lines if line.strip()), strict=False))
    for number, line in filled:
        if number == 1 and line.lstrip().startswith("["):
            raise DataError(f"{path} holds one JSON list: write one object per line, such as with jq -c '.[]' FILE")
        try:
            rows[number] = _flat(json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None))
        except (ValueError, RecursionError) as error:
            broken.append(Broken(number, f"not a JSON object: {error}", line[:LONGEST_RECORD]))
        if number % size == 0:
            yield Chunk(_json_frame(rows), broken, same_columns=False)
            rows, broken = {}, []
    if rows or broken or number == 0:
        yield Chunk(_json_frame(rows), broken, same_columns=False)


def _json_frame(rows: dict[int, dict[str, str | None]]) -> pd.DataFrame:
    names = dict.fromkeys(name for row in rows.values() for name in row)
    texts = {name: pa.array([row.get(name) for row in rows.values()], pa.large_string()) for name in names}
    return _as_frame(texts, list(rows))


def _flat(value: Any, within: str = "") -> dict[str, str | None]:
    """One level of names, joined by dots; a list stays JSON.

    >>> _flat({"id": "7", "from": {"email": None}, "tags": ["a", "b"], "ok": True})
    {'id': '7', 'from.email': None, 'tags': '["a", "b"]', 'ok': 'true'}
    """
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}")
    flat: dict[str, str | None] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            flat |= _flat(inner, f"{within}{name}.")
        else:
            text = inner if inner is None or isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
            if not _is_text(text or ""):
                raise ValueError(f"{within}{name} holds half a character")
            flat[f"{within}{name}"] = text
    return flat


def _is_text(text: str) -> bool:
    """False for half of a surrogate pair, which JSON can hold and UTF-8 cannot."""
    return text.encode(errors="replace").decode() == text


# ---- parquet


def _parquet(path: Path, size: int) -> Iterator[Chunk]:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise DataError(f"{path} has more than one column {twice[0]!r}: rename all but one")
        times = frozenset(field.name for field in file.schema_arrow if pa.types.is_temporal(field.type))
        start = 1
        for batch in file.iter_batches(batch_size=size):
            texts = {name: _as_text(batch.column(name)) for name in names}
            yield Chunk(_as_frame(texts, range(start, start + len(batch))), [], times)
            start += len(batch)
        if start == 1:
            yield Chunk(_as_frame({name: pa.array([], pa.large_string()) for name in names}, []), [], times)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as parquet ({str(error).splitlines()[0]}): write or copy it again") from None


def _as_text(column: pa.Array) -> pa.Array:
    """Values as text: whole floats without ".0" (ids are often stored so), times as ISO 8601, nested values as JSON."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_floating(kind):
        texts = [
            None if x is None or math.isnan(x) else str(int(x)) if x.is_integer() and abs(x) < 2**53 else repr(x)
            for x in column.to_pylist()
        ]
        return pa.array(texts, pa.large_string())
    if pa.types.is_timestamp(kind):
        zone, between = (pa.scalar(text, pa.large_string()) for text in ("Z" if kind.tz else "", ""))
        naive = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))  # UTC where it has a zone
        return pc.binary_join_element_wise(naive.cast(pa.large_string()), zone, between)
    if pa.types.is_nested(kind):
        texts = [None if x is None else json.dumps(x, ensure_ascii=False, default=str) for x in column.to_pylist()]
        return pa.array(texts, pa.large_string())
    return column.cast(pa.large_string())
