"""`DAGMMDetector`: odd is what a mixture over codes and reconstruction errors finds improbable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from oddrow.detectors.base import Detector
from oddrow.detectors.scoring import mean_in_blocks
from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import NotFiniteError, ParameterError, TrainingError, check_choice, check_number
from oddrow.nets.dagmm import DAGMM, FEATURES, Mixture
from oddrow.nets.parameters import check_activations, check_widths, named_activations
from oddrow.train.shards import row_count
from oddrow.train.training import Training
from oddrow.typing import Floats

# A component to which less of a training row than this belongs has died: its mean is no number any more.
FEWEST_ROWS = 1e-3


def default_widths(n_outputs: int) -> tuple[int, int, int]:
    """The hidden widths for a table of this many outputs: the paper's for its 120 columns.

    >>> default_widths(120), default_widths(6)
    ((60, 30, 10), (16, 12, 10))
    """
    wide = min(128, max(16, n_outputs // 2))
    return wide, max(12, wide // 2), 10


class DAGMMDetector(Detector):
    """Scores a row by its energy under a Gaussian mixture fitted jointly with an autoencoder (Zong et al., 2018).

    The mixture lives in a few dimensions: the latent code, the relative Euclidean distance and the cosine similarity
    of a row and its reconstruction. A score is in nats, a negative log density, and may be negative. Choose it where
    normal rows form several groups; `AutoencoderDetector` is steadier, and often better. On two cores, 200,000 rows of
    120 columns take half a minute for 40 epochs.

    Parameters
    ----------
    hidden : sequence of int or None
        Widths of the hidden layers down to the code; the way back mirrors them. None is (h, h/2, 10), where h is half
        the number of outputs, 16 at least and 128 at most.
    latent : int
        Width of the code.
    n_components : int
        Gaussians in the mixture.
    estimation : sequence of int
        Widths of the hidden layers of the estimation network, tanh each.
    activations : str or sequence of str
        Activation of every hidden layer down to the code, or of each: gelu, relu, tanh, elu, silu, sigmoid, linear.
    dropout : float
        Share of the estimation network's hidden units left out in a training step.
    features : sequence of {"distance", "cosine"}
        What the mixture sees besides the code.
    lambda_energy, lambda_covariance : float
        Weights of energy and covariance penalty beside the reconstruction error (eq. 7).
    covariance_floor : float
        Added to the variances of all components. It is what keeps the mixture from closing in on single rows.
    training, encoder, kinds, contamination, random_state
        As for `AutoencoderDetector`, but numbers are scaled to [0, 1] where `encoder` is None: distance and cosine are
        taken from the origin, which must not lie in the middle of the rows.

    Attributes
    ----------
    network_ : DAGMM, whose `mixture` has phi (components,), mean (components, width), covariance
        (components, width, width) over all training rows.
    loss_curve_ : list of dict, of each epoch: loss, reconstruction, energy, covariance_penalty and validation_loss.
    schema_, encoder_, offset_, n_features_in_, n_known_anomalies_

    Raises `TrainingError` where a component dies or the mixture cannot be computed.

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
        """Where each row lies for the mixture, (n, latent + features): code, then distance and cosine as chosen."""
        return self._by_slices(X, DAGMM.latent).astype(np.float64)

    @property
    def code_names(self) -> list[str]:
        """What the numbers of `code` are, (latent + features)."""
        return [*(f"code {place + 1}" for place in range(self.latent)), *dict.fromkeys(self.features)]

    def _check_parameters(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
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
        """Numbers in [0, 1]."""
        return TableEncoder(numbers="minmax")

    def _new_network(self, seed: int) -> DAGMM:
        levels = [n_levels for _, n_levels in self.encoder_.category_sources_]
        n_numbers = len(self.encoder_.number_sources_)
        hidden = default_widths(n_numbers + len(levels)) if self.hidden is None else self.hidden
        return DAGMM(
            n_numbers,
            levels,
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
                f"n_components={self.n_components} are more than {n_rows:,} training rows can carry: a component over "
                f"{width} dimensions needs {width + 1} rows, all of them {needed:,}. Lower n_components or latent."
            )

    def _diverged(self, error: NotFiniteError) -> NotFiniteError:
        return NotFiniteError(
            f"{error} A component may have become singular: lower n_components (now {self.n_components}) or raise "
            f"covariance_floor (now {self.covariance_floor:g})."
        )

    def _finish(self, network: DAGMM, ready: TrainingSet) -> DAGMM:
        """The network with the mixture over all its training rows, summed in float64 chunk by chunk (eq. 5)."""
        fitting = ready.normal_in_numpy
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
            raise self._diverged(
                NotFiniteError("the latent code is not finite: the weights have grown beyond measure.")
            )
        weakest = int(rows.argmin())
        if rows[weakest] < FEWEST_ROWS:
            raise TrainingError(
                f"component {weakest + 1} of {self.n_components} has died: {rows[weakest]:.2g} of {rows.sum():,.0f} "
                f"training rows belong to it. Lower n_components, or train less (training.epochs)."
            )

    def _check_regular(self, covariance: Floats, rows: Floats) -> None:
        """float32 factors exist only up to some ratio of the largest to the smallest variance."""
        ratios = np.linalg.cond(covariance) if np.isfinite(covariance).all() else np.full(len(covariance), np.inf)
        worst = int(ratios.argmax())
        if ratios[worst] > 1 / np.finfo(np.float32).eps:
            raise TrainingError(
                f"component {worst + 1} of {self.n_components} has a singular covariance ({rows[worst]:,.0f} rows). "
                f"Lower n_components or raise covariance_floor (now {self.covariance_floor:g})."
            )
