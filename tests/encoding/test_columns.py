"""What an encoder learns of single columns: range, decimals and levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.encoding.column_encoding import MAX_DECIMALS, MISSING, CategoryColumn, NumberColumn, scale_numbers
from oddrow.encoding.encoder import SCALINGS, TableEncoder
from oddrow.errors import ParameterError
from oddrow.table.schema import Schema


def fitted(values: list[float | None], **parameters: Any) -> NumberColumn:
    frame = pl.DataFrame({"a": pl.Series(values, dtype=pl.Float64)})
    (column,) = TableEncoder(**parameters).fit(frame, Schema.infer(frame, {"a": "numeric"})).number_columns_
    return column


@pytest.mark.parametrize("numbers", SCALINGS)
def test_range_and_decimals_are_those_of_the_training_rows(numbers: str) -> None:
    def looks(values: list[float | None]) -> tuple[float | None, float | None, int | None]:
        column = fitted(values, numbers=numbers)
        return column.low, column.high, column.decimals

    assert looks([3.0, 1.0, 7.0]) == (1, 7, 0)
    assert looks([0.25, -1.5, None]) == (-1.5, 0.25, 2)
    assert looks([1 / 3, 2.0]) == (1 / 3, 2, None)
    assert looks([0.12345, 2.0]) == (0.12345, 2, None)
    assert looks([None, None]) == (None, None, None)
    assert looks([1e300, 0.5]) == (0.5, 1e300, 1)


def test_decimals_of_later_rows_count_too() -> None:
    assert fitted([*map(float, range(3000)), 0.5]).decimals == 1


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_clipped_and_rounded_values_lie_in_the_range_of_the_training_rows(
    known: list[float], values: list[float]
) -> None:
    column = fitted([*known])
    brought = column.clip_and_round(np.array(values))
    assert ((brought >= min(known)) & (brought <= max(known))).all()
    np.testing.assert_array_equal(column.clip_and_round(brought), brought)
    np.testing.assert_array_equal(column.clip_and_round(np.array(known)), np.array(known))


def test_without_known_values_every_value_becomes_missing() -> None:
    assert np.isnan(fitted([None]).clip_and_round(np.array([1.0, np.nan]))).all()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_a_row_is_scaled_as_its_columns_are(row: list[float]) -> None:
    columns = [NumberColumn("a", "value", 1.5, 0.3, soft_limit=limit) for limit in (10.0, None, 0.1)]
    limits, is_soft = np.array([10.0, 1.0, 0.1]), np.array([True, False, True])
    scaled = scale_numbers(np.array(row), np.full(3, 1.5), np.full(3, 0.3), limits, is_soft)
    expected = [column.encode(np.array([value])) for column, value in zip(columns, row, strict=True)]
    np.testing.assert_array_equal(scaled, np.concatenate(expected))


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 2.0, "high": 1.0},
        {"low": 1.0},
        {"high": 1.0},
        {"decimals": -1},
        {"decimals": MAX_DECIMALS + 1},
        {"scale": 0.0},
        {"soft_limit": -1.0},
    ],
)
def test_a_state_that_fitting_cannot_produce_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match="'a'"):
        NumberColumn("a", "value", **wrong).check()  # type: ignore[arg-type]


def test_the_likeliest_levels_are_known_ones() -> None:
    column = CategoryColumn("shop", ("a", "b"), has_rare=True, one_hot=False)
    chances = np.array([[9.0, 8, 7, 1, 2], [9.0, 8, 7, 2, 1]])
    assert column.known_levels == [3, 4]
    assert column.likeliest(chances).tolist() == [4, 3]
    assert column.likeliest(chances, 1).tolist() == [3, 4]
    assert column.likeliest(chances, 7).tolist() == [3, 4]
    with_gaps = CategoryColumn("shop", ("a", "b"), has_rare=True, one_hot=False, has_missing=True)
    assert with_gaps.likeliest(chances).tolist() == [MISSING, MISSING]
    assert CategoryColumn("shop", (), has_rare=False, one_hot=False).known_levels == [MISSING]


def test_a_category_knows_whether_training_rows_had_missing_values() -> None:
    frame = pl.DataFrame({"full": ["a", "b"], "gaps": ["a", None], "given": ["a", None]})
    encoder = TableEncoder(levels={"given": ["a", "b"]}).fit(frame, Schema.infer(frame))
    assert [column.has_missing for column in encoder.category_columns_] == [False, True, True]
