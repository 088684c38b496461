"""Acting on the forecast: money counted by hand and by plain loops, segments that are planted, the step left, the card."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from test_escalation import SETTINGS, opened, planted, planted_data, planted_tables, planted_world, touches

from cxlib import escalation, open_dataset, store
from cxlib.cli import main
from cxlib.escalation import choosing, decisions, judging, later, scores, steps
from cxlib.figures import decisions as figures
from cxlib.figures import draw_auc_by_stage
from cxlib.redact import escape
from cxlib.reports import check_parameters
from cxlib.schema import DataError
from cxlib.words import decisions as words
from cxlib.words import escalation as more_words
from cxlib.words.numbers import percent

__all__ = ["opened", "planted", "planted_data", "planted_tables"]  # fixtures


def moments_of(chance, escalated, weight=1.0, customer=None) -> pd.DataFrame:
    """Held-out moments, a case each."""
    n = len(chance)
    whose = np.arange(n) if customer is None else customer
    told = {"case": np.arange(n), "customer": np.asarray(whose, dtype=np.uint64), "weight": weight}
    return pd.DataFrame(told | {"escalated": np.asarray(escalated, dtype=bool), "chance": np.asarray(chance, dtype=float)})


def draws_of(rows):
    return scores.drawn_often(rows["customer"].to_numpy())


TEN = moments_of([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05], [1, 1, 0, 1, 0, 0, 1, 0, 0, 0])


# ---- net benefit and savings


def test_net_benefit_of_ten_cases_counted_by_hand():
    """At .5 five are reviewed: 3 escalate, 2 do not, at even odds; at .2 eight: 4 and 4, at one to four."""
    value = decisions.net_benefit(TEN["escalated"].to_numpy(), TEN["chance"].to_numpy(), np.array([0.2, 0.5]))
    assert value(np.ones(10)) == pytest.approx([(4 - 4 / 4) / 10, (3 - 2) / 10])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), levels=st.sampled_from([4, 1000]))
def test_net_benefit_is_that_of_the_confusion_matrix(seed, levels):
    rng = np.random.default_rng(seed)
    chance, y, weight = rng.integers(0, levels, 60) / levels, rng.random(60) < 0.3, rng.random(60)
    found = decisions.net_benefit(y, chance, decisions.THRESHOLDS)(weight)
    for t, value in zip(decisions.THRESHOLDS, found, strict=True):
        (_, fp), (_, tp) = metrics.confusion_matrix(y, chance >= t, sample_weight=weight, labels=[False, True])
        assert value == pytest.approx((tp - fp * t / (1 - t)) / weight.sum())


def test_savings_at_the_costs_are_what_counting_the_money_gives_and_agree_with_net_benefit():
    asked = {"forecast": TEN["chance"].to_numpy(), "review all": np.full(10, np.inf), "review none": np.full(10, -np.inf)}
    table = decisions._at_costs(TEN, asked, 0.5 * 10, 1.0, draws_of(TEN)).set_index("policy")
    reviewed = TEN[TEN["chance"] >= 0.2]  # a review averts half of a call of 10 and costs 1: it pays from .2 on
    assert table.loc["forecast", "saving"] == pytest.approx(100 * (5 * reviewed["escalated"].sum() - len(reviewed)) / 10)
    assert table.loc["review all", "saving"] == pytest.approx(100 * (5 * 4 - 10) / 10)
    assert table.loc["review none", "saving"] == 0
    assert table.loc["review all", "gain"] == pytest.approx(table.loc["forecast", "saving"] - table.loc["review all", "saving"])
    benefit = decisions.net_benefit(TEN["escalated"].to_numpy(), asked["forecast"], np.array([0.2]))(np.ones(10))[0]
    assert table.loc["forecast", "saving"] == pytest.approx(100 * (5 - 1) * benefit)


def test_the_share_where_the_saving_is_greatest_is_the_one_that_plain_loops_find():
    table, (best, low, high) = decisions._savings(TEN, 2.9, 1.0, draws_of(TEN))
    ranked = TEN["escalated"].tolist()
    by_hand = [2.9 * sum(ranked[:k]) - k for k in range(11)]
    assert best == pytest.approx(int(np.argmax(by_hand)) / 10)
    assert table["saving"].iloc[::10].tolist() == pytest.approx([10 * x for x in by_hand])
    assert low <= best <= high


def test_today_the_saving_is_greatest_where_brute_force_says(planted):
    decision = escalation.decide(planted, cost_call=10, cost_review=1, averted=0.5)
    chance = np.sort(planted.waiting["chance"].to_numpy())[::-1]
    brute = [sum(0.5 * 10 * p - 1 for p in chance[:k]) for k in range(len(chance) + 1)]
    assert decision.capacity == int(np.argmax(brute))
    assert decision.today["saving"].tolist() == pytest.approx(brute)
    assert decision.capacity == (chance >= decision.threshold).sum()


def test_chances_that_are_true_save_what_they_promise_and_nothing_saves_more():
    """Every customer has a true chance; who is reviewed at the costs' threshold saves E[(worth p - cost)+] on average."""
    rng = np.random.default_rng(0)
    held, truth = 0, None
    for _ in range(60):
        p = rng.beta(1, 4, 400)
        rows = moments_of(p, rng.random(400) < p)
        noisy = np.clip(p + rng.normal(0, 0.15, 400), 0.001, 0.999)
        table = decisions._at_costs(rows, {"forecast": p, "noisy": noisy}, 4.0, 1.0, draws_of(rows)).set_index("policy")
        truth = 100 * np.maximum(4.0 * p - 1.0, 0).mean()
        held += table.loc["forecast", "low"] <= truth <= table.loc["forecast", "high"]
    assert held >= 52, "of 60 intervals of 95 %"
    p = rng.beta(1, 4, 20_000)
    rows = moments_of(p, rng.random(20_000) < p)
    curve = decisions._curve(rows, {"forecast": p, "noisy": np.clip(p + rng.normal(0, 0.15, 20_000), 0, 1)}, draws_of(rows))
    by = curve.pivot(index="threshold", columns="policy", values="net_benefit")
    assert (by["forecast"] - by["noisy"]).min() > -0.002


def test_a_decision_draws_its_tables_and_says_them(planted):
    decision = escalation.decide(planted)
    assert set(decision.curve["policy"]) == {"forecast", "review all", "review none", "last stage", "age"}
    ax = figures.draw_net_benefit(decision)
    ours = decision.curve[decision.curve["policy"] == "forecast"]
    assert ax.lines[0].get_ydata().tolist() == ours["net_benefit"].tolist()
    said = words.say_decision(planted, decision, planted.top(10))
    assert f"a review pays from a chance of {100 * decision.threshold:.1f} % on" in said
    assert "assumed, not measured" in said
    assert f"greatest where {percent(decision.best)} of the moments are reviewed" in said and "On these cases the" in said
    never = escalation.decide(planted, cost_call=2, cost_review=1, averted=0.4)
    assert "no review pays" in words.say_decision(planted, never, planted.top(10))
    assert never.at_costs.set_index("policy").loc["forecast", "saving"] == 0
    assert figures.draw_net_benefit(never).get_xlim()[1] <= 1


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        ({"cost_call": 0}, "give two amounts above 0"),
        ({"cost_review": -1}, "give two amounts above 0"),
        ({"averted": 0}, "averted=0 is not a share of reviewed calls"),
        ({"averted": 1.2}, "give a number above 0, up to 1"),
    ],
)
def test_costs_that_cannot_be_are_refused(planted, costs, says):
    with pytest.raises(DataError, match=says):
        escalation.decide(planted, **costs)


def test_lift_is_precision_over_the_share_of_all(planted):
    review = planted.top(15)
    assert review.lift[0] == pytest.approx(review.precision / planted.overall["share"])
    assert review.lift[1] <= review.lift[0] <= review.lift[2]


# ---- the sentences say what they count


def test_the_gain_is_said_of_the_held_out_moments_not_of_the_list(planted):
    review = planted.top(15)
    said = more_words.say_gain(planted, review)
    assert "Among the held-out moments" in said and "times as many as at random" in said
    assert "list" not in said


def test_sentences_name_the_escalation_and_the_horizon(planted):
    result, review = replace(planted, escalation="visit", horizon="7d"), planted.top(10)
    decisions_said = [
        words.say_decision(result, escalation.decide(result, *costs), review) for costs in [(14, 1, 0.3), (2, 1, 0.4)]
    ]
    assert all("for a case that reaches visit" in said and "call" not in said for said in decisions_said)
    assert "sure to reach visit" in decisions_said[1]
    said = more_words.say_escalation(result, review)
    assert "expected to reach visit within 7 days of their newest touch**" in said
    assert "ranks a moment whose case reached visit within 7 days above one whose case did not" in said
    assert "newest touch" not in more_words.say_escalation(replace(result, horizon=None), review)
    assert "moments" in draw_auc_by_stage(planted).get_xlabel()
    assert words.say_within(None, "visit") == words.say_by_horizon(pd.DataFrame(), "visit")


# ---- segments


def a_world(rng, n=3000, n_customers=600):
    """True chances, and a column of four segments that means nothing."""
    p = rng.beta(1, 3, n)
    rows = moments_of(p, rng.random(n) < p, customer=rng.integers(0, n_customers, n))
    return rows, pd.DataFrame({"role": np.array(list("abcd"))[rng.integers(0, 4, n)]})


def test_a_segment_where_the_forecast_is_blind_and_one_where_it_is_biased_are_found():
    rng = np.random.default_rng(1)
    rows, segments = a_world(rng)
    blind, low = (segments["role"] == "a").to_numpy(), (segments["role"] == "b").to_numpy()
    chance = rows["chance"].to_numpy().copy()
    chance[blind] = rng.permutation(chance[blind])  # right on the whole, but not for whom
    chance[low] = chance[low] / 2
    found = judging.by_segment(rows.assign(chance=chance), segments, 0).set_index("segment")
    assert found["verdict"].to_dict() == {"a": "blind", "b": "chances too low", "c": "as elsewhere", "d": "as elsewhere"}
    said = words.say_for_whom(SimpleNamespace(why_not="", by_segment=found.reset_index()))
    assert "role a" in said and "blind" in said and "chances too low" in said


def test_segments_that_do_not_differ_are_rarely_called_different():
    rng = np.random.default_rng(2)
    flagged = 0
    for _ in range(60):
        rows, segments = a_world(rng, 1500, 300)
        verdicts = judging.by_segment(rows, segments, 0)["verdict"]
        flagged += not verdicts.isin(["as elsewhere", "too few"]).all()
    assert flagged <= 9, "two questions, each with a chance of at most .05 that any of its flags is wrong"


def test_a_segments_numbers_are_those_of_scikit_learn_and_of_plain_counting():
    rng = np.random.default_rng(3)
    rows, segments = a_world(rng, 800, 100)
    segments.loc[:199, "role"] = None
    segments.loc[200:230, "role"] = "tiny"
    rows["weight"] = rng.random(800)
    table = judging.by_segment(rows, segments.assign(plan="all"), 0)
    assert set(table["column"]) == {"role"}, "a column of one segment divides nothing"
    assert set(table["segment"]) == {"a", "b", "c", "d", "(not known)"}, "a segment of 31 cases is too small"
    for row in table.itertuples():
        here = rows[segments["role"].isna() if row.segment == "(not known)" else segments["role"] == row.segment]
        assert row.n == len(here) and row.escalated == here["escalated"].sum()
        assert row.auc == pytest.approx(metrics.roc_auc_score(here["escalated"], here["chance"], sample_weight=here["weight"]))
        assert row.mean_chance == pytest.approx(np.average(here["chance"], weights=here["weight"]))
        assert row.share == pytest.approx(np.average(here["escalated"], weights=here["weight"]))


def test_segments_are_what_was_known_at_the_moment(planted):
    assert set(planted.by_segment["column"]) <= {*judging.SEGMENTS, "customer"}
    largest = planted.by_segment.groupby("column")["n_rows"].sum()
    assert (largest <= len(planted.table)).all()


def test_the_figure_of_segments_draws_every_row(planted):
    table = planted.by_segment
    if table.empty:
        pytest.skip("this world has no segments")
    assert len(figures.draw_for_whom(planted).get_yticklabels()) == len(table)


# ---- the choice of the label


def test_each_way_to_count_gives_what_a_fit_with_it_gives(planted, planted_data):
    table = escalation.by_horizon(planted_data, horizons=("3d", "90d")).set_index("horizon")
    plain = planted.scores[(planted.scores["model"] == "logistic") & (planted.scores["metric"] == "auc")].iloc[0]
    assert table.loc["none", "auc"] == pytest.approx(plain["value"])
    assert table.loc["none", "share"] == pytest.approx(planted.overall["share"])
    within = escalation.fit(planted_data, horizon="3d").scores
    other = within[(within["model"] == "logistic") & (within["metric"] == "auc")].iloc[0]
    assert table.loc["3d", "auc"] == pytest.approx(other["value"])
    assert table.loc["90d", "why"] == "longer than half of the held-out period"
    said = words.say_by_horizon(table.reset_index(), "phone")
    assert "within 3 days" in said and "90 days: longer than half" in said
    assert "kept" in words.say_by_horizon(pd.DataFrame(), "phone")


def test_a_horizon_counts_only_what_comes_within_it(opened):
    """Of 900 cases every third calls after an hour and every third after five days."""
    wait = {0: 1.0, 1: 120.0}
    rows = [
        (f"c{i:04}", 1.0 * i + after, stage, {})
        for i in range(900)
        for after, stage in [(0.0, "help"), *([(wait[i % 3], "phone")] if i % 3 in wait else [])]
    ]
    table = escalation.by_horizon(opened({"touchpoints": touches(rows)}), horizons=("2d", "7d")).set_index("horizon")
    assert table.loc["none", "share"] == pytest.approx(2 / 3, abs=0.02)
    assert table.loc["2d", "share"] == pytest.approx(1 / 3, abs=0.02)
    assert table.loc["7d", "share"] == pytest.approx(2 / 3, abs=0.02)


def test_no_case_at_all_is_said(opened):
    table = escalation.by_horizon(opened({"touchpoints": touches([("a", 0, "help", {})])}))
    assert table["auc"].isna().all() and table["why"].ne("").all()
    assert "No way to count can be judged" in words.say_by_horizon(table, "phone")


# ---- a forecast that is kept


def test_a_kept_forecast_is_judged_on_what_began_since_without_fitting(planted, planted_data, monkeypatch):
    def refuse(*args):
        raise AssertionError("nothing may be fitted")

    monkeypatch.setattr(choosing, "chosen", refuse)
    monkeypatch.setattr(choosing, "fitted", refuse)
    found = escalation.again(planted.kept, planted_data)
    ours = found.scores.set_index(["model", "metric"])["value"]
    then = planted.scores.set_index(["model", "metric"])["value"]
    for name in (planted.kept.model.kind, "base rate", "last stage"):
        assert ours[name, "auc"] == pytest.approx(then[name, "auc"]) and ours[name, "brier"] == pytest.approx(
            then[name, "brier"]
        )
    pd.testing.assert_frame_equal(found.top(9).table, planted.top(9).table)
    pd.testing.assert_frame_equal(found.gain, planted.gain)
    pd.testing.assert_frame_equal(escalation.health(found), escalation.score(planted.kept, planted_data)[1])
    said = [more_words.say_models(found), more_words.say_scored(found), words.say_health(found), found.card()]
    assert "as it is" in said[0] and "Learned earlier" in said[1] and "as it was kept" in said[3]


def test_where_too_few_cases_began_since_the_list_is_there_and_the_rest_says_why(planted, planted_tables, opened):
    tables, _ = planted_tables
    touch = tables["touchpoints"]
    until = planted.split_at + pd.Timedelta(hours=12)
    early = touch[touch["occurred_at"] <= until]
    tickets = tables["tickets"][tables["tickets"]["opened_at"] <= until]
    found = escalation.again(planted.kept, opened({"touchpoints": early, "tickets": tickets}, observed_until=until))
    assert "how good the kept forecast is here is not known" in found.why_not
    review = found.top(5)
    assert len(review.table) == 5
    assert more_words.say_escalation(found, review).startswith("**Review 5 of")
    assert "First comes case" in more_words.say_review(found, review)
    decision = escalation.decide(found)
    assert decision.curve.empty and np.isnan(decision.best) and len(decision.today) == review.n_waiting + 1
    sentences = [words.say_decision(found, decision, review), words.say_for_whom(found), words.say_health(found), found.card()]
    assert not any("nan" in sentence.lower() for sentence in sentences)
    assert later.health(found)["verdict"].tolist() == ["too few"]


def test_a_report_uses_a_kept_forecast_without_learning(planted, planted_data, tmp_path):
    path = planted.kept.save(tmp_path / "forecast.npz")
    asked = ["report", "3", "--data", str(planted_data.path), "--out", str(tmp_path / "r"), "-p", f"model={path}"]
    assert main([*asked, "-p", "averted=0.5"]) == 0
    page = (tmp_path / "r" / "latest" / "3_who_will_call.html").read_text(encoding="utf-8")
    assert "Learned earlier from cases before the split" in page
    assert "50.0 % of the reviewed escalations averted" in page
    assert page.count("Not asked of a forecast that is kept") == 2, "neither by horizon nor within how long"
    assert "<summary>Show the card</summary>" in page


def test_a_notebook_takes_a_kept_forecast_and_costs():
    asked = check_parameters(model="", cost_call=14.0, cost_review=1, averted=0.3)
    assert asked.model is None
    assert check_parameters(model="mine/forecast.npz").model.is_absolute()
    with pytest.raises(DataError, match="averted=0 is out of range"):
        check_parameters(averted=0)


# ---- the step left

EFFECTS = pd.DataFrame(
    [
        ("phone", "agent", "mood", 0.12, -0.07, 0.31, 672, 1310),
        ("phone", "agent", "hours", -9.8, -15.0, -4.7, 835, 1535),
        ("phone", "agent", "return", 0.016, -0.07, 0.1, 805, 1492),
        ("agent", "chatbot", "hours", -12.7, -14.3, 1.6, 1535, 1289),
    ],
    columns=["source", "target", "outcome", "effect", "band_low", "band_high", "n_source", "n_target"],
)


def test_a_step_is_suggested_only_where_its_band_holds_no_zero():
    step = steps.step_left(EFFECTS, "phone")
    assert step.proven["outcome"].tolist() == ["hours"]
    assert step.at("agent", 0.1) == "settle it at agent: -9.8 hours (-15.0 to -4.7)"
    assert steps.step_left(EFFECTS, "agent").at("chatbot", 0.9) == steps.NO_STEP
    assert steps.step_left(EFFECTS, "visit") is None
    assert steps.step_left(pd.DataFrame(), "phone") is None


def test_a_step_to_the_right_or_below_the_costs_threshold_is_not_suggested():
    step = steps.step_left(EFFECTS, "phone", 0.2)
    assert [step.at(stage, 0.9) for stage in ("product", "help", "chatbot")] == [steps.NO_STEP] * 3
    assert step.at("agent", 0.19) == steps.NO_STEP
    assert step.at("agent", 0.2).startswith("settle it at agent")


def test_what_gets_worse_is_said_with_the_step_and_alone_it_is_no_step():
    worse = EFFECTS.assign(band_low=EFFECTS["band_low"].mask(EFFECTS["outcome"] == "return", 0.005))
    assert steps.step_left(worse, "phone").at("agent", 1.0).endswith("; but +1.6 points of returns (+0.5 to +10.0)")
    only = worse[worse["outcome"] == "return"]
    assert steps.step_left(only, "phone").at("agent", 1.0) == steps.NO_STEP


def test_the_review_list_carries_the_step_of_each_case(planted):
    review = planted.top(12, EFFECTS.assign(target="help"))  # its open cases are at help
    table = review.table
    assert (table["step_left"] != steps.NO_STEP).tolist() == (table["stage"] == "help").tolist()
    assert set(planted.top(12).table["step_left"]) == {steps.NO_STEP}
    n = int((table["stage"] == "help").sum())
    assert f"suggested for **{n} of 12 listed cases**: those now at help. They" in words.say_step(review)
    assert "By ending at help instead of phone" in words.say_step(review)
    paying = planted.top(12, EFFECTS.assign(target="help"), float(table["chance"].iloc[3]))
    n = int((table["stage"].head(4) == "help").sum())
    assert f"**{n} of 12 listed cases**: those now at help with a chance of at least" in words.say_step(paying)
    assert "No step is suggested" in words.say_step(planted.top(3))
    assert more_words.review_table(review)["step left"].tolist() == review.table["step_left"].tolist()


# ---- the card


def test_the_card_holds_the_numbers_of_the_tables(planted):
    text = planted.card()
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["Data", "Labels", "Model", "How good", "Calibration", "Segments", "Drift", "What it reads", "Limits"]
    auc = planted.metrics["auc"]
    assert f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" in text
    assert f"{planted.counts['held_out_cases']:,} cases ({planted.counts['held_out_rows']:,} moments" in text
    assert planted.data["fingerprint"] in text
    assert "Risk is not the effect of stepping in" in text
    assert text.count("mood") >= 3
    assert planted.card() == text


def test_a_card_escapes_what_comes_from_data(planted):
    hostile = replace(planted, escalation="<script>|x", data={**planted.data, "name": "[a](javascript:b)"})
    text = hostile.card()
    assert "<script>" not in text and "[a](javascript" not in text


def test_the_card_says_of_every_feature_where_it_is_read(planted):
    said = planted.card().partition("What it reads")[2]
    for row in escalation.declared(planted.features).itertuples():
        assert f"- {row.reads}: " in said
        assert escape(escalation.label_of(row.feature)) in said


def test_where_nothing_is_fitted_the_card_says_why(opened):
    result = escalation.fit(opened({"touchpoints": touches([("a", 0, "help", {})])}))
    assert "There is none" in result.card() and "no model is fitted" in result.card()
    assert "<details>" in words.say_card(result)


def test_cx_score_writes_the_card_and_the_step_beside_the_forecast(tmp_path, capsys):
    tables = planted_world()
    tables.pop("_calls")
    until = tables["touchpoints"]["occurred_at"].max()
    store.write_dataset(tmp_path / "data", SETTINGS | {"observed_until": until}, tables)
    args = ["score", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "list.csv"), "--capacity", "5", "--fit"]
    assert main([*args, "--model", str(tmp_path / "m.md")]) == 2
    assert "end it on .npz" in capsys.readouterr().err
    assert main([*args, "--model", str(tmp_path / "m.npz")]) == 0
    text = (tmp_path / "m.md").read_text(encoding="utf-8")
    assert text == escalation.fit(open_dataset(tmp_path / "data")).card()
    assert "step_left" in pd.read_csv(tmp_path / "list.csv")


def test_a_target_that_is_no_stage_has_no_step_to_the_left(planted_data):
    assert escalation.left_effects(planted_data, "overdue") is None
    assert set(escalation.left_effects(planted_data, "phone")["target"]) == {"help", "chatbot", "agent"}
