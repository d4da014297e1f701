"""An autoencoder for mixed columns: numbers in and out, categories in as embeddings and out as probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.nets.layers import ACTIVATIONS, Batch, Embeddings, Rows, Stack, apart, side_by_side

# Numbers and categories: what a row has where nobody says whether it is a known anomaly.
N_PARTS = 2

# An anomaly that is rebuilt exactly would cost infinitely much.
LEAST_ERROR = 1e-4

# Keras' epsilon: numbers below it count as it where logarithms are compared.
LEAST_NUMBER = 1e-7

# What a number may differ by from what is rebuilt of it.
NUMBER_ERRORS: dict[str, Callable[[Array, Array], Array]] = {
    "squared": lambda numbers, rebuilt: jnp.square(numbers - rebuilt),
    # Keras' mean_squared_logarithmic_error, for numbers of at least 0.
    "squared-log": lambda numbers, rebuilt: jnp.square(_logarithm(numbers) - _logarithm(rebuilt)),
}


def _logarithm(numbers: Array) -> Array:
    # A clamped number has no slope, so none is infinite.
    return jnp.log1p(jnp.maximum(numbers, LEAST_NUMBER))


class Autoencoder(eqx.Module):
    """Reconstructs rows from rows with noise (Vincent et al., 2010, denoising autoencoder, eq. 1 to 3).

    A row's score is the sum of its errors times `share` / `spread`: what each output counts, in units of its own
    error on the training rows. Training does not move these two; whoever has trained the network sets them.

    Every row gets noise of its own strength while training, uniform between 0 and `noise`: the standard deviation
    added to its numbers, in encoded units, and half of that is the probability with which each of its categories is
    replaced by level 0 (missing). The output layer gives a number each, with the activation `output`, then the logits
    of each category, which are linear.

    While training, `dropout` of the outputs of each hidden layer are 0 for the next one (Srivastava et al., 2014). The
    absolute and the squared outputs of the first one, before any drop out, add to the loss `activity_l1` and
    `activity_l2` times their sum over the layer, as Keras' activity_regularizer does. Scores know nothing of either.
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

    def reconstruct(self, rows: Rows) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
        """Reconstructed numbers, and the logits of every category."""
        return apart(self.outputs(rows), self.n_numbers, self.n_levels)

    def outputs(self, rows: Rows) -> Float[Array, "rows outputs"]:
        """Both side by side."""
        return self.layers(rows)[-1].T

    def layers(self, rows: Rows, key: PRNGKeyArray | None = None) -> list[Float[Array, "_ rows"]]:
        """What comes out of every layer, the reconstruction last; without a key nothing drops out."""
        *hidden, last = self.stack.each(side_by_side(rows, self.embeddings), key)
        if self.output == "linear":
            return [*hidden, last]
        activated = ACTIVATIONS[self.output](last[: self.n_numbers])
        return [*hidden, jnp.concatenate([activated, last[self.n_numbers :]])]

    def errors(self, rows: Rows, seen: Rows) -> Float[Array, "rows outputs"]:
        """The error of every number, then cross-entropy (nats) of every category, of `rows` given `seen`."""
        return self._compared(rows, self.layers(seen)[-1]).T

    def _compared(self, rows: Rows, outputs: Float[Array, "width rows"]) -> Float[Array, "outputs rows"]:
        numbers, categories = rows
        of_numbers = NUMBER_ERRORS[self.error](numbers.T, outputs[: self.n_numbers])
        return jnp.concatenate([of_numbers, self.surprises(categories, outputs)]) if self.n_levels else of_numbers

    def surprises(
        self, categories: Int[Array, "rows categories"], outputs: Float[Array, "width rows"]
    ) -> Float[Array, "categories rows"]:
        """Cross-entropy (nats) of every category, given what comes out of the last layer."""
        _, logits = apart(outputs.T, self.n_numbers, self.n_levels)
        surprises = [
            optax.softmax_cross_entropy_with_integer_labels(scores, categories[:, column])
            for column, scores in enumerate(logits)
        ]
        return jnp.stack(surprises) if surprises else jnp.zeros((0, categories.shape[0]))

    def parts(self, rows: Rows) -> Float[Array, "rows outputs"]:
        """What every output adds to the score, without noise."""
        return self.errors(rows, rows) * (self.share / self.spread)

    def score(self, rows: Rows) -> Float[Array, " rows"]:
        """How badly each row is rebuilt."""
        return (self.share / self.spread) @ self._compared(rows, self.layers(rows)[-1])

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Mean over the rows, weighted, of error and penalties; without a key there is neither noise nor dropout."""
        rows, weight = batch
        errors, penalties = self.row_errors(rows, key)
        return (weight @ sum(penalties, errors)) / weight.sum(), {}

    def row_errors(
        self, rows: Rows, key: PRNGKeyArray | None
    ) -> tuple[Float[Array, " rows"], list[Float[Array, " rows"]]]:
        """The mean error of each row over the outputs, and each penalty that the loss has besides, row by row."""
        noise_key = dropout_key = key
        # What has only one of the two draws it with the whole key.
        if key is not None and self.noise > 0 and any(self.stack.dropout):
            noise_key, dropout_key = jax.random.split(key)
        seen = rows if noise_key is None or self.noise == 0 else self.corrupt(rows, noise_key)
        *hidden, outputs = self.layers(seen, dropout_key)
        return self._compared(rows, outputs).mean(axis=0), self._penalties(hidden)

    def _penalties(self, hidden: Sequence[Float[Array, "_ rows"]]) -> list[Float[Array, " rows"]]:
        """L1 and L2 of what the first hidden layer gives, row by row, where they are asked for."""
        strengths = ((self.activity_l1, jnp.abs), (self.activity_l2, jnp.square))
        return [strength * size(hidden[0]).sum(axis=0) for strength, size in strengths if strength > 0]

    def corrupt(self, rows: Rows, key: PRNGKeyArray) -> Rows:
        """The rows with noise on every number and some categories made missing."""
        numbers, categories = rows
        strength_key, number_key, category_key = jax.random.split(key, 3)
        strength = self.noise * jax.random.uniform(strength_key, (numbers.shape[0], 1))
        noisy = numbers + strength * jax.random.normal(number_key, numbers.shape)
        if not self.n_levels:
            return noisy, categories
        kept = jax.random.bernoulli(category_key, 1 - strength / 2, categories.shape)
        return noisy, jnp.where(kept, categories, 0)


class BinaryAutoencoder(eqx.Module):
    """An autoencoder in training that must not rebuild known anomalies (Yamanaka et al., 2019, autoencoding binary
    classifiers, eq. 9).

    The error of a row is taken for the negative logarithm of the probability that it is normal: a known anomaly costs
    -log(1 - exp(-error)), `weight` times. NOTE[DIFF] The paper weighs both classes alike; here few anomalies stand
    beside very many normal rows.
    """

    network: Autoencoder
    weight: float = eqx.field(static=True)

    def loss(self, batch: tuple[Any, Any], key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Any]]:
        """As the autoencoder's; rows have a third part (rows,), 1 for a known anomaly, but for those held out."""
        rows, weight = batch
        if len(rows) == N_PARTS:
            return self.network.loss((rows, weight), key)
        *parts, known = rows
        errors, penalties = self.network.row_errors((parts[0], parts[1]), key)
        surprise = -jnp.log1p(-jnp.exp(-jnp.maximum(errors, LEAST_ERROR)))
        # Penalties are no errors: an anomaly's large outputs must not pass for a bad reconstruction.
        costs = jnp.where(known == 1, self.weight * surprise, errors)
        return (weight @ sum(penalties, costs)) / weight.sum(), {}
