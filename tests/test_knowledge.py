"""Nearest resolved tickets, and what a replay says of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from cxlib import store, themes
from cxlib.schema import DataError
from cxlib.themes import chances, knowledge, tickets
from cxlib.themes.knowledge import replay, similar
from cxlib.themes.texts import lexical, plain

WORDS = {"refund": "late refund invoice money back card", "password": "reset password login locked account code"}


def written(n, seed=0):
    """Texts of two topics, and the topic of each."""
    draw = np.random.default_rng(seed)
    topic = draw.choice(list(WORDS), n)
    return [" ".join(draw.choice(WORDS[t].split(), 4)) for t in topic], topic


def dated(answers, **columns):
    """Tickets opened an hour apart, each resolved half an hour later."""
    opened = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(answers)), "h")
    return pd.DataFrame({"opened_at": opened, "resolved_at": opened + pd.Timedelta("30min"), "resolution": answers, **columns})


# --- similar -------------------------------------------------------------------------------------------------


def test_the_nearest_are_those_of_scikit_learn():
    texts, _ = written(60)
    distinct = sorted(set(texts), key=texts.index)
    model, rows = lexical([plain(text) for text in distinct])
    query = "my refund is late"
    cosine, place = NearestNeighbors(n_neighbors=8, metric="cosine").fit(rows).kneighbors(model.place([query]))
    found = similar(texts, query, 8, text_model=model)
    assert found["cosine"].to_numpy() == pytest.approx(1 - cosine[0])
    assert set(found["text"][:3]) == {distinct[i] for i in place[0][:3]} or len(set(found["cosine"].round(6))) < 8


def test_equal_texts_count_once_at_their_first_position_and_ties_go_by_position():
    texts = ["b x", "late refund", "LATE  refund", "late refund", None, "refund late"]
    found = similar(texts, "late refund", 3)
    assert found["position"].tolist()[:2] == [1, 5]
    assert found["cosine"][0] == pytest.approx(1)
    assert found["text"][0] == "late refund"
    flat = type("Flat", (), {"place": lambda self, some: np.ones((len(some), 1))})()
    assert similar(list("cab"), "x", 3, text_model=flat)["position"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("texts", "query"), [([], "a b"), ([None, "", "!?"], "a b"), (["a b"], ""), (["a b"], "[e-mail]")])
def test_nothing_is_near_to_nothing(texts, query):
    found = similar(texts, query)
    assert found.empty
    assert list(found) == ["position", "cosine", "text"]


def test_no_text_is_no_question():
    with pytest.raises(DataError, match="n=0 asks for no text"):
        similar(["a b"], "a", 0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=12), st.text(max_size=20), st.integers(1, 6))
def test_any_texts_give_a_table_in_order(texts, query, n):
    found = similar(texts, query, n)
    assert len(found) <= n
    assert found["cosine"].is_monotonic_decreasing
    assert found["cosine"].between(0, 1 + 1e-9).all()
    assert found["text"].map(plain).is_unique
    assert [texts[i] for i in found["position"]] == found["text"].tolist()


def test_resolutions_are_shown_without_personal_data(tmp_path):
    rows = pd.DataFrame(
        {
            "ticket_id": ["1", "2", "3"],
            "user_id": ["u", "u", "u"],
            "description": ["mail jane@example.com", "late refund", "open one"],
            "resolution": ["Called Jane Doe at jane@example.com", "", ""],
            "close_code": ["", "Solved", ""],
            "resolved_at": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", ""],
        }
    )
    store.write_dataset(tmp_path / "d", {}, {"tickets": rows, "users": pd.DataFrame({"user_id": ["u"], "name": ["Jane Doe"]})})
    found = themes.resolved(store.open_dataset(tmp_path / "d"))
    assert found["ticket_id"].tolist() == ["1", "2"]
    assert found["text"].tolist() == ["mail [e-mail]", "late refund"]
    assert found["resolution"].tolist() == ["Called [name] at [e-mail]", "Solved"]


# --- replay --------------------------------------------------------------------------------------------------


def by_hand(frame, texts, n):
    """The same replay, one ticket and one distance at a time."""
    said = [plain(text) for text in texts]
    half = len(frame) // 2
    first = frame["opened_at"].iloc[half]
    model, _ = lexical(sorted({said[i] for i in range(len(frame)) if frame["resolved_at"].iloc[i] < first}))
    points, hits = model.place(said).astype(np.float32), []
    for i in range(half, len(frame)):
        seen = [j for j in range(len(frame)) if frame["resolved_at"].iloc[j] < frame["opened_at"].iloc[i]]
        cosine = {}
        for j in seen:
            cosine.setdefault(said[j], (-round(float(points[i] @ points[j]), 5), j))
        best = [j for c, j in sorted(cosine.values()) if c < 0][:n]
        hits.append(any(frame["resolution"].iloc[j] == frame["resolution"].iloc[i] for j in best))
    return hits


def test_a_replay_agrees_with_one_done_by_hand():
    texts, topic = written(160)
    draw = np.random.default_rng(1)
    frame = dated(np.where(draw.random(160) < 0.3, draw.choice(list("xyz"), 160), topic))
    found = replay(frame, texts, n=2)
    assert found.asked["position"].tolist() == list(range(80, 160))
    assert np.mean(found.asked["hit"] == by_hand(frame, texts, 2)) >= 0.97  # rounding decides ties
    assert found.asked["n_before"].tolist() == list(range(80, 160))


def test_a_ticket_sees_only_what_was_resolved_before_it_was_opened():
    texts = ["late refund"] * 100
    frame = dated([f"answer {i // 2}" for i in range(100)])
    assert replay(frame, texts).table["share"][0] == 0  # equal texts count once, and the first one's answer is old
    slow = frame.assign(resolved_at=frame["opened_at"].iloc[-1] + pd.Timedelta("1h"))
    found = replay(slow, texts)
    assert found.table["share"].tolist() == [0, 0]
    assert (found.asked["n_before"] == 0).all()


def test_the_order_of_the_rows_is_nothing_to_a_replay_by_time():
    texts, topic = written(120)
    frame, order = dated(topic), np.random.default_rng(2).permutation(120)
    one, other = replay(frame, texts), replay(frame.iloc[order].reset_index(drop=True), [texts[i] for i in order])
    pd.testing.assert_frame_equal(one.table, other.table)


def test_planted_answers_are_found_and_random_ones_are_not():
    texts, topic = written(600)
    draw = np.random.default_rng(3)
    many = np.char.add(topic, draw.choice(list("abcdefgh"), 600))
    kinds = pd.DataFrame({"category": draw.choice(list("pqr"), 600)})
    table = replay(dated(many, category=kinds["category"].to_numpy()), texts).table.set_index("method")
    assert table.at["random", "more_low"] > 0
    assert table.at["same category", "more_low"] > 0
    blind = replay(dated(draw.choice(list("abcdefghij"), 600)), texts).table.set_index("method")
    assert blind.at["random", "more_low"] < 0 < blind.at["random", "more_high"]


def test_baselines_are_the_chances_of_drawing_blindly():
    draw = np.random.default_rng(4)
    answer, category = draw.integers(0, 4, 80), draw.integers(-1, 3, 80)
    who = chances.Draw(np.arange(60, 80), np.arange(60), draw.integers(0, 60, 20))
    any_five, own_five = who.by_chance(answer, 5), who.in_category(answer, category, 5)
    for i, (asked, before) in enumerate(zip(who.asked, who.before, strict=True)):
        pool = np.arange(before)
        same = pool[(category[pool] == category[asked]) & (category[asked] >= 0)]
        others = np.setdiff1d(pool, same)
        hits = np.zeros((2, 4000), dtype=bool)
        for r in range(4000):
            k = min(5, len(same))
            drawn = np.append(draw.permutation(same)[:k], draw.permutation(others)[: 5 - k]).astype(int)
            hits[:, r] = [(answer[draw.permutation(pool)[:5]] == answer[asked]).any(), (answer[drawn] == answer[asked]).any()]
        assert [any_five[i], own_five[i]] == pytest.approx(hits.mean(axis=1), abs=0.04)
        if i == 5:
            break


def test_the_interval_is_by_customer():
    texts, topic = written(400)
    draw = np.random.default_rng(5)
    frame = dated(np.char.add(topic, draw.choice(list("abcdefgh"), 400)))
    alone, few = (
        replay(frame.assign(user_id=ids), texts).table.iloc[0] for ids in (np.arange(400).astype(str), np.arange(400) % 9)
    )
    assert alone["share"] == few["share"]
    assert alone["high"] - alone["low"] != few["high"] - few["low"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": ["opened_at"]}, 'no opened_at, and the order of rows is not time: by="rows"'),
        ({"drop": ["resolved_at"]}, "no resolved_at, and the order of rows is not time"),
        ({"answer": "close_code"}, "no column close_code: ask for resolution"),
        ({"by": "chance"}, "by='chance' is not known"),
        ({"n": 0}, "n=0 asks for no ticket"),
        ({"texts": ["a"]}, "there are 1 texts for 100 tickets"),
        ({"texts": [""] * 100}, "only 0 tickets with a text and a resolution"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_what_can(change, message):
    frame = dated(["x", "y"] * 50).drop(columns=change.pop("drop", []))
    texts = change.pop("texts", ["late refund", "reset password"] * 50)
    with pytest.raises(DataError, match=message):
        replay(frame, texts, **change)


def test_a_split_by_lot_is_named_and_repeats():
    texts, topic = written(200)
    frame = pd.DataFrame({"assignment_group": topic})
    one, other = (replay(frame, texts, answer="assignment_group", by="rows") for _ in range(2))
    assert one.by == "rows"
    assert one.table["method"].tolist() == ["nearest", "random"]
    pd.testing.assert_frame_equal(one.table, other.table)
    assert len(one.asked) == 100


def test_many_near_texts_do_not_crowd_out_the_next(monkeypatch):
    monkeypatch.setattr(knowledge, "_FIRST", 3)
    cosine, same = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.4, -0.1]), np.array([0, 0, 0, 0, 1, 2, 3])
    assert knowledge._nearest(cosine, same, 3).tolist() == [0, 4, 5]
    assert knowledge._nearest(cosine, same, 9).tolist() == [0, 4, 5]
    assert knowledge._nearest(cosine[:0], same, 3).tolist() == []


def test_in_the_demo_the_nearest_know_the_team_better_than_the_category_does(demo):
    dataset = store.open_dataset(demo)
    found = replay(dataset.tables["tickets"], tickets.ticket_texts(dataset), answer="assignment_group")
    table = found.table.set_index("method")
    assert table.at["nearest", "share"] > 0.8  # measured: .85; same category .78, random .59
    assert (table["more_low"].dropna() > 0).all()


def test_tickets_without_dates_are_replayed_by_lot_alone(real_data):
    frame = pd.read_csv(real_data / "it_tickets.csv.xz", nrows=4000)
    ours = frame.rename(columns={"Topic_group": "assignment_group"})
    with pytest.raises(DataError, match="order of rows is not time"):
        replay(ours, frame["Document"].tolist(), answer="assignment_group")
    table = replay(ours, frame["Document"].tolist(), answer="assignment_group", by="rows").table.set_index("method")
    assert table.at["random", "more_low"] > 0.15  # measured on all: .93 against .61
