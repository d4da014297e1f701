"""The networks as ONNX nodes: encoded rows in, scores float32 (rows,) out. Follows `oddrow.nets`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from oddrow.export.graph import FLOAT, Graph, Value
from oddrow.nets.autoencoder import MIN_NUMBER, Autoencoder
from oddrow.nets.dagmm import DAGMM, SHORTEST, TINY, Mixture
from oddrow.nets.denoising import BOTTLENECK, DenoisingAutoencoder
from oddrow.nets.layers import Embeddings, Stack
from oddrow.nets.neighbours import AT_NO_DISTANCE, Neighbours
from oddrow.nets.oddrow import LEAD, OddRow
from oddrow.nets.tails import Tail

Array = npt.NDArray[np.float32]

# What numbers or a category add to the squared distance between a row and its reconstruction, to the squared length of
# each, and to their product: (rows, 1) each.
Terms = tuple[Value, Value, Value, Value]


class InputValues(NamedTuple):
    """Encoded rows: numbers (rows, numbers), None if there are none, and the level numbers (rows,) of each category."""

    numbers: str | None
    categories: list[str]


def autoencoder_score(graph: Graph, network: Autoencoder, rows: InputValues) -> str:
    """Add the sum of weighted errors: `Autoencoder.score`."""
    outputs = layer_outputs(graph, network.stack, network_input(graph, network.embeddings, rows))[-1]
    reconstructed, logits = split_outputs(graph, outputs, network)
    errors = [cross_entropy(graph, *category) for category in zip(logits, rows.categories, strict=True)]
    if rows.numbers is not None and reconstructed is not None:
        activated = ACTIVATIONS[network.output](graph, reconstructed)
        errors.insert(0, NUMBER_ERRORS[network.error](graph, rows.numbers, activated))
    weights = np.asarray(network.share / network.spread, np.float32)
    return graph.add("MatMul", graph.concat(errors), weights)


def dagmm_score(graph: Graph, network: DAGMM, rows: InputValues) -> str:
    """Add the energy of [code, distance, cosine]: `DAGMM.compress` and `Mixture.energy`."""
    code = layer_outputs(graph, network.encoder, network_input(graph, network.embeddings, rows))[-1]
    reconstructed, logits = split_outputs(graph, layer_outputs(graph, network.decoder, code)[-1], network)
    compared = _reconstruction_features(graph, rows, reconstructed, logits)
    z = graph.concat([code, *(compared[name] for name in network.features)])
    return _energy(graph, network.mixture, z)


def network_input(graph: Graph, embeddings: Embeddings, rows: InputValues) -> str:
    """Join the numbers and the embedded categories, (rows, width)."""
    vectors = [
        graph.add("Gather", np.asarray(table), levels)
        for table, levels in zip(embeddings.tables, rows.categories, strict=True)
    ]
    return graph.concat([*([] if rows.numbers is None else [rows.numbers]), *vectors])


def layer_outputs(graph: Graph, stack: Stack, values: str) -> list[str]:
    """Add all layers and return the output of each, (rows, width)."""
    outputs = []
    for layer, activation in zip(stack.layers, stack.activations, strict=True):
        values = graph.add("Gemm", values, np.asarray(layer.weight), np.asarray(layer.bias))
        values = ACTIVATIONS[activation](graph, values)
        outputs.append(values)
    return outputs


def split_outputs(graph: Graph, outputs: str, network: Autoencoder | DAGMM) -> tuple[str | None, list[str]]:
    """Split outputs into reconstructed numbers, None if there are none, and the logits of each category."""
    widths = [*([network.n_numbers] if network.n_numbers else []), *network.n_levels]
    parts = graph.add_several("Split", len(widths), outputs, np.array(widths), axis=1)
    return (parts[0], parts[1:]) if network.n_numbers else (None, parts)


def _log_shares(graph: Graph, logits: str, levels: str) -> tuple[str, str]:
    """Add the log probability of every level (rows, levels) and of the level in the row (rows, 1)."""
    log_shares = graph.add("LogSoftmax", logits, axis=1)
    return log_shares, graph.add("GatherElements", log_shares, graph.as_column(levels), axis=1)


def cross_entropy(graph: Graph, logits: str, levels: str) -> str:
    """Add the cross-entropy (rows, 1) of a category."""
    return graph.add("Neg", _log_shares(graph, logits, levels)[1])


def _reconstruction_features(
    graph: Graph, rows: InputValues, reconstructed: str | None, logits: Sequence[str]
) -> dict[str, str]:
    """Add the relative Euclidean distance and the cosine similarity of row and reconstruction, (rows, 1) each."""
    terms = [_category_terms(graph, *category) for category in zip(logits, rows.categories, strict=True)]
    if rows.numbers is not None and reconstructed is not None:
        terms.insert(0, _number_terms(graph, rows.numbers, reconstructed))
    away, squared, squared_reconstructed, product = (add_all(graph, values) for values in zip(*terms, strict=True))
    # Rounding may bring the squared distance of a perfect reconstruction below 0.
    distance = graph.add("Sqrt", graph.add("Max", graph.add("Add", away, np.float32(TINY)), np.float32(0)))
    length, length_reconstructed = _length(graph, squared), _length(graph, squared_reconstructed)
    return {
        "distance": graph.add("Div", distance, length),
        "cosine": graph.add("Div", product, graph.add("Mul", length, length_reconstructed)),
    }


def _number_terms(graph: Graph, numbers: str, reconstructed: str) -> Terms:
    found = [_squares(graph, values) for values in (graph.add("Sub", numbers, reconstructed), numbers, reconstructed)]
    return (found[0], found[1], found[2], graph.sum(graph.add("Mul", numbers, reconstructed)))


def _category_terms(graph: Graph, logits: str, levels: str) -> Terms:
    """Compare the one-hot vector of a category with its probabilities."""
    log_shares, log_share = _log_shares(graph, logits, levels)
    right, total = graph.add("Exp", log_share), _squares(graph, graph.add("Exp", log_shares))
    wrong = graph.add("Sub", np.float32(1), graph.add("Mul", np.float32(2), right))
    return graph.add("Add", wrong, total), np.ones((1, 1), np.float32), total, right


def _length(graph: Graph, squared: Value) -> str:
    return graph.add("Sqrt", graph.add("Max", squared, np.float32(SHORTEST**2)))


def _squares(graph: Graph, matrix: str) -> str:
    return graph.sum(graph.add("Mul", matrix, matrix))


def add_all(graph: Graph, values: Sequence[Value]) -> Value:
    """Add up values."""
    return reduce(lambda total, value: graph.add("Add", total, value), values)


def _energy(graph: Graph, mixture: Mixture, z: str) -> str:
    """Add `Mixture.energy` of rows (rows, width). The factors of the covariances are computed here, once."""
    whitening, log_scale = _factors(mixture)
    centred = graph.add("Sub", graph.add("Unsqueeze", z, np.array([0])), np.asarray(mixture.mean)[:, None])
    whitened = graph.add("MatMul", centred, whitening.transpose(0, 2, 1))
    squares = graph.sum(graph.add("Mul", whitened, whitened), axis=2, keepdims=0)
    log_shares = graph.add("Sub", log_scale[:, None], graph.add("Mul", np.float32(0.5), squares))
    return graph.add("Neg", _log_sum(graph, log_shares))


def _factors(mixture: Mixture) -> tuple[Array, Array]:
    """Return the whitening matrix of each component and the log of its share times its density at the mean.

    Shapes (components, width, width) and (components,). Computed by JAX as in training: for an ill-conditioned
    covariance another method gives other scores.
    """
    width = mixture.mean.shape[1]
    factor = jnp.linalg.cholesky(mixture.covariance)
    identity = jnp.broadcast_to(jnp.eye(width), factor.shape)
    whitening = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
    log_scale = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) + 0.5 * width * math.log(2 * math.pi)
    return np.asarray(whitening), np.asarray(jnp.log(mixture.phi + TINY) - log_scale)


def _log_sum(graph: Graph, logarithms: str) -> str:
    """Add the log of the sum of exponentials over the first axis, (rows,)."""
    most = graph.add("ReduceMax", logarithms, axes=[0], keepdims=1)
    exponentials = graph.add("Exp", graph.add("Sub", logarithms, most))
    log_sum = graph.add("Log", graph.sum(exponentials, axis=0, keepdims=0))
    return graph.add("Add", log_sum, graph.add("Squeeze", most, np.array([0])))


def _gelu(graph: Graph, values: str) -> str:
    cube = graph.add("Mul", values, graph.add("Mul", values, values))
    bent = graph.add("Add", values, graph.add("Mul", np.float32(0.044715), cube))
    tanh = graph.add("Tanh", graph.add("Mul", np.float32(math.sqrt(2 / math.pi)), bent))
    share = graph.add("Mul", np.float32(0.5), graph.add("Add", np.float32(1), tanh))
    return graph.add("Mul", values, share)


# The same as in `oddrow.nets.layers`.
ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "gelu": _gelu,
    "relu": lambda graph, values: graph.add("Relu", values),
    "tanh": lambda graph, values: graph.add("Tanh", values),
    "elu": lambda graph, values: graph.add("Elu", values, alpha=1.0),
    "silu": lambda graph, values: graph.add("Mul", values, graph.add("Sigmoid", values)),
    "sigmoid": lambda graph, values: graph.add("Sigmoid", values),
    "leaky-relu": lambda graph, values: graph.add("LeakyRelu", values, alpha=0.2),
    "linear": lambda graph, values: values,
}


def _logarithm(graph: Graph, numbers: str) -> str:
    least = graph.add("Max", numbers, np.float32(MIN_NUMBER))
    return graph.add("Log", graph.add("Add", np.float32(1), least))


def _squared(graph: Graph, numbers: str, reconstructed: str) -> str:
    difference = graph.add("Sub", numbers, reconstructed)
    return graph.add("Mul", difference, difference)


# The same as in `oddrow.nets.autoencoder`.
NUMBER_ERRORS: dict[str, Callable[[Graph, str, str], str]] = {
    "squared": _squared,
    "squared-log": lambda graph, numbers, reconstructed: _squared(
        graph, _logarithm(graph, numbers), _logarithm(graph, reconstructed)
    ),
}

# Extra candidates whose exact distances are computed, because approximate distances are rounded.
SPARE = 8


def oddrow_score(graph: Graph, network: OddRow, rows: InputValues) -> str:
    """Add the score of `OddRow`: the surprise of both distances, or that of the error if it is clearly larger."""
    distances, places = _nearest(graph, network.neighbours, rows)
    itself, only = _same_rows(graph, distances, places, network)
    found = _tail_surprise(graph, network.tails[0], _mean_distance(graph, distances, places, itself))
    if network.autoencoder is not None and network.code_neighbours is not None:
        codes = _codes(graph, network.autoencoder, rows)
        distance = _mean_distance(graph, *_nearest(graph, network.code_neighbours, InputValues(codes, [])), only)
        far = graph.add("Add", found, _tail_surprise(graph, network.tails[1], distance))
        wrong = _tail_surprise(
            graph, network.tails[2], _error(graph, network.code_neighbours, codes, network.autoencoder)
        )
        found = graph.add("Max", far, graph.add("Sub", wrong, np.float32(LEAD)))
    return graph.add("Squeeze", found, np.array([1]))


def _error(graph: Graph, coded: Neighbours, codes: str, autoencoder: DenoisingAutoencoder) -> str:
    """Add `DenoisingAutoencoder.error`, (rows, 1)."""
    n_wrong = autoencoder.n_codes - autoencoder.bottleneck
    wrong = graph.columns(graph.add("Mul", codes, np.asarray(coded.scale)), range(n_wrong))
    return graph.add("ReduceMean", graph.add("Mul", wrong, wrong), axes=[1])


def _same_rows(graph: Graph, distances: str, places: str, network: OddRow) -> tuple[Value, Value]:
    """Add `Nearest.identical` and `Nearest.only_identical`, (rows, 1). A mean of rows equals no row: -1."""
    no_row = np.array([[-1]])
    if network.uses_means:
        return no_row, no_row
    nearest, second = (graph.columns(distances, [place]) for place in (0, 1))
    at_no_distance = graph.add("LessOrEqual", nearest, np.float32(AT_NO_DISTANCE))
    same = graph.add("Where", at_no_distance, graph.columns(places, [0]), no_row)
    alone = graph.add("Greater", second, np.float32(AT_NO_DISTANCE))
    return same, graph.add("Where", alone, same, no_row)


def _mean_distance(graph: Graph, distances: str, places: str, same: Value) -> str:
    """Add `Nearest.mean_distance`, (rows, 1): the mean of all distances except the same row or else the largest."""
    others = graph.add("Where", graph.add("Equal", places, same), np.float32(np.inf), distances)
    n_others = graph.add("Sub", graph.add("Shape", places, start=1), np.array([1]))
    return graph.add("ReduceMean", graph.add_several("TopK", 2, others, n_others, largest=0)[0], axes=[1])


def _tail_surprise(graph: Graph, tail: Tail, scores: str) -> str:
    """Add the surprise of scores (rows, 1): `Tail`."""
    knots, last = np.asarray(tail.knots[None, :-1]), np.asarray(tail.knots[-1])
    gaps = graph.add("Div", graph.add("Sub", scores, knots), np.asarray(tail.gaps))
    passed = graph.sum(graph.add("Clip", gaps, np.float32(0), np.float32(1)))
    others = graph.add("Sub", np.float32(1), graph.add("Mul", passed, np.asarray(tail.step)))
    beyond = graph.add("Max", graph.add("Sub", scores, last), np.float32(0))
    return graph.add("Sub", graph.add("Div", beyond, np.asarray(tail.excess)), graph.add("Log", others))


def _codes(graph: Graph, autoencoder: DenoisingAutoencoder, rows: InputValues) -> str:
    """Add `DenoisingAutoencoder.codes`, (rows, codes)."""
    scaled = rows.numbers
    if scaled is not None:
        scaled = graph.add(
            "Mul", graph.add("Sub", scaled, np.asarray(autoencoder.center)), np.asarray(autoencoder.scale)
        )
    network, seen = autoencoder.network, InputValues(scaled, rows.categories)
    layers = layer_outputs(graph, network.stack, network_input(graph, network.embeddings, seen))
    reconstructed, logits = split_outputs(graph, layers[-1], network)
    wrong = [] if scaled is None or reconstructed is None else [graph.add("Sub", scaled, reconstructed)]
    surprises = [cross_entropy(graph, *category) for category in zip(logits, rows.categories, strict=True)]
    return graph.concat([*wrong, *surprises, layers[BOTTLENECK]])


def _nearest(graph: Graph, neighbours: Neighbours, rows: InputValues) -> tuple[str, str]:
    """Add `Neighbours.nearest`: rising distances (rows, nearest + 1) and the numbers of those reference rows."""
    n_found = neighbours.n_nearest + 1
    n_candidates = min(len(neighbours.numbers), n_found + SPARE)
    approximate = _approximate_distances(graph, neighbours, rows)
    candidates = graph.add_several("TopK", 2, approximate, np.array([n_candidates]), largest=0)[1]
    exact = graph.add("Sqrt", graph.add("Add", _exact_distances(graph, neighbours, rows, candidates), np.float32(TINY)))
    distances, order = graph.add_several("TopK", 2, exact, np.array([n_found]), largest=0)
    return distances, graph.add("GatherElements", candidates, order, axis=1)


def _approximate_distances(graph: Graph, neighbours: Neighbours, rows: InputValues) -> str:
    """Add squared distances (rows, reference rows), up to rounding and a constant for each row."""
    reference = np.asarray(neighbours.categories, np.int64)
    terms = [_level_differs(graph, levels, reference[None, :, place]) for place, levels in enumerate(rows.categories)]
    if rows.numbers is not None:
        middle, scale = np.asarray(neighbours.median), np.asarray(neighbours.scale)
        around = (np.asarray(neighbours.numbers) - middle) * scale
        seen = graph.add("Mul", graph.add("Sub", rows.numbers, middle), scale)
        product = graph.add("MatMul", seen, np.ascontiguousarray(-2 * around.T))
        terms.append(graph.add("Add", product, np.square(around).sum(axis=1)[None]))
    return str(add_all(graph, terms))


def _exact_distances(graph: Graph, neighbours: Neighbours, rows: InputValues, candidates: str) -> str:
    """Add the squared distances (rows, candidates) without rounding error."""
    reference = np.asarray(neighbours.categories, np.int64)
    terms = [
        _level_differs(graph, levels, graph.add("Gather", reference[:, place], candidates))
        for place, levels in enumerate(rows.categories)
    ]
    if rows.numbers is not None:
        others = graph.add("Gather", np.asarray(neighbours.numbers), candidates, axis=0)
        differences = graph.add("Sub", graph.as_column(rows.numbers), others)
        scaled = graph.add("Mul", differences, np.asarray(neighbours.scale))
        terms.append(graph.sum(graph.add("Mul", scaled, scaled), axis=2, keepdims=0))
    return str(add_all(graph, terms))


def _level_differs(graph: Graph, levels: str, reference: Value) -> str:
    """Add 1 where the level (rows,) differs from that of the reference rows (rows or 1, reference rows)."""
    return graph.add("Cast", graph.add("Not", graph.add("Equal", graph.as_column(levels), reference)), to=FLOAT)
