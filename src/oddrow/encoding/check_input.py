"""The input X of an estimator: checked as scikit-learn requires, and turned into a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sklearn.utils.validation import _check_feature_names, validate_data

from oddrow.errors import TableError
from oddrow.estimator import Estimator
from oddrow.table.table import Table, as_table


def check_table(estimator: Estimator, X: Any, *, reset: bool, dtype: Any = np.float64) -> Table:
    """Return X as a table after scikit-learn's checks of its columns.

    With `reset`, as in `fit`, the estimator records the columns; otherwise they must match the recorded ones. Arrays
    are converted to `dtype`; "numeric" keeps integers and booleans as they are.
    """
    if not isinstance(X, (Table, pl.LazyFrame)) and not hasattr(X, "columns") and not hasattr(X, "__arrow_c_stream__"):
        # Fortran order, because the table will hold it column by column.
        form = {"dtype": dtype, "order": "F", "ensure_all_finite": "allow-nan", "ensure_min_samples": 1 + reset}
        return Table.from_array(validate_data(estimator, X, reset=reset, **form))
    X = X.collect() if isinstance(X, pl.LazyFrame) else X
    table = as_table(X)
    # An estimator fitted to a `Table` records no names; its schema compares them, in any order.
    if not isinstance(X, Table) and (reset or hasattr(estimator, "feature_names_in_")):
        _check_feature_names(estimator, X, reset=reset)
    if reset:
        estimator.n_features_in_ = len(table.columns)
    return table


def check_row_count(table: Table, least: int) -> None:
    """Raise `TableError` for a table with fewer rows than needed."""
    if table.n_rows < least:
        verb = "learn what is normal" if least > 1 else "score"
        raise TableError(f"{table.source}: n_samples = {table.n_rows}, expected at least {least} to {verb}.")
