"""Do the chain's intervals hold what was planted, does it name the worst lever, and does it notice a memory?"""

from __future__ import annotations

import sys

import pandas as pd
from tqdm import tqdm

from cxlib import journey
from cxlib.eventlog import EventLog
from cxlib.simulate.paths import simulate_walks
from drills import alarms_allowed, central

CUSTOMERS = 1000
MEMORY = 0.15  # planted where a memory has to be noticed: a case that came from further left calls next so often
WORST, FALSE, NOTICED = "the worst lever is ranked first", "alarm, no memory planted", "alarm, memory planted"
_NAMES = {"steps": "further"}  # what the simulator calls it, and what the journey calls it


def coverage(worlds: int) -> pd.DataFrame:
    """In how many simulated worlds does each 95 % interval of the chain hold the planted parameter?

    One row per quantity: planted (the parameter), mean (of the estimates), hits, worlds. Every second world is cut off while
    its last cases go on. What is 0 by construction is left out. `WORST` and `FALSE` count worlds and have no interval.
    """
    rows = []
    for seed in tqdm(range(worlds), disable=not sys.stderr.isatty(), delay=2):
        world = simulate_walks(CUSTOMERS, seed, cut=seed % 2 == 1)
        found = journey.absorbing(EventLog(**world.arrays))
        rows += _hits("", found.overall, pd.DataFrame([world.truth], index=found.overall.index))
        rows += _hits("from ", found.table, world.by_start.replace({"forced": {0.0: float("nan")}}))
        rows += _hits("one point at ", found.sensitivities, world.levers)
        gaps = found.first_order.table.itertuples()
        rows += [(f"chain - counted, from {row.Index}", 0.0, row.gap, row.low <= 0 <= row.high) for row in gaps]
        rows.append((WORST, None, None, found.sensitivities.index[0] == world.levers["points"].idxmin()))
        rows.append((FALSE, None, None, found.first_order.warns))
    seen = pd.DataFrame(rows, columns=["quantity", "planted", "mean", "hits"])
    return seen.groupby("quantity", sort=False).agg({"planted": "first", "mean": "mean", "hits": "sum"}).assign(worlds=worlds)


def _hits(where: str, found: pd.DataFrame, planted: pd.DataFrame) -> list[tuple[str, float, float, bool]]:
    return [
        (f"{where}{index}: {name}", truth, row[name], row[f"{name}_low"] <= truth <= row[f"{name}_high"])
        for index, row in found.loc[planted.index].iterrows()
        for name, truth in planted.loc[index].rename(_NAMES).dropna().items()
    ]


def noticed(worlds: int) -> int:
    """In how many worlds with a planted memory is it warned of?"""
    logs = (EventLog(**simulate_walks(CUSTOMERS, seed, memory=MEMORY).arrays) for seed in range(worlds))
    return sum(journey.absorbing(log).first_order.warns for log in logs)


def drill(worlds: int = 400) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether it held."""
    table = coverage(worlds)
    table.loc[NOTICED, ["hits", "worlds"]] = noticed(worlds), worlds
    low, high = central(worlds)
    intervals = table.drop(index=[WORST, FALSE, NOTICED])["hits"]
    often, rarely = table.loc[[WORST, NOTICED], "hits"], table.loc[FALSE, "hits"]
    held = intervals.between(low, high).all() and (often >= 0.8 * worlds).all() and rarely <= alarms_allowed(worlds)
    said = (
        f"95 % intervals of the absorbing chain, {worlds} worlds of {CUSTOMERS:,} customers with several cases each, half "
        f"of them cut off: {low} to {high} hits hold. The worst lever comes first in at least 80 %; there is an alarm "
        f"in at most {alarms_allowed(worlds)} without a memory, in at least 80 % with one (of those who came from further left "
        f"{100 * MEMORY:.0f} % call next)."
    )
    return said, table.astype({"hits": int, "worlds": int}), bool(held)
