"""`Search` looks for rows below a threshold that differ from alerts in few columns and by little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.encoding.column_encoding import ELAPSED, MISSING, TIME_PARTS, UNSEEN, CategoryColumn, NumberColumn
from oddrow.encoding.decoder import TableDecoder, restore_dtype
from oddrow.encoding.encoder import Encoded
from oddrow.table.schema import Column, Schema
from oddrow.table.table import Table
from oddrow.typing import Floats, Ints, Mask

# Numbers this far from their column's centre, in encoded units, are tried first: a network that copies an outlier
# attributes its error to other columns.
FAR_OUT = 4.0

# Columns to try alone before several are tried at once.
N_ALONE = 3

# Days to try instead of a time's own day, the nearest first, and the number of other levels to try.
DAYS_AROUND = (1, -1, 2, -2, 3, -3)

# At most this many attempts to undo changes of a row: with more changed columns, several are undone at once.
MOST_UNDONE = 32

# Halvings of the distance between a row and its counterfactual: the result is exact to a thousandth of it.
N_HALVINGS = 10

# The types that rows are read as.
READ_AS = {"numeric": pl.Float64(), "category": pl.String(), "boolean": pl.Boolean(), "time": pl.Datetime("us")}


class FeasibleValues:
    """The values that training rows had, and the changes that keep to them.

    Rows are frames as `Schema.conform` returns them, masks have shape (n, columns used). `given` is a table of any
    length: every row must survive being written in its types, such as whole numbers and dates.
    """

    def __init__(self, detector: Detector, given: pl.DataFrame) -> None:
        self.detector, self.given, self.schema = detector, given, detector.schema_
        encoder = detector.encoder_
        sources = [source for source, _ in encoder.number_sources_ + encoder.category_sources_]
        self.names = list(dict.fromkeys(sources))
        self.decoder = TableDecoder(encoder, detector.schema_)
        self.numbers = {column.source: column for column in encoder.number_columns_ if column.part == "value"}
        # The format of a time given as text is not known well enough to write another one.
        self.fixed = [column.name for column in self.schema.features if _is_text_time(column, given)]
        typed = [column for column in self.schema.features if column.name not in self.fixed]
        self.retyped = [column for column in typed if given.schema[column.name] != READ_AS[column.kind]]
        self.is_number = np.array([name in self.numbers for name in self.names])

    def scores(self, rows: pl.DataFrame) -> Floats:
        """Return the anomaly scores, (n,)."""
        return self.detector._score_conformed(rows) if rows.height else np.zeros(0)

    def contributions(self, rows: pl.DataFrame) -> Floats:
        """Return the contribution of each column to the scores, (n, columns used)."""
        return self.detector.column_scores(Table.from_frame(rows)).select(self.names).to_numpy()

    def is_feasible(self, rows: pl.DataFrame, slack: float = 0.0) -> Mask:
        """Return a mask of cells whose value training rows had.

        Ranges are widened by `slack`, relative to their larger end.
        """
        return np.column_stack([self._is_feasible_column(rows[name], slack) for name in self.names])

    def _is_feasible_column(self, values: pl.Series, slack: float) -> Mask:
        if values.name in self.decoder.categories:
            return _has_level(self.decoder.categories[values.name], values)
        parts = [column for (source, _), column in self.decoder.parts.items() if source == values.name]
        numbers = TIME_PARTS[ELAPSED](values)[ELAPSED] if values.dtype.is_temporal() else _floats(values)
        inside = [_is_inside(part, numbers, slack) for part in parts if part.part in ("value", ELAPSED)]
        known = np.all(inside, axis=0) if inside else np.ones(len(values), bool)
        return np.where(np.isnan(numbers), parts[0].has_missing, known)

    def made_feasible(self, rows: pl.DataFrame, mask: Mask) -> pl.DataFrame:
        """Move masked numbers to the nearest feasible value, and give other masked cells their expected value."""
        expected = self.expected(rows)
        nearest = [pl.Series(name, column.clip_and_round(_floats(rows[name]))) for name, column in self.numbers.items()]
        known = [values.fill_nan(None).zip_with(values.is_not_nan(), expected[values.name]) for values in nearest]
        return self.as_written(self.with_cells_of(rows, expected.with_columns(known), mask))

    def expected(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the values that the network expects, made feasible."""
        return self._decoded(*self.detector.reconstruct(Table.from_frame(rows)), rows)

    def at_typical_values(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with every number that is not missing at its typical value."""
        middle = {name: column.typical for name, column in self.numbers.items() if column.typical is not None}
        values = [
            pl.Series(name, self.numbers[name].clip_and_round(np.full(rows.height, value)))
            for name, value in middle.items()
        ]
        known = [of.zip_with(rows[of.name].is_not_null(), rows[of.name]) for of in values]
        return self.as_written(rows.with_columns(known))

    def deviation(self, rows: pl.DataFrame) -> Floats:
        """Return the distance of each number from its column's centre, in encoded units, (n, columns used)."""
        away = np.zeros((rows.height, len(self.names)))
        for place, name in enumerate(self.names):
            column = self.numbers.get(name)
            if column is not None and column.typical is not None:
                values = np.where(np.isnan(_floats(rows[name])), column.typical, _floats(rows[name]))
                away[:, place] = np.abs(column.encode(values) - column.encode(np.array([column.typical])))
        return away

    def alternatives(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows with ever less likely levels, and with times on days ever farther away."""
        numbers, logits = self.detector.reconstruct(Table.from_frame(rows))
        of_each = dict(zip(self.decoder.embedded, logits, strict=True))
        categories = [self.decoder.categories[name] for name in self.names if name in self.decoder.categories]
        chances = [self.decoder.level_scores(of, numbers) if of.one_hot else of_each[of.source] for of in categories]
        times = [name for name in self.names if rows[name].dtype.is_temporal() and name not in self.fixed]
        for rank, days in enumerate(DAYS_AROUND, start=1):
            ranked = zip(categories, chances, strict=True)
            levels = [self.decoder.level_values(of, of.likeliest(chance, rank)) for of, chance in ranked]
            tried = rows.with_columns(*levels, *(rows[name] + timedelta(days) for name in times))
            yield self.as_written(self.with_cells_of(rows, tried, self.is_feasible(tried)))

    def _decoded(self, numbers: Floats, logits: list[Floats], rows: pl.DataFrame) -> pl.DataFrame:
        of_each = zip(self.decoder.embedded, logits, strict=True)
        levels = [self.decoder.categories[source].likeliest(scores) for source, scores in of_each]
        categories = np.column_stack(levels) if levels else np.empty((rows.height, 0), np.int32)
        decoded = self.decoder(Encoded(numbers.astype(np.float32), categories), rows)
        return self.as_written(decoded.with_columns(rows[name] for name in self.fixed))

    def down_gradient(self, rows: pl.DataFrame, allowed: Mask) -> pl.DataFrame:
        """Move allowed numbers down the gradient of the score."""
        movable = np.zeros((rows.height, len(self.decoder.places)), bool)
        for place in np.flatnonzero(self.is_number):
            name = self.names[place]
            movable[:, self.decoder.places[name, "value"]] = allowed[:, place] & rows[name].is_not_null().to_numpy()
        found = self.detector._lowered(rows, movable).astype(np.float32)
        values = [
            pl.Series(name, self.decoder.decode_part(name, "value", found)).fill_nan(None) for name in self.numbers
        ]
        return self.as_written(self.with_cells_of(rows, rows.with_columns(values), allowed & self.is_number))

    def interpolated(self, rows: pl.DataFrame, others: pl.DataFrame, share: Floats) -> pl.DataFrame:
        """Return the other rows, with numbers a share (n,) of the way from the rows to them."""
        ways = {name: (1 - share) * _floats(rows[name]) + share * _floats(others[name]) for name in self.numbers}
        values = [pl.Series(name, self.numbers[name].clip_and_round(way)).fill_nan(None) for name, way in ways.items()]
        differs = self.differs(rows, others) & self.is_number
        known = [(rows[name].is_not_null() & others[name].is_not_null()).to_numpy() for name in self.names]
        movable = differs & np.column_stack(known)
        return self.as_written(self.with_cells_of(others, others.with_columns(values), movable))

    def on_days_of(self, rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
        """Return the other rows, with their times moved to the days of the rows."""
        times = [name for name in self.names if rows[name].dtype.is_temporal()]
        days = {name: rows[name].dt.truncate("1d") - others[name].dt.truncate("1d") for name in times}
        moved = [others[name] + days[name].fill_null(timedelta(0)) for name in times]
        return self.as_written(others.with_columns(moved))

    def differs(self, rows: pl.DataFrame, others: pl.DataFrame) -> Mask:
        """Return a mask of cells that differ. Two missing values are equal."""
        return np.column_stack([rows[name].ne_missing(others[name]).to_numpy() for name in self.names])

    def with_cells_of(self, rows: pl.DataFrame, others: pl.DataFrame, mask: Mask) -> pl.DataFrame:
        """Return the rows, with masked cells taken from the other rows."""
        changed = [(name, pl.Series(of)) for name, of in zip(self.names, mask.T, strict=True) if of.any()]
        return rows.with_columns(others[name].zip_with(of, rows[name]) for name, of in changed)

    def as_written(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows as they read after being written in the types of `given`."""
        return rows.with_columns(self._column_as_written(rows[column.name], column) for column in self.retyped)

    def _column_as_written(self, values: pl.Series, column: Column) -> pl.Series:
        given = restore_dtype(values, self.given[column.name], column.kind)
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


class Scored(NamedTuple):
    """Rows and their anomaly scores, (n,)."""

    rows: pl.DataFrame
    scores: Floats

    def take(self, places: Ints) -> Scored:
        """Return the rows at these places."""
        return Scored(self.rows[places], self.scores[places])

    def put(self, places: Ints, others: Scored) -> Scored:
        """Return all rows, with the other rows at these places."""
        sources = np.arange(self.rows.height)
        sources[places] = self.rows.height + np.arange(len(places))
        both = pl.concat([self.rows, others.rows], how="vertical_relaxed")
        return Scored(both, np.append(self.scores, others.scores)).take(sources)


class Search:
    """Search for rows below a threshold.

    `original` holds the given rows, with cells that are not feasible made so. `best` holds the version of each with the
    lowest score so far. `round_changed` (n, columns used) is the round in which a cell was first allowed to change, 0
    if it never was.
    """

    def __init__(self, feasible: FeasibleValues, rows: pl.DataFrame, threshold: float) -> None:
        self.feasible, self.threshold = feasible, threshold
        is_infeasible = ~feasible.is_feasible(rows)
        self.original = feasible.made_feasible(rows, is_infeasible)
        self.best = self._scored(self.original)
        self.round_changed = is_infeasible.astype(np.int64)

    def run(self) -> pl.DataFrame:
        """Return the counterfactuals; of a row for which none was found, the version with the lowest score."""
        self._try_infeasible_cells()
        self._try_single_columns()
        n_more = 1
        while not self._found.all() and (self.round_changed[~self._found] == 0).any():
            self._try_more_columns(n_more)
            n_more *= 2
        self._undo_needless_changes()
        self._keep_days()
        self._shrink_changes()
        return self.best.rows

    @property
    def _found(self) -> Mask:
        return self.best.scores < self.threshold

    def _scored(self, rows: pl.DataFrame) -> Scored:
        return Scored(rows, self.feasible.scores(rows))

    def _try_infeasible_cells(self) -> None:
        """Try other values in the cells that were not feasible, before any other column changes."""
        places = np.flatnonzero(~self._found & (self.round_changed > 0).any(axis=1))
        if len(places):
            self._keep_lower(places, self._changed(self.best.take(places), self.round_changed[places] > 0, places))

    def _try_single_columns(self) -> None:
        """Try one more column: in turn each of those that contribute most to the score."""
        pending = np.flatnonzero(~self._found)
        if not len(pending):
            return
        start, round_changed = self.best.take(pending), self.round_changed[pending]
        contributions = np.where(round_changed > 0, -np.inf, self.feasible.contributions(start.rows))
        most = np.argsort(-contributions, axis=1, kind="stable").T[:N_ALONE]
        deviation = self.feasible.deviation(start.rows)
        farthest = np.where(deviation.max(axis=1) > FAR_OUT, deviation.argmax(axis=1), most[0])
        for columns in (farthest, *most):
            still = np.flatnonzero(~self._found[pending])
            if not len(still):
                break
            alone = columns[still, None] == np.arange(round_changed.shape[1])
            tried = self._changed(start.take(still), alone | (round_changed[still] > 0), pending[still])
            lower = self._keep_lower(pending[still], tried)
            self.round_changed[pending[still][lower]] = np.where(alone, 2, round_changed[still])[lower]

    def _try_more_columns(self, n_more: int) -> None:
        """Try more columns at once: those that contribute most to the lowest scores so far."""
        places = np.flatnonzero(~self._found)
        start, round_changed = self.best.take(places), self.round_changed[places]
        contributions = np.where(round_changed > 0, -np.inf, self.feasible.contributions(start.rows))
        highest = np.argsort(-contributions, axis=1, kind="stable")[:, :n_more]
        added = np.zeros(round_changed.shape, bool)
        np.put_along_axis(added, highest, True, axis=1)
        self.round_changed[places] = np.where(added & (round_changed == 0), round_changed.max() + 1, round_changed)
        self._keep_lower(places, self._changed(start, self.round_changed[places] > 0, places))

    def _changed(self, start: Scored, allowed: Mask, places: Ints) -> Scored:
        """Give allowed cells their expected values, twice; where the score stays too high, try other values."""
        original, best, rows = self.original[places], start, start.rows
        for _ in range(2):
            rows = self.feasible.with_cells_of(original, self.feasible.expected(rows), allowed)
            best = self._lower_of(best, self._scored(rows))
        best = self._improve_rows_above(best, allowed & ~self.feasible.is_number, self._try_alternatives)
        best = self._improve_rows_above(best, allowed & self.feasible.is_number, self._try_typical)
        return self._improve_rows_above(best, allowed & self.feasible.is_number, self._try_gradient)

    def _improve_rows_above(self, best: Scored, allowed: Mask, change: Callable[[Scored, Mask], Scored]) -> Scored:
        """Apply a change to the rows that still reach the threshold and have a cell that may change."""
        places = np.flatnonzero((best.scores >= self.threshold) & allowed.any(axis=1))
        return best.put(places, change(best.take(places), allowed[places])) if len(places) else best

    def _try_typical(self, best: Scored, allowed: Mask) -> Scored:
        """Try typical numbers: if the network copies an outlier, the gradient gives no direction."""
        typical = self.feasible.at_typical_values(best.rows)
        return self._lower_of(best, self._scored(self.feasible.with_cells_of(best.rows, typical, allowed)))

    def _try_alternatives(self, best: Scored, allowed: Mask) -> Scored:
        """Try levels and days that the network does not expect: it often copies its input."""
        for rows in self.feasible.alternatives(best.rows):
            best = self._lower_of(best, self._scored(self.feasible.with_cells_of(best.rows, rows, allowed)))
        return best

    def _try_gradient(self, best: Scored, allowed: Mask) -> Scored:
        """Try numbers down the gradient of the score."""
        return self._lower_of(best, self._scored(self.feasible.down_gradient(best.rows, allowed)))

    def _lower_of(self, one: Scored, other: Scored) -> Scored:
        places = np.flatnonzero(other.scores < one.scores)
        return one.put(places, other.take(places))

    def _keep_lower(self, places: Ints, tried: Scored) -> Ints:
        """Keep the tried rows that score lower; return their positions."""
        lower = np.flatnonzero(tried.scores < self.best.scores[places])
        self.best = self.best.put(places[lower], tried.take(lower))
        return lower

    def _undo_needless_changes(self) -> None:
        """Undo changes that are not needed, the last ones first, one by one or in at most `MOST_UNDONE` groups."""
        changed = self.feasible.differs(self.original, self.best.rows) & self._found[:, None]
        from_the_last = np.argsort(np.where(changed, -self.round_changed, 1), axis=1, kind="stable")
        place_of = np.argsort(from_the_last, axis=1)
        at_once = -(-changed.sum(axis=1, keepdims=True) // MOST_UNDONE)
        part = np.where(changed, place_of // np.maximum(at_once, 1), -1)
        for number in range(part.max(initial=-1) + 1):
            places = np.flatnonzero((part == number).any(axis=1) & (changed & (part != number)).any(axis=1))
            undone = part[places] == number
            tried = self._scored(self.feasible.with_cells_of(self.best.rows[places], self.original[places], undone))
            below = np.flatnonzero(tried.scores < self.threshold)
            self.best = self.best.put(places[below], tried.take(below))
            changed[places[below]] &= ~undone[below]

    def _keep_days(self) -> None:
        """Keep a time on its own day if another hour is enough."""
        kept = self.feasible.on_days_of(self.original, self.best.rows)
        moved = (self.feasible.differs(kept, self.best.rows) & self.feasible.is_feasible(kept)).any(axis=1)
        places = np.flatnonzero(self._found & moved)
        tried = self._scored(kept[places])
        below = np.flatnonzero(tried.scores < self.threshold)
        self.best = self.best.put(places[below], tried.take(below))

    def _shrink_changes(self) -> None:
        """Move numbers back towards the original rows as far as the threshold allows."""
        places = np.flatnonzero(self._found & self.feasible.differs(self.original, self.best.rows).any(axis=1))
        original, best = self.original[places], self.best.rows[places]
        least, enough = np.zeros(len(places)), np.ones(len(places))
        for _ in range(N_HALVINGS):
            share = (least + enough) / 2
            below = self.feasible.scores(self.feasible.interpolated(original, best, share)) < self.threshold
            least, enough = np.where(below, least, share), np.where(below, share, enough)
        self.best = self.best.put(places, self._scored(self.feasible.interpolated(original, best, enough)))
