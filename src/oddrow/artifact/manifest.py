"""The folder of a model: written whole or not at all, read as plain files."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from oddrow.detectors.base import Detector
from oddrow.detectors.registry import DETECTORS
from oddrow.encoding.columns import CategoryColumn, NumberColumn
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ArtifactError, did_you_mean
from oddrow.table.schema import Schema
from oddrow.train.training import Training


def check_keys(values: Any, expected: set[str], where: str) -> None:
    if not isinstance(values, dict) or set(values) != expected:
        found = set(values) if isinstance(values, dict) else {type(values).__name__}
        raise ArtifactError(f"{where} holds other keys than it should: {', '.join(sorted(found ^ expected))}.")


def check_fitted(detector: Detector) -> None:
    """Refuse a fitted state that JSON can hold but `fit` cannot have left."""
    names = list(detector.feature_names_in_) if hasattr(detector, "feature_names_in_") else []
    fitted = {
        "schema": (detector.schema_, Schema),
        "numbers": (detector.encoder_.number_columns_, tuple[NumberColumn, ...]),
        "categories": (detector.encoder_.category_columns_, tuple[CategoryColumn, ...]),
        "history": (detector.loss_curve_, list[dict[str, float]]),
        "offset": (detector.offset_, float),
        "n_features_in": (detector.n_features_in_, int),
        "feature_names_in": (names, list[str]),
        "n_known_anomalies": (detector.n_known_anomalies_, int),
    }
    for name, (value, declared) in fitted.items():
        check_type(value, declared, name)
    detector.encoder_.check_columns(detector.schema_)


def check_type(value: Any, declared: Any, where: str) -> None:
    """Refuse a value that is not of the declared type, through all its parts."""
    origin, inner = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        if value is not None:
            check_type(value, inner[0], where)
    elif not _is_of(value, origin or declared):
        raise ArtifactError(f"{where} is {value!r:.60}, which is no {getattr(declared, '__name__', declared)}.")
    elif origin is not None:
        for item in value.values() if origin is dict else value:
            check_type(item, inner[1] if origin is dict else inner[0], where)
    else:
        for name, kind in _fields_of(declared).items():
            check_type(getattr(value, name), kind, f"{where}.{name}")


def check_nothing_else(manifest: dict[str, Any], again: dict[str, Any]) -> None:
    """Refuse what a model would not write again itself."""
    for part in sorted(manifest.keys() - {"versions"}):
        if manifest[part] != json.loads(json.dumps(again[part])):
            raise ArtifactError(f"{part} holds more or other things than a model has.")


@cache
def _fields_of(declared: type[Any]) -> dict[str, Any]:
    """The declared types of a dataclass, found once: it takes longer than all else that is checked in a column."""
    return get_type_hints(declared) if is_dataclass(declared) else {}


def _is_of(value: Any, declared: type[Any]) -> bool:
    if declared is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, declared) and isinstance(value, bool) == (declared is bool)


CLASSES: dict[str, type[Detector]] = {kind.__name__: kind for kind in DETECTORS.values()}

PARAMETER_OBJECTS: dict[str, type[Any]] = {"Training": Training, "TableEncoder": TableEncoder}

HOLDS_OBJECT = ("training", "encoder")


def described(estimator: Any) -> dict[str, Any]:
    """The class and the parameters of an estimator."""
    parameters = {name: _plain(value) for name, value in estimator.get_params(deep=False).items()}
    return {"class": type(estimator).__name__, "parameters": parameters}


def _plain(value: Any) -> Any:
    """A parameter as JSON holds it; a generator has no value to keep, only the fitted weights it led to."""
    if type(value).__name__ in PARAMETER_OBJECTS:
        return described(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def constructed(values: dict[str, Any], allowed: dict[str, type[Any]]) -> Any:
    """An object of an allowed class with known parameters, and nothing else."""
    name = values["class"]
    if name not in allowed:
        raise ArtifactError(f"class {name!r} is not one that a model may hold.{did_you_mean(str(name), allowed)}")
    parameters = values["parameters"]
    check_keys(parameters, set(allowed[name]().get_params(deep=False)), name)
    return allowed[name](**{key: _parameter(key, value) for key, value in parameters.items()})


def _parameter(name: str, value: Any) -> Any:
    if name in HOLDS_OBJECT and value is not None:
        check_keys(value, {"class", "parameters"}, "a parameter")
        return constructed(value, PARAMETER_OBJECTS)
    return tuple(value) if isinstance(value, list) else value


def tuples(values: dict[str, Any]) -> dict[str, Any]:
    """The same values, lists as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


FORMAT = 3

MANIFEST, TENSORS, CARD = "manifest.json", "tensors.safetensors", "card.md"

# Somebody may have had one written; it goes with the model that it is of.
REPORT = "report.html"

LARGEST_MANIFEST = 64 * 2**20


def check_writable(folder: Path) -> None:
    """Refuse a place in which no artifact can be written, before hours of training rather than after."""
    # Whatever else lies in the folder would be lost with the model it replaces.
    is_ours = folder.is_dir() and {path.name for path in folder.iterdir()} <= {MANIFEST, TENSORS, CARD, REPORT}
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
def replacing(folder: Path) -> Iterator[Path]:
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


def read_manifest(folder: Path) -> dict[str, Any]:
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


def read_tensors(path: Path) -> dict[str, Any]:
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
