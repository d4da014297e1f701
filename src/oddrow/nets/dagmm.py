"""DAGMM: an autoencoder and a Gaussian mixture over its codes and errors, trained jointly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.nets.layers import Batch, Embeddings, EncodedRows, Stack, concat_inputs, split_outputs

FEATURES = ("distance", "cosine")

# Lower limit of a row's length, so that a row of zeros has a finite distance and cosine.
SHORTEST = 1e-2

TINY = 1e-12


class Mixture(eqx.Module):
    """A Gaussian mixture.

    Parameters
    ----------
    phi : Array of float32, shape (components,)
        Share of each component.
    mean : Array of float32, shape (components, width)
        Means.
    covariance : Array of float32, shape (components, width, width)
        Covariances, with the floor added to their diagonals.
    """

    phi: Float[Array, " components"]
    mean: Float[Array, "components width"]
    covariance: Float[Array, "components width width"]

    def energy(self, z: Float[Array, "width rows"]) -> Float[Array, " rows"]:
        """Return the negative log density of each row (eq. 6), in nats.

        It is negative where the density exceeds 1. The Cholesky factors are inverted once and applied to all rows as
        one product.
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
        """Return the sum of all inverse variances (P in eq. 7), which grows if a component becomes singular."""
        penalty: Float[Array, ""] = (1 / jnp.diagonal(self.covariance, axis1=1, axis2=2)).sum()
        return penalty


class DAGMM(eqx.Module):
    """Deep autoencoding Gaussian mixture model: compression network, estimation network and mixture.

    Parameters
    ----------
    n_numbers : int
        Number of encoded numbers.
    n_levels : sequence of int
        Number of levels of each categorical column.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    latent : int
        Width of the latent code.
    estimation : sequence of int
        Widths of the estimation network's hidden layers.
    n_components : int
        Number of mixture components.
    activations : sequence of str
        Activations of the encoder's hidden layers.
    features : sequence of str
        Reconstruction features in z, from `FEATURES`.
    dropout : float
        Share of the estimation network's hidden units dropped in training.
    lambda_energy, lambda_covariance : float
        Weights of energy and covariance penalty in the loss.
    covariance_floor : float
        Added to the diagonal of every covariance.
    key : PRNGKeyArray
        Random key for the initial weights.

    Attributes
    ----------
    mixture : Mixture
        The mixture over all training rows. Set after training.

    Notes
    -----
    A row becomes ``z = [latent code, relative Euclidean distance, cosine similarity]`` (eq. 1 to 3). The estimation
    network gives the membership of z in each component (eq. 4), and the memberships give the mixture (eq. 5). The
    score is the energy of z (eq. 6).

    Arrays inside have shape (width, rows), as in the layers.

    NOTE[DIFF] The paper has numbers only, one-hot encoded where needed. Here categories enter as embeddings and leave
    as probabilities. Distance and cosine compare one-hot vectors with these probabilities; the loss takes their
    cross-entropy.

    References
    ----------
    Zong et al. (2018), Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly Detection, ICLR.
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

    def compress(self, rows: EncodedRows) -> tuple[Float[Array, "width rows"], Float[Array, " rows"]]:
        """Return z of every row (eq. 1 to 3), and its reconstruction error summed over the outputs (L in eq. 7)."""
        numbers, categories = rows[0].T, rows[1]
        code = self._encode(rows)
        compared = self._compare(numbers, categories, self.decoder(code))
        return jnp.concatenate([code, *(compared[name][None] for name in self.features)]), compared["error"]

    def _encode(self, rows: EncodedRows) -> Float[Array, "code rows"]:
        return self.encoder(concat_inputs(rows, self.embeddings))

    def outputs(self, rows: EncodedRows) -> Float[Array, "rows outputs"]:
        """Return the reconstruction of every row: numbers, then the logits of every category."""
        return self.decoder(self._encode(rows)).T

    def latent(self, rows: EncodedRows) -> Float[Array, "rows width"]:
        """Return z of every row."""
        return self.compress(rows)[0].T

    def memberships(
        self, z: Float[Array, "width rows"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "components rows"]:
        """Return the membership of each row in each component (eq. 4); a key turns dropout on."""
        *hidden, last = self.estimator.layers
        for layer in hidden:
            z = jnp.tanh(layer(z))
            if key is not None and self.dropout > 0:
                key, drawn = jax.random.split(key)
                z = jnp.where(jax.random.bernoulli(drawn, 1 - self.dropout, z.shape), z / (1 - self.dropout), 0)
        return jax.nn.softmax(last(z), axis=0)

    def mix(self, z: Float[Array, "width rows"], memberships: Float[Array, "components rows"]) -> Mixture:
        """Return the mixture of a batch, given its memberships (eq. 5)."""
        n_of_each = memberships.sum(axis=1)
        total = n_of_each[:, None] + TINY
        mean = memberships @ z.T / total
        centred = z - mean[:, :, None]
        scatter = jnp.einsum("kin,kjn->kij", centred * memberships[:, None], centred) / total[:, :, None]
        # NOTE[DIFF] The paper relies on the penalty alone; with a floor the Cholesky factors always exist.
        covariance = scatter + self.covariance_floor * jnp.eye(z.shape[0])
        return Mixture(n_of_each / n_of_each.sum(), mean, covariance)

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Return the weighted sum of reconstruction error, energy and covariance penalty (eq. 7), and these parts.

        The mixture is that of the batch. A key turns dropout on.
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
        weighted = self.lambda_energy * parts["energy"] + self.lambda_covariance * parts["covariance_penalty"]
        return parts["reconstruction"] + weighted, parts

    def score(self, rows: EncodedRows) -> Float[Array, " rows"]:
        """Return the energy of every row under the mixture of all training rows."""
        return self.mixture.energy(self.compress(rows)[0])

    def moments(self, rows: EncodedRows) -> Float[Array, "rows moments"]:
        """Return what each row adds to the sums behind shares and means: memberships, then memberships times z."""
        z, _ = self.compress(rows)
        memberships = self.memberships(z)
        return jnp.concatenate([memberships, _by_row(memberships[:, None] * z).T]).T

    def scatter(self, rows: EncodedRows) -> Float[Array, "rows scatter"]:
        """Return what each row adds to the covariance sums, about the means of `mixture`."""
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
        """Return error, relative Euclidean distance and cosine similarity of rows and reconstructions (section 3.2)."""
        reconstructed, logits = split_outputs(outputs.T, self.n_numbers, self.n_levels)
        compared = [_compare_category(scores, categories[:, column]) for column, scores in enumerate(logits)]
        squared = jnp.square(numbers - reconstructed.T).sum(axis=0)
        squared_distance = squared + sum(1 - 2 * right + total for _, right, total in compared)
        length = _length(jnp.square(numbers).sum(axis=0) + len(compared))
        length_reconstructed = _length(jnp.square(reconstructed).sum(axis=1) + sum(total for _, _, total in compared))
        product = (numbers * reconstructed.T).sum(axis=0) + sum(right for _, right, _ in compared)
        return {
            "error": squared + sum(surprise for surprise, _, _ in compared),
            # The slope of a square root is infinite at 0, hence TINY.
            "distance": jnp.sqrt(squared_distance + TINY) / length,
            "cosine": product / (length * length_reconstructed),
        }


def _compare_category(
    logits: Float[Array, "rows levels"], level: Int[Array, " rows"]
) -> tuple[Float[Array, " rows"], Float[Array, " rows"], Float[Array, " rows"]]:
    """Return cross-entropy (nats) and probability of the actual level, and the sum of all squared probabilities."""
    log_shares = jax.nn.log_softmax(logits, axis=1)
    right = jnp.take_along_axis(log_shares, level[:, None], axis=1)[:, 0]
    return -right, jnp.exp(right), jnp.exp(2 * log_shares).sum(axis=1)


def _length(squared: Float[Array, " rows"]) -> Float[Array, " rows"]:
    # NOTE[DIFF] The paper divides by the length however short it is.
    return jnp.sqrt(jnp.maximum(squared, SHORTEST**2))


def _by_row(values: Float[Array, "*parts rows"]) -> Float[Array, "rows all_parts"]:
    return values.reshape(-1, values.shape[-1]).T
