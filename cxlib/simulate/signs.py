"""What a case shows of itself beside its path: articles read, the ticket's opening, category, impact and urgency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import chain
from .cases import Cases, Touches
from .columns import pick, stream
from .plan import N_ARTICLES, TOPIC_ARTICLES, TOPIC_SUBCATEGORIES

BOT_TICKET = 0.30  # of the chatbot touches without a ticket leave a message, which opens one
READS = 0.75  # of the help touches open an article
SECOND_TICKET = 0.25  # of the first calls of a case that has a ticket open another


@dataclass(frozen=True)
class Signs:
    """`article` (-1: none) and `opens` by touch; the rest by case, meaningful once the case has a ticket. Codes 0 is high
    for impact, urgency.
    """

    article: np.ndarray
    opens: np.ndarray
    opens_second: np.ndarray
    subcategory: np.ndarray
    impact: np.ndarray
    urgency: np.ndarray


def draw_signs(cases: Cases, touches: Touches, seed: int) -> Signs:
    rng = stream(seed, "signs")
    n = len(touches.case)
    topic = np.where(cases.topic >= 0, cases.topic, 0)
    severity = chain.SEVERITY[np.where(cases.kind >= 0, cases.kind, 0)]
    reads = (touches.stage == chain.HELP) & (rng.random(n) < READS)
    article = np.full(n, -1)
    article[reads] = pick(rng, np.cumsum(TOPIC_ARTICLES, axis=1)[topic[touches.case[reads]]])
    assert TOPIC_ARTICLES.shape[1] == N_ARTICLES
    asks = (touches.stage >= chain.AGENT) | ((touches.stage == chain.CHATBOT) & (rng.random(n) < BOT_TICKET))
    opens = first_in_case(asks, touches)
    has_before = np.cumsum(opens) - opens > 0
    first_call = first_in_case(touches.stage == chain.PHONE, touches)
    again = first_call & ~opens & has_before & (rng.random(n) < SECOND_TICKET)
    subcategory = pick(rng, np.cumsum(TOPIC_SUBCATEGORIES, axis=1)[topic])
    impact = pick(rng, np.cumsum(chain.IMPACT, axis=1)[severity])
    urgency = pick(rng, np.cumsum(chain.URGENCY, axis=1)[severity])
    return Signs(article, opens, again, subcategory, impact, urgency)


def first_in_case(flag: np.ndarray, touches: Touches) -> np.ndarray:
    """Only the first flagged touch of each case stays flagged."""
    rows = np.flatnonzero(flag)
    case = touches.case[rows]
    kept = rows[np.r_[True, case[1:] != case[:-1]]] if len(rows) else rows
    out = np.zeros(len(flag), bool)
    out[kept] = True
    return out
