"""What rows still to come can see of rows that were there: features of behaviour, one row at a time."""

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
from oddrow.table.history.events import (
    DATES,
    LATEST,
    NUMBERS,
    Events,
    check_frame,
    check_new,
    clock_kind,
    entity_kind,
    read_events,
)
from oddrow.table.history.features import LABEL, SINCE_LAST, FeatureBlock
from oddrow.table.history.history import History
from oddrow.table.history.store import (
    check_said,
    check_table,
    column_of,
    entities_of,
    read_state,
    spoken,
    to_text,
    write_state,
)
from oddrow.table.history.tracks import Remembered, Track, Tracks
from oddrow.table.history.windows import TICKS, Columns, Values, gaps, window_values
from oddrow.typing import Floats, Ints

_Keys = list[Hashable | None]

_LATENESS = 8


class HistoryState:
    """What rows still to come can see of rows that were there.

    `update` gives new rows the columns that `History.add` on all rows together would give them, to the bit, in well
    under a millisecond for one row. Kept are the rows within reach of the latest one, and an eighth of the reach
    beyond; with `since last` also one time for each entity that ever was. Not for several threads at once.

    >>> history = History.of([{"by": "card", "windows": ["1d"], "features": ["count", "since last"]}])
    >>> rows = pl.DataFrame({"t": [0, 3600], "card": ["a", "a"]}).with_columns(pl.from_epoch("t"))
    >>> state = HistoryState.after(history, rows.head(1), "t")
    >>> state.update(rows.tail(1))[history.names].rows()
    [(2, 3600.0)]
    """

    def __init__(self, history: History, time: str, clock: str, kinds: dict[str, str | None]) -> None:
        """A state that has seen nothing; `HistoryState.after` with an empty frame makes one more easily.

        `clock` is "numbers" or "dates and times", with a zone if they have one; `kinds` says of each entity column
        whether it holds whole numbers, text, or true and false, None if that is not known yet.
        """
        self.history, self.time, self.clock, self.kinds = history, time, clock, kinds
        times = pl.Series(time, [], pl.Float64 if clock == NUMBERS else pl.Datetime("us"))
        self._ticks = history.ticks(times)
        self._blocks = {by: history.blocks_by(by) for by in history.entities}
        self._reach = max((self._block_reach(block) for block in history.blocks), default=0)
        self._lateness = self._reach // _LATENESS
        self._names = [*history.amounts, *([LABEL] if history.needs_label else [])]
        self._newest = -LATEST
        self._past = Remembered(len(self._names))
        self._tracks = {by: Tracks() for by in history.entities}
        self._last: dict[str, dict[Hashable, int]] = {
            by: {} for by, blocks in self._blocks.items() if any(SINCE_LAST in block.features for block in blocks)
        }

    @classmethod
    def after(cls, history: History, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | None = None) -> HistoryState:
        """The state behind the rows of a frame, in any order; raises what `History.add` does."""
        rows = history.read(frame, time, y)
        history.ticks(frame[time])
        kinds = {by: entity_kind(values) for by, values in rows.entities.items()}
        state = cls(history, time, clock_kind(frame[time]), kinds)
        if frame.height:
            state._fill(rows, int(rows.time.max()))
        return state

    @property
    def n_rows(self) -> int:
        """How many rows are remembered."""
        return int((self._past.rows()[1] > self._horizon).sum())

    def update(self, rows: pl.DataFrame, y: npt.NDArray[Any] | None = None) -> pl.DataFrame:
        """The rows with the declared columns appended; they are remembered, and what fell out of reach is forgotten.

        Rows come in order of time: none older than the latest row of its entities, nor by more than an eighth of the
        reach than the latest of all; at the very same time the order given counts. `y` (n,) holds the labels that are
        known already, by default none is; `learn` tells them later.

        Raises `TableError`, before anything is remembered, for what comes too late, and as `History.add` does.
        """
        check_frame(rows)
        labels = np.full(rows.height, np.nan) if y is None else y
        given = self.history.read(rows, self.time, labels)
        check_new(self.history.names, rows)
        keys = {by: values.to_list() for by, values in given.entities.items()}
        self._check_kinds(rows)
        raise_all(list(self._order_problems(rows, given.time.tolist(), keys)))
        columns = Columns(rows.height, self.history.types)
        self.history.put_calendar(columns, rows[self.time])
        self._remember(given, keys, columns)
        return columns.appended(rows)

    def learn(self, known: pl.DataFrame, y: npt.NDArray[Any]) -> int:
        """Labels `y` (n,) of remembered rows that became known: 1 anomaly, 0 normal; NaN says nothing.

        `known` names the rows by time and entity columns; where an entity is missing, the others name the row. Of
        several rows of one name the ones without a label come first. Returns how many rows were found: labels often
        arrive when a row is long out of reach, so one that is not found is no error.
        """
        named = read_events(known, self.time, self.history.entities, [], y, [])
        self._check_kinds(known)
        keys = [values.to_list() for values in named.entities.values()]
        taken: set[int] = set()
        for row in np.flatnonzero(~np.isnan(named.numbers[LABEL])).tolist():
            found = self._named([column[row] for column in keys], int(named.time[row]), taken)
            if found is not None:
                taken.add(found)
                if self.history.needs_label:
                    self._past.learn(self._names.index(LABEL), found, float(named.numbers[LABEL][row]))
        return len(taken)

    def save(self, path: str | Path) -> None:
        """Write the state as one Parquet file, whole or not at all; raises `TableError` where it cannot be."""
        said = {"history": to_plain(self.history.blocks), "time": self.time, "clock": self.clock, "kinds": self.kinds}
        write_state(self._to_table(), {**said, "newest": self._newest}, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> HistoryState:
        """The state that `save` wrote; raises `ArtifactError` for a file that is damaged or was not written by it."""
        rows, said = read_state(Path(path))
        try:
            state = cls._of_table(rows, said)
        except (OddrowError, KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"{path}: this is no history state that can be trusted ({error}).") from error
        return state

    @property
    def _horizon(self) -> int:
        """No row to come sees rows of this moment, or older ones."""
        return self._newest - self._lateness - self._reach

    def _block_reach(self, block: FeatureBlock) -> int:
        longest = max((self._ticks[window] for window in block.windows), default=0)
        return longest + (self._ticks[block.delay] if block.delay else 0)

    def _remember(self, rows: Events, keys: dict[str, _Keys], columns: Columns) -> None:
        ids = self._past.append(rows.time, self._stacked(rows))
        for by, column in keys.items():
            for key, places in _places(column):
                self._put(by, key, places, rows.time[places], ids[places], columns)
        self._newest = max([self._newest, *rows.time.tolist()])
        self._past.forget(self._horizon)
        for tracks in self._tracks.values():
            tracks.forget(self._horizon)

    def _stacked(self, rows: Events) -> Floats:
        return np.array([rows.numbers[name] for name in self._names]).reshape(len(self._names), len(rows.time))

    def _put(self, by: str, key: Hashable, places: Ints, time: Ints, ids: Ints, columns: Columns) -> None:
        """Fill the columns of rows (m,) of one entity."""
        track = self._tracks[by].extend(key, time, ids, self._horizon)
        last = self._last.get(by)
        for block in self._blocks[by]:
            found: Iterable[Values] = self._windows(block, track, time)
            if SINCE_LAST in block.features and last is not None:
                found = chain(found, [_since(last.get(key), time)])
            columns.put(block.names, places, found)
        if last is not None:
            last[key] = int(time[-1])

    def _windows(self, block: FeatureBlock, track: Track, time: Ints) -> Iterator[Values]:
        start = np.searchsorted(track.time, time[0] - self._block_reach(block), "right")
        seen, ids = track.time[start:], track.ids[start:]
        numbers = dict(zip(self._names, self._past.numbers(ids), strict=True)) if block.numbers else {}

        def younger(age: int) -> Ints:
            first: Ints = np.searchsorted(seen, time - age, "right")
            return first

        ends = np.arange(len(seen) - len(time), len(seen)) + 1
        return window_values(block, self._ticks, younger, ends, numbers)

    def _check_kinds(self, rows: pl.DataFrame) -> None:
        """Refuse times and entities that are told in another way than those that were seen."""
        kinds = {by: entity_kind(rows[by]) for by in self.kinds}
        told = {self.time: (clock_kind(rows[self.time]), self.clock)}
        told |= {by: (kinds[by] or self.kinds[by] or "", self.kinds[by] or kinds[by] or "") for by in kinds}
        raise_all(
            [
                f"column '{name}' holds {new}, but {seen} in the rows that were seen. Convert it."
                for name, (new, seen) in told.items()
                if new != seen
            ]
        )
        self.kinds = {by: self.kinds[by] or kinds[by] for by in kinds}

    def _order_problems(self, rows: pl.DataFrame, time: list[int], keys: dict[str, _Keys]) -> Iterator[str]:
        found: set[int] = set()
        for how, before in self._befores(time, keys):
            late = [row for row, moment in enumerate(time) if moment < before[row] and row not in found]
            found.update(late)
            if late:
                shown = offenders(late, rows[self.time].gather(late[:3]).to_list())
                latest = self._spoken(before[late[0]])
                yield (
                    f"column '{self.time}': {len(late):,} of {rows.height:,} rows are older than {how} ({shown}; it "
                    f"is {latest}). Expected rows in order of time. Sort them; History.add computes late ones too."
                )

    def _befores(self, time: list[int], keys: dict[str, _Keys]) -> Iterator[tuple[str, list[int]]]:
        """What each row may not be older than, and how to say so."""
        for by, column in keys.items():
            before: list[int] = []
            seen: dict[Hashable, int] = {}
            for key, moment in zip(column, time, strict=True):
                before.append(seen.get(key, self._newest_of(by, key)) if key is not None else -LATEST)
                seen[key] = max(moment, before[-1])
            yield f"the latest of the same {by}", before
        if self._reach:
            newest = accumulate([self._newest, *time], max)
            yield "an eighth of the reach before the latest of all", [at - self._lateness for at in newest]

    def _spoken(self, ticks: int) -> str:
        if self.clock == NUMBERS:
            return f"{ticks / TICKS:.15g}"
        zone = self.clock.removeprefix(DATES).removeprefix(" in ") or None
        return str(pl.Series([ticks]).cast(pl.Datetime("us", zone))[0])

    def _newest_of(self, by: str, key: Hashable) -> int:
        if by in self._last:
            return self._last[by].get(key, -LATEST)
        track = self._tracks[by].get(key)
        return -LATEST if track is None else track.newest

    def _named(self, keys: _Keys, moment: int, taken: set[int]) -> int | None:
        """The remembered row of these entities at this moment, one without a label first; None where there is none."""
        tracks = [tracks.get(key) for tracks, key in zip(self._tracks.values(), keys, strict=True) if key is not None]
        if not tracks or moment <= self._horizon:
            return None
        alike = [_rows_at(track, moment) for track in tracks]
        free = [row for row in reduce(np.intersect1d, alike).tolist() if row not in taken]
        if not self.history.needs_label:
            return next(iter(free), None)
        labels = self._past.numbers(np.array(free, np.int64))[-1]
        return min(zip(~np.isnan(labels), free, strict=True), default=(False, None))[1]

    def _fill(self, rows: Events, newest: int) -> None:
        """Remember what is in reach of many rows, in any order, by a state that has seen nothing."""
        self._newest = newest
        for by in self._last:
            seen = pl.DataFrame({"entity": rows.entities[by], "time": rows.time}).drop_nulls("entity")
            self._last[by] = dict(seen.group_by("entity").agg(pl.col("time").max()).iter_rows())
        order = np.argsort(rows.time, kind="stable")
        order = order[rows.time[order] > self._horizon]
        ids = self._past.append(rows.time[order], self._stacked(rows)[:, order])
        for by, values in rows.entities.items():
            self._tracks[by] = Tracks.of(values.gather(order), rows.time[order], ids)

    def _to_table(self) -> pl.DataFrame:
        """The rows in reach; below them, with nothing but time and entity, older ones that `since last` needs."""
        ids, time, numbers = self._past.rows()
        alive = pl.Series(time > self._horizon)
        columns = [pl.Series("time", time)]
        columns += [to_text(by, tracks.items(), ids) for by, tracks in self._tracks.items()]
        columns += [pl.Series(column_of(name), numbers[place]) for place, name in enumerate(self._names)]
        parts = [pl.DataFrame(columns).filter(alive), *map(self._silent, self._last)]
        return pl.concat(parts, how="diagonal").with_columns(pl.selectors.float().fill_null(float("nan")))

    def _silent(self, by: str) -> pl.DataFrame:
        """Entities that were seen, but are out of reach, and when."""
        old = {key: moment for key, moment in self._last[by].items() if moment <= self._horizon}
        texts = pl.Series(column_of(by, entity=True), map(spoken, old), dtype=pl.String)
        return pl.DataFrame([pl.Series("time", list(old.values()), dtype=pl.Int64), texts])

    @classmethod
    def _of_table(cls, rows: pl.DataFrame, said: dict[str, Any]) -> HistoryState:
        history, newest = History.of(said["history"]), said["newest"]
        check_said(said, history.entities)
        state = cls(history, said["time"], said["clock"], said["kinds"])
        check_table(rows, history.entities, state._names, newest)
        numbers = {name: rows[column_of(name)].to_numpy() for name in state._names}
        state._fill(Events(rows["time"].to_numpy(), entities_of(rows, state.kinds), numbers), newest)
        return state


def _places(keys: _Keys) -> list[tuple[Hashable, Ints]]:
    """Which rows each entity has; rows without one are left out."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        if key is not None:
            places.setdefault(key, []).append(place)
    return [(key, np.array(rows)) for key, rows in places.items()]


def _since(before: int | None, time: Ints) -> Values:
    """Time since the row before; `before` is when the entity's last one was, None where it had none."""
    is_first = np.zeros(len(time) + 1, np.bool_)
    is_first[1] = before is None
    values, known = gaps(np.concatenate([[time[0] if before is None else before], time]), is_first)
    return Values(values[1:], None if known is None else known[1:])


def _rows_at(track: Track | None, moment: int) -> Ints:
    if track is None:
        return np.empty(0, np.int64)
    return track.ids[slice(*np.searchsorted(track.time, [moment, moment + 1]))]
