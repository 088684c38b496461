"""Who will call? The chance that a case reaches the escalation stage, from what was known at the moment of prediction only."""

from __future__ import annotations

from cxlib.escalation.choosing import Choice
from cxlib.escalation.command import add_score, left_effects, run_score
from cxlib.escalation.decisions import Decision, decide
from cxlib.escalation.forecast import Escalation, fit
from cxlib.escalation.hazard import Within, within
from cxlib.escalation.horizons import by_horizon
from cxlib.escalation.identity import as_known
from cxlib.escalation.kept import Forecaster
from cxlib.escalation.later import again, health, score
from cxlib.escalation.proxy import ByChance, auc_by_chance, by_chance
from cxlib.escalation.replay import declared, leak_probe
from cxlib.escalation.review import Review, label_of, review_list

__all__ = [
    "ByChance",
    "Choice",
    "Decision",
    "Escalation",
    "Forecaster",
    "Review",
    "Within",
    "add_score",
    "again",
    "as_known",
    "auc_by_chance",
    "by_chance",
    "by_horizon",
    "decide",
    "declared",
    "fit",
    "health",
    "label_of",
    "leak_probe",
    "left_effects",
    "review_list",
    "run_score",
    "score",
    "within",
]
