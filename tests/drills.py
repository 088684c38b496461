"""Slow proofs, run by `make drills`, which writes tests/drills.md; the tests run a quick version of each."""

from __future__ import annotations

import sys
from datetime import date

import pandas as pd
from scipy.stats import binom
from tqdm import tqdm

from cxlib import eventlog, journey
from cxlib.schema import STAGES
from cxlib.simulate import simulate_paths

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


def central(worlds: int) -> tuple[int, int]:
    """DESIGN's coverage rule: the central 99 % of Binomial(worlds, .95).

    >>> central(100), central(400)
    ((89, 100), (368, 390))
    """
    return int(binom.ppf(0.005, worlds, 0.95)), int(binom.ppf(0.995, worlds, 0.95))


def main(worlds: int = 400) -> int:
    table = coverage(worlds)
    low, high = central(worlds)
    print(f"# Drills\n\nWritten by `make drills` on {date.today()}.\n\n## Coverage of the journey's 95 % intervals\n")
    print(f"{worlds} worlds of 400 customers with several cases each; it holds with {low} to {high} hits.\n")
    print("| quantity | planted | mean of the estimates | hits |\n|---|---|---|---|")
    for name, row in table.iterrows():
        print(f"| {name} | {row['planted']:.4f} | {row['mean']:.4f} | {int(row['hits'])} of {worlds} |")
    return int(not table["hits"].between(low, high).all())


if __name__ == "__main__":
    sys.exit(main())
