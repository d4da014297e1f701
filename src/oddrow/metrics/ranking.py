"""How good a ranking by score is. scikit-learn measures where it can; what it lacks is here."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from oddrow.errors import EvaluationError, check_number
from oddrow.metrics.classification import check_both_classes, checked
from oddrow.typing import Floats


def average_precision(y_true: Floats, y_score: Floats, *, sample_weight: Floats | None = None) -> float:
    """Return the average precision: the sum over all thresholds of precision times the step in recall.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_score : ndarray of float64, shape (n,)
        Scores, higher is odder.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Average precision in [0, 1]; the share of anomalies for random scores.

    Raises
    ------
    EvaluationError
        If a label is neither 0 nor 1, or a class is missing.

    See Also
    --------
    sklearn.metrics.average_precision_score : The same number.

    Examples
    --------
    >>> average_precision(np.array([1.0, 0.0, 0.0]), np.array([3.0, 2.0, 1.0]))
    1.0
    """
    check_both_classes(y_true)
    return float(average_precision_score(y_true, y_score, sample_weight=sample_weight))


def auroc(y_true: Floats, y_score: Floats, *, sample_weight: Floats | None = None) -> float:
    """Return the area under the ROC curve: how often an anomaly scores above a normal row.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_score : ndarray of float64, shape (n,)
        Scores, higher is odder.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Area in [0, 1]; 0.5 for random scores.

    Raises
    ------
    EvaluationError
        If a label is neither 0 nor 1, or a class is missing.

    See Also
    --------
    sklearn.metrics.roc_auc_score : The same number.

    Examples
    --------
    >>> auroc(np.array([1.0, 0.0, 0.0]), np.array([2.0, 3.0, 1.0]))
    0.5
    """
    check_both_classes(y_true)
    return float(roc_auc_score(y_true, y_score, sample_weight=sample_weight))


def precision_at_k(y_true: Floats, y_score: Floats, *, k: float = 100, sample_weight: Floats | None = None) -> float:
    """Return the share of anomalies among the k highest scores.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_score : ndarray of float64, shape (n,)
        Scores, higher is odder.
    k : float, default=100
        Number of rows, in weighted rows.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Precision in [0, 1]. Rows with equal scores, and a row that fits only in part, count by their expected
        share.

    Raises
    ------
    EvaluationError
        If k is not above 0 or exceeds the number of weighted rows, or a label is neither 0 nor 1.

    Examples
    --------
    >>> precision_at_k(np.array([1.0, 0.0, 0.0]), np.array([3.0, 2.0, 1.0]), k=2)
    0.5
    """
    y_true, y_score, weight = checked(y_true, y_score, sample_weight)
    if not 0 < k <= weight.sum():
        raise EvaluationError(f"precision at k={k:g}: expected more than 0 and at most {weight.sum():g} weighted rows.")
    levels, level = np.unique(-y_score, return_inverse=True)
    rows = np.cumsum(np.bincount(level, weights=weight, minlength=len(levels)))
    anomalies = np.cumsum(np.bincount(level, weights=weight * y_true, minlength=len(levels)))
    return float(np.interp(k, np.append(0, rows), np.append(0, anomalies)) / k)


def recall_at_precision(
    y_true: Floats, y_score: Floats, *, precision: float = 0.5, sample_weight: Floats | None = None
) -> float:
    """Return the highest recall of all thresholds with at least this precision.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_score : ndarray of float64, shape (n,)
        Scores, higher is odder.
    precision : float, default=0.5
        Lowest share of anomalies among the alerts.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Recall in [0, 1]; 0 if no threshold is that precise.

    Raises
    ------
    EvaluationError
        If a label is neither 0 nor 1, or a class is missing.

    Examples
    --------
    >>> recall_at_precision(np.array([1.0, 0.0, 0.0, 1.0]), np.array([4.0, 3.0, 2.0, 1.0]), precision=0.5)
    1.0
    """
    check_both_classes(y_true)
    precisions, recall, _ = precision_recall_curve(y_true, y_score, sample_weight=sample_weight)
    return float(recall[precisions >= precision].max())


def recall_at_false_alarm_rate(
    y_true: Floats, y_score: Floats, *, rate: float = 0.01, sample_weight: Floats | None = None
) -> float:
    """Return the recall of the lowest threshold with at most this false-alarm rate.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_score : ndarray of float64, shape (n,)
        Scores, higher is odder.
    rate : float, default=0.01
        Highest share of the normal rows that may be alerts, in [0, 1].
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Recall in [0, 1]. Rows with equal scores are alerts together or not at all.

    Raises
    ------
    ParameterError
        If `rate` is outside [0, 1].
    EvaluationError
        If a label is neither 0 nor 1, or a class is missing.

    Examples
    --------
    >>> recall_at_false_alarm_rate(np.array([1.0, 0.0, 1.0, 0.0]), np.array([4.0, 3.0, 2.0, 1.0]), rate=0.5)
    1.0
    """
    check_number("rate", rate, 0, 1)
    check_both_classes(y_true)
    # All points of the curve: a point dropped from a straight line may be the one at this rate.
    false_alarms, recall, _ = roc_curve(y_true, y_score, sample_weight=sample_weight, drop_intermediate=False)
    return float(recall[np.searchsorted(false_alarms, rate, side="right") - 1])
