"""Curves of time to an event, with competing ends and censoring."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxlib.stats.intervals import LEVEL, poisson_weights, wilson


def cumulative_incidence(time: np.ndarray, event: np.ndarray, weight: np.ndarray | None = None) -> pd.DataFrame:
    """How many have met the event by each time, when others leave first and some are still under way?

    Parameters
    ----------
    time : array
        Time to the event or to the end of observation, one per case, in any unit.
    event : array of int
        1 = the event, 2 = a competing end, 0 = still under way (censored). At equal times events come before censoring.
    weight : array, optional
        How often each case counts.

    Returns
    -------
    DataFrame
        One row per distinct time: time, at_risk, events, competing, incidence (0 to 1, Aalen-Johansen).

    Notes
    -----
    One minus Kaplan-Meier would treat those who were solved as if they could still call, and reads too high. Source: Aalen and
    Johansen (1978), Scand. J. Stat. 5. Assumes that cases under way go on like those at risk at the same age.

    >>> cumulative_incidence(np.array([1, 2, 2, 3]), np.array([1, 2, 1, 0]))[["time", "at_risk", "incidence"]].round(2)
       time  at_risk  incidence
    0     1      4.0       0.25
    1     2      3.0       0.50
    2     3      1.0       0.50
    """
    times, code = np.unique(time, return_inverse=True)
    weight = np.ones(len(code)) if weight is None else np.asarray(weight, dtype=float)
    counts = [np.bincount(code, weights=weight * (event == kind), minlength=len(times)) for kind in (1, 2, 0)]
    at_risk, incidence = _aalen_johansen(*counts)
    return pd.DataFrame(
        {"time": times, "at_risk": at_risk, "events": counts[0], "competing": counts[1], "incidence": incidence}
    )


def _aalen_johansen(events: np.ndarray, competing: np.ndarray, censored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at_risk = (events + competing + censored)[::-1].cumsum()[::-1]
    risk = np.where(at_risk > 0, at_risk, 1)
    still = np.cumprod(1 - (events + competing) / risk)
    return at_risk, np.cumsum(np.concatenate([[1.0], still[:-1]])[: len(risk)] * events / risk)


def incidence_interval(
    time: np.ndarray,
    event: np.ndarray,
    cluster: np.ndarray,
    key: np.ndarray,
    at: np.ndarray,
    *,
    seed: int = 0,
    replicates: int = 200,
) -> pd.DataFrame:
    """The cumulative incidence at the times `at` with its interval, by resampling whole clusters.

    `cluster` gives each case its cluster as a position in `key` (64-bit hashes of ids). Returns one row per time in `at`: time,
    at_risk, incidence, low, high. Where none or all have met the event, the open bound is Wilson's by cluster.
    """
    times, code = np.unique(time, return_inverse=True)
    kinds = [event == kind for kind in (1, 2, 0)]
    place = np.searchsorted(times, at, side="right") - 1

    def curve(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at_risk, incidence = _aalen_johansen(
            *(np.bincount(code, weights=weight * kind, minlength=len(times)) for kind in kinds)
        )
        return at_risk, np.where(place < 0, 0.0, incidence[place])

    _, middle = curve(np.ones(len(code)))
    draws = [curve(poisson_weights(key, seed, r)[cluster].astype(float))[1] for r in range(replicates)]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    clusters = len(np.unique(cluster))
    none, every = wilson(0, clusters)[1], wilson(clusters, clusters)[0]
    low = np.where(clusters < 2, 0.0, np.where(middle < 1, low, every))
    high = np.where(clusters < 2, 1.0, np.where(middle > 0, high, none))
    risk = len(time) - np.searchsorted(np.sort(time), at, side="left")
    return pd.DataFrame({"time": at, "at_risk": risk, "incidence": middle, "low": low, "high": high})
