"""Are themes that appear and themes that grow found in months of bank questions, and months alike passed over?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from bench.generate import tickets
from tqdm import tqdm

from cxlib import themes
from cxlib.schema import DataError
from cxlib.themes.semantic import semantic
from cxlib.themes.texts import TextModel, plain

ROOT = Path(__file__).parents[2]
MONTH = 3000  # tickets
OLD_MONTHS = 2  # that a new month's texts are compared with: all that 13,071 questions allow without saying one twice
SPREAD = 0.2  # standard deviation of an intent's share from month to month, in parts of itself
SEASON = (
    0.2  # an intent's share swings by up to this much in a year, each with its own height and peak; the volume by this much
)
TREND = 0.02  # standard deviation of the intents' monthly trends, in logs
HISTORY = 12  # months before the one that is asked about
BIRTHS, SIZE = 4, 60  # intents that appear in one month, and the tickets of each: 2 % of it
GROWN, TIMES = 2, 3  # intents that grow in one month, and how many times
# The bars.
BORN, RISEN = 0.8, 0.7
ALARMS = 0.1  # of the null worlds with any alarm
ONLY_REPORTED = ("questions, lexical",)  # a dozen words say an intent in other letters each time: they ask for a language model
_FOUND = 0.25  # part of an intent's tickets that a theme must hold to have found it, and be mostly it


def questions() -> pd.DataFrame | None:
    """The questions of Banking77 with their intents, each said once; None where they are not at hand."""
    folder = Path(os.environ.get("CX_REAL_DATA", ROOT.parent / "shared" / "data")) / "banking77"
    if not folder.is_dir():
        return None
    rows = pd.concat([pd.read_csv(folder / name) for name in ("train.csv", "test.csv")], ignore_index=True)
    return rows[~rows["text"].map(plain).duplicated()].reset_index(drop=True)


def simulated(n: int = 25_000) -> pd.DataFrame:
    """Simulated tickets with their topics, each said once."""
    topic, text = tickets(np.random.default_rng(7), n)
    rows = pd.DataFrame({"text": text, "category": topic})
    return rows[~rows["text"].map(plain).duplicated()].reset_index(drop=True)


def months(pool: pd.DataFrame, seed: int, births: int, size: int) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Questions of two months and of a third one with `births` intents more, of `size` tickets each; and which those are.

    The other intents' shares vary from month to month (gamma, `SPREAD`). No question comes twice.
    """
    draw = np.random.default_rng(seed)
    known = pool["category"].value_counts().sort_index()
    usual = known / known.sum()
    hidden = list(draw.choice(usual.index[known >= size], births, replace=False))
    left = {intent: list(draw.permutation(rows)) for intent, rows in pool.groupby("category").indices.items()}
    usual[hidden] = 0

    def month(n: int) -> list[int]:
        share = usual.to_numpy() * draw.gamma(1 / SPREAD**2, SPREAD**2, len(usual))
        asked = zip(usual.index, draw.multinomial(n, share / share.sum()), strict=True)
        return [left[intent].pop() for intent, times in asked for _ in range(min(times, len(left[intent])))]

    old = [row for _ in range(OLD_MONTHS) for row in month(MONTH)]
    new = [*month(MONTH - births * size), *(left[intent].pop() for intent in hidden for _ in range(size))]
    return pool.loc[old], pool.loc[new], hidden


def births(pool: pd.DataFrame, seeds: range, size: int, text_model: str | TextModel, n: int = BIRTHS) -> pd.DataFrame:
    """One row per world: born (intents that appeared), found (of them), shown (themes), wrong (those mostly of old intents)."""
    rows = []
    for seed in tqdm(seeds, disable=not sys.stderr.isatty(), delay=2):
        old, new, hidden = months(pool, seed, n, size)
        news = themes.emerging(old["text"].tolist(), new["text"].tolist(), text_model=text_model, seed=seed)
        inside = pd.crosstab(news.labels, new["category"].to_numpy()).drop(index=-1, errors="ignore")
        of_intent, of_theme = inside / new["category"].value_counts(), inside.div(inside.sum(axis=1), axis=0)
        found = ((of_theme[hidden] > 0.5) & (of_intent[hidden] >= _FOUND)).any(axis=0).sum() if hidden else 0
        wrong = (of_theme[hidden].sum(axis=1) <= 0.5).sum()
        rows.append((n, int(found), len(inside), int(wrong)))
    return pd.DataFrame(rows, columns=["born", "found", "shown", "wrong"])


def monthly(usual: np.ndarray, seed: int, grown: int, size: int, history: int = HISTORY) -> tuple[pd.DataFrame, set[int]]:
    """Tickets of each theme in each month, and which themes grew in the last one: from `size` / `TIMES` tickets to `size`.

    Shares have a season, a trend and gamma noise, the volume has a season and noise: see the constants.
    """
    draw, n, when = np.random.default_rng(seed), len(usual), np.arange(history + 1)
    share, rising = usual.copy(), draw.choice(n, grown, replace=False)
    share[rising] = size / TIMES / MONTH
    height, peak, trend = draw.uniform(0, SEASON, (n, 1)), draw.uniform(0, 2 * np.pi, (n, 1)), draw.normal(0, TREND, (n, 1))
    rate = share[:, None] * np.exp(height * np.sin(2 * np.pi * when / 12 + peak) + trend * (when - when.mean()))
    rate *= draw.gamma(1 / SPREAD**2, SPREAD**2, rate.shape)
    rate *= MONTH * np.exp(SEASON * np.sin(2 * np.pi * when / 12)) * draw.gamma(100, 0.01, len(when)) / rate.sum(axis=0)
    rate[rising, -1] *= TIMES
    start = pd.date_range("2024-01-01", periods=len(when), freq="MS")
    counts = {"theme": np.repeat(np.arange(n), len(when)), "period": np.tile(start, n), "n": draw.poisson(rate).ravel()}
    return pd.DataFrame(counts), set(rising.tolist())


def growths(usual: np.ndarray, seeds: range, grown: int, size: int, history: int = HISTORY) -> pd.DataFrame:
    """One row per world, as `births`: born (themes that grew), found, shown, wrong."""
    rows = []
    for seed in tqdm(seeds, disable=not sys.stderr.isatty(), delay=2):
        counts, rising = monthly(usual, seed, grown, size, history)
        table = themes.growth(counts).table
        called = set(table["theme"][table["grew"]])
        rows.append((grown, len(called & rising), len(called), len(called - rising)))
    return pd.DataFrame(rows, columns=["born", "found", "shown", "wrong"])


def row(name: str, worlds: pd.DataFrame, bar: float | None) -> tuple:
    """A line of the table: what was planted and found, false alarms, the bar on whichever is asked, and whether it held."""
    born, found, alarmed = worlds["born"].sum(), worlds["found"].sum(), (worlds["wrong"] > 0).sum()
    if not born:
        kept = alarmed <= ALARMS * len(worlds)
        return name, len(worlds), None, None, None, alarmed, f"at most {ALARMS * len(worlds):.0f} alarms", kept
    kept = None if bar is None else found >= bar * born
    return name, len(worlds), born, found, found / born, alarmed, "" if bar is None else f"{bar:.0%} found", kept


def drill(text_models: dict[str, str | TextModel] | None = None, worlds: int = 50) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether it held."""
    pool, alike = questions(), range(20_000, 20_000 + worlds)
    usual = np.full(77, 1 / 77) if pool is None else pool["category"].value_counts(normalize=True).to_numpy()
    rows = []
    pools = {} if pool is None else {f"questions, {name}": (pool, model) for name, model in (text_models or models()).items()}
    for name, (some, model) in {**pools, "simulated tickets, lexical": (simulated(), "lexical")}.items():
        bar = BORN if name not in ONLY_REPORTED else None
        rows.append(row(f"births of {SIZE}, {name}", births(some, range(worlds // 2), SIZE, model), bar))
        rows.append(row(f"births, null, {name}", births(some, alike, 0, model, n=0), None))
    for history in (HISTORY, 3 * HISTORY):
        for size, bar in ((200, RISEN), (200 * TIMES // 12, None)):
            name = f"growth to {size} tickets, {history} months before"
            rows.append(row(name, growths(usual, range(worlds), GROWN, size, history), bar))
        rows.append(row(f"growth, null, {history} months before", growths(usual, alike, 0, 0, history), None))
    columns = ["quantity", "worlds", "planted", "found", "share", "worlds_with_alarm", "bar", "holds"]
    table = pd.DataFrame(rows, columns=columns).set_index("quantity")
    missed = table.index[table["holds"].eq(False)]
    return said(pool is None, missed), table, missed.empty


def models() -> dict[str, str | TextModel]:
    """The text models at hand: letters and words always, meaning where the extra is installed."""
    try:
        return {"lexical": "lexical", "semantic": semantic()}
    except DataError:
        return {"lexical": "lexical"}


def said(without_texts: bool, missed: pd.Index) -> str:
    """What was made, what was asked, and what missed its bar."""
    texts = (
        f"Months of {MONTH:,} Banking77 questions: {BIRTHS} intents of {SIZE} tickets come in a third month that {OLD_MONTHS} "
        "before lack; by letters and words alone reported, not judged: questions of a dozen words ask for a language model. "
    )
    return (
        f"{'Banking77 is not at hand (CX_REAL_DATA): births are not proven here. ' if without_texts else texts}"
        f"The same with simulated tickets and their topics. One is found if a theme at p <= .05 is mostly the intent "
        f"and holds {_FOUND:.0%} of it. Months of {MONTH:,} tickets in 77 themes, their sizes as in Banking77; {GROWN} grow "
        f"{TIMES}-fold, to 200 tickets, or to {200 * TIMES // 12} from 200 in a year (reported, not judged). Shares vary by "
        f"{SPREAD:.0%} of themselves from month to month beyond chance, in all of these; in months of growth each also has a "
        f"trend and a season of up to {SEASON:.0%}, which 12 months cannot know. An alarm is a theme that is mostly of old "
        f"intents, or did not grow; without any planted at most {ALARMS:.0%} of the worlds may have one. "
        "Choices were made on other draws of the same questions. "
        f"Missed: {', '.join(missed) or 'nothing'}."
    )
