"""The arrays of a network by name: what is saved of it, and what is checked when it comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from oddrow.encoding.encoder import LearnedColumns
from oddrow.errors import ArtifactError
from oddrow.table.schema import Schema


@dataclass(frozen=True)
class FittedState:
    """What fitting left besides arrays, as a saved model holds it."""

    schema: Schema
    encoder: LearnedColumns
    loss_curve: list[dict[str, float]]
    offset: float
    n_features_in: int
    feature_names_in: tuple[str, ...] | None
    n_known_anomalies: int


def named_leaves(network: Any) -> list[tuple[str, Any]]:
    """The arrays of a network by their place in it, as in `.stack.layers[0].weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(network)[0]
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def check_arrays(arrays: dict[str, npt.NDArray[Any]], skeleton: dict[str, Any]) -> None:
    """Raise `ArtifactError` where arrays are not of the shapes and types that a network of this form has."""
    found = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    expected = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in skeleton.items()}
    odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if odd:
        name = odd[0]
        raise ArtifactError(
            f"{len(odd)} of its arrays are not what its parameters ask for: '{name}' is "
            f"{found.get(name, 'absent')}, expected {expected.get(name, 'none of that name')}."
        )
    if beyond := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise ArtifactError(f"its array '{beyond[0]}' holds values that are not finite.")
