"""How many of a list will escalate: ranges that hold, silence that means what it says, reasons that name what drives a case."""

from itertools import product
from time import process_time

import numpy as np
import pandas as pd
import pytest
from drills import central
from drills import escalation as drill
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binom

from cxlib import eventlog, store
from cxlib.escalation.expected import PRIOR, corrected, correction_of, count_range, number_law, past_lists
from cxlib.escalation.labels import outcomes
from cxlib.escalation.silence import after_silence, listed_for

DAY, UNTIL = 24.0, 60 * 24.0  # hours stand for microseconds here


# ---- the law of the number


@given(st.lists(st.floats(0, 1), max_size=7))
@settings(max_examples=30, deadline=None)
def test_the_law_of_the_number_is_that_of_all_ways_to_come_about(chance):
    law = np.zeros(len(chance) + 1)
    for way in product((0, 1), repeat=len(chance)):
        law[sum(way)] += np.prod([p if came else 1 - p for p, came in zip(chance, way, strict=True)])
    assert number_law(np.array(chance)) == pytest.approx(law, abs=1e-12)


def test_equal_chances_give_the_binomial_law():
    assert number_law(np.full(200, 0.3)) == pytest.approx(binom.pmf(range(201), 200, 0.3), abs=1e-12)


def test_the_law_of_many_is_that_of_one_case_after_the_other_and_quick():
    chance = np.random.default_rng(0).beta(0.4, 1.6, 2_500)
    law = np.ones(1)
    for p in chance:
        law = np.append(law * (1 - p), 0) + np.append(0, law * p)
    assert np.abs(number_law(chance) - law).sum() / 2 < 1e-9  # total variation
    began = process_time()
    assert number_law(np.full(100_000, 0.1)).sum() == pytest.approx(1)
    assert process_time() - began < 5


def test_ranges_cover_what_they_say_over_many_lists():
    rng = np.random.default_rng(1)
    lists = [rng.beta(0.4, 1.6, 40) for _ in range(200)]
    held = [number_law(p)[low : high + 1].sum() for p in lists for low, high in [count_range(p, 0.0)]]
    assert np.mean(held) == pytest.approx(0.955, abs=0.01)


def test_an_empty_list_and_sure_cases_have_no_range_and_doubt_widens_one():
    assert count_range(np.empty(0), 0.3) == (0, 0)
    assert count_range(np.ones(5), 0.3) == (5, 5)
    widths = [high - low for low, high in (count_range(np.full(40, 0.3), error) for error in (0.0, 0.3, 1.0))]
    assert widths == sorted(widths) and widths[0] < widths[2]


# ---- how long a moment stays the newest of an open case


def test_a_moment_is_listed_until_the_next_touch_the_resolution_or_the_gap(tmp_path):
    noon = pd.Timestamp("2026-03-02T12:00:00Z")

    def hour(h):
        return (noon + pd.Timedelta(hours=h)).as_unit("us")

    rows = [("a", 0, "k"), ("a", 5, "k"), ("b", 1, None), ("c", 2, "m"), ("d", 700, None)]
    touch = pd.DataFrame(rows, columns=["case_id", "hour", "ticket_id"])
    touch = touch.assign(
        touchpoint_id=[f"t{i}" for i in range(len(rows))],
        user_id=touch["case_id"],
        stage="help",
        occurred_at=touch.pop("hour").map(hour),
    )
    tickets = pd.DataFrame({"ticket_id": ["k", "m"], "case_id": ["a", "c"], "opened_at": [hour(0), hour(2)]})
    tickets["resolved_at"] = pd.Series([hour(9), pd.NaT])
    until = {"observed_until": hour(720), "cases": {"by": "user_id", "gap": "7d"}}
    store.write_dataset(tmp_path / "data", {"name": "test"} | until, {"touchpoints": touch, "tickets": tickets})
    log = eventlog.compile(store.open_dataset(tmp_path / "data"))

    def found(h):
        listed = pd.Series(listed_for(log, int(hour(h).value // 1000)), index=log.touchpoint_id) / 3.6e9
        return [listed[f"t{i}"] for i in range(len(rows))]

    inf = np.inf
    assert found(720) == [5, 4, 7 * 24, inf, inf]  # next touch; resolved; gap; unresolved; too new
    assert found(8) == [5, inf, inf, inf, inf], "what comes later is not known"


def test_that_a_ticket_is_still_open_raises_a_chance_where_the_others_are_resolved_soon():
    past = pd.DataFrame({"stage": "agent", "chance": 0.5, "weight": 1.0, "label": [True] * 20 + [False] * 20})
    past["gap"] = [10.0] * 20 + [2.0] * 19 + [99.0]
    now = after_silence(np.array([0.5, 0.5]), np.array(["agent", "agent"]), np.array([0.0, 5.0]), past)
    assert now == pytest.approx([0.5, 20.5 / (20.5 + 1.5)])


# ---- past lists


def held_out(rng, shift, n=900):
    """Held-out and training moments of cases, three to a customer, whose log odds the chances miss by `shift`.

    Who escalates does so after a day on average, who does not is resolved after a day on average.
    """
    margin = rng.normal(-2, 1.2, n)
    will = rng.random(n) < expit(margin + shift + np.repeat(rng.normal(0, 0.3, n // 3), 3))
    at, gap = rng.uniform(0, UNTIL, n), rng.exponential(DAY, n)
    rows = pd.DataFrame({"stage": "help", "at": at, "chance": expit(margin), "customer": np.repeat(np.arange(n // 3), 3)})
    came = will & (at + gap <= UNTIL)
    rows = rows.assign(gap=np.where(at + gap < UNTIL, gap, np.inf), escalated=came, wait=np.where(came, gap, np.nan), will=will)
    past = rows.assign(label=will, gap=rng.exponential(DAY, n), weight=1.0)
    return rows, past


def test_past_lists_hold_each_case_while_it_is_open_and_silent():
    rows = pd.DataFrame({"stage": "help", "at": [0.0, 0.0, 5.0], "gap": [2.0, np.inf, 1.0], "chance": 0.5, "customer": 1})
    rows = rows.assign(escalated=False, wait=np.nan)
    past = pd.DataFrame({"stage": "help", "chance": 0.5, "gap": [1.0], "label": [True], "weight": [1.0]})
    sizes = past_lists(rows, past, 40).groupby("date").size()
    assert sizes.to_dict() == {1.0: 2, 2.0: 2, 3.0: 1, 4.0: 1, 5.0: 1, 6.0: 2} | dict.fromkeys(map(float, range(7, 41)), 1)


def test_what_past_lists_were_off_by_is_found_and_its_error_is_honest():
    draws = [correction_of(*held_out(np.random.default_rng(seed), 0.4), UNTIL) for seed in range(30)]
    shift, error = np.array(draws).T
    assert shift.mean() == pytest.approx(0.4 * (1 - (error**2).mean() / PRIOR**2), abs=0.08)  # held back by the prior
    assert 0.7 < shift.std() / error.mean() < 1.3
    assert corrected(np.array([0.2]), 0.4) > 0.2


def test_without_escalations_on_past_lists_the_doubt_is_that_of_the_prior():
    rows, past = held_out(np.random.default_rng(0), 0.0)
    shift, error = correction_of(rows.iloc[:3].assign(chance=1e-6, escalated=False, wait=np.nan), past, UNTIL)
    assert (shift, error) == (pytest.approx(0, abs=1e-3), pytest.approx(PRIOR, abs=1e-3))
    assert correction_of(rows, past, UNTIL, horizon=2 * UNTIL) == (0, PRIOR)  # no list is that old


def test_ranges_hold_by_the_coverage_rule_where_chances_are_off_and_customers_have_several_cases():
    hits = sum(_holds(np.random.default_rng([7, seed])) for seed in range(100))
    low, high = central(100)
    assert low <= hits <= high


def _holds(rng) -> bool:
    rows, past = held_out(rng, rng.normal(0, 0.3))
    shift, error = correction_of(rows, past, UNTIL)
    waiting = rows[np.isinf(rows["gap"])]
    now = after_silence(waiting["chance"].to_numpy(), waiting["stage"].to_numpy(), UNTIL - waiting["at"].to_numpy(), past)
    low, high = count_range(corrected(now, shift), error)
    return low <= waiting["will"].sum() <= high


@pytest.mark.parametrize("horizon", [7, 14, 20])
def test_exact_chances_need_no_correction_within_a_horizon(horizon):
    """Of newer moments than the horizon only those that escalated are known; they must not pass for all."""
    draws = np.array([_exact(np.random.default_rng([horizon, seed]), horizon * DAY) for seed in range(8)])
    shift, error = draws.T
    assert abs(shift.mean()) < error.mean()


def _exact(rng, horizon, n=4000):
    """Moments that escalate in two days on average, or never, with the chance that they do so within the horizon."""
    chance = 0.3 * (1 - np.exp(-horizon / (2 * DAY)))

    def drawn(n):
        return np.where(rng.random(n) < 0.3, rng.exponential(2 * DAY, n), np.inf)

    at, wait, then = rng.uniform(0, UNTIL, n), drawn(n), drawn(20 * n)
    known = pd.DataFrame(
        {"case": range(n), "at": at, "is_open": True, "escalated_at": np.where(at + wait < UNTIL, at + wait, np.nan)}
    )
    out = outcomes(known, np.ones(n, dtype=bool), UNTIL, horizon)
    rows = pd.DataFrame({"stage": "help", "at": at, "chance": chance, "escalated": out["label"], "customer": range(n)})
    rows = rows.assign(gap=np.where(at + wait < UNTIL, wait, np.inf), wait=np.where(out["label"], wait, np.nan))
    past = pd.DataFrame({"stage": "help", "chance": chance, "weight": 1.0, "label": then <= horizon, "gap": then})
    return correction_of(rows[out["weight"] > 0], past, UNTIL, horizon)


# ---- the drill, in small


def test_the_main_driver_of_a_case_is_among_its_reasons_for_both_kinds_of_model():
    found = drill.named(100)
    assert found.groupby("model").size().min() >= 150
    assert (found.groupby("model")["is_named"].mean() >= drill.NAMED).all()


def test_dealt_labels_are_as_many_and_come_after_all_that_is_known_of_their_case():
    keys = pd.DataFrame({"case": np.repeat(np.arange(50), 2), "at": np.arange(100) % 2 + np.repeat(np.arange(50), 2) * 3})
    keys = keys.assign(escalated_at=np.where(keys["case"] % 5 == 0, 1e6, np.nan), is_training=keys["case"] < 40)
    keys["is_test"] = ~keys["is_training"]
    blind = drill.dealt(keys, np.random.default_rng(0))
    of_case = blind.groupby("case")["escalated_at"]
    assert of_case.nunique().sum() == 10
    assert (blind["escalated_at"].dropna() > keys["at"][blind["escalated_at"].notna()]).all()
    share = np.mean(
        [drill.dealt(keys, np.random.default_rng(i)).groupby("case")["escalated_at"].first().notna() for i in range(60)],
        axis=0,
    )
    assert share == pytest.approx(np.full(50, 0.2), abs=0.2)


def test_a_coefficient_that_should_be_zero_leans_against_the_skew_where_labels_are_rare():
    """Why training labels dealt alone come out below one half."""
    leaning = {share: drill.leaning(share, n=400, draws=1_500) for share in (0.1, 0.5)}
    assert leaning[0.1][0] < -0.1
    assert abs(leaning[0.5][0]) < 0.08
    assert leaning[0.1][0] == pytest.approx(leaning[0.1][1], abs=0.12)
