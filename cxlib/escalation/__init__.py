"""Who will call? The chance that a case reaches the escalation stage, from what was known at the moment of prediction only."""

from __future__ import annotations

from cxlib.escalation.choosing import Choice
from cxlib.escalation.forecast import Escalation, fit
from cxlib.escalation.review import Review, review_list

__all__ = ["Choice", "Escalation", "Review", "fit", "review_list"]
