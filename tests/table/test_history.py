"""Features of a history: computed by hand, compared with a plain loop, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from oddrow.errors import ParameterError, TableError
from oddrow.structure import to_plain
from oddrow.table.history import History
from oddrow.table.history.features import FeatureBlock

START = datetime(2018, 4, 2)  # a Monday
ALL: list[dict[str, Any]] = [
    {"features": ["weekend", "night"]},
    {"by": "card", "windows": ["1d", "3d"], "features": ["count", "sum amount", "mean amount", "since last"]},
    {"by": "shop", "windows": ["1d", "3d"], "delay": "2d", "features": ["risk", "count", "mean amount"]},
    {"by": "shop", "windows": ["12h"], "features": ["count"]},
]


def table(days: list[float], **columns: Any) -> pl.DataFrame:
    """Rows of one card at days after START, amount 1 by default."""
    defaults = {"card": ["a"] * len(days), "amount": [1.0] * len(days)}
    return pl.DataFrame({"time": [START + timedelta(days=day) for day in days], **defaults, **columns}, strict=False)


def values(frame: pl.DataFrame, *features: str, y: Any = None, **block: Any) -> list[Any]:
    """What one block adds: a list for one column, else of tuples."""
    history = History.of([{"by": "card", "features": list(features), **block}])
    rows = history.add(frame, "time", y).select(history.names).rows()
    return [row[0] for row in rows] if len(history.names) == 1 else rows


# ------------------------------------------------------------------------------------------ by hand


def test_names_types_and_order() -> None:
    history = History.of(ALL)
    out = history.add(table([0.0], shop=["x"]), "time", np.array([0.0]))
    assert out.columns == ["time", "card", "amount", "shop", *history.names]
    assert history.names == [
        *("is_weekend", "is_night"),
        *("card_count_1d", "card_sum_amount_1d", "card_mean_amount_1d"),
        *("card_count_3d", "card_sum_amount_3d", "card_mean_amount_3d", "card_since_last"),
        *("shop_risk_1d_2d_ago", "shop_count_1d_2d_ago", "shop_mean_amount_1d_2d_ago"),
        *("shop_risk_3d_2d_ago", "shop_count_3d_2d_ago", "shop_mean_amount_3d_2d_ago"),
        "shop_count_12h",
    ]
    counts = {name: pl.Int32 for name in history.names if "count" in name}
    expected = {name: pl.Float64 for name in history.names} | {"is_weekend": pl.Int8, "is_night": pl.Int8} | counts
    assert {name: out.schema[name] for name in history.names} == expected


def test_what_it_reads_and_how_far_back_it_sees() -> None:
    history = History.of(ALL)
    assert history.columns == ["card", "shop", "amount"]
    assert history.needs_label
    assert history.reach == 5 * 86_400
    plain = History.of([{"by": "card", "windows": [60, "3600"], "features": ["count"]}])
    assert (plain.reach, plain.needs_label, plain.names) == (3600.0, False, ["card_count_60", "card_count_3600"])
    assert History.of([{"features": ["night"]}]).reach == 0


def test_weekend_and_night_follow_the_time_zone_of_the_column() -> None:
    rows = pl.DataFrame({"time": [datetime(2018, 4, 6, 22, 30, tzinfo=UTC), datetime(2018, 4, 8, 7, tzinfo=UTC)]})
    history = History.of([{"features": ["night", "weekend"]}])
    assert history.add(rows, "time")[history.names].rows() == [(0, 0), (0, 1)]
    paris = rows.with_columns(pl.col("time").dt.convert_time_zone("Europe/Paris"))
    assert history.add(paris, "time")[history.names].rows() == [(1, 1), (0, 1)]


def test_a_window_holds_its_own_row_and_drops_one_exactly_a_window_old() -> None:
    rows = table([0, 0.5, 1, 7.5], amount=[10.0, 20.0, 40.0, 80.0])
    assert values(rows, "count", windows=["1d"]) == [1, 2, 2, 1]
    assert values(rows, "sum amount", windows=["1d"]) == [10, 30, 60, 80]
    assert values(rows, "mean amount", windows=["7d"]) == [10, 15, 70 / 3, 60]


def test_a_delay_ends_the_window_at_a_row_exactly_that_old() -> None:
    rows = table([0, 1, 1.5, 2], amount=[1.0, 2.0, 4.0, 8.0])
    assert values(rows, "count", "sum amount", "mean amount", windows=["1d"], delay="1d") == [
        (0, 0.0, None),
        (1, 1.0, 1.0),
        (1, 1.0, 1.0),
        (1, 2.0, 2.0),
    ]


def test_missing_amounts_are_skipped_but_their_rows_count() -> None:
    rows = table([0, 0.1, 0.2, 5], amount=[None, 4.0, float("nan"), None])
    assert values(rows, "count", "sum amount", "mean amount", windows=["1d"]) == [
        (1, 0.0, None),
        (2, 4.0, 4.0),
        (3, 4.0, 4.0),
        (1, 0.0, None),
    ]
    nothing = rows.with_columns(amount=pl.lit(None))
    assert values(nothing, "mean amount", windows=["1d"]) == [None] * 4


def test_risk_is_known_frauds_by_rows_and_zero_without_rows() -> None:
    y = [1, np.nan, 1, 0, 0]
    assert values(table([0, 0.5, 1.9, 2, 9]), "risk", windows=["3d"], delay="1d", y=y) == [0, 0, 0.5, 0.5, 0]


def test_labels_may_be_a_column() -> None:
    rows = table([0, 0.5, 1.9, 2, 9]).with_columns(is_fraud=pl.Series([True, None, True, False, False]))
    assert values(rows, "risk", windows=["3d"], delay="1d", y=rows["is_fraud"]) == [0, 0, 0.5, 0.5, 0]
    with pytest.raises(TableError, match="column 'card' is String, not 0 and 1"):
        values(rows, "risk", windows=["3d"], delay="1d", y=rows["card"])


def test_since_last_counts_seconds_and_has_none_for_the_first() -> None:
    rows = table([0, 0.5, 0.5, 1], card=["a", "b", "a", "a"])
    assert values(rows, "since last") == [None, None, 43_200.0, 43_200.0]


def test_since_last_of_the_same_moment_is_zero() -> None:
    assert values(table([1, 0, 1]), "since last") == [86_400.0, None, 0.0]


def test_rows_at_the_same_time_count_in_their_order() -> None:
    rows = table([1, 0, 1, 1], amount=[2.0, 1.0, 4.0, 8.0])
    assert values(rows, "count", "sum amount", windows=["2d"]) == [(2, 3.0), (1, 1.0), (3, 7.0), (4, 15.0)]


def test_a_row_without_an_entity_has_no_history() -> None:
    rows = table([0, 0.1, 0.2], card=[None, "a", None])
    assert values(rows, "count", "mean amount", "since last", windows=["1d"]) == [
        (None, None, None),
        (1, 1.0, None),
        (None, None, None),
    ]
    nobody = rows.with_columns(card=pl.lit(None))
    assert values(nobody, "count", windows=["1d"]) == [None, None, None]


def test_one_huge_amount_leaves_no_trace_in_windows_without_it() -> None:
    rows = table([0, 2, 2.5], amount=[1e300, 0.1, 0.3])
    assert values(rows, "sum amount", windows=["1d"]) == [1e300, 0.1, 0.4]


def test_huge_amounts_side_by_side_spoil_only_windows_that_hold_both() -> None:
    rows = table([0, 1, 1.5], amount=[1.5e308, 1.5e308, 1.5e308])
    assert values(rows, "sum amount", windows=["1d"]) == [1.5e308, 1.5e308, float("inf")]


@pytest.mark.parametrize("scale", [1, 1.0, 0.25])
def test_a_numeric_time_counts_in_its_own_unit(scale: float) -> None:
    rows = pl.DataFrame({"time": [0, 4, 8, 13], "card": ["a"] * 4}).with_columns(pl.col("time") * scale)
    block = {"by": "card", "windows": [f"{8 * scale:g}"], "features": ["count", "since last"]}
    history = History.of([block])
    expected = [(1, None), (2, 4 * scale), (2, 4 * scale), (2, 5 * scale)]
    assert history.add(rows, "time")[history.names].rows() == expected


def test_large_whole_numbers_lose_nothing() -> None:
    rows = pl.DataFrame({"time": [1_700_000_000_001, 1_700_000_000_002, 1_700_000_000_003], "card": ["a"] * 3})
    history = History.of([{"by": "card", "windows": ["1", "2"], "features": ["count"]}])
    for kind in (pl.Int64, pl.Float64):
        assert history.add(rows.cast({"time": kind}), "time")[history.names].rows() == [(1, 1), (1, 2), (1, 2)]


def test_dates_are_accepted_as_times() -> None:
    rows = pl.DataFrame({"time": [date(1969, 12, 31), date(1970, 1, 1), date(1970, 1, 3)], "card": [1, 1, 1]})
    assert values(rows, "count", "since last", windows=["2d"]) == [(1, None), (2, 86_400.0), (1, 172_800.0)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_every_unit_and_zone_gives_the_same(unit: Any, zone: str | None) -> None:
    rows = table([0, 0.5, 1, 7.5, 9], shop=["x"] * 5)
    y, history = np.array([1, 0, 0, 0, 0.0]), History.of(ALL[1:])
    zoned = pl.col("time").dt.replace_time_zone(zone).cast(pl.Datetime(unit, zone))
    found = history.add(rows.with_columns(zoned), "time", y).select(history.names)
    assert_frame_equal(found, history.add(rows, "time", y).select(history.names), check_exact=True)


@pytest.mark.parametrize(
    "kind", [pl.Int8, pl.UInt64, pl.String, pl.Categorical, pl.Enum(["0", "1"]), pl.Boolean], ids=str
)
def test_entities_of_every_kind(kind: Any) -> None:
    card = pl.Series([1, 0, 1, None])
    cast = card.cast(pl.String).cast(kind) if kind not in (pl.Int8, pl.UInt64, pl.Boolean) else card.cast(kind)
    assert values(table([0, 0.1, 0.2, 0.3], card=cast), "count", windows=["1d"]) == [1, 1, 2, None]


def test_an_empty_table_and_an_empty_history_are_accepted() -> None:
    history = History.of(ALL)
    empty = table([], shop=[]).cast({"time": pl.Datetime("us"), "card": pl.String, "shop": pl.String})
    assert history.add(empty, "time", np.empty(0)).shape == (0, 4 + len(history.names))
    nothing = History.of([])
    assert nothing.names == nothing.columns == []
    assert_frame_equal(nothing.add(table([0, 1]), "time"), table([0, 1]))


def test_two_entity_columns_do_not_mix_and_the_table_is_not_changed() -> None:
    rows = table([0, 0.1, 0.2], card=["a", "b", "a"], shop=["x", "x", "y"])
    before = rows.clone()
    history = History.of([{"by": by, "windows": ["1d"], "features": ["count"]} for by in ("shop", "card")])
    assert history.add(rows, "time")[history.names].rows() == [(1, 1), (2, 1), (1, 2)]
    assert_frame_equal(rows, before)


def test_one_entity_with_half_of_the_rows_is_not_slow() -> None:
    rng = np.random.default_rng(0)
    n = 200_000
    card = np.where(rng.random(n) < 0.5, 0, rng.integers(1, 1000, n))
    moments = np.sort(rng.integers(0, 30 * 86_400, n))
    rows = pl.DataFrame({"time": moments, "card": card, "amount": rng.random(n)})
    history = History.of(
        [{"by": "card", "windows": ["86400", "2592000"], "features": ["count", "mean amount", "since last"]}]
    )
    start = time.perf_counter()
    out = history.add(rows, "time")
    # A window of a hundred thousand rows added up row by row would take minutes.
    assert time.perf_counter() - start < 20
    mine = out.filter(pl.col("card") == 0)
    assert mine["card_count_2592000"].to_list() == list(range(1, mine.height + 1))
    means = (mine["amount"].cum_sum() / mine["card_count_2592000"]).to_numpy()
    assert np.allclose(mine["card_mean_amount_2592000"], means, rtol=1e-12)


# --------------------------------------------------------------------------------------- properties

row = st.tuples(
    st.integers(0, 12 * 4).map(lambda quarter: quarter / 4),  # days: ties and exact window ends are common
    st.sampled_from(["a", "b", None]),
    st.sampled_from([1, 2, None]),
    st.one_of(st.none(), st.just(float("nan")), st.floats(-1e6, 1e6, allow_subnormal=False)),
    st.sampled_from([0.0, 1.0, float("nan")]),
)
SCHEMA: dict[str, Any] = {
    "time": pl.Datetime("us"),
    "card": pl.String,
    "shop": pl.Int64,
    "amount": pl.Float64,
    "y": pl.Float64,
}


def framed(rows: list[Any]) -> pl.DataFrame:
    moments = [START + timedelta(days=row[0]) for row in rows]
    return pl.DataFrame([(moment, *row[1:]) for moment, row in zip(moments, rows, strict=True)], SCHEMA, orient="row")


tables = st.lists(row, max_size=30).map(framed)


def added(frame: pl.DataFrame) -> pl.DataFrame:
    return History.of(ALL).add(frame, "time", frame["y"].to_numpy())


def in_window(frame: pl.DataFrame, at: int, by: str, window: float, delay: float = 0) -> pl.DataFrame | None:
    """The rows that the definition has a row see."""
    this = frame.row(at, named=True)
    if this[by] is None:
        return None
    age = (this["time"] - pl.col("time")).dt.total_seconds() / 86_400
    begun = (age >= delay) if delay else (age > 0) | ((age == 0) & (pl.col("n") <= at))
    return frame.with_row_index("n").filter((pl.col(by) == this[by]) & begun & (age < delay + window))


def expected_values(frame: pl.DataFrame, at: int, window: int) -> list[float | None]:
    """Count and mean amount of the card, count and risk of the shop two days ago, by the definition."""
    seen, known = in_window(frame, at, "card", window), in_window(frame, at, "shop", window, 2)
    card: list[Any] = [None, None] if seen is None else [seen.height, seen["amount"].fill_nan(None).mean()]
    if known is None:
        return [*card, None, None]
    return [*card, known.height, (known["y"] == 1).sum() / max(known.height, 1)]


@settings(max_examples=60)
@given(tables)
def test_every_value_follows_the_definition(frame: pl.DataFrame) -> None:
    out = added(frame)
    assert_frame_equal(out.select(frame.columns), frame)
    for window in (1, 3):
        shop = [f"shop_{what}_{window}d_2d_ago" for what in ("count", "risk")]
        found = out.select(f"card_count_{window}d", f"card_mean_amount_{window}d", *shop)
        rows = [expected_values(frame, at, window) for at in range(frame.height)]
        expected = pl.DataFrame(rows, dict.fromkeys(found.columns, pl.Float64), orient="row", strict=False)
        assert_frame_equal(found.cast(pl.Float64), expected, rel_tol=1e-9, abs_tol=1e-6)


@settings(max_examples=60)
@given(tables, st.integers(0, 48))
def test_later_rows_change_no_earlier_value(frame: pl.DataFrame, quarter: int) -> None:
    until = pl.col("time") <= START + timedelta(days=quarter / 4)
    assert_frame_equal(added(frame.filter(until)), added(frame).filter(until), check_exact=True)


@settings(max_examples=60)
@given(tables, st.integers(0, 30))
def test_rows_below_change_no_value_of_a_stream(frame: pl.DataFrame, n_seen: int) -> None:
    stream = frame.sort("time", maintain_order=True)
    assert_frame_equal(added(stream.head(n_seen)), added(stream).head(n_seen), check_exact=True)


@settings(max_examples=60)
@given(tables.filter(lambda frame: frame.height > 0), st.randoms(use_true_random=False))
def test_labels_younger_than_the_delay_can_be_anything(frame: pl.DataFrame, random: Any) -> None:
    now = frame["time"].max()
    assert isinstance(now, datetime)
    young = (frame["time"] > now - timedelta(days=2)).to_numpy()
    y = frame["y"].to_numpy().copy()
    y[young] = random.choices([0.0, 1.0, np.nan], k=int(young.sum()))
    latest = pl.col("time") == now
    assert_frame_equal(
        added(frame).filter(latest).drop("y"), added(frame.with_columns(y=pl.Series(y))).filter(latest).drop("y")
    )


@settings(max_examples=60)
@given(tables, st.randoms(use_true_random=False))
def test_row_order_permutes_the_values(frame: pl.DataFrame, random: Any) -> None:
    frame = frame.unique("time", maintain_order=True)
    order = random.sample(range(frame.height), frame.height)
    assert_frame_equal(added(frame[order]), added(frame)[order], check_exact=True)


# ---------------------------------------------------------------------------------------- declaration


def test_a_history_goes_to_plain_values_and_back() -> None:
    history = History.of(ALL)
    assert History.of(to_plain(history.blocks)) == history
    assert hash(history) == hash(History.of(ALL))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"by": "card", "window": ["1d"]}, "block 1: unknown key 'window'. Did you mean 'windows'?"),
        ({"by": "card"}, "it has no features. Choose from weekend, night, count, sum COLUMN"),
        ({"by": "card", "features": ["cuont"], "windows": ["1d"]}, "feature 'cuont' is unknown. Did you mean 'count'?"),
        (
            {"by": "card", "features": ["avarage of"], "windows": ["1d"]},
            "feature 'avarage of' is unknown. Choose from ",
        ),
        ({"by": "card", "features": ["men amount"], "windows": ["1d"]}, "Did you mean 'mean amount'?"),
        ({"by": "card", "features": ["sum"], "windows": ["1d"]}, "'sum' needs a column. Write 'sum COLUMN'"),
        ({"by": "card", "features": ["count"]}, "'count' needs windows"),
        ({"by": "card", "features": ["sum amount"]}, "'sum amount' needs windows"),
        ({"by": "card", "features": ["since last"], "windows": ["1d"]}, "windows have no effect on since last"),
        ({"features": ["night"], "windows": ["1d"]}, "windows have no effect on night"),
        ({"features": ["night"], "delay": "1d"}, "a delay has no effect without by"),
        ({"features": ["count"], "windows": ["1d"]}, "'count' needs an entity. Name its column"),
        ({"by": "card", "features": ["weekend"]}, "'weekend' describes the row's own time, not the card"),
        ({"by": "card", "features": ["risk"], "windows": ["1d"]}, "'risk' needs a delay"),
        ({"by": "card", "features": ["count", "since last"], "windows": ["1d"], "delay": "1d"}, "cannot have a delay"),
        ({"by": "card", "features": ["count"], "windows": ["1x"]}, "'1x' is not a time span above 0"),
        ({"by": "card", "features": ["count"], "windows": ["0d"]}, "'0d' is not a time span above 0"),
        ({"by": "card", "features": ["count"], "windows": ["-1d"]}, "'-1d' is not a time span above 0"),
        ({"by": "card", "features": ["count"], "windows": ["nan"]}, "'nan' is not a time span above 0"),
        ({"by": "card", "features": ["count"], "windows": ["1e30d"]}, "'1e30d' is not a time span above 0"),
        ({"by": "card", "features": ["count"], "windows": ["1d"], "delay": "0d"}, "'0d' is not a time span above 0"),
        ({"by": "card", "features": ["count"], "windows": ["1d", "1d"]}, "declared twice: 'card_count_1d'"),
        (
            {"by": "card", "features": ["count"], "windows": ["1d", "3600"]},
            "'3600' is for a numeric time, but '1d' for dates and times",
        ),
        ({"by": "card", "features": "count", "windows": ["1d"]}, "features='count' is not a list. Write ['count']."),
        ({"by": "card", "features": [7], "windows": ["1d"]}, "features[0]=7 is not text"),
        ({"by": "card", "features": ["count"], "windows": [True]}, "windows[0]=True is not text"),
        ({"by": 5, "features": ["count"], "windows": ["1d"]}, "by=5 is not text"),
        ("count", "'count' is not a section"),
    ],
)
def test_an_invalid_block_is_refused(block: Any, message: str) -> None:
    with pytest.raises(ParameterError) as refusal:
        History.of([block])
    assert message in str(refusal.value)


def test_all_blocks_are_checked_before_one_error_is_raised() -> None:
    good = {"by": "card", "features": ["count"], "windows": ["1d"]}
    with pytest.raises(ParameterError) as refusal:
        History.of([good, {"features": ["nihgt", "count"]}, good | {"windows": ["1w"]}])
    assert [line.split(": ")[0] for line in str(refusal.value).splitlines()] == [
        *["history, block 2"] * 3,
        "history, block 3",
    ]
    with pytest.raises(ParameterError, match="declared twice: 'card_count_1d'"):
        History.of([good, good])
    with pytest.raises(ParameterError, match="is not a list of blocks"):
        History.of(good)  # type: ignore[arg-type]


def test_blocks_made_by_hand_are_checked_too() -> None:
    with pytest.raises(ParameterError, match="'risk' needs a delay"):
        History((FeatureBlock(("risk",), by="card", windows=("1d",)),))


# ------------------------------------------------------------------------------------------- refusals


def test_absent_columns_are_named_together_with_the_close_name() -> None:
    rows = table([0]).rename({"amount": "Amount", "card": "who"})
    with pytest.raises(TableError) as refusal:
        values(rows, "mean amount", windows=["1d"])
    assert str(refusal.value).splitlines() == [
        "column 'card' is not in the table.",
        "column 'amount' is not in the table. Did you mean 'Amount'?",
    ]


def test_all_problems_of_a_table_are_reported_at_once() -> None:
    rows = pl.DataFrame({"time": [1.0, None], "card": [0.5, 1.5], "shop": [1, 1], "amount": [1.0, float("inf")]})
    with pytest.raises(TableError) as refusal:
        History.of(ALL).add(rows, "time", np.array([0.0, 2.0]))
    assert [line.split(". ")[0] for line in str(refusal.value).splitlines()] == [
        "column 'time': 1 of 2 times is missing (row 1 None)",
        "column 'card' is Float64, which cannot name entities",
        "column 'time' is Float64, but weekend needs dates and times",
        "column 'amount': 1 of 2 values is infinite (row 1 inf)",
        "column 'y': 1 of 2 values is not 0, 1 or missing (row 1 2.0).",
    ]


@pytest.mark.parametrize("moment", [float("inf"), 1e13, -1e300])
def test_numeric_times_out_of_range_are_refused(moment: float) -> None:
    rows = pl.DataFrame({"time": [0.0, moment], "card": ["a", "a"]})
    history = History.of([{"by": "card", "windows": ["60"], "features": ["count"]}])
    with pytest.raises(
        TableError,
        match=r"'time': 1 of 2 values is not between -4.6e\+12 and 4.6e\+12 \(row 1 .*Cast them to Datetime",
    ):
        history.add(rows, "time")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"time": ["x"]}, "'time': text cannot order rows by time"),
        ({"card": [[1]]}, r"'card' is List\(Int64\), which cannot name entities"),
        ({"amount": ["1,5"]}, "'amount' is String, not numeric"),
    ],
)
def test_wrong_types_are_refused(column: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=message):
        values(
            table([0]).with_columns(**{name: pl.Series(v) for name, v in column.items()}), "sum amount", windows=["1d"]
        )


def test_dates_have_no_night() -> None:
    rows = pl.DataFrame({"time": [date(2018, 4, 7)]})
    assert History.of([{"features": ["weekend"]}]).add(rows, "time")["is_weekend"].to_list() == [1]
    with pytest.raises(TableError, match="'time' is Date, but night needs the time of day"):
        History.of([{"features": ["night"]}]).add(rows, "time")


def test_an_existing_column_is_not_replaced() -> None:
    history = History.of([{"features": ["weekend"]}])
    with pytest.raises(TableError, match="already in the table: 'is_weekend'"):
        history.add(history.add(table([0]), "time"), "time")


def test_risk_without_labels_and_labels_of_another_length_are_refused() -> None:
    with pytest.raises(ParameterError, match="risk needs labels"):
        values(table([0]), "risk", windows=["1d"], delay="1d")
    with pytest.raises(TableError, match=r"y has shape \(2,\), but the table has 1 rows"):
        values(table([0]), "risk", windows=["1d"], delay="1d", y=[0, 1])


def test_spans_that_do_not_fit_the_time_column_are_refused() -> None:
    with pytest.raises(ParameterError, match="'60' is not a span of column 'time'"):
        values(table([0]), "count", windows=["60"])
    with pytest.raises(ParameterError, match="'1d' is not a span of column 'time'"):
        values(table([0]).with_columns(time=pl.lit(5)), "count", windows=["1d"])


def test_other_frames_are_refused() -> None:
    with pytest.raises(TableError, match="frame is a dict, not a polars DataFrame"):
        History.of([]).add({"time": []}, "time")  # type: ignore[arg-type]
