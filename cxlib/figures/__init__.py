"""`draw_*`: a result -> axes. Figures compute nothing: every number drawn stands in the result's table."""

from cxlib.figures.journey import draw_ends, draw_forced, draw_funnel, draw_incidence, draw_mood, draw_transitions

__all__ = ["draw_ends", "draw_forced", "draw_funnel", "draw_incidence", "draw_mood", "draw_transitions"]
