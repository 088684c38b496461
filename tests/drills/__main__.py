"""`make drills`: run every proof, or those named, and write results.md; the exit code says whether all held."""

from __future__ import annotations

import sys
from datetime import date
from importlib import import_module
from pathlib import Path

import pandas as pd

from drills import replaced

PROOFS = ("shares", "times", "absorbing", "compare", "moves", "costs", "news", "refit", "escalation")
RESULTS = Path(__file__).with_name("results.md")
HEAD = "# Drills\n\nWritten by `make drills`; one proof alone by `make drills PROOF=times`.\n"


def section(name: str, said: str, table: pd.DataFrame, holds: bool) -> str:
    """The section of one proof: when it was run, what was proven, the table."""
    rows = table.reset_index().round(4)
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.itertuples(index=False)]
    text = "\n".join("| " + " | ".join("" if pd.isna(x) else str(x) for x in line) + " |" for line in lines)
    return f"## {name}: {'holds' if holds else 'DOES NOT HOLD'}\n\nRun on {date.today()}. {said}\n\n{text}\n"


def main(names: list[str]) -> int:
    if unknown := set(names) - set(PROOFS):
        sys.exit(f"There is no proof called {', '.join(sorted(unknown))}: there are {', '.join(PROOFS)}.")
    held = True
    for name in names or PROOFS:
        *found, holds = import_module(f"drills.{name}").drill()
        new = section(name, *found, holds)
        print(new, flush=True)
        written = RESULTS.read_text() if RESULTS.exists() else ""
        RESULTS.write_text("\n".join([HEAD, *replaced(written, new, PROOFS)]))
        held &= holds
    return int(not held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
