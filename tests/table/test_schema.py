"""Inferred kinds and their reasons, converted values, and one message for all columns that do not fit."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.errors import ParameterError, TableError
from oddrow.structure import build, to_plain
from oddrow.table.schema import KINDS, Column, Schema, check_features


def decided(values: Any, name: str = "c") -> tuple[str, str]:
    """Kind and reason of one column."""
    column = Schema.infer(pl.DataFrame({name: values})).columns[0]
    return column.kind, column.reason


def numeric_text(n_bad: int) -> list[str]:
    """100 texts, of which some do not read as numbers."""
    return ["?"] * n_bad + [f" {number}.5" for number in range(100 - n_bad)]


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        ([1.5, 2.0], "numeric", "values of type Float64"),
        ([0, 1, 1], "numeric", "whole numbers"),
        ([3, 4, 9], "numeric", "whole numbers"),
        ([Decimal("1.5"), Decimal("2")], "numeric", "values of type Decimal"),
        ([timedelta(1), timedelta(2)], "numeric", "values of type Duration"),
        ([time(1), time(2)], "numeric", "values of type Time"),
        (["1", "2.5", " 3e4 "], "numeric", "text that reads as numbers"),
        (numeric_text(5), "numeric", "text that reads as numbers, except 5 values"),
        (["a", "b", "a"], "category", "text with 2 different values"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "category", "text with 2 different values"),
        (pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), "category", "text with 2 different values"),
        ([True, False], "boolean", "true or false"),
        ([date(2024, 1, 1), date(2024, 1, 2)], "time", "dates"),
        ([datetime(2024, 1, 1), datetime(2024, 1, 2)], "time", "dates and times"),
        (range(7, 57), "identifier", "counts from 7 to 56, every number once"),
        ([f"row {number}" for number in range(50)], "identifier", "text with 50 different values in 50 rows"),
        ([2.5, 2.5], "constant", "every value is 2.5"),
        (["x", "x"], "constant", "every value is 'x'"),
        ([None, None], "constant", "every value is missing"),
        ([float("nan")], "constant", "every value is missing"),
        ([[1], [2]], "dropped", "are not numbers, text or times"),
        ([b"a", b"b"], "dropped", "are not numbers, text or times"),
        ([{"a": 1}, {"a": 2}], "dropped", "are not numbers, text or times"),
    ],
)
def test_every_kind_and_its_reason(values: Any, kind: str, why: str) -> None:
    found, reason = decided(values)
    assert found == kind
    assert why in reason


def test_text_is_numeric_if_95_percent_reads_as_numbers() -> None:
    assert decided(numeric_text(5))[0] == "numeric"
    assert decided(numeric_text(6))[0] == "identifier"  # 95 different texts
    assert decided([*numeric_text(5), None, None])[0] == "numeric"
    assert decided(["1"] * 94 + ["?"] * 6)[0] == "category"


@pytest.mark.parametrize("name", ["id", "card_id", "ID", "TransactionID", "customerId", "uuid", "row guid", "a.id"])
def test_a_name_that_ends_in_id_is_an_identifier(name: str) -> None:
    assert decided([5, 9, 5], name) == ("identifier", "whole numbers under a name that ends in 'id'")
    assert decided(["x", "y", "x"], name) == ("identifier", "text under a name that ends in 'id'")
    assert decided([5.5, 9.0], name)[0] == "numeric"


@pytest.mark.parametrize("name", ["paid", "valid", "grid", "identity", "width"])
def test_a_name_that_only_ends_in_these_letters_is_not_an_identifier(name: str) -> None:
    assert decided([5, 9, 5], name)[0] == "numeric"
    assert decided(["x", "y", "x"], name)[0] == "category"


def test_counters_and_distinct_texts_are_identifiers_only_in_longer_tables() -> None:
    assert decided(range(49))[0] == "numeric"
    assert decided([*range(50), 3])[0] == "numeric"
    assert decided([*range(49), 51])[0] == "numeric"
    assert decided([f"row {number}" for number in range(49)])[0] == "category"
    assert decided([f"row {number % 30}" for number in range(50)])[0] == "category"


def test_a_constant_with_missing_values_is_a_feature() -> None:
    assert decided([2.5, None])[0] == "numeric"
    assert decided(["x", None])[0] == "category"
    assert Schema.infer(pl.DataFrame({"c": [2.5, None, float("nan")]})).columns[0].n_missing == 2


def test_every_decision_can_be_overridden() -> None:
    frame = pl.DataFrame({"zip": [10115, 10117], "row_id": [1, 2], "x": [1.5, 2]})
    schema = Schema.infer(frame, {"zip": "category", "row_id": "numeric", "x": "dropped"}, {"x": "the weight"})
    assert schema.columns == (
        Column("zip", "category", "set by you"),
        Column("row_id", "numeric", "set by you"),
        Column("x", "dropped", "the weight"),
    )
    assert schema.feature_names == ["zip", "row_id"]
    assert schema.conform(frame).to_dict(as_series=False) == {"zip": ["10115", "10117"], "row_id": [1.0, 2.0]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_may_be_given(kind: str) -> None:
    assert Schema.infer(pl.DataFrame({"c": [1, 2]}), {"c": kind}).columns[0].kind == kind


def test_unknown_kinds_and_columns_are_refused() -> None:
    frame = pl.DataFrame({"amount": [1.5, 2]})
    with pytest.raises(ParameterError, match=r"the kind of column 'amount'='categry' .* Did you mean 'category'\?"):
        Schema.infer(frame, {"amount": "categry"})
    with pytest.raises(TableError, match=r"column 'amonut' is not in the table. Did you mean 'amount'\?"):
        Schema.infer(frame, {"amonut": "numeric"})


def test_schema_round_trips_through_json(mixed: pl.DataFrame) -> None:
    schema = Schema.infer(mixed)
    assert build(Schema, json.loads(json.dumps(to_plain(schema)))) == schema


def test_a_table_without_features_is_refused() -> None:
    schema = Schema.infer(pl.DataFrame({"row_id": [1, 2], "x": [3.5, 3.5]}))
    with pytest.raises(TableError) as caught:
        check_features(schema)
    assert "'row_id' is identifier: whole numbers under a name that ends in 'id'" in str(caught.value)
    assert "'x' is constant: every value is 3.5" in str(caught.value)


def test_a_schema_shows_its_columns_as_text_and_as_escaped_html() -> None:
    schema = Schema((Column("a<b>", "category", "text & more", 1200), Column("n", "numeric", "whole numbers")))
    assert repr(schema).splitlines() == [
        "column  kind      reason         missing",
        "a<b>    category  text & more      1,200",
        "n       numeric   whole numbers",
    ]
    html = schema._repr_html_()
    assert "a&lt;b&gt;" in html
    assert "text &amp; more" in html
    assert html.count("<tr>") == 3
    assert "<b>" not in html


# Converted values


def conformed(kind: str, values: Any) -> pl.Series:
    return Schema((Column("c", kind, ""),)).conform(pl.DataFrame({"c": values}))["c"]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("numeric", [1, None, 3], [1.0, None, 3.0]),
        ("numeric", [1.5, float("nan")], [1.5, None]),
        ("numeric", [" 1.5 ", "2e3", None], [1.5, 2000.0, None]),
        ("numeric", [True, False], [1.0, 0.0]),
        ("numeric", [None, None], [None, None]),
        ("numeric", [Decimal("1.5")], [1.5]),
        ("numeric", pl.Series([timedelta(seconds=90)], dtype=pl.Duration("us")), [90.0]),
        ("numeric", pl.Series([timedelta(seconds=90)], dtype=pl.Duration("ms")), [90.0]),
        ("numeric", [time(1, 0, 30)], [3630.0]),
        ("category", ["a", None], ["a", None]),
        ("category", [1, 2], ["1", "2"]),
        ("category", [1.0, None, 2.0], ["1", None, "2"]),
        ("category", [1.5, 2.0, -0.0, float("nan"), 1e300], ["1.5", "2", "0", None, "1e+300"]),
        ("category", [Decimal("2.0"), Decimal("0.5")], ["2", "0.5"]),
        ("category", [True, False], ["true", "false"]),
        ("category", [date(2024, 1, 31)], ["2024-01-31"]),
        ("category", [None], [None]),
        ("boolean", [1, 0, None], [True, False, None]),
        ("boolean", [1.0, 0.0], [True, False]),
        ("boolean", ["True", " false ", "1", "0"], [True, False, True, False]),
        ("boolean", [None], [None]),
        ("time", [date(2024, 1, 31)], [datetime(2024, 1, 31)]),
        ("time", ["2024-01-31 12:00:00", None], [datetime(2024, 1, 31, 12), None]),
        ("time", [86_400, None], [datetime(1970, 1, 2), None]),
        ("time", [None], [None]),
    ],
)
def test_values_of_a_kind(kind: str, values: Any, expected: list[Any]) -> None:
    assert conformed(kind, values).to_list() == expected


def test_the_text_of_a_level_does_not_depend_on_other_values() -> None:
    together = conformed("category", [0.5, 1.0, 2.0])
    assert [conformed("category", [value])[0] for value in (0.5, 1.0, 2)] == together.to_list()


def test_times_of_every_unit_and_zone_are_read_alike() -> None:
    moment = pl.Series([datetime(2024, 1, 31, 12)])
    for other in (moment.dt.cast_time_unit("ms"), moment.dt.cast_time_unit("ns"), moment.dt.replace_time_zone("UTC")):
        assert conformed("time", other).to_list() == [datetime(2024, 1, 31, 12)]


def test_conform_gives_the_features_in_the_order_of_the_schema(mixed: pl.DataFrame) -> None:
    schema = Schema.infer(mixed)
    conformed = schema.conform(mixed.select(reversed(mixed.columns)))
    assert conformed.columns == ["amount", "fee", "age", "shop", "online", "time", "fraud"]
    assert conformed["age"].null_count() == int(np.isnan(mixed["age"].to_numpy()).sum())


# Values that do not fit


def problems(train: dict[str, Any], new: dict[str, Any], **kinds: str) -> list[str]:
    schema = Schema.infer(pl.DataFrame(train), kinds)
    with pytest.raises(TableError) as caught:
        schema.conform(pl.DataFrame(new))
    return str(caught.value).split("\n")


def test_text_among_numbers_is_reported_with_rows_values_and_remedies() -> None:
    amounts = [f"{number}.5" for number in range(200)]
    amounts[17], amounts[102], amounts[150], amounts[199] = "N/A", "-", "?", "-"
    assert problems({"amount": amounts}, {"amount": amounts}) == [
        "column 'amount': 4 of 200 values cannot be read as numbers (row 17 'N/A', row 102 '-', row 150 '?'). "
        "To read such values as missing: --set table.missing=N/A,-,? (in Python: missing=('N/A', '-', '?')). "
        "To use the column as a category: --set schema.amount=category (in Python: kinds={'amount': 'category'})."
    ]


def test_infinities_are_reported_with_their_rows() -> None:
    assert problems({"a": [1.5, 2.0]}, {"a": [float("inf"), 1.0, None, -float("inf")]}) == [
        "column 'a': 2 of 4 values are infinite (row 0 inf, row 3 -inf). "
        "Expected finite numbers. Leave the field empty if the value is unknown."
    ]
    assert "1 of 2 values is infinite (row 1 'inf')" in problems({"a": [1.5, 2.0]}, {"a": ["1", "inf"]})[0]


def test_columns_of_another_kind_are_reported_with_their_type() -> None:
    assert problems({"a": [1.5, 2.0]}, {"a": [date(2024, 1, 1)]}) == [
        "column 'a': values of type Date cannot be read as kind 'numeric'. Expected numbers."
    ]
    days = {"d": [date(2024, 1, 1), date(2024, 1, 2)]}
    assert problems(days, {"d": ["soon", "later"]}) == [
        "column 'd': text cannot be read as kind 'time'. Expected times."
    ]
    assert "cannot be read as kind 'time'" in problems(days, {"d": [1e300]})[0]
    assert "cannot be read as kind 'category'" in problems({"c": ["x", "y"]}, {"c": [[1]]})[0]
    assert "cannot be read as kind 'boolean'" in problems({"b": [True, False]}, {"b": [date(2024, 1, 1)]})[0]


def test_values_of_another_kind_are_reported_with_their_rows() -> None:
    message = problems({"b": [True, False]}, {"b": ["true", "yes", None]})[0]
    assert message.startswith("column 'b': 1 of 3 values cannot be read as true or false (1 or 0) (row 1 'yes'). ")
    message = problems({"b": [True, False]}, {"b": [1, 2]})[0]
    assert message.startswith("column 'b': 1 of 2 values cannot be read as true or false (1 or 0) (row 1 2). ")
    message = problems({"d": [date(2024, 1, 1), date(2024, 1, 2)]}, {"d": ["2024-01-01", "soon"]})[0]
    assert message.startswith("column 'd': 1 of 2 values cannot be read as times (row 1 'soon'). ")


def test_rows_are_reported_by_their_numbers_in_the_whole_table() -> None:
    schema = Schema.infer(pl.DataFrame({"a": [1.5, 2.0], "b": [1.5, 2.0]}))
    with pytest.raises(TableError) as caught:
        schema.check(pl.DataFrame({"a": ["x", "1"], "b": [1.0, float("inf")]}), np.array([30, 10]))
    assert "1 of 2 values cannot be read as numbers (row 30 'x')" in str(caught.value)
    assert "1 of 2 values is infinite (row 10 inf)" in str(caught.value)
    schema.check(pl.DataFrame({"a": [1.0], "b": ["2"]}), np.array([5]))


def test_all_problems_of_a_table_come_at_once() -> None:
    train = {"amount": [1.5, 2.0], "n": [1.5, 2.0], "b": [True, False], "x": [1.5, 2.0], "fine": ["x", "y"]}
    new = {"amuont": [1.0, 2.0], "n": ["z", "1"], "b": [0, 7], "x": [1.0, float("inf")], "fine": ["x", "new"]}
    message = problems(train, new)
    assert message[0] == "column 'amount' is not in the table. Did you mean 'amuont'?"
    assert [line.split(":")[0] for line in message[1:]] == ["column 'n'", "column 'b'", "column 'x'"]


def test_columns_that_are_not_features_may_hold_anything() -> None:
    schema = Schema.infer(pl.DataFrame({"a": [1.5, 2.0], "row_id": [1, 2], "same": ["x", "x"]}))
    assert schema.conform(pl.DataFrame({"a": [3.0], "same": [[1]], "more": ["z"]})).columns == ["a"]


def test_the_hour_of_a_time_with_a_zone_is_local() -> None:
    local = pl.Series("when", [datetime(2024, 7, 1, 10), datetime(2024, 7, 2, 11)]).dt.replace_time_zone(
        "Europe/Berlin"
    )
    frame = local.to_frame()
    assert Schema.infer(frame).conform(frame)["when"].dt.hour().to_list() == [10, 11]


def test_numbers_with_thousands_separators_are_not_missing_values() -> None:
    amounts = [f"{number}.5" for number in range(200)]
    amounts[17] = "1,023.13"
    (said,) = problems({"amount": amounts}, {"amount": amounts})
    assert "Write numbers without thousands separators. To use the column as a category: " in said
    assert "missing=" not in said
