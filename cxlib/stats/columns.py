"""Columns of a table as numbers that a model can take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

RARE = 20  # levels with fewer rows are taken together


def numbers(table: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """The columns as numbers: counts on a log scale, means where a number is missing, one column per level of a word.

    A column whose name begins with ``n_`` is a count. Words are compared with the most frequent one; rare ones go with it.

    >>> numbers(pd.DataFrame({"n_earlier": [0, 0], "mood": [0.5, None]}), ["n_earlier", "mood"]).tolist()
    [[0.0, 0.5], [0.0, 0.5]]
    """
    return np.hstack([np.zeros((len(table), 0)), *(_as_numbers(table[name]) for name in columns)])


def _as_numbers(values: pd.Series) -> np.ndarray:
    if str(values.name).startswith("n_"):
        return np.log1p(values.to_numpy(dtype=float))[:, None]
    if pd.api.types.is_numeric_dtype(values):
        plain = values.astype(float)
        return plain.fillna(plain.mean()).fillna(0.0).to_numpy()[:, None]
    words = values.astype(object).where(values.notna(), "(none)").astype(str)
    n = words.value_counts()
    common = sorted(n.index[n >= RARE], key=lambda word: (-n[word], word))[1:]  # compared with the most frequent one
    place = pd.Index(common).get_indexer(words) if common else np.full(len(words), -1)
    return (place[:, None] == np.arange(len(common))[None, :]).astype(float)
