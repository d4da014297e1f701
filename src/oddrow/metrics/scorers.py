"""Scorers for `cross_val_score` and `GridSearchCV`: higher is better, for detectors and for classifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oddrow.errors import ParameterError
from oddrow.metrics.classification import check_both_classes
from oddrow.metrics.ranking import average_precision, precision_at_k, recall_at_false_alarm_rate
from oddrow.typing import Floats


@dataclass(frozen=True)
class AnomalyScorer:
    """A metric of anomaly scores as scikit-learn calls it: `scorer(estimator, X, y)`.

    scikit-learn's own `scoring="average_precision"` reads `decision_function` and takes low values of a detector, its
    odd rows, for negatives: it measures the ranking upside down. Here odd rows always have high scores.

    Parameters
    ----------
    metric : callable
        A function `(y_true, y_score, *, sample_weight=None, **parameters)`, higher is better.
    parameters : dict, optional
        Keyword arguments of the metric.

    See Also
    --------
    anomaly_scores : The scores that are measured.

    Notes
    -----
    y holds 1 for anomalies, 0 for normal rows and NaN for unlabelled rows, which are scored and not measured. If a test
    fold lacks a class, `EvaluationError` is raised, and scikit-learn records NaN: stratify the folds.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn.model_selection import StratifiedKFold, cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> y = (np.arange(200) % 10 == 0).astype(float)
    >>> X = rng.normal(size=(200, 2)) + 6 * y[:, None]
    >>> scorer = AnomalyScorer(precision_at_k, {"k": 5})
    >>> scores = cross_val_score(IsolationForest(random_state=0), X, y, cv=StratifiedKFold(3), scoring=scorer)
    >>> bool(scores.min() > 0.7)
    True
    """

    metric: Callable[..., float]
    parameters: dict[str, Any] = field(default_factory=dict)

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Score the rows and measure those with a label."""
        y_true = np.asarray(y, dtype=np.float64)
        labelled = ~np.isnan(y_true)
        check_both_classes(y_true[labelled])
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)[labelled]
        scores = anomaly_scores(estimator, X)[labelled]
        return self.metric(y_true[labelled], scores, sample_weight=weight, **self.parameters)


def anomaly_scores(estimator: Any, X: Any) -> Floats:
    """Return how odd a fitted estimator finds each row.

    Parameters
    ----------
    estimator : object
        A fitted detector of oddrow, an outlier detector or density estimator of scikit-learn, a classifier whose class
        1 are anomalies, or a pipeline that ends in one of these.
    X : array-like or frame, shape (n, d)
        Rows to score.

    Returns
    -------
    ndarray of float64, shape (n,)
        `anomaly_score`, else the negative of `score_samples`, else the probability of class 1, else the
        `decision_function` of a classifier; higher is odder.

    Raises
    ------
    ParameterError
        If the estimator has none of these methods.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> X = np.array([[0.0], [0.1], [0.2], [9.0]])
    >>> int(anomaly_scores(IsolationForest(random_state=0).fit(X), X).argmax())
    3
    """
    if hasattr(estimator, "anomaly_score"):
        scores = estimator.anomaly_score(X)
    elif hasattr(estimator, "score_samples"):
        scores = -estimator.score_samples(X)
    elif hasattr(estimator, "predict_proba"):
        scores = estimator.predict_proba(X)[:, list(estimator.classes_).index(1)]
    elif hasattr(estimator, "decision_function"):
        scores = estimator.decision_function(X)
    else:
        raise ParameterError(
            f"{type(estimator).__name__} gives no scores. Expected anomaly_score, score_samples, predict_proba or "
            "decision_function."
        )
    return np.asarray(scores, dtype=np.float64)


average_precision_scorer = AnomalyScorer(average_precision)
recall_scorer = AnomalyScorer(recall_at_false_alarm_rate, {"rate": 0.01})
precision_at_100_scorer = AnomalyScorer(precision_at_k, {"k": 100})
