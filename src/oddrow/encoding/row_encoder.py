"""`RowEncoder`: one row, a dict, to encoded numbers and categories in microseconds, as a table of it would be."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.columns import (
    LARGEST_ENCODED,
    MISSING,
    RARE,
    UNEXPECTED_MISSING,
    UNSEEN,
    CategoryColumn,
    NumberColumn,
    knot_deviates,
)
from oddrow.encoding.encoder import Encoded, TableEncoder
from oddrow.encoding.times import SECONDS_PER_DAY, TIME_PARTS
from oddrow.errors import TableError, raise_all
from oddrow.table.schema import Schema
from oddrow.typing import Floats, Ints

# What NumPy makes float64 of as polars does.
_NUMBERS = frozenset({float, int, bool, type(None), np.float64, np.float32, np.int64, np.int32})

# Values of each column with knots that are tried.
N_TRIALS = 50

# From here on polars has other types for whole numbers.
_LARGEST = 2.0**63

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}|\.[0-9]{6})?")

_EPOCH, _MICROSECOND = datetime(1970, 1, 1), timedelta(microseconds=1)

_MONDAY = np.datetime64("1970-01-05", "us")

# A Decimal that is no number makes polars panic, which is no Exception.
_UNREADABLE = (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


class RowEncoder:
    """Encodes one row at a time, to the bit as `encoder.transform(schema.conform(frame))` encodes a frame of that row.

    Numbers, text, booleans, dates, times and their ISO text take microseconds; whatever else a table can hold, such as
    a Decimal or a number that is text, goes the way of a table, which takes milliseconds. Keys that are no columns are
    ignored. Schema and encoder are read once; several threads may share a `RowEncoder`.

    >>> frame = pl.DataFrame({"amount": [1.0, 3.0], "shop": ["a", "b"]})
    >>> schema = Schema.infer(frame)
    >>> RowEncoder(schema, TableEncoder().fit(frame, schema))({"amount": 3, "shop": "b"}).categories
    array([4], dtype=int32)
    """

    def __init__(self, schema: Schema, encoder: TableEncoder) -> None:
        self._schema, self._encoder = schema, encoder
        kinds = {column.name: column.kind for column in schema.features}
        columns = encoder.number_columns_
        self._numeric = [column.source for column in columns if kinds[column.source] == "numeric"]
        self._numeric_places = _places(kinds[column.source] == "numeric" for column in columns)
        self._times = [name for name, kind in kinds.items() if kind == "time"]
        self._time_places = _places(kinds[column.source] == "time" for column in columns)
        self._parts = [_PARTS[name] for name in dict.fromkeys(encoder.times)]
        for parts in self._parts:
            # Whatever the first time would have to wait for.
            parts(_EPOCH)
        self._scales = _Scales.of(columns)
        self._categories = [_Category.of(column, kinds[column.source]) for column in encoder.category_columns_]
        self._n_numbers = len(encoder.number_sources_)

    def __call__(self, row: Mapping[str, Any]) -> Encoded:
        """The row as numbers (n_numbers,) float32 and categories (n_categories,) int32.

        Raises `TableError` for a column that is absent or holds a value of another kind, as for a table.
        """
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            return self._plain(row)
        # It holds what rows seldom hold: a table can read it, or says what is wrong.
        return self._as_table(row)

    def _plain(self, row: Mapping[str, Any]) -> Encoded:
        numbers = np.zeros(self._n_numbers, np.float32)
        self._scales.put(self._values(row), numbers)
        place, embedded = self._scales.end, []
        for category in self._categories:
            level = category.level(row[category.source])
            if not category.one_hot:
                embedded.append(level)
                continue
            if level >= category.first:
                numbers[place + level - category.first] = 1
            place += category.width
        return Encoded(numbers, np.array(embedded, np.int32))

    def _values(self, row: Mapping[str, Any]) -> Floats:
        """What each number column is encoded from (n_columns,), NaN for missing."""
        given = [row[name] for name in self._numeric]
        if not _NUMBERS.issuperset(map(type, given)):
            raise TypeError("a number that only a table can read")
        read = np.array(given, np.float64)
        if (np.abs(read) >= _LARGEST).any():
            raise ValueError("infinite, or a number that only a table can read")
        if not self._times:
            return read
        values = np.empty(len(self._numeric_places) + len(self._time_places))
        values[self._numeric_places] = read
        moments = [_moment(row[name]) for name in self._times]
        values[self._time_places] = [part for moment in moments for parts in self._parts for part in parts(moment)]
        return values

    def _as_table(self, row: Mapping[str, Any]) -> Encoded:
        if not isinstance(row, Mapping):
            raise TableError(f"the row is a {type(row).__name__}. Expected a dict of column names and values.")
        frame = _frame(row, self._schema.feature_names)
        numbers, categories = self._encoder.transform(self._schema.conform(frame))
        return Encoded(numbers[0], categories[0])


class _Scales(NamedTuple):
    """What `NumberColumn.encode` knows, of all number columns at once: arrays (n_columns,) but for the last four."""

    center: Floats
    scale: Floats
    limit: Floats
    is_soft: npt.NDArray[np.bool_]
    missing: Floats
    places: Ints
    flagged: Ints
    flags: Ints
    knots: _Knots | None
    end: int

    @classmethod
    def of(cls, columns: Sequence[NumberColumn]) -> _Scales:
        has_missing = np.array([column.has_missing for column in columns], np.bool_)
        ends = np.cumsum(1 + has_missing)
        return cls(
            np.array([column.center for column in columns], np.float64),
            np.array([column.scale for column in columns], np.float64),
            np.array([column.soft_limit or 1.0 for column in columns], np.float64),
            np.array([column.soft_limit is not None for column in columns], np.bool_),
            np.where(has_missing, 0.0, UNEXPECTED_MISSING),
            ends - 1 - has_missing,
            np.flatnonzero(has_missing),
            ends[has_missing] - 1,
            _Knots(columns) if any(column.knots for column in columns) else None,
            int(ends[-1]) if len(ends) else 0,
        )

    def put(self, values: Floats, numbers: npt.NDArray[np.float32]) -> None:
        """Write values (n_columns,), NaN for missing, as encoded numbers, and a 1 beside those that are missing."""
        is_missing = np.isnan(values)
        with np.errstate(over="ignore"):
            scaled = (values - self.center) / self.scale
            encoded = np.where(self.is_soft, self.limit * np.arcsinh(scaled / self.limit), scaled)
        encoded = np.clip(encoded, -LARGEST_ENCODED, LARGEST_ENCODED)
        if self.knots is not None:
            self.knots.put(values, encoded)
        numbers[self.places] = np.where(is_missing, self.missing, encoded)
        numbers[self.flags] = is_missing[self.flagged]


class _Knots:
    """The number columns that are places among knots, all at once: knots, halved, their deviates, slopes between."""

    def __init__(self, columns: Sequence[NumberColumn]) -> None:
        self._columns = [(place, column) for place, column in enumerate(columns) if column.knots]
        self._places = np.array([place for place, _ in self._columns], np.int64)
        halves = [np.array(column.knots) / 2 for _, column in self._columns]
        deviates = [knot_deviates(len(knots)) for knots in halves]
        self._sought = [knots.tolist() for knots in halves]
        self._halves, self._deviates = np.concatenate(halves), np.concatenate(deviates)
        self._slopes = np.concatenate(list(map(_slopes, halves, deviates)))
        self._first = np.cumsum([0, *map(len, halves)])[:-1]
        self._last = self._first + np.array([len(knots) - 1 for knots in halves], np.int64)
        self._first_slope = self._first + np.arange(len(halves))
        # Where the machine multiplies and adds in one go, NumPy's own code and this differ.
        trials = np.random.default_rng(0).random((N_TRIALS, len(halves)))
        self._is_exact = bool(np.isfinite(self._slopes).all()) and all(map(self._agrees, trials))

    def put(self, values: Floats, encoded: Floats) -> None:
        """Write the encoded numbers (n_columns,) of values (n_columns,) that have knots."""
        found = values[self._places]
        encoded[self._places] = self._between(found / 2) if self._is_exact else self._one_by_one(found)

    def _between(self, halves: Floats) -> Floats:
        """What `np.interp` makes of values, halved, from the left and from the right, for where knots are tied."""
        pairs = list(zip(self._sought, halves.tolist(), strict=True))
        above = np.array([bisect_right(knots, half) for knots, half in pairs])
        from_below = np.array([bisect_left(knots, half) for knots, half in pairs])
        low, high = np.maximum(self._first + above - 1, self._first), np.minimum(self._first + from_below, self._last)
        rising = self._slopes[self._first_slope + above] * (halves - self._halves[low]) + self._deviates[low]
        falling = self._slopes[self._first_slope + from_below] * (halves - self._halves[high]) + self._deviates[high]
        return np.asarray(rising + falling) / 2

    def _one_by_one(self, values: Floats) -> Floats:
        return np.array([column.encode(values[[at]])[0] for at, (_, column) in enumerate(self._columns)])

    def _agrees(self, shares: Floats) -> bool:
        """Whether values so far between the first and last knot of each column are encoded as one by one."""
        first, last = self._halves[self._first], self._halves[self._last]
        halves = first + shares * (last - first)
        return np.array_equal(self._between(halves), self._one_by_one(2 * halves))


def _slopes(knots: Floats, deviates: Floats) -> Floats:
    """Of the deviates before, between and after the knots; 0 where two are tied, as there is nothing in between."""
    apart = np.diff(knots)
    with np.errstate(over="ignore"):
        between = np.divide(np.diff(deviates), apart, out=np.zeros_like(apart), where=apart > 0)
    return np.concatenate([[0.0], between, [0.0]])


class _Category(NamedTuple):
    """What `CategoryColumn.encode` knows: level numbers by value, and of any other text; the level of the first 0/1
    number, and how many of these there are.
    """

    source: str
    is_text: bool
    levels: dict[Any, int]
    other: int
    one_hot: bool
    first: int
    width: int

    @classmethod
    def of(cls, column: CategoryColumn, kind: str) -> _Category:
        other, width = RARE if column.has_rare else UNSEEN, len(column.one_hot_names)
        first_level = len(column.names) - len(column.levels)
        levels: dict[Any, int] = dict(zip(column.levels, range(first_level, len(column.names)), strict=True))
        if kind == "boolean":
            levels = {True: levels.get("true", other), False: levels.get("false", other)}
        first = len(column.names) - width
        return cls(column.source, kind == "category", {None: MISSING, **levels}, other, column.one_hot, first, width)

    def level(self, value: Any) -> int:
        """The number of a value's level; raises `KeyError` or `TypeError` where only a table can read it."""
        return self.levels.get(_text(value), self.other) if self.is_text else self.levels[value]


def _text(value: Any) -> str | None:
    """A value as `as_text` has it, where that is simple."""
    kind = type(value)
    if value is None or kind is str:
        text: str | None = value
        return text
    if kind is bool:
        return "true" if value else "false"
    if kind is int and abs(value) < _LARGEST:
        return str(value)
    raise TypeError("text that only a table can read")


def _moment(value: Any) -> datetime | None:
    """A value as a time without a zone, as `conform` has it, where that is simple."""
    kind = type(value)
    if value is None or (kind is datetime and value.tzinfo is None):
        moment: datetime | None = value
        return moment
    if kind is str and _ISO.fullmatch(value):
        return datetime.fromisoformat(value)
    if kind is np.datetime64:
        # NaT is None there, and a year that Python does not count a whole number, which would be seconds.
        moment = value.astype("datetime64[us]").item()
        return _moment(str(moment) if isinstance(moment, int) else moment)
    if kind is date:
        return datetime(value.year, value.month, value.day)
    if kind in (int, float):
        return _EPOCH + int(value * 1e6) * _MICROSECOND
    raise TypeError("a time that only a table can read")


def _hour(moment: datetime | None) -> Iterable[float]:
    return _NOWHERE if moment is None else _circle("hour")[3600 * moment.hour + 60 * moment.minute + moment.second]


def _weekday(moment: datetime | None) -> Iterable[float]:
    return _NOWHERE if moment is None else _circle("weekday")[moment.weekday()]


def _elapsed(moment: datetime | None) -> Iterable[float]:
    return (np.nan if moment is None else (moment - _EPOCH) // _MICROSECOND / (SECONDS_PER_DAY * 1e6),)


@cache
def _circle(part: str) -> Floats:
    """Sine and cosine (n, 2) of every second of a day, or of every day of a week, as a table has them.

    Looked up rather than computed: polars divides by other roundings than Python.
    """
    n, step = (SECONDS_PER_DAY, "s") if part == "hour" else (7, "D")
    times = _MONDAY + np.arange(n).astype(f"timedelta64[{step}]")
    return np.column_stack(list(TIME_PARTS[part](pl.Series(times)).values()))


_NOWHERE = (np.nan, np.nan)

# `TIME_PARTS` of a single time.
_PARTS: dict[str, Callable[[datetime | None], Iterable[float]]] = {
    "hour": _hour,
    "weekday": _weekday,
    "elapsed": _elapsed,
}


def _places(chosen: Iterable[bool]) -> Ints:
    return np.flatnonzero(np.fromiter(chosen, np.bool_))


def _frame(row: Mapping[str, Any], names: Collection[str]) -> pl.DataFrame:
    """A table of the one row: the named columns, and of the others nothing but their names."""
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
            f"column '{name}': {value!r:.60} ({type(value).__name__}) is no value of a table. "
            "Expected a number, text, true or false, or a time; None where it is not known."
        )
