"""An evaluation that refuses to flatter: the rows it measures on, and the numbers beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError
from oddrow.evaluate.metrics import Confusion, auroc, average_precision, confusion, precision_at
from oddrow.thresholds import Fingerprint, Threshold

Floats = npt.NDArray[np.float64]

K = (10, 100, 1000)


@dataclass(frozen=True)
class HeldOut:
    """The rows to measure on: labels y (n,) of 0 and 1, weights, content hashes, which are synthetic."""

    y: Floats
    hashes: npt.NDArray[np.uint64]
    synthetic: npt.NDArray[np.bool_]
    weight: Floats | None = None

    def check(self, threshold: Threshold) -> None:
        """Raise `EvaluationError` for synthetic rows, or a threshold that was chosen on these very rows."""
        if self.synthetic.any():
            raise EvaluationError(
                f"{int(self.synthetic.sum()):,} of {len(self.y):,} test rows are synthetic (oddrow_synthetic is true). "
                "Test on real rows only."
            )
        if threshold.fingerprint is not None and threshold.fingerprint.is_of(self.hashes):
            raise EvaluationError(
                f"the threshold ({threshold.rule}) was chosen on exactly these {len(self.y):,} rows. "
                "Evaluate on rows that chose nothing."
            )

    @property
    def duplicate_share(self) -> float:
        """Share of the rows that repeat another one."""
        return 1 - len(np.unique(self.hashes)) / len(self.hashes)


@dataclass(frozen=True)
class Result:
    """The numbers of one scorer. `precision_at` maps k to the precision among the k highest scores."""

    name: str
    average_precision: float
    auroc: float
    precision_at: dict[int, float]
    threshold: float
    confusion: Confusion

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        at_cut = {name: getattr(self.confusion, name) for name in ("precision", "recall", "f1")}
        return {**asdict(self), **at_cut}


def measure(name: str, test: HeldOut, scores: Floats, threshold: Threshold) -> Result:
    """Measure scores (n,) and a threshold on the test rows.

    Raises `EvaluationError` where scores are not finite, and as `HeldOut.check` does.
    """
    test.check(threshold)
    if not np.isfinite(scores).all():
        raise EvaluationError(f"{name}: {int((~np.isfinite(scores)).sum()):,} scores are not finite.")
    total = len(test.y) if test.weight is None else test.weight.sum()
    return Result(
        name,
        average_precision(test.y, scores, test.weight),
        auroc(test.y, scores, test.weight),
        {k: precision_at(k, test.y, scores, test.weight) for k in K if k <= total},
        threshold.value,
        confusion(test.y, threshold.alerts(scores), test.weight),
    )


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
        rate = float(np.average(test.y, weights=test.weight))
        return cls(len(test.y), int(test.y.sum()), rate, threshold, results, overlap, notes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n_rows": self.n_rows,
            "n_anomalies": self.n_anomalies,
            "rate": self.rate,
            "threshold": self.threshold.to_dict(),
            "results": [result.to_dict() for result in self.results],
            "overlap": dict(self.overlap),
            "notes": list(self.notes),
        }
