"""What was known beyond the case: against plain loops, by hand, and cut off at past times."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib import escalation, eventlog, open_dataset, store, words
from cxlib.escalation import features, replay, surroundings
from cxlib.schema import DataError

START = pd.Timestamp("2026-03-02T00:00:00Z")  # a Monday
DAY = pd.Timedelta(days=1)


def at(days: float) -> pd.Timestamp:
    return (START + days * DAY).as_unit("us")


def touches(rows) -> pd.DataFrame:
    """(case, user, day, stage, mood) -> the touchpoints table."""
    frame = pd.DataFrame(rows, columns=["case_id", "user_id", "day", "stage", "sentiment"])
    times = pd.Series([at(day) for day in frame.pop("day")], dtype="datetime64[us, UTC]")
    return frame.assign(touchpoint_id=[f"t{i}" for i in range(len(frame))], occurred_at=times)


def known(touchpoints: pd.DataFrame, **tables) -> pd.DataFrame:
    """Keys and features by touchpoint."""
    log = eventlog.compile(touchpoints, settings=store.Settings(observed_until=at(400)))
    found = features.moments(log, SimpleNamespace(tables={"touchpoints": touchpoints, **tables}))
    both = pd.concat([found.keys, found.features], axis=1)
    return both.set_index("touchpoint_id")


def random_touches(seed: int, n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    case = rng.integers(0, 12, n)
    user = np.where(rng.random(n) < 0.7, np.char.add("u", (case % 4).astype(str)), None)
    mood = np.where(rng.random(n) < 0.6, rng.uniform(-1, 1, n).round(3), np.nan)
    stage = rng.choice(["help", "chatbot", "agent", "phone"], n, p=[0.4, 0.25, 0.25, 0.1])
    return touches(list(zip(np.char.add("c", case.astype(str)), user, rng.integers(0, 80, n) / 2, stage, mood, strict=True)))


# ---- the customer's past


def test_a_customers_past_counted_by_hand():
    t = known(
        touches(
            [
                ("a", "u", 0, "help", 0.5),
                ("a", "u", 1, "phone", -0.5),
                ("b", "u", 11, "help", None),
                ("c", None, 20, "help", None),  # nobody knows yet who this is
                ("c", "u", 21, "agent", None),
                ("d", "v", 30, "help", None),
                ("e", "u", 48.5, "help", None),  # only c lies within 28 days
                ("f", "u", 80, "help", None),
            ]
        )
    )
    t = t.loc[[f"t{i}" for i in range(8)]]
    new, called = surroundings.NEW, surroundings.CALLED
    assert t["customer.kind"].dropna().tolist() == [new, new, called, called, new, called, called]
    assert t["customer.kind"].isna().tolist() == [i == 3 for i in range(8)]
    assert t["customer.n_28d"].tolist()[4:] == [2, 0, 1, 0]
    assert t["customer.called"].tolist()[6:] == [1 / 3, 1 / 4]
    assert t["customer.days_since"].isna().tolist()[5:] == [True, False, True]
    assert t["customer.mood"].tolist()[2] == 0
    assert t["customer.days_since"].tolist()[4] == 10


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_a_customers_past_is_what_plain_loops_find(seed):
    table = random_touches(seed)
    found = known(table)
    rows = table.set_index("touchpoint_id").loc[found.index].assign(case=found["case"])
    for touch, row in rows.iterrows():
        own = rows[(rows["case"] == row["case"])]
        named = own[own["user_id"].notna() & (np.arange(len(own)) <= own.index.get_loc(touch))]
        if named.empty:
            assert pd.isna(found.loc[touch, "customer.kind"])
            continue
        user = named["user_id"].iloc[-1]
        since = named.loc[named["user_id"] == user, "occurred_at"].iloc[0]
        n_cases, n_lately, n_called, back = 0, 0, 0, since - 28 * DAY
        for _, case in rows.groupby("case"):
            theirs = case[case["user_id"] == user]
            if theirs.empty:
                continue
            began, calls = theirs["occurred_at"].iloc[0], case[case["stage"] == "phone"]["occurred_at"]
            n_cases += began < since
            n_lately += back <= began < since
            n_called += len(calls) > 0 and max(calls.iloc[0], began) < since
        share = n_called / n_cases if n_cases else np.nan
        assert found.loc[touch, "customer.called"] == pytest.approx(share, nan_ok=True)
        assert found.loc[touch, "customer.n_28d"] == n_lately
        naming = rows.groupby("case")["user_id"].ffill()
        moods = rows["sentiment"][(naming == user) & (rows["occurred_at"] < since)].dropna()
        assert found.loc[touch, "customer.mood"] == pytest.approx(moods.mean(), nan_ok=True)


# ---- how busy it was


def test_load_counts_the_last_24_hours_and_holds_them_against_the_usual():
    rows = [(f"c{i}", f"u{i}", day, "help", None) for i, day in enumerate([*np.arange(0, 14, 0.5), 14, 14.1, 14.2, 14.3])]
    t = known(touches(rows)).sort_values("at")
    last = t.iloc[-1]
    assert last["load.n_24h"] == 5  # 13.5 and those of day 14; 13 lies more than 24 hours back
    assert last["load.vs_usual"] == pytest.approx(5 / (32 / 14.3))
    assert t["load.vs_usual"].isna().tolist() == [day < 7 for day in (t["at"] - t["at"].min()) / 86_400_000_000]


# ---- incidents


INCIDENTS = pd.DataFrame(
    {
        "incident_id": ["i1", "i2", "i3"],
        "application_id": ["Ledger", "Ledger", "Other"],
        "started_at": pd.Series([at(1), at(1.5), at(0)], dtype="datetime64[us, UTC]"),
        "detected_at": pd.Series([at(2), None, at(0)], dtype="datetime64[us, UTC]"),
        "restored_at": pd.Series([at(4), at(9), None], dtype="datetime64[us, UTC]"),
    }
)


def on(days, application="Ledger") -> tuple[pd.Series, np.ndarray]:
    times = np.array([at(day).timestamp() * 1_000_000 for day in days], dtype=np.int64)
    return pd.Series([application] * len(days), dtype="str"), times


def test_an_incident_is_known_from_its_detection_to_its_end():
    found = surroundings.incidents(*on([1.5, 2, 3, 4, 8]), {"incidents": INCIDENTS})
    assert found["incident.open"].tolist() == ["no", "yes", "yes", "no", "no"]  # i2 was never noticed
    assert found["incident.age_h"].tolist()[1:3] == [0, 24]
    assert found["incident.age_h"].isna().tolist() == [True, False, False, True, True]


def test_an_incident_that_was_over_before_anybody_noticed_was_never_open():
    told = INCIDENTS.iloc[:1].assign(restored_at=pd.Series([at(1.5)], dtype="datetime64[us, UTC]"))
    assert surroundings.incidents(*on([1.7, 2, 3]), {"incidents": told})["incident.open"].tolist() == ["no", "no", "no"]


def test_without_detection_times_an_incident_is_known_from_its_start():
    told = INCIDENTS.drop(columns="detected_at")
    assert surroundings.incidents(*on([0.5, 1, 5]), {"incidents": told})["incident.open"].tolist() == ["no", "yes", "yes"]


def test_an_application_nobody_named_has_no_incident_and_one_without_rows_has_none_open():
    application, times = on([3, 3])
    found = surroundings.incidents(pd.Series(["Never", None], dtype="str"), times, {"incidents": INCIDENTS})
    assert found["incident.open"].tolist()[0] == "no"
    assert found["incident.open"].isna().tolist() == [False, True]
    assert surroundings.incidents(application, times, {}).empty


# ---- how it went with the like


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_the_share_of_the_like_is_what_plain_loops_find(seed):
    rng = np.random.default_rng(seed)
    table = random_touches(seed).assign(application_id=[f"app{i}" for i in rng.integers(0, 25, 60)])
    found = known(table)
    rows = table.set_index("touchpoint_id").loc[found.index].assign(case=found["case"], app=found["application.value"])
    if rows["app"].nunique() <= 20:
        assert "application.past" not in found
        return
    calls = rows[rows["stage"] == "phone"].groupby("case")["occurred_at"].first()
    for touch, row in rows.iterrows():
        n = y = all_n = all_y = 0
        for number, case in rows.groupby("case"):
            shown, began = case[case["app"] == row["app"]], case["occurred_at"].iloc[0]
            if number == row["case"]:
                continue
            called = calls.get(number, pd.NaT)
            all_n += began < row["occurred_at"]
            all_y += bool(called < row["occurred_at"])
            if len(shown) and shown["occurred_at"].iloc[0] < row["occurred_at"]:
                n += 1
                y += bool(max(called, shown["occurred_at"].iloc[0]) < row["occurred_at"]) if called is not pd.NaT else 0
        overall = all_y / all_n if all_n else np.nan
        assert found.loc[touch, "application.past"] == pytest.approx((y + 20 * overall) / (n + 20), nan_ok=True)


# ---- how old it is for its kind


def test_age_is_held_against_cases_that_were_over_when_the_week_began():
    old = [(f"o{i}", f"o{i}", day, "help", None) for i in range(12) for day in (0, 1 + i / 10)]
    new = [("n", "n", 14.5, "help", None), ("n", "n", 16.5, "agent", None)]
    not_over = [(f"x{i}", f"x{i}", day, "help", None) for i in range(12) for day in (9.5, 9.9)]  # silent for less than the gap
    t = known(touches(old + new + not_over))
    lengths = [1 + i / 10 for i in range(12)]
    assert t.loc[["t24", "t25"], "time.vs_usual"].tolist() == pytest.approx([0, 2 / np.median(lengths)])
    assert t.loc[t["at"] < 10 * 86_400_000_000 + t["at"].min(), "time.vs_usual"].isna().all()


# ---- the future


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 19))
def test_nothing_around_a_case_is_seen_before_its_time(seed, cut):
    """Without what comes later every feature of the earlier touches is the same."""
    rng = np.random.default_rng(seed)
    table = random_touches(seed).assign(application_id=[f"app{i}" for i in rng.integers(0, 25, 60)])
    started = rng.integers(0, 30, 40) / 2
    incidents = pd.DataFrame(
        {"incident_id": [f"i{i}" for i in range(40)], "application_id": [f"app{i % 25}" for i in range(40)]}
    )
    ends = {"started_at": 0, "detected_at": 1, "restored_at": 3}
    for name, later in ends.items():
        incidents[name] = pd.Series([at(day + later) for day in started], dtype="datetime64[us, UTC]")
    tables = {"touchpoints": table, "incidents": incidents}
    whole, past = (known(**of) for of in (tables, replay.cut_tables(tables, at(cut))))
    both = whole.columns.intersection(past.columns).difference(["case", "at_risk", "customer"])
    assert {"customer.kind", "load.n_24h", "incident.open"} <= set(both)
    pd.testing.assert_frame_equal(whole.loc[past.index, both], past[both])


@pytest.fixture
def data(tmp_path):
    store.write_dataset(tmp_path / "data", {"name": "test", "observed_until": at(60)}, {"touchpoints": random_touches(3)})
    return open_dataset(tmp_path / "data")


def test_the_probe_finds_no_leak_in_our_features(data):
    found = escalation.leak_probe(data, cuts=2)
    assert (found["n"] > 10).all()
    assert (found["n_differ"] == 0).all()
    assert found["reads"].str.len().min() > 0


def test_the_probe_names_a_feature_that_sees_the_future(data, monkeypatch):
    honest = replay.told

    def peeking(*args):
        log, found = honest(*args)
        last = found.keys.groupby("case")["at"].transform("max")
        return log, features.Moments(found.keys, found.features.assign(**{"time.left_h": (last - found.keys["at"]) / 3.6e9}))

    monkeypatch.setattr(replay, "told", peeking)
    found = escalation.leak_probe(data, cuts=2)
    assert found["feature"].iloc[0] == "time.left_h"
    assert found["n_differ"].iloc[0] > 0
    assert found["example"].iloc[0].startswith("t")
    assert (found["n_differ"].iloc[1:] == 0).all()


def test_a_probe_that_compares_nothing_is_refused(data):
    with pytest.raises(DataError, match="cuts=0 compares nothing"):
        escalation.leak_probe(data, cuts=0)


def test_a_replay_is_said_and_a_feature_that_differs_is_named(data):
    probe = escalation.leak_probe(data, cuts=1)
    assert words.say_replay(probe).endswith(f"none of {len(probe)} features differs at these cuts.")
    off = probe.assign(n_differ=[3, *[0] * (len(probe) - 1)])
    assert f"**1 of {len(probe)} features differ** (stage at 3 moments)" in words.say_replay(off)
