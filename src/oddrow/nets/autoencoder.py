"""An autoencoder for mixed columns: numbers in and out, categories in as embeddings and out as probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from oddrow.nets.layers import Batch, Embeddings, Rows, Stack, apart

# Numbers and categories: what a row has where nobody says whether it is a known anomaly.
N_PARTS = 2
# An anomaly that is rebuilt exactly would cost infinitely much.
LEAST_ERROR = 1e-4


class Autoencoder(eqx.Module):
    """Reconstructs rows from rows with noise (Vincent et al., 2010, denoising autoencoder, eq. 1 to 3).

    A row's score is the sum of its errors times `share` / `spread`: what each output counts, in units of its own
    error on the training rows. Training does not move these two; whoever has trained the network sets them.

    Every row gets noise of its own strength while training, uniform between 0 and `noise`: the standard deviation
    added to its numbers, in encoded units, and half of that is the probability with which each of its categories is
    replaced by level 0 (missing). The output layer is linear: a number each, then the logits of
    each category.
    """

    embeddings: Embeddings
    stack: Stack
    share: Float[Array, " outputs"]
    spread: Float[Array, " outputs"]
    noise: float = eqx.field(static=True)
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
        key: PRNGKeyArray,
    ) -> None:
        embedding_key, stack_key = jax.random.split(key)
        self.embeddings = Embeddings(n_levels, key=embedding_key)
        d_in = n_numbers + sum(table.shape[1] for table in self.embeddings.tables)
        widths = [d_in, *hidden, n_numbers + sum(n_levels)]
        self.stack = Stack(widths, [*activations, "linear"], key=stack_key)
        n_outputs = n_numbers + len(n_levels)
        self.share = jnp.full(n_outputs, 1 / n_outputs)
        self.spread = jnp.ones(n_outputs)
        self.noise = noise
        self.n_numbers = n_numbers
        self.n_levels = tuple(n_levels)

    def reconstruct(self, rows: Rows) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
        """Reconstructed numbers, and the logits of every category."""
        return apart(self.outputs(rows), self.n_numbers, self.n_levels)

    def outputs(self, rows: Rows) -> Float[Array, "rows outputs"]:
        """Both side by side."""
        numbers, categories = rows
        inputs = jnp.concatenate([numbers, self.embeddings(categories)], axis=1) if self.n_levels else numbers
        return self.stack(inputs)

    def errors(self, rows: Rows, seen: Rows) -> Float[Array, "rows outputs"]:
        """Squared error of every number, then cross-entropy (nats) of every category, of `rows` given `seen`."""
        numbers, categories = rows
        reconstructed, logits = self.reconstruct(seen)
        squared = jnp.square(numbers - reconstructed)
        if not logits:
            return squared
        surprises = [
            optax.softmax_cross_entropy_with_integer_labels(scores, categories[:, column])
            for column, scores in enumerate(logits)
        ]
        return jnp.concatenate([squared, jnp.stack(surprises, axis=1)], axis=1)

    def parts(self, rows: Rows) -> Float[Array, "rows outputs"]:
        """What every output adds to the score, without noise."""
        return self.errors(rows, rows) * (self.share / self.spread)

    def score(self, rows: Rows) -> Float[Array, " rows"]:
        """How badly each row is rebuilt."""
        return self.errors(rows, rows) @ (self.share / self.spread)

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Mean error over the rows, weighted, and over the outputs; without a key there is no noise."""
        rows, weight = batch
        return (weight @ self.row_errors(rows, key)) / weight.sum(), {}

    def row_errors(self, rows: Rows, key: PRNGKeyArray | None) -> Float[Array, " rows"]:
        """The mean error of each row over the outputs; without a key there is no noise."""
        seen = rows if key is None or self.noise == 0 else self.corrupt(rows, key)
        return self.errors(rows, seen).mean(axis=1)

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


class Repelling(eqx.Module):
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
        per_row = self.network.row_errors((parts[0], parts[1]), key)
        surprise = -jnp.log1p(-jnp.exp(-jnp.maximum(per_row, LEAST_ERROR)))
        return (weight @ jnp.where(known == 1, self.weight * surprise, per_row)) / weight.sum(), {}
