"""An evaluation that refuses to flatter: a detector beside its baselines on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oddrow.evaluate.held_out import HeldOut
from oddrow.evaluate.result import Result
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Threshold


@dataclass(frozen=True)
class Evaluation:
    """A detector beside its baselines on the same rows, with what a reader must know to believe it."""

    n_rows: int
    n_anomalies: int
    rate: float
    threshold: Threshold
    results: tuple[Result, ...]
    overlap: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        test: HeldOut,
        threshold: Threshold,
        results: tuple[Result, ...],
        seen: Mapping[str, Fingerprint | None],
        notes: tuple[str, ...] = (),
    ) -> Evaluation:
        """Put together; `seen` maps what was chosen to the fingerprint of the rows it was chosen on."""
        overlap = {name: mark.overlap(test.hashes) for name, mark in seen.items() if mark is not None}
        overlap["duplicates"] = test.duplicate_share
        labelled = test.labelled
        rate = float(np.average(labelled.y, weights=labelled.weight))
        return cls(len(test.y), int(labelled.y.sum()), rate, threshold, results, overlap, notes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n_rows": self.n_rows,
            "n_anomalies": self.n_anomalies,
            "rate": self.rate,
            "threshold": self.threshold.remembered.to_dict(),
            "results": [result.to_dict() for result in self.results],
            "overlap": dict(self.overlap),
            "notes": list(self.notes),
        }
