"""DAGMM: an autoencoder and a Gaussian mixture over what it makes of a row, fitted jointly (Zong et al., ICLR 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.nets.layers import Batch, Embeddings, Rows, Stack, apart, side_by_side

FEATURES = ("distance", "cosine")

# Lengths below this count as this, so that a row of zeros has a finite distance and cosine.
SHORTEST = 1e-2

TINY = 1e-12


class Mixture(eqx.Module):
    """A Gaussian mixture: `phi` the share of each component, `mean`, and `covariance` with the floor added."""

    phi: Float[Array, " components"]
    mean: Float[Array, "components width"]
    covariance: Float[Array, "components width width"]

    def energy(self, z: Float[Array, "width rows"]) -> Float[Array, " rows"]:
        """Negative log density in nats (eq. 6); it may be negative, as densities may exceed 1.

        The Cholesky factors are inverted once and applied to all rows as one product.
        """
        width = z.shape[0]
        factor = jnp.linalg.cholesky(self.covariance)
        identity = jnp.broadcast_to(jnp.eye(width), factor.shape)
        whitening = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
        whitened = jnp.einsum("kij,kjn->kin", whitening, z - self.mean[:, :, None])
        log_scale = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) + 0.5 * width * math.log(2 * math.pi)
        log_shares = (jnp.log(self.phi + TINY) - log_scale)[:, None] - 0.5 * jnp.square(whitened).sum(axis=1)
        energy: Float[Array, " rows"] = -jax.scipy.special.logsumexp(log_shares, axis=0)
        return energy

    def penalty(self) -> Float[Array, ""]:
        """The sum of the inverse variances of all components (P in eq. 7), which grows when one becomes singular."""
        penalty: Float[Array, ""] = (1 / jnp.diagonal(self.covariance, axis1=1, axis2=2)).sum()
        return penalty


class DAGMM(eqx.Module):
    """Compression network, estimation network, and the mixture over all training rows, set when training is over.

    A row becomes z = [latent code, relative Euclidean distance, cosine similarity] (eq. 1 to 3); the estimation
    network says how much each component has to do with z (eq. 4); these memberships give the mixture (eq. 5).

    Inside, columns come first and rows last, as in the layers.

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
        activations: Sequence[str],
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
        self.encoder = Stack([d_in, *hidden, latent], [*activations, "linear"], key=keys[1])
        self.decoder = Stack([latent, *reversed(hidden), d_out], [*reversed(activations), "linear"], key=keys[2])
        widths = [width, *estimation, n_components]
        self.estimator = Stack(widths, [*["tanh"] * len(estimation), "linear"], key=keys[3])
        components = jnp.broadcast_to(jnp.eye(width), (n_components, width, width))
        self.mixture = Mixture(jnp.full(n_components, 1 / n_components), jnp.zeros((n_components, width)), components)
        self.n_numbers, self.n_levels = n_numbers, tuple(n_levels)
        self.features, self.dropout = tuple(features), dropout
        self.lambda_energy, self.lambda_covariance = lambda_energy, lambda_covariance
        self.covariance_floor = covariance_floor

    def compress(self, rows: Rows) -> tuple[Float[Array, "width rows"], Float[Array, " rows"]]:
        """z of every row (eq. 1 to 3), and its reconstruction error summed over the outputs (L in eq. 7)."""
        numbers, categories = rows[0].T, rows[1]
        code = self._encode(rows)
        compared = self._compare(numbers, categories, self.decoder(code))
        return jnp.concatenate([code, *(compared[name][None] for name in self.features)]), compared["error"]

    def _encode(self, rows: Rows) -> Float[Array, "code rows"]:
        return self.encoder(side_by_side(rows, self.embeddings))

    def outputs(self, rows: Rows) -> Float[Array, "rows outputs"]:
        """What is rebuilt of every row: numbers, then the logits of every category."""
        return self.decoder(self._encode(rows)).T

    def latent(self, rows: Rows) -> Float[Array, "rows width"]:
        """z of every row."""
        return self.compress(rows)[0].T

    def memberships(
        self, z: Float[Array, "width rows"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "components rows"]:
        """How much each component has to do with each row; with a key, hidden units drop out (eq. 4)."""
        *hidden, last = self.estimator.layers
        for layer in hidden:
            z = jnp.tanh(layer(z))
            if key is not None and self.dropout > 0:
                key, drawn = jax.random.split(key)
                z = jnp.where(jax.random.bernoulli(drawn, 1 - self.dropout, z.shape), z / (1 - self.dropout), 0)
        return jax.nn.softmax(last(z), axis=0)

    def mix(self, z: Float[Array, "width rows"], memberships: Float[Array, "components rows"]) -> Mixture:
        """The mixture of a batch, by its memberships (eq. 5)."""
        n_of_each = memberships.sum(axis=1)
        total = n_of_each[:, None] + TINY
        mean = memberships @ z.T / total
        centred = z - mean[:, :, None]
        scatter = jnp.einsum("kin,kjn->kij", centred * memberships[:, None], centred) / total[:, :, None]
        # NOTE[DIFF] the paper keeps covariances regular by the penalty alone; with a floor the factors always exist.
        covariance = scatter + self.covariance_floor * jnp.eye(z.shape[0])
        return Mixture(n_of_each / n_of_each.sum(), mean, covariance)

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Reconstruction error, energy and covariance penalty (eq. 7), with the mixture of the batch itself.

        Without a key there is no dropout.
        """
        rows, weight = batch
        share = weight / weight.sum()
        z, error = self.compress(rows)
        mixture = self.mix(z, self.memberships(z, key) * weight)
        parts = {
            "reconstruction": share @ error,
            "energy": share @ mixture.energy(z),
            "covariance_penalty": mixture.penalty(),
        }
        weighed = self.lambda_energy * parts["energy"] + self.lambda_covariance * parts["covariance_penalty"]
        return parts["reconstruction"] + weighed, parts

    def score(self, rows: Rows) -> Float[Array, " rows"]:
        """The energy of every row under the mixture over all training rows."""
        return self.mixture.energy(self.compress(rows)[0])

    def moments(self, rows: Rows) -> Float[Array, "rows moments"]:
        """What each row adds to the shares and means of the components: memberships, then memberships times z."""
        z, _ = self.compress(rows)
        memberships = self.memberships(z)
        return jnp.concatenate([memberships, _by_row(memberships[:, None] * z).T]).T

    def scatter(self, rows: Rows) -> Float[Array, "rows scatter"]:
        """What each row adds to the covariances, about the means that the mixture has."""
        z, _ = self.compress(rows)
        centred = z - self.mixture.mean[:, :, None]
        squared = centred[:, :, None] * centred[:, None]
        return _by_row(self.memberships(z)[:, None, None] * squared)

    def _compare(
        self,
        numbers: Float[Array, "numbers rows"],
        categories: Int[Array, "rows categories"],
        outputs: Float[Array, "outputs rows"],
    ) -> dict[str, Float[Array, " rows"]]:
        """Error, relative Euclidean distance and cosine similarity of each row and what was rebuilt (section 3.2)."""
        rebuilt, logits = apart(outputs.T, self.n_numbers, self.n_levels)
        known = [_category(scores, categories[:, column]) for column, scores in enumerate(logits)]
        squared = jnp.square(numbers - rebuilt.T).sum(axis=0)
        away = squared + sum(1 - 2 * right + total for _, right, total in known)
        length = _length(jnp.square(numbers).sum(axis=0) + len(known))
        length_rebuilt = _length(jnp.square(rebuilt).sum(axis=1) + sum(total for _, _, total in known))
        product = (numbers * rebuilt.T).sum(axis=0) + sum(right for _, right, _ in known)
        return {
            "error": squared + sum(surprise for surprise, _, _ in known),
            # The slope of a square root is infinite at 0.
            "distance": jnp.sqrt(away + TINY) / length,
            "cosine": product / (length * length_rebuilt),
        }


def _category(
    logits: Float[Array, "rows levels"], level: Int[Array, " rows"]
) -> tuple[Float[Array, " rows"], Float[Array, " rows"], Float[Array, " rows"]]:
    """Surprise in nats at the level that is there, its probability, and the sum of all squared probabilities."""
    log_shares = jax.nn.log_softmax(logits, axis=1)
    right = jnp.take_along_axis(log_shares, level[:, None], axis=1)[:, 0]
    return -right, jnp.exp(right), jnp.exp(2 * log_shares).sum(axis=1)


def _length(squared: Float[Array, " rows"]) -> Float[Array, " rows"]:
    # NOTE[DIFF] the paper divides by the length, whatever it is.
    return jnp.sqrt(jnp.maximum(squared, SHORTEST**2))


def _by_row(values: Float[Array, "*parts rows"]) -> Float[Array, "rows all_parts"]:
    return values.reshape(-1, values.shape[-1]).T
