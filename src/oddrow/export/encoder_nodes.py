"""The encoder as ONNX nodes: what `TableEncoder.transform` does, in float64 up to the last step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.column_encoding import (
    MAX_ENCODED,
    MISSING,
    SECONDS_PER_DAY,
    TIME_PARTS,
    CategoryColumn,
    NumberColumn,
    knot_deviates,
)
from oddrow.encoding.encoder import TableEncoder
from oddrow.export.graph import FLOAT, INT64, ML, Graph
from oddrow.typing import Floats, Ints

# Names of encoded numbers, as in `TableEncoder.number_sources_`, and the matrix (rows, names) that holds them.
Piece = tuple[list[tuple[str, str]], str]

MICROSECONDS = np.float64(1e6)

PER_DAY = np.float64(SECONDS_PER_DAY * 1e6)

DAYS_PER_WEEK = np.float64(7)

# 1 January 1970 was a Thursday.
DAYS_SINCE_MONDAY = np.float64(3)

# Larger arguments of the inverse hyperbolic sine are not squared, which would overflow: there it is a logarithm.
SQUARED_UP_TO = 1e100

# A boolean input accepts all of these texts.
SPELLINGS = {"true": ("true", "True", "TRUE", "1"), "false": ("false", "False", "FALSE", "0")}


def encoded_numbers(graph: Graph, encoder: TableEncoder, booleans: set[str]) -> str | None:
    """Add the encoded numbers (rows, numbers) float32 in the order of the encoder; None if there are none."""
    pieces = [*_number_pieces(graph, encoder), *_one_hot_pieces(graph, encoder, booleans)]
    if not pieces:
        return None
    places = {name: place for place, name in enumerate(name for names, _ in pieces for name in names)}
    matrix = graph.concat([matrix for _, matrix in pieces])
    order = [places[name] for name in encoder.number_sources_]
    return matrix if order == list(range(len(places))) else graph.columns(matrix, order)


def encoded_categories(graph: Graph, encoder: TableEncoder, booleans: set[str]) -> list[str]:
    """Add the level numbers (rows,) int64 of every category that has an embedding."""
    embedded = [column for column in encoder.category_columns_ if not column.one_hot]
    return [_level_numbers(graph, column, column.source in booleans) for column in embedded]


# Numbers


def _number_pieces(graph: Graph, encoder: TableEncoder) -> Iterator[Piece]:
    """Scale columns of the same kind together, so that a wide table needs hardly more nodes than a narrow one."""
    alike: dict[tuple[bool, float | None], list[NumberColumn]] = {}
    for column in encoder.number_columns_:
        if _cycle_of(column) in CYCLES:
            seconds = graph.as_column(column.source)
            yield from _fill_missing(graph, seconds, _cyclic_part(graph, seconds, column), [column])
        else:
            alike.setdefault((bool(column.knots), column.soft_limit), []).append(column)
    for (by_rank, soft_limit), columns in alike.items():
        values = graph.concat([_values(graph, column) for column in columns])
        scaled = _normal_scores(graph, values, columns) if by_rank else _scaled(graph, values, columns, soft_limit)
        yield from _fill_missing(graph, values, graph.add("Cast", scaled, to=FLOAT), columns)


def _values(graph: Graph, column: NumberColumn) -> str:
    """Add a number, or a time in days, as (rows, 1) float64."""
    values = graph.as_column(column.source)
    return values if column.part == "value" else graph.add("Div", _microseconds(graph, values), PER_DAY)


def _fill_missing(graph: Graph, values: str, encoded: str, columns: Sequence[NumberColumn]) -> Iterator[Piece]:
    """Replace missing values, then add an indicator for columns that had missing values in training."""
    missing = graph.add("IsNaN", values)
    filling = np.array([column.encoded_missing for column in columns], np.float32)
    yield [(column.source, column.part) for column in columns], graph.add("Where", missing, filling, encoded)
    flagged = [place for place, column in enumerate(columns) if column.has_missing]
    if flagged:
        flags = graph.columns(graph.add("Cast", missing, to=FLOAT), flagged)
        yield [(columns[place].source, "missing") for place in flagged], flags


def _scaled(graph: Graph, values: str, columns: Sequence[NumberColumn], soft_limit: float | None) -> str:
    centred = graph.add("Sub", values, np.array([column.center for column in columns]))
    scaled = graph.add("Div", centred, np.array([column.scale for column in columns]))
    if soft_limit is not None:
        limit = np.float64(soft_limit)
        scaled = graph.add("Mul", limit, _arcsinh(graph, graph.add("Div", scaled, limit)))
    return graph.add("Clip", scaled, np.float64(-MAX_ENCODED), np.float64(MAX_ENCODED))


def _arcsinh(graph: Graph, values: str) -> str:
    """Add sign(x) log(|x| + sqrt(x^2 + 1)): ONNX Runtime's own Asinh knows float32 only."""
    most, one = np.float64(SQUARED_UP_TO), np.float64(1)
    size = graph.add("Abs", values)
    near = graph.add("Min", size, most)
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", near, near), one))
    beyond = graph.add("Max", graph.add("Div", size, most), one)
    logarithms = [graph.add("Log", part) for part in (graph.add("Add", near, root), beyond)]
    return graph.add("Mul", graph.add("Sign", values), graph.add("Add", *logarithms))


# Numbers by rank: a piecewise linear function from knots to normal deviates


def _normal_scores(graph: Graph, values: str, columns: Sequence[NumberColumn]) -> str:
    """Find the knots around each value by binary search in all columns at once, then interpolate."""
    tables = _interpolation_tables(columns)
    n_places = tables.shape[2]
    most = np.finfo(np.float64).max / 2
    halves = graph.add("Clip", graph.add("Div", values, np.float64(2)), -most, most)
    place = _search(graph, halves, tables[0].ravel(), np.arange(len(columns)) * n_places, n_places)
    start, width, low, rise, tied = (graph.add("Gather", table.ravel(), place) for table in tables[1:])
    share = graph.add("Div", graph.add("Sub", halves, start), width)
    between = graph.add("Add", low, graph.add("Mul", share, rise))
    return graph.add("Where", graph.add("Equal", halves, start), tied, between)


def _search(graph: Graph, values: str, knots: Floats, firsts: Ints, n_places: int) -> str:
    """Find the last place (rows, columns) whose knot does not exceed the value; each column starts at its first."""
    place: str | Ints = firsts
    step = n_places // 2
    while step:
        further = graph.add("Add", place, np.int64(step))
        reached = graph.add("GreaterOrEqual", values, graph.add("Gather", knots, further))
        place = graph.add("Where", reached, further, place)
        step //= 2
    return str(place)


def _interpolation_tables(columns: Sequence[NumberColumn]) -> Floats:
    """Return six tables (6, columns, places), one place below all knots and one for each knot.

    They hold: the knot to search for; the start and the width of the line to the next knot; the deviate at its start
    and its rise; the deviate at the knot itself. All knots are halved, so that differences do not overflow.
    """
    tables = [_column_tables(column) for column in columns]
    # The binary search needs a power of two.
    n_places = 2 ** max(max(table.shape[1] for table in tables) - 1, 1).bit_length()
    padded = [np.pad(table, ((0, 0), (0, n_places - table.shape[1])), "edge") for table in tables]
    stacked = np.stack(padded, axis=1)
    for knots, table in zip(stacked[0], tables, strict=True):
        knots[table.shape[1] :] = np.inf
    return stacked


def _column_tables(column: NumberColumn) -> Floats:
    """Return the tables of one column, (6, distinct knots + 1). Tied knots get the mean of the outermost deviates."""
    deviates = knot_deviates(len(column.knots))
    knots, first, counts = np.unique(np.array(column.knots) / 2, return_index=True, return_counts=True)
    lowest, highest = deviates[first], deviates[first + counts - 1]
    start = np.concatenate([knots[:1], knots])
    width = np.concatenate([[1.0], np.diff(knots), [1.0]])
    low = np.concatenate([lowest[:1], highest])
    rise = np.concatenate([[0.0], lowest[1:] - highest[:-1], [0.0]])
    tied = np.concatenate([lowest[:1], (lowest + highest) / 2])
    return np.stack([np.concatenate([[-np.inf], knots]), start, width, low, rise, tied])


# Times


class TimeCycle(NamedTuple):
    """A repeating part of time: the node for the place of each moment in the cycle, and a moment for each place."""

    place: Callable[[Graph, str], str]
    moments: pl.Series


def _cycle_of(column: NumberColumn) -> str:
    """Return the cycle that a column is a part of: `hour` for `hour_sin`."""
    return column.part.rpartition("_")[0]


def _cyclic_part(graph: Graph, seconds: str, column: NumberColumn) -> str:
    """Look up the encoded sine or cosine of a time, (rows, 1) float32.

    A table gives NumPy's own digits. Computed in nodes, the last digits would differ, and between tied knots, such as
    those of full hours, a small difference becomes large.
    """
    name = _cycle_of(column)
    cycle = CYCLES[name]
    encoded = column.encode(TIME_PARTS[name](cycle.moments)[column.part])
    place = cycle.place(graph, _microseconds(graph, seconds))
    known = graph.add("Where", graph.add("IsNaN", place), np.float64(0), place)
    inside = graph.add("Clip", known, np.float64(0), np.float64(len(encoded) - 1))
    return graph.add("Gather", encoded.astype(np.float32), graph.add("Cast", inside, to=INT64))


def _microseconds(graph: Graph, seconds: str) -> str:
    """Convert seconds to whole microseconds, which float64 holds exactly until the year 2255."""
    return graph.add("Round", graph.add("Mul", seconds, MICROSECONDS))


def _day(graph: Graph, microseconds: str) -> str:
    return graph.add("Floor", graph.add("Div", microseconds, PER_DAY))


def _second_of_day(graph: Graph, microseconds: str) -> str:
    since_midnight = graph.add("Sub", microseconds, graph.add("Mul", _day(graph, microseconds), PER_DAY))
    return graph.add("Floor", graph.add("Div", since_midnight, MICROSECONDS))


def _day_of_week(graph: Graph, microseconds: str) -> str:
    since_monday = graph.add("Add", _day(graph, microseconds), DAYS_SINCE_MONDAY)
    weeks = graph.add("Floor", graph.add("Div", since_monday, DAYS_PER_WEEK))
    return graph.add("Sub", since_monday, graph.add("Mul", weeks, DAYS_PER_WEEK))


def _to_times(microseconds: npt.NDArray[np.float64]) -> pl.Series:
    return pl.Series(microseconds.astype(np.int64)).cast(pl.Datetime("us"))


CYCLES = {
    "hour": TimeCycle(_second_of_day, _to_times(np.arange(SECONDS_PER_DAY) * MICROSECONDS)),
    "weekday": TimeCycle(_day_of_week, _to_times((np.arange(DAYS_PER_WEEK) - DAYS_SINCE_MONDAY) * PER_DAY)),
}


# Categories


def _one_hot_pieces(graph: Graph, encoder: TableEncoder, booleans: set[str]) -> Iterator[Piece]:
    for column in (column for column in encoder.category_columns_ if column.one_hot and column.one_hot_names):
        levels = graph.as_column(_level_numbers(graph, column, column.source in booleans))
        named = np.arange(column.first_one_hot, len(column.names))
        is_level = graph.add("Cast", graph.add("Equal", levels, named), to=FLOAT)
        yield [(column.source, f"={level}") for level in column.one_hot_names], is_level


def _level_numbers(graph: Graph, column: CategoryColumn, is_boolean: bool) -> str:
    """Convert text to level numbers (rows,) int64. The empty text is missing."""
    numbers = {"": MISSING}
    for level, number in column.level_numbers.items():
        numbers |= dict.fromkeys(SPELLINGS.get(level, (level,)) if is_boolean else (level,), number)
    return graph.add(
        "LabelEncoder",
        column.source,
        domain=ML,
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=column.other_level,
    )
