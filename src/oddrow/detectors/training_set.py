"""`TrainingSet`: the encoded rows that a detector trains on, and the split of known anomalies from other rows."""

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

# Encoded numbers and categories, (n, …) each.
EncodedRows: TypeAlias = tuple[jax.Array, ...] | Shards

# The part of the memory budget that a shard may take: several are in memory while one is shuffled and the next is read.
SHARD_SHARE = 1 / 32


@dataclass(frozen=True)
class TrainingSet:
    """Encoded rows to train on and to hold out, and the random seed of the training.

    `split_from` is the table that `training` and `validation` were split from; None if validation rows were given.
    `known` are known anomalies, for a detector that learns from them. `kept` are the training rows that were not
    rejected; None if all are kept.
    """

    training: EncodedRows
    validation: tuple[jax.Array, ...] | None
    seed: int
    split_from: Table | None
    known: tuple[jax.Array, ...] | None = None
    kept: tuple[jax.Array, ...] | None = None

    @property
    def normal(self) -> EncodedRows:
        """Rows to learn normal from: the training rows, or those of them that were kept."""
        return self.training if self.kept is None else self.kept

    @property
    def normal_in_numpy(self) -> Any:
        """The same as NumPy arrays, or as shards."""
        return _in_numpy(self.normal)

    @property
    def training_in_numpy(self) -> Any:
        """The training rows as NumPy arrays, or as shards."""
        return _in_numpy(self.training)

    @property
    def n_trained_on(self) -> int:
        """Rows in an epoch."""
        return row_count(self.normal) + (0 if self.known is None else len(self.known[0]))

    @cached_property
    def trained_on(self) -> EncodedRows:
        """Rows in an epoch; with known anomalies among them, a last array (n,) marks those by 1."""
        if self.known is None or isinstance(self.normal, Shards):
            return self.normal
        both = [jnp.concatenate(parts) for parts in zip(self.normal, self.known, strict=True)]
        marks = jnp.arange(len(both[0])) >= len(self.normal[0])
        return *both, marks.astype(jnp.int32)

    @property
    def arrays(self) -> Iterator[Any]:
        """The arrays of all rows in an epoch, then those of the validation rows."""
        for part in parts_of(self.trained_on):
            yield from part
        yield from self.validation or ()


def _in_numpy(rows: EncodedRows) -> Any:
    return rows if isinstance(rows, Shards) else tuple(map(np.asarray, rows))


def encode(frame: Frame, schema: Schema, encoder: TableEncoder) -> tuple[jax.Array, ...]:
    """Return encoded rows on the network's device; on the CPU, NumPy reads them there without a copy."""
    return tuple(map(jnp.asarray, encoder.transform_slices(schema.conform_slices(frame), frame.height)))


def encode_training(frame: Frame, schema: Schema, encoder: TableEncoder, *, least: int, seed: int) -> EncodedRows:
    """Return encoded rows to train on; for a frame on disk, write them to shards of at least `least` rows."""
    if not isinstance(frame, ParquetFrame):
        return encode(frame, schema, encoder)
    n_shards = -(-frame.height // max(least, _shard_rows(frame.memory, encoder)))
    parts = map(encoder.transform, schema.conform_slices(frame))
    return Shards.write(parts, frame.height, n_shards, frame.memory.folder / f"encoded-{seed}", seed=seed)


def encode_validation(frame: Frame, schema: Schema, encoder: TableEncoder) -> tuple[jax.Array, ...]:
    """Return encoded validation rows; of more than memory holds, every second, third or so."""
    if isinstance(frame, ParquetFrame) and frame.height > (most := _shard_rows(frame.memory, encoder)):
        frame = frame[np.arange(0, frame.height, -(-frame.height // most))]
    return encode(frame, schema, encoder)


def _shard_rows(budget: MemoryBudget, encoder: TableEncoder) -> int:
    width = len(encoder.number_sources_) + len(encoder.category_sources_)
    return max(1, int(SHARD_SHARE * budget.n_bytes / (4 * width)))


def split_by_label(table: Table, y: Any) -> tuple[Table, Table]:
    """Split a table into rows to learn normal from and known anomalies, for which y (n,) is 1."""
    none = table.take(np.arange(0))
    if y is None:
        return table, none
    anomalous = _known_anomalies(y)
    if len(anomalous) != table.n_rows:
        raise TableError(f"y has {len(anomalous):,} values for {table.n_rows:,} rows.")
    n_known = int(anomalous.sum())
    if n_known == table.n_rows:
        raise TableError(f"all {n_known:,} rows are anomalous (y is 1): no normal row is left to learn from.")
    return (table.take(~anomalous), table.take(anomalous)) if n_known else (table, none)


def _known_anomalies(y: Any) -> npt.NDArray[np.bool_]:
    """Return a mask (n,) of the rows where y is 1; all False if y holds anything but 0, 1 and missing."""
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
    # A series of objects would be no label at all, but None in an array of objects is a missing label.
    return pl.Series("y", array.tolist() if array.dtype.kind == "O" else array, strict=False)
