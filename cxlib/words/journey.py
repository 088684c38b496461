"""The journey in sentences."""

from __future__ import annotations

import pandas as pd

from cxlib.eventlog import EventLog
from cxlib.journey import CALLED_FIRST, FORCED, Ends, Forced, Funnel, Mood, TimeTo, Transitions
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import between, count, decimal, hours, percent, plural, share_with_interval


def say_forced(forced: Forced) -> str:
    """How many were forced to call, how many called first, of whom."""
    if not forced.n_cases:
        return f"No case has a touch at {escape(forced.problem_from)} or further right, so nobody can have been forced to call."
    table, last = forced.table, escape(forced.escalation)
    row, first = table.loc[FORCED], table.loc[CALLED_FIRST]
    calls = "call" in forced.escalation.lower() or "phone" in forced.escalation.lower()
    to_call, called = ("call", "called") if calls else (f"go to {last}", "went there")
    whom = f"n = {plural(forced.n_cases, 'case')} of {plural(forced.n_customers, 'customer')}"
    said = (
        f"**{percent(row['share'])} of cases with a problem were forced to {to_call}** "
        f"(95 %: {between(row['low'], row['high'])} %, {whom}): "
        f"{plural(row['cases'], 'case')} reached {last} after trying something to its left. "
        f"Another {share_with_interval(first)} {called} first: {plural(first['cases'], 'case')}, with nothing tried to its "
        "left before."
    )
    if forced.n_open:
        said += f" Of the others, {count(forced.n_open)} are still open and may follow."
    return said


def say_funnel(reach: Funnel) -> str:
    """How far right cases go, and where most stop."""
    within = spelled(reach.within or "")
    if not reach.n_cases:
        young = f": {plural(reach.n_immature, 'case')} are younger than {within}" if reach.n_immature else ""
        return f"No case is old enough to be counted{young}."
    unit = "case" if reach.by == "case" else "customer"
    last = reach.table.iloc[-1]
    lost = reach.table["share"].diff().iloc[1:]
    said = (
        f"{count(last['reached'])} of {plural(reach.n_cases, unit)} went as far as {escape(reach.table.index[-1])}: "
        f"{share_with_interval(last)}."
    )
    if len(lost) and lost.min() < 0:
        stop = list(reach.table.index).index(lost.idxmin()) - 1
        said += (
            f" The largest step is at {escape(reach.table.index[stop])}: {percent(-lost.min())} went that far and no further."
        )
    if reach.n_immature:
        said += f" {plural(reach.n_immature, unit)} younger than {within} are left out."
    if reach.n_open and reach.within is None:
        said += f" Of those counted, {count(reach.n_open)} are still open, so the shares can only grow."
    return said


def say_transitions(moves: Transitions) -> str:
    """The most frequent move out of a stage that leads further right."""
    table = moves.table
    order = {stage: i for i, stage in enumerate(moves.stages)}
    right = table[[order.get(t, -1) > order[s] for s, t in zip(table["source"], table["target"], strict=True)]]
    if right.empty:
        return "No case moved from one stage to another further right."
    row = right.loc[right["count"].idxmax()]
    said = (
        f"The most frequent move to the right is from {escape(row['source'])} to {escape(row['target'])}: "
        f"{plural(row['count'], 'time')}, {share_with_interval(row)} of the {count(row['n'])} moves out of there."
    )
    back = table[[order.get(t, 99) < order[s] for s, t in zip(table["source"], table["target"], strict=True)]]
    return said + (
        f" {plural(back['count'].sum(), 'move')} went back to the left." if len(back) else " Nobody moved back to the left."
    )


def say_ends(over: Ends) -> str:
    """Where cases that are over had their last touch."""
    if not over.table["ended"].sum():
        return "No case is over yet."
    top = over.table.sort_values("ended", ascending=False).iloc[0]
    said = (
        f"Of {plural(top['n'], 'case')} that are over, the largest part had their last touch at {escape(top.name)}: "
        f"{share_with_interval(top)}."
    )
    return said + (f" {plural(over.n_open, 'open case')} are not counted." if over.n_open else "")


def say_mood(felt: Mood) -> str:
    """How mood changes from the leftmost to the rightmost stage where it is known."""
    known = felt.table.dropna(subset=["mood", "low", "high"])
    if not felt.table["n"].sum():
        return "No touch carries a mood, so nothing can be said about how customers feel."
    if len(known) < 2:
        n = plural(felt.table["n"].sum(), "touch carries", "touches carry")
        return f"{n} a mood: too few, or at too few stages, to compare stages."
    left, right = known.iloc[0], known.iloc[-1]
    missing = 1 - felt.table["n"].sum() / felt.table["touches"].sum()
    verb = "falls" if right["high"] < left["low"] else "rises" if right["low"] > left["high"] else "does not clearly change"
    return (
        f"Mood (-1 angry to 1 happy) {verb} from {escape(left.name)} ({_mean(left)} touches) to {escape(right.name)} "
        f"({_mean(right)}). {percent(missing)} of touches carry no mood."
    )


def _mean(row: pd.Series) -> str:
    return f"{decimal(row['mood'])}, 95 %: {decimal(row['low'])} to {decimal(row['high'])}, n = {count(row['n'])}"


def say_time_to(reach: TimeTo) -> str:
    """How soon the stage is reached, and by how many in the end."""
    if not reach.n_cases:
        return "No case sought help, or none so early that its end could be told: there is no time to measure."
    day = reach.table[reach.table["hours"] <= 24].iloc[-1]
    start, end = reach.table.iloc[0], reach.table.iloc[-1]
    said = (
        f"{share_with_interval(start)} of {plural(reach.n_cases, 'case')} go to {escape(reach.stage)} at once, "
        f"{percent(day['share'])} have by {hours(day['hours'])} and {share_with_interval(end)} by {hours(end['hours'])}"
    )
    if reach.n_open:
        verb = "is" if reach.n_open == 1 else "are"
        said += f"; {plural(reach.n_open, 'case')} still open {verb} counted for as long as seen"
    return f"{said} (Aalen-Johansen)."


def say_log(log: EventLog, name: str) -> str:
    """What was read: touches, cases, customers, and from when to when."""
    times = pd.to_datetime([log.observed_from, log.observed_until], unit="us", utc=True).tz_convert(log.timezone)
    period = " to ".join(f"{time.day} {time:%B %Y}" for time in times)
    said = (
        f"{escape(name)}, {period}: {plural(log.n_touches, 'touch', 'touches')} in {plural(log.n_cases, 'case')} of "
        f"{plural(log.n_customers, 'customer')}; {plural(log.case_open.sum(), 'case')} still open at the end."
    )
    return said + "".join(f" Note: {escape(note)}." for note in log.notes)
