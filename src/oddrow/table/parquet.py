"""Tables that do not fit into memory: rows in Parquet files, read one column or one slice at a time."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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
from oddrow.files import read_failures_as
from oddrow.typing import Mask

UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}

# Working on a column takes two copies of it, as read and as converted, and for each row seven 8-byte numbers: floats,
# the known ones among them, what is computed from them, and row numbers before and after selecting and splitting.
COPIES_OF_COLUMN = 2
BYTES_PER_ROW = 7 * 8

# The width of text is estimated from blocks of rows that are spread over the files.
N_BLOCKS_MEASURED, ROWS_PER_BLOCK = 16, 64

# Types of variable width. Levels become text when they are converted, which adds a 16-byte view per value.
VARIABLE_WIDTH = (pl.String, pl.Binary, pl.Categorical, pl.Enum)
BYTES_PER_VIEW = 16

# A slice takes this share of the memory: it is read ahead, filtered, converted and encoded.
SLICE_SHARE = 1 / 128

# Options of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE_ALLOCATION = 2**20


@dataclass(frozen=True)
class MemoryBudget:
    """Available memory in bytes, and a folder on disk for what does not fit into it."""

    n_bytes: float
    folder: Path

    def check(self, frame: ParquetFrame) -> None:
        """Raise `ParameterError` if not even the widest column of a frame fits."""
        column, width = max(frame.widths.items(), key=lambda item: item[1])
        needed = (BYTES_PER_ROW + COPIES_OF_COLUMN * width) * frame.height
        if needed > self.n_bytes:
            raise ParameterError(
                f"memory {format_bytes(self.n_bytes)}: {frame.height:,} rows need {format_bytes(needed)} for the "
                f"column '{column}' and what is computed from it. Allow more memory, pass fewer rows, or remove the "
                "column from the files."
            )


def parse_bytes(text: str) -> float:
    """Return an amount of memory in bytes.

    >>> parse_bytes("2GB"), parse_bytes("512 MB")
    (2000000000.0, 512000000.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|TB)", text.strip().upper())
    if found is None or float(found[1]) == 0:
        raise ParameterError(f"memory {text!r}: expected a number followed by KB, MB, GB or TB, such as 2GB.")
    return float(found[1]) * UNITS[found[2]]


def format_bytes(n_bytes: float) -> str:
    """Return an amount of memory as text.

    >>> format_bytes(2.5e9), format_bytes(1200)
    ('2.5GB', '1.2KB')
    """
    unit = next((unit for unit in reversed(UNITS) if n_bytes >= UNITS[unit]), "KB")
    return f"{n_bytes / UNITS[unit]:.3g}{unit}"


class ParquetFrame:
    """Rows in Parquet files, with the methods of a polars frame that oddrow uses.

    A column is read as a whole when it is asked for. A selection of rows refers to the same files, in their order.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.parquet"
    >>> pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}).write_parquet(path)
    >>> frame = ParquetFrame([path], MemoryBudget(1e9, path.parent))
    >>> frame[np.array([0, 2])]["b"].to_list(), [part.height for part in frame.iter_slices(2)]
    (['x', 'z'], [2, 1])
    """

    def __init__(self, paths: list[Path], memory: MemoryBudget) -> None:
        self.paths, self.memory = paths, memory
        self._selected: Mask | None = None
        with self._reading():
            self._lazy = _scan(paths)
            self.schema = self._lazy.collect_schema()
            self.columns = self.schema.names()
            self.height = int(self._lazy.select(pl.len()).collect().item())
            self._widths = self._measure_widths()

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def widths(self) -> dict[str, float]:
        """Estimated bytes per value in memory by column, at least 8."""
        return {name: self._widths[name] for name in self.columns}

    @overload
    def __getitem__(self, key: str) -> pl.Series: ...

    @overload
    def __getitem__(self, key: npt.NDArray[Any]) -> ParquetFrame: ...

    def __getitem__(self, key: str | npt.NDArray[Any]) -> pl.Series | ParquetFrame:
        """Return a column by name, or rows by increasing row number."""
        if isinstance(key, str):
            with self._reading():
                values = self._lazy.select(key).collect().to_series()
            return values if self._selected is None else values.filter(pl.Series(self._selected))
        return self._view(self.columns, self._select_rows(key))

    def select(self, names: list[str]) -> ParquetFrame:
        """Return the rows with these columns only."""
        return self._view(names, self._selected)

    def drop(self, name: str) -> ParquetFrame:
        """Return the rows without a column."""
        return self.select([other for other in self.columns if other != name])

    def iter_slices(self, n_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, at most `n_rows` at a time and fewer if they are wide."""
        with self._reading():
            yield from self._slices(n_rows)

    def collect(self) -> pl.DataFrame:
        """Return all rows in memory."""
        without_rows = pl.DataFrame(schema=self._lazy.select(self.columns).collect_schema())
        return pl.concat([without_rows, *self.iter_slices(self.height or 1)])

    def gather_every(self, n: int) -> pl.DataFrame:
        """Return every n-th row in memory."""
        return self[np.arange(0, self.height, n)].collect()

    def _reading(self) -> AbstractContextManager[None]:
        return read_failures_as(TableError, f"the files from {self.paths[0]} on cannot be read as one table")

    def _view(self, columns: list[str], selected: Mask | None) -> ParquetFrame:
        """Return columns and rows of the same files without opening these again."""
        part = copy(self)
        part.columns, part._selected = columns, selected
        part.height = self.height if selected is None else int(selected.sum())
        return part

    def _select_rows(self, rows: npt.NDArray[Any]) -> Mask:
        """Return the mask over all rows of the files for numbers of the rows that are selected now."""
        if np.any(np.diff(rows) <= 0):
            raise TableError("rows on disk can only be taken in their order, each once.")
        if self._selected is None:
            selected = np.zeros(self.height, bool)
            selected[rows] = True
        else:
            selected = np.zeros(len(self._selected), bool)
            selected[np.flatnonzero(self._selected)[rows]] = True
        return selected

    def _slices(self, n_rows: int) -> Iterator[pl.DataFrame]:
        n_rows = max(1, min(n_rows, int(SLICE_SHARE * self.memory.n_bytes / sum(self.widths.values()))))
        types = pl.Schema({name: self.schema[name] for name in self.columns})
        start = 0
        for path in self.paths:
            # File by file: polars reads several files further ahead than fits into memory.
            scan = pl.scan_parquet(path, glob=False, low_memory=True).select(self.columns)
            if scan.collect_schema() != types:
                scan = scan.cast(types)
            for block in scan.collect_batches(chunk_size=n_rows):
                end = start + block.height
                part = block if self._selected is None else block.filter(pl.Series(self._selected[start:end]))
                start = end
                if part.height:
                    yield part

    def _measure_widths(self) -> dict[str, float]:
        widths = {name: 16.0 if kind.is_decimal() or kind == pl.Int128 else 8.0 for name, kind in self.schema.items()}
        variable = [name for name, kind in self.schema.items() if kind in VARIABLE_WIDTH or kind.is_nested()]
        if variable and self.height:
            starts = np.linspace(0, max(self.height - ROWS_PER_BLOCK, 0), N_BLOCKS_MEASURED).astype(int).tolist()
            parts = (self._lazy.select(variable).slice(start, ROWS_PER_BLOCK).collect_batches() for start in starts)
            sample = pl.concat([block for part in parts for block in part])
            widths |= {name: _mean_width(sample[name]) for name in variable}
        return widths


def _mean_width(values: pl.Series) -> float:
    as_stored = values.dtype.is_nested() or values.dtype == pl.Binary
    text = values if as_stored else values.cast(pl.String)
    return BYTES_PER_VIEW + text.estimated_size() / len(text)


def _scan(paths: list[Path]) -> pl.LazyFrame:
    """Scan files one below the other; where their types differ, take the type that holds the values of all."""
    scans = [pl.scan_parquet(path, glob=False) for path in paths]
    schemas = [scan.collect_schema() for scan in scans]
    if all(list(schema.items()) == list(schemas[0].items()) for schema in schemas):
        return pl.scan_parquet(paths, glob=False)
    return pl.concat([scan.select(schemas[0].names()) for scan in scans], how="vertical_relaxed")


Frame: TypeAlias = pl.DataFrame | ParquetFrame


@contextmanager
def memory_budget(memory: str | None, out: Path) -> Iterator[MemoryBudget | None]:
    """Yield the budget that `--memory` names, with a temporary folder next to `out`; None without the option."""
    if memory is None:
        yield None
        return
    n_bytes = parse_bytes(memory)
    _return_freed_memory()
    parent = next(parent for parent in out.absolute().parents if parent.is_dir())
    prefix = f".{out.name}.rows.{platform.node().partition('.')[0]}-"
    _remove_stale_folders(parent, prefix)
    with TemporaryDirectory(prefix=f"{prefix}{os.getpid()}.", dir=parent) as folder:
        yield MemoryBudget(n_bytes, Path(folder))


def _remove_stale_folders(parent: Path, prefix: str) -> None:
    """Remove the folders of processes on this machine that were killed before they could do so."""
    for folder in parent.iterdir():
        owner = folder.name.removeprefix(prefix).partition(".")[0]
        if folder.name.startswith(prefix) and owner.isdecimal() and not _is_running(int(owner)):
            rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":
        # On Windows, os.kill with any signal ends the process.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        # It belongs to another user.
        pass
    return True


def _return_freed_memory() -> None:
    """Make glibc return large freed arrays to the system at once; it would keep them for later otherwise."""
    allocator: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(allocator, "mallopt"):
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            allocator.mallopt(option, LARGE_ALLOCATION)
