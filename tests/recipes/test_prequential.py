"""The prequential recipe: weeks as the Handbook divides them, everybody measured, runs kept, parts gathered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.encoding.numeric_matrix import NumericMatrix
from oddrow.errors import EvaluationError, ParameterError, TableError
from oddrow.recipes import prequential_runner
from oddrow.recipes.prequential_runner import Transactions
from oddrow.recipes.recipe import Recipe, load_recipe, recipe_values
from oddrow.recipes.run import run_recipe
from oddrow.simulation import simulate

COLUMNS = {
    "transaction_id": "TRANSACTION_ID",
    "time": "TX_DATETIME",
    "customer_id": "CUSTOMER_ID",
    "terminal_id": "TERMINAL_ID",
    "amount": "TX_AMOUNT",
    "is_fraud": "TX_FRAUD",
}
PARTS = {"one": ["2018-05-08"], "two": ["2018-05-08", "2018-05-10"]}
PROTOCOL = {"spans": "4d,2d,3d", "tuned_from": ["2018-05-04"], "parts": PARTS, "runs": 1}


def quiet(message: Any) -> None:
    """Tell nobody."""


def recipe(**change: Any) -> Recipe[Any]:
    """The shipped one, with shorter spans."""
    return Recipe.from_dict("handbook", recipe_values("handbook") | {"protocol": PROTOCOL} | change)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = simulate(12_000, random_state=1, start="2018-05-01", n_days=20)
    place = tmp_path_factory.mktemp("data")
    named = rows.select(pl.col(name).alias(public) for name, public in COLUMNS.items())
    named.with_columns(TX_FRAUD_SCENARIO=pl.lit(1)).write_parquet(place / "fdh_transformed.parquet")
    return place


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out")
    quick = recipe(training={"epochs": 2, "batch_size": 512})
    run_recipe(quick, folder, place, None, tell=quiet)
    return place


def test_a_fold_is_the_weeks_without_cards_known_by_then(folder: Path) -> None:
    rows = Transactions.read(recipe(), folder)
    fold = rows.fold("2018-05-08")
    time, entity, y = rows.data.outcomes.time, rows.data.outcomes.entity, rows.data.y
    assert time is not None
    assert entity is not None
    days = time / 86_400
    first = days.min() // 1 + 7
    assert (days[fold.train] // 1).min() - first == 0
    assert (days[fold.train] // 1).max() - first == 3
    assert {*(days[fold.test] // 1 - first)} == {6, 7, 8}
    frauds = y == 1
    for row in fold.test:
        of_card = frauds & (entity == entity[row]) & (days >= first)
        assert not (of_card & (days < days[row] // 1 - 2)).any()
        assert not (of_card & (days < first + 4)).any()
    names = rows.data.table.fitted_schema().feature_names
    assert len(names) == 15
    assert {"TX_AMOUNT", "is_night", "TERMINAL_ID_risk_30d_7d_ago"} <= set(names)


def test_everybody_is_measured_in_every_part(out: Path) -> None:
    told = json.loads((out / "results.json").read_text())
    found = {(row["detector"], row["rule"]): row for row in told["rows"]}
    names = {name for name, _ in found}
    assert {"logistic regression", "random forest", "Mahalanobis, no labels", "untrained copy, no labels"} <= names
    assert {name for name in names if name.startswith("autoencoder")} == {
        "autoencoder, no labels",
        "autoencoder, no labels, trim 0.05",
        "autoencoder, known frauds left out",
        "autoencoder, learns from known frauds",
    }
    assert {rule for _, rule in found} == {"one", "two"}
    for row in found.values():
        assert 0 <= row["ap"]["mean"] <= 1
    folds = [json.loads(path.read_text())["lines"] for path in sorted((out / "runs").glob("run-00-*.json"))]
    assert len(folds) == 2
    lines = [next(line for line in fold if line["detector"] == "random forest") for fold in folds]
    assert found["random forest", "two"]["ap"]["mean"] == pytest.approx(np.mean([line["ap"] for line in lines]))
    assert found["random forest", "one"]["ap"]["mean"] == lines[0]["ap"]


def test_published_rows_stand_beside(out: Path) -> None:
    text = (out / "results.md").read_text()
    assert "| | tested on | AUROC | AP | CP@100 |" in text
    assert "| *autoencoder, as published* | validation week | 0.836 | 0.180 | 0.217 |" in text
    assert "±" in text, "two folds have a spread"


def test_what_was_measured_is_not_measured_again(folder: Path, out: Path) -> None:
    path = out / "runs" / "run-00-2018-05-08.json"
    saved = json.loads(path.read_text())
    saved["lines"][0]["ap"] = 0.123
    path.write_text(json.dumps(saved))
    again = run_recipe(recipe(training={"epochs": 2, "batch_size": 512}), folder, out, None, tell=quiet)
    assert any(row["ap"]["mean"] == 0.123 for row in again.rows)


def test_tuning_takes_the_best_of_the_grid_on_earlier_weeks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Transactions.read(recipe(), folder)
    fold = rows.fold("2018-05-04")
    week = prequential_runner.FoldData.of(rows.data, fold, 0)
    monkeypatch.setattr(prequential_runner, "TUNED", "gradient boosting")
    monkeypatch.setattr(prequential_runner, "GRID", {"max_iter": (1, 30)})
    told: list[str] = []
    best = prequential_runner.tune([week], told.append)
    assert best in ({"max_iter": 1}, {"max_iter": 30})
    found = {n: prequential_runner._tuning_score({"max_iter": n}, *_numbers(week)) for n in (1, 30)}
    assert best == {"max_iter": max(found, key=lambda n: found[n])}
    monkeypatch.setattr(prequential_runner, "TUNED", "nobody")
    assert prequential_runner.tune([week], told.append) is None
    assert "is not installed" in told[-1]


def _numbers(week: prequential_runner.FoldData) -> tuple[Any, Any, Any, Any]:
    numbers = NumericMatrix(week.train)
    return numbers(week.train), week.y, numbers(week.test), week.outcomes.labels


def test_weeks_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    late = recipe(protocol={**PROTOCOL, "parts": {"late": ["2018-06-30"]}})
    with pytest.raises(EvaluationError, match="too little for"):
        run_recipe(late, folder, tmp_path / "out", None, tell=quiet)
    rows = pl.read_parquet(folder / "fdh_transformed.parquet")
    calm = pl.when(pl.col("TX_DATETIME") >= pl.datetime(2018, 5, 14)).then(0).otherwise("TX_FRAUD")
    (tmp_path / "calm").mkdir()
    rows.with_columns(TX_FRAUD=calm).write_parquet(tmp_path / "calm" / "fdh_transformed.parquet")
    with pytest.raises(EvaluationError, match=r"no anomaly among its .* test rows"):
        run_recipe(recipe(), tmp_path / "calm", tmp_path / "out2", None, tell=quiet)
    with pytest.raises(TableError, match=r"here or one level below. Get .* from https"):
        run_recipe(recipe(), tmp_path / "out2", tmp_path / "out3", None, tell=quiet)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entity": None}, "needs both time and entity"),
        ({"detector": "dagmm"}, "a prequential recipe needs 'autoencoder'"),
        ({"id": "TRANSACTION_ID"}, "'id' cannot be set in a recipe"),
        ({"protocol": {**PROTOCOL, "runs": 0}}, "protocol.runs=0"),
        ({"protocol": {**PROTOCOL, "spams": "1d"}}, "unknown key 'protocol.spams'. Did you mean 'spans'"),
    ],
)
def test_a_recipe_that_means_nothing(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        recipe(**change)


def test_the_shipped_recipe_is_the_books() -> None:
    shipped = load_recipe("handbook")
    assert shipped.protocol.spans == "7d,7d,7d"
    assert [row.method for row in shipped.published if row.rule == "test week"] == [
        "logistic regression",
        "random forest",
        "XGBoost",
    ]


def test_the_books_counts(data: Path) -> None:
    rows = Transactions.read(load_recipe("handbook"), data)
    fold = rows.fold("2018-07-25")
    assert (len(fold.train), int(rows.data.y[fold.train].sum())) == (67_240, 598)
    assert (len(fold.test), int(rows.data.y[fold.test].sum())) == (58_264, 385)
