"""What an autoencoder may be told: dropout, penalties, the error of numbers, the activation of its output."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mean_squared_log_error

from oddrow.nets.autoencoder import Autoencoder, BinaryAutoencoder
from oddrow.nets.layers import Dense, EncodedRows, Stack, drop_factors

KEY = jax.random.key(7)
WEIGHT = np.array([1, 0, 2, 0.5, 1], dtype=np.float32)

# Compiled whole: one by one, the operations of a network take seconds to compile.
errors = eqx.filter_jit(Autoencoder.errors)
score = eqx.filter_jit(Autoencoder.score)
row_errors = eqx.filter_jit(Autoencoder.row_errors)
layers = eqx.filter_jit(Autoencoder.layers)
reconstruct = eqx.filter_jit(Autoencoder.reconstruct)
made = eqx.filter_jit(Autoencoder)
loss = eqx.filter_jit(lambda net, batch, key: net.loss(batch, key)[0])


def network(noise: float = 0.0, n_levels: tuple[int, ...] = (4,), **options: Any) -> Autoencoder:
    """Two numbers and a category; the same weights whatever the options."""
    return made(2, n_levels, (6, 5), ("tanh", "elu"), noise, **options, key=jax.random.key(0))


def rows(n_levels: tuple[int, ...] = (4,)) -> EncodedRows:
    """Five rows, numbers in [0, 1], both ends among them."""
    numbers = np.array([[0.0, 1.0], [0.2, 0.9], [0.5, 0.1], [0.7, 0.3], [1.0, 0.0]])
    categories = np.arange(5)[:, None] % 4 if n_levels else np.zeros((5, 0))
    return jnp.asarray(numbers, jnp.float32), jnp.asarray(categories, jnp.int32)


def first_layer(net: Autoencoder, of: EncodedRows) -> np.ndarray:
    """What comes out of the first hidden layer, in float64 from the weights alone."""
    vectors = np.asarray(net.embeddings.tables[0])[np.asarray(of[1])[:, 0]]
    layer = net.stack.layers[0]
    inputs = np.column_stack([of[0], vectors]).astype(np.float64)
    return np.asarray(np.tanh(inputs @ np.asarray(layer.weight) + layer.bias))


# Dropout.


def passing_on(*dropout: float, width: int = 300) -> Stack:
    """Three layers, of which the last two give what they are given."""
    stack = Stack([2, width, width, width], ["tanh", "linear", "linear"], dropout, key=jax.random.key(0))
    same = Dense(width, width, key=KEY)
    same = eqx.tree_at(lambda layer: layer.weight, same, jnp.eye(width))
    passing: Stack = eqx.tree_at(lambda stack: stack.layers[1:], stack, (same, same))
    return passing


def kept(before: Any, after: Any, share: float) -> np.ndarray:
    """Which values came through; those have been scaled, the others are 0."""
    through: np.ndarray = np.asarray(after) != 0
    np.testing.assert_allclose(after, np.where(through, np.asarray(before) / (1 - share), 0), rtol=1e-6)
    return through


@pytest.mark.parametrize("dropped", [0, 1])
def test_a_layer_loses_its_share_and_the_rest_makes_up_for_it(dropped: int) -> None:
    shares = [0.0, 0.0]
    shares[dropped] = 0.25
    given = jnp.asarray(np.random.default_rng(0).normal(size=(2, 200)), jnp.float32)
    first, second, third = eqx.filter_jit(passing_on(*shares).each)(given, KEY)
    pairs = [(first, second), (second, third)]
    assert kept(*pairs[dropped], 0.25).mean() == pytest.approx(0.75, abs=0.01)
    assert kept(*pairs[1 - dropped], 0.0)[np.asarray(pairs[1 - dropped][0]) != 0].all(), "no other layer loses any"


@pytest.mark.parametrize(("share", "taken"), [(0.2, 51 / 256), (0.999, 255 / 256), (1e-4, 1 / 256)])
def test_a_share_is_taken_in_steps_of_a_byte_and_leaves_the_mean_as_it_was(share: float, taken: float) -> None:
    none, factors = drop_factors([0.0, share], [(3, 4), (500, 2001)], KEY)
    assert none == 1.0
    found = np.asarray(factors, np.float64)
    assert (found == 0).mean() == pytest.approx(taken, abs=0.002)
    assert found.max() == pytest.approx(1 / (1 - taken))
    assert found.mean() == pytest.approx(1, abs=0.05)


def test_layers_and_keys_drop_outputs_of_their_own() -> None:
    given, each = jnp.ones((2, 200)), eqx.filter_jit(passing_on(0.5, 0.5).each)
    first, second, third = each(given, KEY)
    assert (np.asarray(third) != 0).mean() == pytest.approx(0.25, abs=0.01), "not those that the layer before has lost"
    assert not np.array_equal(second, each(given, jax.random.key(8))[1])
    assert len(np.unique(np.asarray(second) != 0, axis=1).T) == 200, "every row loses others"
    np.testing.assert_array_equal(each(given)[2], first)


def test_outputs_drop_out_only_with_a_key() -> None:
    net, plain, batch = network(dropout=(0.5, 0.0)), network(), (rows(), jnp.ones(5))
    assert net.stack.dropout == (0.5, 0.0, 0.0), "what is rebuilt never drops out"
    assert float(loss(net, batch, None)) == float(loss(plain, batch, None))
    np.testing.assert_array_equal(score(net, rows()), score(plain, rows()))
    found = {float(loss(net, batch, jax.random.key(seed))) for seed in (1, 2)}
    assert len(found | {float(loss(plain, batch, None))}) == 3


def test_without_noise_the_dropout_has_the_whole_key() -> None:
    net = network(dropout=(0.5, 0.0))
    outputs = layers(net, rows(), KEY)[-1]
    wanted = np.asarray(net._output_errors(rows(), outputs)).mean(axis=0)
    np.testing.assert_allclose(row_errors(net, rows(), KEY)[0], wanted, rtol=1e-5)


def test_without_dropout_the_noise_has_the_whole_key() -> None:
    net = network(noise=0.3)
    seen = eqx.filter_jit(Autoencoder.corrupt)(net, rows(), KEY)
    wanted = np.asarray(errors(net, rows(), seen)).mean(axis=1)
    np.testing.assert_allclose(row_errors(net, rows(), KEY)[0], wanted, rtol=1e-5)


# Penalties.


@pytest.mark.parametrize("key", [None, KEY], ids=["validation", "training"])
def test_penalties_are_those_of_the_first_layer_by_hand(key: Any) -> None:
    net, batch = network(activity_l1=0.3, activity_l2=0.7), (rows(), jnp.asarray(WEIGHT))
    hidden = first_layer(net, rows())
    per_row = 0.3 * np.abs(hidden).sum(axis=1) + 0.7 * np.square(hidden).sum(axis=1)
    added = float(loss(net, batch, key)) - float(loss(network(), batch, key))
    assert added == pytest.approx(np.average(per_row, weights=WEIGHT), rel=1e-4)
    only = network(activity_l2=0.7)
    added = float(loss(only, batch, key)) - float(loss(network(), batch, key))
    assert added == pytest.approx(np.average(0.7 * np.square(hidden).sum(axis=1), weights=WEIGHT), rel=1e-4)


def test_penalties_are_taken_before_any_output_drops_out() -> None:
    net = network(activity_l1=1.0, dropout=(0.5, 0.5))
    (penalty,) = row_errors(net, rows(), KEY)[1]
    np.testing.assert_allclose(penalty, np.abs(first_layer(net, rows())).sum(axis=1), rtol=1e-5)


def test_scores_know_nothing_of_penalties() -> None:
    net = network(activity_l1=9.0, activity_l2=9.0)
    np.testing.assert_array_equal(score(net, rows()), score(network(), rows()))


def test_known_anomalies_are_penalised_like_normal_rows() -> None:
    net, known = network(activity_l1=0.5), jnp.asarray([1, 0, 0, 1, 0], jnp.int32)
    batch = ((*rows(), known), jnp.asarray(WEIGHT))
    plain, penalised = (float(loss(BinaryAutoencoder(of, 3.0), batch, None)) for of in (network(), net))
    wanted = np.average(0.5 * np.abs(first_layer(net, rows())).sum(axis=1), weights=WEIGHT)
    assert penalised - plain == pytest.approx(wanted, rel=1e-4)


# Error and output of numbers.


def test_squared_log_is_scikit_learns() -> None:
    net = network(error="squared-log", output="sigmoid", n_levels=())
    rebuilt, _ = reconstruct(net, rows(()))
    wanted = mean_squared_log_error(np.asarray(rows(())[0]).T, np.asarray(rebuilt).T, multioutput="raw_values")
    np.testing.assert_allclose(score(net, rows(())), wanted, rtol=1e-4)
    batch = rows(()), jnp.asarray(WEIGHT)
    assert float(loss(net, batch, None)) == pytest.approx(np.average(wanted, weights=WEIGHT), rel=1e-4)


def test_numbers_below_0_count_as_least_and_gradients_stay_finite() -> None:
    net, (numbers, none) = network(error="squared-log", n_levels=()), rows(())
    seen = numbers, none
    below = errors(net, (jnp.where(numbers == 0, -1e6, numbers), none), seen)
    np.testing.assert_array_equal(below, errors(net, seen, seen))
    assert (np.asarray(reconstruct(net, seen)[0]) < 0).any(), "some rebuilt numbers are clamped too"
    wild = jnp.asarray([[-1e6, 1e6], [0.0, -1.0]]), none[:2]

    def loss_of_wild(net: Autoencoder) -> jax.Array:
        return net.loss((wild, jnp.ones(2)), None)[0]

    gradient = eqx.filter_jit(eqx.filter_grad(loss_of_wild))(net)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_error_of_categories_is_no_other() -> None:
    usual, logarithms = (errors(network(error=error), rows(), rows()) for error in ("squared", "squared-log"))
    np.testing.assert_array_equal(usual[:, 2], logarithms[:, 2])
    assert not np.isclose(usual[:, :2], logarithms[:, :2]).all()


def test_the_output_of_numbers_is_activated_and_logits_are_free() -> None:
    # Weights large enough that both go beyond 0 and 1.
    nets = [
        eqx.tree_at(lambda net: net.stack.layers[-1].weight, network(output=output), replace_fn=lambda w: 30 * w)
        for output in ("linear", "sigmoid")
    ]
    (linear, logits), (bounded, same_logits) = (reconstruct(net, rows()) for net in nets)
    np.testing.assert_array_equal(logits[0], same_logits[0])
    assert np.abs(logits[0]).max() > 1
    np.testing.assert_allclose(bounded, 1 / (1 + np.exp(-np.asarray(linear, np.float64))), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(nets[1].outputs(rows())[:, :2], bounded)
