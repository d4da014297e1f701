"""Text files of separated fields: how one is laid out, its rows block by block, and what is wrong with a ragged one."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from oddrow.errors import TableError
from oddrow.table.table import check_column_names

LOOKED_AT = 10_000

MOST_BLOCK_ROWS = 131_072

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


class WiderError(Exception):
    """A late line shows that a column is of another type than its first lines say: read the file again."""


class Delimited:
    """A text file, of which types are guessed from the first rows.

    A column that later turns out otherwise is floats, else text, from the first row on: `blocks` then raises
    `WiderError`, and knows better when it is called again.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path, self.options = path, options
        if path.name.lower().endswith(".gz"):
            with gzip.open(path) as opened:
                opened.read(1)
        self.separator = _separator(path)
        self.columns = self._names()
        self.wider: dict[str, Any] = {}

    def whole(self) -> pl.DataFrame:
        """All rows."""
        while True:
            try:
                return pl.concat([self.empty(), *self.blocks(MOST_BLOCK_ROWS)], rechunk=False)
            except WiderError:
                continue

    def empty(self) -> pl.DataFrame:
        """The columns with their types, and no rows."""
        return self._scan().clear().collect()

    def blocks(self, n_rows: int) -> Iterator[pl.DataFrame]:
        """The rows in order, about n_rows at a time."""
        n_read = n_without_last = 0
        try:
            for block in self._without_blank_end(self._scan().collect_batches(chunk_size=n_rows)):
                n_read, n_without_last = n_read + block.height, n_without_last + block[self.columns[-1]].null_count()
                yield block
        except pl.exceptions.ComputeError as error:
            self._widen(error)
            raise WiderError from error
        if n_without_last and len(self.columns) > 1:
            self._check_no_short_line(n_read)

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_csv(
            self.path,
            separator=self.separator,
            has_header=self.options.has_header,
            new_columns=self.columns,
            null_values=list(self.options.missing) or None,
            try_parse_dates=True,
            infer_schema_length=LOOKED_AT,
            schema_overrides=self.wider or None,
            glob=False,
        )

    def _names(self) -> list[str]:
        """The names to use, checked against the width of the first line."""
        options: dict[str, Any] = {"separator": self.separator, "has_header": False, "infer_schema": False}
        try:
            first = pl.read_csv(self.path, n_rows=1, glob=False, **options)
        except pl.exceptions.ComputeError as error:
            self._check_no_long_line(error)
            raise
        if self.options.names is not None:
            if len(self.options.names) != first.width:
                raise TableError(f"{self.path}: {len(self.options.names)} names were given for {first.width} columns.")
            names = list(self.options.names)
        elif self.options.has_header:
            names = [str(value) if value is not None else f"column_{i + 1}" for i, value in enumerate(first.row(0))]
            names[0] = names[0].removeprefix("\ufeff")
        else:
            names = [f"column_{column + 1}" for column in range(first.width)]
        check_column_names(names, str(self.path))
        return names

    def _widen(self, error: pl.exceptions.ComputeError) -> None:
        """Take note of the column that could not be read; raise what else is wrong."""
        self._check_no_long_line(error)
        found = UNPARSED.search(str(error))
        column = self.columns[int(found["number"]) - 1] if found else None
        if found is None or column is None or self.wider.get(column) == pl.String:
            raise error
        # Only a decimal point makes floats of whole numbers: an id of 20 digits must keep them all.
        is_decimal = "." in found["value"] and column not in self.wider
        self.wider[column] = pl.Float64 if is_decimal else pl.String

    def _without_blank_end(self, blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Blank lines at the end of a file are no rows; in a table of one column they are missing values."""
        held: list[pl.DataFrame] = []
        for block in blocks:
            held.append(block)
            if block.width < 2 or (block.height and any(value is not None for value in block.row(-1))):
                yield from held
                held = []
        if held:
            rows = pl.concat(held)
            n_blank = _lines_and_blank_end(self._fields_per_line())[1] if rows.height else 0
            yield rows.head(max(rows.height - n_blank, 0))

    def _check_no_long_line(self, error: Exception) -> None:
        if "more fields" not in str(error):
            return
        lines = self._fields_per_line()
        width = lines.first().collect()["n_fields"].item()
        long = lines.filter(pl.col("n_fields") > width).collect(engine="streaming")
        raise TableError(self._ragged(long["number"], "more", width)) from error

    def _check_no_short_line(self, n_rows: int) -> None:
        """polars fills a line that ends early with nulls; an empty last field is fine, a missing one is not."""
        lines, width = self._fields_per_line(), len(self.columns)
        short = lines.filter(pl.col("n_fields") < width).collect(engine="streaming")
        n_lines, n_blank = _lines_and_blank_end(lines)
        short = short.filter(pl.col("number") <= n_lines - n_blank)
        # With line breaks inside quotes a line is no row, and the lines tell nothing.
        if short.height and n_lines - n_blank == n_rows + self.options.has_header:
            raise TableError(self._ragged(short["number"], "fewer", width))

    def _fields_per_line(self) -> pl.LazyFrame:
        """Each line's number, from 1, and its fields, 0 where blank; separators within quotes do not count."""
        lines = pl.scan_csv(self.path, new_columns=["line"], glob=False, **_AS_LINES)
        line = pl.col("line").fill_null("").str.strip_chars("\r")
        bare = line.str.replace_all('"[^"]*"', "")
        n_fields = bare.str.count_matches(self.separator, literal=True).cast(pl.Int64) + 1
        numbered = lines.with_row_index("number", offset=1)
        return numbered.select("number", n_fields=pl.when(line == "").then(0).otherwise(n_fields))

    def _ragged(self, numbers: pl.Series, how: str, width: int) -> str:
        where = ", ".join(f"line {number}" for number in numbers[:3])
        have = f"{len(numbers):,} lines have" if len(numbers) > 1 else "a line has"
        return (
            f"{self.path}: {have} {how} fields than the first one, which has {width} ({where}). "
            "Mend them, or put quotes around fields that hold the separator."
        )


_AS_LINES: dict[str, Any] = {
    "separator": "\x01",
    "quote_char": None,
    "has_header": False,
    "infer_schema": False,
    "truncate_ragged_lines": True,
}


def _separator(path: Path) -> str:
    """What parts the fields: a comma, but in .tsv a tab, and where the first line has no comma a semicolon or a tab."""
    if ".tsv" in path.name.lower():
        return "\t"
    line = str(pl.read_csv(path, n_rows=1, glob=False, **_AS_LINES).item(0, 0))
    return next((other for other in (";", "\t") if other in line and "," not in line), ",")


def _lines_and_blank_end(lines: pl.LazyFrame) -> tuple[int, int]:
    """How many lines there are, and how many of them are blank and at the end."""
    counted = lines.select(pl.len(), last=pl.col("number").filter(pl.col("n_fields") > 0).max()).collect()
    return counted["len"].item(), counted["len"].item() - counted["last"].item()
