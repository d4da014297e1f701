"""Write files and folders whole or not at all, and say in one line why a file cannot be read or written."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
from safetensors import SafetensorError

from oddrow.errors import OddrowError, TableError

WRITE_FAILURES = (OSError, pl.exceptions.PolarsError, SafetensorError)

# polars panics at an IPC file with a repeated column name, and a PanicException is not an Exception.
READ_FAILURES = (
    OSError,
    EOFError,
    ValueError,
    zipfile.BadZipFile,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


def write_text(text: str, path: Path) -> None:
    """Write text as UTF-8, whole or not at all; raise `TableError` on failure."""
    with replaced_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(values: Any, path: Path) -> None:
    """Write plain values as JSON, whole or not at all; raise `TableError` on failure."""
    write_text(json.dumps(values, indent=1) + "\n", path)


def check_output_file(path: Path) -> None:
    """Raise `TableError` if no file can be written to this path."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise TableError(f"{path}: there is no folder {folder}. Create it or choose another path.")
    if path.is_dir():
        raise TableError(f"{path}: this is a folder. Expected the name of a file.")
    if path.exists() and not path.is_file():
        # The rename would replace it: as root even /dev/null.
        raise TableError(f"{path}: this is not a regular file. Choose another path.")
    if not os.access(folder, os.W_OK):
        raise TableError(f"{path}: the folder {folder} is read-only, so the file cannot be written. Choose another.")


@contextmanager
def replaced_file(path: Path, error: type[OddrowError] = TableError) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` if all goes well; else remove it."""
    unfinished = _temporary(path, "part")
    try:
        with _write_failures_as(error, path):
            yield unfinished
            unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink()


@contextmanager
def replaced_folder(folder: Path, error: type[OddrowError] = TableError) -> Iterator[Path]:
    """Yield a new temporary folder next to `folder`, and swap the two if all goes well; else remove it."""
    unfinished, old = _temporary(folder, "part"), _temporary(folder, "old")
    try:
        with _write_failures_as(error, folder):
            unfinished.mkdir(parents=True)
            yield unfinished
            _swap(unfinished, folder, old)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _temporary(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")


@contextmanager
def _write_failures_as(error: type[OddrowError], path: Path) -> Iterator[None]:
    try:
        yield
    except WRITE_FAILURES as failure:
        raise error(f"{path}: cannot be written ({reason(failure)}).") from failure


def _swap(unfinished: Path, folder: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    try:
        unfinished.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise


@contextmanager
def read_failures_as(error: type[OddrowError], message: str, advice: str = "") -> Iterator[None]:
    """Raise `error("message (reason). advice")` for whatever polars, NumPy or the system raises about a file."""
    try:
        yield
    except OddrowError:
        raise
    except READ_FAILURES as failure:
        raise error(f"{message} ({reason(failure)}). {advice}".rstrip()) from failure


def reason(failure: BaseException) -> str:
    """Return the first line of what an exception says, without the error number and path that the system adds."""
    text = getattr(failure, "strerror", None) or str(failure).strip().split("\n")[0]
    return text or type(failure).__name__
