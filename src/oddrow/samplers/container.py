"""New rows in the container that the caller's rows came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl


def in_form_of(X: Any, rows: pl.DataFrame) -> Any:
    """Rows, with the columns of X in order, as X is: a polars or pandas frame, an Arrow table, an array or a list."""
    if isinstance(X, pl.DataFrame):
        return rows.select(pl.col(name).cast(dtype) for name, dtype in X.schema.items())
    if _is_pandas(X):
        return rows.to_pandas().set_axis(X.columns, axis=1).astype(X.dtypes)
    if hasattr(X, "__arrow_c_stream__"):
        return rows.to_arrow().cast(X.schema)
    array = rows.to_numpy()
    return array.tolist() if isinstance(X, list) else array.astype(np.asarray(X).dtype)


def without_rows(X: Any) -> Any:
    """X's form alone, which keeps none of its rows alive."""
    if isinstance(X, pl.DataFrame):
        return X.clear()
    if _is_pandas(X):
        return X.iloc[:0].copy()
    if hasattr(X, "__arrow_c_stream__"):
        return X.schema.empty_table()
    return [] if isinstance(X, list) else np.asarray(X)[:0].copy()


def labels_in_form_of(y: Any, values: Any) -> Any:
    """Labels (n,) as y is: a series or one-column frame of polars or pandas, an array or a list."""
    if isinstance(y, pl.Series):
        return pl.Series(y.name, values, dtype=y.dtype)
    if isinstance(y, pl.DataFrame):
        return pl.DataFrame(values, schema=y.schema)
    if _is_pandas(y):
        shaped = values if y.ndim == 1 else np.reshape(values, (len(values), -1))
        names = {"name": y.name} if y.ndim == 1 else {"columns": y.columns}
        made = type(y)(shaped, **names)
        return made.astype(y.dtype if y.ndim == 1 else y.dtypes)
    array = np.asarray(values)
    return array.tolist() if isinstance(y, list) else array.astype(np.asarray(y).dtype)


def below(first: Any, second: Any) -> Any:
    """Rows or labels below others of the same container."""
    if isinstance(first, (pl.DataFrame, pl.Series)):
        return pl.concat([first, second])
    if _is_pandas(first):
        import pandas as pd

        return pd.concat([first, second], ignore_index=True)
    if hasattr(first, "__arrow_c_stream__"):
        return type(first).from_batches([*first.to_batches(), *second.to_batches()])
    if isinstance(first, list):
        return first + second
    second = np.reshape(second, (len(second), *np.shape(first)[1:]))
    return np.concatenate([first, second])


def _is_pandas(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "pandas"
