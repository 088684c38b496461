"""How texts are compared: by their letters and words, or by a small language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cxlib.schema import DataError
from cxlib.themes.clusters import FEWEST, curve_of, sample_of
from cxlib.themes.texts import Lexical, TextModel, lexical

AS_ASKED = "as asked for"
_LONG = 30  # words, median: beyond, what a text is about is blurred in one row of a small language model
_CLOSE = 0.05  # a partition that agrees with itself by so much better is the better one


def chosen(texts: Sequence[str], text_model: str | TextModel, seed: int) -> tuple[TextModel, np.ndarray, str]:
    """The model for these plain, distinct texts, a row of unit length for each, and why it was chosen."""
    if not isinstance(text_model, str):
        return text_model, text_model.place(texts), AS_ASKED
    if text_model == "auto":
        return _best(texts, seed)
    if text_model == "lexical":
        return *lexical(texts, seed), AS_ASKED
    model = _semantic(text_model)
    return model, model.place(texts), AS_ASKED


def _best(texts: Sequence[str], seed: int) -> tuple[TextModel, np.ndarray, str]:
    """Lexical for long texts and where the extra is missing; else the one whose partitions of a sample agree better."""

    model, points = lexical(texts, seed)
    if len(texts) < FEWEST:
        return model, points, "too few texts to compare models on"
    words = float(np.median([len(text.split()) for text in texts]))
    if words > _LONG:
        return model, points, f"half of the texts have more than {_LONG} words"
    try:
        other = _semantic("semantic")
    except DataError as error:
        return model, points, str(error)
    some = sample_of(len(texts), seed)
    theirs = other.place([texts[i] for i in some])
    ours, others = (float(curve_of(sample, seed)["stability"].max()) for sample in (points[some], theirs))
    said = f"partitions of random parts agree to {ours:.2f} by letters and words, to {others:.2f} by meaning"
    return (model, points, said) if ours > others + _CLOSE else (other, other.place(texts), said)


def _semantic(name: str) -> TextModel:
    if name != "semantic" and not Path(name).is_dir():
        raise DataError(f'text_model={name!r} is none: use "auto", "lexical", "semantic" or the folder of a model')
    from cxlib.themes.semantic import semantic

    return semantic(None if name == "semantic" else name)


def stored(model: TextModel) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What says which model it is, and the arrays it is made of; a language model stays where it is, known by its content."""
    if isinstance(model, Lexical):
        return {"name": model.name}, {f"model_{name}": array for name, array in model.arrays().items()}
    return {"name": model.name, "content": _content(model)}, {}


def model_of(about: Mapping[str, str], held: Mapping[str, np.ndarray]) -> TextModel:
    """The model that was stored. Raises DataError where the language model is another one by now."""
    if about["name"] == Lexical.name:
        return Lexical.of_arrays({name.removeprefix("model_"): array for name, array in held.items() if "model_" in name})
    model = _semantic(about["name"])
    if _content(model) != about["content"]:
        raise DataError(f"the model {about['name']} is another one than the codebook was fitted with: fit it again")
    return model


def _content(model: TextModel) -> str:
    return str(getattr(getattr(model, "encoder", None), "content", ""))
