"""The forecast's card: what was learned from what, how good it is, for whom, and what it cannot say. As Markdown, generated.

References
----------
Mitchell et al. (2019), Model cards for model reporting, FAT* '19.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from cxlib.escalation.forecast import Escalation
from cxlib.escalation.overdue import OVERDUE
from cxlib.escalation.replay import declared
from cxlib.escalation.review import label_of
from cxlib.redact import escape

TITLE = "# Forecast: which cases reach"  # how a card begins: `cx score` overwrites nothing else
METRICS = {
    "auc": "AUC (0.5: guessing, 1: perfect)",
    "pr_auc": "PR-AUC (guessing: the share that escalates)",
    "brier": "Brier (mean squared error)",
    "log_loss": "log loss",
    "ece": "expected calibration error",
    "slope": "calibration slope (1: as it should be)",
    "auc_first_row": "AUC at the first moment of each case",
}


def model_card(result: Escalation) -> str:
    """What must whoever uses the forecast know of it?

    Returns
    -------
    str
        Markdown with the headings Data, Labels, Model, How good, Calibration, Segments, Drift, What it reads, Limits. Every
        number stands in a table of `result`; values from data are escaped. Where nothing was fitted, it says why.
    """
    title = f"{TITLE} {escape(result.escalation)}?"
    if result.kept is None:
        return f"{title}\n\nThere is none: {escape(result.why_not)}.\n\n## Data\n\n{_data(result)}\n"
    sections = {
        "Data": _data(result),
        "Labels": _labels(result),
        "Model": _model(result),
        "How good": _metrics(result),
        "Calibration": _calibration(result),
        "Segments": _segments(result),
        "Drift": _drift(result),
        "What it reads": _features(result.features),
        "Limits": _limits(result),
    }
    return "\n\n".join([title, *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"


def _data(result: Escalation) -> str:
    data, n = result.data, result.counts
    size = ", ".join(f"{data[name]:,} {name}" for name in ("touches", "cases", "customers"))
    lines = [
        f"data set: {escape(data['name'])}, fingerprint {escape(data['fingerprint'])}",
        f"period: {_day(data['from'])} to {_day(data['until'])}; {size}",
        f"learned from {_cases(n, 'training')} before {_day(result.split_at)}",
        f"judged on {_cases(n, 'held_out')} that began from then on",
    ]
    if result.kept is not None and result.choice is None:
        lines[2] = f"learned earlier, from {escape(result.kept.trained_on)}, before {_day(result.split_at)}"
    return _list(lines)


def _cases(n: Mapping[str, int], side: str) -> str:
    return f"{n[f'{side}_cases']:,} cases ({n[f'{side}_rows']:,} moments; {n[f'{side}_escalated']:,} cases escalated)"


def _labels(result: Escalation) -> str:
    whom, n = escape(result.escalation), result.counts
    if result.horizon is None:
        label = f"did the case reach {whom} by the end of what was known (of training: by the split)?"
        open_ = f"counts as not escalated so far ({n['held_out_open']:,} of the cases judged)"
    else:
        label = f"did the case reach {whom} within {escape(result.horizon)} of the moment?"
        open_ = (
            f"is left out where it was not watched for so long; others that were stand for it (inverse probability of "
            f"censoring; {n['held_out_unknown']:,} of the moments judged are left out)"
        )
    if result.escalation == OVERDUE:
        row = "an open ticket in time, as it is opened and at fixed ages; each such moment weighs 1"
    else:
        row = (
            f"a touch of a case in search of help, left of {whom}, before the case's first touch there, while its ticket is "
            "open; each case weighs 1 in all"
        )
    return _list([f"a row: {row}", f"its label: {label}", f"a case that is still open {open_}"])


def _model(result: Escalation) -> str:
    choice, kept = result.choice, result.kept
    if choice is None:
        assert kept is not None
        return f"{kept.model.kind}, as it was kept; its AUC was {kept.auc:.3f} on the {kept.n:,} cases held out then."
    used = f"Tried: logistic regression and gradient boosting. Used: **{choice.model.kind}**"
    if choice.table.empty:
        why = "there are too few older cases to compare the two on"
    else:
        why = (
            f"on later cases of {len(choice.table)} origins within the training, boosting saved "
            f"{_with_interval(choice.gain, 4)} of log loss, and it is used only where that is clearly more than 0"
        )
    return f"{used}: {why}. Chances are {'shifted and stretched' if choice.repaired else 'as the model gives them'}."


def _metrics(result: Escalation) -> str:
    if result.scores.empty or result.why_not:
        return f"Not known: {escape(result.why_not)}."
    rows = result.scores[result.scores["metric"].isin(METRICS)]
    names = list(dict.fromkeys(rows["model"]))
    found = {(row.model, row.metric): _with_interval(row._asdict()) for row in rows.itertuples()}
    said = METRICS | {"ece": f"{METRICS['ece']} ({result.ece_if_perfect:.3f} if the chances of the model used were right)"}
    body = [[said[metric], *(found.get((name, metric), "") for name in names)] for metric in METRICS]
    n = int(rows["n"].max())
    return f"{_table(['metric', *names], body)}\n\nOn {n:,} cases that were not learned from; 95 % intervals by customer."


def _calibration(result: Escalation) -> str:
    if result.calibration.empty:
        return "Not known."
    held = int(result.calibration["holds"].sum())
    return (
        f"Mean chance {result.overall['mean_chance']:.3f}, share that escalated {_share(result.overall)}. In {held} of "
        f"{len(result.calibration)} groups of equal weight the interval of the observed share holds the mean chance. Expected "
        f"calibration error {result.ece:.3f}; {result.ece_if_perfect:.3f} if the chances were right."
    )


def _segments(result: Escalation) -> str:
    table = result.by_segment
    if table.empty:
        return "No column divides the cases into segments that are large enough."
    body = [
        [escape(f"{row.column}: {row.segment}"), f"{row.n:,}", _interval(row.auc, row.auc_low, row.auc_high),
         f"{row.mean_chance:.3f}", _interval(row.share, row.low, row.high), row.verdict]
        for row in table.itertuples()
    ]  # fmt: skip
    return _table(["segment", "cases", "AUC", "mean chance", "share that escalated", "verdict"], body)


def _drift(result: Escalation) -> str:
    if result.drift.empty:
        return "Not known."
    moved, of = result.drift[result.drift["verdict"] != "steady"], f"{result.drift['n'].max():,} cases"
    if moved.empty:
        return f"No feature looks other than in training (population stability index beyond chance below 0.1; {of})."
    names = [f"{escape(label_of(row.feature))}: {row.psi:.2f}, {row.verdict}" for row in moved.itertuples()]
    return f"Features of {of} that look other than in training (population stability index beyond chance):\n\n{_list(names)}"


def _features(names: Sequence[str]) -> str:
    read = declared(names).groupby("reads")["feature"].agg(list)
    said = [f"{table}: {', '.join(sorted(escape(label_of(name)) for name in of))}" for table, of in read.items()]
    today = (
        " The users table has no dates: role, plan and region are those of today."
        if names and any(name.split(".")[0] in ("role", "plan", "geography") for name in names)
        else ""
    )
    return f"{_list(said)}\n\nEach as far as its dates say that it was known at the moment.{today}"


def _limits(result: Escalation) -> str:
    again = f"shares of those who reach {escape(result.escalation)} can only grow: what was open when the data ended may follow"
    return _list(
        [
            "**Risk is not the effect of stepping in.** A chance says who will escalate if all goes on as before, not whom a "
            "review can turn, and reasons say what the forecast looked at, not what causes an escalation",
            "it was judged on the newest cases of the same data: elsewhere, or in a changed world, it has to be judged anew",
            "the intervals hold the doubt about the cases judged, not about another training set",
            again
            if result.horizon is None
            else "moments not watched for the whole horizon are spoken for by others, which takes these to be alike",
            "a segment that is too small to be judged may be served worse than the numbers show",
        ]
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: list[str], body: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *body])


def _day(at: object) -> str:
    return f"{at:%Y-%m-%d}" if isinstance(at, pd.Timestamp) else "unknown"


def _with_interval(score: Mapping[str, float], digits: int = 3) -> str:
    return _interval(score["value"], score["low"], score["high"], digits)


def _share(row: Mapping[str, float]) -> str:
    return _interval(row["share"], row["low"], row["high"])


def _interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """An estimate with its 95 % interval.

    >>> nan = float("nan")
    >>> _interval(0.5, 0.25, 0.75, 2), _interval(0.5, nan, nan, 2), _interval(nan, nan, nan)
    ('0.50 (0.25 to 0.75)', '0.50', 'unknown')
    """
    if pd.isna(low):
        return "unknown" if pd.isna(value) else f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
