"""The default detector's network: distances to reference rows and to their codes, and the reconstruction error."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from oddrow.nets.denoising import DenoisingAutoencoder
from oddrow.nets.layers import EncodedRows
from oddrow.nets.neighbours import Neighbours, by_chunks
from oddrow.nets.tails import Tail

# Logit of the expected level of a category; the other levels have 0.
CERTAIN = 20.0

# The reconstruction error sets the score only if its surprise exceeds that of both distances by this many nats.
LEAD = 2.0


class OddRow(eqx.Module):
    """Score rows by how rare their distances and their reconstruction error are among normal rows.

    Parameters
    ----------
    neighbours : Neighbours
        The reference rows.
    autoencoder : DenoisingAutoencoder or None
        Makes the codes of rows. None scores by the distance of rows alone.
    code_neighbours : Neighbours or None
        Codes of the first reference rows, in the same order.
    tails : sequence of Tail
        Turns each of the parts into a surprise: one tail without an autoencoder, three with one.
    n_levels : sequence of int
        Number of levels of each categorical column.
    uses_means : bool
        Whether the reference rows are cluster means, which no scored row can be identical to by origin.

    Notes
    -----
    The score is in nats: ``max(tail(d_rows) + tail(d_codes), tail(error) - LEAD)``, where d_rows and d_codes are mean
    distances to the nearest reference rows and codes.

    A row identical to a reference row is compared with the others only. Distances of training rows and of new rows
    are then comparable.
    """

    neighbours: Neighbours
    autoencoder: DenoisingAutoencoder | None
    code_neighbours: Neighbours | None
    tails: tuple[Tail, ...]
    n_levels: tuple[int, ...] = eqx.field(static=True)
    uses_means: bool = eqx.field(static=True)

    def __init__(
        self,
        neighbours: Neighbours,
        autoencoder: DenoisingAutoencoder | None,
        code_neighbours: Neighbours | None,
        tails: Sequence[Tail],
        n_levels: Sequence[int],
        *,
        uses_means: bool = False,
    ) -> None:
        self.neighbours, self.autoencoder, self.code_neighbours = neighbours, autoencoder, code_neighbours
        self.tails, self.n_levels, self.uses_means = tuple(tails), tuple(n_levels), uses_means

    @property
    def n_numbers(self) -> int:
        """Number of encoded numbers of a row."""
        return self.neighbours.numbers.shape[1]

    def score(self, rows: EncodedRows) -> Float[Array, " rows"]:
        """Return the score of each row, in nats."""
        distance, *of_codes = (tail(part) for tail, part in zip(self.tails, self.parts(rows).T, strict=True))
        if not of_codes:
            return distance
        code_distance, error = of_codes
        return jnp.maximum(distance + code_distance, error - LEAD)

    def parts(self, rows: EncodedRows) -> Float[Array, "rows parts"]:
        """Return d_rows, d_codes and the reconstruction error of each row; without an autoencoder only d_rows."""
        return by_chunks(self._parts, rows)

    def _parts(self, rows: EncodedRows) -> Float[Array, "rows parts"]:
        found = self.neighbours.nearest(rows)
        parts = [found.mean_distance(self._itself(found.identical))]
        if self.autoencoder is not None and self.code_neighbours is not None:
            codes = self.autoencoder.codes(rows)
            of_codes = self.code_neighbours.nearest(as_rows(codes))
            parts += [
                of_codes.mean_distance(self._itself(found.only_identical)),
                self.autoencoder.error(codes, self.code_neighbours.scale),
            ]
        return jnp.stack(parts, axis=1)

    def _itself(self, identical: Int[Array, " rows"]) -> Int[Array, " rows"]:
        """Return the index of the reference row that each row is; cluster means are no row itself."""
        return jnp.full_like(identical, -1) if self.uses_means else identical

    def outputs(self, rows: EncodedRows) -> Float[Array, "rows outputs"]:
        """Return the nearest other reference row of each row: numbers, then one logit for each level."""
        found = self.neighbours.nearest(rows)
        nearest = jnp.where(self._itself(found.identical) >= 0, found.indices[:, 1], found.indices[:, 0])
        numbers, categories = (leaf[nearest] for leaf in self.neighbours.rows)
        levels = [CERTAIN * jax.nn.one_hot(categories[:, column], n) for column, n in enumerate(self.n_levels)]
        return jnp.concatenate([numbers, *levels], axis=1)


def as_rows(codes: Float[Array, "rows codes"]) -> EncodedRows:
    """Return codes as rows without categories."""
    return codes, jnp.zeros((codes.shape[0], 0), jnp.int32)
