"""Worlds in which it is known what moving left would have changed; made to be drawn hundreds of times.

A case has a kind (`chain`: severity and its customer's temper) and walks the chain of the demo from its first touch to its end.
What it would have been like, had it ended at any other stage, is drawn for every case and stage, whichever of them came true:

- *mood* at the end: the chain's, shifted by a customer's own humour;
- *hours* until the end: lognormal, longer further right and for severe cases;
- *return*: a new case of the same customer within seven days, more likely further right and for severe cases.

So severity drives stage, time, mood and return, and a plain comparison of stages makes the right look worse than it is. Temper
drives them too, and nothing recorded tells it. Recorded are topic, application, impact and urgency: the two signs of severity
are the demo's, or with `noise` drawn without a look at the case so many times out of one.

With `Own` a topic has effects of its own beside the severity it brings; see `topics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxlib.schema import ESCALATION, PROBLEM_FROM, STAGES

from . import chain
from .cases import CASES_PER_USER, CASES_SHAPE, FROM, HOUR
from .columns import MICRO, flat_pick, labels, pick, stream
from .desk import LEVELS
from .plan import APPLICATIONS, KEYS, TOPIC_APPLICATIONS, TOPIC_SEVERITY, TOPIC_SHARE

DAYS = 180  # cases begin in these many days
HUMOUR_SD = 0.20  # of the customers, on the scale of `chain.MOOD`; says nothing about the stage
HOURS = np.log(np.array([0.5, 1.0, 4.0, 16.0, 24.0]))  # median hours to the end by last stage, for the mildest cases
HOURS_SEVERITY, HOURS_HUMOUR, HOURS_SD = 0.30, -0.5, 0.50
RETURNS = np.array([-3.0, -2.3, -2.1, -1.8, -1.3])  # log odds of a return within seven days by last stage
RETURNS_SEVERITY = 0.40
WINDOW = 7 * 24 * HOUR


@dataclass(frozen=True)
class Own:
    """What each topic does at equal severity; one entry per topic."""

    calls: np.ndarray  # chance that a case which would have ended without a call goes on to one
    hours: np.ndarray  # on the log scale
    returns: np.ndarray  # log odds


@dataclass(frozen=True)
class MovesWorld:
    """`arrays` are the fields of an event log; all else has one row per case in the log's order.

    `mood_if`, `hours_if` and `return_if` (the chance that another case of the customer begins within seven days) have one
    column per stage: what the case would be like if it ended there.
    """

    arrays: dict[str, Any]
    recorded: pd.DataFrame  # topic, application, impact, urgency
    kind: np.ndarray
    topic: np.ndarray
    end: np.ndarray  # the stage where it truly ended
    mood_if: np.ndarray
    hours_if: np.ndarray
    return_if: np.ndarray


def simulate_moves(n_users: int, seed: int, noise: float = 0.0, own: Own | None = None) -> MovesWorld:
    """A world of `n_users` customers with about 3.6 cases each, all observed to their end; the same for the same seed.

    `noise` is the share of cases (0 to 1) whose impact and urgency are drawn from all cases' instead of by severity. Without
    `own` a topic does nothing but bring its severity.
    """
    rng = stream(seed, "moves")
    temper = flat_pick(rng, chain.TEMPER_SHARE, n_users)
    humour = rng.normal(0, HUMOUR_SD, n_users)
    rate = rng.gamma(CASES_SHAPE, CASES_PER_USER / CASES_SHAPE * chain.TEMPER_CASES[temper])
    user = np.repeat(np.arange(n_users), rng.poisson(rate))
    topic = flat_pick(rng, TOPIC_SHARE, len(user))
    start = FROM + rng.integers(0, DAYS * 24 * 3600, len(user)) * MICRO
    rounds = []
    while len(user):
        rounds.append(_draw(rng, user, topic, start, temper, humour, own))
        user, topic, start = _returning(rng, rounds[-1])
    whole, case, stage = _in_order(rounds)
    arrays = _log(rng, whole, case, stage)
    by_chance = np.exp(-rate[whole["user"]] * WINDOW / (DAYS * 24 * HOUR))  # that no other case begins in the window
    return MovesWorld(
        arrays, _recorded(rng, whole, noise), whole["kind"], whole["topic"], whole["end"], whole["mood_if"], whole["hours_if"],
        1 - (1 - whole["return_if"]) * by_chance[:, None],
    )  # fmt: skip


def _returning(rng: np.random.Generator, cases: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Customer, topic and start of the cases that come back within the window."""
    n = len(cases["user"])
    again = np.flatnonzero(rng.random(n) < cases["return_if"][np.arange(n), cases["end"]])
    over = cases["start"][again] + (cases["hours"][again] * 3600).astype(np.int64) * MICRO
    pause = 1 + (rng.random(len(again)) * (WINDOW - 2)).astype(np.int64)
    return cases["user"][again], cases["topic"][again], over + pause


def _in_order(rounds: list[dict[str, np.ndarray]]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """All cases by customer and start; and case and stage of every touch in that order."""
    whole = {name: np.concatenate([one[name] for one in rounds]) for name in rounds[0] if not name.startswith("walk_")}
    before = np.cumsum([0, *(len(one["user"]) for one in rounds)])[:-1]
    case = np.concatenate([one["walk_case"] + shift for one, shift in zip(rounds, before, strict=True)])
    stage = np.concatenate([one["walk_stage"] for one in rounds])
    order = np.lexsort((whole["start"], whole["user"]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    by_case = np.argsort(rank[case], kind="stable")
    return {name: values[order] for name, values in whole.items()}, rank[case][by_case], stage[by_case]


def _draw(
    rng: np.random.Generator,
    user: np.ndarray,
    topic: np.ndarray,
    start: np.ndarray,
    temper: np.ndarray,
    humour: np.ndarray,
    own: Own | None,
) -> dict[str, np.ndarray]:
    """Cases with their kind, their walk, and what they would be like at each end."""
    severity = pick(rng, np.cumsum(chain.severity_given(TOPIC_SEVERITY), axis=2)[topic, temper[user]])
    kind = severity * chain.N_TEMPER + temper[user]
    first = 1 + pick(rng, np.cumsum(chain.FIRST_STAGE, axis=1)[kind])
    walk_case, walk_stage = walk_from(rng, kind, first)
    if own is not None:
        walk_case, walk_stage = _calling(rng, walk_case, walk_stage, own.calls[topic])
    end = np.empty(len(user), np.int64)
    end[walk_case] = walk_stage  # the last one stays
    n = len(user)
    noise_mood, noise_hours = rng.normal(0, chain.MOOD_SD, n), rng.normal(0, HOURS_SD, n)
    hours, returns = (own.hours[topic], own.returns[topic]) if own is not None else (0.0, np.zeros(n))
    hours_if = np.exp(HOURS[None] + (HOURS_SEVERITY * severity + HOURS_HUMOUR * humour[user] + noise_hours + hours)[:, None])
    return {
        "user": user, "topic": topic, "start": start, "kind": kind, "end": end, "humour": humour[user],
        "walk_case": walk_case, "walk_stage": walk_stage,
        "mood_if": np.tanh(chain.MOOD[kind] + (humour[user] + noise_mood)[:, None]),
        "hours_if": hours_if,
        "hours": hours_if[np.arange(n), end],
        "return_if": 1 / (1 + np.exp(-(RETURNS[None] + (RETURNS_SEVERITY * severity + returns)[:, None]))),
    }  # fmt: skip


def _calling(
    rng: np.random.Generator, case: np.ndarray, stage: np.ndarray, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The walks, with a call at the end of those without one that the chance (one per case) falls on."""
    called = np.bincount(case[stage == chain.PHONE], minlength=len(chance)) > 0
    more = np.flatnonzero(~called & (rng.random(len(chance)) < chance))
    return np.append(case, more), np.append(stage, np.full(len(more), chain.PHONE))


def walk_from(rng: np.random.Generator, kind: np.ndarray, stage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each case's walk from a stage to its end: case and stage of every touch, in order of the steps."""
    steps = np.cumsum(chain.NEXT, axis=2)
    alive, cases, stages = np.arange(len(kind)), [], []
    while len(alive):
        cases.append(alive)
        stages.append(stage)
        follows = pick(rng, steps[kind[alive], stage])
        alive, stage = alive[follows != chain.END], follows[follows != chain.END]
    return np.concatenate(cases or [alive]), np.concatenate(stages or [stage])


def _log(rng: np.random.Generator, whole: dict[str, np.ndarray], case: np.ndarray, stage: np.ndarray) -> dict[str, Any]:
    """The fields of an event log; the touches of a case lie evenly between its start and its end."""
    n = np.bincount(case, minlength=len(whole["user"]))
    case_start = np.append(0, np.cumsum(n))
    nth = np.arange(len(case)) - case_start[case]
    length = (whole["hours"] * 3600).astype(np.int64) * MICRO
    at = whole["start"][case] + length[case] // n[case] * nth
    felt = np.tanh(chain.MOOD[whole["kind"][case], stage] + whole["humour"][case] + rng.normal(0, chain.MOOD_SD, len(case)))
    last = case_start[1:] - 1
    felt[last] = whole["mood_if"][case[last], stage[last]]
    mood = np.round(1000 * felt).clip(-999, 999)
    mood = np.where(rng.random(len(case)) < chain.MOOD_KNOWN[stage], mood, -32768).astype(np.int16)
    new = np.append(True, whole["user"][1:] != whole["user"][:-1]) if len(n) else np.empty(0, bool)
    end = whole["start"] + length
    keys = rng.integers(0, 2**63, int(whole["user"].max(initial=0)) + 1).astype(np.uint64)
    return {
        "stage": stage.astype(np.uint8), "at": at, "mood": mood,
        "action": np.zeros(len(case), np.uint16), "wait": np.full(len(case), -1, np.int32),
        "solved": np.full(len(case), -1, np.int8),
        "case_start": case_start, "customer_start": np.append(np.flatnonzero(new), len(n)),
        "case_end": end, "case_open": np.zeros(len(n), bool), "case_resolved": np.ones(len(n), bool),
        "customer_key": keys[whole["user"][new]],
        "stages": STAGES, "actions": ("",), "escalation": STAGES.index(ESCALATION), "problem_from": STAGES.index(PROBLEM_FROM),
        "observed_from": FROM, "observed_until": int(end.max(initial=FROM)) + WINDOW, "gap": WINDOW,
    }  # fmt: skip


def _recorded(rng: np.random.Generator, whole: dict[str, np.ndarray], noise: float) -> pd.DataFrame:
    """What a ticket shows of each case."""
    severity = chain.SEVERITY[whole["kind"]]
    share = np.bincount(severity, minlength=chain.N_SEVERITY) / max(1, len(severity))
    signs = {}
    for name, table in (("impact", chain.IMPACT), ("urgency", chain.URGENCY)):
        blurred = (1 - noise) * table + noise * (share @ table)
        signs[name] = labels(pick(rng, np.cumsum(blurred, axis=1)[severity]), LEVELS)
    application = pick(rng, np.cumsum(TOPIC_APPLICATIONS, axis=1)[whole["topic"]])
    return pd.DataFrame(
        {
            "topic": labels(whole["topic"], KEYS),
            "application": labels(application, [name for name, _, _ in APPLICATIONS]),
            **signs,
        }
    )


def movable(world: MovesWorld, source: int, target: int) -> np.ndarray:
    """The cases that come to the source and have not been at the target by then."""
    stage, bounds = world.arrays["stage"], world.arrays["case_start"]
    at_source, at_target = (_first_at(stage, wanted, bounds[:-1]) for wanted in (source, target))
    return np.flatnonzero((at_source < bounds[1:]) & (at_source < at_target))


def resimulate(
    world: MovesWorld, cases: np.ndarray, source: int, target: int, cost: np.ndarray, *, times: int = 20, seed: int = 0
) -> dict[str, float]:
    """What is expected of `cases` if all of them went to the target instead of the source, less what became of them?

    All of them come to the source; those `movable` have not been at the target by then. Every case keeps its way to its first
    touch at the source and walks on from the target, `times` times. Mean changes of: ``cases`` (that still reach the source,
    less 1), ``calls``, ``cost`` (per touch and stage) and ``mood`` at the end. Moving a share of them by lot changes that
    share as much.
    """
    rng = stream(seed, "again")
    stage, start, end = world.arrays["stage"], world.arrays["case_start"][:-1][cases], world.arrays["case_start"][1:][cases]
    from_source = _first_at(stage, source, start)
    n, phone = len(cases), STAGES.index(ESCALATION)
    touches = np.repeat(np.arange(n), end - from_source)
    now = stage[np.arange(len(touches)) - np.repeat(np.cumsum(end - from_source) - end, end - from_source)]
    again, walked = walk_from(rng, np.tile(world.kind[cases], times), np.full(n * times, target))
    ends = np.empty(n * times, np.int64)
    ends[again] = walked  # the last one stays
    moods = world.mood_if[cases]
    return {
        "cases": len(np.unique(again[walked == source])) / (n * times) - 1,
        "calls": float((walked == phone).sum() / times - (now == phone).sum()) / n,
        "cost": float(cost[walked].sum() / times - cost[now].sum()) / n,
        "mood": float(
            np.tile(moods, (times, 1))[np.arange(n * times), ends].mean() - moods[np.arange(n), world.end[cases]].mean()
        ),
    }


def _first_at(stage: np.ndarray, wanted: int, start: np.ndarray) -> np.ndarray:
    """The first touch at a stage from each start on, of whatever case; the number of touches where there is none."""
    there = np.append(np.flatnonzero(stage == wanted), len(stage))
    return there[np.searchsorted(there, start)]
