"""The state of training on disk, from which an interrupted fit resumes exactly."""

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
from oddrow.train.monitor import LossCurve

S = TypeVar("S")

FILE = "checkpoint.safetensors"

ADVICE = "To train from the beginning, delete this file or choose another folder."

SECONDS_BETWEEN_WRITES = 15.0

# Parameters that do not change what is learned, or that repeat others as one object.
NOT_SHAPING = ("training", "encoder", "training__checkpoint", "training__progress", "training__tensorboard")


class Checkpoint:
    """Write the newest state every few seconds and, as a context manager, on any exception such as Ctrl-C.

    Parameters
    ----------
    folder : str or None
        Where to write; None writes nothing.
    signature : str
        Identifies the rows and parameters of a fit. The checkpoint of another fit is refused.
    """

    def __init__(self, folder: str | None, signature: str) -> None:
        self.path = None if folder is None else Path(folder) / FILE
        self.signature = signature
        self.newest: tuple[Any, list[LossCurve]] | None = None
        self.written_at = time.monotonic()

    def read(self, like: S) -> tuple[S, list[LossCurve]] | None:
        """Return the saved state, a pytree like `like`, and the loss curves; None if nothing is saved.

        Raises `TrainingError` if the file belongs to another fit or is damaged.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="numpy") as opened:
                metadata = opened.metadata() or {}
                arrays = [opened.get_tensor(f"{place:03d}") for place in range(len(opened.keys()))]
            curves = json.loads(metadata.get("loss_curves", ""))
        except (SafetensorError, OSError, ValueError) as error:
            raise TrainingError(f"{self.path}: the checkpoint cannot be read ({error}). {ADVICE}") from error
        leaves, shape = jax.tree.flatten(like)
        if metadata.get("signature") != self.signature or _forms(arrays) != _forms(leaves):
            raise TrainingError(f"{self.path} was written by another fit: rows or parameters differ. {ADVICE}")
        return jax.tree.unflatten(shape, map(jnp.asarray, arrays)), curves

    def update(self, state: Any, curves: list[LossCurve]) -> None:
        """Remember a state, and write it if the last write was some seconds ago."""
        self.newest = (state, curves)
        if time.monotonic() - self.written_at > SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write the newest state."""
        if self.path is None or self.newest is None:
            return
        state, curves = self.newest
        arrays = {f"{place:03d}": np.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(state))}
        with replaced_file(self.path, TrainingError) as unfinished:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(arrays, unfinished, {"signature": self.signature, "loss_curves": json.dumps(curves)})
        self.written_at = time.monotonic()

    def remove(self) -> None:
        """Remove the file, and its folder if that is empty then; called when training is done."""
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
    """Return a hash of the version, of the parameters that shape what is learned, and of the encoded rows."""
    shaping = {name: value for name, value in parameters.items() if name not in NOT_SHAPING}
    described = {"oddrow": version("oddrow"), **shaping}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()[:32]


def _forms(arrays: list[Any]) -> list[tuple[tuple[int, ...], str]]:
    return [(array.shape, str(array.dtype)) for array in arrays]
