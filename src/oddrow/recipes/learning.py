"""A classifier of a resampling recipe: what it learns from, what it is tested on, and its numbers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from oddrow.evaluate.classifiers import usual_classifiers
from oddrow.evaluate.compare import scores_of
from oddrow.evaluate.metrics import auroc, average_precision, confusion

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Line = dict[str, Any]

CLASSIFIERS = ("logistic regression", "k nearest neighbours", "SVM", "decision tree")


class LearnAndTest(NamedTuple):
    """Numbers, labels and weights to learn from and to test on, and which of the test rows are made up."""

    X: npt.NDArray[Any]
    y: Floats
    weight: Floats
    X_test: npt.NDArray[Any]
    y_test: Floats
    weight_test: Floats
    synthetic: Mask


def lines(name: str, classifier: str, rows: LearnAndTest, seed: int) -> Iterator[Line]:
    """A classifier's numbers after it has learned; where test rows are made up, those without them too."""
    model = clone(usual_classifiers(seed)[classifier])
    started = time.perf_counter()
    _fit(model, rows)
    fit_s, started = time.perf_counter() - started, time.perf_counter()
    scores, alerts = scores_of(model, rows.X_test)[0], model.predict(rows.X_test) == 1
    times = {"fit_s": fit_s, "score_s": time.perf_counter() - started}
    whole = f"{name}, {classifier}"
    parts = {whole: np.ones(len(alerts), bool)}
    if rows.synthetic.any():
        parts[f"{whole}: real test frauds alone"] = ~rows.synthetic
    for part, taken in parts.items():
        yield {"detector": part, **_measured(rows, scores, alerts, taken), **times}


def _fit(model: Any, rows: LearnAndTest) -> None:
    """Fit, with weights where it takes some; that a solver has not arrived is not told, as in the notebook."""
    last = model.steps[-1] if isinstance(model, Pipeline) else ("", model)
    prefix = f"{last[0]}__" if last[0] else ""
    weights = {f"{prefix}sample_weight": rows.weight} if has_fit_parameter(last[1], "sample_weight") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows.X, rows.y, **weights)


def _measured(rows: LearnAndTest, scores: Floats, alerts: Mask, taken: Mask) -> Line:
    y, weight = rows.y_test[taken], rows.weight_test[taken]
    at_cut = confusion(y, alerts[taken], weight)
    return {
        "f1": at_cut.f1,
        "precision": at_cut.precision,
        "recall": at_cut.recall,
        "auroc": auroc(y, scores[taken], weight),
        "ap": average_precision(y, scores[taken], weight),
        "synthetic_share": float(rows.synthetic[taken & (rows.y_test == 1)].mean()),
    }
