"""`Table`: rows, from a file or from memory, and what is known about them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.display import html_table, text_table
from oddrow.errors import TableError, counted, first_names
from oddrow.table.convert import as_booleans
from oddrow.table.parquet import Frame
from oddrow.table.schema import Column, Schema
from oddrow.typing import Mask

# The column that marks generated rows.
SYNTHETIC = "oddrow_synthetic"

N_PREVIEW_ROWS, N_PREVIEW_COLUMNS = 5, 8


@dataclass(frozen=True, repr=False)
class Table:
    """Hold the rows of a table and what is known about them.

    Parameters
    ----------
    frame : polars.DataFrame or ParquetFrame
        The rows.
    source : str
        Name of the table in messages, such as its path.
    synthetic : ndarray of bool, shape (n,)
        True for generated rows. They may train a model but never test one.
    schema : Schema, optional
        Meaning of the columns, if it has been decided.
    note : str, optional
        What users of the table should know about how it was made.
    is_marked : bool, default False
        Whether the source had a column that marks synthetic rows.

    See Also
    --------
    read_table : Read a table from files.

    Examples
    --------
    >>> table = Table.from_frame(pl.DataFrame({"amount": [1.0, 2.5]}), "payments")
    >>> table.n_rows, table.columns
    (2, ['amount'])
    """

    frame: Frame
    source: str
    synthetic: Mask
    schema: Schema | None = None
    note: str = ""
    is_marked: bool = False

    @classmethod
    def from_frame(cls, frame: Frame, source: str = "the table") -> Table:
        """Make a table of a frame, whose column `oddrow_synthetic`, if any, becomes the mask of synthetic rows.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.
        source : str, default "the table"
            Name of the table in messages.

        Returns
        -------
        Table
            The rows, without the marking column.

        Raises
        ------
        TableError
            If the marking column holds anything but true, false and missing values.
        """
        if SYNTHETIC not in frame.columns:
            return cls(frame, source, np.zeros(frame.height, dtype=bool))
        marks = as_booleans(frame[SYNTHETIC])
        if marks is None or marks.null_count() > frame[SYNTHETIC].null_count():
            raise TableError(f"{source}: column '{SYNTHETIC}' holds values other than true and false.")
        return cls(frame.drop(SYNTHETIC), source, marks.fill_null(False).to_numpy(), is_marked=True)

    @classmethod
    def from_array(cls, X: npt.NDArray[Any]) -> Table:
        """Make a table of an array; every column is numeric.

        Parameters
        ----------
        X : ndarray, shape (n, d)
            The rows.

        Returns
        -------
        Table
            Columns `x0`, `x1`, ….
        """
        names = [f"x{column}" for column in range(X.shape[1])]
        frame = pl.DataFrame({name: X[:, column] for column, name in enumerate(names)})
        schema = Schema(tuple(Column(name, "numeric", "a numeric array") for name in names))
        return replace(cls.from_frame(frame, "the array"), schema=schema)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.frame.height

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return self.frame.columns

    @property
    def in_memory(self) -> pl.DataFrame:
        """Rows as a polars frame; rows on disk are read."""
        return self.frame if isinstance(self.frame, pl.DataFrame) else self.frame.collect()

    def take(self, rows: npt.NDArray[Any]) -> Table:
        """Return some of the rows.

        Parameters
        ----------
        rows : ndarray of int64, shape (m,), or ndarray of bool, shape (n,)
            Row numbers, or a mask.

        Returns
        -------
        Table
            The rows in that order.
        """
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return replace(self, frame=self.frame[rows], synthetic=self.synthetic[rows])

    def keep(self, names: Iterable[str]) -> Table:
        """Return the table with some of its columns.

        Parameters
        ----------
        names : iterable of str
            Columns to keep; others are ignored.

        Returns
        -------
        Table
            The columns in the order of this table.
        """
        names = set(names)
        return replace(self, frame=self.frame.select([name for name in self.columns if name in names]))

    def with_schema(self, schema: Schema) -> Table:
        """Return the table with a given schema.

        Parameters
        ----------
        schema : Schema
            Meaning of the columns.

        Returns
        -------
        Table
            The same rows.
        """
        return replace(self, schema=schema)

    def fitted_schema(self, kinds: dict[str, str] | None = None) -> Schema:
        """Return the schema of the table, or infer one.

        Parameters
        ----------
        kinds : dict of str to str, optional
            Kinds of columns that override what the values say; ignored if the table has a schema.

        Returns
        -------
        Schema
            Meaning of the columns.
        """
        return self.schema if self.schema is not None else Schema.infer(self.frame, kinds)

    def __repr__(self) -> str:
        """Return the first rows as aligned text, and the size of the table."""
        headings, cells, note = self._preview()
        return "\n".join([text_table(headings, cells, n_left=0), note])

    def _repr_html_(self) -> str:
        headings, cells, note = self._preview()
        return html_table(headings, cells, note=note, n_left=0)

    def _preview(self) -> tuple[list[str], list[list[str]], str]:
        """Return the headings and cells of the first rows and columns, and the size of the whole table."""
        names = self.columns[:N_PREVIEW_COLUMNS]
        first = next(iter(self.frame.iter_slices(N_PREVIEW_ROWS)), None)
        rows = [] if first is None else first.select(names).rows()
        cells = [["" if value is None else _shortened(" ".join(str(value).split())) for value in row] for row in rows]
        size = f"{counted(self.n_rows, 'row')}, {counted(len(self.columns), 'column')}"
        return names, cells, f"{self.source}: {size}"


def _shortened(text: str, length: int = 30) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def as_table(X: Any) -> Table:
    """Return rows in memory as a table.

    Parameters
    ----------
    X : Table, polars.DataFrame, polars.LazyFrame, pandas.DataFrame, Arrow table or ndarray, shape (n, d)
        The rows. An array holds numbers only.

    Returns
    -------
    Table
        The rows; a `Table` is returned as it is.

    Raises
    ------
    TableError
        If X is anything else, or two columns have the same name.

    Examples
    --------
    >>> as_table(np.zeros((3, 2))).columns
    ['x0', 'x1']
    """
    if isinstance(X, Table):
        return X
    if isinstance(X, pl.LazyFrame):
        X = X.collect()
    if isinstance(X, pl.DataFrame):
        check_column_names(X.columns, "the polars frame")
        return Table.from_frame(X)
    if type(X).__module__.partition(".")[0] == "pandas":
        return Table.from_frame(_from_pandas(X))
    if hasattr(X, "__arrow_c_stream__"):
        check_column_names(getattr(X, "column_names", []), "the Arrow table")
        return Table.from_frame(pl.DataFrame(X))
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiub":
        return Table.from_array(X)
    raise TableError(
        f"{type(X).__name__} is not a table. Pass a polars or pandas frame, an Arrow table, "
        "a two-dimensional numeric array, or what read_table returns."
    )


def _from_pandas(X: Any) -> pl.DataFrame:
    frame = X.to_frame() if X.ndim == 1 else X
    names = [str(name) for name in frame.columns]
    check_column_names(names, "the pandas frame")
    named = frame.set_axis(names, axis=1)
    sparse = {name: dtype.subtype for name, dtype in named.dtypes.items() if type(dtype).__name__ == "SparseDtype"}
    try:
        return pl.from_pandas(named.astype(sparse) if sparse else named, nan_to_null=True)
    except ImportError as error:
        raise TableError("pandas frames are read through pyarrow, which is missing: pip install pyarrow") from error


def check_column_names(names: list[str], source: str) -> None:
    """Raise `TableError` if a column name is repeated, or if polars would take it for a pattern."""
    if repeated := sorted(name for name, n in Counter(names).items() if n > 1):
        raise TableError(
            f"{source}: several columns have the name {first_names(repeated)}. "
            "Rename them, or pass the names of all columns (names=, --set table.names=)."
        )
    if patterns := [name for name in names if name.startswith("^") and name.endswith("$")]:
        raise TableError(
            f"{source}: column {first_names(patterns)} starts with ^ and ends with $, like a regular expression. "
            "Rename it, or pass the names of all columns (names=, --set table.names=)."
        )


def check_number_of_names(path: Path, names: Sequence[str], n_columns: int) -> None:
    """Raise `TableError` if there are not as many names as columns."""
    if len(names) != n_columns:
        raise TableError(f"{path}: {counted(len(names), 'name')} given for {counted(n_columns, 'column')}.")


Hashes = npt.NDArray[np.uint64]


def table_hashes(frame: Frame, schema: Schema) -> Hashes:
    """Hash the features of each row as it was read, (n,)."""
    return np.concatenate([row_hashes(part) for part in schema.conform_slices(frame)])


def row_hashes(frame: pl.DataFrame) -> Hashes:
    """Hash each row of a frame that `Schema.conform` returned, (n,); equal rows have equal hashes.

    >>> hashes = row_hashes(pl.DataFrame({"amount": [1.5, 2.0, 1.5]}))
    >>> bool(hashes[0] == hashes[2]), bool(hashes[0] == hashes[1])
    (True, False)
    """
    hashes = np.zeros(frame.height, dtype=np.uint64)
    for values in frame:
        hashes = _mix(hashes ^ _mix(_bits(values) + _text_hash(values.name)))
    return hashes


def _bits(values: pl.Series) -> Hashes:
    """Return 64 bits for each value: those of the number, or a hash of the text."""
    if values.dtype == pl.String:
        levels = values.unique().drop_nulls()
        codes = pl.Series([_text_hash(level) for level in levels], dtype=pl.UInt64)
        return values.replace_strict(levels, codes, default=0, return_dtype=pl.UInt64).fill_null(0).to_numpy()
    if values.dtype.is_float():
        # Adding zero turns -0.0 into 0.0: equal numbers must have equal bits.
        return (values.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0).view(np.uint64)
    whole = values.cast(pl.Int64).fill_null(np.iinfo(np.int64).min)
    return whole.to_numpy().view(np.uint64)


def _text_hash(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _mix(bits: Hashes) -> Hashes:
    """Apply the final steps of SplitMix64 (Steele, Lea and Flood, 2014): every input bit affects every output bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
