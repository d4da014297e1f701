"""Encoding: values computed by hand, finite numbers for all input, saved and restored without loss."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddrow.encoding.column_encoding import MAX_ENCODED, MISSING, RARE, SPECIAL_LEVELS, UNEXPECTED_MISSING, UNSEEN
from oddrow.encoding.encoder import SCALINGS, Encoded, LearnedColumns, TableEncoder
from oddrow.errors import ParameterError
from oddrow.structure import build, to_plain
from oddrow.table.schema import Schema

HUGE = [1e30, -1e30, 1.7e308, -1.7e308, 5e-324, 0.0]


def fitted(frame: pl.DataFrame, kinds: dict[str, str] | None = None, **parameters: Any) -> TableEncoder:
    schema = Schema.infer(frame, kinds)
    return TableEncoder(**parameters).fit(schema.conform(frame), schema)


def numbers(train: list[Any], new: list[Any], **parameters: Any) -> list[list[float]]:
    """One column of numbers, learned from some values and applied to others."""
    encoder = fitted(pl.DataFrame({"a": pl.Series(train, dtype=pl.Float64)}), {"a": "numeric"}, **parameters)
    return list(encoder.transform(pl.DataFrame({"a": pl.Series(new, dtype=pl.Float64)})).numbers.tolist())


def categories(train: list[Any], new: list[Any], **parameters: Any) -> list[int]:
    encoder = fitted(pl.DataFrame({"c": pl.Series(train, dtype=pl.String)}), {"c": "category"}, **parameters)
    return list(encoder.transform(pl.DataFrame({"c": pl.Series(new, dtype=pl.String)})).categories.ravel())


# Numbers


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("standard", [(5 - 3) / math.sqrt(10), (9 - 3) / math.sqrt(10)]),  # mean 3, variance (9 + 4 + 1 + 0 + 36) / 5
        ("range", [2 / 9, 6 / 9]),
        ("minmax", [5 / 9, 1.0]),
        ("robust", [(5 - 2) * 1.349 / 2, (9 - 2) * 1.349 / 2]),  # median 2, quartiles 1 and 3
    ],
)
def test_each_scaling_by_hand(scaling: str, expected: list[float]) -> None:
    encoded = numbers([0, 1, 2, 3, 9], [5, 9], numbers=scaling, soft_limit=None)
    np.testing.assert_allclose(np.ravel(encoded), expected, rtol=1e-6)


def test_quantile_scaling_is_the_rank_as_a_normal_deviate() -> None:
    deviate = [NormalDist().inv_cdf(share) for share in (0.125, 0.375, 0.625, 0.875)]
    # Four values have four knots: the 12.5, 37.5, 62.5 and 87.5 % quantiles 1.375, 2.125, 2.875, 3.625.
    encoded = np.ravel(numbers([4, 3, 2, 1], [1.375, 2.125, 2.5, 3.625, -99, 99], numbers="quantile"))
    np.testing.assert_allclose(encoded, [*deviate[:2], 0, deviate[3], deviate[0], deviate[3]], atol=1e-6)


def test_quantile_scaling_puts_tied_values_in_their_middle() -> None:
    encoded = np.ravel(numbers([0] * 90 + list(range(1, 11)), [0], numbers="quantile"))
    shares = [(place + 0.5) / 100 for place in (0, 89)]
    expected = sum(NormalDist().inv_cdf(share) for share in shares) / 2
    np.testing.assert_allclose(encoded, [expected], atol=1e-6)


@settings(max_examples=30)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from(SCALINGS))
def test_scaling_keeps_the_order(values: list[float], scaling: str) -> None:
    encoded = np.ravel(numbers(values, sorted(values), numbers=scaling))
    assert (np.diff(encoded) >= 0).all()


def test_the_soft_limit_bounds_outlying_values() -> None:
    train = [-1.0, 1.0]  # mean 0, standard deviation 1
    encoded = np.ravel(numbers(train, [1, 100, -1e6], soft_limit=10))
    np.testing.assert_allclose(encoded, [10 * math.asinh(x / 10) for x in (1, 100, -1e6)], rtol=1e-6)
    np.testing.assert_allclose(np.ravel(numbers(train, [1, 100, -1e6], soft_limit=None)), [1, 100, -1e6])
    assert np.ravel(numbers(train, [1e9, -1e300], soft_limit=None)).tolist() == [MAX_ENCODED, -MAX_ENCODED]


def test_missing_numbers_are_zero_with_an_indicator() -> None:
    assert numbers([1, 3, None, 2], [None, 2], soft_limit=None) == [[0, 1], [0, 0]]
    encoder = fitted(pl.DataFrame({"a": [1, 3, None]}))
    assert encoder.number_sources_ == [("a", "value"), ("a", "missing")]


def test_a_number_missing_for_the_first_time_is_encoded_as_an_outlier() -> None:
    assert numbers([1, 3], [None, 2]) == [[UNEXPECTED_MISSING], [0]]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_constant_and_missing_columns_stay_finite(scaling: str) -> None:
    assert numbers([5, 5], [5, 6], numbers=scaling)[0] == [0]
    assert numbers([5, None], [5, None], numbers=scaling) == [[0, 0], [0, 1]]
    assert numbers([None, None], [None], numbers=scaling) == [[0, 1]]
    assert np.isfinite(numbers([None, None], [*HUGE, None], numbers=scaling)).all()


@pytest.mark.parametrize("soft_limit", [None, 10.0, 1e-3])
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize(
    "train",
    [[1.0, 2.0], HUGE, [1e30, -1e30, 0.0], [1.7e308, -1.7e308], [0.0, 5e-324], [1.0, 1 + 2**-52, None], [7.0, 7.0]],
)
def test_every_finite_number_is_encoded_as_a_finite_one(
    train: list[float], scaling: str, soft_limit: float | None
) -> None:
    encoded = np.array(numbers(train, [*HUGE, *train, None], numbers=scaling, soft_limit=soft_limit))
    assert np.isfinite(encoded).all()
    # Their squares and sums, which networks take, are finite in float32 too.
    assert np.isfinite(np.square(encoded.astype(np.float32)).sum(dtype=np.float32))


# Categories


def test_levels_count_from_the_most_frequent() -> None:
    first = len(SPECIAL_LEVELS)
    assert categories(["b", "a", "b", "c", "a", "b"], ["b", "a", "c"]) == [first, first + 1, first + 2]


def test_equally_frequent_levels_are_in_alphabetical_order() -> None:
    assert categories(["z", "x", "y"], ["x", "y", "z"]) == [3, 4, 5]


def test_missing_and_unseen_are_levels() -> None:
    assert categories(["a", "b"], [None, "new", ""]) == [MISSING, UNSEEN, UNSEEN]


def test_levels_beyond_the_vocabulary_are_rare() -> None:
    train = ["a"] * 3 + ["b"] * 2 + ["c", "d"]
    assert categories(train, ["a", "b", "c", "d", "new", None], max_levels=2) == [3, 4, RARE, RARE, RARE, MISSING]
    assert categories(train, ["d", "new"], max_levels=4) == [6, UNSEEN]


def test_a_column_may_have_any_name() -> None:
    frame = pl.DataFrame({name: ["x", "y"] for name in ("n", "rows", "level", "count", "")})
    assert fitted(frame).transform(frame).categories.tolist() == [[3] * 5, [4] * 5]


def test_booleans_are_categories_of_two() -> None:
    frame = pl.DataFrame({"b": [True, True, False, None]})
    encoder = fitted(frame)
    assert encoder.transform(frame).categories.ravel().tolist() == [3, 3, 4, MISSING]
    assert encoder.category_sources_ == [("b", 5)]


def test_small_vocabularies_become_one_number_for_each_level() -> None:
    frame = pl.DataFrame({"c": ["a", "a", "b"], "long": ["x", "y", "z"]})
    encoder = fitted(frame, one_hot_up_to=2)
    new = pl.DataFrame({"c": ["b", None, "new", "a"], "long": ["x", "y", "z", "x"]})
    encoded = encoder.transform(new)
    assert encoder.number_sources_ == [("c", "=missing"), ("c", "=unseen"), ("c", "=rare"), ("c", "=a"), ("c", "=b")]
    assert encoded.numbers.tolist() == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert encoder.category_sources_ == [("long", 6)]
    assert encoded.categories.ravel().tolist() == [3, 4, 5, 3]


@pytest.mark.parametrize(("one_hot_up_to", "n_numbers"), [(0, 0), (1, 3)])
def test_a_category_without_any_value(one_hot_up_to: int, n_numbers: int) -> None:
    frame = pl.DataFrame({"c": pl.Series([None, None], dtype=pl.String)})
    encoded = fitted(frame, {"c": "category"}, one_hot_up_to=one_hot_up_to).transform(frame)
    assert encoded.numbers.shape == (2, n_numbers)
    assert encoded.categories.shape == (2, 0 if n_numbers else 1)


# Times


def test_times_become_places_in_the_day_and_in_the_week() -> None:
    monday = datetime(2024, 1, 1)
    frame = pl.DataFrame({"t": [monday + timedelta(hours=hours) for hours in range(24 * 14)]})
    encoder = fitted(frame, numbers="range", soft_limit=None)
    parts = [part for _, part in encoder.number_sources_]
    assert parts == ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"]
    wednesday_at_six = pl.DataFrame({"t": [monday + timedelta(days=2, hours=6)]})
    # Over whole weeks sine and cosine have mean 0. A quarter of the day has gone, and 3 of 7 days have begun.
    angles = [2 * math.pi * day / 7 for day in range(1, 8)]
    sines, cosines = [math.sin(angle) for angle in angles], [math.cos(angle) for angle in angles]
    by_hand = [0.5, 0, sines[2] / (max(sines) - min(sines)), cosines[2] / (max(cosines) - min(cosines))]
    np.testing.assert_allclose(encoder.transform(wednesday_at_six).numbers[0], by_hand, atol=1e-6)


def test_midnight_is_as_near_to_evening_as_to_morning() -> None:
    hours = [datetime(2024, 1, 1, hour) for hour in range(24)]
    frame = pl.DataFrame({"t": hours})
    encoded = fitted(frame, times=["hour"]).transform(frame).numbers
    distance = np.linalg.norm(encoded - encoded[0], axis=1)
    assert distance[23] == pytest.approx(distance[1], rel=1e-5)
    assert distance.argmax() == 12


def test_elapsed_grows_with_every_day() -> None:
    frame = pl.DataFrame({"t": [datetime(2024, 1, day) for day in (1, 2, 4)]})
    encoded = fitted(frame, numbers="minmax", soft_limit=None, times=("elapsed",)).transform(frame).numbers
    np.testing.assert_allclose(encoded.ravel(), [0, 1 / 3, 1], atol=1e-6)


def test_missing_times_are_marked() -> None:
    frame = pl.DataFrame({"t": [datetime(2024, 1, 1), None, datetime(2024, 1, 2, 6)]})
    encoder = fitted(frame, times=("elapsed",))
    assert encoder.number_sources_ == [("t", "elapsed"), ("t", "missing")]
    assert encoder.transform(frame).numbers[1].tolist() == [0, 1]


# The whole


def test_encoded_is_float32_and_int32_and_every_output_knows_its_source(mixed: pl.DataFrame) -> None:
    schema = Schema.infer(mixed)
    encoder = fitted(mixed)
    encoded = encoder.transform(schema.conform(mixed))
    assert isinstance(encoded, Encoded)
    assert encoded.numbers.dtype == np.float32
    assert encoded.categories.dtype == np.int32
    assert encoded.numbers.shape == (600, len(encoder.number_sources_))
    assert encoded.categories.shape == (600, len(encoder.category_sources_))
    sources = [source for source, _ in encoder.number_sources_ + encoder.category_sources_]
    assert set(sources) == set(schema.feature_names)


def test_slices_are_encoded_as_the_whole_and_training_rows_may_be_as_they_were_read(mixed: pl.DataFrame) -> None:
    schema = Schema.infer(mixed)
    encoder = TableEncoder().fit(mixed, schema)
    assert encoder.learned == fitted(mixed).learned
    whole = encoder.transform(schema.conform(mixed))
    parts = encoder.transform_slices([schema.conform(mixed[:257]), schema.conform(mixed[257:])], mixed.height)
    np.testing.assert_array_equal(parts.numbers, whole.numbers)
    np.testing.assert_array_equal(parts.categories, whole.categories)


def test_no_statistic_of_a_test_row_reaches_the_encoder(mixed: pl.DataFrame) -> None:
    schema = Schema.infer(mixed)
    train, test = schema.conform(mixed[:300]), schema.conform(mixed[300:])
    encoder = TableEncoder().fit(train, schema)
    learned, encoded = encoder.learned, encoder.transform(test)
    strange = test.with_columns(pl.lit(1e9).alias("amount"), pl.lit("new").alias("shop"))
    encoder.transform(strange)
    assert encoder.learned == learned
    np.testing.assert_array_equal(encoder.transform(test).numbers, encoded.numbers)
    alone = encoder.transform(test[7:8])
    np.testing.assert_array_equal(alone.numbers[0], encoded.numbers[7])
    np.testing.assert_array_equal(alone.categories[0], encoded.categories[7])


CELLS = st.fixed_dictionaries(
    {
        "n": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "c": st.none() | st.text(max_size=3),
        "b": st.none() | st.booleans(),
        "t": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    }
)
TYPES: dict[str, Any] = {"n": pl.Float64, "c": pl.String, "b": pl.Boolean, "t": pl.Datetime("us")}
ALL_KINDS = {"n": "numeric", "c": "category", "b": "boolean", "t": "time"}


@settings(max_examples=60)
@given(
    st.lists(CELLS, min_size=1, max_size=20),
    st.lists(CELLS, min_size=1, max_size=20),
    st.sampled_from(SCALINGS),
    st.sampled_from([None, 10.0]),
    st.sampled_from([1, 3, 256]),
    st.sampled_from([0, 4]),
)
def test_what_was_learned_survives_json(
    train: list[Any], new: list[Any], scaling: str, soft_limit: float | None, max_levels: int, one_hot_up_to: int
) -> None:
    frame, other = (pl.DataFrame(cells, schema=TYPES) for cells in (train, new))
    parameters: dict[str, Any] = {
        "numbers": scaling,
        "soft_limit": soft_limit,
        "max_levels": max_levels,
        "one_hot_up_to": one_hot_up_to,
        "times": ("hour", "weekday", "elapsed"),
    }
    encoder = fitted(frame, ALL_KINDS, **parameters)
    written = json.dumps(to_plain(encoder.learned), allow_nan=False)
    learned = build(LearnedColumns, json.loads(written), complete=True)
    again = TableEncoder(**parameters).restore(learned, Schema.infer(frame, ALL_KINDS))
    assert again.number_columns_ == encoder.number_columns_
    assert again.category_columns_ == encoder.category_columns_
    for rows in (frame, other):
        encoded, expected = again.transform(rows), encoder.transform(rows)
        assert np.isfinite(expected.numbers).all()
        np.testing.assert_array_equal(encoded.numbers, expected.numbers)
        np.testing.assert_array_equal(encoded.categories, expected.categories)
        n_levels = [n for _, n in encoder.category_sources_]
        assert ((expected.categories >= 0) & (expected.categories < n_levels)).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"numbers": "standrad"}, "Did you mean 'standard'?"),
        ({"levels": ["a"]}, "levels=['a'] is not a dictionary"),
        ({"levels": {"c": "abc"}}, "levels of 'c': 'abc' is not a list of text"),
        ({"levels": {"c": [1, 2]}}, "levels of 'c': [1, 2] is not a list of text"),
        ({"levels": {"c": ["a", "b", "a"]}}, "levels of 'c': a level occurs twice"),
        ({"levels": {"cc": ["a"]}}, "column in levels='cc' is not one of"),
        ({"max_levels": 0}, "max_levels=0 is not a whole number of at least 1"),
        ({"max_levels": 2.5}, "max_levels=2.5 is not a whole number"),
        ({"one_hot_up_to": -1}, "one_hot_up_to=-1"),
        ({"soft_limit": 0}, "soft_limit=0 is not a finite number above 0"),
        ({"times": "hour"}, "times='hour' is not a list"),
        ({"times": 5}, "times=5 is not a list"),
        ({"times": ["huor"]}, "Did you mean 'hour'?"),
    ],
)
def test_invalid_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        fitted(pl.DataFrame({"a": [1.5, 2]}), **parameters)
    assert message in str(caught.value)


def test_unscaled_columns_stay_as_they_are() -> None:
    frame = pl.DataFrame({"z": [0.5, 100.0, -3.0], "amount": [10.0, 20.0, 30.0]})
    schema = Schema.infer(frame)
    encoded = TableEncoder(unscaled=["z"]).fit(frame, schema).transform(frame).numbers
    np.testing.assert_allclose(encoded[:, 0], [0.5, 100.0, -3.0])
    np.testing.assert_allclose(encoded[:, 1].mean(), 0, atol=1e-6)
    with pytest.raises(ParameterError, match="column in unscaled='zz' is not one of z, amount"):
        TableEncoder(unscaled=["zz"]).fit(frame, schema)
    with pytest.raises(ParameterError, match="unscaled='z' is not a list"):
        TableEncoder(unscaled="z").fit(frame, schema)
