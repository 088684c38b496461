"""What an analyst knows better: themes renamed, merged, split and pinned in a small file that later runs respect."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cxlib.schema import DataError, nearest
from cxlib.themes.codebook import ANEW, Codebook, Kept
from cxlib.themes.graph import fuzzy_graph, partition
from cxlib.themes.texts import plain

FILE = "themes.toml"
_KEYS = {"rename": {"theme", "name"}, "merge": {"themes", "name"}, "split": {"theme", "into"}, "pin": {"theme", "words"}}
_NEEDED = {"rename": {"theme", "name"}, "merge": {"themes"}, "split": {"theme"}, "pin": {"theme", "words"}}
_ORDER = ("split", "merge", "rename", "pin")


def read_edits(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """The edits of a file. Raises DataError if it cannot be read or says something unknown."""
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as TOML: {error}") from None
    for kind, entries in found.items():
        if kind not in _KEYS:
            raise DataError(f"{path}: {kind!r} is no edit: {nearest(kind, list(_KEYS))}")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f"{path}: write [[{kind}]] in double brackets, once for each edit")
        for entry in entries:
            if unknown := sorted(set(entry) - _KEYS[kind]):
                raise DataError(f"{path}: [[{kind}]] knows no {unknown[0]!r}: {nearest(unknown[0], sorted(_KEYS[kind]))}")
            if missing := sorted(_NEEDED[kind] - set(entry)):
                raise DataError(f"{path}: [[{kind}]] needs {missing[0]} =")
    return found


def edited(book: Codebook, edits: Mapping[str, list[dict[str, Any]]]) -> Codebook:
    """The codebook with these edits: splits first, then merges, names, pins. Its tables are stale until `applied`.

    Parameters
    ----------
    book : Codebook
    edits : mapping
        As `read_edits` gives them. A theme is named by its number or its name, as the codebook has it. ``rename``: theme, name.
        ``merge``: themes (the first one stays), name. ``split``: theme, into (parts; 2 unless given): the largest part keeps
        the number. ``pin``: theme, words (texts that hold one of these are of this theme, whatever else they say).

    Raises
    ------
    DataError
        If a theme is unknown, gone by an earlier edit, or cannot be split so.
    """
    names = dict(zip(book.table["theme"].tolist(), book.table["name"].tolist(), strict=True))
    kept = book.kept
    for kind in _ORDER:
        for edit in edits.get(kind, []):
            if kind == "merge":
                first, *others = [_theme(asked, names) for asked in edit["themes"]]
                here, known = (np.where(np.isin(of, others), first, of) for of in (kept.theme, kept.known_theme))
                kept = replace(kept, theme=here, known_theme=known)
                names = {theme: name for theme, name in names.items() if theme not in others}
                names[first] = edit.get("name", names[first])
                continue
            theme = _theme(edit["theme"], names)
            if kind == "split":
                kept = _split(kept, theme, edit.get("into", 2), max(*names, kept.theme.max()) + 1)
            elif kind == "rename":
                names[theme] = str(edit["name"])
            else:
                kept = replace(kept, pins=(*kept.pins, *((_words(words), theme) for words in edit["words"])))
    stays = book.table[book.table["theme"].isin(names)]
    return replace(book, kept=kept, table=stays.assign(name=stays["theme"].map(names)))


def _theme(asked: int | str, names: Mapping[int, str]) -> int:
    if isinstance(asked, int) and asked in names:
        return asked
    found = [theme for theme, name in names.items() if name == asked]
    if len(found) == 1:
        return found[0]
    raise DataError(f"{FILE} asks for the theme {asked!r}, which is not there: {nearest(str(asked), list(names.values()))}")


def _words(words: object) -> str:
    text = " ".join(plain(words).split())
    if not text:
        raise DataError(f"{FILE}: {words!r} cannot be pinned: write a word or a few in a row")
    return text


def _split(kept: Kept, theme: int, into: int, next_theme: int) -> Kept:
    """The theme's texts grouped once more; those that do not stand for it are given their part as new ones are."""
    of = np.flatnonzero(kept.theme == theme)
    if not isinstance(into, int) or not 2 <= into <= len(of) // 2:
        raise DataError(
            f"{FILE} asks to split theme {theme} into {into!r}: it has {len(of)} texts to split, ask for 2 or a few"
        )
    part = np.unique(partition(fuzzy_graph(kept.points[of]), into), return_inverse=True)[1]
    names = np.empty(into, dtype=int)
    names[np.argsort(-np.bincount(part, minlength=into), kind="stable")] = [theme, *range(next_theme, next_theme + into - 1)]
    parted = kept.theme.copy()
    parted[of] = names[part]
    return replace(kept, theme=parted, known_theme=np.where(kept.known_theme == theme, ANEW, kept.known_theme))
