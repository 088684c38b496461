"""Which numbers does a notebook hand on? One small table, shown to the reader and carried along as JSON."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cxlib.reports.html import METRICS
from cxlib.schema import DataError, nearest

COLUMNS = ["metric", "segment", "value", "low", "high", "n"]


def show_metrics(notebook: str, frame: pd.DataFrame) -> None:
    """Show a notebook's metrics and record them for `metrics.parquet`.

    Parameters
    ----------
    notebook : str
        The notebook's file name without `.ipynb`.
    frame : DataFrame
        One row per metric and segment, with the columns metric, segment, value, low, high (95 % interval, empty where there is
        none) and n (what the value rests on). Shown and recorded with four significant digits, whole numbers in full.

    Raises
    ------
    DataError
        If a column is missing, a metric and segment come twice, or a value lies outside its interval.
    """
    if missing := [column for column in COLUMNS if column not in frame]:
        raise DataError(f"metrics of {notebook} lack {', '.join(missing)}: {nearest(missing[0], COLUMNS)}")
    rows = records(frame[COLUMNS])
    names = [(row["metric"], row["segment"]) for row in rows]
    if twice := [f"{metric} of {segment}" for metric, segment in dict.fromkeys(names) if names.count((metric, segment)) > 1]:
        raise DataError(f"metrics of {notebook} record {twice[0]} more than once: give each its own segment")
    for row in rows:
        value, low, high = row["value"], row["low"], row["high"]
        if None not in (value, low, high) and not low <= value <= high:
            raise DataError(f"metrics of {notebook}: {row['metric']} = {value} lies outside its interval {low} to {high}")
    _display(notebook, rows)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a metrics table as plain values, rounded; a missing number is None.

    >>> records(pd.DataFrame([["auc", "all", 0.851249, 0.8, None, 12345]], columns=COLUMNS))
    [{'metric': 'auc', 'segment': 'all', 'value': 0.8512, 'low': 0.8, 'high': None, 'n': 12345}]
    """
    return [
        {"metric": str(row["metric"]), "segment": str(row["segment"])}
        | {name: _rounded(row[name]) for name in ("value", "low", "high")}
        | {"n": None if pd.isna(row["n"]) else int(row["n"])}
        for row in frame.to_dict(orient="records")
    ]


def as_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Recorded rows as the table that is published: notebook, metric, segment as text, n as a whole number."""
    kinds = {
        "notebook": "str",
        "metric": "str",
        "segment": "str",
        "value": "float64",
        "low": "float64",
        "high": "float64",
        "n": "Int64",
    }
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)


def _rounded(value: Any) -> float | None:
    if pd.isna(value) or math.isinf(value):
        return None
    return float(value) if float(value).is_integer() else float(f"{value:.4g}")


def _display(notebook: str, rows: list[dict[str, Any]]) -> None:
    from IPython.display import display

    shown = pd.DataFrame(rows, columns=COLUMNS).map(_as_text)
    bundle = {
        "text/plain": shown.to_string(index=False),
        "text/html": shown.to_html(index=False),
        METRICS: [{"notebook": notebook, **row} for row in rows],
    }
    display(bundle, raw=True)


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}" if value.is_integer() else repr(value)
    return "" if value is None else str(value)
