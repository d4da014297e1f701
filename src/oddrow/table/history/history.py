"""`History`: features of what each entity did before a row, for all rows of a table at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, first_names, raise_all
from oddrow.table.history.events import Events, check_absent, read_events
from oddrow.table.history.features import SINCE_LAST, FeatureBlock, is_numeric_span
from oddrow.table.history.windows import TICKS, FeatureColumns, SortedEvents, Values, calendar_values, window_values
from oddrow.table.times import duration


@dataclass(frozen=True)
class History:
    """Features of what each entity, such as a card or a terminal, did before a row.

    Parameters
    ----------
    blocks : tuple of FeatureBlock
        Blocks of features; `History.of` builds them from plain values.

    Raises
    ------
    ParameterError
        With one line for each problem of a block.

    Notes
    -----
    A block lists features, the entity column `by` and the windows. These features can be declared:

    ===============  =========================================  ===================================================
    feature          column                                     value
    ===============  =========================================  ===================================================
    `weekend`        `is_weekend` (Int8)                        1 on Saturday and Sunday; without `by`
    `night`          `is_night` (Int8)                          1 in the hours 0 to 6; without `by`
    `count`          `{by}_count_{window}` (Int32)              rows of the entity in (t - window, t]
    `sum COLUMN`     `{by}_sum_{column}_{window}` (Float64)     sum of the known values there, 0 without any
    `mean COLUMN`    `{by}_mean_{column}_{window}` (Float64)    mean of the known values, missing without any
    `risk`           `{by}_risk_{window}` (Float64)             known frauds / rows, 0 without rows; needs a delay
    `since last`     `{by}_since_last` (Float64)                time since the entity's previous row in seconds, or
                                                                units of a numeric time; missing for its first row
    ===============  =========================================  ===================================================

    With a `delay`, for what becomes known late, the window is (t - delay - window, t - delay] and the column name ends
    in `_{delay}_ago`. Without one it contains the row itself.

    Rows of an entity at the same time count in their order in the table: each sees those above it and itself. If the
    entity is missing, the features are missing and the row counts for no other. So a value depends on nothing that
    comes later, and is the same to the bit whether rows are computed together or one by one with `HistoryState`.

    Examples
    --------
    >>> history = History.of([{"by": "card", "windows": ["1d"], "features": ["count", "mean amount", "since last"]}])
    >>> rows = pl.DataFrame({"t": [0, 3600, 90_000], "card": ["a", "a", "a"], "amount": [1.0, 3.0, 5.0]})
    >>> history.add(rows.with_columns(pl.from_epoch("t")), "t")[history.names].rows()
    [(1, 1.0, None), (2, 2.0, 3600.0), (1, 5.0, 86400.0)]
    """

    blocks: tuple[FeatureBlock, ...]

    def __post_init__(self) -> None:
        _raise_in_blocks(enumerate(map(list, map(FeatureBlock.problems, self.blocks)), 1))
        repeated = [name for place, name in enumerate(self.names) if name in self.names[:place]]
        if repeated:
            raise ParameterError(f"history: declared twice: {first_names(repeated)}. Remove the repeated features.")
        spans = [span for block in self.blocks for span in block.spans]
        numeric = [span for span in spans if is_numeric_span(span)]
        if numeric and len(numeric) < len(spans):
            dated = next(span for span in spans if not is_numeric_span(span))
            raise ParameterError(
                f"history: {numeric[0]!r} is for a numeric time, but {dated!r} for dates and times. Use one of the two."
            )

    @classmethod
    def of(cls, blocks: Sequence[Mapping[str, Any]]) -> History:
        """Build a history from plain values.

        Parameters
        ----------
        blocks : sequence of mappings
            Blocks as TOML and JSON hold them, with the keys `features`, `by`, `windows` and `delay`.

        Returns
        -------
        History
            The checked history.

        Raises
        ------
        ParameterError
            With one line for each unknown key or feature and for each problem of a block.
        """
        if not isinstance(blocks, (list, tuple)):
            raise ParameterError(f"history={blocks!r:.60} is not a list of blocks. Write [[history]] above each block.")
        made: list[FeatureBlock] = []
        problems: list[tuple[int, list[str]]] = []
        for number, block in enumerate(blocks, 1):
            try:
                made.append(FeatureBlock.of(block))
            except ParameterError as error:
                problems.append((number, str(error).splitlines()))
        _raise_in_blocks(problems)
        return cls(tuple(made))

    @cached_property
    def names(self) -> list[str]:
        """Columns that are added, in order."""
        return [name for block in self.blocks for name in block.names]

    @property
    def descriptions(self) -> dict[str, str]:
        """Description of each column that is added, such as "rows of the card in 7 days"."""
        texts = (zip(block.names, block.descriptions, strict=True) for block in self.blocks)
        return {name: text for block in texts for name, text in block}

    @cached_property
    def types(self) -> dict[str, type[np.generic]]:
        """NumPy type of each column that is added."""
        return {name: kind for block in self.blocks for name, kind in zip(block.names, block.types, strict=True)}

    @cached_property
    def entities(self) -> list[str]:
        """Columns that name an entity."""
        return list(dict.fromkeys(block.by for block in self.blocks if block.by is not None))

    @cached_property
    def amounts(self) -> list[str]:
        """Columns whose values are totalled."""
        return list(dict.fromkeys(column for block in self.blocks for column in block.amounts))

    @property
    def columns(self) -> list[str]:
        """Columns that must be in the table besides time and label."""
        return list(dict.fromkeys([*self.entities, *self.amounts]))

    @cached_property
    def needs_label(self) -> bool:
        """Whether a feature uses known frauds."""
        return any("risk" in block.features for block in self.blocks)

    @property
    def reach(self) -> float:
        """Longest delay plus window, in seconds or units of a numeric time; `since last` may look back farther."""
        return max((block.reach for block in self.blocks), default=0.0)

    def add(self, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | pl.Series | None = None) -> pl.DataFrame:
        """Append the declared columns to a table.

        Parameters
        ----------
        frame : polars.DataFrame, n rows
            Rows in any order. To compute new rows, put them below the rows of at least `reach` before them.
        time : str
            Column of dates, times or numbers.
        y : ndarray or polars.Series, shape (n,), or None, default=None
            Labels, needed for `risk`: 1 fraud, 0 normal, NaN or null unknown.

        Returns
        -------
        polars.DataFrame, n rows
            The table with the columns `names`; rows keep their order.

        Raises
        ------
        TableError
            If a column is absent, already there or of a wrong type, a time is missing, an amount infinite or a label
            none of these values.
        ParameterError
            If labels are needed and absent, or a span does not fit the time column.
        """
        events, ticks = self._read(frame, time, y), self._ticks(frame[time])
        check_absent(self.names, frame)
        columns = FeatureColumns(frame.height, self.types)
        self._fill_calendar(columns, frame[time])
        for by in self.entities:
            ordered = SortedEvents.of(events.entities[by], events.time)
            for block in self._blocks_by(by):
                columns.fill(block.names, ordered.rows, _block_values(block, ticks, ordered, events))
        return columns.append_to(frame)

    def _blocks_by(self, by: str | None) -> list[FeatureBlock]:
        return [block for block in self.blocks if block.by == by]

    def _read(self, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | pl.Series | None) -> Events:
        if self.needs_label and y is None:
            raise ParameterError("history: risk needs labels. Pass y, with NaN for rows whose label is not known.")
        labels = y if self.needs_label else None
        calendar = [feature for block in self._blocks_by(None) for feature in block.features]
        return read_events(frame, time, self.entities, self.amounts, labels, calendar=calendar)

    def _ticks(self, times: pl.Series) -> dict[str, int]:
        """Return each span in ticks of a time column."""
        spans = {span for block in self.blocks for span in block.spans}
        return {span: round(duration(span, times) * TICKS) for span in spans}

    def _fill_calendar(self, columns: FeatureColumns, times: pl.Series) -> None:
        for block in self._blocks_by(None):
            columns.fill(block.names, np.arange(len(times)), calendar_values(block.features, times))


def _block_values(
    block: FeatureBlock, ticks: Mapping[str, int], ordered: SortedEvents, events: Events
) -> Iterator[Values]:
    numbers = {name: events.numbers[name][ordered.rows] for name in block.numbers}
    yield from window_values(block, ticks, ordered.first_younger(), np.arange(len(ordered.rows)) + 1, numbers)
    if SINCE_LAST in block.features:
        yield ordered.since_last()


def _raise_in_blocks(problems: Iterable[tuple[int, list[str]]]) -> None:
    raise_all(
        [f"history, block {number}: {problem}" for number, found in problems for problem in found], ParameterError
    )
