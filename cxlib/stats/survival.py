"""Curves of time to an event, with competing ends and censoring."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cxlib.stats.intervals import LEVEL, wilson

_CASES, _CLUSTERS = 65_536, 16_384  # worked on at a time: what fits the processor's cache


def cumulative_incidence(time: np.ndarray, event: np.ndarray, weight: np.ndarray | None = None) -> pd.DataFrame:
    """How many have met the event by each time, when others leave first and some are still under way?

    Parameters
    ----------
    time : array
        Time to the event or to the end of observation, one per case, in any unit.
    event : array of int
        1 = the event, 2 and above = competing ends, 0 = still under way (censored). At equal times those come last.
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
    time = np.asarray(time)
    order = _order(time)
    rising, end = time[order], np.asarray(event)[order].astype(np.int64)
    new = np.concatenate([[True], rising[1:] != rising[:-1]])[: len(rising)]
    kinds = int(np.max(event, initial=1)) + 1
    weights = None if weight is None else np.asarray(weight, dtype=float)[order]
    cell = (np.cumsum(new) - 1) * kinds + end
    counts = np.bincount(cell, weights=weights, minlength=kinds * int(new.sum())).reshape(-1, kinds).astype(float)
    at_risk = counts.sum(axis=1)[::-1].cumsum()[::-1]
    risk = np.where(at_risk > 0, at_risk, 1)
    still = np.cumprod(1 - counts[:, 1:].sum(axis=1) / risk)
    incidence = np.cumsum(np.concatenate([[1.0], still[:-1]])[: len(risk)] * counts[:, 1] / risk)
    columns = {"time": rising[new], "at_risk": at_risk, "events": counts[:, 1], "competing": counts[:, 2:].sum(axis=1)}
    return pd.DataFrame(columns | {"incidence": incidence})


def _order(time: np.ndarray) -> np.ndarray:
    """A stable argsort. Whole numbers from 0 on are sorted with the place of each in the lowest bits.

    numpy sorts numbers ten times faster than it sorts places by them. Where both do not fit into 63 bits, the times lose their
    lowest ones, and what this left out of order is sorted once more.
    """
    n = len(time)
    if not (n and np.issubdtype(time.dtype, np.signedinteger) and time.min() >= 0):
        return np.argsort(time, kind="stable")
    bits = n.bit_length()
    lost = max(0, int(time.max()).bit_length() + bits - 63)
    key = np.empty(n, dtype=np.int64)
    order: np.ndarray = np.empty(n, dtype=np.int32 if n < 2**31 else np.int64)
    for rows in _parts(n):
        np.right_shift(time[rows], lost, out=key[rows], casting="unsafe")
        key[rows] <<= bits
        key[rows] |= np.arange(rows.start, rows.stop)
    key.sort()
    for rows in _parts(n):
        order[rows] = key[rows] & ((1 << bits) - 1)
        key[rows] >>= bits
    alike = np.flatnonzero(key[1:] == key[:-1]) if lost else np.empty(0, dtype=np.int64)
    fallen = alike[time.take(order.take(alike)) > time.take(order.take(alike + 1))]
    if len(fallen):
        mixed = np.unique(key[fallen])  # times that were told apart by their lost bits alone
        first, last = (np.searchsorted(key, mixed, side=side) for side in ("left", "right"))
        size = last - first
        place = np.arange(size.sum()) + np.repeat(first - (np.cumsum(size) - size), size)
        order[place] = order[place][np.lexsort((order[place], time.take(order[place])))]
    return order


def _parts(n: int) -> Iterator[slice]:
    """Rows a cacheful at a time, so that what is needed on the way takes no new memory."""
    return (slice(first, min(first + _CASES, n)) for first in range(0, n, _CASES))


def incidence_interval(
    time: np.ndarray, event: np.ndarray, cluster: np.ndarray, at: np.ndarray, *, kinds: int = 2
) -> pd.DataFrame:
    """The cumulative incidence at the times `at` with its interval by cluster.

    `time` and `event` as in `cumulative_incidence`, in whole units; `cluster` numbers each case's cluster and
    rises from case to case.
    Returns one row per time in `at` (rising): time, at_risk, incidence, se, low, high, and the incidence of each
    competing end, incidence_2 and on, for `kinds` of ends.

    Notes
    -----
    The variance is the sum over clusters of their squared influence on the estimate (the infinitesimal jackknife, the limit of
    resampling whole clusters), which needs no random numbers. Bounds by Wilson's interval at the number of trials that has this
    variance, with Student's quantile for the number of clusters; where none or all have met the event the number of clusters
    stands in. Sources: Aalen and Johansen (1978), Scand. J. Stat. 5; Efron (1982), The Jackknife, section 6.3; Lin and Wei
    (1989), J. Am. Stat. Assoc. 84, for sums over clusters.

    >>> found = incidence_interval(np.array([1, 2, 2, 3]), np.array([1, 2, 1, 0]), np.arange(4), np.array([1, 2]))
    >>> found[["at_risk", "incidence", "se"]].round(3)
       at_risk  incidence     se
    0        4       0.25  0.250
    1        3       0.50  0.289
    """
    order = _order(time)
    scan = _scan(time, event, order, at, kinds)
    variance, clusters = _variance(scan, order, cluster)
    middle = scan.incidence[0]
    per_trial = middle * (1 - middle)
    some = (variance > 0) & (per_trial > 1e-12)  # sums of shares reach 1 only up to rounding
    trials = np.divide(per_trial, variance, out=np.full(len(at), float(clusters)), where=some) * (clusters > 1)
    quantile = stdtrit(max(clusters - 1, 1), (1 + LEVEL) / 2)
    low, high = wilson(middle * trials, trials, quantile)  # one cluster says nothing of its like: 0 trials
    columns = {"time": at, "at_risk": scan.at_risk, "incidence": middle, "se": np.sqrt(variance), "low": low, "high": high}
    return pd.DataFrame(columns | {f"incidence_{kind}": scan.incidence[kind - 1] for kind in range(2, kinds + 1)})


@dataclass(frozen=True)
class _Scan:
    """The curve at the times asked for, and what each case's influence on it is made of."""

    incidence: np.ndarray  # one row per kind of end, one column per time asked for
    at_risk: np.ndarray
    passed: np.ndarray  # how many cases have come to their end by then
    waiting: np.ndarray  # the influence of a case that is still under way then
    own: np.ndarray  # one complex number a + bi per case: its influence is a - F(t) b once its own time has passed


def _scan(time: np.ndarray, event: np.ndarray, order: np.ndarray, at: np.ndarray, kinds: int) -> _Scan:
    """Go through the cases in the order of their times, a cacheful at once, with the sums so far carried along.

    With S the share under way just before a time, Y the cases at risk, h the hazard of the event and q of any end, F the
    incidence: a case's influence on F(t) is S/Y at its own time if it met the event, less (F(t) - F)/(Y (1 - q)) there if it
    ended in any way, less the sum over the times up to its own of S h/Y - (F(t) - F) q/(Y (1 - q)).
    """
    n, shape = len(time), (kinds, len(at))
    own = np.empty(n, dtype=complex)  # one array, for it is written in the order of the cases
    incidence, waiting = np.zeros(shape), np.zeros(len(at))
    passed, at_risk = np.zeros(len(at), dtype=np.int64), np.full(len(at), n)
    share, reached, a_sum, b_sum, first = 1.0, np.zeros(kinds), 0.0, 0.0, 0
    while first < n:
        cases, now = _whole_times(time, order, first)
        ends = event.take(cases).astype(np.int64)
        new = np.concatenate([[True], now[1:] != now[:-1]])
        step = np.cumsum(new) - 1
        times = now[new]
        counts = np.bincount(ends * len(times) + step, minlength=(kinds + 1) * len(times)).reshape(kinds + 1, -1)
        gone = counts.sum(axis=0)
        risk = (n - first) - np.concatenate([[0], np.cumsum(gone)[:-1]])
        left = gone - counts[0]
        still = np.cumprod(1 - left / risk)
        before = share * np.concatenate([[1.0], still[:-1]])
        a_step = before / risk
        so_far = reached[:, None] + np.cumsum(a_step * counts[1:], axis=1)
        b_step = np.divide(1.0, risk - left, out=np.zeros(len(left)), where=risk > left)
        b_all = b_step * left / risk
        a_run = a_sum + np.cumsum(a_step * counts[1] / risk + b_all * so_far[0])
        b_run = b_sum + np.cumsum(b_all)
        influence = np.empty((kinds + 1, len(times)), dtype=complex)  # of a case with this end at this time
        influence.real, influence.imag = so_far[0] * b_step - a_run, b_step - b_run
        influence.real[0], influence.imag[0] = -a_run, -b_run
        influence.real[1] += a_step
        own[cases] = influence.ravel().take(ends * len(times) + step)
        later, inside = at >= times[0], np.searchsorted(times, at, side="right") - 1
        incidence[:, later] = so_far[:, inside[later]]
        waiting[later] = so_far[0, inside[later]] * b_run[inside[later]] - a_run[inside[later]]
        passed[later] = first + np.cumsum(gone)[inside[later]]
        earlier = np.searchsorted(times, at, side="left")
        at_risk[later] = n - first - np.concatenate([[0], np.cumsum(gone)])[earlier[later]]
        share, reached, a_sum, b_sum = share * still[-1], so_far[:, -1], a_run[-1], b_run[-1]
        first += len(cases)
    return _Scan(incidence, at_risk, passed, waiting, own)


def _whole_times(time: np.ndarray, order: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """The next cases in order and their times: a part that holds all cases of each of its times."""
    last = first + _CASES
    now = time.take(order[first:last])
    if last < len(order):
        last = first + int(np.searchsorted(now, now[-1], side="left"))  # of the last time there may be more
        if last == first:
            last = bisect_right(order, now[0], first + _CASES, key=time.__getitem__)
            now = time.take(order[first:last])
    return order[first:last], now[: last - first]


def _variance(scan: _Scan, order: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, int]:
    """The variance of the incidence at the times asked for: squared influences, added up by cluster; and the clusters."""
    n, level = len(order), scan.incidence[0]
    number = _numbered(cluster)
    clusters = int(number[-1]) + 1
    if clusters == n:
        a, b = scan.own.real[order], scan.own.imag[order]
        run = [np.concatenate([[0.0], np.cumsum(x)])[scan.passed] for x in (a * a, a * b, b * b)]
        squares = run[0] - 2 * level * run[1] + level**2 * run[2] + scan.waiting**2 * (n - scan.passed)
        total = np.maximum(squares, 0)  # where all have met the event the terms cancel up to rounding
    else:
        interval = np.empty(n, dtype=np.int16)  # the first of the times at which the case has come to its end
        interval[order] = np.repeat(np.arange(len(level) + 1, dtype=np.int16), np.diff(scan.passed, prepend=0, append=n))
        starts = range(0, clusters, _CLUSTERS)
        total = np.sum([_squares(scan, interval, number, first) for first in starts], axis=0)
    return total * clusters / max(clusters - 1, 1), clusters


def _numbered(cluster: np.ndarray) -> np.ndarray:
    """Runs of equal clusters as 0, 1, ...; clusters that are numbered so take no new memory.

    >>> _numbered(np.array([7, 7, 9])).tolist()
    [0, 0, 1]
    """
    if cluster.dtype in (np.int32, np.int64) and not cluster[0]:
        steps = (np.diff(cluster[rows.start : rows.stop + 1]) for rows in _parts(len(cluster)))
        if all(np.isin(step, (0, 1)).all() for step in steps):
            return cluster
    return np.append(0, np.cumsum(cluster[1:] != cluster[:-1]))


def _squares(scan: _Scan, interval: np.ndarray, number: np.ndarray, first: int) -> np.ndarray:
    """The sum of squared influences of some clusters, those from `first` on, at each time."""
    rows = slice(*np.searchsorted(number, np.array([first, first + _CLUSTERS], dtype=number.dtype)))  # of one type: no copy
    which, own = number[rows].astype(np.int64) - first, scan.own[rows]
    m, wide = int(which[-1]) + 1, len(scan.waiting) + 1
    cell = interval[rows].astype(np.int64) * m + which
    sums = [np.bincount(cell, weights=w, minlength=wide * m).reshape(wide, m) for w in (own.real, own.imag, None)]
    total, a, b, under_way = np.empty(wide - 1), np.zeros(m), np.zeros(m), np.bincount(which, minlength=m).astype(float)
    for j, (level, waiting) in enumerate(zip(scan.incidence[0], scan.waiting, strict=True)):
        a += sums[0][j]
        b += sums[1][j]
        under_way -= sums[2][j]
        influence = a - level * b + waiting * under_way
        total[j] = (influence * influence).sum()  # not a dot product: its order would depend on the threads
    return total
