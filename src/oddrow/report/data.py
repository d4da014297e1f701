"""`ReportData`: the model, the rows and the numbers that a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from oddrow.artifact import Artifact
from oddrow.evaluate.evaluation import Evaluation
from oddrow.report.pictures import PlotData
from oddrow.table.convert import as_text
from oddrow.table.dataset import Dataset
from oddrow.table.table import Table
from oddrow.typing import Floats, Ints, Mask

# This many numeric columns, named by consecutive numbers, are samples in time.
LEAST_SAMPLES = 32


@dataclass(frozen=True)
class ReportData:
    """What a report is about.

    `scores` (n,) are those of all scorers, the model first. Without an `evaluation`, `notes` say what the reader must
    know about the rows. `span` names the table and the period that the rows come from.
    """

    artifact: Artifact
    dataset: Dataset
    scores: Mapping[str, Floats]
    evaluation: Evaluation | None
    notes: tuple[str, ...] = ()
    span: str = ""

    @cached_property
    def model_scores(self) -> Floats:
        """The scores of the model, (n,)."""
        return next(iter(self.scores.values()))

    @cached_property
    def alerts(self) -> Mask:
        """The rows that are alerts, (n,)."""
        outcomes = self.dataset.outcomes
        return self.artifact.threshold.alerts(self.model_scores, outcomes.time, outcomes.entity)

    @property
    def labels(self) -> Floats:
        """The labels, (n,), NaN if unknown."""
        return self.dataset.outcomes.labels

    @cached_property
    def by_score(self) -> Ints:
        """The numbers of all rows, the highest score first."""
        return np.argsort(-self.model_scores, kind="stable")

    @cached_property
    def plot_data(self) -> PlotData:
        """The rows in the form that plots take."""
        thresholds = {"threshold": self.artifact.threshold, "block": self.artifact.block}
        values = {name: threshold.value for name, threshold in thresholds.items() if threshold is not None}
        return PlotData(self.dataset.outcomes, self.scores, values)

    @cached_property
    def is_series(self) -> bool:
        """Whether the columns are samples in time: numeric, and named by consecutive numbers."""
        features = self.artifact.detector.schema_.features
        names = [column.name for column in features if column.kind == "numeric" and column.name.isdecimal()]
        if len(features) < LEAST_SAMPLES or len(names) < len(features):
            return False
        return bool((np.diff([int(name) for name in names]) == 1).all())

    def column_name(self, name: str) -> str:
        """Return the name of a column for readers: a column of history is described in words."""
        history = self.artifact.history
        return name if history is None else history.descriptions.get(name, name)

    def row_name(self, row: int) -> str:
        """Return the id of a row, or its number in the table."""
        column = self.artifact.roles.id
        table = self.dataset.table
        ids = as_text(table.frame[column]) if column in table.columns else None
        own = None if ids is None else ids[int(row)]
        return f"{self.dataset.rows[row]}" if own is None else str(own)

    def take(self, rows: Ints) -> Table:
        """Return the features of some rows."""
        return self.dataset.table.take(np.asarray(rows))
