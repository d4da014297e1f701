"""The command line as a user meets it: every command, what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.artifact import Artifact
from oddrow.cli.app import RULE_NAMES
from oddrow.errors import counted
from oddrow.thresholds.rule import RULES

COMMANDS = ("inspect", "fit", "score", "evaluate", "compare", "recipe", "simulate", "demo")
HEAVY = {"jax", "sklearn", "polars", "numpy", "pandas", "equinox", "safetensors"}

Oddrow = Callable[..., Any]
Options = tuple[str, ...]


def python(code: str) -> str:
    """Run some Python in a process of its own and return what it printed."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Help and exit codes


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = f"""
import sys
from oddrow.cli.app import main
for arguments in (["--help"], *([command, "--help"] for command in {COMMANDS})):
    try:
        main(arguments)
    except SystemExit as exit:
        assert exit.code == 0, arguments
print("LOADED", *({HEAVY!r} & sys.modules.keys()))
"""
    lines = python(code).splitlines()
    assert lines[-1].split() == ["LOADED"]
    assert all(any(command in line.split() for line in lines) for command in COMMANDS)


def test_the_help_names_every_threshold_rule() -> None:
    assert RULE_NAMES.split(", ") == list(RULES)


def test_importing_oddrow_brings_neither_jax_nor_scikit_learn() -> None:
    code = f"import sys, oddrow; oddrow.__version__; print(*({HEAVY!r} & sys.modules.keys()))"
    assert python(code).split() == []
    import oddrow

    package: Any = oddrow
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="No oddrow attribute Detektor"):
        package.Detektor  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "a.csv"], "Missing option '--out'"),
        (["fit", "--out", "m"], "Missing argument"),
        (["score", "a.csv", "--out", "s.csv"], "Missing option '--model'"),
        (["fit", "a.csv", "--out", "m", "--labl", "y"], "No such option"),
        (["fti", "a.csv"], "No such command"),
        (["simulate", "--rows", "many", "--out", "a.csv"], "Invalid value"),
    ],
)
def test_what_cannot_be_parsed_is_exit_code_2(arguments: list[str], said: str, oddrow: Oddrow) -> None:
    ran = oddrow(*arguments)
    assert ran.code == 2
    assert said in ran.err


def test_what_oddrow_refuses_is_exit_code_1_and_one_message(oddrow: Oddrow, tmp_path: Path) -> None:
    ran = oddrow("inspect", tmp_path / "nothing.csv")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err == f"TableError: {tmp_path / 'nothing.csv'}: there is no such file.\n"


def test_a_reader_that_goes_away_ends_the_command_quietly(mixed_csv: Path) -> None:
    command = [sys.executable, "-c", "from oddrow.cli.app import main; main()", "inspect", str(mixed_csv)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


# compare


def test_compare_tries_every_sampler_and_says_in_words(oddrow: Oddrow, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(300) % 10 == 0).astype(int)
    shop = np.where(rng.random(300) < 0.3 + 0.4 * y, "web", "books")
    amount = np.where(rng.random(300) < 0.05, np.nan, (rng.normal(30, 5, 300) + 5 * y).round(2))
    frame = pl.DataFrame({"amount": amount, "shop": shop, "fraud": y, "n": 1 + 7.0 * (1 - y)})
    frame.with_columns(pl.col("amount").fill_nan(None)).write_csv(tmp_path / "rows.csv")
    written = "--json", tmp_path / "c.json", "--markdown", tmp_path / "c.md"
    options = "--label", "fraud", "--weight", "n", "--folds", 2, "--set", "training.epochs=1", *written
    ran = oddrow("compare", tmp_path / "rows.csv", *options)
    assert ran.code == 0
    found = json.loads((tmp_path / "c.json").read_text())
    samplers = {cell["sampler"] for cell in found["cells"]}
    assert samplers == {"nothing", "class weights", "under-sampling", "over-sampling", "SMOTE", "ADASYN", "CVAE"}
    assert (found["n_folds"], found["n_anomalies"], found["n_test"]) == (2, 30, [150, 150])
    assert re.search(r"- CVAE: (helps|hurts|makes|no difference)[a-z ]* here, [+-]0\.\d{3} average precision", ran.out)
    assert (tmp_path / "c.md").read_text().strip() in ran.out


# inspect


def test_inspect_tells_every_kind_and_why(mixed_csv: Path, oddrow: Oddrow) -> None:
    ran = oddrow("inspect", mixed_csv)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"{mixed_csv}: 600 rows, 8 columns"
    kinds = {line.split()[0]: line.split()[1] for line in lines[2:10]}
    assert kinds == {
        "row_id": "identifier",
        "amount": "numeric",
        "fee": "numeric",
        "age": "numeric",
        "shop": "category",
        "online": "boolean",
        "time": "time",
        "fraud": "numeric",
    }
    assert "text with 3 different values" in ran.out
    assert "'row_id' is not used: it looks like an identifier" in lines[-1]
    assert "--set schema.row_id=category" in lines[-1]


def test_inspect_follows_settings_and_refuses_nothing(oddrow: Oddrow, tmp_path: Path) -> None:
    rows = ["3.5"] * 99 + ["?"]
    (tmp_path / "a.csv").write_text("\n".join(f"{n + 0.5},{text}" for n, text in enumerate(rows)) + "\n")
    (tmp_path / "a.toml").write_text("[schema]\nx = 'category'\n")
    ran = oddrow("inspect", tmp_path / "a.csv", "--set", "table.names=x,y", "--config", tmp_path / "a.toml")
    assert ran.code == 0
    assert "set by you" in ran.out
    assert "text that reads as numbers, except 1 value" in ran.out
    assert "fit would refuse this table:\ncolumn 'y': 1 of 100 values cannot be read as numbers (row 99 '?')" in ran.out


def test_column_names_are_printed_as_they_are(oddrow: Oddrow, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("[red],a[/b],:apple:\n1.5,2.5,3.5\n2.5,3.5,4.5\n")
    ran = oddrow("inspect", tmp_path / "a.csv")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == ["[red]", "a[/b]", ":apple:"]


# fit


def test_fit_saves_a_model_and_says_what_it_did(
    mixed_csv: Path, fit_options: Options, oddrow: Oddrow, tmp_path: Path
) -> None:
    ran = oddrow("fit", mixed_csv, "--out", tmp_path / "m", *fit_options, "--seed", 3)
    assert ran.code == 0, ran.err
    assert names_in(tmp_path) == ["m"]
    assert names_in(tmp_path / "m") == ["card.md", "manifest.json", "tensors.safetensors"]
    found = re.search(
        r"Fitted to (\d+) of (\d+) rows in 2 epochs; (\d+) held out, (\d+) known anomalies excluded", ran.out
    )
    assert found is not None
    n_fitted, n_rows, *others = map(int, found.groups())
    assert n_rows == n_fitted + sum(others)
    assert "(quantile:0.99, chosen on validation rows).\n" in ran.out
    assert f"Saved {tmp_path / 'm'}.\n" in ran.out
    assert "used as id" in ran.out
    assert [line.split(":")[0] for line in ran.err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert (manifest["origin"]["seed"], manifest["roles"]["id"]) == (3, "row_id")
    modes = {path.stat().st_mode for path in (tmp_path / "m").iterdir()}
    assert len(modes) == 1, "who may read one file of a model may read the others"


def test_fit_takes_everything_from_a_toml_file_too(mixed_csv: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    (tmp_path / "fit.toml").write_text(
        'label = "shop"\nanomaly = "fuel"\ndrop = "fee,age"\nthreshold = "contamination:0.05@train"\n'
        '[training]\nepochs = 1\n[detector]\nname = "autoencoder"\nhidden = [8]\n[schema]\nrow_id = "numeric"\n'
    )
    options = ("--config", tmp_path / "fit.toml", "--until", "2024-01-10", "--time", "time")
    ran = oddrow("fit", mixed_csv, "--out", tmp_path / "m", *options)
    assert ran.code == 0, ran.err
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert manifest["threshold"]["rule"] == "contamination:0.05"
    assert manifest["threshold"]["source"] == "train"
    assert manifest["origin"]["until"] == "2024-01-10"
    assert manifest["detector"]["parameters"]["hidden"] == [8]
    kinds = {column["name"]: column["kind"] for column in manifest["detector"]["state"]["schema"]["columns"]}
    assert (kinds["row_id"], kinds["shop"], kinds["fee"], kinds["age"]) == ("numeric", *["dropped"] * 3)


def test_fit_replaces_an_older_model_and_nothing_else(
    mixed_csv: Path, fit_options: Options, oddrow: Oddrow, tmp_path: Path
) -> None:
    for seed in (1, 2):
        assert oddrow("fit", mixed_csv, "--out", tmp_path / "m", *fit_options, "--seed", seed).code == 0
    assert names_in(tmp_path) == ["m"]
    assert json.loads((tmp_path / "m" / "manifest.json").read_text())["origin"]["seed"] == 2
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("precious")
    ran = oddrow("fit", mixed_csv, "--out", tmp_path / "notes", *fit_options)
    assert ran.code == 1
    assert "this exists and is not a saved model" in ran.err
    assert names_in(tmp_path / "notes") == ["mine.txt"]


def test_labels_of_test_rows_change_neither_model_nor_threshold(
    mixed: pl.DataFrame, fit_options: Options, oddrow: Oddrow, tmp_path: Path
) -> None:
    cut = pl.col("time") < pl.datetime(2024, 1, 20)
    other = mixed.with_columns(fraud=pl.when(cut).then("fraud").otherwise(1 - pl.col("fraud")))
    for name, frame in (("a", mixed), ("b", other)):
        frame.write_parquet(tmp_path / f"{name}.parquet")
        ran = oddrow("fit", tmp_path / f"{name}.parquet", "--out", tmp_path / name, *fit_options)
        assert ran.code == 0, ran.err
    assert not mixed.equals(other)
    a, b = (tmp_path / name for name in "ab")
    assert (a / "tensors.safetensors").read_bytes() == (b / "tensors.safetensors").read_bytes()
    first, second = (json.loads((folder / "manifest.json").read_text()) for folder in (a, b))
    assert first["threshold"] == second["threshold"]
    assert first["detector"] == second["detector"]


# score


def scored(oddrow: Oddrow, table: Path, model: Path, out: Path, *more: object) -> pl.DataFrame:
    ran = oddrow("score", table, "--model", model, "--out", out, *more)
    assert ran.code == 0, ran.err
    frame = pl.read_csv(out) if out.suffix == ".csv" else pl.read_parquet(out)
    n_alerts = int(frame["alert"].sum())
    assert f"{counted(n_alerts, 'alert')} in {counted(frame.height, 'row')}" in ran.out
    assert ran.out.endswith(f"Wrote {out}.\n")
    return frame


def test_score_writes_the_id_the_score_and_the_alert(
    mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    frame = scored(oddrow, mixed_csv, model, tmp_path / "s.parquet")
    assert frame.schema == {"row_id": pl.Int64, "anomaly_score": pl.Float64, "alert": pl.Boolean}
    assert frame["row_id"].to_list() == list(range(600))
    threshold = json.loads((model / "manifest.json").read_text())["threshold"]["value"]
    assert frame["alert"].to_list() == (frame["anomaly_score"] >= threshold).to_list()
    assert np.isfinite(frame["anomaly_score"].to_numpy()).all()
    assert scored(oddrow, mixed_csv, model, tmp_path / "s.csv").equals(frame)


def test_score_takes_the_rows_of_a_range(mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    whole = scored(oddrow, mixed_csv, model, tmp_path / "all.parquet")
    bounds = ("--from", "2024-01-20", "--until", "2024-01-21T12:00")
    part = scored(oddrow, mixed_csv, model, tmp_path / "part.parquet", *bounds)
    assert part["row_id"].to_list() == list(range(19 * 24, 20 * 24 + 12))
    np.testing.assert_allclose(part["anomaly_score"], whole["anomaly_score"][19 * 24 : 20 * 24 + 12], rtol=1e-5)


def test_without_an_id_rows_are_numbered_as_in_the_whole_table(
    mixed_csv: Path, fit_options: Options, oddrow: Oddrow, tmp_path: Path
) -> None:
    options = [option for option in fit_options if option not in ("--id", "row_id")]
    assert oddrow("fit", mixed_csv, "--out", tmp_path / "m", *options).code == 0
    bounds = ("--time", "time", "--from", "2024-01-03", "--until", "2024-01-04")
    frame = scored(oddrow, mixed_csv, tmp_path / "m", tmp_path / "s.csv", *bounds)
    assert frame.columns == ["row", "anomaly_score", "alert"]
    assert frame["row"].to_list() == list(range(48, 72))


def test_score_keeps_the_mark_of_synthetic_rows(
    mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    marks = pl.Series("oddrow_synthetic", [True] * 5 + [False] * 595)
    mixed.with_columns(marks).write_parquet(tmp_path / "a.parquet")
    frame = scored(oddrow, tmp_path / "a.parquet", model, tmp_path / "s.parquet")
    assert frame["oddrow_synthetic"].to_list() == marks.to_list()


def test_one_row_can_be_scored(mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    mixed[7:8].write_csv(tmp_path / "one.csv")
    assert scored(oddrow, tmp_path / "one.csv", model, tmp_path / "s.csv")["row_id"].to_list() == [7]


# evaluate

NAMES = ["AutoencoderDetector", "IsolationForest", "Mahalanobis", "untrained copy"]


def test_evaluate_stands_beside_the_baselines(mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    ran = oddrow("evaluate", mixed_csv, "--model", model, "--from", "2024-01-20", "--json", out)
    assert ran.code == 0, ran.err
    told = json.loads(out.read_text())
    assert (told["n_rows"], told["notes"]) == (144, [])
    assert [result["name"] for result in told["results"]] == NAMES
    assert f"144 rows, {told['n_anomalies']} anomalies" in ran.out
    for result in told["results"]:
        line = next(line for line in ran.out.splitlines() if line.startswith(f"{result['name']}  "))
        assert f"{result['average_precision']:.3f}" in line
        assert f"{result['auroc']:.3f}" in line
        assert list(result["precision_at"]) == ["10", "100"]
    assert "true alerts" in ran.out


def test_evaluate_tells_how_many_rows_it_has_seen_before(mixed_csv: Path, model: Path, oddrow: Oddrow) -> None:
    ran = oddrow("evaluate", mixed_csv, "--model", model)
    assert ran.code == 0, ran.err
    n_fitted = json.loads((model / "manifest.json").read_text())["origin"]["fingerprint"]["n_rows"]
    assert f"About {n_fitted / 600:.1%} of the test rows equal one of the training rows" in ran.out


def test_evaluate_says_which_rows_have_no_label(
    mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    unknown = pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise("fraud").alias("fraud")
    mixed.with_columns(unknown).write_parquet(tmp_path / "a.parquet")
    ran = oddrow("evaluate", tmp_path / "a.parquet", "--model", model)
    assert ran.code == 0, ran.err
    assert "200 rows have no label: they can be alerts, but the metrics leave them out." in ran.out.splitlines()


def test_evaluate_needs_no_id_and_takes_weights(
    mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    frame = mixed.drop("row_id").with_columns(w=pl.when(pl.col("fraud") == 1).then(1.0).otherwise(8.0))
    frame.write_parquet(tmp_path / "a.parquet")
    weighted = ("--weight", "w", "--json", tmp_path / "e.json")
    assert oddrow("evaluate", tmp_path / "a.parquet", "--model", model, *weighted).code == 0
    told = json.loads((tmp_path / "e.json").read_text())
    n_frauds = int(mixed["fraud"].sum())
    assert told["rate"] == pytest.approx(n_frauds / (n_frauds + 8 * (600 - n_frauds)))


def test_evaluate_stands_alone_where_the_training_rows_are_gone(
    mixed: pl.DataFrame, fit_options: Options, oddrow: Oddrow, tmp_path: Path
) -> None:
    mixed.write_csv(tmp_path / "a.csv")
    mixed.write_csv(tmp_path / "b.csv")
    model = tmp_path / "m"
    assert oddrow("fit", tmp_path / "a.csv", "--out", model, *fit_options).code == 0
    mixed[1:].write_csv(tmp_path / "a.csv")
    ran = oddrow("evaluate", tmp_path / "b.csv", "--model", model)
    assert ran.code == 0, ran.err
    assert "IsolationForest" not in ran.out
    assert "No baselines: " in ran.out
    assert "no longer holds the rows that the model was trained on" in ran.out
    (tmp_path / "a.csv").unlink()
    ran = oddrow("evaluate", tmp_path / "b.csv", "--model", model)
    assert f"No baselines: {tmp_path / 'a.csv'}: there is no such file." in ran.out


# --join


@pytest.fixture(scope="module")
def halves(mixed: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """`mixed` in two files with one key: the second in another order and without every fifth row."""
    folder = tmp_path_factory.mktemp("halves")
    mixed.select("row_id", "amount", "fee", "time", "fraud").write_csv(folder / "left.csv")
    right = mixed.select("row_id", "age", "shop", "online").filter(pl.col("row_id") % 5 > 0)
    right.reverse().write_csv(folder / "right.csv")
    return folder / "left.csv", folder / "right.csv"


@pytest.fixture(scope="module")
def joined_model(halves: tuple[Path, Path], fit_options: Options, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model fitted to the first 19 days of both halves."""
    from oddrow.cli.app import main

    folder = tmp_path_factory.mktemp("models") / "joined"
    join = ["--join", str(halves[1]), "--on", "row_id"]
    with pytest.raises(SystemExit, match="0"):
        main(["fit", str(halves[0]), "--out", str(folder), *join, *fit_options])
    return folder


def test_inspect_shows_the_joined_columns_too(halves: tuple[Path, Path], oddrow: Oddrow) -> None:
    left, right = halves
    ran = oddrow("inspect", left, "--join", right, "--on", "row_id")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == f"{left} with {right}: 600 rows, 8 columns"
    assert lines[1] == f"480 of 600 rows matched {right} on 'row_id'."
    kinds = {line.split()[0]: line.split()[1:3] for line in lines[3:11]}
    assert kinds["row_id"][0] == "identifier"
    assert kinds["shop"] == ["category", "120"]
    assert kinds["online"] == ["boolean", "120"]
    by_set = oddrow("inspect", left, "--set", f"join={right}", "--set", "on=row_id")
    assert by_set.out == ran.out


def test_a_model_of_two_tables_scores_as_that_of_the_one_they_make(
    mixed: pl.DataFrame,
    halves: tuple[Path, Path],
    joined_model: Path,
    fit_options: Options,
    oddrow: Oddrow,
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole.csv"
    partner = pl.col("row_id") % 5 > 0
    right = [pl.when(partner).then(name).alias(name) for name in ("age", "shop", "online")]
    mixed.select("row_id", "amount", "fee", "time", "fraud", *right).write_csv(whole)
    assert oddrow("fit", whole, "--out", tmp_path / "m", *fit_options).code == 0
    expected = scored(oddrow, whole, tmp_path / "m", tmp_path / "whole.parquet")
    found = scored(oddrow, halves[0], joined_model, tmp_path / "joined.parquet", "--join", halves[1])
    assert found.equals(expected)
    assert found["row_id"].to_list() == list(range(600))


def test_the_joined_table_may_lie_elsewhere_when_scoring(
    halves: tuple[Path, Path], joined_model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    there = scored(oddrow, halves[0], joined_model, tmp_path / "a.parquet", "--join", halves[1])
    pl.read_csv(halves[1]).write_parquet(tmp_path / "newer.parquet")
    newer = scored(oddrow, halves[0], joined_model, tmp_path / "b.parquet", "--join", tmp_path / "newer.parquet")
    assert newer.equals(there)
    pl.read_csv(halves[1]).head(1).write_csv(tmp_path / "one.csv")
    alone = scored(oddrow, halves[0], joined_model, tmp_path / "c.parquet", "--join", tmp_path / "one.csv")
    assert alone.height == 600
    same = (alone["anomaly_score"] == there["anomaly_score"]).to_list()
    assert same[599]
    assert not any(same[1:5])


def test_evaluate_reads_the_training_rows_again_with_their_join(
    halves: tuple[Path, Path], joined_model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    out = tmp_path / "e.json"
    options = ("--join", halves[1], "--from", "2024-01-20", "--json", out)
    ran = oddrow("evaluate", halves[0], "--model", joined_model, *options)
    assert ran.code == 0, ran.err
    told = json.loads(out.read_text())
    assert (told["n_rows"], told["notes"]) == (144, [])
    assert [result["name"] for result in told["results"]] == NAMES


def test_evaluate_stands_alone_where_the_joined_table_has_changed(
    halves: tuple[Path, Path], fit_options: Options, oddrow: Oddrow, tmp_path: Path
) -> None:
    right, model = tmp_path / "right.csv", tmp_path / "m"
    right.write_bytes(halves[1].read_bytes())
    join = ("--join", right)
    assert oddrow("fit", halves[0], "--out", model, *join, "--on", "row_id", *fit_options).code == 0
    pl.read_csv(right).with_columns(age=pl.col("age") + 1).write_csv(right)
    ran = oddrow("evaluate", halves[0], "--model", model, *join)
    assert ran.code == 0, ran.err
    named = f"{halves[0]} joined with {right} on 'row_id'"
    assert f"No baselines: {named} no longer holds the rows that the model was trained on" in ran.out


# simulate


def test_simulate_writes_labelled_transactions(oddrow: Oddrow, tmp_path: Path) -> None:
    ran = oddrow("simulate", "--rows", 3000, "--seed", 4, "--out", tmp_path / "a.parquet")
    assert ran.code == 0, ran.err
    frame = pl.read_parquet(tmp_path / "a.parquet")
    assert frame.height == 3000
    assert f"3,000 transactions, {frame['is_fraud'].sum()} of them fraud" in ran.out
    oddrow("simulate", "--rows", 3000, "--seed", 4, "--out", tmp_path / "b.csv")
    assert pl.read_csv(tmp_path / "b.csv")["amount"].to_list() == frame["amount"].to_list()


# The same in another process


def test_the_same_seed_gives_the_same_model_and_scores_in_another_process(
    mixed_csv: Path, fit_options: Options, oddrow: Oddrow, tmp_path: Path
) -> None:
    def commands(name: str) -> list[list[str]]:
        folder, out = str(tmp_path / name), str(tmp_path / f"{name}.parquet")
        fit = ["fit", str(mixed_csv), "--out", folder, *fit_options, "--seed", "5"]
        return [fit, ["score", str(mixed_csv), "--model", folder, "--out", out]]

    for arguments in commands("here"):
        assert oddrow(*arguments).code == 0
    code = f"""
from oddrow.cli.app import main
for arguments in {commands("there")!r}:
    try:
        main(arguments)
    except SystemExit as exit:
        assert exit.code == 0
"""
    python(code)
    tensors = [(tmp_path / name / "tensors.safetensors").read_bytes() for name in ("here", "there")]
    assert tensors[0] == tensors[1]
    here, there = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("here", "there"))
    assert here.equals(there)


def test_fit_warns_of_a_clock_among_the_features(mixed: pl.DataFrame, oddrow: Oddrow, tmp_path: Path) -> None:
    mixed.with_columns(unix_time=pl.col("time").dt.epoch("s")).write_csv(tmp_path / "rows.csv")
    ran = oddrow("fit", tmp_path / "rows.csv", "--out", tmp_path / "model", "--time", "time")
    assert "'unix_time' increases with --time, so every later row will look odd." in ran.out
    assert "Fitted to 540 of 600 rows; 60 held out," in ran.out


def test_what_trains_nothing_has_no_untrained_twin(mixed_csv: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    unlabelled = ("fit", mixed_csv, "--drop", "fraud", "--id", "row_id", "--out", tmp_path / "model")
    assert oddrow(*unlabelled).code == 0
    ran = oddrow("evaluate", mixed_csv, "--model", tmp_path / "model", "--label", "fraud")
    assert ran.code == 0, ran.err
    assert "OddRowDetector" in ran.out
    assert "untrained copy" not in ran.out


def test_clean_rows_are_trained_on_though_nothing_labels_them(mixed_csv: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    given = ("fit", mixed_csv, "--drop", "fraud", "--clean", "--out", tmp_path / "model", "--set", "training.epochs=1")
    ran = oddrow(*given)
    assert "Fitted to 540 of 600 rows in 1 epoch; 60 held out," in ran.out
    assert Artifact.load(tmp_path / "model").detector.get_params()["mode"] == "novelty"
    assert "mode novelty; the model holds 540 training rows" in (tmp_path / "model" / "card.md").read_text()


def test_the_version_is_that_of_the_package(oddrow: Oddrow) -> None:
    ran = oddrow("--version")
    assert (ran.code, ran.out) == (0, f"oddrow {version('oddrow')}\n")


def test_the_whole_job_with_dagmm(mixed_csv: Path, fit_options: Options, oddrow: Oddrow, tmp_path: Path) -> None:
    scalars = ("--set", f"training.tensorboard={tmp_path / 'scalars'}")
    ran = oddrow("fit", mixed_csv, "--out", tmp_path / "m", *fit_options, "--detector", "dagmm", *scalars)
    assert ran.code == 0, ran.err
    assert len(list((tmp_path / "scalars").iterdir())) == 1
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert manifest["detector"]["name"] == "DAGMMDetector"
    assert {"energy", "reconstruction", "covariance_penalty"} <= set(manifest["detector"]["state"]["loss_curve"][0])
    assert oddrow("score", mixed_csv, "--model", tmp_path / "m", "--out", tmp_path / "s.csv").code == 0
    assert pl.read_csv(tmp_path / "s.csv")["anomaly_score"].is_finite().all()
    ran = oddrow("evaluate", mixed_csv, "--model", tmp_path / "m", "--from", "2024-01-20")
    assert any(line.startswith("DAGMMDetector  ") for line in ran.out.splitlines())
    assert any(line.startswith("untrained copy  ") for line in ran.out.splitlines())
    assert len(list((tmp_path / "scalars").iterdir())) == 1, "the twin writes no scalars"


def test_a_value_of_the_label_that_no_row_has_is_told(mixed_csv: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    ran = oddrow(
        "fit", mixed_csv, "--label", "fraud", "--anomaly", "y", "--out", tmp_path / "m", "--set", "training.epochs=1"
    )
    assert ran.code == 0, ran.err
    assert "No row has 'y' in column 'fraud'. Check --anomaly and --normal." in ran.out
