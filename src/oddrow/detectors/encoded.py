"""A table's rows as the numbers and categories that a detector trains with: in memory, or as shards on disk."""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from oddrow.table.encode import TableEncoder
from oddrow.table.schema import Schema
from oddrow.table.stored import Frame, Room, StoredFrame
from oddrow.train.shards import Shards

# Encoded numbers and categories, (n, …) each.
EncodedRows: TypeAlias = tuple[jax.Array, ...] | Shards

# The part of the memory that a shard may take: it is there several times while it is shuffled and the next one is read.
SHARD_SHARE = 1 / 32


def encoded(frame: Frame, schema: Schema, encoder: TableEncoder) -> tuple[jax.Array, ...]:
    """Encoded rows where the network is; on the CPU, NumPy reads them there without a copy."""
    return tuple(map(jnp.asarray, encoder.transform_slices(schema.slices(frame), frame.height)))


def encoded_to_fit(frame: Frame, schema: Schema, encoder: TableEncoder, *, least: int, seed: int) -> EncodedRows:
    """Rows to train on; those of a frame that stays on disk in shards there, of at least so many rows each."""
    if not isinstance(frame, StoredFrame):
        return encoded(frame, schema, encoder)
    n_shards = -(-frame.height // max(least, _rows_of_a_shard(frame.room, encoder)))
    parts = map(encoder.transform, schema.slices(frame))
    return Shards.write(parts, frame.height, n_shards, frame.room.folder / f"encoded-{seed}", seed=seed)


def encoded_to_watch(frame: Frame, schema: Schema, encoder: TableEncoder) -> tuple[jax.Array, ...]:
    """Rows to watch the training on: of more than memory has room for every second, third or so."""
    if isinstance(frame, StoredFrame) and frame.height > (most := _rows_of_a_shard(frame.room, encoder)):
        frame = frame[np.arange(0, frame.height, -(-frame.height // most))]
    return encoded(frame, schema, encoder)


def _rows_of_a_shard(room: Room, encoder: TableEncoder) -> int:
    width = len(encoder.number_sources_) + len(encoder.category_sources_)
    return max(1, int(SHARD_SHARE * room.n_bytes / (4 * width)))
