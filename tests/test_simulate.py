"""Simulated transactions: the size, the seed, the process and its three kinds of fraud."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from oddrow.errors import ParameterError
from oddrow.simulation import FRAUD_KINDS, handbook_features, simulate

BASE = ["transaction_id", "time", "customer_id", "terminal_id", "amount"]
LABELS = ["is_fraud", "fraud_kind"]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return simulate(50_000)


@pytest.fixture(scope="module")
def many() -> pl.DataFrame:
    return simulate(200_000)


def test_columns_have_their_order_and_types(rows: pl.DataFrame) -> None:
    featured = handbook_features(rows.select(*BASE, *LABELS))
    assert rows.columns == [*BASE, *featured.columns[len(BASE + LABELS) :], *LABELS]
    assert rows.width == 21
    types = [pl.Int64, pl.Datetime("us"), pl.Int64, pl.Int64, pl.Float64]
    assert rows.dtypes[:5] == types
    assert rows.dtypes[-2:] == [pl.Int8, pl.String]
    assert rows.null_count().sum_horizontal().item() == 0


def test_features_are_those_of_the_history(rows: pl.DataFrame) -> None:
    assert_frame_equal(handbook_features(rows.select(*BASE, *LABELS)).select(rows.columns), rows)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 400), st.integers(0, 2**32), st.none() | st.integers(1, 60))
def test_any_size_is_exact_and_in_time_order(n_rows: int, seed: int, n_days: int | None) -> None:
    out = simulate(n_rows, random_state=seed, n_days=n_days)
    assert out["transaction_id"].to_list() == list(range(n_rows))
    assert out["time"].is_sorted()
    assert (out["amount"] >= 0).all()
    assert set(out["fraud_kind"]) <= set(FRAUD_KINDS)


@pytest.mark.parametrize("n_rows", [1, 2, 100, np.int64(50)])
def test_small_sizes_are_accepted(n_rows: int) -> None:
    assert simulate(n_rows).height == n_rows


def test_the_seed_decides_everything() -> None:
    assert_frame_equal(simulate(2000, random_state=3), simulate(2000, random_state=3), check_exact=True)
    assert not simulate(2000, random_state=3).equals(simulate(2000, random_state=4))


def test_global_random_state_is_neither_used_nor_changed() -> None:
    legacy: Any = np.random  # the state shared by everything that calls numpy's old functions
    legacy.seed(1)
    expected = legacy.random()
    legacy.seed(1)
    first = simulate(500)
    assert legacy.random() == expected
    assert first.equals(simulate(500))


def test_days_start_where_asked_and_end_where_they_should() -> None:
    out = simulate(3000, start="2024-02-28", n_days=3)
    assert out["time"].dt.date().unique().sort().to_list() == [
        date(2024, 2, 28),
        date(2024, 2, 29),
        date(2024, 3, 1),
    ]
    assert simulate(3000, start=date(2024, 2, 28), n_days=3).equals(out)


def test_more_rows_cover_more_days(rows: pl.DataFrame, many: pl.DataFrame) -> None:
    assert [table["time"].dt.date().n_unique() for table in (rows, many)] == [41, 82]
    assert [table["time"].dt.date().min() for table in (rows, many)] == [date(2018, 4, 1)] * 2


def test_genuine_rows_look_like_the_handbooks(rows: pl.DataFrame) -> None:
    settled = rows.filter(pl.col("time") >= datetime(2018, 5, 9))
    assert rows["amount"].mean() == pytest.approx(53.6, rel=0.1)
    assert rows["is_night"].mean() == pytest.approx(0.174, abs=0.01)
    assert settled["customer_count_1d"].mean() == pytest.approx(3.56, rel=0.1)
    cents = rows["amount"] * 100
    assert ((cents - cents.round()).abs() < 1e-6).all()


def test_customers_buy_at_the_terminals_near_them(rows: pl.DataFrame) -> None:
    visited = rows.group_by("customer_id").agg(pl.col("terminal_id").n_unique(), pl.len())
    busy = visited.filter(pl.col("len") >= 100)["terminal_id"]
    n_terminals = 2 * 635
    near = n_terminals * np.pi * 5**2 / 100**2
    assert busy.mean() == pytest.approx(near, rel=0.2)
    assert busy.max() < 3 * near  # type: ignore[operator]


def test_every_kind_of_fraud_is_there_near_the_handbooks_share(rows: pl.DataFrame) -> None:
    share = dict(rows["fraud_kind"].value_counts(normalize=True).rows())
    assert set(share) == set(FRAUD_KINDS)
    assert 0.004 < 1 - share["none"] < 0.015
    assert ((rows["fraud_kind"] != "none").cast(pl.Int8) == rows["is_fraud"]).all()


@pytest.mark.parametrize("n_rows", [20_000, 200_000])
def test_the_share_of_fraud_holds_at_other_sizes(n_rows: int) -> None:
    assert np.mean([simulate(n_rows, random_state=s)["is_fraud"].mean() for s in range(3)]) == pytest.approx(
        0.0088, abs=0.0035
    )


def test_amounts_above_220_are_always_fraud_and_only_they_are_the_first_kind(rows: pl.DataFrame) -> None:
    assert (rows.filter(pl.col("amount") > 220)["is_fraud"] == 1).all()
    assert (rows.filter(pl.col("fraud_kind") == "large amount")["amount"] > 220).all()


def test_a_compromised_terminal_has_four_weeks_of_nothing_but_fraud(many: pl.DataFrame) -> None:
    by_day = (
        many.filter(pl.col("fraud_kind") != "stolen card")
        .group_by("terminal_id", pl.col("time").dt.date().alias("day"))
        .agg((pl.col("fraud_kind") == "compromised terminal").mean().alias("share"))
    )
    struck = by_day.filter(pl.col("share") > 0)
    assert (struck["share"] == 1).all()
    first = struck.group_by("terminal_id").agg(pl.len(), pl.col("day").min(), last=pl.col("day").max())
    begun_inside = first.filter(pl.col("day").is_between(date(2018, 4, 10), date(2018, 5, 20)), pl.col("len") > 9)
    n_days = (begun_inside["last"] - begun_inside["day"]).dt.total_days() + 1
    assert begun_inside.height > 10
    assert 23 <= n_days.median() <= 28  # type: ignore[operator]


def test_a_stolen_card_spends_five_times_as_much_on_a_third_of_its_rows(many: pl.DataFrame) -> None:
    stolen = pl.col("fraud_kind") == "stolen card"
    usual = many.filter(~stolen).group_by("customer_id").agg(pl.col("amount").mean().alias("usual"))
    spent = many.filter(stolen).join(usual, on="customer_id")
    assert (spent["amount"] / spent["usual"]).mean() == pytest.approx(5, rel=0.1)
    ends = many.filter(stolen).group_by("customer_id").agg(first=pl.col("time").min(), last=pl.col("time").max())
    inside = many.join(ends, on="customer_id").filter(pl.col("time").is_between("first", "last"))
    once = inside.filter(pl.col("last") - pl.col("first") <= pl.duration(days=14))
    assert once.select(stolen.mean()).item() == pytest.approx(1 / 3, abs=0.1)


@pytest.mark.parametrize("n_rows", [0, -5, 1.5, "many", None, True])
def test_an_invalid_row_count_is_refused(n_rows: Any) -> None:
    with pytest.raises(ParameterError, match="n_rows="):
        simulate(n_rows)


@pytest.mark.parametrize("seed", [-1, 0.5, None, "zero"])
def test_an_invalid_seed_is_refused(seed: Any) -> None:
    with pytest.raises(ParameterError, match="random_state="):
        simulate(10, random_state=seed)


@pytest.mark.parametrize("start", ["yesterday", "2018-13-01", 5, datetime(2018, 4, 1, 12)])
def test_a_start_other_than_a_day_is_refused(start: Any) -> None:
    with pytest.raises(ParameterError, match=r"is not a day. Pass an ISO date such as '2018-04-01'"):
        simulate(10, start=start)


@pytest.mark.parametrize("n_days", [0, 1.5, "week"])
def test_an_invalid_number_of_days_is_refused(n_days: Any) -> None:
    with pytest.raises(ParameterError, match="n_days="):
        simulate(10, n_days=n_days)
