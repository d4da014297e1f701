"""The CVAE by hand: both parts of the bound, what missing numbers count, what is drawn."""

from __future__ import annotations

from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import norm

from oddrow.nets.cvae import CVAE, MIN_SPREAD, RARE, UNSEEN

N_LEVELS = (5, 6)
# Two numbers, a third with its flag behind it.
FLAG = 3

# Compiled whole: one by one, the operations of a network take seconds to compile.
encode = eqx.filter_jit(CVAE.encode)
decode = eqx.filter_jit(CVAE.decode)
loss_of = eqx.filter_jit(CVAE.loss)
surprise = eqx.filter_jit(CVAE.reconstruction_loss)
likeliest = eqx.filter_jit(CVAE.likeliest)
draw = eqx.filter_jit(CVAE.draw)
made = eqx.filter_jit(CVAE)


@cache
def network(**parameters: Any) -> CVAE:
    net = made(4, N_LEVELS, 3, (7,), 2, flags=(FLAG,), key=jax.random.key(1), **parameters)
    changed: CVAE = eqx.tree_at(lambda net: net.log_spread, net, jnp.log(jnp.linspace(0.5, 2, 12).reshape(3, 4)))
    return changed


@cache
def rows(n_rows: int = 30) -> tuple[jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n_rows, 4))
    numbers[:, FLAG] = rng.random(n_rows) < 0.3
    categories = np.column_stack([rng.integers(0, n, n_rows) for n in N_LEVELS])
    return (
        jnp.asarray(numbers, jnp.float32),
        jnp.asarray(categories, jnp.int32),
        jnp.asarray(rng.integers(0, 3, n_rows), jnp.int32),
    )


def surprise_by_hand(row: int) -> float:
    """Minus the log likelihood of a row at the mean of its code."""
    net, (numbers, categories, labels) = network(), rows()
    code, _ = encode(net, (numbers, categories), labels)
    mean, logits = decode(net, code, labels)
    spread = np.linspace(0.5, 2, 12).reshape(3, 4)[labels[row]]
    flag = float(numbers[row, FLAG])
    places = [0, 1] if flag else [0, 1, 2]
    total: float = -sum(norm.logpdf(float(numbers[row, i]), float(mean[row, i]), spread[i]) for i in places)
    chance = 1 / (1 + np.exp(-float(mean[row, FLAG])))
    total -= np.log(chance if flag else 1 - chance)
    for scores, level in zip(logits, categories[row], strict=True):
        total -= float(log_softmax(np.asarray(scores[row], np.float64))[level])
    return total


def test_the_surprise_of_a_row_is_that_by_hand() -> None:
    net, (numbers, categories, labels) = network(), rows()
    code, _ = encode(net, (numbers, categories), labels)
    found = surprise(net, (numbers, categories), labels, code)
    np.testing.assert_allclose(found, [surprise_by_hand(row) for row in range(30)], rtol=1e-4)


def test_the_loss_is_the_bound_by_hand() -> None:
    net, (numbers, categories, labels) = network(), rows()
    mean, log_variance = map(np.asarray, encode(net, (numbers, categories), labels))
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1)
    weight = np.linspace(0, 1, 30)
    share = weight / weight.sum()
    loss, parts = loss_of(net, ((numbers, categories, labels), jnp.asarray(weight, jnp.float32)), None)
    assert float(parts["kl"]) == pytest.approx(share @ kl, rel=1e-4)
    wanted = share @ np.array([surprise_by_hand(row) for row in range(30)])
    assert float(parts["reconstruction"]) == pytest.approx(wanted, rel=1e-4)
    assert float(loss) == pytest.approx(wanted + share @ kl, rel=1e-4)


def test_classes_count_by_their_weights_and_training_does_not_move_these() -> None:
    net = network(class_weight=(0.0, 0.0, 2.0))
    numbers, categories, labels = rows()
    only_third = loss_of(net, ((numbers, categories, labels), jnp.ones(30)), None)[0]
    of_third = loss_of(net, ((numbers, categories, labels), (labels == 2).astype(jnp.float32)), None)[0]
    assert float(only_third) == pytest.approx(float(of_third), rel=1e-5)

    def loss_alone(each: CVAE, batch: Any) -> jax.Array:
        return each.loss(batch, None)[0]

    slope = eqx.filter_jit(eqx.filter_grad(loss_alone))(net, ((numbers, categories, labels), jnp.ones(30)))
    np.testing.assert_array_equal(slope.class_weight, 0)


def test_a_missing_number_counts_for_nothing() -> None:
    net, (numbers, categories, labels) = network(), rows()
    code, _ = encode(net, (numbers, categories), labels)
    before = surprise(net, (numbers, categories), labels, code)
    after = surprise(net, (numbers.at[:, FLAG - 1].add(5.0), categories), labels, code)
    missing = np.asarray(numbers[:, FLAG]) == 1
    np.testing.assert_allclose(after[missing], before[missing], rtol=1e-6)
    assert (np.asarray(after) != np.asarray(before))[~missing].all()


def test_the_kl_term_grows_to_its_full_weight() -> None:
    net = network(warm_up=4)
    weights = [float(net.at_epoch(jnp.asarray(epoch)).kl_weight) for epoch in range(6)]
    assert weights == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert float(network().at_epoch(jnp.asarray(0)).kl_weight) == 1.0
    (rows_and_labels, batch_weight) = (rows(), jnp.ones(30))
    loss, parts = loss_of(net.at_epoch(jnp.asarray(0)), (rows_and_labels, batch_weight), None)
    assert float(loss) == pytest.approx(float(parts["reconstruction"]) + 0.25 * float(parts["kl"]), rel=1e-5)


def test_drawn_rows_have_the_spread_and_the_shares_that_were_decoded() -> None:
    net, n_rows = network(), 20_000
    code, labels = jnp.zeros((n_rows, 2)), jnp.full(n_rows, 1)
    numbers, categories = draw(net, code, labels, jax.random.key(0))
    mean, logits = decode(net, code[:1], labels[:1])
    np.testing.assert_allclose(np.mean(numbers[:, :3], axis=0), mean[0, :3], atol=0.05)
    np.testing.assert_allclose(np.std(numbers[:, :3], axis=0), net.spread(labels[:1])[0, :3], rtol=0.05)
    assert set(np.unique(numbers[:, FLAG])) == {0.0, 1.0}
    assert float(numbers[:, FLAG].mean()) == pytest.approx(float(jax.nn.sigmoid(mean[0, FLAG])), abs=0.02)
    for column, scores in enumerate(logits):
        wanted = np.exp(np.asarray(scores[0]))
        wanted[[UNSEEN, RARE]] = 0
        shares = np.bincount(categories[:, column], minlength=len(wanted)) / n_rows
        np.testing.assert_allclose(shares, wanted / wanted.sum(), atol=0.02)


def test_the_likeliest_row_is_the_mean_and_the_most_probable_level() -> None:
    net = network()
    code, labels = jnp.asarray([[0.5, -1.0]]), jnp.asarray([2])
    numbers, categories = likeliest(net, code, labels)
    mean, logits = decode(net, code, labels)
    np.testing.assert_array_equal(numbers[:, :3], mean[:, :3])
    assert float(numbers[0, FLAG]) == float(mean[0, FLAG] > 0)
    for column, scores in enumerate(logits):
        possible = np.delete(np.arange(N_LEVELS[column]), [UNSEEN, RARE])
        assert int(categories[0, column]) == possible[np.argmax(np.asarray(scores[0])[possible])]


def test_a_spread_has_a_floor() -> None:
    net = eqx.tree_at(lambda net: net.log_spread, network(), jnp.full((3, 4), -50.0))
    np.testing.assert_allclose(net.spread(jnp.asarray([0])), MIN_SPREAD, rtol=1e-5)


def test_without_categories_or_numbers_it_works_too() -> None:
    for n_numbers, n_levels in ((2, ()), (0, (4,))):
        net = made(n_numbers, n_levels, 2, (5,), 1, key=jax.random.key(0))
        numbers, categories = draw(net, jnp.zeros((3, 1)), jnp.asarray([0, 1, 1]), jax.random.key(1))
        assert (numbers.shape, categories.shape) == ((3, n_numbers), (3, len(n_levels)))
        batch = ((numbers, categories, jnp.asarray([0, 1, 1])), jnp.ones(3))
        assert np.isfinite(float(loss_of(net, batch, jax.random.key(2))[0]))
