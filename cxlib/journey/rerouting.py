"""What would change, if some of the cases that go to a stage went to another one instead? Calls, cost and mood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.eventlog import NO_MOOD, EventLog, first_touch
from cxlib.journey.cases import cases
from cxlib.journey.levelling import SO_FAR, binned, checked, drawn, known_shares, levelled
from cxlib.journey.moods import mood_at_end, mood_so_far
from cxlib.schema import DataError, nearest

# Numbers of touches bend with severity, and many cases come to the target: the line is drawn nearer to the moved. How near is a
# choice made on pilot worlds of `simulate.moves` (seeds from 10,000 on, not the drill's), with no other source: more is less
# biased and less sure.
NEAR = 1.5
REACH, CALLS, MOOD, COST = "cases", "calls", "mood", "cost"
NOWHERE = -1  # the position of a target that does not exist
# What a row of the table is called, and which number of the comparison it comes from.
_CHANGES = {"change": "effect", "low": "effect_low", "high": "effect_high", "band_low": "band_low", "band_high": "band_high"}
_CHANGES |= {"naive": "naive", "adjusted": "adjusted"}


@dataclass(frozen=True)
class WhatIf:
    """The answer of `what_if`; `table` has one row per outcome."""

    table: pd.DataFrame  # outcome, now, then, change, low, high, band_low, band_high, naive, adjusted, corrected, n, n_used
    overlap: pd.DataFrame  # low, high, n_target, n_source
    known: pd.DataFrame  # column, known_source, known_target, used
    topic: str | None
    share: float
    source: str
    target: str
    escalation: str  # the stage that `calls` counts
    moved: float  # cases: share x n
    already: int  # closed cases of the topic that had been at the target when they came to the source: they are not moved
    compared: int  # cases at the target that tell what would have become of them
    compared_all: int  # as many came there first; more than `compared` where the log is so large that customers were drawn
    kept: float  # share of the cases at the source that have counterparts among these
    still: list[float]  # share of the moved that would reach the source all the same, with its band
    corrected: bool
    read: float  # share of the cases at the source whose severity is also read from their mood so far


def what_if(
    log: EventLog,
    *,
    topic: str | None = None,
    share: float = 0.1,
    source: str | None = None,
    target: str | None = None,
    known: pd.DataFrame | None = None,
    cost: Mapping[str, float] | None = None,
    seed: int = 0,
) -> WhatIf:
    """What would change, if a share of the cases that go to a stage went to another one instead?

    Parameters
    ----------
    log : EventLog
    topic : str, optional
        Only cases with this ``topic`` in `known`; all where none is given.
    share : float
        The share (0 to 1), drawn by lot, that goes to the target instead: of the cases that come to the source without having
        been at the target before.
    source, target : str, optional
        The stage they go to now (the escalation stage), and the one they would go to instead (the source's second neighbour on
        the left: from phone the chatbot; its first where there is but one).
    known : DataFrame, optional
        As in `left_moves`.
    cost : mapping, optional
        Cost per touch by stage, such as `dataset.settings.cost`; a stage it does not name costs nothing. Without it there is no
        row for the cost.
    seed : int
        As in `left_moves`.

    Returns
    -------
    WhatIf
        `table`, one row per outcome, over the ``n`` closed cases of the topic that come to the source and have not been at the
        target by then (`already` counts those that have): ``cases`` that reach it, ``calls`` (touches at the escalation stage),
        ``cost`` (of all their touches), each a sum over the n cases; and ``mood``, the mean at the end of these n cases (-1 to
        1, cut off there). ``now`` as counted, ``then``, ``change`` with its 95 % interval by customer (``low``, ``high``) and
        the band that also allows for what stays hidden (``band_low``, ``band_high``); ``naive`` and ``adjusted``: the change as
        it would have been told without correction. ``n_used``: of the n, those the interval was computed from (all, up to
        `levelling.MOST`; beyond, whole customers are drawn). `still`: the share of the moved that would reach the source all
        the same. Without another stage to go to, or with few cases, changes are NaN and ``why`` says so.

    Raises
    ------
    DataError
        If topic, stage or share do not exist.

    Notes
    -----
    A moved case goes its way to its first touch at the source; that touch and all after it are replaced by what follows a first
    touch at the target. What that would be is read from the closed cases (of any topic) that came to the target before ever
    reaching the source: how many touches and calls follow, how it ends, and how many go on to the source. A case that had been
    at the target when it came to the source is one of these and not among the moved: no case stands on both sides. They are
    milder on average, so they are adjusted and corrected as in `left_moves`; those who from the target still go on are in it.
    The change is share x n x the mean difference over those of the n cases that have counterparts at the target (`kept`; mood:
    share x the difference): the others are taken to differ as much.

    The mood of a case before that touch (`moods.mood_so_far`) is known before it is moved. It is levelled on like what was
    known before, and where there is one, severity is read from it instead of from a sign: it is the less noisy reading, and the
    signs tell how it goes with severity, so that a customer's own humour, which is in the mood at the end too, does no harm
    (see `stats.corrected`). What neither tells stays in it, such as temper: in 160 simulated worlds cases and calls came out 3
    to 4 % too favourable, mood 5 %, and cost 2 % too little; the band covers that, the interval of a large log does not. (With
    temper told, in 20 others, calls came out right to 1 %, cost and mood to 2 %.)

    Assumes what `left_moves` does; that what a case did before does not matter beyond what is known of it; that the mood so far
    has no part of its own in who goes where, and a stage shifts everyone's by as much; and that the target copes with more
    cases as well as it does now. Where the last touch has no mood the mean of its stage stands in, and the known ones weigh
    accordingly more.

    Examples
    --------
    >>> from cxlib.eventlog import from_paths
    >>> found = what_if(from_paths(a="help phone phone", b="help chatbot"), share=0.5)
    >>> found.table[["outcome", "now", "n", "why"]].values.tolist()[1]
    ['calls', 2.0, 1, 'fewer than 100 cases or 30 customers on a side']
    """
    frame = cases(log) if known is None else checked(log, known)
    left, right = _stages(log, source, target)
    of_topic = _of_topic(frame, topic)
    if not 0 <= share <= 1:
        raise DataError(f"share={share} is not between 0 and 1: write 0.1 for 10 %")
    at_right, at_left = first_touch(log, log.stage == right), first_touch(log, log.stage == left)
    tells, comes = (at_left < at_right) & ~log.case_open, (at_right < at_left) & ~log.case_open
    drawn_tells, drawn_comes = (drawn(log, np.flatnonzero(some)) for some in (tells, comes))
    rows = np.append(drawn_tells, drawn_comes)
    is_first = np.arange(len(rows)) < len(drawn_tells)
    asked = ~is_first & of_topic[rows]
    start = np.append(at_left[drawn_tells], at_right[drawn_comes])
    values, names = _after(log, rows, start, right, cost)
    before = frame.iloc[rows].assign(**{SO_FAR: mood_so_far(log, rows, start)})
    key = log.customer_key[log.customer_of_case[rows]]
    result = levelled(values, is_first, before, key, seed=seed, asked=asked, near=NEAR)
    found = result.rows if left >= 0 else [row | {"why": _nowhere(log, right)} for row in result.rows]
    moves, here = np.flatnonzero(comes & of_topic), is_first | asked
    counts = {"n": len(moves), "n_used": int(asked.sum())}
    now = _now(log, moves, names, cost)
    size = [share * (1 if name == MOOD else len(moves)) for name in names]
    table = [_changed(*one) | counts for one in zip(names, now, size, found, strict=True)]
    reach = found[0]
    return WhatIf(
        table=pd.DataFrame(table),
        overlap=binned(result.chance[here], is_first[here]),
        known=known_shares(before[here], is_first[here]),
        topic=topic,
        share=share,
        source=log.stages[right],
        target=log.stages[left] if left >= 0 else "",
        escalation=log.stages[log.escalation],
        moved=share * len(moves),
        already=int((tells & of_topic & (at_right < log.n_touches)).sum()),
        compared=len(drawn_tells),
        compared_all=int(tells.sum()),
        kept=reach["overlap"],
        still=[float(np.clip(1 + reach[name], 0, 1)) for name in ("effect", "band_low", "band_high")],
        corrected=all(row["corrected"] for row in found),
        read=result.read,
    )


def _stages(log: EventLog, source: str | None, target: str | None) -> tuple[int, int]:
    """Target and source as positions; the target `NOWHERE` where there is none."""
    for stage in (source, target):
        if stage is not None and stage not in log.stages:
            raise DataError(f"{stage!r} is not one of the stages: {nearest(stage, log.stages)}")
    right = log.escalation if source is None else log.stages.index(source)
    if len(log.stages) == 1 or (target is None and right == 0):
        return NOWHERE, right
    near = max(right - 2, min(log.problem_from, right - 1))
    left = near if target is None else log.stages.index(target)
    if left == right:
        others = ", ".join(stage for stage in log.stages if stage != log.stages[right])
        raise DataError(f"cases at {log.stages[right]} need another stage to go to: write target= one of {others}")
    return left, right


def _nowhere(log: EventLog, right: int) -> str:
    return "the log has one stage" if len(log.stages) == 1 else f"{log.stages[right]} has no stage on its left: name a target"


def _of_topic(frame: pd.DataFrame, topic: str | None) -> np.ndarray:
    if topic is None:
        return np.ones(len(frame), dtype=bool)
    if "topic" not in frame:
        raise DataError(f"no topic is known of the cases: pass known=journey.cases(log, dataset) to ask for {topic!r}")
    found = (frame["topic"] == topic).fillna(False).to_numpy(dtype=bool)
    if not found.any():
        names = sorted(frame["topic"].dropna().astype(str).unique())
        raise DataError(f"no case has the topic {topic!r}: {nearest(topic, names)}")
    return found


def _after(
    log: EventLog, rows: np.ndarray, start: np.ndarray, right: int, cost: Mapping[str, float] | None
) -> tuple[np.ndarray, list[str]]:
    """Of each case from a touch on: does it reach the source, how many calls, what cost, and what mood at the end."""
    end = log.case_start[1:][rows]
    found = {
        REACH: (_between(log.stage == right, start, end) > 0).astype(float),
        CALLS: _between(log.stage == log.escalation, start, end),
    }
    if (log.mood != NO_MOOD).any():
        found[MOOD] = mood_at_end(log)[rows]
    if cost:
        found[COST] = _between(_price(log, cost)[log.stage], start, end)
    return np.column_stack(list(found.values())), list(found)


def _between(worth: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """What the touches from `start` to before `end` add up to."""
    so_far = np.append(0.0, np.cumsum(worth, dtype=float))
    return so_far[end] - so_far[start]


def _price(log: EventLog, cost: Mapping[str, float]) -> np.ndarray:
    if unknown := [stage for stage in cost if stage not in log.stages]:
        raise DataError(f"cost names {unknown[0]!r}, which is not one of the stages: {nearest(unknown[0], log.stages)}")
    return np.array([float(cost.get(stage, 0.0)) for stage in log.stages])


def _now(log: EventLog, moves: np.ndarray, names: list[str], cost: Mapping[str, float] | None) -> list[float]:
    """As counted: cases, calls and cost of whole cases, mood as a mean."""
    start, end = log.case_start[:-1][moves], log.case_start[1:][moves]
    whole = {CALLS: _between(log.stage == log.escalation, start, end).sum(), REACH: float(len(moves))}
    if MOOD in names:
        whole[MOOD] = np.clip(mood_at_end(log)[moves].mean(), -1, 1) if len(moves) else np.nan
    if cost:
        whole[COST] = _between(_price(log, cost)[log.stage], start, end).sum()
    return [float(whole[name]) for name in names]


def _changed(name: str, now: float, size: float, row: dict) -> dict:
    change = {column: size * row[found] for column, found in _CHANGES.items()}
    then = now + change["change"]
    then = float(np.clip(then, -1, 1)) if name == MOOD else then
    return {"outcome": name, "now": now, "then": then} | change | {name: row[name] for name in ("corrected", "why")}
