"""Touches sorted as numbers, range by range, against plain Python's order; and what is left to DuckDB."""

import errno
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxlib import eventlog, store
from cxlib.eventlog import ranges, sorting, touches
from cxlib.eventlog.log import PER_CASE, PER_TOUCH
from cxlib.schema import STAGES

TEXT = st.text(st.sampled_from("019abzZ-_ é日😀"), max_size=20)  # of one to four bytes a letter, some of eleven words in all
NUMBER = st.integers(-(2**63), 2**63 - 1)
TOUCH = st.tuples(st.integers(0, 9), st.sampled_from([-(10**15), 0, 1, 2, 10**15]), st.integers(0, 4), st.integers(-2, 2))
NAMED = {"case": "case", "user": "user", "at": "at", "stage": "stage"}


def ids(of):
    """Ten cases and the customer of each; with a beginning that all share."""
    unique = st.lists(of, min_size=10, max_size=10, unique=True)
    return st.tuples(st.sampled_from(["", "INC"]), unique, unique, st.lists(st.integers(0, 3), min_size=10, max_size=10))


@pytest.fixture
def small(monkeypatch):
    """Batches and ranges of a few rows, so that few rows are many."""
    monkeypatch.setattr(touches, "BATCH", 7)
    monkeypatch.setattr(ranges, "BATCH", 7)
    monkeypatch.setattr(ranges, "RANGE", 100)
    monkeypatch.setattr(ranges, "SAMPLED", 10**9)  # every row


def never(*args):
    raise AssertionError("DuckDB sorted")


def written(folder, rows, case, user):
    """A parquet file of rows (case, microseconds, stage, tie) with these ids."""
    number, us, stage, tie = (np.array(column) for column in zip(*rows, strict=True))
    table = pa.table(
        {
            "case": pa.array([case[i] for i in number]),
            "user": pa.array([user[i] for i in number]),
            "at": pa.array(us.astype("datetime64[us]")),
            "stage": pa.array([STAGES[i] for i in stage]),
            "tie": pa.array(tie),
        }
    )
    pq.write_table(table, folder / "t.parquet")
    return folder / "t.parquet"


def told(log):
    """Every touch of a log: customer, case, time and stage."""
    customer = np.array(log.customer_id, dtype=object)[log.customer_of_case]
    case = log.case_of_touch
    return list(
        zip(customer[case], np.array(log.case_id, dtype=object)[case], log.at.tolist(), log.stage.tolist(), strict=True)
    )


@pytest.mark.parametrize("tie", [None, "tie"])
@pytest.mark.parametrize("of", [TEXT, NUMBER], ids=["text", "numbers"])
def test_touches_stand_in_the_order_of_their_ids_and_times(tmp_path_factory, small, monkeypatch, of, tie):
    monkeypatch.setattr(touches.Touches, "in_order", never)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(named=ids(of), rows=st.lists(TOUCH, min_size=1, max_size=40))
    def holds(named, rows):
        begins, case, customers, owner = named
        user = [customers[i] for i in owner]
        if of is TEXT:
            case, user = ([begins + name for name in names] for names in (case, user))
        folder = tmp_path_factory.mktemp("log")
        log = eventlog.compile(written(folder, rows, case, user), **NAMED, tie=tie, cache=folder / "cache")

        def key(name):
            return name.encode() if of is TEXT else name

        expected = sorted(
            (key(user[i]), key(case[i]), us, seq if tie else 0, stage, user[i], case[i]) for i, us, stage, seq in rows
        )
        assert told(log) == [(who, which, us, stage) for *_, us, _, stage, who, which in expected]

    holds()


def test_a_log_without_customers_and_one_with_shared_cases_are_sorted_so_too(tmp_path, small, monkeypatch):
    monkeypatch.setattr(touches.Touches, "in_order", never)
    rows = [(i % 10, 10 - i // 10, i % 5, 0) for i in range(100)]
    file = written(tmp_path, rows, [f"c{i}" for i in range(10)], ["u"] * 10)
    alone = eventlog.compile(file, **(NAMED | {"user": None}), cache=tmp_path / "cache")
    assert told(alone) == sorted((f"c{i}", f"c{i}", us, stage) for i, us, stage, _ in rows)
    shared = pq.read_table(file)
    users = pa.array(["u", "v"] * 50)
    pq.write_table(shared.set_column(1, "user", users), tmp_path / "t.parquet")
    log = eventlog.compile(tmp_path / "t.parquet", **NAMED, cache=tmp_path / "cache")
    earliest = {
        i: min((us, stage, "uv"[row % 2]) for row, (j, us, stage, _) in enumerate(rows) if j == i)[2] for i in range(10)
    }
    assert told(log) == sorted((earliest[i], f"c{i}", us, stage) for i, us, stage, _ in rows)


def test_a_data_set_with_all_that_puts_ties_in_order_is_the_log_that_duckdb_sorts(tmp_path, small, monkeypatch):
    rng = np.random.default_rng(0)
    n = 300
    frame = pd.DataFrame(
        {
            "touchpoint_id": [f"t{i}" for i in rng.permutation(n)],
            "user_id": pd.Series(rng.choice(["u", "v", "w", None], n), dtype="str"),
            "case_id": pd.Series(rng.choice(["c1", "c2", "c3", "c4", None], n), dtype="str"),
            "occurred_at": pd.to_datetime(rng.integers(0, 40, n), unit="h", utc=True).astype("datetime64[us, UTC]"),
            "seq": pd.array(np.where(rng.random(n) < 0.5, rng.integers(0, 3, n), None), dtype="Int64"),
            "stage": rng.choice(STAGES, n),
            "action": rng.choice(["", "look", "ask"], n),
            "sentiment": np.where(rng.random(n) < 0.5, rng.uniform(-1, 1, n).round(3), np.nan),
            "wait_s": rng.uniform(0, 90, n),
            "outcome": rng.choice(["solved", "open"], n),
        }
    )
    store.write_dataset(tmp_path / "d", {}, {"touchpoints": frame})
    with monkeypatch.context() as patch:
        patch.setattr(touches.Touches, "in_order", never)
        ours = eventlog.compile(tmp_path / "d", cache=tmp_path / "ours")
    monkeypatch.setattr(sorting, "in_ranges", lambda *args: None)
    theirs = eventlog.compile(tmp_path / "d", cache=tmp_path / "theirs")
    assert ours.n_touches == n and ours.ties == theirs.ties and min(ours.ties.values()) > 0
    for name in (
        *PER_TOUCH,
        *PER_CASE,
        "case_start",
        "customer_start",
        "customer_key",
        "case_id",
        "customer_id",
        "touchpoint_id",
    ):
        assert (getattr(ours, name) == getattr(theirs, name)).all(), name


@pytest.mark.parametrize(
    ("ids", "limits"),
    [
        (["a", "a\0b", "b"], {}),  # a NUL, which would look like an end
        (["a" * 80, "b" * 80, "c"], {}),  # longer than words are made for
        (["a", "b", "c"], {"AT_WORK": 1 << 30}),  # a customer of more than fits
    ],
)
def test_what_cannot_be_numbers_is_sorted_by_duckdb(tmp_path, monkeypatch, ids, limits):
    for name, value in limits.items():
        monkeypatch.setattr(ranges, name, value)
    asked = []
    in_order = touches.Touches.in_order
    monkeypatch.setattr(touches.Touches, "in_order", lambda self: asked.append(1) or in_order(self))
    rows = [(i % 3, 5 - i, i % 5, 0) for i in range(6)]
    log = eventlog.compile(written(tmp_path, rows, ids, ids), **NAMED, cache=tmp_path / "cache")
    assert told(log) == sorted((ids[i], ids[i], us, stage) for i, us, stage, _ in rows)
    assert asked


def test_a_disk_that_is_full_while_rows_are_dealt_out_leaves_the_sort_to_duckdb(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ranges, "_cut", full)
    rows = [(i % 3, 5 - i, i % 5, 0) for i in range(6)]
    ids = ["a", "b", "c"]
    log = eventlog.compile(written(tmp_path, rows, ids, ids), **NAMED, cache=tmp_path / "cache")
    assert told(log) == sorted((ids[i], ids[i], us, stage) for i, us, stage, _ in rows)
    (kept,) = (tmp_path / "cache").iterdir()
    assert "dealt.rows" not in {file.name for file in kept.rglob("*")}


def test_a_row_without_an_id_is_left_to_duckdb(tmp_path):
    con = store.connect()
    rows = "SELECT * FROM (VALUES ('a', 'x', 1, 0), (NULL, 'y', 2, 0)) t(customer, label, us, stage)"
    assert ranges.in_ranges(touches.Touches(con, rows, ("customer", "label", "us", "stage"), {}, 2), tmp_path) is None


def test_ids_that_have_grown_since_they_were_looked_at_are_left_to_duckdb():
    with pytest.raises(ranges._Unfit):
        ranges._Text(b"", 2).stored(pa.array(["a", "abc"]))


def test_rows_that_are_gone_before_they_are_read_again_are_noticed(tmp_path, small, monkeypatch):
    dealt = ranges._Dealt.__init__

    def cut(self, *args):
        dealt(self, *args)
        os.truncate(self.file, self.file.stat().st_size - 8)

    monkeypatch.setattr(ranges._Dealt, "__init__", cut)
    rows = [(i % 10, 40 - i, i % 5, 0) for i in range(40)]
    file = written(tmp_path, rows, [f"c{i}" for i in range(10)], ["u"] * 10)
    log = eventlog.compile(file, **NAMED, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())  # as where a disk is full: the log is made in memory
    assert log.n_touches == 40


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4),
    times=st.integers(1, 20),
)
def test_rows_are_ordered_as_python_orders_tuples(keys, times):
    arrays = [np.array(key * times, dtype=np.uint64) for key in keys]
    rows = list(zip(*(array.tolist() for array in arrays), strict=True))
    assert ranges.order_of(arrays).tolist() == sorted(range(len(rows)), key=rows.__getitem__)


@settings(max_examples=100, deadline=None)
@given(names=st.lists(TEXT, min_size=1, max_size=12), shared=st.sampled_from(["", "é", "CASE-2026-"]))
def test_ids_become_numbers_that_rise_as_they_do_and_come_back(names, shared):
    names = sorted(shared + name for name in names)
    column = ranges._Text(shared.encode(), max(len(name.encode()) for name in names))
    for array in (pa.array(["x", *names])[1:], pa.array(names, pa.large_string())):
        words = column.stored(array)
        by_bytes = sorted(range(len(names)), key=lambda i: names[i].encode())
        assert ranges.order_of(column.keys(words)).tolist() == by_bytes
        assert column.restored(words).to_pylist() == names


def test_a_range_of_one_customer_is_cut_nowhere():
    keys = np.array([3, 1, 3, 2], dtype=np.uint64)
    order, ends = ranges._cut([keys], [np.array([3, 3, 3], dtype=np.uint64)])
    assert order.tolist() == [1, 3, 0, 2]
    assert ends.tolist() == [2, 2, 2, 4]
