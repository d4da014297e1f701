"""Reasons: the columns that make a row odd, in words; what they say is checked by taking the columns back."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from laws import DETECTORS, LEARNED, QUICK_DETECTORS, normal_rows
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError
from oddrow.explain import Change, Explanation, Reason, reasons
from oddrow.nets.attribution import Occlusion
from oddrow.table.history import History
from oddrow.train.training import Training

Oddrow = Callable[..., Any]

PLANTED = {"amount": 400.0, "shop": "nowhere", "time": datetime(2024, 1, 6, 3)}


@pytest.fixture(scope="module", params=QUICK_DETECTORS)
def trained(request: pytest.FixtureRequest) -> Detector:
    return DETECTORS[request.param](**LEARNED[request.param]).fit(normal_rows(600))


@pytest.fixture(scope="module")
def detector() -> AutoencoderDetector:
    """Trained enough to expect what is usual."""
    training = Training(epochs=60, batch_size=64, validation_fraction=0.0)
    return AutoencoderDetector(hidden=(32, 8, 32), training=training, random_state=0).fit(normal_rows(600))


def odd_rows(n_rows: int = 200) -> pl.DataFrame:
    """Rows with one cell each that is odd, in turn in every column."""
    rng = np.random.default_rng(1)
    rows = normal_rows(n_rows, seed=9)
    numbers = [name for name in rows.columns if rows[name].dtype.is_float()]
    for place, name in enumerate(numbers):
        moved = pl.int_range(pl.len()) % len(numbers) == place
        rows = rows.with_columns(pl.when(moved).then(pl.col(name) + rng.choice([-60, 60])).otherwise(name).alias(name))
    return rows


# Deletion: a column that is said to make a row odd must lower its score more, once taken back, than another one.


def test_taking_the_first_reason_back_lowers_the_score_more_than_taking_a_random_column(trained: Detector) -> None:
    rows = odd_rows()
    parts = trained.column_scores(rows)
    first = parts.to_numpy().argmax(axis=1)
    falls = replaced_falls(trained, rows, parts.columns)
    random = np.random.default_rng(0).integers(0, parts.width, rows.height)
    every = np.arange(rows.height)
    assert falls[every, first].mean() > 2 * falls[every, random].mean()
    assert (falls[every, first] > 0).mean() > 0.95
    assert (falls[every, first] >= np.median(falls, axis=1)).mean() > 0.95


def replaced_falls(fitted: Detector, rows: pl.DataFrame, names: list[str]) -> np.ndarray:
    """By how much every score falls where a column is as the network rebuilds it, column by column and by hand."""
    encoded = tuple(fitted.encoder_.transform(fitted.schema_.conform(rows)))
    numbers, logits = fitted.reconstruct(rows)
    before = np.asarray(fitted.network_.score(tuple(map(jnp.asarray, encoded))), np.float64)
    falls = []
    for name in names:
        of_numbers = np.array([source == name for source, _ in fitted.encoder_.number_sources_])
        of_categories = [source == name for source, _ in fitted.encoder_.category_sources_]
        other = np.where(of_numbers, numbers, encoded[0]).astype(np.float32), encoded[1].copy()
        for place in np.flatnonzero(of_categories):
            other[1][:, place] = logits[place].argmax(axis=1)
        falls.append(before - np.asarray(fitted.network_.score(tuple(map(jnp.asarray, other))), np.float64))
    return np.array(falls).T


def test_contributions_by_replacement_are_what_scores_fall_by(trained: Detector) -> None:
    rows = odd_rows(50)
    parts = Detector.column_scores(trained, rows)
    np.testing.assert_allclose(parts.to_numpy(), replaced_falls(trained, rows, parts.columns), rtol=1e-3, atol=1e-3)


def test_a_network_expects_rows_of_its_own_form(trained: Detector) -> None:
    rows = odd_rows(20)
    seen = trained.encoder_.transform(trained.schema_.conform(rows))
    encoded = jnp.asarray(seen.numbers), jnp.asarray(seen.categories)
    masks = jnp.zeros((1, encoded[0].shape[1]), bool), jnp.zeros((1, encoded[1].shape[1]), bool)
    numbers, categories = Occlusion(trained.network_, *masks).expected(encoded)
    assert numbers.shape == encoded[0].shape
    assert categories.shape == encoded[1].shape


# Words


def first_reason(fitted: AutoencoderDetector, **change: Any) -> Any:
    """The first reason of a usual row with some cells changed."""
    rows = normal_rows(600)[7:8].with_columns(**{name: pl.lit(value) for name, value in change.items()})
    [found] = reasons(fitted, rows, n=1)
    return found[0]


def test_numbers_are_high_or_low(detector: AutoencoderDetector) -> None:
    high, low = first_reason(detector, amount=500.0), first_reason(detector, amount=-500.0)
    assert (high.column, high.code, high.seen) == ("amount", "HIGH", "500")
    assert (low.code, low.seen) == ("LOW", "-500")
    assert high.expected.startswith("about ")
    assert float(high.expected.removeprefix("about ").replace(",", "")) < 400
    assert high.error_ratio is not None
    assert high.error_ratio > 3
    assert str(high).startswith("amount 500, expected about ")
    assert "times its typical error" in str(high)


def test_levels_are_new_or_unusual_and_say_how_likely() -> None:
    rng = np.random.default_rng(0)
    shop = rng.choice(["books", "food"], 800)
    price = np.where(shop == "books", 10.0, 50.0) + rng.normal(0, 1, 800)
    rows = pl.DataFrame({"shop": shop, "price": price, "tax": price / 10 + rng.normal(0, 0.01, 800)})
    training = Training(epochs=80, batch_size=64, validation_fraction=0.0)
    fitted = AutoencoderDetector(hidden=(16, 2, 16), noise=0.2, training=training, random_state=0).fit(rows)
    odd = pl.DataFrame({"shop": ["fuel", "food"], "price": [10.0, 10.0], "tax": [1.0, 1.0]})
    new, unusual = (next(r for r in found if r.column == "shop") for found in reasons(fitted, odd, n=3))
    assert (new.code, new.seen, new.expected) == ("NEW", "'fuel'", "'books'")
    assert (unusual.code, unusual.expected) == ("UNUSUAL", "'books'")
    assert unusual.seen.startswith("'food' (likely to ")
    hot = AutoencoderDetector(
        hidden=(16, 2, 16), training=training, encoder=TableEncoder(one_hot_up_to=9), random_state=0
    ).fit(rows)
    of_hot = next(r for r in reasons(hot, odd, n=3)[1] if r.column == "shop")
    assert (of_hot.code, of_hot.expected) == ("UNUSUAL", "'books'")


def test_gaps_where_there_are_none_and_values_where_there_are_gaps() -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(800) % 2
    gappy = np.where(kind == 1, np.nan, rng.normal(50, 1, 800))
    rows = pl.DataFrame({"kind": kind * 100.0 + rng.normal(0, 1, 800), "gappy": gappy, "full": rng.normal(0, 1, 800)})
    training = Training(epochs=120, batch_size=64, validation_fraction=0.0)
    fitted = AutoencoderDetector(hidden=(32, 8, 32), noise=0.1, training=training, random_state=0).fit(rows)
    odd = pl.DataFrame({"kind": [0.0, 100.0, 0.0], "gappy": [None, 50.0, 50.0], "full": [0.0, 0.0, None]})
    missing, present, never = (
        next(r for r in found if r.column == name)
        for found, name in zip(reasons(fitted, odd, n=3), ("gappy", "gappy", "full"), strict=True)
    )
    assert (missing.code, missing.seen) == ("MISSING", "missing")
    assert (present.code, present.expected) == ("PRESENT", "missing")
    assert (never.code, never.seen) == ("MISSING", "missing")


def test_times_say_which_hour_and_day_are_expected() -> None:
    rng = np.random.default_rng(0)
    by_day = [datetime(2024, 1, 1 + day, int(hour), 30) for day in range(28) for hour in rng.integers(9, 17, 30)]
    rows = pl.DataFrame({"when": by_day, "x": rng.normal(size=len(by_day))})
    training = Training(epochs=60, batch_size=64, validation_fraction=0.0)
    fitted = AutoencoderDetector(hidden=(16, 4, 16), noise=0.1, training=training, random_state=0).fit(rows)
    [[reason]] = reasons(fitted, pl.DataFrame({"when": [datetime(2024, 1, 8, 0, 30)], "x": [0.0]}), n=1)
    assert (reason.column, reason.code) == ("when", "TIME")
    assert reason.seen == "Monday 2024-01-08 00:30"
    hour, day = re.fullmatch(r"about (\d\d):00 and (\w+)", reason.expected).groups()  # type: ignore[union-attr]
    assert 6 <= int(hour) <= 18
    assert day.endswith("day")


def test_columns_of_history_are_named_in_words(detector: AutoencoderDetector) -> None:
    history = History.of(
        [
            {"by": "card", "windows": ["1d", "7d"], "features": ["count", "mean amount", "since last"]},
            {"by": "shop", "windows": ["12h"], "delay": "7d", "features": ["risk"]},
            {"features": ["night"]},
        ]
    )
    assert history.descriptions == {
        "card_count_1d": "rows of the card in 1 day",
        "card_mean_amount_1d": "mean amount of the card in 1 day",
        "card_count_7d": "rows of the card in 7 days",
        "card_mean_amount_7d": "mean amount of the card in 7 days",
        "card_since_last": "time since the last row of the card",
        "shop_risk_12h_7d_ago": "share of known frauds of the shop in 12 hours, 7 days ago",
        "is_night": "night",
    }
    rows = pl.DataFrame({"card_count_1d": np.random.default_rng(0).normal(5, 1, 300), "x": np.arange(300.0)})
    fitted = AutoencoderDetector(training=Training(epochs=2), random_state=0).fit(rows)
    [[reason]] = reasons(fitted, rows[:1].with_columns(card_count_1d=90.0), n=1, history=history)
    assert reason.column == "rows of the card in 1 day"


def test_shares_add_up_and_come_in_order(trained: Detector) -> None:
    found = reasons(trained, odd_rows(40), n=100)
    assert len(found) == 40
    for of_row in found:
        shares = [reason.share for reason in of_row]
        assert shares == sorted(shares, reverse=True)
        # Of a row that is near to others, no column alone may be the one that takes it farther.
        assert not shares or sum(shares) == pytest.approx(1)
    assert sum(map(bool, found)) > 30
    assert max(len(of_row) for of_row in reasons(trained, odd_rows(5), n=2)) == 2


def test_no_reason_at_all_is_none_to_ask_for(trained: Detector) -> None:
    with pytest.raises(ParameterError, match="n=0 is not a whole number"):
        reasons(trained, odd_rows(5), n=0)


def test_quantile_numbers_are_decoded() -> None:
    values = np.random.default_rng(0).lognormal(size=500)
    frame = pl.DataFrame({"x": values})
    fitted = AutoencoderDetector(
        encoder=TableEncoder(numbers="quantile"), training=Training(epochs=1), random_state=0
    ).fit(frame)
    (column,) = fitted.encoder_.number_columns_
    inside = np.quantile(values, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(column.decode(column.encode(inside)), inside, rtol=1e-6)


def test_what_would_be_normal_is_said_or_that_nothing_was_found() -> None:
    changes = (Change("amount", "933.6", "212.4"), Change("shop", "'fuel'", "'food'"))
    found = Explanation("row 7", 9.0, 3.0, "fixed:3", (), changes, 2.614)
    said = "Counterfactual (score 2.614): amount 212.4 instead of 933.6; shop 'food' instead of 'fuel'."
    assert found.counterfactual_in_words == said
    assert found.is_alert
    none_found = "No counterfactual found within the values of the training rows."
    assert Explanation("row 7", 9.0, 3.0, "fixed:3", ()).counterfactual_in_words == none_found


def test_an_explanation_shows_itself_as_text_and_as_escaped_html() -> None:
    reason = Reason("<shop>", "NEW", "'<b>'", "'food'", 0.75, 12.0)
    found = Explanation("row 7", 9.0, 3.0, "fixed:3", (reason,))
    assert str(found).startswith("row 7: score 9, at or above the threshold 3 (fixed:3).\ncolumn")
    assert str(found).endswith("within the values of the training rows.")
    assert "times its typical error" in str(found)
    html = found._repr_html_()
    assert "&lt;shop&gt;" in html
    assert "<b>" not in html
    assert "No counterfactual found" in html
    assert "No counterfactual" not in str(Explanation("row 7", 1.0, 3.0, "fixed:3", (reason,)))


# The command line


def test_alerts_have_reasons_and_other_rows_have_none(
    mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    out = tmp_path / "s.parquet"
    assert oddrow("score", mixed_csv, "--model", model, "--out", out, "--reasons", 2).code == 0
    scores = pl.read_parquet(out)
    assert scores.columns[-2:] == ["reason_1", "reason_2"]
    assert scores.filter(pl.col("alert"))["reason_1"].null_count() == 0
    assert scores.filter(~pl.col("alert"))["reason_1"].drop_nulls().is_empty()
    assert scores["alert"].sum() > 0


def test_a_row_is_explained_by_its_id(mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    ran = oddrow("explain", mixed_csv, "--model", model, "--id", 17, "--reasons", 3)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("row_id 17: score ")
    assert "times its typical error" in ran.out
    assert len(ran.out.strip().splitlines()) == 2 + 3
    assert oddrow("score", mixed_csv, "--model", model, "--out", tmp_path / "s.csv").code == 0
    score = pl.read_csv(tmp_path / "s.csv").filter(pl.col("row_id") == 17)["anomaly_score"].item()
    assert f"score {score:.6g}," in ran.out


def test_an_id_that_names_no_row_is_refused(mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    pl.concat([mixed, mixed[:1]]).write_parquet(tmp_path / "twice.parquet")
    for id, said in ((7000, "0 rows have the id '7000'"), (0, "2 rows have the id '0'")):
        ran = oddrow("explain", tmp_path / "twice.parquet", "--model", model, "--id", id)
        assert ran.code == 1
        assert f"column 'row_id': {said}. Expected one." in ran.err
