"""Values back in the types in which a table came: what is read, written and read again is the same."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl
import pytest

from oddrow.encoding.decoder import restore_dtype
from oddrow.table.schema import Column, Schema

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
def test_what_is_read_is_written_in_its_own_type(kind: str, given: pl.Series) -> None:
    given = given.alias("a")
    schema = Schema((Column("a", kind, "said"),))
    read = schema.conform(given.to_frame())["a"]
    written = restore_dtype(read, given, kind)
    assert written.dtype == (read.dtype if given.dtype == pl.Null else given.dtype)
    assert schema.conform(written.to_frame())["a"].equals(read, null_equal=True)
    if given.dtype != pl.Null:
        assert written.equals(given, null_equal=True)


def test_what_a_type_cannot_hold_is_missing() -> None:
    few = pl.Series("a", ["x"], dtype=pl.Enum(["x"]))
    assert restore_dtype(pl.Series("a", ["y"]), few, "category").to_list() == [None]
    small = pl.Series("a", [1], dtype=pl.Int8)
    assert restore_dtype(pl.Series("a", [1000.0, 2.6]), small, "numeric").to_list() == [None, 3]


def test_an_hour_that_a_clock_skips_is_missing() -> None:
    given = pl.Series("a", [NOON]).dt.replace_time_zone("Europe/Brussels")
    skipped = pl.Series("a", [datetime(2024, 3, 31, 2, 30)], dtype=pl.Datetime("us"))
    assert restore_dtype(skipped, given, "time").to_list() == [None]
