"""Rows of a lower score: some of their numbers moved down the gradient of any network's score."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from oddrow.nets.layers import Rows, apart


class Occlusion(eqx.Module):
    """A network, and which of its numbers and categories each column has.

    Occlusion (Zeiler and Fergus, 2014), by what the network would rebuild rather than by a constant.
    """

    network: Any
    numbers: Bool[Array, "columns numbers"]
    categories: Bool[Array, "columns categories"]

    def contributions(self, rows: Rows) -> Float[Array, "rows columns"]:
        """By how much the score of each row falls where one of its columns is replaced by what is rebuilt of it."""
        expected = self.expected(rows)

        def without(column: tuple[Bool[Array, " numbers"], Bool[Array, " categories"]]) -> Float[Array, " rows"]:
            replaced = (jnp.where(of, there, here) for of, there, here in zip(column, expected, rows, strict=True))
            score: Float[Array, " rows"] = self.network.score(tuple(replaced))
            return score

        scores: Float[Array, " rows"] = self.network.score(rows)
        added: Float[Array, "rows columns"] = (scores - jax.lax.map(without, (self.numbers, self.categories))).T
        return added

    def expected(self, rows: Rows) -> Rows:
        """Rows as they are rebuilt: numbers, and of each category the likeliest level."""
        numbers, logits = apart(self.network.outputs(rows), self.network.n_numbers, self.network.n_levels)
        likeliest = [scores.argmax(axis=1) for scores in logits]
        return numbers, jnp.stack(likeliest, axis=1).astype(jnp.int32) if likeliest else rows[1]


Numbers = Float[Array, "rows numbers"]

Scores = Float[Array, " rows"]

N_STEPS = 30

# The first step goes an eighth of the way from a number's least to its largest value.
FIRST_STEP = 0.125

TINY = 1e-12


class ScoreDescent(eqx.Module):
    """A network, and between which values its numbers may move.

    Projected gradient descent with a step length of each row's own, that grows where a step lowered the score and
    shrinks where it did not (Riedmiller and Braun, 1993, RPROP's rule, here for the length of the whole step). Lengths
    are shares of each number's range, so that it matters little how numbers are encoded.
    """

    network: Any
    low: Float[Array, " numbers"]
    high: Float[Array, " numbers"]

    def lowest(
        self, rows: tuple[Numbers, Int[Array, "rows categories"], Bool[Array, "rows numbers"]]
    ) -> Float[Array, "rows numbers"]:
        """The numbers where each row scores lowest of all places on its way; the third part says which may move."""
        start, categories, movable = rows
        span = self.high - self.low

        def step(state: tuple[Numbers, Scores, Numbers, Scores], _: None) -> tuple[Any, None]:
            numbers, score, slope, length = state
            way = _unit(self._free(slope, numbers) * span * movable) * span
            tried = jnp.clip(numbers - length[:, None] * way, self.low, self.high)
            tried = jnp.where(movable, tried, numbers)
            tried_score, tried_slope = self._score_and_slope(tried, categories)
            lower = tried_score < score
            numbers, slope = (
                jnp.where(lower[:, None], new, old) for new, old in ((tried, numbers), (tried_slope, slope))
            )
            length = jnp.where(lower, 1.5 * length, 0.4 * length)
            return (numbers, jnp.where(lower, tried_score, score), slope, length), None

        score, slope = self._score_and_slope(start, categories)
        first = (start, score, slope, jnp.full_like(score, FIRST_STEP))
        (numbers, *_), _ = jax.lax.scan(step, first, length=N_STEPS)
        return numbers

    def _score_and_slope(self, numbers: Numbers, categories: Int[Array, "rows categories"]) -> tuple[Scores, Numbers]:
        def total(moved: Numbers) -> tuple[Float[Array, ""], Scores]:
            scores: Scores = self.network.score((moved, categories))
            # Rows know nothing of each other: the slope of the sum is every row's own.
            return scores.sum(), scores

        slope, scores = jax.grad(total, has_aux=True)(numbers)
        return scores, slope

    def _free(self, slope: Numbers, numbers: Numbers) -> Numbers:
        """The slope without what leads out of the range."""
        leads_out = ((numbers <= self.low) & (slope > 0)) | ((numbers >= self.high) & (slope < 0))
        return jnp.where(leads_out, 0.0, slope)


def _unit(vectors: Numbers) -> Numbers:
    lengths: Float[Array, "rows 1"] = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / (lengths + TINY)
