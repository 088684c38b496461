"""Which model predicts later cases better, and do its chances need repair? Asked of the past, several times over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import expit

from cxlib.escalation import models, scores
from cxlib.escalation.judging import UNKNOWN
from cxlib.escalation.labels import outcomes

ORIGINS = (0.55, 0.7, 0.85)  # parts of the training cases, oldest first, after which one pretends to stand
ASKED_OF = 100_000  # rows at most that a model learns from to be asked at an origin; the one that is chosen learns from all
FEWEST = 10  # cases with and without escalation on both sides of an origin
KINDS = ("logistic", "boosting")


@dataclass(frozen=True)
class Choice:
    """The model, and what spoke for it: `table` has one row per origin: origin (UTC), n (later cases), logistic and boosting
    (log loss on them); `gain` is the log loss that boosting saves over all of them (value, low, high, 95 % by customer; missing
    without an origin), `repaired` whether chances are shifted and stretched, since that was better on the newest of them."""

    model: models.Model
    table: pd.DataFrame
    gain: dict[str, float]
    repaired: bool


def chosen(features: pd.DataFrame, keys: pd.DataFrame, rows: np.ndarray, until: int, horizon: int | None, seed: int) -> Choice:
    """The model for the moments `rows`, as known at `until`: boosting only where it clearly saves log loss on later cases.

    Parameters
    ----------
    features, keys
        All moments; see `labels.outcomes`.
    rows : array of bool
        Those to learn from.

    Notes
    -----
    Rolling origin: both models learn from the cases that began before an origin, as they were known then, and are asked about
    those that began between it and the next, as known at `until`. The interval of the difference is by customer, paired.
    Repair: the log odds of the chosen model on the later cases of all but the newest origin give a shift and a stretch; it is
    kept if it clearly saves log loss on those of the newest, whose own log odds must clearly ask for a stretch too: a shift
    alone may only mean that what became of the newest cases is not all known yet.

    References
    ----------
    Tashman (2000), Out-of-sample tests of forecasting accuracy; Platt (1999) for the repair.
    """
    asked = _asked(features, keys, rows, until, horizon, seed)
    if asked.empty:
        columns = pd.DataFrame(columns=["origin", "n", *KINDS])
        return Choice(_fitted("logistic", features, keys, rows, until, horizon, seed), columns, UNKNOWN, False)
    lost = {kind: scores.losses(asked["label"], expit(asked[kind])) for kind in KINDS}
    gain = _saved(lost["logistic"] - lost["boosting"], asked, seed)
    kind = "boosting" if gain["low"] > 0 else "logistic"
    table = pd.DataFrame([_at_origin(origin, part) for origin, part in asked.groupby("origin")])
    model = _fitted(kind, features, keys, rows, until, horizon, seed)
    repair = _repair(asked.assign(margin=asked[kind]), seed)
    return Choice(model if repair is None else replace(model, repair=repair), table, gain, repair is not None)


def _asked(
    features: pd.DataFrame, keys: pd.DataFrame, rows: np.ndarray, until: int, horizon: int | None, seed: int
) -> pd.DataFrame:
    """The later cases of each origin: origin, case, customer, label, weight, and the log odds of both models."""
    began = np.sort(keys[rows].drop_duplicates("case")["began"].to_numpy())
    limits = [*(began[int(part * len(began))] for part in ORIGINS), until] if len(began) else []
    parts = [pd.DataFrame()]
    for origin, end in pairwise(limits):
        older = rows & (keys["began"] < origin).to_numpy() & (keys["at"] < origin).to_numpy()
        newer = rows & (keys["began"] >= origin).to_numpy() & (keys["began"] < end).to_numpy()
        later = outcomes(keys, newer, until, horizon).join(keys[["case", "customer"]])
        later = later[later["weight"] > 0]
        if enough(outcomes(keys, older, origin, horizon).join(keys["case"])) and enough(later):
            some = spread(older, keys["case"], ASKED_OF)
            for kind in KINDS:
                model = _fitted(kind, features, keys, some, origin, horizon, seed)
                later[kind] = model.margin(features.loc[later.index])
            parts.append(later.assign(origin=pd.Timestamp(int(origin), unit="us", tz="UTC")))
    return pd.concat(parts)


def spread(rows: np.ndarray, case: pd.Series, n: int) -> np.ndarray:
    """The rows of as many cases, evenly spaced, as have about `n` of them; all where there are no more.

    >>> spread(np.array([True] * 6 + [False]), pd.Series([0, 0, 1, 1, 2, 2, 2]), 4).tolist()
    [True, True, False, False, True, True, False]
    """
    if rows.sum() <= n:
        return rows
    cases = case[rows].unique()
    return rows & case.isin(cases[np.linspace(0, len(cases) - 1, int(len(cases) * n / rows.sum())).astype(int)]).to_numpy()


def enough(rows: pd.DataFrame, fewest: int = FEWEST) -> bool:
    """Are there so many cases with an escalation, and without one?"""
    known = rows[rows["weight"] > 0]
    yes = known.groupby("case")["label"].max() if len(known) else pd.Series([], dtype=bool)
    return min(int(yes.sum()), int((~yes.astype(bool)).sum())) >= fewest


def _fitted(
    kind: str, features: pd.DataFrame, keys: pd.DataFrame, rows: np.ndarray, until: int, horizon: int | None, seed: int
) -> models.Model:
    known = outcomes(keys, rows, until, horizon)
    known = known[known["weight"] > 0]
    return fitted(kind, features, known, keys["began"].loc[known.index].to_numpy(), seed)


def fitted(kind: str, features: pd.DataFrame, known: pd.DataFrame, began: np.ndarray, seed: int) -> models.Model:
    """A model of that kind for the rows of `known`; how far it goes is found on the newest quarter of the cases.

    `features` may have other rows too: they are read in place, for a copy of many would be as large as they are.
    """
    rows = features.index.get_indexer(known.index)
    label, weight = known["label"].to_numpy(dtype=bool), known["weight"].to_numpy()
    is_newer = newest_quarter(began)
    return (
        models.logistic(features, label, weight, is_newer, rows)
        if kind == "logistic"
        else models.boosting(features, label, weight, is_newer, seed, rows)
    )


def newest_quarter(began: np.ndarray) -> np.ndarray:
    """Which began after three quarters of all different times?"""
    times = np.unique(began)
    return began >= times[len(times) * 3 // 4]


def _saved(saved: np.ndarray, asked: pd.DataFrame, seed: int) -> dict[str, float]:
    """The mean of what a row saves, with its interval by customer."""
    weight = asked["weight"].to_numpy()
    return scores.with_interval(
        lambda w: float(w @ saved / w.sum()) if w.sum() else np.nan, weight, asked["customer"].to_numpy(), seed
    )


def _at_origin(origin: pd.Timestamp, part: pd.DataFrame) -> dict[str, object]:
    weight = part["weight"].to_numpy()
    lost = {kind: scores.log_loss(part["label"].to_numpy(), expit(part[kind].to_numpy()))(weight) for kind in KINDS}
    return {"origin": origin, "n": part["case"].nunique()} | lost


def _repair(asked: pd.DataFrame, seed: int) -> tuple[float, float] | None:
    """Shift and stretch of the log odds, if they clearly help on the newest origin's cases; None if not."""
    is_newest = (asked["origin"] == asked["origin"].max()).to_numpy()
    older, newest = asked[~is_newest], asked[is_newest]
    if older.empty:
        return None
    shift, stretch = _straightened(older)
    if not np.isfinite(shift + stretch):
        return None
    own = scores.with_interval(
        scores.slope(newest["label"].to_numpy(), expit(newest["margin"].to_numpy())),
        newest["weight"].to_numpy(),
        newest["customer"].to_numpy(),
        seed,
    )
    if not (own["high"] < 1 or own["low"] > 1):
        return None
    plain, repaired = (scores.losses(newest["label"], expit(m)) for m in (newest["margin"], shift + stretch * newest["margin"]))
    return _straightened(asked) if _saved(plain - repaired, newest, seed)["low"] > 0 else None


def _straightened(rows: pd.DataFrame) -> tuple[float, float]:
    return scores.straightened(rows["label"].to_numpy(), expit(rows["margin"].to_numpy()), rows["weight"].to_numpy())
