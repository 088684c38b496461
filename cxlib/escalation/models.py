"""The two models, and why one of them says what it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

RARE = 20  # a value seen in fewer training rows than this is read as "other"
MOST_VALUES = 250  # histogram boosting takes at most 255 categories
NO_VALUE = "(none)"


def usable(features: pd.DataFrame) -> pd.DataFrame:
    """The features that vary, words with missing as a word of its own."""
    varied = [name for name in features if features[name].nunique(dropna=False) > 1]
    words = {name: features[name].fillna(NO_VALUE) for name in varied if _is_words(features[name])}
    return features[varied].assign(**words)


def _is_words(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column)


def _split(features: pd.DataFrame) -> tuple[list[str], list[str]]:
    words = [name for name in features if _is_words(features[name])]
    return words, [name for name in features if name not in words]


def boosting(features: pd.DataFrame, seed: int) -> Pipeline:
    """Gradient boosting on histograms; words as categories, missing numbers as they are."""
    words, numbers = _split(features)
    codes = OrdinalEncoder(
        min_frequency=RARE, max_categories=MOST_VALUES, handle_unknown="use_encoded_value", unknown_value=np.nan
    )
    encode = ColumnTransformer([("words", codes, words), ("numbers", "passthrough", numbers)])
    trees = HistGradientBoostingClassifier(
        categorical_features=np.arange(len(words) + len(numbers)) < len(words),
        learning_rate=0.06,
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=30,
        early_stopping=False,
        random_state=seed,
    )
    return make_pipeline(encode, trees)


def logistic(features: pd.DataFrame, seed: int) -> Pipeline:
    """Logistic regression; words one-hot, numbers as scaled logs with a flag for missing."""
    words, numbers = _split(features)
    flags = OneHotEncoder(min_frequency=RARE, max_categories=MOST_VALUES, handle_unknown="infrequent_if_exist")
    scaled = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True), FunctionTransformer(_signed_log), StandardScaler()
    )
    encode = ColumnTransformer([("words", flags, words), ("numbers", scaled, numbers)])
    return make_pipeline(encode, LogisticRegression(C=0.3, max_iter=1000, random_state=seed))


def _signed_log(values: np.ndarray) -> np.ndarray:
    """Counts and hours are skewed: log(1 + x), mirrored below zero."""
    return np.sign(values) * np.log1p(np.abs(values))


def fitted(model: Pipeline, features: pd.DataFrame, label: np.ndarray, weight: np.ndarray) -> Pipeline:
    """Fit on one thread: on a busy machine more are slower, and the result stays the same bit for bit."""
    with threadpool_limits(1):
        return model.fit(features, label, **{f"{model.steps[-1][0]}__sample_weight": weight})


def chance(model: ClassifierMixin, features: pd.DataFrame) -> np.ndarray:
    """The chance of an escalation, 0 to 1, one per row."""
    with threadpool_limits(1):
        return model.predict_proba(features)[:, 1]


def typical(features: pd.DataFrame, weight: np.ndarray) -> pd.Series:
    """The usual value of each feature: the weighted median of numbers, the word with the most weight."""
    return pd.Series({name: _usual(features[name], weight) for name in features}, dtype=object)


def _usual(values: pd.Series, weight: np.ndarray) -> object:
    by_value = pd.Series(weight).groupby(values.to_numpy()).sum()
    if by_value.empty:
        return np.nan
    if _is_words(values):
        return by_value.idxmax()
    return by_value.index[np.searchsorted(by_value.cumsum(), by_value.sum() / 2)]


def contributions(model: ClassifierMixin, features: pd.DataFrame, usual: pd.Series) -> pd.DataFrame:
    """What does each group of features add to a row's chance, in logits?

    The change of the log odds when the group takes its usual value and all else stays: exact for any model, but the parts of
    a row do not sum to its log odds, since groups share what they say.

    Returns
    -------
    DataFrame
        One row per row of `features`, one column per group (the name before the dot).
    """
    groups = features.columns.str.split(".").str[0]
    columns = {}
    for group in dict.fromkeys(groups):
        names = features.columns[groups == group]
        swapped = features.assign(**{name: pd.Series(usual[name], index=features.index, dtype=features[name].dtype) for name in names})
        columns[group] = log_odds(chance(model, features)) - log_odds(chance(model, swapped))
    return pd.DataFrame(columns, index=features.index)


def log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p)
