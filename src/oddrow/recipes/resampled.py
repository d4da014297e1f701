"""Running a resampling recipe: as published, where made-up rows are in the test too, and honestly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from oddrow.errors import OddrowError
from oddrow.plots import losses, save
from oddrow.recipes.as_published import generated_before, under_sampled_before
from oddrow.recipes.honest import CVAE, UNDER, AfterDividing
from oddrow.recipes.labelled import LabelledTable
from oddrow.recipes.learning import CLASSIFIERS, LearnAndTest, Line, lines
from oddrow.recipes.recipe import Recipe, Resampling
from oddrow.recipes.results import HEADINGS, LINE, Results, write_results
from oddrow.recipes.runs import Runs
from oddrow.train.history import History

PARTS = {"total": "loss", "reconstruction": "reconstruction", "KL": "kl", "held-out total": "validation_loss"}
MORE = {"synthetic_share": "synthetic among test frauds"}


class Resampled:
    """A recipe of the resampling kind on its rows; runs that are in the folder already are read from there."""

    def __init__(
        self, recipe: Recipe[Resampling], data: LabelledTable, folder: Path, tell: Callable[[Any], None]
    ) -> None:
        known = ~np.isnan(data.y)
        self.recipe, self.data, self.folder, self.tell = recipe, data, folder, tell
        self.table, self.y = data.table.take(known), data.y[known]
        self.weight = np.ones(len(self.y)) if data.weight is None else data.weight[known]
        self.share = recipe.protocol.test_share
        described = {"rows": data.sha256, "protocol": {**asdict(recipe.protocol), "runs": None}}
        self.runs = Runs(folder, described, (*LINE, *MORE))

    def run(self, n_runs: int) -> Results:
        """Run all that are missing, then gather."""
        self.runs.make_folder()
        files = [f"run-{run:02d}.json" for run in range(n_runs)]
        for run, file in enumerate(files):
            if not self.runs.read(file):
                self.runs.write(file, [*self._as_published(run), *self._honest(run)])
        found = [self.runs.read(file) for file in files]
        results = Results.of(self.recipe, self.data, found, runs=n_runs, said=self._said, headings={**HEADINGS, **MORE})
        write_results(results, self.folder)
        return results

    @property
    def _said(self) -> str:
        return (
            f"published: {self.recipe.protocol.n_generated:,} generated frauds, or under-sampling, before dividing; "
            "honest: after it, training rows alone"
        )

    def _as_published(self, run: int) -> Iterator[Line]:
        X = self.table.frame.to_numpy().astype(np.float64)
        n = self.recipe.protocol.n_generated
        rows, history = generated_before(X, self.y, self.weight, n=n, share=self.share, seed=run)
        self._draw("as published", history)
        yield from self._lines(CVAE, "published", rows, run, CLASSIFIERS[:1])
        balanced = under_sampled_before(X, self.y, share=self.share, seed=run)
        yield from self._lines(UNDER, "published", balanced, run, CLASSIFIERS)

    def _honest(self, run: int) -> Iterator[Line]:
        divided = AfterDividing(self.table, self.y, self.weight, share=self.share, seed=run)
        for name, rows in divided.resampled():
            yield from self._lines(name, "honest", rows, run, CLASSIFIERS)
        self._draw("honest", divided.history)

    def _lines(
        self, name: str, rule: str, rows: LearnAndTest, run: int, classifiers: tuple[str, ...]
    ) -> Iterator[Line]:
        self.tell(f"Run {run}, {rule}: {name} …")
        for classifier in classifiers:
            for line in lines(name, classifier, rows, run):
                yield {**line, "rule": rule}

    def _draw(self, path: str, history: History) -> None:
        """Total, reconstruction and KL of a network, epoch by epoch; a later run's picture takes the place."""
        parts = {name: [entry[key] for entry in history] for name, key in PARTS.items() if key in history[0]}
        try:
            axes = losses(parts)
            axes.set_title(f"{self.recipe.name}, {path}: the last run's network")
            save(axes, self.folder / f"losses-{path.replace(' ', '-')}.png")
        except OddrowError as error:
            self.tell(f"No picture of the losses: {error}")
