"""`DAGMMDetector`: a row is odd if its code and reconstruction error are improbable under a Gaussian mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from oddrow.detectors.base import Detector
from oddrow.detectors.block_scoring import mean_in_blocks
from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import NotFiniteError, ParameterError, TrainingError, check_choice, check_number
from oddrow.nets.dagmm import DAGMM, FEATURES, Mixture
from oddrow.nets.layers import check_activations, check_widths, named_activations
from oddrow.train.shards import row_count
from oddrow.train.training import Training
from oddrow.typing import Floats

# A component to which less than this part of a training row belongs has died: its mean is not a number.
MIN_COMPONENT_ROWS = 1e-3


def default_widths(n_outputs: int) -> tuple[int, int, int]:
    """Return the hidden widths for a table of this many outputs: the paper's for its 120 columns.

    >>> default_widths(120), default_widths(6)
    ((60, 30, 10), (16, 12, 10))
    """
    wide = min(128, max(16, n_outputs // 2))
    return wide, max(12, wide // 2), 10


class DAGMMDetector(Detector):
    """Score rows by their energy under a Gaussian mixture that is trained together with an autoencoder.

    Choose it if normal rows form several groups; `AutoencoderDetector` is steadier and often better. On two cores,
    200,000 rows of 120 columns take half a minute for 40 epochs.

    Parameters
    ----------
    hidden : sequence of int, or None
        Widths of the hidden layers down to the code; the way back mirrors them. None is (h, h/2, 10), where h is half
        the number of outputs, at least 16 and at most 128.
    latent : int
        Width of the code.
    n_components : int
        Gaussians in the mixture.
    estimation : sequence of int
        Widths of the hidden layers of the estimation network, with tanh as activation.
    activations : str or sequence of str
        Activation of every hidden layer down to the code, or of each: gelu, relu, tanh, elu, silu, sigmoid,
        leaky-relu, linear.
    dropout : float
        Share of the estimation network's hidden units set to 0 in a training step, 0 to 0.9.
    features : sequence of {"distance", "cosine"}
        What the mixture sees besides the code: the relative Euclidean distance and the cosine similarity of a row and
        its reconstruction.
    lambda_energy, lambda_covariance : float
        Weights of the energy and of the covariance penalty in the loss (eq. 7).
    covariance_floor : float
        Added to all variances. It keeps components from collapsing onto single rows.
    training : Training or None
        How to train; None is `Training()`.
    encoder : TableEncoder or None
        How to encode columns as numbers. None is `TableEncoder(numbers="minmax")`: distance and cosine are measured
        from the origin, which must not lie amid the rows.
    kinds : dict of str to str, or None
        Kinds of columns that must not be inferred, by column name. For frames and tables.
    contamination : float
        Share of the training rows that `predict` calls outliers, above 0 and at most 0.5.
    random_state : int, Generator, RandomState or None
        Source of all randomness. The same seed gives the same scores.

    Attributes
    ----------
    network_ : DAGMM
        The trained network. Its `mixture` over all fitting rows has `phi` (components,), `mean` (components, width) and
        `covariance` (components, width, width).
    code_names : list of str
        Names of the numbers that `code` returns.
    loss_curve_ : list of dict
        `epoch`, `loss`, `reconstruction`, `energy`, `covariance_penalty` and `validation_loss` of each logged epoch.
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
    AutoencoderDetector : Scores rows by their reconstruction error.

    Notes
    -----
    The score is the energy (eq. 6): minus the log density of the mixture, in nats. It may be negative. `fit` raises
    `TrainingError` if a component dies or becomes singular.

    References
    ----------
    - Zong et al. (2018), Deep autoencoding Gaussian mixture model for unsupervised anomaly detection.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = DAGMMDetector(n_components=2, training=Training(epochs=2), random_state=0).fit(X)
    >>> detector.code(X).shape
    (200, 3)
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] | None = None,
        latent: int = 1,
        n_components: int = 4,
        estimation: Sequence[int] = (10,),
        activations: str | Sequence[str] = "tanh",
        dropout: float = 0.5,
        features: Sequence[str] = FEATURES,
        lambda_energy: float = 0.1,
        lambda_covariance: float = 0.005,
        covariance_floor: float = 1e-2,
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
        self.latent = latent
        self.n_components = n_components
        self.estimation = estimation
        self.activations = activations
        self.dropout = dropout
        self.features = features
        self.lambda_energy = lambda_energy
        self.lambda_covariance = lambda_covariance
        self.covariance_floor = covariance_floor

    def code(self, X: Any) -> Floats:
        """Return where each row lies for the mixture.

        Parameters
        ----------
        X : frame, table or array-like, shape (n, d)
            Rows with the columns of the training rows.

        Returns
        -------
        ndarray of float64, shape (n, latent + features)
            The code, then distance and cosine as `features` says.
        """
        return self._by_slices(X, DAGMM.latent).astype(np.float64)

    @property
    def code_names(self) -> list[str]:
        """Names of the numbers that `code` returns."""
        return [*(f"code {place + 1}" for place in range(self.latent)), *dict.fromkeys(self.features)]

    def _check_parameters(self) -> None:
        if self.hidden is not None:
            check_widths("hidden", self.hidden)
        check_widths("estimation", self.estimation)
        check_activations(self.activations, len(default_widths(0) if self.hidden is None else self.hidden))
        check_number("latent", self.latent, 1, whole=True)
        check_number("n_components", self.n_components, 1, whole=True)
        check_number("dropout", self.dropout, 0, 0.9)
        if isinstance(self.features, str) or not isinstance(self.features, Sequence):
            raise ParameterError(f"features={self.features!r} is not a list. Expected some of {', '.join(FEATURES)}.")
        for feature in self.features:
            check_choice("features", feature, FEATURES)
        check_number("lambda_energy", self.lambda_energy, 0, above=True)
        check_number("lambda_covariance", self.lambda_covariance, 0)
        check_number("covariance_floor", self.covariance_floor, 0, above=True)

    def _default_encoder(self) -> TableEncoder:
        return TableEncoder(numbers="minmax")

    def _new_network(self, seed: int) -> DAGMM:
        n_outputs = len(self._number_columns) + len(self._n_levels)
        hidden = default_widths(n_outputs) if self.hidden is None else self.hidden
        return DAGMM(
            len(self._number_columns),
            self._n_levels,
            [int(width) for width in hidden],
            int(self.latent),
            [int(width) for width in self.estimation],
            int(self.n_components),
            named_activations(self.activations, len(hidden)),
            features=list(dict.fromkeys(self.features)),
            dropout=float(self.dropout),
            lambda_energy=float(self.lambda_energy),
            lambda_covariance=float(self.lambda_covariance),
            covariance_floor=float(self.covariance_floor),
            key=jax.random.key(seed),
        )

    def _check_enough(self, n_rows: int) -> None:
        width = self.latent + len(set(self.features))
        if n_rows < (needed := self.n_components * (width + 1)):
            raise ParameterError(
                f"n_components={self.n_components} is too many for {n_rows:,} training rows: a component of {width} "
                f"dimensions needs {width + 1} rows, all of them {needed:,}. Lower n_components or latent."
            )

    def _diverged(self, error: NotFiniteError) -> NotFiniteError:
        return NotFiniteError(
            f"{error} A component may have become singular: lower n_components (now {self.n_components}) or raise "
            f"covariance_floor (now {self.covariance_floor:g})."
        )

    def _finish(self, network: DAGMM, rows: TrainingSet) -> DAGMM:
        """Set the mixture over all fitting rows, summed in float64 block by block (eq. 5)."""
        fitting = rows.normal_in_numpy
        n_rows, (n_components, width) = row_count(fitting), network.mixture.mean.shape
        moments = mean_in_blocks(DAGMM.moments, network, fitting)
        shares, sums = moments[:n_components], moments[n_components:].reshape(n_components, width)
        self._check_alive(shares * n_rows)
        mean = jnp.asarray(sums / shares[:, None], jnp.float32)
        centred = eqx.tree_at(lambda net: net.mixture.mean, network, mean)
        scatter = mean_in_blocks(DAGMM.scatter, centred, fitting).reshape(n_components, width, width)
        covariance = scatter / shares[:, None, None] + self.covariance_floor * np.eye(width)
        self._check_regular(covariance, shares * n_rows)
        phi = jnp.asarray(shares / shares.sum(), jnp.float32)
        mixture = Mixture(phi, mean, jnp.asarray(covariance, jnp.float32))
        finished: DAGMM = eqx.tree_at(lambda net: net.mixture, network, mixture)
        return finished

    def _check_alive(self, rows: Floats) -> None:
        if not np.isfinite(rows).all():
            raise self._diverged(NotFiniteError("the latent code is not finite, because the weights have diverged."))
        weakest = int(rows.argmin())
        if rows[weakest] < MIN_COMPONENT_ROWS:
            raise TrainingError(
                f"component {weakest + 1} of {self.n_components} has died: {rows[weakest]:.2g} of {rows.sum():,.0f} "
                f"training rows belong to it. Lower n_components, or train less (training.epochs)."
            )

    def _check_regular(self, covariance: Floats, rows: Floats) -> None:
        """Raise `TrainingError` if a covariance cannot be factored in float32: its variances differ too much."""
        ratios = np.linalg.cond(covariance) if np.isfinite(covariance).all() else np.full(len(covariance), np.inf)
        worst = int(ratios.argmax())
        if ratios[worst] > 1 / np.finfo(np.float32).eps:
            raise TrainingError(
                f"component {worst + 1} of {self.n_components} has a singular covariance ({rows[worst]:,.0f} rows). "
                f"Lower n_components or raise covariance_floor (now {self.covariance_floor:g})."
            )
