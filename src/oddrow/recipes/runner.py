"""The folder of a recipe: what has been measured, run by run, so that an interrupted one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oddrow.artifact import Artifact
from oddrow.artifact.manifest import REPORT, check_writable
from oddrow.errors import ArtifactError, ParameterError
from oddrow.evaluate.evaluation import HeldOutSet
from oddrow.files import write_json, write_text
from oddrow.recipes.results import Results
from oddrow.report import Page, PageTable, Picture, Section, check_packages, render
from oddrow.report.contents import VERSIONS, page_of
from oddrow.report.data import ReportData
from oddrow.report.sections import again
from oddrow.table.dataset import Dataset
from oddrow.table.write import write_table
from oddrow.typing import Floats, Ints, Tell
from oddrow.workflow.baselines import RankedScores
from oddrow.workflow.evaluating import of_ranked

SCORES = "scores.parquet"

ROW = "row"


def keep_scores(folder: Path, rows: Ints, name: str, scores: Floats) -> None:
    """Put a contestant's scores (n,) beside those of the others; those of other rows go.

    `rows` (n,) are the numbers of the rows in the file.
    """
    kept = {**kept_scores(folder, rows), name: scores}
    write_table(pl.DataFrame({ROW: rows, **kept}), folder / SCORES)


def kept_scores(folder: Path, rows: Ints) -> dict[str, Floats]:
    """The scores of these rows by contestant; none where those of other rows are kept."""
    path = folder / SCORES
    if not path.exists():
        return {}
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{path}: this cannot be read ({error}). Delete it to go on.") from error
    if ROW not in frame.columns or not np.array_equal(frame[ROW].to_numpy(), rows):
        return {}
    return {name: frame[name].to_numpy() for name in frame.columns if name != ROW}


SUBTITLE = "A published experiment, run again by oddrow."

OF_LAST_RUN = f"{SUBTITLE} The numbers on top are those of the last run."

OF_LAST = "The table is of all runs. From here on: the model of the last run, on the rows that tested it."


def write_report(folder: Path, page: Callable[[], Page], tell: Tell) -> None:
    """Write the report of a recipe beside its results, where the packages for it are installed."""
    try:
        check_packages()
    except ParameterError as error:
        tell(f"No report: {error}")
        return
    write_text(render(page()), folder / REPORT)
    tell(f"Wrote {folder / REPORT}.")


def page_of_model(
    results: Results,
    artifact: Artifact,
    chosen: Dataset,
    test: HeldOutSet,
    ranked: Sequence[RankedScores],
    command: str,
) -> Page:
    """The results of all runs, then the kept model on the rows that tested it, beside everybody of that run."""
    evaluation = of_ranked(artifact, test, ranked, test.notes)
    subject = ReportData(artifact, chosen, {each.name: each.scores for each in ranked}, evaluation)
    opening = [_results(results, [OF_LAST])]
    return page_of(subject, results.title, OF_LAST_RUN, [command] if command else [], opening)


def page_of_results(results: Results, pictures: Sequence[Picture], notes: Sequence[str], command: str) -> Page:
    """The results of all runs with pictures, where no model is kept."""
    versions = {name: version(name) for name in VERSIONS}
    limits = [Section("Limits", notes=notes)] if notes else []
    sections = [_results(results, [], pictures), *limits, again([command] if command else [], versions, [])]
    return Page(results.title, SUBTITLE, (), sections)


def _results(results: Results, notes: Sequence[str], pictures: Sequence[Picture] = ()) -> Section:
    shown = PageTable(*results.shown, n_texts=2)
    return Section("Published and measured", [f"{results.said}."], [shown], pictures, notes=notes)


Line = dict[str, Any]


class Runs:
    """Lines of numbers by run; `described` is all that shapes them, so that others are not taken for these."""

    def __init__(self, folder: Path, described: Mapping[str, Any], keys: Sequence[str]) -> None:
        text = json.dumps({"oddrow": version("oddrow"), **described}, sort_keys=True, default=str)
        self.folder, self.signature, self.keys = folder, hashlib.sha256(text.encode()).hexdigest()[:32], keys

    def make_folder(self) -> None:
        """Raises `ArtifactError` where it cannot be made or written."""
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"{self.folder}: the folder cannot be made ({error.strerror}).") from error
        check_writable(self.folder / "model")

    def read(self, file: str) -> list[Line]:
        """What has been measured in a run, nothing where it has not been run."""
        path = self.folder / "runs" / file
        if not path.exists():
            return []
        try:
            saved = json.loads(path.read_text())
            signature, lines = saved["signature"], [{key: line[key] for key in self.keys} for line in saved["lines"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: this cannot be read ({error!r}). Delete it to run it again.") from error
        if signature != self.signature:
            raise ArtifactError(f"{path}: it was written by another recipe or other data. Give another --out.")
        return lines

    def write(self, file: str, lines: Sequence[Line]) -> None:
        """Keep what has been measured in a run."""
        write_json({"signature": self.signature, "lines": list(lines)}, self.folder / "runs" / file)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a recipe's results."""
    holds = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if holds and "runs" not in holds:
        raise ArtifactError(
            f"{folder}: this exists and holds no results of a recipe. Give another --out, or remove it."
        )
