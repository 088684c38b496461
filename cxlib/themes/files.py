"""A codebook as a file: arrays and a page of JSON in one .npz, nothing in it that could run."""

from __future__ import annotations

import json
import zipfile
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxlib.schema import DataError
from cxlib.store import whole_file
from cxlib.themes.boilerplate import Boilerplate
from cxlib.themes.codebook import Codebook, Kept
from cxlib.themes.models import model_of, stored

_FORM = 1  # raise it when the file changes in a way that an older program cannot read
_TABLES = ("table", "stability", "places", "mixing", "changes")
_PLAIN = ("n_texts", "n_distinct", "n_empty", "n_mixed", "n_cut", "text_model", "why", "version")
_ARRAYS = ("points", "theme", "known", "known_theme")


def save(book: Codebook, path: str | Path) -> Path:
    """See `Codebook.save`."""
    path = Path(path)
    about: dict[str, Any] = {"form": _FORM} | {name: getattr(book, name) for name in _PLAIN}
    about |= {name: getattr(book, name).to_json(orient="split", index=False, double_precision=15) for name in _TABLES}
    about["kinds"] = {name: getattr(book, name).dtypes.astype(str).to_dict() for name in _TABLES}
    about["pins"] = book.kept.pins
    about["model"], arrays = stored(book.kept.model)
    arrays |= {name: getattr(book.kept, name) for name in _ARRAYS}
    arrays |= {"labels": book.labels, "boilerplate": book.kept.boilerplate.known}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stubs take the arrays for flags
    return path


def load(path: str | Path) -> Codebook:
    """See `Codebook.load`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        about = json.loads(held.pop("about").tobytes())
        if about["form"] != _FORM:
            raise DataError(f"{path} is a codebook of form {about['form']}, this version reads {_FORM}: fit it again")
        kept = Kept(
            model_of(about["model"], held),
            Boilerplate(held["boilerplate"]),
            **{name: held[name] for name in _ARRAYS},
            pins=tuple((words, theme) for words, theme in about["pins"]),
        )
        tables = {name: _table(about[name], about["kinds"][name]) for name in _TABLES}
        return Codebook(labels=held["labels"], kept=kept, **tables, **{name: about[name] for name in _PLAIN})
    except FileNotFoundError:
        raise DataError(f"there is no codebook at {path}: make one with Codebook.save") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no codebook, or was cut short ({type(error).__name__}): fit and save it again") from None


def _table(text: str, kinds: dict[str, str]) -> pd.DataFrame:
    table = pd.read_json(StringIO(text), orient="split", precise_float=True, dtype=False)
    table = table.astype(kinds)
    if "typical" in table:
        table["typical"] = table["typical"].map(tuple)
        table["dissenting"] = [None if pd.isna(i) else int(i) for i in table["dissenting"]]
    return table
