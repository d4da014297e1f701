"""The denoising autoencoder inside the default detector, and the codes that it makes of rows."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from oddrow.nets.autoencoder import Autoencoder
from oddrow.nets.layers import Batch, EncodedRows

# Width of the outer hidden layers: NARROW up to as many outputs, else WIDE.
NARROW, WIDE = 64, 128

# The bottleneck is as wide as there are outputs, within these limits.
MIN_BOTTLENECK, MAX_BOTTLENECK = 4, 32

# Index of the bottleneck among the layers.
BOTTLENECK = 2

# Strongest noise, in standard deviations of a typical column. At this strength much of a number can only be inferred
# from the others, so the network learns what normal rows have in common.
NOISE = 2.0

# Lower limit of a code's mean square, as a share of the average over codes of its kind. It keeps constant codes, which
# differ in rounding only, from dominating the distances.
MIN_SHARE = 0.02

TINY = 1e-12


class DenoisingAutoencoder(eqx.Module):
    """Standardise rows, reconstruct them and describe each by a vector of codes.

    Parameters
    ----------
    n_numbers : int
        Number of encoded numbers.
    n_levels : sequence of int
        Number of levels of each categorical column.
    key : PRNGKeyArray
        Random key for the initial weights.

    Attributes
    ----------
    center, scale : Array of float32, shape (numbers,)
        The network sees ``(numbers - center) * scale``. Training does not change them.
    bottleneck : int
        Width of the bottleneck.

    Notes
    -----
    The codes of a row are the error of each number, the cross-entropy (nats) of each category, and the outputs of the
    bottleneck.
    """

    network: Autoencoder
    center: Float[Array, " numbers"]
    scale: Float[Array, " numbers"]
    bottleneck: int = eqx.field(static=True)

    def __init__(self, n_numbers: int, n_levels: Sequence[int], *, key: PRNGKeyArray) -> None:
        n_outputs = n_numbers + len(n_levels)
        wide = NARROW if n_outputs <= NARROW else WIDE
        self.bottleneck = min(max(n_outputs, MIN_BOTTLENECK), MAX_BOTTLENECK)
        widths = [wide, wide, self.bottleneck, wide, wide]
        activations = ["gelu", "gelu", "linear", "gelu", "gelu"]
        self.network = Autoencoder(n_numbers, n_levels, widths, activations, NOISE, key=key)
        self.center, self.scale = jnp.zeros(n_numbers), jnp.ones(n_numbers)

    @property
    def n_codes(self) -> int:
        """Number of codes of a row."""
        return self.network.n_numbers + len(self.network.n_levels) + self.bottleneck

    def scaled(self, rows: EncodedRows) -> EncodedRows:
        """Return rows as the network sees them."""
        center, scale = jax.lax.stop_gradient((self.center, self.scale))
        return (rows[0] - center) * scale, rows[1]

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Return the autoencoder's loss on the scaled rows."""
        rows, weight = batch
        return self.network.loss((self.scaled(rows), weight), key)

    def codes(self, rows: EncodedRows) -> Float[Array, "rows codes"]:
        """Return the codes of each row."""
        numbers, categories = self.scaled(rows)
        *hidden, outputs = self.network.layers((numbers, categories))
        errors = numbers.T - outputs[: numbers.shape[1]]
        return jnp.concatenate([errors, self.network.cross_entropies(categories, outputs), hidden[BOTTLENECK]]).T

    def code_scale(self, codes: Float[Array, "rows codes"]) -> Float[Array, " codes"]:
        """Return the factor of each code: errors get equal weight, and the bottleneck as much as all errors."""
        errors, bottleneck = self._split(codes)
        squares, variances = _at_least(jnp.square(errors).mean(axis=0)), _at_least(bottleneck.var(axis=0))
        return 1 / jnp.sqrt(jnp.concatenate([squares, variances * bottleneck.shape[1] / errors.shape[1]]))

    def error(self, codes: Float[Array, "rows codes"], scale: Float[Array, " codes"]) -> Float[Array, " rows"]:
        """Return the mean square of each row's scaled errors."""
        return jnp.square(self._split(codes * scale)[0]).mean(axis=1)

    def _split(
        self, codes: Float[Array, "rows codes"]
    ) -> tuple[Float[Array, "rows errors"], Float[Array, "rows bottleneck"]]:
        return codes[:, : -self.bottleneck], codes[:, -self.bottleneck :]


def _at_least(squares: Float[Array, " codes"]) -> Float[Array, " codes"]:
    return jnp.maximum(squares, MIN_SHARE * squares.mean() + TINY)
