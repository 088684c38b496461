"""A third reading of severity: the mood so far is counted by hand, and a line read in it recovers what was planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drills import moves as drill
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from cxlib import journey, stats, words
from cxlib.eventlog import NO_MOOD, EventLog, first_touch, from_paths
from cxlib.journey import levelling
from cxlib.journey.moods import mood_at_end, mood_so_far
from cxlib.simulate.moves import simulate_moves


def felt(moods, **paths):
    """A log with the moods given in the order of its touches; None where none is known."""
    log = from_paths(**paths)
    return replace(log, mood=np.array([NO_MOOD if x is None else 1000 * x for x in moods], dtype=np.int16))


@pytest.fixture(scope="module")
def planted():
    world = simulate_moves(5000, 1)
    log = EventLog(**world.arrays)
    return log, pd.concat([journey.cases(log), world.recorded], axis=1)


# The mood so far


def before_the_phone(log):
    rows = np.arange(log.n_cases)
    return mood_so_far(log, rows, first_touch(log, log.stage == 4))


def test_the_mood_so_far_is_that_before_the_touch_and_missing_where_none_is_known():
    found = before_the_phone(felt([0.5, -0.5, None, 0.1, 0.9], a="help phone", b="help phone", c="phone"))
    assert np.isnan(found).tolist() == [False, True, True]
    later = before_the_phone(felt([0.5, -0.6, None, 0.1, 0.7], a="help phone", b="help phone", c="phone"))
    assert found[0] == later[0]  # only ranks count, and those of later touches only for the scale


def test_the_mood_at_the_end_keeps_the_mean_of_those_known_at_each_stage():
    log = felt([0.5, -0.1, None, None, 0.3], a="help", b="help", c="help", d="phone", e="agent")
    known_of = 2 / 3  # of those at help; nobody's is known at the phone, so that the mean of all known stands in
    expected = [0.2 + 0.3 / known_of, 0.2 - 0.3 / known_of, 0.2, 0.7 / 3, 0.3]
    assert mood_at_end(log).tolist() == pytest.approx(expected)
    assert mood_at_end(log)[:3].mean() == pytest.approx(0.2)


def test_moods_of_stages_that_no_case_links_are_not_compared():
    linked = felt([0.5, -0.5, 0.2, 0.4], a="help agent phone", b="help")
    assert np.isfinite(mood_so_far(linked, np.array([0, 1]), np.array([2, 4]))).all()
    apart = felt([0.5, None, 0.2, None], a="help phone", b="agent phone")
    assert np.isnan(before_the_phone(apart)).all()


def test_what_is_usual_at_a_stage_is_told_by_the_same_cases_elsewhere():
    """Severe cases go further right: the agent's mean is lower than help's by more than the agent lowers anybody's mood."""
    rng = np.random.default_rng(1)
    ways = rng.choice(["help agent phone", "help phone", "agent phone"], 900)
    log = from_paths(**{f"u{i}": way for i, way in enumerate(ways)})
    temper = np.where(ways == "help phone", 0.4, -0.4) + rng.normal(0, 0.1, 900)
    mood = temper[log.case_of_touch] - 0.2 * (log.stage == 3) + rng.normal(0, 0.05, log.n_touches)
    found = before_the_phone(replace(log, mood=np.round(1000 * mood).astype(np.int16)))
    at_help, at_agent = found[ways == "help agent phone"].mean(), found[ways == "agent phone"].mean()
    assert at_help == pytest.approx(at_agent, abs=0.05)  # in normal scores
    assert found[ways == "help phone"].mean() > at_help + 1


def test_usual_moods_are_least_squares_with_a_mean_for_each_case(planted):
    log, _ = planted
    rows = np.arange(300)
    start = log.case_start[1:][rows] - 1
    touches = np.arange(log.case_start[300])
    touches = touches[log.mood[touches] != NO_MOOD]
    rank = pd.Series(log.mood[touches]).rank().to_numpy()
    score = norm.ppf((rank - 0.5) / len(rank))
    stage, case = (pd.get_dummies(x).to_numpy(dtype=float) for x in (log.stage[touches], log.case_of_touch[touches]))
    usual = np.linalg.lstsq(np.hstack([stage, case]), score, rcond=None)[0][: stage.shape[1]]
    rest = pd.Series(score - stage @ (usual - usual.mean()))[touches < start[log.case_of_touch[touches]]]
    by_hand = rest.groupby(log.case_of_touch[touches][rest.index]).mean()
    found = pd.Series(mood_so_far(log, rows, start)).dropna()
    assert found.index.tolist() == by_hand.index.tolist()
    assert (found - by_hand).std() < 1e-4  # a constant is free


def test_how_the_scale_of_moods_is_stretched_changes_nothing(planted):
    log, _ = planted
    rows = np.arange(log.n_cases)
    known = log.mood != NO_MOOD
    stretched = np.where(known, np.round(20_000 * np.tanh(log.mood / 1500)), NO_MOOD).astype(np.int16)
    start = log.case_start[1:] - 1
    found, again = (mood_so_far(one, rows, start) for one in (log, replace(log, mood=stretched)))
    assert again == pytest.approx(found, nan_ok=True)


# The line that is read in it


def humoured(seed, n=4000, effect=1.0, told=0.5):
    """A hidden cause drives side and outcome; a reading of it is known of some rows and shares its error with the outcome."""
    rng = np.random.default_rng(seed)
    key = np.repeat(np.random.default_rng(seed + 1).integers(0, 2**63, n // 2).astype(np.uint64), 2)
    x, hidden, humour = rng.normal(size=n), rng.normal(size=n), np.repeat(rng.normal(0, 0.7, n // 2), 2)
    first = rng.random(n) < 1 / (1 + np.exp(-(0.5 * x - 0.7 * hidden)))
    y = 2 * x + 1.5 * hidden + effect * first + humour + rng.normal(size=n)
    reading = hidden + humour + 0.3 * rng.normal(size=n)
    known_of = rng.random(n) < np.where(hidden > 0, told + 0.2, told - 0.2)  # the severe have one more often
    signs = hidden[:, None] + 1.2 * rng.normal(size=(n, 2))
    return (y[:, None], first, x[:, None], signs, key), np.where(known_of, reading, np.nan)


def test_a_reading_that_shares_its_error_with_the_outcome_leaves_no_bias_and_makes_the_answer_surer():
    pairs = [(stats.corrected(*draw)[0], stats.corrected(*draw, reading=m)[0]) for draw, m in map(humoured, range(0, 80, 2))]
    plain, read = (np.array(column)[:, :3] for column in zip(*pairs, strict=True))
    assert abs(read[:, 0].mean() - 1) < 3 * read[:, 0].std() / np.sqrt(40)
    assert ((read[:, 1] <= 1) & (read[:, 2] >= 1)).sum() >= 34  # 99 % of Binomial(40, .95)
    assert np.median(read[:, 2] - read[:, 1]) < 0.9 * np.median(plain[:, 2] - plain[:, 1])


def test_where_all_have_a_reading_it_is_two_stage_least_squares_with_both_signs_as_instruments():
    (y, first, x, signs, key), reading = humoured(3, told=2.0)
    found = stats.corrected(y, first, x, signs, key, reading=reading, near=0.0)[0]
    told = LinearRegression().fit(np.column_stack([x, signs])[first], reading[first]).predict(np.column_stack([x, signs]))
    line = LinearRegression().fit(np.column_stack([x, told])[first], y[first, 0])
    other = line.predict(np.column_stack([x, reading])[~first])
    assert found.effect == pytest.approx(other.mean() - y[~first].mean())


def test_without_anybody_read_it_is_the_line_of_the_signs():
    draw, reading = humoured(3)
    assert stats.corrected(*draw, reading=np.full(len(reading), np.nan)) == stats.corrected(*draw)


def test_the_interval_by_cluster_is_that_of_a_cluster_bootstrap():
    draw, reading = humoured(5, n=3000)
    key, rng = draw[-1], np.random.default_rng(0)
    found = stats.corrected(*draw, reading=reading)[0]
    values = []
    for _ in range(200):
        rows = (2 * rng.integers(0, len(key) // 2, len(key) // 2)[:, None] + [0, 1]).ravel()  # customers have two rows each
        again = [part[rows] for part in draw[:-1]]
        values.append(stats.corrected(*again, np.repeat(np.arange(len(key) // 2), 2), reading=reading[rows])[0].effect)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(np.std(values), rel=0.2)


def test_strength_with_one_that_tells_is_the_squared_t_and_with_a_blind_second_half_of_it():
    rng = np.random.default_rng(4)
    w, blind = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 1))
    z, ones, key = w + rng.normal(size=(2000, 1)), np.ones((2000, 1)), np.arange(2000)
    one = stats.hidden._strength(w, z, ones, ones[:, 0], key)
    together = ((w - w.mean()) * (z - z.mean()))[:, 0]
    assert one == pytest.approx((together.mean() / together.std()) ** 2 * 1999)
    assert stats.hidden._strength(w, np.hstack([z, blind]), ones, ones[:, 0], key) == pytest.approx(one / 2, rel=0.1)


# What if, with it


def test_a_what_if_is_surer_with_the_moods_so_far_and_falls_back_where_few_have_one(planted, monkeypatch):
    log, known = planted
    found = journey.what_if(log, known=known, cost=drill.PRICES)
    told = found.known.set_index("column").loc[levelling.SO_FAR]
    assert told["used"] and 0.2 < told["known_target"] < told["known_source"] < 0.7
    assert found.read == pytest.approx(told["known_source"])
    assert f"Of {100 * found.read:.1f} % it is read from their mood so far" in words.say_what_if(found)
    monkeypatch.setattr(levelling, "_reading", lambda *_: None)
    plain = journey.what_if(log, known=known, cost=drill.PRICES)
    assert plain.read == 0 and "mood so far" not in words.say_what_if(plain)
    wide, narrow = (one.table.set_index("outcome").loc["mood", ["low", "high"]].diff().iloc[1] for one in (plain, found))
    assert narrow < wide
    monkeypatch.undo()
    first = np.zeros(300, dtype=bool)
    first[:150] = True
    rare = pd.DataFrame({levelling.SO_FAR: np.where(np.arange(300) % 150 < 50, 0.0, np.nan)})
    rows, key = np.ones(300, dtype=bool), np.arange(300)
    assert levelling._reading(rare, first, key, rows) is None  # 50 of a side
    assert levelling._reading(rare.fillna(0.0), first, key, rows) is not None
    assert levelling._reading(pd.DataFrame(index=range(300)), first, key, rows) is None
