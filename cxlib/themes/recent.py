"""What is new in the last whole month of a data set's tickets?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    born: Emerging | None  # None without texts of this month and before
    born_tickets: pd.DataFrame  # name, ticket_id of the typical new tickets
    grown: Growth | None  # None with fewer than four whole months
    names: pd.Series  # of the themes that `grown` speaks of


def recent(
    dataset: Dataset, asks: TicketThemes, texts: Sequence[str], *, text_model: str | TextModel = "lexical", seed: int = 0
) -> Recent:
    """What do customers ask in the last whole month that they did not before, and of what do they ask more?

    Parameters
    ----------
    dataset, asks
        The data set and its tickets in themes: `of_tickets`.
    texts : sequence of str
        One redacted text per ticket, in the order of `asks.tickets`.
    text_model, seed
        As in `emerging`.

    Returns
    -------
    Recent
        `born` compares the texts of the month with all earlier ones (`emerging`), by customer. `grown` compares each theme's
        share with its past (`growth`).
    """
    names = asks.table.set_index("theme")["name"]
    months = sorted(asks.months["month"].unique())
    none = pd.DataFrame(columns=["name", "ticket_id"])
    if len(months) < 2:
        return Recent(None, None, none, None, names)
    counts = asks.months.rename(columns={"month": "period"})[["theme", "period", "n"]]
    grown = growth(counts) if len(months) >= _FEWEST else None
    month = pd.Timestamp(months[-1])
    old, new = _before_and_in(dataset, month)
    said = [[texts[i] for i in rows] for rows in (old, new)]
    if asks.source != "text" or not all(any(map(plain, part)) for part in said):
        return Recent(month, None, none, grown, names)
    tickets = dataset.tables["tickets"]
    who = tickets.get("user_id")
    customers = None if who is None else (who.iloc[old].tolist(), who.iloc[new].tolist())
    born = emerging(*said, text_model=text_model, customers=customers, seed=seed)
    shown = born.table[["name", "typical"]].explode("typical", ignore_index=True)
    ids = tickets["ticket_id"].to_numpy()[new[shown["typical"].to_numpy(int)]] if len(shown) else []
    return Recent(month, born, shown[["name"]].assign(ticket_id=ids), grown, names)


def _before_and_in(dataset: Dataset, month: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the tickets opened before a month, and in it, by the data set's time zone."""
    opened = pd.to_datetime(dataset.tables["tickets"]["opened_at"], utc=True).dt.tz_convert(dataset.settings.timezone)
    local = opened.dt.tz_localize(None)
    inside = (local >= month) & (local < month + pd.offsets.MonthBegin(1))
    return np.flatnonzero((local < month).to_numpy()), np.flatnonzero(inside.to_numpy())
