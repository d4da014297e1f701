"""Windows over rows that stand one entity after the other, each entity's in time: arrays in, arrays out.

A window never looks forward, and its value depends on its own rows only. So a value is the same to the bit whether
all rows are computed at once, or one by one as they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.table.history.features import LABEL, FeatureBlock
from oddrow.typing import Floats, Ints, Mask

Younger = Callable[[int], Ints]

_POLARS = {np.dtype(np.int8): pl.Int8, np.dtype(np.int32): pl.Int32, np.dtype(np.float64): pl.Float64}

TICKS = 1_000_000

"""Ticks in a second, or in the unit of a time that is a number."""


class Values(NamedTuple):
    """Values (n,) of one feature; `known` (n,) is False where it has none, None where it always has."""

    values: npt.NDArray[np.generic]
    known: Mask | None = None


@dataclass(frozen=True)
class Lanes:
    """All rows of a table that have an entity, one entity after the other, each in time; ties in the order given.

    `given` (n,) are the rows' numbers in the table, `entity` (n,) counts the entities, `time` (n,) are ticks.
    """

    given: Ints
    entity: Ints
    time: Ints

    @classmethod
    def of(cls, entities: pl.Series, time: Ints) -> Lanes:
        """Sort the rows by entity and time."""
        rows = pl.DataFrame({"entity": entities, "time": time}).with_row_index("given")
        rows = rows.drop_nulls("entity").sort("entity", "time", maintain_order=True)
        rows = rows.with_columns(pl.col("given", "time").cast(pl.Int64), pl.col("entity").rle_id().cast(pl.Int64))
        return cls(*(rows[name].to_numpy() for name in ("given", "entity", "time")))

    def younger(self) -> Younger:
        """A function of an age: per row, the first row of its entity that is less than so old at that moment."""
        moments, place = np.unique(self.time, return_inverse=True)
        # Entity and time as one number; the times' places are small enough, the times themselves are not.
        lane = self.entity * (len(moments) + 1)
        order = lane + place

        def first(age: int) -> Ints:
            oldest = np.searchsorted(moments, moments - age, "right")
            found: Ints = np.searchsorted(order, lane + oldest[place], "left")
            return found

        return first

    def since_last(self) -> Values:
        """Time since the entity's previous row."""
        return gaps(self.time, np.diff(self.entity, prepend=-1) > 0)


def gaps(time: Ints, is_first: Mask) -> Values:
    """Seconds, or units of a time that is a number, since the row before; none where there is no such row."""
    return Values(np.diff(time, prepend=time[:1]) / TICKS, ~is_first)


def window_values(
    block: FeatureBlock, ticks: Mapping[str, int], younger: Younger, ends: Ints, numbers: Mapping[str, Floats]
) -> Iterator[Values]:
    """The windowed features of a block in the order of its names, for rows whose windows without a delay end at `ends`.

    `numbers` are the totalled columns and the labels, NaN where there is none, of all rows that windows may hold.
    """
    if not block.windows:
        return
    delay = ticks[block.delay] if block.delay else 0
    ends = younger(delay) if block.delay else ends
    starts = np.stack([younger(delay + ticks[window]) for window in block.windows])
    counts = ends - starts
    flagged = {name: _flagged(name, numbers[name], starts, ends) for name in block.numbers}
    sums = {name: window_sums(_or_zero(numbers[name]), starts, ends) for name in dict.fromkeys(block.amounts)}
    for place, count in enumerate(counts):
        for kind, column in block.windowed:
            if kind == "count":
                yield Values(count.astype(np.int32))
            elif kind == "risk":
                yield Values(flagged[LABEL][place] / np.maximum(count, 1))
            else:
                yield _total(kind, sums[column][place], flagged[column][place])


def _total(kind: str, sums: Floats, n_known: Ints) -> Values:
    return Values(sums) if kind == "sum" else Values(sums / np.maximum(n_known, 1), n_known > 0)


def _or_zero(numbers: Floats) -> Floats:
    return np.where(np.isnan(numbers), 0.0, numbers)


def _flagged(name: str, numbers: Floats, starts: Ints, ends: Ints) -> Ints:
    """How many values in each window are known, or of the labels how many are frauds."""
    running = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers == 1 if name == LABEL else numbers == numbers, out=running[1:])
    counts: Ints = running[ends] - running[starts]
    return counts


def window_sums(values: Floats, starts: Ints, ends: Ints) -> Floats:
    """Sum of values[start:end] for each window, of any shape; it depends on nothing but the window's own values."""
    # Runs of 1, 2, 4, … values make up every window. Differences of a running total would be shorter,
    # but one huge amount would then leave its rounding error in every later row.
    totals, at, left = np.zeros(starts.size), starts.flatten(), (ends - starts).ravel()
    runs, length = values, 1
    # Huge values beside each other need not share a window; where they do, the sum is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        while left.any():
            odd = np.flatnonzero(left & length)
            totals[odd] += runs[at[odd]]
            at[odd] += length
            left[odd] -= length
            runs, length = runs[:-length] + runs[length:], 2 * length
    return totals.reshape(starts.shape)


def calendar(features: Sequence[str], times: pl.Series) -> Iterator[Values]:
    """`weekend`: Saturday or Sunday; `night`: hour 0 to 6; on the clock of the column."""
    local = times.dt.replace_time_zone(None) if getattr(times.dtype, "time_zone", None) else times
    second = local.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy() // TICKS
    for feature in features:
        # The first of January 1970 was a Thursday.
        flags = (second // 86_400 + 3) % 7 >= 5 if feature == "weekend" else second % 86_400 < 7 * 3600
        yield Values(flags.astype(np.int8))


class Columns:
    """Columns of `n_rows` rows that are filled piece by piece; what was not filled is missing."""

    def __init__(self, n_rows: int, types: Mapping[str, type[np.generic]]) -> None:
        self._values = {name: np.zeros(n_rows, kind) for name, kind in types.items()}
        self._known = {name: np.zeros(n_rows, np.bool_) for name in types}

    def put(self, names: Sequence[str], rows: Ints, found: Iterable[Values]) -> None:
        """Put values at some rows, a column for each name."""
        for name, (values, known) in zip(names, found, strict=True):
            self._values[name][rows] = values
            self._known[name][rows] = True if known is None else known

    def appended(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with the columns behind its own."""
        if frame.height == 1 and self._values:
            # One row, as it arrives: a tenth of the time.
            row = {name: values.item() if self._known[name].item() else None for name, values in self._values.items()}
            return frame.hstack(
                pl.from_dicts([row], {name: _POLARS[values.dtype] for name, values in self._values.items()})
            )
        return frame.hstack([self._series(name) for name in self._values])

    def _series(self, name: str) -> pl.Series:
        values, known = pl.Series(name, self._values[name]), self._known[name]
        return values if known.all() else values.zip_with(pl.Series(known), pl.Series([None], dtype=values.dtype))
