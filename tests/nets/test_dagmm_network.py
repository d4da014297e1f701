"""DAGMM by hand: the energy against scikit-learn's mixture, distance and cosine, the parts of the loss."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from oddrow.nets.dagmm import DAGMM, Mixture
from oddrow.nets.layers import EncodedRows, Stack

N_LEVELS = (3, 5)

# Compiled whole: one by one, the operations of a network take seconds to compile.
energy = eqx.filter_jit(Mixture.energy)
compress = eqx.filter_jit(DAGMM.compress)
memberships_of = eqx.filter_jit(DAGMM.memberships)
run = eqx.filter_jit(Stack.__call__)


@eqx.filter_jit
@eqx.filter_grad
def gradient_of_loss(net: DAGMM, batch: Any) -> jax.Array:
    return net.loss(batch, None)[0]


@cache
def network(n_numbers: int = 4, n_levels: tuple[int, ...] = N_LEVELS, dropout: float = 0.5) -> DAGMM:
    made = eqx.filter_jit(DAGMM)
    return made(n_numbers, n_levels, (6,), 2, (5,), 3, ("tanh",), dropout=dropout, key=jax.random.key(1))


@cache
def rows(n_rows: int = 40, n_numbers: int = 4, n_levels: tuple[int, ...] = N_LEVELS) -> EncodedRows:
    rng = np.random.default_rng(3)
    categories = np.column_stack([rng.integers(0, n, n_rows) for n in n_levels]) if n_levels else np.zeros((n_rows, 0))
    return jnp.asarray(rng.random((n_rows, n_numbers)), jnp.float32), jnp.asarray(categories, jnp.int32)


def scikit_learns(mixture: Mixture) -> GaussianMixture:
    """The same mixture as scikit-learn has it."""
    model = GaussianMixture(len(mixture.phi))
    model.weights_, model.means_ = (np.asarray(part, np.float64) for part in (mixture.phi, mixture.mean))
    model.covariances_ = np.asarray(mixture.covariance, np.float64)
    model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(model.covariances_)).transpose(0, 2, 1)
    return model


def some_mixture(width: int = 3) -> tuple[Mixture, np.ndarray]:
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(4, width, width))
    covariance = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(width)
    phi = np.array([0.5, 0.3, 0.15, 0.05])
    parts = (phi, rng.normal(size=(4, width)), covariance)
    return Mixture(*(jnp.asarray(part, jnp.float32) for part in parts)), rng.normal(scale=3, size=(50, width))


def test_energies_are_those_of_scikit_learns_mixture() -> None:
    mixture, z = some_mixture()
    found = energy(mixture, jnp.asarray(z.T, jnp.float32))
    np.testing.assert_allclose(found, -scikit_learns(mixture).score_samples(z), rtol=1e-4)


def test_an_energy_far_out_is_finite_and_one_in_a_narrow_mixture_negative() -> None:
    mixture = Mixture(jnp.ones(1), jnp.zeros((1, 2)), jnp.eye(2)[None] * 1e-4)
    energies = energy(mixture, jnp.array([[0.0, 1e6], [0.0, -1e6]]))
    assert float(energies[0]) == pytest.approx(np.log(2 * np.pi * 1e-4), rel=1e-5)
    assert np.isfinite(energies[1])
    assert energies[1] > 1e14


def test_a_component_without_rows_leaves_the_others_alone() -> None:
    mixture, z = some_mixture()
    alone = Mixture(jnp.array([1.0]), mixture.mean[:1], mixture.covariance[:1])
    dead = Mixture(jnp.array([1.0, 0.0]), mixture.mean[:2], mixture.covariance[:2])
    columns = jnp.asarray(z.T, jnp.float32)
    near = np.asarray(energy(alone, columns)) < 20
    np.testing.assert_allclose(energy(dead, columns)[near], energy(alone, columns)[near], rtol=1e-4)


def test_the_mixture_of_a_batch_is_the_weighted_one_by_hand() -> None:
    rng = np.random.default_rng(0)
    z, memberships = rng.normal(size=(4, 60)), rng.dirichlet(np.ones(3), 60).T
    net = network()
    found = eqx.filter_jit(net.mix)(jnp.asarray(z, jnp.float32), jnp.asarray(memberships, jnp.float32))
    np.testing.assert_allclose(found.phi, memberships.mean(axis=1), rtol=1e-5)
    for component, weights in enumerate(memberships):
        np.testing.assert_allclose(found.mean[component], np.average(z, axis=1, weights=weights), atol=1e-5)
        wanted = np.cov(z, aweights=weights, ddof=0) + net.covariance_floor * np.eye(4)
        np.testing.assert_allclose(found.covariance[component], wanted, atol=1e-5)
    assert float(found.penalty()) == pytest.approx(
        (1 / np.diagonal(found.covariance, axis1=1, axis2=2)).sum(), rel=1e-5
    )


def numbers_rebuilt(net: DAGMM, numbers: jnp.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code and rebuilt numbers, layer by layer, rows first."""
    code = run(net.encoder, numbers.T)
    return np.asarray(code.T), np.asarray(run(net.decoder, code).T)


def test_z_is_code_relative_distance_and_cosine_by_hand() -> None:
    net, seen = network(n_levels=()), rows(n_levels=())
    code, rebuilt = numbers_rebuilt(net, seen[0])
    x = np.asarray(seen[0])
    distance = np.linalg.norm(x - rebuilt, axis=1) / np.linalg.norm(x, axis=1)
    cosine = (x * rebuilt).sum(axis=1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(rebuilt, axis=1))
    z = eqx.filter_jit(DAGMM.latent)(net, seen)
    np.testing.assert_allclose(z, np.column_stack([code, distance, cosine]), rtol=1e-4, atol=1e-5)


def test_categories_stand_as_one_hot_beside_their_probabilities() -> None:
    net, (numbers, categories) = network(), rows()
    inputs = jnp.concatenate([numbers, net.embeddings(categories)], axis=1)
    outputs = np.asarray(run(net.decoder, run(net.encoder, inputs.T)).T)
    places = np.cumsum([4, *N_LEVELS])
    logits = [outputs[:, first:last] for first, last in pairwise(places)]
    shares = [np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) for scores in logits]
    x = np.column_stack([numbers, *(np.eye(n)[categories[:, i]] for i, n in enumerate(N_LEVELS))])
    rebuilt = np.column_stack([outputs[:, :4], *shares])
    z = np.asarray(eqx.filter_jit(DAGMM.latent)(net, (numbers, categories)))
    lengths = np.linalg.norm(x, axis=1), np.linalg.norm(rebuilt, axis=1)
    np.testing.assert_allclose(z[:, 2], np.linalg.norm(x - rebuilt, axis=1) / lengths[0], rtol=1e-4)
    np.testing.assert_allclose(z[:, 3], (x * rebuilt).sum(axis=1) / (lengths[0] * lengths[1]), rtol=1e-4)
    surprise = -sum(np.log(share[np.arange(40), categories[:, i]]) for i, share in enumerate(shares))
    error = np.square(np.asarray(numbers) - outputs[:, :4]).sum(axis=1) + surprise
    np.testing.assert_allclose(compress(net, (numbers, categories))[1], error, rtol=1e-4)


def test_the_loss_is_its_weighted_parts() -> None:
    net, batch = network(), (rows(), jnp.ones(40))
    loss, parts = eqx.filter_jit(DAGMM.loss)(net, batch, None)
    z, error = compress(net, rows())
    mixture = eqx.filter_jit(DAGMM.mix)(net, z, memberships_of(net, z))
    assert float(parts["reconstruction"]) == pytest.approx(float(error.mean()), rel=1e-5)
    assert float(parts["energy"]) == pytest.approx(
        -scikit_learns(mixture).score_samples(np.asarray(z.T)).mean(), rel=1e-3
    )
    assert float(parts["covariance_penalty"]) == pytest.approx(float(mixture.penalty()), rel=1e-4)
    wanted = parts["reconstruction"] + 0.1 * parts["energy"] + 0.005 * parts["covariance_penalty"]
    assert float(loss) == pytest.approx(float(wanted), rel=1e-6)


def test_a_row_of_weight_zero_does_not_count() -> None:
    numbers, categories = rows()
    weight = jnp.ones(40).at[7].set(0)
    other = (numbers.at[7].set(1e3), categories.at[7].set(0))
    loss = eqx.filter_jit(lambda seen: network(dropout=0.0).loss((seen, weight), jax.random.key(0)))
    np.testing.assert_allclose(loss((numbers, categories))[0], loss(other)[0], rtol=1e-5)


def test_memberships_add_up_and_dropout_needs_a_key() -> None:
    net = network()
    z = compress(net, rows())[0]
    quiet, again, noisy = (memberships_of(net, z, key) for key in (None, None, jax.random.key(0)))
    np.testing.assert_allclose(quiet.sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_array_equal(quiet, again)
    assert np.abs(np.asarray(noisy - quiet)).max() > 0.01


def test_a_row_of_zeros_has_a_finite_slope() -> None:
    net = network(n_levels=())
    zeros = (jnp.zeros((8, 4)), jnp.zeros((8, 0), jnp.int32))
    gradient = gradient_of_loss(net, (zeros, jnp.ones(8)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_every_weight_is_trained() -> None:
    """Of public versions one never trained at all: its loss had lost its gradient."""
    gradient = gradient_of_loss(network(), (rows(), jnp.ones(40)))
    trained = [gradient.embeddings, gradient.encoder, gradient.decoder, gradient.estimator]
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(trained))
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(gradient.mixture)), "the mixture is set, not trained"
