"""The forecast in sentences."""

from __future__ import annotations

import pandas as pd

from cxlib.escalation import Escalation, Review
from cxlib.redact import escape
from cxlib.words.numbers import between, count, decimal, percent, plural, share_with_interval


def say_escalation(result: Escalation, review: Review) -> str:
    """Whom a review of the open cases would meet, and how good the forecast was on newer cases."""
    if result.why_not:
        return f"**No forecast can be made.** {escape(result.why_not)}."
    scored, whom = result.metrics["auc"], escape(result.escalation)
    return (
        f"{_met(result, review)} On the newest cases, held out from training, the forecast ranks a case that reached {whom} "
        f"above one that did not {percent(scored['value'])} of the time: AUC {_with_interval(scored)}, "
        f"n = {plural(scored['n'], 'case')} (guessing: 0.50; from a case's first "
        f"moment alone: {decimal(result.metrics['auc_first_row']['value'])}). "
        f"The mean squared error of its chances (Brier) is {_with_interval(result.metrics['brier'], 3)}, that of the base rate "
        f"{decimal(_metric(result, 'base rate', 'brier')['value'], 3)}."
    )


def _met(result: Escalation, review: Review) -> str:
    if not review.n_waiting:
        return "**No case is open at the end of the data**, so there is none to review."
    met = f"{_about(review.expected)} ({_about(review.low)}-{_about(review.high)}) of the {_about(review.expected_all)}"
    return f"**Review {_of_open(review)} and meet about {met} that are expected to reach {escape(result.escalation)}.**"


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
    table = result.table
    return table[(table["model"] == model) & (table["metric"] == metric)].iloc[0]


def say_scored(result: Escalation) -> str:
    """What was learned from what, and what was scored."""
    n, reached = result.counts, f"reached {escape(result.escalation)}"
    split = f" on {result.split_at.day} {result.split_at:%B %Y}" if result.split_at is not None else ""
    still = plural(n["held_out_open"], "held-out case is", "held-out cases are")
    return (
        f"Learned from {plural(n['training_rows'], 'moment')} of {plural(n['training_cases'], 'case')}, of which "
        f"{count(n['training_escalated'])} had {reached} by the split{split}; scored on "
        f"{plural(n['held_out_rows'], 'moment')} of {plural(n['held_out_cases'], 'newer case')}, of which "
        f"{count(n['held_out_escalated'])} {reached} by the end of the data. {still} still open then and "
        "counted as not escalated so far."
    )


def say_models(result: Escalation) -> str:
    """Boosting beside logistic regression and the base rate."""
    if result.why_not:
        return _none(result)
    models = [
        (name, _metric(result, name, "auc"), _metric(result, name, "pr_auc")) for name in ("boosting", "logistic", "base rate")
    ]
    said = "; ".join(f"{name} {_with_interval(auc)}, PR-AUC {decimal(pr['value'])}" for name, auc, pr in models)
    return (
        f"AUC: {said}. The intervals are by customer and hold the model fixed: overlap does not mean that two models are equal."
    )


def say_gain(result: Escalation, review: Review) -> str:
    """What a review of this capacity would have caught among the held-out moments."""
    if result.why_not:
        return _none(result)
    of, share = "open cases" if review.n_waiting else "held-out cases", percent(review.reviewed)
    return (
        f"{plural(review.capacity, 'case is', 'cases are')} {share} of the {of}. Reviewing that share of the held-out moments, "
        f"highest chances first, would have caught **{percent(review.caught)}** (95 %: "
        f"{between(review.caught_low, review.caught_high)}) of those that reached {escape(result.escalation)}; choosing at "
        f"random catches {share}. Of those reviewed, {percent(review.precision)} escalated, against "
        f"{percent(result.overall['share'])} of all."
    )


def say_reliability(result: Escalation) -> str:
    """Whether a chance means what it says."""
    if result.why_not:
        return _none(result)
    bins, overall = result.calibration, result.overall
    return (
        f"The mean chance was {percent(overall['mean_chance'])}, and {share_with_interval(pd.Series(overall))} escalated. In "
        f"{count(bins['holds'].sum())} of {plural(len(bins), 'group')} of equal weight the interval of the observed "
        f"share holds the mean chance; on average the two are {100 * result.ece:.1f} percentage points apart (expected "
        f"calibration error, n = "
        f"{plural(overall['n'], 'case')})."
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
    if result.why_not:
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
    """The list for people: case, stage, newest touch, chance then and now, why. A DataFrame escapes what it shows itself."""
    shown = review.table
    table = pd.DataFrame(
        {
            "case": shown["case_id"],
            "stage": shown["stage"],
            "newest touch": shown["since"].dt.tz_convert(timezone).dt.strftime("%Y-%m-%d %H:%M"),
            "chance then": shown["chance_then"].map(percent),
            "chance now": shown["chance"].map(percent),
            "why": shown["reasons"],
        }
    )
    return table.set_index(shown["rank"])


def _none(result: Escalation) -> str:
    return f"Nothing to show: {escape(result.why_not)}."
