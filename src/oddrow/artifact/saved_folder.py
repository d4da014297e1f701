"""The folder of a saved model: its files, the manifest as dataclasses, and how it is read and checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from oddrow.detectors.registry import DETECTORS
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ArtifactError, OddrowError, did_you_mean, raise_all
from oddrow.structure import build, to_plain, unknown_keys
from oddrow.table.delimited import ReadOptions
from oddrow.table.history import History
from oddrow.table.join import Join
from oddrow.table.roles import Roles
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Threshold
from oddrow.train.training import Training

CLASSES: dict[str, type[Any]] = {kind.__name__: kind for kind in DETECTORS.values()}

PARAMETER_OBJECTS: dict[str, type[Any]] = {"Training": Training, "TableEncoder": TableEncoder}

HOLDS_OBJECT = ("training", "encoder")


@dataclass(frozen=True)
class SavedEstimator:
    """The class and the parameters of an estimator."""

    name: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, estimator: Any) -> SavedEstimator:
        """Describe an estimator."""
        parameters = estimator.get_params(deep=False)
        return cls(type(estimator).__name__, {name: _to_json(value) for name, value in parameters.items()})

    def construct(self, allowed: Mapping[str, type[Any]]) -> Any:
        """Return an estimator of an allowed class with known parameters, and nothing else."""
        if self.name not in allowed:
            hint = did_you_mean(self.name, allowed)
            raise ArtifactError(f"class {self.name!r} is not one that a model may hold.{hint}")
        known = allowed[self.name]().get_params(deep=False)
        raise_all(unknown_keys(self.parameters, known, self.name), ArtifactError)
        missing = [f"key '{self.name}.{name}' is missing." for name in known if name not in self.parameters]
        raise_all(missing, ArtifactError)
        return allowed[self.name](**{name: _from_json(name, value) for name, value in self.parameters.items()})


@dataclass(frozen=True)
class SavedDetector(SavedEstimator):
    """The class, the parameters and the fitted state of a detector."""

    state: dict[str, Any]


def _to_json(value: Any) -> Any:
    """Return a parameter as JSON holds it; a generator has no value to keep, only the fitted weights it led to."""
    if type(value).__name__ in PARAMETER_OBJECTS:
        return to_plain(SavedEstimator.of(value))
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _to_json(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def _from_json(name: str, value: Any) -> Any:
    if name in HOLDS_OBJECT and value is not None:
        return build(SavedEstimator, value, name).construct(PARAMETER_OBJECTS)
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds: all of a saved model but its arrays."""

    format: int
    versions: dict[str, str]
    detector: SavedDetector
    threshold: Threshold
    block: Threshold | None
    earlier: tuple[Threshold, ...]
    history: History | None
    read: ReadOptions
    roles: Roles
    origin: Origin | None


# 2: history; 3: training notes; 4: renamed keys (guarantee, loss_curve, name).
FORMAT = 4

MANIFEST, TENSORS, CARD = "manifest.json", "tensors.safetensors", "card.md"

# Optional: `oddrow report` writes it here by default.
REPORT = "report.html"

LARGEST_MANIFEST = 64 * 2**20


def check_writable(folder: Path) -> None:
    """Raise `ArtifactError` if no model can be saved here: before hours of training rather than after."""
    # Saving replaces the folder, so whatever else it holds would be lost.
    is_model = folder.is_dir() and {path.name for path in folder.iterdir()} <= {MANIFEST, TENSORS, CARD, REPORT}
    if folder.exists() and not is_model:
        raise ArtifactError(f"{folder}: this exists and is not a saved model. Choose another folder.")
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise ArtifactError(f"{folder}: {parent} is not a folder. Choose another place.")
    if not os.access(parent, os.W_OK):
        raise ArtifactError(f"{folder}: the folder {parent} is read-only. Choose another place.")


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest in a model's folder; raise `ArtifactError` if it is not one."""
    path = folder / MANIFEST
    if not path.exists():
        parent = folder.absolute().parent
        siblings = [other.name for other in parent.iterdir()] if parent.exists() else []
        hint = did_you_mean(folder.name, siblings) if not folder.exists() else ""
        raise ArtifactError(f"{folder}: there is no saved model here ({MANIFEST} is missing).{hint}")
    _check_plain_file(path)
    if path.stat().st_size > LARGEST_MANIFEST:
        raise ArtifactError(f"{path}: {path.stat().st_size:,} bytes are too long for a manifest.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: this is not a valid manifest ({error}).") from error
    _check_format(path, manifest.get("format") if isinstance(manifest, dict) else None)
    try:
        return build(Manifest, manifest, complete=True)
    except OddrowError as error:
        raise ArtifactError(f"{path}: {error}") from error


def _check_format(path: Path, found: Any) -> None:
    if found == FORMAT and not isinstance(found, bool):
        return
    what = f"this model has format {found!r:.20}, and this version of oddrow reads format {FORMAT}"
    if isinstance(found, int) and found < FORMAT:
        raise ArtifactError(f"{path}: {what}. Fit the model again, or use the older oddrow that saved it.")
    if isinstance(found, int):
        raise ArtifactError(f"{path}: {what}. Update oddrow.")
    raise ArtifactError(f"{path}: this is not a manifest of oddrow: 'format' is not a number.")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def read_tensors(path: Path) -> dict[str, Any]:
    """Read the arrays of a model; raise `ArtifactError` on failure."""
    if not path.exists():
        raise ArtifactError(f"{path}: the weights are missing.")
    _check_plain_file(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: the weights cannot be read ({error}).") from error


def _check_plain_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path}: expected a regular file in the model's folder.")


@dataclass(frozen=True)
class Origin:
    """The rows that a model was fitted to.

    Parameters
    ----------
    tables : tuple of str
        Files and patterns as they were given.
    start, until : str or None
        The times between which rows were taken: the first included and the first excluded.
    n_rows : int
        How many rows the detector was fitted to, known anomalies included.
    n_validation : int
        How many normal rows were held out to set the threshold.
    seed : int
        The random seed.
    fingerprint : Fingerprint
        Hashes of the rows, to recognise them.
    command : str, default=""
        The command line.
    join : Join or None, default=None
        The second table.
    roles : Roles, optional
        The columns' roles at that time.

    Examples
    --------
    >>> Origin(("a.csv",), None, None, 9, 1, 0, Fingerprint(9, "", ()), "", Join("b.csv", "id")).named
    "a.csv joined with b.csv on 'id'"
    """

    tables: tuple[str, ...]
    start: str | None
    until: str | None
    n_rows: int
    n_validation: int
    seed: int
    fingerprint: Fingerprint
    command: str = ""
    join: Join | None = None
    roles: Roles = field(default_factory=Roles)

    @property
    def named(self) -> str:
        """The tables in words."""
        joined = f" joined with {self.join.table} on '{self.join.on}'" if self.join else ""
        return ", ".join(self.tables) + joined
