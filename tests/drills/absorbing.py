"""Do the chain's intervals hold what was planted, does it name the worst lever, and does it notice a memory?"""

from __future__ import annotations

import sys

import pandas as pd
from drills import central
from tqdm import tqdm

from cxlib import journey
from cxlib.eventlog import EventLog
from cxlib.simulate.paths import simulate_walks

MEMORY = 0.1  # planted where a memory has to be noticed


def coverage(worlds: int, customers: int = 400, replicates: int = 200) -> pd.DataFrame:
    """In how many worlds does each 95 % interval of the chain hold the planted parameter?

    One row per quantity: planted (the parameter), mean (of the estimates), hits, worlds. Every second world is cut off while its
    last cases go on. What is 0 by construction is left out. The rows `worst lever first` (in how many worlds the planted worst
    lever is ranked first) and `false alarm` (how often a memory is warned of, where there is none) have no interval.
    """
    rows = []
    for seed in tqdm(range(worlds), disable=not sys.stderr.isatty(), delay=2):
        world = simulate_walks(customers, seed, cut=seed % 2 == 1)
        found = journey.absorbing(EventLog(**world.arrays), replicates=replicates)
        rows += _hits("all cases: ", found.overall, pd.DataFrame([world.truth], index=found.overall.index).assign(calls=_per_1000))
        rows += _hits("from ", found.table, world.by_start.replace(0.0, float("nan")))
        rows += _hits("lever ", found.sensitivities, world.levers)
        gap = found.first_order
        rows.append(("chain - counted", 0.0, gap.gap, gap.low <= 0 <= gap.high))
        rows.append(("worst lever first", 1.0, 1.0, found.sensitivities.index[0] == world.levers["points"].idxmin()))
        rows.append(("false alarm", 0.0, 0.0, gap.warns))
    seen = pd.DataFrame(rows, columns=["quantity", "planted", "mean", "hits"])
    return seen.groupby("quantity", sort=False).agg({"planted": "first", "mean": "mean", "hits": "sum"}).assign(worlds=worlds)


def _per_1000(truth: pd.DataFrame) -> pd.Series:
    return 1000 * truth["calls"]


def _hits(prefix: str, found: pd.DataFrame, planted: pd.DataFrame) -> list[tuple[str, float, float, bool]]:
    names = {"steps": "further"}
    return [
        (f"{prefix}{where + ', ' if len(planted) > 1 else ''}{name}", truth, row[name], row[f"{name}_low"] <= truth <= row[f"{name}_high"])
        for where, row in found.iterrows()
        for name, truth in planted.loc[where].rename(names).dropna().items()
    ]
