"""From touchpoints in any order to a log: sorted once, cached under the content hash of the source."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from cxlib.eventlog import arrays
from cxlib.eventlog.files import content, is_dataset, of_files, parquet_files
from cxlib.eventlog.log import EventLog
from cxlib.eventlog.ranges import in_ranges
from cxlib.eventlog.touches import Touches, limit_memory, of_dataset
from cxlib.schema import DataError, duration
from cxlib.store import Dataset, Settings, connect, open_dataset, scratch_folder
from cxlib.store.check import check, with_period
from cxlib.store.settings import stage_names

_FORM = "3"  # raise it when the compiled form changes: old caches are then left alone
_DAY = 86_400  # seconds; no compile takes as long


def from_paths(*, step: str = "1h", settings: Settings | None = None, **paths: str) -> EventLog:
    """A small log from words, one case per name, its touches `step` apart: for examples and tests.

    A name such as ``ann__2`` is the second case of customer ``ann``. Unless `settings` say otherwise, the log is observed for a
    year, so that every case is over.

    >>> log = from_paths(a="help", b="help chatbot")
    >>> log.n_cases, log.n_touches, log.stages[log.stage[2]]
    (2, 3, 'chatbot')
    """
    apart = duration(step, "step")
    rows = [
        (f"{case}-{i}", case.split("__")[0], case, pd.Timestamp(i * apart, unit="us", tz="UTC"), stage)
        for case, path in paths.items()
        for i, stage in enumerate(path.split())
    ]
    touches = pd.DataFrame(rows, columns=["touchpoint_id", "user_id", "case_id", "occurred_at", "stage"])
    settings = settings or Settings(observed_until=pd.Timestamp("1971-01-01", tz="UTC"))
    return compile(touches.astype({"occurred_at": "datetime64[us, UTC]"}), settings=settings)


def compile(
    source: Dataset | pd.DataFrame | str | Path,
    *,
    case: str = "case_id",
    user: str | None = None,
    at: str = "occurred_at",
    stage: str = "stage",
    tie: str | None = None,
    cache: str | Path | None = None,
    memory: str = "2GB",
    settings: Settings | None = None,
) -> EventLog:
    """Sort touchpoints into a log, or map the log that was sorted before.

    Parameters
    ----------
    source : path, Dataset or DataFrame
        A parquet file, a glob or a folder of parquet files with one row per touch; or a dataset (its folder), which brings its
        own columns and settings. A DataFrame has the columns of the touchpoints table and is not cached. Row order does not
        matter. In a dataset without touchpoints each ticket with an `opened_at` gives a touch in the stage its channel maps to.
    case, user, at, stage, tie : str
        For parquet files: which column is which. Ids may be strings or whole numbers. Without `user` every case is a customer
        of its own. `tie` orders touches of one case at one time, such as a `seq` column.
    cache : path, optional
        Folder of the compiled log; else CX_CACHE, the dataset's own `.cache`, or the user's cache folder. Safe to delete.
    memory : str
        What sorting may use beside the program itself, such as "500MB"; beyond, on disk. A log that is cached is sorted beside
        its place there, which takes room on that disk for a while: about 25 bytes a touch, more where ids are long.
    settings : Settings, optional
        For files and frames: stages, escalation, how cases are cut, until when was observed. Stages outside the usual five are
        taken in the order of the alphabet unless the settings name them, and the log's notes say so.

    Raises
    ------
    DataError
        If a column is missing, times are numbers without a unit, `tie` holds other than whole numbers, a row of a frame breaks
        the contract, no ticket has a known channel, there are more than 65,535 actions, a file cannot be read to its end, or
        memory or disk do not suffice.

    Notes
    -----
    Order within a case: time, then `tie` (`seq`), then stage from left to right, then action, then touchpoint_id; `ties` counts
    what each rule decided. A case belongs to the customer of its first identified touch; a case without one is a customer of
    its own. A visitor stands for the user it is linked to, unless it is linked to several. A case is open at `observed_until`
    while one of its tickets is unresolved or, without tickets, until `[cases] gap` has passed since its last touch. A source
    whose rows are in the order of the log already is not sorted again. The cache is keyed by the content of the source, so
    changed or late rows compile anew.
    """
    if isinstance(source, pd.DataFrame):
        with _failing_in_one_line("the frame", memory):
            return _of_frame(source, settings or Settings(), memory)
    if isinstance(source, Dataset) or is_dataset(Path(source)):
        dataset = source if isinstance(source, Dataset) else open_dataset(source)
        with _failing_in_one_line(dataset.path, memory):
            return _of_dataset(dataset, cache, memory)
    files = parquet_files(source)
    names = {"case": case, "user": user, "at": at, "stage": stage, "tie": tie}
    key = json.dumps([content(files), names, None if settings is None else settings.as_toml()], default=str)
    with _failing_in_one_line(source, memory):
        return _cached(key, cache_places(cache, None), lambda: of_files(files, names, settings, memory))


@contextmanager
def _failing_in_one_line(source: str | Path, memory: str) -> Iterator[None]:
    """Raise as DataError what DuckDB cannot read, sort or store; its own words in full stay the cause."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise DataError(f"{source} cannot be sorted within {memory} of memory: give more, such as twice as much") from None
    except duckdb.Error as error:
        raise DataError(f"{source} cannot be compiled: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # how DuckDB passes on a signal that came while it worked
            raise KeyboardInterrupt from None
        raise


def _of_dataset(dataset: Dataset, cache: str | Path | None, memory: str) -> EventLog:
    con = dataset.connection
    limit_memory(con, memory)
    places = cache_places(cache, dataset.path)
    return _cached(dataset.fingerprint, places, lambda: of_dataset(con, dataset.queries, dataset.settings))


def _cached(key: str, places: Sequence[Path], read: Callable[[], Touches]) -> EventLog:
    """The log under this key: mapped where it lies, else compiled into the first place that can be written, else in memory."""
    name = "log-" + hashlib.sha256(f"{key} {_FORM}".encode()).hexdigest()[:32]
    for place in places:
        if (log := _mapped(place / name)) is not None:
            return log
    touches = read()
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            return _save(place / name, touches)
        except OSError:
            continue  # not writable, or full: the next place, or memory
    log = _arranged(touches)
    return log if (other := touches.otherwise(log)) is None else _arranged(other)


def _arranged(touches: Touches) -> EventLog:
    return arrays.arranged(touches.in_order(), touches.facts, touches.ends())


def _save(folder: Path, touches: Touches) -> EventLog:
    """Write a compiled log beside its place and rename it there, so that a reader never sees half of one."""
    _clear_abandoned(folder.parent)
    with scratch_folder(folder.parent, ".log-") as scratch:
        made = scratch / "log"
        made.mkdir()
        if (other := touches.otherwise(_stored(made, touches))) is not None:
            _emptied(made)
            _stored(made, other)
        try:
            os.replace(made, folder)
        except OSError:
            if _mapped(folder) is None:  # what is there was cut short; a whole one is as good as ours
                os.replace(folder, scratch / "broken")
                os.replace(made, folder)
    return arrays.load(folder)


def _clear_abandoned(place: Path) -> None:
    """Remove what compiles that were killed left behind; what is younger than a day may be at work."""
    for scratch in place.glob(".log-*"):
        with suppress(OSError):  # gone meanwhile, or not ours to remove
            if scratch.stat().st_mtime < time.time() - _DAY:
                shutil.rmtree(scratch)


def _stored(folder: Path, touches: Touches) -> EventLog:
    """The log in a folder: from the rows as they come, where they may be in order, and sorted at the first that is not."""
    if touches.try_as_is:
        try:
            return arrays.finish(arrays.store(folder, touches.as_is(), touches.keys), touches.facts, touches.ends())
        except arrays.OutOfOrder:
            _emptied(folder)
    rows = in_ranges(touches, folder.parent)
    with closing(touches.in_order() if rows is None else rows) as in_order:
        shelf = arrays.store(folder, in_order)
    return arrays.finish(shelf, touches.facts, touches.ends())


def _emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _mapped(folder: Path) -> EventLog | None:
    """The log that lies there; None where there is none or it was cut short, so that it is compiled again."""
    try:
        return arrays.load(folder)
    except (OSError, ValueError, EOFError, KeyError):
        return None


def cache_places(cache: str | Path | None, dataset: Path | None) -> list[Path]:
    """Where the compiled log may lie: the folder asked for or CX_CACHE alone, else the dataset's own, else the user's cache."""
    if cache is not None or os.environ.get("CX_CACHE"):
        return [Path(cache if cache is not None else os.environ["CX_CACHE"])]
    user = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cxlib"
    return [user] if dataset is None else [dataset / ".cache", user]


def _of_frame(touches: pd.DataFrame, settings: Settings, memory: str) -> EventLog:
    stage_names(settings.stages, "settings=")
    con = connect()
    limit_memory(con, memory)
    try:
        con.register("touches_in", pa.Table.from_pandas(touches.assign(_row=range(1, len(touches) + 1)), preserve_index=False))
    except pa.ArrowException as error:
        raise DataError(f"the touches hold a column of mixed types ({str(error).splitlines()[0]})") from None
    checked = check(con, "touchpoints", "touches_in", settings)
    if len(checked.set_aside):
        first = checked.set_aside.iloc[0]
        raise DataError(
            f"{len(checked.set_aside)} of {len(touches)} touchpoints cannot be used: "
            f"first row {first['row']}: {first['column']} {first['value']!r} {first['reason']}"
        )
    settings = with_period(settings, con, {"touchpoints": f"({checked.sql})"})
    ordered = of_dataset(con, {"touchpoints": checked.sql}, settings)
    return _arranged(ordered)
