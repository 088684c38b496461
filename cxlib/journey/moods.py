"""The mood of a case: at its end, and so far."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from cxlib.eventlog import NO_MOOD, EventLog


def mood_at_end(log: EventLog) -> np.ndarray:
    """The mood of each case's last touch; means of any stage are those of the known ones.

    The missing ones count as the mean of their stage, and the known ones stand further from it, so that one of them may lie
    outside -1 to 1.
    """
    last = log.case_start[1:] - 1
    stage, mood, felt = log.stage[last], log.mood[last] / 1000, log.mood[last] != NO_MOOD
    size = len(log.stages)
    n, known = np.bincount(stage, minlength=size), np.bincount(stage[felt], minlength=size)
    total = np.bincount(stage[felt], weights=mood[felt], minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, share = total / known, known / n
    overall = total.sum() / known.sum() if known.sum() else 0.0
    mean = np.where(known > 0, mean, overall)[stage]
    return mean + np.where(felt, mood - mean, 0.0) / np.where(known > 0, share, 1.0)[stage]


def mood_so_far(log: EventLog, rows: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The mean mood of cases before a touch of each, less what is usual at the stages they were at; NaN where none is known.

    `rows` are the cases, `start` the positions of their touches. Moods are taken as normal scores of their ranks among those of
    these cases: how the scale of moods is stretched changes nothing. What is usual at a stage is what the same case feels there
    compared with its other stages (least squares with a mean of its own for each case), and is taken as known; where no cases
    link the stages, no mood is comparable, and all are NaN. The mean of all at the stage would not do: those further right are
    more severe, and would look calmer than they are.

    >>> from cxlib.eventlog import from_paths
    >>> mood_so_far(from_paths(a="help phone", b="phone"), np.array([0, 1]), np.array([1, 2]))
    array([nan, nan])
    """
    first, n = log.case_start[:-1][rows], np.diff(log.case_start)[rows]
    case = np.repeat(np.arange(len(rows)), n)
    place = np.arange(len(case)) + np.repeat(first - (np.cumsum(n) - n), n)
    felt = log.mood[place] != NO_MOOD
    case, place = case[felt], place[felt]
    stage = (log.stage[place][:, None] == np.arange(len(log.stages))).astype(float)
    score = _normal_scores(log.mood[place])
    apart = _less_own_mean(np.column_stack([score, stage]), case)
    usual, _, n_links, _ = np.linalg.lstsq(apart[:, 1:].T @ apart[:, 1:], apart[:, 1:].T @ apart[:, 0], rcond=1e-9)
    if n_links < stage.any(axis=0).sum() - 1:
        return np.full(len(rows), np.nan)
    before = place < start[case]
    rest, n_felt = (score - stage @ usual)[before], np.bincount(case[before], minlength=len(rows))
    total = np.bincount(case[before], weights=rest, minlength=len(rows))
    return np.where(n_felt > 0, total / np.maximum(n_felt, 1), np.nan)


def _normal_scores(mood: np.ndarray) -> np.ndarray:
    """Ranks as the values that a standard normal would have there; equal moods share theirs (van der Waerden)."""
    _, which, n = np.unique(mood, return_inverse=True, return_counts=True)
    return ndtri((np.cumsum(n) - n / 2) / max(1, len(mood)))[which]


def _less_own_mean(values: np.ndarray, case: np.ndarray) -> np.ndarray:
    n = np.bincount(case)
    mean = np.column_stack([np.bincount(case, weights=column) for column in values.T]) / np.maximum(n, 1)[:, None]
    return values - mean[case]
