"""Folds: every row tested once, classes spread evenly, time never backwards, refusals in words."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import EvaluationError, ParameterError
from oddrow.evaluate.folds import (
    Fold,
    Spans,
    blocks_in_time,
    check_folds,
    entity_folds,
    stratified_folds,
    thinned,
    walk_forward,
    without_compromised,
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
    with pytest.raises(EvaluationError, match="fold 1: training and test rows overlap"):
        check_folds([Fold(np.arange(50), np.arange(49, 100))], Y)


def test_a_side_without_a_class_is_refused() -> None:
    with pytest.raises(EvaluationError, match="fold 1: no anomaly among its 50 test rows"):
        check_folds([Fold(np.arange(50), np.arange(50, 100))], Y)
    with pytest.raises(EvaluationError, match="fold 1: no normal row among its 5 training rows"):
        check_folds([Fold(np.arange(5), np.arange(5, 100))], Y)


@pytest.mark.parametrize(("n_folds", "n_repeats"), [(1, 1), (5, 0), (2.5, 1)])
def test_numbers_that_mean_no_folds(n_folds: float, n_repeats: int) -> None:
    with pytest.raises(ParameterError):
        stratified_folds(Y, n_folds, n_repeats, 0)  # type: ignore[arg-type]


def test_capping_keeps_the_rare_class_whole() -> None:
    rows = thinned(np.arange(100), Y, 30, np.random.default_rng(0))
    assert Y[rows].sum() == 10
    assert len(rows) == len(set(rows)) == 30
    assert thinned(np.arange(100), Y, None, np.random.default_rng(0)).tolist() == list(range(100))
    turned = thinned(np.arange(100), 1 - Y, 30, np.random.default_rng(0))
    assert (1 - Y)[turned].sum() == 20


def test_a_cap_that_leaves_a_class_out_is_refused_before_anything_is_fitted() -> None:
    folds = [Fold(np.arange(50), np.arange(50, 100)), Fold(np.arange(50, 100), np.arange(50))]
    y = (np.arange(100) % 10 == 0).astype(float)
    with pytest.raises(EvaluationError, match="max_rows=5 must exceed the 5 rows of the rarer class in fold"):
        check_folds(folds, y, most=5)
    check_folds(folds, y, most=6)


def test_a_last_span_that_is_hardly_begun_is_left_out() -> None:
    times = np.arange(0, 30 * DAY, DAY / 4)
    folds = walk_forward(times, Spans(7 * DAY, 7 * DAY, 7 * DAY), 5)
    assert len(folds) == 2, "the third would test two days only"


def test_more_blocks_than_rows_are_refused() -> None:
    with pytest.raises(EvaluationError, match="5 rows are too few for 6 blocks"):
        blocks_in_time(np.arange(5), 5)


# By entity


@given(st.integers(30, 200), st.integers(2, 4), st.integers(0, 1000))
def test_no_entity_is_on_both_sides_and_every_row_is_tested_once(n_entities: int, n_folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    entity = 10**12 + np.append(np.arange(n_entities), rng.integers(0, n_entities, 4 * n_entities))
    y = (entity % 3 == 0).astype(float)
    folds = entity_folds(y, entity, n_folds, seed)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(y)))
    for fold in folds:
        assert not set(entity[fold.train]) & set(entity[fold.test])
        assert y[fold.test].mean() == pytest.approx(y.mean(), abs=0.1)


def test_the_seed_draws_the_folds_of_entities() -> None:
    y, entity = Y, np.arange(100) // 2
    first, again, other = (entity_folds(y, entity, 2, seed)[0].test.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_an_entity_on_both_sides_is_refused() -> None:
    entity = np.arange(100) // 4
    folds = [Fold(np.arange(0, 100, 2), np.arange(1, 100, 2))]
    check_folds(folds, Y)
    with pytest.raises(EvaluationError, match=r"fold 1: training and test rows share 25 entities \(first: 0\)"):
        check_folds(folds, Y, entity=entity)


def test_an_entity_with_half_the_rows_is_refused() -> None:
    y = (np.arange(400) % 5 == 0).astype(float)
    entity = np.where(np.arange(400) < 200, 77, np.arange(400))
    said = "would test 50% of the rows: entity 77 alone holds 50%. Expected about 20%: ask for fewer folds"
    with pytest.raises(EvaluationError, match=said):
        entity_folds(y, entity, 5, seed=0)
    assert len(entity_folds(y, entity, 2, seed=0)) == 2, "half of the rows are a fold of two"


def test_an_entity_with_most_of_the_anomalies_is_refused() -> None:
    entity = np.where(np.arange(400) < 40, 77, np.arange(400))
    y = ((np.arange(400) < 40) | (np.arange(400) % 40 == 0)).astype(float)
    with pytest.raises(EvaluationError, match=r"of the anomalies: entity 77 alone holds 82%\. Expected about 25%"):
        entity_folds(y, entity, 4, seed=0)


def test_fewer_entities_of_a_class_than_folds_are_refused() -> None:
    entity = np.arange(100) // 5
    with pytest.raises(EvaluationError, match="2 of 20 entities have an anomaly: too few for 5 folds"):
        entity_folds(Y, entity, 5, seed=0)
    with pytest.raises(EvaluationError, match="2 of 20 entities have a normal row: too few for 5 folds"):
        entity_folds(1 - Y, entity, 5, seed=0)


# Known to be compromised


def known(y: list[int], entity: list[int], times: list[float], fold: Fold, delay: float, begin: float = 0) -> list[int]:
    """The rows that are still tested, days of length 1."""
    arrays = np.array(y, float), np.array(entity), np.array(times, float)
    test: list[int] = without_compromised(fold, *arrays, delay=delay, day=1, begin=begin).test.tolist()
    return test


def test_a_card_is_known_once_its_anomaly_is_older_than_the_delay() -> None:
    # Row 0 trains, row 1 lies between; delay 2: at the days that begin at 3, 4, 5 labels before 1, 2, 3 are known.
    fold = Fold(np.array([0]), np.array([2, 3, 4, 5]))
    entity, times = [8, 7, 7, 7, 7, 8], [0, 2.0, 3.9, 4.9, 5.0, 5.1]
    assert known([0, 1, 0, 0, 0, 0], entity, times, fold, delay=2) == [2, 3, 5]
    times[1] = 1.9
    assert known([0, 1, 0, 0, 0, 0], entity, times, fold, delay=2) == [2, 5]
    assert known([0, 0, 0, 0, 0, 0], entity, times, fold, delay=2) == [2, 3, 4, 5]
    assert known([0, 0, 1, 0, 0, 0], entity, times, fold, delay=0) == [2, 5], "a test anomaly is known the day after"


def test_anomalies_in_training_are_known_and_those_before_it_are_not() -> None:
    fold = Fold(np.array([1]), np.array([2, 3]))
    assert known([1, 1, 0, 0], [7, 8, 7, 8], [0.0, 1.0, 2.0, 2.0], fold, delay=9, begin=1) == [2]


def test_days_count_from_the_earliest_training_time() -> None:
    y, entity, times = np.array([0.0, 1, 0]), np.array([8, 7, 7]), np.array([10.0, 11.2, 12.4])
    fold = Fold(np.array([0]), np.array([2]))
    assert without_compromised(fold, y, entity, times, delay=1, day=1).test.tolist() == [2]
    assert without_compromised(fold, y, entity, times, delay=1, day=1, begin=9.3).test.tolist() == []
    with pytest.raises(ParameterError, match="day=0"):
        without_compromised(fold, y, entity, times, delay=1, day=0)


@given(st.integers(0, 1000), st.integers(0, 4), st.integers(1, 5))
def test_no_label_younger_than_the_delay_is_used(seed: int, delay: int, n_test: int) -> None:
    rng = np.random.default_rng(seed)
    times, entity = np.sort(rng.uniform(0, 30, 150)), rng.integers(0, 15, 150)
    y = (rng.random(150) < 0.2).astype(float)
    for fold in walk_forward(times, Spans(6, delay, n_test), 4, start=0.0):
        assert times[fold.train].max() < times[fold.test].min(initial=np.inf) - delay
        begin = np.floor(times[fold.train].min())
        found = without_compromised(fold, y, entity, times, delay=delay, day=1, begin=begin)
        assert set(found.test) <= set(fold.test)
        assert found.train is fold.train
        for row in fold.test:
            # Whatever is labelled later than a delay before the row's day may change: the row stays or goes as before.
            young = times >= np.floor(times[row]) - delay
            turned = np.where(young, 1 - y, y)
            again = without_compromised(fold, turned, entity, times, delay=delay, day=1, begin=begin)
            assert (row in again.test) == (row in found.test)


def test_the_handbooks_published_week(data: Path) -> None:
    path = data / "fraud_detection_handbook" / "fdh_transformed.parquet"
    if not path.exists():
        pytest.skip("the Handbook's table is not among the data")
    rows = pl.read_parquet(path, columns=["TX_DATETIME", "CUSTOMER_ID", "TX_FRAUD"])
    start = datetime(2018, 7, 25)
    times = ((rows["TX_DATETIME"] - start).dt.total_seconds()).to_numpy().astype(float)
    y, entity = rows["TX_FRAUD"].to_numpy().astype(float), rows["CUSTOMER_ID"].to_numpy()
    (fold,) = walk_forward(times, Spans(7 * DAY, 7 * DAY, 7 * DAY), 1, start=0.0)
    assert (len(fold.train), y[fold.train].sum()) == (67_240, 598)
    found = without_compromised(fold, y, entity, times, delay=7 * DAY, begin=0.0)
    assert (len(found.test), y[found.test].sum()) == (58_264, 385)
