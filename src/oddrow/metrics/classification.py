"""How good a ranking and a cut are. scikit-learn measures; what it lacks is here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from oddrow.errors import EvaluationError, check_number, offenders
from oddrow.typing import Floats

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

    @property
    def accuracy(self) -> float:
        """Share of the rows that are decided rightly; where anomalies are rare, little says less."""
        right = self.true_alerts + self.passed
        return _share(right, right + self.false_alerts + self.missed)


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


def recall_at_false_alarm_rate(rate: float, y: Floats, scores: Floats, weight: Floats | None = None) -> float:
    """Share of the anomalies that the lowest cut finds whose false alarm rate is at most `rate`, in [0, 1]; weighted.

    The false alarm rate is the share of the normal rows at or above the cut. Rows that tie are alerts together or not
    at all. Raises `EvaluationError` where y (n,) lacks a class.

    >>> recall_at_false_alarm_rate(0.5, np.array([1.0, 0.0, 1.0, 0.0]), np.array([4.0, 3.0, 2.0, 1.0]))
    1.0
    """
    check_number("rate", rate, 0, 1)
    check_both_classes(y)
    # All points of the curve: those that lie on a straight line would be missed by a rate between their neighbours.
    false_alarms, recall, _ = roc_curve(y, scores, sample_weight=weight, drop_intermediate=False)
    return float(recall[np.searchsorted(false_alarms, rate, side="right") - 1])


def value_caught(y: Floats, alerts: npt.NDArray[np.bool_], amount: Floats, weight: Floats | None = None) -> float:
    """Share of the anomalies' amount (n,) that is in alerts, in [0, 1]; 0 where they have no amount at all; weighted.

    Raises `EvaluationError` where an amount is negative or not finite.

    >>> value_caught(np.array([1.0, 1.0, 0.0]), np.array([True, False, True]), np.array([30.0, 10.0, 5.0]))
    0.75
    """
    check_amounts(amount)
    found = confusion(y, alerts, amount if weight is None else amount * weight)
    return found.recall


def cost(
    y: Floats,
    alerts: npt.NDArray[np.bool_],
    amount: Floats,
    per_false_alarm: float,
    weight: Floats | None = None,
) -> float:
    """What the cut costs, in the unit of amount (n,): each false alarm its price, each missed anomaly its amount.

    Weighted. Raises `EvaluationError` where an amount is negative or not finite.

    >>> cost(np.array([1.0, 1.0, 0.0]), np.array([True, False, True]), np.array([30.0, 10.0, 5.0]), 2.0)
    12.0
    """
    check_number("per_false_alarm", per_false_alarm, 0)
    check_amounts(amount)
    missed = confusion(y, alerts, amount if weight is None else amount * weight).missed
    return confusion(y, alerts, weight).false_alerts * per_false_alarm + missed


def brier(y: Floats, probability: Floats, weight: Floats | None = None) -> float:
    """Mean squared distance of probabilities (n,) from what happened (Brier, 1950); weighted."""
    return float(np.average((probability - y) ** 2, weights=weight))


def calibration_error(y: Floats, probability: Floats, weight: Floats | None = None, n_bins: int = 10) -> float:
    """Expected calibration error (Naeini et al., 2015): how far probabilities are from the shares that came true.

    Probabilities (n,) of an anomaly in [0, 1] fall into bins of equal width; the distance in each bin, between the mean
    probability and the share of anomalies, counts by the weight of its rows. Raises `EvaluationError` for others.

    >>> calibration_error(np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.25, 0.25, 0.25, 0.25]))
    0.0
    >>> calibration_error(np.array([0.0, 1.0]), np.array([0.25, 1.0]))
    0.125
    """
    check_number("n_bins", n_bins, 1, whole=True)
    inside = (probability >= 0) & (probability <= 1)
    _check_rows("probability", probability, inside, "outside [0, 1]", "probabilities of an anomaly; scores are none")
    weight = np.ones(len(y)) if weight is None else weight
    place = np.minimum((probability * n_bins).astype(np.int64), n_bins - 1)
    distance = np.bincount(place, weights=weight * (probability - y))
    return float(np.abs(distance).sum() / weight.sum())


def prior_corrected(probability: Floats, learned_rate: float, true_rate: float) -> Floats:
    """What probabilities (n,) learned at one rate of anomalies are at another (Saerens et al., 2002, eq. 2.4).

    >>> prior_corrected(np.array([0.5]), 0.5, 0.01)
    array([0.01])
    """
    anomalous = probability * true_rate / learned_rate
    normal = (1 - probability) * (1 - true_rate) / (1 - learned_rate)
    return np.asarray(anomalous / (anomalous + normal))


def check_both_classes(y: Floats) -> None:
    """Raise `EvaluationError` where labels y (n,) hold no anomaly or no normal row."""
    n_anomalies = int((y == 1).sum())
    if n_anomalies in (0, len(y)):
        kind = "anomaly" if n_anomalies == 0 else "normal row"
        raise EvaluationError(f"no {kind} is among the {len(y):,} rows. Expected both classes: measure on more rows.")


def check_amounts(amount: Floats) -> None:
    """Raise `EvaluationError` where an amount (n,) is negative or not finite."""
    fine = np.isfinite(amount) & (amount >= 0)
    _check_rows("amount", amount, fine, "negative or not finite", "finite amounts of at least 0; leave these rows out")


def _check_rows(name: str, values: Floats, fine: npt.NDArray[np.bool_], wrong: str, expected: str) -> None:
    if not fine.all():
        rows = np.flatnonzero(~fine)
        shown = offenders(rows.tolist(), values[rows[:3]].tolist())
        raise EvaluationError(
            f"{name}: {len(rows):,} of {len(values):,} values are {wrong} ({shown}). Expected {expected}."
        )
