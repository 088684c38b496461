"""What is inside a theme? The same search once more, among its texts alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxlib.eventlog import progress
from cxlib.store import Dataset
from cxlib.themes.codebook import fit
from cxlib.themes.texts import TextModel, essence, plain
from cxlib.themes.tickets import TicketThemes

_FEWEST = 100  # distinct texts of a theme: fewer tell no parts apart
_HOLDS = 0.9  # agreement of partitions: less is usual among the wordings of one thing, more where there are several
_COLUMNS = ["theme", "part", "name", "n", "share", "low", "high", "stability", "typical"]
_NUMBERS = ["share", "low", "high", "stability"]
NONE = pd.DataFrame(columns=_COLUMNS).astype({"theme": int, "part": int, "n": int} | dict.fromkeys(_NUMBERS, float))


def subthemes(
    texts: Sequence[str | None],
    labels: np.ndarray,
    *,
    text_model: str | TextModel = "lexical",
    customers: Sequence | pd.Series | None = None,
    n_themes: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Which smaller themes are the largest themes made of?

    Parameters
    ----------
    texts, labels : one per ticket
        Redacted texts and the theme of each, as `Codebook.labels`; negative ones are in none.
    text_model, customers, seed
        As in `fit`. By letters and words, those that the whole theme shares weigh little among its texts.
    n_themes : int
        How many of the largest themes are looked into.

    Returns
    -------
    DataFrame
        One row per part: theme, part (from 0, the largest first), name, n (tickets), share of the theme's tickets (0 to 1) with
        low and high (95 %, by customer), stability (agreement of partitions of random 80 %, 0.9 to 1), typical (positions of
        three texts). A theme of fewer than 100 distinct texts, or whose partitions agree by less than .9, has none.

    Examples
    --------
    Four things in one theme, said 50 times each with another word:

    >>> things = ["lost my card abroad", "refund is late again", "new phone number needed", "wrong pin code entered"]
    >>> said = [f"{thing} {chr(97 + n // 9)}{chr(97 + n % 9)}" for thing in things for n in range(50)]
    >>> subthemes(said, np.zeros(200, dtype=int))["n"].tolist()
    [50, 50, 50, 50]
    """
    found = []
    largest = _largest(np.asarray(labels), n_themes)
    with progress.bar("looking into themes", len(largest), unit="theme") as shown:
        for theme in largest:
            rows = np.flatnonzero(np.asarray(labels) == theme)
            who = None if customers is None else pd.Series(list(customers), dtype=object).iloc[rows]
            found.append(_parts([texts[i] for i in rows.tolist()], text_model, who, seed).assign(theme=theme))
            found[-1]["typical"] = [tuple(rows[list(places)].tolist()) for places in found[-1]["typical"]]
            shown.update()
    some = [part for part in found if len(part)]
    return pd.concat(some, ignore_index=True)[_COLUMNS] if some else NONE.copy()


def subthemes_of_tickets(dataset: Dataset, asks: TicketThemes, *, n_themes: int = 5, seed: int = 0) -> pd.DataFrame:
    """Which smaller themes are the largest themes of a data set's tickets made of? As `subthemes`, with `of`: the
    theme's name; texts are compared as the themes' were."""
    tickets = dataset.tables["tickets"] if len(asks.tickets) else asks.tickets
    who = tickets["user_id"].reset_index(drop=True) if "user_id" in tickets else None
    labels = asks.tickets["theme"].to_numpy(dtype=int)
    model: str | TextModel = "lexical"
    if asks.themes and asks.themes.text_model != model:
        model = asks.themes.kept.model
    found = subthemes(asks.texts.tolist(), labels, text_model=model, customers=who, n_themes=n_themes, seed=seed)
    return found.assign(of=found["theme"].map(asks.table.set_index("theme")["name"]))


def _largest(labels: np.ndarray, n_themes: int) -> list[int]:
    size = np.bincount(labels[labels >= 0])
    return [theme for theme in np.argsort(-size, kind="stable")[:n_themes].tolist() if size[theme]]


def _parts(texts: Sequence[str | None], text_model: str | TextModel, customers: pd.Series | None, seed: int) -> pd.DataFrame:
    """The themes of these texts, unless they are one thing."""
    if len({essence(plain(text)) for text in texts} - {""}) < _FEWEST:
        return NONE
    book = fit(texts, None, text_model, seed, customers=customers, fewest=2)
    agreed = book.stability.loc[book.stability["k"] >= len(book.table), "stability"]
    if len(book.table) < 2 or agreed.empty or agreed.iloc[0] < _HOLDS:
        return NONE
    return book.table.rename(columns={"theme": "part"}).assign(stability=float(agreed.iloc[0]))
