"""`HeldOut`: rows to measure on, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.scored import day_of
from oddrow.thresholds.threshold import Threshold

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# An entity with a larger share of the rows than this decides most draws of entities.
CROWD = 0.2
# More of the rows than this among those that chose a threshold, and they are taken for the same ones.
NEARLY_ALL = 0.95
MOST_REPEATED = 0.5


@dataclass(frozen=True)
class HeldOut:
    """The rows to decide on and measure: labels y (n,) of 0 and 1, NaN where nobody knows, content hashes, which are
    synthetic; weight, amount, time in seconds and entity where they are known.
    """

    y: Floats
    hashes: npt.NDArray[np.uint64]
    synthetic: npt.NDArray[np.bool_]
    weight: Floats | None = None
    amount: Floats | None = None
    time: Floats | None = None
    entity: Ints | None = None

    def check(self, threshold: Threshold) -> None:
        """Raise `EvaluationError` for synthetic rows, or a threshold that was chosen on these very rows."""
        if self.synthetic.any():
            raise EvaluationError(
                f"{int(self.synthetic.sum()):,} of {len(self.y):,} test rows are synthetic (oddrow_synthetic is true). "
                "Test on real rows only."
            )
        mark = threshold.fingerprint
        if mark is not None and self._has_chosen(mark):
            raise EvaluationError(
                f"the threshold ({threshold.rule}) was chosen on these very rows, {mark.n_rows:,} of them. "
                "Evaluate on rows that chose nothing."
            )

    def _has_chosen(self, mark: Fingerprint) -> bool:
        """Whether the marked rows are these, their normal or their labelled ones, or nearly so.

        Where many rows repeat each other, other rows look the same, and only equality tells.
        """
        parts = (self.hashes, self.hashes[self.y != 1], self.hashes[~np.isnan(self.y)])
        if any(mark.is_of(part) for part in parts):
            return True
        repeats = self.duplicate_share > MOST_REPEATED
        return not repeats and any(mark.overlap(part) > NEARLY_ALL for part in parts if len(part))

    @cached_property
    def labelled(self) -> HeldOut:
        """The rows of which is known what they are."""
        known = ~np.isnan(self.y)
        if known.all():
            return self
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return HeldOut(**{name: values[known] for name, values in columns.items() if values is not None})

    @cached_property
    def day(self) -> Ints | None:
        """The day of each row, (n,)."""
        return None if self.time is None else day_of(self.time)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of these rows: days without any, an entity that holds many."""
        return [*self._gaps(), *self._crowds()]

    def _gaps(self) -> Iterator[str]:
        if self.day is not None:
            n_days, n_with_rows = int(np.ptp(self.day)) + 1, len(np.unique(self.day))
            if n_with_rows < n_days:
                yield f"{n_days - n_with_rows:,} of {n_days:,} days have no rows; they count as days without alerts."

    def _crowds(self) -> Iterator[str]:
        if self.entity is not None:
            share = np.unique(self.entity, return_counts=True)[1].max() / len(self.entity)
            if share > CROWD:
                yield f"One entity holds {share:.0%} of the rows: intervals by entity say little of others."

    @cached_property
    def duplicate_share(self) -> float:
        """Share of the rows that repeat another one."""
        return 1 - len(np.unique(self.hashes)) / len(self.hashes)
