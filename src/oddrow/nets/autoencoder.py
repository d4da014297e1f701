"""An autoencoder for mixed columns: numbers in and out, categories in as embeddings and out as probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.nets.layers import Embeddings, Stack

Rows = tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]
Batch = tuple[Rows, Float[Array, " rows"]]


class Autoencoder(eqx.Module):
    """Reconstructs rows from rows with noise (Vincent et al., 2010, denoising autoencoder, eq. 1 to 3).

    `noise` is the standard deviation added to each number while training, in encoded units, and the probability with
    which a category is replaced by level 0 (missing). The output layer is linear: a number each, then the logits of
    each category.
    """

    embeddings: Embeddings
    stack: Stack
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
        self.noise = noise
        self.n_numbers = n_numbers
        self.n_levels = tuple(n_levels)

    def reconstruct(self, rows: Rows) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
        """Reconstructed numbers, and the logits of every category."""
        numbers, categories = rows
        inputs = jnp.concatenate([numbers, self.embeddings(categories)], axis=1) if self.n_levels else numbers
        outputs = self.stack(inputs)
        logits = []
        place = self.n_numbers
        for levels in self.n_levels:
            logits.append(outputs[:, place : place + levels])
            place += levels
        return outputs[:, : self.n_numbers], logits

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

    def score(self, rows: Rows) -> Float[Array, "rows outputs"]:
        """The error of every output, without noise."""
        return self.errors(rows, rows)

    def loss(self, batch: Batch, key: PRNGKeyArray | None) -> Float[Array, ""]:
        """Mean error over the rows, weighted, and over the outputs; without a key there is no noise."""
        rows, weight = batch
        seen = rows if key is None or self.noise == 0 else self.corrupt(rows, key)
        per_row = self.errors(rows, seen).mean(axis=1)
        return (weight @ per_row) / weight.sum()

    def corrupt(self, rows: Rows, key: PRNGKeyArray) -> Rows:
        """The rows with noise on every number and some categories made missing."""
        numbers, categories = rows
        number_key, category_key = jax.random.split(key)
        noisy = numbers + self.noise * jax.random.normal(number_key, numbers.shape)
        if not self.n_levels:
            return noisy, categories
        kept = jax.random.bernoulli(category_key, 1 - self.noise, categories.shape)
        return noisy, jnp.where(kept, categories, 0)
