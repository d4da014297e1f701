"""Tables as matrices: categories as 0/1 numbers, and scores that do not depend on slices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from oddrow.encoding import numeric_matrix
from oddrow.encoding.encoder import TableEncoder
from oddrow.encoding.numeric_matrix import MOST_LEVELS, NumericMatrix
from oddrow.table.table import Table


class Sum:
    """Scores a row by the sum of its numbers and remembers how many rows it was shown at once."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        self.shown.append(len(X))
        scores: npt.NDArray[np.float64] = X.sum(axis=1, dtype=np.float64)
        return scores


# Columns for missing, unseen and rare beside those of the levels.
SPECIAL = 3


def table(n_levels: int = 3, n_rows: int = 100) -> Table:
    amount = np.random.default_rng(0).normal(size=n_rows)
    return Table.from_frame(pl.DataFrame({"amount": amount, "shop": [f"s{row % n_levels}" for row in range(n_rows)]}))


def test_categories_become_columns_of_their_most_frequent_levels() -> None:
    few, many = NumericMatrix(table())(table()), NumericMatrix(table(60))(table(60))
    assert few.shape == (100, 1 + 3 + SPECIAL)
    assert set(few[:, 1:].ravel()) == {0.0, 1.0}
    assert many.shape == (100, 1 + MOST_LEVELS + SPECIAL)


def test_a_one_hot_encoder_keeps_its_parameters() -> None:
    assert NumericMatrix(table(60), TableEncoder(one_hot_up_to=100))(table(60)).shape == (100, 1 + 60 + SPECIAL)


def test_slices_do_not_change_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, rows = NumericMatrix(table()), table()
    monkeypatch.setattr(numeric_matrix, "ROWS_AT_ONCE", 40)
    model = Sum()
    np.testing.assert_array_equal(taken.scorer(model)(rows), taken(rows).sum(axis=1, dtype=np.float64))
    assert model.shown == [40, 40, 20]


def test_the_encoder_is_not_changed() -> None:
    encoder = TableEncoder(max_levels=100)
    NumericMatrix(Table.from_frame(pl.DataFrame({"c": ["a", "b"]})), encoder)
    assert (encoder.max_levels, encoder.one_hot_up_to, hasattr(encoder, "number_columns_")) == (100, 0, False)
