"""A support world from one seed, with everything planted and known: `cx demo`.

What is planted, and where
--------------------------
- *Customers* (`cases`, `chain`): the number of problem cases is gamma-Poisson; each customer has a hidden temper (calm,
  usual, short) that raises the number of cases, their severity and the readiness to call. So cases of one customer are
  alike, and intervals must be by customer. Nothing in `users` tells the temper. Cases of plain use (stage `product` only)
  come on top.
- *Topics* (`plan`, `vocabulary`): 14, of unequal size, each with three wordings that share few words and are linked by
  tickets that mix them. `invoice_amount` and `refund_missing` look alike; `assistant_errors` emerges in the last six weeks.
  4 % of the tickets are about something else than their case, and some mention another topic in passing.
- *Severity* (`chain`): 0 to 3, hidden, by topic and temper; with the temper it drives the walk over the stages (an
  absorbing Markov chain), the waits between touches (lognormal), the mood (tanh of a normal) and, by itself, impact and
  urgency.
- *The chance of a call* (`truth.chance_of_call`): exact, given the case's own columns up to each moment of prediction; see
  there for which columns. Support works round the clock: hours and weekdays say when cases begin, and nothing about their
  outcome.
- *Incidents*: applications fail, uses fail with them, and extra cases of topic `slow_pages` come during the incident and
  after it with a tail that decays exponentially (10 hours).
- *The cut-off*: cases go on beyond `observed_until`, the tables do not; `truth/cases` holds their true ends.
- *Identities*: 15 % of the cases begin signed out (only `visitor_id` left of the agent); 12 % of the links to users are
  lost.
- *Personal data* (`text`): names, e-mails, phones, cards, IBANs and IP addresses in ticket texts, with their places in
  `truth/personal`.
- *Parameters*: `truth/parameters` holds the population's funnel shares, from the parameters and not from the draw.

Each room draws from its own stream of random numbers, so that adding a room does not move the others.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from .world import ROOMS, World, simulate_paths, simulate_world

__all__ = ["World", "add_demo", "run_demo", "simulate_paths", "simulate_world", "write_world"]

MOST_USERS = 999_999  # ids of users have six digits


def write_world(world: World, out: str | Path, store: Any) -> pd.DataFrame:
    """Write a world as a dataset folder with its `truth/`; returns rows in, kept and set aside by table.

    `store` is the module that writes a dataset; the caller hands it in, because imports only go down. Raises DataError if `out`
    holds anything but a dataset.
    """
    accounting = store.write_dataset(out, world.settings, world.tables)
    folder = Path(out) / "truth"
    folder.mkdir()
    for name, frame in world.truth.items():
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet", compression="zstd")
    return accounting


def add_demo(subparsers: Any) -> ArgumentParser:
    """Add `demo` to the subcommands of `cx`; `run_demo` does what it was asked."""
    parser = subparsers.add_parser("demo", help="simulate a support world with a known truth", description=_ABOUT)
    parser.add_argument(
        "--users", type=_users, default=2000, metavar="N", help="number of customers, 10 or more (default 2000)"
    )
    parser.add_argument("--seed", type=_seed, default=1, metavar="S", help="the same seed gives the same world (default 1)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="dataset folder to write; one that is there is replaced"
    )
    return parser


_ABOUT = "Simulate six months of a company's support: its tables as a dataset folder, and what was planted in DIR/truth."


def run_demo(args: Namespace, store: Any) -> int:
    """Make the world, write it, and print its rows by table. `store` as in `write_world`; raises DataError."""
    store.refuse_foreign_folder(args.out)
    with tqdm(total=len(ROOMS), desc="simulating", delay=2, leave=False) as bar:
        world = simulate_world(args.users, args.seed, done=lambda room: bar.update())
    accounting = write_world(world, args.out, store)
    for table, kept in zip(accounting["table"], accounting["kept"], strict=True):
        print(f"{table:<14}{kept:>10,} rows")
    print(f"{args.out}: {args.users:,} users, seed {args.seed}; what was planted is in {args.out / 'truth'}")
    return 0


def _users(text: str) -> int:
    return _whole(text, 10, MOST_USERS, "users")


def _seed(text: str) -> int:
    return _whole(text, 0, 2**32 - 1, "the seed")


def _whole(text: str, low: int, high: int, what: str) -> int:
    """A whole number within bounds, or the error that argparse prints."""
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise ArgumentTypeError(f"{what} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)
