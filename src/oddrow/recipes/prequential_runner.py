"""Prequential recipes: each model learns from a span of time and is tested on a later one, fold by fold."""

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

from oddrow.encoding.numeric_matrix import NumericMatrix, TableScorer
from oddrow.evaluate.baselines import Baseline, baselines
from oddrow.evaluate.folds import Fold, Spans, check_folds, walk_forward, without_compromised
from oddrow.metrics.daily import card_precision_at_k
from oddrow.metrics.ranking import auroc, average_precision
from oddrow.outcomes import Outcomes
from oddrow.recipes.labelled_table import LabelledTable
from oddrow.recipes.recipe import PrequentialProtocol, Recipe
from oddrow.recipes.results import TIMES, Line, Results
from oddrow.recipes.runner import Runner, results_page
from oddrow.report import Page
from oddrow.resampling.candidates import default_classifiers
from oddrow.resampling.trial import scores_of
from oddrow.table.table import Table
from oddrow.table.times import duration, moment_on_clock
from oddrow.typing import Floats, Tell
from oddrow.workflow.settings import Settings

CLASSIFIERS = ("logistic regression", "random forest", "gradient boosting", "XGBoost", "LightGBM")

# The grid of chapter 5 of the book.
TUNED, GRID = "XGBoost", {"n_estimators": (25, 50, 100), "learning_rate": (0.1, 0.3), "max_depth": (3, 6, 9)}

# The defaults of the version that the book used. Later ones give 0.08 less average precision.
BOOK_DEFAULTS: dict[str, dict[str, Any]] = {"XGBoost": {"tree_method": "exact", "base_score": 0.5}}

KNOWN_WEIGHT, TRIM = 10.0, 0.05

K = 100

METRIC_HEADINGS = {"auroc": "AUROC", "ap": "AP", "card_precision": f"CP@{K}"}

LIMITS = (
    "The transactions are simulated, and every fraud is known after a week. Real labels come late, and some never.",
    "Tuned models were tuned on other weeks than those shown.",
)


# Rows


@dataclass(frozen=True)
class Transactions:
    """Labelled rows with time and card, the spans of a fold, and the time at which each fold begins, by its day."""

    data: LabelledTable
    spans: Spans
    begins: dict[str, float]

    @classmethod
    def read(cls, recipe: Recipe[PrequentialProtocol], folder: Path) -> Transactions:
        """Find the file of a recipe in a folder, read it, and compute the history features."""
        path, _ = recipe.find(folder)
        settings, protocol = recipe.settings, recipe.protocol
        dataset = settings.select(str(path), both=True)
        history = [] if settings.history is None else settings.history.names
        table = dataset.table.keep([*recipe.data.columns, *history])
        schema = settings.schema_of(table)
        features = replace(table, source=path.name).keep(schema.feature_names).with_schema(schema)
        times = dataset.table.frame[settings.roles.time or ""]
        spans = Spans(*(duration(part, times) for part in protocol.spans.split(",")))
        begins = {start: moment_on_clock(start, times) for start in [*protocol.starts, *protocol.tuned_from]}
        return cls(LabelledTable(features, dataset.outcomes, path, None), spans, begins)

    def fold(self, start: str) -> Fold:
        """Return the training rows from this day on, and the test rows of cards not known to be compromised by then."""
        begin, y = self.begins[start], self.data.y
        time, entity = self.data.outcomes.time, self.data.outcomes.entity
        assert time is not None
        assert entity is not None
        (fold,) = walk_forward(time, self.spans, 1, start=begin)
        fold = without_compromised(fold, y, entity, time, delay=self.spans.delay, begin=begin)
        check_folds([fold], y)
        return fold


@dataclass(frozen=True)
class FoldData:
    """The training rows of a fold with labels (n,), and its test rows with outcomes."""

    train: Table
    y: Floats
    test: Table
    outcomes: Outcomes
    seed: int

    @classmethod
    def of(cls, data: LabelledTable, fold: Fold, seed: int) -> FoldData:
        """Take the rows of a fold."""
        train, test = data.table.take(fold.train), data.table.take(fold.test)
        return cls(train, data.y[fold.train], test, data.outcomes.take(fold.test), seed)


# Models


def models(
    rows: FoldData, settings: Settings, tuned: Mapping[str, Any] | None
) -> Iterator[tuple[str, Callable[[], TableScorer]]]:
    """Yield every model by name, with a function that fits it and returns its scorer."""
    numbers = NumericMatrix(rows.train)
    classifiers = _classifiers(rows.seed)
    if tuned is not None:
        classifiers[f"{TUNED}, tuned"] = clone(classifiers[TUNED]).set_params(**tuned)
    for name, model in classifiers.items():
        yield name, partial(_fit_classifier, model, rows, numbers)
    for name, baseline in baselines(rows.seed).items():
        yield f"{name}, no labels", partial(_fit_baseline, baseline, rows, numbers)
    for name, parameters, y in _detectors(rows):
        yield name, partial(_fit_detector, rows, settings, parameters, y)


def tune(folds: Sequence[FoldData], tell: Tell) -> dict[str, Any] | None:
    """Return the best parameters of the grid by mean average precision over these folds, None without XGBoost."""
    if TUNED not in default_classifiers(0):
        tell(f"{TUNED} is not installed, so its rows are left out. To add them: pip install xgboost")
        return None
    tell(f"Tuning {TUNED} on {len(folds)} earlier weeks …")
    grid = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    ready = [(rows, NumericMatrix(rows.train)) for rows in folds]
    parts = [(numbers(rows.train), rows.y, numbers(rows.test), rows.outcomes.labels) for rows, numbers in ready]
    found = [fmean(_tuning_score(parameters, *part) for part in parts) for parameters in grid]
    best = grid[int(np.argmax(found))]
    tell(f"{TUNED}, tuned: {best}, average precision {max(found):.3f} on those weeks")
    return best


def _tuning_score(parameters: dict[str, Any], X: Any, y: Floats, X_test: Any, y_test: Floats) -> float:
    model = _classifiers(0)[TUNED].set_params(**parameters).fit(X, y)
    return average_precision(y_test, scores_of(model, X_test)[0])


def _classifiers(seed: int) -> dict[str, Any]:
    chosen = {name: model for name, model in default_classifiers(seed).items() if name in CLASSIFIERS}
    return {name: model.set_params(**BOOK_DEFAULTS.get(name, {})) for name, model in chosen.items()}


def _fit_classifier(model: Any, rows: FoldData, numbers: NumericMatrix) -> TableScorer:
    model.fit(numbers(rows.train), rows.y)
    return lambda table: scores_of(model, numbers(table))[0]


def _fit_baseline(baseline: Baseline, rows: FoldData, numbers: NumericMatrix) -> TableScorer:
    return numbers.scorer(baseline.fit(numbers(rows.train)))


def _detectors(rows: FoldData) -> Iterator[tuple[str, dict[str, Any], Floats | None]]:
    yield "untrained copy, no labels", {"training__epochs": 0}, None
    yield "autoencoder, no labels", {}, None
    yield f"autoencoder, no labels, trim {TRIM:g}", {"trim": TRIM}, None
    yield "autoencoder, known frauds left out", {}, rows.y
    yield "autoencoder, learns from known frauds", {"known_weight": KNOWN_WEIGHT}, rows.y


def _fit_detector(rows: FoldData, settings: Settings, parameters: dict[str, Any], y: Floats | None) -> TableScorer:
    detector = settings.new_detector().set_params(random_state=rows.seed, **parameters)
    scorer: TableScorer = detector.fit(rows.train, y).anomaly_score
    return scorer


# Runs


class PrequentialRunner(Runner[PrequentialProtocol, tuple[int, str]]):
    """Runs a prequential recipe: each case is a run and the day on which the training of a fold begins."""

    keys = ("detector", *METRIC_HEADINGS, *TIMES)
    headings = METRIC_HEADINGS
    column = "tested on"

    def __init__(
        self,
        recipe: Recipe[PrequentialProtocol],
        transactions: Transactions,
        folder: Path,
        tell: Tell,
        command: str = "",
    ) -> None:
        super().__init__(recipe, transactions.data, folder, tell, command)
        self.transactions = transactions

    def _inputs(self) -> Mapping[str, Any]:
        return {
            "protocol": {**asdict(self.recipe.protocol), "runs": None, "parts": None},
            "detector": self.recipe.settings.new_detector().get_params(),
        }

    def _cases(self, n_runs: int) -> Iterator[tuple[int, str]]:
        yield from product(range(n_runs), self.recipe.protocol.starts)

    def _file(self, case: tuple[int, str]) -> str:
        run, start = case
        return f"run-{run:02d}-{start}.json"

    def _measure(self, cases: Sequence[tuple[int, str]]) -> None:
        for case in cases:
            self.store.write(self._file(case), list(self._test(*case)))

    def _test(self, run: int, start: str) -> Iterator[Line]:
        rows = self._fold(start, run)
        self.tell(
            f"Run {run}, from {start}: {rows.train.n_rows:,} training rows ({int(rows.y.sum()):,} frauds), "
            f"{rows.test.n_rows:,} test rows ({int(rows.outcomes.labels.sum()):,} frauds)."
        )
        for name, fit in models(rows, self.recipe.settings, self._tuned):
            started = time.perf_counter()
            scorer = fit()
            fit_s, started = time.perf_counter() - started, time.perf_counter()
            scores = scorer(rows.test)
            line = {"detector": name, **_metrics(rows.outcomes, scores), "fit_s": fit_s}
            self.tell(f"  {name}: " + ", ".join(f"{text} {line[key]:.3f}" for key, text in self.headings.items()))
            yield {**line, "score_s": time.perf_counter() - started}

    def _fold(self, start: str, seed: int) -> FoldData:
        return FoldData.of(self.data, self.transactions.fold(start), seed)

    @cached_property
    def _tuned(self) -> dict[str, Any] | None:
        return tune([self._fold(start, 0) for start in self.recipe.protocol.tuned_from], self.tell)

    def _lines(self) -> Iterator[Line]:
        """Gather the folds of each part. A tuned model is not shown on the weeks it was tuned on."""
        protocol = self.recipe.protocol
        for run in dict.fromkeys(run for run, _ in self.cases):
            for part, start in ((part, start) for part, starts in protocol.parts.items() for start in starts):
                for line in self.store.read(self._file((run, start))):
                    if not (line["detector"].endswith(", tuned") and start in protocol.tuned_from):
                        yield {**line, "rule": part}

    def _remark(self) -> str:
        return f"training, delay and test spans: {self.recipe.protocol.spans}"

    def _page(self, results: Results) -> Page:
        return results_page(results, self.command, limits=LIMITS)


def _metrics(outcomes: Outcomes, scores: Floats) -> dict[str, float]:
    y, day, card = outcomes.labels, outcomes.day, outcomes.entity
    assert day is not None
    assert card is not None
    return {
        "auroc": auroc(y, scores),
        "ap": average_precision(y, scores),
        "card_precision": card_precision_at_k(y, scores, day=day, entity=card, k=K).mean,
    }
