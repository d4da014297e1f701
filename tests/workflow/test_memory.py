"""`fit --memory`: rows that stay on disk give the model that rows in memory give, and leave nothing behind."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow import workflow
from oddrow.artifact import Artifact
from oddrow.simulation import simulate
from oddrow.workflow.settings import Settings

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated transactions, the first three quarters to fit in three files, the rest to evaluate."""
    folder = tmp_path_factory.mktemp("transactions")
    rows = simulate(40_000, random_state=3).drop("customer_id", "terminal_id", "fraud_kind", strict=False)
    for part in range(3):
        rows[part * 10_000 : (part + 1) * 10_000].write_parquet(folder / f"fit-{part}.parquet")
    rows[30_000:].write_parquet(folder / "test.parquet")
    return folder


OPTIONS = {"label": "is_fraud", "time": "time", "id": "transaction_id", "training.epochs": 4, "seed": 0}


@pytest.fixture(scope="module")
def fitted(folder: Path) -> dict[str | None, Artifact]:
    """Models with all rows in memory, and with far too little of it."""
    settings = Settings.gather(options=OPTIONS)
    tables = str(folder / "fit-*.parquet")
    return {m: workflow.fit(tables, folder / f"model-{m}", settings, memory=m) for m in (None, "3MB")}


def test_rows_on_disk_are_told_of_and_shared_out_alike(folder: Path, fitted: dict[str | None, Artifact]) -> None:
    in_memory, on_disk = fitted[None], fitted["3MB"]
    assert on_disk.origin is not None
    assert in_memory.origin is not None
    assert on_disk.origin.fingerprint == in_memory.origin.fingerprint
    assert (on_disk.origin.n_rows, on_disk.origin.n_validation) == (
        in_memory.origin.n_rows,
        in_memory.origin.n_validation,
    )
    assert on_disk.detector.schema_ == in_memory.detector.schema_
    assert on_disk.detector.encoder_.learned == in_memory.detector.encoder_.learned
    assert on_disk.threshold.fingerprint == in_memory.threshold.fingerprint
    assert on_disk.threshold.value == pytest.approx(in_memory.threshold.value, rel=0.2)
    assert on_disk.detector.offset_ == pytest.approx(in_memory.detector.offset_, rel=0.2)


def test_the_average_precision_is_that_of_training_in_memory(
    folder: Path, fitted: dict[str | None, Artifact], oddrow: Run
) -> None:
    found = [
        workflow.evaluate(str(folder / "test.parquet"), folder / f"model-{memory}").results[0].average_precision
        for memory in fitted
    ]
    assert found[1] == pytest.approx(found[0], abs=0.05)
    assert min(found) > 0.12


def test_nothing_is_left_beside_the_model(folder: Path, fitted: dict[str | None, Artifact]) -> None:
    parts = {"fit-0.parquet", "fit-1.parquet", "fit-2.parquet", "test.parquet"}
    assert {path.name for path in folder.iterdir()} == {*parts, "model-None", "model-3MB"}


def test_what_fails_leaves_nothing_either(folder: Path, oddrow: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[[history]]\nby = "customer"\nwindows = ["1d"]\nfeatures = ["count"]\n')
    fit = ("fit", folder / "fit-0.parquet", "--out", tmp_path / "model", "--time", "time", "--label", "is_fraud")
    own = ["--memory", "1MB", "--detector", "autoencoder"]
    for options, message in (
        (["--memory", "2"], "memory '2': expected a number followed by KB, MB, GB or TB, such as 2GB"),
        (["--memory", "100KB"], "10,000 rows need 720KB for the column"),
        (["--memory", "1MB", "--config", tmp_path / "settings.toml"], "[[history]] needs all rows in memory"),
        (
            ["--memory", "1MB", "--join", folder / "test.parquet", "--on", "time"],
            "rows on disk cannot be joined with",
        ),
        ([*own, "--set", "detector.known_weight=10"], "known_weight and trim need all rows in memory"),
        ([*own, "--set", "detector.trim=0.05"], "known_weight and trim need all rows in memory"),
    ):
        ran = oddrow(*fit, *options)
        assert ran.code == 1
        assert message in ran.err
        assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]


def test_a_model_may_go_into_a_folder_that_is_not_there_yet(folder: Path, oddrow: Run, tmp_path: Path) -> None:
    fit = ("fit", folder / "fit-0.parquet", "--out", tmp_path / "runs" / "new", "--label", "is_fraud")
    ran = oddrow(*fit, "--set", "training.epochs=1", "--memory", "1MB")
    assert ran.code == 0, ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_has_is_not(folder: Path, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = platform.node().partition(".")[0]
    gone = [f".model.rows.{here}-{ended.pid}.abc", f".model.rows.{here}-{10**30}.abc"]
    stays = [f".model.rows.{here}-{os.getpid()}.abc", f".other.rows.{here}-{ended.pid}.abc", ".model.rows.far-1.abc"]
    names = [*gone, *stays]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "table-0.parquet").touch()
    settings = Settings.gather(options={**OPTIONS, "training.epochs": 1})
    workflow.fit(str(folder / "fit-0.parquet"), tmp_path / "model", settings, memory="1MB")
    assert {path.name for path in tmp_path.iterdir()} == {"model", *stays}


@pytest.mark.parametrize("detector", ["oddrow", "autoencoder", "dagmm"])
def test_mixed_columns_from_a_text_file(
    detector: str, mixed_csv: Path, fit_options: tuple[str, ...], oddrow: Run, tmp_path: Path
) -> None:
    rows = pl.concat([pl.read_csv(mixed_csv)] * 8)
    rows.with_columns(row_id=np.arange(rows.height)).write_csv(tmp_path / "t.csv")
    fit = ("fit", tmp_path / "t.csv", "--out", tmp_path / "model", *fit_options, "--detector", detector)
    ran = oddrow(*fit, "--memory", "500KB")
    assert ran.code == 0, ran.err
    assert "rows do not fit into the memory limit and stay on disk." in ran.out
    ran = oddrow("score", tmp_path / "t.csv", "--model", tmp_path / "model", "--out", tmp_path / "s.csv")
    assert "alerts in 4,800 rows" in ran.out


FIT = """
import re, sys
import jax

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

before = peak()
from oddrow import workflow
from oddrow.workflow.settings import Settings
settings = Settings.gather(sets=["detector=autoencoder", "training.epochs=1", "training.batch_size=8192"])
workflow.fit(sys.argv[1], sys.argv[2], settings, memory=sys.argv[3])
print(1024 * (peak() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's own memory is known on Linux")
def test_the_memory_given_is_the_most_that_is_taken(tmp_path: Path) -> None:
    """Less what importing JAX takes, with a table that is larger than the memory given."""
    rng = np.random.default_rng(0)
    block = pl.DataFrame({f"c{column}": rng.normal(size=125_000) for column in range(110)})
    for part in range(8):
        block.write_parquet(tmp_path / f"{part}.parquet", row_group_size=25_000)
    assert 8 * block.estimated_size() > 800e6
    command = [sys.executable, "-c", FIT, str(tmp_path / "*.parquet"), str(tmp_path / "model"), "800MB"]
    taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert taken < 800e6
