"""How training is watched: the loss curve, progress on screen, and scalars for TensorBoard."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from oddrow.errors import NotFiniteError, ParameterError

# --- The loss curve ---

# "epoch", "loss", the parts of the loss by name, and "validation_loss" if there are validation rows.
LossPoint = dict[str, float]

LossCurve = list[LossPoint]


def epochs_done(curve: LossCurve) -> int:
    """Return the number of epochs that a loss curve covers."""
    return int(curve[-1]["epoch"]) if curve else 0


def kept_point(curve: LossCurve, patience: int | None) -> LossPoint:
    """Return the point whose weights are kept: the last, or with patience the lowest validation loss."""
    if not curve or patience is None or "validation_loss" not in curve[0]:
        return curve[-1] if curve else {}
    return min(curve, key=lambda point: point["validation_loss"])


def check_finite(points: Sequence[LossPoint], learning_rate: float, clip_norm: float | None) -> None:
    """Raise `NotFiniteError`, with advice, if training has diverged."""
    clip = "set training.clip_norm" if clip_norm is None else f"lower training.clip_norm (now {clip_norm:g})"
    for point in points:
        if not all(math.isfinite(number) for number in point.values()):
            raise NotFiniteError(
                f"the loss stopped being finite in epoch {point['epoch']}. Lower training.learning_rate "
                f"(now {learning_rate:g}), or {clip}."
            )


# --- Progress on screen ---

# Without a terminal, more epochs than MAX_LINES print only about SHOWN lines.
MAX_LINES, SHOWN = 1000, 100

# Seconds between two updates of a notebook's line.
SECONDS_BETWEEN_UPDATES = 0.2


class Progress:
    """Show the newest point of a loss curve on standard error: a bar, one line per epoch, or a line in a notebook.

    Parameters
    ----------
    n_epochs : int
        Largest number of epochs.
    shown : bool
        Whether to show anything.

    Notes
    -----
    A terminal gets a bar that vanishes at the end, a notebook one line that is updated in place, anything else a line
    per point. rich's own live display in notebooks needs ipywidgets.
    """

    def __init__(self, n_epochs: int, *, shown: bool) -> None:
        self.n_epochs = n_epochs
        self.console = Console(stderr=True, highlight=False, quiet=not shown)
        # A bar captures what the user's own code prints; a hidden bar would swallow it.
        self.has_bar = shown and self.console.is_terminal
        self.notebook_line = NotebookLine() if shown and self.console.is_jupyter else None
        columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[losses]}"))
        self.bar = Bar(*columns, TimeRemainingColumn(), console=self.console, transient=True)
        self.task = self.bar.add_task("training", total=n_epochs, losses="")
        self.every = 1 if n_epochs <= MAX_LINES else n_epochs // SHOWN

    def __enter__(self) -> Progress:
        if self.has_bar:
            self.bar.start()
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.has_bar:
            self.bar.stop()
        if self.notebook_line is not None:
            self.notebook_line.flush()

    def show(self, curve: LossCurve) -> None:
        """Show the last point of the curve."""
        epoch, losses = int(curve[-1]["epoch"]), _losses(curve[-1])
        line = f"epoch {epoch}/{self.n_epochs}: {losses}"
        if self.has_bar:
            self.bar.update(self.task, completed=epoch, losses=losses)
        elif self.notebook_line is not None:
            self.notebook_line.update(line)
        elif epoch % self.every == 0 or epoch in (1, self.n_epochs):
            self.console.print(line)


def _losses(point: LossPoint) -> str:
    losses = f"loss {point['loss']:.5g}"
    return losses + (f", validation {point['validation_loss']:.5g}" if "validation_loss" in point else "")


class NotebookLine:
    """A line of text in a notebook's output that is replaced in place, at most every 0.2 seconds."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.line = self.displayed = ""
        self.displayed_at = -math.inf

    def update(self, line: str) -> None:
        """Replace the line, now or, if it was replaced a moment ago, with a later update."""
        self.line = line
        if time.monotonic() - self.displayed_at > SECONDS_BETWEEN_UPDATES:
            self.flush()

    def flush(self) -> None:
        """Display the newest line."""
        if self.line == self.displayed:
            return
        data = {"text/plain": self.line}
        if self.handle is None:
            self.handle = import_module("IPython.display").display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)
        self.displayed, self.displayed_at = self.line, time.monotonic()


# --- Scalars for TensorBoard ---

SECONDS_BETWEEN_FLUSHES = 5.0


class Scalars:
    """Write loss curves to event files: of one run in the folder, of several in subfolders run-0, run-1 and so on.

    Parameters
    ----------
    folder : str or None
        Where to write; None writes nothing.
    curves : list of LossCurve
        The loss curves that training starts from, whose points have been written before.

    Raises
    ------
    ParameterError
        On entering, if tensorboardX is missing or the folder cannot be written.
    """

    def __init__(self, folder: str | None, curves: Sequence[LossCurve]) -> None:
        names = [""] if len(curves) == 1 else [f"run-{run}" for run in range(len(curves))]
        self.folders = [] if folder is None else [Path(folder) / name for name in names]
        self.written = [epochs_done(curve) for curve in curves]
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

    def show(self, curves: Sequence[LossCurve]) -> None:
        """Write the last point of each curve that has grown; a run may end before the others."""
        for run, file in enumerate(self.files):
            if (epoch := epochs_done(curves[run])) > self.written[run]:
                file.write(curves[run][-1])
                self.written[run] = epoch


class EventFile:
    """A new TensorBoard event file, written while training goes on.

    tensorboardX's SummaryWriter is not used: it hangs on a full disk, and two of them in the same second overwrite
    each other.

    Parameters
    ----------
    folder : Path
        Folder of the file.
    first_epoch : int
        First epoch that will be written.
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
            # Makes TensorBoard drop what an interrupted training wrote of this epoch and later ones.
            self._add(step=self.first_epoch, session_log=self.session(status=self.session.START))
        return self

    def write(self, point: LossPoint) -> None:
        """Write all numbers of a point of the loss curve."""
        values = [{"tag": name, "simple_value": number} for name, number in point.items() if name != "epoch"]
        with self._writing():
            self._add(step=int(point["epoch"]), summary={"value": values})
            if time.monotonic() - self.flushed_at > SECONDS_BETWEEN_FLUSHES:
                self.records.flush()
                self.flushed_at = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._writing():
                self.records.close()
        except ParameterError:
            # The exception that ended training says more.
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
                f"training.tensorboard: {self.folder} cannot be written ({error.strerror}). Choose another folder."
            ) from error


def _tensorboardx() -> tuple[Any, Any, Any]:
    """Import tensorboardX's classes for a file of records, an event, and the start of a session."""
    try:
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
    except ImportError as error:
        raise ParameterError("training.tensorboard needs tensorboardX: pip install 'oddrow[tensorboard]'.") from error
    return RecordWriter, Event, SessionLog
