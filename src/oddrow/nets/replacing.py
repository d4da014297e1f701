"""What a score falls by where some columns are as a network expects them: contributions of any detector."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from oddrow.nets.layers import Rows, apart


class Replacing(eqx.Module):
    """A network, and which of its numbers and categories each column has.

    Occlusion (Zeiler and Fergus, 2014), by what the network would rebuild rather than by a constant.
    """

    network: Any
    numbers: Bool[Array, "columns numbers"]
    categories: Bool[Array, "columns categories"]

    def contributions(self, rows: Rows) -> Float[Array, "rows columns"]:
        """By how much the score of each row falls where one of its columns is replaced by what is rebuilt of it."""
        expected = self.expected(rows)

        def without(column: tuple[Bool[Array, " numbers"], Bool[Array, " categories"]]) -> Float[Array, " rows"]:
            replaced = (jnp.where(of, there, here) for of, there, here in zip(column, expected, rows, strict=True))
            score: Float[Array, " rows"] = self.network.score(tuple(replaced))
            return score

        scores: Float[Array, " rows"] = self.network.score(rows)
        added: Float[Array, "rows columns"] = (scores - jax.lax.map(without, (self.numbers, self.categories))).T
        return added

    def expected(self, rows: Rows) -> Rows:
        """Rows as they are rebuilt: numbers, and of each category the likeliest level."""
        numbers, logits = apart(self.network.outputs(rows), self.network.n_numbers, self.network.n_levels)
        likeliest = [scores.argmax(axis=1) for scores in logits]
        return numbers, jnp.stack(likeliest, axis=1).astype(jnp.int32) if likeliest else rows[1]
