"""Autoencoder for numbers and categories, which enter as embeddings and leave as logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.nets.layers import ACTIVATIONS, Batch, Embeddings, EncodedRows, Stack, concat_inputs, split_outputs

# Encoded rows are numbers and categories. Training rows may have a third part: 1 for a known anomaly.
N_PARTS = 2

# Keeps the loss of a known anomaly finite even if it is reconstructed exactly.
MIN_ERROR = 1e-4

# Keras' epsilon: before a logarithm is taken, smaller numbers are raised to it.
MIN_NUMBER = 1e-7

# Reconstruction error of a number, by the name that users give.
NUMBER_ERRORS: dict[str, Callable[[Array, Array], Array]] = {
    "squared": lambda numbers, reconstructed: jnp.square(numbers - reconstructed),
    # Keras' mean_squared_logarithmic_error, for non-negative numbers.
    "squared-log": lambda numbers, reconstructed: jnp.square(_logarithm(numbers) - _logarithm(reconstructed)),
}


def _logarithm(numbers: Array) -> Array:
    # The gradient of a clamped number is 0, so none is infinite.
    return jnp.log1p(jnp.maximum(numbers, MIN_NUMBER))


class Autoencoder(eqx.Module):
    """Reconstruct rows, in training from noisy copies of them.

    Parameters
    ----------
    n_numbers : int
        Number of encoded numbers.
    n_levels : sequence of int
        Number of levels of each categorical column.
    hidden : sequence of int
        Widths of the hidden layers.
    activations : sequence of str
        Activations of the hidden layers, keys of `ACTIVATIONS`.
    noise : float
        Largest strength of the training noise, in encoded units.
    dropout : sequence of float
        Share of each hidden layer's outputs dropped in training.
    activity_l1, activity_l2 : float
        Penalties on the absolute and squared outputs of the first hidden layer.
    error : str
        Reconstruction error of a number, a key of `NUMBER_ERRORS`.
    output : str
        Activation of the reconstructed numbers; logits stay linear.
    key : PRNGKeyArray
        Random key for the initial weights.

    Attributes
    ----------
    share : Array of float32, shape (outputs,)
        Weight of each output in the score. Set after training.
    spread : Array of float32, shape (outputs,)
        Typical error of each output on the training rows. Set after training.

    Notes
    -----
    The score of a row is ``sum(share / spread * errors)``.

    In training every row draws its own noise strength s, uniform between 0 and `noise`. Its numbers get Gaussian noise
    of standard deviation s, and each of its categories becomes level 0 (missing) with probability s / 2.

    The activity penalties are summed over the layer before dropout, as in Keras' activity_regularizer, and enter the
    loss only. Noise, dropout and penalties have no effect on scores.

    References
    ----------
    Vincent et al. (2010), Stacked Denoising Autoencoders, eq. 1 to 3.

    Srivastava et al. (2014), Dropout: A Simple Way to Prevent Neural Networks from Overfitting.
    """

    embeddings: Embeddings
    stack: Stack
    share: Float[Array, " outputs"]
    spread: Float[Array, " outputs"]
    noise: float = eqx.field(static=True)
    activity_l1: float = eqx.field(static=True)
    activity_l2: float = eqx.field(static=True)
    error: str = eqx.field(static=True)
    output: str = eqx.field(static=True)
    n_numbers: int = eqx.field(static=True)
    n_levels: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        n_numbers: int,
        n_levels: Sequence[int],
        hidden: Sequence[int],
        activations: Sequence[str],
        noise: float,
        *,
        dropout: Sequence[float] = (),
        activity_l1: float = 0.0,
        activity_l2: float = 0.0,
        error: str = "squared",
        output: str = "linear",
        key: PRNGKeyArray,
    ) -> None:
        embedding_key, stack_key = jax.random.split(key)
        self.embeddings = Embeddings(n_levels, key=embedding_key)
        d_in = n_numbers + sum(table.shape[1] for table in self.embeddings.tables)
        widths = [d_in, *hidden, n_numbers + sum(n_levels)]
        self.stack = Stack(widths, [*activations, "linear"], dropout, key=stack_key)
        n_outputs = n_numbers + len(n_levels)
        self.share = jnp.full(n_outputs, 1 / n_outputs)
        self.spread = jnp.ones(n_outputs)
        self.noise = noise
        self.activity_l1, self.activity_l2 = activity_l1, activity_l2
        self.error, self.output = error, output
        self.n_numbers = n_numbers
        self.n_levels = tuple(n_levels)

    def reconstruct(self, rows: EncodedRows) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
        """Return the reconstructed numbers and the logits of every category."""
        return split_outputs(self.outputs(rows), self.n_numbers, self.n_levels)

    def outputs(self, rows: EncodedRows) -> Float[Array, "rows outputs"]:
        """Return the reconstruction as one array: numbers, then logits."""
        return self.layers(rows)[-1].T

    def layers(self, rows: EncodedRows, key: PRNGKeyArray | None = None) -> list[Float[Array, "_ rows"]]:
        """Return the outputs of every layer, the reconstruction last; a key turns dropout on."""
        *hidden, last = self.stack.each(concat_inputs(rows, self.embeddings), key)
        if self.output == "linear":
            return [*hidden, last]
        activated = ACTIVATIONS[self.output](last[: self.n_numbers])
        return [*hidden, jnp.concatenate([activated, last[self.n_numbers :]])]

    def errors(self, rows: EncodedRows, seen: EncodedRows) -> Float[Array, "rows outputs"]:
        """Return the error of every number and the cross-entropy (nats) of every category, for `rows` given `seen`."""
        return self._output_errors(rows, self.layers(seen)[-1]).T

    def _output_errors(self, rows: EncodedRows, outputs: Float[Array, "width rows"]) -> Float[Array, "outputs rows"]:
        numbers, categories = rows
        of_numbers = NUMBER_ERRORS[self.error](numbers.T, outputs[: self.n_numbers])
        return jnp.concatenate([of_numbers, self.cross_entropies(categories, outputs)]) if self.n_levels else of_numbers

    def cross_entropies(
        self, categories: Int[Array, "rows categories"], outputs: Float[Array, "width rows"]
    ) -> Float[Array, "categories rows"]:
        """Return the cross-entropy (nats) of every category under the logits of the last layer."""
        _, logits = split_outputs(outputs.T, self.n_numbers, self.n_levels)
        cross_entropies = [
            optax.softmax_cross_entropy_with_integer_labels(scores, categories[:, column])
            for column, scores in enumerate(logits)
        ]
        return jnp.stack(cross_entropies) if cross_entropies else jnp.zeros((0, categories.shape[0]))

    def parts(self, rows: EncodedRows) -> Float[Array, "rows outputs"]:
        """Return what every output adds to the score."""
        return self.errors(rows, rows) * (self.share / self.spread)

    def score(self, rows: EncodedRows) -> Float[Array, " rows"]:
        """Return the weighted reconstruction error of each row."""
        return (self.share / self.spread) @ self._output_errors(rows, self.layers(rows)[-1])

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Return the weighted mean of errors and penalties; a key turns noise and dropout on."""
        rows, weight = batch
        errors, penalties = self.row_errors(rows, key)
        return (weight @ sum(penalties, errors)) / weight.sum(), {}

    def row_errors(
        self, rows: EncodedRows, key: PRNGKeyArray | None
    ) -> tuple[Float[Array, " rows"], list[Float[Array, " rows"]]]:
        """Return the mean error of each row, and the activity penalties of each row."""
        noise_key = dropout_key = key
        # With only one of the two, the whole key draws it: splitting would change the draws.
        if key is not None and self.noise > 0 and any(self.stack.dropout):
            noise_key, dropout_key = jax.random.split(key)
        seen = rows if noise_key is None or self.noise == 0 else self.corrupt(rows, noise_key)
        *hidden, outputs = self.layers(seen, dropout_key)
        return self._output_errors(rows, outputs).mean(axis=0), self._penalties(hidden)

    def _penalties(self, hidden: Sequence[Float[Array, "_ rows"]]) -> list[Float[Array, " rows"]]:
        strengths = ((self.activity_l1, jnp.abs), (self.activity_l2, jnp.square))
        return [strength * size(hidden[0]).sum(axis=0) for strength, size in strengths if strength > 0]

    def corrupt(self, rows: EncodedRows, key: PRNGKeyArray) -> EncodedRows:
        """Return rows with noise on every number and some categories set to missing."""
        numbers, categories = rows
        strength_key, number_key, category_key = jax.random.split(key, 3)
        strength = self.noise * jax.random.uniform(strength_key, (numbers.shape[0], 1))
        noisy = numbers + strength * jax.random.normal(number_key, numbers.shape)
        if not self.n_levels:
            return noisy, categories
        kept = jax.random.bernoulli(category_key, 1 - strength / 2, categories.shape)
        return noisy, jnp.where(kept, categories, 0)


class BinaryAutoencoder(eqx.Module):
    """Train an autoencoder to reconstruct normal rows well and known anomalies badly.

    Parameters
    ----------
    network : Autoencoder
        The network to train.
    weight : float
        Weight of a known anomaly in the loss; a normal row has 1.

    Notes
    -----
    The error of a row is read as the negative log-probability that it is normal. A normal row costs ``error``, a known
    anomaly ``-weight * log(1 - exp(-error))``.

    NOTE[DIFF] The paper weights both classes alike; here normal rows far outnumber the known anomalies.

    References
    ----------
    Yamanaka et al. (2019), Autoencoding Binary Classifiers for Supervised Anomaly Detection, eq. 9.
    """

    network: Autoencoder
    weight: float = eqx.field(static=True)

    def loss(self, batch: tuple[Any, Any], key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Any]]:
        """Return the mean cost of a batch. Training rows have a third part (rows,), 1 for a known anomaly."""
        rows, weight = batch
        if len(rows) == N_PARTS:
            return self.network.loss((rows, weight), key)
        *parts, known = rows
        errors, penalties = self.network.row_errors((parts[0], parts[1]), key)
        of_anomaly = -jnp.log1p(-jnp.exp(-jnp.maximum(errors, MIN_ERROR)))
        # Penalties stay out of the error: large hidden outputs must not pass for a bad reconstruction.
        costs = jnp.where(known == 1, self.weight * of_anomaly, errors)
        return (weight @ sum(penalties, costs)) / weight.sum(), {}
