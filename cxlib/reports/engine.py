"""Where do the questions of a report run: on this machine, or on a cluster? It changes no number, so it is no parameter."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from cxlib import spark
from cxlib.schema import DataError


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add `--engine` and `--master` to a parser."""
    parser.add_argument(
        "--engine", choices=("local", "spark"), default="local", help="where journeys are counted (default: local)"
    )
    about = f"with --engine spark: the cluster, such as spark://HOST:7077 (default: {spark.MASTER})"
    parser.add_argument("--master", metavar="URL", help=about)


def cluster(engine: str, master: str | None, notebooks: Mapping[str, Path]) -> str | None:
    """The cluster that notebooks are to count on, known to answer; None for this machine.

    Raises DataError where none is named, it does not answer, pyspark or Java is missing, or no notebook would make use of it.
    Says on stderr which notebooks would not.
    """
    if engine == "local":
        if master is not None:
            raise DataError(f"--master {master} names a cluster, which --engine local does not use: add --engine spark")
        return None
    found = master or os.environ.get(spark.MASTER)
    if not found:
        raise DataError("--engine spark needs a cluster: add --master spark://HOST:7077, or local[2] to try Spark here")
    here = [stem for stem, path in notebooks.items() if "open_log(" not in path.read_text(encoding="utf-8")]
    if len(here) == len(notebooks):
        raise DataError("no chosen notebook counts on Spark: open the log with cxlib.open_log(dataset), or leave out --engine")
    spark.check_cluster(found)
    for stem in here:
        print(f"{stem} opens no log with open_log and runs on this machine alone", file=sys.stderr)
    return found
