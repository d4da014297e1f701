"""`RowDecider`: the score of one row, a dict, and whether it reaches the cuts of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from oddrow.detectors.base import Detector
from oddrow.detectors.row_scorer import RowScorer
from oddrow.thresholds.threshold import BANDS, Threshold


class Decision(NamedTuple):
    """What a model makes of one row: its score, whether that reaches the threshold, and the band.

    The band is "pass" below the threshold, "block" from a second cut on where the model has one, else "review". Where
    the threshold has no cap and limits no share of false alerts, a row that reaches it is an alert. Else only all rows
    of a day together can say which of those that reach it are alerts: `Threshold.alerts` does.
    """

    score: float
    reached: bool
    band: str


class RowDecider:
    """Scores a row and holds it against the cuts; `Artifact.row_scorer` makes one. Several threads may share it."""

    def __init__(self, detector: Detector, threshold: Threshold, block: Threshold | None) -> None:
        self._scorer = RowScorer(detector)
        self._cuts = threshold.value, float("inf") if block is None else block.value

    def __call__(self, row: Mapping[str, Any]) -> Decision:
        """What the model makes of a row; raises `TableError` as `RowScorer` does."""
        score = self._scorer(row)
        reached, blocked = (score >= cut for cut in self._cuts)
        return Decision(score, reached, BANDS[reached + (reached and blocked)])
