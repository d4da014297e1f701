"""The scores of the networks, as nodes: encoded rows in, float32 (rows,) out. What `oddrow.nets` does, rows first."""

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
from oddrow.nets.autoencoder import LEAST_NUMBER, Autoencoder
from oddrow.nets.coder import MIDDLE, Coder
from oddrow.nets.dagmm import DAGMM, SHORTEST, TINY, Mixture
from oddrow.nets.layers import Embeddings, Stack
from oddrow.nets.neighbours import AT_NO_DISTANCE, Neighbours
from oddrow.nets.oddrow import LEAD, OddRow
from oddrow.nets.tails import Tail

Array = npt.NDArray[np.float32]

# What numbers, or a category, add to the squared distance of a row and what was rebuilt of it, to the squared length of
# each, and to the product of the two: (rows, 1) each.
Terms = tuple[Value, Value, Value, Value]


class InputValues(NamedTuple):
    """Encoded rows by name: numbers (rows, numbers), None where there are none; the levels (rows,) of each category."""

    numbers: str | None
    categories: list[str]


def of_autoencoder(graph: Graph, network: Autoencoder, rows: InputValues) -> str:
    """The weighted errors, as `Autoencoder.score` adds them up."""
    outputs = each_layer(graph, network.stack, inputs(graph, network.embeddings, rows))[-1]
    rebuilt, logits = apart(graph, outputs, network)
    errors = [surprise(graph, *category) for category in zip(logits, rows.categories, strict=True)]
    if rows.numbers is not None and rebuilt is not None:
        activated = ACTIVATIONS[network.output](graph, rebuilt)
        errors.insert(0, NUMBER_ERRORS[network.error](graph, rows.numbers, activated))
    weights = np.asarray(network.share / network.spread, np.float32)
    return graph.add("MatMul", graph.side_by_side(errors), weights)


def of_dagmm(graph: Graph, network: DAGMM, rows: InputValues) -> str:
    """The energy of [code, distance, cosine], as `DAGMM.compress` makes them."""
    code = each_layer(graph, network.encoder, inputs(graph, network.embeddings, rows))[-1]
    rebuilt, logits = apart(graph, each_layer(graph, network.decoder, code)[-1], network)
    compared = _compared(graph, rows, rebuilt, logits)
    z = graph.side_by_side([code, *(compared[name] for name in network.features)])
    return _energy(graph, network.mixture, z)


def inputs(graph: Graph, embeddings: Embeddings, rows: InputValues) -> str:
    """Numbers, then the vectors of the categories, (rows, width)."""
    vectors = [
        graph.add("Gather", np.asarray(table), levels)
        for table, levels in zip(embeddings.tables, rows.categories, strict=True)
    ]
    return graph.side_by_side([*([] if rows.numbers is None else [rows.numbers]), *vectors])


def each_layer(graph: Graph, stack: Stack, values: str) -> list[str]:
    """What comes out of every layer (rows, width)."""
    outputs = []
    for layer, activation in zip(stack.layers, stack.activations, strict=True):
        values = graph.add("Gemm", values, np.asarray(layer.weight), np.asarray(layer.bias))
        values = ACTIVATIONS[activation](graph, values)
        outputs.append(values)
    return outputs


def apart(graph: Graph, outputs: str, network: Autoencoder | DAGMM) -> tuple[str | None, list[str]]:
    """Rebuilt numbers, None where there are none, and the logits of every category."""
    widths = [*([network.n_numbers] if network.n_numbers else []), *network.n_levels]
    parts = graph.add_several("Split", len(widths), outputs, np.array(widths), axis=1)
    return (parts[0], parts[1:]) if network.n_numbers else (None, parts)


def _log_shares(graph: Graph, logits: str, levels: str) -> tuple[str, str]:
    """The logarithm of the probability of every level (rows, levels), and of the level that is there (rows, 1)."""
    log_shares = graph.add("LogSoftmax", logits, axis=1)
    return log_shares, graph.add("GatherElements", log_shares, graph.as_column(levels), axis=1)


def surprise(graph: Graph, logits: str, levels: str) -> str:
    """Cross-entropy (rows, 1) of a category."""
    return graph.add("Neg", _log_shares(graph, logits, levels)[1])


def _compared(graph: Graph, rows: InputValues, rebuilt: str | None, logits: Sequence[str]) -> dict[str, str]:
    """Relative Euclidean distance and cosine similarity of each row and what was rebuilt of it, (rows, 1) each."""
    terms = [_of_category(graph, *category) for category in zip(logits, rows.categories, strict=True)]
    if rows.numbers is not None and rebuilt is not None:
        terms.insert(0, _of_numbers(graph, rows.numbers, rebuilt))
    away, squared, squared_rebuilt, product = (total(graph, values) for values in zip(*terms, strict=True))
    # Rounding may bring a row that is rebuilt exactly below 0.
    distance = graph.add("Sqrt", graph.add("Max", graph.add("Add", away, np.float32(TINY)), np.float32(0)))
    length, length_rebuilt = _length(graph, squared), _length(graph, squared_rebuilt)
    return {
        "distance": graph.add("Div", distance, length),
        "cosine": graph.add("Div", product, graph.add("Mul", length, length_rebuilt)),
    }


def _of_numbers(graph: Graph, numbers: str, rebuilt: str) -> Terms:
    found = [_squares(graph, values) for values in (graph.add("Sub", numbers, rebuilt), numbers, rebuilt)]
    return (found[0], found[1], found[2], graph.sum(graph.add("Mul", numbers, rebuilt)))


def _of_category(graph: Graph, logits: str, levels: str) -> Terms:
    """A category as a one-hot vector beside its probabilities."""
    log_shares, log_share = _log_shares(graph, logits, levels)
    right, total = graph.add("Exp", log_share), _squares(graph, graph.add("Exp", log_shares))
    wrong = graph.add("Sub", np.float32(1), graph.add("Mul", np.float32(2), right))
    return graph.add("Add", wrong, total), np.ones((1, 1), np.float32), total, right


def _length(graph: Graph, squared: Value) -> str:
    return graph.add("Sqrt", graph.add("Max", squared, np.float32(SHORTEST**2)))


def _squares(graph: Graph, matrix: str) -> str:
    return graph.sum(graph.add("Mul", matrix, matrix))


def total(graph: Graph, values: Sequence[Value]) -> Value:
    """All of them added up."""
    return reduce(lambda total, value: graph.add("Add", total, value), values)


def _energy(graph: Graph, mixture: Mixture, z: str) -> str:
    """`Mixture.energy` of rows (rows, width), with the factors computed now."""
    whitening, log_scale = _factors(mixture)
    centred = graph.add("Sub", graph.add("Unsqueeze", z, np.array([0])), np.asarray(mixture.mean)[:, None])
    whitened = graph.add("MatMul", centred, whitening.transpose(0, 2, 1))
    squares = graph.sum(graph.add("Mul", whitened, whitened), axis=2, keepdims=0)
    log_shares = graph.add("Sub", log_scale[:, None], graph.add("Mul", np.float32(0.5), squares))
    return graph.add("Neg", _log_sum(graph, log_shares))


def _factors(mixture: Mixture) -> tuple[Array, Array]:
    """What every component multiplies rows by, (components, width, width), and the logarithm of its density at its
    mean, with its share (components,): computed as in training, for an ill-conditioned covariance tells ways apart.
    """
    width = mixture.mean.shape[1]
    factor = jnp.linalg.cholesky(mixture.covariance)
    identity = jnp.broadcast_to(jnp.eye(width), factor.shape)
    whitening = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
    log_scale = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) + 0.5 * width * math.log(2 * math.pi)
    return np.asarray(whitening), np.asarray(jnp.log(mixture.phi + TINY) - log_scale)


def _log_sum(graph: Graph, logarithms: str) -> str:
    """The logarithm of the sum over the first axis, (rows,)."""
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


# As in `oddrow.nets.layers`.
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
    least = graph.add("Max", numbers, np.float32(LEAST_NUMBER))
    return graph.add("Log", graph.add("Add", np.float32(1), least))


def _squared(graph: Graph, numbers: str, rebuilt: str) -> str:
    difference = graph.add("Sub", numbers, rebuilt)
    return graph.add("Mul", difference, difference)


# As in `oddrow.nets.autoencoder`.
NUMBER_ERRORS: dict[str, Callable[[Graph, str, str], str]] = {
    "squared": _squared,
    "squared-log": lambda graph, numbers, rebuilt: _squared(
        graph, _logarithm(graph, numbers), _logarithm(graph, rebuilt)
    ),
}

# Kept rows that are looked at more closely, besides those that are asked for: the rough distances round.
SPARE = 8


def of_oddrow(graph: Graph, network: OddRow, rows: InputValues) -> str:
    """The surprises of `OddRow.parts`: both distances added up, or the error's if that is clearly more."""
    distances, places = _nearest(graph, network.memory, rows)
    itself, only = _itself(graph, distances, places, network)
    found = _rarity(graph, network.tails[0], _mean_without(graph, distances, places, itself))
    if network.coder is not None and network.coded is not None:
        codes = _codes(graph, network.coder, rows)
        distance = _mean_without(graph, *_nearest(graph, network.coded, InputValues(codes, [])), only)
        far = graph.add("Add", found, _rarity(graph, network.tails[1], distance))
        wrong = _rarity(graph, network.tails[2], _error(graph, network.coded, codes, network.coder))
        found = graph.add("Max", far, graph.add("Sub", wrong, np.float32(LEAD)))
    return graph.add("Squeeze", found, np.array([1]))


def _error(graph: Graph, coded: Neighbours, codes: str, coder: Coder) -> str:
    """`Coder.error`, (rows, 1)."""
    n_wrong = coder.n_codes - coder.middle
    wrong = graph.columns(graph.add("Mul", codes, np.asarray(coded.scale)), range(n_wrong))
    return graph.add("ReduceMean", graph.add("Mul", wrong, wrong), axes=[1])


def _itself(graph: Graph, distances: str, places: str, network: OddRow) -> tuple[Value, Value]:
    """`Nearest.same` and `Nearest.only_same`, (rows, 1), as `OddRow` takes them: no row is a mean."""
    nobody = np.array([[-1]])
    if network.of_means:
        return nobody, nobody
    nearest, second = (graph.columns(distances, [place]) for place in (0, 1))
    at_no_distance = graph.add("LessOrEqual", nearest, np.float32(AT_NO_DISTANCE))
    same = graph.add("Where", at_no_distance, graph.columns(places, [0]), nobody)
    alone = graph.add("Greater", second, np.float32(AT_NO_DISTANCE))
    return same, graph.add("Where", alone, same, nobody)


def _mean_without(graph: Graph, distances: str, places: str, same: Value) -> str:
    """`Nearest.mean_without`, (rows, 1): of all in rising order but the last, once what is left out is the last."""
    others = graph.add("Where", graph.add("Equal", places, same), np.float32(np.inf), distances)
    n_others = graph.add("Sub", graph.add("Shape", places, start=1), np.array([1]))
    return graph.add("ReduceMean", graph.add_several("TopK", 2, others, n_others, largest=0)[0], axes=[1])


def _rarity(graph: Graph, tail: Tail, scores: str) -> str:
    """What a tail makes of scores (rows, 1)."""
    knots, last = np.asarray(tail.knots[None, :-1]), np.asarray(tail.knots[-1])
    gaps = graph.add("Div", graph.add("Sub", scores, knots), np.asarray(tail.gaps))
    passed = graph.sum(graph.add("Clip", gaps, np.float32(0), np.float32(1)))
    others = graph.add("Sub", np.float32(1), graph.add("Mul", passed, np.asarray(tail.step)))
    beyond = graph.add("Max", graph.add("Sub", scores, last), np.float32(0))
    return graph.add("Sub", graph.add("Div", beyond, np.asarray(tail.excess)), graph.add("Log", others))


def _codes(graph: Graph, coder: Coder, rows: InputValues) -> str:
    """`Coder.codes`, (rows, codes)."""
    scaled = rows.numbers
    if scaled is not None:
        scaled = graph.add("Mul", graph.add("Sub", scaled, np.asarray(coder.center)), np.asarray(coder.scale))
    network, seen = coder.autoencoder, InputValues(scaled, rows.categories)
    layers = each_layer(graph, network.stack, inputs(graph, network.embeddings, seen))
    rebuilt, logits = apart(graph, layers[-1], network)
    wrong = [] if scaled is None or rebuilt is None else [graph.add("Sub", scaled, rebuilt)]
    surprises = [surprise(graph, *category) for category in zip(logits, rows.categories, strict=True)]
    return graph.side_by_side([*wrong, *surprises, layers[MIDDLE]])


def _nearest(graph: Graph, memory: Neighbours, rows: InputValues) -> tuple[str, str]:
    """`Memory.nearest`: distances (rows, nearest + 1) in rising order, and which kept rows these are."""
    n_found = memory.n_nearest + 1
    n_candidates = min(len(memory.numbers), n_found + SPARE)
    roughly = _roughly(graph, memory, rows)
    candidates = graph.add_several("TopK", 2, roughly, np.array([n_candidates]), largest=0)[1]
    exactly = graph.add("Sqrt", graph.add("Add", _exactly(graph, memory, rows, candidates), np.float32(TINY)))
    distances, order = graph.add_several("TopK", 2, exactly, np.array([n_found]), largest=0)
    return distances, graph.add("GatherElements", candidates, order, axis=1)


def _roughly(graph: Graph, memory: Neighbours, rows: InputValues) -> str:
    """`Memory._roughly`: squared distances (rows, kept) up to rounding, less what is the same for all that are kept."""
    kept = np.asarray(memory.categories, np.int64)
    terms = [_differ(graph, levels, kept[None, :, place]) for place, levels in enumerate(rows.categories)]
    if rows.numbers is not None:
        middle, scale = np.asarray(memory.middle), np.asarray(memory.scale)
        around = (np.asarray(memory.numbers) - middle) * scale
        seen = graph.add("Mul", graph.add("Sub", rows.numbers, middle), scale)
        product = graph.add("MatMul", seen, np.ascontiguousarray(-2 * around.T))
        terms.append(graph.add("Add", product, np.square(around).sum(axis=1)[None]))
    return str(total(graph, terms))


def _exactly(graph: Graph, memory: Neighbours, rows: InputValues, candidates: str) -> str:
    """Squared distances (rows, candidates), one by one."""
    kept = np.asarray(memory.categories, np.int64)
    terms = [
        _differ(graph, levels, graph.add("Gather", kept[:, place], candidates))
        for place, levels in enumerate(rows.categories)
    ]
    if rows.numbers is not None:
        others = graph.add("Gather", np.asarray(memory.numbers), candidates, axis=0)
        differences = graph.add("Sub", graph.as_column(rows.numbers), others)
        scaled = graph.add("Mul", differences, np.asarray(memory.scale))
        terms.append(graph.sum(graph.add("Mul", scaled, scaled), axis=2, keepdims=0))
    return str(total(graph, terms))


def _differ(graph: Graph, levels: str, kept: Value) -> str:
    """1 where the level (rows,) is another than the kept ones (rows or 1, kept)."""
    return graph.add("Cast", graph.add("Not", graph.add("Equal", graph.as_column(levels), kept)), to=FLOAT)
