"""Worlds in which topics cost something of their own, beside the severity that they bring, and what that is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import chain
from .columns import stream
from .moves import HOURS, HOURS_HUMOUR, HOURS_SD, HOURS_SEVERITY, HUMOUR_SD, MovesWorld, Own
from .plan import N_TOPICS

MOST_CALLS, HOURS_SPREAD, RETURNS_SPREAD = 0.25, 0.30, 0.50


def draw_own(seed: int) -> Own:
    """Effects of the topics: calls evenly from 0 to a quarter of the cases, hours and returns by chance, in an order by lot."""
    rng = stream(seed, "own")
    calls = rng.permutation(np.linspace(0, MOST_CALLS, N_TOPICS))
    return Own(calls, rng.normal(0, HOURS_SPREAD, N_TOPICS), rng.normal(0, RETURNS_SPREAD, N_TOPICS))


def expected(own: Own) -> np.ndarray:
    """What a case of each kind and topic is expected to be like, (kind, topic, [call, hours, mood at the end]).

    The chain's own ends in closed form; cases that never came to the phone walk a chain without it.
    """
    called = (chain.FIRST_STAGE * chain.WILL_CALL[:, 1:]).sum(axis=1)
    ends, quiet = _ends(chain.NEXT[:, 1:, 1:]), _ends(chain.NEXT[:, 1:-1, 1:-1])
    ends = ends[:, None] + own.calls[:, None] * np.pad(-quiet, ((0, 0), (0, 1)))[:, None]
    ends[..., -1] += own.calls * quiet.sum(axis=1)[:, None]
    by_end = np.stack([_hours(own), np.broadcast_to(_moods()[:, None], ends.shape)], axis=-1)
    means = (ends[..., None] * by_end).sum(axis=2)
    return np.concatenate([(called[:, None] + own.calls * (1 - called)[:, None])[..., None], means], axis=-1)


def _ends(inner: np.ndarray) -> np.ndarray:
    """Chance of ending at each of the chain's stages from help on, without leaving them; (kind, stage)."""
    n = inner.shape[1]
    visits = np.linalg.solve(np.eye(n) - inner.transpose(0, 2, 1), chain.FIRST_STAGE[:, :n, None])[..., 0]
    return visits * chain.NEXT[:, 1 : n + 1, chain.END]


def _hours(own: Own) -> np.ndarray:
    half_variance = (HOURS_SD**2 + (HOURS_HUMOUR * HUMOUR_SD) ** 2) / 2
    return np.exp(HOURS[1:] + (HOURS_SEVERITY * chain.SEVERITY)[:, None, None] + own.hours[:, None] + half_variance)


def _moods() -> np.ndarray:
    """(kind, stage): mean mood of an end there, by Gauss and Hermite's rule."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    spread = np.hypot(HUMOUR_SD, chain.MOOD_SD)
    return np.tanh(chain.MOOD[:, 1:, None] + spread * nodes) @ weights / weights.sum()


def planted(own: Own, world: MovesWorld, repeat: np.ndarray) -> pd.DataFrame:
    """What each topic costs at equal severity: how its cases differ from what the others' of the same kinds are expected to be.

    Kinds and topics are counted in `world`, and so are repeats (one number per case), which hang on all that a customer does:
    a large world gives the population's. One row per topic: share (of the cases), call, hours, mood, repeat.
    """
    cell, shape = world.kind * N_TOPICS + world.topic, (chain.N_KINDS, N_TOPICS)
    count, repeats = (np.bincount(cell, weights, np.prod(shape)).reshape(shape) for weights in (None, repeat))
    means = np.concatenate([expected(own), (repeats / np.maximum(count, 1))[..., None]], axis=2)
    weight = count[..., None]
    others = ((weight * means).sum(axis=1, keepdims=True) - weight * means) / (count.sum(axis=1)[:, None] - count)[..., None]
    effect = (weight * (means - others)).sum(axis=0) / count.sum(axis=0)[:, None]
    return pd.DataFrame(effect, columns=["call", "hours", "mood", "repeat"]).assign(share=count.sum(axis=0) / count.sum())
