"""Stories: who is picked, what is told of them, and that nobody can be recognised."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert.filters import markdown2html

from cxlib import eventlog, journey, stories
from cxlib.eventlog import from_paths
from cxlib.store import open_dataset, write_dataset
from cxlib.words import say_story

BAD = "<img src=x onerror=alert(1)> [x](javascript:alert(1))"


@pytest.fixture
def told(tmp_path):
    """One case over two days in Berlin with two tickets, told by Jane Doe; the second touch repeats the first ticket."""
    touches = pd.DataFrame(
        [
            ("1", "2026-03-01T22:30:00Z", "help", "search", "", "", ""),
            ("2", "2026-03-01T22:50:00Z", "agent", "chat with Jane Doe", "T1", "90", "-0.25"),
            ("3", "2026-03-01T23:10:00Z", "agent", BAD, "T1", "", ""),
            ("4", "2026-03-03T07:05:00Z", "phone", "call", "T2", "7200", "-1"),
        ],
        columns=["touchpoint_id", "occurred_at", "stage", "action", "ticket_id", "wait_s", "sentiment"],
    ).assign(user_id="u1", case_id="c1")
    tickets = pd.DataFrame(
        [("T1", "My card 4111 1111 1111 1111 fails, jane doe"), ("T2", BAD)], columns=["ticket_id", "short_description"]
    )
    users = pd.DataFrame({"user_id": ["u1"], "name": ["Jane Doe"]})
    toml = {"name": "shop", "timezone": "Europe/Berlin", "observed_until": "2026-04-01T00:00:00Z"}
    write_dataset(tmp_path / "data", toml, {"touchpoints": touches, "tickets": tickets, "users": users})
    dataset = open_dataset(tmp_path / "data")
    return stories.of_cases(dataset, eventlog.compile(dataset), ["c1"])


def test_times_are_local_and_days_count_from_the_first_touch(told):
    assert told.table["when"].tolist() == ["day 1, 23:30", "day 1, 23:50", "day 2, 00:10", "day 3, 08:05"]


def test_a_ticket_speaks_once_at_its_first_touch_and_is_redacted(told):
    assert told.table["said"].isna().tolist() == [True, False, True, False]
    assert told.table["said"][1] == "My card [card] fails, [name]"
    assert told.table["action"][1] == "chat with [name]"


def test_wait_and_mood_are_told_where_they_are_known(told):
    assert told.table["wait_s"].fillna(-1).tolist() == [-1, 90, -1, 7200]
    assert told.table["mood"].fillna(9).tolist() == [9, -0.25, 9, -1]
    said = say_story(told)
    assert "waited 2 minutes" in said and "waited 2 hours" in said and "mood -0.25" in said


def test_no_id_of_a_user_or_case_is_told(told):
    words = set(re.findall(r"\w+", say_story(told)))
    assert not {"u1", "c1", "T1", "Jane", "Doe", "4111"} & words
    assert told.cases["case"].tolist() == ["A"]


class Shown(HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.text, self.tags = "", set()
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def test_a_hostile_text_is_shown_as_text(told):
    shown = Shown(markdown2html(say_story(told)))
    assert shown.text.count(BAD) == 2
    assert shown.tags <= {"p", "strong", "ul", "li"}


def test_typical_cases_are_near_the_middle_and_the_odd_one_is_far():
    log = from_paths(
        **{f"c{i}": "help chatbot agent" for i in range(9)}, far="help " * 9 + "phone", near="help chatbot agent phone"
    )
    picked = stories.of_cases(None, log, log.case_id, n=3)
    assert picked.cases["touches"].tolist() == [3, 3, 3, 10]
    assert picked.cases["is_typical"].tolist() == [True, True, True, False]
    assert picked.cases["furthest"].tolist() == ["agent", "agent", "agent", "phone"]
    assert picked.n_cases == 11


def test_of_one_customer_one_typical_case_is_told():
    log = from_paths(a__1="help phone", a__2="help phone", a__3="help phone", b="help help phone")
    picked = stories.of_cases(None, log, log.case_id, n=2)
    assert picked.cases["touches"].tolist()[:2] == [2, 3]


def test_the_seed_decides_between_equals_and_the_same_seed_picks_the_same():
    rows = [(f"{i}", f"u{i}", f"c{i}", pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(hours=i), "help") for i in range(50)]
    log = eventlog.compile(pd.DataFrame(rows, columns=["touchpoint_id", "user_id", "case_id", "occurred_at", "stage"]))
    times = [tuple(stories.of_cases(None, log, log.case_id, seed=seed).table["when"]) for seed in (0, 0, 1, 2)]
    assert times[0] == times[1] and len(set(times)) == 3


def test_the_order_of_the_ids_changes_nothing():
    log = from_paths(**{f"c{i}": "help " * (1 + i % 4) for i in range(12)})
    one, other = (stories.of_cases(None, log, ids) for ids in (log.case_id, log.case_id[::-1]))
    pd.testing.assert_frame_equal(one.table, other.table)


def test_a_long_case_is_cut_in_the_middle_and_says_so():
    picked = stories.of_cases(None, from_paths(a="help " * 40), ["a"])
    assert len(picked.table) == stories.LONGEST
    assert picked.table["touch"].tolist()[-5:] == [12, 37, 38, 39, 40]
    assert "24 touches not shown" in say_story(picked)


def test_an_empty_group_and_unknown_ids_tell_nothing():
    picked = stories.of_cases(None, from_paths(a="help"), ["b"])
    assert picked.table.empty and picked.n_cases == 0
    assert say_story(picked) == "There is no case to tell of."


def test_a_log_of_tickets_alone_can_be_told(tmp_path):
    tickets = pd.DataFrame(
        {"ticket_id": ["1"], "opened_at": ["2026-01-01T00:00:00Z"], "channel": ["phone"], "description": ["It broke"]}
    )
    write_dataset(tmp_path / "data", {"name": "x"}, {"tickets": tickets})
    dataset = open_dataset(tmp_path / "data")
    log = eventlog.compile(dataset)
    assert stories.of_cases(dataset, log, log.case_id).table[["stage", "said"]].to_numpy().tolist() == [["phone", "It broke"]]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["help", "agent", "phone"]), min_size=1, max_size=4), min_size=1, max_size=8),
    st.integers(0, 4),
)
def test_every_story_is_a_case_of_the_group_told_in_order(paths, n):
    log = from_paths(**{f"c{i}": " ".join(path) for i, path in enumerate(paths)})
    picked = stories.of_cases(None, log, log.case_id, n=n)
    assert len(picked.cases) == min(len(paths), n) + (len(paths) > n)
    told = [tuple(rows["stage"]) for _, rows in picked.table.groupby("case")]
    assert all(list(path) in paths for path in told)
    assert picked.table["touch"].groupby(picked.table["case"]).is_monotonic_increasing.all() or not told


def test_the_demo_tells_whom_it_happened_to_without_naming_anybody(demo):
    dataset = open_dataset(demo)
    log = eventlog.compile(dataset)
    forced = journey.forced_to_call(log).cases_at(journey.FORCED)
    picked = stories.of_cases(dataset, log, forced["case_id"])
    assert (picked.cases["furthest"] == "phone").all()
    said = say_story(picked)
    people = pd.concat([dataset.tables["users"], dataset.tables["agents"]])
    assert not any(name in said for name in people["name"].dropna())
    assert not any(id_ in said for id_ in np.concatenate([dataset.tables["users"]["user_id"], log.case_id]).tolist())
