"""The curves of a ranking: labels and scores in, the points of a line out."""

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
    """What every threshold (points,), rising, gives: precision and recall (points,)."""

    thresholds: Floats
    precision: Floats
    recall: Floats


class AtK(NamedTuple):
    """Precision among the k highest scores, (points,), and what a perfect ranking would reach."""

    k: Floats
    precision: Floats
    ceiling: Floats


def roc_points(y: Floats, scores: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """Return false-alarm rate and recall, (points,) each, for labels (n,); weighted.

    Raises `EvaluationError` if a class is missing.

    >>> roc_points(np.array([0.0, 1.0]), np.array([1.0, 2.0]))[1]
    array([0., 1., 1.])
    """
    check_both_classes(y)
    false_alarm_rate, recall, _ = roc_curve(y, scores, sample_weight=weight)
    shown = some_of(len(recall))
    return false_alarm_rate[shown], recall[shown]


def by_threshold_points(y: Floats, scores: Floats, weight: Floats | None = None) -> ByThreshold:
    """Precision and recall of every threshold, for y (n,) of 0 and 1; weighted.

    Raises `EvaluationError` where y lacks a class.
    """
    check_both_classes(y)
    precision, recall, thresholds = precision_recall_curve(y, scores, sample_weight=weight)
    # The last point of the curve has no threshold. The highest scores, few rows each, change the curve most.
    shown = np.sort(len(thresholds) - 1 - some_of(len(thresholds)))
    return ByThreshold(thresholds[shown], precision[shown], recall[shown])


def at_k_points(y: Floats, scores: Floats, weight: Floats | None = None) -> AtK:
    """Precision among the k highest scores, for k from 1 to 10,000 or to all (weighted) rows."""
    weights = np.ones(len(y)) if weight is None else weight
    total = float(weights.sum())
    k = np.geomspace(min(1.0, total), min(total, MOST_COUNTED), COUNTS)
    precision = np.array([precision_at_k(y, scores, k=each, sample_weight=weight) for each in k])
    return AtK(k, precision, np.minimum(1, weights[y == 1].sum() / k))


def cost_points(
    y: Floats, scores: Floats, amount: Floats, per_false_alarm: float, weight: Floats | None = None
) -> tuple[Floats, Floats]:
    """Thresholds (points,), rising, and what each costs, in the unit of amount (n,), as `metrics.cost` counts it."""
    ordered = np.sort(scores)
    thresholds = ordered[np.sort(len(ordered) - 1 - some_of(len(ordered), MOST_POINTS // 4))]
    costs = [
        cost(y, scores >= each, amount=amount, per_false_alarm=per_false_alarm, sample_weight=weight)
        for each in thresholds
    ]
    return thresholds, np.array(costs)


def some_of(n: int, most: int = MOST_POINTS) -> Ints:
    """Numbers of points to show of n: first and last, evenly many over all of them and over powers of their number.

    >>> some_of(3)
    array([0, 1, 2])
    """
    if n <= most:
        return np.arange(n)
    evenly, by_power = np.linspace(0, n - 1, most // 2), np.geomspace(1, n, most // 2) - 1
    return np.unique(np.concatenate([evenly, by_power]).astype(np.int64))
