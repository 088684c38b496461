"""From touchpoints in any order to a log: sorted once by DuckDB, cached under the content hash of the source."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxlib.eventlog.log import NO_MOOD, PER_CASE, PER_TOUCH, EventLog
from cxlib.schema import CHANNEL_STAGE, TABLES, DataError, duration
from cxlib.store import Dataset, Settings, connect, open_dataset
from cxlib.store.check import check, sql_text, with_period

_FORM = "1"  # raise it when the compiled form changes: old caches are then left alone


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
    source: Dataset | pd.DataFrame | str | Path, *, settings: Settings | None = None, memory: str | None = None
) -> EventLog:
    """Sort touchpoints into a log, or map the log that was sorted before.

    Parameters
    ----------
    source : Dataset, path or DataFrame
        A dataset (its folder), or one row per touch with the columns of the touchpoints table (no cache then). Row order does
        not matter. Without touchpoints each ticket with an `opened_at` gives one touch in the stage its channel maps to.
    settings : Settings, optional
        For a DataFrame: stages, escalation and how cases are cut. A dataset brings its own.
    memory : str, optional
        What DuckDB may use, such as "500MB"; it spills to disk beyond.

    Raises
    ------
    DataError
        If a row of a DataFrame breaks the contract, no ticket has a known channel, or there are more than 65,535 actions.

    Notes
    -----
    Order within a case: time, then `seq`, then stage from left to right, then action, then touchpoint_id; `ties` counts
    what each rule decided. A case belongs to the customer of its first identified touch; a case without one is a customer of
    its own. A visitor stands for the user it is linked to, unless it is linked to several. A case is open at `observed_until`
    while one of its tickets is unresolved or, without tickets, until `[cases] gap` has passed since its last touch.
    """
    if isinstance(source, pd.DataFrame):
        return _compile_frame(source, settings or Settings(), memory)
    dataset = source if isinstance(source, Dataset) else open_dataset(source)
    for folder in _cache_folders(dataset):
        if (log := _mapped(folder)) is not None:
            return log
    con = dataset.connection
    if memory:
        con.execute(f"SET memory_limit = {sql_text(memory)}")
    parts = _sorted(con, dict(dataset.queries), dataset.settings)
    for folder in _cache_folders(dataset):
        try:
            _save(folder, *parts)
            return _load(folder)
        except OSError:
            continue  # not writable: the next folder, or memory
    return _assemble(*parts, names={"touches": parts[0].select(["touchpoint_id"]), "cases": parts[1]})


def _compile_frame(touches: pd.DataFrame, settings: Settings, memory: str | None) -> EventLog:
    con = connect(memory)
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
    touch, case, facts = _sorted(con, {"touchpoints": checked.sql}, settings)
    return _assemble(touch, case, facts, names={"touches": touch, "cases": case})


def _columns(con: duckdb.DuckDBPyConnection, query: str, wanted: tuple[str, ...], table: str) -> str:
    """A query with all of `wanted`, NULL where the source has no such column."""
    has = {row[0] for row in con.execute(f"DESCRIBE {query}").fetchall()}
    kinds = {"time": "TIMESTAMPTZ", "float": "DOUBLE", "int": "BIGINT"}
    columns = [n if n in has else f"CAST(NULL AS {kinds.get(TABLES[table][n].kind, 'VARCHAR')}) AS {n}" for n in wanted]
    return f"SELECT {', '.join(columns)} FROM ({query})"


_TOUCH = (
    "touchpoint_id",
    "user_id",
    "visitor_id",
    "case_id",
    "occurred_at",
    "seq",
    "stage",
    "action",
    "ticket_id",
    "sentiment",
)


def _touches(con: duckdb.DuckDBPyConnection, queries: Mapping[str, str], stages: tuple[str, ...], notes: list[str]) -> str:
    """The touches as SQL: of the touchpoints, or of the tickets where there are none."""
    if "touchpoints" in queries:
        return _columns(con, queries["touchpoints"], _TOUCH, "touchpoints")
    tickets = _columns(con, queries["tickets"], ("ticket_id", "user_id", "case_id", "opened_at", "channel"), "tickets")
    known = {theirs: ours for theirs, ours in CHANNEL_STAGE.items() if ours in stages} | {
        stage.lower(): stage for stage in stages
    }
    cases = " ".join(f"WHEN {sql_text(theirs)} THEN {sql_text(ours)}" for theirs, ours in known.items())
    made = f"""SELECT ticket_id AS touchpoint_id, user_id, NULL::VARCHAR AS visitor_id, case_id, opened_at AS occurred_at,
            NULL::BIGINT AS seq, CASE lower(channel) {cases} END AS stage, NULL::VARCHAR AS action,
            ticket_id, NULL::DOUBLE AS sentiment
        FROM ({tickets}) WHERE opened_at IS NOT NULL"""
    undated = con.execute(f"SELECT count(*) - count(opened_at) FROM ({tickets})").fetchall()[0][0]
    if undated:
        notes.append(f"{undated} tickets have no opened_at and are not in the journey")
    notes.append("no usable touchpoints: each ticket with an opened_at counts as one touch in the stage its channel maps to")
    return made


def _sorted(con: duckdb.DuckDBPyConnection, queries: Mapping[str, str], settings: Settings) -> tuple[pa.Table, pa.Table, dict]:
    """Touches and cases in the order of the log, and what else the log must know."""
    notes: list[str] = []
    stages = f"[{', '.join(map(sql_text, settings.stages))}]"
    touches = _touches(con, queries, settings.stages, notes)
    links = (
        f"""SELECT visitor_id, min(user_id) AS linked FROM ({queries["identities"]})
            GROUP BY visitor_id HAVING count(DISTINCT user_id) = 1"""
        if "identities" in queries
        else "SELECT NULL::VARCHAR AS visitor_id, NULL::VARCHAR AS linked WHERE false"
    )
    gap = duration(settings.cases_gap, "gap")
    until = settings.observed_until
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE touch AS
        WITH named AS (
            SELECT t.* EXCLUDE (user_id, visitor_id, stage), list_position({stages}, stage) - 1 AS stage,
                   epoch_us(occurred_at) AS us,
                   coalesce(user_id, linked, 'visitor ' || t.visitor_id) AS who
            FROM ({touches}) t LEFT JOIN ({links}) l ON t.visitor_id = l.visitor_id),
        owner AS (
            SELECT case_id, arg_min(who, (us, coalesce(seq, 9223372036854775807), stage, coalesce(action, ''),
                                          touchpoint_id)) AS owner
            FROM named WHERE case_id IS NOT NULL AND who IS NOT NULL GROUP BY case_id),
        cut AS (
            SELECT touchpoint_id, 1 + sum(CASE WHEN apart > {gap} THEN 1 ELSE 0 END) OVER in_time AS number
            FROM (SELECT touchpoint_id, who, us, us - lag(us) OVER in_time AS apart
                  FROM named WHERE case_id IS NULL AND who IS NOT NULL
                  WINDOW in_time AS (PARTITION BY who ORDER BY us, touchpoint_id))
            WINDOW in_time AS (PARTITION BY who ORDER BY us, touchpoint_id))
        SELECT coalesce(owner, CASE WHEN n.case_id IS NULL THEN who END, 'case ' || n.case_id,
                        'touch ' || n.touchpoint_id) AS customer,
               CASE WHEN n.case_id IS NOT NULL THEN 'given' WHEN who IS NOT NULL THEN 'gap' ELSE 'alone' END AS kind,
               coalesce(n.case_id, who || '#' || CAST(number AS BIGINT), 'touch ' || n.touchpoint_id) AS label,
               n.touchpoint_id, us, seq, CAST(stage AS UTINYINT) AS stage, coalesce(action, '') AS action, ticket_id,
               CAST(coalesce(round(sentiment * 1000), {NO_MOOD}) AS SMALLINT) AS mood
        FROM named n LEFT JOIN owner o ON n.case_id = o.case_id LEFT JOIN cut c ON n.touchpoint_id = c.touchpoint_id
        WHERE stage IS NOT NULL"""
    )
    lost = con.execute(f"SELECT (SELECT count(*) FROM ({touches})) - (SELECT count(*) FROM touch)").fetchall()[0][0]
    if lost:
        notes.append(f"{lost} tickets have a channel that maps to no stage and are not in the journey")
    if lost and not con.execute("SELECT count(*) FROM touch").fetchall()[0][0]:
        raise DataError(
            f"none of {lost} tickets has a channel that maps to a stage ({', '.join(settings.stages)}): "
            "name your channels as stages in dataset.toml, or map them when importing: --map-value channel:THEIRS=OURS"
        )
    actions = tuple(row[0] for row in con.execute("SELECT DISTINCT action FROM touch ORDER BY action").fetchall())
    if len(actions) > 65_535:
        raise DataError(f"{len(actions)} different actions, at most 65,535 can be read: put what varies into another column")
    con.register(
        "action_codes", pa.table({"action": pa.array(actions, pa.string()), "code": pa.array(range(len(actions)), pa.uint16())})
    )
    touch = con.sql(
        """SELECT touchpoint_id, stage, code AS action, us, mood, seq FROM touch JOIN action_codes USING (action)
        ORDER BY customer, kind, label, us, seq NULLS LAST, stage, action_codes.code, touchpoint_id"""
    ).to_arrow_table()
    last = _microseconds(until) if until is not None else 0
    case = con.sql(
        f"""WITH cases AS (SELECT customer, kind, label, count(*) AS n, max(us) AS last FROM touch GROUP BY ALL),
        done AS ({_endings(con, queries, last)})
        SELECT label AS case_id, customer AS customer_id, n, greatest(last, coalesce(done, last)) AS case_end,
               coalesce(unresolved, last > {last} - {gap}) AS case_open, md5_number_lower(customer) AS customer_key
        FROM cases LEFT JOIN done USING (customer, kind, label) ORDER BY customer, kind, label"""
    ).to_arrow_table()
    con.execute("DROP TABLE touch")
    facts = {
        "stages": settings.stages,
        "actions": actions,
        "escalation": settings.stages.index(settings.escalation),
        "problem_from": settings.stages.index(settings.problem_from),
        "observed_from": _microseconds(settings.observed_from) if settings.observed_from is not None else 0,
        "observed_until": last,
        "timezone": settings.timezone,
        "notes": tuple(notes),
    }
    return touch, case, facts


def _endings(con: duckdb.DuckDBPyConnection, queries: Mapping[str, str], until: int) -> str:
    """When the tickets of a case were done, as SQL; nothing where the export does not say."""
    none = "SELECT '' AS customer, '' AS kind, '' AS label, 0::BIGINT AS done, false AS unresolved WHERE false"
    if "tickets" not in queries:
        return none
    tickets = _columns(con, queries["tickets"], ("ticket_id", "case_id", "resolved_at", "closed_at"), "tickets")
    says = con.execute(f"SELECT count(coalesce(resolved_at, closed_at)) FROM ({tickets})").fetchall()[0][0]
    if not says:
        return none
    return f"""
        SELECT customer, kind, label, max(done) AS done, bool_or(done IS NULL OR done > {until}) AS unresolved
        FROM (SELECT DISTINCT customer, kind, label, ticket_id FROM touch WHERE ticket_id IS NOT NULL
              UNION SELECT c.customer, c.kind, c.label, k.ticket_id
              FROM cases c JOIN ({tickets}) k ON c.kind = 'given' AND c.label = k.case_id)
        JOIN (SELECT ticket_id, epoch_us(coalesce(resolved_at, closed_at)) AS done FROM ({tickets})) USING (ticket_id)
        GROUP BY customer, kind, label"""


def _microseconds(time: pd.Timestamp) -> int:
    return int(time.as_unit("us").asm8.view("int64"))


def _arrays(touch: pa.Table, case: pa.Table) -> dict[str, np.ndarray]:
    """The arrays of a log from its sorted touches and cases."""
    sizes = case["n"].to_numpy()
    customer = pd.factorize(case["customer_id"].to_numpy(zero_copy_only=False))[0]
    new = np.flatnonzero(np.diff(customer, prepend=-1)) if len(customer) else np.empty(0, dtype=np.int64)
    columns = {
        name: touch["us" if name == "at" else name].to_numpy().astype(kind, copy=False) for name, kind in PER_TOUCH.items()
    }
    columns |= {name: case[name].to_numpy(zero_copy_only=False).astype(kind, copy=False) for name, kind in PER_CASE.items()}
    columns["case_start"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    columns["customer_start"] = np.append(new, len(customer)).astype(np.int64)
    columns["customer_key"] = case["customer_key"].to_numpy()[new].astype(np.uint64)
    return columns


def _ties(touch: pa.Table, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many neighbours of one case share a time, and which rule put them in order?"""
    same = np.diff(arrays["at"]) == 0
    same[arrays["case_start"][1:-1] - 1] = False
    counts = {}
    for rule in ("seq", "stage", "action"):
        values = arrays[rule] if rule in arrays else touch[rule].to_numpy(zero_copy_only=False).astype(float)
        decided = same & (
            np.nan_to_num(values[1:].astype(float), nan=-1.0) != np.nan_to_num(values[:-1].astype(float), nan=-1.0)
        )
        counts[rule] = int(decided.sum())
        same &= ~decided
    return counts | {"touchpoint_id": int(same.sum())}


def _assemble(touch: pa.Table, case: pa.Table, facts: Mapping, names: Mapping[str, pa.Table]) -> EventLog:
    arrays: dict[str, Any] = _arrays(touch, case)
    return EventLog(**arrays, **facts, ties=_ties(touch, arrays), names=names)


def _cache_folders(dataset: Dataset) -> list[Path]:
    """Where the compiled log may lie: CX_CACHE alone if set, else the dataset's own folder, else the user's cache."""
    key = hashlib.sha256(f"{dataset.fingerprint} {_FORM}".encode()).hexdigest()[:32]
    user = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cxlib"
    places = [Path(os.environ["CX_CACHE"])] if os.environ.get("CX_CACHE") else [dataset.path / ".cache", user]
    return [place / f"log-{key}" for place in places]


def _save(folder: Path, touch: pa.Table, case: pa.Table, facts: Mapping) -> None:
    """Write a compiled log beside its place and rename it there, so that a reader never sees half of one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    arrays = _arrays(touch, case)
    with tempfile.TemporaryDirectory(prefix=".log-", dir=folder.parent) as scratch:
        made = Path(scratch) / "log"
        made.mkdir()
        for name, values in arrays.items():
            np.save(made / f"{name}.npy", values)
        pq.write_table(touch.select(["touchpoint_id"]), made / "touches.parquet")
        pq.write_table(case.select(["case_id", "customer_id"]), made / "cases.parquet")
        (made / "log.json").write_text(json.dumps({**facts, "ties": _ties(touch, arrays)}), encoding="utf-8")
        try:
            os.replace(made, folder)
        except OSError:
            if _mapped(folder) is None:  # what is there was cut short; a whole one is as good as ours
                os.replace(folder, Path(scratch) / "broken")
                os.replace(made, folder)


def _mapped(folder: Path) -> EventLog | None:
    """The log that lies there; None where there is none or it was cut short, so that it is compiled again."""
    try:
        return _load(folder)
    except (OSError, ValueError, EOFError, KeyError):
        return None


def _load(folder: Path) -> EventLog:
    facts = json.loads((folder / "log.json").read_text(encoding="utf-8"))
    facts |= {name: tuple(facts[name]) for name in ("stages", "actions", "notes")}
    arrays: dict[str, Any] = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r")
        for name in (*PER_TOUCH, *PER_CASE, "case_start", "customer_start", "customer_key")
    }
    return EventLog(**arrays, **facts, names=folder)
