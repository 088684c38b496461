"""Where do customers go, who is forced to call, and what would move them left?

The unit is the case: one problem of one customer. Intervals are by customer, because one customer's cases resemble each other.
"""

from cxlib.journey.absorbing import Absorbing, FirstOrder, absorbing
from cxlib.journey.cases import cases
from cxlib.journey.compare import MatrixDiff, Segments, case_periods, matrix_diff, segmentations, segments
from cxlib.journey.contacts import ContactRate, contact_rate
from cxlib.journey.kinds import Kinds, kinds
from cxlib.journey.mix import Change, change
from cxlib.journey.moves import LeftMoves, left_moves
from cxlib.journey.paths import (
    END,
    Flow,
    Loops,
    StepMatrix,
    Transitions,
    flow,
    loops,
    step_matrix,
    transitions,
)
from cxlib.journey.reach import (
    CALLED_FIRST,
    FORCED,
    SPARED,
    Ends,
    Forced,
    Funnel,
    Mood,
    ends,
    forced_to_call,
    funnel,
    mood,
)
from cxlib.journey.rerouting import WhatIf, what_if
from cxlib.journey.scorecard import Scorecard, scorecard
from cxlib.journey.times import CaseSummary, Returns, TimeTo, case_summary, returns, sessions, time_to
from cxlib.journey.variants import Variants, variants

__all__ = [
    "CALLED_FIRST",
    "END",
    "FORCED",
    "SPARED",
    "Absorbing",
    "CaseSummary",
    "Change",
    "ContactRate",
    "Ends",
    "FirstOrder",
    "Flow",
    "Forced",
    "Funnel",
    "Kinds",
    "LeftMoves",
    "Loops",
    "MatrixDiff",
    "Mood",
    "Returns",
    "Scorecard",
    "Segments",
    "StepMatrix",
    "TimeTo",
    "Transitions",
    "Variants",
    "WhatIf",
    "absorbing",
    "case_periods",
    "case_summary",
    "cases",
    "change",
    "contact_rate",
    "ends",
    "flow",
    "forced_to_call",
    "funnel",
    "kinds",
    "left_moves",
    "loops",
    "matrix_diff",
    "mood",
    "returns",
    "scorecard",
    "segmentations",
    "segments",
    "sessions",
    "step_matrix",
    "time_to",
    "transitions",
    "variants",
    "what_if",
]
