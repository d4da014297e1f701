"""Running a resampling recipe: as published, where made-up rows are in the test too, and honestly."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import normalize
from sklearn.utils.validation import has_fit_parameter

from oddrow.encoding.matrix import NumericMatrix
from oddrow.errors import OddrowError
from oddrow.files import write_text
from oddrow.metrics.classification import confusion
from oddrow.metrics.ranking import auroc, average_precision
from oddrow.nets.cvae import CVAE
from oddrow.plots import as_svg, loss_curve, marginals
from oddrow.recipes.data import LabelledTable
from oddrow.recipes.recipe import Recipe, Resampling
from oddrow.recipes.results import HEADINGS, LINE, Results, write_results
from oddrow.recipes.runner import Runs, page_of_results, write_report
from oddrow.report import Picture
from oddrow.report.pictures import plane
from oddrow.resampling.candidates import NOTHING, default_classifiers, default_samplers
from oddrow.resampling.cvae import CVAESampler
from oddrow.resampling.trial import scores_of
from oddrow.table.split import split_random
from oddrow.table.table import Table
from oddrow.train.loop import train
from oddrow.train.monitor import LossCurve
from oddrow.train.training import Training
from oddrow.typing import Floats, Mask, Tell

Line = dict[str, Any]

CLASSIFIERS = ("logistic regression", "k nearest neighbours", "SVM", "decision tree")


class ClassifierTest(NamedTuple):
    """Numbers, labels and weights to learn from and to test on, and which of the test rows are made up."""

    X: npt.NDArray[Any]
    y: Floats
    weight: Floats
    X_test: npt.NDArray[Any]
    y_test: Floats
    weight_test: Floats
    synthetic: Mask


def lines(name: str, classifier: str, rows: ClassifierTest, seed: int) -> Iterator[Line]:
    """A classifier's numbers after it has learned; where test rows are made up, those without them too."""
    model = clone(default_classifiers(seed)[classifier])
    started = time.perf_counter()
    _fit(model, rows)
    fit_s, started = time.perf_counter() - started, time.perf_counter()
    scores, alerts = scores_of(model, rows.X_test)[0], model.predict(rows.X_test) == 1
    times = {"fit_s": fit_s, "score_s": time.perf_counter() - started}
    whole = f"{name}, {classifier}"
    parts = {whole: np.ones(len(alerts), bool)}
    if rows.synthetic.any():
        parts[f"{whole}: real test frauds alone"] = ~rows.synthetic
    for part, taken in parts.items():
        yield {"detector": part, **_measured(rows, scores, alerts, taken), **times}


def _fit(model: Any, rows: ClassifierTest) -> None:
    """Fit, with weights where it takes some; that a solver has not arrived is not told, as in the notebook."""
    last = model.steps[-1] if isinstance(model, Pipeline) else ("", model)
    prefix = f"{last[0]}__" if last[0] else ""
    weights = {f"{prefix}sample_weight": rows.weight} if has_fit_parameter(last[1], "sample_weight") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows.X, rows.y, **weights)


def _measured(rows: ClassifierTest, scores: Floats, alerts: Mask, taken: Mask) -> Line:
    y, weight = rows.y_test[taken], rows.weight_test[taken]
    at_cut = confusion(y, alerts[taken], sample_weight=weight)
    return {
        "f1": at_cut.f1,
        "precision": at_cut.precision,
        "recall": at_cut.recall,
        "auroc": auroc(y, scores[taken], sample_weight=weight),
        "ap": average_precision(y, scores[taken], sample_weight=weight),
        "synthetic_share": float(rows.synthetic[taken & (rows.y_test == 1)].mean()),
    }


HIDDEN, LATENT = (128, 64), 2

REACH = 3.0


def generated_before(
    X: Floats, y: Floats, weight: Floats, *, n: int, share: float, seed: int
) -> tuple[ClassifierTest, LossCurve]:
    """N generated frauds join the rows, then a share of all tests; and how the network learned."""
    made, curve = generated_from_anomalies_alone(X[y == 1], n, seed)
    is_made = np.arange(len(X) + n) >= len(X)
    rows = np.vstack([X, made]), np.append(y, np.ones(n)), np.append(weight, np.ones(n))
    return _divided(*rows, is_made, share, seed), curve


def under_sampled_before(X: Floats, y: Floats, *, share: float, seed: int) -> ClassifierTest:
    """As many normal rows as there are frauds, then a share of both tests: half of the test rows are frauds."""
    rng = np.random.default_rng(seed)
    frauds = np.flatnonzero(y == 1)
    rows = np.sort(np.append(frauds, rng.permutation(np.flatnonzero(y == 0))[: len(frauds)]))
    return _divided(X[rows], y[rows], np.ones(len(rows)), np.zeros(len(rows), bool), share, seed)


def generated_from_anomalies_alone(X: Floats, n: int, seed: int) -> tuple[Floats, LossCurve]:
    """N rows (n, d) from a VAE of anomalies (m, d) alone, whose condition is therefore always the same.

    Every row is scaled to length 1, as the notebook does, which loses all that amounts say; codes walk along the
    diagonal of the latent plane; and what is decoded lies in [0, 1], as from a sigmoid, whatever the rows were.
    """
    rows = normalize(X).astype(np.float32)
    parts = jnp.asarray(rows), jnp.zeros((len(rows), 0), jnp.int32), jnp.zeros(len(rows), jnp.int32)
    network = CVAE(X.shape[1], (), 1, HIDDEN, LATENT, key=jax.random.key(seed))
    done = train(network, parts, Training(batch_size=32), seed=seed)
    steps = np.linspace(-REACH, REACH, n, dtype=np.float32)
    decoded: Any = done.network.likeliest(jnp.column_stack([steps] * LATENT), jnp.zeros(n, jnp.int32))[0]
    return np.clip(np.asarray(decoded, np.float64), 0, 1), done.loss_curve


def _divided(
    X: Floats, y: Floats, weight: Floats, is_made: npt.NDArray[np.bool_], share: float, seed: int
) -> ClassifierTest:
    train, test = split_random(len(y), share, np.random.default_rng(seed), y=y)
    return ClassifierTest(X[train], y[train], weight[train], X[test], y[test], weight[test], is_made[test])


UNDER_SAMPLED, GENERATED = "under-sampling", "CVAE"


class ResampleAfterSplit:
    """A division of real rows; `loss_curve` is that of the CVAE, and `made` the frauds it made up, once it has."""

    def __init__(self, table: Table, y: Floats, weight: Floats, *, share: float, seed: int) -> None:
        train, test = split_random(len(y), share, np.random.default_rng(seed), y=y)
        self.table, self.y, self.weight, self.seed = table.take(train), y[train], weight[train], seed
        self.numbers = NumericMatrix(self.table)
        self.test = self.numbers(table.take(test)), y[test], weight[test], np.zeros(len(test), bool)
        self.loss_curve: LossCurve = []
        self.made = self.table.in_memory.clear()

    def resampled(self) -> Iterator[tuple[str, ClassifierTest]]:
        """Nothing, under-sampling and the CVAE, with what is learned from after each."""
        X = self.numbers(self.table)
        yield NOTHING, ClassifierTest(X, self.y, self.weight, *self.test)
        X_under, y_under = default_samplers(self.seed)[UNDER_SAMPLED].fit_resample(X, self.y)
        yield UNDER_SAMPLED, ClassifierTest(X_under, y_under, np.ones(len(y_under)), *self.test)
        yield GENERATED, self._with_generated()

    def _with_generated(self) -> ClassifierTest:
        """As many frauds as normal rows; a new one stands for as many as a normal row, so that both weigh the same."""
        sampler = CVAESampler(random_state=self.seed)
        frame, y_all = sampler.fit_resample(self.table.frame, self.y.astype(int))
        self.loss_curve = sampler.loss_curve_
        self.made = frame[len(self.y) :]
        n_new = len(y_all) - len(self.y)
        weight = np.append(self.weight, np.full(n_new, self.weight[self.y == 0].mean()))
        numbers = self.numbers(replace(self.table, frame=frame))
        return ClassifierTest(numbers, y_all.astype(np.float64), weight, *self.test)


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


class ResamplingRuns:
    """A recipe of the resampling kind on its rows; runs that are in the folder already are read from there."""

    def __init__(
        self,
        recipe: Recipe[Resampling],
        data: LabelledTable,
        folder: Path,
        tell: Tell,
        command: str = "",
    ) -> None:
        known = data.outcomes.take(data.outcomes.labelled)
        self.recipe, self.data, self.folder, self.tell, self.command = recipe, data, folder, tell, command
        self.table = data.table.take(data.outcomes.labelled)
        self.y, self.weight = known.labels, known.weights
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
        rows, curve = generated_before(X, self.y, self.weight, n=n, share=self.share, seed=run)
        self._draw("losses-as-published", _losses(curve), "As published, the last run's network")
        yield from self._lines(GENERATED, "published", rows, run, CLASSIFIERS[:1])
        balanced = under_sampled_before(X, self.y, share=self.share, seed=run)
        yield from self._lines(UNDER_SAMPLED, "published", balanced, run, CLASSIFIERS)

    def _honest(self, run: int) -> Iterator[Line]:
        divided = ResampleAfterSplit(self.table, self.y, self.weight, share=self.share, seed=run)
        for name, rows in divided.resampled():
            yield from self._lines(name, "honest", rows, run, CLASSIFIERS)
        self._draw("losses-honest", _losses(divided.loss_curve), "Honest, the last run's network")
        for other in self.folder.glob("marginals-*.svg"):
            other.unlink()
        real = divided.table.in_memory.filter(divided.y == 1)
        for name in _telling_columns(divided.table, divided.y):
            self._draw(f"marginals-{name}", partial(marginals, real[name], divided.made[name], name=name))

    def _lines(
        self, name: str, rule: str, rows: ClassifierTest, run: int, classifiers: tuple[str, ...]
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


def _losses(curve: LossCurve) -> Callable[..., Any]:
    """What draws total, reconstruction and KL of a network, epoch by epoch."""
    parts = {name: [point[key] for point in curve] for name, key in PARTS.items() if key in curve[0]}
    return partial(loss_curve, parts, epochs=[point["epoch"] for point in curve])


def _telling_columns(table: Table, y: Floats) -> list[str]:
    """The columns whose means differ most between the classes, in spreads of the normal rows."""
    X = table.in_memory.to_numpy().astype(np.float64)
    apart = np.abs(X[y == 1].mean(axis=0) - X[y == 0].mean(axis=0)) / (X[y == 0].std(axis=0) + 1e-12)
    return [table.columns[place] for place in np.argsort(-apart)[:N_MARGINALS]]
