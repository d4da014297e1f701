"""`TableDecoder`: encoded numbers and categories back into columns that look like those of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.table.encode import MISSING, Encoded, NumberColumn, TableEncoder
from oddrow.table.schema import Schema

Floats = npt.NDArray[np.float64]

MOST_DECIMALS = 4
# The part of a time that can be turned back into one.
ELAPSED = "elapsed"
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class _Form:
    """How the values of a column look: between which two, with how many decimals (None: any)."""

    low: float
    high: float
    decimals: int | None

    @classmethod
    def of(cls, values: Floats) -> _Form:
        known = values[~np.isnan(values)]
        if not len(known):
            return cls(np.nan, np.nan, None)
        exact = [n for n in range(MOST_DECIMALS + 1) if np.array_equal(np.round(known, n), known)]
        return cls(float(known.min()), float(known.max()), exact[0] if exact else None)

    def applied(self, values: Floats) -> Floats:
        rounded = values if self.decimals is None else np.round(values, self.decimals)
        return np.clip(rounded, self.low, self.high)


class TableDecoder:
    """Decodes what an encoder without 0/1 columns, and with the times' part `elapsed`, encodes.

    Numbers stay within the range of the training rows and have as many decimals as those; whole numbers stay whole.

    >>> frame = pl.DataFrame({"amount": [1.25, 3.5, 2.0], "shop": ["a", "b", "a"]})
    >>> schema = Schema.infer(frame)
    >>> encoder = TableEncoder(times=(ELAPSED,)).fit(frame, schema)
    >>> TableDecoder(encoder, schema, frame)(encoder.transform(frame)).rows()
    [(1.25, 'a'), (3.5, 'b'), (2.0, 'a')]
    """

    def __init__(self, encoder: TableEncoder, schema: Schema, frame: pl.DataFrame) -> None:
        """Take the looks of the training rows, a frame as `Schema.conform` returns it."""
        self.encoder = encoder
        self.kinds = {column.name: column.kind for column in schema.features}
        self.forms = {column.source: _Form.of(_values(frame[column.source])) for column in encoder.number_columns_}

    def __call__(self, encoded: Encoded) -> pl.DataFrame:
        """The rows as a frame like the training rows'."""
        decoded = {**self._numbers(encoded.numbers), **self._categories(encoded.categories)}
        return pl.DataFrame([decoded[name] for name in self.kinds])

    def _numbers(self, numbers: npt.NDArray[np.float32]) -> dict[str, pl.Series]:
        place, decoded = 0, {}
        for column in self.encoder.number_columns_:
            missing = numbers[:, place + 1] > 0.5 if column.has_missing else np.zeros(len(numbers), bool)
            decoded[column.source] = self._number(column, numbers[:, place].astype(np.float64), missing)
            place += 1 + column.has_missing
        return decoded

    def _number(self, column: NumberColumn, encoded: Floats, missing: npt.NDArray[np.bool_]) -> pl.Series:
        values = np.where(missing, np.nan, self.forms[column.source].applied(column.decode(encoded)))
        series = pl.Series(column.source, values).fill_nan(None)
        if self.kinds[column.source] == "time":
            return (series * SECONDS_PER_DAY * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us"))
        return series

    def _categories(self, categories: npt.NDArray[np.int32]) -> dict[str, pl.Series]:
        decoded = {}
        for place, column in enumerate(self.encoder.category_columns_):
            names = pl.Series([None if level <= MISSING else name for level, name in enumerate(column.names)])
            levels = names.cast(pl.String).gather(categories[:, place]).alias(column.source)
            is_boolean = self.kinds[column.source] == "boolean"
            decoded[column.source] = levels == "true" if is_boolean else levels
        return decoded


def _values(series: pl.Series) -> Floats:
    """Numbers as they are encoded: times in days."""
    if series.dtype == pl.Datetime:
        return (series.dt.epoch("us").cast(pl.Float64) / (SECONDS_PER_DAY * 1e6)).to_numpy()
    return series.cast(pl.Float64).to_numpy()
