"""The forecast in sentences."""

from __future__ import annotations

import pandas as pd

from cxlib.escalation import Choice, Escalation, Review, label_of
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import between, count, decimal, percent, plural, share_with_interval


def say_escalation(result: Escalation, review: Review) -> str:
    """Whom a review of the open cases would meet, and how good the forecast was on newer cases."""
    if result.kept is None:
        return f"**No forecast can be made.** {escape(result.why_not)}."
    if result.why_not:
        return f"{_met(result, review)} How good the forecast is here is not known: {escape(result.why_not)}."
    scored, whom = result.metrics["auc"], f"{escape(result.escalation)}{_within(result)}"
    return (
        f"{_met(result, review)} On the newest cases, held out from training, the forecast ranks a moment whose case reached "
        f"{whom} above one whose case did not {percent(scored['value'])} of the time: AUC {_with_interval(scored)}, "
        f"n = {plural(scored['n'], 'case')} (guessing: 0.50; from a case's first "
        f"moment alone: {decimal(result.metrics['auc_first_row']['value'])})."
    )


def _met(result: Escalation, review: Review) -> str:
    if not review.n_waiting:
        return "**No case is open at the end of the data**, so there is none to review."
    n, whom = f"{_about(review.expected)} of the {_about(review.expected_all)}", escape(result.escalation)
    when = f"{_within(result)} of their newest touch" if result.horizon else ""
    seen = f"in 95 of 100 such lists {count(review.low)} to {count(review.high)} of those reviewed will"
    return f"**Review {_of_open(review)} and meet about {n} that are expected to reach {whom}{when}** ({seen})."


def _about(n: float) -> str:
    """An expected number of cases.

    >>> _about(0.0), _about(2.42), _about(27.1)
    ('0', '2.4', '27')
    """
    return f"{n:.1f}" if 0 < n < 10 else f"{n:.0f}"


def _of_open(review: Review) -> str:
    n = len(review.table)
    return (
        f"all {plural(n, 'open case')}" if n == review.n_waiting else f"{count(n)} of {plural(review.n_waiting, 'open case')}"
    )


def _with_interval(score, digits: int = 2) -> str:
    return f"{decimal(score['value'], digits)} (95 %: {decimal(score['low'], digits)}-{decimal(score['high'], digits)})"


def _metric(result: Escalation, model: str, metric: str) -> pd.Series:
    table = result.scores
    return table[(table["model"] == model) & (table["metric"] == metric)].iloc[0]


def say_scored(result: Escalation) -> str:
    """What was learned from what, and what was scored."""
    n, reached = result.counts, f"reached {escape(result.escalation)}{_within(result)}"
    split = f" on {result.split_at.day} {result.split_at:%B %Y}" if result.split_at is not None else ""
    still = plural(n["held_out_open"], "held-out case is", "held-out cases are")
    if result.kept is not None and result.choice is None:
        learned = f"Learned earlier from cases before the split{split}, as kept from {escape(_short(result.kept.trained_on))}"
    else:
        learned = (
            f"Learned from {plural(n['training_rows'], 'moment')} of {plural(n['training_cases'], 'case')}, of which "
            f"{count(n['training_escalated'])} had {reached} by the split{split}"
        )
    said = (
        f"{learned}; scored on "
        f"{plural(n['held_out_rows'], 'moment')} of {plural(n['held_out_cases'], 'newer case')}, of which "
        f"{count(n['held_out_escalated'])} {reached} by the end of the data. "
    )
    if result.horizon is None:
        return said + f"{still} still open then and counted as not escalated so far."
    unknown = n["training_unknown"] + n["held_out_unknown"]
    return said + (
        f"Of {plural(unknown, 'moment')} more it is not yet known, since they were not watched for "
        f"{escape(spelled(result.horizon))}: others that were watched as long speak for them."
    )


def _short(trained_on: str) -> str:
    """A data set's name and the beginning of its fingerprint.

    >>> _short("Demo company " + "ab" * 32)
    'Demo company (data abababab)'
    """
    name, _, fingerprint = trained_on.rpartition(" ")
    return f"{name} (data {fingerprint[:8]})"


def _within(result: Escalation) -> str:
    return "" if result.horizon is None else f" within {escape(spelled(result.horizon))}"


def say_models(result: Escalation) -> str:
    """The model used, why it, and the other one and plain rules beside it."""
    if result.why_not:
        return _none(result)
    names = list(dict.fromkeys(result.scores["model"]))
    models = [(name, _metric(result, name, "auc"), _metric(result, name, "pr_auc")) for name in names]
    said = "; ".join(f"{name} {_with_interval(auc)}, PR-AUC {decimal(pr['value'])}" for name, auc, pr in models)
    base = decimal(_metric(result, "base rate", "brier")["value"], 3)
    return (
        f"{_used(result)} On the held-out cases, AUC: {said}. The mean squared error of the chances used (Brier) is "
        f"{_with_interval(result.metrics['brier'], 3)}, that of the base rate {base}. The intervals are by customer and hold "
        "the model fixed: overlap does not mean that two models are equal."
    )


def _used(result: Escalation) -> str:
    """Which model is used: that of a kept forecast as it is, or the one that was chosen."""
    if result.choice is not None:
        return _why(result.choice)
    kept = result.kept
    assert kept is not None
    return (
        f"The **{kept.model.kind}** model of the kept forecast is used as it is; when it was fitted, its AUC was "
        f"{decimal(kept.auc)} on {plural(kept.n, 'case')}."
    )


def _why(choice: Choice) -> str:
    """Which model is used and what spoke for it."""
    used = "**Boosting** is used" if choice.model.kind == "boosting" else "**Logistic regression** is used"
    if choice.table.empty:
        return f"{used}: there are too few older cases to compare it with boosting on."
    gain, n = choice.gain, plural(len(choice.table), "time")
    verb = "saved" if gain["value"] > 0 else "cost"
    clear = "clearly" if gain["low"] > 0 or gain["high"] < 0 else "not clearly"
    repair = " Its log odds are shifted and stretched, since that was clearly better on the newest of them."
    repaired = repair if choice.repaired else ""
    return (
        f"{used}: asked {n} about cases later than those it had learned from, boosting {verb} "
        f"{decimal(abs(gain['value']), 4)} of log loss against logistic regression, {clear} (saved, 95 %: "
        f"{decimal(gain['low'], 4)} to {decimal(gain['high'], 4)})."
        f"{repaired}"
    )


def say_gain(result: Escalation, review: Review) -> str:
    """What a review of this capacity would have caught among the held-out moments."""
    if result.why_not:
        return _none(result)
    of, share = "open cases" if review.n_waiting else "held-out cases", percent(review.reviewed)
    return (
        f"{plural(review.capacity, 'case is', 'cases are')} {share} of the {of}. Among the held-out moments, reviewing that "
        f"share, highest chances first, would have caught **{percent(review.caught)}** (95 %: "
        f"{between(review.caught_low, review.caught_high)}) of those whose case reached "
        f"{escape(result.escalation)}{_within(result)}, {_lift(review)} times as many as at random. Of the moments reviewed, "
        f"{percent(review.precision)} escalated, against {percent(result.overall['share'])} of all."
    )


def _lift(review: Review) -> str:
    value, low, high = review.lift
    return _with_interval({"value": value, "low": low, "high": high})


def say_reliability(result: Escalation) -> str:
    """Whether a chance means what it says."""
    if result.why_not:
        return _none(result)
    bins, overall = result.calibration, result.overall
    return (
        f"The mean chance was {percent(overall['mean_chance'])}, and {share_with_interval(pd.Series(overall))} escalated. In "
        f"{count(bins['holds'].sum())} of {plural(len(bins), 'group')} of equal weight the interval of the observed "
        f"share holds the mean chance; on average the two are {100 * result.ece:.1f} percentage points apart (expected "
        f"calibration error, n = {plural(overall['n'], 'case')}; if the chances were right it would be "
        f"{100 * result.ece_if_perfect:.1f}). Log odds would have to be stretched {_with_interval(result.metrics['slope'])} "
        "times to fit best (1: not at all)."
    )


def say_by_stage(result: Escalation) -> str:
    """Where in the journey the forecast ranks well."""
    known = result.by_stage.dropna(subset=["value"]) if not result.why_not else pd.DataFrame()
    if result.why_not:
        return _none(result)
    if known.empty:
        return "At no single stage are there enough cases to judge."
    parts = [f"{escape(row.stage)} {_with_interval(row._asdict())} (n = {plural(row.n, 'case')})" for row in known.itertuples()]
    left = len(result.by_stage) - len(known)
    return f"AUC among the moments at one stage: {'; '.join(parts)}." + (
        f" {plural(left, 'stage')} with too few cases left out." if left else ""
    )


def say_by_age(result: Escalation) -> str:
    """How early the forecast sees it coming."""
    if result.why_not:
        return _none(result)
    known = result.by_age.dropna(subset=["value"])
    if known.empty:
        return "At no age are there enough cases to judge."
    parts = [f"{_hours(row)} {_with_interval(row._asdict())} (n = {plural(row.n, 'case')})" for row in known.itertuples()]
    return f"AUC by the age of the case: {'; '.join(parts)}."


def _hours(row) -> str:  # type: ignore[no-untyped-def]
    """The age of some moments.

    >>> from types import SimpleNamespace
    >>> _hours(SimpleNamespace(from_h=2.5, to_h=float("inf"))), _hours(SimpleNamespace(from_h=0, to_h=2.5))
    ('from 2.5 hours on', 'up to 2.5 hours')
    """
    if row.to_h == float("inf"):
        return f"from {row.from_h:.2g} hours on"
    return f"up to {row.to_h:.2g} hours" if row.from_h == 0 else f"{row.from_h:.2g} to {row.to_h:.2g} hours"


def say_drift(result: Escalation) -> str:
    """Which features look other than in training."""
    if result.why_not:
        return _none(result)
    moved = result.drift[result.drift["verdict"] != "steady"]
    of = f"{plural(len(result.drift), 'feature')} (n = {plural(result.drift['n'].max(), 'case')})"
    if moved.empty:
        return f"None of {of} looks clearly other than in training (population stability index beyond chance, marks at 0.1)."
    names = [f"{escape(label_of(row.feature))} {decimal(row.psi)}" for row in moved.head(3).itertuples()]
    worst = "has moved: the model should learn again" if (moved["verdict"] == "moved").any() else "is to be watched"
    return (
        f"{count(len(moved))} of {of} {'looks' if len(moved) == 1 else 'look'} clearly other than in training (population "
        f"stability index beyond chance: {'; '.join(names)}; 0.1 is to be watched, 0.25 has moved). The first {worst}."
    )


def say_by_month(result: Escalation) -> str:
    """Whether forecast and outcome part as time goes on."""
    if result.why_not:
        return _none(result)
    table = result.by_month
    apart = table[(table["mean_chance"] < table["low"]) | (table["mean_chance"] > table["high"])]
    if apart.empty:
        return f"In each of {plural(len(table), 'month')} the forecast lies within the interval of what was observed."
    row = apart.iloc[0]
    return (
        f"In {count(len(apart))} of {plural(len(table), 'month')} the forecast lies outside the interval of what was observed, "
        f"first in {escape(row['month'])}: {percent(row['mean_chance'])} forecast, {share_with_interval(row)} observed."
    )


def say_review(result: Escalation, review: Review) -> str:
    """How many cases are open, and how the list reads."""
    if result.kept is None:
        return _none(result)
    if not review.n_waiting:
        return "No case is open at the end of the data: the list is empty."
    top = review.table.iloc[0]
    return (
        f"{plural(review.n_waiting, 'case is', 'cases are')} open at the end of the data and not yet at "
        f"{escape(result.escalation)}. First comes case {escape(top['case_id'])}, now at {escape(top['stage'])}, "
        f"with a chance of {percent(top['chance'])}: {escape(top['reasons'])}."
    )


def review_table(review: Review, timezone: str = "UTC") -> pd.DataFrame:
    """The list for people: case, stage, newest touch, chances, why, step left. A DataFrame escapes what it shows itself."""
    shown = review.table
    table = pd.DataFrame(
        {
            "case": shown["case_id"],
            "stage": shown["stage"],
            "newest touch": shown["since"].dt.tz_convert(timezone).dt.strftime("%Y-%m-%d %H:%M"),
            "chance then": shown["chance_then"].map(percent),
            "chance now": shown["chance"].map(percent),
            "why": shown["reasons"],
            "step left": shown["step_left"],
        }
    )
    return table.set_index(shown["rank"])


def _none(result: Escalation) -> str:
    return f"Nothing to show: {escape(result.why_not)}."
