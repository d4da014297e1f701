"""What every detector shares: rows in, a score for each out, and scikit-learn's contract around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import _check_feature_names, check_is_fitted, validate_data

from oddrow.detectors.fit_many import fit_many
from oddrow.detectors.scoring import BLOCKS, score_in_blocks, two_at_a_time
from oddrow.detectors.state import FittedState, check_arrays, named_leaves
from oddrow.detectors.training_set import (
    EncodedRows,
    TrainingSet,
    encode,
    encode_training,
    encode_validation,
    split_by_label,
)
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import NotFiniteError, ParameterError, TableError, TrainingError, check_number
from oddrow.nets.attribution import Occlusion, ScoreDescent
from oddrow.structure import build, to_plain
from oddrow.table.parquet import Frame, ParquetFrame
from oddrow.table.schema import check_features
from oddrow.table.split import split_random
from oddrow.table.table import Table, as_table
from oddrow.train.checkpoint import signature_of
from oddrow.train.compilation import keep_compiled_code
from oddrow.train.monitor import epochs_done
from oddrow.train.training import Training, as_training, generator
from oddrow.typing import Floats

T = TypeVar("T")

ROWS_ENCODED_AT_ONCE = BLOCKS[-1]


class Detector(OutlierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A detector of odd rows: a constructor with `training`, `encoder`, `kinds`, `contamination`, `random_state`,
    and the hooks `_new_network` and `_finish`. Fitting sets `network_` and `loss_curve_`.

    `fit` leaves out rows where y is 1 and learns from all others; a y that holds anything besides 0, 1 and missing
    is no anomaly label and is ignored. X is a polars or pandas frame, an Arrow table or a numeric array (n, d).
    """

    training: Training | None
    encoder: TableEncoder | None
    kinds: dict[str, str] | None
    contamination: float
    random_state: Any

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Detector:
        """Learn what normal looks like; `validation` are rows to watch it on, else a share of X is drawn."""
        return fit_many([self], [X], [y], [validation])[0]

    def _prepare(self, X: Any, y: Any, validation: Any) -> TrainingSet:
        """Everything before training: rows chosen, schema and encoder fitted, rows encoded."""
        keep_compiled_code()
        check_number("contamination", self.contamination, 0, 0.5, above=True)
        self._used_training.check()
        self._check_parameters()
        table = self._table(X, reset=True)
        check_enough_rows(table, 2)
        rows, known = split_by_label(table, y)
        self.n_known_anomalies_ = known.n_rows
        self.schema_ = table.fitted_schema(self.kinds)
        check_features(self.schema_)
        rng = generator(self.random_state)
        fitting, held_out = self._split(rows, validation, self._used_training.validation_fraction, rng)
        self._check_enough(fitting.height)
        self.encoder_ = self._new_encoder().fit(fitting, self.schema_)
        watched = None if held_out is None else encode_validation(held_out, self.schema_, self.encoder_)
        drawn_from = rows if validation is None else None
        seed = int(rng.integers(2**31))
        return TrainingSet(
            self._encode_fitting(fitting, seed), watched, seed, drawn_from, self._encode_known(known.frame)
        )

    def _encode_known(self, anomalies: Frame) -> tuple[jax.Array, ...] | None:
        """Known anomalies, for a detector that learns from them."""
        if not self._learns_from_known or not anomalies.height:
            return None
        self.schema_.check(anomalies)
        return self._encode(anomalies)

    def _encode(self, frame: Frame) -> tuple[jax.Array, ...]:
        return encode(frame, self.schema_, self.encoder_)

    def _encode_fitting(self, frame: Frame, seed: int) -> EncodedRows:
        if isinstance(frame, ParquetFrame) and (self._learns_from_known or self._trim_share > 0):
            raise ParameterError("known_weight and trim need all rows in memory. Leave them at 0, or give more memory.")
        least = self._used_training.batch_size
        return encode_training(frame, self.schema_, self.encoder_, least=least, seed=seed)

    @property
    def _learns_from_known(self) -> bool:
        """Whether known anomalies are learned from, rather than left out."""
        return False

    @property
    def _trim_share(self) -> float:
        """The share of the training rows that a short trial of training leaves out first."""
        return 0.0

    @property
    def _training_notes(self) -> list[str]:
        """What became of the training rows, in words, besides that they were learned from."""
        return []

    @property
    def _used_training(self) -> Training:
        """How the network is trained: `training`, or the defaults where that is None."""
        return as_training(self.training, Training())

    def _split(
        self, rows: Table, validation: Any, fraction: float, rng: np.random.Generator
    ) -> tuple[Frame, Frame | None]:
        """The rows to fit, and those to stop by, as they were read: another copy of a wide table costs gigabytes."""
        self.schema_.check(rows.frame)
        if validation is not None:
            table = self._table(validation, reset=False)
            check_enough_rows(table, 1)
            self.schema_.check(table.frame)
            return rows.frame, table.frame
        fitting, held_out = split_random(rows.n_rows, fraction, rng)
        return rows.frame[fitting], rows.frame[held_out] if len(held_out) else None

    def _new_encoder(self) -> TableEncoder:
        encoder = self.encoder if self.encoder is not None else self._default_encoder()
        return TableEncoder(**encoder.get_params())

    @property
    def n_epochs_(self) -> int:
        """How many epochs were trained."""
        return epochs_done(self.loss_curve_)

    def _default_encoder(self) -> TableEncoder:
        """How rows are encoded where nothing else is said."""
        return TableEncoder()

    def anomaly_score(self, X: Any) -> Floats:
        """How odd each row is, (n,) float64, higher is odder."""
        return self._finite(self._by_slices(X, _score))

    def column_scores(self, X: Any) -> pl.DataFrame:
        """What each column adds to the scores: a frame (n, columns used) under their own names.

        That is what a score falls by where the column is replaced by what the network rebuilds of it.
        """
        of_numbers, of_categories = (np.array(part) for part in (self._number_columns, self._category_columns))
        names = list(dict.fromkeys([*self._number_columns, *self._category_columns]))
        masks = (jnp.asarray(np.array([of == name for name in names])) for of in (of_numbers, of_categories))
        network = Occlusion(self.network_, *(mask.reshape(len(names), -1).astype(bool) for mask in masks))
        return pl.DataFrame(self._by_slices(X, Occlusion.contributions, network).astype(np.float64), schema=names)

    @property
    def _scores_by_spread(self) -> bool:
        """Whether a column score is the column's squared error in units of its own on training rows."""
        return False

    def reconstruct(self, X: Any) -> tuple[Floats, list[Floats]]:
        """What the network expects of each row: encoded numbers (n, numbers); logits (n, levels) of each category."""
        outputs = self._by_slices(X, _outputs).astype(np.float64)
        places = np.cumsum([len(self._number_columns), *(n_levels for _, n_levels in self.encoder_.category_sources_)])
        numbers, *logits = np.split(outputs, places[:-1], axis=1)
        return numbers, logits

    def _score_conformed(self, rows: pl.DataFrame) -> Floats:
        """How odd rows are (n,) that `schema_.conform` has returned: for a search that scores the same rows often."""
        return self._finite(score_in_blocks(_score, self.network_, tuple(self.encoder_.transform(rows))))

    def _lowered(self, rows: pl.DataFrame, movable: npt.NDArray[np.bool_]) -> Floats:
        """Encoded numbers (n, numbers) of conformed rows brought to a low score: those that the mask (n, numbers) lets
        move are moved along the gradient, each between the least and the largest value that training rows had.
        """
        network = ScoreDescent(self.network_, *map(jnp.asarray, self.encoder_.number_bounds_))
        encode = self.encoder_.transform(rows)
        return score_in_blocks(ScoreDescent.lowest, network, (*encode, movable)).astype(np.float64)

    @property
    def _number_columns(self) -> list[str]:
        return [source for source, _ in self.encoder_.number_sources_]

    @property
    def _category_columns(self) -> list[str]:
        return [source for source, _ in self.encoder_.category_sources_]

    def _finite(self, scores: npt.NDArray[np.float32]) -> Floats:
        if n_bad := int((~np.isfinite(scores)).sum()):
            raise TrainingError(
                f"{n_bad:,} of {len(scores):,} scores are not finite: the weights have grown beyond measure. "
                f"Lower training.learning_rate (now {self._used_training.learning_rate:g}) and fit again."
            )
        return scores.astype(np.float64)

    def _by_slices(self, X: Any, function: Any, network: Any = None) -> npt.NDArray[np.float32]:
        """`function(network, rows)` for all rows, encoded slice by slice, so that memory stays bounded."""
        check_is_fitted(self)
        network = self.network_ if network is None else network
        keep_compiled_code()
        table = self._table(X, reset=False)
        check_enough_rows(table, 1)

        def scored(part: pl.DataFrame) -> npt.NDArray[np.float32]:
            encode = self.encoder_.transform(self.schema_.conform(part))
            return score_in_blocks(function, network, tuple(encode))

        try:
            return np.concatenate(list(two_at_a_time(scored, table.frame.iter_slices(ROWS_ENCODED_AT_ONCE))))
        except TableError:
            # A slice numbers its rows from 0: the table says all that is wrong, with its own numbers.
            self.schema_.check(table.frame)
            raise

    def _table(self, X: Any, *, reset: bool) -> Table:
        """X as a table; whatever scikit-learn demands of an array or a frame is checked here."""
        if isinstance(X, Table):
            if reset:
                self.n_features_in_ = len(X.columns)
            return X
        if isinstance(X, pl.LazyFrame):
            X = X.collect()
        if hasattr(X, "columns") or hasattr(X, "__arrow_c_stream__"):
            table = as_table(X)
            # Fitted to a `Table`, there are no names to compare here; the schema does it, in whatever order they come.
            if reset or hasattr(self, "feature_names_in_"):
                _check_feature_names(self, X, reset=reset)
            if reset:
                self.n_features_in_ = len(table.columns)
            return table
        least = 2 if reset else 1
        # Column by column in memory, as the table will hold it.
        form = {"dtype": np.float64, "order": "F", "ensure_all_finite": "allow-nan", "ensure_min_samples": least}
        array = validate_data(self, X, reset=reset, **form)
        return Table.from_array(array)

    _state: type[FittedState] = FittedState

    def _to_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Everything fitted: plain values for JSON, and named arrays."""
        check_is_fitted(self)
        state = FittedState(
            schema=self.schema_,
            encoder=self.encoder_.learned,
            loss_curve=self.loss_curve_,
            offset=self.offset_,
            n_features_in=self.n_features_in_,
            feature_names_in=tuple(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            n_known_anomalies=self.n_known_anomalies_,
        )
        return to_plain(state), {f"network{name}": np.asarray(leaf) for name, leaf in named_leaves(self.network_)}

    def _from_state(self, plain: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Detector:
        """Take back what `_to_state` gave. Raises `ArtifactError` where an array has another shape than it must."""
        self._used_training.check()
        self._check_parameters()
        check_number("contamination", self.contamination, 0, 0.5, above=True)
        state = build(self._state, plain, "detector.state", complete=True)
        self.schema_ = state.schema
        self.encoder_ = self._new_encoder().restore(state.encoder, state.schema)
        self.loss_curve_, self.offset_ = state.loss_curve, float(state.offset)
        self.n_features_in_, self.n_known_anomalies_ = state.n_features_in, state.n_known_anomalies
        if state.feature_names_in:
            self.feature_names_in_ = np.array(state.feature_names_in, dtype=object)
        # Shapes are found without computing anything, so that a hostile width allocates nothing.
        skeleton = eqx.filter_eval_shape(self._unfilled, state)
        check_arrays(arrays, {f"network{name}": leaf for name, leaf in named_leaves(skeleton)})
        # device_put only copies; jnp.asarray would compile a conversion for each shape.
        leaves = {name: jax.device_put(arrays[f"network{name}"]) for name, _ in named_leaves(skeleton)}
        self.network_ = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaves.get(jax.tree_util.keystr(path), leaf), skeleton
        )
        return self

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""

    @abstractmethod
    def _new_network(self, seed: int) -> Any:
        """An untrained network for the fitted encoder."""

    def _unfilled(self, state: Any) -> Any:
        """A network of the form that the one of this state has; its numbers do not matter."""
        return self._new_network(0)

    def _in_training(self, network: Any, ready: TrainingSet) -> Any:
        """The network as the loop trains it with these rows."""
        return network

    def _after_training(self, network: Any) -> Any:
        """What `_in_training` was given, trained."""
        return network

    def _check_enough(self, n_rows: int) -> None:
        """Refuse too few training rows for this detector."""

    def _kept(self, network: Any, fitting: Any) -> npt.NDArray[np.bool_]:
        """Which of the training rows (n,) to train on, as the network of a trial says."""
        return np.ones(len(fitting[0]), bool)

    def _diverged(self, error: NotFiniteError) -> NotFiniteError:
        """What went wrong in training, with what helps this detector."""
        return error

    def _finish(self, network: Any, ready: TrainingSet) -> Any:
        """The trained network with whatever it takes from the rows that it was trained with once training is over."""
        return network

    def _complete(self, network: Any, history: list[dict[str, float]], ready: TrainingSet) -> None:
        """Take the trained network, with all that it needs from the training rows."""
        self.network_, self.loss_curve_ = self._finish(network, ready), history
        if ready.drawn_from is None:
            scores = self._finite(score_in_blocks(_score, self.network_, ready.all_in_numpy))
        else:
            scores = self.anomaly_score(ready.drawn_from)
        cut = np.quantile(scores, 1 - self.contamination, method="higher")
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

    def _signature(self, prepared: TrainingSet) -> str:
        """Names the rows and everything that shapes the training."""
        return signature_of(self.get_params(), prepared.arrays)


def check_enough_rows(table: Table, least: int) -> None:
    """Refuse a table with fewer rows than can be worked with."""
    if table.n_rows < least:
        verb = "learn what is normal" if least > 1 else "score"
        raise TableError(f"{table.source}: n_samples = {table.n_rows}, expected at least {least} to {verb}.")


def _score(network: Any, rows: Any) -> Any:
    return network.score(rows)


def _outputs(network: Any, rows: Any) -> Any:
    return network.outputs(rows)
