"""What do the tickets ask about, and which of it ends in a call?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats as distributions

from cxlib import eventlog, redact, stats
from cxlib.eventlog import EventLog
from cxlib.store import Dataset, Settings
from cxlib.themes.codebook import Codebook, fit
from cxlib.themes.edits import FILE, edited, read_edits
from cxlib.themes.shares import MIXED, NO_TEXT, customer_codes, shares_of
from cxlib.themes.texts import plain

_FEWEST_A_MONTH = 30  # tickets, for its shares to be told
_BORN, _RARE = 0.05, 0.1  # when a theme has come up: see `_born`
_CALLS = ("n_cases", "n_calls", "call_share", "call_low", "call_high")
_TEXT = ("short_description", "description")
_SHOWN = ["theme", "name", "ticket_id", "text", "fits"]


@dataclass(frozen=True)
class TicketThemes:
    """The tickets of a data set in themes, with what became of their cases."""

    table: pd.DataFrame  # one row per theme, largest first; see `of_tickets`
    tickets: pd.DataFrame  # one row per ticket: ticket_id, theme (negative = in none), case_id, called (of the case)
    typical: pd.DataFrame  # see `_SHOWN`; text is redacted. Three per theme, and the one that fits least; empty without text
    months: pd.DataFrame  # theme, month (its first day), n, n_all, share, low, high; of whole months with 30 tickets or more
    changes: pd.DataFrame  # one row per theme, first and last of those months: see `_changes`
    calls: dict[str, float]  # of all cases with a ticket in a theme: n_cases, n_calls, call_share, call_low, call_high
    themes: Codebook | None  # how the texts were grouped; None for categories
    texts: pd.Series  # what each ticket says, redacted, in the order of `tickets`
    source: str  # "text", "category", or "none": no tickets, or none with either
    escalation: str  # the stage that counts as a call
    n_tickets: int
    n_unsorted: int  # tickets with neither text nor category, in no theme and no share
    n_no_case: int  # tickets in a theme whose case the journey does not hold
    n_open: int  # cases still open, in no call share

    @property
    def metrics(self) -> pd.DataFrame:
        """What the notebook hands on: the number of themes, resting on the tickets in them."""
        row = {"metric": "n_themes", "segment": "all", "value": len(self.table), "low": None, "high": None}
        return pd.DataFrame([row | {"n": self.n_tickets - self.n_unsorted}])


def of_tickets(
    dataset: Dataset, log: EventLog, k: int | None = None, seed: int = 0, *, text_model: str = "lexical"
) -> TicketThemes:
    """What do customers ask about in tickets, and which share of each theme's cases ends in a call?

    Parameters
    ----------
    dataset : Dataset
        `short_description` and `description` are redacted with the names of its users and agents before anything else. Where no
        ticket has either, its `category` is the theme, and `source` says so.
    log : EventLog
        The journeys of the same data set.
    k, text_model, seed
        As in `fit`; categories are as many as there are. Where the data set keeps codebooks (`cx codebook`), the newest of them
        gives the themes and these say nothing.

    Returns
    -------
    TicketThemes
        `table` has one row per theme: theme, name, n (tickets), share (of all tickets in themes), low, high, keywords, n_cases
        (cases that are over, with a ticket in the theme; a case counts once in each of its themes), n_calls (those that reached
        the escalation stage), call_share (n_calls / n_cases), call_low, call_high, p_value, differs (+1 or -1 where the share
        differs from that of the other themes at a false discovery rate of 5 %, else 0).

    Raises
    ------
    DataError
        If more themes are asked for than there are distinct texts.

    Notes
    -----
    Intervals are by customer. A call share describes the cases of a theme; it does not say that the theme causes calls: one
    of graver problems, or of customers who call anyhow, has a higher share. A case still open when the data end counts
    neither way.

    References
    ----------
    Benjamini and Hochberg (1995), Controlling the false discovery rate.
    """
    tickets = (
        dataset.tables["tickets"].reset_index(drop=True) if "tickets" in dataset.tables else pd.DataFrame({"ticket_id": []})
    )
    customers = _column(tickets, "user_id")
    texts = ticket_texts(dataset)
    found = _found(dataset, texts.tolist(), customers, k, text_model, seed) if texts.map(plain).any() else None
    labels, base = (found.labels, found.table) if found else _categories(_column(tickets, "category"), customers)
    base = base.sort_values("n", ascending=False, kind="stable", ignore_index=True)
    months = _by_month(_column(tickets, "opened_at"), labels, customers, dataset.settings)
    months = months[months["theme"].isin(base["theme"])].reset_index(drop=True)  # not those that went into others
    case = cases_of(dataset, log) if len(tickets) else np.array([], dtype=int)
    ended, n_open = _ended(log, labels, case)
    calls = _calls_by_theme(ended, base["theme"])
    return TicketThemes(
        table=base.drop(columns=["typical", "dissenting"], errors="ignore").merge(calls, on="theme"),
        tickets=_with_cases(tickets["ticket_id"], labels, log, case),
        typical=_typical(found, tickets, texts) if found else pd.DataFrame(columns=_SHOWN),
        months=months,
        changes=_changes(months, base.set_index("theme")["name"]),
        calls=_share_of_calls(ended),
        themes=found,
        texts=texts,
        source="text" if found else "category" if len(base) else "none",
        escalation=log.stages[log.escalation],
        n_tickets=len(tickets),
        n_unsorted=int((labels == NO_TEXT).sum()),
        n_no_case=int(((labels >= 0) & (case < 0)).sum()),
        n_open=n_open,
    )


def ticket_texts(dataset: Dataset) -> pd.Series:
    """What does each ticket say, without personal data? One text per ticket, empty where it says nothing."""
    if "tickets" not in dataset.tables:
        return pd.Series([], dtype="str")
    tickets = dataset.tables["tickets"].reset_index(drop=True)
    parts = [_column(tickets, name).fillna("").astype(str).str.strip().tolist() for name in _TEXT]
    joined = [long if long.startswith(short) else f"{short}\n{long}".strip() for short, long in zip(*parts, strict=True)]
    return pd.Series(redact.redact_many(joined, redact.gazetteer(dataset.tables)), index=tickets.index, dtype="str")


def _found(dataset: Dataset, texts: Sequence[str], customers: pd.Series, k: int | None, text_model: str, seed: int) -> Codebook:
    """The themes of the texts: those of the data set's newest codebook, or found now; with what the analyst's file says."""
    files, edits = codebooks(dataset.path), dataset.path / FILE
    book = Codebook.load(files[-1]) if files else fit(texts, k, text_model, seed, customers=customers)
    if edits.is_file():
        book = edited(book, read_edits(edits))
    return book.applied(texts, customers=customers, seed=seed) if files or edits.is_file() else book


def codebooks(folder: Path) -> list[Path]:
    """The codebooks that a data set keeps, the newest last."""
    return sorted((folder / "codebooks").glob("[0-9]*.npz"))


def cases_of(dataset: Dataset, log: EventLog) -> np.ndarray:
    """Which case is each ticket part of? Positions in the log, -1 for none: by `case_id`, else by a touch of the ticket."""
    tickets = dataset.tables["tickets"]
    by_case = pd.Series(np.arange(log.n_cases), index=log.case_id)
    case = _looked_up(_column(tickets, "case_id"), by_case)
    by_touch = pd.Series(log.case_of_touch, index=log.touchpoint_id)
    if "touchpoints" not in dataset.tables:  # each ticket is its own touch
        by_ticket = by_touch
    else:
        touches = dataset.tables["touchpoints"]
        touches = touches.loc[_column(touches, "ticket_id").notna().to_numpy()]
        by_ticket = pd.Series(_looked_up(touches["touchpoint_id"], by_touch), index=_column(touches, "ticket_id").to_numpy())
    return np.where(case >= 0, case, _looked_up(tickets["ticket_id"], by_ticket[by_ticket >= 0]))


def called(asks: TicketThemes) -> tuple[str, np.ndarray]:
    """Which theme ends in a call most often, and in which cases did it? (name, case ids)

    The highest call share among the themes that differ from the others; the largest theme where none does; "" without any.
    """
    hottest = asks.table.assign(more=asks.table["differs"] > 0).sort_values(["more", "call_share"], ascending=False)
    row = hottest.iloc[0] if hottest["more"].any() else asks.table.iloc[0] if len(asks.table) else None
    if row is None:
        return "", np.array([], dtype=object)
    inside = asks.tickets[(asks.tickets["theme"] == row["theme"]) & asks.tickets["called"]]
    return str(row["name"]), inside["case_id"].unique()


def _with_cases(ticket_id: pd.Series, labels: np.ndarray, log: EventLog, case: np.ndarray) -> pd.DataFrame:
    case_id = np.array([*log.case_id, None], dtype=object)[case]  # position -1 is the None at the end
    return pd.DataFrame(
        {"ticket_id": ticket_id, "theme": labels, "case_id": case_id, "called": np.append(_called(log), False)[case]}
    )


def _called(log: EventLog) -> np.ndarray:
    """Which cases reached the escalation stage?"""
    return eventlog.first_touch(log, log.stage == log.escalation) < log.n_touches


def _looked_up(keys: pd.Series, positions: pd.Series) -> np.ndarray:
    first = positions[~positions.index.duplicated()]
    return keys.map(first.to_dict()).fillna(-1).to_numpy(dtype=np.int64)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series([None] * len(table), index=table.index, dtype=object)


def _categories(category: pd.Series, customers: pd.Series) -> tuple[np.ndarray, pd.DataFrame]:
    """Categories as themes, largest first, under the export's own words."""
    sizes = category.value_counts().rename_axis("name").reset_index(name="n")
    names = sizes.sort_values(["n", "name"], ascending=[False, True])["name"].tolist()
    labels = category.map({name: i for i, name in enumerate(names)}).fillna(NO_TEXT).to_numpy(dtype=int)
    shares = shares_of(labels, customers)
    return labels, pd.DataFrame({"theme": range(len(names)), "name": names}).join(shares).assign(keywords="", typical=None)


def _ended(log: EventLog, labels: np.ndarray, case: np.ndarray) -> tuple[pd.DataFrame, int]:
    """One row per theme and case that is over: theme, case, customer, called; and how many cases are still open."""
    pairs = pd.DataFrame({"theme": labels, "case": case}).query("theme >= 0 and case >= 0").drop_duplicates()
    position = pairs["case"].to_numpy()
    still = log.case_open[position]
    pairs = pairs.assign(customer=log.customer_of_case[position], called=_called(log)[position])
    return pairs[~still], int(pairs.loc[still, "case"].nunique())


def _calls_by_theme(ended: pd.DataFrame, themes: pd.Series) -> pd.DataFrame:
    rows = []
    for theme in themes:
        difference, p_value = _difference(ended, theme)
        calls = _share_of_calls(ended[ended["theme"] == theme])
        rows.append({"theme": theme, **calls, "p_value": p_value, "differs": np.sign(np.nan_to_num(difference))})
    table = pd.DataFrame(rows, columns=["theme", *_CALLS, "p_value", "differs"])
    q = stats.false_discovery(table["p_value"].to_numpy(float))
    return table.assign(differs=table["differs"].where(q <= stats.FALSE_DISCOVERY_RATE, 0).astype(int))


def _share_of_calls(ended: pd.DataFrame) -> dict[str, float]:
    """Of these cases, each counted once, which share called? n_cases, n_calls, call_share, call_low, call_high."""
    cases = ended.drop_duplicates("case")
    per_customer = cases.groupby("customer")["called"].agg(["sum", "count"])
    share, low, high = stats.ratio_interval(per_customer["sum"].to_numpy(int), per_customer["count"].to_numpy(int))
    n_calls = int(per_customer["sum"].sum())
    return dict(zip(_CALLS, (len(cases), n_calls, share, low, high), strict=True))


def _difference(ended: pd.DataFrame, theme: int) -> tuple[float, float]:
    """How much more often do the theme's cases call than those of other themes, and could that be chance?

    Returns the difference of the shares and a p-value; NaN where it cannot be tested. Score test of two shares under equal
    shares, its variance between customers (each brings all its cases, of this theme and of others), with Student's t by the
    number of the theme's customers. Rao and Scott (1992), Biometrics 48.
    """
    inside, called = (ended["theme"] == theme).to_numpy(), ended["called"].to_numpy(float)
    n_customers = ended.loc[inside, "customer"].nunique()
    if n_customers < 2 or inside.all() or called.min() == called.max():
        return np.nan, np.nan
    pull = (called - called.mean()) * np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())
    per_customer = np.bincount(pd.factorize(ended["customer"])[0], weights=pull)
    score = per_customer.sum() / np.sqrt((per_customer**2).sum())
    return float(per_customer.sum()), float(2 * distributions.t.sf(abs(score), n_customers - 1))


def _typical(found: Codebook, tickets: pd.DataFrame, texts: pd.Series) -> pd.DataFrame:
    parts = [
        found.table[["theme", "name", name]].set_axis(["theme", "name", "at"], axis=1) for name in ("typical", "dissenting")
    ]
    shown = pd.concat([part.explode("at").assign(fits=i == 0) for i, part in enumerate(parts)]).dropna(subset="at")
    shown = shown.sort_values(["theme", "fits"], ascending=[True, False], kind="stable", ignore_index=True)
    position = shown.pop("at").to_numpy(int)
    return shown.assign(ticket_id=tickets["ticket_id"].to_numpy()[position], text=texts.to_numpy()[position])


def _by_month(opened_at: pd.Series, labels: np.ndarray, customers: pd.Series, about: Settings) -> pd.DataFrame:
    """Which share of each whole month's tickets has each theme? Months of the data set's own time zone."""
    dated = np.flatnonzero(opened_at.notna().to_numpy() & (labels != NO_TEXT))
    local = pd.to_datetime(opened_at.iloc[dated], utc=True).dt.tz_convert(about.timezone).dt.tz_localize(None)
    months, n_themes = local.dt.to_period("M"), labels.max(initial=MIXED) + 1
    parts = [pd.DataFrame(columns=["theme", "month", "n", "n_all", "share", "low", "high", "writers", "all_writers"])]
    who = customer_codes(customers.iloc[dated].reset_index(drop=True))
    for month, rows in sorted(months.groupby(months).indices.items()):
        if len(rows) >= _FEWEST_A_MONTH and _is_whole(month, local, about):
            shares = shares_of(labels[dated[rows]], customers.iloc[dated[rows]], n_themes)
            pairs = np.unique(np.column_stack([labels[dated[rows]], who[rows]]), axis=0)[:, 0]
            writers = np.bincount(pairs[pairs >= 0], minlength=n_themes)
            told = {"n_all": len(rows), "writers": writers, "all_writers": len(pairs)}
            parts.append(shares.assign(theme=range(n_themes), month=month.start_time, **told))
    table = pd.concat(parts[1:] or parts, ignore_index=True)[parts[0].columns]
    return table.sort_values(["theme", "month"], ignore_index=True)


def _is_whole(month: pd.Period, opened: pd.Series, about: Settings) -> bool:
    """Do the data and their tickets cover the month from its first day to its last? Three days without are forgiven."""
    forgiven, begun, ended = pd.Timedelta(days=3), month.start_time, (month + 1).start_time
    limits = [t and t.tz_convert(about.timezone).tz_localize(None) for t in (about.observed_from, about.observed_until)]
    first, last = max(limits[0] or opened.min(), opened.min()), min(limits[1] or opened.max(), opened.max())
    return bool(first <= begun + forgiven and last >= ended - forgiven)


def _changes(months: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """How did each theme's share of the tickets change from the first month to the last?

    One row per theme: theme, name, first, first_low, first_high, last, last_low, last_high, change (of the share), is_clear
    (the two intervals do not meet: a rough look that knows no season), born (see `_born`). Empty with fewer than two months.
    """
    by_month = {month: part.set_index("theme")[["share", "low", "high"]] for month, part in months.groupby("month")}
    if len(by_month) < 2:
        return pd.DataFrame(columns=["theme", "name", "change", "is_clear", "born"])
    first, last = by_month[min(by_month)], by_month[max(by_month)]
    table = pd.DataFrame({"name": names.reindex(first.index)})
    for when, part in (("first", first), ("last", last)):
        table = table.join(part.rename(columns={"share": when, "low": f"{when}_low", "high": f"{when}_high"}))
    table["change"] = table["last"] - table["first"]
    table["is_clear"] = (table["last_low"] > table["first_high"]) | (table["last_high"] < table["first_low"])
    born = {theme: _born(part, len(names)) for theme, part in months.groupby("theme")}
    table["born"] = pd.Series(born, dtype="datetime64[us]")
    order = table.assign(size=table["change"].abs()).sort_values(["born", "size"], ascending=[True, False], kind="stable").index
    return table.loc[order].reset_index()


def _born(months: pd.DataFrame, n_themes: int) -> pd.Timestamp | None:
    """The month in which a theme came up; None if it did not.

    Before it the theme has at most a tenth of its later share, and that so few of its writers fall there is no chance: taken
    over all themes and all months it might have been, 5 %. A customer who writes ten tickets in a month counts once. Shares
    that swing more than writers by lot do can still look new. Of several months the one with the least chance.

    >>> months = pd.date_range("2026-01-01", periods=3, freq="MS")
    >>> _born(pd.DataFrame({"month": months, "writers": [0, 9, 11], "all_writers": 100}), 10)
    Timestamp('2026-02-01 00:00:00')
    >>> _born(pd.DataFrame({"month": months, "writers": [0, 2, 3], "all_writers": 100}), 10)
    """
    months = months.sort_values("month")
    n, n_all = months["writers"].to_numpy(int), months["all_writers"].to_numpy(int)
    before, all_before = n.cumsum()[:-1], n_all.cumsum()[:-1]
    is_rare = before * (n_all.sum() - all_before) <= _RARE * (n.sum() - before) * all_before
    chance = distributions.hypergeom.cdf(before, n_all.sum(), n.sum(), all_before) * len(before) * n_themes
    chance = np.where(is_rare, chance, 1)
    return months["month"].iloc[int(chance.argmin()) + 1] if len(chance) and chance.min() <= _BORN else None
