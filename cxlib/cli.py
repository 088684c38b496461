"""`cx`: import an export, make the demo data set, check a data set, publish a report."""

from __future__ import annotations

import argparse
import sys

from cxlib.schema import DataError


def main(argv: list[str] | None = None) -> int:
    """Run `cx`; returns the exit code: 0 ok, 1 a notebook failed, 2 bad parameters or data."""
    from cxlib import simulate, sources
    from cxlib.reports import add_report

    parser = argparse.ArgumentParser(prog="cx", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sources.add_import(commands)
    simulate.add_demo(commands)
    _add_check(commands)
    add_report(commands)
    asked = parser.parse_args(argv)
    try:
        return asked.run(asked)
    except DataError as error:
        print(f"cx: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cx: stopped; nothing was published", file=sys.stderr)
        return 1


def _add_check(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("check", help="say which rows of a data set can be used, and why the others cannot")
    parser.add_argument("dataset", metavar="DIR", help="a dataset folder, such as data/demo")
    parser.set_defaults(run=_check)


def _check(asked: argparse.Namespace) -> int:
    from cxlib.store import open_dataset
    from cxlib.words.data import print_accounting

    return print_accounting(open_dataset(asked.dataset))


if __name__ == "__main__":
    sys.exit(main())
