"""`DetectorHooks`: the parameters that all detectors have, and what each detector defines for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from oddrow.detectors.fitted_state import Arrays, FittedState, named_leaves, restore_network
from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import NotFiniteError, check_number
from oddrow.estimator import Estimator
from oddrow.structure import build, to_plain
from oddrow.table.schema import Schema
from oddrow.train.training import Training, as_training
from oddrow.typing import Mask


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
        return (self._default_encoder() if self.encoder is None else self.encoder)._copy()

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
