"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl

from oddrow.errors import TableError


def write_text(text: str, path: Path) -> None:
    """Write text, whole or not at all. Raises `TableError` where nothing can be written."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(values: Any, path: Path) -> None:
    """Write plain values as JSON, whole or not at all. Raises as `write_text`."""
    write_text(json.dumps(values, indent=1) + "\n", path)


def check_place(path: Path) -> None:
    """Refuse a place that no file can be written to."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise TableError(f"{path}: there is no folder {folder}. Make it, or give another place.")
    if path.is_dir():
        raise TableError(f"{path}: this is a folder. Give the name of a file.")
    if path.exists() and not path.is_file():
        # It would be replaced, not written to: as root, even /dev/null.
        raise TableError(f"{path}: this is no plain file. Give the name of one.")
    if not os.access(folder, os.W_OK):
        raise TableError(f"{path}: {folder} cannot be written to. Give a place that can.")


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
        with suppress(OSError):
            unfinished.unlink()
