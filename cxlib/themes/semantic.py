"""Texts as points: what they mean, by a small language model on this machine.

Optional: pip install 'cxlib[semantic]'. Nothing of it is imported before `semantic` is called, and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cxlib.eventlog import progress
from cxlib.eventlog.sorting import cache_places
from cxlib.schema import DataError
from cxlib.themes.encoders import Encoder, built_in, of_folder
from cxlib.themes.rows import Rows

NAME = "semantic"
_PART = 10_000  # texts after which the cache is written, so that little is lost where a long run is stopped


@dataclass(frozen=True)
class Semantic:
    """A language model that places texts. `name` is "semantic" for the built-in one, else the folder it came from."""

    name: str
    encoder: Encoder
    kept: Rows

    def place(self, texts: Sequence[str]) -> np.ndarray:
        """Where do these texts lie, by what they mean? The cosine of two rows says how alike they are.

        Parameters
        ----------
        texts : sequence of str
            As written; the built-in model reads English without case and accents, and of each text the first 256 word pieces
            (about 190 words). An empty text has a place too, that of nothing said.

        Returns
        -------
        array of float32, (texts, dimensions)
            Rows of unit length, 384 wide for the built-in model. A text has the same row, to the last bit, whatever texts are
            beside it, in any order and on any number of threads; another kind of processor may differ in the last digits.

        Raises
        ------
        DataError
            If the model gives something else than numbers for a text.

        Notes
        -----
        Rows are cached under a hash of their text. Some of its words can be guessed from them: guard the cache as the texts.
        """
        said = [text.encode("utf-8", "replace").decode() for text in texts]  # half a character is none
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in said]
        found = self.kept.read(sorted(set(keys)))
        new = [(key, text) for key, text in dict(zip(keys, said, strict=True)).items() if key not in found]
        with progress.bar("reading texts", len(new)) as shown:
            for start in range(0, len(new), _PART):
                part = self._placed(new[start : start + _PART], shown)
                self.kept.write(part)
                found |= part
        return np.array([found[key] for key in keys], dtype=np.float32).reshape(len(keys), self.encoder.width)

    def _placed(self, new: Sequence[tuple[bytes, str]], shown: tqdm) -> dict[bytes, np.ndarray]:
        rows = np.empty((len(new), self.encoder.width), dtype=np.float32)
        for positions, placed in self.encoder.place([text for _, text in new]):
            rows[positions] = placed
            shown.update(len(positions))
        if bad := int((~np.isfinite(rows).all(axis=1)).sum()):
            raise DataError(f"the model {self.name} gives no numbers for {bad:,} of {len(new):,} texts: use another one")
        return dict(zip((key for key, _ in new), rows, strict=True))


def semantic(path: str | Path | None = None, cache: str | Path | None = None) -> Semantic:
    """Which model says what texts mean?

    Parameters
    ----------
    path : path, optional
        Without it the built-in model: all-MiniLM-L6-v2, its weights in 8 bits, which the extra installs. Else the folder of
        another one, read from disk alone: model.onnx (or onnx/model.onnx) with tokenizer.json or vocab.txt, such as
        sentence-transformers exports; or a sentence-transformers folder without ONNX, where that package is installed.
    cache : path, optional
        Folder of the rows placed before, one file per model; else CX_CACHE or the user's cache folder. Safe to delete.

    Raises
    ------
    DataError
        If a package is missing, a file of the built-in model is not the one it was tested with, or the folder holds no model.

    Notes
    -----
    The mean of the last layer over the text's word pieces (or the first piece's, where the folder's 1_Pooling/config.json asks
    for it), scaled to unit length. The built-in model is 23 MB and takes about 2 ms a text of 15 words.

    References
    ----------
    Reimers and Gurevych (2019), Sentence-BERT, section 3 (mean pooling); Wang et al. (2020), MiniLM.
    """
    encoder = built_in() if path is None else of_folder(Path(path))
    rows = Rows(cache_places(cache, None)[0] / f"places-{encoder.content}.sqlite")
    return Semantic(NAME if path is None else str(path), encoder, rows)
