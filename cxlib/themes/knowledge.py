"""Has it been solved before? The resolved tickets nearest to a new one, and how often they would have held the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cxlib import redact, stats
from cxlib.schema import DataError, nearest
from cxlib.store import Dataset
from cxlib.themes.chances import Draw
from cxlib.themes.clusters import core
from cxlib.themes.models import chosen
from cxlib.themes.shares import customer_codes
from cxlib.themes.texts import TextModel, first_positions, plain
from cxlib.themes.tickets import ticket_texts

NEAREST, RANDOM, CATEGORY = "nearest", "random", "same category"
_BLOCK = 256  # texts compared with all others at a time
_FIRST = 64  # nearest ones put in order before more are
_LATER = 0.5  # share of the tickets, the newest, that are asked about
_MOST_ASKED, _MOST_LEARNT = 5_000, 100_000  # tickets; of more, so many by lot
_MOST_FITTED = 10_000  # distinct texts that the model is fitted on
_FEWEST = 30  # tickets asked about, for a share to be told
_PARTS = 1_000_000  # chances are added up as whole millionths, so that no order matters
_ANSWERS = ("resolution", "close_code", "assignment_group")


@dataclass(frozen=True)
class Replay:
    """The answer of `replay`."""

    table: pd.DataFrame  # method, share, low, high, n, more, more_low, more_high: see `replay`
    asked: pd.DataFrame  # one row per ticket asked about: position, hit, random, category, cosine (of the nearest), n_before
    answer: str
    by: str
    n: int  # of how many nearest


def similar(
    texts: Sequence[str | None], query: str, n: int = 5, *, text_model: str | TextModel = "lexical", seed: int = 0
) -> pd.DataFrame:
    """Which texts are nearest to this one?

    Parameters
    ----------
    texts : sequence of str
        Redacted, such as the texts of `resolved`. Missing ones and those without a letter or digit are near to nothing.
    n : int
        How many at most.
    text_model : str
        As in `fit`.

    Returns
    -------
    DataFrame
        The nearest first: ``position`` in `texts`, ``cosine`` (at most 1), ``text`` as given. Texts that are equal but for case
        and spaces count once, at their first position; of texts as near, the first comes first. Texts that share nothing with
        the query (cosine 0 or less) are left out.

    Raises
    ------
    DataError
        If n is below 1.

    Examples
    --------
    >>> similar(["late refund", "reset my password", "Late refund", None], "refund is late", n=1)["text"].tolist()
    ['late refund']
    """
    if n < 1:
        raise DataError(f"n={n} asks for no text: use 1 or more")
    said = [plain(text) for text in texts]
    first = first_positions(said)
    distinct, asked = sorted(first, key=lambda text: first[text]), plain(query)
    if not distinct or not asked:
        return pd.DataFrame({"position": np.empty(0, int), "cosine": np.empty(0), "text": np.empty(0, object)})
    with threadpool_limits(1):
        model, rows, _ = chosen(distinct, text_model, seed)
        cosine = (rows @ model.place([asked])[0]).round(9)
    order = np.argsort(-cosine, kind="stable")[:n]
    order = order[cosine[order] > 0]
    position = np.array([first[distinct[i]] for i in order], dtype=int)
    return pd.DataFrame({"position": position, "cosine": cosine[order], "text": [texts[i] for i in position]})


def resolved(dataset: Dataset) -> pd.DataFrame:
    """What is there to learn from? One row per resolved ticket: ticket_id, text, resolution, both without personal data.

    A ticket is resolved if it has a time of resolution or a resolution. The close code stands in where there is no text of one.
    """
    tickets = dataset.tables["tickets"].reset_index(drop=True)
    nothing = pd.Series(pd.NA, index=tickets.index, dtype="str")
    how, code, at = (tickets.get(name, nothing) for name in ("resolution", "close_code", "resolved_at"))
    told = redact.redact_many(how.where(how.notna(), code), redact.gazetteer(dataset.tables))
    table = tickets[["ticket_id"]].assign(text=ticket_texts(dataset), resolution=told)
    return table[at.notna() | how.notna()].reset_index(drop=True)


def replay(
    tickets: pd.DataFrame,
    texts: Sequence[str],
    *,
    answer: str = "resolution",
    n: int = 5,
    by: str = "time",
    category: str = "category",
    text_model: str | TextModel = "lexical",
    seed: int = 0,
) -> Replay:
    """How often would one of the nearest resolved tickets have held the answer?

    Parameters
    ----------
    tickets : DataFrame
        The tickets table.
    texts : sequence of str
        One redacted text per ticket, in its order: `tickets.ticket_texts`.
    answer : str
        The column that holds what is sought, such as resolution, close_code or assignment_group. Tickets without it, or without
        a text, are neither asked about nor learnt from.
    by : str
        ``"time"``: the newer half is asked about, and each ticket may learn from those that were resolved before it was opened.
        ``"rows"``: a random half learns from the other, whatever came first, for tickets without dates: the future may
        leak into the past, and customers who ask twice into both halves.
    category : str
        The column whose equals the second baseline draws from; left out where it is missing or is the answer itself.
    text_model : str
        As in `fit`; "lexical" is fitted on the tickets learnt from when the first is asked about.

    Returns
    -------
    Replay
        `table` has one row per method: ``nearest`` (the `n` nearest), ``random`` (any `n` earlier ones) and ``same category``
        (`n` earlier ones of the ticket's category, filled up with any where there are fewer). ``share``: of the ``n`` tickets
        asked about, those with their own answer among the `n` (0 to 1; for the baselines, the chance of it, exactly), with 95 %
        interval by customer; ``more``, ``more_low``, ``more_high``: by how much nearest is above this method, in pairs.

    Raises
    ------
    DataError
        If the answer is missing, dates are missing for `by="time"`, or fewer than 30 tickets can be asked about.

    Notes
    -----
    A hit says that the answer was there to be seen, not that anybody would have picked it out of the five. Equal texts count
    once, as in `similar`, with the answer of the one resolved first. Of more than 5,000 tickets to ask about, and of more than
    100,000 to learn from, so many are drawn by lot.

    Examples
    --------
    >>> tickets = pd.DataFrame({"resolution": ["refunded", "reset"] * 100})
    >>> replay(tickets, ["late refund", "reset password"] * 100, by="rows", n=1).table["share"].round(1).tolist()
    [1.0, 0.5]
    """
    said = np.array([plain(text) for text in texts], dtype=object)
    _check(tickets, said, answer, n, by)
    usable = np.flatnonzero(tickets[answer].notna().to_numpy() & (said != ""))
    draw = (_by_time if by == "time" else _by_lot)(tickets, usable, seed)
    if len(draw.asked) < _FEWEST:
        raise DataError(f"only {len(draw.asked)} tickets with a text and a {answer} can be asked about: {_FEWEST} are needed")
    with threadpool_limits(1):
        near, cosine = _found(said, draw, n, text_model, seed)
    answers = pd.factorize(tickets[answer])[0]
    hit = ((answers[np.append(draw.learnt, -1)[near]] == answers[draw.asked][:, None]) & (near >= 0)).any(axis=1)
    chances = {RANDOM: draw.by_chance(answers, n)}
    if category in tickets and category != answer:
        chances[CATEGORY] = draw.in_category(answers, pd.factorize(tickets[category])[0], n)
    customers = tickets["user_id"].iloc[draw.asked] if "user_id" in tickets else pd.Series([None] * len(hit))
    table = _table(hit, chances, customer_codes(customers.reset_index(drop=True)))
    seen = {"position": draw.asked, "hit": hit} | chances | {"cosine": cosine, "n_before": draw.before}
    return Replay(table, pd.DataFrame(seen), answer, by, n)


def replayed(
    dataset: Dataset, texts: Sequence[str], *, text_model: str | TextModel = "lexical", seed: int = 0
) -> tuple[Replay | None, str]:
    """`replay` in time order for the first of resolution, close code and assignment group that the tickets have, or why not."""
    tickets = dataset.tables["tickets"] if "tickets" in dataset.tables else pd.DataFrame()
    answers = [name for name in _ANSWERS if name in tickets and tickets[name].notna().any()]
    if not answers:
        return None, "tickets have no resolution, close code or assignment group"
    try:
        return replay(tickets, texts, answer=answers[0], text_model=text_model, seed=seed), ""
    except DataError as error:
        return None, str(error)


def _check(tickets: pd.DataFrame, said: np.ndarray, answer: str, n: int, by: str) -> None:
    if by not in ("time", "rows"):
        raise DataError(f"by={by!r} is not known: {nearest(by, ['time', 'rows'])}")
    if n < 1:
        raise DataError(f"n={n} asks for no ticket: use 1 or more")
    if len(said) != len(tickets):
        raise DataError(f"there are {len(said):,} texts for {len(tickets):,} tickets: give one per ticket, in their order")
    if answer not in tickets:
        there = [name for name in _ANSWERS if name in tickets]
        raise DataError(f"tickets have no column {answer}: ask for {' or '.join(there) or 'a column that they have'}")
    for name in ("opened_at", "resolved_at") if by == "time" else ():
        if name not in tickets or tickets[name].isna().all():
            raise DataError(f'tickets have no {name}, and the order of rows is not time: by="rows" splits them by lot instead')


def _by_time(tickets: pd.DataFrame, usable: np.ndarray, seed: int) -> Draw:
    opened, over = (tickets[name].astype("datetime64[us, UTC]") for name in ("opened_at", "resolved_at"))
    dated = usable[opened.notna().to_numpy()[usable]]
    newer = dated[np.argsort(opened.to_numpy()[dated], kind="stable")][int(len(dated) * _LATER) :]
    asked = newer[core(len(newer), seed, _MOST_ASKED)]
    done = usable[over.notna().to_numpy()[usable]]
    done = done[core(len(done), seed, _MOST_LEARNT)]
    learnt = done[np.argsort(over.to_numpy()[done], kind="stable")]
    return Draw(asked, learnt, np.searchsorted(over.to_numpy()[learnt], opened.to_numpy()[asked]))


def _by_lot(_: pd.DataFrame, usable: np.ndarray, seed: int) -> Draw:
    half = np.zeros(len(usable), dtype=bool)
    half[np.random.default_rng(seed).permutation(len(usable))[: len(usable) // 2]] = True
    asked, learnt = usable[~half], usable[half]
    asked, learnt = asked[core(len(asked), seed, _MOST_ASKED)], learnt[core(len(learnt), seed, _MOST_LEARNT)]
    return Draw(asked, learnt, np.full(len(asked), len(learnt)))


def _found(said: np.ndarray, draw: Draw, n: int, text_model: str | TextModel, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Per ticket asked about, its nearest as places in `draw.learnt` (-1: no more) and the cosine of the first (0: none)."""
    near, best = np.full((len(draw.asked), n), -1), np.zeros(len(draw.asked))
    at_first = said[draw.learnt[: draw.before.min(initial=len(draw.learnt))]]
    fitted = sorted(first_positions(at_first if len(at_first) else said[draw.learnt]))
    if not fitted:
        return near, best
    model, *_ = chosen([fitted[i] for i in core(len(fitted), seed, _MOST_FITTED)], text_model, seed)
    same, texts = pd.factorize(said[draw.learnt])  # np.unique would give each text the room of the longest
    rows = _in_blocks(model, texts)[same]
    for start in range(0, len(near), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosine = (_in_blocks(model, said[draw.asked[block]]) @ rows.T).round(6)
        for i, (line, seen) in enumerate(zip(cosine, draw.before[block], strict=True), start):
            found = _nearest(line[:seen], same, n)
            near[i, : len(found)], best[i] = found, line[found[0]] if len(found) else 0.0
    return near, best


def _in_blocks(model: TextModel, texts: np.ndarray) -> np.ndarray:
    parts = [model.place(texts[start : start + 5000].tolist()).astype(np.float32) for start in range(0, len(texts), 5000)]
    return np.vstack(parts)


def _nearest(cosine: np.ndarray, same: np.ndarray, n: int) -> np.ndarray:
    """Places of the n nearest with something in common, the nearest first and of those alike the first; equal texts once."""
    some = np.arange(len(cosine))
    if len(cosine) > _FIRST:
        some = np.flatnonzero(cosine >= np.partition(cosine, -_FIRST)[-_FIRST])
    for places in (some, np.arange(len(cosine))):
        order = places[np.argsort(-cosine[places], kind="stable")]
        found = order[np.sort(np.unique(same[order], return_index=True)[1])][:n]
        if len(found) == n:
            break
    return found[cosine[found] > 0]


def _table(hit: np.ndarray, chances: dict[str, np.ndarray], customer: np.ndarray) -> pd.DataFrame:
    cases = np.bincount(customer)

    def mean(values: np.ndarray) -> list[float]:
        per_customer = np.bincount(customer, weights=np.rint(values * _PARTS))
        return [x / _PARTS for x in stats.mean_from_sums(stats.ratio_sums(per_customer.astype(np.int64), cases))]

    share = stats.ratio_interval(np.bincount(customer, weights=hit).astype(int), cases)
    rows: list[tuple] = [(NEAREST, *share, len(hit), np.nan, np.nan, np.nan)]
    rows += [(name, *mean(chance), len(hit), *mean(hit - chance)) for name, chance in chances.items()]
    return pd.DataFrame(rows, columns=["method", "share", "low", "high", "n", "more", "more_low", "more_high"])
