"""Running a recipe: the rows of each run, everybody fitted to the same ones, both cuts, results saved run by run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from oddrow.artifact import Artifact, Origin
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.fit_many import fit_many
from oddrow.encoding.matrix import NumericMatrix
from oddrow.errors import TrainingError, counted
from oddrow.evaluate.baselines import Baseline, Forest, Mahalanobis, OneClass
from oddrow.evaluate.evaluation import Result, measure
from oddrow.nets.parameters import named_activations
from oddrow.recipes.data import Case, Divided, LabelledTable, divide_case
from oddrow.recipes.recipe import METRICS, Protocol, Recipe
from oddrow.recipes.results import NAMES, TIMES, Results, write_results
from oddrow.recipes.runner import Runs, keep_scores, kept_scores, page_of_model, page_of_results, write_report
from oddrow.report import Page
from oddrow.table.dataset import Dataset
from oddrow.table.table import Table
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Floats, Ints, Tell
from oddrow.workflow.baselines import RankedScores
from oddrow.workflow.settings import Settings

BASELINES: dict[str, Callable[[int], Baseline]] = {
    "mahalanobis": lambda seed: Mahalanobis(),
    "isolation-forest": Forest,
    "one-class-svm": OneClass,
}


def fit_contestant(
    name: str, settings: Settings, tables: Iterable[Table], held_out: Iterable[Table], seeds: Sequence[int]
) -> list[Any]:
    """Fit a contestant to the tables of several runs; each fitted one has `anomaly_score`."""
    if name in BASELINES:
        return [OnNumbers(BASELINES[name](seed), settings, table) for table, seed in zip(tables, seeds, strict=True)]
    detectors = [_detector(name, settings, seed) for seed in seeds]
    return fit_many(detectors, tables, validation=held_out)


def _detector(name: str, settings: Settings, seed: int) -> Detector:
    detector = settings.new_detector().set_params(random_state=seed)
    if name == "defaults":
        return AutoencoderDetector(random_state=seed)
    if name == f"{settings.detector}-untrained":
        return detector.set_params(training__epochs=0)
    if name == "autoencoder" and isinstance(detector, DAGMMDetector):
        return _plain_autoencoder(detector)
    return detector


def _plain_autoencoder(detector: DAGMMDetector) -> Detector:
    """The compression network alone, trained alike and scored by its reconstruction error."""
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


class OnNumbers:
    """A baseline on the numbers that the recipe's own encoder gives."""

    def __init__(self, model: Baseline, settings: Settings, table: Table) -> None:
        numbers = NumericMatrix(table, settings.new_detector().encoder)
        self.anomaly_score = numbers.scorer(model.fit(numbers(table)))


# Runs train side by side as long as their rows take no more than this: on larger tables nothing is gained by it.
TOGETHER_BYTES = 2**25

BYTES_PER_NUMBER = 4

HONEST = "honest"


class DetectionRuns:
    """A recipe on its rows; cases that are in the folder already are read from there."""

    def __init__(
        self, recipe: Recipe[Protocol], data: LabelledTable, folder: Path, tell: Tell, command: str = ""
    ) -> None:
        self.data, self.folder, self.tell, self.command = data, folder, tell, command
        self.recipe = _with_levels(recipe, data)
        self.headings = {name: NAMES[name] for name in recipe.protocol.metrics}
        self.runs = Runs(folder, _shaping(self.recipe, data), ("detector", "rule", "threshold", *METRICS, *TIMES))

    def run(self, n_runs: int) -> Results:
        """Run all cases that are missing, then gather."""
        self.runs.make_folder()
        cases = [Case(run, share) for run in range(n_runs) for share in self.recipe.protocol.contamination]
        missing = self._missing(cases)
        if len(missing) < len(cases):
            self.tell(f"{len(cases) - len(missing)} of {len(cases)} runs are in {self.folder} already.")
        for group in self._groups(missing):
            self._run_group(group, last=cases[-1])
        found = [self._read(case) for case in cases]
        results = Results.of(self.recipe, self.data, found, runs=n_runs, said=self._said(), headings=self.headings)
        write_results(results, self.folder)
        write_report(self.folder, lambda: self._page(results, cases), self.tell)
        return results

    def _page(self, results: Results, cases: Sequence[Case]) -> Page:
        """The report: what was published and measured over all runs, then the kept model on the rows that tested it."""
        artifact = Artifact.load(self.folder / "model") if (self.folder / "model").exists() else None
        divided = ((case, divide_case(self.recipe, self.data.y, case)) for case in reversed(cases))
        kept = next((each for each in divided if self._is_fitted_to(artifact, each[1])), None)
        if artifact is None or kept is None:
            return page_of_results(results, (), (), self.command)
        case, rows = kept
        test = self.data.held_out(rows.test)
        others = kept_scores(self.folder, self.data.places_of(rows.test))
        cuts = {line["detector"]: line["threshold"] for line in self._read(case) if line["rule"] == HONEST}
        chosen = Dataset(self.data.table.take(rows.test), self.data.places_of(rows.test), test.outcomes)
        name, own = self.recipe.settings.detector, artifact.detector.anomaly_score(chosen.table)
        beside = [other for other in self.contestants if other in others and other != name]
        ranked = [RankedScores(name, own, artifact.threshold)]
        ranked += [
            RankedScores(other, others[other], replace(artifact.threshold, value=cuts[other])) for other in beside
        ]
        return page_of_model(results, artifact, chosen, test, ranked, self.command)

    def _is_fitted_to(self, artifact: Artifact | None, rows: Divided) -> bool:
        """Whether these rows taught the kept model: with other numbers of runs, the last run is another one."""
        return (
            artifact is not None
            and artifact.origin is not None
            and artifact.origin.fingerprint == self.data.fingerprint(rows.fitting)
        )

    def _missing(self, cases: Sequence[Case]) -> list[Case]:
        """Cases to run: those that somebody has not been measured in, and the last one where its model is gone."""
        last = cases[-1]
        return [case for case in cases if any(self._is_missing(case, name, last) for name in self.contestants)]

    def _is_missing(self, case: Case, name: str, last: Case) -> bool:
        lacks_model = self._is_kept(case, name, last) and not (self.folder / "model").exists()
        return lacks_model or name not in {line["detector"] for line in self._read(case)}

    def _is_kept(self, case: Case, name: str, last: Case) -> bool:
        return case == last and name == self.recipe.settings.detector

    @property
    def contestants(self) -> tuple[str, ...]:
        return self.recipe.protocol.measured(self.recipe.settings)

    def _groups(self, cases: Sequence[Case]) -> list[list[Case]]:
        """Cases that train side by side: of one contamination, as many as fit."""
        bytes_each = self.data.table.n_rows * max(len(self.data.table.columns), 1) * BYTES_PER_NUMBER
        size = max(1, TOGETHER_BYTES // bytes_each)
        by_share = {case.contamination: [c for c in cases if c.contamination == case.contamination] for case in cases}
        return [of[start : start + size] for of in by_share.values() for start in range(0, len(of), size)]

    def _run_group(self, group: list[Case], last: Case) -> None:
        divided = [divide_case(self.recipe, self.data.y, case) for case in group]
        for name in self.contestants:
            if not any(self._is_missing(case, name, last) for case in group):
                continue
            fitted, fit_s = self._fitted(name, group, divided)
            measured = []
            for case, rows, model in zip(group, divided, fitted, strict=True):
                lines = self._measured(name, model, rows, fit_s)
                # That the last case is measured says that its model is there.
                if self._is_kept(case, name, last):
                    self._keep(model, case, rows)
                if case == last:
                    scores = model.anomaly_score(self.data.table.take(rows.test))
                    keep_scores(self.folder, self.data.places_of(rows.test), name, scores)
                self.runs.write(case.file, [line for line in self._read(case) if line["detector"] != name] + lines)
                measured.append(lines[0])
            self._tell_speed(name, divided, measured)

    def _fitted(self, name: str, group: list[Case], divided: list[Divided]) -> tuple[list[Any], float]:
        """A contestant fitted to every case, and the seconds that one took."""
        started = time.perf_counter()
        fitting = (self.data.table.take(rows.fitting) for rows in divided)
        held_out = (self.data.table.take(rows.held_out) for rows in divided)
        seeds = [case.run for case in group]
        try:
            fitted = fit_contestant(name, self.recipe.settings, fitting, held_out, seeds)
        except TrainingError as error:
            raise TrainingError(f"{name} in run {', '.join(map(str, seeds))}: {error}") from error
        return fitted, (time.perf_counter() - started) / len(group)

    def _tell_speed(self, name: str, divided: list[Divided], lines: list[dict[str, Any]]) -> None:
        n_fitting, n_test = (sum(len(getattr(rows, part)) for rows in divided) for part in ("fitting", "test"))
        fit_s, score_s, ap = (fmean(line[key] for line in lines) for key in ("fit_s", "score_s", "ap"))
        self.tell(
            f"{name}: {counted(len(lines), 'run')} of {n_fitting // len(lines):,} rows fitted in {fit_s:.1f} s each, "
            f"{n_test / len(lines) / max(score_s, 1e-9):,.0f} rows/s scored, AP {ap:.3f}"
        )

    def _measured(self, name: str, model: Any, rows: Divided, fit_s: float) -> list[dict[str, Any]]:
        """One line for each cut: the published ones, and one that no test label entered."""
        started = time.perf_counter()
        scores = model.anomaly_score(self.data.table.take(rows.test))
        times = {"fit_s": fit_s, "score_s": time.perf_counter() - started}
        test = self.data.held_out(rows.test)
        return [
            {
                "detector": name,
                "rule": rule,
                "threshold": cut.value,
                **_numbers(measure(name, test, scores, cut)),
                **times,
            }
            for rule, cut in self._cuts(name, model, rows, scores)
        ]

    def _cuts(self, name: str, model: Any, rows: Divided, scores: Floats) -> Iterator[tuple[str, Threshold]]:
        """The cuts by name: by the known ratio of anomalies, by published rules, by the honest one."""
        known_ratio = self.recipe.protocol.known_ratio
        if known_ratio is not None:
            yield "published", Threshold(float(np.quantile(scores, 1 - known_ratio)), f"known ratio {known_ratio:g}")
        of = self.recipe.settings.detector
        for cut in self.recipe.cuts:
            rule = Rule.parse(cut.rule)
            if not rule.is_fixed or name in (of, f"{of}-untrained"):
                chosen_on = rows.test if cut.rows == "test" else rows.fitting
                their_scores = scores if cut.rows == "test" else self._scores(model, chosen_on)
                yield cut.name, rule.threshold(their_scores, self.data.outcomes.take(chosen_on))
        yield HONEST, self._honest_cut(model, rows)

    def _scores(self, model: Any, rows: Ints) -> Floats:
        scores: Floats = model.anomaly_score(self.data.table.take(rows))
        return scores

    def _honest_cut(self, model: Any, rows: Divided) -> Threshold:
        """The threshold by held-out rows: normal ones, and where the rule knows labels the held-out anomalies too."""
        rule = self.recipe.settings.threshold
        chosen_on = np.concatenate([rows.held_out, rows.known]) if rule.needs_labels else rows.held_out
        scores, outcomes = self._scores(model, chosen_on), self.data.outcomes.take(chosen_on)
        return rule.threshold(scores, outcomes, source=rule.source, fingerprint=self.data.fingerprint(chosen_on))

    def _keep(self, detector: Any, case: Case, rows: Divided) -> None:
        """Save the model with its honest cut."""
        origin = Origin(
            tables=(str(self.data.path),),
            start=None,
            until=None,
            n_rows=len(rows.fitting),
            n_held_out=len(rows.held_out),
            seed=case.run,
            fingerprint=self.data.fingerprint(rows.fitting),
            command=self.command,
            join=self.data.join,
        )
        settings = self.recipe.settings
        cut = self._honest_cut(detector, rows)
        Artifact(detector, cut, settings.read, settings.roles, origin).save(self.folder / "model")

    def _read(self, case: Case) -> list[dict[str, Any]]:
        """What has been measured in a case, contestant by contestant in the order of the recipe."""
        lines = self.runs.read(case.file)
        ordered = [line for name in self.contestants for line in lines if line["detector"] == name]
        return [{**line, "contamination": case.contamination} for line in ordered]

    def _said(self) -> str:
        """How long was trained, here and in the paper."""
        published = self.recipe.protocol.published_epochs
        epochs = f"{self.recipe.settings.training.get('epochs')} epochs" + (
            f" (published: {published})" if published else ""
        )
        rules = [f"{cut.name}: {cut}" for cut in self.recipe.cuts]
        return "; ".join([epochs, *rules, f"honest: {self.recipe.settings.threshold} on held-out rows"])


def _numbers(result: Result) -> dict[str, float]:
    at_cut = result.confusion
    return {
        "f1": at_cut.f1,
        "precision": at_cut.precision,
        "recall": at_cut.recall,
        "accuracy": at_cut.accuracy,
        "auroc": result.auroc,
        "ap": result.average_precision,
    }


def _with_levels(recipe: Recipe[Protocol], data: LabelledTable) -> Recipe[Protocol]:
    """The recipe, where categories become 0/1 numbers with the levels of the whole file, as the papers do."""
    encoder = dict(recipe.settings.encoder)
    schema = data.table.fitted_schema()
    if encoder.get("one_hot_up_to", 0) > 0:
        frame = schema.conform(data.table.frame)
        names = [column.name for column in schema.features if column.kind in ("category", "boolean")]
        encoder["levels"] = {name: sorted(map(str, frame[name].drop_nulls().unique())) for name in names}
    return replace(recipe, settings=replace(recipe.settings, encoder=encoder))


def _shaping(recipe: Recipe[Protocol], data: LabelledTable) -> dict[str, Any]:
    """All that shapes a run: rows, division, parameters."""
    protocol = asdict(recipe.protocol)
    return {
        "rows": data.sha256,
        "columns": data.table.columns,
        "protocol": {name: protocol[name] for name in ("known_ratio", "train_share", "n_anomalies")},
        "contestants": recipe.protocol.measured(recipe.settings),
        "cuts": [asdict(cut) for cut in recipe.cuts],
        "threshold": str(recipe.settings.threshold),
        "detector": recipe.settings.new_detector().get_params(),
    }
