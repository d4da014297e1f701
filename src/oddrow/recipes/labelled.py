"""The rows of a recipe: a table of features, its label, and the files that both come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oddrow.evaluate.protocol import HeldOut
from oddrow.recipes.cases import RowNumbers
from oddrow.recipes.recipe import Recipe
from oddrow.table.fingerprint import table_hashes
from oddrow.table.join import Join, read_joined
from oddrow.table.table import Table
from oddrow.thresholds import Fingerprint

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelledTable:
    """Features alone, with their schema, and the label y (n,): 1 anomaly, 0 normal, NaN unknown."""

    table: Table
    y: Floats
    path: Path
    join: Join | None

    @classmethod
    def read(cls, recipe: Recipe, folder: Path) -> LabelledTable:
        """Find the files of a recipe in a folder and read them."""
        path, join = recipe.find(folder)
        settings = recipe.settings
        table = read_joined(str(path), settings.read, join)
        settings.roles.check(table.columns)
        y = settings.roles.labels(table.frame, both=True)
        schema = settings.schema_of(table)
        features = replace(table, source=path.name).keep(schema.feature_names).with_schema(schema)
        return cls(features, y, path, join)

    @property
    def n_anomalies(self) -> int:
        """How many rows are known to be anomalous."""
        return int((self.y == 1).sum())

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """A hash of the features of every row, (n,)."""
        return table_hashes(self.table.frame, self.table.fitted_schema())

    def fingerprint(self, rows: RowNumbers) -> Fingerprint:
        """Which rows these are."""
        return Fingerprint.of(self.hashes[rows])

    def held_out(self, rows: RowNumbers) -> HeldOut:
        """These rows as ones to measure on."""
        return HeldOut(self.y[rows], self.hashes[rows], self.table.synthetic[rows])
