"""Encoded rows back to values: `TableDecoder` to conformed columns, `restore_dtype` to the types of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.column_encoding import (
    CYCLES,
    ELAPSED,
    CategoryColumn,
    circle_position,
    move_times,
    times_from_days,
)
from oddrow.encoding.encoder import Encoded, TableEncoder
from oddrow.table.convert import as_text
from oddrow.table.schema import Schema
from oddrow.typing import Floats


class TableDecoder:
    """Decode what an encoder encoded, or what a network made of it.

    Numbers are clipped to the range of the training rows and rounded to as many decimals as these have. Of the 0/1
    numbers of a category the largest counts. A time is decoded from its part `elapsed`; without that part it is taken
    from similar rows and moved to the decoded hour and weekday.

    Parameters
    ----------
    encoder : TableEncoder
        The fitted encoder.
    schema : Schema
        The schema that it was fitted to.

    Attributes
    ----------
    kinds : dict of str to str
        Kind of each column.
    parts : dict of (str, str) to NumberColumn
        Scaling of each number, by source column and part.
    places : dict of (str, str) to int
        Position of each number among the encoded numbers, by source column and part.
    categories : dict of str to CategoryColumn
        Levels of each category, by column.
    embedded : list of str
        Categories that are level numbers, in order.

    Examples
    --------
    >>> frame = pl.DataFrame({"amount": [1.25, 3.5, 2.0], "shop": ["a", "b", "a"]})
    >>> schema = Schema.infer(frame)
    >>> encoder = TableEncoder().fit(frame, schema)
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
        """Decode rows.

        Parameters
        ----------
        encoded : Encoded
            Encoded rows (n, n_numbers) and (n, n_categories).
        near : polars.DataFrame, n rows, or None, default=None
            Conformed rows whose times are moved if the encoder has no part `elapsed`; without them, times are missing.

        Returns
        -------
        polars.DataFrame, n rows
            Rows as `Schema.conform` returns them.
        """
        return pl.DataFrame([self._column(name, encoded, near) for name in self.kinds])

    def _column(self, name: str, encoded: Encoded, near: pl.DataFrame | None) -> pl.Series:
        if name in self.categories:
            return self._category(self.categories[name], encoded)
        if self.kinds[name] == "time":
            return self._time(name, encoded.numbers, near).alias(name)
        return pl.Series(name, self.decode_part(name, "value", encoded.numbers)).fill_nan(None)

    def decode_part(self, source: str, part: str, numbers: npt.NDArray[np.float32]) -> Floats:
        """Decode the value, or one part of a time, of one column.

        Parameters
        ----------
        source : str
            Name of the column.
        part : str
            "value", or the part of a time.
        numbers : ndarray of float32, shape (n, n_numbers)
            Encoded numbers.

        Returns
        -------
        ndarray of float64, shape (n,)
            Values within the range of the training rows, NaN if missing.
        """
        column, place = self.parts[source, part], self.places[source, part]
        with np.errstate(over="ignore"):
            values = column.clip_and_round(column.decode(numbers[:, place].astype(np.float64)))
        # The next number tells whether the value is missing.
        return np.where(numbers[:, place + 1] > 0.5, np.nan, values) if column.has_missing else values

    def _time(self, source: str, numbers: npt.NDArray[np.float32], near: pl.DataFrame | None) -> pl.Series:
        cycles = [cycle for cycle in CYCLES if (source, f"{cycle}_sin") in self.parts]
        positions = {cycle: self._circle_position(source, cycle, numbers) for cycle in cycles}
        if (source, ELAPSED) not in self.parts:
            return (
                move_times(near[source], positions) if near is not None else pl.repeat(None, len(numbers), eager=True)
            )
        times = times_from_days(self.decode_part(source, ELAPSED, numbers))
        if not positions:
            return times
        column = self.parts[source, ELAPSED]
        earliest, latest = times_from_days(np.array([column.low, column.high], np.float64))
        return move_times(times, positions).clip(earliest, latest)

    def _circle_position(self, source: str, cycle: str, numbers: npt.NDArray[np.float32]) -> Floats:
        sine, cosine = (
            self.parts[part].decode(numbers[:, self.places[part]].astype(np.float64))
            for part in ((source, f"{cycle}_sin"), (source, f"{cycle}_cos"))
        )
        return circle_position(sine, cosine)

    def _category(self, column: CategoryColumn, encoded: Encoded) -> pl.Series:
        if column.one_hot:
            return self.level_values(column, column.likeliest(self.level_scores(column, encoded.numbers)))
        return self.level_values(column, encoded.categories[:, self.embedded.index(column.source)])

    def level_values(self, column: CategoryColumn, levels: npt.NDArray[np.int32]) -> pl.Series:
        """Decode level numbers.

        Parameters
        ----------
        column : CategoryColumn
            The category.
        levels : ndarray of int32, shape (n,)
            Level numbers.

        Returns
        -------
        polars.Series, n rows
            Text, or booleans if the column is boolean.
        """
        values = pl.Series([None, *column.names[1:]], dtype=pl.String).gather(levels).alias(column.source)
        return values == "true" if self.kinds[column.source] == "boolean" else values

    def level_scores(self, column: CategoryColumn, numbers: npt.NDArray[np.floating[Any]]) -> Floats:
        """Return the 0/1 numbers of one category, one for each level number.

        Parameters
        ----------
        column : CategoryColumn
            A category that is encoded as 0/1 numbers.
        numbers : ndarray of float, shape (n, n_numbers)
            Encoded numbers, or what a network made of them.

        Returns
        -------
        ndarray of float64, shape (n, n_levels)
            Scores clipped to [0, 1]; 0 for levels without a 0/1 number.
        """
        places = [self.places[column.source, f"={level}"] for level in column.one_hot_names]
        scores = np.zeros((len(numbers), len(column.names)))
        scores[:, column.first_one_hot :] = np.clip(numbers[:, places], 0, 1)
        return scores


def restore_dtype(values: pl.Series, like: pl.Series, kind: str) -> pl.Series:
    """Return conformed values (n,) of a kind in the type of the column `like`, null if that type cannot hold one.

    Numbers and booleans become text if `like` is text. Times do not: every table writes them in its own way.

    >>> restore_dtype(pl.Series("n", [3.0, None]), pl.Series("n", [7], dtype=pl.Int32), "numeric").to_list()
    [3, None]
    """
    if like.dtype in (pl.Null, values.dtype):
        return values
    return _RESTORE[kind](values, like).cast(like.dtype, strict=False).alias(values.name)


def _restore_number(values: pl.Series, like: pl.Series) -> pl.Series:
    if like.dtype == pl.String:
        text = as_text(values)
        return values if text is None else text
    if like.dtype in (pl.Duration, pl.Time):
        microseconds = (values * 1e6).round().cast(pl.Int64)
        return microseconds.cast(pl.Duration("us")) if like.dtype == pl.Duration else 1000 * microseconds
    if like.dtype == pl.Boolean:
        return values >= 0.5
    return values.round() if like.dtype.is_integer() else values


def _restore_boolean(values: pl.Series, like: pl.Series) -> pl.Series:
    if like.dtype != pl.String:
        return values.cast(pl.Int8)
    has_digits = like.drop_nulls().str.strip_chars().is_in(["0", "1"]).all()
    return values.cast(pl.Int8).cast(pl.String) if has_digits else values.cast(pl.String)


def _restore_category(values: pl.Series, like: pl.Series) -> pl.Series:
    if like.dtype.is_temporal():
        return values.str.strptime(like.dtype, strict=False)  # type: ignore[arg-type]
    return values == "true" if like.dtype == pl.Boolean else values


def _restore_time(values: pl.Series, like: pl.Series) -> pl.Series:
    if like.dtype.is_numeric():
        return values.dt.epoch("us").cast(pl.Float64) / 1e6
    if zone := getattr(like.dtype, "time_zone", None):
        return values.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return values


_RESTORE: dict[str, Callable[[pl.Series, pl.Series], pl.Series]] = {
    "numeric": _restore_number,
    "category": _restore_category,
    "boolean": _restore_boolean,
    "time": _restore_time,
}
