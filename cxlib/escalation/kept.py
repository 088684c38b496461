"""A forecast that is kept: it gives chances to the open cases of later data, and says whether it still holds there."""

from __future__ import annotations

import json
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from cxlib.escalation.judging import Look
from cxlib.escalation.models import Model
from cxlib.escalation.scorers import Linear, Trees
from cxlib.schema import DataError
from cxlib.store import whole_file
from cxlib.themes import Codebook

_FORM = 3  # raise it when the file changes in a way that an older program cannot read
_READ = (2, _FORM)  # 2 had neither the interval of the AUC, nor how long the data were observed, nor the cases behind a look


@dataclass(frozen=True)
class Forecaster:
    """What it takes to forecast later cases, and to compare them with those of training."""

    model: Model
    target: str  # the stage that is forecast
    horizon: str | None
    split_at: int  # microseconds, UTC: it has seen nothing later
    base_rate: float
    auc: float  # on the cases held out when it was fitted
    n: int  # of those
    usual: Mapping[str, object]
    past: pd.DataFrame  # what silence meant in training: see `silence.after_silence`
    correction: tuple[float, float]  # what past lists were off by, and its error: see `expected.correction_of`
    looks: Mapping[str, Look]  # what each feature looked like in the newer half of training
    trained_on: str  # name and fingerprint of the data set
    book: Codebook | None = None  # the themes that it reads, if it does
    auc_low: float = float("nan")  # the 95 % interval of `auc`
    auc_high: float = float("nan")
    until: int = 0  # microseconds, UTC: the end of the data it was fitted on and judged by

    def save(self, path: str | Path) -> Path:
        """Keep it in one file: arrays and a page of JSON, nothing in it that could run."""
        path = Path(path)
        about: dict[str, Any] = {
            "form": _FORM,
            "kind": self.model.kind,
            "numbers": self.model.numbers,
            "repair": self.model.repair,
            "correction": self.correction,
        }
        about |= {"words": {name: list(known) for name, known in self.model.words.items()}}
        about |= {name: getattr(self, name) for name in (*_PLAIN, *_SINCE_3)}
        about |= {"looks": {name: asdict(look) for name, look in self.looks.items()}}
        arrays = {f"model_{name}": array for name, array in self.model.scorer.arrays().items()}
        arrays |= {f"past_{name}": self.past[name].to_numpy() for name in ("gap", "chance", "label", "weight")}
        arrays["past_stage"] = self.past["stage"].to_numpy(dtype=str)
        if self.book is not None:
            arrays["book"] = np.frombuffer(_bytes_of(self.book), dtype=np.uint8)
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        with whole_file(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stubs take the arrays for flags
        return path

    @staticmethod
    def load(path: str | Path) -> Forecaster:
        """The forecast that was saved there. Raises DataError if it is none, or was cut short."""
        try:
            with np.load(path, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
            about: dict[str, Any] = json.loads(held.pop("about").tobytes())
            if about["form"] not in _READ:
                raise DataError(f"{path} is a forecast of form {about['form']}, this version reads {_FORM}: fit it again")
            arrays = {name.removeprefix("model_"): array for name, array in held.items() if name.startswith("model_")}
            words = {name: pd.Index(known, dtype="str") for name, known in about["words"].items()}
            scorer = Linear.of_arrays(arrays) if about["kind"] == "logistic" else Trees.of_arrays(arrays)
            model = Model(about["kind"], scorer, words, tuple(about["numbers"]), tuple(about["repair"]))
            past = pd.DataFrame({name: held[f"past_{name}"] for name in ("stage", "gap", "chance", "label", "weight")})
            looks = {name: Look(**look) for name, look in about["looks"].items()}
            plain = {name: about[name] for name in _PLAIN} | {name: about[name] for name in _SINCE_3 if name in about}
            plain["book"] = _book_of(held["book"].tobytes()) if "book" in held else None
            return Forecaster(model=model, past=past, correction=tuple(about["correction"]), looks=looks, **plain)
        except DataError:
            raise
        except FileNotFoundError:
            raise DataError(f"there is no forecast at {path}: make one with cx score --fit, or Forecaster.save") from None
        except _DAMAGE as error:
            raise DataError(f"{path} is no forecast, or was cut short ({type(error).__name__}): fit it again") from None


def _bytes_of(book: Codebook) -> bytes:
    with TemporaryDirectory() as folder:
        return book.save(Path(folder) / "book.npz").read_bytes()


def _book_of(held: bytes) -> Codebook:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "book.npz"
        file.write_bytes(held)
        return Codebook.load(file)


_PLAIN = ("target", "horizon", "split_at", "base_rate", "auc", "n", "usual", "trained_on")
_SINCE_3 = ("auc_low", "auc_high", "until")
_DAMAGE = (  # what reading a damaged file can raise: zip, zlib, NumPy's header and our own page of JSON
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError),
    *(SyntaxError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
)
