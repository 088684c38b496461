"""The state of the data in sentences."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from cxlib.redact import escape
from cxlib.store import Dataset
from cxlib.trust import Completeness, Freshness, Largest, Links, Order, Rows, Trust, rows
from cxlib.words.numbers import between, count, percent, plural

_ODD = {  # what is odd, and what to do about it
    "set aside": "{n} rows of {where} do not keep the contract and are set aside ({share}); the reasons stand below",
    "no customer": "{share} of touches at {where} have no customer id ({n}): who comes back under another id counts as new",
    "thin weeks": "{n} weeks of {where} have less than half of the usual rows: ask whether the export missed days",
    "stops early": "{where} stops {n} days before the end of the observed period: later rates from it are too low",
    "open cases": "{share} of cases are still open: shares by the end of a case can only grow",
    "mostly empty": "{where} is empty in {share} of rows",
    "large customer": "one customer ({where}) has {share} of all touches: a test account or a shared login?",
    "order by id": "{n} steps within cases have equal times and are ordered by id alone: their direction means nothing",
}
_MOST = 3  # findings in the headline; the table below has all


def say_trust(found: Trust) -> str:
    """Can the data be read, and what is odd about them? Three sentences."""
    touches, fresh = found.links.table[["visitor", "nobody", "n"]].sum(), found.freshness
    tied = 1 - (touches["visitor"] + touches["nobody"]) / touches["n"]
    last = f"{percent(tied)} of touches have a customer and {percent(fresh.share)} of cases are still open."
    return " ".join([say_rows(found.rows), say_odd(found), last])


def say_odd(found: Trust) -> str:
    """The findings worth knowing before believing a number."""
    if found.odd.empty:
        return "Nothing odd was found."
    said = [_odd(row) for row in found.odd.head(_MOST).to_dict("records")]
    more = len(found.odd) - _MOST
    return f"**Odd:** {'; '.join(said)}" + (f"; and {plural(more, 'more finding')} in the table below." if more > 0 else ".")


def _odd(row: dict, shown: Callable[[object], str] = escape) -> str:
    numbers = {"n": count(row["count"]), "share": percent(row["share"]), "where": shown(row["where"])}
    return _ODD[row["kind"]].format(**numbers)


def odd_table(found: Trust) -> pd.DataFrame:
    """All findings as a table for people: finding, rows, of, share. Not escaped: a DataFrame escapes what it shows itself."""
    table = found.odd.assign(finding=[_odd(row, str) for row in found.odd.to_dict("records")])
    return table.rename(columns={"count": "rows", "n": "of"})[["finding", "rows", "of", "share"]]


def say_rows(read: Rows) -> str:
    """How many rows can be used, and what became of the others."""
    came, kept, aside, left = (int(read.table[name].sum()) for name in ("rows_in", "kept", "set_aside", "left_out"))
    said = f"**{count(kept)} of {plural(came, 'row')} can be used ({percent(kept / came if came else float('nan'))}).**"
    if aside:
        said += (
            f" {plural(aside, 'row')} {'was' if aside == 1 else 'were'} set aside because something in them cannot be right."
        )
    if left:
        said += f" {plural(left, 'row')} {'was' if left == 1 else 'were'} left out on purpose."
    return said if aside or left else f"{said} None was set aside or left out."


def say_reasons(read: Rows) -> str:
    """The most frequent reason for setting rows aside, and what to do."""
    if read.reasons.empty:
        return "No row was set aside or left out."
    top = read.reasons.iloc[0]
    value = f" (first: “{escape(str(top['first_value'])[:60])}” in row {count(top['first_row'])})" if top["first_value"] else ""
    return (
        f"The most frequent reason, in {plural(top['rows'], 'row')} of {escape(top['table'])}: {escape(top['column'])} "
        f"{escape(top['reason'])}{value}. What to do: {escape(top['advice'])}."
    )


def say_missing(read: Rows) -> str:
    """Which tables are missing, which later question each would feed, and the remarks of the import, one a line."""
    remarks = "\n".join(f"- {escape(note)}" for note in read.notes)
    return f"{_missing(read)} Remarks of the import and the check:\n\n{remarks}" if remarks else _missing(read)


def _missing(read: Rows) -> str:
    if read.missing.empty:
        return "Every table of the dictionary is there."
    feeds = read.missing.groupby("feeds", sort=False)["table"].agg(list)
    parts = [f"{', '.join(map(str, tables))} ({feed})" for feed, tables in feeds.items()]
    return f"{plural(len(read.missing), 'table')} of the dictionary are missing or empty: {'; '.join(parts)}."


def say_weeks(full: Completeness) -> str:
    """Whether every week has about as many rows as the others."""
    whole = full.weeks[full.weeks["is_whole"].astype(bool) & full.weeks["median"].notna()]
    if whole.empty:
        return "There is no whole week to compare."
    thin = whole[whole["is_thin"].astype(bool)]
    compared = f"{plural(whole['week'].nunique(), 'whole week')} of {plural(whole['table'].nunique(), 'table')} compared"
    if thin.empty:
        low = whole.loc[whole["of_median"].idxmin()]
        return (
            f"No week is thin ({compared}): the smallest against its table's median is the week of {_day(low['week'])} in "
            f"{escape(low['table'])}, with {plural(low['rows'], 'row')} ({percent(low['of_median'])} of the median)."
        )
    first = thin.iloc[0]
    return (
        f"{plural(len(thin), 'week')} with less than half of the usual rows ({compared}); the first is the week of "
        f"{_day(first['week'])} in {escape(first['table'])}, with {plural(first['rows'], 'row')}."
    )


def say_empty(full: Completeness) -> str:
    """Which wanted column is empty most often, and what that weakens."""
    gaps = full.table[full.table["empty"] > 0].sort_values("share", ascending=False)
    if full.table.empty:
        return "None of the columns that answers lean on is there."
    if gaps.empty:
        return f"None of the {len(full.table)} columns that answers lean on has an empty value."
    top = gaps.iloc[0]
    return (
        f"{count(len(gaps))} of {plural(len(full.table), 'column')} that answers lean on have empty values, most often "
        f"{escape(top['table'])}.{escape(top['column'])}: {percent(top['share'])} of {plural(top['n'], 'row')}. "
        f"It feeds: {top['feeds']}."
    )


def say_links(tied: Links) -> str:
    """How many touches have a customer, by which tie, and what is known of visitors."""
    n, by = int(tied.table["n"].sum()), {name: int(tied.table[name].sum()) for name in ("user", "linked", "visitor", "nobody")}
    worst = tied.table.loc[tied.table["share"].idxmax()]
    said = (
        f"{percent((by['user'] + by['linked']) / n)} of {plural(n, 'touch', 'touches')} have a customer: "
        f"{percent(by['user'] / n)} by their own user id, {percent(by['linked'] / n)} by a visitor who logged in. "
        f"{count(by['visitor'])} belong to a visitor nobody knows and {count(by['nobody'])} to nobody"
    )
    said += (
        f"; most at {escape(worst['stage'])} ({percent(worst['share'])} of {count(worst['n'])})." if worst["share"] > 0 else "."
    )
    visitors = tied.visitors.set_index("users")
    if int(visitors["visitors"].sum()):
        said += (
            f" Of {plural(visitors['n'].iloc[0], 'visitor')}, {percent(visitors.at['one', 'share'])} are linked to one user, "
            f"{percent(visitors.at['several', 'share'])} to several (they count for none of them) and "
            f"{percent(visitors.at['none', 'share'])} to none."
        )
    return said


def say_order(ties: Order) -> str:
    """Whether the order of touches rests on the data."""
    n = int(ties.table["n"].iloc[0])
    tied, by_id = int(ties.table["decided"].sum()), int(ties.table.loc[ties.table["rule"] == "touchpoint_id", "decided"].sum())
    if not tied:
        return f"No two touches of a case share a time ({plural(n, 'step')}), so their order is certain."
    return (
        f"{count(tied)} of {plural(n, 'step')} within cases ({percent(tied / n)}) join touches of equal time; "
        f"{count(by_id)} of these are ordered by id alone, which means nothing."
    )


def say_freshness(fresh: Freshness) -> str:
    """Until when the data reach, and how many cases are not over."""
    late = fresh.table[fresh.table["days_before_end"] > 7]
    said = f"The data reach from {_day(fresh.observed_from)} to {_day(fresh.observed_until)}, {fresh.observed_until:%H:%M} UTC"
    said += (
        "; every table reaches the last week."
        if late.empty
        else f"; {', '.join(map(escape, late['table']))} stop more than a week earlier."
    )
    return (
        f"{said} {percent(fresh.share)} of cases are still open then (95 %: {between(fresh.low, fresh.high)} %, n = "
        f"{plural(fresh.n_cases, 'case')} of {plural(fresh.n_customers, 'customer')}): what becomes of them is not known yet."
    )


def say_largest(most: Largest) -> str:
    """Whether one customer carries the numbers."""
    if most.table.empty:
        return "There is no customer."
    top = most.table.iloc[0]
    said = (
        f"The customer with the most touches, {escape(top['customer'])}, has {count(top['touches'])} of {count(top['n'])} "
        f"({percent(top['share'])}) in {plural(top['cases'], 'case')}"
    )
    if most.n_huge:
        return f"{said}; {plural(most.n_huge, 'customer')} with more than a million touches: a test account or a shared login?"
    return f"{said}; nobody has more than a million."


def _day(moment: pd.Timestamp) -> str:
    return f"{moment.day} {moment:%B %Y}"


def print_accounting(dataset: Dataset) -> int:
    """Print which rows can be used and why the others cannot, for `cx check`; returns the exit code 0."""
    read = rows(dataset)
    print(f"{'table':<14}{'rows':>12}{'kept':>12}{'set aside':>12}{'left out':>12}")
    for row in read.table.itertuples():
        print(f"{row.table:<14}{row.rows_in:>12,}{row.kept:>12,}{row.set_aside:>12,}{row.left_out:>12,}")
    for row in read.reasons.itertuples():
        value = _printable(row.first_value)
        print(f"\n{row.table}.{row.column}: {plural(row.rows, 'row')} {row.kind}: {_printable(row.reason)}")
        print(f"  first in row {count(row.first_row)}" + (f": {value}" if value else "") + f"; to do: {_printable(row.advice)}")
    for note in read.notes:
        print(f"\nnote: {_printable(note)}")
    print(f"\n{_missing(read)}")
    return 0


def _printable(text: object) -> str:
    """Text from data for a terminal: one short line without control characters."""
    return "".join(char if char.isprintable() else " " for char in str(text))[:200]
