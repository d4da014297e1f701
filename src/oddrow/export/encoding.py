"""What `TableEncoder.transform` does, as nodes: numbers (rows, numbers) float32, and the levels of categories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.columns import (
    LARGEST_ENCODED,
    MISSING,
    RARE,
    SPECIAL_LEVELS,
    UNEXPECTED_MISSING,
    UNSEEN,
    CategoryColumn,
    NumberColumn,
    knot_deviates,
)
from oddrow.encoding.encoder import TableEncoder
from oddrow.encoding.times import SECONDS_PER_DAY, TIME_PARTS
from oddrow.export.graph import FLOAT, INT64, ML, Graph
from oddrow.typing import Floats

MICROSECONDS = np.float64(1e6)

PER_DAY = np.float64(SECONDS_PER_DAY * 1e6)

DAYS_PER_WEEK = np.float64(7)

# The first of January 1970 was a Thursday.
DAYS_SINCE_MONDAY = np.float64(3)


class Circle(NamedTuple):
    """What comes round again: the places (rows, 1) of moments on it, and one moment for each of its places."""

    place: Callable[[Graph, str], str]
    moments: pl.Series


def moments(graph: Graph, seconds: str) -> str:
    """Seconds as whole microseconds, as a table has them: float64 holds them exactly until the year 2255."""
    return graph.add("Round", graph.add("Mul", seconds, MICROSECONDS))


def days(graph: Graph, seconds: str) -> str:
    """The part `elapsed`."""
    return graph.add("Div", moments(graph, seconds), PER_DAY)


def looked_up(graph: Graph, seconds: str, column: NumberColumn) -> str:
    """The sine or cosine of a time as encoded numbers (rows, 1) float32, out of a table of all of them.

    Nodes would have other last digits than NumPy, and among tied knots, as those of full hours are, that is far away.
    """
    circle = column.part.rpartition("_")[0]
    encoded = column.encode(TIME_PARTS[circle](CIRCLES[circle].moments)[column.part])
    place = CIRCLES[circle].place(graph, moments(graph, seconds))
    known = graph.add("Where", graph.add("IsNaN", place), np.float64(0), place)
    inside = graph.add("Clip", known, np.float64(0), np.float64(len(encoded) - 1))
    return graph.add("Gather", encoded.astype(np.float32), graph.add("Cast", inside, to=INT64))


def is_on_circle(column: NumberColumn) -> bool:
    """Whether a column is a part of a time that comes round again."""
    return column.part.rpartition("_")[0] in CIRCLES


def _second_of_day(graph: Graph, moments: str) -> str:
    since_midnight = graph.add("Sub", moments, graph.add("Mul", _day(graph, moments), PER_DAY))
    return graph.add("Floor", graph.add("Div", since_midnight, MICROSECONDS))


def _day_of_week(graph: Graph, moments: str) -> str:
    since_monday = graph.add("Add", _day(graph, moments), DAYS_SINCE_MONDAY)
    weeks = graph.add("Floor", graph.add("Div", since_monday, DAYS_PER_WEEK))
    return graph.add("Sub", since_monday, graph.add("Mul", weeks, DAYS_PER_WEEK))


def _day(graph: Graph, moments: str) -> str:
    return graph.add("Floor", graph.add("Div", moments, PER_DAY))


def _as_times(microseconds: npt.NDArray[np.float64]) -> pl.Series:
    return pl.Series(microseconds.astype(np.int64)).cast(pl.Datetime("us"))


CIRCLES = {
    "hour": Circle(_second_of_day, _as_times(np.arange(SECONDS_PER_DAY) * MICROSECONDS)),
    "weekday": Circle(_day_of_week, _as_times((np.arange(DAYS_PER_WEEK) - DAYS_SINCE_MONDAY) * PER_DAY)),
}

# Names of encoded numbers, as in `TableEncoder.number_sources_`, and the matrix (rows, names) that holds them.
Piece = tuple[list[tuple[str, str]], str]

# An inverse hyperbolic sine squares its argument up to here, and is a logarithm beyond.
SQUARED_UP_TO = 1e100

# Texts that mean true and false to whoever writes them another way.
SPELLINGS = {"true": ("true", "True", "TRUE", "1"), "false": ("false", "False", "FALSE", "0")}


def encoded_numbers(graph: Graph, encoder: TableEncoder, booleans: set[str]) -> str | None:
    """All encoded numbers (rows, numbers) float32 in the encoder's order; None where there are none."""
    pieces = [*_number_pieces(graph, encoder), *_one_hot_pieces(graph, encoder, booleans)]
    if not pieces:
        return None
    places = {name: place for place, name in enumerate(name for names, _ in pieces for name in names)}
    together = graph.side_by_side([matrix for _, matrix in pieces])
    order = [places[name] for name in encoder.number_sources_]
    return together if order == list(range(len(places))) else graph.columns(together, order)


def encoded_categories(graph: Graph, encoder: TableEncoder, booleans: set[str]) -> list[str]:
    """The level numbers (rows,) int64 of every category that has an embedding."""
    embedded = [column for column in encoder.category_columns_ if not column.one_hot]
    return [_levels(graph, column, column.source in booleans) for column in embedded]


def _number_pieces(graph: Graph, encoder: TableEncoder) -> Iterator[Piece]:
    """Columns that are scaled alike go together, so that a wide table takes hardly more nodes than a narrow one."""
    ways: dict[tuple[bool, float | None], list[NumberColumn]] = {}
    for column in encoder.number_columns_:
        if is_on_circle(column):
            seconds = graph.as_column(column.source)
            yield from _with_missing(graph, seconds, looked_up(graph, seconds, column), [column])
        else:
            ways.setdefault((bool(column.knots), column.soft_limit), []).append(column)
    for (by_rank, soft_limit), columns in ways.items():
        values = graph.side_by_side([_values(graph, column) for column in columns])
        scaled = _deviates(graph, values, columns) if by_rank else _scaled(graph, values, columns, soft_limit)
        yield from _with_missing(graph, values, graph.add("Cast", scaled, to=FLOAT), columns)


def _values(graph: Graph, column: NumberColumn) -> str:
    """A number, or the days of a time, (rows, 1) float64."""
    values = graph.as_column(column.source)
    return values if column.part == "value" else days(graph, values)


def _with_missing(graph: Graph, values: str, encoded: str, columns: Sequence[NumberColumn]) -> Iterator[Piece]:
    """Encoded numbers with something in place of the missing ones, then 1 where expected ones are missing."""
    missing = graph.add("IsNaN", values)
    filling = np.array([0 if column.has_missing else UNEXPECTED_MISSING for column in columns], np.float32)
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
    return graph.add("Clip", scaled, np.float64(-LARGEST_ENCODED), np.float64(LARGEST_ENCODED))


def _arcsinh(graph: Graph, values: str) -> str:
    """sign(x) log(|x| + sqrt(x^2 + 1)): ONNX Runtime has its own for float32 alone."""
    most, one = np.float64(SQUARED_UP_TO), np.float64(1)
    size = graph.add("Abs", values)
    near = graph.add("Min", size, most)
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", near, near), one))
    beyond = graph.add("Max", graph.add("Div", size, most), one)
    logarithms = [graph.add("Log", part) for part in (graph.add("Add", near, root), beyond)]
    return graph.add("Mul", graph.add("Sign", values), graph.add("Add", *logarithms))


def _deviates(graph: Graph, values: str, columns: Sequence[NumberColumn]) -> str:
    """Places among knots as normal deviates: a binary search of all columns at once, then a straight line."""
    tables = _tables(columns)
    n_places = tables.shape[2]
    most = np.finfo(np.float64).max / 2
    halves = graph.add("Clip", graph.add("Div", values, np.float64(2)), -most, most)
    place = _search(graph, halves, tables[0].ravel(), np.arange(len(columns)) * n_places, n_places)
    start, width, low, rise, tied = (graph.add("Gather", table.ravel(), place) for table in tables[1:])
    share = graph.add("Div", graph.add("Sub", halves, start), width)
    between = graph.add("Add", low, graph.add("Mul", share, rise))
    return graph.add("Where", graph.add("Equal", halves, start), tied, between)


def _search(graph: Graph, values: str, knots: Floats, firsts: npt.NDArray[np.int64], n_places: int) -> str:
    """The last place (rows, columns) whose knot is not above the value; a column's places begin at its first."""
    place: str | npt.NDArray[np.int64] = firsts
    step = n_places // 2
    while step:
        further = graph.add("Add", place, np.int64(step))
        reached = graph.add("GreaterOrEqual", values, graph.add("Gather", knots, further))
        place = graph.add("Where", reached, further, place)
        step //= 2
    return str(place)


def _tables(columns: Sequence[NumberColumn]) -> Floats:
    """For every place below, at or above a knot, (6, columns, places): the knot to search by; then where the line to
    the next knot starts, how wide it is, from which deviate it rises, by how much; and the deviate at the knot itself.
    """
    lines = [_lines(column) for column in columns]
    # A search by halves wants a power of two.
    n_places = 2 ** max(max(line.shape[1] for line in lines) - 1, 1).bit_length()
    padded = [np.pad(line, ((0, 0), (0, n_places - line.shape[1])), "edge") for line in lines]
    tables = np.stack(padded, axis=1)
    for table, line in zip(tables[0], lines, strict=True):
        table[line.shape[1] :] = np.inf
    return tables


def _lines(column: NumberColumn) -> Floats:
    """The tables of one column, (6, distinct knots + 1): place 0 is below them all.

    Where knots are tied, the deviate is the middle of the first and the last one's.
    """
    deviates = knot_deviates(len(column.knots))
    knots, first, counts = np.unique(np.array(column.knots) / 2, return_index=True, return_counts=True)
    lowest, highest = deviates[first], deviates[first + counts - 1]
    start = np.concatenate([knots[:1], knots])
    width = np.concatenate([[1.0], np.diff(knots), [1.0]])
    low = np.concatenate([lowest[:1], highest])
    rise = np.concatenate([[0.0], lowest[1:] - highest[:-1], [0.0]])
    tied = np.concatenate([lowest[:1], (lowest + highest) / 2])
    return np.stack([np.concatenate([[-np.inf], knots]), start, width, low, rise, tied])


def _one_hot_pieces(graph: Graph, encoder: TableEncoder, booleans: set[str]) -> Iterator[Piece]:
    for column in (column for column in encoder.category_columns_ if column.one_hot and column.one_hot_names):
        levels = graph.as_column(_levels(graph, column, column.source in booleans))
        named = np.arange(len(column.names) - len(column.one_hot_names), len(column.names))
        is_level = graph.add("Cast", graph.add("Equal", levels, named), to=FLOAT)
        yield [(column.source, f"={level}") for level in column.one_hot_names], is_level


def _levels(graph: Graph, column: CategoryColumn, is_boolean: bool) -> str:
    """Text as level numbers (rows,) int64, the empty text as missing."""
    numbers = {"": MISSING}
    for number, level in enumerate(column.levels, len(SPECIAL_LEVELS)):
        numbers |= dict.fromkeys(SPELLINGS.get(level, (level,)) if is_boolean else (level,), number)
    return graph.add(
        "LabelEncoder",
        column.source,
        domain=ML,
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=RARE if column.has_rare else UNSEEN,
    )
