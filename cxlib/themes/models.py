"""How texts are compared: by their letters and words, or by a small language model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxlib.schema import DataError, nearest
from cxlib.themes.texts import TextModel, lexical

TEXT_MODELS = ("auto", "lexical", "semantic")


def chosen(texts: Sequence[str], text_model: str | TextModel, seed: int) -> tuple[TextModel, np.ndarray, str]:
    """The model for these plain, distinct texts, a row of unit length for each, and why it was chosen."""
    if not isinstance(text_model, str):
        return text_model, text_model.place(texts), "as asked for"
    if text_model not in TEXT_MODELS:
        raise DataError(f"text_model={text_model!r} is none: {nearest(text_model, TEXT_MODELS)}")
    model, points = lexical(texts, seed)
    return model, points, "as asked for"
