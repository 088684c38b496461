"""Calls that follow by chance: counted by plain loops, and worlds in which requests and calls are linked, or are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from cxlib import escalation, open_dataset, store, words
from cxlib.schema import DataError

START = pd.Timestamp("2026-01-01T00:00:00Z")
STAGES = {"stages": ["app", "phone"], "escalation": "phone", "problem_from": "app", "cases": {"by": "user_id", "gap": "20d"}}


def at(day: float) -> pd.Timestamp:
    return (START + pd.Timedelta(days=day)).as_unit("us")


@pytest.fixture
def opened(tmp_path):
    """(customer, kind, day, stage) rows -> an opened dataset observed until a day; no customer: None."""

    def write(rows, until=100.0, n=[0]):  # noqa: B006  (a counter for the folders)
        n[0] += 1
        frame = pd.DataFrame(rows, columns=["visitor_id", "kind", "day", "stage"])
        ids = [f"t{i}" for i in range(len(frame))]
        times = frame["day"].map(at)
        touches = pd.DataFrame({"touchpoint_id": ids, "visitor_id": frame["visitor_id"], "ticket_id": ids})
        touches = touches.assign(occurred_at=times, stage=frame["stage"])
        tickets = pd.DataFrame({"ticket_id": ids, "opened_at": times, "subcategory": frame["kind"]})
        folder = tmp_path / f"data{n[0]}"
        settings = STAGES | {"name": "test", "observed_until": at(until)}
        store.write_dataset(folder, settings, {"touchpoints": touches, "tickets": tickets})
        return open_dataset(folder)

    return write


def shares(result) -> list[float]:
    return result.table["share"].tolist()


def test_a_request_is_compared_with_the_same_moment_at_others_of_its_kind(opened):
    """Three addresses, asked at days 0, 20 and 40; the first calls on day 5, the second on day 42."""
    rows = [("a", "x", 0, "app"), ("a", "x", 5, "phone"), ("b", "x", 20, "app"), ("b", "x", 42, "phone"), ("c", "x", 40, "app")]
    result = escalation.by_chance(opened(rows), horizon="10d")
    # followed: a. By chance: a's moment at b or c: none of two; b's at a or c: none of two; c's at a or b: b of the two.
    assert shares(result) == pytest.approx([1 / 3, 1 / 6, 1 / 6])
    assert result.table["n"].tolist() == [3, 3, 3]
    each = result.requests.set_index("touchpoint_id").sort_index()
    assert each["followed"].to_dict() == {"t0": True, "t2": False, "t4": False}
    assert each["by_chance"].to_dict() == {"t0": 0, "t2": 0, "t4": 0.5}


def test_what_cannot_be_compared_is_counted(opened):
    rows = [
        ("a", "x", 0, "app"),
        ("b", "x", 1, "app"),
        (None, "x", 2, "app"),  # no customer
        ("a", None, 3, "app"),  # no kind
        ("a", "x", 95, "app"),  # not watched for ten days
        ("b", "x", 50, "phone"),
        ("b", "x", 55, "app"),  # has called shortly before
        ("d", "y", 5, "app"),  # nobody else asks for it
    ]
    result = escalation.by_chance(opened(rows), horizon="10d")
    assert dict(result.left_out) == {
        "no customer": 1,
        "no kind": 1,
        "not watched for so long": 1,
        "an escalation shortly before": 1,
        "no other customer of the kind": 1,
    }
    assert result.rate("followed")["n"] == 2
    assert result.rate("followed")["customers"] == 2


def by_plain_loops(rows, horizon: float, until: float) -> list[float]:
    """Every request against every other request of its kind by another customer, one by one."""

    def calls(customer, kind, low, high, ends):
        between = [d for c, k, d, s in rows if (c, k, s) == (customer, kind, "phone")]
        return any(low <= d < high if ends == "[)" else low < d <= high if ends == "(]" else low <= d <= high for d in between)

    asks = [(c, k, d) for c, k, d, s in rows if s == "app"]
    seen, chance = [], []
    for customer, kind, day in asks:
        if day + horizon > until or calls(customer, kind, day - horizon, day, "[]"):
            continue
        lent = [c for c, k, _ in asks if k == kind and c != customer and not calls(c, k, day - horizon, day, "[]")]
        if lent:
            seen.append(calls(customer, kind, day, day + horizon, "(]"))
            chance.append(np.mean([calls(c, kind, day, day + horizon, "(]") for c in lent]))
    return [np.mean(seen), np.mean(chance), np.mean(seen) - np.mean(chance)]


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_those_that_plain_loops_find(opened, seed):
    rng = np.random.default_rng(seed)
    days = rng.choice(np.arange(0, 60, 0.5), 120, replace=True)
    rows = [(f"c{rng.integers(12)}", rng.choice(["x", "y"]), d, rng.choice(["app", "phone"], p=[0.7, 0.3])) for d in days]
    result = escalation.by_chance(opened(rows, until=60), horizon="5d")
    assert shares(result) == pytest.approx(by_plain_loops(rows, 5, 60))
    of_any = [(c, "", d, s) for c, _, d, s in rows]
    assert shares(escalation.by_chance(opened(rows, until=60), kind=None, horizon="5d")) == pytest.approx(
        by_plain_loops(of_any, 5, 60)
    )


def world(seed: int, linked: float, n_customers: int = 250) -> list[tuple[str, str, float, str]]:
    """Customers who ask and call often or seldom, more in spring, of two kinds; `linked` of the requests are followed by a
    call within a week beyond that."""
    rng = np.random.default_rng(seed)
    rows = []
    for c in range(n_customers):
        for kind in ("x", "y"):
            busy = rng.gamma(1, 1)
            for stage, mean in (("app", 0.8), ("phone", 1.2)):
                for day in _spring(rng, rng.poisson(mean * busy)):
                    rows.append((f"c{c}", kind, day, stage))
                    if stage == "app" and rng.random() < linked:
                        rows.append((f"c{c}", kind, day + rng.uniform(0.1, 7), "phone"))
    return [row for row in rows if row[2] <= 100]


def _spring(rng, n: int) -> np.ndarray:
    return 100 * rng.beta(2, 4, n)


def test_where_calls_have_nothing_to_do_with_requests_chance_explains_them(opened):
    """The interval of the difference holds 0 in 89 to 100 of 100 such worlds, and the difference is 0 on average."""
    results = [escalation.by_chance(opened(world(seed, linked=0)), horizon="14d") for seed in range(100)]
    beyond = [result.rate("beyond chance") for result in results]
    assert 89 <= sum(row["low"] <= 0 <= row["high"] for row in beyond) <= 100
    off = np.array([row["share"] for row in beyond])
    assert abs(off.mean()) < 3 * off.std() / 10
    assert np.mean([result.rate("by chance")["share"] for result in results]) > 0.1


def test_a_planted_link_is_found_beyond_chance(opened):
    """Linked requests are followed in any case, the others as often as by chance: beyond = linked x (1 - chance)."""
    found = []
    for seed in range(8):
        result = escalation.by_chance(opened(world(seed, linked=0.3)), horizon="14d")
        assert result.rate("beyond chance")["low"] > 0
        found.append((result.rate("beyond chance")["share"], result.rate("by chance")["share"]))
    beyond, chance = np.mean(found, axis=0)
    assert beyond == pytest.approx(0.3 * (1 - chance), abs=0.03)


def test_a_forecast_that_knows_only_what_is_called_about_ranks_chance_as_well(opened):
    """Requests of three kinds are followed by calls of their kind, by anybody; the forecast can know no more than the kind."""
    rng = np.random.default_rng(0)
    rows = []
    for kind, calls in (("quiet", 100), ("middling", 700), ("loud", 2000)):
        rows += [(f"{kind}{rng.integers(900)}", kind, day, "app") for day in rng.uniform(0, 100, 900)]
        rows += [(f"{kind}{rng.integers(900)}", kind, day, "phone") for day in rng.uniform(0, 100, calls)]
    data = opened(rows)
    result, chance = escalation.fit(data, split=0.6, horizon="14d"), escalation.by_chance(data, horizon="14d")
    table = escalation.auc_by_chance(result, chance)
    followed, by_chance = (table.iloc[i] for i in range(2))
    assert followed["value"] > 0.6
    assert followed["low"] < by_chance["value"] < followed["high"]
    rows = result.table.merge(chance.requests, on="touchpoint_id")
    plain = metrics.roc_auc_score(rows["followed"], rows["chance"], sample_weight=rows["weight"])
    assert followed["value"] == pytest.approx(plain)
    assert "not shown" in words.say_auc_by_chance(table)
    with pytest.raises(DataError, match="ask both for the same target and horizon"):
        escalation.auc_by_chance(result, escalation.by_chance(data, horizon="7d"))
    with pytest.raises(DataError, match="are both of the same data set"):
        escalation.auc_by_chance(result, escalation.by_chance(opened([("a", "x", 0, "app")]), horizon="14d"))


def test_names_of_customers_and_the_order_of_rows_mean_nothing(opened):
    rows = world(3, linked=0.1, n_customers=60)
    other = [(c, k, d, s) for c, k, d, s in reversed(rows)]
    one, two = (escalation.by_chance(opened(r)) for r in (rows, other))
    pd.testing.assert_frame_equal(one.table, two.table)
    renamed = escalation.by_chance(opened([(f"z{c}", k, d, s) for c, k, d, s in rows]))
    assert shares(renamed) == pytest.approx(shares(one))


def test_the_sentence_says_what_the_table_holds(opened):
    result = escalation.by_chance(opened(world(1, linked=0.3)))
    said = words.say_by_chance(result)
    assert f"Of {result.table['n'][0]:,} requests by {result.table['customers'][0]} customers" in said
    assert "more than chance" in said
    assert "of the same subcategory within 14 days" in said
    alone = escalation.by_chance(opened([("a", "x", 0, "app"), ("a", "x", 5, "phone")]))
    assert "cannot be compared with chance" in words.say_by_chance(alone)
    assert alone.table["share"].isna().all()


@pytest.mark.parametrize("stage", ["app", "phone"])
def test_without_calls_nothing_follows_and_without_requests_nothing_is_said(opened, stage):
    result = escalation.by_chance(opened([("a", "x", 0, stage), ("b", "x", 5, stage)]))
    assert shares(result) == pytest.approx([0, 0, 0] if stage == "app" else [np.nan] * 3, nan_ok=True)


def test_a_kind_or_target_that_cannot_be_is_refused(opened):
    data = opened([("a", "x", 0, "app"), ("b", "x", 5, "phone")])
    with pytest.raises(DataError, match="kind=subcategry is no column of the tickets: did you mean subcategory"):
        escalation.by_chance(data, kind="subcategry")
    with pytest.raises(DataError, match="or kind=None for any"):
        escalation.by_chance(data, kind="category")
    with pytest.raises(DataError, match="target=app is no stage that can be forecast"):
        escalation.by_chance(data, target="app")
    with pytest.raises(DataError, match="has no unit"):
        escalation.by_chance(data, horizon="14")
