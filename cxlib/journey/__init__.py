"""Where do customers go, who is forced to call, and what would move them left?

The unit is the case: one problem of one customer. Intervals are by customer, because one customer's cases resemble each other.
"""

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

__all__ = [
    "CALLED_FIRST",
    "FORCED",
    "SPARED",
    "Ends",
    "Forced",
    "Funnel",
    "Mood",
    "TimeTo",
    "Transitions",
    "ends",
    "forced_to_call",
    "funnel",
    "mood",
    "time_to",
    "transitions",
]
