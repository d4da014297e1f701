"""The runs of a recipe, and the rows of each: to fit, to cut by, to test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, raise_all
from oddrow.evaluate.evaluation import HeldOutSet
from oddrow.outcomes import Outcomes
from oddrow.recipes.recipe import Protocol, Recipe
from oddrow.table.fingerprint import table_hashes
from oddrow.table.join import Join, read_joined
from oddrow.table.table import Table
from oddrow.table.validation import missing_column
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.typing import Floats, Ints


@dataclass(frozen=True)
class LabelledTable:
    """Features alone, with their schema, and the outcomes of the rows.

    `places` (n,) is the number of each row in the file, None where that is its own.
    """

    table: Table
    outcomes: Outcomes
    path: Path
    join: Join | None
    places: Ints | None = None

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
        outcomes = Outcomes(y=y, weight=None if weight is None else np.where(y == 0, weight, 1.0))
        return cls(features, outcomes, path, join, places)

    @property
    def y(self) -> Floats:
        """The labels, (n,): 1 anomaly, 0 normal, NaN unknown."""
        return self.outcomes.labels

    @property
    def n_anomalies(self) -> int:
        """How many rows are known to be anomalous."""
        return int(self.outcomes.anomalous.sum())

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """A hash of the features of every row, (n,)."""
        return table_hashes(self.table.frame, self.table.fitted_schema())

    @property
    def sha256(self) -> str:
        """Names all rows and their labels."""
        return hashlib.sha256(self.hashes.tobytes() + self.y.tobytes()).hexdigest()

    def fingerprint(self, rows: Ints) -> Fingerprint:
        """Which rows these are."""
        return Fingerprint.of(self.hashes[rows])

    def held_out(self, rows: Ints) -> HeldOutSet:
        """These rows as ones to measure on."""
        return HeldOutSet(self.outcomes.take(rows), self.hashes[rows], self.table.synthetic[rows])

    def places_of(self, rows: Ints) -> Ints:
        """Their numbers in the file."""
        return rows if self.places is None else self.places[rows]


def _sampled(table: Table, recipe: Recipe[Any]) -> tuple[Table, float | None, Ints | None]:
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


# Of the rows that may train, a tenth is kept for the honest cut.
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Case:
    """One run of a recipe at one share of anomalies among the training rows."""

    run: int
    contamination: float

    @property
    def file(self) -> str:
        return f"run-{self.run:02d}-{self.contamination:g}.json"


@dataclass(frozen=True)
class Divided:
    """The row numbers of a case: to fit, normal ones held out, anomalies held out for a cut by labels, and to test."""

    fitting: Ints
    held_out: Ints
    known: Ints
    test: Ints


def divide_case(recipe: Recipe[Protocol], y: Floats, case: Case) -> Divided:
    """The rows of a case: a part tests; of the normal ones in the other part a tenth is held out, the rest fits.

    A tenth of that part's anomalies is held out too. Rows without a label take no part. With contamination, other
    anomalies of the training part join the rows to fit. Raises `ParameterError` where there are too few of them.
    """
    rng = np.random.default_rng(case.run)
    anomalies = np.flatnonzero(y == 1)
    if recipe.protocol.n_anomalies is not None:
        anomalies = rng.permutation(anomalies)[: recipe.protocol.n_anomalies]
    rows = rng.permutation(np.concatenate([np.flatnonzero(y == 0), anomalies]))
    n_train = int(len(rows) * recipe.protocol.train_share)
    train, test = rows[:n_train], np.sort(rows[n_train:])
    normal, odd = train[y[train] == 0], train[y[train] == 1]
    n_held_out = int(len(normal) * HELD_OUT_SHARE)
    fitting = normal[n_held_out:]
    n_known = int(len(odd) * HELD_OUT_SHARE)
    mixed_in = _anomalies_for(case, len(fitting), odd[: len(odd) - n_known])
    fitted, known = np.concatenate([fitting, mixed_in]), odd[len(odd) - n_known :]
    return Divided(np.sort(fitted), np.sort(normal[:n_held_out]), np.sort(known), test)


def _anomalies_for(case: Case, n_normal: int, anomalies: Ints) -> Ints:
    """As many anomalies as make up the share that a case asks for."""
    n_wanted = round(n_normal * case.contamination / (1 - case.contamination))
    if n_wanted > len(anomalies):
        raise ParameterError(
            f"protocol.contamination={case.contamination:g} asks for {n_wanted:,} anomalies beside {n_normal:,} normal "
            f"training rows; in run {case.run} there are {len(anomalies):,} of them."
        )
    return anomalies[:n_wanted]
