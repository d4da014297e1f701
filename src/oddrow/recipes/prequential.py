"""Running a prequential recipe: fold by fold, everybody taught by one span and tested on a later one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from sklearn.base import clone

from oddrow.encoding.matrix import NumericMatrix, TableScorer
from oddrow.evaluate.baselines import Baseline, baselines
from oddrow.evaluate.folds import Fold, Spans, check_folds, walk_forward, without_compromised
from oddrow.metrics.daily import card_precision_at_k
from oddrow.metrics.ranking import auroc, average_precision
from oddrow.recipes.data import LabelledTable
from oddrow.recipes.recipe import Prequential, Recipe
from oddrow.recipes.results import TIMES, Results, write_results
from oddrow.recipes.runner import Line, Runs, page_of_results, write_report
from oddrow.resampling.candidates import default_classifiers
from oddrow.resampling.trial import scores_of
from oddrow.table.split import duration, moment_on_clock
from oddrow.table.table import Table
from oddrow.typing import Floats, Tell
from oddrow.workflow.settings import Settings


@dataclass(frozen=True)
class Transactions:
    """Labelled rows whose time and card are known, and the spans of time that recipes divide them by."""

    data: LabelledTable
    spans: Spans
    begins: dict[str, float]

    @classmethod
    def read(cls, recipe: Recipe[Prequential], folder: Path) -> Transactions:
        """Find the file of a recipe in a folder, read it, and add what each card and terminal did before each row."""
        path, _ = recipe.find(folder)
        settings, protocol = recipe.settings, recipe.protocol
        chosen = settings.select(str(path), both=True)
        made = [] if settings.history is None else settings.history.names
        table = chosen.table.keep([*recipe.data.columns, *made])
        schema = settings.schema_of(table)
        features = replace(table, source=path.name).keep(schema.feature_names).with_schema(schema)
        times = chosen.table.frame[settings.roles.time or ""]
        spans = Spans(*(duration(part, times) for part in protocol.spans.split(",")))
        starts = [*protocol.starts, *protocol.tuned_from]
        begins = {start: moment_on_clock(start, times) for start in starts}
        return cls(LabelledTable(features, chosen.outcomes, path, None), spans, begins)

    def fold(self, start: str) -> Fold:
        """The rows that teach from this day on, and those to test: of cards not known to be compromised by then."""
        begin, y = self.begins[start], self.data.y
        time, entity = self.data.outcomes.time, self.data.outcomes.entity
        assert time is not None
        assert entity is not None
        (fold,) = walk_forward(time, self.spans, 1, start=begin)
        left = without_compromised(fold, y, entity, time, delay=self.spans.delay, begin=begin)
        check_folds([left], y)
        return left


Fit = Callable[[], TableScorer]

CLASSIFIERS = ("logistic regression", "random forest", "gradient boosting", "XGBoost", "LightGBM")

# Chapter 5's grid.
TUNED, GRID = "XGBoost", {"n_estimators": (25, 50, 100), "learning_rate": (0.1, 0.3), "max_depth": (3, 6, 9)}

# The defaults of the version that the book used: later ones give 0.08 less average precision.
AS_THEN: dict[str, dict[str, Any]] = {"XGBoost": {"tree_method": "exact", "base_score": 0.5}}

KNOWN_WEIGHT, TRIM = 10.0, 0.05


@dataclass(frozen=True)
class Week:
    """Rows to learn from, with labels (n,), and rows to test on."""

    train: Table
    y: Floats
    test: Table
    y_test: Floats
    seed: int


def learners(
    week: Week, settings: Settings, tuned: Mapping[str, Any] | None
) -> Iterator[tuple[str, Callable[[], TableScorer]]]:
    """Each by its name, with what fits it and gives what scores a table."""
    numbers = NumericMatrix(week.train)
    usual = _classifiers(week.seed)
    if tuned is not None:
        usual[f"{TUNED}, tuned"] = clone(usual[TUNED]).set_params(**tuned)
    for name, model in usual.items():
        yield name, partial(_taught, model, week, numbers)
    for name, baseline in baselines(week.seed).items():
        yield f"{name}, no labels", partial(_untaught, baseline, week, numbers)
    for name, parameters, y in _detectors(week):
        yield name, partial(_fitted, week, settings, parameters, y)


def tuned_parameters(weeks: Sequence[Week], tell: Callable[[Any], None]) -> dict[str, Any] | None:
    """The best of the book's grid by mean average precision over these weeks; None where XGBoost is not installed."""
    if TUNED not in default_classifiers(0):
        tell("XGBoost is not installed: its rows are left out. To have them: pip install xgboost")
        return None
    tell(f"Tuning {TUNED} on {len(weeks)} weeks before those that test …")
    grid = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    ready = [(week, NumericMatrix(week.train)) for week in weeks]
    parts = [(numbers(week.train), week.y, numbers(week.test), week.y_test) for week, numbers in ready]
    found = [fmean(_ap(parameters, *part) for part in parts) for parameters in grid]
    best = grid[int(np.argmax(found))]
    tell(f"{TUNED}, tuned: {best}, average precision {max(found):.3f} on those weeks")
    return best


def _ap(parameters: dict[str, Any], X: Any, y: Floats, X_test: Any, y_test: Floats) -> float:
    model = _classifiers(0)[TUNED].set_params(**parameters).fit(X, y)
    return average_precision(y_test, scores_of(model, X_test)[0])


def _classifiers(seed: int) -> dict[str, Any]:
    usual = {name: model for name, model in default_classifiers(seed).items() if name in CLASSIFIERS}
    return {name: model.set_params(**AS_THEN.get(name, {})) for name, model in usual.items()}


def _taught(model: Any, week: Week, numbers: NumericMatrix) -> TableScorer:
    model.fit(numbers(week.train), week.y)
    return lambda table: scores_of(model, numbers(table))[0]


def _untaught(baseline: Baseline, week: Week, numbers: NumericMatrix) -> TableScorer:
    return numbers.scorer(baseline.fit(numbers(week.train)))


def _detectors(week: Week) -> Iterator[tuple[str, dict[str, Any], Floats | None]]:
    yield "untrained twin, no labels", {"training__epochs": 0}, None
    yield "autoencoder, no labels", {}, None
    yield f"autoencoder, no labels, trim {TRIM:g}", {"trim": TRIM}, None
    yield "autoencoder, known frauds left out", {}, week.y
    yield "autoencoder, learns from known frauds", {"known_weight": KNOWN_WEIGHT}, week.y


def _fitted(week: Week, settings: Settings, parameters: dict[str, Any], y: Floats | None) -> TableScorer:
    detector = settings.new_detector().set_params(random_state=week.seed, **parameters)
    scorer: TableScorer = detector.fit(week.train, y).anomaly_score
    return scorer


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
        test = self.rows.data.outcomes.take(fold.test)
        y, day, card = test.labels, test.day, test.entity
        assert day is not None
        assert card is not None
        return {
            "auroc": auroc(y, scores),
            "ap": average_precision(y, scores),
            "card_precision": card_precision_at_k(y, scores, day=day, entity=card, k=K).mean,
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
