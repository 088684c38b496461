"""Large inputs from one seed: tickets, moments of a forecast, and an event log as a real export writes it (by time, cases
interleaved).

PYTHONPATH=tests python -m bench.generate events.parquet --millions 10 --ids string
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxlib.simulate.plan import APPLICATIONS, N_TOPICS
from cxlib.simulate.text import write as write_texts

STAGES = ("product", "help", "chatbot", "agent", "phone")
ROBOTS = 10_000  # one case in so many is a machine's: 300 touches, none of them right of the product
TIES = 0.02  # share of touches that carry the time of the touch before
HOUR = 3_600_000_000  # microseconds
YEAR = 365 * 24 * HOUR
BEGAN = 1_735_689_600_000_000  # 2025-01-01, UTC

# Where a case begins, and where it goes from each stage: rightwards more often than back.
FIRST = np.array([0.35, 0.35, 0.15, 0.10, 0.05])
NEXT = np.array(
    [
        [0.45, 0.35, 0.10, 0.06, 0.04],
        [0.15, 0.35, 0.30, 0.12, 0.08],
        [0.05, 0.15, 0.40, 0.28, 0.12],
        [0.05, 0.07, 0.08, 0.50, 0.30],
        [0.06, 0.06, 0.04, 0.24, 0.60],
    ]
)


def touches(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`n` touches of about n / 5 cases and n / 20 customers: customer, case, time (microseconds) and stage, ordered by time.

    Cases are numbered in the order in which they begin, customers in no order. Touches of one case at one time stand from
    left to right, so that every tool, whatever it does with ties, sees the same order.
    """
    rng = np.random.default_rng(seed)
    length = _lengths(n, rng)
    began = np.sort(rng.integers(0, YEAR, len(length)))
    customers = rng.permutation(n // 20 + 1)
    customer = customers[(rng.random(len(length)) ** 1.3 * len(customers)).astype(np.int64)].astype(np.int32)
    case, at, stage = _walk(length, began, rng)
    order = np.argsort(at * 8 + stage, kind="stable")
    case = case[order]
    return customer[case], case, BEGAN + at[order], stage[order]


def _lengths(n: int, rng: np.random.Generator) -> np.ndarray:
    """Touches per case, in all exactly `n`: 5 on average, most have few, a robot has 300."""
    drawn = rng.geometric(0.2, size=n // 3 + 10)
    drawn[rng.random(len(drawn)) < 1 / ROBOTS] = 300
    ends = np.cumsum(drawn)
    last = int(np.searchsorted(ends, n))
    drawn[last] -= ends[last] - n
    return drawn[: last + 1].astype(np.int32)


def _walk(length: np.ndarray, began: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Case, time and stage of every touch, case by case: a Markov chain with pauses of a few hours, some of them none."""
    start = np.cumsum(length, dtype=np.int64) - length
    at, stage = np.empty(length.sum(), dtype=np.int64), np.empty(length.sum(), dtype=np.uint8)
    under_way = np.arange(len(length))
    now, here = began, _draw(np.broadcast_to(FIRST.cumsum(), (len(length), 5)), rng)
    step = 0
    while len(under_way):
        at[start[under_way] + step], stage[start[under_way] + step] = now, here
        step += 1
        goes_on = length[under_way] > step
        under_way, now, here = under_way[goes_on], now[goes_on], here[goes_on]
        pause = (rng.exponential(9 * HOUR, len(now)) * (rng.random(len(now)) >= TIES)).astype(np.int64)
        now, here = now + pause, _draw(NEXT.cumsum(axis=1)[here], rng)
        here[length[under_way] == 300] = 0
    return np.repeat(np.arange(len(length), dtype=np.int32), length), at, stage


def _draw(cumulative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A stage from each row of cumulative chances."""
    return np.minimum((rng.random((len(cumulative), 1)) >= cumulative).sum(axis=1), 4).astype(np.uint8)


def write(path: Path, n: int, ids: str = "string", seed: int = 1, rows: int = 1_000_000) -> None:
    """The touches as a parquet file with row groups of `rows`."""
    customer, case, at, stage = touches(n, seed)
    schema = pa.schema(
        {"case_id": _kind(ids), "user_id": _kind(ids), "occurred_at": pa.timestamp("us", "UTC"), "stage": pa.string()}
    )
    unfinished = path.with_suffix(".unfinished")
    with pq.ParquetWriter(unfinished, schema) as file:
        for first in range(0, n, rows):
            part = slice(first, first + rows)
            columns = [
                _ids("C", case[part], ids),
                _ids("U", customer[part], ids),
                pa.array(at[part]).cast(schema.field("occurred_at").type),
                pa.DictionaryArray.from_arrays(stage[part], list(STAGES)).cast(pa.string()),
            ]
            file.write_table(pa.table(columns, schema=schema))
    unfinished.rename(path)


def tickets(rng: np.random.Generator, n: int) -> tuple[np.ndarray, pd.Series]:
    """The topics of `n` simulated tickets, and subject and text of each as one text."""
    topic, application = rng.integers(0, N_TOPICS, n), rng.integers(0, len(APPLICATIONS), n)
    writers = pd.DataFrame({"name": "Ada Byron", "email": "ada@example.com", "phone": "555-0100"}, index=range(n))
    words, _ = write_texts(rng, topic, application, writers)
    return topic, words["short_description"] + "\n" + words["description"]


def write_tickets(path: Path, n: int, seed: int = 1, rows: int = 50_000) -> None:
    """The texts of `n` simulated tickets: a parquet file with a column text."""
    unfinished, rng = path.with_suffix(".unfinished"), np.random.default_rng(seed)
    with pq.ParquetWriter(unfinished, pa.schema({"text": pa.string()})) as file:
        for first in range(0, n, rows):
            file.write_table(pa.table({"text": pa.array(tickets(rng, min(rows, n - first))[1], pa.string())}))
    unfinished.rename(path)


N_NUMBERS, N_WORDS = 28, (4, 7, 12, 24, 50, 100, 200, 400, 1_000, 3_000, 8_000, 20_000)  # of each column


def moments(n: int, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`n` moments of about n / 3 cases: 40 features of each, and case, customer, times and escalation as `escalation` has them.

    Half of the numbers and all words are the same for all moments of a case; they make the log odds of its escalation: linear
    but for one exclusive or. Some numbers are skewed, every fourth is often missing, and a few words are frequent.
    """
    rng, of_case, log_odds = np.random.default_rng(seed), {}, np.full(n, -2.2)
    case = np.repeat(np.arange(n), rng.integers(1, 6, n))[:n]
    for i in range(N_NUMBERS):
        number = rng.lognormal(0, 1, n) if i % 2 else rng.normal(0, 2, n)
        number = np.where(rng.random(n) < (0.0 if i % 4 else 0.2), np.nan, number)
        if i < N_NUMBERS // 2:
            number = number[case]
            log_odds += (0.12 if i % 3 else -0.12) * np.nan_to_num(number, nan=1.0)
        of_case[f"number{i}.x"] = number
    log_odds += 0.8 * ((of_case["number1.x"] > 1) ^ (of_case["number2.x"] > 0))
    for i, many in enumerate(N_WORDS):
        share = 1 / np.arange(1, many + 1)
        drawn = rng.choice(many, n, p=share / share.sum())[case]
        log_odds += np.random.default_rng(i).normal(0, 0.35, many)[drawn]  # of each word, whatever the seed
        of_case[f"word{i}.value"] = pd.Series(np.array([f"word {k}" for k in range(many)]), dtype="str").take(drawn).array
    began = np.sort(rng.integers(BEGAN, BEGAN + YEAR, n))[case]
    at = began + rng.integers(0, 24 * HOUR, n)
    escalates = (rng.random(n) < 1 / (1 + np.exp(-log_odds)))[np.searchsorted(case, case)]
    keys = pd.DataFrame({"case": case, "customer": (case * 7919 % (n // 6 + 1)).astype(np.uint64), "at": at, "began": began})
    return pd.DataFrame(of_case), keys.assign(is_open=True, escalated_at=np.where(escalates, began + 25.0 * HOUR, np.nan))


def _kind(ids: str) -> pa.DataType:
    return pa.string() if ids == "string" else pa.int64()


def _ids(letter: str, number: np.ndarray, ids: str) -> pa.Array:
    """C0000001 and up, or 10,000,001 and up."""
    if ids == "integer":
        return pa.array(number.astype(np.int64) + 10_000_001)
    digits = pc.utf8_lpad(pc.cast(pa.array(number.astype(np.int64) + 1), pa.string()), 7, padding="0")
    return pc.binary_join_element_wise(pa.scalar(letter), digits, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--millions", type=float, default=10)
    parser.add_argument("--ids", choices=("string", "integer"), default="string")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    write(asked.path, int(asked.millions * 1_000_000), asked.ids, asked.seed)


if __name__ == "__main__":
    main()
