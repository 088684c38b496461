"""Kinds of customer, and how many of the active users seek help, in sentences."""

from __future__ import annotations

from cxlib.journey import ContactRate, Kinds
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import calendar, count, decimal, plural, share_with_interval

MOST = 3  # how many of a long list are named


def say_kinds(found: Kinds) -> str:
    """The rule, the newest month, and what becomes of the blocked."""
    blocked = escape(found.blocked_by)
    rule = (
        f"A customer with a case that began in the month is *blocked* if one of these cases was {blocked} within "
        f"{spelled(found.within)}, else *new* if none began in an earlier month of the log, else *regular*."
    )
    if found.table.empty:
        return f"{rule} Nothing can be shown: {escape(found.missing)}."
    last = found.table["month"].iloc[-1]
    rows = found.table[found.table["month"] == last].set_index("kind")
    told = ", ".join(f"{share_with_interval(rows.loc[kind])} {kind}" for kind in rows.index)
    said = f"{rule} In {escape(calendar(last))}, of {plural(rows['n'].iloc[0], 'customer')}: {told}."
    moves = found.moves.set_index(["source", "target"])
    if ("blocked", "away") in moves.index:
        gone, again = moves.loc[("blocked", "away")], moves.loc[("blocked", "blocked")]
        said += (
            f" Of the blocked ones of a month (n = {count(gone['n'])}), {share_with_interval(again)} are blocked again "
            f"in the next and {share_with_interval(gone)} have no case in it."
        )
    return f"{said} Who was a customer before {escape(calendar(found.base))} cannot be told from a new one."


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
