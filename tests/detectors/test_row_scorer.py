"""A row by itself gets, to the bit, what a table of it gets: encoded, scored, refused; from several threads too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError

from oddrow import History, HistoryState
from oddrow.artifact import Artifact
from oddrow.detectors import row_scorer
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.row_scorer import RowScorer
from oddrow.encoding import row_encoder
from oddrow.encoding.encoder import SCALINGS, TableEncoder
from oddrow.encoding.row_encoder import RowEncoder
from oddrow.errors import TableError, TrainingError
from oddrow.table.schema import Schema
from oddrow.table.table import Table
from oddrow.thresholds.threshold import Cap, Threshold
from oddrow.train.training import Training

Row = dict[str, Any]


class Shop(StrEnum):
    """Text that is equal to a level and has another hash."""

    FOOD = "food"


START = datetime(2024, 1, 1)
TIMES = ("hour", "weekday", "elapsed")
ENCODERS: dict[str, TableEncoder] = {
    **{scaling: TableEncoder(numbers=scaling, times=TIMES) for scaling in SCALINGS},
    "no soft limit": TableEncoder(soft_limit=None, unscaled=("fee",)),
    "small limit": TableEncoder(soft_limit=0.25, unscaled=("fee",), max_levels=2, times=("elapsed",)),
    "one-hot": TableEncoder(one_hot_up_to=3, max_levels=4, numbers="minmax"),
    "given levels": TableEncoder(levels={"shop": ["food", "toys"], "online": ["true"]}, one_hot_up_to=2),
    "given levels, embedded": TableEncoder(levels={"shop": ["food", "toys"]}, times=()),
}
# Scores need no training, which takes long to compile.
UNTRAINED = Training(epochs=0)
KINDS: dict[str, Callable[..., Detector]] = {"autoencoder": AutoencoderDetector, "dagmm": DAGMMDetector}


def known_rows(n_rows: int = 300, seed: int = 0) -> pl.DataFrame:
    """Numbers, two of them with gaps, text with seldom levels, codes, a boolean, times and dates."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1, n_rows).round(2)
    shops = np.array(["food", "fuel", "books", "toys", None])
    moments = START + rng.integers(0, 10**13, n_rows) * np.timedelta64(1, "us").astype(object)
    return pl.DataFrame(
        {
            "id": [f"r{row}" for row in range(n_rows)],
            "amount": amount,
            "fee": 0.1 * amount + rng.normal(0, 0.1, n_rows),
            "age": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(40, 9, n_rows)),
            "visits": np.where(rng.random(n_rows) < 0.2, np.array(None), rng.integers(0, 4, n_rows)).tolist(),
            "shop": rng.choice(shops, n_rows, p=[0.5, 0.3, 0.1, 0.05, 0.05]).tolist(),
            "zone": rng.choice([1, 2, 30], n_rows),
            "online": rng.random(n_rows) < 0.4,
            "time": moments.tolist(),
            "birth": [None if rng.random() < 0.1 else date(1960, 1, 1) + timedelta(days=int(d)) for d in amount * 99],
        }
    )


# What a column of each kind may get beside what it had in training.
NUMBERS: tuple[Any, ...] = (
    None,
    float("nan"),
    0,
    -3,
    2.5,
    True,
    1e30,
    -1e300,
    2**53 + 1,
    2**63,
    10**30,
    np.float64(1.5),
    np.float32(0.1),
)
NUMBERS += (np.int64(7), np.int32(-7), np.uint8(3), np.bool_(True), Decimal("12.30"), "3.5", " 7 ", timedelta(hours=1))
TEXTS: tuple[Any, ...] = (None, "food", "toys", "new", "", " food", "1", 1, 30, 30.0, 1.5, True, float("nan"))
TEXTS += (np.int64(2), 2**70, Decimal("1.5"), date(2024, 2, 3), np.str_("fuel"), Shop.FOOD)
BOOLEANS: tuple[Any, ...] = (None, True, False, 1, 0, 1.0, "true", " FALSE", "1")
BOOLEANS += (np.bool_(False), float("nan"), np.float64(0))
MOMENTS: tuple[Any, ...] = (
    None,
    date(2024, 2, 29),
    datetime(1969, 12, 31, 23, 59, 59, 999_999),
    datetime(9999, 12, 31),
    datetime(1, 1, 1),
)
MOMENTS += (datetime(2024, 5, 1, 12, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=2))))
MOMENTS += ("2024-05-01T12:34:56", "2024-05-01 23:59:59.125", "2024-05-01T00:00:00.000001", "2024-05-01", "01.05.2024")
MOMENTS += ("2024-05-01T12:34", "2024-05-01T12:34:56Z", 1_714_566_896, 1_714_566_896.75, -1.5, 0.1, float("nan"), 1e11)
VALUES = {"amount": NUMBERS, "fee": NUMBERS, "age": NUMBERS, "visits": NUMBERS, "shop": TEXTS, "zone": TEXTS}
VALUES |= {"online": BOOLEANS, "time": MOMENTS, "birth": MOMENTS}


def rows_to_come(n_rows: int, seed: int = 1) -> list[Row]:
    """Rows as in training, each with some values of other looks; the first ones have every value of `VALUES` once."""
    rng = np.random.default_rng(seed)
    rows = known_rows(n_rows, seed).to_dicts()
    for name, values in VALUES.items():
        for place, row in enumerate(rows):
            if place < len(values) or rng.random() < 0.2:
                row[name] = values[place if place < len(values) else rng.integers(len(values))]
    return rows


def schema_of(frame: pl.DataFrame) -> Schema:
    return Schema.infer(frame, {"zone": "category"})


def frame_of(row: Row) -> Table:
    return Table.from_frame(pl.DataFrame([row]))


def same(found: Any, expected: Any) -> bool:
    return bool(np.array_equal(found, expected) and found.dtype == expected.dtype)


@pytest.fixture(scope="module", params=["autoencoder", "dagmm", "quantile"])
def fitted(request: pytest.FixtureRequest) -> Detector:
    """Each detector, and one with other encoded numbers; all with every kind of column."""
    new = KINDS.get(request.param, AutoencoderDetector)
    encoder = TableEncoder(numbers="quantile", one_hot_up_to=8, times=TIMES) if request.param == "quantile" else None
    kinds = {"zone": "category"}
    return new(encoder=encoder, kinds=kinds, training=UNTRAINED, random_state=0).fit(known_rows())


@pytest.fixture(scope="module")
def scorer(fitted: Detector) -> RowScorer:
    return RowScorer(fitted)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_row_is_encoded_as_a_table_of_it(name: str) -> None:
    frame = known_rows()
    schema = schema_of(frame)
    encoder = TableEncoder(**ENCODERS[name].get_params()).fit(frame, schema)
    encode = RowEncoder(schema, encoder)
    for row in rows_to_come(40):
        expected = encoder.transform(schema.conform(pl.DataFrame([row])))
        found = encode(row)
        assert same(found.numbers, expected.numbers[0]), row
        assert same(found.categories, expected.categories[0]), row


def test_a_machine_that_adds_otherwise_asks_each_column(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = known_rows().select("amount", "visits")
    schema = Schema.infer(frame)
    encoder = TableEncoder(numbers="quantile").fit(frame, schema)
    rows = [{"amount": amount, "visits": visits} for amount in (None, -1, 20.08, 1e9) for visits in (0, 1, 1.5, 3, 7)]
    quick = [RowEncoder(schema, encoder)(row) for row in rows]
    monkeypatch.setattr(row_encoder._Ranks, "_agrees", lambda *_: False)
    for row, found in zip(rows, quick, strict=True):
        expected = encoder.transform(schema.conform(pl.DataFrame([row]))).numbers[0]
        assert same(found.numbers, expected)
        assert same(RowEncoder(schema, encoder)(row).numbers, expected)


def test_what_rows_usually_hold_needs_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = known_rows()
    schema = schema_of(frame)
    encoder = TableEncoder(times=(*TIMES, "hour"), one_hot_up_to=8).fit(frame, schema)
    encode = RowEncoder(schema, encoder)
    expected = encoder.transform(schema.conform(frame))
    monkeypatch.setattr(RowEncoder, "_encode_as_table", lambda *_: pytest.fail("the way of a table"))
    rows = frame.to_dicts()
    assert same(np.array([encode(row).numbers for row in rows]), expected.numbers)
    assert encode({**rows[0], "zone": 2, "online": None, "time": "2024-05-01T12:34:56"}).categories.shape == (0,)


def test_every_second_of_a_day_has_its_place_on_the_circle() -> None:
    """What is looked up was computed for many times at once, what a table of one row has for one."""
    frame = pl.DataFrame({"time": [START, START + timedelta(days=9.3)]})
    schema = Schema.infer(frame)
    encoder = TableEncoder(times=TIMES).fit(frame, schema)
    encode = RowEncoder(schema, encoder)
    for second in range(0, 14 * 86_400, 4999):
        time = START + timedelta(seconds=second, microseconds=second)
        expected = encoder.transform(schema.conform(pl.DataFrame({"time": [time]})))
        assert same(encode({"time": time}).numbers, expected.numbers[0]), time


def test_a_row_is_scored_as_a_table_of_it(fitted: Detector, scorer: RowScorer) -> None:
    for row in rows_to_come(45, seed=2):
        score = scorer(row)
        assert isinstance(score, float)
        assert score == fitted.anomaly_score(frame_of(row))[0], row


@pytest.mark.parametrize("names", [["amount", "fee"], ["shop", "online"], ["time"]])
def test_tables_of_one_kind_of_column(names: list[str]) -> None:
    frame = known_rows().select(names)
    fitted = AutoencoderDetector(hidden=(4,), training=UNTRAINED, random_state=0).fit(frame)
    score = RowScorer(fitted)
    for row in known_rows(20, seed=3).select(names).to_dicts():
        assert score(row) == fitted.anomaly_score(pl.DataFrame([row]))[0]


def test_an_array_has_columns_x0_x1() -> None:
    X = np.random.default_rng(0).normal(size=(100, 3))
    fitted = AutoencoderDetector(hidden=(4,), training=UNTRAINED, random_state=0).fit(X)
    row = dict(zip(("x0", "x1", "x2"), X[0], strict=True))
    assert RowScorer(fitted)(row) == fitted.anomaly_score(X[:1])[0]


@pytest.mark.parametrize("agrees", [False, True])
def test_the_block_is_the_smallest_that_agrees_with_the_table(
    agrees: bool, fitted: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_scorer._Block, "agrees", lambda *_: agrees)
    scorer = RowScorer(fitted)
    assert scorer._block._shapes[0][0] == (64 if agrees else 256)
    row = rows_to_come(1)[0]
    assert agrees or scorer(row) == fitted.anomaly_score(frame_of(row))[0]


def test_a_block_does_not_agree_with_scores_that_differ_in_the_last_bit(fitted: Detector) -> None:
    rows = row_scorer._random_rows(fitted.encoder_, 0)
    block = row_scorer._Block(fitted.network_, 256, rows.numbers.shape[1], rows.categories.shape[1])
    scores = block._scores(*rows)
    assert block.agrees(rows, scores)
    scores = scores.copy()
    scores[77] = np.nextafter(scores[77], np.float32(np.inf))
    assert not block.agrees(rows, scores)


@pytest.mark.parametrize("fitted", ["autoencoder"], indirect=True)
def test_a_machine_that_lacks_the_option_compiles_without_it(fitted: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_scorer, "ONE_THREAD", {"xla_no_such_option": True})
    row = known_rows(1).to_dicts()[0]
    assert RowScorer(fitted)(row) == fitted.anomaly_score(frame_of(row))[0]


def test_numpy_times_are_times() -> None:
    frame = pl.DataFrame({"time": [START + timedelta(hours=hour) for hour in range(40)] + [None]})
    schema = Schema.infer(frame)
    encode = RowEncoder(schema, TableEncoder().fit(frame, schema))
    for moment, text in (
        (np.datetime64("2024-02-03", "D"), "2024-02-03"),
        (np.datetime64("2024-02-03T04:05:06", "s"), "2024-02-03T04:05:06"),
        (np.datetime64("2024-02-03T04:05:06.789", "ns"), "2024-02-03T04:05:06.789"),
        (np.datetime64("NaT", "us"), "NaT"),
    ):
        given = None if text == "NaT" else datetime.fromisoformat(text)
        found = encode({"time": moment}).numbers
        np.testing.assert_array_equal(found, encode({"time": given}).numbers)
    with pytest.raises(TableError, match="cannot be read as kind 'time'"):
        encode({"time": np.datetime64("20000-01-01", "us")})


def test_threads_share_a_scorer(scorer: RowScorer) -> None:
    rows = rows_to_come(25, seed=4) * 3
    alone = [scorer(row) for row in rows]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(scorer, rows)) == alone


def test_a_row_stays_its_owners(scorer: RowScorer) -> None:
    """The dict is left as it is, extra keys and all, and writing to it afterwards changes no score."""
    row: dict[Any, Any] = {**known_rows(1).to_dicts()[0], "note": object(), 3: "x"}
    before, score = dict(row), scorer(row)
    assert row == before
    row["amount"] = 1e6
    other = scorer(row)
    row["amount"] = before["amount"]
    assert scorer(row) == score != other


@pytest.mark.parametrize("fitted", ["autoencoder"], indirect=True)
def test_extra_keys_are_ignored_on_every_way(scorer: RowScorer) -> None:
    row = known_rows(1).to_dicts()[0]
    by_table = {**row, "amount": str(row["amount"])}
    assert scorer({**by_table, 3: "x", "other": object()}) == scorer(by_table) == scorer(row)  # type: ignore[dict-item]


def test_a_scorer_keeps_the_detector_as_it_was() -> None:
    frame, row = known_rows().select("amount", "shop"), {"amount": 12.0, "shop": "books"}
    detector = AutoencoderDetector(hidden=(4,), training=UNTRAINED, random_state=0).fit(frame)
    scorer, text = RowScorer(detector), {**row, "amount": "12"}
    score = scorer(row)
    detector.set_params(random_state=1).fit(frame.select(pl.col("amount") * 3, "shop"))
    assert scorer(row) == scorer(text) == score != RowScorer(detector)(row)


def refusals() -> Iterator[tuple[Row, str]]:
    row = known_rows(1).to_dicts()[0]
    yield {**row, "amount": "N/A"}, "column 'amount': 1 of 1 values cannot be read as numbers"
    yield {**row, "amount": float("inf")}, "column 'amount': 1 of 1 values is infinite"
    yield {**row, "age": [1]}, "column 'age': values of type List"
    yield {**row, "shop": b"food"}, "column 'shop': values of type Binary"
    yield {**row, "online": 2}, "column 'online': 1 of 1 values cannot be read as true or false"
    yield {**row, "time": True}, "column 'time': true and false cannot be read as kind 'time'"
    yield {**row, "time": "2024-02-30T00:00:00"}, "column 'time': text cannot be read as kind 'time'"
    yield {"amuont" if name == "amount" else name: value for name, value in row.items()}, "Did you mean 'amuont'?"
    yield {**row, "amount": "x", "online": "maybe"}, "column 'online'"
    yield {}, "column 'birth' is not in the table."


@pytest.mark.parametrize(("row", "message"), list(refusals()))
def test_what_a_table_refuses_is_refused_in_its_words(
    row: Row, message: str, fitted: Detector, scorer: RowScorer
) -> None:
    with pytest.raises(TableError) as by_row:
        scorer(row)
    with pytest.raises(TableError) as by_table:
        fitted.anomaly_score(Table.from_frame(pl.DataFrame([row] if row else {"": [None]})))
    assert message in str(by_row.value)
    assert str(by_row.value) == str(by_table.value).replace(" Did you mean ''?", "")


def test_what_no_table_can_hold_is_named(scorer: RowScorer) -> None:
    row = known_rows(1).to_dicts()[0]
    with pytest.raises(TableError, match=r"column 'amount': 1000000.* \(int\) cannot be stored in a table"):
        scorer({**row, "amount": 10**400})
    with pytest.raises(TableError, match=r"the row is a list\. Expected a dict"):
        scorer([1.0, 2.0])  # type: ignore[arg-type]
    with pytest.raises(TableError, match="the row is a DataFrame"):
        scorer(known_rows(1))  # type: ignore[arg-type]


def test_a_detector_must_be_fitted() -> None:
    with pytest.raises(NotFittedError):
        RowScorer(AutoencoderDetector())


@pytest.mark.parametrize("fitted", ["autoencoder"], indirect=True)
def test_a_network_that_has_grown_beyond_measure_gives_no_score(fitted: Detector, scorer: RowScorer) -> None:
    row = known_rows(1).to_dicts()[0]
    scorer._block._leaves, kept = [leaf * np.nan for leaf in scorer._block._leaves], scorer._block._leaves
    try:
        with pytest.raises(TrainingError, match="1 of 1 scores are not finite"):
            scorer(row)
    finally:
        scorer._block._leaves = kept


def test_a_saved_model_scores_rows_as_before_and_says_what_they_reach(fitted: Detector, tmp_path: Path) -> None:
    rows = known_rows(40, seed=5)
    scores = fitted.anomaly_score(rows)
    review, block = (Threshold(float(value), "fixed:0") for value in np.sort(scores)[[20, 30]])
    Artifact(fitted, review, block=block).save(tmp_path / "model")
    decide = Artifact.load(tmp_path / "model").row_decider()
    decisions = [decide(row) for row in rows.to_dicts()]
    assert [decision.score for decision in decisions] == scores.tolist()
    assert [decision.reached for decision in decisions] == review.alerts(scores).tolist()
    blocked, reached = scores >= block.value, scores >= review.value
    assert [decision.band for decision in decisions] == np.where(
        blocked, "block", np.where(reached, "review", "pass")
    ).tolist()


@pytest.mark.parametrize("fitted", ["autoencoder"], indirect=True)
def test_a_cap_is_not_decided_by_one_row(fitted: Detector) -> None:
    row = known_rows(1).to_dicts()[0]
    capped = Threshold(RowScorer(fitted)(row), "budget:1", cap=Cap(1))
    decide = Artifact(fitted, capped).row_decider()
    assert [decide(row).reached for _ in range(3)] == [True] * 3
    assert decide(row).band == "review"


def test_rows_with_a_history_come_from_its_state() -> None:
    history = History.of([{"by": "card", "windows": ["1d"], "features": ["count", "mean amount", "since last"]}])
    rng = np.random.default_rng(0)
    times = [START + timedelta(minutes=7 * row) for row in range(200)]
    plain = pl.DataFrame({"time": times, "card": rng.integers(0, 9, 200), "amount": rng.normal(50, 9, 200)})
    told = history.add(plain, "time")
    fitted = AutoencoderDetector(hidden=(4,), training=UNTRAINED, random_state=0).fit(told.head(150))
    state, score = HistoryState.after(history, plain.head(150), "time"), RowScorer(fitted)
    found = [score(state.update(row).row(0, named=True)) for row in plain.tail(50).iter_slices(1)]
    assert found == [fitted.anomaly_score(row)[0] for row in told.tail(50).iter_slices(1)]
