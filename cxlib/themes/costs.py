"""What does a theme cost? Calls, repeat contacts, hours and mood, against other themes' cases that began alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cxlib import stats
from cxlib.eventlog import NO_MOOD, EventLog, first_touch, returned, sought
from cxlib.schema import DAY, HOUR, DataError
from cxlib.themes.effects import FEWEST, Side, burden, effects, p_value, too_few
from cxlib.themes.shares import MIXED
from cxlib.themes.tickets import TicketThemes

CALL, REPEAT, HOURS, MOOD = "call", "repeat", "hours", "mood"
OUTCOMES = (CALL, REPEAT, HOURS, MOOD)
MONTH = 365.25 / 12 * DAY
_OF_THE_PROBLEM = ("topic", "application", "open_incident")  # what a case is about: that is the theme, and not levelled out
_COLUMNS = [
    "theme", "name", "outcome", "n", "mean", "mean_others", "effect", "low", "high", "p_value", "q_value", "corrected",
    "burden", "burden_low", "burden_high", "why",
]  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """The answer of `costs`; `table` has one row per theme and outcome."""

    table: pd.DataFrame  # see `costs`
    months: float  # observed; 0 without dates
    escalation: str  # the stage that counts as a call
    mood_from: str  # "survey: " and its instrument, "sentiment", or "" for neither
    n_cases: int  # that are over and have a theme: what all rows come from
    n_open: int  # of a theme, still open: in no number
    n_no_theme: int  # over, without a ticket in a theme: in no number

    def of(self, outcome: str) -> pd.DataFrame:
        """The rows of one outcome, the costliest theme first: what a figure draws; those of unknown burden last."""
        rows, by = self.table[self.table["outcome"] == outcome], "effect" if outcome == MOOD else "burden"
        return rows.sort_values([by, "theme"], ascending=[outcome == MOOD, True], ignore_index=True)


def costs(
    asks: TicketThemes | np.ndarray,
    log: EventLog,
    known: pd.DataFrame | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    *,
    seed: int = 0,
) -> Costs:
    """How many calls, repeats and hours, and how much mood, does each theme cost beyond what its cases would cost anyhow?

    Parameters
    ----------
    asks : TicketThemes or array of int
        The tickets in themes, of the same log; a case has the theme of its first ticket. Or a theme per case, in the order of
        the log; negative for none.
    log : EventLog
        The unit is a case that is over and has a theme. Open cases, and cases without a ticket in a theme, count neither way.
    known : DataFrame, optional
        What was known of each case when help was first sought, one row per case: `journey.cases(log, dataset)`. Its topic,
        application and open_incident say what the case is about and are left out. Without it only the stage at which help was
        first sought is levelled out.
    tables : mapping, optional
        ``tickets`` says with `opened_at` which ticket of a case is its first (else the order of the rows does); ``surveys``
        gives the mood at the end.
    seed : int
        Decides which customers share a fold.

    Returns
    -------
    Costs
        `table` has one row per theme and ``outcome``: ``call`` (reached the escalation stage, 0 or 1), ``repeat`` (another case
        of the customer within 7 days of the end), ``hours`` (from seeking help to the end), ``mood`` (score of the commonest
        kind of survey, where there are 50 a theme; else the sentiment of the last touch, -1 to 1). ``n``: cases of the theme of
        which it is known; ``mean`` and ``mean_others``: plain means of those. ``effect``: how the theme's cases differ from
        what they would be like as cases of the other themes, with 95 % interval by customer (``low``, ``high``) and
        ``q_value`` over the themes of an outcome; ``corrected``: for severity as two signs tell it, not as they stand.
        ``burden``: share of the cases times effect, times cases a month: what would not be there if the theme's cases were like
        the others' (calls, repeats, hours a month; not for mood, which does not add up). ``why``: what was missing, else "".

    Raises
    ------
    DataError
        If the labels or `known` are of another log.

    Notes
    -----
    *Asked* of a theme's cases: their own outcome, less that of other themes' cases which began alike: stage at which help was
    first sought, severity (impact, urgency), month, and the customer's kind, history and segment. Nothing that the theme may
    bring about later is levelled out: not where the case went, nor where it ended. Who began at the escalation stage has
    called under any theme, so a theme is charged with the calls after that. `stats.doubly_robust`; where the two signs agree
    (F of 10 or more), `stats.corrected`, since a noisy sign levels out too little.

    Where customers come back with the same theme, part of their history is its doing; levelling it out makes the repeats of
    such a theme look less special than they are (the intervals of the worst of 14 simulated ones held in 87 % of the worlds).

    It is a comparison with the other themes, not with none: half of the themes lie below. It assumes that the signs are not
    moved by the theme itself, and that no other cause drives both. That a ticket was written is taken as it is: where only
    grave cases get one, this speaks of those.

    *Mood*, where not all of it is known, is weighted by the inverse chance of being known, given all of the above, the theme,
    the last stage, hours and the call (`stats.for_all`).

    Interval of the burden: of share and effect, taken as unrelated; cases a month are taken as they were.

    References
    ----------
    See `stats.doubly_robust`, `stats.corrected`, `stats.for_all`; Benjamini and Hochberg (1995) for q-values.

    Examples
    --------
    >>> from cxlib.eventlog import from_paths
    >>> found = costs(np.array([0, 1]), from_paths(a="help phone", b="help"))
    >>> found.table[["theme", "outcome", "n", "mean", "why"]].values.tolist()[0]
    [0, 'call', 1, 1.0, 'fewer than 50 cases or 30 customers of the theme or of the others']
    """
    theme = _themes_of_cases(asks, log, tables or {})
    frame = pd.DataFrame(index=pd.RangeIndex(log.n_cases)) if known is None else known.reset_index(drop=True)
    for name, n in (("a theme", len(theme)), ("what was known", len(frame))):
        if n != log.n_cases:
            raise DataError(f"{name} is given for {n:,} cases, the log has {log.n_cases:,}: give one row per case of this log")
    over = ~log.case_open
    here = np.flatnonzero(over & (theme >= 0))
    of_case = log.per_case(_ends)
    score, mood_from = _moods(asks, log, of_case.pop(MOOD).to_numpy(), tables or {}, here)
    values = np.column_stack([of_case[CALL], of_case[REPEAT], of_case[HOURS], score])[here] if len(here) else np.empty((0, 4))
    used = [name for name in frame if name not in _OF_THE_PROBLEM]
    key = log.customer_key[log.customer_of_case[here]] if len(here) else np.empty(0, dtype=np.uint64)
    side = Side.of(theme[here], frame[used].assign(first_stage=of_case["first_stage"]).iloc[here], key)
    names = {int(i): f"theme {i}" for i in np.unique(theme[theme >= 0])}
    if isinstance(asks, TicketThemes):
        names = dict(zip(asks.table["theme"].tolist(), asks.table["name"], strict=True))
    months = (log.observed_until - log.observed_from) / MONTH if log.n_cases else 0.0
    with threadpool_limits(1):  # the matrices are narrow: more threads only wait for each other
        table = _table(names, values, side, of_case["last_stage"].iloc[here], _nothing_known(log, mood_from), months, seed)
    n_no_theme = int((over & (theme < 0)).sum())
    return Costs(table, months, log.stages[log.escalation], mood_from, len(here), int((~over & (theme >= 0)).sum()), n_no_theme)


def _themes_of_cases(asks: TicketThemes | np.ndarray, log: EventLog, tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """The theme of each case: that of its first ticket; -1 where it has none."""
    if not isinstance(asks, TicketThemes):
        return np.asarray(asks, dtype=int)
    tickets = asks.tickets[["case_id", "theme"]]
    opened = tables.get("tickets", pd.DataFrame())
    if "opened_at" in opened:
        tickets = tickets.assign(at=opened["opened_at"].to_numpy()).sort_values("at", kind="stable", na_position="last")
    first = tickets.dropna(subset="case_id").drop_duplicates("case_id").set_index("case_id")["theme"]
    return first.reindex(log.case_id).fillna(MIXED).to_numpy(dtype=int)


def _ends(log: EventLog) -> dict[str, np.ndarray]:
    """A kernel: what became of each case (NaN where it is not known), and where help was first sought."""
    asked = sought(log)
    last, back = log.case_start[1:] - 1, returned(log, 7 * DAY)
    return {
        CALL: (first_touch(log, log.stage == log.escalation) < log.n_touches).astype(float),
        REPEAT: np.where(back < 0, np.nan, back),
        HOURS: np.maximum(0, log.case_end - log.at[asked]) / HOUR,
        MOOD: np.where(log.mood[last] == NO_MOOD, np.nan, log.mood[last] / 1000),
        "first_stage": np.array(log.stages, dtype=object)[log.stage[asked]],
        "last_stage": np.array(log.stages, dtype=object)[log.stage[last]],
    }


def _moods(
    asks: TicketThemes | np.ndarray, log: EventLog, sentiment: np.ndarray, tables: Mapping[str, pd.DataFrame], here: np.ndarray
) -> tuple[np.ndarray, str]:
    """The mood at the end of each case and where it is from: surveys, where 50 cases a theme have a score on average."""
    surveys = tables.get("surveys", pd.DataFrame())
    if isinstance(asks, TicketThemes) and {"ticket_id", "score"} <= set(surveys):
        told = surveys.dropna(subset=["ticket_id", "score"])
        kind = told["instrument"].fillna("") if "instrument" in told else pd.Series("", index=told.index)
        if len(told):
            most = kind.mode()[0]
            case = told["ticket_id"].map(asks.tickets.drop_duplicates("ticket_id").set_index("ticket_id")["case_id"])
            score = told["score"].astype(float)[kind == most].groupby(case[kind == most]).mean()
            found = score.reindex(log.case_id).to_numpy(dtype=float)
            if (~np.isnan(found[here])).sum() >= FEWEST * len(asks.table):
                return found, f"survey: {most}" if most else "survey"
    return sentiment, "sentiment" if not np.isnan(sentiment).all() else ""


def _nothing_known(log: EventLog, mood_from: str) -> dict[str, str]:
    """Why an outcome can be told of no theme; no entry where it can."""
    if not log.n_cases:
        return dict.fromkeys(OUTCOMES, "nothing is dated, so there are no cases")
    missing = {}
    if log.n_customers == log.n_cases:
        missing[REPEAT] = "no customer has two cases: customers may be unknown"
    if (log.at == log.at[0]).all():
        missing |= dict.fromkeys((REPEAT, HOURS), "all touches have one time: times may be unknown")
    return missing | ({} if mood_from else {MOOD: "no survey has a score and no last touch a sentiment"})


def _table(
    names: Mapping[int, str], values: np.ndarray, side: Side, last: pd.Series, missing: dict[str, str], months: float, seed: int
) -> pd.DataFrame:
    filled = values.copy()
    if MOOD not in missing and (~np.isnan(values[:, 3])).sum() >= FEWEST:
        filled[:, 3] = stats.for_all(values[:, 3], _course(values, side, last), side.key, seed=seed)
    rows = [
        row | {"theme": theme, "name": name}
        for theme, name in names.items()
        for row in _of_theme(replace(side, theme=side.theme == theme), values, filled, missing, months, seed)
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["q_value"] = table.groupby("outcome")["p_value"].transform(lambda p: stats.false_discovery(p.to_numpy(float)))
    return table


def _course(values: np.ndarray, side: Side, last: pd.Series) -> np.ndarray:
    """All that is known of each case, its course too, as numbers: on this depends whether its mood is known."""
    course = pd.DataFrame({"theme": side.theme.astype(str), "last": last.to_numpy(), "n_hours": values[:, 2]})
    return np.hstack([*side.numbers.values(), values[:, :1], stats.numbers(course, list(course))])


def _of_theme(
    side: Side, values: np.ndarray, filled: np.ndarray, missing: dict[str, str], months: float, seed: int
) -> list[dict]:
    """The rows of one theme; `side.theme` says which cases are its own."""
    rows = [_plain(outcome, values[:, i], side, missing.get(outcome, "")) for i, outcome in enumerate(OUTCOMES)]
    alike: dict[bytes, list[int]] = {}  # outcomes known of the same cases share their models
    for i, row in enumerate(rows):
        if not row["why"]:
            alike.setdefault(np.isnan(filled[:, i]).tobytes(), []).append(i)
    for places in alike.values():
        kept = ~np.isnan(filled[:, places[0]])
        part = side.where(kept)
        for i, (found, corrected) in zip(places, effects(filled[kept][:, places], part, seed), strict=True):
            rows[i] |= found._asdict() | {"p_value": p_value(found, part.key), "corrected": corrected}
            if OUTCOMES[i] != MOOD:
                monthly = burden(found, part.theme, part.key, len(values) / months)
                rows[i] |= dict(zip(("burden", "burden_low", "burden_high"), monthly, strict=True))
    return rows


def _plain(outcome: str, values: np.ndarray, side: Side, missing: str) -> dict:
    """What is counted, and why no more can be said ("" if it can)."""
    own, others = (values[~np.isnan(values) & rows] for rows in (side.theme, ~side.theme))
    row = {"outcome": outcome, "n": 0 if missing else len(own), "corrected": False}
    row["why"] = missing or too_few(values, side, yes_or_no=outcome in (CALL, REPEAT))
    means = {"mean": own, "mean_others": others}
    return row | {name: float(some.mean()) for name, some in means.items() if len(some) and not missing}
