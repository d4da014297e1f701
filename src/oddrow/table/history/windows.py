"""Sums and counts of events in windows of time, for events that are sorted by time: arrays in, arrays out.

A window never looks ahead, and its value depends on its own events only. So a value is the same to the bit whether all
rows are computed at once or one by one as they arrive.
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

# Ticks in a second, or in the unit of a numeric time.
TICKS = 1_000_000

# For an age in ticks: the index (n,) of the first event of each row's entity that is younger than that.
FirstYounger = Callable[[int], Ints]


class Values(NamedTuple):
    """Values (n,) of one feature; `known` (n,) is False where a value is missing, None if none is."""

    values: npt.NDArray[np.generic]
    known: Mask | None = None


def window_values(
    block: FeatureBlock,
    ticks: Mapping[str, int],
    first_younger: FirstYounger,
    ends: Ints,
    numbers: Mapping[str, Floats],
) -> Iterator[Values]:
    """Yield the windowed features of a block in the order of its names.

    `ends` (n,) is the index after each row's own event, where windows without a delay end. `numbers` holds the amounts
    and the labels of all events that windows may contain, NaN if missing.
    """
    if not block.windows:
        return
    delay = ticks[block.delay] if block.delay else 0
    ends = first_younger(delay) if block.delay else ends
    starts = np.stack([first_younger(delay + ticks[window]) for window in block.windows])
    counts = ends - starts
    known = {name: _count(~np.isnan(numbers[name]), starts, ends) for name in block.amounts}
    sums = {name: window_sums(np.where(np.isnan(numbers[name]), 0.0, numbers[name]), starts, ends) for name in known}
    if "risk" in block.features:
        known[LABEL] = _count(numbers[LABEL] == 1, starts, ends)
    for place, count in enumerate(counts):
        for kind, column in block.windowed:
            if kind == "count":
                yield Values(count.astype(np.int32))
            elif kind == "risk":
                yield Values(known[LABEL][place] / np.maximum(count, 1))
            else:
                yield _total(kind, sums[column][place], known[column][place])


def _total(kind: str, sums: Floats, n_known: Ints) -> Values:
    return Values(sums) if kind == "sum" else Values(sums / np.maximum(n_known, 1), n_known > 0)


def _count(flags: Mask, starts: Ints, ends: Ints) -> Ints:
    running = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=running[1:])
    counts: Ints = running[ends] - running[starts]
    return counts


def window_sums(values: Floats, starts: Ints, ends: Ints) -> Floats:
    """Return the sum of values[start:end] of each window, from nothing but its own values.

    >>> window_sums(np.array([1.0, 2.0, 4.0]), np.array([0, 1]), np.array([3, 2]))
    array([7., 2.])
    """
    # Every window is made up of runs of 1, 2, 4, … values. Differences of a running total would be simpler, but one
    # huge amount would leave its rounding error in every later row.
    totals, at, left = np.zeros(starts.size), starts.flatten(), (ends - starts).ravel()
    runs, length = values, 1
    # Two huge values may overflow in a run that no window contains; if one does, its sum is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        while left.any():
            odd = np.flatnonzero(left & length)
            totals[odd] += runs[at[odd]]
            at[odd] += length
            left[odd] -= length
            runs, length = runs[:-length] + runs[length:], 2 * length
    return totals.reshape(starts.shape)


def calendar_values(features: Sequence[str], times: pl.Series) -> Iterator[Values]:
    """Yield `weekend` (Saturday or Sunday) and `night` (hours 0 to 6) as asked, on the column's own clock."""
    local = times.dt.replace_time_zone(None) if getattr(times.dtype, "time_zone", None) else times
    second = local.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy() // TICKS
    for feature in features:
        # 1 January 1970 was a Thursday.
        flags = (second // 86_400 + 3) % 7 >= 5 if feature == "weekend" else second % 86_400 < 7 * 3600
        yield Values(flags.astype(np.int8))


def time_since(before: int | None, time: Ints) -> Values:
    """Return the time since the previous event of one entity, in seconds or units of a numeric time.

    `before` is the time of the event before the first one, None if there is none.
    """
    previous = np.concatenate([[time[0] if before is None else before], time[:-1]])
    known = np.ones(len(time), np.bool_)
    known[0] = before is not None
    return Values((time - previous) / TICKS, known)


@dataclass(frozen=True)
class SortedEvents:
    """Events that have an entity, sorted by entity and time; those at the same time keep their order.

    `rows` (n,) are row numbers in the table, `entity` (n,) numbers the entities from 0, `time` (n,) is in ticks.
    """

    rows: Ints
    entity: Ints
    time: Ints

    @classmethod
    def of(cls, entities: pl.Series, time: Ints) -> SortedEvents:
        """Sort the events of a table."""
        events = pl.DataFrame({"entity": entities, "time": time}).with_row_index("row")
        events = events.drop_nulls("entity").sort("entity", "time", maintain_order=True)
        events = events.with_columns(pl.col("row", "time").cast(pl.Int64), pl.col("entity").rle_id().cast(pl.Int64))
        return cls(*(events[name].to_numpy() for name in ("row", "entity", "time")))

    def first_younger(self) -> FirstYounger:
        """Return the function that finds the first event younger than an age."""
        moments, rank = np.unique(self.time, return_inverse=True)
        # One sortable number for entity and time; ranks are small enough for that, ticks are not.
        entity = self.entity * (len(moments) + 1)
        position = entity + rank

        def find(age: int) -> Ints:
            oldest = np.searchsorted(moments, moments - age, "right")
            found: Ints = np.searchsorted(position, entity + oldest[rank], "left")
            return found

        return find

    def since_last(self) -> Values:
        """Return the time since the entity's previous event, as `time_since` does for one entity."""
        return Values(np.diff(self.time, prepend=self.time[:1]) / TICKS, np.diff(self.entity, prepend=-1) == 0)


_POLARS_TYPES = {np.dtype(np.int8): pl.Int8, np.dtype(np.int32): pl.Int32, np.dtype(np.float64): pl.Float64}


class FeatureColumns:
    """Columns of `n_rows` rows that are filled in parts; what is not filled is missing."""

    def __init__(self, n_rows: int, types: Mapping[str, type[np.generic]]) -> None:
        self._values = {name: np.zeros(n_rows, kind) for name, kind in types.items()}
        self._known = {name: np.zeros(n_rows, np.bool_) for name in types}

    def fill(self, names: Sequence[str], rows: Ints, found: Iterable[Values]) -> None:
        """Fill some rows of the named columns."""
        for name, (values, known) in zip(names, found, strict=True):
            self._values[name][rows] = values
            self._known[name][rows] = True if known is None else known

    def append_to(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with these columns after its own."""
        if frame.height == 1 and self._values:
            # One row, as it arrives: this takes a tenth of the time.
            row = {name: values.item() if self._known[name].item() else None for name, values in self._values.items()}
            types = {name: _POLARS_TYPES[values.dtype] for name, values in self._values.items()}
            return frame.hstack(pl.from_dicts([row], types))
        return frame.hstack([self._series(name) for name in self._values])

    def _series(self, name: str) -> pl.Series:
        values, known = pl.Series(name, self._values[name]), self._known[name]
        return values if known.all() else values.zip_with(pl.Series(known), pl.Series([None], dtype=values.dtype))
