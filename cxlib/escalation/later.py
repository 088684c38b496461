"""A forecast that is kept, on later data: its chances for the open cases, and how it does on the cases that began since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from cxlib.escalation import forecast, judging, subject
from cxlib.escalation.forecast import Escalation
from cxlib.escalation.kept import Forecaster
from cxlib.escalation.labels import outcomes
from cxlib.escalation.models import Model
from cxlib.escalation.overdue import LIKE
from cxlib.escalation.review import Review, label_of, review_list
from cxlib.redact import gazetteer
from cxlib.schema import DataError, duration
from cxlib.store import Dataset


def again(kept: Forecaster, dataset: Dataset, seed: int = 0) -> Escalation:
    """What does a forecast that is kept say of later data, and how does it do on the cases that began since?

    Returns
    -------
    Escalation
        As `fit` gives it, without fitting anything: the held-out cases are those that began at or after the kept forecast's
        split, none of which it has seen. `choice` is None; of the plain rules there are those it remembers (base rate, last
        stage). Where too few cases began since, `why_not` says so, the tables are empty, and the open cases have their
        chances all the same.

    Raises
    ------
    DataError
        If the data set lacks a table or column that the forecast reads, or its stage. One that is there but empty is missing.
    """
    reads = kept.model.features
    log, known = forecast.told(dataset, kept.target, kept.horizon, reads)
    known = known if kept.book is None else subject.with_themes(known, log, dataset, kept.book, reads)
    known = replace(known, features=_completed(known.features, kept.model, dataset))
    keys = known.keys.assign(escalated_at=forecast.escalated_at(log, known.keys))
    within = None if kept.horizon is None else duration(kept.horizon, "horizon")
    is_newer = (keys["at_risk"] & (keys["began"] >= kept.split_at)).to_numpy()
    test = keys[is_newer].join(outcomes(keys, is_newer, log.observed_until, within))
    waiting = forecast.still_waiting(log, keys)
    counts = forecast.counted(log, keys, test.iloc[:0], test, waiting)
    why_not = forecast.too_few(log, counts, _SINCE, "how good the kept forecast is here is not known")
    found = replace(
        forecast.nothing(log, counts, forecast.utc(kept.split_at), kept.horizon, why_not),
        waiting=forecast.with_chances(waiting, kept, known, log),
        waiting_features=known.features.loc[waiting.index],
        people=gazetteer(dataset.tables),
        kept=kept,
        data=forecast.described(log, dataset),
    )
    test = test[test["weight"] > 0]
    if why_not:
        return found
    of_test = known.features.loc[test.index]
    chances = {kept.model.kind: kept.model.chance(of_test)} | _rules(kept, test)
    table = judging.table(test, chances, seed)
    rows = test.assign(chance=chances[kept.model.kind], escalated=test["label"])[forecast.ROW]
    return replace(
        found,
        table=rows.reset_index(drop=True),
        metrics=table[table["model"] == kept.model.kind].drop(columns="model").set_index("metric").to_dict("index"),
        scores=table,
        rules=pd.DataFrame(_rules(kept, test)),
        **forecast.judged(rows, of_test, kept, log, seed),
    )


def _completed(features: pd.DataFrame, model: Model, dataset: Dataset) -> pd.DataFrame:
    """With a column of missing values for each feature that the model reads and that nothing in these data has a value of.

    Where even the table or the column is absent it is another kind of data, of which the forecast may know nothing: DataError.
    """
    empty = sorted(set(model.features) - set(features))
    if absent := {name: what for name in empty if (what := _absent(name, dataset))}:
        raise DataError(
            f"the data set lacks what the forecast reads: {', '.join(absent)}. Fit it again with --fit, or add "
            f"{', '.join(dict.fromkeys(absent.values()))}"
        )
    columns = {name: pd.Series(pd.NA if name in model.words else np.nan, features.index) for name in empty}
    return features.assign(**{name: column.astype("str" if name in model.words else float) for name, column in columns.items()})


def _absent(feature: str, dataset: Dataset) -> str:
    """The table or column that is not there, without which this feature cannot be; empty if there only is no value in it."""
    group, what = feature.split(".", 1)
    if group == "stage":
        return f"the stage {what.removeprefix('n_')}"
    if what in ("n_changes", "n_returns"):
        needs = [("ticket_events", "field")]
    elif group.startswith("overdue_by_"):
        needs = [("tickets", column) for column in LIKE.get(group.removeprefix("overdue_by_"), ())]
    else:
        needs = [_MADE_OF.get(group, ("tickets", group))]
    events = dataset.tables.get("ticket_events", pd.DataFrame())
    logged = set(events["field"].dropna().unique()) if "field" in events else set()
    lacking = [need for need in needs if need[1] not in dataset.tables.get(need[0], ()) and need[1] not in logged]
    return ", ".join(f"the column {column} of {table}" for table, column in lacking)


_MADE_OF = {"ticket": ("tickets", "opened_at"), "incident": ("incidents", "application_id")}
_SINCE = {"held_out": "the cases that began since the forecast was fitted and"}


def _rules(kept: Forecaster, test: pd.DataFrame) -> dict[str, np.ndarray]:
    """What the plain rules that a kept forecast remembers say of later moments."""
    then, stage = kept.past, test["stage"].to_numpy()
    label, weight = then["label"].to_numpy(dtype=float), then["weight"].to_numpy()
    of_stage = judging.share_by(then["stage"].to_numpy(), label, weight, kept.base_rate, stage)
    return {"base rate": np.full(len(test), kept.base_rate), "last stage": of_stage}


def score(
    kept: Forecaster, dataset: Dataset, capacity: int = 40, effects: pd.DataFrame | None = None
) -> tuple[Review, pd.DataFrame]:
    """The open cases of later data by a forecast that is kept (`again`, `review_list`), and its `health` there."""
    found = again(kept, dataset)
    return review_list(found, capacity, effects), health(found)


def health(result: Escalation) -> pd.DataFrame:
    """Does a forecast still hold on the cases that it has not seen?

    Returns
    -------
    DataFrame
        One row per question: what, then (in training; the AUC when it was fitted), now (on the unseen cases), low, high (95 %),
        n (cases), verdict (steady, watch, moved; of the AUC "same cases" where none began since the fit); one row that says
        "too few" where these cannot be judged.

    Notes
    -----
    The AUC has moved if the 95 % interval of the difference, with the error of both, lies below 0. Cases held out when it was
    fitted are among those of now, so that a fall has to be larger to be clear.

    References
    ----------
    Zou and Donner (2008), Construction of confidence limits about effect measures (the interval of a difference from two).
    """
    kept, seen, auc = result.kept, result.overall, result.metrics["auc"]
    if kept is None or not seen:
        few = result.counts["held_out_cases"]
        return pd.DataFrame([("cases that began since", np.nan, few, np.nan, np.nan, few, "too few")], columns=_HEALTH)
    low, high, n = seen["low"], seen["high"], seen["n"]
    began_since = (result.table.groupby("case")["at"].min() > kept.until).any()
    worse = _fallen(kept, auc) if began_since else "same cases"
    table = [
        ("share that escalates", kept.base_rate, seen["share"], low, high, n, _inside(kept.base_rate, low, high)),
        ("mean chance, against that", np.nan, seen["mean_chance"], low, high, n, _inside(seen["mean_chance"], low, high)),
        ("AUC", kept.auc, auc["value"], auc["low"], auc["high"], auc["n"], worse),
    ]
    table += [
        (f"{label_of(row.feature)} (PSI)", 0.0, row.psi, np.nan, np.nan, n, row.verdict)
        for row in result.drift[result.drift["verdict"] != "steady"].head(5).itertuples()
    ]
    return pd.DataFrame(table, columns=_HEALTH).round(3)


def _fallen(kept: Forecaster, now: Mapping[str, float]) -> str:
    """Is the AUC clearly lower than when the forecast was fitted? One kept without an interval counts as exact."""
    then = np.nan_to_num(kept.auc - kept.auc_low)
    return "moved" if now["value"] - kept.auc + np.hypot(now["high"] - now["value"], then) < 0 else "steady"


_HEALTH = ["what", "then", "now", "low", "high", "n", "verdict"]


def _inside(value: float, low: float, high: float) -> str:
    return "steady" if low <= value <= high else "moved"
