"""How arrays of codes and numbers become typed columns, fast: ids, labels and times."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

TEXT = pd.StringDtype(na_value=np.nan)
MICRO = 1_000_000


def stream(seed: int, room: str) -> np.random.Generator:
    """The random numbers of one room: adding a room does not move the others.

    >>> int(stream(1, "users").integers(100)) == int(stream(1, "users").integers(100))
    True
    """
    return np.random.default_rng([seed, crc32(room.encode())])


def text(values: Sequence[str] | np.ndarray | pa.Array) -> pd.Series:
    """A text column; None is missing."""
    return pd.Series(pa.array(values, pa.large_string()), dtype=TEXT)


def ids(prefix: str, numbers: np.ndarray, width: int = 7, missing: np.ndarray | None = None) -> pd.Series:
    """Ids such as C0000012 from whole numbers; `missing` marks the rows that have none.

    >>> ids("C", np.array([12, 7]), width=4, missing=np.array([False, True])).tolist()
    ['C0012', nan]
    """
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.large_string()), width, "0")
    whole = pc.binary_join_element_wise(pa.scalar(prefix, pa.large_string()), digits, pa.scalar("", pa.large_string()))
    if missing is not None:
        whole = pc.if_else(pa.array(missing), pa.scalar(None, pa.large_string()), whole)
    return pd.Series(whole, dtype=TEXT)


def labels(codes: np.ndarray, names: Sequence[str]) -> pd.Series:
    """The names behind codes; a code below 0 is missing.

    >>> labels(np.array([1, -1]), ["chat", "call"]).tolist()
    ['call', nan]
    """
    codes = np.asarray(codes)
    which = pa.array(np.where(codes < 0, 0, codes).astype(np.int32), mask=codes < 0)
    return pd.Series(pa.array(list(names), pa.large_string()).take(which), dtype=TEXT)


def times(micros: np.ndarray, missing: np.ndarray | None = None) -> pd.Series:
    """UTC times from whole microseconds since 1970; `missing` marks the rows that have none."""
    stamps = np.asarray(micros, np.int64).astype("datetime64[us]")
    if missing is not None:
        stamps = np.where(missing, np.datetime64("NaT"), stamps)
    return pd.Series(stamps).dt.tz_localize("UTC")


def pick(rng: np.random.Generator, cumulative: np.ndarray) -> np.ndarray:
    """One draw per row from cumulative probabilities, (n rows, k outcomes) -> codes 0..k-1."""
    u = rng.random(len(cumulative))
    return (u[:, None] >= cumulative[:, :-1]).sum(axis=1)


def flat_pick(rng: np.random.Generator, weights: Sequence[float] | np.ndarray, n: int) -> np.ndarray:
    """`n` draws from one set of weights."""
    edges = np.cumsum(np.asarray(weights, float) / np.sum(weights))[:-1]
    return np.searchsorted(edges, rng.random(n), side="right")
