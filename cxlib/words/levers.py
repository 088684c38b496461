"""The chain of the journey and its levers in sentences."""

from __future__ import annotations

import math

import pandas as pd

from cxlib.journey import Absorbing
from cxlib.redact import escape
from cxlib.words.numbers import between, count, decimal, percent, plural


def _to_call(found: Absorbing) -> str:
    """What the forced ones had to do."""
    last = found.escalation
    return "call" if any(word in last.lower() for word in ("call", "phone")) else f"go to {escape(last)}"


def say_absorbing(found: Absorbing) -> str:
    """Who will be forced to call, from where most, and how long and how pleasant the way is."""
    if not found.n_cases:
        return f"No case has a touch at {escape(found.problem_from)} or further right, so there is no way to follow."
    row, call = found.overall.iloc[0], _to_call(found)
    whom = f"n = {plural(found.n_cases, 'case')} of {plural(found.n_customers, 'customer')}"
    if math.isnan(row["forced"]):
        return f"Too little is known of how cases go on to say how many will be forced to {call} ({whom})."
    said = (
        f"Following every way to its end, {percent(row['forced'])} of cases that sought help are forced to {call} "
        f"(95 %: {between(row['forced_low'], row['forced_high'])}, {whom}). "
    )
    known = found.table[found.table["forced"].notna() & (found.table["n"] > 0)]
    worst = known.loc[known["forced"].idxmax()]
    said += (
        f"It is most from {escape(worst.name)}: {percent(worst['forced'])} "
        f"(95 %: {between(worst['forced_low'], worst['forced_high'])}) of the {count(worst['n'])} cases that begin there. "
        f"After the first touch {decimal(row['further'])} more follow on average{_bounds(row, 'further')}"
    )
    if not math.isnan(row["mood"]):
        said += f"; mood on the way is {decimal(row['mood'])}{_bounds(row, 'mood')} (-1 angry to 1 happy)"
    said += "."
    if found.n_open:
        said += f" {plural(found.n_open, 'open case')} may still {call}: they count as far as they have come."
    return said


def _bounds(row: pd.Series, name: str) -> str:
    if math.isnan(row[f"{name}_low"]):
        return ""
    return f" (95 %: {decimal(row[f'{name}_low'])} to {decimal(row[f'{name}_high'])})"


def say_sensitivity(found: Absorbing) -> str:
    """Which stage would spare the most calls if it solved one point more, and what the next one would."""
    table = found.sensitivities[found.sensitivities["points"].notna()]
    last = escape(found.escalation)
    if table.empty:
        return f"Nobody left a stage to the left of {last}, so there is no lever to compare."
    top = table.iloc[0]
    if not top["points"]:
        return f"No case went on to {last} from a stage to its left: no lever changes how many are forced to {_to_call(found)}."
    said = (
        f"{say_lever(found)} The touches at {last} would change by {decimal(top['calls'], 1)} per 1,000 cases. "
        f"The lever comes first in {percent(top['first'])} of {plural(found.replicates, 'resample')} of the customers"
    )
    others = [f"{escape(row['lever'])} {_points(row)}" for _, row in table.iloc[1:3].iterrows()]
    said += f"; then come {' and '.join(others)}." if others else "."
    return said + " An end is a case with no further touch, solved or given up; all other moves are taken to stay as they are."


def say_lever(found: Absorbing) -> str:
    """One line: which stage would spare the most calls if it solved one point more."""
    table = found.sensitivities[found.sensitivities["points"].notna()]
    if table.empty or not table["points"].iloc[0]:
        return f"No stage to the left of {escape(found.escalation)} is a lever: no case went on from there."
    top = table.iloc[0]
    return (
        f"**The strongest lever is {escape(top['lever'])}**: if one percentage point more of the touches at {escape(top.name)} "
        f"ended the case, the share forced to {_to_call(found)} would change by {_points(top)}, n = {plural(top['n'], 'move')}."
    )


def say_removal(found: Absorbing) -> str:
    """Through which stage most of the forced calls pass, and what becomes of them without it."""
    table = found.removal.dropna(subset="remain")
    if table.empty:
        return f"Nobody was forced to {_to_call(found)}, so there is nothing to remove."
    top = table.loc[table["remain"].idxmin()]
    said = (
        f"{percent(1 - top['remain'])} of those forced to {_to_call(found)} pass {escape(top.name)} on the way (95 %: "
        f"{between(1 - top['remain_high'], 1 - top['remain_low'])}), and no stage lies on the way of more: if its cases ended "
        f"there instead, {percent(top['remain'])} of the forced ones would remain."
    )
    if len(table) > 1 and (table["remain"] == top["remain"]).all():
        said = f"Every stage to the left of {escape(found.escalation)} lies on the way of all who were forced there."
    worse = table[table["closed_low"] > 1.01]
    for name, row in worse.iterrows():
        said += (
            f" Without {escape(name)}, and its cases going the other ways, there would be {percent(row['closed'] - 1)} more "
            f"(95 %: {between(row['closed_low'] - 1, row['closed_high'] - 1)}): it spares calls."
        )
    return said


def _points(row: pd.Series) -> str:
    digits = 2 if abs(row["points"]) >= 0.095 else 3
    said, low, high = (decimal(row[name], digits) for name in ("points", "points_low", "points_high"))
    return f"{said} points" + ("" if math.isnan(row["points_low"]) else f" (95 %: {low} to {high})")


def say_first_order(found: Absorbing) -> str:
    """Whether where a case came from matters for where it goes next, and how far that takes the chain from what was counted."""
    check = found.first_order
    if math.isnan(check.p):
        return f"{plural(check.n, 'move')} are too few to test whether where a case came from matters for where it goes next."
    degrees = f"chi-square {decimal(check.statistic, 1)}, {decimal(check.df, 1)} degrees of freedom"
    test = f"{degrees}, p {_p(check.p)}, n = {plural(check.n, 'move')}"
    if not check.warns:
        return f"Where a case goes next shows no dependence on where it came from ({test}), as the chain assumes."
    return (
        f"**Caution: where a case goes next also depends on where it came from** ({test}), and the chain takes it that it does "
        f"not. {_size(found)}{_remembered(found)}"
    )


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {decimal(p, 3)}"


def _size(found: Absorbing) -> str:
    """The stage of beginning where the chain is furthest from what was counted."""
    table = found.first_order.table.dropna(subset="gap")
    if table.empty:
        return ""
    row = table.loc[table["gap"].abs().idxmax()]
    by_chain = f"{percent(row['chain'])} forced to {_to_call(found)} by the chain"
    if row["low"] <= 0 <= row["high"]:
        return f"For no stage where cases begin does that clearly change how many are forced to {_to_call(found)}. "
    return (
        f"It errs most for cases that begin at {escape(row.name)}: {by_chain}, {percent(row['counted'])} counted "
        f"(difference 95 %: {_signed(row['low'])} to {_signed(row['high'])} points, n = {count(row['n'])}). "
    )


def _signed(share: float) -> str:
    return "unknown" if math.isnan(share) else f"{100 * share:+.1f}"


def _remembered(found: Absorbing) -> str:
    """What the strongest lever is when one step is remembered."""
    table = found.sensitivities.dropna(subset=["points", "second_order"])
    if table.empty:
        return ""
    top, other = table.iloc[0], table.loc[table["second_order"].idxmin()]
    if top.name == other.name:
        return (
            f"The strongest lever stays {escape(top['lever'])} when one step is remembered "
            f"({_small(top['second_order'])} points instead of {_small(top['points'])})."
        )
    return (
        f"Remembering one step, the strongest lever is {escape(other['lever'])} ({_small(other['second_order'])} points) "
        f"and not {escape(top['lever'])} ({_small(top['second_order'])})."
    )


def _small(points: float) -> str:
    return decimal(points, 2 if abs(points) >= 0.095 else 3)
