"""Codebooks: themes that stay the same, in a file, over runs, processes and refits; and what is left out of texts."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from test_themes import TOPICS, written

from cxlib import open_log, themes
from cxlib.cli import main
from cxlib.schema import DataError
from cxlib.store import open_dataset, write_dataset
from cxlib.themes import boilerplate, clusters, terms, tickets
from cxlib.themes.texts import plain

NEW = "warehouse barcode scanner label pallet shelf forklift stock"


@pytest.fixture(scope="module")
def book():
    texts, _ = written(600)
    return texts, themes.fit(texts, 6, "lexical")


def more(n, seed=5):
    """Texts of a topic that nobody wrote about before."""
    draw = np.random.default_rng(seed)
    every = sorted(word for pool in TOPICS.values() for word in pool.split())
    return [" ".join([*draw.choice(NEW.split(), 4, replace=False), *draw.choice(every, 2)]) for _ in range(n)]


# --- terms, against scikit-learn ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (terms.words, {"ngram_range": (1, 2), "token_pattern": r"\w+"}),
        (terms.letter_groups, {"analyzer": "char_wb", "ngram_range": (3, 5)}),
    ],
)
def test_weighted_terms_are_those_of_scikit_learn(ours, theirs):
    texts = [text.replace("order", "commande numéro") for text in written(300)[0]]
    vectors = TfidfVectorizer(sublinear_tf=True, min_df=2, **theirs).fit_transform(texts)
    weights = terms.Vocabulary.of(ours, texts, 2).weigh(texts)
    assert weights.shape == vectors.shape
    equal = np.isclose((weights @ weights.T).toarray(), (vectors @ vectors.T).toarray())
    assert equal.mean() > 0.98  # a rare term may share the number of a frequent one, and change its text's row


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_terms_do_not_depend_on_the_texts_beside_them(texts):
    texts = [plain(text) for text in texts]
    for kind in (terms.words, terms.letter_groups):
        number, row = kind(texts)
        for position, text in enumerate(texts):
            assert sorted(number[row == position]) == sorted(kind([text])[0])


def test_words_of_scripts_with_marks_stay_whole():
    for text in ("สวัสดี ครับ", "नमस्ते दुनिया", "שָׁלוֹם עוֹלָם"):
        assert len(terms.word_runs([text])[0]) == 2


# --- what is left out ---------------------------------------------------------------------------------------


def test_what_many_tickets_share_word_for_word_is_dropped_and_counted():
    texts, topic = written(600)
    footer = "this message is confidential and meant for the addressee alone please delete it if you are not"
    marked = [f"{text}\n{footer}" if i % 2 else text for i, text in enumerate(texts)]
    found = themes.fit(marked, 6, "lexical")
    assert found.n_cut == 300
    assert adjusted_rand_score(topic, found.labels) > 0.95
    assert not set(footer.split()) & set(" ".join(found.table["keywords"]).split())


def test_a_text_that_is_all_template_is_not_emptied():
    shared = "your order has left our house and will be with you soon"
    known = boilerplate.Boilerplate.of([f"{word} {shared}" for word in TOPICS["refund"].split() + TOPICS["login"].split()] * 2)
    assert known.dropped([shared, f"where is it {shared}"]) == [shared, "where is it"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Still slow.\n\nFrom: Support\nSent: Monday\nTo: me\nPlease restart", "still slow."),
        ("Läuft nicht.\nAm 3. März 2025 schrieb Support:\n> Bitte neu starten", "läuft nicht."),
        ("> quoted\nmine", "mine"),
        ("mine\n-- \nAda Lovelace\nAnalyst", "mine"),
        ("From: nobody", "from: nobody"),
        ("a -- b", "a -- b"),
    ],
)
def test_the_mail_that_is_answered_and_the_signature_are_left_out(text, kept):
    assert plain(text) == kept


def test_texts_that_differ_in_digits_and_signs_are_grouped_once_and_counted_each():
    found = themes.fit(["order 4711 is late", "order 12 is late!", "Order 9 is late", "reset my password"], 2, "lexical")
    assert found.n_distinct == 2
    assert found.table["n"].tolist() == [3, 1]


# --- frozen -------------------------------------------------------------------------------------------------


def test_a_text_it_was_fitted_on_keeps_its_theme_whatever_stands_beside_it(book):
    texts, found = book
    order = np.random.default_rng(1).permutation(len(texts))
    assert (found.assign([texts[i] for i in order]) == found.labels[order]).all()
    assert all(found.assign([texts[i], *more(3)])[0] == found.labels[i] for i in range(5))
    assert found.assign([texts[0].upper() + " 17!"])[0] == found.labels[0]
    assert found.assign(["", None, "!!", "ψψψψψψ"]).tolist() == [themes.NO_TEXT] * 3 + [themes.MIXED]


def test_later_texts_get_the_theme_of_their_topic(book):
    _texts, found = book
    later, topic = written(300, seed=9)
    assert adjusted_rand_score(topic, found.assign(later)) > 0.9


def test_a_codebook_comes_back_from_its_file_as_it_was(book, tmp_path):
    _texts, found = book
    again = themes.Codebook.load(found.save(tmp_path / "deep" / "book.npz"))
    for name in ("table", "stability", "places", "mixing", "changes"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))
    assert (again.labels == found.labels).all()
    later = written(100, seed=4)[0]
    assert (again.assign(later) == found.assign(later)).all()


ASK = """
import sys; from cxlib import themes; sys.path.insert(0, "tests"); from test_themes import written
book = themes.Codebook.load(sys.argv[1]); print(book.assign(written(200, seed=6)[0]).tolist())
print(themes.fit(written(200)[0][::int(sys.argv[2])], 6, "lexical").assign(written(50)[0]).tolist())
"""


def test_two_processes_give_the_same_themes(book, tmp_path):
    path = book[1].save(tmp_path / "book.npz")
    said = []
    for threads, hashing, step in (("1", "1", "1"), ("2", "2", "-1")):
        env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": hashing}
        said.append(
            subprocess.run([sys.executable, "-c", ASK, str(path), step], env=env, capture_output=True, text=True, check=True)
        )
    assert said[0].stdout == said[1].stdout != ""


@pytest.mark.parametrize("held", [b"", b"PK\x03\x04 cut short", b"not a codebook at all"])
def test_a_file_that_is_no_codebook_is_refused_in_a_line(held, tmp_path):
    (tmp_path / "book.npz").write_bytes(held)
    with pytest.raises(DataError, match="is no codebook"):
        themes.Codebook.load(tmp_path / "book.npz")
    with pytest.raises(DataError, match="there is no codebook"):
        themes.Codebook.load(tmp_path / "nothing.npz")


def test_a_codebook_cut_short_is_refused(book, tmp_path):
    path = book[1].save(tmp_path / "book.npz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="is no codebook"):
        themes.Codebook.load(path)


def test_applied_counts_other_texts_anew(book):
    _, found = book
    later, _ = written(200, seed=8)
    table = found.applied(later).table
    assert table["n"].sum() == 200
    assert table["n"].tolist() == [int((found.assign(later) == theme).sum()) for theme in table["theme"]]
    assert table["name"].tolist() == found.table["name"].tolist()
    assert all(
        found.assign([later[i]])[0] == theme for theme, some in zip(table["theme"], table["typical"], strict=True) for i in some
    )


# --- refit --------------------------------------------------------------------------------------------------


def test_a_new_topic_is_born_and_no_old_ticket_moves(book):
    texts, found = book
    grown, changes = found.refit([*texts, *written(60, seed=3)[0], *more(60)])
    assert changes["kind"].tolist() == ["birth"]
    assert changes["theme"].tolist() == [6]
    assert (grown.labels[:600] == found.labels).all()
    assert (grown.labels[-60:] == 6).mean() > 0.9
    assert (grown.labels[600:-60] == 6).mean() < 0.1
    assert grown.table["name"].tolist()[:6] == found.table["name"].tolist()
    assert set(grown.table["name"].iloc[6].replace("·", "").split()) <= set(NEW.split())
    assert (grown.version, len(grown.changes)) == (2, 1)
    assert (grown.assign(more(20, seed=11)) == 6).mean() > 0.9


def test_the_same_texts_again_change_nothing(book):
    texts, found = book
    grown, changes = found.refit(texts)
    assert changes.empty
    assert (grown.labels == found.labels).all()


def test_a_theme_nobody_asks_about_any_more_is_called_dead_and_keeps_its_tickets(book):
    texts, found = book
    later, topic = written(600, seed=21)
    silent = np.bincount(found.labels[np.array([t == 0 for t in written(600)[1]])]).argmax()
    grown, changes = found.refit([*texts, *(text for text, of in zip(later, topic, strict=True) if of != 0)])
    assert changes["kind"].tolist() == ["death"]
    assert changes["theme"].tolist() == [silent]
    assert (grown.labels[:600] == found.labels).all()


def test_what_has_come_apart_is_split_and_its_tickets_move_with_it(book):
    texts, found = book
    topic = written(600)[1]
    of = [np.bincount(found.labels[topic == t]).argmax() for t in range(6)]
    together = themes.edited(
        found, {"merge": [{"themes": [int(of[0]), int(of[1])]}], "pin": [{"theme": 0, "words": ["zebra"]}]}
    )
    together = together.applied(texts)
    later, of_later = written(900, seed=31)
    grown, changes = together.refit([*texts, *later])
    assert changes["kind"].tolist() == ["split"]
    assert changes["other"].tolist() == [of[0]]
    assert changes["n"].tolist() == [int((grown.labels == changes["theme"][0]).sum())]
    assert adjusted_rand_score([*topic, *of_later], grown.labels) > 0.9
    assert changes["theme"][0] in grown.table["theme"].tolist()
    moved = grown.labels[:600] != together.labels
    assert set(grown.labels[:600][moved]) == {changes["theme"][0]}
    assert grown.assign(["zebra"]).tolist() == [0]  # what was pinned stays


def test_themes_that_run_together_are_merged_into_the_older_one(book):
    texts, found = book
    kept, drawn = found.kept, np.random.default_rng(0).random(600) < 0.5
    theme, known = (np.where(drawn & (of == 2), 6, of) for of in (kept.theme, kept.known_theme))
    torn = replace(found, kept=replace(kept, theme=theme, known_theme=known)).applied(texts)
    assert 20 < (torn.labels == 6).sum() < 80  # some of theme 2's texts, by lot
    grown, changes = torn.refit([*texts, *written(60, seed=31)[0]])
    assert changes[["kind", "theme", "other"]].to_numpy().tolist() == [["merge", 6, 2]]
    assert not (grown.labels == 6).any()
    assert 6 not in grown.table["theme"].tolist()


def test_texts_beyond_those_that_are_grouped_keep_their_theme_too(monkeypatch):
    monkeypatch.setattr(clusters, "CORE", 200)
    texts, _ = written(600)
    found = themes.fit(texts, 6, "lexical")
    assert len(found.kept.points) == 200
    assert (found.assign(texts) == found.labels).all()
    grown, changes = found.refit([*texts, *written(90, seed=3)[0]])  # of which 200 others are grouped
    assert changes.empty
    assert (grown.labels[:600] == found.labels).all()
    assert (grown.assign(texts) == found.labels).all()


def test_texts_about_nothing_that_is_kept_are_refused(book):
    with pytest.raises(DataError, match="none of the 2 texts is about a theme"):
        book[1].applied(["ψψψψψψ", "ωωωωωω"])
    with pytest.raises(DataError, match="has a word"):
        book[1].refit([None, ""])


# --- mixed --------------------------------------------------------------------------------------------------


def test_loose_and_tiny_groups_are_mixed_up_to_a_tenth_of_the_texts():
    inside, size = np.array([0.9, 0.2, 0.1, 0.95]), [60, 6, 30, 4]
    number = np.repeat(np.arange(4), size)
    assert clusters._mixed(inside, number).tolist() == [False, False, False, True]  # 4 and 30 are more than a tenth of 100
    assert clusters._mixed(np.array([0.9, 0.2, 0.1, 0.95]), np.repeat(np.arange(4), [88, 4, 4, 4])).tolist() == [
        False, True, True, False,
    ]  # fmt: skip
    assert not clusters._mixed(np.array([0.1]), np.zeros(3, dtype=int)).any()


# --- what analysts know better ------------------------------------------------------------------------------


def write(folder, text):
    (folder / "themes.toml").write_text(text, encoding="utf-8")
    return themes.read_edits(folder / "themes.toml")


def test_themes_are_renamed_merged_split_and_pinned(book, tmp_path):
    texts, found = book
    names = found.table["name"].tolist()
    edits = write(
        tmp_path,
        f"""
[[rename]]
theme = 0
name = "First"
[[merge]]
themes = [1, "{names[2]}"]
[[split]]
theme = 3
into = 2
[[pin]]
theme = "First"
words = ["Forklift"]
""",
    )
    known = themes.edited(found, edits).applied(texts)
    assert known.table["theme"].tolist() == [0, 1, 3, 4, 5, 6]
    assert known.table["name"].tolist()[:2] == ["First", names[1]]
    assert (known.labels[np.isin(found.labels, [1, 2])] == 1).all()
    parts = np.bincount(known.labels[found.labels == 3], minlength=7)
    assert parts[3] >= parts[6] > 0
    assert parts.sum() == parts[3] + parts[6]
    assert known.assign(["my forklift lost its password"]).tolist() == [0]
    again = themes.Codebook.load(known.save(tmp_path / "book.npz"))
    assert again.assign(["my forklift lost its password", *texts]).tolist() == [0, *known.labels]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[renam]]\ntheme = 0", "did you mean rename"),
        ("[rename]\ntheme = 0", "double brackets"),
        ("[[rename]]\ntheme = 0", "needs name"),
        ("[[rename]]\ntheme = 0\nnam = 'x'", "knows no 'nam'"),
        ("theme = ", "cannot be read as TOML"),
    ],
)
def test_a_wrong_edit_is_refused_in_a_line(text, said, tmp_path):
    with pytest.raises(DataError, match=said):
        write(tmp_path, text)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"rename": [{"theme": 99, "name": "x"}]}, "not there"),
        ({"split": [{"theme": 0, "into": 1}]}, "ask for 2"),
        ({"pin": [{"theme": 0, "words": ["  "]}]}, "cannot be pinned"),
    ],
)
def test_an_edit_that_cannot_be_done_is_refused(book, edits, said):
    with pytest.raises(DataError, match=said):
        themes.edited(book[1], edits)


# --- `cx codebook` ------------------------------------------------------------------------------------------


def keep(folder, texts):
    tickets = pd.DataFrame({"ticket_id": [f"t{i}" for i in range(len(texts))], "description": texts})
    tickets = tickets.assign(opened_at="2026-01-05T09:00:00Z", channel="chat", user_id=tickets["ticket_id"])
    write_dataset(folder, {"name": "Small"}, {"tickets": tickets})


@pytest.fixture
def folder(tmp_path):
    keep(tmp_path / "data", written(300)[0])
    return tmp_path / "data"


def cx(*arguments):
    return main([str(argument) for argument in arguments])


def test_a_kept_codebook_gives_the_themes_of_every_later_report(folder, capsys):
    before = open_dataset(folder).fingerprint
    assert cx("codebook", folder, "--text-model", "lexical", "--themes", 6) == 0
    dataset = open_dataset(folder)
    assert dataset.fingerprint != before
    asks = themes.of_tickets(dataset, open_log(dataset), k=3)
    assert len(asks.table) == 6
    kept = themes.Codebook.load(folder / "codebooks" / "0001.npz")
    assert asks.tickets["theme"].tolist() == kept.labels.tolist()
    assert cx("codebook", folder) == 0
    assert "kept already" in capsys.readouterr().out
    keep(folder, [*written(300)[0], *more(100)])  # an import leaves what analysts keep
    assert cx("codebook", folder, "--refit") == 0
    assert "6 is new" in capsys.readouterr().out
    assert [file.name for file in tickets.codebooks(folder)] == ["0001.npz", "0002.npz"]


def test_what_cannot_be_asked_of_a_codebook_is_said_in_a_line(folder, capsys):
    assert cx("codebook", folder, "--refit") == 2
    assert "no codebook to refit" in capsys.readouterr().err
    assert cx("codebook", folder, "--text-model", "none of them") == 2
    assert cx("codebook", folder, "--themes", 1000) == 2
    assert cx("codebook", folder, "--text-model", "lexical") == 0
    assert cx("codebook", folder, "--themes", 4) == 2
    assert "delete the codebooks" in capsys.readouterr().err


# --- on real questions --------------------------------------------------------------------------------------


def questions(real_data):
    parts = [pd.read_csv(real_data / "banking77" / f"{name}.csv") for name in ("train", "test")]
    return pd.concat(parts, ignore_index=True).set_axis(["text", "intent"], axis=1)


def test_two_hidden_intents_of_banking77_are_born_and_old_tickets_keep_their_theme(real_data):
    pytest.importorskip("onnxruntime", reason="the extra semantic is not installed")
    from cxlib.themes.semantic import semantic

    every = questions(real_data)
    hidden = every["intent"].isin(["card_acceptance", "lost_or_stolen_phone"])
    old = every[~hidden].sample(4000, random_state=3)
    later = pd.concat([every[~hidden].drop(old.index).sample(1000 - hidden.sum(), random_state=3), every[hidden]])
    book = themes.fit(old["text"].tolist(), 75, semantic())
    grown, changes = book.refit([*old["text"], *later["text"]])
    assert (grown.labels[:4000] == book.labels).mean() >= 0.85  # measured: 1.00; all moves are in the list
    moved = grown.labels[:4000] != book.labels
    assert set(grown.labels[:4000][moved]) <= {*changes["theme"], *changes["other"]}
    born = changes.loc[changes["kind"] == "birth", "theme"].tolist()
    found = pd.Series(grown.labels[4000:], index=later["intent"].to_numpy())
    for intent in ("card_acceptance", "lost_or_stolen_phone"):
        most = found[intent].value_counts()
        assert most.index[0] in born
        assert most.iloc[0] >= 0.5 * most.sum()
