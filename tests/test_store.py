"""Opening and writing dataset folders: nothing passes silently, nothing is lost."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxlib import open_dataset, store
from cxlib.schema import TABLES, DataError, dictionary

ROOT = Path(__file__).parent.parent

GOOD = {
    "touchpoint_id": "1",
    "occurred_at": "2026-01-01T00:00:00Z",
    "stage": "help",
    "user_id": "u",
    "sentiment": "0.5",
    "seq": "3",
}


def write(folder, *rows, table="touchpoints", **settings):
    return store.write_dataset(folder, settings, {table: pd.DataFrame(list(rows))})


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("stage", "fax", r"is not one of the stages .* --map-value stage:THEIRS=phone"),
        ("stage", "", "is empty"),
        ("occurred_at", "", "is empty"),
        ("occurred_at", "31/02/2026", "is not a time"),
        ("occurred_at", "2026-01-01T00:00:00", "is not a time with its offset"),
        ("occurred_at", "2026-01-05", "is not a time with its offset"),
        ("occurred_at", "2031-01-01T00:00:00Z", "lies after observed_until"),
        ("sentiment", "1.5", "is above 1"),
        ("sentiment", "good", "is not a finite number"),
        ("sentiment", "inf", "is not a finite number"),
        ("seq", "2.5", "is not a whole number"),
        ("touchpoint_id", "", "is empty"),
        ("touchpoint_id", "0", "repeats the key of an earlier row"),
    ],
)
def test_a_broken_row_is_set_aside_with_its_row_and_reason(tmp_path, column, value, reason):
    first = GOOD | {"touchpoint_id": "0"}
    write(tmp_path / "d", first, GOOD | {column: value}, observed_until="2030-01-01T00:00:00Z")
    dataset = open_dataset(tmp_path / "d")
    row = dataset.quarantine.iloc[0]
    assert (row["table"], row["row"], row["column"], row["value"], row["kind"]) == ("touchpoints", 2, column, value, "broken")
    pd.testing.assert_series_equal(pd.Series([row["reason"]]).str.contains(reason), pd.Series([True]))
    assert json.loads(row["record"])["user_id"] == "u"
    assert dataset.accounting.iloc[0].tolist() == ["touchpoints", 2, 1, 1, 0]


def test_ids_stay_strings_and_na_stays_na(tmp_path):
    write(tmp_path / "d", GOOD | {"touchpoint_id": "00123", "user_id": "NA", "action": "null"})
    row = open_dataset(tmp_path / "d").tables["touchpoints"].iloc[0]
    assert (row["touchpoint_id"], row["user_id"], row["action"]) == ("00123", "NA", "null")


def test_times_with_an_offset_become_utc(tmp_path):
    write(tmp_path / "d", GOOD | {"occurred_at": "2026-01-01T00:30:00+02:00"})
    assert open_dataset(tmp_path / "d").tables["touchpoints"]["occurred_at"].iloc[0] == pd.Timestamp("2025-12-31T22:30Z")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_typed_times_of_any_unit_are_read(tmp_path, unit, zone):
    time = pd.Series(pd.to_datetime(["2026-06-01T12:00:00"])).dt.as_unit(unit).dt.tz_localize(zone)
    frame = pd.DataFrame([GOOD]).assign(occurred_at=time)
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": frame})
    frame.to_parquet(tmp_path / "touchpoints.parquet")
    expected = pd.Timestamp("2026-06-01T10:00Z" if zone == "Europe/Berlin" else "2026-06-01T12:00Z")
    for folder in (tmp_path / "d", tmp_path):
        assert open_dataset(folder).tables["touchpoints"]["occurred_at"].tolist() == [expected]


def test_a_folder_written_by_other_hands_is_checked_when_it_is_opened(tmp_path):
    pd.DataFrame([GOOD, GOOD | {"stage": "fax"}]).to_parquet(tmp_path / "touchpoints.parquet")
    dataset = open_dataset(tmp_path)
    assert dataset.accounting.loc[0, ["rows_in", "kept", "broken"]].tolist() == [2, 1, 1]
    assert "no dataset.toml" in dataset.notes[0]
    assert not (tmp_path / "quarantine").exists()  # opening writes nothing


def test_rows_set_aside_by_the_import_are_counted_with_those_found_later(tmp_path):
    aside = pd.DataFrame([["touchpoints", 9, "Source", "staff", "left out", "not a customer", "{}"]], columns=store.QUARANTINE)
    told = store.write_dataset(tmp_path / "d", {}, {"touchpoints": pd.DataFrame([GOOD, GOOD])}, aside)
    assert told.iloc[0].tolist() == ["touchpoints", 3, 1, 1, 1]
    pd.testing.assert_frame_equal(open_dataset(tmp_path / "d").accounting, told, check_dtype=False)


def test_a_file_without_ids_gets_row_numbers_and_says_so(tmp_path):
    write(tmp_path / "d", {k: v for k, v in GOOD.items() if k != "touchpoint_id"})
    dataset = open_dataset(tmp_path / "d")
    assert dataset.tables["touchpoints"]["touchpoint_id"].tolist() == ["1"]
    assert "no column touchpoint_id; the row number stands in for it" in dataset.notes[0]


def test_a_table_of_texts_alone_is_read(tmp_path):
    write(tmp_path / "d", {"description": "late refund"}, {"description": "reset password"}, table="tickets")
    assert open_dataset(tmp_path / "d").tables["tickets"]["ticket_id"].tolist() == ["1", "2"]


def test_a_column_the_dictionary_does_not_know_is_named(tmp_path):
    write(tmp_path / "d", GOOD | {"zodiac": "lion"})
    dataset = open_dataset(tmp_path / "d")
    assert "zodiac" in dataset.notes[0]
    assert "zodiac" not in dataset.tables["touchpoints"]


def test_an_empty_optional_table_counts_as_missing(tmp_path):
    tables = {"touchpoints": pd.DataFrame([GOOD]), "users": pd.DataFrame({"user_id": pd.Series([], dtype="str")})}
    store.write_dataset(tmp_path / "d", {}, tables)
    assert "users" not in open_dataset(tmp_path / "d").tables


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: None, "no dataset folder at .* cx import"),
        (lambda d: d.mkdir(), "holds neither touchpoints.parquet nor tickets.parquet"),
        (lambda d: (d.mkdir(), (d / "touchpoints.parquet").write_text("no")), "cannot be read as parquet"),
        (
            lambda d: (d.mkdir(), pd.DataFrame([GOOD | {"stage": "fax"}]).to_parquet(d / "touchpoints.parquet")),
            "no usable row in touchpoints or tickets: one touch .*; the first: stage is not one of",
        ),
        (
            lambda d: (d.mkdir(), pd.DataFrame({"stage": ["help"]}).to_parquet(d / "touchpoints.parquet")),
            "has no column occurred_at",
        ),
        (lambda d: (write(d, GOOD), (d / "dataset.toml").write_text("name = ")), "is not valid TOML"),
        (lambda d: (write(d, GOOD), (d / "dataset.toml").write_text("nmae = 'x'")), "unknown key nmae: did you mean name"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, make, message):
    make(tmp_path / "d")
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path / "d")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"timezone": "Mars/Base"}, "not an IANA time zone"),
        ({"stages": []}, "1 to 15 names"),
        ({"stages": ["a", "a"]}, "one stage twice"),
        ({"stages": ["a", "b"], "escalation": "c"}, "is not one of the stages"),
        ({"stages": ["a", "b"], "escalation": "a", "problem_from": "b"}, "to the right"),
        ({"cases": {"gap": "7"}}, 'write "7d"'),
        ({"cases": {"by": "case"}}, 'by = "user_id"'),
        ({"observed_from": "2026-02-01", "observed_until": "2026-01-01"}, "after observed_until"),
        ({"observed_until": "soon"}, "is not a time"),
        ({"cost": {"fax": 3}}, "unknown key fax"),
    ],
)
def test_settings_that_cannot_be_are_refused(plain, message):
    with pytest.raises(DataError, match=message):
        store.read_settings(plain)


def test_a_folder_that_is_not_a_dataset_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.txt, which is not part of a dataset"):
        write(tmp_path, GOOD)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("row", [{"stage": "help"}, GOOD | {"stage": "fax"}])
def test_a_write_that_fails_leaves_the_old_dataset_as_it_was(tmp_path, row):
    write(tmp_path / "d", GOOD)
    before = open_dataset(tmp_path / "d").fingerprint
    with pytest.raises(DataError):
        write(tmp_path / "d", row)
    assert open_dataset(tmp_path / "d").fingerprint == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


def test_the_fingerprint_follows_the_content(tmp_path):
    for folder, row in (("a", GOOD), ("b", GOOD), ("c", GOOD | {"sentiment": "0.4"})):
        write(tmp_path / folder, row)
    a, b, c = (open_dataset(tmp_path / folder).fingerprint for folder in "abc")
    assert a == b != c


FIELD = st.one_of(
    st.just(""), st.text(max_size=6), st.sampled_from(["help", "phone", "2026-01-01T00:00Z", "1", "0.5", "nan", "NULL"])
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({name: FIELD for name in GOOD}), min_size=1, max_size=6))
def test_every_row_is_either_kept_or_set_aside(tmp_path, rows):
    told = write(tmp_path / "d", GOOD, *rows).iloc[0]
    assert told["rows_in"] == len(rows) + 1 == told["kept"] + told["broken"]
    aside = pd.read_parquet(tmp_path / "d" / "quarantine" / "rows.parquet") if told["broken"] else []
    assert len(aside) == told["broken"]


def test_the_data_dictionary_in_the_project_is_the_schemas():
    assert (ROOT / "data" / "README.md").read_text(encoding="utf-8") == dictionary()


def test_every_table_has_a_key_and_every_time_ends_in_at():
    for columns in TABLES.values():
        assert any(column.key for column in columns.values())
        assert all(name.endswith("_at") for name, column in columns.items() if column.kind == "time")


def test_the_name_of_a_folder_never_becomes_data(tmp_path):
    write(tmp_path / "user_id=5", GOOD)
    assert open_dataset(tmp_path / "user_id=5").tables["touchpoints"]["user_id"].tolist() == ["u"]


def test_a_refused_row_does_not_move_the_period_nor_take_another_ones_key(tmp_path):
    write(tmp_path / "d", GOOD | {"stage": "fax", "occurred_at": "2099-01-01T00:00Z"}, GOOD)
    dataset = open_dataset(tmp_path / "d")
    assert dataset.settings.observed_until == pd.Timestamp("2026-01-01T00:00Z")
    assert dataset.accounting.loc[0, ["kept", "broken"]].tolist() == [1, 1]


def test_only_a_period_that_was_written_sets_rows_aside(tmp_path):
    surveys = pd.DataFrame({"response_id": ["1"], "sent_at": ["2027-01-01T00:00Z"]})
    tables = {"touchpoints": pd.DataFrame([GOOD]), "surveys": surveys}
    store.write_dataset(tmp_path / "d", {}, tables)
    assert "surveys" in open_dataset(tmp_path / "d").tables
    store.write_dataset(tmp_path / "e", {"observed_until": "2026-06-01"}, tables)
    assert "surveys" not in open_dataset(tmp_path / "e").tables


def test_whole_numbers_with_gaps_stay_the_ids_they_are(tmp_path):
    pd.DataFrame([GOOD, GOOD]).assign(touchpoint_id=["1", "2"], user_id=[1.0, None]).to_parquet(
        tmp_path / "touchpoints.parquet"
    )
    assert open_dataset(tmp_path).tables["touchpoints"]["user_id"].iloc[0] == "1"


@pytest.mark.parametrize("time", ["now", "07:00:00", "", "NaT", "2020-03-29T02:30:00"])
def test_a_period_that_is_no_fixed_time_is_refused(time):
    with pytest.raises(DataError, match="is not a time"):
        store.read_settings({"timezone": "Europe/Berlin", "observed_from": time})


def test_a_damaged_quarantine_is_one_line(tmp_path):
    write(tmp_path / "d", GOOD, GOOD)
    (tmp_path / "d" / "quarantine" / "rows.parquet").write_text("no")
    with pytest.raises(DataError, match=r"rows\.parquet cannot be read"):
        open_dataset(tmp_path / "d")


def test_a_scratch_folder_is_gone_even_if_a_signal_comes_right_after_it_is_made(tmp_path, monkeypatch):
    make = Path.mkdir

    def interrupted(self, *args, **options):
        make(self, *args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), store.scratch_folder(tmp_path, ".cx-"):
        raise AssertionError("not reached")
    assert not list(tmp_path.iterdir())
