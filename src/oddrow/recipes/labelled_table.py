"""The labelled rows of a recipe, and how a detection recipe splits them in each run."""

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
from oddrow.evaluate.result import TestSet
from oddrow.outcomes import Outcomes
from oddrow.recipes.recipe import DetectionProtocol, Recipe
from oddrow.table.invalid_values import missing_column
from oddrow.table.join import Join, read_joined
from oddrow.table.table import Table, table_hashes
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.typing import Floats, Ints

# The share of the normal training rows that sets the threshold, and of the anomalies if the rule needs labels.
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class LabelledTable:
    """The features of a recipe's rows, and their outcomes.

    `numbers` (n,) are the row numbers in the file, None if all rows are used.
    """

    table: Table
    outcomes: Outcomes
    path: Path
    join: Join | None
    numbers: Ints | None = None

    @classmethod
    def read(cls, recipe: Recipe[Any], folder: Path) -> LabelledTable:
        """Find the files of a recipe in a folder and read them."""
        path, join = recipe.find(folder)
        settings = recipe.settings
        table = read_joined(str(path), settings.read, join)
        settings.roles.check(table.columns)
        table, weight, numbers = _select(table, recipe)
        y = settings.roles.labels(table.frame, both=True)
        schema = settings.schema_of(table)
        features = replace(table, source=path.name).keep(schema.feature_names).with_schema(schema)
        outcomes = Outcomes(y=y, weight=None if weight is None else np.where(y == 0, weight, 1.0))
        return cls(features, outcomes, path, join, numbers)

    @property
    def y(self) -> Floats:
        """The labels, (n,): 1 anomaly, 0 normal, NaN unknown."""
        return self.outcomes.labels

    @property
    def n_anomalies(self) -> int:
        """The number of known anomalies."""
        return int(self.outcomes.anomalous.sum())

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """A hash of the features of each row, (n,)."""
        return table_hashes(self.table.frame, self.table.fitted_schema())

    @property
    def sha256(self) -> str:
        """A hash of all features and labels."""
        return hashlib.sha256(self.hashes.tobytes() + self.y.tobytes()).hexdigest()

    def fingerprint(self, rows: Ints) -> Fingerprint:
        """Return the fingerprint of some rows."""
        return Fingerprint.of(self.hashes[rows])

    def test_set(self, rows: Ints) -> TestSet:
        """Return some rows as a test set."""
        return TestSet(self.outcomes.take(rows), self.hashes[rows], self.table.synthetic[rows])

    def file_numbers(self, rows: Ints) -> Ints:
        """Return the numbers that some rows have in the file."""
        return rows if self.numbers is None else self.numbers[rows]


def _select(table: Table, recipe: Recipe[Any]) -> tuple[Table, float | None, Ints | None]:
    """Return the rows and columns to use; for a sample, the weight of a normal row and the row numbers in the file."""
    data, weight, numbers = recipe.data, None, None
    raise_all([missing_column(name, table.columns) for name in data.columns if name not in table.columns])
    if data.sample is not None and data.n_normal is not None and data.sample in table.columns:
        is_normal = recipe.settings.roles.labels(table.frame, both=True) == 0
        is_drawn = table.frame[data.sample].cast(pl.Boolean).to_numpy()
        weight = data.n_normal / (is_normal & is_drawn).sum()
        numbers = np.flatnonzero(~is_normal | is_drawn)
        table = table.take(numbers)
    return (table.keep(list(data.columns)) if data.columns else table), weight, numbers


@dataclass(frozen=True)
class Case:
    """One run of a detection recipe at one share of anomalies in the training rows."""

    run: int
    contamination: float

    @property
    def file(self) -> str:
        """The file that keeps the results of the case."""
        return f"run-{self.run:02d}-{self.contamination:g}.json"


@dataclass(frozen=True)
class CaseSplit:
    """The row numbers of a case: to fit, normal and anomalous ones held out for the threshold, and to test."""

    training: Ints
    validation: Ints
    validation_anomalies: Ints
    test: Ints


def split_case(recipe: Recipe[DetectionProtocol], y: Floats, case: Case) -> CaseSplit:
    """Split the labelled rows of a case at random.

    A share of all rows trains, the others test. Of the training part, a tenth of the normal rows and a tenth of the
    anomalies are held out, and the other normal rows are fitted to. With contamination, other anomalies of the training
    part join them. Raises `ParameterError` if there are too few of them.
    """
    rng = np.random.default_rng(case.run)
    anomalies = np.flatnonzero(y == 1)
    if recipe.protocol.n_anomalies is not None:
        anomalies = rng.permutation(anomalies)[: recipe.protocol.n_anomalies]
    rows = rng.permutation(np.concatenate([np.flatnonzero(y == 0), anomalies]))
    n_train = int(len(rows) * recipe.protocol.train_share)
    train, test = rows[:n_train], np.sort(rows[n_train:])
    normal, anomalous = train[y[train] == 0], train[y[train] == 1]
    n_validation, n_mixable = int(len(normal) * HELD_OUT_SHARE), len(anomalous) - int(len(anomalous) * HELD_OUT_SHARE)
    training = normal[n_validation:]
    n_mixed = round(len(training) * case.contamination / (1 - case.contamination))
    if n_mixed > n_mixable:
        raise ParameterError(
            f"protocol.contamination={case.contamination:g} needs {n_mixed:,} anomalies for {len(training):,} normal "
            f"training rows, but run {case.run} has {n_mixable:,}."
        )
    return CaseSplit(
        np.sort(np.concatenate([training, anomalous[:n_mixed]])),
        np.sort(normal[:n_validation]),
        np.sort(anomalous[n_mixable:]),
        test,
    )
