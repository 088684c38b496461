"""Do the intervals of the curve to a call hold the planted incidence where cases are cut off while they go on?"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxlib import journey
from cxlib.eventlog import EventLog
from cxlib.simulate.paths import DAY, called_by, simulate_walks
from drills import central

CUSTOMERS = 8000  # of whose cases a third begins early enough to be counted
DAYS = 40  # of observation; the last 28 say nothing of ends, so cases are followed for twelve and then censored
TEMPOS = (0.5, 1.5)  # a customer is quick or slow in all cases, and a later case often goes the way of the first
HOURS = [0, 12, 24, 48, 96, 168]


def coverage(worlds: int) -> pd.DataFrame:
    """In how many simulated worlds does each 95 % interval of the curve hold the planted incidence?

    One row per time after help was first sought: planted (exact, from the parameters), mean (of the estimates), hits, worlds;
    and `open`, the mean share of the cases that are censored, the same in each row.
    """
    planted = called_by(np.array(HOURS) * (DAY // 24), TEMPOS)
    curves = [_curve(seed) for seed in tqdm(range(worlds), disable=not sys.stderr.isatty(), delay=2)]
    share, low, high, under_way = np.stack(curves).transpose(2, 0, 1)
    hits = ((low <= planted) & (planted <= high)).sum(axis=0)
    table = {"planted": planted, "mean": share.mean(axis=0), "hits": hits, "worlds": worlds, "open": under_way.mean()}
    return pd.DataFrame(table, index=pd.Index([f"called by {hours} h" for hours in HOURS], name="quantity"))


def _curve(seed: int) -> np.ndarray:
    """share, low, high and the share of open cases in one world; one row per time."""
    log = EventLog(**simulate_walks(CUSTOMERS, seed, cut=True, period=DAYS * DAY, tempos=TEMPOS).arrays)
    found = journey.time_to(log, "phone")
    rows = found.table.set_index("hours").loc[HOURS, ["share", "low", "high"]]
    return rows.assign(open=found.n_open / found.n_cases).to_numpy()


def drill(worlds: int = 400) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether it held."""
    table = coverage(worlds)
    low, high = central(worlds)
    still_open = 100 * table["open"].iloc[0]
    said = (
        f"95 % intervals of the Aalen-Johansen curve to the first call, {worlds} worlds of {CUSTOMERS:,} customers with "
        f"several cases each, alike in their way and tempo; {still_open:.0f} % of the cases are open at the end, and "
        f"so censored. {low} to {high} hits hold."
    )
    return said, table.drop(columns="open"), bool(table["hits"].between(low, high).all())
