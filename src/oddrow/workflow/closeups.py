"""Single rows of a report: why the oddest ones are odd, and how rows of samples in time are rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from oddrow.explain import Change, Reason, nearest_normal, reasons
from oddrow.report import Picture, Section
from oddrow.report.pictures import of_row, of_series
from oddrow.report.sections import OddRow, the_oddest
from oddrow.workflow.subject import Subject

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

N_ODDEST, N_REASONS, N_DRAWN, N_CONTRIBUTIONS = 20, 3, 2, 8
MOST_CHANGES = 4
LEAST_SHARE = 0.01
NOTHING_FOUND = "nothing that was found"
LABELS = {0.0: "normal", 1.0: "anomaly"}


def oddest_rows(subject: Subject) -> Section:
    """The rows that score highest, with reasons, what would let them pass, and pictures of some."""
    rows = subject.from_the_oddest[:N_ODDEST]
    found = reasons(subject.artifact.detector, subject.table(rows), N_CONTRIBUTIONS, history=subject.artifact.history)
    odd = list(_odd_rows(subject, rows, found))
    return the_oddest(odd, list(_series(subject) if subject.is_series else _contributions(odd, found)))


def _odd_rows(subject: Subject, rows: Rows, found: Sequence[Sequence[Reason]]) -> Iterator[OddRow]:
    passing = _what_would_pass(subject, rows)
    for row, why, passes in zip(rows, found, passing, strict=True):
        yield OddRow(
            subject.named(row),
            float(subject.own[row]),
            LABELS.get(subject.y[row], ""),
            bool(subject.alerts[row]),
            [f"sample {reason}" if subject.is_series else str(reason) for reason in _worth_telling(why)],
            passes,
        )


def _worth_telling(why: Sequence[Reason]) -> list[Reason]:
    """The first reasons, without those that hardly add to the score."""
    return [reason for place, reason in enumerate(why[:N_REASONS]) if place == 0 or reason.share >= LEAST_SHARE]


def _what_would_pass(subject: Subject, rows: Rows) -> list[str]:
    """The changes that make the nearest normal row of each alert; single samples in time are none to be changed."""
    if subject.is_series:
        return [""] * len(rows)
    said = [""] * len(rows)
    alerts = np.flatnonzero(subject.alerts[rows])
    if len(alerts):
        cut, history = subject.artifact.threshold.value, subject.artifact.history
        normal = nearest_normal(subject.artifact.detector, subject.table(rows[alerts]), cut, history=history)
        for place, alert in enumerate(alerts):
            said[alert] = _in_words(normal.changes(place)) if normal.found[place] else NOTHING_FOUND
    return said


def _in_words(changes: Sequence[Change]) -> str:
    """A line for each change; where there are many, for the first ones."""
    more = len(changes) - MOST_CHANGES
    shown = [str(change) for change in changes[: MOST_CHANGES if more > 1 else None]]
    return "\n".join([*shown, f"and {more} more columns"] if more > 1 else shown)


def _contributions(odd: Sequence[OddRow], found: Sequence[Sequence[Reason]]) -> Iterator[Picture]:
    """What makes the very oddest rows odd."""
    for row, of_this in list(zip(odd, found, strict=True))[:N_DRAWN]:
        if of_this:
            shares = np.array([reason.share for reason in of_this])
            yield from of_row(f"row {row.named}", [reason.column for reason in of_this], shares)


def _series(subject: Subject) -> Iterator[Picture]:
    """A row of each class, whose score is in the middle of its class; without labels, of all rows, and the oddest."""
    if subject.chosen.y is None:
        typical = {"A usual": np.arange(len(subject.own)), "The oddest": subject.from_the_oddest[:1]}
    else:
        typical = {"A normal": np.flatnonzero(subject.y == 0), "An anomalous": np.flatnonzero(subject.y == 1)}
    for said, rows in typical.items():
        row = rows[np.argsort(subject.own[rows])[len(rows) // 2]]
        original, rebuilt = _seen_and_rebuilt(subject, row)
        yield from of_series(original, rebuilt, f"{said} row {subject.named(row)}, score {subject.own[row]:.3g}")


def _seen_and_rebuilt(subject: Subject, row: int) -> tuple[Floats, Floats]:
    """The numbers of one row in their own units, and what is rebuilt of them, (columns,) each."""
    detector = subject.artifact.detector
    table = subject.table(np.array([row]))
    numbers, _ = detector.rebuilt(table)
    columns = detector.encoder_.number_columns_
    places = [detector.encoder_.number_sources_.index((column.source, column.part)) for column in columns]
    rebuilt = [column.decode(numbers[:, place])[0] for column, place in zip(columns, places, strict=True)]
    return detector.schema_.conform(table.frame).to_numpy()[0].astype(np.float64), np.array(rebuilt)
