"""Checks of the parameters that shape a network: widths, activations and dropout of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oddrow.errors import ParameterError, check_choice, check_number
from oddrow.nets.layers import ACTIVATIONS

# Stops a crafted manifest from keeping the loader busy.
MOST_LAYERS = 100


def check_widths(name: str, widths: Any) -> None:
    """Raise `ParameterError` unless `widths` is a list of positive integers."""
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        example = widths if isinstance(widths, int) else "64, 16"
        raise ParameterError(f"{name}={widths!r} is not a list of widths, such as [{example}].")
    check_number(f"the number of {name} layers", len(widths), 0, MOST_LAYERS, whole=True)
    for width in widths:
        check_number(name, width, 1, whole=True)


def check_activations(activations: Any, n_layers: int) -> None:
    """Raise `ParameterError` for an unknown activation, or a list that has not one for each hidden layer."""
    names = [activations] if isinstance(activations, str) else activations
    for name in names:
        check_choice("activations", name, ACTIVATIONS)
    if not isinstance(activations, str):
        _check_as_many("activations", names, n_layers)


def check_dropout(dropout: Any, n_layers: int) -> None:
    """Raise `ParameterError` for a share outside [0, 0.9], or a list that has not one for each hidden layer."""
    is_list = isinstance(dropout, Sequence) and not isinstance(dropout, str)
    for share in dropout if is_list else [dropout]:
        check_number("dropout", share, 0, 0.9)
    if is_list:
        _check_as_many("dropout", dropout, n_layers)


def check_activity(name: str, strength: Any, n_layers: int) -> None:
    """Raise `ParameterError` for a negative strength, or a positive one if there is no hidden layer."""
    check_number(name, strength, 0)
    if strength > 0 and n_layers == 0:
        raise ParameterError(f"{name}={strength!r} needs a hidden layer. Add a width to hidden, or set {name}=0.")


def _check_as_many(name: str, given: Sequence[Any], n_layers: int) -> None:
    if len(given) != n_layers:
        raise ParameterError(f"{name}: expected {n_layers} (one for each hidden layer), got {len(given)}.")


def named_activations(activations: str | Sequence[str], n_layers: int) -> list[str]:
    """Return one activation for each layer."""
    return [activations] * n_layers if isinstance(activations, str) else list(activations)


def dropout_shares(dropout: Any, n_layers: int) -> list[float]:
    """Return one dropout share for each layer."""
    return [float(share) for share in (dropout if isinstance(dropout, Sequence) else [dropout] * n_layers)]
