"""Whom to look at first: the open cases with the highest chances, and why they have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.escalation import models
from cxlib.escalation.forecast import Escalation
from cxlib.schema import DataError

N_REASONS = 3
WORTH_SAYING = 0.2  # logits: 22 % more odds
LABELS = {
    "stage.furthest": "furthest stage",
    "stage.before": "stage before",
    "action.now": "last action",
    "action.before": "action before",
    "touches.n": "touches so far",
    "mood.last": "last mood, -1 to 1",
    "mood.mean": "mean mood, -1 to 1",
    "mood.worst": "worst mood, -1 to 1",
    "time.elapsed_h": "hours since it began",
    "time.gap_h": "hours since the touch before",
    "time.pace_h": "usual hours between touches",
    "hour.value": "hour of the day",
    "wait.s": "seconds waited",
    "ticket.age_h": "hours since the ticket was opened",
    "article.value": "article read",
}
PERSONS = {"assigned_to", "opened_by", "caller_id", "closed_by", "actor_id"}  # who it is stays unsaid


@dataclass(frozen=True)
class Review:
    """`table`: one row per case to review, highest chance first: rank, case_id, stage, since (UTC), chance, reasons (plain text, not
    escaped). Of the `n_waiting` open cases `expected` (`low` to `high`: 95 % if the chances hold) of the `capacity` reviewed are expected to
    escalate, and `expected_all` of all."""

    table: pd.DataFrame
    capacity: int
    n_waiting: int
    expected: float
    low: float
    high: float
    expected_all: float


def review_list(result: Escalation, capacity: int = 40) -> Review:
    """Which open cases are most likely to escalate, and why?

    Parameters
    ----------
    capacity : int
        How many cases can be reviewed at once (at least 1).

    Notes
    -----
    The chance is as of the case's newest touch. A reason is a group of features that raises the chance when compared with its usual value in
    training, all else equal (`models.contributions`); it says what the forecast looked at, not what causes the call. The range around
    `expected` is that of a sum of independent cases with these chances (normal approximation).
    """
    if capacity < 1:
        raise DataError(f"capacity={capacity} leaves nothing to review: give the number of cases, at least 1")
    ranked = result.waiting.sort_values(["chance", "case_id"], ascending=[False, True]) if result.model else result.waiting
    top = ranked.head(capacity)
    p = top["chance"].to_numpy(dtype=float)
    half = 1.96 * float(np.sqrt((p * (1 - p)).sum()))
    expected = float(p.sum())
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(top) + 1),
            "case_id": top["case_id"].to_numpy(),
            "stage": top["stage"].to_numpy(),
            "since": pd.to_datetime(top["at"].to_numpy(dtype="int64"), unit="us", utc=True),
            "chance": p,
            "reasons": _reasons(result, top) if len(top) else [],
        }
    )
    low, high = max(0.0, expected - half), min(float(len(top)), expected + half)
    return Review(table, capacity, len(ranked), expected, low, high, float(ranked["chance"].sum()))


def _reasons(result: Escalation, top: pd.DataFrame) -> list[str]:
    """Up to three groups of features that raise each case's chance, in words, the strongest first."""
    features = result.waiting_features.loc[top.index]
    parts = models.contributions(result.model, features, result.usual)
    return [
        "; ".join(_said(group, features.loc[row], result.usual) for group in part.nlargest(N_REASONS).index if part[group] >= WORTH_SAYING)
        or "nothing stands out"
        for row, part in parts.iterrows()
    ]


def _said(group: str, values: pd.Series, usual: Mapping[str, object]) -> str:
    """One reason: what the case shows, and what is usual; the group's first feature that differs speaks for it.

    >>> _said("stage", pd.Series({"stage.now": "agent"}), {"stage.now": "help"})
    'stage: agent (usual: help)'
    """
    names = [name for name in usual if name.split(".")[0] == group]
    name = next((n for n in names if _shown(values[n]) != _shown(usual[n])), names[0])
    if group in PERSONS and name.endswith(".value"):
        return f"{_label(name)}: {'nobody' if _shown(values[name]) == 'none' else 'a person (not named here)'}"
    return f"{_label(name)}: {_shown(values[name])} (usual: {_shown(usual[name])})"


def _label(name: str) -> str:
    """A feature in words.

    >>> _label("assignment_group.value"), _label("assignment_group.n_changes"), _label("stage.n_agent")
    ('assignment group', 'changes of assignment group', 'touches at agent')
    """
    if name in LABELS:
        return LABELS[name]
    group, feature = (part.replace("_", " ") for part in name.split(".", 1))
    if feature == "n changes":
        return f"changes of {group}"
    return f"touches at {feature[2:]}" if feature.startswith("n ") else group


def _shown(value: object) -> str:
    """A value as people write it; text stays as it is and is escaped where it is shown."""
    if value is None or value is pd.NA or value == models.NO_VALUE:
        return "none"
    if isinstance(value, (float, int, np.number)):
        return "none" if np.isnan(value) else f"{value:.3g}"
    return str(value)
