"""Do the intervals of funnel shares, forced to call and called first hold the planted parameter?"""

from __future__ import annotations

import sys

import pandas as pd
from tqdm import tqdm

from cxlib import eventlog, journey
from cxlib.schema import STAGES
from cxlib.simulate import simulate_paths
from drills import central

# What the journey calls it, and what the simulator calls it.
_PLANTED = {stage: f"share_{stage}" for stage in STAGES[1:]}
_PLANTED |= {journey.FORCED: "forced_to_call", journey.CALLED_FIRST: "called_first"}


def coverage(worlds: int, users: int = 400) -> pd.DataFrame:
    """In how many simulated worlds does each 95 % interval of the journey hold the planted parameter?

    One row per quantity: planted (the parameter, not the realised share), mean (of the estimates), hits, worlds. What is 1 by
    construction is left out.
    """
    rows = []
    for seed in tqdm(range(worlds), disable=not sys.stderr.isatty(), delay=2):
        touches, planted = simulate_paths(users, seed)
        log = eventlog.compile(touches)
        found = pd.concat([journey.funnel(log).table, journey.forced_to_call(log).table])
        for name in found.index.intersection(list(_PLANTED)):
            truth = planted[_PLANTED[name]]
            share, low, high = found.loc[name, ["share", "low", "high"]]
            rows.append((name, truth, share, low <= truth <= high))
    seen = pd.DataFrame(rows, columns=["quantity", "planted", "mean", "hits"])
    return seen.groupby("quantity", sort=False).agg({"planted": "first", "mean": "mean", "hits": "sum"}).assign(worlds=worlds)


def drill(worlds: int = 400) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether it held."""
    table = coverage(worlds)
    low, high = central(worlds)
    said = f"95 % intervals of shares, {worlds} worlds of 400 customers with several cases each; {low} to {high} hits hold."
    return said, table, bool(table["hits"].between(low, high).all())
