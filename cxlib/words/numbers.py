"""Numbers as people write them: three significant digits, the interval and the n beside each estimate."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime

import pandas as pd


def count(n: float) -> str:
    """A whole number with thousands apart.

    >>> count(11204)
    '11,204'
    """
    return f"{int(n):,}"


def plural(n: float, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> plural(1, "case"), plural(2500, "case")
    ('1 case', '2,500 cases')
    """
    return f"{count(n)} {one if int(n) == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """A share (0 to 1) in per cent: one digit after the point, below 1 % two significant digits.

    >>> percent(0.0843), percent(0.6249), percent(0.00459), percent(float("nan"))
    ('8.4 %', '62.5 %', '0.46 %', 'unknown')
    """
    if math.isnan(share):
        return "unknown"
    return f"{_short(100 * share)} %"


def between(low: float, high: float) -> str:
    """The bounds of a share's 95 % interval, in per cent.

    >>> between(0.0812, 0.0874)
    '8.1-8.7'
    """
    return "unknown" if math.isnan(low) or math.isnan(high) else f"{_short(100 * low)}-{_short(100 * high)}"


def share_with_interval(row: pd.Series) -> str:
    """A row with share, low and high as words.

    >>> share_with_interval(pd.Series({"share": 0.0843, "low": 0.0812, "high": 0.0874}))
    '8.4 % (95 %: 8.1-8.7)'
    """
    return f"{percent(row['share'])} (95 %: {between(row['low'], row['high'])})"


def decimal(x: float, digits: int = 2) -> str:
    """A number with a fixed count of digits after the point and a true minus sign's plain form.

    >>> decimal(-0.304), decimal(float("nan"))
    ('-0.30', 'unknown')
    """
    return "unknown" if math.isnan(x) else f"{x:.{digits}f}"


def hours(h: float) -> str:
    """A length of time given in hours.

    >>> hours(0.5), hours(12), hours(72), hours(0)
    ('30 minutes', '12 hours', '3 days', '0 hours')
    """
    if 0 < h < 1:
        return plural(round(60 * h), "minute")
    return plural(round(h), "hour") if h < 48 else plural(round(h / 24), "day")


def calendar(period: str) -> str:
    """A month or a day as people write it; any other text as it is. Of a week it is the first day.

    >>> calendar("2026-08"), calendar("2026-08-03"), calendar("2026-13"), calendar("new")
    ('August 2026', '3 August 2026', '2026-13', 'new')
    """
    for form, said in (("%Y-%m", "{0:%B} {0.year}"), ("%Y-%m-%d", "{0.day} {0:%B} {0.year}")):
        with suppress(ValueError):
            return said.format(datetime.strptime(period, form))
    return period


def _short(x: float) -> str:
    if 0 < abs(x) < 0.995:
        return f"{x:.2g}"
    if 99.95 <= x < 100:
        return "99.9"  # not all
    return f"{x:.0f}" if abs(x) >= 99.95 or x == 0 else f"{x:.1f}"


def rounded(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """A result's table as a notebook shows it: floats rounded, counts as they are.

    >>> rounded(pd.DataFrame({"share": [0.123456], "n": [7]}))
       share  n
    0  0.123  7
    """
    return table.round({name: digits for name in table.columns if pd.api.types.is_float_dtype(table[name])})
