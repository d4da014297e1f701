"""`run_recipe`: read the rows of a recipe and hand them to the runner of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oddrow.errors import TrainingError, check_number
from oddrow.recipes.detection_runner import DetectionRunner
from oddrow.recipes.labelled_table import LabelledTable
from oddrow.recipes.prequential_runner import PrequentialRunner, Transactions
from oddrow.recipes.recipe import PrequentialProtocol, Recipe, ResamplingProtocol
from oddrow.recipes.resampling_runner import ResamplingRunner
from oddrow.recipes.results import Results
from oddrow.recipes.runner import Runner, check_folder
from oddrow.typing import Tell


def run_recipe(
    recipe: Recipe[Any], data: str | Path, out: str | Path, runs: int | None, *, tell: Tell, command: str = ""
) -> Results:
    """Run a recipe and write results.json, results.md and report.html; a detection recipe also saves its last model.

    Runs that are in `out` already, from the same recipe and data, are not repeated.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    data : str or Path
        The folder with the files that the recipe reads.
    out : str or Path
        The folder to write to.
    runs : int or None
        The number of runs; None for that of the recipe.
    tell : callable
        Receives progress, line by line.
    command : str, optional
        The command that started this, for the report and the model card.

    Returns
    -------
    Results
        Means and standard deviations over the runs.

    Raises
    ------
    TableError
        If a file is missing.
    ArtifactError
        If `out` holds something else.
    TrainingError
        If the run is interrupted.
    """
    folder, n_runs = Path(out), recipe.protocol.runs if runs is None else runs
    check_number("runs", n_runs, 1, whole=True)
    check_folder(folder)
    try:
        return _runner(recipe, Path(data), folder, tell, command).run(n_runs)
    except KeyboardInterrupt as interrupt:
        raise TrainingError(
            f"interrupted. The finished runs are kept in {out}: repeat the command to continue from there."
        ) from interrupt


def _runner(recipe: Recipe[Any], source: Path, folder: Path, tell: Tell, command: str) -> Runner[Any, Any]:
    if isinstance(recipe.protocol, PrequentialProtocol):
        transactions = Transactions.read(recipe, source)
        _tell_rows(transactions.data, tell)
        return PrequentialRunner(recipe, transactions, folder, tell, command)
    data = LabelledTable.read(recipe, source)
    _tell_rows(data, tell)
    if isinstance(recipe.protocol, ResamplingProtocol):
        return ResamplingRunner(recipe, data, folder, tell, command)
    return DetectionRunner(recipe, data, folder, tell, command)


def _tell_rows(data: LabelledTable, tell: Tell) -> None:
    table = data.table
    tell(f"{table.source}: {table.n_rows:,} rows, {len(table.columns)} columns used, {data.n_anomalies:,} anomalies.")
    if (weight := data.outcomes.weight) is not None:
        tell(f"The normal rows are a random sample. Each has a weight of {weight.max():.4g} in every number.")
    if table.note:
        tell(table.note)
