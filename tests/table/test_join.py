"""Left joins: which rows find a partner, and which tables cannot be joined."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from oddrow.errors import ParameterError, TableError
from oddrow.table.delimited import ReadOptions
from oddrow.table.join import Join, left_join, read_joined
from oddrow.table.table import SYNTHETIC, Table


def table(source: str = "left.csv", **columns: Any) -> Table:
    return Table.from_frame(pl.DataFrame(columns), source)


def other(**columns: Any) -> Table:
    return table("right.csv", **columns)


def refusal(left: Table, right: Table, on: str = "id") -> str:
    with pytest.raises(TableError) as caught:
        left_join(left, right, on)
    return str(caught.value)


def test_every_row_stays_in_order_and_those_without_a_partner_have_missing_values() -> None:
    joined = left_join(
        table(amount=[1.0, 2.0, 3.0, 4.0], id=[9, 7, 9, 1]), other(shop=["a", "b", "c"], id=[7, 9, 8]), "id"
    )
    expected = {"amount": [1.0, 2.0, 3.0, 4.0], "id": [9, 7, 9, 1], "shop": ["b", "a", "b", None]}
    assert_frame_equal(joined.in_memory, pl.DataFrame(expected))
    assert joined.note == "3 of 4 rows matched right.csv on 'id'."
    assert joined.source == "left.csv with right.csv"


@given(
    st.lists(st.integers(0, 9) | st.none(), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=9, unique=True),
)
def test_the_join_equals_a_lookup_row_by_row(keys: list[int | None], others: list[int]) -> None:
    left = Table.from_frame(pl.DataFrame({"id": pl.Series(keys, dtype=pl.Int64)}))
    joined = left_join(left, other(id=others, square=[key * key for key in others]), "id")
    assert joined.frame["id"].to_list() == keys
    assert joined.frame["square"].to_list() == [key * key if key in others else None for key in keys]


@pytest.mark.parametrize(
    ("keys", "others"),
    [
        ([1, 2, None], [2.0, 1.0, None]),
        ([1.0, 2.0, float("nan")], [2.0, 1.0, float("nan")]),
        ([1.0, 2.0, float("nan")], [2, 1, 0]),
        (["a", "b", None], ["b", "a", None]),
        ([True, False, None], [False, True, None]),
        ([date(2024, 1, 1), date(2024, 1, 2), None], [date(2024, 1, 2), date(2024, 1, 1), None]),
    ],
    ids=["integers and floats", "floats", "floats and integers", "text", "booleans", "dates"],
)
def test_keys_of_one_kind_match_and_a_missing_key_matches_nothing(keys: list[Any], others: list[Any]) -> None:
    joined = left_join(table(id=keys), other(id=others, x=["two", "one", "none"]), "id")
    assert joined.frame["x"].to_list() == ["one", "two", None]
    assert_frame_equal(joined.in_memory.select("id"), pl.DataFrame({"id": keys}))


def test_long_numbers_and_levels_match_exactly() -> None:
    long = 2**62
    joined = left_join(table(id=[long, long + 1]), other(id=[long + 1, long], x=[1, 0]), "id")
    assert joined.frame["x"].to_list() == [0, 1]
    levels = pl.Series(["a", "b"], dtype=pl.Categorical)
    assert left_join(table(id=levels), other(id=["b"], x=[1]), "id").frame["x"].to_list() == [None, 1]


def test_a_key_that_is_missing_everywhere_matches_nothing_and_is_not_an_error() -> None:
    for keys in ([None, None], pl.Series([None, None], dtype=pl.String)):
        assert left_join(table(id=keys), other(id=[1], x=[5]), "id").frame["x"].to_list() == [None, None]


def test_a_second_table_with_only_the_key_adds_nothing() -> None:
    assert left_join(table(id=[1, 2], x=[3, 4]), other(id=[2]), "id").columns == ["id", "x"]


def test_a_row_is_synthetic_if_either_part_is() -> None:
    marks: dict[str, Any] = {SYNTHETIC: [True, False, False, False]}
    left = table(id=[1, 2, 3, 4], **marks)
    joined = left_join(left, other(id=[1, 2, 3], x=[0, 0, 0], **{SYNTHETIC: [False, True, False]}), "id")
    assert joined.synthetic.tolist() == [True, True, False, False]
    assert joined.columns == ["id", "x"]


def test_a_key_column_must_be_in_both_tables() -> None:
    left, right = table(card_id=[1], amount=[2.5]), other(card_no=[1])
    assert refusal(left, right, "amount") == "--on: right.csv: column 'amount' is not in the table."
    assert refusal(left, right, "card_no") == (
        "--on: left.csv: column 'card_no' is not in the table. Did you mean 'card_id'?"
    )
    assert refusal(left, right, "cardid").split("\n") == [
        "--on: left.csv: column 'cardid' is not in the table. Did you mean 'card_id'?",
        "--on: right.csv: column 'cardid' is not in the table. Did you mean 'card_no'?",
    ]


def test_a_key_repeated_in_the_second_table() -> None:
    assert refusal(table(id=[1, 1]), other(id=[5, 3, 5, 9, 3, 7, 7, 2, 2], x=range(9))) == (
        "right.csv: column 'id' repeats 4 values ('5', '3', '7'). "
        "Expected each key once, because a join would repeat rows. Keep one row per key."
    )
    assert "repeats 1 value ('1')" in refusal(table(id=[1]), other(id=[1.0, 1.0], x=[0, 1]))
    assert left_join(table(id=[1, 1]), other(id=[None, None, 1], x=[0, 1, 2]), "id").frame["x"].to_list() == [2, 2]


@pytest.mark.parametrize(
    ("keys", "others", "expected"),
    [
        (["a"], [1], "text in left.csv cannot be compared with numbers in right.csv."),
        ([1.5], ["a"], "numbers in left.csv cannot be compared with text in right.csv."),
        ([True], [1], "true and false in left.csv cannot be compared with numbers in right.csv."),
        ([[1]], [[1]], "values of type List(Int64) in left.csv cannot be compared with values of type List(Int64)"),
    ],
)
def test_keys_that_cannot_be_compared(keys: list[Any], others: list[Any], expected: str) -> None:
    message = refusal(table(id=keys), other(id=others, x=[0]))
    assert message.startswith(f"--on: column 'id': {expected}")
    assert message.endswith("Write the key the same way in both tables.")


def test_columns_of_one_name() -> None:
    shared: dict[str, Any] = {name: [0] for name in "abcd"}
    assert refusal(table(id=[1], z=[0], **shared), other(id=[1], y=[0], **shared)) == (
        "right.csv: besides the key 'id', left.csv has 4 columns of the same name ('a', 'b', 'c' and 1 more). "
        "Rename or remove them in one of the two tables."
    )


def test_join_and_on_belong_together() -> None:
    assert Join.of(None, None) is None
    assert Join.of("b.csv", "id") == Join("b.csv", "id")
    with pytest.raises(ParameterError, match=r"--join b.csv needs a key column that both tables have: --on KEY\."):
        Join.of("b.csv", None)
    with pytest.raises(ParameterError, match=r"--on id needs a second table: --join TABLE\."):
        Join.of(None, "id")


def test_given_names_are_those_of_the_first_table_and_missing_texts_hold_for_both(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,-\n2,5\n")
    (tmp_path / "b1.csv").write_text("id,x\n2,-\n3,8\n")
    (tmp_path / "b2.csv").write_text("id,x\n1,7\n")
    read = ReadOptions(names=("id", "w"), missing=("-",))
    joined = read_joined(str(tmp_path / "a.csv"), read, Join(str(tmp_path / "b*.csv"), "id"))
    assert joined.in_memory.rows() == [(1, None, 7), (2, 5, None)]
    assert read_joined(str(tmp_path / "a.csv"), read).columns == ["id", "w"]
