"""Down the gradient: never up, never out of the range, and nothing moves that may not."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oddrow.nets.attribution import ScoreDescent
from oddrow.nets.autoencoder import Autoencoder


class Bowl(eqx.Module):
    """A score with its lowest place, whose numbers count very differently."""

    place: jax.Array
    weight: jax.Array

    def score(self, rows: tuple[jax.Array, jax.Array]) -> jax.Array:
        """The weighed squared distance from the place."""
        return jnp.square(rows[0] - self.place) @ self.weight


# Compiled whole: one by one, the operations of a network take seconds to compile.
lowest = eqx.filter_jit(ScoreDescent.lowest)

NO_CATEGORIES = jnp.zeros((50, 0), jnp.int32)


def start() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (50, 3)), jnp.float32)


@pytest.mark.parametrize("span", [1e-3, 1.0, 1e4])
def test_the_lowest_place_is_found_at_any_scale(span: float) -> None:
    bowl = Bowl(span * jnp.array([0.5, -0.5, 0.0]), jnp.array([1.0, 3.0, 2.0]))
    descent = ScoreDescent(bowl, jnp.full(3, -span), jnp.full(3, span))
    found = lowest(descent, (span * start(), NO_CATEGORIES, jnp.ones((50, 3), bool)))
    np.testing.assert_allclose(found / span, np.tile([0.5, -0.5, 0.0], (50, 1)), atol=0.03)


def test_a_place_outside_the_range_is_looked_for_at_its_end() -> None:
    descent = ScoreDescent(Bowl(jnp.array([5.0, 0.0, -5.0]), jnp.ones(3)), jnp.full(3, -1.0), jnp.full(3, 1.0))
    found = lowest(descent, (start(), NO_CATEGORIES, jnp.ones((50, 3), bool)))
    np.testing.assert_allclose(found, np.tile([1.0, 0.0, -1.0], (50, 1)), atol=0.03)


def test_what_may_not_move_stays_to_the_bit_even_outside_the_range() -> None:
    movable = jnp.arange(150).reshape(50, 3) % 2 == 0
    descent = ScoreDescent(Bowl(jnp.zeros(3), jnp.ones(3)), jnp.full(3, -0.5), jnp.full(3, 0.5))
    found = lowest(descent, (start(), NO_CATEGORIES, movable))
    np.testing.assert_array_equal(np.asarray(found)[~movable], np.asarray(start())[~movable])
    assert (np.abs(np.asarray(found)[movable]) <= 0.5).all()


def test_no_row_ends_higher_than_it_began_and_company_changes_nothing() -> None:
    network = eqx.filter_jit(Autoencoder)(3, [4], (8,), ["gelu"], 0.1, key=jax.random.key(0))
    descent = ScoreDescent(network, jnp.full(3, -1.0), jnp.full(3, 1.0))
    categories, movable = jnp.arange(50)[:, None].astype(jnp.int32) % 4, jnp.ones((50, 3), bool)
    found = lowest(descent, (start(), categories, movable))
    score = eqx.filter_jit(Autoencoder.score)
    assert (score(network, (found, categories)) <= score(network, (start(), categories))).all()
    alone = lowest(descent, (start()[:1], categories[:1], movable[:1]))
    np.testing.assert_allclose(alone, found[:1], atol=0.02)
