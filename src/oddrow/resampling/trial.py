"""`compare`: does resampling help? Fit classifiers after each sampler and measure them on untouched test rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils import _safe_indexing, get_tags

from oddrow.errors import EvaluationError, ParameterError, TrainingError, counted
from oddrow.evaluate.folds import Fold, check_folds, thinned
from oddrow.evaluate.intervals import N_DRAWS, average_precisions, draws_of_rows
from oddrow.metrics.classification import brier, confusion, prior_corrected
from oddrow.metrics.ranking import auroc, average_precision, precision_at_k, recall_at_precision
from oddrow.resampling.candidates import CLASS_WEIGHTS, NOTHING
from oddrow.resampling.comparison import MIN_PRECISION, Cell, Comparison, K
from oddrow.typing import Floats, Tell, silent

Encode = Callable[[Any], npt.NDArray[Any]]


class Learned(NamedTuple):
    """What a classifier learns from: numbers (n, d), labels (n,), and the share of anomalies that it learns."""

    X: npt.NDArray[Any]
    y: Floats
    rate: float


class Measured(NamedTuple):
    """The metrics of a classifier on a test set, and its average precision in each draw of the rows."""

    numbers: dict[str, float]
    draws: Floats


def compare(
    samplers: Mapping[str, Any],
    classifiers: Mapping[str, Any],
    X: Any,
    y: Any,
    folds: Sequence[Fold],
    *,
    weight: Floats | None = None,
    synthetic: npt.NDArray[np.bool_] | None = None,
    encode: Callable[[Any], Encode] | None = None,
    max_rows: int | None = None,
    seed: int = 0,
    tell: Tell = silent,
) -> Comparison:
    """Fit every classifier after every sampler on the training rows of each fold, and measure it on the test rows.

    Parameters
    ----------
    samplers : mapping of str to sampler
        By name: None for no resampling, which must be there under the name "nothing"; "class weights" for balanced
        class weights; else an object with `fit_resample(X, y)`. Only training rows are resampled.
    classifiers : mapping of str to classifier
        Classifiers of scikit-learn by name. Those without `class_weight` are not tried with class weights.
    X : frame or array-like, shape (n, d)
        The rows.
    y : array-like, shape (n,)
        1 for anomalies, 0 for normal rows.
    folds : sequence of Fold
        Training and test rows, by their positions.
    weight : ndarray of float64, shape (n,), or None
        How many rows each row stands for. It enters the metrics and the base rate of probabilities, not the training.
    synthetic : ndarray of bool, shape (n,), or None
        Which rows are synthetic; these must not be tested.
    encode : callable or None
        Takes training rows and returns a function from rows to the numbers (m, d) that classifiers see, so that scales
        come from training rows only. None if X is numeric. Samplers tagged `categorical` resample rows, others numbers.
    max_rows : int or None
        Largest training set; a larger one is thinned by drawing from the larger class.
    seed : int
        Random seed.
    tell : callable
        Receives a line of text for each step.

    Returns
    -------
    Comparison
        A result for each sampler and classifier that worked in all folds, and notes on the others.

    Raises
    ------
    EvaluationError
        If a test row is synthetic, a fold lacks a class on either side, or no classifier worked.
    ParameterError
        If no sampler is named "nothing", or a sampler's parameter has no meaning.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from oddrow.evaluate.folds import stratified_folds
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(200, 2)), np.arange(200) % 10 == 0
    >>> samplers = {"nothing": None, "class weights": "class weights"}
    >>> folds = stratified_folds(y, n_folds=2, n_repeats=1, seed=0)
    >>> comparison = compare(samplers, {"tree": DecisionTreeClassifier()}, X, y, folds)
    >>> [cell.sampler for cell in comparison.cells]
    ['nothing', 'class weights']
    """
    y = np.asarray(y, dtype=np.float64)
    if NOTHING not in samplers:
        raise ParameterError(
            f"samplers: '{NOTHING}' is missing, and all others are compared with it. Add '{NOTHING}': None."
        )
    _check_real(folds, synthetic)
    check_folds(folds, y, max_rows)
    trial = _Trial(
        samplers,
        classifiers,
        X,
        y,
        np.ones(len(y)) if weight is None else weight,
        _as_numbers if encode is None else encode,
        max_rows,
        _draws(folds, y, seed),
        np.random.default_rng(seed),
    )
    for number, fold in enumerate(folds, 1):
        trial.run(fold, f"fold {number} of {len(folds)}", tell)
    if not any(trial.cells(len(folds))):
        raise EvaluationError(f"no classifier worked without resampling: {'; '.join(trial.notes)}.")
    return Comparison(
        tuple(trial.cells(len(folds))),
        n_folds=len(folds),
        n_training=tuple(min(len(fold.train), max_rows or len(fold.train)) for fold in folds),
        n_test=tuple(len(fold.test) for fold in folds),
        n_anomalies=int(y[_tested(folds)].sum()),
        max_rows=max_rows,
        notes=tuple(dict.fromkeys(trial.notes)),
    )


@dataclass
class _Trial:
    """Every sampler with every classifier, fold by fold."""

    samplers: Mapping[str, Any]
    classifiers: Mapping[str, Any]
    X: Any
    y: Floats
    weight: Floats
    encode: Callable[[Any], Encode]
    max_rows: int | None
    draws: npt.NDArray[np.uint8]
    rng: np.random.Generator
    found: dict[tuple[str, str], list[Measured]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def run(self, fold: Fold, named: str, tell: Tell) -> None:
        """Resample the training rows in every way, fit all classifiers and measure them."""
        train = thinned(fold.train, self.y, self.max_rows, self.rng)
        rows = _safe_indexing(self.X, train)
        numbers = self.encode(rows)
        test = _Test(self, fold, numbers)
        for name, sampler in self.samplers.items():
            tell(f"{name}, {named}: {len(train):,} training rows …")
            with self._noted(f"{name} in {named}"):
                learned = _resampled(sampler, rows, self.y[train], numbers)
                found = self._classify(name, sampler, learned, test, named)
                tell(f"  average precision: {found}")

    def _classify(self, name: str, sampler: Any, learned: Learned, test: _Test, named: str) -> str:
        """Fit every classifier and measure it; return the average precision of each as text."""
        precisions = []
        for of, classifier in self.classifiers.items():
            if (model := _ready(classifier, sampler)) is not None:
                with self._noted(f"{of} after {name} in {named}"), warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    # With few rows, Nystroem takes as many features as there are rows.
                    warnings.filterwarnings("ignore", "n_components > n_samples")
                    model.fit(learned.X, learned.y.astype(int))
                    measured = test.measure(model, learned.rate)
                    self.found.setdefault((name, of), []).append(measured)
                    precisions.append(f"{of} {measured.numbers['ap']:.3f}")
                # Such as a solver that did not converge.
                self.notes += [f"{of} after {name}: {str(warning.message).splitlines()[0]}" for warning in caught]
        return ", ".join(precisions)

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        """Note an error that these rows cause, and go on; raise errors that any rows would cause."""
        try:
            yield
        except ParameterError:
            raise
        except (ValueError, TrainingError) as error:
            self.notes.append(f"{what} was not possible: {str(error).splitlines()[0]}")

    def cells(self, n_folds: int) -> Iterator[Cell]:
        """Yield what worked in all folds, with the same classifier without resampling."""
        whole = {pair: measured for pair, measured in self.found.items() if len(measured) == n_folds}
        for (sampler, classifier), measured in whole.items():
            if (NOTHING, classifier) in whole:
                yield _cell(sampler, classifier, measured, whole[NOTHING, classifier])


class _Test:
    """The test rows of a fold, and the true share of anomalies in its training rows."""

    def __init__(self, trial: _Trial, fold: Fold, numbers: Encode) -> None:
        self.X = numbers(_safe_indexing(trial.X, fold.test))
        self.y, self.weight, self.draws = trial.y[fold.test], trial.weight[fold.test], trial.draws[:, fold.test]
        self.rate = float(np.average(trial.y[fold.train], weights=trial.weight[fold.train]))

    def measure(self, model: Any, learned_rate: float) -> Measured:
        """Return all metrics of a fitted classifier; the Brier scores only if it has probabilities."""
        scores, is_probability = scores_of(model, self.X)
        numbers = {
            "ap": average_precision(self.y, scores, sample_weight=self.weight),
            "auroc": auroc(self.y, scores, sample_weight=self.weight),
            "f1": confusion(self.y, model.predict(self.X) == 1, sample_weight=self.weight).f1,
            "recall_at_precision": recall_at_precision(
                self.y, scores, precision=MIN_PRECISION, sample_weight=self.weight
            ),
        }
        if self.weight.sum() >= K:
            numbers["precision_at_k"] = precision_at_k(self.y, scores, k=K, sample_weight=self.weight)
        if is_probability:
            corrected = prior_corrected(scores, learned_rate=learned_rate, true_rate=self.rate)
            numbers["brier"] = brier(self.y, scores, sample_weight=self.weight)
            numbers["brier_corrected"] = brier(self.y, corrected, sample_weight=self.weight)
        return Measured(numbers, average_precisions(self.y, scores, self.weight, self.draws))


def _draws(folds: Sequence[Fold], y: Floats, seed: int) -> npt.NDArray[np.uint8]:
    """Return how often each row is drawn, (n_draws, n): the same in all folds, because repeats add no new rows."""
    tested = _tested(folds)
    draws = np.zeros((N_DRAWS, len(y)), np.uint8)
    draws[:, tested] = draws_of_rows(y[tested], seed)
    return draws


def scores_of(model: Any, X: npt.NDArray[Any]) -> tuple[Floats, bool]:
    """Return the scores (n,) of a fitted classifier, and whether they are probabilities."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X)[:, 1], dtype=np.float64), True
    return np.asarray(model.decision_function(X), dtype=np.float64), False


def _as_numbers(rows: Any) -> Encode:
    """Return the encoding of rows that are numbers already."""
    return np.asarray


def _tested(folds: Sequence[Fold]) -> npt.NDArray[np.int64]:
    """Return the positions of rows that are tested at least once."""
    return np.unique(np.concatenate([fold.test for fold in folds]))


def _check_real(folds: Sequence[Fold], synthetic: npt.NDArray[np.bool_] | None) -> None:
    n_synthetic = 0 if synthetic is None else int(synthetic[_tested(folds)].sum())
    if n_synthetic:
        verb = "is" if n_synthetic == 1 else "are"
        raise EvaluationError(
            f"{counted(n_synthetic, 'test row')} {verb} synthetic (oddrow_synthetic is true). Test on real rows only: "
            "remove the synthetic ones, since resampling happens here."
        )


def _resampled(sampler: Any, rows: Any, y: Floats, numbers: Encode) -> Learned:
    if sampler is None or sampler == CLASS_WEIGHTS:
        return Learned(numbers(rows), y, float(y.mean()) if sampler is None else 0.5)
    sampler = clone(sampler)
    takes_rows = bool(get_tags(sampler).input_tags.categorical)
    X_all, y_all = sampler.fit_resample(rows if takes_rows else numbers(rows), y.astype(int))
    return Learned(numbers(X_all) if takes_rows else X_all, y_all.astype(float), float(y_all.mean()))


def _ready(classifier: Any, sampler: Any) -> Any:
    """Return a classifier to fit; None if it needs class weights but takes none."""
    model = clone(classifier)
    if sampler != CLASS_WEIGHTS:
        return model
    weights = [name for name in model.get_params() if name.split("__")[-1] == "class_weight"]
    return model.set_params(**dict.fromkeys(weights, "balanced")) if weights else None


def _cell(sampler: str, classifier: str, measured: list[Measured], nothing: list[Measured]) -> Cell:
    names = [name for name in measured[0].numbers if all(name in one.numbers for one in measured)]
    means = {name: fmean(one.numbers[name] for one in measured) for name in names}
    # A draw without anomalies in one fold has some in another.
    draws, without = (np.nanmean([one.draws for one in of], axis=0) for of in (measured, nothing))
    return Cell(sampler, classifier, means, draws, without, fmean(one.numbers["ap"] for one in nothing))
