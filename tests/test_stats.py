"""Intervals and curves: printed values, an outside oracle, and planted truths."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter
from scipy import stats as scipy_stats

from cxlib import stats
from cxlib.stats import survival


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (81, 263), (29, 29), (500, 1000)])
def test_wilson_agrees_with_scipy(k, n):
    expected = scipy_stats.binomtest(k, n).proportion_ci(method="wilson")
    assert stats.wilson(k, n) == pytest.approx((expected.low, expected.high))


def test_the_bounds_of_none_and_of_all_are_exact():
    assert stats.ratio_interval(np.zeros(30), np.ones(30))[:2] == (0, 0)
    assert stats.ratio_interval(np.ones(30), np.ones(30))[::2] == (1, 1)


def test_with_one_case_a_customer_the_interval_is_nearly_wilsons():
    y = np.array([1] * 300 + [0] * 1700)
    share, low, high = stats.ratio_interval(y, np.ones(2000))
    assert (share, low, high) == pytest.approx((0.15, *stats.wilson(300, 2000)), abs=2e-4)


def test_copies_of_a_customers_case_add_no_certainty():
    once = stats.ratio_interval(np.array([1, 0, 1, 0, 0]), np.ones(5))
    tenfold = stats.ratio_interval(np.array([10, 0, 10, 0, 0]), np.full(5, 10))
    assert tenfold == pytest.approx(once)


def test_the_variance_is_the_one_that_resampling_customers_gives():
    rng = np.random.default_rng(3)
    n = rng.integers(1, 6, 800)
    y = rng.binomial(n, rng.beta(1, 5, 800))
    draws = rng.poisson(1, (4000, 800))
    resampled = np.std((draws @ y) / (draws @ n))
    _, low, high = stats.ratio_interval(y, n)
    assert (high - low) / (2 * 1.96) == pytest.approx(resampled, rel=0.05)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_a_share_lies_inside_its_interval_and_parts_add_up(rows):
    pairs = np.array([(min(a, b), max(a, b)) for a, b in rows], dtype=np.int64).reshape(-1, 2)
    whole = stats.ratio_sums(pairs[:, 0], pairs[:, 1])
    halves = [stats.ratio_sums(pairs[i::2, 0], pairs[i::2, 1]) for i in (0, 1)]
    assert (halves[0] + halves[1] == whole).all()
    share, low, high = stats.share_from_sums(whole)
    assert np.isnan(share) or 0 <= low <= share <= high <= 1


def test_a_share_of_nothing_is_unknown_not_zero():
    assert all(np.isnan(x) for x in stats.ratio_interval(np.zeros(3), np.zeros(3)))


def test_a_mean_agrees_with_students_interval_when_every_cluster_has_one_value():
    values = np.array([3, 9, 4, 7, 12, 5])
    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    found = stats.mean_from_sums(stats.ratio_sums(values, np.ones(6)))
    assert found == pytest.approx((values.mean(), expected.low, expected.high))


def test_the_curve_agrees_with_lifelines_to_a_millionth_where_there_are_no_ties():
    rng = np.random.default_rng(0)
    time = rng.exponential(1, 400) + np.arange(400) * 1e-9
    event = rng.integers(0, 3, 400)
    ours = stats.cumulative_incidence(time, event)
    theirs = AalenJohansenFitter(calculate_variance=False).fit(time, event, event_of_interest=1).cumulative_density_
    expected = theirs.iloc[:, 0].reindex(np.append(0, ours["time"])).to_numpy()[1:]
    np.testing.assert_allclose(ours["incidence"], expected, atol=1e-6)


def test_the_curve_finds_the_planted_incidence_although_a_third_is_cut_off():
    rng = np.random.default_rng(1)
    call, solved, cut = rng.exponential(4, 20_000), rng.exponential(1, 20_000), rng.exponential(2, 20_000)
    time = np.minimum.reduce([call, solved, cut])
    event = np.select([time == call, time == solved], [1, 2], 0)
    found = stats.cumulative_incidence(time, event)["incidence"].iloc[-1]
    assert found == pytest.approx(0.2, abs=0.01)  # (1/4) / (1/4 + 1)
    assert (event == 1).mean() < 0.16  # counting only what was seen would have said less


def test_an_interval_of_the_curve_covers_the_planted_value():
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(200), 3)
        rate = rng.gamma(4, 0.25, 200)[cluster]
        call, solved = rng.exponential(4 / rate), rng.exponential(1 / rate)
        at = stats.incidence_interval(np.minimum(call, solved), np.where(call < solved, 1, 2), cluster, np.array([50.0]))
        hits += at["low"][0] <= 0.2 <= at["high"][0]
    assert 33 <= hits <= 40  # the central 99.9 % of Binomial(40, .95)


def test_weights_of_customers_are_poisson_and_do_not_depend_on_who_else_is_there():
    key = np.random.default_rng(0).integers(0, 2**63, 100_000).astype(np.uint64)
    weights = stats.poisson_weights(key, seed=1, replicate=2)
    assert (weights[:10] == stats.poisson_weights(key[:10], seed=1, replicate=2)).all()
    seen = np.bincount(weights, minlength=6)[:6] / len(key)
    np.testing.assert_allclose(seen, scipy_stats.poisson.pmf(np.arange(6), 1), atol=0.005)
    other = stats.poisson_weights(key, seed=1, replicate=3)
    assert abs(np.corrcoef(weights, other)[0, 1]) < 0.01


def test_the_curves_open_bounds_are_those_of_the_customers_who_can_meet_the_event():
    cluster, event = np.arange(5), np.zeros(5, dtype=int)
    none = stats.incidence_interval(np.full(5, 2), event, cluster, np.array([1]))
    student = scipy_stats.t.ppf(0.975, 4)
    assert none["high"][0] == pytest.approx(stats.wilson(0, 5, student)[1])
    every = stats.incidence_interval(np.full(5, 1), event + 1, cluster, np.array([1]))
    assert every[["low", "high"]].iloc[0].tolist() == pytest.approx([stats.wilson(5, 5, student)[0], 1])
    one = stats.incidence_interval(np.array([1, 2, 3]), np.array([1, 2, 2]), np.zeros(3, dtype=int), np.array([3]))
    assert one[["low", "high"]].iloc[0].tolist() == [0, 1]


def test_an_incidence_that_rounding_takes_beyond_one_has_the_bounds_of_all():
    rng = np.random.default_rng(0)
    for n in range(3, 60):
        found = stats.incidence_interval(rng.integers(1, 40, n), np.ones(n, dtype=int), np.arange(n), np.array([40]))
        low = stats.wilson(n, n, scipy_stats.t.ppf(0.975, n - 1))[0]
        assert found[["low", "high"]].iloc[0].tolist() == pytest.approx([low, 1])
        assert found["se"][0] == pytest.approx(0, abs=1e-7)


def test_the_number_of_a_cluster_says_nothing():
    time, end, at = np.array([1, 4, 2, 3, 5]), np.array([1, 1, 2, 1, 0]), np.array([2, 4])
    found = stats.incidence_interval(time, end, np.array([0, 0, 1, 2, 2]), at)
    for cluster in ([1, 1, 2, 3, 3], [0, 0, 2, 5, 5], np.array([0, 0, 1, 2, 2], dtype=np.int8), np.array([0, 0, 1, 0, 0])):
        pd.testing.assert_frame_equal(stats.incidence_interval(time, end, np.asarray(cluster), at), found)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.sampled_from([1, 7, 1 << 30, (1 << 56) + 1]),  # beside the largest there is no room for the place of a case
    st.integers(0, 3),
)
def test_times_are_put_in_order_and_ties_left_as_they_stand(times, far, near):
    time = np.array(times) * far + np.arange(len(times)) % (near + 1)
    for values in (time, time / 2):
        np.testing.assert_array_equal(survival._order(values), np.argsort(values, kind="stable"))


def test_times_that_differ_in_bits_for_which_there_is_no_room_are_sorted_once_more():
    time = (1 << 62) + np.array([1, 0, 3, -1, 0, 1, -(1 << 61)])
    np.testing.assert_array_equal(survival._order(time), [6, 3, 1, 4, 0, 5, 2])


@pytest.mark.parametrize("chunk", [3, 65_536])
@pytest.mark.parametrize("one_case_each", [False, True])
def test_the_variance_of_the_curve_is_that_of_leaving_weight_to_one_cluster_after_the_other(monkeypatch, chunk, one_case_each):
    """The influence of a cluster is how the curve moves when the cluster weighs a little more: found by doing so."""
    monkeypatch.setattr("cxlib.stats.survival._CASES", chunk)
    monkeypatch.setattr("cxlib.stats.survival._CLUSTERS", chunk)
    rng = np.random.default_rng(5)
    n, at = 60, np.array([-1, 0, 3, 8, 18, 50])
    time, end = rng.integers(0, 20, n), rng.integers(0, 4, n)
    cluster = np.arange(n) if one_case_each else np.sort(rng.integers(0, 15, n))

    def curve(weight):
        steps = stats.cumulative_incidence(time, end, weight)
        return np.array([steps["incidence"][steps["time"] <= t].max() if t >= 0 else 0.0 for t in at])

    names, little = np.unique(cluster), 1e-5
    influence = np.array([(curve(1 + little * (cluster == name)) - curve(np.ones(n))) / little for name in names])
    expected = np.sqrt((influence**2).sum(axis=0) * len(names) / (len(names) - 1))
    found = stats.incidence_interval(time, end, cluster, at, kinds=3)
    np.testing.assert_allclose(found["se"], expected, atol=1e-6)
    np.testing.assert_allclose(found["incidence"], curve(np.ones(n)), atol=1e-12)
    # All ends together are one minus Kaplan-Meier, whatever their kinds.
    together = stats.incidence_interval(time, np.minimum(end, 1), cluster, at)["incidence"]
    np.testing.assert_allclose(found[["incidence", "incidence_2", "incidence_3"]].sum(axis=1), together, atol=1e-12)
