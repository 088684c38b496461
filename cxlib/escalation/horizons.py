"""What does it change, what is called an escalation? The same cases under several horizons."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from cxlib.escalation import choosing, judging
from cxlib.escalation.forecast import at_split, told
from cxlib.escalation.labels import TOO_LONG, is_too_long, outcomes
from cxlib.schema import duration
from cxlib.store import Dataset


def by_horizon(
    dataset: Dataset,
    target: str | None = None,
    split: float = 0.8,
    horizons: Iterable[str] = ("3d", "7d", "14d"),
    seed: int = 0,
) -> pd.DataFrame:
    """How do the share that escalates and the forecast of it depend on within how long it must come?

    Parameters
    ----------
    target, split, seed
        As in `fit`.
    horizons : iterable of str
        Lengths of time. One that is longer than half of the held-out period is not judged: most moments were not watched so
        long, and few others would speak for them.

    Returns
    -------
    DataFrame
        One row for the status at the end of the data (horizon "none": whatever came by then counts) and one per horizon:
        horizon, trained_share (of the training moments, as known at the split), share (of the held-out ones, by weight; low,
        high: 95 % by customer), auc (auc_low, auc_high), n (held-out cases whose outcome is known), unknown (held-out moments
        of which it is not), why (not judged; else empty).

    Notes
    -----
    Each row has its own logistic regression, learned and judged under its own label, so the AUCs answer different questions.
    """
    log, known = told(dataset, target, None)
    keys = at_split(log, known, split)
    watched = log.observed_until - int(keys["split_at"].iloc[0]) if len(keys) else 0
    lengths = {"none": None} | {name: duration(name, "horizon") for name in dict.fromkeys(horizons)}
    rows = [
        {"horizon": name} | _judged(known.features, keys, length, log.observed_until, watched, seed)
        for name, length in lengths.items()
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = "horizon trained_share share low high auc auc_low auc_high n unknown why".split()  # noqa: SIM905


def _judged(
    features: pd.DataFrame, keys: pd.DataFrame, length: int | None, until: int, watched: int, seed: int
) -> dict[str, object]:
    """Learned and judged under one label."""
    split_at = int(keys["split_at"].iloc[0]) if len(keys) else 0
    train, test = (
        keys[keys[part]].join(outcomes(keys, keys[part].to_numpy(), end, length))
        for part, end in (("is_training", split_at), ("is_test", until))
    )
    found = {"n": test.loc[test["weight"] > 0, "case"].nunique(), "unknown": int((test["weight"] == 0).sum())}
    if is_too_long(length, watched):
        return found | {"why": TOO_LONG}
    if not all(choosing.enough(part, judging.ENOUGH) for part in (train, test)):
        return found | {"why": f"fewer than {judging.ENOUGH} cases with or without an escalation"}
    train, test = train[train["weight"] > 0], test[test["weight"] > 0]
    model = choosing.fitted("logistic", features.loc[train.index], train, train["began"].to_numpy(), seed)
    trained_share = float(np.average(train["label"], weights=train["weight"]))
    brief = judging.in_brief(test, model.chance(features.loc[test.index]), seed)
    return found | brief | {"trained_share": trained_share, "why": ""}
