"""Every number of a training's history as a scalar for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from oddrow.errors import ParameterError


class Scalars:
    """Writes the last entries of histories to a folder: of one run there, of several to `run-0`, `run-1`, … below it.

    `folder=None` writes nothing.
    """

    def __init__(self, folder: str | None, n_runs: int) -> None:
        self.writers: list[Any] = []
        if folder is None:
            return
        folders = [Path(folder)] if n_runs == 1 else [Path(folder) / f"run-{run}" for run in range(n_runs)]
        self.writers = [_writer(path) for path in folders]

    def __enter__(self) -> Scalars:
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        for writer in self.writers:
            writer.close()

    def show(self, histories: list[list[dict[str, float]]]) -> None:
        """Write the last entry of each history."""
        for writer, history in zip(self.writers, histories, strict=bool(self.writers)):
            for name, number in history[-1].items():
                if name != "epoch":
                    writer.add_scalar(name, number, history[-1]["epoch"])


def _writer(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ParameterError("training.tensorboard needs tensorboardX: pip install 'oddrow[tensorboard]'.") from error
    try:
        return SummaryWriter(str(folder))
    except OSError as error:
        raise ParameterError(f"training.tensorboard: {folder} cannot be written ({error.strerror}).") from error
