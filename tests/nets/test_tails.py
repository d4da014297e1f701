"""Surprises rise with scores, are those of the exponential they claim to be, and never infinite."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oddrow.nets.tails import BODY, Tail

numbers = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float32, st.integers(2, 50), elements=numbers), arrays(np.float32, 30, elements=numbers))
def test_a_higher_score_is_never_less_surprising(training: np.ndarray, scores: np.ndarray) -> None:
    found = np.asarray(Tail.of(training)(jnp.asarray(np.sort(scores))))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    # Interpolation rounds.
    assert (np.diff(found) >= -1e-5).all()


def test_of_exponential_scores_the_surprise_is_the_score() -> None:
    rng = np.random.default_rng(0)
    tail = Tail.of(rng.exponential(size=100_000))
    scores = jnp.array([0.1, 0.5, 1.0, 2.0, 5.0, 12.0])
    np.testing.assert_allclose(tail(scores), scores, rtol=0.03, atol=0.01)


def test_shares_of_training_rows_have_their_surprise() -> None:
    training = np.random.default_rng(1).normal(size=20_000)
    shares = np.array([0.1, 0.5, BODY])
    found = Tail.of(training)(jnp.asarray(np.quantile(training, shares)))
    np.testing.assert_allclose(found, -np.log(1 - shares), rtol=0.01)


@pytest.mark.parametrize("training", [np.zeros(30), np.full(30, 7.0), np.repeat([0.0, 1.0], [29, 1])])
def test_scores_that_are_all_the_same_leave_others_finite(training: np.ndarray) -> None:
    found = Tail.of(training)(jnp.array([-1.0, 0.0, 7.0, 1e6]))
    assert np.isfinite(found).all()
    assert found[-1] > found[0]


def test_what_many_training_rows_score_is_as_surprising_as_that_many_are() -> None:
    training = np.repeat([0.0, 1.0, 2.0], [700, 200, 100])
    found = Tail.of(training)(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [0.0, -np.log(0.3)], atol=0.05)


def test_at_least_ten_rows_say_how_long_a_tail_is() -> None:
    """Of one row beyond the highest tenth the surprise is anything; ten say it within a factor of two, mostly."""
    rng = np.random.default_rng(3)
    found = np.array([Tail.of(rng.exponential(size=12))(jnp.array([8.0]))[0] for _ in range(200)])
    assert np.median(found) == pytest.approx(8, rel=0.15)
    assert ((found > 4) & (found < 16)).mean() > 0.9


def test_the_slope_is_finite_and_leads_up() -> None:
    tail = Tail.of(np.random.default_rng(2).exponential(size=1000))
    slopes = jax.vmap(jax.grad(lambda score: tail(score[None])[0]))(jnp.linspace(0.1, 9, 50))
    assert np.isfinite(slopes).all()
    assert (np.asarray(slopes) > 0).all()
