"""Detection recipes: several models fitted to the same rows in each run, with published and held-out thresholds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import numpy as np

from oddrow.artifact import Artifact, Origin
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.fit_many import fit_many
from oddrow.encoding.encoder import TableEncoder
from oddrow.encoding.numeric_matrix import NumericMatrix, TableScorer
from oddrow.errors import TrainingError, counted
from oddrow.evaluate.baselines import Baseline, Forest, Mahalanobis, OneClass
from oddrow.evaluate.result import measure
from oddrow.nets.layers import named_activations
from oddrow.recipes.labelled_table import Case, CaseSplit, LabelledTable, split_case
from oddrow.recipes.recipe import METRICS, DetectionProtocol, Recipe
from oddrow.recipes.results import METRIC_NAMES, TIMES, Line, Results
from oddrow.recipes.runner import Runner, load_scores, model_page, results_page, save_scores
from oddrow.report import Page
from oddrow.table.dataset import Dataset
from oddrow.table.table import Table
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Floats, Ints, Tell
from oddrow.workflow.evaluating import RankedScores
from oddrow.workflow.settings import Settings

BASELINES: dict[str, Callable[[int], Baseline]] = {
    "mahalanobis": lambda seed: Mahalanobis(),
    "isolation-forest": Forest,
    "one-class-svm": OneClass,
}

# Runs train together if their rows need no more memory than this; larger tables gain nothing from it.
TOGETHER_BYTES = 2**25

BYTES_PER_NUMBER = 4

# The threshold that no test row has influenced.
HONEST = "honest"


# Models


class TableModel(Protocol):
    """A fitted detector or baseline."""

    def anomaly_score(self, table: Any) -> Floats:
        """Return the score of each row, (n,)."""


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline fitted to a table."""

    anomaly_score: TableScorer

    @classmethod
    def fit(cls, model: Baseline, table: Table, encoder: TableEncoder | None) -> FittedBaseline:
        """Fit a baseline to a table that is encoded as for the detector."""
        numbers = NumericMatrix(table, encoder)
        return cls(numbers.scorer(model.fit(numbers(table))))


def fit_models(
    name: str, settings: Settings, tables: Iterable[Table], validation: Iterable[Table], seeds: Sequence[int]
) -> Sequence[TableModel]:
    """Fit the model of this name to the tables of several runs."""
    if name in BASELINES:
        encoder = settings.new_detector().encoder
        pairs = zip(tables, seeds, strict=True)
        return [FittedBaseline.fit(BASELINES[name](seed), table, encoder) for table, seed in pairs]
    return fit_many([_new_detector(name, settings, seed) for seed in seeds], tables, validation=validation)


def _new_detector(name: str, settings: Settings, seed: int) -> Detector:
    detector: Detector = settings.new_detector().set_params(random_state=seed)
    if name == "defaults":
        return AutoencoderDetector(random_state=seed)
    if name == f"{settings.detector}-untrained":
        return detector.set_params(training__epochs=0)
    if name == "autoencoder" and isinstance(detector, DAGMMDetector):
        return _compression_network(detector)
    return detector


def _compression_network(detector: DAGMMDetector) -> Detector:
    """Return an autoencoder like the compression network of DAGMM, trained alike and scored by its error."""
    down = [int(width) for width in detector.hidden or ()]
    names = named_activations(detector.activations, len(down))
    return AutoencoderDetector(
        hidden=[*down, detector.latent, *reversed(down)],
        activations=[*names, "linear", *reversed(names)],
        noise=0.0,
        scoring="mse",
        training=detector.training,
        encoder=detector.encoder,
        random_state=detector.random_state,
    )


# Runs


class DetectionRunner(Runner[DetectionProtocol, Case]):
    """Runs a detection recipe: each case is one run at one contamination."""

    keys = ("detector", "rule", "threshold", *METRICS, *TIMES)

    def __init__(
        self, recipe: Recipe[DetectionProtocol], data: LabelledTable, folder: Path, tell: Tell, command: str = ""
    ) -> None:
        super().__init__(_with_levels(recipe, data), data, folder, tell, command)
        self.headings = {name: METRIC_NAMES[name] for name in recipe.protocol.metrics}

    @property
    def contestants(self) -> tuple[str, ...]:
        """The names of the models to compare, in order."""
        return self.recipe.protocol.contestants_for(self.recipe.settings)

    def _inputs(self) -> Mapping[str, Any]:
        protocol = asdict(self.recipe.protocol)
        return {
            "columns": self.data.table.columns,
            "protocol": {name: protocol[name] for name in ("known_ratio", "train_share", "n_anomalies")},
            "contestants": self.contestants,
            "cuts": [asdict(cut) for cut in self.recipe.cuts],
            "threshold": str(self.recipe.settings.threshold),
            "detector": self.recipe.settings.new_detector().get_params(),
        }

    def _cases(self, n_runs: int) -> Iterator[Case]:
        for run in range(n_runs):
            for share in self.recipe.protocol.contamination:
                yield Case(run, share)

    def _file(self, case: Case) -> str:
        return case.file

    def _lines(self) -> Iterator[Line]:
        for case in self.cases:
            yield from self._read(case)

    def _read(self, case: Case) -> list[Line]:
        """Return the lines of a case, in the order of the contestants."""
        lines = self.store.read(case.file)
        ordered = [line for name in self.contestants for line in lines if line["detector"] == name]
        return [{**line, "contamination": case.contamination} for line in ordered]

    def _is_missing(self, case: Case) -> bool:
        return any(self._lacks(case, name) for name in self.contestants)

    def _lacks(self, case: Case, name: str) -> bool:
        """Return whether a model must be fitted in a case: for its numbers, or to be saved."""
        is_unsaved = self._is_saved(case, name) and not (self.folder / "model").exists()
        return is_unsaved or name not in {line["detector"] for line in self._read(case)}

    def _is_saved(self, case: Case, name: str) -> bool:
        return case == self.cases[-1] and name == self.recipe.settings.detector

    def _groups(self, missing: Sequence[Case]) -> Iterator[Sequence[Case]]:
        """Group cases of the same contamination, as many as memory allows: they train together."""
        bytes_each = self.data.table.n_rows * max(len(self.data.table.columns), 1) * BYTES_PER_NUMBER
        size = max(1, TOGETHER_BYTES // bytes_each)
        for share in dict.fromkeys(case.contamination for case in missing):
            cases = [case for case in missing if case.contamination == share]
            for start in range(0, len(cases), size):
                yield cases[start : start + size]

    def _measure(self, cases: Sequence[Case]) -> None:
        splits = [split_case(self.recipe, self.data.y, case) for case in cases]
        for name in self.contestants:
            if not any(self._lacks(case, name) for case in cases):
                continue
            models, fit_s = self._fit(name, cases, splits)
            first_lines = []
            for case, rows, model in zip(cases, splits, models, strict=True):
                lines = list(self._test(name, model, rows, fit_s))
                # Saved before the lines are written: if a case is measured, its model is there.
                self._save(name, model, case, rows)
                self.store.write(case.file, [line for line in self._read(case) if line["detector"] != name] + lines)
                first_lines.append(lines[0])
            self._tell_speed(name, splits, first_lines)

    def _fit(self, name: str, cases: Sequence[Case], splits: list[CaseSplit]) -> tuple[Sequence[TableModel], float]:
        """Fit a model to every case. Returns also the seconds for one of them."""
        started = time.perf_counter()
        training = (self.data.table.take(rows.training) for rows in splits)
        validation = (self.data.table.take(rows.validation) for rows in splits)
        seeds = [case.run for case in cases]
        try:
            models = fit_models(name, self.recipe.settings, training, validation, seeds)
        except TrainingError as error:
            raise TrainingError(f"{name} in run {', '.join(map(str, seeds))}: {error}") from error
        return models, (time.perf_counter() - started) / len(cases)

    def _test(self, name: str, model: TableModel, rows: CaseSplit, fit_s: float) -> Iterator[Line]:
        """Measure a model on the test rows: a line for each threshold."""
        started = time.perf_counter()
        scores = self._scores(model, rows.test)
        times = {"fit_s": fit_s, "score_s": time.perf_counter() - started}
        test = self.data.test_set(rows.test)
        for rule, threshold in self._thresholds(name, model, rows, scores):
            result = measure(name, test, scores, threshold)
            confusion = result.confusion
            metrics = {
                "f1": confusion.f1,
                "precision": confusion.precision,
                "recall": confusion.recall,
                "accuracy": confusion.accuracy,
                "auroc": result.auroc,
                "ap": result.average_precision,
            }
            yield {"detector": name, "rule": rule, "threshold": threshold.value, **metrics, **times}

    def _thresholds(
        self, name: str, model: TableModel, rows: CaseSplit, scores: Floats
    ) -> Iterator[tuple[str, Threshold]]:
        """Yield the thresholds by name: from the known ratio of anomalies, by published rules, from held-out rows."""
        known_ratio = self.recipe.protocol.known_ratio
        if known_ratio is not None:
            yield "published", Threshold(float(np.quantile(scores, 1 - known_ratio)), f"known ratio {known_ratio:g}")
        detector = self.recipe.settings.detector
        for cut in self.recipe.cuts:
            rule = Rule.parse(cut.rule)
            if not rule.is_fixed or name in (detector, f"{detector}-untrained"):
                chosen_on = rows.test if cut.rows == "test" else rows.training
                their_scores = scores if cut.rows == "test" else self._scores(model, chosen_on)
                yield cut.name, rule.threshold(their_scores, self.data.outcomes.take(chosen_on))
        yield HONEST, self._held_out_threshold(model, rows)

    def _held_out_threshold(self, model: TableModel, rows: CaseSplit) -> Threshold:
        rule = self.recipe.settings.threshold
        validation = rows.validation
        if rule.needs_labels:
            validation = np.concatenate([validation, rows.validation_anomalies])
        scores, outcomes = self._scores(model, validation), self.data.outcomes.take(validation)
        return rule.threshold(scores, outcomes, source=rule.source, fingerprint=self.data.fingerprint(validation))

    def _scores(self, model: TableModel, rows: Ints) -> Floats:
        return model.anomaly_score(self.data.table.take(rows))

    def _save(self, name: str, model: TableModel, case: Case, rows: CaseSplit) -> None:
        """Save the detector of the last case, and the scores that every model gives its test rows."""
        if self._is_saved(case, name) and isinstance(model, Detector):
            origin = Origin(
                tables=(str(self.data.path),),
                start=None,
                until=None,
                n_rows=len(rows.training),
                n_validation=len(rows.validation),
                seed=case.run,
                fingerprint=self.data.fingerprint(rows.training),
                command=self.command,
                join=self.data.join,
            )
            settings = self.recipe.settings
            threshold = self._held_out_threshold(model, rows)
            Artifact(model, threshold, settings.read, settings.roles, origin).save(self.folder / "model")
        if case == self.cases[-1]:
            save_scores(self.folder, self.data.file_numbers(rows.test), name, self._scores(model, rows.test))

    def _tell_speed(self, name: str, splits: list[CaseSplit], lines: list[Line]) -> None:
        n_fitting, n_test = (fmean(len(getattr(rows, part)) for rows in splits) for part in ("training", "test"))
        fit_s, score_s, ap = (fmean(line[key] for line in lines) for key in ("fit_s", "score_s", "ap"))
        self.tell(
            f"{name}: {counted(len(lines), 'run')}, each {int(n_fitting):,} rows fitted in {fit_s:.1f} s, "
            f"{n_test / max(score_s, 1e-9):,.0f} rows/s scored, AP {ap:.3f}"
        )

    def _remark(self) -> str:
        """Return how long the models were trained, here and in the paper, and how thresholds were chosen."""
        published = self.recipe.protocol.published_epochs
        epochs = f"{self.recipe.settings.training.get('epochs')} epochs"
        rules = [f"{cut.name}: {cut}" for cut in self.recipe.cuts]
        honest = f"{HONEST}: {self.recipe.settings.threshold} on held-out rows"
        return "; ".join([epochs + (f" (published: {published})" if published else ""), *rules, honest])

    # Report

    def _page(self, results: Results) -> Page:
        """Return the report of all runs, and of the saved model if one of these runs has fitted it."""
        artifact = Artifact.load(self.folder / "model") if (self.folder / "model").exists() else None
        if artifact is None or (found := self._case_of(artifact)) is None:
            return results_page(results, self.command)
        case, rows = found
        numbers = self.data.file_numbers(rows.test)
        test = self.data.test_set(rows.test)
        dataset = Dataset(self.data.table.take(rows.test), numbers, test.outcomes)
        detector = self.recipe.settings.detector
        ranked = [RankedScores(detector, artifact.detector.anomaly_score(dataset.table), artifact.threshold)]
        scores = load_scores(self.folder, numbers)
        thresholds = {line["detector"]: line["threshold"] for line in self._read(case) if line["rule"] == HONEST}
        for name in self.contestants:
            if name in scores and name != detector:
                threshold = replace(artifact.threshold, value=thresholds[name])
                ranked.append(RankedScores(name, scores[name], threshold))
        return model_page(results, artifact, dataset, test, ranked, self.command)

    def _case_of(self, artifact: Artifact) -> tuple[Case, CaseSplit] | None:
        """Find the case whose rows the saved model was fitted to. An earlier command may have run more cases."""
        if artifact.origin is None:
            return None
        for case in reversed(self.cases):
            rows = split_case(self.recipe, self.data.y, case)
            if artifact.origin.fingerprint == self.data.fingerprint(rows.training):
                return case, rows
        return None


def _with_levels(recipe: Recipe[DetectionProtocol], data: LabelledTable) -> Recipe[DetectionProtocol]:
    """Give one-hot columns the levels of the whole file, as the papers do."""
    encoder = dict(recipe.settings.encoder)
    schema = data.table.fitted_schema()
    if encoder.get("one_hot_up_to", 0) > 0:
        frame = schema.conform(data.table.frame)
        names = [column.name for column in schema.features if column.kind in ("category", "boolean")]
        encoder["levels"] = {name: sorted(map(str, frame[name].drop_nulls().unique())) for name in names}
    return replace(recipe, settings=replace(recipe.settings, encoder=encoder))
