"""The five questions as the peers answer them, each in the fastest form that its users know.

A tool is a class, ours in ours.py as well. `prepare` reads and sorts the export; `keep` and `load` lay what was prepared in a
folder and bring it back; each further method is a question; `answer` brings what a question returned into a form that all tools
share: columns of equal length, the first of them the key. The clock runs in `prepare` and in the questions only. A question for
which a tool has no word has no method.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

os.environ["RETENTIONEERING_NO_TRACK"] = "1"  # it reports usage otherwise

STAGES = ("product", "help", "chatbot", "agent", "phone")
STEPS = ("help", "chatbot", "agent", "phone")
LETTERS = "phcat"  # one for each stage, for paths as words
CODE = {stage: code for code, stage in enumerate(STAGES)}
SECOND = 1_000_000  # microseconds
N_THEMES = 77  # intents of Banking77
MOST_ROUNDS, PATIENCE = 1000, 30  # of boosting, and how many without a gain end it
ROWS = "rows.npy"  # the texts placed by meaning
WEEK = 7 * 24 * 3600 * SECOND


class Pandas:
    """A sorted frame: the number of the case, the time in whole microseconds, the code of the stage and its letter."""

    def prepare(self, events: Path, folder: Path) -> tuple:
        import pandas as pd

        frame = pd.read_parquet(events).sort_values(["user_id", "case_id", "occurred_at"], ignore_index=True)
        new = frame["case_id"] != frame["case_id"].shift()
        frame["case"] = (new.cumsum() - 1).astype("int32")
        frame["at"] = frame["occurred_at"].astype("int64")
        frame["letter"] = frame["stage"].map(dict(zip(STAGES, LETTERS, strict=True)))
        frame["stage"] = frame["stage"].map(CODE).astype("uint8")
        return frame[["case", "at", "stage", "letter"]], frame.loc[new, ["case_id"]]

    def keep(self, prepared: tuple, folder: Path) -> None:
        prepared[0].to_feather(folder / "touches.feather")
        prepared[1].reset_index(drop=True).to_feather(folder / "cases.feather")

    def load(self, events: Path, folder: Path) -> Any:
        import pandas as pd

        return pd.read_feather(folder / "touches.feather")

    def transitions(self, touches: Any) -> Any:
        same = touches["case"] == touches["case"].shift(-1, fill_value=-1)
        return (touches["stage"] * 5 + touches["stage"].shift(-1, fill_value=0))[same].value_counts()

    def variants(self, touches: Any) -> Any:
        return touches.groupby("case", sort=False)["letter"].sum().value_counts()

    def funnel(self, touches: Any, within: int | None = None) -> list[int]:
        state, reached = None, []
        for step in STEPS:
            hits = touches.loc[touches["stage"] == CODE[step], ["case", "at"]]
            hits["row"] = hits.index
            if state is not None:
                hits = hits.merge(state, on="case")
                hits = hits[hits["row"] > hits["before"]]
            if state is not None and within is not None:
                hits = hits[hits["at"] - hits["began"] <= within]
            first = hits.drop_duplicates("case")
            if state is None and within is not None:  # a case that has not had that long since its first step is left out
                first = first[first["at"] <= touches["at"].max() - within]
            state = first[["case"]].assign(before=first["row"], began=first["at" if state is None else "began"])
            reached.append(len(first))
        return reached

    def funnel_within(self, touches: Any) -> list[int]:
        return self.funnel(touches, WEEK)

    def case_summary(self, touches: Any) -> Any:
        ends = {"began": ("at", "first"), "ended": ("at", "last"), "first": ("stage", "first"), "last": ("stage", "last")}
        return touches.groupby("case").agg(touches=("stage", "size"), **ends)

    def time_to(self, touches: Any) -> Any:
        return _wait(touches, "help")

    def time_from_start(self, touches: Any) -> Any:
        """What retentioneering answers instead."""
        return _wait(touches, "product")

    def answer(self, question: str, found: Any, folder: Path) -> dict[str, Any]:
        if question == "transitions":
            return {"pair": found.index.to_numpy(), "n": found.to_numpy()}
        if question == "variants":
            return {"path": found.index.to_numpy(), "n": found.to_numpy()}
        if question == "case_summary":
            import pandas as pd

            cases = pd.read_feather(folder / "cases.feather")["case_id"]
            return {"case_id": cases, **{name: found[name] for name in found}, "duration": found["ended"] - found["began"]}
        if question in ("time_to", "time_from_start"):
            return waits(found.to_numpy())
        return steps(found)


def _wait(touches: Any, stage: str) -> Any:
    """From each case's first touch at that stage or to its right until its first at the phone."""
    began, called = (
        touches.loc[touches["stage"] >= CODE[name], ["case", "at"]].drop_duplicates("case") for name in (stage, "phone")
    )
    both = called.merge(began, on="case", suffixes=("", "_began"))
    return both["at"] - both["at_began"]


class Polars:
    """The same frame in polars, told that it is sorted by case."""

    def prepare(self, events: Path, folder: Path) -> Any:
        import polars as pl

        stage = pl.col("stage").cast(pl.Enum(STAGES))
        frame = pl.read_parquet(events).with_columns(stage).sort("user_id", "case_id", "occurred_at", "stage")
        return frame.select(
            "case_id",
            case=pl.col("case_id").rle_id(),
            row=pl.int_range(pl.len()),
            at=pl.col("occurred_at").to_physical(),
            stage=pl.col("stage").to_physical().cast(pl.UInt8),
        )

    def keep(self, prepared: Any, folder: Path) -> None:
        prepared.drop("case_id").write_ipc(folder / "touches.arrow")
        prepared.unique("case", keep="first", maintain_order=True).select("case", "case_id").write_ipc(folder / "cases.arrow")

    def load(self, events: Path, folder: Path) -> Any:
        import polars as pl

        return pl.read_ipc(folder / "touches.arrow").with_columns(pl.col("case").set_sorted())

    def transitions(self, touches: Any) -> Any:
        import polars as pl

        following = pl.col("stage") * 5 + pl.col("stage").shift(-1)
        pairs = touches.lazy().select(pair=following, same=pl.col("case") == pl.col("case").shift(-1))
        return pairs.filter("same").group_by("pair").agg(n=pl.len()).collect()

    def variants(self, touches: Any) -> Any:
        import polars as pl

        paths = touches.lazy().select("case", "stage").group_by("case").agg(path="stage")
        return paths.group_by("path").agg(n=pl.len()).collect()

    def funnel(self, touches: Any, within: int | None = None) -> list[int]:
        import polars as pl

        state = None
        reached = []
        for step in STEPS:
            hits = touches.lazy().filter(pl.col("stage") == CODE[step]).select("case", "row", "at", began="at")
            if state is not None:
                hits = hits.drop("began").join(state.lazy(), on="case", maintain_order="left")
                hits = hits.filter(pl.col("row") > pl.col("before"))
                if within is not None:
                    hits = hits.filter(pl.col("at") - pl.col("began") <= within)
            first = hits.unique("case", keep="first", maintain_order=True)
            if state is None and within is not None:
                first = first.filter(pl.col("at") <= touches["at"].max() - within)
            state = first.select("case", "began", before="row").collect()
            reached.append(state.height)
        return reached

    def funnel_within(self, touches: Any) -> list[int]:
        return self.funnel(touches, WEEK)

    def case_summary(self, touches: Any) -> Any:
        import polars as pl

        at, stage = pl.col("at"), pl.col("stage")
        summary = {"began": at.first(), "ended": at.last(), "first": stage.first(), "last": stage.last()}
        return touches.lazy().group_by("case").agg(touches=pl.len(), **summary).collect()

    def time_to(self, touches: Any) -> Any:
        import polars as pl

        first = [
            touches.lazy().filter(pl.col("stage") >= CODE[stage]).unique("case", keep="first", maintain_order=True)
            for stage in ("help", "phone")
        ]
        both = first[1].select("case", called="at").join(first[0].select("case", sought="at"), on="case")
        return both.select(wait=pl.col("called") - pl.col("sought")).collect()

    def answer(self, question: str, found: Any, folder: Path) -> dict[str, Any]:
        import polars as pl

        if question == "transitions":
            return {"pair": found["pair"], "n": found["n"]}
        if question == "variants":
            letters = found["path"].list.eval(pl.element().replace_strict(dict(enumerate(LETTERS))))
            return {"path": letters.list.join(""), "n": found["n"]}
        if question == "case_summary":
            found = found.join(pl.read_ipc(folder / "cases.arrow"), on="case").drop("case")
            return {name: found[name] for name in found.columns}
        if question == "time_to":
            return waits(found["wait"].to_numpy())
        return steps(found)


class Retentioneering:
    """An Eventstream whose paths are the cases. Its time to the phone runs from the case's first touch, not from the first that
    seeks help, which it cannot say: another, easier question, checked against pandas' answer to that one."""

    def prepare(self, events: Path, folder: Path) -> Any:
        import pandas as pd
        from retentioneering import Eventstream

        touches = pd.read_parquet(events, columns=["case_id", "stage", "occurred_at"])
        return Eventstream(touches, SCHEMA)

    def keep(self, prepared: Any, folder: Path) -> None:
        prepared.df.to_feather(folder / "stream.feather")

    def load(self, events: Path, folder: Path) -> Any:
        import pandas as pd
        from retentioneering import Eventstream

        return Eventstream(pd.read_feather(folder / "stream.feather"), SCHEMA, preprocess=False)

    def transitions(self, stream: Any) -> Any:
        return stream.transition_graph_data(edge_weight="count")

    def funnel(self, stream: Any) -> Any:
        return stream.funnel_data(list(STEPS))

    def case_summary(self, stream: Any) -> Any:
        return stream.get_metrics([{"metric": name} for name in ("length", "duration", "first_event_time")])

    def time_to(self, stream: Any) -> Any:
        ends = {"start_event": "path_start", "end_event": "phone"}
        return stream.get_metrics([{"metric": "time_between", "metric_args": ends}])

    def answer(self, question: str, found: Any, folder: Path) -> dict[str, Any]:
        if question == "transitions":
            return pairs({(a, b): found.at[a, b] for a in STAGES for b in STAGES})
        if question == "case_summary":
            began = _microseconds(found["first_event_time"])
            ended = began + _microseconds(found["duration"])
            return {"case_id": found.index, "touches": found["length"], "began": began, "ended": ended}
        if question == "time_to":
            return waits(_microseconds(found.iloc[:, 0].dropna()))
        return steps([step["unique_paths"] for step in found["steps"]])


class Pm4py:
    """A frame as pm4py formats it. The summary of cases is its description of them: start, end and duration."""

    case, stage = "case:concept:name", "concept:name"

    def prepare(self, events: Path, folder: Path) -> Any:
        import pandas as pd
        import pm4py

        return pm4py.format_dataframe(pd.read_parquet(events), **PM4PY)[[self.case, self.stage, "time:timestamp"]]

    def keep(self, prepared: Any, folder: Path) -> None:
        prepared.to_feather(folder / "log.feather")

    def load(self, events: Path, folder: Path) -> Any:
        import pandas as pd

        return pd.read_feather(folder / "log.feather")

    def transitions(self, log: Any) -> Any:
        import pm4py

        return pm4py.discover_dfg(log)[0]

    def variants(self, log: Any) -> Any:
        import pm4py

        return pm4py.get_variants(log)

    def funnel(self, log: Any) -> list[int]:
        import pm4py
        from pm4py.algo.filtering.pandas.ltl.ltl_checker import eventually_follows

        kept = [pm4py.filter_event_attribute_values(log, self.stage, STEPS[:1], level="case")]
        kept += [eventually_follows(log, STEPS[:n]) for n in (2, 3, 4)]
        return [frame[self.case].nunique() for frame in kept]

    def case_summary(self, log: Any) -> Any:
        from pm4py.statistics.traces.generic.pandas.case_statistics import get_cases_description

        return get_cases_description(log)

    def answer(self, question: str, found: Any, folder: Path) -> dict[str, Any]:
        if question == "transitions":
            return pairs(found)
        if question == "variants":
            letter = dict(zip(STAGES, LETTERS, strict=True))
            return {"path": ["".join(letter[stage] for stage in path) for path in found], "n": list(found.values())}
        if question == "case_summary":
            return self.summary(found)
        return steps(found)

    def summary(self, found: Any) -> dict[str, Any]:
        """Durations alone: starts and ends of times in microseconds come out as a thousandth of what they are."""
        return {"case_id": list(found), "duration": _microseconds(np.array([case["caseDuration"] for case in found.values()]))}


class Pm4pyOnPolars(Pm4py):
    """The same calls on a LazyFrame of polars, which pm4py takes too."""

    def prepare(self, events: Path, folder: Path) -> Any:
        import pm4py
        import polars as pl

        frame = pm4py.format_dataframe(pl.scan_parquet(events), **PM4PY)
        return frame.select(self.case, self.stage, "time:timestamp").collect()

    def keep(self, prepared: Any, folder: Path) -> None:
        prepared.write_ipc(folder / "log.arrow")

    def load(self, events: Path, folder: Path) -> Any:
        import polars as pl

        return pl.read_ipc(folder / "log.arrow").lazy()

    def funnel(self, log: Any) -> list[int]:
        import pm4py
        import polars as pl
        from pm4py.algo.filtering.polars.ltl.ltl_checker import eventually_follows

        kept = [pm4py.filter_event_attribute_values(log, self.stage, STEPS[:1], level="case")]
        kept += [eventually_follows(log, STEPS[:n]) for n in (2, 3, 4)]
        return [frame.select(pl.col(self.case).n_unique()).collect().item() for frame in kept]

    def case_summary(self, log: Any) -> Any:
        from pm4py.statistics.traces.generic.polars.case_statistics import get_cases_description

        return get_cases_description(log)

    def summary(self, found: Any) -> dict[str, Any]:
        cases = {name: [case[name] for case in found] for name in ("startTime", "endTime", "caseDuration")}
        began, ended = (np.array(cases[name], dtype="datetime64[us]").astype(np.int64) for name in ("startTime", "endTime"))
        return {"case_id": [case["caseid"] for case in found], "began": began, "ended": ended}


class Yardsticks:
    """What the file itself costs: one column of it, or all of it in order."""

    def load(self, events: Path, folder: Path) -> Path:
        return events

    def column_scan(self, events: Path) -> Any:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        return pc.max(pq.read_table(events, columns=["occurred_at"])["occurred_at"])

    def sort_for_customers(self, events: Path) -> Any:
        import polars as pl

        return pl.read_parquet(events).sort("user_id", "case_id", "occurred_at")

    def sort_for_cases(self, events: Path) -> Any:
        import polars as pl

        return pl.read_parquet(events).sort("case_id", "occurred_at")


SCHEMA = {"path_cols": ["case_id"], "event_col": "stage", "timestamp_col": "occurred_at"}
PM4PY = {"case_id": "case_id", "activity_key": "stage", "timestamp_key": "occurred_at"}


def pairs(counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Transitions by the code of the pair, 5 x from + to; pairs that never occur are left out."""
    found = {5 * CODE[a] + CODE[b]: n for (a, b), n in counts.items() if n}
    return {"pair": list(found), "n": list(found.values())}


def steps(reached: list[int]) -> dict[str, Any]:
    return {"step": np.arange(len(reached)), "cases": np.array(reached)}


def waits(found: np.ndarray) -> dict[str, Any]:
    """How often each wait occurs, in microseconds."""
    values, counts = np.unique(found.astype(np.int64), return_counts=True)
    return {"wait": values, "n": counts}


def _microseconds(seconds: Any) -> np.ndarray:
    return np.rint(np.asarray(seconds, dtype=float) * SECOND).astype(np.int64)


class BERTopic:
    """Topics of texts from the rows that our model gave them: as it comes, with outliers spread, and with the number given."""

    kept_by = "OursThemes"

    def load(self, texts: Path, folder: Path) -> tuple[list[str], np.ndarray]:
        words, file = said(texts), folder / ROWS
        return words, np.load(file) if file.exists() else np.random.default_rng(0).normal(size=(len(words), 384))  # rehearsal

    def default(self, state: tuple[list[str], np.ndarray]) -> list[int]:
        from bertopic import BERTopic as Model

        return Model().fit_transform(*state)[0]

    def outliers_reduced(self, state: tuple[list[str], np.ndarray]) -> list[int]:
        from bertopic import BERTopic as Model

        model = Model()
        topics = model.fit_transform(*state)[0]
        if -1 in topics:
            topics = model.reduce_outliers(state[0], topics)
            model.update_topics(state[0], topics=topics)
        return topics

    def given_number(self, state: tuple[list[str], np.ndarray]) -> list[int]:
        from bertopic import BERTopic as Model
        from sklearn.cluster import KMeans

        return Model(hdbscan_model=KMeans(N_THEMES, random_state=0)).fit_transform(*state)[0]

    def answer(self, step: str, found: list[int], folder: Path) -> dict[str, Any]:
        return {"theme": np.array(found)}


def said(texts: Path) -> list[str]:
    """The texts of a file of texts."""
    import pyarrow.parquet as pq

    return pq.read_table(texts)["text"].to_pylist()


class Boosted:
    """A booster on the rows as our models code them: rare words as one, words as categories, missing numbers as they are."""

    def load(self, moments: Path, folder: Path) -> tuple[Any, Any]:
        import pandas as pd

        older, later = pd.read_parquet(coded(moments)), pd.read_parquet(coded(newer(moments)))
        for name in older.select_dtypes("category"):
            later[name] = later[name].cat.set_categories(older[name].cat.categories)
        return older, later

    def default(self, state: tuple[Any, Any]) -> np.ndarray:
        """As it comes."""
        return self._chance(self._model(), *state)

    def stopped(self, state: tuple[Any, Any]) -> np.ndarray:
        """With as many rounds as predict the newest quarter of the training cases best, then fitted on all, like ours."""
        older, is_newer = state[0].drop(columns="is_newer"), state[0]["is_newer"].to_numpy()
        return self._chance(self._model(n_estimators=self._rounds(older[~is_newer], older[is_newer])), *state)

    def _chance(self, model: Any, older: Any, later: Any) -> np.ndarray:
        given = _features(older)
        return model.fit(given, older["label"], sample_weight=older["weight"]).predict_proba(later[given.columns])[:, 1]

    def answer(self, step: str, found: np.ndarray, folder: Path) -> dict[str, Any]:
        return {"chance": found}


class LightGBM(Boosted):
    """Categories are taken from the type of the column."""

    def _model(self, **more: Any) -> Any:
        from lightgbm import LGBMClassifier

        return LGBMClassifier(n_jobs=1, verbose=-1, **more)

    def _rounds(self, older: Any, later: Any) -> int:
        from lightgbm import early_stopping

        judged = {"eval_X": _features(later), "eval_y": later["label"], "eval_sample_weight": [later["weight"]]}
        patience = [early_stopping(PATIENCE, verbose=False)]
        model = self._model(n_estimators=MOST_ROUNDS)
        model.fit(_features(older), older["label"], sample_weight=older["weight"], callbacks=patience, **judged)
        return model.best_iteration_


class XGBoost(Boosted):
    """Categories are taken from the type of the column, if asked for."""

    def _model(self, **more: Any) -> Any:
        from xgboost import XGBClassifier

        return XGBClassifier(n_jobs=1, enable_categorical=True, **more)

    def _rounds(self, older: Any, later: Any) -> int:
        judged = {"eval_set": [(_features(later), later["label"])], "sample_weight_eval_set": [later["weight"]]}
        model = self._model(n_estimators=MOST_ROUNDS, early_stopping_rounds=PATIENCE)
        model.fit(_features(older), older["label"], sample_weight=older["weight"], verbose=False, **judged)
        return model.best_iteration + 1


def _features(rows: Any) -> Any:
    return rows.drop(columns=["label", "weight", "is_newer"], errors="ignore")


def newer(moments: Path) -> Path:
    """Those that are forecast, beside those to learn from."""
    return moments.with_name("newer-" + moments.name)


def coded(moments: Path) -> Path:
    """The same moments as our models code them, with label, weight and whether rounds are judged by them."""
    return moments.with_name("coded-" + moments.name)
