"""The tables and the truth of a world, put together from its rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.schema import ESCALATION, PROBLEM_FROM, STAGES

from . import chain
from .cases import (
    UNTIL,
    Cases,
    Incidents,
    Touches,
    draw_cases,
    draw_incidents,
    no_incidents,
    planted_topic_shares,
    problem_share,
    walk,
)
from .columns import ids, labels, stream, text, times
from .desk import event_table, handover_times, open_tickets, solved_cases, survey_table, ticket_of_touch, ticket_table
from .operations import incident_table, transaction_table
from .people import N_AGENTS, applications, draw_agents, draw_articles, draw_users, draw_visitors
from .plan import APPLICATIONS, KEYS, TOPIC_SEVERITY
from .signs import Signs, draw_signs
from .text import write
from .truth import chance_of_call, first_of_case

SETTINGS: dict[str, object] = {
    "name": "Demo company",
    "timezone": "Europe/Berlin",
    "observed_from": "2026-04-01T00:00:00Z",
    "observed_until": "2026-10-01T00:00:00Z",
    "stages": list(STAGES),
    "escalation": ESCALATION,
    "problem_from": PROBLEM_FROM,
    "cases": {"by": "user_id", "gap": "7d"},
    "cost": {"product": 0.0, "help": 0.1, "chatbot": 0.5, "agent": 8.0, "phone": 14.0},
}
ACTIONS = ("use", "search", "read article", "ask the bot", "leave a message", "chat", "e-mail", "call")
WAIT_S = np.array([0.0, 0.0, 1.5, 95.0, 60.0])  # median seconds until somebody answers: a proud 60 on the phone
DURATION_S = np.array([600.0, 150.0, 210.0, 840.0, 660.0])
OUTCOMES = ("used", "not solved", "solved", "gave up")


@dataclass(frozen=True)
class World:
    """A simulated support world: `tables` in the columns of the schema, `truth` that no analysis reads, `settings` for
    dataset.toml.
    """

    tables: dict[str, pd.DataFrame]
    truth: dict[str, pd.DataFrame]
    settings: dict[str, object]


ROOMS = ("cases", "chance of a call", "users", "texts", "tables")


def simulate_world(n_users: int, seed: int, done: Callable[[str], object] = lambda room: None) -> World:
    """A support world of `n_users` customers over six months, the same for the same seed; see the package for what is planted.

    `done` is told the name of each of `ROOMS` when it is finished.
    """
    incidents = draw_incidents(len(APPLICATIONS), seed)
    cases = draw_cases(n_users, seed, incidents)
    touches = walk(cases, seed)
    signs = draw_signs(cases, touches, seed)
    done(ROOMS[0])
    p_call = chance_of_call(cases, touches, signs)
    done(ROOMS[1])
    solved = solved_cases(cases, touches, seed)
    action = draw_actions(touches, signs, seed)
    tickets = open_tickets(cases, touches, signs, action == ACTIONS.index("chat"), solved, seed)
    moved = handover_times(tickets, seed)
    ticket_of = ticket_of_touch(touches, tickets, first_of_case(touches))
    visitor, identities, links = draw_visitors(n_users, cases, touches, seed)
    users = draw_users(n_users, cases, seed)
    done(ROOMS[2])
    writers = users.iloc[cases.user[tickets.case]].reset_index(drop=True)
    words, personal = write(stream(seed, "text"), cases.topic[tickets.case], cases.application[tickets.case], writers)
    done(ROOMS[3])

    order, number = order_in_time(touches)
    tables = {
        "users": users,
        "identities": identities,
        "applications": applications(),
        "touchpoints": touch_table(order, cases, touches, signs, action, ticket_of, visitor, solved, seed),
        "tickets": ticket_table(tickets, cases, signs, moved, words, seed),
        "ticket_events": event_table(tickets, touches, ticket_of, moved, seed),
        "agents": draw_agents(seed),
        "articles": draw_articles(seed),
        "surveys": survey_table(tickets, cases, touches, seed),
        "transactions": transaction_table(n_users, incidents, seed),
        "incidents": incident_table(incidents, seed),
    }
    truth = {
        "cases": case_truth(cases, touches, solved),
        "tickets": pd.DataFrame(
            {"ticket_id": tables["tickets"]["ticket_id"], "topic": labels(cases.topic[tickets.case], KEYS)}
        ),
        "personal": personal,
        "identities": links,
        "escalation": escalation_truth(order, number, p_call),
        "parameters": parameters(incidents),
    }
    done(ROOMS[4])
    return World(tables, truth, SETTINGS)


def simulate_paths(n_users: int, seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Only the touchpoints of a world without incidents and without a cut-off, and its planted shares.

    Made to be drawn hundreds of times. Every case runs to its end, so the planted shares are exactly what the observed
    ones tend to.
    """
    incidents = no_incidents()
    cases = draw_cases(n_users, seed, incidents)
    touches = walk(cases, seed)
    order = np.lexsort((touches.nth, touches.case, touches.at))
    case = touches.case[order]
    frame = pd.DataFrame(
        {
            "touchpoint_id": ids("P", np.arange(1, len(order) + 1), 8),
            "user_id": ids("U", cases.user[case] + 1, 6),
            "case_id": ids("C", case + 1),
            "occurred_at": times(touches.at[order]),
            "stage": labels(touches.stage[order], STAGES),
            "sentiment": pd.Series(np.where(touches.known[order], touches.mood[order] / 1000, np.nan)),
        }
    )
    return frame, planted(incidents)


def planted(incidents: Incidents) -> dict[str, float]:
    """The population's shares that a funnel should find; see `chain.planted_shares`."""
    return chain.planted_shares(planted_topic_shares(incidents), TOPIC_SEVERITY, problem_share(incidents))


def parameters(incidents: Incidents) -> pd.DataFrame:
    shares = planted(incidents) | {
        f"topic_{key}": float(s) for key, s in zip(KEYS, planted_topic_shares(incidents), strict=True)
    }
    return pd.DataFrame({"name": text(list(shares)), "value": np.round(list(shares.values()), 9)})


def order_in_time(touches: Touches) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the touches before the cut-off in order of time, and each row's place in that order (1-based; 0 for
    later ones).
    """
    order = np.lexsort((touches.nth, touches.case, touches.at))
    order = order[touches.at[order] < UNTIL]
    number = np.zeros(len(touches.at), np.int64)
    number[order] = np.arange(1, len(order) + 1)
    return order, number


def draw_actions(touches: Touches, signs: Signs, seed: int) -> np.ndarray:
    rng = stream(seed, "actions")
    chat = rng.random(len(touches.stage)) < 0.55
    table = np.array([0, 1, 3, 6, 7])[touches.stage]
    table = np.where(signs.article >= 0, 2, table)
    table = np.where((touches.stage == chain.CHATBOT) & signs.opens, 4, table)
    return np.where((touches.stage == chain.AGENT) & chat, 5, table)


def touch_table(
    order: np.ndarray,
    cases: Cases,
    touches: Touches,
    signs: Signs,
    action: np.ndarray,
    ticket_of: np.ndarray,
    visitor: np.ndarray,
    solved: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    rng = stream(seed, "touches")
    n, stage, case = len(order), touches.stage[order], touches.case[order]
    last = np.r_[touches.case[1:] != touches.case[:-1], True][order]
    outcome = np.where(stage == chain.PRODUCT, 0, np.where(~last, 1, np.where(solved[case], 2, 3)))
    staffed = stage >= chain.AGENT
    wait = np.round(WAIT_S[stage] * np.exp(rng.normal(0, 0.7, n)))
    duration = np.round(DURATION_S[stage] * np.exp(rng.normal(0, 0.6, n)))
    seen_as = visitor[order]
    article, ticket = signs.article[order], ticket_of[order]
    live = staffed & (action[order] != ACTIONS.index("e-mail"))
    return pd.DataFrame(
        {
            "touchpoint_id": ids("P", np.arange(1, n + 1), 8),
            "user_id": ids("U", cases.user[case] + 1, 6, seen_as > 0),
            "visitor_id": ids("V", seen_as, 6, seen_as == 0),
            "case_id": ids("C", case + 1),
            "occurred_at": times(touches.at[order]),
            "stage": labels(stage, STAGES),
            "action": labels(action[order], ACTIONS),
            "application_id": labels(cases.application[case], [name for name, _, _ in APPLICATIONS]),
            "agent_id": ids("A", rng.integers(1, N_AGENTS + 1, n), 3, ~staffed),
            "article_id": ids("H", article + 1, 3, article < 0),
            "ticket_id": ids("T", ticket + 1, 7, ticket < 0),
            "wait_s": pd.Series(np.where(live | (stage == chain.CHATBOT), wait, np.nan)),
            "duration_s": pd.Series(duration),
            "outcome": labels(outcome, OUTCOMES),
            "sentiment": pd.Series(np.where(touches.known[order], touches.mood[order] / 1000, np.nan)),
            "sentiment_source": labels(np.where(touches.known[order], 0, -1), ["simulated"]),
        }
    )


def case_truth(cases: Cases, touches: Touches, solved: np.ndarray) -> pd.DataFrame:
    """One row per case, as it truly went on after the cut-off too."""
    n = len(cases.user)
    ended, count = np.zeros(n, np.int64), np.bincount(touches.case, minlength=n)
    np.maximum.at(ended, touches.case, touches.at)
    calls = np.bincount(touches.case[touches.stage == chain.PHONE], minlength=n) > 0
    seeks = np.flatnonzero(touches.stage >= chain.HELP)
    first = seeks[np.r_[True, np.diff(touches.case[seeks]) > 0]]
    called_first = np.zeros(n, bool)
    called_first[touches.case[first]] = touches.stage[first] == chain.PHONE
    severity, temper = (np.where(cases.kind >= 0, of[np.maximum(cases.kind, 0)], -1) for of in (chain.SEVERITY, chain.TEMPER))
    return pd.DataFrame(
        {
            "case_id": ids("C", np.arange(1, n + 1)),
            "user_id": ids("U", cases.user + 1, 6),
            "topic": labels(cases.topic, KEYS),
            "severity": pd.Series(severity, dtype="Int64").mask(severity < 0),
            "temper": pd.Series(temper, dtype="Int64").mask(temper < 0),
            "will_call": pd.Series(calls, dtype="boolean"),
            "called_first": pd.Series(called_first, dtype="boolean"),
            "solved": pd.Series(solved, dtype="boolean"),
            "n_touches": pd.Series(count, dtype="Int64"),
            "started_at": times(cases.start),
            "ended_at": times(ended),
        }
    )


def escalation_truth(order: np.ndarray, number: np.ndarray, p_call: np.ndarray) -> pd.DataFrame:
    """The exact chance of a call at each moment of prediction before the cut-off."""
    rows = order[~np.isnan(p_call[order])]
    return pd.DataFrame({"touchpoint_id": ids("P", number[rows], 8), "p_call": np.round(p_call[rows], 6)})
