"""What nobody in the world knows: the exact chance that a case ends in a call, given what its columns have shown so far."""

from __future__ import annotations

import numpy as np

from . import chain
from .cases import HOUR, Cases, Touches
from .columns import MICRO
from .plan import TOPIC_ARTICLES, TOPIC_SEVERITY, TOPIC_SUBCATEGORIES
from .signs import Signs


def moments(touches: Touches) -> np.ndarray:
    """Which touches are moments of prediction: help is sought, left of the phone, and no call has been made in the case."""
    called = np.cumsum(touches.stage == chain.PHONE)
    before = called - (touches.stage == chain.PHONE)
    calls_before = before - before[first_of_case(touches)]
    return (touches.stage >= chain.HELP) & (touches.stage < chain.PHONE) & (calls_before == 0)


def first_of_case(touches: Touches) -> np.ndarray:
    """For each touch, the row of the first touch of its case."""
    rows = np.arange(len(touches.case))
    return np.maximum.accumulate(np.where(touches.nth == 0, rows, 0))


def chance_of_call(cases: Cases, touches: Touches, signs: Signs) -> np.ndarray:
    """p_call by touch; NaN where the touch is no moment of prediction.

    Bayes over topic and kind. Given its kind, a case's stages, waits and moods are independent of everything else, and
    given its topic so are article and subcategory; so the weight of a kind is (what speaks for the topics) @ P(kind |
    topic) x P(steps, waits, moods, impact and urgency | kind), and p_call is the weighted mean of `chain.WILL_CALL` at the
    present stage. It conditions on the case's own columns up to and including the touch: start, application, stage,
    sentiment, occurred_at, article_id and, from the ticket's opening on, category, subcategory, impact, urgency (priority
    follows from these two). The incidents tell through start and
    application. Texts and the user's other cases are not used.
    """
    scored = moments(touches)
    p_call = np.full(len(touches.case), np.nan)
    kinds = chain.kind_given(TOPIC_SEVERITY)
    evidence = np.zeros((len(cases.kind), chain.N_KINDS))
    topics = cases.prior.copy()
    order = np.argsort(touches.nth, kind="stable")
    ends = np.cumsum(np.bincount(touches.nth))
    for rows in np.split(order, ends[:-1]):
        case = touches.case[rows]
        evidence[case] += _of_touch(touches, rows)
        _see_signs(topics, evidence, case, rows, signs)
        asked = rows[scored[rows]]
        case = touches.case[asked]
        weight = (topics[case] @ kinds) * np.exp(evidence[case] - evidence[case].max(axis=1, keepdims=True))
        p_call[asked] = (weight * chain.WILL_CALL[:, touches.stage[asked]].T).sum(axis=1) / weight.sum(axis=1)
    return p_call


def _of_touch(touches: Touches, rows: np.ndarray) -> np.ndarray:
    """Log likelihood by kind of step, wait and mood of these touches (all of the same place in their cases), up to a
    constant.
    """
    stage = touches.stage[rows]
    mood = np.arctanh(touches.mood[rows] / 1000)
    seen = np.where(touches.known[rows][:, None], _normal(mood, chain.MOOD[:, stage], chain.MOOD_SD), 0.0)
    if touches.nth[rows[0]] == 0:
        first = np.log(chain.FIRST_STAGE.T[np.maximum(stage, 1) - 1])
        return seen + np.where((stage == chain.PRODUCT)[:, None], 0.0, first)
    back = touches.stage[rows - 1]
    wait = np.log((touches.at[rows] - touches.at[rows - 1] - MICRO) / HOUR + 0.5 / 3600)
    with np.errstate(divide="ignore"):
        later = np.log(chain.NEXT[:, back, stage].T)
    first = np.log(chain.FIRST_STAGE.T[np.maximum(stage, 1) - 1])
    step = np.where((back == chain.PRODUCT)[:, None], np.where((stage == chain.PRODUCT)[:, None], 0.0, first), later)
    return seen + step + _normal(wait, chain.WAIT[:, back], chain.WAIT_SD)


def _normal(x: np.ndarray, mean: np.ndarray, sd: float) -> np.ndarray:
    """Log density up to a constant, (row, kind)."""
    return -0.5 * ((x[:, None] - mean.T) / sd) ** 2


def _see_signs(topics: np.ndarray, evidence: np.ndarray, case: np.ndarray, rows: np.ndarray, signs: Signs) -> None:
    """Add what the article read and the ticket opened at these touches tell."""
    read = signs.article[rows] >= 0
    topics[case[read]] *= TOPIC_ARTICLES[:, signs.article[rows[read]]].T
    opened = signs.opens[rows]
    which = case[opened]
    topics[which] *= TOPIC_SUBCATEGORIES[:, signs.subcategory[which]].T
    severity = chain.SEVERITY
    evidence[which] += np.log(
        chain.IMPACT[severity][:, signs.impact[which]] * chain.URGENCY[severity][:, signs.urgency[which]]
    ).T
