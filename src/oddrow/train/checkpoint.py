"""The state of a training on disk: written whole or not at all, read back exactly."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from oddrow.errors import TrainingError
from oddrow.files import replaced_file

S = TypeVar("S")

# One history, or one for each run.
History = list[Any]

FILE = "checkpoint.safetensors"

SECONDS_BETWEEN = 15.0

# Parameters of an estimator that change nothing about what is learned, or repeat others as one object.
HOW_IT_IS_WATCHED = ("training", "encoder", "training__checkpoint", "training__progress", "training__tensorboard")


class Checkpoint:
    """Keeps the newest state of a training in a folder, and writes it when training is interrupted.

    As a context manager it writes on the way out of an exception, Ctrl-C included. `folder=None` keeps nothing.
    """

    def __init__(self, folder: str | None, signature: str) -> None:
        self.path = None if folder is None else Path(folder) / FILE
        self.signature = signature
        self.newest: tuple[Any, History] | None = None
        self.written_at = time.monotonic()

    def read(self, like: S) -> tuple[S, History] | None:
        """The saved state, in the shape of `like`, and its history; None where nothing is saved.

        Raises `TrainingError` where the file belongs to another training or is damaged.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="numpy") as opened:
                about = opened.metadata() or {}
                arrays = [opened.get_tensor(f"{place:03d}") for place in range(len(opened.keys()))]
            history = json.loads(about.get("history", ""))
        except (SafetensorError, OSError, ValueError) as error:
            raise TrainingError(f"{self.path}: the checkpoint cannot be read ({error}). {self._advice}") from error
        leaves, shape = jax.tree.flatten(like)
        if about.get("signature") != self.signature or _forms(arrays) != _forms(leaves):
            raise TrainingError(f"{self.path} was written by another fit: rows or parameters differ. {self._advice}")
        return jax.tree.unflatten(shape, map(jnp.asarray, arrays)), history

    @property
    def _advice(self) -> str:
        return "Delete its folder to start anew."

    def update(self, state: Any, history: History) -> None:
        """Take note of a state; written when the last writing is some seconds ago."""
        self.newest = (state, history)
        if time.monotonic() - self.written_at > SECONDS_BETWEEN:
            self.write()

    def write(self) -> None:
        """Write the newest state under a temporary name, then rename."""
        if self.path is None or self.newest is None:
            return
        state, history = self.newest
        arrays = {f"{place:03d}": np.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(state))}
        with replaced_file(self.path, TrainingError) as unfinished:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(arrays, unfinished, {"signature": self.signature, "history": json.dumps(history)})
        self.written_at = time.monotonic()

    def remove(self) -> None:
        """Training is done: the checkpoint has served."""
        if self.path is not None and self.path.exists():
            self.path.unlink()
            if not any(self.path.parent.iterdir()):
                self.path.parent.rmdir()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, TrainingError):
            self.write()


def signature_of(parameters: Mapping[str, Any], arrays: Iterable[Any]) -> str:
    """Names a training by the version, by everything that shapes it, and by its encoded rows."""
    shaping = {name: value for name, value in parameters.items() if name not in HOW_IT_IS_WATCHED}
    described = {"oddrow": version("oddrow"), **shaping}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()[:32]


def _forms(arrays: list[Any]) -> list[tuple[tuple[int, ...], str]]:
    return [(array.shape, str(array.dtype)) for array in arrays]
