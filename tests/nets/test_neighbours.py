"""Distances to the nearest reference rows are those that all pairs have, whatever the sizes and the company."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oddrow.nets.neighbours import GROUP, ROWS_AT_ONCE, Neighbours

nearest = eqx.filter_jit(Neighbours.nearest)


def distance(of: Neighbours, rows: Any) -> Any:
    """To the nearest alone."""
    return nearest(of, rows).distances[:, 0]


def some_rows(n: int, n_numbers: int = 3, n_categories: int = 2, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, n_numbers)).astype(np.float32)
    return jnp.asarray(numbers), jnp.asarray(rng.integers(0, 3, (n, n_categories)), jnp.int32)


def reference(n_reference: int, n_nearest: int = 1, **widths: int) -> Neighbours:
    rows = some_rows(n_reference, seed=1, **widths)
    return Neighbours(*rows, scale=jnp.linspace(0.5, 2, rows[0].shape[1]), n_nearest=n_nearest)


def by_all_pairs(of: Neighbours, rows: Any) -> np.ndarray:
    """All distances in float64, each row's in rising order."""
    numbers, categories = (np.asarray(part, np.float64) for part in rows)
    apart = (numbers[:, None] - np.asarray(of.numbers, np.float64)) * np.asarray(of.scale, np.float64)
    differ = categories[:, None] != np.asarray(of.categories)
    return np.sort(np.sqrt((apart**2).sum(axis=2) + differ.sum(axis=2)), axis=1)


@pytest.mark.parametrize("n_nearest", [1, 5])
@pytest.mark.parametrize("n_reference", [2, GROUP - 1, GROUP, GROUP + 1, 10 * GROUP + 3])
def test_the_nearest_are_those_of_all_pairs(n_reference: int, n_nearest: int) -> None:
    of, rows = reference(n_reference, n_nearest), some_rows(40)
    expected = by_all_pairs(of, rows)[:, : n_nearest + 1]
    distances, indices = nearest(of, rows)
    np.testing.assert_allclose(distances, expected, rtol=1e-5, atol=2e-6)
    assert all(len(set(row)) == len(row) and max(row) < n_reference for row in np.asarray(indices).tolist())


@pytest.mark.parametrize("widths", [{"n_numbers": 0}, {"n_categories": 0}, {"n_numbers": 200}])
def test_tables_of_one_kind_of_column_and_wide_ones(widths: dict[str, int]) -> None:
    of, rows = reference(100, 3, **widths), some_rows(20, **widths)
    np.testing.assert_allclose(nearest(of, rows)[0], by_all_pairs(of, rows)[:, :4], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("n_rows", [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE])
def test_any_number_of_rows(n_rows: int) -> None:
    of, rows = reference(50), some_rows(n_rows)
    np.testing.assert_allclose(distance(of, rows), by_all_pairs(of, rows)[:, 0], rtol=1e-5, atol=2e-6)


def test_a_reference_row_is_at_no_distance_however_far_it_lies() -> None:
    of = reference(300)
    far = Neighbours(of.numbers + 1e4, of.categories, scale=of.scale)
    distances, indices = nearest(far, (far.numbers, far.categories))
    assert float(distances[:, 0].max()) <= 2e-6
    np.testing.assert_array_equal(indices[:, 0], np.arange(300))


def test_a_reference_row_is_left_out_and_a_double_of_it_is_not() -> None:
    numbers, categories = some_rows(60, seed=1)
    twice = Neighbours(
        numbers.at[7].set(numbers[3]), categories.at[7].set(categories[3]), scale=jnp.ones(3), n_nearest=4
    )
    found = nearest(twice, twice.rows)
    np.testing.assert_array_equal(found.identical, np.where(np.arange(60) == 7, found.identical[7], np.arange(60)))
    assert int(found.identical[7]) in (3, 7)
    others = by_all_pairs(twice, twice.rows)[:, 1:5].mean(axis=1)
    np.testing.assert_allclose(found.mean_distance(found.identical), others, rtol=1e-5, atol=2e-6)


def test_a_row_that_is_no_reference_row_leaves_nothing_out() -> None:
    of, rows = reference(60, 4), some_rows(30)
    found = nearest(of, rows)
    assert (np.asarray(found.identical) == -1).all()
    expected = by_all_pairs(of, rows)[:, :4].mean(axis=1)
    np.testing.assert_allclose(found.mean_distance(found.identical), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("apart", [10.0, 1000.0])
def test_of_clusters_far_apart_the_nearest_is_missed_by_no_more_than_rounding(apart: float) -> None:
    of, side = reference(400), jnp.where(jnp.arange(400) % 2 == 0, apart, -apart)[:, None]
    split = eqx.tree_at(lambda of: of.numbers, of, of.numbers + side)
    rows = some_rows(50)
    rows = (rows[0] + apart, rows[1])
    found, expected = np.asarray(distance(split, rows)), by_all_pairs(split, rows)[:, 0]
    from_the_median = np.square((np.asarray(rows[0]) - np.asarray(of.median)) * np.asarray(of.scale)).sum(axis=1)
    assert (found**2 <= expected**2 + 1e-6 * from_the_median + 1e-5).all()
    assert (found >= expected - 1e-3).all()


def test_one_reference_row_far_out_spoils_no_distance() -> None:
    numbers, categories = some_rows(400, seed=1)
    of = Neighbours(numbers.at[7].set(1e6), categories, scale=jnp.ones(3))
    rows = some_rows(60)
    np.testing.assert_allclose(distance(of, rows), by_all_pairs(of, rows)[:, 0], rtol=1e-5, atol=2e-6)


def test_company_changes_nothing_to_the_bit() -> None:
    of, rows = reference(100, 2), some_rows(2 * ROWS_AT_ONCE)
    turned = jax.tree.map(lambda leaf: leaf[::-1], rows)
    np.testing.assert_array_equal(nearest(of, rows).distances, nearest(of, turned).distances[::-1])


def test_the_slope_leads_away_from_the_nearest_and_is_finite_at_it() -> None:
    of = reference(100)
    slope = jax.grad(lambda numbers, categories: of.nearest((numbers, categories)).distances[:, 0].sum())
    numbers, categories = of.numbers[:5], of.categories[:5]
    assert np.isfinite(slope(numbers, categories)).all()
    step = jnp.array([[1e-2, 0.0, 0.0]])
    assert (np.asarray(slope(numbers + step, categories))[:, 0] > 0).all()
