"""Our themes against BERTopic, on the same texts and the same rows, in one run: `make bench BENCH=themes`.

    PYTHONPATH=tests python -m bench.themes

The texts are Banking77's, whose 77 intents people gave. Every piece runs in a process of its own (cost.py). Agreement with the
intents and cost are held against the bars. Prints the tables, writes results.json and results.md beside the journey's rows, and
exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from bench.generate import write_tickets
from bench.journey import HERE, ROOT, Row, below, cheaper, measure, publish, versions

PIECES = {
    "OursThemes": ("prepare", "by_meaning", "by_words"),
    "OursTickets": ("prepare", "assigned"),
    "BERTopic": ("default", "outliers_reduced", "given_number"),
}
SIZES = {"test": "3,080 texts", "train": "10,003 texts"}
REHEARSAL = 600  # texts
TICKETS = 1_000_000  # simulated ones; a tenth of them are fitted
SLACK = 0.01  # of ARI and NMI
ABSOLUTE = {SIZES["test"]: {"ari": 0.56, "nmi": 0.82}, SIZES["train"]: {"ari": 0.53}}
BY_WORDS = 0.32
PACKAGES = ("numpy", "scikit-learn", "onnxruntime", "bertopic", "umap-learn", "hdbscan")

Found = Mapping[tuple[str, str], Mapping[str, float]]


def bars(found: Found, texts: str) -> Iterator[Row]:
    """Ours by meaning against the best of BERTopic's three, the medians of its draws; and from text to names by words alone."""
    ours, peers = found["OursThemes", "by_meaning"], [found["BERTopic", step] for step in PIECES["BERTopic"]]
    for score in ("ari", "nmi"):
        best = max(peer[score] for peer in peers)
        bar, held = f"ours >= peer - {SLACK:g}", ours[score] >= best - SLACK
        yield Row(f"{texts}: {score.upper()}, against the best BERTopic", ours[score], best, ours[score] / best, bar, held)
    for score, least in ABSOLUTE.get(texts, {}).items():
        yield Row(f"{texts}: {score.upper()} by meaning", ours[score], None, None, f"ours >= {least:g}", ours[score] >= least)
    by_words, least = found["OursThemes", "by_words"]["ari"], BY_WORDS
    yield Row(f"{texts}: ARI by words alone", by_words, None, None, f"ours >= {least:g}", by_words >= least)
    least = min(peer["cpu"] for peer in peers)
    yield cheaper(f"{texts}: clustering and naming, against the cheapest BERTopic, CPU s", ours["cpu"], least, 10)
    words, whole = (
        found["OursThemes", "by_words"]["cpu"],
        found["OursThemes", "prepare"]["cpu"] + found["BERTopic", "default"]["cpu"],
    )
    yield cheaper(f"{texts}: from text to names, ours by words, against BERTopic by meaning, CPU s", words, whole, 20)


def bars_of_size(found: Found) -> Iterator[Row]:
    """What many tickets may cost."""
    for step, what, cpu in (
        ("prepare", "a codebook of 100,000 tickets, by words", 60),
        ("assigned", "1 M tickets assigned", 600),
    ):
        cost = found["OursTickets", step]
        yield below(f"{what}: CPU s", cost["cpu"], cpu, "CPU s")
        yield below(f"{what}: peak", cost["peak"], 1500)


def agreement(labels: np.ndarray, intents: np.ndarray) -> dict[str, float]:
    """How far do these themes agree with the intents? ari, nmi, k (themes), outliers (share of texts)."""
    return {
        "ari": float(adjusted_rand_score(intents, labels)),
        "nmi": float(normalized_mutual_info_score(intents, labels)),
        "k": len(set(labels.tolist()) - {-1}),
        "outliers": float((labels == -1).mean()),
    }


def run_tickets(n: int, folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Costs of fitting a tenth of `n` tickets and of giving all of them their theme."""
    work, texts = folder / "work", folder / f"tickets-{n}.parquet"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for file, many in ((texts, n), (texts.with_name("rehearsal-" + texts.name), 10 * REHEARSAL)):
        write_tickets(file, many)
    found = measure({"OursTickets": Path(sys.executable)}, texts, work, PIECES)
    shutil.rmtree(work)
    for file in folder.glob(f"*{texts.name}"):
        file.unlink()
    return found


def run(source: Path, tools: Mapping[str, Path], folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Costs and agreement of every piece on one file of texts and intents."""
    work, texts = folder / "work", folder / "texts.parquet"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    table = pd.read_csv(source).astype(str)
    table.to_parquet(texts)
    table.head(REHEARSAL).to_parquet(texts.with_name("rehearsal-" + texts.name))

    def scores(tool: str, step: str) -> dict[str, float]:
        file = work / tool / f"{step}.answer.parquet"
        return agreement(pq.read_table(file)["theme"].to_numpy(), table["category"].to_numpy()) if file.exists() else {}

    found = measure(tools, texts, work, PIECES, scores)
    shutil.rmtree(work)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=Path(os.environ.get("CX_REAL_DATA", ROOT.parent / "shared" / "data")))
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "bench-themes", help="where texts and work lie")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-bench" / "bin" / "python", help="the python of BERTopic")
    parser.add_argument("--out", type=Path, default=HERE, help="where results.json and results.md lie")
    asked = parser.parse_args()
    sources = {what: asked.texts / "banking77" / f"{name}.csv" for name, what in SIZES.items()}
    if missing := [file for file in sources.values() if not file.is_file()]:
        sys.exit(f"no {missing[0]}: Banking77 (CC BY 4.0, columns text and category) is needed; CX_REAL_DATA names its folder")
    tools = {"OursThemes": Path(sys.executable), "BERTopic": asked.peers}
    found = {what: run(file, tools, asked.folder) for what, file in sources.items()}
    rows = [row for what, of in found.items() for row in bars(of, what)]
    found[f"{TICKETS:,} simulated tickets"] = many = run_tickets(TICKETS, asked.folder)
    rows += bars_of_size(many)
    publish(asked.out, "themes", found, rows, versions([asked.peers, Path(sys.executable)], PACKAGES))


if __name__ == "__main__":
    main()
