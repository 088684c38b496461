"""`cx`: import an export, make the demo data set, check a data set, compile its journeys, keep its themes, list
whom to look at today, publish a report."""

from __future__ import annotations

import argparse
import sys

from cxlib import escalation, eventlog, simulate, sources, store, themes
from cxlib.reports import add_report, run_report
from cxlib.reports.run import interruptible
from cxlib.schema import DataError
from cxlib.words.data import print_accounting


def main(argv: list[str] | None = None) -> int:
    """Run `cx`; returns the exit code: 0 ok, 1 a notebook failed or the run was interrupted, 2 bad parameters or data.

    >>> main(["check", "no/such/folder"])
    2
    """
    parser = argparse.ArgumentParser(prog="cx", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sources.add_import(commands)
    simulate.add_demo(commands)
    checking = commands.add_parser("check", help="say which rows of a data set can be used, and why the others cannot")
    checking.add_argument("dataset", metavar="DIR", help="a dataset folder, such as data/demo")
    eventlog.add_compile(commands)
    themes.add_codebook(commands)
    escalation.add_score(commands)
    add_report(commands)
    asked = parser.parse_args(argv)
    try:
        if asked.command == "import":
            return sources.run_import(asked, store)
        if asked.command == "demo":
            return simulate.run_demo(asked, store)
        if asked.command == "check":
            return print_accounting(store.open_dataset(asked.dataset))
        if asked.command == "compile":
            with interruptible():
                return eventlog.run_compile(asked)
        if asked.command == "codebook":
            with interruptible():
                return themes.run_codebook(asked)
        if asked.command == "score":
            with interruptible():
                return escalation.run_score(asked)
        return run_report(asked)
    except KeyboardInterrupt:
        print("cx: interrupted; nothing half-made was left", file=sys.stderr)
        return 1
    except DataError as error:
        print(f"cx: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has left
        return 1
    except OSError as error:
        print(f"cx: {error.filename or 'a file'} cannot be read or written: {error.strerror}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
