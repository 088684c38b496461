"""Whom to look at first: the open cases with the highest chances, and why they have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.escalation import models, scores
from cxlib.escalation.expected import count_range
from cxlib.escalation.forecast import Escalation
from cxlib.escalation.steps import NO_STEP, Step, step_left
from cxlib.redact import redact_many
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
    "stage.n_returns": "returns to a stage it had left",
    "time.vs_usual": "age against the usual of its category",
    "customer.kind": "kind of customer",
    "customer.called": "share of the customer's earlier cases that escalated",
    "customer.n_28d": "cases of the customer in 28 days",
    "customer.mood": "earlier mood of the customer, -1 to 1",
    "customer.days_since": "days since the customer's earlier touch",
    "load.n_24h": "touches at the stage in 24 hours",
    "load.vs_usual": "touches at the stage against the usual",
    "incident.open": "open incident",
    "incident.age_h": "hours since the incident began",
}
PERSONS = {"assigned_to", "opened_by", "caller_id", "closed_by", "actor_id"}  # who it is stays unsaid


@dataclass(frozen=True)
class Review:
    """Whom to review, and what that is expected to catch.

    `table`: one row per case, highest chance first: rank, case_id, stage, since (its newest touch, UTC), chance_then (at that
    touch), chance (now), reasons (plain text without names, to be escaped where it is shown), step_left (what the
    effects in `step` support; see `steps.step_left`). `expected` of them are expected to escalate, `low` to `high` will in 95
    of 100 such lists; of all `n_waiting` open cases `expected_all`. `reviewed` is the share that `capacity` makes of the open
    cases (of the held-out ones where none is open); reviewing as large a share of the held-out moments caught `caught` of the
    escalations (`caught_low` to `caught_high`).
    """

    table: pd.DataFrame
    capacity: int
    n_waiting: int
    expected: float
    low: int
    high: int
    expected_all: float
    reviewed: float
    caught: float
    caught_low: float
    caught_high: float
    precision: float
    step: Step | None = None

    @property
    def lift(self) -> tuple[float, float, float]:
        """How many times as many escalations are among the reviewed as among as many at random, with its 95 % interval."""
        value, low, high = (caught / self.reviewed for caught in (self.caught, self.caught_low, self.caught_high))
        return value, low, high


def review_list(result: Escalation, capacity: int = 40, effects: pd.DataFrame | None = None, threshold: float = 0.0) -> Review:
    """Which open cases are most likely to escalate, and why?

    Parameters
    ----------
    capacity : int
        How many cases can be reviewed at once (at least 1).
    effects : DataFrame, optional
        What ending one stage further left changes: `journey.left_moves(log, known).table`. Without it no step is suggested.
    threshold : float
        The chance from which on a step is suggested, such as `Decision.threshold`.

    Notes
    -----
    The chance is that of the case's newest touch, lowered for the silence since (`silence.after_silence`). A reason is a
    group of features that raises the log odds; what all of them add sums to the log odds, exactly (`Model.parts`). It says
    what the forecast looked at, not what causes the escalation. The range around `expected`
    is one for the number that will be seen (`expected.count_range`).
    """
    if capacity < 1:
        raise DataError(f"capacity={capacity} leaves nothing to review: give the number of cases, at least 1")
    ranked = result.waiting.sort_values(["chance", "case_id"], ascending=[False, True])
    top = ranked.head(capacity)
    step = None if effects is None else step_left(effects, result.escalation, threshold)
    p = top["chance"].to_numpy(dtype=float)
    low, high = count_range(p, result.kept.correction[1] if result.kept else 0.0)
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(top) + 1),
            "case_id": redact_many(top["case_id"], result.people),
            "stage": top["stage"].to_numpy(),
            "since": pd.to_datetime(top["at"].to_numpy(dtype="int64"), unit="us", utc=True),
            "chance_then": top["chance_then"].to_numpy(dtype=float),
            "chance": p,
            "reasons": _reasons(result, top),
            "step_left": [step.at(stage, now) if step else NO_STEP for stage, now in zip(top["stage"], p, strict=True)],
        }
    )
    return Review(
        table=table,
        capacity=capacity,
        n_waiting=len(ranked),
        expected=float(p.sum()),
        low=low,
        high=high,
        expected_all=float(ranked["chance"].sum()),
        step=step,
        **_caught(result, capacity),
    )


def _caught(result: Escalation, capacity: int) -> dict[str, float]:
    """What the same share of the held-out moments would have caught."""
    n = len(result.waiting) or result.counts["held_out_cases"]
    reviewed = min(1.0, capacity / n) if n else np.nan
    if result.gain.empty:
        return {"reviewed": reviewed} | dict.fromkeys(("caught", "caught_low", "caught_high", "precision"), np.nan)
    there = scores.gain(result.table, shares=[reviewed]).iloc[0]
    caught = {"caught": there["caught"], "caught_low": there["low"], "caught_high": there["high"]}
    return {name: float(value) for name, value in (caught | {"reviewed": reviewed, "precision": there["precision"]}).items()}


def _reasons(result: Escalation, top: pd.DataFrame) -> list[str]:
    """Up to three groups of features that raise each case's chance, in words, the strongest first."""
    if result.kept is None or top.empty:
        return []
    features = result.waiting_features.loc[top.index]
    _, by_feature = result.kept.model.parts(features)
    by_group = by_feature.T.groupby(models.group_of, sort=False).sum().T
    said = [_case(features.loc[row], by_group.loc[row], by_feature.loc[row], result.kept.usual) for row in features.index]
    return redact_many(said, result.people)


def _case(values: pd.Series, by_group: pd.Series, by_feature: pd.Series, usual: Mapping[str, object]) -> str:
    """The reasons of one case; in each group the feature that differs from the usual and raises the chance most speaks."""
    groups = [group for group, part in by_group.nlargest(N_REASONS).items() if part >= WORTH_SAYING]
    unusual = by_feature[[_shown(values[name]) != _shown(usual[name]) for name in by_feature.index]]
    of = unusual.index.map(models.group_of)
    speak = [unusual[of == group].idxmax() for group in groups if (of == group).any()]
    return "; ".join(_said(name, values[name], usual[name]) for name in speak) or "nothing stands out"


def _said(name: str, value: object, usual: object) -> str:
    """One reason: what the case shows, and what is usual. Who it is stays unsaid.

    >>> _said("stage.now", "agent", "help"), _said("assigned_to.value", "Jane Doe", "(none)")
    ('stage: agent (usual: help)', 'assigned to: a person (not named here)')
    """
    if models.group_of(name) in PERSONS and name.endswith(".value"):
        return f"{label_of(name)}: {'nobody' if _shown(value) == 'none' else 'a person (not named here)'}"
    return f"{label_of(name)}: {_shown(value)} (usual: {_shown(usual)})"


def label_of(name: str) -> str:
    """A feature in words.

    >>> label_of("assignment_group.value"), label_of("assignment_group.n_changes"), label_of("stage.n_agent")
    ('assignment group', 'changes of assignment group', 'touches at agent')
    """
    if name in LABELS:
        return LABELS[name]
    group, feature = (part.replace("_", " ") for part in name.split(".", 1))
    if feature in ("n changes", "n returns"):
        return f"{feature[2:]} of {group}"
    if feature == "past":
        return f"how it went before with this {group}"
    return f"touches at {feature[2:]}" if feature.startswith("n ") else group


def _shown(value: object) -> str:
    """A value as people write it; text stays as it is and is escaped where it is shown."""
    if value is None or value is pd.NA or value == models.NO_VALUE:
        return "none"
    if isinstance(value, (float, int, np.number)):
        return "none" if np.isnan(value) else f"{value:.3g}"
    return str(value)
