"""`Runner`: the loop that all kinds of recipes share, the folder that keeps what is done, and the report."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl

from oddrow.artifact import Artifact
from oddrow.artifact.artifact import PACKAGES
from oddrow.artifact.saved_folder import REPORT, check_writable
from oddrow.errors import ArtifactError, ParameterError
from oddrow.evaluate.result import TestSet
from oddrow.files import reason, write_json, write_text
from oddrow.recipes.labelled_table import LabelledTable
from oddrow.recipes.recipe import P, Recipe
from oddrow.recipes.results import HEADINGS, Line, Results, write_results
from oddrow.report import Page, PageTable, Picture, Section, check_packages, render
from oddrow.report.model_report import ReportData, build_page
from oddrow.report.sections import reproduce_section
from oddrow.table.dataset import Dataset
from oddrow.table.write import write_table
from oddrow.typing import Floats, Ints, Tell
from oddrow.workflow.evaluating import RankedScores, of_ranked

C = TypeVar("C")

SCORES, ROW = "scores.parquet", "row"

SUBTITLE = "A published experiment, repeated by oddrow."

MODEL_SUBTITLE = f"{SUBTITLE} The numbers at the top are those of the last run."

LAST_RUN = "The table covers all runs. Everything below is the model of the last run on its test rows."


class Runner(ABC, Generic[P, C]):
    """Runs the cases of a recipe that are not in the folder yet, then writes results and report.

    A kind of recipe says what a case is, how to measure it, and what to show.
    """

    # The keys of a line, and the headings of the metrics to show.
    keys: Sequence[str]
    headings: Mapping[str, str] = HEADINGS
    # The heading of the second column.
    column = "cut"

    def __init__(self, recipe: Recipe[P], data: LabelledTable, folder: Path, tell: Tell, command: str = "") -> None:
        self.recipe: Recipe[P] = recipe
        self.data, self.folder, self.tell, self.command = data, folder, tell, command
        self.store = RunStore(folder, {"rows": data.sha256, **self._inputs()}, self.keys)
        self.cases: list[C] = []

    def run(self, n_runs: int) -> Results:
        """Measure every case that is missing, and gather the results of all."""
        self.store.make_folder()
        self.cases = list(self._cases(n_runs))
        missing = [case for case in self.cases if self._is_missing(case)]
        if len(missing) < len(self.cases):
            self.tell(f"{len(self.cases) - len(missing)} of {len(self.cases)} runs are in {self.folder} already.")
        for cases in self._groups(missing):
            self._measure(cases)
        results = Results.of(
            self.recipe,
            self.data,
            list(self._lines()),
            runs=n_runs,
            remark=self._remark(),
            headings=self.headings,
            column=self.column,
        )
        write_results(results, self.folder)
        self._write_report(results)
        return results

    @abstractmethod
    def _inputs(self) -> Mapping[str, Any]:
        """Return everything besides the rows that changes the numbers of a case."""

    @abstractmethod
    def _cases(self, n_runs: int) -> Iterator[C]:
        """Yield what is measured and kept one by one."""

    @abstractmethod
    def _file(self, case: C) -> str:
        """Return the name of the file that keeps a case."""

    @abstractmethod
    def _measure(self, cases: Sequence[C]) -> None:
        """Measure cases and keep their lines."""

    @abstractmethod
    def _remark(self) -> str:
        """Return the end of the summary above the table."""

    @abstractmethod
    def _page(self, results: Results) -> Page:
        """Return the report."""

    def _is_missing(self, case: C) -> bool:
        return not self.store.read(self._file(case))

    def _groups(self, missing: Sequence[C]) -> Iterator[Sequence[C]]:
        """Group the cases that are measured together."""
        yield missing

    def _lines(self) -> Iterator[Line]:
        for case in self.cases:
            yield from self.store.read(self._file(case))

    def _write_report(self, results: Results) -> None:
        try:
            check_packages()
        except ParameterError as error:
            self.tell(f"No report: {error}")
            return
        write_text(render(self._page(results)), self.folder / REPORT)
        self.tell(f"Wrote {self.folder / REPORT}.")


class RunStore:
    """The measured cases in a folder. `inputs` is all that changes their numbers: cases of other inputs are refused."""

    def __init__(self, folder: Path, inputs: Mapping[str, Any], keys: Sequence[str]) -> None:
        text = json.dumps({"oddrow": version("oddrow"), **inputs}, sort_keys=True, default=str)
        self.folder, self.signature, self.keys = folder, hashlib.sha256(text.encode()).hexdigest()[:32], keys

    def make_folder(self) -> None:
        """Create the folder. Raises `ArtifactError` if it cannot be created or written."""
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"{self.folder}: the folder cannot be created ({reason(error)}).") from error
        check_writable(self.folder / "model")

    def read(self, file: str) -> list[Line]:
        """Return the lines of a case, none if it has not been measured."""
        path = self.folder / "runs" / file
        if not path.exists():
            return []
        try:
            saved = json.loads(path.read_text())
            signature, lines = saved["signature"], [{key: line[key] for key in self.keys} for line in saved["lines"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: cannot be read ({error!r}). Delete this file to run it again.") from error
        if signature != self.signature:
            raise ArtifactError(f"{path}: written by another recipe or from other data. Choose another --out.")
        return lines

    def write(self, file: str, lines: Sequence[Line]) -> None:
        """Keep the lines of a case."""
        write_json({"signature": self.signature, "lines": list(lines)}, self.folder / "runs" / file)


def check_folder(folder: Path) -> None:
    """Raise `ArtifactError` if a folder holds something else than the results of a recipe."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and "runs" not in names:
        raise ArtifactError(f"{folder}: this folder holds no results of a recipe. Choose another --out.")


def save_scores(folder: Path, rows: Ints, name: str, scores: Floats) -> None:
    """Add the scores (n,) of a model to those of the others. Scores of other rows are deleted.

    `rows` (n,) are row numbers in the file.
    """
    kept = {**load_scores(folder, rows), name: scores}
    write_table(pl.DataFrame({ROW: rows, **kept}), folder / SCORES)


def load_scores(folder: Path, rows: Ints) -> dict[str, Floats]:
    """Return the scores of these rows by model, none if the file holds scores of other rows."""
    path = folder / SCORES
    if not path.exists():
        return {}
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{path}: cannot be read ({reason(error)}). Delete this file to go on.") from error
    if ROW not in frame.columns or not np.array_equal(frame[ROW].to_numpy(), rows):
        return {}
    return {name: frame[name].to_numpy() for name in frame.columns if name != ROW}


def model_page(
    results: Results,
    artifact: Artifact,
    dataset: Dataset,
    test: TestSet,
    ranked: Sequence[RankedScores],
    command: str,
) -> Page:
    """Return a report of all runs, then of the saved model on its test rows, compared with the other models."""
    evaluation = of_ranked(artifact, test, ranked, test.notes)
    data = ReportData(artifact, dataset, {each.name: each.scores for each in ranked}, evaluation)
    opening = [_results_section(results, notes=[LAST_RUN])]
    return build_page(data, results.title, MODEL_SUBTITLE, [command] if command else [], opening)


def results_page(results: Results, command: str, pictures: Sequence[Picture] = (), limits: Sequence[str] = ()) -> Page:
    """Return a report of all runs, for recipes that save no model."""
    versions = {name: version(name) for name in PACKAGES}
    sections = [
        _results_section(results, pictures),
        *([Section("Limits", notes=limits)] if limits else []),
        reproduce_section([command] if command else [], versions, []),
    ]
    return Page(results.title, SUBTITLE, (), sections)


def _results_section(results: Results, pictures: Sequence[Picture] = (), notes: Sequence[str] = ()) -> Section:
    table = PageTable(*results.shown, n_texts=2)
    return Section("Published and measured", [f"{results.summary}."], [table], pictures, notes=notes)
