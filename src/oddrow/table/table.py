"""`Table`: the rows as oddrow sees them, wherever they came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import TableError, first_names
from oddrow.table.parquet import Frame
from oddrow.table.schema import Column, Schema, as_booleans

SYNTHETIC = "oddrow_synthetic"


@dataclass(frozen=True)
class Table:
    """Rows in a polars frame, with what is known about them.

    `source` is what messages call the table. `synthetic` is a boolean mask (n,): True where a row was generated;
    such rows may train but never test. `schema` says what each column means, once somebody has decided. `note` is what
    whoever uses the table should be told of how it came about. `is_marked` says whether the frame had such a mask.

    >>> Table.from_frame(pl.DataFrame({"amount": [1.0, 2.5]})).n_rows
    2
    """

    frame: Frame
    source: str
    synthetic: npt.NDArray[np.bool_]
    schema: Schema | None = None
    note: str = ""
    is_marked: bool = False

    @classmethod
    def from_frame(cls, frame: Frame, source: str = "the table") -> Table:
        """Take a polars frame; its column `oddrow_synthetic`, where present, becomes the mask."""
        if SYNTHETIC not in frame.columns:
            return cls(frame, source, np.zeros(frame.height, dtype=bool))
        marks = as_booleans(frame[SYNTHETIC])
        if marks is None or marks.null_count() > frame[SYNTHETIC].null_count():
            raise TableError(f"{source}: column '{SYNTHETIC}' holds other values than true and false.")
        return cls(frame.drop(SYNTHETIC), source, marks.fill_null(False).to_numpy(), is_marked=True)

    @classmethod
    def from_array(cls, X: npt.NDArray[Any]) -> Table:
        """Take a numeric array (n, d): every column is a number, named `x0`, `x1`, …"""
        names = [f"x{column}" for column in range(X.shape[1])]
        frame = pl.DataFrame({name: X[:, column] for column, name in enumerate(names)})
        schema = Schema(tuple(Column(name, "numeric", "a numeric array") for name in names))
        return replace(cls.from_frame(frame, "the array"), schema=schema)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.frame.height

    @property
    def columns(self) -> list[str]:
        """The column names in order."""
        return self.frame.columns

    @property
    def in_memory(self) -> pl.DataFrame:
        """The rows as a polars frame; those that stay on disk are read."""
        return self.frame if isinstance(self.frame, pl.DataFrame) else self.frame.collect()

    def take(self, rows: npt.NDArray[Any]) -> Table:
        """The rows of an index array or a boolean mask (n,), in that order."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return replace(self, frame=self.frame[rows], synthetic=self.synthetic[rows])

    def keep(self, names: Iterable[str]) -> Table:
        """Only these columns, in the table's order."""
        names = set(names)
        return replace(self, frame=self.frame.select([name for name in self.columns if name in names]))

    def with_schema(self, schema: Schema) -> Table:
        """The same rows, read by a given schema."""
        return replace(self, schema=schema)

    def fitted_schema(self, kinds: dict[str, str] | None = None) -> Schema:
        """The schema decided for this table, or the one inferred from its rows with `kinds` overriding."""
        return self.schema if self.schema is not None else Schema.infer(self.frame, kinds)


def as_table(X: Any) -> Table:
    """A `Table` from a polars or pandas frame, an Arrow table, a numeric array (n, d) or a `Table`.

    Raises `TableError` for anything else and for duplicated column names.

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


def check_column_names(names: list[str], source: str) -> None:
    """Refuse a table in which two columns have one name, or one has a name that polars takes for a pattern."""
    seen: set[str] = set()
    twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if twice:
        raise TableError(
            f"{source}: column name {first_names(sorted(set(twice)))} stands more than once. "
            "Rename the columns, or give all names yourself."
        )
    if patterns := [name for name in names if name.startswith("^") and name.endswith("$")]:
        raise TableError(
            f"{source}: column name {first_names(patterns)} begins with ^ and ends with $, as a pattern of names does. "
            "Rename the columns, or give all names yourself."
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
        raise TableError("a pandas frame is read through pyarrow: pip install pyarrow") from error
