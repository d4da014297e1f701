"""Which rows a detector must not learn from: those that y says are anomalies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import TableError
from oddrow.table.table import Table


def apart_by_label(table: Table, y: Any) -> tuple[Table, Table]:
    """The rows of a table to learn normal from, and those where y (n,) is 1: known anomalies."""
    none = table.take(np.arange(0))
    if y is None:
        return table, none
    anomalous = _known_anomalies(y)
    if len(anomalous) != table.n_rows:
        raise TableError(f"y has {len(anomalous):,} values for {table.n_rows:,} rows.")
    n_known = int(anomalous.sum())
    if n_known == table.n_rows:
        raise TableError(f"all {n_known:,} rows are anomalous (y is 1): nothing is left to learn normal from.")
    return (table.take(~anomalous), table.take(anomalous)) if n_known else (table, none)


def _known_anomalies(y: Any) -> npt.NDArray[np.bool_]:
    """Mask (n,) of the rows where y is 1; all False where y is no anomaly label."""
    values = _label_values(y)
    none = np.zeros(len(values), dtype=bool)
    if values.dtype == pl.Boolean:
        return values.fill_null(False).to_numpy()
    if not values.dtype.is_numeric():
        return none
    numbers = values.cast(pl.Float64).fill_nan(None)
    known = numbers.drop_nulls()
    return (numbers == 1).fill_null(False).to_numpy() if known.is_in([0.0, 1.0]).all() else none


def _label_values(y: Any) -> pl.Series:
    if isinstance(y, (pl.Series, list)):
        return pl.Series("y", y, strict=False)
    array = np.asarray(y).ravel()
    # None in an array of objects is a missing label; as a series of objects it would make y no label at all.
    return pl.Series("y", array.tolist() if array.dtype.kind == "O" else array, strict=False)
