"""What each customer, terminal or device did lately: columns that say whether a row is odd for them.

Features are declared in blocks. A window ends at the row itself, or a delay before it, and never looks forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, first_names, raise_all
from oddrow.table.history.events import Events, check_new, read_events
from oddrow.table.history.features import SINCE_LAST, FeatureBlock, is_plain
from oddrow.table.history.windows import TICKS, Columns, Lanes, Values, calendar, window_values
from oddrow.table.split import duration


@dataclass(frozen=True)
class History:
    """Features of behaviour, declared in blocks: how often, how much, how risky, how long since.

    A block names `features`, the column `by` which rows belong together, and the spans `windows` they are counted in;
    `delay` ends the windows that long before the row, for what becomes known late.

    ===============  =========================================  ===================================================
    feature          column                                     value
    ===============  =========================================  ===================================================
    `weekend`        `is_weekend` (Int8)                        1 on Saturday and Sunday; without `by`
    `night`          `is_night` (Int8)                          1 in the hours 0 to 6; without `by`
    `count`          `{by}_count_{window}` (Int32)              rows of the entity in (t - window, t], this one too
    `sum COLUMN`     `{by}_sum_{column}_{window}` (Float64)     total of the known values there, 0 where none is
    `mean COLUMN`    `{by}_mean_{column}_{window}` (Float64)    mean of the known values, missing where none is
    `risk`           `{by}_risk_{window}` (Float64)             known frauds / rows, 0 where no row is; needs a delay
    `since last`     `{by}_since_last` (Float64)                seconds (units of a numeric time) since the entity's
                                                                previous row, missing for its first; no windows
    ===============  =========================================  ===================================================

    With a delay the window is (t - delay - window, t - delay] and the name ends in `_{delay}_ago`. Rows of one entity
    with the very same time count in the order given: each sees those above it and itself. A row whose entity is missing
    belongs to nobody: its features are missing, and it counts for no other. So a value depends on nothing that comes
    later, and is the same to the bit whether rows are computed together or one by one (`HistoryState`).

    Raises `ParameterError`, once for all that does not fit together.

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
            raise ParameterError(f"history: {first_names(repeated)} would be made twice. Leave one of each out.")
        spans = [span for block in self.blocks for span in block.spans]
        plain = [span for span in spans if is_plain(span)]
        if plain and len(plain) < len(spans):
            timed = next(span for span in spans if not is_plain(span))
            raise ParameterError(f"history: {plain[0]!r} and {timed!r} fit no one time column. Use one kind of span.")

    @classmethod
    def of(cls, blocks: Sequence[Mapping[str, Any]]) -> History:
        """The history that plain values declare, as TOML or JSON holds them: a list of blocks.

        Raises `ParameterError` for unknown keys and features (did you mean), for windows or a delay that are lacking,
        superfluous or no spans, and for columns that would be made twice.
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
        """The columns it adds, in order."""
        return [name for block in self.blocks for name in block.names]

    @property
    def descriptions(self) -> dict[str, str]:
        """The columns it adds, in words: `rows of the card in 7 days`."""
        return {name: said for block in self.blocks for name, said in zip(block.names, block.descriptions, strict=True)}

    @cached_property
    def types(self) -> dict[str, type[np.generic]]:
        """The columns it adds, and the type of each."""
        return {name: kind for block in self.blocks for name, kind in zip(block.names, block.types, strict=True)}

    @cached_property
    def entities(self) -> list[str]:
        """The columns whose values say which rows belong together, each once."""
        return list(dict.fromkeys(block.by for block in self.blocks if block.by is not None))

    @cached_property
    def amounts(self) -> list[str]:
        """The columns that are totalled, each once."""
        return list(dict.fromkeys(column for block in self.blocks for column in block.amounts))

    @property
    def columns(self) -> list[str]:
        """The columns it reads besides time and label, each once."""
        return list(dict.fromkeys([*self.entities, *self.amounts]))

    @cached_property
    def needs_label(self) -> bool:
        """Whether it looks at known frauds."""
        return any("risk" in block.features for block in self.blocks)

    @property
    def reach(self) -> float:
        """How far back it sees, the longest delay and window, in seconds or units of a time that is a number.

        What `since last` needs is one earlier row, however old.
        """
        return max((block.reach for block in self.blocks), default=0.0)

    def add(self, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | None = None) -> pl.DataFrame:
        """The frame with the declared columns appended, rows in the order given.

        `time` names a column of dates, times or numbers; `y` (n,) is 1 for a known anomaly, 0 for normal, NaN for
        unknown, and is needed for `risk` only. To compute new rows, put them below `reach` of earlier ones.

        Raises `TableError` for columns that are absent, there already or of a wrong type, for missing times, infinite
        amounts and values of y besides these; `ParameterError` for spans that do not fit the time column.
        """
        rows, ticks = self.read(frame, time, y), self.ticks(frame[time])
        check_new(self.names, frame)
        columns = Columns(frame.height, self.types)
        self.put_calendar(columns, frame[time])
        for by in self.entities:
            lanes = Lanes.of(rows.entities[by], rows.time)
            for block in self.blocks_by(by):
                columns.put(block.names, lanes.given, _of_lanes(block, ticks, lanes, rows))
        return columns.appended(frame)

    def blocks_by(self, by: str | None) -> list[FeatureBlock]:
        """The blocks of one entity column; None for those of the row's own time."""
        return [block for block in self.blocks if block.by == by]

    def read(self, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | None) -> Events:
        """The rows as checked arrays, with columns that are there already or not; raises what `add` does."""
        if self.needs_label and y is None:
            raise ParameterError("history: risk needs labels. Pass y, NaN where the label of a row is not known.")
        labels = y if self.needs_label else None
        of_time = [feature for block in self.blocks_by(None) for feature in block.features]
        return read_events(frame, time, self.entities, self.amounts, labels, of_time)

    def ticks(self, times: pl.Series) -> dict[str, int]:
        """Each span in ticks of a time column; raises `ParameterError` for one that does not fit it."""
        spans = {span for block in self.blocks for span in block.spans}
        return {span: round(duration(span, times) * TICKS) for span in spans}

    def put_calendar(self, columns: Columns, times: pl.Series) -> None:
        """Fill the columns that the row's own time tells."""
        for block in self.blocks_by(None):
            columns.put(block.names, np.arange(len(times)), calendar(block.features, times))


def _of_lanes(block: FeatureBlock, ticks: Mapping[str, int], lanes: Lanes, rows: Events) -> Iterator[Values]:
    numbers = {name: rows.numbers[name][lanes.given] for name in block.numbers}
    yield from window_values(block, ticks, lanes.younger(), np.arange(len(lanes.given)) + 1, numbers)
    if SINCE_LAST in block.features:
        yield lanes.since_last()


def _raise_in_blocks(problems: Iterable[tuple[int, list[str]]]) -> None:
    raise_all(
        [f"history, block {number}: {problem}" for number, found in problems for problem in found], ParameterError
    )
