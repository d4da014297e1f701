"""A saved model: one folder with manifest.json, tensors.safetensors and card.md. Never pickle.

Loading parses, checks against the allow-list and the shapes, and only then constructs.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from oddrow.detectors.base import Detector
from oddrow.detectors.known import DETECTORS
from oddrow.errors import ArtifactError, OddrowError, did_you_mean
from oddrow.table.encode import CategoryColumn, NumberColumn, TableEncoder
from oddrow.table.join import Join
from oddrow.table.read import ReadOptions
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.selection import span
from oddrow.thresholds import Fingerprint, Threshold
from oddrow.train.training import Training

FORMAT = 1
MANIFEST, TENSORS, CARD = "manifest.json", "tensors.safetensors", "card.md"
LARGEST_MANIFEST = 64 * 2**20

CLASSES: dict[str, type[Detector]] = {kind.__name__: kind for kind in DETECTORS.values()}
PARAMETER_OBJECTS: dict[str, type[Any]] = {"Training": Training, "TableEncoder": TableEncoder}
HOLDS_OBJECT = ("training", "encoder")


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: the tables as named, the rows chosen, their fingerprint, the seed, the join."""

    tables: tuple[str, ...]
    start: str | None
    until: str | None
    n_rows: int
    n_held_out: int
    seed: int
    fingerprint: Fingerprint
    command: str = ""
    join: Join | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Origin:
        """The origin that the manifest holds."""
        fingerprint = Fingerprint.from_dict(values["fingerprint"])
        join = Join(**values["join"]) if "join" in values else None
        return cls(**{**values, "tables": tuple(values["tables"]), "fingerprint": fingerprint, "join": join})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a model without a joined table says nothing of one."""
        return {name: value for name, value in asdict(self).items() if name != "join" or value is not None}

    @property
    def named(self) -> str:
        """The tables in words.

        >>> Origin(("a.csv",), None, None, 9, 1, 0, Fingerprint(9, "", ()), "", Join("b.csv", "id")).named
        "a.csv joined with b.csv on 'id'"
        """
        joined = f" joined with {self.join.table} on '{self.join.on}'" if self.join else ""
        return ", ".join(self.tables) + joined


@dataclass(frozen=True)
class Artifact:
    """A fitted detector, its threshold, how its tables are read, which columns play which part, its origin."""

    detector: Detector
    threshold: Threshold
    read: ReadOptions = field(default_factory=ReadOptions)
    roles: Roles = field(default_factory=Roles)
    origin: Origin | None = None

    def save(self, folder: str | Path) -> None:
        """Write the folder whole or not at all; an older artifact there is replaced.

        Raises `ArtifactError` where the place cannot be written or holds something that is no artifact.
        """
        folder = Path(folder).absolute()
        if not isinstance(self.threshold, Threshold):
            raise ArtifactError(f'threshold={self.threshold!r} is no Threshold. Pass Threshold(2.5, "fixed:2.5").')
        check_writable(folder)
        manifest, arrays = self._to_manifest()
        with _replacing(folder) as unfinished:
            (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n")
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, unfinished / TENSORS)
            # safetensors writes for the owner alone: whoever may read the manifest may read the weights.
            shutil.copymode(unfinished / MANIFEST, unfinished / TENSORS)
            (unfinished / CARD).write_text(self.card(), encoding="utf-8")

    def _to_manifest(self) -> tuple[dict[str, Any], dict[str, Any]]:
        state, arrays = self.detector.to_state()
        names = ("oddrow", "jax", "equinox", "optax", "numpy", "polars", "scikit-learn")
        return {
            "format": FORMAT,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
            "detector": {**_described(self.detector), "state": state},
            "threshold": self.threshold.to_dict(),
            "read": self.read.to_dict(),
            "roles": self.roles.to_dict(),
            "origin": None if self.origin is None else self.origin.to_dict(),
        }, arrays

    @classmethod
    def load(cls, folder: str | Path) -> Artifact:
        """Read a saved model. Raises `ArtifactError` for anything that is not one, whole and unaltered in form."""
        folder = Path(folder)
        manifest = _read_manifest(folder)
        arrays = _read_tensors(folder / TENSORS)
        try:
            return cls._from_manifest(manifest, arrays)
        except OddrowError as error:
            raise ArtifactError(f"{folder}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ArtifactError(f"{folder / MANIFEST}: it does not hold what it should ({error!r}).") from error

    @classmethod
    def _from_manifest(cls, manifest: dict[str, Any], arrays: dict[str, Any]) -> Artifact:
        _check_keys(
            manifest,
            {"format", "versions", "detector", "threshold", "read", "roles", "origin"},
            "the manifest",
        )
        described = manifest["detector"]
        _check_keys(described, {"class", "parameters", "state"}, "detector")
        detector: Detector = _constructed(described, CLASSES)
        detector.from_state(described["state"], arrays)
        _check_fitted(detector)
        origin = manifest["origin"]
        artifact = cls(
            detector,
            Threshold.from_dict(manifest["threshold"]),
            ReadOptions(**_tuples(manifest["read"])),
            Roles(**_tuples(manifest["roles"])),
            None if origin is None else Origin.from_dict(origin),
        )
        _check_type(artifact, cls, "the manifest")
        _check_nothing_else(manifest, artifact._to_manifest()[0])
        return artifact

    def card(self) -> str:
        """What a reader must know of the model, as Markdown."""
        columns = self.detector.schema_.columns
        used = [f"| {column.name} | {column.kind} | {column.why} |" for column in columns if column.is_feature]
        unused = [f"- {column.name}: {column.kind}, {column.why}" for column in columns if not column.is_feature]
        cut, origin = self.threshold, self.origin
        n_known = self.detector.n_known_anomalies_
        rows = [f"{origin.n_rows - n_known:,} rows of {origin.named}"] if origin else ["rows in memory"]
        if origin and self.roles.time and (origin.start or origin.until):
            rows.append(f"rows with {span(self.roles.time, origin.start, origin.until)}")
        rows += [f"{origin.n_held_out:,} more held out for the threshold"] if origin else []
        lines = [
            "# oddrow model card",
            "",
            f"- Detector: {type(self.detector).__name__}, {_short_parameters(self.detector)}",
            f"- Trained on: {'; '.join(rows)}; {n_known:,} known anomalies were left out",
            f"- Epochs run: {self.detector.n_epochs_:,}",
            f"- Threshold: alert from score {cut.value:.6g} on; rule {cut.rule}, chosen on {cut.source} rows",
            *([f"- Fingerprint of the training rows: {origin.fingerprint.sha256}"] if origin else []),
            *([f"- Reproduce: `{origin.command}`"] if origin and origin.command else []),
            "",
            "A score says how unlike the training rows a row is. It is no probability of fraud, and rows that differ",
            "from the training rows for harmless reasons score high too.",
            "",
            "## Columns used",
            "",
            "| column | kind | why |",
            "|---|---|---|",
            *used,
            *(["", "## Columns not used", "", *unused] if unused else []),
        ]
        return "\n".join(lines) + "\n"


def check_writable(folder: Path) -> None:
    """Refuse a place in which no artifact can be written, before hours of training rather than after."""
    # Whatever else lies in the folder would be lost with the model it replaces.
    is_ours = folder.is_dir() and {path.name for path in folder.iterdir()} <= {MANIFEST, TENSORS, CARD}
    if folder.exists() and not is_ours:
        raise ArtifactError(f"{folder}: this exists and is no saved model. Give another --out, or remove it.")
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise ArtifactError(f"{folder}: {parent} is no folder. Give an --out inside one.")
    if not os.access(parent, os.W_OK):
        raise ArtifactError(f"{folder}: {parent} cannot be written to. Give an --out that can.")


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A fresh folder beside the wanted one, which it replaces when all has been written."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        _swap(unfinished, folder, old)
    except OSError as error:
        raise ArtifactError(f"{folder}: it cannot be written ({error.strerror or error}).") from error
    except SafetensorError as error:
        raise ArtifactError(f"{folder}: it cannot be written ({error}).") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _swap(unfinished: Path, folder: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    try:
        unfinished.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise


def _described(estimator: Any) -> dict[str, Any]:
    parameters = {name: _plain(value) for name, value in estimator.get_params(deep=False).items()}
    return {"class": type(estimator).__name__, "parameters": parameters}


def _plain(value: Any) -> Any:
    """A parameter as JSON holds it; a generator has no value to keep, only the fitted weights it led to."""
    if type(value).__name__ in PARAMETER_OBJECTS:
        return _described(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def _constructed(described: dict[str, Any], allowed: dict[str, type[Any]]) -> Any:
    """An object of an allowed class with known parameters, and nothing else."""
    name = described["class"]
    if name not in allowed:
        raise ArtifactError(f"class {name!r} is not one that a model may hold.{did_you_mean(str(name), allowed)}")
    parameters = described["parameters"]
    _check_keys(parameters, set(allowed[name]().get_params(deep=False)), name)
    return allowed[name](**{key: _parameter(key, value) for key, value in parameters.items()})


def _parameter(name: str, value: Any) -> Any:
    if name in HOLDS_OBJECT and value is not None:
        _check_keys(value, {"class", "parameters"}, "a parameter")
        return _constructed(value, PARAMETER_OBJECTS)
    return tuple(value) if isinstance(value, list) else value


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _short_parameters(estimator: Any) -> str:
    parameters = estimator.get_params(deep=False)
    return ", ".join(f"{name}={value!r}".replace("\n", " ") for name, value in parameters.items() if value is not None)


def _check_keys(values: Any, expected: set[str], where: str) -> None:
    if not isinstance(values, dict) or set(values) != expected:
        found = set(values) if isinstance(values, dict) else {type(values).__name__}
        raise ArtifactError(f"{where} holds other keys than it should: {', '.join(sorted(found ^ expected))}.")


def _check_fitted(detector: Detector) -> None:
    """Refuse a fitted state that JSON can hold but `fit` cannot have left."""
    names = list(detector.feature_names_in_) if hasattr(detector, "feature_names_in_") else []
    fitted = {
        "schema": (detector.schema_, Schema),
        "numbers": (detector.encoder_.number_columns_, tuple[NumberColumn, ...]),
        "categories": (detector.encoder_.category_columns_, tuple[CategoryColumn, ...]),
        "history": (detector.history_, list[dict[str, float]]),
        "offset": (detector.offset_, float),
        "n_features_in": (detector.n_features_in_, int),
        "feature_names_in": (names, list[str]),
        "n_known_anomalies": (detector.n_known_anomalies_, int),
    }
    for name, (value, declared) in fitted.items():
        _check_type(value, declared, name)
    detector.encoder_.check_columns(detector.schema_)


def _check_type(value: Any, declared: Any, where: str) -> None:
    """Refuse a value that is not of the declared type, through all its parts."""
    origin, inner = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        if value is not None:
            _check_type(value, inner[0], where)
    elif not _is_of(value, origin or declared):
        raise ArtifactError(f"{where} is {value!r:.60}, which is no {getattr(declared, '__name__', declared)}.")
    elif origin is not None:
        for item in value.values() if origin is dict else value:
            _check_type(item, inner[1] if origin is dict else inner[0], where)
    elif is_dataclass(declared):
        for name, kind in get_type_hints(declared).items():
            _check_type(getattr(value, name), kind, f"{where}.{name}")


def _check_nothing_else(manifest: dict[str, Any], again: dict[str, Any]) -> None:
    """Refuse what a model would not write again itself."""
    for part in sorted(manifest.keys() - {"versions"}):
        if manifest[part] != json.loads(json.dumps(again[part])):
            raise ArtifactError(f"{part} holds more or other things than a model has.")


def _is_of(value: Any, declared: type[Any]) -> bool:
    if declared is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, declared) and isinstance(value, bool) == (declared is bool)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        siblings = (
            [other.name for other in folder.absolute().parent.iterdir()] if folder.absolute().parent.exists() else []
        )
        hint = did_you_mean(folder.name, siblings) if not folder.exists() else ""
        raise ArtifactError(f"{folder}: there is no saved model here ({MANIFEST} is missing).{hint}")
    _check_plain_file(path)
    if path.stat().st_size > LARGEST_MANIFEST:
        raise ArtifactError(f"{path}: {path.stat().st_size:,} bytes are too many for a manifest.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: this is no valid manifest ({error}).") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise ArtifactError(f"{path}: format {found!r} is not {FORMAT}, the one that this version of oddrow reads.")
    return manifest


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _read_tensors(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ArtifactError(f"{path}: the weights are missing.")
    _check_plain_file(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: the weights cannot be read ({error}).") from error


def _check_plain_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path}: expected a plain file inside the model's folder.")
