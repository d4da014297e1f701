"""Days of alerts: what a team that looks at k of them each day finds, and how many a cut gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError, check_number
from oddrow.metrics.classification import precision_at
from oddrow.typing import Floats, Ints

# Three centuries: a time in milliseconds, say, is no time in seconds.
MOST_DAYS = 100_000


@dataclass(frozen=True)
class DailyPrecision:
    """The precision among k alerts of each day that has rows, in order: `values` (days,), each in [0, 1].

    `ceiling` (days,) is what a perfect ranking would reach: few days have k anomalies.
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


def precision_at_k_per_day(k: int, y: Floats, scores: Floats, day: Ints) -> DailyPrecision:
    """Share of anomalies among each day's k highest scores, for labels y, scores and day numbers (n,).

    k is a budget: it is what one divides by, even on a day with fewer rows. Ties count by their expected share.

    >>> precision_at_k_per_day(2, np.array([1.0, 0.0, 1.0]), np.array([3.0, 2.0, 1.0]), np.array([0, 0, 1])).values
    array([0.5, 0.5])
    """
    _check(k, day)
    days = _rows_of_days(day)
    values = [precision_at(min(k, len(rows)), y[rows], scores[rows]) * min(k, len(rows)) / k for rows in days]
    ceiling = [min(k, y[rows].sum()) / k for rows in days]
    return DailyPrecision(k, np.array(values), np.array(ceiling))


def card_precision_at_k(k: int, y: Floats, scores: Floats, day: Ints, entity: Ints) -> DailyPrecision:
    """Share of compromised cards among each day's k most suspicious ones (Le Borgne et al., 2022, chapter 4).

    A card, by its code in entity (n,), is as suspicious as its highest score of the day, and compromised by an anomaly.
    One that is found leaves the later days. k is what one divides by, even on a day with fewer cards. Of cards that tie
    some are taken at random, whatever the order of rows. The ceiling is what scores = y would get.

    >>> y, scores = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.1, 0.8, 0.2])
    >>> card_precision_at_k(1, y, scores, day=np.array([0, 0, 1, 1]), entity=np.array([7, 8, 7, 8])).values
    array([1., 0.])
    """
    _check(k, day)
    cards, card = np.unique(entity, return_inverse=True)
    # Codes may tell of time or trouble, an order of their own may not.
    turn = np.random.default_rng(0).permutation(len(cards))[card]
    order = np.lexsort((turn, day))
    day, turn = day[order], turn[order]
    starts = np.flatnonzero(np.append(True, (np.diff(day) != 0) | (np.diff(turn) != 0)))
    highest, label = (np.maximum.reduceat(of[order], starts) for of in (scores, y))
    days = _rows_of_days(day[starts])
    values, ceiling = (_found_per_day(k, of, label, turn[starts], days) for of in (highest, label))
    return DailyPrecision(k, values, ceiling)


def _found_per_day(k: int, highest: Floats, label: Floats, turn: Ints, days: list[Ints]) -> Floats:
    """Share of compromised cards among the k highest of each day, where those that are found leave the later ones."""
    found = np.zeros(turn.max() + 1, dtype=bool)
    values = np.zeros(len(days))
    for place, rows in enumerate(days):
        left = rows[~found[turn[rows]]]
        top = left[np.lexsort((turn[left], -highest[left]))[:k]]
        compromised = turn[top[label[top] == 1]]
        found[compromised] = True
        values[place] = len(compromised) / k
    return values


def alerts_per_day(alerts: npt.NDArray[np.bool_], day: Ints, weight: Floats | None = None) -> Floats:
    """Weighted alerts of every day from the first to the last, (days,); days without rows count 0.

    >>> alerts_per_day(np.array([True, True, False, True]), np.array([5, 5, 6, 8]))
    array([2., 0., 0., 1.])
    """
    _check(1, day)
    weighted = alerts.astype(np.float64) if weight is None else alerts * weight
    counts: Floats = np.bincount(day - day.min(), weights=weighted).astype(np.float64)
    return counts


def _check(k: int, day: Ints) -> None:
    check_number("k", k, 1, whole=True)
    if len(day) and np.ptp(day) > MOST_DAYS:
        raise EvaluationError(
            f"the rows span {int(np.ptp(day)):,} days. Expected a time in seconds: give it so, or as dates."
        )
    if not len(day):
        raise EvaluationError("there are no rows, so no day. Expected at least one row.")


def _rows_of_days(day: Ints) -> list[Ints]:
    """The row numbers of each day, days in order."""
    order = np.argsort(day, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(day[order])) + 1)
