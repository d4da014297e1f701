"""What each column of a table means: inferred from its values, shown with the reason, overridden by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from oddrow.display import html_table, text_table
from oddrow.errors import TableError, check_choice, counted, raise_all
from oddrow.table.convert import parse_numbers
from oddrow.table.invalid_values import ValidationReport, convert_column, missing_column
from oddrow.table.parquet import Frame
from oddrow.typing import Ints

FEATURE_KINDS = ("numeric", "category", "boolean", "time")
KINDS = (*FEATURE_KINDS, "identifier", "constant", "dropped")

# Text is numeric if this share of it reads as numbers.
NUMERIC_SHARE = 0.95

# Text with this share of different values identifies rows, as does a counter; shorter tables prove nothing.
DISTINCT_SHARE = 0.8
MIN_ROWS_FOR_IDENTIFIER = 50

# `card_id`, `UUID`, `TransactionID`, but not `paid` or `valid`.
IDENTIFIER_NAME = re.compile(r"(?i:(?:^|[_\s.-])(?:id|uuid|guid)$)|[a-z](?:ID|Id)$")

HEADINGS = ("column", "kind", "reason", "missing")

# Rows are converted in slices, so that no second copy of a large table is in memory.
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Column:
    """Describe one column of a table.

    Parameters
    ----------
    name : str
        Name of the column.
    kind : str
        `numeric`, `category`, `boolean` or `time` for a feature; `identifier`, `constant` or `dropped` otherwise.
    reason : str
        Reason for the kind, in words.
    n_missing : int, default 0
        Number of missing values, NaN included.

    Examples
    --------
    >>> Column("amount", "numeric", "values of type Float64").is_feature
    True
    """

    name: str
    kind: str
    reason: str
    n_missing: int = 0

    @property
    def is_feature(self) -> bool:
        """Whether the column contributes to the score."""
        return self.kind in FEATURE_KINDS


@dataclass(frozen=True, repr=False)
class Schema:
    """List the columns of a table with their kinds.

    Columns of kind `numeric`, `category`, `boolean` and `time` are features; `identifier`, `constant` and `dropped`
    columns are not used.

    Parameters
    ----------
    columns : tuple of Column
        The columns in order.

    See Also
    --------
    Schema.infer : Decide the kinds from the values.

    Examples
    --------
    >>> frame = pl.DataFrame({"amount": [1.5, 2.0, None], "shop": ["a", "b", "a"]})
    >>> Schema.infer(frame)
    column  kind      reason                        missing
    amount  numeric   values of type Float64              1
    shop    category  text with 2 different values
    """

    columns: tuple[Column, ...]

    @classmethod
    def infer(
        cls, frame: Frame, kinds: Mapping[str, str] | None = None, reasons: Mapping[str, str] | None = None
    ) -> Schema:
        """Decide the kind of each column from its values.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.
        kinds : mapping of str to str, optional
            Kinds of columns, by name, that override what the values say.
        reasons : mapping of str to str, optional
            Reasons for these kinds, by name; by default "set by you".

        Returns
        -------
        Schema
            One column for each of the frame's.

        Raises
        ------
        ParameterError
            If a kind is unknown.
        TableError
            If `kinds` names a column that the frame lacks.
        """
        kinds = dict(kinds or {})
        for name, kind in kinds.items():
            check_choice(f"the kind of column {name!r}", kind, KINDS)
        raise_all([missing_column(name, frame.columns) for name in kinds if name not in frame.columns])
        given = {name: (kind, (reasons or {}).get(name, "set by you")) for name, kind in kinds.items()}
        return cls(tuple(_infer_column(frame[name], given.get(name)) for name in frame.columns))

    @property
    def features(self) -> tuple[Column, ...]:
        """Columns that contribute to the score."""
        return tuple(column for column in self.columns if column.is_feature)

    @property
    def feature_names(self) -> list[str]:
        """Names of the columns that contribute to the score."""
        return [column.name for column in self.features]

    def conform(self, frame: Frame) -> pl.DataFrame:
        """Return the feature columns, converted to their kinds.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows; further columns are ignored.

        Returns
        -------
        polars.DataFrame
            Features in the order of the schema: numbers as Float64, categories as text, booleans, and local times in
            microseconds. Missing values and NaN are null.

        Raises
        ------
        TableError
            If columns are missing or hold values of another kind; the message lists all of them.
        """
        report = ValidationReport()
        ready = _finite_numbers(frame, self.features) if isinstance(frame, pl.DataFrame) else {}
        series = [ready[c.name] if c.name in ready else _convert(frame, c, report, None) for c in self.features]
        report.raise_all(frame.height)
        return pl.DataFrame({values.name: values for values in series if values is not None})

    def conform_slices(self, frame: Frame) -> Iterator[pl.DataFrame]:
        """Yield the converted features of a frame slice by slice.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.

        Yields
        ------
        polars.DataFrame
            What `conform` returns for up to 65,536 rows.
        """
        yield from map(self.conform, frame.iter_slices(ROWS_AT_ONCE))

    def check(self, frame: Frame, rows: Ints | None = None) -> None:
        """Raise the error that `conform` would raise, with one converted column in memory at a time.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.
        rows : ndarray of int64, shape (n,), optional
            Row numbers for the message; by default they count from 0.

        Raises
        ------
        TableError
            If columns are missing or hold values of another kind; the message lists all of them.
        """
        report = ValidationReport()
        self.add_problems(report, frame, rows)
        report.raise_all(frame.height)

    def add_problems(self, report: ValidationReport, frame: Frame, rows: Ints | None = None) -> None:
        """Add to a report what `check` would raise, to validate a table part by part.

        Parameters
        ----------
        report : ValidationReport
            Collects the problems.
        frame : polars.DataFrame or ParquetFrame
            Some rows of the table.
        rows : ndarray of int64, shape (n,), optional
            Their row numbers; by default they count from 0.
        """
        for column in self.features:
            _convert(frame, column, report, rows)

    def __repr__(self) -> str:
        """Return the columns as aligned text."""
        return text_table(HEADINGS, self._cells(), n_left=3)

    def _repr_html_(self) -> str:
        return html_table(HEADINGS, self._cells(), n_left=3)

    def _cells(self) -> list[tuple[str, ...]]:
        return [(c.name, c.kind, c.reason, f"{c.n_missing:,}" if c.n_missing else "") for c in self.columns]


def check_features(schema: Schema) -> None:
    """Raise `TableError` if no column is a feature."""
    if not schema.features:
        listed = "; ".join(f"'{column.name}' is {column.kind}: {column.reason}" for column in schema.columns[:5])
        raise TableError(f"no column can be scored ({listed}). Expected at least one feature whose values vary.")


def _infer_column(values: pl.Series, given: tuple[str, str] | None) -> Column:
    n_missing = values.null_count() + (int(values.is_nan().sum()) if values.dtype.is_float() else 0)
    kind, why = given or _kind_and_reason(values, len(values) - n_missing)
    return Column(values.name, kind, why, n_missing)


def _kind_and_reason(values: pl.Series, n_known: int) -> tuple[str, str]:
    if n_known == 0:
        return "constant", "every value is missing"
    known = values.drop_nans().drop_nulls() if values.dtype.is_float() else values.drop_nulls()
    if known.dtype in (pl.List, pl.Array, pl.Struct, pl.Object, pl.Binary):
        return "dropped", f"values of type {values.dtype} are not numbers, text or times"
    if known.min() == known.max() and n_known == len(values):
        return "constant", f"every value is {known[0]!r}"
    if known.dtype == pl.Boolean:
        return "boolean", "true or false"
    if known.dtype in (pl.Date, pl.Datetime):
        return "time", "dates" if known.dtype == pl.Date else "dates and times"
    if known.dtype.is_integer():
        return _integer_kind(known)
    if known.dtype.is_numeric() or known.dtype in (pl.Duration, pl.Time):
        return "numeric", f"values of type {values.dtype}"
    return _text_kind(known.cast(pl.String))


def _integer_kind(known: pl.Series) -> tuple[str, str]:
    if IDENTIFIER_NAME.search(known.name):
        return "identifier", "whole numbers under a name that ends in 'id'"
    low, high = int(known.min()), int(known.max())  # type: ignore[arg-type]
    is_long = len(known) >= MIN_ROWS_FOR_IDENTIFIER
    if is_long and high - low == len(known) - 1 and known.n_unique() == len(known):
        return "identifier", f"counts from {low} to {high}, every number once"
    return "numeric", "whole numbers"


def _text_kind(known: pl.Series) -> tuple[str, str]:
    n_bad = parse_numbers(known).null_count()
    if n_bad <= (1 - NUMERIC_SHARE) * len(known):
        exception = f", except {counted(n_bad, 'value')}" if n_bad else ""
        return "numeric", f"text that reads as numbers{exception}"
    n_levels = known.n_unique()
    if IDENTIFIER_NAME.search(known.name):
        return "identifier", "text under a name that ends in 'id'"
    if len(known) >= MIN_ROWS_FOR_IDENTIFIER and n_levels >= DISTINCT_SHARE * len(known):
        return "identifier", f"text with {n_levels:,} different values in {len(known):,} rows"
    return "category", f"text with {counted(n_levels, 'different value')}"


def _finite_numbers(frame: pl.DataFrame, columns: Sequence[Column]) -> dict[str, pl.Series]:
    """Convert all columns of finite numbers at once: one by one, the calls cost more than the work."""
    types = frame.schema
    names = [c.name for c in columns if c.kind == "numeric" and types.get(c.name, pl.String()).is_numeric()]
    if not names:
        return {}
    converted = frame.select(pl.col(names).cast(pl.Float64).fill_nan(None))
    has_infinite = converted.select(pl.all().is_infinite().any()).row(0)
    return {name: converted[name] for name, infinite in zip(names, has_infinite, strict=True) if not infinite}


def _convert(frame: Frame, column: Column, report: ValidationReport, rows: Ints | None) -> pl.Series | None:
    if column.name not in frame.columns:
        report.add_column(column.name, missing_column(column.name, frame.columns))
        return None
    return convert_column(frame[column.name], column.kind, report, rows)
