"""How good is a forecast on cases it has not seen, beside plain rules, where, how early, and as the world moves on?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from cxlib import stats
from cxlib.escalation import models, scores

ENOUGH = 20  # cases with and without escalation, in training and held out
UNKNOWN = {"value": np.nan, "low": np.nan, "high": np.nan}
METRICS = ("auc", "pr_auc", "brier", "log_loss", "ece", "slope", "auc_first_row")


def table(test: pd.DataFrame, chances: Mapping[str, np.ndarray], seed: int) -> pd.DataFrame:
    """One row per model and metric."""
    rows = [
        {"model": name, "metric": metric} | value
        for name, chance in chances.items()
        for metric, value in _scores(test.assign(chance=chance), seed).items()
    ]
    return pd.DataFrame(rows)


def _scores(rows: pd.DataFrame, seed: int) -> dict[str, dict[str, float]]:
    """Each metric of one forecast with its interval and n."""
    first = rows.drop_duplicates("case").assign(weight=1.0)
    asked = {name: (getattr(scores, of), rows) for name, of in _OF_ROWS.items()} | {"auc_first_row": (scores.auc, first)}
    return {name: _score(score, part, seed) for name, (score, part) in asked.items()}


def _score(score, part: pd.DataFrame, seed: int) -> dict[str, float]:  # type: ignore[no-untyped-def]
    label, chance, weight = (part[name].to_numpy() for name in ("label", "chance", "weight"))
    n = {"n": part["case"].nunique(), "n_rows": len(part)}
    if score is scores.ece:  # resampling makes it larger: no interval, but `scores.ece_if_perfect` beside it
        return UNKNOWN | {"value": score(label, chance, weight)(weight)} | n
    return scores.with_interval(score(label, chance), weight, part["customer"].to_numpy(), seed) | n


_OF_ROWS = {
    "auc": "auc",
    "pr_auc": "average_precision",
    "brier": "brier",
    "log_loss": "log_loss",
    "ece": "ece",
    "slope": "slope",
}


def plain_rules(
    train: pd.DataFrame, test: pd.DataFrame, features: pd.DataFrame, of_test: pd.DataFrame
) -> dict[str, np.ndarray]:
    """What rules of one variable say: everyone alike, the stage, the age of the case in tenths."""
    label, weight = train["label"].to_numpy(dtype=float), train["weight"].to_numpy()
    base = float(np.average(label, weights=weight))
    edges = np.unique(np.quantile(features["time.elapsed_h"], np.linspace(0.1, 0.9, 9)))
    of = {
        "last stage": (train["stage"].to_numpy(), test["stage"].to_numpy()),
        "age": tuple(np.searchsorted(edges, part["time.elapsed_h"].to_numpy()) for part in (features, of_test)),
    }
    found = {"base rate": np.full(len(test), base)}
    for name, (then, now) in of.items():
        found[name] = share_by(then, label, weight, base, now)
    return found


def share_by(then: np.ndarray, label: np.ndarray, weight: np.ndarray, base: float, now: np.ndarray) -> np.ndarray:
    """The share that escalated in training of each group of `now`, one case more at the base rate added to each.

    >>> share_by(np.array(["a", "a"]), np.array([1, 0]), np.ones(2), 0.5, np.array(["a", "b"])).tolist()
    [0.5, 0.5]
    """
    sums = pd.DataFrame({"y": label * weight, "n": weight}).groupby(then).sum()
    return ((sums["y"] + base) / (sums["n"] + 1)).reindex(now).fillna(base).to_numpy()


def by_age(rows: pd.DataFrame, hours: np.ndarray, seed: int) -> pd.DataFrame:
    """How early does it see it coming? The AUC among moments of one age since the case began, in quarters of the moments."""
    edges = np.unique(np.quantile(hours, [0.25, 0.5, 0.75]))
    group = np.searchsorted(edges, hours, side="right")
    limits = [0.0, *edges, np.inf]
    parts = ((number, rows[group == number].rename(columns={"escalated": "label"})) for number in np.unique(group))
    return pd.DataFrame([{"from_h": limits[i], "to_h": limits[i + 1]} | auc_of(part, seed) for i, part in parts])


def auc_of(part: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """The AUC of some moments with escalated (cases); missing where too few cases went either way."""
    cases = part.groupby("case")["label"].max()
    enough = min(cases.sum(), len(cases) - cases.sum()) >= ENOUGH
    found = _score(scores.auc, part, seed) if enough else UNKNOWN | {"n": len(cases), "n_rows": len(part)}
    return {"escalated": int(cases.sum())} | found


def in_brief(test: pd.DataFrame, chance: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Mean chance beside the share that escalated (low, high) and the AUC (auc_low, auc_high) of moments with known labels."""
    told = test.assign(chance=chance, escalated=test["label"])
    auc, seen = auc_of(told, seed), scores.observed(told)
    found = {name: seen[name] for name in ("mean_chance", "share", "low", "high")}
    return found | {"auc": auc["value"], "auc_low": auc["low"], "auc_high": auc["high"]}


PSI_WATCH, PSI_MOVED = 0.1, 0.25  # the usual marks of credit scoring: Siddiqi (2006), Credit Risk Scorecards


@dataclass(frozen=True)
class Look:
    """How a feature is spread over some moments: the weight of each word, or of each tenth (between `edges`) of its numbers."""

    edges: list[float] | None  # None: words
    weight: dict[str, float]  # by word, or by number of the tenth; -1: missing
    n: float = 0.0  # cases that it stands on, see `n_cases`; 0: as many as the weights sum to

    @classmethod
    def of(cls, column: pd.Series, weight: np.ndarray, n: float = 0.0) -> Look:
        if not pd.api.types.is_numeric_dtype(column):
            return cls(None, {}).again(column, weight, n)
        edges = np.unique(np.nanquantile(column, np.linspace(0.1, 0.9, 9))).tolist() if column.notna().any() else []
        return cls(edges, {}).again(column, weight, n)

    def again(self, column: pd.Series, weight: np.ndarray, n: float = 0.0) -> Look:
        """The same feature at other moments, in the same words or tenths."""
        if self.edges is None:
            return Look(None, _summed(column.fillna(models.NO_VALUE), weight), n)
        numbers = column.to_numpy(dtype=float)
        tenth = np.where(np.isnan(numbers), -1, np.searchsorted(self.edges, numbers)).astype(str)
        return Look(self.edges, _summed(pd.Series(tenth), weight), n)

    def moved(self, now: Look) -> tuple[float, float]:
        """The population stability index beyond what chance gives on average (0 = the same), and the p-value of no change.

        Half a case is added to each word or tenth.

        References
        ----------
        Yurdakul and Naranjo (2020), Statistical properties of the population stability index: where nothing changes it is
        chi-squared, times the sum of one over the cases of each side.

        Examples
        --------
        >>> Look(None, {"a": 9.5, "b": 9.5}).moved(Look(None, {"a": 9.5, "b": 9.5}))
        (0.0, 1.0)
        """
        shares = pd.DataFrame({"then": pd.Series(self.weight), "now": pd.Series(now.weight)}).fillna(0) + 0.5
        shares /= shares.sum()
        index = float(((shares["now"] - shares["then"]) * np.log(shares["now"] / shares["then"])).sum())
        free, unit = len(shares) - 1, sum(1 / max(1.0, look.n or sum(look.weight.values())) for look in (self, now))
        return max(0.0, index - free * unit), float(chi2.sf(index / unit, free)) if free else 1.0


def _summed(values: pd.Series, weight: np.ndarray) -> dict[str, float]:
    return {str(value): float(sum_) for value, sum_ in pd.Series(weight).groupby(values.to_numpy()).sum().items()}


def n_cases(weight: np.ndarray, case: np.ndarray) -> float:
    """How many cases of equal weight tell as much as these? Kish's effective sample size, over the weights of the cases.

    >>> n_cases(np.array([0.5, 0.5, 1, 1]), np.array([7, 7, 8, 9])), n_cases(np.array([3.0, 1, 0]), np.array([7, 8, 9]))
    (3.0, 1.6)
    """
    of_case = pd.Series(weight, dtype=float).groupby(case).sum().to_numpy()
    return float(of_case.sum() ** 2 / (of_case @ of_case)) if of_case.any() else 0.0


def drift(looks: Mapping[str, Look], features: pd.DataFrame, weight: np.ndarray, case: np.ndarray) -> pd.DataFrame:
    """Which features look other than in training?

    Returns
    -------
    DataFrame
        One row per feature, the largest psi first: feature, psi (population stability index beyond chance, see `Look.moved`),
        n (cases looked at), q (false discovery rate over the features), verdict: "moved" or "watch" where psi is at least
        `PSI_MOVED` or `PSI_WATCH` and q at most .05, else "steady".
    """
    n = n_cases(weight, case)
    found = [(name, *look.moved(look.again(features[name], weight, n))) for name, look in looks.items()]
    table = pd.DataFrame(found, columns=["feature", "psi", "p"]).assign(n=pd.unique(case).size)
    table["q"] = stats.false_discovery(table.pop("p").to_numpy(dtype=float))
    marks = [table["psi"] >= PSI_MOVED, table["psi"] >= PSI_WATCH]
    told = np.where(table["q"] <= ALPHA, np.select(marks, ["moved", "watch"], "steady"), "steady")
    return table.assign(verdict=told).sort_values("psi", ascending=False, kind="stable", ignore_index=True)


def by_stage(rows: pd.DataFrame, stages: tuple[str, ...], seed: int) -> pd.DataFrame:
    """The AUC among the moments at each stage, from left to right; missing where too few cases went either way."""
    told = rows.rename(columns={"escalated": "label"})
    return pd.DataFrame([{"stage": s} | auc_of(told[told["stage"] == s], seed) for s in stages if (told["stage"] == s).any()])


def by_month(rows: pd.DataFrame, timezone: str) -> pd.DataFrame:
    """Mean chance beside the share that escalated, by month of the moment."""
    month = pd.to_datetime(rows["at"], unit="us", utc=True).dt.tz_convert(timezone).dt.strftime("%Y-%m")
    return pd.DataFrame([{"month": name} | scores.observed(part) for name, part in rows.groupby(month)])


SEGMENTS = ("role", "geography", "plan", "application", "category")  # as known at the moment


def segments_of(rows: pd.DataFrame, features: pd.DataFrame, kind: np.ndarray) -> pd.DataFrame:
    """The segments of some moments by column, as far as they were known then; `kind` is that of the customer, by case."""
    told = {name: features[f"{name}.value"] for name in SEGMENTS if f"{name}.value" in features}
    return pd.DataFrame(told | {"customer": kind[rows["case"].to_numpy(dtype=int)]}, index=rows.index)


def by_segment(rows: pd.DataFrame, segments: pd.DataFrame, seed: int) -> pd.DataFrame:
    """For whom is the forecast blind, or wrong on the whole?

    Parameters
    ----------
    rows : DataFrame
        Moments with case, customer, weight, escalated and chance.
    segments : DataFrame
        One column per way to divide them, in the order of `rows`; missing is a segment of its own. A column with less than two
        segments of at least `FEWEST_IN_SEGMENT` cases says nothing and is left out, and so is a smaller segment.

    Returns
    -------
    DataFrame
        One row per column and segment, the largest first: n (cases), n_rows, escalated (cases), auc (auc_low, auc_high; missing
        where fewer than `ENOUGH` cases went either way), mean_chance beside share (low, high) that escalated, q_rank and
        q_bias, and verdict: "blind" (ranks clearly worse than on the whole, and perhaps no better than guessing), "ranks
        worse", "chances too high", "chances too low" (joined by "; "), "as elsewhere", or "too few" (to judge the ranking).

    Notes
    -----
    Intervals are by customer. Two questions per segment: is its AUC below that of all moments (difference over its standard
    deviation, paired resamples, one-sided), and do mean chance and share differ (residuals summed by customer, score test).
    Clear is a q-value of at most .05 over all segments of a question (`stats.false_discovery`).
    """
    rows, segments = rows.reset_index(drop=True), segments.reset_index(drop=True).astype(object)
    named = segments.where(segments.notna(), UNNAMED)
    weight, customer = rows["weight"].to_numpy(), rows["customer"].to_numpy()
    draws = scores.drawn_often(customer, seed)
    whole = scores.auc(rows["escalated"].to_numpy(), rows["chance"].to_numpy())
    of_all = whole(weight), np.array([whole(weight * times) for times in draws])
    found = []
    for column in named:
        cases = rows["case"].groupby(named[column]).nunique().sort_values(ascending=False, kind="stable")
        large = cases[cases >= FEWEST_IN_SEGMENT].index
        for segment in large if len(large) > 1 else ():
            here = (named[column] == segment).to_numpy()
            told = {"column": column, "segment": str(segment)} | scores.observed(rows[here])
            found.append(told | _ranked(rows[here], here, weight, draws, of_all) | {"p_bias": _p_bias(rows[here])})
    return _verdicts(pd.DataFrame(found, columns=[*_SEGMENT, "p_rank", "p_bias"]))


FEWEST_IN_SEGMENT = 2 * ENOUGH
UNNAMED = "(not known)"
ALPHA = stats.FALSE_DISCOVERY_RATE
_SEGMENT = "column segment n n_rows escalated auc auc_low auc_high mean_chance share low high".split()  # noqa: SIM905


def _ranked(
    part: pd.DataFrame, here: np.ndarray, weight: np.ndarray, draws: list[np.ndarray], of_all: tuple[float, np.ndarray]
) -> dict[str, float]:
    """The AUC of one segment, and the p-value of its being no lower than that of all moments."""
    went = part.groupby("case")["escalated"].max()
    told = {"escalated": int(went.sum()), "auc": np.nan, "auc_low": np.nan, "auc_high": np.nan, "p_rank": np.nan}
    if min(went.sum(), len(went) - went.sum()) < ENOUGH:
        return told
    score = scores.auc(part["escalated"].to_numpy(), part["chance"].to_numpy())
    value, drawn = score(weight[here]), np.array([score(weight[here] * times[here]) for times in draws])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    spread = float(np.nanstd(drawn - of_all[1]))
    p = float(norm.cdf((value - of_all[0]) / spread)) if spread > 0 else np.nan
    return told | {"auc": value, "auc_low": min(low, value), "auc_high": max(high, value), "p_rank": p}


def _p_bias(part: pd.DataFrame) -> float:
    """The p-value of mean chance and share being the same; missing where too little is expected for the test to hold."""
    weight, chance = part["weight"].to_numpy(), part["chance"].to_numpy()
    if min(weight @ chance, weight @ (1 - chance)) < ENOUGH / 2:
        return np.nan
    off = pd.Series(weight * (part["escalated"].to_numpy(dtype=float) - chance)).groupby(part["customer"].to_numpy()).sum()
    spread = float(np.sqrt((off**2).sum()))
    return float(2 * norm.sf(abs(off.sum()) / spread)) if spread > 0 else np.nan


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    q = {name: stats.false_discovery(table[f"p_{name}"].to_numpy(dtype=float)) for name in ("rank", "bias")}
    worse, biased = q["rank"] <= ALPHA, q["bias"] <= ALPHA
    ranking = np.select([worse & (table["auc_low"] <= 0.5), worse], ["blind", "ranks worse"], "")
    high = table["mean_chance"] > table["share"]
    level = np.select([biased & high, biased], ["chances too high", "chances too low"], "")
    both = ["; ".join(filter(None, pair)) for pair in zip(ranking, level, strict=True)]
    rest = np.where(table["auc"].isna(), "too few", "as elsewhere")
    told = [said or other for said, other in zip(both, rest, strict=True)]
    return table[_SEGMENT].assign(q_rank=q["rank"], q_bias=q["bias"], verdict=told)
