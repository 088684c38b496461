"""Months of cases, fast, with a planted change between them: what the comparisons of periods and segments are tried on.

Customers have a hidden temper (standard normal) that raises both the number of their cases and their readiness to call, and a
hidden patience that their waits share; so the cases of a customer are alike, within a month and across months.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, roots_genlaguerre

from cxlib.schema import DAY, HOUR, STAGES

FIRST_DAY = "2026-07-01"  # July and August have the same length, so that two months alike are alike
TAIL = 14  # days after the last month, so that its cases have the time to end and to come back

EAGER, SPREAD = 0.25, 0.8  # how much a temper raises the log of the number of cases, and the log odds of a call
SHAPE = 2  # of the gamma part of the number of cases
SLOTS = np.array([0, 1, 2, 3, 3, 4], dtype=np.uint8)  # product, help, chatbot, agent, agent again, phone
USED = np.array([0.3, 0.6, 0.4, 0.45])  # chance that a case touches product, help, chatbot, agent
AGAIN, CALLED_FIRST = 0.3, 0.02
LOG_WAIT, WAIT_SD, PATIENCE_SD = np.log([240.0, 480.0]), 0.8, 0.2  # agent, phone: log seconds
MOODS = np.array([0.5, 0.3, 0.1, -0.1, -0.1, -0.4])


@dataclass(frozen=True)
class Months:
    """Simulated months: the fields of an event log, and what was planted."""

    fields: dict[str, Any]  # the caller makes the log of them: `EventLog(**fields)`
    segment: np.ndarray  # the segment of each case, in the order of the log
    truth: dict[str, Any]  # see `planted`


def simulate_months(
    seed: int,
    *,
    cases: int = 10_000,
    forced: Sequence[Sequence[float]] = ((0.08,), (0.10,)),
    mix: Sequence[Sequence[float]] = ((1.0,), (1.0,)),
    hold: Sequence[float] = (1.0, 0.8),
) -> Months:
    """Months of about `cases` cases that seek help (per 31 days), from one seed.

    Parameters
    ----------
    forced : one row per month, one column per segment
        The share of the cases that are forced to call, 0 to 1.
    mix : one row per month, one column per segment
        The segments' shares of the month's cases; each row sums to 1.
    hold : one number per month
        What the waits at agent and phone are multiplied with.

    Notes
    -----
    There are as many customers as cases in a month; a customer's number of cases is Poisson, its mean gamma times exp(`EAGER`
    temper). `forced` is the chance over endless cases: the log odds of a case are its segment's plus `SPREAD` times its
    customer's temper, and the segment's part is solved for. Two weeks of further cases follow the last month, so that returns
    are seen to the end.

    >>> months = simulate_months(0, cases=100)
    >>> len(months.segment), months.truth["forced"].tolist()
    (241, [0.08, 0.1])
    """
    rng = np.random.default_rng(seed)
    forced_at, mix_at, hold_at = (np.array(x, dtype=float) for x in (forced, mix, hold))
    edges = _edges(len(forced_at))
    temper, patience = rng.standard_normal((2, cases))
    mean = rng.gamma(SHAPE, size=cases) / SHAPE * np.exp(EAGER * temper - EAGER**2 / 2)
    counts = rng.poisson(np.outer(mean, np.diff(edges) / (31 * DAY)))
    customer, month = (np.repeat(place, counts.ravel()) for place in np.divmod(np.arange(counts.size), counts.shape[1]))
    planted_in = np.minimum(month, len(forced_at) - 1)
    segment = (rng.random(len(month))[:, None] > np.cumsum(mix_at, axis=1)[planted_in][:, :-1]).sum(axis=1)
    start = rng.integers(edges[month], edges[month + 1])
    calls = rng.random(len(month)) < expit(_log_odds(forced_at)[planted_in, segment] + SPREAD * temper[customer])
    fields = _fields(rng, _slots(rng, calls), start, customer, temper, hold_at[planted_in], patience)
    times = {"observed_from": int(edges[0]), "observed_until": int(edges[-1])}
    return Months(fields | times, segment, planted(forced_at, mix_at, hold_at))


def planted(forced: np.ndarray, mix: np.ndarray, hold: np.ndarray) -> dict[str, Any]:
    """What endless customers would show; one number per month, or one for the last month.

    forced; hold_agent, hold_phone (mean seconds); step (share of the moves out of help that go to phone); mix, rate (parts of
    the last change of forced); new, blocked (shares of the customers of the last month); relapse (of the regular ones of the
    month before the last, who are blocked in the last).

    >>> found = planted(np.array([[0.1], [0.2]]), np.ones((2, 1)), np.ones(2))
    >>> found["forced"].tolist(), round(found["rate"], 6), found["mix"]
    ([0.1, 0.2], 0.1, 0.0)
    """
    whole = (forced * mix).sum(axis=1)
    seconds = np.exp(LOG_WAIT + (WAIT_SD**2 + PATIENCE_SD**2) / 2)[:, None] * hold
    w0, w1, r0, r1 = mix[-2], mix[-1], forced[-2], forced[-1]
    _, helped, bot, person = USED
    alone = helped * (1 - bot) * (1 - person) + (1 - helped) * (1 - bot) * (1 - person)  # help and nothing else to its right
    any_help = helped + (1 - helped) * (1 - bot) * (1 - person)
    tried = whole / (1 - CALLED_FIRST * (1 - whole))  # forced, of those who tried something first
    return {
        "forced": whole,
        "hold_agent": seconds[0],
        "hold_phone": seconds[1],
        "step": alone / any_help * tried,
        "mix": float(((w1 - w0) * (r0 + r1) / 2).sum()),
        "rate": float(((r1 - r0) * (w0 + w1) / 2).sum()),
    } | _planted_kinds(forced, mix)


def _planted_kinds(forced: np.ndarray, mix: np.ndarray) -> dict[str, float]:
    """Shares of new and blocked customers, from the chance of no case and of no forced case, over all means and tempers."""
    days = np.diff(_edges(len(forced)))[:-1] / (31 * DAY)
    gamma, gamma_share = roots_genlaguerre(40, SHAPE - 1)
    temper, temper_share = np.polynomial.hermite_e.hermegauss(60)
    share = np.outer(gamma_share, temper_share) / (gamma_share.sum() * temper_share.sum())
    mean = np.outer(gamma / SHAPE, np.exp(EAGER * temper - EAGER**2 / 2))
    call = np.stack([m @ expit(a[:, None] + SPREAD * temper) for m, a in zip(mix, _log_odds(forced), strict=True)])
    seen = 1 - np.exp(-mean * days[:, None, None])
    blocked = 1 - np.exp(-mean * days[:, None, None] * call[:, None, :])
    before = 1 - np.exp(-mean * np.append(0, np.cumsum(days))[:-1, None, None])  # seen in an earlier month
    regular = before * (seen - blocked)
    total = (share * seen[-1]).sum()
    return {
        "new": float((share * (1 - before[-1]) * (seen - blocked)[-1]).sum() / total),
        "blocked": float((share * blocked[-1]).sum() / total),
        "relapse": float((share * regular[-2] * blocked[-1]).sum() / max((share * regular[-2]).sum(), 1e-300)),
    }


def _edges(months: int) -> np.ndarray:
    starts = pd.date_range(FIRST_DAY, periods=months + 1, freq="MS").as_unit("us").asi8
    return np.append(starts, starts[-1] + TAIL * DAY)


def _log_odds(share: np.ndarray) -> np.ndarray:
    """The log odds of a customer of temper 0 so that `share` of all cases call; cases lean to tempers of mean `EAGER`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()

    def solved(p: float) -> float:
        return brentq(lambda a: weights @ expit(a + SPREAD * (EAGER + nodes)) - p, -30, 30)

    return np.vectorize(solved, otypes=[float])(share)


def _slots(rng: np.random.Generator, calls: np.ndarray) -> np.ndarray:
    """Which of the slots each case uses, from left to right."""
    used = np.zeros((len(calls), len(SLOTS)), dtype=bool)
    used[:, :4] = rng.random((len(calls), 4)) < USED
    first = ~calls & (rng.random(len(calls)) < CALLED_FIRST)
    used[first, 1:4] = False
    used[:, 1] |= ~used[:, 1:4].any(axis=1) & ~first
    used[:, 4] = used[:, 3] & (rng.random(len(calls)) < AGAIN)
    used[:, 5] = calls | first
    return used


def _fields(rng, used, start, customer, temper, hold, patience) -> dict[str, Any]:
    """The arrays of the log, its cases being in the order of their customers."""
    size = used.shape
    pause = rng.integers(HOUR // 5, 12 * HOUR, size) * (used & (np.cumsum(used, axis=1) > 1))
    at = start[:, None] + np.cumsum(pause, axis=1)
    wait = np.full(size, -1)
    log_wait = LOG_WAIT[[0, 0, 1]] + WAIT_SD * rng.standard_normal((size[0], 3)) + PATIENCE_SD * patience[customer][:, None]
    wait[:, 3:] = np.rint(np.exp(log_wait) * hold[:, None])
    mood = np.tanh(MOODS - 0.15 * temper[customer][:, None] + 0.3 * rng.standard_normal(size))
    mood = np.where(rng.random(size) < 0.7, np.rint(1000 * mood), -32768)
    last = used & (np.cumsum(used[:, ::-1], axis=1)[:, ::-1] == 1)
    word = rng.choice([1, 0, -1], size, p=[0.6, 0.2, 0.2])
    solved = np.where((SLOTS == 1) | (SLOTS == 2), np.where(last, word, 0), -1)
    sizes = used.sum(axis=1)
    new = np.flatnonzero(np.diff(customer, prepend=-1))
    end = (at * last).max(axis=1)
    return {
        "stage": np.broadcast_to(SLOTS, size)[used],
        "at": at[used],
        "action": np.zeros(sizes.sum(), dtype=np.uint16),
        "mood": mood[used].astype(np.int16),
        "wait": wait[used].astype(np.int32),
        "solved": solved[used].astype(np.int8),
        "case_start": np.append(0, np.cumsum(sizes)),
        "customer_start": np.append(new, len(customer)),
        "case_end": end,
        "case_open": np.zeros(size[0], dtype=bool),
        "case_resolved": np.ones(size[0], dtype=bool),
        "customer_key": rng.integers(0, 2**63, len(new)).astype(np.uint64),
        "stages": STAGES,
        "actions": ("",),
        "escalation": 4,
        "problem_from": 1,
        "gap": 7 * DAY,
    }
