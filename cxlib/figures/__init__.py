"""`draw_*`: a result -> axes. Figures compute nothing: every number drawn stands in the result's table."""

from cxlib.figures.data import draw_empty, draw_freshness, draw_links, draw_rows, draw_weeks
from cxlib.figures.journey import draw_ends, draw_forced, draw_funnel, draw_incidence, draw_mood, draw_transitions

__all__ = [
    "draw_empty",
    "draw_ends",
    "draw_forced",
    "draw_freshness",
    "draw_funnel",
    "draw_incidence",
    "draw_links",
    "draw_mood",
    "draw_rows",
    "draw_transitions",
    "draw_weeks",
]
