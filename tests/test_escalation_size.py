"""Large forecasts: what is done in parts, or sought on some of the rows, is what would be done on all at once."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from cxlib.escalation import choosing, models
from cxlib.escalation.columns import Columns, signed_log
from cxlib.escalation.scorers import Trees


def coded(n, seed):
    """Two columns of words (4 and 1 more, 2 and 1 more) and three of numbers, the first often missing."""
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.integers(0, 5, n), rng.integers(0, 3, n), rng.integers(-3, 4, (n, 3))]).astype(float)
    values[rng.random(n) < 0.3, 2] = np.nan
    return values


def grown(rng, most):
    """A tree at random, parents first: column, threshold, row of `is_left`, left, right, missing_left and value of each."""
    nodes, waiting = [[-1, 0.0, -1, 0, 0, False, rng.normal()]], [0]
    while waiting and len(nodes) < most:
        node = waiting.pop(int(rng.integers(len(waiting))))
        column, left = int(rng.integers(5)), len(nodes)
        threshold = -np.inf if column < 2 else rng.choice([*range(-3, 4), np.inf])
        nodes[node] = [column, threshold, int(rng.integers(6)) if column < 2 else -1, left, left + 1, rng.random() < 0.5, 0.0]
        nodes += [[-1, 0.0, -1, 0, 0, False, rng.normal()] for _ in range(2)]
        waiting += [left, left + 1]
    return nodes


@pytest.mark.parametrize("most", [1, 3, 25, 127])
def test_the_sum_of_many_trees_is_that_of_walking_each(most):
    rng = np.random.default_rng(most)
    trees = [grown(rng, most) for _ in range(30)]
    sizes = np.array([len(tree) for tree in trees])
    roots = np.cumsum(sizes) - sizes
    column, threshold, words, left, right, missing_left, value = map(np.array, zip(*chain(*trees), strict=True))
    shift = np.repeat(roots, sizes)
    is_left = rng.integers(-1, 2, (6, 5)).astype(np.int8)
    left, right = left + shift, right + shift
    model = Trees(0.5, roots, column, threshold, words, left, right, missing_left, value, is_left, most)
    values = coded(20_000, 1)
    base, parts = model.parts(values)
    assert model.margin(values) == pytest.approx(base + parts.sum(axis=1), abs=1e-9)
    assert np.array_equal(np.concatenate([model.margin(values[:7]), model.margin(values[7:])]), model.margin(values))


def test_columns_are_those_of_scikit_learns_own_steps():
    values, new = coded(500, 2), coded(200, 3)
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True), FunctionTransformer(signed_log), StandardScaler()
    )
    theirs = ColumnTransformer([("words", OneHotEncoder(), [0, 1]), ("numbers", numbers, [2, 3, 4])]).fit(values)
    ours = Columns((5, 3)).fit(values)
    assert ours.transform(new).toarray() == pytest.approx(np.asarray(theirs.transform(new)), abs=1e-12)


def world(n, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(0, 2, (n, 3)), columns=["a.x", "b.x", "b.y"])
    frame["c.value"] = pd.Series(rng.choice(["p", "q", None, "rare"], n, p=[0.5, 0.4, 0.09, 0.01]), dtype="str")
    frame.loc[rng.random(n) < 0.2, "b.x"] = np.nan
    raw = frame["a.x"] - frame["b.x"].fillna(3) + 2 * (frame["c.value"] == "q") - 1
    return frame, (rng.random(n) < 1 / (1 + np.exp(-raw))).to_numpy()


@pytest.mark.parametrize("kind", ["boosting", "logistic"])
def test_some_rows_of_a_frame_make_the_model_of_a_copy_of_them(kind):
    frame, label = world(3000, 1)
    rows = np.random.default_rng(2).permutation(3000)[:1500]
    weight, is_newer = np.linspace(0.5, 1, 1500), np.arange(1500) > 1100
    more = (0,) if kind == "boosting" else ()
    fit = getattr(models, kind)
    of_rows = fit(frame, label[rows], weight, is_newer, *more, rows)
    of_copy = fit(frame.iloc[rows].reset_index(drop=True), label[rows], weight, is_newer, *more)
    assert np.array_equal(of_rows.margin(frame), of_copy.margin(frame))


@pytest.mark.parametrize("kind", ["boosting", "logistic"])
def test_chances_in_parts_are_those_at_once(kind, monkeypatch):
    frame, label = world(1500, 3)
    model = getattr(models, kind)(frame, label, np.ones(1500), np.arange(1500) > 1100, *((0,) if kind == "boosting" else ()))
    at_once = model.chance(frame)
    monkeypatch.setattr(models, "SCORED", 400)
    assert np.array_equal(model.chance(frame), at_once)
    assert len(model.chance(frame[:0])) == 0


@pytest.mark.parametrize("kind", ["boosting", "logistic"])
def test_rounds_and_penalty_are_sought_on_some_rows_and_all_are_fitted(kind, monkeypatch):
    """What is fitted on all rows with what was found on every fourth is not what is fitted on every fourth."""
    frame, label = world(4000, 4)
    searched, given = [], (frame, label, np.ones(4000), np.arange(4000) >= 3000, *((0,) if kind == "boosting" else ()))
    trial, fit = models._Trial.of, getattr(models, kind)
    monkeypatch.setattr(models, "SEARCHED", 1000)
    monkeypatch.setattr(models._Trial, "of", lambda *rows: searched.append(trial(*rows)) or searched[-1])
    model = fit(*given)
    assert [(len(found.older[1]), len(found.newer[1])) for found in searched] == [(750, 250)]
    monkeypatch.setattr(models._Trial, "of", lambda *_: searched[0])
    some = np.linspace(0, 3999, 1000).astype(int)
    of_some = fit(frame, *(part[some] for part in given[1:4]), *given[4:], some)
    assert np.array_equal(fit(*given).margin(frame), model.margin(frame))
    assert not np.allclose(of_some.margin(frame), model.margin(frame))


def test_origins_ask_models_of_whole_cases(monkeypatch):
    keys = pd.DataFrame({"case": np.repeat(np.arange(100), 3)})
    rows = keys["case"].to_numpy() < 80
    some = choosing.spread(rows, keys["case"], 120)
    assert some.sum() == 120
    assert set(keys["case"][some].value_counts()) == {3}
    assert {0, 79} <= set(keys["case"][some])
    assert np.array_equal(choosing.spread(rows, keys["case"], 240), rows)


def test_a_model_says_the_same_with_its_repair():
    frame, label = world(800, 5)
    model = replace(models.logistic(frame, label, np.ones(800)), repair=(0.5, 2.0))
    base, parts = model.parts(frame)
    assert model.margin(frame) == pytest.approx(base + parts.to_numpy().sum(axis=1), abs=1e-9)
