"""The ways cases take, in pictures; everything drawn stands in the result's table."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from cxlib.figures.style import INK, PALE, axes, beside, nothing, percent, plain, stage_colours, whiskers_across
from cxlib.journey import END, Flow, Loops, Returns, StepMatrix, Transitions, Variants
from cxlib.schema import spelled

_EDGED = [withStroke(linewidth=2.5, foreground="white", alpha=0.8)]  # words stay readable on a stream


def draw_variants(paths: Variants, top: int = 12, ax: Axes | None = None) -> Axes:
    """The most frequent paths as coloured strips, one block a touch, with share, interval and n."""
    table = paths.table.head(top)
    longest = min(int(table["touches"].max()), 14) if len(table) else 1
    ax = axes(ax, wide=9, high=1.2 + 0.36 * max(1, len(table)))
    colours = dict(zip(paths.stages, stage_colours(len(paths.stages)), strict=True))
    for y, row in enumerate(table.itertuples()):
        stages = row.path.split(" > ")
        for x, stage in enumerate(stages[:longest]):
            ax.add_patch(Rectangle((x, y - 0.38), 0.94, 0.76, color=colours[stage], linewidth=0))
        more = f"+{len(stages) - longest}  " if len(stages) > longest else ""
        share = f"{percent(row.share)}  ({percent(row.low)} to {percent(row.high)})"
        beside(ax, f"{more}{share}  {row.count:,} cases", min(len(stages), longest), y)
    right = max(longest, 3) / 0.6  # the rest of the width is for the words beside the strips
    for x, (stage, colour) in enumerate(colours.items()):
        place = x * right / max(len(colours), 4)
        ax.add_patch(Rectangle((place, -1.35), 0.03 * right, 0.42, color=colour, linewidth=0))
        ax.text(place + 0.04 * right, -1.14, plain(stage, 20), va="center", color=INK, fontsize=9)
    ax.set_xlim(-0.01 * right, right)
    ax.set_ylim(len(table) - 0.3, -1.6)
    ax.set_xticks([])
    ax.set_yticks(range(len(table)), [str(i + 1) for i in range(len(table))])
    ax.spines["bottom"].set_visible(False)
    ax.spines["left"].set_visible(False)
    ax.tick_params(length=0)
    return ax


def draw_step_matrix(matrix: StepMatrix, ax: Axes | None = None) -> Axes:
    """What stands at each step: the share of the cases that are at each stage with their first, second, third ... touch."""
    names = [*matrix.stages, END]
    ax = axes(ax, wide=8.5, high=0.9 + 0.46 * len(names))
    table = matrix.table.set_index(["stage", "step"])
    shares = table["share"].unstack("step").reindex(names)
    sizes = matrix.table.groupby("step")["n"].first()
    values = shares.to_numpy(dtype=float)
    ax.imshow(np.nan_to_num(values), cmap="Greys", vmin=0, vmax=1.15, aspect="auto")
    for i, j in np.argwhere(~np.isnan(values)):
        if values[i, j] > 0:
            said = percent(values[i, j], 0)
            ax.text(j, i, said, ha="center", va="center", fontsize=9, color="white" if values[i, j] > 0.55 else INK)
    ax.set_xticks(range(len(sizes)), [f"{step}\nn = {n:,}" for step, n in sizes.items()], fontsize=9)
    ax.set_yticks(range(len(names)), [plain(name, 18) for name in names])
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("touch of the case")
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(length=0)
    return ax


def draw_flow(streams: Flow, ax: Axes | None = None) -> Axes:
    """Streams of cases from touch to touch: a block is as high as the share of the cases there, a stream as those that move."""
    ax = axes(ax, wide=8.5, high=4.6)
    table, names = streams.table, [*streams.stages, END]
    colours = dict(zip(names, [*stage_colours(len(streams.stages)), PALE], strict=True))
    steps = sorted(table["step"].unique())
    if not steps:
        return nothing(ax, "no case has a touch")
    gap = 0.025
    after = {step: table[table["step"] == step] for step in steps}
    heights = {1: after[steps[0]].groupby("source")["share"].sum()} | {
        step + 1: after[step].groupby("target")["share"].sum() for step in steps
    }
    tops: dict[tuple[int, str], float] = {}
    for step, sizes in heights.items():
        y = 0.0
        for name in names:
            size = float(sizes.get(name, 0.0))
            if size <= 0:
                continue
            tops[step, name] = y
            ax.add_patch(Rectangle((step - 0.06, y), 0.12, size, color=colours[name], linewidth=0, zorder=3))
            if size >= 0.02:
                said = f"{plain(name, 14)} {percent(size, 0)}"
                ax.text(step + 0.08, y + size / 2, said, va="center", fontsize=9, color=INK, zorder=4, path_effects=_EDGED)
            y += size + gap
    leaving, arriving = dict(tops), dict(tops)
    for step in steps:
        order = {name: i for i, name in enumerate(names)}
        rows = sorted(after[step].itertuples(), key=lambda row: (order[row.source], order[row.target]))
        for row in rows:
            a, b = leaving[step, row.source], arriving[step + 1, row.target]
            leaving[step, row.source] += row.share
            arriving[step + 1, row.target] += row.share
            if row.share >= 0.002:
                ax.add_patch(_stream(step + 0.06, step + 0.94, a, b, row.share, colours[row.source]))
    lowest = max(tops[key] + float(heights[key[0]].get(key[1], 0)) for key in tops)
    ax.set_xlim(0.85, max(heights) + 0.75)
    ax.set_ylim(lowest + 0.02, -0.02)
    ax.set_xticks(list(heights), [f"touch {step}\nn = {int(after[min(step, steps[-1])]['n'].iloc[0]):,}" for step in heights])
    ax.set_yticks([])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def _stream(left: float, right: float, a: float, b: float, size: float, colour) -> PathPatch:
    middle = (left + right) / 2
    points = [
        (left, a), (middle, a), (middle, b), (right, b),
        (right, b + size), (middle, b + size), (middle, a + size), (left, a + size), (left, a),
    ]  # fmt: skip
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    return PathPatch(Path(points, codes), facecolor=colour, alpha=0.45, linewidth=0, zorder=1)


def draw_graph(moves: Transitions, ax: Axes | None = None, least: float = 0.02) -> Axes:
    """The stages from left to right and the moves between them: to the right above the line, back below it.

    Width is the number of moves; the label is the share of all moves out of the stage. Moves below `least` of their stage are
    left out.
    """
    table, stages = moves.table, list(moves.stages)
    place = {stage: i for i, stage in enumerate(stages)}
    inner = table[(table["target"] != END) & (table["source"] != table["target"]) & (table["share"] >= least)]
    bows = [(place[row.source], place[row.target], row) for row in inner.itertuples()]
    above, below = (0.3 + max((_height(a, b) for a, b, _ in bows if (b > a) == right), default=0.2) for right in (True, False))
    ax = axes(ax, wide=8.5, high=1.75 * (above + below + 0.4))
    widest = max(1, int(inner["count"].max())) if len(inner) else 1
    colours = stage_colours(len(stages))
    for a, b, row in bows:
        side = 1 if b > a else -1
        ax.add_patch(_bow(a, b, side * 0.16, side * _height(a, b), 0.6 + 7 * row.count / widest, colours[a]))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
        at = (a + b) / 2, side * _height(a, b)
        ax.text(*at, percent(row.share, 0), ha="center", va="center", fontsize=9, color=INK, zorder=4, bbox=box)
    again = table[table["source"] == table["target"]].set_index("source")["share"]
    over = table[table["target"] == END].set_index("source")["share"]
    sizes = table.groupby("source")["n"].first()
    for stage, x in place.items():
        ax.scatter([x], [0], s=800, color=colours[x], edgecolor=INK, zorder=3)
        n = int(sizes.get(stage, 0))
        ends, stays = (percent(shares.get(stage, 0), 0) for shares in (over, again))
        said = f"\nmoves: {n:,}\nends {ends}, again {stays}" if n else ""
        said = textwrap.fill(plain(stage, 30), 18) + said
        ax.text(x, -below, said, ha="center", va="top", fontsize=9, color=INK)
    ax.set_xlim(-0.5, len(stages) - 0.5)
    ax.set_ylim(-below - 0.5, above)
    ax.set_axis_off()
    return ax


def _height(a: int, b: int) -> float:
    """How high the arrow between two places rises."""
    return 0.41 + 0.235 * (abs(b - a) - 1)


def _bow(a: float, b: float, start: float, height: float, width: float, colour) -> FancyArrowPatch:
    """An arrow from a to b whose middle lies at `height`."""
    over = Path([(a, start), ((a + b) / 2, 2 * height - start), (b, start)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    return FancyArrowPatch(path=over, arrowstyle="-|>", mutation_scale=11, linewidth=width, color=colour, alpha=0.8, zorder=1)


def draw_loops(again: Loops, ax: Axes | None = None) -> Axes:
    """How many cases needed a stage more than once."""
    return _bars(again.table, "again", "of the cases that used the stage, needed it more than once", ax)


def draw_returns(back: Returns, ax: Axes | None = None) -> Axes:
    """How many customers were back with another problem, by the stage where the first ended."""
    return _bars(
        back.table, "returned", f"of the cases that ended there, the customer was back within {spelled(back.within)}", ax
    )


def _bars(table, count: str, said: str, ax: Axes | None) -> Axes:
    ax = axes(ax, high=0.9 + 0.4 * len(table))
    turned = table[::-1].fillna(0)
    y = np.arange(len(turned))
    ax.barh(y, turned["share"], color=stage_colours(len(turned))[::-1], height=0.66)
    whiskers_across(ax, turned, y)
    for i, (share, high, hits, n) in enumerate(zip(turned["share"], turned["high"], turned[count], turned["n"], strict=True)):
        beside(ax, f"{percent(share)}  {int(hits):,} of {int(n):,}" if n else "no case", max(high, share) if n else 0, i)
    known = turned["high"][turned["n"] > 0]
    ax.set_yticks(y, [plain(stage, 22) for stage in turned.index])
    ax.set_xlim(0, max(0.05, float(known.max() if len(known) else 0) * 1.35))
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= min(1, ax.get_xlim()[1])])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel(said)
    return ax
