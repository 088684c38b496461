"""Our forecast of an escalation against LightGBM and XGBoost, on the same rows, in one run: `make bench BENCH=escalation`.

    PYTHONPATH=tests python -m bench.escalation

The rows are those of the ServiceNow incidents, oldest 80 % of the cases to learn from and newest 20 % to forecast, and then a
million generated ones of 40 features. Every piece runs in a process of its own (cost.py). Prints the tables, writes
results.json and results.md beside the other rows, and exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bench import generate
from bench.journey import HERE, ROOT, Row, below, measure, publish, versions
from bench.ours import KEY
from bench.peers import coded, newer
from cxlib import eventlog, sources, store
from cxlib.escalation import choosing, forecast, models, scores
from cxlib.escalation.features import moments
from cxlib.escalation.labels import outcomes

PEERS = ("LightGBM", "XGBoost")
PIECES = {
    "OursForecast": ("prepare", "chosen", "other"),
    "LightGBM": ("default", "stopped"),
    "XGBoost": ("default", "stopped"),
}
PIECES_OF_SIZE = PIECES | dict.fromkeys(PEERS, ("default",))  # for information
SOURCE = "servicenow_incidents.csv.xz"
SPLIT = 0.8
KEYS = ["case", "customer", "at", "began", "is_open", "escalated_at"]
REHEARSAL = 1_500  # moments
SIZE = 1_000_000
SLACK = 0.01  # of AUC
CPU_TO_FIT, CPU_TO_SCORE, PEAK = 240, 30, 2000  # CPU s and MB
PACKAGES = ("numpy", "scikit-learn", "lightgbm", "xgboost-cpu")

Moments = tuple[pd.DataFrame, pd.DataFrame]  # features and keys, row by row
Found = Mapping[tuple[str, str], Mapping[str, float]]


def bars(found: Found, rows: str) -> Iterator[Row]:
    """Ours against the best of the peers that ran."""
    ours, peers = found["OursForecast", "chosen"]["auc"], [of["auc"] for (tool, _), of in found.items() if tool in PEERS]
    if peers:
        best, bar = max(peers), f"ours >= peer - {SLACK:g}"
        yield Row(f"{rows}: AUC, against the best peer", ours, best, ours / best, bar, ours >= best - SLACK)


def bars_of_size(found: Found, rows: str) -> Iterator[Row]:
    """What a million rows may cost."""
    fitted = found["OursForecast", "prepare"]
    yield below(f"{rows}: choosing and fitting both kinds, CPU s", fitted["cpu"], CPU_TO_FIT, "CPU s")
    yield below(f"{rows}: peak of that", fitted["peak"], PEAK)
    for step in PIECES["OursForecast"][1:]:
        scored = found["OursForecast", step]
        yield below(f"{rows}: as many scored by {scored['kind']}, CPU s", scored["cpu"], CPU_TO_SCORE, "CPU s")
        yield below(f"{rows}: peak of that, {scored['kind']}", scored["peak"], PEAK)


def of_servicenow(source: Path) -> tuple[Moments, Moments]:
    """The moments of the incidents at which a prediction is asked for, older and newer cases."""
    imported = sources.read_servicenow(source)
    with tempfile.TemporaryDirectory() as folder:
        store.write_dataset(folder, imported.settings, imported.tables, imported.set_aside, imported.notes)
        dataset = store.open_dataset(folder)
        log = eventlog.compile(dataset)
        known = moments(log, dataset)
    keys = forecast.at_split(log, known, SPLIT)
    untils = {"is_training": keys["split_at"].iloc[0], "is_test": log.observed_until}
    older, later = (
        (known.features[keys[part]], keys.loc[keys[part], KEYS].assign(split_at=until)) for part, until in untils.items()
    )
    return older, later


def of_size(n: int) -> tuple[Moments, Moments]:
    """Two times `n` generated moments, each known in full."""
    older, later = ((features, keys.assign(split_at=2**62)) for features, keys in map(generate.moments, (n, n), (1, 2)))
    return older, later


def lay(file: Path, older: Moments, later: Moments) -> None:
    """Both as files for ours and for the peers; and some of their cases for rehearsals."""
    words, numbers = models.readable(older[0])
    share = max(1, len(older[0]) // REHEARSAL)
    for of, every in ((file, 1), (file.with_name("rehearsal-" + file.name), share)):
        for path, (features, keys) in ((of, older), (newer(of), later)):
            some = (keys["case"] % every == 0).to_numpy()
            rows, kept = features[some].reset_index(drop=True), keys[some].reset_index(drop=True)
            rows.join(kept.add_prefix(KEY)).to_parquet(path, index=False)
            categories = {name: _category(rows[name], known) for name, known in words.items()}
            about = outcomes(kept, np.ones(len(kept), dtype=bool), int(kept["split_at"].iloc[0]))
            about["is_newer"] = choosing.newest_quarter(kept["began"].to_numpy())
            rows[list(numbers)].assign(**categories).join(about).to_parquet(coded(path), index=False)


def _category(column: pd.Series, known: pd.Index) -> pd.Categorical:
    codes = known.get_indexer(column.fillna(models.NO_VALUE))
    return pd.Categorical.from_codes(np.where(codes < 0, len(known), codes), [*known, "(another)"])


def judged(chance: np.ndarray, label: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """How good are these chances?"""
    found = {
        "auc": scores.auc(label, chance),
        "log_loss": scores.log_loss(label, chance),
        "ece": scores.ece(label, chance, weight),
    }
    return {name: float(score(weight)) for name, score in found.items()}


def run(
    older: Moments,
    later: Moments,
    tools: Mapping[str, Path],
    folder: Path,
    runs: int | None = None,
    pieces: Mapping[str, Sequence[str]] = PIECES,
) -> Found:
    """Costs and scores of every piece on the same moments; `runs` where it is not as often as usual."""
    work, file = folder / "work", folder / "moments.parquet"
    shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True)
    lay(file, older, later)
    told = pq.read_table(coded(newer(file)), columns=["label", "weight"]).to_pandas()
    found: dict[tuple[str, str], dict] = dict(measure(tools, file, work, pieces, runs=runs))
    for (tool, step), cost in found.items():
        answer = work / tool / f"{step}.answer.parquet"
        if answer.exists():
            given = pq.read_table(answer).to_pandas()
            cost.update(judged(given["chance"].to_numpy(), told["label"].to_numpy(), told["weight"].to_numpy()))
            cost.update({"kind": given["kind"].iloc[0]} if "kind" in given else {})
    shutil.rmtree(folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CX_REAL_DATA", ROOT.parent / "shared" / "data")))
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "bench-escalation", help="where rows and work lie")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-bench" / "bin" / "python", help="the python of the peers")
    parser.add_argument("--runs", type=int, help="of each piece, if not as many as usual: three, one to fit ours")
    parser.add_argument("--out", type=Path, default=HERE, help="where results.json and results.md lie")
    asked = parser.parse_args()
    source = asked.data / SOURCE
    if not source.is_file():
        sys.exit(f"no {source}: the incident log of ServiceNow (UCI 498) is needed; CX_REAL_DATA names its folder")
    tools = {"OursForecast": Path(sys.executable)} | dict.fromkeys(PEERS, asked.peers)
    many = f"{SIZE:,} rows"
    found = {"ServiceNow": run(*of_servicenow(source), tools, asked.folder, asked.runs)}
    found[many] = run(*of_size(SIZE), tools, asked.folder, asked.runs, PIECES_OF_SIZE)
    rows = [*bars(found["ServiceNow"], "ServiceNow"), *bars_of_size(found[many], many)]
    publish(asked.out, "escalation", found, rows, versions([asked.peers, Path(sys.executable)], PACKAGES))


if __name__ == "__main__":
    main()
