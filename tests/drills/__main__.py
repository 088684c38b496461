"""`make drills`: run every proof, print its table as Markdown; the exit code says whether all held."""

from __future__ import annotations

import sys
from datetime import date
from importlib import import_module

PROOFS = ("shares", "absorbing", "compare")


def main() -> int:
    print(f"# Drills\n\nWritten by `make drills` on {date.today()}.")
    held = True
    for name in PROOFS:
        said, table, holds = import_module(f"drills.{name}").drill()
        rows = table.reset_index().round(4)
        lines = [rows.columns, ["---"] * len(rows.columns), *rows.itertuples(index=False)]
        print(f"\n## {name}: {'holds' if holds else 'DOES NOT HOLD'}\n\n{said}\n")
        print("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines), flush=True)
        held &= holds
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
