"""The log: sorted whatever the order of rows, whole customers in each part, cached by content."""

import os
import re
import signal
import subprocess
import sys
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib import cli, eventlog, store
from cxlib.eventlog import arrays, from_paths, progress
from cxlib.journey import reach
from cxlib.schema import STAGES, DataError

WORDS = st.lists(st.sampled_from(STAGES), min_size=1, max_size=8).map(" ".join)
PATHS = st.dictionaries(st.from_regex(r"[a-d](__[1-3])?", fullmatch=True), WORDS, min_size=1, max_size=6)


def touches(*rows, **columns):
    frame = pd.DataFrame(rows, columns=["touchpoint_id", "user_id", "occurred_at", "stage"])
    times = pd.to_datetime(frame["occurred_at"], utc=True).astype("datetime64[us, UTC]")
    return frame.assign(occurred_at=times, **columns)


def test_cases_are_cut_where_a_customer_paused_longer_than_the_gap():
    frame = touches(
        ("1", "u", "2026-01-01", "help"),
        ("2", "u", "2026-01-08", "phone"),
        ("3", "u", "2026-01-16", "help"),
        ("4", "v", "2026-01-16", "help"),
    )
    log = eventlog.compile(frame)
    assert list(log.case_id) == ["u#1", "u#2", "v#1"]
    assert list(np.diff(log.case_start)) == [2, 1, 1]


def test_a_touch_without_customer_or_case_is_a_case_and_a_customer_of_its_own():
    log = eventlog.compile(touches(("1", None, "2026-01-01", "help"), ("2", None, "2026-01-01", "phone")))
    assert (log.n_cases, log.n_customers) == (2, 2)


def test_a_case_belongs_to_the_customer_of_its_first_identified_touch():
    frame = touches(
        ("1", None, "2026-01-01", "help"), ("2", "u", "2026-01-02", "phone"), ("3", "v", "2026-01-03", "phone"), case_id="c"
    )
    log = eventlog.compile(frame)
    assert (log.n_cases, list(log.customer_id)) == (1, ["u"])


@pytest.mark.parametrize("users", ["uv", "vu"])
def test_of_two_customers_at_one_moment_the_first_by_name_has_the_case(tmp_path, users):
    rows = touches(*[(str(i), user, "2026-01-01", "help") for i, user in enumerate(users)], case_id="c")
    rows.drop(columns="touchpoint_id").to_parquet(tmp_path / "t.parquet")
    log = eventlog.compile(tmp_path / "t.parquet", user="user_id", cache=tmp_path / "cache")
    assert list(log.customer_id) == ["u"]


def test_ends_of_other_cases_are_refused():
    row = pa.record_batch({"customer": ["u"], "label": ["c"], "us": [1], "stage": pa.array([0], pa.uint8())})
    with pytest.raises(ValueError, match="2 ends of 1 cases"):
        arrays.arranged([row], {}, {"done": np.array([1.0, 2.0]), "unresolved": np.array([False, False])})


def test_a_visitor_stands_for_its_user_unless_it_is_linked_to_several(tmp_path):
    rows = touches(("1", "u", "2026-01-01", "help"), ("2", None, "2026-01-02", "phone"), ("3", None, "2026-01-02", "phone"))
    links = pd.DataFrame({"visitor_id": ["x", "y", "y"], "user_id": ["u", "u", "w"]})
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": rows.assign(visitor_id=[None, "x", "y"]), "identities": links})
    log = eventlog.compile(tmp_path / "d")
    assert list(log.customer_id) == ["u", "visitor y"]
    assert log.n_cases == 2


def test_ties_are_ordered_by_seq_then_stage_then_action_then_id_and_counted():
    frame = touches(
        *[(i, "u", "2026-01-01", s) for i, s in [("4", "phone"), ("3", "help"), ("2", "help"), ("1", "agent"), ("0", "agent")]]
    )
    frame = frame.assign(seq=[1, 2, 2, 2, 2], action=["", "b", "a", "x", "x"])
    log = eventlog.compile(frame)
    assert list(log.touchpoint_id) == ["4", "2", "3", "0", "1"]
    assert log.ties == {"seq": 1, "stage": 1, "action": 1, "touchpoint_id": 1}


@settings(max_examples=15, deadline=None)
@given(PATHS, st.randoms(use_true_random=False))
def test_row_order_and_the_number_of_parts_change_nothing(paths, random):
    log = from_paths(**paths)
    names = {"touchpoint_id": log.touchpoint_id, "case_id": log.case_id[log.case_of_touch]}
    frame = pd.DataFrame(
        names | {"stage": [log.stages[s] for s in log.stage], "occurred_at": pd.to_datetime(log.at, unit="us", utc=True)}
    )
    frame["user_id"] = log.customer_id[log.customer_of_case][log.case_of_touch]
    order = random.sample(range(len(frame)), len(frame))
    again = eventlog.compile(frame.iloc[order], settings=store.Settings(observed_until=pd.Timestamp("1971-01-01", tz="UTC")))
    for name in ("stage", "at", "case_start", "customer_start", "case_end", "customer_key"):
        assert (getattr(again, name) == getattr(log, name)).all()
    parts = list(log.shards(touches=1))
    assert sum(part.n_touches for part in parts) == log.n_touches
    assert len(parts) == log.n_customers
    split = sum(reach._funnel_sums(part, None, None, "open", "case") for part in parts)
    assert (split == reach._funnel_sums(log, None, None, "open", "case")).all()


def test_tickets_give_the_touches_where_there_are_no_touchpoints(tmp_path):
    tickets = pd.DataFrame(
        {
            "ticket_id": ["1", "2", "3"],
            "user_id": "u",
            "opened_at": ["2026-01-01T00:00Z", "2026-01-02T00:00Z", "2026-01-03T00:00Z"],
            "channel": ["Email", "Phone", "fax"],
            "resolved_at": ["2026-01-01T05:00Z", "", ""],
        }
    )
    store.write_dataset(tmp_path / "d", {}, {"tickets": tickets})
    log = eventlog.compile(tmp_path / "d")
    assert [log.stages[s] for s in log.stage] == ["agent", "phone"]
    assert log.case_open.all()
    assert "1 tickets have a channel that maps to no stage" in " ".join(log.notes)


def test_a_case_is_open_until_its_tickets_are_resolved(tmp_path):
    rows = touches(("1", "u", "2026-01-01", "agent"), ("2", "v", "2026-01-01", "agent"), case_id=["a", "b"])
    late = touches(("3", "w", "2026-03-01", "help"), case_id="c")
    tickets = pd.DataFrame({"ticket_id": ["1", "2"], "case_id": ["a", "b"], "resolved_at": ["2026-01-02T00:00Z", None]})
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": pd.concat([rows, late]), "tickets": tickets})
    log = eventlog.compile(tmp_path / "d")
    assert dict(zip(log.case_id, log.case_open, strict=True)) == {"a": False, "b": True, "c": True}


def test_a_changed_input_is_compiled_again_and_an_unchanged_one_is_not(tmp_path):
    rows = touches(("1", "u", "2026-01-01", "help"))
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": rows})
    first = eventlog.compile(tmp_path / "d")
    (cache,) = (tmp_path / "d" / ".cache").iterdir()
    before = cache.stat().st_mtime_ns
    assert eventlog.compile(tmp_path / "d").n_touches == first.n_touches == 1
    assert cache.stat().st_mtime_ns == before
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": pd.concat([rows, touches(("2", "u", "2026-01-02", "phone"))])})
    assert eventlog.compile(tmp_path / "d").n_touches == 2


def test_a_cache_that_was_cut_short_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CX_CACHE", str(tmp_path / "cache"))
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": touches(("1", "u", "2026-01-01", "help"))})
    eventlog.compile(tmp_path / "d")
    (cache,) = (tmp_path / "cache").iterdir()
    (cache / "log.json").unlink()
    assert eventlog.compile(tmp_path / "d").n_touches == 1
    assert not (tmp_path / "d" / ".cache").exists()


def test_an_unknown_stage_is_refused_with_the_mapping_to_write():
    with pytest.raises(
        DataError, match=r"1 of 2 touchpoints cannot be used: first row 2: stage 'fax' is not one of .*--map-value stage:"
    ):
        eventlog.compile(touches(("1", "u", "2026-01-01", "help"), ("2", "u", "2026-01-01", "fax")))


def test_times_before_1970_and_after_2100_keep_their_order():
    log = eventlog.compile(touches(("2", "u", "2101-01-01", "phone"), ("1", "u", "1969-12-31", "help"), case_id="c"))
    assert list(log.touchpoint_id) == ["1", "2"]
    assert log.at[0] < 0 < log.at[1]


@pytest.mark.parametrize(
    "damage",
    [lambda f: (f / "at.bin").write_bytes(b""), lambda f: (f / "log.json").write_text(""), lambda f: (f / "at.bin").unlink()],
)
def test_a_damaged_cache_is_compiled_again(tmp_path, damage):
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": touches(("1", "u", "2026-01-01", "help"))})
    eventlog.compile(tmp_path / "d")
    (cache,) = (tmp_path / "d" / ".cache").iterdir()
    damage(cache)
    assert eventlog.compile(tmp_path / "d").at[0] == pd.Timestamp("2026-01-01").as_unit("us").asm8.view("int64")
    assert [entry.name for entry in (tmp_path / "d" / ".cache").iterdir()] == [cache.name]


def test_the_data_sets_own_stages_win_over_the_usual_channels(tmp_path):
    tickets = pd.DataFrame(
        {"ticket_id": ["1", "2"], "opened_at": ["2026-01-01T00:00Z", "2026-01-02T00:00Z"], "channel": ["email", "CALL"]}
    )
    store.write_dataset(tmp_path / "d", {"stages": ["Email", "Call"], "escalation": "Call"}, {"tickets": tickets})
    assert sorted(eventlog.compile(tmp_path / "d").stage) == [0, 1]
    store.write_dataset(tmp_path / "e", {"stages": ["visit"]}, {"tickets": tickets})
    with pytest.raises(DataError, match="none of 2 tickets has a channel that maps to a stage"):
        eventlog.compile(tmp_path / "e")


def test_the_owner_of_a_shared_case_does_not_depend_on_ids():
    for ids in (["1", "2"], ["2", "1"]):
        frame = touches((ids[0], "v", "2026-01-01", "phone"), (ids[1], "u", "2026-01-01", "help"), case_id="c")
        assert list(eventlog.compile(frame).customer_id) == ["u"]


def test_a_frame_that_breaks_the_contract_is_refused():
    with pytest.raises(DataError, match="repeats the key"):
        eventlog.compile(touches(("1", "u", "2026-01-01", "help"), ("1", "u", "2026-01-02", "help")))


def test_a_case_ends_when_its_last_ticket_is_resolved(tmp_path):
    rows = pd.concat(
        [touches(("1", "u", "2026-01-01", "agent"), case_id="a"), touches(("2", "w", "2026-02-01", "help"), case_id="z")]
    )
    tickets = pd.DataFrame({"ticket_id": ["1", "2"], "case_id": "a", "resolved_at": ["2026-01-05T00:00Z", "2026-03-01T00:00Z"]})
    for until, is_open in (("2026-02-01T00:00Z", True), ("2026-04-01T00:00Z", False)):
        store.write_dataset(tmp_path / until[:7], {"observed_until": until}, {"touchpoints": rows, "tickets": tickets})
        log = eventlog.compile(tmp_path / until[:7])
        assert log.case_open[0] == is_open
        assert log.case_end[0] == pd.Timestamp("2026-03-01").as_unit("us").asm8.view("int64")


# --- cx compile ------------------------------------------------------------------------------------------------------------


def written(folder, name="t.parquet", rows=2_000):
    """Touches in a parquet file with other columns than ours."""
    rng = np.random.default_rng(4)
    times = pd.to_datetime(rng.integers(0, 10**13, rows) // 10**6, unit="s", utc=True)
    frame = pd.DataFrame({"problem": rng.integers(0, rows // 4, rows).astype(str), "when": times, "n": range(rows)})
    frame.assign(where=rng.choice(STAGES, rows)).to_parquet(folder / name)
    return folder / name


NAMED = ["--case", "problem", "--at", "when", "--stage", "where", "--tie", "n"]


def test_a_file_is_compiled_once_and_found_the_second_time(tmp_path, capsys):
    memory = ["--memory", " 500MB"]  # a blank is no harm
    command = ["compile", str(written(tmp_path)), *NAMED, "--cache", str(tmp_path / "cache"), *memory]
    assert cli.main(command) == 0
    (lies,) = (tmp_path / "cache").iterdir()
    first = capsys.readouterr()
    assert not first.err
    assert re.search(r"^touches +2,000$", first.out, re.MULTILINE)
    assert re.search(r"^span +1970-01-01 \d\d:\d\d to 1970-04-26 \d\d:\d\d, UTC$", first.out, re.MULTILINE)
    assert "by seq 0, by stage 0, by action 0, by touchpoint_id 0" in first.out
    assert f"{lies}, compiled (" in first.out
    assert cli.main(command) == 0
    second = capsys.readouterr().out
    assert f"{lies}, found there (" in second
    assert second.splitlines()[:-1] == first.out.splitlines()[:-1]
    (lies / "at.bin").write_bytes(b"")  # cut short: found, but not as a log
    assert cli.main(command) == 0
    assert f"{lies}, compiled (" in capsys.readouterr().out


def test_a_data_set_is_compiled_with_its_own_columns_and_what_is_odd_is_said(tmp_path, capsys):
    rows = touches(("1", "u", "2026-07-01T22:30Z", "help"), ("2", "u", "2026-07-01T22:30Z", "phone"))
    late = touches(("3", "u", "2026-07-03", "phone"))
    settings = {"timezone": "Europe/Berlin", "observed_until": "2026-07-02T12:00Z"}
    store.write_dataset(tmp_path / "d", settings, {"touchpoints": pd.concat([rows, late])})
    assert cli.main(["compile", str(tmp_path / "d")]) == 0
    said = capsys.readouterr().out
    assert "span            2026-07-02 00:30 to 2026-07-02 00:30, Europe/Berlin" in said
    assert "by seq 0, by stage 1," in said
    assert f"{tmp_path / 'd' / '.cache'}/log-" in said


def test_a_log_that_can_lie_nowhere_is_said_to_be_in_memory(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["compile", str(written(tmp_path)), *NAMED, "--cache", str(tmp_path / "file")]) == 0
    assert "in memory only: no cache folder can be written, name one with --cache" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.parquet"], "no parquet file at none.parquet: name a file, a folder, a pattern"),
        (["broken.parquet"], "broken.parquet cannot be read as parquet"),
        (["t.parquet"], "t.parquet has no column case_id (case=): Allowed: problem, when, n, where"),
        (["t.parquet", *NAMED[:-1], "m"], "has no column m (tie=)"),
        (["t.parquet", *NAMED[:3], "n", *NAMED[4:]], "n holds bigint, not times: a number has no unit"),
        (
            ["t.parquet", *NAMED, "--memory", "lots"],
            'memory=lots is not an amount of memory: write one such as "500MB" or "2GB"',
        ),
        (["t.parquet", *NAMED, "--memory", "-1"], "memory=-1 is not an amount of memory"),
        (
            ["t.parquet", *NAMED, "--memory", "200KB"],
            "t.parquet cannot be sorted within 200KB of memory: give more",
        ),
        (["data", "--user", "who"], "data is a data set and names its own columns: leave out --user"),
    ],
)
def test_what_cannot_be_compiled_is_one_line_and_exit_2(arguments, says, tmp_path, monkeypatch, capsys):
    written(tmp_path)
    (tmp_path / "broken.parquet").write_text("PAR1 and no more")
    store.write_dataset(tmp_path / "data", {}, {"touchpoints": touches(("1", "u", "2026-01-01", "help"))})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CX_CACHE", str(tmp_path / "cache"))
    assert cli.main(["compile", *arguments]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert not list(tmp_path.glob("cache/*")), "nothing half-made is left"


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (["1", "2"], "varchar"),
        ([1.6, 2.4], "double"),  # would be one number after rounding
        ([True, False], "boolean"),
        ([Decimal("1.5"), Decimal("2.5")], r"decimal\(2,1\)"),
    ],
)
def test_ties_are_decided_by_whole_numbers_only(tmp_path, column, kind):
    touches(("1", "u", "2026-01-01", "phone"), ("2", "u", "2026-01-01", "help"), n=column).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"^n holds {kind}, not whole numbers \(tie=\): write the column as integers"):
        eventlog.compile(tmp_path / "t.parquet", case="user_id", tie="n", cache=tmp_path / "cache")


@pytest.mark.parametrize("kind", ["uint64", "Int16", Decimal])
def test_whole_numbers_of_any_type_decide_ties(tmp_path, kind):
    frame = touches(("1", "u", "2026-01-01", "phone"), ("2", "u", "2026-01-01", "help"))
    numbers = [Decimal(1), Decimal(2)] if kind is Decimal else pd.array([1, 2], dtype=kind)
    frame.assign(n=numbers).to_parquet(tmp_path / "t.parquet")
    log = eventlog.compile(tmp_path / "t.parquet", case="user_id", tie="n", cache=tmp_path / "cache")
    assert [log.stages[s] for s in log.stage] == ["phone", "help"]
    assert log.ties["seq"] == 1


def test_a_column_without_a_number_decides_no_tie(tmp_path):
    rows = touches(("1", "u", "2026-01-01", "phone"), ("2", "u", "2026-01-01", "help"), n=None)
    rows.to_parquet(tmp_path / "t.parquet")
    log = eventlog.compile(tmp_path / "t.parquet", case="user_id", tie="n", cache=tmp_path / "cache")
    assert (log.ties["seq"], log.ties["stage"]) == (0, 1)


def test_what_the_machine_or_a_file_cannot_give_is_said_in_one_line_to_who_calls_from_python(tmp_path):
    named = {"case": "problem", "at": "when", "stage": "where", "cache": tmp_path / "cache"}
    source = written(tmp_path, rows=200_000)
    with pytest.raises(DataError, match=r"t\.parquet cannot be sorted within 6MB of memory: give more, such as twice as much$"):
        eventlog.compile(source, **named, memory="6MB")
    half = bytearray(source.read_bytes())
    half[len(half) // 2 : len(half) // 2 + 2_000] = b"\xff" * 2_000
    source.write_bytes(half)
    with pytest.raises(DataError, match=r"t\.parquet cannot be compiled: .*[^\n]$"):
        eventlog.compile(source, **named)
    high = pd.DataFrame(
        {"case_id": "c", "occurred_at": pd.to_datetime(["2026-01-01"]), "stage": "help", "n": np.uint64(2**64 - 1)}
    )
    high.to_parquet(tmp_path / "high.parquet")
    with pytest.raises(DataError, match=r"high\.parquet cannot be compiled: .*out of range"):
        eventlog.compile(tmp_path / "high.parquet", tie="n", cache=tmp_path / "cache")


def test_what_a_killed_compile_left_is_cleared_a_day_later(tmp_path):
    cache, now = tmp_path / "cache", time.time()
    for name, age in ((".log-abandoned", 90_000), (".log-at-work", 80_000), ("log-whole", 90_000)):
        (cache / name / "log").mkdir(parents=True)
        (cache / name / "log" / "at.bin").write_bytes(b"1")
        os.utime(cache / name, (now - age, now - age))
    eventlog.compile(written(tmp_path), case="problem", at="when", stage="where", cache=cache)
    assert [entry.name for entry in cache.glob(".*")] == [".log-at-work"]
    assert (cache / "log-whole").is_dir()


@pytest.mark.parametrize("name", ["app > call", "> call", "app >"])
def test_a_stage_that_would_make_paths_ambiguous_is_refused(tmp_path, name):
    other = name.replace(">", "-")
    says = f"stage '{name}' holds ' > ', which stands between the stages of a path: name it otherwise, such as '{other}'"
    rows = touches(("1", "u", "2026-01-01", "help"), ("2", "u", "2026-01-02", name))
    given_ = store.Settings(stages=("help", name), escalation=name, problem_from="help")
    with pytest.raises(DataError, match=f"^settings=: {says}"):
        eventlog.compile(rows, settings=given_)
    rows.to_parquet(tmp_path / "t.parquet")
    for settings_, where in ((None, "stages found"), (given_, "settings=")):
        with pytest.raises(DataError, match=f"^{where}: {says}"):
            eventlog.compile(tmp_path / "t.parquet", case="user_id", settings=settings_)
    with pytest.raises(DataError, match=says):
        store.read_settings({"stages": ["help", name]})


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_a_compile_that_is_ended_in_the_middle_leaves_nothing_that_is_read(tmp_path, ended_by):
    source, cache = written(tmp_path, rows=400_000), tmp_path / "cache"
    command = ["compile", str(source), *NAMED, "--cache", str(cache)]
    running = subprocess.Popen([sys.executable, "-m", "cxlib.cli", *command], stderr=subprocess.PIPE, text=True)
    while not list(cache.glob(".log-*")):
        assert running.poll() is None, "it was over before it could be ended"
        time.sleep(0.002)
    running.send_signal(ended_by)
    said = running.communicate()[1]
    assert not list(cache.glob("log-*"))
    if ended_by == signal.SIGTERM:
        assert (running.returncode, said) == (1, "cx: interrupted; nothing half-made was left\n")
        assert not list(cache.iterdir())
    assert cli.main(command) == 0
    assert eventlog.compile(source, case="problem", at="when", stage="where", tie="n", cache=cache).n_touches == 400_000


def test_a_bar_is_shown_for_what_takes_long_and_only_on_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", 0)
    command = ["compile", str(written(tmp_path, rows=500_000)), *NAMED]
    assert cli.main([*command, "--cache", str(tmp_path / "quiet")]) == 0
    assert not capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main([*command, "--cache", str(tmp_path / "loud")]) == 0
    shown = capsys.readouterr().err
    assert "reading files:" in shown
    assert max(map(int, re.findall(r"sorting touches .* (\d+) %", shown.replace("\r", "\n")))) > 10
