"""`Prepared`: rows as a detector trains with them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from oddrow.table.table import Table


@dataclass(frozen=True)
class Prepared:
    """What a detector trains with: encoded rows to fit and to hold out, a seed.

    `drawn_from` is the table that both were drawn from; where the rows to hold out were given, there is none, and
    `fitting` holds all training rows. `known` are anomalies to learn from, where the detector does.
    """

    fitting: tuple[jax.Array, ...]
    held_out: tuple[jax.Array, ...] | None
    seed: int
    drawn_from: Table | None
    known: tuple[jax.Array, ...] | None = None

    @property
    def trained_on(self) -> tuple[jax.Array, ...]:
        """The rows that the loop walks over; where anomalies are among them, a last part (n,) marks them by 1."""
        if self.known is None:
            return self.fitting
        both = [jnp.concatenate(parts) for parts in zip(self.fitting, self.known, strict=True)]
        marks = jnp.arange(len(both[0])) >= len(self.fitting[0])
        return *both, marks.astype(jnp.int32)
