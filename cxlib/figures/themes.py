"""What customers ask about, in pictures; everything drawn stands in the result's tables."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cxlib.figures.style import CALM, HOT, INK, PALE, QUIET, axes, heat, plain
from cxlib.stats import FALSE_DISCOVERY_RATE
from cxlib.themes import Codebook, Costs, TicketThemes

MOST = 20  # themes in one picture
_MULTIPLES = 12


def draw_themes(asks: TicketThemes) -> Axes:
    """Themes by size beside the share of their cases that ends in a call, both with intervals. Returns the left panel."""
    table = asks.table.head(MOST)[::-1]
    ax, right = _panels(1, 2, wide=10, high=1.2 + 0.33 * max(1, len(table)), width_ratios=(1.25, 1))
    y = np.arange(len(table))
    ax.barh(y, table["share"], color=PALE, height=0.7)
    _across(ax, table["share"], table["low"], table["high"], y)
    for i, row in zip(y, table.itertuples(), strict=True):
        ax.annotate(f"{row.n:,}", (row.high, i), xytext=(5, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    right.axvline(asks.calls["call_share"], color=QUIET, linewidth=1, linestyle="--", zorder=0)
    _across(right, table["call_share"], table["call_low"], table["call_high"], y)
    colours = [{1: HOT, -1: CALM}.get(d, "white") for d in table["differs"]]
    right.scatter(table["call_share"], y, c=colours, edgecolor=INK, s=46, zorder=3)
    ax.set_yticks(y, [plain(name, 36) for name in table["name"]])
    right.set_yticks([])
    for panel, highest in ((ax, table["high"].max() * 1.18), (right, table["call_high"].max() * 1.05)):
        panel.set_ylim(-0.6, max(0.6, len(table) - 0.4))
        panel.set_xlim(0, highest if highest > 0 else 1)
        panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panel.xaxis.set_major_locator(MaxNLocator(5))
    others = len(asks.table) - len(table)
    ax.set_xlabel("share of tickets" + (f"; {others:,} smaller ones not drawn" if others else ""))
    right.set_xlabel(f"cases that reach {plain(asks.escalation, 24)}\ndashed: all; filled: differs from the others")
    return ax


def _across(ax: Axes, share: pd.Series, low: pd.Series, high: pd.Series, y: np.ndarray) -> None:
    spread = np.nan_to_num(np.vstack([share - low, high - share]).astype(float)).clip(0)
    ax.errorbar(share, y, xerr=spread, fmt="none", ecolor=INK, capsize=3, linewidth=1)


def draw_theme_map(asks: TicketThemes, ax: Axes | None = None) -> Axes:
    """Themes on a map: alike side by side, size by tickets, colour by the share that ends in a call, a line where texts mix."""
    found = _grouped(asks)
    places, table = found.places.set_index("theme"), asks.table.set_index("theme")
    columns, rows = places["x"].nunique() / 2 + 0.5, places["y"].nunique()
    ax = axes(ax, wide=max(6.0, 1.55 * columns), high=max(3.2, 1.3 * rows))
    for pair in found.mixing[found.mixing["share"] >= 0.02].itertuples():
        ends = places.loc[[pair.theme, pair.other]]
        ax.plot(ends["x"], ends["y"], color=QUIET, linewidth=1 + 30 * pair.share, alpha=0.5, zorder=0, solid_capstyle="round")
    shares = table["call_share"].reindex(places.index)
    scale = ScalarMappable(Normalize(0, max(0.01, shares.max(skipna=True) if shares.notna().any() else 0.01)), heat())
    colours = [PALE if np.isnan(share) else to_hex(tuple(scale.to_rgba(share))) for share in shares]
    sizes = table["share"].reindex(places.index)
    ax.scatter(places["x"], places["y"], s=1500 * sizes / sizes.max(), c=colours, edgecolor=INK, linewidth=0.7, zorder=2)
    for theme, place in places.iterrows():
        label = textwrap.fill(plain(table.at[theme, "name"], 40), 19, break_long_words=True)
        ax.annotate(
            label, place, xytext=(0, -21), textcoords="offset points", ha="center", va="top", fontsize=8, color=INK, zorder=3
        )
    ax.set_xlim(places["x"].min() - 0.6, places["x"].max() + 0.6)
    ax.set_ylim(places["y"].min() - 0.8, places["y"].max() + 0.5)
    ax.set_axis_off()
    if shares.notna().any():
        bar = ax.figure.colorbar(scale, ax=ax, fraction=0.025, pad=0.01, format=PercentFormatter(1, decimals=0))
        bar.set_label(f"cases that reach {plain(asks.escalation, 24)}", fontsize=9)
        bar.outline.set_visible(False)
    return ax


def draw_theme_costs(asks: TicketThemes, found: Costs) -> Axes:
    """Themes by size beside the calls a month that each costs, with intervals; the costliest on top. Returns the left panel."""
    rows = found.of("call").dropna(subset="burden").head(MOST)[::-1]
    sizes = asks.table.set_index("theme").reindex(rows["theme"])
    ax, right = _panels(1, 2, wide=10, high=1.2 + 0.33 * max(1, len(rows)), width_ratios=(1, 1.25))
    y = np.arange(len(rows))
    ax.barh(y, sizes["share"], color=PALE, height=0.7)
    _across(ax, sizes["share"], sizes["low"], sizes["high"], y)
    _across(right, rows["burden"], rows["burden_low"], rows["burden_high"], y)
    colours = [
        "white" if not row.q_value <= FALSE_DISCOVERY_RATE else HOT if row.burden > 0 else CALM for row in rows.itertuples()
    ]
    right.scatter(rows["burden"], y, c=colours, edgecolor=INK, s=46, zorder=3)
    right.axvline(0, color=QUIET, linewidth=1, linestyle="--", zorder=0)
    ax.set_yticks(y, [plain(name, 36) for name in rows["name"]])
    right.set_yticks([])
    for panel in (ax, right):
        panel.set_ylim(-0.6, max(0.6, len(rows) - 0.4))
        panel.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlim(0, None)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of tickets")
    right.set_xlabel("calls a month more than if its cases were like the others\nfilled: differs (false discovery rate 5 %)")
    return ax


def draw_theme_months(asks: TicketThemes) -> Axes:
    """Small multiples: the share of each month's tickets of the themes that changed most, with the first month of those that
    were not there before. Returns the first panel."""
    shown = asks.changes.head(_MULTIPLES)
    columns = min(4, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    panels = _panels(rows, columns, wide=2.4 * columns, high=0.5 + 1.5 * rows, sharex=True, sharey=True)
    for panel, row in zip(panels, shown.itertuples(), strict=False):
        months = asks.months[asks.months["theme"] == row.theme]
        panel.fill_between(months["month"], months["low"], months["high"], color=CALM, alpha=0.25, linewidth=0)
        panel.plot(months["month"], months["share"], color=CALM, marker="o", markersize=3)
        panel.set_title("\n".join(textwrap.wrap(plain(row.name, 40), 24)[:2]), fontsize=8.5, color=INK)
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if pd.notna(row.born):
            panel.axvline(row.born, color=HOT, linewidth=1)
            panel.annotate(
                "new", (row.born, 0.97), xycoords=("data", "axes fraction"), color=HOT, fontsize=8, va="top", ha="right"
            )
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    locator = AutoDateLocator(minticks=2, maxticks=4)
    panels[0].xaxis.set_major_locator(locator)
    panels[0].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    panels[0].set_ylim(0, None)
    panels[0].figure.supylabel("share of the month's tickets", fontsize=9, color=INK)
    return panels[0]


def _panels(rows: int, columns: int, *, wide: float, high: float, **how: Any) -> list[Axes]:
    figure = axes(None, wide=wide, high=high).figure
    figure.clear()
    return [axes(panel) for panel in figure.subplots(rows, columns, squeeze=False, **how).ravel()]


def draw_stability(asks: TicketThemes, ax: Axes | None = None) -> Axes:
    """How far partitions of different 80 % of the tickets agree, by number of themes; the number used is marked."""
    found = _grouped(asks)
    ax = axes(ax, high=2.6)
    curve, used = found.stability, len(found.table)
    ax.fill_between(curve["k"], curve["low"], curve["high"], color=CALM, alpha=0.25, linewidth=0)
    ax.plot(curve["k"], curve["stability"], color=CALM, marker="o", markersize=3.5)
    ax.axvline(used, color=HOT, linewidth=1)
    ax.annotate(f"{used} themes", (used, 0.02), xytext=(5, 0), textcoords="offset points", color=HOT)
    ax.set_xscale("log")
    ticks = [k for k in (2, 3, 4, 6, 8, 11, 14, 20, 27, 38, 54, 77) if k in set(curve["k"])]
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.set_xticks([], minor=True)
    ax.set_ylim(0, 1.03)
    ax.set_xlabel("number of themes")
    ax.set_ylabel("agreement (1 = same groups,\n0 = chance)")
    return ax


def _grouped(asks: TicketThemes) -> Codebook:
    if asks.themes is None:
        raise ValueError(f"these themes come from {asks.source}, not from text: there is no map and no stability to draw")
    return asks.themes
