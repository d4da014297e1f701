"""Why a row scores high, and where it would score lower: occlusion of columns and descent of the score."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from oddrow.nets.layers import EncodedRows, split_outputs

# --- Occlusion: what each column adds to the score ---


class Occlusion(eqx.Module):
    """Attribute a score to columns by replacing one column after the other with its reconstruction.

    Parameters
    ----------
    network : eqx.Module
        Network with `score`, `outputs`, `n_numbers` and `n_levels`.
    numbers : Array of bool, shape (columns, numbers)
        The numbers that encode each column.
    categories : Array of bool, shape (columns, categories)
        The categories that encode each column.

    Notes
    -----
    NOTE[DIFF] Zeiler and Fergus replace a part of the input with a constant; here the reconstruction takes its place.

    References
    ----------
    Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, section 4.2 (occlusion).
    """

    network: Any
    numbers: Bool[Array, "columns numbers"]
    categories: Bool[Array, "columns categories"]

    def contributions(self, rows: EncodedRows) -> Float[Array, "rows columns"]:
        """Return by how much each row's score falls if a column is replaced with its reconstruction."""
        expected = self.expected(rows)

        def score_without(column: tuple[Bool[Array, " numbers"], Bool[Array, " categories"]]) -> Float[Array, " rows"]:
            replaced = (jnp.where(of, there, here) for of, there, here in zip(column, expected, rows, strict=True))
            score: Float[Array, " rows"] = self.network.score(tuple(replaced))
            return score

        scores: Float[Array, " rows"] = self.network.score(rows)
        falls: Float[Array, "rows columns"] = (scores - jax.lax.map(score_without, (self.numbers, self.categories))).T
        return falls

    def expected(self, rows: EncodedRows) -> EncodedRows:
        """Return the reconstruction of rows: their numbers, and the most likely level of each category."""
        numbers, logits = split_outputs(self.network.outputs(rows), self.network.n_numbers, self.network.n_levels)
        likeliest = [scores.argmax(axis=1) for scores in logits]
        return numbers, jnp.stack(likeliest, axis=1).astype(jnp.int32) if likeliest else rows[1]


# --- Score descent: nearby rows with a lower score ---

Numbers = Float[Array, "rows numbers"]

Scores = Float[Array, " rows"]

N_STEPS = 30

# Length of the first step, as a share of each number's range.
FIRST_STEP = 0.125

TINY = 1e-12


class ScoreDescent(eqx.Module):
    """Minimise the score by projected gradient descent over the numbers that may move.

    Parameters
    ----------
    network : eqx.Module
        Network with a differentiable `score`.
    low, high : Array of float32, shape (numbers,)
        The range that each number must stay in.

    Notes
    -----
    Each row has its own step length, which grows by 1.5 after a step that lowered the score and shrinks by 0.4 after
    one that did not. Lengths are shares of each number's range, so the encoding of a number hardly matters.

    NOTE[DIFF] RPROP adapts one length for each weight; here one length serves all numbers of a row.

    References
    ----------
    Riedmiller and Braun (1993), A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm.
    """

    network: Any
    low: Float[Array, " numbers"]
    high: Float[Array, " numbers"]

    def lowest(
        self, rows: tuple[Numbers, Int[Array, "rows categories"], Bool[Array, "rows numbers"]]
    ) -> Float[Array, "rows numbers"]:
        """Return the numbers with the lowest score found; the third part of `rows` marks those that may move."""
        start, categories, movable = rows
        span = self.high - self.low

        def step(state: tuple[Numbers, Scores, Numbers, Scores], _: None) -> tuple[Any, None]:
            numbers, score, slope, length = state
            direction = _unit(self._inward(slope, numbers) * span * movable) * span
            tried = jnp.clip(numbers - length[:, None] * direction, self.low, self.high)
            tried = jnp.where(movable, tried, numbers)
            tried_score, tried_slope = self._score_and_slope(tried, categories)
            is_lower = tried_score < score
            numbers, slope = (
                jnp.where(is_lower[:, None], new, old) for new, old in ((tried, numbers), (tried_slope, slope))
            )
            length = jnp.where(is_lower, 1.5 * length, 0.4 * length)
            return (numbers, jnp.where(is_lower, tried_score, score), slope, length), None

        score, slope = self._score_and_slope(start, categories)
        first = (start, score, slope, jnp.full_like(score, FIRST_STEP))
        (numbers, *_), _ = jax.lax.scan(step, first, length=N_STEPS)
        return numbers

    def _score_and_slope(self, numbers: Numbers, categories: Int[Array, "rows categories"]) -> tuple[Scores, Numbers]:
        def total(moved: Numbers) -> tuple[Float[Array, ""], Scores]:
            scores: Scores = self.network.score((moved, categories))
            # Rows are scored independently, so the gradient of the sum holds every row's own gradient.
            return scores.sum(), scores

        slope, scores = jax.grad(total, has_aux=True)(numbers)
        return scores, slope

    def _inward(self, slope: Numbers, numbers: Numbers) -> Numbers:
        """Return the slope without the components that lead out of the range."""
        leads_out = ((numbers <= self.low) & (slope > 0)) | ((numbers >= self.high) & (slope < 0))
        return jnp.where(leads_out, 0.0, slope)


def _unit(vectors: Numbers) -> Numbers:
    lengths: Float[Array, "rows 1"] = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / (lengths + TINY)
