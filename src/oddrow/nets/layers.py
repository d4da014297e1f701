"""Building blocks of the networks: dense layers, embeddings, and the layout of inputs and outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from oddrow.errors import ParameterError, check_choice, check_number

Activation = Callable[[Array], Array]

# Numbers and, for each categorical column, the index of the level.
EncodedRows = tuple[Float[Array, "rows numbers"], Int[Array, "rows categories"]]

# Rows and the weight of each in the loss; rows of weight 0 only fill up the batch.
Batch = tuple[EncodedRows, Float[Array, " rows"]]

# The number of values of a random byte.
BYTE = 256

ACTIVATIONS: dict[str, Activation] = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    # TensorFlow's default slope for tf.nn.leaky_relu; JAX's is 0.01.
    "leaky-relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "linear": lambda x: x,
}


class Dense(eqx.Module):
    """Dense layer with Glorot-uniform weights, as in Keras, and zero biases.

    Parameters
    ----------
    d_in, d_out : int
        Number of inputs and outputs.
    key : PRNGKeyArray
        Random key for the initial weights.

    Notes
    -----
    Computes ``weight.T @ columns + bias``. Inputs have shape (d_in, rows): layers are narrow, and processors are fast
    along the long axis.

    Examples
    --------
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
        """Return the outputs of the layer."""
        # The bias is one more row of the weight, as a separate sum for its gradient would cost as much again.
        weight = jnp.concatenate([self.weight, self.bias[None]])
        return _product(weight, jnp.concatenate([columns, jnp.ones((1, columns.shape[1]))]))


@jax.custom_vjp
def _product(weight: Float[Array, "d_in d_out"], columns: Float[Array, "d_in rows"]) -> Float[Array, "d_out rows"]:
    """Return weight.T @ columns.

    XLA's fast CPU kernels need the left factor contiguous in memory. The barrier stops XLA from folding the transpose
    into the product, and the gradients below use left factors that are already contiguous.
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
    """Dense layers, each followed by its activation and, in training, by dropout.

    Parameters
    ----------
    widths : sequence of int
        Width of the input, of every hidden layer and of the output.
    activations : sequence of str
        Keys of `ACTIVATIONS`, one for each layer.
    dropout : sequence of float
        Share of each layer's outputs dropped in training. Layers without an entry drop none.
    key : PRNGKeyArray
        Random key for the initial weights.
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
        """Return the outputs of the last layer, without dropout."""
        return [columns, *self.each(columns)][-1]

    def each(self, columns: Float[Array, "d_in rows"], key: PRNGKeyArray | None = None) -> list[Float[Array, "_ rows"]]:
        """Return the outputs of every layer, before dropout; a key turns dropout on."""
        outputs: list[Array] = []
        shapes = [(layer.weight.shape[1], columns.shape[1]) for layer in self.layers]
        factors = [1.0] * len(shapes) if key is None else drop_factors(self.dropout, shapes, key)
        for layer, activation, factor in zip(self.layers, self.activations, factors, strict=True):
            outputs.append(ACTIVATIONS[activation](layer(columns)))
            columns = outputs[-1] * factor
        return outputs


class Embeddings(eqx.Module):
    """One embedding table for each categorical column; the vectors of a row are concatenated.

    Parameters
    ----------
    n_levels : sequence of int
        Number of levels of each column.
    key : PRNGKeyArray
        Random key for the initial vectors.
    """

    tables: tuple[Float[Array, "levels width"], ...]

    def __init__(self, n_levels: Sequence[int], *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, max(len(n_levels), 1))
        self.tables = tuple(
            jax.random.normal(key, (levels, embedding_width(levels)))
            for levels, key in zip(n_levels, keys, strict=False)
        )

    def __call__(self, categories: Int[Array, "rows categories"]) -> Float[Array, "rows width"]:
        """Return the concatenated vectors of each row."""
        vectors = [table[categories[:, column]] for column, table in enumerate(self.tables)]
        return jnp.concatenate([jnp.zeros((categories.shape[0], 0)), *vectors], axis=1)


def split_outputs(
    outputs: Float[Array, "rows width"], n_numbers: int, n_levels: Sequence[int]
) -> tuple[Float[Array, "rows numbers"], list[Float[Array, "rows levels"]]]:
    """Split outputs into numbers and one array of logits for each categorical column."""
    places = [n_numbers + sum(n_levels[:column]) for column in range(len(n_levels))]
    logits = [outputs[:, place : place + levels] for place, levels in zip(places, n_levels, strict=True)]
    return outputs[:, :n_numbers], logits


def drop_factors(
    shares: Sequence[float], shapes: Sequence[tuple[int, ...]], key: PRNGKeyArray
) -> list[Float[Array, "*any"] | float]:
    """Draw the dropout factors of every layer: 0 for the dropped outputs, 1 / (1 - share) for the others.

    NOTE[DIFF] Shares are rounded to steps of 1/256. One random byte decides on each output, and all bytes are drawn at
    once: drawing a float for each output, layer by layer, took a third of a small training step.

    References
    ----------
    Srivastava et al. (2014), Dropout, section 10 (scaling in training).
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


def concat_inputs(rows: EncodedRows, embeddings: Embeddings) -> Float[Array, "d_in rows"]:
    """Return the inputs of the first layer: numbers, then the embeddings of the categories."""
    numbers, categories = rows
    return jnp.concatenate([numbers.T, embeddings(categories).T]) if embeddings.tables else numbers.T


def embedding_width(n_levels: int) -> int:
    """Return the square root of the number of levels, at least 2 and at most 16."""
    return min(16, max(2, math.isqrt(n_levels)))


# Stops a crafted manifest from keeping the loader busy.
MAX_LAYERS = 100


def check_widths(name: str, widths: Any) -> None:
    """Raise `ParameterError` unless `widths` is a list of positive integers."""
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        example = widths if isinstance(widths, int) else "64, 16"
        raise ParameterError(f"{name}={widths!r} is not a list of widths, such as [{example}].")
    check_number(f"the number of {name} layers", len(widths), 0, MAX_LAYERS, whole=True)
    for width in widths:
        check_number(name, width, 1, whole=True)


def check_activations(activations: Any, n_layers: int) -> None:
    """Raise `ParameterError` for an unknown activation, or a list that has not one for each hidden layer."""
    names = [activations] if isinstance(activations, str) else activations
    for name in names:
        check_choice("activations", name, ACTIVATIONS)
    if not isinstance(activations, str):
        _check_as_many("activations", names, n_layers)


def check_dropout(dropout: Any, n_layers: int) -> None:
    """Raise `ParameterError` for a share outside [0, 0.9], or a list that has not one for each hidden layer."""
    is_list = isinstance(dropout, Sequence) and not isinstance(dropout, str)
    for share in dropout if is_list else [dropout]:
        check_number("dropout", share, 0, 0.9)
    if is_list:
        _check_as_many("dropout", dropout, n_layers)


def check_activity(name: str, strength: Any, n_layers: int) -> None:
    """Raise `ParameterError` for a negative strength, or a positive one if there is no hidden layer."""
    check_number(name, strength, 0)
    if strength > 0 and n_layers == 0:
        raise ParameterError(f"{name}={strength!r} needs a hidden layer. Add a width to hidden, or set {name}=0.")


def _check_as_many(name: str, given: Sequence[Any], n_layers: int) -> None:
    if len(given) != n_layers:
        raise ParameterError(f"{name}: expected {n_layers} (one for each hidden layer), got {len(given)}.")


def named_activations(activations: str | Sequence[str], n_layers: int) -> list[str]:
    """Return one activation for each layer."""
    return [activations] * n_layers if isinstance(activations, str) else list(activations)


def dropout_shares(dropout: Any, n_layers: int) -> list[float]:
    """Return one dropout share for each layer."""
    return [float(share) for share in (dropout if isinstance(dropout, Sequence) else [dropout] * n_layers)]
