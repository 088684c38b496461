"""Train on the older cases, score the newer ones as if their future were unknown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxlib import eventlog, journey
from cxlib.escalation import choosing, judging, models, overdue, scores, subject
from cxlib.escalation.choosing import KINDS, Choice
from cxlib.escalation.expected import corrected, correction_of
from cxlib.escalation.features import Moments, moments
from cxlib.escalation.identity import as_known
from cxlib.escalation.judging import ENOUGH, METRICS, UNKNOWN
from cxlib.escalation.kept import Forecaster
from cxlib.escalation.labels import TOO_LONG, is_too_long, outcomes
from cxlib.escalation.silence import after_silence, listed_for
from cxlib.escalation.surroundings import called_at
from cxlib.redact import Gazetteer, gazetteer
from cxlib.schema import DataError, duration, nearest
from cxlib.store import Dataset

if TYPE_CHECKING:  # which is built on this module
    from cxlib.escalation.review import Review


@dataclass(frozen=True)
class Escalation:
    """What came out, and what figures and the review list need.

    `table`: the held-out moments with chance, escalated, weight. `metrics`: how good the chosen model is on them, by metric:
    value, low, high (95 %, by customer), n (cases) and n_rows. `scores`: one row per model (the two, and base rate, last stage
    and age as plain rules) and metric. `choice`: which model, and why; None for a forecast that was kept (`again`).
    `calibration`, `gain`, `by_stage`, `by_month`, `by_age`, `by_segment`, `drift`: tables for the figures. `rules`: what the
    plain rules say of each row of `table`. `why_not` says in one line why nothing could be fitted; then the tables are empty
    and the values missing.
    """

    table: pd.DataFrame
    metrics: Mapping[str, Mapping[str, float]]
    scores: pd.DataFrame
    choice: Choice | None
    calibration: pd.DataFrame
    gain: pd.DataFrame
    by_stage: pd.DataFrame
    by_age: pd.DataFrame
    by_month: pd.DataFrame
    drift: pd.DataFrame
    counts: Mapping[str, int]
    escalation: str
    horizon: str | None
    split_at: pd.Timestamp | None
    ece_if_perfect: float  # the calibration error that these chances would show if they were right
    overall: Mapping[str, float]  # mean chance beside the observed share of all held-out moments
    why_not: str
    people: Gazetteer  # names that no reason may show
    waiting: pd.DataFrame  # the newest moment of each open case
    waiting_features: pd.DataFrame
    kept: Forecaster | None  # to be saved, and used on later data
    rules: pd.DataFrame = field(default_factory=pd.DataFrame)
    by_segment: pd.DataFrame = field(default_factory=pd.DataFrame)
    data: Mapping[str, object] = field(default_factory=dict)  # name, fingerprint, period and size, for the card

    @property
    def ece(self) -> float:
        """The expected calibration error, 0 (none) to 1."""
        return float(self.metrics["ece"]["value"])

    @property
    def model(self) -> models.Model | None:
        """The model that was chosen; None where nothing could be fitted."""
        return self.kept.model if self.kept else None

    @property
    def base_rate(self) -> float:
        """The share of training that escalated, 0 to 1."""
        return self.kept.base_rate if self.kept else np.nan

    @property
    def features(self) -> tuple[str, ...]:
        """What the model reads."""
        return self.kept.model.features if self.kept else ()

    def top(self, capacity: int = 40, effects: pd.DataFrame | None = None, threshold: float = 0.0) -> Review:
        """The open cases most likely to escalate, with reasons: see `review_list`."""
        from cxlib.escalation.review import review_list

        return review_list(self, capacity, effects, threshold)

    def card(self) -> str:
        """What was learned from what, how good it is and what it cannot say, as Markdown: see `card.model_card`."""
        from cxlib.escalation.card import model_card

        return model_card(self)


def fit(
    dataset: Dataset,
    target: str | None = None,
    split: float = 0.8,
    horizon: str | None = None,
    seed: int = 0,
    *,
    themes: bool = False,
) -> Escalation:
    """How likely is each case to reach the escalation stage, and how good is that forecast on newer cases?

    Parameters
    ----------
    dataset : Dataset
        Touches are enough; tickets, their changes and users are used where there are any.
    target : str, optional
        The stage that is forecast, if it is not the data set's escalation stage; one to the right of the leftmost stage that
        seeks help. "overdue": that a ticket's due_at passes while it is open, see `overdue.tickets_due`.
    split : float
        The share of cases, oldest first, to train on (0.1 to 0.95). The newest are held out.
    horizon : str, optional
        Within how long, such as "7d"; at most half of the held-out period. Without it: within a follow-up as
        long as these cases had (for "overdue": "30d"; tickets that were given longer are left out). See `labels.outcomes`.
    seed : int
        Of the boosting and of the resampling behind the intervals.
    themes : bool
        Read the tickets' text too: the theme of each among those found in the texts from before the split (`subject.learned`).

    Returns
    -------
    Escalation
        `.metrics["auc"]["value"]` is the chosen model's on the held-out rows, each case weighing 1 in all.

    Raises
    ------
    DataError
        If `split` is outside 0.1 to 0.95, `target` is no stage that can be forecast, `horizon` is no length of time, or there
        are too few texts for `themes`.

    Notes
    -----
    A row is a touch of a case in search of help, left of the target, before the case's first touch there, while its ticket is
    open. It weighs 1 / (rows of its case), for "overdue" 1, in training and scoring. Training ends at the split:
    a case still open then counts as not escalated, or, with a horizon, is weighted for. A held-out case that is open at the end
    of the data likewise. The model is logistic regression, unless boosting clearly predicted later cases better at several
    origins within the training (`choosing.chosen`). The chance is not what stepping in would change.
    """
    if not 0.1 <= split <= 0.95:
        raise DataError(f"split={split} is not a share of cases to train on: give a number from 0.1 to 0.95, such as 0.8")
    if seed < 0:
        raise DataError(f"seed={seed} cannot start a random generator: give a whole number from 0 on")
    horizon = horizon or (overdue.WITHIN if overdue.is_asked(dataset, target) else None)
    within = None if horizon is None else duration(horizon, "horizon")
    log, known = told(dataset, target, horizon)
    keys = at_split(log, known, split)
    split_at = int(keys["split_at"].iloc[0]) if len(keys) else 0
    train, test = (
        keys[keys[part]].join(outcomes(keys, keys[part].to_numpy(), until, within))
        for part, until in (("is_training", split_at), ("is_test", log.observed_until))
    )
    book = subject.learned(dataset, split_at, seed) if themes else None
    known = known if book is None else subject.with_themes(known, log, dataset, book)
    waiting = still_waiting(log, keys)
    counts = counted(log, keys, train, test, waiting)
    train, test = train[train["weight"] > 0], test[test["weight"] > 0]
    at = utc(split_at) if len(keys) else None
    is_watched = overdue.is_asked(dataset, target) or not is_too_long(within, log.observed_until - split_at)
    if why_not := ("" if is_watched else _unwatched(horizon, counts)) or too_few(log, counts, BOTH, "no model is fitted"):
        return replace(nothing(log, counts, at, horizon, why_not), data=described(log, dataset))
    weight = train["weight"].to_numpy()
    choice = choosing.chosen(known.features, keys, keys["is_training"].to_numpy(), split_at, within, seed)
    other_kind = next(kind for kind in KINDS if kind != choice.model.kind)
    other = choosing.fitted(other_kind, known.features, train, train["began"].to_numpy(), seed)
    features, of_test = (known.features.loc[part.index] for part in (train, test))
    chances = {model.kind: model.chance(of_test) for model in (choice.model, other)}
    rows = test.assign(chance=chances[choice.model.kind], escalated=test["label"])[ROW]
    rules = judging.plain_rules(train, test, features, of_test)
    table = judging.table(test, {kind: chances[kind] for kind in KINDS} | rules, seed)
    metrics = table[table["model"] == choice.model.kind].drop(columns="model").set_index("metric").to_dict("index")
    of_model = features[list(choice.model.features)]
    is_late = (train["at"] >= train["at"].median()).to_numpy()  # what looks back looks back less far when a log begins
    n_late = judging.n_cases(weight[is_late], train["case"].to_numpy()[is_late])
    past = _silences(log, train.assign(chance=choice.model.chance(features)), split_at)
    kept = Forecaster(
        model=choice.model,
        target=log.stages[log.escalation],
        horizon=horizon,
        split_at=split_at,
        base_rate=float(np.average(train["label"], weights=weight)),
        auc=metrics["auc"]["value"],
        n=metrics["auc"]["n"],
        usual=models.typical(of_model, weight),
        past=past,
        correction=correction_of(_to_list_again(log, rows, test), past, log.observed_until, within),
        looks={name: judging.Look.of(of_model[name][is_late], weight[is_late], n_late) for name in of_model},
        trained_on=f"{dataset.settings.name} {dataset.fingerprint}",
        book=book,
        auc_low=metrics["auc"]["low"],
        auc_high=metrics["auc"]["high"],
        until=log.observed_until,
    )
    return Escalation(
        table=rows.reset_index(drop=True),
        metrics=metrics,
        scores=table,
        choice=choice,
        counts=counts,
        escalation=log.stages[log.escalation],
        horizon=horizon,
        split_at=at,
        why_not="",
        people=gazetteer(dataset.tables),
        waiting=with_chances(waiting, kept, known, log),
        waiting_features=known.features.loc[waiting.index],
        kept=kept,
        rules=pd.DataFrame(rules),
        data=described(log, dataset),
        **judged(rows, of_test, kept, log, seed),
    )


ROW = ["touchpoint_id", "case_id", "case", "customer", "at", "stage", "weight", "escalated", "chance"]


def judged(rows: pd.DataFrame, features: pd.DataFrame, kept: Forecaster, log: eventlog.EventLog, seed: int) -> dict[str, Any]:
    """The tables of an `Escalation` that say how good its chances are, on moments that the model has not seen."""
    kind = journey.cases(log)["kind"].to_numpy()  # of the customer, from what came before the case's search for help
    return {
        "calibration": scores.calibration(rows),
        "gain": scores.gain(rows, seed=seed),
        "by_stage": judging.by_stage(rows, log.stages, seed),
        "by_age": judging.by_age(rows, features["time.elapsed_h"].to_numpy(), seed),
        "by_month": judging.by_month(rows, log.timezone),
        "by_segment": judging.by_segment(rows, judging.segments_of(rows, features, kind), seed),
        "drift": judging.drift(kept.looks, features, rows["weight"].to_numpy(), rows["case"].to_numpy()),
        "ece_if_perfect": scores.ece_if_perfect(rows, seed),
        "overall": scores.observed(rows),
    }


def utc(at: int) -> pd.Timestamp:
    return pd.Timestamp(at, unit="us", tz="UTC")


def described(log: eventlog.EventLog, dataset: Dataset) -> dict[str, object]:
    """Name, fingerprint, period and size of the data set."""
    period = {"from": utc(log.observed_from), "until": utc(log.observed_until)}
    size = {"touches": log.n_touches, "cases": log.n_cases, "customers": len(log.customer_key)}
    return {"name": dataset.settings.name, "fingerprint": dataset.fingerprint} | period | size


def told(
    dataset: Dataset, target: str | None, horizon: str | None, wanted: Collection[str] = ()
) -> tuple[eventlog.EventLog, Moments]:
    """The log whose escalation stage is the target, and what was known at each of its moments."""
    dataset = as_known(dataset)
    if overdue.is_asked(dataset, target):
        return overdue.tickets_due(dataset, horizon or overdue.WITHIN, wanted)
    log = aimed(eventlog.compile(dataset), target)
    return log, moments(log, dataset, wanted)


def aimed(log: eventlog.EventLog, target: str | None) -> eventlog.EventLog:
    """The log with the stage that is forecast as its escalation stage."""
    if target is None:
        return log
    allowed = log.stages[log.problem_from + 1 :]
    if target not in allowed:
        raise DataError(f"target={target} is no stage that can be forecast: {nearest(target, allowed)}")
    return replace(log, escalation=log.stages.index(target))


def at_split(log: eventlog.EventLog, known: Moments, split: float) -> pd.DataFrame:
    """The moments with split_at, escalated_at (of the case), is_training and is_test."""
    keys = known.keys
    if not len(keys):
        return keys.assign(split_at=0, escalated_at=np.nan, is_training=False, is_test=False)
    began = np.sort(keys.groupby("case")["began"].first().to_numpy())
    split_at = began[min(int(np.ceil(split * len(began))), len(began) - 1)]
    is_newer = keys["began"] >= split_at
    return keys.assign(
        split_at=split_at,
        escalated_at=escalated_at(log, keys),
        is_training=keys["at_risk"] & ~is_newer & (keys["at"] < split_at),
        is_test=keys["at_risk"] & is_newer,
    )


def escalated_at(log: eventlog.EventLog, keys: pd.DataFrame) -> pd.Series:
    """When the case of each moment first reached the escalation stage, in microseconds; missing where it never did."""
    at = called_at(log)[keys["case"]]
    return pd.Series(np.where(np.isfinite(at), at, np.nan), keys.index)


def still_waiting(log: eventlog.EventLog, keys: pd.DataFrame) -> pd.DataFrame:
    """The newest moment of prediction of each case that is open at the end of the data and has not escalated."""
    last = keys.drop_duplicates("case", keep="last").set_index("case")["is_open"]
    rows = keys[keys["at_risk"]].drop_duplicates("case", keep="last")
    escalated = np.unique(log.case_of_touch[log.stage == log.escalation])
    still = rows["case"].map(last) & np.asarray(log.case_open)[rows["case"]] & ~rows["case"].isin(escalated)
    return rows[still.astype(bool)]


def counted(
    log: eventlog.EventLog, keys: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame, waiting: pd.DataFrame
) -> dict[str, int]:
    """Cases and rows on both sides of the split, and what is still open."""
    counts = {"touches": len(keys), "waiting": len(waiting)}
    for name, part in (("training", train), ("held_out", test)):
        told = part[part["weight"] > 0]
        yes = told.groupby("case")["label"].max().astype(bool)
        counts |= {f"{name}_cases": len(yes), f"{name}_escalated": int(yes.sum()), f"{name}_rows": len(told)}
        counts[f"{name}_unknown"] = len(part) - len(told)
        still = np.asarray(log.case_open)[yes.index.to_numpy(dtype=int)] & ~yes.to_numpy()
        counts[f"{name}_open"] = int(still.sum())
    return counts


BOTH = {"training": "the older cases", "held_out": "the newer, held-out cases"}


def too_few(log: eventlog.EventLog, counts: Mapping[str, int], sides: Mapping[str, str], so: str) -> str:
    """Why no model can be fitted and judged, in one line; empty if it can."""
    for name, words in sides.items():
        yes, n = counts[f"{name}_escalated"], counts[f"{name}_cases"]
        if min(yes, n - yes) < ENOUGH:
            return (
                f"{yes} of {n} of {words} that can be predicted reached {log.stages[log.escalation]}: "
                f"at least {ENOUGH} with and {ENOUGH} without are needed, so {so}"
            )
    return ""


def _unwatched(horizon: str | None, counts: Mapping[str, int]) -> str:
    """Why a horizon cannot be judged by the held-out moments, in one line."""
    unknown = counts["held_out_unknown"]
    return (
        f"horizon={horizon} is {TOO_LONG}: {unknown:,} of {unknown + counts['held_out_rows']:,} held-out moments were not "
        "watched so long, so no model is fitted; ask for a shorter one"
    )


def with_chances(waiting: pd.DataFrame, kept: Forecaster, known: Moments, log: eventlog.EventLog) -> pd.DataFrame:
    """The open cases with the chance at their newest touch, and that at the end of the data, after the silence since."""
    then = kept.model.chance(known.features.loc[waiting.index])
    silent = np.maximum(0, log.observed_until - waiting["at"].to_numpy())
    now = after_silence(then, waiting["stage"].to_numpy(), silent, kept.past)
    return waiting.assign(chance_then=then, chance=corrected(now, kept.correction[0]))


def _silences(log: eventlog.EventLog, train: pd.DataFrame, split_at: int) -> pd.DataFrame:
    gap = listed_for(log, split_at)
    return train[["stage", "chance", "label", "weight"]].assign(gap=gap[train.index]).reset_index(drop=True)


def _to_list_again(log: eventlog.EventLog, rows: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """The held-out moments with what `expected.correction_of` asks for."""
    wait = (test["escalated_at"] - test["at"]).where(test["label"])
    return rows.assign(gap=listed_for(log, log.observed_until)[rows.index], wait=wait)


def nothing(
    log: eventlog.EventLog, counts: Mapping[str, int], split_at: pd.Timestamp | None, horizon: str | None, why_not: str
) -> Escalation:
    """The result where no model can be fitted: n, and empty values."""
    n = {"n": counts["held_out_cases"], "n_rows": counts["held_out_rows"]}
    none = pd.DataFrame()
    return Escalation(
        table=pd.DataFrame(columns=ROW),
        metrics={metric: UNKNOWN | n for metric in METRICS},
        scores=pd.DataFrame([{"model": "logistic", "metric": metric} | UNKNOWN | n for metric in METRICS]),
        choice=None,
        calibration=none,
        gain=none,
        by_stage=none,
        by_age=none,
        by_month=none,
        drift=none,
        counts=counts,
        escalation=log.stages[log.escalation],
        horizon=horizon,
        split_at=split_at,
        ece_if_perfect=np.nan,
        overall={},
        why_not=why_not,
        people=gazetteer({}),
        waiting=pd.DataFrame(columns=[*ROW, "chance_then"]),
        waiting_features=none,
        kept=None,
    )
