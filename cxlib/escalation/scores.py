"""How good is a forecast, and how sure are we? Weighted scores with intervals by customer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from cxlib.stats import poisson_weights, share_from_sums

N_REPLICATES = 200
Score = Callable[[np.ndarray], float]  # weights of the rows -> value


def auc(outcome: np.ndarray, chance: np.ndarray) -> Score:
    """Weighted area under the ROC curve, as a function of the weights (so that many sets of weights share one sort).

    It is the chance that a row with the outcome is ranked above one without; ties count half; NaN where one class has no
    weight.

    >>> auc(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.2]))(np.ones(3))
    0.5
    """
    order, starts = _ranked(chance)
    positive = np.asarray(outcome, dtype=bool)[order]

    def value(weight: np.ndarray) -> float:
        w = weight[order]
        with_it, without = (np.add.reduceat(np.where(which, w, 0.0), starts) for which in (positive, ~positive))
        below = np.cumsum(without[::-1])[::-1] - without  # ranked from high to low
        return _over(float(with_it @ (below + without / 2)), float(with_it.sum() * without.sum()))

    return value


def average_precision(outcome: np.ndarray, chance: np.ndarray) -> Score:
    """Weighted area under the precision-recall curve, by steps, as a function of the weights.

    >>> round(average_precision(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.2]))(np.ones(3)), 4)
    0.8333
    """
    order, starts = _ranked(chance)
    positive = np.asarray(outcome, dtype=bool)[order]

    def value(weight: np.ndarray) -> float:
        w = weight[order]
        found, seen = np.add.reduceat(np.where(positive, w, 0.0), starts), np.add.reduceat(w, starts).cumsum()
        precision = np.divide(found.cumsum(), seen, out=np.zeros_like(seen), where=seen > 0)
        return _over(float(found @ precision), float(found.sum()))

    return value


def brier(outcome: np.ndarray, chance: np.ndarray) -> Score:
    """Weighted mean squared distance of chance and outcome, 0 (perfect) to 1, as a function of the weights.

    >>> brier(np.array([1, 0]), np.array([0.5, 0.5]))(np.ones(2))
    0.25
    """
    squared = (np.asarray(chance) - np.asarray(outcome, dtype=float)) ** 2
    return lambda weight: _over(float(weight @ squared), float(weight.sum()))


def _ranked(chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows from the highest chance to the lowest, and where each run of equal chances starts."""
    order = np.argsort(-np.asarray(chance), kind="stable")
    return order, np.flatnonzero(np.diff(np.asarray(chance)[order], prepend=np.nan) != 0)


def _over(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")


def with_interval(score: Score, weight: np.ndarray, customer: np.ndarray, seed: int = 0) -> dict[str, float]:
    """A score and its 95 % interval by customer: value, low, high.

    Poisson bootstrap: each customer's rows weigh Poisson(1) times as much, the model stays as it is. The interval holds the
    doubt about the held-out customers, not about the training.

    References
    ----------
    Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8 (resampling by cluster).
    """
    value = score(weight)
    drawn = [score(weight * times) for times in _resampled(customer, seed)] if len(weight) else []
    known = [v for v in drawn if not np.isnan(v)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (np.nan, np.nan)
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def _resampled(customer: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts, for each replicate; `customer` holds 64-bit keys."""
    codes, unique = pd.factorize(np.asarray(customer, dtype=np.uint64))
    for replicate in range(N_REPLICATES):
        yield poisson_weights(unique, seed, replicate)[codes]


def calibration(rows: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Do chances mean what they say? One row per bin of equal weight, from low chances to high.

    `rows` needs chance, escalated, weight, customer, case. Columns: bin (1 to `bins`), mean_chance and share (of the weight,
    0 to 1) with its 95 % interval by customer, n (cases), n_rows, weight, and holds (does the interval hold the mean
    chance?). A bin that equal chances leave empty is not there.
    """
    ranked = rows.sort_values("chance", kind="stable")
    middle = ranked["weight"].cumsum() - ranked["weight"] / 2
    of_bin = np.minimum((middle / ranked["weight"].sum() * bins).astype(int), bins - 1) + 1
    of_bin = of_bin.groupby(ranked["chance"]).transform("min")  # equal chances share a bin
    table = pd.DataFrame([{"bin": number} | observed(part) for number, part in ranked.groupby(of_bin)])
    return table.assign(holds=(table["low"] <= table["mean_chance"]) & (table["mean_chance"] <= table["high"]))


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """How far are mean chance and observed share apart, on average over the bins of `calibration` by weight?

    A perfect forecast does not reach 0: its bins scatter too, by some .027 with 1,000 cases in 10 bins.
    """
    return float(np.average((bins["mean_chance"] - bins["share"]).abs(), weights=bins["weight"]))


def observed(rows: pd.DataFrame) -> dict[str, float]:
    """Mean chance and observed share of some rows, with its interval by customer and its n."""
    weighted = pd.DataFrame({"y": rows["weight"] * rows["escalated"], "n": rows["weight"]}).groupby(rows["customer"]).sum()
    y, n = weighted["y"].to_numpy(), weighted["n"].to_numpy()
    share, low, high = share_from_sums(np.array([len(y), y.sum(), n.sum(), y @ y, y @ n, n @ n]))
    mean = float(np.average(rows["chance"], weights=rows["weight"]))
    size = {"n": rows["case"].nunique(), "n_rows": len(rows), "weight": float(rows["weight"].sum())}
    return {"mean_chance": mean, "share": share, "low": low, "high": high} | size


def gain(rows: pd.DataFrame, steps: int = 50, seed: int = 0) -> pd.DataFrame:
    """Of the escalations, how many are among the reviewed? One row per reviewed share, highest chances first.

    Columns: reviewed (share of the weight, 0 to 1), caught (share of the later escalations among them) with its 95 % interval
    by customer, precision (share of the reviewed that escalate), n (cases).
    """
    ranked = rows.sort_values("chance", ascending=False, kind="stable")
    weight, escalated = ranked["weight"].to_numpy(), ranked["escalated"].to_numpy(dtype=float)
    grid = np.linspace(0, 1, steps + 1)
    drawn = np.array([_caught(weight * times, escalated, grid) for times in _resampled(ranked["customer"].to_numpy(), seed)])
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    caught = _caught(weight, escalated, grid)
    total = _over(float(weight @ escalated), float(weight.sum()))
    precision = np.divide(caught * total, grid, out=np.full(len(grid), np.nan), where=grid > 0)
    return pd.DataFrame(
        {"reviewed": grid, "caught": caught, "low": low, "high": high, "precision": precision, "n": rows["case"].nunique()}
    )


def _caught(weight: np.ndarray, escalated: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The share of the escalations within the first part of the weight, straight lines between rows."""
    seen, found = np.cumsum(weight), np.cumsum(weight * escalated)
    if not len(found) or found[-1] == 0:
        return np.full(len(grid), np.nan)
    return np.interp(grid, np.append(0, seen / seen[-1]), np.append(0, found / found[-1]))
