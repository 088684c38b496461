"""Acting on the forecast in sentences: what it saves, for whom it holds, and what a step to the left changes."""

from __future__ import annotations

import re

import pandas as pd

from cxlib.escalation import Decision, Escalation, Review, Within, health, label_of
from cxlib.escalation.steps import GAINS, NO_STEP, said_effect
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import between, count, decimal, percent, plural, share_with_interval


def say_decision(result: Escalation, decision: Decision, review: Review) -> str:
    """From which chance on a review pays, what that saves beside plain policies, and how many cases that is today."""
    if result.kept is None:
        return f"Nothing to decide on: {escape(result.why_not)}."
    whom = escape(result.escalation)
    costs = (
        f"At {money(decision.cost_call)} for a case that reaches {whom}, {money(decision.cost_review)} for a review and "
        f"{percent(decision.averted)} of the reviewed escalations averted"
    )
    if decision.threshold >= 1:
        return (
            f"**{costs}, no review pays**: it costs more than what it averts on average, even of a case that is sure to reach "
            f"{whom}."
        )
    pays = f"**{costs}, a review pays from a chance of {percent(decision.threshold)} on.**"
    return " ".join(filter(None, (pays, _held_out(decision), _now(decision, review), _assumed(decision, review))))


def say_worth(decision: Decision, review: Review) -> str:
    """How many of the open cases are worth a review, in one sentence for the first screen."""
    if not review.n_waiting:
        return ""
    if decision.threshold >= 1 or not decision.capacity:
        return "At the costs given, none of them is worth a review."
    first = f"the first **{count(decision.capacity)}** are" if decision.capacity > 1 else "only the first is"
    return f"At the costs given {first} worth a review: it pays from a chance of {percent(decision.threshold)} on."


def money(x: float) -> str:
    """An amount in whatever unit the costs have.

    >>> money(14.0), money(1234.5), money(-0.256), money(10.785)
    ('14', '1,230', '-0.26', '10.8')
    """
    if abs(x) < 1:
        return f"{x:.2f}".rstrip("0").rstrip(".") if round(x, 2) else "0"
    return f"{float(f'{x:.3g}'):,.10g}"


def _held_out(decision: Decision) -> str:
    """What acting on the forecast would have saved among the held-out cases, beside the best plain policy."""
    if decision.at_costs.empty:
        return ""
    rows = decision.at_costs.set_index("policy")
    ours, others = rows.loc["forecast"], rows.drop("forecast")
    best = others["saving"].idxmax()
    clear = "clearly" if (others["gain_low"] > 0).all() else "not clearly"
    row = others.loc[best]
    return (
        f"On the held-out cases, reviewing {percent(ours['reviewed'])} of the moments, those from there on, would have saved "
        f"**{money(ours['saving'])} per 100 of these cases** (95 %: {money(ours['low'])} to {money(ours['high'])}, n = "
        f"{plural(ours['n'], 'case')}); reviewing all {money(others.loc['review all', 'saving'])}, the best plain policy "
        f"({best}) {money(row['saving'])}. The forecast saves {clear} more than these ({money(row['gain'])} more than the "
        f"best, 95 %: {money(row['gain_low'])} to {money(row['gain_high'])}). On these cases the "
        f"saving is greatest where {percent(decision.best)} of the moments are reviewed (95 %: "
        f"{between(decision.best_low, decision.best_high)})."
    )


def _now(decision: Decision, review: Review) -> str:
    """How many of the open cases are worth a review, beside the capacity."""
    n = review.n_waiting
    if not n:
        return ""
    today, reviewed = decision.today, min(review.capacity, n)
    if not decision.capacity:
        return f"Of the {plural(n, 'case')} open now, none has such a chance."
    said = (
        f"Of the {plural(n, 'case')} open now, the first **{count(decision.capacity)}** have such a chance, after the silence "
        f"since their newest touch: reviewing them is expected to save {_saved(today, decision.capacity)}"
    )
    same = reviewed == decision.capacity
    return f"{said}{'' if same else f'; reviewing the first {count(reviewed)}, {_saved(today, reviewed)}'}."


def _saved(today: pd.DataFrame, n: int) -> str:
    row = today.iloc[n]
    return f"{money(row['saving'])} (95 %: {money(row['low'])} to {money(row['high'])}, if the chances hold)"


def _assumed(decision: Decision, review: Review) -> str:
    """How large the assumed share has to be for the capacity to pay."""
    caveat = "The share averted is assumed, not measured: only a trial tells it."
    if not review.expected:
        return caveat
    least = decision.cost_review * len(review.table) / (decision.cost_call * review.expected)
    listed = f"Reviewing the {plural(len(review.table), 'open case')} listed"
    if least > 1:
        return f"{listed} does not pay even if every escalation among them were averted. {caveat}"
    return f"{listed} pays if at least {percent(least)} of the escalations among them are averted. {caveat}"


def say_for_whom(result: Escalation) -> str:
    """For which segments the forecast is blind, ranks worse, or is wrong on the whole."""
    if result.why_not:
        return f"Nothing to show: {escape(result.why_not)}."
    table = result.by_segment
    if table.empty:
        return "No column divides the cases into segments that are large enough to judge."
    few = int(table["auc"].isna().sum())
    judged = (
        f"{plural(len(table), 'segment')} of {plural(table['column'].nunique(), 'column')} are large enough to look at"
        f"{f' ({count(few)} have too few escalations to judge the ranking)' if few else ''}."
    )
    odd = table[~table["verdict"].isin(["as elsewhere", "too few"])]
    if len(odd):
        said = "; ".join(_odd(row) for row in odd.itertuples())
        return f"{judged} **Clear at a false discovery rate of 5 %:** {said}."
    none = (
        "In none does the forecast rank clearly worse than on the whole, nor is its mean chance clearly off (false discovery "
        "rate 5 %)."
    )
    known = table.dropna(subset=["auc"])
    if known.empty:
        return f"{judged} {none}"
    row = known.loc[known["auc"].idxmin()]
    lowest = f"{decimal(row['auc'])} (95 %: {decimal(row['auc_low'])}-{decimal(row['auc_high'])}) for {_named(row)}"
    return f"{judged} {none} The lowest AUC is {lowest}."


def _named(row) -> str:  # type: ignore[no-untyped-def]
    return f"{escape(row.column)} {escape(row.segment)} (n = {plural(row.n, 'case')})"


def _odd(row) -> str:  # type: ignore[no-untyped-def]
    auc = f"AUC {decimal(row.auc)} (95 %: {decimal(row.auc_low)}-{decimal(row.auc_high)}), " if not pd.isna(row.auc) else ""
    seen = share_with_interval(pd.Series({"share": row.share, "low": row.low, "high": row.high}))
    return f"{_named(row)}: {row.verdict} ({auc}mean chance {percent(row.mean_chance)}, observed {seen})"


_KEPT = "Not asked of a forecast that is kept, since it would have to learn anew."


def say_by_horizon(table: pd.DataFrame, escalation: str) -> str:
    """What it changes within how long an escalation must come."""
    if table.empty:
        return _KEPT
    known, left = table[table["auc"].notna()], table[table["auc"].isna()]
    if known.empty:
        return f"No way to count can be judged: {escape(table['why'].iloc[0])}."
    parts = [_horizon(row) for row in known.itertuples()]
    skipped = "; ".join(f"{escape(_counted(row.horizon))}: {row.why}" for row in left.itertuples())
    return (
        f"Reached {escape(escalation)}: {'; '.join(parts)}. Each has its own logistic regression, judged under its own "
        f"label, so the AUCs answer different questions.{f' Not judged: {skipped}.' if skipped else ''}"
    )


def _counted(horizon: str) -> str:
    """A way to count.

    >>> _counted("none"), _counted("3d")
    ('by the end of the data', 'within 3 days')
    """
    return "by the end of the data" if horizon == "none" else f"within {spelled(horizon)}"


def _horizon(row) -> str:  # type: ignore[no-untyped-def]
    within = escape(_counted(row.horizon))
    share = share_with_interval(pd.Series({"share": row.share, "low": row.low, "high": row.high}))
    unknown = f", {plural(row.unknown, 'moment')} not watched so long" if row.unknown else ""
    auc = f"AUC {decimal(row.auc)} (95 %: {decimal(row.auc_low)}-{decimal(row.auc_high)})"
    return f"{within} {share} of the held-out moments, {auc}, n = {plural(row.n, 'case')}{unknown}"


def say_within(found: Within | None, escalation: str) -> str:
    """Within how long, by one model of all spans? None: it was not asked, since the forecast is a kept one."""
    if found is None:
        return _KEPT
    if found.why_not:
        return f"{found.why_not[:1].upper()}{found.why_not[1:]}."
    rows = found.table.dropna(subset=["share"])
    if rows.empty:
        return "No held-out moment was watched through any of the spans."
    said = "; ".join(
        f"within {spelled(row.within)} {percent(row.mean_chance)} forecast, {share_with_interval(row)} observed "
        f"(n = {count(row.n)})"
        for _, row in rows.iterrows()
    )
    off = [spelled(row.within) for row in rows.itertuples() if not row.low <= row.mean_chance <= row.high]
    held = "The forecast lies inside the interval each time." if not off else f"It lies outside for {' and '.join(off)}."
    return f"Of the held-out moments, reached {escape(escalation)}: {said}. {held}"


def say_replay(probe: pd.DataFrame) -> str:
    """Did any feature see the future, when the past was replayed?"""
    off = probe[probe["n_differ"] > 0]
    compared = f"{plural(probe['n'].max(), 'moment')} were looked at again in the data as it was then"
    if off.empty:
        return f"{compared}, without anything that came later: none of {len(probe)} features differs at these cuts."
    named = "; ".join(
        f"{escape(label_of(row.feature))} at {plural(row.n_differ, 'moment')}" for row in off.head(5).itertuples()
    )
    return (
        f"{compared}, without anything that came later: **{len(off)} of {len(probe)} features differ** ({named}). They know "
        "something that was not known yet, so the forecast looks better than it is."
    )


def say_step(review: Review) -> str:
    """What the suggested step rests on, and what was looked at without proof."""
    step = review.step
    if step is None:
        return "No step is suggested: it is not known what ending one stage further left changes."
    source, target = escape(step.source), escape(step.target)
    pair = f"ending at {target} instead of {source}"
    rest = "It is the mean over closed cases that ended there (notebook 4), and says nothing of a single case."
    if not step.is_supported:
        looked = plural(step.asked, "outcome")
        return f"Of {looked} looked at, none is proven to get better by {pair}, so no step is suggested. {rest}"
    said = ", ".join(said_effect(row.outcome, row.effect, row.low, row.high) for row in step.proven.itertuples())
    n = step.proven.iloc[0]
    others = [name for name in GAINS if name not in set(step.proven["outcome"])]
    open_ = f" Not proven to change: {', '.join(others)}." if others else ""
    pays = f" with a chance of at least {percent(step.threshold)}" if step.threshold else ""
    n_listed, n_step = len(review.table), int((review.table["step_left"] != NO_STEP).sum())
    return (
        f"A step left is suggested for **{count(n_step)} of {plural(n_listed, 'listed case')}**: those now at {target}{pays}. "
        f"They can be settled there instead of going on to {source}. By {pair}, cases changed by {said} (in brackets the "
        f"95 % interval, widened for what may stay hidden; n = {count(n['n_source'])} and {count(n['n_target'])})."
        f"{open_} {rest}"
    )


def say_health(result: Escalation) -> str:
    """Does the forecast still hold on cases that it has not seen?"""
    table = health(result)
    verdicts = table["verdict"].tolist()
    if "too few" in verdicts:
        return "Too few cases began since the forecast was fitted to say how it does."
    moved, watch = ("; ".join(escape(name) for name in table.loc[table["verdict"] == v, "what"]) for v in ("moved", "watch"))
    watched = f" To be watched: {watch}." if watch else ""
    same = " No case began since it was fitted: these are the ones it was judged by then." if "same cases" in verdicts else ""
    on = f"On {plural(table['n'].iloc[0], 'case')} that it has not seen"
    if moved:
        return f"{on}, this has moved since training: {moved}.{watched}{same} The forecast should learn again."
    return f"{on}, the forecast holds{'.' if watch else ': nothing has clearly moved since training.'}{watched}{same}"


def say_card(result: Escalation) -> str:
    """The forecast's card, folded."""
    text = re.sub(r"^#+ (.+)$", r"**\1**", result.card(), flags=re.MULTILINE)
    return f"<details><summary>Show the card</summary>\n\n{text}\n</details>"
