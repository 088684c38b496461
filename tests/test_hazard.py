"""Within how long? Spells against lifelines, a planted hazard, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from cxlib import escalation, open_dataset, store, words
from cxlib.escalation import hazard, models
from cxlib.schema import DAY, DataError

SPANS = {"1d": DAY, "3d": 3 * DAY, "7d": 7 * DAY}
START = pd.Timestamp("2026-03-02T12:00:00Z")


def moments(n: int, seed: int) -> tuple[pd.DataFrame, int]:
    """One moment a case, watched for 0 to 9 days, with an escalation after a random while if at all."""
    rng = np.random.default_rng(seed)
    until = 100 * DAY
    at = until - rng.integers(0, 9, n) * DAY
    wait = np.where(rng.random(n) < 0.6, rng.integers(1, 10 * DAY, n), np.nan)
    return pd.DataFrame({"case": np.arange(n), "began": at, "at": at, "escalated_at": at + wait}), until


def test_the_share_within_each_span_is_that_of_kaplan_and_meier():
    keys, until = moments(400, 1)
    rows = hazard.spells(keys, np.ones(400, dtype=bool), until, SPANS)
    came = rows.groupby("span", sort=False)["label"].mean()
    ours = 1 - np.cumprod(1 - came.to_numpy())
    limits = np.array(list(SPANS.values()))
    wait, watched = (keys["escalated_at"] - keys["at"]).to_numpy(), (until - keys["at"]).to_numpy()
    through = np.searchsorted(limits, watched, side="right")  # spans watched to their end: those after it are censored there
    came_in = np.where(np.isnan(wait), 99, np.searchsorted(limits, wait) + 1)
    theirs = KaplanMeierFitter().fit(np.minimum(through, came_in), came_in <= through)
    assert ours == pytest.approx(1 - theirs.survival_function_at_times([1, 2, 3]).to_numpy())


def test_a_span_counts_only_if_it_was_watched_to_its_end_whatever_came_of_it():
    keys = pd.DataFrame({"case": [0, 1], "began": 0, "at": [0, 0], "escalated_at": [2.5 * DAY, np.nan]})
    rows = hazard.spells(keys, np.ones(2, dtype=bool), 2 * DAY + DAY // 2, SPANS)
    assert rows["span"].tolist() == ["1d", "1d"]
    assert not rows["label"].any()


def test_a_planted_hazard_is_found_again():
    """Log odds of -3, -2 and -1 in the three spans, two more where the mood is bad."""
    rng = np.random.default_rng(3)
    n = 12_000
    bad = rng.random(n) < 0.3
    span_of = np.full(n, 99)
    for number, base in enumerate((-3.0, -2.0, -1.0)):
        comes = rng.random(n) < 1 / (1 + np.exp(-(base + 2 * bad)))
        span_of = np.where((span_of == 99) & comes, number, span_of)
    inside = np.append(np.array(list(SPANS.values())) - 1, 0.0)  # just within each span
    wait = np.where(span_of < 99, inside[np.minimum(span_of, 3)], np.nan)
    keys = pd.DataFrame({"case": np.arange(n), "began": np.arange(n), "at": 0, "escalated_at": wait})
    rows = hazard.spells(keys, np.ones(n, dtype=bool), 10 * DAY, SPANS)
    features = pd.DataFrame({"mood.last": np.where(bad, -1.0, 1.0)})
    told = features.loc[rows.index].assign(**{"within.span": rows["span"].to_numpy()}).reset_index(drop=True)
    model = models.logistic(told, rows["label"].to_numpy(), rows["weight"].to_numpy())
    found = hazard.Within(pd.DataFrame(), tuple(SPANS), model).chance(pd.DataFrame({"mood.last": [1.0, -1.0]})).to_numpy()
    truth = [1 - np.cumprod(1 - 1 / (1 + np.exp(-(np.array([-3, -2, -1]) + more)))) for more in (0, 2)]
    assert found == pytest.approx(np.array(truth), abs=0.02)
    assert (np.diff(found, axis=1) > 0).all()


def test_on_a_data_set_the_mean_chance_is_near_the_share_and_rises(demo):
    found = escalation.within(open_dataset(demo))
    table = found.table
    assert table["mean_chance"].is_monotonic_increasing
    assert ((table["mean_chance"] - table["share"]).abs() < 0.03).all()
    assert (table["auc_low"] > 0.65).all()
    assert (table["n"] + table["unknown"] > 1000).all()


@pytest.mark.parametrize("spans", [("3d", "1d"), ("1d", "1d"), ()])
def test_spans_that_do_not_rise_are_refused(demo, spans):
    with pytest.raises(DataError, match="do not rise"):
        escalation.within(open_dataset(demo), spans)


def test_too_few_escalations_are_said(tmp_path):
    rows = [(f"c{i}", START + pd.Timedelta(hours=i), "help") for i in range(50)]
    touches = pd.DataFrame(rows, columns=["case_id", "occurred_at", "stage"])
    touches = touches.assign(touchpoint_id=[f"t{i}" for i in range(50)], user_id=touches["case_id"])
    store.write_dataset(tmp_path / "data", {"observed_until": START + pd.Timedelta(days=30)}, {"touchpoints": touches})
    found = escalation.within(open_dataset(tmp_path / "data"))
    assert "no model is fitted" in found.why_not
    assert found.table.empty
    with pytest.raises(DataError, match="no model is fitted"):
        found.chance(pd.DataFrame({"mood.last": [0.0]}))


def test_the_spans_are_said_with_what_was_forecast_and_observed():
    table = pd.DataFrame(
        {
            "within": ["1d", "7d"],
            "mean_chance": [0.1, 0.4],
            "share": [0.12, 0.2],
            "low": [0.09, 0.18],
            "high": [0.15, 0.22],
            "n": [90, 80],
        }
    )
    said = words.say_within(hazard.Within(table, ("1d", "7d"), None), "phone")
    assert "within 1 day 10.0 % forecast, 12.0 % (95 %: 9.0-15.0) observed (n = 90)" in said
    assert said.startswith("Of the held-out moments, reached phone: ")
    assert said.endswith("It lies outside for 7 days.")
    assert (
        words.say_within(hazard.Within(table.iloc[:0], (), None, "too few: no model is fitted"), "phone")
        == "Too few: no model is fitted."
    )
