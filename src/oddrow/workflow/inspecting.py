"""Inspecting: what each column of a table is taken for, and why."""

from __future__ import annotations

from collections.abc import Sequence

from oddrow.errors import TableError
from oddrow.table.dataset import with_history
from oddrow.table.join import read_joined
from oddrow.table.schema import Schema
from oddrow.typing import Tell, silent
from oddrow.workflow.request import tell_note
from oddrow.workflow.settings import Settings


def inspect(tables: str | Sequence[str], settings: Settings, *, tell: Tell = silent) -> Schema:
    """Tell what each column of a table is taken for, and which values do not fit; nothing is refused."""
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
