"""Scores of any kind as one: how rare it is among normal rows to be as odd."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

# Beyond the score that this share of the rows stays below, the tail is taken for an exponential; a lower one where
# fewer rows than these would be left to say how long the tail is.
BODY, LEAST_BEYOND = 0.9, 10

# So many scores say where the shares up to there lie.
N_KNOTS = 64

# A tail is no thinner than this part of its beginning, nor a gap between two knots than ten times this part of the
# tail, so that no score becomes infinite, and the last digits of none decide.
LEAST_EXCESS, LEAST_SCALE = 1e-3, 0.1

# No score is so high.
SILENCE = 1e30


class Tail(eqx.Module):
    """The surprise of a score: minus the logarithm of the share of normal rows that score as high.

    Among the lower 90 % of their scores the share is interpolated, `step` from one knot to the next; beyond, it falls
    exponentially by the mean excess, the peaks-over-threshold model of Pickands (1975) with shape 0, which at least ten
    rows say. Surprises of several scores may be added.

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
        """The tail of the scores (n,) of normal rows, finite all of them."""
        values = np.asarray(scores, np.float64)
        body = max(0.0, min(BODY, 1 - LEAST_BEYOND / len(values)))
        knots = np.quantile(values, np.linspace(0, body, N_KNOTS))
        beyond = values[values > knots[-1]] - knots[-1]
        least = LEAST_EXCESS * (abs(knots[-1]) + LEAST_SCALE)
        excess = max(float(beyond.mean()) if len(beyond) else 0.0, least)
        return cls(*(jnp.asarray(value, jnp.float32) for value in (knots, body / (N_KNOTS - 1), excess)))

    @classmethod
    def silent(cls) -> Tail:
        """The tail to which no score is a surprise."""
        return cls(jnp.full(N_KNOTS, SILENCE), jnp.zeros(()), jnp.ones(()))

    @property
    def is_silent(self) -> bool:
        """Whether no score is a surprise."""
        return bool(self.knots[0] >= SILENCE)

    @property
    def gaps(self) -> Float[Array, " gaps"]:
        """From each knot to the next; where many rows score the same there is hardly any."""
        return jnp.maximum(jnp.diff(self.knots), 10 * LEAST_EXCESS * self.excess)

    def __call__(self, scores: Float[Array, " rows"]) -> Float[Array, " rows"]:
        """The surprise of each score, in nats, 0 at least."""
        # Every gap that a score has passed is a share of rows that score less. None counts at a knot that many share:
        # all of these score as high.
        passed = jnp.clip((scores[:, None] - self.knots[:-1]) / self.gaps, 0, 1)
        beyond = jnp.maximum(scores - self.knots[-1], 0) / self.excess
        return beyond - jnp.log(1 - self.step * passed.sum(axis=1))
