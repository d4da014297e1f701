"""Files in: one `Table`, or its rows block by block."""

from __future__ import annotations

import glob
import gzip
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from oddrow.errors import TableError, did_you_mean, first_names
from oddrow.table.delimited import MOST_BLOCK_ROWS, Delimited, ReadOptions, WiderError
from oddrow.table.matrices import read_mat, read_npz
from oddrow.table.parquet import MemoryBudget, ParquetFrame
from oddrow.table.table import Table, as_table, check_column_names
from oddrow.table.write import write_blocks

T = TypeVar("T")

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".gz")

PARQUET_SUFFIXES = (".parquet", ".pq")

IPC_FILE_BEGINS = b"ARROW1"

# Blocks are large enough to keep both cores busy, small enough that a few of them at a time are no burden.
BLOCK_BYTES = 2**26

# A table in memory while it is fitted: as read, as chosen, as divided, as encoded.
COPIES_OF_A_TABLE = 4


def read_table(
    source: Any,
    *,
    header: bool | None = None,
    names: Sequence[str] | None = None,
    missing: Sequence[str] = (),
) -> Table:
    """Read a table: a path, a glob, a list of paths, or rows in memory.

    Files: CSV (also .gz; .tsv is split at tabs), Parquet, Arrow IPC (.arrow, .feather, .ipc);
    NPZ and MATLAB v5 (.mat), whose arrays `X` (n, d) and perhaps `y` (n,) become the columns x0, x1, … and y.
    In memory: polars and pandas frames, Arrow tables, NumPy arrays (n, d).

    header, names, missing: see `ReadOptions`; for text files only.
    Raises `TableError` where a file is absent, empty, ragged or not what its name says.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.csv"
    >>> _ = path.write_text("amount,shop\\n1.5,a\\n,b\\n")
    >>> read_table(path).frame["amount"].to_list()
    [1.5, None]
    """
    options = ReadOptions(header, tuple(names) if names is not None else None, tuple(missing))
    paths = _paths(source)
    if paths is None:
        return as_table(source)
    files = _opened(paths, options)
    frames = [_whole(file) for file in files]
    frame = frames[0] if len(frames) == 1 else _stack(paths, frames)
    if frame.height == 0:
        raise TableError(f"{_named(paths)}: the table has columns but no rows.")
    return Table.from_frame(frame, _named(paths))


def through_blocks(source: Any, options: ReadOptions, consume: Callable[[Iterator[Table]], T]) -> T:
    """What `consume` makes of the rows of files, which it gets as tables one after the other, in bounded memory.

    It is called again, from the first row on, where a late line of a text file shows that a column is of another type
    than its first lines say. Raises what `read_table` does, but for files that hold different types.
    """
    paths = _files(source)
    files = _opened(paths, options)
    _check_columns(paths, [file.rows.columns for file in files])
    while True:
        try:
            return consume(_blocks(files, _named(paths)))
        except WiderError:
            continue


def read_within(source: Any, options: ReadOptions, room: MemoryBudget) -> Table:
    """Read files into a table that stays on disk where it does not fit into memory.

    Parquet files stay where they are; others are first copied to the folder of `room`, each to a Parquet file. Raises
    what `read_table` does, and `ParameterError` where not even one column fits.
    """
    paths = _files(source)
    files = _opened(paths, options)
    _check_columns(paths, [file.rows.columns for file in files])
    copies = [_in_parquet(file, room.folder / f"table-{place}.parquet") for place, file in enumerate(files)]
    frame = ParquetFrame(copies, room)
    if frame.height == 0:
        raise TableError(f"{_named(paths)}: the table has columns but no rows.")
    if COPIES_OF_A_TABLE * sum(frame.widths.values()) * frame.height <= room.n_bytes:
        return Table.from_frame(frame.collect(), _named(paths))
    room.check(frame)
    return Table.from_frame(frame, _named(paths))


def _in_parquet(file: _File, copy: Path) -> Path:
    """A file itself if it is Parquet, else a copy that is."""
    if file.path.suffix.lower() in PARQUET_SUFFIXES:
        return file.path
    while True:
        try:
            write_blocks(_at_least_one_block(file), copy)
            return copy
        except WiderError:
            continue


def _at_least_one_block(file: _File) -> Iterator[pl.DataFrame]:
    """The rows of a file; of one without rows its columns."""
    is_empty = True
    with _said_plainly(file.path, file.kind):
        for block in file.rows.blocks(_rows_at_once(file)):
            is_empty = False
            yield block
        if is_empty:
            yield file.rows.empty()


class _Rows(Protocol):
    """The rows of a file."""

    @property
    def columns(self) -> list[str]: ...

    def whole(self) -> pl.DataFrame: ...

    def empty(self) -> pl.DataFrame: ...

    def blocks(self, n_rows: int) -> Iterator[pl.DataFrame]: ...


@dataclass(frozen=True)
class _Scanned:
    """Rows that polars scans as they are."""

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
    path: Path
    kind: str
    rows: _Rows


def _blocks(files: Sequence[_File], source: str) -> Iterator[Table]:
    columns = files[0].rows.columns
    n_rows = 0
    for file in files:
        with _said_plainly(file.path, file.kind):
            for block in file.rows.blocks(_rows_at_once(file)):
                if block.height:
                    n_rows += block.height
                    yield Table.from_frame(block.select(columns), source)
    if not n_rows:
        raise TableError(f"{source}: the table has columns but no rows.")


def _rows_at_once(file: _File) -> int:
    return min(MOST_BLOCK_ROWS, max(1, BLOCK_BYTES // (8 * len(file.rows.columns))))


def _whole(file: _File) -> pl.DataFrame:
    with _said_plainly(file.path, file.kind):
        return file.rows.whole()


def _paths(source: Any) -> list[Path] | None:
    """The files that are meant; None where the source is no file."""
    if isinstance(source, (str, Path)):
        return _expand(str(source))
    if isinstance(source, (list, tuple)) and source and all(isinstance(part, (str, Path)) for part in source):
        return [path for part in source for path in _expand(str(part))]
    return None


def _files(source: Any) -> list[Path]:
    paths = _paths(source)
    if paths is None:
        raise TableError(f"{source!r:.60} ({type(source).__name__}) names no file. Expected paths or patterns.")
    return paths


def _named(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _expand(text: str) -> list[Path]:
    if glob.has_magic(text) and not Path(text).exists():
        found = sorted(Path(match) for match in glob.glob(text, recursive=True))
        if not found:
            raise TableError(f"{text}: no file matches.")
        return found
    path = Path(text)
    if not path.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise TableError(f"{path}: there is no such file.{did_you_mean(path.name, siblings)}")
    if path.is_dir():
        raise TableError(f"{path}: this is a folder. Give a file or a pattern, such as {path}/*.parquet.")
    if path.stat().st_size == 0:
        raise TableError(f"{path}: the file is empty.")
    return [path]


def _opened(paths: Sequence[Path], options: ReadOptions) -> list[_File]:
    return [_open(path, options) for path in paths]


def _open(path: Path, options: ReadOptions) -> _File:
    name = path.name.lower()
    fitting = [(kind, opener) for suffixes, kind, opener in _OPENERS if name.endswith(suffixes)]
    if not fitting:
        known = ", ".join(suffix for suffixes, _, _ in _OPENERS for suffix in suffixes)
        raise TableError(f"{path}: the ending is not one oddrow reads ({known}).")
    kind, opener = fitting[0]
    with _said_plainly(path, kind):
        rows = opener(path, options)
        check_column_names(rows.columns, str(path))
    return _File(path, kind, rows)


@contextmanager
def _said_plainly(path: Path, kind: str) -> Iterator[None]:
    """Whatever a reader of files raises as one clear `TableError`."""
    try:
        yield
    except (
        pl.exceptions.PolarsError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        OSError,
        ValueError,
        EOFError,
        pl.exceptions.PanicException,  # an IPC file with two columns of one name
    ) as error:
        if isinstance(error, TableError):
            raise
        reason = str(error).strip().split("\n")[0]
        raise TableError(f"{path}: this cannot be read as {kind} ({reason}).") from error


def _open_parquet(path: Path, options: ReadOptions) -> _Rows:
    return _Scanned(pl.scan_parquet(path, glob=False))


def _open_ipc(path: Path, options: ReadOptions) -> _Rows:
    with path.open("rb") as opened:
        is_file = opened.read(len(IPC_FILE_BEGINS)) == IPC_FILE_BEGINS
    return _Scanned(pl.scan_ipc(path, glob=False) if is_file else pl.read_ipc_stream(path).lazy())


def _open_npz(path: Path, options: ReadOptions) -> _Rows:
    return _Scanned(read_npz(path, options.names).lazy())


def _open_mat(path: Path, options: ReadOptions) -> _Rows:
    return _Scanned(read_mat(path, options.names).lazy())


_Opener = Callable[[Path, ReadOptions], _Rows]

_OPENERS: tuple[tuple[tuple[str, ...], str, _Opener], ...] = (
    (CSV_SUFFIXES, "CSV", Delimited),
    (PARQUET_SUFFIXES, "Parquet", _open_parquet),
    ((".arrow", ".feather", ".ipc"), "Arrow IPC", _open_ipc),
    ((".npz",), "NPZ", _open_npz),
    ((".mat",), "MATLAB v5", _open_mat),
)


def _check_columns(paths: Sequence[Path], columns: Sequence[list[str]]) -> None:
    """Refuse files whose columns are not those of the first one, in whatever order."""
    for path, names in zip(paths[1:], columns[1:], strict=True):
        if set(names) != set(columns[0]):
            odd = sorted(set(names) ^ set(columns[0]))
            raise TableError(f"{path}: its columns are not those of {paths[0]} (they differ in {first_names(odd)}).")


def _stack(paths: Sequence[Path], frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    _check_columns(paths, [frame.columns for frame in frames])
    aligned = [frame.select(frames[0].columns) for frame in frames]
    try:
        return pl.concat(aligned, how="vertical_relaxed", rechunk=False)
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().split("\n")[0]
        raise TableError(f"the files from {paths[0]} on hold different types ({reason}).") from error
