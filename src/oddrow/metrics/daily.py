"""Days of alerts: what a team that looks at k alerts a day finds, and how many alerts a threshold gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError, check_number
from oddrow.metrics.classification import as_alerts
from oddrow.metrics.ranking import precision_at_k
from oddrow.typing import Floats, Ints

# Three centuries: beyond that a time is in milliseconds, say, not in seconds.
MOST_DAYS = 100_000


@dataclass(frozen=True)
class DailyPrecision:
    """Precision among the k highest scores of each day.

    Parameters
    ----------
    k : int
        Alerts a day.
    values : ndarray of float64, shape (days,)
        Precision of each day that has rows, in order of time.
    ceiling : ndarray of float64, shape (days,)
        What a perfect ranking would reach: few days have k anomalies.

    See Also
    --------
    precision_at_k_per_day : Precision by rows.
    card_precision_at_k : Precision by cards.

    Examples
    --------
    >>> DailyPrecision(2, np.array([0.5, 1.0]), np.array([0.5, 1.0])).mean
    0.75
    """

    k: int
    values: Floats
    ceiling: Floats

    @property
    def mean(self) -> float:
        """Mean over the days."""
        return float(self.values.mean())

    @property
    def mean_ceiling(self) -> float:
        """Mean of what a perfect ranking would reach."""
        return float(self.ceiling.mean())


def precision_at_k_per_day(y_true: Floats, y_score: Floats, *, day: Ints, k: int = 100) -> DailyPrecision:
    """Return the share of anomalies among each day's k highest scores.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_score : ndarray of float64, shape (n,)
        Scores, higher is odder.
    day : ndarray of int64, shape (n,)
        Number of each row's day.
    k : int, default=100
        Alerts a day. The precision is out of k even on a day with fewer rows.

    Returns
    -------
    DailyPrecision
        One value for each day that has rows. Rows with equal scores count by their expected share.

    Raises
    ------
    ParameterError
        If k is not a whole number of at least 1.
    EvaluationError
        If there are no rows, or the days cannot be right.

    Examples
    --------
    >>> y, scores, day = np.array([1.0, 0.0, 1.0]), np.array([3.0, 2.0, 1.0]), np.array([0, 0, 1])
    >>> precision_at_k_per_day(y, scores, day=day, k=2).values
    array([0.5, 0.5])
    """
    y_true, y_score, day = np.asarray(y_true), np.asarray(y_score), np.asarray(day)
    _check_days(day, k)
    days = _rows_of_days(day)
    taken = [min(k, len(rows)) for rows in days]
    found = [precision_at_k(y_true[rows], y_score[rows], k=n) * n / k for rows, n in zip(days, taken, strict=True)]
    ceiling = [min(k, y_true[rows].sum()) / k for rows in days]
    return DailyPrecision(k, np.array(found), np.array(ceiling))


def card_precision_at_k(y_true: Floats, y_score: Floats, *, day: Ints, entity: Ints, k: int = 100) -> DailyPrecision:
    """Return the share of compromised cards among each day's k most suspicious cards.

    A card is as suspicious as its highest score of the day, and compromised if one of its rows is an anomaly. Cards
    that were found leave the later days.

    Parameters
    ----------
    y_true : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    y_score : ndarray of float64, shape (n,)
        Scores, higher is odder.
    day : ndarray of int64, shape (n,)
        Number of each row's day.
    entity : ndarray of int64, shape (n,)
        Code of each row's card.
    k : int, default=100
        Cards a day. The precision is out of k even on a day with fewer cards.

    Returns
    -------
    DailyPrecision
        One value for each day that has rows. The ceiling is what `y_score = y_true` would get. Of cards with equal
        scores some are taken at random, whatever the order of the rows.

    Raises
    ------
    ParameterError
        If k is not a whole number of at least 1.
    EvaluationError
        If there are no rows, or the days cannot be right.

    References
    ----------
    .. [1] Le Borgne, Siblini, Lebichot and Bontempi (2022). Reproducible Machine Learning for Credit Card Fraud
       Detection: Practical Handbook, chapter 4.

    Examples
    --------
    >>> y, scores = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.1, 0.8, 0.2])
    >>> day, card = np.array([0, 0, 1, 1]), np.array([7, 8, 7, 8])
    >>> card_precision_at_k(y, scores, day=day, entity=card, k=1).values
    array([1., 0.])
    """
    y_true, y_score, day = np.asarray(y_true), np.asarray(y_score), np.asarray(day)
    _check_days(day, k)
    cards, card = np.unique(entity, return_inverse=True)
    # Codes may follow time or risk; a random order does not.
    card = np.random.default_rng(0).permutation(len(cards))[card]
    order = np.lexsort((card, day))
    day, card = day[order], card[order]
    starts = np.flatnonzero(np.append(True, (np.diff(day) != 0) | (np.diff(card) != 0)))
    highest, label = (np.maximum.reduceat(values[order], starts) for values in (y_score, y_true))
    days = _rows_of_days(day[starts])
    values, ceiling = (_found_per_day(k, ranked, label, card[starts], days) for ranked in (highest, label))
    return DailyPrecision(k, values, ceiling)


def _found_per_day(k: int, highest: Floats, label: Floats, card: Ints, days: list[Ints]) -> Floats:
    """Return the share of compromised cards among each day's k highest; those found leave the later days."""
    found = np.zeros(card.max() + 1, dtype=bool)
    values = np.zeros(len(days))
    for number, rows in enumerate(days):
        left = rows[~found[card[rows]]]
        top = left[np.lexsort((card[left], -highest[left]))[:k]]
        compromised = card[top[label[top] == 1]]
        found[compromised] = True
        values[number] = len(compromised) / k
    return values


def alerts_per_day(y_pred: npt.ArrayLike, *, day: Ints, sample_weight: Floats | None = None) -> Floats:
    """Return the number of alerts of every day from the first to the last.

    Parameters
    ----------
    y_pred : array-like of bool, shape (n,)
        Which rows are alerts. 1 and 0 are taken for true and false.
    day : ndarray of int64, shape (n,)
        Number of each row's day.
    sample_weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for.

    Returns
    -------
    ndarray of float64, shape (days,)
        Weighted alerts; 0 for days without rows.

    Raises
    ------
    EvaluationError
        If there are no rows, `y_pred` holds other values than alerts, or the days cannot be right.

    Examples
    --------
    >>> alerts_per_day(np.array([True, True, False, True]), day=np.array([5, 5, 6, 8]))
    array([2., 0., 0., 1.])
    """
    alerts, day = as_alerts(y_pred), np.asarray(day)
    _check_days(day)
    weighted = alerts.astype(np.float64) if sample_weight is None else alerts * np.asarray(sample_weight)
    counts: Floats = np.bincount(day - day.min(), weights=weighted).astype(np.float64)
    return counts


def _check_days(day: Ints, k: int = 1) -> None:
    check_number("k", k, 1, whole=True)
    if not len(day):
        raise EvaluationError("there are no rows, so no day. Expected at least one row.")
    if np.ptp(day) > MOST_DAYS:
        raise EvaluationError(
            f"the rows span {int(np.ptp(day)):,} days. Expected times in seconds, or dates: convert the times."
        )


def _rows_of_days(day: Ints) -> list[Ints]:
    """Return the row numbers of each day, days in order."""
    order = np.argsort(day, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(day[order])) + 1)
