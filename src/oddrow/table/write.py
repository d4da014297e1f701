"""Tables out: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from oddrow.errors import TableError

WRITERS: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".csv": lambda frame, path: frame.write_csv(path),
}


def write_table(frame: pl.DataFrame, path: str | Path) -> None:
    """Write a frame as .parquet or .csv under a temporary name, then rename.

    Raises `TableError` for another ending, or where nothing can be written.
    """
    path = Path(path)
    check_target(path)
    with written_whole(path) as unfinished:
        WRITERS[path.suffix](frame, unfinished)


def check_target(path: Path) -> None:
    """Refuse a place that cannot be written, before the work rather than after."""
    if path.suffix not in WRITERS:
        raise TableError(f"{path}: the ending is not one oddrow writes ({', '.join(WRITERS)}).")
    if path.is_dir():
        raise TableError(f"{path}: this is a folder.")
    if not path.absolute().parent.is_dir():
        raise TableError(f"{path}: its folder does not exist.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise TableError(f"{path}: its folder cannot be written to.")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when all has been written, else removed."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).strip().split("\n")[0]
        raise TableError(f"{path}: it cannot be written ({reason}).") from error
    finally:
        unfinished.unlink(missing_ok=True)
