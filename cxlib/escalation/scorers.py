"""What a fitted model says of a row, and which column says how much of it: arrays alone, that can be kept in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from cxlib.escalation.columns import Columns, signed_log

_ROWS = 8_192  # sent through the trees at once: their columns fit the processor's cache
_WORD = np.dtype("<u8")  # a bit for each leaf of some trees, the lowest in its first byte wherever it runs
_ALL = 2**64 - 1
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
    def of(cls, regression: LogisticRegression, columns: Columns, values: np.ndarray, weight: np.ndarray) -> Linear:
        """From the fitted pipeline of `models.logistic` and the rows that it was fitted on."""
        starts, n = columns.starts_, len(columns.median_)
        weights, scaled = np.split(regression.coef_[0], [starts[-1]])
        coefficient = scaled / columns.scale_
        intercept = float(regression.intercept_[0] - coefficient @ columns.mean_)
        if_missing = np.zeros(n)
        if_missing[columns.flagged_] = coefficient[n:]
        words, numbers = np.split(values, [len(starts) - 1], axis=1)

        def mean(of: Iterable[np.ndarray]) -> np.ndarray:
            return np.array([np.average(column, weights=weight) for column in of])

        usual = mean(weights[first + word.astype(int)] for first, word in zip(starts[:-1], words.T, strict=True))
        filled = (np.where(np.isnan(number), median, number) for number, median in zip(numbers.T, columns.median_, strict=True))
        middle, share = mean(signed_log(number) for number in filled), mean(np.isnan(number) for number in numbers.T)
        return cls(intercept, weights, starts, usual, columns.median_, coefficient[:n], middle, if_missing, share)


@dataclass(frozen=True)
class Bundle:
    """Some trees: which of their leaves, a bit each, are `allowed` by each code of each column; and the leaves' `values`."""

    allowed: dict[int, np.ndarray]
    values: np.ndarray

    def total(self, codes: Mapping[int, np.ndarray], n: int) -> np.ndarray:
        """The sum of the leaves where each of `n` rows ends."""
        left, these = np.full(n, _ALL, dtype=_WORD), np.empty(n, dtype=_WORD)
        for column, allowed in self.allowed.items():
            np.take(allowed, codes[column], out=these, mode="clip")  # all codes are in range; it is the fast mode
            left &= these
        total = np.zeros(n)
        for byte, values in zip(left.view(np.uint8).reshape(n, 8).T, self._by_byte, strict=True):
            total += values[byte]
        return total

    @cached_property
    def _by_byte(self) -> np.ndarray:
        """The sum of the values of the leaves whose bits are set in each byte: (8, 256)."""
        return self.values.reshape(8, 8) @ (np.arange(256) >> np.arange(8)[:, None] & 1)


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
        """Log odds, one per row.

        A row keeps, of the leaves of some trees at once, those that each of its columns allows: one per tree is left.

        References
        ----------
        Lucchese et al. (2015), QuickScorer.
        """
        margin = np.full(len(values), self.baseline)
        for first in range(0, len(values), _ROWS):
            codes = self._codes(values[first : first + _ROWS])
            for some in self._bundles:
                margin[first : first + _ROWS] += some.total(codes, len(margin[first : first + _ROWS]))
        return margin

    def parts(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Each step from a node to the next is what the node's column adds: the change of the mean value.

        References
        ----------
        Saabas (2014), Interpreting random forests.
        """
        found = np.zeros(values.shape)
        for first in range(0, len(values), _ROWS):
            some = np.ascontiguousarray(values[first : first + _ROWS])
            for root in self.roots.tolist():
                self._walk(some, root, found[first : first + _ROWS])
        return float(self.baseline + self.value[self.roots].sum()), found

    def _walk(self, values: np.ndarray, root: int, parts: np.ndarray) -> None:
        node, rows = np.full(len(values), root), np.arange(len(values))
        for _ in range(self.depth):
            rows = rows[self.column[node[rows]] >= 0]
            if not len(rows):
                break
            here = node[rows]
            column = self.column[here]
            value = values[rows, column]
            goes_left, unknown = value <= self.threshold[here], np.isnan(value)
            split = self.words[here] >= 0
            side = self.is_left[self.words[here][split], value[split].astype(int)]
            goes_left[split], unknown[split] = side == 1, side < 0
            goes_left = np.where(unknown, self.missing_left[here], goes_left)
            after = np.where(goes_left, self.left[here], self.right[here])
            parts[rows, column] += self.value[after] - self.value[here]
            node[rows] = after

    @cached_property
    def _edges(self) -> dict[int, np.ndarray]:
        """The thresholds of each column of numbers that is split."""
        by_number = (self.column >= 0) & (self.words < 0)
        columns = self.column[by_number]
        return {int(column): np.unique(self.threshold[by_number][columns == column]) for column in np.unique(columns)}

    def _codes(self, values: np.ndarray) -> dict[int, np.ndarray]:
        """The columns that are split, as whole numbers: how many thresholds are smaller, or missing; words as they are."""
        codes = {}
        for column in np.unique(self.column[self.column >= 0]).tolist():
            value = values[:, column]
            if column in self._edges:
                edges = self._edges[column]
                codes[column] = np.where(np.isnan(value), len(edges) + 1, np.searchsorted(edges, value))
            else:
                codes[column] = value.astype(np.intp)
        return codes

    def _goes_left(self, node: int) -> np.ndarray:
        """Of each code of the node's column."""
        if self.words[node] >= 0:
            side = self.is_left[self.words[node]]
            return np.where(side < 0, self.missing_left[node], side == 1)
        edges = self._edges[int(self.column[node])]
        up_to = np.searchsorted(edges, self.threshold[node])
        return np.append(np.arange(len(edges) + 1) <= up_to, self.missing_left[node])

    @cached_property
    def _bundles(self) -> list[Bundle]:
        """All trees, as many together as have 64 leaves."""
        ends = [*self.roots.tolist(), len(self.column)]
        bundles, leaves = [], 65
        for first, end in pairwise(ends):
            more = int((self.column[first:end] < 0).sum())
            if leaves + more > 64:
                bundles.append(Bundle({}, np.zeros(64)))
                leaves = 0
            self._bundle(range(first, end), bundles[-1], leaves)
            leaves += more
        return bundles

    def _bundle(self, nodes: range, bundle: Bundle, leaves: int) -> None:
        """Add a tree to the others, which have so many leaves."""
        below = {}
        for node in reversed(nodes):  # children come after their parents
            if self.column[node] < 0:
                below[node] = 1 << leaves
                bundle.values[leaves] = self.value[node]
                leaves += 1
                continue
            left, right = below[int(self.left[node])], below[int(self.right[node])]
            below[node] = left | right
            allowed = np.where(self._goes_left(node), _WORD.type(_ALL ^ right), _WORD.type(_ALL ^ left))
            before = bundle.allowed.get(int(self.column[node]))
            bundle.allowed[int(self.column[node])] = allowed if before is None else before & allowed

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
