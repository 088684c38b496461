"""`cx score`: the open cases to look at today, by a forecast that is kept, and whether it still holds."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxlib import eventlog
from cxlib.escalation import judging, scores
from cxlib.escalation.forecast import escalated_at, fit, nothing, still_waiting, told, with_chances
from cxlib.escalation.kept import Forecaster
from cxlib.escalation.labels import outcomes
from cxlib.escalation.review import Review, label_of, review_list
from cxlib.redact import gazetteer
from cxlib.schema import DataError, duration
from cxlib.store import Dataset, open_dataset, whole_file

_ABOUT = """Write the open cases most likely to reach the escalation stage, highest chance first, with reasons: a CSV file.

The forecast is read from FILE; with --fit it is made from the data set first and kept there. The model that is read has seen
nothing after the day it was fitted on; how it does on the cases that began since, and which features look other than then, is
printed. A chance is not the effect of stepping in."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes what begins so for a formula


def add_score(subparsers: Any) -> argparse.ArgumentParser:
    """Add `score` to the subcommands of `cx`; `run_score` does what it was asked."""
    parser = subparsers.add_parser(
        "score",
        help="write the open cases most likely to escalate, by a forecast that is kept",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="a dataset folder, as it is today")
    parser.add_argument("--model", required=True, metavar="FILE", help="the forecast, such as mine/forecast.npz")
    parser.add_argument("--out", required=True, metavar="FILE", help="the CSV file to write")
    parser.add_argument("--capacity", type=int, default=40, metavar="N", help="how many cases can be reviewed (default: 40)")
    parser.add_argument("--fit", action="store_true", help="fit the forecast on this data set first, and keep it in --model")
    parser.add_argument(
        "--target", metavar="STAGE", help="with --fit: the stage that is forecast (default: the data set's), or overdue"
    )
    parser.add_argument("--horizon", metavar="TIME", help='with --fit: within how long, such as "7d"')
    return parser


def run_score(args: argparse.Namespace) -> int:
    """Fit if asked, score and write as asked; returns 0. Raises DataError."""
    dataset = open_dataset(args.data)
    if args.fit:
        found = fit(dataset, target=args.target, horizon=args.horizon)
        if found.kept is None:
            raise DataError(found.why_not)
        print(f"Kept in {found.kept.save(args.model)}.")
    elif args.target or args.horizon:
        raise DataError("--target and --horizon are for a forecast that is fitted: add --fit, or leave them out")
    kept = Forecaster.load(args.model)
    review, health = score(kept, dataset, args.capacity)
    with whole_file(Path(args.out)) as file:
        spreadsheet(review).to_csv(file, index=False)
    print(
        f"By a {kept.model.kind} model fitted on {kept.trained_on}, AUC {kept.auc:.2f} on {kept.n:,} held-out cases: "
        f"{len(review.table):,} of {review.n_waiting:,} open cases written to {args.out}; expected to escalate: "
        f"{review.expected:.1f} ({review.low:.1f}-{review.high:.1f}).\n{health.to_string(index=False)}"
    )
    return 0


def score(kept: Forecaster, dataset: Dataset, capacity: int = 40) -> tuple[Review, pd.DataFrame]:
    """The open cases of later data by a forecast that is kept, and its health there.

    Returns
    -------
    Review
        As `review_list` gives it; what a review would have caught is not known.
    DataFrame
        One row per question: what, then (in training), now (on cases that began since), low, high (95 %), n (cases), verdict
        (steady, watch, moved). Columns are missing where too few cases began since.
    """
    log, known = told(dataset, kept.target, kept.horizon)
    if missing := sorted(set(kept.model.features) - set(known.features)):
        raise DataError(f"the data set lacks what the forecast reads: {', '.join(missing)}. Fit it again with --fit")
    waiting = still_waiting(log, known.keys)
    empty = nothing(log, {"held_out_cases": 0, "held_out_rows": 0, "waiting": len(waiting)}, None, kept.horizon, "")
    asked = replace(
        empty,
        waiting=with_chances(waiting, kept, known, log),
        waiting_features=known.features.loc[waiting.index],
        people=gazetteer(dataset.tables),
        kept=kept,
    )
    return review_list(asked, capacity), _health(kept, log, known.keys, known.features)


def _health(kept: Forecaster, log: eventlog.EventLog, keys: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    is_newer = (keys["at_risk"] & (keys["began"] >= kept.split_at)).to_numpy()
    within = None if kept.horizon is None else duration(kept.horizon, "horizon")
    rows = keys[is_newer].join(
        outcomes(keys.assign(escalated_at=escalated_at(log, keys)), is_newer, log.observed_until, within)
    )
    rows = rows[rows["weight"] > 0]
    if not len(rows):
        return pd.DataFrame([("cases that began since", np.nan, 0.0, np.nan, np.nan, 0, "too few")], columns=_HEALTH)
    rows = rows.assign(chance=kept.model.chance(features.loc[rows.index]), escalated=rows["label"])
    seen, auc = scores.observed(rows), judging.auc_of(rows)
    low, high, n = (seen[name] for name in ("low", "high", "n"))
    worse = "too few" if np.isnan(auc["value"]) else "moved" if auc["high"] < kept.auc else "steady"
    drift = judging.drift(kept.looks, features.loc[rows.index], rows["weight"].to_numpy())
    table = [
        ("share that escalates", kept.base_rate, seen["share"], low, high, n, _inside(kept.base_rate, low, high)),
        ("mean chance, against that", np.nan, seen["mean_chance"], low, high, n, _inside(seen["mean_chance"], low, high)),
        ("AUC", kept.auc, auc["value"], auc["low"], auc["high"], auc["n"], worse),
    ]
    table += [
        (f"{label_of(row.feature)} (PSI)", 0.0, row.psi, np.nan, np.nan, n, row.verdict)
        for row in drift[drift["verdict"] != "steady"].head(5).itertuples()
    ]
    return pd.DataFrame(table, columns=_HEALTH).round(3)


_HEALTH = ["what", "then", "now", "low", "high", "n", "verdict"]


def _inside(value: float, low: float, high: float) -> str:
    return "steady" if low <= value <= high else "moved"


def spreadsheet(review: Review) -> pd.DataFrame:
    """The list as a spreadsheet may read it: no cell begins a formula.

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("C-1")
    ("'=1+1", 'C-1')
    """
    return review.table.map(lambda cell: spreadsheet_cell(cell) if isinstance(cell, str) else cell)


def spreadsheet_cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
