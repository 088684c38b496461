"""How near is the forecast to the best possible one, do chances, lists and reasons hold, do dealt labels show nothing?"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from cxlib import escalation, eventlog, open_dataset, store
from cxlib.escalation import choosing, features, forecast, labels, models, scores
from cxlib.escalation.expected import count_range
from cxlib.simulate import write_world
from cxlib.simulate.world import simulate_world
from cxlib.store import Dataset
from drills import central

CASES = {"2,000": 650, "5,000": 1_600, "20,000": 6_400}  # customers that bring about so many cases in search of help
RATIO = {"2,000": 0.955, "5,000": 0.965, "20,000": 0.98}  # the bars: AUC in parts of the best possible, medians over worlds
SLOPE, ECE, BLIND = (0.9, 1.1), 0.01, (0.49, 0.51)
DEALS, CHOICES = 10, 1  # deals of the labels to a world, and in how many of them the model is chosen anew

LISTED, CAPACITY = 2_400, 40  # customers of a world whose lists are judged, and cases on a list
FITTED = ("2026-07-05 10:00", "2026-08-14 10:00")  # dates of a fit; a list then and every `APART` days
LISTS, APART = 10, 4  # lists to a fit; days, so that hardly a case with a chance is on two of them

# What may raise a case's log odds, by how much, and the groups of features that tell of it.
DRIVERS = {
    "mood": (1.8, {"mood"}),
    "wait": (1.6, {"wait"}),
    "application": (1.4, {"application"}),
    "returns": (1.2, {"stage", "touches", "action"}),
    "category": (1.0, {"category"}),
}
WORKS = 0.3  # share of the cases in which each works
DRIVEN, LATEST = 3_000, 300  # cases of a world of drivers, and how many of them are open at the end
NAMED = 0.9  # of the cases that a driver drives have it among their reasons


@contextmanager
def opened(customers: int, seed: int) -> Iterator[tuple[Path, Dataset]]:
    """The folder of a simulated world, and the world opened."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world"
        write_world(simulate_world(customers, seed), path, store)
        yield path, open_dataset(path)


# ---- one forecast in each world


def world(seed: int, customers: int) -> dict[str, float]:
    """The chosen model in one world: auc and the best possible one, slope, ece and that of a perfect forecast, and the auc of
    `permuted`."""
    with opened(customers, seed) as (path, dataset):
        truth = pd.read_parquet(path / "truth" / "escalation.parquet").set_index("touchpoint_id")["p_call"]
        found = escalation.fit(dataset)
        blind = permuted(dataset, seed)
    rows = found.table
    best = scores.auc(rows["escalated"].to_numpy(), truth.reindex(rows["touchpoint_id"]).to_numpy())(rows["weight"].to_numpy())
    value = {name: found.metrics[name]["value"] for name in ("auc", "slope", "ece")}
    counts = {
        "cases": found.counts["training_cases"] + found.counts["held_out_cases"],
        "boosting": found.model.kind == "boosting",
    }
    return value | counts | {"best": best, "ece_if_perfect": found.ece_if_perfect} | blind


def permuted(dataset: Dataset, seed: int, deals: int = DEALS, choices: int = CHOICES) -> dict[str, float]:
    """Mean AUC where labels say nothing: those of all cases dealt among all of them, training and held out alike.

    `blind`: of logistic regressions on the dealt labels of the held-out cases; `blind_choice`: of the model that the whole
    choice and repair arrive at; `blind_training`: of the regressions on the real labels of the held-out cases, as if only
    training labels had been dealt.
    """
    log = eventlog.compile(dataset)
    known = features.moments(log, dataset)
    keys = forecast.at_split(log, known, 0.8)
    train, test = (keys[part].to_numpy() for part in ("is_training", "is_test"))
    split_at, real = int(keys["split_at"].iloc[0]), labels.outcomes(keys, test, log.observed_until)
    found: dict[str, list[float]] = {"blind": [], "blind_training": [], "blind_choice": []}

    def judge(name: str, model: models.Model, outcome: pd.DataFrame) -> None:
        margin = model.margin(known.features.loc[outcome.index])
        found[name].append(scores.auc(outcome["label"].to_numpy(), margin)(outcome["weight"].to_numpy()))

    for deal in range(deals):
        blind = dealt(keys, np.random.default_rng([seed, deal]))
        rows, outcome = labels.outcomes(blind, train, split_at), labels.outcomes(blind, test, log.observed_until)
        seen = known.features.loc[rows.index]
        model = models.logistic(seen, rows["label"].to_numpy(dtype=bool), rows["weight"].to_numpy())
        judge("blind", model, outcome)
        judge("blind_training", model, real)
        if deal < choices:
            judge("blind_choice", choosing.chosen(known.features, blind, train, split_at, None, seed).model, outcome)
    return {name: float(np.mean(values)) for name, values in found.items()}


def dealt(keys: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The moments, where each case has another one's outcome; an escalation comes right after the case's newest moment."""
    asked = keys[keys["is_training"] | keys["is_test"]]
    case = asked.groupby("case").agg(newest=("at", "max"), escalated_at=("escalated_at", "first"))
    came = rng.permutation(case["escalated_at"].notna().to_numpy())
    return keys.assign(escalated_at=keys["case"].map((case["newest"] + 1.0).where(came)))


def leaning(share: float, n: int = 1_600, draws: int = 2_000, seed: int = 0) -> tuple[float, float]:
    """Mean coefficient of a right-skewed feature under dealt labels, and what theory says, both in parts of its spread.

    A logistic coefficient that should be 0 has, in n cases of which a share p has the label, a mean of about
    -(1 - 2p) skewness / (2 n p (1 - p)) in standard deviations of the feature (Cordeiro and McCullagh, 1991).
    """
    rng = np.random.default_rng(seed)
    x = rng.gamma(0.5, 1.0, n)
    x = (x - x.mean()) / x.std()
    label = np.arange(n) < share * n
    found = np.array([scores.straightened(rng.permutation(label), expit(x), np.ones(n))[1] for _ in range(draws)])
    theory = -(1 - 2 * share) * (x**3).mean() / (2 * n * share * (1 - share))
    return float(found.mean() / found.std()), float(theory / found.std())


# ---- lists at past dates


def lists(seed: int, customers: int = LISTED, capacity: int = CAPACITY) -> pd.DataFrame:
    """One row per list: seed, date, expected, low, high, plain_low and plain_high (the chances taken for exact), came (of the
    listed, in the whole world), variance (of independent cases)."""
    rows = []
    with opened(customers, seed) as (path, _):
        will_call = pd.read_parquet(path / "truth" / "cases.parquet").set_index("case_id")["will_call"]
        for fitted in map(pd.Timestamp, FITTED):
            found = escalation.fit(as_of(path, fitted))
            for nth in range(LISTS):
                date = fitted + pd.Timedelta(days=APART * nth)
                review = (later(found, as_of(path, date)) if nth else found).top(capacity)
                chance = review.table["chance"].to_numpy()
                plain = dict(zip(("plain_low", "plain_high"), count_range(chance, 0.0), strict=True))
                told = {"expected": review.expected, "low": review.low, "high": review.high, "variance": chance @ (1 - chance)}
                came = int(will_call.reindex(review.table["case_id"]).sum())
                rows.append({"seed": seed, "date": date, "came": came} | told | plain)
    return pd.DataFrame(rows)


def later(found: escalation.Escalation, dataset: Dataset) -> escalation.Escalation:
    """The open cases of later data by the forecast that was made: `later.again` without its judging, for time."""
    log, known = forecast.told(dataset, found.kept.target, found.kept.horizon)
    waiting = forecast.still_waiting(log, known.keys)
    chances = forecast.with_chances(waiting, found.kept, known, log)
    return replace(found, waiting=chances, waiting_features=known.features.loc[waiting.index])


def as_of(path: Path, date: pd.Timestamp) -> Dataset:
    """The data set as it was on that date."""
    settings = path / "dataset.toml"
    settings.write_text(re.sub(r"(?m)^observed_until = .*$", f"observed_until = {date}+00:00", settings.read_text()))
    return open_dataset(path)


# ---- reasons


def driven_world(seed: int) -> tuple[dict[str, pd.DataFrame], pd.Series]:
    """Tables of cases that some of the `DRIVERS` raise the chance of, and each open case's main one (those without left out).

    All cases end within hours but for the newest, which are open at the end. Each driver works in `WORKS` of the cases.
    """
    rng = np.random.default_rng(seed)
    works = {name: rng.random(DRIVEN) < WORKS for name in DRIVERS}
    effect = np.array([np.where(works[name], by, 0.0) for name, (by, _) in DRIVERS.items()])
    calls = rng.random(DRIVEN) < 1 / (1 + np.exp(3.2 - effect.sum(axis=0)))
    is_open = np.arange(DRIVEN) >= DRIVEN - LATEST
    began = np.arange(DRIVEN) * 0.5
    case, nth = np.nonzero(np.arange(5) < (2 + 2 * works["returns"] + (calls & ~is_open))[:, None])
    last = np.diff(case, append=DRIVEN) > 0
    stage = np.where(nth == 0, "help", np.where(last & (calls & ~is_open)[case], "phone", "agent"))
    start = pd.Timestamp("2026-03-02T08:00:00Z")
    gaps = pd.Series(np.where(nth == 0, 0.0, np.exp(rng.normal(-2, 1, len(case))))).groupby(case).cumsum().to_numpy()
    at = start + pd.to_timedelta(began[case] + gaps, unit="h")
    waited = np.where(works["wait"][case], 1_800, 90) * np.exp(rng.normal(0, 0.5, len(case)))
    names = [f"c{i}" for i in range(DRIVEN)]
    touchpoints = pd.DataFrame(
        {
            "touchpoint_id": [f"t{i}" for i in range(len(case))],
            "case_id": np.array(names)[case],
            "user_id": np.array([f"u{i}" for i in range(DRIVEN)])[case],
            "ticket_id": np.array([f"k{i}" for i in range(DRIVEN)])[case],
            "occurred_at": at.as_unit("us"),
            "stage": stage,
            "application_id": np.where(works["application"], "Ledger", rng.choice(["Mail", "Shop"], DRIVEN, p=[0.8, 0.2]))[
                case
            ],
            "sentiment": np.clip(rng.normal(np.where(works["mood"][case], -0.6, 0.2), 0.2), -1, 1).round(3),
            "wait_s": np.where(stage == "help", np.nan, waited.round()),
        }
    )
    first = touchpoints.drop_duplicates("case_id").reset_index(drop=True)
    tickets = first[["ticket_id", "case_id"]].assign(opened_at=first["occurred_at"])
    tickets["category"] = np.where(works["category"], "Billing", rng.choice(["Access", "Setup"], DRIVEN, p=[0.8, 0.2]))
    tickets["resolved_at"] = (tickets["opened_at"] + pd.Timedelta(hours=3)).where(~is_open)
    main = pd.Series(np.array(list(DRIVERS))[effect.argmax(axis=0)], index=names)
    return {"touchpoints": touchpoints, "tickets": tickets}, main[is_open & effect.any(axis=0)]


def named(seed: int) -> pd.DataFrame:
    """One row per open case with a main driver and kind of model: model, driver, and is_named (is it among the reasons?)."""
    tables, main = driven_world(seed)
    settings = {"name": "drivers", "timezone": "UTC", "observed_until": tables["touchpoints"]["occurred_at"].max()}
    with tempfile.TemporaryDirectory() as folder:
        store.write_dataset(Path(folder) / "data", settings, tables)
        dataset = open_dataset(Path(folder) / "data")
        found, log = escalation.fit(dataset), eventlog.compile(dataset)
        known = features.moments(log, dataset)
    keys = forecast.at_split(log, known, 0.8)
    rows = labels.outcomes(keys, keys["is_training"].to_numpy(), int(keys["split_at"].iloc[0]))
    parts = []
    for kind in choosing.KINDS:
        model = choosing.fitted(kind, known.features.loc[rows.index], rows, keys["began"].loc[rows.index].to_numpy(), seed)
        review = escalation.review_list(replace(found, kept=replace(found.kept, model=model)), DRIVEN)
        reasons = review.table.set_index("case_id")["reasons"].reindex(main.index)
        says = [tells(text, DRIVERS[driver][1], known.features) for text, driver in zip(reasons, main, strict=True)]
        parts.append(pd.DataFrame({"model": kind, "driver": main.to_numpy(), "is_named": says}))
    return pd.concat(parts, ignore_index=True)


def tells(reasons: str, groups: set[str], read: pd.DataFrame) -> bool:
    """Is one of these groups of features among the reasons?"""
    said = {reason.split(": ")[0] for reason in reasons.split("; ")}
    return any(escalation.label_of(name) in said for name in read if models.group_of(name) in groups)


# ---- what is proven


def in_worlds(make: Callable, seeds: range, *args: object, processes: int = 2) -> list:
    """What `make` finds for each seed."""
    if processes == 1:
        return [make(seed, *args) for seed in seeds]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(make, seeds, *([arg] * len(seeds) for arg in args)))


def judged(size: str, found: pd.DataFrame) -> list[tuple]:
    """Rows of the table: cases, quantity, n, value, bar, holds."""
    n, ratio, best = len(found), float((found["auc"] / found["best"]).median()), float(found["best"].median())
    above = float(((found["auc"] - 0.5) / (found["best"] - 0.5)).median())
    blind, slope = float(found["blind"].mean()), float(found["slope"].mean())
    off, last = float((found["ece"] - found["ece_if_perfect"]).mean()), size == list(CASES)[-1]
    rows = [
        ("AUC / best possible, median", ratio, f">= {RATIO[size]}", ratio >= RATIO[size]),
        ("above guessing, the same", above, "", None),
        ("best possible AUC, median", best, ".75 to .90", 0.75 <= best <= 0.9),
        ("cases, median", float(found["cases"].median()), "", None),
        ("boosting chosen", float(found["boosting"].mean()), "", None),
        ("AUC, labels dealt among all cases, mean", blind, ".49 to .51", BLIND[0] <= blind <= BLIND[1]),
        ("the same, standard error", error(found["blind"]), "", None),
        ("AUC, labels dealt, model chosen anew, mean", float(found["blind_choice"].mean()), "", None),
        ("the same, standard error", error(found["blind_choice"]), "", None),
        ("AUC, training labels dealt only, mean", float(found["blind_training"].mean()), "", None),
        ("the same, standard error", error(found["blind_training"]), "", None),
        ("slope, mean", slope, ".9 to 1.1" if last else "", SLOPE[0] <= slope <= SLOPE[1] if last else None),
        ("ECE above a perfect forecast's, mean", off, f"<= {ECE}" if last else "", off <= ECE if last else None),
    ]
    return [(size, quantity, n, *rest) for quantity, *rest in rows]


def error(values: pd.Series) -> float:
    """The standard error of a mean over worlds."""
    return float(values.std() / np.sqrt(len(values)))


def judged_lists(found: pd.DataFrame) -> list[tuple]:
    n, hits = len(found), (found["low"] <= found["came"]) & (found["came"] <= found["high"])
    plain = (found["plain_low"] <= found["came"]) & (found["came"] <= found["plain_high"])
    low, high = central(n)
    by_world = hits.groupby(found["seed"]).sum()
    spread = float(by_world.var() / (hits.mean() * (1 - hits.mean()) * n / len(by_world))) if 0 < hits.mean() < 1 else np.nan
    rows = [
        ("the range holds the number that escalates", float(hits.sum()), f"{low} to {high}", bool(low <= hits.sum() <= high)),
        ("the number lies below it", float((found["came"] < found["low"]).sum()), "", None),
        ("expected, mean", float(found["expected"].mean()), "", None),
        ("escalated, mean", float(found["came"].mean()), "", None),
        ("width of the range, mean", float((found["high"] - found["low"]).mean()), "", None),
        ("if the chances are taken for exact, it would hold", float(plain.sum()), "", None),
        ("variance of the hits of a world, in parts of independent lists'", spread, "", None),
    ]
    return [(f"lists of {CAPACITY}", quantity, n, *rest) for quantity, *rest in rows]


def judged_reasons(found: pd.DataFrame) -> list[tuple]:
    rows = []
    for kind, part in found.groupby("model", sort=False):
        share = float(part["is_named"].mean())
        rows.append((f"reasons, {kind}", "main driver among the three, share", len(part), share, f">= {NAMED}", share >= NAMED))
        for driver, of in part.groupby("driver", sort=False):
            rows.append((f"reasons, {kind}", f"where it is {driver}", len(of), float(of["is_named"].mean()), "", None))
    return rows


def drill(worlds: int = 20, processes: int = 2) -> tuple[str, pd.DataFrame, bool]:
    """What is proven, in a sentence; the table; and whether every bar was kept."""
    seeds = range(100, 100 + worlds)
    rows = judged_reasons(pd.concat(in_worlds(named, range(100, 105), processes=processes)))
    rows += judged_lists(pd.concat(in_worlds(lists, seeds, processes=processes)))
    for size, customers in CASES.items():
        rows += judged(size, pd.DataFrame(in_worlds(world, seeds, customers, processes=processes)))
    rows += [
        (
            f"1,600, {share:.0%} labelled",
            "coefficient that should be 0, mean in parts of its spread",
            2_000,
            leaning(share)[0],
            "",
            None,
        )
        for share in (0.12, 0.5)
    ]
    table = pd.DataFrame(rows, columns=["cases", "quantity", "n", "value", "bar", "holds"]).set_index("cases")
    return SAID.format(worlds=worlds), table, bool(table["holds"].dropna().all())


SAID = (
    "{worlds} simulated support worlds of each size, the newest fifth of the cases held out. The best possible AUC is that of "
    "the planted chance of a call, given what a case's columns have shown so far. The model is the one that rolling origins "
    f"choose. Labels dealt: each case gets another one's outcome, training and held-out cases alike, {DEALS} deals a world by "
    f"plain logistic regression and {CHOICES} by the whole choice and repair. Judged on the real labels (training labels dealt "
    "only) the mean is below one half in small worlds without any leak: where escalations are rare, the coefficient of a "
    "right-skewed feature that should be 0 is below 0 on average (`leaning`), and most such features raise the risk; with "
    "labels dealt half and half it is not, and with more cases it fades as one over the root of their number. "
    f"Lists: {len(FITTED)} fits and {LISTS} lists each, {APART} days apart, in each of {{worlds}} worlds of {LISTED:,} "
    "customers as they were at that date; the range must hold the number of the listed that call in the whole world, since "
    "it is this number that the sentence promises. Reasons: cases with one to five planted drivers; the main one is the one "
    "that raises the log odds most."
)
