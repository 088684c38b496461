"""Where customers go: counted by hand, invariant where it must be, and true to the planted world."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drills import central
from drills.shares import coverage
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from cxlib import eventlog, journey
from cxlib.eventlog import from_paths
from cxlib.schema import STAGES, DataError, UnitError
from cxlib.store import Settings

WORDS = st.lists(st.sampled_from(STAGES), min_size=1, max_size=8).map(" ".join)
PATHS = st.dictionaries(st.from_regex(r"[a-d](__[1-3])?", fullmatch=True), WORDS, min_size=1, max_size=6)


def test_funnel_counts_cases_not_touches():
    table = journey.funnel(from_paths(a="help phone phone phone", b="help")).table
    assert table.loc["phone", "reached"] == 1
    assert table.loc["phone", "n"] == 2


def test_funnel_by_user_counts_a_customer_once():
    log = from_paths(a="help", a__2="phone", b="help")
    assert journey.funnel(log).table.loc["phone", ["reached", "n"]].tolist() == [1, 3]
    assert journey.funnel(log, by="user").table.loc["phone", ["reached", "n"]].tolist() == [1, 2]


def test_steps_must_come_in_order():
    log = from_paths(
        a="help chatbot agent", b="chatbot agent help", c="help agent chatbot agent", d="chatbot help agent chatbot"
    )
    table = journey.funnel(log, ["help", "chatbot", "agent"]).table
    assert table["reached"].tolist() == [4, 3, 2]


def test_a_step_named_again_has_a_row_and_a_drill_down_of_its_own():
    found = journey.funnel(from_paths(a="help", b="help phone help", c="help help"), ["help", "help", "help"])
    assert found.table["reached"].to_dict() == {"help": 3, "help (2)": 2, "help (3)": 0}
    assert [found.cases_at(step)["case_id"].tolist() for step in found.table.index] == [["a", "b", "c"], ["b", "c"], []]
    with pytest.raises(DataError, match=r"'help \(4\)' is not in this funnel: did you mean help"):
        found.cases_at("help (4)")
    with pytest.raises(DataError, match="steps names one stage twice"):
        journey.funnel(from_paths(a="help"), ["help", "help"], mode="any-order")


def test_rows_stay_apart_where_a_stage_is_named_like_a_second_row():
    stages = Settings(stages=("help", "help (2)"), escalation="help (2)", problem_from="help")
    frame = pd.DataFrame({"touchpoint_id": list("123"), "user_id": "u", "stage": ["help", "help", "help (2)"]})
    times = pd.date_range("2026-01-01", periods=3, tz="UTC").as_unit("us")
    found = journey.funnel(eventlog.compile(frame.assign(occurred_at=times), settings=stages), ["help", "help", "help (2)"])
    assert found.table.index.is_unique
    assert [len(found.cases_at(step)) for step in found.table.index] == [1, 1, 1]


def test_steps_by_user_run_across_the_customers_cases_in_time():
    log = from_paths(a="help", a__2="product phone")
    assert journey.funnel(log, ["help", "phone"]).table["reached"].tolist() == [1, 0]
    assert journey.funnel(log, ["help", "phone"], by="user").table["reached"].tolist() == [1, 1]


def test_a_window_leaves_out_what_came_later_and_who_is_too_young():
    log = from_paths(
        a="help product phone", b="help phone", settings=Settings(observed_until=pd.Timestamp(150, unit="m", tz="UTC"))
    )
    inside = journey.funnel(log, within="1h")
    assert inside.table.loc["phone", ["reached", "n"]].tolist() == [1, 2]
    young = journey.funnel(log, within="3h")
    assert (young.n_cases, young.n_immature) == (0, 2)


def test_a_window_without_a_unit_is_refused_with_the_unit_to_write():
    with pytest.raises(UnitError, match=r'within=7 has no unit: write "7d" for 7 days'):
        journey.funnel(from_paths(a="help"), within="7")


def test_an_unknown_step_or_mode_is_refused_with_what_is_allowed():
    with pytest.raises(DataError, match="did you mean phone"):
        journey.funnel(from_paths(a="help"), ["help", "phne"])
    with pytest.raises(DataError, match="did you mean strict"):
        journey.funnel(from_paths(a="help"), mode="strikt")


@settings(max_examples=20, deadline=None)
@given(PATHS)
def test_funnel_never_rises_and_agrees_with_counting_in_plain_python(paths):
    table = journey.funnel(from_paths(**paths)).table
    expected = [sum(max(STAGES.index(s) for s in path.split()) >= k for path in paths.values()) for k in range(5)]
    assert table["reached"].tolist() == expected
    assert table["reached"].is_monotonic_decreasing
    known = table.dropna()
    assert ((known["low"] <= known["share"]) & (known["share"] <= known["high"])).all()


@settings(max_examples=20, deadline=None)
@given(PATHS)
def test_forced_transitions_and_ends_agree_with_counting_in_plain_python(paths):
    log = from_paths(**paths)
    split = [path.split() for path in paths.values()]
    sought = [p for p in split if set(p) - {"product"}]
    called = [p for p in sought if "phone" in p]
    forced = [p for p in called if set(p[: p.index("phone")]) - {"product"}]
    found = journey.forced_to_call(log)
    assert found.table["cases"].tolist() == [len(forced), len(called) - len(forced), len(sought) - len(called)]
    assert [len(found.cases_at(way)) for way in found.table.index] == found.table["cases"].tolist()
    pairs = [pair for p in split for pair in zip(p, [*p[1:], "end"], strict=True)]
    moves = journey.transitions(log).table
    assert {(r.source, r.target): r.count_ for r in moves.rename(columns={"count": "count_"}).itertuples()} == {
        pair: pairs.count(pair) for pair in set(pairs)
    }
    assert journey.ends(log).table["ended"].tolist() == [sum(p[-1] == s for p in split) for s in STAGES]


def test_an_open_case_has_no_end_and_its_last_touch_leads_nowhere_yet():
    log = from_paths(a="help phone", b="help", settings=Settings(observed_until=pd.Timestamp("1970-01-02", tz="UTC")))
    assert log.case_open.all()
    assert journey.ends(log).table["ended"].sum() == 0
    assert journey.transitions(log).table.empty  # ends are told a week later: alone, the moves would say that all go on
    forced = journey.forced_to_call(log)
    assert (forced.n_open, forced.table.loc[journey.FORCED, "cases"]) == (1, 1)


def test_where_the_last_touch_of_a_case_led_is_not_told_while_its_ticket_is_open():
    log = from_paths(a="help phone", b="help phone")
    log = replace(log, case_open=np.array([True, False]))  # long silent, and yet not over: the export says so
    moves = journey.transitions(log).table.set_index(["source", "target"])["count"].to_dict()
    assert moves == {("help", "phone"): 2, ("phone", "end"): 1}
    assert journey.absorbing(log, replicates=20).table["moves"].to_dict() == {"help": 2, "chatbot": 0, "agent": 0, "phone": 1}


def test_time_to_a_call_counts_from_help_and_lets_solved_cases_leave():
    log = from_paths(a="product help product phone", b="help product", c="phone", d="product")
    reach = journey.time_to(log, "phone")
    assert reach.n_cases == 3  # d sought no help
    assert reach.table.set_index("hours")["share"].round(3).to_dict() == {0: 0.333, 1: 0.333, 2: 0.667}


def test_a_case_is_resolved_by_its_last_word_or_its_tickets_and_by_neither_once_it_called():
    word, tickets = np.array([1, 0, -1, -1, -1, 1], dtype=np.int8), np.array([False, False, True, False, True])
    log = replace(from_paths(a="help", b="help", c="help", d="help", e="help phone"), solved=word, case_resolved=tickets)
    last = journey.time_to(log, "phone").table.iloc[-1]
    assert last[["share", "resolved", "silent"]].tolist() == pytest.approx([1 / 5, 2 / 5, 2 / 5])  # e; a and c; b and d


def test_mood_is_a_mean_over_touches_that_have_one():
    frame = pd.DataFrame(
        {"touchpoint_id": ["1", "2", "3"], "user_id": ["a", "a", "b"], "stage": "help", "sentiment": [0.5, None, -0.1]}
    )
    times = pd.to_datetime(["2026-01-01"] * 3, utc=True).astype("datetime64[us, UTC]")
    row = journey.mood(eventlog.compile(frame.assign(occurred_at=times))).table.loc["help"]
    assert (row["mood"], row["n"], row["touches"]) == (pytest.approx(0.2), 2, 3)


def test_an_empty_log_gives_empty_answers():
    frame = pd.DataFrame({"touchpoint_id": [], "user_id": [], "stage": []}, dtype="str")
    log = eventlog.compile(frame.assign(occurred_at=pd.Series([], dtype="datetime64[us, UTC]")))
    assert journey.funnel(log).table["reached"].sum() == 0
    assert journey.forced_to_call(log).n_cases == 0
    assert journey.transitions(log).table.empty
    assert journey.time_to(log, "phone").n_cases == 0
    assert journey.mood(log).table["n"].sum() == 0
    assert journey.ends(log).table["ended"].sum() == 0


def test_intervals_of_the_funnel_hold_in_a_hundred_worlds():
    """DESIGN's coverage rule, for each stage that is estimated and for forced to call; `make drills` runs 400 worlds."""
    found = coverage(worlds=100)
    assert {"help", "chatbot", "agent", "phone", journey.FORCED, journey.CALLED_FIRST} <= set(found.index)
    assert found["hits"].between(*central(100)).all(), found
    assert (found["mean"] - found["planted"]).abs().max() < 0.005, found


def test_the_order_of_equal_times_does_not_depend_on_row_order():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"touchpoint_id": list("abcdef"), "user_id": "u", "stage": ["phone", "help"] * 3})
    frame["occurred_at"] = pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")
    expected = journey.transitions(eventlog.compile(frame)).table
    for _ in range(3):
        pd.testing.assert_frame_equal(journey.transitions(eventlog.compile(frame.iloc[rng.permutation(6)])).table, expected)


def test_the_window_of_steps_runs_from_the_first_step_and_so_does_maturity():
    log = from_paths(a="product product product help phone", b="help product product phone")
    assert journey.funnel(log, ["help", "phone"], within="1h").table["reached"].tolist() == [2, 1]
    until = Settings(observed_until=pd.Timestamp(250, unit="m", tz="UTC"))
    late = from_paths(a="product product product help phone", b="help phone", settings=until)
    assert journey.funnel(late, ["help", "phone"], within="2h").n_immature == 1


def test_the_interval_of_a_mood_is_students_when_each_customer_has_one_touch():
    moods = [0.5, -0.1, 0.3, -0.4, 0.2]
    frame = pd.DataFrame({"touchpoint_id": list("abcde"), "user_id": list("abcde"), "stage": "help", "sentiment": moods})
    log = eventlog.compile(frame.assign(occurred_at=pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")))
    expected = ttest_1samp(moods, 0).confidence_interval()
    assert journey.mood(log).table.loc["help", ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high])
