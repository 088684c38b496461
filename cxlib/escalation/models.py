"""The two models, and why one of them says what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

RARE = 20  # a word in fewer training rows than this is read as "another"
MOST_WORDS = 250  # histogram boosting takes at most 255 categories
MOST_ROUNDS = 400
NO_VALUE = "(none)"


@dataclass(frozen=True)
class Model:
    """A fitted estimator and how it reads features: `words` maps a column to the words it knows, `numbers` are taken as
    they are.
    """

    estimator: ClassifierMixin
    words: Mapping[str, pd.Index]
    numbers: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        return (*self.words, *self.numbers)

    def chance(self, features: pd.DataFrame) -> np.ndarray:
        """The chance of an escalation, 0 to 1, one per row."""
        return self.chance_of_coded(self.coded(features))

    def coded(self, features: pd.DataFrame) -> np.ndarray:
        return coded(features, self.words, self.numbers)

    def chance_of_coded(self, values: np.ndarray) -> np.ndarray:
        with threadpool_limits(1):
            return self.estimator.predict_proba(values)[:, 1] if len(values) else np.empty(0)


def readable(features: pd.DataFrame) -> tuple[dict[str, pd.Index], tuple[str, ...]]:
    """Which columns vary: words, with those that are frequent enough to be known, the most frequent first; and numbers."""
    words = {
        name: _frequent(features[name])
        for name in features
        if _is_words(features[name]) and features[name].nunique(dropna=False) > 1
    }
    return words, tuple(name for name in features if not _is_words(features[name]) and features[name].nunique() > 1)


def _is_words(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column)


def _frequent(column: pd.Series) -> pd.Index:
    n = column.fillna(NO_VALUE).value_counts()
    n = n[n >= RARE].sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    return n.index[:MOST_WORDS]


def coded(features: pd.DataFrame, words: Mapping[str, pd.Index], numbers: tuple[str, ...]) -> np.ndarray:
    """Features as numbers: each word's position among the known ones, one past the last for any other."""
    columns = []
    for name, known in words.items():
        codes = known.get_indexer(features[name].fillna(NO_VALUE))
        columns.append(np.where(codes < 0, len(known), codes).astype(float))
    return np.column_stack([*columns, features[list(numbers)].to_numpy(dtype=float)])


def boosting(features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray, seed: int) -> Model:
    """Gradient boosting on histograms, words as categories, missing numbers as they are.

    The number of rounds is the one that predicts the newer training cases (`is_newer`) best when fitted on the older ones;
    then all are fitted with it. A few thousand cases take some 60 rounds, where 150 would be too sure of themselves.
    """
    rounds = _rounds(features, label, weight, is_newer, seed) if is_newer.any() and label[~is_newer].any() else MOST_ROUNDS // 8
    words, numbers = readable(features)
    with threadpool_limits(1):  # on a busy machine more threads are slower; one gives the same bits everywhere
        trees = _trees(words, numbers, seed, rounds).fit(coded(features, words, numbers), label, sample_weight=weight)
    return Model(trees, words, numbers)


def _rounds(features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray, seed: int) -> int:
    """After how many rounds is the log loss on the newer cases smallest?"""
    words, numbers = readable(features[~is_newer])
    values = coded(features, words, numbers)
    trees = _trees(words, numbers, seed, MOST_ROUNDS, early_stopping=True, scoring="loss", n_iter_no_change=30, tol=0)
    with threadpool_limits(1):
        trees.fit(
            values[~is_newer],
            label[~is_newer],
            sample_weight=weight[~is_newer],
            X_val=values[is_newer],
            y_val=label[is_newer],
            sample_weight_val=weight[is_newer],
        )
    return max(1, int(np.argmax(trees.validation_score_)))


def _trees(words: Mapping, numbers: tuple[str, ...], seed: int, rounds: int, **stopping) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        categorical_features=np.arange(len(words) + len(numbers)) < len(words),
        learning_rate=0.05,
        max_iter=rounds,
        max_leaf_nodes=15,
        min_samples_leaf=40,
        max_features=0.5,
        l2_regularization=5.0,
        random_state=seed,
        **({"early_stopping": False} | stopping),
    )


def logistic(features: pd.DataFrame, label: np.ndarray, weight: np.ndarray) -> Model:
    """Logistic regression; words one-hot, numbers as scaled logs with a flag for missing."""
    words, numbers = readable(features)
    scaled = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True), FunctionTransformer(_signed_log), StandardScaler()
    )
    parts = [
        ("words", OneHotEncoder(handle_unknown="ignore"), list(range(len(words)))),
        ("numbers", scaled, list(range(len(words), len(words) + len(numbers)))),
    ]
    read = ColumnTransformer([part for part in parts if part[2]])
    regression = make_pipeline(read, LogisticRegression(C=0.3, max_iter=1000))
    with threadpool_limits(1):
        regression.fit(coded(features, words, numbers), label, logisticregression__sample_weight=weight)
    return Model(regression, words, numbers)


def _signed_log(values: np.ndarray) -> np.ndarray:
    """Counts and hours are skewed: log(1 + x), mirrored below zero."""
    return np.sign(values) * np.log1p(np.abs(values))


def typical(features: pd.DataFrame, weight: np.ndarray) -> dict[str, object]:
    """The usual value of each feature: the weighted median of numbers, the word with the most weight (missing is one)."""
    return {name: _usual(features[name], weight) for name in features}


def _usual(values: pd.Series, weight: np.ndarray) -> object:
    if _is_words(values):
        return pd.Series(weight).groupby(values.fillna(NO_VALUE).to_numpy()).sum().idxmax()
    total = pd.Series(weight).groupby(values.to_numpy()).sum().cumsum()
    return float(total.index[np.searchsorted(total, total.iloc[-1] / 2)]) if len(total) else np.nan


def group_of(feature: str) -> str:
    return feature.partition(".")[0]


def contributions(
    model: Model, features: pd.DataFrame, background: pd.DataFrame, part_of: Callable[[str], str] = group_of
) -> pd.DataFrame:
    """What does each group of features add to a row's chance, in logits?

    The log odds, less their mean when the group is taken from each row of `background` and all else stays. It is exact for any
    model that gives chances; but the parts of a row do not sum to its log odds, since groups share what they say.

    Returns
    -------
    DataFrame
        One row per row of `features`, one column per group: what `part_of` makes of a feature's name, by default the part
        before the dot.
    """
    values, others = model.coded(features), model.coded(background)
    here = log_odds(model.chance_of_coded(values))
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(model.features):
        groups.setdefault(part_of(name), []).append(place)
    return pd.DataFrame({g: here - _elsewhere(model, values, others, places) for g, places in groups.items()}, features.index)


def _elsewhere(model: Model, values: np.ndarray, others: np.ndarray, places: list[int]) -> np.ndarray:
    """The mean log odds of each row, over the values that the columns at `places` take in `others`."""
    swapped = np.repeat(values, len(others), axis=0)
    swapped[:, places] = np.tile(others[:, places], (len(values), 1))
    return log_odds(model.chance_of_coded(swapped)).reshape(len(values), len(others)).mean(axis=1)


def log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p)
