"""Exact nearest neighbours among reference rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from oddrow.nets.layers import EncodedRows

T = TypeVar("T")

# Rows compared with the reference rows at a time; the smallest block in which tables are scored.
ROWS_AT_ONCE = 256

# Comparing the minima of groups is three times faster than a full argmin.
GROUP = 16

# Keeps the slope of a square root finite at 0.
TINY = 1e-12

# The distance that identical rows get; it is sqrt(TINY).
AT_NO_DISTANCE = 1e-6


def by_chunks(function: Callable[[EncodedRows], T], rows: EncodedRows) -> T:
    """Apply a function of rows, which returns a pytree of arrays (rows, …), to chunks of equal size.

    The size bounds memory. As it is always the same, results are the same to the last bit for any number of rows.
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
    """The nearest reference rows of each row.

    Attributes
    ----------
    distances : Array of float32, shape (rows, n_nearest + 1)
        Distances in ascending order.
    indices : Array of int32, shape (rows, n_nearest + 1)
        Indices of these reference rows.
    """

    distances: Float[Array, "rows n_nearest+1"]
    indices: Int[Array, "rows n_nearest+1"]

    @property
    def identical(self) -> Int[Array, " rows"]:
        """Index of the first reference row identical to each row, or -1."""
        return jnp.where(self.distances[:, 0] <= AT_NO_DISTANCE, self.indices[:, 0], -1)

    @property
    def only_identical(self) -> Int[Array, " rows"]:
        """The same, but -1 if several reference rows are identical: which of them comes first is arbitrary."""
        return jnp.where(self.distances[:, 1] > AT_NO_DISTANCE, self.identical, -1)

    def mean_distance(self, left_out: Int[Array, " rows"]) -> Float[Array, " rows"]:
        """Return the mean distance to all but one: the index `left_out`, or the farthest if that was not found."""
        others = jnp.where(self.indices == left_out[:, None], jnp.inf, self.distances)
        return jnp.sort(others, axis=1)[:, :-1].mean(axis=1)


class Neighbours(eqx.Module):
    """Reference rows, and the search for the nearest of them.

    Parameters
    ----------
    numbers : Array of float32, shape (reference, numbers)
        Numbers of the reference rows, at least two rows.
    categories : Array of int32, shape (reference, categories)
        Categories of the reference rows.
    scale : Array of float32, shape (numbers,)
        Factor of each number in the distance.
    n_nearest : int
        Number of neighbours. One more is found, for a row identical to a reference row leaves that one out.

    Notes
    -----
    The squared distance is ``sum((scale * (x - y))**2)`` over numbers plus the number of categories that differ.

    A matrix product, which rounds, selects candidates; their distances are then computed one by one, to float32
    precision. The row found may be farther than the true nearest: its squared distance exceeds the least by at most
    about 1e-6 of the squared distance from the median reference row.

    NOTE[DIFF] Angiulli and Pizzuti sum the distances to the nearest rows; here it is their mean.

    References
    ----------
    Angiulli and Pizzuti (2002), Fast Outlier Detection in High Dimensional Spaces (weight of a point).

    Examples
    --------
    >>> reference = jnp.array([[0.0, 0.0], [3.0, 4.0]]), jnp.array([[3], [3]])
    >>> neighbours = Neighbours(*reference, scale=jnp.ones(2))
    >>> found = neighbours.nearest((jnp.array([[0.0, 2.0], [3.0, 4.0]]), jnp.array([[3], [3]])))
    >>> found.identical.tolist(), found.mean_distance(found.identical).tolist()
    ([-1, 1], [2.0, 5.0])
    """

    numbers: Float[Array, "reference numbers"]
    categories: Int[Array, "reference categories"]
    scale: Float[Array, " numbers"]
    median: Float[Array, " numbers"]
    n_nearest: int = eqx.field(static=True)

    def __init__(
        self,
        numbers: Float[Array, "reference numbers"],
        categories: Int[Array, "reference categories"],
        *,
        scale: Float[Array, " numbers"],
        n_nearest: int = 1,
    ) -> None:
        self.numbers, self.categories, self.scale = numbers, categories, scale
        # A single outlier would shift the mean so far that rounding spoils the distances of all other rows.
        self.median = jnp.median(numbers, axis=0)
        self.n_nearest = min(n_nearest, numbers.shape[0] - 1)

    @property
    def rows(self) -> EncodedRows:
        """The reference rows."""
        return self.numbers, self.categories

    def nearest(self, rows: EncodedRows) -> Nearest:
        """Return the `n_nearest` + 1 reference rows nearest to each row."""
        return Nearest(*by_chunks(self._nearest, rows))

    def _nearest(self, rows: EncodedRows) -> tuple[Array, Array]:
        candidates = self._candidates(rows)
        differences = (rows[0][:, None] - self.numbers[candidates]) * self.scale
        differ = rows[1][:, None] != self.categories[candidates]
        squared = jnp.square(differences).sum(axis=2) + differ.sum(axis=2)
        # The last group may not be full.
        squared = jnp.where(candidates < self.numbers.shape[0], squared, jnp.inf)
        negative, order = jax.lax.top_k(-squared, self.n_nearest + 1)
        return jnp.sqrt(TINY - negative), jnp.take_along_axis(candidates, order, axis=1)

    def _candidates(self, rows: EncodedRows) -> Int[Array, "rows candidates"]:
        """Return all rows of the nearest `n_nearest` + 1 groups, which hold the nearest `n_nearest` + 1 rows."""
        roughly = jax.lax.stop_gradient(self._roughly(rows))
        padded = jnp.pad(roughly, ((0, 0), (0, -roughly.shape[1] % GROUP)), constant_values=jnp.inf)
        of_groups = padded.reshape(padded.shape[0], -1, GROUP).min(axis=2)
        groups = jax.lax.top_k(-of_groups, min(self.n_nearest + 1, of_groups.shape[1]))[1]
        return (groups[:, :, None] * GROUP + jnp.arange(GROUP)).reshape(groups.shape[0], -1)

    def _roughly(self, rows: EncodedRows) -> Float[Array, "rows reference"]:
        """Return squared distances up to rounding, less a term that is the same for all reference rows."""
        # Centred first, as numbers that are large relative to the distances would round them away.
        reference, others = ((numbers - self.median) * self.scale for numbers in (self.numbers, rows[0]))
        differ = (rows[1][:, None] != self.categories).sum(axis=2)
        return jnp.square(reference).sum(axis=1) - 2 * others @ reference.T + differ
