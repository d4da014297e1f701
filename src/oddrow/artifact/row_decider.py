"""`RowDecider`: score single rows and compare them with the thresholds of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from oddrow.detectors.base import Detector
from oddrow.detectors.row_scorer import RowScorer
from oddrow.thresholds.threshold import Threshold


class Decision(NamedTuple):
    """The decision on one row: its score, whether that reaches the threshold, and its band.

    The band is "pass" below the threshold, "block" from the second threshold on (if the model has one), else "review".
    A threshold with a cap, or one that limits the share of false alerts, picks alerts among all rows of a day or batch
    that reach it: use `Threshold.alerts` for these.

    Parameters
    ----------
    score : float
        The anomaly score.
    reached : bool
        Whether the score reaches the threshold.
    band : {"pass", "review", "block"}
        What to do with the row.

    Examples
    --------
    >>> Decision(7.2, True, "review").band
    'review'
    """

    score: float
    reached: bool
    band: str


class RowDecider:
    """Scores a row and compares it with a model's thresholds; made by `Artifact.row_scorer`, safe to share by threads.

    Parameters
    ----------
    detector : Detector
        A fitted detector.
    threshold : Threshold
        Rows that reach it are reviewed.
    block : Threshold or None
        Rows that reach both are blocked.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from oddrow import OddRowDetector
    >>> rows = pl.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), schema=["a", "b"])
    >>> decide = RowDecider(OddRowDetector(random_state=0).fit(rows), Threshold(5.0, "fixed:5"), None)
    >>> decide({"a": 0.0, "b": 9.0}).band
    'review'
    """

    def __init__(self, detector: Detector, threshold: Threshold, block: Threshold | None) -> None:
        self._scorer = RowScorer(detector)
        self._review = threshold.value
        self._block = float("inf") if block is None else block.value

    def __call__(self, row: Mapping[str, Any]) -> Decision:
        """Return the decision on a row; raise `TableError` as `RowScorer` does."""
        score = self._scorer(row)
        reached = score >= self._review
        band = "pass" if not reached else "block" if score >= self._block else "review"
        return Decision(score, reached, band)
