"""Scoring block by block: the same file as at once, one message for all that is wrong, memory that does not grow."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from oddrow import workflow
from oddrow.artifact import Artifact
from oddrow.typing import silent
from oddrow.workflow.request import Request
from oddrow.workflow.scoring import Tally
from oddrow.workflow.settings import Settings

Run = Callable[..., Any]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oddrow.table.read.MAX_BLOCK_ROWS", 100)


def at_once(model: Path, table: Path, start: str | None = None, n_reasons: int = 0) -> pl.DataFrame:
    """What `score_table` makes of all rows together."""
    artifact = Artifact.load(model)
    roles = workflow.scoring.roles_to_score(artifact, None, in_range=start is not None)
    chosen = Request(artifact, str(table), roles, start).read(silent, labelled=False)
    return workflow.score_table(artifact, chosen, n_reasons=n_reasons)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("start", [None, "2024-01-12T05:00"])
def test_blocks_give_the_file_that_all_rows_at_once_give(
    start: str | None, ending: str, mixed: pl.DataFrame, model: Path, tmp_path: Path
) -> None:
    table, out = tmp_path / "t.parquet", tmp_path / f"s.{ending}"
    mixed.write_parquet(table)
    tally = workflow.score(str(table), model, out, start=start, n_reasons=2)
    expected = at_once(model, table, start, n_reasons=2)
    found = (pl.read_csv if ending == "csv" else pl.read_parquet)(out)
    assert_frame_equal(found, expected, check_dtypes=ending == "parquet")
    n_alerts = int(expected["alert"].sum())
    assert tally == Tally(expected.height, n_alerts, n_alerts)
    assert 0 < n_alerts < expected.height


@pytest.mark.usefixtures("small_blocks")
def test_all_that_is_wrong_in_any_block_is_one_message(
    mixed: pl.DataFrame, model: Path, oddrow: Run, tmp_path: Path
) -> None:
    amounts = mixed["amount"].cast(pl.String).to_list()
    amounts[150], amounts[420], amounts[421] = "N/A", "-", "?"
    fees = mixed["fee"].to_list()
    fees[599] = float("inf")
    mixed.with_columns(amount=pl.Series(amounts), fee=pl.Series(fees)).write_parquet(tmp_path / "t.parquet")
    ran = oddrow("score", tmp_path / "t.parquet", "--model", model, "--out", tmp_path / "s.csv")
    assert ran.code == 1
    assert (
        "column 'amount': 3 of 600 values cannot be read as numbers (row 150 'N/A', row 420 '-', row 421 '?')"
        in ran.err
    )
    assert "column 'fee': 1 of 600 values is infinite (row 599 inf)" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_ctrl_c_leaves_nothing_behind(ending: str, mixed: pl.DataFrame, model: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "place").mkdir()
    pl.concat([mixed] * 200).write_parquet(tmp_path / "tables" / "t.parquet")
    tables = [str(tmp_path / "tables" / "t.parquet")] * 2000
    score = ["score", *tables, "--model", str(model), "--out", str(tmp_path / "place" / f"s.{ending}")]
    command = [sys.executable, "-c", "from oddrow.cli.app import main; main()", *score]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list((tmp_path / "place").iterdir()):
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
    assert (process.returncode, out) == (130, "")
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.usefixtures("small_blocks")
def test_a_span_without_rows_and_a_missing_time_are_named(
    mixed: pl.DataFrame, model: Path, oddrow: Run, tmp_path: Path
) -> None:
    mixed.write_parquet(tmp_path / "t.parquet")
    score = ("score", tmp_path / "t.parquet", "--model", model, "--out", tmp_path / "s.csv")
    assert "no row has time >= 2030-01-01" in oddrow(*score, "--from", "2030-01-01").err
    times = mixed["time"].to_list()
    times[333] = None
    mixed.with_columns(time=pl.Series(times)).write_parquet(tmp_path / "t.parquet")
    assert "is missing (row 333 None)" in oddrow(*score, "--from", "2024-01-02").err


@pytest.mark.usefixtures("small_blocks")
def test_marks_of_synthetic_rows_stay_whichever_block_they_are_in(
    mixed: pl.DataFrame, model: Path, tmp_path: Path
) -> None:
    marks = np.arange(600) == 555
    mixed.with_columns(oddrow_synthetic=pl.Series(marks)).write_parquet(tmp_path / "t.parquet")
    workflow.score(str(tmp_path / "t.parquet"), model, tmp_path / "s.parquet")
    assert pl.read_parquet(tmp_path / "s.parquet")["oddrow_synthetic"].to_list() == marks.tolist()


@pytest.mark.usefixtures("small_blocks")
def test_a_column_that_is_text_only_late_is_text_for_all_rows(
    mixed: pl.DataFrame, mixed_csv: Path, fit_options: tuple[str, ...], oddrow: Run, tmp_path: Path
) -> None:
    """The id of every row is written as it stands, though the first 12,000 read as numbers."""
    rows = pl.concat([mixed.drop("row_id")] * 21).with_row_index("n")
    rows = rows.with_columns(row_id=pl.format("0{}", "n"))
    rows = rows.with_columns(row_id=pl.when(pl.col("n") == 12_500).then(pl.lit("x")).otherwise("row_id"))
    rows.drop("n").write_csv(tmp_path / "t.csv")
    assert oddrow("fit", mixed_csv, "--out", tmp_path / "model", *fit_options).code == 0
    workflow.score(str(tmp_path / "t.csv"), tmp_path / "model", tmp_path / "s.csv")
    written = pl.read_csv(tmp_path / "s.csv", infer_schema=False)["row_id"].to_list()
    assert written == rows["row_id"].to_list()


SCORE = """
import re, sys
from oddrow import workflow
workflow.score(int(sys.argv[1]) * [sys.argv[2]], sys.argv[3], sys.argv[4])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's own memory is known on Linux")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_rows(ending: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({f"c{column}": rng.normal(size=200_000).round(3) for column in range(15)})
    path = tmp_path / f"t.{ending}"
    (table.write_csv if ending == "csv" else table.write_parquet)(path)
    settings = Settings.gather(sets=["detector=autoencoder", "training.epochs=1", "training.batch_size=4096"])
    workflow.fit(str(path), tmp_path / "model", settings)

    def peak(n_files: int) -> int:
        arguments = [str(n_files), str(path), str(tmp_path / "model"), str(tmp_path / f"s.{ending}")]
        ran = subprocess.run([sys.executable, "-c", SCORE, *arguments], check=True, capture_output=True, text=True)
        return 1024 * int(ran.stdout)

    few, many = peak(3), peak(10)
    assert many - few < 0.4 * 7 * table.estimated_size(), (few, many)
