"""What was known beyond the case itself at each touch: its customer's past, how busy it was, incidents, and how the like went.

Everything counts events that lie before the touch; what happens at its very time counts only where it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from cxlib.eventlog import NO_MOOD, EventLog, first_touch
from cxlib.journey.cases import earlier
from cxlib.journey.kinds import NEW, REGULAR
from cxlib.schema import DAY, HOUR

CALLED = "called before"  # wider than `journey.kinds`' blocked: a call without a try before it counts, too
_MANY = 20  # distinct words from which on a column also says how it went with each of them before
_PRIOR = 20  # cases at the overall share that are added to those of a word
_MONTH, _SETTLED = 28, 7  # days that say what is usual, and the fewest of them
_FEWEST = 10  # finished cases of a category that say how long its cases take
_WEEK = 7 * DAY


def history(log: EventLog, touch: pd.DataFrame) -> pd.DataFrame:
    """Who is it? What the customer went through before this case, from the touch on that names them.

    `touch` has case, at (microseconds) and user_id of each touch of the log, in its order. Columns: customer.kind (new,
    regular, called before), customer.called (share of their earlier cases that escalated), mood (mean of their earlier touches,
    -1 to 1), n_28d (cases in the 28 days before), days_since (their touch before, if it lies in these). Counts look equally far
    back in every case, so that they do not grow with the length of the log.
    """
    case, at = touch["case"].to_numpy(), touch["at"].to_numpy()
    user, _ = pd.factorize(touch["user_id"].groupby(case).ffill())
    named = pd.DataFrame({"case": case, "user": user, "at": at})
    since = named.groupby(["case", "user"])["at"].transform("first").to_numpy()
    cases = named[user >= 0].drop_duplicates(["case", "user"])
    whose, began = cases["user"].to_numpy(), cases["at"].to_numpy()
    n_cases = earlier(whose, began, user, since)
    called = np.maximum(called_at(log)[cases["case"]], began)
    has_called = np.isfinite(called)
    n_called = earlier(whose[has_called], called[has_called].astype(np.int64), user, since)
    felt = np.flatnonzero((np.asarray(log.mood) != NO_MOOD) & (user >= 0))
    n_felt = earlier(user[felt], at[felt], user, since)
    total = earlier(user[felt], at[felt], user, since, np.asarray(log.mood)[felt])
    days = (since - _latest(user[user >= 0], at[user >= 0], user, since)) / DAY
    known = pd.DataFrame(
        {
            "customer.called": np.where(n_cases > 0, n_called / np.maximum(n_cases, 1), np.nan),
            "customer.mood": np.where(n_felt > 0, total / np.maximum(n_felt, 1) / 1000, np.nan),
            "customer.n_28d": (n_cases - earlier(whose, began, user, since - _MONTH * DAY)).astype(float),
            "customer.days_since": np.where(days <= _MONTH, days, np.nan),
        }
    )
    kind = np.select([n_called > 0, n_cases == 0], [CALLED, NEW], REGULAR)
    known.insert(0, "customer.kind", pd.Series(kind, dtype="str"))
    known.loc[user < 0] = np.nan
    return known


def called_at(log: EventLog) -> np.ndarray:
    """When each case first reached the escalation stage, in microseconds; infinite where it never did."""
    first = first_touch(log, log.stage == log.escalation)
    if not log.n_touches:
        return np.full(log.n_cases, np.inf)
    return np.where(first < log.n_touches, log.at[np.minimum(first, log.n_touches - 1)].astype(float), np.inf)


def _latest(of: np.ndarray, at: np.ndarray, asked_of: np.ndarray, asked_at: np.ndarray) -> np.ndarray:
    """The latest time of the same thing before each asked one; NaN where there is none.

    >>> _latest(np.array([1, 1]), np.array([3, 5]), np.array([1, 1, 2]), np.array([5, 6, 9])).tolist()
    [3.0, 5.0, nan]
    """
    order = np.lexsort((at, of))
    n_before = earlier(of, at, asked_of, asked_at)
    last = np.searchsorted(of[order], asked_of) + n_before - 1
    return np.where(n_before > 0, np.append(at[order].astype(float), np.nan)[np.where(n_before > 0, last, -1)], np.nan)


def load(log: EventLog) -> pd.DataFrame:
    """How busy was it? Touches at the same stage in the 24 hours up to each touch, and these against the usual of 28 days.

    Columns: load.n_24h (itself included), load.vs_usual (1 = as usual; missing in the first week of the log).
    """
    at, stage = np.asarray(log.at), np.asarray(log.stage)
    n_24h, usual = np.full((2, len(at)), np.nan)
    days = np.clip((at - at.min(initial=np.iinfo(np.int64).max)) / DAY, 1, _MONTH) if len(at) else at
    for code in np.unique(stage):
        rows = np.flatnonzero(stage == code)
        times = np.sort(at[rows])
        so_far = np.searchsorted(times, at[rows], side="right")
        n_24h[rows] = so_far - np.searchsorted(times, at[rows] - DAY, side="right")
        usual[rows] = (so_far - np.searchsorted(times, at[rows] - _MONTH * DAY, side="right")) / days[rows]
    return pd.DataFrame({"load.n_24h": n_24h, "load.vs_usual": np.where(days >= _SETTLED, n_24h / usual, np.nan)})


def incidents(application: pd.Series, at: np.ndarray, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Was an incident of the application known and not over, and for how long had it been known?

    An incident is known from its `detected_at`, where the export has that column, else from its `started_at`. Columns:
    incident.open (yes, no), incident.age_h (of the newest, while one is open). None without incidents.
    """
    table = tables.get("incidents", pd.DataFrame())
    noticed = next((name for name in ("detected_at", "started_at") if name in table), None)
    if noticed is None or "application_id" not in table or application.isna().all():
        return pd.DataFrame(index=application.index)
    table = table.dropna(subset=["application_id", noticed])
    names = pd.Index(table["application_id"].unique())
    of, asked = names.get_indexer(table["application_id"]), names.get_indexer(application)
    began = _microseconds(table[noticed])
    n_open = earlier(of, began, asked, at + 1)
    if "restored_at" in table:
        over = table["restored_at"].notna().to_numpy()
        ended = np.maximum(_microseconds(table["restored_at"][over]), began[over])  # over before anybody noticed: never open
        n_open = n_open - earlier(of[over], ended, asked, at + 1)
    is_open = (n_open > 0) & (asked >= 0)
    age = (at - _latest(of, began, asked, at + 1)) / HOUR
    said = pd.Series(np.where(is_open, "yes", "no"), dtype="str")
    return pd.DataFrame(
        {"incident.open": said.where(application.notna()), "incident.age_h": np.where(is_open, age, np.nan)}
    ).set_index(application.index)


def _microseconds(times: pd.Series) -> np.ndarray:
    return times.astype("datetime64[us, UTC]").astype("int64").to_numpy()


def of_the_like(log: EventLog, touch: pd.DataFrame, words: pd.DataFrame, wanted: Collection[str] = ()) -> pd.DataFrame:
    """How often did cases escalate that showed the same word before? One column WORD.past per column with many words, and
    those that are `wanted` by name however few words there are.

    The share of earlier cases that showed it and had escalated by then, 0 to 1, with twenty cases at the overall share of that
    time added. A case does not count for itself.

    References
    ----------
    Micci-Barreca (2001), A preprocessing scheme for high-cardinality categorical attributes; from the past only, since
    statistics over all rows would tell a row its own outcome.
    """
    case, at = touch["case"].to_numpy(), touch["at"].to_numpy()
    called = called_at(log)
    overall = _share(np.zeros(len(case), dtype=int), case, at, called, 0.0, 0)
    found = {}
    for name in words:
        past = name.split(".")[0] + ".past"
        if words[name].nunique() > _MANY or past in wanted:
            code, _ = pd.factorize(words[name])
            found[past] = np.where(code >= 0, _share(code, case, at, called, overall, _PRIOR), np.nan).round(9)
    return pd.DataFrame(found, index=touch.index)


def _share(
    code: np.ndarray, case: np.ndarray, at: np.ndarray, called: np.ndarray, prior: np.ndarray | float, weight: int
) -> np.ndarray:
    """The share of the other cases that showed a code before a time and had escalated by then; `weight` cases at `prior`."""
    shown = pd.DataFrame({"case": case, "code": code, "at": at})
    since = shown.groupby(["case", "code"])["at"].transform("first").to_numpy()
    pairs = shown[code >= 0].drop_duplicates(["case", "code"])
    of, ended = pairs["code"].to_numpy(), np.maximum(called[pairs["case"]], pairs["at"])
    has = np.isfinite(ended)
    n = earlier(of, pairs["at"].to_numpy(), code, at) - (since < at)
    y = earlier(of[has], ended[has].astype(np.int64), code, at) - (np.maximum(called[case], since) < at)
    return np.divide(y + weight * prior, n + weight, out=np.full(len(at), np.nan), where=n + weight > 0)


def age_against_usual(log: EventLog, touch: pd.DataFrame, category: pd.Series | None) -> pd.DataFrame:
    """Is the case older than cases of its category ever got? Its age over the median length of those finished before the week.

    Finished is a case that had been silent for the log's `gap`, as seen when the week (UTC, from Thursday) began. Where a
    category has fewer than ten, that of all counts. Column: time.vs_usual (1 = as old as half of them got); missing until ten
    have finished.
    """
    case, at = touch["case"].to_numpy(), touch["at"].to_numpy()
    began = np.asarray(log.at)[log.case_start[:-1]][case] if len(case) else at
    after = pd.Series(at).groupby(case).shift(-1).to_numpy()
    after = np.where(np.isnan(after), np.inf, after)
    of, names = pd.factorize(category) if category is not None else (np.full(len(case), -1), [])
    week = at // _WEEK
    usual = np.full(len(case), np.nan)
    for number in np.unique(week):
        start, rows = number * _WEEK, week == number
        finished = (at + log.gap < start) & (after >= start)
        length = pd.Series((at - began)[finished])
        if len(length) < _FEWEST:
            continue
        by = length.groupby(of[finished]).agg(["median", "size"])
        median = by["median"].where(by["size"] >= _FEWEST, length.median()).reindex(range(len(names))).fillna(length.median())
        usual[rows] = np.append(median.to_numpy(), length.median())[of[rows]]
    return pd.DataFrame({"time.vs_usual": (at - began) / np.maximum(usual, HOUR)}, index=touch.index)
