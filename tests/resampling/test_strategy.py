"""How many rows to make, held against imbalanced-learn's own reading of `sampling_strategy`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imblearn.utils import check_sampling_strategy

from oddrow.errors import ParameterError
from oddrow.resampling.contract import rows_to_make

TWO = np.repeat([0, 1], [100, 10])
THREE = np.repeat(["a", "b", "c"], [50, 20, 5])


def counts(y: np.ndarray) -> dict[Any, int]:
    labels, rows = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), rows.tolist(), strict=True))


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two classes", "three classes"])
@pytest.mark.parametrize("strategy", ["auto", "minority", "not minority", "not majority", "all"])
def test_words_mean_what_they_mean_in_imbalanced_learn(y: np.ndarray, strategy: str) -> None:
    assert rows_to_make(strategy, counts(y), y) == dict(check_sampling_strategy(strategy, y, "over-sampling"))


@pytest.mark.parametrize(
    ("y", "strategy"),
    [
        (TWO, 0.5),
        (TWO, 1.0),
        (TWO, {1: 30}),
        (THREE, {"b": 20, "c": 40}),
        (THREE, lambda y: {"c": 6}),
    ],
)
def test_numbers_and_dictionaries_too(y: np.ndarray, strategy: Any) -> None:
    assert rows_to_make(strategy, counts(y), y) == dict(check_sampling_strategy(strategy, y, "over-sampling"))


def test_a_ratio_that_is_there_already_adds_nothing() -> None:
    assert rows_to_make(0.1, counts(TWO), TWO) == {1: 0}


@pytest.mark.parametrize(
    ("y", "strategy", "message"),
    [
        (TWO, "minorty", "sampling_strategy='minorty' is not one of .* Did you mean 'minority'"),
        (TWO, 0.05, "asks for 5 rows of class 1, but there are 10 already"),
        (TWO, 1.5, "sampling_strategy=1.5 is not a finite number above 0 and at most 1"),
        (TWO, 0, "sampling_strategy=0 is not"),
        (TWO, None, "sampling_strategy=None is not"),
        (TWO, {1: 5}, "asks for 5 rows of class 1, but there are 10 already. A sampler only adds rows"),
        (TWO, {1: 12.5}, "class 1=12.5 is not a whole number"),
        (THREE, 0.5, "a float is minority / majority, but there are 3 classes"),
        (THREE, {"d": 90}, "no row has class 'd'"),
    ],
)
def test_what_means_nothing_is_refused(y: np.ndarray, strategy: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        rows_to_make(strategy, counts(y), y)
