"""`read_table`: files in, one `Table` out."""

from __future__ import annotations

import glob
import gzip
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from oddrow.errors import TableError, did_you_mean, first_names
from oddrow.table.arrays import read_mat, read_npz
from oddrow.table.table import Table, as_table, check_unique_names

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".gz")
LOOKED_AT = 10_000
IPC_FILE_BEGINS = b"ARROW1"
UNPARSED = re.compile(r"could not parse `(?P<value>.*)` as dtype .*\(column number (?P<number>\d+)\)", re.DOTALL)


@dataclass(frozen=True)
class ReadOptions:
    """How a text file is to be read; stored in the artifact, so that new files are read the same way.

    `names`: column names; the file then has no header line unless `header=True` says that its own is replaced.
    `missing`: texts that mean a missing value, besides the empty field.
    """

    header: bool | None = None
    names: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ()

    @property
    def has_header(self) -> bool:
        """Whether the first line holds names rather than values."""
        return self.names is None if self.header is None else self.header

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


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
    if isinstance(source, (str, Path)):
        paths = _expand(str(source))
    elif isinstance(source, (list, tuple)) and source and all(isinstance(part, (str, Path)) for part in source):
        paths = [path for part in source for path in _expand(str(part))]
    else:
        return as_table(source)
    frames = [_read_file(path, options) for path in paths]
    frame = frames[0] if len(frames) == 1 else _stack(paths, frames)
    named = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if frame.height == 0:
        raise TableError(f"{named}: the table has columns but no rows.")
    return Table.from_frame(frame, named)


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


def _read_file(path: Path, options: ReadOptions) -> pl.DataFrame:
    name = path.name.lower()
    fitting = [(kind, reader) for suffixes, kind, reader in _READERS if name.endswith(suffixes)]
    if not fitting:
        known = ", ".join(suffix for suffixes, _, _ in _READERS for suffix in suffixes)
        raise TableError(f"{path}: the ending is not one oddrow reads ({known}).")
    kind, reader = fitting[0]
    try:
        frame = reader(path, options)
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
    check_unique_names(frame.columns, str(path))
    return frame


def _read_csv(path: Path, options: ReadOptions) -> pl.DataFrame:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as opened:
            opened.read(1)
    separator = _separator(path)
    try:
        names = _csv_names(path, options, separator)
        frame = _parse_csv(path, options, separator, names)
    except pl.exceptions.ComputeError as error:
        _check_no_long_line(path, separator, error)
        raise
    frame = _without_blank_end(path, frame, separator)
    _check_no_short_line(path, frame, options, separator)
    return frame


def _separator(path: Path) -> str:
    """What parts the fields: a comma, but in .tsv a tab, and where the first line has no comma a semicolon or a tab."""
    if ".tsv" in path.name.lower():
        return "\t"
    as_lines: dict[str, Any] = {"separator": "\x01", "quote_char": None, "has_header": False, "infer_schema": False}
    line = str(pl.read_csv(path, n_rows=1, glob=False, truncate_ragged_lines=True, **as_lines).item(0, 0))
    return next((other for other in (";", "\t") if other in line and "," not in line), ",")


def _without_blank_end(path: Path, frame: pl.DataFrame, separator: str) -> pl.DataFrame:
    """Blank lines at the end of a file are no rows; in a table of one column they are missing values."""
    if frame.width < 2 or frame.height == 0 or any(value is not None for value in frame.row(-1)):
        return frame
    _, n_blank = _lines_and_blank_end(_fields_per_line(path, separator))
    return frame.head(max(frame.height - n_blank, 0))


def _lines_and_blank_end(lines: pl.LazyFrame) -> tuple[int, int]:
    """How many lines there are, and how many of them are blank and at the end."""
    counted = lines.select(pl.len(), last=pl.col("number").filter(pl.col("n_fields") > 0).max()).collect()
    return counted["len"].item(), counted["len"].item() - counted["last"].item()


def _csv_names(path: Path, options: ReadOptions, separator: str) -> list[str]:
    """The names to use, checked against the width of the first line."""
    first = pl.read_csv(path, separator=separator, has_header=False, n_rows=1, infer_schema=False, glob=False)
    width = first.width
    if options.names is not None:
        if len(options.names) != width:
            raise TableError(f"{path}: {len(options.names)} names were given for {width} columns.")
        names = list(options.names)
    elif options.has_header:
        names = [str(value) if value is not None else f"column_{i + 1}" for i, value in enumerate(first.row(0))]
        names[0] = names[0].removeprefix("\ufeff")
    else:
        names = [f"column_{column + 1}" for column in range(width)]
    check_unique_names(names, str(path))
    return names


def _parse_csv(path: Path, options: ReadOptions, separator: str, names: list[str]) -> pl.DataFrame:
    """Types are guessed from the first rows; a column that later turns out otherwise is read as floats, else text."""
    wider: dict[str, Any] = {}
    while True:
        try:
            return pl.read_csv(
                path,
                separator=separator,
                has_header=options.has_header,
                new_columns=names,
                null_values=list(options.missing) or None,
                try_parse_dates=True,
                infer_schema_length=LOOKED_AT,
                schema_overrides=wider or None,
                glob=False,
            )
        except pl.exceptions.ComputeError as error:
            found = UNPARSED.search(str(error))
            column = names[int(found["number"]) - 1] if found else None
            if found is None or column is None or wider.get(column) == pl.String:
                raise
            # Only a decimal point makes floats of whole numbers: an id of 20 digits must keep them all.
            is_decimal = "." in found["value"] and column not in wider
            wider[column] = pl.Float64 if is_decimal else pl.String


def _check_no_long_line(path: Path, separator: str, error: Exception) -> None:
    if "more fields" not in str(error):
        return
    lines = _fields_per_line(path, separator)
    width = lines.first().collect()["n_fields"].item()
    long = lines.filter(pl.col("n_fields") > width).collect(engine="streaming")
    raise TableError(_ragged(path, long["number"], "more", width)) from error


def _fields_per_line(path: Path, separator: str) -> pl.LazyFrame:
    """Each line's number, from 1, and how many fields it has, 0 where blank; separators within quotes do not count."""
    lines = pl.scan_csv(
        path,
        separator="\x01",
        quote_char=None,
        has_header=False,
        infer_schema=False,
        new_columns=["line"],
        truncate_ragged_lines=True,
        glob=False,
    )
    line = pl.col("line").fill_null("").str.strip_chars("\r")
    n_separators = line.str.replace_all('"[^"]*"', "").str.count_matches(separator, literal=True).cast(pl.Int64)
    n_fields = pl.when(line == "").then(0).otherwise(n_separators + 1)
    return lines.with_row_index("number", offset=1).select("number", n_fields=n_fields)


def _ragged(path: Path, numbers: pl.Series, how: str, width: int) -> str:
    where = ", ".join(f"line {number}" for number in numbers[:3])
    have = f"{len(numbers):,} lines have" if len(numbers) > 1 else "a line has"
    return (
        f"{path}: {have} {how} fields than the first one, which has {width} ({where}). "
        "Mend them, or put quotes around fields that hold the separator."
    )


def _check_no_short_line(path: Path, frame: pl.DataFrame, options: ReadOptions, separator: str) -> None:
    """polars fills a line that ends early with nulls; an empty last field is fine, a missing one is not."""
    if frame.width < 2 or frame[frame.columns[-1]].null_count() == 0:
        return
    lines = _fields_per_line(path, separator)
    short = lines.filter(pl.col("n_fields") < frame.width).collect(engine="streaming")
    n_lines, n_blank = _lines_and_blank_end(lines)
    short = short.filter(pl.col("number") <= n_lines - n_blank)
    # With line breaks inside quotes a line is no row, and the lines tell nothing.
    if short.height and n_lines - n_blank == frame.height + options.has_header:
        raise TableError(_ragged(path, short["number"], "fewer", frame.width))


def _read_parquet(path: Path, options: ReadOptions) -> pl.DataFrame:
    return pl.read_parquet(path, glob=False)


def _read_ipc(path: Path, options: ReadOptions) -> pl.DataFrame:
    with path.open("rb") as opened:
        is_file = opened.read(len(IPC_FILE_BEGINS)) == IPC_FILE_BEGINS
    return pl.scan_ipc(path, glob=False).collect() if is_file else pl.read_ipc_stream(path)


def _read_npz(path: Path, options: ReadOptions) -> pl.DataFrame:
    return read_npz(path, options.names)


def _read_mat(path: Path, options: ReadOptions) -> pl.DataFrame:
    return read_mat(path, options.names)


_Reader = Callable[[Path, ReadOptions], pl.DataFrame]
_READERS: tuple[tuple[tuple[str, ...], str, _Reader], ...] = (
    (CSV_SUFFIXES, "CSV", _read_csv),
    ((".parquet", ".pq"), "Parquet", _read_parquet),
    ((".arrow", ".feather", ".ipc"), "Arrow IPC", _read_ipc),
    ((".npz",), "NPZ", _read_npz),
    ((".mat",), "MATLAB v5", _read_mat),
)


def _stack(paths: Sequence[Path], frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    expected = frames[0].columns
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        if set(frame.columns) != set(expected):
            odd = sorted(set(frame.columns) ^ set(expected))
            raise TableError(f"{path}: its columns are not those of {paths[0]} (they differ in {first_names(odd)}).")
    aligned = [frame.select(expected) for frame in frames]
    try:
        return pl.concat(aligned, how="vertical_relaxed", rechunk=False)
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().split("\n")[0]
        raise TableError(f"the files from {paths[0]} on hold different types ({reason}).") from error
