"""`Prepared`: rows as a detector trains with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from oddrow.detectors.encoded import EncodedRows
from oddrow.table.table import Table
from oddrow.train.shards import Shards, parts_of, row_count


@dataclass(frozen=True)
class Prepared:
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
