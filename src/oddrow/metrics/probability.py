"""How good probabilities of an anomaly are, and what they become at another rate of anomalies."""

from __future__ import annotations

import numpy as np

from oddrow.errors import check_number
from oddrow.metrics.classification import check_rows, checked
from oddrow.typing import Floats


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
        If a label is neither 0 nor 1.

    References
    ----------
    .. [1] Brier (1950). Verification of forecasts expressed in terms of probability. Monthly Weather Review 78(1).

    Examples
    --------
    >>> brier(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    0.25
    """
    y_true, y_proba, _ = checked(y_true, y_proba, sample_weight)
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
    inside = (y_proba >= 0) & (y_proba <= 1)
    check_rows("y_proba", y_proba, inside, "outside [0, 1]", "probabilities of an anomaly, not scores")
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

    References
    ----------
    .. [1] Saerens, Latinne and Decaestecker (2002). Adjusting the outputs of a classifier to new a priori
       probabilities. Neural Computation 14(1), eq. 2.4.

    Examples
    --------
    >>> prior_corrected(np.array([0.5]), learned_rate=0.5, true_rate=0.01)
    array([0.01])
    """
    anomalous = y_proba * true_rate / learned_rate
    normal = (1 - y_proba) * (1 - true_rate) / (1 - learned_rate)
    return np.asarray(anomalous / (anomalous + normal))
