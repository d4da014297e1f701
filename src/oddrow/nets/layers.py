"""The parts that networks share: a stack of dense layers, and columns in and out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

Activation = Callable[[Array], Array]

Rows = tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]

Batch = tuple[Rows, Float[Array, " rows"]]

# So many values a random byte can have.
BYTE = 256

ACTIVATIONS: dict[str, Activation] = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    # The slope of TensorFlow's tf.nn.leaky_relu; that of JAX would be 0.01.
    "leaky-relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "linear": lambda x: x,
}


class Dense(eqx.Module):
    """weight.T @ columns + bias, Glorot-uniform weights as in Keras, zero bias.

    Columns come first and rows last: layers are narrow, and machines are fast along long axes.

    >>> Dense(3, 2, key=jax.random.key(0))(jnp.ones((3, 5))).shape
    (2, 5)
    """

    weight: Float[Array, "d_in d_out"]
    bias: Float[Array, " d_out"]

    def __init__(self, d_in: int, d_out: int, *, key: PRNGKeyArray) -> None:
        bound = (6 / max(d_in + d_out, 1)) ** 0.5
        self.weight = jax.random.uniform(key, (d_in, d_out), minval=-bound, maxval=bound)
        self.bias = jnp.zeros(d_out)

    def __call__(self, columns: Float[Array, "d_in rows"]) -> Float[Array, "d_out rows"]:
        # The bias is one more row of the weight: its gradient is then no sum of its own, which costs as much again.
        weight = jnp.concatenate([self.weight, self.bias[None]])
        return _product(weight, jnp.concatenate([columns, jnp.ones((1, columns.shape[1]))]))


@jax.custom_vjp
def _product(weight: Float[Array, "d_in d_out"], columns: Float[Array, "d_in rows"]) -> Float[Array, "d_out rows"]:
    """weight.T @ columns. XLA's fast products on CPUs take a left factor only as it lies in memory, hence the barrier
    that keeps it from folding the transpose into the product, and gradients of which every left factor lies well.
    """
    laid_out: Array = jax.lax.optimization_barrier(weight.T)  # type: ignore[no-untyped-call]
    return laid_out @ columns


def _product_and_factors(weight: Array, columns: Array) -> tuple[Array, tuple[Array, Array]]:
    return _product(weight, columns), (weight, columns)


def _gradients(factors: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    weight, columns = factors
    return columns @ gradient.T, weight @ gradient


_product.defvjp(_product_and_factors, _gradients)


class Stack(eqx.Module):
    """Dense layers with an activation after each, and the share of its outputs that drops out in training.

    Layers beyond those that `dropout` names, such as the last one, lose nothing.
    """

    layers: tuple[Dense, ...]
    activations: tuple[str, ...] = eqx.field(static=True)
    dropout: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self, widths: Sequence[int], activations: Sequence[str], dropout: Sequence[float] = (), *, key: PRNGKeyArray
    ) -> None:
        keys = jax.random.split(key, max(len(widths) - 1, 1))
        sizes = zip(widths[:-1], widths[1:], keys, strict=False)
        self.layers = tuple(Dense(d_in, d_out, key=key) for d_in, d_out, key in sizes)
        self.activations = tuple(activations)
        self.dropout = (*dropout, *[0.0] * (len(self.layers) - len(dropout)))

    def __call__(self, columns: Float[Array, "d_in rows"]) -> Float[Array, "d_out rows"]:
        return [columns, *self.each(columns)][-1]

    def each(self, columns: Float[Array, "d_in rows"], key: PRNGKeyArray | None = None) -> list[Float[Array, "_ rows"]]:
        """What comes out of every layer; with a key, the layer after it sees that without the dropped share."""
        outputs: list[Array] = []
        shapes = [(layer.weight.shape[1], columns.shape[1]) for layer in self.layers]
        factors = [1.0] * len(shapes) if key is None else drop_factors(self.dropout, shapes, key)
        for layer, activation, factor in zip(self.layers, self.activations, factors, strict=True):
            outputs.append(ACTIVATIONS[activation](layer(columns)))
            columns = outputs[-1] * factor
        return outputs


class Embeddings(eqx.Module):
    """One table of vectors for each category column; the vectors of a row stand side by side."""

    tables: tuple[Float[Array, "levels width"], ...]

    def __init__(self, n_levels: Sequence[int], *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, max(len(n_levels), 1))
        self.tables = tuple(
            jax.random.normal(key, (levels, embedding_width(levels)))
            for levels, key in zip(n_levels, keys, strict=False)
        )

    def __call__(self, categories: Int[Array, "rows categories"]) -> Float[Array, "rows width"]:
        vectors = [table[categories[:, column]] for column, table in enumerate(self.tables)]
        return jnp.concatenate([jnp.zeros((categories.shape[0], 0)), *vectors], axis=1)


def apart(
    outputs: Float[Array, "rows width"], n_numbers: int, n_levels: Sequence[int]
) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
    """Outputs side by side as numbers, and the logits of every category."""
    places = [n_numbers + sum(n_levels[:column]) for column in range(len(n_levels))]
    logits = [outputs[:, place : place + levels] for place, levels in zip(places, n_levels, strict=True)]
    return outputs[:, :n_numbers], logits


def drop_factors(
    shares: Sequence[float], shapes: Sequence[tuple[int, ...]], key: PRNGKeyArray
) -> list[Float[Array, "*any"] | float]:
    """What outputs of each shape are multiplied by in training (Srivastava et al., 2014, section 10).

    A share of them by 0, the others by 1 / (1 - share). All are drawn at once, and a byte decides on each, so that a
    share is taken in steps of 1/256: drawing a number for each output, layer by layer, took a third of a small step.
    """
    sizes = [math.prod(shape) if share else 0 for share, shape in zip(shares, shapes, strict=True)]
    words = jax.random.bits(key, (-(-sum(sizes) // 4),), jnp.uint32)
    drawn = jnp.split(jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1), list(accumulate(sizes)))
    return [
        _factor(share, of_layer.reshape(shape)) if share else 1.0
        for share, shape, of_layer in zip(shares, shapes, drawn, strict=False)
    ]


def _factor(share: float, drawn: UInt8[Array, "*any"]) -> Float[Array, "*any"]:
    n_dropped = min(max(round(share * BYTE), 1), BYTE - 1)
    return jnp.where(drawn < n_dropped, 0.0, BYTE / (BYTE - n_dropped))


def side_by_side(rows: Rows, embeddings: Embeddings) -> Float[Array, "d_in rows"]:
    """What a network sees of rows, columns first: numbers, then the vectors of the categories."""
    numbers, categories = rows
    return jnp.concatenate([numbers.T, embeddings(categories).T]) if embeddings.tables else numbers.T


def embedding_width(n_levels: int) -> int:
    """Wide enough to tell the levels apart, never wider than 16."""
    return min(16, max(2, math.isqrt(n_levels)))
