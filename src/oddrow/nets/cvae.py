"""Conditional variational autoencoder for numbers and categories, which generates rows of a given class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.nets.layers import Embeddings, EncodedRows, Stack, split_outputs

# Numbers, categories, and the class of each row.
LabelledRows = tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"], Int[Array, " rows"]]

# Mean and log variance of each row's code.
Posterior = tuple[Float[Array, "rows latent"], Float[Array, "rows latent"]]

# Lower limit of a decoded number's standard deviation, in encoded units; without it the likelihood is unbounded.
MIN_SPREAD = 0.01

# The first levels of every category: no value, values unseen in training, rare values. They repeat constants of
# encoding/column_encoding.py, as networks import nothing that knows tables.
MISSING, UNSEEN, RARE = 0, 1, 2


class CVAE(eqx.Module):
    """Encode a row and its class as a normal distribution over codes; decode a code and a class to a row.

    Parameters
    ----------
    n_numbers : int
        Number of encoded numbers.
    n_levels : sequence of int
        Number of levels of each categorical column.
    n_classes : int
        Number of classes.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    latent : int
        Width of the code.
    flags : sequence of int
        Indices of the 0/1 numbers that flag the number before them as missing. A missing number adds no loss.
    never_missing : sequence of int
        Indices of the categories that always have a value.
    class_weight : sequence of float or None
        Weight of each class in the loss. None weights all classes alike.
    warm_up : int
        Number of epochs over which the weight of the KL term rises to 1.
    key : PRNGKeyArray
        Random key for the initial weights.

    Notes
    -----
    A decoded number is normal, with a standard deviation for each class. Flags are Bernoulli and categories are
    categorical variables.

    NOTE[DIFF] Sohn et al. learn the prior p(z | class). Here it is standard normal for every class, as in their "CVAE
    with a fixed prior" and in what practitioners call a CVAE.

    References
    ----------
    Sohn et al. (2015), Learning Structured Output Representation using Deep Conditional Generative Models, NeurIPS.

    Kingma and Welling (2014), Auto-Encoding Variational Bayes, section 2.4 (reparameterisation).

    Bowman et al. (2016), Generating Sentences from a Continuous Space, section 3.1 (KL warm-up).
    """

    embeddings: Embeddings
    encoder: Stack
    decoder: Stack
    log_spread: Float[Array, "classes numbers"]
    class_weight: Float[Array, " classes"]
    kl_weight: Float[Array, ""]
    n_numbers: int = eqx.field(static=True)
    n_levels: tuple[int, ...] = eqx.field(static=True)
    n_classes: int = eqx.field(static=True)
    latent: int = eqx.field(static=True)
    flags: tuple[int, ...] = eqx.field(static=True)
    never_missing: tuple[int, ...] = eqx.field(static=True)
    warm_up: int = eqx.field(static=True)

    def __init__(
        self,
        n_numbers: int,
        n_levels: Sequence[int],
        n_classes: int,
        hidden: Sequence[int],
        latent: int,
        *,
        flags: Sequence[int] = (),
        never_missing: Sequence[int] = (),
        class_weight: Sequence[float] | None = None,
        warm_up: int = 0,
        key: PRNGKeyArray,
    ) -> None:
        keys = jax.random.split(key, 3)
        self.embeddings = Embeddings(n_levels, key=keys[0])
        d_in = n_numbers + sum(table.shape[1] for table in self.embeddings.tables) + n_classes
        names = [*["gelu"] * len(hidden), "linear"]
        self.encoder = Stack([d_in, *hidden, 2 * latent], names, key=keys[1])
        outputs = n_numbers + sum(n_levels)
        self.decoder = Stack([latent + n_classes, *reversed(hidden), outputs], names, key=keys[2])
        self.log_spread = jnp.zeros((n_classes, n_numbers))
        self.class_weight = jnp.asarray([1.0] * n_classes if class_weight is None else class_weight)
        self.kl_weight = jnp.asarray(1.0)
        self.n_numbers, self.n_levels, self.n_classes = n_numbers, tuple(n_levels), n_classes
        self.latent, self.warm_up = latent, warm_up
        self.flags, self.never_missing = tuple(flags), tuple(never_missing)

    def at_epoch(self, epoch: Int[Array, ""]) -> CVAE:
        """Return the network with the KL weight of an epoch, counted from 0.

        Without the warm-up the posterior may collapse onto the prior, and a strong decoder ignores the codes.
        """
        weight = jnp.minimum(1.0, (epoch + 1) / max(self.warm_up, 1))
        warmed: CVAE = eqx.tree_at(lambda net: net.kl_weight, self, weight)
        return warmed

    def loss(
        self, batch: tuple[LabelledRows, Float[Array, " rows"]], key: PRNGKeyArray | None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Return the negative evidence lower bound (nats) and its two parts; without a key the code is the mean."""
        (numbers, categories, labels), weight = batch
        weight = weight * jax.lax.stop_gradient(self.class_weight)[labels]
        share = weight / weight.sum()
        mean, log_variance = self.encode((numbers, categories), labels)
        code = mean if key is None else _draw_code(mean, log_variance, key)
        parts = {
            "reconstruction": share @ self.reconstruction_loss((numbers, categories), labels, code),
            "kl": share @ (0.5 * (jnp.square(mean) + jnp.exp(log_variance) - log_variance - 1).sum(axis=1)),
        }
        return parts["reconstruction"] + self.kl_weight * parts["kl"], parts

    def encode(self, rows: EncodedRows, labels: Int[Array, " rows"]) -> Posterior:
        """Return mean and log variance of the code of every row, given its class."""
        numbers, categories = rows
        inputs = jnp.concatenate([numbers, self.embeddings(categories), self._one_hot(labels)], axis=1)
        mean, log_variance = jnp.split(self.encoder(inputs.T).T, 2, axis=1)
        # Beyond these limits float32 variances or their gradients become 0 or infinite.
        return mean, jnp.clip(log_variance, -20.0, 20.0)

    def decode(
        self, code: Float[Array, "rows latent"], labels: Int[Array, " rows"]
    ) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
        """Return the mean of every number, or the logit of a flag, and the logits of every category."""
        outputs = self.decoder(jnp.concatenate([code, self._one_hot(labels)], axis=1).T).T
        return split_outputs(outputs, self.n_numbers, self.n_levels)

    def reconstruction_loss(
        self, rows: EncodedRows, labels: Int[Array, " rows"], code: Float[Array, "rows latent"]
    ) -> Float[Array, " rows"]:
        """Return the negative log-likelihood (nats) of every row given a code."""
        numbers, categories = rows
        mean, logits = self.decode(code, labels)
        spread = self.spread(labels)
        of_number = 0.5 * jnp.square((numbers - mean) / spread) + jnp.log(spread) + 0.5 * math.log(2 * math.pi)
        of_flag = optax.sigmoid_binary_cross_entropy(mean, numbers)
        is_flag, flags = self._flag_mask(), jnp.asarray(self.flags, dtype=int)
        is_known = jnp.ones_like(numbers).at[:, flags - 1].set(1 - numbers[:, flags])
        total = jnp.where(is_flag, of_flag, is_known * of_number).sum(axis=1)
        for column, scores in enumerate(logits):
            total += optax.softmax_cross_entropy_with_integer_labels(scores, categories[:, column])
        return total

    def spread(self, labels: Int[Array, " rows"]) -> Float[Array, "rows numbers"]:
        """Return the standard deviations of the decoded numbers for each row's class, in encoded units."""
        return jnp.maximum(jnp.exp(self.log_spread), MIN_SPREAD)[labels]

    def likeliest(
        self, code: Float[Array, "rows latent"], labels: Int[Array, " rows"]
    ) -> tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]:
        """Return the most likely row of every code and class."""
        mean, logits = self.decode(code, labels)
        categories = [self._possible(scores, place).argmax(axis=1) for place, scores in enumerate(logits)]
        return jnp.where(self._flag_mask(), mean > 0, mean), _stack_columns(categories, len(labels))

    def draw(
        self, code: Float[Array, "rows latent"], labels: Int[Array, " rows"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]:
        """Draw a row from the decoded distributions of every code and class.

        Categories are levels of the training rows, or missing.
        """
        number_key, flag_key, *category_keys = jax.random.split(key, 2 + len(self.n_levels))
        mean, logits = self.decode(code, labels)
        numbers = mean + self.spread(labels) * jax.random.normal(number_key, mean.shape)
        flags = jax.random.uniform(flag_key, mean.shape) < jax.nn.sigmoid(mean)
        categories = [
            jax.random.categorical(category_keys[place], self._possible(scores, place))
            for place, scores in enumerate(logits)
        ]
        return jnp.where(self._flag_mask(), flags, numbers), _stack_columns(categories, len(labels))

    def draw_codes(
        self, rows: EncodedRows, labels: Int[Array, " rows"], key: PRNGKeyArray
    ) -> Float[Array, "rows latent"]:
        """Draw a code for each row from its posterior."""
        return _draw_code(*self.encode(rows, labels), key)

    def _possible(self, logits: Float[Array, "rows levels"], place: int) -> Float[Array, "rows levels"]:
        """Rule out the collective levels (unseen, rare), and missing for categories that always have a value."""
        within = logits.at[:, UNSEEN : RARE + 1].set(-jnp.inf)
        return within.at[:, MISSING].set(-jnp.inf) if place in self.never_missing else within

    def _one_hot(self, labels: Int[Array, " rows"]) -> Float[Array, "rows classes"]:
        return jax.nn.one_hot(labels, self.n_classes)

    def _flag_mask(self) -> Array:
        return jnp.zeros(self.n_numbers, bool).at[jnp.asarray(self.flags, dtype=int)].set(True)


def _draw_code(
    mean: Float[Array, "rows latent"], log_variance: Float[Array, "rows latent"], key: PRNGKeyArray
) -> Float[Array, "rows latent"]:
    """Draw codes by the reparameterisation trick (Kingma and Welling, 2014, section 2.4)."""
    return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)


def _stack_columns(columns: Sequence[Int[Array, " rows"]], n_rows: int) -> Int[Array, "rows columns"]:
    return jnp.stack(columns, axis=1).astype(jnp.int32) if columns else jnp.zeros((n_rows, 0), jnp.int32)
