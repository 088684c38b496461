"""The levers of the journey in pictures; everything drawn stands in the result's tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from cxlib.figures.style import CALM, HOT, INK, PALE, QUIET, axes, beside, nothing, plain
from cxlib.journey import Absorbing


def draw_sensitivity(found: Absorbing, ax: Axes | None = None) -> Axes:
    """The levers, strongest first: what one point more of success at a stage changes, with its interval.

    Where the first-order check warns, a diamond shows the same lever in the chain that remembers one step.
    """
    table = found.sensitivities
    ax = axes(ax, wide=9, high=1.1 + 0.5 * max(1, len(table)))
    known = table[table["points"].notna()]
    if known.empty:
        return nothing(ax, f"no move left of {plain(found.escalation, 20)} to act on")
    y = np.arange(len(known))
    ax.barh(y, known["points"], color=[HOT if rank == 1 else QUIET for rank in known["rank"]], height=0.62)
    _whiskers(ax, known, "points", y)
    if found.first_order.warns:
        ax.scatter(known["second_order"], y, marker="D", s=34, facecolor="white", edgecolor=INK, zorder=3)
    for i, row in enumerate(known.itertuples()):
        beside(
            ax,
            f"{row.points:+.{2 if row.points <= -0.095 else 3}f} points, {row.calls:+.1f} per 1,000 cases, n = {row.n:,}",
            0,
            i,
        )
    ax.set_yticks(y, [plain(lever, 34) for lever in known["lever"]])
    ax.set_ylim(len(known) - 0.4, -0.6)
    reach = float(np.nanmin(known[["points", "points_low", "second_order"]].to_numpy()))
    ax.set_xlim(1.06 * min(reach, -0.01), -0.75 * min(reach, -0.01))
    ax.set_xticks([tick for tick in ax.get_xticks() if 1.06 * min(reach, -0.01) <= tick <= 0])
    ax.set_xlabel(
        f"change of the share forced on to {plain(found.escalation, 20)}, in percentage points, if one point more of the\n"
        f"touches at the stage ended the case ({found.n_cases:,} cases that sought help; 95 % by customer)"
        + ("\ndiamond: in the chain that remembers one step" if found.first_order.warns else ""),
        loc="left",
    )
    return ax


def draw_removal(found: Absorbing, ax: Axes | None = None) -> Axes:
    """What remains of the forced calls without a stage: bars if its cases end there, diamonds if they go elsewhere."""
    table = found.removal[found.removal["remain"].notna()][::-1]
    ax = axes(ax, high=1.2 + 0.45 * max(1, len(table)))
    if table.empty:
        return nothing(ax, f"nobody was forced on to {plain(found.escalation, 20)}")
    y = np.arange(len(table))
    ax.axvline(1, color=PALE, zorder=0)
    ax.barh(y, table["remain"], color=CALM, height=0.6)
    _whiskers(ax, table, "remain", y)
    _whiskers(ax, table, "closed", y)
    ax.scatter(table["closed"], y, marker="D", s=40, facecolor="white", edgecolor=INK, zorder=3, clip_on=False)
    right = 1.05 * max(1.0, float(np.nanmax(table[["remain_high", "closed", "closed_high"]].to_numpy())))
    for i, row in enumerate(table.itertuples()):
        closed = "" if np.isnan(row.closed) else f", elsewhere {row.closed:.0%}"
        beside(ax, f"{row.remain:.0%}{closed}, n = {row.n:,}", right, i)
    ax.set_yticks(y, [plain(stage, 22) for stage in table.index])
    ax.set_xlim(0, 1.5 * right)
    ax.set_xticks([tick for tick in (np.linspace(0, 1.5, 7) if right < 2 else ax.get_xticks()) if 0 <= tick <= right])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel(
        f"forced on to {plain(found.escalation, 20)}: what remains without the stage (bar: cases that would go there end;\n"
        "diamond: they take one of the other ways)",
        loc="left",
    )
    return ax


def _whiskers(ax: Axes, table: pd.DataFrame, name: str, y: np.ndarray) -> None:
    spread = np.nan_to_num(np.vstack([table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]]).clip(0))
    for colour, width in (("white", 3), (INK, 1)):
        ax.errorbar(table[name], y, xerr=spread, fmt="none", ecolor=colour, capsize=3, linewidth=width)
