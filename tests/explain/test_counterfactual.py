"""Counterfactuals: what is found is below the threshold, in values that training rows had, and changes little."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from laws import DETECTORS, LEARNED, QUICK_DETECTORS, normal_rows
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError
from oddrow.explain import Counterfactuals, counterfactuals
from oddrow.table.history import History
from oddrow.train.training import Training

Oddrow = Callable[..., Any]
Mask = np.ndarray

ENCODERS = {
    "one-hot": TableEncoder(one_hot_up_to=5),
    "minmax": TableEncoder(numbers="minmax"),
    "quantile": TableEncoder(numbers="quantile"),
    "robust": TableEncoder(numbers="robust", soft_limit=None),
    "elapsed": TableEncoder(times=("hour", "weekday", "elapsed")),
}
# One odd cell in every row: its column, and what stands there.
PLANTED: dict[str, tuple[str, pl.Expr]] = {
    "high": ("amount", pl.lit(400.0)),
    "low": ("amount", pl.lit(-100.0)),
    "unlike its partner": ("fee", pl.col("fee") + 6),
    "many": ("items", pl.lit(900, pl.Int64)),
    "new level": ("shop", pl.lit("nowhere")),
    "missing number": ("amount", pl.lit(None, pl.Float64)),
    "missing level": ("shop", pl.lit(None, pl.String)),
    "missing truth": ("online", pl.lit(None, pl.Boolean)),
}


def rows(n_rows: int = 600, seed: int = 0) -> pl.DataFrame:
    """The mixed rows of the laws, with whole numbers."""
    frame = normal_rows(n_rows, seed)
    return frame.with_columns(items=(pl.col("amount") / 10).round().clip(1).cast(pl.Int64))


TRAINING = rows()


def learned(name: str, encoder: TableEncoder | None = None) -> Detector:
    own = {} if encoder is None else {"encoder": encoder}
    return DETECTORS[name](**{**LEARNED[name], **own}).fit(TRAINING)


def usual_threshold(detector: Detector, share: float = 0.99) -> float:
    return float(np.quantile(detector.anomaly_score(TRAINING), share))


@pytest.fixture(scope="module", params=QUICK_DETECTORS)
def trained(request: pytest.FixtureRequest) -> Detector:
    return learned(request.param)


@pytest.fixture(scope="module", params=["autoencoder", "dagmm"])
def either(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def planted(what: str, n_rows: int = 120) -> tuple[str, pl.DataFrame]:
    column, value = PLANTED[what]
    return column, rows(n_rows, seed=9).with_columns(value.alias(column))


def changed(near: Counterfactuals) -> Mask:
    """Which cells of which rows have changed, (n, columns)."""
    pairs = (near.rows[name].ne_missing(near.seen[name]) for name in near.rows.columns)
    return np.column_stack([pair.to_numpy() for pair in pairs])


def check_normal(detector: Detector, near: Counterfactuals, threshold: float) -> Mask:
    """Check that counterfactuals are below the threshold, also one by one, with values that training rows had.

    Return a mask of the rows that have one, (n,).
    """
    alerts = detector.anomaly_score(near.seen) >= threshold
    found = near.rows.filter(alerts & near.found)
    assert near.rows.schema == near.seen.schema
    assert (detector.anomaly_score(near.rows)[near.found] < threshold).all()
    assert all(detector.anomaly_score(found[place])[0] < threshold for place in range(0, found.height, 40))
    for name in ("amount", "fee", "age", "items"):
        values, known = found[name].fill_nan(None), TRAINING[name].fill_nan(None)
        assert values.drop_nulls().is_between(known.min(), known.max()).all()
        assert values.null_count() == 0 or name == "age"
    assert set(found["shop"]) <= set(TRAINING["shop"])
    assert found["online"].null_count() == 0
    assert not changed(near)[~alerts | ~near.found].any()
    assert near.found[~alerts].all()
    return alerts & near.found


@pytest.mark.parametrize("what", PLANTED)
def test_one_odd_cell_is_changed_and_mostly_nothing_else(trained: Detector, what: str) -> None:
    column, odd = planted(what)
    threshold = usual_threshold(trained)
    near = counterfactuals(trained, odd, threshold)
    alerts = check_normal(trained, near, threshold)
    assert near.found.mean() > 0.95
    of_alerts = changed(near)[alerts]
    assert of_alerts.sum(axis=1).max() <= 3
    assert (of_alerts.sum(axis=1) == 1).sum() > 0.8 * alerts.sum() - 2
    # Where two columns do not go together, either may be the odd one.
    if alerts.mean() > 0.5 and what != "unlike its partner":
        assert of_alerts[:, near.rows.columns.index(column)].mean() > 0.9


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_however_columns_are_encoded(either: str, encoder: TableEncoder) -> None:
    detector = learned(either, encoder)
    threshold = usual_threshold(detector)
    odd = pl.concat([planted(what, 30)[1] for what in PLANTED])
    near = counterfactuals(detector, odd, threshold)
    alerts = check_normal(detector, near, threshold)
    assert alerts.mean() > 0.2
    assert near.found.mean() > 0.95
    assert (changed(near)[alerts].sum(axis=1) == 1).mean() > 0.8


def test_half_the_change_is_not_enough(trained: Detector) -> None:
    _, odd = planted("unlike its partner", 400)
    # Who has learned nothing of partners finds such rows no odder than many others.
    threshold = usual_threshold(trained, 0.9 if trained.loss_curve_ else 0.5)
    near = counterfactuals(trained, odd, threshold)
    cells = changed(near)
    # What lies outside the range must come in at least, whether or not that is enough.
    inside = odd["fee"].is_between(TRAINING["fee"].min(), TRAINING["fee"].max()).to_numpy()
    alone = (cells.sum(axis=1) == 1) & near.found & inside
    tried = {name: cells[:, place] & alone for place, name in enumerate(near.rows.columns) if name in ("amount", "fee")}
    half = near.seen.with_columns(
        pl.when(pl.Series(of)).then((near.seen[name] + near.rows[name]) / 2).otherwise(near.seen[name]).alias(name)
        for name, of in tried.items()
    )
    any_tried = np.any(list(tried.values()), axis=0)
    assert any_tried.sum() > 10
    assert (trained.anomaly_score(half)[any_tried] >= threshold).mean() > 0.95


def test_several_odd_cells_are_all_changed(trained: Detector) -> None:
    odd = rows(100, seed=9).with_columns(age=pl.lit(400.0), shop=pl.lit("nowhere"), items=pl.lit(900, pl.Int64))
    threshold = usual_threshold(trained)
    near = counterfactuals(trained, odd, threshold)
    check_normal(trained, near, threshold)
    assert near.found.mean() > 0.95
    places = [near.rows.columns.index(name) for name in ("age", "shop", "items")]
    assert changed(near)[near.found][:, places].all()
    assert changed(near)[near.found].sum(axis=1).mean() <= 3.3


def test_rows_below_the_threshold_stay_as_they_are(trained: Detector) -> None:
    usual = rows(50, seed=3)
    near = counterfactuals(trained, usual, 1e9)
    assert near.rows.equals(usual.select(trained.schema_.feature_names))
    assert near.found.all()
    np.testing.assert_array_equal(near.scores, trained.anomaly_score(usual))
    assert near.changes(0) == []


def test_a_threshold_that_no_row_can_reach_is_not_reached(trained: Detector) -> None:
    odd = planted("high", 20)[1]
    near = counterfactuals(trained, odd, -1e9)
    assert not near.found.any()
    assert near.rows.equals(odd.select(trained.schema_.feature_names))
    np.testing.assert_array_equal(near.scores, trained.anomaly_score(odd))
    assert near.changes(0) == []
    with pytest.raises(ParameterError, match="threshold=nan is not a finite number"):
        counterfactuals(trained, odd, float("nan"))


def test_changes_are_described_in_words() -> None:
    detector = learned("autoencoder")
    odd = planted("high", 3)[1].with_columns(shop=pl.lit("nowhere"))
    history = History.of([{"by": "shop", "windows": ["1d"], "features": ["count"]}])
    near = counterfactuals(detector, odd, usual_threshold(detector), history=history)
    amount, shop = near.changes(0)
    assert (amount.column, amount.before, amount.after) == ("amount", "400", f"{near.rows['amount'][0]:,.6g}")
    assert str(shop) == f"shop '{near.rows['shop'][0]}' instead of 'nowhere'"


def test_columns_of_history_are_named_in_words() -> None:
    past = History.of([{"by": "card", "windows": ["1d"], "features": ["count"]}])
    frame = pl.DataFrame({"card_count_1d": np.random.default_rng(0).poisson(5, 300), "x": np.arange(300.0) % 17})
    detector = AutoencoderDetector(training=Training(epochs=2), random_state=0).fit(frame)
    threshold = float(np.quantile(detector.anomaly_score(frame), 0.99))
    [change] = counterfactuals(detector, frame[:1].with_columns(card_count_1d=900), threshold, history=past).changes(0)
    assert change.column == "rows of the card in 1 day"
    assert change.after.isdecimal()


# Times


def by_day(n_days: int = 28) -> pl.DataFrame:
    """Rows of Mondays to Fridays between nine and five."""
    rng = np.random.default_rng(0)
    days = [day for day in range(1, n_days + 1) if date(2024, 1, day).weekday() < 5]
    when = [datetime(2024, 1, day, int(hour), 30) for day in days for hour in rng.integers(9, 17, 30)]
    return pl.DataFrame({"when": when, "x": rng.normal(size=len(when))})


def by_day_detector(frame: pl.DataFrame, **of_encoder: Any) -> tuple[AutoencoderDetector, float]:
    training = Training(epochs=60, batch_size=64, validation_fraction=0.0)
    encoder = TableEncoder(**of_encoder)
    detector = AutoencoderDetector(hidden=(16, 4, 16), noise=0.1, training=training, encoder=encoder, random_state=0)
    return detector.fit(frame), float(np.quantile(detector.anomaly_score(frame), 0.99))


def test_a_time_moves_to_the_hour_that_is_expected_and_keeps_its_day() -> None:
    detector, threshold = by_day_detector(by_day())
    odd = pl.DataFrame({"when": [datetime(2024, 1, 30, 0, 30), datetime(2024, 1, 9, 23, 5)], "x": [0.0, 0.1]})
    near = counterfactuals(detector, odd, threshold)
    assert near.found.all()
    assert near.rows["x"].equals(odd["x"])
    assert near.rows["when"].dt.date().equals(odd["when"].dt.date())
    assert near.rows["when"].dt.hour().is_between(7, 18).all()
    assert [change.column for change in near.changes(0)] == ["when"]


def test_a_time_of_a_sunday_moves_to_the_nearest_day_that_is_expected() -> None:
    detector, _ = by_day_detector(by_day())
    sunday = pl.DataFrame({"when": [datetime(2024, 1, 14, 12, 30)], "x": [0.0]})
    near = counterfactuals(detector, sunday, float(detector.anomaly_score(sunday)[0]) / 3)
    assert near.found.all()
    assert abs((near.rows["when"][0].date() - date(2024, 1, 14)).days) <= 3
    assert near.rows["when"][0].weekday() < 5


def test_days_stay_among_those_of_the_training_rows_where_they_are_encoded() -> None:
    frame = by_day()
    detector, threshold = by_day_detector(frame, times=("hour", "weekday", "elapsed"))
    late = pl.DataFrame({"when": [datetime(2025, 5, 5, 12, 30), None], "x": [0.0, 0.0]})
    near = counterfactuals(detector, late, threshold)
    assert near.found.all()
    assert near.rows["when"].is_between(frame["when"].min(), frame["when"].max()).all()


def test_a_missing_time_has_no_day_to_move_to() -> None:
    detector, threshold = by_day_detector(by_day())
    missing = pl.DataFrame({"when": pl.Series([None], dtype=pl.Datetime("us")), "x": [0.0]})
    assert not counterfactuals(detector, missing, threshold).found.any()


# The types in which rows come


def test_rows_come_back_in_the_types_in_which_they_came() -> None:
    frame = by_day().with_columns(n=pl.int_range(pl.len()) % 7, yes=pl.int_range(pl.len()) % 3 == 0)
    detector, threshold = by_day_detector(frame)
    odd = pl.DataFrame(
        {
            "when": pl.Series([datetime(2024, 1, 9, 2)] * 3).dt.replace_time_zone("Europe/Brussels"),
            "x": pl.Series(["55", "-55.5", "0.25"]),
            "n": pl.Series([900, -900, 3], dtype=pl.Int16),
            "yes": pl.Series(["0", "1", None]),
        }
    )
    near = counterfactuals(detector, odd, threshold)
    assert near.rows.schema == odd.schema
    assert near.found.all()
    assert near.rows["x"].cast(pl.Float64).is_between(frame["x"].min(), frame["x"].max()).all()
    assert near.rows["n"].is_between(0, 6).all()
    assert set(near.rows["yes"]) <= {"0", "1"}
    assert near.rows["x"][2] == "0.25" or len(near.changes(2)) > 1


def test_dates_stay_dates_and_times_in_text_stay() -> None:
    days = by_day().with_columns(pl.col("when").dt.date())
    detector, threshold = by_day_detector(days)
    odd = pl.DataFrame({"when": [date(2024, 1, 14)], "x": [40.0]})
    near = counterfactuals(detector, odd, threshold)
    assert near.found.all()
    assert near.rows.schema == odd.schema
    text = odd.with_columns(pl.col("when").dt.strftime("%d/%m/%Y"))
    assert counterfactuals(detector, text, threshold).rows["when"].to_list() == ["14/01/2024"]


def test_arrays_are_taken_too(either: str) -> None:
    X = np.random.default_rng(0).normal(size=(300, 4))
    detector = DETECTORS[either]().fit(X)
    threshold = float(np.quantile(detector.anomaly_score(X), 0.95))
    odd = X[:40] + 12 * np.eye(4)[np.arange(40) % 4]
    near = counterfactuals(detector, odd, threshold)
    assert near.rows.columns == ["x0", "x1", "x2", "x3"]
    assert near.found.mean() > 0.95
    found = near.rows.to_numpy()[near.found]
    assert (found <= X.max(axis=0)).all()
    assert (detector.anomaly_score(found) < threshold).all()


# The command line


def test_an_alert_is_explained_by_its_counterfactual(
    mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    odd = mixed.with_columns(age=pl.when(pl.col("row_id") == 17).then(4000.0).otherwise("age"))
    odd.write_parquet(tmp_path / "odd.parquet")
    ran = oddrow("explain", tmp_path / "odd.parquet", "--model", model, "--id", 17, "--reasons", 2)
    assert ran.code == 0, ran.err
    *_, last = ran.out.strip().splitlines()
    assert last.startswith("Counterfactual (score ")
    assert " instead of 4,000" in last
    assert last.endswith(".")


def test_a_row_that_is_not_an_alert_has_no_counterfactual(mixed_csv: Path, model: Path, oddrow: Oddrow) -> None:
    ran = oddrow("explain", mixed_csv, "--model", model, "--id", 17)
    assert "below the threshold" in ran.out
    assert "ounterfactual" not in ran.out


def test_a_broken_value_that_training_rows_had_too_goes_back_to_the_middle() -> None:
    """A network copies it, so neither what it expects nor the slope leads away from it."""
    rng = np.random.default_rng(0)
    sensors = {f"s{place}": rng.normal(30, 3, 1500) for place in range(12)}
    sensors["s3"][:8] = -100.0
    frame = pl.DataFrame(sensors)
    training = Training(epochs=40, batch_size=64, validation_fraction=0.0)
    fitted = AutoencoderDetector(training=training, random_state=0).fit(frame)
    odd = frame[500:520].with_columns(s3=pl.lit(-90.0))
    threshold, middle = float(np.quantile(fitted.anomaly_score(frame[8:]), 0.99)), odd.with_columns(s3=pl.lit(30.0))
    alone = (fitted.anomaly_score(odd) >= threshold) & (fitted.anomaly_score(middle) < threshold)
    assert alone.sum() > 10
    near = counterfactuals(fitted, odd, threshold)
    assert near.found[alone].all()
    changed = [[change.column for change in near.changes(row)] for row in np.flatnonzero(alone).tolist()]
    assert sum(columns == ["s3"] for columns in changed) >= 0.9 * len(changed)
