"""News: themes that appear and that grow, by hand, against oracles, planted, where nothing is new, and on hostile input."""

import numpy as np
import pandas as pd
import pytest
from drills import alarms_allowed
from drills import news as drill
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as distributions
from sklearn.linear_model import PoissonRegressor
from sklearn.preprocessing import normalize
from test_themes import TOPICS, written

from cxlib import stats, themes
from cxlib.schema import DataError
from cxlib.stats import counts as regression
from cxlib.themes import crowds, growing, news

GIFTS = ["voucher", "code", "christmas", "gift", "basket", "discount", "expired", "redeem"]


class Placed:
    """A text model that knows where each text lies."""

    def __init__(self, points):
        self.points = points

    def place(self, texts):
        return np.array([self.points[text] for text in texts])


def on_a_circle(n, seed, begins=0.0, ends=1.0, prefix="t"):
    """n texts with places on a part of a circle."""
    angle = 2 * np.pi * np.random.default_rng(seed).uniform(begins, ends, n)
    return {f"{prefix}{i}": (np.cos(x), np.sin(x)) for i, x in enumerate(angle)}


# --- what emerges ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def born():
    """Six topics in both periods, and a seventh of 40 tickets in the new one."""
    old, new = written(500, seed=1)[0], written(300, seed=2)[0]
    extra = np.random.default_rng(3)
    gifts = [" ".join([*extra.choice(GIFTS, 4, replace=False), *extra.choice(TOPICS["slow"].split(), 2)]) for _ in range(40)]
    return old, [*new, *gifts], themes.emerging(old, [*new, *gifts], text_model="lexical")


def test_a_planted_theme_is_found_with_its_tickets_and_its_words(born):
    _, new, found = born
    assert len(found.table) == 1
    theme = found.table.iloc[0]
    assert theme["n"] == (found.labels == 0).sum() >= 30
    assert (np.flatnonzero(found.labels == 0) >= 300).mean() > 0.9
    assert theme["p_value"] == 0.005
    assert theme["lift"] > 10
    assert set(theme["keywords"].replace(",", "").split()) <= set(GIFTS)
    assert all(found.labels[i] == 0 for i in theme["typical"])
    assert theme["share"] == theme["n"] / len(new) == theme["n"] / found.n_new
    assert theme["low"] < theme["share"] < theme["high"]


def test_the_order_of_texts_changes_nothing(born):
    old, new, found = born
    draw = np.random.default_rng(0)
    some, order = draw.permutation(len(old)), draw.permutation(len(new))
    again = themes.emerging([old[i] for i in some], [new[i] for i in order], text_model="lexical")
    assert (again.labels == found.labels[order]).all()
    pd.testing.assert_frame_equal(again.table.drop(columns="typical"), found.table.drop(columns="typical"))
    assert {new[i] for i in found.table["typical"][0]} == {new[order[i]] for i in again.table["typical"][0]}


def test_nothing_is_new_in_the_same_texts_or_the_other_way_round(born):
    old, new, _ = born
    assert themes.emerging(old, old, text_model="lexical").table.empty
    assert themes.emerging(new, old, text_model="lexical").table.empty


def test_votes_are_those_counted_by_hand():
    """Three texts in a row on a circle; the middle one was sent twice."""
    points = np.array([[1.0, 0.0], [0.8, 0.6], [0.28, 0.96]])
    around = crowds.crowds(points, np.array([1, 2, 1]))
    weight = 1 / np.sqrt(np.arange(1, 31))
    weight /= weight.sum()
    assert around.own.tolist() == pytest.approx([weight[0], weight[0] + weight[1], weight[0]])
    votes = [[0, weight[1], weight[2]], [weight[2], 0, weight[3]], [weight[2], weight[1], 0]]
    assert around.votes.toarray() == pytest.approx(np.array(votes))
    assert around.own + around.votes.toarray().sum(axis=1) + around.missing == pytest.approx(np.ones(3))


def test_a_customer_counts_once_in_a_theme_by_the_most_crowded_ticket():
    tickets = crowds.Tickets(text=np.array([0, 1, 1, 2]), unit=np.array([0, 0, 1, 2]), is_new=np.array([True, True, False]))
    mass = crowds.masses(np.array([0, 0, -1]), np.array([0.1, 0.3, 0.0]), tickets, tickets.is_new)
    assert mass.tolist() == [0.6]  # .3 for the first customer, who has .1 too, and .3 for the second


def test_a_part_is_cut_where_few_ties_hold_it_and_both_sides_are_news():
    draw = np.random.default_rng(0)
    two = np.vstack([draw.normal((5, 0, 1), 0.2, (40, 3)), draw.normal((0, 5, 1), 0.2, (40, 3))])
    points = two / np.linalg.norm(two, axis=1, keepdims=True)
    part = np.zeros(80, dtype=int)
    both = crowds.cut(part, 0, points, lambda halved: np.bincount(halved) >= 30)
    assert len(set(both[:40])) == len(set(both[40:])) == 1
    assert both[0] != both[40]
    assert (crowds.cut(part, 0, points, lambda halved: np.bincount(halved) >= 50) == 0).all()
    assert (crowds.cut(part[:40], 0, points[:40], lambda halved: np.bincount(halved) >= 1) == 0).all()


def test_equal_texts_are_counted_in_full_and_told_to_be_one():
    old, new = written(300, seed=4)[0], written(200, seed=5)[0]
    found = themes.emerging(old, [*new, *["your parcel was handed to the neighbour"] * 10_000], text_model="lexical")
    assert found.table[["n", "n_texts", "n_old"]].to_numpy().tolist() == [[10_000, 1, 0]]
    assert (found.labels[:200] == -1).all()


def test_one_customer_who_writes_often_is_no_news_and_many_are():
    old, new = written(300, seed=4)[0], written(200, seed=5)[0]
    draw = np.random.default_rng(0)
    flood = [" ".join(draw.choice(GIFTS, 5, replace=False)) for _ in range(60)]
    everyone = ([f"o{i}" for i in range(300)], [f"n{i}" for i in range(260)])
    one = (everyone[0], [*everyone[1][:200], *["n0"] * 60])
    assert themes.emerging(old, [*new, *flood], text_model="lexical").table["n"].tolist() == [60]
    assert themes.emerging(old, [*new, *flood], customers=everyone, text_model="lexical").table["n"].tolist() == [60]
    assert themes.emerging(old, [*new, *flood], customers=one, text_model="lexical").table.empty


def test_with_each_ticket_its_own_customer_it_is_as_without_customers(born):
    old, new, found = born
    each = themes.emerging(old, new, customers=([None] * len(old), [None] * len(new)), text_model="lexical")
    pd.testing.assert_frame_equal(each.table, found.table)


def test_of_many_old_texts_a_part_is_compared_in_any_order(monkeypatch, born):
    old, new, _ = born
    monkeypatch.setattr(news, "_MOST", 700)
    found = themes.emerging(old, new, text_model="lexical")
    assert (found.n_old, found.n_new) == (360, 340)
    assert found.table["n_old"].max() < 360
    again = themes.emerging(old[::-1], new, text_model="lexical")
    pd.testing.assert_frame_equal(again.table, found.table)
    assert len(found.table) == 1


def test_a_theme_that_varies_as_months_do_is_no_news_unless_any_change_is():
    """A dense place in which the new period has twice its usual odds, and one with six times."""

    def asked(n_new, **how):
        draw = np.random.default_rng(0)
        points = normalize(np.vstack([draw.normal(size=(1000, 6)), draw.normal((9, 0, 0, 0, 0, 0), 1, (100 + n_new, 6))]))
        known = {f"t{i:04d}": point for i, point in enumerate(points)}
        texts = list(known)
        old, new = [*texts[:500], *texts[1000:1100]], [*texts[500:1000], *texts[1100:]]
        return themes.emerging(old, new, text_model=Placed(known), **how).table

    assert asked(200).empty
    assert len(asked(200, denser=1)) == 1
    assert len(asked(600)) >= 1
    assert 3 < asked(600, denser=1)["lift"][0] < 10


def test_months_alike_raise_an_alarm_no_more_often_than_promised():
    alarms = 0
    for seed in range(100):
        points = on_a_circle(200, seed)
        found = themes.emerging(
            list(points)[:100], list(points)[100:], text_model=Placed(points), denser=1, deals=39, seed=seed
        )
        alarms += len(found.table) > 0
    assert 0 < alarms <= alarms_allowed(100)  # of months with nothing in them, and not for want of trying


@pytest.mark.parametrize(
    "asked, message",
    [
        (([], ["late refund"]), "none of the 0 old texts has a word"),
        ((["late refund"], []), "none of the 0 new texts has a word"),
        ((["late refund"], [None, "", "?!"]), "none of the 3 new texts has a word"),
    ],
)
def test_without_words_on_either_side_there_is_nothing_to_compare(asked, message):
    with pytest.raises(DataError, match=message):
        themes.emerging(*asked, text_model="lexical")


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"text_model": "bert"}, "text_model='bert' is none"),
        ({"customers": (["a"], ["b", "c"])}, "customers must be .old, new., with 1 and 1 entries"),
        ({"denser": 0.5}, "denser=0.5.*use 1 or more"),
        ({"deals": 5}, "deals=5.*19 or more"),
        ({"seed": -1}, "seed=-1"),
        ({"text_model": Placed({"a": (np.nan, 1.0), "b": (1.0, 0.0)})}, "NaN|no numbers"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_can(wrong, message):
    with pytest.raises((DataError, ValueError), match=message):
        themes.emerging(["a"], ["b"], **wrong)


@pytest.mark.parametrize("new", [["one"], ["same"] * 500, [None, "same", "?"], ["12"], ["\ud800 half", "🔑", "ลืมรหัสผ่าน"]])
def test_few_or_equal_texts_are_labelled_and_seldom_news(new):
    found = themes.emerging(["same"] * 500, new, text_model="lexical")
    assert len(found.labels) == len(new)
    assert found.table.empty
    assert (found.labels == -1).all()
    assert found.n_new + found.n_empty == len(new)


@settings(max_examples=20, deadline=None)
@given(*[st.lists(st.one_of(st.none(), st.text(max_size=12)), min_size=1, max_size=12)] * 2, st.integers(0, 3))
def test_any_texts_give_labels_of_the_table_or_a_clear_refusal(old, new, seed):
    try:
        found = themes.emerging(old, new, seed=seed, deals=19, text_model="lexical")
    except DataError:
        assert not all(any(char.isalnum() for text in texts if text for char in text.casefold()) for texts in (old, new))
    else:
        assert np.bincount(found.labels + 1, minlength=len(found.table) + 1)[1:].tolist() == found.table["n"].tolist()
        assert found.table["p_value"].between(0, 0.05).all()


# --- what grows -----------------------------------------------------------------------------------------------


def poisson(seed, series=6, times=15):
    draw = np.random.default_rng(seed)
    design = np.column_stack([np.ones(times), np.linspace(0, 1, times), np.arange(times) % 3 == 1, np.arange(times) % 3 == 2])
    offset = np.log(draw.integers(500, 1500, (series, times)))
    return draw.poisson(0.02 * np.exp(offset + 0.5 * design[:, 1])), design.astype(float), offset


def test_the_fit_is_that_of_scikit_learn():
    y, design, offset = poisson(0)
    mean = stats.poisson_fit(y, design, offset)
    for i in range(len(y)):
        exposure = np.exp(offset[i])
        theirs = PoissonRegressor(alpha=0, tol=1e-10, max_iter=5000).fit(design[:, 1:], y[i] / exposure, sample_weight=exposure)
        assert mean[i] == pytest.approx(exposure * theirs.predict(design[:, 1:]), rel=1e-4)
    left_out = np.ones(y.shape)
    left_out[:, -1] = 0
    assert stats.poisson_fit(y, design, offset, left_out)[:, :-1] == pytest.approx(
        stats.poisson_fit(y[:, :-1], design[:-1], offset[:, :-1])
    )


def test_a_season_without_any_ticket_and_a_huge_count_are_fitted():
    y, design, offset = poisson(1)
    y[:, np.arange(15) % 3 == 1] = 0
    y[0, 5] = 10**7
    mean = stats.poisson_fit(y, design, offset)
    assert np.isfinite(mean).all()
    assert mean.sum(axis=1) == pytest.approx(y.sum(axis=1), rel=1e-6)


def test_dispersions_are_shared_by_as_much_as_they_are_alike():
    draw = np.random.default_rng(0)
    alike = 4 * draw.chisquare(8, 200) / 8
    shared, freedom = stats.shared_dispersion(alike, np.full(200, 8), np.full(200, 20.0))
    assert shared.std() < 0.3 * alike.std()
    assert shared.mean() == pytest.approx(4, rel=0.1)
    assert freedom[0] > 30
    unlike = alike * np.where(np.arange(200) % 2, 20, 1)
    kept, freedom = stats.shared_dispersion(unlike, np.full(200, 8), np.full(200, 20.0))
    assert freedom[0] < 13
    assert np.corrcoef(kept, unlike)[0, 1] > 0.99
    assert stats.shared_dispersion(np.array([0.1, 5.0]), np.array([8, 8]), np.array([9.0, 9.0]))[0].tolist() == [1, 5]


def test_inverse_of_trigamma():
    for x in (1e-3, 0.2, 1.0, 30.0):
        assert regression._trigamma_inverse(float(regression.polygamma(1, x))) == pytest.approx(x, rel=1e-6)


@pytest.fixture(scope="module")
def null():
    """Growth of 77 themes in 40 simulated years without any."""
    usual = np.random.default_rng(0).dirichlet(np.full(77, 4.0))
    return [themes.growth(drill.monthly(usual, seed, 0, 0)[0]).table for seed in range(40)]


def test_p_values_are_uniform_where_nothing_grows(null):
    p = np.concatenate([table["p_value"].dropna() for table in null])
    assert len(p) > 2900
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, rel=0.35)
    assert sum(table["grew"].any() for table in null) <= alarms_allowed(40)


def test_intervals_hold_a_ratio_of_one_where_nothing_grows(null):
    table = pd.concat(null).dropna(subset="p_value")
    assert 0.92 < ((table["low"] <= 1) & (table["high"] >= 1)).mean() < 0.97
    assert ((table["p_value"] < 0.05) == ((table["low"] > 1) | (table["high"] < 1))).all()  # one test


def test_planted_growth_is_found_with_its_size():
    usual = np.random.default_rng(0).dirichlet(np.full(77, 4.0))
    worlds = drill.growths(usual, range(10), 2, 200)
    assert worlds["found"].sum() >= 14
    assert worlds["wrong"].sum() <= 2
    counts, rising = drill.monthly(usual, 3, 2, 400)
    ratio = themes.growth(counts).table.set_index("theme").loc[sorted(rising), ["ratio", "low", "high"]]
    assert ((ratio["low"] < 3) & (ratio["high"] > 3)).all()


def steady(n_periods, freq, n=40, others=400, start="2023-01-02"):
    period = pd.date_range(start, periods=n_periods, freq=freq)
    return pd.concat(
        [pd.DataFrame({"theme": name, "period": period, "n": size}) for name, size in (("a", n), ("b", others), ("c", others))]
    ).reset_index(drop=True)


def test_ratio_and_expected_are_those_counted_by_hand():
    counts = steady(9, "W-MON")
    counts.loc[8, "n"] = 120
    counts.loc[[17, 26], "n"] = 800  # all else doubles: 80 would be the same share
    row = themes.growth(counts).table.set_index("theme").loc["a"]
    assert row[["n", "expected", "ratio"]].tolist() == pytest.approx([120, 80, 1.5])
    plain = (120 * np.log(120 / 80) - 40) * 2  # deviance without the past's own error and spread
    assert row["p_value"] > 2 * distributions.norm.sf(np.sqrt(plain))


def test_growth_of_all_tickets_alike_is_no_theme_growing():
    counts = steady(9, "W-MON")
    counts.loc[counts["period"] == counts["period"].max(), "n"] *= 5
    table = themes.growth(counts).table
    assert table["ratio"].tolist() == pytest.approx([1, 1, 1])
    assert not table["grew"].any()


def test_a_theme_that_grows_as_it_always_did_has_not_grown():
    counts = steady(12, "W-MON")
    counts.loc[counts["theme"] == "a", "n"] = (40 * 1.2 ** np.arange(12)).round().astype(int)
    row = themes.growth(counts).table.set_index("theme").loc["a"]
    assert row["ratio"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "n_periods, freq, seasons",
    [(13, "D", ()), (15, "D", ("weekday",)), (750, "D", ("weekday", "month")), (24, "MS", ()), (25, "MS", ("month",))],
)
def test_a_season_is_known_after_two_of_it(n_periods, freq, seasons):
    assert themes.growth(steady(n_periods, freq)).seasons == seasons


def test_mondays_are_no_growth_once_weekdays_are_known():
    counts = steady(22, "D")
    counts.loc[(counts["theme"] == "a") & (counts["period"].dt.day_of_week == 0), "n"] = 160
    assert counts["period"].max().day_of_week == 0
    row = themes.growth(counts).table.set_index("theme").loc["a"]
    assert row["ratio"] == pytest.approx(1, abs=0.01)
    short = themes.growth(counts[counts["period"] > counts["period"].min() + pd.Timedelta(days=8)]).table.set_index("theme")
    assert short.loc["a", "ratio"] > 1.3


def test_themes_that_cannot_be_tested_say_why():
    counts = steady(9, "W-MON", n=2)
    table = themes.growth(counts).table.set_index("theme")
    assert table.loc["a", "why"] == "only 16 tickets before the last period, 20 are needed"
    assert table.loc["a", ["expected", "ratio", "p_value", "q_value"]].isna().all()
    assert not table.loc["a", "grew"]
    assert table.loc["b", "why"] == ""
    assert themes.growth(steady(6, "W-MON")).table["why"].unique().tolist() == ["only 5 periods before the last"]
    alone = themes.growth(steady(9, "W-MON").query("theme == 'a'")).table
    assert alone["why"].tolist() == ["no ticket of another theme in the last period to compare with"]


def test_missing_rows_are_no_tickets_and_order_and_type_of_period_change_nothing():
    counts = steady(9, "MS")
    counts.loc[3, "n"] = 0
    whole = themes.growth(counts).table
    pd.testing.assert_frame_equal(themes.growth(counts.drop(index=3).sample(frac=1, random_state=0)).table, whole)
    pd.testing.assert_frame_equal(themes.growth(counts.assign(period=counts["period"].dt.to_period("M"))).table, whole)
    pd.testing.assert_frame_equal(themes.growth(counts.assign(period=counts["period"].astype(str))).table, whole)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda c: c.drop(columns="period"), "counts has no period"),
        (lambda c: c.assign(n=-1), "27 of 27 counts are not whole numbers of 0 or more: first .*-1.* in row 0"),
        (lambda c: c.assign(n=0.5), "27 of 27 counts are not whole numbers"),
        (lambda c: c.assign(n=None), "27 of 27 counts are not whole numbers"),
        (lambda c: c.assign(theme=None), "27 of 27 rows have no theme or no period"),
        (lambda c: c.iloc[:0], "0 period: growth needs one and 6 or more before it"),
        (lambda c: c.iloc[:1], "1 period: growth needs one"),
    ],
)
def test_counts_that_are_none_are_refused_with_what_is_needed(wrong, message):
    with pytest.raises(DataError, match=message):
        themes.growth(wrong(steady(9, "W-MON")))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**6), min_size=9, max_size=9), min_size=1, max_size=5))
@example([[0] * 9, [0] * 9, [0, 0, 0, 0, 0, 0, 0, 20, 2], [0, 1, 1, 1, 1, 1, 1, 0, 1]])  # a ratio without bound
def test_any_counts_give_numbers_or_the_reason_for_none(rows):
    period = pd.date_range("2026-01-01", periods=9, freq="D")
    counts = pd.concat([pd.DataFrame({"theme": i, "period": period, "n": n}) for i, n in enumerate(rows)])
    table = themes.growth(counts).table
    told = table["why"] == ""
    numbers = table[growing._NUMBERS]
    assert numbers[told].notna().all().all()
    assert numbers[~told].isna().all().all()
    assert (table["low"][told] <= table["ratio"][told] + 1e-6).all()
    assert (table["ratio"][told] <= table["high"][told] + 1e-6).all()
    assert table["p_value"][told].between(0, 1).all()


# --- the drill, quickly ---------------------------------------------------------------------------------------


def test_appearing_intents_of_banking77_are_found(real_data):
    pool = drill.questions()
    worlds = drill.births(pool, range(500, 501), 90, "lexical")
    assert worlds["found"].sum() >= 3  # measured: 4
    assert worlds["wrong"].sum() == 0
