"""What would be different, had a case ended one stage further left? Mood, time and return, with what stays hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import NO_MOOD, EventLog, returned, sought
from cxlib.journey.cases import cases
from cxlib.journey.levelling import binned, checked, drawn, known_shares, levelled
from cxlib.schema import HOUR, duration

MOOD, HOURS, BACK = "mood", "hours", "return"
OUTCOMES = (MOOD, HOURS, BACK)


@dataclass(frozen=True)
class LeftMoves:
    """The answer of `left_moves`; `table` has one row per pair of stages and outcome."""

    table: pd.DataFrame  # source, target, outcome, naive, adjusted, effect, band, e_value, overlap, n_source, n_target, n_all
    overlap: pd.DataFrame  # source, target, low, high, n_target, n_source: cases by their chance of ending at the target
    known: pd.DataFrame  # source, target, column, known_source, known_target (shares), used
    within: str


def left_moves(log: EventLog, known: pd.DataFrame | None = None, *, within: str = "7d", seed: int = 0) -> LeftMoves:
    """What would be different, had cases ended one stage further left than where they ended?

    Parameters
    ----------
    log : EventLog
    known : DataFrame, optional
        What was known of each case before, one row per case in the order of the log: `cases(log, dataset)`. Without it only
        what the log itself tells is used, and nothing is corrected for severity.
    within : str
        A return is a new case of the same customer that sought help within this time of the end.
    seed : int
        Decides which customers share a fold.

    Returns
    -------
    LeftMoves
        `table`, one row per pair of neighbouring stages (``source`` to ``target``, its left neighbour) and ``outcome``:
        ``mood`` at the last touch (-1 to 1), ``hours`` from seeking help to the end, ``return`` (share, 0 to 1). Each a mean
        difference target less source with its 95 % interval by customer (``_low``, ``_high``): ``naive`` as counted,
        ``adjusted`` for what was known, ``effect`` (corrected for severity where ``corrected``, else as adjusted).
        ``band_low`` and ``band_high`` also allow for what stays hidden. ``e_value`` and ``e_bound``: how strong an unseen
        cause had to be (risk ratio, 1 or more) to explain away the effect, and its interval's bound nearest to 0. ``overlap``:
        share of the source's cases that have counterparts, of which all but `naive` speaks. ``n_source``, ``n_target``: the
        closed cases with known outcome that all numbers of the row come from; ``n_all``: as many the log has of the two
        together. Beyond 200,000 (`levelling.MOST`) whole customers are drawn by their key. ``strength`` of the signs' agreement
        (F). ``why``: what was missing.

    Raises
    ------
    UnitError
        If `within` has no unit.
    DataError
        If `known` is of another log.

    Notes
    -----
    *Asked* of the cases that ended at the source, on average: the outcome had they ended at the target, less their own (the
    effect on those who would be moved). A case ends at the stage of its last touch, solved or given up; open ones do not
    count.

    *Adjusted*: `stats.doubly_robust`, customers in five folds. *Corrected*: `stats.corrected`, with impact and urgency as two
    noisy signs of severity, where F is 10 or more. It assumes that where a case ends moves neither sign, that given severity
    their errors are unrelated, and that the outcome is about linear in severity near the cases that would move.

    *Band*: with a correction the interval and an eighth of what the correction took away (a choice made on pilot worlds, see
    `levelling.MISSED`; more than that may be hidden, of a kind the signs do not tell); without one from no effect
    to the adjusted one: it then takes it that what is hidden exaggerates the effect, as severity does, and does not turn it
    round.

    References
    ----------
    See `stats.doubly_robust` and `stats.corrected`; VanderWeele and Ding (2017), Ann. Intern. Med. 167, for the E-value.

    Examples
    --------
    >>> from cxlib.eventlog import from_paths
    >>> found = left_moves(from_paths(a="help", b="help chatbot"))
    >>> found.table[["source", "outcome", "n_source", "why"]].values.tolist()[1]
    ['chatbot', 'hours', 1, 'fewer than 100 cases or 30 customers on a side']
    """
    frame = cases(log) if known is None else checked(log, known)
    ends = log.per_case(_ends, within=duration(within, "within"))
    found = [_move(log, frame, ends, left, seed) for left in range(log.problem_from, len(log.stages) - 1)]
    table, overlap, shares = (
        pd.concat([move[part] for move in found], ignore_index=True) if found else pd.DataFrame() for part in range(3)
    )
    return LeftMoves(table, overlap, shares, within)


def _ends(log: EventLog, within: int) -> dict[str, np.ndarray]:
    """Of each case: the stage of its last touch, is it over, and mood, hours and return at its end (NaN where not known)."""
    last = log.case_start[1:] - 1
    mood, back = log.mood[last], returned(log, within)
    return {
        "last": log.stage[last].astype(np.int16),
        "counted": ~log.case_open & (log.stage[last] >= log.problem_from),
        MOOD: np.where(mood == NO_MOOD, np.nan, mood / 1000),
        HOURS: np.maximum(0, log.case_end - log.at[sought(log)]) / HOUR if log.n_cases else np.empty(0),
        BACK: np.where(back < 0, np.nan, back),
    }


def _move(
    log: EventLog, frame: pd.DataFrame, ends: pd.DataFrame, left: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """One pair of stages: the rows of its outcomes, its overlap, and what was known of its cases."""
    pair = {"source": log.stages[left + 1], "target": log.stages[left]}
    pool = np.flatnonzero(ends["last"].isin([left, left + 1]) & ends["counted"])
    here = drawn(log, pool)
    at_left, known = ends["last"].to_numpy()[here] == left, frame.iloc[here]
    key = log.customer_key[log.customer_of_case[here]]
    values = ends[list(OUTCOMES)].to_numpy(dtype=float)[here]
    n_all = ends[list(OUTCOMES)].iloc[pool].notna().sum()
    found: dict[str, dict] = {}
    chance = np.full(len(here), np.nan)
    for names in _alike(values):
        told = ~np.isnan(values[:, names[0]])
        result = levelled(values[told][:, names], at_left[told], known[told], key[told], seed=seed)
        counts = {"n_source": int((told & ~at_left).sum()), "n_target": int((told & at_left).sum())}
        for name, row in zip(names, result.rows, strict=True):
            outcome = OUTCOMES[name]
            found[outcome] = row | _e_values(row, values[told, name], at_left[told], outcome) | counts
            found[outcome]["n_all"] = int(n_all[outcome])
            if outcome == HOURS:
                chance[told] = result.chance
    rows = [pair | {"outcome": name} | found[name] for name in OUTCOMES]
    tell = known_shares(known, at_left)
    return pd.DataFrame(rows), binned(chance, at_left).assign(**pair), tell.assign(**pair)


def _alike(values: np.ndarray) -> list[list[int]]:
    """Outcomes known of the same cases, together: they share their models."""
    groups: dict[bytes, list[int]] = {}
    for name in range(values.shape[1]):
        groups.setdefault(np.isnan(values[:, name]).tobytes(), []).append(name)
    return list(groups.values())


def _e_values(row: dict, values: np.ndarray, at_left: np.ndarray, outcome: str) -> dict[str, float]:
    """Of the effect, and of its interval's bound nearest to 0 (1 where the interval holds 0)."""
    low, high = row["effect_low"], row["effect_high"]
    bound = 0.0 if low <= 0 <= high else min(low, high, key=abs)
    if outcome != BACK:
        spread = float(np.std(values)) if len(values) else np.nan
        return {
            "e_value": stats.e_value_of_mean(row["effect"], spread),
            "e_bound": stats.e_value_of_mean(bound, spread) if not np.isnan(low) else np.nan,
        }
    now = float(values[~at_left].mean()) if (~at_left).any() else np.nan
    ratio = [(now + moved) / now if now > 0 else np.nan for moved in (row["effect"], bound)]
    return {"e_value": stats.e_value(ratio[0]), "e_bound": stats.e_value(ratio[1]) if not np.isnan(low) else np.nan}
