"""`cx score`: the open cases to look at today, by a forecast that is kept, and whether it still holds."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pandas as pd

from cxlib import eventlog, journey
from cxlib.escalation.card import TITLE
from cxlib.escalation.forecast import fit
from cxlib.escalation.kept import Forecaster
from cxlib.escalation.later import score
from cxlib.escalation.review import Review
from cxlib.schema import DataError
from cxlib.store import Dataset, open_dataset, whole_file

_ABOUT = """Write the open cases most likely to reach the escalation stage, highest chance first, with reasons: a CSV file.

The forecast is read from FILE; with --fit it is made from the data set first and kept there. The model that is read has seen
nothing after the day it was fitted on; how it does on the cases that began since, and which features look other than then, is
printed. With --fit a card beside it (same name, ending on .md) says what was learned from what, and how good it is. A chance is
not the effect of stepping in; the step that the list suggests is what ending one stage further left changed on average."""
# A spreadsheet takes for a formula what begins so, also where it splits a cell at a ";" or at the end of a line.
_FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@])|^(?=[\t\r\n])")


def add_score(subparsers: Any) -> argparse.ArgumentParser:
    """Add `score` to the subcommands of `cx`; `run_score` does what it was asked."""
    parser = subparsers.add_parser(
        "score",
        help="write the open cases most likely to escalate, by a forecast that is kept",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="a dataset folder, as it is today")
    parser.add_argument(
        "--model",
        required=True,
        metavar="FILE",
        help="the forecast, such as mine/forecast.npz; with --fit its card is written beside it, as mine/forecast.md",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the CSV file to write")
    parser.add_argument("--capacity", type=int, default=40, metavar="N", help="how many cases can be reviewed (default: 40)")
    parser.add_argument("--fit", action="store_true", help="fit the forecast on this data set first, and keep it in --model")
    parser.add_argument(
        "--target", metavar="STAGE", help="with --fit: the stage that is forecast (default: the data set's), or overdue"
    )
    parser.add_argument("--horizon", metavar="TIME", help='with --fit: within how long, such as "7d"')
    parser.add_argument("--themes", action="store_true", help="with --fit: read what the tickets' texts are about, too")
    return parser


def run_score(args: argparse.Namespace) -> int:
    """Fit if asked, score and write as asked; returns 0. Raises DataError."""
    _checked(args)
    dataset = open_dataset(args.data)
    if args.fit:
        found = fit(dataset, target=args.target, horizon=args.horizon, themes=args.themes)
        if found.kept is None:
            raise DataError(found.why_not)
        kept_at = found.kept.save(args.model)
        print(f"Kept in {kept_at}; what it is and how good, in {_write_card(found.card(), kept_at)}.")
    kept = Forecaster.load(args.model)
    effects = left_effects(dataset, kept.target)
    review, health = score(kept, dataset, args.capacity, effects)
    with whole_file(Path(args.out)) as file:
        spreadsheet(review).to_csv(file, index=False)
    print(
        f"By a {kept.model.kind} model fitted on {kept.trained_on}, AUC {kept.auc:.2f} on {kept.n:,} held-out cases: "
        f"{len(review.table):,} of {review.n_waiting:,} open cases written to {args.out}; expected to escalate: "
        f"{review.expected:.1f} ({review.low:,}-{review.high:,}).\n{health.to_string(index=False)}"
    )
    return 0


def _checked(args: argparse.Namespace) -> None:
    """Refuse what cannot be done before anything is fitted or written."""
    if args.capacity < 1:
        raise DataError(f"--capacity {args.capacity} leaves nothing to review: give the number of cases, at least 1")
    model, out = Path(args.model), Path(args.out)
    card = model.with_suffix(".md")
    if model.suffix == ".md":
        raise DataError(f"--model {args.model} is where the forecast's card would go: end it on .npz")
    if out.resolve() in (model.resolve(), card.resolve()):
        raise DataError(f"--out {args.out} is where the forecast or its card ({card}) goes: give the list a name of its own")
    if not args.fit and (args.target or args.horizon or args.themes):
        raise DataError("--target, --horizon and --themes are for a forecast that is fitted: add --fit, or leave them out")
    if args.fit and card.exists() and not _is_card(card):
        raise DataError(
            f"{card} is where the forecast's card goes, and holds something else: move it, or name --model otherwise"
        )


def _is_card(path: Path) -> bool:
    """Does a file begin as our cards do?"""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith(TITLE)


def left_effects(dataset: Dataset, escalation: str) -> pd.DataFrame | None:
    """What ending one stage further left changes in this data set, for `review_list`; None where it is no stage that is
    forecast (a ticket that gets overdue goes nowhere)."""
    if escalation not in dataset.settings.stages:
        return None
    log = eventlog.compile(dataset)
    return journey.left_moves(log, journey.cases(log, dataset)).table


def _write_card(text: str, model: Path) -> Path:
    """The card beside the forecast: same name, ending on .md."""
    path = model.with_suffix(".md")
    with whole_file(path) as file:
        file.write_text(text, encoding="utf-8")
    return path


def spreadsheet(review: Review) -> pd.DataFrame:
    """The list as a spreadsheet may read it: no cell begins a formula, not even one that is split at a ";" or a line's end.

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("C-1"), spreadsheet_cell("a; =1+1")
    ("'=1+1", 'C-1', "a;' =1+1")
    """
    return review.table.map(lambda cell: spreadsheet_cell(cell) if isinstance(cell, str) else cell)


def spreadsheet_cell(text: str) -> str:
    return _FORMULA.sub(r"\g<0>'", text)
