"""Themes: against oracles, by hand, on planted topics, and on texts that nobody would write."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drills import alarms_allowed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as distributions
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from cxlib import eventlog, journey, redact, stats, themes
from cxlib.figures import themes as figures
from cxlib.schema import DataError
from cxlib.store import open_dataset, write_dataset
from cxlib.themes import clusters, codebook, graph, layout, names, shares, tickets
from cxlib.words import themes as words

TOPICS = {
    "refund": "refund money back credit returned payment bank statement late promised",
    "login": "password login reset locked account code sign link expired user",
    "export": "export file csv upload column rows import spreadsheet download format",
    "slow": "slow page loading timeout wheel minutes browser freeze outage server",
    "mobile": "phone app crash tablet camera update battery photo offline screen",
    "invoice": "invoice amount vat price seats contract discount bill yearly order",
}


def written(n, seed=0, topics=6):
    """Texts of seven words, four of them of one topic and three of any; and the topics."""
    draw = np.random.default_rng(seed)
    pools = [pool.split() for pool in list(TOPICS.values())[:topics]]
    every = sorted(word for pool in pools for word in pool)
    planted = draw.integers(0, topics, n)
    return [" ".join([*draw.choice(pools[t], 4, replace=False), *draw.choice(every, 3)]) for t in planted], planted


def unit(n, d, seed=0):
    return normalize(np.random.default_rng(seed).normal(size=(n, d)))


# --- the parts, against oracles and by hand -----------------------------------------------------------------


def test_neighbours_are_those_of_scikit_learn():
    points, others = unit(2300, 20), unit(150, 20, seed=1)
    index, cosine = graph.neighbours(points, 15)
    far, theirs = NearestNeighbors(n_neighbors=15, metric="cosine", algorithm="brute").fit(points).kneighbors()
    assert (index == theirs).mean() > 0.999  # ties aside
    assert np.allclose(1 - cosine, far, atol=1e-8)
    _, theirs = NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute").fit(points).kneighbors(others)
    assert (graph.neighbours(others, 4, among=points)[0] == theirs).mean() > 0.999


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("itself", [True, False])
def test_single_precision_never_decides_who_is_near(itself, kind):
    """Many rows as near as the last neighbour, to the last digits of single precision: those of double precision are found."""
    draw = np.random.default_rng(3)
    points = normalize(unit(1, 300) + 1e-5 * draw.normal(size=(1200, 300)))  # cosines differ after the eighth digit
    points[::3] = points[0]  # and equal ones, more than there are spare candidates
    points = points.astype(kind)
    index, cosine = graph.neighbours(points, 15, among=None if itself else points)
    exact = (points.astype(float) @ points.astype(float).T).round(9)
    if itself:
        np.fill_diagonal(exact, -2)
    assert np.array_equal(index, np.argsort(-exact, axis=1, kind="stable")[:, :15])
    assert np.array_equal(cosine, np.take_along_axis(exact, index, axis=1))


def test_directions_are_those_of_the_whole_spectrum():
    ties = graph.fuzzy_graph(normalize(unit(1, 8) + 0.3 * unit(700, 8, seed=2)))
    found = graph.spectral(ties, 6)
    root = np.sqrt(np.asarray(ties.sum(axis=1)).ravel())
    values, vectors = np.linalg.eigh(ties.toarray() / root[:, None] / root[None, :])
    assert np.allclose(found.left, values[::-1][:6], atol=1e-5)
    assert np.allclose(np.abs(np.sum(found.places * vectors[:, ::-1][:, :6], axis=0)), 1, atol=1e-3)


def test_a_tree_is_cut_into_as_many_branches_as_asked_for():
    points = np.vstack([unit(40, 6), np.repeat(unit(1, 6), 20, axis=0)])
    for k in (1, 2, 7, 40):
        branch = graph._branches(points, k)
        assert len(set(branch.tolist())) == k
        if k > 1:
            theirs = AgglomerativeClustering(k, linkage="ward").fit_predict(points)
            assert adjusted_rand_score(branch, theirs) == pytest.approx(1)


def test_each_text_has_as_strong_ties_as_every_other():
    distance = 1 - graph.neighbours(unit(500, 5), 15)[1]
    weight = graph._local_weights(distance)
    assert np.allclose(weight.sum(axis=1), np.log2(15), atol=0.01)
    assert (weight[:, 0] == 1).all()
    assert (np.diff(weight, axis=1) <= 0).all()
    ties = graph.fuzzy_graph(unit(500, 5)).toarray()
    assert np.allclose(ties, ties.T)
    assert ties.max() <= 1
    assert (np.diag(ties) == 0).all()


def test_groups_without_any_tie_between_them_are_found_whole():
    points = normalize(np.repeat(np.eye(20), 30, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(600, 20)))
    ties = graph.fuzzy_graph(points)
    assert graph.csgraph.connected_components(ties)[0] == 20
    assert adjusted_rand_score(np.repeat(np.arange(20), 30), graph.partition(ties, 20)) == 1


def test_log_odds_are_those_of_the_formula_worked_by_hand():
    # "late": 6 of 10 counts inside, 2 of 30 outside; prior 4 spread as 8 and 32 of 40, so 0.8 and 3.2
    late = np.log(6.8 / 7.2) - np.log(2.8 / 31.2)
    expected = late / np.sqrt(1 / 6.8 + 1 / 2.8)
    z = names.log_odds(np.array([6, 4]), np.array([2, 28]), prior=4)
    assert z[0] == pytest.approx(expected)
    assert z[1] == pytest.approx(-late / np.sqrt(1 / 7.2 + 1 / 31.2))


def test_mixing_is_the_share_of_the_smaller_themes_ties_counted_by_hand():
    ties = np.array([[0, 1, 0, 0], [1, 0, 0.5, 0], [0, 0.5, 0, 0], [0, 0, 0, 0]])
    mixed = layout.mixing(graph.sparse.csr_matrix(ties), np.array([0, 0, 1, 2]))
    assert mixed.iloc[0].tolist() == [0, 1, 1.0]  # theme 1 has ties of .5 in all, all of them to theme 0
    assert mixed["share"].tolist()[1:] == [0, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 9))
def test_no_two_themes_share_a_place_on_the_map(n, seed):
    places = layout.place_themes(unit(n, 6, seed))
    assert len(places.drop_duplicates()) == n
    assert np.isfinite(places.to_numpy()).all()


def test_shares_and_their_intervals_are_those_of_stats_by_customer():
    labels, customers = np.array([0, 0, 1, 0, -2, 1]), ["a", "a", "a", "b", "b", None]
    table = shares.shares_of(labels, customers)
    assert table["n"].tolist() == [3, 2]
    assert table.loc[0, ["share", "low", "high"]].tolist() == pytest.approx(
        stats.ratio_interval(np.array([2, 1, 0]), np.array([3, 1, 1]))
    )


# --- fit ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    texts, topic = written(600)
    return texts, topic, themes.fit(texts, text_model="lexical")


def test_planted_topics_and_their_number_are_found(planted):
    _, topic, found = planted
    assert len(found.table) == 6
    assert adjusted_rand_score(topic, found.labels) > 0.95
    assert found.stability.set_index("k")["stability"].idxmax() == 6


def test_the_table_adds_up_and_the_largest_theme_comes_first(planted):
    texts, _, found = planted
    table = found.table
    assert table["n"].sum() == found.n_texts == len(texts)
    assert table["share"].sum() == pytest.approx(1)
    assert table["n"].is_monotonic_decreasing
    assert table["n"].tolist() == np.bincount(found.labels).tolist()
    assert ((table["low"] < table["share"]) & (table["share"] < table["high"])).all()


def test_names_are_words_of_the_topic_and_differ(planted):
    _, topic, found = planted
    assert found.table["name"].is_unique
    for row in found.table.itertuples():
        pool = list(TOPICS.values())[np.bincount(topic[found.labels == row.theme]).argmax()].split()
        assert set(re.findall(r"\w+", row.name)) <= set(pool)


def test_typical_texts_are_of_the_theme_and_nearer_to_its_middle_than_others(planted):
    texts, _, found = planted
    points = found.kept.model.place(texts)
    for row in found.table.itertuples():
        inside = found.labels == row.theme
        closeness = points[inside] @ normalize(points[inside].mean(axis=0, keepdims=True))[0]
        assert len({texts[i] for i in row.typical}) == 3
        assert set(np.flatnonzero(inside)[np.argsort(-closeness)[:3]]) == set(row.typical)


def test_the_order_of_the_texts_changes_nothing(planted):
    texts, _, found = planted
    order = np.random.default_rng(7).permutation(len(texts))
    again = themes.fit([texts[i] for i in order], 6, "lexical")
    assert (again.labels == found.labels[order]).all()
    positions = ["typical", "dissenting"]
    assert again.table.drop(columns=positions).equals(found.table.drop(columns=positions))
    assert [[texts[order[i]] for i in t] for t in again.table["typical"]] == [
        [texts[i] for i in t] for t in found.table["typical"]
    ]
    assert (order[again.table["dissenting"].astype(int)] == found.table["dissenting"]).all()


def test_texts_beyond_the_core_join_the_theme_of_their_neighbours(planted, monkeypatch):
    texts, topic, _ = planted
    monkeypatch.setattr(clusters, "CORE", 250)
    monkeypatch.setattr(codebook, "_BLOCK", 100)
    found = themes.fit(texts, 6, "lexical")
    assert adjusted_rand_score(topic, found.labels) > 0.9
    order = np.random.default_rng(3).permutation(len(texts))
    assert (themes.fit([texts[i] for i in order], 6, "lexical").labels == found.labels[order]).all()


def test_a_heap_with_a_few_odd_texts_beside_it_is_not_chosen():
    points = normalize(np.vstack([unit(300, 8), *(10 * np.eye(8)[[i] * 20] + unit(20, 8, i) for i in range(3))]))
    ties = graph.fuzzy_graph(points)
    largest = {k: np.bincount(graph.partition(ties, k)).max() / len(points) for k in (2, 4, 9)}
    assert largest[2] > 0.5 > largest[9]
    assert len(np.unique(clusters._without_heap(ties, [2, 9, 4], 0))) == 9
    assert np.bincount(clusters._without_heap(ties, [2], 0)).max() / len(points) == largest[2]  # there is nothing better


def test_equal_texts_count_each_but_are_one_text():
    found = themes.fit(["late refund"] * 5 + ["Late  REFUND"] + ["reset password"] * 2, k=2)
    assert found.table["n"].tolist() == [6, 2]
    assert found.n_distinct == 2
    assert found.table["typical"].tolist() == [(0,), (6,)]


def test_texts_without_words_are_counted_apart():
    found = themes.fit([None, "late refund", "", " !? \n", "\0", float("nan"), "[e-mail]"])
    assert found.labels.tolist() == [-2, 0, -2, -2, -2, -2, -2]
    assert (found.n_texts, found.n_empty) == (1, 6)
    assert found.table["share"].tolist() == [1]


@pytest.mark.parametrize("texts", [["one text"], ["same"] * 1000, ["a b", "c d", "e f", "g h", "i j"], ["x"], ["12", "34"]])
def test_few_texts_are_one_theme_unless_a_number_is_given(texts):
    found = themes.fit(texts)
    assert found.labels.tolist() == [0] * len(texts)
    assert found.stability.empty
    each = themes.fit(texts, k=len(set(texts)))
    assert len(each.table) == len(set(texts))
    assert each.table["name"].is_unique
    assert each.table["name"].str.len().gt(0).all()


@pytest.mark.parametrize(
    "texts, k, message",
    [
        ([], None, "none of the 0 texts has a word"),
        (["", None, "?"], 2, "none of the 3 texts has a word"),
        (["a b"] * 9, 2, "2 themes asked for, but there are 1 distinct texts: ask for 1 to 1"),
        (["a b", "c d"], 0, "0 themes asked for"),
    ],
)
def test_what_cannot_be_grouped_is_refused_with_what_can(texts, k, message):
    with pytest.raises(DataError, match=message):
        themes.fit(texts, k=k)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=12), st.integers(0, 3))
def test_any_texts_give_labels_and_whole_shares_or_a_clear_refusal(texts, seed):
    try:
        found = themes.fit(texts, seed=seed)
    except DataError:
        assert not any(char.isalnum() for text in texts if text for char in text.casefold())
    else:
        assert len(found.labels) == len(texts)
        assert found.n_texts + found.n_empty == len(texts)
        assert found.table["share"].sum() == pytest.approx(1)


def test_thai_emoji_right_to_left_and_a_very_long_text_are_texts():
    odd = ["ลืมรหัสผ่าน", "คืนเงินช้า", "نسيت كلمة المرور", "password 🔑🔑🔑", "refund " * 30_000, "\ud800 half"]
    found = themes.fit(odd * 2 + ["late refund", "reset password"], k=3)
    assert (found.labels >= 0).all()
    assert found.labels[:6].tolist() == found.labels[6:12].tolist()


_PROGRAM = """
import sys, hashlib
sys.path.insert(0, "tests")
from test_themes import written, digest
from cxlib import themes
print(digest(themes.fit(written(300, seed=5)[0])))
"""


def digest(found):
    whole = (
        found.labels.tobytes()
        + found.table.to_csv().encode()
        + found.stability.to_csv().encode()
        + found.places.to_csv().encode()
    )
    return hashlib.sha256(whole).hexdigest()


def test_another_process_with_more_threads_and_other_hashes_finds_the_same():
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "77"}
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=os.environ | threads,
        cwd=os.path.dirname(os.path.dirname(__file__)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == digest(themes.fit(written(300, seed=5)[0]))


# --- the truth ----------------------------------------------------------------------------------------------


def test_banking77_intents_are_found_without_any_model(real_data):
    questions = pd.read_csv(real_data / "banking77" / "test.csv")
    found = themes.fit(questions["text"].tolist(), k=77, text_model="lexical")
    assert adjusted_rand_score(questions["category"], found.labels) >= 0.32  # measured: .38
    assert normalized_mutual_info_score(questions["category"], found.labels) >= 0.66  # measured: .70


@pytest.mark.parametrize(("name", "ari", "nmi"), [("test", 0.56, 0.82), ("train", 0.53, 0.80)])
def test_banking77_intents_are_found_by_meaning_whatever_the_order_and_threads(real_data, name, ari, nmi):
    pytest.importorskip("onnxruntime", reason="the extra semantic is not installed")
    questions = pd.read_csv(real_data / "banking77" / f"{name}.csv")
    found = themes.fit(questions["text"].tolist(), k=77, text_model="semantic")
    assert adjusted_rand_score(questions["category"], found.labels) >= ari  # measured: .59, .56
    assert normalized_mutual_info_score(questions["category"], found.labels) >= nmi  # measured: .84, .82
    order = np.random.default_rng(0).permutation(len(questions))
    with threadpool_limits(2):
        again = themes.fit(questions["text"].iloc[order].tolist(), k=77, text_model="semantic")
    assert np.array_equal(again.labels, found.labels[order])


def test_stability_is_said_of_themes_that_were_refitted_or_edited_since(asks):
    curve = pd.DataFrame({"k": [4, 14], "stability": [0.5, 0.9], "low": 0.4, "high": 0.95, "n": 10, "largest": 0.3})
    found = asks[0]
    book = replace(found.themes, stability=curve, version=2)
    said = words.say_stability(replace(found, themes=book))
    assert "after what was refitted" in said and "agree best at 14, by 0.90" in said
    edited = replace(found.themes, stability=curve, table=found.themes.table.iloc[:5])
    assert words.say_stability(replace(found, themes=edited)).startswith("5 themes, after what was")


@pytest.fixture(scope="module")
def asks(demo):
    if not (demo / "truth" / "tickets.parquet").is_file():
        pytest.skip("no data/demo: make it with make demo")
    dataset = open_dataset(demo)
    topics = pd.read_parquet(demo / "truth" / "tickets.parquet").set_index("ticket_id")["topic"]
    return themes.of_tickets(dataset, eventlog.compile(dataset), k=topics.nunique()), topics, dataset


def test_the_planted_topics_of_the_demo_are_found_and_plain_clustering_finds_fewer(asks):
    found, topics, dataset = asks
    truth = topics.loc[found.tickets["ticket_id"]]
    assert adjusted_rand_score(truth, found.tickets["theme"]) >= 0.80  # measured: .92
    vectors = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english").fit_transform(tickets.ticket_texts(dataset))
    plain = adjusted_rand_score(truth, KMeans(topics.nunique(), n_init=3, random_state=0).fit_predict(vectors))
    assert plain <= 0.75


def test_no_name_or_address_of_a_customer_is_shown(asks):
    found, _, dataset = asks
    shown = " ".join([words.say_typical(found), *found.table["name"], *found.table["keywords"]]).casefold()
    known = redact.gazetteer(dataset.tables)
    assert not redact.spans(" ".join([*found.table["name"], *found.table["keywords"]]), known)
    for column in ("email", "phone", "name"):
        values = dataset.tables["users"][column].dropna().str.casefold()
        assert not [value for value in values if value in shown]


def test_each_theme_of_the_demo_is_named_by_words_of_its_own_topic(asks):
    found, topics, _ = asks
    truth = topics.loc[found.tickets["ticket_id"]].to_numpy()
    main = pd.Series(truth).groupby(found.tickets["theme"].to_numpy()).agg(lambda t: t.mode()[0])
    assert main.is_unique
    named = dict(zip(main, found.table["name"], strict=True))
    assert "refund" in named["refund_missing"] or "credit" in named["refund_missing"]
    assert "invoice" in named["invoice_amount"] or "charged" in named["invoice_amount"]
    assert "sync" in named["sync_stuck"]


# --- tickets and their cases --------------------------------------------------------------------------------


def made(folder, ticket_rows, touch_rows=(), **tables):
    out = folder / f"dataset-{len(list(folder.iterdir()))}"
    about = {
        "name": "shop",
        "timezone": "Europe/Berlin",
        "observed_from": "2026-01-01T00:00:00Z",
        "observed_until": "2026-06-01T00:00:00Z",
    }
    rows = {"tickets": ticket_rows, "touchpoints": touch_rows, **tables}
    write_dataset(out, about, {name: pd.DataFrame(list(data)) for name, data in rows.items() if len(data)})
    dataset = open_dataset(out)
    return dataset, eventlog.compile(dataset)


def touch(number, case, stage, day=1, ticket=""):
    at = f"2026-02-{day:02d}T10:00:{number % 60:02d}Z"
    return {
        "touchpoint_id": f"t{number}",
        "user_id": case[0],
        "case_id": case,
        "occurred_at": at,
        "stage": stage,
        "ticket_id": ticket,
    }


@pytest.fixture
def small(tmp_path):
    """Tickets 1 and 2 belong to case a1, 3 to b1 (by a touch), 4 to c1, which is open, 5 to none; case a2 has no ticket."""
    told = [("1", "a1", "late refund"), ("2", "a1", "refund late"), ("3", "", "reset password"), ("4", "c1", "password reset")]
    told += [("5", "", "late refund")]
    done = {"1": "2026-02-03T00:00:00Z", "2": "2026-02-03T00:00:00Z", "3": "2026-02-03T00:00:00Z", "5": "2026-02-03T00:00:00Z"}
    rows = [
        {
            "ticket_id": i,
            "user_id": "",
            "case_id": case,
            "short_description": text,
            "category": "x",
            "resolved_at": done.get(i, ""),
        }
        for i, case, text in told
    ]
    touches = [touch(1, "a1", "help"), touch(2, "a1", "phone"), touch(3, "a2", "phone")]
    touches += [touch(4, "b1", "agent", ticket="3"), touch(5, "c1", "agent")]
    return made(tmp_path, rows, touches)


def test_cases_of_themes_are_joined_and_counted_by_hand(small):
    asks = themes.of_tickets(*small, k=2)
    assert asks.tickets["case_id"].fillna("").tolist() == ["a1", "a1", "b1", "c1", ""]
    table = asks.table.set_index("name")
    assert table["n"].tolist() == [3, 2]
    assert table[["n_cases", "n_calls"]].to_numpy().tolist() == [[1, 1], [1, 0]]  # a1 once; b1; c1 is open
    assert (asks.n_open, asks.n_no_case, asks.n_unsorted) == (1, 1, 0)
    assert asks.calls["n_cases"] == 2
    assert asks.calls["call_share"] == 0.5
    name, cases = themes.called(asks)
    assert name == asks.table["name"][0]
    assert cases.tolist() == ["a1"]


def test_without_any_text_the_categories_stand_in_and_it_is_said(tmp_path):
    rows = [
        {"ticket_id": str(i), "category": "b" if i < 3 else "a" if i < 5 else "", "short_description": " "} for i in range(6)
    ]
    asks = themes.of_tickets(*made(tmp_path, rows, [touch(1, "a1", "help")]), k=17)
    assert asks.source == "category"
    assert asks.table["name"].tolist() == ["b", "a"]
    assert asks.table["n"].tolist() == [3, 2]
    assert asks.n_unsorted == 1
    assert "no ticket has a text" in words.say_tickets(asks)
    assert "2 categories stand in" in words.say_themes(asks)
    assert figures.draw_themes(asks).has_data()
    with pytest.raises(ValueError, match="come from category"):
        figures.draw_theme_map(asks)


@pytest.mark.parametrize("rows", [[], [{"ticket_id": "1"}, {"ticket_id": "2"}]])
def test_without_tickets_or_anything_in_them_every_sentence_says_so(tmp_path, rows):
    asks = themes.of_tickets(*made(tmp_path, rows, [touch(1, "a1", "help")]))
    assert asks.source == "none"
    assert asks.table.empty
    assert asks.metrics[["value", "n"]].to_numpy().tolist() == [[0, 0]]
    for say in (
        words.say_tickets, words.say_themes, words.say_theme_calls, words.say_theme_map, words.say_theme_months,
        words.say_stability, words.say_typical,
    ):  # fmt: skip
        assert "no ticket" in say(asks)
    assert "no ticket" in words.say_parts(themes.subthemes(asks.texts, asks.tickets["theme"].to_numpy(int)), asks)
    assert themes.called(asks)[0] == ""
    assert {"name", "call_share", "differs", "p_value"} <= set(asks.table)


def test_a_title_that_the_description_repeats_is_said_once(tmp_path):
    rows = [
        {"ticket_id": "1", "short_description": "Late refund", "description": "Late refund since May, write to jo@example.com"}
    ]
    dataset, _ = made(tmp_path, rows)
    assert tickets.ticket_texts(dataset).tolist() == ["Late refund since May, write to [e-mail]"]


def test_months_are_those_of_the_data_sets_own_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(tickets, "_FEWEST_A_MONTH", 2)
    at = ["2026-01-31T22:59:59Z", "2026-01-31T23:00:00Z", "2026-02-10T00:00:00Z", "2026-01-02T00:00:00Z"]
    at += [
        "2026-03-31T00:00:00Z",
        "2026-06-01T00:00:00Z",
        "2026-05-31T23:00:00Z",
    ]  # one a month, and a month without end
    rows = [{"ticket_id": str(i), "opened_at": t, "category": "b" if i == 1 else "a"} for i, t in enumerate(at)]
    asks = themes.of_tickets(*made(tmp_path, rows, [touch(1, "a1", "help")]))
    months = asks.months.assign(month=asks.months["month"].astype(str).str[:7])
    assert months[["theme", "month", "n", "n_all"]].to_numpy().tolist() == [
        [0, "2026-01", 2, 2], [0, "2026-02", 1, 2], [1, "2026-01", 0, 2], [1, "2026-02", 1, 2]
    ]  # fmt: skip
    assert asks.changes.set_index("name").loc["b", "change"] == 0.5
    assert "No theme's share" in words.say_theme_months(asks)


def by_month(*n, n_all=200):
    months = pd.date_range("2026-01-01", periods=len(n), freq="MS")
    return pd.DataFrame({"month": months, "writers": n, "all_writers": n_all})


def test_a_theme_has_come_up_where_it_was_hardly_there_before():
    assert tickets._born(by_month(0, 0, 1, 20, 30, 18), 20) == pd.Timestamp("2026-04-01")
    assert tickets._born(by_month(5, 4, 6, 20, 30, 18), 20) is None  # a quarter of its later share
    assert tickets._born(by_month(20, 30, 18, 0, 0, 0), 20) is None  # gone, not come
    assert tickets._born(by_month(0, 2, 3), 20) is None  # too few to tell
    assert tickets._born(by_month(9), 1) is None


def test_themes_that_were_always_there_have_not_come_up():
    """100 data sets of 20 themes with 1 to 5 % of the writers of a year, whose shares do not change: some 5 with an alarm."""
    draw = np.random.default_rng(0)
    share = np.repeat(draw.uniform(0.01, 0.05, 2000)[:, None], 12, axis=1)
    come = [tickets._born(by_month(*n, n_all=500), 20) is not None for n in draw.binomial(500, share)]
    assert np.array(come).reshape(100, 20).any(axis=1).sum() <= alarms_allowed(100)


def test_a_theme_that_came_up_is_marked_and_said(tmp_path):
    topics = {"login": 40, "refund": 40, "assistant": 0}
    rows = []
    for month in range(1, 5):
        for topic, n in (topics | {"assistant": 30 if month > 2 else 0}).items():
            rows += [{"opened_at": f"2026-{month:02d}-{1 + i % 27:02d}T10:00:00Z", "category": topic} for i in range(n)]
    dataset, log = made(tmp_path, [row | {"ticket_id": str(i)} for i, row in enumerate(rows)], [touch(1, "a1", "help")])
    asks = themes.of_tickets(dataset, log)
    born = asks.changes.set_index("name")["born"]
    assert born["assistant"] == pd.Timestamp("2026-03-01")
    assert born.drop("assistant").isna().all()
    assert "“assistant” came up in March 2026." in words.say_theme_months(asks)
    panel = figures.draw_theme_months(asks)
    assert [text.get_text() for text in panel.texts] == ["new"]
    plt.close("all")


def test_one_customer_who_writes_often_brings_no_theme_up(tmp_path):
    rows = []
    for month in range(1, 5):
        for topic, n in {"login": 60, "export": 40 if month > 2 else 0}.items():
            rows += [
                {"opened_at": f"2026-{month:02d}-{1 + i % 27:02d}T10:00:00Z", "category": topic,
                 "user_id": "one" if topic == "export" else f"u{month}-{i}"} for i in range(n)
            ]  # fmt: skip
    dataset, log = made(tmp_path, [row | {"ticket_id": str(i)} for i, row in enumerate(rows)], [touch(1, "a1", "help")])
    assert themes.of_tickets(dataset, log).changes["born"].isna().all()


def test_two_heaps_and_many_odd_texts_beside_them_are_not_chosen():
    sizes = [300, 300, *[8] * 18]
    number = np.repeat(np.arange(20), sizes)
    points = normalize(np.eye(20)[number] + 0.01 * np.random.default_rng(0).normal(size=(len(number), 20)))
    ties = graph.fuzzy_graph(points, 7)
    assert len(np.unique(clusters._without_heap(ties, [20, 3], 0))) == 3


# --- the largest themes once more -----------------------------------------------------------------------------


def test_a_theme_of_several_things_falls_into_them_and_one_thing_does_not():
    said, topic = written(600, seed=4, topics=4)
    one = [text for text, of in zip(*written(900, seed=5), strict=True) if of == 5]
    labels = np.repeat([0, 1], [len(said), len(one)])
    found = themes.subthemes([*said, *one], labels, customers=[f"c{i % 200}" for i in range(len(labels))])
    assert found["theme"].unique().tolist() == [0]
    assert found["n"].sum() == 600
    assert found[["share", "low", "high", "stability"]].dtypes.eq(float).all()
    assert found["share"].sum() == pytest.approx(1)
    assert ((found["low"] < found["share"]) & (found["share"] < found["high"])).all()
    for row in found.itertuples():
        of = topic[list(row.typical)]
        assert (of == of[0]).all()
    assert {int(topic[row.typical[0]]) for row in found.itertuples()} == {0, 1, 2, 3}


def test_small_themes_have_no_parts_and_nothing_is_said_of_themes_that_are_not_there():
    said = written(300, seed=4)[0]
    assert themes.subthemes(said, np.repeat([0, 1, 2, -1], 75)).empty
    assert themes.subthemes(said, np.full(300, -1)).empty
    assert themes.subthemes([], np.array([], dtype=int)).empty


def test_parts_are_said_with_their_theme(asks):
    found, _, dataset = asks
    parts = themes.subthemes_of_tickets(dataset, found)
    assert words.say_parts(parts, found).startswith("None of the 5 largest themes falls apart")
    made_up = pd.DataFrame({"theme": 0, "of": "a<b", "name": ["x", "y"], "share": 0.5, "low": 0.4, "high": 0.6}, index=[0, 1])
    said = words.say_parts(made_up, found)
    assert said.startswith("1 of the 5 largest themes falls apart into smaller ones that hold: “a&")
    assert said.endswith("b” has 2 parts, the largest “x” with 50.0 % (95 %: 40.0-60.0) of its tickets.")


def cases(rates, seed, customers=300, spread=1.0):
    """Cases of customers who differ in how readily they call, each case with one theme drawn at random."""
    draw = np.random.default_rng(seed)
    customer = np.repeat(np.arange(customers), draw.integers(1, 6, customers))
    theme = draw.integers(0, len(rates), len(customer))
    ready = draw.normal(0, spread, customers)[customer] + np.log(np.array(rates) / (1 - np.array(rates)))[theme]
    called = draw.random(len(customer)) < 1 / (1 + np.exp(-ready))
    return pd.DataFrame({"theme": theme, "case": np.arange(len(customer)), "customer": customer, "called": called})


def test_a_theme_like_the_others_is_seldom_called_different():
    alarms = sum(tickets._difference(cases([0.2] * 8, seed), 0)[1] < 0.05 for seed in range(100))
    assert 1 <= alarms <= 11


def test_a_theme_that_calls_more_is_found_and_its_neighbours_are_left_alone():
    table = tickets._calls_by_theme(cases([0.6, *[0.2] * 5, 0.02], 1, customers=900), pd.Series(range(7)))
    assert table["differs"].tolist()[0] == 1
    assert table["differs"].tolist()[6] == -1
    adjusted = distributions.false_discovery_control(table["p_value"])
    assert ((table["differs"] != 0) == (adjusted <= 0.05)).all()


def test_of_many_themes_alike_none_is_called_different_by_chance():
    table = tickets._calls_by_theme(cases([0.2] * 40, 5, customers=900), pd.Series(range(40)))
    assert (table["p_value"] < 0.05).any()
    assert (table["differs"] == 0).all()


def test_a_case_with_two_tickets_of_a_theme_weighs_once_in_every_comparison(small):
    dataset, log = small
    ended, _ = tickets._ended(log, np.array([0, 0, 1, 1, 0]), tickets.cases_of(dataset, log))
    assert not ended.duplicated(["theme", "case"]).any()
    assert len(ended) == 2


def test_the_comparison_of_one_case_per_customer_is_the_test_of_two_proportions():
    ended = pd.DataFrame({"theme": [0] * 2000 + [1] * 3000, "case": range(5000), "customer": range(5000)})
    ended["called"] = [True] * 440 + [False] * 1560 + [True] * 600 + [False] * 2400
    difference, p_value = tickets._difference(ended, 0)
    chi2 = distributions.chi2_contingency([[440, 1560], [600, 2400]], correction=False)
    assert difference == pytest.approx(0.02)
    assert p_value == pytest.approx(chi2.pvalue, rel=0.05)


def test_sentences_do_not_name_a_theme_that_does_not_differ(small):
    asks = themes.of_tickets(*small, k=2)
    assert "No theme differs clearly" in words.say_themes(asks)
    assert "0 of 2" not in words.say_theme_calls(asks)
    assert "too few cases to compare" in words.say_theme_calls(asks)
    assert "too few texts to choose" in words.say_stability(asks)
    assert "no two whole months" in words.say_theme_months(asks)


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "$\\frac{a}{$",
    "a|b`c`\n\n# d",
]


@pytest.mark.parametrize("column", ["short_description", "category"])
def test_hostile_texts_and_categories_stay_text(tmp_path, column):
    rows = [{"ticket_id": f"<b>{i}", column: text + f" {word}"} for i, text in enumerate(HOSTILE) for word in "ab"]
    rows = [row | {"ticket_id": row["ticket_id"] + str(i)} for i, row in enumerate(rows)]
    asks = themes.of_tickets(*made(tmp_path, rows, [touch(1, "a1", "help")]), k=4)
    said = [words.say_tickets(asks), words.say_themes(asks), words.say_theme_map(asks), words.say_typical(asks)]
    assert not re.search(r"<(img|script|b>)|\]\(|[`$]", " ".join(said))
    figures.draw_themes(asks).figure.canvas.draw()
    if asks.themes:
        figures.draw_theme_map(asks).figure.canvas.draw()
    plt.close("all")


def test_figures_draw_what_the_tables_hold(asks):
    found, _, _ = asks
    left = figures.draw_themes(found)
    assert [bar.get_width() for bar in left.patches] == pytest.approx(found.table["share"].tolist()[::-1])
    drawn = {text.get_text().replace("\n", " ") for text in figures.draw_theme_map(found).texts}
    assert drawn >= {name for name in found.table["name"] if len(name) <= 40}
    panel = figures.draw_theme_months(found)
    assert panel.lines[0].get_ydata().tolist() == found.months.query(f"theme == {found.changes['theme'][0]}")["share"].tolist()
    plt.close("all")


def test_names_on_the_map_do_not_cover_each_other(asks):
    ax = figures.draw_theme_map(asks[0])
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not [(i, j) for i in range(len(boxes)) for j in range(i) if boxes[i].overlaps(boxes[j])]
    plt.close("all")


# --- what is new, what it costs, what was solved before ----------------------------------------------------


BORN = ["scanner", "barcode", "pallet", "shelf", "forklift", "label"]


def asked(dataset, log):
    """What notebook 2 asks, in its order."""
    asks = themes.of_tickets(dataset, log)
    costs = themes.costs(asks, log, journey.cases(log, dataset), dataset.tables)
    articles = dataset.tables.get("articles")
    return (
        themes.recent(dataset, asks),
        costs,
        themes.fix_list(costs, asks, articles),
        themes.replayed(dataset, asks.texts),
    )


@pytest.mark.parametrize("rows", [[], [{"ticket_id": "1"}], [{"ticket_id": "1", "short_description": "late refund"}]])
def test_what_is_new_and_what_it_costs_is_said_to_be_unknown_where_it_is(tmp_path, rows):
    news, costs, fixes, known = asked(*made(tmp_path, rows, [touch(1, "a1", "help")]))
    assert "no two whole months" in words.say_recent(news)
    assert "nothing can be said about what a theme costs" in words.say_costs(costs)
    assert "nothing is said of what to mend first" in words.say_fixes(fixes)
    assert "no resolution, close code or assignment group" in words.say_replay(*known)


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """Six months of tickets on three topics; in the last a fourth comes up, one calls, and its answers are known."""
    texts, topic = written(900, topics=3)
    draw = np.random.default_rng(2)
    month = draw.integers(1, 7, 900)
    born = [" ".join(draw.choice(BORN, 4, replace=False)) for _ in range(60)]
    texts, topic, month = [*texts, *born], np.append(topic, [3] * 60), np.append(month, [6] * 60)
    tickets, touches = [], []
    for i, (text, of, when) in enumerate(zip(texts, topic.tolist(), month.tolist(), strict=True)):
        at = pd.Timestamp(f"2026-{when:02d}-{1 + i % 28:02d}T10:00:00Z")
        known = {"short_description": text, "resolution": f"answer {of}", "category": "any"}
        ids = {"ticket_id": f"k{i}", "user_id": f"u{i % 400}", "case_id": f"c{i}"}
        tickets.append(ids | known | {"opened_at": str(at), "resolved_at": str(at + pd.Timedelta("1h"))})
        calls = draw.random() < (0.8 if of == 0 else 0.1)
        for step, stage in enumerate(["help", "agent", "phone"][: 3 if calls else 2]):
            mine = {"touchpoint_id": f"t{i}-{step}", "user_id": ids["user_id"], "case_id": ids["case_id"], "stage": stage}
            touches.append(mine | {"occurred_at": str(at + pd.Timedelta(minutes=step))})
    about = {"name": "busy", "observed_from": "2026-01-01T00:00:00Z", "observed_until": "2026-07-01T00:00:00Z"}
    articles = pd.DataFrame({"article_id": ["H1"], "title": [TOPICS["login"]], "body": ["reset your password"]})
    frames = {"tickets": pd.DataFrame(tickets), "touchpoints": pd.DataFrame(touches), "articles": articles}
    out = tmp_path_factory.mktemp("busy") / "data"
    write_dataset(out, about, frames)
    dataset = open_dataset(out)
    return asked(dataset, eventlog.compile(dataset)), topic


def test_a_planted_new_theme_is_told_and_no_other(busy):
    (news, *_), _ = busy
    said = words.say_recent(news)
    assert said.startswith("June 2026: **not asked about before**: “")
    assert len(news.born.table) == 1
    assert set(re.findall(r"\w+", news.born.table["name"][0])) <= set(BORN)
    assert int(news.born.table["n"][0]) in range(45, 61)
    assert all(int(i[1:]) >= 900 for i in news.born.table["tickets"][0])


def test_a_planted_costly_theme_is_mended_first_and_lacks_an_article(busy):
    (_, costs, fixes, _), topic = busy
    top = fixes.table.iloc[0]
    assert top["is_clear"]
    assert set(re.findall(r"\w+", top["name"])) <= set(TOPICS["refund"].split())
    assert 0 < top["low"] < top["calls"] < top["high"]
    assert (topic[[int(i[1:]) for i in top["tickets"]]] == 0).all()
    said = words.say_fixes(fixes)
    assert said.startswith(f"1. “{top['name']}” (est. ")
    assert "**no help article**" in said
    assert f"“{top['name']}” costs most calls" in words.say_costs(costs)


def test_what_was_answered_before_is_found_again(busy):
    (*_, (known, why)), _ = busy
    assert why == ""
    rows = known.table.set_index("method")["share"]
    assert rows["nearest"] > 0.95 > rows["random"]
    assert "had their resolution among the 5" in words.say_replay(known)


@pytest.mark.parametrize("itself", [True, False])
def test_neighbours_are_those_that_looking_at_all_finds_block_by_block(itself, monkeypatch):
    monkeypatch.setattr(graph, "_BLOCK", 7)
    rng = np.random.default_rng(1)
    points = rng.normal(size=(40, 5))
    points[20:30] = points[:10]  # ties
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    among = points if itself else points[:25]
    cosine = (points @ among.T).round(9)
    if itself:
        np.fill_diagonal(cosine, -2)
    index, near = graph.neighbours(points, 6, None if itself else among)
    truth = np.argsort(-cosine, axis=1, kind="stable")[:, :6]
    assert (index == truth).all()
    assert (near == np.take_along_axis(cosine, truth, axis=1)).all()
