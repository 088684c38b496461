"""Acting on the forecast in pictures: net benefit by threshold, and mean chance beside what was observed, by segment."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from cxlib.escalation import Decision, Escalation
from cxlib.escalation.decisions import ALL, NONE, OURS
from cxlib.figures.style import CALM, HOT, INK, PALE, QUIET, axes, plain

MOST = 32  # segments that are drawn, the largest
_LOOKS = {ALL: (INK, "--"), NONE: (QUIET, "-"), "last stage": (CALM, "-."), "age": (CALM, ":")}


def draw_net_benefit(decision: Decision, ax: Axes | None = None) -> Axes:
    """What each policy is worth by the chance from which on a review pays, with that of the costs marked."""
    ax = axes(ax, wide=7, high=4.2)
    parts = {name: part for name, part in decision.curve.groupby("policy", sort=False)}
    ours = parts.pop(OURS)
    ax.fill_between(ours["threshold"], ours["low"], ours["high"], color=HOT, alpha=0.18, linewidth=0)
    ax.plot(ours["threshold"], ours["net_benefit"], color=HOT, linewidth=2, label=OURS)
    for name, part in parts.items():
        colour, line = _LOOKS.get(name, (QUIET, ":"))
        ax.plot(part["threshold"], part["net_benefit"], color=colour, linestyle=line, linewidth=1.2, label=name)
    top, right = float(ours["high"].max()), _right(decision)
    if decision.threshold < right:
        ax.axvline(decision.threshold, color=INK, linewidth=1)
        ax.annotate(
            f"at the costs: {decision.threshold:.1%}",
            (decision.threshold, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(5, -10),
            textcoords="offset points",
            color=INK,
        )
    ax.set(xlim=(0, right), ylim=(-0.25 * top, 1.08 * top), xlabel="chance from which on a review pays")
    ax.set_ylabel(f"net benefit, escalations met per case\n(n = {ours['n'].iloc[0]:,} held-out cases)")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, loc="right", labelcolor=INK)
    return ax


def _right(decision: Decision) -> float:
    """Up to where something is reviewed, and a little beyond the costs' own threshold."""
    ours = decision.curve[(decision.curve["policy"] == OURS) & (decision.curve["reviewed"] > 0)]
    end = 1.02 * float(ours["threshold"].max()) if len(ours) else 0.1
    return min(1.0, max(end, 1.3 * decision.threshold)) if decision.threshold < 1 else min(1.0, end)


def draw_for_whom(result: Escalation, ax: Axes | None = None) -> Axes:
    """Mean chance beside the observed share by segment; where the diamond lies outside the interval, look at the verdict."""
    table = result.by_segment
    table = table.loc[table["n"].nlargest(MOST).index.sort_values()].iloc[::-1]
    ax = axes(ax, high=1.0 + 0.27 * max(1, len(table)))
    y = np.arange(len(table))
    spread = np.vstack([table["share"] - table["low"], table["high"] - table["share"]]).clip(0)
    ax.axvline(result.overall["share"], color=QUIET, linestyle=":", linewidth=1)
    ax.errorbar(table["share"], y, xerr=spread, fmt="o", color=HOT, ecolor=INK, capsize=2, markersize=5, label="escalated")
    ax.plot(table["mean_chance"], y, "D", color=CALM, markersize=5, label="forecast")
    ax.set_yticks(y, [f"{plain(row.column, 16)}: {plain(row.segment, 24)} (n = {row.n:,})" for row in table.itertuples()])
    ax.set(xlim=(0, None), ylim=(-0.7, len(table) - 0.3), xlabel="share of the held-out moments, by weight")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, labelcolor=INK)
    ax.grid(axis="x", color=PALE, linewidth=0.6)
    return ax
