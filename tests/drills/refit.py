"""Does a refit find the intents that came since, and leave everything else where it was?"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxlib import themes
from cxlib.themes.texts import TextModel

from .news import models, questions

OLD, NEW = 4_000, 1_000  # questions: a fifth is new
HIDDEN, FEWEST = 2, 100  # intents that only the new ones hold, and the questions of each at least
BORN, KEPT = 0.9, 0.85  # the bars: intents with a birth of their own, old questions that keep their theme
_OWN = 0.5  # part of a birth that must be one intent's


def split(pool: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Old questions, new ones that hold two intents more, and these intents."""
    draw, known = np.random.default_rng(seed), pool["category"].value_counts().sort_index()
    hidden = [str(intent) for intent in draw.choice(known.index[known >= FEWEST], HIDDEN, replace=False)]
    is_hidden = pool["category"].isin(hidden)
    old = pool[~is_hidden].sample(OLD, random_state=seed)
    usual = pool[~is_hidden].drop(old.index).sample(NEW - is_hidden.sum(), random_state=seed)
    return old, pd.concat([usual, pool[is_hidden]]), hidden


def refits(pool: pd.DataFrame, seeds: range, text_model: str | TextModel) -> pd.DataFrame:
    """One row per draw: born (intents with a birth mostly theirs), births, kept (share), unlisted (moves not in the list)."""
    rows = []
    for seed in tqdm(seeds, disable=not sys.stderr.isatty(), delay=2):
        old, new, hidden = split(pool, seed)
        book = themes.fit(old["text"].tolist(), pool["category"].nunique() - HIDDEN, text_model, seed)
        grown, changes = book.refit([*old["text"], *new["text"]], seed=seed)
        before, after = book.labels, grown.labels[: len(old)]
        births = changes.loc[changes["kind"] == "birth", "theme"]
        inside = pd.crosstab(grown.labels[len(old) :], new["category"].to_numpy()).reindex(births, fill_value=0)
        own = inside.div(inside.sum(axis=1), axis=0)[hidden] > _OWN
        moved = before != after
        splits, merges = (changes[changes["kind"] == kind] for kind in ("split", "merge"))
        listed = {*zip(splits["other"], splits["theme"], strict=True), *zip(merges["theme"], merges["other"], strict=True)}
        unlisted = sum(pair not in listed for pair in zip(before[moved].tolist(), after[moved].tolist(), strict=True))
        rows.append((int(own.any(axis=0).sum()), len(births), float(1 - moved.mean()), unlisted))
    return pd.DataFrame(rows, columns=["born", "births", "kept", "unlisted"])


def drill(draws: int = 20) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether it held."""
    pool, rows = questions(), []
    for name, model in models().items() if pool is not None else ():
        found = refits(pool, range(draws), model)
        born, kept, planted = int(found["born"].sum()), float(found["kept"].min()), HIDDEN * draws
        judged = name == "semantic"
        holds = kept >= KEPT and not found["unlisted"].sum() and (born >= BORN * planted or not judged)
        rows.append((name, draws, planted, born, int(found["births"].sum()), kept, int(found["unlisted"].sum()), holds))
    columns = ["model", "draws", "planted", "born", "births", "least_kept", "unlisted_moves", "holds"]
    table = pd.DataFrame(rows, columns=columns).set_index("model")
    without = "Banking77 is not at hand (CX_REAL_DATA): refits are not proven here. " if pool is None else ""
    said = (
        f"{without}{OLD:,} Banking77 questions are fitted, then refitted with {NEW:,} new ones that hold {HIDDEN} intents "
        f"more. An intent is born if more than {_OWN:.0%} of a birth is its own; {BORN:.0%} of them must be (by meaning; by "
        f"letters and words reported). In every draw {KEPT:.0%} of the old questions keep their theme, and no move is missing "
        "in the list."
    )
    return said, table, bool(len(table) and table["holds"].all())
