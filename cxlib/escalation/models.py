"""The two models, and why one of them says what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from cxlib.escalation.scorers import Linear, Trees, signed_log
from cxlib.escalation.scores import losses

RARE = 20  # a word in fewer training rows than this is read as "another"
MOST_WORDS = 250  # histogram boosting takes at most 255 categories
MOST_ROUNDS = 400
FREEDOMS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
USUAL_FREEDOM = 0.1
NO_VALUE = "(none)"


@dataclass(frozen=True)
class Model:
    """What a model says of coded rows, and how it reads features: `words` maps a column to the words it knows, `numbers` are
    taken as they are.
    """

    kind: str  # "boosting" or "logistic"
    scorer: Linear | Trees
    words: Mapping[str, pd.Index]
    numbers: tuple[str, ...]
    repair: tuple[float, float] = (0.0, 1.0)  # shift and stretch of the log odds

    @property
    def features(self) -> tuple[str, ...]:
        return (*self.words, *self.numbers)

    def chance(self, features: pd.DataFrame) -> np.ndarray:
        """The chance of an escalation, 0 to 1, one per row."""
        return expit(self.margin(features))

    def margin(self, features: pd.DataFrame) -> np.ndarray:
        """The log odds."""
        return self.repair[0] + self.repair[1] * self.scorer.margin(coded(features, self.words, self.numbers))

    def parts(self, features: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        """The log odds of a usual row, and what each feature adds to a row's: their sum is its log odds, exactly."""
        base, parts = self.scorer.parts(coded(features, self.words, self.numbers))
        shift, stretch = self.repair
        return shift + stretch * base, pd.DataFrame(stretch * parts, features.index, self.features)


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
    trees, words, numbers = fitted_trees(features, label, weight, is_newer, seed)
    return Model("boosting", Trees.of(trees, [len(known) for known in words.values()]), words, numbers)


def fitted_trees(
    features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray, seed: int
) -> tuple[HistGradientBoostingClassifier, dict[str, pd.Index], tuple[str, ...]]:
    """scikit-learn's classifier, and how it reads features."""
    rounds = _rounds(features, label, weight, is_newer, seed) if is_newer.any() and label[~is_newer].any() else MOST_ROUNDS // 8
    words, numbers = readable(features)
    with threadpool_limits(1):  # on a busy machine more threads are slower; one gives the same bits everywhere
        trees = _trees(words, numbers, seed, rounds).fit(coded(features, words, numbers), label, sample_weight=weight)
    return trees, words, numbers


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


def logistic(features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray | None = None) -> Model:
    """Logistic regression; words one-hot, numbers as scaled logs with a flag for missing.

    Coefficients are held back by as much as predicts the newer training cases (`is_newer`) best when fitted on the older ones;
    then all are fitted with it. Without newer ones by a middling amount.
    """
    regression, words, numbers = fitted_regression(features, label, weight, is_newer)
    values = coded(features, words, numbers)
    return Model("logistic", Linear.of(regression, values, weight, [len(known) for known in words.values()]), words, numbers)


def fitted_regression(
    features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray | None = None
) -> tuple[Pipeline, dict[str, pd.Index], tuple[str, ...]]:
    """scikit-learn's pipeline, and how it reads features."""
    freedom = USUAL_FREEDOM
    if is_newer is not None and is_newer.any() and label[~is_newer].any() and not label[~is_newer].all():
        freedom = _freedom(features, label, weight, is_newer)
    words, numbers = readable(features)
    with threadpool_limits(1):
        values = coded(features, words, numbers)
        regression = _regression(len(words), len(numbers), freedom)
        regression.fit(values, label, logisticregression__sample_weight=weight)
    return regression, words, numbers


def _freedom(features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray) -> float:
    """How free may coefficients be, so that the log loss on the newer cases is smallest? (C: one over the penalty.)"""
    words, numbers = readable(features[~is_newer])
    values = coded(features, words, numbers)
    lost = {}
    for freedom in FREEDOMS:
        regression = _regression(len(words), len(numbers), freedom)
        with threadpool_limits(1):
            regression.fit(values[~is_newer], label[~is_newer], logisticregression__sample_weight=weight[~is_newer])
            chance = regression.predict_proba(values[is_newer])[:, 1]
        lost[freedom] = np.average(losses(label[is_newer], chance), weights=weight[is_newer])
    return min(lost, key=lambda freedom: lost[freedom])


def _regression(n_words: int, n_numbers: int, freedom: float) -> Pipeline:
    scaled = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True), FunctionTransformer(signed_log), StandardScaler()
    )
    parts = [
        ("words", OneHotEncoder(handle_unknown="ignore"), list(range(n_words))),
        ("numbers", scaled, list(range(n_words, n_words + n_numbers))),
    ]
    read = ColumnTransformer([part for part in parts if part[2]])
    return make_pipeline(read, LogisticRegression(C=freedom, max_iter=1000))


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
