"""`draw_*`: a result -> axes. Figures compute nothing: every number drawn stands in the result's table."""

from cxlib.figures.data import draw_empty, draw_freshness, draw_links, draw_rows, draw_weeks
from cxlib.figures.escalation import draw_auc_by_stage, draw_by_month, draw_gain, draw_reliability
from cxlib.figures.journey import draw_ends, draw_forced, draw_funnel, draw_incidence, draw_mood, draw_transitions
from cxlib.figures.themes import draw_stability, draw_theme_map, draw_theme_months, draw_themes

__all__ = [
    "draw_auc_by_stage",
    "draw_by_month",
    "draw_empty",
    "draw_ends",
    "draw_forced",
    "draw_freshness",
    "draw_funnel",
    "draw_gain",
    "draw_incidence",
    "draw_links",
    "draw_mood",
    "draw_reliability",
    "draw_rows",
    "draw_stability",
    "draw_theme_map",
    "draw_theme_months",
    "draw_themes",
    "draw_transitions",
    "draw_weeks",
]
