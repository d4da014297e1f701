"""The types that editors and checkers see: mypy --strict and pyright accept good scripts and find every slip."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import oddrow

GOOD = """
import numpy as np
from sklearn.model_selection import GridSearchCV

import oddrow
from oddrow import AutoencoderDetector, CVAESampler, DAGMMDetector, OddRowDetector, RowScorer, TableEncoder
from oddrow import Threshold, Training, fit_many, read_table
from oddrow.metrics import average_precision

X = np.random.default_rng(0).normal(size=(200, 3))
training = Training(epochs=2, batch_size=64)
detector = AutoencoderDetector(hidden=(8,), training=training, encoder=TableEncoder(numbers="robust")).fit(X)
scores = detector.anomaly_score(X)
outliers = OddRowDetector(mode="novelty", random_state=0).set_params(training__epochs=3).fit_predict(X)
names: list[str] = detector.column_scores(X).columns
losses: list[float] = [epoch["loss"] for epoch in detector.loss_curve_]
several: list[DAGMMDetector] = fit_many([DAGMMDetector(latent=2), DAGMMDetector(latent=3)], [X, X])
codes = several[0].code(X)
GridSearchCV(detector, {"training__learning_rate": [1e-3, 1e-2]})
X_all, y_all = CVAESampler(training=training).fit_resample(X, scores > 3)
alerts = Threshold(3.0, "fixed:3").alerts(scores)
score: float = RowScorer(detector)({"x0": 0.5, "x1": None})
table = read_table("transactions.csv")
precision: float = average_precision(outliers == -1, scores)
oddrow.OddRowDetector().fit(table, validation=table)
"""

# Every line from the first detector on is wrong.
BAD = """
import numpy as np
from oddrow import AutoencoderDetector, CVAESampler, DAGMMDetector, OddRowDetector, RowScorer, TableEncoder
from oddrow import Threshold, Training, metrics, read_table

X = np.zeros((9, 2))
OddRowDetector(no_such_parameter=3)
OddRowDetector().fit(X).anomaly_scor(X)
OddRowDetector().set_params(mode="novelty").decision_functions(X)
OddRowDetector().fit(X).loss_curv_
AutoencoderDetector(training=3)
AutoencoderDetector().fit(X, validating=X)
DAGMMDetector(n_component=2)
DAGMMDetector().codes(X)
CVAESampler(latents=2)
CVAESampler().fit_resampled(X, X)
Training(epoch=3)
Training().get_parameters()
TableEncoder(number="robust")
TableEncoder().transfrom(X)
Threshold(3.0, "fixed:3").alert(X)
Threshold("high", "fixed:3")
RowScorer(detecter=OddRowDetector())
read_table("transactions.csv", no_such_parameter=3)
metrics.average_precison(X, X)
from oddrow import OddRowDetecter
from oddrow.detectors import AutoEncoderDetector
"""


def lines_of_mypy(folder: Path) -> dict[str, dict[int, str]]:
    """The lines that mypy --strict refuses, by file; the package is read from where it was imported."""
    configuration = folder / "mypy.ini"
    source = Path(oddrow.__file__).parents[1]
    configuration.write_text(f"[mypy]\nstrict = true\nfollow_imports = silent\nmypy_path = {source}\n")
    told = run("mypy", "--config-file", configuration, "--cache-dir", folder / "cache", *sorted(folder.glob("*.py")))
    found = re.findall(r"^.*?([a-z]+\.py):(\d+): error: (.*)$", told, re.MULTILINE)
    # scikit-learn has no types, which is for those who use it to say.
    return by_file([place for place in found if "sklearn" not in place[2]])


def lines_of_pyright(folder: Path) -> dict[str, dict[int, str]]:
    """The same of pyright."""
    source = str(Path(oddrow.__file__).parents[1])
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [source], "reportUnusedExpression": False}))
    told = run("pyright", "--pythonpath", sys.executable, "--project", folder, "--outputjson")
    found = [one for one in json.loads(told)["generalDiagnostics"] if one["severity"] == "error"]
    return by_file([(Path(e["file"]).name, e["range"]["start"]["line"] + 1, e["message"]) for e in found])


def run(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False).stdout


def by_file(found: list[tuple[str, int | str, str]]) -> dict[str, dict[int, str]]:
    files: dict[str, dict[int, str]] = {"good.py": {}, "bad.py": {}}
    for name, line, message in found:
        files[name][int(line)] = message
    return files


@pytest.mark.parametrize(("checker", "lines_of"), [("mypy", lines_of_mypy), ("pyright", lines_of_pyright)])
def test_good_scripts_pass_and_every_slip_is_found(
    checker: str, lines_of: Callable[[Path], dict[str, dict[int, str]]], tmp_path: Path
) -> None:
    if find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed: pip install 'oddrow[dev]'")
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    found = lines_of(tmp_path)
    assert found["good.py"] == {}
    wrong = BAD.splitlines()
    first = wrong.index("OddRowDetector(no_such_parameter=3)") + 1
    missed = [line for number, line in enumerate(wrong, 1) if number >= first and number not in found["bad.py"]]
    assert missed == []
    assert min(found["bad.py"]) == first
