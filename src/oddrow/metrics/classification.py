"""How good a set of alerts is: counts, money, and the checks of labels and amounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError, ParameterError, check_number, offenders
from oddrow.typing import Floats, Mask

# Averages of probabilities, in float32 too, may leave [0, 1] by as much.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix of alerts, in weighted rows.

    Parameters
    ----------
    true_alerts : float
        Anomalies that are alerts.
    false_alerts : float
        Normal rows that are alerts.
    missed : float
        Anomalies that are not alerts.
    passed : float
        Normal rows that are not alerts.

    See Also
    --------
    confusion : Count alerts against labels.

    Examples
    --------
    >>> found = Confusion(true_alerts=8, false_alerts=2, missed=8, passed=982)
    >>> found.precision, found.recall
    (0.8, 0.5)
    """

    true_alerts: float
    false_alerts: float
    missed: float
    passed: float

    @property
    def precision(self) -> float:
        """Share of the alerts that are anomalies; 0 without alerts."""
        return _share(self.true_alerts, self.true_alerts + self.false_alerts)

    @property
    def recall(self) -> float:
        """Share of the anomalies that are alerts; 0 without anomalies."""
        return _share(self.true_alerts, self.true_alerts + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _share(2 * self.true_alerts, 2 * self.true_alerts + self.false_alerts + self.missed)

    @property
    def accuracy(self) -> float:
        """Share of the rows that are decided correctly, which is close to 1 for anything if anomalies are rare."""
        right = self.true_alerts + self.passed
        return _share(right, right + self.false_alerts + self.missed)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def confusion(y_true: Floats, y_pred: npt.ArrayLike, *, sample_weight: Floats | None = None) -> Confusion:
    """Count alerts against labels.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_pred : array-like of bool, shape (n,)
        Which rows are alerts. 1 and 0 are taken for true and false.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    Confusion
        Weighted counts.

    Raises
    ------
    EvaluationError
        If a label is neither 0 nor 1, or `y_pred` holds other values than alerts.

    Examples
    --------
    >>> confusion(np.array([1.0, 0.0, 1.0]), np.array([True, True, False])).precision
    0.5
    """
    y_true, alerts, weight = checked(y_true, as_alerts(y_pred), sample_weight)
    anomalous = y_true == 1
    return Confusion(
        float(weight[anomalous & alerts].sum()),
        float(weight[~anomalous & alerts].sum()),
        float(weight[anomalous & ~alerts].sum()),
        float(weight[~anomalous & ~alerts].sum()),
    )


def value_caught(
    y_true: Floats, y_pred: npt.ArrayLike, *, amount: Floats, sample_weight: Floats | None = None
) -> float:
    """Return the share of the anomalies' amount that is in alerts.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_pred : array-like of bool, shape (n,)
        Which rows are alerts. 1 and 0 are taken for true and false.
    amount : ndarray of float64, shape (n,)
        What is lost if the row is a missed anomaly.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Share in [0, 1]; 0 if the anomalies have no amount at all.

    Raises
    ------
    EvaluationError
        If a label is neither 0 nor 1, `y_pred` holds other values than alerts, or an amount is negative or not finite.

    Examples
    --------
    >>> y, alerts = np.array([1.0, 1.0, 0.0]), np.array([True, False, True])
    >>> value_caught(y, alerts, amount=np.array([30.0, 10.0, 5.0]))
    0.75
    """
    return _amounts(y_true, y_pred, amount, sample_weight).recall


def cost(
    y_true: Floats,
    y_pred: npt.ArrayLike,
    *,
    amount: Floats,
    per_false_alarm: float,
    sample_weight: Floats | None = None,
) -> float:
    """Return what alerts cost: a price for each false alarm, its amount for each missed anomaly.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_pred : array-like of bool, shape (n,)
        Which rows are alerts. 1 and 0 are taken for true and false.
    amount : ndarray of float64, shape (n,)
        What is lost if the row is a missed anomaly, in a unit of money.
    per_false_alarm : float
        Cost of a false alarm in the same unit.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Total cost.

    Raises
    ------
    ParameterError
        If `per_false_alarm` is negative or not finite.
    EvaluationError
        If a label is neither 0 nor 1, `y_pred` holds other values than alerts, or an amount is negative or not finite.

    Examples
    --------
    >>> y, alerts = np.array([1.0, 1.0, 0.0]), np.array([True, False, True])
    >>> cost(y, alerts, amount=np.array([30.0, 10.0, 5.0]), per_false_alarm=2.0)
    12.0
    """
    check_number("per_false_alarm", per_false_alarm, 0)
    false_alerts = confusion(y_true, y_pred, sample_weight=sample_weight).false_alerts
    return false_alerts * per_false_alarm + _amounts(y_true, y_pred, amount, sample_weight).missed


def _amounts(y_true: Floats, y_pred: npt.ArrayLike, amount: Floats, sample_weight: Floats | None) -> Confusion:
    amount = np.asarray(amount)
    check_amounts(amount)
    return confusion(y_true, y_pred, sample_weight=amount if sample_weight is None else amount * sample_weight)


def checked(y_true: Floats, other: Any, sample_weight: Floats | None) -> tuple[Floats, Any, Floats]:
    """Return checked labels, scores or alerts, and weights, as arrays."""
    check_labels(y_true)
    weight = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight)
    return np.asarray(y_true), np.asarray(other), weight


def as_alerts(y_pred: npt.ArrayLike) -> Mask:
    """Return alerts as a mask, or raise `EvaluationError` for values other than bool, 0 and 1."""
    alerts = np.asarray(y_pred)
    if alerts.dtype != bool:
        wrong = alerts[~np.isin(alerts, (0, 1))]
        if wrong.size:
            raise EvaluationError(f"y_pred holds {wrong[0]}. Pass scores >= threshold, or predict(X) == -1.")
    return alerts.astype(bool, copy=False)


def check_labels(y_true: Floats) -> None:
    """Raise `EvaluationError` if a label is neither 0 nor 1."""
    y_true = np.asarray(y_true)
    check_rows("y_true", y_true, (y_true == 0) | (y_true == 1), "neither 0 nor 1", "labelled rows; leave others out")


def check_both_classes(y_true: Floats) -> None:
    """Raise `EvaluationError` if a label is neither 0 nor 1, or either class is missing."""
    check_labels(y_true)
    n_anomalies = int(np.sum(y_true))
    if n_anomalies in (0, len(y_true)):
        kind = "anomaly" if n_anomalies == 0 else "normal row"
        raise EvaluationError(f"no {kind} among the {len(y_true):,} rows. Expected both classes: measure on more rows.")


def check_probabilities(y_proba: Floats) -> None:
    """Raise `EvaluationError` if a probability is outside [0, 1]."""
    inside = (y_proba >= -ROUNDING) & (y_proba <= 1 + ROUNDING)
    check_rows("y_proba", y_proba, inside, "outside [0, 1]", "probabilities of an anomaly, not scores")


def check_amounts(amount: Floats) -> None:
    """Raise `EvaluationError` if an amount is negative or not finite."""
    sound = np.isfinite(amount) & (amount >= 0)
    check_rows("amount", amount, sound, "negative or not finite", "finite amounts of at least 0; leave others out")


def check_rows(name: str, values: Floats, sound: Mask, wrong: str, expected: str) -> None:
    """Raise `EvaluationError` with the first values that are not sound."""
    if not sound.all():
        rows = np.flatnonzero(~sound)
        shown = offenders(rows.tolist(), values[rows[:3]].tolist())
        raise EvaluationError(
            f"{name}: {len(rows):,} of {len(values):,} values are {wrong} ({shown}). Expected {expected}."
        )


def brier(y_true: Floats, y_proba: Floats, *, sample_weight: Floats | None = None) -> float:
    """Return the Brier score: the mean squared distance of probabilities from what happened.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_proba : ndarray of float64, shape (n,)
        Probabilities of an anomaly in [0, 1].
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Score in [0, 1], lower is better.

    Raises
    ------
    EvaluationError
        If a label is neither 0 nor 1, or a probability is outside [0, 1].

    References
    ----------
    .. [1] Brier (1950). Verification of forecasts expressed in terms of probability. Monthly Weather Review 78(1).

    Examples
    --------
    >>> brier(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    0.25
    """
    y_true, y_proba, _ = checked(y_true, y_proba, sample_weight)
    check_probabilities(y_proba)
    return float(np.average((y_proba - y_true) ** 2, weights=sample_weight))


def calibration_error(
    y_true: Floats, y_proba: Floats, *, n_bins: int = 10, sample_weight: Floats | None = None
) -> float:
    """Return the expected calibration error: how far probabilities are from the shares that came true.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_proba : ndarray of float64, shape (n,)
        Probabilities of an anomaly in [0, 1].
    n_bins : int, default=10
        Number of bins of equal width.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        Mean over the rows of the distance in their bin, between mean probability and share of anomalies.

    Raises
    ------
    ParameterError
        If `n_bins` is not a whole number of at least 1.
    EvaluationError
        If a label is neither 0 nor 1, or a probability is outside [0, 1].

    References
    ----------
    .. [1] Naeini, Cooper and Hauskrecht (2015). Obtaining well calibrated probabilities using Bayesian binning. AAAI.

    Examples
    --------
    >>> calibration_error(np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.25, 0.25, 0.25, 0.25]))
    0.0
    >>> calibration_error(np.array([0.0, 1.0]), np.array([0.25, 1.0]))
    0.125
    """
    check_number("n_bins", n_bins, 1, whole=True)
    y_true, y_proba, weight = checked(y_true, y_proba, sample_weight)
    check_probabilities(y_proba)
    bins = np.minimum((y_proba * n_bins).astype(np.int64), n_bins - 1)
    distance = np.bincount(bins, weights=weight * (y_proba - y_true))
    return float(np.abs(distance).sum() / weight.sum())


def prior_corrected(y_proba: Floats, *, learned_rate: float, true_rate: float) -> Floats:
    """Convert probabilities learned at one rate of anomalies to another rate.

    Parameters
    ----------
    y_proba : ndarray of float64, shape (n,)
        Probabilities of an anomaly in [0, 1].
    learned_rate : float
        Share of anomalies among the rows that the classifier was fitted to, for instance after resampling.
    true_rate : float
        Share of anomalies among the rows to decide.

    Returns
    -------
    ndarray of float64, shape (n,)
        Corrected probabilities.

    Raises
    ------
    ParameterError
        If a rate is not between 0 and 1.
    EvaluationError
        If a probability is outside [0, 1].

    References
    ----------
    .. [1] Saerens, Latinne and Decaestecker (2002). Adjusting the outputs of a classifier to new a priori
       probabilities. Neural Computation 14(1), eq. 2.4.

    Examples
    --------
    >>> prior_corrected(np.array([0.5]), learned_rate=0.5, true_rate=0.01)
    array([0.01])
    """
    for name, rate in {"learned_rate": learned_rate, "true_rate": true_rate}.items():
        if not 0 < rate < 1:
            raise ParameterError(f"{name}={rate:g}: expected a share of anomalies above 0 and below 1.")
    y_proba = np.asarray(y_proba)
    check_probabilities(y_proba)
    anomalous = y_proba * true_rate / learned_rate
    normal = (1 - y_proba) * (1 - true_rate) / (1 - learned_rate)
    return np.asarray(anomalous / (anomalous + normal))
