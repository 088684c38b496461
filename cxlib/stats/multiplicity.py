"""Many questions at once: how many of the answers may be chance?"""

from __future__ import annotations

import numpy as np

FALSE_DISCOVERY_RATE = 0.05  # of what is called different, new or clear


def false_discovery(p: np.ndarray) -> np.ndarray:
    """q-values: calling everything with q <= .05 a finding, at most 5 % of the findings are expected to be chance.

    `p` are p-values (0 to 1); NaN was not tested, counts for nothing and stays NaN. Benjamini and Hochberg (1995), J. R.
    Stat. Soc. B 57: valid for independent and for positively dependent tests.

    >>> false_discovery(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    p = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raised = p[order] * len(order) / np.arange(1, len(order) + 1)
    q = np.full(len(p), np.nan)
    q[order] = np.minimum.accumulate(raised[::-1])[::-1].clip(max=1.0)
    return q
