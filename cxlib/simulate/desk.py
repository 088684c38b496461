"""The support desk: tickets, their changes, and the surveys that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import chain
from .cases import HOUR, UNTIL, Cases, Touches
from .columns import MICRO, flat_pick, ids, labels, stream, text, times
from .people import N_AGENTS
from .plan import APPLICATIONS, GROUPS, SUBCATEGORY_NAMES, TOPICS
from .signs import Signs

PRIORITIES = ("1 - Critical", "2 - High", "3 - Moderate", "4 - Low")
LEVELS = ("1 - High", "2 - Medium", "3 - Low")
CHANNELS = ("bot", "chat", "e-mail", "phone")
RESPONSE_H = np.array([0.5, 1.0, 2.5, 4.0])  # median hours to the first answer by priority, where nobody is on the line
SLA_H = np.array([8.0, 24.0, 72.0, 120.0])  # agreed hours to the solution by priority
CLOSE_CODES = (("Solved (permanently)", 0.55), ("Solved (workaround)", 0.25), ("Not reproducible", 0.08), ("Duplicate", 0.04))
NO_ANSWER = "No answer from customer"
COMMENTS = (
    "Asked the customer for details",
    "Customer answered",
    "Shared the steps with the customer",
    "Waiting for the customer",
    "Customer asks for news",
    "Looked at the logs",
    "Called back, no answer",
    "Discussed with the second line",
)
RESOLUTIONS = (
    "Explained the steps and the customer confirmed that it works.",
    "Corrected the setting and asked the customer to try again.",
    "Passed on to the product team, workaround given.",
    "Could not be reproduced; works again on the customer's side.",
    "Fixed with the latest release.",
    "Checked the record, corrected it and informed the customer.",
)
SURVEY_COMMENTS = (
    ("Never again.", "Three contacts for one thing.", "I had to explain it twice.", "Nobody felt responsible."),
    ("Took too long.", "Friendly, but slow.", "It works, more or less."),
    ("Quick and friendly.", "All good.", "Solved at once, thank you.", "Great help!"),
)
INVITED = 0.60  # of the resolved tickets
GAVE_UP = np.array([0.0, 0.30, 0.28, 0.14, 0.06])  # of the cases that end at a stage were not solved, raised by severity below


@dataclass(frozen=True)
class Tickets:
    """One entry per ticket in order of opening. `touch` is the row of the touch that opened it; times in microseconds, not
    yet cut off.
    """

    touch: np.ndarray
    case: np.ndarray
    opened: np.ndarray
    answered: np.ndarray
    resolved: np.ndarray
    closed: np.ndarray
    channel: np.ndarray
    priority: np.ndarray
    groups: np.ndarray  # (ticket, 4): teams in order; -1 after the last
    reopened: np.ndarray
    solved: np.ndarray


def solved_cases(cases: Cases, touches: Touches, seed: int) -> np.ndarray:
    """Whether each case ends solved, rather than given up, when it ends."""
    rng = stream(seed, "solved")
    last = np.r_[np.flatnonzero(np.diff(touches.case)), len(touches.case) - 1]
    severity = chain.SEVERITY[np.maximum(cases.kind, 0)]
    return rng.random(len(cases.kind)) >= GAVE_UP[touches.stage[last]] * (0.7 + 0.3 * severity)


def ticket_of_touch(touches: Touches, tickets: Tickets, first: np.ndarray) -> np.ndarray:
    """Which ticket each touch belongs to: the latest of its case so far; -1 for none. `first` is the row of each case's
    first touch.
    """
    here = np.full(len(touches.case), -1)
    here[tickets.touch] = np.arange(len(tickets.touch))
    rows = np.arange(len(touches.case))
    latest = np.maximum.accumulate(np.where(here >= 0, rows, -1))
    has = (latest >= first) & (touches.stage >= chain.CHATBOT)
    return np.where(has, here[np.maximum(latest, 0)], -1)


def open_tickets(cases: Cases, touches: Touches, signs: Signs, by_chat: np.ndarray, solved: np.ndarray, seed: int) -> Tickets:
    """`by_chat` says of each touch with an agent whether it is a chat (else e-mail)."""
    rng = stream(seed, "tickets")
    touch = np.flatnonzero((signs.opens | signs.opens_second) & (touches.at < UNTIL))
    touch = touch[np.argsort(touches.at[touch], kind="stable")]
    case, n = touches.case[touch], len(touch)
    opened, stage = touches.at[touch], touches.stage[touch]
    channel = np.where(stage == chain.PHONE, 3, np.where(stage == chain.CHATBOT, 0, np.where(by_chat[touch], 1, 2)))
    priority = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 3]])[signs.impact[case], signs.urgency[case]]
    live = (channel == 1) | (channel == 3)
    answer_h = np.where(live, 0.01 + 0.05 * rng.random(n), RESPONSE_H[priority] * np.exp(rng.normal(0, 0.8, n)))
    answered = opened + (answer_h * 3600).astype(np.int64) * MICRO
    ends = np.zeros(len(cases.user), np.int64)
    np.maximum.at(ends, touches.case, touches.at)
    rest = (np.exp(rng.normal(np.log(3.0), 1.1, n)) * 3600).astype(np.int64) * MICRO
    resolved = np.maximum(ends[case], answered) + rest + 60 * MICRO
    closed = resolved + rng.integers(24, 120, n) * HOUR
    reopened = (rng.random(n) < 0.06).astype(np.int64) * (1 + (rng.random(n) < 0.15))
    return Tickets(
        touch, case, opened, answered, resolved, closed, channel, priority, _groups(rng, cases, case), reopened, solved[case]
    )


def _groups(rng: np.random.Generator, cases: Cases, case: np.ndarray) -> np.ndarray:
    """The teams a ticket goes through: none to three hand-overs, more with severity; the last is mostly the right one."""
    n = len(case)
    severity = chain.SEVERITY[cases.kind[case]]
    hops = np.minimum(rng.poisson(0.35 + 0.25 * severity), 3)
    right = np.array([topic.group for topic in TOPICS])[cases.topic[case]]
    team = np.where(rng.random(n) < 0.85, right, rng.integers(0, len(GROUPS), n))
    groups = np.full((n, 4), -1)
    for back in range(4):
        rows = np.flatnonzero(hops >= back)
        groups[rows, hops[rows] - back] = team[rows]
        before = (team + 1 + rng.integers(0, len(GROUPS) - 1, n)) % len(GROUPS)
        desk = (rng.random(n) < 0.6) & (team != 0)
        team = np.where(desk, 0, before)
    return groups


def teams_seen(tickets: Tickets, moved: np.ndarray, until: int) -> np.ndarray:
    """How many teams each ticket has been with by the cut-off."""
    return 1 + ((tickets.groups[:, 1:] >= 0) & (moved < until)).sum(axis=1)


def handover_times(tickets: Tickets, seed: int) -> np.ndarray:
    """When each hand-over happens, (ticket, 3), between opening and solution."""
    u = np.sort(stream(seed, "handovers").random((len(tickets.case), 3)), axis=1)
    span = (tickets.resolved - tickets.opened)[:, None]
    return tickets.opened[:, None] + (u * 0.9 * span).astype(np.int64) // MICRO * MICRO + MICRO


def ticket_table(
    tickets: Tickets, cases: Cases, signs: Signs, moved: np.ndarray, words: dict[str, pd.Series], seed: int
) -> pd.DataFrame:
    rng = stream(seed, "ticket table")
    n, case = len(tickets.case), tickets.case
    unsolved, unclosed = tickets.resolved >= UNTIL, tickets.closed >= UNTIL
    n_teams = teams_seen(tickets, moved, UNTIL)
    group = tickets.groups[np.arange(n), n_teams - 1]
    state = np.where(~unclosed, 4, np.where(~unsolved, 3, np.where(tickets.answered >= UNTIL, 0, 1 + (rng.random(n) < 0.3))))
    code = np.where(tickets.solved, flat_pick(rng, [share for _, share in CLOSE_CODES], n), len(CLOSE_CODES))
    met = tickets.resolved - tickets.opened <= (SLA_H[tickets.priority] * HOUR).astype(np.int64)
    category, subcategory = zip(*SUBCATEGORY_NAMES, strict=True)
    return pd.DataFrame(
        {
            "ticket_id": ids("T", np.arange(1, n + 1)),
            "user_id": ids("U", cases.user[case] + 1, 6),
            "case_id": ids("C", case + 1),
            "application_id": labels(cases.application[case], [name for name, _, _ in APPLICATIONS]),
            "opened_at": times(tickets.opened),
            "first_response_at": times(tickets.answered, tickets.answered >= UNTIL),
            "resolved_at": times(tickets.resolved, unsolved),
            "closed_at": times(tickets.closed, unclosed),
            "channel": labels(tickets.channel, CHANNELS),
            "state": labels(state, ("New", "In Progress", "On Hold", "Resolved", "Closed")),
            "impact": labels(signs.impact[case], LEVELS),
            "urgency": labels(signs.urgency[case], LEVELS),
            "priority": labels(tickets.priority, PRIORITIES),
            "category": labels(signs.subcategory[case], category),
            "subcategory": labels(signs.subcategory[case], subcategory),
            "assignment_group": labels(group, GROUPS),
            "reassignment_count": pd.Series(n_teams - 1, dtype="Int64"),
            "reopen_count": pd.Series(np.where(unsolved, 0, tickets.reopened), dtype="Int64"),
            "made_sla": pd.Series(met, dtype="boolean").mask(unsolved),
            "close_code": labels(np.where(unsolved, -1, code), [name for name, _ in CLOSE_CODES] + [NO_ANSWER]),
            "resolution": labels(np.where(unsolved | ~tickets.solved, -1, rng.integers(0, len(RESOLUTIONS), n)), RESOLUTIONS),
            **words,
        }
    )


def event_table(tickets: Tickets, touches: Touches, ticket_of: np.ndarray, moved: np.ndarray, seed: int) -> pd.DataFrame:
    """State, team and priority changes and comments of every ticket up to the cut-off; the first event of a field has no
    old value.
    """
    rng = stream(seed, "events")
    names = [*GROUPS, *PRIORITIES, "New", "In Progress", "Resolved", "Closed", *COMMENTS]
    at_priority, at_state = len(GROUPS), len(GROUPS) + len(PRIORITIES)
    new, progress, resolved, closed, comment = (at_state + i for i in range(5))
    n = len(tickets.case)
    every = np.arange(n)
    blocks: list[tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]] = []

    def add(ticket: np.ndarray, at: np.ndarray, field: int, old: np.ndarray | int, value: np.ndarray | int) -> None:
        blocks.append((ticket, at, field, np.broadcast_to(old, len(ticket)), np.broadcast_to(value, len(ticket))))

    add(every, tickets.opened, 0, -1, new)
    add(every, tickets.opened, 1, -1, tickets.groups[:, 0])
    add(every, tickets.opened, 2, -1, at_priority + tickets.priority)
    add(every, tickets.answered, 0, new, progress)
    for hop in range(3):
        rows = np.flatnonzero(tickets.groups[:, hop + 1] >= 0)
        add(rows, moved[rows, hop], 1, tickets.groups[rows, hop], tickets.groups[rows, hop + 1])
    changed = np.flatnonzero(rng.random(n) < 0.05)
    other = (tickets.priority[changed] + 1 + rng.integers(0, 3, len(changed))) % 4
    span = tickets.resolved - tickets.answered
    add(
        changed, tickets.answered[changed] + span[changed] // 2, 2, at_priority + tickets.priority[changed], at_priority + other
    )
    again = np.flatnonzero(tickets.reopened > 0)
    add(again, tickets.resolved[again] - span[again] // 4, 0, progress, resolved)
    add(again, tickets.resolved[again] - span[again] // 8, 0, resolved, progress)
    add(every, tickets.resolved, 0, progress, resolved)
    add(every, tickets.closed, 0, resolved, closed)
    later = np.flatnonzero((ticket_of >= 0) & (touches.at > tickets.opened[ticket_of]))
    add(ticket_of[later], touches.at[later] + 30 * MICRO, 3, -1, comment + rng.integers(0, len(COMMENTS), len(later)))

    ticket, at, field, old, value = (
        np.concatenate([np.broadcast_to(block[i], len(block[0])) for block in blocks]) for i in range(5)
    )
    at = at // MICRO * MICRO
    kept = at < UNTIL
    order = np.flatnonzero(kept)[np.lexsort((field[kept], ticket[kept], at[kept]))]
    ticket, at, field, old, value = ticket[order], at[order], field[order], old[order], value[order]
    return pd.DataFrame(
        {
            "event_id": ids("E", np.arange(1, len(order) + 1)),
            "ticket_id": ids("T", ticket + 1),
            "occurred_at": times(at),
            "actor_id": ids("A", 1 + rng.integers(0, N_AGENTS, len(order)), 3),
            "group_id": labels(_team_then(ticket, field, value, tickets), GROUPS),
            "field": labels(field, ("state", "assignment_group", "priority", "comment")),
            "old_value": labels(old, names),
            "new_value": labels(value, names),
        }
    )


def _team_then(ticket: np.ndarray, field: np.ndarray, value: np.ndarray, tickets: Tickets) -> np.ndarray:
    """The team that had each event's ticket right after the event; events in order of time."""
    order = np.argsort(ticket, kind="stable")
    is_team = field[order] == 1
    last = np.maximum.accumulate(np.where(is_team, np.arange(len(order)), -1))
    owner = np.where(last >= 0, ticket[order][np.maximum(last, 0)], -1)
    team = np.empty(len(order), np.int64)
    team[order] = np.where(owner == ticket[order], value[order][np.maximum(last, 0)], tickets.groups[ticket[order], 0])
    return team


def survey_table(tickets: Tickets, cases: Cases, touches: Touches, seed: int) -> pd.DataFrame:
    """Invitations after solution: who is angrier answers more often and scores lower."""
    rng = stream(seed, "surveys")
    rows = np.flatnonzero((tickets.resolved < UNTIL) & (rng.random(len(tickets.case)) < INVITED))
    n = len(rows)
    sent = tickets.resolved[rows] + rng.integers(3600, 36 * 3600, n) * MICRO
    rows, sent = rows[sent < UNTIL], sent[sent < UNTIL]
    n = len(rows)
    total, count = np.zeros(len(cases.user)), np.bincount(touches.case, minlength=len(cases.user))
    np.add.at(total, touches.case, touches.mood / 1000)
    mood = (total / np.maximum(count, 1))[tickets.case[rows]]
    score = np.clip(np.round(3.4 + 1.9 * mood + 0.5 * tickets.solved[rows] + rng.normal(0, 0.7, n)), 1, 5)
    answered = sent + rng.integers(600, 6 * 86400, n) * MICRO
    responds = (rng.random(n) < np.clip(0.22 - 0.16 * mood + 0.03 * (score == 5), 0.05, 0.6)) & (answered < UNTIL)
    tone = np.where(score <= 2, 0, np.where(score == 3, 1, 2))
    starts, sizes = np.cumsum([0] + [len(c) for c in SURVEY_COMMENTS[:-1]]), np.array([len(c) for c in SURVEY_COMMENTS])
    says = starts[tone] + (rng.random(n) * sizes[tone]).astype(int)
    says = np.where(responds & (rng.random(n) < 0.4), says, -1)
    order = np.lexsort((rows, sent))
    rows, sent, answered, responds, score, says = (a[order] for a in (rows, sent, answered, responds, score, says))
    return pd.DataFrame(
        {
            "response_id": ids("S", np.arange(1, n + 1)),
            "user_id": ids("U", cases.user[tickets.case[rows]] + 1, 6),
            "ticket_id": ids("T", rows + 1),
            "instrument": text(np.full(n, "csat", object)),
            "sent_at": times(sent),
            "responded_at": times(answered, ~responds),
            "score": pd.Series(np.where(responds, score, np.nan)),
            "comment": labels(says, [comment for comments in SURVEY_COMMENTS for comment in comments]),
        }
    )
