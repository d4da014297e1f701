"""The fitted state of a detector as a saved model holds it: plain values and arrays, checked when restored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
import numpy.typing as npt

from oddrow.encoding.encoder import LearnedColumns
from oddrow.errors import ArtifactError, counted
from oddrow.table.schema import Schema

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class FittedState:
    """Everything fitted but arrays, as a saved model holds it; a detector that has more adds fields."""

    schema: Schema
    encoder: LearnedColumns
    loss_curve: list[dict[str, float]]
    offset: float
    n_features_in: int
    feature_names_in: tuple[str, ...] | None
    n_known_anomalies: int


def named_leaves(network: Any) -> list[tuple[str, Any]]:
    """Return the arrays of a network with their places in it, such as `network.stack.layers[0].weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(network)[0]
    return [(_name(path), leaf) for path, leaf in leaves]


def restore_network(new_network: Callable[[], Any], arrays: Arrays) -> Any:
    """Return a network of the form that `new_network` makes, holding saved arrays.

    Raises `ArtifactError` if the arrays do not fit that form or are not finite.
    """
    # Shapes are found without computing anything, so that a hostile width allocates nothing.
    skeleton = eqx.filter_eval_shape(new_network)
    _check_arrays(arrays, dict(named_leaves(skeleton)))
    # device_put only copies; jnp.asarray would compile a conversion for each shape.
    leaves = {name: jax.device_put(arrays[name]) for name, _ in named_leaves(skeleton)}
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaves.get(_name(path), leaf), skeleton)


def _name(path: Any) -> str:
    return f"network{jax.tree_util.keystr(path)}"


def _check_arrays(arrays: Arrays, skeleton: dict[str, Any]) -> None:
    found = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    expected = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in skeleton.items()}
    wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if wrong:
        name = wrong[0]
        raise ArtifactError(
            f"{counted(len(wrong), 'array')} {'does' if len(wrong) == 1 else 'do'} not fit its parameters: "
            f"'{name}' is {found.get(name, 'missing')}, expected {expected.get(name, 'no such array')}."
        )
    if not_finite := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise ArtifactError(f"its array '{not_finite[0]}' holds values that are not finite.")
