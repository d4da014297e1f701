"""The page of a report: a model on the rows of a table, section by section."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import numpy as np
import polars as pl

from oddrow.artifact.artifact import COMMAND, FINGERPRINT, LIMITS, facts
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.errors import OddrowError
from oddrow.explain import Change, Reason, counterfactuals, reasons
from oddrow.report import Page, PageTable, Picture, Section
from oddrow.report.data import ReportData
from oddrow.report.pictures import of_classes, of_columns, of_levels, of_row, of_series, of_space, of_training
from oddrow.report.sections import (
    AlertRow,
    again,
    headlines,
    how_it_ranks,
    limits,
    of_schema,
    the_oddest,
    unmeasured_headlines,
    what_it_alerts,
    what_the_cut_does,
)
from oddrow.table.convert import as_numbers
from oddrow.thresholds.rule import Rule
from oddrow.typing import Floats, Ints

N_ODDEST, N_REASONS, N_ODDEST_DRAWN, N_CONTRIBUTIONS = 20, 3, 2, 8

MOST_CHANGES = 4

LEAST_SHARE = 0.01

NOTHING_FOUND = "nothing that was found"

LABELS = {0.0: "normal", 1.0: "anomaly"}


def oddest_rows(subject: ReportData) -> Section:
    """The rows that score highest, with reasons, what would let them pass, and pictures of some."""
    rows = subject.from_the_oddest[:N_ODDEST]
    found = reasons(subject.artifact.detector, subject.table(rows), N_CONTRIBUTIONS, history=subject.artifact.history)
    odd = list(_odd_rows(subject, rows, found))
    return the_oddest(odd, list(_series(subject) if subject.is_series else _contributions(odd, found)))


def _odd_rows(subject: ReportData, rows: Ints, found: Sequence[Sequence[Reason]]) -> Iterator[AlertRow]:
    passing = _what_would_pass(subject, rows)
    for row, why, passes in zip(rows, found, passing, strict=True):
        yield AlertRow(
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


def _what_would_pass(subject: ReportData, rows: Ints) -> list[str]:
    """The changes that make the nearest normal row of each alert; single samples in time are none to be changed."""
    if subject.is_series:
        return [""] * len(rows)
    said = [""] * len(rows)
    alerts = np.flatnonzero(subject.alerts[rows])
    if len(alerts):
        cut, history = subject.artifact.threshold.value, subject.artifact.history
        normal = counterfactuals(subject.artifact.detector, subject.table(rows[alerts]), cut, history=history)
        for place, alert in enumerate(alerts):
            said[alert] = _in_words(normal.changes(place)) if normal.found[place] else NOTHING_FOUND
    return said


def _in_words(changes: Sequence[Change]) -> str:
    """A line for each change; where there are many, for the first ones."""
    more = len(changes) - MOST_CHANGES
    shown = [str(change) for change in changes[: MOST_CHANGES if more > 1 else None]]
    return "\n".join([*shown, f"and {more} more columns"] if more > 1 else shown)


def _contributions(odd: Sequence[AlertRow], found: Sequence[Sequence[Reason]]) -> Iterator[Picture]:
    """What makes the very oddest rows odd."""
    for row, of_this in list(zip(odd, found, strict=True))[:N_ODDEST_DRAWN]:
        if of_this:
            shares = np.array([reason.share for reason in of_this])
            yield from of_row(f"row {row.named}", [reason.column for reason in of_this], shares)


def _series(subject: ReportData) -> Iterator[Picture]:
    """A row of each class, whose score is in the middle of its class; without labels, of all rows, and the oddest."""
    if subject.chosen.outcomes.y is None:
        typical = {"A usual": np.arange(len(subject.own)), "The oddest": subject.from_the_oddest[:1]}
    else:
        typical = {"A normal": np.flatnonzero(subject.y == 0), "An anomalous": np.flatnonzero(subject.y == 1)}
    for said, rows in typical.items():
        row = rows[np.argsort(subject.own[rows])[len(rows) // 2]]
        original, rebuilt = _seen_and_rebuilt(subject, row)
        yield from of_series(original, rebuilt, f"{said} row {subject.named(row)}, score {subject.own[row]:.3g}")


def _seen_and_rebuilt(subject: ReportData, row: int) -> tuple[Floats, Floats]:
    """The numbers of one row in their own units, and what is rebuilt of them, (columns,) each."""
    detector = subject.artifact.detector
    table = subject.table(np.array([row]))
    numbers, _ = detector.reconstruct(table)
    columns = detector.encoder_.number_columns_
    places = [detector.encoder_.number_sources_.index((column.source, column.part)) for column in columns]
    rebuilt = [column.decode(numbers[:, place])[0] for column, place in zip(columns, places, strict=True)]
    return detector.schema_.conform(table.frame).to_numpy()[0].astype(np.float64), np.array(rebuilt)


CUT_AGAIN = "The threshold was chosen again after that: oddrow threshold TABLE --model MODEL --rule {rule}."

N_LISTED, N_DRAWN = 8, 4

# What the columns of alerts say is taken from so many of them, and where there is no alert from so few oddest rows.
MOST_ALERTS, FEW = 2_000, 20

VERSIONS = ("oddrow", "jax", "equinox", "optax", "numpy", "polars", "scikit-learn")


def page_of(
    subject: ReportData, title: str, subtitle: str, commands: Sequence[str], opening: Sequence[Section] = ()
) -> Page:
    """The page; the sections in `opening` come first."""
    sections = [
        *opening,
        _asked(subject),
        _data(subject),
        _split(subject),
        *_measures(subject),
        oddest_rows(subject),
        *_columns(subject),
        limits([LIMITS, *subject.notes], subject.evaluation),
        _again(subject, commands),
    ]
    return Page(title, subtitle, _headlines(subject), sections)


def _headlines(subject: ReportData) -> list[tuple[str, str, str]]:
    if subject.evaluation is not None:
        return list(headlines(subject.evaluation))
    return list(unmeasured_headlines(subject.drawn, int(subject.alerts.sum())))


def _asked(subject: ReportData) -> Section:
    """What was asked of the model: its card, but for what has a section of its own."""
    told = [(name, text) for name, text in facts(subject.artifact) if name not in (FINGERPRINT, COMMAND)]
    return Section("What was asked", (), [PageTable(("", ""), told, n_texts=2)])


def _data(subject: ReportData) -> Section:
    """The rows, their classes, and what each column was taken for."""
    chosen, schema = subject.chosen, subject.artifact.detector.schema_
    texts = [f"{chosen.table.source}: {len(chosen.rows):,} rows, {len(schema.features):,} columns used."]
    if chosen.outcomes.weight is not None:
        texts.append("Rows have weights: where the numbers below count rows, they count what these stand for.")
    texts += [chosen.table.note] if chosen.table.note else []
    return Section("The data", texts, list(of_schema(schema)), list(of_classes(subject.drawn)))


def _split(subject: ReportData) -> Section:
    """Which rows taught, which chose, which are shown here; how training went."""
    table = PageTable(("rows", "which", "number"), list(_parts(subject)), n_texts=2)
    history = subject.artifact.detector.loss_curve_
    return Section("The split", (), [table], [*of_training(history), *_space(subject)])


def _parts(subject: ReportData) -> Iterator[tuple[str, str, str]]:
    origin, detector = subject.artifact.origin, subject.artifact.detector
    if origin is not None:
        n_known = detector.n_known_anomalies_
        within = "".join(
            [f", from {origin.start}" if origin.start else "", f", until {origin.until}" if origin.until else ""]
        )
        use = "learned from, not to be rebuilt" if detector._learns_from_known else "left out"
        yield "trained on", f"{origin.named}{within}", f"{origin.n_rows - n_known:,}"
        yield "known anomalies beside them", use, f"{n_known:,}"
        chooses = ", and to choose the threshold on" if subject.artifact.threshold.source == "validation" else ""
        yield "held out, normal", f"to watch training by{chooses}", f"{origin.n_held_out:,}"
    shown = subject.span or subject.chosen.table.source
    yield "shown in this report", shown, f"{len(subject.chosen.rows):,}"


def _space(subject: ReportData) -> Iterator[Picture]:
    """Where the rows lie for a mixture, of a wider code its first numbers."""
    detector = subject.artifact.detector
    if not isinstance(detector, DAGMMDetector):
        return
    names = detector.code_names
    n_codes = min(3 - (len(names) - detector.latent), detector.latent)
    places = [*range(n_codes), *range(detector.latent, len(names))]
    if len(places) > 1:
        z = detector.code(subject.chosen.table)[:, places]
        yield from of_space(z, subject.y, [names[place] for place in places])


def _measures(subject: ReportData) -> Iterator[Section]:
    """How good ranking and cut are, where labels are known; else how scores lie."""
    if subject.evaluation is None:
        yield what_it_alerts(subject.drawn, subject.artifact.threshold, int(subject.alerts.sum()))
        return
    yield how_it_ranks(subject.evaluation, subject.drawn)
    price = _price(subject.artifact.threshold.rule)
    yield what_the_cut_does(subject.evaluation, subject.drawn, per_false_alarm=price)


def _price(rule: str) -> float | None:
    """What a false alarm costs, where the threshold was chosen by that."""
    try:
        parsed = Rule.parse(rule)
    except OddrowError:
        return None
    return parsed.numbers[0] if parsed.name == "cost" else None


def _columns(subject: ReportData) -> Iterator[Section]:
    """The columns that add most to the scores of alerts; samples in time are none to be looked at one by one."""
    if subject.is_series:
        return
    alerted = subject.from_the_oddest[subject.alerts[subject.from_the_oddest]][:MOST_ALERTS]
    rows, of = (alerted, "alerts") if len(alerted) else (subject.from_the_oddest[:FEW], "rows, the oddest")
    shares = _mean_shares(subject, rows)
    lines = [(subject.words.get(name, name), f"{share:.1%}") for name, share in shares[:N_LISTED]]
    text = f"The share of the score that each column adds, on average over {len(rows):,} {of}."
    drawn = [name for name, _ in shares[:N_DRAWN]]
    pictures = [*of_columns(_numeric(subject, drawn), subject.y), *of_levels(_levels(subject, drawn), subject.y)]
    yield Section("The columns that matter", [text], [PageTable(("column", "share"), lines)], pictures)


def _mean_shares(subject: ReportData, rows: Ints) -> list[tuple[str, float]]:
    """Every column with the share of these rows' scores that it adds on average, the largest first."""
    parts = subject.artifact.detector.column_scores(subject.table(rows))
    added = np.maximum(parts.to_numpy(), 0)
    shares = (added / np.maximum(added.sum(axis=1, keepdims=True), np.finfo(float).tiny)).mean(axis=0)
    return sorted(zip(parts.columns, shares.tolist(), strict=True), key=lambda each: -each[1])


def _numeric(subject: ReportData, names: Sequence[str]) -> dict[str, Floats]:
    """The values of those of the columns that hold numbers, by their names in words."""
    kinds = {column.name: column.kind for column in subject.artifact.detector.schema_.features}
    numbers = {name: as_numbers(subject.chosen.table.frame[name]) for name in names if kinds[name] == "numeric"}
    return {subject.words.get(name, name): of.to_numpy() for name, of in numbers.items() if of is not None}


def _levels(subject: ReportData, names: Sequence[str]) -> dict[str, Sequence[str | None]]:
    """The levels in those of the columns that are categories, row by row."""
    kinds = {column.name: column.kind for column in subject.artifact.detector.schema_.features}
    frame = subject.chosen.table.frame
    return {name: frame[name].cast(pl.String).to_list() for name in names if kinds[name] in ("category", "boolean")}


def _again(subject: ReportData, commands: Sequence[str]) -> Section:
    artifact = subject.artifact
    marks = {"trained on": artifact.origin.fingerprint if artifact.origin else None}
    marks["chose the threshold"] = artifact.threshold.fingerprint
    prints = [(name, mark.sha256) for name, mark in marks.items() if mark is not None]
    versions = {"Python": platform.python_version(), **{name: version(name) for name in VERSIONS}}
    notes = [CUT_AGAIN.format(rule=artifact.threshold.rule)] if artifact.earlier else []
    return again(commands, versions, prints, notes)
