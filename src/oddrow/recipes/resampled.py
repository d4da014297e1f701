"""Classifiers that learn from made-up rows: as published, where those are in the test too, and on real rows alone."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from oddrow.errors import OddrowError
from oddrow.evaluate.classifiers import usual_classifiers
from oddrow.evaluate.metrics import auroc, average_precision, confusion
from oddrow.evaluate.resampling import usual_samplers
from oddrow.plots import losses, save
from oddrow.recipes.as_published import generated_from_anomalies_alone
from oddrow.recipes.labelled import LabelledTable
from oddrow.recipes.recipe import Recipe, Resampling
from oddrow.recipes.results import LINE, Results, write_results
from oddrow.recipes.runs import Runs
from oddrow.samplers.cvae import CVAESampler
from oddrow.table.numbers import Numbers
from oddrow.table.split import split_random
from oddrow.train.history import History

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Line = dict[str, Any]

CLASSIFIERS = ("logistic regression", "k nearest neighbours", "SVM", "decision tree")
UNDER, CVAE, NOTHING = "under-sampling", "CVAE", "nothing"
PARTS = {"total": "loss", "reconstruction": "reconstruction", "KL": "kl", "held-out total": "validation_loss"}
MORE = {"synthetic_share": "synthetic among test frauds"}


class Divided(NamedTuple):
    """Numbers and labels to learn from, and to test on: which of those are made up, how many rows each stands for."""

    X: npt.NDArray[Any]
    y: Floats
    weight: Floats
    X_test: npt.NDArray[Any]
    y_test: Floats
    synthetic: Mask
    weight_test: Floats


class Resampled:
    """A recipe of the resampling kind on its rows; runs that are in the folder already are read from there."""

    def __init__(
        self, recipe: Recipe[Resampling], data: LabelledTable, folder: Path, tell: Callable[[Any], None]
    ) -> None:
        known = ~np.isnan(data.y)
        self.recipe, self.data, self.folder, self.tell = recipe, data, folder, tell
        self.table, self.y = data.table.take(known), data.y[known]
        self.weight = np.ones(len(self.y)) if data.weight is None else data.weight[known]
        self.runs = Runs(folder, self._signature(), (*LINE, "contamination", *MORE))

    def run(self, n_runs: int) -> Results:
        """Run all that are missing, then gather."""
        self.runs.make_folder()
        for run in range(n_runs):
            if not self.runs.read(_file(run)):
                histories: dict[str, History] = {}
                self.runs.write(_file(run), [*self._as_published(run, histories), *self._honest(run, histories)])
                self._draw(histories)
        found = [self.runs.read(_file(run)) for run in range(n_runs)]
        results = Results.of(self.recipe, self.data, found, runs=n_runs, said=self._said, more=MORE)
        write_results(results, self.folder)
        return results

    @property
    def _said(self) -> str:
        return (
            f"published: {self.recipe.protocol.n_generated:,} generated frauds, or under-sampling, before dividing; "
            "honest: after it, training rows alone"
        )

    def _as_published(self, run: int, histories: dict[str, History]) -> Iterator[Line]:
        """The notebook's own path: rows are made up, or left out, before anything is divided."""
        X = self._numbers()
        made = generated_from_anomalies_alone(X[self.y == 1], self.recipe.protocol.n_generated, run)
        histories["as published"] = made.history
        n_made = len(made.X)
        divided = self._divided(
            np.vstack([X, made.X]),
            np.append(self.y, np.ones(n_made)),
            np.append(self.weight, np.ones(n_made)),
            np.arange(len(X) + n_made) >= len(X),
            run,
        )
        name = f"{CVAE}, {CLASSIFIERS[0]}"
        yield from self._lines(name, "published", CLASSIFIERS[0], divided, run, also_real=True)
        rng = np.random.default_rng(run)
        normal, frauds = np.flatnonzero(self.y == 0), np.flatnonzero(self.y == 1)
        rows = np.sort(np.append(frauds, rng.permutation(normal)[: len(frauds)]))
        ones, real = np.ones(len(rows)), np.zeros(len(rows), bool)
        balanced = self._divided(X[rows], self.y[rows], ones, real, run)
        for classifier in CLASSIFIERS:
            yield from self._lines(f"{UNDER}, {classifier}", "published", classifier, balanced, run)

    def _honest(self, run: int, histories: dict[str, History]) -> Iterator[Line]:
        """The same classifiers, where only training rows are resampled and the test is left as it was."""
        share = self.recipe.protocol.test_share
        train, test = split_random(len(self.y), share, np.random.default_rng(run), y=self.y)
        table = self.table.take(train)
        numbers = Numbers(table)
        X, X_test = numbers(table), numbers(self.table.take(test))
        real = np.zeros(len(test), bool)
        for name, (X_all, y_all) in self._resampled(table, X, self.y[train], numbers, run, histories):
            ones = np.ones(len(y_all))
            divided = Divided(X_all, y_all, ones, X_test, self.y[test], real, self.weight[test])
            for classifier in CLASSIFIERS:
                yield from self._lines(f"{name}, {classifier}", "honest", classifier, divided, run)

    def _resampled(
        self, table: Any, X: Any, y: Floats, numbers: Numbers, run: int, histories: dict[str, History]
    ) -> Iterator[tuple[str, tuple[Any, Any]]]:
        yield NOTHING, (X, y)
        yield UNDER, usual_samplers(run)[UNDER].fit_resample(X, y)
        sampler = CVAESampler(random_state=run)
        frame, y_all = sampler.fit_resample(table.frame, y.astype(int))
        histories["honest"] = sampler.history_
        yield CVAE, (numbers(replace(table, frame=frame)), y_all.astype(float))

    def _numbers(self) -> Floats:
        """The columns as they are, as the notebook takes them."""
        return self.table.frame.to_numpy().astype(np.float64)

    def _divided(self, X: Floats, y: Floats, weight: Floats, synthetic: Mask, run: int) -> Divided:
        train, test = split_random(len(y), self.recipe.protocol.test_share, np.random.default_rng(run), y=y)
        return Divided(X[train], y[train], weight[train], X[test], y[test], synthetic[test], weight[test])

    def _lines(
        self, name: str, rule: str, classifier: str, divided: Divided, run: int, *, also_real: bool = False
    ) -> Iterator[Line]:
        """A fitted classifier's numbers; with `also_real` those without the made-up test rows beside them."""
        model = clone(usual_classifiers(run)[classifier])
        started = time.perf_counter()
        _fit(model, divided)
        fit_s, started = time.perf_counter() - started, time.perf_counter()
        scores = model.predict_proba(divided.X_test)[:, 1] if hasattr(model, "predict_proba") else None
        scores = model.decision_function(divided.X_test) if scores is None else scores
        alerts = model.predict(divided.X_test) == 1
        times = {"fit_s": fit_s, "score_s": time.perf_counter() - started, "contamination": 0.0}
        every = np.ones(len(alerts), bool)
        parts = {name: every, f"{name}: real test frauds alone": ~divided.synthetic} if also_real else {name: every}
        for part, rows in parts.items():
            line = _measured(divided, scores, alerts, rows)
            yield {"detector": part, "rule": rule, **line, **times}
        self.tell(f"run {run}, {rule}: {name} …")

    def _draw(self, histories: dict[str, History]) -> None:
        """Total, reconstruction and KL of both networks, epoch by epoch."""
        try:
            for path, history in histories.items():
                parts = {name: [entry[key] for entry in history] for name, key in PARTS.items() if key in history[0]}
                axes = losses(parts)
                axes.set_title(f"{self.recipe.name}, {path}: the last run's network")
                save(axes, self.folder / f"losses-{path.replace(' ', '-')}.png")
        except OddrowError as error:
            self.tell(f"No picture of the losses: {error}")

    def _signature(self) -> str:
        """Names all that shapes a run."""
        described = {
            "oddrow": version("oddrow"),
            "rows": hashlib.sha256(self.data.hashes.tobytes() + self.data.y.tobytes()).hexdigest(),
            "protocol": {**asdict(self.recipe.protocol), "runs": None},
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def _file(run: int) -> str:
    return f"run-{run:02d}.json"


def _fit(model: Any, divided: Divided) -> None:
    """Fit, with weights where rows stand for unequally many; that a solver has not arrived is not told, as there."""
    weights = {"sample_weight": divided.weight} if np.ptp(divided.weight) > 0 else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(divided.X, divided.y, **weights)


def _measured(divided: Divided, scores: Floats, alerts: Mask, rows: Mask) -> Line:
    y, weight = divided.y_test[rows], divided.weight_test[rows]
    at_cut = confusion(y, alerts[rows], weight)
    return {
        "f1": at_cut.f1,
        "precision": at_cut.precision,
        "recall": at_cut.recall,
        "auroc": auroc(y, scores[rows], weight),
        "ap": average_precision(y, scores[rows], weight),
        "synthetic_share": float((divided.synthetic[rows] & (y == 1)).sum() / (y == 1).sum()),
    }
