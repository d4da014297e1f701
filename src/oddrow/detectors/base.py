"""What every detector shares: rows in, a score for each out, and scikit-learn's contract around it."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import _check_feature_names, check_is_fitted, validate_data

from oddrow.errors import ArtifactError, TableError, check_number
from oddrow.table.encode import Encoded, TableEncoder
from oddrow.table.schema import Schema, check_features
from oddrow.table.split import split_random
from oddrow.table.table import Table, as_table
from oddrow.train.compilation import keep_compiled_code
from oddrow.train.loop import Training

Floats = npt.NDArray[np.float64]


class Detector(OutlierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A detector of odd rows: a constructor with `training`, `encoder`, `kinds`, `contamination`, `random_state`,
    and the hooks `_fit_network` and `column_scores`.

    `fit` leaves out rows where y is 1 and learns from all others; a y that holds anything besides 0, 1 and missing
    is no anomaly label and is ignored. X is a polars or pandas frame, an Arrow table or a numeric array (n, d).
    """

    #: Names of fitted arrays, besides the network's, that an artifact has to keep.
    fitted_arrays: ClassVar[tuple[str, ...]] = ()

    training: Training | None
    encoder: TableEncoder | None
    kinds: dict[str, str] | None
    contamination: float
    random_state: Any

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Detector:
        """Learn what normal looks like; `validation` are rows to stop early by, else a share of X is drawn."""
        keep_compiled_code()
        check_number("contamination", self.contamination, 0, 0.5, above=True)
        training = self.used_training
        training.check()
        table = self._table(X, reset=True)
        check_enough_rows(table, 2)
        rows, self.n_known_anomalies_ = _without_known_anomalies(table, y)
        self.schema_ = table.fitted_schema(self.kinds)
        check_features(self.schema_)
        rng = _generator(self.random_state)
        fitting, held_out = self._split(rows, validation, training.validation_fraction, rng)
        self.encoder_ = self._new_encoder().fit(fitting, self.schema_)
        self._fit_network(self.encoder_.transform(fitting), held_out, training, int(rng.integers(2**31)))
        self._set_offset(rows, self.contamination)
        return self

    @property
    def used_training(self) -> Training:
        """How the network is trained: `training`, or the defaults where that is None."""
        return self.training if self.training is not None else Training()

    def _split(
        self, rows: Table, validation: Any, fraction: float, rng: np.random.Generator
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """The rows to fit, and those to stop by."""
        frame = self.schema_.conform(rows.frame)
        if validation is not None:
            return frame, self.schema_.conform(as_table(validation).frame)
        fitting, held_out = split_random(frame.height, fraction, rng)
        return frame[fitting], frame[held_out] if len(held_out) else None

    def _new_encoder(self) -> TableEncoder:
        encoder = self.encoder if self.encoder is not None else TableEncoder()
        return TableEncoder(**encoder.get_params())

    def _encode(self, X: Any) -> Encoded:
        check_is_fitted(self)
        keep_compiled_code()
        table = self._table(X, reset=False)
        check_enough_rows(table, 1)
        return self.encoder_.transform(self.schema_.conform(table.frame))

    def _table(self, X: Any, *, reset: bool) -> Table:
        """X as a table; whatever scikit-learn demands of an array or a frame is checked here."""
        if isinstance(X, Table):
            if reset:
                self.n_features_in_ = len(X.columns)
            return X
        if hasattr(X, "columns") or hasattr(X, "__arrow_c_stream__"):
            _check_feature_names(self, X, reset=reset)
            table = as_table(X)
            if reset:
                self.n_features_in_ = len(table.columns)
            return table
        least = 2 if reset else 1
        array = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=least
        )
        return Table.from_array(array)

    def to_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Everything fitted: plain values for JSON, and named arrays."""
        check_is_fitted(self)
        plain = {
            "schema": self.schema_.to_dict(),
            "encoder": self.encoder_.to_dict(),
            "history": self.history_,
            "offset": self.offset_,
            "n_features_in": self.n_features_in_,
            "n_known_anomalies": self.n_known_anomalies_,
        }
        arrays = {name: getattr(self, name) for name in self.fitted_arrays}
        return plain, arrays | {f"network{name}": np.asarray(leaf) for name, leaf in _named_leaves(self.network_)}

    def from_state(self, plain: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Detector:
        """Take back what `to_state` gave. Raises `ArtifactError` where an array has another shape than it must."""
        self.schema_ = Schema.from_dict(plain["schema"])
        self.encoder_ = self._new_encoder().restore(plain["encoder"])
        self.history_, self.offset_ = plain["history"], float(plain["offset"])
        self.n_features_in_, self.n_known_anomalies_ = plain["n_features_in"], plain["n_known_anomalies"]
        wanted = self._expected_arrays()
        _check_arrays(arrays, wanted)
        for name in self.fitted_arrays:
            setattr(self, name, arrays[name])
        skeleton = eqx.filter_eval_shape(self._new_network, 0)
        leaves = {name: jnp.asarray(arrays[f"network{name}"]) for name, _ in _named_leaves(skeleton)}
        self.network_ = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaves.get(jax.tree_util.keystr(path), leaf), skeleton
        )
        return self

    def _expected_arrays(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of every array of the state, found without computing any."""
        skeleton = eqx.filter_eval_shape(self._new_network, 0)
        expected = {f"network{name}": (leaf.shape, str(leaf.dtype)) for name, leaf in _named_leaves(skeleton)}
        return expected | {name: (self._fitted_shape(name), "float64") for name in self.fitted_arrays}

    @abstractmethod
    def check_parameters(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""

    @abstractmethod
    def _new_network(self, seed: int) -> Any:
        """An untrained network for the fitted encoder."""

    @abstractmethod
    def _fitted_shape(self, name: str) -> tuple[int, ...]:
        """The shape that a fitted array must have."""

    @abstractmethod
    def _fit_network(self, fitting: Encoded, held_out: pl.DataFrame | None, training: Training, seed: int) -> None:
        """Train on encoded rows, with held-out rows (still to be encoded) to stop by."""

    @abstractmethod
    def anomaly_score(self, X: Any) -> Floats:
        """How odd each row is, (n,), higher is odder. Unit: as the detector says."""

    def _set_offset(self, rows: Table, contamination: float) -> None:
        scores = self.anomaly_score(rows)
        cut = np.quantile(scores, 1 - contamination, method="higher")
        # One ulp up, so that a tie with the cut is flagged, here as everywhere.
        self.offset_ = float(np.nextafter(-cut, np.inf))

    def score_samples(self, X: Any) -> Floats:
        """scikit-learn's view, (n,): higher is more normal."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> Floats:
        """score_samples minus `offset_`, (n,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """-1 for outliers, 1 for inliers, (n,), cut at `contamination` of the training rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _signature(self, fitting: Encoded) -> str:
        """Names the rows and everything that shapes the training but its length."""
        parameters = {
            name: value
            for name, value in self.get_params().items()
            if name not in ("training", "encoder", "training__epochs", "training__checkpoint", "training__progress")
        }
        digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode())
        digest.update(fitting.numbers.tobytes())
        digest.update(fitting.categories.tobytes())
        return digest.hexdigest()[:32]


def _named_leaves(network: Any) -> list[tuple[str, Any]]:
    """The arrays of a network by their place in it, as in `.stack.layers[0].weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(network)[0]
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def _check_arrays(arrays: dict[str, npt.NDArray[Any]], expected: dict[str, tuple[tuple[int, ...], str]]) -> None:
    found = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if odd:
        name = odd[0]
        raise ArtifactError(
            f"{len(odd)} of its arrays are not what its parameters ask for: '{name}' is "
            f"{found.get(name, 'absent')}, expected {expected.get(name, 'none of that name')}."
        )


def check_enough_rows(table: Table, least: int) -> None:
    """Refuse a table with fewer rows than can be worked with."""
    if table.n_rows < least:
        verb = "learn what is normal" if least > 1 else "score"
        raise TableError(f"{table.source}: n_samples = {table.n_rows}, expected at least {least} to {verb}.")


def _generator(random_state: Any) -> np.random.Generator:
    """A generator of our own: the global one is never touched, not even for None."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)


def _without_known_anomalies(table: Table, y: Any) -> tuple[Table, int]:
    if y is None:
        return table, 0
    anomalous = _known_anomalies(y)
    if len(anomalous) != table.n_rows:
        raise TableError(f"y has {len(anomalous):,} values for {table.n_rows:,} rows.")
    n_known = int(anomalous.sum())
    if n_known == table.n_rows:
        raise TableError(f"all {n_known:,} rows are anomalous (y is 1): nothing is left to learn normal from.")
    return (table.take(~anomalous), n_known) if n_known else (table, 0)


def _known_anomalies(y: Any) -> npt.NDArray[np.bool_]:
    """Mask (n,) of the rows where y is 1; all False where y is no anomaly label."""
    values = pl.Series("y", y if isinstance(y, (pl.Series, list)) else np.asarray(y).ravel(), strict=False)
    none = np.zeros(len(values), dtype=bool)
    if values.dtype == pl.Boolean:
        return values.fill_null(False).to_numpy()
    if not values.dtype.is_numeric():
        return none
    numbers = values.cast(pl.Float64).fill_nan(None)
    known = numbers.drop_nulls()
    return (numbers == 1).fill_null(False).to_numpy() if known.is_in([0.0, 1.0]).all() else none
