"""The state of the data in pictures; everything drawn stands in the result's tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from cxlib.figures.style import CALM, HOT, INK, PALE, QUIET, axes, beside, plain
from cxlib.trust import Completeness, Freshness, Links, Rows


def draw_rows(read: Rows, ax: Axes | None = None) -> Axes:
    """Rows kept, set aside and left out, as shares of what came in for each table."""
    table = read.table[::-1]
    ax = axes(ax, high=1.0 + 0.3 * len(table))
    y, left = np.arange(len(table)), np.zeros(len(table))
    for name, colour in (("kept", CALM), ("left_out", PALE), ("set_aside", HOT)):
        part = (table[name] / table["rows_in"].clip(lower=1)).to_numpy(dtype=float)
        ax.barh(y, part, left=left, color=colour, height=0.66)
        left += part
    for i, row in enumerate(table.itertuples()):
        others = [f"{n:,} {word}" for n, word in ((row.set_aside, "set aside"), (row.left_out, "left out")) if n]
        beside(ax, ", ".join([f"{row.kept:,} kept", *others]), 1, i)
    ax.set_yticks(y, [plain(name) for name in table["table"]])
    ax.set_xlim(0, 1.0)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of the rows that came in")
    return ax


def draw_weeks(full: Completeness, ax: Axes | None = None) -> Axes:
    """Rows by week and table, against the table's median week: pale is little, dark is much; thin weeks are framed."""
    weeks = full.weeks
    tables = list(dict.fromkeys(weeks["table"]))
    ax = axes(ax, wide=9, high=1.2 + 0.36 * max(1, len(tables)))
    grid = weeks.pivot(index="table", columns="week", values="of_median").reindex(tables)
    shades = LinearSegmentedColormap.from_list("rows", ["#ffffff", CALM, "#17403f"])
    ax.imshow(grid.to_numpy(dtype=float), cmap=shades, vmin=0, vmax=2, aspect="auto")
    for row in weeks[weeks["is_thin"].astype(bool)].itertuples():
        place = (grid.columns.get_loc(row.week) - 0.5, tables.index(row.table) - 0.5)
        ax.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=HOT, linewidth=2))
    usual = weeks.groupby("table")["median"].first()
    ax.set_yticks(range(len(tables)), [f"{plain(name)}  ({usual.get(name, np.nan):,.0f} a week)" for name in tables])
    step = max(1, len(grid.columns) // 8)
    ax.set_xticks(range(0, len(grid.columns), step), [f"{week.day} {week:%b %y}" for week in grid.columns[::step]], fontsize=9)
    ax.set_xlabel(
        "week beginning; white = no row, mid = the table's median, dark = twice as many; first and last may be part weeks"
    )
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def draw_empty(full: Completeness, ax: Axes | None = None) -> Axes:
    """Share of empty values in the columns that answers lean on."""
    table = full.table[::-1]
    ax = axes(ax, high=1.0 + 0.27 * max(1, len(table)))
    y = np.arange(len(table))
    ax.barh(y, table["share"], color=QUIET, height=0.66)
    for i, row in enumerate(table.itertuples()):
        beside(ax, f"{row.share:.1%} of {row.n:,}", row.share, i)
    ax.set_yticks(y, [plain(f"{row.table}.{row.column}") for row in table.itertuples()])
    ax.set_xlim(0, 1.15)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of rows where the column is empty")
    return ax


def draw_links(tied: Links, ax: Axes | None = None) -> Axes:
    """How touches are tied to a customer, by stage."""
    table = tied.table[::-1]
    ax = axes(ax, high=1.3 + 0.4 * len(table))
    y, left = np.arange(len(table)), np.zeros(len(table))
    kinds = {
        "user": ("own user id", CALM),
        "linked": ("visitor who logged in", "#a5dbc2"),
        "visitor": ("unknown visitor", "#dd9748"),
        "nobody": ("nobody", HOT),
    }
    for name, (label, colour) in kinds.items():
        part = (table[name] / table["n"]).to_numpy(dtype=float)
        ax.barh(y, part, left=left, color=colour, height=0.66, label=label)
        left += part
    for i, row in enumerate(table.itertuples()):
        beside(ax, f"{row.share:.1%} without, n = {row.n:,}", 1, i)
    ax.set_yticks(y, [plain(stage, 22) for stage in table["stage"]])
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of touches")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=9, handlelength=1)
    return ax


def draw_freshness(fresh: Freshness, ax: Axes | None = None) -> Axes:
    """From when until when each table has rows, and the end of the observed period."""
    table = fresh.table[::-1]
    ax = axes(ax, wide=9, high=1.0 + 0.32 * max(1, len(table)))
    for i, row in enumerate(table.itertuples()):
        ax.plot([_naive(row.first_at), _naive(row.last_at)], [i, i], color=CALM, linewidth=8, solid_capstyle="butt")
        ax.annotate(
            f"{row.days_before_end:,.0f} days before the end" if row.days_before_end >= 1 else "up to the end",
            (_naive(row.last_at), i), xytext=(8, 0), textcoords="offset points", va="center", color=INK, fontsize=9,
        )  # fmt: skip
    ax.axvline(_naive(fresh.observed_until), color=HOT, linewidth=1)
    ax.set_yticks(range(len(table)), [plain(name) for name in table["table"]])
    ax.set_ylim(-0.7, len(table) - 0.3)
    locator = AutoDateLocator(maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.set_xlabel("rows from first to last; the line is the end of the observed period")
    return ax


def _naive(moment: pd.Timestamp) -> pd.Timestamp:
    return moment.tz_localize(None)
