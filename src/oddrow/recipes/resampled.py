"""Running a resampling recipe: as published, where made-up rows are in the test too, and honestly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import OddrowError
from oddrow.plots import as_svg, losses, marginals
from oddrow.recipes.as_published import generated_before, under_sampled_before
from oddrow.recipes.honest import CVAE, UNDER, AfterDividing
from oddrow.recipes.labelled import LabelledTable
from oddrow.recipes.learning import CLASSIFIERS, LearnAndTest, Line, lines
from oddrow.recipes.recipe import Recipe, Resampling
from oddrow.recipes.reports import page_of_results, write_report
from oddrow.recipes.results import HEADINGS, LINE, Results, write_results
from oddrow.recipes.runs import Runs
from oddrow.report import Picture
from oddrow.report.pictures import plane
from oddrow.table.table import Table
from oddrow.table.write import write_text
from oddrow.train.history import History

Floats = npt.NDArray[np.float64]
Tell = Callable[[Any], None]

PARTS = {"total": "loss", "reconstruction": "reconstruction", "KL": "kl", "held-out total": "validation_loss"}
LOSSES = {
    "losses-as-published": "What the network that saw the frauds alone lost in each epoch.",
    "losses-honest": "What the conditional network lost in each epoch.",
}
MADE = "real ones that taught the network and those it made up"
N_MARGINALS = 4
NOTES = (
    "As published, rows are made up, or left out, before they are divided: most frauds of that test are made up, or "
    "half of its rows are frauds. The lines that say honest divide first; their test rows are all real.",
    "A made-up row tells a classifier nothing that the real frauds do not: docs/compare.md measures when it helps.",
)
MORE = {"synthetic_share": "synthetic among test frauds"}


class Resampled:
    """A recipe of the resampling kind on its rows; runs that are in the folder already are read from there."""

    def __init__(
        self,
        recipe: Recipe[Resampling],
        data: LabelledTable,
        folder: Path,
        tell: Tell,
        command: str = "",
    ) -> None:
        known = ~np.isnan(data.y)
        self.recipe, self.data, self.folder, self.tell, self.command = recipe, data, folder, tell, command
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
        write_report(self.folder, lambda: page_of_results(results, self._pictures(), NOTES, self.command), self.tell)
        return results

    @property
    def _said(self) -> str:
        return (
            f"published: {self.recipe.protocol.n_generated:,} generated frauds, or under-sampling, before dividing; "
            "honest: after it, training rows alone"
        )

    def _as_published(self, run: int) -> Iterator[Line]:
        X = self.table.in_memory.to_numpy().astype(np.float64)
        n = self.recipe.protocol.n_generated
        rows, history = generated_before(X, self.y, self.weight, n=n, share=self.share, seed=run)
        self._draw("losses-as-published", _losses(history), "As published, the last run's network")
        yield from self._lines(CVAE, "published", rows, run, CLASSIFIERS[:1])
        balanced = under_sampled_before(X, self.y, share=self.share, seed=run)
        yield from self._lines(UNDER, "published", balanced, run, CLASSIFIERS)

    def _honest(self, run: int) -> Iterator[Line]:
        divided = AfterDividing(self.table, self.y, self.weight, share=self.share, seed=run)
        for name, rows in divided.resampled():
            yield from self._lines(name, "honest", rows, run, CLASSIFIERS)
        self._draw("losses-honest", _losses(divided.history), "Honest, the last run's network")
        for other in self.folder.glob("marginals-*.svg"):
            other.unlink()
        real = divided.table.in_memory.filter(divided.y == 1)
        for name in _telling_columns(divided.table, divided.y):
            self._draw(f"marginals-{name}", partial(marginals, real[name], divided.made[name], name=name))

    def _lines(
        self, name: str, rule: str, rows: LearnAndTest, run: int, classifiers: tuple[str, ...]
    ) -> Iterator[Line]:
        self.tell(f"Run {run}, {rule}: {name} …")
        for classifier in classifiers:
            for line in lines(name, classifier, rows, run):
                yield {**line, "rule": rule}

    def _draw(self, file: str, draw: Callable[..., Any], title: str = "") -> None:
        """Keep a picture of the last run for the report, where matplotlib is installed."""
        try:
            axes = draw(axes=plane())
            axes.set_title(title or axes.get_title())
            write_text(as_svg(axes).decode(), self.folder / f"{file}.svg")
        except OddrowError as error:
            self.tell(f"No picture {file}: {error}")

    def _pictures(self) -> list[Picture]:
        """The pictures that there are, in order."""
        named = {**LOSSES, **{f"marginals-{name}": f"{name} of frauds, {MADE}." for name in self.table.columns}}
        found = {name: self.folder / f"{name}.svg" for name in named}
        return [Picture(path.read_bytes(), named[name]) for name, path in found.items() if path.exists()]


def _losses(history: History) -> Callable[..., Any]:
    """What draws total, reconstruction and KL of a network, epoch by epoch."""
    parts = {name: [entry[key] for entry in history] for name, key in PARTS.items() if key in history[0]}
    return partial(losses, parts, epochs=[entry["epoch"] for entry in history])


def _telling_columns(table: Table, y: Floats) -> list[str]:
    """The columns whose means differ most between the classes, in spreads of the normal rows."""
    X = table.in_memory.to_numpy().astype(np.float64)
    apart = np.abs(X[y == 1].mean(axis=0) - X[y == 0].mean(axis=0)) / (X[y == 0].std(axis=0) + 1e-12)
    return [table.columns[place] for place in np.argsort(-apart)[:N_MARGINALS]]
