"""How far an address or a device may stand for a customer, in sentences."""

from __future__ import annotations

import pandas as pd

from cxlib.escalation import ByChance
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import decimal, percent, plural, share_with_interval


def say_by_chance(result: ByChance) -> str:
    """How many requests an escalation followed, and how many it would have followed by chance."""
    followed, chance, beyond = (result.rate(what) for what in result.table["what"])
    if not followed["n"]:
        return "**What follows cannot be compared with chance**: no request has a named customer and another beside it."
    of_kind = f" of the same {escape(result.kind.replace('_', ' '))}" if result.kind else ""
    within = escape(spelled(result.horizon))
    clear = "more than chance" if beyond["low"] > 0 else "not clearly more than chance"
    part = f"{percent(chance['share'] / followed['share'])} of what was observed; " if followed["share"] > 0 else ""
    return (
        f"Of {plural(followed['n'], 'request')} by {plural(followed['customers'], 'customer')}, "
        f"**{share_with_interval(followed)} were followed by {escape(result.escalation)}**{of_kind} within {within}, at the "
        f"same customer. At a random other customer{' who asked for the same' if result.kind else ''} it would have been "
        f"{share_with_interval(chance)}: {part}the difference is {share_with_interval(beyond)}, {clear}."
    )


def say_auc_by_chance(table: pd.DataFrame) -> str:
    """Whether a forecast knows anything of the customer, from `escalation.auc_by_chance`."""
    followed, chance = (table.iloc[i] for i in range(2))
    auc = "{} (95 %: {}-{})"
    seen, other = (auc.format(*(decimal(row[name]) for name in ("value", "low", "high"))) for row in (followed, chance))
    what = (
        "It knows something of the customer"
        if followed["low"] > chance["high"]
        else "What it ranks by is what is often called about; that it knows anything of the customer is not shown"
    )
    return (
        f"On {plural(followed['n'], 'held-out request')} the forecast ranks those that were followed with an AUC of {seen}, "
        f"and those that would be at a random other customer with {other}. {what}."
    )
