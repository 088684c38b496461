"""The two models, and why one of them says what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from cxlib.escalation.columns import Columns
from cxlib.escalation.scorers import Linear, Trees
from cxlib.escalation.scores import losses

RARE = 20  # a word in fewer training rows than this is read as "another"
MOST_WORDS = 250  # histogram boosting takes at most 255 categories
MOST_ROUNDS = 400
FREEDOMS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
USUAL_FREEDOM = 0.1
SEARCHED = 100_000  # rows on which rounds and penalty are sought; what was found is then fitted on all of them
SCORED = 50_000  # rows coded at once: a copy of all would be as large as they are
NO_VALUE = "(none)"
ALL = slice(None)


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
        firsts = range(0, max(len(features), 1), SCORED)
        parts = (coded(features, self.words, self.numbers, slice(first, first + SCORED)) for first in firsts)
        return self.repair[0] + self.repair[1] * np.concatenate([self.scorer.margin(values) for values in parts])

    def parts(self, features: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        """The log odds of a usual row, and what each feature adds to a row's: their sum is its log odds, exactly."""
        base, parts = self.scorer.parts(coded(features, self.words, self.numbers))
        shift, stretch = self.repair
        return shift + stretch * base, pd.DataFrame(stretch * parts, features.index, self.features)


Rows = np.ndarray | slice  # positions in a frame


def readable(features: pd.DataFrame, rows: Rows = ALL) -> tuple[dict[str, pd.Index], tuple[str, ...]]:
    """Which columns vary: words, with those that are frequent enough to be known, the most frequent first; and numbers."""
    words, numbers = {}, []
    for name in features:
        column = features[name].iloc[rows]
        if not _is_words(column):
            numbers += [name] if column.nunique() > 1 else []
        elif len(n := column.fillna(NO_VALUE).value_counts()) > 1:
            words[name] = _frequent(n)
    return words, tuple(numbers)


def _is_words(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column)


def _frequent(n: pd.Series) -> pd.Index:
    n = n[n >= RARE].sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    return n.index[:MOST_WORDS]


def coded(features: pd.DataFrame, words: Mapping[str, pd.Index], numbers: tuple[str, ...], rows: Rows = ALL) -> np.ndarray:
    """Features as numbers: each word's position among the known ones, one past the last for any other."""
    n = len(features.index[rows])
    values = np.empty((n, len(words) + len(numbers)))
    for at, (name, known) in enumerate(words.items()):
        codes = known.get_indexer(features[name].iloc[rows].fillna(NO_VALUE))
        values[:, at] = np.where(codes < 0, len(known), codes)
    for at, name in enumerate(numbers, len(words)):
        values[:, at] = features[name].iloc[rows].to_numpy(dtype=float)
    return values


def boosting(
    features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray, seed: int, rows: Rows = ALL
) -> Model:
    """Gradient boosting on histograms, words as categories, missing numbers as they are.

    Label, weight and newness are those of the positions `rows` of the features, in that order. The number of rounds is the one
    that predicts the newer training cases (`is_newer`) best when fitted on the older ones; then all are fitted with it. A few
    thousand cases take some 60 rounds, where 150 would be too sure of themselves.
    """
    trees, words, numbers = fitted_trees(features, label, weight, is_newer, seed, rows)
    return Model("boosting", Trees.of(trees, [len(known) for known in words.values()]), words, numbers)


def fitted_trees(
    features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray, seed: int, rows: Rows = ALL
) -> tuple[HistGradientBoostingClassifier, dict[str, pd.Index], tuple[str, ...]]:
    """scikit-learn's classifier, and how it reads features."""
    rounds = _rounds(_Trial.of(features, label, weight, is_newer, rows), seed)
    words, numbers = readable(features, rows)
    with threadpool_limits(1):  # on a busy machine more threads are slower; one gives the same bits everywhere
        trees = _trees(words, numbers, seed, rounds).fit(coded(features, words, numbers, rows), label, sample_weight=weight)
    return trees, words, numbers


@dataclass(frozen=True)
class _Trial:
    """Older training cases to fit, and newer ones to judge by; for each the coded rows, their labels and weights."""

    words: Mapping[str, pd.Index]
    numbers: tuple[str, ...]
    older: tuple[np.ndarray, np.ndarray, np.ndarray]
    newer: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(cls, features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray, rows: Rows) -> _Trial:
        """Of so many rows at most as are searched, evenly spaced."""
        n = len(label)
        some = np.arange(n) if n <= SEARCHED else np.linspace(0, n - 1, SEARCHED).astype(int)
        asked = np.arange(len(features))[rows][some]
        is_newer = is_newer[some]
        words, numbers = readable(features, asked[~is_newer])
        values = coded(features, words, numbers, asked)
        older, newer = ((values[of], label[some][of], weight[some][of]) for of in (~is_newer, is_newer))
        return cls(words, numbers, older, newer)


def _rounds(trial: _Trial, seed: int) -> int:
    """After how many rounds is the log loss on the newer cases smallest?"""
    (values, label, weight), newer = trial.older, trial.newer
    if not len(newer[1]) or not label.any() or label.all():
        return MOST_ROUNDS // 8
    trees = _trees(
        trial.words, trial.numbers, seed, MOST_ROUNDS, early_stopping=True, scoring="loss", n_iter_no_change=30, tol=0
    )
    with threadpool_limits(1):
        trees.fit(values, label, sample_weight=weight, X_val=newer[0], y_val=newer[1], sample_weight_val=newer[2])
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


def logistic(
    features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray | None = None, rows: Rows = ALL
) -> Model:
    """Logistic regression; words one-hot, numbers as scaled logs with a flag for missing.

    Label, weight and newness as for `boosting`. Coefficients are held back by as much as predicts the newer training cases
    (`is_newer`) best when fitted on the older ones; then all are fitted with it. Without newer ones by a middling amount.
    """
    regression, words, numbers = fitted_regression(features, label, weight, is_newer, rows)
    scorer = Linear.of(regression[-1], regression[0], coded(features, words, numbers, rows), weight)
    return Model("logistic", scorer, words, numbers)


def fitted_regression(
    features: pd.DataFrame, label: np.ndarray, weight: np.ndarray, is_newer: np.ndarray | None = None, rows: Rows = ALL
) -> tuple[Pipeline, dict[str, pd.Index], tuple[str, ...]]:
    """scikit-learn's pipeline, and how it reads features."""
    freedom = USUAL_FREEDOM if is_newer is None else _freedom(_Trial.of(features, label, weight, is_newer, rows))
    words, numbers = readable(features, rows)
    with threadpool_limits(1):
        regression = make_pipeline(Columns.of(words.values()), _regression(freedom))
        regression.fit(coded(features, words, numbers, rows), label, logisticregression__sample_weight=weight)
    return regression, words, numbers


def _freedom(trial: _Trial) -> float:
    """How free may coefficients be, so that the log loss on the newer cases is smallest? (C: one over the penalty.)"""
    (values, label, weight), (newer, came, counts) = trial.older, trial.newer
    if not len(came) or not label.any() or label.all():
        return USUAL_FREEDOM
    columns = Columns.of(trial.words.values()).fit(values)
    older, newer, lost = columns.transform(values), columns.transform(newer), {}
    for freedom in FREEDOMS:
        with threadpool_limits(1):
            chance = _regression(freedom).fit(older, label, sample_weight=weight).predict_proba(newer)[:, 1]
        lost[freedom] = np.average(losses(came, chance), weights=counts)
    return min(lost, key=lambda freedom: lost[freedom])


def _regression(freedom: float) -> LogisticRegression:
    return LogisticRegression(C=freedom, max_iter=1000)


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
