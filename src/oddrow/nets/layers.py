"""The parts that networks share: a stack of dense layers, and columns in and out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

Activation = Callable[[Array], Array]
Rows = tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]
Batch = tuple[Rows, Float[Array, " rows"]]

ACTIVATIONS: dict[str, Activation] = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "linear": lambda x: x,
}


class Dense(eqx.Module):
    """rows @ weight + bias, Glorot-uniform weights as in Keras, zero bias.

    >>> Dense(3, 2, key=jax.random.key(0))(jnp.ones((5, 3))).shape
    (5, 2)
    """

    weight: Float[Array, "d_in d_out"]
    bias: Float[Array, " d_out"]

    def __init__(self, d_in: int, d_out: int, *, key: PRNGKeyArray) -> None:
        bound = (6 / max(d_in + d_out, 1)) ** 0.5
        self.weight = jax.random.uniform(key, (d_in, d_out), minval=-bound, maxval=bound)
        self.bias = jnp.zeros(d_out)

    def __call__(self, rows: Float[Array, "rows d_in"]) -> Float[Array, "rows d_out"]:
        return rows @ self.weight + self.bias

    def columns_first(self, columns: Float[Array, "d_in rows"]) -> Float[Array, "d_out rows"]:
        """The same with rows last."""
        return self.weight.T @ columns + self.bias[:, None]


class Stack(eqx.Module):
    """Dense layers with an activation after each."""

    layers: tuple[Dense, ...]
    activations: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, widths: Sequence[int], activations: Sequence[str], *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, max(len(widths) - 1, 1))
        sizes = zip(widths[:-1], widths[1:], keys, strict=False)
        self.layers = tuple(Dense(d_in, d_out, key=key) for d_in, d_out, key in sizes)
        self.activations = tuple(activations)

    def __call__(self, rows: Float[Array, "rows d_in"]) -> Float[Array, "rows d_out"]:
        for layer, activation in zip(self.layers, self.activations, strict=True):
            rows = ACTIVATIONS[activation](layer(rows))
        return rows

    def columns_first(self, columns: Float[Array, "d_in rows"]) -> Float[Array, "d_out rows"]:
        """The same with rows last, which is faster where the layers are narrow."""
        for layer, activation in zip(self.layers, self.activations, strict=True):
            columns = ACTIVATIONS[activation](layer.columns_first(columns))
        return columns


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


def embedding_width(n_levels: int) -> int:
    """Wide enough to tell the levels apart, never wider than 16."""
    return min(16, max(2, math.isqrt(n_levels)))
