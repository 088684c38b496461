"""What is it about? Themes of the tickets' own words, found on those opened before the split only."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from cxlib import themes
from cxlib.escalation.features import Moments
from cxlib.escalation.surroundings import of_the_like
from cxlib.eventlog import EventLog
from cxlib.schema import DataError
from cxlib.store import Dataset
from cxlib.themes.tickets import ticket_texts

FEWEST = 100  # texts from before the split to find themes in
NO_THEME = "no theme"  # a text in none of the themes, or without words


def learned(dataset: Dataset, before: int, seed: int = 0) -> themes.Codebook:
    """The themes of the tickets that were opened before a time (microseconds, UTC), by words alone.

    Raises
    ------
    DataError
        If fewer than 100 tickets from before that time have text.
    """
    said = ticket_texts(dataset)
    if len(said):
        opened = dataset.tables["tickets"].reset_index(drop=True).get("opened_at", pd.Series(pd.NaT, index=said.index))
        said = said[(opened < pd.Timestamp(before, unit="us", tz="UTC")).to_numpy() & (said != "").to_numpy()]
    if len(said) < FEWEST:
        raise DataError(
            f"{len(said)} tickets from before the split have a time and text (short_description, description): at least "
            f"{FEWEST} are needed to find themes; leave themes out"
        )
    return themes.fit(said.tolist(), text_model="lexical", seed=seed)


def with_themes(
    known: Moments, log: EventLog, dataset: Dataset, book: themes.Codebook, wanted: Collection[str] = ()
) -> Moments:
    """The moments with what each ticket is about: theme.value, and theme.past where there are many or it is `wanted` (see
    `of_the_like`).

    A ticket's text is known from its opening on, as its other columns are; what is written later is not read.
    """
    named = {-1: NO_THEME, -2: NO_THEME} | dict(zip(book.table["theme"], book.table["name"], strict=True))
    of_ticket = pd.Series([named[number] for number in book.assign(ticket_texts(dataset).tolist()).tolist()], dtype="str")
    tickets = dataset.tables["tickets"]["ticket_id"] if "tickets" in dataset.tables else pd.Series([], dtype="str")
    ticket = known.keys.get("ticket_id", pd.Series(np.nan, index=known.keys.index))
    theme = ticket.map(of_ticket.set_axis(tickets.to_numpy())).astype("str").rename("theme.value").to_frame()
    return Moments(known.keys, pd.concat([known.features, theme, of_the_like(log, known.keys, theme, wanted)], axis=1))
