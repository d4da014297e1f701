"""Write tables as Parquet or CSV, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from oddrow.errors import TableError
from oddrow.files import check_output_file, replaced_file

WRITERS: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".csv": lambda frame, path: frame.write_csv(path),
}

# A sink writes rows as they come, so that only a few blocks are in memory.
SINKS: dict[str, Callable[[pl.LazyFrame, Path], Any]] = {
    ".parquet": lambda rows, path: rows.sink_parquet(path),
    ".csv": lambda rows, path: rows.sink_csv(path),
}


def check_output_table(path: Path) -> None:
    """Raise `TableError` if no table can be written to this path; call it before the work, not after."""
    if path.suffix not in WRITERS:
        raise TableError(f"{path}: oddrow does not write files of this ending. Expected {' or '.join(WRITERS)}.")
    check_output_file(path)


def write_table(frame: pl.DataFrame, path: str | Path) -> None:
    r"""Write a frame to a file, whole or not at all.

    Parameters
    ----------
    frame : polars.DataFrame
        The rows.
    path : str or Path
        File to write, ending in `.parquet` or `.csv`. An existing file is replaced once all rows are written.

    Raises
    ------
    TableError
        If the file has another ending or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
    >>> write_table(pl.DataFrame({"amount": [1.5]}), path)
    >>> path.read_text()
    'amount\n1.5\n'
    """
    path = Path(path)
    check_output_table(path)
    with replaced_file(path) as unfinished:
        WRITERS[path.suffix](frame, unfinished)


def write_blocks(blocks: Iterable[pl.DataFrame], path: str | Path) -> None:
    """Write frames of the same columns one below the other as they come, whole or not at all.

    Raise `TableError` as `write_table` does, and if a later frame does not have the types of the first.
    """
    path = Path(path)
    check_output_table(path)
    remaining = iter(blocks)
    first = next(remaining)

    def rows(*_: Any) -> Iterator[pl.DataFrame]:
        for block in chain([first], remaining):
            yield _cast(block, first.schema)

    with replaced_file(path) as unfinished:
        SINKS[path.suffix](register_io_source(rows, schema=first.schema), unfinished)


def _cast(block: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return a frame with the types of a schema; raise `TableError` if that would change a value."""
    if block.schema == schema:
        return block
    cast = block.select(pl.col(name).cast(kind, strict=False) for name, kind in schema.items())
    for name in schema:
        back = cast[name].cast(block[name].dtype, strict=False)
        if not back.equals(block[name], null_equal=True):
            raise TableError(
                f"column '{name}': values of type {block[name].dtype} in a later file, but of type {schema[name]} in "
                "the first. Write the column with the same type in all files."
            )
    return cast
