"""`AutoencoderDetector`: odd is what cannot be rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.detectors.scoring import mean_in_blocks, score_in_blocks
from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import check_choice, check_number
from oddrow.nets.autoencoder import NUMBER_ERRORS, Autoencoder, BinaryAutoencoder
from oddrow.nets.layers import ACTIVATIONS
from oddrow.nets.parameters import (
    check_activations,
    check_activity,
    check_dropout,
    check_widths,
    dropout_shares,
    named_activations,
)
from oddrow.train.training import Training
from oddrow.typing import Mask

SCORINGS = ("standardized", "mse")

USUAL_LAYERS = 3

# No output counts as better known than this, in squared encoded units or nats: a column that is rebuilt almost exactly
# would else decide every score by its last digits.
SPREAD_FLOOR = 0.02


def default_widths(n_outputs: int) -> tuple[int, int, int]:
    """The hidden widths for a table of this many outputs.

    >>> default_widths(29), default_widths(100)
    ((64, 16, 64), (128, 32, 128))
    """
    wide = min(128, max(64, 2 * n_outputs))
    return wide, wide // 4, wide


class AutoencoderDetector(Detector):
    """Scores a row by how badly a denoising autoencoder rebuilds it.

    Choose it for numbers, categories and missing values mixed, with mostly normal training rows. On two cores,
    training takes some 15 seconds for 100,000 rows of 30 columns, scoring a million of them about a second.

    Parameters
    ----------
    hidden : sequence of int or None
        Widths of the hidden layers. None is (h, h/4, h), where h is twice the number of outputs, 64 at least and 128
        at most: noise more than a narrow middle keeps the network from learning to copy.
    activations : str or sequence of str
        Activation of every hidden layer, or of each: gelu, relu, tanh, elu, silu, sigmoid, leaky-relu
        (slope 0.2 below 0), linear.
    output : str
        Activation of the rebuilt numbers, any of these: sigmoid where all are encoded to [0, 1]. What is rebuilt of
        categories stays linear.
    error : {"squared", "squared-log"}
        Error of numbers, in training and in scores; the second is (log(1 + x) - log(1 + rebuilt))^2, where whatever is
        below 1e-7 counts as 1e-7. It is for numbers encoded to [0, 1], `TableEncoder(numbers="minmax")`; one below the
        range of the training rows is no odder to it than the least of them.
    noise : float
        Each row is trained with noise of its own strength, uniform between 0 and this: the standard deviation added
        to its encoded numbers; its categories are made missing with half that probability.
    dropout : float or sequence of float
        Share of the outputs of every hidden layer, or of each, set to 0 in a training step, 0 to 0.9 in steps of 1/256;
        the others are scaled up to make up for it.
    activity_l1, activity_l2 : float
        Weight in the loss, of training and of validation rows, of the first hidden layer's absolute (squared) outputs,
        summed over the layer and averaged over the rows. Scores do not count them.
    scoring : {"standardized", "mse"}
        Each column's error in units of its own mean error on training rows, averaged over the columns; or the plain
        mean of the errors (`error` for numbers, cross-entropy in nats for categories).
    known_weight : float
        How much each known anomaly (y is 1) counts in training, where it must not be rebuilt; a normal row counts 1.
        With 0 known anomalies are left out. Choose 10 where anomalies to come are like the known ones.
    trim : float
        Share of the training rows to leave out: those rebuilt worst after an eighth of the epochs. Choose 0.05 where
        anomalies are among the training rows and nobody knows which.
    training : Training or None
        How to train; None is `Training()`.
    encoder : TableEncoder or None
        How to encode; None is `TableEncoder()`.
    kinds : dict or None
        Kinds of columns that are not to be inferred, by name; for frames.
    contamination : float
        Share of the training rows that `predict` calls outliers. Thresholds for alerts are set elsewhere.
    random_state : int, Generator, RandomState or None
        The same seed gives the same scores.

    Attributes
    ----------
    network_ : Autoencoder
    spread_ : (outputs,) float64, the mean error of every output on the rows the network was fitted to, not below 0.02;
        1 for scoring="mse".
    loss_curve_ : list of dict, loss and validation_loss of each epoch.
    schema_, encoder_, offset_, n_features_in_, n_known_anomalies_

    Source: Vincent et al. (2010), stacked denoising autoencoders; Hawkins et al. (2002), replicator networks, eq. 4;
    for `known_weight` Yamanaka et al. (2019), autoencoding binary classifiers; for `trim` Shen and Sanghavi (2019),
    iterative trimmed loss minimization, algorithm 1, of which one round is done; for `dropout` Srivastava et al.
    (2014), dropout. The penalties and "squared-log" are Keras' activity_regularizer and mean_squared_logarithmic_error.

    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = AutoencoderDetector(hidden=(8,), training=Training(epochs=2), random_state=0).fit(X)
    >>> detector.anomaly_score(np.array([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])).argmax()
    np.int64(1)
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] | None = None,
        activations: str | Sequence[str] = "gelu",
        output: str = "linear",
        error: str = "squared",
        noise: float = 0.5,
        dropout: float | Sequence[float] = 0.0,
        activity_l1: float = 0.0,
        activity_l2: float = 0.0,
        scoring: str = "standardized",
        known_weight: float = 0.0,
        trim: float = 0.0,
        training: Training | None = None,
        encoder: TableEncoder | None = None,
        kinds: dict[str, str] | None = None,
        contamination: float = 0.01,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            training=training, encoder=encoder, kinds=kinds, contamination=contamination, random_state=random_state
        )
        self.hidden = hidden
        self.activations = activations
        self.output = output
        self.error = error
        self.noise = noise
        self.dropout = dropout
        self.activity_l1 = activity_l1
        self.activity_l2 = activity_l2
        self.scoring = scoring
        self.known_weight = known_weight
        self.trim = trim

    def column_scores(self, X: Any) -> pl.DataFrame:
        """How badly each column is rebuilt: a frame (n, columns used) under their own names.

        The mean over the columns of a row is its anomaly score.
        """
        parts = self._by_slices(X, Autoencoder.parts).astype(np.float64)
        sources = self._sources()
        names = list(dict.fromkeys(sources))
        columns = {name: parts[:, [source == name for source in sources]].sum(axis=1) * len(names) for name in names}
        return pl.DataFrame(columns)

    @property
    def _scores_by_spread(self) -> bool:
        """Whether a column score is the column's squared error, or that of logarithms, in units of its own on training
        rows.
        """
        # Squared logarithms lie below the floor of the spread, which is none of theirs.
        return self.scoring == "standardized" and self.error == "squared"

    @property
    def spread_(self) -> npt.NDArray[np.float64]:
        """The mean error of every output on the rows the network was fitted to, (outputs,), not below a floor."""
        return np.asarray(self.network_.spread, dtype=np.float64)

    def _new_network(self, seed: int) -> Autoencoder:
        levels = [n_levels for _, n_levels in self.encoder_.category_sources_]
        n_numbers = len(self.encoder_.number_sources_)
        hidden = (
            default_widths(n_numbers + len(levels)) if self.hidden is None else [int(width) for width in self.hidden]
        )
        return Autoencoder(
            n_numbers,
            levels,
            hidden,
            named_activations(self.activations, len(hidden)),
            float(self.noise),
            dropout=dropout_shares(self.dropout, len(hidden)),
            activity_l1=float(self.activity_l1),
            activity_l2=float(self.activity_l2),
            error=self.error,
            output=self.output,
            key=jax.random.key(seed),
        )

    def _check_parameters(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        if self.hidden is not None:
            check_widths("hidden", self.hidden)
        n_layers = USUAL_LAYERS if self.hidden is None else len(self.hidden)
        check_activations(self.activations, n_layers)
        check_choice("output", self.output, ACTIVATIONS)
        check_choice("error", self.error, NUMBER_ERRORS)
        check_dropout(self.dropout, n_layers)
        check_activity("activity_l1", self.activity_l1, n_layers)
        check_activity("activity_l2", self.activity_l2, n_layers)
        check_number("noise", self.noise, 0, 2)
        check_choice("scoring", self.scoring, SCORINGS)
        check_number("known_weight", self.known_weight, 0)
        check_number("trim", self.trim, 0, 0.5)

    @property
    def _learns_from_known(self) -> bool:
        """Whether known anomalies are learned from, rather than left out."""
        return self.known_weight > 0

    @property
    def _trim_share(self) -> float:
        """The share of the training rows that a short trial of training leaves out first."""
        return float(self.trim)

    @property
    def _training_notes(self) -> list[str]:
        """What became of the training rows, in words, besides that they were learned from."""
        return (
            [f"{self._trim_share:.1%} of the training rows, the oddest after a trial, were left out"]
            if self._trim_share
            else []
        )

    def _rows_to_keep(self, network: Autoencoder, fitting: Any) -> Mask:
        scores = score_in_blocks(Autoencoder.score, self._weighed(network, fitting), fitting)
        return scores <= np.quantile(scores, 1 - self.trim)

    def _in_training(self, network: Autoencoder, ready: TrainingSet) -> Autoencoder | BinaryAutoencoder:
        return BinaryAutoencoder(network, float(self.known_weight)) if self._learns_from_known else network

    def _after_training(self, network: Autoencoder | BinaryAutoencoder) -> Autoencoder:
        return network.network if isinstance(network, BinaryAutoencoder) else network

    def _finish(self, network: Autoencoder, ready: TrainingSet) -> Autoencoder:
        return self._weighed(network, ready.normal_in_numpy)

    def _weighed(self, network: Autoencoder, fitting: Any) -> Autoencoder:
        """The trained network with its outputs weighed: columns count alike, and within one its outputs."""
        sources = self._sources()
        if self.scoring == "mse" or not sources:
            return network
        n_columns = len(set(sources))
        share = jnp.asarray([1 / (n_columns * sources.count(source)) for source in sources])
        plain = eqx.tree_at(lambda net: net.share, network, jnp.ones(len(sources)))
        errors = mean_in_blocks(Autoencoder.parts, plain, fitting)
        spread = jnp.asarray(np.maximum(errors, SPREAD_FLOOR), jnp.float32)
        weighed: Autoencoder = eqx.tree_at(lambda net: (net.share, net.spread), network, (share, spread))
        return weighed

    def _sources(self) -> list[str]:
        """The source column of every output."""
        return [source for source, _ in self.encoder_.number_sources_ + self.encoder_.category_sources_]
