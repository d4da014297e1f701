"""Draws of rows: average precision as scikit-learn has it, intervals that cover, p-values by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from oddrow.evaluate.intervals import average_precisions, draws_of_rows, interval, p_value

SCORES = st.lists(st.integers(0, 6), min_size=4, max_size=40)


@given(SCORES, st.integers(0, 1000))
def test_average_precision_of_draws_is_scikit_learns(scores: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = (np.arange(len(scores)) % 3 == 0).astype(float)
    at, weight = np.array(scores, float), rng.uniform(0.5, 9, len(scores))
    draws = draws_of_rows(y, seed, n_draws=7)
    ours = average_precisions(y, at, weight, draws)
    theirs = [average_precision_score(y, at, sample_weight=weight * draw) for draw in draws]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_each_class_keeps_its_number_of_rows_and_the_seed_decides() -> None:
    y = np.array([1.0] * 3 + [0.0] * 97)
    draws = draws_of_rows(y, seed=0)
    assert (draws[:, :3].sum(axis=1) == 3).all()
    assert (draws[:, 3:].sum(axis=1) == 97).all()
    assert (draws == draws_of_rows(y, seed=0)).all()
    assert (draws != draws_of_rows(y, seed=1)).any()


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([1.0, 0.0], [2000, 18_000])
    truth = average_precision_score(y, y + rng.normal(size=len(y)))
    covered = []
    for seed in range(100):
        rows = np.concatenate([np.ones(60), np.zeros(540)])
        scores = rows + rng.normal(size=len(rows))
        low, high = interval(0.0, average_precisions(rows, scores, None, draws_of_rows(rows, seed, 200)))[1:]
        covered.append(low <= truth <= high)
    # 95 of 100, give or take what 100 draws of 60 anomalies tell.
    assert np.mean(covered) >= 0.9


def test_p_values_by_hand() -> None:
    assert p_value(np.array([1.0] * 99)) == pytest.approx(0.02)
    assert p_value(np.array([1.0, -1.0])) == 1.0
    assert p_value(np.zeros(5)) == 1.0
