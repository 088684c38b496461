"""How near is the forecast to the best possible one, do its chances mean what they say, do dealt labels show nothing?"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from cxlib import escalation, eventlog, open_dataset, store
from cxlib.escalation import features, forecast, labels, models, scores
from cxlib.simulate import write_world
from cxlib.simulate.world import simulate_world
from cxlib.store import Dataset

CASES = {"2,000": 650, "5,000": 1_600, "20,000": 6_400}  # customers that bring about so many cases in search of help
RATIO = {"2,000": 0.955, "5,000": 0.965, "20,000": 0.98}  # the bars: AUC in parts of the best possible, medians over worlds
SLOPE, ECE, BLIND = (0.9, 1.1), 0.01, (0.49, 0.51)


def world(seed: int, customers: int) -> dict[str, float]:
    """The chosen model in one world: auc and the best possible one, slope, ece and that of a perfect forecast, auc if the
    training labels are dealt out anew."""
    with tempfile.TemporaryDirectory() as folder:
        write_world(simulate_world(customers, seed), Path(folder) / "world", store)
        dataset = open_dataset(Path(folder) / "world")
        truth = pd.read_parquet(Path(folder) / "world" / "truth" / "escalation.parquet").set_index("touchpoint_id")["p_call"]
        found = escalation.fit(dataset)
        blind = permuted(dataset, seed)
    rows = found.table
    best = scores.auc(rows["escalated"].to_numpy(), truth.reindex(rows["touchpoint_id"]).to_numpy())(rows["weight"].to_numpy())
    value = {name: found.metrics[name]["value"] for name in ("auc", "slope", "ece")}
    counts = {
        "cases": found.counts["training_cases"] + found.counts["held_out_cases"],
        "boosting": found.model.kind == "boosting",
    }
    return value | counts | {"best": best, "ece_if_perfect": found.ece_if_perfect, "blind": blind}


def permuted(dataset: Dataset, seed: int) -> float:
    """The AUC of logistic regressions whose training cases have each other's outcomes: the mean of ten deals."""
    log = eventlog.compile(dataset)
    known = features.moments(log, dataset)
    keys = forecast.at_split(log, known, 0.8)
    train = labels.outcomes(keys, keys["is_training"].to_numpy(), int(keys["split_at"].iloc[0]))
    test = labels.outcomes(keys, keys["is_test"].to_numpy(), log.observed_until)
    of_case = keys["case"][train.index]
    came = train["label"].groupby(of_case).max()
    found = []
    for deal in range(10):
        dealt = pd.Series(np.random.default_rng([seed, deal]).permutation(came.to_numpy()), index=came.index)
        blind = train.assign(label=of_case.map(dealt).to_numpy())
        model = models.logistic(
            known.features.loc[train.index], blind["label"].to_numpy(dtype=bool), blind["weight"].to_numpy()
        )
        chance = model.chance(known.features.loc[test.index])
        found.append(scores.auc(test["label"].to_numpy(), chance)(test["weight"].to_numpy()))
    return float(np.mean(found))


def in_worlds(size: str, seeds: range, processes: int = 2) -> pd.DataFrame:
    args = list(seeds), [CASES[size]] * len(seeds)
    if processes == 1:
        return pd.DataFrame(list(map(world, *args)))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return pd.DataFrame(list(pool.map(world, *args)))


def judged(size: str, found: pd.DataFrame) -> list[tuple]:
    """Rows of the table: size, quantity, worlds, value, bar, holds."""
    n, ratio = len(found), float((found["auc"] / found["best"]).median())
    above = float(((found["auc"] - 0.5) / (found["best"] - 0.5)).median())
    rows = [
        (size, "AUC / best possible, median", n, ratio, f">= {RATIO[size]}", ratio >= RATIO[size]),
        (size, "above guessing, the same", n, above, "", None),
        (
            size,
            "best possible AUC, median",
            n,
            float(found["best"].median()),
            ".75 to .90",
            0.75 <= found["best"].median() <= 0.9,
        ),
        (size, "cases, median", n, float(found["cases"].median()), "", None),
        (size, "boosting chosen", n, float(found["boosting"].mean()), "", None),
        (
            size,
            "AUC, labels dealt anew, mean",
            n,
            float(found["blind"].mean()),
            ".49 to .51",
            BLIND[0] <= found["blind"].mean() <= BLIND[1],
        ),
    ]
    slope, off = float(found["slope"].mean()), float((found["ece"] - found["ece_if_perfect"]).mean())
    last = size == list(CASES)[-1]
    rows.append((size, "slope, mean", n, slope, ".9 to 1.1" if last else "", SLOPE[0] <= slope <= SLOPE[1] if last else None))
    rows.append(
        (size, "ECE above a perfect forecast's, mean", n, off, f"<= {ECE}" if last else "", off <= ECE if last else None)
    )
    return rows


def drill(worlds: int = 20, processes: int = 2) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether every bar was kept."""
    rows = [row for size in CASES for row in judged(size, in_worlds(size, range(100, 100 + worlds), processes))]
    table = pd.DataFrame(rows, columns=["cases", "quantity", "worlds", "value", "bar", "holds"]).set_index("cases")
    said = (
        f"{worlds} simulated support worlds of each size, the newest fifth of the cases held out. The best possible AUC is "
        "that of the planted chance of a call, given what a case's columns have shown so far. The model is the one that "
        "rolling origins choose. Labels dealt anew: training cases have each other's outcomes, ten times a world."
    )
    return said, table, bool(table["holds"].dropna().all())
