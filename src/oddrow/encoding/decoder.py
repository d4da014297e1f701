"""`TableDecoder`: encoded numbers and categories back into columns that look like those of the training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.columns import CategoryColumn, NumberColumn
from oddrow.encoding.encoder import Encoded, TableEncoder
from oddrow.encoding.times import CYCLES, ELAPSED, circle_position, move_times, times_from_days
from oddrow.table.schema import Schema, as_text
from oddrow.typing import Floats


def restore_dtype(values: pl.Series, given: pl.Series, kind: str) -> pl.Series:
    """Conformed values (n,) of a kind in the type of the given column; null where that type cannot hold one.

    Text is given back for numbers and booleans, but not for times: there each column has its own way of writing them.

    >>> restore_dtype(pl.Series("n", [3.0, None]), pl.Series("n", [7], dtype=pl.Int32), "numeric").to_list()
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


class TableDecoder:
    """Decodes what an encoder has encoded, or what a network made of that.

    Numbers stay within the range of the training rows and have as many decimals as those; whole numbers stay whole. Of
    0/1 numbers the largest counts. A time is what its part `elapsed` says; without that it is a given time, moved to
    the hour and the weekday that its other parts say.

    >>> frame = pl.DataFrame({"amount": [1.25, 3.5, 2.0], "shop": ["a", "b", "a"]})
    >>> schema = Schema.infer(frame)
    >>> encoder = TableEncoder(times=(ELAPSED,)).fit(frame, schema)
    >>> TableDecoder(encoder, schema)(encoder.transform(frame)).rows()
    [(1.25, 'a'), (3.5, 'b'), (2.0, 'a')]
    """

    def __init__(self, encoder: TableEncoder, schema: Schema) -> None:
        self.kinds = {column.name: column.kind for column in schema.features}
        self.parts = {(column.source, column.part): column for column in encoder.number_columns_}
        self.places = {source: place for place, source in enumerate(encoder.number_sources_)}
        self.categories = {column.source: column for column in encoder.category_columns_}
        self.embedded = [source for source, _ in encoder.category_sources_]

    def __call__(self, encoded: Encoded, near: pl.DataFrame | None = None) -> pl.DataFrame:
        """The rows (n, features) as `Schema.conform` returns them; times without `elapsed` are moved from those of
        `near`, rows of the same form.
        """
        return pl.DataFrame([self._column(name, encoded, near) for name in self.kinds])

    def _column(self, name: str, encoded: Encoded, near: pl.DataFrame | None) -> pl.Series:
        if name in self.categories:
            return self._category(self.categories[name], encoded)
        if self.kinds[name] == "time":
            return self._time(name, encoded.numbers, near).alias(name)
        return pl.Series(name, self.decode_part(name, "value", encoded.numbers)).fill_nan(None)

    def decode_part(self, source: str, part: str, numbers: npt.NDArray[np.float32]) -> Floats:
        """One part of the rows' numbers decoded, (n,), like the training rows'; NaN where a value is missing."""
        column, place = self.parts[source, part], self.places[source, part]
        values = _decoded(column, numbers[:, place])
        # Its flag follows a number.
        return np.where(numbers[:, place + 1] > 0.5, np.nan, values) if column.has_missing else values

    def _time(self, source: str, numbers: npt.NDArray[np.float32], near: pl.DataFrame | None) -> pl.Series:
        turns = {part: self._turns(source, part, numbers) for part in CYCLES if (source, f"{part}_sin") in self.parts}
        if (source, ELAPSED) not in self.parts:
            return move_times(near[source], turns) if near is not None else pl.repeat(None, len(numbers), eager=True)
        times = times_from_days(self.decode_part(source, ELAPSED, numbers))
        if not turns:
            return times
        column = self.parts[source, ELAPSED]
        least, largest = times_from_days(np.array([column.low, column.high], np.float64))
        return move_times(times, turns).clip(least, largest)

    def _turns(self, source: str, part: str, numbers: npt.NDArray[np.float32]) -> Floats:
        sine, cosine = (
            self.parts[place].decode(numbers[:, self.places[place]].astype(np.float64))
            for place in ((source, f"{part}_sin"), (source, f"{part}_cos"))
        )
        return circle_position(sine, cosine)

    def _category(self, column: CategoryColumn, encoded: Encoded) -> pl.Series:
        if column.one_hot:
            return self.level_values(column, column.likeliest(self.level_scores(column, encoded.numbers)))
        return self.level_values(column, encoded.categories[:, self.embedded.index(column.source)])

    def level_values(self, column: CategoryColumn, levels: npt.NDArray[np.int32]) -> pl.Series:
        """Levels (n,) as text, or as booleans where the column holds such."""
        names = pl.Series([None, *column.names[1:]], dtype=pl.String).gather(levels).alias(column.source)
        return names == "true" if self.kinds[column.source] == "boolean" else names

    def level_scores(self, column: CategoryColumn, numbers: npt.NDArray[np.floating[Any]]) -> Floats:
        """How near to 1 the 0/1 numbers of a category are, (n, names)."""
        places = [self.places[column.source, f"={level}"] for level in column.one_hot_names]
        chances = np.zeros((len(numbers), len(column.names)))
        chances[:, len(column.names) - len(places) :] = np.clip(numbers[:, places], 0, 1)
        return chances


def _decoded(column: NumberColumn, encoded: npt.NDArray[np.float32]) -> Floats:
    with np.errstate(over="ignore"):
        return column.clip_and_round(column.decode(encoded.astype(np.float64)))
