"""The report of a recipe: what was published and measured, then the model of the last run, where one is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oddrow.artifact import REPORT, Artifact
from oddrow.errors import ParameterError
from oddrow.evaluate.held_out import HeldOut
from oddrow.recipes.results import Results
from oddrow.report import Page, Picture, Section, Table, check_packages, render
from oddrow.report.sections import again
from oddrow.table.selection import Selection
from oddrow.table.write import write_text
from oddrow.workflow.beside import Ranked
from oddrow.workflow.evaluating import of_ranked
from oddrow.workflow.pages import VERSIONS, page_of
from oddrow.workflow.subject import Subject

Tell = Callable[[Any], None]

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
    results: Results, artifact: Artifact, chosen: Selection, test: HeldOut, ranked: Sequence[Ranked], command: str
) -> Page:
    """The results of all runs, then the kept model on the rows that tested it, beside everybody of that run."""
    evaluation = of_ranked(artifact, test, ranked, test.notes)
    subject = Subject(artifact, chosen, {each.name: each.scores for each in ranked}, evaluation)
    opening = [_results(results, [OF_LAST])]
    return page_of(subject, results.title, OF_LAST_RUN, [command] if command else [], opening)


def page_of_results(results: Results, pictures: Sequence[Picture], notes: Sequence[str], command: str) -> Page:
    """The results of all runs with pictures, where no model is kept."""
    versions = {name: version(name) for name in VERSIONS}
    limits = [Section("Limits", notes=notes)] if notes else []
    sections = [_results(results, [], pictures), *limits, again([command] if command else [], versions, [])]
    return Page(results.title, SUBTITLE, (), sections)


def _results(results: Results, notes: Sequence[str], pictures: Sequence[Picture] = ()) -> Section:
    shown = Table(*results.shown, n_texts=2)
    return Section("Published and measured", [f"{results.said}."], [shown], pictures, notes=notes)
