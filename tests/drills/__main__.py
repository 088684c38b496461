"""`make drills`: run every proof, or those named, and write results.md; the exit code says whether all held."""

from __future__ import annotations

import re
import sys
from datetime import date
from importlib import import_module
from pathlib import Path

import pandas as pd

PROOFS = ("shares", "times", "absorbing", "compare")
RESULTS = Path(__file__).with_name("results.md")
HEAD = "# Drills\n\nWritten by `make drills`; one proof alone by `make drills PROOF=times`.\n"


def section(name: str, said: str, table: pd.DataFrame, holds: bool) -> str:
    """The section of one proof: when it was run, what was proven, the table."""
    rows = table.reset_index().round(4)
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.itertuples(index=False)]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    return f"## {name}: {'holds' if holds else 'DOES NOT HOLD'}\n\nRun on {date.today()}. {said}\n\n{text}\n"


def replaced(document: str, name: str, new: str) -> str:
    """The document with the section of one proof put in place of an older one; sections in the order of `PROOFS`.

    >>> old = "# Drills\\n\\n## times: holds\\n\\nold\\n\\n## shares: holds\\n\\nkept\\n"
    >>> print(replaced(old, "times", "## times: holds\\n\\nnew\\n").removeprefix(HEAD))
    <BLANKLINE>
    ## shares: holds
    <BLANKLINE>
    kept
    <BLANKLINE>
    ## times: holds
    <BLANKLINE>
    new
    <BLANKLINE>
    """
    sections = {part.split(":")[0].strip(): part.strip() + "\n" for part in re.split(r"(?m)^## ", document)[1:]}
    sections[name] = new.removeprefix("## ")
    return "\n".join([HEAD, *(f"## {sections[proof]}" for proof in PROOFS if proof in sections)])


def main(names: list[str]) -> int:
    if unknown := set(names) - set(PROOFS):
        sys.exit(f"There is no proof called {', '.join(sorted(unknown))}: there are {', '.join(PROOFS)}.")
    held = True
    for name in names or PROOFS:
        *found, holds = import_module(f"drills.{name}").drill()
        new = section(name, *found, holds)
        print(new, flush=True)
        RESULTS.write_text(replaced(RESULTS.read_text() if RESULTS.exists() else "", name, new))
        held &= holds
    return int(not held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
