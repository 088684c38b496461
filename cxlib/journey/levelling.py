"""Two sides of cases made comparable: plainly, by what was known before, and by noisy readings of how severe a case is.

Used by `left_moves` and `what_if`, which say which cases are compared and what the sides are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cxlib import stats
from cxlib.eventlog import EventLog
from cxlib.journey.cases import SIGNS
from cxlib.schema import DataError

SO_FAR = "mood_so_far"  # the column of a third reading of severity, where there is one
FEWEST, FEWEST_CUSTOMERS = 100, 30  # cases and customers that a side needs: with fewer nothing is estimated
KNOWN = 0.9  # a column is used where it is known of this share of either side: where it is not, its absence tells the side
MOST = 200_000  # cases of one comparison: beyond, whole customers are drawn by their key
# Of what the signs revealed, that much more may be hidden: the band's width beyond the interval. A choice, with no source in
# the literature: made on pilot worlds of `simulate.moves`, as the drill's are. More keeps the truth in the band where the
# signs or the straight line mislead more than there, and costs width; less promises more than was seen to hold.
MISSED = 1 / 8
# Where severity is read from the mood so far as well: of a sixteenth, a twelfth and an eighth the least with which the truth
# lay in the band in 92 % of 47 pilot worlds (seeds from 20,000) for calls, cost and mood alike: in .96, 1 and .98.
READ_MISSED = 1 / 16
BINS = 20
ESTIMATES = ("naive", "adjusted", "effect")
_BOUNDS = [f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")]
NUMBERS = [*_BOUNDS, "band_low", "band_high", "strength", "overlap"]


@dataclass(frozen=True)
class Levelled:
    """What a comparison of two sides found; `rows` has one entry per outcome with the keys `NUMBERS`, `corrected`, `why`."""

    rows: list[dict]
    chance: np.ndarray  # of being on the first side, one per case compared; NaN where nothing was estimated
    read: float = 0.0  # share of the other side's cases whose severity is read from `SO_FAR`


def levelled(
    outcomes: np.ndarray,
    is_first: np.ndarray,
    known: pd.DataFrame,
    key: np.ndarray,
    *,
    seed: int,
    asked: np.ndarray | None = None,
    near: float = 1.0,
) -> Levelled:
    """How would the outcomes of the other side differ, had its cases been on the first: plainly, adjusted, corrected?

    `outcomes` has one column per outcome, `known` one row per case (the columns of `cases`), `key` is each case's customer.
    `asked` says which cases of the other side it is about; further ones only help to draw the line of `stats.corrected`
    (`near`: see there). The signs tell of severity; where `known` has a column `SO_FAR`, it is read there as well, in cases of
    which it is known, unless these are few or the signs do not agree with it clearly.
    """
    rows = np.ones(len(is_first), dtype=bool) if asked is None else is_first | asked
    why = _too_few(is_first[rows], key[rows])
    if why:
        return Levelled([_nothing(why)] * outcomes.shape[1], np.full(len(is_first), np.nan))
    with threadpool_limits(1):  # the matrices are narrow: more threads only wait for each other
        return _estimated(outcomes, is_first, known, key, rows, seed, near)


def _estimated(
    outcomes: np.ndarray, is_first: np.ndarray, known: pd.DataFrame, key: np.ndarray, rows: np.ndarray, seed: int, near: float
) -> Levelled:
    columns = _used(known[rows], is_first[rows])
    plain = [name for name in columns if name not in (*SIGNS, SO_FAR)]
    signs, unclear = _signs(known, columns)
    everything = stats.numbers(known, columns)
    if SO_FAR in columns:
        everything = np.column_stack([everything, known[SO_FAR].notna()])
    adjusted = stats.doubly_robust(outcomes[rows], is_first[rows], everything[rows], key[rows], seed=seed)
    kept, chance = np.ones(len(rows), dtype=bool), np.full(len(rows), np.nan)
    kept[rows], chance[rows] = adjusted.kept, adjusted.chance
    left = rows & kept
    why = _too_few(is_first[left], key[left])
    if why:
        return Levelled([_nothing(f"{why} with counterparts on the other side")] * outcomes.shape[1], chance)
    found: list = [None] * outcomes.shape[1]
    read = np.zeros(len(rows), dtype=bool)
    if signs is not None:
        parts = [part[kept] for part in (outcomes, is_first, stats.numbers(known, plain), signs, key, rows)]
        reading = _reading(known, is_first, key, left)
        if reading is not None:
            found = stats.corrected(*parts, reading=reading[kept], near=near)
        if reading is not None and found[0].holds:
            read = ~np.isnan(reading)
        else:
            found = stats.corrected(*parts, near=near)
    share = float(kept[rows & ~is_first].mean())
    naive = [stats.plain_difference(y, is_first[rows], key[rows]) for y in outcomes[rows].T]
    answers = [
        _row(plainly, estimate, one, unclear, missed(bool(read.any()))) | {"overlap": share}
        for plainly, estimate, one in zip(naive, adjusted.estimates, found, strict=True)
    ]
    return Levelled(answers, chance, float(read[left & ~is_first].mean()))


def _too_few(is_first: np.ndarray, key: np.ndarray) -> str:
    for side in (is_first, ~is_first):
        if side.sum() < FEWEST or len(np.unique(key[side])) < FEWEST_CUSTOMERS:
            return f"fewer than {FEWEST} cases or {FEWEST_CUSTOMERS} customers on a side"
    return ""


def _reading(known: pd.DataFrame, is_first: np.ndarray, key: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    """The third reading, where enough of either side have one, and enough or none do not."""
    if SO_FAR not in known:
        return None
    there = known[SO_FAR].notna().to_numpy()
    without = rows & ~there
    groups = [rows & there, without] if without.any() else [rows]
    return None if any(_too_few(is_first[group], key[group]) for group in groups) else known[SO_FAR].to_numpy()


def _nothing(why: str) -> dict:
    return dict.fromkeys(NUMBERS, np.nan) | {"corrected": False, "why": why}


def missed(read: bool) -> float:
    """How much more may be hidden than the signs revealed: see `MISSED` and `READ_MISSED`."""
    return READ_MISSED if read else MISSED


def _row(naive: stats.Estimate, adjusted: stats.Estimate, found: stats.Corrected | None, unclear: str, hidden: float) -> dict:
    """One outcome's numbers: the corrected difference where the signs agree clearly, else the adjusted one."""
    holds = found is not None and found.holds
    best = stats.Estimate(*found[:3]) if found is not None and holds else adjusted
    names = dict(zip(_BOUNDS, [*naive, *adjusted, *best], strict=True))
    low, high = _band(best, adjusted.effect if holds else None, hidden)
    if found is not None and not holds:
        unclear = f"{SIGNS[0]} and {SIGNS[1]} do not agree clearly (F = {found.strength:.1f}, {stats.STRONG:.0f} needed)"
    strength = found.strength if found is not None else np.nan
    return names | {
        "band_low": low, "band_high": high, "strength": strength, "corrected": holds, "why": "" if holds else unclear,
    }  # fmt: skip


def _band(best: stats.Estimate, adjusted: float | None, hidden: float) -> tuple[float, float]:
    """The interval, wider by what an unseen cause may do: with a correction (`adjusted` given) by the part `hidden` of it;
    without one by anything up to undoing the effect."""
    if adjusted is None:
        half = best.high - best.effect
        return min(best.low, -half), max(best.high, half)
    more = hidden * abs(adjusted - best.effect)
    return best.low - more, best.high + more


def checked(log: EventLog, known: pd.DataFrame) -> pd.DataFrame:
    """What was known, one row per case; raises DataError where it is not."""
    if len(known) != log.n_cases:
        raise DataError(
            f"known has {len(known):,} rows, the log {log.n_cases:,} cases: pass journey.cases(log, dataset) of the same log"
        )
    return known.reset_index(drop=True)


def drawn(log: EventLog, rows: np.ndarray) -> np.ndarray:
    """The cases to compare: all, or beyond `MOST` those of customers drawn by their key."""
    if len(rows) <= MOST:
        return rows
    key = log.customer_key[log.customer_of_case[rows]]
    return rows[key <= np.quantile(key, MOST / len(rows))]


def _used(known: pd.DataFrame, is_first: np.ndarray) -> list[str]:
    """Columns known of enough cases of either side; numbers that the log has of some cases only (earlier mood) always."""
    return [name for name in known if _is_gap(known[name]) or min(_shares(known[name], is_first)) >= KNOWN]


def _is_gap(values: pd.Series) -> bool:
    return values.name in ("earlier_mood", SO_FAR)


def _shares(values: pd.Series, is_first: np.ndarray) -> tuple[float, float]:
    there = values.notna().to_numpy()
    first, other = there[is_first], there[~is_first]
    return float(first.mean()) if len(first) else 0.0, float(other.mean()) if len(other) else 0.0


def known_shares(known: pd.DataFrame, is_first: np.ndarray) -> pd.DataFrame:
    """Of what share of either side is each column known, and is it used? One row per column: target, source, used."""
    shares = [_shares(known[name], is_first) for name in known]
    used = _used(known, is_first) if is_first.any() and (~is_first).any() else []
    table = pd.DataFrame(shares, columns=["known_target", "known_source"])
    return table.assign(column=list(known), used=[name in used for name in known])


def _signs(known: pd.DataFrame, columns: list[str]) -> tuple[np.ndarray | None, str]:
    """The two signs of severity as numbers, 0 where one is missing; or none, and why."""
    missing = [name for name in SIGNS if name not in columns]
    if missing:
        there = "is not known" if missing[0] not in known else f"is known of fewer than {100 * KNOWN:.0f} % of a side"
        return None, f"{missing[0]} {there}"
    return stats.scores_of(known[list(SIGNS)]), ""


def binned(chance: np.ndarray, is_first: np.ndarray) -> pd.DataFrame:
    """Cases by their chance of being on the first side: low, high, n_target, n_source."""
    edges, seen = np.linspace(0, 1, BINS + 1), ~np.isnan(chance)
    place = np.minimum((np.nan_to_num(chance) * BINS).astype(int), BINS - 1)
    first, other = (np.bincount(place[side & seen], minlength=BINS) for side in (is_first, ~is_first))
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n_target": first, "n_source": other})
