"""Guarantees on false alarms from finitely many normal rows: conformal p-values.

Everything here assumes that future normal rows are drawn from the same distribution as the calibration rows.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import beta

from oddrow.errors import EvaluationError
from oddrow.typing import Floats, Mask

# A random sample of this many calibration rows is as valid as all of them.
MOST_CALIBRATION = 10_000


def p_values(calibration: Floats, scores: Floats) -> Floats:
    """Return the conformal p-value of each score.

    Parameters
    ----------
    calibration : ndarray of float64, shape (m,)
        Scores of normal rows that the detector was not trained on.
    scores : ndarray of float64, shape (n,)
        Scores to judge.

    Returns
    -------
    ndarray of float64, shape (n,)
        P-values in (0, 1]; small means odd.

    See Also
    --------
    discoveries : Decide on a batch of rows by their p-values.

    Notes
    -----
    The p-value of a score s is (1 + #{calibration >= s}) / (m + 1). A normal row has a p-value of at most p with
    probability at most p [2]_, eq. 3.

    References
    ----------
    .. [1] Vovk, Gammerman and Shafer (2005). Algorithmic Learning in a Random World. Springer.
    .. [2] Bates, Candès, Lei, Romano and Sesia (2023). Testing for outliers with conformal p-values. Annals of
       Statistics 51(1).

    Examples
    --------
    >>> p_values(np.array([1.0, 2.0, 3.0]), np.array([2.5, 0.0]))
    array([0.5, 1. ])
    """
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return np.asarray((len(calibration) - below + 1) / (len(calibration) + 1))


def discoveries(calibration: Floats, scores: Floats, rate: float) -> Mask:
    """Return which rows of a batch to alert, so that few of the alerts are false.

    Parameters
    ----------
    calibration : ndarray of float64, shape (m,)
        Scores of normal rows that the detector was not trained on.
    scores : ndarray of float64, shape (n,)
        Scores of the batch.
    rate : float
        Highest share of false alerts among the alerts, on average over batches and calibration sets.

    Returns
    -------
    ndarray of bool, shape (n,)
        Mask of the alerts.

    Raises
    ------
    EvaluationError
        If there are no calibration scores.

    See Also
    --------
    p_values : The p-values that decide.

    Notes
    -----
    Benjamini and Hochberg's procedure [1]_ stays valid for conformal p-values [2]_.

    References
    ----------
    .. [1] Benjamini and Hochberg (1995). Controlling the false discovery rate. Journal of the Royal Statistical
       Society B 57(1).
    .. [2] Bates, Candès, Lei, Romano and Sesia (2023). Testing for outliers with conformal p-values. Annals of
       Statistics 51(1).

    Examples
    --------
    >>> normal = np.arange(99.0)
    >>> discoveries(normal, np.array([50.0, 200.0, 201.0]), 0.1)
    array([False,  True,  True])
    """
    if not len(calibration):
        raise EvaluationError(
            "there are no calibration scores. Pass the scores of normal rows that were not trained on."
        )
    p = p_values(calibration, scores)
    ordered = np.sort(p)
    passed = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    return np.asarray(p <= ordered[passed[-1]]) if len(passed) else np.zeros(len(p), bool)


def most_exceeding(rate: float, n: int, confidence: float | None = None) -> int:
    """Return how many of n normal rows may exceed a threshold that guarantees a false-alarm rate; -1 if n is too small.

    Without `confidence` the rate holds on average over calibration sets. With it, the rate holds for this calibration
    set with that probability: the rate above the k-th highest score is Beta(k, n + 1 - k) distributed.

    >>> most_exceeding(0.01, 99), most_exceeding(0.01, 98), most_exceeding(0.01, 1000, 0.95)
    (0, -1, 4)
    """
    if confidence is None:
        return int(np.floor(rate * (n + 1) * (1 + 1e-12))) - 1
    ranks = np.arange(1, n + 1)
    holds = beta.cdf(rate, ranks, n + 1 - ranks) >= confidence
    return int(holds.sum()) - 1


def fewest_rows(rate: float, confidence: float | None = None) -> int:
    """Return how many normal rows it takes to guarantee a false-alarm rate at all.

    >>> fewest_rows(0.01), fewest_rows(0.01, 0.95)
    (99, 299)
    """
    if confidence is None:
        return int(np.ceil(1 / rate * (1 - 1e-12))) - 1
    return int(np.ceil(np.log(1 - confidence) / np.log1p(-rate)))


def value_exceeded_by(calibration: Floats, n_above: int) -> float:
    """Return the lowest threshold that at most `n_above` of the calibration scores reach."""
    highest_first = np.sort(calibration)[::-1]
    return float(np.nextafter(highest_first[n_above], np.inf))
