"""Recipes as data: closed names, files found, what the shipped ones say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from oddrow.cli.app import RECIPES
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.errors import ParameterError, TableError
from oddrow.recipes.recipe import DetectionProtocol, Recipe, known_recipes, load_recipe, recipe_values


def values(name: str = "thyroid") -> dict[str, Any]:
    """A shipped recipe as plain values, to be changed."""
    return recipe_values(name)


def test_all_recipes_load_and_stand_beside_published_rows() -> None:
    names = known_recipes()
    assert set(RECIPES.split(", ")) == set(names), "the help names them all"
    for name in names:
        recipe = load_recipe(name)
        assert recipe.published or name in ("ieee-cis", "ecg")
        if isinstance(recipe.protocol, DetectionProtocol):
            detector = recipe.settings.new_detector()
            assert not isinstance(detector, DAGMMDetector) or detector.n_components >= 2
            assert isinstance(detector, DAGMMDetector) == (recipe.settings.detector == "dagmm")
            rules = {row.rule for row in recipe.published if row.rule != "published"}
            assert rules <= {cut.name for cut in recipe.cuts}, "what was published stands beside ours by the same rule"


def test_a_recipe_may_extend_another_section_by_section() -> None:
    base, turned = load_recipe("kdd99"), load_recipe("kdd99-rev")
    assert (turned.data, turned.settings.read, turned.settings.kinds) == (
        base.data,
        base.settings.read,
        base.settings.kinds,
    )
    assert (base.settings.roles.anomaly, base.settings.roles.normal) == (("normal.",), ())
    assert (turned.settings.roles.anomaly, turned.settings.roles.normal) == ((), ("normal.",))
    assert (turned.protocol.known_ratio, turned.protocol.n_anomalies) == (0.2, 24_319)
    own = {"latent": 3, "features": ["distance", "cosine"], "lambda_covariance": 1e-4, "covariance_floor": 1e-3}
    assert turned.settings.parameters == {**base.settings.parameters, **own}
    assert [row.f1 for row in turned.published] == [0.9380, 0.3828]


def test_another_name_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"recipe='kdd9' is not one of .*Did you mean 'kdd99'"):
        load_recipe("kdd9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": {"known_ratio": 0.1, "run": 3}}, "unknown key 'protocol.run'. Did you mean 'runs'"),
        ({"protocol": {}}, "the published threshold is missing"),
        ({"protocol": {"known_ratio": 0.1, "train_share": 1}}, "protocol.train_share=1 is not"),
        ({"protocol": {"known_ratio": 0.1, "metrics": ["acuracy"]}}, "Did you mean 'accuracy'"),
        ({"cut": [{"name": "a", "rule": "fixd:3"}]}, "'fixd' is not one of .* Did you mean 'fixed'"),
        ({"cut": [{"name": "a", "rule": "fixed:3", "rows": "tst"}]}, "cut.rows='tst' is not one of test, train"),
        ({"cut": [{"name": "a", "rul": "fixed:3"}]}, "unknown key 'cut\\[0\\].rul'. Did you mean 'rule'"),
        ({"protocol": {"known_ratio": 2}}, "protocol.known_ratio=2 is not"),
        ({"protocol": {"known_ratio": 0.1, "contestants": ["dagm"]}}, "'dagm' is not one of .* Did you mean 'dagmm'"),
        ({"detector": {"name": "dagmm", "latnt": 2}}, "unknown key 'detector.latnt'. Did you mean 'latent'"),
        ({"labels": "y"}, "unknown key 'labels'. Did you mean 'label'"),
        ({"data": {"file": ["a.mat"], "where": "there"}}, "unknown key 'data.file'. Did you mean 'files'"),
        ({"data": {"files": ["a.mat"], "where": "there", "on": "id"}}, "join_files and data.on: a join needs both"),
        ({"seed": 3}, "recipe mine: 'seed' cannot be set in a recipe"),
        ({"time": "when"}, "'time' cannot be set in a recipe"),
        ({"training": {"validation_fraction": 0.2}}, "'training.validation_fraction' cannot be set"),
        ({"threshold": "false-discoveries:0.1"}, "needs one threshold, but with false-discoveries:0.1 alerts depend"),
        ({"threshold": "quantile:0.99@train"}, "chooses its threshold on held-out rows"),
        ({"detector": {"name": "dagmm"}}, "detector.hidden is missing"),
    ],
)
def test_unknown_keys_and_values_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Recipe.from_dict("mine", {**values(), **change})


def test_a_recipe_lacking_a_part_is_refused() -> None:
    without = {key: value for key, value in values().items() if key != "protocol"}
    with pytest.raises(ParameterError, match="recipe mine: 'protocol' is missing"):
        Recipe.from_dict("mine", without)


def test_files_are_found_in_the_folder_or_one_level_below_the_public_name_first(tmp_path: Path) -> None:
    recipe = load_recipe("thyroid")
    (tmp_path / "odds").mkdir()
    (tmp_path / "38_thyroid.npz").touch()
    assert recipe.find(tmp_path) == (tmp_path / "38_thyroid.npz", None)
    (tmp_path / "odds" / "thyroid.mat").touch()
    assert recipe.find(tmp_path) == (tmp_path / "odds" / "thyroid.mat", None)


def test_an_absent_file_is_named_with_the_place_where_it_is_public(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"found no thyroid.mat or 38_thyroid.npz, here .* from https"):
        load_recipe("thyroid").find(tmp_path)
    with pytest.raises(TableError, match="there is no such folder"):
        load_recipe("thyroid").find(tmp_path / "absent")
    (tmp_path / "train_transaction.csv").touch()
    with pytest.raises(TableError, match=r"found no train_identity.csv or train_identity.parquet, here"):
        load_recipe("ieee-cis").find(tmp_path)


def test_kdd99_becomes_the_120_columns_of_the_paper(data: Path) -> None:
    """Whichever rows train: the levels are those of the file."""
    from oddrow.recipes.detection_runner import DetectionRunner
    from oddrow.recipes.labelled_table import LabelledTable

    recipe = load_recipe("kdd99")
    rows = LabelledTable.read(recipe, data)
    table, y = rows.table, rows.y
    experiment = DetectionRunner(recipe, rows, Path("unused"), print)
    encoder = experiment.recipe.settings.new_detector().encoder
    assert encoder is not None
    assert (table.n_rows, int((y == 1).sum())) == (494_021, 97_278)
    frame = table.fitted_schema().conform(table.frame)
    encoded = encoder.fit(frame[:1000], table.fitted_schema()).transform(frame[-1000:])
    assert encoded.numbers.shape == (1000, 120)
    assert encoded.categories.shape == (1000, 0)
    symbols = encoded.numbers[:, 34:]
    assert set(symbols.ravel()) == {0.0, 1.0}
    assert (symbols.sum(axis=1) == 6).all()
    assert isinstance(table.frame, pl.DataFrame)


def test_recipes_are_listed_with_a_line_each(oddrow: Any) -> None:
    ran = oddrow("recipe", "--list")
    assert ran.code == 0, ran.err
    assert [line.split()[0] for line in ran.out.splitlines()] == known_recipes()
    assert "creditcard.csv" in ran.out
    ran = oddrow("recipe", "thyroid")
    assert ran.code == 1
    assert "recipe needs NAME --data FOLDER --out FOLDER. To see the names: oddrow recipe --list" in ran.err
