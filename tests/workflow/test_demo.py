"""The demo, small: it fits, scores and evaluates, prints the tables, and leaves the files it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from oddrow.artifact import Artifact
from oddrow.simulation import FRAUD_KINDS

N_ROWS = 5000


def test_the_demo_runs_and_leaves_its_files(oddrow: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    ran = oddrow("demo", "--rows", N_ROWS, "--out", folder)
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in folder.iterdir()) == ["model", "scores.parquet", "transactions.parquet"]

    # The three commands it stands for, and the table with everything beside the detector.
    commands = [line.split()[2] for line in ran.out.splitlines() if line.startswith("$ oddrow ")]
    assert commands == ["fit", "score", "evaluate"]
    for name in ("OddRowDetector", "IsolationForest", "Mahalanobis", "untrained copy", "amount alone"):
        assert any(line.startswith(f"{name}  ") for line in ran.out.splitlines()), name
    assert any(line.startswith(f"{kind}: ") for kind in FRAUD_KINDS[1:] for line in ran.out.splitlines())
    assert f"Files: {folder}/transactions.parquet, {folder}/model/" in ran.out

    rows = pl.read_parquet(folder / "transactions.parquet")
    scores = pl.read_parquet(folder / "scores.parquet")
    assert rows.height == N_ROWS
    assert scores.columns == ["transaction_id", "anomaly_score", "alert"]
    # Learned on the first weeks, scored on the rest.
    origin = Artifact.load(folder / "model").origin
    assert origin is not None
    later = rows.filter(pl.col("time") >= pl.lit(origin.until).str.to_datetime())
    assert scores["transaction_id"].to_list() == later["transaction_id"].to_list()
    assert 0.1 < later.height / N_ROWS < 0.6
