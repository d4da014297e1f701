"""Read files: as one table, block by block, or as a table that stays on disk if it does not fit into memory."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from oddrow.errors import TableError, did_you_mean, first_names
from oddrow.files import read_failures_as
from oddrow.table.array_files import read_mat, read_npz
from oddrow.table.delimited import MAX_BLOCK_ROWS, ReadOptions, TextFile, repeat_until_types_hold
from oddrow.table.parquet import MemoryBudget, ParquetFrame
from oddrow.table.table import Table, as_table, check_column_names
from oddrow.table.write import write_blocks

T = TypeVar("T")

TEXT_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".gz")
PARQUET_SUFFIXES = (".parquet", ".pq")

# The first bytes of an Arrow IPC file; an IPC stream has others.
IPC_FILE_MAGIC = b"ARROW1"

# A block is large enough to keep all cores busy, and small enough for several to fit into memory.
BLOCK_BYTES = 2**26

# Fitting in memory takes about this many copies of a table: as read, as selected, as split, as encoded.
COPIES_OF_TABLE = 4


def read_table(
    source: Any,
    *,
    header: bool | None = None,
    names: Sequence[str] | None = None,
    missing: Sequence[str] = (),
) -> Table:
    r"""Read a table from files or from memory.

    The ending of a file tells its format: CSV (`.csv`, `.txt`; `.tsv` is split at tabs; each also with `.gz`), Parquet
    (`.parquet`, `.pq`), Arrow IPC (`.arrow`, `.feather`, `.ipc`), NumPy (`.npz`) or MATLAB up to version 7 (`.mat`).
    NumPy and MATLAB files hold an array `X` of shape (n, d), whose columns become `x0`, `x1`, …, and perhaps an array
    `y` of shape (n,).

    Parameters
    ----------
    source : str, Path, list of str or Path, frame, or ndarray, shape (n, d)
        A path, a pattern such as `days/*.parquet`, several of them, or rows in memory: a polars or pandas frame, an
        Arrow table or a numeric array.
    header : bool, optional
        Whether the first line of a text file holds the column names; by default it does, unless `names` is given.
    names : sequence of str, optional
        Column names of text, NumPy and MATLAB files.
    missing : sequence of str, optional
        Texts that mean a missing value, in addition to the empty field; for text files.

    Returns
    -------
    Table
        The rows of all files, one below the other.

    Raises
    ------
    TableError
        If a file is missing, empty, ragged or not in the format of its ending, or if the files do not have the same
        columns.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.csv"
    >>> _ = path.write_text("amount,shop\n1.5,a\n,b\n")
    >>> read_table(path).frame["amount"].to_list()
    [1.5, None]
    """
    paths = _paths(source)
    if paths is None:
        return as_table(source)
    files = _open_files(paths, ReadOptions(header, tuple(names) if names is not None else None, tuple(missing)))
    frames = [file.read() for file in files]
    with read_failures_as(TableError, f"the files from {paths[0]} on hold different types"):
        frame = pl.concat([part.select(frames[0].columns) for part in frames], how="vertical_relaxed", rechunk=False)
    if frame.height == 0:
        raise _no_rows(paths)
    return Table.from_frame(frame, _source(paths))


def consume_blocks(source: Any, options: ReadOptions, consume: Callable[[Iterator[Table]], T]) -> T:
    """Return what `consume` returns for the rows of files, which it receives block by block, in bounded memory.

    `consume` is called again from the first row on if a late line of a text file changes the type of a column. The
    errors are those of `read_table`, except that files may hold different types.
    """
    files = _open_files(_required_paths(source), options)
    return repeat_until_types_hold(lambda: consume(_tables(files)))


def read_within_memory(source: Any, options: ReadOptions, memory: MemoryBudget) -> Table:
    """Read files into a table that stays on disk if it does not fit into memory.

    Files that are not Parquet are first copied to Parquet, in the folder of the budget. The errors are those of
    `read_table`, and `ParameterError` if not even one column fits.
    """
    files = _open_files(_required_paths(source), options)
    paths = [file.path for file in files]
    copies = [_as_parquet(file, memory.folder / f"table-{place}.parquet") for place, file in enumerate(files)]
    frame = ParquetFrame(copies, memory)
    if frame.height == 0:
        raise _no_rows(paths)
    if COPIES_OF_TABLE * sum(frame.widths.values()) * frame.height <= memory.n_bytes:
        return Table.from_frame(frame.collect(), _source(paths))
    memory.check(frame)
    return Table.from_frame(frame, _source(paths))


def _tables(files: Sequence[_File]) -> Iterator[Table]:
    paths, columns = [file.path for file in files], files[0].rows.columns
    is_empty = True
    for file in files:
        for block in file.blocks():
            if block.height:
                is_empty = False
                yield Table.from_frame(block.select(columns), _source(paths))
    if is_empty:
        raise _no_rows(paths)


def _as_parquet(file: _File, copy: Path) -> Path:
    """Return the path of a Parquet file, or that of a copy of another file."""
    if file.path.suffix.lower() in PARQUET_SUFFIXES:
        return file.path

    def write() -> Path:
        # The empty frame gives a file without rows its columns.
        write_blocks(file.blocks(or_empty=True), copy)
        return copy

    return repeat_until_types_hold(write)


# Which files


def _paths(source: Any) -> list[Path] | None:
    """Return the files that a source names, or None if it names none."""
    if isinstance(source, (str, Path)):
        return _expand(str(source))
    if isinstance(source, (list, tuple)) and source and all(isinstance(part, (str, Path)) for part in source):
        return [path for part in source for path in _expand(str(part))]
    return None


def _required_paths(source: Any) -> list[Path]:
    paths = _paths(source)
    if paths is None:
        raise TableError(f"{source!r:.60} ({type(source).__name__}) is not a file. Expected paths or patterns.")
    return paths


def _expand(text: str) -> list[Path]:
    if glob.has_magic(text) and not Path(text).exists():
        found = sorted(Path(match) for match in glob.glob(text, recursive=True))
        if not found:
            raise TableError(f"{text}: no file matches this pattern.")
        return found
    path = Path(text)
    if not path.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise TableError(f"{path}: there is no such file.{did_you_mean(path.name, siblings)}")
    if path.is_dir():
        raise TableError(f"{path}: this is a folder. Expected a file, or a pattern such as {path}/*.parquet.")
    if path.stat().st_size == 0:
        raise TableError(f"{path}: the file is empty.")
    return [path]


def _source(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _no_rows(paths: Sequence[Path]) -> TableError:
    return TableError(f"{_source(paths)}: the table has columns but no rows.")


# What is in a file


class _Rows(Protocol):
    @property
    def columns(self) -> list[str]: ...

    def whole(self) -> pl.DataFrame: ...

    def empty(self) -> pl.DataFrame: ...

    def blocks(self, n_rows: int) -> Iterator[pl.DataFrame]: ...


@dataclass(frozen=True)
class _LazyRows:
    """Rows that polars scans."""

    lazy: pl.LazyFrame

    @property
    def columns(self) -> list[str]:
        return self.lazy.collect_schema().names()

    def whole(self) -> pl.DataFrame:
        return self.lazy.collect()

    def empty(self) -> pl.DataFrame:
        return self.lazy.clear().collect()

    def blocks(self, n_rows: int) -> Iterator[pl.DataFrame]:
        yield from self.lazy.collect_batches(chunk_size=n_rows)


@dataclass(frozen=True)
class _File:
    """A file that has been opened as its format, with failures reported under its name."""

    path: Path
    kind: str
    rows: _Rows

    def read(self) -> pl.DataFrame:
        with _reading(self.path, self.kind):
            return self.rows.whole()

    def blocks(self, *, or_empty: bool = False) -> Iterator[pl.DataFrame]:
        n_rows = min(MAX_BLOCK_ROWS, max(1, BLOCK_BYTES // (8 * len(self.rows.columns))))
        is_empty = True
        with _reading(self.path, self.kind):
            for block in self.rows.blocks(n_rows):
                is_empty = False
                yield block
            if is_empty and or_empty:
                yield self.rows.empty()


def _reading(path: Path, kind: str) -> AbstractContextManager[None]:
    return read_failures_as(TableError, f"{path}: cannot be read as {kind}")


def _open_files(paths: Sequence[Path], options: ReadOptions) -> list[_File]:
    """Open files and check that all have the columns of the first one, in any order."""
    files = [_open(path, options) for path in paths]
    columns = set(files[0].rows.columns)
    for file in files[1:]:
        if different := sorted(columns ^ set(file.rows.columns)):
            raise TableError(
                f"{file.path}: its columns are not those of {paths[0]} (they differ in {first_names(different)})."
            )
    return files


def _open(path: Path, options: ReadOptions) -> _File:
    name = path.name.lower()
    for suffixes, kind, opener in FORMATS:
        if name.endswith(suffixes):
            with _reading(path, kind):
                rows = opener(path, options)
                check_column_names(rows.columns, str(path))
            return _File(path, kind, rows)
    known = ", ".join(suffix for suffixes, _, _ in FORMATS for suffix in suffixes)
    raise TableError(f"{path}: oddrow does not read files of this ending. Expected {known}.")


def _scan_ipc(path: Path) -> pl.LazyFrame:
    with path.open("rb") as opened:
        is_file = opened.read(len(IPC_FILE_MAGIC)) == IPC_FILE_MAGIC
    return pl.scan_ipc(path, glob=False) if is_file else pl.read_ipc_stream(path).lazy()


_Opener = Callable[[Path, ReadOptions], _Rows]

FORMATS: tuple[tuple[tuple[str, ...], str, _Opener], ...] = (
    (TEXT_SUFFIXES, "CSV", TextFile),
    (PARQUET_SUFFIXES, "Parquet", lambda path, _: _LazyRows(pl.scan_parquet(path, glob=False))),
    ((".arrow", ".feather", ".ipc"), "Arrow IPC", lambda path, _: _LazyRows(_scan_ipc(path))),
    ((".npz",), "NPZ", lambda path, options: _LazyRows(read_npz(path, options.names).lazy())),
    ((".mat",), "MATLAB v5", lambda path, options: _LazyRows(read_mat(path, options.names).lazy())),
)
