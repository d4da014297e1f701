"""`RowEncoder`: one row, a dict, encoded in microseconds exactly as a table of that row would be."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from oddrow.encoding.column_encoding import (
    ELAPSED,
    MICROSECONDS_PER_DAY,
    MISSING,
    SECONDS_PER_DAY,
    TIME_PARTS,
    CategoryColumn,
    NumberColumn,
    knot_deviates,
    scale_numbers,
)
from oddrow.encoding.encoder import Encoded, TableEncoder
from oddrow.errors import TableError, raise_all
from oddrow.table.schema import Schema
from oddrow.typing import Floats


class RowEncoder:
    """Encode one row at a time.

    The result is equal to the bit to `encoder.transform(schema.conform(frame))` of a frame with that row. Numbers,
    text, booleans, dates, times and their ISO text take microseconds. Everything else that a table can hold, such as a
    Decimal or a number written as text, is converted to a table first, which takes milliseconds. Keys that are not
    columns are ignored. Several threads may share an encoder.

    Parameters
    ----------
    schema : Schema
        The schema that the encoder was fitted to.
    encoder : TableEncoder
        The fitted encoder; it is read once.

    Examples
    --------
    >>> frame = pl.DataFrame({"amount": [1.0, 3.0], "shop": ["a", "b"]})
    >>> schema = Schema.infer(frame)
    >>> encode = RowEncoder(schema, TableEncoder().fit(frame, schema))
    >>> encode({"amount": 3, "shop": "b"}).categories
    array([4], dtype=int32)
    """

    def __init__(self, schema: Schema, encoder: TableEncoder) -> None:
        self._schema, self._encoder = schema, encoder
        kinds = {column.name: column.kind for column in schema.features}
        columns = encoder.number_columns_
        is_numeric = np.array([kinds[column.source] == "numeric" for column in columns], np.bool_)
        self._numeric_columns = [column.source for column in columns if column.part == "value"]
        self._numeric_places, self._time_places = np.flatnonzero(is_numeric), np.flatnonzero(~is_numeric)
        self._time_columns = [name for name, kind in kinds.items() if kind == "time"]
        self._time_parts = [_PARTS_OF_MOMENT[name] for name in dict.fromkeys(encoder.times)]
        for parts in self._time_parts:
            # Fills the caches now, so that the first row need not wait for them.
            parts(_EPOCH)
        self._scaling = _Scaling(columns)
        self._categories = [_Category(column, kinds[column.source]) for column in encoder.category_columns_]
        self._n_numbers = len(encoder.number_sources_)

    def __call__(self, row: Mapping[str, Any]) -> Encoded:
        """Encode a row.

        Parameters
        ----------
        row : mapping of str to object
            Values by column; None and NaN are missing.

        Returns
        -------
        Encoded
            Numbers (n_numbers,) float32 and level numbers (n_categories,) int32.

        Raises
        ------
        TableError
            If a column is absent or its value cannot be read as its kind, as for a table.
        """
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            return self._encode(row)
        # A value that is unusual in rows: a table can read it, or can say what is wrong with it.
        return self._encode_as_table(row)

    def _encode(self, row: Mapping[str, Any]) -> Encoded:
        numbers = np.zeros(self._n_numbers, np.float32)
        self._scaling.encode(self._values(row), numbers)
        place, embedded = self._scaling.n_numbers, []
        for category in self._categories:
            level = category.level(row[category.source])
            if not category.one_hot:
                embedded.append(level)
                continue
            if level >= category.first_one_hot:
                numbers[place + level - category.first_one_hot] = 1
            place += category.n_one_hot
        return Encoded(numbers, np.array(embedded, np.int32))

    def _values(self, row: Mapping[str, Any]) -> Floats:
        """Return the value that each number is encoded from, (n_columns,), NaN if missing."""
        raw = [row[name] for name in self._numeric_columns]
        if not _READABLE.issuperset(map(type, raw)):
            raise TypeError("only a table can read this number")
        numeric = np.array(raw, np.float64)
        if (np.abs(numeric) >= _MAX_INTEGER).any():
            raise ValueError("only a table can read this number, unless it is infinite")
        if not self._time_columns:
            return numeric
        values = np.empty(len(self._numeric_places) + len(self._time_places))
        values[self._numeric_places] = numeric
        moments = [_moment(row[name]) for name in self._time_columns]
        values[self._time_places] = [
            number for moment in moments for parts in self._time_parts for number in parts(moment)
        ]
        return values

    def _encode_as_table(self, row: Mapping[str, Any]) -> Encoded:
        if not isinstance(row, Mapping):
            raise TableError(f"the row is a {type(row).__name__}. Expected a dict of column names and values.")
        frame = _frame(row, self._schema.feature_names)
        numbers, categories = self._encoder.transform(self._schema.conform(frame))
        return Encoded(numbers[0], categories[0])


class _Scaling:
    """The parameters of all number columns as arrays (n_columns,), for the arithmetic of `NumberColumn`."""

    def __init__(self, columns: Sequence[NumberColumn]) -> None:
        self.center = np.array([column.center for column in columns], np.float64)
        self.scale = np.array([column.scale for column in columns], np.float64)
        is_soft = np.array([column.soft_limit is not None for column in columns], np.bool_)
        self.is_soft = True if is_soft.all() else is_soft
        self.soft_limit = np.array([column.soft_limit or 1.0 for column in columns]) if is_soft.any() else None
        self.encoded_missing = np.array([column.encoded_missing for column in columns], np.float64)
        has_missing = np.array([column.has_missing for column in columns], np.bool_)
        ends = np.cumsum(1 + has_missing)
        self.places = ends - 1 - has_missing
        self.flagged, self.flag_places = np.flatnonzero(has_missing), ends[has_missing] - 1
        self.n_numbers = len(columns) + int(has_missing.sum())
        self.ranks = _Ranks(columns) if any(column.knots for column in columns) else None

    def encode(self, values: Floats, numbers: Any) -> None:
        """Encode values (n_columns,), NaN if missing, into `numbers` (n_numbers,)."""
        is_missing = np.isnan(values)
        encoded = scale_numbers(values, self.center, self.scale, self.soft_limit, self.is_soft)
        if self.ranks is not None:
            self.ranks.encode(values, encoded)
        numbers[self.places] = np.where(is_missing, self.encoded_missing, encoded)
        numbers[self.flag_places] = is_missing[self.flagged]


class _Ranks:
    """Ranks as normal deviates, for all columns with knots at once.

    This repeats the arithmetic of `np.interp`, because two calls of it for each column would double the time of a row.
    """

    def __init__(self, columns: Sequence[NumberColumn]) -> None:
        self._columns = [column for column in columns if column.knots]
        self._places = np.flatnonzero([bool(column.knots) for column in columns])
        halves = [np.array(column.knots) / 2 for column in self._columns]
        deviates = [knot_deviates(len(knots)) for knots in halves]
        self._searched = [knots.tolist() for knots in halves]
        self._halves, self._deviates = np.concatenate(halves), np.concatenate(deviates)
        self._slopes = np.concatenate(list(map(_slopes, halves, deviates)))
        self._first = np.cumsum([0, *map(len, halves)])[:-1]
        self._last = self._first + np.array([len(knots) - 1 for knots in halves], np.int64)
        self._first_slope = self._first + np.arange(len(halves))
        # On machines with fused multiply-add NumPy's compiled code rounds differently; then this is not used.
        trials = np.random.default_rng(0).random((N_TRIALS, len(halves)))
        self._is_exact = bool(np.isfinite(self._slopes).all()) and all(map(self._agrees, trials))

    def encode(self, values: Floats, encoded: Floats) -> None:
        """Encode those of the values (n_columns,) that have knots into `encoded` (n_columns,)."""
        found = values[self._places]
        encoded[self._places] = self._interpolate(found / 2) if self._is_exact else self._one_by_one(found)

    def _interpolate(self, halves: Floats) -> Floats:
        """Return the mean of both interpolations of halved values, as `NumberColumn.encode` does."""
        pairs = list(zip(self._searched, halves.tolist(), strict=True))
        above = np.array([bisect_right(knots, half) for knots, half in pairs])
        from_below = np.array([bisect_left(knots, half) for knots, half in pairs])
        low, high = np.maximum(self._first + above - 1, self._first), np.minimum(self._first + from_below, self._last)
        rising = self._slopes[self._first_slope + above] * (halves - self._halves[low]) + self._deviates[low]
        falling = self._slopes[self._first_slope + from_below] * (halves - self._halves[high]) + self._deviates[high]
        return np.asarray(rising + falling) / 2

    def _one_by_one(self, values: Floats) -> Floats:
        return np.array([column.encode(values[[place]])[0] for place, column in enumerate(self._columns)])

    def _agrees(self, shares: Floats) -> bool:
        """Return whether both ways encode values at these shares (n_columns,) of each range alike."""
        first, last = self._halves[self._first], self._halves[self._last]
        halves = first + shares * (last - first)
        return np.array_equal(self._interpolate(halves), self._one_by_one(2 * halves))


# Values of each column with knots that are tried.
N_TRIALS = 50


def _slopes(knots: Floats, deviates: Floats) -> Floats:
    """Return the slopes before, between and after the knots, 0 between tied ones."""
    widths = np.diff(knots)
    with np.errstate(over="ignore"):
        between = np.divide(np.diff(deviates), widths, out=np.zeros_like(widths), where=widths > 0)
    return np.concatenate([[0.0], between, [0.0]])


class _Category:
    """The level numbers of a category by value, for single values as `CategoryColumn.encode` has them for columns."""

    def __init__(self, column: CategoryColumn, kind: str) -> None:
        self.source, self.one_hot = column.source, column.one_hot
        self.first_one_hot, self.n_one_hot = column.first_one_hot, len(column.one_hot_names)
        self.is_text, self.other_level = kind == "category", column.other_level
        named: dict[Any, int] = column.level_numbers
        if kind == "boolean":
            named = {True: named.get("true", self.other_level), False: named.get("false", self.other_level)}
        self.levels = {None: MISSING, **named}

    def level(self, value: Any) -> int:
        """Return the level number of a value; raise `KeyError` or `TypeError` if only a table can read it."""
        return self.levels.get(_text(value), self.other_level) if self.is_text else self.levels[value]


# The rest reads single values as `Schema.conform` and `TIME_PARTS` read columns, where that is simple. A column of one
# value would take polars a hundred times as long.

# Types of numbers that NumPy and polars convert to float64 alike.
_READABLE = frozenset({float, int, bool, type(None), np.float64, np.float32, np.int64, np.int32})

# From here on polars has other types for integers.
_MAX_INTEGER = 2.0**63

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}|\.[0-9]{6})?")

_EPOCH, _MICROSECOND = datetime(1970, 1, 1), timedelta(microseconds=1)

_MONDAY = np.datetime64("1970-01-05", "us")


def _text(value: Any) -> str | None:
    kind = type(value)
    if value is None or kind is str:
        text: str | None = value
        return text
    if kind is bool:
        return "true" if value else "false"
    if kind is int and abs(value) < _MAX_INTEGER:
        return str(value)
    raise TypeError("only a table can read this as text")


def _moment(value: Any) -> datetime | None:
    kind = type(value)
    if value is None or (kind is datetime and value.tzinfo is None):
        moment: datetime | None = value
        return moment
    if kind is str and _ISO.fullmatch(value):
        return datetime.fromisoformat(value)
    if kind is np.datetime64:
        # NaT becomes None, and a year that Python does not support an integer, which must not be read as seconds.
        moment = value.astype("datetime64[us]").item()
        return _moment(str(moment) if isinstance(moment, int) else moment)
    if kind is date:
        return datetime(value.year, value.month, value.day)
    if kind in (int, float):
        return _EPOCH + int(value * 1e6) * _MICROSECOND
    raise TypeError("only a table can read this as a time")


def _hour(moment: datetime | None) -> Iterable[float]:
    return _NO_POSITION if moment is None else _circle("hour")[3600 * moment.hour + 60 * moment.minute + moment.second]


def _weekday(moment: datetime | None) -> Iterable[float]:
    return _NO_POSITION if moment is None else _circle("weekday")[moment.weekday()]


def _elapsed(moment: datetime | None) -> Iterable[float]:
    return (np.nan if moment is None else (moment - _EPOCH) // _MICROSECOND / MICROSECONDS_PER_DAY,)


_NO_POSITION = (np.nan, np.nan)

_PARTS_OF_MOMENT: dict[str, Callable[[datetime | None], Iterable[float]]] = {
    "hour": _hour,
    "weekday": _weekday,
    ELAPSED: _elapsed,
}


@cache
def _circle(cycle: str) -> Floats:
    """Return sine and cosine (n, 2) of each second of a day or each day of a week.

    They are taken from `TIME_PARTS`, because polars and Python round divisions differently.
    """
    n, unit = (SECONDS_PER_DAY, "s") if cycle == "hour" else (7, "D")
    times = _MONDAY + np.arange(n).astype(f"timedelta64[{unit}]")
    return np.column_stack(list(TIME_PARTS[cycle](pl.Series(times)).values()))


# A Decimal that is not a number makes polars panic, and a PanicException is not an Exception.
_UNREADABLE = (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


def _frame(row: Mapping[str, Any], names: Collection[str]) -> pl.DataFrame:
    """Return a table of the row: the named columns with their values, others as empty columns for error messages."""
    try:
        return pl.DataFrame([{name: row[name] if name in names else None for name in row if isinstance(name, str)}])
    except _UNREADABLE as error:
        raise_all([problem for name in names if name in row for problem in _problems(name, row[name])])
        raise TableError(f"the row cannot be read as a table ({error}).") from error


def _problems(name: str, value: Any) -> Iterator[str]:
    try:
        pl.DataFrame([{name: value}])
    except _UNREADABLE:
        yield (
            f"column '{name}': {value!r:.60} ({type(value).__name__}) cannot be stored in a table. "
            "Expected a number, text, true or false, or a time; None if it is missing."
        )
