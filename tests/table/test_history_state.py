"""A history state gives the features of all rows together, to the bit; it forgets, learns, saves and refuses."""

from __future__ import annotations

import json
import tracemalloc
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from oddrow.errors import ArtifactError, ParameterError, TableError
from oddrow.structure import to_plain
from oddrow.table.history import History
from oddrow.table.history.state import HistoryState
from oddrow.table.history.state_file import read_state, write_state

START = datetime(2018, 4, 2)
HISTORY = History.of(
    [
        {"features": ["weekend", "night"]},
        {"by": "card", "windows": ["1d", "3d"], "features": ["count", "sum amount", "mean fee", "since last"]},
        {"by": "shop", "windows": ["1d", "4d"], "delay": "2d", "features": ["risk", "count", "mean amount"]},
        {"by": "shop", "windows": ["12h"], "features": ["count"]},
    ]
)
SCHEMA: dict[str, Any] = {
    "time": pl.Datetime("us"),
    "card": pl.String,
    "shop": pl.Int64,
    "amount": pl.Float64,
    "fee": pl.Float64,
    "y": pl.Float64,
}
COUNTING = History.of([{"by": "card", "windows": ["1d"], "features": ["count", "since last"]}])

row = st.tuples(
    st.integers(0, 15 * 4).map(lambda quarter: quarter / 4),
    st.sampled_from(["a", "b", None]),
    st.sampled_from([1, 2, None]),
    st.one_of(st.none(), st.floats(-1e6, 1e6, allow_subnormal=False)),
    st.sampled_from([None, float("nan"), 0.1, 0.2]),
    st.sampled_from([0.0, 1.0, float("nan")]),
)


def framed(rows: list[Any]) -> pl.DataFrame:
    moments = [START + timedelta(days=row[0]) for row in sorted(rows, key=lambda row: row[0])]
    rest = [row[1:] for row in sorted(rows, key=lambda row: row[0])]
    return pl.DataFrame([(moment, *row) for moment, row in zip(moments, rest, strict=True)], SCHEMA, orient="row")


streams = st.lists(row, max_size=40).map(framed)


def stream(n: int = 400, seed: int = 0) -> pl.DataFrame:
    """A stream of `n` rows over 40 days: 5 cards, 3 shops, some of each missing, some moments shared."""
    rng = np.random.default_rng(seed)
    return framed(
        [
            (
                round(float(rng.uniform(0, 40)), 1),
                [*"abcde", None][rng.integers(6)],
                [1, 2, 3, None][rng.integers(4)],
                float(rng.lognormal()) if rng.random() < 0.9 else None,
                float(rng.lognormal()) if rng.random() < 0.9 else float("nan"),
                [0.0, 1.0, float("nan")][rng.integers(3)],
            )
            for _ in range(n)
        ]
    )


def labels(frame: pl.DataFrame) -> Any:
    return frame["y"].to_numpy()


def batch(frame: pl.DataFrame) -> pl.DataFrame:
    return HISTORY.add(frame, "time", labels(frame))


def cards(days: list[float], card: list[Any] | None = None) -> pl.DataFrame:
    return pl.DataFrame({"time": [START + timedelta(days=day) for day in days], "card": card or ["a"] * len(days)})


def updated(state: HistoryState, frame: pl.DataFrame, sizes: list[int]) -> pl.DataFrame:
    """The frame's columns, computed by updates of so many rows, the rest one by one."""
    parts, at = [], 0
    for size in [*sizes, *[1] * frame.height]:
        if at < frame.height:
            part = frame.slice(at, size)
            parts.append(state.update(part, labels(part)))
            at += size
    return pl.concat(parts) if parts else batch(frame)


# ------------------------------------------------------------------------------------ equal to the batch


@settings(max_examples=100)
@given(streams, st.integers(0, 40), st.lists(st.integers(1, 7), max_size=8))
def test_updates_of_any_size_equal_the_batch_to_the_bit(frame: pl.DataFrame, n_before: int, sizes: list[int]) -> None:
    before = frame.head(n_before)
    state = HistoryState.after(HISTORY, before, "time", labels(before))
    found = updated(state, frame.slice(n_before), sizes)
    assert_frame_equal(found, batch(frame).slice(n_before), check_exact=True)


def test_a_long_stream_equals_the_batch_while_rows_are_forgotten() -> None:
    frame = stream(1500)
    state = HistoryState.after(HISTORY, frame.clear(), "time", np.empty(0))
    assert_frame_equal(updated(state, frame, []), batch(frame), check_exact=True)
    in_reach = frame["time"] > frame["time"].max() - timedelta(days=6) * 9 / 8  # type: ignore[operator]
    assert state.n_rows == in_reach.sum() < 300


@settings(max_examples=60)
@given(streams, st.randoms(use_true_random=False))
def test_earlier_rows_may_be_in_any_order(frame: pl.DataFrame, random: Any) -> None:
    frame = frame.unique("time", maintain_order=True)
    before = frame.head(frame.height // 2)
    mixed = before[random.sample(range(before.height), before.height)]
    state = HistoryState.after(HISTORY, mixed, "time", labels(mixed))
    found = updated(state, frame.slice(before.height), [])
    assert_frame_equal(found, batch(frame).slice(before.height), check_exact=True)


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64])
def test_a_numeric_time_is_accepted(kind: Any) -> None:
    history = History.of([{"by": "card", "windows": ["3600"], "features": ["count", "since last"]}])
    rows = pl.DataFrame({"t": [0, 0, 1800, 3600, 9000], "card": [7, 7, 7, 7, 7]})
    state = HistoryState.after(history, rows.head(2).cast({"t": kind}), "t")
    found = pl.concat([state.update(rows.slice(at, 1)) for at in (2, 3, 4)])
    assert_frame_equal(found, history.add(rows, "t").tail(3), check_exact=True)


def test_dates_and_gaps_of_years_are_accepted() -> None:
    rows = pl.DataFrame({"time": [date(1960, 1, 1), date(1960, 1, 1), date(2024, 1, 1)], "card": [True, True, True]})
    state = HistoryState.after(COUNTING, rows.head(1), "time")
    found = pl.concat([state.update(rows.slice(at, 1)) for at in (1, 2)])
    assert_frame_equal(found, COUNTING.add(rows, "time").tail(2), check_exact=True)
    assert found.rows()[1][2:] == (1, 64 * 365.25 * 86_400)


def test_since_last_remembers_however_long_ago_it_was() -> None:
    state = HistoryState.after(COUNTING, cards([0, 0], ["a", "b"]), "time")
    state.update(cards([100], ["b"]))
    assert state.n_rows == 1
    assert state.update(cards([200])).rows()[0][2:] == (1, 200 * 86_400.0)


def test_a_history_of_only_the_calendar_or_since_last() -> None:
    for blocks in ([{"features": ["weekend"]}], [{"by": "card", "features": ["since last"]}], []):
        history = History.of(blocks)
        rows = cards([0, 1, 6, 6])
        state = HistoryState.after(history, rows.head(1), "time")
        found = pl.concat([state.update(rows.slice(1, 2)), state.update(rows.tail(1))])
        assert_frame_equal(found, history.add(rows, "time").tail(3), check_exact=True)
        assert state.n_rows == 0


def test_earlier_rows_may_have_the_columns_already() -> None:
    before = COUNTING.add(cards([0]), "time")
    assert HistoryState.after(COUNTING, before, "time").update(cards([0.5]))["card_count_1d"].to_list() == [2]


def test_an_update_without_rows_adds_columns_only() -> None:
    state = HistoryState.after(HISTORY, stream(5), "time", labels(stream(5)))
    assert_frame_equal(state.update(stream(5).clear()), batch(stream(5)).clear())


def test_memory_is_bounded_by_the_rows_in_reach() -> None:
    frame = pl.DataFrame({"t": np.arange(40_000), "card": np.arange(40_000) // 4, "amount": 1.0})
    history = History.of([{"by": "card", "windows": ["500"], "features": ["count", "sum amount"]}])
    state = HistoryState.after(history, frame.head(2000), "t")
    peaks = []
    for part in frame.slice(2000).iter_slices(2000):
        tracemalloc.start()
        state.update(part)
        peaks.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert state.n_rows < 600
    assert len(list(state._tracks["card"].items())) < 200
    assert peaks[-1] < 2 * peaks[1] + 100_000


def test_an_entity_that_is_always_active_does_not_keep_others_in_memory() -> None:
    history = History.of([{"by": "card", "windows": ["10"], "features": ["count"]}])
    frame = pl.DataFrame({"t": np.arange(1000) // 2, "card": np.where(np.arange(1000) % 2, 0, np.arange(1000))})
    state = HistoryState.after(history, frame.head(1), "t")
    for row in frame.slice(1).iter_slices(1):
        state.update(row)
    assert len(list(state._tracks["card"].items())) < 15


# -------------------------------------------------------------------------------------------- learning


@settings(max_examples=60)
@given(streams.filter(lambda frame: frame.height > 1))
def test_labels_learned_later_equal_those_known_at_once(frame: pl.DataFrame) -> None:
    at_once = HistoryState.after(HISTORY, frame.head(1), "time", labels(frame.head(1)))
    later = HistoryState.after(HISTORY, frame.head(1), "time", np.array([np.nan]))
    later.learn(frame.head(1), labels(frame.head(1)))
    for part in frame.slice(1).iter_slices(1):
        assert_frame_equal(later.update(part), at_once.update(part, labels(part)), check_exact=True)
        later.learn(part, labels(part))


def shops(days: list[float], shop: list[Any] | None = None) -> pl.DataFrame:
    rows = pl.DataFrame({"time": [START + timedelta(days=day) for day in days], "shop": shop or [1] * len(days)})
    return rows.with_columns(card=pl.lit("a"), amount=1.0, fee=1.0)


def risk(state: HistoryState, day: float) -> Any:
    return state.update(shops([day]))["shop_risk_4d_2d_ago"].item()


def test_learn_counts_the_rows_it_finds_and_changes_what_comes() -> None:
    unknown = np.full(3, np.nan)
    state = HistoryState.after(HISTORY, shops([0, 1, 1], [1, 1, 2]), "time", unknown)
    assert risk(state, 3) == 0
    assert state.learn(shops([1, 0.5, 1], [1, 1, 9]), np.array([1, 1, 1])) == 1
    assert risk(state, 3.5) == 0.5
    assert state.learn(shops([1]), np.array([0.0])) == 1
    assert risk(state, 3.5) == 0
    assert state.learn(shops([1]), np.array([np.nan])) == 0


def test_rows_with_the_same_time_and_entities_are_labelled_one_by_one() -> None:
    state = HistoryState.after(HISTORY, shops([0, 0]), "time", np.full(2, np.nan))
    assert state.learn(shops([0]), np.array([1.0])) == 1
    assert state.learn(shops([0]), np.array([0.0])) == 1
    assert risk(state, 2) == 0.5
    assert state.learn(shops([0, 0, 0]), np.array([1.0, 1.0, 1.0])) == 2
    assert risk(state, 2) == 1.0


def test_a_label_of_a_row_out_of_reach_is_not_found() -> None:
    state = HistoryState.after(HISTORY, shops([0, 10]), "time", np.full(2, np.nan))
    assert state.learn(shops([0, 10]), np.array([1.0, 1.0])) == 1


def test_if_an_entity_is_missing_the_others_identify_the_row() -> None:
    state = HistoryState.after(HISTORY, shops([0]), "time", np.array([np.nan]))
    assert state.learn(shops([0]).with_columns(card=pl.lit(None)), np.array([1.0])) == 1
    assert state.learn(shops([0]).with_columns(card=pl.lit(None), shop=None), np.array([1.0])) == 0
    assert risk(state, 2) == 1


def test_learn_refuses_invalid_rows_and_labels() -> None:
    state = HistoryState.after(HISTORY, shops([0]), "time", np.array([np.nan]))
    with pytest.raises(TableError, match="column 'shop' is not in the table"):
        state.learn(shops([0]).drop("shop"), np.array([1.0]))
    with pytest.raises(TableError, match="'y': 1 of 1 values is not 0, 1 or missing"):
        state.learn(shops([0]), np.array([3.0]))
    with pytest.raises(TableError, match="'shop' holds text, but held whole numbers in earlier rows"):
        state.learn(shops([0], ["1"]), np.array([1.0]))


# ------------------------------------------------------------------------------------------- refusals


def test_a_row_earlier_than_its_entitys_latest_is_refused_and_changes_nothing() -> None:
    state = HistoryState.after(COUNTING, cards([0, 1]), "time")
    late = cards([1, 0.5, 0.9], ["a", "a", "a"])
    with pytest.raises(TableError) as refusal:
        state.update(late)
    assert str(refusal.value) == (
        "column 'time': 2 of 3 rows are earlier than the latest of the same card (row 1 datetime.datetime(2018, 4, 2, "
        "12, 0), row 2 datetime.datetime(2018, 4, 2, 21, 36); that is 2018-04-03 00:00:00). Sort the rows by time, or "
        "use History.add."
    )
    assert state.n_rows == 2
    assert state.update(cards([1]))["card_count_1d"].to_list() == [2]


def test_a_row_may_be_earlier_than_those_of_others_by_an_eighth_of_the_reach() -> None:
    state = HistoryState.after(COUNTING, cards([0, 0, 0.95, 1], ["a", "b", "b", "c"]), "time")
    everything = cards([0, 0, 0.95, 1, 0.875], ["a", "b", "b", "c", "a"])
    expected = COUNTING.add(everything, "time").tail(1)
    assert_frame_equal(state.update(everything.tail(1)), expected, check_exact=True)
    with pytest.raises(
        TableError, match=r"earlier than an eighth of the reach before the latest row .* that is 2018-04-02 21:00"
    ):
        state.update(cards([0.874], ["d"]))


def test_lateness_is_reported_in_the_unit_of_a_numeric_time() -> None:
    history = History.of([{"by": "card", "windows": ["60"], "features": ["count"]}])
    state = HistoryState.after(history, pl.DataFrame({"t": [100], "card": ["a"]}), "t")
    with pytest.raises(TableError, match=r"\(row 0 99\.5; that is 100\)"):
        state.update(pl.DataFrame({"t": [99.5], "card": ["a"]}))


def test_times_and_entities_of_another_kind_are_refused_together() -> None:
    state = HistoryState.after(COUNTING, cards([0]), "time")
    with pytest.raises(TableError) as refusal:
        state.update(cards([1], [5]).with_columns(pl.col("time").dt.replace_time_zone("UTC")))
    assert str(refusal.value).splitlines() == [
        "column 'time' holds dates and times in UTC, but held dates and times in earlier rows. Convert it.",
        "column 'card' holds whole numbers, but held text in earlier rows. Convert it.",
    ]
    missing = state.update(cards([1], [None]).with_columns(card=pl.lit(None)))
    assert missing["card_count_1d"].to_list() == [None]


def test_the_first_known_entity_sets_the_kind() -> None:
    state = HistoryState.after(COUNTING, cards([0]).with_columns(card=pl.lit(None)), "time")
    state.update(cards([1], [5]))
    with pytest.raises(TableError, match="'card' holds text, but held whole numbers"):
        state.update(cards([2], ["5"]))


def test_bad_rows_are_refused_as_by_add() -> None:
    state = HistoryState.after(HISTORY, stream(5), "time", labels(stream(5)))
    with pytest.raises(TableError, match="'amount': 1 of 1 values is infinite"):
        state.update(shops([50]).with_columns(amount=float("inf")))
    with pytest.raises(TableError, match="already in the table: 'is_weekend'"):
        state.update(shops([50]).with_columns(is_weekend=1))
    with pytest.raises(TableError, match="frame is a int, not a polars DataFrame"):
        state.update(5)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="risk needs labels"):
        HistoryState.after(HISTORY, stream(5), "time")


# ------------------------------------------------------------------------------------------------ files


@settings(max_examples=40)
@given(streams, st.integers(0, 40))
def test_a_loaded_state_continues_as_the_saved_one(
    tmp_path_factory: pytest.TempPathFactory, frame: pl.DataFrame, n_before: int
) -> None:
    path = tmp_path_factory.mktemp("states") / "state.parquet"
    before, rest = frame.head(n_before), frame.slice(n_before)
    state = HistoryState.after(HISTORY, before.clear(), "time", np.empty(0))
    updated(state, before, [])
    state.save(path)
    loaded = HistoryState.load(path)
    assert (loaded.history, loaded.time, loaded.n_rows) == (HISTORY, "time", state.n_rows)
    assert_frame_equal(updated(loaded, rest, []), batch(frame).slice(n_before), check_exact=True)


@pytest.mark.parametrize("card", [[2**64 - 1, 0], ["ü", ""], [True, False], [None, None]])
def test_entities_of_every_kind_and_inactive_ones_are_saved(tmp_path: Path, card: list[Any]) -> None:
    rows = cards([0, 50], card)
    state = HistoryState.after(COUNTING, rows, "time")
    state.save(tmp_path / "state")
    loaded = HistoryState.load(tmp_path / "state")
    later = rows.with_columns(pl.col("time") + timedelta(days=50.5))
    assert_frame_equal(loaded.update(later), state.update(later), check_exact=True)


def test_labels_can_be_learned_after_loading(tmp_path: Path) -> None:
    state = HistoryState.after(HISTORY, shops([0, 1]), "time", np.array([1, np.nan]))
    state.save(tmp_path / "state")
    loaded = HistoryState.load(tmp_path / "state")
    assert loaded.learn(shops([1]), np.array([1.0])) == 1
    assert risk(loaded, 3) == 1
    assert risk(state, 3) == 0.5


def test_a_state_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    state = HistoryState.after(COUNTING, cards([0]), "time")
    with pytest.raises(TableError, match="there is no folder"):
        state.save(tmp_path / "nowhere" / "state")
    state.save(tmp_path / "state")
    state.save(tmp_path / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def loaded_or_refused(path: Path) -> HistoryState | str:
    try:
        return HistoryState.load(path)
    except ArtifactError as error:
        return str(error)


def test_a_truncated_or_damaged_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, whole = tmp_path / "bad", tmp_path / "state"
    HistoryState.after(HISTORY, stream(60), "time", labels(stream(60))).save(whole)
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for attempt in range(150):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged if attempt % 3 else content[: rng.integers(len(content))])
        found = loaded_or_refused(path)
        if isinstance(found, HistoryState):
            # Some bytes of a Parquet file mean nothing to its reader.
            found.save(path)
            assert_frame_equal(read_state(path)[0], read_state(whole)[0], check_exact=True)
        else:
            n_refused += 1
            assert found.startswith(str(path))
    assert n_refused > 100
    capfd.readouterr()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no such file"):
        HistoryState.load(tmp_path / "absent")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ArtifactError, match="cannot be read as a history state"):
        HistoryState.load(tmp_path / "text")
    stream(3).write_parquet(tmp_path / "table")
    with pytest.raises(ArtifactError, match="this is a table, not a history state"):
        HistoryState.load(tmp_path / "table")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "reads history states of format 1"),
        ({"history": [{"by": "card", "features": ["steal"]}]}, "feature 'steal' is unknown"),
        ({"history": 5}, "history=5 is not a list"),
        ({"history": [{"features": ["night"]}]}, "do not match the entities"),
        ({"time": 7}, "time=7 is not text"),
        ({"clock": "sundial"}, "clock='sundial' is not numbers or dates"),
        ({"kinds": {"card": "code"}}, "do not match the entities"),
        ({"kinds": ["card"]}, "'kinds' is a section, not a value"),
        ({"kinds": {"card": "whole numbers"}}, "does not hold whole numbers"),
        ({"kinds": {"card": "true and false"}}, "does not hold true and false"),
        ({"kinds": {"card": None}}, "does not hold None"),
        ({"newest": "now"}, "newest='now' is not a whole number"),
        ({"newest": 2**80}, "is not a time"),
        ({"newest": 0}, "a time is missing or later than the latest"),
    ],
)
def test_hostile_metadata_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "state"
    HistoryState.after(COUNTING, cards([0, 1]), "time").save(path)
    rows, metadata = read_state(path)
    write_state(rows, to_plain(metadata) | change, path)
    with pytest.raises(ArtifactError, match=message):
        HistoryState.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("time").cast(pl.Int32, strict=False), "the columns are"),
        (pl.lit(1).alias("more"), "the columns are"),
        (pl.lit(None, pl.Int64).alias("time"), "a time is missing"),
        (pl.lit(float("inf")).alias("number amount"), "a number is not finite"),
        (pl.lit(None, pl.Float64).alias("number amount"), "a number is not finite"),
        (pl.lit(0.5).alias("label"), "a label is not 0, 1 or missing"),
        (pl.lit("x").alias("entity shop"), "column 'entity shop' does not hold whole numbers"),
    ],
)
def test_hostile_rows_are_refused(tmp_path: Path, change: pl.Expr, message: str) -> None:
    path = tmp_path / "state"
    HistoryState.after(HISTORY, stream(60), "time", labels(stream(60))).save(path)
    rows, metadata = read_state(path)
    write_state(rows.with_columns(change), to_plain(metadata), path)
    with pytest.raises(ArtifactError, match=message):
        HistoryState.load(path)


def test_metadata_other_than_a_json_object_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    for text, message in [("[1]", "reads history states of format 1"), ("{", "the metadata are not JSON")]:
        with monkeypatch.context() as patched:
            patched.setattr(json, "dumps", lambda _, text=text: text)
            HistoryState.after(COUNTING, cards([0]), "time").save(path)
        with pytest.raises(ArtifactError, match=message):
            HistoryState.load(path)
