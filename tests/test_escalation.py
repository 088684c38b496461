"""Who will call: features that cannot see the future, scores that agree with scikit-learn, and a planted world."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from cxlib import escalation, eventlog, open_dataset, sources, store
from cxlib import words as more_words
from cxlib.cli import main
from cxlib.escalation import choosing, command, features, forecast, judging, kept, labels, later, models, scorers, scores
from cxlib.escalation import review as review_module
from cxlib.escalation.replay import cut_tables
from cxlib.escalation.silence import after_silence, gaps_until_next
from cxlib.figures import escalation as figures
from cxlib.redact import gazetteer
from cxlib.schema import DataError
from cxlib.words import decisions as decision_words
from cxlib.words import escalation as words

NOON = pd.Timestamp("2026-03-02T12:00:00Z")  # a Monday
SETTINGS = {"name": "test", "timezone": "Europe/Berlin", "observed_until": NOON + pd.Timedelta(days=60)}


def hour(h: float) -> pd.Timestamp:
    return (NOON + pd.Timedelta(hours=h)).as_unit("us")


def touches(rows) -> pd.DataFrame:
    """(case, hour, stage, and whatever else is known) -> the touchpoints table."""
    told = [{"case_id": case, "occurred_at": hour(h), "stage": stage, **more} for case, h, stage, more in rows]
    frame = pd.DataFrame(told)
    return frame.assign(touchpoint_id=[f"t{i}" for i in range(len(frame))], user_id=frame.get("user_id", frame["case_id"]))


def changes(rows) -> pd.DataFrame:
    """(ticket, hour, field, old, new) -> the ticket_events table."""
    frame = pd.DataFrame(rows, columns=["ticket_id", "hour", "field", "old_value", "new_value"])
    return frame.assign(event_id=[f"e{i}" for i in range(len(frame))], occurred_at=frame.pop("hour").map(hour))


@pytest.fixture
def opened(tmp_path):
    """Tables -> an opened dataset."""

    def write(tables, name="data", **more):
        store.write_dataset(tmp_path / name, SETTINGS | more, tables)
        return open_dataset(tmp_path / name)

    return write


def known(dataset) -> pd.DataFrame:
    """Keys and features, by touchpoint."""
    found = features.moments(eventlog.compile(dataset), dataset)
    return pd.concat([found.keys, found.features], axis=1).set_index("touchpoint_id")


# ---- features, by hand


@pytest.fixture
def three_touches(opened):
    """Help, agent (opens a ticket, then it changes), phone."""
    return opened(
        {
            "touchpoints": touches(
                [
                    ("a", 0, "help", {"action": "search", "sentiment": 0.5}),
                    ("a", 2, "agent", {"action": "chat", "ticket_id": "k", "application_id": "Ledger", "wait_s": 90.0}),
                    ("a", 5, "phone", {"action": "call", "sentiment": -0.5, "ticket_id": "k"}),
                ]
            ),
            "tickets": pd.DataFrame(
                {
                    "ticket_id": ["k"],
                    "case_id": ["a"],
                    "opened_at": [hour(2)],
                    "priority": ["3"],
                    "category": ["Billing"],
                    "closed_at": [hour(99)],
                    "close_code": ["solved"],
                    "reassignment_count": [4],
                }
            ),
            "ticket_events": changes(
                [("k", 2, "priority", None, "3"), ("k", 4, "priority", "3", "1"), ("k", 6, "priority", "1", "2")]
            ),
            "users": pd.DataFrame({"user_id": ["a"], "role": ["admin"], "plan": ["free"]}),
        }
    )


def test_features_of_a_case_of_three_touches_counted_by_hand(three_touches):
    t = known(three_touches)
    assert t["stage.now"].tolist() == ["help", "agent", "phone"]
    assert t["stage.furthest"].tolist() == ["help", "agent", "phone"]
    assert t["stage.before"].tolist()[1:] == ["help", "agent"]
    assert t["stage.n_help"].tolist() == [1, 1, 1]
    assert t["stage.n_agent"].tolist() == [0, 1, 1]
    assert t["touches.n"].tolist() == [1, 2, 3]
    assert t["action.before"].tolist()[1:] == ["search", "chat"]
    assert t["mood.last"].tolist() == [0.5, 0.5, -0.5]
    assert t["mood.mean"].tolist() == [0.5, 0.5, 0.0]
    assert t["mood.worst"].tolist() == [0.5, 0.5, -0.5]
    assert t["time.elapsed_h"].tolist() == [0, 2, 5]
    assert t["time.gap_h"].tolist()[1:] == [2, 3]
    assert t["hour.value"].tolist() == [13, 15, 18]  # Berlin is an hour ahead of UTC in winter
    assert set(t["weekday.value"]) == {"Monday"}
    assert t["role.value"].tolist() == ["admin"] * 3
    assert t["application.value"].isna().tolist() == [True, False, False]
    assert t["wait.s"].tolist()[1] == 90


def test_a_ticket_is_known_from_its_opening_and_its_changes_from_their_time(three_touches):
    t = known(three_touches)
    assert t["category.value"].isna().tolist() == [True, False, False]
    assert t["priority.value"].tolist()[1:] == ["3", "1"]  # not "2": that comes after the last touch
    assert t["priority.n_changes"].tolist()[1:] == [0, 1]
    assert t["ticket.age_h"].tolist()[1:] == [0, 3]


def test_a_ticket_that_a_touch_names_before_its_opening_is_not_known_yet(opened):
    """Exports write a ticket's id on earlier touches too: that there will be a ticket is the future."""
    tickets = pd.DataFrame({"ticket_id": ["k"], "opened_at": [hour(2)], "category": ["Billing"]})
    rows = [("a", 0, "help", {"ticket_id": "k"}), ("a", 3, "agent", {"ticket_id": "k"})]
    t = known(opened({"touchpoints": touches(rows), "tickets": tickets}))
    assert t["category.value"].isna().tolist() == [True, False]


def test_what_is_known_at_the_end_only_is_no_feature(three_touches):
    names = {name.split(".")[0] for name in known(three_touches)}
    assert not names & {"closed_at", "close_code", "reassignment_count", "resolved_at", "made_sla", "short_description"}


def test_how_a_ticket_ended_is_not_even_read_from_dated_changes(opened):
    rows = [("k", 0, name, None, "x") for name in sorted(features.ENDINGS)] + [
        ("k", 0, "comment", None, "secret"),
        ("k", 0, "team", None, "A"),
    ]
    dataset = opened({"touchpoints": touches([("a", 1, "help", {"ticket_id": "k"})]), "ticket_events": changes(rows)})
    t = known(dataset)
    assert not {name.split(".")[0] for name in t} & features.ENDINGS
    assert t["team.value"].tolist() == ["A"]
    assert "comment.n_changes" in t
    assert "comment.value" not in t, "what was written stays unread"


def test_a_moment_is_in_search_of_help_before_the_escalation_while_the_ticket_is_open(opened):
    rows = [
        ("a", 0, "product", {}),
        ("a", 1, "help", {}),
        ("a", 2, "phone", {}),
        ("a", 3, "help", {}),
        ("b", 0, "help", {"ticket_id": "k"}),
        ("b", 2, "agent", {"ticket_id": "k"}),
        ("b", 4, "agent", {"ticket_id": "k"}),
    ]
    events = changes(
        [("k", 0, "state", None, "New"), ("k", 1, "state", "New", "Resolved"), ("k", 3, "state", "Resolved", "In progress")]
    )
    t = known(opened({"touchpoints": touches(rows), "ticket_events": events}))
    assert t.index[t["at_risk"]].tolist() == ["t1", "t4", "t6"]


def test_at_one_and_the_same_time_the_order_decides_and_without_one_the_escalation_comes_first(opened):
    rows = [("a", 0, "agent", {"seq": 1}), ("a", 0, "phone", {"seq": 2}), ("b", 0, "agent", {}), ("b", 0, "phone", {})]
    t = known(opened({"touchpoints": touches(rows)}))
    assert t["at_risk"].to_dict() == {"t0": True, "t1": False, "t2": False, "t3": False}


def test_an_entry_at_the_time_of_a_question_is_known_unless_its_order_is_later():
    entries = (np.array([1, 1, 1]), np.array([5, 5, 9]), np.array([1.0, 3.0, np.nan]))
    asked = (np.array([1, 1, 1, 2]), np.array([5, 5, 9, 9]), np.array([2.0, np.nan, 1.0, 1.0]))
    assert features.last_known(entries, asked).tolist() == [0, 1, 2, -1]


def test_the_customer_is_known_once_a_touch_names_them(opened):
    rows = [("a", 0, "help", {"user_id": None, "visitor_id": "v"}), ("a", 1, "help", {"user_id": "u"})]
    users = pd.DataFrame({"user_id": ["u", "w"], "role": ["admin", "reader"]})
    t = known(opened({"touchpoints": touches(rows), "users": users}))
    assert t["role.value"].isna().tolist() == [True, False]


# ---- the future


def random_tables(seed: int, n_cases: int = 8) -> dict[str, pd.DataFrame]:
    """Small tables with ties, two tickets per case and their changes, all within 60 hours and a few after."""
    rng = np.random.default_rng(seed)
    n, ids = n_cases * 5, [f"k{c}-{i}" for c in range(n_cases) for i in (0, 1)]
    case, hours, opened_at = rng.integers(0, n_cases, n), rng.integers(0, 60, n), rng.integers(0, 60, len(ids))
    named = 2 * case + rng.integers(0, 2, n)
    frame = pd.DataFrame(
        {
            "touchpoint_id": [f"t{i}" for i in range(n)],
            "case_id": [f"c{c}" for c in case],
            "user_id": [f"u{c % 5}" if rng.random() < 0.7 else None for c in case],
            "occurred_at": [hour(h) for h in hours],
            "stage": rng.choice(["product", "help", "chatbot", "agent", "phone"], n, p=[0.1, 0.4, 0.2, 0.2, 0.1]),
            "action": rng.choice(["search", "chat"], n),
            "sentiment": np.where(rng.random(n) < 0.6, rng.uniform(-1, 1, n).round(3), np.nan),
            "ticket_id": [
                ids[k] if opened_at[k] <= h and rng.random() < 0.7 else None for k, h in zip(named, hours, strict=True)
            ],
        }
    )
    tickets = pd.DataFrame({"ticket_id": ids, "opened_at": [hour(h) for h in opened_at]})
    tickets = tickets.assign(case_id=[f"c{i[1:-2]}" for i in ids], category=rng.choice(["x", "y"], len(ids)))
    later = [
        (ids[i], opened_at[i] + rng.integers(0, 40), rng.choice(["state", "team", "category"]), "o", f"v{rng.integers(3)}")
        for i in rng.integers(0, len(ids), 80)
    ]
    users = pd.DataFrame({"user_id": [f"u{i}" for i in range(5)], "role": list("abcab")})
    return {"touchpoints": frame, "tickets": tickets, "ticket_events": changes(later), "users": users}


def in_memory(tables) -> SimpleNamespace:
    """What `moments` needs of a dataset."""
    frames = {name: frame.copy() for name, frame in tables.items() if len(frame)}
    return SimpleNamespace(tables=frames)


def features_of(tables) -> pd.DataFrame:
    frame = tables["touchpoints"].astype({"occurred_at": "datetime64[us, UTC]"})
    log = eventlog.compile(frame, settings=store.Settings(observed_until=hour(1000)))
    found = features.moments(log, in_memory(tables))
    both = pd.concat([found.keys[["touchpoint_id", "at"]], found.features], axis=1).set_index("touchpoint_id")
    both["is_open"] = found.keys["is_open"].to_numpy()
    return both


TIMES = {"touchpoints": "occurred_at", "tickets": "opened_at", "ticket_events": "occurred_at"}


def without_future(tables, cut) -> dict[str, pd.DataFrame]:
    return cut_tables(tables, hour(cut))


def with_another_future(tables, cut) -> dict[str, pd.DataFrame]:
    """The same past; after it every ticket is of another category, every change leads elsewhere and every mood is bad.

    What the tickets table holds in the end of a field that changes after the cut is another value, too.
    """
    other = {"touchpoints": {"sentiment": -1.0}, "tickets": {"category": "z"}, "ticket_events": {"new_value": "another"}}
    later = {
        name: frame[frame[TIMES[name]] > hour(cut)].assign(**other[name]) for name, frame in tables.items() if name in TIMES
    }
    past = without_future(tables, cut)
    changes_later = tables["ticket_events"].query("field == 'category'")
    changes_later = changes_later.loc[changes_later["occurred_at"] > hour(cut), "ticket_id"]
    if "tickets" in past:
        final = past["tickets"]["category"].where(~past["tickets"]["ticket_id"].isin(changes_later), "final")
        past["tickets"] = past["tickets"].assign(category=final)
    return {name: pd.concat([frame, later[name]]) if name in later else frame for name, frame in past.items()}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 55))
def test_no_feature_sees_the_future(seed, cut):
    """Deleting everything after a time, or changing it, leaves every feature of earlier rows as it was."""
    tables = random_tables(seed)
    rows = without_future(tables, cut)["touchpoints"]["touchpoint_id"]
    whole = features_of(tables)
    for other in (without_future(tables, cut), with_another_future(tables, cut)):
        replayed = features_of(other)
        columns = list(dict.fromkeys([*whole, *replayed]))
        here, there = (t.reindex(index=rows, columns=columns).astype(object).fillna("missing") for t in (whole, replayed))
        pd.testing.assert_frame_equal(here, there)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_and_the_names_of_changes_mean_nothing(seed):
    tables = random_tables(seed)
    mixed = {name: frame.sample(frac=1, random_state=seed) for name, frame in tables.items()}
    mixed["ticket_events"] = mixed["ticket_events"].assign(event_id=[f"x{i}" for i in range(len(tables["ticket_events"]))])
    pd.testing.assert_frame_equal(features_of(tables).sort_index(), features_of(mixed).sort_index())


def planted_world(n_cases: int = 600, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Cases of two kinds that their moods hint at, one of which calls more often; nothing else tells them apart."""
    rng = np.random.default_rng(seed)
    rows, tickets = [], []
    for i in range(n_cases):
        angry = rng.random() < 0.4
        calls = rng.random() < (0.6 if angry else 0.1)
        start = i * 1.5
        stages = ["help", "chatbot", "agent"][: rng.integers(1, 4)] + (["phone"] if calls else [])
        for k, stage in enumerate(stages):
            mood = float(np.clip(rng.normal(-0.4 if angry else 0.4, 0.5), -1, 1).round(3))
            rows.append((f"c{i}", start + k * 0.3, stage, {"sentiment": mood, "user_id": f"u{i % 200}", "ticket_id": f"k{i}"}))
        tickets.append((f"k{i}", f"c{i}", hour(start), calls))
    table = pd.DataFrame(tickets, columns=["ticket_id", "case_id", "opened_at", "calls"])
    return {"touchpoints": touches(rows), "tickets": table.drop(columns="calls"), "_calls": table["calls"]}


@pytest.fixture(scope="module")
def planted_tables():
    tables = planted_world()
    return tables, tables.pop("_calls")


@pytest.fixture(scope="module")
def planted_data(tmp_path_factory, planted_tables):
    tables, _ = planted_tables
    out = tmp_path_factory.mktemp("planted") / "data"
    store.write_dataset(out, SETTINGS | {"observed_until": tables["touchpoints"]["occurred_at"].max()}, tables)
    return open_dataset(out)


@pytest.fixture(scope="module")
def planted(planted_data):
    return escalation.fit(planted_data)


def test_a_perfect_leak_among_the_final_columns_of_tickets_changes_nothing(opened, planted, planted_tables):
    tables, calls = planted_tables
    tickets = tables["tickets"]
    leaky = tickets.assign(
        closed_at=tickets["opened_at"] + pd.to_timedelta(np.where(calls, 90, 1), unit="h"),
        resolved_at=tickets["opened_at"] + pd.to_timedelta(np.where(calls, 80, 1), unit="h"),
        close_code=np.where(calls, "called", "quiet"),
        reassignment_count=np.where(calls, 5, 0),
        state=np.where(calls, "Escalated", "Closed"),
        assignment_group=np.where(calls, "Phone team", "Desk"),
    )
    with_leak = escalation.fit(opened(tables | {"tickets": leaky}, observed_until=tables["touchpoints"]["occurred_at"].max()))
    assert with_leak.features == planted.features
    pd.testing.assert_frame_equal(pd.DataFrame(with_leak.metrics), pd.DataFrame(planted.metrics), check_exact=True)
    assert 0.6 < planted.metrics["auc"]["value"] < 0.9


def _final(tables, calls, **columns):
    tickets = tables["tickets"]
    return tables | {"tickets": tickets.assign(**{name: make(tickets, calls) for name, make in columns.items()})}


def _later(tables, calls, field, hours):
    """A logged change of each ticket after everything else of its case, that tells what came of it."""
    tickets = tables["tickets"]
    rows = tickets[["ticket_id"]].assign(event_id="late" + tickets["ticket_id"], field=field, old_value="")
    rows["occurred_at"] = tickets["opened_at"] + pd.Timedelta(hours=hours)
    return tables | {"ticket_events": rows.assign(new_value=np.where(calls, "called", "quiet"))}


def _incidents(tables, calls):
    """An incident of the case's own application, two hours after the ticket, where the case calls."""
    tickets = tables["tickets"].assign(application_id="app" + tables["tickets"]["ticket_id"])
    rows = tickets.loc[calls, ["application_id"]].assign(started_at=tickets["opened_at"][calls] + pd.Timedelta(hours=2))
    rows = rows.assign(incident_id="i" + rows["application_id"], restored_at=rows["started_at"] + pd.Timedelta(hours=1))
    return tables | {"tickets": tickets, "incidents": rows}


def _final_priority(tables, calls):
    """The table holds what the priority became at the call; the log says what it was before."""
    tables = _final(tables, calls, priority=lambda _, calls: np.where(calls, "1", "3"))
    called = tables["tickets"].loc[calls, ["ticket_id", "opened_at"]]
    rows = called.assign(event_id="p" + called["ticket_id"], field="priority", old_value="3", new_value="1")
    return tables | {"ticket_events": rows.assign(occurred_at=rows.pop("opened_at") + pd.Timedelta(hours=1.3))}


def _after_the_call(tables, calls):
    called = tables["touchpoints"][tables["touchpoints"]["stage"] == "phone"]
    more = called.assign(
        touchpoint_id=called["touchpoint_id"] + "x",
        stage="agent",
        action="follow up",
        occurred_at=called["occurred_at"] + pd.Timedelta(minutes=5),
        sentiment=-1.0,
    )
    return tables | {"touchpoints": pd.concat([tables["touchpoints"], more], ignore_index=True)}


LEAKS = {
    "final counter": lambda t, c: _final(t, c, reassignment_count=lambda _, calls: np.where(calls, 5, 0)),
    "closed_at": lambda t, c: _final(
        t, c, closed_at=lambda k, calls: k["opened_at"] + pd.to_timedelta(np.where(calls, 90, 1), "h")
    ),
    "resolver": lambda t, c: _later(t, c, "resolved_by", 0.1),
    "text of a later comment": lambda t, c: _later(t, c, "comments", 1.2),
    "post-outcome change": lambda t, c: _later(t, c, "assignment_group", 1.2),
    "final value of a field that changes": _final_priority,
    "future incident": _incidents,
    "post-outcome touch": _after_the_call,
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_changes_no_forecast(opened, planted, planted_tables, leak):
    tables, calls = planted_tables
    leaky = LEAKS[leak](tables, calls.to_numpy())
    dataset = opened(leaky, observed_until=tables["touchpoints"]["occurred_at"].max())
    assert escalation.leak_probe(dataset, cuts=2)["n_differ"].sum() == 0
    found = escalation.fit(dataset)
    if leak in ("future incident", "post-outcome touch"):  # known by then to later cases, which may learn from it
        assert abs(found.metrics["auc"]["value"] - planted.metrics["auc"]["value"]) < 0.03
        return
    assert found.features == planted.features
    ours, theirs = (part.set_index("touchpoint_id")["chance"] for part in (found.table, planted.table))
    assert ours.reindex(theirs.index).to_numpy() == pytest.approx(theirs.to_numpy(), abs=1e-9)


def test_a_visitor_who_is_linked_at_the_call_does_not_tell_that_there_will_be_one(opened):
    """Calls are chance. Who calls gives a name, which joins what the visitors did before: at the time nobody knew."""
    rng = np.random.default_rng(0)
    rows, links = [], []
    for i in range(900):
        rows += [(None, 3 * i + k, "help", {"user_id": None, "visitor_id": f"v{k}-{i}"}) for k in range(2)]
        if rng.random() < 0.3:
            rows.append((None, 3 * i + 2, "phone", {"user_id": f"u{i}", "visitor_id": None}))
            links += [(f"v{k}-{i}", f"u{i}", hour(3 * i + 2.1)) for k in range(2)]
    tables = {"touchpoints": touches(rows), "identities": pd.DataFrame(links, columns=["visitor_id", "user_id", "linked_at"])}
    dataset = opened(tables, observed_until=hour(4000))
    assert "0 of" in escalation.fit(dataset).why_not  # no visitor was ever seen to call
    known = escalation.as_known(dataset)
    assert known is not dataset
    assert escalation.as_known(known) is known
    assert escalation.leak_probe(dataset, cuts=2)["n_differ"].sum() == 0
    named = opened(tables | {"touchpoints": tables["touchpoints"].assign(case_id=lambda t: t["touchpoint_id"])}, "named")
    assert escalation.as_known(named) is named  # a case that the export names does not depend on the link
    early = opened(tables | {"identities": tables["identities"].assign(linked_at=hour(-1))}, "early", observed_until=hour(4000))
    assert escalation.as_known(early) is early
    assert escalation.fit(early).metrics["auc"]["value"] > 0.7  # where it was known, it may be used


def test_before_its_first_logged_change_a_field_has_the_old_value_of_that_change(opened):
    tickets = pd.DataFrame({"ticket_id": ["k", "l"], "case_id": ["a", "b"], "opened_at": [hour(0)] * 2, "priority": ["1", "2"]})
    rows = [("a", 1, "help", {}), ("a", 5, "agent", {}), ("b", 1, "help", {})]
    logged = opened(
        {"touchpoints": touches(rows), "tickets": tickets, "ticket_events": changes([("k", 4, "priority", "3", "1")])}
    )
    assert known(logged)["priority.value"].tolist() == ["3", "1", "2"]
    never_old = changes([("k", 4, "priority", None, "1")])
    silent = opened({"touchpoints": touches(rows), "tickets": tickets, "ticket_events": never_old}, "silent")
    assert known(silent)["priority.value"].isna().tolist() == [True, False, True]


def test_what_comes_after_the_split_teaches_nothing_not_even_which_words_are_telling(opened, planted, planted_tables):
    """Target statistics, vocabularies and scales are of training: without the newer cases' calls the model is the same."""
    tables, _ = planted_tables
    touch = tables["touchpoints"]
    later = (touch["stage"] == "phone") & (touch["occurred_at"] >= planted.split_at)
    without = opened(tables | {"touchpoints": touch[~later]}, observed_until=touch["occurred_at"].max())
    blind = escalation.fit(without)
    assert "so no model is fitted" in blind.why_not
    log = eventlog.compile(without)
    moments = features.moments(log, without)
    keys = forecast.at_split(log, moments, 0.8)
    split_at = int(keys["split_at"].iloc[0])
    assert split_at == planted.kept.split_at
    model = choosing.chosen(moments.features, keys, keys["is_training"].to_numpy(), split_at, None, 0).model
    assert model.features == planted.model.features
    for name, array in planted.model.scorer.arrays().items():
        assert np.array_equal(array, model.scorer.arrays()[name]), name


def test_no_case_and_no_moment_lies_on_both_sides_of_the_split_and_rows_are_not_dealt(planted_data):
    log = eventlog.compile(planted_data)
    keys = forecast.at_split(log, features.moments(log, planted_data), 0.7)
    train, test = keys[keys["is_training"]], keys[keys["is_test"]]
    assert not set(train["case"]) & set(test["case"])
    assert train["at"].max() < keys["split_at"].iloc[0] <= test["at"].min()


def test_an_escalation_within_the_horizon_but_after_the_split_is_not_known_to_training():
    keys = pd.DataFrame({"case": [0, 1, 2], "at": [0, 0, 8], "is_open": True, "escalated_at": [5.0, 15.0, 15.0]})
    found = labels.outcomes(keys, np.ones(3, dtype=bool), 10, 8)
    assert found["label"].tolist() == [True, False, False]
    assert found["weight"].tolist()[2] == 0, "watched for 2 of 8 only"
    assert found["weight"].tolist()[1] > 0, "watched for all of 8 without an escalation"


def test_a_forecast_that_is_kept_gives_the_same_list_and_says_how_it_does(planted, planted_data, tmp_path):
    path = planted.kept.save(tmp_path / "forecast.npz")
    again = escalation.Forecaster.load(path)
    review, health = escalation.score(again, planted_data, capacity=15)
    pd.testing.assert_frame_equal(review.table, planted.top(15).table)
    row = health.set_index("what").loc["AUC"]
    assert row["now"] == pytest.approx(planted.metrics["auc"]["value"], abs=1e-3)
    assert row["verdict"] == "same cases"
    assert health.set_index("what").loc["share that escalates", "n"] == planted.counts["held_out_cases"]


def test_health_says_when_the_world_has_moved(planted, opened, planted_tables):
    """The newer cases are all in another mood and call three times as often as before."""
    tables, _ = planted_tables
    touch = tables["touchpoints"]
    newer = touch["occurred_at"] >= planted.split_at
    moved = touch.assign(sentiment=touch["sentiment"].where(~newer, -0.9))
    moved["stage"] = moved["stage"].where(~(newer & (moved["stage"] == "agent")), "phone")
    dataset = opened(tables | {"touchpoints": moved}, observed_until=touch["occurred_at"].max())
    health = escalation.score(planted.kept, dataset)[1].set_index("what")["verdict"]
    assert health["share that escalates"] == "moved"
    assert "moved" in health[health.index.str.contains("mood")].tolist()


def test_files_that_are_no_forecast_and_data_that_lack_what_it_reads_are_refused(planted, planted_data, tmp_path):
    path = planted.kept.save(tmp_path / "forecast.npz")
    whole = path.read_bytes()
    with pytest.raises(DataError, match="there is no forecast"):
        escalation.Forecaster.load(tmp_path / "none.npz")
    for broken in (b"", b"not a zip", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="is no forecast, or was cut short"):
            escalation.Forecaster.load(path)
    reads_more = replace(planted.kept, model=replace(planted.model, numbers=(*planted.model.numbers, "plan.n")))
    with pytest.raises(DataError, match=r"lacks what the forecast reads: plan\.n\. Fit it again"):
        escalation.score(reads_more, planted_data)


def test_cx_score_writes_a_list_that_no_spreadsheet_takes_for_formulas(planted_tables, opened, tmp_path, capsys):
    tables, _ = planted_tables
    touch = tables["touchpoints"].assign(case_id="=" + tables["touchpoints"]["case_id"])
    tickets = tables["tickets"].assign(case_id="=" + tables["tickets"]["case_id"])
    dataset = opened({"touchpoints": touch, "tickets": tickets}, observed_until=touch["occurred_at"].max())
    model, out = tmp_path / "m.npz", tmp_path / "new" / "list.csv"
    args = ["score", "--data", str(dataset.path), "--model", str(model), "--out", str(out), "--capacity", "7"]
    assert main(args) == 2
    assert "make one with cx score --fit" in capsys.readouterr().err
    assert main([*args, "--fit"]) == 0
    said = capsys.readouterr().out
    assert "7 of" in said and "steady" in said
    listed = pd.read_csv(out)
    assert len(listed) == 7
    assert listed["case_id"].str.startswith("'=").all()
    first = out.read_bytes()
    assert main(args) == 0
    assert out.read_bytes() == first
    assert main([*args, "--horizon", "7d"]) == 2
    assert [file.name for file in out.parent.iterdir()] == ["list.csv"]


def test_training_knows_neither_touches_nor_escalations_after_the_split(opened):
    """A case that began before the split and called after it is a negative of training, and its later touches are not rows."""
    rows = [(f"c{i}", i, "help", {}) for i in range(10)]
    rows += [("c0", 0.5, "phone", {}), ("c1", 8.5, "agent", {}), ("c1", 9.5, "phone", {}), ("c9", 9.7, "phone", {})]
    dataset = opened({"touchpoints": touches(rows)})
    log = eventlog.compile(dataset)
    keys = forecast.at_split(log, features.moments(log, dataset), split=0.8)
    split_at = int(hour(8).timestamp() * 1e6)
    assert (keys["split_at"] == split_at).all()
    assert keys[keys["is_training"]]["case_id"].tolist() == [f"c{i}" for i in range(8)]
    assert labels.outcomes(keys, keys["is_training"].to_numpy(), split_at)["label"].tolist() == [True] + [False] * 7
    held_out = labels.outcomes(keys, keys["is_test"].to_numpy(), log.observed_until)["label"]
    assert dict(zip(keys["case_id"][held_out.index], held_out, strict=True)) == {"c8": False, "c9": True}


@given(st.integers(0, 10_000), st.sampled_from([None, 3, 8]))
@settings(max_examples=50, deadline=None)
def test_outcomes_are_those_that_plain_loops_find(seed, horizon):
    draw = np.random.default_rng(seed)
    keys = pd.DataFrame({"case": np.sort(draw.integers(0, 6, 20)), "at": 0, "is_open": draw.random(20) < 0.8})
    keys["at"] = np.concatenate([np.sort(draw.integers(0, 20, n)) for n in keys.groupby("case").size()])
    escalated = {case: float(draw.integers(5, 25)) if draw.random() < 0.5 else np.nan for case in keys["case"].unique()}
    keys["escalated_at"] = keys["case"].map(escalated)
    until = 15
    rows = ((keys["at"] < until) & ~(keys["at"] > keys["escalated_at"])).to_numpy()
    found = labels.outcomes(keys, rows, until, horizon)
    asked = keys[rows]
    weight = {i: 1 / (asked["case"] == case).sum() for i, case in asked["case"].items()}
    for i, row in asked.iterrows():
        wait, watched = row["escalated_at"] - row["at"], until - row["at"]
        label = bool(row["escalated_at"] <= until and (horizon is None or wait <= horizon))
        assert found.at[i, "label"] == label
        if horizon is None:
            assert found.at[i, "weight"] == pytest.approx(weight[i])
            continue
        last = keys[(keys["case"] == row["case"]) & (keys["at"] <= until)].iloc[-1]
        needed = wait if label else horizon if last["is_open"] else min(horizon, max(0, last["at"] - row["at"]))
        share = sum(w for j, w in weight.items() if until - asked.at[j, "at"] >= needed) / sum(weight.values())
        known = label or needed <= watched
        assert found.at[i, "weight"] == pytest.approx(weight[i] / max(share, labels.RARE) if known else 0)


def test_weights_for_what_is_not_yet_known_give_the_share_that_full_watching_gives():
    """Waits are exponential, moments come all the time: those near the end are seen in part, and the weights make up."""
    draw = np.random.default_rng(5)
    n = 40_000
    at, wait = draw.uniform(0, 100, n), draw.exponential(30, n)
    keys = pd.DataFrame({"case": range(n), "at": at, "is_open": True, "escalated_at": at + wait})
    found = labels.outcomes(keys, np.ones(n, dtype=bool), 100, 20)
    assert np.average(found["label"], weights=found["weight"]) == pytest.approx(1 - np.exp(-20 / 30), abs=0.01)
    seen = labels.outcomes(keys, np.ones(n, dtype=bool), 100)
    assert abs(seen["label"].mean() - (1 - np.exp(-20 / 30))) > 0.05


# ---- scores


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_weighted_scores_agree_with_scikit_learn(seed, levels):
    rng = np.random.default_rng(seed)
    y, chance, weight = rng.random(60) < 0.4, rng.integers(0, levels + 1, 60) / (levels + 1), rng.uniform(0.1, 2, 60)
    if 0 < y.sum() < len(y):
        assert scores.auc(y, chance)(weight) == pytest.approx(metrics.roc_auc_score(y, chance, sample_weight=weight))
        precision = metrics.average_precision_score(y, chance, sample_weight=weight)
        assert scores.average_precision(y, chance)(weight) == pytest.approx(precision)
    assert scores.brier(y, chance)(weight) == pytest.approx(metrics.brier_score_loss(y, chance, sample_weight=weight))


def test_each_case_weighs_one_in_all():
    keys = pd.DataFrame({"case": [1, 1, 1, 2], "at": range(4), "escalated_at": np.nan})
    weight = labels.outcomes(keys, np.ones(4, dtype=bool), 9)["weight"]
    assert weight.groupby(keys["case"]).sum().tolist() == [1, 1]


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_slope_and_log_loss_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    chance, weight = rng.uniform(0.02, 0.98, 300), rng.uniform(0.1, 2, 300)
    y = rng.random(300) < chance**1.5
    log_odds = np.log(chance / (1 - chance))[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(log_odds, y, sample_weight=weight)
    assert scores.slope(y, chance)(weight) == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert scores.straightened(y, chance, weight)[0] == pytest.approx(theirs.intercept_[0], rel=1e-3, abs=1e-4)
    assert scores.log_loss(y, chance)(weight) == pytest.approx(metrics.log_loss(y, chance, sample_weight=weight))


def test_a_perfect_forecast_shows_the_calibration_error_of_the_printed_figures():
    """FACTS: .044 on 400 cases, .027 on 1,000, .014 on 4,000, in ten bins."""
    for n, printed in ((400, 0.044), (1000, 0.027), (4000, 0.014)):
        chance = np.random.default_rng(2).beta(2, 4, n)
        rows = pd.DataFrame({"chance": chance, "weight": 1.0, "case": range(n)})
        assert scores.ece_if_perfect(rows) == pytest.approx(printed, rel=0.25)
    often = pd.DataFrame(
        {"chance": np.repeat(rows["chance"][:400].to_numpy(), 10), "weight": 0.1, "case": np.repeat(range(400), 10)}
    )
    assert scores.ece_if_perfect(often) == pytest.approx(0.044, rel=0.25), "ten moments of a case are one draw"


def test_the_interval_by_customer_covers_the_true_auc():
    """Customers have a level of their own, so rows of one customer resemble each other; 100 worlds, 95 % intervals."""
    hits = 0
    truth = _world_of_scores(np.random.default_rng(99), 40_000)
    true_auc = scores.auc(truth["y"], truth["chance"])(np.ones(len(truth["y"])))
    for seed in range(100):
        world = _world_of_scores(np.random.default_rng(seed), 150)
        found = scores.with_interval(scores.auc(world["y"], world["chance"]), np.ones(len(world["y"])), world["customer"], seed)
        hits += found["low"] <= true_auc <= found["high"]
    assert 88 <= hits <= 100


def _world_of_scores(rng, n_customers):
    customer = np.repeat(np.arange(n_customers), 4)
    level = rng.normal(0, 1, n_customers)[customer]
    margin = -1 + level + rng.normal(0, 1, len(customer))
    y = rng.random(len(customer)) < 1 / (1 + np.exp(-margin))
    return {"y": y, "chance": 1 / (1 + np.exp(-level)), "customer": customer.astype(np.uint64)}


def test_calibration_bins_hold_all_weight_and_say_when_a_chance_is_wrong():
    rng = np.random.default_rng(1)
    chance = rng.uniform(0, 1, 4000)
    rows = pd.DataFrame(
        {
            "chance": chance,
            "escalated": rng.random(4000) < chance,
            "weight": 1.0,
            "customer": np.arange(4000),
            "case": np.arange(4000),
        }
    )
    good = scores.calibration(rows)
    assert good["n"].sum() == 4000
    assert good["holds"].sum() >= 8
    args = (rows["escalated"].to_numpy(), rows["chance"].to_numpy(), np.ones(4000))
    ece = np.average((good["mean_chance"] - good["share"]).abs(), weights=good["weight"])
    assert scores.ece(*args)(np.ones(4000)) == pytest.approx(ece) and ece < 0.03
    sure = scores.calibration(rows.assign(chance=np.where(chance > 0.5, 0.99, 0.01)))
    assert len(sure) == 2, "equal chances share a bin"
    assert not sure["holds"].any()
    extreme = np.where(chance > 0.5, 0.99, 0.01)
    assert scores.ece(args[0], extreme, args[2])(np.ones(4000)) == pytest.approx(0.24, abs=0.03)


def test_gain_counted_by_hand():
    rows = pd.DataFrame({"chance": [0.9, 0.8, 0.2, 0.1], "escalated": [True, False, True, False], "weight": 1.0})
    rows = rows.assign(customer=[1, 2, 3, 4], case=[1, 2, 3, 4])
    table = scores.gain(rows, steps=4)
    assert table["caught"].tolist() == [0, 0.5, 0.5, 1, 1]
    assert table["precision"].round(3).tolist()[1:] == [1.0, 0.5, 0.667, 0.5]


# ---- models and reasons


def test_a_word_never_seen_in_training_is_read_as_another():
    column = pd.Series(["a"] * 30 + ["b"] * 25 + ["rare"] * 5 + [None] * 40, dtype="str")
    words_, numbers = models.readable(pd.DataFrame({"x.value": column, "y.n": np.arange(100.0), "same.n": 1.0}))
    assert words_["x.value"].tolist() == [models.NO_VALUE, "a", "b"]
    assert numbers == ("y.n",)
    seen = models.coded(pd.DataFrame({"x.value": ["b", "new", "rare", None], "y.n": 0.0}), words_, numbers)
    assert seen[:, 0].tolist() == [2, 3, 3, 0]


def mixed(n, seed, unseen=False):
    """Numbers, some missing, and words, some rare and some, if asked for, never seen in training; and what came of them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(0, 2, (n, 3)), columns=["a.x", "b.x", "b.y"])
    frame["c.value"] = pd.Series(rng.choice(["p", "q", "r", None, "rare"], n, p=[0.4, 0.3, 0.2, 0.09, 0.01]), dtype="str")
    frame["d.value"] = pd.Series(rng.choice([*"uvw", *(["new"] if unseen else [])], n), dtype="str")
    frame.loc[rng.random(n) < 0.2, "b.x"] = np.nan
    raw = 2 * frame["a.x"] - frame["b.x"].fillna(3) + 2 * (frame["c.value"] == "q") - 1
    return frame, (rng.random(n) < 1 / (1 + np.exp(-raw))).to_numpy()


@pytest.mark.parametrize("kind", ["boosting", "logistic"])
def test_chances_are_scikit_learns_and_parts_sum_to_the_log_odds(kind):
    frame, label = mixed(1500, 3)
    weight, is_newer = np.random.default_rng(4).uniform(0.2, 1, 1500), np.arange(1500) > 1100
    args = (frame, label, weight, is_newer, 0) if kind == "boosting" else (frame, label, weight)
    model = getattr(models, kind)(*args)
    fitted = models.fitted_trees(*args)[0] if kind == "boosting" else models.fitted_regression(*args)[0]
    new, _ = mixed(1000, 5, unseen=True)
    theirs = fitted.predict_proba(models.coded(new, model.words, model.numbers))[:, 1]
    assert model.chance(new) == pytest.approx(theirs, abs=1e-9)
    base, parts = model.parts(new)
    assert list(parts) == list(model.features)
    log_odds = np.log(theirs / (1 - theirs))
    assert np.abs(base + parts.to_numpy().sum(axis=1) - log_odds).max() < 1e-6
    values = models.coded(new, model.words, model.numbers)
    again = type(model.scorer).of_arrays(model.scorer.arrays())
    assert np.array_equal(again.margin(values), model.scorer.margin(values))


def test_parts_of_a_linear_model_are_coefficients_times_the_distance_from_the_mean():
    frame, label = mixed(800, 6)
    frame = frame[["a.x", "b.y"]]
    model = models.logistic(frame, label, np.ones(800))
    logs = np.sign(frame) * np.log1p(frame.abs())
    _, parts = model.parts(frame)
    slope = parts["a.x"] / (logs["a.x"] - logs["a.x"].mean())
    assert slope.std() == pytest.approx(0, abs=1e-9)
    assert slope.iloc[0] > 0.5


def test_parts_of_a_single_tree_are_counted_by_hand():
    """Two leaves at log odds -1 and 3 with 30 and 10 training rows: 0 in the mean, so the split adds -1 or 3."""
    trees = scorers.Trees(
        baseline=0.5, roots=np.array([0]), column=np.array([0, -1, -1]), threshold=np.array([2.0, 0, 0]),
        words=np.array([-1, -1, -1]), left=np.array([1, 0, 0]), right=np.array([2, 0, 0]), missing_left=np.zeros(3, dtype=bool),
        value=np.array([0.0, -1.0, 3.0]), is_left=np.empty((0, 1), dtype=np.int8), depth=2,
    )  # fmt: skip
    base, parts = trees.parts(np.array([[2.0], [2.1], [np.nan]]))
    assert base == 0.5
    assert parts.ravel().tolist() == [-1, 3, 3]
    assert trees.margin(np.array([[2.0], [2.1], [np.nan]])).tolist() == [-0.5, 3.5, 3.5]


def test_the_usual_value_is_the_weighted_median_or_the_word_with_most_weight():
    frame = pd.DataFrame({"n.x": [1.0, 2.0, 9.0], "w.x": ["a", "a", None]})
    assert models.typical(frame, np.array([1.0, 1.0, 5.0])) == {"n.x": 9.0, "w.x": models.NO_VALUE}
    assert models.typical(frame, np.array([3.0, 1.0, 1.0])) == {"n.x": 1.0, "w.x": "a"}


def test_reasons_name_the_planted_driver_and_keep_to_the_capacity(planted):
    review = escalation.review_list(planted, capacity=12)
    assert review.n_waiting == planted.counts["waiting"] > 12
    assert len(review.table) == 12
    unusual = review.table[review.table["chance_then"] > 0.5]
    assert unusual["reasons"].str.contains("mood").all()
    assert (review.table["chance"] <= review.table["chance_then"]).all(), "silence never raises a chance here"


def test_a_reason_names_no_person_of_the_data_set(planted):
    usual = {name: "x" if isinstance(value, str) else value for name, value in planted.kept.usual.items()}
    people = gazetteer({"users": pd.DataFrame({"user_id": ["u"], "name": ["Jane Doe"]})})
    features_ = planted.waiting_features.assign(**{"stage.now": "Jane Doe"})
    review = escalation.review_list(
        replace(planted, kept=replace(planted.kept, usual=usual), waiting_features=features_, people=people), capacity=20
    )
    assert not review.table["reasons"].str.contains("Jane").any()


def test_silence_lowers_a_chance_as_bayes_says():
    """Who escalates does so within the hour, half of the others come back later: two silent hours leave hardly any chance."""
    past = pd.DataFrame(
        {
            "stage": "help",
            "chance": 0.5,
            "weight": 1.0,
            "label": [True] * 100 + [False] * 100,
            "gap": [1.0] * 99 + [3.0] + [5.0] * 50 + [np.inf] * 50,
        }
    )
    now = after_silence(np.array([0.5, 0.5]), np.array(["help", "help"]), np.array([0.0, 2.0]), past)
    assert now[0] == pytest.approx(0.5)
    assert now[1] == pytest.approx((1.5 / 101) / (1.5 / 101 + 100.5 / 101))
    assert gaps_until_next(np.array([0, 4, 1]), np.array([0, 0, 1]), np.array([99, 7]), until=9).tolist() == [4, np.inf, 6]


def test_expected_numbers_after_silence_hold_in_a_world_with_known_waits():
    """Calls come after an exponential wait of 2 hours on average, other touches never: the open cases' chances must add up."""
    rng = np.random.default_rng(7)
    n = 20_000
    calls, wait, silent = rng.random(n) < 0.3, rng.exponential(2.0, n), rng.uniform(0, 6, n)
    past = pd.DataFrame({"stage": "help", "chance": 0.3, "weight": 1.0, "label": calls, "gap": np.where(calls, wait, np.inf)})
    still = ~calls | (wait > silent)
    now = after_silence(np.full(still.sum(), 0.3), np.full(still.sum(), "help"), silent[still], past)
    assert now.sum() == pytest.approx(calls[still].sum(), rel=0.05)


# ---- which model


def later_and_later(n, seed, apart):
    """A case a minute with one moment each; what came of it is linear in x, or (`apart`) the product of two signs."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(0, 1, (n, 3)), columns=["a.x", "b.x", "c.x"])
    raw = 2.5 * np.sign(frame["a.x"] * frame["b.x"]) if apart else 1.5 * frame["a.x"]
    came = rng.random(n) < 1 / (1 + np.exp(-(raw - 1)))
    at = np.arange(n) * 60_000_000
    keys = pd.DataFrame({"case": range(n), "customer": np.arange(n, dtype=np.uint64), "at": at, "began": at, "is_open": True})
    return frame, keys.assign(escalated_at=np.where(came, at + 1.0, np.nan))


@pytest.mark.parametrize(("apart", "kind"), [(True, "boosting"), (False, "logistic")])
def test_boosting_is_chosen_only_where_it_clearly_predicts_later_cases_better(apart, kind):
    frame, keys = later_and_later(3000, 1, apart)
    choice = choosing.chosen(frame, keys, np.ones(3000, dtype=bool), 3000 * 60_000_000, None, 0)
    assert choice.model.kind == kind
    assert len(choice.table) == 3
    assert (choice.gain["low"] > 0) == apart
    assert not choice.repaired


def test_boosting_that_may_be_better_by_chance_is_not_chosen(monkeypatch):
    """On 60 later cases boosting saves something in the mean, but its interval holds zero."""
    frame, keys = later_and_later(400, 3, False)
    rng = np.random.default_rng(1)
    guesses, came = rng.normal(0, 0.5, (2, 60)), rng.random(60) < 0.5
    better, worse = sorted(guesses, key=lambda margin: metrics.log_loss(came, 1 / (1 + np.exp(-margin))))
    asked = pd.DataFrame({"logistic": worse, "boosting": better, "label": came, "weight": 1.0})
    asked = asked.assign(case=range(60), customer=np.arange(60, dtype=np.uint64), origin=pd.Timestamp("2026-01-01", tz="UTC"))
    monkeypatch.setattr(choosing, "_asked", lambda *args: asked)
    choice = choosing.chosen(frame, keys, np.ones(400, dtype=bool), 10**15, None, 0)
    assert choice.gain["low"] < 0 < choice.gain["value"]
    assert choice.model.kind == "logistic"


def test_no_origin_sees_what_came_after_it(monkeypatch):
    """Both models are fitted on cases that began before their origin, with what had come of them by then."""
    frame, keys = later_and_later(1000, 2, False)
    keys["escalated_at"] = keys["escalated_at"].where(keys["case"] % 2 == 0, keys["at"] + 500 * 60_000_000)  # much later
    seen = []
    fitted = choosing._fitted
    monkeypatch.setattr(choosing, "_fitted", lambda *args: seen.append(args[3:5]) or fitted(*args))
    choosing.chosen(frame, keys, np.ones(1000, dtype=bool), 10**15, None, 0)
    for rows, until in seen[:-1]:
        assert keys["at"][rows].max() < until < 10**15
    assert seen[-1][1] == 10**15


def test_chances_are_repaired_where_that_clearly_helps_on_the_newest():
    rng = np.random.default_rng(0)
    margin = rng.normal(0, 2, 3000)
    came = rng.random(3000) < 1 / (1 + np.exp(-0.4 * margin))
    asked = pd.DataFrame({"margin": margin, "label": came, "weight": 1.0, "customer": np.arange(3000, dtype=np.uint64)})
    asked["origin"] = np.repeat([1, 2, 3], 1000)
    shift, stretch = choosing._repair(asked, 0)
    assert (shift, stretch) == (pytest.approx(0, abs=0.15), pytest.approx(0.4, abs=0.06))
    assert choosing._repair(asked.assign(margin=0.4 * margin), 0) is None


def test_chances_are_not_stretched_for_newest_cases_of_which_little_is_known_yet():
    """The older origins ask for a stretch; of the newest only fewer outcomes are known, which stretching would seem to mend."""
    rng = np.random.default_rng(0)
    margin, origin = rng.normal(-2.5, 1, 12_000), np.repeat([1, 2, 3], 4000)
    came = rng.random(12_000) < 1 / (1 + np.exp(-np.where(origin < 3, 1.2 * margin, margin)))
    came &= (origin < 3) | (rng.random(12_000) < 0.6)
    asked = pd.DataFrame({"margin": margin, "label": came, "weight": 1.0, "customer": np.arange(12_000, dtype=np.uint64)})
    asked["origin"] = origin
    older, newest = asked[origin < 3], asked[origin == 3]
    shift, stretch = choosing._straightened(older)
    assert stretch > 1.1
    lost = [
        scores.losses(newest["label"], 1 / (1 + np.exp(-m))).mean()
        for m in (newest["margin"], shift + stretch * newest["margin"])
    ]
    assert lost[1] < lost[0]
    assert choosing._repair(asked, 0) is None


# ---- from end to end


@pytest.fixture(scope="module")
def on_demo(demo):
    return escalation.fit(open_dataset(demo))


def test_the_forecast_comes_near_the_best_possible_one(on_demo, demo):
    truth = pd.read_parquet(demo / "truth" / "escalation.parquet").set_index("touchpoint_id")["p_call"]
    rows = on_demo.table
    best_chance = truth.reindex(rows["touchpoint_id"]).to_numpy()
    assert not np.isnan(best_chance).any(), "each scored row is a moment of prediction in the planted truth too"
    best = scores.auc(rows["escalated"].to_numpy(), best_chance)(rows["weight"].to_numpy())
    ours = on_demo.metrics["auc"]["value"]
    print(
        f"AUC {ours:.3f}, best possible {best:.3f}, ratio {ours / best:.3f}, above guessing {(ours - 0.5) / (best - 0.5):.3f}"
    )
    assert ours >= 0.95 * best
    assert on_demo.ece < 0.05


def test_the_table_holds_what_scikit_learn_computes_from_the_rows(on_demo):
    rows = on_demo.table
    args = rows["escalated"].astype(int), rows["chance"]
    for metric, oracle in (
        ("auc", metrics.roc_auc_score),
        ("pr_auc", metrics.average_precision_score),
        ("brier", metrics.brier_score_loss),
        ("log_loss", metrics.log_loss),
    ):
        found = on_demo.metrics[metric]
        assert found["value"] == pytest.approx(oracle(*args, sample_weight=rows["weight"]))
        assert found["low"] <= found["value"] <= found["high"]
        assert (found["n"], found["n_rows"]) == (rows["case"].nunique(), len(rows))
    assert set(on_demo.scores["model"]) == {"boosting", "logistic", "base rate", "last stage", "age"}
    base = on_demo.scores.set_index(["model", "metric"])["value"]["base rate"]
    assert base["auc"] == 0.5
    assert base["pr_auc"] == pytest.approx(np.average(rows["escalated"], weights=rows["weight"]))


def test_the_same_data_and_seed_give_the_same_forecast(planted, planted_data):
    again = escalation.fit(planted_data)
    pd.testing.assert_frame_equal(planted.table, again.table)
    pd.testing.assert_frame_equal(planted.scores, again.scores)


def test_the_review_list_is_ranked_and_its_expectation_adds_up(on_demo):
    review = escalation.review_list(on_demo, capacity=10)
    assert review.table["rank"].tolist() == list(range(1, 11))
    assert review.table["chance"].is_monotonic_decreasing
    assert review.expected == pytest.approx(review.table["chance"].sum())
    assert review.expected <= review.expected_all
    assert 0 <= review.low <= review.expected <= review.high <= 10
    everyone = escalation.review_list(on_demo, capacity=10_000)
    assert len(everyone.table) == everyone.n_waiting == on_demo.counts["waiting"]
    assert everyone.caught == pytest.approx(1)


def test_figures_draw_the_tables_and_sentences_say_them(on_demo):
    review = escalation.review_list(on_demo, capacity=40)
    ax = figures.draw_gain(on_demo, review)
    assert ax.lines[1].get_ydata().tolist() == on_demo.gain["caught"].tolist()
    assert figures.draw_reliability(on_demo).get_xlabel() == "mean chance forecast"
    assert len(figures.draw_auc_by_stage(on_demo).get_yticklabels()) == len(on_demo.by_stage)
    assert len(figures.draw_by_month(on_demo).get_xticklabels()) == len(on_demo.by_month)
    assert f"{on_demo.metrics['auc']['value']:.2f}" in words.say_escalation(on_demo, review)
    assert f"{100 * review.caught:.1f} %" in words.say_gain(on_demo, review)
    assert f"{on_demo.counts['held_out_open']} held-out cases are still open" in words.say_scored(on_demo)
    assert len(words.review_table(review)) == len(review.table)


def test_values_from_data_are_escaped_in_sentences(on_demo):
    review = escalation.review_list(on_demo, capacity=1)
    hostile = review.table.assign(case_id="<script>", stage="[x](javascript:alert(1))", reasons="<img src=x onerror=alert(1)>")
    said = words.say_review(replace(on_demo, escalation="<b>"), replace(review, table=hostile))
    assert not any(mark in said for mark in ("<script>", "<img", "[x](", "<b>"))


def test_too_few_escalations_are_said_in_one_line_and_the_rest_goes_on(opened):
    rows = [(f"c{i}", i, stage, {}) for i in range(60) for stage in (["help", "phone"] if i % 20 == 0 else ["help"])]
    result = escalation.fit(opened({"touchpoints": touches(rows)}))
    assert "so no model is fitted" in result.why_not
    assert np.isnan(result.metrics["auc"]["value"])
    assert result.metrics["auc"]["n"] == result.counts["held_out_cases"]
    review = escalation.review_list(result, capacity=3)
    assert review.table.empty
    said = [
        words.say_scored(result),
        words.say_escalation(result, review),
        words.say_gain(result, review),
        words.say_review(result, review),
    ]
    said += [words.say_models(result), words.say_reliability(result), words.say_by_stage(result), words.say_by_month(result)]
    said += [words.say_by_age(result), words.say_drift(result)]
    assert all(isinstance(sentence, str) and "\n" not in sentence for sentence in said)
    assert words.review_table(review).empty


def _odd_world(what):
    """600 cases that are odd in one way."""
    tables = planted_world()
    calls, touch = tables.pop("_calls").to_numpy(), tables["touchpoints"]
    if what == "one class":
        touch = touch[touch["stage"] != "phone"]
    if what == "30 positives":
        few = set(tables["tickets"]["case_id"][np.flatnonzero(calls)[:: int(calls.sum() / 30)][:30]])
        touch = touch[(touch["stage"] != "phone") | touch["case_id"].isin(few)]
    if what == "unseen categories":
        number = touch["case_id"].str[1:].astype(int)
        touch = touch.assign(application_id=np.where(number >= 480, "new" + number.astype(str), "old"))
    if what == "constant and missing columns":
        touch = touch.assign(wait_s=7.0, article_id=None, sentiment=None)
    if what == "no cases after the split":
        touch = touch.assign(occurred_at=touch["occurred_at"].min() + pd.to_timedelta(np.arange(len(touch)), "s"))
        touch["case_id"] = np.where(touch["stage"] == "phone", "c0", "c0")
    return tables | {"touchpoints": touch}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("one class", "reached phone: at least 20 with"),
        ("30 positives", "no model is fitted"),
        ("unseen categories", ""),
        ("constant and missing columns", ""),
        ("no cases after the split", "no model is fitted"),
    ],
)
def test_odd_data_give_a_forecast_or_the_reason_for_none(opened, what, said):
    tables = _odd_world(what)
    dataset = opened(tables, observed_until=tables["touchpoints"]["occurred_at"].max())
    result = escalation.fit(dataset)
    assert said in result.why_not and bool(said) == bool(result.why_not)
    review = result.top(5)
    for sentence in (
        words.say_escalation(result, review),
        words.say_models(result),
        words.say_drift(result),
        words.say_by_age(result),
    ):
        assert sentence and "nan" not in sentence.lower()


def test_touches_alone_are_enough(opened, planted_tables):
    tables, _ = planted_tables
    alone = {"touchpoints": tables["touchpoints"].drop(columns="ticket_id")}
    assert escalation.fit(opened(alone)).metrics["auc"]["value"] > 0.6


def test_tickets_alone_give_their_channel_as_stage_and_a_log_without_moments_is_said(opened):
    tickets = pd.DataFrame(
        {"ticket_id": ["a", "b"], "opened_at": [hour(0), hour(1)], "channel": ["call", "call"], "user_id": ["u", "v"]}
    )
    result = escalation.fit(opened({"tickets": tickets}))
    assert result.why_not
    assert result.counts["held_out_rows"] == 0


def test_a_split_or_capacity_that_cannot_be_is_refused(opened):
    dataset = opened({"touchpoints": touches([("a", 0, "help", {})])})
    with pytest.raises(DataError, match=r"split=1.0 is not a share of cases to train on"):
        escalation.fit(dataset, split=1.0)
    with pytest.raises(DataError, match=r"target=help is no stage that can be forecast: .*phone"):
        escalation.fit(dataset, target="help")
    with pytest.raises(DataError, match=r"horizon=7 has no unit"):
        escalation.fit(dataset, horizon="7")
    with pytest.raises(DataError, match=r"capacity=0 leaves nothing to review"):
        escalation.review_list(escalation.fit(dataset), capacity=0)


def test_servicenow_incidents_reach_an_auc_of_point_eight(real_data, tmp_path):
    imported = sources.read_servicenow(real_data / "servicenow_incidents.csv.xz")
    store.write_dataset(tmp_path / "sn", imported.settings, imported.tables, imported.set_aside, imported.notes)
    result = escalation.fit(open_dataset(tmp_path / "sn"))
    first = result.metrics["auc_first_row"]["value"]
    print(f"AUC {result.metrics['auc']['value']:.3f}, of the first row {first:.3f}, ECE {result.ece:.3f}, n = {result.counts}")
    assert result.metrics["auc"]["value"] >= 0.83
    assert 0.70 < first < result.metrics["auc"]["value"]
    assert result.ece <= 0.045
    used = {name.split(".")[0] for name in result.features}
    assert not used & {
        "closed_at",
        "close_code",
        "closed_code",
        "resolved_by",
        "resolved_at",
        "reassignment_count",
        "sys_mod_count",
    }


# ---- what a cold reader found


def test_a_kept_forecast_with_a_damaged_byte_loads_or_is_refused(planted, tmp_path):
    path = planted.kept.save(tmp_path / "forecast.npz")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert isinstance(escalation.Forecaster.load(path), escalation.Forecaster)
        except DataError as error:
            assert "fit it again" in str(error)


def test_a_forecast_of_another_form_says_so(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "_FORM", 1)
    path = planted.kept.save(tmp_path / "forecast.npz")
    monkeypatch.undo()
    with pytest.raises(DataError, match="is a forecast of form 1, this version reads"):
        escalation.Forecaster.load(path)


@pytest.mark.parametrize("kind", choosing.KINDS)
def test_older_training_cases_that_all_escalated_can_be_learned_from(kind):
    n = 200
    known = pd.DataFrame({"label": np.arange(n) < 170, "weight": 1.0})
    told = pd.DataFrame({"mood.last": np.random.default_rng(0).normal(size=n)})
    model = choosing.fitted(kind, told, known, np.arange(n), 0)
    assert np.isfinite(model.chance(told)).all()


def _busy_world(opened, n_applications, n=400):
    """Cases at as many applications, each with a ticket that has a category, and a log of changes."""
    tables = planted_world(n)
    tables.pop("_calls")
    touch, tickets = tables["touchpoints"], tables["tickets"]
    of = touch["case_id"].str[1:].astype(int) % n_applications
    tables["touchpoints"] = touch.assign(application_id=[f"a{i}" for i in of])
    tables["tickets"] = tickets.assign(category=[("x", "y")[i % 2] for i in range(n)])
    tables["ticket_events"] = changes([(f"k{i}", 1.5 * i, "priority", None, "1") for i in range(n)])
    return opened(tables, name=f"busy{n_applications}", observed_until=hour(1.5 * n))


def test_a_kept_forecast_reads_later_data_in_which_columns_are_empty_or_words_are_few(opened):
    learned = escalation.fit(_busy_world(opened, 25)).kept
    assert "application.past" in learned.model.features
    assert not escalation.again(learned, _busy_world(opened, 18)).why_not
    reads = replace(
        learned, model=replace(learned.model, words={**learned.model.words, "category.value": pd.Index(["x"])})
    )  # as if it read the category, and how often it changed
    reads = replace(reads, model=replace(reads.model, numbers=(*reads.model.numbers, "category.n_changes")))
    world = _busy_world(opened, 25)
    empty = dict(world.tables) | {"tickets": world.tables["tickets"].assign(category=pd.Series(pd.NA, dtype="str"))}
    log = eventlog.compile(world)
    found = features.moments(log, SimpleNamespace(tables=empty)).features
    assert "category.value" not in found
    full = later._completed(found, reads.model, SimpleNamespace(tables=empty))
    assert full["category.value"].isna().all() and full["category.n_changes"].isna().all()
    assert full["category.value"].dtype == "str" and full["category.n_changes"].dtype == float
    assert np.isfinite(learned.model.chance(full)).all()
    absent = empty | {"tickets": empty["tickets"].drop(columns="category")}
    with pytest.raises(DataError, match=r"reads: category\.value\. Fit it again .* or add the column category of tickets"):
        later._completed(found, reads.model, SimpleNamespace(tables=absent))


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("\n=1+1", "'\n'=1+1"),
        ("  =1+1", "'  =1+1"),
        ("mood: x; =cmd|' /C calc'!A0; @y", "mood: x;' =cmd|' /C calc'!A0;' @y"),
        ("stage: agent (usual: help); mood: -0.4", "stage: agent (usual: help); mood: -0.4"),
    ],
)
def test_no_part_of_a_cell_begins_a_formula(cell, safe):
    assert command.spreadsheet_cell(cell) == safe


def test_cx_score_checks_what_it_was_asked_before_it_fits(planted_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "fit", lambda *_, **__: pytest.fail("fitted"))
    model, out = tmp_path / "m.npz", tmp_path / "list.csv"
    notes = tmp_path / "notes.md"
    notes.write_text("# My notes\n", encoding="utf-8")
    for more, says in [
        ({"capacity": 0}, "--capacity 0 leaves nothing to review"),
        ({"out": model}, "give the list a name of its own"),
        ({"out": tmp_path / "x" / ".." / "m.md"}, "give the list a name of its own"),
        ({"model": tmp_path / "notes.npz"}, "holds something else"),
    ]:
        asked = {"data": planted_data.path, "model": model, "out": out, "capacity": 5} | more
        assert main(["score", "--fit", *(f"--{name}={value}" for name, value in asked.items())]) == 2
        assert says in capsys.readouterr().err
    assert notes.read_text(encoding="utf-8") == "# My notes\n"


def test_a_seed_below_zero_is_refused(planted_data):
    with pytest.raises(DataError, match="seed=-1 cannot start"):
        escalation.fit(planted_data, seed=-1)


def test_a_horizon_longer_than_half_of_the_held_out_period_is_not_judged(planted_data):
    result = escalation.fit(planted_data, horizon="5d")  # of the 38 days seven and a half are held out
    unknown, known_ = result.counts["held_out_unknown"], result.counts["held_out_rows"]
    assert result.kept is None and unknown > 0
    assert f"longer than half of the held-out period: {unknown} of {unknown + known_} held-out moments" in result.why_not
    table = escalation.by_horizon(planted_data, horizons=("5d",)).set_index("horizon")
    assert table.loc["5d", "unknown"] == unknown and labels.TOO_LONG in table.loc["5d", "why"]


def test_the_calibration_error_has_no_interval_and_what_right_chances_would_show_beside_it(planted):
    rows = planted.scores[planted.scores["metric"] == "ece"]
    assert rows["value"].notna().all() and rows[["low", "high"]].isna().all(axis=None)
    assert planted.scores[planted.scores["metric"] == "auc"][["low", "high"]].notna().all(axis=None)
    card = planted.card()
    assert f"expected calibration error ({planted.ece_if_perfect:.3f} if the chances" in card and f"{planted.ece:.3f}" in card
    said = [card, words.say_reliability(planted), words.say_models(planted), more_words.rounded(planted.scores).to_html()]
    assert not any("nan" in text for text in said[:3]) and "nan-nan" not in said[3]


def test_what_a_small_capacity_catches_is_counted_at_it_not_between_two_steps(planted):
    """The 25 highest of 5000 escalate: reviewing ten catches ten of them, and nobody else."""
    n = 5000
    rows = pd.DataFrame({"chance": np.linspace(1, 0, n), "escalated": np.arange(n) < 25, "weight": 1.0, "case": range(n)})
    rows["customer"] = np.arange(n, dtype=np.uint64)
    waiting = pd.concat([planted.waiting] * (n // len(planted.waiting) + 1), ignore_index=True).head(n)
    world = replace(planted, table=rows, gain=scores.gain(rows), waiting=waiting, overall=scores.observed(rows))
    found = review_module._caught(world, 10)
    assert found["caught"] == pytest.approx(10 / 25) and found["precision"] == pytest.approx(1)
    assert found["caught_low"] < 10 / 25 < found["caught_high"]
    at_step = review_module._caught(world, n // 50)
    assert at_step["caught"] == world.gain["caught"].iloc[1] == 1


def test_drift_of_two_words_counted_by_hand():
    """Ten of twenty against fifteen of twenty, half a case added to each: the shares are 1/2 and 15.5/21."""
    then, now = judging.Look(None, {"a": 10.0, "b": 10.0}), judging.Look(None, {"a": 15.0, "b": 5.0})
    q = 15.5 / 21
    index = (q - 0.5) * np.log(q / 0.5) + (0.5 - q) * np.log((1 - q) / 0.5)
    psi, p = then.moved(now)
    assert psi == pytest.approx(index - (1 / 20 + 1 / 20))
    assert p == pytest.approx(stats.chi2.sf(index / 0.1, 1))
    few = replace(now, n=8.0)
    assert then.moved(few)[0] == pytest.approx(index - (1 / 20 + 1 / 8)), "the cases count, not what their weights sum to"


@pytest.mark.parametrize(("n", "m"), [(500, 50), (2000, 100)])
def test_where_nothing_drifts_few_worlds_say_that_something_did(n, m):
    """Of 250 worlds with 16 features each; and a shift by a standard deviation is found."""
    rng, verdicts, found = np.random.default_rng(7), [], []
    for world in range(250):
        then, now = _features_of_a_world(rng, n), _features_of_a_world(rng, m)
        looks = {name: judging.Look.of(then[name], np.ones(n), float(n)) for name in then}
        table = judging.drift(looks, now, np.ones(m), np.arange(m))
        assert (table["n"] == m).all()
        verdicts.append(set(table["verdict"]))
        if world % 10 == 0:
            shifted = now.assign(**{"number0.v": now["number0.v"] + 1.0})
            table = judging.drift(looks, shifted, np.ones(m), np.arange(m)).set_index("feature")
            found.append(table.loc["number0.v", "verdict"] == "moved")
    assert np.mean(["moved" in said for said in verdicts]) <= 0.05
    assert np.mean([said != {"steady"} for said in verdicts]) <= 0.1
    assert np.mean(found) >= 0.9


def _features_of_a_world(rng, n):
    numbers = {f"number{i}.v": rng.normal(size=n) for i in range(8)} | {
        f"count{i}.v": rng.poisson(2.0, n) * 1.0 for i in range(4)
    }
    words = {f"word{k}.v": np.char.add("w", np.minimum(rng.geometric(2 / k, n), k).astype(str)) for k in (3, 10, 40, 100)}
    return pd.DataFrame(numbers | words)


def test_health_allows_for_the_error_of_the_auc_of_then(planted):
    """A fall of .06 from an AUC that is known to .1 is none; one of .2 is, and so it is from an exact one."""
    result = replace(planted, kept=replace(planted.kept, auc=0.8, auc_low=0.7, auc_high=0.9, until=0))

    def verdict(auc, spread, **told):
        metrics = {**planted.metrics, "auc": {"value": auc, "low": auc - spread, "high": auc + spread, "n": 100}}
        changed = replace(result, metrics=metrics, kept=replace(result.kept, **told))
        return later.health(changed).set_index("what").loc["AUC", "verdict"]

    assert verdict(0.74, 0.04) == "steady"
    assert verdict(0.6, 0.04) == "moved"
    assert verdict(0.74, 0.04, auc_low=np.nan, auc_high=np.nan) == "moved"
    assert verdict(0.6, 0.04, until=planted.kept.until) == "same cases"


def test_health_in_words_names_what_is_to_be_watched_and_that_nothing_began_since(planted):
    calm = replace(planted, drift=planted.drift.assign(verdict="steady"))
    assert "nothing has clearly moved" in decision_words.say_health(calm)
    verdict = np.where(planted.drift.index == 0, "watch", "steady")
    said = decision_words.say_health(replace(planted, drift=planted.drift.assign(verdict=verdict)))
    assert "nothing has clearly moved" not in said and "To be watched: cases of the customer in 28 days" in said
    assert "No case began since it was fitted" in said


def test_a_forecast_that_was_kept_without_the_interval_of_its_auc_still_loads(planted, tmp_path):
    path = planted.kept.save(tmp_path / "forecast.npz")
    with np.load(path) as file:
        held = dict(file)
    about = json.loads(held["about"].tobytes())
    about = {name: value for name, value in about.items() if name not in kept._SINCE_3} | {"form": 2}
    about["looks"] = {name: {"edges": look["edges"], "weight": look["weight"]} for name, look in about["looks"].items()}
    np.savez(path, **held | {"about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)})
    old = escalation.Forecaster.load(path)
    assert np.isnan(old.auc_low) and old.until == 0
    again = escalation.Forecaster.load(planted.kept.save(path))
    assert (again.auc_low, again.until) == (planted.kept.auc_low, planted.kept.until)
    assert again.looks == planted.kept.looks
