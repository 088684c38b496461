"""What became of each moment, as far as it is known at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd

RARE = 0.05  # a moment stands for at most so many others: 1 / RARE
TOO_LONG = "longer than half of the held-out period"


def outcomes(keys: pd.DataFrame, rows: np.ndarray, until: int, horizon: int | None = None) -> pd.DataFrame:
    """Did an escalation follow, as far as it is known at `until`?

    Parameters
    ----------
    keys : DataFrame
        All moments of a log, in its order: case, at, is_open, and escalated_at (of the case; missing: never). And worth, what
        each weighs, where that is not 1 / moments of its case.
    rows : array of bool
        The moments asked about.
    until : int
        Microseconds, UTC: nothing later is read.
    horizon : int, optional
        Microseconds within which the escalation must come. Without it whatever has come by `until` counts, and what may come
        later does not: the chance is then that of an escalation within a follow-up as long as these moments had.

    Returns
    -------
    DataFrame
        One row per moment asked about, under its label in `keys`: label (bool), weight: 1 / moments of its case; with a horizon
        times 1 / the share of moments that are watched for as long as this one had to be, and 0 where it is not yet known
        (still open, neither escalated nor watched for the whole horizon).

    References
    ----------
    Robins and Rotnitzky (1992), inverse probability of censoring weights; what ends the watch here is `until` alone, so the
    share is a plain count.

    Examples
    --------
    Four cases with a moment each at hours 0 to 3, asked at hour 4 with a horizon of 2. The newest is not yet known; the other
    one without an escalation was watched for two hours, as three of the four were, and stands for a third more.

    >>> keys = pd.DataFrame({"case": range(4), "at": range(4), "is_open": True, "escalated_at": [1, None, 3, None]})
    >>> outcomes(keys, np.ones(4, dtype=bool), 4, 2)
       label    weight
    0   True  1.000000
    1  False  1.333333
    2   True  1.000000
    3  False  0.000000
    """
    asked = keys[rows]
    worth = asked["worth"] if "worth" in asked else 1 / asked.groupby("case")["case"].transform("size")
    weight = worth.to_numpy(dtype=float)
    at = asked["at"].to_numpy(dtype=float)
    wait = asked["escalated_at"].to_numpy(dtype=float) - at
    wait = np.where(wait <= until - at, wait, np.inf)  # what comes later is not known
    if horizon is None:
        return pd.DataFrame({"label": np.isfinite(wait), "weight": weight}, asked.index)
    closed = np.maximum(_closed_at(keys, until).reindex(asked["case"]).to_numpy(dtype=float) - at, 0)
    label, watched = wait <= horizon, until - at
    needed = np.where(label, wait, np.fmin(closed, horizon))  # how long one has to watch until it is known
    is_known = label | (needed <= watched)
    order = np.argsort(-watched, kind="stable")
    so_long = np.cumsum(weight[order])[np.searchsorted(-watched[order], -needed, side="right") - 1]
    share = np.maximum(so_long / weight.sum(), RARE)
    return pd.DataFrame({"label": label, "weight": np.where(is_known, weight / share, 0.0)}, asked.index)


def is_too_long(horizon: int | None, watched: int) -> bool:
    """Is a horizon longer than half of the time watched, so that few moments would speak for most? In microseconds."""
    return horizon is not None and 2 * horizon > watched


def _closed_at(keys: pd.DataFrame, until: int) -> pd.Series:
    """When was each case's ticket seen to be resolved, if it still is by `until`? Missing where it is open, or has none."""
    last = keys[keys["at"] <= until].drop_duplicates("case", keep="last")
    return last.loc[~last["is_open"].to_numpy(dtype=bool)].set_index("case")["at"]
