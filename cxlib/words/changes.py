"""Local and global, what a change is made of, segments and kinds of customer in sentences."""

from __future__ import annotations

import math

import pandas as pd

from cxlib.journey import Change, ContactRate, Kinds, MatrixDiff, Scorecard, Segments
from cxlib.redact import escape
from cxlib.words.numbers import count, decimal, percent, plural, share_with_interval

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
    return f"{said[0]}{noun} (95 %: {said[1]} to {said[2]})"


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
        f"{plural(card.n_immature, 'case')} began less than {escape(card.within)} plus 7 days before the end and "
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
        f"in {escape(period)} {escape(metric)} at {escape(stage)} improved while {_list(found['global_metric'])} got worse"
        for (period, stage, metric), found in reversed(list(pairs))
    ]
    more = f"; and {len(named) - MOST} more" if len(named) > MOST else ""
    return (
        f"**A stage looks better while the whole gets worse**: {'; '.join(named[:MOST])}{more} "
        f"({plural(len(card.flags), 'pair')} of {count(card.n_tested)} tested, false discovery rate 5 %)."
    )


def _list(names: pd.Series) -> str:
    told = [escape(name) for name in names]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


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
    return f"In {escape(last)}: {'; '.join(told)}." if told else f"In {escape(last)} no case sought help."


def _since(row) -> str:
    if not row.verdict:
        return ""
    if row.verdict == "unclear":
        return "; no clear change"
    return f"; {row.verdict}: {difference(row.change, row.change_low, row.change_high, row.unit)}"


def say_change(changed: Change) -> str:
    """By how much the measure changed, and how much of it is mix and how much rate."""
    parts, unit = changed.parts.set_index("part"), changed.unit
    whole, mix, rate = (
        difference(row["value"], row["low"], row["high"], unit) for row in (parts.loc[p] for p in ("change", "mix", "rate"))
    )
    said = (
        f"From {escape(changed.before)} to {escape(changed.after)} {escape(changed.metric)} went from "
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


def say_segments(found: Segments) -> str:
    """Which segments differ from the rest, the worst first."""
    metric, unit = escape(found.metric), found.unit
    apart = f"{plural(len(found.small), 'segment')} with fewer than {found.minimum} cases in or outside of it not tested."
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
    first, second = (escape(name) for name in apart.groups)
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


def say_kinds(found: Kinds) -> str:
    """The rule, the newest month, and what becomes of the blocked."""
    blocked = escape(found.blocked_by)
    rule = (
        f"A customer with a case that began in the month is *blocked* if one of these cases was {blocked} within "
        f"{escape(found.within)}, else *new* if none began in an earlier month of the log, else *regular*."
    )
    if found.table.empty:
        return f"{rule} Nothing can be shown: {escape(found.missing)}."
    last = found.table["month"].iloc[-1]
    rows = found.table[found.table["month"] == last].set_index("kind")
    told = ", ".join(f"{share_with_interval(rows.loc[kind])} {kind}" for kind in rows.index)
    said = f"{rule} In {escape(last)}, of {plural(rows['n'].iloc[0], 'customer')}: {told}."
    moves = found.moves.set_index(["source", "target"])
    if ("blocked", "away") in moves.index:
        gone, again = moves.loc[("blocked", "away")], moves.loc[("blocked", "blocked")]
        said += (
            f" Of the blocked ones of a month (n = {count(gone['n'])}), {share_with_interval(again)} are blocked again "
            f"in the next and {share_with_interval(gone)} have no case in it."
        )
    return f"{said} Who was a customer before {escape(found.base)} cannot be told from a new one."


def say_contact_rate(found: ContactRate) -> str:
    """Contacts per 1,000 active users and day, the highest segment first."""
    if found.table.empty:
        return escape(found.note) or "No day has both active users and observed cases."
    rows = found.table.sort_values("rate", ascending=False)
    told = [
        f"{escape(row.segment)} {decimal(row.rate, 2)} (95 %: {decimal(row.low, 2)} to {decimal(row.high, 2)}, "
        f"n = {plural(row.contacts, 'contact')} on {plural(row.days, 'day')})"
        for row in rows.head(MOST).itertuples()
    ]
    more = f"; {len(rows) - MOST} more in the table" if len(rows) > MOST else ""
    return f"Contacts per 1,000 active users and day: {'; '.join(told)}{more}. {escape(found.note)}".strip()
