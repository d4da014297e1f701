"""Rows that are kept, and how far others are from the nearest of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from oddrow.nets.layers import Rows

T = TypeVar("T")

# So many rows at a time are held against all that are kept: as many as the smallest block in which tables are scored.
ROWS_AT_ONCE = 256

# The nearest row is in the group whose nearest is nearest: groups are compared in place of rows, which is three times
# as fast as looking for the place of the least of all.
GROUP = 16

# Keeps the slope of a square root finite where two rows are the same.
TINY = 1e-12

# The distance of two rows that are the same.
AT_NO_DISTANCE = 1e-6


def by_chunks(function: Callable[[Rows], T], rows: Rows) -> T:
    """What a function of rows gives, a pytree of arrays (rows, …), for so many rows at a time.

    What is found of a row does not depend on how many others there are then, not even in its last digits.
    """
    n_rows = rows[0].shape[0]
    at_once = max(1, min(n_rows, ROWS_AT_ONCE))
    short = -n_rows % at_once
    chunks = jax.tree.map(
        lambda leaf: jnp.pad(leaf, ((0, short), (0, 0))).reshape(-(-n_rows // at_once), at_once, leaf.shape[1]), rows
    )
    found = jax.lax.map(function, chunks)
    joined: T = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:n_rows], found)
    return joined


class Nearest(NamedTuple):
    """The distances of rows to the nearest of those that are kept, in rising order, and which these are."""

    distances: Float[Array, "rows n_nearest"]
    places: Int[Array, "rows n_nearest"]

    @property
    def same(self) -> Int[Array, " rows"]:
        """Which kept row each row is the same as; -1 for none."""
        return jnp.where(self.distances[:, 0] <= AT_NO_DISTANCE, self.places[:, 0], -1)

    @property
    def only_same(self) -> Int[Array, " rows"]:
        """The same, but -1 where more than one kept row is like it: which of them comes first is chance."""
        return jnp.where(self.distances[:, 1] > AT_NO_DISTANCE, self.same, -1)

    def mean_without(self, place: Int[Array, " rows"]) -> Float[Array, " rows"]:
        """The mean distance to all but one of them: to that of this place, or where it is not there to the farthest."""
        others = jnp.where(self.places == place[:, None], jnp.inf, self.distances)
        return jnp.sort(others, axis=1)[:, :-1].mean(axis=1)


class Neighbours(eqx.Module):
    """Kept rows, two at least, and the distance of others to the nearest of them (Angiulli and Pizzuti, 2002, weight of
    a point; here the mean over the `n_nearest`).

    A row that is itself kept would be at no distance from the nearest: whoever asks leaves it out. One more is found
    than are asked for, therefore.

    Squared distances are summed over numbers, each times its `scale`, and categories, 1 for every one that differs.
    A product of matrices, which rounds, says which few rows may be nearest, and the distances to these are computed one
    by one: what is found is the distance to a kept row to the last digits of float32, and its square larger than that
    of the nearest by no more than some 1e-6 of the squared distance from the middle of all that are kept.

    >>> kept = jnp.array([[0.0, 0.0], [3.0, 4.0]]), jnp.array([[3], [3]])
    >>> memory = Neighbours(*kept, scale=jnp.ones(2))
    >>> found = memory.nearest((jnp.array([[0.0, 2.0], [3.0, 4.0]]), jnp.array([[3], [3]])))
    >>> found.same.tolist(), found.mean_without(found.same).tolist()
    ([-1, 1], [2.0, 5.0])
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
        self.n_nearest = min(n_nearest, numbers.shape[0] - 1)

    @property
    def rows(self) -> Rows:
        """The rows that are kept."""
        return self.numbers, self.categories

    def nearest(self, rows: Rows) -> Nearest:
        """The `n_nearest` kept rows that are nearest to each row, and one more."""
        return Nearest(*by_chunks(self._nearest, rows))

    def _nearest(self, rows: Rows) -> tuple[Array, Array]:
        candidates = self._candidates(rows)
        apart = (rows[0][:, None] - self.numbers[candidates]) * self.scale
        differ = rows[1][:, None] != self.categories[candidates]
        squared = jnp.square(apart).sum(axis=2) + differ.sum(axis=2)
        # The last group may not be full.
        squared = jnp.where(candidates < self.numbers.shape[0], squared, jnp.inf)
        farness, order = jax.lax.top_k(-squared, self.n_nearest + 1)
        return jnp.sqrt(TINY - farness), jnp.take_along_axis(candidates, order, axis=1)

    def _candidates(self, rows: Rows) -> Int[Array, "rows candidates"]:
        """The rows of as many groups as there are rows to find: none of these is in another group."""
        roughly = jax.lax.stop_gradient(self._roughly(rows))
        padded = jnp.pad(roughly, ((0, 0), (0, -roughly.shape[1] % GROUP)), constant_values=jnp.inf)
        of_groups = padded.reshape(padded.shape[0], -1, GROUP).min(axis=2)
        groups = jax.lax.top_k(-of_groups, min(self.n_nearest + 1, of_groups.shape[1]))[1]
        return (groups[:, :, None] * GROUP + jnp.arange(GROUP)).reshape(groups.shape[0], -1)

    def _roughly(self, rows: Rows) -> Float[Array, "rows kept"]:
        """Squared distances up to rounding, less what is the same for all that are kept."""
        # From the middle, for what is large beside the distances rounds them away.
        kept, others = ((numbers - self.middle) * self.scale for numbers in (self.numbers, rows[0]))
        differ = (rows[1][:, None] != self.categories).sum(axis=2)
        return jnp.square(kept).sum(axis=1) - 2 * others @ kept.T + differ
