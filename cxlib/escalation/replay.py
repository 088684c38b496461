"""Does any feature see the future? The data set is cut off at past times, and its features are compared with the whole's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxlib.escalation.features import as_opened
from cxlib.escalation.forecast import told
from cxlib.escalation.subject import with_themes
from cxlib.eventlog import progress
from cxlib.schema import ROW_TIME, TABLES, DataError
from cxlib.store import Dataset, open_dataset, write_dataset
from cxlib.themes import Codebook

_LINKED = {"identities": "linked_at"}  # rows that come about later than what they are about
# What the features of a group read, and what of it counts at a touch. Every other group is a field of the ticket.
READS = {
    "stage": ("touchpoints: stage", "touches of the case up to this one"),
    "touches": ("touchpoints", "touches of the case up to this one"),
    "action": ("touchpoints: action", "touches of the case up to this one"),
    "mood": ("touchpoints: sentiment", "touches of the case up to this one"),
    "time": (
        "touchpoints: occurred_at; tickets: category",
        "touches of the case up to this one; cases of its category that were over when the week began",
    ),
    "hour": ("touchpoints: occurred_at", "this touch"),
    "weekday": ("touchpoints: occurred_at", "this touch"),
    "wait": ("touchpoints: wait_s", "this touch"),
    "article": ("touchpoints: article_id", "touches of the case up to this one"),
    "application": ("touchpoints, tickets: application_id", "touches of the case up to this one, a ticket once it is opened"),
    "role": ("users: role", "the user table as it is, once a touch of the case names the user"),
    "plan": ("users: plan", "the user table as it is, once a touch of the case names the user"),
    "geography": ("users: geography", "the user table as it is, once a touch of the case names the user"),
    "ticket": ("tickets: opened_at", "a ticket once it is opened"),
    "customer": ("touchpoints: user_id, stage, sentiment", "what the user did before the case named them"),
    "load": ("touchpoints: stage, occurred_at", "touches of all cases up to this one's time"),
    "queue": ("tickets: opened_at, due_at, resolved_at", "tickets of the same kind opened, due or done before"),
    "theme": ("tickets: short_description, description", "a ticket once it is opened; themes from before the split"),
    "incident": ("incidents: application_id, detected_at or started_at, restored_at", "what was noticed, and over, by then"),
}
_OF_TICKET = ("ticket_events; tickets, where known at opening", "changes up to this touch's time, a ticket once it is opened")
_OVERDUE = ("tickets alike: opened_at, due_at, resolved_at", "tickets done or due in the days before")
_PAST = ("the same word in other cases; touchpoints: stage", "cases that showed it before, and their escalations before")


def declared(features: Sequence[str]) -> pd.DataFrame:
    """What does each feature read, and up to where? One row per feature: feature, reads, cut.

    >>> declared(["mood.last", "priority.n_changes"])["reads"].tolist()
    ['touchpoints: sentiment', 'ticket_events; tickets, where known at opening']
    """
    rows = []
    for name in features:
        group, what = name.split(".", 1)
        known = _OVERDUE if group.startswith("overdue_by_") else READS.get(group, _OF_TICKET)
        rows.append((name, *(_PAST if what == "past" else known)))
    return pd.DataFrame(rows, columns=["feature", "reads", "cut"])


def leak_probe(
    dataset: Dataset,
    cuts: int = 3,
    *,
    target: str | None = None,
    horizon: str | None = None,
    book: Codebook | None = None,
) -> pd.DataFrame:
    """Does any feature know what came later? The data set is cut off at past times, and its features are compared.

    Parameters
    ----------
    cuts : int
        How many times, spread evenly over the moments (at least 1). Each costs as much as making all features once.
    target, horizon
        As in `fit`.
    book : Codebook, optional
        The themes that the forecast reads: `forecast.kept.book`.

    Returns
    -------
    DataFrame
        One row per feature: feature, reads, cut (what of it counts), n (moments compared, over all cuts), n_differ, example (a
        touchpoint_id at which it differs, else empty). Features that differ come first.

    Raises
    ------
    DataError
        If `cuts` is below 1 or the data set has no touch.

    Notes
    -----
    What is deleted at a cut: rows that happened later, times that lie later, and every column that is filled in when a row is
    over (`known="end"` in the dictionary), whenever it was; a field of a ticket that is logged to change later has its old
    value again. A feature that differs has seen one of these. What carries no time is not found so: the users table is read as
    it is.
    """
    if cuts < 1:
        raise DataError(f"cuts={cuts} compares nothing: give the number of past times to cut at, at least 1")
    whole = _known(dataset, target, horizon, book)
    if whole.empty:
        raise DataError("the data set has no touch that could be compared")
    times = np.quantile(whole["_at"].to_numpy(), np.arange(1, cuts + 1) / (cuts + 1), method="lower")
    names = [name for name in whole if name != "_at"]
    n, differ = 0, dict[str, list[str]]({name: [] for name in names})
    with progress.bar("replaying the past", cuts) as shown:
        for time in times:
            with tempfile.TemporaryDirectory() as folder:
                past = _cut(dataset, pd.Timestamp(int(time), unit="us", tz="UTC"), Path(folder) / "cut")
                there = _known(past, target, horizon, book)
            n += len(there)
            for name, off in _different(whole.reindex(there.index), there, names).items():
                differ[name] += off
            shown.update(1)
    found = declared(names).assign(
        n=n, n_differ=[len(differ[name]) for name in names], example=[(differ[name] or [""])[0] for name in names]
    )
    return found.sort_values("n_differ", ascending=False, kind="stable", ignore_index=True)


def _different(here: pd.DataFrame, there: pd.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """For each feature the moments at which two frames with the same index differ; a column that is not there is missing."""
    found = {}
    for name in names:
        one, other = (frame[name] if name in frame else pd.Series(np.nan, frame.index) for frame in (here, there))
        same = (one == other) | (one.isna() & other.isna())
        found[name] = there.index[~same.to_numpy(dtype=bool)].tolist()
    return found


def _known(dataset: Dataset, target: str | None, horizon: str | None, book: Codebook | None) -> pd.DataFrame:
    """The features of all moments asked about, by touchpoint_id, and their time."""
    log, found = told(dataset, target, horizon)
    found = found if book is None else with_themes(found, log, dataset, book)
    rows = found.keys["at_risk"].to_numpy(dtype=bool)
    known = found.features[rows].assign(_at=found.keys["at"][rows])
    return known.set_index(found.keys["touchpoint_id"][rows].to_numpy())


def _cut(dataset: Dataset, until: pd.Timestamp, out: Path) -> Dataset:
    """The data set as it was at a time."""
    write_dataset(out, dataset.settings.as_toml() | {"observed_until": until}, cut_tables(dataset.tables, until))
    return open_dataset(out)


def cut_tables(tables: Mapping[str, pd.DataFrame], until: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """The tables as they were at a time: without later rows, changes and times, and what is filled in at the end."""
    found = {}
    for name, frame in as_opened(tables, until).items():
        happened = ROW_TIME.get(name, _LINKED.get(name))
        rows = frame[~(frame[happened] > until)] if happened in frame else frame
        # A promise lies ahead, and is known all the same.
        times = [column for column in rows if TABLES[name][column].kind == "time" and column != "due_at"]
        at_end = [column for column in rows if TABLES[name][column].known == "end" and column not in (*times, "due_at")]
        if len(rows):
            found[name] = rows.drop(columns=at_end).assign(**{c: rows[c].where(rows[c] <= until) for c in times})
    return found
