"""Customers, their cases, and the touches of each case: numbers only, no words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import chain
from .columns import MICRO, flat_pick, pick, stream
from .plan import EMERGING, INCIDENT_TOPIC, TOPIC_APPLICATIONS, TOPIC_SEVERITY, TOPIC_SHARE

FROM = int(np.datetime64("2026-04-01T00:00:00", "us").astype(np.int64))
UNTIL = int(np.datetime64("2026-10-01T00:00:00", "us").astype(np.int64))
HOUR = 3600 * MICRO
N_HOURS = (UNTIL - FROM) // HOUR

CASES_PER_USER, CASES_SHAPE = 3.0, 1.3  # problem cases in the window: gamma-Poisson, shape per temper
USES_PER_USER, USES_SHAPE = 1.0, 0.8  # cases of plain use
EMERGES_AT = UNTIL - 42 * 24 * HOUR  # the emerging topic begins here and grows for three weeks
EMERGING_TOP = 0.22  # its share of the new cases from then on
INCIDENTS_PER_MONTH, INCIDENT_SURGE = 1.5, 0.008  # extra cases per user and incident (times its weight)
INCIDENT_TAIL_H = 10.0
FIRST_USE = (0.62, 0.28, 0.10)  # 0, 1 or 2 touches of plain use before help is sought


@dataclass(frozen=True)
class Incidents:
    """One entry per incident: application code, times in microseconds since 1970, and its weight (1 to 4)."""

    application: np.ndarray
    started: np.ndarray
    restored: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Cases:
    """One entry per case, in order of their start. `kind` and `topic` are -1 for plain use."""

    user: np.ndarray
    start: np.ndarray
    topic: np.ndarray
    kind: np.ndarray
    application: np.ndarray
    prior: np.ndarray  # (case, topic): what start and application say about the topic


@dataclass(frozen=True)
class Touches:
    """One entry per touch, sorted by case and time. `mood` is in thousandths, `known` says whether it was measured."""

    case: np.ndarray
    nth: np.ndarray
    stage: np.ndarray
    at: np.ndarray
    mood: np.ndarray
    known: np.ndarray


def draw_tempers(n_users: int, seed: int) -> np.ndarray:
    return flat_pick(stream(seed, "tempers"), chain.TEMPER_SHARE, n_users)


def draw_incidents(n_applications: int, seed: int) -> Incidents:
    rng = stream(seed, "incidents")
    n = round(INCIDENTS_PER_MONTH * 6) + int(rng.integers(0, 3))
    started = np.sort(FROM + (rng.random(n) * 0.97 * (UNTIL - FROM)).astype(np.int64)) // (60 * MICRO) * (60 * MICRO)
    weight = 1 + flat_pick(rng, [0.4, 0.35, 0.15, 0.1], n)
    length_h = np.exp(rng.normal(np.log(1.5 + 0.8 * weight), 0.4))
    restored = started + (length_h * 60).astype(np.int64) * 60 * MICRO
    return Incidents(rng.integers(0, n_applications, n), started, restored, weight)


def no_incidents() -> Incidents:
    nothing = np.zeros(0, np.int64)
    return Incidents(nothing, nothing, nothing, nothing)


def hour_profile() -> np.ndarray:
    """How likely a case starts in each hour of the window: office hours and weekdays of Berlin (UTC+2 all through it);
    sums to 1.
    """
    local = np.arange(N_HOURS) + 2
    hour, weekday = local % 24, (local // 24 + 2) % 7  # 1 April 2026 is a Wednesday
    weight = np.where((hour >= 8) & (hour < 18), 1.0, np.where((hour >= 6) & (hour < 23), 0.35, 0.06)) * np.where(
        weekday < 5, 1.0, 0.45
    )
    return weight / weight.sum()


def emerging_share(at: np.ndarray) -> np.ndarray:
    """Share of the emerging topic among ordinary new cases at a time: 0, then a ramp of three weeks, then `EMERGING_TOP`."""
    return EMERGING_TOP * np.clip((at - EMERGES_AT) / (21 * 24 * HOUR), 0.0, 1.0)


def topic_shares_at(at: np.ndarray) -> np.ndarray:
    """Each topic's share of ordinary new cases, (time, topic)."""
    share = emerging_share(at)
    rest = np.where(np.arange(len(TOPIC_SHARE)) == EMERGING, 0.0, TOPIC_SHARE)
    shares = (1 - share)[:, None] * (rest / rest.sum())[None, :]
    shares[:, EMERGING] = share
    return shares


def surge(incidents: Incidents, at: np.ndarray, application: np.ndarray) -> np.ndarray:
    """Density (per microsecond, weights summed) of extra cases at `at` for `application`: flat in the incident, then an
    exponential tail.
    """
    density = np.zeros(len(at))
    tail = INCIDENT_TAIL_H * HOUR
    for app, started, restored, weight in zip(
        incidents.application, incidents.started, incidents.restored, incidents.weight, strict=True
    ):
        during, after = (at >= started) & (at < restored), at >= restored
        shape = np.where(during, 1.0, np.where(after, np.exp(-np.clip((at - restored) / tail, 0, 50)), 0.0))
        density += np.where(application == app, weight * shape / ((restored - started) + tail), 0.0)
    return density


def draw_cases(n_users: int, seed: int, incidents: Incidents) -> Cases:
    """The cases of all users, in order of start."""
    rng = stream(seed, "cases")
    temper = draw_tempers(n_users, seed)
    expected = CASES_PER_USER * chain.TEMPER_CASES[temper]
    rate = rng.gamma(CASES_SHAPE, expected / CASES_SHAPE)
    uses = rng.poisson(rng.gamma(USES_SHAPE, USES_PER_USER / USES_SHAPE, n_users))
    ordinary = rng.poisson(rate)
    user = np.concatenate([np.repeat(np.arange(n_users), ordinary), np.repeat(np.arange(n_users), uses)])
    problem = np.arange(len(user)) < ordinary.sum()

    edges = np.cumsum(hour_profile())
    hour = np.minimum(np.searchsorted(edges, rng.random(len(user)), side="right"), N_HOURS - 1)
    start = FROM + hour * HOUR + rng.integers(0, 3600, len(user)) * MICRO
    emerging = rng.random(len(user)) < emerging_share(start)
    rest = np.where(np.arange(len(TOPIC_SHARE)) == EMERGING, 0.0, TOPIC_SHARE)
    topic = np.where(emerging, EMERGING, flat_pick(rng, rest, len(user)))
    application = pick(rng, np.cumsum(TOPIC_APPLICATIONS, axis=1)[topic])

    extra = _surge_cases(stream(seed, "surges"), incidents, rate)
    user, start = np.concatenate([user, extra[0]]), np.concatenate([start, extra[1]])
    application, topic = (
        np.concatenate([application, extra[2]]),
        np.concatenate([topic, np.full(len(extra[0]), INCIDENT_TOPIC)]),
    )
    problem = np.concatenate([problem, np.ones(len(extra[0]), bool)])

    severity = pick(rng, np.cumsum(chain.severity_given(TOPIC_SEVERITY), axis=2)[topic, temper[user]])
    kind = np.where(problem, severity * chain.N_TEMPER + temper[user], -1)
    topic = np.where(problem, topic, -1)
    order = np.lexsort((user, start))
    user, start, topic, kind, application = (a[order] for a in (user, start, topic, kind, application))
    return Cases(user, start, topic, kind, application, topic_prior(incidents, rate.sum(), start, application))


def _surge_cases(rng: np.random.Generator, incidents: Incidents, rate: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, starts and applications of the cases that incidents add; users in proportion to their ordinary rate."""
    counts = rng.poisson(INCIDENT_SURGE / CASES_PER_USER * rate.sum() * incidents.weight)
    which = np.repeat(np.arange(len(counts)), counts)
    user = flat_pick(rng, rate, len(which)) if len(which) else which
    length, tail = (incidents.restored - incidents.started)[which], INCIDENT_TAIL_H * HOUR
    u, v = rng.random(len(which)), rng.random(len(which))
    inside = u < length / (length + tail)
    after = incidents.restored[which] - (np.log1p(-v) * tail).astype(np.int64)
    start = np.where(inside, incidents.started[which] + (v * length).astype(np.int64), after) // MICRO * MICRO
    kept = start < UNTIL
    return user[kept], start[kept], incidents.application[which][kept]


def topic_prior(incidents: Incidents, total_rate: float, start: np.ndarray, application: np.ndarray) -> np.ndarray:
    """Chance of each topic given start and application, (case, topic): intensities of ordinary and incident cases,
    normalised.
    """
    per_micro = hour_profile()[(start - FROM) // HOUR] / HOUR
    intensity = total_rate * per_micro[:, None] * topic_shares_at(start) * TOPIC_APPLICATIONS.T[application]
    intensity[:, INCIDENT_TOPIC] += INCIDENT_SURGE / CASES_PER_USER * total_rate * surge(incidents, start, application)
    return intensity / intensity.sum(axis=1, keepdims=True)


def planted_topic_shares(incidents: Incidents) -> np.ndarray:
    """Each topic's expected share of the problem cases of the whole window, given the incidents."""
    profile = hour_profile()
    middle = FROM + (np.arange(N_HOURS) * 2 + 1) * HOUR // 2
    ordinary = profile @ topic_shares_at(middle)
    length, tail = (incidents.restored - incidents.started).astype(float), INCIDENT_TAIL_H * HOUR
    lost = np.exp(-np.clip(UNTIL - incidents.restored, 0, None) / tail) * tail / (length + tail)
    ordinary[INCIDENT_TOPIC] += INCIDENT_SURGE / CASES_PER_USER * (incidents.weight * (1 - lost)).sum()
    return ordinary / ordinary.sum()


def problem_share(incidents: Incidents) -> float:
    """Expected problem cases over expected cases, given the incidents."""
    mean = CASES_PER_USER * float(chain.TEMPER_SHARE @ chain.TEMPER_CASES)
    length, tail = (incidents.restored - incidents.started).astype(float), INCIDENT_TAIL_H * HOUR
    lost = np.exp(-np.clip(UNTIL - incidents.restored, 0, None) / tail) * tail / (length + tail)
    mean *= 1 + INCIDENT_SURGE / CASES_PER_USER * float((incidents.weight * (1 - lost)).sum())
    return mean / (mean + USES_PER_USER)


def walk(cases: Cases, seed: int) -> Touches:
    """Every case from its first touch to its end, step by step for all cases at once; nobody is cut off."""
    rng = stream(seed, "walk")
    n = len(cases.kind)
    problem = cases.kind >= 0
    kind = np.where(problem, cases.kind, 0)
    before = np.where(problem, flat_pick(rng, FIRST_USE, n), 1 + flat_pick(rng, FIRST_USE, n))
    first = 1 + pick(rng, np.cumsum(chain.FIRST_STAGE, axis=1)[kind])
    steps = np.cumsum(chain.NEXT, axis=2)
    alive, at = np.arange(n), cases.start.copy()
    stage = np.where(before > 0, chain.PRODUCT, first)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    nth = 0
    while len(alive):
        rows.append((alive, stage, at))
        nth += 1
        follows = pick(rng, steps[kind[alive], stage])
        in_use = before[alive] > nth
        starts = (before[alive] == nth) & problem[alive]
        follows = np.where(in_use, chain.PRODUCT, np.where(starts, first[alive], follows))
        goes_on = in_use | starts | (follows != chain.END)
        wait_h = np.exp(chain.WAIT[kind[alive], stage] + chain.WAIT_SD * rng.standard_normal(len(alive)))
        at = (at + (np.round(wait_h * 3600).astype(np.int64) + 1) * MICRO)[goes_on]
        alive, stage = alive[goes_on], follows[goes_on]
    return _sorted_touches(cases, rows, stream(seed, "moods"))


def _sorted_touches(cases: Cases, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]], rng: np.random.Generator) -> Touches:
    nth = np.repeat(np.arange(len(rows)), [len(r[0]) for r in rows])
    case, stage, at = (np.concatenate([r[i] for r in rows]) for i in range(3))
    order = np.lexsort((nth, case))
    case, nth, stage, at = case[order], nth[order], stage[order], at[order]
    kind = np.where(cases.kind[case] >= 0, cases.kind[case], 0)
    mood = chain.MOOD[kind, stage] + chain.MOOD_SD * rng.standard_normal(len(case))
    thousandths = np.clip(np.round(1000 * np.tanh(mood)), -999, 999).astype(np.int64)
    return Touches(case, nth, stage, at, thousandths, rng.random(len(case)) < chain.MOOD_KNOWN[stage])
