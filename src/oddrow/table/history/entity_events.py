"""The events that a state keeps: in order of arrival, and by entity. Arrays grow at the end and are cut in front."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

import numpy as np
import polars as pl

from oddrow.typing import Floats, Ints


class EventLog:
    """Times (n,) and numbers (k, n) of events in order of arrival; an event's id counts all that ever arrived."""

    def __init__(self, n_numbers: int) -> None:
        self._time = np.empty(0, np.int64)
        self._numbers = np.empty((n_numbers, 0))
        # The id at place 0 of the arrays, and the places between which events are kept.
        self._first_id, self._start, self._end = 0, 0, 0

    def append(self, time: Ints, numbers: Floats) -> Ints:
        """Add events (m,) and return their ids."""
        if self._end + len(time) > len(self._time):
            self._grow(len(time))
        added = slice(self._end, self._end + len(time))
        self._time[added], self._numbers[:, added] = time, numbers
        self._end = added.stop
        return np.arange(added.start, added.stop) + self._first_id

    def numbers(self, ids: Ints) -> Floats:
        """Return the numbers of some events, (k, m)."""
        return self._numbers[:, ids - self._first_id]

    def set_number(self, place: int, event: int, value: float) -> None:
        """Overwrite one number of one event."""
        self._numbers[place, event - self._first_id] = value

    def kept(self) -> tuple[Ints, Ints, Floats]:
        """Return ids, times and numbers of all events, in order of arrival."""
        kept = slice(self._start, self._end)
        return np.arange(self._start, self._end) + self._first_id, self._time[kept], self._numbers[:, kept]

    def forget(self, horizon: int) -> None:
        """Drop the first events up to one that is later than the horizon."""
        while self._start < self._end and self._time[self._start] <= horizon:
            self._start += 1

    def _grow(self, n: int) -> None:
        ids, time, numbers = self.kept()
        size = max(2 * (len(ids) + n), 64)
        self._time, self._numbers = np.empty(size, np.int64), np.empty((len(numbers), size))
        self._time[: len(ids)], self._numbers[:, : len(ids)] = time, numbers
        self._first_id, self._start, self._end = self._first_id + self._start, 0, len(ids)


class Track:
    """Times in ticks and ids of one entity's events, oldest first."""

    __slots__ = ("_cells", "_end")

    def __init__(self, time: Ints, ids: Ints) -> None:
        self._cells = np.stack((time, ids))
        self._end = len(time)

    @property
    def time(self) -> Ints:
        """Times of the events."""
        return self._cells[0, : self._end]

    @property
    def ids(self) -> Ints:
        """Ids of the events."""
        return self._cells[1, : self._end]

    @property
    def newest(self) -> int:
        """Time of the latest event."""
        return int(self._cells[0, self._end - 1])

    def ids_at(self, moment: int) -> Ints:
        """Return the ids of the events at one time."""
        return self.ids[slice(*np.searchsorted(self.time, [moment, moment + 1]))]

    def extend(self, time: Ints, ids: Ints, horizon: int) -> None:
        """Add events; if the arrays are full, drop those that are not later than the horizon."""
        end = self._end + len(time)
        if end > self._cells.shape[1]:
            kept = self._cells[:, np.searchsorted(self.time, horizon, "right") : self._end]
            end = kept.shape[1] + len(time)
            self._cells = np.empty((2, 2 * end), np.int64)
            self._cells[:, : kept.shape[1]] = kept
        self._cells[0, end - len(time) : end], self._cells[1, end - len(time) : end] = time, ids
        self._end = end


class Tracks:
    """The tracks of one entity column, the one whose latest event arrived first in front."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[Hashable, Track] = OrderedDict()

    @classmethod
    def of(cls, entities: pl.Series, time: Ints, ids: Ints) -> Tracks:
        """Build the tracks of events (n,) in order of time."""
        events = pl.DataFrame({"entity": entities, "time": time, "id": ids}).drop_nulls("entity")
        events = events.sort("entity", maintain_order=True)
        ends = np.flatnonzero(np.diff(events["entity"].rle_id().cast(pl.Int64).to_numpy(), append=-1))
        starts = np.concatenate([[0], ends[:-1] + 1])
        cells = events.select("time", "id").to_numpy().T
        tracks, names = cls(), events["entity"].gather(ends).to_list()
        for place in np.argsort(cells[1, ends]):
            part = slice(starts[place], ends[place] + 1)
            tracks._tracks[names[place]] = Track(cells[0, part], cells[1, part])
        return tracks

    def get(self, entity: Hashable) -> Track | None:
        """Return the track of an entity, None if it has none."""
        return self._tracks.get(entity)

    def items(self) -> Iterable[tuple[Hashable, Track]]:
        """Return entities with their tracks."""
        return self._tracks.items()

    def extend(self, entity: Hashable, time: Ints, ids: Ints, horizon: int) -> Track:
        """Add events of an entity and return its track."""
        track = self._tracks.get(entity)
        if track is None:
            track = self._tracks[entity] = Track(time, ids)
        else:
            track.extend(time, ids, horizon)
            self._tracks.move_to_end(entity)
        return track

    def forget(self, horizon: int) -> None:
        """Drop the entities in front without an event later than the horizon."""
        while self._tracks and next(iter(self._tracks.values())).newest <= horizon:
            self._tracks.popitem(last=False)
