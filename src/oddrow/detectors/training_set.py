"""Which rows a detector must not learn from: those that y says are anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import TableError
from oddrow.table.parquet import Frame, MemoryBudget, ParquetFrame
from oddrow.table.schema import Schema
from oddrow.table.table import Table
from oddrow.train.shards import Shards, parts_of, row_count


@dataclass(frozen=True)
class TrainingSet:
    """What a detector trains with: encoded rows to fit and to hold out, a seed.

    `drawn_from` is the table that both were drawn from; where the rows to hold out were given, there is none, and
    `fitting` holds all training rows. `known` are anomalies to learn from, where the detector does, `kept` what
    a trial has left of the rows to fit.
    """

    fitting: EncodedRows
    held_out: tuple[jax.Array, ...] | None
    seed: int
    drawn_from: Table | None
    known: tuple[jax.Array, ...] | None = None
    kept: tuple[jax.Array, ...] | None = None

    @property
    def normal(self) -> EncodedRows:
        """The rows that normal is learned from: those to fit, or what a trial has left of them."""
        return self.fitting if self.kept is None else self.kept

    @property
    def normal_in_numpy(self) -> Any:
        """These as NumPy's arrays, or in shards."""
        return _in_numpy(self.normal)

    @property
    def all_in_numpy(self) -> Any:
        """All rows to fit, as NumPy's arrays or in shards."""
        return _in_numpy(self.fitting)

    @property
    def n_trained_on(self) -> int:
        """How many rows the loop walks over."""
        return row_count(self.normal) + (0 if self.known is None else len(self.known[0]))

    @cached_property
    def trained_on(self) -> EncodedRows:
        """The rows that the loop walks over; where anomalies are among them, a last part (n,) marks them by 1."""
        if self.known is None or isinstance(self.normal, Shards):
            return self.normal
        both = [jnp.concatenate(parts) for parts in zip(self.normal, self.known, strict=True)]
        marks = jnp.arange(len(both[0])) >= len(self.normal[0])
        return *both, marks.astype(jnp.int32)

    @property
    def arrays(self) -> Iterator[Any]:
        """The arrays of all rows that are trained on, then of those held out."""
        for part in parts_of(self.trained_on):
            yield from part
        yield from self.held_out or ()


def _in_numpy(rows: EncodedRows) -> Any:
    return rows if isinstance(rows, Shards) else tuple(map(np.asarray, rows))


# Encoded numbers and categories, (n, …) each.
EncodedRows: TypeAlias = tuple[jax.Array, ...] | Shards

# The part of the memory that a shard may take: it is there several times while it is shuffled and the next one is read.
SHARD_SHARE = 1 / 32


def encode(frame: Frame, schema: Schema, encoder: TableEncoder) -> tuple[jax.Array, ...]:
    """Encoded rows where the network is; on the CPU, NumPy reads them there without a copy."""
    return tuple(map(jnp.asarray, encoder.transform_slices(schema.slices(frame), frame.height)))


def encode_training(frame: Frame, schema: Schema, encoder: TableEncoder, *, least: int, seed: int) -> EncodedRows:
    """Rows to train on; those of a frame that stays on disk in shards there, of at least so many rows each."""
    if not isinstance(frame, ParquetFrame):
        return encode(frame, schema, encoder)
    n_shards = -(-frame.height // max(least, _rows_of_a_shard(frame.room, encoder)))
    parts = map(encoder.transform, schema.slices(frame))
    return Shards.write(parts, frame.height, n_shards, frame.room.folder / f"encoded-{seed}", seed=seed)


def encode_validation(frame: Frame, schema: Schema, encoder: TableEncoder) -> tuple[jax.Array, ...]:
    """Rows to watch the training on: of more than memory has room for every second, third or so."""
    if isinstance(frame, ParquetFrame) and frame.height > (most := _rows_of_a_shard(frame.room, encoder)):
        frame = frame[np.arange(0, frame.height, -(-frame.height // most))]
    return encode(frame, schema, encoder)


def _rows_of_a_shard(room: MemoryBudget, encoder: TableEncoder) -> int:
    width = len(encoder.number_sources_) + len(encoder.category_sources_)
    return max(1, int(SHARD_SHARE * room.n_bytes / (4 * width)))


def split_by_label(table: Table, y: Any) -> tuple[Table, Table]:
    """The rows of a table to learn normal from, and those where y (n,) is 1: known anomalies."""
    none = table.take(np.arange(0))
    if y is None:
        return table, none
    anomalous = _known_anomalies(y)
    if len(anomalous) != table.n_rows:
        raise TableError(f"y has {len(anomalous):,} values for {table.n_rows:,} rows.")
    n_known = int(anomalous.sum())
    if n_known == table.n_rows:
        raise TableError(f"all {n_known:,} rows are anomalous (y is 1): nothing is left to learn normal from.")
    return (table.take(~anomalous), table.take(anomalous)) if n_known else (table, none)


def _known_anomalies(y: Any) -> npt.NDArray[np.bool_]:
    """Mask (n,) of the rows where y is 1; all False where y is no anomaly label."""
    values = _label_values(y)
    none = np.zeros(len(values), dtype=bool)
    if values.dtype == pl.Boolean:
        return values.fill_null(False).to_numpy()
    if not values.dtype.is_numeric():
        return none
    numbers = values.cast(pl.Float64).fill_nan(None)
    known = numbers.drop_nulls()
    return (numbers == 1).fill_null(False).to_numpy() if known.is_in([0.0, 1.0]).all() else none


def _label_values(y: Any) -> pl.Series:
    if isinstance(y, (pl.Series, list)):
        return pl.Series("y", y, strict=False)
    array = np.asarray(y).ravel()
    # None in an array of objects is a missing label; as a series of objects it would make y no label at all.
    return pl.Series("y", array.tolist() if array.dtype.kind == "O" else array, strict=False)
