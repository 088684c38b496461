"""What is known of a case that does not depend on its course? One row per case, in the order of the log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxlib.eventlog import NO_MOOD, EventLog, began, first_touch, sought
from cxlib.journey.kinds import BLOCKED, NEW, REGULAR
from cxlib.journey.reach import FORCED, OUTCOMES, outcome_codes
from cxlib.store import Dataset

SIGNS = ("impact", "urgency")  # two noisy readings of how severe a problem is
_TICKET = {"category": "topic", "impact": "impact", "urgency": "urgency"}
_USER = ("role", "geography", "plan")


def cases(log: EventLog, dataset: Dataset | None = None) -> pd.DataFrame:
    """What is known of each case that where it goes should not change?

    Parameters
    ----------
    log : EventLog
        The moment asked about is each case's first touch at `problem_from` or further right; its first touch where there
        is none.
    dataset : Dataset, optional
        The tables the log was compiled from. A table or column that is missing gives no column.

    Returns
    -------
    DataFrame
        One row per case, in the order of the log. From the log: ``kind`` of customer, ``n_earlier`` (cases the customer began
        before), ``earlier_mood`` (mean mood of the customer's touches before, -1 to 1; NaN where none has one),
        ``month`` (in the log's time zone); these as of the moment help was first sought. From the tables, as recorded and
        perhaps only later: ``topic``, ``impact``, ``urgency`` (of the case's first ticket), ``application`` (of its first touch
        that names one, else of the ticket), ``open_incident`` (was one open on that application when help was first sought?),
        ``role``, ``geography``, ``plan`` (of the user).

    Notes
    -----
    A customer is *blocked* if an earlier case of theirs had been forced to call by then, else *new* if they began no case
    before in this log, else *regular*: from the past only. Topic, impact, urgency and application describe the problem, not its
    course, but are read from a ticket or touch that may come after help was first sought, and so is the application that
    ``open_incident`` asks about; role, geography and plan are those of the users table today. Where a case's course decides
    what is recorded (a ticket only at the phone, an urgency raised after days), they are not what was known before; a case
    without ticket has no topic, impact or urgency.

    >>> from cxlib.eventlog import from_paths
    >>> cases(from_paths(a__1="help phone", a__2="product product help", b="help"))[["kind", "n_earlier"]].to_numpy().tolist()
    [['new', 0], ['blocked', 1], ['new', 0]]
    """
    known = log.per_case(_from_log)
    at = known.pop("at").to_numpy()
    local = pd.Series(pd.to_datetime(at, unit="us", utc=True)).dt.tz_convert(log.timezone)
    known["month"] = local.dt.strftime("%Y-%m")
    known["kind"] = np.select([known.pop("was_blocked"), known["n_earlier"] == 0], [BLOCKED, NEW], REGULAR)
    if dataset is not None:
        known = pd.concat([known, _from_tables(log, dataset.tables, at)], axis=1)
    return known


def earlier(
    of: np.ndarray, at: np.ndarray, asked_of: np.ndarray, asked_at: np.ndarray, worth: np.ndarray | None = None
) -> np.ndarray:
    """How many events of the same thing lie before each asked time? (With `worth`: what they add up to.)

    >>> earlier(np.array([0, 0, 1]), np.array([5, 9, 1]), np.array([0, 1, 2]), np.array([9, 9, 9]))
    array([1, 1, 0])
    """
    n = len(of)
    worth = np.ones(n, dtype=np.int64) if worth is None else worth.astype(np.int64)
    is_event = np.arange(n + len(asked_of)) < n
    order = np.lexsort((is_event, np.concatenate([at, asked_at]), np.concatenate([of, asked_of])))
    so_far = np.empty(len(order), dtype=np.int64)
    so_far[order] = np.cumsum(np.concatenate([worth, np.zeros(len(asked_of), dtype=np.int64)])[order])
    by_thing = np.argsort(of, kind="stable")
    before = np.concatenate([[0], np.cumsum(worth[by_thing])])[np.searchsorted(of[by_thing], asked_of)]
    return so_far[n:] - before


def _from_log(log: EventLog) -> dict[str, np.ndarray]:
    """What the log itself says of each case at the moment `at`, from what the same customer did before it."""
    customer, at = log.customer_of_case, log.at[sought(log)]
    forced = np.flatnonzero(outcome_codes(log)["outcome"] == OUTCOMES.index(FORCED))
    called = first_touch(log, log.stage == log.escalation)
    felt = np.flatnonzero(log.mood != NO_MOOD)
    whose = customer[log.case_of_touch[felt]]
    n_felt = earlier(whose, log.at[felt], customer, at)
    total = earlier(whose, log.at[felt], customer, at, log.mood[felt])
    return {
        "at": at,
        "n_earlier": earlier(customer, began(log), customer, at) - (began(log) < at),
        "earlier_mood": np.where(n_felt > 0, total / np.maximum(n_felt, 1) / 1000, np.nan),
        "was_blocked": earlier(customer[forced], log.at[called[forced]], customer, at) > 0,
    }


def _from_tables(log: EventLog, tables: Mapping[str, pd.DataFrame], at: np.ndarray) -> pd.DataFrame:
    found = pd.DataFrame(index=pd.RangeIndex(log.n_cases))
    tickets = _first_tickets(log, tables["tickets"], tables) if "tickets" in tables else pd.DataFrame(index=found.index)
    for column, name in _TICKET.items():
        if column in tickets:
            found[name] = tickets[column]
    application = _applications(log, tables, tickets)
    if application is not None:
        found["application"] = application
        if "incidents" in tables and {"application_id", "started_at"} <= set(tables["incidents"]):
            found["open_incident"] = _open_incident(application, at, tables["incidents"])
    if "users" in tables:
        users = tables["users"].set_index("user_id")
        whose = log.case_labels()["customer_id"]
        for column in _USER:
            if column in users:
                found[column] = users[column].reindex(whose).to_numpy()
    return found


def _first_tickets(log: EventLog, tickets: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The ticket of each case that was opened first, one row per case; missing values where a case has none."""
    place = _case_of_ticket(log, tickets, tables)
    opened = tickets["opened_at"] if "opened_at" in tickets else pd.Series(pd.NaT, index=tickets.index)
    order = np.lexsort((tickets["ticket_id"].to_numpy(dtype=object), opened.isna(), opened.to_numpy()))
    rows = tickets.assign(place=place).iloc[order]
    return rows[rows["place"] >= 0].drop_duplicates("place").set_index("place").reindex(pd.RangeIndex(log.n_cases))


def _case_of_ticket(log: EventLog, tickets: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """The case of each ticket, as a position; -1 where the log has none. By case_id, else by the touches that name it."""
    if "case_id" in tickets and tickets["case_id"].notna().any():
        return pd.Index(log.case_labels()["case_id"]).get_indexer(tickets["case_id"])
    touched = _of_touches(log, tables, "ticket_id") if "touchpoints" in tables else pd.Series(log.touchpoint_id)
    named = pd.DataFrame({"ticket_id": touched, "place": log.case_of_touch}).dropna().drop_duplicates("ticket_id")
    return named.set_index("ticket_id")["place"].reindex(tickets["ticket_id"]).fillna(-1).to_numpy(dtype=np.int64)


def _of_touches(log: EventLog, tables: Mapping[str, pd.DataFrame], column: str) -> pd.Series:
    """A column of the touchpoints table in the order of the log; empty where the table lacks it."""
    touch = tables["touchpoints"]
    if column not in touch:
        return pd.Series(np.nan, index=pd.RangeIndex(log.n_touches), dtype=object)
    return touch.set_index("touchpoint_id")[column].reindex(log.touchpoint_id).reset_index(drop=True)


def _applications(log: EventLog, tables: Mapping[str, pd.DataFrame], tickets: pd.DataFrame) -> pd.Series | None:
    """The application each case is about; None where no table says."""
    found = pd.Series(np.nan, index=pd.RangeIndex(log.n_cases), dtype=object)
    if "touchpoints" in tables and "application_id" in tables["touchpoints"]:
        named = pd.DataFrame({"application": _of_touches(log, tables, "application_id"), "place": log.case_of_touch}).dropna()
        found = named.drop_duplicates("place").set_index("place")["application"].reindex(found.index).astype(object)
    if "application_id" in tickets:
        found = found.where(found.notna(), tickets["application_id"].astype(object))
    return found.astype("str") if found.notna().any() else None


def _open_incident(application: pd.Series, at: np.ndarray, incidents: pd.DataFrame) -> np.ndarray:
    """Was an incident open on each case's application at its time? One without an end is open from its start on."""
    incidents = incidents.dropna(subset=["application_id", "started_at"])
    names = pd.Index(incidents["application_id"].unique())
    of, asked = names.get_indexer(incidents["application_id"]), names.get_indexer(application)
    started = incidents["started_at"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
    begun = earlier(of, started, asked, at + 1)
    over = np.zeros(len(at), dtype=np.int64)
    if "restored_at" in incidents:
        ended = incidents["restored_at"].notna().to_numpy()
        times = incidents["restored_at"][ended].astype("datetime64[us, UTC]").astype("int64").to_numpy()
        over = earlier(of[ended], times, asked, at + 1)
    return begun > over
