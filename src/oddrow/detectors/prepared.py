"""`Prepared`: rows as a detector trains with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp

from oddrow.table.table import Table


@dataclass(frozen=True)
class Prepared:
    """What a detector trains with: encoded rows to fit and to hold out, a seed.

    `drawn_from` is the table that both were drawn from; where the rows to hold out were given, there is none, and
    `fitting` holds all training rows. `known` are anomalies to learn from, where the detector does, `kept` what
    a trial has left of the rows to fit.
    """

    fitting: tuple[jax.Array, ...]
    held_out: tuple[jax.Array, ...] | None
    seed: int
    drawn_from: Table | None
    known: tuple[jax.Array, ...] | None = None
    kept: tuple[jax.Array, ...] | None = None

    @property
    def normal(self) -> tuple[jax.Array, ...]:
        """The rows that normal is learned from: those to fit, or what a trial has left of them."""
        return self.fitting if self.kept is None else self.kept

    @property
    def n_trained_on(self) -> int:
        """How many rows the loop walks over."""
        return len(self.normal[0]) + (0 if self.known is None else len(self.known[0]))

    @cached_property
    def trained_on(self) -> tuple[jax.Array, ...]:
        """The rows that the loop walks over; where anomalies are among them, a last part (n,) marks them by 1."""
        if self.known is None:
            return self.normal
        both = [jnp.concatenate(parts) for parts in zip(self.normal, self.known, strict=True)]
        marks = jnp.arange(len(both[0])) >= len(self.normal[0])
        return *both, marks.astype(jnp.int32)
