"""Splits with exact shares and no later row in training, bounds, clocks and spans."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import ParameterError, TableError
from oddrow.table.split import split_latest, split_random
from oddrow.table.times import check_times, clock, duration, moment_on_clock, rows_between


def a_generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.integers(1, 200), st.floats(0, 1), st.integers(0, 9))
def test_a_random_split_is_a_partition_with_the_share_asked_for(n_rows: int, fraction: float, seed: int) -> None:
    rest, drawn = split_random(n_rows, fraction, a_generator(seed))
    assert len(drawn) == int(n_rows * fraction)
    assert np.sort(np.concatenate([rest, drawn])).tolist() == list(range(n_rows))
    assert rest.tolist() == sorted(rest)
    assert drawn.tolist() == sorted(drawn)


def test_a_stratified_split_takes_the_share_of_each_class() -> None:
    y = np.array([1] * 10 + [0] * 90)
    _, drawn = split_random(100, 0.3, a_generator(), y=y)
    assert np.bincount(y[drawn]).tolist() == [27, 3]


def test_the_generator_decides_a_random_split() -> None:
    first, again = (split_random(50, 0.4, a_generator(3))[1] for _ in range(2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != split_random(50, 0.4, a_generator(4))[1].tolist()


def test_the_latest_rows_are_split_off_in_any_order() -> None:
    rest, latest = split_latest(pl.Series([5, 1, 4, 2, 3]), 0.4)
    assert latest.tolist() == [0, 2]
    assert rest.tolist() == [1, 3, 4]


def test_rows_of_one_time_stay_together_in_the_later_part() -> None:
    rest, latest = split_latest(pl.Series([1, 2, 2, 2]), 0.25)
    assert (rest.tolist(), latest.tolist()) == ([0], [1, 2, 3])


def test_the_earlier_part_is_never_empty() -> None:
    rest, latest = split_latest(pl.Series([1, 1, 1, 2]), 0.75)
    assert (rest.tolist(), latest.tolist()) == ([0, 1, 2], [3])
    for times, fraction in (([7, 7, 7], 0.5), ([1, 2], 0.4), ([1, 2], 0.0)):
        rest, latest = split_latest(pl.Series(times), fraction)
        assert (len(rest), len(latest)) == (len(times), 0)


TIMES = st.one_of(
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60),
    st.lists(st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 3)), min_size=1, max_size=60),
    st.lists(st.dates(date(2024, 1, 1), date(2024, 2, 1)), min_size=1, max_size=60),
)


@given(TIMES, st.floats(0, 0.9))
def test_a_split_by_time_never_puts_a_later_row_into_training(times: list[Any], fraction: float) -> None:
    rest, latest = split_latest(pl.Series(times), fraction)
    assert np.sort(np.concatenate([rest, latest])).tolist() == list(range(len(times)))
    assert len(rest) > 0
    if len(latest):
        assert max(times[row] for row in rest) < min(times[row] for row in latest)
        assert len(latest) >= int(len(times) * fraction) or len(set(times)) < len(times)


@pytest.mark.parametrize(
    ("start", "until", "expected"),
    [
        (None, None, [True, True, True, True]),
        ("2", None, [False, True, True, True]),
        (None, "3", [True, True, False, False]),
        ("2", "3", [False, True, False, False]),
        ("2.5", "1e9", [False, False, True, True]),
        ("9", None, [False, False, False, False]),
    ],
)
def test_rows_from_a_number_until_before_another(start: str | None, until: str | None, expected: list[bool]) -> None:
    assert rows_between(pl.Series([1, 2, 3, 4]), start, until).tolist() == expected


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.floats(-100, 100), st.floats(-100, 100))
def test_start_is_included_and_until_is_not(times: list[float], start: float, until: float) -> None:
    chosen = rows_between(pl.Series(times), str(start), str(until))
    assert chosen.tolist() == [start <= time < until for time in times]


MOMENTS = [datetime(2024, 1, 1), datetime(2024, 1, 1, 12), datetime(2024, 1, 2), datetime(2024, 1, 3)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize(
    ("start", "until", "expected"),
    [
        ("2024-01-01", "2024-01-02", [True, True, False, False]),
        ("2024-01-01T12:00", "2024-01-02 00:00:01", [False, True, True, False]),
    ],
)
def test_bounds_on_times_are_iso_dates(start: str, until: str, expected: list[bool], unit: Any) -> None:
    assert rows_between(pl.Series(MOMENTS).dt.cast_time_unit(unit), start, until).tolist() == expected


def test_bounds_on_dates_may_be_moments() -> None:
    days = pl.Series([date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)])
    assert rows_between(days, "2024-01-02", "2024-01-03").tolist() == [False, True, False]
    assert rows_between(days, "2024-01-01T12:00", None).tolist() == [False, True, True]


def test_a_bound_is_in_the_time_zone_of_the_column() -> None:
    # 12:00 in Berlin is 11:00 UTC.
    berlin = pl.Series(MOMENTS).dt.replace_time_zone("Europe/Berlin")
    assert rows_between(berlin, "2024-01-01T12:00", None).tolist() == [False, True, True, True]
    assert rows_between(berlin, "2024-01-01T11:00+00:00", None).tolist() == [False, True, True, True]
    assert rows_between(berlin, "2024-01-01T11:01Z", None).tolist() == [False, False, True, True]
    with pytest.raises(ParameterError, match="cannot be compared with column 't'"):
        rows_between(pl.Series("t", MOMENTS), "2024-01-01T12:00+01:00", None)


@pytest.mark.parametrize(
    ("times", "bound", "expected"),
    [
        (pl.Series("t", [1, 2]), "2024-01-01", "Expected a number"),
        (pl.Series("t", MOMENTS), "17", "Expected an ISO date such as 2018-07-25"),
        (pl.Series("t", MOMENTS), "yesterday", "Expected an ISO date"),
    ],
)
def test_a_bound_of_another_kind_is_refused(times: pl.Series, bound: str, expected: str) -> None:
    for bounds in ((bound, None), (None, bound)):
        with pytest.raises(ParameterError) as caught:
            rows_between(times, *bounds)
        assert str(caught.value).startswith(f"{bound!r} cannot be compared with column 't' ({times.dtype})")
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1, None, 3, None], "2 of 4 times are missing (row 1 None, row 3 None)"),
        ([1.5, float("nan")], "1 of 2 times is missing (row 1 nan)"),
        ([date(2024, 1, 1), None], "1 of 2 times is missing (row 1 None)"),
        (["2024-01-01", "soon"], "text cannot order rows by time"),
        ([True, False], "true and false cannot order rows by time"),
        ([[1], [2]], "values of type List(Int64) cannot order rows by time"),
    ],
)
def test_missing_and_unordered_times_are_refused(times: list[Any], message: str) -> None:
    for check in (check_times, lambda series: rows_between(series, "0", None)):
        with pytest.raises(TableError) as caught:
            check(pl.Series("t", times))
        assert str(caught.value).startswith("column 't': ")
        assert message in str(caught.value)


# Clocks


def test_the_clock_does_not_run_back_at_the_end_of_summer_time() -> None:
    zone = "Europe/Brussels"
    times = pl.Series("t", ["2024-10-27T00:50:00", "2024-10-27T01:10:00"]).str.to_datetime(time_zone="UTC")
    seconds = clock(times.dt.convert_time_zone(zone))
    assert seconds[1] - seconds[0] == 20 * 60
    bound = moment_on_clock("2024-10-27T01:10:00+00:00", times.dt.convert_time_zone(zone))
    assert bound == seconds[1]


@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
def test_a_clock_counts_seconds_whatever_the_unit(unit: Any) -> None:
    times = pl.Series("t", [datetime(1970, 1, 2), datetime(1970, 1, 2, 0, 0, 1)]).cast(pl.Datetime(unit))
    assert clock(times).tolist() == [86_400, 86_401]
    assert clock(pl.Series("d", [date(1970, 1, 2)])).tolist() == [86_400]
    assert clock(pl.Series("n", [3, 4])).tolist() == [3, 4]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2m", 120), ("1.5h", 5400), ("7d", 604_800)])
def test_spans_of_time(text: str, seconds: float) -> None:
    assert duration(text, pl.Series([datetime(2024, 1, 1)])) == seconds


@pytest.mark.parametrize("text", ["7", "d", "", "7w", "-1d", "seven d"])
def test_invalid_spans_of_time_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="span"):
        duration(text, pl.Series("t", [datetime(2024, 1, 1)]))
