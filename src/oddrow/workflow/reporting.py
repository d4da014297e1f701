"""Reporting: a saved model and the rows of a table in, one HTML page out that shows and says how well that goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from oddrow.artifact import REPORT, Artifact
from oddrow.files import check_output_file, write_text
from oddrow.report import check_packages, render
from oddrow.report.contents import page_of
from oddrow.report.data import ReportData
from oddrow.table.dataset import Dataset, describe_span
from oddrow.table.roles import Roles
from oddrow.typing import Tell, silent
from oddrow.workflow.evaluating import measured, seen_before
from oddrow.workflow.request import check_out, hashes_of, roles_given, select_for


def report(
    tables: str | Sequence[str],
    model: str | Path,
    out: str | Path | None = None,
    *,
    label: str | None = None,
    anomaly: Sequence[str] = (),
    normal: Sequence[str] = (),
    weight: str | None = None,
    amount: str | None = None,
    entity: str | None = None,
    time: str | None = None,
    start: str | None = None,
    until: str | None = None,
    join: str | None = None,
    command: str = "",
    tell: Tell = silent,
) -> Path:
    """Write what a saved model makes of the rows of tables as one HTML file, and return where.

    Where the rows have labels of both classes it is measured as by `evaluate`; else the report shows scores, alerts and
    reasons alone. Without `out` it is kept in the model's folder, until the model is replaced. Raises `ParameterError`
    where the extra `report` is not installed, and as `evaluate` does.
    """
    check_packages()
    place = Path(model) / REPORT if out is None else Path(out)
    artifact = Artifact.load(model)
    check_output_file(place)
    check_out(place, tables, join, model)
    given = {"label": label, "anomaly": tuple(anomaly), "normal": tuple(normal), "weight": weight, "time": time}
    roles, absent = roles_given(artifact, {**given, "amount": amount, "entity": entity})
    roles = replace(roles, id=artifact.roles.id)
    absent += ["id"] if label else ["id", "label"]
    chosen = select_for(artifact, tables, roles, start, until, join, tell=tell, labelled=False, absent=absent)
    within = describe_span(roles.time or "", start, until) if start or until else ""
    subject = _subject(artifact, _with_labels(chosen, roles), tell)
    subject = replace(subject, span=f"{chosen.table.source}, {within}" if within else "")
    tell("Drawing …")
    commands = [text for text in (artifact.origin.command if artifact.origin else "", command) if text]
    page = page_of(subject, f"oddrow report: {chosen.table.source}", _made_by(), commands)
    write_text(render(page), place)
    tell(f"Wrote {place} ({place.stat().st_size / 1e6:.1f} MB).")
    return place


def _with_labels(chosen: Dataset, roles: Roles) -> Dataset:
    """The rows with their labels, where there are both classes to measure by."""
    if roles.label is None or roles.label not in chosen.table.columns:
        return chosen
    y = roles.known_labels(chosen.table.frame)
    has_both = (y == 1).any() and (y == 0).any()
    return replace(chosen, outcomes=replace(chosen.outcomes, y=y)) if has_both else chosen


def _subject(artifact: Artifact, chosen: Dataset, tell: Tell) -> ReportData:
    if chosen.outcomes.y is not None:
        found = measured(artifact, chosen, tell=tell)
        return ReportData(artifact, chosen, found.scores, found.evaluation)
    tell("No labels of both classes: scores, alerts and reasons alone.")
    scores = artifact.detector.anomaly_score(chosen.table)
    return ReportData(
        artifact, chosen, {type(artifact.detector).__name__: scores}, None, tuple(_seen(artifact, chosen))
    )


def _seen(artifact: Artifact, chosen: Dataset) -> Iterator[str]:
    """How many of the rows the model has seen before, and how many are made up."""
    hashes = hashes_of(artifact.detector, artifact.history, chosen)
    for name, mark in seen_before(artifact).items():
        if mark is not None and (share := mark.overlap(hashes)) > 0:
            yield f"About {share:.1%} of these rows equal one of the {name} rows, which the model has seen before."
    if n_made := int(chosen.table.synthetic.sum()):
        yield f"{n_made:,} of these rows are made up (oddrow_synthetic)."


def _made_by() -> str:
    from datetime import date

    return f"Made by oddrow {version('oddrow')} on {date.today().isoformat()}."
