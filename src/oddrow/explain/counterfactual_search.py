"""`Search`: for rows above a cut, rows below it that differ from them in few columns and by little."""

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

# The other days of a week, the nearest first; as many other levels are tried.
DAYS_AROUND = (1, -1, 2, -2, 3, -3)

# The types that rows are read as.
READ_AS = {"numeric": pl.Float64(), "category": pl.String(), "boolean": pl.Boolean(), "time": pl.Datetime("us")}


class FeasibleValues:
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
        return self.detector._score_conformed(rows) if rows.height else np.zeros(0)

    def adding(self, rows: pl.DataFrame) -> Floats:
        """Return what each column adds to the scores, (n, columns used)."""
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
        """Return the rows with masked cells made feasible: numbers by the nearest ones, all else as expected."""
        expected = self.expected(rows)
        nearest = [pl.Series(name, column.clip_and_round(_floats(rows[name]))) for name, column in self.numbers.items()]
        known = [values.fill_nan(None).zip_with(values.is_not_nan(), expected[values.name]) for values in nearest]
        return self.settled(self.mixed(rows, expected.with_columns(known), mask))

    def expected(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return what the network expects of the rows, in feasible values."""
        return self._decoded(*self.detector.reconstruct(Table.from_frame(rows)), rows)

    def usual(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with every known number in the middle of its training range."""
        middle = {name: column.typical for name, column in self.numbers.items() if column.typical is not None}
        values = [
            pl.Series(name, self.numbers[name].clip_and_round(np.full(rows.height, value)))
            for name, value in middle.items()
        ]
        return self.settled(rows.with_columns(of.zip_with(rows[of.name].is_not_null(), rows[of.name]) for of in values))

    def far_out(self, rows: pl.DataFrame) -> Floats:
        """How far each known number is from the middle of its column, in encoded units, (n, columns used)."""
        away = np.zeros((rows.height, len(self.names)))
        for place, name in enumerate(self.names):
            column = self.numbers.get(name)
            if column is not None and column.typical is not None:
                values = np.where(np.isnan(_floats(rows[name])), column.typical, _floats(rows[name]))
                away[:, place] = np.abs(column.encode(values) - column.encode(np.array([column.typical])))
        return away

    def others(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows with less and less likely levels, and with times on nearby days."""
        numbers, logits = self.detector.reconstruct(Table.from_frame(rows))
        of_each = dict(zip(self.decoder.embedded, logits, strict=True))
        categories = [self.decoder.categories[name] for name in self.names if name in self.decoder.categories]
        chances = [self.decoder.level_scores(of, numbers) if of.one_hot else of_each[of.source] for of in categories]
        times = [name for name in self.names if rows[name].dtype.is_temporal() and name not in self.fixed]
        for rank, days in enumerate(DAYS_AROUND, start=1):
            ranked = zip(categories, chances, strict=True)
            levels = [self.decoder.level_values(of, of.likeliest(chance, rank)) for of, chance in ranked]
            tried = rows.with_columns(*levels, *(rows[name] + timedelta(days) for name in times))
            yield self.settled(self.mixed(rows, tried, self.has(tried)))

    def _decoded(self, numbers: Floats, logits: list[Floats], rows: pl.DataFrame) -> pl.DataFrame:
        of_each = zip(self.decoder.embedded, logits, strict=True)
        levels = [self.decoder.categories[source].likeliest(scores) for source, scores in of_each]
        categories = np.column_stack(levels) if levels else np.empty((rows.height, 0), np.int32)
        decoded = self.decoder(Encoded(numbers.astype(np.float32), categories), rows)
        return self.settled(decoded.with_columns(rows[name] for name in self.fixed))

    def _lowered(self, rows: pl.DataFrame, allowed: Mask) -> pl.DataFrame:
        """Return the rows with allowed numbers moved along the gradient to lower scores."""
        movable = np.zeros((rows.height, len(self.decoder.places)), bool)
        for place in np.flatnonzero(self.is_number):
            name = self.names[place]
            movable[:, self.decoder.places[name, "value"]] = allowed[:, place] & rows[name].is_not_null().to_numpy()
        found = self.detector._lowered(rows, movable).astype(np.float32)
        values = [
            pl.Series(name, self.decoder.decode_part(name, "value", found)).fill_nan(None) for name in self.numbers
        ]
        return self.settled(self.mixed(rows, rows.with_columns(values), allowed & self.is_number))

    def between(self, rows: pl.DataFrame, others: pl.DataFrame, share: Floats) -> pl.DataFrame:
        """Return the other rows with numbers at a share (n,) of the way to them."""
        ways = {name: (1 - share) * _floats(rows[name]) + share * _floats(others[name]) for name in self.numbers}
        values = [pl.Series(name, self.numbers[name].clip_and_round(way)).fill_nan(None) for name, way in ways.items()]
        differ = self.differ(rows, others) & self.is_number
        known = [(rows[name].is_not_null() & others[name].is_not_null()).to_numpy() for name in self.names]
        return self.settled(self.mixed(others, others.with_columns(values), differ & np.column_stack(known)))

    def on_days_of(self, rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
        """Return the other rows with their times moved to the days of the rows."""
        times = [name for name in self.names if rows[name].dtype.is_temporal()]
        days = {name: rows[name].dt.truncate("1d") - others[name].dt.truncate("1d") for name in times}
        moved = [others[name] + days[name].fill_null(timedelta(0)) for name in times]
        return self.settled(others.with_columns(moved))

    def differ(self, rows: pl.DataFrame, others: pl.DataFrame) -> Mask:
        """In which cells the rows differ; two missing values do not."""
        return np.column_stack([rows[name].ne_missing(others[name]).to_numpy() for name in self.names])

    def mixed(self, rows: pl.DataFrame, others: pl.DataFrame, mask: Mask) -> pl.DataFrame:
        """Return the rows with the masked cells of other rows."""
        changed = [(name, pl.Series(of)) for name, of in zip(self.names, mask.T, strict=True) if of.any()]
        return rows.with_columns(others[name].zip_with(of, rows[name]) for name, of in changed)

    def settled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows as they would be read again from the types of `given`."""
        return rows.with_columns(map(self._settled, (rows[column.name] for column in self.retyped), self.retyped))

    def _settled(self, values: pl.Series, column: Column) -> pl.Series:
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


# Columns to try alone before several are tried at once.
N_ALONE = 3

# A number so many encoded units from the middle of its column is tried first: a network that copies it blames others.
FAR_OUT = 4.0

# How often the way back to a row is halved: to a thousandth of it.
N_HALVINGS = 10

# How many changes of a row are tried to be undone; of more columns, several are undone at once.
MOST_UNDONE = 32


class Scored(NamedTuple):
    """Rows, and how odd they are, (n,)."""

    rows: pl.DataFrame
    scores: Floats

    def take(self, places: Ints) -> Scored:
        """Return the rows at these places."""
        return Scored(self.rows[places], self.scores[places])

    def put(self, places: Ints, others: Scored) -> Scored:
        """With other rows in these places."""
        sources = np.arange(self.rows.height)
        sources[places] = self.rows.height + np.arange(len(places))
        both = pl.concat([self.rows, others.rows], how="vertical_relaxed")
        return Scored(both, np.append(self.scores, others.scores)).take(sources)


class Search:
    """Looks for rows below a cut: `base` are rows as they came, but for cells with values that normal rows never have.

    `best` holds the row of the lowest score so far for each of them; `turn` (n, columns) says when each cell was let
    change, 0 for not yet.
    """

    def __init__(self, normal: FeasibleValues, rows: pl.DataFrame, cut: float) -> None:
        self.normal, self.cut = normal, cut
        foreign = ~normal.has(rows)
        self.base = normal.replaced(rows, foreign)
        self.best = self._scored(self.base)
        self.turn = foreign.astype(np.int64)

    def run(self) -> pl.DataFrame:
        """Return the nearest rows found below the threshold, or those with the lowest score if there are none."""
        self._try_replaced()
        self._try_alone()
        n_more = 1
        while not self._found.all() and (self.turn[~self._found] == 0).any():
            self._try_more(n_more)
            n_more *= 2
        self._take_back()
        self._keep_days()
        self._go_back()
        return self.best.rows

    @property
    def _found(self) -> Mask:
        return self.best.scores < self.cut

    def _scored(self, rows: pl.DataFrame) -> Scored:
        return Scored(rows, self.normal.scores(rows))

    def _try_replaced(self) -> None:
        """Move the cells that had to change further, which changes no other column."""
        places = np.flatnonzero(~self._found & (self.turn > 0).any(axis=1))
        if len(places):
            self._keep(places, self._moved(self.best.take(places), self.turn[places] > 0, places))

    def _try_alone(self) -> None:
        """One column beside these, each of those that add most to the score."""
        pending = np.flatnonzero(~self._found)
        if not len(pending):
            return
        start, turn = self.best.take(pending), self.turn[pending]
        adding = np.where(turn > 0, -np.inf, self.normal.adding(start.rows))
        most = np.argsort(-adding, axis=1, kind="stable").T[:N_ALONE]
        far_out = self.normal.far_out(start.rows)
        farthest = np.where(far_out.max(axis=1) > FAR_OUT, far_out.argmax(axis=1), most[0])
        for columns in (farthest, *most):
            still = np.flatnonzero(~self._found[pending])
            if not len(still):
                break
            alone = columns[still, None] == np.arange(turn.shape[1])
            tried = self._moved(start.take(still), alone | (turn[still] > 0), pending[still])
            lower = self._keep(pending[still], tried)
            self.turn[pending[still][lower]] = np.where(alone, 2, turn[still])[lower]

    def _try_more(self, n_more: int) -> None:
        """More columns at once: those that add most to the scores as they now are."""
        places = np.flatnonzero(~self._found)
        start, turn = self.best.take(places), self.turn[places]
        adding = np.where(turn > 0, -np.inf, self.normal.adding(start.rows))
        highest = np.argsort(-adding, axis=1, kind="stable")[:, :n_more]
        added = np.zeros(turn.shape, bool)
        np.put_along_axis(added, highest, True, axis=1)
        self.turn[places] = np.where(added & (turn == 0), turn.max() + 1, turn)
        self._keep(places, self._moved(start, self.turn[places] > 0, places))

    def _moved(self, start: Scored, allowed: Mask, places: Ints) -> Scored:
        """Return rows with allowed cells as expected, twice; where that is not enough, try other values."""
        base, best, rows = self.base[places], start, start.rows
        for _ in range(2):
            rows = self.normal.mixed(base, self.normal.expected(rows), allowed)
            best = self._lower(best, self._scored(rows))
        best = self._where_above(best, allowed & ~self.normal.is_number, self._with_others)
        best = self._where_above(best, allowed & self.normal.is_number, self._with_usual)
        return self._where_above(best, allowed & self.normal.is_number, self._with_lowered)

    def _where_above(self, best: Scored, allowed: Mask, change: Callable[[Scored, Mask], Scored]) -> Scored:
        """With the rows changed that are not below the cut, where any of their cells may change."""
        places = np.flatnonzero((best.scores >= self.cut) & allowed.any(axis=1))
        return best.put(places, change(best.take(places), allowed[places])) if len(places) else best

    def _with_usual(self, best: Scored, allowed: Mask) -> Scored:
        """With numbers in the middle of their range: a network may copy an odd one, and its slope leads nowhere."""
        return self._lower(best, self._scored(self.normal.mixed(best.rows, self.normal.usual(best.rows), allowed)))

    def _with_others(self, best: Scored, allowed: Mask) -> Scored:
        """With levels and days that the network does not expect, which often copies what it sees."""
        for rows in self.normal.others(best.rows):
            best = self._lower(best, self._scored(self.normal.mixed(best.rows, rows, allowed)))
        return best

    def _with_lowered(self, best: Scored, allowed: Mask) -> Scored:
        """With numbers moved down the gradient."""
        return self._lower(best, self._scored(self.normal._lowered(best.rows, allowed)))

    def _lower(self, one: Scored, other: Scored) -> Scored:
        places = np.flatnonzero(other.scores < one.scores)
        return one.put(places, other.take(places))

    def _keep(self, places: Ints, tried: Scored) -> Ints:
        """Take what was tried in these places where it scores lower, and say which of them that are."""
        lower = np.flatnonzero(tried.scores < self.best.scores[places])
        self.best = self.best.put(places[lower], tried.take(lower))
        return lower

    def _take_back(self) -> None:
        """Undo changes that are not needed, the last ones first: one by one, of very many columns several at once."""
        changed = self.normal.differ(self.base, self.best.rows) & self._found[:, None]
        from_the_last = np.argsort(np.where(changed, -self.turn, 1), axis=1, kind="stable")
        place_of = np.argsort(from_the_last, axis=1)
        at_once = -(-changed.sum(axis=1, keepdims=True) // MOST_UNDONE)
        part = np.where(changed, place_of // np.maximum(at_once, 1), -1)
        for number in range(part.max(initial=-1) + 1):
            places = np.flatnonzero((part == number).any(axis=1) & (changed & (part != number)).any(axis=1))
            undone = part[places] == number
            tried = self._scored(self.normal.mixed(self.best.rows[places], self.base[places], undone))
            below = np.flatnonzero(tried.scores < self.cut)
            self.best = self.best.put(places[below], tried.take(below))
            changed[places[below]] &= ~undone[below]

    def _keep_days(self) -> None:
        """Leave times on their own days where another hour is enough."""
        kept = self.normal.on_days_of(self.base, self.best.rows)
        moved = (self.normal.differ(kept, self.best.rows) & self.normal.has(kept)).any(axis=1)
        places = np.flatnonzero(self._found & moved)
        tried = self._scored(kept[places])
        below = np.flatnonzero(tried.scores < self.cut)
        self.best = self.best.put(places[below], tried.take(below))

    def _go_back(self) -> None:
        """Go the straight way back to the rows as far as the cut allows."""
        places = np.flatnonzero(self._found & self.normal.differ(self.base, self.best.rows).any(axis=1))
        base, best = self.base[places], self.best.rows[places]
        least, enough = np.zeros(len(places)), np.ones(len(places))
        for _ in range(N_HALVINGS):
            share = (least + enough) / 2
            below = self.normal.scores(self.normal.between(base, best, share)) < self.cut
            least, enough = np.where(below, least, share), np.where(below, share, enough)
        self.best = self.best.put(places, self._scored(self.normal.between(base, best, enough)))
