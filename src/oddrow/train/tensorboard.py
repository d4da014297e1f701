"""Every number of a training's history as a scalar for TensorBoard."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from oddrow.errors import ParameterError
from oddrow.train.history import Entry, Histories, epochs_done

SECONDS_BETWEEN = 5.0


class Scalars:
    """Writes the last entries of histories to a folder: of one run there, of several to `run-0`, `run-1`, … below it.

    `histories` are those that training starts from: what they hold was written before. `folder=None` writes nothing.
    Raises `ParameterError` where tensorboardX is missing or the folder cannot be written.
    """

    def __init__(self, folder: str | None, histories: Histories) -> None:
        names = [""] if len(histories) == 1 else [f"run-{run}" for run in range(len(histories))]
        self.folders = [] if folder is None else [Path(folder) / name for name in names]
        self.written = [epochs_done(history) for history in histories]
        self.files: list[EventFile] = []
        self.closing = ExitStack()

    def __enter__(self) -> Scalars:
        with ExitStack() as opened:
            for folder, epoch in zip(self.folders, self.written, strict=False):
                self.files.append(opened.enter_context(EventFile(folder, epoch + 1)))
            self.closing = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.__exit__(kind, error, trace)

    def show(self, histories: Histories) -> None:
        """Write the last entry of each history, unless it was written before: a run may have ended before others."""
        for run, file in enumerate(self.files):
            if (epoch := epochs_done(histories[run])) > self.written[run]:
                file.write(histories[run][-1])
                self.written[run] = epoch


class EventFile:
    """A new event file in a folder, written as numbers come.

    tensorboardX's own SummaryWriter is not used: on a full disk it waits for ever, and two of the same second write
    over each other.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        self.folder, self.first_epoch = folder, first_epoch
        self.flushed_at = -math.inf

    def __enter__(self) -> EventFile:
        self.record_writer, self.event, self.session = _tensorboardx()
        path = self.folder / f"events.out.tfevents.{time.time_ns()}"
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.records = self.record_writer(str(path))
            self._add(file_version="brain.Event:2")
            # TensorBoard forgets what was written of this epoch and later ones before training was interrupted.
            self._add(step=self.first_epoch, session_log=self.session(status=self.session.START))
        return self

    def write(self, entry: Entry) -> None:
        """Write all numbers of an entry of the history."""
        values = [{"tag": name, "simple_value": number} for name, number in entry.items() if name != "epoch"]
        with self._writing():
            self._add(step=int(entry["epoch"]), summary={"value": values})
            if time.monotonic() - self.flushed_at > SECONDS_BETWEEN:
                self.records.flush()
                self.flushed_at = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._writing():
                self.records.close()
        except ParameterError:
            # Whatever ended training says more.
            if kind is None:
                raise

    def _add(self, **content: Any) -> None:
        self.records.write(self.event(wall_time=time.time(), **content).SerializeToString())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ParameterError(
                f"training.tensorboard: {self.folder} cannot be written ({error.strerror}). Give another folder."
            ) from error


def _tensorboardx() -> tuple[Any, Any, Any]:
    """Classes of tensorboardX: of a file of records, an event, and the start of a session."""
    try:
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
    except ImportError as error:
        raise ParameterError("training.tensorboard needs tensorboardX: pip install 'oddrow[tensorboard]'.") from error
    return RecordWriter, Event, SessionLog
