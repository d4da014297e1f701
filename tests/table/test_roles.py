"""Roles: labels of two classes, weights, amounts and entities, and the columns that remain features."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.errors import ParameterError, TableError
from oddrow.table.roles import Roles

NAN = float("nan")


def labelled(values: Any, *, both: bool = False, **message: Any) -> list[float]:
    return list(Roles(label="y", **message).labels(pl.DataFrame({"y": values}), both=both))


@pytest.mark.parametrize(
    ("values", "message", "expected"),
    [
        ([0, 1, None], {}, [0, 1, NAN]),
        ([0.0, 1.0, NAN], {}, [0, 1, NAN]),
        ([True, False, None], {}, [1, 0, NAN]),
        (["1", "0", "true", "false", None], {}, [1, 0, 1, 0, NAN]),
        ([140, 7, 7], {"anomaly": ("140",)}, [1, 0, 0]),
        ([140.0, 7.5, None], {"anomaly": ("140",)}, [1, 0, NAN]),
        (["normal.", "smurf.", "back.", None], {"normal": ("normal.",)}, [0, 1, 1, NAN]),
        (["a", "b", "c"], {"anomaly": ("a", "c")}, [1, 0, 1]),
        ([True, False], {"anomaly": ("false",)}, [0, 1]),
        ([1, 0], {"normal": ("1",)}, [0, 1]),
        (pl.Series(["x", "y"], dtype=pl.Categorical), {"anomaly": ("x",)}, [1, 0]),
        ([0, 0], {}, [0, 0]),
        (["fine", "fine"], {"anomaly": ("fraud",)}, [0, 0]),
    ],
)
def test_labels_by_hand(values: Any, message: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_array_equal(labelled(values, **message), expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1, 2], "besides 0, 1, true and false it holds '2'"),
        (
            ["a", "b", "c", "d", "e"],
            "'a', 'b', 'c' and 2 more. Name the anomalous values (--anomaly V,V)",
        ),
        ([0.0, 0.5], "it holds '0.5'"),
        ([0.0, float("inf")], "it holds 'inf'"),
        ([1, 1, None], "all 2 labelled rows are anomalous. Expected normal rows too"),
        ([None, None], "every value is missing"),
        ([[0], [1]], "values of type List(Int64) cannot be labels"),
    ],
)
def test_labels_that_are_not_two_classes_are_refused(values: Any, message: str) -> None:
    with pytest.raises(TableError) as caught:
        labelled(values)
    assert str(caught.value).startswith("column 'y'")
    assert message in str(caught.value)


def test_an_evaluation_needs_both_classes() -> None:
    with pytest.raises(
        TableError, match=r"column 'y': none of 2 rows is anomalous\. Expected at least one labelled anomaly"
    ):
        labelled([0, 0], both=True)
    assert labelled([0, 1], both=True) == [0, 1]


def test_a_misspelt_label_value_is_refused_but_an_absent_one_is_not() -> None:
    with pytest.raises(ParameterError, match=r"column 'y' has no value 'normal'. Did you mean 'normal.'\?"):
        labelled(["normal.", "smurf."], normal=("normal",))
    assert labelled(["books", "food"], anomaly=("fraud",)) == [0, 0]


def test_anomaly_and_normal_cannot_be_combined() -> None:
    with pytest.raises(ParameterError, match="--anomaly and --normal were both given"):
        Roles(label="y", anomaly=("1",), normal=("0",)).check(["y"])


def test_every_named_column_must_be_there() -> None:
    roles = Roles(label="frod", time="tme", id="id", weight="weight", drop=("a", "b"))
    with pytest.raises(TableError) as caught:
        roles.check(["fraud", "time", "id", "weight", "a"])
    assert str(caught.value).split("\n") == [
        "--label: column 'frod' is not in the table. Did you mean 'fraud'?",
        "--time: column 'tme' is not in the table. Did you mean 'time'?",
        "--drop: column 'b' is not in the table.",
    ]
    Roles(label="fraud", drop=("a",)).check(["fraud", "a"])


def test_weights_are_numbers_whatever_their_type() -> None:
    for values in ([0, 2], [0.0, 2.0], ["0", "2"], [False, True]):
        weights = Roles(weight="w").outcomes(pl.DataFrame({"w": values}), np.arange(2)).weight
        assert weights is not None
        assert weights.dtype == np.float64
        assert weights.tolist() == [0, 1 if values[1] is True else 2]
    assert Roles().outcomes(pl.DataFrame({"w": [1]}), np.arange(1)).weight is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, -1.0, None, NAN, float("inf")], "4 of 5 weights are invalid (row 11 -1.0, row 12 None, row 13 nan)"),
        (["1", "many"], "1 of 2 weights is invalid (row 11 'many')"),
        ([0, 0], "every weight is 0"),
        ([[1], [2]], "values of type List(Int64) cannot be weights"),
        ([datetime(2024, 1, 1)], "cannot be weights. Expected numbers"),
    ],
)
def test_invalid_weights_are_refused(values: Any, message: str) -> None:
    with pytest.raises(TableError) as caught:
        Roles(weight="w").outcomes(pl.DataFrame({"w": values}), np.arange(10, 10 + len(values)))
    assert str(caught.value).startswith("column 'w': ")
    assert message in str(caught.value)


def test_columns_with_a_role_are_not_features_and_say_why() -> None:
    roles = Roles(label="y", time="t", id="k", weight="w", drop=("d",))
    frame = pl.DataFrame({"y": [1], "t": [1.5], "k": ["a"], "w": [1], "d": [1], "x": [1]})
    assert roles.reasons(frame) == {
        "y": "used as label",
        "t": "used to order the rows",
        "k": "used as id",
        "w": "used as weight",
        "d": "left out by --drop",
    }
    # Dates and times remain features, for their hour and weekday.
    assert "t" not in roles.reasons(frame.with_columns(t=pl.lit(datetime(2024, 1, 1))))
    assert Roles().reasons(frame) == {}


def test_amounts_and_entities() -> None:
    frame = pl.DataFrame({"a": ["1.5", "0"], "card": ["x", "y"]})
    assert Roles(amount="a").outcomes(frame, np.arange(2)).amount.tolist() == [1.5, 0]  # type: ignore[union-attr]
    with pytest.raises(TableError, match=r"column 'a': 1 of 1 amounts is invalid \(row 9 -2\)"):
        Roles(amount="a").outcomes(pl.DataFrame({"a": [-2]}), np.array([9]))
    cards = Roles(entity="card").outcomes(pl.DataFrame({"card": ["b", "a", "b", None, None]}), np.arange(5)).entity
    assert cards is not None
    assert cards[0] == cards[2]
    assert len(set(cards.tolist())) == 4, "each row without an entity has a code of its own"
    nothing = Roles().outcomes(frame, np.arange(2))
    assert nothing.amount is None
    assert nothing.entity is None
    assert len(nothing) == 2
    assert Roles(entity="card", amount="a").reasons(frame) == {"card": "used as entity"}


def test_roles_whose_column_is_absent_can_be_removed() -> None:
    roles = Roles(label="y", time="t", amount="a")
    assert roles.without_absent(("time", "amount"), ["y", "a"]) == Roles(label="y", amount="a")
    assert roles.without_absent((), []) == roles
