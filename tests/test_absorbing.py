"""The journey as a chain: solved as the books solve it, counted exactly, true to the planted worlds."""

import importlib
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drills import alarms_allowed, central
from drills.absorbing import FALSE, MEMORY, WORST, coverage, noticed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from cxlib import eventlog, figures, journey, stats, words
from cxlib.eventlog import EventLog, from_paths
from cxlib.schema import STAGES, DataError
from cxlib.simulate import paths as planted
from cxlib.store import Settings

chain = importlib.import_module("cxlib.journey.absorbing")  # the package shows the function of this name
WORDS = st.lists(st.sampled_from(STAGES), min_size=1, max_size=8).map(" ".join)
YEAR = pd.Timestamp("1971-01-01", tz="UTC")
PATHS = st.dictionaries(st.from_regex(r"[a-d](__[1-3])?", fullmatch=True), WORDS, min_size=1, max_size=6)
# The land of Oz (Kemeny, Snell and Thompson, Introduction to Finite Mathematics): rain, nice, snow.
OZ = np.array([[0.5, 0.25, 0.25], [0.5, 0, 0.5], [0.25, 0.25, 0.5]])


def world(customers=1000, seed=0, **how):
    return EventLog(**planted.simulate_walks(customers, seed, **how).arrays)


def test_the_drunkards_walk_is_solved_as_printed():
    walk = np.array([[0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]])  # three corners; the last column is home or bar
    assert stats.visits(walk) == pytest.approx(np.array([[1.5, 1, 0.5], [1, 2, 1], [0.5, 1, 1.5]]))
    assert stats.along(walk, np.ones(3)) == pytest.approx([3, 4, 3])
    to_home = np.column_stack([walk[:, :3], [0, 0, 0.5], [0.5, 0, 0]])  # home beyond the third corner, the bar ends the walk
    with_home = np.vstack([to_home, [0, 0, 0, 0, 1]])
    assert stats.ever(with_home, [3]) == pytest.approx([0.25, 0.5, 0.75, 1])


def test_the_days_until_it_rains_in_oz():
    """With rain made absorbing, the mean first passage times to rain from nice and snow: solved by hand, 10/3 and 8/3."""
    dry = np.array([[OZ[1, 1], OZ[1, 2], OZ[1, 0]], [OZ[2, 1], OZ[2, 2], OZ[2, 0]]])
    assert stats.along(dry, np.ones(2)) == pytest.approx([8 / 3, 10 / 3])


def random_chain(rng, k):
    return rng.dirichlet(np.ones(k + 1), size=k)


def test_chances_steps_and_moods_agree_with_walking_many_times():
    rng = np.random.default_rng(1)
    moves, gain, k = random_chain(rng, 4), rng.normal(size=4), 4
    steps = np.cumsum(moves, axis=1)
    here = np.zeros(200_000, dtype=int)
    total, reached, tried = np.zeros(len(here)), np.zeros(len(here), bool), np.zeros(len(here), bool)
    alive = np.arange(len(here))
    while len(alive):
        state = here[alive]
        total[alive] += gain[state]
        tried[alive] |= (state == 2) & ~reached[alive]
        reached[alive] |= state == 3
        follows = (rng.random(len(alive))[:, None] >= steps[state, :-1]).sum(axis=1)
        here[alive] = follows
        alive = alive[follows < k]
    assert stats.ever(moves, [3])[0] == pytest.approx(reached.mean(), abs=0.005)
    assert stats.ever_after(moves, [3], [2])[0] == pytest.approx((reached & tried).mean(), abs=0.005)
    assert stats.along(moves, gain)[0] == pytest.approx(total.mean(), abs=5 * total.std() / len(total) ** 0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 7))
def test_a_lever_is_what_algebra_gives(seed, k):
    """The slope is minus (visits before the call) x (chance of a call if the walk goes on); a finite step follows exactly.

    The step: Sherman and Morrison (1950), Ann. Math. Stat. 21, for one changed row of a matrix to be inverted.
    """
    rng = np.random.default_rng(seed)
    moves, first = random_chain(rng, k), rng.dirichlet(np.ones(k))
    target, state, goes_on = k - 1, 0, 1 - moves[0, -1]
    before_target = moves.copy()
    before_target[target] = np.eye(k + 1)[k]
    visits = stats.visits(before_target)
    slope = -(first @ visits)[state] * stats.ever(moves, [target])[state] / goes_on
    for step in (1e-6, 0.01, 0.3 * goes_on):
        better = stats.with_more_ends(moves, [state], step)
        assert better.sum(axis=1) == pytest.approx(np.ones(k))
        change = first @ (stats.ever(better, [target]) - stats.ever(moves, [target]))
        exact = step * slope / (1 + step * (visits[state, state] - 1) / goes_on)
        assert change == pytest.approx(exact, rel=1e-6, abs=1e-14)
        assert step > 1e-6 or change / step == pytest.approx(slope, rel=1e-4)


def test_a_walk_that_may_never_end_has_no_answer():
    moves = np.array([[0, 1.0, 0, 0], [1.0, 0, 0, 0], [0.5, 0, 0, 0.5]])
    assert np.isnan(stats.visits(moves)).tolist() == [[True] * 3] * 3
    assert np.isnan(stats.ever(moves, [2])).tolist() == [True, True, False]
    aside = np.array([[0, 0, 0, 1.0], [0, 0, 0, 0], [0.5, 0, 0, 0.5]])  # nobody left the second, and nobody comes there
    assert np.isnan(stats.visits(aside)[:, 0]).tolist() == [False, True, False]


def test_the_test_of_memory_is_pearsons_chi_square_added_over_the_stages():
    rng = np.random.default_rng(3)
    counts = rng.integers(20, 60, size=(3, 2, 3))
    expected = sum(chi2_contingency(counts[:, state, :]).statistic for state in range(2))
    assert stats.memory_test(np.stack([counts, counts + 1])).pearson == pytest.approx(expected)


def test_the_test_of_memory_has_the_printed_law_when_every_walk_is_a_cluster_of_its_own():
    """With independent moves the replicates must give the degrees of freedom of the book, here 2 x 2 for each of 2 states."""
    rng = np.random.default_rng(4)
    came, state = rng.integers(0, 3, 6000), rng.integers(0, 2, 6000)
    cell = (came * 2 + state) * 3 + rng.choice(3, p=[0.5, 0.3, 0.2], size=6000)
    ones, key = np.ones(6000, dtype=int), rng.integers(0, 2**63, 6000).astype(np.uint64)
    sums = stats.resampled_sums(np.arange(6000), cell, ones, 18, key, seed=0, replicates=2000)
    test = stats.memory_test(sums.reshape(-1, 3, 2, 3))
    assert test.df == pytest.approx(8, rel=0.15)
    assert test.statistic == pytest.approx(test.pearson, rel=0.1)


def test_forced_to_call_is_counted_as_forced_to_call_counts_it():
    log = world(200)
    found, counted = journey.absorbing(log).first_order, journey.forced_to_call(log).table
    assert found.counted == pytest.approx(counted.loc[journey.FORCED, "share"])


def test_the_bootstrap_agrees_with_the_linearised_interval_of_the_counted_share():
    """Two ways to one interval: resampled customers through the chain, and sums of squares over customers."""
    log = world(2000)
    row = journey.absorbing(log, replicates=1000).overall.iloc[0]
    counted = journey.forced_to_call(log).table.loc[journey.FORCED]
    assert row["forced_high"] - row["forced_low"] == pytest.approx(counted["high"] - counted["low"], rel=0.07)
    assert row["forced"] == pytest.approx(counted["share"], rel=0.02)


@settings(max_examples=40, deadline=None)
@given(PATHS)
def test_the_counts_agree_with_counting_in_plain_python(paths):
    sums = chain.walk_sums(from_paths(**paths), seed=0, replicates=1)[0]
    seeking = [[STAGES.index(s) - 1 for s in path.split() if s != "product"] for path in paths.values()]
    triples = [t for p in seeking if p for t in zip([4, *p[:-1]], p, [*p[1:], 4], strict=True)]
    moves = np.zeros((5, 4, 5), dtype=int)
    for triple in triples:
        moves[triple] += 1
    assert sums[:100].reshape(5, 4, 5).tolist() == moves.tolist()
    assert sums[100:104].tolist() == [sum(p[:1] == [s] for p in seeking) for s in range(4)]
    assert sums[-5:-1].tolist() == [sum(p[:1] == [s] and 3 in p and s < 3 for p in seeking) for s in range(4)]
    assert sums[-1] == len({name.split("__")[0] for name, p in zip(paths, seeking, strict=True) if p})


@settings(max_examples=25, deadline=None)
@given(PATHS)
def test_any_log_has_an_answer_and_its_bounds_enclose_it(paths):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = journey.absorbing(from_paths(**paths), replicates=20)
        told = [words.say_absorbing(found), words.say_sensitivity(found), words.say_first_order(found)]
    assert all(told)
    for table, names in ((found.table, ("forced", "further", "mood")), (found.sensitivities, ("points", "calls"))):
        for name in names:
            known = table.dropna(subset=[name, f"{name}_low"])
            assert (known[f"{name}_low"] <= known[name] + 1e-12).all()
            assert (known[name] <= known[f"{name}_high"] + 1e-12).all()
    assert (found.sensitivities["points"].dropna() <= 1e-12).all()
    assert found.table["forced"].dropna().between(-1e-12, 1 + 1e-12).all()


def test_the_replicates_do_not_depend_on_how_the_log_is_split():
    log = world(50, cut=True)
    whole = chain.walk_sums(log, seed=3, replicates=5)
    parts = list(log.shards(touches=1))
    assert len(parts) == log.n_customers
    assert (sum(chain.walk_sums(part, seed=3, replicates=5) for part in parts) == whole).all()
    weights = [stats.poisson_weights(log.customer_key, 3, r) for r in range(5)]
    each = np.stack([chain.walk_sums(part, seed=3, replicates=0)[0] for part in parts])
    assert (np.array(weights) @ each == whole[1:]).all()


def test_the_last_touch_of_an_open_case_leads_nowhere_yet():
    young = Settings(observed_until=pd.Timestamp("1970-01-09", tz="UTC"))  # ends are known of the first day alone
    found = journey.absorbing(from_paths(a="help chatbot", b="help phone", step="30h", settings=young), replicates=20)
    assert found.table["moves"].to_dict() == {"help": 2, "chatbot": 0, "agent": 0, "phone": 0}
    assert np.isnan(found.table.loc["help", "forced"])  # what follows the chatbot is unknown
    assert found.n_open == 1


def test_plain_use_after_help_does_not_tell_that_an_open_case_is_over():
    log = replace(from_paths(a="help product", b="help"), case_open=np.array([True, False]))
    found = journey.absorbing(log, replicates=20)
    assert (found.table.loc["help", "moves"], found.n_open) == (1, 1)


def test_plain_use_within_a_case_is_passed_over():
    plain, bare = (journey.absorbing(from_paths(a=a, b="help")) for a in ("product help product phone product", "help phone"))
    pd.testing.assert_frame_equal(plain.table, bare.table)
    pd.testing.assert_frame_equal(plain.sensitivities, bare.sensitivities)


def test_removal_and_levers_of_a_small_log_are_as_counted_by_hand():
    """Help goes on to the chatbot (2 of 4) or calls (1 of 4); of those at the chatbot one of two calls."""
    found = journey.absorbing(from_paths(a="help chatbot phone", b="help chatbot", c="help phone", d="help"))
    assert found.table.loc["help", "forced"] == pytest.approx(0.5)
    assert found.removal.loc["chatbot", "remain"] == pytest.approx(0.5)  # only the direct calls: 1/4 of 1/2
    assert found.removal.loc["chatbot", "closed"] == pytest.approx(1.0)  # half end, half call
    assert found.removal.loc["help", "remain"] == 0
    assert np.isnan(found.removal.loc["agent", "remain"])
    assert found.sensitivities.loc["chatbot", "points"] == pytest.approx(-0.5)  # half of the cases x one point less
    assert found.sensitivities.loc["help", "points"] == pytest.approx(-100 * 0.5 * 0.01 / 0.75)
    assert found.sensitivities["rank"].to_dict() == {"help": 1, "chatbot": 2, "agent": 3}
    assert found.sensitivities.loc["help", "lever"] == "help success"


def test_any_list_of_stages_has_its_levers():
    """Channels with one to the right of the last resort: who tries only that one and then calls was not forced."""
    channels = Settings(stages=("app", "web", "call", "visit"), escalation="call", problem_from="app", observed_until=YEAR)
    ways = dict(a="app call", b="visit call", c="visit app call", d="web", e="app", f="visit")
    found = journey.absorbing(from_paths(settings=channels, **ways))
    assert found.sensitivities["lever"].tolist()[0] == "success at app"
    assert found.table.loc["call", "forced"] == 0
    assert found.table.loc["app", "forced"] == pytest.approx(2 / 3)
    assert found.table.loc["visit", "forced"] == pytest.approx(1 / 3 * 2 / 3)  # to the app, then to the call
    assert found.first_order.counted == pytest.approx(2 / 6)
    last = journey.absorbing(from_paths(settings=replace(channels, problem_from="call"), **ways))
    assert last.sensitivities.empty
    assert "no lever" in words.say_sensitivity(last)


def test_an_open_case_may_still_be_forced_to_call_only_if_it_tried_something_left_of_the_call():
    """Half of those at the visit call; of the open ones there d came from the app and e did not."""
    channels = Settings(stages=("app", "web", "call", "visit"), escalation="call", problem_from="app", observed_until=YEAR)
    log = from_paths(settings=channels, a="app call", b="visit call", c="visit", d="app visit", e="visit")
    found = journey.absorbing(replace(log, case_open=np.isin(log.case_id, ["d", "e"])), replicates=20)
    assert found.first_order.table.loc[["app", "visit"], "counted"].tolist() == pytest.approx([(1 + 1 / 2) / 2, 0])


def test_logs_without_help_or_with_one_case_have_answers_without_bounds():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = eventlog.compile(
            pd.DataFrame({"touchpoint_id": [], "user_id": [], "stage": []}, dtype="str").assign(
                occurred_at=pd.Series([], dtype="datetime64[us, UTC]")
            )
        )
        for log in (empty, from_paths(a="product"), from_paths(a="help phone"), from_paths(a="phone")):
            found = journey.absorbing(log, replicates=20)
            assert found.n_cases == int((log.stage >= 1).any())
            assert words.say_absorbing(found) and words.say_sensitivity(found)
            assert "too few" in words.say_first_order(found)
            plt.close(figures.draw_sensitivity(found).figure)
            plt.close(figures.draw_removal(found).figure)


def test_too_few_replicates_are_refused():
    with pytest.raises(DataError, match="replicates=5 are too few for an interval"):
        journey.absorbing(from_paths(a="help"), replicates=5)


def test_the_planted_world_is_what_it_says():
    """The simulator's truth, followed step by step, against the solver, and its log against its chain."""
    truth, by_start, levers = planted.planted()
    forced = stats.ever_after(planted.NEXT, [3], [0, 1, 2])
    assert by_start["forced"].to_numpy() == pytest.approx(forced, abs=1e-12)
    assert truth["forced"] == pytest.approx(planted.FIRST @ forced, abs=1e-12)
    assert truth["steps"] == pytest.approx(planted.FIRST @ stats.along(planted.NEXT, np.ones(4)) - 1, abs=1e-12)
    better = stats.with_more_ends(planted.NEXT, [1], 0.01)
    assert levers.loc["chatbot", "points"] == pytest.approx(
        100 * planted.FIRST @ (stats.ever_after(better, [3], [0, 1, 2]) - forced), abs=1e-9
    )
    log = world(20_000, seed=5)
    found = journey.absorbing(log, replicates=20)
    assert found.overall.loc["all cases", "forced"] == pytest.approx(truth["forced"], abs=0.006)
    alike = np.diff(log.customer_start) > 1
    first = log.customer_start[:-1][alike]
    length = np.diff(log.case_start)
    assert np.corrcoef(length[first], length[first + 1])[0, 1] > 0.3  # cases of one customer resemble each other


def test_intervals_hold_and_the_worst_lever_comes_first_in_a_hundred_worlds():
    """DESIGN's coverage rule for forced to call and the levers; `make drills` runs 400 worlds and the other quantities too."""
    found = coverage(worlds=100)
    judged = found[found.index.str.endswith(": forced") | found.index.str.startswith("one point")]
    assert len(judged) == 10
    assert judged["hits"].between(*central(100)).all(), judged
    assert ((judged["mean"] - judged["planted"]).abs() < 0.05 * judged["planted"].abs()).all(), judged
    assert found.loc[WORST, "hits"] >= 80
    assert found.loc[FALSE, "hits"] <= alarms_allowed(100)


def test_a_planted_memory_is_noticed_and_its_size_is_told():
    assert noticed(worlds=25) >= 20
    world = planted.simulate_walks(20_000, 1, memory=MEMORY)
    found = journey.absorbing(EventLog(**world.arrays), replicates=50)
    assert found.first_order.warns
    second = found.sensitivities["second_order"].loc[world.levers.index].to_numpy()
    assert second == pytest.approx(world.levers["points"].to_numpy(), rel=0.05)
    counted = found.first_order.table["counted"]
    assert counted.to_numpy() == pytest.approx(world.by_start.loc[counted.index, "forced"].to_numpy(), abs=0.01)
    assert found.first_order.table.loc["agent", "low"] > 0.03  # the chain expects too much from there
    said = words.say_first_order(found)
    assert said.startswith("**Caution: where a case goes next also depends on where it came from**")
    assert "begin at agent" in said


def test_the_sentences_and_figures_say_what_the_tables_hold():
    found = journey.absorbing(world(300))
    top = found.sensitivities.iloc[0]
    said = words.say_sensitivity(found)
    assert f"**The strongest lever is {top['lever']}**" in said
    assert f"{top['points']:.2f} points (95 %: {top['points_low']:.2f} to {top['points_high']:.2f})" in said
    assert "forced to call" in words.say_absorbing(found)
    ax = figures.draw_sensitivity(found)
    assert [bar.get_width() for bar in ax.patches] == found.sensitivities["points"].tolist()
    assert any(f"n = {top['n']:,}" in text.get_text() for text in ax.texts)
    drawn = figures.draw_removal(found)
    assert [bar.get_width() for bar in drawn.patches] == found.removal["remain"].tolist()[::-1]
    plt.close("all")


def test_names_from_data_are_escaped_in_sentences_and_figures():
    evil = Settings(stages=("a<script>$x$", "call"), escalation="call", problem_from="a<script>$x$", observed_until=YEAR)
    found = journey.absorbing(from_paths(settings=evil, a="a<script>$x$ call", b="a<script>$x$"))
    told = words.say_absorbing(found) + words.say_sensitivity(found) + words.say_first_order(found)
    assert "<script>" not in told
    figures.draw_sensitivity(found).figure.canvas.draw()
    plt.close("all")
