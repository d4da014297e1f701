"""The network of the default detector: how far a row is from rows that are kept, as it is and as it is coded."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from oddrow.nets.coder import Coder
from oddrow.nets.layers import Rows
from oddrow.nets.neighbours import Neighbours, by_chunks
from oddrow.nets.tails import Tail

# The logit of the level that is expected of a category; the others have 0.
CERTAIN = 20.0

# So many nats more than both distances together say must the coder's error say to have the last word.
LEAD = 2.0


class OddRow(eqx.Module):
    """A row's score is how surprising it is among normal rows, in nats by a tail each, to be so far from the nearest
    kept rows, plus, where there is a coder, to have codes so far from the nearest of theirs; or how surprising it is
    that the coder is so wrong about the row, less `LEAD`, if that is more.

    A row that is the same as one that is kept is held against the others, so that distances are alike whether rows were
    there in training or not; `of_means`, means of rows are kept in their place, and are nobody's own. Kept codes are
    those of the first kept rows, in the same order.
    """

    memory: Neighbours
    coder: Coder | None
    coded: Neighbours | None
    tails: tuple[Tail, ...]
    n_levels: tuple[int, ...] = eqx.field(static=True)
    of_means: bool = eqx.field(static=True)

    def __init__(
        self,
        memory: Neighbours,
        coder: Coder | None,
        coded: Neighbours | None,
        tails: Sequence[Tail],
        n_levels: Sequence[int],
        *,
        of_means: bool = False,
    ) -> None:
        self.memory, self.coder, self.coded = memory, coder, coded
        self.tails, self.n_levels, self.of_means = tuple(tails), tuple(n_levels), of_means

    @property
    def n_numbers(self) -> int:
        """How many numbers a row has."""
        return self.memory.numbers.shape[1]

    def score(self, rows: Rows) -> Float[Array, " rows"]:
        """How odd each row is."""
        far, *of_coder = (tail(part) for tail, part in zip(self.tails, self.parts(rows).T, strict=True))
        if not of_coder:
            return far
        far_coded, wrong = of_coder
        return jnp.maximum(far + far_coded, wrong - LEAD)

    def parts(self, rows: Rows) -> Float[Array, "rows parts"]:
        """The mean distance of each row from the nearest that are kept, that of its codes from the nearest of theirs,
        and the coder's error; without a coder the first alone.
        """
        return by_chunks(self._parts, rows)

    def _parts(self, rows: Rows) -> Float[Array, "rows parts"]:
        found = self.memory.nearest(rows)
        parts = [found.mean_without(self._itself(found.same))]
        if self.coder is not None and self.coded is not None:
            codes = self.coder.codes(rows)
            far_coded = self.coded.nearest(as_rows(codes)).mean_without(self._itself(found.only_same))
            parts += [far_coded, self.coder.error(codes, self.coded.scale)]
        return jnp.stack(parts, axis=1)

    def _itself(self, same: Int[Array, " rows"]) -> Int[Array, " rows"]:
        """Which kept row each row is: none where means are kept, which are no row's own."""
        return jnp.full_like(same, -1) if self.of_means else same

    def outputs(self, rows: Rows) -> Float[Array, "rows outputs"]:
        """What is expected of a row: numbers, and logits of the categories, of the nearest kept row that is another."""
        found = self.memory.nearest(rows)
        nearest = jnp.where(self._itself(found.same) >= 0, found.places[:, 1], found.places[:, 0])
        numbers, categories = (leaf[nearest] for leaf in self.memory.rows)
        levels = [CERTAIN * jax.nn.one_hot(categories[:, place], n) for place, n in enumerate(self.n_levels)]
        return jnp.concatenate([numbers, *levels], axis=1)


def as_rows(codes: Float[Array, "rows codes"]) -> Rows:
    """Codes as rows without categories."""
    return codes, jnp.zeros((codes.shape[0], 0), jnp.int32)
