"""Datasets: rows selected by time, with labels and weights, split into training and held-out rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import ParameterError, TableError
from oddrow.outcomes import Outcomes
from oddrow.table.dataset import Dataset, columns_rising_with_time, read_dataset
from oddrow.table.delimited import ReadOptions
from oddrow.table.join import Join
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.split import Split, split_dataset
from oddrow.table.table import Table


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "rows.csv"
    file.write_text("t,x,y,w\n3,30,0,1\n1,10,1,2\n2,20,,3\n4,40,0,4\n")
    return str(file)


def selected(path: str, roles: Roles, start: str | None = None, until: str | None = None, **more: Any) -> Dataset:
    return read_dataset(path, ReadOptions(), roles, start, until, **more)


def test_selected_rows_keep_their_row_numbers_labels_and_weights(path: str) -> None:
    chosen = selected(path, Roles(label="y", time="t", weight="w"), "2", "4")
    assert chosen.rows.tolist() == [0, 2]
    assert chosen.table.frame["x"].to_list() == [30, 20]
    np.testing.assert_array_equal(chosen.outcomes.y, [0, np.nan])
    np.testing.assert_array_equal(chosen.outcomes.weight, [1, 3])


def test_without_bounds_every_row_is_selected(path: str) -> None:
    chosen = selected(path, Roles())
    assert chosen.rows.tolist() == [0, 1, 2, 3]
    assert chosen.outcomes.y is None
    assert chosen.outcomes.weight is None
    assert chosen.normal is chosen


def test_normal_rows_are_those_not_known_to_be_anomalous(path: str) -> None:
    assert selected(path, Roles(label="y")).normal.rows.tolist() == [0, 2, 3]


def test_taken_rows_keep_their_labels(path: str) -> None:
    chosen = selected(path, Roles(label="y", weight="w")).take(np.array([3, 1]))
    assert chosen.rows.tolist() == [3, 1]
    assert chosen.table.frame["x"].to_list() == [40, 10]
    assert chosen.outcomes.y is not None
    assert chosen.outcomes.y.tolist() == [0, 1]
    assert chosen.take(np.array([False, True])).rows.tolist() == [1]


def test_bounds_need_a_time_column_and_must_select_a_row(path: str) -> None:
    with pytest.raises(ParameterError, match="need a time column: --time COLUMN"):
        selected(path, Roles(), "2", None)
    with pytest.raises(TableError, match=r"rows.csv: no row has 7 <= t < 9\."):
        selected(path, Roles(time="t"), "7", "9")


def test_times_are_checked_even_without_bounds(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("t,x\n1,2\n,3\n")
    with pytest.raises(TableError, match=r"column 't': 1 of 2 times is missing \(row 1 None\)"):
        selected(str(tmp_path / "rows.csv"), Roles(time="t"))


def test_read_options_are_followed(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,-\n0,2\n")
    read = ReadOptions(names=("y", "x"), missing=("-",))
    chosen = read_dataset(str(tmp_path / "rows.csv"), read, Roles(label="y"), None, None)
    assert chosen.table.frame["x"].to_list() == [None, 2]
    assert chosen.outcomes.y is not None
    assert chosen.outcomes.y.tolist() == [1, 0]


def test_roles_may_be_columns_of_the_joined_table(path: str, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("t,day,fraud\n1,5,1\n2,6,0\n3,4,0\n4,9,0\n")
    join = Join(str(tmp_path / "more.csv"), "t")
    chosen = selected(path, Roles(label="fraud", time="day"), "5", "9", join=join)
    assert chosen.rows.tolist() == [1, 2]
    assert chosen.outcomes.y is not None
    assert chosen.outcomes.y.tolist() == [1, 0]


def chosen_rows(times: list[int], y: list[float] | None) -> Dataset:
    frame = pl.DataFrame({"t": times, "x": range(len(times))})
    labels = None if y is None else np.array(y, dtype=np.float64)
    return Dataset(Table.from_frame(frame), np.arange(len(times)), Outcomes(y=labels, n_rows=len(times)))


def validation(split: Split) -> list[int]:
    return [] if split.validation is None else split.validation.rows.tolist()


def test_the_same_share_of_known_anomalies_and_of_other_rows_is_held_out() -> None:
    y = [1.0] * 50 + [0.0] * 30 + [np.nan] * 20
    split = split_dataset(chosen_rows([0] * 100, y), Roles(label="y"), 0.2, seed=1)
    assert len(validation(split)) == 20
    assert sum(row < 50 for row in validation(split)) == 10
    assert sorted([*split.training.rows, *validation(split)]) == list(range(100))
    again = split_dataset(chosen_rows([0] * 100, y), Roles(label="y"), 0.2, seed=1)
    assert validation(again) == validation(split)
    assert validation(split_dataset(chosen_rows([0] * 100, y), Roles(label="y"), 0.2, seed=2)) != validation(split)


def test_with_a_time_the_latest_rows_are_held_out_including_anomalies() -> None:
    times, y = [1, 2, 3, 4, 5, 6], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    split = split_dataset(chosen_rows(times, y), Roles(label="y", time="t"), 0.5, seed=0)
    assert validation(split) == [3, 4, 5]
    assert split.training.rows.tolist() == [0, 1, 2]


def test_nothing_is_held_out_of_too_few_rows() -> None:
    for roles in (Roles(), Roles(time="t")):
        split = split_dataset(chosen_rows([1, 2, 3], None), roles, 0.1, seed=0)
        assert split.validation is None
        assert split.training.rows.tolist() == [0, 1, 2]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1.0, float("nan")])), min_size=1, max_size=50),
    st.floats(0, 0.9),
)
def test_every_training_row_is_before_every_held_out_row(rows: list[tuple[int, float]], fraction: float) -> None:
    times, y = [time for time, _ in rows], [label for _, label in rows]
    split = split_dataset(chosen_rows(times, y), Roles(label="y", time="t"), fraction, seed=0)
    late = validation(split)
    assert set(late).isdisjoint(split.training.rows)
    assert not late or any(y[row] != 1 for row in late)
    if late:
        assert all(times[row] < min(times[place] for place in late) for row in split.training.rows)


def test_a_clock_is_reported_and_a_trend_is_not() -> None:
    rng = np.random.default_rng(0)
    day = np.sort(rng.uniform(0, 30, 30_000))
    frame = pl.DataFrame(
        {
            "when": pl.Series(day * 86_400).cast(pl.Int64).cast(pl.Datetime("ms")),
            "unix_time": (day * 86_400).astype(np.int64) + 1_500_000_000,
            "trend": day / 30 + rng.normal(size=30_000),
            "amount": rng.lognormal(size=30_000),
        }
    )
    schema = Schema.infer(frame)
    assert columns_rising_with_time(frame, schema, "when") == ["unix_time"]
    assert columns_rising_with_time(frame, schema, None) == []
