"""How training shows itself: a bar on a terminal, one line for each epoch elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from oddrow.errors import NotFiniteError, ParameterError

Entry = dict[str, float]

History = list[Entry]

Histories = list[History]


def epochs_done(history: History) -> int:
    """How many epochs are behind."""
    return int(history[-1]["epoch"]) if history else 0


def kept_entry(history: History, patience: int | None) -> Entry:
    """The entry whose weights are kept: the last, or with patience the one with the lowest validation loss."""
    if not history or patience is None or "validation_loss" not in history[0]:
        return history[-1] if history else {}
    return min(history, key=lambda entry: entry["validation_loss"])


def check_finite(entries: Sequence[Entry], learning_rate: float, clip_norm: float | None) -> None:
    """Raise `NotFiniteError` where training has diverged, with what can be done about it."""
    clip = "set training.clip_norm" if clip_norm is None else f"lower training.clip_norm (now {clip_norm:g})"
    for entry in entries:
        if not all(math.isfinite(number) for number in entry.values()):
            raise NotFiniteError(
                f"the loss stopped being finite in epoch {entry['epoch']}. Lower training.learning_rate "
                f"(now {learning_rate:g}), or {clip}."
            )


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


# Without a terminal, thousands of short epochs would be thousands of lines: of more than so many, a hundred are shown.
MOST_LINES, SHOWN = 1000, 100


class Progress:
    """Shows the history of a training on standard error while it grows; silent unless `shown`."""

    def __init__(self, n_epochs: int, *, shown: bool) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=not shown)
        # A bar takes over what the user's own code prints meanwhile: unseen, it would swallow it.
        self.has_bar = shown and self.console.is_terminal
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[losses]}"),
        )
        self.bar = Bar(*columns, TimeRemainingColumn(), console=self.console, transient=True)
        self.task = self.bar.add_task("training", total=n_epochs, losses="")
        self.n_epochs = n_epochs
        self.every = 1 if n_epochs <= MOST_LINES else n_epochs // SHOWN

    def __enter__(self) -> Progress:
        if self.has_bar:
            self.bar.start()
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.has_bar:
            self.bar.stop()

    def show(self, history: list[dict[str, float]]) -> None:
        """Show the last entry of the history."""
        if self.has_bar:
            self.bar.update(self.task, completed=history[-1]["epoch"], losses=_losses(history[-1]))
        elif history[-1]["epoch"] % self.every == 0 or history[-1]["epoch"] in (1, self.n_epochs):
            self.console.print(f"epoch {history[-1]['epoch']}/{self.n_epochs}: {_losses(history[-1])}")


def _losses(line: dict[str, float]) -> str:
    shown = f"loss {line['loss']:.5g}"
    return shown + (f", validation {line['validation_loss']:.5g}" if "validation_loss" in line else "")
