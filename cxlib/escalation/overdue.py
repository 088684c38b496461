"""Will a ticket's due time pass while it is open? Each ticket as a case whose last resort is to be overdue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from cxlib import eventlog
from cxlib.escalation.features import Moments, moments
from cxlib.eventlog import EventLog
from cxlib.journey.cases import earlier
from cxlib.schema import DAY, DataError, duration
from cxlib.store import Dataset, Tables

OVERDUE = "overdue"
WITHIN = "30d"  # tickets that are given longer take longer to watch than most exports last
# Ages at which a ticket is looked at. Fixed ones: shares of the time that it was given would tell the due time to come.
AGES = {"opened": 0} | {f"{age} old": duration(age) for age in ("6h", "1d", "3d", "7d", "14d")}
WATCHED = tuple(AGES)
STAGES = ("done", *WATCHED, OVERDUE)
# Whose record speaks for a ticket: those that agree with it in all of these columns.
LIKE = {
    "category": ("category",),
    "kind": ("subcategory",),
    "place": ("location",),
    "kind_and_channel": ("subcategory", "channel"),
    "kind_and_place": ("subcategory", "location"),
    "kind_and_priority": ("subcategory", "priority"),
}
_WINDOWS = (14, 90)  # days
_COLUMNS = {"opened": "opened_at", "due": "due_at", "promised": "first_due_at", "done": "resolved_at", "closed": "closed_at"}
_EARLIEST = pd.Timestamp(0, tz="UTC").as_unit("us")
_PRIOR = 5  # tickets at the overall share that are added to those of a group


def is_asked(dataset: Dataset, target: str | None) -> bool:
    """Is the forecast of being overdue, which is no stage of the data set?"""
    return target == OVERDUE and OVERDUE not in dataset.settings.stages


def tickets_due(dataset: Dataset, within: str = WITHIN, wanted: Collection[str] = ()) -> tuple[EventLog, Moments]:
    """Tickets as journeys to being overdue, and what was known at each moment: what `fit` learns from for target="overdue".

    Parameters
    ----------
    dataset : Dataset
        With tickets that have opened_at and due_at; resolved_at (else closed_at) ends them. Where ticket_events log changes of
        due_at, each promise counts while it stood: see `first_missed`.
    within : str
        Tickets that were given longer than this, such as "30d", are left out: they cannot be watched to their end.

    Returns
    -------
    EventLog
        One case per ticket: a touch at its opening and at the ages of `AGES` while it is open and in time, then one where it is
        done in time (stage "done") or its time has passed (stage "overdue"), as far as the data set was observed.
    Moments
        At its touches what `features.moments` knows, and how the like of it went: see `record`.

    Raises
    ------
    DataError
        If no ticket has an opened_at and a later due_at, or a logged due_at is no time.

    Notes
    -----
    A ticket is overdue if its due time passes before it is resolved, whatever becomes of it later. One that is still open when
    the data end, with its due time ahead, is not known; `labels.outcomes` lets others that were watched as long speak for it.
    A moment weighs 1, not 1 / moments of its ticket: what is late is open for longer, so its opening would weigh less.
    No feature reads a ticket's own `due_at`, nor that of others before it has passed. Without a log of its changes the last
    `due_at` is all there is: it says which tickets are watched (`within`), and until when; a promise that was
    moved after it was missed counts as kept, or as missed only later.
    """
    tickets = first_missed(dataset.tables, dataset.settings.timezone)
    rows = _dated(dict(dataset.tables) | {"tickets": tickets}, within)
    settings = replace(dataset.settings, stages=STAGES, escalation=OVERDUE, problem_from=WATCHED[0], cost={})
    touches = _touches(rows, dataset.settings.observed_until)
    log = eventlog.compile(touches, settings=settings)
    is_over = np.isin(log.stage, (0, log.escalation))
    log = replace(log, case_open=~np.logical_or.reduceat(is_over, log.case_start[:-1]))
    of_ticket = dataset.tables["tickets"].assign(case_id=tickets["ticket_id"])
    tables = dict(dataset.tables) | {"touchpoints": touches, "tickets": of_ticket}
    known = moments(log, replace(dataset, tables=cast(Tables, tables)), wanted)
    is_open = known.keys["is_open"] & ~is_over
    keys = known.keys.assign(is_open=is_open, at_risk=known.keys["at_risk"] & is_open)
    return log, Moments(keys.assign(worth=1.0), pd.concat([known.features, record(tickets, keys)], axis=1))


def first_missed(tables: Mapping[str, pd.DataFrame], zone: str = "UTC") -> pd.DataFrame:
    """The tickets with due_at as it stood when it first passed, and first_due_at as it was first promised.

    Each logged due_at (ticket_events, ISO 8601, in the zone where it names none) stands until the next; without a log the
    table's own always stood. One that is set to a time already past passes when it is set.

    Examples
    --------
    Promised for 4 o'clock; at 5, too late, for 9. It was missed at 4.

    >>> at = lambda hour: pd.to_datetime([hour], unit="h", utc=True)
    >>> tickets = pd.DataFrame({"ticket_id": ["a"], "opened_at": at(0), "due_at": at(9)})
    >>> change = {"ticket_id": ["a"], "occurred_at": at(5), "field": ["due_at"], "old_value": ["1970-01-01T04:00Z"]}
    >>> log = pd.DataFrame(change | {"new_value": ["1970-01-01T09:00Z"]})
    >>> first_missed({"tickets": tickets, "ticket_events": log})["due_at"].dt.hour.tolist()
    [4]
    """
    tickets = tables.get("tickets", pd.DataFrame({"ticket_id": []}))
    own = tickets.reindex(columns=["due_at"])["due_at"].astype("datetime64[us, UTC]")
    wanted = ["ticket_id", "occurred_at", "seq", "field", "old_value", "new_value"]
    log = tables.get("ticket_events", pd.DataFrame()).reindex(columns=wanted)
    log = log[(log["field"] == "due_at") & log["occurred_at"].notna()].sort_values(["ticket_id", "occurred_at", "seq"])
    if log.empty:
        return tickets.assign(due_at=own, first_due_at=own)
    log = log.assign(since=log["occurred_at"].astype("datetime64[us, UTC]"), due=log["new_value"])
    before = log.drop_duplicates("ticket_id").assign(since=_EARLIEST, due=lambda first: first["old_value"])
    stood = pd.concat([before, log], ignore_index=True).sort_values(["ticket_id", "since"], kind="stable")
    stood["due"] = _read(stood["due"], zone)
    until = stood.groupby("ticket_id")["since"].shift(-1)
    stood["passed"] = stood["due"].where(stood["due"] > stood["since"], stood["since"]).where(stood["due"].notna())
    stood = stood.dropna(subset=["passed"]).assign(until=until)
    passed = stood[~(stood["passed"] >= stood["until"])].groupby("ticket_id")["passed"].first()
    first = stood.groupby("ticket_id")["due"].first()
    is_logged = tickets["ticket_id"].isin(log["ticket_id"])
    return tickets.assign(
        due_at=own.where(~is_logged, tickets["ticket_id"].map(passed)),
        first_due_at=own.where(~is_logged, tickets["ticket_id"].map(first)),
    )


def _read(text: pd.Series, zone: str) -> pd.Series:
    """Times from a log of changes, which is kept as text."""
    text = text.astype("str")
    at = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce").astype("datetime64[us, UTC]")
    if (odd := text[at.isna() & text.notna()]).any():
        raise DataError(f"ticket_events change due_at to {odd.iloc[0]!r}, which is no time: write it as 2026-03-02T12:00:00Z")
    local = at.dt.tz_localize(None).dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
    return at.where(text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", na=False), local)


def _dated(tables: Mapping[str, pd.DataFrame], within: str) -> pd.DataFrame:
    """The tickets that fall due in time to be watched: ticket_id, user_id, visitor_id, opened, due and done (microseconds)."""
    longest = duration(within, "horizon")
    times = _times(tables["tickets"])
    usable = times["opened"].notna() & (times["due"] > times["opened"]) & ~(times["done"] < times["opened"])
    if not usable.any():
        raise DataError(
            "target=overdue needs tickets with an opened_at and a later due_at, and there are none: "
            "map the time by which a ticket was promised, --map due_at=THEIR COLUMN, when importing"
        )
    is_watched = usable & (times["promised"] - times["opened"] <= longest)
    if not is_watched.any():
        raise DataError(
            f"none of {usable.sum()} tickets with a due_at was given so little time (horizon={within}): ask for a longer one"
        )
    times = times[is_watched]
    people = tables.get("touchpoints", pd.DataFrame()).reindex(columns=["ticket_id", "user_id", "visitor_id"])
    of_touch = people.dropna(subset=["ticket_id"]).groupby("ticket_id").first().reindex(times["ticket_id"])
    user = times["user_id"].fillna(pd.Series(of_touch["user_id"].to_numpy(), times.index))
    return times.assign(user_id=user.astype("str"), visitor_id=of_touch["visitor_id"].astype("str").to_numpy())


def _times(tickets: pd.DataFrame) -> pd.DataFrame:
    """When each ticket was opened, due and done, in microseconds; missing where nobody says (done: infinite)."""
    told = tickets.reindex(columns=["ticket_id", "user_id", *_COLUMNS.values()])
    at = {
        name: told[column].astype("datetime64[us, UTC]").astype("int64").where(told[column].notna())
        for name, column in _COLUMNS.items()
    }
    at["done"] = at["done"].fillna(at.pop("closed")).fillna(np.inf)
    return told[["ticket_id", "user_id"]].assign(**at)


def _touches(rows: pd.DataFrame, until: pd.Timestamp | None) -> pd.DataFrame:
    """One touch per ticket and moment, as the touchpoints table has them."""
    last = np.minimum(rows["done"], rows["due"])
    looked = {name: rows["opened"] + age for name, age in AGES.items()}
    parts = [(name, at, (at < last) | (name == WATCHED[0])) for name, at in looked.items()]
    parts += [("done", rows["done"], rows["done"] <= rows["due"]), (OVERDUE, rows["due"], rows["done"] > rows["due"])]
    frames = [
        rows.loc[there, ["ticket_id", "user_id", "visitor_id"]].assign(at=at[there].astype("int64"), stage=name)
        for name, at, there in parts
    ]
    touches = pd.concat(frames, ignore_index=True)
    occurred_at = pd.to_datetime(touches.pop("at"), unit="us", utc=True).astype("datetime64[us, UTC]")
    touches = touches.assign(
        touchpoint_id=touches["ticket_id"] + " " + touches["stage"],
        case_id=touches["ticket_id"],
        seq=touches["stage"].map({name: i for i, name in enumerate((*WATCHED, "done", OVERDUE))}).astype("Int64"),
        occurred_at=occurred_at,
    )
    return touches if until is None else touches[touches["occurred_at"] <= until]


def record(tickets: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """How did the like of each ticket go, and how many of its kind wait, as far as it was known at each moment?

    Parameters
    ----------
    tickets : DataFrame
        The tickets table (`first_missed` where changes of due_at are logged): all tickets, also those that are not forecast.
    keys : DataFrame
        Moments: case_id (the ticket) and at (microseconds).

    Returns
    -------
    DataFrame
        Per group of the like (`LIKE`, where the columns are there): overdue_by_GROUP.days_14 and .days_90, the share that was
        overdue of those done or due in the days before, 0 to 1 (five tickets at the overall share added). And
        queue.n_open, queue.n_overdue: tickets of the same kind open then, and of those how many were overdue.

    Examples
    --------
    When c is opened, a was done in time and b is overdue: one of two, and so of all; b waits.

    >>> at = lambda *hours: pd.to_datetime(hours, unit="h", utc=True)
    >>> table = pd.DataFrame({"ticket_id": list("abc"), "category": "x", "opened_at": at(0, 0, 9), "due_at": at(4, 4, 13)})
    >>> table["resolved_at"] = [*at(2), pd.NaT, pd.NaT]
    >>> record(table, pd.DataFrame({"case_id": ["c"], "at": [9 * 3_600_000_000]})).iloc[0].round(2).tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    names = [name for name in dict.fromkeys(sum(LIKE.values(), ())) if name in tickets and tickets[name].notna().any()]
    times = pd.concat([_times(tickets), tickets[names]], axis=1).dropna(subset=["opened"]).reset_index(drop=True)
    at, of_row = keys["at"].to_numpy(), pd.Index(times["ticket_id"]).get_indexer(keys["case_id"])
    overall = _missed(times, np.zeros(len(times), dtype=int), of_row, at, _WINDOWS[-1], np.full(len(keys), 0.5))
    found = {}
    for group, columns in LIKE.items():
        if set(columns) <= set(names):
            of = times.groupby(list(columns)).ngroup().to_numpy()  # -1 where one of them is missing
            for days in _WINDOWS:
                share = _missed(times, of, of_row, at, days, overall)
                found[f"overdue_by_{group}.days_{days}"] = np.where(of[of_row] >= 0, share.round(9), np.nan)
    return pd.DataFrame(found | _queue(times, names, of_row, at), index=keys.index)


def _missed(times: pd.DataFrame, of: np.ndarray, asked: np.ndarray, at: np.ndarray, days: int, prior: np.ndarray) -> np.ndarray:
    """The share overdue of the tickets of the same group that were done or fell due in the days before; prior tickets added."""
    settled = (times["due"].notna() & (of >= 0)).to_numpy()
    when = np.fmin(times["done"], times["due"]).to_numpy()[settled]
    late = (times["done"] > times["due"]).to_numpy()[settled]
    n, y = (_within(of[settled], when, of[asked], at, days * DAY, worth) for worth in (None, late))
    return (y + _PRIOR * prior) / (n + _PRIOR)


def _within(
    of: np.ndarray, when: np.ndarray, asked_of: np.ndarray, at: np.ndarray, span: int, worth: np.ndarray | None
) -> np.ndarray:
    """Events of the same group less than a span before each asked time, or what they add up to."""
    return earlier(of, when, asked_of, at, worth) - earlier(of, when, asked_of, at - span, worth)


def _queue(times: pd.DataFrame, names: list[str], asked: np.ndarray, at: np.ndarray) -> dict[str, np.ndarray]:
    """Open tickets of the same kind at each moment, and those of them that are overdue; those without a kind are one."""
    kind = next((name for name in ("subcategory", "category") if name in names), None)
    of = np.zeros(len(times), dtype=int) if kind is None else pd.factorize(times[kind])[0]
    late = times[(times["done"] > times["due"]).to_numpy()]

    def before(rows: pd.DataFrame, column: str) -> np.ndarray:
        return earlier(of[rows.index], rows[column].to_numpy(), of[asked], at)

    return {
        "queue.n_open": (before(times, "opened") - before(times, "done")).astype(float),
        "queue.n_overdue": (before(late, "due") - before(late, "done")).astype(float),
    }
