"""Times: how a column orders rows, spans such as `7d`, and rows between two moments."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from oddrow.errors import ParameterError, TableError, check_number, offenders
from oddrow.table.convert import describe_type
from oddrow.table.invalid_values import n_of
from oddrow.typing import Floats, Mask

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def rows_between(times: pl.Series, start: str | None, until: str | None) -> Mask:
    """Return the mask (n,) of rows with start <= time < until.

    Bounds are numbers or ISO dates; None leaves a side open. A bound without a time zone is in that of the column.
    Raise `ParameterError` if a bound cannot be compared with the column, and `TableError` as `check_times` does.

    >>> rows_between(pl.Series([1, 2, 3]), "2", None)
    array([False,  True,  True])
    """
    check_times(times)
    chosen = np.ones(len(times), dtype=bool)
    if start is not None:
        chosen &= (times >= _bound(start, times)).to_numpy()
    if until is not None:
        chosen &= (times < _bound(until, times)).to_numpy()
    return chosen


def clock(times: pl.Series) -> Floats:
    """Return times as numbers (n,): numbers as they are, dates and times in seconds since 1970 UTC.

    Raise `TableError` as `check_times` does.
    """
    check_times(times)
    if times.dtype.is_numeric():
        return times.cast(pl.Float64).to_numpy()
    return (times.dt.epoch("us") / 1e6).to_numpy()


def wall_clock(times: pl.Series) -> Floats:
    """Return `clock` of the local times of the column's time zone, so that days start at local midnight."""
    has_zone = isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None
    return clock(times.dt.replace_time_zone(None) if has_zone else times)


def moment_on_clock(text: str, times: pl.Series) -> float:
    """Return a bound, written as for `rows_between`, on the `clock` of the column."""
    bound = _bound(text, times)
    return float(clock(pl.Series(times.name, [bound], dtype=times.dtype, strict=False))[0])


def duration(text: str, times: pl.Series) -> float:
    """Return a span on the `clock` of a column: a plain number for numbers, else a number with s, m, h or d.

    >>> duration("7d", pl.Series([datetime(2018, 7, 25)])), duration("3600", pl.Series([0, 1]))
    (604800.0, 3600.0)
    """
    is_number = times.dtype.is_numeric()
    number, unit = (text, "") if is_number else (text[:-1], text[-1:])
    try:
        value = float(number) * (1.0 if is_number else SECONDS[unit])
    except (ValueError, KeyError) as error:
        expected = "a number" if is_number else "a number followed by s, m, h or d, such as 7d"
        raise ParameterError(
            f"{text!r} is not a span of column '{times.name}' ({times.dtype}). Expected {expected}."
        ) from error
    check_number(f"span {text!r}", value, 0)
    return value


def orders_rows(times: pl.Series) -> bool:
    """Return whether the type of a column has an order in time: numbers, dates, times."""
    return times.dtype.is_numeric() or times.dtype in (pl.Date, pl.Datetime)


def check_times(times: pl.Series, *, first: int = 0) -> None:
    """Raise `TableError` if times are missing or cannot be ordered; `first` is the number of the first row."""
    if not orders_rows(times):
        raise TableError(
            f"column '{times.name}': {describe_type(times.dtype)} cannot order rows by time. "
            "Expected numbers, dates or times."
        )
    missing = times.is_null() | times.is_nan() if times.dtype.is_float() else times.is_null()
    if missing.any():
        rows = missing.arg_true().to_list()
        shown = offenders([first + row for row in rows[:3]], [times[row] for row in rows[:3]])
        raise TableError(
            f"column '{times.name}': {n_of(len(rows), len(times), 'time')} missing ({shown}). "
            "Expected a time in every row. Fill them in, or remove these rows."
        )


def _bound(text: str, times: pl.Series) -> float | datetime:
    is_number = times.dtype.is_numeric()
    try:
        return float(text) if is_number else _moment(text, getattr(times.dtype, "time_zone", None))
    except ValueError as error:
        expected = "a number" if is_number else "an ISO date such as 2018-07-25 or 2018-07-25T13:00"
        raise ParameterError(
            f"{text!r} cannot be compared with column '{times.name}' ({times.dtype}). Expected {expected}."
        ) from error


def _moment(text: str, zone: str | None) -> datetime:
    moment = datetime.fromisoformat(text)
    if zone is None and moment.tzinfo is not None:
        raise ValueError("the column has no time zone")
    if zone is None:
        return moment
    return moment.replace(tzinfo=ZoneInfo(zone)) if moment.tzinfo is None else moment.astimezone(ZoneInfo(zone))
