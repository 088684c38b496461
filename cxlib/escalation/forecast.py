"""Train on the older cases, score the newer ones as if their future were unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import eventlog
from cxlib.escalation import models, scores
from cxlib.escalation.features import Moments, moments
from cxlib.escalation.silence import after_silence, gaps_until_next
from cxlib.redact import Gazetteer, gazetteer
from cxlib.schema import DataError
from cxlib.store import Dataset

ENOUGH = 20  # cases with and without escalation, in training and held out
METRICS = ("auc", "pr_auc", "brier", "auc_first_row")
UNKNOWN = {"value": np.nan, "low": np.nan, "high": np.nan}


@dataclass(frozen=True)
class Escalation:
    """What came out, and what figures and the review list need.

    `table`: one row per model (boosting, logistic, base rate) and metric with value, low, high (95 %, by customer), n (cases)
    and n_rows. `metrics`: the boosting's, by metric. `rows`: the held-out moments with chance, escalated, weight.
    `calibration`, `gain`, `by_stage`, `by_month`: tables for the figures. `why_not` says in one line why nothing could be
    fitted; then the tables are empty and the values missing.
    """

    table: pd.DataFrame
    metrics: Mapping[str, Mapping[str, float]]
    rows: pd.DataFrame
    calibration: pd.DataFrame
    gain: pd.DataFrame
    by_stage: pd.DataFrame
    by_month: pd.DataFrame
    counts: Mapping[str, int]
    escalation: str
    split_at: pd.Timestamp | None
    base_rate: float
    ece: float
    overall: Mapping[str, float]  # mean chance beside the observed share of all held-out moments
    why_not: str
    features: tuple[str, ...]
    people: Gazetteer  # names that no reason may show
    waiting: pd.DataFrame  # the newest moment of each open case
    waiting_features: pd.DataFrame
    usual: Mapping[str, object]
    model: models.Model | None


def fit(dataset: Dataset, split: float = 0.8, seed: int = 0) -> Escalation:
    """How likely is each case to reach the escalation stage, and how good is that forecast on newer cases?

    Parameters
    ----------
    dataset : Dataset
        Touches are enough; tickets, their changes and users are used where there are any.
    split : float
        The share of cases, oldest first, to train on (0.1 to 0.95). The newest are held out.
    seed : int
        For the bootstrap of the intervals.

    Returns
    -------
    Escalation
        `.metrics["auc"]["value"]` is the boosting's on the held-out rows, each case weighing 1 in all.

    Raises
    ------
    DataError
        If `split` is outside 0.1 to 0.95.

    Notes
    -----
    A row is a touch of a case in search of help, left of the escalation stage, before the case's first touch there, while its
    ticket is open. It weighs 1 / (rows of its case), in training and scoring. Training sees only rows and escalations before
    the split: a case still open then counts as not escalated. A held-out case that is open at the end of the data counts as
    not escalated so far. The chance is that of an escalation within a follow-up as long as these cases had; it is not what
    stepping in would change.
    """
    if not 0.1 <= split <= 0.95:
        raise DataError(f"split={split} is not a share of cases to train on: give a number from 0.1 to 0.95, such as 0.8")
    log = eventlog.compile(dataset)
    known = moments(log, dataset)
    keys = _labelled(log, known, split)
    train, test = _weighted(keys[keys["is_training"]]), _weighted(keys[keys["is_test"]])
    waiting = _waiting(log, keys)
    counts = _counts(log, keys, train, test, waiting)
    split_at = pd.Timestamp(int(keys["split_at"].iloc[0]), unit="us", tz="UTC") if len(keys) else None
    if why_not := _too_few(log, counts):
        return _nothing(log, counts, split_at, why_not)
    features, label, weight = known.features.loc[train.index], train["label"].to_numpy(dtype=bool), train["weight"].to_numpy()
    fitted = {
        "boosting": models.boosting(features, label, weight, _newest_quarter(train), seed),
        "logistic": models.logistic(features, label, weight),
    }
    base_rate = float(np.average(label, weights=weight))
    chances = {name: model.chance(known.features.loc[test.index]) for name, model in fitted.items()}
    table = _table(test, chances | {"base rate": np.full(len(test), base_rate)}, seed)
    rows = test.assign(chance=chances["boosting"], escalated=test["label"])[_ROW]
    calibration = scores.calibration(rows)
    return Escalation(
        table=table,
        metrics=table[table["model"] == "boosting"].drop(columns="model").set_index("metric").to_dict("index"),
        rows=rows.reset_index(drop=True),
        calibration=calibration,
        gain=scores.gain(rows, seed=seed),
        by_stage=_by_stage(rows, log.stages, seed),
        by_month=_by_month(rows, log.timezone),
        counts=counts,
        escalation=log.stages[log.escalation],
        split_at=split_at,
        base_rate=base_rate,
        ece=scores.expected_calibration_error(calibration),
        overall=scores.observed(rows),
        why_not="",
        people=gazetteer(dataset.tables),
        features=fitted["boosting"].features,
        waiting=_with_chances(waiting, fitted["boosting"].chance(known.features.loc[waiting.index]), log, train),
        waiting_features=known.features.loc[waiting.index],
        usual=models.typical(features[list(fitted["boosting"].features)], weight),
        model=fitted["boosting"],
    )


_ROW = ["touchpoint_id", "case_id", "case", "customer", "at", "stage", "weight", "escalated", "chance"]


def _labelled(log: eventlog.EventLog, known: Moments, split: float) -> pd.DataFrame:
    """The moments with split_at, label, is_training and is_test; a label is what had happened by the split, or by the end."""
    keys = known.keys
    if not len(keys):
        return keys.assign(split_at=0, label=False, is_training=False, is_test=False)
    began = np.sort(keys.groupby("case")["began"].first().to_numpy())
    split_at = began[min(int(np.ceil(split * len(began))), len(began) - 1)]
    is_newer = keys["began"] >= split_at
    escalated_at = keys["at"].where(log.stage == log.escalation).groupby(keys["case"]).transform("min")
    return keys.assign(
        split_at=split_at,
        label=np.where(is_newer, escalated_at.notna(), escalated_at < split_at),
        is_training=keys["at_risk"] & ~is_newer & (keys["at"] < split_at),
        is_test=keys["at_risk"] & is_newer,
    )


def _weighted(rows: pd.DataFrame) -> pd.DataFrame:
    """Each case weighs 1 in all."""
    return rows.assign(weight=1 / rows.groupby("case")["case"].transform("size"))


def _waiting(log: eventlog.EventLog, keys: pd.DataFrame) -> pd.DataFrame:
    """The newest moment of prediction of each case that is open at the end of the data and has not escalated."""
    last = keys.drop_duplicates("case", keep="last").set_index("case")["is_open"]
    rows = keys[keys["at_risk"]].drop_duplicates("case", keep="last")
    escalated = np.unique(log.case_of_touch[log.stage == log.escalation])
    still = rows["case"].map(last) & np.asarray(log.case_open)[rows["case"]] & ~rows["case"].isin(escalated)
    return rows[still.astype(bool)]


def _counts(
    log: eventlog.EventLog, keys: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame, waiting: pd.DataFrame
) -> dict[str, int]:
    """Cases and rows on both sides of the split, and what is still open."""
    cases = {"training": train.drop_duplicates("case"), "held_out": test.drop_duplicates("case")}
    counts = {f"{name}_cases": len(part) for name, part in cases.items()}
    counts |= {f"{name}_escalated": int(part["label"].sum()) for name, part in cases.items()}
    still = np.asarray(log.case_open)[cases["held_out"]["case"]] & ~cases["held_out"]["label"].to_numpy(dtype=bool)
    rows = {"training_rows": len(train), "held_out_rows": len(test), "touches": len(keys)}
    return counts | rows | {"held_out_open": int(still.sum()), "waiting": len(waiting)}


def _too_few(log: eventlog.EventLog, counts: Mapping[str, int]) -> str:
    """Why no model can be fitted and judged, in one line; empty if it can."""
    for name, words in (("training", "the older cases"), ("held_out", "the newer, held-out cases")):
        yes, n = counts[f"{name}_escalated"], counts[f"{name}_cases"]
        if min(yes, n - yes) < ENOUGH:
            return (
                f"{yes} of {n} of {words} that can be predicted reached {log.stages[log.escalation]}: "
                f"at least {ENOUGH} with and {ENOUGH} without are needed, so no model is fitted"
            )
    return ""


def _newest_quarter(train: pd.DataFrame) -> np.ndarray:
    """Which training rows belong to the newest quarter of the training cases?"""
    began = np.sort(train.drop_duplicates("case")["began"].to_numpy())
    return train["began"].to_numpy() >= began[len(began) * 3 // 4]


def _with_chances(waiting: pd.DataFrame, then: np.ndarray, log: eventlog.EventLog, train: pd.DataFrame) -> pd.DataFrame:
    """The open cases with the chance at their newest touch, and that at the end of the data, after the silence since."""
    gap = gaps_until_next(np.asarray(log.at), log.case_of_touch, int(train["split_at"].iloc[0]))
    silent = np.maximum(0, log.observed_until - waiting["at"].to_numpy())
    now = after_silence(then, waiting["stage"].to_numpy(), silent, train.assign(gap=gap[train.index]))
    return waiting.assign(chance_then=then, chance=now)


def _table(test: pd.DataFrame, chances: Mapping[str, np.ndarray], seed: int) -> pd.DataFrame:
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
    asked = {"auc": (scores.auc, rows), "pr_auc": (scores.average_precision, rows), "brier": (scores.brier, rows)}
    return {
        metric: scores.with_interval(
            score(part["label"].to_numpy(), part["chance"].to_numpy()),
            part["weight"].to_numpy(),
            part["customer"].to_numpy(),
            seed,
        )
        | {"n": part["case"].nunique(), "n_rows": len(part)}
        for metric, (score, part) in (asked | {"auc_first_row": (scores.auc, first)}).items()
    }


def _by_stage(rows: pd.DataFrame, stages: tuple[str, ...], seed: int) -> pd.DataFrame:
    """The AUC among the moments at each stage, from left to right; missing where too few cases went either way."""
    out = []
    for stage in [s for s in stages if (rows["stage"] == s).any()]:
        part = rows[rows["stage"] == stage].rename(columns={"escalated": "label"})
        cases = part.drop_duplicates("case")["label"]
        enough = min(cases.sum(), len(cases) - cases.sum()) >= ENOUGH
        found = _scores(part, seed)["auc"] if enough else UNKNOWN | {"n": len(cases), "n_rows": len(part)}
        out.append({"stage": stage, "escalated": int(cases.sum())} | found)
    return pd.DataFrame(out)


def _by_month(rows: pd.DataFrame, timezone: str) -> pd.DataFrame:
    """Mean chance beside the share that escalated, by month of the moment."""
    month = pd.to_datetime(rows["at"], unit="us", utc=True).dt.tz_convert(timezone).dt.strftime("%Y-%m")
    return pd.DataFrame([{"month": name} | scores.observed(part) for name, part in rows.groupby(month)])


def _nothing(log: eventlog.EventLog, counts: Mapping[str, int], split_at: pd.Timestamp | None, why_not: str) -> Escalation:
    """The result where no model can be fitted: n, and empty values."""
    n = {"n": counts["held_out_cases"], "n_rows": counts["held_out_rows"]}
    table = pd.DataFrame([{"model": "boosting", "metric": metric} | UNKNOWN | n for metric in METRICS])
    none = pd.DataFrame()
    return Escalation(
        table=table,
        metrics={metric: UNKNOWN | n for metric in METRICS},
        rows=pd.DataFrame(columns=_ROW),
        calibration=none,
        gain=none,
        by_stage=none,
        by_month=none,
        counts=counts,
        escalation=log.stages[log.escalation],
        split_at=split_at,
        base_rate=np.nan,
        ece=np.nan,
        overall={},
        why_not=why_not,
        people=gazetteer({}),
        features=(),
        waiting=pd.DataFrame(columns=[*_ROW, "chance_then"]),
        waiting_features=none,
        usual={},
        model=None,
    )
