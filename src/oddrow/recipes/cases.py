"""The runs of a recipe, and the rows of each: to fit, to cut by, to test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError
from oddrow.recipes.recipe import Protocol, Recipe

Floats = npt.NDArray[np.float64]
RowNumbers = npt.NDArray[np.int64]

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

    fitting: RowNumbers
    held_out: RowNumbers
    known: RowNumbers
    test: RowNumbers


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


def _anomalies_for(case: Case, n_normal: int, anomalies: RowNumbers) -> RowNumbers:
    """As many anomalies as make up the share that a case asks for."""
    n_wanted = round(n_normal * case.contamination / (1 - case.contamination))
    if n_wanted > len(anomalies):
        raise ParameterError(
            f"protocol.contamination={case.contamination:g} asks for {n_wanted:,} anomalies beside {n_normal:,} normal "
            f"training rows; in run {case.run} there are {len(anomalies):,} of them."
        )
    return anomalies[:n_wanted]
