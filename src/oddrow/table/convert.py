"""Convert a column to numbers, text, booleans or times, whatever type it was read as.

A value that cannot be read becomes null. A function returns None if no value of the column's type could be read.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

BOOLEAN_TEXTS = {"true": True, "false": False, "1": True, "0": False}

# Whole numbers up to here are exact as floats.
LARGEST_EXACT = 2**53


def as_numbers(values: pl.Series) -> pl.Series | None:
    """Return Float64 values; durations and times of day become seconds, and NaN becomes null."""
    if values.dtype == pl.String:
        return parse_numbers(values)
    if values.dtype in (pl.Duration, pl.Time):
        return values.cast(pl.Duration("us")).cast(pl.Int64).cast(pl.Float64) / 1e6
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
        return values.cast(pl.Float64).fill_nan(None)
    return None


def parse_numbers(text: pl.Series) -> pl.Series:
    """Return text as Float64; what is not a number becomes null."""
    return text.str.strip_chars().cast(pl.Float64, strict=False)


def as_text(values: pl.Series) -> pl.Series | None:
    """Return text; 1.0 becomes '1' and True becomes 'true', so that files and options spell a value alike."""
    if values.dtype in (pl.List, pl.Array, pl.Struct, pl.Object, pl.Binary, pl.Duration):
        return None
    if values.dtype.is_float() or values.dtype.is_decimal():
        floats = values.cast(pl.Float64).fill_nan(None)
        # 3.0 and 3 are the same level, whether or not the file has decimal points.
        is_whole = (floats.round() == floats) & (floats.abs() < LARGEST_EXACT)
        return floats.cast(pl.Int64, strict=False).cast(pl.String).zip_with(is_whole, floats.cast(pl.String))
    return values.cast(pl.String)


def as_booleans(values: pl.Series) -> pl.Series | None:
    """Return booleans from true and false, 1 and 0, or their texts."""
    if values.dtype == pl.Boolean or values.dtype == pl.Null:
        return values.cast(pl.Boolean)
    if values.dtype == pl.String:
        texts = values.str.strip_chars().str.to_lowercase()
        return texts.replace_strict(BOOLEAN_TEXTS, default=None, return_dtype=pl.Boolean)
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64).fill_nan(None)
        return pl.select(pl.when(numbers.is_in([0.0, 1.0])).then(numbers == 1.0)).to_series().alias(values.name)
    return None


def as_times(values: pl.Series) -> pl.Series | None:
    """Return local times in microseconds; numbers count the seconds since 1970."""
    if values.dtype == pl.String:
        return values.str.to_datetime(time_unit="us", strict=False)
    if values.dtype.is_numeric():
        return (values.cast(pl.Float64).fill_nan(None) * 1e6).cast(pl.Int64).cast(pl.Datetime("us"))
    if values.dtype in (pl.Date, pl.Datetime, pl.Null):
        # The hour of the day that matters is the local one.
        has_zone = getattr(values.dtype, "time_zone", None) is not None
        return (values.dt.replace_time_zone(None) if has_zone else values).cast(pl.Datetime("us"))
    return None


CONVERTERS: dict[str, Callable[[pl.Series], pl.Series | None]] = {
    "numeric": as_numbers,
    "category": as_text,
    "boolean": as_booleans,
    "time": as_times,
}


def describe_type(kind: pl.DataType) -> str:
    """Return the everyday name of a polars type: numbers, text, true and false."""
    if isinstance(kind, (pl.Categorical, pl.Enum)):
        return "text"
    if kind.is_numeric():
        return "numbers"
    return {"String": "text", "Boolean": "true and false"}.get(str(kind), f"values of type {kind}")
