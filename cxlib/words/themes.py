"""What customers ask about, in sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cxlib.redact import escape
from cxlib.stats import FALSE_DISCOVERY_RATE
from cxlib.themes import Costs, FixList, Recent, Replay, TicketThemes
from cxlib.themes.models import AS_ASKED
from cxlib.words.numbers import between, count, decimal, percent, plural, share_with_interval

_MIXED = 0.02  # share of ties above which two themes are said to run into each other
_NONE = "There is no ticket with a text or a category"


def say_tickets(asks: TicketThemes) -> str:
    """Which tickets were read, by what they were sorted, and how many were not."""
    if asks.source == "none":
        return (
            f"{_NONE}: {plural(asks.n_tickets, 'ticket')} in all, so this page has nothing to sort."
            if asks.n_tickets
            else _no()
        )
    by = "their text" if asks.source == "text" else "their category, because **no ticket has a text**"
    said = f"{plural(asks.n_tickets, 'ticket')}, sorted by {by}."
    if asks.themes is not None and asks.themes.why != AS_ASKED:
        how = "letters and words" if asks.themes.text_model == "lexical" else f"meaning ({escape(asks.themes.text_model)})"
        said += f" Texts are compared by {how}: {escape(asks.themes.why)}."
    if asks.themes is not None and asks.themes.n_distinct < asks.themes.n_texts:
        said += f" {count(asks.themes.n_distinct)} of the texts are different from each other."
    if asks.themes is not None and asks.themes.n_cut:
        said += f" What many share word for word was left out of {count(asks.themes.n_cut)} of these."
    if asks.themes is not None and asks.themes.n_mixed:
        mixed = f"{plural(asks.themes.n_mixed, 'ticket')} ({percent(asks.themes.n_mixed / asks.themes.n_texts)})"
        said += (
            f" {plural(asks.themes.n_mixed, 'ticket')} ({mixed}) say too little, or something too rare, and are in no theme."
        )
    if asks.n_unsorted:
        lack = "text" if asks.source == "text" else "category"
        said += f" {plural(asks.n_unsorted, 'ticket')} without {lack} are in no theme and no share."
    if asks.n_no_case:
        said += f" {plural(asks.n_no_case, 'ticket')} belong to no case of the journey and count for size only."
    return said


def say_themes(asks: TicketThemes) -> str:
    """How many themes, which is the largest, and which ends in calls more or less often than the others."""
    if asks.source == "none":
        return _no()
    table, what = asks.table, "theme" if asks.source == "text" else "category"
    first = table.iloc[0]
    head = f"**Tickets are about {plural(len(table), what, 'categories' if what == 'category' else None)}**"
    if asks.source == "category":
        head = f"No ticket has a text, so their {plural(len(table), 'category', 'categories')} stand in for themes"
    return (
        f"{head}; the largest is {_name(first)} with {share_with_interval(first)} of "
        f"{plural(asks.n_tickets - asks.n_unsorted, 'ticket')}. {_calls(asks, what)}"
    )


def say_theme_calls(asks: TicketThemes) -> str:
    """How often cases of tickets end in a call, and how many themes differ from the others."""
    if asks.source == "none":
        return _no()
    if not asks.calls["n_cases"]:
        return "No ticket belongs to a case that is over, so nothing can be said about calls."
    cases, all_ = plural(asks.calls["n_cases"], "case"), _of_calls(pd.Series(asks.calls))
    said = f"Of {cases} with such a ticket that are over, {all_} reached {escape(asks.escalation)}."
    tested, found = int(asks.table["p_value"].notna().sum()), asks.table["differs"]
    said += (
        f" {count((found > 0).sum())} of {count(tested)} {_ends(asks, many=True)} more often than the others together and "
        f"{count((found < 0).sum())} less often (false discovery rate 5 %)."
        if tested
        else " There are too few cases to compare themes."
    )
    return said + (f" {plural(asks.n_open, 'open case')} are not counted." if asks.n_open else "")


def _calls(asks: TicketThemes, what: str) -> str:
    more = asks.table[asks.table["differs"] > 0].sort_values("call_share", ascending=False)
    if not asks.calls["n_cases"]:
        return "None of them belongs to a case that is over, so nothing can be said about calls."
    all_ = f"{percent(asks.calls['call_share'])} of all {plural(asks.calls['n_cases'], 'case')} with a ticket"
    if len(more):
        top = more.iloc[0]
        return f"{_name(top)} {_ends(asks)} most often: {_of_calls(top)} of {plural(top['n_cases'], 'case')}, against {all_}."
    if (asks.table["differs"] < 0).any():
        least = asks.table[asks.table["differs"] < 0].sort_values("call_share").iloc[0]
        less = f"{_name(least)} does less often: {_of_calls(least)}, against {all_}"
        return f"None clearly {_ends(asks)} more often than the others; {less}."
    return f"No {what} differs clearly from the others in the share of its cases that {_ends(asks, many=True)} ({all_})."


def say_theme_map(asks: TicketThemes) -> str:
    """Which themes run into each other."""
    if asks.themes is None:
        return _no() if asks.source == "none" else "Categories come without texts, so there is no map of which are alike."
    names, mixed = asks.table.set_index("theme"), asks.themes.mixing
    close = mixed[mixed["share"] >= _MIXED].head(3)
    if close.empty:
        return "The themes stand apart: no two share more than 2 % of their ties to similar tickets."
    pairs = [
        f"{_name(names.loc[row.theme])} and {_name(names.loc[row.other])} ({percent(row.share)})" for row in close.itertuples()
    ]
    return f"Hardest to tell apart, by the share of ties to similar tickets that run between them: {'; '.join(pairs)}."


def say_parts(parts: pd.DataFrame, asks: TicketThemes, n_themes: int = 5) -> str:
    """Which of the largest themes are made of smaller ones, and what is the largest of these?"""
    if asks.source != "text":
        return _no() if asks.source == "none" else "The tickets have no text to look into."
    looked = min(n_themes, len(asks.table))
    if parts.empty:
        return f"{_of_largest(0, looked)} {'falls' if looked > 1 else 'does not fall'} apart into smaller ones that hold."
    made_of = [
        f"“{escape(part['of'].iloc[0])}” has {plural(len(part), 'part')}, the largest “{escape(part['name'].iloc[0])}” with "
        f"{share_with_interval(part.iloc[0])} of its tickets"
        for _, part in parts.groupby("theme", sort=True)
    ]
    n = parts["theme"].nunique()
    verb = "falls" if n == 1 else "fall"
    return f"{_of_largest(n, looked)} {verb} apart into smaller ones that hold: {'; '.join(made_of)}."


def _of_largest(n: int, looked: int) -> str:
    return f"{count(n) if n else 'None'} of the {plural(looked, 'largest theme')}" if looked > 1 else "The largest theme"


def say_theme_months(asks: TicketThemes) -> str:
    """Which themes came up, and which have a clearly larger or smaller share of the tickets than in the first month."""
    if asks.changes.empty:
        return _no() if asks.source == "none" else "There are no two whole months with 30 dated tickets or more to compare."
    first, last = asks.months["month"].min(), asks.months["month"].max()
    period = f"between {first:%B %Y} and {last:%B %Y}"
    clear, born = asks.changes[asks.changes["is_clear"]], asks.changes.dropna(subset="born").sort_values("born", kind="stable")
    new = [f"“{escape(row.name)}” came up in {row.born:%B %Y}" for row in born.itertuples()]
    new = [f"{'; '.join(new[:3])}{f'; {count(len(new) - 3)} more came up' if len(new) > 3 else ''}."] if new else []
    if clear.empty:
        return " ".join([*new, f"No theme's share of the tickets changed clearly {period}."])
    said = [
        f"“{escape(row.name)}” {'grew' if row.change > 0 else 'shrank'} from {percent(row.first)} "
        f"({between(row.first_low, row.first_high)}) to {percent(row.last)} ({between(row.last_low, row.last_high)})"
        for row in clear.head(3).itertuples()
    ]
    more = f"; {count(len(clear) - 3)} more changed" if len(clear) > 3 else ""
    changed = f"Clear changes of the share of tickets {period}, where the 95 % intervals do not meet: {'; '.join(said)}{more}."
    return " ".join([*new, changed])


def say_recent(news: Recent) -> str:
    """What customers ask in the last whole month that they did not before, and of what they ask more."""
    if news.month is None:
        return "There are no two whole months with 30 dated tickets or more, so nothing can be said about what is new."
    when, said = f"{news.month:%B %Y}", []
    if news.born is None:
        said.append("without texts of that month and before, nothing can be said about new themes")
    elif len(news.born.table):
        one = [
            f"“{escape(row.name)}”: {plural(row.n, 'ticket')}, {count(row.n_old)} like them before "
            f"(p = {decimal(row.p_value, 3)})"
            for row in news.born.table.head(3).itertuples()
        ]
        said.append(f"**not asked about before**: {'; '.join(one)}")
    else:
        said.append(f"no theme that was not there before, among {plural(news.born.n_new, 'ticket')}")
    if news.grown is None:
        said.append("growth needs a longer past")
    elif tested := int(news.grown.table["p_value"].notna().sum()):  # else the table says why not
        grew = news.grown.table[news.grown.table["grew"]]
        one = [
            f"“{escape(row.theme)}” {decimal(row.ratio, 1)} times what was expected "
            f"(95 %: {decimal(row.low, 1)}-{decimal(row.high, 1)}, {plural(row.n, 'ticket')})"
            for row in grew.head(3).itertuples()
        ]
        none = f"none of {plural(tested, 'theme')} took a clearly larger share than its past explains"
        said.append(f"**grown**: {'; '.join(one)}" if one else none)
    return f"{when}: {'; '.join(said)}."


def say_costs(found: Costs) -> str:
    """Which themes cost the most calls, repeats, hours and mood beyond what their cases would cost anyhow."""
    if not found.n_cases:
        return "No ticket in a theme belongs to a case that is over, so nothing can be said about what a theme costs."
    said = []
    for outcome, unit in (("call", "calls"), ("repeat", "repeat contacts"), ("hours", "hours until the end")):
        rows = found.of(outcome)
        clear = rows[(rows["q_value"] <= FALSE_DISCOVERY_RATE) & (rows["burden"] > 0)]
        if len(clear):
            top = clear.iloc[0]
            said.append(
                f"{_name(top)} costs most {unit}: {_per_month(top['burden'])} a month "
                f"(95 %: {_per_month(top['burden_low'])} to {_per_month(top['burden_high'])}, {plural(top['n'], 'case')})"
            )
        elif rows["q_value"].notna().any():
            said.append(f"no theme clearly costs more {unit} than the others")
    mood = found.of("mood")
    low = mood[(mood["q_value"] <= FALSE_DISCOVERY_RATE) & (mood["effect"] < 0)]
    if len(low):
        top = low.iloc[0]
        said.append(
            f"{_name(top)} leaves the worst mood by {escape(found.mood_from)}, {decimal(-top['effect'])} lower "
            f"(95 %: {decimal(-top['high'])} to {decimal(-top['low'])})"
        )
    if not said:
        return f"{plural(found.n_cases, 'case')} are too few, or too short a time, to tell what a theme costs."
    return f"Against cases of the other themes that began alike: {'; '.join(said)} (false discovery rate 5 %)."


def say_fixes(fixes: FixList) -> str:
    """What to mend first, by calls that would not be made."""
    if fixes.table.empty:
        return "What themes cost in calls cannot be told here, so nothing is said of what to mend first."
    clear = fixes.table[fixes.table["is_clear"]].head(3)
    if clear.empty:
        return "No theme clearly costs more calls than the others, so none is to be mended first for the calls it makes."
    one = [
        f"{i}. “{escape(row.name)}” (est. {_per_month(row.calls)} calls a month, {_per_month(row.low)} to "
        f"{_per_month(row.high)}{_article(row, fixes)})"
        for i, row in enumerate(clear.itertuples(), start=1)
    ]
    return " ".join(one)


def say_replay(found: Replay | None, why: str = "") -> str:
    """How often one of the five nearest resolved tickets held the answer, beside what chance would have given."""
    if found is None:
        return f"Nothing can be replayed: {escape(why)}."
    rows = found.table.set_index("method")
    near, others = rows.loc["nearest"], rows.drop(index="nearest")
    beside = "; ".join(
        f"{count(found.n)} {'at random' if name == 'random' else 'of the same category'}: {share_with_interval(row)}"
        for name, row in others.iterrows()
    )
    what = escape(found.answer.replace("_", " "))
    return (
        f"Of {plural(near['n'], 'newer ticket')}, {share_with_interval(near)} had their {what} among the {count(found.n)} "
        f"resolved ones that say the most alike ({beside})."
    )


def _article(row: Any, fixes: FixList) -> str:
    if fixes.why:
        return ""
    return f"; article “{escape(row.title)}”" if row.has_article else "; **no help article**"


def _per_month(n: float) -> str:
    return decimal(n, 1) if abs(n) < 10 else count(round(n))


def say_stability(asks: TicketThemes) -> str:
    """How far the themes depend on which tickets were seen."""
    found = asks.themes
    if found is None:
        return _no() if asks.source == "none" else "Categories are the export's own, so their stability is no question."
    themes, tried = plural(len(found.table), "theme"), found.stability["k"]
    if tried.empty:
        return f"{themes}: the number was given, or there are too few texts to choose one by stability."
    by_k = found.stability.set_index("k")
    if found.version > 1 or len(found.table) not in by_k.index:
        best = by_k["stability"].idxmax()
        return (
            f"{themes}, after what was refitted, edited or too mixed to count. When they were found, numbers from "
            f"{count(tried.min())} to {count(tried.max())} were tried; two partitions that saw different 80 % of the tickets "
            f"agree best at {count(best)}, by {decimal(by_k['stability'][best])} (adjusted Rand index: 1 = the same "
            "groups, 0 = chance)."
        )
    best = by_k.loc[len(found.table)]
    agree = f"{decimal(best['stability'])} ({decimal(best['low'])} to {decimal(best['high'])} over {count(best['n'])} pairs"
    most = " This is the most that was tried; more may hold as well." if len(found.table) == tried.max() else ""
    return (
        f"{themes} hold best, of the numbers tried from {count(tried.min())} to {count(tried.max())}: two partitions that saw "
        f"different 80 % of the tickets agree by {agree}; adjusted Rand index: 1 = the same groups, 0 = chance).{most}"
    )


def say_typical(asks: TicketThemes, longest: int = 400) -> str:
    """The most typical tickets of each theme, and the one that fits least, as Markdown, redacted and escaped."""
    if asks.typical.empty:
        return _no() if asks.source == "none" else "There are no texts to show."
    blocks = []
    for name, tickets in asks.typical.groupby("name", sort=False):
        lines = [
            f"- {escape(row.ticket_id)}{'' if row.fits else ' (fits least)'}: “{_cut(row.text, longest)}”"
            for row in tickets.itertuples()
        ]
        blocks.append("\n".join([f"**{escape(name)}**", "", *lines]))
    return "\n\n".join(blocks)


def say_stories_of(theme: str, asks: TicketThemes) -> str:
    """Of which theme the stories are that follow."""
    return f"Cases about “{escape(theme)}” that reached {escape(asks.escalation)}." if theme else _no()


def _cut(text: str, longest: int) -> str:
    text = " ".join(text.split())
    return escape(text if len(text) <= longest else text[: longest - 1].rstrip() + "…")


def _name(row: pd.Series) -> str:
    return f"“{escape(row['name'])}”"


def _ends(asks: TicketThemes, many: bool = False) -> str:
    s, es = ("", "") if many else ("s", "es")
    return f"end{s} in a call" if asks.escalation == "phone" else f"reach{es} {escape(asks.escalation)}"


def _of_calls(row: pd.Series) -> str:
    return f"{percent(row['call_share'])} (95 %: {between(row['call_low'], row['call_high'])})"


def _no() -> str:
    return f"{_NONE} in this data set, so nothing can be said about what customers ask."
