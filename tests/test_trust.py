"""The state of the data: counted by hand in small data sets, and said as it is."""

import html

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib import eventlog, figures, stats, trust, words
from cxlib.store import open_dataset, write_dataset
from cxlib.words.data import print_accounting

PLAIN = {
    "name": "shop",
    "timezone": "Europe/Berlin",
    "observed_from": "2026-01-05T00:00:00Z",
    "observed_until": "2026-02-02T00:00:00Z",
}


def made(folder, tables, **settings_):
    out = folder / f"dataset-{len(list(folder.iterdir()))}"
    write_dataset(out, PLAIN | settings_, {name: pd.DataFrame(rows) for name, rows in tables.items()})
    return open_dataset(out)


def touch(number, at, stage="help", **more):
    return {"touchpoint_id": f"t{number}", "occurred_at": at, "stage": stage, "user_id": "", "visitor_id": "", **more}


@pytest.fixture
def small(tmp_path):
    """Seven touches: two broken, two of a known user, one linked, one of a shared visitor, one of nobody."""
    touches = [
        touch(1, "2026-01-06T10:00:00Z", user_id="u1", case_id="c1"),
        touch(2, "2026-01-06T10:00:00Z", "phone", user_id="u1", case_id="c1"),
        touch(3, "2026-01-07T10:00:00Z", visitor_id="v1"),
        touch(4, "2026-01-08T10:00:00Z", "chatbot", visitor_id="v2"),
        touch(5, "2026-01-09T10:00:00Z", "chatbot"),
        touch(6, "yesterday", user_id="u1"),
        touch(7, "2026-01-09T10:00:00Z", "fax jane@example.com"),
    ]
    links = [
        {"visitor_id": "v1", "user_id": "u1"},
        {"visitor_id": "v2", "user_id": "u1"},
        {"visitor_id": "v2", "user_id": "u2"},
        {"visitor_id": "v3", "user_id": "u3"},
    ]
    return made(tmp_path, {"touchpoints": touches, "identities": links})


def test_rows_in_are_rows_kept_set_aside_and_left_out(small):
    read = trust.rows(small)
    row = read.table.set_index("table").loc["touchpoints"]
    assert row[["rows_in", "kept", "set_aside", "left_out"]].tolist() == [7, 5, 2, 0]
    assert row["share"] == pytest.approx(5 / 7)
    assert (read.table["rows_in"] == read.table[["kept", "set_aside", "left_out"]].sum(axis=1)).all()


def test_each_reason_names_its_first_row_and_what_to_do_and_shows_no_address(small):
    reasons = trust.rows(small).reasons.set_index("column")
    assert reasons.loc["occurred_at", "first_row"] == 6
    assert reasons.loc["stage", "first_row"] == 7
    assert reasons.loc["stage", "first_value"] == "fax [e-mail]"
    assert "--map-value stage" in reasons.loc["stage", "advice"]
    assert reasons["rows"].tolist() == [1, 1]


def test_a_missing_table_is_named_with_the_question_it_feeds(small):
    missing = trust.rows(small).missing.set_index("table")["feeds"]
    assert "touchpoints" not in missing and "identities" not in missing
    assert missing["surveys"] == "what they feel"
    assert set(trust.FEEDS) == set(trust.TABLES)


def test_links_count_each_touch_once_by_its_best_tie(small):
    tied = trust.links(small)
    table = tied.table.set_index("stage")
    assert table.loc["help", ["user", "linked", "visitor", "nobody", "n"]].tolist() == [1, 1, 0, 0, 2]
    assert table.loc["chatbot", ["user", "linked", "visitor", "nobody", "n"]].tolist() == [0, 0, 1, 1, 2]
    assert table.loc["phone", "share"] == 0 and table.loc["chatbot", "share"] == 1
    assert tied.shared_touches == 1
    assert tied.table["stage"].tolist() == ["help", "chatbot", "phone"]
    assert tied.visitors.set_index("users")["visitors"].to_dict() == {"one": 1, "several": 1, "none": 0}  # v3 was never seen


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["u1", "u2", ""]), st.sampled_from(["v1", "v2", "v3", ""])), min_size=1, max_size=12))
def test_ties_of_touches_add_up_to_all_touches(tmp_path_factory, ids):
    rows = [touch(i, "2026-01-06T10:00:00Z", user_id=user, visitor_id=visitor) for i, (user, visitor) in enumerate(ids)]
    links = [
        {"visitor_id": "v1", "user_id": "u1"},
        {"visitor_id": "v2", "user_id": "u1"},
        {"visitor_id": "v2", "user_id": "u2"},
    ]
    tied = trust.links(made(tmp_path_factory.mktemp("links"), {"touchpoints": rows, "identities": links}))
    assert tied.table[["user", "linked", "visitor", "nobody"]].sum(axis=1).tolist() == tied.table["n"].tolist()
    assert tied.table["linked"].sum() == sum(not user and visitor == "v1" for user, visitor in ids)


def test_a_log_made_of_tickets_counts_tickets(tmp_path):
    rows = [
        {"ticket_id": str(i), "opened_at": "2026-01-06T10:00:00Z", "channel": "phone", "user_id": user}
        for i, user in enumerate(["a", ""])
    ]
    dataset = made(tmp_path, {"tickets": rows})
    assert trust.links(dataset).table[["stage", "user", "nobody", "n"]].iloc[0].tolist() == ["ticket", 1, 1, 2]
    assert words.say_trust(trust.examine(dataset, eventlog.compile(dataset))).startswith("**2 of 2 rows can be used")


@pytest.fixture
def weekly(tmp_path):
    """Four whole weeks in Berlin from 5 January 2026: 30, 30, 10 and 30 touches; 23:30 UTC on Sunday is Monday there."""
    sizes = {"2026-01-06": 29, "2026-01-13": 30, "2026-01-20": 10, "2026-01-27": 30}
    days = [day for day, size in sizes.items() for _ in range(size)]
    rows = [
        touch(i, f"{day}T12:00:{i % 60:02d}Z", user_id=f"u{i % 7}", sentiment="" if i % 4 else "0.5")
        for i, day in enumerate(days)
    ]
    rows.append(touch(999, "2026-01-11T23:30:00Z", user_id="u1"))
    return made(tmp_path, {"touchpoints": rows}, observed_from="2026-01-04T23:00:00Z", observed_until="2026-02-01T23:00:00Z")


def test_a_week_with_less_than_half_of_the_median_is_thin(weekly):
    weeks = trust.completeness(weekly).weeks
    assert weeks["rows"].tolist() == [29, 31, 10, 30]
    assert weeks["week"].dt.strftime("%d").tolist() == ["05", "12", "19", "26"]
    assert weeks["median"].iloc[0] == 29.5
    assert weeks["is_whole"].all()
    assert weeks["is_thin"].tolist() == [False, False, True, False]


def test_a_week_without_any_row_is_thin_unless_the_table_has_stopped(tmp_path):
    days = ["2026-01-06"] * 30 + ["2026-01-20"] * 30
    rows = [touch(i, f"{day}T12:00:{i % 60:02d}Z", user_id="u1") for i, day in enumerate(days)]
    weeks = trust.completeness(made(tmp_path, {"touchpoints": rows}, observed_from="2026-01-04T23:00:00Z")).weeks
    assert weeks["rows"].tolist() == [30, 0, 30, 0, 0]
    assert weeks["is_thin"].tolist() == [False, True, False, False, False]


def test_empty_values_are_counted_by_column(weekly):
    table = trust.completeness(weekly).table.set_index("column")
    assert table.loc["sentiment", ["empty", "n"]].tolist() == [75, 100]
    assert table.loc["sentiment", "share"] == 0.75
    assert "action" not in table.index  # a column that the table does not have is no gap in it


def test_the_share_of_open_cases_has_its_interval_by_customer(weekly):
    log = eventlog.compile(weekly)
    fresh = trust.freshness(weekly, log)
    by_hand = [(log.case_open[a:b].sum(), b - a) for a, b in zip(log.customer_start, log.customer_start[1:], strict=False)]
    share, low, high = stats.ratio_interval(*np.array(by_hand).T)
    assert (fresh.share, fresh.low, fresh.high) == (share, low, high)
    assert fresh.open_cases == 7 and fresh.n_customers == 7  # each has one case that went on until 27 January
    assert fresh.table.loc[0, "days_before_end"] == pytest.approx(5.46, abs=0.01)


def test_ties_are_counted_by_the_rule_that_decided(small):
    table = trust.order(eventlog.compile(small)).table.set_index("rule")
    assert table["decided"].to_dict() == {"seq": 0, "stage": 1, "action": 0, "touchpoint_id": 0}
    assert table["n"].unique().tolist() == [1]


def test_the_largest_customer_comes_first_and_a_name_in_an_id_is_redacted(tmp_path):
    rows = [touch(i, f"2026-01-06T10:00:{i:02d}Z", user_id="jane@example.com" if i else "b") for i in range(5)]
    dataset = made(tmp_path, {"touchpoints": rows})
    most = trust.largest(dataset, eventlog.compile(dataset))
    assert most.table[["customer", "touches", "n"]].iloc[0].tolist() == ["[e-mail]", 4, 5]
    assert most.n_huge == 0


def test_what_is_odd_is_found_and_a_sound_data_set_has_nothing_odd(small, weekly, tmp_path):
    odd = trust.examine(small, eventlog.compile(small)).odd
    assert odd.loc[odd["kind"] == "set aside", ["where", "count", "n"]].to_numpy().tolist() == [["touchpoints", 2, 7]]
    assert odd.loc[odd["kind"] == "no customer", ["where", "count", "n"]].to_numpy().tolist() == [["chatbot", 2, 2]]
    kinds = set(trust.examine(weekly, eventlog.compile(weekly)).odd["kind"])
    assert {"thin weeks", "mostly empty", "open cases"} <= kinds
    rows = [touch(i, f"2026-01-{5 + i % 25:02d}T10:00:00Z", user_id=f"u{i}") for i in range(50)]
    rows.append(touch(99, "2026-02-01T23:00:00Z", user_id="u1"))
    sound = made(tmp_path, {"touchpoints": rows}, cases={"gap": "1d"})
    found = trust.examine(sound, eventlog.compile(sound))
    assert found.odd.empty, found.odd
    assert "Nothing odd was found." in words.say_trust(found)


def test_metrics_name_every_table_and_add_up(small):
    table = trust.examine(small, eventlog.compile(small)).metrics
    assert list(table.columns) == ["metric", "segment", "value", "low", "high", "n"]
    assert not table.duplicated(["metric", "segment"]).any()
    value = table.set_index(["metric", "segment"])["value"]
    parts = [value[name, "touchpoints"] for name in ("rows_kept", "rows_set_aside", "rows_left_out")]
    assert value["rows_in", "touchpoints"] == 7 == sum(parts)
    opened = table.set_index("metric").loc["open_cases"]
    assert opened["low"] <= opened["value"] <= opened["high"]


def test_sentences_hold_the_counted_numbers(small, weekly):
    found = trust.examine(small, eventlog.compile(small))
    assert words.say_rows(found.rows).startswith("**9 of 11 rows can be used (81.8 %).** 2 rows were set aside")
    assert "1 row of touchpoints" in words.say_reasons(found.rows)
    assert words.say_links(found.links).startswith(
        "60.0 % of 5 touches have a customer: 40.0 % by their own user id, 20.0 % by"
    )
    assert words.say_order(found.order).startswith("1 of 1 step within cases (100 %) join touches of equal time; 0 of these")
    thin = words.say_weeks(trust.completeness(weekly))
    assert thin.startswith(
        "1 week with less than half of the usual rows (4 whole weeks of 1 table compared); the first is the "
    )
    assert "week of 19 January 2026 in touchpoints, with 10 rows" in thin
    assert "sentiment: 75.0 % of 100 rows" in html.unescape(words.say_empty(trust.completeness(weekly)))


def test_values_from_data_are_escaped_in_sentences(tmp_path):
    bad = "<img src=x onerror=alert(1)>[x](javascript:alert(1))"
    rows = [touch(1, "2026-01-06T10:00:00Z", user_id=bad), touch(2, "2026-01-06T10:00:00Z", bad, user_id=bad)]
    dataset = made(tmp_path, {"touchpoints": rows}, name=bad)
    found = trust.examine(dataset, eventlog.compile(dataset))
    said = [
        words.say_trust(found), words.say_reasons(found.rows), words.say_missing(found.rows), words.say_largest(found.largest),
        words.say_links(found.links), words.say_weeks(found.completeness), words.say_empty(found.completeness),
    ]  # fmt: skip
    assert bad in html.unescape(words.say_reasons(found.rows)) and bad in html.unescape(words.say_largest(found.largest))
    assert not any(mark in text for text in said for mark in ("<", "](", "](j"))


def test_the_check_of_the_command_line_prints_the_first_bad_row_and_what_to_do(small, capsys):
    assert print_accounting(small) == 0
    printed = capsys.readouterr().out
    assert "touchpoints              7           5           2           0" in printed
    assert "touchpoints.occurred_at: 1 row broken" in printed
    assert "first in row 6: yesterday" in printed
    assert "tickets (what they ask and who will call)" in printed


@pytest.mark.parametrize("which", ["small", "weekly"])
def test_figures_draw_what_the_tables_hold(which, request):
    dataset = request.getfixturevalue(which)
    found = trust.examine(dataset, eventlog.compile(dataset))
    drawn = [
        figures.draw_rows(found.rows), figures.draw_weeks(found.completeness), figures.draw_empty(found.completeness),
        figures.draw_links(found.links), figures.draw_freshness(found.freshness),
    ]  # fmt: skip
    labels = [text.get_text() for text in drawn[0].texts]
    assert labels[-1].startswith(f"{found.rows.table['kept'].iloc[0]:,} kept")
    assert sum(bar.get_width() for bar in drawn[3].patches) == pytest.approx(len(found.links.table))
    plt.close("all")


def test_the_demo_can_be_read(demo):
    dataset = open_dataset(demo)
    found = trust.examine(dataset, eventlog.compile(dataset))
    planted = pd.read_parquet(demo / "touchpoints.parquet", columns=["user_id", "visitor_id"])
    assert found.links.table["user"].sum() == planted["user_id"].notna().sum()
    assert found.links.table["nobody"].sum() == (planted["user_id"].isna() & planted["visitor_id"].isna()).sum()
    assert found.completeness.weeks.groupby("table")["rows"].sum()["touchpoints"] == len(planted)
