"""Inspect: which kind each column of a table has, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oddrow.errors import TableError
from oddrow.table.dataset import with_history
from oddrow.table.join import read_joined
from oddrow.table.schema import Schema
from oddrow.typing import Tell, silent
from oddrow.workflow.request import tell_note
from oddrow.workflow.settings import Settings


def inspect(tables: str | Path | Sequence[str | Path], settings: Settings, *, tell: Tell = silent) -> Schema:
    """Report the kind of each column, and values that `fit` would refuse.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    settings : Settings
        How to read the tables, and the roles of the columns.
    tell : callable, optional
        Receives what is reported: lines of text, and the schema.

    Returns
    -------
    Schema
        The columns with their kinds, and the reasons for them.

    Raises
    ------
    TableError
        If a file cannot be read or a column is missing.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from oddrow import simulate, workflow
    >>> with TemporaryDirectory() as folder:
    ...     simulate(400, random_state=0).write_parquet(f"{folder}/payments.parquet")
    ...     schema = workflow.inspect(f"{folder}/payments.parquet", workflow.Settings())
    >>> [(column.name, column.kind) for column in schema.columns[:2]]
    [('transaction_id', 'identifier'), ('time', 'time')]
    """
    table = read_joined(tables, settings.read, settings.join)
    settings.roles.check(table.columns)
    table = with_history(table, settings.roles, settings.history)
    schema = settings.schema_of(table)
    tell(f"{table.source}: {table.n_rows:,} rows, {len(table.columns):,} columns")
    tell_note(table, tell)
    tell(schema)
    try:
        schema.conform(table.frame)
    except TableError as error:
        tell(f"fit would refuse this table:\n{error}")
    return schema
