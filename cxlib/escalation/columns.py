"""Coded rows as a regression reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler


class Columns(TransformerMixin, BaseEstimator):
    """A column per word; of each number the log, with the median where it is missing; and a flag for missing where any was.

    Logs and flags have a mean of 0 and a standard deviation of 1 in training. Everything is written straight into one sparse
    matrix: scikit-learn's own steps in a row hold three times as much.
    """

    def __init__(self, n_words: tuple[int, ...]):  # of each column
        self.n_words = n_words

    @classmethod
    def of(cls, words: Iterable[Sized]) -> Columns:
        """For the words that are known of each column, and one more for any other."""
        return cls(tuple(len(known) + 1 for known in words))

    def fit(self, values: np.ndarray, label: np.ndarray | None = None) -> Columns:
        first = len(self.n_words)
        self.starts_ = np.append(0, np.cumsum(self.n_words, dtype=int))
        self.median_ = np.array([np.nanmedian(values[:, at]) for at in range(first, values.shape[1])])
        self.flagged_ = np.flatnonzero([np.isnan(values[:, at]).any() for at in range(first, values.shape[1])])
        scales = [StandardScaler().fit(column[:, None]) for column in self._logs(values)]
        self.mean_, self.scale_ = (np.array([getattr(s, name)[0] for s in scales]) for name in ("mean_", "scale_"))
        return self

    def transform(self, values: np.ndarray) -> csr_array:
        n, first = len(values), len(self.n_words)
        width = first + len(self.mean_)
        data, place = np.ones((n, width)), np.empty((n, width), dtype=np.int32)
        place[:, :first] = values[:, :first] + self.starts_[:-1]
        place[:, first:] = self.starts_[-1] + np.arange(width - first)
        for at, column in enumerate(self._logs(values)):
            data[:, first + at] = (column - self.mean_[at]) / self.scale_[at]
        ends = np.arange(0, n * width + 1, width, dtype=np.int32 if n * width < 2**31 else np.int64)
        return csr_array((data.ravel(), place.ravel(), ends), shape=(n, self.starts_[-1] + width - first))

    def _logs(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Of each number, then of each flag."""
        numbers = values[:, len(self.n_words) :].T
        for number, median in zip(numbers, self.median_, strict=True):
            yield signed_log(np.where(np.isnan(number), median, number))
        for at in self.flagged_:
            yield np.isnan(numbers[at]).astype(float)


def signed_log(values: np.ndarray) -> np.ndarray:
    """Counts and hours are skewed: log(1 + x), mirrored below zero."""
    return np.sign(values) * np.log1p(np.abs(values))
