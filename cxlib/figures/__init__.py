"""`draw_*`: a result -> axes. Figures compute nothing: every number drawn stands in the result's table."""

from cxlib.figures.changes import draw_kind_moves, draw_kinds, draw_matrix_diff, draw_scorecard, draw_segments, draw_waterfall
from cxlib.figures.data import draw_empty, draw_freshness, draw_links, draw_rows, draw_weeks
from cxlib.figures.decisions import draw_for_whom, draw_net_benefit
from cxlib.figures.escalation import draw_auc_by_stage, draw_by_month, draw_gain, draw_reliability
from cxlib.figures.journey import draw_ends, draw_forced, draw_funnel, draw_incidence, draw_mood
from cxlib.figures.levers import draw_removal, draw_sensitivity
from cxlib.figures.moves import draw_left_moves, draw_overlap, draw_what_if
from cxlib.figures.paths import draw_flow, draw_graph, draw_loops, draw_returns, draw_step_matrix, draw_variants
from cxlib.figures.themes import draw_stability, draw_theme_costs, draw_theme_map, draw_theme_months, draw_themes

__all__ = [
    "draw_auc_by_stage",
    "draw_by_month",
    "draw_empty",
    "draw_ends",
    "draw_flow",
    "draw_for_whom",
    "draw_forced",
    "draw_freshness",
    "draw_funnel",
    "draw_gain",
    "draw_graph",
    "draw_incidence",
    "draw_kind_moves",
    "draw_kinds",
    "draw_left_moves",
    "draw_links",
    "draw_loops",
    "draw_matrix_diff",
    "draw_mood",
    "draw_net_benefit",
    "draw_overlap",
    "draw_reliability",
    "draw_removal",
    "draw_returns",
    "draw_rows",
    "draw_scorecard",
    "draw_segments",
    "draw_sensitivity",
    "draw_stability",
    "draw_step_matrix",
    "draw_theme_costs",
    "draw_theme_map",
    "draw_theme_months",
    "draw_themes",
    "draw_variants",
    "draw_waterfall",
    "draw_weeks",
    "draw_what_if",
]
