"""How good is a forecast on cases it has not seen, beside plain rules, where, how early, and as the world moves on?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

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
    args = (part["label"].to_numpy(), part["chance"].to_numpy(), *([part["weight"].to_numpy()] if score is scores.ece else []))
    found = scores.with_interval(score(*args), part["weight"].to_numpy(), part["customer"].to_numpy(), seed)
    return found | {"n": part["case"].nunique(), "n_rows": len(part)}


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
        sums = pd.DataFrame({"y": label * weight, "n": weight}).groupby(then).sum()
        found[name] = (
            ((sums["y"] + base) / (sums["n"] + 1)).reindex(now).fillna(base).to_numpy()
        )  # one case more at the base rate
    return found


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


PSI_WATCH, PSI_MOVED = 0.1, 0.25  # the usual marks of credit scoring: Siddiqi (2006), Credit Risk Scorecards


@dataclass(frozen=True)
class Look:
    """How a feature is spread over some moments: the weight of each word, or of each tenth (between `edges`) of its numbers."""

    edges: list[float] | None  # None: words
    weight: dict[str, float]  # by word, or by number of the tenth; -1: missing

    @classmethod
    def of(cls, column: pd.Series, weight: np.ndarray) -> Look:
        if not pd.api.types.is_numeric_dtype(column):
            return cls(None, _summed(column.fillna(models.NO_VALUE), weight))
        edges = np.unique(np.nanquantile(column, np.linspace(0.1, 0.9, 9))).tolist() if column.notna().any() else []
        return cls(edges, {}).again(column, weight)

    def again(self, column: pd.Series, weight: np.ndarray) -> Look:
        """The same feature at other moments, in the same words or tenths."""
        if self.edges is None:
            return Look(None, _summed(column.fillna(models.NO_VALUE), weight))
        numbers = column.to_numpy(dtype=float)
        tenth = np.where(np.isnan(numbers), -1, np.searchsorted(self.edges, numbers)).astype(str)
        return Look(self.edges, _summed(pd.Series(tenth), weight))

    def moved(self, now: Look) -> float:
        """The population stability index: 0 = the same. Half a case is added to each word or tenth.

        >>> Look(None, {"a": 9.5, "b": 9.5}).moved(Look(None, {"a": 9.5, "b": 9.5}))
        0.0
        """
        shares = pd.DataFrame({"then": pd.Series(self.weight), "now": pd.Series(now.weight)}).fillna(0) + 0.5
        shares /= shares.sum()
        return float(((shares["now"] - shares["then"]) * np.log(shares["now"] / shares["then"])).sum())


def _summed(values: pd.Series, weight: np.ndarray) -> dict[str, float]:
    return {str(value): float(sum_) for value, sum_ in pd.Series(weight).groupby(values.to_numpy()).sum().items()}


def drift(looks: Mapping[str, Look], features: pd.DataFrame, weight: np.ndarray) -> pd.DataFrame:
    """Which features look other than in training? One row per feature: feature, psi (population stability index), verdict
    (steady, watch, moved); the largest first."""
    rows = [(name, look.moved(look.again(features[name], weight))) for name, look in looks.items()]
    table = pd.DataFrame(rows, columns=["feature", "psi"]).sort_values("psi", ascending=False, kind="stable", ignore_index=True)
    return table.assign(verdict=np.select([table["psi"] >= PSI_MOVED, table["psi"] >= PSI_WATCH], ["moved", "watch"], "steady"))


def by_stage(rows: pd.DataFrame, stages: tuple[str, ...], seed: int) -> pd.DataFrame:
    """The AUC among the moments at each stage, from left to right; missing where too few cases went either way."""
    told = rows.rename(columns={"escalated": "label"})
    return pd.DataFrame([{"stage": s} | auc_of(told[told["stage"] == s], seed) for s in stages if (told["stage"] == s).any()])


def by_month(rows: pd.DataFrame, timezone: str) -> pd.DataFrame:
    """Mean chance beside the share that escalated, by month of the moment."""
    month = pd.to_datetime(rows["at"], unit="us", utc=True).dt.tz_convert(timezone).dt.strftime("%Y-%m")
    return pd.DataFrame([{"month": name} | scores.observed(part) for name, part in rows.groupby(month)])
