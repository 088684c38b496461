"""`say_*`: a result -> a sentence. Words compute nothing, and every value from data in them is escaped."""

from cxlib.words.data import (
    odd_table,
    say_empty,
    say_freshness,
    say_largest,
    say_links,
    say_missing,
    say_odd,
    say_order,
    say_reasons,
    say_rows,
    say_trust,
    say_weeks,
)
from cxlib.words.journey import say_ends, say_forced, say_funnel, say_log, say_mood, say_time_to, say_transitions
from cxlib.words.numbers import rounded
from cxlib.words.stories import say_story

__all__ = [
    "odd_table",
    "rounded",
    "say_empty",
    "say_ends",
    "say_forced",
    "say_freshness",
    "say_funnel",
    "say_largest",
    "say_links",
    "say_log",
    "say_missing",
    "say_mood",
    "say_odd",
    "say_order",
    "say_reasons",
    "say_rows",
    "say_story",
    "say_time_to",
    "say_transitions",
    "say_trust",
    "say_weeks",
]
