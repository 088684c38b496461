"""Slow proofs in hundreds of simulated worlds: `make drills` runs them and writes results.md; the tests run a quick version."""

import re
from collections.abc import Sequence

from scipy.stats import binom


def central(worlds: int) -> tuple[int, int]:
    """DESIGN's coverage rule: the central 99 % of Binomial(worlds, .95).

    >>> central(100), central(400)
    ((89, 100), (368, 390))
    """
    return int(binom.ppf(0.005, worlds, 0.95)), int(binom.ppf(0.995, worlds, 0.95))


def alarms_allowed(worlds: int) -> int:
    """How many of `worlds` null worlds may raise an alarm at the 5 % level: the central 99 %, 11 of 100.

    >>> alarms_allowed(100), alarms_allowed(400)
    (11, 32)
    """
    return worlds - central(worlds)[0]


def replaced(document: str, new: str, order: Sequence[str]) -> list[str]:
    """The sections of a document, with `new` in place of the one of the same name; only those in `order`, and in that order.

    >>> replaced("head\\n## b: old\\n## a: kept\\n## c: dropped\\n", "## b: new\\n", ["a", "b"])
    ['## a: kept\\n', '## b: new\\n']
    """
    sections = {part.split(":")[0]: f"## {part.strip()}\n" for part in re.split(r"(?m)^## ", f"{document}\n{new}")[1:]}
    return [sections[name] for name in order if name in sections]
