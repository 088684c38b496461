"""One style for all figures: calm on the left, hot on the right, readable in grey and for the colour-blind."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap

# From calm to hot, each darker than the one before, so that the order also shows in grey.
_CALM_TO_HOT = ["#a5dbc2", "#79bdb5", "#dd9748", "#c2462f", "#7a1030"]
CALM, HOT = "#3f8f8b", "#c2462f"
INK, QUIET, PALE = "#22303c", "#6b7780", "#dfe4e6"


def heat() -> Colormap:
    """The palette as a continuous scale: 0 calm, 1 hot."""
    return LinearSegmentedColormap.from_list("calm to hot", _CALM_TO_HOT)


def stage_colours(n: int) -> list[tuple[float, ...]]:
    """One colour for each of `n` stages, from calm (left) to hot (right)."""
    scale = heat()
    return [scale(i / max(1, n - 1)) for i in range(n)]


def axes(ax: Axes | None = None, *, wide: float = 8.0, high: float = 4.0) -> Axes:
    """The axes to draw on, in the project's style; new ones unless given."""
    if ax is None:
        with sns.axes_style("white"):  # not rc_context: it would undo what a notebook's backend sets on first use
            _, ax = plt.subplots(figsize=(wide, high), dpi=110, layout="constrained")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(QUIET)
    ax.tick_params(colors=INK, length=3)
    ax.set_axisbelow(True)
    return ax


def beside(ax: Axes, text: str, x: float, y: float) -> None:
    """A direct label to the right of a bar's end."""
    ax.annotate(text, (x, y), xytext=(6, 0), textcoords="offset points", va="center", color=INK, fontsize=9)


def nothing(ax: Axes, said: str) -> Axes:
    """A line of text where there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, textwrap.fill(said, 80), ha="center", va="center", color=QUIET, transform=ax.transAxes)
    return ax


def whiskers_across(ax: Axes, table: pd.DataFrame, y: np.ndarray) -> None:
    """The intervals of horizontal bars, from a table's share, low and high."""
    spread = np.nan_to_num(np.vstack([table["share"] - table["low"], table["high"] - table["share"]]).clip(0))
    for colour, width in (("white", 3), (INK, 1)):  # edged in white, so that they show on a dark bar
        ax.errorbar(table["share"], y, xerr=spread, fmt="none", ecolor=colour, capsize=3, linewidth=width)


def percent(share: float, digits: int = 1) -> str:
    """A share in per cent; what is not quite nothing or not quite all never reads 0 % or 100 %.

    >>> percent(0.0843), percent(0.00006), percent(0.9997), percent(1.0), percent(0.998, 0)
    ('8.4%', '<0.1%', '>99.9%', '100.0%', '>99%')
    """
    said = f"{share:.{digits}%}"
    least = 10.0**-digits
    if share > 0 and float(said[:-1]) == 0:
        return f"<{least:.{digits}f}%"
    return f">{100 - least:.{digits}f}%" if share < 1 and float(said[:-1]) == 100 else said


def plain(label: object, longest: int = 32) -> str:
    """A name from the data as it can stand in a figure: short, one line, no mathematics.

    >>> plain("a $x$ b"), plain("word " * 10, longest=12)
    ('a \\\\$x\\\\$ b', 'word word w…')
    """
    text = " ".join(str(label).split())
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")
