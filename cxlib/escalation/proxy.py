"""Is it the same customer? How often an escalation would follow by chance, where an address or a device stands for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxlib import eventlog
from cxlib.escalation import scores
from cxlib.escalation.forecast import Escalation, aimed
from cxlib.eventlog import EventLog
from cxlib.journey.cases import earlier
from cxlib.schema import DataError, duration, nearest
from cxlib.stats import poisson_weights
from cxlib.store import Dataset

WHAT = ("followed", "by chance", "beyond chance")
_FAR = 2**61  # microseconds


@dataclass(frozen=True)
class ByChance:
    """How often an escalation followed a request, and how often one would have at another customer.

    `table`: one row per rate, 0 to 1: what (followed, by chance, beyond chance: the difference), share, low, high (95 %, by
    customer), n (requests), customers. `requests`: one row per request that was compared: touchpoint_id, followed, by_chance
    (the share of those who could stand in for its customer at whom an escalation followed). `left_out`: requests that could
    not be compared, by reason.
    """

    table: pd.DataFrame
    requests: pd.DataFrame
    left_out: Mapping[str, int]
    escalation: str
    horizon: str
    kind: str | None

    def rate(self, what: str) -> pd.Series:
        """One row of the table, such as "by chance"."""
        return self.table.set_index("what").loc[what]


def by_chance(
    dataset: Dataset, kind: str | None = "subcategory", target: str | None = None, horizon: str = "14d", seed: int = 0
) -> ByChance:
    """How often is a request followed by an escalation at the same customer, and how often would it be at a random other one?

    Where the export names no person, something else stands in (an address, a device, an account), and a call from there may be
    somebody else's. This is how often it would be, if requests and calls had nothing to do with each other.

    Parameters
    ----------
    dataset : Dataset
        The customer is the user, else the visitor.
    kind : str, optional
        A column of tickets: request and escalation must be of the same kind, such as subcategory. None: of any.
    target : str, optional
        The escalation stage, if not the data set's.
    horizon : str
        Within how long the escalation must follow.
    seed : int
        Of the resampling.

    Returns
    -------
    ByChance

    Raises
    ------
    DataError
        If `kind` is no column of the tickets, or `target` and `horizon` are none.

    Notes
    -----
    A request is a touch in search of help left of the escalation stage, with no escalation of its customer and kind within the
    horizon before; it is followed if there is one within the horizon after. The chance is that of the same moment at another
    customer: each other request of that kind, of any time, is as likely to lend its customer, if that one has no escalation of
    the kind within the horizon before the moment. It is computed over all of them, without drawing. So the numbers of requests
    per customer, the customers who often call, and the season stay as they are; what a customer does at one time in both ways,
    as when a street floods, counts as beyond chance. The interval resamples customers, on both sides of each pair.

    References
    ----------
    Davison and Hinkley (1997), section 4.3 for comparing with data in which the link is broken; Chamandy et al. (2012) for the
    resampling.
    """
    log, within = aimed(eventlog.compile(dataset), target), duration(horizon, "horizon")
    touch = _touches(log, dataset, kind)
    known = touch["is_named"] & touch["has_kind"]
    calls = touch[known & (log.stage == log.escalation)]
    seeks = touch[(log.stage >= log.problem_from) & (log.stage < log.escalation)]
    asks = seeks[seeks["is_named"] & seeks["has_kind"]]
    is_watched = asks["at"] + within <= log.observed_until
    standing = _Standing.of(asks, calls, asks[is_watched], within)
    left_out = {
        "no customer": int((~seeks["is_named"]).sum()),
        "no kind": int((seeks["is_named"] & ~seeks["has_kind"]).sum()),
        "not watched for so long": int((~is_watched).sum()),
        "an escalation shortly before": int(is_watched.sum()) - len(standing.rows),
        "no other customer of the kind": int((~standing.has_others).sum()),
    }
    table = _table(standing, log.customer_key, seed)
    return ByChance(table, standing.compared(), left_out, log.stages[log.escalation], horizon, kind)


def auc_by_chance(result: Escalation, chance: ByChance, seed: int = 0) -> pd.DataFrame:
    """Does a forecast rank what follows at the same customer better than what would follow at a random other one?

    Parameters
    ----------
    result : Escalation
        Of the same data set, target and horizon as `chance`.

    Returns
    -------
    DataFrame
        Two rows: what (followed, by chance), value (AUC on the held-out requests that could be compared), low, high (95 %, by
        customer), n (requests). The second is that of the same chances, if each request were followed as at a random other
        customer who asked for the same. Is it as high as the first, then the forecast knows what is often called about, and
        nothing of the customer.

    Raises
    ------
    DataError
        If the two were asked of different things, or no held-out request could be compared.
    """
    if (result.escalation, result.horizon) != (chance.escalation, chance.horizon):
        raise DataError(
            f"the forecast is of {result.escalation} within {result.horizon}, the comparison of {chance.escalation} within "
            f"{chance.horizon}: ask both for the same target and horizon"
        )
    rows = result.table.merge(chance.requests, on="touchpoint_id")
    if rows.empty:
        raise DataError("no held-out request of the forecast could be compared: are both of the same data set?")
    weight, p, customer = (np.tile(rows[name].to_numpy(), 2) for name in ("weight", "chance", "customer"))
    is_yes = np.arange(2 * len(rows)) < len(rows)  # each request as one that is followed and one that is not, by its share
    found = []
    for what, column in zip(WHAT[:2], ("followed", "by_chance"), strict=True):
        share = rows[column].to_numpy(dtype=float)
        weights = weight * np.concatenate([share, 1 - share])
        found.append({"what": what} | scores.with_interval(scores.auc(is_yes, p), weights, customer, seed))
    return pd.DataFrame(found).assign(n=len(rows))


def _table(standing: _Standing, key: np.ndarray, seed: int) -> pd.DataFrame:
    """The rates with their intervals; `key` holds a 64-bit hash of each customer."""
    value = standing.rates(np.ones(len(key)))
    drawn = [standing.rates(poisson_weights(key, seed, replicate)) for replicate in range(scores.N_REPLICATES)]
    low, high = np.full((2, len(WHAT)), np.nan) if np.isnan(value).any() else np.nanquantile(drawn, [0.025, 0.975], axis=0)
    compared = standing.rows[standing.has_others]
    table = pd.DataFrame({"what": WHAT, "share": value, "low": np.fmin(low, value), "high": np.fmax(high, value)})
    return table.assign(n=len(compared), customers=compared["customer"].nunique())


def _touches(log: EventLog, dataset: Dataset, kind: str | None) -> pd.DataFrame:
    """Each touch of the log: at, customer (a position), is it named, kind (a code), has it one."""
    tables = dataset.tables
    told = tables["touchpoints" if "touchpoints" in tables else "tickets"]
    told = told.assign(touchpoint_id=told["touchpoint_id" if "touchpoint_id" in told else "ticket_id"])
    told = told.set_index("touchpoint_id").reindex(index=log.touchpoint_id, columns=["user_id", "visitor_id", "ticket_id"])
    is_named = pd.Series(told[["user_id", "visitor_id"]].notna().any(axis=1).to_numpy())
    of_kind = pd.Series("", told.index)
    if kind is not None:
        tickets = tables.get("tickets", pd.DataFrame(columns=["ticket_id"]))
        columns = [name for name in tickets if name != "ticket_id"]
        if kind not in columns:
            raise DataError(f"kind={kind} is no column of the tickets: {nearest(kind, columns)}; or kind=None for any")
        of_kind = told["ticket_id"].map(tickets.set_index("ticket_id")[kind])
    return pd.DataFrame(
        {
            "touchpoint_id": log.touchpoint_id,
            "at": np.asarray(log.at),
            "customer": log.customer_of_case[log.case_of_touch],
            "is_named": is_named.groupby(log.case_of_touch).transform("any").to_numpy(dtype=bool),
            "kind": pd.factorize(of_kind)[0],
            "has_kind": of_kind.notna().to_numpy(),
        }
    )


@dataclass(frozen=True)
class _Steps:
    """What stands at asked moments, if each lender's part begins and ends at given times."""

    lender: np.ndarray  # of each step, in order of kind and time
    sign: np.ndarray
    first: np.ndarray  # of each asked moment: its kind's first step, and the one after the last that is due by then
    last: np.ndarray

    @classmethod
    def of(
        cls, kind: np.ndarray, lender: np.ndarray, start: np.ndarray, end: np.ndarray, asked: np.ndarray, at: np.ndarray
    ) -> _Steps:
        """`end` is the last moment at which a part still stands."""
        is_some = start <= end
        kinds, times = np.tile(kind[is_some], 2), np.concatenate([start[is_some], end[is_some] + 1])
        order = np.lexsort((times, kinds))
        first = np.searchsorted(kinds[order], asked)
        sign = np.repeat([1, -1], is_some.sum())
        return cls(np.tile(lender[is_some], 2)[order], sign[order], first, first + earlier(kinds, times, asked, at + 1))

    def sums(self, worth: np.ndarray) -> np.ndarray:
        steps = np.append(0, np.cumsum(self.sign * worth[self.lender]))
        return steps[self.last] - steps[self.first]


@dataclass(frozen=True)
class _Standing:
    """The requests, and who could stand in for the customer of each: the lenders, who asked for the same kind, but its own."""

    rows: pd.DataFrame  # the requests: customer, kind, own (position of its lender), followed
    has_others: np.ndarray
    lenders: pd.DataFrame  # one row per customer and kind: customer, kind, n (requests)
    following: _Steps  # lenders with an escalation within the horizon after the moment of each request, none before it
    called: _Steps  # lenders with one within the horizon before it

    @classmethod
    def of(cls, asks: pd.DataFrame, calls: pd.DataFrame, watched: pd.DataFrame, within: int) -> _Standing:
        """Frames with customer, kind and at: all requests, all escalations, and the requests to compare.

        Two ask, one of them calls five days later; at the other's moment, long after, nobody does.

        >>> asks = pd.DataFrame({"customer": [0, 1], "kind": 0, "at": [0, 100]})
        >>> _Standing.of(asks, pd.DataFrame({"customer": [0], "kind": 0, "at": [5]}), asks, 10).rates(np.ones(2)).tolist()
        [0.5, 0.0, 0.5]
        """
        lenders = asks.groupby(["customer", "kind"]).size().rename("n").reset_index()
        calls = calls.assign(own=_position(calls, lenders)).query("own >= 0").sort_values(["own", "at"])
        own, at = calls["own"].to_numpy(), calls["at"].to_numpy()
        before = calls.groupby("own")["at"].shift(1, fill_value=-_FAR).to_numpy()
        after = calls.groupby("own")["at"].shift(-1, fill_value=_FAR).to_numpy()
        rows = _requests(watched.assign(own=_position(watched, lenders)), own, at, within)
        kind, asked = calls["kind"].to_numpy(), (rows["kind"].to_numpy(), rows["at"].to_numpy())
        following = _Steps.of(kind, own, np.maximum(at - within, before + within + 1), at - 1, *asked)
        called = _Steps.of(kind, own, at, np.minimum(at + within, after - 1), *asked)
        made = cls(rows, np.ones(len(rows), dtype=bool), lenders, following, called)
        return replace(made, has_others=made._free(lenders["n"].to_numpy()) > 0)

    def _free(self, worth: np.ndarray) -> np.ndarray:
        """What the other lenders of the kind without an escalation shortly before the moment of each request weigh."""
        total = np.bincount(self.lenders["kind"], weights=worth, minlength=1)
        kind, own = self.rows["kind"].to_numpy(), self.rows["own"].to_numpy()
        return (total[kind] if len(kind) else np.empty(0)) - self.called.sums(worth) - worth[own]

    def compared(self) -> pd.DataFrame:
        """The requests that have others: touchpoint_id, followed, by_chance."""
        everyone = np.ones(1 + self.lenders["customer"].max() if len(self.lenders) else 0)
        asked = self.rows.assign(by_chance=self._by_chance(everyone))
        return asked.loc[self.has_others, ["touchpoint_id", "followed", "by_chance"]].reset_index(drop=True)

    def _by_chance(self, weight: np.ndarray) -> np.ndarray:
        """Of those who could stand in for the customer of each request, the share at whom an escalation followed."""
        worth = self.lenders["n"].to_numpy() * weight[self.lenders["customer"]]
        follow = self.following.sums(worth) - worth[self.rows["own"]] * self.rows["followed"].to_numpy()
        free = self._free(worth)
        return np.divide(follow, free, out=np.full(len(free), np.nan), where=free > 0)

    def rates(self, weight: np.ndarray) -> np.ndarray:
        """How often followed, by chance, and the difference, with customers counted `weight` times."""
        chance = self._by_chance(weight)
        counts = np.where(self.has_others & ~np.isnan(chance), weight[self.rows["customer"]], 0.0)
        if not counts.sum():
            return np.full(3, np.nan)
        seen, by_chance = (counts @ values / counts.sum() for values in (self.rows["followed"], np.nan_to_num(chance)))
        return np.array([seen, by_chance, seen - by_chance])


def _position(rows: pd.DataFrame, lenders: pd.DataFrame) -> np.ndarray:
    """The lender of each row's customer and kind, -1 where there is none."""
    names = ["customer", "kind"]
    return pd.MultiIndex.from_frame(lenders[names]).get_indexer(pd.MultiIndex.from_frame(rows[names]))


def _requests(watched: pd.DataFrame, own: np.ndarray, at: np.ndarray, within: int) -> pd.DataFrame:
    """The rows without an escalation of their own lender within the horizon before them, and whether one followed."""
    asked = watched["own"].to_numpy(), watched["at"].to_numpy()
    long_ago, so_far, soon = (earlier(own, at, asked[0], asked[1] + shift) for shift in (-within, 1, within + 1))
    return watched.assign(followed=soon > so_far)[so_far == long_ago].reset_index(drop=True)
