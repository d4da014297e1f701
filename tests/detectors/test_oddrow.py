"""The default detector: what it keeps, whom it trusts, how it scores, and what its models hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from laws import normal_rows
from oddrow.artifact import Artifact
from oddrow.artifact.saved_folder import MANIFEST, TENSORS
from oddrow.detectors import oddrow as module
from oddrow.detectors.oddrow import OddRowDetector
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ArtifactError, ParameterError, TableError
from oddrow.nets.oddrow import OddRow
from oddrow.thresholds.threshold import Threshold
from oddrow.train.training import Training

Floats = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
MODES = ("novelty", "outlier")
QUICK = Training(epochs=1, validation_fraction=0.2)


def detector(mode: str = "novelty", **parameters: Any) -> OddRowDetector:
    usual = {"mode": mode, "training": QUICK if mode == "novelty" else None, "random_state": 0}
    return OddRowDetector(**{**usual, **parameters})


def array(n_rows: int = 200, n_columns: int = 3, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n_rows, n_columns))


def parts(fitted: OddRowDetector, X: Floats) -> Floats:
    return np.asarray(fitted._by_slices(X, OddRow.parts), np.float64)


# What is kept, and the distances from it.


def test_the_distance_is_that_to_the_nearest_of_range_scaled_rows() -> None:
    train, test = array(), array(50, seed=1) * 2
    encoder = TableEncoder(numbers="standard", soft_limit=None)
    found = parts(detector(encoder=encoder, training=Training(epochs=1, validation_fraction=0)).fit(train), test)[:, 0]
    span = np.ptp(train, axis=0)
    nearest = NearestNeighbors(n_neighbors=1).fit(train / span).kneighbors(test / span)[0][:, 0]
    np.testing.assert_allclose(found, nearest, rtol=1e-4)


def test_in_outlier_mode_it_is_the_mean_over_ten_of_the_rows_trusted() -> None:
    train, test = array(), array(50, seed=1) * 2
    fitted = detector("outlier", encoder=TableEncoder(soft_limit=None)).fit(train)
    assert fitted.n_reference_rows_ == 120
    kept = np.asarray(fitted.network_.neighbours.numbers, np.float64)
    spread = 5 * fitted.encoder_.transform(pl.DataFrame(train, schema=["x0", "x1", "x2"])).numbers.std(axis=0)
    encoded = fitted.encoder_.transform(pl.DataFrame(test, schema=["x0", "x1", "x2"])).numbers
    nearest = NearestNeighbors(n_neighbors=10).fit(kept / spread).kneighbors(encoded / spread)[0]
    np.testing.assert_allclose(parts(fitted, test)[:, 0], nearest.mean(axis=1), rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_a_training_row_is_held_against_the_others(mode: str) -> None:
    """Else all rows that are kept would have the lowest score there is, and no threshold on training rows a meaning."""
    train = array(300)
    fitted = detector(mode, contamination=0.05).fit(train)
    assert (fitted.predict(train) == -1).sum() == pytest.approx(15, abs=1)
    others = fitted.anomaly_score(array(300, seed=5))
    # Scores of rows that were there and of rows that were not have about the same distribution.
    assert np.median(fitted.anomaly_score(train)) == pytest.approx(np.median(others), rel=0.4)


def test_most_rows_kept_is_a_limit_and_wide_tables_keep_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert detector(n_reference_rows=50).fit(array()).n_reference_rows_ == 50
    # So small that a table of thirty columns is a wide one.
    monkeypatch.setattr(module, "MAX_REFERENCE_BYTES", 10_000)
    for mode, most in (("outlier", 2500 // 30), ("novelty", 2500 // (30 + 60))):
        fitted = detector(mode).fit(array(300, 30))
        assert fitted.n_reference_rows_ == most


def test_other_seeds_keep_other_rows() -> None:
    one, other = (detector(n_reference_rows=50, random_state=seed).fit(array()) for seed in (0, 1))
    assert not np.array_equal(one.network_.neighbours.numbers, other.network_.neighbours.numbers)


def test_in_outlier_mode_no_row_is_held_out_unless_the_training_says_so() -> None:
    assert OddRowDetector(random_state=0).fit(array()).n_reference_rows_ == 120
    assert detector("outlier", training=Training(validation_fraction=0.5)).fit(array()).n_reference_rows_ == 60


def test_rows_held_out_are_kept_too_unless_they_were_given() -> None:
    half = detector(training=Training(epochs=1, validation_fraction=0.5))
    assert half.fit(array()).n_reference_rows_ == 200
    assert half.fit(array(), validation=array(50, seed=1)).n_reference_rows_ == 200


# How it scores.


def surprises(fitted: OddRowDetector, X: Floats) -> Floats:
    found = zip(fitted.network_.tails, parts(fitted, X).T, strict=True)
    return np.stack([np.asarray(tail(jnp.asarray(part, jnp.float32)), np.float64) for tail, part in found], axis=1)


def test_the_error_has_the_last_word_where_it_says_clearly_more() -> None:
    fitted = detector(encoder=TableEncoder()).fit(array())
    rows = np.concatenate([array(100, seed=1), array(100, seed=2) * 4])
    far, far_coded, wrong = surprises(fitted, rows).T
    assert (wrong > far + far_coded + 2).any()
    np.testing.assert_allclose(fitted.anomaly_score(rows), np.maximum(far + far_coded, wrong - 2), rtol=1e-5, atol=1e-5)


def test_what_is_usual_is_said_by_rows_that_the_network_has_not_learned_by_heart() -> None:
    """Else new normal rows of a small table would all be far more surprising than any that it was trained on."""
    rows, new = array(300, 20), array(500, 20, seed=1)
    training = Training(epochs=500, batch_size=32)
    fitted = detector(training=training).fit(rows[:100], validation=rows[100:])
    of_trained, of_new = (surprises(fitted, part) for part in (rows[:100], new))
    # A surprise has the mean 1.
    np.testing.assert_allclose(of_new.mean(axis=0), 1, atol=0.5)
    assert of_trained[:, 2].mean() < 0.3


@pytest.mark.parametrize(("n_held_out", "is_enough"), [(9, False), (10, True)])
def test_where_a_handful_of_rows_is_held_out_the_nearest_row_decides_alone(n_held_out: int, is_enough: bool) -> None:
    rows, held_out = array(40), array(n_held_out, seed=1)
    fitted = detector().fit(rows, validation=held_out)
    far, far_coded, wrong = surprises(fitted, array(50, seed=2) * 3).T
    assert [part.max() > 0 for part in (far, far_coded, wrong)] == [True, is_enough, is_enough]
    assert any("the distance alone decides" in said for said in fitted._training_notes) != is_enough


def test_new_rows_of_a_small_table_raise_few_alarms() -> None:
    fitted = detector(training=None, contamination=0.05).fit(array(40, 6))
    assert (fitted.predict(array(1000, 6, seed=1)) == -1).mean() < 0.25


# Whom it trusts.


def contaminated(n_rows: int = 600, share: float = 0.1) -> tuple[Floats, Mask]:
    """Rows of which some are shifted, and which."""
    odd = np.arange(n_rows) < share * n_rows
    return array(n_rows, 5) + 4 * odd[:, None], odd


def test_a_cluster_of_anomalies_among_the_training_rows_is_found_in_outlier_mode_alone() -> None:
    rows, odd = contaminated()
    found = {mode: roc_auc_score(odd, detector(mode).fit(rows).anomaly_score(rows)) for mode in MODES}
    assert found["outlier"] > 0.98
    assert found["outlier"] > found["novelty"] + 0.05


def test_what_is_not_trusted_is_not_kept() -> None:
    rows, odd = contaminated()
    fitted = detector("outlier", encoder=TableEncoder(soft_limit=None, unscaled=[f"x{place}" for place in range(5)]))
    kept = np.asarray(fitted.fit(rows).network_.neighbours.numbers)
    assert len(kept) == 360
    assert kept.max() < rows[odd].mean()


def test_in_outlier_mode_nothing_is_trained() -> None:
    fitted = detector("outlier").fit(array())
    assert fitted.loss_curve_ == []
    assert fitted.network_.autoencoder is None
    with pytest.raises(ParameterError, match="outlier mode trains nothing"):
        detector("outlier", training=Training(epochs=3)).fit(array())


# Categories, missing values, bad input.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("odd", [{"shop": "never seen"}, {"shop": None}, {"online": None}], ids=str)
def test_a_category_that_no_row_had_makes_a_row_odd(mode: str, odd: dict[str, Any]) -> None:
    train, test = normal_rows(400), normal_rows(100, seed=3)
    fitted = detector(mode).fit(train)
    changed = test.with_columns(pl.lit(value, test.schema[name]).alias(name) for name, value in odd.items())
    assert (fitted.anomaly_score(changed) > fitted.anomaly_score(test)).mean() > 0.97
    assert np.median(fitted.anomaly_score(changed)) > np.quantile(fitted.anomaly_score(test), 0.95)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n_reference_rows", [10_000, 0])
@pytest.mark.parametrize(
    "rows",
    [
        pl.DataFrame({"a": ["x", "y"] * 10, "b": ["u", "u", "v", "w"] * 5}),
        pl.DataFrame({"a": np.repeat([1.0, 2.0], [18, 2])}),
        pl.DataFrame({"a": np.arange(20.0), "same": [7.0] * 20, "again": np.arange(20.0)}),
        pl.DataFrame({"a": [*np.arange(19.0), 1e30], "b": np.arange(20.0)}),
    ],
    ids=["all categories", "nine in ten are doubles", "constant and doubled columns", "one huge value"],
)
def test_odd_tables_of_twenty_rows(mode: str, n_reference_rows: int, rows: pl.DataFrame) -> None:
    scores = detector(mode, n_reference_rows=n_reference_rows).fit(rows).anomaly_score(rows)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_one_huge_value_leaves_the_other_columns_their_say(mode: str) -> None:
    train = array(500)
    train[0, 0] = 1e30
    test = np.concatenate([array(50, seed=2), array(50, seed=3) + np.array([0.0, 8.0, 8.0])])
    assert roc_auc_score(np.arange(100) >= 50, detector(mode).fit(train).anomaly_score(test)) > 0.95


def test_a_single_row_to_learn_from_is_refused() -> None:
    with pytest.raises(TableError, match="n_samples = 1 to learn from, expected at least 2"):
        detector("outlier").fit(array(3), np.array([0, 1, 1]))


@pytest.mark.parametrize("mode", MODES)
def test_a_level_of_every_tenth_row_is_no_anomaly(mode: str) -> None:
    rng = np.random.default_rng(0)

    def rows(n: int) -> pl.DataFrame:
        countries = rng.choice(["DE", "FR", "IT"], n, p=[0.6, 0.3, 0.1])
        return pl.DataFrame({"amount": rng.lognormal(3, 1, n), "country": countries})

    fitted, test = detector(mode).fit(rows(2000)), rows(1000)
    scores = test.with_columns(score=fitted.anomaly_score(test)).group_by("country").agg(pl.col("score").median())
    assert scores["score"].to_numpy().max() < 5
    unseen = fitted.anomaly_score(test.with_columns(country=pl.lit("never seen")))
    assert np.median(unseen) > np.quantile(fitted.anomaly_score(test), 0.99)


# A model that holds no row.


@pytest.mark.parametrize("mode", MODES)
def test_without_memory_a_model_holds_means_of_several_rows(mode: str) -> None:
    train = array(600)
    fitted = detector(mode, n_reference_rows=0, encoder=TableEncoder(soft_limit=None)).fit(train)
    assert (fitted.n_reference_rows_, 2 < fitted.n_means_ <= 60) == (0, True)
    encoded = fitted.encoder_.transform(pl.DataFrame(train, schema=["x0", "x1", "x2"])).numbers
    means = np.asarray(fitted.network_.neighbours.numbers)
    assert NearestNeighbors(n_neighbors=1).fit(encoded).kneighbors(means)[0].min() > 1e-4
    far = np.array([[9.0, -9.0, 9.0]])
    assert fitted.anomaly_score(far)[0] > fitted.anomaly_score(train).max()


@pytest.mark.parametrize("mode", MODES)
def test_without_memory_a_level_that_no_row_had_is_odd(mode: str) -> None:
    """A row like a mean is no row that was kept: it is not left out."""
    train = pl.DataFrame({"a": ["x", "y", "x", "y"] * 50, "b": ["u", "v", "v", "u"] * 50})
    fitted = detector(mode, n_reference_rows=0).fit(train)
    usual, odd = (fitted.anomaly_score(pl.DataFrame({"a": ["x"], "b": [level]}))[0] for level in ("u", "never seen"))
    assert odd > usual + 5


def test_without_memory_few_rows_are_refused() -> None:
    with pytest.raises(TableError, match="n_samples = 9 to learn from, expected at least 10"):
        detector("outlier", n_reference_rows=0).fit(array(9))


# Saved models.


def artifact(fitted: OddRowDetector) -> Artifact:
    return Artifact(fitted, Threshold(1.5, "fixed:1.5"))


@pytest.mark.parametrize("n_reference_rows", [50, 0])
@pytest.mark.parametrize("mode", MODES)
def test_manifest_and_card_say_what_is_kept(mode: str, n_reference_rows: int, tmp_path: Path) -> None:
    fitted = detector(mode, n_reference_rows=n_reference_rows).fit(array())
    artifact(fitted).save(tmp_path / "model")
    state = json.loads((tmp_path / "model" / MANIFEST).read_text())["detector"]["state"]
    assert (state["n_reference_rows"], state["n_means"]) == (fitted.n_reference_rows_, fitted.n_means_)
    said = "the model holds 50 training rows" if n_reference_rows else f"but {fitted.n_means_} means of 5 or more"
    assert said in (tmp_path / "model" / "card.md").read_text()
    said = "40% of the training rows, the farthest from others, were not trusted"
    assert (said in fitted._training_notes) == (mode == "outlier")
    loaded = Artifact.load(tmp_path / "model").detector
    np.testing.assert_array_equal(loaded.anomaly_score(array()), fitted.anomaly_score(array()))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("n_reference_rows", 49, "not fit its parameters"),
        ("n_reference_rows", 10**12, "n_reference_rows=1000000000000 is not"),
        ("n_reference_rows", 0, "the number of reference rows or means=0 is not"),
        ("n_reference_rows", "50", "n_reference_rows='50' is not"),
        ("n_means", 1, "n_means=1 is not"),
    ],
)
def test_a_manifest_that_lies_about_it_is_refused(place: str, value: Any, said: str, tmp_path: Path) -> None:
    artifact(detector(n_reference_rows=50).fit(array())).save(tmp_path / "model")
    path = tmp_path / "model" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["detector"]["state"][place] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=said):
        Artifact.load(tmp_path / "model")


def test_a_memory_beyond_all_is_refused_without_being_made(tmp_path: Path) -> None:
    artifact(detector(n_reference_rows=50).fit(array())).save(tmp_path / "model")
    path = tmp_path / "model" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["detector"]["state"]["n_reference_rows"] = manifest["detector"]["parameters"]["n_reference_rows"] = 10**12
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="not fit its parameters"):
        Artifact.load(tmp_path / "model")


def test_the_file_of_a_usual_table_is_small(tmp_path: Path) -> None:
    artifact(detector("outlier").fit(array(20_000, 30))).save(tmp_path / "model")
    assert (tmp_path / "model" / TENSORS).stat().st_size < 20e6
