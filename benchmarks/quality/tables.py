"""Runs of detectors, ours and the peers', as numbers side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]

NUMBERS = ("auroc", "ap", "f1")
N_DRAWS = 10_000


@dataclass(frozen=True)
class Run:
    """What a detector found in a table with a seed."""

    setting: str
    dataset: str
    n_rows: int
    seed: int
    detector: str
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, line: dict[str, str]) -> Run:
        """A run as a file has it; a peers' file calls the setting a protocol."""
        numbers = tuple(float(line[name] or "nan") for name in NUMBERS)
        setting = line.get("setting") or line["protocol"]
        n_rows = int(line["n_train"]) if setting == "B" else int(line["n_train"]) + int(line["n_test"])
        return cls(setting, line["dataset"], n_rows, int(line["seed"]), line["detector"], numbers)


class Table:
    """The runs of some detectors on the tables where each of them has a number for every one of these seeds."""

    def __init__(self, runs: Iterable[Run], detectors: Sequence[str], seeds: Sequence[int]) -> None:
        named = [run for run in runs if run.detector in detectors and run.seed in seeds]
        wanted = [run for run in named if not math.isnan(run.numbers[0])]
        self.detectors, self.seeds, self.runs = list(detectors), list(seeds), wanted
        found = {(run.dataset, run.detector, run.seed): run for run in wanted}
        datasets = dict.fromkeys(run.dataset for run in wanted)
        self.datasets = [
            name for name in datasets if all((name, who, seed) in found for who in detectors for seed in seeds)
        ]
        # (tables, detectors, numbers), means over the seeds.
        of_seeds = [[[found[name, who, seed].numbers for seed in seeds] for who in detectors] for name in self.datasets]
        self.values = np.array(of_seeds).mean(axis=2) if of_seeds else np.zeros((0, len(detectors), len(NUMBERS)))

    def of(self, detector: str, number: str = "ap") -> Floats:
        """What a detector has on each table, means over the seeds."""
        found: Floats = self.values[:, self.detectors.index(detector), NUMBERS.index(number)]
        return found

    def rank(self, detector: str) -> float:
        """The mean over the tables of the rank by average precision, 1 the best; those that tie share theirs."""
        ranks = rankdata(-self.values[:, :, NUMBERS.index("ap")], axis=1)
        return float(ranks[:, self.detectors.index(detector)].mean())

    def by_rank(self) -> list[str]:
        """The detectors, the best first."""
        return sorted(self.detectors, key=self.rank)


@dataclass(frozen=True)
class Difference:
    """By how much a detector is ahead of another in average precision, over tables."""

    mean: float
    low: float
    high: float
    share_better: float
    n_tables: int

    @classmethod
    def of(cls, ours: Floats, theirs: Floats) -> Difference:
        """With the middle 95 % of what the mean is over tables drawn with replacement."""
        apart = ours - theirs
        rng = np.random.default_rng(0)
        means = apart[rng.integers(len(apart), size=(N_DRAWS, len(apart)))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        return cls(float(apart.mean()), float(low), float(high), float((apart > 0).mean()), len(apart))
