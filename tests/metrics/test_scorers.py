"""Scorers in scikit-learn's own searches: detectors and classifiers measured the same way, higher is better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, OneClassSVM

from oddrow import AutoencoderDetector, Training
from oddrow.errors import EvaluationError, ParameterError
from oddrow.metrics import (
    AnomalyScorer,
    anomaly_scores,
    average_precision,
    average_precision_scorer,
    precision_at_100_scorer,
    precision_at_k,
    recall_at_false_alarm_rate,
    recall_scorer,
)

Y = (np.arange(300) % 10 == 0).astype(float)
X = np.random.default_rng(0).normal(size=(300, 3)) + 7 * Y[:, None]
FOLDS = StratifiedKFold(2)
AT_10 = AnomalyScorer(precision_at_k, {"k": 10})


@pytest.mark.parametrize(
    "estimator",
    [
        IsolationForest(random_state=0),
        make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)),
        OneClassSVM(),
        LogisticRegression(),
        LinearSVC(),
    ],
)
@pytest.mark.parametrize("scorer", [average_precision_scorer, recall_scorer, AT_10])
def test_whatever_gives_scores_is_measured_the_right_way_up(estimator: Any, scorer: AnomalyScorer) -> None:
    # Detectors learn from the normal rows, so that a tight group of anomalies is not taken for normal.
    rows = slice(None) if hasattr(estimator, "classes_") or "SV" in type(estimator).__name__ else Y == 0
    fitted = estimator.fit(X[rows], Y[rows]) if not isinstance(estimator, LogisticRegression) else estimator.fit(X, Y)
    assert scorer(fitted, X, Y) > 0.6
    assert scorer(fitted, X, 1 - Y) < scorer(fitted, X, Y)


def test_cross_validation_of_scikit_learns_forest() -> None:
    found = cross_val_score(IsolationForest(random_state=0), X, Y, cv=FOLDS, scoring=average_precision_scorer)
    by_hand = [
        average_precision(Y[test], -IsolationForest(random_state=0).fit(X[train]).score_samples(X[test]))
        for train, test in FOLDS.split(X, Y)
    ]
    assert found.tolist() == by_hand
    assert found.min() > 0.8


def test_cross_validation_and_a_grid_search_over_an_autoencoder() -> None:
    detector = AutoencoderDetector(hidden=(4,), training=Training(batch_size=64), random_state=0)
    detector.set_params(training__epochs=2)
    assert cross_val_score(detector, X, Y, cv=FOLDS, scoring=recall_scorer).min() > 0.9
    search = GridSearchCV(detector, {"training__epochs": [0, 2]}, scoring=AT_10, cv=FOLDS).fit(X, Y)
    assert search.best_score_ > 0.9
    assert search.score(X, Y) == AT_10(search.best_estimator_, X, Y)


def test_rows_without_a_label_are_scored_and_not_measured() -> None:
    forest = IsolationForest(random_state=0).fit(X)
    unknown = np.arange(300) % 3 == 1
    some = np.where(unknown, np.nan, Y)
    weight = np.linspace(1, 2, 300)
    scores = anomaly_scores(forest, X)
    expected = average_precision(Y[~unknown], scores[~unknown], sample_weight=weight[~unknown])
    assert average_precision_scorer(forest, X, some, sample_weight=weight) == expected
    assert average_precision_scorer(forest, X, list(some), sample_weight=list(weight)) == expected
    recall = recall_at_false_alarm_rate(Y[~unknown], scores[~unknown], rate=0.01)
    assert recall_scorer(forest, X, some) == recall


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.zeros(300), "no anomaly among the 300 rows"),
        (np.full(300, np.nan), "no anomaly among the 0 rows"),
        (np.where(Y == 1, -1, 1), "y_true: 30 of 300 values are neither 0 nor 1"),
    ],
)
def test_labels_that_measure_nothing(y: Any, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        average_precision_scorer(IsolationForest(random_state=0).fit(X), X, y)


def test_more_alerts_than_rows_and_an_estimator_without_scores() -> None:
    forest = IsolationForest(random_state=0).fit(X)
    with pytest.raises(EvaluationError, match="at most 50 weighted rows"):
        precision_at_100_scorer(forest, X[:50], Y[:50])
    with pytest.raises(ParameterError, match="StandardScaler gives no scores"):
        average_precision_scorer(StandardScaler().fit(X), X, Y)
