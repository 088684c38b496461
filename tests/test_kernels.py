"""Every journey question against plain Python on random logs, and what must not change it: row order, names, units of time."""

import sys
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxlib import eventlog, journey, stats
from cxlib.eventlog import EventLog
from cxlib.schema import STAGES, DataError
from cxlib.store import Settings

HOUR = 3_600_000_000
BASES = [int(pd.Timestamp(t, tz="UTC").timestamp()) * 1_000_000 for t in ("1970-01-01", "2026-03-29", "2100-02-28")]
ROW = st.tuples(
    st.integers(0, 6),  # case
    st.sampled_from([0, 0, 1, 2, 5, 24, 200, 400]),  # hours since the base: many ties
    st.integers(0, 4),  # stage
    st.integers(0, 299),  # action
)
ROWS = st.lists(ROW, min_size=1, max_size=25)
OWNER = st.lists(st.sampled_from(["u", "v", "w", None]), min_size=7, max_size=7)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def frame(rows, owners, base=BASES[1]):
    touches = pd.DataFrame(rows, columns=["case", "hours", "stage", "action"])
    at = pd.Series(base + touches["hours"].to_numpy() * HOUR).astype("datetime64[us]").dt.tz_localize("UTC")
    return pd.DataFrame(
        {
            "touchpoint_id": [f"t{i:03}" for i in range(len(touches))],
            "user_id": pd.Series([owners[c] for c in touches["case"]], dtype="str"),
            "case_id": [f"c{c}" for c in touches["case"]],
            "occurred_at": at,
            "stage": [STAGES[s] for s in touches["stage"]],
            "action": [f"a{a:03}" for a in touches["action"]],
        }
    )


def until(base=BASES[1]):
    return Settings(observed_until=pd.Timestamp(base + 500 * HOUR, unit="us", tz="UTC"))


class Plain:
    """The same log as lists: what the arrays must agree with."""

    def __init__(self, rows, owners, base=BASES[1]):
        cases = defaultdict(list)
        for number, (case, hours, stage, action) in enumerate(rows):
            cases[case].append((base + hours * HOUR, stage, f"a{action:03}", number))
        self.until = base + 500 * HOUR
        self.cases = {f"c{case}": sorted(touches) for case, touches in cases.items()}
        self.owner = {name: owners[int(name[1:])] or f"case {name}" for name in self.cases}
        self.limit = self.until - 168 * HOUR  # an end is known after a week of silence
        self.open = {name: touches[-1][0] > self.limit for name, touches in self.cases.items()}

    def path(self, case):
        return [touch[1] for touch in self.cases[case]]

    def ways(self, case):
        """What is known of a case's way: its stages up to the first touch after the limit, and "end" where there is none."""
        touches = self.cases[case]
        known = 1 + sum(touch[0] <= self.limit for touch in touches)
        return ([STAGES[touch[1]] for touch in touches] + ["end"])[:known]

    def interval(self, y, n):
        """The interval of sum(y) / sum(n), both by case, by customer."""
        names = sorted({self.owner[case] for case in self.cases})
        per = {name: [0, 0] for name in names}
        for case in self.cases:
            per[self.owner[case]][0] += y.get(case, 0)
            per[self.owner[case]][1] += n.get(case, 0)
        sums = stats.ratio_sums(np.array([per[name][0] for name in names]), np.array([per[name][1] for name in names]))
        sums[0] = sum(per[name][1] > 0 for name in names)
        return stats.share_from_sums(sums)


def same_interval(row, expected):
    assert [row["share"], row["low"], row["high"]] == pytest.approx(list(expected), nan_ok=True)


def steps_taken(touches, steps, mode, within):
    """How many steps a case took, found by trying."""
    times, path = [t[0] for t in touches], [t[1] for t in touches]
    limit = np.inf if within is None else within * HOUR
    if mode == "any-order":
        first = [next((t for t, s in zip(times, path, strict=True) if s == step), None) for step in steps]
        taken = 0
        while (
            taken < len(steps) and None not in first[: taken + 1] and max(first[: taken + 1]) - min(first[: taken + 1]) <= limit
        ):
            taken += 1
        return taken
    if mode == "strict":
        return max(
            max(
                (
                    k
                    for k in range(1, len(steps) + 1)
                    if path[i : i + k] == list(steps[:k]) and times[i + k - 1] - times[i] <= limit
                ),
                default=0,
            )
            for i in range(len(path))
        )
    if mode == "closed" and path[0] != steps[0]:
        return 0
    taken, start = 0, None
    for time, stage in zip(times, path, strict=True):
        if taken < len(steps) and stage == steps[taken]:
            if start is not None and time - start > limit:
                break
            start = time if start is None else start
            taken += 1
    return taken


@QUICK
@given(ROWS, OWNER)
def test_transitions_and_their_intervals_are_those_of_plain_python(rows, owners):
    plain = Plain(rows, owners)
    table = journey.transitions(eventlog.compile(frame(rows, owners), settings=until())).table
    moves = {case: Counter(pairwise(plain.ways(case))) for case in plain.cases}
    total = sum(moves.values(), Counter())
    assert {(row.source, row.target): row.n_ for row in table.rename(columns={"count": "n_"}).itertuples()} == dict(total)
    for row in table.to_dict("records"):
        y = {case: count[row["source"], row["target"]] for case, count in moves.items()}
        n = {case: sum(c for (source, _), c in count.items() if source == row["source"]) for case, count in moves.items()}
        assert row["n"] == sum(n.values())
        same_interval(row, plain.interval(y, n))


@QUICK
@given(ROWS, OWNER, st.integers(1, 6))
def test_variants_and_their_intervals_are_those_of_plain_python(rows, owners, repeat):
    rows = rows * repeat  # paths beyond 16 touches, too
    plain = Plain(rows, owners)
    found = journey.variants(eventlog.compile(frame(rows, owners), settings=until()))
    paths = {case: " > ".join(STAGES[s] for s in plain.path(case)) for case in plain.cases}
    assert dict(zip(found.table["path"], found.table["count"], strict=True)) == dict(Counter(paths.values()))
    order = sorted(
        set(paths.values()),
        key=lambda p: (-Counter(paths.values())[p], p.count(">"), [STAGES.index(s) for s in p.split(" > ")]),
    )
    assert found.table["path"].tolist() == order
    for row in found.table.to_dict("records"):
        same_interval(row, plain.interval({case: path == row["path"] for case, path in paths.items()}, dict.fromkeys(paths, 1)))
        assert set(found.cases_at(row["path"])["case_id"]) == {case for case, path in paths.items() if path == row["path"]}


def test_short_and_long_paths_stand_in_one_order():
    ways = [["phone"] * 15, ["help"] * 16, ["product"] + ["help"] * 16, ["help"] * 17, ["product"] * 18]
    found = journey.variants(eventlog.from_paths(**{f"u{i}": " ".join(ways[i]) for i in (3, 4, 0, 2, 1)}))
    assert found.table["path"].tolist() == [" > ".join(way) for way in ways]
    assert [found.cases_at(path)["case_id"].item() for path in found.table["path"]] == [f"u{i}" for i in range(5)]


def test_copies_of_a_path_are_counted_by_customer_and_the_same_on_any_split(monkeypatch):
    """As many short paths as customers, and yet not one each: u's two, and the fourth customer's is long."""
    log = eventlog.from_paths(u="help", u__2="help", v="help", w="phone", x=" ".join(["help"] * 17), y="phone", z="phone")
    found = journey.variants(log).table
    of_help, all_cases = np.array([2, 1, 0, 0, 0, 0]), np.array([2, 1, 1, 1, 1, 1])
    same_interval(found.set_index("path").loc["help"], stats.ratio_interval(of_help, all_cases))
    shards = EventLog.shards
    monkeypatch.setattr(EventLog, "shards", lambda self: shards(self, touches=1))
    for name, value in {"_AT_ONCE": 2, "_PATHS": 4, "_SAMPLED": 2}.items():  # so that few parts and paths are many
        monkeypatch.setattr(sys.modules["cxlib.journey.variants"], name, value)
    pd.testing.assert_frame_equal(journey.variants(log).table, found)


def test_many_paths_are_put_together_range_by_range_as_they_are_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    ways = {f"u{i}__{rng.integers(3)}": " ".join(rng.choice(STAGES, rng.integers(1, 20))) for i in range(300)}
    log = eventlog.from_paths(**ways)
    found = journey.variants(log).table
    shards = EventLog.shards
    monkeypatch.setattr(EventLog, "shards", lambda self: shards(self, touches=200))
    for name, value in {"_AT_ONCE": 3, "_PATHS": 8, "_SAMPLED": 2}.items():
        monkeypatch.setattr(sys.modules["cxlib.journey.variants"], name, value)
    pd.testing.assert_frame_equal(journey.variants(log).table, found)


@QUICK
@given(
    ROWS,
    OWNER,
    st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True),
    st.sampled_from(eventlog.MODES),
    st.sampled_from([None, 1, 30]),
    st.sampled_from(["case", "user"]),
)
def test_funnels_of_all_modes_are_those_of_plain_python(rows, owners, steps, mode, within, by):
    plain = Plain(rows, owners)
    log = eventlog.compile(frame(rows, owners), settings=until())
    units = {case: (plain.owner[case], touches) for case, touches in plain.cases.items()}
    if by == "user":
        together = defaultdict(list)
        for case in sorted(plain.cases):
            together[plain.owner[case]] += plain.cases[case]
        units = {name: (name, sorted(touches, key=lambda t: t[0])) for name, touches in together.items()}
    taken = {name: steps_taken(touches, steps, mode, within) for name, (_, touches) in units.items()}
    found = journey.funnel(log, [STAGES[s] for s in steps], mode=mode, within=None if within is None else f"{within}h", by=by)
    assert found.table["reached"].tolist() == [sum(t > k for t in taken.values()) for k in range(len(steps))]
    assert (found.table["n"] == len(units)).all()
    for k, step in enumerate(found.table.index):
        assert set(found.cases_at(step)["case_id"]) == {name for name, t in taken.items() if t > k}
        per = defaultdict(lambda: [0, 0])
        for name, (owner, _) in units.items():
            per[owner][0] += taken[name] > k
            per[owner][1] += 1
        same_interval(found.table.iloc[k], stats.ratio_interval(*np.array([per[name] for name in sorted(per)]).T))


@QUICK
@given(ROWS, OWNER, st.sampled_from([None, 1, 30]))
def test_the_falling_funnel_and_its_drill_down_are_those_of_plain_python(rows, owners, within):
    plain = Plain(rows, owners)
    limit = np.inf if within is None else within * HOUR
    depth = {case: max(s for t, s, *_ in touches if t - touches[0][0] <= limit) for case, touches in plain.cases.items()}
    found = journey.funnel(
        eventlog.compile(frame(rows, owners), settings=until()), within=None if within is None else f"{within}h"
    )
    assert found.table["reached"].tolist() == [sum(d >= k for d in depth.values()) for k in range(5)]
    for k, stage in enumerate(STAGES):
        assert set(found.cases_at(stage)["case_id"]) == {case for case, d in depth.items() if d >= k}
        if k:
            y = {case: d >= k for case, d in depth.items()}
            same_interval(found.table.loc[stage], plain.interval(y, dict.fromkeys(depth, 1)))


@QUICK
@given(ROWS, OWNER)
def test_summaries_step_matrix_loops_ends_and_sessions_are_those_of_plain_python(rows, owners):
    plain = Plain(rows, owners)
    log = eventlog.compile(frame(rows, owners), settings=until())
    summary = journey.case_summary(log).table.set_index("case_id")
    for case, touches in plain.cases.items():
        row = summary.loc[case]
        assert (row["touches"], row["customer_id"], row["is_open"]) == (len(touches), plain.owner[case], plain.open[case])
        assert (row["first"], row["last"]) == (STAGES[touches[0][1]], STAGES[touches[-1][1]])
        assert row["furthest"] == STAGES[max(plain.path(case))]
        assert row["duration_s"] * 1_000_000 == touches[-1][0] - touches[0][0]
    matrix = journey.step_matrix(log, steps=3).table.set_index(["step", "stage"])["count"]
    for step in (1, 2, 3):
        ways = {case: [*way, *(["end"] * 3 if way[-1] == "end" else [])] for case in plain.cases if (way := plain.ways(case))}
        at = Counter(way[step - 1] for way in ways.values() if len(way) >= step)
        assert matrix[step].to_dict() == {name: at[name] for name in (*STAGES, "end")}
    loops, over = journey.loops(log).table, journey.ends(log).table
    for code, stage in enumerate(STAGES):
        used = {case: plain.path(case).count(code) for case in plain.cases}
        assert loops.loc[stage, ["again", "n"]].tolist() == [
            sum(u > 1 for u in used.values()),
            sum(u > 0 for u in used.values()),
        ]
        same_interval(
            loops.loc[stage], plain.interval({c: u > 1 for c, u in used.items()}, {c: u > 0 for c, u in used.items()})
        )
        assert over.loc[stage, "ended"] == sum(plain.path(c)[-1] == code for c in plain.cases if not plain.open[c])
    cut = [1 + sum(b[0] - a[0] > 2 * HOUR for a, b in pairwise(touches)) for touches in plain.cases.values()]
    assert len(journey.sessions(log, "2h").table) == sum(cut)


def test_moves_that_are_known_at_once_do_not_make_ends_look_rare():
    rng = np.random.default_rng(1)
    starts, calls = rng.integers(0, 30 * 24, 6000), rng.random(6000) < 0.5
    rows = [(case, hour, stage, 0) for case, hour in enumerate(starts) for stage in (1, 4)[: 1 + calls[case]]]
    rows = [(case, hour + (stage == 4), stage, action) for case, hour, stage, action in rows]
    settings = Settings(observed_until=pd.Timestamp(BASES[1] + 30 * 24 * HOUR, unit="us", tz="UTC"))
    log = eventlog.compile(frame(rows, [f"u{case}" for case in range(6000)]), settings=settings)
    early = starts <= 23 * 24
    forced, silent = (early & calls).sum() / early.sum(), (early & ~calls).sum() / early.sum()
    moves = journey.transitions(log).table.set_index(["source", "target"])
    assert moves.loc[("help", "phone"), ["count", "n"]].tolist() == [(early & calls).sum(), early.sum()]
    ends = journey.step_matrix(log, steps=2).table.query("step == 2 and stage == 'end'")
    assert ends["share"].item() == pytest.approx(silent)
    assert journey.absorbing(log, replicates=20).table.loc["help", "forced"] == pytest.approx(forced)
    assert journey.time_to(log, "phone").table.set_index("hours").loc[1, "silent"] == pytest.approx(silent)


@QUICK
@given(ROWS, OWNER, st.integers(0, 4))
def test_time_to_a_stage_is_the_aalen_johansen_curve_counted_by_hand(rows, owners, stage):
    plain = Plain(rows, owners)
    log = eventlog.compile(frame(rows, owners), settings=until())
    cases = []
    for case, touches in plain.cases.items():
        start = next((i for i, t in enumerate(touches) if t[1] >= 1), None)
        if start is None or touches[start][0] > plain.limit:
            continue
        reached = next((t[0] for t in touches[start:] if t[1] == stage and t[0] <= plain.limit), None)
        end = reached if reached is not None else min(plain.limit, touches[-1][0])
        cases.append((end - touches[start][0], 1 if reached is not None else 0 if plain.open[case] else 2))
    found = journey.time_to(log, STAGES[stage])
    assert found.n_cases == len(cases)
    for row in found.table.itertuples():
        still, share = 1.0, 0.0
        for time in sorted({t for t, _ in cases if t <= row.hours * HOUR}):
            risk = sum(t >= time for t, _ in cases)
            share += still * sum(c == (time, 1) for c in cases) / risk
            still *= 1 - sum(t == time and e > 0 for t, e in cases) / risk
        assert row.share == pytest.approx(share)
        assert row.at_risk == sum(t >= row.hours * HOUR for t, _ in cases)


@QUICK
@given(ROWS, OWNER, st.sampled_from([1, 24, 100]))
def test_returns_are_those_of_plain_python(rows, owners, within):
    plain = Plain(rows, owners)
    found = journey.returns(eventlog.compile(frame(rows, owners), settings=until()), within=f"{within}h")
    counts = Counter()
    for case, touches in plain.cases.items():
        end = touches[-1][0]
        if plain.open[case] or end > plain.until - within * HOUR:
            continue
        others = [t[0][0] for c, t in plain.cases.items() if plain.owner[c] == plain.owner[case] and max(plain.path(c)) >= 1]
        counts[STAGES[touches[-1][1]], "n"] += 1
        counts[STAGES[touches[-1][1]], "returned"] += any(0 < start - end <= within * HOUR for start in others)
    for stage in STAGES:
        assert found.table.loc[stage, ["returned", "n"]].tolist() == [counts[stage, "returned"], counts[stage, "n"]]


def everything(log):
    """The tables of every question, without the ids of customers and cases."""
    summary = journey.case_summary(log).table.drop(columns=["case_id", "customer_id"])
    return [
        journey.transitions(log).table,
        journey.variants(log).table,
        journey.funnel(log).table,
        *(journey.funnel(log, ["help", "agent"], mode=mode, within="1d").table for mode in eventlog.MODES),
        journey.funnel(log, by="user").table,
        summary.sort_values(list(summary.columns)).reset_index(drop=True),
        journey.time_to(log, "phone").table,
        journey.forced_to_call(log).table,
        journey.step_matrix(log).table,
        journey.loops(log).table,
        journey.returns(log).table,
        journey.ends(log).table,
        journey.mood(log).table,
    ]


def test_how_a_log_is_split_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    ways = {f"u{i}__{rng.integers(3)}": " ".join(rng.choice(STAGES, rng.integers(1, 9))) for i in range(90)}
    log = eventlog.from_paths(**ways)
    whole, shards = everything(log), EventLog.shards
    monkeypatch.setattr(EventLog, "shards", lambda self: shards(self, touches=1))
    for found, as_one in zip(everything(log), whole, strict=True):
        pd.testing.assert_frame_equal(found, as_one)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(ROWS, OWNER, st.sampled_from(BASES), st.randoms(use_true_random=False))
def test_row_order_names_and_the_unit_of_time_change_nothing(tmp_path_factory, rows, owners, base, random):
    touches = frame(rows, owners, base).drop(columns=["touchpoint_id", "action"])
    touches["user_id"] = touches["user_id"].fillna("nobody")
    touches = touches.sort_values("occurred_at").drop_duplicates(["case_id", "occurred_at", "stage"])
    owner = touches.groupby("case_id")["user_id"].first()
    touches["user_id"] = owner[touches["case_id"]].to_numpy()

    def compiled(table, **kwargs):
        folder = tmp_path_factory.mktemp("log")
        pq.write_table(table, folder / "touches.parquet")
        return eventlog.compile(
            folder / "touches.parquet", user="user_id", cache=folder / "cache", settings=until(base), **kwargs
        )

    plain = pa.Table.from_pandas(touches, preserve_index=False)
    expected = everything(compiled(plain))
    shuffled = plain.take(random.sample(range(len(plain)), len(plain)))
    turned = {name: f"x{9 - int(name[1:])}" for name in set(touches["case_id"])}
    renamed = touches.assign(
        case_id=touches["case_id"].map(turned), user_id=touches["user_id"].map({"u": "z", "v": "y", "w": "x", "nobody": "a"})
    )
    numbers = touches.assign(
        case_id=touches["case_id"].str[1:].astype("int64"),
        user_id=touches["user_id"].map({"u": 7, "v": -1, "w": 3, "nobody": 0}),
    )
    seconds = plain.set_column(2, "occurred_at", plain["occurred_at"].cast(pa.timestamp("s", "UTC")))
    millis = plain.set_column(2, "occurred_at", plain["occurred_at"].cast(pa.timestamp("ms")))
    for other in (
        shuffled,
        pa.Table.from_pandas(renamed, preserve_index=False),
        pa.Table.from_pandas(numbers, preserve_index=False),
        seconds,
        millis,
    ):
        for one, two in zip(everything(compiled(other)), expected, strict=True):
            pd.testing.assert_frame_equal(one, two)


def test_an_empty_log_and_one_of_a_single_touch_are_answered(tmp_path):
    schema = pa.schema([("case_id", pa.string()), ("occurred_at", pa.timestamp("us", "UTC")), ("stage", pa.string())])
    pq.write_table(schema.empty_table(), tmp_path / "none.parquet")
    empty = eventlog.compile(tmp_path / "none.parquet", cache=tmp_path / "cache")
    assert (empty.n_touches, empty.n_cases, empty.n_customers) == (0, 0, 0)
    assert all(not table.select_dtypes("int").to_numpy()[:, -1:].any() for table in everything(empty) if "step" not in table)
    one = eventlog.from_paths(a="phone")
    assert journey.variants(one).table["path"].tolist() == ["phone"]
    assert journey.time_to(one, "phone").table["share"].tolist() == [1.0]
    assert sum(map(len, everything(one)[:3])) > 0


def test_a_source_in_order_is_not_sorted_again_and_gives_the_same_log(tmp_path, monkeypatch):
    rows = [(case, hour, (case + hour) % 5, 0) for case in range(7) for hour in (0, 1, 5)]
    touches = pa.Table.from_pandas(
        frame(rows, ["u"] * 7).sort_values(["user_id", "case_id", "occurred_at"]), preserve_index=False
    )
    pq.write_table(touches, tmp_path / "sorted.parquet")
    pq.write_table(touches.take(np.arange(len(touches))[::-1]), tmp_path / "turned.parquet")
    turned = eventlog.compile(tmp_path / "turned.parquet", user="user_id", cache=tmp_path / "cache")

    def refuse(*args):
        raise AssertionError("sorted again")

    monkeypatch.setattr("cxlib.eventlog.touches.Touches.in_order", refuse)
    monkeypatch.setattr("cxlib.eventlog.sorting.in_ranges", refuse)
    asis = eventlog.compile(tmp_path / "sorted.parquet", user="user_id", cache=tmp_path / "cache")
    for name in ("stage", "at", "case_start", "customer_start", "customer_key"):
        assert (getattr(asis, name) == getattr(turned, name)).all()


def test_a_late_file_in_a_glob_is_noticed(tmp_path):
    table = pa.Table.from_pandas(frame([(0, 0, 1, 0), (0, 1, 4, 0)], ["u"] * 7), preserve_index=False)
    pq.write_table(table, tmp_path / "day1.parquet")
    ask = {"user": "user_id", "cache": tmp_path / "cache"}
    assert eventlog.compile(tmp_path / "*.parquet", **ask).n_touches == 2
    late = pa.Table.from_pandas(frame([(0, 2, 3, 0)], ["u"] * 7), preserve_index=False)
    pq.write_table(late, tmp_path / "day2.parquet")
    log = eventlog.compile(tmp_path / "*.parquet", **ask)
    assert (log.n_touches, log.n_cases) == (3, 1)


def test_files_with_gaps_shared_cases_and_ties_are_told(tmp_path):
    table = pa.table(
        {
            "case": ["c", "c", None, "d", "d"],
            "who": ["u", "v", "u", None, "w"],
            "when": pa.array([1, 2, 3, 4, 4], pa.timestamp("s")),
            "what": ["help", "phone", "help", "phone", "agent"],
            "n": [1, 1, 1, 1, 2],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    names = {"case": "case", "user": "who", "at": "when", "stage": "what", "cache": tmp_path / "cache"}
    log = eventlog.compile(tmp_path / "t.parquet", **names, tie="n")
    assert "1 of 5 rows have no case, time or stage" in log.notes[0]
    assert sorted(log.customer_id) == ["u", "w"]  # the first identified touch owns the case
    assert [log.stages[s] for s in log.stage] == ["help", "phone", "phone", "agent"]  # `n` decides before the stage does
    assert log.ties["seq"] == 1
    with pytest.raises(DataError, match=r"no column whoo \(user=\): did you mean who"):
        eventlog.compile(tmp_path / "t.parquet", **(names | {"user": "whoo"}))
    with pytest.raises(DataError, match="a number has no unit"):
        eventlog.compile(tmp_path / "t.parquet", **(names | {"at": "n"}))
    with pytest.raises(DataError, match='write one such as "500MB"'):
        eventlog.compile(tmp_path / "t.parquet", **names, memory="lots")
    with pytest.raises(DataError, match="no parquet file at"):
        eventlog.compile(tmp_path / "u*.parquet")
    other = eventlog.compile(tmp_path / "t.parquet", **(names | {"stage": "who"}))
    assert other.stages == ("u", "v", "w")
    assert "taken in this order" in other.notes[-1]


def test_a_case_of_two_customers_is_noticed_where_all_rows_name_one(tmp_path):
    rows = [("c", "u", 1), ("d", "u", 2), ("b", "v", 1), ("c", "v", 3), ("e", "v", 4)]
    touches = pd.DataFrame(rows, columns=["case_id", "who", "day"]).assign(stage="help")
    touches["occurred_at"] = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(touches.pop("day"), unit="D")
    touches.to_parquet(tmp_path / "t.parquet")
    log = eventlog.compile(tmp_path / "t.parquet", user="who", cache=tmp_path / "cache")
    owner = dict(zip(log.case_id, log.customer_id[log.customer_of_case], strict=True))
    assert owner == {"b": "v", "c": "u", "d": "u", "e": "v"}
    assert log.n_cases == 4


def test_a_step_asked_for_twice_must_be_taken_twice():
    log = eventlog.from_paths(a="help", b="help phone help", c="help help")
    assert journey.funnel(log, ["help", "help"]).table["reached"].tolist() == [3, 2]
    assert journey.funnel(log, ["help", "help"], mode="strict").table["reached"].tolist() == [3, 1]


def test_a_file_that_changed_under_the_same_name_is_compiled_again(tmp_path):
    def compiled(stage):
        table = pa.Table.from_pandas(frame([(0, 0, 1, 0), (0, 1, stage, 0)], ["u"] * 7), preserve_index=False)
        pq.write_table(table, tmp_path / "t.parquet")
        return eventlog.compile(tmp_path / "t.parquet", cache=tmp_path / "cache").stage.tolist()

    assert compiled(4) == [1, 4]
    assert compiled(3) == [1, 3]


def test_a_session_is_open_until_its_pause_has_passed():
    quarter_past = Settings(observed_until=pd.Timestamp("1970-01-01 02:15", tz="UTC"))
    log = eventlog.from_paths(a="help phone agent", step="1h", settings=quarter_past)  # the last touch is 15 minutes old
    assert log.split_sessions("30min").case_open.tolist() == [False, False, True]
    assert log.split_sessions("10min").case_open.tolist() == [False, False, False]


def test_a_case_whose_window_is_not_over_is_left_out_of_the_steps():
    log = eventlog.from_paths(
        a="product product help", b="help phone", settings=Settings(observed_until=pd.Timestamp("1970-01-01 03:00", tz="UTC"))
    )
    found = journey.funnel(log, ["help", "phone"], within="2h")  # a took the first step one hour ago
    assert (found.n_immature, found.table["reached"].tolist(), found.table["n"].tolist()) == (1, [1, 1], [1, 1])
