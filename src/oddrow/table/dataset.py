"""Which rows of which tables: read, chosen by time, labelled, divided into those that train and those held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, TableError
from oddrow.outcomes import Outcomes
from oddrow.table.delimited import ReadOptions
from oddrow.table.history import History
from oddrow.table.join import Join, read_joined
from oddrow.table.parquet import Frame, MemoryBudget
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema, as_numbers
from oddrow.table.split import check_times, clock, orders_rows, rows_between, split_latest, split_random, wall_clock
from oddrow.table.table import Table
from oddrow.typing import Floats, Ints

# Enough rows to tell a clock from a column with a trend.
ROWS_RANKED = 10_000

RISING = 0.99


@dataclass(frozen=True)
class Dataset:
    """The rows of a table that were asked for, their numbers in the table, and what is known of each."""

    table: Table
    rows: Ints
    outcomes: Outcomes

    @property
    def normal(self) -> Dataset:
        """The rows that are not known anomalies."""
        return self.take(self.outcomes.normal)

    def take(self, rows: npt.NDArray[Any]) -> Dataset:
        """Some of these rows, by number (m,) or mask (n,)."""
        if rows.dtype == bool and rows.all():
            return self
        return Dataset(self.table.take(rows), self.rows[rows], self.outcomes.take(rows))


@dataclass(frozen=True)
class Split:
    """What `fit` learns from: rows to train on, rows held out; known anomalies are among both, and train nobody."""

    fitting: Dataset
    held_out: Dataset | None


def read_dataset(
    tables: str | Sequence[str],
    read: ReadOptions,
    roles: Roles,
    start: str | None,
    until: str | None,
    *,
    join: Join | None = None,
    history: History | None = None,
    history_roles: Roles | None = None,
    both: bool = False,
    labelled: bool = True,
    absent: Iterable[str] = (),
    room: MemoryBudget | None = None,
) -> Dataset:
    """Read tables and take the rows asked for, with labels (`both` classes must be there), weights, amounts, entities.

    The history is that of all rows that were read, by the time and label of `history_roles`, if others than `roles`. Of
    the roles named in `absent` the column may be absent; where rows need not be `labelled`, there is no y. With `room`,
    what does not fit into it stays on disk.
    """
    if room is not None and history is not None:
        raise ParameterError("--memory: [[history]] needs all rows in memory. Leave one of the two out.")
    table = read_joined(tables, read, join, room)
    roles = roles.without_absent(absent, _usable(table, roles.time))
    _check_roles(table, roles, start, until)
    table = with_history(table, history_roles or roles, history)
    rows = _rows_asked(table, roles.time, start, until)
    if not len(rows):
        raise no_row(table.source, roles.time or "", start, until)
    earliest = clock(table.frame[roles.time]).min() if roles.time is not None else 0.0
    table = table if len(rows) == table.n_rows else table.take(rows)
    if history is not None and roles.time is not None:
        table = _with_notes(table, earliest, roles, history, is_fitted=history_roles is not None)
    y = roles.labels(table.frame, both=both) if labelled and roles.label is not None else None
    return _dataset(table, rows, roles, y)


def select_from_block(table: Table, first: int, roles: Roles, start: str | None, until: str | None) -> Dataset:
    """The rows asked for of a part of a table that begins with row number `first`, without labels; perhaps none."""
    _check_roles(table, roles, start, until, first=first)
    rows = _rows_asked(table, roles.time, start, until)
    return _dataset(table if len(rows) == table.n_rows else table.take(rows), rows + first, roles, None)


def _check_roles(table: Table, roles: Roles, start: str | None, until: str | None, *, first: int = 0) -> None:
    roles.check(table.columns)
    if (start or until) and roles.time is None:
        raise ParameterError("--from and --until choose rows by a time column: say which with --time C.")
    if roles.time is not None:
        check_times(table.frame[roles.time], first=first)


def _rows_asked(table: Table, time: str | None, start: str | None, until: str | None) -> Ints:
    if time is None or not (start or until):
        return np.arange(table.n_rows)
    return np.flatnonzero(rows_between(table.frame[time], start, until))


def no_row(source: str, time: str, start: str | None, until: str | None) -> TableError:
    """The error for a span in which there is nothing."""
    return TableError(f"{source}: no row has {span(time, start, until)}.")


def _dataset(table: Table, rows: Ints, roles: Roles, y: Floats | None) -> Dataset:
    outcomes = Outcomes(
        y=y,
        weight=roles.weights(table.frame, rows),
        amount=roles.amounts(table.frame, rows),
        time=None if roles.time is None else wall_clock(table.frame[roles.time]),
        entity=roles.entities(table.frame),
        n_rows=len(rows),
    )
    return Dataset(table, rows, outcomes)


def _usable(table: Table, time: str | None) -> list[str]:
    """The columns, but for a time that orders nothing: the table's schema has more to say of it."""
    return [name for name in table.columns if name != time or orders_rows(table.frame[name])]


def _with_notes(chosen: Table, earliest: float, roles: Roles, history: History, *, is_fitted: bool) -> Table:
    """The chosen rows with notes on what their history may lack, or count twice.

    That the rows to fit begin where the table begins is as it must be; of other rows it is to be told.
    """
    notes = [chosen.note] if chosen.note else []
    first = clock(chosen.frame[roles.time or ""]).min()
    if first - earliest < history.reach and (is_fitted or first > earliest):
        notes.append(
            "The first rows taken have less past than their history reaches back, so that their scores mislead: give "
            "the earlier rows too, and choose those to take with --from."
        )
    if roles.id is not None and (n_repeated := int(chosen.frame[roles.id].is_duplicated().sum())):
        notes.append(
            f"column '{roles.id}': {n_repeated:,} rows share their id with another; their history counts both."
        )
    return replace(chosen, note="\n".join(notes))


def with_history(table: Table, roles: Roles, history: History | None) -> Table:
    """The table with what each of its entities did before each row."""
    if history is None:
        return table
    if history.needs_label and roles.label is not None and roles.label not in table.columns:
        raise TableError(
            f"column '{roles.label}' is not in the table, and the history counts known anomalies. Give it with what is "
            "known so far; of new rows it may be empty."
        )
    roles.check(table.columns)
    if roles.time is None:
        raise ParameterError("[[history]] is of what was before: say by which column rows are in time, with --time C.")
    if history.needs_label and roles.label is None:
        raise ParameterError("[[history]] counts known anomalies (risk): say which column knows them, with --label C.")
    y = roles.known_labels(table.frame) if history.needs_label else None
    return replace(table, frame=history.add(table.in_memory, roles.time, y))


def rising_with_time(frame: Frame, schema: Schema, time: str | None) -> list[str]:
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


def split_dataset(chosen: Dataset, roles: Roles, fraction: float, seed: int) -> Split:
    """Hold out a share of the rows: the latest ones where there is a time, else a random one of either class."""
    normal = np.flatnonzero(chosen.outcomes.normal)
    if roles.time is None:
        held_out = _drawn(normal, np.flatnonzero(chosen.outcomes.anomalous), fraction, seed)
    else:
        held_out = _latest(chosen.table.frame[roles.time], normal, fraction)
    return Split(chosen.take(~held_out), chosen.take(held_out)) if held_out.any() else Split(chosen, None)


def _drawn(normal: Ints, anomalous: Ints, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(normal) + len(anomalous), bool)
    for rows in (normal, anomalous):
        held_out[rows[split_random(len(rows), fraction, rng)[1]]] = True
    # Anomalies alone would be nothing to choose by.
    held_out &= held_out[normal].any()
    return held_out


def _latest(times: pl.Series, normal: Ints, fraction: float) -> npt.NDArray[np.bool_]:
    """The latest normal rows, and the anomalies as late as those: an anomaly is no training row there either."""
    _, latest = split_latest(times[normal], fraction)
    if not len(latest):
        return np.zeros(len(times), bool)
    return (times >= times[normal[latest]].min()).to_numpy()
