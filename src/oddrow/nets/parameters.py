"""Checks of what shapes a network: widths, activations and dropout of its layers, alike for all who build one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oddrow.errors import ParameterError, check_choice, check_number
from oddrow.nets.layers import ACTIVATIONS

# More would be no network but a manifest that wants to keep its reader busy.
MOST_LAYERS = 100


def check_widths(name: str, widths: Any) -> None:
    """Refuse what is not a list of widths."""
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        example = widths if isinstance(widths, int) else "64, 16"
        raise ParameterError(f"{name}={widths!r} is not a list of widths, such as [{example}].")
    check_number(f"the number of {name} layers", len(widths), 0, MOST_LAYERS, whole=True)
    for width in widths:
        check_number(name, width, 1, whole=True)


def check_activations(activations: Any, n_layers: int) -> None:
    """Refuse an unknown activation, and a list that has not one for each hidden layer."""
    names = [activations] if isinstance(activations, str) else activations
    for name in names:
        check_choice("activations", name, ACTIVATIONS)
    if not isinstance(activations, str):
        _check_as_many("activations", names, n_layers)


def check_dropout(dropout: Any, n_layers: int) -> None:
    """Refuse a share outside [0, 0.9], and a list that has not one for each hidden layer."""
    is_list = isinstance(dropout, Sequence) and not isinstance(dropout, str)
    for share in dropout if is_list else [dropout]:
        check_number("dropout", share, 0, 0.9)
    if is_list:
        _check_as_many("dropout", dropout, n_layers)


def check_activity(name: str, strength: Any, n_layers: int) -> None:
    """Refuse a negative strength, and one above 0 where there is no hidden layer to keep small."""
    check_number(name, strength, 0)
    if strength > 0 and n_layers == 0:
        raise ParameterError(f"{name}={strength!r}: there is no hidden layer. Give hidden a width, or set {name}=0.")


def _check_as_many(name: str, given: Sequence[Any], n_layers: int) -> None:
    if len(given) != n_layers:
        raise ParameterError(f"{name}: {len(given)} were given for {n_layers} hidden layers.")


def named_activations(activations: str | Sequence[str], n_layers: int) -> list[str]:
    """One activation for each layer."""
    return [activations] * n_layers if isinstance(activations, str) else list(activations)


def dropout_shares(dropout: Any, n_layers: int) -> list[float]:
    """One share for each layer."""
    return [float(share) for share in (dropout if isinstance(dropout, Sequence) else [dropout] * n_layers)]
