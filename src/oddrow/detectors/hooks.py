"""`DetectorHooks`: the parameters that all detectors have, and what each detector defines for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import LearnedColumns, TableEncoder
from oddrow.errors import ArtifactError, NotFiniteError, check_number, counted
from oddrow.estimator import Estimator
from oddrow.structure import build, to_plain
from oddrow.table.schema import Schema
from oddrow.train.training import Training, as_training
from oddrow.typing import Mask

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


class DetectorHooks(Estimator, ABC):
    """Parameters, fitted attributes and hooks; `Detector` adds fitting and scoring."""

    network_: Any
    loss_curve_: list[dict[str, float]]
    schema_: Schema
    encoder_: TableEncoder
    offset_: float
    feature_names_in_: npt.NDArray[np.object_]
    n_known_anomalies_: int

    def __init__(
        self,
        *,
        training: Training | None = None,
        encoder: TableEncoder | None = None,
        kinds: dict[str, str] | None = None,
        contamination: float = 0.01,
        random_state: Any = None,
    ) -> None:
        self.training = training
        self.encoder = encoder
        self.kinds = kinds
        self.contamination = contamination
        self.random_state = random_state

    # Hooks that a detector must define.

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise `ParameterError` for a value without meaning."""

    @abstractmethod
    def _new_network(self, seed: int) -> Any:
        """Return an untrained network for the fitted encoder."""

    # Hooks that a detector may define, in the order in which they are called.

    def _default_training(self) -> Training:
        """Return what `training=None` stands for."""
        return Training()

    def _default_encoder(self) -> TableEncoder:
        """Return what `encoder=None` stands for."""
        return TableEncoder()

    def _check_enough(self, n_rows: int) -> None:
        """Refuse too few training rows for this detector."""

    def _in_training(self, network: Any, rows: TrainingSet) -> Any:
        """Return the network as the loop trains it with these rows."""
        return network

    def _after_training(self, network: Any) -> Any:
        """Return, once trained, the network that `_in_training` was given."""
        return network

    def _rows_to_keep(self, network: Any, fitting: Any) -> Mask:
        """Return which fitting rows (n,) a trial training has not rejected."""
        return np.ones(len(fitting[0]), bool)

    def _diverged(self, error: NotFiniteError) -> NotFiniteError:
        """Return the error of a failed training with advice for this detector."""
        return error

    def _finish(self, network: Any, rows: TrainingSet) -> Any:
        """Return the trained network with what it needs of the training rows besides its weights."""
        return network

    @property
    def _learns_from_known(self) -> bool:
        """Whether known anomalies take part in training instead of being excluded."""
        return False

    @property
    def _trim_share(self) -> float:
        """The share of the training rows that is excluded after a trial training."""
        return 0.0

    @property
    def _scores_by_spread(self) -> bool:
        """Whether a column score is the column's squared error in units of its mean on training rows."""
        return False

    @property
    def _training_notes(self) -> list[str]:
        """Model-card sentences on how training rows were used."""
        return []

    _state: type[FittedState] = FittedState

    @property
    def _own_state(self) -> dict[str, Any]:
        """The fields that the class `_state` of this detector adds to `FittedState`."""
        return {}

    def _empty_network(self, state: Any) -> Any:
        """Return a network of the form that a saved one has; its numbers do not matter."""
        return self._new_network(0)

    # What hooks can rely on.

    @property
    def _number_columns(self) -> list[str]:
        """The source column of every encoded number."""
        return [source for source, _ in self.encoder_.number_sources_]

    @property
    def _category_columns(self) -> list[str]:
        """The source column of every encoded category."""
        return [source for source, _ in self.encoder_.category_sources_]

    @property
    def _n_levels(self) -> list[int]:
        """The number of levels of every encoded category."""
        return [n_levels for _, n_levels in self.encoder_.category_sources_]

    @property
    def _used_training(self) -> Training:
        return as_training(self.training, self._default_training())

    def _default_parts(self) -> dict[str, Any]:
        return {"training": self._default_training(), "encoder": self._default_encoder()}

    def _new_encoder(self) -> TableEncoder:
        encoder = self.encoder if self.encoder is not None else self._default_encoder()
        return TableEncoder(**encoder.get_params())

    def _check_all_parameters(self) -> None:
        check_number("contamination", self.contamination, 0, 0.5, above=True)
        self._used_training._check()
        self._check_parameters()

    # Saving and loading.

    def _to_state(self) -> tuple[dict[str, Any], Arrays]:
        """Return everything fitted: plain values for JSON, and the arrays of the network by name."""
        check_is_fitted(self)
        state = self._state(
            schema=self.schema_,
            encoder=self.encoder_.learned,
            loss_curve=self.loss_curve_,
            offset=self.offset_,
            n_features_in=self.n_features_in_,
            feature_names_in=tuple(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            n_known_anomalies=self.n_known_anomalies_,
            **self._own_state,
        )
        return to_plain(state), {name: np.asarray(leaf) for name, leaf in named_leaves(self.network_)}

    def _from_state(self, plain: dict[str, Any], arrays: Arrays) -> Self:
        """Take back what `_to_state` returned; raise `ArtifactError` for arrays that do not fit the parameters."""
        self._check_all_parameters()
        state = build(self._state, plain, "detector.state", complete=True)
        self.schema_ = state.schema
        self.encoder_ = self._new_encoder().restore(state.encoder, state.schema)
        self.loss_curve_, self.offset_ = state.loss_curve, float(state.offset)
        self.n_features_in_, self.n_known_anomalies_ = state.n_features_in, state.n_known_anomalies
        if state.feature_names_in:
            self.feature_names_in_ = np.array(state.feature_names_in, dtype=object)
        self.network_ = restore_network(lambda: self._empty_network(state), arrays)
        return self
