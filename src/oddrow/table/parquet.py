"""`ParquetFrame`: rows that stay on disk, read a column or a slice at a time."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, TableError

UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}

# What every row takes while a column is worked on: the column as read and as conformed, and so many numbers of 8 bytes:
# floats, the known ones, what is computed from them, and which rows were chosen, divided and left.
COPIES_OF_A_COLUMN = 2

NUMBERS_OF_A_ROW = 7

# Rows from so many places of all say how long text is.
PLACES_WEIGHED, ROWS_WEIGHED = 16, 64

# Types whose values are as long as they are; levels are text once they are conformed, which takes 16 bytes besides.
LONG = (pl.String, pl.Binary, pl.Categorical, pl.Enum)

BYTES_OF_A_VIEW = 16

# The part of the memory that a slice may take: it is read ahead, filtered, conformed and encoded.
SLICE_SHARE = 1 / 128


@dataclass(frozen=True)
class MemoryBudget:
    """How much memory there is, in bytes, and a folder on disk for what does not fit into it."""

    n_bytes: float
    folder: Path

    def check(self, frame: ParquetFrame) -> None:
        """Raise `ParameterError` where not even the widest column of a frame fits."""
        column, width = max(frame.widths.items(), key=lambda item: item[1])
        least = (NUMBERS_OF_A_ROW * 8 + COPIES_OF_A_COLUMN * width) * frame.height
        if least > self.n_bytes:
            raise ParameterError(
                f"memory {in_bytes(self.n_bytes)}: {frame.height:,} rows need {in_bytes(least)} for the column "
                f"'{column}' and what is computed from it. Give more memory, fewer rows, or files without that column."
            )


def parse_bytes(text: str) -> float:
    """An amount of memory in bytes.

    >>> parse_bytes("2GB"), parse_bytes("512 MB")
    (2000000000.0, 512000000.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|TB)", text.strip().upper())
    if found is None or float(found[1]) == 0:
        raise ParameterError(f"memory {text!r}: expected a number with KB, MB, GB or TB behind it, such as 2GB.")
    return float(found[1]) * UNITS[found[2]]


def in_bytes(n_bytes: float) -> str:
    """An amount of memory in words.

    >>> in_bytes(2.5e9), in_bytes(1200)
    ('2.5GB', '1.2KB')
    """
    unit = next((unit for unit in reversed(UNITS) if n_bytes >= UNITS[unit]), "KB")
    return f"{n_bytes / UNITS[unit]:.3g}{unit}"


class ParquetFrame:
    """What oddrow asks of a polars frame, of rows in Parquet files that are never all in memory.

    A column is read whole when it is asked for; rows are taken as a part of the same files, in their order.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.parquet"
    >>> pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}).write_parquet(path)
    >>> frame = ParquetFrame([path], MemoryBudget(1e9, path.parent))
    >>> frame[np.array([0, 2])]["b"].to_list(), [part.height for part in frame.iter_slices(2)]
    (['x', 'z'], [2, 1])
    """

    def __init__(self, paths: list[Path], room: MemoryBudget) -> None:
        self.paths, self.room = paths, room
        self._kept: npt.NDArray[np.bool_] | None = None
        with self._said_plainly():
            self._lazy = _as_one(paths)
            self.schema = self._lazy.collect_schema()
            self.columns = self.schema.names()
            self.height = int(self._lazy.select(pl.len()).collect().item())
            self._widths = self._weighed()

    @property
    def widths(self) -> dict[str, float]:
        """How many bytes a value of each column takes in memory, 8 at least, by rows from all over the files."""
        return {name: self._widths[name] for name in self.columns}

    def _weighed(self) -> dict[str, float]:
        widths = {name: 16.0 if kind.is_decimal() or kind == pl.Int128 else 8.0 for name, kind in self.schema.items()}
        long = [name for name, kind in self.schema.items() if kind in LONG or kind.is_nested()]
        if not long or not self.height:
            return widths
        starts = np.linspace(0, max(self.height - ROWS_WEIGHED, 0), PLACES_WEIGHED).astype(int).tolist()
        parts = (self._lazy.select(long).slice(start, ROWS_WEIGHED).collect_batches() for start in starts)
        sample = pl.concat([block for part in parts for block in part])
        return {**widths, **{name: _bytes_of_each(sample[name]) for name in long}}

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        """Whatever polars raises as one clear `TableError`."""
        try:
            yield
        except pl.exceptions.PolarsError as error:
            reason = str(error).strip().split("\n")[0]
            raise TableError(f"the files from {self.paths[0]} on cannot be read as one table ({reason}).") from error

    def _derived(self, columns: list[str], kept: npt.NDArray[np.bool_] | None) -> ParquetFrame:
        """Columns and rows of the same files, which are not opened again."""
        part = copy(self)
        part.columns, part._kept = columns, kept
        part.height = self.height if kept is None else int(kept.sum())
        return part

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.columns)

    @overload
    def __getitem__(self, key: str) -> pl.Series: ...

    @overload
    def __getitem__(self, key: npt.NDArray[Any]) -> ParquetFrame: ...

    def __getitem__(self, key: str | npt.NDArray[Any]) -> pl.Series | ParquetFrame:
        """A column by name, or rows by ascending number."""
        if isinstance(key, str):
            with self._said_plainly():
                values = self._lazy.select(key).collect().to_series()
            return values if self._kept is None else values.filter(pl.Series(self._kept))
        return self._derived(self.columns, self._among(key))

    def _among(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Mask over all rows of the files, of which these are a part of the kept ones."""
        if np.any(np.diff(rows) <= 0):
            raise TableError("rows that stay on disk can only be taken in their order, each once.")
        if self._kept is None:
            kept = np.zeros(self.height, bool)
            kept[rows] = True
            return kept
        kept = np.zeros(len(self._kept), bool)
        kept[np.flatnonzero(self._kept)[rows]] = True
        return kept

    def select(self, names: list[str]) -> ParquetFrame:
        """The same rows with these columns."""
        return self._derived(names, self._kept)

    def drop(self, name: str) -> ParquetFrame:
        """The same rows without a column."""
        return self.select([other for other in self.columns if other != name])

    def iter_slices(self, n_rows: int) -> Iterator[pl.DataFrame]:
        """The rows in order, at most n_rows at a time, fewer where they are wide."""
        with self._said_plainly():
            yield from self._slices(n_rows)

    def _slices(self, n_rows: int) -> Iterator[pl.DataFrame]:
        n_rows = max(1, min(n_rows, int(SLICE_SHARE * self.room.n_bytes / sum(self.widths.values()))))
        start = 0
        for path in self.paths:
            # File by file: of several at once polars reads more ahead than there is memory for.
            scan = pl.scan_parquet(path, glob=False, low_memory=True).select(self.columns)
            if scan.collect_schema() != (types := pl.Schema({name: self.schema[name] for name in self.columns})):
                scan = scan.cast(types)
            for block in scan.collect_batches(chunk_size=n_rows):
                kept = None if self._kept is None else pl.Series(self._kept[start : start + block.height])
                start += block.height
                part = block if kept is None else block.filter(kept)
                if part.height:
                    yield part

    def collect(self) -> pl.DataFrame:
        """All of the rows, in memory."""
        nothing = pl.DataFrame(schema=self._lazy.select(self.columns).collect_schema())
        return pl.concat([nothing, *self.iter_slices(self.height or 1)])

    def gather_every(self, n: int) -> pl.DataFrame:
        """Every n-th row, in memory."""
        return self[np.arange(0, self.height, n)].collect()


def _bytes_of_each(values: pl.Series) -> float:
    text = values if values.dtype.is_nested() or values.dtype == pl.Binary else values.cast(pl.String)
    return BYTES_OF_A_VIEW + text.estimated_size() / len(text)


def _as_one(paths: list[Path]) -> pl.LazyFrame:
    """The rows of files below each other; where types differ, those that hold the values of all."""
    scans = [pl.scan_parquet(path, glob=False) for path in paths]
    schemas = [scan.collect_schema() for scan in scans]
    if all(list(schema.items()) == list(schemas[0].items()) for schema in schemas):
        return pl.scan_parquet(paths, glob=False)
    return pl.concat([scan.select(schemas[0].names()) for scan in scans], how="vertical_relaxed")


Frame: TypeAlias = pl.DataFrame | ParquetFrame

# Options of mallopt in glibc.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

LARGE_BYTES = 2**20


@contextmanager
def memory_budget(memory: str | None, out: Path) -> Iterator[MemoryBudget | None]:
    """The memory that there is, and a folder beside `out` that goes when all is done."""
    if memory is None:
        yield None
        return
    n_bytes = parse_bytes(memory)
    _return_freed_memory()
    beside = next(parent for parent in out.absolute().parents if parent.is_dir())
    prefix = f".{out.name}.rows.{platform.node().partition('.')[0]}-"
    _remove_stale_folders(beside, prefix)
    with TemporaryDirectory(prefix=f"{prefix}{os.getpid()}.", dir=beside) as folder:
        yield MemoryBudget(n_bytes, Path(folder))


def _remove_stale_folders(beside: Path, prefix: str) -> None:
    """Remove folders of rows that are named after a process of this machine which was killed before it could."""
    for folder in beside.iterdir():
        owner = folder.name.removeprefix(prefix).partition(".")[0]
        if folder.name.startswith(prefix) and owner.isdecimal() and not _is_running(int(owner)):
            rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":
        # There, asking by a signal would end it.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        # It is another user's.
        pass
    return True


def _return_freed_memory() -> None:
    """Have large arrays return to the system when they are let go; the C library on Linux keeps them for later else."""
    allocator: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(allocator, "mallopt"):
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            allocator.mallopt(option, LARGE_BYTES)
