"""The hash of a row depends on its content alone: not on the process, the batch or the type of a value."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.table.schema import Schema
from oddrow.table.table import row_hashes, table_hashes

FRAME = pl.DataFrame(
    {
        "amount": [1.5, None, -0.25],
        "shop": ["books", "café", None],
        "online": [True, None, False],
        "time": [datetime(2024, 1, 1, 12), datetime(2024, 2, 29), None],
    }
)


def test_hashes_are_the_same_in_every_process_and_version() -> None:
    # Fingerprints in saved models hold these numbers: changing how they are made needs a new artifact format.
    assert row_hashes(FRAME).tolist() == [2984772606144470673, 953291217125357391, 3648581160993965437]


def hashes(values: Any, name: str = "c") -> list[int]:
    return list(row_hashes(pl.DataFrame({name: values})).tolist())


def test_equal_values_have_equal_hashes() -> None:
    assert len(set(hashes([0.0, -0.0]))) == 1
    assert len(set(hashes([1.5, 1.5]))) == 1
    assert len(set(hashes([None, None], "c"))) == 1
    assert hashes(pl.Series([1.5], dtype=pl.Float32)) == hashes([1.5])


@pytest.mark.parametrize(
    "values",
    [
        [1.5, 1.5000000000000002, -1.5, 0.0, 5e-324, None],
        ["a", "b", "ab", "A", "", None],
        [True, False, None],
        [datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 0, 0, 1), None],
    ],
)
def test_different_values_have_different_hashes(values: list[Any]) -> None:
    assert len(set(hashes(values))) == len(values)


def test_the_hash_depends_on_the_column_of_a_value() -> None:
    assert hashes([1.5], "a") != hashes([1.5], "b")
    swapped = pl.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0]})
    assert len(set(row_hashes(swapped).tolist())) == 2


@given(st.permutations(range(3)))
def test_rows_are_hashed_one_by_one(order: list[int]) -> None:
    whole = row_hashes(FRAME)
    assert row_hashes(FRAME[order]).tolist() == whole[order].tolist()
    assert [row_hashes(FRAME[row : row + 1])[0] for row in order] == whole[order].tolist()


def test_the_same_rows_from_other_files_have_equal_hashes() -> None:
    frame = pl.DataFrame({"n": [1, 2], "c": ["1", "2"], "d": [date(2024, 1, 1), date(2024, 1, 2)]})
    schema = Schema.infer(frame, {"n": "numeric", "c": "category", "d": "time"})
    other = pl.DataFrame(
        {"d": [datetime(2024, 1, 1), datetime(2024, 1, 2)], "c": [1.0, 2.0], "more": [0, 0], "n": ["1.0", "2"]}
    )
    assert row_hashes(schema.conform(other)).tolist() == row_hashes(schema.conform(frame)).tolist()


def test_hashes_spread_evenly() -> None:
    spread = row_hashes(pl.DataFrame({"a": np.arange(4000.0), "b": ["x"] * 4000}))
    assert len(np.unique(spread)) == 4000
    counts = np.bincount((spread >> np.uint64(60)).astype(np.int64), minlength=16)
    assert counts.min() > 180  # 250 expected; 4.6 standard deviations below


def test_no_columns_and_no_rows() -> None:
    assert row_hashes(pl.DataFrame({"a": pl.Series([], dtype=pl.String)})).tolist() == []


def test_hashing_in_slices_changes_nothing() -> None:
    frame = pl.DataFrame({"amount": np.arange(70_000) % 1000, "shop": ["books", "café"] * 35_000})
    schema = Schema.infer(frame)
    assert table_hashes(frame, schema).tolist() == row_hashes(schema.conform(frame)).tolist()
