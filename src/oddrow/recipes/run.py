"""Running a recipe of whatever kind: its rows read, its folder checked, an interruption told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oddrow.errors import TrainingError, check_number
from oddrow.recipes.data import LabelledTable
from oddrow.recipes.detection import DetectionRuns
from oddrow.recipes.prequential import PrequentialRuns, Transactions
from oddrow.recipes.recipe import Prequential, Protocol, Recipe
from oddrow.recipes.resampling import ResamplingRuns
from oddrow.recipes.results import Results
from oddrow.recipes.runner import check_folder
from oddrow.typing import Tell


def run_recipe(
    recipe: Recipe[Any], data: str | Path, out: str | Path, runs: int | None, *, tell: Tell, command: str = ""
) -> Results:
    """Run a recipe on the files in `data`; `out` gets results.json, results.md and report.html.

    Of a detector it gets the last run's model too.
    What is already in `out` from the same recipe and data is not run again. `command` stands in the report and in the
    model's card. Raises `TableError` where a file is absent, `ArtifactError` where `out` holds something else.
    """
    n_runs = recipe.protocol.runs if runs is None else runs
    check_number("runs", n_runs, 1, whole=True)
    check_folder(Path(out))
    try:
        if isinstance(recipe.protocol, Prequential):
            weeks = Transactions.read(recipe, Path(data))
            _tell_rows(weeks.data, tell)
            return PrequentialRuns(recipe, weeks, Path(out), tell, command).run(n_runs)
        rows = LabelledTable.read(recipe, Path(data))
        _tell_rows(rows, tell)
        if isinstance(recipe.protocol, Protocol):
            return DetectionRuns(recipe, rows, Path(out), tell, command).run(n_runs)
        return ResamplingRuns(recipe, rows, Path(out), tell, command).run(n_runs)
    except KeyboardInterrupt as interrupt:
        raise TrainingError(
            f"stopped. What has been measured stays in {out}: run the same command again to go on from there."
        ) from interrupt


def _tell_rows(rows: LabelledTable, tell: Tell) -> None:
    table = rows.table
    tell(f"{table.source}: {table.n_rows:,} rows, {len(table.columns)} columns used, {rows.n_anomalies:,} anomalies.")
    if (weight := rows.outcomes.weight) is not None:
        tell(f"The normal rows are a random sample: each stands for {weight.max():.4g} of them in every number.")
    if table.note:
        tell(table.note)
