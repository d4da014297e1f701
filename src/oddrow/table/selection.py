"""Which rows of which tables: read, chosen by time, labelled, divided into those that train and those held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, TableError
from oddrow.table.join import Join, read_joined
from oddrow.table.read import ReadOptions
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema, as_numbers
from oddrow.table.split import check_times, rows_between, split_latest, split_random
from oddrow.table.table import Table

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# Enough rows to tell a clock from a column with a trend.
ROWS_RANKED = 10_000
RISING = 0.99


@dataclass(frozen=True)
class Selection:
    """The rows of a table that were asked for, with their labels, weights and places in the table."""

    table: Table
    rows: Rows
    y: Floats | None
    weight: Floats | None

    @property
    def normal(self) -> Selection:
        """The rows not known to be anomalous."""
        return self if self.y is None else self.take(self.y != 1)

    def take(self, rows: npt.NDArray[Any]) -> Selection:
        """Some of these rows, by number (m,) or mask (n,)."""
        y = None if self.y is None else self.y[rows]
        weight = None if self.weight is None else self.weight[rows]
        return Selection(self.table.take(rows), self.rows[rows], y, weight)


@dataclass(frozen=True)
class Division:
    """What `fit` learns from: rows to train on (known anomalies among them, to be left out), rows held out."""

    fitting: Selection
    held_out: Selection | None


def read_selection(
    tables: str | Sequence[str],
    read: ReadOptions,
    roles: Roles,
    start: str | None,
    until: str | None,
    *,
    join: Join | None = None,
    both: bool = False,
) -> Selection:
    """Read tables and take the rows asked for, with labels (`both` classes must be there) and weights."""
    table = read_joined(tables, read, join)
    roles.check(table.columns)
    if (start or until) and roles.time is None:
        raise ParameterError("--from and --until choose rows by a time column: say which with --time C.")
    rows = np.arange(table.n_rows)
    if roles.time is not None:
        check_times(table.frame[roles.time])
    if roles.time is not None and (start or until):
        rows = np.flatnonzero(rows_between(table.frame[roles.time], start, until))
        if not len(rows):
            raise TableError(f"{table.source}: no row has {span(roles.time, start, until)}.")
        table = table.take(rows)
    y = None if roles.label is None else roles.labels(table.frame, both=both)
    return Selection(table, rows, y, roles.weights(table.frame, rows))


def rising_with_time(frame: pl.DataFrame, schema: Schema, time: str | None) -> list[str]:
    """The numeric columns whose ranks are almost those of the time column: counters, clocks, row numbers.

    >>> frame = pl.DataFrame({"day": [1, 2, 3, 4], "clock": [7, 9, 11, 16], "amount": [2, 1, 4, 3]})
    >>> rising_with_time(frame, Schema.infer(frame), "day")
    ['clock']
    """
    names = [column.name for column in schema.features if column.kind == "numeric" and column.name != time]
    if time is None or not names:
        return []
    rows = frame.gather_every(-(-frame.height // ROWS_RANKED))
    ranks = rows[time].rank()
    numbers = {name: as_numbers(rows[name]) for name in names}
    columns = {name: values for name, values in numbers.items() if values is not None}
    alike = {name: pl.select(pl.corr(ranks, values.rank())).item() for name, values in columns.items()}
    return [name for name, correlation in alike.items() if correlation is not None and correlation > RISING]


def tell_columns(table: Table, schema: Schema, time: str | None, tell: Callable[[Any], None]) -> None:
    """Tell how the table came about, what its columns are taken for, and which of them only count up with time."""
    if table.note:
        tell(table.note)
    tell(schema)
    for name in rising_with_time(table.frame, schema, time):
        tell(f"'{name}' rises with --time: every later row will look odd by it. To leave it out: --drop {name}")


def span(time: str, start: str | None, until: str | None) -> str:
    """The rows asked for, in words.

    >>> span("day", "3", None), span("day", "3", "9")
    ('day >= 3', '3 <= day < 9')
    """
    if start is None:
        return f"{time} < {until}"
    return f"{time} >= {start}" if until is None else f"{start} <= {time} < {until}"


def divide(chosen: Selection, roles: Roles, fraction: float, seed: int) -> Division:
    """Hold out a share of the rows not known to be anomalous: the latest ones where there is a time, else at random."""
    normal = np.arange(len(chosen.rows)) if chosen.y is None else np.flatnonzero(chosen.y != 1)
    if roles.time is not None:
        _, drawn = split_latest(chosen.table.frame[roles.time][normal], fraction)
    else:
        _, drawn = split_random(len(normal), fraction, np.random.default_rng(seed))
    if not len(drawn):
        return Division(chosen, None)
    held_out = np.zeros(len(chosen.rows), dtype=bool)
    held_out[normal[drawn]] = True
    fitting = ~held_out
    if roles.time is not None:
        # An anomaly later than the first held-out row is no training row either.
        times = chosen.table.frame[roles.time]
        fitting &= (times < times.filter(pl.Series(held_out)).min()).to_numpy()
    return Division(chosen.take(fitting), chosen.take(held_out))
