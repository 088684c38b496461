"""Local and global, parts of a change, segments, kinds of customer in pictures; all drawn stands in the result's table."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from cxlib.figures.style import CALM, HOT, INK, QUIET, axes, beside, nothing, plain, stage_colours
from cxlib.journey import Change, Kinds, MatrixDiff, Scorecard, Segments

MOST_PERIODS, MOST_SEGMENTS = 4, 20
ENOUGH = 30  # cases that a column or a row of the scorecard needs
ARROWS = {(True, "better"): "△", (False, "better"): "▽", (True, "worse"): "▲", (False, "worse"): "▼"}
SHADES = {"better": CALM, "worse": HOT, "unclear": INK, "": INK}


def amount(value: float, unit: str) -> str:
    """A value in its unit, short; a share below 1 % with two significant digits.

    >>> amount(0.0843, "share"), amount(0.00347, "share"), amount(271.2, "seconds"), amount(93.6, "per 1,000")
    ('8.4%', '0.35%', '271 s', '93.6')
    """
    if np.isnan(value):
        return "?"
    if unit == "share":
        return f"{100 * value:.2g}%" if 0 < value < 0.00995 else f"{value:.1%}"
    return {"seconds": f"{value:,.0f} s", "per 1,000": f"{value:,.1f}"}.get(unit, f"{value:.2f}")


def draw_scorecard(card: Scorecard, ax: Axes | None = None, last: str | None = None) -> Axes:
    """Each stage's own measures above, the whole journey below, one column per period (four up to `last`, else the newest).

    Arrows are clear changes. A hollow arrow is a change for the better, a filled one for the worse; a frame marks a local
    measure that improved while a global one got worse in the same period. Periods and measures with fewer than 30 cases
    throughout are left to the table.
    """
    shown, rows = _worth_showing(card.table, last)
    ax = axes(ax, wide=2.9 + 1.45 * max(1, len(shown)), high=0.9 + 0.44 * max(1, len(rows)))
    n_local = sum(scope == "local" for scope, *_ in rows)
    flagged = {tuple(row) for row in card.flags[["period", "stage", "metric"]].itertuples(index=False)}
    flagged |= {(row.period, "", row.global_metric) for row in card.flags.itertuples()}
    for row in card.table[card.table["period"].isin(shown)].itertuples():
        if (key := (row.scope, row.stage, row.metric)) in rows:
            framed = (row.period, row.stage, row.metric) in flagged
            _cell(ax, shown.index(row.period), rows.index(key), row, framed=framed)
    if 0 < n_local < len(rows):
        ax.axhline(n_local - 0.5, color=INK, linewidth=1)
    ax.set_yticks(range(len(rows)), [_measure(stage, metric) for _, stage, metric in rows], fontsize=9)
    ax.set_xticks(range(len(shown)), [plain(period) for period in shown])
    ax.xaxis.tick_top()
    ax.set_xlim(-0.5, max(1, len(shown)) - 0.5)
    ax.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    arrows = "hollow arrow: clearly better than the period before; filled: clearly worse"
    frames = "\nframe: a stage looks better while the whole gets worse" if len(card.flags) else ""
    ax.set_xlabel(f"{arrows}{frames}", fontsize=9)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)
    return ax


def _worth_showing(table: pd.DataFrame, last: str | None) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The periods and the measures (scope, stage, metric) that are drawn, in the order of the table."""
    large = table[table["n"] >= ENOUGH]
    large = large if len(large) else table
    shown = [period for period in dict.fromkeys(large["period"]) if not last or period <= last][-MOST_PERIODS:]
    here = large[large["period"].isin(shown)]
    kept = set(zip(here["scope"], here["stage"], here["metric"], strict=True))
    rows = dict.fromkeys(zip(table["scope"], table["stage"], table["metric"], strict=True))
    return shown, [row for row in rows if row in kept]


def _measure(stage: str, metric: str) -> str:
    """A measure's name as a label, on two lines where it is long."""
    return textwrap.fill(plain(f"{stage}: {metric}" if stage else metric, 56), 32)


def _cell(ax: Axes, x: int, y: int, row, *, framed: bool) -> None:
    """A value, its interval and n, and the arrow of its change."""
    arrow = ARROWS.get((row.change > 0, row.verdict), "")
    said = f"{amount(row.value, row.unit)} {arrow}".strip()
    ax.text(x, y - 0.15, said, ha="center", va="center", color=SHADES[row.verdict], fontsize=10)
    low, high = (amount(bound, row.unit).rstrip("% s") for bound in (row.low, row.high))
    small = f"{low} to {high}, n = {row.n:,}" if row.n else "n = 0"
    ax.text(x, y + 0.24, small, ha="center", va="center", color=QUIET, fontsize=7.5)
    if framed:
        ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fill=False, edgecolor=HOT, linewidth=1.8))


def draw_waterfall(changed: Change, ax: Axes | None = None) -> Axes:
    """From the value before to the value after: what each segment adds by its mix (hatched) and by its own rate (solid).

    With more than 14 segments only the sums of mix and rate are drawn.
    """
    if changed.missing:
        return nothing(axes(ax, high=1), changed.missing)
    unit, table = changed.unit, changed.table
    by_segment = table.sort_values("total", ascending=False, key=abs) if len(table) <= 14 else table.iloc[:0]
    steps: list[tuple[str, float, float]] = [
        (f"{plain(row.segment, 24)}  (n = {row.n0:,} and {row.n1:,})", row.mix, row.rate) for row in by_segment.itertuples()
    ]
    if not steps:
        sums = changed.parts.set_index("part")["value"]
        steps = [("mix of segments", sums["mix"], 0.0), ("rates of segments", 0.0, sums["rate"])]
    ax = axes(ax, wide=8.5, high=1.4 + 0.42 * (len(steps) + 2))
    at = changed.value0
    reached = [at]
    _whole(ax, 0, changed.value0, unit)
    for y, (_, mix, rate) in enumerate(steps, start=1):
        for height, value, hatch in ((0.17, mix, "////"), (-0.17, rate, None)):
            colour = CALM if (value > 0) == changed.rising_is_better else HOT
            ax.barh(y - height, value, left=at, height=0.32, facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0)
            at += value
            reached.append(at)
        told = [f"{part} {_signed(value, unit)}" for part, value in (("mix", mix), ("rate", rate)) if value]
        beside(ax, ", ".join(told), max(reached[-3:]), y)
    _whole(ax, len(steps) + 1, changed.value1, unit)
    low, high = min(reached), max(reached)
    room = max(high - low, abs(high) * 0.05, 1e-9)
    ax.set_xlim(low - 0.25 * room, high + 0.9 * room)
    names = [f"{changed.before}  (n = {changed.n0:,})", *(name for name, *_ in steps), f"{changed.after}  (n = {changed.n1:,})"]
    ax.set_yticks(range(len(names)), [plain(name, 60) for name in names])
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.3g}%" if unit == "share" else amount(x, unit)))
    ax.set_xlabel(plain(changed.metric, 60))
    keys = [Patch(facecolor=QUIET, hatch="////", edgecolor="white", label="mix"), Patch(facecolor=QUIET, label="rate")]
    ax.legend(handles=keys, frameon=False, loc="lower right", fontsize=8)
    return ax


def _whole(ax: Axes, y: int, value: float, unit: str) -> None:
    ax.plot([value, value], [y - 0.32, y + 0.32], color=INK, linewidth=3)
    beside(ax, amount(value, unit), value, y)


def _signed(value: float, unit: str) -> str:
    """A difference in its unit; shares in percentage points.

    >>> _signed(0.0243, "share"), _signed(-75.8, "seconds")
    ('+2.4 pts', '-76 s')
    """
    if np.isnan(value):
        return "?"
    if unit == "share":
        return f"{100 * value:+.{1 if abs(value) >= 0.00995 else 2 if abs(value) >= 0.000995 else 3}f} pts"
    return {"seconds": f"{value:+,.0f} s", "per 1,000": f"{value:+.1f}"}.get(unit, f"{value:+.3f}")


def draw_segments(found: Segments, ax: Axes | None = None) -> Axes:
    """A forest plot: how far each segment lies from the rest; filled where the false discovery rate allows to say so.

    Of more than 20 segments the 20 that most surely differ are drawn.
    """
    table = found.table
    surest = table["p"].nsmallest(MOST_SEGMENTS).index
    others = len(table) - len(surest)
    table = table.loc[table.index.isin(surest)]
    ax = axes(ax, high=1.0 + 0.34 * max(1, len(table)))
    y = np.arange(len(table))
    sure = (table["q"] <= 0.05).to_numpy()
    worse = ((table["difference"] < 0) == found.rising_is_better).to_numpy()
    colours = np.where(sure, np.where(worse, HOT, CALM), QUIET)
    spread = np.vstack([table["difference"] - table["difference_low"], table["difference_high"] - table["difference"]])
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.errorbar(table["difference"], y, xerr=np.nan_to_num(spread).clip(0), fmt="none", ecolor=QUIET, linewidth=1.2)
    ax.scatter(table["difference"], y, c=np.where(sure, colours, "white"), edgecolor=list(colours), s=52, zorder=3)
    ax.set_yticks(y, [f"{plain(row.segment, 30)}  (n = {row.n:,})" for row in table.itertuples()])
    ax.set_ylim(max(1, len(table)) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    scale, points = (100, ", percentage points") if found.unit == "share" else (1, "")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{scale * x:+.3g}" if x else "0"))
    left_out = f"\n{others} more, less sure to differ, in the table" if others else ""
    ax.set_xlabel(f"{plain(found.metric, 50)}: segment less the rest{points}; filled: q <= .05{left_out}")
    return ax


def draw_matrix_diff(apart: MatrixDiff, ax: Axes | None = None) -> Axes:
    """Where two groups go differently: second less first, in percentage points; framed where that is no chance finding."""
    table = apart.table
    targets = [*apart.stages, "end"]
    sources = [stage for stage in apart.stages if (table["source"] == stage).any()]
    ax = axes(ax, wide=8.5, high=1.2 + 0.6 * max(1, len(sources)))
    largest = max(0.01, float(table["difference"].abs().max())) if table["difference"].notna().any() else 0.01
    for row in table.itertuples():
        x, y = targets.index(row.target), sources.index(row.source)
        strength = 0.0 if np.isnan(row.difference) else 0.75 * abs(row.difference) / largest
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=HOT if row.difference > 0 else CALM, alpha=strength))
        if row.q <= 0.05:
            ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, edgecolor=INK, linewidth=1.6))
        said = "only one" if np.isnan(row.difference) else f"{100 * row.difference:+.1f}"
        ax.text(x, y, said, ha="center", va="center", color=INK, fontsize=9)
    sizes = table.groupby("source")[["n0", "n1"]].first()
    ax.set_yticks(range(len(sources)), [f"{plain(s, 24)}  (n = {sizes.n0[s]:,} and {sizes.n1[s]:,})" for s in sources])
    ax.set_xticks(range(len(targets)), [textwrap.fill(plain(target, 30), 14) for target in targets])
    ax.xaxis.tick_top()
    ax.set_xlim(-0.5, len(targets) - 0.5)
    ax.set_ylim(max(1, len(sources)) - 0.5, -0.5)
    first, second = (plain(name, 24) for name in apart.groups)
    ax.set_xlabel(f"share of the moves out of a stage (row):\n{second} less {first}, percentage points; framed: q <= .05")
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)
    return ax


def draw_kinds(found: Kinds, ax: Axes | None = None) -> Axes:
    """The customers of each month: new, regular, blocked."""
    if found.table.empty:
        return nothing(axes(ax, high=1), found.missing)
    ax = axes(ax, wide=min(8.0, 2.5 + 1.2 * found.table["month"].nunique()), high=3.6)
    table = found.table
    months = list(dict.fromkeys(table["month"]))
    shares = table.pivot_table(index="month", columns="kind", values="share").reindex(months) if months else pd.DataFrame()
    colours = dict(zip(("new", "regular", "blocked"), stage_colours(3), strict=True))
    floor = np.zeros(len(months))
    for kind in shares.columns.intersection(list(colours)).sort_values(key=lambda c: c.map(list(colours).index)):
        values = shares[kind].to_numpy()
        ax.bar(range(len(months)), values, bottom=floor, color=colours[kind], width=0.7, label=kind)
        for i, value in enumerate(values):
            if value >= 0.04:
                ink = "white" if kind == "blocked" else INK
                ax.text(i, floor[i] + value / 2, f"{value:.1%}", ha="center", va="center", color=ink, fontsize=9)
        floor += values
    sizes = table.groupby("month")["n"].first() if months else {}
    ax.set_xticks(range(len(months)), [f"{plain(month)}\nn = {sizes[month]:,}" for month in months])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_ylim(0, 1)
    ax.set_ylabel("customers with a case in the month")
    if months:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), reverse=True)
    return ax


def draw_kind_moves(found: Kinds, ax: Axes | None = None) -> Axes:
    """From month to month: of the customers of each kind (row), the share that is of which kind the month after (column)."""
    table = found.moves
    if table.empty:
        return nothing(axes(ax, high=1), found.missing or "there are no two months in a row to compare")
    sources, targets = list(dict.fromkeys(table["source"])), list(dict.fromkeys(table["target"]))
    ax = axes(ax, wide=6, high=1.1 + 0.55 * max(1, len(sources)))
    for row in table.itertuples():
        x, y = targets.index(row.target), sources.index(row.source)
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=INK, alpha=0.75 * row.share))
        ink = "white" if row.share > 0.7 else INK
        ax.text(x, y - 0.1, f"{row.share:.1%}", ha="center", va="center", color=ink)
        ax.text(x, y + 0.27, f"{row.low:.1%} to {row.high:.1%}", ha="center", va="center", color=ink, fontsize=8)
    sizes = table.groupby("source")["n"].first()
    ax.set_yticks(range(len(sources)), [f"{source}  (n = {sizes[source]:,})" for source in sources])
    ax.set_xticks(range(len(targets)), targets)
    ax.xaxis.tick_top()
    ax.set_xlim(-0.5, max(1, len(targets)) - 0.5)
    ax.set_ylim(max(1, len(sources)) - 0.5, -0.5)
    ax.set_xlabel("the month after")
    ax.xaxis.set_label_position("top")
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)
    return ax
