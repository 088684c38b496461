"""The real city requests: who calls after asking online, how far an address stands for a person, and what will be overdue."""

from pathlib import Path

import pytest
from sklearn import metrics

from cxlib import escalation, open_dataset
from cxlib.cli import main
from cxlib.escalation.overdue import tickets_due

MAPPING = Path(__file__).parent.parent / "data" / "mappings" / "boston311.toml"


@pytest.fixture(scope="module")
def boston(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("boston") / "out"
    assert (
        main(["import", "table", str(real_data / "boston311_2015.csv.xz"), "--mapping", str(MAPPING), "--out", str(out)]) == 0
    )
    return open_dataset(out)


def test_overdue_is_what_the_city_calls_overdue(boston):
    """Wherever the outcome is known when the data end it is the city's own; its status knows some of the rest already."""
    tickets = boston.tables["tickets"].set_index("ticket_id")
    _, known = tickets_due(boston, "2000d")
    ends = known.keys.groupby("case_id")["stage"].last()
    theirs = tickets["made_sla"].reindex(ends.index)
    settled = ends.isin(["done", "overdue"]) & theirs.notna()
    assert settled.sum() > 50_000
    assert ((ends == "overdue")[settled] == ~theirs[settled].astype(bool)).all()
    assert (theirs[~ends.isin(["done", "overdue"])].notna()).sum() > 2_000  # from after the end of the data: a leak, unread


@pytest.fixture(scope="module")
def late(boston):
    return escalation.fit(boston, target="overdue")


def test_overdue_is_forecast_with_an_auc_of_point_eight_and_a_little_less_at_the_opening(late):
    auc, opening = late.metrics["auc"], late.by_stage.set_index("stage").loc["opened"]
    assert auc["value"] >= 0.80
    assert 0.78 < opening["value"] < 0.80
    assert min(auc["low"], opening["low"]) > 0.77
    assert auc["n"] == opening["n"] > 7_000
    assert late.ece < 0.05
    assert late.counts["held_out_unknown"] > 1_000


def test_the_auc_is_the_same_where_nothing_had_to_be_weighted_for(boston, late):
    """Tickets due before the data end are known whatever became of them: there no one has to speak for another."""
    rows = late.table[late.table["stage"] == "opened"]
    due = boston.tables["tickets"].set_index("ticket_id")["due_at"].loc[rows["case_id"]]
    settled = rows[(due <= boston.settings.observed_until).to_numpy()]
    assert 5_000 < len(settled) < len(rows)
    plain = metrics.roc_auc_score(settled["escalated"], settled["chance"])
    assert plain == pytest.approx(late.by_stage.set_index("stage").loc["opened", "value"], abs=0.02)


def test_calls_after_asking_online_are_forecast_better_than_by_guessing(boston):
    found = escalation.fit(boston, target="phone", horizon="14d")
    auc = found.metrics["auc"]
    assert auc["low"] > 0.6
    assert found.counts["held_out_escalated"] > 50
    assert 0.008 < found.overall["share"] < 0.02


def test_about_half_of_the_calls_after_asking_online_would_be_there_by_chance(boston):
    """An address is not a person: more calls follow than at random addresses, but these explain about half of them."""
    result = escalation.by_chance(boston, target="phone", horizon="14d")
    followed, chance, beyond = (result.rate(what)["share"] for what in result.table["what"])
    assert result.rate("beyond chance")["low"] > 0
    assert result.table["n"].iloc[0] > 20_000
    assert 0.4 < chance / followed < 0.65
    assert beyond == pytest.approx(followed - chance)
