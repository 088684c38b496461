"""What is new in the last whole month of a data set's tickets?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxlib.store import Dataset
from cxlib.themes.growing import Growth, growth
from cxlib.themes.news import Emerging, emerging
from cxlib.themes.texts import TextModel, plain
from cxlib.themes.tickets import TicketThemes

_FEWEST = 4  # whole months for growth: three that say how much a share varies, and the one that is asked about


@dataclass(frozen=True)
class Recent:
    """What is new in a month: themes that were not there before, and themes that grew."""

    month: pd.Timestamp | None  # its first day; None where there are no two whole months
    born: Emerging | None  # with the ids of the typical new tickets; None without texts of this month and before
    grown: Growth | None  # by the themes' names; None with fewer than four whole months


def recent(dataset: Dataset, asks: TicketThemes, *, text_model: str | TextModel = "lexical", seed: int = 0) -> Recent:
    """What do customers ask in the last whole month that they did not before, and of what do they ask more?

    Parameters
    ----------
    dataset, asks
        The data set and its tickets in themes: `of_tickets`.
    text_model, seed
        As in `fit`.

    Returns
    -------
    Recent
        `born` compares the texts of the month with all earlier ones (`emerging`), by customer. `grown` compares each theme's
        share with its past (`growth`).
    """
    months = sorted(asks.months["month"].unique())
    if len(months) < 2:
        return Recent(None, None, None)
    names = asks.table.set_index("theme")["name"]
    counts = asks.months.rename(columns={"month": "period"}).assign(theme=asks.months["theme"].map(names))
    grown = growth(counts[["theme", "period", "n"]]) if len(months) >= _FEWEST else None
    month = pd.Timestamp(months[-1])
    periods = _before_and_in(dataset, month)
    said = [asks.texts.iloc[rows].tolist() for rows in periods]
    if asks.source != "text" or not all(any(map(plain, part)) for part in said):
        return Recent(month, None, grown)
    tickets = dataset.tables["tickets"].reset_index(drop=True)
    before, now = periods
    who = tickets.get("user_id")
    customers = None if who is None else (who.iloc[before].tolist(), who.iloc[now].tolist())
    born = emerging(*said, text_model=text_model, customers=customers, seed=seed)
    ids = tickets["ticket_id"].to_numpy()[now]
    shown = born.table.assign(tickets=[ids[list(places)].tolist() for places in born.table["typical"]])
    return Recent(month, replace(born, table=shown), grown)


def _before_and_in(dataset: Dataset, month: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the tickets opened before a month, and in it, by the data set's time zone."""
    opened = pd.to_datetime(dataset.tables["tickets"]["opened_at"], utc=True).dt.tz_convert(dataset.settings.timezone)
    local = opened.dt.tz_localize(None)
    inside = (local >= month) & (local < month + pd.offsets.MonthBegin(1))
    return np.flatnonzero((local < month).to_numpy()), np.flatnonzero(inside.to_numpy())
