"""Compute the points of the curves that describe a ranking."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from oddrow.metrics.classification import check_both_classes, cost
from oddrow.metrics.ranking import precision_at_k
from oddrow.typing import Floats, Ints

MOST_POINTS = 400
COUNTS, MOST_COUNTED = 25, 10_000


class ByThreshold(NamedTuple):
    """Precision and recall (points,) at rising thresholds (points,)."""

    thresholds: Floats
    precision: Floats
    recall: Floats


class AtK(NamedTuple):
    """Precision among the k highest scores (points,), and what a perfect ranking would reach."""

    k: Floats
    precision: Floats
    ceiling: Floats


def roc_points(y: Floats, scores: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the weighted false-alarm rate and recall, (points,) each, of labels and scores (n,).

    Raises `EvaluationError` if a class is missing.

    >>> roc_points(np.array([0.0, 1.0]), np.array([1.0, 2.0]))[1]
    array([0., 1., 1.])
    """
    check_both_classes(y)
    false_alarm_rate, recall, _ = roc_curve(y, scores, sample_weight=weight)
    shown = some_of(len(recall))
    return false_alarm_rate[shown], recall[shown]


def by_threshold_points(y: Floats, scores: Floats, weight: Floats | None = None) -> ByThreshold:
    """Return the weighted precision and recall of each threshold, for labels and scores (n,).

    Raises `EvaluationError` if a class is missing.
    """
    check_both_classes(y)
    precision, recall, thresholds = precision_recall_curve(y, scores, sample_weight=weight)
    # The last point of the curve has no threshold. Points are densest at high scores, where the curve changes most.
    shown = np.sort(len(thresholds) - 1 - some_of(len(thresholds)))
    return ByThreshold(thresholds[shown], precision[shown], recall[shown])


def at_k_points(y: Floats, scores: Floats, weight: Floats | None = None) -> AtK:
    """Return the precision among the k highest scores, for k from 1 up to 10,000 or all (weighted) rows."""
    weights = np.ones(len(y)) if weight is None else weight
    total = float(weights.sum())
    k = np.geomspace(min(1.0, total), min(total, MOST_COUNTED), COUNTS)
    precision = np.array([precision_at_k(y, scores, k=each, sample_weight=weight) for each in k])
    return AtK(k, precision, np.minimum(1, weights[y == 1].sum() / k))


def cost_points(
    y: Floats, scores: Floats, amount: Floats, per_false_alarm: float, weight: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return rising thresholds (points,) and the cost of each, as `metrics.cost` counts it, in the unit of amount."""
    ordered = np.sort(scores)
    thresholds = ordered[np.sort(len(ordered) - 1 - some_of(len(ordered), MOST_POINTS // 4))]
    costs = [
        cost(y, scores >= each, amount=amount, per_false_alarm=per_false_alarm, sample_weight=weight)
        for each in thresholds
    ]
    return thresholds, np.array(costs)


def some_of(n: int, most: int = MOST_POINTS) -> Ints:
    """Return which of n points to show: half of them evenly spaced, half ever denser towards the first.

    >>> some_of(3)
    array([0, 1, 2])
    """
    if n <= most:
        return np.arange(n)
    evenly, by_power = np.linspace(0, n - 1, most // 2), np.geomspace(1, n, most // 2) - 1
    return np.unique(np.concatenate([evenly, by_power]).astype(np.int64))
