"""Text files of delimited fields: column names, types, blocks of rows, and the lines that are too long or too short."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from oddrow.errors import TableError, counted
from oddrow.table.table import check_column_names, check_number_of_names

T = TypeVar("T")

# Rows from which polars infers the types of columns.
N_ROWS_FOR_TYPES = 10_000

MAX_BLOCK_ROWS = 131_072

# The message of polars for a value that is not of the type inferred for its column.
UNPARSED = re.compile(r"could not parse `(?P<value>.*)` as dtype .*\(column number (?P<number>\d+)\)", re.DOTALL)

# Options that make polars read every line as one field.
AS_LINES: dict[str, Any] = {
    "separator": "\x01",
    "quote_char": None,
    "has_header": False,
    "infer_schema": False,
    "truncate_ragged_lines": True,
}


@dataclass(frozen=True)
class ReadOptions:
    """Say how to read text files. A saved model keeps the options, so that new files are read the same way.

    Parameters
    ----------
    header : bool, optional
        Whether the first line holds the column names; by default it does, unless `names` is given.
    names : tuple of str, optional
        Column names. With `header=True` they replace those of the file.
    missing : tuple of str, optional
        Texts that mean a missing value, in addition to the empty field.

    Examples
    --------
    >>> ReadOptions(names=("amount", "shop")).has_header
    False
    """

    header: bool | None = None
    names: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ()

    @property
    def has_header(self) -> bool:
        """Whether the first line holds the column names."""
        return self.names is None if self.header is None else self.header


class TypeChangedError(Exception):
    """A late line does not fit the type that its column had so far; the file must be read again."""


def repeat_until_types_hold(read: Callable[[], T]) -> T:
    """Call `read` until it no longer raises `TypeChangedError`, and return its result."""
    while True:
        try:
            return read()
        except TypeChangedError:
            continue


class TextFile:
    """A text file whose column types are inferred from its first rows.

    If a later value does not fit, the whole column becomes floats, or else text: `blocks` raises `TypeChangedError`,
    and uses the new type when it is called again.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path, self.options = path, options
        if path.name.lower().endswith(".gz"):
            # polars would read a file that is not compressed without a word.
            with gzip.open(path) as opened:
                opened.read(1)
        self.delimiter = _delimiter(path)
        self.columns = self._column_names()
        self.changed_types: dict[str, Any] = {}

    def whole(self) -> pl.DataFrame:
        """Return all rows."""
        return repeat_until_types_hold(
            lambda: pl.concat([self.empty(), *self.blocks(MAX_BLOCK_ROWS)], rechunk=False),
        )

    def empty(self) -> pl.DataFrame:
        """Return the columns with their types and no rows."""
        return self._scan().clear().collect()

    def blocks(self, n_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, about `n_rows` at a time."""
        n_read = n_without_last = 0
        try:
            for block in self._without_blank_end(self._scan().collect_batches(chunk_size=n_rows)):
                n_read, n_without_last = n_read + block.height, n_without_last + block[self.columns[-1]].null_count()
                yield block
        except pl.exceptions.ComputeError as error:
            self._change_type(error)
            raise TypeChangedError from error
        if n_without_last and len(self.columns) > 1:
            self._check_no_short_line(n_read)

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_csv(
            self.path,
            separator=self.delimiter,
            has_header=self.options.has_header,
            new_columns=self.columns,
            null_values=list(self.options.missing) or None,
            try_parse_dates=True,
            infer_schema_length=N_ROWS_FOR_TYPES,
            schema_overrides=self.changed_types or None,
            glob=False,
        )

    def _column_names(self) -> list[str]:
        try:
            first = pl.read_csv(
                self.path, n_rows=1, separator=self.delimiter, has_header=False, infer_schema=False, glob=False
            )
        except pl.exceptions.ComputeError as error:
            self._check_no_long_line(error)
            raise
        if self.options.names is not None:
            check_number_of_names(self.path, self.options.names, first.width)
            names = list(self.options.names)
        elif self.options.has_header:
            names = [str(value) if value is not None else f"column_{i + 1}" for i, value in enumerate(first.row(0))]
            names[0] = names[0].removeprefix("\ufeff")
        else:
            names = [f"column_{column + 1}" for column in range(first.width)]
        check_column_names(names, str(self.path))
        return names

    def _change_type(self, error: pl.exceptions.ComputeError) -> None:
        """Give the column that could not be read a wider type, or raise what else is wrong."""
        self._check_no_long_line(error)
        found = UNPARSED.search(str(error))
        column = self.columns[int(found["number"]) - 1] if found else None
        if found is None or column is None or self.changed_types.get(column) == pl.String:
            raise error
        # Whole numbers become floats only for a decimal point: an id of 20 digits must keep all of them.
        is_decimal = "." in found["value"] and column not in self.changed_types
        self.changed_types[column] = pl.Float64 if is_decimal else pl.String

    def _without_blank_end(self, blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Remove the blank lines at the end; in a table of one column they are missing values."""
        held: list[pl.DataFrame] = []
        for block in blocks:
            held.append(block)
            if block.width < 2 or (block.height and any(value is not None for value in block.row(-1))):
                yield from held
                held = []
        if held:
            rows = pl.concat(held)
            n_blank = _count_lines(self._fields_per_line())[1] if rows.height else 0
            yield rows.head(max(rows.height - n_blank, 0))

    def _check_no_long_line(self, error: Exception) -> None:
        if "more fields" not in str(error):
            return
        lines = self._fields_per_line()
        width = lines.first().collect()["n_fields"].item()
        long = lines.filter(pl.col("n_fields") > width).collect(engine="streaming")
        raise TableError(self._ragged(long["number"], "more", width)) from error

    def _check_no_short_line(self, n_rows: int) -> None:
        """Raise `TableError` for a line that ends early: polars fills it with nulls, as it does an empty last field."""
        lines, width = self._fields_per_line(), len(self.columns)
        short = lines.filter(pl.col("n_fields") < width).collect(engine="streaming")
        n_lines, n_blank = _count_lines(lines)
        short = short.filter(pl.col("number") <= n_lines - n_blank)
        # If quoted fields contain line breaks, lines are not rows and their field counts are meaningless.
        if short.height and n_lines - n_blank == n_rows + self.options.has_header:
            raise TableError(self._ragged(short["number"], "fewer", width))

    def _fields_per_line(self) -> pl.LazyFrame:
        """Return the `number` of each line, from 1, and its `n_fields`, 0 for a blank one."""
        lines = pl.scan_csv(self.path, new_columns=["line"], glob=False, **AS_LINES)
        line = pl.col("line").fill_null("").str.strip_chars("\r")
        unquoted = line.str.replace_all('"[^"]*"', "")
        n_fields = unquoted.str.count_matches(self.delimiter, literal=True).cast(pl.Int64) + 1
        numbered = lines.with_row_index("number", offset=1)
        return numbered.select("number", n_fields=pl.when(line == "").then(0).otherwise(n_fields))

    def _ragged(self, numbers: pl.Series, how: str, width: int) -> str:
        where = ", ".join(f"line {number}" for number in numbers[:3])
        verb = "have" if len(numbers) > 1 else "has"
        return (
            f"{self.path}: {counted(len(numbers), 'line')} {verb} {how} fields than the first line, which has {width} "
            f"({where}). Correct the file, or put quotes around fields that contain the delimiter."
        )


def _delimiter(path: Path) -> str:
    """Return a tab for .tsv; else a comma, or what the first line has instead: a semicolon or a tab."""
    if ".tsv" in path.name.lower():
        return "\t"
    line = str(pl.read_csv(path, n_rows=1, glob=False, **AS_LINES).item(0, 0))
    return next((other for other in (";", "\t") if other in line and "," not in line), ",")


def _count_lines(lines: pl.LazyFrame) -> tuple[int, int]:
    """Return the number of lines, and how many of them are blank lines at the end."""
    counts = lines.select(pl.len(), last=pl.col("number").filter(pl.col("n_fields") > 0).max()).collect()
    return counts["len"].item(), counts["len"].item() - counts["last"].item()
