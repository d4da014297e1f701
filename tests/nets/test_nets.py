"""Networks: shapes, loss and score by hand, noise. Annotated shapes are checked by the hook in conftest.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from oddrow.nets.autoencoder import Autoencoder
from oddrow.nets.layers import ACTIVATIONS, Dense, Embeddings, EncodedRows, Stack, embedding_width

N_LEVELS = (4, 9)

# Compiled whole: one by one, the operations of a network take seconds to compile.
errors = eqx.filter_jit(Autoencoder.errors)
score = eqx.filter_jit(Autoencoder.score)
loss = eqx.filter_jit(lambda net, batch, key: net.loss(batch, key)[0])


@cache
def network(n_numbers: int = 3, n_levels: tuple[int, ...] = N_LEVELS, seed: int = 0) -> Autoencoder:
    return eqx.filter_jit(Autoencoder)(n_numbers, n_levels, (6, 5), ("tanh", "relu"), 0.3, key=jax.random.key(seed))


@cache
def rows(n_rows: int = 7, n_numbers: int = 3, n_levels: tuple[int, ...] = N_LEVELS) -> EncodedRows:
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(n_rows, n_numbers))
    categories = np.column_stack([rng.integers(0, n, n_rows) for n in n_levels]) if n_levels else np.zeros((n_rows, 0))
    return jnp.asarray(numbers, jnp.float32), jnp.asarray(categories, jnp.int32)


def by_hand(net: Autoencoder, seen: EncodedRows) -> tuple[np.ndarray, list[np.ndarray]]:
    """Reconstruction in plain NumPy float64, from the weights alone."""
    numbers, categories = (np.asarray(part) for part in seen)
    vectors = [np.asarray(table)[categories[:, place]] for place, table in enumerate(net.embeddings.tables)]
    values = np.concatenate([numbers, *vectors], axis=1).astype(np.float64)
    first, second, last = ((np.asarray(layer.weight), np.asarray(layer.bias)) for layer in net.stack.layers)
    values = np.tanh(values @ first[0] + first[1])
    values = np.maximum(values @ second[0] + second[1], 0)
    values = values @ last[0] + last[1]
    ends = net.n_numbers + np.cumsum([0, *net.n_levels])
    return values[:, : net.n_numbers], [values[:, a:b] for a, b in pairwise(ends)]


def errors_by_hand(net: Autoencoder, target: EncodedRows, seen: EncodedRows) -> np.ndarray:
    numbers, logits = by_hand(net, seen)
    squared = (np.asarray(target[0]) - numbers) ** 2
    columns = [np.log(np.exp(scores).sum(axis=1)) for scores in logits]
    right = [scores[np.arange(len(scores)), np.asarray(target[1])[:, place]] for place, scores in enumerate(logits)]
    surprises = [total - of_right for total, of_right in zip(columns, right, strict=True)]
    return np.column_stack([squared, *surprises])


def test_the_output_is_a_number_each_and_the_logits_of_each_category() -> None:
    numbers, logits = eqx.filter_jit(Autoencoder.reconstruct)(network(), rows())
    wanted = by_hand(network(), rows())
    assert numbers.shape == (7, 3)
    assert [scores.shape for scores in logits] == [(7, 4), (7, 9)]
    np.testing.assert_allclose(numbers, wanted[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits[1], wanted[1][1], rtol=1e-5, atol=1e-6)


def test_errors_are_squares_and_cross_entropies_by_hand() -> None:
    net, target = network(), rows()
    seen = target[0][::-1], target[1][::-1]
    np.testing.assert_allclose(errors(net, target, seen), errors_by_hand(net, target, seen), rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_weighted_mean_by_hand() -> None:
    net, batch = network(), rows()
    weight = np.array([1, 1, 0, 2, 1, 0.5, 1], dtype=np.float32)
    per_row = errors_by_hand(net, batch, batch).mean(axis=1)
    assert float(loss(net, (batch, jnp.asarray(weight)), None)) == pytest.approx(
        np.average(per_row, weights=weight), rel=1e-5
    )


def test_a_row_of_weight_zero_does_not_count() -> None:
    net, (numbers, categories) = network(), rows()
    weight = jnp.ones(7).at[4].set(0)
    other = (numbers.at[4].set(1e3), categories.at[4].set(0))

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss_and_gradient(net: Autoencoder, batch: EncodedRows) -> Any:
        return net.loss((batch, weight), jax.random.key(5))[0]

    assert eqx.tree_equal(loss_and_gradient(net, (numbers, categories)), loss_and_gradient(net, other))


def test_a_score_is_the_errors_weighed_by_share_and_spread() -> None:
    net = eqx.tree_at(
        lambda net: (net.share, net.spread),
        network(),
        (jnp.array([0.5, 0.2, 0.1, 0.1, 0.1]), jnp.array([1.0, 2.0, 4.0, 0.5, 1.0])),
    )
    wanted = errors_by_hand(net, rows(), rows()) * np.asarray(net.share) / np.asarray(net.spread)
    np.testing.assert_allclose(eqx.filter_jit(Autoencoder.parts)(net, rows()), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(score(net, rows()), wanted.sum(axis=1), rtol=1e-4)


def test_an_untouched_network_scores_the_plain_mean() -> None:
    wanted = errors_by_hand(network(), rows(), rows()).mean(axis=1)
    np.testing.assert_allclose(score(network(), rows()), wanted, rtol=1e-4)


def test_noise_comes_only_with_a_key() -> None:
    net, batch = network(), (rows(), jnp.ones(7))
    quiet = float(loss(net, batch, None))
    assert quiet == pytest.approx(errors_by_hand(net, rows(), rows()).mean(), rel=1e-5)
    first, again, other = (float(loss(net, batch, jax.random.key(seed))) for seed in (1, 1, 2))
    assert first == again
    assert len({quiet, first, other}) == 3


def test_every_row_gets_noise_of_its_own_strength() -> None:
    numbers, levels = jnp.zeros((2000, 40)), jnp.ones((2000, 2), jnp.int32)
    noisy, kept = eqx.filter_jit(Autoencoder.corrupt)(network(), (numbers, levels), jax.random.key(0))
    strength = np.asarray(noisy).std(axis=1)
    assert strength.mean() == pytest.approx(0.15, rel=0.05)
    assert strength.min() < 0.01
    assert 0.28 < np.quantile(strength, 0.97) < 0.33
    missing = np.asarray(kept) == 0
    assert missing.mean() == pytest.approx(0.075, abs=0.015)
    assert missing[strength > 0.15].mean() > 2 * missing[strength < 0.15].mean()
    assert set(np.unique(kept)) == {0, 1}, "a changed category is missing, not another level"


def test_the_gradient_is_finite_and_leaves_share_and_spread_alone() -> None:
    batch = (rows(), jnp.ones(7))
    gradient = eqx.filter_jit(eqx.filter_grad(loss))(network(), batch, jax.random.key(0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient.embeddings))
    assert not np.asarray(gradient.share).any()
    assert not np.asarray(gradient.spread).any()


@pytest.mark.parametrize(("n_numbers", "n_levels"), [(3, ()), (0, (4,))])
def test_numbers_or_categories_alone_will_do(n_numbers: int, n_levels: tuple[int, ...]) -> None:
    net, batch = network(n_numbers, n_levels), rows(5, n_numbers, n_levels)
    found = errors(net, batch, batch)
    assert found.shape == (5, n_numbers + len(n_levels))
    assert float(loss(net, (batch, jnp.ones(5)), None)) == pytest.approx(float(np.mean(found)), rel=1e-5)


def test_shapes_that_do_not_fit_are_refused_in_tests() -> None:
    numbers, categories = rows()
    with pytest.raises(TypeCheckError):
        score(network(), (numbers, categories[:3]))


ACTIVATED: dict[str, Any] = {
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / 2**0.5)) / 2,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "leaky-relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_goes_after_its_layer(name: str) -> None:
    stack = Stack([2, 2], [name], key=jax.random.key(0))
    stack = eqx.tree_at(lambda stack: stack.layers[0].weight, stack, jnp.array([[1.0, -1.0], [2.0, 0.0]]))
    wanted = ACTIVATED[name](np.array([[2.0, 0.0], [0.5, -1.5]]) @ stack.layers[0].weight)
    columns = jnp.array([[2.0, 0.0], [0.5, -1.5]]).T
    np.testing.assert_allclose(eqx.filter_jit(stack)(columns).T, wanted, atol=1e-3)


def test_a_layer_and_its_gradients_are_those_of_the_plain_product() -> None:
    layer = eqx.tree_at(lambda layer: layer.bias, Dense(3, 2, key=jax.random.key(0)), jnp.array([0.5, -0.25]))
    columns = jax.random.normal(jax.random.key(1), (3, 7))

    def plain(layer: Dense, columns: jax.Array) -> jax.Array:
        return layer.weight.T @ columns + layer.bias[:, None]

    def slopes(of: Callable[[Dense, jax.Array], jax.Array]) -> Any:
        return eqx.filter_grad(lambda both: jnp.sin(of(*both)).sum())((layer, columns))

    np.testing.assert_allclose(layer(columns), plain(layer, columns), rtol=1e-6)
    found, wanted = jax.tree.leaves(slopes(Dense.__call__)), jax.tree.leaves(slopes(plain))
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)
    three = jax.vmap(layer)(jnp.stack([columns, 2 * columns, -columns]))
    np.testing.assert_allclose(three[1], plain(layer, 2 * columns), rtol=1e-6)


def test_weights_start_glorot_uniform_and_biases_at_zero() -> None:
    layer = eqx.filter_jit(Dense)(300, 200, key=jax.random.key(0))
    bound = (6 / 500) ** 0.5
    assert 0.99 * bound < np.abs(np.asarray(layer.weight)).max() <= bound
    assert np.asarray(layer.weight).std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not np.asarray(layer.bias).any()


def test_the_seed_is_the_start() -> None:
    again = network.__wrapped__(seed=0)
    assert eqx.tree_equal(network(), again)
    assert not eqx.tree_equal(network(), network(seed=1))


def test_embeddings_stand_side_by_side() -> None:
    embeddings = eqx.filter_jit(Embeddings)(N_LEVELS, key=jax.random.key(0))
    vectors = np.asarray(eqx.filter_jit(embeddings)(jnp.array([[1, 8], [3, 0]])))
    first, second = (np.asarray(table) for table in embeddings.tables)
    np.testing.assert_array_equal(vectors[0], [*first[1], *second[8]])
    np.testing.assert_array_equal(vectors[1], [*first[3], *second[0]])


@pytest.mark.parametrize(("n_levels", "width"), [(3, 2), (4, 2), (25, 5), (256, 16), (1786, 16)])
def test_embeddings_widen_with_their_levels_up_to_16(n_levels: int, width: int) -> None:
    assert embedding_width(n_levels) == width
