"""Rows that were there: by the order they came in, and by entity. Arrays that grow at the end and are cut in front."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

import numpy as np
import polars as pl

from oddrow.typing import Floats, Ints


class Remembered:
    """Times and numbers of rows, (n,) and (k, n), each row under the number it came as."""

    def __init__(self, n_numbers: int) -> None:
        self._time = np.empty(0, np.int64)
        self._numbers = np.empty((n_numbers, 0))
        self._first, self._start, self._end = 0, 0, 0

    def append(self, time: Ints, numbers: Floats) -> Ints:
        """Add rows, and return their numbers."""
        if self._end + len(time) > len(self._time):
            self._make_room(len(time))
        added = slice(self._end, self._end + len(time))
        self._time[added], self._numbers[:, added] = time, numbers
        self._end = added.stop
        return np.arange(added.start, added.stop) + self._first

    def numbers(self, ids: Ints) -> Floats:
        """The numbers of some rows, (k, m)."""
        return self._numbers[:, ids - self._first]

    def learn(self, place: int, row: int, value: float) -> None:
        """Write over a number of one row."""
        self._numbers[place, row - self._first] = value

    def rows(self) -> tuple[Ints, Ints, Floats]:
        """Number, time and numbers of every row that is kept, in the order they came."""
        kept = slice(self._start, self._end)
        return np.arange(self._start, self._end) + self._first, self._time[kept], self._numbers[:, kept]

    def forget(self, horizon: int) -> None:
        """Cut off what stands in front and is not younger than the horizon."""
        while self._start < self._end and self._time[self._start] <= horizon:
            self._start += 1

    def _make_room(self, n: int) -> None:
        kept = slice(self._start, self._end)
        n_kept = self._end - self._start
        room = max(2 * (n_kept + n), 64)
        time, numbers = np.empty(room, np.int64), np.empty((len(self._numbers), room))
        time[:n_kept], numbers[:, :n_kept] = self._time[kept], self._numbers[:, kept]
        self._time, self._numbers = time, numbers
        self._first, self._start, self._end = self._first + self._start, 0, n_kept


class Track:
    """Times and numbers of one entity's rows, oldest first."""

    __slots__ = ("_cells", "_end")

    def __init__(self, time: Ints, ids: Ints) -> None:
        self._cells = np.stack((time, ids))
        self._end = len(time)

    @property
    def time(self) -> Ints:
        """When its rows were, in ticks."""
        return self._cells[0, : self._end]

    @property
    def ids(self) -> Ints:
        """Which rows they are."""
        return self._cells[1, : self._end]

    @property
    def newest(self) -> int:
        """When the latest was."""
        return int(self._cells[0, self._end - 1])

    def extend(self, time: Ints, ids: Ints, horizon: int) -> None:
        """Add rows, and where room is short forget those not younger than the horizon."""
        end = self._end + len(time)
        if end > self._cells.shape[1]:
            kept = self._cells[:, np.searchsorted(self.time, horizon, "right") : self._end]
            end = kept.shape[1] + len(time)
            self._cells = np.empty((2, 2 * end), np.int64)
            self._cells[:, : kept.shape[1]] = kept
        self._cells[0, end - len(time) : end], self._cells[1, end - len(time) : end] = time, ids
        self._end = end


class Tracks:
    """The tracks of one entity column; the entity that has been silent longest stands first."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[Hashable, Track] = OrderedDict()

    @classmethod
    def of(cls, entities: pl.Series, time: Ints, ids: Ints) -> Tracks:
        """Tracks of many rows (n,) that stand in order of time."""
        rows = pl.DataFrame({"entity": entities, "time": time, "id": ids}).drop_nulls("entity")
        rows = rows.sort("entity", maintain_order=True)
        ends = np.flatnonzero(np.diff(rows["entity"].rle_id().cast(pl.Int64).to_numpy(), append=-1))
        cut = rows.select("time", "id").to_numpy().T
        starts = np.concatenate([[0], ends[:-1] + 1])
        tracks, names = cls(), rows["entity"].gather(ends).to_list()
        for place in np.argsort(cut[1, ends]):
            part = slice(starts[place], ends[place] + 1)
            tracks._tracks[names[place]] = Track(cut[0, part], cut[1, part])
        return tracks

    def get(self, entity: Hashable) -> Track | None:
        """The track of an entity, None where it has none."""
        return self._tracks.get(entity)

    def items(self) -> Iterable[tuple[Hashable, Track]]:
        """Entities and their tracks."""
        return self._tracks.items()

    def extend(self, entity: Hashable, time: Ints, ids: Ints, horizon: int) -> Track:
        """Add rows of an entity, and return its track."""
        track = self._tracks.get(entity)
        if track is None:
            track = self._tracks[entity] = Track(time, ids)
        else:
            track.extend(time, ids, horizon)
            self._tracks.move_to_end(entity)
        return track

    def forget(self, horizon: int) -> None:
        """Drop the entities that stand in front and have no row younger than the horizon."""
        while self._tracks and next(iter(self._tracks.values())).newest <= horizon:
            self._tracks.popitem(last=False)
