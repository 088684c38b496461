"""Where do customers go, who is forced to call, and what would move them left?

The unit is the case: one problem of one customer. Intervals are by customer, because one customer's cases resemble each other.
"""

from cxlib.journey.compare import MatrixDiff, Segments, matrix_diff, segments
from cxlib.journey.contacts import ContactRate, contact_rate
from cxlib.journey.counts import (
    CALLED_FIRST,
    FORCED,
    SPARED,
    Ends,
    Forced,
    Funnel,
    Mood,
    TimeTo,
    Transitions,
    ends,
    forced_to_call,
    funnel,
    mood,
    time_to,
    transitions,
)
from cxlib.journey.kinds import Kinds, kinds
from cxlib.journey.mix import Change, change
from cxlib.journey.scorecard import Scorecard, scorecard

__all__ = [
    "CALLED_FIRST",
    "FORCED",
    "SPARED",
    "Change",
    "ContactRate",
    "Ends",
    "Forced",
    "Funnel",
    "Kinds",
    "MatrixDiff",
    "Mood",
    "Scorecard",
    "Segments",
    "TimeTo",
    "Transitions",
    "change",
    "contact_rate",
    "ends",
    "forced_to_call",
    "funnel",
    "kinds",
    "matrix_diff",
    "mood",
    "scorecard",
    "segments",
    "time_to",
    "transitions",
]
