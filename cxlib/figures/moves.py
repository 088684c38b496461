"""Moving left in pictures; everything drawn stands in the results' tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from cxlib.figures.style import CALM, HOT, INK, PALE, QUIET, axes, beside, nothing, plain
from cxlib.journey import LeftMoves, WhatIf

_NAMES = {
    "mood": "mood at the end (-1 angry to 1 happy)",
    "hours": "hours from seeking help to the end",
    "return": "share who come back",
}
# How each estimate is drawn: its columns, its words, its mark and its colour.
_MARKS = (
    ("naive", "plainly compared", "o", QUIET),
    ("adjusted", "adjusted", "s", CALM),
    ("effect", "corrected", "D", HOT),
)


def draw_left_moves(found: LeftMoves, outcome: str = "mood", ax: Axes | None = None) -> Axes:
    """One outcome's change one stage further left, per pair: naive, adjusted, corrected, with intervals and the band."""
    table = (
        found.table[(found.table["outcome"] == outcome) & found.table["effect"].notna()] if len(found.table) else found.table
    )
    ax = axes(ax, wide=9, high=1.3 + 1.15 * max(1, len(table)))
    if table.empty:
        return nothing(ax, "too few cases to compare neighbouring stages")
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    for place, row in enumerate(table.itertuples()):
        _pair(ax, row, place)
    last = [
        f"{plain(row.source, 26)}\n→ {plain(row.target, 26)}\nn = {row.n_source:,} and {row.n_target:,}"
        for row in table.itertuples()
    ]
    ax.set_yticks(range(len(table)), last)
    ax.set_ylim(len(table) - 0.4, -0.6)
    _room(ax, table[["band_low", "band_high", "naive_low", "naive_high", "adjusted_low", "adjusted_high"]].to_numpy())
    if outcome == "return":
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" points"))
    ax.set_xlabel(
        f"change of the {_NAMES[outcome]},\nhad cases ended one stage further left\n"
        "(lines: 95 % by customer; pale: band with what may stay hidden)",
        loc="left",
    )
    return ax


def _pair(ax: Axes, row, place: int) -> None:
    """The estimates of one pair, one under the other; without a correction there are two."""
    ax.barh(place + 0.25 if row.corrected else place, row.band_high - row.band_low, left=row.band_low, height=0.24, color=PALE)
    for shift, (name, words, mark, colour) in zip((-0.25, 0, 0.25), _MARKS, strict=True):
        if name == "effect" and not row.corrected:
            continue
        value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
        ax.plot([low, high], [place + shift] * 2, color=colour, linewidth=1.6, zorder=2)
        ax.plot([value], [place + shift], marker=mark, color=colour, markersize=6, zorder=3)
        most = max(high, row.band_high if name == "effect" or (name == "adjusted" and not row.corrected) else high)
        band = f"{row.band_low:+.3g} to {row.band_high:+.3g}, " if name == "adjusted" and not row.corrected else ""
        beside(ax, f"{band}{words} {value:+.3g}", most, place + shift)


def _room(ax: Axes, bounds: np.ndarray) -> None:
    """Room on the right for the words beside the marks."""
    low, high = min(0.0, float(np.nanmin(bounds))), max(0.0, float(np.nanmax(bounds)))
    wide = max(high - low, 1e-6)
    ax.set_xlim(low - 0.04 * wide, high + 0.42 * wide)
    ax.set_xticks([tick for tick in ax.get_xticks() if low - 0.04 * wide <= tick <= high + 0.04 * wide])


def draw_overlap(found: LeftMoves, ax: Axes | None = None) -> Axes:
    """Cases by their chance of ending at the left stage, one row per pair: above those that did, below those that did not."""
    told = found.overlap[found.overlap["n_target"] + found.overlap["n_source"] > 0] if len(found.overlap) else found.overlap
    pairs = list(told.groupby(["source", "target"], sort=False)) if len(told) else []
    ax = axes(ax, wide=9, high=1.2 + 1.25 * max(1, len(pairs)))
    if not pairs:
        return nothing(ax, "too few cases to compare neighbouring stages")
    for place, (_, bins) in enumerate(pairs):
        middle, wide = (bins["low"] + bins["high"]) / 2, (bins["high"] - bins["low"]) * 0.92
        for name, sign, colour in (("n_target", -1, CALM), ("n_source", 1, HOT)):
            height = 0.42 * bins[name] / max(1, bins[["n_target", "n_source"]].to_numpy().max())
            ax.bar(middle, sign * height, wide, bottom=place, color=colour)
        ax.axhline(place, color=INK, linewidth=0.8)
        _label_sides(ax, bins, place)
    ax.set_yticks(range(len(pairs)), [f"{plain(source, 18)} → {plain(target, 18)}" for (source, target), _ in pairs])
    ax.set_ylim(len(pairs) - 0.4, -0.6)
    ax.set_xlim(0, 1.55)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("chance of ending at the left stage by what was known before, and the cases with that chance", loc="left")
    return ax


def _label_sides(ax: Axes, bins: pd.DataFrame, place: int) -> None:
    source, target = bins["source"].iloc[0], bins["target"].iloc[0]
    beside(ax, f"above: ended at {plain(target, 14)}, n = {bins['n_target'].sum():,}", 1.0, place - 0.2)
    beside(ax, f"below: ended at {plain(source, 14)}, n = {bins['n_source'].sum():,}", 1.0, place + 0.2)


def draw_what_if(found: WhatIf, ax: Axes | None = None) -> Axes:
    """Each outcome's change in per cent of now (mood: in hundredths), with its interval, its band and the naive one."""
    table = found.table[found.table["change"].notna()]
    ax = axes(ax, wide=9, high=1.4 + 0.8 * max(1, len(table)))
    if table.empty:
        return nothing(ax, "too few cases to say what would change")
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    drawn = []
    for place, row in enumerate(table.itertuples()):
        unit = 0.01 if row.outcome == "mood" else max(abs(row.now), 1e-12) / 100
        low, high, band_low, band_high, change, naive = (
            value / unit for value in (row.low, row.high, row.band_low, row.band_high, row.change, row.naive)
        )
        ax.barh(place, band_high - band_low, left=band_low, height=0.5, color=PALE)
        mark, colour = ("D", HOT) if row.corrected else ("s", CALM)
        ax.plot([low, high], [place, place], color=colour, linewidth=1.6)
        ax.plot([change], [place], marker=mark, color=colour, markersize=7)
        ax.plot([naive], [place], marker="o", markerfacecolor="white", markeredgecolor=QUIET, markersize=6)
        beside(ax, _told(row), max(band_high, naive, 0), place)
        drawn += [band_low, band_high, naive]
    ax.set_yticks(range(len(table)), [_outcome(name, found) for name in table["outcome"]])
    ax.set_ylim(len(table) - 0.4, -0.6)
    _room(ax, np.array(drawn))
    about = f" about {plain(found.topic, 24)}" if found.topic is not None else ""
    ax.set_xlabel(
        f"change if {100 * found.share:.3g} % of the cases{about}\n"
        f"that come to {plain(found.source, 16)} without {plain(found.target, 16)} before (n = {table['n'].iloc[0]:,})\n"
        "went there instead, in per cent of now, mood in hundredths\n"
        "(pale: band with what may stay hidden; line: 95 % by customer; circle: plainly compared)",
        loc="left",
    )
    return ax


def _told(row) -> str:
    """The change; without a correction the band in place of it, since one number would say too much."""
    digits = 3 if row.outcome == "mood" else 0
    change, low, high = (f"{x:+,.{digits}f}" for x in (row.change, row.band_low, row.band_high))
    told = change if row.corrected else f"{low} to {high}"
    return f"{told} (now {row.now:,.{digits}f})"


def _outcome(name: str, found: WhatIf) -> str:
    return {"cases": f"cases that reach {plain(found.source, 14)}", "calls": f"touches at {plain(found.escalation, 14)}"}.get(
        name, name
    )
