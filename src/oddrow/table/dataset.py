"""Datasets: rows of tables, selected by time, with labels and history, split into training and held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, TableError
from oddrow.outcomes import Outcomes
from oddrow.table.convert import as_numbers
from oddrow.table.delimited import ReadOptions
from oddrow.table.history import History
from oddrow.table.join import Join, read_joined
from oddrow.table.parquet import Frame, MemoryBudget
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.table import Table
from oddrow.table.times import check_times, clock, orders_rows, rows_between
from oddrow.typing import Ints, Tell

# A column that only counts up has almost the ranks of the time column. This many rows tell it from a mere trend.
N_ROWS_RANKED = 10_000

MIN_RANK_CORRELATION = 0.99


@dataclass(frozen=True)
class Dataset:
    """Hold selected rows of a table, and what is known of each row besides its features.

    Parameters
    ----------
    table : Table
        The selected rows.
    rows : ndarray of int64, shape (n,)
        Their row numbers in the table that was read, from 0.
    outcomes : Outcomes
        Their labels, weights, amounts, times and entities.

    See Also
    --------
    read_dataset : Read a dataset from files.

    Examples
    --------
    >>> table = Table.from_frame(pl.DataFrame({"amount": [1.0, 2.5, 80.0]}))
    >>> dataset = Dataset(table, np.arange(3), Outcomes(y=np.array([0.0, np.nan, 1.0])))
    >>> dataset.normal.rows
    array([0, 1])
    """

    table: Table
    rows: Ints
    outcomes: Outcomes

    @property
    def normal(self) -> Dataset:
        """Rows that are not known anomalies."""
        return self.take(self.outcomes.normal)

    def take(self, rows: npt.NDArray[Any]) -> Dataset:
        """Return some of the rows.

        Parameters
        ----------
        rows : ndarray of int64, shape (m,), or ndarray of bool, shape (n,)
            Positions, or a mask.

        Returns
        -------
        Dataset
            The rows in that order.
        """
        if rows.dtype == bool and rows.all():
            return self
        return Dataset(self.table.take(rows), self.rows[rows], self.outcomes.take(rows))


def read_dataset(
    tables: str | Path | Sequence[str | Path],
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
    memory: MemoryBudget | None = None,
) -> Dataset:
    r"""Read tables, and select rows by time.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Paths or patterns.
    read : ReadOptions
        How to read text files.
    roles : Roles
        Columns with a role.
    start, until : str or None
        Select the rows with start <= time < until: numbers or ISO dates, None for no bound.
    join : Join, optional
        Second table to join.
    history : History, optional
        Features to add from what each entity did before, counted over all rows that were read.
    history_roles : Roles, optional
        Roles whose time and label the history uses, if not `roles`.
    both : bool, default False
        Require labelled rows of both classes.
    labelled : bool, default True
        Read the labels.
    absent : iterable of str, optional
        Roles whose column may be absent.
    memory : MemoryBudget, optional
        Memory to stay within. Rows that do not fit stay on disk.

    Returns
    -------
    Dataset
        The selected rows.

    Raises
    ------
    TableError
        If the tables cannot be read, lack a column, hold unusable labels, times, weights or amounts, or no row is
        selected.
    ParameterError
        If the options contradict each other.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.csv"
    >>> _ = path.write_text("day,amount,fraud\n1,5.0,0\n2,7.5,1\n3,6.0,0\n")
    >>> read_dataset(str(path), ReadOptions(), Roles(label="fraud", time="day"), "2", None).rows
    array([1, 2])
    """
    if memory is not None and history is not None:
        raise ParameterError("--memory: [[history]] needs all rows in memory. Remove one of the two.")
    table = read_joined(tables, read, join, memory)
    # If values without an order may count as an absent time, the schema will say more about them than an error here.
    usable = [name for name in table.columns if name != roles.time or orders_rows(table.frame[name])]
    roles = roles.without_absent(absent, usable)
    _check_roles(table, roles, start, until)
    table = with_history(table, history_roles or roles, history)
    rows = _selected_rows(table, roles.time, start, until)
    if not len(rows):
        raise no_rows_between(table.source, roles.time or "", start, until)
    earliest = clock(table.frame[roles.time]).min() if roles.time is not None else 0.0
    table = table if len(rows) == table.n_rows else table.take(rows)
    if history is not None and roles.time is not None:
        table = _with_history_notes(table, earliest, roles, history, is_fitted=history_roles is not None)
    y = roles.labels(table.frame, both=both) if labelled and roles.label is not None else None
    return Dataset(table, rows, roles.outcomes(table.frame, rows, y))


def select_from_block(table: Table, first: int, roles: Roles, start: str | None, until: str | None) -> Dataset:
    """Select rows by time, perhaps none, from the part of a table that starts with row number `first`; no labels."""
    _check_roles(table, roles, start, until, first=first)
    rows = _selected_rows(table, roles.time, start, until)
    table = table if len(rows) == table.n_rows else table.take(rows)
    return Dataset(table, rows + first, roles.outcomes(table.frame, rows + first))


def _check_roles(table: Table, roles: Roles, start: str | None, until: str | None, *, first: int = 0) -> None:
    roles.check(table.columns)
    if (start or until) and roles.time is None:
        raise ParameterError("--from and --until need a time column: --time COLUMN.")
    if roles.time is not None:
        check_times(table.frame[roles.time], first=first)


def _selected_rows(table: Table, time: str | None, start: str | None, until: str | None) -> Ints:
    if time is None or not (start or until):
        return np.arange(table.n_rows)
    return np.flatnonzero(rows_between(table.frame[time], start, until))


def no_rows_between(source: str, time: str, start: str | None, until: str | None) -> TableError:
    """Return the error for bounds that select no row."""
    return TableError(f"{source}: no row has {describe_span(time, start, until)}.")


def describe_span(time: str, start: str | None, until: str | None) -> str:
    """Return the bounds as a condition.

    >>> describe_span("day", "3", None), describe_span("day", "3", "9")
    ('day >= 3', '3 <= day < 9')
    """
    if start is None:
        return f"{time} < {until}"
    return f"{time} >= {start}" if until is None else f"{start} <= {time} < {until}"


# History


def with_history(table: Table, roles: Roles, history: History | None) -> Table:
    """Add the history features, if any, to every row."""
    if history is None:
        return table
    if history.needs_label and roles.label is not None and roles.label not in table.columns:
        raise TableError(
            f"column '{roles.label}' is not in the table, but the history counts known anomalies. "
            "Add the column with the labels known so far; it may be empty for new rows."
        )
    roles.check(table.columns)
    if roles.time is None:
        raise ParameterError("[[history]] needs a time column: --time COLUMN.")
    if history.needs_label and roles.label is None:
        raise ParameterError("[[history]]: the feature risk counts known anomalies and needs a label: --label COLUMN.")
    y = roles.known_labels(table.frame) if history.needs_label else None
    return replace(table, frame=history.add(table.in_memory, roles.time, y))


def _with_history_notes(selected: Table, earliest: float, roles: Roles, history: History, *, is_fitted: bool) -> Table:
    """Note which of the selected rows have too short a history or count twice.

    Training rows usually start where the table starts; only for other rows is the missing history worth a note.
    """
    notes = [selected.note] if selected.note else []
    first = clock(selected.frame[roles.time or ""]).min()
    if first - earliest < history.reach and (is_fitted or first > earliest):
        notes.append(
            "The first selected rows have a shorter history than the model looks back, so their scores are unreliable. "
            "Pass the earlier rows as well, and select the rows you need with --from."
        )
    if roles.id is not None and (n_repeated := int(selected.frame[roles.id].is_duplicated().sum())):
        notes.append(f"column '{roles.id}': {n_repeated:,} rows share an id; the history counts every one of them.")
    return replace(selected, note="\n".join(notes))


# What users should know about the columns


def tell_columns(table: Table, schema: Schema, time: str | None, tell: Tell) -> None:
    """Report the note of a table, its schema, and the columns that only increase with time."""
    if table.note:
        tell(table.note)
    tell(schema)
    for name in columns_rising_with_time(table.frame, schema, time):
        tell(f"'{name}' increases with --time, so every later row will look odd. To leave it out: --drop {name}")


def columns_rising_with_time(frame: Frame, schema: Schema, time: str | None) -> list[str]:
    """Return the numeric columns whose ranks are almost those of the time: counters, clocks, row numbers.

    >>> frame = pl.DataFrame({"day": [1, 2, 3, 4], "clock": [7, 9, 11, 16], "amount": [2, 1, 4, 3]})
    >>> columns_rising_with_time(frame, Schema.infer(frame), "day")
    ['clock']
    """
    names = [column.name for column in schema.features if column.kind == "numeric" and column.name != time]
    if time is None or not names:
        return []
    rows = frame.gather_every(-(-frame.height // N_ROWS_RANKED))
    ranks = rows[time].rank()
    numbers = {name: values for name in names if (values := as_numbers(rows[name])) is not None}
    correlations = {name: pl.select(pl.corr(ranks, values.rank())).item() for name, values in numbers.items()}
    return [name for name, found in correlations.items() if found is not None and found > MIN_RANK_CORRELATION]
