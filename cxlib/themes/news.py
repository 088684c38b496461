"""What do customers write about that they did not before? Places where new texts crowd and old ones are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from cxlib.schema import DataError
from cxlib.themes.clusters import N_TYPICAL
from cxlib.themes.crowds import Tickets, dealt_as, parts_that_are_news
from cxlib.themes.models import chosen
from cxlib.themes.names import name_themes
from cxlib.themes.shares import MIXED, NO_TEXT, customer_codes, shares_of
from cxlib.themes.texts import TextModel, first_positions, plain

_MOST = 20_000  # tickets compared, if the new ones are fewer; of the old ones then a random part
_COLUMNS = ["name", "n", "share", "low", "high", "n_texts", "n_old", "lift", "p_value", "keywords", "typical"]


@dataclass(frozen=True)
class Emerging:
    """Themes of the new texts that the old ones lack."""

    table: pd.DataFrame  # one row per theme, largest first; see `emerging`
    labels: np.ndarray  # of each new text, in order: its row in `table`, or -1
    n_new: int  # new texts with words
    n_old: int  # old texts with words that they were compared with
    n_empty: int  # new texts without words, in no share
    denser: float  # how many times as dense the new texts may be anywhere before it is news


def emerging(
    old_texts: Sequence[str | None],
    new_texts: Sequence[str | None],
    *,
    text_model: str | TextModel = "auto",
    customers: tuple[Sequence, Sequence] | None = None,
    denser: float = 1.5,
    deals: int = 199,
    seed: int = 0,
) -> Emerging:
    """Which themes do the new texts have that the old ones lack?

    Parameters
    ----------
    old_texts, new_texts : sequence of str
        One per ticket of an earlier and of a later period, redacted; such as two months or more and the month after. Those
        without a letter or digit count nowhere.
    text_model : str
        As in `fit`. Of 100 bank intents that come with 60 tickets in a month of 3,000, 88 are found by meaning, 62 by letters
        and words alone; of 100 simulated topics of real-sized tickets more than 80.
    customers : (old, new), optional
        Whose each text is: then customers are dealt and counted, not tickets, and one who writes often is one. A missing one is
        a customer of its own.
    denser : float
        How many times the usual odds a text's surroundings may be new and still be chance: 1 takes any change of a theme's
        share for news, such as one month has after another.
    deals : int
        How often old and new are dealt anew. The smallest p-value is 1 / (deals + 1).
    seed : int
        Of everything random. Same texts and seed, same themes, in any order of the texts.

    Returns
    -------
    Emerging
        `table` has one row per theme: name, n (new tickets), share (of the new texts with words, 0 to 1) with its 95 % interval
        low and high (by customer), n_texts (distinct texts among them), n_old (old tickets of which most of the 5 nearest are
        in the theme), lift (the share of such tickets among the new over that among the old, half a ticket added), p_value,
        keywords, typical (positions in `new_texts`). Empty where nothing is news.

    Raises
    ------
    DataError
        If no old or no new text has words, or an argument cannot be used.

    Notes
    -----
    Around each distinct text the share of new tickets among the 30 nearest, old and new together, is taken, the r-th
    nearest weighing 1 / sqrt(r). Its own copies are the nearest ones; of any other text one counts, so that a text sent a
    thousand times does not colour all that is like it. Crowded texts tied by their 5 nearest make a theme; its mass is the
    sum over new tickets (with `customers` over customers) of what the share exceeds the threshold by. The p-value compares
    that with the largest mass found when old and new are dealt out at random, new ones at `denser` times their usual odds
    (those among distinct texts): it is family-wise, so that at most 5 % of comparisons without news show any theme. Themes up
    to p = .05 are shown, in two where few ties join two halves that are news each by itself.

    n counts a theme's crowded tickets only: those at its edge are missing. The place was chosen for being dense, so lift is
    too high for a theme that barely passes. Many equal texts are news as much as many different ones: see n_texts. Time grows
    with the square of the number of new texts. Of more old tickets than 20,000 less the new ones a random part is compared.

    References
    ----------
    Schilling (1986), J. Am. Stat. Assoc. 81 (two samples by nearest neighbours); Bullmore et al. (1999), IEEE Trans. Med.
    Imaging 18 (mass of clusters under permutation); Nichols and Holmes (2002), Human Brain Mapping 15 (the largest of all).

    Examples
    --------
    Four texts of 30 tickets each in both months; in the second 40 tickets more say one thing that nobody said before.

    >>> month = ["reset my password", "login is locked", "late refund", "wrong invoice"] * 30
    >>> found = emerging(month, ["app crashes"] * 40 + month)
    >>> found.table[["name", "n", "n_old", "n_texts", "typical"]].values.tolist()
    [['app crashes', 40, 0, 1, (0,)]]
    >>> found.table["share"].tolist(), found.labels[38:42].tolist()
    ([0.25], [0, 0, -1, -1])
    """
    said = [[plain(text) for text in texts] for texts in (old_texts, new_texts)]
    _check(said, customers, denser, deals, seed)
    draw = np.random.default_rng(seed)
    distinct, tickets = _tickets(said, customers, draw)
    with threadpool_limits(1):  # sums over several threads differ in the last digit
        points = _placed(distinct, text_model, seed)
        theme, p_values, place = parts_that_are_news(points, tickets, denser, deals, draw)
    labels, table = _table(distinct, points, theme, said[1], customers and customers[1])
    old, new = (place[tickets.text[tickets.is_new[tickets.unit] == later]] for later in (False, True))
    n_old, n_like = (np.bincount(which[which >= 0], minlength=len(table)) for which in (old, new))
    lift = n_like / len(new) / ((n_old + 0.5) / (len(old) + 0.5))
    written = [text != "" for text in said[1]]
    return Emerging(
        table=table.assign(n_old=n_old, lift=lift, p_value=p_values)[_COLUMNS],
        labels=labels,
        n_new=sum(written),
        n_old=len(old),
        n_empty=len(written) - sum(written),
        denser=denser,
    )


def _check(said: list[list[str]], customers: object, denser: float, deals: int, seed: int) -> None:
    for when, texts in zip(("old", "new"), said, strict=True):
        if not any(texts):
            raise DataError(f"none of the {len(texts):,} {when} texts has a word: news needs texts of both periods")
    if customers is not None and [len(ids) for ids in customers] != [len(texts) for texts in said]:  # type: ignore[attr-defined]
        raise DataError(f"customers must be (old, new), with {len(said[0]):,} and {len(said[1]):,} entries: one per text")
    if denser < 1 or deals < 19 or seed < 0:
        raise DataError(f"denser={denser}, deals={deals}, seed={seed}: use 1 or more, 19 or more (for p = .05), 0 or more")


def _placed(distinct: Sequence[str], text_model: str | TextModel, seed: int) -> np.ndarray:
    rows = chosen(distinct, text_model, seed)[1]
    points = normalize(np.asarray(rows, dtype=float))
    if len(points) != len(distinct) or not np.isfinite(points).all():
        raise DataError(
            f"the text model gave {len(points):,} places for {len(distinct):,} texts, or places that are no numbers"
        )
    return points


def _tickets(
    said: list[list[str]], customers: tuple[Sequence, Sequence] | None, draw: np.random.Generator
) -> tuple[list[str], Tickets]:
    """The distinct texts in order of the alphabet, and the tickets; of more old ones than can be compared a random part."""
    both = [*said[0], *said[1]]
    new = np.repeat([False, True], [len(texts) for texts in said])
    who = np.arange(len(both)) if customers is None else customer_codes(pd.Series([*customers[0], *customers[1]], dtype=object))
    kept = np.array([text != "" for text in both])
    number = {text: i for i, text in enumerate(sorted(first_positions(both)))}
    tickets = dealt_as(np.array([number[text] for text in both if text]), new[kept], who[kept])
    shuffled = draw.permutation(np.flatnonzero(~tickets.is_new))
    reach, fresh = np.cumsum(np.bincount(tickets.unit)[shuffled]), tickets.is_new[tickets.unit].sum()
    room = max(_MOST - fresh, fresh, reach[0])
    stays = ~np.isin(tickets.unit, shuffled[reach > room])
    used, text = np.unique(tickets.text[stays], return_inverse=True)
    names = list(number)
    units, unit = np.unique(tickets.unit[stays], return_inverse=True)
    return [names[i] for i in used], Tickets(text, unit, tickets.is_new[units])


def _table(
    distinct: list[str], points: np.ndarray, theme: np.ndarray, new: list[str], customers: Sequence | None
) -> tuple[np.ndarray, pd.DataFrame]:
    """The label of each new text; and of each theme the name, its share and its typical texts."""
    of_text, first, n = dict(zip(distinct, theme.tolist(), strict=True)), first_positions(new), int(theme.max()) + 1
    labels = np.array([of_text.get(text, MIXED) for text in new], dtype=int)
    written = np.array([text != "" for text in new])
    shares = shares_of(np.where(written, labels + 1, NO_TEXT), customers, n + 1).iloc[1:].reset_index(drop=True)
    rest = np.where(theme >= 0, theme, n)
    named = name_themes([*distinct, ""], np.append(rest, n)).iloc[:n]  # the empty one: so that there is a rest
    inside = [np.flatnonzero((theme == i) & np.array([text in first for text in distinct])) for i in range(n)]
    typical = [tuple(first[distinct[i]] for i in _nearest(points, texts)) for texts in inside]
    return labels, named.join(shares).assign(n_texts=[len(texts) for texts in inside], typical=typical)


def _nearest(points: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Those of some texts that lie nearest to their middle."""
    closeness = (points[texts] @ points[texts].mean(axis=0)).round(9)
    return texts[np.argsort(-closeness, kind="stable")[:N_TYPICAL]]
