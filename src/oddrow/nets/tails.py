"""The surprise of a score: how rare a score as high is among normal rows, in nats."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

# Above the quantile BODY the tail is exponential; a lower quantile is used if fewer than MIN_BEYOND rows exceed it.
BODY, MIN_BEYOND = 0.9, 10

# Number of quantiles that describe the scores below the tail.
N_KNOTS = 64

# Lower limit of the mean excess, as a share of the score at which the tail starts, and, tenfold, of a gap between two
# quantiles, as a share of the mean excess. They keep surprises finite and insensitive to rounding.
MIN_EXCESS, MIN_SCALE = 1e-3, 0.1

# Higher than any score.
SILENCE = 1e30


class Tail(eqx.Module):
    """The distribution of normal scores, which turns a score into its surprise.

    Parameters
    ----------
    knots : Array of float32, shape (knots,)
        Quantiles of the scores of normal rows, up to the one at which the tail starts.
    step : Array of float32, shape ()
        Share of the rows between two knots.
    excess : Array of float32, shape ()
        Mean excess of the scores in the tail.

    Notes
    -----
    The surprise of a score is ``-log(share of normal rows that score as high)``. Up to the 90 % quantile the share is
    interpolated between knots; above, it falls exponentially with the mean excess of at least ten rows (the
    peaks-over-threshold model with shape 0). Surprises of several scores may be added.

    References
    ----------
    Pickands (1975), Statistical Inference Using Extreme Order Statistics.

    Examples
    --------
    >>> tail = Tail.of(np.arange(1000.0))
    >>> [round(float(surprise), 1) for surprise in tail(jnp.array([499.5, 899.1, 999.5]))]
    [0.7, 2.3, 4.3]
    """

    knots: Float[Array, " knots"]
    step: Float[Array, ""]
    excess: Float[Array, ""]

    def __init__(self, knots: Float[Array, " knots"], step: Float[Array, ""], excess: Float[Array, ""]) -> None:
        self.knots, self.step, self.excess = knots, step, excess

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating]) -> Tail:
        """Return the tail of the finite scores (n,) of normal rows."""
        values = np.asarray(scores, np.float64)
        body = max(0.0, min(BODY, 1 - MIN_BEYOND / len(values)))
        knots = np.quantile(values, np.linspace(0, body, N_KNOTS))
        beyond = values[values > knots[-1]] - knots[-1]
        least = MIN_EXCESS * (abs(knots[-1]) + MIN_SCALE)
        excess = max(float(beyond.mean()) if len(beyond) else 0.0, least)
        return cls(*(jnp.asarray(value, jnp.float32) for value in (knots, body / (N_KNOTS - 1), excess)))

    @classmethod
    def silent(cls) -> Tail:
        """Return a tail for which every surprise is 0."""
        return cls(jnp.full(N_KNOTS, SILENCE), jnp.zeros(()), jnp.ones(()))

    @property
    def is_silent(self) -> bool:
        """Whether every surprise is 0."""
        return bool(self.knots[0] >= SILENCE)

    @property
    def gaps(self) -> Float[Array, " gaps"]:
        """Distances between knots, at least a small one where many rows have the same score."""
        return jnp.maximum(jnp.diff(self.knots), 10 * MIN_EXCESS * self.excess)

    def __call__(self, scores: Float[Array, " rows"]) -> Float[Array, " rows"]:
        """Return the surprise of each score, in nats, at least 0."""
        # Every gap below a score stands for a share of rows that score less. If many rows have the same score, several
        # knots lie at it; the gaps between them do not count, for those rows score as high.
        passed = jnp.clip((scores[:, None] - self.knots[:-1]) / self.gaps, 0, 1)
        beyond = jnp.maximum(scores - self.knots[-1], 0) / self.excess
        return beyond - jnp.log(1 - self.step * passed.sum(axis=1))
