"""A number for each row's content, the same in every process and version: what fingerprints are made of."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.table.parquet import Frame
from oddrow.table.schema import Schema

Hashes = npt.NDArray[np.uint64]


def row_hashes(frame: pl.DataFrame) -> Hashes:
    """Hash each row of a frame as `Schema.conform` returns it, (n,) uint64; equal rows hash alike.

    >>> hashes = row_hashes(pl.DataFrame({"amount": [1.5, 2.0, 1.5]}))
    >>> bool(hashes[0] == hashes[2]), bool(hashes[0] == hashes[1])
    (True, False)
    """
    hashes = np.zeros(frame.height, dtype=np.uint64)
    for values in frame:
        hashes = _mixed(hashes ^ _mixed(_bits(values) + _text_hash(values.name)))
    return hashes


def table_hashes(frame: Frame, schema: Schema) -> Hashes:
    """The hashes of rows as they were read, (n,)."""
    return np.concatenate([row_hashes(part) for part in schema.slices(frame)])


def _bits(values: pl.Series) -> Hashes:
    """64 bits for each value: of the number itself, or of its text."""
    if values.dtype == pl.String:
        levels = values.unique().drop_nulls()
        codes = pl.Series([_text_hash(level) for level in levels], dtype=pl.UInt64)
        return values.replace_strict(levels, codes, default=0, return_dtype=pl.UInt64).fill_null(0).to_numpy()
    if values.dtype.is_float():
        # Adding zero turns -0.0 into 0.0: the two are equal, so their bits must be.
        return (values.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0).view(np.uint64)
    whole = values.cast(pl.Int64).fill_null(np.iinfo(np.int64).min)
    return whole.to_numpy().view(np.uint64)


def _text_hash(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _mixed(bits: Hashes) -> Hashes:
    """The finishing steps of SplitMix64 (Steele, Lea and Flood, 2014): every bit moves every other."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
