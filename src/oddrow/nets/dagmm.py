"""DAGMM: an autoencoder and a Gaussian mixture over what it makes of a row, fitted jointly (Zong et al., ICLR 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from oddrow.nets.layers import Batch, Embeddings, Rows, Stack, apart, errors

FEATURES = ("distance", "cosine")
# Lengths below this count as this, so that a row of zeros has a finite distance and cosine.
SHORTEST = 1e-2
TINY = 1e-12


class Mixture(eqx.Module):
    """A Gaussian mixture: `phi` the share of each component, `mean`, and `covariance` with the floor added."""

    phi: Float[Array, " components"]
    mean: Float[Array, "components width"]
    covariance: Float[Array, "components width width"]

    def energy(self, z: Float[Array, "rows width"]) -> Float[Array, " rows"]:
        """Negative log density in nats (eq. 6); it may be negative, as densities may exceed 1.

        The Cholesky factors are inverted once and applied to all rows as one product.
        """
        n_components, width = self.mean.shape
        factor = jnp.linalg.cholesky(self.covariance)
        identity = jnp.broadcast_to(jnp.eye(width), factor.shape)
        whitening = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
        shift = jnp.einsum("kij,kj->ki", whitening, self.mean)
        whitened = z @ whitening.reshape(-1, width).T - shift.reshape(-1)
        squared = jnp.square(whitened).reshape(-1, n_components, width).sum(axis=2)
        log_scale = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) + 0.5 * width * math.log(2 * math.pi)
        energy: Float[Array, " rows"] = -jax.scipy.special.logsumexp(
            jnp.log(self.phi + TINY) - log_scale - 0.5 * squared, axis=1
        )
        return energy

    def penalty(self) -> Float[Array, ""]:
        """The sum of the inverse variances of all components (P in eq. 7), which grows when one becomes singular."""
        return (1 / jnp.diagonal(self.covariance, axis1=1, axis2=2)).sum()


class DAGMM(eqx.Module):
    """Compression network, estimation network, and the mixture over all training rows, set when training is over.

    A row becomes z = [latent code, relative Euclidean distance, cosine similarity] (eq. 1 to 3); the estimation
    network says how much each component has to do with z (eq. 4); these memberships give the mixture (eq. 5).

    NOTE[DIFF] categories: the paper has numbers only, one-hot where need be. Here categories enter as embeddings and
    leave as probabilities; in distance and cosine they stand as one-hot vectors beside their probabilities, and in the
    loss as cross-entropy.
    """

    embeddings: Embeddings
    encoder: Stack
    decoder: Stack
    estimator: Stack
    mixture: Mixture
    n_numbers: int = eqx.field(static=True)
    n_levels: tuple[int, ...] = eqx.field(static=True)
    features: tuple[str, ...] = eqx.field(static=True)
    dropout: float = eqx.field(static=True)
    lambda_energy: float = eqx.field(static=True)
    lambda_covariance: float = eqx.field(static=True)
    covariance_floor: float = eqx.field(static=True)

    def __init__(
        self,
        n_numbers: int,
        n_levels: Sequence[int],
        hidden: Sequence[int],
        latent: int,
        estimation: Sequence[int],
        n_components: int,
        activation: str,
        *,
        features: Sequence[str] = FEATURES,
        dropout: float = 0.5,
        lambda_energy: float = 0.1,
        lambda_covariance: float = 0.005,
        covariance_floor: float = 1e-6,
        key: PRNGKeyArray,
    ) -> None:
        keys = jax.random.split(key, 4)
        self.embeddings = Embeddings(n_levels, key=keys[0])
        d_in = n_numbers + sum(table.shape[1] for table in self.embeddings.tables)
        d_out, width = n_numbers + sum(n_levels), latent + len(features)
        between = [activation] * len(hidden)
        self.encoder = Stack([d_in, *hidden, latent], [*between, "linear"], key=keys[1])
        self.decoder = Stack([latent, *reversed(hidden), d_out], [*between, "linear"], key=keys[2])
        widths = [width, *estimation, n_components]
        self.estimator = Stack(widths, [*["tanh"] * len(estimation), "linear"], key=keys[3])
        components = jnp.broadcast_to(jnp.eye(width), (n_components, width, width))
        self.mixture = Mixture(jnp.full(n_components, 1 / n_components), jnp.zeros((n_components, width)), components)
        self.n_numbers, self.n_levels = n_numbers, tuple(n_levels)
        self.features, self.dropout = tuple(features), dropout
        self.lambda_energy, self.lambda_covariance = lambda_energy, lambda_covariance
        self.covariance_floor = covariance_floor

    def compress(self, rows: Rows) -> tuple[Float[Array, "rows width"], Float[Array, " rows"]]:
        """z of every row (eq. 1 to 3), and its reconstruction error summed over the outputs (L in eq. 7)."""
        numbers, categories = rows
        inputs = jnp.concatenate([numbers, self.embeddings(categories)], axis=1) if self.n_levels else numbers
        code = self.encoder(inputs)
        rebuilt, logits = apart(self.decoder(code), self.n_numbers, self.n_levels)
        compared = _compare(rows, rebuilt, logits)
        z = jnp.concatenate([code, *(compared[name][:, None] for name in self.features)], axis=1)
        return z, errors(rows, rebuilt, logits).sum(axis=1)

    def latent(self, rows: Rows) -> Float[Array, "rows width"]:
        """z of every row."""
        return self.compress(rows)[0]

    def memberships(
        self, z: Float[Array, "rows width"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "rows components"]:
        """How much each component has to do with each row; with a key, hidden units drop out (eq. 4)."""
        *layers, last = zip(self.estimator.layers, self.estimator.activations, strict=True)
        for layer, _ in layers:
            z = jnp.tanh(layer(z))
            if key is not None and self.dropout > 0:
                key, drawn = jax.random.split(key)
                kept = jax.random.bernoulli(drawn, 1 - self.dropout, z.shape)
                z = jnp.where(kept, z / (1 - self.dropout), 0)
        return jax.nn.softmax(last[0](z), axis=1)

    def mix(self, z: Float[Array, "rows width"], memberships: Float[Array, "rows components"]) -> Mixture:
        """The mixture of a batch, by its memberships (eq. 5)."""
        n_of_each = memberships.sum(axis=0)
        total = n_of_each + TINY
        mean = (memberships.T @ z) / total[:, None]
        centred = z[:, None, :] - mean
        scatter = jnp.einsum("nki,nkj->kij", centred * memberships[:, :, None], centred) / total[:, None, None]
        # NOTE[DIFF] the paper keeps covariances regular by the penalty alone; with a floor the factors always exist.
        covariance = scatter + self.covariance_floor * jnp.eye(z.shape[1])
        return Mixture(n_of_each / n_of_each.sum(), mean, covariance)

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Reconstruction error, energy and covariance penalty (eq. 7), with the mixture of the batch itself.

        Without a key there is no dropout.
        """
        rows, weight = batch
        share = weight / weight.sum()
        z, error = self.compress(rows)
        mixture = self.mix(z, self.memberships(z, key) * weight[:, None])
        parts = {
            "reconstruction": share @ error,
            "energy": share @ mixture.energy(z),
            "covariance_penalty": mixture.penalty(),
        }
        weighed = self.lambda_energy * parts["energy"] + self.lambda_covariance * parts["covariance_penalty"]
        return parts["reconstruction"] + weighed, parts

    def score(self, rows: Rows) -> Float[Array, " rows"]:
        """The energy of every row under the mixture over all training rows."""
        return self.mixture.energy(self.latent(rows))

    def moments(self, rows: Rows) -> Float[Array, "rows moments"]:
        """What each row adds to the shares and means of the components: memberships, then memberships times z."""
        z = self.latent(rows)
        memberships = self.memberships(z)
        return jnp.concatenate([memberships, _outer(memberships, z)], axis=1)

    def scatter(self, rows: Rows) -> Float[Array, "rows scatter"]:
        """What each row adds to the covariances, about the means that the mixture has."""
        z = self.latent(rows)
        centred = z[:, None, :] - self.mixture.mean
        squared = centred[:, :, :, None] * centred[:, :, None, :]
        return (self.memberships(z)[:, :, None, None] * squared).reshape(z.shape[0], -1)


def _compare(
    rows: Rows, numbers: Float[Array, "rows numbers"], logits: Sequence[Float[Array, "rows levels"]]
) -> dict[str, Float[Array, " rows"]]:
    """Relative Euclidean distance and cosine similarity of each row and what was rebuilt (section 3.2)."""
    probabilities = [jax.nn.softmax(scores, axis=1) for scores in logits]
    right = [
        jnp.take_along_axis(shares, rows[1][:, column, None], axis=1)[:, 0]
        for column, shares in enumerate(probabilities)
    ]
    squares = [jnp.square(shares).sum(axis=1) for shares in probabilities]
    seen = _length(jnp.square(rows[0]).sum(axis=1) + len(logits))
    rebuilt = _length(jnp.square(numbers).sum(axis=1) + sum(squares))
    apart = jnp.square(rows[0] - numbers).sum(axis=1) + sum(1 - 2 * p + s for p, s in zip(right, squares, strict=True))
    # TINY, because the slope of a square root is infinite at 0.
    return {
        "distance": jnp.sqrt(apart + TINY) / seen,
        "cosine": ((rows[0] * numbers).sum(axis=1) + sum(right)) / (seen * rebuilt),
    }


def _length(squared: Float[Array, " rows"]) -> Float[Array, " rows"]:
    # NOTE[DIFF] the paper divides by the length, whatever it is.
    return jnp.sqrt(jnp.maximum(squared, SHORTEST**2))


def _outer(left: Float[Array, "rows i"], right: Float[Array, "rows j"]) -> Float[Array, "rows ij"]:
    return (left[:, :, None] * right[:, None, :]).reshape(left.shape[0], -1)
