"""Which share of the texts is about what?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxlib import stats

MIXED = -1  # a text in no theme: its group is too small or too loose, or nothing in it is known
NO_TEXT = -2


def shares_of(labels: np.ndarray, customers: Sequence | pd.Series | None = None, n_themes: int | None = None) -> pd.DataFrame:
    """Which share of the texts with words has each theme? One row per theme: n, share, low, high (95 %, by customer).

    A text without customer is a customer of its own; mixed texts count in the whole.

    >>> shares_of(np.array([0, 0, 0, 1, -2]))[["n", "share"]].values.tolist()
    [[3.0, 0.75], [1.0, 0.25]]
    >>> shares_of(np.array([0, 0, -1, -1]))["share"].tolist()
    [0.5]
    """
    kept = labels != NO_TEXT
    who = np.arange(kept.sum()) if customers is None else customer_codes(pd.Series(list(customers), dtype=object)[kept])
    written = np.bincount(who)
    rows = []
    for theme in range(labels.max(initial=MIXED) + 1 if n_themes is None else n_themes):
        inside = np.bincount(who, weights=labels[kept] == theme, minlength=len(written)).astype(int)
        rows.append((int(inside.sum()), *stats.ratio_interval(inside, written)))
    return pd.DataFrame(rows, columns=["n", "share", "low", "high"])


def customer_codes(customers: pd.Series) -> np.ndarray:
    """A number for each customer; each missing one gets its own.

    >>> customer_codes(pd.Series(["b", None, "b", None])).tolist()
    [0, 1, 0, 2]
    """
    codes = pd.factorize(customers)[0]
    missing = codes < 0
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(missing.sum())
    return codes
