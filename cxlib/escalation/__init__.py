"""Who will call? The chance that a case reaches the escalation stage, from what was known at the moment of prediction only."""

from __future__ import annotations

from cxlib.escalation.choosing import Choice
from cxlib.escalation.command import add_score, run_score, score
from cxlib.escalation.forecast import Escalation, fit
from cxlib.escalation.kept import Forecaster
from cxlib.escalation.proxy import ByChance, auc_by_chance, by_chance
from cxlib.escalation.review import Review, label_of, review_list

__all__ = [
    "ByChance",
    "Choice",
    "Escalation",
    "Forecaster",
    "Review",
    "add_score",
    "auc_by_chance",
    "by_chance",
    "fit",
    "label_of",
    "review_list",
    "run_score",
    "score",
]
