"""`say_*`: a result -> a sentence. Words compute nothing, and every value from data in them is escaped."""

from cxlib.words.journey import say_ends, say_forced, say_funnel, say_log, say_mood, say_time_to, say_transitions
from cxlib.words.numbers import rounded

__all__ = ["rounded", "say_ends", "say_forced", "say_funnel", "say_log", "say_mood", "say_time_to", "say_transitions"]
