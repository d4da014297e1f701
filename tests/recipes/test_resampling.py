"""The resampling recipe: what was published falls to what is real; both say how many test frauds are made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.errors import ParameterError, TableError
from oddrow.recipes import resampling_runner
from oddrow.recipes.labelled_table import LabelledTable
from oddrow.recipes.recipe import Recipe, ResamplingProtocol, load_recipe, recipe_values
from oddrow.recipes.resampling_runner import CLASSIFIERS, ResamplingRunner
from oddrow.recipes.run import run_recipe


def quiet(message: Any) -> None:
    """Tell nobody."""


def recipe(**protocol: Any) -> Recipe[ResamplingProtocol]:
    """The shipped one, with fewer made-up rows."""
    values = recipe_values("creditcard-cvae")
    return Recipe.from_dict("creditcard-cvae", values | {"protocol": {"n_generated": 1000, "runs": 2, **protocol}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second file's form: 40 frauds that can hardly be told from 800 normal rows, a quarter of which were drawn."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(840) < 40)
    names = [f"V{column}" for column in range(1, 29)]
    numbers = {name: rng.normal(size=840) + 0.6 * y * (name == "V1") for name in names}
    frame = pl.DataFrame(
        {
            "Time": np.sort(rng.uniform(0, 172_800, 840)).round(),
            **numbers,
            "Amount": rng.lognormal(3, 1, 840).round(2),
            "Class": y.astype(int),
            "row": np.arange(840),
            "in_neg_random": ~y & (np.cumsum(~y) % 4 == 0),
        }
    )
    place = tmp_path_factory.mktemp("data")
    frame.write_parquet(place / "creditcard_union.parquet")
    return place


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out")
    run_recipe(recipe(), folder, place, None, tell=quiet)
    return place


@pytest.fixture(scope="module")
def rows(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads((out / "results.json").read_text())["rows"]
    return {(row["detector"], row["rule"]): row for row in found}


def test_a_sample_of_the_normal_rows_stands_for_all(folder: Path) -> None:
    data = LabelledTable.read(recipe(), folder)
    assert data.table.n_rows == 40 + 200
    assert set(data.table.columns) == {*(f"V{column}" for column in range(1, 29)), "Time", "Amount"}
    assert data.outcomes.weight is not None
    assert set(data.outcomes.weight[data.y == 1]) == {1.0}
    assert data.outcomes.weight[data.y == 0].sum() == pytest.approx(284_315)


def test_the_public_file_has_no_weights(folder: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(folder / "creditcard_union.parquet").drop("row", "in_neg_random")
    frame.write_csv(tmp_path / "creditcard.csv")
    data = LabelledTable.read(recipe(), tmp_path)
    assert data.table.n_rows == 840
    assert data.outcomes.weight is None


def test_a_file_that_lacks_a_column_of_the_public_one_is_refused(folder: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(folder / "creditcard_union.parquet")
    frame.drop("V7").write_parquet(tmp_path / "creditcard_union.parquet")
    with pytest.raises(TableError, match="column 'V7' is not in the table"):
        LabelledTable.read(recipe(), tmp_path)
    frame.drop("Class").write_parquet(tmp_path / "creditcard_union.parquet")
    with pytest.raises(TableError, match="--label: column 'Class' is not in the table"):
        LabelledTable.read(recipe(), tmp_path)


def test_as_published_almost_all_test_frauds_are_made_up_and_the_figure_is_theirs(
    rows: dict[tuple[str, str], dict[str, Any]],
) -> None:
    published = rows["CVAE, logistic regression", "published"]
    assert published["synthetic_share"]["mean"] == pytest.approx(1000 / 1040, abs=0.01)
    assert published["f1"]["mean"] > 0.5
    alone = rows["CVAE, logistic regression: real test frauds alone", "published"]
    assert alone["synthetic_share"]["mean"] == 0
    assert alone["f1"]["mean"] < 0.2


def test_honest_rows_have_no_made_up_row_in_the_test(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    honest = [row for (_, rule), row in rows.items() if rule == "honest"]
    names = {row["detector"] for row in honest}
    assert names == {
        f"{how}, {classifier}" for how in ("nothing", "under-sampling", "CVAE") for classifier in CLASSIFIERS
    }
    assert all(row["synthetic_share"]["mean"] == 0 for row in honest)
    assert all(row["ap"]["mean"] < 0.5 for row in honest), "these frauds can hardly be told"


def test_under_sampling_before_the_division_flatters_too(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    name = "under-sampling, logistic regression"
    assert rows[name, "published"]["f1"]["mean"] > 2 * rows[name, "honest"]["f1"]["mean"]


def test_table_and_pictures(out: Path) -> None:
    lines = (out / "results.md").read_text().splitlines()
    assert lines[2] == "| | cut | F1 | precision | recall | AUROC | AP | synthetic among test frauds |"
    assert lines[4].startswith("| *CVAE, logistic regression, as published* | published | 0.921 | 0.866 | 0.984 |")
    drawn = {path.stem for path in out.glob("*.svg")}
    assert {"losses-as-published", "losses-honest"} < drawn
    assert len([name for name in drawn if name.startswith("marginals-")]) == 4
    page = (out / "report.html").read_text()
    assert page.count('<img src="data:image/svg+xml;base64,') == 6
    assert "CVAE, logistic regression, as published" in page


def test_what_is_there_is_not_run_again(out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> Any:
        raise AssertionError("nothing was to be fitted")

    before = (out / "results.json").read_text()
    monkeypatch.setattr(resampling_runner, "default_classifiers", never)
    run_recipe(recipe(), folder, out, 2, tell=quiet)
    assert (out / "results.json").read_text() == before


def test_a_run_is_the_same_when_run_again(folder: Path, out: Path, tmp_path: Path) -> None:
    runs = ResamplingRunner(recipe(), LabelledTable.read(recipe(), folder), tmp_path, quiet)
    runs.run(1)
    once, again = (json.loads((place / "runs" / "run-00.json").read_text())["lines"] for place in (out, tmp_path))
    for first, second in zip(once, again, strict=True):
        assert {k: v for k, v in first.items() if not k.endswith("_s")} == {
            k: v for k, v in second.items() if not k.endswith("_s")
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "resampled"},
            "kind='resampled' is not one of .*. Did you mean 'resampling'",
        ),
        ({"protocol": {"n_generated": 0}}, "protocol.n_generated=0 is not"),
        ({"protocol": {"n_generated": 10, "test_share": 1.5}}, "protocol.test_share=1.5 is not"),
        ({"protocol": {"known_ratio": 0.1}}, "unknown key 'protocol.known_ratio'"),
        ({"training": {"epochs": 3}}, "'training' has no effect in a resampling recipe"),
        ({"data": {"files": ["a.csv"], "where": "there", "sample": "drawn"}}, "a sample needs both"),
    ],
)
def test_unknown_values_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Recipe.from_dict("mine", {**recipe_values("creditcard-cvae"), **change})


def test_the_shipped_recipe_says_what_was_published() -> None:
    shipped = load_recipe("creditcard-cvae")
    assert shipped.protocol == ResamplingProtocol(n_generated=10_000, runs=5, test_share=0.25)
    assert [(row.f1, row.precision, row.recall) for row in shipped.published] == [(0.9214, 0.8664, 0.9840)]
