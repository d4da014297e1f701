"""Running a prequential recipe: fold by fold, everybody taught by one span and tested on a later one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from oddrow.evaluate.daily import card_precision_at_k
from oddrow.evaluate.folds import Fold
from oddrow.evaluate.metrics import auroc, average_precision
from oddrow.recipes.learners import Week, learners, tuned_parameters
from oddrow.recipes.recipe import Prequential, Recipe
from oddrow.recipes.reports import page_of_results, write_report
from oddrow.recipes.results import TIMES, Results, write_results
from oddrow.recipes.runs import Line, Runs
from oddrow.recipes.weeks import Transactions
from oddrow.thresholds.scored import day_of

Tell = Callable[[Any], None]

K = 100
NOTES = (
    "The transactions are simulated, and every fraud is known a week later: real labels come late, and not all do.",
    "What was tuned was tuned on other weeks than those it is shown on.",
)
HEADINGS = {"auroc": "AUROC", "ap": "AP", "card_precision": f"CP@{K}"}


class PrequentialRuns:
    """A recipe of this kind on its rows; what is in the folder already is read from there."""

    def __init__(
        self,
        recipe: Recipe[Prequential],
        rows: Transactions,
        folder: Path,
        tell: Tell,
        command: str = "",
    ) -> None:
        self.recipe, self.rows, self.folder, self.tell, self.command = recipe, rows, folder, tell, command
        described = {
            "rows": rows.data.sha256,
            "protocol": {**asdict(recipe.protocol), "runs": None, "parts": None},
            "detector": recipe.settings.new_detector().get_params(),
        }
        self.runs = Runs(folder, described, ("detector", *HEADINGS, *TIMES))

    def run(self, n_runs: int) -> Results:
        """Run all folds that are missing, then gather them part by part."""
        self.runs.make_folder()
        for run in range(n_runs):
            for start in self.recipe.protocol.starts:
                if not self.runs.read(_file(run, start)):
                    self.runs.write(_file(run, start), list(self._measured(run, start)))
        found = [
            [line for part in self.recipe.protocol.parts for line in self._part(run, part)] for run in range(n_runs)
        ]
        data, said = self.rows.data, f"spans of {self.recipe.protocol.spans} to train, to wait for labels, to test"
        results = Results.of(self.recipe, data, found, runs=n_runs, said=said, headings=HEADINGS, column="tested on")
        write_results(results, self.folder)
        write_report(self.folder, lambda: page_of_results(results, (), NOTES, self.command), self.tell)
        return results

    def _part(self, run: int, part: str) -> Iterator[Line]:
        for start in self.recipe.protocol.parts[part]:
            for line in self.runs.read(_file(run, start)):
                # What was tuned on a week is no news there.
                if not (line["detector"].endswith(", tuned") and start in self.recipe.protocol.tuned_from):
                    yield {**line, "rule": part}

    def _measured(self, run: int, start: str) -> Iterator[Line]:
        fold = self.rows.fold(start)
        week = self._week(fold, run)
        self.tell(
            f"Run {run}, from {start}: {len(fold.train):,} rows teach ({int(week.y.sum()):,} frauds), "
            f"{len(fold.test):,} test ({int(week.y_test.sum()):,} frauds)."
        )
        for name, fit in learners(week, self.recipe.settings, self._tuned):
            started = time.perf_counter()
            scorer = fit()
            fit_s, started = time.perf_counter() - started, time.perf_counter()
            scores = scorer(week.test)
            line = {"detector": name, **self._numbers(fold, scores), "fit_s": fit_s}
            self.tell(f"  {name}: " + ", ".join(f"{HEADINGS[key]} {line[key]:.3f}" for key in HEADINGS))
            yield {**line, "score_s": time.perf_counter() - started}

    def _numbers(self, fold: Fold, scores: Any) -> dict[str, float]:
        y, day, card = self.rows.data.y[fold.test], day_of(self.rows.time[fold.test]), self.rows.entity[fold.test]
        return {
            "auroc": auroc(y, scores),
            "ap": average_precision(y, scores),
            "card_precision": card_precision_at_k(K, y, scores, day, card).mean,
        }

    @cached_property
    def _tuned(self) -> dict[str, Any] | None:
        weeks = [self._week(self.rows.fold(start), 0) for start in self.recipe.protocol.tuned_from]
        return tuned_parameters(weeks, self.tell)

    def _week(self, fold: Fold, seed: int) -> Week:
        table, y = self.rows.data.table, self.rows.data.y
        return Week(table.take(fold.train), y[fold.train], table.take(fold.test), y[fold.test], seed)


def _file(run: int, start: str) -> str:
    return f"run-{run:02d}-{start}.json"
