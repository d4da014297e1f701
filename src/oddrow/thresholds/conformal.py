"""False alarms with a guarantee from finitely many normal rows: conformal p-values.

Vovk, Gammerman and Shafer (2005) for one row; Bates, Candès, Lei, Romano and Sesia (2023, "Testing for outliers with
conformal p-values") for a whole batch by Benjamini and Hochberg (1995), whose procedure stays valid for them. All of it
holds as long as normal rows to come are drawn like the calibration rows.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import beta

from oddrow.typing import Floats, Mask

# A random part of so many calibration rows is as valid as all of them.
MOST_CALIBRATION = 10_000


def p_values(calibration: Floats, scores: Floats) -> Floats:
    """How odd each score (n,) is among those of normal rows (m,): their share at or above it, itself counted.

    A normal row has a p-value of at most p with probability at most p (Bates et al., 2023, eq. 3).

    >>> p_values(np.array([1.0, 2.0, 3.0]), np.array([2.5, 0.0]))
    array([0.5, 1. ])
    """
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return np.asarray((len(calibration) - below + 1) / (len(calibration) + 1))


def discoveries(calibration: Floats, scores: Floats, rate: float) -> Mask:
    """Mask (n,): the rows to alert in this batch, so that on average at most `rate` of the alerts are false.

    >>> normal = np.arange(99.0)
    >>> discoveries(normal, np.array([50.0, 200.0, 201.0]), 0.1)
    array([False,  True,  True])
    """
    p = p_values(calibration, scores)
    ordered = np.sort(p)
    passed = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    return np.asarray(p <= ordered[passed[-1]]) if len(passed) else np.zeros(len(p), bool)


def rank_for(rate: float, n: int, confidence: float | None = None) -> int:
    """How many of n normal rows may lie above a cut that promises a false alarm rate; below 0 where none does.

    Without a confidence the rate holds on average over calibration sets; with one, for this set with that probability:
    the rate of a cut just above the k-th highest score is Beta(k, n + 1 - k) distributed.

    >>> rank_for(0.01, 99), rank_for(0.01, 98), rank_for(0.01, 1000, 0.95)
    (0, -1, 4)
    """
    if confidence is None:
        return int(np.floor(rate * (n + 1) * (1 + 1e-12))) - 1
    ranks = np.arange(1, n + 1)
    holds = beta.cdf(rate, ranks, n + 1 - ranks) >= confidence
    return int(holds.sum()) - 1


def fewest_for(rate: float, confidence: float | None = None) -> int:
    """How many normal rows it takes to promise a false alarm rate at all.

    >>> fewest_for(0.01), fewest_for(0.01, 0.95)
    (99, 299)
    """
    if confidence is None:
        return int(np.ceil(1 / rate * (1 - 1e-12))) - 1
    return int(np.ceil(np.log(1 - confidence) / np.log1p(-rate)))


def cut_above(calibration: Floats, n_above: int) -> float:
    """The lowest cut that so many of the calibration scores (m,) reach at most."""
    highest_first = np.sort(calibration)[::-1]
    return float(np.nextafter(highest_first[n_above], np.inf))
