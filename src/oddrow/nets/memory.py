"""Rows that are kept, and how far others are from the nearest of them."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from oddrow.nets.layers import Rows

# So many rows at a time are held against all that are kept: as many as the smallest block in which tables are scored.
ROWS_AT_ONCE = 256
# The nearest row is in the group whose nearest is nearest: groups are compared in place of rows, which is three times
# as fast as looking for the place of the least of all.
GROUP = 16
# Keeps the slope of a square root finite where two rows are the same.
TINY = 1e-12


class Memory(eqx.Module):
    """Kept rows, and the distance of other rows to the nearest of them (Ramaswamy et al., 2000, k-th nearest neighbour;
    here the mean over the `n_nearest`).

    Squared distances are summed over numbers, each times its `scale`, and categories, 1 for every one that differs.
    A product of matrices, which rounds, says which few rows may be nearest, and the distances to these are computed one
    by one: what is found is the distance to a kept row to the last digits of float32, and its square larger than that
    of the nearest by no more than some 1e-6 of the squared distance from the middle of all that are kept.

    >>> kept = jnp.array([[0.0, 0.0], [3.0, 4.0]]), jnp.array([[3], [4]])
    >>> memory = Memory(*kept, scale=jnp.array([1.0, 0.5]))
    >>> memory.distance((jnp.array([[0.0, 2.0], [3.0, 4.0]]), jnp.array([[3], [3]]))).round(3).tolist()
    [1.0, 1.0]
    """

    numbers: Float[Array, "kept numbers"]
    categories: Int[Array, "kept categories"]
    scale: Float[Array, " numbers"]
    middle: Float[Array, " numbers"]
    n_nearest: int = eqx.field(static=True)

    def __init__(
        self,
        numbers: Float[Array, "kept numbers"],
        categories: Int[Array, "kept categories"],
        *,
        scale: Float[Array, " numbers"],
        n_nearest: int = 1,
    ) -> None:
        self.numbers, self.categories, self.scale = numbers, categories, scale
        # Of the mean, one kept row that lies far out would be enough to spoil the distances of all others.
        self.middle = jnp.median(numbers, axis=0)
        self.n_nearest = min(n_nearest, numbers.shape[0])

    def distance(self, rows: Rows) -> Float[Array, " rows"]:
        """The mean distance of each row to the `n_nearest` rows that are kept."""
        return self.nearest(rows)[0].mean(axis=1)

    def nearest(self, rows: Rows) -> tuple[Float[Array, "rows n_nearest"], Int[Array, "rows n_nearest"]]:
        """The distances of each row to its nearest kept rows, in rising order, and which these are."""
        n_rows = rows[0].shape[0]
        at_once = max(1, min(n_rows, ROWS_AT_ONCE))
        short = -n_rows % at_once
        chunks = jax.tree.map(
            lambda leaf: jnp.pad(leaf, ((0, short), (0, 0))).reshape(-(-n_rows // at_once), at_once, leaf.shape[1]),
            rows,
        )
        found = jax.lax.map(self._nearest, chunks)
        distances, places = (leaf.reshape(-1, self.n_nearest)[:n_rows] for leaf in found)
        return distances, places

    def _nearest(self, rows: Rows) -> tuple[Array, Array]:
        candidates = self._candidates(rows)
        apart = (rows[0][:, None] - self.numbers[candidates]) * self.scale
        differ = rows[1][:, None] != self.categories[candidates]
        squared = jnp.square(apart).sum(axis=2) + differ.sum(axis=2)
        # The last group may not be full.
        squared = jnp.where(candidates < self.numbers.shape[0], squared, jnp.inf)
        farness, order = jax.lax.top_k(-squared, self.n_nearest)
        return jnp.sqrt(TINY - farness), jnp.take_along_axis(candidates, order, axis=1)

    def _candidates(self, rows: Rows) -> Int[Array, "rows candidates"]:
        """The rows of as many groups as there are rows to find: none of these is in another group."""
        roughly = jax.lax.stop_gradient(self._roughly(rows))
        padded = jnp.pad(roughly, ((0, 0), (0, -roughly.shape[1] % GROUP)), constant_values=jnp.inf)
        of_groups = padded.reshape(padded.shape[0], -1, GROUP).min(axis=2)
        groups = jax.lax.top_k(-of_groups, min(self.n_nearest, of_groups.shape[1]))[1]
        return (groups[:, :, None] * GROUP + jnp.arange(GROUP)).reshape(groups.shape[0], -1)

    def _roughly(self, rows: Rows) -> Float[Array, "rows kept"]:
        """Squared distances up to rounding, less what is the same for all that are kept."""
        # From the middle, for what is large beside the distances rounds them away.
        kept, others = ((numbers - self.middle) * self.scale for numbers in (self.numbers, rows[0]))
        differ = (rows[1][:, None] != self.categories).sum(axis=2)
        return jnp.square(kept).sum(axis=1) - 2 * others @ kept.T + differ
