"""Encoded rows come back, whatever the encoder; times are told from their circles."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from laws import normal_rows
from oddrow.encoding.decoder import TableDecoder
from oddrow.encoding.encoder import SCALINGS, Encoded, TableEncoder
from oddrow.encoding.times import TIME_PARTS, circle_position, move_times, times_from_days
from oddrow.table.schema import Schema

MONDAY = datetime(2024, 1, 8, 9, 30)


@pytest.mark.parametrize("one_hot_up_to", [0, 9])
@pytest.mark.parametrize("numbers", [name for name in SCALINGS if name != "quantile"])
@pytest.mark.parametrize("times", [("elapsed",), ("hour", "weekday")])
def test_rows_come_back(numbers: str, one_hot_up_to: int, times: tuple[str, ...]) -> None:
    frame = normal_rows(200).with_columns(pl.col("time").dt.truncate("1h"), age=pl.col("age").fill_nan(None))
    frame = frame.with_columns(shop=pl.when(pl.int_range(pl.len()) % 9 > 0).then("shop"))
    schema = Schema.infer(frame)
    encoder = TableEncoder(numbers=numbers, one_hot_up_to=one_hot_up_to, times=times).fit(frame, schema)
    decoded = TableDecoder(encoder, schema)(encoder.transform(schema.conform(frame)), near=frame)
    decoded = decoded.with_columns(pl.col("time").dt.round("1s"))
    for name in ("shop", "online", "time"):
        assert decoded[name].equals(frame[name].cast(decoded[name].dtype), null_equal=True)
    for name in ("amount", "fee", "age"):
        np.testing.assert_allclose(decoded[name].to_numpy(), frame[name].to_numpy(), rtol=1e-4, atol=1e-4)


def test_what_a_network_made_of_levels_is_one_of_them() -> None:
    frame = pl.DataFrame({"shop": ["a", "b", "a"], "x": [1.0, 2.0, 4.0]})
    schema = Schema.infer(frame)
    encoder = TableEncoder(one_hot_up_to=5).fit(frame, schema)
    assert [part for _, part in encoder.number_sources_] == ["value", "=missing", "=unseen", "=rare", "=a", "=b"]
    rebuilt = np.array([[0.0, 0.9, 0.8, 0.7, 0.1, 0.2], [99.0, 0.9, 0.8, 0.7, 0.3, 0.2]], np.float32)
    decoded = TableDecoder(encoder, schema)(Encoded(rebuilt, np.empty((2, 0), np.int32)))
    assert decoded["shop"].to_list() == ["b", "a"]
    assert decoded["x"].to_list() == [2.0, 4.0]


@pytest.mark.parametrize("hours", [0, 7, 23])
@pytest.mark.parametrize("days", range(-3, 4))
def test_times_move_to_the_nearest_day_and_the_hour(days: int, hours: int) -> None:
    wanted = MONDAY.replace(hour=hours, minute=0) + timedelta(days=days)
    parts = {**TIME_PARTS["hour"](pl.Series([wanted])), **TIME_PARTS["weekday"](pl.Series([wanted]))}
    turns = {name: circle_position(parts[f"{name}_sin"], parts[f"{name}_cos"]) for name in ("hour", "weekday")}
    assert move_times(pl.Series([MONDAY, None])[:1], turns).to_list() == [wanted]
    assert move_times(pl.Series([MONDAY]), {}).to_list() == [MONDAY]


def test_a_missing_time_stays_missing() -> None:
    turns = {"hour": np.array([0.5]), "weekday": np.array([0.5])}
    assert move_times(pl.Series([None], dtype=pl.Datetime("us")), turns).to_list() == [None]
    assert times_from_days(np.array([np.nan])).to_list() == [None]


def test_days_are_kept_within_the_range_where_they_are_encoded() -> None:
    frame = pl.DataFrame({"time": [MONDAY, MONDAY + timedelta(days=3)]})
    schema = Schema.infer(frame)
    encoder = TableEncoder(times=("hour", "weekday", "elapsed")).fit(frame, schema)
    far = schema.conform(pl.DataFrame({"time": [MONDAY + timedelta(days=300), MONDAY - timedelta(days=300)]}))
    decoded = TableDecoder(encoder, schema)(encoder.transform(far))
    assert decoded["time"].is_between(frame["time"].min(), frame["time"].max()).all()
