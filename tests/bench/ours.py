"""The five questions as we answer them; see peers.py for what a tool is."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bench.peers import LETTERS, N_THEMES, ROWS, STAGES, STEPS, newer, pairs, said, steps, waits
from cxlib import eventlog, journey, themes
from cxlib.escalation import choosing
from cxlib.escalation.labels import outcomes
from cxlib.escalation.models import Model
from cxlib.store import Settings
from cxlib.themes.semantic import semantic
from cxlib.themes.texts import plain

MEMORY = "500MB"
PART = 100_000  # tickets held at once
KEY = "key "  # before the name of a column that is no feature
WATCHED = Settings(observed_until=pd.Timestamp("2027-01-01", tz="UTC"))  # every case is over, as the peers take it
LETTER = dict(zip(STAGES, LETTERS, strict=True))


class Ours:
    """A log compiled in a folder, opened outside the clock."""

    def prepare(self, events: Path, folder: Path) -> eventlog.EventLog:
        names = {"case": "case_id", "user": "user_id", "at": "occurred_at", "stage": "stage"}
        return eventlog.compile(events, **names, settings=WATCHED, memory=MEMORY, cache=folder)

    def keep(self, prepared: eventlog.EventLog, folder: Path) -> None:
        """Compiling has left the log in the folder."""

    def load(self, events: Path, folder: Path) -> eventlog.EventLog:
        return self.prepare(events, folder)  # compiled before: mapped, not sorted

    def transitions(self, log: eventlog.EventLog) -> journey.Transitions:
        return journey.transitions(log)

    def variants(self, log: eventlog.EventLog) -> journey.Variants:
        return journey.variants(log)

    def funnel(self, log: eventlog.EventLog) -> journey.Funnel:
        return journey.funnel(log, STEPS)

    def funnel_within(self, log: eventlog.EventLog) -> journey.Funnel:
        return journey.funnel(log, STEPS, within="7d")

    def case_summary(self, log: eventlog.EventLog) -> journey.CaseSummary:
        return journey.case_summary(log)

    def time_to(self, log: eventlog.EventLog) -> journey.TimeTo:
        return journey.time_to(log, "phone")

    def answer(self, question: str, found: Any, folder: Path) -> dict[str, Any]:
        table = found.table
        if question == "transitions":
            moves = table[table["target"].isin(STAGES)]  # the peers count no ends of cases
            return pairs(dict(zip(zip(moves["source"], moves["target"], strict=True), moves["count"], strict=True)))
        if question == "variants":
            return {
                "path": ["".join(LETTER[stage] for stage in path.split(" > ")) for path in table["path"]],
                "n": table["count"],
            }
        if question == "case_summary":
            times = {name: table[f"{name}_at"].dt.as_unit("us").astype("int64") for name in ("began", "ended")}
            ends = {name: table[name].cat.codes.astype("uint8") for name in ("first", "last")}
            return {"case_id": table["case_id"], "touches": table["touches"], **times, **ends}
        if question == "time_to":
            return waits(found.time[found.end == 1])
        return steps(table["reached"].tolist())


class OursAtOnce(Ours):
    """Opening that log, and opening it with all five questions asked, under one clock."""

    kept_by = "Ours"
    answer = None

    def load(self, events: Path, folder: Path) -> tuple[Path, Path]:
        return events, folder

    def open(self, where: tuple[Path, Path]) -> eventlog.EventLog:
        return self.prepare(*where)

    def five_questions(self, where: tuple[Path, Path]) -> None:
        log = self.open(where)
        for ask in (self.transitions, self.variants, self.funnel, self.case_summary, self.time_to):
            ask(log)  # each answer is let go before the next question, as where a notebook draws it and goes on


class Given:
    """A model that has placed these texts before."""

    name = "given"

    def __init__(self, texts: list[str], rows: np.ndarray):
        self.place_of, self.rows = {text: i for i, text in enumerate(texts)}, rows

    def place(self, texts: Sequence[str]) -> np.ndarray:
        return self.rows[[self.place_of[text] for text in texts]]


class OursThemes:
    """Texts in themes: `prepare` places them by meaning; from those rows or from words alone they are grouped and named."""

    def prepare(self, texts: Path, folder: Path) -> np.ndarray:
        return semantic(cache=folder).place([plain(text) for text in said(texts)])

    def keep(self, prepared: np.ndarray, folder: Path) -> None:
        np.save(folder / ROWS, prepared)

    def load(self, texts: Path, folder: Path) -> tuple[list[str], Given]:
        raw = said(texts)
        return raw, Given([plain(text) for text in raw], np.load(folder / ROWS))

    def by_meaning(self, state: tuple[list[str], Given]) -> np.ndarray:
        texts, model = state
        return themes.fit(texts, N_THEMES, model).labels

    def by_words(self, state: tuple[list[str], Given]) -> np.ndarray:
        return themes.fit(state[0], N_THEMES, "lexical").labels

    def answer(self, step: str, found: np.ndarray, folder: Path) -> dict[str, Any]:
        return {"theme": found}


class OursTickets:
    """Many tickets: `prepare` fits a codebook by words on the first tenth, `assigned` gives its themes to all, part by part."""

    kept_by = "OursTickets"

    def prepare(self, texts: Path, folder: Path) -> themes.Codebook:
        file = pq.ParquetFile(texts)
        wanted = file.metadata.num_rows // 10
        return themes.fit(next(file.iter_batches(wanted, columns=["text"]))["text"].to_pylist(), text_model="lexical")

    def keep(self, prepared: themes.Codebook, folder: Path) -> None:
        prepared.save(folder / "0001.npz")

    def load(self, texts: Path, folder: Path) -> tuple[Path, Path]:
        return texts, folder / "0001.npz"

    def assigned(self, state: tuple[Path, Path]) -> np.ndarray:
        book = themes.Codebook.load(state[1])
        parts = pq.ParquetFile(state[0]).iter_batches(PART, columns=["text"])
        return np.concatenate([book.assign(part["text"].to_pylist()) for part in parts])

    def answer(self, step: str, found: np.ndarray, folder: Path) -> dict[str, Any]:
        return {"theme": found}


class OursForecast:
    """Who will escalate: `prepare` chooses the kind of model at rolling origins, fits it and then the other kind, as
    `escalation.fit` does once it has its features; each gives chances to the newer moments."""

    kept_by = "OursForecast"

    def prepare(self, moments: Path, folder: Path) -> dict[str, Model]:
        features, keys = of_moments(moments)
        rows, until = np.ones(len(keys), dtype=bool), int(keys["split_at"].iloc[0])
        model = choosing.chosen(features, keys, rows, until, None, 0).model
        known, other = outcomes(keys, rows, until), next(kind for kind in choosing.KINDS if kind != model.kind)
        return {"chosen": model, "other": choosing.fitted(other, features, known, keys["began"].to_numpy(), 0)}

    def keep(self, prepared: dict[str, Model], folder: Path) -> None:
        (folder / "models.pickle").write_bytes(pickle.dumps(prepared))  # read again in this run, and nowhere else

    def load(self, moments: Path, folder: Path) -> tuple[pd.DataFrame, Path]:
        return of_moments(newer(moments))[0], folder

    def chosen(self, state: tuple[pd.DataFrame, Path]) -> tuple[str, np.ndarray]:
        return self.chance(*state, "chosen")

    def other(self, state: tuple[pd.DataFrame, Path]) -> tuple[str, np.ndarray]:
        return self.chance(*state, "other")

    def chance(self, features: pd.DataFrame, folder: Path, name: str) -> tuple[str, np.ndarray]:
        model = pickle.loads((folder / "models.pickle").read_bytes())[name]
        return model.kind, model.chance(features)

    def answer(self, step: str, found: tuple[str, np.ndarray], folder: Path) -> dict[str, Any]:
        return {"chance": found[1], "kind": [found[0]] * len(found[1])}


def of_moments(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and keys of moments, read column by column."""
    columns = {name: pq.read_table(file, columns=[name])[name].to_pandas() for name in pq.read_schema(file).names}
    keys = {name.removeprefix(KEY): column for name, column in columns.items() if name.startswith(KEY)}
    return pd.DataFrame({n: column for n, column in columns.items() if not n.startswith(KEY)}, copy=False), pd.DataFrame(keys)
