"""What should be mended first? Themes by the calls they cost, with the help articles that match them, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cxlib import redact, stats
from cxlib.redact import Gazetteer
from cxlib.schema import DataError
from cxlib.themes.costs import CALL, Costs
from cxlib.themes.models import chosen
from cxlib.themes.texts import TextModel, first_positions, plain
from cxlib.themes.tickets import TicketThemes

N_ARTICLES = 3  # nearest ones told of each theme
CHANCE = 0.95  # near to an article is what is nearer than so many tickets of other themes
MATCHES = 0.25  # an article matches a theme if so many of its tickets are near, five times the chance: a choice
_FEWEST = 20  # tickets of other themes, to know what is near


@dataclass(frozen=True)
class FixList:
    """The answer of `fix_list`."""

    table: pd.DataFrame  # one row per theme, the most avoidable calls first: see `fix_list`
    articles: pd.DataFrame  # theme, article_id, title, cosine, near, matches: the nearest three of each theme
    n_articles: int  # with words
    why: str  # why nothing is said of articles; "" if something is


def fix_list(
    found: Costs,
    asks: TicketThemes,
    articles: pd.DataFrame | None = None,
    *,
    text_model: str | TextModel = "lexical",
    hide: Gazetteer | None = None,
    seed: int = 0,
) -> FixList:
    """Which themes should be mended first, and is there a help article for them?

    Parameters
    ----------
    found : Costs
        `costs(asks, ...)`.
    articles : DataFrame, optional
        The articles table: article_id, and title or body.
    text_model : str
        As in `fit`.
    hide : Gazetteer, optional
        Names that titles are redacted of, beside what has a shape of its own: `redact.gazetteer(dataset.tables)`.

    Returns
    -------
    FixList
        `table` has one row per theme whose burden of calls is known: ``rank``, ``theme``, ``name``, ``calls`` a month that
        would not be made if the theme's cases were like those of the others (``low``, ``high``), ``q_value``, ``is_clear``
        (above 0 at a false discovery rate of 5 %), ``n`` (cases), ``tickets`` (ids of the typical ones), and the nearest
        article: ``article_id``, ``title``, ``cosine`` (of the theme's middle ticket), ``near`` (share of its tickets, 0 to 1),
        ``has_article``. Where that is False the finding is that there is none, and the nearest one is still named.

    Raises
    ------
    DataError
        If the articles have neither title nor body.

    Notes
    -----
    What is near is calibrated on the data, for each article apart: a ticket that is nearer than 95 % of the tickets of other
    themes. An article matches where a quarter of the theme's tickets are near; so one in everybody's words matches nobody, and
    a short title can still match. With the built-in articles the right ones reach .28 to .82 of their topic's tickets, the best
    of the wrong ones .26. It says that the words match, not that the article helps, or is found.
    """
    calls = found.of(CALL).dropna(subset="burden")
    table = calls[["theme", "name", "burden", "burden_low", "burden_high", "q_value", "n"]]
    table = table.set_axis(["theme", "name", "calls", "low", "high", "q_value", "n"], axis=1)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    table["is_clear"] = (table["calls"] > 0) & (table["q_value"] <= stats.FALSE_DISCOVERY_RATE)
    typical = asks.typical[asks.typical["fits"].astype(bool)].groupby("theme")["ticket_id"].agg(list)
    table["tickets"] = [typical.get(theme, []) for theme in table["theme"]]
    near, n_articles, why = _articles(asks, articles, text_model, hide, seed)
    best = near.drop_duplicates("theme").rename(columns={"matches": "has_article"})
    table = table.merge(best, on="theme", how="left").astype({"has_article": "boolean"})
    return FixList(table.fillna({"has_article": False} if not why else {}), near, n_articles, why)


_COLUMNS = ["theme", "article_id", "title", "cosine", "near", "matches"]


def _articles(
    asks: TicketThemes,
    articles: pd.DataFrame | None,
    text_model: str | TextModel,
    hide: Gazetteer | None,
    seed: int,
) -> tuple[pd.DataFrame, int, str]:
    """The nearest articles of each theme, how many articles there are, and why none is told ("" if some are)."""
    nothing = pd.DataFrame(columns=_COLUMNS)
    if articles is None or articles.empty:
        return nothing, 0, "there are no articles"
    parts = [articles[name].fillna("").astype(str) for name in ("title", "body") if name in articles]
    if not parts:
        raise DataError("articles have neither title nor body: map one of them when importing")
    said = [plain("\n".join(part)) for part in zip(*parts, strict=True)]
    with_words = np.flatnonzero([bool(text) for text in said])
    theme, tickets = asks.tickets["theme"].to_numpy(), [plain(text) for text in asks.texts]
    rows = np.flatnonzero((theme >= 0) & [bool(text) for text in tickets])
    if not len(with_words) or not len(rows):
        return nothing, len(with_words), "no article has a word" if len(rows) else "no ticket in a theme has a text"
    with threadpool_limits(1):
        distinct = sorted(first_positions(tickets[i] for i in rows))
        model, points, _ = chosen(distinct, text_model, seed)
        place = {text: i for i, text in enumerate(distinct)}
        cosine = points @ model.place([said[i] for i in with_words]).T
    near = cosine[[place[tickets[i]] for i in rows]].round(9)
    titles = redact.redact_many(articles["title"] if "title" in articles else [None] * len(articles), hide)
    named = pd.DataFrame({"article_id": articles["article_id"].to_numpy(), "title": titles}).iloc[with_words]
    found = [nothing, *(_nearest(t, near, theme[rows] == t, named) for t in np.unique(theme[rows]))]
    return pd.concat(found[1:], ignore_index=True)[_COLUMNS], len(with_words), ""


def _nearest(theme: int, near: np.ndarray, inside: np.ndarray, named: pd.DataFrame) -> pd.DataFrame:
    """The three articles that most of a theme's tickets are near to."""
    known = inside.any() and (~inside).sum() >= _FEWEST
    share = (near[inside] > np.quantile(near[~inside], CHANCE, axis=0)).mean(axis=0) if known else np.zeros(near.shape[1])
    cosine = np.median(near[inside], axis=0)
    table = named.assign(theme=theme, cosine=cosine, near=share, matches=share >= MATCHES)
    return table.iloc[np.lexsort((np.arange(len(table)), -cosine, -share))[:N_ARTICLES]]
