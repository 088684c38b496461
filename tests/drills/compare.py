"""Is a month flagged that is better locally and worse globally, and no other? Do intervals of differences hold the planted?"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxlib import journey
from cxlib.eventlog import EventLog, began
from cxlib.simulate.months import Months, planted, simulate_months
from drills import alarms_allowed, central

# What happens in the second of two months; 8 % are forced to call in the first.
WORLDS = {
    "hold time -20 %, forced to call 8 -> 10 %": {},
    "nothing": {"forced": ((0.08,), (0.08,)), "hold": (1.0, 1.0)},
    "hold time -20 % only": {"forced": ((0.08,), (0.08,))},
    "forced to call 8 -> 10 % only": {"hold": (1.0, 1.0)},
}
PLANTED, NULL = next(iter(WORLDS)), list(WORLDS)[1:]

FORCED, MIX, HOLD = ((0.06, 0.12), (0.05, 0.11), (0.07, 0.14)), ((0.6, 0.4), (0.4, 0.6), (0.3, 0.7)), (1.0, 1.0, 0.8)
CASES = 1_500
REST = 1e-12  # of Kitagawa's split: what is left of the change beside mix and rate


def flags(worlds: int, kinds: list[str] | None = None) -> pd.DataFrame:
    """In how many worlds of two months with 10,000 cases each is a month flagged?

    One row per kind of world: flagged (any flag at all), hold_and_forced (hold time flagged beside forced to call), worlds and
    whether the bar was held.
    """
    rows = []
    for kind in kinds or list(WORLDS):
        seen = [_flagged(simulate_months(seed, **WORLDS[kind])) for seed in _shown(range(worlds))]
        anything, right = (int(x) for x in np.sum(seen, axis=0))
        held = right >= 0.9 * worlds if kind == PLANTED else anything <= alarms_allowed(worlds)
        rows.append((kind, anything, right, worlds, held))
    return pd.DataFrame(rows, columns=["the second month", "flagged", "hold_and_forced", "worlds", "held"])


def _flagged(months: Months) -> tuple[bool, bool]:
    found = journey.scorecard(EventLog(**months.fields)).flags
    both = (found["metric"] == "hold time") & (found["global_metric"] == "forced to call")
    return len(found) > 0, bool(both.any())


def _shown(seeds: range) -> tqdm:
    return tqdm(seeds, disable=not sys.stderr.isatty(), delay=2)


def coverage(worlds: int) -> pd.DataFrame:
    """In how many worlds does each 95 % interval hold the planted parameter? One row per quantity."""
    truth = _truth()
    rows = []
    for seed in _shown(range(worlds)):
        months = simulate_months(seed, cases=CASES, forced=FORCED, mix=MIX, hold=HOLD)
        for quantity, value, low, high in _intervals(months):
            rows.append((quantity, truth[quantity], value, low <= truth[quantity] <= high))
    seen = pd.DataFrame(rows, columns=["quantity", "planted", "mean", "hits"])
    return seen.groupby("quantity", sort=False).agg({"planted": "first", "mean": "mean", "hits": "sum"}).assign(worlds=worlds)


def _truth() -> dict[str, float]:
    """The planted parameters, from the formulas and not from the draw."""
    rates, mix = np.array(FORCED), np.array(MIX)
    found = planted(rates, mix, np.array(HOLD))
    forced, step = found["forced"], found["step"]
    cases = np.array([31, 31, 30])[:, None] * mix
    segment = (cases * rates).sum(axis=0) / cases.sum(axis=0)
    return {
        "forced to call, August": forced[1],
        "forced to call, August less July": forced[1] - forced[0],
        "forced to call, September less August": forced[2] - forced[1],
        "hold time at agent, September less August": found["hold_agent"][2] - found["hold_agent"][1],
        "hold time at phone, September less August": found["hold_phone"][2] - found["hold_phone"][1],
        "back within 7 days, September less August": 0.0,
        "Kitagawa, mix": found["mix"],
        "Kitagawa, rate": found["rate"],
        "Kitagawa, mix of segment 1": (mix[2] - mix[1])[1] * ((rates[1] + rates[2])[1] / 2 - (forced[1] + forced[2]) / 2),
        "Kitagawa, rate of segment 1": (rates[2] - rates[1])[1] * (mix[1] + mix[2])[1] / 2,
        "segment 1 less the rest": segment[1] - segment[0],
        "help to phone, September less August": step[2] - step[1],
        "new customers, September": found["new"],
        "blocked customers, September": found["blocked"],
        "regular in August, blocked in September": found["relapse"],
        "contacts per 1,000 active users, segment 1": 1000 * mix[1, 1] / 31,
    }


def _intervals(months: Months) -> Iterator[tuple[str, float, float, float]]:
    log = EventLog(**months.fields)
    card = journey.scorecard(log).table.set_index(["period", "stage", "metric"])
    row = card.loc[("2026-08", "", "forced to call")]
    yield "forced to call, August", row["value"], row["low"], row["high"]
    for quantity, key in {
        "forced to call, August less July": ("2026-08", "", "forced to call"),
        "forced to call, September less August": ("2026-09", "", "forced to call"),
        "hold time at agent, September less August": ("2026-09", "agent", "hold time"),
        "hold time at phone, September less August": ("2026-09", "phone", "hold time"),
        "back within 7 days, September less August": ("2026-09", "", "back within 7 days"),
    }.items():
        yield quantity, *card.loc[key, ["change", "change_low", "change_high"]]
    changed = journey.change(log, months.segment)
    parts, one = changed.parts.set_index("part"), changed.table.set_index("segment").loc["1"]
    for part in ("mix", "rate"):
        yield f"Kitagawa, {part}", *parts.loc[part, ["value", "low", "high"]]
        yield f"Kitagawa, {part} of segment 1", one[part], one[f"{part}_low"], one[f"{part}_high"]
    apart = journey.segments(log, months.segment).table.set_index("segment").loc["1"]
    yield "segment 1 less the rest", *apart[["difference", "difference_low", "difference_high"]]
    steps = journey.matrix_diff(log, month_of(log)).table.set_index(["source", "target"])
    yield "help to phone, September less August", *steps.loc[("help", "phone"), ["difference", "low", "high"]]
    kinds = journey.kinds(log)
    table = kinds.table[kinds.table["month"] == "2026-09"].set_index("kind")
    for kind in ("new", "blocked"):
        yield f"{kind} customers, September", *table.loc[kind, ["share", "low", "high"]]
    moves = kinds.moves.set_index(["source", "target"])
    yield "regular in August, blocked in September", *moves.loc[("regular", "blocked"), ["share", "low", "high"]]
    active = pd.DataFrame({"date": pd.date_range("2026-08-02", "2026-08-08"), "segment": "1", "n_active": CASES})
    rate = journey.contact_rate(log, active, months.segment).table.iloc[0]
    yield "contacts per 1,000 active users, segment 1", *rate[["rate", "low", "high"]]


def month_of(log: EventLog) -> np.ndarray:
    """The label of the two last of the three months; no label elsewhere."""
    month = pd.to_datetime(began(log), unit="us", utc=True).strftime("%Y-%m")
    return np.where(np.isin(month, ["2026-08", "2026-09"]), month, None)


def chance_findings(worlds: int) -> pd.DataFrame:
    """In how many worlds without any difference is a segment or a step called different (false discovery rate 5 %)?"""
    found = {"one of 8 segments": 0, "one of the steps": 0}
    for seed in _shown(range(worlds)):
        months = simulate_months(seed, cases=CASES, forced=((0.08,),) * 3, mix=((1.0,),) * 3, hold=(1.0,) * 3)
        log = EventLog(**months.fields)
        labels = np.random.default_rng(seed).integers(0, 8, log.n_cases)
        found["one of 8 segments"] += (journey.segments(log, labels).table["q"] <= 0.05).any()
        found["one of the steps"] += (journey.matrix_diff(log, month_of(log)).table["q"] <= 0.05).any()
    table = pd.DataFrame({"alarms": found}).rename_axis("called different").assign(worlds=worlds)
    return table.assign(held=table["alarms"] <= alarms_allowed(worlds))


def exact_splits(worlds: int) -> int:
    """In how many worlds do Kitagawa's parts sum to the change with a rest of at most `REST`, by segment and in all?"""
    exact = 0
    for seed in _shown(range(worlds)):
        months = simulate_months(seed, cases=CASES, forced=FORCED, mix=MIX, hold=HOLD)
        found = journey.change(EventLog(**months.fields), months.segment)
        change = found.value1 - found.value0
        parts = found.parts.set_index("part")["value"]
        exact += max(abs(found.table["total"].sum() - change), abs(parts["mix"] + parts["rate"] - change)) <= REST
    return exact


def drill(worlds: int = 400) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether it held."""
    covered = coverage(worlds).reset_index()
    covered["held"] = covered["hits"].between(*central(worlds))
    alarms = flags(worlds).rename(columns={"the second month": "quantity", "flagged": "hits"})
    alarms["quantity"] = "flagged: " + alarms["quantity"]
    alarms.loc[alarms["quantity"].str.endswith(PLANTED), "hits"] = alarms["hold_and_forced"]
    chance = chance_findings(worlds).reset_index().rename(columns={"called different": "quantity", "alarms": "hits"})
    chance["quantity"] = "called different by chance: " + chance["quantity"]
    exact = exact_splits(worlds)
    split = pd.DataFrame({"quantity": ["Kitagawa: no rest"], "hits": exact, "worlds": worlds, "held": exact == worlds})
    table = pd.concat([covered, split, alarms.drop(columns="hold_and_forced"), chance], ignore_index=True)
    low, high = central(worlds)
    said = (
        f"{worlds} worlds of months with several cases a customer. Intervals: {low} to {high} hits hold. A month of 10,000 "
        f"cases with hold time -20 % and forced to call 8 -> 10 % is to be flagged in {int(np.ceil(0.9 * worlds))} or more, a "
        f"month without such a pair in {alarms_allowed(worlds)} at most. Mix and rate sum to the change, to {REST:g}, in all."
    )
    return said, table.set_index("quantity")[["planted", "mean", "hits", "worlds", "held"]], bool(table["held"].all())
