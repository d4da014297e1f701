"""Recipes of autoencoders: published cuts beside the honest one, held-out anomalies, the report at the end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.artifact import Artifact
from oddrow.errors import ArtifactError
from oddrow.recipes.labelled_table import Case, LabelledTable, split_case
from oddrow.recipes.recipe import CONTESTANTS, Recipe, recipe_values
from oddrow.recipes.run import run_recipe
from oddrow.recipes.runner import load_scores
from oddrow.thresholds.rule import Rule

N_ROWS, N_FRAUDS = 1200, 120


def recipe(name: str = "creditcard-autoencoder", **protocol: Any) -> Recipe[Any]:
    """A shipped one, but quick."""
    values = recipe_values(name)
    values["training"] = {**values["training"], "epochs": 3, "patience": 3}
    values["protocol"] = {**values["protocol"], "runs": 2, **protocol}
    return Recipe.from_dict(name, values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small cards, of which the normal rows are a sample, and small heartbeats."""
    place = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    y = np.arange(N_ROWS) < N_FRAUDS
    values = rng.normal(size=(N_ROWS, 30)) + 3 * y[:, None] * (rng.random((N_ROWS, 1)) < 0.7)
    names = ["Time", *(f"V{place}" for place in range(1, 29)), "Amount"]
    cards = pl.DataFrame(values, schema=names).with_columns(
        Class=pl.Series(y.astype(int)), in_neg_random=~y & (np.arange(N_ROWS) % 2 == 0)
    )
    cards.write_parquet(place / "creditcard_union.parquet")
    beats = np.sin(np.linspace(0, 9, 140)) + rng.normal(0, 0.2, (N_ROWS, 140)) + y[:, None] * rng.normal(0, 1, 140)
    heart = pl.DataFrame(beats, schema=[str(place) for place in range(140)])
    heart.with_columns(pl.Series("140", (~y).astype(int))).write_csv(place / "ecg.csv", include_header=False)
    return place


def quiet(message: Any) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out")
    run_recipe(recipe(), folder, place, None, tell=quiet, command="oddrow recipe creditcard-autoencoder")
    return place


def lines_of(out: Path, run: int) -> dict[tuple[str, str], dict[str, float]]:
    lines = json.loads((out / "runs" / f"run-{run:02d}-0.json").read_text())["lines"]
    return {(line["detector"], line["rule"]): line for line in lines}


def test_fixed_cuts_are_for_scores_of_their_unit_alone(out: Path) -> None:
    found = lines_of(out, 0)
    own = {rule for name, rule in found if name == "autoencoder"}
    assert own == {rule for name, rule in found if name == "autoencoder-untrained"}
    assert own == {"published 2.9", "published 60", "honest"}
    for other in ("defaults", "mahalanobis", "isolation-forest", "one-class-svm"):
        assert {rule for name, rule in found if name == other} == {"honest"}


def test_anomalies_are_held_out_for_the_honest_cut_and_no_test_row_is(out: Path, folder: Path) -> None:
    data = LabelledTable.read(recipe(), folder)
    rows = split_case(recipe(), data.y, Case(1, 0.0))
    assert (data.y[rows.validation_anomalies] == 1).all()
    assert len(rows.validation_anomalies) == int((data.y == 1).sum() - (data.y[rows.test] == 1).sum()) // 10
    everything = np.concatenate([rows.training, rows.validation, rows.validation_anomalies, rows.test])
    assert len(np.unique(everything)) == len(everything)
    assert len(rows.test) == pytest.approx(0.2 * len(data.y), abs=1)
    artifact = Artifact.load(out / "model")
    chosen_on = np.concatenate([rows.validation, rows.validation_anomalies])
    scores = artifact.detector.anomaly_score(data.table.take(chosen_on))
    by_hand = Rule.parse("fbeta:1").threshold(scores, data.outcomes.take(chosen_on))
    assert artifact.threshold.value == pytest.approx(by_hand.value)
    assert artifact.threshold.fingerprint == data.fingerprint(chosen_on)


def test_the_published_cut_is_the_number_itself(out: Path, folder: Path) -> None:
    data, artifact = LabelledTable.read(recipe(), folder), Artifact.load(out / "model")
    rows = split_case(recipe(), data.y, Case(1, 0.0)).test
    alerts = artifact.detector.anomaly_score(data.table.take(rows)) >= 2.9
    known = data.outcomes.take(rows)
    weight, truth = known.weight, known.anomalous
    assert weight is not None
    found = lines_of(out, 1)["autoencoder", "published 2.9"]
    assert found["recall"] == pytest.approx((alerts & truth).sum() / truth.sum())
    assert found["precision"] == pytest.approx((weight * (alerts & truth)).sum() / (weight * alerts).sum())


def test_errors_are_those_of_columns_as_they_are(out: Path, folder: Path) -> None:
    """V1 to V28 are not scaled, Amount is, and the score is the mean of the squares."""
    data, artifact = LabelledTable.read(recipe(), folder), Artifact.load(out / "model")
    table = data.table.take(np.arange(50))
    encoded = artifact.detector.encoder_.transform(artifact.detector.schema_.conform(table.frame)).numbers
    as_they_are = table.in_memory.select(f"V{place}" for place in range(1, 29)).to_numpy()
    np.testing.assert_allclose(encoded[:, :28], as_they_are, rtol=1e-6)
    numbers, _ = artifact.detector.reconstruct(table)
    assert numbers.min() >= 0, "the output layer is a relu"
    np.testing.assert_allclose(
        artifact.detector.anomaly_score(table), ((encoded - numbers) ** 2).mean(axis=1), rtol=1e-4
    )


def test_the_table_and_the_report_show_published_and_measured(out: Path) -> None:
    lines = (out / "results.md").read_text().splitlines()
    assert "published 2.9: fixed:2.9; published 60: fixed:60; honest: fbeta:1 on held-out rows" in lines[0]
    assert lines[4] == "| *autoencoder, as published* | published 2.9 | 0.150 | 0.080 | 0.880 | | |"
    page = (out / "report.html").read_text()
    assert "autoencoder, as published" in page
    assert "<h2>Ranking</h2>" in page
    part = page[page.index("<h2>Ranking") : page.index("<h2>Threshold")]
    assert re.findall(r'<td class="text short">([a-z-]+)</td>', part) == list(CONTESTANTS["autoencoder"]), (
        "all of the last run"
    )
    assert page.count("<img ") >= 10
    assert "<pre>oddrow recipe creditcard-autoencoder</pre>" in page


def test_a_report_that_is_gone_is_written_again_without_fitting(
    out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (out / "report.html").read_text()
    (out / "report.html").unlink()
    monkeypatch.setattr("oddrow.recipes.detection_runner.fit_models", None)
    run_recipe(recipe(), folder, out, 2, tell=quiet, command="oddrow recipe creditcard-autoencoder")
    assert (out / "report.html").read_text() == before


def test_fewer_runs_than_before_still_end_in_a_report(out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kept model is that of a run that does not count now."""
    monkeypatch.setattr("oddrow.recipes.detection_runner.fit_models", None)
    run_recipe(recipe(), folder, out, 1, tell=quiet)
    page = (out / "report.html").read_text()
    assert "autoencoder, as published" in page
    assert "<h2>Ranking</h2>" not in page
    run_recipe(recipe(), folder, out, 2, tell=quiet)
    assert "<h2>Ranking</h2>" in (out / "report.html").read_text()


def test_kept_scores_know_the_rows_of_the_file(out: Path, folder: Path) -> None:
    artifact, kept = Artifact.load(out / "model"), pl.read_parquet(out / "scores.parquet")
    whole = pl.read_parquet(folder / "creditcard_union.parquet")
    again = artifact.detector.anomaly_score(whole[kept["row"].to_list()])
    np.testing.assert_allclose(kept["autoencoder"], again, rtol=1e-5)
    (out / "scores.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ArtifactError, match=r"scores.parquet: cannot be read"):
        load_scores(out, kept["row"].to_numpy())
    kept.write_parquet(out / "scores.parquet")


def test_the_cut_picked_on_the_test_is_the_best_one_there(folder: Path, tmp_path: Path) -> None:
    run_recipe(
        recipe("creditcard-autoencoder-dropout", contestants=["autoencoder", "mahalanobis"]),
        folder,
        tmp_path / "out",
        1,
        tell=quiet,
    )
    found = lines_of(tmp_path / "out", 0)
    for name in ("autoencoder", "mahalanobis"):
        assert found[name, "picked on the test"]["f1"] >= found[name, "honest"]["f1"]
    assert 0 <= found["autoencoder", "honest"]["accuracy"] <= 1


def test_heartbeats_are_cut_by_training_errors_and_drawn(folder: Path, tmp_path: Path) -> None:
    run_recipe(recipe("ecg", contestants=["autoencoder", "mahalanobis"]), folder, tmp_path / "out", 1, tell=quiet)
    data, artifact = LabelledTable.read(recipe("ecg"), folder), Artifact.load(tmp_path / "out" / "model")
    rows = split_case(recipe("ecg"), data.y, Case(0, 0.0))
    scores = artifact.detector.anomaly_score(data.table.take(rows.training))
    alerts = artifact.detector.anomaly_score(data.table.take(rows.test)) >= scores.mean() + scores.std()
    found = lines_of(tmp_path / "out", 0)["autoencoder", "published"]
    truth = data.y[rows.test] == 1
    assert found["recall"] == pytest.approx((alerts & truth).sum() / truth.sum())
    assert found["accuracy"] == pytest.approx((alerts == truth).mean())
    assert "original, reconstruction and error" in (tmp_path / "out" / "report.html").read_text()
