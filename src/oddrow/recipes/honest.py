"""The same classifiers, where rows are divided first: training rows alone are resampled, the test stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from oddrow.evaluate.resampling import NOTHING, usual_samplers
from oddrow.recipes.learning import LearnAndTest
from oddrow.samplers.cvae import CVAESampler
from oddrow.table.numbers import Numbers
from oddrow.table.split import split_random
from oddrow.table.table import Table
from oddrow.train.history import History

Floats = npt.NDArray[np.float64]

UNDER, CVAE = "under-sampling", "CVAE"


class AfterDividing:
    """A division of real rows; `history` is how the CVAE learned, and `made` the frauds it made up, once it has."""

    def __init__(self, table: Table, y: Floats, weight: Floats, *, share: float, seed: int) -> None:
        train, test = split_random(len(y), share, np.random.default_rng(seed), y=y)
        self.table, self.y, self.weight, self.seed = table.take(train), y[train], weight[train], seed
        self.numbers = Numbers(self.table)
        self.test = self.numbers(table.take(test)), y[test], weight[test], np.zeros(len(test), bool)
        self.history: History = []
        self.made = self.table.in_memory.clear()

    def resampled(self) -> Iterator[tuple[str, LearnAndTest]]:
        """Nothing, under-sampling and the CVAE, with what is learned from after each."""
        X = self.numbers(self.table)
        yield NOTHING, LearnAndTest(X, self.y, self.weight, *self.test)
        X_under, y_under = usual_samplers(self.seed)[UNDER].fit_resample(X, self.y)
        yield UNDER, LearnAndTest(X_under, y_under, np.ones(len(y_under)), *self.test)
        yield CVAE, self._with_generated()

    def _with_generated(self) -> LearnAndTest:
        """As many frauds as normal rows; a new one stands for as many as a normal row, so that both weigh the same."""
        sampler = CVAESampler(random_state=self.seed)
        frame, y_all = sampler.fit_resample(self.table.frame, self.y.astype(int))
        self.history = sampler.history_
        self.made = frame[len(self.y) :]
        n_new = len(y_all) - len(self.y)
        weight = np.append(self.weight, np.full(n_new, self.weight[self.y == 0].mean()))
        numbers = self.numbers(replace(self.table, frame=frame))
        return LearnAndTest(numbers, y_all.astype(np.float64), weight, *self.test)
