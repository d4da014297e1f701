"""The page of a report: a model on the rows of a table, section by section."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.artifact.card import FINGERPRINT, LIMITS, REPRODUCE, facts
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.errors import OddrowError
from oddrow.report import Page, Picture, Section, Table
from oddrow.report.pictures import of_classes, of_columns, of_levels, of_space, of_training
from oddrow.report.sections import (
    again,
    headlines,
    how_it_ranks,
    limits,
    of_schema,
    unmeasured_headlines,
    what_it_alerts,
    what_the_cut_does,
)
from oddrow.table.schema import as_numbers
from oddrow.thresholds.rule import Rule
from oddrow.workflow.closeups import oddest_rows
from oddrow.workflow.subject import Subject

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

CUT_AGAIN = "The threshold was chosen again after that: oddrow threshold TABLE --model MODEL --rule {rule}."
N_LISTED, N_DRAWN = 8, 4
# What the columns of alerts say is taken from so many of them, and where there is no alert from so few oddest rows.
MOST_ALERTS, FEW = 2_000, 20
VERSIONS = ("oddrow", "jax", "equinox", "optax", "numpy", "polars", "scikit-learn")


def page_of(
    subject: Subject, title: str, subtitle: str, commands: Sequence[str], opening: Sequence[Section] = ()
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


def _headlines(subject: Subject) -> list[tuple[str, str, str]]:
    if subject.evaluation is not None:
        return list(headlines(subject.evaluation))
    return list(unmeasured_headlines(subject.drawn, int(subject.alerts.sum())))


def _asked(subject: Subject) -> Section:
    """What was asked of the model: its card, but for what has a section of its own."""
    told = [(name, text) for name, text in facts(subject.artifact) if name not in (FINGERPRINT, REPRODUCE)]
    return Section("What was asked", (), [Table(("", ""), told, n_texts=2)])


def _data(subject: Subject) -> Section:
    """The rows, their classes, and what each column was taken for."""
    chosen, schema = subject.chosen, subject.artifact.detector.schema_
    texts = [f"{chosen.table.source}: {len(chosen.rows):,} rows, {len(schema.features):,} columns used."]
    if chosen.weight is not None:
        texts.append("Rows have weights: where the numbers below count rows, they count what these stand for.")
    texts += [chosen.table.note] if chosen.table.note else []
    return Section("The data", texts, list(of_schema(schema)), list(of_classes(subject.drawn)))


def _split(subject: Subject) -> Section:
    """Which rows taught, which chose, which are shown here; how training went."""
    table = Table(("rows", "which", "number"), list(_parts(subject)), n_texts=2)
    history = subject.artifact.detector.history_
    return Section("The split", (), [table], [*of_training(history), *_space(subject)])


def _parts(subject: Subject) -> Iterator[tuple[str, str, str]]:
    origin, detector = subject.artifact.origin, subject.artifact.detector
    if origin is not None:
        n_known = detector.n_known_anomalies_
        within = "".join(
            [f", from {origin.start}" if origin.start else "", f", until {origin.until}" if origin.until else ""]
        )
        use = "learned from, not to be rebuilt" if detector.learns_from_known else "left out"
        yield "trained on", f"{origin.named}{within}", f"{origin.n_rows - n_known:,}"
        yield "known anomalies beside them", use, f"{n_known:,}"
        chooses = ", and to choose the threshold on" if subject.artifact.threshold.source == "validation" else ""
        yield "held out, normal", f"to watch training by{chooses}", f"{origin.n_held_out:,}"
    shown = subject.span or subject.chosen.table.source
    yield "shown in this report", shown, f"{len(subject.chosen.rows):,}"


def _space(subject: Subject) -> Iterator[Picture]:
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


def _measures(subject: Subject) -> Iterator[Section]:
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


def _columns(subject: Subject) -> Iterator[Section]:
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
    yield Section("The columns that matter", [text], [Table(("column", "share"), lines)], pictures)


def _mean_shares(subject: Subject, rows: Rows) -> list[tuple[str, float]]:
    """Every column with the share of these rows' scores that it adds on average, the largest first."""
    parts = subject.artifact.detector.column_scores(subject.table(rows))
    added = np.maximum(parts.to_numpy(), 0)
    shares = (added / np.maximum(added.sum(axis=1, keepdims=True), np.finfo(float).tiny)).mean(axis=0)
    return sorted(zip(parts.columns, shares.tolist(), strict=True), key=lambda each: -each[1])


def _numeric(subject: Subject, names: Sequence[str]) -> dict[str, Floats]:
    """The values of those of the columns that hold numbers, by their names in words."""
    kinds = {column.name: column.kind for column in subject.artifact.detector.schema_.features}
    numbers = {name: as_numbers(subject.chosen.table.frame[name]) for name in names if kinds[name] == "numeric"}
    return {subject.words.get(name, name): of.to_numpy() for name, of in numbers.items() if of is not None}


def _levels(subject: Subject, names: Sequence[str]) -> dict[str, Sequence[str | None]]:
    """The levels in those of the columns that are categories, row by row."""
    kinds = {column.name: column.kind for column in subject.artifact.detector.schema_.features}
    frame = subject.chosen.table.frame
    return {name: frame[name].cast(pl.String).to_list() for name in names if kinds[name] in ("category", "boolean")}


def _again(subject: Subject, commands: Sequence[str]) -> Section:
    artifact = subject.artifact
    marks = {"trained on": artifact.origin.fingerprint if artifact.origin else None}
    marks["chose the threshold"] = artifact.threshold.fingerprint
    prints = [(name, mark.sha256) for name, mark in marks.items() if mark is not None]
    versions = {"Python": platform.python_version(), **{name: version(name) for name in VERSIONS}}
    notes = [CUT_AGAIN.format(rule=artifact.threshold.rule)] if artifact.earlier else []
    return again(commands, versions, prints, notes)
