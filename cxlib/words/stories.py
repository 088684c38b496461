"""Stories as people would tell them: one line per touch."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd

from cxlib.redact import escape
from cxlib.words.numbers import count, decimal, hours, plural


class Told(Protocol):
    """What `cxlib.stories.of_cases` gives."""

    @property
    def table(self) -> pd.DataFrame: ...
    @property
    def cases(self) -> pd.DataFrame: ...
    @property
    def n_cases(self) -> int: ...


def say_story(stories: Told) -> str:
    """The cases as Markdown, one list each: when, stage, action, what was written, waiting, mood."""
    if stories.cases.empty:
        return "There is no case to tell of."
    intro = f"{_chosen(stories)} from {plural(stories.n_cases, 'case')}; names, numbers and addresses are replaced."
    return "\n\n".join([intro, *(_case(case, stories.table) for case in stories.cases.itertuples())])


def _chosen(stories: Told) -> str:
    typical = int(stories.cases["is_typical"].sum())
    odd = " and one that does not fit" if typical < len(stories.cases) else ""
    return f"{count(typical)} typical {'one' if typical == 1 else 'ones'}{odd}"


def _case(case: Any, table: pd.DataFrame) -> str:
    kind = "typical" if case.is_typical else "does not fit"
    lasted = f" over {hours(case.hours)}" if case.touches > 1 else ""
    went = f"{plural(case.touches, 'touch', 'touches')}{lasted}, as far as {escape(case.furthest)}"
    head = f"**Case {escape(case.case)}** ({kind}): {went}."
    lines, told = [], 0
    for touch in table[table["case"] == case.case].itertuples():
        if touch.touch > told + 1:
            lines.append(f"- ... {plural(touch.touch - told - 1, 'touch', 'touches')} not shown ...")
        told = touch.touch
        lines.append(f"- {_touch(touch)}")
    return "\n".join([head, "", *lines])


def _touch(touch: Any) -> str:
    parts = [f"{touch.when}: {escape(touch.stage)}"]
    if touch.action:
        parts.append(escape(touch.action))
    if isinstance(touch.said, str) and touch.said:
        parts.append(f"“{escape(touch.said)}”")
    if touch.wait_s >= 1:
        parts.append(f"waited {_seconds(touch.wait_s)}")
    if pd.notna(touch.mood):
        parts.append(f"mood {decimal(touch.mood)}")
    return ", ".join(parts)


def _seconds(wait: float) -> str:
    """
    >>> _seconds(45), _seconds(600), _seconds(200_000)
    ('45 seconds', '10 minutes', '2 days')
    """
    return plural(round(wait), "second") if wait < 60 else hours(wait / 3600)
