"""Worlds in which every case walks one known chain of stages; made to be drawn hundreds of times.

What is planted
---------------
- *The chain*: the first stage at which help is sought, and from each stage the chances of the next one or of the end. The
  chatbot is the worst stage by far: one point more success there would spare most calls.
- *Customers*: each has one case or more; a later case walks its customer's first walk over again with chance `REPEATS`. So the
  cases of one customer are alike, while each by itself follows the chain exactly.
- *Plain use*: a touch at `product` before some of the touches, and cases of nothing else. It says nothing about the walk.
- *Mood*: by stage, plus the customer's humour and noise; known for `MOOD_KNOWN` of the touches, whatever it is.
- *Memory* (0 in the usual world): with this chance a case that came from further left calls next, whatever the chain says.
- *Time*: how long until the next touch or the end does not depend on where it goes. With `tempos`, each customer has a tempo
  that all of their pauses share.
- *The cut-off*: with `cut`, cases go on beyond `observed_until` and the log does not. That a case is over shows, as in a real
  log, only once it was silent for `GAP`; no pause within a case is as long, but for one in ten thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import binom, gammainc

from cxlib.schema import DAY, ESCALATION, PROBLEM_FROM, STAGES

from .columns import flat_pick, pick, stream

SEEKING = STAGES[1:]  # help, chatbot, agent, phone: the states of the chain, in this order
FIRST = np.array([0.55, 0.30, 0.12, 0.03])
# From each of them (rows) to each of them, and in the last column to the end.
NEXT = np.array(
    [
        [0.06, 0.24, 0.06, 0.01, 0.63],
        [0.03, 0.17, 0.20, 0.20, 0.40],
        [0.02, 0.03, 0.20, 0.08, 0.67],
        [0.01, 0.01, 0.08, 0.15, 0.75],
    ]
)
MORE_CASES = 2.0  # Poisson mean of a customer's further cases
REPEATS = 0.6
PLAIN_TOUCH, PLAIN_CASE = 0.2, 0.1  # chance of a product touch before a touch; share of cases that are plain use only
MOOD = np.array([0.7, 0.35, 0.1, -0.05, -0.4])  # by stage, product first
HUMOUR, NOISE, MOOD_KNOWN = 0.15, 0.25, 0.7  # half widths of even spreads, so that the means stay exact
MINUTE = 60_000_000
PERIOD, PAUSE, GAP = 120 * DAY, 2 * DAY, 28 * DAY  # cases begin in this period; mean pause; silence that is an end
POINT = 0.01


@dataclass(frozen=True)
class Walks:
    """A world's log and what was planted in it."""

    arrays: dict[str, Any]  # the fields of an event log
    truth: Mapping[str, float]  # forced, steps, mood, calls (per 1,000 cases): over all cases that seek help
    by_start: pd.DataFrame  # one row per stage a case may begin at: forced, steps, mood
    levers: pd.DataFrame  # one row per stage left of the phone: points, calls (per 1,000 cases) for one point more of ends


def simulate_walks(
    customers: int,
    seed: int,
    *,
    memory: float = 0.0,
    cut: bool = False,
    period: int = PERIOD,
    tempos: Sequence[float] = (1.0,),
) -> Walks:
    """A world of `customers` customers with about 3 cases each; the same for the same seed.

    Parameters
    ----------
    memory : float
        Chance (0 to 1) that a case that came from further left calls next, whatever the chain says.
    cut : bool
        Whether the log ends while the last cases go on.
    period : int
        Microseconds in which cases begin, all times being equally likely.
    tempos : sequence of float
        What a customer's mean pause is multiplied with: each customer has one of them, all equally likely.
    """
    rng = stream(seed, "walks")
    cases_of = 1 + rng.poisson(MORE_CASES, customers)
    customer = np.repeat(np.arange(customers), cases_of)
    walk, stage = _walks(rng, len(customer), memory)
    first = np.cumsum(cases_of) - cases_of
    again = rng.random(len(customer)) < REPEATS
    source = np.where(again, first[customer], np.arange(len(customer)))
    case, stage = _taken(walk, stage, source)
    plain = rng.random(len(customer)) < PLAIN_CASE
    case, stage = _with_plain_use(rng, case, stage, plain)
    tempo = stream(seed, "tempo").choice(tempos, customers)
    arrays = _log(rng, case, stage, customer, rng.uniform(-HUMOUR, HUMOUR, customers), tempo, period, cut)
    return Walks(arrays, *planted(memory))


def _walks(rng: np.random.Generator, n: int, memory: float) -> tuple[np.ndarray, np.ndarray]:
    """`n` walks to their end: case and state of each touch, sorted by case, then step."""
    steps = np.cumsum(NEXT, axis=1)
    alive, state = np.arange(n), flat_pick(rng, FIRST, n)
    from_left = np.zeros(n, dtype=bool)
    cases, states = [], []
    while len(alive):
        cases.append(alive)
        states.append(state)
        follows = pick(rng, steps[state])
        calls = from_left & (rng.random(len(alive)) < memory)
        follows = np.where(calls, len(SEEKING) - 1, follows)
        goes_on = follows < len(SEEKING)
        from_left = (follows > state)[goes_on]
        alive, state = alive[goes_on], follows[goes_on]
    case = np.concatenate(cases)
    order = np.argsort(case, kind="stable")
    return case[order], np.concatenate(states)[order]


def _taken(case: np.ndarray, state: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The touches of the walks `source`, one after the other."""
    length = np.bincount(case)
    start = np.cumsum(length) - length
    new = np.repeat(np.arange(len(source)), length[source])
    nth = np.arange(len(new)) - np.repeat(np.cumsum(length[source]) - length[source], length[source])
    return new, state[start[source][new] + nth] + 1


def _with_plain_use(
    rng: np.random.Generator, case: np.ndarray, stage: np.ndarray, plain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Product touches before some touches; cases that are `plain` keep one product touch and nothing else."""
    begins = np.append(True, case[1:] != case[:-1])
    kept = ~plain[case] | begins
    case, stage = case[kept], np.where(plain[case], 0, stage)[kept]
    times = 1 + ((rng.random(len(case)) < PLAIN_TOUCH) & ~plain[case])
    place = np.cumsum(times) - 1  # of the touch itself; what comes before it is plain use
    mixed = np.zeros(times.sum(), dtype=np.int64)
    mixed[place] = stage
    return np.repeat(case, times), mixed


def _log(
    rng: np.random.Generator,
    case: np.ndarray,
    stage: np.ndarray,
    customer: np.ndarray,
    humour: np.ndarray,
    tempo: np.ndarray,
    period: int,
    cut: bool,
) -> dict[str, Any]:
    """The fields of an event log; with `cut`, only what happened before the period was over."""
    n = len(customer)
    size = np.bincount(case, minlength=n)
    pause = (rng.exponential(PAUSE, len(case)) * tempo[customer[case]]).astype(np.int64) + 1  # until the next touch
    pause[stage == 0] = MINUTE  # plain use comes right before the touch, so that it does not lengthen the way to it
    elapsed = np.cumsum(pause)
    before = np.append(0, elapsed)[np.cumsum(size) - size]
    start = rng.integers(0, period, n)
    until = start[case] + elapsed - before[case]
    at = until - pause
    mood = 1000 * (MOOD[stage] + humour[customer[case]] + rng.uniform(-NOISE, NOISE, len(case)))
    mood = np.where(rng.random(len(case)) < MOOD_KNOWN, np.rint(mood), -32768).astype(np.int16)
    last = period if cut else int(at.max(initial=period)) + GAP
    seen = at <= last
    size = np.bincount(case[seen], minlength=n)
    keep = size > 0
    cases_of = np.bincount(customer[keep], minlength=len(humour))
    keys = rng.integers(0, 2**63, len(humour)).astype(np.uint64)
    k, ends = int(seen.sum()), np.cumsum(size[keep]) - 1
    end = at[seen][ends]
    return {
        "stage": stage[seen].astype(np.uint8),
        "at": at[seen],
        "mood": mood[seen],
        "action": np.zeros(k, np.uint16),
        "wait": np.full(k, -1, np.int32),
        "solved": np.full(k, -1, np.int8),
        "case_start": np.append(0, np.cumsum(size[keep])),
        "customer_start": np.append(0, np.cumsum(cases_of[cases_of > 0])),
        "case_end": end,
        "case_open": end > last - GAP,
        "case_resolved": np.zeros(len(end), dtype=bool),
        "customer_key": keys[cases_of > 0],
        "stages": STAGES,
        "actions": ("",),
        "escalation": STAGES.index(ESCALATION),
        "problem_from": STAGES.index(PROBLEM_FROM),
        "observed_from": 0,
        "observed_until": last,
        "gap": GAP,
    }


def planted(memory: float = 0.0) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """What endless cases would show, from the parameters: `truth`, `by_start` and `levers` of `Walks`.

    Every walk is followed step by step until less than 1e-15 of it is left; no equation is solved, so that a solver can be
    judged by it. A lever turns one point more of the touches at a stage into ends, taken from all its other moves in
    proportion, wherever the case came from.
    """
    starts = np.eye(len(SEEKING))
    rows = [_followed(first, memory) for first in (*starts, FIRST)]
    by_start = pd.DataFrame(rows[:-1], index=pd.Index(SEEKING, name="start"))[["forced", "steps", "mood"]]
    truth = rows[-1]
    levers = {}
    for state, stage in enumerate(SEEKING[:-1]):
        better = _followed(FIRST, memory, better=state)
        levers[stage] = {
            "points": 100 * (better["forced"] - truth["forced"]),
            "calls": better["calls"] - truth["calls"],
        }
    return truth, by_start, pd.DataFrame(levers).T.rename_axis("stage")


def _followed(first: np.ndarray, memory: float, better: int | None = None) -> dict[str, float]:
    """Follow the walks that begin at `first`, with one point more of ends at the state `better`.

    Mass is kept by (has called, came from further left, state).
    """
    k = len(SEEKING)
    phone = k - 1
    rules = [(1 - memory * left) * NEXT[:, :k] + memory * left * np.eye(k)[phone] for left in (0, 1)]
    if better is not None:
        for rule in rules:
            rule[better] *= 1 - POINT / rule[better].sum()
    mass = np.zeros((2, 2, k))
    mass[0, 0] = first
    mass[1, 0, phone], mass[0, 0, phone] = mass[0, 0, phone], 0
    rightward = np.triu(np.ones((k, k)), 1)
    seen, forced = np.zeros(k), 0.0
    while mass.sum() > 1e-15:
        seen += mass.sum(axis=(0, 1))
        after = np.zeros_like(mass)
        for left, rule in enumerate(rules):
            after[:, 1] += mass[:, left] @ (rule * rightward)
            after[:, 0] += mass[:, left] @ (rule * (1 - rightward))
        called = after[0, :, phone].copy()  # they have called for the first time
        forced += called.sum()
        after[1, :, phone] += called
        after[0, :, phone] = 0
        mass = after
    return {
        "forced": float(forced),
        "steps": float(seen.sum() - 1),
        "mood": float(seen @ MOOD[1:] / seen.sum()),
        "calls": 1000 * float(seen[phone]),
    }


def called_by(time: np.ndarray, tempos: Sequence[float] = (1.0,)) -> np.ndarray:
    """The share of the cases that seek help that have called by each time after they first sought it (microseconds): exact.

    The chance that the first call is the k-th move, times the chance that k pauses (a gamma) and the plain use among them
    are over by then.

    >>> called_by(np.array([0, DAY, 10_000 * DAY])).round(4).tolist()
    [0.03, 0.064, 0.1727]
    """
    tempo = np.array(tempos)[:, None]
    share, waiting = FIRST[-1] * (time >= 0.0), FIRST[:-1]
    k = 0
    while waiting.sum() > 1e-15:
        k += 1
        calls, waiting = waiting @ NEXT[:-1, -2], waiting @ NEXT[:-1, : len(SEEKING) - 1]
        for plain in range(k + 1):
            chance = binom(k, plain) * PLAIN_TOUCH**plain * (1 - PLAIN_TOUCH) ** (k - plain)
            left = np.maximum(time - plain * MINUTE, 0)
            share = share + calls * chance * gammainc(k, left / (PAUSE * tempo)).mean(axis=0)
    return share
