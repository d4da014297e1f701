"""The Handbook's features: computed by hand, compared with a plain loop and with the Handbook's own file."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from oddrow.errors import ParameterError, TableError
from oddrow.simulation import handbook_features
from oddrow.table.history import History

START = datetime(2018, 4, 2)  # a Monday
INPUTS = ["time", "customer_id", "terminal_id", "amount", "is_fraud"]
HANDBOOK_NAMES = {
    "TX_DATETIME": "time",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "terminal_id",
    "TX_AMOUNT": "amount",
    "TX_FRAUD": "is_fraud",
    "TX_DURING_WEEKEND": "is_weekend",
    "TX_DURING_NIGHT": "is_night",
    "CUSTOMER_ID_NB_TX_1DAY_WINDOW": "customer_count_1d",
    "CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW": "customer_mean_amount_1d",
    "CUSTOMER_ID_NB_TX_7DAY_WINDOW": "customer_count_7d",
    "CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW": "customer_mean_amount_7d",
    "CUSTOMER_ID_NB_TX_30DAY_WINDOW": "customer_count_30d",
    "CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW": "customer_mean_amount_30d",
    "TERMINAL_ID_NB_TX_1DAY_WINDOW": "terminal_count_1d",
    "TERMINAL_ID_RISK_1DAY_WINDOW": "terminal_risk_1d",
    "TERMINAL_ID_NB_TX_7DAY_WINDOW": "terminal_count_7d",
    "TERMINAL_ID_RISK_7DAY_WINDOW": "terminal_risk_7d",
    "TERMINAL_ID_NB_TX_30DAY_WINDOW": "terminal_count_30d",
    "TERMINAL_ID_RISK_30DAY_WINDOW": "terminal_risk_30d",
}
FEATURES = [name for name in HANDBOOK_NAMES.values() if name not in INPUTS]


def table(days: list[float], **columns: list[Any]) -> pl.DataFrame:
    """Rows of one customer at one terminal, at days after START, amount 1, no fraud, by default."""
    n = len(days)
    defaults: dict[str, list[Any]] = {
        "customer_id": [1] * n,
        "terminal_id": [5] * n,
        "amount": [1.0] * n,
        "is_fraud": [0] * n,
    }
    return pl.DataFrame({"time": [START + timedelta(days=day) for day in days]} | defaults | columns)


def values(frame: pl.DataFrame, *columns: str, **options: Any) -> list[Any]:
    rows = handbook_features(frame, **options).select(columns).rows()
    return [row[0] for row in rows] if len(columns) == 1 else rows


# ------------------------------------------------------------------------------------------ by hand


def test_columns_are_appended_in_the_handbooks_order() -> None:
    out = handbook_features(table([0.0]).with_columns(note=pl.lit("x")))
    assert out.columns == [*INPUTS, "note", *FEATURES]
    assert len(FEATURES) == 14
    assert [out.schema[name] for name in FEATURES[:4]] == [pl.Int8, pl.Int8, pl.Int32, pl.Float64]


def test_weekend_is_saturday_and_sunday() -> None:
    assert values(table([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]), "is_weekend") == [0, 0, 0, 0, 0, 1, 1]


def test_night_lasts_until_the_seventh_hour_begins() -> None:
    hours = [0, 6, 6.99, 7, 12, 23.99]
    assert values(table([hour / 24 for hour in hours]), "is_night") == [1, 1, 1, 0, 0, 0]


def test_night_follows_the_time_zone_of_the_column() -> None:
    utc = table([5 / 24]).with_columns(pl.col("time").dt.replace_time_zone("UTC"))
    local = utc.with_columns(pl.col("time").dt.convert_time_zone("Asia/Tokyo"))
    assert values(utc, "is_night") == [1]
    assert values(local, "is_night") == [0]


def test_customer_window_holds_its_own_row_and_drops_one_exactly_a_window_old() -> None:
    rows = table([0, 0.5, 1, 7.5], amount=[10.0, 20.0, 40.0, 80.0])
    assert values(rows, "customer_count_1d") == [1, 2, 2, 1]
    assert values(rows, "customer_mean_amount_1d") == [10.0, 15.0, 30.0, 80.0]
    assert values(rows, "customer_count_7d") == [1, 2, 3, 2]
    assert values(rows, "customer_mean_amount_7d") == [10.0, 15.0, 70 / 3, 60.0]
    assert values(rows, "customer_mean_amount_30d") == [10.0, 15.0, 70 / 3, 37.5]


def test_terminal_window_ends_where_labels_are_known() -> None:
    rows = table([0, 1, 6.9, 7, 8, 15], is_fraud=[1, 0, 1, 0, 0, 0])
    assert values(rows, "terminal_count_1d") == [0, 0, 0, 1, 1, 1]  # rows -, -, -, 0, 1, 8
    assert values(rows, "terminal_risk_1d") == [0, 0, 0, 1, 0, 0]
    assert values(rows, "terminal_count_7d") == [0, 0, 0, 1, 2, 3]  # at day 15: 6.9, 7 and 8
    assert values(rows, "terminal_risk_7d") == [0, 0, 0, 1, 0.5, 1 / 3]
    assert values(rows, "terminal_risk_30d") == [0, 0, 0, 1, 0.5, 0.4]


def test_customers_and_terminals_do_not_mix() -> None:
    rows = table([0, 0.1, 0.2, 9], customer_id=[1, 2, 1, 2], terminal_id=[5, 5, 6, 5], is_fraud=[1, 0, 1, 0])
    assert values(rows, "customer_count_30d") == [1, 1, 2, 2]
    assert values(rows, "terminal_count_7d", "terminal_risk_7d")[3] == (2, 0.5)


def test_rows_at_the_same_time_count_in_their_order() -> None:
    rows = table([0, 0, 0], amount=[10.0, 20.0, 60.0])
    assert values(rows, "customer_count_1d") == [1, 2, 3]
    assert values(rows, "customer_mean_amount_1d") == [10.0, 15.0, 30.0]


def test_many_rows_at_the_same_time_count_in_their_order() -> None:
    customer = np.random.default_rng(0).integers(3, size=20_000)
    rows = table([0] * len(customer), customer_id=customer.tolist())
    seen = pl.int_range(1, pl.len() + 1).over("customer_id")
    assert values(rows, "customer_count_30d") == rows.select(seen).to_series().to_list()


def test_a_row_with_an_unknown_label_counts_as_a_row_only() -> None:
    rows = table([0, 0.1, 8], is_fraud=[1, None, None])
    assert values(rows, "terminal_count_7d", "terminal_risk_7d")[2] == (2, 0.5)
    unlabelled = rows.with_columns(is_fraud=pl.lit(None))
    assert values(unlabelled, "terminal_count_7d", "terminal_risk_7d")[2] == (2, 0.0)


def test_a_boolean_label_is_accepted() -> None:
    rows = table([0, 8], is_fraud=[True, False])
    assert values(rows, "terminal_risk_7d") == [0.0, 1.0]


def test_windows_and_delay_can_be_chosen() -> None:
    rows = table([0, 1, 2], is_fraud=[1, 0, 0])
    out = handbook_features(rows, windows_days=[2], delay_days=1)
    assert out.columns[5:] == [
        "is_weekend",
        "is_night",
        "customer_count_2d",
        "customer_mean_amount_2d",
        "terminal_count_2d",
        "terminal_risk_2d",
    ]
    assert out["terminal_risk_2d"].to_list() == [0.0, 1.0, 0.5]


def test_columns_may_have_other_names() -> None:
    rows = table([0, 8], is_fraud=[1, 0]).rename({"customer_id": "card", "is_fraud": "label"})
    assert values(rows, "terminal_risk_7d", customer="card", fraud="label") == [0.0, 1.0]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_every_time_unit_gives_the_same(unit: Any) -> None:
    rows = table([0, 0.5, 1, 7.5, 9], amount=[1.0, 2.0, 3.0, 4.0, 5.0], is_fraud=[1, 0, 0, 0, 0])
    cast = rows.with_columns(pl.col("time").cast(pl.Datetime(unit)))
    assert_frame_equal(
        handbook_features(cast).select(FEATURES), handbook_features(rows).select(FEATURES), check_exact=True
    )


def test_text_keys_and_an_empty_table_are_accepted() -> None:
    rows = table([0, 0.5], customer_id=["a", "a"], terminal_id=["x", "y"])
    assert values(rows, "customer_count_1d") == [1, 2]
    assert handbook_features(rows.clear()).shape == (0, 19)


def test_one_huge_amount_leaves_no_trace_in_windows_without_it() -> None:
    rows = table([0, 2, 2.5], amount=[1e30, 0.1, 0.3])
    assert values(rows, "customer_mean_amount_1d") == [1e30, 0.1, 0.2]


def test_the_table_is_not_changed() -> None:
    rows = table([1, 0])
    before = rows.clone()
    handbook_features(rows)
    assert_frame_equal(rows, before)


# --------------------------------------------------------------------------------------- properties

row = st.tuples(
    st.integers(0, 40 * 4).map(lambda quarter: quarter / 4),  # days: ties and exact window ends are common
    st.integers(0, 2),
    st.integers(0, 1),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.sampled_from([0, 1, None]),
)
tables = st.lists(row, max_size=30).map(
    lambda rows: table(
        [r[0] for r in rows],
        customer_id=[r[1] for r in rows],
        terminal_id=[r[2] for r in rows],
        amount=[r[3] for r in rows],
        is_fraud=[r[4] for r in rows],
    ).cast({"time": pl.Datetime("us"), "amount": pl.Float64, "is_fraud": pl.Int8})
)


def looped(frame: pl.DataFrame, at: int, days: int, delay: int) -> tuple[int, float, int, float]:
    """The definition, one row at a time."""
    rows = list(enumerate(frame.select(INPUTS).iter_rows()))
    _, (now, customer, terminal, _, _) = rows[at]
    age = [(i, (now - r[0]) / timedelta(days=1), r) for i, r in rows]
    mine = [r[3] for i, a, r in age if r[1] == customer and (0 < a < days or (a == 0 and i <= at))]
    known = [r[4] or 0 for _, a, r in age if r[2] == terminal and delay <= a < delay + days]
    return len(mine), sum(mine) / len(mine), len(known), sum(known) / max(len(known), 1)


@settings(deadline=None, max_examples=60)
@given(tables)
def test_every_value_follows_the_definition(frame: pl.DataFrame) -> None:
    out = handbook_features(frame)
    assert_frame_equal(out.select(INPUTS), frame)
    for days in (1, 7, 30):
        columns = ["customer_count", "customer_mean_amount", "terminal_count", "terminal_risk"]
        found = out.select(f"{column}_{days}d" for column in columns).rows()
        expected = [looped(frame, at, days, delay=7) for at in range(frame.height)]
        assert np.allclose(found, expected, rtol=1e-12, atol=1e-6) if found else not expected


@settings(deadline=None, max_examples=60)
@given(tables, st.integers(0, 160))
def test_later_rows_change_no_earlier_value(frame: pl.DataFrame, quarter: int) -> None:
    until = pl.col("time") <= START + timedelta(days=quarter / 4)
    assert_frame_equal(handbook_features(frame.filter(until)), handbook_features(frame).filter(until), check_exact=True)


@settings(deadline=None, max_examples=60)
@given(tables, st.integers(0, 30))
def test_rows_arriving_one_by_one_get_the_same_values(frame: pl.DataFrame, n_seen: int) -> None:
    stream = frame.sort("time", maintain_order=True)
    seen = handbook_features(stream.head(n_seen))
    assert_frame_equal(seen, handbook_features(stream).head(n_seen), check_exact=True)


@settings(deadline=None, max_examples=60)
@given(tables.filter(lambda frame: frame.height > 0), st.integers(1, 10))
def test_labels_younger_than_the_delay_are_not_seen(frame: pl.DataFrame, delay: int) -> None:
    stream = frame.sort("time", maintain_order=True)
    young = pl.col("time") > pl.col("time").max() - timedelta(days=delay)
    hidden = stream.with_columns(is_fraud=pl.when(young).then(None).otherwise("is_fraud"))
    last = [handbook_features(rows, delay_days=delay).tail(1).select(FEATURES) for rows in (stream, hidden)]
    assert_frame_equal(*last, check_exact=True)


@settings(deadline=None, max_examples=60)
@given(tables, st.randoms(use_true_random=False))
def test_row_order_permutes_the_values(frame: pl.DataFrame, random: Any) -> None:
    frame = frame.unique(["customer_id", "time"], maintain_order=True)
    order = random.sample(range(frame.height), frame.height)
    assert_frame_equal(handbook_features(frame[order]), handbook_features(frame)[order], check_exact=True)


# ------------------------------------------------------------------------------------------- refusals


def test_absent_columns_are_named_together_with_the_close_name() -> None:
    rows = table([0]).rename({"amount": "Amount", "customer_id": "who"})
    with pytest.raises(TableError) as refusal:
        handbook_features(rows)
    first, second = str(refusal.value).splitlines()
    assert first == "column 'customer_id' is not in the table. Name it with customer=…."
    assert second == "column 'amount' is not in the table. Did you mean 'Amount'? Name it with amount=…."


def test_wrong_types_are_named_together() -> None:
    rows = table([0], amount=["12,50"], is_fraud=["no"]).with_columns(time=pl.lit(date(2018, 4, 1)))
    with pytest.raises(TableError) as refusal:
        handbook_features(rows)
    message = str(refusal.value)
    assert "column 'time' is Date, but night needs the time of day" in message
    assert "column 'amount' is String, not numeric" in message
    assert "column 'is_fraud' is String, not 0 and 1" in message


def test_bad_values_are_counted_and_shown() -> None:
    rows = table([0, 1, 2], customer_id=[1, None, 1], amount=[1.0, float("nan"), None], is_fraud=[0, 2, 1])
    with pytest.raises(TableError) as refusal:
        handbook_features(rows)
    assert str(refusal.value).splitlines() == [
        "column 'customer_id': 1 of 3 values is missing (row 1 None). Fill them in, or leave these rows out.",
        "column 'amount': 2 of 3 values are missing (row 1 nan, row 2 None). Fill them in, or leave these rows out.",
        "column 'is_fraud': 1 of 3 values is not 0, 1 or missing (row 1 2).",
    ]


def test_an_infinite_amount_is_refused() -> None:
    with pytest.raises(TableError, match=r"'amount': 1 of 2 values is infinite \(row 1 inf\)"):
        handbook_features(table([0, 1], amount=[1.0, float("inf")]))


def test_a_missing_time_is_refused() -> None:
    rows = table([0, 1]).with_columns(time=pl.Series([datetime(2018, 4, 1, tzinfo=UTC), None]))
    with pytest.raises(TableError, match=r"'time': 1 of 2 times is missing \(row 1 None\)"):
        handbook_features(rows)


def test_an_existing_feature_is_not_replaced() -> None:
    with pytest.raises(
        TableError, match="already in the table: 'is_weekend', 'is_night', 'customer_count_1d' and 11 more"
    ):
        handbook_features(handbook_features(table([0])))


def test_other_frames_are_refused() -> None:
    with pytest.raises(TableError, match="frame is a dict, not a polars DataFrame"):
        handbook_features({"time": []})  # type: ignore[arg-type]


@pytest.mark.parametrize("windows", [(), (7, 7), (0,), (1.5,), ("7",), 7, (True,), (10**9,)])
def test_invalid_windows_are_refused(windows: Any) -> None:
    with pytest.raises(ParameterError, match="windows_days="):
        handbook_features(table([0]), windows_days=windows)


@pytest.mark.parametrize("delay", [0, -1, 0.5, None])
def test_a_delay_below_a_day_is_refused(delay: Any) -> None:
    with pytest.raises(ParameterError, match="delay_days="):
        handbook_features(table([0]), delay_days=delay)


# ------------------------------------------------------------------------------------------ real file


@pytest.fixture(scope="module")
def handbook(data: Path) -> pl.DataFrame:
    """The last 58 days of the Handbook's transformed file: 3 weeks, and all that they look back on."""
    path = data / "fraud_detection_handbook" / "fdh_transformed.parquet"
    if not path.exists():
        pytest.skip("ODDROW_DATA holds no fraud_detection_handbook/fdh_transformed.parquet")
    recent = pl.col("TX_DATETIME") >= datetime(2018, 8, 4)
    return pl.scan_parquet(path).filter(recent).select(list(HANDBOOK_NAMES)).rename(HANDBOOK_NAMES).collect()


def test_every_value_equals_the_handbooks_except_for_tied_rows(handbook: pl.DataFrame) -> None:
    compared = pl.col("time") >= datetime(2018, 9, 10)
    tied = handbook.select(pl.struct("customer_id", "time").is_duplicated() & compared).to_series()
    ours = handbook_features(handbook.select(INPUTS)).select(FEATURES)
    gap = np.abs(ours.to_numpy() - handbook.select(FEATURES).to_numpy()).max(axis=1)
    differs = pl.Series(gap > 1e-9) & handbook.select(compared).to_series()
    assert handbook.filter(compared).height > 190_000
    assert not (differs & ~tied).any()
    assert differs.sum() <= tied.sum() <= 20


def test_a_declared_history_gives_the_handbooks_values_too(handbook: pl.DataFrame) -> None:
    windows = ["1d", "7d", "30d"]
    declared = History.of(
        [
            {"features": ["weekend", "night"]},
            {"by": "customer_id", "windows": windows, "features": ["count", "mean amount"]},
            {"by": "terminal_id", "windows": windows, "features": ["count", "risk"], "delay": "7d"},
        ]
    )
    y = handbook["is_fraud"].cast(pl.Float64).to_numpy()
    found = declared.add(handbook.select(INPUTS), "time", y).select(declared.names)
    expected = handbook_features(handbook.select(INPUTS)).select(FEATURES)
    assert_frame_equal(found.rename(dict(zip(found.columns, FEATURES, strict=True))), expected, check_exact=True)
