"""What would move customers left, and what would it change? Effects of ending one stage further left, and what-if."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import NO_MOOD, EventLog, returned
from cxlib.journey.cases import SIGNS, cases, sought
from cxlib.schema import duration

HOUR = 3_600_000_000
MOOD, HOURS, BACK = "mood", "hours", "return"
OUTCOMES = (MOOD, HOURS, BACK)
FEWEST, FEWEST_CUSTOMERS = 100, 30  # cases and customers that a side needs: with fewer nothing is adjusted
KNOWN = 0.9  # a column is used where it is known of this share of either side: where it is not, its absence tells the side
RARE = 20  # levels with fewer cases are taken together
MOST = 200_000  # cases of one comparison: beyond, whole customers are drawn by their key
BINS = 20


@dataclass(frozen=True)
class LeftMoves:
    """The answer of `left_moves`; `table` has one row per pair of stages and outcome."""

    table: pd.DataFrame  # source, target, outcome, naive, adjusted, effect, low, high, band_low, band_high, e_value, ...
    overlap: pd.DataFrame  # source, target, low, high, n_left, n_right: cases by their chance of ending at the left stage
    known: pd.DataFrame  # source, target, column, left, right, used: of what share of either side is a column known?
    signs: tuple[str, ...]  # the columns read as signs of severity
    within: str


def left_moves(log: EventLog, known: pd.DataFrame | None = None, *, within: str = "7d", seed: int = 0) -> LeftMoves:
    frame = cases(log) if known is None else known
    ends = log.per_case(_ends, within=duration(within))
    signs = _signs(frame)
    rows, chances, shares = [], [], []
    for left in range(log.problem_from, len(log.stages) - 1):
        pair = {"source": log.stages[left + 1], "target": log.stages[left]}
        here = _drawn(log, np.flatnonzero(ends["last"].isin([left, left + 1]) & ends["counted"]))
        is_left = ends["last"].to_numpy()[here] == left
        used = _used(frame.iloc[here], is_left)
        shares.append(used.assign(**pair))
        side = _Side(log, frame.iloc[here], is_left, list(used.index[used["used"]]), signs, here)
        for outcome in OUTCOMES:
            row, chance = _compared(side, ends[outcome].to_numpy()[here], outcome, seed)
            rows.append(pair | {"outcome": outcome} | row)
            if outcome == HOURS:
                chances.append(_binned(chance, is_left).assign(**pair))
    return LeftMoves(pd.DataFrame(rows), pd.concat(chances), pd.concat(shares), tuple(signs), within)


def _ends(log: EventLog, within: int) -> dict[str, np.ndarray]:
    """Of each case: the stage of its last touch, is it over, and mood, hours and return at its end (NaN where not known)."""
    last = log.case_start[1:] - 1
    mood, back = log.mood[last], returned(log, within)
    return {
        "last": log.stage[last].astype(np.int16),
        "counted": ~log.case_open & (log.stage[last] >= log.problem_from),
        MOOD: np.where(mood == NO_MOOD, np.nan, mood / 1000),
        HOURS: (log.case_end - log.at[sought(log)]) / HOUR,
        BACK: np.where(back < 0, np.nan, back),
    }


def _drawn(log, rows):
    if len(rows) <= MOST:
        return rows
    key = log.customer_key[log.customer_of_case[rows]]
    return rows[key <= np.quantile(key, MOST / len(rows))]


def _signs(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    if not set(SIGNS) <= set(frame):
        return {}
    both = frame[list(SIGNS)].notna().all(axis=1).to_numpy()
    numbers = np.zeros((len(frame), 2))
    numbers[both] = np.column_stack(stats.paired_scores(*(frame.loc[both, name].to_numpy() for name in SIGNS)))
    return dict(zip(SIGNS, numbers.T, strict=True))


def _used(frame: pd.DataFrame, is_left: np.ndarray) -> pd.DataFrame:
    left, right = frame[is_left].notna().mean(), frame[~is_left].notna().mean()
    used = ((left >= KNOWN) & (right >= KNOWN)) | frame.dtypes.map(pd.api.types.is_float_dtype)
    return pd.DataFrame({"left": left, "right": right, "used": used}).rename_axis("column")


@dataclass(frozen=True)
class _Side:
    log: EventLog
    frame: pd.DataFrame
    is_left: np.ndarray
    columns: list[str]
    signs: dict[str, np.ndarray]
    here: np.ndarray

    @property
    def key(self):
        return self.log.customer_key[self.log.customer_of_case[self.here]]


def numbers(frame: pd.DataFrame, columns) -> np.ndarray:
    parts = [np.zeros((len(frame), 0))]
    for name in columns:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values):
            values = values.astype(float)
            parts.append(
                np.column_stack([np.sign(values) * np.log1p(values.abs())])
                if name.startswith("n_")
                else values.fillna(values.mean()).fillna(0).to_numpy()[:, None]
            )
        else:
            words = values.astype(object).where(values.notna(), "(none)").astype(str)
            n = words.value_counts()
            common = n.index[n >= RARE][1:]
            parts.append((words.to_numpy()[:, None] == common.to_numpy()[None, :]).astype(float))
    return np.hstack(parts)


def _compared(side, y, outcome, seed):
    is_left = side.is_left
    known = ~np.isnan(y)
    y, left, key = y[known], is_left[known], side.key[known]
    frame = side.frame[known]
    n = {"n_left": int(left.sum()), "n_right": int((~left).sum())}
    nothing = dict.fromkeys(
        ["naive", "adjusted", "effect", "low", "high", "band_low", "band_high", "e_value", "overlap"], np.nan
    )
    if min(n.values()) < FEWEST:
        return nothing | {"corrected": False} | n, np.full(len(is_left), np.nan)
    naive = y[left].mean() - y[~left].mean()
    signs = [s for s in side.signs if s in side.columns]
    plain = [c for c in side.columns if c not in signs]
    scores = stats.doubly_robust(y[:, None], left, numbers(frame, plain + signs), key, seed=seed)
    adjusted = stats.mean_difference(scores)
    row = {"naive": naive, "adjusted": adjusted.effect}
    overlap = scores.kept.mean()
    done = False
    if len(signs) == 2:
        outcomes = np.column_stack([y, *(side.signs[s][side.here][known] for s in signs)])
        open_scores = stats.doubly_robust(outcomes, left, numbers(frame, plain), key, seed=seed)
        found = stats.corrected(open_scores)
        row["strength"] = found.strength
        if found.holds:
            done = True
            moved = [
                stats.mean_difference(stats.doubly_robust(y[:, None], left, numbers(frame, [*plain, s]), key, seed=seed)).effect
                - adjusted.effect
                for s in signs
            ]
            k = max(abs(m) for m in moved)
            row |= {
                "effect": found.effect,
                "low": found.low,
                "high": found.high,
                "band_low": found.low - k,
                "band_high": found.high + k,
            }
    if not done:
        half = adjusted.high - adjusted.effect
        row |= {
            "effect": adjusted.effect,
            "low": adjusted.low,
            "high": adjusted.high,
            "band_low": min(-half, adjusted.low),
            "band_high": max(half, adjusted.high),
        }
    row["e_value"] = stats.e_value_of_mean(row["effect"], y.std())
    row |= {"overlap": overlap, "corrected": done} | n
    chance = np.full(len(is_left), np.nan)
    chance[known] = scores.chance
    return row, chance


def _binned(chance, is_left):
    edges = np.linspace(0, 1, BINS + 1)
    bin_ = np.minimum((np.nan_to_num(chance) * BINS).astype(int), BINS - 1)
    seen = ~np.isnan(chance)
    n_left, n_right = (np.bincount(bin_[side & seen], minlength=BINS) for side in (is_left, ~is_left))
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n_left": n_left, "n_right": n_right})
