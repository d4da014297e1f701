"""The Python examples of the README and the docs run as they stand."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

README = Path(__file__).parents[1] / "README.md"
DOCS = README.parent / "docs"


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixed: pl.DataFrame) -> None:
    """On a file of the name and with the label that it asks for."""
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    mixed.rename({"fraud": "is_fraud"}).write_csv(tmp_path / "rows.csv")
    monkeypatch.chdir(tmp_path)
    made: dict[str, object] = {}
    exec(example, made)
    scores = made["scores"]
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (mixed.height,)
    assert np.isfinite(scores).all()


def test_the_example_of_the_sampler_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "cvae.md").read_text(encoding="utf-8"), re.DOTALL)
    made: dict[str, pl.DataFrame] = {}
    exec(example, made)
    assert made["frauds"].shape == made["near"].shape == (1000, 2)
    assert made["plane"].height == 400
    assert made["X_all"].height > 2000


def test_the_example_of_a_comparison_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "compare.md").read_text(encoding="utf-8"), re.DOTALL)
    made: dict[str, Any] = {}
    exec(example, made)
    assert [verdict.sampler for verdict in made["found"].verdicts] == ["SMOTE", "CVAE"]


def test_the_example_of_runs_side_by_side_runs() -> None:
    *_, example = re.findall(r"```python\n(.*?)```", (DOCS / "dagmm.md").read_text(encoding="utf-8"), re.DOTALL)
    made: dict[str, np.ndarray] = {}
    exec(example, made)
    assert made["scores"].shape == (500,)


def test_the_examples_of_deciding_run(capsys: pytest.CaptureFixture[str]) -> None:
    state, cuts = re.findall(r"```python\n(.*?)```", (DOCS / "deciding.md").read_text(encoding="utf-8"), re.DOTALL)
    made: dict[str, Any] = {}
    exec(state, made)
    (row,) = made["features"].to_dicts()
    assert (row["card_count_1d"], row["card_mean_amount_7d"], row["card_since_last"]) == (1, 80, 154_800)
    exec(cuts, made)
    assert 0 < made["alerts"].sum() <= 20 * 11
    assert capsys.readouterr().out.count("at ") >= 3


def test_pictures_come_out_of_reports(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    source = base64.b64encode(b'<?xml version="1.0"?><svg width="5"/>').decode()
    page.write_text(f'<img src="data:image/svg+xml;base64,{source}" alt="Of the alerts, most.">')
    run = [sys.executable, DOCS / "pictures.py", page]
    done = subprocess.run([*run, "Of the"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == '<?xml version="1.0"?><svg style="background: white" width="5"/>'
    done = subprocess.run([*run, "Off"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "no picture's caption begins with 'Off'\n")


def test_the_reference_of_the_command_line_is_what_help_says() -> None:
    done = subprocess.run([sys.executable, DOCS / "cli.py"], capture_output=True, text=True, check=True, timeout=120)
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == done.stdout, "write it again: make cli-docs"
