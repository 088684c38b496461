"""The journey in pictures; everything drawn stands in the result's table."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import PercentFormatter

from cxlib.figures.style import (
    CALM,
    HOT,
    INK,
    PALE,
    QUIET,
    axes,
    beside,
    heat,
    nothing,
    percent,
    plain,
    stage_colours,
    whiskers_across,
)
from cxlib.journey import Ends, Forced, Funnel, Mood, TimeTo


def draw_funnel(reach: Funnel, mood: Mood | None = None, ax: Axes | None = None) -> Axes:
    """The journey, falling from left to right: height is the share that went at least this far, colour its mood where known."""
    ax = axes(ax, wide=9, high=4.2)
    table = reach.table
    share, x = table["share"].to_numpy(dtype=float), np.arange(len(table))
    colours: list = stage_colours(len(table))
    if mood is not None and mood.table["n"].gt(0).any():
        felt = mood.table["mood"].reindex(table.index).to_numpy(dtype=float)
        colours = [PALE if np.isnan(m) else heat()((1 - m) / 2) for m in felt]
    for i in x[:-1]:
        ax.fill_between([i + 0.36, i + 0.64], [share[i], share[i + 1]], color=PALE, zorder=0, linewidth=0)
    ax.bar(x, share, width=0.72, color=colours, zorder=1)
    spread = np.vstack([share - table["low"], table["high"] - share]).clip(0)
    certain = np.isnan(spread).any(axis=0) | (share == 1)
    ax.errorbar(
        x[~certain], share[~certain], yerr=spread[:, ~certain], fmt="none", ecolor=INK, capsize=3, linewidth=1, zorder=2
    )
    for i, row in enumerate(table.itertuples()):
        ax.annotate(
            f"{percent(row.share)}\n{row.reached:,}",
            (i, max(row.share, row.high)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            color=INK,
        )
        gone = row.share - (share[i + 1] if i + 1 < len(share) else 0)
        ax.annotate(
            f"no further: {percent(gone)}",
            (i, 0),
            xytext=(0, -30),
            textcoords="offset points",
            ha="center",
            color=QUIET,
            fontsize=9,
            annotation_clip=False,
        )
    ax.set_xticks(x, [plain(stage, 24) for stage in table.index])
    ax.set_ylim(0, 1.18)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_yticks(np.linspace(0, 1, 5))
    unit = "cases" if reach.by == "case" else "customers"
    ax.set_ylabel(f"went at least this far, of {reach.n_cases:,} {unit}")
    if mood is not None and mood.table["n"].gt(0).any():
        bar = ax.figure.colorbar(_mood_scale(), ax=ax, fraction=0.025, pad=0.01, ticks=[-1, 0, 1])
        bar.ax.set_yticklabels(["angry", "neutral", "happy"], fontsize=8)
        bar.outline.set_visible(False)
    return ax


def _mood_scale():
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(Normalize(-1, 1), heat().reversed())


def draw_forced(forced: Forced, ax: Axes | None = None) -> Axes:
    """Forced to call beside called first: shares of the cases that sought help, with their intervals."""
    ax = axes(ax, high=1.9)
    table = forced.table.iloc[:2][::-1]
    y = np.arange(len(table))
    ax.barh(y, table["share"], color=[QUIET, HOT], height=0.62)
    whiskers_across(ax, table, y)
    for i, row in enumerate(table.itertuples()):
        beside(ax, f"{percent(row.share)}  {row.cases:,} cases", np.nanmax([row.high, row.share, 0]), i)
    ax.set_yticks(y, _outcomes(forced)[::-1])
    ax.set_xlim(0, max(0.01, np.nanmax([*table["high"], *table["share"], 0]) * 1.35))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel(f"share of the {forced.n_cases:,} cases that sought help")
    return ax


def _outcomes(forced: Forced) -> list[str]:
    """What the two bars are called where the last stage is not a call."""
    if any(word in forced.escalation.lower() for word in ("call", "phone")):
        return list(forced.table.index[:2])
    return [f"forced on to {plain(forced.escalation, 24)}", "went there first"]


def draw_ends(over: Ends, ax: Axes | None = None) -> Axes:
    """At which stage finished cases had their last touch."""
    ax = axes(ax, high=0.8 + 0.4 * len(over.table))
    table = over.table[::-1]
    y = np.arange(len(table))
    ax.barh(y, table["share"].fillna(0), color=stage_colours(len(table))[::-1], height=0.66)
    whiskers_across(ax, table.fillna(0), y)
    for i, row in enumerate(table.fillna(0).itertuples()):
        beside(ax, f"{percent(row.share)}  {row.ended:,}", max(row.high, row.share), i)
    ax.set_yticks(y, [plain(stage, 22) for stage in table.index])
    ax.set_xlim(0, max(0.05, min(1.2, float(np.nan_to_num(table["high"]).max()) * 1.2)))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel(f"last touch, share of the {int(table['n'].max()):,} cases that are over")
    return ax


def draw_mood(felt: Mood, ax: Axes | None = None) -> Axes:
    """Mean mood by stage with its interval."""
    ax = axes(ax, high=3.2)
    known = felt.table[felt.table["n"] > 0]
    x = np.arange(len(felt.table))
    at = [list(felt.table.index).index(stage) for stage in known.index]
    spread = np.nan_to_num(np.vstack([known["mood"] - known["low"], known["high"] - known["mood"]]))
    ax.axhline(0, color=PALE, zorder=0)
    ax.plot(at, known["mood"], color=QUIET, zorder=1, linewidth=1)
    ax.errorbar(at, known["mood"], yerr=spread, fmt="none", ecolor=INK, capsize=4, zorder=2)
    ax.scatter(at, known["mood"], c=[heat()((1 - m) / 2) for m in known["mood"]], s=70, edgecolor=INK, zorder=3)
    for i, row in zip(at, known.itertuples(), strict=True):
        ax.annotate(
            f"{row.mood:.2f}  n = {row.n:,}", (i, row.mood), xytext=(9, 6), textcoords="offset points", color=INK, fontsize=9
        )
    ax.set_xticks(x, [plain(stage, 24) for stage in felt.table.index])
    ax.set_xlim(-0.4, len(x) - 0.05)
    ax.set_ylim(-1, 1)
    ax.set_yticks([-1, -0.5, 0, 0.5, 1], ["angry -1", "-0.5", "0", "0.5", "happy 1"])
    ax.set_ylabel("mean mood of touches")
    return ax


def draw_incidence(reach: TimeTo, ax: Axes | None = None) -> Axes:
    """The share that has reached the stage, by time since help was first sought, with its band."""
    ax = axes(ax, high=3.4)
    table = reach.table
    if table.empty:
        return nothing(ax, "no case sought help early enough")
    days = table["hours"] / 24
    ax.fill_between(days, table["low"], table["high"], color=CALM, alpha=0.25, linewidth=0)
    ax.plot(days, table["share"], color=CALM, marker="o", markersize=3.5)
    last = table.iloc[-1]
    ax.annotate(
        f"{last['share']:.1%}",
        (days.iloc[-1], last["share"]),
        xytext=(-4, 8),
        textcoords="offset points",
        ha="right",
        color=INK,
    )
    ax.set_xscale("symlog", linthresh=1, linscale=1)
    ticks = [d for d in (0, 0.25, 0.5, 1, 2, 4, 7, 14, 30, 90, 180) if d <= max(days)]
    ax.set_xticks(ticks, [f"{d:g}" for d in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(0, max(float(days.iloc[-1]), 0.05) * 1.02)
    ax.set_ylim(0, max(0.01, float(table["high"].max()) * 1.15))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("days since help was first sought (compressed beyond one day)")
    ax.set_ylabel(f"reached {plain(reach.stage, 20)}, of {reach.n_cases:,} cases")
    return ax
