from __future__ import annotations

import json
from pathlib import Path

from oddrow import simulate
from oddrow.thresholds import Rule
from oddrow.workflow import Settings, evaluate, fit, score, threshold


def test_files_are_named_by_texts_or_by_paths(tmp_path: Path) -> None:
    table, config, found = tmp_path / "payments.csv", tmp_path / "fit.toml", tmp_path / "found.json"
    simulate(400, random_state=0).write_csv(table)
    config.write_text('drop = "is_fraud,fraud_kind"\nseed = 3\n', encoding="utf-8")
    settings = Settings.gather(str(config))
    assert settings == Settings.gather(config)
    model = fit(table, tmp_path / "model", settings)
    assert model.origin is not None
    assert model.origin.tables == (str(table),)
    assert fit([table], str(tmp_path / "other"), settings).origin == model.origin
    evaluate(table, tmp_path / "model", json_to=str(found), label="is_fraud")
    assert json.loads(found.read_text(encoding="utf-8"))["results"]
    assert score(table, str(tmp_path / "model"), tmp_path / "scores.csv").n_rows == 400


def test_a_threshold_is_set_by_a_rule_or_its_text(tmp_path: Path) -> None:
    table = tmp_path / "payments.csv"
    simulate(400, random_state=0).write_csv(table)
    fit(table, tmp_path / "model", Settings.gather(options={"drop": "is_fraud,fraud_kind"}))
    by_text = threshold(table, tmp_path / "model", "quantile:0.9", block="none")
    assert threshold(table, tmp_path / "model", Rule.parse("quantile:0.9")).threshold == by_text.threshold
