"""How many of the cases on a list will escalate? A range that allows for luck, and for what is not known of the chances."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from cxlib.escalation.silence import after_silence

DATES = 40  # past lists that are made again, evenly spaced
PRIOR = 0.5  # standard deviation of the log odds: a factor of 1.6 either way
FOLLOWED = 0.95  # the last of them so early that this share of the escalations would have come by now
_NODES, _SHARES = np.polynomial.hermite_e.hermegauss(9)  # of a normal distribution


def count_range(chance: np.ndarray, error: float) -> tuple[int, int]:
    """Between which numbers will the escalations among these cases lie, in 95 of 100 such lists?

    Parameters
    ----------
    chance : array
        One entry per case, 0 to 1.
    error : float
        The standard deviation of what the log odds of all of them may be off by, see `correction_of`; 0: the chances are right.

    Notes
    -----
    A prediction interval: it is about the number that will be seen, not about its mean. Given that error the cases are
    independent and their number is Poisson binomial; the error is normal. The limits are mid-p quantiles, since plain ones of
    so small numbers cover more than they say.

    References
    ----------
    Hong (2013), On computing the distribution function for the Poisson binomial distribution; Lancaster (1961), Significance
    tests in discrete distributions, for mid-p.

    Examples
    --------
    Of ten coins 2 to 8 show heads in 95 of 100 throws; if all of them may be biased one way, 1 to 9.

    >>> count_range(np.full(10, 0.5), 0.0), count_range(np.full(10, 0.5), 1.0)
    ((2, 8), (1, 9))
    """
    log_odds = _log_odds(chance)
    laws = np.array([number_law(expit(log_odds + error * node)) for node in _NODES])
    law = _SHARES @ laws / _SHARES.sum()
    below = np.cumsum(law) - law / 2
    return int(np.searchsorted(below, 0.025)), int(np.searchsorted(below, 0.975, side="right")) - 1


def number_law(chance: np.ndarray) -> np.ndarray:
    """How likely is each number of escalations, from 0 to all, among independent cases with these chances?

    >>> number_law(np.array([0.5, 0.5])).round(9).tolist()
    [0.25, 0.5, 0.25]
    """
    p = np.zeros(1 << max(len(chance) - 1, 0).bit_length())  # a case that never escalates changes nothing
    p[: len(chance)] = chance
    laws = np.column_stack([1 - p, p])
    while len(laws) > 1:  # the law of a sum is the product of the transformed laws: pairs, then pairs of pairs
        size = 2 * laws.shape[1]
        transformed = np.fft.rfft(laws, size)
        laws = np.fft.irfft(transformed[::2] * transformed[1::2], size)[:, :-1]
    return np.clip(laws[0, : len(chance) + 1], 0, None)


def correction_of(rows: pd.DataFrame, past: pd.DataFrame, until: int, horizon: int | None = None) -> tuple[float, float]:
    """By how much are the log odds of a whole list off? Judged by past lists, made again from held-out moments.

    Parameters
    ----------
    rows : DataFrame
        Held-out moments: stage, at, gap (`silence.listed_for`), chance, escalated, customer, and wait (microseconds to the
        escalation, missing without one).
    past : DataFrame
        What silence meant in training, see `silence.after_silence`.
    until : int
        When what came of them was looked up.
    horizon : int, optional
        Microseconds within which an escalation counts (as in `labels.outcomes`).

    Returns
    -------
    tuple of float
        The shift of all log odds that fits the past lists best, and its standard error, by customer.

    Notes
    -----
    Logistic regression on the log odds as offset, with a constant alone. It is held back by a normal prior with standard
    deviation `PRIOR`: without past lists there is no shift, and the error is that. A case counts on each list that it was on;
    the error is by customer, so it does not count as many cases (Liang and Zeger, 1986).
    """
    listed = past_lists(rows, past, until, horizon)
    log_odds, came = _log_odds(listed["chance"].to_numpy(dtype=float)), listed["escalated"].to_numpy(dtype=float)
    shift, held = 0.0, PRIOR**-2
    for _ in range(25):
        p = expit(log_odds + shift)
        step = float(np.clip(((came - p).sum() - held * shift) / (held + p @ (1 - p)), -1, 1))
        shift += step
        if abs(step) < 1e-8:
            break
    p = expit(log_odds + shift)
    off = pd.Series(came - p).groupby(listed["customer"].to_numpy()).sum()
    return shift, float(np.sqrt(held + off @ off) / (held + p @ (1 - p)))


def corrected(chance: np.ndarray, shift: float) -> np.ndarray:
    """Chances whose log odds are shifted.

    >>> corrected(np.array([0.5]), np.log(3)).round(9).tolist()
    [0.75]
    """
    return expit(_log_odds(chance) + shift)


def past_lists(rows: pd.DataFrame, past: pd.DataFrame, until: int, horizon: int | None = None) -> pd.DataFrame:
    """The lists of past dates, one under the other: date (microseconds), chance (as it was then), escalated, customer.

    A moment is on the list of a date if it was then the newest of an open case. See `correction_of` for the parameters.
    With a horizon the dates end that long before `until`: of newer moments only those that escalated or closed are known.
    """
    followed = horizon if horizon is not None else rows["wait"].quantile(FOLLOWED) if rows["wait"].notna().any() else 0.0
    dates = np.linspace(rows["at"].min(), until - followed, DATES + 1)[1:]
    at, ends = rows["at"].to_numpy(), (rows["at"] + rows["gap"]).to_numpy()
    listed = pd.concat([rows[(at < date) & (date <= ends)].assign(date=date) for date in dates])
    silent = (listed["date"] - listed["at"]).to_numpy()
    now = after_silence(listed["chance"].to_numpy(), listed["stage"].to_numpy(), silent, past)
    return listed[["date", "escalated", "customer"]].assign(chance=now)


def _log_odds(chance: np.ndarray) -> np.ndarray:
    return logit(np.clip(chance, 1e-9, 1 - 1e-9))
