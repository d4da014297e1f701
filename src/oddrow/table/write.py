"""Tables out: whole or not at all."""

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


# Written as they come, so that no more than a few of them are in memory.
_SINKS: dict[str, Callable[[pl.LazyFrame, Path], Any]] = {
    ".parquet": lambda rows, path: rows.sink_parquet(path),
    ".csv": lambda rows, path: rows.sink_csv(path),
}


def write_table(frame: pl.DataFrame, path: str | Path) -> None:
    """Write a frame as .parquet or .csv under a temporary name, then rename.

    Raises `TableError` for another ending, or where nothing can be written.
    """
    path = Path(path)
    check_target(path)
    with replaced_file(path) as unfinished:
        WRITERS[path.suffix](frame, unfinished)


def write_blocks(blocks: Iterable[pl.DataFrame], path: str | Path) -> None:
    """Write frames of the same columns, one below the other, as they come; whole or not at all.

    Raises as `write_table`, and where the types of a later frame are not those of the first.
    """
    path = Path(path)
    check_target(path)
    first, rest = _parted(blocks)
    schema = first.schema

    def rows(*_: Any) -> Iterator[pl.DataFrame]:
        for block in chain([first], rest):
            yield _alike(block, schema)

    with replaced_file(path) as unfinished:
        _SINKS[path.suffix](register_io_source(rows, schema=schema), unfinished)


def _parted(blocks: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    rest = iter(blocks)
    return next(rest), rest


def _alike(block: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """A frame with the types of the first one. Raises `TableError` where that would change a value."""
    if block.schema == schema:
        return block
    cast = block.select(pl.col(name).cast(kind, strict=False) for name, kind in schema.items())
    for name in schema:
        back = cast[name].cast(block[name].dtype, strict=False)
        if not back.equals(block[name], null_equal=True):
            raise TableError(
                f"column '{name}': values of type {block[name].dtype} in a later file, of type {schema[name]} in the "
                "first. Expected the same type in all. Write the column alike in all files."
            )
    return cast


def check_target(path: Path) -> None:
    """Refuse a place or an ending that no table can be written to, before the work rather than after."""
    if path.suffix not in WRITERS:
        raise TableError(f"{path}: the ending is not one oddrow writes ({', '.join(WRITERS)}).")
    check_output_file(path)
