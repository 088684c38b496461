"""Moving left in sentences: what it would change, what it assumes, and how much could hide behind it."""

from __future__ import annotations

import math

import pandas as pd

from cxlib.journey import LeftMoves, WhatIf
from cxlib.journey.levelling import MISSED, missed
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import count, decimal, percent, plural

ALL = 0.98  # from this share of the cases with counterparts on it is not said of how many an answer speaks
_NAMES = {"mood": "mood at the end", "hours": "hours to the end", "return": "the share who come back"}


def say_left_moves(found: LeftMoves, outcome: str = "mood") -> str:
    """What cases would gain by ending one stage further left, in one outcome, and what this rests on."""
    name = f"{_NAMES[outcome]}{f' within {spelled(found.within)}' if outcome == 'return' else ''}"
    table = found.table[found.table["outcome"] == outcome] if len(found.table) else found.table
    told = table[table["effect"].notna()] if len(table) else table
    if told.empty:
        why = f" ({table['why'].iloc[0]})" if len(table) else ""
        return f"No pair of neighbouring stages has enough cases to say how {name} would change one stage further left{why}."
    said = f"**One stage further left, {name} would change by** " + "; ".join(_pair(row, outcome) for _, row in told.iterrows())
    return f"{said}. {_rests_on(told, outcome)}"


def _pair(row: pd.Series, outcome: str) -> str:
    """What one pair would change: the corrected number with its interval, or without a correction the band first."""
    where = f"from {escape(row['source'])} to {escape(row['target'])}"
    plainly = f"{_signed(row['naive'], outcome)} if plainly compared; n = {_counted(row)}{_partly(row['overlap'])}"
    interval = f"95 %: {_range(row, 'effect_low', 'effect_high', outcome)}"
    if row["corrected"]:
        return f"{_signed(row['effect'], outcome)} {where} ({interval}; {plainly})"
    unit = " points" if outcome == "return" else ""
    return (
        f"anything from {_range(row, 'band_low', 'band_high', outcome)}{unit} {where} "
        f"(only adjusted: {_signed(row['effect'], outcome)}, {interval}; {plainly})"
    )


def _counted(row: pd.Series) -> str:
    """The cases compared, and of how many they were drawn where a log is too large to use all."""
    used = row["n_source"] + row["n_target"]
    drawn = f", those of customers drawn by lot from {count(row['n_all'])}" if used < row["n_all"] else ""
    return f"{count(row['n_source'])} and {count(row['n_target'])}{drawn}"


def _partly(overlap: float) -> str:
    """That an answer speaks of some of the cases only, where it does."""
    return f"; speaks of the {percent(overlap)} with counterparts" if overlap < ALL else ""


def _signed(x: float, outcome: str) -> str:
    """A change in the outcome's unit: shares in points."""
    return f"{_number(x, outcome)} points" if outcome == "return" else _number(x, outcome)


def _number(x: float, outcome: str) -> str:
    return f"{100 * x:+.1f}" if outcome == "return" else f"{x:+.1f}" if outcome == "hours" else f"{x:+.2f}"


def _range(row: pd.Series, low: str, high: str, outcome: str) -> str:
    return f"{_number(row[low], outcome)} to {_number(row[high], outcome)}"


def _rests_on(told: pd.DataFrame, outcome: str) -> str:
    """The caveat: corrected or only adjusted, the bands, and the E-value of the weakest."""
    right, plain = told[told["corrected"]], told[~told["corrected"].astype(bool)]
    said = ""
    if len(right):
        whom = "These are" if right.equals(told) else f"From {_list(right['source'])} this is"
        said += (
            f"{whom} corrected for severity as impact and urgency tell it, which assumes that these err independently and that "
            f"where a case ends does not move them; if {percent(MISSED)} more is hidden than they show: "
            f"{_bands(right, outcome)}. "
        )
    if len(plain):
        whom = "These are" if plain.equals(told) else f"From {_list(plain['source'])} this is"
        said += (
            f"{whom} only adjusted for what was known before, since {_reasons(plain)}: severity may explain all of it, "
            "so the truth may lie anywhere from no effect to the adjusted one's far bound. "
        )
    row = told.sort_values(["e_bound", "e_value"], kind="stable").iloc[0]
    if math.isnan(row["e_value"]):
        return said.strip()
    last = f"An unseen cause would have to go with the end and the outcome by a risk ratio of {decimal(row['e_value'], 1)} "
    bound = "its interval already holds no effect" if row["e_bound"] <= 1 else f"{decimal(row['e_bound'], 1)} for its interval"
    return f"{said}{last}to undo the one from {escape(row['source'])}, the most easily undone ({bound})."


def _bands(rows: pd.DataFrame, outcome: str) -> str:
    parts = [f"{_range(row, 'band_low', 'band_high', outcome)} from {escape(row['source'])}" for _, row in rows.iterrows()]
    return ", ".join(parts)


def _reasons(rows: pd.DataFrame) -> str:
    return " and ".join(dict.fromkeys(rows["why"]))


def _list(names: pd.Series) -> str:
    return " and ".join(escape(name) for name in names)


def say_overlap(found: LeftMoves) -> str:
    """Of how many cases there are comparable ones on the other side."""
    told = (
        found.table[(found.table["outcome"] == "hours") & found.table["overlap"].notna()] if len(found.table) else found.table
    )
    if told.empty:
        return "No pair of neighbouring stages has enough cases to compare."
    parts = [
        f"{percent(row['overlap'])} of the {count(row['n_source'])} that ended at {escape(row['source'])}, among "
        f"{count(row['n_target'])} at {escape(row['target'])}"
        for _, row in told.iterrows()
    ]
    return (
        f"By what was known before, there are comparable cases one stage further left for {'; '.join(parts)}. Of the others "
        "nothing is said; that cases look alike by what is known does not mean that they are."
    )


def say_what_if(found: WhatIf) -> str:
    """What the move would change, how many would still go on, and what this rests on."""
    table = found.table.set_index("outcome")
    source, target = escape(found.source), escape(found.target)
    n, why = int(table["n"].iloc[0]), escape(table["why"].iloc[0])
    if not target:
        return f"There is no other stage that cases at {source} could go to instead ({why})."
    about = f" about {escape(found.topic)}" if found.topic is not None else ""
    whom = f"the {plural(n, 'closed case')}{about} that {'comes' if n == 1 else 'come'} to {source} without {target} before"
    if table["change"].isna().all():
        return f"Too few cases to say what would change if some of {whom} went to {target} instead ({why})."
    return (
        f"**If {100 * found.share:.3g} % of {whom} went to {target} instead** "
        f"({decimal(found.moved, 0)} cases{_already(found)}), "
        f"{'; '.join(_change(name, row, found) for name, row in table.iterrows() if name != 'cases')}. "
        f"{_still(found)} {_what_if_rests_on(found, why)} {_read_from(found, n, int(table['n_used'].iloc[0]))}"
    )


def _already(found: WhatIf) -> str:
    """How many cannot be moved, since they had been there."""
    been = f"{count(found.already)} more had been at {escape(found.target)} first and could not be moved"
    return f"; {been}" if found.already else ""


def _change(name: str, row: pd.Series, found: WhatIf) -> str:
    """One outcome: the band before the interval by customer, since what may stay hidden is most of what is not known."""
    write = _hundredths if name == "mood" else _amount
    band, interval = (f"{write(row[low])} to {write(row[high])}" for low, high in (("band_low", "band_high"), ("low", "high")))
    what = {"mood": "the mean mood at their end", "calls": f"touches at {escape(found.escalation)}"}.get(name, "the cost")
    what += f", now {decimal(row['now'], 3) if name == 'mood' else count(row['now'])}, would change by"
    if not row["corrected"]:
        return (
            f"{what} anything from {band} "
            f"(only adjusted: {write(row['change'])}, 95 %: {interval}, which leaves out what is hidden)"
        )
    return f"{what} {write(row['change'])} (band: {band}; by customers alone 95 %: {interval})"


def _hundredths(x: float) -> str:
    return f"{x:+.3f}"


def _still(found: WhatIf) -> str:
    """How many of the moved would go on to the source."""
    best, low, high = (percent(share) for share in found.still)
    source, target = escape(found.source), escape(found.target)
    if not found.corrected:
        return f"Of those moved {low} to {high} would reach {source} all the same."
    return (
        f"Of those moved {best} would reach {source} all the same ({low} to {high} with what may be hidden), as comparable "
        f"cases at {target} do."
    )


def _what_if_rests_on(found: WhatIf, why: str) -> str:
    if found.corrected:
        by_mood = (
            f" Of {percent(found.read)} it is read from their mood so far, which takes it that this mood has no part of its "
            "own in who goes where."
        )
        return (
            "Severity is corrected for as impact and urgency tell it, which takes them to err independently; the band allows "
            f"for {percent(missed(found.read > 0))} more hidden.{by_mood if found.read else ''}"
        )
    return (
        f"It is only adjusted for what was known before, since {why}: who goes to {escape(found.target)} may be milder, which "
        "may explain all of it."
    )


def _read_from(found: WhatIf, n: int, n_used: int) -> str:
    """The cases that tell, and that they stand for others where they do."""
    target = escape(found.target)
    said = ""
    if found.kept < ALL:
        said = f"It is read from the {percent(found.kept)} of them with counterparts at {target}, and takes the others alike. "
    there = plural(found.compared, "case")
    if n_used < n or found.compared < found.compared_all:
        there = f"{count(found.compared)} of {count(found.compared_all)} cases"
        said += f"To be computed, customers were drawn by lot, with {count(n_used)} of the {count(n)} cases. "
    return f"{said}It takes it that {target} copes with more cases as well as now (read from {there} there)."


def _amount(x: float) -> str:
    """A signed amount; small ones with a digit.

    >>> _amount(-1234.5), _amount(0.26)
    ('-1,234', '+0.3')
    """
    return f"{x:+,.0f}" if abs(x) >= 20 else f"{x:+.1f}"
