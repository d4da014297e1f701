"""Resampling recipes: classifiers with generated or fewer rows, tested as published and on rows split off first."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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

from oddrow.encoding.numeric_matrix import NumericMatrix
from oddrow.errors import OddrowError
from oddrow.files import write_text
from oddrow.metrics.classification import confusion
from oddrow.metrics.ranking import auroc, average_precision
from oddrow.nets.cvae import CVAE
from oddrow.plots import as_svg, loss_curve, marginals
from oddrow.recipes.labelled_table import LabelledTable
from oddrow.recipes.recipe import Recipe, ResamplingProtocol
from oddrow.recipes.results import HEADINGS, TIMES, Line, Results
from oddrow.recipes.runner import Runner, results_page
from oddrow.report import Page, Picture
from oddrow.report.pictures import report_axes
from oddrow.resampling.candidates import NOTHING, default_classifiers, default_samplers
from oddrow.resampling.cvae import CVAESampler
from oddrow.resampling.trial import scores_of
from oddrow.table.split import split_random
from oddrow.table.table import Table
from oddrow.train.loop import train
from oddrow.train.monitor import LossCurve
from oddrow.train.training import Training
from oddrow.typing import Floats, Mask, Tell

CLASSIFIERS = ("logistic regression", "k nearest neighbours", "SVM", "decision tree")

UNDER_SAMPLED, GENERATED = "under-sampling", "CVAE"

# The network of the published experiment, and how far its codes go from 0.
HIDDEN, LATENT, REACH = (128, 64), 2, 3.0

# The parts of the loss curve by the names in the plot.
LOSS_PARTS = {"total": "loss", "reconstruction": "reconstruction", "KL": "kl", "validation total": "validation_loss"}

LOSS_CAPTIONS = {
    "losses-as-published": "Loss of each epoch of the network that saw the frauds alone.",
    "losses-honest": "Loss of each epoch of the conditional network.",
}

N_MARGINALS = 4

SYNTHETIC_SHARE = {"synthetic_share": "synthetic among test frauds"}

LIMITS = (
    "In the published experiment rows are generated, or removed, before the split: most test frauds are generated, or "
    "half of the test rows are frauds. The lines marked honest split first, and all their test rows are real.",
    "Generated rows hold no information beyond that of the real frauds. See docs/compare.md for when they help.",
)


# Classifiers


class ClassifierTest(NamedTuple):
    """Numbers (n, d), labels and weights (n,) to learn from and to test on, and the test rows that are generated."""

    X: npt.NDArray[Any]
    y: Floats
    weight: Floats
    X_test: npt.NDArray[Any]
    y_test: Floats
    weight_test: Floats
    synthetic: Mask


def measure_classifier(name: str, classifier: str, rows: ClassifierTest, seed: int) -> Iterator[Line]:
    """Fit a classifier and measure it; if test rows are generated, also without those."""
    model = clone(default_classifiers(seed)[classifier])
    started = time.perf_counter()
    _fit(model, rows)
    fit_s, started = time.perf_counter() - started, time.perf_counter()
    scores, alerts = scores_of(model, rows.X_test)[0], model.predict(rows.X_test) == 1
    times = {"fit_s": fit_s, "score_s": time.perf_counter() - started}
    whole = f"{name}, {classifier}"
    parts = {whole: np.ones(len(alerts), bool)}
    # Without a real fraud among the test rows, their ranking cannot be measured.
    if rows.synthetic.any() and (rows.y_test[~rows.synthetic] == 1).any():
        parts[f"{whole}: real test frauds alone"] = ~rows.synthetic
    for part, tested in parts.items():
        y, weight = rows.y_test[tested], rows.weight_test[tested]
        found = confusion(y, alerts[tested], sample_weight=weight)
        yield {
            "detector": part,
            "f1": found.f1,
            "precision": found.precision,
            "recall": found.recall,
            "auroc": auroc(y, scores[tested], sample_weight=weight),
            "ap": average_precision(y, scores[tested], sample_weight=weight),
            "synthetic_share": float(rows.synthetic[tested & (rows.y_test == 1)].mean()),
            **times,
        }


def _fit(model: Any, rows: ClassifierTest) -> None:
    """Fit, with weights if the model takes them. Solvers may stop early without a warning, as in the notebook."""
    step, estimator = model.steps[-1] if isinstance(model, Pipeline) else ("", model)
    parameter = f"{step}__sample_weight" if step else "sample_weight"
    weights = {parameter: rows.weight} if has_fit_parameter(estimator, "sample_weight") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows.X, rows.y, **weights)


# As published: rows are generated or removed, then split


def generate_then_split(
    X: Floats, y: Floats, weight: Floats, *, n: int, share: float, seed: int
) -> tuple[ClassifierTest, LossCurve]:
    """Add n generated frauds to the rows, then split off a share to test on. Returns also the loss curve."""
    generated, curve = generate_from_anomalies(X[y == 1], n, seed)
    is_generated = np.arange(len(X) + n) >= len(X)
    rows = np.vstack([X, generated]), np.append(y, np.ones(n)), np.append(weight, np.ones(n))
    return _split(*rows, is_generated, share, seed), curve


def under_sample_then_split(X: Floats, y: Floats, *, share: float, seed: int) -> ClassifierTest:
    """Keep as many normal rows as there are frauds, then split off a share to test on: half of it are frauds."""
    rng = np.random.default_rng(seed)
    frauds = np.flatnonzero(y == 1)
    rows = np.sort(np.append(frauds, rng.permutation(np.flatnonzero(y == 0))[: len(frauds)]))
    return _split(X[rows], y[rows], np.ones(len(rows)), np.zeros(len(rows), bool), share, seed)


def generate_from_anomalies(X: Floats, n: int, seed: int) -> tuple[Floats, LossCurve]:
    """Generate n rows (n, d) with a VAE of anomalies (m, d) alone, whose condition is always the same.

    As in the notebook, every row is scaled to length 1, which loses the amounts; codes lie on the diagonal of the
    latent plane; and decoded values are clipped to [0, 1], as from a sigmoid. Returns also the loss curve.
    """
    rows = normalize(X).astype(np.float32)
    parts = jnp.asarray(rows), jnp.zeros((len(rows), 0), jnp.int32), jnp.zeros(len(rows), jnp.int32)
    network = CVAE(X.shape[1], (), 1, HIDDEN, LATENT, key=jax.random.key(seed))
    done = train(network, parts, Training(batch_size=32), seed=seed)
    steps = np.linspace(-REACH, REACH, n, dtype=np.float32)
    decoded: Any = done.network.likeliest(jnp.column_stack([steps] * LATENT), jnp.zeros(n, jnp.int32))[0]
    return np.clip(np.asarray(decoded, np.float64), 0, 1), done.loss_curve


def _split(X: Floats, y: Floats, weight: Floats, synthetic: Mask, share: float, seed: int) -> ClassifierTest:
    train_rows, test = split_random(len(y), share, np.random.default_rng(seed), y=y)
    learning = X[train_rows], y[train_rows], weight[train_rows]
    return ClassifierTest(*learning, X[test], y[test], weight[test], synthetic[test])


# Honest: real rows are split, then the training rows are resampled


class SplitThenResample:
    """A split of real rows. Once the CVAE has run, `curve` is its loss curve and `generated` holds its frauds."""

    def __init__(self, table: Table, y: Floats, weight: Floats, *, share: float, seed: int) -> None:
        train_rows, test = split_random(len(y), share, np.random.default_rng(seed), y=y)
        self.table, self.y, self.weight, self.seed = table.take(train_rows), y[train_rows], weight[train_rows], seed
        self.numbers = NumericMatrix(self.table)
        self.test = self.numbers(table.take(test)), y[test], weight[test], np.zeros(len(test), bool)
        self.curve: LossCurve = []
        self.generated = self.table.in_memory.clear()

    def resample(self) -> Iterator[tuple[str, ClassifierTest]]:
        """Yield the rows without resampling, after under-sampling, and with rows of the CVAE."""
        X = self.numbers(self.table)
        yield NOTHING, ClassifierTest(X, self.y, self.weight, *self.test)
        X_under, y_under = default_samplers(self.seed)[UNDER_SAMPLED].fit_resample(X, self.y)
        yield UNDER_SAMPLED, ClassifierTest(X_under, y_under, np.ones(len(y_under)), *self.test)
        yield GENERATED, self._with_generated()

    def _with_generated(self) -> ClassifierTest:
        """Add frauds until there are as many as normal rows, each with the weight of a normal row."""
        sampler = CVAESampler(random_state=self.seed)
        frame, y = sampler.fit_resample(self.table.frame, self.y.astype(int))
        self.curve, self.generated = sampler.loss_curve_, frame[len(self.y) :]
        weight = np.append(self.weight, np.full(len(y) - len(self.y), self.weight[self.y == 0].mean()))
        numbers = self.numbers(replace(self.table, frame=frame))
        return ClassifierTest(numbers, y.astype(np.float64), weight, *self.test)


# Runs


class ResamplingRunner(Runner[ResamplingProtocol, int]):
    """Runs a resampling recipe: each case is a run."""

    keys = ("detector", "rule", *HEADINGS, *TIMES, *SYNTHETIC_SHARE)

    def __init__(
        self, recipe: Recipe[ResamplingProtocol], data: LabelledTable, folder: Path, tell: Tell, command: str = ""
    ) -> None:
        super().__init__(recipe, data, folder, tell, command)
        self.headings = {**HEADINGS, **SYNTHETIC_SHARE}
        labelled = data.outcomes.take(data.outcomes.labelled)
        self.table = data.table.take(data.outcomes.labelled)
        self.y, self.weight = labelled.labels, labelled.weights

    def _inputs(self) -> Mapping[str, Any]:
        return {"protocol": {**asdict(self.recipe.protocol), "runs": None}}

    def _cases(self, n_runs: int) -> Iterator[int]:
        yield from range(n_runs)

    def _file(self, case: int) -> str:
        return f"run-{case:02d}.json"

    def _measure(self, cases: Sequence[int]) -> None:
        for run in cases:
            self.store.write(self._file(run), [*self._as_published(run), *self._honest(run)])

    def _as_published(self, run: int) -> Iterator[Line]:
        X = self.table.in_memory.to_numpy().astype(np.float64)
        n, share = self.recipe.protocol.n_generated, self.recipe.protocol.test_share
        rows, curve = generate_then_split(X, self.y, self.weight, n=n, share=share, seed=run)
        self._draw("losses-as-published", _loss_curve(curve), "As published, last run")
        yield from self._test(GENERATED, "published", rows, run, CLASSIFIERS[:1])
        balanced = under_sample_then_split(X, self.y, share=share, seed=run)
        yield from self._test(UNDER_SAMPLED, "published", balanced, run, CLASSIFIERS)

    def _honest(self, run: int) -> Iterator[Line]:
        share = self.recipe.protocol.test_share
        split = SplitThenResample(self.table, self.y, self.weight, share=share, seed=run)
        for name, rows in split.resample():
            yield from self._test(name, "honest", rows, run, CLASSIFIERS)
        self._draw("losses-honest", _loss_curve(split.curve), "Honest, last run")
        for earlier in self.folder.glob("marginals-*.svg"):
            earlier.unlink()
        real = split.table.in_memory.filter(split.y == 1)
        for name in _most_different_columns(split.table, split.y):
            self._draw(f"marginals-{name}", partial(marginals, real[name], split.generated[name], name=name))

    def _test(
        self, name: str, rule: str, rows: ClassifierTest, run: int, classifiers: tuple[str, ...]
    ) -> Iterator[Line]:
        self.tell(f"Run {run}, {rule}: {name} …")
        for classifier in classifiers:
            for line in measure_classifier(name, classifier, rows, run):
                yield {**line, "rule": rule}

    def _remark(self) -> str:
        n_generated = self.recipe.protocol.n_generated
        return (
            f"published: {n_generated:,} generated frauds, or under-sampling, before the split; "
            "honest: resampling of the training rows only, after the split"
        )

    def _draw(self, file: str, draw: Callable[..., Any], title: str = "") -> None:
        """Save a plot of the last run for the report, if matplotlib is installed."""
        try:
            axes = draw(axes=report_axes())
            axes.set_title(title or axes.get_title())
            write_text(as_svg(axes).decode(), self.folder / f"{file}.svg")
        except OddrowError as error:
            self.tell(f"No plot {file}: {error}")

    def _page(self, results: Results) -> Page:
        captions = {f"marginals-{name}": f"{name} of real and generated frauds." for name in self.table.columns}
        paths = {self.folder / f"{file}.svg": caption for file, caption in {**LOSS_CAPTIONS, **captions}.items()}
        pictures = [Picture(path.read_bytes(), caption) for path, caption in paths.items() if path.exists()]
        return results_page(results, self.command, pictures, LIMITS)


def _loss_curve(curve: LossCurve) -> Callable[..., Any]:
    """Return a function that draws the total loss and its parts."""
    parts = {name: [epoch[key] for epoch in curve] for name, key in LOSS_PARTS.items() if key in curve[0]}
    return partial(loss_curve, parts, epochs=[epoch["epoch"] for epoch in curve])


def _most_different_columns(table: Table, y: Floats) -> list[str]:
    """Return the columns whose class means differ most, in standard deviations of the normal rows."""
    X = table.in_memory.to_numpy().astype(np.float64)
    difference = np.abs(X[y == 1].mean(axis=0) - X[y == 0].mean(axis=0)) / (X[y == 0].std(axis=0) + 1e-12)
    return [table.columns[place] for place in np.argsort(-difference)[:N_MARGINALS]]
