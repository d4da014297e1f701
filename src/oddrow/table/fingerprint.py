"""A hash of the content of each row, equal in every process and version: fingerprints of tables are made of these."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.table.parquet import Frame
from oddrow.table.schema import Schema

Hashes = npt.NDArray[np.uint64]


def table_hashes(frame: Frame, schema: Schema) -> Hashes:
    """Hash the features of each row as it was read, (n,)."""
    return np.concatenate([row_hashes(part) for part in schema.conform_slices(frame)])


def row_hashes(frame: pl.DataFrame) -> Hashes:
    """Hash each row of a frame that `Schema.conform` returned, (n,); equal rows have equal hashes.

    >>> hashes = row_hashes(pl.DataFrame({"amount": [1.5, 2.0, 1.5]}))
    >>> bool(hashes[0] == hashes[2]), bool(hashes[0] == hashes[1])
    (True, False)
    """
    hashes = np.zeros(frame.height, dtype=np.uint64)
    for values in frame:
        hashes = _mix(hashes ^ _mix(_bits(values) + _text_hash(values.name)))
    return hashes


def _bits(values: pl.Series) -> Hashes:
    """Return 64 bits for each value: those of the number, or a hash of the text."""
    if values.dtype == pl.String:
        levels = values.unique().drop_nulls()
        codes = pl.Series([_text_hash(level) for level in levels], dtype=pl.UInt64)
        return values.replace_strict(levels, codes, default=0, return_dtype=pl.UInt64).fill_null(0).to_numpy()
    if values.dtype.is_float():
        # Adding zero turns -0.0 into 0.0: equal numbers must have equal bits.
        return (values.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0).view(np.uint64)
    whole = values.cast(pl.Int64).fill_null(np.iinfo(np.int64).min)
    return whole.to_numpy().view(np.uint64)


def _text_hash(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _mix(bits: Hashes) -> Hashes:
    """Apply the final steps of SplitMix64 (Steele, Lea and Flood, 2014): every input bit affects every output bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
