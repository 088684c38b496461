"""Within how long? The chance of an escalation in each next span of time, given that there was none so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from cxlib.escalation import choosing, judging
from cxlib.escalation.forecast import at_split, told
from cxlib.escalation.judging import ENOUGH
from cxlib.escalation.labels import outcomes
from cxlib.escalation.models import Model
from cxlib.schema import DataError, duration
from cxlib.store import Dataset

SPANS = ("1d", "3d", "7d")
_SPAN = "within.span"  # the column that says which span a row is about


@dataclass(frozen=True)
class Within:
    """The answer of `within`; `table` has one row per span, `model` gives the chance in a span, given none before it.

    `why_not` says in one line why nothing could be fitted; then `model` is None and the table empty.
    """

    table: pd.DataFrame  # within, mean_chance, share, low, high, auc, auc_low, auc_high, n, unknown
    spans: tuple[str, ...]
    model: Model | None
    why_not: str = ""

    def chance(self, features: pd.DataFrame) -> pd.DataFrame:
        """The chance of an escalation within each span, 0 to 1 and rising; one row per row of `features`."""
        if self.model is None:
            raise DataError(self.why_not)
        still, found = np.ones(len(features)), {}
        for name in self.spans:
            still = still * (1 - self.model.chance(features.assign(**{_SPAN: name})))
            found[name] = 1 - still
        return pd.DataFrame(found, features.index)


def within(
    dataset: Dataset, spans: Sequence[str] = SPANS, target: str | None = None, split: float = 0.8, seed: int = 0
) -> Within:
    """How likely does each case escalate within a day, three days, a week, by one model of all spans?

    Parameters
    ----------
    spans : sequence of str
        Lengths of time from a moment on, rising.
    target, split, seed
        As in `fit`.

    Returns
    -------
    Within
        `table` has one row per span: within, mean_chance of the held-out moments beside the share that escalated within it
        (low, high: 95 % by customer), auc (auc_low, auc_high), n (cases whose outcome is known), unknown (moments of which it
        is not).

    Raises
    ------
    DataError
        If `spans` do not rise, or one is no length of time.

    Notes
    -----
    A discrete-time hazard: logistic regression on one row per moment and span that it reached without an escalation, with the
    span as a word among the features, so that what raises the chance raises it in every span by the same odds. A span counts
    if the moment was watched to its end, whatever came of it: dropping only quiet ones would make escalations too frequent.
    Judged as `fit` judges a horizon.

    References
    ----------
    Singer and Willett (1993), It's about time: using discrete-time survival analysis. J. Educational Statistics 18.
    """
    limits = [duration(name, "spans") for name in spans]
    if not limits or any(b <= a for a, b in pairwise(limits)):
        raise DataError(f"spans={', '.join(spans)} do not rise: give lengths of time such as 1d, 3d, 7d")
    log, known = told(dataset, target, None)
    keys = at_split(log, known, split)
    split_at = int(keys["split_at"].iloc[0]) if len(keys) else 0
    rows = spells(keys, keys["is_training"].to_numpy(), split_at, dict(zip(spans, limits, strict=True)))
    if not choosing.enough(rows, ENOUGH):
        why = f"fewer than {ENOUGH} of the older cases with or without an escalation within {spans[-1]}: no model is fitted"
        return Within(pd.DataFrame(columns=_COLUMNS), tuple(spans), None, why)
    features = known.features.loc[rows.index].assign(**{_SPAN: rows["span"].to_numpy()})
    model = choosing.fitted(
        "logistic", features.reset_index(drop=True), rows.reset_index(drop=True), rows["began"].to_numpy(), seed
    )
    found = Within(pd.DataFrame(), tuple(spans), model)
    test = keys[keys["is_test"]]
    chances = found.chance(known.features.loc[test.index])
    judged = [
        _judged(name, test.join(outcomes(keys, keys["is_test"].to_numpy(), log.observed_until, limit)), chances[name], seed)
        for name, limit in zip(spans, limits, strict=True)
    ]
    return Within(pd.DataFrame(judged, columns=_COLUMNS), tuple(spans), model)


_COLUMNS = ["within", "mean_chance", "share", "low", "high", "auc", "auc_low", "auc_high", "n", "unknown"]


def spells(keys: pd.DataFrame, rows: np.ndarray, until: int, spans: dict[str, int]) -> pd.DataFrame:
    """One row per moment and span that it was watched through and reached without an escalation.

    `keys`, `rows` and `until` as in `labels.outcomes`; `spans` are limits in microseconds, rising. Columns: case, began, span,
    label (did the escalation come in it?), weight (1 / moments of the case); the index is that of the moment.

    >>> keys = pd.DataFrame({"case": [0, 1], "began": 0, "at": [0, 0], "escalated_at": [3, None]})
    >>> found = spells(keys, np.ones(2, dtype=bool), 5, {"short": 2, "long": 4, "longer": 6})
    >>> found[["case", "span", "label"]].to_numpy().tolist()
    [[0, 'short', False], [1, 'short', False], [0, 'long', True], [1, 'long', False]]
    """
    asked = keys.loc[rows, ["case", "began", "at", "escalated_at"]]
    asked = asked.assign(weight=1 / asked.groupby("case")["case"].transform("size"))
    wait, watched = asked["escalated_at"] - asked["at"], until - asked["at"]
    wait = wait.where(wait <= watched, np.inf).fillna(np.inf)
    parts, before = [], 0
    for name, limit in spans.items():
        reached = (wait > before) & (watched >= limit)
        parts.append(asked[reached].assign(span=name, label=wait[reached] <= limit))
        before = limit
    return pd.concat(parts)[["case", "began", "span", "label", "weight"]]


def _judged(name: str, test: pd.DataFrame, chance: pd.Series, seed: int) -> dict[str, object]:
    told = test[test["weight"] > 0]
    found: dict[str, object] = {"within": name, "n": told["case"].nunique(), "unknown": len(test) - len(told)}
    return found | (judging.in_brief(told, chance[told.index].to_numpy(), seed) if len(told) else {})
