"""`ReportData`: what a report is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from oddrow.artifact import Artifact
from oddrow.evaluate.evaluation import Evaluation
from oddrow.report.pictures import PlotData
from oddrow.table.convert import as_text
from oddrow.table.dataset import Dataset
from oddrow.table.table import Table
from oddrow.typing import Floats, Ints

# So many numeric columns, named by consecutive numbers, are samples in time.
LEAST_SAMPLES = 32


@dataclass(frozen=True)
class ReportData:
    """A model, the rows of a table, everybody's scores (n,) of them, the model's own first, and what was measured, or
    else `notes` on the rows; `span` says which rows of which table these are.
    """

    artifact: Artifact
    chosen: Dataset
    scores: Mapping[str, Floats]
    evaluation: Evaluation | None
    notes: tuple[str, ...] = ()
    span: str = ""

    @cached_property
    def own(self) -> Floats:
        """The model's scores, (n,)."""
        return next(iter(self.scores.values()))

    @cached_property
    def alerts(self) -> npt.NDArray[np.bool_]:
        """Which rows are alerts, (n,)."""
        return self.artifact.threshold.alerts(self.own, self.chosen.outcomes.time, self.chosen.outcomes.entity)

    @property
    def y(self) -> Floats:
        """The labels, (n,), NaN where unknown."""
        return self.chosen.outcomes.labels

    @cached_property
    def from_the_oddest(self) -> Ints:
        """The numbers of all rows, those that score highest first."""
        return np.argsort(-self.own, kind="stable")

    @cached_property
    def drawn(self) -> PlotData:
        """The rows as pictures take them."""
        cuts = {"threshold": self.artifact.threshold, "block": self.artifact.block}
        values = {name: cut.value for name, cut in cuts.items() if cut is not None}
        return PlotData(self.chosen.outcomes, self.scores, values)

    @cached_property
    def words(self) -> Mapping[str, str]:
        """The columns of history in words."""
        return {} if self.artifact.history is None else self.artifact.history.descriptions

    @cached_property
    def is_series(self) -> bool:
        """Whether the columns are named by consecutive numbers, as samples in time are."""
        features = self.artifact.detector.schema_.features
        names = [column.name for column in features if column.kind == "numeric" and column.name.isdecimal()]
        if len(features) < LEAST_SAMPLES or len(names) < len(features):
            return False
        return bool((np.diff([int(name) for name in names]) == 1).all())

    def named(self, row: int) -> str:
        """A row by its id, or by its number in the table."""
        column = self.artifact.roles.id
        ids = as_text(self.chosen.table.frame[column]) if column in self.chosen.table.columns else None
        own = None if ids is None else ids[int(row)]
        return f"{self.chosen.rows[row]}" if own is None else str(own)

    def table(self, rows: Ints) -> Table:
        """Some of the rows."""
        return self.chosen.table.take(np.asarray(rows))
