"""How good is a forecast, and how sure are we? Weighted scores with intervals by customer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit

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


def log_loss(outcome: np.ndarray, chance: np.ndarray) -> Score:
    """Weighted mean of minus the log of the chance given to what came, 0 (perfect) or more, as a function of the weights.

    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.5]))(np.ones(2)), 4)
    0.6931
    """
    lost = losses(outcome, chance)
    return lambda weight: _over(float(weight @ lost), float(weight.sum()))


def losses(outcome: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Minus the log of the chance given to what came, one per row."""
    given = np.where(np.asarray(outcome, dtype=bool), chance, 1 - np.asarray(chance))
    return -np.log(np.maximum(given, 1e-15))


def slope(outcome: np.ndarray, chance: np.ndarray) -> Score:
    """By how much must log odds be stretched to mean what they say? As a function of the weights.

    1: not at all; below 1 the chances are too far from the middle, above 1 too near. NaN where one class has no weight.

    References
    ----------
    Cox (1958), Two further applications of a model for binary regression.

    Examples
    --------
    Of rows with a chance of .9 only .75 came, of those with .1 .25: the log odds are half as far out.

    >>> round(slope(np.array([1, 1, 1, 0, 1, 0, 0, 0]), np.repeat([0.9, 0.1], 4))(np.ones(8)), 2)
    0.5
    """
    return lambda weight: straightened(outcome, chance, weight)[1]


def straightened(outcome: np.ndarray, chance: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Shift and stretch of the log odds that fit the outcomes best (logistic regression, by Newton's method)."""
    x, y = logit(np.clip(chance, 1e-9, 1 - 1e-9)), np.asarray(outcome, dtype=float)
    if not 0 < weight @ y < weight.sum() or np.ptp(x) < 1e-9:
        return np.nan, np.nan
    design, found = np.column_stack([np.ones(len(x)), x]), np.array([0.0, 1.0])
    for _ in range(25):
        p = expit(design @ found)
        curve = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, design.T @ (weight * (y - p)))
        found = found + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return float(found[0]), float(found[1])


def ece(outcome: np.ndarray, chance: np.ndarray, weight: np.ndarray) -> Score:
    """Expected calibration error over ten bins of equal `weight`, as a function of (other) weights of the rows.

    It is too high by chance, and resampling adds as much again, so it has no bootstrap interval: see `ece_if_perfect`.
    """
    of_bin, y = _bins(np.asarray(chance), weight, 10), np.asarray(outcome, dtype=float)

    def value(other: np.ndarray) -> float:
        off = np.bincount(of_bin, weights=other * (np.asarray(chance) - y))
        return _over(float(np.abs(off).sum()), float(other.sum()))

    return value


def ece_if_perfect(rows: pd.DataFrame, seed: int = 0, draws: int = 200) -> float:
    """The calibration error that these chances would show if they were right: the mean over outcomes drawn from them.

    The rows of a case share one draw, as they share what becomes of it.
    """
    chance, weight = rows["chance"].to_numpy(), rows["weight"].to_numpy()
    code, n_cases = pd.factorize(rows["case"])[0], rows["case"].nunique()
    rng, of_bin = np.random.default_rng(seed), _bins(chance, weight, 10)
    found = []
    for _ in range(draws):
        off = np.bincount(of_bin, weights=weight * (chance - (rng.random(n_cases)[code] < chance)))
        found.append(np.abs(off).sum() / weight.sum())
    return float(np.mean(found))


def _bins(chance: np.ndarray, weight: np.ndarray, bins: int) -> np.ndarray:
    """Bins of equal weight, from low chances (0) to high; equal chances share one."""
    order = np.argsort(chance, kind="stable")
    middle = weight[order].cumsum() - weight[order] / 2
    of_rank = np.minimum((middle / weight.sum() * bins).astype(int), bins - 1)
    first = np.flatnonzero(np.diff(chance[order], prepend=np.nan) != 0)
    of_rank = np.repeat(of_rank[first], np.diff(np.append(first, len(chance))))
    found = np.empty(len(chance), dtype=int)
    found[order] = of_rank
    return found


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
    drawn = [score(weight * times) for times in resampled(customer, seed)] if len(weight) else []
    known = [v for v in drawn if not np.isnan(v)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (np.nan, np.nan)
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def resampled(customer: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts, for each replicate; `customer` holds 64-bit keys."""
    codes, unique = pd.factorize(np.asarray(customer, dtype=np.uint64))
    for replicate in range(N_REPLICATES):
        yield poisson_weights(unique, seed, replicate)[codes]


def drawn_often(customer: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """How often each row counts in each resample, in one byte each: for several scores of the same rows."""
    return list(resampled(customer, seed)) if len(customer) else []


def calibration(rows: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Do chances mean what they say? One row per bin of equal weight, from low chances to high.

    `rows` needs chance, escalated, weight, customer, case. Columns: bin (1 to `bins`), mean_chance and share (of the weight,
    0 to 1) with its 95 % interval by customer, n (cases), n_rows, weight, and holds (does the interval hold the mean
    chance?). A bin that equal chances leave empty is not there.
    """
    of_bin = _bins(rows["chance"].to_numpy(), rows["weight"].to_numpy(), bins) + 1
    table = pd.DataFrame([{"bin": number} | observed(part) for number, part in rows.groupby(of_bin)])
    return table.assign(holds=(table["low"] <= table["mean_chance"]) & (table["mean_chance"] <= table["high"]))


def observed(rows: pd.DataFrame) -> dict[str, float]:
    """Mean chance and observed share of some rows, with its interval by customer and its n."""
    weighted = pd.DataFrame({"y": rows["weight"] * rows["escalated"], "n": rows["weight"]}).groupby(rows["customer"]).sum()
    y, n = weighted["y"].to_numpy(), weighted["n"].to_numpy()
    share, low, high = share_from_sums(np.array([len(y), y.sum(), n.sum(), y @ y, y @ n, n @ n]))
    mean = float(np.average(rows["chance"], weights=rows["weight"]))
    size = {"n": rows["case"].nunique(), "n_rows": len(rows), "weight": float(rows["weight"].sum())}
    return {"mean_chance": mean, "share": share, "low": low, "high": high} | size


def gain(rows: pd.DataFrame, steps: int = 50, seed: int = 0, *, shares: Sequence[float] = ()) -> pd.DataFrame:
    """Of the escalations, how many are among the reviewed? One row per reviewed share, highest chances first; at these
    `shares`, else in equal `steps` from 0 to 1.

    Columns: reviewed (share of the weight, 0 to 1), caught (share of the later escalations among them) with its 95 % interval
    by customer, precision (share of the reviewed that escalate), n (cases).
    """
    ranked = rows.sort_values("chance", ascending=False, kind="stable")
    weight, escalated = ranked["weight"].to_numpy(), ranked["escalated"].to_numpy(dtype=float)
    grid = np.asarray(shares) if len(shares) else np.linspace(0, 1, steps + 1)
    drawn = np.array([_caught(weight * times, escalated, grid) for times in resampled(ranked["customer"].to_numpy(), seed)])
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
