"""Deciding as a fraud team does, through the real command line: budgets, costs, bands, behaviour, honest refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.artifact import Artifact
from oddrow.simulation import simulate

Oddrow = Callable[..., Any]
QUICK = ("--detector", "autoencoder", "--set", "training.epochs=2", "--set", "training.batch_size=1024")
UNTIL = "2018-04-10"

SETTINGS = """
label = "is_fraud"
time = "time"
until = "2018-04-10"
id = "transaction_id"
amount = "amount"
entity = "customer_id"
drop = "fraud_kind"
threshold = "budget:20"
block = "budget:5"

[[history]]
by = "customer_id"
windows = ["1d", "7d"]
features = ["count", "mean amount", "since last"]

[[history]]
by = "terminal_id"
windows = ["3d"]
delay = "2d"
features = ["count", "risk"]
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 days of 6,000 raw transactions, without any feature of behaviour."""
    rows = simulate(6000, random_state=3, n_days=14)
    names = ["transaction_id", "time", "customer_id", "terminal_id", "amount", "is_fraud", "fraud_kind"]
    path = tmp_path_factory.mktemp("tables") / "rows.parquet"
    rows.select(names).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def fitted(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from oddrow.cli.app import main

    folder = tmp_path_factory.mktemp("models")
    (folder / "f.toml").write_text(SETTINGS)
    with pytest.raises(SystemExit, match="0"):
        main(["fit", str(table), "--config", str(folder / "f.toml"), "--out", str(folder / "model"), *QUICK])
    return folder / "model"


@pytest.fixture
def model(fitted: Path, tmp_path: Path) -> Path:
    """A copy that a test may cut elsewhere."""
    return Path(shutil.copytree(fitted, tmp_path / "model"))


def scored(oddrow: Oddrow, table: Path, model: Path, out: Path, *more: str) -> pl.DataFrame:
    ran = oddrow("score", table, "--model", model, "--out", out, "--from", UNTIL, *more)
    assert ran.code == 0, ran.err
    return pl.read_parquet(out)


def test_a_model_keeps_what_it_takes_to_decide(fitted: Path) -> None:
    artifact = Artifact.load(fitted)
    assert artifact.history is not None
    names = [column.name for column in artifact.detector.schema_.features]
    assert [name for name in names if name in artifact.history.names] == artifact.history.names
    assert not {"customer_id", "terminal_id"} & set(names), "names of cards and terminals teach nothing"
    assert "amount" in names
    assert artifact.threshold.cap is not None
    assert artifact.block is not None
    assert artifact.block.value >= artifact.threshold.value


def test_no_day_has_more_alerts_than_the_budget(table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    scores = scored(oddrow, table, fitted, tmp_path / "s.parquet")
    rows = scores.join(pl.read_parquet(table), on="transaction_id").group_by(pl.col("time").dt.date())
    per_day = rows.agg(pl.col("alert").sum())
    assert per_day["alert"].to_numpy().max() <= 20
    assert per_day["alert"].sum() > 0


def test_bands_are_review_and_block(table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    scores = scored(oddrow, table, fitted, tmp_path / "s.parquet")
    assert scores["band"].unique().sort().to_list() == ["block", "pass", "review"]
    assert ((scores["band"] != "pass") == scores["alert"]).all()
    rows = scores.join(pl.read_parquet(table), on="transaction_id").with_columns(day=pl.col("time").dt.date())
    for (_,), day in rows.group_by("day"):
        blocked, reviewed = (day.filter(pl.col("band") == band)["anomaly_score"] for band in ("block", "review"))
        assert len(blocked) <= 5
        assert not len(blocked) or not len(reviewed) or blocked.min() > reviewed.max()  # type: ignore[operator]


def test_what_a_model_says_of_a_row_does_not_depend_on_later_rows(
    table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    rows = pl.read_parquet(table)
    until = rows.filter(pl.col("time") < pl.lit(date(2018, 4, 12)))
    until.write_parquet(tmp_path / "until.parquet")
    all_rows = scored(oddrow, table, fitted, tmp_path / "all.parquet")
    earlier = scored(oddrow, tmp_path / "until.parquet", fitted, tmp_path / "some.parquet")
    both = earlier.join(all_rows, on="transaction_id")
    assert both.height == earlier.height > 500
    np.testing.assert_allclose(both["anomaly_score"], both["anomaly_score_right"], rtol=1e-5)


def test_permuting_labels_of_the_test_changes_no_feature_and_no_threshold(
    table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    # Two days, as long as labels take: none of them is known to a row of the test.
    rows = pl.read_parquet(table)
    start, end = date(2018, 4, 10), date(2018, 4, 10) + timedelta(days=2)
    in_test = (pl.col("time") >= start) & (pl.col("time") < end)
    rng = np.random.default_rng(0)
    labels = rows["is_fraud"].to_numpy().copy()
    places = np.flatnonzero(rows.select(in_test).to_series().to_numpy())
    labels[places] = rng.permutation(labels[places])
    permuted = rows.with_columns(is_fraud=pl.Series(labels))
    assert not permuted["is_fraud"].equals(rows["is_fraud"])
    permuted.write_parquet(tmp_path / "permuted.parquet")
    one = scored(oddrow, table, fitted, tmp_path / "a.parquet", "--until", end.isoformat())
    other = scored(oddrow, tmp_path / "permuted.parquet", fitted, tmp_path / "b.parquet", "--until", end.isoformat())
    assert one.equals(other), "same features, same scores, same alerts"
    found = {}
    for name, path in (("a", table), ("b", tmp_path / "permuted.parquet")):
        out = tmp_path / f"{name}.json"
        ran = oddrow("evaluate", path, "--model", fitted, "--from", UNTIL, "--until", end, "--json", out)
        assert ran.code == 0, ran.err
        found[name] = json.loads(out.read_text())
    assert found["a"]["threshold"] == found["b"]["threshold"]
    assert found["a"]["results"][0]["auroc"] != found["b"]["results"][0]["auroc"]


def test_evaluate_shows_ranking_cut_days_and_value(table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    ran = oddrow("evaluate", table, "--model", fitted, "--from", UNTIL, "--json", tmp_path / "e.json")
    assert ran.code == 0, ran.err
    told = json.loads((tmp_path / "e.json").read_text())
    first = told["results"][0]
    assert [result["name"] for result in told["results"]][:4] == [
        "AutoencoderDetector",
        "IsolationForest",
        "Mahalanobis",
        "untrained copy",
    ]
    assert first["daily"]["most_alerts"] <= 20
    assert first["daily"]["n_days"] == 5
    low, high = first["intervals"]["value_caught"]
    assert low <= first["value_caught"] <= high
    for said in ("Guarantee: at most 20 a day", "recall at 1 % false alarms", "cards, P@100 a day", "value caught"):
        assert said in ran.out
    assert "5 days, " in ran.out
    block = next(line for line in ran.out.splitlines() if line.startswith("Block at "))
    n_blocked = int(block.split(": ")[1].split(" ")[0])
    assert 0 < n_blocked <= 5 * 5
    assert block in told["notes"]


def test_a_classifier_with_labels_stands_beside_where_there_are_enough(
    tmp_path: Path, oddrow: Oddrow, table: Path
) -> None:
    rows = pl.read_parquet(table).with_columns(is_fraud=(pl.col("amount") > 100).cast(pl.Int8))
    rows.write_parquet(tmp_path / "many.parquet")
    options = ("--label", "is_fraud", "--time", "time", "--drop", "fraud_kind", "--until", UNTIL)
    assert oddrow("fit", tmp_path / "many.parquet", "--out", tmp_path / "m", *options, *QUICK).code == 0
    ran = oddrow("evaluate", tmp_path / "many.parquet", "--model", tmp_path / "m", "--from", UNTIL)
    line = next(line for line in ran.out.splitlines() if line.startswith("forest with labels"))
    assert float(line.split()[3]) > 0.99, "the amount alone tells"


# oddrow threshold


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("quantile:0.9", "% of the calibration rows are alerts"),
        ("recall:0.3:0.8", "at least 30 % of anomalies are alerts, with confidence 0.8"),
        ("cost:5", "; without any alert"),
        ("fbeta", "recall"),
        ("false-alarms:0.05", "at most 5 % of normal rows"),
        ("false-discoveries:0.5", "at most 50 % of the alerts of a batch are false, on average"),
        ("budget-per-entity:1", "at most 1 a day for each entity"),
    ],
)
def test_a_cut_is_chosen_again_without_training(
    table: Path, model: Path, oddrow: Oddrow, tmp_path: Path, rule: str, said: str
) -> None:
    before = Artifact.load(model)
    weights = (model / "tensors.safetensors").read_bytes()
    ran = oddrow("threshold", table, "--model", model, "--rule", rule, "--from", UNTIL, "--until", "2018-04-13")
    assert ran.code == 0, ran.err
    assert said in ran.out
    after = Artifact.load(model)
    assert (model / "tensors.safetensors").read_bytes() == weights
    assert after.threshold.rule.startswith(rule)
    assert [cut.rule for cut in after.earlier] == [before.threshold.rule]
    assert after.block == before.block
    scored(oddrow, table, model, tmp_path / "s.parquet")
    assert (
        f"Earlier threshold: {before.threshold.value:.6g} (budget:20, chosen on validation rows)"
        in (model / "card.md").read_text()
    )


def test_a_threshold_chosen_on_test_rows_is_refused(table: Path, model: Path, oddrow: Oddrow) -> None:
    for rule in ("quantile:0.9", "fbeta"):
        assert oddrow("threshold", table, "--model", model, "--rule", rule, "--from", UNTIL).code == 0
        ran = oddrow("evaluate", table, "--model", model, "--from", UNTIL)
        assert ran.code == 1
        assert "was chosen on these very rows" in ran.err
        assert oddrow("evaluate", table, "--model", model, "--until", "2018-04-08").code == 0


def test_others_are_cut_by_the_new_rule_too(table: Path, model: Path, oddrow: Oddrow) -> None:
    assert oddrow("threshold", table, "--model", model, "--rule", "quantile:0.9", "--until", "2018-04-09").code == 0
    ran = oddrow("evaluate", table, "--model", model, "--from", UNTIL)
    assert "its rule on the validation rows sets those of the baselines." in ran.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--rule", "recall:0.99"), "known anomalies cannot guarantee that; it takes 299"),
        (("--rule", "budget:5000"), "are no more than the"),
        (("--rule", "quantile:0.9", "--block", "quantile:0.5"), "is below the threshold to review"),
        (("--rule", "cost"), "cost needs a number, as in cost:5"),
        (("--rule", "nonsense"), "is not one of fixed"),
        (("--rule", "quantile:0.9@train"), "Leave out @ and the rest"),
        (("--rule", "recall:0.3", "--until", "2018-04-08"), "equal training rows, so the guarantee would not hold"),
        (("--rule", "fbeta", "--until", "2018-04-02"), "the rule needs known anomalies, but none of the"),
    ],
)
def test_what_rows_cannot_support_leaves_the_model_as_it_was(
    table: Path, model: Path, oddrow: Oddrow, more: tuple[str, ...], said: str
) -> None:
    rows = pl.read_parquet(table)
    first = pl.col("time") < pl.lit(date(2018, 4, 2))
    none = rows.with_columns(is_fraud=pl.when(first).then(0).otherwise("is_fraud").cast(pl.Int8))
    none.write_parquet(model.parent / "rows.parquet")
    before = (model / "manifest.json").read_bytes()
    since = () if "--until" in more else ("--from", UNTIL)
    ran = oddrow("threshold", model.parent / "rows.parquet", "--model", model, *more, *since)
    assert ran.code == 1
    assert said in ran.err
    assert (model / "manifest.json").read_bytes() == before


def test_a_rule_that_knows_too_little_is_refused_before_training(table: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    for rule, said in (
        ("budget:5", "needs to know more of each row: --time C"),
        ("cost:5", "needs to know more of each row: --label C and --amount C"),
        ("budget-per-entity:1", "needs to know more of each row: --time C and --entity C"),
    ):
        ran = oddrow("fit", table, "--out", tmp_path / "m", "--threshold", rule, *QUICK)
        assert ran.code == 1
        assert said in ran.err
        assert "epoch" not in ran.err
    ran = oddrow(
        "fit", table, "--out", tmp_path / "m", "--label", "is_fraud", "--threshold", "recall:0.999:0.999", *QUICK
    )
    assert ran.code == 1
    assert "cannot guarantee that; it takes" in ran.err
    assert "epoch" not in ran.err


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"amount": -1.0}, ("--amount", "amount"), "invalid (row 0 -1.0"),
        ({"amount": "much"}, ("--amount", "amount"), "invalid (row 0 'much'"),
        ({}, ("--amount", "amuont"), "--amount: column 'amuont' is not in the table. Did you mean 'amount'?"),
        ({}, ("--entity", "card"), "--entity: column 'card' is not in the table"),
    ],
)
def test_columns_that_cannot_play_their_part(
    table: Path, oddrow: Oddrow, tmp_path: Path, change: dict[str, Any], options: tuple[str, ...], said: str
) -> None:
    rows = pl.read_parquet(table).with_columns(**{name: pl.lit(value) for name, value in change.items()})
    rows.write_parquet(tmp_path / "rows.parquet")
    ran = oddrow("fit", tmp_path / "rows.parquet", "--out", tmp_path / "m", *options, *QUICK)
    assert ran.code == 1
    assert said in ran.err
    assert not (tmp_path / "m").exists()


def test_history_that_cannot_be_known_is_refused(table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    no_label = (
        SETTINGS.replace('label = "is_fraud"\n', "")
        .replace("amount =", "# ")
        .replace('"budget:20"', '"fixed:1"')
        .replace('"budget:5"', '"fixed:2"')
    )
    no_time = (
        SETTINGS.replace('time = "time"\nuntil = "2018-04-10"\n', "")
        .replace('"budget:20"', '"fixed:1"')
        .replace('"budget:5"', '"fixed:2"')
    )
    for text, said in (
        (no_label, "counts known anomalies and needs a label: --label COLUMN"),
        (no_time, "needs a time column: --time COLUMN"),
    ):
        (tmp_path / "f.toml").write_text(text)
        ran = oddrow("fit", table, "--config", tmp_path / "f.toml", "--out", tmp_path / "m", *QUICK)
        assert ran.code == 1
        assert said in ran.err
    pl.read_parquet(table).drop("is_fraud").write_parquet(tmp_path / "new.parquet")
    ran = oddrow("score", tmp_path / "new.parquet", "--model", fitted, "--out", tmp_path / "s.csv")
    assert ran.code == 1
    assert "column 'is_fraud' is not in the table, but the history counts known anomalies" in ran.err


def test_rows_to_score_may_have_no_label_yet(table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    new = pl.col("time") >= pl.lit(date(2018, 4, 10))
    rows = pl.read_parquet(table).with_columns(is_fraud=pl.when(new).then(None).otherwise("is_fraud"))
    rows.write_parquet(tmp_path / "new.parquet")
    some = scored(oddrow, tmp_path / "new.parquet", fitted, tmp_path / "a.parquet", "--until", "2018-04-12")
    known = scored(oddrow, table, fitted, tmp_path / "b.parquet", "--until", "2018-04-12")
    assert some.equals(known), "no row sees a label younger than the delay"


def test_inspect_shows_the_history(table: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text(SETTINGS)
    ran = oddrow("inspect", table, "--config", tmp_path / "f.toml")
    assert ran.code == 0, ran.err
    assert "terminal_id_risk_3d_2d_ago" in ran.out
    assert "identifies the entity" in ran.out


def test_a_second_cut_goes_where_none_is_asked_for(table: Path, model: Path, oddrow: Oddrow) -> None:
    ran = oddrow("threshold", table, "--model", model, "--rule", "quantile:0.9", "--block", "none", "--from", UNTIL)
    assert ran.code == 0, ran.err
    after = Artifact.load(model)
    assert after.block is None
    assert [cut.rule for cut in after.earlier] == ["budget:20", "budget:5"]


def test_another_label_to_choose_by_changes_no_history(
    table: Path, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    rows = pl.read_parquet(table).with_columns(other=(pl.col("amount") > 60).cast(pl.Int8))
    rows.write_parquet(tmp_path / "rows.parquet")
    before = scored(oddrow, tmp_path / "rows.parquet", model, tmp_path / "a.parquet")
    recut = ("threshold", tmp_path / "rows.parquet", "--model", model, "--rule", "fbeta", "--from", UNTIL)
    assert oddrow(*recut, "--label", "other").code == 0
    after = scored(oddrow, tmp_path / "rows.parquet", model, tmp_path / "b.parquet")
    assert after["anomaly_score"].equals(before["anomaly_score"])
    assert Artifact.load(model).roles.label == "is_fraud"


def test_rows_without_their_past_are_told_of(table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    late = pl.read_parquet(table).filter(pl.col("time") >= pl.lit(date(2018, 4, 9)))
    late.write_parquet(tmp_path / "late.parquet")
    late.filter(pl.col("time") >= pl.lit(date(2018, 4, 10))).write_parquet(tmp_path / "new.parquet")
    for name, is_told in (("late", True), ("new", True), ("all", False)):
        path = table if name == "all" else tmp_path / f"{name}.parquet"
        ran = oddrow("score", path, "--model", fitted, "--out", tmp_path / "s.csv", "--from", UNTIL)
        assert ran.code == 0, ran.err
        assert ("a shorter history than the model looks back" in ran.out) == is_told


def test_days_begin_at_midnight_of_the_columns_own_zone(
    table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    zoned = pl.read_parquet(table).with_columns(pl.col("time").dt.replace_time_zone("Asia/Tokyo"))
    zoned.write_parquet(tmp_path / "zoned.parquet")
    (tmp_path / "f.toml").write_text(SETTINGS)
    model = tmp_path / "m"
    fit = ("fit", tmp_path / "zoned.parquet", "--config", tmp_path / "f.toml", "--out", model, *QUICK)
    assert oddrow(*fit).code == 0
    scores = scored(oddrow, tmp_path / "zoned.parquet", model, tmp_path / "s.parquet")
    rows = scores.join(zoned, on="transaction_id").group_by(pl.col("time").dt.date())
    assert rows.agg(pl.col("alert").sum())["alert"].to_numpy().max() <= 20
    assert Artifact.load(model).threshold.value == Artifact.load(fitted).threshold.value


def test_ids_that_repeat_are_told_of(table: Path, fitted: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    ran = oddrow("score", table, table, "--model", fitted, "--out", tmp_path / "s.csv", "--from", UNTIL)
    assert "rows share an id; the history counts every one of them" in ran.out


def test_a_model_that_cannot_keep_its_rule_is_kept_and_cut_otherwise(
    table: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = pl.read_parquet(table).with_columns(is_fraud=pl.Series((rng.random(6000) < 0.05).astype(np.int8)))
    rows.write_parquet(tmp_path / "chance.parquet")
    options = ("--label", "is_fraud", "--drop", "fraud_kind", "--threshold", "precision:0.5", *QUICK)
    ran = oddrow("fit", tmp_path / "chance.parquet", "--out", tmp_path / "m", *options)
    assert ran.code == 0, ran.err
    assert "quantile:0.99 sets the threshold instead." in ran.out
    assert Artifact.load(tmp_path / "m").threshold.rule == "quantile:0.99"


def test_nothing_held_out_leaves_no_guarantee(table: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    none = ("--set", "training.validation_fraction=0")
    ran = oddrow("fit", table, "--out", tmp_path / "m", "--threshold", "false-alarms:0.05", *QUICK, *none)
    assert ran.code == 1
    assert "its guarantee needs held-out rows, and there are none" in ran.err
    assert oddrow("fit", table, "--out", tmp_path / "m", "--threshold", "quantile:0.9", *QUICK, *none).code == 0
    assert Artifact.load(tmp_path / "m").threshold.source == "train"
