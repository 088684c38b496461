"""What was known at each touch? Features that read nothing later than the touch itself.

A column is called GROUP.NAME, such as ``mood.mean``; the columns of one group stand for one reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.escalation.surroundings import age_against_usual, history, incidents, load, of_the_like
from cxlib.eventlog import NO_MOOD, EventLog, first_touch
from cxlib.schema import HOUR, known_at_start
from cxlib.store import Dataset

CLOSED = ("resolved", "closed", "solved")  # a ticket whose state begins with one of these is not open
# How a ticket ended. Exports fill these in from the first row on, so not even their dated changes are read.
ENDINGS = {"closed_at", "close_code", "closed_code", "close_notes", "resolved_at", "resolved_by", "resolution"}
FREE_TEXT = {"comment", "comments", "work_notes", "short_description", "description"}  # only how many, not what they say
_NOT_FACTS = {"ticket_id", "user_id", "case_id", "application_id", "opened_at"} | FREE_TEXT | ENDINGS
_OF_TOUCH = {
    "seq": "float64",
    "wait_s": "float64",
    "user_id": "str",
    "application_id": "str",
    "article_id": "str",
    "ticket_id": "str",
}


@dataclass(frozen=True)
class Moments:
    """Every touch of a log, in the log's order, as a moment at which one could have predicted.

    `keys` holds touchpoint_id, case (its position in the log), customer (a 64-bit key), case_id, at and began (of the case:
    its first touch or its ticket's opening; microseconds, UTC), stage, at_risk (is a prediction asked for here?), is_open
    (no ticket, or one that is not resolved) and ticket_id (of the case's newest ticket, if one was opened by then);
    `features` what was known then.
    """

    keys: pd.DataFrame
    features: pd.DataFrame


def moments(log: EventLog, dataset: Dataset, wanted: Collection[str] = ()) -> Moments:
    """What was known at each touch, and is a prediction asked for there?

    Asked for is a touch at `problem_from` or further right, left of the escalation stage, before the case's first touch there,
    while the case's ticket is open. Known is what carries the touch's time or an earlier one; at the same time, `seq` decides
    where both sides have it. A touch at the very time of the escalation is not before it unless `seq` says so.
    `wanted` are features that are made even where these data alone would not ask for them (see `of_the_like`).
    """
    tables = as_opened(dataset.tables)
    touch = _touches(log, tables)
    ticket = ticket_then(touch, tables)
    tickets = _ticket_facts(touch, ticket, tables)
    is_open = ~_closed(tickets.get("state.value"), len(touch))
    asks = _customer(touch, ticket, tables)
    words = pd.concat([tickets, asks], axis=1).select_dtypes("str")
    beyond = [
        history(log, touch),
        load(log),
        incidents(asks["application.value"], touch["at"].to_numpy(), tables),
        of_the_like(log, touch, words, wanted),
        age_against_usual(log, touch, tickets.get("category.value")),
    ]
    parts = [_path(log), _mood(log), _time(log), asks, tickets, *beyond]
    keys = pd.DataFrame(
        {
            "touchpoint_id": log.touchpoint_id,
            "case": log.case_of_touch,
            "case_id": log.case_id[log.case_of_touch],
            "customer": log.customer_key[log.customer_of_case][log.case_of_touch],
            "at": np.asarray(log.at),
            "began": _began(touch, ticket, dataset.tables),
            "stage": np.array(log.stages, dtype=object)[log.stage],
            "at_risk": _before_escalation(log, touch["seq"].to_numpy()) & is_open,
            "is_open": is_open,
            "ticket_id": ticket,
        }
    )
    return Moments(keys, pd.concat(parts, axis=1))


Dated = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # of which thing (a code), when, and in which order at that time (NaN: unknown)


def last_known(entries: Dated, asked: Dated) -> np.ndarray:
    """The position of the last entry about the same thing that is known at each asked moment, -1 where there is none.

    At equal times an entry is known if its order is not after that of the moment, or if one of the two is unknown.

    >>> none = np.full(2, np.nan)
    >>> last_known((np.array([7, 7]), np.array([10, 20]), none), (np.array([7, 8]), np.array([19, 99]), none))
    array([ 0, -1])
    """
    (of, at, seq), (asked_of, asked_at, asked_seq) = entries, asked
    n, every = len(of), np.concatenate([of, asked_of])
    is_question = np.arange(len(every)) >= n
    rank = np.concatenate([np.nan_to_num(seq, nan=-np.inf), np.nan_to_num(asked_seq, nan=np.inf)])
    order = np.lexsort((is_question, rank, np.concatenate([at, asked_at]), every))
    place = np.maximum.accumulate(np.where(is_question[order], -1, np.arange(len(every)))) if len(every) else order
    last = np.where(place >= 0, order[place], -1)
    last = np.where((last >= 0) & (every[last] == every[order]), last, -1)
    found = np.empty(len(every), dtype=np.int64)
    found[order] = last
    return found[n:]


def _dated(rows: pd.DataFrame, of: str) -> Dated:
    return rows[of].to_numpy(), rows["at"].to_numpy(), rows["seq"].to_numpy(dtype=float)


def _touches(log: EventLog, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What the touchpoints table says of each touch of the log; a log made of tickets has only their ids."""
    if "touchpoints" in tables:
        touch = tables["touchpoints"].set_index("touchpoint_id").reindex(log.touchpoint_id).reset_index(drop=True)
    else:
        touch = pd.DataFrame({"ticket_id": log.touchpoint_id})
    touch = touch.reindex(columns=list(_OF_TOUCH)).astype(_OF_TOUCH)
    return touch.assign(case=log.case_of_touch, case_id=log.case_id[log.case_of_touch], at=np.asarray(log.at))


def _before_escalation(log: EventLog, seq: np.ndarray) -> np.ndarray:
    """Touches left of the escalation stage, in search of help, before the case's first escalation."""
    if not log.n_touches:
        return np.empty(0, dtype=bool)
    first = first_touch(log, log.stage == log.escalation)[log.case_of_touch]
    called = first < log.n_touches
    first = np.minimum(first, log.n_touches - 1)
    ordered = (log.at < log.at[first]) | ~np.isnan(seq + seq[first])
    before = ~called | ((np.arange(log.n_touches) < first) & ordered)
    return before & (log.stage >= log.problem_from) & (log.stage < log.escalation)


def _path(log: EventLog) -> pd.DataFrame:
    """Where the case is, has been, and how often."""
    case, names = pd.Series(log.case_of_touch), np.array(log.stages, dtype=object)
    stage, action = pd.Series(log.stage.astype(np.int64)), pd.Series(np.array(log.actions, dtype=object)[log.action])
    action = action.where(action != "")
    n_so_far = case.groupby(case).cumcount() + 1
    columns = {
        "stage.now": pd.Series(names[stage]),
        "stage.furthest": pd.Series(names[stage.groupby(case).cummax()]),
        "stage.before": pd.Series(names[stage]).groupby(case).shift(),
    }
    for code, name in enumerate(log.stages):
        if code != log.escalation:
            columns[f"stage.n_{name}"] = (stage == code).groupby(case).cumsum().astype(float)
    columns["stage.n_returns"] = _returns(case, stage)
    columns |= {"touches.n": n_so_far.astype(float), "action.now": action, "action.before": action.groupby(case).shift()}
    return pd.DataFrame(columns)


def _returns(of: pd.Series, value: pd.Series) -> pd.Series:
    """How often has each thing come back by now to a value that it had left before?

    >>> _returns(pd.Series([0, 0, 0, 0, 1]), pd.Series(["a", "a", "b", "a", "a"])).tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0]
    """
    moved = value.ne(value.groupby(of).shift())
    seen = pd.DataFrame({"of": of, "value": value}).duplicated()
    return (moved & seen).groupby(of).cumsum().astype(float)


def _mood(log: EventLog) -> pd.DataFrame:
    """Mood from -1 to 1: the last one seen, the mean and the worst so far."""
    case, mood = log.case_of_touch, pd.Series(log.mood).astype(float).where(np.asarray(log.mood) != NO_MOOD) / 1000
    n_seen = mood.notna().groupby(case).cumsum()
    total = mood.fillna(0).groupby(case).cumsum()
    return pd.DataFrame(
        {
            "mood.last": mood.groupby(case).ffill(),
            "mood.mean": (total / n_seen.where(n_seen > 0)).round(9),
            "mood.worst": mood.groupby(case).cummin().groupby(case).ffill(),
        }
    )


def _time(log: EventLog) -> pd.DataFrame:
    """Hours since the case began, since the touch before, between touches as a rule, and what the clock says at home."""
    case, at = log.case_of_touch, pd.Series(np.asarray(log.at))
    gap = at.groupby(case).diff() / HOUR
    paces = np.log1p(gap * 60)  # in minutes, so that short waits differ too
    local = pd.to_datetime(at, unit="us", utc=True).dt.tz_convert(log.timezone).dt
    return pd.DataFrame(
        {
            "time.elapsed_h": (at - at.groupby(case).transform("first")) / HOUR,
            "time.gap_h": gap,
            "time.pace_h": np.expm1((paces.groupby(case).cumsum() / case_count(paces, case)).round(9)) / 60,
            "hour.value": local.hour.astype(float),
            "weekday.value": local.day_name().astype("str"),
        }
    )


def case_count(values: pd.Series, case: np.ndarray) -> pd.Series:
    """How many values each case has shown so far; missing where none."""
    n = values.notna().groupby(case).cumsum().astype(float)
    return n.where(n > 0)


def _customer(touch: pd.DataFrame, ticket: pd.Series, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Who asks, about what: the user and application named so far in the case (a later touch may name the user, too late)."""
    so_far = touch.groupby("case")[["user_id", "application_id", "article_id"]].ffill()
    application = so_far["application_id"].fillna(_looked_up(ticket, tables, "tickets", "application_id"))
    columns = {"application.value": application, "article.value": so_far["article_id"], "wait.s": touch["wait_s"]}
    for name in ("role", "plan", "geography"):
        columns[f"{name}.value"] = _looked_up(so_far["user_id"], tables, "users", name)
    return pd.DataFrame(columns)


def _looked_up(ids: pd.Series, tables: Mapping[str, pd.DataFrame], table: str, column: str) -> pd.Series:
    """A column of another table for each id; missing where table, column or id is."""
    if table not in tables or column not in tables[table]:
        return pd.Series(pd.NA, index=ids.index, dtype="str")
    return ids.map(tables[table].set_index(f"{table[:-1]}_id")[column])


def ticket_then(touch: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """The case's newest ticket at each touch; missing while none has been opened.

    A ticket is known from its `opened_at`, however early a touch names it; without one, from the first touch that names it.
    """
    links = touch.loc[touch["ticket_id"].notna(), ["case", "ticket_id", "at", "seq"]].drop_duplicates(["case", "ticket_id"])
    if "tickets" in tables:
        opened = tables["tickets"].reindex(columns=["ticket_id", "case_id", "opened_at"]).dropna(subset=["opened_at"])
        opened = opened.assign(at=opened["opened_at"].astype("int64")).set_index("ticket_id")
        dated = links["ticket_id"].map(opened["at"])
        links = links.assign(at=dated.fillna(links["at"]).astype("int64"), seq=links["seq"].where(dated.isna()))
        cases = pd.Series(touch["case"].to_numpy(), index=touch["case_id"])
        cases = cases[~cases.index.duplicated()]
        told = opened.reset_index().assign(case=lambda t: t["case_id"].map(cases), seq=np.nan).dropna(subset=["case"])
        links = pd.concat([links, told[["case", "ticket_id", "at", "seq"]]]).drop_duplicates(["case", "ticket_id"])
    links = links.sort_values(["case", "at", "seq", "ticket_id"], ignore_index=True)
    found = last_known(_dated(links, "case"), _dated(touch, "case"))
    return links["ticket_id"].reindex(found).set_axis(touch.index).astype("str")


def _ticket_facts(touch: pd.DataFrame, ticket: pd.Series, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The ticket at each touch: what it said when it was opened, and every logged change up to then."""
    facts = pd.DataFrame({"ticket.age_h": (touch["at"] - _opened(ticket, tables)) / HOUR})
    for name in sorted(set(known_at_start("tickets")) - _NOT_FACTS):
        facts[f"{name}.value"] = _looked_up(ticket, tables, "tickets", name)
    for name, is_known, value, n_changes, n_returns in _changes(touch, ticket, tables):
        if name not in FREE_TEXT:  # the log of changes wins over the table
            facts[f"{name}.value"] = value.where(is_known, facts[f"{name}.value"]) if f"{name}.value" in facts else value
            facts[f"{name}.n_returns"] = n_returns
        facts[f"{name}.n_changes"] = n_changes
    return facts.dropna(axis=1, how="all")


def _opened(ticket: pd.Series, tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """When each ticket was opened, in microseconds; missing where nobody says."""
    if "tickets" not in tables or "opened_at" not in tables["tickets"]:
        return pd.Series(np.nan, index=ticket.index)
    opened = tables["tickets"].set_index("ticket_id")["opened_at"].dropna().astype("int64")
    return ticket.map(opened).astype("float64")  # exact: microseconds stay below 2^53 until the year 2255


def _began(touch: pd.DataFrame, ticket: pd.Series, tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """When each touch's case began: its first touch, or the opening of a ticket if that is earlier."""
    earliest = np.fmin(touch["at"], _opened(ticket, tables)).astype("int64")
    return earliest.groupby(touch["case"]).transform("min")


def as_opened(tables: Mapping[str, pd.DataFrame], until: pd.Timestamp | None = None) -> Mapping[str, pd.DataFrame]:
    """The tables with what each ticket said before the changes logged after a time, or before any.

    An export may hold the last value of a field. Where the log never says an old value, nobody can tell what it was, and the
    column is empty: else who lacks it would be known to change.
    """
    if not {"tickets", "ticket_events"} <= set(tables):
        return tables
    tickets, events = tables["tickets"], tables["ticket_events"]
    if not {"ticket_id", "occurred_at", "field", "old_value"} <= set(events):
        return tables
    order = [name for name in ("occurred_at", "seq") if name in events]
    later = events if until is None else events[events["occurred_at"] > until]
    told = set(events.loc[events["old_value"].notna(), "field"])
    undone = {}
    for name, rows in later.sort_values(order, kind="stable").drop_duplicates(["ticket_id", "field"]).groupby("field"):
        if name in tickets and pd.api.types.is_string_dtype(tickets[name]):
            old = tickets["ticket_id"].map(rows.set_index("ticket_id")["old_value"])
            changed = tickets["ticket_id"].isin(rows["ticket_id"])
            undone[name] = tickets[name].where(~changed & (name in told), old).astype("str")
    return {**tables, "tickets": tickets.assign(**undone)}


def _changes(
    touch: pd.DataFrame, ticket: pd.Series, tables: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[str, np.ndarray, pd.Series, pd.Series, pd.Series]]:
    """For each field that changes: its name and, at each touch, is it known, its value, and how often it had changed by
    then, and come back to a value that it had left.
    """
    if "ticket_events" not in tables or "field" not in tables["ticket_events"]:
        return
    events = tables["ticket_events"].reindex(columns=["ticket_id", "occurred_at", "seq", "field", "old_value", "new_value"])
    ids = pd.Index(ticket.dropna().unique())
    events = events.assign(of=ids.get_indexer(events["ticket_id"]), seq=events["seq"].astype("float64"))
    events = events[(events["of"] >= 0) & events["occurred_at"].notna() & ~events["field"].isin(ENDINGS)]
    events = events.assign(at=events["occurred_at"].astype("int64"))
    events = events.sort_values(["of", "at", "seq", "new_value"], na_position="first")
    asked = touch.assign(of=np.where(ticket.notna(), ids.get_indexer(ticket), -1))
    for name, rows in events.groupby("field", sort=True):
        found = last_known(_dated(rows, "of"), _dated(asked, "of"))
        n_changes = rows["old_value"].notna().groupby(rows["of"]).cumsum().astype(float)
        value, n, back = (
            column.reset_index(drop=True).reindex(found).set_axis(touch.index)
            for column in (rows["new_value"], n_changes, _returns(rows["of"], rows["new_value"]))
        )
        yield str(name), found >= 0, value.astype("str"), n, back


def _closed(state: pd.Series | None, n: int) -> np.ndarray:
    """Which tickets are not open any more; without a logged state none is."""
    return np.zeros(n, dtype=bool) if state is None else state.str.lower().str.startswith(CLOSED, na=False).to_numpy(dtype=bool)
