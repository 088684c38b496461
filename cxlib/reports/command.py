"""`cx report`: run notebooks on a data set and publish what they say."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxlib.reports import html, pages, publish
from cxlib.reports.engine import add_engine, cluster
from cxlib.reports.parameters import PARAMETERS, ROOT, check, declared, shared_out
from cxlib.reports.run import choose, interruptible, run
from cxlib.schema import DataError

if TYPE_CHECKING:
    from cxlib.store import Dataset


def add_report(subparsers: Any) -> None:
    """Add `report` to the subcommands of `cx`."""
    about = "run notebooks on a data set and publish a report"
    names = "\n".join(f"  {name:<10} {parameter.about}" for name, parameter in PARAMETERS.items())
    parser = subparsers.add_parser(
        "report",
        help=about,
        description=about,
        epilog=f"parameters (a notebook takes those it declares):\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="path, name or number of a notebook (default: all)")
    parser.add_argument("--data", metavar="DIR", help="dataset folder (default: the notebooks' own, data/demo)")
    parser.add_argument("--out", metavar="DIR", default="reports", help="folder for the reports (default: reports)")
    parser.add_argument(
        "-p",
        dest="given",
        metavar="NAME=VALUE",
        nargs="+",
        action="append",
        default=[],
        help="set a parameter; may be repeated",
    )
    about = "notebooks that run at the same time (default: 2; on Spark 1, since a cluster gives itself to one program)"
    parser.add_argument("--jobs", type=int, metavar="N", help=about)
    add_engine(parser)


def run_report(args: argparse.Namespace) -> int:
    """Run and publish; returns 0, or 1 if a notebook failed. Raises DataError, before any kernel starts, for what cannot be."""
    given, more = read_given(args.given)
    notebooks = choose([*args.notebooks, *more])
    jobs = args.jobs if args.jobs is not None else 1 if args.engine == "spark" else 2
    if not 1 <= jobs <= 64:
        raise DataError(f"--jobs {jobs} is out of range: 1 to 64")
    own = {stem: declared(path) for stem, path in notebooks.items()}
    if args.data is not None:
        if "data_dir" in given:
            raise DataError("the data set is named twice: give either --data DIR or -p data_dir=DIR")
        given["data_dir"] = from_root(Path(args.data))
    passed = shared_out(given, own)
    parameters = {stem: own[stem] | passed[stem] for stem in notebooks}
    dataset = _open(parameters)
    master = cluster(args.engine, args.master, notebooks)
    out = Path(args.out)
    with interruptible(), publish.running(out) as folder:
        try:
            results = run(notebooks, passed, folder, jobs, master)
            if errors := {result.stem: result.error for result in results if result.error}:
                return _failed(folder, out, errors)
            durations = {result.stem: result.seconds for result in results}
            about = publish.manifest(folder.name, dataset, parameters, durations) | {"engine": args.engine}
            books = publish.write_report(folder, about)
            index = publish.publish(folder, out, about)
        except KeyboardInterrupt:
            return _failed(folder, out, {path.stem: "interrupted" for path in folder.glob("*.ipynb")} or {"run": "interrupted"})
    if sentence := html.plain_text(html.headline(books[pages.leading(books)])):
        print(sentence)
    print(index)
    return 0


def read_given(groups: list[list[str]]) -> tuple[dict[str, str], list[str]]:
    """Which parameters were given with -p, as `name=value` or `name value`? The second result is what else stood behind them.

    >>> read_given([["seed=1"], ["top", "5"], ["within=", "2"]])
    ({'seed': '1', 'top': '5', 'within': ''}, ['2'])
    """
    given: dict[str, str] = {}
    notebooks: list[str] = []
    for first, *others in groups:
        name, sign, value = first.partition("=")
        rest = others if sign else others[1:]
        if not sign:
            if not others:
                raise DataError(f"-p {first} has no value: write -p {first}=value")
            value = others[0]
        if name in given:
            raise DataError(f"parameter {name} is given twice: {given[name]} and {value}")
        given[name] = value
        notebooks += rest
    return given, notebooks


def from_root(path: Path) -> str:
    """A path given on the command line, as a notebook understands it: relative to the project's root if it lies there."""
    full = path.expanduser().resolve()
    return full.relative_to(ROOT).as_posix() if full.is_relative_to(ROOT) else str(full)


def _open(parameters: Mapping[str, Mapping[str, Any]]) -> Dataset | None:
    """The one data set that the notebooks read, opened to see that it can be; None if they take no `data_dir`."""
    from cxlib.store import open_dataset

    folders = {check("data_dir", own["data_dir"]) for own in parameters.values() if "data_dir" in own}
    if len(folders) > 1:
        names = ", ".join(sorted(str(folder) for folder in folders))
        raise DataError(f"the chosen notebooks read different data sets ({names}): name one with --data DIR")
    return open_dataset(folders.pop()) if folders else None


def _failed(folder: Path, out: Path, errors: Mapping[str, str]) -> int:
    """Say which notebook failed, where and why, and where its half-run copy is; nothing is published."""
    kept = publish.keep_failed(folder, out, list(errors))
    for stem, error in errors.items():
        where = f"; the half-run notebook is {kept[stem]}" if stem in kept else ""
        print(f"{stem} failed: {error}. Nothing was published{where}", file=sys.stderr)
    return 1
