"""`Normal`: which values normal rows have, and what a network expects of a row in such values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.table.columns import MISSING, UNSEEN, CategoryColumn, NumberColumn
from oddrow.table.decode import ELAPSED, TableDecoder
from oddrow.table.encode import Encoded
from oddrow.table.given import as_given
from oddrow.table.schema import Column, Schema
from oddrow.table.table import Table
from oddrow.table.times import TIME_PARTS

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# The other days of a week, the nearest first; as many other levels are tried.
DAYS_AROUND = (1, -1, 2, -2, 3, -3)
# The types that rows are read as.
READ_AS = {"numeric": pl.Float64(), "category": pl.String(), "boolean": pl.Boolean(), "time": pl.Datetime("us")}


class Normal:
    """What a detector knows of normal rows. Rows are frames as `Schema.conform` returns them; masks (n, columns used).

    `given` is the table, of any length, in whose types the rows must be writable: whole numbers, dates.
    """

    def __init__(self, detector: Detector, given: pl.DataFrame) -> None:
        self.detector, self.given, self.schema = detector, given, detector.schema_
        encoder = detector.encoder_
        sources = [source for source, _ in encoder.number_sources_ + encoder.category_sources_]
        self.names = list(dict.fromkeys(sources))
        self.decoder = TableDecoder(encoder, detector.schema_)
        self.numbers = {column.source: column for column in encoder.number_columns_ if column.part == "value"}
        # Text can be a time in many ways, which cannot be told from a column.
        self.fixed = [column.name for column in self.schema.features if _is_text_time(column, given)]
        typed = [column for column in self.schema.features if column.name not in self.fixed]
        self.retyped = [column for column in typed if given.schema[column.name] != READ_AS[column.kind]]
        self.is_number = np.array([name in self.numbers for name in self.names])

    def scores(self, rows: pl.DataFrame) -> Floats:
        """How odd the rows are, (n,)."""
        return self.detector.score_conformed(rows) if rows.height else np.zeros(0)

    def adding(self, rows: pl.DataFrame) -> Floats:
        """What each column adds to the scores, (n, columns used)."""
        return self.detector.column_scores(Table.from_frame(rows)).select(self.names).to_numpy()

    def has(self, rows: pl.DataFrame, slack: float = 0.0) -> Mask:
        """In which cells normal rows may have what these rows have; ranges end `slack` of their larger end later."""
        return np.column_stack([self._has(rows[name], slack) for name in self.names])

    def _has(self, values: pl.Series, slack: float) -> Mask:
        if values.name in self.decoder.categories:
            return _has_level(self.decoder.categories[values.name], values)
        parts = [column for (source, _), column in self.decoder.parts.items() if source == values.name]
        numbers = TIME_PARTS[ELAPSED](values)[ELAPSED] if values.dtype.is_temporal() else _floats(values)
        inside = [_is_inside(part, numbers, slack) for part in parts if part.part in ("value", ELAPSED)]
        known = np.all(inside, axis=0) if inside else np.ones(len(values), bool)
        return np.where(np.isnan(numbers), parts[0].has_missing, known)

    def replaced(self, rows: pl.DataFrame, mask: Mask) -> pl.DataFrame:
        """The rows with the cells under the mask as normal rows may have them: known numbers by the nearest ones, all
        else by what is expected.
        """
        expected = self.expected(rows)
        nearest = [pl.Series(name, column.among_known(_floats(rows[name]))) for name, column in self.numbers.items()]
        known = [values.fill_nan(None).zip_with(values.is_not_nan(), expected[values.name]) for values in nearest]
        return self.settled(self.mixed(rows, expected.with_columns(known), mask))

    def expected(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the network makes of the rows, in values that normal rows have."""
        return self._decoded(*self.detector.rebuilt(Table.from_frame(rows)), rows)

    def usual(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with every known number in the middle of what training rows had."""
        middle = {name: column.usual for name, column in self.numbers.items() if column.usual is not None}
        values = [
            pl.Series(name, self.numbers[name].among_known(np.full(rows.height, value)))
            for name, value in middle.items()
        ]
        return self.settled(rows.with_columns(of.zip_with(rows[of.name].is_not_null(), rows[of.name]) for of in values))

    def far_out(self, rows: pl.DataFrame) -> Floats:
        """How far each known number is from the middle of its column, in encoded units, (n, columns used)."""
        away = np.zeros((rows.height, len(self.names)))
        for place, name in enumerate(self.names):
            column = self.numbers.get(name)
            if column is not None and column.usual is not None:
                values = np.where(np.isnan(_floats(rows[name])), column.usual, _floats(rows[name]))
                away[:, place] = np.abs(column.encode(values) - column.encode(np.array([column.usual])))
        return away

    def others(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The rows with less and less likely levels, and with times on the days around theirs."""
        numbers, logits = self.detector.rebuilt(Table.from_frame(rows))
        of_each = dict(zip(self.decoder.embedded, logits, strict=True))
        categories = [self.decoder.categories[name] for name in self.names if name in self.decoder.categories]
        chances = [self.decoder.chances(of, numbers) if of.one_hot else of_each[of.source] for of in categories]
        times = [name for name in self.names if rows[name].dtype.is_temporal() and name not in self.fixed]
        for rank, days in enumerate(DAYS_AROUND, start=1):
            ranked = zip(categories, chances, strict=True)
            levels = [self.decoder.named(of, of.likeliest(chance, rank)) for of, chance in ranked]
            tried = rows.with_columns(*levels, *(rows[name] + timedelta(days) for name in times))
            yield self.settled(self.mixed(rows, tried, self.has(tried)))

    def _decoded(self, numbers: Floats, logits: list[Floats], rows: pl.DataFrame) -> pl.DataFrame:
        of_each = zip(self.decoder.embedded, logits, strict=True)
        levels = [self.decoder.categories[source].likeliest(scores) for source, scores in of_each]
        categories = np.column_stack(levels) if levels else np.empty((rows.height, 0), np.int32)
        decoded = self.decoder(Encoded(numbers.astype(np.float32), categories), rows)
        return self.settled(decoded.with_columns(rows[name] for name in self.fixed))

    def lowered(self, rows: pl.DataFrame, allowed: Mask) -> pl.DataFrame:
        """The rows with the known numbers of the allowed cells moved to where the scores are low."""
        movable = np.zeros((rows.height, len(self.decoder.places)), bool)
        for place in np.flatnonzero(self.is_number):
            name = self.names[place]
            movable[:, self.decoder.places[name, "value"]] = allowed[:, place] & rows[name].is_not_null().to_numpy()
        found = self.detector.lowered(rows, movable).astype(np.float32)
        values = [pl.Series(name, self.decoder.value(name, "value", found)).fill_nan(None) for name in self.numbers]
        return self.settled(self.mixed(rows, rows.with_columns(values), allowed & self.is_number))

    def between(self, rows: pl.DataFrame, others: pl.DataFrame, share: Floats) -> pl.DataFrame:
        """The other rows with the numbers known in both at a share (n,) of the way to them."""
        ways = {name: (1 - share) * _floats(rows[name]) + share * _floats(others[name]) for name in self.numbers}
        values = [pl.Series(name, self.numbers[name].among_known(way)).fill_nan(None) for name, way in ways.items()]
        differ = self.differ(rows, others) & self.is_number
        known = [(rows[name].is_not_null() & others[name].is_not_null()).to_numpy() for name in self.names]
        return self.settled(self.mixed(others, others.with_columns(values), differ & np.column_stack(known)))

    def on_days_of(self, rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
        """The other rows with their times on the days that the rows have, where both are known."""
        times = [name for name in self.names if rows[name].dtype.is_temporal()]
        days = {name: rows[name].dt.truncate("1d") - others[name].dt.truncate("1d") for name in times}
        moved = [others[name] + days[name].fill_null(timedelta(0)) for name in times]
        return self.settled(others.with_columns(moved))

    def differ(self, rows: pl.DataFrame, others: pl.DataFrame) -> Mask:
        """In which cells the rows differ; two missing values do not."""
        return np.column_stack([rows[name].ne_missing(others[name]).to_numpy() for name in self.names])

    def mixed(self, rows: pl.DataFrame, others: pl.DataFrame, mask: Mask) -> pl.DataFrame:
        """The rows with the cells under the mask from other rows."""
        changed = [(name, pl.Series(of)) for name, of in zip(self.names, mask.T, strict=True) if of.any()]
        return rows.with_columns(others[name].zip_with(of, rows[name]) for name, of in changed)

    def settled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows as they would be read again from the types of `given`."""
        return rows.with_columns(map(self._settled, (rows[column.name] for column in self.retyped), self.retyped))

    def _settled(self, values: pl.Series, column: Column) -> pl.Series:
        given = as_given(values, self.given[column.name], column.kind)
        return Schema((column,)).conform(given.to_frame())[column.name]


def _is_text_time(column: Column, given: pl.DataFrame) -> bool:
    return column.kind == "time" and given.schema[column.name] == pl.String()


def _has_level(column: CategoryColumn, values: pl.Series) -> Mask:
    return ~np.isin(column.encode(values), [UNSEEN] if column.has_missing else [UNSEEN, MISSING])


def _is_inside(column: NumberColumn, numbers: Floats, slack: float) -> Mask:
    if column.low is None or column.high is None:
        return np.zeros(len(numbers), bool)
    more = slack * max(abs(column.low), abs(column.high))
    return (numbers >= column.low - more) & (numbers <= column.high + more)


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).to_numpy()
