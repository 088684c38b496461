"""Touches of a data set as SQL: who a touch belongs to, where a case is cut, how it ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from cxlib.eventlog import progress
from cxlib.eventlog.log import NO_MOOD, NO_WAIT, NO_WORD, EventLog
from cxlib.schema import CHANNEL_STAGE, TABLES, DataError, duration
from cxlib.store import Settings
from cxlib.store.check import sql_text

BATCH = 131_072  # rows handed from DuckDB to the arrays at a time
LAST_SEQ = "9223372036854775807"  # a touch without seq comes after those with one


@dataclass(frozen=True)
class Touches:
    """Touches as SQL, and how to put them in order."""

    con: duckdb.DuckDBPyConnection
    sql: str  # one row per touch: customer, label, us, stage, and what else the source has
    keys: tuple[str, ...]  # the columns that give the order of the log
    facts: Mapping[str, Any]  # the fields of the log that are not arrays
    rows: int
    endings: str | None = None  # SQL with one row per case in the order of the log: done, unresolved
    try_as_is: bool = False  # the source may be in order already
    if_shared: Callable[[], Touches] | None = None  # what to sort instead where a case turns out to have two customers

    def in_order(self) -> Generator[pa.RecordBatch]:
        return self._read(f"SELECT * FROM ({self.sql}) ORDER BY {', '.join(self.keys)}", "sorting touches")

    def as_is(self, rows: int = BATCH) -> Generator[pa.RecordBatch]:
        return self._read(self.sql, "reading touches", rows)

    def _read(self, sql: str, said: str, rows: int = BATCH) -> Generator[pa.RecordBatch]:
        with progress.queries(self.con, said):
            yield from self.con.sql(sql).to_arrow_reader(rows)

    def otherwise(self, log: EventLog) -> Touches | None:
        """What to sort instead, if a case of the log turned out to have two customers; None if not.

        By hashes of the ids: two ids of one hash cost a second sort and harm nothing.
        """
        if self.if_shared is None:
            return None
        self.con.register("case_ids", pa.table({"id": log._label("case_id")}))
        hashes = self.con.sql("SELECT hash(id) AS hash FROM case_ids").to_arrow_table()["hash"].to_numpy()
        self.con.unregister("case_ids")
        rising = np.sort(hashes)  # less than what groups would cost
        return self.if_shared() if (rising[1:] == rising[:-1]).any() else None

    def ends(self) -> dict[str, np.ndarray] | None:
        if self.endings is None:
            return None
        found = self.con.sql(self.endings).to_arrow_table()
        return {
            "done": found["done"].to_numpy().astype(float),
            "unresolved": found["unresolved"].fill_null(False).to_numpy(zero_copy_only=False),
        }


def _columns(con: duckdb.DuckDBPyConnection, query: str, wanted: tuple[str, ...], table: str) -> str:
    """A query with all of `wanted`, NULL where the source has no such column."""
    has = {row[0] for row in con.execute(f"DESCRIBE {query}").fetchall()}
    kinds = {"time": "TIMESTAMPTZ", "float": "DOUBLE", "int": "BIGINT"}
    columns = [n if n in has else f"CAST(NULL AS {kinds.get(TABLES[table][n].kind, 'VARCHAR')}) AS {n}" for n in wanted]
    return f"SELECT {', '.join(columns)} FROM ({query})"


_TOUCH = ("touchpoint_id", "user_id", "visitor_id", "case_id", "occurred_at", "seq", "stage", "action", "ticket_id")
# Measurements that a log carries only where the export has them: theirs -> ours, as SQL.
_MEASURED = {
    "sentiment": f"CAST(coalesce(round(sentiment * 1000), {NO_MOOD}) AS SMALLINT) AS mood",
    "wait_s": f"CAST(coalesce(least(round(greatest(wait_s, 0)), 2147483647), {NO_WAIT}) AS INTEGER) AS wait",
    "outcome": f"CAST(coalesce(CAST(lower(outcome) IN ('solved', 'resolved') AS INT), {NO_WORD}) AS TINYINT) AS solved",
}


def _touches(
    con: duckdb.DuckDBPyConnection, queries: Mapping[str, str], stages: tuple[str, ...], notes: list[str]
) -> tuple[str, list[str]]:
    """The touches as SQL, of the touchpoints, or of the tickets where there are none; and what is measured of them."""
    if "touchpoints" in queries:
        has = {row[0] for row in con.execute(f"DESCRIBE {queries['touchpoints']}").fetchall()}
        measured = [name for name in _MEASURED if name in has]
        return _columns(con, queries["touchpoints"], (*_TOUCH, *measured), "touchpoints"), measured
    tickets = _columns(con, queries["tickets"], ("ticket_id", "user_id", "case_id", "opened_at", "channel"), "tickets")
    known = {theirs: ours for theirs, ours in CHANNEL_STAGE.items() if ours in stages} | {
        stage.lower(): stage for stage in stages
    }
    cases = " ".join(f"WHEN {sql_text(theirs)} THEN {sql_text(ours)}" for theirs, ours in known.items())
    made = f"""SELECT ticket_id AS touchpoint_id, user_id, NULL::VARCHAR AS visitor_id, case_id, opened_at AS occurred_at,
            NULL::BIGINT AS seq, CASE lower(channel) {cases} END AS stage, NULL::VARCHAR AS action, ticket_id
        FROM ({tickets}) WHERE opened_at IS NOT NULL"""
    undated = con.execute(f"SELECT count(*) - count(opened_at) FROM ({tickets})").fetchall()[0][0]
    if undated:
        notes.append(f"{undated} tickets have no opened_at and are not in the journey")
    notes.append("no usable touchpoints: each ticket with an opened_at counts as one touch in the stage its channel maps to")
    return made, []


def owned(named: str, measured: Sequence[str], gap: int) -> str:
    """Touches with the customer and the label of their case, as SQL, from `named`: case_id, who, us, seq, stage, ..."""
    columns = "".join(f", n.{name}" for name in measured)
    return f"""
        WITH named AS ({named}),
        owner AS (
            SELECT case_id, arg_min(who, (us, coalesce(seq, {LAST_SEQ}), stage, action, touchpoint_id, who)) AS owner
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
               n.touchpoint_id, us, coalesce(seq, {LAST_SEQ}) AS seq, stage, n.action, ticket_id{columns}
        FROM named n LEFT JOIN owner o ON n.case_id = o.case_id
             LEFT JOIN cut c ON n.case_id IS NULL AND n.touchpoint_id = c.touchpoint_id
        WHERE stage IS NOT NULL"""


def of_dataset(con: duckdb.DuckDBPyConnection, queries: Mapping[str, str], settings: Settings) -> Touches:
    """The touches of checked tables, and how their cases end."""
    notes: list[str] = []
    touches, measured = _touches(con, queries, settings.stages, notes)
    links = (
        f"""SELECT visitor_id, min(user_id) AS linked FROM ({queries["identities"]})
            GROUP BY visitor_id HAVING count(DISTINCT user_id) = 1"""
        if "identities" in queries
        else "SELECT NULL::VARCHAR AS visitor_id, NULL::VARCHAR AS linked WHERE false"
    )
    stages = f"[{', '.join(map(sql_text, settings.stages))}]"
    named = f"""SELECT case_id, coalesce(user_id, linked, 'visitor ' || t.visitor_id) AS who, epoch_us(occurred_at) AS us, seq,
            CAST(list_position({stages}, stage) - 1 AS UTINYINT) AS stage, coalesce(action, '') AS action, touchpoint_id,
            ticket_id{"".join(f", {_MEASURED[name]}" for name in measured)}
        FROM ({touches}) t LEFT JOIN ({links}) l ON t.visitor_id = l.visitor_id"""
    ours = [_MEASURED[name].rsplit(" ", 1)[1] for name in measured]
    with progress.queries(con, "finding cases"):
        con.execute(f"CREATE OR REPLACE TEMP TABLE touch AS {owned(named, ours, duration(settings.cases_gap, 'gap'))}")
    rows = con.execute("SELECT count(*) FROM touch").fetchall()[0][0]
    lost = con.execute(f"SELECT count(*) FROM ({touches})").fetchall()[0][0] - rows
    if lost:
        notes.append(f"{lost} tickets have a channel that maps to no stage and are not in the journey")
    if lost and not rows:
        raise DataError(
            f"none of {lost} tickets has a channel that maps to a stage ({', '.join(settings.stages)}): "
            "name your channels as stages in dataset.toml, or map them when importing: --map-value channel:THEIRS=OURS"
        )
    actions = tuple(row[0] for row in con.execute("SELECT DISTINCT action FROM touch ORDER BY action").fetchall())
    if len(actions) > 65_535:
        raise DataError(f"{len(actions)} different actions, at most 65,535 can be read: put what varies into another column")
    con.register(
        "action_codes", pa.table({"name": pa.array(actions, pa.string()), "code": pa.array(range(len(actions)), pa.uint16())})
    )
    sql = f"""SELECT customer, kind, label, us, seq, stage, code AS action, touchpoint_id{"".join(f", {name}" for name in ours)}
        FROM touch JOIN action_codes ON action = name"""
    facts = facts_of(settings, actions, notes)
    endings = _endings(con, queries, facts["observed_until"])
    keys = ("customer", "kind", "label", "us", "seq", "stage", "action", "touchpoint_id")
    return Touches(con, sql, keys, facts, rows, endings)


def _endings(con: duckdb.DuckDBPyConnection, queries: Mapping[str, str], until: int) -> str | None:
    """When the tickets of each case were done, as SQL in the order of the log; None where the export does not say."""
    if "tickets" not in queries:
        return None
    tickets = _columns(con, queries["tickets"], ("ticket_id", "case_id", "resolved_at", "closed_at"), "tickets")
    if not con.execute(f"SELECT count(coalesce(resolved_at, closed_at)) FROM ({tickets})").fetchall()[0][0]:
        return None
    return f"""
        WITH cases AS (SELECT customer, kind, label FROM touch GROUP BY ALL),
        done AS (
            SELECT customer, kind, label, max(done) AS done, bool_or(done IS NULL OR done > {until}) AS unresolved
            FROM (SELECT DISTINCT customer, kind, label, ticket_id FROM touch WHERE ticket_id IS NOT NULL
                  UNION SELECT c.customer, c.kind, c.label, k.ticket_id
                  FROM cases c JOIN ({tickets}) k ON c.kind = 'given' AND c.label = k.case_id)
            JOIN (SELECT ticket_id, epoch_us(coalesce(resolved_at, closed_at)) AS done FROM ({tickets})) USING (ticket_id)
            GROUP BY customer, kind, label)
        SELECT coalesce(done.done, CASE WHEN unresolved THEN -9223372036854775807 END) AS done, unresolved
        FROM cases LEFT JOIN done USING (customer, kind, label) ORDER BY customer, kind, label"""


def microseconds(time: pd.Timestamp) -> int:
    """A time as whole microseconds since 1970."""
    return int(time.as_unit("us").asm8.view("int64"))


def facts_of(settings: Settings, actions: tuple[str, ...], notes: Sequence[str]) -> dict[str, Any]:
    """The fields of a log that are not arrays."""
    return {
        "stages": settings.stages,
        "actions": actions,
        "escalation": settings.stages.index(settings.escalation),
        "problem_from": settings.stages.index(settings.problem_from),
        "observed_from": microseconds(settings.observed_from) if settings.observed_from is not None else 0,
        "observed_until": microseconds(settings.observed_until) if settings.observed_until is not None else 0,
        "gap": duration(settings.cases_gap, "gap"),
        "timezone": settings.timezone,
        "notes": tuple(notes),
    }


def limit_memory(con: duckdb.DuckDBPyConnection, memory: str) -> None:
    """Let DuckDB use no more than this; raises DataError where the text is not an amount of memory."""
    try:
        if not re.match(r"\s*\d", memory):  # DuckDB takes -1 for all there is
            raise ValueError
        con.execute(f"SET memory_limit = {sql_text(memory)}")
    except (duckdb.Error, ValueError):
        raise DataError(f'memory={memory} is not an amount of memory: write one such as "500MB" or "2GB"') from None
