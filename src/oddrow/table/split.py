"""Which rows train, which validate, which test."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, TableError, check_number, offenders
from oddrow.typing import Ints

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def split_random(
    n_rows: int, fraction: float, rng: np.random.Generator, *, y: npt.NDArray[Any] | None = None
) -> tuple[Ints, Ints]:
    """Draw `fraction` of the rows at random, with `y` (n,) the same fraction of each of its values.

    Returns (rest, drawn): sorted row numbers. The drawn part is rounded down, so that a single row stays in the rest.

    >>> rest, drawn = split_random(10, 0.3, np.random.default_rng(0))
    >>> len(rest), len(drawn)
    (7, 3)
    """
    check_number("fraction", fraction, 0, 1)
    # np.unique takes all NaN, the unknown labels, for one value.
    place = np.zeros(n_rows, dtype=np.int64) if y is None else np.unique(y, return_inverse=True)[1]
    groups = [np.flatnonzero(place == group) for group in np.unique(place)]
    drawn = np.zeros(n_rows, dtype=bool)
    for group in groups:
        drawn[rng.permutation(group)[: int(len(group) * fraction)]] = True
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)


def split_latest(times: pl.Series, fraction: float) -> tuple[Ints, Ints]:
    """The latest `fraction` of the rows by time, (n,) numbers or times without missing values.

    Returns (earlier, latest): sorted row numbers. Rows of one time stay together, in the later part, so no row of
    the earlier part is as late as any of the later one; where all rows have one time, nothing is split off.

    >>> split_latest(pl.Series([3, 1, 2, 9]), 0.25)
    (array([0, 1, 2]), array([3]))
    """
    check_number("fraction", fraction, 0, 1)
    n_latest = int(len(times) * fraction)
    if n_latest == 0 or times.min() == times.max():
        return np.arange(len(times)), np.arange(0)
    cut = times.sort()[len(times) - n_latest]
    if cut == times.min():
        cut = times.filter(times > cut).min()
    latest = (times >= cut).to_numpy()
    return np.flatnonzero(~latest), np.flatnonzero(latest)


def rows_between(times: pl.Series, start: str | None, until: str | None) -> npt.NDArray[np.bool_]:
    """Mask (n,) of the rows with start <= time < until; bounds are numbers or ISO dates, None leaves a side open.

    A bound without a time zone is meant in the column's own. Raises `ParameterError` for a bound that cannot be
    compared with the column, and what `check_times` does.

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


def clock(times: pl.Series) -> npt.NDArray[np.float64]:
    """Times as numbers (n,): numbers as they are, dates and times in seconds since 1970.

    Raises what `check_times` does.
    """
    check_times(times)
    if times.dtype.is_numeric():
        return times.cast(pl.Float64).to_numpy()
    return (times.dt.epoch("us") / 1e6).to_numpy()


def wall_clock(times: pl.Series) -> npt.NDArray[np.float64]:
    """The same by the clock on the wall of the column's own time zone, so that days begin there at midnight."""
    has_zone = isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None
    return clock(times.dt.replace_time_zone(None) if has_zone else times)


def moment_on_clock(text: str, times: pl.Series) -> float:
    """A bound, as `rows_between` takes it, on the `clock` of the column."""
    bound = _bound(text, times)
    return float(clock(pl.Series(times.name, [bound], dtype=times.dtype, strict=False))[0])


def duration(text: str, times: pl.Series) -> float:
    """A span as `clock` counts: a number in a column of numbers, else a number with s, m, h or d behind it.

    >>> duration("7d", pl.Series([datetime(2018, 7, 25)])), duration("3600", pl.Series([0, 1]))
    (604800.0, 3600.0)
    """
    is_number = times.dtype.is_numeric()
    number, unit = (text, "") if is_number else (text[:-1], text[-1:])
    try:
        value = float(number) * (1.0 if is_number else SECONDS[unit])
    except (ValueError, KeyError) as error:
        expected = "a number" if is_number else "a number with s, m, h or d behind it, such as 7d"
        raise ParameterError(
            f"{text!r} is no span of column '{times.name}' ({times.dtype}): expected {expected}."
        ) from error
    check_number(f"span {text!r}", value, 0)
    return value


def orders_rows(times: pl.Series) -> bool:
    """Whether values of this type have an order in time: numbers, dates, times."""
    return times.dtype.is_numeric() or times.dtype in (pl.Date, pl.Datetime)


def check_times(times: pl.Series, *, first: int = 0) -> None:
    """Raise `TableError` for values that have no order in time, or are missing; `first` is the first row's number."""
    if not orders_rows(times):
        raise TableError(
            f"column '{times.name}': values of type {times.dtype} order no rows. Expected numbers, dates or times."
        )
    missing = times.is_null() | times.is_nan() if times.dtype.is_float() else times.is_null()
    if missing.any():
        rows = missing.arg_true().to_list()
        shown = offenders([first + row for row in rows[:3]], [times[row] for row in rows[:3]])
        raise TableError(
            f"column '{times.name}': {len(rows):,} of {len(times):,} times are missing ({shown}). "
            "Expected one in every row. Fill them in, or leave these rows out."
        )


def _bound(text: str, times: pl.Series) -> float | datetime:
    is_number = times.dtype.is_numeric()
    try:
        return float(text) if is_number else _moment(text, getattr(times.dtype, "time_zone", None))
    except ValueError as error:
        expected = "a number" if is_number else "an ISO date such as 2018-07-25 or 2018-07-25T13:00"
        raise ParameterError(
            f"{text!r} cannot be compared with column '{times.name}' ({times.dtype}): expected {expected}."
        ) from error


def _moment(text: str, zone: str | None) -> datetime:
    moment = datetime.fromisoformat(text)
    if zone is None and moment.tzinfo is not None:
        raise ValueError("the column has no time zone")
    if zone is None:
        return moment
    return moment.replace(tzinfo=ZoneInfo(zone)) if moment.tzinfo is None else moment.astimezone(ZoneInfo(zone))
