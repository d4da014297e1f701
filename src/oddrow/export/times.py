"""The parts of a time as nodes: seconds since 1970 in, float64 out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.export.graph import INT64, Graph
from oddrow.table.columns import NumberColumn
from oddrow.table.times import SECONDS_PER_DAY, TIME_PARTS

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
