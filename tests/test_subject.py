"""What the tickets' texts are about, as a feature: found before the split only, kept with the forecast."""

import numpy as np
import pandas as pd
import pytest

from cxlib import escalation, open_dataset, store
from cxlib.escalation import subject
from cxlib.schema import DataError

START = pd.Timestamp("2026-03-02T12:00:00Z")
ABOUT = {
    "invoice": ["the invoice shows a wrong amount", "please correct my last invoice", "invoice was charged twice this month"],
    "password": ["cannot reset my password", "the password link does not arrive", "locked out after a new password"],
    "delivery": ["my delivery is late again", "where is the parcel of my delivery", "delivery came to the wrong address"],
}


def world(n: int, seed: int = 0, later: str = "") -> dict[str, pd.DataFrame]:
    """Tickets about three things, one of which leads to a call far more often; `later` is added to the newest fifth's texts."""
    rng = np.random.default_rng(seed)
    rows, tickets = [], []
    for i in range(n):
        about = rng.choice(list(ABOUT))
        at = START + pd.Timedelta(hours=i)
        text = rng.choice(ABOUT[about]) + f" case {chr(97 + rng.integers(26))}{chr(97 + rng.integers(26))}"
        tickets.append((f"k{i}", f"c{i}", at, text + (later if i >= 0.8 * n else "")))
        rows.append((f"c{i}", at, "help", f"k{i}"))
        if rng.random() < (0.6 if about == "invoice" else 0.08):
            rows.append((f"c{i}", at + pd.Timedelta(minutes=20), "phone", f"k{i}"))
    touches = pd.DataFrame(rows, columns=["case_id", "occurred_at", "stage", "ticket_id"])
    touches = touches.assign(touchpoint_id=[f"t{i}" for i in range(len(touches))], user_id=touches["case_id"])
    return {
        "touchpoints": touches,
        "tickets": pd.DataFrame(tickets, columns=["ticket_id", "case_id", "opened_at", "short_description"]),
    }


@pytest.fixture
def opened(tmp_path):
    def write(tables, name="data"):
        until = tables["touchpoints"]["occurred_at"].max() + pd.Timedelta(days=30)
        store.write_dataset(tmp_path / name, {"name": "test", "observed_until": until}, tables)
        return open_dataset(tmp_path / name)

    return write


def test_what_tickets_are_about_tells_who_calls_and_is_kept(opened, tmp_path):
    dataset = opened(world(700))
    without, found = escalation.fit(dataset), escalation.fit(dataset, themes=True)
    assert without.metrics["auc"]["value"] < 0.65
    assert found.metrics["auc"]["value"] > 0.75
    assert "theme.value" in found.features
    kept = escalation.Forecaster.load(found.kept.save(tmp_path / "forecast.npz"))
    again = escalation.again(kept, dataset)
    ours, theirs = (part.set_index("touchpoint_id")["chance"] for part in (again.table, found.table))
    assert ours.reindex(theirs.index).to_numpy() == pytest.approx(theirs.to_numpy())


def test_words_of_newer_tickets_teach_nothing(opened):
    """Themes are of the texts before the split: others in the newest tickets leave the model as it was."""
    one = escalation.fit(opened(world(400), "one"), themes=True)
    other = escalation.fit(opened(world(400, later=" zebra zebra giraffe"), "other"), themes=True)
    assert one.kept.book.table["name"].tolist() == other.kept.book.table["name"].tolist()
    for name, array in one.model.scorer.arrays().items():
        assert np.array_equal(array, other.model.scorer.arrays()[name]), name


def test_a_text_is_known_from_its_tickets_opening_on(opened):
    dataset = opened(world(400))
    log, known = escalation.forecast.told(dataset, None, None)
    early = known.keys["ticket_id"].isna()
    book = subject.learned(dataset, log.observed_until)
    found = subject.with_themes(known, log, dataset, book)
    assert found.features.loc[early, "theme.value"].isna().all()
    assert found.features.loc[~early, "theme.value"].notna().all()


def test_a_ticket_without_words_is_in_no_theme(opened):
    tables = world(400)
    tables["tickets"].loc[0, "short_description"] = "..."
    dataset = opened(tables)
    log, known = escalation.forecast.told(dataset, None, None)
    found = subject.with_themes(known, log, dataset, subject.learned(dataset, log.observed_until))
    assert found.features.loc[known.keys["ticket_id"] == "k0", "theme.value"].tolist()[0] == subject.NO_THEME


def test_too_few_texts_are_refused_with_what_to_do(opened):
    with pytest.raises(DataError, match="leave themes out"):
        escalation.fit(opened(world(90)), themes=True)
    tables = world(400)
    tables["tickets"] = tables["tickets"].drop(columns="short_description")
    with pytest.raises(DataError, match="0 tickets from before the split"):
        escalation.fit(opened(tables, "wordless"), themes=True)
