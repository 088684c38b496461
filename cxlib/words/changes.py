"""Local and global, what a change is made of, and segments in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from cxlib.journey import Change, MatrixDiff, Scorecard, Segments
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import calendar, count, decimal, percent, plural

MOST = 3  # how many of a long list are named


def amount(value: float, unit: str) -> str:
    """A value in its unit.

    >>> amount(0.0843, "share"), amount(271.2, "seconds"), amount(93.6, "per 1,000"), amount(-0.104, "-1 to 1")
    ('8.4 %', '271 seconds', '93.6', '-0.104')
    """
    if math.isnan(value):
        return "unknown"
    if unit == "share":
        return percent(value)
    return {"seconds": f"{value:,.0f} seconds", "per 1,000": decimal(value, 1)}.get(unit, decimal(value, 3))


def difference(value: float, low: float, high: float, unit: str) -> str:
    """A difference with its interval, signs shown; shares in percentage points.

    >>> difference(0.0243, 0.0166, 0.032, "share")
    '+2.4 points (95 %: +1.7 to +3.2)'
    """
    digits = {"share": 1, "seconds": 0, "per 1,000": 1}.get(unit, 3)
    if unit == "share" and abs(value) < 0.00995:
        digits = 2 if abs(value) >= 0.000995 else 3
    scale, noun = (100, " points") if unit == "share" else (1, " seconds" if unit == "seconds" else "")
    said = [_signed(scale * x, digits) for x in (value, low, high)]
    return f"{said[0]}{noun}" + ("" if math.isnan(low) or math.isnan(high) else f" (95 %: {said[1]} to {said[2]})")


def _signed(x: float, digits: int) -> str:
    """A number with its sign, and none for what rounds to nothing.

    >>> _signed(-75.8, 0), _signed(-0.0004, 2), _signed(float("nan"), 1)
    ('-76', '0', 'unknown')
    """
    if math.isnan(x):
        return "unknown"
    return f"{x:+,.{digits}f}" if round(x, digits) else "0"


def say_scorecard(card: Scorecard) -> str:
    """Where a stage looks better while the whole gets worse, and how the newest period stands."""
    if card.table.empty:
        return f"No case is old enough to be counted: {plural(card.n_immature, 'case')} began too late or there are none."
    said = [_flags(card), _newest(card)]
    young = (
        f"{plural(card.n_immature, 'case')} began less than {spelled(card.within)} plus 7 days before the end and "
        f"{'is' if card.n_immature == 1 else 'are'} not counted."
    )
    said += [young] * bool(card.n_immature)
    said += [f"Not measured: {'; '.join(escape(line) for line in card.missing)}."] * bool(card.missing)
    return " ".join(said)


def _flags(card: Scorecard) -> str:
    """The flags of the newest periods, a stage's measure and the global ones beside it."""
    periods = plural(card.table["period"].nunique(), card.period)
    if not card.n_tested:
        return f"There is nothing to compare in {periods}: a change needs two with 30 cases each."
    if card.flags.empty:
        return (
            f"In none of {periods} did a stage clearly improve while the whole journey clearly got worse "
            f"({plural(card.n_tested, 'pair')} of measures tested, false discovery rate 5 %)."
        )
    pairs = card.flags.groupby(["period", "stage", "metric"], sort=False)
    named = [
        f"in {_when(period)} {escape(metric)} at {escape(stage)} improved while {_list(found['global_metric'])} got worse"
        for (period, stage, metric), found in reversed(list(pairs))
    ]
    more = f"; and {len(named) - MOST} more" if len(named) > MOST else ""
    return (
        f"**A stage looks better while the whole gets worse**: {'; '.join(named[:MOST])}{more} "
        f"({plural(len(card.flags), 'pair')} of {count(card.n_tested)} tested, false discovery rate 5 %)."
    )


def _when(period: str) -> str:
    return escape(calendar(period))


def _list(names: pd.Series, last: str = "and") -> str:
    told = [escape(name) for name in names]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} {last} {told[-1]}"


def _newest(card: Scorecard) -> str:
    """The global measures of the newest period with 30 cases (else of the newest)."""
    whole = card.table[card.table["scope"] == "global"]
    large = whole.loc[whole["n"] >= 30, "period"]
    last = large.iloc[-1] if len(large) else card.table["period"].iloc[-1]
    rows = card.table[(card.table["period"] == last) & (card.table["scope"] == "global") & (card.table["n"] > 0)]
    told = [
        f"{escape(row.metric)} {amount(row.value, row.unit)} "
        f"(95 %: {amount(row.low, row.unit)} to {amount(row.high, row.unit)}, n = {count(row.n)}{_since(row)})"
        for row in rows.itertuples()
    ]
    return f"In {_when(last)}: {'; '.join(told)}." if told else f"In {_when(last)} no case sought help."


def _since(row) -> str:
    if not row.verdict:
        return ""
    if row.verdict == "unclear":
        return "; no clear change"
    return f"; {row.verdict}: {difference(row.change, row.change_low, row.change_high, row.unit)}"


def say_change(changed: Change) -> str:
    """By how much the measure changed, and how much of it is mix and how much rate."""
    if changed.missing:
        return f"Nothing can be compared: {changed.missing}."
    parts, unit = changed.parts.set_index("part"), changed.unit
    whole, mix, rate = (
        difference(row["value"], row["low"], row["high"], unit) for row in (parts.loc[p] for p in ("change", "mix", "rate"))
    )
    said = (
        f"From {_when(changed.before)} to {_when(changed.after)} {_measure(changed.metric)} went from "
        f"{amount(changed.value0, unit)} (n = {count(changed.n0)}) to {amount(changed.value1, unit)} "
        f"(n = {count(changed.n1)}): {whole}. Of this the segments' own rates make {rate} and the mix of segments {mix}; "
        "the two add up to the change (Kitagawa)."
    )
    if len(changed.table) > 1:
        top = changed.table.loc[changed.table["total"].abs().idxmax()]
        own = {part: difference(top[part], top[f"{part}_low"], top[f"{part}_high"], unit) for part in ("mix", "rate")}
        said += f" The largest part is {escape(top['segment'])}: mix {own['mix']}, rate {own['rate']}."
    if changed.reversal == "no":
        return said
    sure = "" if changed.reversal == "clear" else ", though within what chance could do"
    return f"{said} **Every segment large enough moves one way and the whole the other**{sure} (Simpson's paradox)."


def _measure(metric: str) -> str:
    """A measure as the subject of a sentence."""
    shares = metric.startswith(("forced", "back"))
    return f"the share {escape(metric)}" if shares else escape(metric)


def say_watch_out(card: Scorecard) -> str:
    """One line for the first page: does a stage look better while the whole gets worse?"""
    if card.table.empty or not card.n_tested:
        return f"Too few {card.period}s with cases to say whether a stage looks better while the whole gets worse."
    if card.flags.empty:
        return (
            f"In none of {plural(card.table['period'].nunique(), card.period)} did a stage clearly improve while the whole "
            "clearly got worse."
        )
    top = card.flags[card.flags["period"] == card.flags["period"].max()].iloc[0]
    values = card.table.set_index(["period", "stage", "metric"])["value"]
    units = card.table.set_index("metric")["unit"].to_dict()
    local, whole = (
        f"{_measure(metric)}{f' at {escape(stage)}' if stage else ''} went "
        f"from {amount(values[top['period'], stage, metric] - change, units[metric])} "
        f"to {amount(values[top['period'], stage, metric], units[metric])}"
        for stage, metric, change in (
            (top["stage"], top["metric"], top["change"]),
            ("", top["global_metric"], top["global_change"]),
        )
    )
    return f"**In {_when(top['period'])} {local}, and yet {whole}: a local win, a global loss.**"


def say_moved(changed: Change) -> str:
    """One line: by how much the measure changed, whether that is clear, and the part of mix and rate."""
    if changed.missing:
        return f"Nothing can be compared: {changed.missing}."
    parts, unit = changed.parts.set_index("part"), changed.unit
    whole = parts.loc["change"]
    clear = "" if whole["low"] > 0 or whole["high"] < 0 else ", no clear change"
    moved = difference(whole["value"], whole["low"], whole["high"], unit)
    mix, rate = (difference(parts.at[part, "value"], math.nan, math.nan, unit) for part in ("mix", "rate"))
    return (
        f"From {_when(changed.before)} to {_when(changed.after)} {_measure(changed.metric)} went from "
        f"{amount(changed.value0, unit)} (n = {count(changed.n0)}) to {amount(changed.value1, unit)} "
        f"(n = {count(changed.n1)}): {moved}{clear}; {rate} from the segments' own rates, {mix} from their mix."
    )


def say_divided(ways: Mapping[str, pd.Series]) -> str:
    """By what the cases are divided here, and by what else they could be."""
    first, *others = ways
    more = f" The cases could also be divided by {_list(pd.Series(others), 'or')} (parameter `segment`)." if others else ""
    missing = ways[first].isna().mean()
    gaps = f", unknown of {percent(missing)} of the cases" if missing else ""
    return f"The segments are those of **{escape(first)}** ({plural(ways[first].nunique(), 'value')}{gaps}).{more}"


def changes_table(changes: Mapping[str, Change]) -> pd.DataFrame:
    """The parts of the same change by what the cases are divided by: one row per column."""
    rows = [
        {"divided by": name, "segments": len(changed.table)}
        | changed.parts.set_index("part")["value"].to_dict()
        | {"reversal": changed.reversal}
        for name, changed in changes.items()
    ]
    return pd.DataFrame(rows).set_index("divided by")


def say_reversals(changes: Mapping[str, Change]) -> str:
    """Does the direction of the change turn round when one looks segment by segment, whatever the segments?"""
    known = {name: changed for name, changed in changes.items() if not changed.missing}
    if not known:
        return "There is no change to look at segment by segment."
    seen = [name for name, changed in known.items() if changed.reversal != "no"]
    by = _list(pd.Series(list(known)))
    if not seen:
        return (
            f"Divided by {by}, one at a time: in none do all segments that are large enough move one way and the whole the "
            "other (Simpson's paradox)."
        )
    sure = [name for name in seen if known[name].reversal == "clear"]
    beyond = f"; beyond chance by {_list(pd.Series(sure))}" if sure else "; though within what chance could do"
    return (
        f"**By {_list(pd.Series(seen))}, every segment large enough moves one way and the whole the other** (Simpson's "
        f"paradox){beyond}. Looked at: {by}."
    )


def say_segments(found: Segments) -> str:
    """Which segments differ from the rest, the worst first."""
    metric, unit = escape(found.metric), found.unit
    apart = (
        f"Not tested, for fewer than {found.minimum} cases in them or outside of them: {plural(len(found.small), 'segment')}."
    )
    few = f" {apart}" if len(found.small) else ""
    if found.table.empty:
        return f"No segment is large enough to be compared with the rest.{few}"
    sure = found.table[found.table["q"] <= 0.05]
    worse = sure[(sure["difference"] < 0) == found.rising_is_better]
    said = (
        f"Of {plural(len(found.table), 'segment')} ({plural(found.n_cases, 'case')}), {len(sure)} clearly "
        f"{'differs' if len(sure) == 1 else 'differ'} from the rest in {metric} (false discovery rate 5 %)"
    )
    told = [
        f"{escape(row.segment)} with {amount(row.value, unit)}, "
        f"{difference(row.difference, row.difference_low, row.difference_high, unit)} against the rest, n = {count(row.n)}"
        for row in worse.head(MOST).itertuples()
    ]
    said += f"; {len(worse)} for the worse, first {'; '.join(told)}." if told else "; none for the worse."
    return said + few


def say_matrix_diff(apart: MatrixDiff) -> str:
    """The step in which two groups differ most clearly."""
    first, second = (_when(name) for name in apart.groups)
    sure = apart.table[apart.table["q"] <= 0.05]
    n_tested = int(apart.table["q"].notna().sum())
    if sure.empty:
        return f"In none of {plural(n_tested, 'step')} do {first} and {second} clearly differ (false discovery rate 5 %)."
    top = sure.loc[sure["difference"].abs().idxmax()]
    moved = difference(top["difference"], top["low"], top["high"], "share")
    return (
        f"In {len(sure)} of {plural(n_tested, 'step')} {second} clearly differs from {first} (false discovery rate 5 %). "
        f"Most from {escape(top['source'])} to {escape(top['target'])}: {percent(top['share1'])} of "
        f"{plural(top['n1'], 'move')} against {percent(top['share0'])} of {count(top['n0'])}, {moved}."
    )
