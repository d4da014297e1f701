"""How good a ranking and a cut are. scikit-learn measures; what it lacks is here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from oddrow.errors import EvaluationError

Floats = npt.NDArray[np.float64]

# What comparisons of rankings look at.
LEAST_PRECISION, K = 0.5, 100


@dataclass(frozen=True)
class Confusion:
    """Weighted counts at a cut."""

    true_alerts: float
    false_alerts: float
    missed: float
    passed: float

    @property
    def precision(self) -> float:
        """Share of the alerts that are anomalies; 0 where there is no alert."""
        return _share(self.true_alerts, self.true_alerts + self.false_alerts)

    @property
    def recall(self) -> float:
        """Share of the anomalies that are alerts."""
        return _share(self.true_alerts, self.true_alerts + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _share(2 * self.true_alerts, 2 * self.true_alerts + self.false_alerts + self.missed)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def confusion(y: Floats, alerts: npt.NDArray[np.bool_], weight: Floats | None = None) -> Confusion:
    """Count alerts against labels y (n,) of 0 and 1, weighted.

    >>> confusion(np.array([1.0, 0.0, 1.0]), np.array([True, True, False])).precision
    0.5
    """
    weight = np.ones(len(y)) if weight is None else weight
    anomalous = y == 1
    return Confusion(
        float(weight[anomalous & alerts].sum()),
        float(weight[~anomalous & alerts].sum()),
        float(weight[anomalous & ~alerts].sum()),
        float(weight[~anomalous & ~alerts].sum()),
    )


def average_precision(y: Floats, scores: Floats, weight: Floats | None = None) -> float:
    """Average precision: the step sum over recall, not a trapezoid; weighted."""
    return float(average_precision_score(y, scores, sample_weight=weight))


def auroc(y: Floats, scores: Floats, weight: Floats | None = None) -> float:
    """Area under the ROC curve: the chance that an anomaly scores above a normal row; weighted."""
    return float(roc_auc_score(y, scores, sample_weight=weight))


def precision_at(k: float, y: Floats, scores: Floats, weight: Floats | None = None) -> float:
    """Share of anomalies among the k highest scores, where k counts weighted rows.

    Rows that tie, and a row that only partly fits, count by their expected share.

    >>> precision_at(2, np.array([1.0, 0.0, 0.0]), np.array([3.0, 2.0, 1.0]))
    0.5
    """
    weight = np.ones(len(y)) if weight is None else weight
    if not 0 < k <= weight.sum():
        raise EvaluationError(f"precision at k={k:g}: expected more than 0 and at most {weight.sum():g} weighted rows.")
    levels, place = np.unique(-scores, return_inverse=True)
    rows = np.cumsum(np.bincount(place, weights=weight, minlength=len(levels)))
    anomalies = np.cumsum(np.bincount(place, weights=weight * y, minlength=len(levels)))
    return float(np.interp(k, np.append(0, rows), np.append(0, anomalies)) / k)


def recall_at_precision(least: float, y: Floats, scores: Floats, weight: Floats | None = None) -> float:
    """The largest share of the anomalies that some cut finds while at least this share of its alerts are anomalies.

    >>> recall_at_precision(0.5, np.array([1.0, 0.0, 0.0, 1.0]), np.array([4.0, 3.0, 2.0, 1.0]))
    1.0
    """
    precision, recall, _ = precision_recall_curve(y, scores, sample_weight=weight)
    return float(recall[precision >= least].max())


def brier(y: Floats, probability: Floats, weight: Floats | None = None) -> float:
    """Mean squared distance of probabilities (n,) from what happened (Brier, 1950); weighted."""
    return float(np.average((probability - y) ** 2, weights=weight))


def prior_corrected(probability: Floats, learned_rate: float, true_rate: float) -> Floats:
    """What probabilities (n,) learned at one rate of anomalies are at another (Saerens et al., 2002, eq. 2.4).

    >>> prior_corrected(np.array([0.5]), 0.5, 0.01)
    array([0.01])
    """
    anomalous = probability * true_rate / learned_rate
    normal = (1 - probability) * (1 - true_rate) / (1 - learned_rate)
    return np.asarray(anomalous / (anomalous + normal))
