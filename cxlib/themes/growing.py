"""Which themes grow? The newest period of each against its own past, season and the volume of all the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.schema import DataError

_FEWEST_TICKETS = 20  # of a theme, before the last period
_FEWEST_PERIODS = 6  # before the last one
_FEWEST_FREE = 3  # degrees of freedom that the past must leave to its variation
_NUMBERS = ["expected", "ratio", "low", "high", "p_value", "q_value"]


@dataclass(frozen=True)
class Growth:
    """The last period of each theme against its past."""

    table: pd.DataFrame  # one row per theme, from the surest growth to the surest fall; see `growth`
    period: pd.Timestamp  # the first day of the period that is asked about
    n_periods: int  # before it
    seasons: tuple[str, ...]  # "weekday", "month": what the past is long enough to know


def growth(counts: pd.DataFrame) -> Growth:
    """Which themes took a larger share of the tickets in the last period than their past, trend and season explain?

    Parameters
    ----------
    counts : DataFrame
        One row per theme and period: theme, period (its first day), n (tickets). All periods of one length (days, weeks or
        months) and whole, the last one too. A theme without a row in a period had no ticket in it.

    Returns
    -------
    Growth
        `table` has one row per theme: theme, n (tickets in the last period), expected (tickets, at that period's volume), ratio
        (n / expected) with its 95 % interval low and high, p_value (of a ratio as far from 1, either way), q_value (over the
        themes that were tested), grew (ratio above 1, q_value at most .05), why ("" or the reason for having no numbers).

    Raises
    ------
    DataError
        If a column is missing, or a count is not a whole number of 0 or more, or there are fewer than two periods.

    Notes
    -----
    Quasi-Poisson regression of the theme's tickets on time (a trend of the log), with the log of all other tickets as offset;
    terms for the day of the week where the past covers two weeks of days, for the month where it covers two years. How much a
    share varies from period to period beyond chance is taken from the theme's past and, where that is short, from all themes
    (`stats.counts`). A theme that grows as fast as it always did has not grown by this measure, and one that others fall away
    from has: shares are asked about. Without two years a theme's season counts as variation, which hides growth, and the first
    peak of a season looks like growth. What has no past is not tested: see `emerging`.

    References
    ----------
    McCullagh and Nelder (1989), Generalized Linear Models, section 6.2; Lund et al. (2012), Stat. Appl. Genet. Mol. Biol. 11;
    Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57.

    Examples
    --------
    Seven months of 90 other tickets; theme a has 10 in each and then 40.

    >>> months = pd.date_range("2026-01-01", periods=7, freq="MS")
    >>> a = pd.DataFrame({"theme": "a", "period": months, "n": [10] * 6 + [40]})
    >>> b = pd.DataFrame({"theme": "b", "period": months, "n": [90] * 7})
    >>> growth(pd.concat([a, b])).table[["theme", "n", "expected", "ratio", "grew"]].round(1)
      theme   n  expected  ratio   grew
    0     a  40      10.0    4.0   True
    1     b  90     360.0    0.2  False
    """
    _check(counts)
    wide = _wide(counts)
    design, seasons = _design(wide.columns)
    y = wide.to_numpy(float)
    others = y.sum(axis=0) - y
    why = _why(y, others, design)
    table = pd.DataFrame({"theme": wide.index, "n": y[:, -1].astype(int)}).reindex(columns=["theme", "n", *_NUMBERS])
    tested = np.flatnonzero(why == "")
    if len(tested):
        offset = np.log(np.maximum(others[tested], 1))
        found = stats.departure(y[tested], design, offset, (others[tested] > 0).astype(float))
        table.loc[tested, ["expected", "ratio", "low", "high", "p_value"]] = np.column_stack(found[:5])
    table[_NUMBERS] = table[_NUMBERS].astype(float)
    table["q_value"] = stats.false_discovery(table["p_value"].to_numpy())
    table = table.assign(grew=(table["ratio"] > 1) & (table["q_value"] <= stats.FALSE_DISCOVERY_RATE), why=why)
    surest = np.where(table["ratio"] > 1, table["p_value"], 2 - table["p_value"])  # growth first, fall last
    return Growth(
        table=table.iloc[np.argsort(surest, kind="stable")].reset_index(drop=True),
        period=wide.columns[-1],
        n_periods=wide.shape[1] - 1,
        seasons=seasons,
    )


def _check(counts: pd.DataFrame) -> None:
    missing = [name for name in ("theme", "period", "n") if name not in counts]
    if missing:
        raise DataError(f"counts has no {', '.join(missing)}: one row per theme and period is needed, with theme, period and n")
    n = pd.to_numeric(counts["n"], errors="coerce")
    wrong = ~((n >= 0) & (n % 1 == 0)).to_numpy()
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{wrong.sum()} of {len(n)} counts are not whole numbers of 0 or more: "
            f"first {counts['n'].iloc[first]!r} in row {first}"
        )
    unknown = counts[["theme", "period"]].isna().any(axis=1)
    if unknown.any():
        raise DataError(f"{unknown.sum()} of {len(n)} rows have no theme or no period: leave them out, or give them a theme")
    if counts["period"].nunique() < 2:
        raise DataError(f"{counts['period'].nunique()} period: growth needs one and {_FEWEST_PERIODS} or more before it")


def _wide(counts: pd.DataFrame) -> pd.DataFrame:
    """One row per theme, one column per period in which there was any ticket; 0 where the theme had none."""
    period = counts["period"]
    start = period.dt.start_time if isinstance(period.dtype, pd.PeriodDtype) else pd.to_datetime(period)
    n = pd.to_numeric(counts["n"]).to_numpy()
    rows = pd.DataFrame({"theme": counts["theme"].to_numpy(), "period": start.to_numpy(), "n": n})
    wide = rows.pivot_table(index="theme", columns="period", values="n", aggfunc="sum", fill_value=0, observed=True)
    return wide.loc[:, (wide.sum(axis=0) > 0) | (wide.columns == wide.columns[-1])]


def _design(periods: pd.DatetimeIndex) -> tuple[np.ndarray, tuple[str, ...]]:
    """A constant, time, and the seasons of which the past holds two; one row per period."""
    day = (periods - periods[0]).days.to_numpy(float)
    parts, seasons = [np.ones((len(day), 1)), (day / max(day[-1], 1))[:, None]], []
    step = np.median(np.diff(day)) if len(day) > 1 else 0
    for name, within, longest, cover in (("weekday", periods.day_of_week, 1, 14), ("month", periods.month, 31, 730)):
        if step <= longest and day[-1] >= cover:
            parts.append(pd.get_dummies(within, drop_first=True).to_numpy(float))
            seasons.append(name)
    return np.hstack(parts), tuple(seasons)


def _why(y: np.ndarray, others: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Why a theme is not tested, in words; "" where it is."""
    past = y[:, :-1].sum(axis=1)
    periods = (others[:, :-1] > 0).sum(axis=1)
    free = periods - np.linalg.matrix_rank(design[:-1])
    reasons = [
        (others[:, -1] == 0, lambda i: "no ticket of another theme in the last period to compare with"),
        ((periods < _FEWEST_PERIODS) | (free < _FEWEST_FREE), lambda i: f"only {periods[i]} periods before the last"),
        (past < _FEWEST_TICKETS, lambda i: f"only {past[i]:.0f} tickets before the last period, {_FEWEST_TICKETS} are needed"),
    ]
    return np.array([next((say(i) for holds, say in reasons if holds[i]), "") for i in range(len(y))], dtype=object)
