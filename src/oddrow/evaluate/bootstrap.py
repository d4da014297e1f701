"""How sure a number is: test rows drawn again and again (Efron and Tibshirani, 1993)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

N_DRAWS = 400
LEVEL = 0.95
# Draws of all rows are looked at so many at a time.
DRAWS_AT_ONCE = 50


class Interval(NamedTuple):
    """A number, and where it lies in the middle 95 % of the draws."""

    value: float
    low: float
    high: float


def draws_of_rows(y: Floats, seed: int, n_draws: int = N_DRAWS) -> npt.NDArray[np.uint8]:
    """How often each row (n,) is drawn, (n_draws, n); each class is drawn apart, so that none is ever absent."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n_draws, len(y)), np.uint8)
    for rows in (np.flatnonzero(y == label) for label in np.unique(y)):
        for draw in drawn:
            draw[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
    return drawn


def average_precisions(
    y: Floats, scores: Floats, weight: Floats | None, draws: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """The average precision of every draw (n_draws, n) of the rows, (n_draws,), NaN of a draw without anomalies.

    These are scikit-learn's numbers, for rows that are sorted only once.

    >>> average_precisions(np.array([1.0, 0.0]), np.array([0.1, 0.9]), None, np.array([[1, 1], [2, 1]], np.uint8))
    array([0.5       , 0.66666667])
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    base = np.ones(len(y)) if weight is None else weight
    parts = np.array_split(draws, -(-len(draws) // DRAWS_AT_ONCE))
    return np.concatenate([_of_sorted(y[order], ends, part[:, order] * base[order]) for part in parts])


def _of_sorted(y: Floats, ends: npt.NDArray[np.int64], weights: Floats) -> Floats:
    """Average precision of rows in falling order of score, whose ties end at `ends`, for weights (draws, n)."""
    alerts = np.cumsum(weights, axis=1)[:, ends]
    found = np.cumsum(weights * y, axis=1)[:, ends]
    precision = np.divide(found, alerts, out=np.zeros_like(found), where=alerts > 0)
    steps = np.diff(found, axis=1, prepend=0)
    total, n_found = (precision * steps).sum(axis=1), found[:, -1]
    average: Floats = np.divide(total, n_found, out=np.full(len(total), np.nan), where=n_found > 0)
    return average


def interval(value: float, draws: Floats) -> Interval:
    """A number with the interval that its draws (n_draws,) say."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def p_value(draws: Floats) -> float:
    """How often a difference (n_draws,) falls on the other side of 0, both sides counted."""
    n_draws = len(draws)
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (beyond + 1) / (n_draws + 1)))
