"""Checks of what shapes a network: widths and activations of its layers, alike for all who build one."""

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
    if not isinstance(activations, str) and len(names) != n_layers:
        raise ParameterError(f"activations: {len(names)} were given for {n_layers} hidden layers.")


def named_activations(activations: str | Sequence[str], n_layers: int) -> list[str]:
    """One activation for each layer."""
    return [activations] * n_layers if isinstance(activations, str) else list(activations)
