"""Local and global, a change's parts, segments, kinds of customer: printed values, oracles, plain counting, planted truths."""

import warnings
from collections import Counter
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drills import alarms_allowed, central
from drills.compare import NULL, PLANTED, chance_findings, coverage, exact_splits, flags
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from cxlib import eventlog, figures, journey, stats, words
from cxlib.eventlog import EventLog, from_paths
from cxlib.journey import mix, outcomes
from cxlib.journey.kinds import kind_sums
from cxlib.journey.scorecard import score_sums
from cxlib.schema import STAGES, DataError, UnitError
from cxlib.simulate.months import simulate_months
from cxlib.store import Settings

YEAR = pd.Timestamp("1971-01-01", tz="UTC")
LINES = Settings(stages=("app", "hotline", "visit"), escalation="hotline", problem_from="app", observed_until=YEAR)
COUNTS = st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=1, max_size=6)


def touches(rows, until="2027-01-01", **settings_):
    """A log from rows of (customer, case, time, stage) and maybe wait, outcome, mood."""
    names = ["user_id", "case_id", "occurred_at", "stage", "wait_s", "outcome", "sentiment"]
    frame = pd.DataFrame([row + (None,) * (7 - len(row)) for row in rows], columns=names)
    frame["occurred_at"] = pd.to_datetime(frame["occurred_at"], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    frame["touchpoint_id"] = [str(i) for i in range(len(frame))]
    frame = frame.astype({"wait_s": float, "sentiment": float, "outcome": "str"})
    frame["outcome"] = frame["outcome"].where(frame["outcome"].notna(), None)
    return eventlog.compile(frame, settings=Settings(observed_until=pd.Timestamp(until, tz="UTC"), **settings_))


# ---- Kitagawa and Simpson


def test_the_split_of_the_us_death_rates_is_the_printed_one():
    """Das Gupta (1993), Standardization and Decomposition of Rates, example 5.3: 1970 to 1985, two races by eleven ages."""
    n1 = [3041, 11577, 27450, 32711, 35480, 27411, 19555, 19795, 15254, 8022, 2472]
    n1 += [707, 2692, 6473, 6841, 6547, 4352, 3034, 2540, 1749, 804, 236]
    n0 = [2968, 11484, 34614, 30992, 21983, 20314, 20928, 16897, 11339, 5720, 1315]
    n0 += [535, 2162, 6120, 4781, 3096, 2718, 2363, 1767, 1149, 448, 117]
    r1 = [9.163, 0.462, 0.248, 0.929, 1.084, 1.810, 4.715, 12.187, 27.728, 64.068, 157.570]
    r1 += [17.208, 0.738, 0.328, 1.103, 2.045, 3.724, 8.052, 17.812, 34.128, 68.276, 125.161]
    r0 = [18.469, 0.751, 0.391, 1.146, 1.287, 2.672, 6.636, 15.691, 34.723, 79.763, 176.837]
    r0 += [36.993, 1.352, 0.541, 2.040, 3.523, 6.746, 12.967, 24.471, 45.091, 74.902, 123.205]
    split = stats.kitagawa(n0, np.multiply(n0, r0), n1, np.multiply(n1, r1))
    assert split.rate.sum() == pytest.approx(8.030 - 10.258, abs=1.1e-3)
    assert split.mix.sum() == pytest.approx((9.907 - 8.385) + (9.156 - 9.136), abs=2.1e-3)


@given(COUNTS)
def test_mix_and_rate_add_up_to_the_change_whatever_is_empty(rows):
    n0, y0, n1, y1 = (
        np.array(x) for x in zip(*[(max(a, b), min(a, b), max(c, d), min(c, d)) for a, b, c, d in rows], strict=True)
    )
    split = stats.kitagawa(n0, y0, n1, y1)
    if not (n0.sum() and n1.sum()):
        assert np.isnan(split.mix).all()
        return
    change = y1.sum() / n1.sum() - y0.sum() / n0.sum()
    assert abs(split.mix.sum() + split.rate.sum() - change) <= 1e-12
    back = stats.kitagawa(n1, y1, n0, y0)
    np.testing.assert_allclose(back.mix, -split.mix, atol=1e-15)
    np.testing.assert_allclose(back.rate, -split.rate, atol=1e-15)
    assert (split.rate[(n0 == 0) | (n1 == 0)] == 0).all()


def test_the_intervals_of_mix_and_rate_are_those_of_resampling_customers():
    rng = np.random.default_rng(5)
    customers, segments = 900, 3
    n = rng.poisson(rng.gamma(2, 0.3, customers)[:, None, None], (customers, 2, segments))
    y = rng.binomial(n, rng.beta(2, 12, customers)[:, None, None])
    flat = np.stack([n[:, 0], y[:, 0], n[:, 1], y[:, 1]], axis=1).reshape(customers, -1)
    cells = np.nonzero(flat)
    products = stats.table_products(cells[0], cells[1], flat[cells], flat.shape[1])
    np.testing.assert_array_equal(products, flat.T @ flat)
    bounds = stats.kitagawa_interval(flat.sum(axis=0).reshape(4, segments), products, customers, draws=20_000)
    drawn = (rng.poisson(1, (8000, customers)) @ flat).reshape(8000, 4, segments)
    n0, y0, n1, y1 = (drawn[:, k].T for k in range(4))
    split = stats.kitagawa(n0, y0, n1, y1)
    for found, (low, high) in ((split.mix, bounds["mix"]), (split.rate, bounds["rate"])):
        width = np.diff(np.quantile(found, [0.025, 0.975], axis=1), axis=0)[0]
        np.testing.assert_allclose(high - low, width, rtol=0.08)


def test_kidney_stones_are_the_paradox():
    """Charig et al. (1986), BMJ 292: open surgery to nephrolithotomy, small and large stones."""
    assert stats.simpson(n0=[87, 263], y0=[81, 192], n1=[270, 80], y1=[234, 55])
    assert not stats.simpson(n0=[87, 263], y0=[81, 192], n1=[87, 263], y1=[80, 190])
    assert not stats.simpson(n0=[87, 263], y0=[81, 192], n1=[270, 80], y1=[234, 55], minimum=500)
    assert not stats.simpson(n0=[0, 5], y0=[0, 1], n1=[5, 0], y1=[1, 0])


# ---- differences, rates, multiplicity


def test_a_difference_is_nearly_newcombes_when_each_cluster_has_one_case():
    """Newcombe (1998), Stat. Med. 17, table II, method 10: 56/70 - 48/80 = .2, .0524 to .3339."""
    second, first = (stats.ratio_sums(np.arange(n) < k, np.ones(n)) for k, n in ((56, 70), (48, 80)))
    found = stats.difference_from_sums(first, second, np.zeros(5))
    assert found[:3] == pytest.approx((0.2, 0.0524, 0.3339), abs=4e-3)


@pytest.mark.parametrize(("k", "m"), [(30, 45), (0, 9), (100, 100), (3, 60)])
def test_the_p_value_is_that_of_the_chi_square_test_when_each_cluster_has_one_case(k, m):
    first, second = (stats.ratio_sums(np.arange(400) < x, np.ones(400)) for x in (k, m))
    table = [[k, 400 - k], [m, 400 - m]]
    assert stats.difference_from_sums(first, second, np.zeros(5)).p == pytest.approx(
        scipy_stats.chi2_contingency(table, correction=False).pvalue, rel=0.06
    )


def test_no_case_of_few_is_not_sure_to_differ_from_a_rare_thing():
    rest, own = (stats.ratio_sums(np.arange(n) < k, np.ones(n)) for k, n in ((264, 60_000), (0, 31)))
    found = stats.difference_from_sums(rest, own, np.zeros(5))
    assert found.p > 0.5
    assert found.low < 0 < found.high


def test_a_difference_of_means_is_nearly_welchs_when_each_cluster_has_one_value():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 500, 300), rng.integers(0, 560, 500)
    sums = [stats.ratio_sums(x, np.ones(len(x))) for x in (a, b)]
    found = stats.difference_from_sums(*sums, np.zeros(5), share=False)
    expected = scipy_stats.ttest_ind(b, a, equal_var=False)
    assert found[1:3] == pytest.approx(tuple(expected.confidence_interval()), rel=0.01)
    assert found.p == pytest.approx(expected.pvalue, rel=0.05)


def test_customers_in_both_groups_are_taken_into_account():
    rng = np.random.default_rng(2)
    n = rng.integers(0, 4, (2, 1500))
    y = rng.binomial(n, rng.beta(1, 5, 1500))
    sums = [stats.ratio_sums(y[k], n[k]) for k in (0, 1)]
    cross = stats.cross_sums(y[0], n[0], y[1], n[1])
    weights = rng.poisson(1, (4000, 1500))
    resampled = np.std((weights @ y[1]) / (weights @ n[1]) - (weights @ y[0]) / (weights @ n[0]))
    found = stats.difference_from_sums(*sums, cross)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(resampled, rel=0.05)
    alone = stats.difference_from_sums(*sums, np.zeros(5))
    assert alone.high - alone.low > 1.05 * (found.high - found.low)


def test_the_p_value_is_mcnemars_when_each_customer_has_a_case_in_both_groups():
    """With Student's t for the number of customers: 9 of 20 turned to yes and 2 to no."""
    before, after = np.repeat([0, 1, 1, 0], [9, 2, 4, 5]), np.repeat([1, 0, 1, 0], [9, 2, 4, 5])
    ones = np.ones(20, dtype=int)
    sums = stats.ratio_sums(before, ones), stats.ratio_sums(after, ones), stats.cross_sums(before, ones, after, ones)
    t = (9 - 2) / np.sqrt((9 + 2) * 20 / 19)
    assert stats.difference_from_sums(*sums).p == pytest.approx(2 * scipy_stats.t.sf(t, 19))


def test_a_group_against_itself_does_not_differ():
    sums = stats.ratio_sums(np.array([1, 0, 2, 0]), np.array([2, 1, 2, 1]))
    same = stats.cross_sums(*[np.array(x) for x in ([1, 0, 2, 0], [2, 1, 2, 1])] * 2)
    assert stats.difference_from_sums(sums, sums, same) == pytest.approx((0, 0, 0, 1), abs=0.2)
    assert np.isnan(stats.difference_from_sums(sums, np.zeros(6), np.zeros(5))).all()


CASES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@given(CASES)
def test_sums_by_group_agree_with_full_tables(rows):
    cluster, group, y, n = (np.array(x) for x in zip(*rows, strict=True))
    y = np.minimum(y, n)
    dense_y, dense_n = np.zeros((5, 4), dtype=int), np.zeros((5, 4), dtype=int)
    np.add.at(dense_y, (cluster, group), y)
    np.add.at(dense_n, (cluster, group), n)
    in_a_row = stats.sums_in_a_row(cluster, group, 4, y, n)
    against = stats.sums_against_rest(cluster, group, 4, y, n)
    for g in range(4):
        own = stats.ratio_sums(dense_y[:, [g]], dense_n[:, [g]])[:, 0]
        rest_y, rest_n = dense_y.sum(axis=1) - dense_y[:, g], dense_n.sum(axis=1) - dense_n[:, g]
        rest = stats.ratio_sums(rest_y[:, None], rest_n[:, None])[:, 0]
        cross = stats.cross_sums(rest_y, rest_n, dense_y[:, g], dense_n[:, g])
        assert in_a_row[g, :6].tolist() == own.tolist()
        assert against[g].tolist() == [*rest, *own, *cross]
        if g:
            before = stats.cross_sums(dense_y[:, g - 1], dense_n[:, g - 1], dense_y[:, g], dense_n[:, g])
            assert in_a_row[g, 6:].tolist() == before.tolist()
    odd = cluster % 2 == 1
    halves = [stats.sums_in_a_row(cluster[part], group[part], 4, y[part], n[part]) for part in (odd, ~odd)]
    assert (halves[0] + halves[1] == in_a_row).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_q_values_are_scipys_and_leave_out_what_was_not_tested(p):
    expected = scipy_stats.false_discovery_control(p)
    np.testing.assert_allclose(stats.false_discovery(np.array(p)), expected)
    with_gap = stats.false_discovery(np.array([*p, np.nan]))
    np.testing.assert_allclose(with_gap[:-1], expected)
    assert np.isnan(with_gap[-1])


@pytest.mark.parametrize("k", [0, 1, 10, 250])
def test_a_rate_of_single_events_has_garwoods_interval(k):
    low = scipy_stats.chi2.ppf(0.025, 2 * k) / 2 if k else 0
    assert stats.rate_interval(np.ones(k), 2.0)[1:] == pytest.approx((low / 2, scipy_stats.chi2.ppf(0.975, 2 * k + 2) / 4))


def test_events_that_come_in_pairs_count_as_half_as_many():
    single, pairs = stats.rate_interval(np.ones(50), 1), stats.rate_interval(np.full(50, 2), 1)
    assert np.array(pairs) == pytest.approx(2 * np.array(single))
    assert np.isnan(stats.rate_interval(np.ones(3), 0)).all()


# ---- what became of each case


def plain_measures(cases, name, stage, within, back=7 * 24):
    """The measures counted case by case; a case is (customer, [(hour, stage code, wait, solved, mood)])."""
    e, p = 4, 1
    result = []
    for i, (who, path) in enumerate(cases):
        inside = [t for t in path if t[0] - path[0][0] <= within]
        seeking = [t for t in inside if t[1] >= p]
        last = seeking[-1][0] if seeking else None
        others = [q for j, (w, q) in enumerate(cases) if w == who and j != i]
        starts = [q[0][0] for q in others if any(t[1] >= p and t[0] - q[0][0] <= within for t in q)]
        late = [t[0] for t in path if t[1] >= p and t not in inside]
        again = last is not None and any(last < s <= last + back for s in [*starts, *late])
        here = [t for t in inside if t[1] == stage]
        stayed = here and max(t[1] for t in inside) <= stage
        first_call = next((k for k, t in enumerate(inside) if t[1] == e), None)
        forced = first_call is not None and any(p <= t[1] < e for t in inside[:first_call])
        moods = [t[4] for t in inside if t[4] is not None]
        waits = [t[2] for t in here if t[2] is not None]
        result.append({
            outcomes.FORCED: (forced, bool(seeking)),
            outcomes.CALLS: (sum(t[1] == e for t in inside), bool(seeking)),
            outcomes.BACK: (again, bool(seeking)),
            outcomes.MOOD: (round(np.mean(moods)) if moods else 0, bool(moods)),
            outcomes.NO_FURTHER: (bool(stayed), bool(here)),
            outcomes.AT_MOST: (bool(stayed) and not again, bool(here)),
            outcomes.AT_LEAST: (bool(stayed) and not again and here[-1][3] == 1, bool(here)),
            outcomes.FIRST_CONTACT: (bool(stayed) and not again and len(here) == 1, bool(here)),
            outcomes.HOLD: (sum(waits), len(waits)),
        }[name])  # fmt: skip
    return [tuple(int(x) for x in pair) for pair in result]


TOUCH = st.tuples(
    st.integers(0, 200), st.integers(0, 4), st.sampled_from([None, 5, 60]), st.sampled_from([None, 0, 1]),
    st.sampled_from([None, -300, 400]),
)  # fmt: skip
WORLD = st.lists(st.tuples(st.sampled_from("ab"), st.lists(TOUCH, min_size=1, max_size=5)), min_size=1, max_size=6)


def log_of(cases) -> EventLog:
    """A log of cases in plain Python, in their order (customers together)."""
    flat = [(who, number, *touch) for number, (who, path) in enumerate(cases) for touch in path]
    sizes = [len(path) for _, path in cases]
    who = [who for who, _ in cases]
    new = [i for i in range(len(who)) if i == 0 or who[i] != who[i - 1]]
    hour = 3_600_000_000
    start = np.append(0, np.cumsum(sizes))
    at = np.array([t[2] for t in flat], dtype=np.int64) * hour
    column = {
        k: np.array([(missing if t[k] is None else t[k]) for t in flat]) for k, missing in ((4, -1), (5, -1), (6, -32768))
    }
    return EventLog(
        stage=np.array([t[3] for t in flat], dtype=np.uint8), at=at, action=np.zeros(len(flat), dtype=np.uint16),
        mood=column[6].astype(np.int16), wait=column[4].astype(np.int32), solved=column[5].astype(np.int8),
        case_start=start, customer_start=np.append(new, len(cases)), case_end=at[start[1:] - 1],
        case_open=np.zeros(len(cases), dtype=bool), case_resolved=np.ones(len(cases), dtype=bool),
        customer_key=np.arange(len(new), dtype=np.uint64), stages=STAGES, actions=("",), escalation=4, problem_from=1,
        observed_from=0, observed_until=2000 * hour, gap=168 * hour,
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(WORLD, st.sampled_from([0, 24, 100]))
def test_measures_agree_with_counting_in_plain_python(world, within):
    cases = sorted([(who, sorted(path, key=lambda t: t[0])) for who, path in world], key=lambda case: case[0])
    seen = outcomes.Window(log_of(cases), within * 3_600_000_000)
    for name in outcomes.MEASURES.keys() - {outcomes.TOLD}:
        for stage in (-1,) if name in outcomes.OF_CASES else (1, 2, 3, 4):
            y, n = outcomes.measured(seen, name, stage)
            found = [(a * (b > 0), b) for a, b in zip(y.tolist(), n.tolist(), strict=True)]
            assert found == plain_measures(cases, name, stage, within), name


def test_what_a_kernel_adds_up_does_not_depend_on_the_split():
    months = simulate_months(1, cases=400)
    log = EventLog(**months.fields)
    parts = list(log.shards(touches=150))
    assert len(parts) > 5
    edges = tuple(outcomes.periods(log, "month")[1].tolist())
    week = 7 * outcomes.DAY
    wanted = (("forced to call", -1), ("back within 7 days", -1), ("hold time", 3), ("solved, at most", 2))
    for kernel, params in (
        (score_sums, {"edges": edges, "within": week, "until": log.observed_until, "wanted": wanted}),
        (kind_sums, {"edges": edges, "within": week, "base": 1}),
    ):
        whole = kernel(log, **params)
        assert whole.dtype == np.int64
        np.testing.assert_array_equal(sum(kernel(part, **params) for part in parts), whole)


# ---- the scorecard

SMALL = [
    ("ann", "1", "2026-07-01 10:00", "chatbot", None, "solved"),
    ("ann", "2", "2026-07-06 10:00", "chatbot"),  # ann came back within 7 days: case 1 was not solved after all
    ("bob", "3", "2026-07-10 10:00", "chatbot", None, "solved"),
    ("cid", "4", "2026-07-11 10:00", "chatbot", None, "not solved"),
    ("cid", "4", "2026-07-11 12:00", "agent", 100),
    ("cid", "4", "2026-07-12 12:00", "phone", 300),
    ("dan", "5", "2026-07-20 12:00", "agent", 200),
]


def test_the_scorecard_of_five_cases_counted_by_hand():
    waits = {"agent": [100, 200], "phone": [300]}
    log = touches(SMALL)
    wait = [waits[stage].pop(0) if stage in waits else -1 for stage in np.array(log.stages)[log.stage]]
    card = journey.scorecard(replace(log, wait=np.array(wait, dtype=np.int32)))
    found = card.table.set_index(["stage", "metric"])[["value", "n"]]
    assert {key: tuple(row) for key, row in found.iterrows()} == {
        ("chatbot", "solved, at least"): (1 / 4, 4),  # bob
        ("chatbot", "solved, at most"): (2 / 4, 4),  # bob, and ann's second case
        ("agent", "solved, at most"): (1 / 2, 2),
        ("agent", "first-contact resolution"): (1 / 2, 2),
        ("agent", "hold time"): (150, 2),
        ("phone", "hold time"): (300, 1),
        ("", "forced to call"): (1 / 5, 5),
        ("", "calls per 1,000 cases"): (200, 5),
        ("", "back within 7 days"): (1 / 5, 5),
    }
    assert "no touch carries a mood" in card.missing
    assert card.n_tested == 0
    assert set(card.table["verdict"]) == {""}


def test_a_month_is_one_of_the_calendar_where_the_customers_are():
    rows = [("a", "1", "2026-07-31 21:30", "help"), ("b", "2", "2026-07-31 22:30", "help"), ("c", "3", "2026-07-01", "help")]
    berlin = journey.scorecard(touches(rows, timezone="Europe/Berlin")).table
    assert berlin[berlin["metric"] == "forced to call"].set_index("period")["n"].to_dict() == {"2026-07": 2, "2026-08": 1}
    utc = journey.scorecard(touches(rows)).table
    assert utc[utc["metric"] == "forced to call"].set_index("period")["n"].to_dict() == {"2026-07": 3}


def test_a_case_too_young_to_come_back_is_not_counted():
    card = journey.scorecard(touches(SMALL, until="2026-07-25"))
    assert (card.n_cases, card.n_immature) == (3, 2)  # bob at 10 July counts, cid at 11 July not yet
    assert journey.scorecard(touches(SMALL, until="2026-07-25"), within="30d").table.empty
    with pytest.raises(UnitError, match="has no unit"):
        journey.scorecard(touches(SMALL), within="7")
    with pytest.raises(DataError, match="did you mean month"):
        journey.scorecard(touches(SMALL), period="mont")


def test_a_log_that_stops_taking_in_cases_does_not_call_that_silence():
    """As in an export of the incidents opened in some months, with their updates to the end of the year."""
    days = pd.date_range("2026-06-01", "2026-08-09 12:00", freq="12h")
    rows = [(f"c{i % 40}", str(i), f"{day:%Y-%m-%d %H:%M}", "help") for i, day in enumerate(days)]
    log = touches([*rows, ("c0", "0", "2026-12-01 00:00", "help")], until="2026-12-01")
    card = journey.scorecard(log)
    assert any("began after 2026-08-09" in line for line in card.missing)
    assert card.n_immature == 27  # two a day after 27 July 00:00: the last two weeks, not December's
    assert journey.kinds(log).table["month"].unique().tolist() == ["2026-07"]


def test_what_is_not_measured_is_named_and_not_shown():
    other = journey.scorecard(from_paths(a="app hotline", b="app visit", settings=LINES))
    text = " ".join(other.missing)
    assert "no stage is called agent" in text
    assert "no case came back" in text
    assert set(other.table["metric"]) == {"went no further", "forced to hotline", "touches at hotline per 1,000 cases"}


def test_the_planted_month_is_flagged_and_null_months_are_not():
    found = flags(100, [PLANTED, *NULL[:2]]).set_index("the second month")
    assert found.loc[PLANTED, "hold_and_forced"] >= 90, found
    assert found.loc[NULL[:2], "flagged"].max() <= alarms_allowed(100), found


def test_nothing_is_compared_with_a_month_of_which_only_the_end_was_seen():
    fields = simulate_months(0).fields
    whole, nearly, cut = (
        EventLog(**fields | {"observed_from": fields["observed_from"] + hours * 3_600_000_000}) for hours in (0, 12, 120)
    )
    july, august = (table.set_index("metric") for _, table in journey.scorecard(cut).table.groupby("period"))
    assert july["change"].isna().all() and august["change"].isna().all()
    assert august["value"].equals(journey.scorecard(whole).table.query("period == '2026-08'").set_index("metric")["value"])
    assert journey.scorecard(cut).flags.empty and not journey.scorecard(whole).flags.empty
    pd.testing.assert_frame_equal(journey.scorecard(nearly).flags, journey.scorecard(whole).flags)  # half a day is no end


def test_the_first_page_names_the_local_win_and_the_global_loss():
    card = journey.scorecard(EventLog(**simulate_months(0).fields))
    said = words.say_watch_out(card)
    assert said.startswith(
        "**In August 2026 hold time at agent went from 341 seconds to 270 seconds, and yet the share forced to"
    )
    assert said.endswith("to call went from 7.7 % to 9.7 %: a local win, a global loss.**")
    null = journey.scorecard(EventLog(**simulate_months(0, forced=((0.08,), (0.08,)), hold=(1.0, 1.0)).fields))
    assert words.say_watch_out(null) == "In none of 2 months did a stage clearly improve while the whole clearly got worse."


def test_intervals_of_differences_hold_in_a_hundred_worlds():
    """DESIGN's coverage rule; `make drills` runs 400 worlds."""
    found = coverage(100)
    assert len(found) == 16
    assert found["hits"].between(*central(100)).all(), found


def test_mix_and_rate_leave_no_rest_of_a_change_between_months():
    assert exact_splits(10) == 10


def test_segments_and_steps_that_do_not_differ_are_left_alone():
    assert chance_findings(100)["held"].all()


# ---- a change, segments, groups


def test_a_shift_of_the_mix_alone_is_called_mix():
    """All segments call less, but the segment that calls most grows: Simpson's paradox, planted."""
    months = simulate_months(4, forced=((0.05, 0.20), (0.035, 0.17)), mix=((0.8, 0.2), (0.45, 0.55)))
    found = journey.change(EventLog(**months.fields), np.array(["calm", "hot"])[months.segment])
    parts = found.parts.set_index("part")["value"]
    assert abs(parts["mix"] + parts["rate"] - parts["change"]) <= 1e-12
    assert abs(found.table["total"].sum() - (found.value1 - found.value0)) <= 1e-12
    assert parts["mix"] == pytest.approx(months.truth["mix"], abs=0.006)
    assert parts["rate"] == pytest.approx(months.truth["rate"], abs=0.01)
    assert found.reversal == "clear"
    assert "Simpson" in words.say_change(found)


def test_a_paradox_is_clear_only_where_the_rates_and_the_whole_surely_go_apart():
    stones = np.array([[87, 263], [81, 192], [270, 80], [234, 55]])

    def reversal(rate, whole):
        parts = [("rate", *rate), ("change", *whole)]
        return mix._reversal(stones, pd.DataFrame(parts, columns=["part", "value", "low", "high"]))

    assert reversal((-0.05, -0.09, -0.01), (0.05, 0.01, 0.09)) == "clear"
    assert reversal((-0.05, -0.09, -0.01), (0.05, -0.02, 0.12)) == "seen"
    assert reversal((-0.05, -0.12, 0.02), (0.05, 0.01, 0.09)) == "seen"
    assert reversal((0.05, 0.01, 0.09), (0.05, 0.01, 0.09)) == "seen"  # a small segment turned the sum of the rates


def test_a_segment_that_is_new_is_all_mix():
    rows = [(f"u{i}", str(i), "2026-07-05", "help") for i in range(4)] + [("v", "9", "2026-08-05", "help")]
    rows += [("v", "9", "2026-08-06", "phone")]
    found = journey.change(touches(rows), ["old"] * 4 + ["new"])
    row = found.table.set_index("segment").loc["new"]
    assert (row["n0"], row["n1"], row["rate"]) == (0, 1, 0)
    assert np.isnan(row["share0"])
    assert found.parts["value"].tolist() == [1, 0, 1]


def test_a_change_says_what_would_have_worked():
    log = touches(SMALL)
    with pytest.raises(DataError, match="2 labels for 5 cases: give one per case"):
        journey.change(log, ["x", "y"])
    with pytest.raises(DataError, match="needs two periods with cases that count, and there are 1"):
        journey.change(log, ["x"] * 5, after="2026-07")
    with pytest.raises(DataError, match="'2026-06' is no period"):
        journey.change(log, ["x"] * 5, before="2026-06", after="2026-07")
    with pytest.raises(DataError, match="nothing lies before it"):
        journey.change(EventLog(**simulate_months(0, cases=50).fields), ["x"] * 132, after="2026-07")


def test_a_change_compares_whole_months_unless_told_otherwise():
    days = [f"2026-{month}-{1 + i * 2 // 3:02d}" for month in ("06", "07", "08") for i in range(45)]
    rows = [(str(i), str(i), day, "help") for i, day in enumerate(days)]
    early, late = (journey.change(touches(rows, until=until), ["x"] * 135) for until in ("2026-09-14", "2026-09-15"))
    assert (early.before, early.after) == ("2026-06", "2026-07")  # August was not seen for 14 days to its end
    assert (late.before, late.after, late.n1) == ("2026-07", "2026-08", 45)
    asked = journey.change(touches(rows, until="2026-08-31"), ["x"] * 135, after="2026-08")
    assert (asked.before, asked.after) == ("2026-07", "2026-08")
    few = rows[:90] + rows[90::10]  # August is whole, with five cases
    usual = journey.change(touches(few, until="2026-09-15"), ["x"] * 95)
    assert (usual.before, usual.after) == ("2026-06", "2026-07")


def test_a_log_of_one_month_says_that_there_is_nothing_to_compare():
    found = journey.change(touches(SMALL), ["x"] * 5)
    assert found.missing == "cases that count began in 1 month, not in two"
    assert found.table.empty and found.parts.empty
    assert "Nothing can be compared" in words.say_change(found)


def test_steps_within_a_window_end_where_the_window_does():
    log = from_paths(a="help phone", b="help help phone", c="help", step="1h")
    found = journey.matrix_diff(log, ["x", "x", "y"], within="1h").table.set_index(["source", "target"])
    assert found.loc[("help", "phone"), ["count0", "n0"]].tolist() == [1, 3]
    assert found.loc[("help", "end"), ["count0", "count1", "n1"]].tolist() == [1, 1, 1]  # b has not called after one hour
    whole = journey.matrix_diff(log, ["x", "x", "y"]).table.set_index(["source", "target"])
    assert whole.loc[("help", "phone"), ["count0", "n0"]].tolist() == [2, 3]
    assert journey.case_periods(log).tolist() == ["1970-01"] * 3


def test_cases_are_divided_by_what_they_are_about_first_and_never_by_what_is_one_a_case():
    known = pd.DataFrame(
        {"n_earlier": range(300), "topic": ["a", "b", "c"] * 100, "plan": ["x", "z", "y"] * 100, "kind": "new"}
    )
    known = known.assign(name=[str(i) for i in range(300)], role="one", application=["q", "r", "r"] * 100)
    assert list(journey.segmentations(known)) == ["topic", "application", "plan"]
    assert list(journey.segmentations(known[["kind"]])) == ["kind"]
    known.loc[:40, "topic"] = None  # read from a ticket that not everybody came to have
    assert list(journey.segmentations(known)) == ["application", "plan", "topic"]
    assert list(journey.segmentations(known, first="topic")) == ["topic", "application", "plan"]
    with pytest.raises(DataError, match="segment='role' does not divide the cases: Allowed: application, plan, topic"):
        journey.segmentations(known, first="role")


def test_a_segment_with_few_cases_is_listed_apart_and_not_tested():
    months = simulate_months(0, cases=300, forced=((0.08, 0.3), (0.08, 0.3)), mix=((0.7, 0.3),) * 2)
    labels = np.array(["a", "b"], dtype=object)[months.segment]
    labels[:5], labels[5:8] = "rare", None
    found = journey.segments(EventLog(**months.fields), labels)
    assert found.table["segment"].tolist() == ["b", "a"]  # the worst first
    assert set(found.small["segment"]) == {"rare", "(none)"}
    assert found.table["q"].notna().all()
    assert found.table.loc[0, "q"] < 0.05
    assert "for the worse, first b" in words.say_segments(found)
    with pytest.raises(DataError, match="metric='forced' is not known: did you mean forced to call"):
        journey.segments(EventLog(**months.fields), labels, metric="forced")


def test_step_matrices_of_two_groups_are_those_of_the_groups_alone():
    paths = {"a": "help phone", "b": "help chatbot phone", "c": "help", "d": "help help phone", "e": "product help"}
    groups = {"a": "x", "b": "x", "c": "y", "d": "y", "e": None}
    log = from_paths(**paths)
    found = journey.matrix_diff(log, [groups[case] for case in log.case_id]).table.set_index(["source", "target"])
    for side, name in ((0, "x"), (1, "y")):
        alone = journey.transitions(from_paths(**{case: path for case, path in paths.items() if groups[case] == name})).table
        for row in alone.itertuples():
            got = found.loc[(row.source, row.target)]
            assert (got[f"count{side}"], got[f"n{side}"], got[f"share{side}"]) == (row.count, row.n, pytest.approx(row.share))
    assert found["q"].isna().all()  # too few to test
    with pytest.raises(DataError, match="group has 1 labels"):
        journey.matrix_diff(log, ["x"] * 5)


def test_steps_of_customers_with_cases_in_both_groups_are_compared_within_customers():
    calls = np.array([[1, 1], [1, 0], [0, 0], [1, 1], [0, 0], [0, 1], [1, 1], [0, 0]])  # of each customer's two cases
    ways = {f"u{i}__{k}": "help phone" if called else "help" for i, row in enumerate(calls) for k, called in enumerate(row)}
    log, ones = from_paths(**ways), np.ones(8, dtype=int)
    found = journey.matrix_diff(log, [name[-1] for name in log.case_id], minimum=1).table.set_index(["source", "target"])
    sums = [stats.ratio_sums(y, ones) for y in calls.T] + [stats.cross_sums(calls[:, 0], ones, calls[:, 1], ones)]
    expected = stats.difference_from_sums(*sums)
    assert found.loc[("help", "phone"), ["difference", "low", "high", "p"]].tolist() == pytest.approx(expected)


def test_what_followed_the_newest_touches_is_told_of_no_group():
    fresh = from_paths(a="help phone", b="help", settings=Settings(observed_until=pd.Timestamp("1970-01-02", tz="UTC")))
    assert journey.matrix_diff(fresh, ["x", "y"]).table.empty
    rows = [("a", "1", "2026-07-01", "help"), ("b", "2", "2026-07-01", "help"), ("b", "3", "2026-07-05", "help")]
    found = journey.matrix_diff(touches(rows, until="2026-07-06"), ["x", "y", "y"], within="2d").table
    assert found[["n0", "n1"]].to_numpy().tolist() == [[1, 1]]  # the two days of b's second case are not over


def test_a_planted_difference_of_one_step_is_found():
    months = simulate_months(7, cases=6000, forced=((0.05, 0.15),) * 2, mix=((0.5, 0.5),) * 2)
    found = journey.matrix_diff(EventLog(**months.fields), months.segment).table
    sure = found[found["q"] <= 0.05]
    assert set(sure["target"]) >= {"phone"}
    assert {"help", "chatbot", "agent"} <= set(sure.loc[sure["target"] == "phone", "source"])
    assert (sure.loc[sure["target"] == "phone", "difference"] > 0).all()


# ---- kinds of customer, contacts


def plain_kinds(rows):
    """Kinds by month from rows of (customer, month 0-4, forced), counted in plain Python."""
    kind = {}
    for who in {row[0] for row in rows}:
        months = sorted({m for w, m, _ in rows if w == who})
        for m in range(months[0], 5):
            blocked = any(f for w, k, f in rows if (w, k) == (who, m))
            kind[who, m] = "blocked" if blocked else "away" if m not in months else "new" if m == months[0] else "regular"
    return kind


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 4), st.booleans()), min_size=2, max_size=15))
def test_kinds_agree_with_counting_in_plain_python(rows):
    cases = [
        (who, str(i), f"2026-0{m + 2}-0{i % 9 + 1} 0{hour}:00", stage)
        for i, (who, m, forced) in enumerate(rows)
        for hour, stage in enumerate(["help", "phone"][: 1 + forced])
    ]
    cases += [("zoe", "z", "2026-02-01", "help"), ("zoe", "y", "2026-03-01", "help")]
    kind = plain_kinds([*rows, ("zoe", 0, False), ("zoe", 1, False)])
    found = journey.kinds(touches(cases))
    expected = Counter((f"2026-0{m + 2}", k) for (_, m), k in kind.items() if m and k != "away")
    shown = found.table[found.table["customers"] > 0]
    assert {(row.month, row.kind): row.customers for row in shown.itertuples()} == expected
    sums = found.table.groupby("month")["share"].sum()
    assert sums[found.table.groupby("month")["n"].first() > 0].to_numpy() == pytest.approx(1)
    last = max(1, *(m for _, m, _ in rows))  # what comes after the last month with cases is not shown
    steps = Counter((kind[who, m], kind[who, m + 1]) for who, m in kind if 0 < m < last)
    moved = found.moves[found.moves["count"] > 0].set_index(["source", "target"])["count"].to_dict()
    assert moved == {pair: count for pair, count in steps.items() if count}


def test_kinds_need_customers_that_are_seen_twice_and_whole_months():
    once = journey.kinds(touches([("a", "1", "2026-07-01", "help"), ("b", "2", "2026-08-01", "help")]))
    assert once.table.empty
    assert "nobody can be told from a new one" in words.say_kinds(once)
    young = journey.kinds(touches([("a", "1", "2026-07-01", "help"), ("a", "2", "2026-08-01", "help")], until="2026-08-20"))
    assert "no whole month" in young.missing


ACTIVE = pd.DataFrame(
    {
        "date": ["2026-07-01", "2026-07-02", "2026-07-01", "2030-01-01"],
        "segment": ["s", "s", "t", "s"],
        "n_active": [500, 300, 50, 9],
    }
)


def test_contacts_per_active_user_counted_by_hand():
    rows = [("a", "1", "2026-07-01 10:00", "help"), ("a", "2", "2026-07-02 10:00", "help"), ("b", "3", "2026-07-01", "product")]
    rows += [
        ("c", "4", "2026-07-01 23:00", "product"),
        ("c", "4", "2026-07-02 01:00", "agent"),
        ("d", "5", "2026-07-03", "help"),
    ]
    found = journey.contact_rate(touches(rows), ACTIVE, ["s", "s", "s", "s", "u"])
    row = found.table.set_index("segment").loc["s"]
    assert (row["contacts"], row["active_days"], row["customers"], row["days"]) == (3, 800, 2, 2)
    assert row["rate"] == pytest.approx(3.75)
    assert row["low"] < 3.75 < row["high"]
    daily = found.daily[found.daily["segment"] == "s"].set_index("date")
    assert daily["contacts"].to_dict() == {"2026-07-01": 1, "2026-07-02": 2}
    assert found.table.set_index("segment").loc["t", "contacts"] == 0
    assert "left out" in found.note
    assert "u" in found.note
    whole = journey.contact_rate(touches(rows), ACTIVE).table.iloc[0]
    assert (whole["segment"], whole["contacts"], whole["active_days"]) == ("all", 3, 850)


def test_without_active_users_there_is_a_note_and_a_wrong_table_is_refused():
    found = journey.contact_rate(touches(SMALL))
    assert found.table.empty
    assert "no table active" in found.note
    with pytest.raises(DataError, match="active_users has no column segment: it needs date, segment, n_active"):
        journey.contact_rate(touches(SMALL), ACTIVE.drop(columns="segment"), ["x"] * 5)


def test_a_day_that_was_not_observed_to_its_end_does_not_count():
    rows = [("a", "1", "2026-07-01 10:00", "help"), ("b", "2", "2026-07-02 10:00", "help")]
    found = journey.contact_rate(
        touches(rows, until="2026-07-02 12:00", observed_from=pd.Timestamp("2026-07-01", tz="UTC")), ACTIVE
    )
    assert found.table["days"].tolist() == [1]


# ---- odd worlds: an answer or one clear line

EMPTY = pd.DataFrame({"touchpoint_id": [], "user_id": [], "stage": []}, dtype="str")
WORLDS = {
    "empty": eventlog.compile(EMPTY.assign(occurred_at=pd.Series([], dtype="datetime64[us, UTC]"))),
    "one case": from_paths(a="help phone"),
    "one customer": from_paths(a="help phone", a__2="help", a__3="phone"),
    "nobody sought help": from_paths(a="product", b="product product"),
    "everybody called first": from_paths(a="phone", b="phone", c="phone"),
    "all open": from_paths(a="help phone", b="help", settings=Settings(observed_until=pd.Timestamp("1970-01-02", tz="UTC"))),
    "the last resort is not the last stage": from_paths(a="visit hotline", b="app hotline", settings=LINES),
    "hostile stages": from_paths(
        a="<b>app</b> [x](y)", b="<b>app</b>",
        settings=Settings(stages=("<b>app</b>", "[x](y)"), escalation="[x](y)", problem_from="<b>app</b>", observed_until=YEAR),
    ),
    "five cases": touches(SMALL),
}  # fmt: skip


def answers(log):
    """All results that the log has an answer for, each with what says and draws it."""
    labels = np.array(["<i>x</i>", "$y$"] * log.n_cases, dtype=object)[: log.n_cases]
    active = pd.DataFrame({"date": ["1970-01-01", "2026-07-11"], "segment": "<i>x</i>", "n_active": 100})
    asked = [
        (lambda: journey.scorecard(log), words.say_scorecard, [figures.draw_scorecard]),
        (lambda: journey.change(log, labels, before="1970-01", after="1970-01"), words.say_change, [figures.draw_waterfall]),
        (lambda: journey.segments(log, labels, minimum=1), words.say_segments, [figures.draw_segments]),
        (lambda: journey.matrix_diff(log, labels, minimum=1), words.say_matrix_diff, [figures.draw_matrix_diff]),
        (lambda: journey.kinds(log), words.say_kinds, [figures.draw_kinds, figures.draw_kind_moves]),
        (lambda: journey.contact_rate(log, active, labels), words.say_contact_rate, []),
    ]
    for ask, say, draw in asked:
        try:
            yield ask(), say, draw
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("name", WORLDS)
def test_every_question_is_answered_or_refused_in_one_line(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for result, say, draw in answers(WORLDS[name]):
            said = say(result)
            assert not any(bad in said for bad in ("nan", "<b>", "<i>", "](y)", "$y$")), said
            for drawn in draw:
                ax = drawn(result)
                ax.figure.canvas.draw()
                plt.close(ax.figure)


def test_figures_draw_what_stands_in_the_table():
    months = simulate_months(3, cases=2000, forced=((0.08, 0.2), (0.1, 0.2)), mix=((0.5, 0.5),) * 2)
    log = EventLog(**months.fields)
    apart = journey.segments(log, months.segment)
    ax = figures.draw_segments(apart)
    assert sorted(ax.collections[-1].get_offsets()[:, 0].tolist()) == pytest.approx(sorted(apart.table["difference"]))
    plt.close(ax.figure)
    changed = journey.change(log, months.segment)
    ax = figures.draw_waterfall(changed)
    last = ax.patches[-1]
    assert last.get_x() + last.get_width() == pytest.approx(changed.value1)
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(changed.value1 - changed.value0)
    plt.close(ax.figure)
    card = journey.scorecard(log)
    ax = figures.draw_scorecard(card)
    drawn = " ".join(text.get_text() for text in ax.texts)
    assert f"{card.table.iloc[-1]['value']:.1%}" in drawn
    frames = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(frames) == len(set(card.flags["metric"] + card.flags["stage"])) + card.flags["global_metric"].nunique()
    plt.close(ax.figure)
