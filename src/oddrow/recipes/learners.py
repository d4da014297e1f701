"""Who learns from a week of transactions: classifiers that have its labels, detectors that have none or a few."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from oddrow.evaluate.baselines import Baseline, baselines
from oddrow.evaluate.classifiers import usual_classifiers
from oddrow.evaluate.compare import scores_of
from oddrow.evaluate.metrics import average_precision
from oddrow.settings import Settings
from oddrow.table.numbers import Numbers, Scorer
from oddrow.table.table import Table

Floats = npt.NDArray[np.float64]
Fit = Callable[[], Scorer]

CLASSIFIERS = ("logistic regression", "random forest", "gradient boosting", "XGBoost", "LightGBM")
# Chapter 5's grid.
TUNED, GRID = "XGBoost", {"n_estimators": (25, 50, 100), "learning_rate": (0.1, 0.3), "max_depth": (3, 6, 9)}
# The defaults of the version that the book used: later ones give 0.08 less average precision.
AS_THEN: dict[str, dict[str, Any]] = {"XGBoost": {"tree_method": "exact", "base_score": 0.5}}
KNOWN_WEIGHT, TRIM = 10.0, 0.05


@dataclass(frozen=True)
class Week:
    """Rows to learn from, with labels (n,), and rows to test on."""

    train: Table
    y: Floats
    test: Table
    y_test: Floats
    seed: int


def learners(
    week: Week, settings: Settings, tuned: Mapping[str, Any] | None
) -> Iterator[tuple[str, Callable[[], Scorer]]]:
    """Each by its name, with what fits it and gives what scores a table."""
    numbers = Numbers(week.train)
    usual = _classifiers(week.seed)
    if tuned is not None:
        usual[f"{TUNED}, tuned"] = clone(usual[TUNED]).set_params(**tuned)
    for name, model in usual.items():
        yield name, partial(_taught, model, week, numbers)
    for name, baseline in baselines(week.seed).items():
        yield f"{name}, no labels", partial(_untaught, baseline, week, numbers)
    for name, parameters, y in _detectors(week):
        yield name, partial(_fitted, week, settings, parameters, y)


def tuned_parameters(weeks: Sequence[Week], tell: Callable[[Any], None]) -> dict[str, Any] | None:
    """The best of the book's grid by mean average precision over these weeks; None where XGBoost is not installed."""
    if TUNED not in usual_classifiers(0):
        tell("XGBoost is not installed: its rows are left out. To have them: pip install xgboost")
        return None
    tell(f"Tuning {TUNED} on {len(weeks)} weeks before those that test …")
    grid = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    ready = [(week, Numbers(week.train)) for week in weeks]
    parts = [(numbers(week.train), week.y, numbers(week.test), week.y_test) for week, numbers in ready]
    found = [fmean(_ap(parameters, *part) for part in parts) for parameters in grid]
    best = grid[int(np.argmax(found))]
    tell(f"{TUNED}, tuned: {best}, average precision {max(found):.3f} on those weeks")
    return best


def _ap(parameters: dict[str, Any], X: Any, y: Floats, X_test: Any, y_test: Floats) -> float:
    model = _classifiers(0)[TUNED].set_params(**parameters).fit(X, y)
    return average_precision(y_test, scores_of(model, X_test)[0])


def _classifiers(seed: int) -> dict[str, Any]:
    usual = {name: model for name, model in usual_classifiers(seed).items() if name in CLASSIFIERS}
    return {name: model.set_params(**AS_THEN.get(name, {})) for name, model in usual.items()}


def _taught(model: Any, week: Week, numbers: Numbers) -> Scorer:
    model.fit(numbers(week.train), week.y)
    return lambda table: scores_of(model, numbers(table))[0]


def _untaught(baseline: Baseline, week: Week, numbers: Numbers) -> Scorer:
    return numbers.scorer(baseline.fit(numbers(week.train)))


def _detectors(week: Week) -> Iterator[tuple[str, dict[str, Any], Floats | None]]:
    yield "untrained twin, no labels", {"training__epochs": 0}, None
    yield "autoencoder, no labels", {}, None
    yield f"autoencoder, no labels, trim {TRIM:g}", {"trim": TRIM}, None
    yield "autoencoder, known frauds left out", {}, week.y
    yield "autoencoder, learns from known frauds", {"known_weight": KNOWN_WEIGHT}, week.y


def _fitted(week: Week, settings: Settings, parameters: dict[str, Any], y: Floats | None) -> Scorer:
    detector = settings.new_detector().set_params(random_state=week.seed, **parameters)
    scorer: Scorer = detector.fit(week.train, y).anomaly_score
    return scorer
