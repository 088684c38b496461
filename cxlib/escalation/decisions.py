"""Does acting on the forecast pay? Net benefit by threshold, and the saving by how many are reviewed, at stated costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.escalation import scores
from cxlib.escalation.forecast import Escalation
from cxlib.schema import DataError

THRESHOLDS = np.arange(1, 100) / 100
SHARES = np.linspace(0, 1, 101)  # of the moments that are reviewed
Draws = list[np.ndarray]
ALL, NONE, OURS = "review all", "review none", "forecast"


@dataclass(frozen=True)
class Decision:
    """The answer of `decide`. Money is in the unit of the two costs.

    `curve`: one row per policy (forecast, review all, review none, plain rules) and threshold: net_benefit (escalations met per
    case, less what needless reviews are worth) with its 95 % interval by customer (low, high), reviewed (share, 0 to 1), n
    (cases). `at_costs`: one row per policy at the `threshold` that the costs imply: saving per 100 cases (low, high), reviewed,
    n, and what the forecast saves beyond the policy (gain, gain_low, gain_high; paired). `saving`: by the share of the held-out
    moments that is reviewed, highest chances first: saving per 100 cases, low, high, n; it is greatest at `best` (`best_low` to
    `best_high`). `today`: by the number of open cases that are reviewed: the chance of the last, and the saving expected of all
    (low, high: 95 % if the chances hold); it is greatest at `capacity`. What was held out is empty where nothing was judged.
    """

    cost_call: float
    cost_review: float
    averted: float
    threshold: float
    curve: pd.DataFrame
    at_costs: pd.DataFrame
    saving: pd.DataFrame
    best: float
    best_low: float
    best_high: float
    today: pd.DataFrame
    capacity: int


def decide(
    result: Escalation, cost_call: float = 14.0, cost_review: float = 1.0, averted: float = 0.3, seed: int = 0
) -> Decision:
    """At which chance does a review pay, how many should be reviewed, and is that better than plain policies?

    Parameters
    ----------
    cost_call, cost_review : float
        Of an escalation, and of one review (more than 0, in one currency).
    averted : float
        The share of reviewed escalations that a review averts (above 0, up to 1). It is assumed: the chance of an escalation is
        not the effect of stepping in, and nothing here estimates that.
    seed : int
        Of the resampling behind the intervals.

    Raises
    ------
    DataError
        If a cost is not above 0, or `averted` no such share.

    Notes
    -----
    A review saves averted * cost_call * chance - cost_review on average, so it pays above the threshold cost_review / (averted
    * cost_call). At a threshold t the net benefit per case is TP / n - FP / n * t / (1 - t), with cases at or above t reviewed;
    at the costs' own t, times (averted * cost_call - cost_review), it is the saving. The threshold is set by the costs, not
    read from the held-out cases; `best`, which is, looks a little better than it will be. Rows weigh as in training, 1 in all
    per case.

    References
    ----------
    Vickers and Elkin (2006), Decision curve analysis, Med. Decis. Making 26.
    """
    if not (0 < cost_call < np.inf and 0 < cost_review < np.inf):
        raise DataError(f"cost_call={cost_call} and cost_review={cost_review}: give two amounts above 0, such as 14 and 1")
    if not 0 < averted <= 1:
        raise DataError(f"averted={averted} is not a share of reviewed calls: give a number above 0, up to 1, such as 0.3")
    worth = averted * cost_call
    today = _today(result.waiting["chance"].to_numpy(dtype=float), worth, cost_review)
    asked = policies(result)
    draws = scores.drawn_often(result.table["customer"].to_numpy(), seed)
    saving, best = _savings(result.table, worth, cost_review, draws)
    return Decision(
        cost_call=cost_call,
        cost_review=cost_review,
        averted=averted,
        threshold=cost_review / worth,
        curve=_curve(result.table, asked, draws),
        at_costs=_at_costs(result.table, asked, worth, cost_review, draws),
        saving=saving,
        best=best[0],
        best_low=best[1],
        best_high=best[2],
        today=today,
        capacity=int(today["saving"].to_numpy().argmax()),
    )


def net_benefit(outcome: np.ndarray, chance: np.ndarray, thresholds: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Net benefit per unit of weight at each threshold (below 1), as a function of the rows' weights.

    Of four cases the first two are reviewed at .5; one of them escalates. At even odds, the one needless review undoes it.

    >>> net_benefit(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.2, 0.1]), np.array([0.2, 0.5]))(np.ones(4)).tolist()
    [0.4375, 0.0]
    """
    order = np.argsort(-chance, kind="stable")
    reached = np.searchsorted(-chance[order], -thresholds, side="right")
    yes, odds = np.asarray(outcome, dtype=bool)[order], thresholds / (1 - thresholds)

    def value(weight: np.ndarray) -> np.ndarray:
        w = weight[order]
        seen, found = (np.append(0.0, np.cumsum(part))[reached] for part in (w, w * yes))
        return (found - odds * (seen - found)) / (w.sum() or np.nan)

    return value


def policies(result: Escalation) -> Mapping[str, np.ndarray]:
    """What each policy takes for the chance of a held-out moment; whoever reviews all takes it for certain."""
    n = len(result.table)
    rules = {name: result.rules[name].to_numpy() for name in result.rules if name != "base rate"}
    fixed = {ALL: np.full(n, np.inf), NONE: np.full(n, -np.inf)}
    return {OURS: result.table["chance"].to_numpy(dtype=float)} | fixed | rules


def _curve(rows: pd.DataFrame, asked: Mapping[str, np.ndarray], draws: Draws) -> pd.DataFrame:
    """Net benefit of each policy by threshold."""
    weight, outcome = rows["weight"].to_numpy(), rows["escalated"].to_numpy()
    parts = [pd.DataFrame()]
    for name, chance in asked.items() if len(rows) else ():
        value = net_benefit(outcome, chance, THRESHOLDS)
        low, high = _bounds(value, weight, draws)
        reviewed = [weight[chance >= t].sum() / weight.sum() for t in THRESHOLDS]
        told = {"net_benefit": value(weight), "low": low, "high": high, "reviewed": reviewed, "n": rows["case"].nunique()}
        parts.append(pd.DataFrame({"policy": name, "threshold": THRESHOLDS} | told))
    return pd.concat(parts, ignore_index=True)


def _at_costs(rows: pd.DataFrame, asked: Mapping[str, np.ndarray], worth: float, cost: float, draws: Draws) -> pd.DataFrame:
    """What each policy saves per 100 cases at the threshold of the costs, and how much more the forecast does."""
    if rows.empty:
        return pd.DataFrame()
    weight = rows["weight"].to_numpy()
    if_reviewed = 100 * (worth * rows["escalated"].to_numpy(dtype=float) - cost)
    reviews = {name: (chance >= cost / worth).astype(float) for name, chance in asked.items()}
    of_row = np.column_stack([review * if_reviewed for review in reviews.values()])
    of_row = np.column_stack([of_row, of_row[:, [list(reviews).index(OURS)]] - of_row])

    def mean(w: np.ndarray) -> np.ndarray:
        return w @ of_row / (w.sum() or np.nan)

    value, (low, high), m = mean(weight), _bounds(mean, weight, draws), len(reviews)
    told = {"policy": list(reviews), "saving": value[:m], "low": low[:m], "high": high[:m]}
    told |= {"gain": value[m:], "gain_low": low[m:], "gain_high": high[m:]}
    reviewed = [np.average(review, weights=weight) for review in reviews.values()]
    return pd.DataFrame(told | {"reviewed": reviewed, "n": rows["case"].nunique()})


def _savings(rows: pd.DataFrame, worth: float, cost: float, draws: Draws) -> tuple[pd.DataFrame, tuple[float, float, float]]:
    """The saving per 100 cases by the share that is reviewed, and the share where it is greatest, with its interval."""
    if rows.empty:
        return pd.DataFrame(), (np.nan, np.nan, np.nan)
    order = np.argsort(-rows["chance"].to_numpy(), kind="stable")
    weight, outcome = rows["weight"].to_numpy(), rows["escalated"].to_numpy(dtype=float)[order]

    def value(w: np.ndarray) -> np.ndarray:
        total, w = w.sum() or np.nan, w[order]
        met = np.interp(SHARES, np.append(0, np.cumsum(w)) / total, np.append(0, np.cumsum(w * outcome)) / total)
        return 100 * (worth * met - cost * SHARES)

    saving, (low, high) = value(weight), _bounds(value, weight, draws)
    table = pd.DataFrame({"reviewed": SHARES, "saving": saving, "low": low, "high": high, "n": rows["case"].nunique()})
    best = float(SHARES[saving.argmax()])
    bests = [SHARES[value(weight * times).argmax()] for times in draws if times.any()]
    best_low, best_high = np.quantile(bests, [0.025, 0.975])
    return table, (best, min(best, float(best_low)), max(best, float(best_high)))


def _bounds(value: Callable[[np.ndarray], np.ndarray], weight: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of some numbers, by customer."""
    low, high = np.nanquantile([value(weight * times) for times in draws], [0.025, 0.975], axis=0)
    return low, high


def _today(chance: np.ndarray, worth: float, cost: float) -> pd.DataFrame:
    """The saving expected of reviewing the first so many of the open cases, with its range if they are independent.

    >>> _today(np.array([0.1, 0.6, 0.3]), 4.0, 1.0)[["reviewed", "chance", "saving"]].round(1).to_numpy().tolist()
    [[0.0, nan, 0.0], [1.0, 0.6, 1.4], [2.0, 0.3, 1.6], [3.0, 0.1, 1.0]]
    """
    ranked = -np.sort(-chance)
    saving = np.append(0.0, np.cumsum(worth * ranked - cost))
    half = 1.96 * worth * np.append(0.0, np.sqrt(np.cumsum(ranked * (1 - ranked))))
    told = {"reviewed": np.arange(len(saving)), "chance": np.append(np.nan, ranked)}
    return pd.DataFrame(told | {"saving": saving, "low": saving - half, "high": saving + half})
