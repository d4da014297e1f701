"""Decoding returns the encoded rows, times from their circles, and values in the types of a table."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl
import pytest

from laws import normal_rows
from oddrow.encoding.column_encoding import TIME_PARTS, circle_position, move_times, times_from_days
from oddrow.encoding.decoder import TableDecoder, restore_dtype
from oddrow.encoding.encoder import SCALINGS, Encoded, TableEncoder
from oddrow.table.schema import Column, Schema

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


def test_outputs_of_a_network_are_decoded_to_the_likeliest_level() -> None:
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


def test_decoded_days_stay_in_the_range_of_the_training_rows() -> None:
    frame = pl.DataFrame({"time": [MONDAY, MONDAY + timedelta(days=3)]})
    schema = Schema.infer(frame)
    encoder = TableEncoder(times=("hour", "weekday", "elapsed")).fit(frame, schema)
    far = schema.conform(pl.DataFrame({"time": [MONDAY + timedelta(days=300), MONDAY - timedelta(days=300)]}))
    decoded = TableDecoder(encoder, schema)(encoder.transform(far))
    assert decoded["time"].is_between(frame["time"].min(), frame["time"].max()).all()


# Types of a table

NOON = datetime(2024, 3, 1, 12, 0)
COLUMNS: dict[str, tuple[str, pl.Series]] = {
    "floats": ("numeric", pl.Series([1.5, None])),
    "single floats": ("numeric", pl.Series([1.5, None], dtype=pl.Float32)),
    "whole numbers": ("numeric", pl.Series([3, None], dtype=pl.Int8)),
    "decimals": ("numeric", pl.Series(["1.25", None]).cast(pl.Decimal(10, 2))),
    "text for numbers": ("numeric", pl.Series(["3", "2.5", None])),
    "durations": ("numeric", pl.Series([timedelta(seconds=90), None])),
    "times of day": ("numeric", pl.Series([time(1, 30), None])),
    "truths for numbers": ("numeric", pl.Series([True, False, None])),
    "nothing": ("numeric", pl.Series([None, None])),
    "truths": ("boolean", pl.Series([True, False, None])),
    "text for truths": ("boolean", pl.Series(["true", "false", None])),
    "digits for truths": ("boolean", pl.Series(["1", "0", None])),
    "numbers for truths": ("boolean", pl.Series([1, 0, None], dtype=pl.Int64)),
    "text": ("category", pl.Series(["a", "b", None])),
    "one of few": ("category", pl.Series(["a", None], dtype=pl.Enum(["a", "b"]))),
    "categories": ("category", pl.Series(["a", None], dtype=pl.Categorical)),
    "numbers for levels": ("category", pl.Series([7, 8, None])),
    "floats for levels": ("category", pl.Series([7.0, 2.5, None])),
    "truths for levels": ("category", pl.Series([True, None])),
    "days for levels": ("category", pl.Series([date(2024, 3, 1), None])),
    "times for levels": ("category", pl.Series([NOON, None])),
    "times of day for levels": ("category", pl.Series([time(1, 30), None])),
    "times": ("time", pl.Series([NOON, None])),
    "times in milliseconds": ("time", pl.Series([NOON, None], dtype=pl.Datetime("ms"))),
    "times of a place": ("time", pl.Series([NOON, None]).dt.replace_time_zone("Europe/Brussels")),
    "days": ("time", pl.Series([date(2024, 3, 1), None])),
    "seconds": ("time", pl.Series([1_700_000_000, None])),
}


@pytest.mark.parametrize(("kind", "given"), COLUMNS.values(), ids=COLUMNS)
def test_conformed_values_return_to_the_type_of_the_table(kind: str, given: pl.Series) -> None:
    given = given.alias("a")
    schema = Schema((Column("a", kind, "said"),))
    read = schema.conform(given.to_frame())["a"]
    written = restore_dtype(read, given, kind)
    assert written.dtype == (read.dtype if given.dtype == pl.Null else given.dtype)
    assert schema.conform(written.to_frame())["a"].equals(read, null_equal=True)
    if given.dtype != pl.Null:
        assert written.equals(given, null_equal=True)


def test_values_that_a_type_cannot_hold_become_missing() -> None:
    few = pl.Series("a", ["x"], dtype=pl.Enum(["x"]))
    assert restore_dtype(pl.Series("a", ["y"]), few, "category").to_list() == [None]
    small = pl.Series("a", [1], dtype=pl.Int8)
    assert restore_dtype(pl.Series("a", [1000.0, 2.6]), small, "numeric").to_list() == [None, 3]


def test_an_hour_skipped_by_summer_time_becomes_missing() -> None:
    given = pl.Series("a", [NOON]).dt.replace_time_zone("Europe/Brussels")
    skipped = pl.Series("a", [datetime(2024, 3, 31, 2, 30)], dtype=pl.Datetime("us"))
    assert restore_dtype(skipped, given, "time").to_list() == [None]
