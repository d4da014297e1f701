"""`TableEncoder`: the feature columns of a table as numbers (float32) and level numbers (int32)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.column_encoding import (
    TIME_PARTS,
    CategoryColumn,
    NumberColumn,
    knot_probabilities,
    range_and_decimals,
)
from oddrow.errors import ParameterError, TableError, check_choice, check_number
from oddrow.estimator import Estimator
from oddrow.table.parquet import Frame
from oddrow.table.schema import Schema
from oddrow.typing import Floats

SCALINGS = ("standard", "range", "minmax", "quantile", "robust")

# Quantiles of the training rows that `numbers="quantile"` interpolates between.
N_KNOTS = 1000


class Encoded(NamedTuple):
    """Rows of a table as a network reads them.

    Parameters
    ----------
    numbers : ndarray of float32, shape (n, n_numbers)
        Encoded numbers, finite; their sources are in `TableEncoder.number_sources_`.
    categories : ndarray of int32, shape (n, n_categories)
        Level numbers; their sources are in `TableEncoder.category_sources_`.

    Examples
    --------
    >>> Encoded(np.zeros((2, 3), np.float32), np.zeros((2, 1), np.int32)).numbers.shape
    (2, 3)
    """

    numbers: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int32]


@dataclass(frozen=True)
class LearnedColumns:
    """What an encoder learned of the columns of a table."""

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]


class TableEncoder(Estimator):
    """Encode the feature columns of a table as numbers and level numbers.

    Numbers are scaled by statistics of the training rows. If training rows have missing values, a missing value is
    encoded as 0 and a second number is 1 where the value is missing. Categories and booleans keep their `max_levels`
    most frequent levels; all others are `rare`, and `missing` and `unseen` are levels too. Times are encoded by their
    parts.

    Parameters
    ----------
    numbers : {"standard", "range", "minmax", "quantile", "robust"}, default="standard"
        Scaling of numbers: (x - mean) / standard deviation; (x - mean) / (max - min); (x - min) / (max - min); rank as
        a normal deviate; (x - median) / (interquartile range / 1.349).
    soft_limit : float or None, default=10.0
        Limit for outlying numbers, in units of the scaled number: z becomes soft_limit * asinh(z / soft_limit), which
        is almost z up to half the limit and grows like a logarithm far beyond it, so that a few huge values do not
        dominate training. None sets no limit.
    unscaled : sequence of str, default=()
        Numeric columns that are already scaled and stay as they are.
    max_levels : int, default=256
        Number of levels kept for each category.
    one_hot_up_to : int, default=0
        Categories with at most this many levels become 0/1 numbers, one for each level. With 0 every category becomes
        level numbers for an embedding.
    levels : dict of str to sequence of str, or None, default=None
        Levels declared beforehand for some columns, so that the encoded numbers do not depend on which rows train. As
        0/1 numbers they have no number for missing and unseen values, which are 0 in all of them.
    times : sequence of {"hour", "weekday", "elapsed"}, default=("hour", "weekday")
        Parts of a time: position in the day and in the week as sine and cosine; days since 1970. With "elapsed" every
        later row is new to the model.

    Attributes
    ----------
    number_columns_ : tuple of NumberColumn
        Scaling of each number, in order.
    category_columns_ : tuple of CategoryColumn
        Levels of each category, in order.

    Examples
    --------
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
        """Learn scales and levels from training rows.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            Training rows, conformed or as they were read; one column is in memory at a time.
        schema : Schema
            Kinds of the columns.

        Returns
        -------
        TableEncoder
            The encoder itself.

        Raises
        ------
        ParameterError
            If a parameter is not valid, or no column is left to encode.
        TableError
            If values of a column are not of its kind.
        """
        self._check_parameters()
        categories = [column.name for column in schema.features if column.kind in ("category", "boolean")]
        for name in self.levels or {}:
            check_choice("column in levels", name, categories)
        numeric = [column.name for column in schema.features if column.kind == "numeric"]
        for name in self.unscaled:
            check_choice("column in unscaled", name, numeric)
        number_columns: list[NumberColumn] = []
        category_columns: list[CategoryColumn] = []
        for column in schema.features:
            values = Schema((column,)).conform(frame)[column.name]
            if column.name in categories:
                category_columns.append(self._fit_category(values))
            else:
                parts = self._parts(values, column.kind)
                number_columns += [self._fit_number(column.name, part, numbers) for part, numbers in parts.items()]
        if not number_columns and not category_columns:
            raise ParameterError("times=() encodes nothing of a table that has only times. Name at least one part.")
        self.number_columns_ = tuple(number_columns)
        self.category_columns_ = tuple(category_columns)
        return self

    def transform(self, frame: pl.DataFrame) -> Encoded:
        """Encode rows.

        Parameters
        ----------
        frame : polars.DataFrame, n rows
            Rows as `Schema.conform` returns them.

        Returns
        -------
        Encoded
            Numbers (n, n_numbers) and level numbers (n, n_categories).
        """
        numbers = np.empty((frame.height, len(self.number_sources_)), dtype=np.float32)
        place = 0
        for source, group in groupby(self.number_columns_, attrgetter("source")):
            columns = list(group)
            parts = self._parts(frame[source], "numeric" if columns[0].part == "value" else "time")
            for column in columns:
                numbers[:, place] = column.encode(parts[column.part])
                if column.has_missing:
                    numbers[:, place + 1] = np.isnan(parts[column.part])
                place += 1 + column.has_missing
        for category in self._one_hot:
            n_levels = len(category.one_hot_names)
            numbers[:, place : place + n_levels] = category.encode_one_hot(frame[category.source])
            place += n_levels
        levels = [column.encode(frame[column.source]) for column in self._embedded]
        categories = np.column_stack(levels) if levels else np.empty((frame.height, 0))
        return Encoded(numbers, np.ascontiguousarray(categories, dtype=np.int32))

    def transform_slices(self, slices: Iterable[pl.DataFrame], n_rows: int) -> Encoded:
        """Encode consecutive slices of rows, with only one of them in memory at a time.

        Parameters
        ----------
        slices : iterable of polars.DataFrame
            Rows as `Schema.conform` returns them.
        n_rows : int
            Number of rows in all slices together.

        Returns
        -------
        Encoded
            Numbers (n_rows, n_numbers) and level numbers (n_rows, n_categories).
        """
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
        """Source column and part of each encoded number, in order."""
        names: list[tuple[str, str]] = []
        for column in self.number_columns_:
            names.append((column.source, column.part))
            names += [(column.source, "missing")] if column.has_missing else []
        for category in self._one_hot:
            names += [(category.source, f"={level}") for level in category.one_hot_names]
        return names

    @property
    def number_bounds_(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Lowest and highest value of each encoded number on training rows, (n_numbers,) each."""
        n_numbers = len(self.number_sources_)
        low, high = np.zeros(n_numbers, np.float32), np.ones(n_numbers, np.float32)
        place = 0
        for column in self.number_columns_:
            low[place], high[place] = column.encode(np.array([column.low, column.high], np.float64))
            place += 1 + column.has_missing
        return low, high

    @property
    def category_sources_(self) -> list[tuple[str, int]]:
        """Source column and number of levels of each encoded category, in order."""
        return [(column.source, len(column.names)) for column in self._embedded]

    @property
    def learned(self) -> LearnedColumns:
        """Scales and levels that fitting learned."""
        return LearnedColumns(self.number_columns_, self.category_columns_)

    def restore(self, learned: LearnedColumns, schema: Schema) -> TableEncoder:
        """Take over what another encoder with the same parameters learned.

        Parameters
        ----------
        learned : LearnedColumns
            The attribute `learned` of the other encoder.
        schema : Schema
            The schema that the other encoder was fitted to.

        Returns
        -------
        TableEncoder
            The encoder itself.

        Raises
        ------
        ParameterError
            If a parameter or a scale is not valid.
        TableError
            If fitting to this schema cannot have learned these columns.
        """
        self._check_parameters()
        self.number_columns_, self.category_columns_ = learned.numbers, learned.categories
        kinds = {column.name: column.kind for column in schema.features}
        categories = [name for name, kind in kinds.items() if kind in ("category", "boolean")]
        no_values = pl.Series([], dtype=pl.Datetime)
        numbers = [
            (name, part) for name in kinds if name not in categories for part in self._parts(no_values, kinds[name])
        ]
        if numbers != [(column.source, column.part) for column in learned.numbers]:
            raise TableError("the encoded numbers do not match the schema.")
        if categories != [column.source for column in learned.categories]:
            raise TableError("the encoded categories do not match the schema.")
        for column in learned.numbers:
            column.check()
        return self

    @property
    def _one_hot(self) -> tuple[CategoryColumn, ...]:
        return tuple(column for column in self.category_columns_ if column.one_hot)

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
            raise ParameterError(f"times={self.times!r} is not a list. Choose from {', '.join(TIME_PARTS)}.")
        for part in self.times:
            check_choice("times", part, TIME_PARTS)
        if isinstance(self.unscaled, str) or not isinstance(self.unscaled, Sequence):
            raise ParameterError(f"unscaled={self.unscaled!r} is not a list. Pass a list of column names.")
        _check_levels(self.levels)

    def _parts(self, values: pl.Series, kind: str) -> dict[str, Floats]:
        """Return the numbers that a column is encoded from, (n,) each, by part."""
        if kind == "numeric":
            return {"value": values.cast(pl.Float64).to_numpy()}
        return {part: numbers for name in self.times for part, numbers in TIME_PARTS[name](values).items()}

    def _fit_number(self, source: str, part: str, values: Floats) -> NumberColumn:
        is_missing = np.isnan(values)
        has_missing = bool(is_missing.any())
        known = values[~is_missing] if has_missing else values
        if len(known) == 0:
            return NumberColumn(source, part, has_missing=True)
        low, high, decimals = range_and_decimals(known)
        facts: dict[str, Any] = {"has_missing": has_missing, "low": low, "high": high, "decimals": decimals}
        if source in self.unscaled:
            return NumberColumn(source, part, **facts)
        if self.numbers == "quantile":
            # Halved, because the difference of two values may be too large for float64.
            knots = 2 * np.quantile(known / 2, knot_probabilities(min(N_KNOTS, max(len(known), 2))))
            return NumberColumn(source, part, knots=tuple(knots.tolist()), **facts)
        center, scale = _center_and_scale(known, self.numbers)
        return NumberColumn(source, part, center, scale, soft_limit=self.soft_limit, **facts)

    def _fit_category(self, values: pl.Series) -> CategoryColumn:
        fixed = (self.levels or {}).get(values.name)
        levels = _levels_by_frequency(values) if fixed is None else list(fixed)
        kept = levels[: self.max_levels] if fixed is None else levels
        return CategoryColumn(
            source=values.name,
            levels=tuple(kept),
            has_rare=len(kept) < len(levels),
            one_hot=self.one_hot_up_to > 0 and len(kept) <= self.one_hot_up_to,
            has_fixed_levels=fixed is not None,
            has_missing=values.null_count() > 0,
        )


def _check_levels(levels: Any) -> None:
    if levels is not None and not isinstance(levels, dict):
        raise ParameterError(f"levels={levels!r} is not a dictionary. Map column names to lists of levels.")
    for name, names in (levels or {}).items():
        if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(v, str) for v in names):
            raise ParameterError(f"levels of '{name}': {names!r} is not a list of text.")
        if len(set(names)) < len(names):
            raise ParameterError(f"levels of '{name}': a level occurs twice.")


def _levels_by_frequency(values: pl.Series) -> list[str]:
    text = values.cast(pl.String).drop_nulls().alias("level")
    counts = text.value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    return counts["level"].to_list()


def _center_and_scale(known: Floats, scaling: str) -> tuple[float, float]:
    low, high = float(known.min()), float(known.max())
    if low == high:
        return low, 1.0
    with np.errstate(over="ignore"):
        center, scale = _CENTER_AND_SCALE[scaling](known, low, high)
    # The interquartile range may be 0 and squares too large for float64. Half the range serves as well; it is 0 only
    # for neighbouring values of float64.
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
