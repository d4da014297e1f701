"""The README's Python example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

README = Path(__file__).parents[1] / "README.md"


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
