"""A conditional variational autoencoder for mixed columns: rows of a class out of noise (Sohn et al., NeurIPS 2015)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.nets.layers import Embeddings, Rows, Stack, apart

# Numbers (rows, numbers), categories (rows, categories), and the class of each row.
LabelledRows = tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"], Int[Array, " rows"]]

Posterior = tuple[Float[Array, "rows latent"], Float[Array, "rows latent"]]

# A number that is rebuilt better than this, in encoded units, would else make the likelihood grow without end.
LEAST_SPREAD = 0.01

# Places of the levels of every category that stand for no value, and for values unknown or seldom.
MISSING, UNSEEN, RARE = 0, 1, 2


class CVAE(eqx.Module):
    """Encodes a row and its class to a normal distribution over codes, and decodes a code and a class to a row.

    A decoded number is normal with a spread of its class's own, a flag and a category are drawn by their
    probabilities. `flags` are the places of 0/1 numbers that say whether the number before them is missing: where it
    is, that number counts for nothing. `never_missing` are the places of categories that always have a value.

    NOTE[DIFF] Sohn et al. learn the prior of a class, p(z | class); here it is the standard normal for every class, as
    in their "CVAE with a fixed prior" and in what practitioners call a CVAE.
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
        """The network as it is trained in an epoch, counted from 0: the KL term enters bit by bit.

        Without it the codes of a powerful decoder collapse onto the prior and say nothing (Bowman et al., 2016, 3.1).
        """
        weight = jnp.minimum(1.0, (epoch + 1) / max(self.warm_up, 1))
        warmed: CVAE = eqx.tree_at(lambda net: net.kl_weight, self, weight)
        return warmed

    def loss(
        self, batch: tuple[LabelledRows, Float[Array, " rows"]], key: PRNGKeyArray | None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The negative evidence lower bound in nats, and its two parts; without a key the code is the mean."""
        (numbers, categories, labels), weight = batch
        weight = weight * jax.lax.stop_gradient(self.class_weight)[labels]
        share = weight / weight.sum()
        mean, log_variance = self.encode((numbers, categories), labels)
        code = mean if key is None else _drawn(mean, log_variance, key)
        parts = {
            "reconstruction": share @ self.surprise((numbers, categories), labels, code),
            "kl": share @ (0.5 * (jnp.square(mean) + jnp.exp(log_variance) - log_variance - 1).sum(axis=1)),
        }
        return parts["reconstruction"] + self.kl_weight * parts["kl"], parts

    def encode(self, rows: Rows, labels: Int[Array, " rows"]) -> Posterior:
        """Mean and log variance of the code of every row, given its class."""
        numbers, categories = rows
        inputs = jnp.concatenate([numbers, self.embeddings(categories), self._one_hot(labels)], axis=1)
        mean, log_variance = jnp.split(self.encoder(inputs.T).T, 2, axis=1)
        # Beyond these a variance is 0 or infinite in float32, and so is its gradient.
        return mean, jnp.clip(log_variance, -20.0, 20.0)

    def decode(
        self, code: Float[Array, "rows latent"], labels: Int[Array, " rows"]
    ) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
        """The mean of every number (the logit of a flag), and the logits of every category."""
        outputs = self.decoder(jnp.concatenate([code, self._one_hot(labels)], axis=1).T).T
        return apart(outputs, self.n_numbers, self.n_levels)

    def surprise(
        self, rows: Rows, labels: Int[Array, " rows"], code: Float[Array, "rows latent"]
    ) -> Float[Array, " rows"]:
        """Negative log likelihood of every row given a code, in nats."""
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
        """Standard deviation of the decoded numbers of each row's class, in encoded units."""
        return jnp.maximum(jnp.exp(self.log_spread), LEAST_SPREAD)[labels]

    def likeliest(
        self, code: Float[Array, "rows latent"], labels: Int[Array, " rows"]
    ) -> tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]:
        """The most likely row of every code and class."""
        mean, logits = self.decode(code, labels)
        categories = [self._possible(scores, place).argmax(axis=1) for place, scores in enumerate(logits)]
        return jnp.where(self._flag_mask(), mean > 0, mean), _side_by_side(categories, len(labels))

    def draw(
        self, code: Float[Array, "rows latent"], labels: Int[Array, " rows"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]:
        """Rows drawn from what codes and classes decode to; only levels that training rows have, or missing."""
        number_key, flag_key, *category_keys = jax.random.split(key, 2 + len(self.n_levels))
        mean, logits = self.decode(code, labels)
        numbers = mean + self.spread(labels) * jax.random.normal(number_key, mean.shape)
        flags = jax.random.uniform(flag_key, mean.shape) < jax.nn.sigmoid(mean)
        categories = [
            jax.random.categorical(category_keys[place], self._possible(scores, place))
            for place, scores in enumerate(logits)
        ]
        return jnp.where(self._flag_mask(), flags, numbers), _side_by_side(categories, len(labels))

    def around(self, rows: Rows, labels: Int[Array, " rows"], key: PRNGKeyArray) -> Float[Array, "rows latent"]:
        """A code drawn for each row from its own distribution over codes."""
        return _drawn(*self.encode(rows, labels), key)

    def _possible(self, logits: Float[Array, "rows levels"], place: int) -> Float[Array, "rows levels"]:
        """Without the levels that stand for others, unseen and rare ones, and without missing where none ever is."""
        within = logits.at[:, UNSEEN : RARE + 1].set(-jnp.inf)
        return within.at[:, MISSING].set(-jnp.inf) if place in self.never_missing else within

    def _one_hot(self, labels: Int[Array, " rows"]) -> Float[Array, "rows classes"]:
        return jax.nn.one_hot(labels, self.n_classes)

    def _flag_mask(self) -> Array:
        return jnp.zeros(self.n_numbers, bool).at[jnp.asarray(self.flags, dtype=int)].set(True)


def _drawn(
    mean: Float[Array, "rows latent"], log_variance: Float[Array, "rows latent"], key: PRNGKeyArray
) -> Float[Array, "rows latent"]:
    """The reparameterisation trick (Kingma and Welling, 2014, section 2.4)."""
    return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)


def _side_by_side(columns: Sequence[Int[Array, " rows"]], n_rows: int) -> Int[Array, "rows columns"]:
    return jnp.stack(columns, axis=1).astype(jnp.int32) if columns else jnp.zeros((n_rows, 0), jnp.int32)
