"""`HistoryState`: the same features for rows as they arrive, from the events that later rows can still see."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from functools import reduce
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ArtifactError, OddrowError, offenders, raise_all
from oddrow.structure import to_plain
from oddrow.table.history import state_file
from oddrow.table.history.entity_events import EventLog, Track, Tracks
from oddrow.table.history.events import (
    LATEST,
    NUMBERS,
    Events,
    check_absent,
    check_frame,
    clock_kind,
    entity_kind,
    read_events,
    time_text,
)
from oddrow.table.history.features import LABEL, SINCE_LAST, FeatureBlock
from oddrow.table.history.history import History
from oddrow.table.history.windows import FeatureColumns, Values, time_since, window_values
from oddrow.typing import Floats, Ints

_Keys = list[Hashable | None]

# Rows may arrive late by the reach divided by this.
_LATENESS = 8


class HistoryState:
    """Compute the features of a history for rows as they arrive.

    `update` appends the columns that `History.add` would append to all rows together, equal to the bit, in well under a
    millisecond for one row. The state keeps the events within reach of the latest one plus an eighth, and for
    `since last` the latest time of every entity. It must not be used by several threads at once.

    Parameters
    ----------
    history : History
        Features to compute.
    time : str
        Time column.
    clock : str
        What the time column counts in: "numbers", "dates and times", or "dates and times in ZONE".
    kinds : dict of str to (str or None)
        Kind of each entity column: "whole numbers", "text" or "true and false"; None if not known yet.

    See Also
    --------
    HistoryState.after : Make a state from earlier rows, or from an empty table, without spelling out the kinds.

    Examples
    --------
    >>> history = History.of([{"by": "card", "windows": ["1d"], "features": ["count", "since last"]}])
    >>> rows = pl.DataFrame({"t": [0, 3600], "card": ["a", "a"]}).with_columns(pl.from_epoch("t"))
    >>> state = HistoryState.after(history, rows.head(1), "t")
    >>> state.update(rows.tail(1))[history.names].rows()
    [(2, 3600.0)]
    """

    def __init__(self, history: History, time: str, clock: str, kinds: dict[str, str | None]) -> None:
        self.history, self.time, self.clock, self.kinds = history, time, clock, kinds
        times = pl.Series(time, [], pl.Float64 if clock == NUMBERS else pl.Datetime("us"))
        self._ticks = history._ticks(times)
        self._blocks = {by: history._blocks_by(by) for by in history.entities}
        self._reach = max((self._block_reach(block) for block in history.blocks), default=0)
        self._lateness = self._reach // _LATENESS
        self._names = [*history.amounts, *([LABEL] if history.needs_label else [])]
        self._newest = -LATEST
        self._log = EventLog(len(self._names))
        self._tracks = {by: Tracks() for by in history.entities}
        self._last: dict[str, dict[Hashable, int]] = {
            by: {} for by, blocks in self._blocks.items() if any(SINCE_LAST in block.features for block in blocks)
        }

    @classmethod
    def after(
        cls, history: History, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | pl.Series | None = None
    ) -> HistoryState:
        """Make the state after the rows of a table.

        Parameters
        ----------
        history : History
            Features to compute.
        frame : polars.DataFrame, n rows
            Earlier rows in any order, at least the `reach` of the history; may be empty.
        time : str
            Time column.
        y : ndarray or polars.Series, shape (n,), or None, default=None
            Labels, as for `History.add`.

        Returns
        -------
        HistoryState
            The state, ready for the rows that follow.

        Raises
        ------
        TableError, ParameterError
            As by `History.add`.
        """
        events = history._read(frame, time, y)
        history._ticks(frame[time])
        kinds = {by: entity_kind(values) for by, values in events.entities.items()}
        state = cls(history, time, clock_kind(frame[time]), kinds)
        if frame.height:
            state._fill(events, int(events.time.max()))
        return state

    @property
    def n_rows(self) -> int:
        """Number of rows that later rows can still see."""
        return int((self._log.kept()[1] > self._horizon).sum())

    def update(self, rows: pl.DataFrame, y: npt.NDArray[Any] | pl.Series | None = None) -> pl.DataFrame:
        """Append the declared columns to new rows, and add these to the state.

        Parameters
        ----------
        rows : polars.DataFrame, n rows
            Rows in order of time: none earlier than the latest row of its entities, nor by more than an eighth of the
            reach earlier than the latest row of all. At the same time their order counts.
        y : ndarray or polars.Series, shape (n,), or None, default=None
            Labels that are known already; `learn` adds others later.

        Returns
        -------
        polars.DataFrame, n rows
            The rows with the columns `history.names`.

        Raises
        ------
        TableError
            If a row comes too late, and as by `History.add`; the state stays as it was.
        """
        check_frame(rows)
        events = self.history._read(rows, self.time, np.full(rows.height, np.nan) if y is None else y)
        check_absent(self.history.names, rows)
        keys = {by: values.to_list() for by, values in events.entities.items()}
        self._check_kinds(rows)
        raise_all(list(self._order_problems(rows, events.time.tolist(), keys)))
        columns = FeatureColumns(rows.height, self.history.types)
        self.history._fill_calendar(columns, rows[self.time])
        self._append(events, keys, columns)
        return columns.append_to(rows)

    def learn(self, known: pl.DataFrame, y: npt.NDArray[Any] | pl.Series) -> int:
        """Add labels that became known after their rows.

        Of several rows with the same time and entities, those without a label come first.

        Parameters
        ----------
        known : polars.DataFrame, n rows
            Time and entity columns of the labelled rows. Where an entity is missing, the others identify the row.
        y : ndarray or polars.Series, shape (n,)
            Labels: 1 fraud, 0 normal; NaN changes nothing.

        Returns
        -------
        int
            Number of rows found. Rows out of reach are skipped without an error, because labels often arrive late.

        Raises
        ------
        TableError
            If a column is absent or of another type than before, or a label is none of these values.
        """
        events = read_events(known, self.time, self.history.entities, [], y)
        self._check_kinds(known)
        keys = [values.to_list() for values in events.entities.values()]
        found: set[int] = set()
        for row in np.flatnonzero(~np.isnan(events.numbers[LABEL])).tolist():
            event = self._find_event([column[row] for column in keys], int(events.time[row]), found)
            if event is not None:
                found.add(event)
                if self.history.needs_label:
                    self._log.set_number(self._names.index(LABEL), event, float(events.numbers[LABEL][row]))
        return len(found)

    def save(self, path: str | Path) -> None:
        """Write the state to a Parquet file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            Name of the file.

        Raises
        ------
        TableError
            If the file cannot be written.
        """
        metadata = state_file.StateMetadata(self.history.blocks, self.time, self.clock, self.kinds, self._newest)
        state_file.write_state(self._to_table(), to_plain(metadata), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> HistoryState:
        """Read a state that `save` wrote.

        Parameters
        ----------
        path : str or Path
            Name of the file.

        Returns
        -------
        HistoryState
            The state, which continues as the saved one would.

        Raises
        ------
        ArtifactError
            If the file is damaged or was not written by `save`.
        """
        rows, metadata = state_file.read_state(Path(path))
        try:
            return cls._from_table(rows, metadata)
        except (OddrowError, ValueError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"{path}: not a valid history state ({error}). Save a new one.") from error

    @property
    def _horizon(self) -> int:
        """The latest time that no row to come can see."""
        return self._newest - self._lateness - self._reach

    def _block_reach(self, block: FeatureBlock) -> int:
        longest = max((self._ticks[window] for window in block.windows), default=0)
        return longest + (self._ticks[block.delay] if block.delay else 0)

    def _append(self, events: Events, keys: dict[str, _Keys], columns: FeatureColumns) -> None:
        """Add events to the state, and fill the columns of their rows."""
        ids = self._log.append(events.time, self._stack_numbers(events))
        for by, column in keys.items():
            for key, rows in _rows_by_entity(column):
                self._append_entity(by, key, rows, events.time[rows], ids[rows], columns)
        self._newest = max([self._newest, *events.time.tolist()])
        self._log.forget(self._horizon)
        for tracks in self._tracks.values():
            tracks.forget(self._horizon)

    def _stack_numbers(self, events: Events) -> Floats:
        return np.array([events.numbers[name] for name in self._names]).reshape(len(self._names), len(events.time))

    def _append_entity(
        self, by: str, key: Hashable, rows: Ints, time: Ints, ids: Ints, columns: FeatureColumns
    ) -> None:
        track = self._tracks[by].extend(key, time, ids, self._horizon)
        last = self._last.get(by)
        for block in self._blocks[by]:
            values: Iterable[Values] = self._window_values(block, track, time)
            if SINCE_LAST in block.features and last is not None:
                values = chain(values, [time_since(last.get(key), time)])
            columns.fill(block.names, rows, values)
        if last is not None:
            last[key] = int(time[-1])

    def _window_values(self, block: FeatureBlock, track: Track, time: Ints) -> Iterator[Values]:
        start = np.searchsorted(track.time, time[0] - self._block_reach(block), "right")
        seen, ids = track.time[start:], track.ids[start:]
        numbers = dict(zip(self._names, self._log.numbers(ids), strict=True)) if block.numbers else {}

        def first_younger(age: int) -> Ints:
            first: Ints = np.searchsorted(seen, time - age, "right")
            return first

        ends = np.arange(len(seen) - len(time), len(seen)) + 1
        return window_values(block, self._ticks, first_younger, ends, numbers)

    def _check_kinds(self, rows: pl.DataFrame) -> None:
        """Raise `TableError` for times and entities of another kind than before; note kinds that are new."""
        kinds = {by: entity_kind(rows[by]) for by in self.kinds}
        pairs = {self.time: (clock_kind(rows[self.time]), self.clock)}
        pairs |= {by: (kinds[by] or self.kinds[by] or "", self.kinds[by] or kinds[by] or "") for by in kinds}
        raise_all(
            [
                f"column '{name}' holds {new}, but held {old} in earlier rows. Convert it."
                for name, (new, old) in pairs.items()
                if new != old
            ]
        )
        self.kinds = {by: self.kinds[by] or kinds[by] for by in kinds}

    def _order_problems(self, rows: pl.DataFrame, time: list[int], keys: dict[str, _Keys]) -> Iterator[str]:
        found: set[int] = set()
        for what, earliest in self._earliest_times(time, keys):
            late = [row for row, moment in enumerate(time) if moment < earliest[row] and row not in found]
            found.update(late)
            if late:
                shown = offenders(late, rows[self.time].gather(late[:3]).to_list())
                yield (
                    f"column '{self.time}': {len(late):,} of {rows.height:,} rows are earlier than {what} ({shown}; "
                    f"that is {time_text(earliest[late[0]], self.clock)}). Sort the rows by time, or use History.add."
                )

    def _earliest_times(self, time: list[int], keys: dict[str, _Keys]) -> Iterator[tuple[str, list[int]]]:
        """Yield limits that no row may be earlier than, one for each row, and what the limits are."""
        for by, column in keys.items():
            earliest: list[int] = []
            seen: dict[Hashable, int] = {}
            for key, moment in zip(column, time, strict=True):
                earliest.append(seen.get(key, self._newest_of(by, key)) if key is not None else -LATEST)
                seen[key] = max(moment, earliest[-1])
            yield f"the latest of the same {by}", earliest
        if self._reach:
            newest = accumulate([self._newest, *time], max)
            yield "an eighth of the reach before the latest row", [at - self._lateness for at in newest]

    def _newest_of(self, by: str, key: Hashable) -> int:
        if by in self._last:
            return self._last[by].get(key, -LATEST)
        track = self._tracks[by].get(key)
        return -LATEST if track is None else track.newest

    def _find_event(self, keys: _Keys, moment: int, taken: set[int]) -> int | None:
        """Return the id of an event of these entities at this time, without a label if there is one."""
        tracks = [tracks.get(key) for tracks, key in zip(self._tracks.values(), keys, strict=True) if key is not None]
        if not tracks or moment <= self._horizon:
            return None
        alike = [np.empty(0, np.int64) if track is None else track.ids_at(moment) for track in tracks]
        free = [event for event in reduce(np.intersect1d, alike).tolist() if event not in taken]
        if not self.history.needs_label:
            return next(iter(free), None)
        labels = self._log.numbers(np.array(free, np.int64))[-1]
        return min(zip(~np.isnan(labels), free, strict=True), default=(False, None))[1]

    def _fill(self, events: Events, newest: int) -> None:
        """Add events in any order to an empty state."""
        self._newest = newest
        for by in self._last:
            seen = pl.DataFrame({"entity": events.entities[by], "time": events.time}).drop_nulls("entity")
            self._last[by] = dict(seen.group_by("entity").agg(pl.col("time").max()).iter_rows())
        order = np.argsort(events.time, kind="stable")
        order = order[events.time[order] > self._horizon]
        ids = self._log.append(events.time[order], self._stack_numbers(events)[:, order])
        for by, values in events.entities.items():
            self._tracks[by] = Tracks.of(values.gather(order), events.time[order], ids)

    def _to_table(self) -> pl.DataFrame:
        """Return the events in reach; below them, with time and entity alone, older ones that `since last` needs."""
        ids, time, numbers = self._log.kept()
        columns = [pl.Series("time", time)]
        columns += [state_file.entity_texts(by, tracks.items(), ids) for by, tracks in self._tracks.items()]
        columns += [pl.Series(state_file.number_column(name), numbers[place]) for place, name in enumerate(self._names)]
        parts = [pl.DataFrame(columns).filter(pl.Series(time > self._horizon))]
        for by, last in self._last.items():
            old = {key: moment for key, moment in last.items() if moment <= self._horizon}
            texts = pl.Series(state_file.entity_column(by), map(state_file.entity_text, old), dtype=pl.String)
            parts.append(pl.DataFrame([pl.Series("time", list(old.values()), dtype=pl.Int64), texts]))
        return pl.concat(parts, how="diagonal").with_columns(pl.selectors.float().fill_null(float("nan")))

    @classmethod
    def _from_table(cls, rows: pl.DataFrame, metadata: state_file.StateMetadata) -> HistoryState:
        history = History(metadata.history)
        state_file.check_metadata(metadata, history.entities)
        state = cls(history, metadata.time, metadata.clock, metadata.kinds)
        state_file.check_rows(rows, history.entities, state._names, metadata.newest)
        numbers = {name: rows[state_file.number_column(name)].to_numpy() for name in state._names}
        entities = {
            by: state_file.parse_entities(rows[state_file.entity_column(by)], kind) for by, kind in state.kinds.items()
        }
        state._fill(Events(rows["time"].to_numpy(), entities, numbers), metadata.newest)
        return state


def _rows_by_entity(keys: _Keys) -> list[tuple[Hashable, Ints]]:
    """Return the rows of each entity; rows without one are left out."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None:
            rows.setdefault(key, []).append(row)
    return [(key, np.array(found)) for key, found in rows.items()]
