"""Overdue tickets: moments and records counted by hand, features that cannot see the future, and what is not yet known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from cxlib import escalation, open_dataset, store
from cxlib.cli import main
from cxlib.escalation import overdue
from cxlib.escalation.labels import outcomes
from cxlib.escalation.overdue import record, tickets_due
from cxlib.schema import DAY, DataError

NOON = pd.Timestamp("2026-03-02T12:00:00Z")


def hour(h: float) -> pd.Timestamp:
    return (NOON + pd.Timedelta(hours=h)).as_unit("us")


def tickets(rows) -> pd.DataFrame:
    """(ticket, hour opened, hours given, hour done or None, and whatever else is known) -> the tickets table."""
    told = [
        {
            "ticket_id": name,
            "opened_at": hour(opened),
            "due_at": None if given is None else hour(opened + given),
            "resolved_at": None if done is None else hour(done),
            **more,
        }
        for name, opened, given, done, more in rows
    ]
    times = ("opened_at", "due_at", "resolved_at")
    return pd.DataFrame(told).assign(
        **{t: lambda f, t=t: pd.to_datetime(f[t], utc=True).astype("datetime64[us, UTC]") for t in times}
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A tickets table, and until which hour it was observed -> an opened dataset."""

    def write(table, until, **tables):
        out = tmp_path_factory.mktemp("overdue") / "data"
        store.write_dataset(out, {"name": "test", "observed_until": hour(until)}, {"tickets": table} | tables)
        return open_dataset(out)

    return write


@pytest.fixture
def few(opened):
    """Given 8 hours each: done after 3, never done, done an hour late, still open; nothing promised; given too long; odd."""
    rows = [
        ("in time", 0, 8, 3, {}),
        ("never", 0, 8, None, {}),
        ("late", 0, 8, 9, {}),
        ("open", 15, 8, None, {}),
        ("no promise", 0, None, 5, {}),
        ("long", 0, 800, None, {}),
        ("due at once", 1, 0, 5, {}),
        ("done before", 5, 8, 4, {}),
    ]
    return opened(tickets(rows), until=18)


def test_a_ticket_is_looked_at_at_fixed_ages_while_it_is_open_and_in_time(few):
    log, known = tickets_due(few)
    keys = known.keys.assign(hour=(known.keys["at"] - NOON.value // 1000) / 3.6e9)
    found = {case: list(zip(part["hour"], part["stage"], strict=True)) for case, part in keys.groupby("case_id")}
    to_the_end = [(0, "opened"), (6, "6h old"), (8, "overdue")]
    assert found == {
        "in time": [(0, "opened"), (3, "done")],
        "never": to_the_end,
        "late": to_the_end,
        "open": [(15, "opened")],
    }
    assert keys.groupby("case_id")["at_risk"].sum().to_dict() == {"in time": 1, "late": 2, "never": 2, "open": 1}
    assert log.case_id[log.case_open].tolist() == ["open"]


def test_what_is_done_in_time_is_known_at_once_and_what_is_open_with_its_time_ahead_is_not_known(few):
    log, known = tickets_due(few)
    late = known.keys["at"].where(log.stage == log.escalation).groupby(known.keys["case"]).transform("min")
    keys = known.keys.assign(escalated_at=late)
    found = keys.join(outcomes(keys, keys["at_risk"].to_numpy(), log.observed_until, 30 * DAY)).dropna(subset=["weight"])
    assert found.groupby("case_id")["label"].max().to_dict() == {"in time": False, "late": True, "never": True, "open": False}
    assert (found["weight"] > 0).groupby(found["case_id"]).max().to_dict() == {
        "in time": True,
        "late": True,
        "never": True,
        "open": False,
    }


def test_a_promise_is_kept_to_the_very_end_of_its_time(opened):
    _, known = tickets_due(opened(tickets([("kept", 0, 8, 8, {}), ("other", 0, 8, 8.001, {})]), until=20))
    ends = known.keys.groupby("case_id")["stage"].last()
    assert ends.to_dict() == {"kept": "done", "other": "overdue"}


def test_the_share_overdue_of_the_like_and_the_queue_counted_by_hand():
    rows = [
        ("a", 0, 10, 5, {"subcategory": "x"}),  # in time at 5
        ("b", 0, 10, 30, {"subcategory": "x"}),  # overdue at 10, open until 30
        ("c", 1, 10, None, {"subcategory": "y"}),  # overdue at 11
        ("d", 20, 10, None, {"subcategory": "x"}),
        ("e", 21, None, None, {"subcategory": "x"}),  # nothing promised: waits, says nothing
        ("f", 22, 10, 40, {"subcategory": None}),
    ]
    table = tickets(rows)
    asked = pd.DataFrame(
        {"case_id": ["d", "d", "f", "a"], "at": [NOON.value // 1000 + int(h * 3.6e9) for h in (20, 22, 22, 0)]}
    )
    found = record(table, asked)
    overall = (2 + 5 * 0.5) / (3 + 5)  # two of three were overdue by then
    of_x = (1 + 5 * overall) / (2 + 5)
    assert found["overdue_by_kind.days_14"].tolist() == pytest.approx([of_x, of_x, np.nan, 0.5], nan_ok=True)
    assert found["queue.n_open"].tolist() == [1, 3, 0, 0]  # b; b, d and e; nothing; nothing before a
    assert found["queue.n_overdue"].tolist() == [1, 1, 0, 0]
    assert list(found) == ["overdue_by_kind.days_14", "overdue_by_kind.days_90", "queue.n_open", "queue.n_overdue"]


def random_tickets(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    done = [None if rng.random() < 0.15 else float(d) for d in rng.exponential(60, n).round()]
    rows = [
        (
            f"k{i}",
            opened,
            None if rng.random() < 0.1 else float(rng.choice([8, 24, 72])),
            None if wait is None else opened + wait,
            {
                "category": rng.choice(["p", "q"]),
                "subcategory": rng.choice(["x", "y", "z"]),
                "location": rng.choice(["n", "s"]),
            },
        )
        for i, (opened, wait) in enumerate(zip(np.sort(rng.uniform(0, 900, n).round()), done, strict=True))
    ]
    return tickets(rows)


@pytest.mark.parametrize("seed", range(3))
def test_records_are_those_that_plain_loops_find(seed):
    table = random_tickets(60, seed)
    rng = np.random.default_rng(seed)
    asked = pd.DataFrame({"case_id": rng.choice(table["ticket_id"], 25), "hour": rng.integers(0, 950, 25)})
    asked["at"] = NOON.value // 1000 + asked["hour"] * 3_600_000_000
    found = record(table, asked)
    for row, (case, h) in enumerate(zip(asked["case_id"], asked["hour"], strict=True)):
        own, now = table.set_index("ticket_id").loc[case], hour(h)

        def share(like, days, prior, now=now):
            n = y = 0
            for k in like.itertuples():
                end = k.due_at if pd.isna(k.resolved_at) else min(k.resolved_at, k.due_at)
                if not pd.isna(k.due_at) and now - pd.Timedelta(days=days) <= end < now:
                    n, y = n + 1, y + (pd.isna(k.resolved_at) or k.resolved_at > k.due_at)
            return (y + 5 * prior) / (n + 5)

        overall = share(table, 90, 0.5)
        of_kind, of_place = table[table["subcategory"] == own["subcategory"]], table[table["location"] == own["location"]]
        both = of_kind[of_kind["location"] == own["location"]]
        for name, like in {"kind": of_kind, "place": of_place, "kind_and_place": both}.items():
            for days in (14, 90):
                value = found.loc[row, f"overdue_by_{name}.days_{days}"]
                assert value == pytest.approx(share(like, days, overall), abs=1e-8)
        waits = of_kind[(of_kind["opened_at"] < now) & ~(of_kind["resolved_at"] < now)]
        assert found.loc[row, "queue.n_open"] == len(waits)
        assert found.loc[row, "queue.n_overdue"] == (waits["due_at"] < now).sum()


# ---- a due_at that is moved


def moves(rows) -> pd.DataFrame:
    """(ticket, hour of the change, hour due before or None, hour due after or None) -> the ticket_events table."""
    told = [(name, hour(at), *(None if h is None else hour(h).isoformat() for h in due)) for name, at, *due in rows]
    log = pd.DataFrame(told, columns=["ticket_id", "occurred_at", "old_value", "new_value"])
    return log.assign(event_id=[f"e{i}" for i in range(len(log))], field="due_at")


def test_each_promise_counts_while_it_stood():
    rows = [
        ("missed, then moved", 0, 90, 30, {}),
        ("moved in time", 0, 30, 25, {}),
        ("moved to the past", 0, 2, 9, {}),
        ("set when opened", 0, 8, None, {}),
        ("withdrawn", 0, None, None, {}),
        ("moved twice", 0, 50, 45, {}),
        ("unlogged", 0, 7, 5, {}),
    ]
    log = [
        ("missed, then moved", 12, 10, 90),
        ("moved in time", 10, 10, 30),  # to the very end of its time
        ("moved to the past", 6, 40, 2),
        ("set when opened", 0, None, 8),
        ("withdrawn", 4, 10, None),
        ("moved twice", 8, 10, 20),
        ("moved twice", 30, 20, 50),
    ]
    found = overdue.first_missed({"tickets": tickets(rows), "ticket_events": moves(log).sample(frac=1, random_state=0)})
    hours = (found.set_index("ticket_id")[["due_at", "first_due_at"]] - NOON) / pd.Timedelta(hours=1)
    assert hours["due_at"].tolist() == pytest.approx([10, 30, 6, 8, np.nan, 20, 7], nan_ok=True)
    assert hours["first_due_at"].tolist() == pytest.approx([10, 10, 40, 8, 10, 10, 7], nan_ok=True)


def test_a_logged_due_at_without_a_zone_is_local_and_one_that_is_no_time_is_refused():
    table, log = tickets([("a", 0, 90, None, {})]), moves([("a", 12, 10, 90)])
    local = log.assign(old_value="2026-03-02 23:30:00", new_value="2026-07-01 08:00")  # Berlin: 22:30 in UTC
    found = overdue.first_missed({"tickets": table, "ticket_events": local}, "Europe/Berlin")
    assert found["due_at"].tolist() == [pd.Timestamp("2026-03-02T22:30Z")]
    with pytest.raises(DataError, match="change due_at to 'soon', which is no time: write it as"):
        overdue.first_missed({"tickets": table, "ticket_events": log.assign(new_value="soon")})


def test_a_logged_promise_is_watched_by_its_first_length_and_missed_when_it_first_passed(opened):
    rows = [("a", 0, 2000, 30, {}), ("b", 0, 10, 5, {})]
    _, known = tickets_due(opened(tickets(rows), until=3000, ticket_events=moves([("a", 12, 10, 2000)])))
    assert known.keys.groupby("case_id")["stage"].agg(list).to_dict() == {
        "a": ["opened", "6h old", "overdue"],
        "b": ["opened", "done"],
    }


@pytest.mark.parametrize("seed", range(3))
def test_no_feature_reads_a_due_at_to_come(opened, seed):
    table = random_tickets(80, seed)
    cut = hour(500)
    by = pd.to_timedelta(np.random.default_rng(seed).integers(1, 200, len(table)), unit="h").as_unit("us")
    moved = table.assign(due_at=(table["due_at"] + by).where(table["due_at"] > cut, table["due_at"]))
    one, two = (
        pd.concat([known.keys, known.features], axis=1).set_index("touchpoint_id")
        for _, known in (tickets_due(opened(t, until=1000)) for t in (table, moved))
    )
    rows = one.index[one["at_risk"] & (one["at"] <= cut.value // 1000)]
    assert len(rows) > 50 and (one["stage"][rows] != "opened").sum() > 20
    assert set(rows) == set(two.index[two["at_risk"] & (two["at"] <= cut.value // 1000)])
    columns = sorted(set(one) & set(two) - {"case"})
    here, there = (t.loc[rows, columns].astype(object).fillna("missing") for t in (one, two))
    pd.testing.assert_frame_equal(here, there)


def test_the_leak_probe_finds_nothing(opened):
    table = random_tickets(600, 0)
    found = escalation.leak_probe(opened(observed(table, 900), until=900), cuts=2, target="overdue")
    assert found["n_differ"].sum() == 0
    assert found.loc[found["feature"].str.startswith("overdue_by"), "n"].min() > 500


def test_a_promise_that_is_moved_once_it_is_missed_gives_nothing_away(opened):
    """All tickets are alike, so no one can say which will be late; the age says how many."""
    rng = np.random.default_rng(0)
    at, took = np.sort(rng.uniform(0, 6000, 1500)), rng.exponential(60, 1500)
    given = np.where(took > 48, 96.0, 48.0)
    rows = [(f"k{i}", at[i], given[i], at[i] + took[i], {"category": "xyz"[i % 3], "user_id": f"u{i}"}) for i in range(1500)]
    found = escalation.fit(opened(observed(tickets(rows), 6100), until=6100), target="overdue").by_stage
    assert (found["value"].dropna() < 0.6).all()
    assert found["stage"].tolist()[:3] == ["opened", "6h old", "1d old"]


# ---- no look into the future


def with_another_future(table: pd.DataFrame, cut: pd.Timestamp) -> pd.DataFrame:
    """The same until the cut; after it nothing is resolved, and tickets that are opened later are of another kind."""
    later = table["opened_at"] > cut
    end = table["resolved_at"].where(table["resolved_at"] <= cut)
    return table.assign(resolved_at=end, subcategory=table["subcategory"].where(~later, "w"))


@pytest.mark.parametrize("seed", range(3))
def test_no_feature_sees_the_future(opened, seed):
    table = random_tickets(80, seed)
    cut = hour(500)
    whole, other = (tickets_due(opened(t, until=1000)) for t in (table, with_another_future(table, cut)))
    one, two = (pd.concat([k.keys, k.features], axis=1).set_index("touchpoint_id") for _, k in (whole, other))
    rows = one.index[one["at_risk"] & (one["at"] <= cut.value // 1000)]
    assert len(rows) > 50
    columns = sorted(set(whole[1].features) | set(other[1].features))
    here, there = (t.reindex(index=rows, columns=columns).astype(object).fillna("missing") for t in (one, two))
    pd.testing.assert_frame_equal(here, there)


def planted_tickets(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Tickets of six kinds given a day, three or ten, and the chance of each, known at its opening, to be overdue."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 6, n)
    chance = np.array([0.05, 0.15, 0.3, 0.5, 0.7, 0.9])[kind]
    given = np.array([24.0, 72.0, 240.0])[kind % 3]
    at = np.sort(rng.uniform(0, 24 * 90, n))
    is_late = rng.random(n) < chance
    done = at + given * np.where(is_late, rng.uniform(1.001, 2, n), rng.uniform(0.01, 1, n))
    rows = [(f"k{i}", at[i], given[i], done[i], {"subcategory": f"kind {kind[i]}", "user_id": f"u{i % 400}"}) for i in range(n)]
    return tickets(rows), chance


def observed(table: pd.DataFrame, until: float) -> pd.DataFrame:
    """What an export at that hour would have held."""
    return table[table["opened_at"] <= hour(until)].assign(
        resolved_at=lambda t: t["resolved_at"].where(t["resolved_at"] <= hour(until))
    )


@pytest.fixture(scope="module")
def planted(opened):
    table, chance = planted_tickets(3000, seed=1)
    data = opened(observed(table, 24 * 80), until=24 * 80)
    return data, table, chance, escalation.fit(data, target="overdue", horizon="10d")


def test_the_forecast_at_the_opening_comes_near_the_best_possible_one(planted):
    _, table, chance, result = planted
    rows = result.table[result.table["stage"] == overdue.WATCHED[0]]
    place = pd.Index(table["ticket_id"]).get_indexer(rows["case_id"])
    best, ours = (
        metrics.roc_auc_score(rows["escalated"], p, sample_weight=rows["weight"]) for p in (chance[place], rows["chance"])
    )
    assert 0.75 < best < 0.9
    assert (ours - 0.5) / (best - 0.5) > 0.9
    assert result.by_stage.set_index("stage").loc[overdue.WATCHED[0], "value"] == pytest.approx(ours)


def test_the_chance_at_each_age_is_the_share_that_gets_overdue(planted):
    """Late tickets have more moments; were each ticket to weigh 1 in all, its opening would count for less."""
    _, table, chance, result = planted
    opening = result.table[result.table["stage"] == "opened"]
    truth = chance[pd.Index(table["ticket_id"]).get_indexer(opening["case_id"])]
    assert opening["chance"].mean() == pytest.approx(truth.mean(), abs=0.03)
    for _, rows in result.table.groupby("stage"):
        share = np.average(rows["escalated"], weights=rows["weight"])
        error = np.sqrt(share * (1 - share) / len(rows))
        assert np.average(rows["chance"], weights=rows["weight"]) == pytest.approx(share, abs=3 * error + 0.02)


def test_weights_for_what_is_not_yet_known_give_the_share_that_full_watching_gives(opened):
    """Over ten worlds: the share overdue of the newest tickets, as known when the data end, against what became of them."""
    off, naive = [], []
    for seed in range(10):
        table, _ = planted_tickets(2500, seed)
        log, known = tickets_due(opened(observed(table, 24 * 60), until=24 * 60), "10d")
        keys = known.keys.assign(
            escalated_at=known.keys["at"].where(log.stage == log.escalation).groupby(known.keys["case"]).transform("min")
        )
        rows = (keys["stage"] == overdue.WATCHED[0]).to_numpy() & (keys["at"] >= (NOON.value // 1000) + 45 * DAY).to_numpy()
        found = keys.join(outcomes(keys, rows, log.observed_until, 10 * DAY), how="inner")
        truth = table.set_index("ticket_id").loc[found["case_id"]]
        true_share = (truth["resolved_at"] > truth["due_at"]).mean()
        off.append(np.average(found["label"], weights=found["weight"]) - true_share)
        naive.append(found["label"].mean() - true_share)
    assert abs(np.mean(off)) < 0.02
    assert np.mean(naive) < -0.05  # counting what is open as in time


def test_what_is_filled_in_later_changes_nothing(opened, planted):
    _, table, _, result = planted
    seen = observed(table, 24 * 80)
    late = (table["resolved_at"] > table["due_at"]).reindex(seen.index).to_numpy()
    leaky = seen.assign(
        made_sla=~late,
        state=np.where(late, "Overdue", "Closed"),
        assignment_group=np.where(late, "Backlog", "Desk"),
        close_code=np.where(late, "late", "fine"),
        reopen_count=np.where(late, 3, 0),
    )
    again = escalation.fit(opened(leaky, until=24 * 80), target="overdue", horizon="10d")
    assert again.features == result.features
    assert pd.DataFrame(again.metrics).equals(pd.DataFrame(result.metrics))
    assert not {"due_at", "made_sla", "state", "assignment_group"} & {name.split(".")[0] for name in result.features}


def test_the_newest_tickets_are_held_out_whole(planted):
    _, table, _, result = planted
    opening = table.set_index("ticket_id")["opened_at"]
    assert (opening.loc[result.table["case_id"]] >= result.split_at).all()
    assert result.horizon == "10d"
    assert result.escalation == "overdue"


def test_a_forecast_of_overdue_that_is_kept_gives_the_same_list_on_the_command_line(planted, tmp_path, capsys):
    data, _, _, result = planted
    kept, out = tmp_path / "overdue.npz", tmp_path / "today.csv"
    args = ["score", "--data", str(data.path), "--model", str(kept), "--out", str(out)]
    assert main([*args, "--fit", "--target", "overdue", "--horizon", "10d"]) == 0
    assert main(args) == 0
    listed = pd.read_csv(out)
    expected = result.top(40).table
    assert listed["case_id"].tolist() == expected["case_id"].tolist()
    assert listed["chance"].tolist() == pytest.approx(expected["chance"].tolist())


def test_the_open_tickets_that_will_be_overdue_are_as_many_as_the_chances_say(opened, planted):
    _, table, _, result = planted
    truth = table.set_index("ticket_id").loc[result.waiting["case_id"]]
    late = int((truth["resolved_at"] > truth["due_at"]).sum())
    chance = result.waiting["chance"]
    assert len(chance) > 100
    assert abs(late - chance.sum()) < 3 * np.sqrt((chance * (1 - chance)).sum())


def test_without_a_due_time_there_is_nothing_to_forecast(opened):
    rows = [("a", 0, None, 5, {"channel": "phone"}), ("b", 1, None, None, {"channel": "phone"})]
    for table in (tickets(rows), tickets(rows).drop(columns="due_at")):
        with pytest.raises(DataError, match=r"needs tickets with an opened_at and a later due_at.*--map due_at="):
            escalation.fit(opened(table, until=10), target="overdue")
    with pytest.raises(DataError, match="has no unit"):
        escalation.fit(opened(tickets([("a", 0, 5, 6, {})]), until=10), target="overdue", horizon="30")


def test_tickets_that_were_all_given_longer_are_refused_with_the_way_out(few):
    with pytest.raises(DataError, match=r"none of 5 tickets .* \(horizon=2h\): ask for a longer one"):
        escalation.fit(few, target="overdue", horizon="2h")


def test_few_tickets_are_said_in_one_line(few):
    result = escalation.fit(few, target="overdue")
    assert "so no model is fitted" in result.why_not
    assert result.horizon == overdue.WITHIN


def test_a_stage_that_is_called_overdue_is_taken_as_the_stage(few):
    assert overdue.is_asked(few, "overdue")
    assert not overdue.is_asked(few, None)
    named = replace(few, settings=replace(few.settings, stages=(*few.settings.stages, "overdue")))
    assert not overdue.is_asked(named, "overdue")
