"""A second table beside the first: every row stays, and gets the columns of its partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from oddrow.errors import ParameterError, TableError, counted, first_names, raise_all
from oddrow.table.delimited import ReadOptions
from oddrow.table.parquet import MemoryBudget
from oddrow.table.read import read_table, read_within
from oddrow.table.schema import as_text, missing_column, spoken_type
from oddrow.table.table import Table


@dataclass(frozen=True)
class Join:
    """Which table to put beside the one that is read, and the column that both share."""

    table: str
    on: str

    @classmethod
    def of(cls, table: str | None, on: str | None) -> Join | None:
        """The join that two options ask for, None where neither was given; raises where one is missing."""
        if table and on:
            return cls(table, on)
        if table:
            raise ParameterError(f"--join {table}: by which column? Name one that both tables have: --on KEY.")
        if on:
            raise ParameterError(f"--on {on} means nothing without a second table: --join TABLE.")
        return None


def read_joined(
    tables: str | Sequence[str], read: ReadOptions, join: Join | None = None, room: MemoryBudget | None = None
) -> Table:
    """Read tables, and beside them the one to join, if any; with `room`, what does not fit into it stays on disk.

    The second table has its own header line, if it is text; of the options only `missing` holds for it too.
    """
    if room is not None:
        if join is not None:
            raise ParameterError(f"--memory: {join.table} can only be joined to rows in memory. Join the files before.")
        return read_within(tables, read, room)
    table = read_table(tables, **vars(read))
    if join is None:
        return table
    return left_join(table, read_table(join.table, missing=read.missing), join.on)


def left_join(table: Table, other: Table, on: str) -> Table:
    """Every row of `table`, in order, with the columns of the row of `other` that has the same key.

    Rows without a partner, a missing key among them, have missing values. A row is synthetic if either part is.
    Raises `TableError` where the key is absent, repeated in `other` or of another kind there, or where another column
    is in both.

    >>> payments = Table.from_frame(pl.DataFrame({"id": [3, 1, 2], "amount": [5.0, 7.5, 6.0]}))
    >>> devices = Table.from_frame(pl.DataFrame({"id": [1, 3], "device": ["phone", "desktop"]}))
    >>> left_join(payments, devices, "id").frame["device"].to_list()
    ['desktop', 'phone', None]
    """
    _check_columns(table, other, on)
    keys, others = _comparable(table, other, on)
    _check_not_repeated(others, other.source)
    places = _places(keys, others)
    beside = other.in_memory.drop(on).select(pl.all().gather(places))
    n_found = len(places) - places.null_count()
    marks = pl.Series(other.synthetic).gather(places).fill_null(False).to_numpy()
    return replace(
        table,
        frame=table.in_memory.hstack(beside),
        source=f"{table.source} with {other.source}",
        synthetic=table.synthetic | marks,
        note=f"{n_found:,} of {counted(table.n_rows, 'row')} have a partner in {other.source} by '{on}'.",
    )


def _check_columns(table: Table, other: Table, on: str) -> None:
    lacking = [part for part in (table, other) if on not in part.columns]
    raise_all([f"--on: {part.source}: {missing_column(on, part.columns)}" for part in lacking])
    shared = [name for name in other.columns if name in table.columns and name != on]
    if shared:
        raise TableError(
            f"{other.source}: besides the key '{on}', {table.source} has {counted(len(shared), 'column')} of the same "
            f"name ({first_names(shared)}). Rename or drop them in one of the two tables."
        )


def _comparable(table: Table, other: Table, on: str) -> tuple[pl.Series, pl.Series]:
    """Both keys as they are compared: whole numbers and text as they are, other pairs as text, in which 3.0 is 3."""
    keys, others = table.frame[on], other.frame[on]
    if keys.dtype == others.dtype and (keys.dtype.is_integer() or keys.dtype == pl.String):
        return keys, others
    kinds = {spoken_type(key.dtype) for key in (keys, others) if key.null_count() < len(key)}
    texts = as_text(keys), as_text(others)
    if len(kinds) > 1 or texts[0] is None or texts[1] is None:
        raise TableError(
            f"--on: column '{on}': {spoken_type(keys.dtype)} in {table.source} cannot be compared with "
            f"{spoken_type(others.dtype)} in {other.source}. Write the key alike in both tables."
        )
    return texts[0], texts[1]


def _check_not_repeated(keys: pl.Series, source: str) -> None:
    known = keys.drop_nulls()
    repeated = known.filter(known.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        shown = first_names([str(value) for value in repeated[:3]])
        raise TableError(
            f"{source}: column '{keys.name}' repeats {counted(len(repeated), 'value')} ({shown}). "
            "Expected each key once, or joining would multiply rows. Keep one row for each."
        )


def _places(keys: pl.Series, others: pl.Series) -> pl.Series:
    """For each key the place of its equal among the others (n,), null where there is none."""
    places = pl.DataFrame({"key": others, "place": pl.int_range(len(others), eager=True)})
    return pl.DataFrame({"key": keys}).join(places, on="key", how="left", maintain_order="left")["place"]
