"""`Explanation`: all that is said of one row."""

from __future__ import annotations

from dataclasses import dataclass

from oddrow.explain.counterfactual import Change
from oddrow.explain.reason import Reason


@dataclass(frozen=True)
class Explanation:
    """A row's score, the cut it is held against with its rule, and the columns that make it odd, the oddest first.

    Of a row whose score reaches the cut, `changes` make the nearest normal row, which scores `normal_score`; None where
    none was found, or asked for.
    """

    named: str
    score: float
    cut: float
    rule: str
    reasons: tuple[Reason, ...]
    changes: tuple[Change, ...] = ()
    normal_score: float | None = None

    @property
    def is_above(self) -> bool:
        """Whether the score reaches the cut."""
        return self.score >= self.cut

    @property
    def nearest(self) -> str:
        """The nearest normal row in words."""
        if self.normal_score is None:
            return "No row below the threshold was found that has only values as training rows had them."
        return f"Nearest normal row (score {self.normal_score:.6g}): {'; '.join(map(str, self.changes))}."
