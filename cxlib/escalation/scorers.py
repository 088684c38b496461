"""What a fitted model says of a row, and which column says how much of it: arrays alone, that can be kept in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

_ROWS = 20_000  # walked through the trees at once: their columns fit the processor's cache
_BITS = np.arange(32, dtype=np.uint32)


class Scorer(Protocol):
    """Log odds of coded rows (see `models.coded`) and their parts."""

    def margin(self, values: np.ndarray) -> np.ndarray:
        """Log odds, one per row."""
        ...

    def parts(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """The log odds of a usual row, and what each column adds, (rows, columns): their sum is the margin, exactly."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """What has to be kept to make it again: `of_arrays`."""
        ...


@dataclass(frozen=True)
class Linear:
    """Logistic regression on words and on logs of numbers; a missing number is the median, and says something of its own."""

    intercept: float
    weights: np.ndarray  # of words, column after column
    starts: np.ndarray  # where each column of words begins among them, and the end
    usual: np.ndarray  # mean weight of each column of words in training
    median: np.ndarray  # of each number
    slope: np.ndarray  # of its log
    middle: np.ndarray  # mean log in training
    if_missing: np.ndarray  # added where it is missing
    share_missing: np.ndarray

    def margin(self, values: np.ndarray) -> np.ndarray:
        base, parts = self.parts(values)
        return base + parts.sum(axis=1)

    def parts(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        n_words = len(self.starts) - 1
        words = self.weights[self.starts[:-1] + values[:, :n_words].astype(int)] - self.usual
        number = values[:, n_words:]
        is_missing = np.isnan(number)
        logs = signed_log(np.where(is_missing, self.median, number))
        numbers = self.slope * (logs - self.middle) + self.if_missing * (is_missing - self.share_missing)
        base = (
            self.intercept + self.usual.sum() + (self.slope * self.middle).sum() + (self.if_missing * self.share_missing).sum()
        )
        return float(base), np.hstack([words, numbers])

    def arrays(self) -> dict[str, np.ndarray]:
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of_arrays(cls, held: Mapping[str, np.ndarray]) -> Linear:
        return cls(float(held["intercept"]), *(held[field.name] for field in fields(cls)[1:]))

    @classmethod
    def of(cls, fitted: Pipeline, values: np.ndarray, weight: np.ndarray, n_known: list[int]) -> Linear:
        """From the fitted pipeline of `models.logistic` and what it was fitted on; `n_known` words of each column of words."""
        read, regression = fitted[0], fitted[-1]
        coefficient, at, n_words = regression.coef_[0], 0, len(n_known)
        starts = np.append(0, np.cumsum(np.array(n_known, dtype=int) + 1))
        weights = np.zeros(starts[-1])
        if n_words:
            for start, seen in zip(starts[:-1], read.named_transformers_["words"].categories_, strict=True):
                weights[start + seen.astype(int)] = coefficient[at : at + len(seen)]
                at += len(seen)
        codes = starts[:-1] + values[:, :n_words].astype(int)
        usual = np.average(weights[codes], axis=0, weights=weight) if n_words else np.empty(0)
        numbers = values[:, n_words:]
        n = numbers.shape[1]
        intercept, slope, if_missing, median = float(regression.intercept_[0]), np.zeros(n), np.zeros(n), np.zeros(n)
        if n:
            impute, _, scale = read.named_transformers_["numbers"]
            coefficient = coefficient[at:] / scale.scale_
            intercept -= float((coefficient * scale.mean_).sum())
            median, slope = impute.statistics_, coefficient[:n]
            flagged = impute.indicator_.features_
            if_missing[flagged] = np.log(2) * coefficient[n:]  # a flag of 1, as `signed_log` has it
        is_missing = np.isnan(numbers)
        logs = signed_log(np.where(is_missing, median, numbers))
        middle = np.average(logs, axis=0, weights=weight) if n else np.empty(0)
        share = np.average(is_missing, axis=0, weights=weight) if n else np.empty(0)
        return cls(intercept, weights, starts, usual, median, slope, middle, if_missing, share)


@dataclass(frozen=True)
class Trees:
    """Boosted trees, one after the other in flat arrays. A node is a leaf where `column` is negative."""

    baseline: float
    roots: np.ndarray  # the first node of each tree
    column: np.ndarray
    threshold: np.ndarray  # numbers up to it go left
    words: np.ndarray  # row of `is_left` for a split by words, else -1
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray  # of a leaf; of an inner node the mean of its leaves, by training rows
    is_left: np.ndarray  # (splits by words, words): 1 left, 0 right, -1 as missing
    depth: int

    def margin(self, values: np.ndarray) -> np.ndarray:
        return self._walked(values, None)

    def parts(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Each step from a node to the next is what the node's column adds: the change of the mean value.

        References
        ----------
        Saabas (2014), Interpreting random forests.
        """
        found = np.zeros(values.shape)
        self._walked(values, found)
        return float(self.baseline + self.value[self.roots].sum()), found

    def _walked(self, values: np.ndarray, parts: np.ndarray | None) -> np.ndarray:
        margin = np.full(len(values), self.baseline)
        for first in range(0, len(values), _ROWS):
            some = np.ascontiguousarray(values[first : first + _ROWS])
            of_part = None if parts is None else parts[first : first + _ROWS]
            for root in self.roots.tolist():
                margin[first : first + _ROWS] += self.value[self._leaf(some, root, of_part)]
        return margin

    def _leaf(self, values: np.ndarray, root: int, parts: np.ndarray | None) -> np.ndarray:
        node, rows = np.full(len(values), root), np.arange(len(values))
        for _ in range(self.depth):
            rows = rows[self.column[node[rows]] >= 0]
            if not len(rows):
                break
            here = node[rows]
            column = self.column[here]
            value = values[rows, column]
            goes_left = value <= self.threshold[here]
            by_words = self.words[here]
            if (split := by_words >= 0).any():
                goes_left[split] = self.is_left[by_words[split], value[split].astype(int)] == 1
                unknown = np.zeros(len(rows), dtype=bool)
                unknown[split] = self.is_left[by_words[split], value[split].astype(int)] < 0
            else:
                unknown = np.zeros(len(rows), dtype=bool)
            unknown |= np.isnan(value)
            goes_left = np.where(unknown, self.missing_left[here], goes_left)
            after = np.where(goes_left, self.left[here], self.right[here])
            if parts is not None:
                parts[rows, column] += self.value[after] - self.value[here]
            node[rows] = after
        return node

    def arrays(self) -> dict[str, np.ndarray]:
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of_arrays(cls, held: Mapping[str, np.ndarray]) -> Trees:
        values: dict[str, Any] = {field.name: held[field.name] for field in fields(cls)}
        return cls(**values | {"baseline": float(held["baseline"]), "depth": int(held["depth"])})

    @classmethod
    def of(cls, fitted: HistGradientBoostingClassifier, n_known: list[int]) -> Trees:
        """From a fitted classifier whose first columns are words, `n_known` of each and one for any other."""
        trees = [stage[0] for stage in fitted._predictors]
        nodes = [tree.nodes for tree in trees]
        sizes = np.array([len(part) for part in nodes])
        roots = np.cumsum(sizes) - sizes
        shift = np.repeat(roots, sizes)
        every = np.concatenate(nodes)
        is_leaf = every["is_leaf"].astype(bool)
        by_words = every["is_categorical"].astype(bool) & ~is_leaf
        n_splits = np.cumsum([len(tree.raw_left_cat_bitsets) for tree in trees])
        first_split = np.repeat(np.append(0, n_splits[:-1]), sizes)
        column = np.where(is_leaf, -1, every["feature_idx"].astype(int))
        words = np.where(by_words, every["bitset_idx"].astype(int) + first_split, -1)
        seen = fitted._preprocessor.named_transformers_["encoder"].categories_ if n_known else []
        is_left = np.full((int(n_splits[-1]) if len(n_splits) else 0, max(n_known, default=0) + 1), -1, dtype=np.int8)
        bits = np.concatenate([tree.raw_left_cat_bitsets.reshape(-1, 8) for tree in trees])
        for split, of in zip(words[by_words], column[by_words], strict=True):
            known = seen[of].astype(int)  # the codes in training, in the order in which the trees number them
            flags = (bits[split][:, None] >> _BITS & 1).ravel()[: len(known)]
            is_left[split, known] = flags
        value = every["value"].astype(float)
        left, right = every["left"].astype(int) + shift, every["right"].astype(int) + shift
        for node in np.flatnonzero(~is_leaf)[::-1]:  # children come after their parents
            sides = [left[node], right[node]]
            value[node] = np.average(value[sides], weights=every["count"][sides])
        threshold = np.where(by_words, -np.inf, every["num_threshold"])
        missing = every["missing_go_to_left"].astype(bool)
        baseline = float(np.ravel(fitted._baseline_prediction)[0])
        return cls(
            baseline, roots, column, threshold, words, left, right, missing, value, is_left, int(every["depth"].max()) + 1
        )


def signed_log(values: np.ndarray) -> np.ndarray:
    """Counts and hours are skewed: log(1 + x), mirrored below zero."""
    return np.sign(values) * np.log1p(np.abs(values))
