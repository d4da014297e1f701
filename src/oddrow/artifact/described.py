"""Estimators and their parameters as JSON holds them, and back again by an allow-list."""

from __future__ import annotations

from typing import Any

import numpy as np

from oddrow.artifact.checks import check_keys
from oddrow.detectors.base import Detector
from oddrow.detectors.known import DETECTORS
from oddrow.errors import ArtifactError, did_you_mean
from oddrow.table.encode import TableEncoder
from oddrow.train.training import Training

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
