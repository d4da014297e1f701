"""What a denoising autoencoder makes of a row: what it gets wrong of it, and where in its middle the row lies."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from oddrow.nets.autoencoder import Autoencoder
from oddrow.nets.layers import Batch, Rows

# How wide the outer hidden layers are: as many as there are outputs at most for the first, and for more outputs.
NARROW, WIDE = 64, 128

LEAST_MIDDLE, MOST_MIDDLE = 4, 32

# Which of the layers is the middle.
MIDDLE = 2

# The strongest noise, in units of a column of usual spread: much of a number can only be told from the others then, and
# what is told is what normal rows have in common.
NOISE = 2.0

# No code counts for less than this share of what those of its kind are on average, in squared units: what is always the
# same would else decide by its last digits.
LEAST_SHARE = 0.02

TINY = 1e-12


class Coder(eqx.Module):
    """A denoising autoencoder of numbers, less their `center` and times their `scale`, and categories.

    Training does not move the two. Codes stand for a row: the error of each number, the surprise (nats) of each
    category, and the middle layer, `middle` of them.
    """

    autoencoder: Autoencoder
    center: Float[Array, " numbers"]
    scale: Float[Array, " numbers"]
    middle: int = eqx.field(static=True)

    def __init__(self, n_numbers: int, n_levels: Sequence[int], *, key: PRNGKeyArray) -> None:
        n_outputs = n_numbers + len(n_levels)
        wide, self.middle = NARROW if n_outputs <= NARROW else WIDE, min(max(n_outputs, LEAST_MIDDLE), MOST_MIDDLE)
        activations = ["gelu", "gelu", "linear", "gelu", "gelu"]
        self.autoencoder = Autoencoder(
            n_numbers, n_levels, [wide, wide, self.middle, wide, wide], activations, NOISE, key=key
        )
        self.center, self.scale = jnp.zeros(n_numbers), jnp.ones(n_numbers)

    @property
    def n_codes(self) -> int:
        """How many codes a row has."""
        return self.autoencoder.n_numbers + len(self.autoencoder.n_levels) + self.middle

    def scaled(self, rows: Rows) -> Rows:
        """Rows as the autoencoder sees them."""
        center, scale = jax.lax.stop_gradient((self.center, self.scale))
        return (rows[0] - center) * scale, rows[1]

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """That of the autoencoder."""
        rows, weight = batch
        return self.autoencoder.loss((self.scaled(rows), weight), key)

    def codes(self, rows: Rows) -> Float[Array, "rows codes"]:
        """What stands for each row."""
        numbers, categories = self.scaled(rows)
        *hidden, outputs = self.autoencoder.layers((numbers, categories))
        wrong = numbers.T - outputs[: numbers.shape[1]]
        return jnp.concatenate([wrong, self.autoencoder.surprises(categories, outputs), hidden[MIDDLE]]).T

    def units(self, codes: Float[Array, "rows codes"]) -> Float[Array, " codes"]:
        """What each code is to be multiplied by: all errors count alike, and the middle as much as they do."""
        wrong, middle = self._apart(codes)
        squares, variances = _at_least(jnp.square(wrong).mean(axis=0)), _at_least(middle.var(axis=0))
        return 1 / jnp.sqrt(jnp.concatenate([squares, variances * middle.shape[1] / wrong.shape[1]]))

    def error(self, codes: Float[Array, "rows codes"], units: Float[Array, " codes"]) -> Float[Array, " rows"]:
        """How wrong the autoencoder is about each row: the mean square of the errors, each in its unit."""
        return jnp.square(self._apart(codes * units)[0]).mean(axis=1)

    def _apart(
        self, codes: Float[Array, "rows codes"]
    ) -> tuple[Float[Array, "rows wrong"], Float[Array, "rows middle"]]:
        return codes[:, : -self.middle], codes[:, -self.middle :]


def _at_least(squares: Float[Array, " codes"]) -> Float[Array, " codes"]:
    return jnp.maximum(squares, LEAST_SHARE * squares.mean() + TINY)
