"""Exports in, our tables out."""

import argparse
import bz2
import csv
import datetime as dt
import gzip
import json
import lzma
from collections import defaultdict
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib import sources, store
from cxlib.schema import TABLES, DataError
from cxlib.sources import convert, read, servicenow, table

FIXTURES = Path(__file__).parent / "fixtures"
INCIDENTS, BOSTON = FIXTURES / "servicenow_incidents.csv", FIXTURES / "boston311.csv"
quick = settings(deadline=None, max_examples=40)  # the machine may be busy
MAPPING = FIXTURES.parent.parent / "data" / "mappings" / "boston311.toml"


def cx(*words):
    """`cx import ...`, without the rest of `cx`."""
    parser = argparse.ArgumentParser()
    sources.add_import(parser.add_subparsers(dest="command"))
    return sources.run_import(parser.parse_args(["import", *map(str, words)]), store)


def rows_of(path, **how):
    """All rows of a file by number, missing as None, and the broken ones."""
    rows, broken = {}, []
    for chunk in read.chunks(path, **how):
        plain = chunk.frame.astype(object)
        rows |= plain.where(plain.notna(), None).to_dict("index")
        broken += chunk.broken
    return rows, broken


@pytest.fixture
def file(tmp_path):
    """Write a file of this name and content."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# ---- reading


def test_texts_are_kept_as_they_stand_and_the_empty_text_is_missing(file):
    rows, _ = rows_of(file("a.csv", 'id,country,note\n00123,NA,"two\nlines, ""quoted"""\n1.10,null,\n'))
    assert rows == {
        1: {"id": "00123", "country": "NA", "note": 'two\nlines, "quoted"'},
        2: {"id": "1.10", "country": "null", "note": None},
    }


def test_a_row_with_too_many_or_too_few_fields_is_set_aside_with_its_number_and_text(file):
    rows, broken = rows_of(file("a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3\r\n4,5,6\r\n7,8\r\n"))
    assert rows == {1: {"a": "1", "b": "2"}, 4: {"a": "7", "b": "8"}}  # the blank line is no row, the byte order mark no letter
    assert broken == [(2, "1 fields where the header has 2", "3\r\n"), (3, "3 fields where the header has 2", "4,5,6\r\n")]


def test_quotes_that_do_not_match_cost_their_rows_only_and_are_shown(file):
    rows, broken = rows_of(file("a.csv", 'a,b\n"x"y,1\n2,3\n4,"never closed\n5,6\n'))
    assert list(rows) == [2]
    assert [b.row for b in broken] == [1, 3]
    assert "over 2 line(s)" in broken[1].reason
    assert broken[1].text == '4,"never closed\n5,6\n'


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@quick
@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(texts, min_size=n, max_size=n), max_size=6)), st.sampled_from(",;\t|")
)
def test_whatever_a_csv_writer_writes_comes_back_letter_by_letter(tmp_path_factory, rows, delimiter):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    names = [f"c{n}" for n in range(len(rows[0]) if rows else 1)]
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter=delimiter).writerows([names, *rows])
    got, broken = rows_of(path, delimiter=delimiter, size=2)
    assert not broken
    assert [list(row.values()) for row in got.values()] == [[text or None for text in row] for row in rows]
    assert list(got) == list(range(1, len(rows) + 1))


def _zstd(content):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packed:
        packed.write(content)
    return out.getvalue().to_pybytes()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, _zstd], ids=["gz", "bz2", "xz", "zst"])
def test_a_packed_file_reads_like_the_plain_one_and_a_cut_one_says_so(file, pack):
    packed = pack(b"a,b\n" + b"1,2\n" * 30_000)
    assert sum(len(chunk.frame) for chunk in read.chunks(file("whole.csv", packed))) == 30_000
    with pytest.raises(DataError, match="breaks off after line"):
        list(read.chunks(file("cut.csv", packed[:-12])))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty: it needs a header line"),
        ("a.csv", "a,b,a\n1,2,3\n", r"more than one column 'a' \(columns 1, 3\)"),
        ("a.csv", "a;b\n1;2\n", 'write delimiter = ";" in the mapping'),
        ("a.csv", "a\tb\n1\t2\n", r'write delimiter = "\\t" in the mapping'),
        ("a.csv", "a,b\nä,1\n".encode("latin-1"), 'is not utf-8 .*write encoding = "latin-1"'),
        ("a.csv", "a,b\nä,1\n".encode("utf-16"), 'write encoding = "utf-16"'),
        ("a.xlsx", b"PK\x03\x04", "zip or Excel file: save it as CSV"),
        ("a.json", '[{"a": 1}]', "one object per line"),
        ("a.parquet", b"PAR1 and no more", "cannot be read as parquet"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_would_work(file, name, content, message):
    with pytest.raises(DataError, match=message) as error:
        list(read.chunks(file(name, content)))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"there is no file nowhere\.csv"):
        list(read.chunks(Path("nowhere.csv")))


def test_another_encoding_is_read_when_named(file):
    assert rows_of(file("a.csv", "a,b\nä,1\n".encode("latin-1")), encoding="latin-1")[0] == {1: {"a": "ä", "b": "1"}}


def test_json_lines_keep_numbers_as_written_and_bad_lines_are_set_aside(file):
    lines = [
        '{"id": 12345678901234567890, "x": 1.10, "from": {"mail": null, "vip": true}}',
        "",
        "[1]",
        "{",
        '{"id": "\\ud800"}',
        '{"new": ""}',
    ]
    rows, broken = rows_of(file("a.jsonl", "\n".join(lines)), size=1)
    assert rows[1] == {"id": "12345678901234567890", "x": "1.10", "from.mail": None, "from.vip": "true"}
    assert rows[5] == {"new": None}
    assert [b.row for b in broken] == [2, 3, 4]
    assert "half a character" in broken[2].reason


def test_parquet_types_become_texts_without_loss(tmp_path):
    when = dt.datetime(2026, 3, 1, 12, 30)
    columns = {
        "id": [123.0, None],  # pandas writes whole numbers with gaps like this
        "share": [0.1, float("nan")],
        "ok": [True, None],
        "text": ["NA", ""],
        "local": pa.array([when, None], pa.timestamp("ns")),
        "zoned": pa.array([when, None], pa.timestamp("us", "Europe/Berlin")),
        "day": [when.date(), None],
        "tags": [["a", "b"], None],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (chunk,) = read.chunks(tmp_path / "a.parquet")
    assert chunk.frame.loc[1].to_dict() == {
        "id": "123",
        "share": "0.1",
        "ok": "true",
        "text": "NA",
        "local": "2026-03-01 12:30:00.000000",
        "zoned": "2026-03-01 12:30:00.000000Z",
        "day": "2026-03-01",
        "tags": '["a", "b"]',
    }
    assert chunk.frame.loc[2].isna().all()
    assert chunk.times == {"local", "zoned", "day"}


# ---- times


def utc(text, form=None, local="UTC"):
    return convert.to_utc(pd.Series([text], dtype="str"), form, local)


def test_day_and_month_are_read_as_the_format_says_never_guessed():
    assert utc("3/4/2026 05:06", "%d/%m/%Y %H:%M").at[0] == pd.Timestamp("2026-04-03T05:06Z")
    assert utc("3/4/2026 05:06", "%m/%d/%Y %H:%M").at[0] == pd.Timestamp("2026-03-04T05:06Z")
    assert "is not ISO 8601" in utc("3/4/2026 05:06").reason[0]


def test_a_time_with_an_offset_needs_no_zone_and_one_without_gets_it():
    assert utc("2026-07-01T12:00:00+02:00", local="Asia/Tokyo").at[0] == pd.Timestamp("2026-07-01T10:00Z")
    assert utc("2026-07-01 12:00", local="Asia/Tokyo").at[0] == pd.Timestamp("2026-07-01T03:00Z")
    assert utc("1767225600", "unix").at[0] == utc("1767225600000", "unix_ms").at[0] == pd.Timestamp("2026-01-01T00:00Z")


def test_a_local_time_that_occurs_twice_is_the_first_and_one_that_does_not_occur_is_broken():
    twice, never = utc("2015-11-01 01:30", local="America/New_York"), utc("2015-03-08 02:30", local="America/New_York")
    assert twice.at[0] == pd.Timestamp("2015-11-01T05:30Z")  # still summer time, four hours behind
    assert twice.n_twice == 1
    assert twice.reason.isna().all()
    assert never.at.isna().all()
    assert never.n_twice == 0
    assert "the clocks went forward" in never.reason[0]


@quick
@given(
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2035, 1, 1)),
    st.sampled_from(["Europe/Berlin", "Europe/Dublin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_an_instant_written_in_local_time_is_read_back(instant, zone):
    local = instant.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    got = utc(local.isoformat(sep=" "), local=zone)
    assert got.at[0] == pd.Timestamp(local.replace(fold=0, tzinfo=ZoneInfo(zone)))
    assert got.n_twice == (
        local.replace(fold=0, tzinfo=ZoneInfo(zone)).utcoffset() != local.replace(fold=1, tzinfo=ZoneInfo(zone)).utcoffset()
    )


# ---- ServiceNow


@pytest.fixture(scope="module")
def log():
    return sources.read_servicenow(INCIDENTS)


def test_an_update_is_a_touch_in_the_group_that_its_reassignment_count_says(log):
    stages = log.tables["touchpoints"].groupby("case_id")["stage"].agg(list)
    assert stages["T0001"] == [
        "first group",
        "second group",
        "third group or later",
        "third group or later",
        "third group or later",
    ]
    assert stages["T0002"] == ["first group"] * 4
    assert log.settings["escalation"] == "third group or later"


def test_within_a_minute_the_order_is_that_of_sys_mod_count(log):
    touches = log.tables["touchpoints"].query("case_id == 'T0002'")
    assert touches["action"].tolist() == ["New", "Active", "Resolved", "Closed"]
    assert touches["seq"].tolist() == [0, 1, 2, 3]
    assert touches["_row"].tolist() == [7, 6, 8, 9]


def test_a_sys_mod_count_that_contradicts_the_time_is_said_and_the_time_decides(log):
    touches = log.tables["touchpoints"].query("case_id == 'T0003'")
    assert touches["stage"].tolist() == ["first group", "second group", "second group", "second group"]
    assert touches["touchpoint_id"].tolist() == ["T0003-2", "T0003-1", "T0003-2-2", "T0003-3"]
    assert any(
        note.startswith("1 updates have a sys_mod_count that contradicts their time (first T0003 at row 10)")
        for note in log.notes
    )
    assert any(note.startswith("1 updates repeat the sys_mod_count") for note in log.notes)


def test_a_state_without_a_name_leaves_a_touch_without_an_action(log):
    touches = log.tables["touchpoints"].query("case_id == 'T0004'")
    assert touches["action"].isna().tolist() == [False, True, False]
    assert touches["user_id"].isna().all()  # "?" is missing
    assert any(note.startswith("1 updates have the state -100") for note in log.notes)


def test_a_ticket_knows_at_the_start_what_its_first_update_said_and_the_last_at_the_end(log):
    ticket = log.tables["tickets"].set_index("ticket_id").loc["T0001"]
    assert ticket["category"] == "Mail"
    assert (ticket["state"], ticket["made_sla"], ticket["problem_id"]) == ("Closed", "false", "Problem 7")
    assert ticket["reassignment_count"] == 2
    first = {ours for ours in servicenow.AT_START if TABLES["tickets"][ours].known == "start"}
    assert first == set(servicenow.AT_START)
    assert {ours for ours in servicenow.AT_END if TABLES["tickets"][ours].known == "end"} == set(servicenow.AT_END)


def test_an_end_after_the_last_update_is_not_known_yet(log):
    tickets = log.tables["tickets"].set_index("ticket_id")
    assert tickets.loc["T0004", ["resolved_at", "closed_at", "close_code"]].isna().all()
    assert tickets.loc["T0001", ["resolved_at", "closed_at", "close_code"]].notna().all()
    assert any(note.startswith("1 incidents end after the last update") for note in log.notes)


def test_a_field_that_changes_is_an_event_and_the_first_known_value_too(log):
    events = log.tables["ticket_events"].query("ticket_id == 'T0004' and field == 'category'")
    plain = events[["old_value", "new_value"]].astype(object).where(events[["old_value", "new_value"]].notna(), None)
    assert plain.to_numpy().tolist() == [[None, 'Mail, "web"'], ['Mail, "web"', None]]  # unknown at first: no event
    states = log.tables["ticket_events"].query("ticket_id == 'T0002' and field == 'state'")
    assert states["new_value"].tolist() == ["New", "Active", "Resolved", "Closed"]
    assert states["actor_id"].tolist() == ["Editor 1", "Editor 1", "Editor 1", "Robot"]
    assert log.tables["ticket_events"]["event_id"].is_unique


def test_no_event_tells_the_future(log):
    assert not {"closed_at", "close_code", "closed_code", "resolved_by", "resolved_at"} & set(
        log.tables["ticket_events"]["field"]
    )


def test_replaying_the_events_gives_the_last_row_of_every_incident(log):
    last = pd.read_csv(INCIDENTS, dtype=str, keep_default_na=False, on_bad_lines="skip").query("number != 'T0005'")
    last = last.groupby("number").last()
    now = defaultdict(dict)
    for event in log.tables["ticket_events"].itertuples():
        now[event.ticket_id][event.field] = event.new_value
    for number, row in last.iterrows():
        for theirs, ours in servicenow.TRACKED.items():
            value = now[number].get(ours)
            assert (row[theirs] if pd.isna(value) else value) in (row[theirs], "?"), (number, ours)


def test_rows_that_cannot_be_read_are_set_aside_and_all_rows_add_up(tmp_path, capsys):
    assert cx("servicenow", INCIDENTS, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    dataset = store.open_dataset(tmp_path / "out")
    assert dataset.accounting.set_index("table").loc["touchpoints"].to_list() == [21, 18, 3, 0]
    aside = dataset.quarantine.set_index("row")
    assert aside["column"].to_dict() == {18: "sys_updated_at", 19: "reassignment_count", 20: ""}
    assert aside.loc[18, "value"] == "13/31/2016 10:00"
    assert json.loads(aside.loc[19, "record"])["number"] == "T0005"
    assert "30 fields where the header has 36" in printed
    assert "touchpoints             21          18           3           0" in printed
    assert len(dataset.tables["tickets"]) == 5


def test_another_zone_moves_all_times():
    berlin = sources.read_servicenow(INCIDENTS, timezone="Europe/Berlin").tables["touchpoints"]["occurred_at"]
    assert (sources.read_servicenow(INCIDENTS).tables["touchpoints"]["occurred_at"] - berlin).eq(pd.Timedelta("1h")).all()


def test_an_export_without_a_column_names_it_and_what_is_there(file):
    with pytest.raises(DataError, match="31 of 32 columns are missing, first sys_updated_at; it has number, state"):
        sources.read_servicenow(file("a.csv", "number,state\nT1,New\n"))


def test_an_export_with_no_usable_row_is_refused_and_nothing_is_written(tmp_path, file):
    header, row = INCIDENTS.read_text().splitlines()[:2]
    with pytest.raises(DataError, match="has a header and no rows"):
        cx("servicenow", file("none.csv", header + "\n"), "--out", tmp_path / "out")
    path = file("bad.csv", f"{header}\n{row.replace('1/3/2016 08:00', '2016')}\n")
    with pytest.raises(DataError, match="1 were set aside, first opened_at '2016' at row 1: does not match the format"):
        cx("servicenow", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- any table, by a mapping


@pytest.fixture(scope="module")
def boston(tmp_path_factory):
    out = tmp_path_factory.mktemp("boston") / "out"
    cx("table", BOSTON, "--mapping", MAPPING, "--out", out)
    return store.open_dataset(out)


def test_values_become_stages_and_what_is_left_out_is_said_with_its_reason(boston):
    assert boston.tables["touchpoints"]["stage"].value_counts().to_dict() == {
        "phone": 7,
        "self service": 2,
        "app": 2,
        "message": 1,
    }
    left = boston.quarantine.query("kind == 'left out' and table == 'touchpoints'")
    assert dict(zip(left["row"], left["value"], strict=True)) == {
        8: "Employee Generated",
        9: "City Worker App",
        10: "Maximo Integration",
    }
    assert left["reason"].str.contains("not by a customer").all()


def test_every_row_is_kept_or_set_aside_or_left_out_in_each_table_that_it_feeds(boston):
    counts = boston.accounting.set_index("table")
    assert counts.loc["touchpoints"].to_list() == [
        19,
        12,
        4,
        3,
    ]  # a fax, a foreign date, an hour that is not, one after the end
    assert counts.loc["tickets"].to_list() == [19, 13, 3, 3]  # a ticket may come by fax


def test_an_unmapped_stage_is_set_aside_with_the_option_that_maps_it(boston):
    fax = boston.quarantine.query("table == 'touchpoints' and row == 11").iloc[0]
    assert (fax["column"], fax["value"], fax["kind"]) == ("stage", "Fax", "broken")
    assert "map it, such as --map-value stage:Fax=message" in fax["reason"]
    assert json.loads(fax["record"])["CASE_ENQUIRY_ID"] == "90000011"


def test_a_hostile_stage_cannot_break_the_printed_lines():
    reasons = table._unmapped(pd.Series(["\x1b[2J\n", "x" * 500, "a b'"], dtype="str"), "Channel", ["help", "phone"])
    assert all(reason.isprintable() and len(reason) < 150 for reason in reasons)
    assert reasons[2].endswith("""--map-value 'stage:a b'"'"'=help'""")


def test_a_case_is_a_key_without_a_pause_longer_than_the_gap(boston):
    cases = boston.tables["touchpoints"].groupby("case_id")["touchpoint_id"].agg(lambda ids: [int(i[-2:]) for i in ids])
    assert sorted(cases) == [
        [1, 2],  # 19 days apart
        [3],  # 54 days later: a new case
        [4],
        [5],  # same property, another type
        [6],
        [7],  # no property: alone, although both share the placeholder and an hour
        [14, 15],  # 30 days, not longer
        [16],
        [17],  # 30 days and a second
        [18],
    ]
    tickets = boston.tables["tickets"].set_index("ticket_id")["case_id"]
    touches = boston.tables["touchpoints"].set_index("ticket_id")["case_id"]
    assert tickets[touches.index].equals(touches)


def test_a_placeholder_is_no_customer(boston):
    visitors = boston.tables["touchpoints"].set_index("touchpoint_id")["visitor_id"]
    assert visitors[["90000006", "90000007"]].isna().all()
    assert visitors["90000001"] == "1"


def test_one_row_feeds_a_touch_and_a_ticket_in_local_time(boston):
    ticket = boston.tables["tickets"].set_index("ticket_id").loc["90000001"]
    assert ticket["opened_at"] == pd.Timestamp("2015-01-01T05:20:09Z")
    assert ticket["closed_at"] == pd.Timestamp("2015-01-04T02:08:42Z")
    assert (ticket["made_sla"], ticket["subcategory"], ticket["channel"]) == (True, "Lamp", "app")
    assert boston.settings.observed_until == pd.Timestamp("2015-10-01T04:00Z")


keyed = st.lists(
    st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from(["x", "y"]), st.integers(0, 40)), min_size=1, max_size=12
)


@quick
@given(keyed, st.randoms())
def test_cases_agree_with_a_loop_and_do_not_depend_on_the_order_of_rows(rows, random):
    named = [(f"t{n:02d}", *row) for n, row in enumerate(rows)]
    shuffled = random.sample(named, len(named))
    mapping = {
        "dates": {"format": "unix"},
        "tables": {
            "touchpoints": {
                "columns": {"touchpoint_id": "id", "occurred_at": "t", "stage": "s"},
                "cases": {"key": ["k", "l"], "gap": "10s"},
            }
        },
    }
    frame = pd.DataFrame(
        {
            "id": [r[0] for r in shuffled],
            "k": [r[1] or None for r in shuffled],
            "l": [r[2] for r in shuffled],
            "t": [str(r[3]) for r in shuffled],
            "s": "help",
        },
        index=pd.RangeIndex(1, len(shuffled) + 1),
        dtype="str",
    )
    got = table.convert_rows([read.Chunk(frame, [])], table.check_mapping(mapping)).tables["touchpoints"]
    expected, last = {}, {}
    for name, k, kind, t in sorted(named, key=lambda r: r[3]):
        case = last[k, kind][1] if k and (k, kind) in last and t - last[k, kind][0] <= 10 else name
        expected[name], last[k, kind] = case, (t, case)
    assert partition(got.set_index("touchpoint_id")["case_id"]) == partition(pd.Series(expected))


def partition(cases):
    return {frozenset(group) for group in cases.groupby(cases).groups.values()}


SIMPLE = "When;Channel;Who\n01.02.2026 10:00;fax;007\n01.02.2026 11:00;chatbot;?\n01.02.2026 12:00;smoke;008\n"
OPTIONS = [
    "--table",
    "touchpoints",
    "--map",
    "occurred_at=When",
    "--map",
    "stage=Channel",
    "--map",
    "user_id=Who",
    "--delimiter",
    ";",
]
OPTIONS += [
    "--map-value",
    "stage:fax=agent",
    "--date-format",
    "%d.%m.%Y %H:%M",
    "--timezone",
    "Europe/Berlin",
    "--missing",
    "?",
]


def test_a_simple_file_needs_options_only_and_they_can_be_saved_as_a_mapping(tmp_path, file, capsys):
    contacts = file("contacts.csv", SIMPLE)
    cx("table", contacts, *OPTIONS, "--out", tmp_path / "one", "--save-mapping", tmp_path / "saved.toml")
    printed = capsys.readouterr().out
    assert (
        "Channel is no stage (product, help, chatbot, agent, phone): map it, such as --map-value stage:smoke=agent" in printed
    )
    assert "row number stands in" in " ".join(store.open_dataset(tmp_path / "one").notes)
    touches = store.open_dataset(tmp_path / "one").tables["touchpoints"]
    assert touches[["touchpoint_id", "stage"]].to_numpy().tolist() == [["1", "agent"], ["2", "chatbot"]]
    assert touches["user_id"].tolist()[0] == "007"
    assert touches["user_id"].isna().tolist() == [False, True]
    assert touches["occurred_at"][0] == pd.Timestamp("2026-02-01T09:00Z")
    cx("table", contacts, "--mapping", tmp_path / "saved.toml", "--out", tmp_path / "two")
    one, two = (store.open_dataset(tmp_path / name) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint


def test_an_option_adds_to_a_mapping_file(tmp_path):
    cx("table", BOSTON, "--mapping", MAPPING, "--map-value", "stage:Fax=message", "--out", tmp_path / "out")
    assert store.open_dataset(tmp_path / "out").tables["touchpoints"]["stage"].eq("message").sum() == 2


def test_a_file_with_our_names_maps_itself(tmp_path, file):
    path = file("ours.jsonl", '{"occurred_at": "2026-01-01T00:00:00Z", "stage": "help", "colour": "red"}\n')
    cx("table", path, "--table", "touchpoints", "--out", tmp_path / "out")
    assert store.open_dataset(tmp_path / "out").tables["touchpoints"]["stage"].tolist() == ["help"]


def test_typed_times_and_numbers_of_a_parquet_file_are_read_whatever_the_format_says(tmp_path):
    columns = {"when": pa.array([dt.datetime(2026, 7, 1, 12)], pa.timestamp("ns")), "s": ["help"], "id": [7.0], "wait": [1.5]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    options = ["--map", "occurred_at=when", "--map", "stage=s", "--map", "touchpoint_id=id", "--map", "wait_s=wait"]
    options += ["--date-format", "%d/%m/%Y", "--timezone", "Europe/Berlin"]
    cx("table", tmp_path / "a.parquet", "--table", "touchpoints", *options, "--out", tmp_path / "out")
    touch = store.open_dataset(tmp_path / "out").tables["touchpoints"].iloc[0]
    assert (touch["touchpoint_id"], touch["wait_s"]) == ("7", 1.5)
    assert touch["occurred_at"] == pd.Timestamp("2026-07-01T10:00Z")


def test_the_empty_text_in_values_stands_for_missing():
    column = pd.Series(["x", None], dtype="str")
    assert table._renamed(column, {"": "phone"}).tolist() == ["x", "phone"]


CASES = {"key": ["k"], "gap": "30d"}


def mapped(**part):
    """A mapping of touchpoints with something wrong in it."""
    return {"tables": {"touchpoints": {"columns": {"occurred_at": "t", "stage": "s"}, **part}}}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"tabels": {}}, "unknown key tabels: did you mean tables?"),
        ({}, "names no table"),
        ({"tables": {"touchpoint": {}}}, "unknown key touchpoint: did you mean touchpoints?"),
        ({"tables": {"touchpoints": {"columns": {"stage": "s"}}}}, "no line for occurred_at, .*--map occurred_at=THEIRS"),
        (mapped(columns={"stag": "s"}), "unknown key stag: did you mean stage?"),
        (mapped(colums={}), "unknown key colums: did you mean columns?"),
        (mapped(values={"action": {"a": "b"}}), r"action has no line in .*columns\]"),
        (mapped(values={"stage": {"a": 1}}), "a is 1: write a text"),
        (mapped(dates={"occurred_at": {"form": "%Y"}}), "unknown key form: did you mean format?"),
        (mapped(dates={"occurred_at": {"timezone": "Mars"}}), "time zone 'Mars' is not known"),
        (mapped(cases={"key": ["k"]}), "gap=None is not a length of time"),
        (mapped(cases={"gap": "30d"}), "key is missing"),
        (mapped(cases={"key": ["k"], "gap": "30"}), 'has no unit: write "30d"'),
        ({"tables": {"tickets": {"columns": {}, "cases": CASES}}}, "cases are cut from touchpoints"),
        (mapped() | {"drop": [{"column": "c", "values": ["x"]}]}, "drop 1: reason is missing"),
        (mapped() | {"missing": "?"}, r"missing is '\?': write a list"),
        (mapped() | {"delimiter": ";;"}, "is not one character"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused_with_the_nearest_that_could(mapping, message):
    with pytest.raises(DataError, match=message) as error:
        table.check_mapping(mapping)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--table", "touchpoints", "--map", "occurred_at=Wen", "--map", "stage=Channel"],
            "has no column 'Wen'.*did you mean When?",
        ),
        (["--table", "touchpoint"], "did you mean touchpoints?"),
        (["--table", "touchpoints"], "no line for occurred_at"),
        ([], "--mapping FILE.toml, or --table touchpoints"),
        (["--mapping", "nowhere.toml"], "there is no mapping nowhere.toml"),
        ([*OPTIONS, "--map", "stage"], "write --map OURS=THEIRS"),
        ([*OPTIONS, "--map-value", "stag:fax=agent"], "no table has a column 'stag': did you mean stage?"),
        ([*OPTIONS, "--stages", "help,,phone"], "stages must be a list"),
        ([*OPTIONS, "--timezone", "Mars"], "not an IANA time zone"),
        ([*OPTIONS, "--date-format", "%Y"], "no usable row; touchpoints: 3 set aside, first row 1: occurred_at"),
        (["--table", "users", "--map", "user_id=Who"], "a dataset needs touchpoints or tickets"),
    ],
)
def test_options_that_cannot_be_meant_stop_before_anything_is_written(tmp_path, file, words, message):
    contacts = file("contacts.csv", SIMPLE)
    with pytest.raises(DataError, match=message) as error:
        cx("table", contacts, "--delimiter", ";", *words, "--out", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_dataset_is_never_replaced(tmp_path, file):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.doc, which is not part of a dataset"):
        cx("table", file("contacts.csv", SIMPLE), *OPTIONS, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "thesis.doc").exists()


def test_a_column_that_comes_late_in_json_lines_is_found(tmp_path, file):
    lines = [
        '{"occurred_at": "2026-01-01T00:00:00Z", "stage": "help"}',
        '{"occurred_at": "2026-01-02T00:00:00Z", "stage": "phone", "who": "u1"}',
    ]
    path = file("a.jsonl", "\n".join(lines))
    mapping = table.check_mapping(
        {"tables": {"touchpoints": {"columns": {"occurred_at": "occurred_at", "stage": "stage", "user_id": "who"}}}}
    )
    users = table.convert_rows(read.chunks(path, size=1), mapping, path).tables["touchpoints"]["user_id"]
    assert users.isna().tolist() == [True, False]


# ---- the real exports


@pytest.fixture(scope="module")
def real_incidents(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("incidents") / "out"
    cx("servicenow", real_data / "servicenow_incidents.csv.xz", "--out", out)
    return store.open_dataset(out)


def test_all_rows_of_the_real_incident_log_are_accounted_for(real_incidents):
    counts = real_incidents.accounting.set_index("table")
    assert counts.loc["touchpoints", ["rows_in", "kept", "broken", "left_out"]].tolist() == [121_004, 121_004, 0, 0]
    assert counts.loc["tickets", "kept"] == 20_974
    assert counts["broken"].sum() == 0


def test_a_fifth_of_the_real_incidents_reach_a_third_group(real_incidents):
    touches = real_incidents.tables["touchpoints"]
    escalated = touches.loc[touches["stage"] == "third group or later", "case_id"].nunique()
    assert (escalated, round(escalated / 20_974, 3)) == (4_502, 0.215)
    assert any(note.startswith("4,502 of 20,974 incidents (21.5%)") for note in real_incidents.notes)


def test_the_real_tickets_hold_the_first_and_the_last_value(real_incidents, real_data):
    raw = pd.read_csv(
        real_data / "servicenow_incidents.csv.xz",
        dtype=str,
        keep_default_na=False,
        usecols=["number", "category", "assignment_group"],
    )
    tickets = real_incidents.tables["tickets"].set_index("ticket_id")
    contradicted = 4  # incidents whose first or last row in the file is not the first or last in time: none ends differently
    first, last = raw.groupby("number")["category"].first(), raw.groupby("number")["assignment_group"].last()
    assert (tickets["category"].fillna("?")[first.index] != first).sum() <= contradicted
    assert (tickets["assignment_group"].fillna("?")[last.index] != last).sum() <= contradicted


@pytest.fixture(scope="module")
def real_boston(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("boston") / "out"
    cx("table", real_data / "boston311_2015.csv.xz", "--mapping", MAPPING, "--out", out)
    return store.open_dataset(out)


def test_all_rows_of_the_real_requests_are_accounted_for(real_boston):
    counts = real_boston.accounting.set_index("table")
    assert counts.loc["touchpoints"].to_list() == [93_963, 73_164, 0, 20_799]
    left = real_boston.quarantine.query("table == 'touchpoints'")["value"].value_counts().to_dict()
    assert left == {"Employee Generated": 11_729, "City Worker App": 8_876, "Maximo Integration": 194}


def test_two_thirds_of_the_real_cases_call_first_and_some_300_are_forced_to_call(real_boston, real_data):
    order = {"Citizens Connect App": 0, "Self Service": 1, "Twitter": 2, "Constituent Call": 3}
    touches, cases = defaultdict(list), []
    with lzma.open(real_data / "boston311_2015.csv.xz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["Source"] in order:
                at = dt.datetime.strptime(row["OPEN_DT"], "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=ZoneInfo("America/New_York"))
                key = (row["Property_ID"], row["TYPE"]) if row["Property_Type"] else row["CASE_ENQUIRY_ID"]
                touches[key].append((at.timestamp(), order[row["Source"]]))
    for touched in touches.values():
        last = -1e18
        for at, stage in sorted(touched):
            cases.append([]) if at - last > 30 * 86_400 else None
            cases[-1].append(stage)
            last = at
    called_first = sum(case[0] == 3 for case in cases)
    forced = sum(3 in case[1:] and case[0] != 3 for case in cases)
    assert (len(cases), called_first, forced) == (64_187, 44_510, 295)
    ours = real_boston.tables["touchpoints"].sort_values("occurred_at", kind="stable").groupby("case_id")["stage"].agg(list)
    assert len(ours) == len(cases)
    assert sum(case[0] == "phone" for case in ours) == called_first
    assert sum(case[0] != "phone" and "phone" in case for case in ours) == forced
