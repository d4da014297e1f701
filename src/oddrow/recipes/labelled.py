"""The rows of a recipe: a table of features, its label, and the files that both come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import raise_all
from oddrow.evaluate.held_out import HeldOut
from oddrow.recipes.cases import RowNumbers
from oddrow.recipes.recipe import Recipe
from oddrow.table.fingerprint import table_hashes
from oddrow.table.join import Join, read_joined
from oddrow.table.schema import missing_column
from oddrow.table.table import Table
from oddrow.thresholds.fingerprint import Fingerprint

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelledTable:
    """Features alone, with their schema, and the label y (n,): 1 anomaly, 0 normal, NaN unknown.

    `weight` (n,) says how many rows each stands for, None where all are there; `places` (n,) the number of each in the
    file, None where that is its own.
    """

    table: Table
    y: Floats
    path: Path
    join: Join | None
    weight: Floats | None = None
    places: RowNumbers | None = None

    @classmethod
    def read(cls, recipe: Recipe[Any], folder: Path) -> LabelledTable:
        """Find the files of a recipe in a folder and read them."""
        path, join = recipe.find(folder)
        settings = recipe.settings
        table = read_joined(str(path), settings.read, join)
        settings.roles.check(table.columns)
        table, weight, places = _sampled(table, recipe)
        y = settings.roles.labels(table.frame, both=True)
        schema = settings.schema_of(table)
        features = replace(table, source=path.name).keep(schema.feature_names).with_schema(schema)
        return cls(features, y, path, join, None if weight is None else np.where(y == 0, weight, 1.0), places)

    @property
    def n_anomalies(self) -> int:
        """How many rows are known to be anomalous."""
        return int((self.y == 1).sum())

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """A hash of the features of every row, (n,)."""
        return table_hashes(self.table.frame, self.table.fitted_schema())

    @property
    def sha256(self) -> str:
        """Names all rows and their labels."""
        return hashlib.sha256(self.hashes.tobytes() + self.y.tobytes()).hexdigest()

    def fingerprint(self, rows: RowNumbers) -> Fingerprint:
        """Which rows these are."""
        return Fingerprint.of(self.hashes[rows])

    def held_out(self, rows: RowNumbers) -> HeldOut:
        """These rows as ones to measure on."""
        return HeldOut(self.y[rows], self.hashes[rows], self.table.synthetic[rows], self.weight_of(rows))

    def places_of(self, rows: RowNumbers) -> RowNumbers:
        """Their numbers in the file."""
        return rows if self.places is None else self.places[rows]

    def weight_of(self, rows: RowNumbers) -> Floats | None:
        """How many rows each of these stands for."""
        return None if self.weight is None else self.weight[rows]


def _sampled(table: Table, recipe: Recipe[Any]) -> tuple[Table, float | None, RowNumbers | None]:
    """The rows and columns to look at; where they are a sample, how many normal rows one of them stands for, and the
    numbers that they had.
    """
    data, weight, places = recipe.data, None, None
    raise_all([missing_column(name, table.columns) for name in data.columns if name not in table.columns])
    if data.sample is not None and data.n_normal is not None and data.sample in table.columns:
        is_normal = recipe.settings.roles.labels(table.frame, both=True) == 0
        is_drawn = table.frame[data.sample].cast(pl.Boolean).to_numpy()
        weight = data.n_normal / (is_normal & is_drawn).sum()
        places = np.flatnonzero(~is_normal | is_drawn)
        table = table.take(places)
    return (table.keep(list(data.columns)) if data.columns else table), weight, places
