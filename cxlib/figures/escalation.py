"""The forecast in pictures; everything drawn stands in the result's tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from cxlib.escalation import Escalation, Review
from cxlib.figures.style import CALM, HOT, INK, PALE, QUIET, axes, plain


def draw_gain(result: Escalation, review: Review, ax: Axes | None = None) -> Axes:
    """The share of later escalations caught by reviewing the highest chances first, with the capacity marked."""
    ax = axes(ax, wide=7, high=4.2)
    table = result.gain
    ax.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1)
    ax.annotate("at random", (0.72, 0.72), xytext=(4, -14), textcoords="offset points", color=QUIET)
    ax.fill_between(table["reviewed"], table["low"], table["high"], color=HOT, alpha=0.18, linewidth=0)
    ax.plot(table["reviewed"], table["caught"], color=HOT, linewidth=2)
    ax.plot([review.reviewed] * 2, [0, review.caught], color=INK, linewidth=1)
    ax.plot([review.reviewed], [review.caught], "o", color=INK, markersize=5)
    ax.annotate(
        f"{review.reviewed:.1%}, as {review.capacity:,} cases are,\ncatch {review.caught:.1%}",
        (review.reviewed, review.caught),
        xytext=(10, -28) if review.caught > 0.2 else (10, 4),
        textcoords="offset points",
        color=INK,
    )
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="held-out moments reviewed, highest chances first")
    ax.set_ylabel(f"caught, of those that reached {plain(result.escalation, 24)}\n(n = {result.overall['n']:,} held-out cases)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return ax


def draw_reliability(result: Escalation, ax: Axes | None = None) -> Axes:
    """Observed shares over forecast chances, bin by bin, with intervals and counts; on the line a chance means what it says."""
    ax = axes(ax, wide=6, high=4.6)
    table = result.calibration
    top = min(1.0, 1.08 * float(table[["mean_chance", "high"]].max().max()))
    ax.plot([0, top], [0, top], color=QUIET, linestyle=":", linewidth=1)
    ax.errorbar(table["mean_chance"], table["share"], yerr=_spread(table, "share"), fmt="o", color=HOT, ecolor=INK, capsize=3)
    ax.set(xlim=(0, top), ylim=(0, top), xlabel="mean chance forecast", ylabel="share that escalated")
    ax.annotate(
        f"each point: {table['n'].min():,} to {table['n'].max():,} cases",
        (0.98, 0.03),
        xycoords="axes fraction",
        ha="right",
        color=QUIET,
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return ax


def draw_auc_by_stage(result: Escalation, ax: Axes | None = None) -> Axes:
    """How well the forecast ranks among the moments at each stage; .5 is guessing."""
    table = result.by_stage.dropna(subset=["value"]).iloc[::-1]
    ax = axes(ax, high=0.9 + 0.55 * max(1, len(table)))
    y = np.arange(len(table))
    ax.axvline(0.5, color=QUIET, linestyle=":", linewidth=1)
    ax.errorbar(table["value"], y, xerr=_spread(table, "value"), fmt="o", color=HOT, ecolor=INK, capsize=3)
    for i, row in enumerate(table.itertuples()):
        ax.annotate(f"{row.value:.2f}", (row.value, i), xytext=(0, 6), textcoords="offset points", ha="center", color=INK)
    ax.set_yticks(y, [f"{plain(row.stage, 24)} (n = {row.n:,})" for row in table.itertuples()])
    ax.set(
        xlim=(0.4, 1),
        ylim=(-0.6, len(table) - 0.2),
        xlabel="AUC: chance that of two moments the one whose case escalates is ranked higher",
    )
    return ax


def draw_by_month(result: Escalation, ax: Axes | None = None) -> Axes:
    """Forecast beside observed, by month of the moment: where they part, the world has changed."""
    ax = axes(ax, high=3.2)
    table = result.by_month
    x = np.arange(len(table))
    ax.axhline(result.base_rate, color=QUIET, linestyle=":", linewidth=1)
    ax.annotate("in training", (1, result.base_rate), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=QUIET)
    ax.errorbar(x, table["share"], yerr=_spread(table, "share"), fmt="o", color=HOT, ecolor=INK, capsize=3, label="escalated")
    ax.plot(x, table["mean_chance"], "D", color=CALM, markersize=5, label="forecast")
    ax.set_xticks(x, [f"{row.month}\nn = {row.n:,}" for row in table.itertuples()])
    ax.set(xlim=(-0.6, max(0.6, len(table) - 0.4)), ylim=(0, None), ylabel="share of the moments, by weight")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, loc="best", labelcolor=INK)
    ax.grid(axis="y", color=PALE, linewidth=0.6)
    return ax


def _spread(table: pd.DataFrame, value: str) -> np.ndarray:
    """Lengths of the whiskers below and above."""
    return np.vstack([table[value] - table["low"], table["high"] - table[value]]).clip(0)
