"""Weeks of transactions: which rows teach, which test, once cards known to be compromised are left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oddrow.evaluate.folds import Fold, Spans, check_folds, walk_forward, without_compromised
from oddrow.recipes.labelled import LabelledTable
from oddrow.recipes.recipe import Prequential, Recipe
from oddrow.table.split import duration, moment_on_clock

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Transactions:
    """Labelled features with the time (n,) in seconds and the card (n,) of each row."""

    data: LabelledTable
    time: Floats
    entity: Ints
    spans: Spans
    begins: dict[str, float]

    @classmethod
    def read(cls, recipe: Recipe[Prequential], folder: Path) -> Transactions:
        """Find the file of a recipe in a folder, read it, and add what each card and terminal did before each row."""
        path, _ = recipe.find(folder)
        settings, protocol = recipe.settings, recipe.protocol
        chosen = settings.select(str(path), both=True)
        assert chosen.y is not None
        assert chosen.time is not None
        assert chosen.entity is not None
        made = [] if settings.history is None else settings.history.names
        table = chosen.table.keep([*recipe.data.columns, *made])
        schema = settings.schema_of(table)
        features = replace(table, source=path.name).keep(schema.feature_names).with_schema(schema)
        times = chosen.table.frame[settings.roles.time or ""]
        spans = Spans(*(duration(part, times) for part in protocol.spans.split(",")))
        starts = [*protocol.starts, *protocol.tuned_from]
        begins = {start: moment_on_clock(start, times) for start in starts}
        return cls(LabelledTable(features, chosen.y, path, None), chosen.time, chosen.entity, spans, begins)

    def fold(self, start: str) -> Fold:
        """The rows that teach from this day on, and those to test: of cards not known to be compromised by then."""
        begin = self.begins[start]
        (fold,) = walk_forward(self.time, self.spans, 1, start=begin)
        y = self.data.y
        left = without_compromised(fold, y, self.entity, self.time, delay=self.spans.delay, begin=begin)
        check_folds([left], y)
        return left
