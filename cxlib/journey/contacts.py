"""How many of the active users sought help, day by day?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog, first_touch
from cxlib.journey.outcomes import Labels, cases_until, coded, period_of, periods, tidy
from cxlib.schema import DataError


@dataclass(frozen=True)
class ContactRate:
    """The answer of `contact_rate`; `table` has one row per segment, `daily` one per segment and day."""

    table: pd.DataFrame  # segment, contacts, active_days, rate, low, high, customers, days
    daily: pd.DataFrame  # date, segment, contacts, n_active, rate, low, high
    note: str  # why there is nothing to show, or what was left out


def contact_rate(log: EventLog, active_users: pd.DataFrame | None = None, segment: Labels | None = None) -> ContactRate:
    """Of the users who were active on a day, how many sought help, by segment?

    Parameters
    ----------
    active_users : DataFrame, optional
        One row per date and segment: date (in the log's time zone), segment, n_active.
    segment : one label per case, in the order of the log, optional
        The same segments as in `active_users`; without it all segments are taken together.

    Returns
    -------
    ContactRate
        `table` has one row per segment: contacts (cases that sought help on those days), active_days (active users added up
        over the days), `rate` = contacts per 1,000 active users and day with its 95 % interval by customer, customers in
        contact, days. `daily` has the same per day. Without the table both are empty and `note` says so.

    Raises
    ------
    DataError
        If a column of `active_users` is missing, or there is not one label per case.

    Notes
    -----
    A contact belongs to the day of the first touch of a case at `problem_from` or further right. Only days that the table
    holds and that were observed from beginning to end count. The interval treats customers as independent; an outage that
    drives many at once makes the single days vary more than it says. Whoever was active on a day may have been counted on
    another day too: this is not a share of users.

    >>> from cxlib.eventlog import from_paths
    >>> active = pd.DataFrame({"date": ["1970-01-01"], "segment": ["x"], "n_active": [500]})
    >>> contact_rate(from_paths(a="help", b="product"), active).table[["contacts", "active_days", "rate"]].to_numpy().tolist()
    [[1.0, 500.0, 2.0]]
    """
    if active_users is None or active_users.empty:
        return ContactRate(
            _rates([]), _daily_rates([]), "The data set has no table active_users: contacts per user are unknown."
        )
    users = _active(active_users, whole=segment is None)
    names, edges = periods(log, "day")
    day = period_of(log.per_case(_sought_at)["sought_at"].to_numpy(), edges)
    codes, labels = coded(log, np.full(log.n_cases, "all") if segment is None else segment)
    whole = (edges[:-1] >= log.observed_from) & (edges[1:] <= cases_until(log))
    known = users[users["date"].isin([name for name, is_whole in zip(names, whole, strict=True) if is_whole])]
    rows, days = [], []
    for name, of in known.groupby("segment", sort=True):
        active = of.groupby("date")["n_active"].sum()
        code = labels.index(name) if name in labels else -1
        here = (codes == code) & np.isin(day, [names.index(date) for date in active.index])
        _, contacts = np.unique(log.customer_of_case[here], return_counts=True)
        rate = [1000 * x for x in stats.rate_interval(contacts, active.sum())]
        rows.append((name, int(contacts.sum()), int(active.sum()), *rate, len(contacts), len(active)))
        days += _by_day(name, active, names, day[here], log.customer_of_case[here])
    left = sorted(set(labels[c] for c in np.unique(codes[day >= 0])) - set(known["segment"]))
    note = f"No active users are known for {', '.join(left)}: left out." if left else ""
    return ContactRate(_rates(rows), _daily_rates(days), note)


def _rates(rows: list) -> pd.DataFrame:
    return tidy(rows, "segment contacts:n active_days:n rate:x low:x high:x customers:n days:n")


def _daily_rates(rows: list) -> pd.DataFrame:
    return tidy(rows, "date segment contacts:n n_active:n rate:x low:x high:x")


def _active(active_users: pd.DataFrame, *, whole: bool) -> pd.DataFrame:
    """Active users by day (as text) and segment."""
    wanted = ("date", "n_active") if whole else ("date", "segment", "n_active")
    if lacking := [name for name in wanted if name not in active_users]:
        raise DataError(f"active_users has no column {', '.join(lacking)}: it needs {', '.join(wanted)}")
    date = pd.to_datetime(active_users["date"]).dt.strftime("%Y-%m-%d")
    segment = "all" if whole else active_users["segment"].map(str)
    return pd.DataFrame({"date": date, "segment": segment, "n_active": active_users["n_active"].astype("int64")})


def _sought_at(log: EventLog) -> dict[str, np.ndarray]:
    """A kernel: when each case first sought help; the smallest number where it never did."""
    sought = first_touch(log, log.stage >= log.problem_from)
    time = log.at[np.minimum(sought, log.n_touches - 1)] if log.n_cases else log.at
    return {"sought_at": np.where(sought < log.n_touches, time, np.iinfo(np.int64).min)}


def _by_day(segment: str, active: pd.Series, names: list[str], day: np.ndarray, customer: np.ndarray) -> list[tuple]:
    """One row per day of a segment."""
    rows = []
    for date, n_active in active.items():
        _, contacts = np.unique(customer[day == names.index(date)], return_counts=True)
        rate = [1000 * x for x in stats.rate_interval(contacts, n_active)]
        rows.append((date, segment, int(contacts.sum()), int(n_active), *rate))
    return rows
