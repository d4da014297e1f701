"""Running a recipe: honest divisions, both cuts by hand, results saved run by run, an interrupted one goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_recipe import values

from oddrow.artifact import Artifact
from oddrow.errors import ArtifactError, EvaluationError, ParameterError, TrainingError
from oddrow.recipes import detection_runner
from oddrow.recipes.labelled_table import Case, LabelledTable, split_case
from oddrow.recipes.recipe import CONTESTANTS as BY_DETECTOR
from oddrow.recipes.recipe import DetectionProtocol, Recipe
from oddrow.recipes.results import Results
from oddrow.recipes.run import run_recipe

CONTESTANTS = BY_DETECTOR["dagmm"]


def recipe(**protocol: Any) -> Recipe[DetectionProtocol]:
    """Thyroid's, on a small table and quick."""
    changed = values() | {"training": {"epochs": 3, "batch_size": 64, "log_every": 2}}
    changed["protocol"] = {"known_ratio": 0.1, "runs": 2, **protocol}
    changed["detector"] = {"name": "dagmm", "hidden": [4], "n_components": 2, "estimation": [4]}
    return Recipe.from_dict("thyroid", changed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small thyroid: 400 rows of three numbers, 40 of them far out."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    X[:40] += 6
    place = tmp_path_factory.mktemp("data")
    np.savez(place / "38_thyroid.npz", X=X, y=np.arange(400) < 40)
    return place


def quiet(message: Any) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out")
    run_recipe(recipe(), folder, place, None, tell=quiet)
    return place


Y = np.concatenate([np.ones(100), np.zeros(900), [np.nan] * 10])


def test_a_case_trains_on_normal_rows_of_one_half_and_tests_the_other() -> None:
    found = split_case(recipe(), Y, Case(0, 0.0))
    everything = np.concatenate([found.training, found.validation, found.test])
    assert len(np.unique(everything)) == len(everything)
    assert len(found.test) == 500
    assert (Y[found.training] == 0).all()
    assert (Y[found.validation] == 0).all()
    assert not np.isnan(Y[everything]).any()
    assert len(found.validation) == (len(found.validation) + len(found.training)) // 10
    assert 30 < (Y[found.test] == 1).sum() < 70
    same, other = split_case(recipe(), Y, Case(0, 0.0)), split_case(recipe(), Y, Case(1, 0.0))
    np.testing.assert_array_equal(found.test, same.test)
    assert not np.array_equal(found.test, other.test)


def test_anomalies_are_mixed_into_the_fitted_rows_alone() -> None:
    clean, mixed = (split_case(recipe(), Y, Case(0, share)) for share in (0.0, 0.05))
    assert (Y[mixed.training] == 1).mean() == pytest.approx(0.05, abs=0.002)
    assert (Y[mixed.validation] == 0).all()
    np.testing.assert_array_equal(clean.test, mixed.test)


def test_more_anomalies_than_there_are_cannot_be_mixed_in() -> None:
    with pytest.raises(ParameterError, match=r"contamination=0.3 needs 1\d\d anomalies for 4\d\d .* run 0 has"):
        split_case(recipe(), Y, Case(0, 0.3))


def test_only_as_many_anomalies_take_part_as_asked() -> None:
    drawn = [split_case(recipe(n_anomalies=40), Y, Case(run, 0.0)) for run in range(2)]
    tested = [set(found.test[Y[found.test] == 1]) for found in drawn]
    assert all(10 < len(rows) < 30 for rows in tested)
    assert tested[0] != tested[1]


def test_results_have_a_row_for_each_contestant_and_cut(out: Path) -> None:
    found = json.loads((out / "results.json").read_text())
    assert (found["recipe"], found["data"], found["runs"]) == ("thyroid", "38_thyroid.npz", 2)
    assert (found["n_rows"], found["n_anomalies"]) == (400, 40)
    wanted = [(name, rule) for name in CONTESTANTS for rule in ("published", "honest")]
    assert [(row["detector"], row["rule"]) for row in found["rows"]] == wanted
    for row in found["rows"]:
        for metric in ("f1", "precision", "recall", "auroc", "ap"):
            assert 0 <= row[metric]["mean"] <= 1
            assert row[metric]["sd"] >= 0
    lines = [json.loads(path.read_text())["lines"] for path in sorted((out / "runs").iterdir())]
    f1 = np.array([[line["f1"] for line in of_run] for of_run in lines])
    assert [row["f1"]["mean"] for row in found["rows"]] == pytest.approx(list(f1.mean(axis=0)))
    assert [row["f1"]["sd"] for row in found["rows"]] == pytest.approx(list(f1.std(axis=0, ddof=1)))


def test_the_table_shows_the_published_rows_first(out: Path) -> None:
    lines = (out / "results.md").read_text().splitlines()
    assert lines[4].startswith("| *DAGMM, as published* | published | 0.478 | 0.477 | 0.483 |")
    assert "38_thyroid.npz: 400 rows, 40 anomalies; 2 runs, mean ± sd" in lines[0]
    assert len(lines) == 4 + 3 + 2 * len(CONTESTANTS)


def test_the_published_cut_flags_the_known_share_and_the_honest_one_knows_no_test_row(out: Path, folder: Path) -> None:
    artifact = Artifact.load(out / "model")
    found = split_case(recipe(), (np.arange(400) < 40).astype(float), Case(1, 0.0))
    table = LabelledTable.read(recipe(), folder).table
    scores = artifact.detector.anomaly_score(table.take(found.test))
    validation_scores = artifact.detector.anomaly_score(table.take(found.validation))
    assert artifact.threshold.fingerprint is not None
    assert artifact.threshold.fingerprint.n_rows == len(found.validation)
    assert artifact.threshold.value == pytest.approx(np.quantile(validation_scores, 0.99, method="higher"), rel=1e-6)
    lines = json.loads((out / "runs" / "run-01-0.json").read_text())["lines"]
    truth = found.test < 40
    for line, cut in zip(lines, (np.quantile(scores, 0.9), artifact.threshold.value), strict=False):
        alerts = scores >= cut
        assert line["precision"] == pytest.approx((alerts & truth).sum() / max(alerts.sum(), 1))
        assert line["recall"] == pytest.approx((alerts & truth).sum() / truth.sum())


def test_what_is_there_is_not_run_again(out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> Any:
        raise AssertionError("nothing was to be fitted")

    before = (out / "results.json").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(detection_runner, "fit_models", never)
        run_recipe(recipe(), folder, out, 2, tell=quiet)
    assert (out / "results.json").read_text() == before


def test_an_interrupted_recipe_goes_on_where_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection_runner, "TOGETHER_BYTES", 1)
    usual, fitted = detection_runner.fit_models, []

    def stop_in_the_second_run(name: str, *rest: Any) -> Any:
        fitted.append(name)
        if len(fitted) == len(CONTESTANTS) + 2:
            raise KeyboardInterrupt
        return usual(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(detection_runner, "fit_models", stop_in_the_second_run)
        with pytest.raises(TrainingError, match=r"The finished runs are kept in .* to continue from there"):
            run_recipe(recipe(), folder, tmp_path, None, tell=quiet)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["run-00-0.json", "run-01-0.json"]
    assert not (tmp_path / "results.json").exists()
    told: list[str] = []
    fitted.clear()

    def fit(name: str, *rest: Any) -> Any:
        fitted.append(name)
        return usual(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(detection_runner, "fit_models", fit)
        results = run_recipe(recipe(), folder, tmp_path, None, tell=told.append)
    assert any(line.startswith("1 of 2 runs are in") for line in told)
    assert fitted == [*CONTESTANTS[1:]], "what was measured before is not fitted again"
    whole = run_recipe(recipe(), folder, tmp_path / "whole", None, tell=quiet)
    assert _without_times(results) == _without_times(whole)


def _without_times(results: Results) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in results.rows]


def test_a_folder_with_something_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "results.md").write_text("mine")
    with pytest.raises(ArtifactError, match="this folder holds no results of a recipe"):
        run_recipe(recipe(), folder, tmp_path, None, tell=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["results.md"]


def test_a_model_that_is_gone_is_made_again_with_the_last_run(folder: Path, tmp_path: Path) -> None:
    quick = recipe(contestants=["dagmm"])
    run_recipe(quick, folder, tmp_path, 2, tell=quiet)
    first = Artifact.load(tmp_path / "model")
    shutil.rmtree(tmp_path / "model")
    told: list[str] = []
    run_recipe(quick, folder, tmp_path, 2, tell=told.append)
    assert any(line.startswith("1 of 2 runs are in") for line in told)
    assert Artifact.load(tmp_path / "model").origin == first.origin
    assert first.origin is not None
    assert first.origin.seed == 1


def test_a_report_that_cannot_be_drawn_costs_no_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **named: Any) -> Any:
        raise ParameterError("plots need matplotlib")

    monkeypatch.setattr("oddrow.recipes.runner.check_packages", refuse)
    told: list[str] = []
    run_recipe(recipe(contestants=["dagmm"]), folder, tmp_path, 1, tell=told.append)
    assert "No report: plots need matplotlib" in told
    assert {"results.json", "model"} <= {path.name for path in tmp_path.iterdir()}


def test_a_training_that_fails_names_its_run(folder: Path, tmp_path: Path) -> None:
    wild = values() | {"training": {"epochs": 3, "learning_rate": 1e38, "clip_norm": "none"}}
    with pytest.raises(TrainingError, match="dagmm in run 0, 1: the loss stopped being finite"):
        run_recipe(Recipe.from_dict("thyroid", wild), folder, tmp_path, 2, tell=quiet)


def test_synthetic_rows_are_not_tested_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"a": rng.normal(size=200), "y": [1, 0] * 100, "oddrow_synthetic": [True] + [False] * 199})
    frame.write_parquet(tmp_path / "rows.parquet")
    changed = values() | {"data": {"files": ["rows.parquet"], "where": "nowhere"}}
    changed["protocol"] = {"known_ratio": 0.5, "runs": 4, "contestants": ["mahalanobis"]}
    with pytest.raises(EvaluationError, match="test rows are synthetic"):
        run_recipe(Recipe.from_dict("mine", changed), tmp_path, tmp_path / "out", None, tell=quiet)


def test_the_model_of_a_joined_recipe_scores_and_is_evaluated_like_any_other(oddrow: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(300) < 60).astype(int)
    rows = pl.DataFrame({"id": np.arange(300), "amount": rng.normal(size=300) + 5 * y, "y": y})
    rows.write_csv(tmp_path / "rows.csv")
    rows.select("id", pl.Series("device", rng.choice(["a", "b"], 300))).write_csv(tmp_path / "devices.csv")
    changed = values() | {"label": "y", "drop": ["id"]}
    changed["protocol"] = {"known_ratio": 0.2, "runs": 1, "contestants": ["dagmm"]}
    changed["training"] = {"epochs": 2}
    where = {"files": ["rows.csv"], "join_files": ["devices.csv"], "on": "id", "where": "nowhere"}
    run_recipe(Recipe.from_dict("mine", changed | {"data": where}), tmp_path, tmp_path / "out", None, tell=quiet)
    model, joined = tmp_path / "out" / "model", ["--join", tmp_path / "devices.csv"]
    ran = oddrow("score", tmp_path / "rows.csv", "--model", model, *joined, "--out", tmp_path / "scores.csv")
    assert (ran.code, pl.read_csv(tmp_path / "scores.csv").height) == (0, 300)
    ran = oddrow("evaluate", tmp_path / "rows.csv", "--model", model, *joined)
    assert ran.code == 0
    assert "a recipe drew them" in " ".join(ran.out.split())
    assert "The threshold was given" not in ran.out


def test_results_of_other_settings_are_not_taken_for_these(out: Path, folder: Path) -> None:
    other = recipe(known_ratio=0.2)
    with pytest.raises(ArtifactError, match="written by another recipe or from other data"):
        run_recipe(other, folder, out, None, tell=quiet)


@pytest.mark.parametrize(
    "damaged",
    ["{", "[]", '{"signature": "s"}', '{"signature": "s", "lines": 3}', '{"signature": "s", "lines": [{"f1": 1}]}'],
)
def test_a_damaged_run_is_named(folder: Path, tmp_path: Path, damaged: str) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run-00-0.json").write_text(damaged)
    with pytest.raises(ArtifactError, match=r"run-00-0.json: cannot be read .* Delete this file to run it again"):
        run_recipe(recipe(), folder, tmp_path, None, tell=quiet)


def test_no_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="runs=0 is not a whole number of at least 1"):
        run_recipe(recipe(), folder, tmp_path, 0, tell=quiet)


def test_a_recipe_of_several_contaminations_has_a_column_for_each(folder: Path, tmp_path: Path) -> None:
    several = recipe(contamination=[0.0, 0.04], contestants=["mahalanobis"], runs=1)
    results = run_recipe(several, folder, tmp_path, None, tell=quiet)
    assert [row["contamination"] for row in results.rows] == [0.0, 0.0, 0.04, 0.04]
    lines = results.to_markdown().splitlines()
    assert lines[2] == "| F1 | cut | 0% | 4% |"
    assert "1 run;" in lines[0]
    means = [f"{row['f1']['mean']:.3f}" for row in results.rows]
    assert lines[-2:] == [
        f"| mahalanobis | published | {means[0]} | {means[2]} |",
        f"| mahalanobis | honest | {means[1]} | {means[3]} |",
    ]
    assert {line.count("|") for line in lines[2:]} == {5}


def test_the_command_line_runs_a_recipe(
    oddrow: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oddrow.recipes.recipe.load_recipe", lambda name: replace(recipe(), name=name))
    ran = oddrow("recipe", "thyroid", "--data", folder, "--out", tmp_path / "out", "--runs", 1)
    assert ran.code == 0
    assert "| dagmm | published |" in ran.out
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"results.json", "results.md", "model", "runs", "report.html"} <= written
    ran = oddrow("recipe", "thyroid", "--data", tmp_path, "--out", tmp_path / "out")
    assert ran.code == 1
    assert ran.err.startswith("TableError: ")
