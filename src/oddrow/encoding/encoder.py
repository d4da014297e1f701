"""`TableEncoder`: columns in, numbers (float32) and categories (int32) out, each knowing its source column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator

from oddrow.encoding.columns import CategoryColumn, NumberColumn, knot_probabilities, range_and_decimals
from oddrow.encoding.times import TIME_PARTS
from oddrow.errors import ParameterError, TableError, check_choice, check_number
from oddrow.table.parquet import Frame
from oddrow.table.schema import Schema
from oddrow.typing import Floats

SCALINGS = ("standard", "range", "minmax", "quantile", "robust")

N_KNOTS = 1000


class Encoded(NamedTuple):
    """A table as networks take it: numbers (rows, numbers) float32, categories (rows, categories) int32."""

    numbers: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int32]


@dataclass(frozen=True)
class LearnedColumns:
    """What an encoder learned of the columns of a table."""

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]


class TableEncoder(BaseEstimator):  # type: ignore[misc]
    """Turns the feature columns of a table into numbers and categories, and knows where each came from.

    Numbers are scaled by statistics of the training rows and, where training rows lack values, filled with the
    centre and followed by a column that is 1 where the value is missing. Categories keep their `max_levels` most
    frequent levels, the others are `rare`; `missing` and `unseen` are levels too. Times become parts.

    Parameters
    ----------
    numbers : {"standard", "range", "minmax", "quantile", "robust"}
        (x - mean) / sd; (x - mean) / (max - min); (x - min) / (max - min); rank as a normal deviate;
        (x - median) / (IQR / 1.349).
    soft_limit : float or None
        Numbers many spreads out are drawn in: z becomes soft_limit * asinh(z / soft_limit), almost z itself up to half
        the limit and a logarithm far beyond it, so that a few huge values do not rule the training. None leaves them.
    unscaled : sequence of str
        Columns whose numbers are taken as they are, because somebody has scaled them.
    max_levels : int
        Levels kept for each category.
    one_hot_up_to : int
        Categories with at most this many levels become one 0/1 number for each level, as some papers do.
        0 leaves every category to an embedding.
    levels : dict or None
        Levels known beforehand, by column, as in papers that encode a whole file: whichever of its rows train, the
        encoded numbers are the same ones. As 0/1 numbers they are these levels and no other: a missing or unseen
        value is 0 in all of them.
    times : sequence of {"hour", "weekday", "elapsed"}
        Parts of a time: place in the day and in the week on a circle (sine, cosine), days since 1970.
        `elapsed` makes every later row look new, hence is not the default.

    >>> frame = pl.DataFrame({"amount": [1.0, 3.0], "shop": ["a", "b"]})
    >>> encoder = TableEncoder().fit(frame, Schema.infer(frame))
    >>> encoder.transform(frame).numbers.round(2).ravel().tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        *,
        numbers: str = "standard",
        soft_limit: float | None = 10.0,
        unscaled: Sequence[str] = (),
        max_levels: int = 256,
        one_hot_up_to: int = 0,
        levels: dict[str, Sequence[str]] | None = None,
        times: Sequence[str] = ("hour", "weekday"),
    ) -> None:
        self.numbers = numbers
        self.soft_limit = soft_limit
        self.unscaled = unscaled
        self.max_levels = max_levels
        self.one_hot_up_to = one_hot_up_to
        self.levels = levels
        self.times = times

    def fit(self, frame: Frame, schema: Schema) -> TableEncoder:
        """Learn scales and levels from the training rows, which may be as they were read: one column at a time."""
        self._check_parameters()
        categories = [column.name for column in schema.features if column.kind in ("category", "boolean")]
        for name in self.levels or {}:
            check_choice("a column of levels", name, categories)
        numeric = [column.name for column in schema.features if column.kind == "numeric"]
        for name in self.unscaled:
            check_choice("an unscaled column", name, numeric)
        number_columns: list[NumberColumn] = []
        category_columns: list[CategoryColumn] = []
        for column in schema.features:
            values = Schema((column,)).conform(frame)[column.name]
            if column.kind in ("category", "boolean"):
                category_columns.append(self._fit_category(values))
            else:
                parts = self._parts(values, column.kind)
                number_columns += [self._fit_number(column.name, part, part_of) for part, part_of in parts.items()]
        self.number_columns_ = tuple(number_columns)
        self.category_columns_ = tuple(category_columns)
        if not number_columns and not category_columns:
            raise ParameterError("times=() leaves nothing of the times, and the table has no other columns.")
        return self

    def transform(self, frame: pl.DataFrame) -> Encoded:
        """Encode a conformed frame: finite float32 (rows, n_numbers_), int32 (rows, n_categories)."""
        numbers = np.empty((frame.height, len(self.number_sources_)), dtype=np.float32)
        place = 0
        parts = self._parts_of_frame(frame)
        for column in self.number_columns_:
            values = parts(column.source, column.part)
            numbers[:, place] = column.encode(values)
            if column.has_missing:
                numbers[:, place + 1] = np.isnan(values)
            place += 1 + column.has_missing
        for category in (column for column in self.category_columns_ if column.one_hot):
            n_levels = len(category.one_hot_names)
            numbers[:, place : place + n_levels] = category.encode_one_hot(frame[category.source])
            place += n_levels
        kept = [column.encode(frame[column.source]) for column in self._embedded]
        categories = np.column_stack(kept) if kept else np.empty((frame.height, 0))
        return Encoded(numbers, np.ascontiguousarray(categories, dtype=np.int32))

    def transform_slices(self, slices: Iterable[pl.DataFrame], n_rows: int) -> Encoded:
        """Encode frames one after the other, n_rows in all, so that only one of them need be there at a time."""
        numbers = np.empty((n_rows, len(self.number_sources_)), np.float32)
        categories = np.empty((n_rows, len(self._embedded)), np.int32)
        start = 0
        for part in slices:
            rows = slice(start, start + part.height)
            numbers[rows], categories[rows] = self.transform(part)
            start += part.height
        return Encoded(numbers, categories)

    @property
    def number_sources_(self) -> list[tuple[str, str]]:
        """(source column, part) of every encoded number, in order."""
        names: list[tuple[str, str]] = []
        for column in self.number_columns_:
            names.append((column.source, column.part))
            names += [(column.source, "missing")] if column.has_missing else []
        for category in (column for column in self.category_columns_ if column.one_hot):
            names += [(category.source, f"={level}") for level in category.one_hot_names]
        return names

    @property
    def number_bounds_(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The least and the largest of every encoded number, (n_numbers,) each, that training rows may have had."""
        low, high = np.zeros(len(self.number_sources_), np.float32), np.ones(len(self.number_sources_), np.float32)
        place = 0
        for column in self.number_columns_:
            low[place], high[place] = column.encode(np.array([column.low, column.high], np.float64))
            place += 1 + column.has_missing
        return low, high

    @property
    def category_sources_(self) -> list[tuple[str, int]]:
        """(source column, number of levels) of every encoded category, in order."""
        return [(column.source, len(column.names)) for column in self._embedded]

    @property
    def learned(self) -> LearnedColumns:
        """What fitting learned of the columns."""
        return LearnedColumns(self.number_columns_, self.category_columns_)

    def restore(self, learned: LearnedColumns, schema: Schema) -> TableEncoder:
        """Take what another encoder learned of this schema; raise `TableError` if fitting cannot have led to it."""
        self._check_parameters()
        self.number_columns_, self.category_columns_ = learned.numbers, learned.categories
        kinds = {column.name: column.kind for column in schema.features}
        categories = [name for name, kind in kinds.items() if kind in ("category", "boolean")]
        no_values = pl.Series([], dtype=pl.Datetime)
        numbers = [
            (name, part) for name in kinds if name not in categories for part in self._parts(no_values, kinds[name])
        ]
        if numbers != [(column.source, column.part) for column in learned.numbers]:
            raise TableError("the encoded numbers are not those of the schema.")
        if categories != [column.source for column in learned.categories]:
            raise TableError("the encoded categories are not those of the schema.")
        for column in learned.numbers:
            column.check()
        return self

    @property
    def _embedded(self) -> tuple[CategoryColumn, ...]:
        return tuple(column for column in self.category_columns_ if not column.one_hot)

    def _check_parameters(self) -> None:
        check_choice("numbers", self.numbers, SCALINGS)
        if self.soft_limit is not None:
            check_number("soft_limit", self.soft_limit, 0, above=True)
        check_number("max_levels", self.max_levels, 1, whole=True)
        check_number("one_hot_up_to", self.one_hot_up_to, 0, whole=True)
        if isinstance(self.times, str) or not isinstance(self.times, Sequence):
            raise ParameterError(f"times={self.times!r} is not a list. Expected some of {', '.join(TIME_PARTS)}.")
        for part in self.times:
            check_choice("times", part, TIME_PARTS)
        if isinstance(self.unscaled, str) or not isinstance(self.unscaled, Sequence):
            raise ParameterError(f"unscaled={self.unscaled!r} is not a list. Expected names of columns.")
        _check_levels(self.levels)

    def _parts_of_frame(self, frame: pl.DataFrame) -> Callable[[str, str], Floats]:
        """Look up a part of a column, taking each time column apart only once."""
        taken: dict[str, dict[str, Floats]] = {}

        def look_up(source: str, part: str) -> Floats:
            if source not in taken:
                taken.clear()
                taken[source] = self._parts(frame[source], "numeric" if part == "value" else "time")
            return taken[source][part]

        return look_up

    def _parts(self, values: pl.Series, kind: str) -> dict[str, Floats]:
        if kind == "numeric":
            return {"value": _as_floats(values)}
        return {part: numbers for name in self.times for part, numbers in TIME_PARTS[name](values).items()}

    def _fit_number(self, source: str, part: str, values: Floats) -> NumberColumn:
        gaps = np.isnan(values)
        has_missing = bool(gaps.any())
        known = values[~gaps] if has_missing else values
        if len(known) == 0:
            return NumberColumn(source, part, has_missing=True)
        low, high, decimals = range_and_decimals(known)
        looks: dict[str, Any] = {"has_missing": has_missing, "low": low, "high": high, "decimals": decimals}
        if source in self.unscaled:
            return NumberColumn(source, part, **looks)
        if self.numbers == "quantile":
            # Halves, because the distance between two numbers may be more than float64 holds.
            knots = 2 * np.quantile(known / 2, knot_probabilities(min(N_KNOTS, max(len(known), 2))))
            return NumberColumn(source, part, knots=tuple(knots.tolist()), **looks)
        center, scale = _center_and_scale(known, self.numbers)
        return NumberColumn(source, part, center, scale, soft_limit=self.soft_limit, **looks)

    def _fit_category(self, values: pl.Series) -> CategoryColumn:
        gaps = values.null_count() > 0
        if (given := (self.levels or {}).get(values.name)) is not None:
            return CategoryColumn(values.name, tuple(given), False, 0 < self.one_hot_up_to >= len(given), True, gaps)
        text = values.cast(pl.String).drop_nulls().alias("level")
        counts = text.value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
        levels = counts["level"].to_list()
        kept = tuple(levels[: self.max_levels])
        one_hot = 0 < self.one_hot_up_to >= len(kept)
        return CategoryColumn(values.name, kept, len(levels) > len(kept), one_hot, has_missing=gaps)


def _check_levels(levels: Any) -> None:
    """Refuse what is not a list of different levels for each of some columns."""
    if levels is not None and not isinstance(levels, dict):
        raise ParameterError(f"levels={levels!r} is no dictionary. Expected a list of levels for each column.")
    for name, given in (levels or {}).items():
        if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(v, str) for v in given):
            raise ParameterError(f"levels of '{name}': {given!r} is not a list of texts.")
        if len(set(given)) < len(given):
            raise ParameterError(f"levels of '{name}': a level is given twice.")


def _as_floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).to_numpy()


def _center_and_scale(known: Floats, scaling: str) -> tuple[float, float]:
    low, high = float(known.min()), float(known.max())
    if low == high:
        return low, 1.0
    with np.errstate(over="ignore"):
        center, scale = _CENTER_AND_SCALE[scaling](known, low, high)
    # An IQR of 0, or squares beyond float64: the range is the next best spread, 0 only for the last bits of float64.
    if not (np.isfinite(scale) and scale > 0 and np.isfinite(center)):
        center, scale = low / 2 + high / 2, high / 2 - low / 2
    return float(center), float(scale) or 1.0


_CENTER_AND_SCALE: dict[str, Callable[[Floats, float, float], tuple[Any, Any]]] = {
    "standard": lambda known, low, high: (known.mean(), known.std()),
    "range": lambda known, low, high: (known.mean(), high - low),
    "minmax": lambda known, low, high: (low, high - low),
    "robust": lambda known, low, high: (
        np.median(known),
        np.subtract(*np.quantile(known, [0.75, 0.25])) / 1.349,
    ),
}
