"""Simple detectors that every result is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import pinvh
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.svm import OneClassSVM

from oddrow.evaluate.folds import thinned
from oddrow.typing import Floats

MOST_SVM_ROWS = 5000
MOST_FOREST_ROWS = 50_000

# With fewer known anomalies, the result of a classifier is mostly chance.
FEWEST_LABELLED = 20

# Rows converted to float64 at a time.
BLOCK = 8192


class Baseline(Protocol):
    """A detector that is fitted to numbers (n, d) and scores numbers (m, d), higher is odder."""

    def fit(self, X: npt.NDArray[np.float32]) -> Baseline:
        """Learn from the training rows."""

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> Floats:
        """Return how odd each row is, (m,)."""


class Forest:
    """scikit-learn's IsolationForest with its defaults (Liu et al., 2008)."""

    def __init__(self, seed: int) -> None:
        self.model = IsolationForest(random_state=seed)

    def fit(self, X: npt.NDArray[np.float32]) -> Forest:
        """Grow 100 trees on 256 rows each."""
        self.model.fit(X)
        return self

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> Floats:
        """Return how easily each row is isolated, (m,)."""
        return -np.asarray(self.model.score_samples(X))


class Mahalanobis:
    """Squared Mahalanobis distance from the mean of the training rows.

    scikit-learn's EmpiricalCovariance gives the same numbers but needs three copies of the rows in float64. This class
    adds up the covariance block by block.
    """

    def fit(self, X: npt.NDArray[np.float32]) -> Mahalanobis:
        """Compute the mean and the inverse covariance, or its pseudo-inverse if it is singular."""
        self.mean = X.mean(axis=0, dtype=np.float64)
        covariance = sum(centred.T @ centred for centred in self._centred(X)) / len(X)
        self.precision = pinvh(covariance)
        return self

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> Floats:
        """Return the squared distance of each row, (m,)."""
        return np.concatenate([((centred @ self.precision) * centred).sum(axis=1) for centred in self._centred(X)])

    def _centred(self, X: npt.NDArray[np.float32]) -> Iterator[Floats]:
        return (X[start : start + BLOCK] - self.mean for start in range(0, len(X), BLOCK))


class OneClass:
    """scikit-learn's one-class SVM, nu 0.1, on at most 5,000 random rows: its cost grows quadratically."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.model = OneClassSVM(nu=0.1)

    def fit(self, X: npt.NDArray[np.float32]) -> OneClass:
        """Sample the rows and find the boundary."""
        self.model.fit(X[self.rng.permutation(len(X))[:MOST_SVM_ROWS]])
        return self

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> Floats:
        """Return how far beyond the boundary each row is, (m,)."""
        return -np.asarray(self.model.decision_function(X))


class Supervised:
    """Random forest trained on the labels (Breiman, 2001), to show what the labels are worth.

    It is scikit-learn's, fitted to all known anomalies and a sample of the normal rows, at most 50,000 in all.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.model = RandomForestClassifier(n_jobs=-1, random_state=seed)

    def fit(self, X: npt.NDArray[np.float32], y: Floats) -> Supervised:
        """Grow 100 trees on rows (n, d) with labels (n,)."""
        rows = thinned(np.arange(len(y)), y, MOST_FOREST_ROWS, self.rng)
        self.model.fit(X[rows], y[rows])
        return self

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> Floats:
        """Return the share of the trees' votes for an anomaly, (m,)."""
        return np.asarray(self.model.predict_proba(X)[:, 1], dtype=np.float64)


def baselines(seed: int) -> dict[str, Baseline]:
    """Return the baselines by the names that tables show.

    Parameters
    ----------
    seed : int
        Random seed.

    Returns
    -------
    dict of str to Baseline
        IsolationForest and Mahalanobis distance, not yet fitted.

    Examples
    --------
    >>> list(baselines(0))
    ['IsolationForest', 'Mahalanobis']
    """
    return {"IsolationForest": Forest(seed), "Mahalanobis": Mahalanobis()}
