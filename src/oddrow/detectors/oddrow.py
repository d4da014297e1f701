"""`OddRowDetector`, the default: a row is odd if it is far from all reference rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from oddrow.detectors.base import Detector
from oddrow.detectors.block_scoring import score_in_blocks
from oddrow.detectors.fitted_state import FittedState
from oddrow.detectors.reference_rows import (
    MIN_CLUSTER_SIZE,
    N_CLUSTERS,
    Arrays,
    Numbers,
    centroids,
    column_deviation,
    column_range,
    concat,
    inlier_mask,
    load_rows,
    subsample,
)
from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError, TableError, check_choice, check_number
from oddrow.nets.denoising import DenoisingAutoencoder
from oddrow.nets.neighbours import Neighbours
from oddrow.nets.oddrow import OddRow, as_rows
from oddrow.nets.tails import Tail
from oddrow.train.training import Training
from oddrow.typing import Mask

MODES = ("novelty", "outlier")

# Reference rows whose mean distance is taken. If no training row is odd, the nearest says most; if some are, they are
# near each other.
N_NEIGHBOURS = {"novelty": 1, "outlier": 10}

MIN_ROWS = 2

# Outlier mode trusts 60 % of the rows, and each mean needs five.
MIN_ROWS_FOR_MEANS = 2 * MIN_CLUSTER_SIZE

# In outlier mode a category that differs counts as much as this many standard deviations of a number, which is about
# the range of a number.
CATEGORY_DEVIATIONS = 5

# Share of the training rows that outlier mode does not trust.
UNTRUSTED_SHARE = 0.4

# Most rows that calibrate normal distances, and fewest validation rows: with fewer, training rows calibrate.
MAX_CALIBRATION_ROWS, MIN_CALIBRATION_ROWS = 10_000, 10

# Reference rows whose codes are kept too: more took longer and found no more.
MAX_CODED_ROWS = 2000

# Limit for the numbers, categories and codes of all reference rows; wide tables keep fewer rows.
MAX_REFERENCE_BYTES = 16_000_000

BYTES_PER_VALUE = 4


@dataclass(frozen=True)
class OddRowState(FittedState):
    """Everything fitted, and how many reference rows and means there are."""

    n_reference_rows: int
    n_means: int


class OddRowDetector(Detector):
    """Score rows by their distance to the nearest reference rows, kept from training.

    The default detector; it needs no tuning. Fitting takes 3 seconds for 20,000 rows of 30 columns on two cores,
    scoring one second for 50,000 rows.

    Parameters
    ----------
    mode : {"outlier", "novelty"}
        Whether training rows may be anomalies. "novelty" takes all of them as normal: choose it if known anomalies are
        excluded or the rows have been checked. "outlier" trusts only the 60 % of the rows that are closest to others
        and trains no network.
    n_reference_rows : int
        Training rows to keep as references, drawn at random; at least 2. Wide tables keep fewer, so that models stay
        below 20 MB. 0 keeps no row but up to 200 means of at least five rows each, for models that must not contain
        training rows; the mean of identical rows is still that row.
    training : Training or None
        How to train the autoencoder of "novelty"; None is `Training()`. Validation rows calibrate the score and must
        be normal. With fewer than ten, as for tables of fewer than 100 rows, the autoencoder is ignored and the
        distance alone decides. In "outlier" mode, None holds out no rows.
    encoder : TableEncoder or None
        How to encode columns as numbers. None is `TableEncoder(numbers="robust", soft_limit=30)` in novelty mode and
        `TableEncoder(soft_limit=3)` in outlier mode.
    kinds : dict of str to str, or None
        Kinds of columns that must not be inferred, by column name. For frames and tables.
    contamination : float
        Share of the training rows that `predict` calls outliers, above 0 and at most 0.5.
    random_state : int, Generator, RandomState or None
        Source of all randomness. The same seed gives the same scores.

    Attributes
    ----------
    network_ : OddRow
        Reference rows, autoencoder and calibration.
    n_reference_rows_ : int
        Training rows that the network holds.
    n_means_ : int
        Means that it holds in their place.
    loss_curve_ : list of dict
        `epoch`, `loss` and `validation_loss` of each logged epoch; empty in outlier mode.
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
        Training rows that `y` marked as anomalies; they are excluded.

    See Also
    --------
    AutoencoderDetector : Can learn from known anomalies and keeps no rows.
    RowScorer : Scores single rows fast.

    Notes
    -----
    The score is in nats: `max(tail(d_rows) + tail(d_codes), tail(error) - 2)`. `d_rows` is the distance to the nearest
    reference row, `d_codes` the same between the codes that a denoising autoencoder gives to rows, `error` the
    autoencoder's error, and `tail` minus the logarithm of the share of normal rows with values as large. In outlier
    mode the score is `tail(d_rows)` with the mean distance to ten reference rows.

    Squared distances add up over columns. A number counts in units of its range, in outlier mode of five standard
    deviations; a category that differs counts 1. A row that is itself a reference row is compared with the others. In
    outlier mode training rows therefore score like new rows; in novelty mode the autoencoder knows them, so choose
    thresholds on other rows.

    References
    ----------
    - Ramaswamy et al. (2000), Efficient algorithms for mining outliers from large data sets: distance to the nearest.
    - Angiulli and Pizzuti (2002), Fast outlier detection in high dimensional spaces: mean over several.
    - Vincent et al. (2010), Stacked denoising autoencoders.
    - Pickands (1975), Statistical inference using extreme order statistics: peaks over threshold.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = OddRowDetector(random_state=0).fit(X)
    >>> detector.anomaly_score(np.array([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])).argmax()
    np.int64(1)
    """

    def __init__(
        self,
        *,
        mode: str = "outlier",
        n_reference_rows: int = 10_000,
        training: Training | None = None,
        encoder: TableEncoder | None = None,
        kinds: dict[str, str] | None = None,
        contamination: float = 0.01,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            training=training, encoder=encoder, kinds=kinds, contamination=contamination, random_state=random_state
        )
        self.mode = mode
        self.n_reference_rows = n_reference_rows

    def _check_parameters(self) -> None:
        check_choice("mode", self.mode, MODES)
        check_number("n_reference_rows", self.n_reference_rows, 0, whole=True)
        if self.n_reference_rows == 1:
            raise ParameterError(
                "n_reference_rows=1: a single row has no other to be compared with. Give 2 or more, or 0 to keep means."
            )
        if self.mode == "outlier" and self.training is not None and self.training.epochs:
            raise ParameterError(
                f"training.epochs={self.training.epochs}: outlier mode trains nothing. Leave it out, or say that the "
                "training rows are normal: mode='novelty' (--clean), or --label."
            )

    @property
    def _used_training(self) -> Training:
        used = super()._used_training
        return used if self.mode == "novelty" else used._copy(epochs=0)

    def _default_training(self) -> Training:
        return Training() if self.mode == "novelty" else Training(validation_fraction=0.0)

    def _default_encoder(self) -> TableEncoder:
        # Neither rejects a row for a single extreme value: one scales by quartiles, the other limits it.
        if self.mode == "outlier":
            return TableEncoder(soft_limit=3.0)
        return TableEncoder(numbers="robust", soft_limit=30.0)

    @property
    def _training_notes(self) -> list[str]:
        notes = [f"mode {self.mode}"]
        if self.mode == "outlier":
            notes.append(f"{UNTRUSTED_SHARE:.0%} of the training rows, the farthest from others, were not trusted")
        elif self.network_.tails[-1].is_silent:
            notes.append("too few validation rows to calibrate the autoencoder: the distance alone decides")
        if self.n_reference_rows_:
            return [*notes, f"the model holds {self.n_reference_rows_:,} training rows"]
        return [*notes, f"the model holds no training row, but {self.n_means_:,} means of {MIN_CLUSTER_SIZE} or more"]

    def _check_enough(self, n_rows: int) -> None:
        least = MIN_ROWS if self.n_reference_rows else MIN_ROWS_FOR_MEANS
        if n_rows < least:
            raise TableError(f"n_samples = {n_rows} to learn from, expected at least {least} to compare rows.")

    def _prepare(self, X: Any, y: Any, validation: Any) -> TrainingSet:
        rows = super()._prepare(X, y, validation)
        if self.mode == "novelty":
            return rows
        training = load_rows(rows.training)
        # By categories and flags, every row with a rare value would be far from others.
        trusted = inlier_mask(training[0][:, ~self._is_flag], UNTRUSTED_SHARE, np.random.default_rng(rows.seed))
        return replace(rows, kept=tuple(jnp.asarray(part[trusted]) for part in training))

    @property
    def _is_flag(self) -> Mask:
        """Which encoded numbers are 0 or 1: a value is missing, or has a level."""
        parts = [part for _, part in self.encoder_.number_sources_]
        return np.array([part == "missing" or part.startswith("=") for part in parts], bool)

    def _new_network(self, seed: int) -> DenoisingAutoencoder | None:
        """Return the network to train, which is none in outlier mode."""
        if self.mode == "outlier":
            return None
        return DenoisingAutoencoder(len(self._number_columns), self._n_levels, key=jax.random.key(seed))

    def _unit(self, numbers: Numbers) -> Numbers:
        """Return the difference of each number that counts as much as a different category; flags count alike."""
        outlier = self.mode == "outlier"
        unit = CATEGORY_DEVIATIONS * column_deviation(numbers) if outlier else column_range(numbers)
        return np.where(self._is_flag, np.float32(1), unit)

    def _in_training(self, network: DenoisingAutoencoder | None, rows: TrainingSet) -> DenoisingAutoencoder | None:
        """Scale the autoencoder's numbers between range and deviation, so that their variance is 1 on average."""
        if network is None or not self._number_columns:
            return network
        numbers = load_rows(rows.normal)[0]
        varies = np.ptp(numbers, axis=0) > 0
        scale = 1 / np.sqrt(column_deviation(numbers) * self._unit(numbers))
        scale /= np.sqrt(np.mean(np.square(numbers.std(axis=0) * scale)[varies])) if varies.any() else 1
        center = jnp.asarray(numbers.mean(axis=0, dtype=np.float64), jnp.float32)
        scaled: DenoisingAutoencoder = eqx.tree_at(
            lambda net: (net.center, net.scale), network, (center, jnp.asarray(scale))
        )
        return scaled

    def _finish(self, network: DenoisingAutoencoder | None, rows: TrainingSet) -> OddRow:
        """Choose the reference rows and calibrate the distances from them."""
        rng = np.random.default_rng(rows.seed)
        normal, validation = load_rows(rows.normal), self._calibration_rows(rows)
        most = max(MAX_CALIBRATION_ROWS, self.n_reference_rows)
        # If there is room, held-out rows become reference rows too, unless somebody gave them as validation rows.
        is_full = len(normal[0]) >= most or rows.split_from is None
        unit = self._unit(load_rows(rows.training)[0])
        candidates = subsample(normal if is_full else concat(normal, validation), most, rng)
        reference = self._choose_reference(candidates, unit, network, rng)
        coded = tuple(part[:MAX_CODED_ROWS] for part in reference)
        codes = None if network is None else jnp.asarray(score_in_blocks(DenoisingAutoencoder.codes, network, coded))
        uncalibrated = self._assemble(reference, unit, network, codes, [])
        is_enough = len(validation[0]) >= MIN_CALIBRATION_ROWS
        calibration = subsample(validation if is_enough else normal, MAX_CALIBRATION_ROWS, rng)
        of_rows, *of_codes = (Tail.of(part) for part in score_in_blocks(OddRow.parts, uncalibrated, calibration).T)
        tails = [of_rows, *(of_codes if is_enough else [Tail.silent() for _ in of_codes])]
        return self._assemble(reference, unit, network, codes, tails)

    def _calibration_rows(self, rows: TrainingSet) -> Arrays:
        """Return the validation rows, which the autoencoder does not know; none in outlier mode: some may be odd."""
        if rows.validation is None or self.mode == "outlier":
            return np.zeros((0, len(self._number_columns)), np.float32), np.zeros((0, len(self._n_levels)), np.int32)
        return tuple(map(np.asarray, rows.validation))

    def _choose_reference(
        self, rows: Arrays, unit: Numbers, autoencoder: DenoisingAutoencoder | None, rng: np.random.Generator
    ) -> Arrays:
        """Return the first rows, or means of all, and record how many."""
        if not self.n_reference_rows:
            means = centroids(rows, unit, rng)
            self.n_reference_rows_, self.n_means_ = 0, len(means[0])
            return means
        reference = tuple(part[: self._most_reference_rows(autoencoder)] for part in rows)
        self.n_reference_rows_, self.n_means_ = len(reference[0]), 0
        return reference

    def _most_reference_rows(self, autoencoder: DenoisingAutoencoder | None) -> int:
        most_values = MAX_REFERENCE_BYTES // BYTES_PER_VALUE
        width = len(self._number_columns) + len(self._n_levels)
        n_codes = 0 if autoencoder is None else autoencoder.n_codes
        n_rows = most_values // (width + n_codes)
        if n_rows > MAX_CODED_ROWS:
            n_rows = (most_values - MAX_CODED_ROWS * n_codes) // width
        return int(min(self.n_reference_rows, max(MIN_ROWS, n_rows)))

    def _assemble(
        self,
        reference: Sequence[Any],
        unit: Any,
        autoencoder: DenoisingAutoencoder | None,
        codes: Any,
        tails: Sequence[Tail],
    ) -> OddRow:
        # A mean stands for several rows.
        n_nearest = N_NEIGHBOURS[self.mode] if self.n_reference_rows else 1
        neighbours = Neighbours(*map(jnp.asarray, reference), scale=jnp.asarray(1 / unit), n_nearest=n_nearest)
        coded = None
        if autoencoder is not None:
            coded = Neighbours(*as_rows(codes), scale=autoencoder.code_scale(codes), n_nearest=n_nearest)
        return OddRow(neighbours, autoencoder, coded, tails, self._n_levels, uses_means=not self.n_reference_rows)

    _state = OddRowState

    @property
    def _own_state(self) -> dict[str, Any]:
        return {"n_reference_rows": self.n_reference_rows_, "n_means": self.n_means_}

    def _empty_network(self, state: OddRowState) -> OddRow:
        self.n_reference_rows_, self.n_means_ = state.n_reference_rows, state.n_means
        check_number("n_reference_rows", self.n_reference_rows_, 0, self.n_reference_rows, whole=True)
        check_number("n_means", self.n_means_, 0, 0 if self.n_reference_rows else N_CLUSTERS, whole=True)
        n_held = self.n_reference_rows_ + self.n_means_
        check_number("the number of reference rows or means", n_held, MIN_ROWS)
        autoencoder, n_numbers = self._new_network(0), len(self._number_columns)
        reference = jnp.zeros((n_held, n_numbers)), jnp.zeros((n_held, len(self._n_levels)), jnp.int32)
        codes = None if autoencoder is None else jnp.zeros((min(n_held, MAX_CODED_ROWS), autoencoder.n_codes))
        tails = [Tail.of(np.zeros(1))] * (1 if autoencoder is None else 3)
        return self._assemble(reference, jnp.ones(n_numbers), autoencoder, codes, tails)
