"""What a manifest may hold: the keys it should, values of the declared types, nothing else."""

from __future__ import annotations

import json
import math
from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from oddrow.detectors.base import Detector
from oddrow.errors import ArtifactError
from oddrow.table.columns import CategoryColumn, NumberColumn
from oddrow.table.schema import Schema


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
        "history": (detector.history_, list[dict[str, float]]),
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
