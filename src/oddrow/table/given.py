"""`as_given`: the way back from `Schema.conform`, into the types in which a table came."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from oddrow.table.schema import as_text


def as_given(values: pl.Series, given: pl.Series, kind: str) -> pl.Series:
    """Conformed values (n,) of a kind in the type of the given column; null where that type cannot hold one.

    Text is given back for numbers and booleans, but not for times: there each column has its own way of writing them.

    >>> as_given(pl.Series("n", [3.0, None]), pl.Series("n", [7], dtype=pl.Int32), "numeric").to_list()
    [3, None]
    """
    dtype = given.dtype
    if dtype in (pl.Null, values.dtype):
        return values
    return _BACK[kind](values, given).cast(dtype, strict=False).alias(values.name)


def _number(values: pl.Series, given: pl.Series) -> pl.Series:
    if given.dtype == pl.String:
        text = as_text(values)
        return values if text is None else text
    if given.dtype in (pl.Duration, pl.Time):
        microseconds = (values * 1e6).round().cast(pl.Int64)
        return microseconds.cast(pl.Duration("us")) if given.dtype == pl.Duration else 1000 * microseconds
    if given.dtype == pl.Boolean:
        return values >= 0.5
    return values.round() if given.dtype.is_integer() else values


def _boolean(values: pl.Series, given: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Int8)
    if given.dtype != pl.String:
        return numbers
    spoken = given.drop_nulls().str.strip_chars().is_in(["0", "1"]).all()
    return numbers.cast(pl.String) if spoken else values.cast(pl.String)


def _category(values: pl.Series, given: pl.Series) -> pl.Series:
    if given.dtype.is_temporal():
        return values.str.strptime(given.dtype, strict=False)  # type: ignore[arg-type]
    return values == "true" if given.dtype == pl.Boolean else values


def _time(values: pl.Series, given: pl.Series) -> pl.Series:
    if given.dtype.is_numeric():
        return values.dt.epoch("us").cast(pl.Float64) / 1e6
    if zone := getattr(given.dtype, "time_zone", None):
        return values.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return values


_BACK: dict[str, Callable[[pl.Series, pl.Series], pl.Series]] = {
    "numeric": _number,
    "category": _category,
    "boolean": _boolean,
    "time": _time,
}
