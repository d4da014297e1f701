"""Report: one HTML page about a saved model and the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Unpack

from oddrow.artifact import Artifact
from oddrow.artifact.saved_folder import REPORT
from oddrow.files import check_output_file, write_text
from oddrow.report import check_packages, render
from oddrow.report.model_report import ReportData, build_page
from oddrow.table.dataset import Dataset, describe_span
from oddrow.table.roles import Roles
from oddrow.typing import Tell, silent
from oddrow.workflow.evaluating import measured, seen_before
from oddrow.workflow.request import Request, RowOptions, check_not_input, hashes_of


def report(
    tables: str | Path | Sequence[str | Path],
    model: str | Path,
    out: str | Path | None = None,
    *,
    command: str = "",
    tell: Tell = silent,
    **rows: Unpack[RowOptions],
) -> Path:
    """Write an HTML report about a saved model and the rows of tables.

    With labels of both classes, it holds all that `evaluate` measures; without, scores, alerts and reasons.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    model : str or Path
        Folder of the model.
    out : str, Path or None, default=None
        HTML file to write; `report.html` in the model's folder by default, until the model is replaced.
    command : str, default=""
        The command line, to print in the report.
    tell : callable, optional
        Receives what is reported, as text.
    **rows : RowOptions
        Which rows and columns: `label`, `anomaly`, `normal`, `weight`, `amount`, `entity`, `time`, `start`, `until`,
        `join`. Options that are left out default to those used in fitting.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        If the extra `report` is not installed.
    OddrowError
        If a table, the model or the file is invalid.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import polars as pl
    >>> from oddrow import Artifact, OddRowDetector, Threshold, workflow
    >>> rows = pl.DataFrame(np.random.default_rng(0).normal(size=(100, 2)), schema=["a", "b"])
    >>> with TemporaryDirectory() as folder:
    ...     Artifact(OddRowDetector(random_state=0).fit(rows), Threshold(5.0, "fixed:5")).save(f"{folder}/model")
    ...     rows.write_csv(f"{folder}/rows.csv")
    ...     workflow.report(f"{folder}/rows.csv", f"{folder}/model").name
    'report.html'
    """
    check_packages()
    place = Path(model) / REPORT if out is None else Path(out)
    artifact = Artifact.load(model)
    check_output_file(place)
    check_not_input(place, tables, rows.get("join"), model)
    optional = ("time", "amount", "entity", "id", "label")
    request = Request.of(artifact, tables, rows, id=artifact.roles.id, optional=optional)
    chosen = request.read(tell, labelled=False)
    source, start, until = chosen.table.source, request.start, request.until
    data = _report_data(artifact, _with_labels(chosen, request.roles), tell)
    if start or until:
        data = replace(data, span=f"{source}, {describe_span(request.roles.time or '', start, until)}")
    tell("Drawing …")
    commands = [text for text in (artifact.origin.command if artifact.origin else "", command) if text]
    made_by = f"Made by oddrow {version('oddrow')} on {date.today().isoformat()}."
    write_text(render(build_page(data, f"oddrow report: {source}", made_by, commands)), place)
    tell(f"Wrote {place} ({place.stat().st_size / 1e6:.1f} MB).")
    return place


def _with_labels(chosen: Dataset, roles: Roles) -> Dataset:
    """Return the rows with their labels, if these are of both classes."""
    if roles.label is None or roles.label not in chosen.table.columns:
        return chosen
    y = roles.known_labels(chosen.table.frame)
    has_both = (y == 1).any() and (y == 0).any()
    return replace(chosen, outcomes=replace(chosen.outcomes, y=y)) if has_both else chosen


def _report_data(artifact: Artifact, chosen: Dataset, tell: Tell) -> ReportData:
    if chosen.outcomes.y is not None:
        found = measured(artifact, chosen, tell=tell)
        return ReportData(artifact, chosen, found.scores, found.evaluation)
    tell("There are no labels of both classes: the report has scores, alerts and reasons only.")
    scores = artifact.detector.anomaly_score(chosen.table)
    return ReportData(
        artifact, chosen, {type(artifact.detector).__name__: scores}, None, tuple(_seen(artifact, chosen))
    )


def _seen(artifact: Artifact, chosen: Dataset) -> Iterator[str]:
    """Yield how many rows the model has seen before, and how many are synthetic."""
    hashes = hashes_of(artifact.detector, artifact.history, chosen)
    for name, mark in seen_before(artifact).items():
        if mark is not None and (share := mark.overlap(hashes)) > 0:
            yield f"About {share:.1%} of these rows equal {name} rows, which the model has seen before."
    if n_made := int(chosen.table.synthetic.sum()):
        yield f"{n_made:,} of these rows are synthetic (oddrow_synthetic)."
