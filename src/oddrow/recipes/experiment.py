"""Running a recipe: the rows of each run, everybody fitted to the same ones, both cuts, results saved run by run."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.artifact import Artifact, check_writable
from oddrow.errors import ArtifactError, ParameterError, TrainingError, check_number
from oddrow.evaluate.metrics import auroc, average_precision, confusion
from oddrow.plots import latent_space, save
from oddrow.recipes.cases import Case, Divided, divide_case
from oddrow.recipes.contestants import fit_contestant
from oddrow.recipes.recipe import Recipe
from oddrow.recipes.results import Results, write_results
from oddrow.table.fingerprint import row_hashes
from oddrow.table.join import read_joined
from oddrow.table.table import Table
from oddrow.table.write import written_whole
from oddrow.thresholds import Fingerprint, Threshold

Floats = npt.NDArray[np.float64]
Tell = Callable[[Any], None]

# Runs train side by side as long as their rows take no more than this: on larger tables nothing is gained by it.
TOGETHER_BYTES = 2**25
BYTES_PER_NUMBER = 4


def run_recipe(recipe: Recipe, data: str | Path, out: str | Path, runs: int | None, *, tell: Tell) -> Results:
    """Run a recipe on the files in `data`; `out` gets results.json, results.md, the last run's model and z space.

    What is already in `out` from the same recipe and data is not run again.
    Raises `TableError` where a file is absent, `ArtifactError` where `out` holds something else.
    """
    n_runs = recipe.protocol.runs if runs is None else runs
    check_number("runs", n_runs, 1, whole=True)
    table, y = prepared(recipe, Path(data))
    n_anomalies = int((y == 1).sum())
    tell(f"{table.source}: {table.n_rows:,} rows, {len(table.columns)} columns used, {n_anomalies:,} anomalies.")
    try:
        return Experiment(recipe, table, y, Path(out), tell).run(n_runs)
    except KeyboardInterrupt as interrupt:
        raise TrainingError(
            f"stopped. The runs that are done stay in {out}: run the same command again to go on from there."
        ) from interrupt


def prepared(recipe: Recipe, data: Path) -> tuple[Table, Floats]:
    """The table of a recipe with its schema, features alone, and the label (n,): 1 anomaly, 0 normal, NaN unknown."""
    path, join = recipe.find(data)
    settings = recipe.settings
    table = read_joined(str(path), settings.read, join)
    settings.roles.check(table.columns)
    y = settings.roles.labels(table.frame, both=True)
    schema = settings.schema_of(table)
    named = replace(table, source=path.name)
    return named.keep(schema.feature_names).with_schema(schema), y


class Experiment:
    """A recipe on its table; cases that are in the folder already are read from there."""

    def __init__(self, recipe: Recipe, table: Table, y: Floats, folder: Path, tell: Tell) -> None:
        self.table, self.y, self.folder, self.tell = table, y, folder, tell
        self.recipe = replace(recipe, settings=_with_levels(recipe, table))
        self.signature = _signature(self.recipe, table, y)

    def run(self, n_runs: int) -> Results:
        """Run all cases that are missing, then gather."""
        self._make_folder()
        cases = [Case(run, share) for run in range(n_runs) for share in self.recipe.protocol.contamination]
        missing = [case for case in cases if self._read(case) is None]
        if len(missing) < len(cases):
            self.tell(f"{len(cases) - len(missing)} of {len(cases)} runs are in {self.folder} already.")
        groups = self._groups(missing)
        for group in groups:
            self._run_group(group, is_last=group is groups[-1])
        found = [rows for case in cases if (rows := self._read(case)) is not None]
        results = Results.of(self.recipe, self.table.source, n_runs, found)
        write_results(results, self.folder)
        return results

    def _make_folder(self) -> None:
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"{self.folder}: the folder cannot be made ({error.strerror}).") from error
        check_writable(self.folder / "model")

    def _groups(self, cases: Sequence[Case]) -> list[list[Case]]:
        """Cases that train side by side: of one contamination, as many as fit."""
        bytes_each = self.table.n_rows * max(len(self.table.columns), 1) * BYTES_PER_NUMBER
        size = max(1, TOGETHER_BYTES // bytes_each)
        by_share = {case.contamination: [c for c in cases if c.contamination == case.contamination] for case in cases}
        return [of[start : start + size] for of in by_share.values() for start in range(0, len(of), size)]

    def _run_group(self, group: list[Case], *, is_last: bool) -> None:
        divided = [divide_case(self.recipe, self.y, case) for case in group]
        lines: dict[Case, list[dict[str, Any]]] = {case: [] for case in group}
        for name in self.recipe.protocol.contestants:
            started = time.perf_counter()
            fitted = fit_contestant(
                name,
                self.recipe.settings,
                (self.table.take(rows.fitting) for rows in divided),
                (self.table.take(rows.held_out) for rows in divided),
                [case.run for case in group],
            )
            fit_s = (time.perf_counter() - started) / len(group)
            for case, rows, model in zip(group, divided, fitted, strict=True):
                lines[case] += self._measured(name, model, rows, fit_s)
            if is_last and name == self.recipe.settings.detector:
                self._keep(fitted[-1], divided[-1])
            self._tell_speed(name, divided, fit_s, lines[group[0]][-1])
        for case in group:
            self._write(case, lines[case])

    def _tell_speed(self, name: str, divided: list[Divided], fit_s: float, line: dict[str, Any]) -> None:
        n_fitting, n_test = len(divided[0].fitting), len(divided[0].test)
        self.tell(
            f"{name}: {len(divided)} x {n_fitting:,} rows fitted in {fit_s:.1f} s each, "
            f"{n_test / max(line['score_s'], 1e-9):,.0f} rows/s scored, AP {line['ap']:.3f}"
        )

    def _measured(self, name: str, model: Any, rows: Divided, fit_s: float) -> list[dict[str, Any]]:
        """One line for each cut: the published one, by the known ratio, and one that no test label entered."""
        started = time.perf_counter()
        scores = model.anomaly_score(self.table.take(rows.test))
        score_s = time.perf_counter() - started
        y = self.y[rows.test]
        held_out = model.anomaly_score(self.table.take(rows.held_out))
        cuts = {
            "published": float(np.quantile(scores, 1 - self.recipe.protocol.known_ratio)),
            "honest": self.recipe.settings.threshold.choose(held_out, None),
        }
        ranking = {"auroc": auroc(y, scores), "ap": average_precision(y, scores), "fit_s": fit_s, "score_s": score_s}
        return [{"detector": name, "rule": rule, **_at_cut(y, scores >= cut), **ranking} for rule, cut in cuts.items()]

    def _keep(self, detector: Any, rows: Divided) -> None:
        """Save the model with its honest cut."""
        rule = self.recipe.settings.threshold
        value = rule.choose(detector.anomaly_score(self.table.take(rows.held_out)), None)
        cut = Threshold(value, str(rule), "validation")
        Artifact(detector, cut, self.recipe.settings.read, self.recipe.settings.roles).save(self.folder / "model")
        self._draw(detector, rows)

    def _draw(self, detector: Any, rows: Divided) -> None:
        """The z space of the test rows, coloured by label, as the paper shows it."""
        names = [*(f"code {place + 1}" for place in range(detector.latent)), *detector.features]
        z = detector.code(self.table.take(rows.test))
        try:
            save(latent_space(z[:, -3:], self.y[rows.test], names=names[-3:]), self.folder / "z.png")
        except ParameterError as error:
            self.tell(f"No picture of z: {error}")

    def _read(self, case: Case) -> list[dict[str, Any]] | None:
        path = self.folder / "runs" / case.file
        if not path.exists():
            return None
        try:
            saved = json.loads(path.read_text())
            signature, lines = saved["signature"], saved["lines"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: this cannot be read ({error}). Delete it to run it again.") from error
        if signature != self.signature:
            raise ArtifactError(f"{path}: it was written by another recipe or other data. Give another --out.")
        return [{**line, "contamination": case.contamination} for line in lines]

    def _write(self, case: Case, lines: list[dict[str, Any]]) -> None:
        with written_whole(self.folder / "runs" / case.file) as unfinished:
            unfinished.write_text(json.dumps({"signature": self.signature, "lines": lines}, indent=1) + "\n")


def _at_cut(y: Floats, alerts: npt.NDArray[np.bool_]) -> dict[str, float]:
    found = confusion(y, alerts)
    return {"f1": found.f1, "precision": found.precision, "recall": found.recall}


def _with_levels(recipe: Recipe, table: Table) -> Any:
    """The settings, where categories become 0/1 numbers with the levels of the whole file, as the papers do."""
    encoder = dict(recipe.settings.encoder)
    schema = table.fitted_schema()
    if encoder.get("one_hot_up_to", 0) > 0:
        frame = schema.conform(table.frame)
        names = [column.name for column in schema.features if column.kind in ("category", "boolean")]
        encoder["levels"] = {name: sorted(map(str, frame[name].drop_nulls().unique())) for name in names}
    return replace(recipe.settings, encoder=encoder)


def _signature(recipe: Recipe, table: Table, y: Floats) -> str:
    """Names the recipe and its rows, so that results of others are not taken for these."""
    described = {name: value for name, value in asdict(recipe).items() if name not in ("published", "title", "source")}
    rows = row_hashes(table.fitted_schema().conform(table.frame).with_columns(pl.Series("y", y)))
    described |= {"rows": Fingerprint.of(rows).sha256, "columns": table.columns}
    described["protocol"]["runs"] = None
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:32]
