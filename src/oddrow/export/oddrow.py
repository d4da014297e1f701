"""The score of the default detector's network, as nodes: what `oddrow.nets.oddrow` does, rows first."""

from __future__ import annotations

import numpy as np

from oddrow.export.graph import FLOAT, Graph, Value
from oddrow.export.networks import Rows, apart, each_layer, inputs, surprise, total
from oddrow.nets.coder import MIDDLE, Coder
from oddrow.nets.memory import AT_NO_DISTANCE, TINY, Memory
from oddrow.nets.oddrow import LEAD, OddRow
from oddrow.nets.tails import Tail

# Kept rows that are looked at more closely, besides those that are asked for: the rough distances round.
SPARE = 8


def of_oddrow(graph: Graph, network: OddRow, rows: Rows) -> str:
    """The surprises of `OddRow.parts`: both distances added up, or the error's if that is clearly more."""
    distances, places = _nearest(graph, network.memory, rows)
    itself, only = _itself(graph, distances, places, network)
    found = _rarity(graph, network.tails[0], _mean_without(graph, distances, places, itself))
    if network.coder is not None and network.coded is not None:
        codes = _codes(graph, network.coder, rows)
        distance = _mean_without(graph, *_nearest(graph, network.coded, Rows(codes, [])), only)
        far = graph.add("Add", found, _rarity(graph, network.tails[1], distance))
        wrong = _rarity(graph, network.tails[2], _error(graph, network.coded, codes, network.coder))
        found = graph.add("Max", far, graph.add("Sub", wrong, np.float32(LEAD)))
    return graph.add("Squeeze", found, np.array([1]))


def _error(graph: Graph, coded: Memory, codes: str, coder: Coder) -> str:
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


def _codes(graph: Graph, coder: Coder, rows: Rows) -> str:
    """`Coder.codes`, (rows, codes)."""
    scaled = rows.numbers
    if scaled is not None:
        scaled = graph.add("Mul", graph.add("Sub", scaled, np.asarray(coder.center)), np.asarray(coder.scale))
    network, seen = coder.autoencoder, Rows(scaled, rows.categories)
    layers = each_layer(graph, network.stack, inputs(graph, network.embeddings, seen))
    rebuilt, logits = apart(graph, layers[-1], network)
    wrong = [] if scaled is None or rebuilt is None else [graph.add("Sub", scaled, rebuilt)]
    surprises = [surprise(graph, *category) for category in zip(logits, rows.categories, strict=True)]
    return graph.side_by_side([*wrong, *surprises, layers[MIDDLE]])


def _nearest(graph: Graph, memory: Memory, rows: Rows) -> tuple[str, str]:
    """`Memory.nearest`: distances (rows, nearest + 1) in rising order, and which kept rows these are."""
    n_found = memory.n_nearest + 1
    n_candidates = min(len(memory.numbers), n_found + SPARE)
    roughly = _roughly(graph, memory, rows)
    candidates = graph.add_several("TopK", 2, roughly, np.array([n_candidates]), largest=0)[1]
    exactly = graph.add("Sqrt", graph.add("Add", _exactly(graph, memory, rows, candidates), np.float32(TINY)))
    distances, order = graph.add_several("TopK", 2, exactly, np.array([n_found]), largest=0)
    return distances, graph.add("GatherElements", candidates, order, axis=1)


def _roughly(graph: Graph, memory: Memory, rows: Rows) -> str:
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


def _exactly(graph: Graph, memory: Memory, rows: Rows, candidates: str) -> str:
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
