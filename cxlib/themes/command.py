"""`cx codebook`: keep the themes of a data set's tickets, so that they stay the same from month to month."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from cxlib.schema import DataError
from cxlib.store import Dataset, open_dataset
from cxlib.themes.codebook import Codebook, fit
from cxlib.themes.shares import MIXED
from cxlib.themes.tickets import codebooks, ticket_texts

_ABOUT = """Keep the themes of a data set's tickets in DIR/codebooks, so that every later report gives them to new tickets.

Without --refit: finds themes and keeps them, or says which are kept already. With --refit: the kept themes stay, with their
numbers and names; what is new gets a theme, what has come apart is split, and every change is printed. A report uses the
newest codebook; delete the newest file to go back. Names, merges, splits and pins of your own go into DIR/themes.toml:

  [[rename]]                      [[merge]]
  theme = 3                       themes = [4, "late refund · bank"]
  name = "Refunds"
                                  [[pin]]
  [[split]]                       theme = "Refunds"
  theme = 0                       words = ["chargeback"]
  into = 2"""


def add_codebook(subparsers: Any) -> argparse.ArgumentParser:
    """Add `codebook` to the subcommands of `cx`; `run_codebook` does what it was asked."""
    parser = subparsers.add_parser(
        "codebook",
        help="keep the themes of the tickets, so that they stay from month to month",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", metavar="DIR", help="a dataset folder with tickets")
    parser.add_argument("--refit", action="store_true", help="grow the kept themes with the tickets there are now")
    parser.add_argument("--themes", type=int, metavar="N", help="how many themes (default: as many as come out the same)")
    parser.add_argument(
        "--text-model", metavar="MODEL", help='"auto" (default), "lexical", "semantic", or the folder of a language model'
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of everything random (default: 0)")
    return parser


def run_codebook(args: argparse.Namespace) -> int:
    """Find, grow or show the themes as asked; returns 0. Raises DataError."""
    dataset = open_dataset(args.dataset)
    texts, customers = _texts(dataset)
    files = codebooks(dataset.path)
    if (files or args.refit) and (args.themes is not None or args.text_model is not None):
        raise DataError("--themes and --text-model are for a first codebook: leave them out, or delete the codebooks there are")
    if args.refit and not files:
        raise DataError(f"{args.dataset} keeps no codebook to refit: run cx codebook {args.dataset} first")
    if files and not args.refit:
        book = Codebook.load(files[-1]).applied(texts, customers=customers, seed=args.seed)
        print(f"{files[-1]} is kept already; --refit would grow it.\n{_page(book)}")
        return 0
    if args.refit:
        book, changes = Codebook.load(files[-1]).refit(texts, customers=customers, seed=args.seed)
        print(_changes(changes))
    else:
        book = fit(texts, args.themes, args.text_model or "auto", args.seed, customers=customers)
    path = book.save(dataset.path / "codebooks" / f"{book.version:04}.npz")
    print(f"{_page(book)}\nKept in {path}.")
    return 0


def _texts(dataset: Dataset) -> tuple[list[str], pd.Series]:
    if "tickets" not in dataset.tables:
        raise DataError(f"{dataset.path} has no tickets: themes are found in their texts")
    tickets = dataset.tables["tickets"]
    customers = tickets["user_id"] if "user_id" in tickets else pd.Series([None] * len(tickets), dtype=object)
    return ticket_texts(dataset).tolist(), customers


def _page(book: Codebook) -> str:
    table = book.table.assign(share=[f"{100 * share:.1f} %" for share in book.table["share"]])
    said = [f"{len(table)} themes in {book.n_texts:,} tickets, version {book.version}, {book.text_model} ({book.why})"]
    if (book.labels == MIXED).any():
        said.append(f"{book.n_mixed:,} tickets are in no theme")
    return table[["theme", "n", "share", "name"]].to_string(index=False) + "\n" + "; ".join(said) + "."


def _changes(changes: pd.DataFrame) -> str:
    how = {
        "birth": "{theme} is new: {name} ({n} texts)",
        "split": "{theme} was a part of {other}: {name} ({n} texts)",
        "merge": "{theme} has gone into {other}, {other_name} ({n} texts)",
        "death": "{theme} is hardly asked about any more: {name} ({n} new texts)",
    }
    rows = [how[row["kind"]].format_map(row) for row in changes.to_dict("records")]
    return "\n".join(rows) if rows else "No theme is new, split, merged or gone."
