"""ServiceNow: the audit log of incidents, one row per update.

Source of the form: Amaral, Fantinato and Peres, Incident management process enriched event log (UCI). Its `closed_at`,
`closed_code`, `resolved_by` and `resolved_at` are filled in from an incident's first row on: they count as known at its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from cxlib.schema import DataError
from cxlib.sources import convert
from cxlib.sources.convert import Imported
from cxlib.sources.read import Chunk

STAGES = ("first group", "second group", "third group or later")
FORMAT = "%d/%m/%Y %H:%M"
MISSING = "?"
NAMELESS_STATE = "-100"  # a state code that the export has no name for

TIMES = ("opened_at", "sys_updated_at", "resolved_at", "closed_at")
COUNTS = ("reassignment_count", "reopen_count", "sys_mod_count")
NEEDED = ("number", "sys_updated_at", "reassignment_count", "sys_mod_count", "incident_state", "opened_at")

# Fields whose changes become ticket events. The back-filled four are not among them: they would tell the future.
TRACKED = {
    "incident_state": "state",
    "assignment_group": "assignment_group",
    "assigned_to": "assigned_to",
    "contact_type": "channel",
    "category": "category",
    "subcategory": "subcategory",
    "u_symptom": "u_symptom",
    "location": "location",
    "opened_by": "opened_by",
    "impact": "impact",
    "urgency": "urgency",
    "priority": "priority",
    "u_priority_confirmation": "u_priority_confirmation",
    "cmdb_ci": "cmdb_ci",
    "knowledge": "knowledge",
    "notify": "notify",
    "made_sla": "made_sla",
    "reopen_count": "reopen_count",
    "problem_id": "problem_id",
    "vendor": "vendor",
    "rfc": "rfc",
}
# Columns of a ticket, as its first update gave them (known at the start) and as its last did.
AT_START = {
    "user_id": "caller_id",
    "opened_at": "opened_at",
    "channel": "contact_type",
    "category": "category",
    "subcategory": "subcategory",
    "impact": "impact",
    "urgency": "urgency",
    "priority": "priority",
}
AT_END = {
    "state": "incident_state",
    "assignment_group": "assignment_group",
    "reassignment_count": "reassignment_count",
    "reopen_count": "reopen_count",
    "made_sla": "made_sla",
    "problem_id": "problem_id",
    "caused_by": "caused_by",
    "close_code": "closed_code",
    "resolved_at": "resolved_at",
    "closed_at": "closed_at",
}
READ = tuple(dict.fromkeys([*NEEDED, *AT_START.values(), *AT_END.values(), *TRACKED, "sys_updated_by"]))


def convert_log(
    chunks: Iterable[Chunk], name: str = "ServiceNow incidents", timezone: str = "UTC", path: Path | str = "the export"
) -> Imported:
    """Which incidents went through which groups, and what changed on the way?

    Parameters
    ----------
    chunks : iterable of Chunk
        One row per update of an incident, as `read.chunks` gives them.
    timezone : str
        IANA zone of the export's times, which carry none.

    Returns
    -------
    Imported
        touchpoints: one per update, in the stage of its reassignment_count (0, 1, 2 or more). tickets: one per incident.
        ticket_events: one per field that changed in an update, with the first known value as a change from nothing.

    Raises
    ------
    DataError
        If a column is missing, or no row is left.
    """
    kept: list[pd.DataFrame] = []
    asides: list[pd.DataFrame] = []
    twice = 0
    for chunk in chunks:
        if not kept:
            _check_columns(list(chunk.frame.columns), path)
            convert.need_rows(chunk, str(path))
        updates, aside, n = _typed(chunk.frame, timezone)
        kept.append(updates)
        asides += [convert.unreadable("touchpoints", chunk.broken), aside]
        twice += n
    updates = _joined(kept)
    if updates.empty:
        raise DataError(f"{path} has no usable row: {len(convert.stacked(asides)):,} were set aside, first {_first(asides)}")
    updates, notes = _in_order(updates)
    tickets, after = _tickets(updates)
    settings = {"name": name, "timezone": timezone, "stages": list(STAGES), "escalation": STAGES[-1], "problem_from": STAGES[0]}
    tables = {"touchpoints": _touchpoints(updates), "tickets": tickets, "ticket_events": _events(updates)}
    return Imported(settings, tables, convert.stacked(asides), _notes(updates, timezone, twice, after) + notes)


def _first(asides: list[pd.DataFrame]) -> str:
    first = convert.stacked(asides).iloc[0]
    return f"{first['column']} {first['value']!r} at row {first['row']}: {first['reason']}"


def _check_columns(found: list[str], path: Path | str) -> None:
    absent = [name for name in READ if name not in found]
    if absent:
        raise DataError(
            f"{path} is not the audit-log form of ServiceNow: {len(absent)} of {len(READ)} columns are missing, "
            f"first {absent[0]}; it has {', '.join(found[:40])}. For another form: cx import table {path} --mapping FILE.toml"
        )


def _typed(raw: pd.DataFrame, timezone: str) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Text to times and counts; the rows where that fails, set aside; how many local times occur twice."""
    texts = raw[list(READ)].replace({MISSING: pd.NA})
    times = {column: convert.to_utc(texts[column], FORMAT, timezone) for column in TIMES}
    counts = {column: _count(texts[column]) for column in COUNTS}
    found = [(column, times[column].reason) for column in TIMES] + [(column, counts[column][1]) for column in COUNTS]
    empty = pd.Series(convert.EMPTY, texts.index, dtype="str")
    found += [(column, empty.where(texts[column].isna())) for column in NEEDED if column != "incident_state"]
    why = convert.first_reason(found, texts.index)
    typed = texts.assign(**{c: t.at for c, t in times.items()}, **{c: n for c, (n, _) in counts.items()})
    return typed.drop(why.index), convert.set_aside("touchpoints", raw, why, {}), sum(t.n_twice for t in times.values())


def _count(texts: pd.Series) -> tuple[pd.Series, pd.Series]:
    whole = texts.str.fullmatch(r"\d{1,9}").fillna(False).astype(bool)
    reason = pd.Series("is not a whole number of at least 0", texts.index, dtype="str").where(texts.notna() & ~whole)
    return pd.to_numeric(texts.where(whole)).astype("Int64"), reason


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """All updates; texts as categories, which take a tenth of the memory."""
    whole = {}
    for column in READ:
        if column in TIMES or column in COUNTS:
            whole[column] = pd.concat([part[column] for part in parts])
        else:
            encoded = [pa.array(part[column], pa.large_string()).dictionary_encode() for part in parts]
            whole[column] = pa.chunked_array(encoded).unify_dictionaries().combine_chunks().to_pandas()
            whole[column].index = pd.Index(np.concatenate([part.index for part in parts]))
    return pd.DataFrame(whole).rename_axis("row")


def _in_order(updates: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Updates by incident, time, sys_mod_count and row, with `first`, `last` and a unique `id` per update.

    The times are whole minutes, so sys_mod_count decides within a minute. Where it contradicts the time, the time decides.
    """
    by_count = updates.reset_index().sort_values(["number", "sys_mod_count", "row"], kind="stable")
    back = by_count["number"].eq(by_count["number"].shift()) & (by_count["sys_updated_at"] < by_count["sys_updated_at"].shift())
    rows = updates.reset_index().sort_values(
        ["number", "sys_updated_at", "sys_mod_count", "row"], kind="stable", ignore_index=True
    )
    label = rows["number"].astype("str") + "-" + rows["sys_mod_count"].astype("str")
    again = label.groupby(label).cumcount()
    first = rows["number"].ne(rows["number"].shift())
    rows = rows.assign(
        id=label.where(again == 0, label + "-" + (again + 1).astype("str")), first=first, last=first.shift(-1, fill_value=True)
    )
    notes = []
    if back.any():
        first_back = by_count[back].iloc[0]
        notes.append(
            f"{back.sum():,} updates have a sys_mod_count that contradicts their time "
            f"(first {first_back['number']} at row {first_back['row']}): the time decides the order, "
            "sys_mod_count decides within a minute"
        )
    if (again > 0).any():
        notes.append(
            f"{(again > 0).sum():,} updates repeat the sys_mod_count of another of their incident: kept, with their own id"
        )
    return rows, notes


def _notes(updates: pd.DataFrame, timezone: str, twice: int, after: int) -> list[str]:
    incidents = int(updates["first"].sum())
    escalated = updates.loc[updates["reassignment_count"] >= 2, "number"].nunique()
    early = int((updates["sys_updated_at"] < updates["opened_at"])[updates["first"]].sum())
    nameless = int(updates["incident_state"].eq(NAMELESS_STATE).sum())
    named = f"{nameless:,} updates have the state {NAMELESS_STATE}, a code without a name"
    later = f"{after:,} incidents end after the last update in the export"
    said = {
        f"{escalated:,} of {incidents:,} incidents ({escalated / incidents:.1%}) reached {STAGES[-1]}": True,
        f"the export's times carry no time zone: read as {timezone}; --timezone changes it": True,
        f"{twice:,} local times that occur twice (the clocks go back) were read as the first": twice,
        f"{named}: kept as touches without an action": nameless,
        f"{early:,} incidents have a first update before their opened_at: kept as exported": early,
        f"{later}: read as unfinished (no resolved_at, closed_at, close_code)": after,
    }
    return [sentence for sentence, holds in said.items() if holds]


def _state(updates: pd.DataFrame) -> pd.Series:
    return updates["incident_state"].where(updates["incident_state"] != NAMELESS_STATE)


def _touchpoints(updates: pd.DataFrame) -> pd.DataFrame:
    group = updates["reassignment_count"].clip(upper=2).to_numpy(dtype="int64")
    return pd.DataFrame(
        {
            "touchpoint_id": updates["id"],
            "user_id": updates["caller_id"].astype("str"),
            "case_id": updates["number"].astype("str"),
            "occurred_at": updates["sys_updated_at"],
            "seq": updates["sys_mod_count"],
            "stage": pd.Series(np.array(STAGES, dtype=object)[group], dtype="str"),
            "action": _state(updates).astype("str"),
            "agent_id": updates["assigned_to"].astype("str"),
            "ticket_id": updates["number"].astype("str"),
            "_row": updates["row"],
        }
    )


def _tickets(updates: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """One row per incident; and how many end after the last update, which nobody can have known yet."""
    updates = updates.assign(incident_state=_state(updates))
    first, last = (updates[updates[end]].reset_index(drop=True) for end in ("first", "last"))
    columns = {"ticket_id": first["number"], "case_id": first["number"]}
    columns |= {ours: first[theirs] for ours, theirs in AT_START.items()} | {
        ours: last[theirs] for ours, theirs in AT_END.items()
    }
    tickets = pd.DataFrame({name: _plain(column) for name, column in columns.items()}).assign(_row=first["row"])
    until = updates["sys_updated_at"].max()
    unresolved, unclosed = tickets["resolved_at"] > until, tickets["closed_at"] > until
    tickets["resolved_at"] = tickets["resolved_at"].mask(unresolved)
    tickets["closed_at"] = tickets["closed_at"].mask(unclosed)
    tickets["close_code"] = tickets["close_code"].mask(unresolved | unclosed)
    return tickets, int((unresolved | unclosed).sum())


def _plain(column: pd.Series) -> pd.Series:
    return column.astype("str") if isinstance(column.dtype, pd.CategoricalDtype) else column


def _events(updates: pd.DataFrame) -> pd.DataFrame:
    """One row per field whose value changed with an update. (No `_row`: an update is one row, and may be many events.)"""
    common = {
        "ticket_id": "number",
        "occurred_at": "sys_updated_at",
        "seq": "sys_mod_count",
        "actor_id": "sys_updated_by",
        "group_id": "assignment_group",
    }
    changes = []
    for theirs, field in TRACKED.items():
        column = _state(updates) if field == "state" else updates[theirs]
        values = column.astype("str" if theirs in COUNTS else column.dtype).astype("category")
        codes = values.cat.codes.to_numpy()
        before = np.where(updates["first"], -1, np.roll(codes, 1))
        changed = codes != before
        rows = {ours: _plain(updates.loc[changed, name]) for ours, name in common.items()}
        names = np.array([*values.cat.categories, None], dtype=object)  # code -1, missing, is the last
        old, new = (pd.array(names[code[changed]], dtype="str") for code in (before, codes))
        changes.append(
            pd.DataFrame(
                rows | {"field": field, "old_value": old, "new_value": new, "event_id": updates["id"][changed] + ":" + field}
            )
        )
    return pd.concat(changes).sort_index(kind="stable").reset_index(drop=True)
