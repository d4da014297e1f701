"""Left join of a second table: every row stays and gets the columns of its partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from oddrow.errors import ParameterError, TableError, counted, first_names, raise_all
from oddrow.table.convert import as_text, describe_type
from oddrow.table.delimited import ReadOptions
from oddrow.table.invalid_values import missing_column
from oddrow.table.parquet import MemoryBudget
from oddrow.table.read import read_table, read_within_memory
from oddrow.table.table import Table


@dataclass(frozen=True)
class Join:
    """Name a table to join and the key that both tables share.

    Parameters
    ----------
    table : str
        Path or pattern of the second table.
    on : str
        Name of the key column.

    Examples
    --------
    >>> Join("devices.csv", on="card_id")
    Join(table='devices.csv', on='card_id')
    """

    table: str
    on: str

    @classmethod
    def of(cls, table: str | None, on: str | None) -> Join | None:
        """Return the join that two options ask for.

        Parameters
        ----------
        table : str or None
            Path or pattern of the second table.
        on : str or None
            Name of the key column.

        Returns
        -------
        Join or None
            None if neither is given.

        Raises
        ------
        ParameterError
            If only one is given.
        """
        if table and on:
            return cls(table, on)
        if table:
            raise ParameterError(f"--join {table} needs a key column that both tables have: --on KEY.")
        if on:
            raise ParameterError(f"--on {on} needs a second table: --join TABLE.")
        return None


def read_joined(
    tables: str | Path | Sequence[str | Path],
    read: ReadOptions,
    join: Join | None = None,
    memory: MemoryBudget | None = None,
) -> Table:
    """Read tables and join the second one, if any; with a memory budget, rows may stay on disk.

    A second table of text has its own header line. Of the options only `missing` applies to it too.
    """
    if memory is not None:
        if join is not None:
            raise ParameterError(f"--memory: rows on disk cannot be joined with {join.table}. Join the files first.")
        return read_within_memory(tables, read, memory)
    table = read_table(tables, header=read.header, names=read.names, missing=read.missing)
    if join is None:
        return table
    return left_join(table, read_table(join.table, missing=read.missing), join.on)


def left_join(table: Table, other: Table, on: str) -> Table:
    """Add the columns of a second table to each row that has a partner there.

    Parameters
    ----------
    table : Table
        Rows to keep, all of them and in order.
    other : Table
        Second table, with each key at most once.
    on : str
        Name of the key column. Keys of one kind match whatever their type: 3.0 is 3.

    Returns
    -------
    Table
        All columns. They are missing for rows without a partner, such as those whose key is missing. A row is synthetic
        if either part is.

    Raises
    ------
    TableError
        If the key is missing from a table, repeated in `other` or of another kind there, or if both tables have another
        column of the same name.

    Examples
    --------
    >>> payments = Table.from_frame(pl.DataFrame({"id": [3, 1, 2], "amount": [5.0, 7.5, 6.0]}))
    >>> devices = Table.from_frame(pl.DataFrame({"id": [1, 3], "device": ["phone", "desktop"]}))
    >>> left_join(payments, devices, "id").frame["device"].to_list()
    ['desktop', 'phone', None]
    """
    _check_columns(table, other, on)
    keys, other_keys = _comparable_keys(table, other, on)
    _check_unique(other_keys, other.source)
    partners = pl.DataFrame({"key": other_keys, "row": pl.int_range(len(other_keys), eager=True)})
    rows = pl.DataFrame({"key": keys}).join(partners, on="key", how="left", maintain_order="left")["row"]
    added = other.in_memory.drop(on).select(pl.all().gather(rows))
    synthetic = pl.Series(other.synthetic).gather(rows).fill_null(False).to_numpy()
    n_found = len(rows) - rows.null_count()
    return replace(
        table,
        frame=table.in_memory.hstack(added),
        source=f"{table.source} with {other.source}",
        synthetic=table.synthetic | synthetic,
        note=f"{n_found:,} of {counted(table.n_rows, 'row')} matched {other.source} on '{on}'.",
    )


def _check_columns(table: Table, other: Table, on: str) -> None:
    lacking = [part for part in (table, other) if on not in part.columns]
    raise_all([f"--on: {part.source}: {missing_column(on, part.columns)}" for part in lacking])
    shared = [name for name in other.columns if name in table.columns and name != on]
    if shared:
        raise TableError(
            f"{other.source}: besides the key '{on}', {table.source} has {counted(len(shared), 'column')} of the same "
            f"name ({first_names(shared)}). Rename or remove them in one of the two tables."
        )


def _comparable_keys(table: Table, other: Table, on: str) -> tuple[pl.Series, pl.Series]:
    """Return the keys of both tables: whole numbers and text as they are, all else as text, where 3.0 is 3."""
    keys, others = table.frame[on], other.frame[on]
    if keys.dtype == others.dtype and (keys.dtype.is_integer() or keys.dtype == pl.String):
        return keys, others
    kinds = {describe_type(key.dtype) for key in (keys, others) if key.null_count() < len(key)}
    texts = as_text(keys), as_text(others)
    if len(kinds) > 1 or texts[0] is None or texts[1] is None:
        raise TableError(
            f"--on: column '{on}': {describe_type(keys.dtype)} in {table.source} cannot be compared with "
            f"{describe_type(others.dtype)} in {other.source}. Write the key the same way in both tables."
        )
    return texts[0], texts[1]


def _check_unique(keys: pl.Series, source: str) -> None:
    known = keys.drop_nulls()
    repeated = known.filter(known.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        shown = first_names([str(value) for value in repeated[:3]])
        raise TableError(
            f"{source}: column '{keys.name}' repeats {counted(len(repeated), 'value')} ({shown}). "
            "Expected each key once, because a join would repeat rows. Keep one row per key."
        )
