"""Touches for a cluster: of parquet files by Spark alone, of a data set as the store checked them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from cxlib.eventlog.files import parquet_files, refuse_unless_whole, stages_known, within_period
from cxlib.eventlog.sorting import cache_places
from cxlib.eventlog.touches import LAST_SEQ, facts_of, microseconds, of_dataset, owned
from cxlib.schema import DataError, nearest
from cxlib.store import Dataset, Settings
from cxlib.store.check import sql_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Touches:
    """Touches on the cluster, and how to put them in order."""

    rows: DataFrame  # one per touch: customer, label, us, stage, and what else the source has
    keys: tuple[str, ...]  # the columns that give the order of the log
    facts: Mapping[str, Any]  # the fields of the log that are not arrays
    n: int
    folder: tempfile.TemporaryDirectory | None = None  # where the rows lie, if only for this log


def of_checked(session: SparkSession, dataset: Dataset) -> Touches:
    """The touches of a data set: its checked rows with customer, case and end, written where the workers can read them.

    What is refused, who owns a case and how it ends is said once, by the store and the local engine.
    """
    con = dataset.connection
    touches = of_dataset(con, dataset.queries, dataset.settings)
    folder = _scratch(dataset)
    file = Path(folder.name) / "touches.parquet"
    rows = touches.sql
    if (ends := touches.ends()) is not None:
        cases = con.sql("SELECT customer, kind, label FROM touch GROUP BY ALL ORDER BY ALL").to_arrow_table()
        done = pa.array(ends["done"], from_pandas=True).cast(pa.int64())
        con.register("case_ends", cases.append_column("done", done).append_column("unresolved", pa.array(ends["unresolved"])))
        rows = f"SELECT * FROM ({rows}) JOIN case_ends USING (customer, kind, label)"
    con.execute(f"COPY ({rows}) TO {sql_text(str(file))} (FORMAT parquet)")
    return Touches(session.read.parquet(_address(file)), touches.keys, touches.facts, touches.rows, folder)


def _scratch(dataset: Dataset) -> tempfile.TemporaryDirectory:
    """A folder that lives as long as the log, in the first cache folder that can be written."""
    for place in cache_places(None, dataset.path):
        try:
            place.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryDirectory(prefix=".spark-", dir=place)
        except OSError:
            continue
    raise DataError(f"no folder to write the touches of {dataset.path} to: set CX_CACHE to one that every node sees")


def of_files(session: SparkSession, source: str | Path, names: Mapping[str, str | None], settings: Settings | None) -> Touches:
    """The touches of parquet files, read by the workers; `names` says which column is case, user, at, stage and tie.

    `source` is a path, a folder or a glob that every node sees, or an address such as ``s3a://bucket/touches/*.parquet``. The
    rules are those of `eventlog.compile`, in Spark's words.
    """
    files = [str(source)] if "://" in str(source) else list(map(_address, parquet_files(source)))
    frame = _opened(session, files, names)
    kinds = {field.name: field.dataType.simpleString() for field in frame.schema}
    column = {what: "`" + name.replace("`", "``") + "`" for what, name in names.items() if name is not None}
    us, stage = f"unix_micros(CAST({column['at']} AS TIMESTAMP))", f"CAST({column['stage']} AS STRING)"
    usable = " AND ".join(f"{column[what]} IS NOT NULL" for what in ("case", "at", "stage"))

    def ask(sql: str) -> tuple:
        return tuple(session.sql(sql, source=frame).collect()[0])

    rows, kept, first, last, found = ask(
        f"""SELECT count(*), count_if({usable}), min({us}), max({us}), collect_set({stage}) FILTER (WHERE {usable})
        FROM {{source}}"""
    )
    notes = [f"{rows - kept} of {rows} rows have no case, time or stage and are not in the journey"] if rows > kept else []
    settings = stages_known(sorted(found), settings, notes)
    if settings.observed_until is not None:
        inside = f"{us} <= {microseconds(settings.observed_until)}"
        (later,) = ask(f"SELECT count(*) FROM {{source}} WHERE {usable} AND NOT {inside}")
        notes += [f"{later} rows lie after observed_until and are not in the journey"] if later else []
        usable, kept = f"{usable} AND {inside}", kept - later
    code = f"CAST(array_position(:stages, {stage}) - 1 AS TINYINT)"
    seq = f"coalesce(CAST({column['tie']} AS BIGINT), {LAST_SEQ})" if "tie" in column else None
    if "user" in column and _owner_unclear(ask, usable, column):
        named = f"""SELECT CAST({column["case"]} AS STRING) AS case_id, CAST({column["user"]} AS STRING) AS who, {us} AS us,
            {seq or LAST_SEQ} AS seq, {code} AS stage, 0 AS action, '' AS touchpoint_id, CAST(NULL AS STRING) AS ticket_id
            FROM {{source}} WHERE {usable}"""
        keys = ["customer", "kind", "label", "us", "seq", "stage"]
        sql = owned(named, (), 0).replace("arg_min(", "min_by(")  # the same function under Spark's name
        sql = f"SELECT {', '.join(keys)} FROM ({sql})"
    else:
        ids = {what: _id(column[what], kinds[str(names[what])]) for what in ("case", "user") if what in column}
        sql = f"""SELECT {ids.get("user", ids["case"])} AS customer, {ids["case"]} AS label, {us} AS us,
            {f"{seq} AS seq, " if seq else ""}{code} AS stage FROM {{source}} WHERE {usable}"""
        keys = ["customer", *(["label"] if "user" in column else []), "us", *(["seq"] if seq else []), "stage"]
    period = within_period(settings, first, last)
    touches = session.sql(sql, args={"stages": list(settings.stages)}, source=frame)
    return Touches(touches, tuple(keys), facts_of(period, ("",), notes), kept)


def _owner_unclear(ask: Callable[[str], tuple], usable: str, column: Mapping[str, str]) -> bool:
    """Is a touch without customer, or a case with two?"""
    user = column["user"]
    if ask(f"SELECT count(*) FROM {{source}} WHERE {usable} AND {user} IS NULL")[0]:
        return True
    two = f"SELECT 1 FROM {{source}} WHERE {usable} GROUP BY {column['case']} HAVING min({user}) <> max({user}) LIMIT 1"
    return bool(ask(f"SELECT count(*) FROM ({two})")[0])


def _address(file: Path) -> str:
    """A file as Spark finds it on every node, whatever signs its name holds: Spark would read some as a pattern."""
    return "file:" + re.sub(r"([][{}*?,\\])", r"\\\1", file.resolve().as_posix())


def _opened(session: SparkSession, files: Sequence[str], names: Mapping[str, str | None]) -> DataFrame:
    """The files as one frame; raises DataError where they cannot be read, a column is missing or of a type that cannot be."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException
    from pyspark.sql.functions import expr

    short = files[0].rpartition("/")[2]
    try:
        frame = session.read.option("mergeSchema", "true").parquet(*files)
    except (PySparkException, Py4JJavaError) as error:
        raise DataError(f"{short} cannot be read as parquet ({_reason(error)})") from None
    for what, name in names.items():
        if name is not None and name not in frame.columns:
            raise DataError(f"{short} has no column {name} ({what}=): {nearest(name, frame.columns)}")
    if (tie := names["tie"]) is not None:
        refuse_unless_whole(tie, frame.schema[tie].dataType.simpleString())
    at = str(names["at"])
    kind = frame.schema[at].dataType.simpleString()
    if kind == "bigint" and _is_nanoseconds(frame.inputFiles()[0], at):
        quoted = "`" + at.replace("`", "``") + "`"  # Spark reads nanoseconds as a number only
        return frame.withColumn(at, expr(f"timestamp_micros(CAST(round({quoted} / 1000BD) AS BIGINT))"))
    if not kind.startswith(("timestamp", "date")):
        raise DataError(f"{at} holds {kind}, not times: a number has no unit; write the column as timestamps")
    return frame


def _is_nanoseconds(file: str, column: str) -> bool:
    """Does a file of this machine hold times in nanoseconds here? (Spark does not say.)"""
    if not file.startswith("file:"):
        return False
    kind = pq.read_schema(unquote(urlsplit(file).path)).field(column).type
    return pa.types.is_timestamp(kind) and kind.unit == "ns"


def _reason(error: Exception) -> str:
    """The innermost of Java's reasons, in one line."""
    said = re.findall(r"^(?:Caused by: )?(?:[\w.$]+(?:Exception|Error): )(.+)$", str(error), re.MULTILINE)
    return said[-1] if said else str(error).splitlines()[0]


def _id(column: str, kind: str) -> str:
    """An id as SQL: whole numbers stay numbers, everything else is text."""
    if kind in ("tinyint", "smallint", "int", "bigint"):
        return f"CAST({column} AS BIGINT)"
    return f"CAST({column} AS STRING)"
