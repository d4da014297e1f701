"""Folds: every row tested once, classes spread evenly, time never backwards, refusals in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import EvaluationError, ParameterError
from oddrow.evaluate.folds import (
    Fold,
    Spans,
    blocks_in_time,
    capped,
    check_folds,
    stratified_folds,
    walk_forward,
)

Y = np.array([1.0] * 10 + [0.0] * 90)
DAY = 86_400.0


def test_stratified_folds_test_every_row_once_in_each_repeat() -> None:
    folds = stratified_folds(Y, 5, 2, seed=0)
    for repeat in (folds[:5], folds[5:]):
        assert sorted(np.concatenate([fold.test for fold in repeat])) == list(range(100))
    assert all(Y[fold.test].sum() == 2 and len(fold.test) == 20 for fold in folds)
    assert all(not set(fold.train) & set(fold.test) for fold in folds)
    assert folds[0].test.tolist() != folds[5].test.tolist()


def test_the_same_seed_draws_the_same_folds() -> None:
    first, again, other = (stratified_folds(Y, 2, 1, seed)[0].test.tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("n_rare", [1, 3])
def test_too_few_rows_of_a_class_for_the_folds(n_rare: int) -> None:
    y = np.array([1.0] * n_rare + [0.0] * 50)
    with pytest.raises(EvaluationError, match=f"{n_rare} rows of one class cannot be spread over 5 folds"):
        stratified_folds(y, 5, 1, 0)


@given(st.lists(st.integers(0, 20), min_size=12, max_size=60), st.integers(1, 5))
def test_blocks_never_train_on_what_is_not_earlier(times: list[int], n_folds: int) -> None:
    at = np.array(times)
    folds = blocks_in_time(at, n_folds)
    assert len(folds) == n_folds
    for fold in folds:
        assert not len(fold.train) or at[fold.train].max() < at[fold.test].min()


def test_the_handbooks_weeks() -> None:
    times = np.arange(0, 28 * DAY, DAY / 4)
    one, two = walk_forward(times, Spans(7 * DAY, 7 * DAY, 7 * DAY), 5)
    assert (times[one.train].min(), times[one.train].max()) == (0, 6.75 * DAY)
    assert (times[one.test].min(), times[one.test].max()) == (14 * DAY, 20.75 * DAY)
    assert times[two.test].min() == 21 * DAY, "the next week is tested after that of the first fold"


def test_walking_begins_where_it_is_told_to() -> None:
    (fold,) = walk_forward(np.arange(10.0), Spans(2, 0, 2), 1, start=4.0)
    assert (fold.train.tolist(), fold.test.tolist()) == ([4, 5], [6, 7])


def test_spans_beyond_the_rows() -> None:
    with pytest.raises(EvaluationError, match="too little for 7 of training, 7 of delay and 7 of test"):
        walk_forward(np.arange(10.0), Spans(7, 7, 7), 1)


def test_a_row_on_both_sides_is_refused() -> None:
    with pytest.raises(EvaluationError, match="fold 1: a row trains and tests"):
        check_folds([Fold(np.arange(50), np.arange(49, 100))], Y)


def test_a_side_without_a_class_is_refused() -> None:
    with pytest.raises(EvaluationError, match="fold 1: no anomaly is among its 50 test rows"):
        check_folds([Fold(np.arange(50), np.arange(50, 100))], Y)
    with pytest.raises(EvaluationError, match="fold 1: no normal row is among its 5 training rows"):
        check_folds([Fold(np.arange(5), np.arange(5, 100))], Y)


@pytest.mark.parametrize(("n_folds", "n_repeats"), [(1, 1), (5, 0), (2.5, 1)])
def test_numbers_that_mean_no_folds(n_folds: float, n_repeats: int) -> None:
    with pytest.raises(ParameterError):
        stratified_folds(Y, n_folds, n_repeats, 0)  # type: ignore[arg-type]


def test_capping_keeps_the_rare_class_whole() -> None:
    rows = capped(np.arange(100), Y, 30, np.random.default_rng(0))
    assert Y[rows].sum() == 10
    assert len(rows) == len(set(rows)) == 30
    assert capped(np.arange(100), Y, None, np.random.default_rng(0)).tolist() == list(range(100))
    turned = capped(np.arange(100), 1 - Y, 30, np.random.default_rng(0))
    assert (1 - Y)[turned].sum() == 20


def test_a_cap_that_leaves_a_class_out_is_refused_before_anything_is_fitted() -> None:
    folds = [Fold(np.arange(50), np.arange(50, 100)), Fold(np.arange(50, 100), np.arange(50))]
    y = (np.arange(100) % 10 == 0).astype(float)
    with pytest.raises(EvaluationError, match="max_rows=5 leaves nothing of the larger class beside 5 rare rows"):
        check_folds(folds, y, most=5)
    check_folds(folds, y, most=6)


def test_a_last_span_that_is_hardly_begun_is_left_out() -> None:
    times = np.arange(0, 30 * DAY, DAY / 4)
    folds = walk_forward(times, Spans(7 * DAY, 7 * DAY, 7 * DAY), 5)
    assert len(folds) == 2, "the third would test two days only"


def test_more_blocks_than_rows_are_refused() -> None:
    with pytest.raises(EvaluationError, match="5 rows are too few for 6 blocks"):
        blocks_in_time(np.arange(5), 5)
