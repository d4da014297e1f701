"""`Detector`: what all detectors share, from any kind of table to a score for each row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.utils.validation import check_is_fitted

from oddrow.detectors.block_scoring import BLOCKS, score_in_blocks, two_at_a_time
from oddrow.detectors.fit_many import fit_many
from oddrow.detectors.hooks import DetectorHooks
from oddrow.detectors.training_set import (
    EncodedRows,
    TrainingSet,
    encode,
    encode_training,
    encode_validation,
    split_by_label,
)
from oddrow.encoding.check_input import check_row_count, check_table
from oddrow.errors import ParameterError, TableError, TrainingError
from oddrow.estimator import OutlierMixin
from oddrow.nets.attribution import Occlusion, ScoreDescent
from oddrow.table.parquet import Frame, ParquetFrame
from oddrow.table.schema import check_features
from oddrow.table.split import split_random
from oddrow.table.table import Table
from oddrow.train.checkpoint import signature_of
from oddrow.train.compilation import keep_compiled_code
from oddrow.train.monitor import epochs_done
from oddrow.train.training import generator
from oddrow.typing import Floats, Ints, Mask

ROWS_ENCODED_AT_ONCE = BLOCKS[-1]


class Detector(OutlierMixin, DetectorHooks):
    """Base class of the detectors: fit to mostly normal rows, then score any rows.

    A subclass adds parameters of its own and the hooks `_check_parameters` and `_new_network`; other hooks have
    defaults.

    Parameters
    ----------
    training : Training or None
        How to train; None is the default of the detector.
    encoder : TableEncoder or None
        How to encode columns as numbers; None is the default of the detector.
    kinds : dict of str to str, or None
        Kinds of columns that must not be inferred, by column name. For frames and tables.
    contamination : float
        Share of the training rows that `predict` calls outliers, above 0 and at most 0.5. It does not change scores;
        thresholds for alerts are chosen with `Threshold`.
    random_state : int, Generator, RandomState or None
        Source of all randomness. The same seed gives the same scores.

    Attributes
    ----------
    network_ : Module
        The trained network.
    loss_curve_ : list of dict
        `epoch`, `loss` and `validation_loss` of each logged epoch.
    n_epochs_ : int
        Epochs trained.
    schema_ : Schema
        What each column means.
    encoder_ : TableEncoder
        The encoder, fitted to the training rows.
    offset_ : float
        Minus the score at which `predict` begins to call rows outliers.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Their names, if X was a frame.
    n_known_anomalies_ : int
        Training rows that `y` marked as anomalies.

    See Also
    --------
    OddRowDetector : The default; needs no tuning.
    AutoencoderDetector : Scores rows by their reconstruction error.
    DAGMMDetector : Scores rows by their energy under a Gaussian mixture.

    Examples
    --------
    >>> from oddrow import AutoencoderDetector
    >>> issubclass(AutoencoderDetector, Detector)
    True
    """

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Self:
        """Learn what normal rows look like.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Training rows: a polars or pandas frame, an Arrow table, a `Table` or a numeric array.
        y : array-like, shape (n,), or None
            1 for known anomalies, 0 for normal rows, missing for unknown ones. Known anomalies are excluded from
            training. A `y` with any other value is not an anomaly label and is ignored.
        validation : frame, table or array-like, or None
            Normal rows to hold out. None holds out `training.validation_fraction` of X.

        Returns
        -------
        Detector
            The detector itself, fitted.

        Raises
        ------
        TableError
            If the table cannot be learned from, for instance because it has too few rows or no usable column.
        ParameterError
            If a parameter has a value without meaning.
        TrainingError
            If training diverged.
        """
        return fit_many([self], [X], [y], [validation])[0]

    def anomaly_score(self, X: Any) -> Floats:
        """Score rows: higher is odder.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Rows with the columns of the training rows.

        Returns
        -------
        ndarray of float64, shape (n,)
            The scores. Their unit depends on the detector.

        Raises
        ------
        TableError
            If the columns or values do not fit those of the training rows.
        TrainingError
            If a score is not finite, because training has diverged.
        """
        return self._finite(self._by_slices(X, _score))

    def column_scores(self, X: Any) -> pl.DataFrame:
        """Attribute each row's score to its columns.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Rows with the columns of the training rows.

        Returns
        -------
        DataFrame, shape (n, columns used)
            By how much the score falls if the column takes the value that the network expects (occlusion), under the
            columns' own names and in the unit of the score.
        """
        of_numbers, of_categories = self._number_columns, self._category_columns
        names = list(dict.fromkeys([*of_numbers, *of_categories]))
        masks = (
            jnp.asarray(np.array([[source == name for source in sources] for name in names], bool))
            for sources in (of_numbers, of_categories)
        )
        network = Occlusion(self.network_, *(mask.reshape(len(names), -1) for mask in masks))
        return pl.DataFrame(self._by_slices(X, Occlusion.contributions, network).astype(np.float64), schema=names)

    def reconstruct(self, X: Any) -> tuple[Floats, list[Floats]]:
        """Return what the network expects of each row.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Rows with the columns of the training rows.

        Returns
        -------
        numbers : ndarray of float64, shape (n, encoded numbers)
            Expected numbers, in the units of `encoder_`.
        logits : list of ndarray of float64, shape (n, levels)
            Logits of the levels of each encoded category.
        """
        outputs = self._by_slices(X, _outputs).astype(np.float64)
        widths = [len(self._number_columns), *self._n_levels]
        numbers, *logits = np.split(outputs, np.cumsum(widths)[:-1], axis=1)
        return numbers, logits

    def score_samples(self, X: Any) -> Floats:
        """Score rows as scikit-learn does: higher is more normal.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Rows with the columns of the training rows.

        Returns
        -------
        ndarray of float64, shape (n,)
            Minus `anomaly_score`.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> Floats:
        """Return `score_samples` minus `offset_`: negative for outliers.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Rows with the columns of the training rows.

        Returns
        -------
        ndarray of float64, shape (n,)
            The shifted scores.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Ints:
        """Tell outliers from inliers, with the cut at `contamination` of the training rows.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Rows with the columns of the training rows.

        Returns
        -------
        ndarray of int64, shape (n,)
            -1 for outliers, 1 for inliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    if TYPE_CHECKING:
        # scikit-learn makes this method from the signature of `fit`.
        def set_fit_request(self, *, validation: bool | str | None = ...) -> Self:
            """Say whether a meta-estimator passes `validation` on to `fit`."""

    @property
    def n_epochs_(self) -> int:
        """Epochs trained."""
        return epochs_done(self.loss_curve_)

    # Fitting.

    def _prepare(self, X: Any, y: Any, validation: Any) -> TrainingSet:
        """Do all that comes before training: choose rows, fit schema and encoder, encode."""
        keep_compiled_code()
        self._check_all_parameters()
        table = check_table(self, X, reset=True)
        check_row_count(table, 2)
        rows, known = split_by_label(table, y)
        self.n_known_anomalies_ = known.n_rows
        self.schema_ = table.fitted_schema(self.kinds)
        check_features(self.schema_)
        self.schema_.check(rows.frame)
        rng = generator(self.random_state)
        fitting, held_out = self._split(rows, validation, rng)
        self._check_enough(fitting.height)
        self.encoder_ = self._new_encoder().fit(fitting, self.schema_)
        watched = None if held_out is None else encode_validation(held_out, self.schema_, self.encoder_)
        seed = int(rng.integers(2**31))
        return TrainingSet(
            self._encode_fitting(fitting, seed),
            watched,
            seed,
            split_from=rows if validation is None else None,
            known=self._encode_known(known.frame),
        )

    def _split(self, rows: Table, validation: Any, rng: np.random.Generator) -> tuple[Frame, Frame | None]:
        """Return the rows to fit and those to hold out, not encoded: a second copy of a wide table costs gigabytes."""
        if validation is not None:
            table = check_table(self, validation, reset=False)
            check_row_count(table, 1)
            self.schema_.check(table.frame)
            return rows.frame, table.frame
        fitting, held_out = split_random(rows.n_rows, self._used_training.validation_fraction, rng)
        return rows.frame[fitting], rows.frame[held_out] if len(held_out) else None

    def _encode_fitting(self, frame: Frame, seed: int) -> EncodedRows:
        if isinstance(frame, ParquetFrame) and (self._learns_from_known or self._trim_share > 0):
            raise ParameterError("known_weight and trim need all rows in memory. Leave them at 0, or give more memory.")
        least = self._used_training.batch_size
        return encode_training(frame, self.schema_, self.encoder_, least=least, seed=seed)

    def _encode_known(self, anomalies: Frame) -> tuple[jax.Array, ...] | None:
        if not self._learns_from_known or not anomalies.height:
            return None
        self.schema_.check(anomalies)
        return encode(anomalies, self.schema_, self.encoder_)

    def _signature(self, rows: TrainingSet) -> str:
        """Return a hash of the rows and of all parameters that shape the training."""
        return signature_of(self.get_params(), rows.arrays)

    def _complete(self, network: Any, loss_curve: list[dict[str, float]], rows: TrainingSet) -> None:
        """Take the trained network and place the cut of `predict`."""
        self.network_, self.loss_curve_ = self._finish(network, rows), loss_curve
        if rows.split_from is None:
            scores = self._finite(score_in_blocks(_score, self.network_, rows.training_in_numpy))
        else:
            scores = self.anomaly_score(rows.split_from)
        cut = np.quantile(scores, 1 - self.contamination, method="higher")
        # One ulp up, so that a tie with the cut is flagged, here as everywhere.
        self.offset_ = float(np.nextafter(-cut, np.inf))

    # Scoring.

    def _score_conformed(self, rows: pl.DataFrame) -> Floats:
        """Score rows that `schema_.conform` has returned: for a search that scores the same rows often."""
        return self._finite(score_in_blocks(_score, self.network_, tuple(self.encoder_.transform(rows))))

    def _lowered(self, rows: pl.DataFrame, movable: Mask) -> Floats:
        """Minimise the score by projected gradient descent over the numbers that `movable` (n, numbers) marks.

        Rows are conformed; returned are encoded numbers (n, numbers), within the range of the training rows.
        """
        network = ScoreDescent(self.network_, *map(jnp.asarray, self.encoder_.number_bounds_))
        encoded = self.encoder_.transform(rows)
        return score_in_blocks(ScoreDescent.lowest, network, (*encoded, movable)).astype(np.float64)

    def _finite(self, scores: npt.NDArray[np.float32]) -> Floats:
        if n_bad := int((~np.isfinite(scores)).sum()):
            raise TrainingError(
                f"{n_bad:,} of {len(scores):,} scores are not finite, because the weights have diverged. "
                f"Lower training.learning_rate (now {self._used_training.learning_rate:g}) and fit again."
            )
        return scores.astype(np.float64)

    def _by_slices(self, X: Any, function: Any, network: Any = None) -> npt.NDArray[np.float32]:
        """Return `function(network, rows)` for all rows, encoded slice by slice to bound the memory needed."""
        check_is_fitted(self)
        network = self.network_ if network is None else network
        keep_compiled_code()
        table = check_table(self, X, reset=False)
        check_row_count(table, 1)

        def scored(part: pl.DataFrame) -> npt.NDArray[np.float32]:
            encoded = self.encoder_.transform(self.schema_.conform(part))
            return score_in_blocks(function, network, tuple(encoded))

        slices: Iterable[pl.DataFrame] = table.frame.iter_slices(ROWS_ENCODED_AT_ONCE)
        try:
            return np.concatenate(list(two_at_a_time(scored, slices)))
        except TableError:
            # A slice numbers its rows from 0: the whole table reports all problems with its own row numbers.
            self.schema_.check(table.frame)
            raise

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _score(network: Any, rows: Any) -> Any:
    return network.score(rows)


def _outputs(network: Any, rows: Any) -> Any:
    return network.outputs(rows)
