"""Can we trust the data? What was read and what was not, where it is thin, how touches are tied to customers, how fresh it is.

Everything here is counted over all rows of the data set, so a share of rows is exact and carries its n; only the share of open
cases, which stands for other customers as well, has an interval. Stands on the floor of `journey` and `themes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog, per_customer
from cxlib.redact import Gazetteer, gazetteer, redact
from cxlib.schema import ROW_TIME, TABLES
from cxlib.store import BROKEN, Dataset

FEEDS = {  # which question has nothing to stand on without the table
    "touchpoints": "where customers go",
    "tickets": "what they ask and who will call",
    "ticket_events": "who will call",
    "identities": "following visitors who log in later",
    "users": "redacting names, and customers by kind",
    "agents": "redacting the names of staff",
    "articles": "which help article answers what",
    "surveys": "what they feel",
    "transactions": "what breaks their day",
    "incidents": "what breaks their day",
    "changes": "what breaks their day",
    "flights": "what would move them left",
    "tactics": "what would move them left",
    "expectations": "what they feel against what they expect",
    "active_users": "rates per active user",
    "applications": "questions by application",
}
WANTED = {  # columns whose gaps weaken an answer, and which
    ("touchpoints", "case_id"): "cases cut by the export, not by gap",
    ("touchpoints", "action"): "the steps within a stage",
    ("touchpoints", "wait_s"): "waiting (empty where nobody waits)",
    ("touchpoints", "sentiment"): "mood by stage",
    ("tickets", "user_id"): "tickets to customers",
    ("tickets", "opened_at"): "themes over time",
    ("tickets", "resolved_at"): "how long it takes (empty while a ticket is open)",
    ("tickets", "category"): "themes without text, and who will call",
    ("tickets", "priority"): "who will call",
    ("tickets", "assignment_group"): "work by team",
    ("tickets", "short_description"): "themes",
    ("tickets", "description"): "themes",
    ("surveys", "score"): "what they feel (empty where nobody answered)",
}


@dataclass(frozen=True)
class Rows:
    """What was read; `table` has one row per table that the data set holds."""

    table: pd.DataFrame  # table, rows_in, kept, set_aside, left_out, share (kept of all)
    reasons: pd.DataFrame  # table, column, kind, reason, advice, rows, first_row, first_value; most rows first
    missing: pd.DataFrame  # table, feeds
    notes: tuple[str, ...]  # what the import had to say


@dataclass(frozen=True)
class Completeness:
    """Where the data are thin, over time and by column."""

    weeks: pd.DataFrame  # table, week (its local Monday), rows, median, of_median (1 = as usual), is_whole, is_thin
    table: pd.DataFrame  # table, column, empty, n, share, feeds


@dataclass(frozen=True)
class Links:
    """How touches are tied to customers; `table` has one row per stage."""

    table: pd.DataFrame  # stage, user, linked, visitor, nobody (touches), n, share (without a customer)
    visitors: pd.DataFrame  # users (one, several, none), visitors, share, n
    shared_touches: int  # of visitors that several users share, hence of no customer


@dataclass(frozen=True)
class Order:
    """What put touches of one case in order where their times are equal."""

    table: pd.DataFrame  # rule, decided, share, n (neighbouring touches of one case)


@dataclass(frozen=True)
class Freshness:
    """How far the data reach; `table` has one row per table with times."""

    table: pd.DataFrame  # table, first_at, last_at, days_before_end
    observed_from: pd.Timestamp
    observed_until: pd.Timestamp
    open_cases: int
    n_cases: int
    n_customers: int
    share: float  # of cases that are open, with its interval by customer
    low: float
    high: float


@dataclass(frozen=True)
class Largest:
    """The customers with the most touches; `table` has one row each."""

    table: pd.DataFrame  # customer (redacted), touches, cases, share (of all touches), n
    n_huge: int  # customers with more than a million touches


@dataclass(frozen=True)
class Trust:
    """Everything about the data set at once, and what is odd about it, the most serious kind first."""

    rows: Rows
    completeness: Completeness
    links: Links
    order: Order
    freshness: Freshness
    largest: Largest
    odd: pd.DataFrame  # kind, where, count, n, share
    metrics: pd.DataFrame  # metric, segment, value, low, high, n


def examine(dataset: Dataset, log: EventLog) -> Trust:
    """Is the data set fit to read, and what is odd about it?

    `odd` names what a reader must know before believing a number: rows set aside; a stage where over 5 % of touches have no
    customer; a wanted column over half empty, unless by nature; weeks with less than half of the usual rows; a table that stops
    more than seven days before the end; more than 20 % of cases open; order decided by id alone in more than one step of a
    thousand; a customer with more than 5 % of all touches. The bounds are conventions of ours, written beside the finding.
    """
    parts = (rows(dataset), completeness(dataset), links(dataset), order(log), freshness(dataset, log), largest(dataset, log))
    odd = pd.DataFrame(_oddities(*parts), columns=["kind", "where", "count", "n", "share"]).astype(
        {"count": "int64", "n": "int64"}
    )
    return Trust(*parts, odd=odd, metrics=_metrics(parts[0], parts[4]))


def rows(dataset: Dataset) -> Rows:
    """How many rows came in, how many can be used, and why not the others? rows_in = kept + set_aside + left_out."""
    table = dataset.accounting.rename(columns={"broken": "set_aside"})
    table = table.assign(share=table["kept"] / table["rows_in"].where(table["rows_in"] > 0))
    present = table.loc[table["kept"] > 0, "table"]
    missing = [(name, FEEDS[name]) for name in TABLES if name not in set(present)]
    reasons = _reasons(dataset.quarantine, gazetteer(dataset.tables))
    return Rows(table, reasons, pd.DataFrame(missing, columns=["table", "feeds"]), dataset.notes)


def _reasons(quarantine: pd.DataFrame, known: Gazetteer) -> pd.DataFrame:
    keys = ["table", "column", "kind", "reason"]
    first = quarantine.sort_values("row", kind="stable").groupby(keys, sort=False, dropna=False)
    table = first.agg(rows=("row", "size"), first_row=("row", "first"), first_value=("value", "first")).reset_index()
    why, todo = zip(*map(_why_and_what_to_do, table["reason"], table["kind"]), strict=True) if len(table) else ((), ())
    shown = [redact(str(value), known) for value in table["first_value"]]
    table = table.assign(reason=list(why), advice=list(todo), first_value=shown).astype({"rows": "int64"})
    table = table.sort_values(["rows", "table"], ascending=[False, True], kind="stable")
    return table[["table", "column", "kind", "reason", "advice", "rows", "first_row", "first_value"]].reset_index(drop=True)


def _why_and_what_to_do(reason: str, kind: str) -> tuple[str, str]:
    """
    >>> _why_and_what_to_do("is empty", BROKEN)
    ('is empty', 'correct it in the export and import again')
    >>> _why_and_what_to_do("is not a stage; map it when importing", BROKEN)
    ('is not a stage', 'map it when importing')
    """
    why, _, todo = reason.partition("; ")
    return why, todo or ("correct it in the export and import again" if kind == BROKEN else "nothing: the mapping says so")


def completeness(dataset: Dataset) -> Completeness:
    """Are there weeks or columns with less in them than there should be?

    A week is thin if it lies wholly within the observed period, not after the table's last row, and has less than half of the
    table's median week (of those with any row), in tables with a median of at least 20 rows. Weeks begin on Monday in the data
    set's time zone.
    """
    weeks = [_weeks(dataset, table) for table in _with_times(dataset)]
    columns = [
        _empty(dataset, table, column, feeds) for (table, column), feeds in WANTED.items() if column in _names(dataset, table)
    ]
    return Completeness(
        pd.concat(weeks, ignore_index=True) if weeks else pd.DataFrame(columns=_WEEK),
        pd.DataFrame(columns, columns=["table", "column", "empty", "n", "share", "feeds"]),
    )


def _with_times(dataset: Dataset) -> Iterator[str]:
    tables = ("touchpoints", "tickets", "ticket_events", "surveys", "transactions")
    for table in tables:
        if ROW_TIME[table] in _names(dataset, table):
            timed = f"SELECT count({ROW_TIME[table]}) FROM ({dataset.queries[table]})"
            if dataset.connection.execute(timed).fetchall()[0][0]:
                yield table


def _names(dataset: Dataset, table: str) -> set[str]:
    """The columns that a table of the data set has; none where there is no such table."""
    if table not in dataset.queries:
        return set()
    return {row[0] for row in dataset.connection.execute(f"DESCRIBE {dataset.queries[table]}").fetchall()}


_WEEK = ["table", "week", "rows", "median", "of_median", "is_whole", "is_thin"]


def _weeks(dataset: Dataset, table: str) -> pd.DataFrame:
    at, zone = ROW_TIME[table], dataset.settings.timezone
    found = dataset.connection.execute(
        f"""SELECT CAST(date_trunc('week', timezone(?, {at})) AS TIMESTAMP) AS week, count(*) AS rows
        FROM ({dataset.queries[table]}) WHERE {at} IS NOT NULL GROUP BY week""",
        [zone],
    ).df()
    first, last = (pd.Timestamp(moment).tz_convert(zone).tz_localize(None) for moment in _period(dataset))
    monday = first.normalize() - pd.Timedelta(days=first.weekday())
    end = max(found["week"].max(), last - pd.Timedelta(1, "us"))
    every = pd.date_range(min(monday, found["week"].min()), end, freq="7D")
    counted = found.set_index("week")["rows"].reindex(every, fill_value=0)
    whole = (every >= first) & (every + pd.Timedelta(days=7) <= last + pd.Timedelta(minutes=1))
    usual = float(counted[whole & (counted > 0).to_numpy()].median())
    thin = whole & (counted < usual / 2).to_numpy() & (usual >= 20) & (every <= found["week"].max())
    return pd.DataFrame(
        {
            "table": table,
            "week": every,
            "rows": counted.to_numpy(),
            "median": usual,
            "of_median": (counted / usual).to_numpy(),
            "is_whole": whole,
            "is_thin": thin,
        }
    )


def _period(dataset: Dataset) -> tuple[pd.Timestamp, pd.Timestamp]:
    settings = dataset.settings
    if settings.observed_from is None or settings.observed_until is None:
        raise ValueError("an opened data set knows its period")
    return settings.observed_from, settings.observed_until


def _empty(dataset: Dataset, table: str, column: str, feeds: str) -> tuple[str, str, int, int, float, str]:
    n, full = dataset.connection.execute(f'SELECT count(*), count("{column}") FROM ({dataset.queries[table]})').fetchall()[0]
    return table, column, n - full, n, (n - full) / n, feeds


def links(dataset: Dataset) -> Links:
    """How many touches are tied to a customer, and how?

    By their own `user_id`; by a visitor that is linked to one user; only to a visitor (a customer of its own, whose other cases
    we do not see); or to nobody. A visitor that several users share is taken for none of them. Without touchpoints, tickets
    stand in.
    """
    known = _names(dataset, "touchpoints") or _names(dataset, "tickets") - {"visitor_id", "stage"}
    source = dataset.queries["touchpoints" if "touchpoints" in dataset.queries else "tickets"]
    user, visitor, stage = (name if name in known else "NULL::VARCHAR" for name in ("user_id", "visitor_id", "stage"))
    users = (
        f"SELECT visitor_id AS linked_id, count(DISTINCT user_id) AS users FROM ({_identities(dataset)}) GROUP BY visitor_id"
    )
    found = dataset.connection.execute(
        f"""SELECT coalesce(stage, 'ticket') AS stage, count(*) FILTER (user_id IS NOT NULL) AS "user",
            count(*) FILTER (user_id IS NULL AND users = 1) AS linked,
            count(*) FILTER (user_id IS NULL AND visitor_id IS NOT NULL AND users IS DISTINCT FROM 1) AS visitor,
            count(*) FILTER (user_id IS NULL AND visitor_id IS NULL) AS nobody,
            count(*) FILTER (user_id IS NULL AND users > 1) AS shared, count(*) AS n
        FROM (SELECT {user} AS user_id, {visitor} AS visitor_id, {stage} AS stage FROM ({source}))
            LEFT JOIN ({users}) ON visitor_id = linked_id
        GROUP BY 1"""
    ).df()
    place = {name: i for i, name in enumerate(dataset.settings.stages)}
    found = found.sort_values("stage", key=lambda names: names.map(place), ignore_index=True)
    table = found.drop(columns="shared").assign(share=(found["visitor"] + found["nobody"]) / found["n"])
    return Links(table, _visitors(dataset, users, source if visitor == "visitor_id" else None), int(found["shared"].sum()))


def _identities(dataset: Dataset) -> str:
    return dataset.queries.get("identities", "SELECT NULL::VARCHAR AS visitor_id, NULL::VARCHAR AS user_id WHERE false")


def _visitors(dataset: Dataset, users: str, touches: str | None) -> pd.DataFrame:
    """Visitors by how many users they are linked to."""
    seen = (
        f"SELECT DISTINCT visitor_id FROM ({touches}) WHERE visitor_id IS NOT NULL"
        if touches
        else "SELECT linked_id AS visitor_id FROM linked"
    )
    found = dataset.connection.execute(
        f"""WITH linked AS ({users}), seen AS ({seen}) SELECT CASE WHEN users IS NULL THEN 'none' WHEN users = 1 THEN 'one'
        ELSE 'several' END AS users, count(*) AS visitors
        FROM seen LEFT JOIN linked ON visitor_id = linked_id GROUP BY 1"""
    ).df()
    counts = found.set_index("users")["visitors"].reindex(["one", "several", "none"], fill_value=0)
    n = int(counts.sum())
    return pd.DataFrame(
        {"users": counts.index, "visitors": counts.to_numpy(), "share": counts.to_numpy() / n if n else np.nan, "n": n}
    )


def order(log: EventLog) -> Order:
    """Where times are equal, what decided the order of touches? By id alone means: nothing in the data did.

    >>> from cxlib.eventlog import from_paths
    >>> print(order(from_paths(step="0s", a="help phone")).table.set_index("rule").loc["stage", ["decided", "n"]].astype(int))
    decided    1
    n          1
    Name: stage, dtype: int64
    """
    n = log.n_touches - log.n_cases
    decided = [(rule, int(count), count / n if n else float("nan"), n) for rule, count in log.ties.items()]
    return Order(pd.DataFrame(decided, columns=["rule", "decided", "share", "n"]))


def freshness(dataset: Dataset, log: EventLog) -> Freshness:
    """Until when do the tables reach, and how many cases are not over yet?"""
    found = []
    for table in _with_times(dataset):
        at = ROW_TIME[table]
        query = f"SELECT epoch_us(min({at})), epoch_us(max({at})) FROM ({dataset.queries[table]})"
        first, last = pd.to_datetime(dataset.connection.execute(query).fetchall()[0], unit="us", utc=True)
        found.append((table, first, last, (_period(dataset)[1] - last) / pd.Timedelta(days=1)))
    is_open, each = (per_customer(log, values) for values in (log.case_open, np.ones(log.n_cases, dtype=np.int64)))
    share, low, high = stats.ratio_interval(is_open, each)
    return Freshness(
        pd.DataFrame(found, columns=["table", "first_at", "last_at", "days_before_end"]),
        *_period(dataset),
        int(log.case_open.sum()),
        log.n_cases,
        log.n_customers,
        share,
        min(low, share),  # rounding can put the bounds of a share of 0 or 1 a hair inside it
        max(high, share),
    )


def largest(dataset: Dataset, log: EventLog, top: int = 3) -> Largest:
    """Which customers have the most touches? One with millions (a test account, a shared login) can carry a whole answer."""
    cases = np.diff(log.customer_start)
    touches = np.diff(log.case_start[log.customer_start])
    most = np.argsort(-touches, kind="stable")[:top]
    known = gazetteer(dataset.tables)
    table = pd.DataFrame(
        {
            "customer": [redact(str(name), known) for name in log.customer_id[most]],
            "touches": touches[most],
            "cases": cases[most],
            "share": touches[most] / max(1, log.n_touches),
            "n": log.n_touches,
        }
    )
    return Largest(table, int((touches > 1_000_000).sum()))


def _oddities(
    read: Rows, full: Completeness, tied: Links, ties: Order, fresh: Freshness, most: Largest
) -> Iterator[tuple[str, str, int, int, float]]:
    """What is odd, each with its count, its n and the share."""
    for row in read.table[read.table["set_aside"] > 0].sort_values("set_aside", ascending=False).itertuples():
        yield "set aside", row.table, row.set_aside, row.rows_in, row.set_aside / row.rows_in
    lost = tied.table[tied.table["share"] > 0.05]
    if len(lost):
        n, without = int(lost["n"].sum()), int(lost[["visitor", "nobody"]].to_numpy().sum())
        yield "no customer", ", ".join(lost["stage"]), without, n, without / n
    for table, weeks in full.weeks[full.weeks["is_thin"]].groupby("table", sort=False):
        whole = int(full.weeks.loc[full.weeks["table"] == table, "is_whole"].sum())
        yield "thin weeks", str(table), len(weeks), whole, len(weeks) / whole
    for row in fresh.table[fresh.table["days_before_end"] > 7].itertuples():
        yield "stops early", row.table, int(row.days_before_end), 0, float("nan")
    if fresh.share > 0.2:
        yield "open cases", "", fresh.open_cases, fresh.n_cases, fresh.share
    gaps = full.table[(full.table["share"] > 0.5) & ~full.table["feeds"].str.contains("empty")]  # not those empty by nature
    for row in gaps.itertuples():
        yield "mostly empty", f"{row.table}.{row.column}", row.empty, row.n, row.share
    for row in most.table[most.table["share"] > 0.05].itertuples():
        yield "large customer", row.customer, row.touches, row.n, row.share
    for row in ties.table[(ties.table["rule"] == "touchpoint_id") & (ties.table["share"] > 0.001)].itertuples():
        yield "order by id", "", row.decided, row.n, row.share


def _metrics(read: Rows, fresh: Freshness) -> pd.DataFrame:
    """What the notebook hands on: one row per metric and table, and the share of open cases."""
    names = {"rows_in": "rows_in", "kept": "rows_kept", "set_aside": "rows_set_aside", "left_out": "rows_left_out"}
    counts = read.table.rename(columns=names).melt(id_vars="table", value_vars=list(names.values()), var_name="metric")
    counts = counts.merge(read.table[["table", "rows_in"]], on="table").rename(columns={"table": "segment", "rows_in": "n"})
    opened = pd.DataFrame(
        [("open_cases", "all", fresh.share, fresh.low, fresh.high, fresh.n_cases)],
        columns=["metric", "segment", "value", "low", "high", "n"],
    )
    counts = counts.assign(value=counts["value"].astype(float), low=np.nan, high=np.nan)[opened.columns]
    return pd.concat([counts, opened], ignore_index=True)
