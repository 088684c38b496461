"""What a theme costs: planted effects found, and nothing said where nothing can be."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from drills import alarms_allowed, central
from drills import costs as drill
from scipy import stats as distributions

from cxlib import eventlog, journey, stats, store, themes
from cxlib.eventlog import EventLog, from_paths
from cxlib.schema import DataError
from cxlib.simulate import topics
from cxlib.simulate.moves import simulate_moves
from cxlib.simulate.plan import N_TOPICS
from cxlib.themes import effects
from cxlib.themes.costs import OUTCOMES, costs
from cxlib.themes.fixes import fix_list

# --- costs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world():
    """A world of topics with effects of their own, its log, and what was known of its cases."""
    made = simulate_moves(3000, 5, own=topics.draw_own(0))
    log = EventLog(**made.arrays)
    return made, log, pd.concat([journey.cases(log), made.recorded], axis=1)


@pytest.fixture(scope="module")
def found(world):
    made, log, known = world
    return costs(made.topic, log, known)


def test_every_theme_has_a_row_per_outcome_with_the_plain_means_of_its_cases(world, found):
    made, log, _ = world
    assert found.table[["theme", "outcome"]].to_numpy().tolist() == [[t, o] for t in range(N_TOPICS) for o in OUTCOMES]
    called = np.maximum.reduceat(log.stage, log.case_start[:-1]) == log.escalation
    for row in found.table.query("outcome == 'call'").itertuples():
        assert (row.n, row.mean) == (np.sum(made.topic == row.theme), pytest.approx(called[made.topic == row.theme].mean()))
        assert row.mean_others == pytest.approx(called[made.topic != row.theme].mean())
    assert (found.table["why"] == "").all()
    assert found.n_cases == log.n_cases


def test_the_burden_is_share_times_effect_times_cases_a_month(found):
    some = found.table[found.table["outcome"] != "mood"]
    assert some["burden"].to_numpy() == pytest.approx((some["n"] / found.months * some["effect"]).to_numpy())
    assert ((some["burden_low"] < some["burden"]) & (some["burden"] < some["burden_high"])).all()
    assert found.table.query("outcome == 'mood'")["burden"].isna().all()


def test_q_values_are_those_of_benjamini_and_hochberg_within_an_outcome(found):
    for _, part in found.table.groupby("outcome"):
        assert part["q_value"].to_numpy() == pytest.approx(distributions.false_discovery_control(part["p_value"]))


def test_themes_rank_by_what_they_truly_cost_and_not_by_how_grave_they_are(found):
    own = topics.draw_own(0).calls
    calls = found.table.query("outcome == 'call'")
    assert distributions.spearmanr(calls["effect"], own)[0] >= 0.9
    assert distributions.spearmanr(calls["mean"] - calls["mean_others"], own)[0] < 0.9
    assert found.of("call")["burden"].is_monotonic_decreasing
    assert found.of("mood")["effect"].is_monotonic_increasing


def test_intervals_hold_and_null_worlds_seldom_raise_an_alarm():
    seen = drill.in_worlds(100, 900)
    table = drill.judged(seen)
    low, high = central(100)
    assert table["hits"].between(low, high).all(), table
    nulls = drill.in_worlds(20, 900, null=True)
    assert max(drill.alarms(nulls, outcome) for outcome in OUTCOMES) <= alarms_allowed(20)


def test_the_truth_of_the_simulated_topics_is_that_of_walking_again():
    own = topics.draw_own(0)
    many = simulate_moves(20_000, 9, own=own)
    cell, ends = many.kind * N_TOPICS + many.topic, np.arange(len(many.end))
    called = np.maximum.reduceat(many.arrays["stage"], many.arrays["case_start"][:-1]) == 4
    counts = np.bincount(cell, minlength=12 * N_TOPICS)
    for i, values in enumerate([called, many.hours_if[ends, many.end], many.mood_if[ends, many.end]]):
        expected = topics.expected(own)[..., i].ravel()
        error = np.bincount(cell, weights=values - expected[cell], minlength=len(counts))
        spread = np.bincount(cell, weights=(values - expected[cell]) ** 2, minlength=len(counts))
        z = (error / np.sqrt(spread))[counts >= 30]
        assert abs(z).max() < 4.5
        assert 0.7 < z.std() < 1.35


def test_topics_without_effects_of_their_own_change_nothing_but_the_order_by_lot():
    plain, null = simulate_moves(3000, 3), simulate_moves(3000, 3, own=drill.own_effects(null=True))
    assert np.bincount(null.end, minlength=5) / len(null.end) == pytest.approx(
        np.bincount(plain.end) / len(plain.end), abs=0.02
    )
    assert topics.expected(drill.own_effects(null=True)).std(axis=1) == pytest.approx(0)


def test_the_numbers_of_the_themes_change_nothing_and_neither_does_a_second_run(world, found):
    made, log, known = world
    again = costs(made.topic, log, known)
    pd.testing.assert_frame_equal(again.table, found.table)
    other = costs((made.topic + 1) % N_TOPICS, log, known).table
    moved = other.assign(theme=(other["theme"] - 1) % N_TOPICS).sort_values("theme", kind="stable", ignore_index=True)
    columns = ["effect", "low", "high", "q_value"]
    pd.testing.assert_frame_equal(moved[columns], found.table[columns])


def test_what_a_case_is_about_is_not_levelled_out(world, found):
    made, log, known = world
    without = costs(made.topic, log, known.drop(columns=["topic", "application"]))
    pd.testing.assert_frame_equal(without.table, found.table)


def test_without_signs_of_severity_nothing_is_called_corrected(world):
    made, log, _ = world
    assert not costs(made.topic, log).table["corrected"].any()


def path_log(called):
    return from_paths(**{f"c{i:03}": "help phone" if call else "help" for i, call in enumerate(called)})


def test_where_nothing_is_known_before_the_effect_is_the_difference_of_the_means():
    theme, called = np.repeat([0, 1], 200), np.tile([1, 0, 0, 1, 0, 0, 0, 0, 0, 0], 40).astype(bool)
    called[:100] = np.tile([1, 1, 0, 1, 0], 20)
    row = costs(theme, path_log(called)).table.query("theme == 0 and outcome == 'call'").iloc[0]
    plain = stats.plain_difference(called.astype(float), theme == 0, np.arange(400))
    assert row["effect"] == pytest.approx(plain.effect, abs=0.005)
    assert row["low"] == pytest.approx(plain.low, abs=0.01)
    assert row["p_value"] < 0.001


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ("call", "fewer than 50 cases or 30 customers"),
        ("repeat", "no customer has two cases: customers may be unknown"),
        ("mood", "no survey has a score and no last touch a sentiment"),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(outcome, why):
    row = costs(np.array([0, 1, 1]), from_paths(a="help phone", b="help", c="help")).table.set_index("outcome").loc[outcome]
    assert row["why"].str.startswith(why).all()
    assert row[["effect", "burden", "q_value"]].isna().all().all()


def test_an_outcome_that_hardly_occurs_is_not_compared():
    table = costs(np.repeat([0, 1], 100), path_log(np.arange(200) < 3)).table.query("outcome == 'call'")
    assert table["why"].str.contains("fewer than 5 cases with it, or without it").all()
    assert table["mean"].tolist() == [0.03, 0]


def test_open_cases_and_cases_without_a_theme_count_neither_way(world):
    made, log, known = world
    still = replace(log, case_open=np.arange(log.n_cases) % 10 == 0)
    theme = np.where(np.arange(log.n_cases) % 10 == 1, -1, made.topic)
    part = costs(theme, still, known)
    assert part.n_cases + part.n_open + part.n_no_theme == log.n_cases
    assert part.table.query("outcome == 'call'")["n"].sum() == part.n_cases


@pytest.mark.parametrize("wrong", ["labels", "known"])
def test_labels_of_another_log_are_refused(world, wrong):
    made, log, known = world
    theme, frame = (made.topic[1:], known) if wrong == "labels" else (made.topic, known.iloc[1:])
    with pytest.raises(DataError, match=r"the log has [\d,]+: give one row per case of this log"):
        costs(theme, log, frame)


def test_who_does_not_answer_is_heard_through_those_like_them():
    draw = np.random.default_rng(0)
    called, customer = draw.random(8000) < 0.3, np.arange(8000, dtype=np.uint64)
    mood = 4.0 - 2.0 * called + draw.normal(0, 1, 8000)
    told = draw.random(8000) < np.where(called, 0.5, 0.1)  # the annoyed answer more often
    answers = np.where(told, mood, np.nan)
    heard = stats.for_all(answers, called[:, None].astype(float), customer)
    assert np.nanmean(answers) < 3.0
    assert heard.mean() == pytest.approx(3.4, abs=0.08)
    assert np.array_equal(stats.for_all(mood, called[:, None].astype(float), customer), mood)


def test_a_smaller_spread_of_the_effect_gives_a_smaller_p_value():
    p = [effects.p_value(stats.Estimate(1.0, 1.0 - half, 1.0 + half), np.arange(500)) for half in (0.2, 1.0, 5.0)]
    assert p == sorted(p)
    assert np.isnan(effects.p_value(stats.Estimate(0.0, 0.0, 0.0), np.arange(500)))


# --- of a data set -------------------------------------------------------------------------------------------


@pytest.fixture
def two_tickets(tmp_path):
    """Case a has two tickets, the later one written first; b has one; c none."""
    at = [f"2026-02-0{i}T00:00:00Z" for i in range(1, 8)]
    rows = [("1", "a", at[3], "reset password"), ("2", "a", at[1], "late refund"), ("3", "b", at[2], "reset password")]
    ticket = [
        {"ticket_id": i, "case_id": c, "user_id": c, "opened_at": t, "resolved_at": at[5], "description": d}
        for i, c, t, d in rows
    ]
    touch = [
        {"touchpoint_id": c, "case_id": c, "user_id": c, "stage": "help", "occurred_at": at[0], "sentiment": 0.5} for c in "abc"
    ]
    folder, until = tmp_path / "d", {"observed_until": pd.Timestamp("2026-04-01", tz="UTC")}
    tables = {"tickets": pd.DataFrame(ticket), "touchpoints": pd.DataFrame(touch).astype(str)}
    store.write_dataset(folder, until, tables)
    dataset = store.open_dataset(folder)
    return dataset, eventlog.compile(dataset)


def test_a_case_has_the_theme_of_the_ticket_that_was_opened_first(two_tickets):
    dataset, log = two_tickets
    asks = themes.of_tickets(dataset, log, k=2)
    refund = asks.tickets.set_index("ticket_id")["theme"]["2"]
    dated, undated = costs(asks, log, tables=dataset.tables), costs(asks, log)
    count = [part.table.query("outcome == 'call'").set_index("theme")["n"].to_dict() for part in (dated, undated)]
    assert count == [{refund: 1, 1 - refund: 1}, {refund: 0, 1 - refund: 2}]
    assert dated.n_no_theme == 1


def test_without_dates_every_row_says_why(tmp_path):
    ticket = pd.DataFrame({"description": ["late refund", "reset password"] * 40, "assignment_group": ["a", "b"] * 40})
    store.write_dataset(tmp_path / "d", {}, {"tickets": ticket})
    dataset = store.open_dataset(tmp_path / "d")
    log = eventlog.compile(dataset)
    asks = themes.of_tickets(dataset, log, k=2)
    found = costs(asks, log, journey.cases(log, dataset), dataset.tables)
    assert set(found.table["why"]) == {"nothing is dated, so there are no cases"}
    assert found.of("call")["name"].notna().all()
    assert fix_list(found, asks).table.empty


@pytest.fixture(scope="module")
def of_demo(demo):
    dataset = store.open_dataset(demo)
    log = eventlog.compile(dataset)
    asks = themes.of_tickets(dataset, log, k=14)
    return dataset, asks, costs(asks, log, journey.cases(log, dataset), dataset.tables)


def test_in_the_demo_no_theme_is_called_costly_since_its_topics_differ_in_severity_alone(of_demo):
    _, _, found = of_demo
    calls = found.of("call")
    assert (calls["q_value"] > 0.05).all()
    assert abs(calls["effect"]).mean() < 0.6 * abs(calls["mean"] - calls["mean_others"]).mean()


# --- fix list ------------------------------------------------------------------------------------------------


def test_the_fix_list_ranks_by_calls_and_names_the_articles_of_the_topic(of_demo):
    dataset, asks, found = of_demo
    fixes = fix_list(found, asks, dataset.tables["articles"])
    assert fixes.table["calls"].is_monotonic_decreasing
    assert fixes.table["has_article"].sum() >= 12  # measured: all 14
    titles = fixes.table.set_index("name")["title"]
    assert any("refund" in name and "refund" in title for name, title in titles.items())
    assert all(len(ids) == 3 for ids in fixes.table["tickets"])
    assert fixes.articles.groupby("theme").size().eq(3).all()


def test_a_theme_whose_articles_are_gone_has_none(of_demo):
    dataset, asks, found = of_demo
    articles = dataset.tables["articles"]
    gone = ~articles["title"].str.contains("page|load|service status|Browser", case=False)
    fixes = fix_list(found, asks, articles[gone]).table.set_index("name")
    slow = next(name for name in fixes.index if "slow" in name)
    assert not fixes.at[slow, "has_article"]
    assert isinstance(fixes.at[slow, "title"], str)


@pytest.mark.parametrize(
    ("articles", "why"),
    [
        (None, "there are no articles"),
        (pd.DataFrame({"article_id": ["1"], "title": ["!?"]}), "no article has a word"),
    ],
)
def test_without_articles_it_is_said_and_nothing_is_called_missing(of_demo, articles, why):
    _, asks, found = of_demo
    fixes = fix_list(found, asks, articles)
    assert fixes.why == why
    assert fixes.table["has_article"].isna().all()


def test_a_hostile_title_is_redacted_and_articles_without_words_refused(of_demo):
    _, asks, found = of_demo
    title = "<img src=x> refund by jane@example.com"
    fixes = fix_list(found, asks, pd.DataFrame({"article_id": ["1"], "title": [title]}))
    assert set(fixes.table["title"]) == {"<img src=x> refund by [e-mail]"}
    with pytest.raises(DataError, match="neither title nor body"):
        fix_list(found, asks, pd.DataFrame({"article_id": ["1"]}))


def test_any_model_that_places_texts_will_do(of_demo):
    dataset, asks, found = of_demo
    model = SimpleNamespace(place=lambda some: np.ones((len(some), 1)))
    fixes = fix_list(found, asks, dataset.tables["articles"], text_model=model)
    assert not fixes.table["has_article"].any()
