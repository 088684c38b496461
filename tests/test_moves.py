"""Moving left: what was known is counted by hand, effects are recovered from planted worlds, what-ifs come true again."""

import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drills import moves as drill
from sklearn.linear_model import LinearRegression, LogisticRegression

from cxlib import eventlog, figures, journey, stats, words
from cxlib.eventlog import EventLog, from_paths
from cxlib.journey import levelling, rerouting
from cxlib.schema import DataError, UnitError
from cxlib.simulate import chain
from cxlib.simulate.moves import movable, resimulate, simulate_moves
from cxlib.store import Settings, open_dataset, write_dataset

OUTCOMES = ["mood", "hours", "return"]


def opened(customers=5000, seed=1, noise=0.0):
    """A world with its log and what was known of its cases."""
    world = simulate_moves(customers, seed, noise)
    log = EventLog(**world.arrays)
    return world, log, pd.concat([journey.cases(log), world.recorded], axis=1)


@pytest.fixture(scope="module")
def planted():
    return opened()


@pytest.fixture(scope="module")
def moved(planted):
    _, log, known = planted
    return journey.left_moves(log, known)


@pytest.fixture(scope="module")
def asked(planted):
    _, log, known = planted
    return journey.what_if(log, known=known, cost=drill.PRICES)


# What was known of each case before


def small(tmp_path, tables=("tickets", "incidents", "users")):
    """Ann's three cases and Bob's one; the second of Ann's was forced to call."""
    rows = [
        ("a1", "ann", "2026-03-01 10:00", "help", 0.5, "X"),
        ("a2", "ann", "2026-03-10 10:00", "help", None, None),
        ("a2", "ann", "2026-03-10 12:00", "phone", -0.7, "X"),
        ("a3", "ann", "2026-03-31 23:30", "product", 0.9, None),
        ("a3", "ann", "2026-03-31 23:45", "chatbot", None, "Y"),
        ("b1", "bob", "2026-03-05 09:00", "phone", None, "Y"),
    ]
    touches = pd.DataFrame(rows, columns=["case_id", "user_id", "occurred_at", "stage", "sentiment", "application_id"])
    touches["occurred_at"] += "Z"
    all_tables = {
        "tickets": pd.DataFrame(
            [
                ("T2", "a2", "2026-03-10T12:30:00Z", "late", "3 - low", "1 - high"),
                ("T1", "a2", "2026-03-10T12:00:00Z", "first", "1 - high", None),
                ("T3", "gone", "2026-03-10T12:00:00Z", "of no case", "1 - high", "1 - high"),
            ],
            columns=["ticket_id", "case_id", "opened_at", "category", "impact", "urgency"],
        ),
        "incidents": pd.DataFrame(
            [
                ("I1", "X", "2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"),
                ("I2", "X", "2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z"),
                ("I3", "Y", "2026-03-20T00:00:00Z", None),
            ],
            columns=["incident_id", "application_id", "started_at", "restored_at"],
        ),
        "users": pd.DataFrame({"user_id": ["ann", "bob"], "plan": ["pro", "free"]}),
    }
    toml = {"name": "shop", "timezone": "Europe/Berlin", "observed_until": "2026-05-01T00:00:00Z"}
    chosen = {"touchpoints": touches.assign(touchpoint_id=[str(i) for i in range(6)])} | {t: all_tables[t] for t in tables}
    write_dataset(tmp_path / "data", toml, chosen)
    dataset = open_dataset(tmp_path / "data")
    log = eventlog.compile(dataset)
    return log, journey.cases(log, dataset).set_index(log.case_id)


def test_what_a_customer_did_before_is_counted_up_to_the_moment_help_was_sought(tmp_path):
    _, known = small(tmp_path)
    assert known["n_earlier"].to_dict() == {"a1": 0, "a2": 1, "a3": 2, "b1": 0}
    assert known["kind"].to_dict() == {"a1": "new", "a2": "regular", "a3": "blocked", "b1": "new"}
    mood = known["earlier_mood"].fillna(9).round(3).to_dict()
    assert mood == {"a1": 9, "a2": 0.5, "a3": 0.233, "b1": 9}  # (0.5 - 0.7 + 0.9) / 3, the plain use of a3 before it
    assert known.loc["a3", "month"] == "2026-04"  # in Berlin


def test_topic_and_signs_come_from_the_first_ticket_of_the_case(tmp_path):
    _, known = small(tmp_path)
    assert known["topic"].dropna().to_dict() == {"a2": "first"}
    assert known["impact"].dropna().to_dict() == {"a2": "1 - high"}
    assert known["urgency"].isna().all()
    assert known["plan"].to_dict() == {"a1": "pro", "a2": "pro", "a3": "pro", "b1": "free"}


def test_an_incident_counts_from_its_start_until_its_end_and_one_without_an_end_from_its_start_on(tmp_path):
    _, known = small(tmp_path)
    assert known["application"].to_dict() == {"a1": "X", "a2": "X", "a3": "Y", "b1": "Y"}
    assert known["open_incident"].to_dict() == {"a1": False, "a2": True, "a3": True, "b1": False}


def test_a_missing_table_gives_no_column_and_a_log_alone_its_own(tmp_path):
    _, known = small(tmp_path, tables=())
    own = {"n_earlier", "earlier_mood", "month", "kind"}
    assert set(known) == own | {"application"}
    assert set(journey.cases(from_paths(a="help"))) == own


def test_a_customer_is_blocked_only_once_the_call_was_made():
    log = from_paths(a__1="help chatbot phone", a__2="product help", a__3="product product product help")
    assert journey.cases(log)["kind"].tolist() == ["new", "regular", "blocked"]  # the call is at hour 2


# The methods


def confounded(seed, n=4000, effect=1.0, signs=True):
    """Customers with two rows each; a hidden cause drives side and outcome, `x` does too and is known."""
    rng = np.random.default_rng(seed)
    key = np.repeat(np.random.default_rng(seed + 1).integers(0, 2**63, n // 2).astype(np.uint64), 2)
    x, hidden = rng.normal(size=n) + np.repeat(rng.normal(size=n // 2), 2), rng.normal(size=n)
    first = rng.random(n) < 1 / (1 + np.exp(-(0.5 * x - 0.7 * hidden * signs)))
    y = 2 * x + 1.5 * hidden * signs + effect * first + rng.normal(size=n)
    return y[:, None], first, x[:, None], hidden[:, None] + 0.8 * rng.normal(size=(n, 2)), key


def test_doubly_robust_is_the_textbooks_estimator_written_out():
    """With scikit-learn's models, the same folds, and the weights of Chernozhukov et al. (2018), section 5, for the others."""
    y, first, x, _, key = confounded(3)
    found = stats.doubly_robust(y, first, x, key)
    fold, z, score = stats.adjustment._fold(key, 0), (x - x.mean()) / x.std(), np.empty(len(y))
    for k in range(5):
        rest, here = fold != k, fold == k
        e = LogisticRegression(C=1.0, tol=1e-10).fit(z[rest], first[rest]).predict_proba(z[here])[:, 1]
        m = LinearRegression().fit(z[rest & first], y[rest & first, 0]).predict(z[here])
        score[here] = first[here] * (1 - e) / e * (y[here, 0] - m) - ~first[here] * (y[here, 0] - m)
        assert found.chance[here] == pytest.approx(e, abs=1e-5)
    assert found.kept.all()
    assert found.estimates[0].effect == pytest.approx(score.mean() / (~first).mean(), abs=2e-3)  # the ridge pulls a little


@pytest.mark.parametrize("effect", [1.0, 0.0])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_planted_effect_is_recovered_over_forty_seeds(hidden, effect):
    """Without a hidden cause by adjusting, with one only by correcting; bias within three standard errors, coverage by rule."""
    draws = [confounded(seed, effect=effect, signs=hidden) for seed in range(0, 80, 2)]
    if hidden:
        found = [stats.corrected(*draw)[0] for draw in draws]
        assert all(one.holds for one in found)
        assert np.mean([stats.doubly_robust(*draw[:3], draw[4]).estimates[0].effect for draw in draws]) < effect - 0.4
    else:
        found = [stats.doubly_robust(*draw[:3], draw[4]).estimates[0] for draw in draws]
    values = np.array([one.effect for one in found])
    assert abs(values.mean() - effect) < 3 * values.std() / np.sqrt(len(values))
    assert sum(one.low <= effect <= one.high for one in found) >= 34  # 99 % of Binomial(40, .95)


@pytest.mark.parametrize("near", [0.0, 1.0, 1.5])
def test_the_correction_is_two_stage_least_squares_weighted_by_a_power_of_the_odds(near):
    """Written out with scikit-learn's models: each sign is read, and told by the other; odds beyond 19 to 1 count as 19."""
    few = ~confounded(3)[1] | (np.arange(4000) % 3 == 0)  # a third of the first, so that some odds are longer
    y, first, x, signs, key = (part[few] for part in confounded(3))
    asked, z, means, strengths = x[:, 0] > 0, (x - x.mean()) / x.std(), [], []
    for w, tells in ((0, 1), (1, 0)):
        both, read = np.column_stack([z, signs[:, tells]]), np.column_stack([z, signs[:, w]])
        e = LogisticRegression(C=1.0, tol=1e-10).fit(both, first).predict_proba(both)[:, 1]
        assert e[first].min() < 0.05
        weight = np.where(first, ((1 - e) / e).clip(0, 19) ** near, 0)
        told = LinearRegression().fit(both, signs[:, w], weight).predict(both)
        line = LinearRegression().fit(np.column_stack([z, told]), y[:, 0], weight)
        means.append(line.predict(read))
        ones, cluster = np.column_stack([np.ones(len(z)), z]), np.unique(key, return_inverse=True)[1]
        strengths.append(stats.hidden._strength(signs[:, [w]], signs[:, [tells]], ones, weight, cluster))
    for some in (np.ones(len(y), dtype=bool), asked):
        found = stats.corrected(y, first, x, signs, key, some, near=near)[0]
        assert found.effect == pytest.approx((np.mean(means, axis=0) - y[:, 0])[some & ~first].mean(), abs=1e-5)
        assert found.strength == pytest.approx(min(strengths), rel=1e-4)


def test_cases_without_counterparts_are_left_out_and_change_nothing():
    y, first, x, _, key = confounded(3, signs=False)
    far = np.zeros((200, 1))
    parts = ((y, far + 1000), (first, far[:, 0] > 0), (x, far - 20), (key, np.arange(200, dtype=np.uint64)))
    found = stats.doubly_robust(*(np.concatenate(part) for part in parts))
    assert not found.kept[-200:].any() and found.kept[:-200].all()
    assert found.estimates[0].effect == pytest.approx(1, abs=0.15)


def test_signs_that_tell_nothing_do_not_hold():
    y, first, x, _, key = confounded(5)
    noise = np.random.default_rng(0).normal(size=(len(y), 2))
    assert not stats.corrected(y, first, x, noise, key)[0].holds


def test_the_interval_of_a_plain_difference_is_welchs_when_each_row_is_a_cluster():
    rng = np.random.default_rng(2)
    y, first = rng.normal(size=400), np.arange(400) < 150
    found = stats.plain_difference(y, first, np.arange(400))
    a, b = y[first], y[~first]
    assert found.effect == pytest.approx(a.mean() - b.mean())
    assert (found.high - found.low) / 2 / 1.966 == pytest.approx(np.sqrt(a.var() / len(a) + b.var() / len(b)), rel=2e-3)


def test_e_values_are_those_that_were_printed():
    """VanderWeele and Ding (2017): risk ratios 3.9 (bound 1.8) and 0.80; E-values 7.26 (3.0) and 1.81."""
    assert [round(stats.e_value(ratio), 2) for ratio in (3.9, 1.8, 0.80)] == [7.26, 3.0, 1.81]


def test_numbers_of_words_do_not_depend_on_the_order_of_rows():
    known = pd.DataFrame({"word": ["a"] * 30 + ["b"] * 30 + ["c"] * 40 + [None] * 5, "n_earlier": np.arange(105)})
    whole = stats.numbers(known, ["word", "n_earlier"])
    assert whole.sum(axis=0)[:2].tolist() == [30, 30]  # c is compared with, the rare ones are nowhere
    assert (stats.numbers(known[::-1], ["word", "n_earlier"])[::-1] == whole).all()


# Moving left


def test_the_table_counts_closed_cases_by_the_stage_where_they_ended(planted, moved):
    world, log, _ = planted
    table = moved.table.set_index(["source", "target", "outcome"])
    assert list(table.index) == [(s, t, o) for s, t in zip(log.stages[2:], log.stages[1:], strict=False) for o in OUTCOMES]
    row = table.loc[("phone", "agent", "hours")]
    assert (row["n_source"], row["n_target"]) == ((world.end == 4).sum(), (world.end == 3).sum())
    naive = (log.case_end - log.at[log.case_start[:-1]]) / 3.6e9
    assert row["naive"] == pytest.approx(naive[world.end == 3].mean() - naive[world.end == 4].mean())
    shown = moved.overlap[moved.overlap["source"] == "phone"]
    assert (shown["n_source"].sum(), shown["n_target"].sum()) == (row["n_source"], row["n_target"])


def test_bounds_enclose_their_estimates_and_the_band_the_interval(moved):
    for name in levelling.ESTIMATES:
        assert (moved.table[f"{name}_low"] <= moved.table[name]).all()
        assert (moved.table[name] <= moved.table[f"{name}_high"]).all()
    assert (moved.table["band_low"] <= moved.table["effect_low"]).all()
    assert (moved.table["band_high"] >= moved.table["effect_high"]).all()
    assert (moved.table["e_value"] >= moved.table["e_bound"]).all()
    assert moved.table["overlap"].between(0.9, 1).all()


def test_the_band_is_wider_by_an_eighth_of_the_correction_and_by_a_sixteenth_where_a_third_reading_tells(moved, asked):
    right = moved.table[moved.table["corrected"]]
    more = (right["adjusted"] - right["effect"]).abs() / 8
    assert (right["effect_low"] - right["band_low"]).tolist() == pytest.approx(more.tolist())
    assert (right["band_high"] - right["effect_high"]).tolist() == pytest.approx(more.tolist())
    assert asked.corrected and asked.read > 0
    more = (asked.table["adjusted"] - asked.table["change"]).abs() / 16
    assert (asked.table["low"] - asked.table["band_low"]).tolist() == pytest.approx(more.tolist())
    assert (asked.table["band_high"] - asked.table["high"]).tolist() == pytest.approx(more.tolist())


def test_without_a_correction_the_band_allows_undoing_the_effect():
    up, down = stats.Estimate(0.3, 0.2, 0.4), stats.Estimate(-0.3, -0.4, -0.2)
    assert levelling._band(up, None, 1 / 8) == pytest.approx((-0.1, 0.4))  # no effect, give or take half the interval
    assert levelling._band(down, None, 1 / 8) == pytest.approx((-0.4, 0.1))


def test_without_signs_the_band_reaches_from_nothing_to_the_adjusted_effect(planted):
    _, log, known = planted
    table = journey.left_moves(log, known.drop(columns=["impact"])).table
    assert not table["corrected"].any()
    assert set(table["why"]) == {"impact is not known"}
    assert ((table["band_low"] <= 0) & (table["band_high"] >= 0)).all()
    assert (table["effect"] == table["adjusted"]).all()


def test_a_sign_that_one_side_rarely_has_is_not_used(planted):
    world, log, known = planted
    partly = known.assign(urgency=known["urgency"].where(world.end != 1))
    found = journey.left_moves(log, partly)
    assert found.table.set_index("source").loc["chatbot", "why"].iloc[0] == "urgency is known of fewer than 90 % of a side"
    told = found.known.set_index(["source", "column"]).loc[("chatbot", "urgency")]
    assert (told["known_target"], told["known_source"], told["used"]) == (0, 1, False)


def test_renamed_customers_and_another_order_of_levels_change_nothing(planted, moved):
    """Keys are hashes of ids: other ids give other folds, which may move the adjusted estimate by a little, and no other."""
    _, log, known = planted
    renamed = replace(log, customer_key=log.customer_key ^ np.uint64(0xABCDEF))
    again = journey.left_moves(renamed, known).table
    free = ["naive", "naive_low", "naive_high", "effect", "effect_low", "effect_high"]
    right = again["corrected"] & moved.table["corrected"]
    assert right.sum() >= 6
    pd.testing.assert_frame_equal(again.loc[right, free], moved.table.loc[right, free], rtol=0.02)
    pd.testing.assert_frame_equal(again[free[:3]], moved.table[free[:3]])
    wide = moved.table["adjusted_high"] - moved.table["adjusted_low"]
    assert ((again["adjusted"] - moved.table["adjusted"]).abs() < wide / 4).all()
    pd.testing.assert_frame_equal(journey.left_moves(log, known[known.columns[::-1]]).table[free], moved.table[free], rtol=1e-6)


def test_the_order_of_rows_in_the_tables_changes_nothing(tmp_path):
    rng = np.random.default_rng(0)
    n = 700
    touches = pd.DataFrame({"touchpoint_id": [str(i) for i in range(n)], "user_id": rng.integers(0, 200, n).astype(str)})
    touches["case_id"] = touches["user_id"] + "-" + rng.integers(0, 2, n).astype(str)
    touches["stage"] = rng.choice(["help", "chatbot"], n)
    touches["sentiment"] = rng.uniform(-1, 1, n).round(3)
    touches["occurred_at"] = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(
        np.sort(rng.integers(0, 10**6, n)), unit="s"
    )
    touches["occurred_at"] = touches["occurred_at"].astype("datetime64[us, UTC]")
    settings = Settings(observed_until=pd.Timestamp("2026-06-01", tz="UTC"))
    one, other = (eventlog.compile(t, settings=settings) for t in (touches, touches.iloc[rng.permutation(n)]))
    assert journey.left_moves(one).table["effect"].notna().any()
    pd.testing.assert_frame_equal(journey.left_moves(one).table, journey.left_moves(other).table)
    pd.testing.assert_frame_equal(journey.what_if(one, source="chatbot").table, journey.what_if(other, source="chatbot").table)


def test_where_no_effect_is_planted_the_corrected_band_holds_nothing():
    """Mood of severity alone, the same at every stage: the plain difference finds an effect in every world."""
    for seed in range(3):
        world, log, known = opened(5000, seed)
        touches = log.mood.copy()
        touches[log.case_start[1:] - 1] = np.round(1000 * world.mood_if[:, 3]).astype(np.int16)
        table = journey.left_moves(replace(log, mood=touches), known).table.set_index(["source", "outcome"])
        row = table.loc[("phone", "mood")]
        assert row["corrected"]
        assert row["band_low"] <= 0 <= row["band_high"]
        assert row["naive_low"] > 0.2


def test_few_cases_give_a_reason_and_no_number():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = pd.DataFrame({"touchpoint_id": [], "user_id": [], "stage": []}, dtype="str")
        nobody = eventlog.compile(empty.assign(occurred_at=pd.Series([], dtype="datetime64[us, UTC]")))
        for log in (nobody, from_paths(a="product"), from_paths(a="help phone", b="chatbot agent"), from_paths(a="phone")):
            found, whatif = journey.left_moves(log), journey.what_if(log, cost={"phone": 3})
            assert found.table["effect"].isna().all()
            assert found.table["why"].str.startswith("fewer than 100 cases").all()
            assert whatif.table["change"].isna().all()
            for said in (words.say_left_moves(found), words.say_overlap(found), words.say_what_if(whatif)):
                assert said and "nan" not in said
            for ax in (figures.draw_left_moves(found), figures.draw_overlap(found), figures.draw_what_if(whatif)):
                ax.figure.canvas.draw()
                plt.close(ax.figure)


def test_open_cases_have_not_ended_anywhere():
    young = Settings(observed_until=pd.Timestamp("1970-01-02", tz="UTC"))
    table = journey.left_moves(from_paths(a="help", b="help chatbot", settings=young)).table
    assert (table["n_source"].sum(), table["n_target"].sum()) == (0, 0)


def test_errors_say_what_would_have_worked(planted):
    _, log, known = planted
    with pytest.raises(UnitError, match=r'within=7 has no unit: write "7d"'):
        journey.left_moves(log, within="7")
    with pytest.raises(DataError, match=r"known has 3 rows, the log [\d,]+ cases: pass journey.cases"):
        journey.left_moves(log, known.head(3))
    with pytest.raises(DataError, match=r"no topic is known of the cases: pass known="):
        journey.what_if(log, topic="sync_stuck")
    with pytest.raises(DataError, match=r"no case has the topic 'sync_stuk': did you mean sync_stuck"):
        journey.what_if(log, topic="sync_stuk", known=known)
    with pytest.raises(DataError, match=r"'bot' is not one of the stages: .*Allowed: product, help"):
        journey.what_if(log, target="bot")
    with pytest.raises(DataError, match=r"share=10 is not between 0 and 1: write 0.1 for 10 %"):
        journey.what_if(log, share=10)
    with pytest.raises(DataError, match=r"need another stage to go to: write target= one of product, help"):
        journey.what_if(log, source="phone", target="phone")
    with pytest.raises(DataError, match="cost names 'phones', which is not one of the stages: did you mean phone"):
        journey.what_if(log, cost={"phones": 1})


# What if


def test_now_is_counted_and_then_is_now_and_the_change(planted, asked):
    _, log, _ = planted
    table = asked.table.set_index("outcome")
    calls = np.add.reduceat(log.stage == 4, log.case_start[:-1])
    price = np.array([0, 0.1, 0.5, 8, 14])[log.stage]
    spent = np.add.reduceat(price, log.case_start[:-1])
    bot, phone = (eventlog.first_touch(log, log.stage == stage) for stage in (2, 4))
    comes = phone < bot
    assert table["n"].tolist() == table["n_used"].tolist() == [comes.sum()] * 4
    assert asked.already == (calls > 0).sum() - comes.sum()
    assert table["now"].drop("mood").to_dict() == pytest.approx(
        {"cases": comes.sum(), "calls": calls[comes].sum(), "cost": spent[comes].sum()}
    )
    assert (table["then"] - table["now"]).to_numpy() == pytest.approx(table["change"].to_numpy())
    assert asked.moved == pytest.approx(0.1 * comes.sum())


def test_a_case_that_had_been_at_the_target_is_not_moved_there_and_stands_on_one_side():
    """Of each five, two call without the chatbot (1 and 2 calls) and three come to it first (1, 0 and 1 calls after)."""
    ways = ("help phone", "phone phone chatbot", "help chatbot phone", "chatbot", "chatbot agent phone")
    log = from_paths(**{f"u{i}": ways[i % 5] for i in range(300)})
    found = journey.what_if(log, share=0.5, cost={"phone": 3, "chatbot": 1})
    table = found.table.set_index("outcome")
    assert (table.loc["calls", "n"], found.already, found.compared, found.moved) == (120, 120, 180, 60)
    assert table["now"].to_dict() == {"cases": 120, "calls": 180, "cost": 60 * 3 + 60 * 7}
    assert table.loc["calls", "naive"] == pytest.approx(60 * (2 / 3 - 3 / 2))
    assert table.loc["cases", "naive"] == pytest.approx(60 * (2 / 3 - 1))
    assert table.loc["cost", "naive"] == pytest.approx(60 * ((4 + 1 + 4) / 3 - (3 + 7) / 2))
    said = words.say_what_if(found)
    assert "50 % of the 120 closed cases that come to phone without chatbot before" in said
    assert "120 more had been at chatbot first and could not be moved" in said
    number = np.array([int(name[1:]) for name in log.case_id])
    closed, topics = replace(log, case_open=number >= 250), journey.cases(log).assign(topic=np.where(number < 150, "t", "s"))
    all_topics, one = journey.what_if(closed), journey.what_if(closed, topic="t", known=topics)
    assert (all_topics.table.loc[0, "n"], all_topics.already, all_topics.compared) == (100, 100, 150)
    assert (one.table.loc[0, "n"], one.already, one.compared) == (60, 60, 150)  # any topic tells


def test_a_log_too_large_to_use_whole_says_of_how_many_customers_drawn_it_speaks(planted, monkeypatch):
    _, log, known = planted
    monkeypatch.setattr(levelling, "MOST", 1000)
    found = journey.what_if(log, known=known, cost=drill.PRICES)
    n, used = found.table.loc[0, ["n", "n_used"]]
    assert used == pytest.approx(1000, abs=30) and used < n
    assert found.compared == pytest.approx(1000, abs=30) and found.compared < found.compared_all
    said = words.say_what_if(found)
    assert f"customers were drawn by lot, with {used:,} of the {n:,} cases" in said
    assert f"read from {found.compared:,} of {found.compared_all:,} cases there" in said
    moved = journey.left_moves(log, known)
    row = moved.table.iloc[-1]
    assert row["n_source"] + row["n_target"] == pytest.approx(1000, abs=30) and row["n_all"] > 5000
    drawn = f"n = {row['n_source']:,} and {row['n_target']:,}, those of customers drawn by lot from {row['n_all']:,}"
    assert drawn in words.say_left_moves(moved, "return")


def test_nothing_is_drawn_where_the_log_is_small_enough(moved, asked):
    assert (moved.table["n_source"] + moved.table["n_target"] == moved.table["n_all"]).all()
    assert asked.compared == asked.compared_all
    assert "drawn" not in words.say_left_moves(moved) + words.say_what_if(asked)


def test_a_log_of_one_stage_has_nowhere_to_go():
    alone = Settings(stages=("desk",), escalation="desk", problem_from="desk", observed_until=pd.Timestamp("1971", tz="UTC"))
    found = journey.what_if(from_paths(settings=alone, **{f"u{i}": "desk desk" for i in range(200)}))
    assert found.table["change"].isna().all()
    assert set(found.table["why"]) == {"the log has one stage"}
    assert found.table["n"].tolist() == [200, 200]
    assert words.say_what_if(found) == "There is no other stage that cases at desk could go to instead (the log has one stage)."
    figures.draw_what_if(found).figure.canvas.draw()
    plt.close("all")
    first = journey.what_if(from_paths(a="help phone"), source="product")
    assert set(first.table["why"]) == {"product has no stage on its left: name a target"}


def test_moods_shown_stay_between_angry_and_happy():
    """Few moods are known, all at an end of the scale, so that the known ones weigh more than they are."""
    log = from_paths(**{f"u{i}": "help phone" if i % 2 else "chatbot" for i in range(400)})
    mood, last = log.mood.copy(), log.case_start[1:] - 1
    mood[last[:60]] = np.where(log.stage[last[:60]] == 4, -1000, 1000)
    row = journey.what_if(replace(log, mood=mood), share=1).table.set_index("outcome").loc["mood"]
    assert row["now"] == -1
    assert -1 <= row["then"] <= 1


def test_those_who_still_go_on_to_the_phone_are_not_counted_as_spared(asked):
    """Callers are more severe than the chatbot's customers, of whom few call: plainly compared too many calls are avoided."""
    row = asked.table.set_index("outcome").loc["cases"]
    assert -asked.moved < row["naive"] < row["adjusted"] < row["band_low"] < row["change"] < row["band_high"] < 0
    assert asked.still[0] == pytest.approx(1 + row["change"] / asked.moved)
    assert asked.still[1] <= asked.still[0] <= asked.still[2]


def test_the_line_of_a_what_if_is_drawn_near_those_who_move(planted, monkeypatch):
    _, log, known = planted
    for reading in (levelling._reading, lambda *_: None):
        monkeypatch.setattr(levelling, "_reading", reading)
        tables = []
        for near in (rerouting.NEAR, 0.0):
            with monkeypatch.context() as patch:
                patch.setattr(rerouting, "NEAR", near)
                tables.append(journey.what_if(log, known=known).table)
        assert (tables[0]["adjusted"] == tables[1]["adjusted"]).all()
        assert (tables[0]["change"] != tables[1]["change"]).all()


def test_a_change_grows_with_the_share_and_a_topic_has_its_own_cases(planted, asked):
    _, log, known = planted
    double = journey.what_if(log, share=0.2, known=known, cost=drill.PRICES)
    assert (double.table["change"] / asked.table["change"]).to_numpy() == pytest.approx([2] * 4)
    nobody = journey.what_if(log, share=0, known=known)
    assert (nobody.table["change"] == 0).all()
    one = journey.what_if(log, topic="refund_missing", known=known)
    assert one.table["n"].iloc[0] < asked.table["n"].iloc[0] / 5
    assert one.corrected
    assert one.overlap["n_source"].sum() == one.table["n"].iloc[0]
    assert "cost" not in set(one.table["outcome"])


def test_a_log_without_moods_has_no_row_for_them():
    assert journey.what_if(from_paths(a="help phone", b="chatbot")).table["outcome"].tolist() == ["cases", "calls"]


def test_the_resimulated_truth_is_what_the_chain_gives_by_algebra():
    world = simulate_moves(3000, 5)
    log = EventLog(**world.arrays)
    cases = np.flatnonzero(np.maximum.reduceat(log.stage, log.case_start[:-1]) == 4)
    cost = np.array([0, 0.1, 0.5, 8, 14])
    found = resimulate(world, cases, 4, 2, cost, times=50)
    visits = np.linalg.inv(np.eye(4) - chain.NEXT[:, 1:, 1:])[world.kind[cases], 1]  # from the chatbot
    ends = visits * chain.NEXT[world.kind[cases], 1:, 0]
    calls = np.concatenate([log.stage[a:b] for a, b in zip(log.case_start[:-1][cases], log.case_start[1:][cases], strict=True)])
    assert found["cases"] == pytest.approx((chain.WILL_CALL[world.kind[cases], 2] - 1).mean(), abs=0.005)
    assert found["calls"] == pytest.approx(visits[:, 3].mean() - (calls == 4).sum() / len(cases), abs=0.01)
    mood = (ends * world.mood_if[cases][:, 1:]).sum(axis=1) - world.mood_if[cases, world.end[cases]]
    assert found["mood"] == pytest.approx(mood.mean(), abs=0.003)


# What is said and shown


def test_sentences_and_figures_say_what_the_tables_hold(moved, asked):
    row = moved.table.set_index(["source", "outcome"]).loc[("phone", "mood")]
    said = words.say_left_moves(moved)
    assert f"{row['effect']:+.2f} from phone to agent (95 %: {row['effect_low']:+.2f} to {row['effect_high']:+.2f}" in said
    assert f"n = {row['n_source']:,} and {row['n_target']:,}" in said
    assert "corrected for severity" in said and "points" in words.say_left_moves(moved, "return")
    calls = asked.table.set_index("outcome").loc["calls"]
    assert f"touches at phone, now {calls['now']:,.0f}, would change by {calls['change']:+,.0f} (band: " in words.say_what_if(
        asked
    )
    assert f"{100 * asked.still[0]:.1f} % would reach phone all the same" in words.say_what_if(asked)
    ax = figures.draw_left_moves(moved)
    assert {f"corrected {x:+.3g}" for x in moved.table.loc[moved.table["outcome"] == "mood", "effect"]} <= {
        text.get_text() for text in ax.texts
    }
    heights = sum(bar.get_height() != 0 for bar in figures.draw_overlap(moved).patches)
    assert heights == (moved.overlap[["n_target", "n_source"]].to_numpy() > 0).sum()
    assert any(f"now {calls['now']:,.0f}" in text.get_text() for text in figures.draw_what_if(asked).texts)
    plt.close("all")


def test_sentences_name_the_most_easily_undone_and_of_how_many_they_speak(moved, asked):
    mood = moved.table[moved.table["outcome"] == "mood"]
    sources = mood["source"].tolist()
    for bounds, bound in (((1.5, 1.2, 2.0), "1.2 for its interval"), ((1.5, 1.0, 2.0), "its interval already holds no effect")):
        table = mood.assign(e_value=[1.9, 2.4, 3.1], e_bound=bounds)
        said = words.say_left_moves(replace(moved, table=table))
        assert f"by a risk ratio of 2.4 to undo the one from {sources[1]}, the most easily undone ({bound})" in said
    for overlap, named in ((0.975, True), (0.985, False)):
        said = words.say_left_moves(replace(moved, table=mood.assign(overlap=overlap)))
        assert ("; speaks of the 97.5 % with counterparts" in said) == named == ("speaks of" in said)
        said = words.say_what_if(replace(asked, kept=overlap))
        assert ("It is read from the 97.5 % of them with counterparts at chatbot" in said) == named == ("alike" in said)


def test_without_a_correction_the_sentences_say_that_severity_may_explain_it(planted):
    _, log, _ = planted
    found, whatif = journey.left_moves(log), journey.what_if(log)
    assert "severity may explain all of it" in words.say_left_moves(found)
    assert "impact is not known" in words.say_left_moves(found)
    assert "only adjusted" in words.say_what_if(whatif)
    first = found.table.iloc[0]
    assert words.say_left_moves(found).startswith(
        f"**One stage further left, mood at the end would change by** anything from {first['band_low']:+.2f} to "
        f"{first['band_high']:+.2f} from chatbot to help (only adjusted: {first['effect']:+.2f}"
    )
    calls = whatif.table.set_index("outcome").loc["calls"]
    assert f", would change by anything from {calls['band_low']:+,.0f} to" in words.say_what_if(whatif)
    shown = [text.get_text() for text in figures.draw_what_if(whatif).texts]
    assert any(text.startswith(f"{calls['band_low']:+,.0f} to ") for text in shown)
    drawn = [text.get_text() for text in figures.draw_left_moves(found).texts]
    assert not any("corrected" in text for text in drawn)
    plt.close("all")


def test_names_from_data_are_escaped():
    evil = Settings(
        stages=("a<script>", "b$x$", "c"),
        escalation="c",
        problem_from="a<script>",
        observed_until=pd.Timestamp("1971", tz="UTC"),
    )
    rng = np.random.default_rng(1)
    ways = {f"u{i}": " ".join(rng.permutation(evil.stages)[: rng.integers(1, 4)]) for i in range(700)}
    log = from_paths(settings=evil, **ways)
    known = journey.cases(log).assign(topic="<b>")
    found, whatif = journey.left_moves(log, known), journey.what_if(log, topic="<b>", known=known)
    assert found.table["effect"].notna().any()
    told = words.say_left_moves(found, "hours") + words.say_overlap(found) + words.say_what_if(whatif)
    assert "<script>" not in told and "<b>" not in told
    for ax in (figures.draw_left_moves(found, "hours"), figures.draw_overlap(found), figures.draw_what_if(whatif)):
        ax.figure.canvas.draw()
    plt.close("all")


# The planted worlds


def test_worlds_know_what_every_case_would_be_like_at_every_stage():
    world = simulate_moves(4000, 2)
    log = EventLog(**world.arrays)
    last = log.case_start[1:] - 1
    assert (log.stage[last] == world.end).all()
    rows, felt = np.arange(len(last)), log.mood[last] > -32768
    assert np.abs(log.mood[last] / 1000 - world.mood_if[rows, world.end])[felt].max() <= 0.0006
    assert ((log.case_end - log.at[log.case_start[:-1]]) / 3.6e9) == pytest.approx(world.hours_if[rows, world.end], abs=0.001)
    back = eventlog.returned(log, 7 * 24 * 3_600_000_000)
    assert back[back >= 0].mean() == pytest.approx(world.return_if[rows, world.end].mean(), abs=0.02)
    again = simulate_moves(4000, 2)
    assert (again.arrays["at"] == world.arrays["at"]).all()


def test_movable_cases_come_to_the_source_and_not_from_the_target():
    world = simulate_moves(300, 3)
    ways = np.split(world.arrays["stage"], world.arrays["case_start"][1:-1])
    counted = [case for case, way in enumerate(ways) if 4 in way and 2 not in way[: list(way).index(4)]]
    assert movable(world, 4, 2).tolist() == counted


def bent(seed):
    """A world whose mood falls with the square of severity too, by up to a unit: the band's width was not chosen on it."""
    world, log, known = opened(4000, seed)
    mood_if = np.tanh(np.arctanh(world.mood_if.clip(-0.999, 0.999)) - 0.11 * chain.SEVERITY[world.kind, None] ** 2)
    last = log.case_start[1:] - 1
    mood = log.mood.copy()
    felt = np.round(1000 * mood_if[np.arange(len(last)), world.end]).astype(np.int16)
    mood[last] = np.where(mood[last] == eventlog.NO_MOOD, mood[last], felt)
    return mood_if, world.end, replace(log, mood=mood), known


def test_the_band_holds_the_truth_in_worlds_that_its_width_was_not_chosen_on():
    found = []
    for seed in range(500, 520):
        mood_if, end, log, known = bent(seed)
        table = journey.left_moves(log, known).table
        for row in table[table["outcome"] == "mood"].itertuples():
            right = log.stages.index(row.source)
            truth = (mood_if[:, right - 1] - mood_if[:, right])[end == right].mean()
            found.append((row.source, row.corrected, row.band_low <= truth <= row.band_high))
    held = pd.DataFrame(found, columns=["source", "corrected", "in_band"]).groupby("source").sum()
    assert (held["corrected"] >= 18).all(), held
    assert (held["in_band"] >= 18).all(), held


def judged(worlds, kind, customers):
    return drill.judged(drill.in_worlds(kind, worlds, customers))


def test_effects_and_what_ifs_are_recovered_in_a_few_worlds():
    """The bars of `drills.moves` on few and smaller worlds, for what can be told from so few; `make drills` runs 400."""
    good = judged(4, drill.GOOD, 7000)
    poor = judged(2, drill.POOR, 5000)
    main = ["phone to agent: mood", "agent to chatbot: mood", "chatbot to help: mood", "what if: calls"]
    assert (good["corrected"] >= 3).all(), good
    assert (good.loc[main, "bias_ratio"] <= 0.25).all(), good
    assert (good.loc[main, "in_band"] >= 3).all(), good
    assert (poor.loc[poor["kind"] == "left", "in_band"] == 2).all(), poor
    assert good.loc["what if: calls", "half_band"] <= 0.3


def test_where_signs_are_known_only_with_a_ticket_only_the_phone_is_corrected():
    found = judged(1, drill.TICKETS, 5000)
    assert set(found.index[found["corrected"] == 1]) == {f"phone to agent: {outcome}" for outcome in OUTCOMES}


def test_the_drill_names_every_bar_that_is_missed_and_judges_no_other():
    """Made up: 10 worlds; off by 0.5 of the plain bias; seen in 8; a band of 2 true effects, 0.4 of the change to each side."""
    names = ["phone to agent: mood", "what if: mood", "what if: cases"]
    numbers = {"truth": 1.0, "naive": 2.0, "in_band": 8, "worlds": 10, "bias_ratio": 0.5, "band_width": 2.0, "half_band": 0.4}
    table = pd.DataFrame(numbers, index=names).assign(kind=["left", "what if", "what if"])
    assert drill.missed(table, drill.GOOD).tolist() == ["bias, in band, width", "in band, width", "not judged"]
    assert drill.missed(table, drill.POOR).tolist() == ["in band", "not judged", "not judged"]
    assert set(drill.missed(table, drill.TICKETS)) == {"not judged"}
    assert drill.missed(table.assign(naive=1.05), drill.GOOD).iloc[0] == "in band, width"
    assert drill.missed(table.assign(in_band=9, bias_ratio=0.25, band_width=1.5, half_band=0.3), drill.GOOD)[:2].eq("").all()
