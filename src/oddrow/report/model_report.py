"""The report of a model and the rows of a table, section by section."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np
import polars as pl

from oddrow.artifact import Artifact
from oddrow.artifact.artifact import COMMAND, FINGERPRINT, LIMITS, PACKAGES, facts
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.errors import OddrowError, counted
from oddrow.evaluate.evaluation import Evaluation
from oddrow.explain import Change, Reason, counterfactuals, reasons
from oddrow.report.page import Page, PageTable, Picture, Section
from oddrow.report.pictures import (
    PlotData,
    plot_classes,
    plot_columns,
    plot_contributions,
    plot_latent_codes,
    plot_levels,
    plot_reconstruction,
    plot_training,
)
from oddrow.report.sections import (
    AlertRow,
    headlines,
    headlines_without_labels,
    highest_scores_section,
    limits_section,
    ranking_section,
    reproduce_section,
    schema_tables,
    threshold_section,
    threshold_section_without_labels,
)
from oddrow.table.convert import as_numbers, as_text
from oddrow.table.dataset import Dataset
from oddrow.table.table import Table
from oddrow.thresholds.rule import Rule
from oddrow.typing import Floats, Ints, Mask

# This many numeric columns, named by consecutive numbers, are samples in time.
LEAST_SAMPLES = 32

# Rows with the highest scores: how many are listed, and how many of those are drawn.
N_HIGHEST, N_HIGHEST_DRAWN = 20, 2

# Reasons of each: how many are drawn, how many are listed, and the smallest share that is listed.
N_CONTRIBUTIONS, N_REASONS, MIN_SHARE = 8, 3, 0.01

# Longer counterfactuals are cut short.
MOST_CHANGES = 4

# Important columns: how many are listed and drawn, from how many alerts, or from how many rows if there is no alert.
N_COLUMNS_LISTED, N_COLUMNS_DRAWN, MOST_ALERTS, FEW = 8, 4, 2_000, 20

LABELS = {0.0: "normal", 1.0: "anomaly"}

NOT_FOUND = "none found"

THRESHOLD_CHANGED = "The threshold was replaced after fitting: oddrow threshold TABLE --model MODEL --rule {rule}"


@dataclass(frozen=True)
class ReportData:
    """What a report is about.

    `scores` (n,) are those of all scorers, the model first. Without an `evaluation`, `notes` say what the reader must
    know about the rows. `span` names the table and the period that the rows come from.
    """

    artifact: Artifact
    dataset: Dataset
    scores: Mapping[str, Floats]
    evaluation: Evaluation | None
    notes: tuple[str, ...] = ()
    span: str = ""

    @cached_property
    def model_scores(self) -> Floats:
        """The scores of the model, (n,)."""
        return next(iter(self.scores.values()))

    @cached_property
    def alerts(self) -> Mask:
        """The rows that are alerts, (n,)."""
        outcomes = self.dataset.outcomes
        return self.artifact.threshold.alerts(self.model_scores, outcomes.time, outcomes.entity)

    @property
    def labels(self) -> Floats:
        """The labels, (n,), NaN if unknown."""
        return self.dataset.outcomes.labels

    @cached_property
    def by_score(self) -> Ints:
        """The numbers of all rows, the highest score first."""
        return np.argsort(-self.model_scores, kind="stable")

    @cached_property
    def plot_data(self) -> PlotData:
        """The rows in the form that plots take."""
        thresholds = {"threshold": self.artifact.threshold, "block": self.artifact.block}
        values = {name: threshold.value for name, threshold in thresholds.items() if threshold is not None}
        return PlotData(self.dataset.outcomes, self.scores, values)

    @cached_property
    def is_series(self) -> bool:
        """Whether the columns are samples in time: numeric, and named by consecutive numbers."""
        features = self.artifact.detector.schema_.features
        names = [column.name for column in features if column.kind == "numeric" and column.name.isdecimal()]
        if len(features) < LEAST_SAMPLES or len(names) < len(features):
            return False
        return bool((np.diff([int(name) for name in names]) == 1).all())

    def column_name(self, name: str) -> str:
        """Return the name of a column for readers: a column of history is described in words."""
        history = self.artifact.history
        return name if history is None else history.descriptions.get(name, name)

    def row_name(self, row: int) -> str:
        """Return the id of a row, or its number in the table."""
        column = self.artifact.roles.id
        table = self.dataset.table
        ids = as_text(table.frame[column]) if column in table.columns else None
        own = None if ids is None else ids[int(row)]
        return f"{self.dataset.rows[row]}" if own is None else str(own)

    def take(self, rows: Ints) -> Table:
        """Return the features of some rows."""
        return self.dataset.table.take(np.asarray(rows))


def build_page(
    data: ReportData, title: str, subtitle: str, commands: Sequence[str], opening: Sequence[Section] = ()
) -> Page:
    """Build the report. The sections in `opening` come first."""
    sections = [
        *opening,
        _model_section(data),
        _data_section(data),
        _training_section(data),
        *_quality_sections(data),
        _highest_scores(data),
        *_columns_section(data),
        limits_section([LIMITS, *data.notes], data.evaluation),
        _reproduce(data, commands),
    ]
    if data.evaluation is not None:
        return Page(title, subtitle, list(headlines(data.evaluation)), sections)
    return Page(title, subtitle, list(headlines_without_labels(data.plot_data, int(data.alerts.sum()))), sections)


def _model_section(data: ReportData) -> Section:
    shown = [(name, text) for name, text in facts(data.artifact) if name not in (FINGERPRINT, COMMAND)]
    return Section("Model", (), [PageTable(("", ""), shown, n_texts=2)])


def _data_section(data: ReportData) -> Section:
    dataset, schema = data.dataset, data.artifact.detector.schema_
    texts = [f"{dataset.table.source}: {len(dataset.rows):,} rows, {len(schema.features):,} columns used."]
    if dataset.outcomes.weight is not None:
        texts.append("Rows have weights. Below, counts of rows are sums of weights.")
    texts += [dataset.table.note] if dataset.table.note else []
    return Section("Data", texts, list(schema_tables(schema)), list(plot_classes(data.plot_data)))


# Training


def _training_section(data: ReportData) -> Section:
    table = PageTable(("rows", "source or use", "number"), list(_row_counts(data)), n_texts=2)
    pictures = [*plot_training(data.artifact.detector.loss_curve_), *_latent_codes(data)]
    return Section("Training and test rows", (), [table], pictures)


def _row_counts(data: ReportData) -> Iterator[tuple[str, str, str]]:
    origin, detector = data.artifact.origin, data.artifact.detector
    if origin is not None:
        n_known = detector.n_known_anomalies_
        start = f", from {origin.start}" if origin.start else ""
        until = f", until {origin.until}" if origin.until else ""
        yield "training rows", f"{origin.named}{start}{until}", f"{origin.n_rows - n_known:,}"
        use = "trained on as anomalies" if detector._learns_from_known else "excluded from training"
        yield "known anomalies", use, f"{n_known:,}"
        chooses = ", set the threshold" if data.artifact.threshold.source == "validation" else ""
        yield "validation rows", f"monitor training{chooses}", f"{origin.n_validation:,}"
    yield "rows of this report", data.span or data.dataset.table.source, f"{len(data.dataset.rows):,}"


def _latent_codes(data: ReportData) -> Iterator[Picture]:
    """Draw the latent codes of a mixture; of many codes only the first."""
    detector = data.artifact.detector
    if not isinstance(detector, DAGMMDetector):
        return
    names = detector.code_names
    n_codes = min(3 - (len(names) - detector.latent), detector.latent)
    places = [*range(n_codes), *range(detector.latent, len(names))]
    if len(places) > 1:
        z = detector.code(data.dataset.table)[:, places]
        yield from plot_latent_codes(z, data.labels, [names[place] for place in places])


# Ranking and threshold


def _quality_sections(data: ReportData) -> Iterator[Section]:
    threshold = data.artifact.threshold
    if data.evaluation is None:
        yield threshold_section_without_labels(data.plot_data, threshold, int(data.alerts.sum()))
        return
    yield ranking_section(data.evaluation, data.plot_data)
    yield threshold_section(data.evaluation, data.plot_data, false_alarm_cost=_false_alarm_cost(threshold.rule))


def _false_alarm_cost(rule: str) -> float | None:
    """Return what a false alarm costs, if the rule says so."""
    try:
        parsed = Rule.parse(rule)
    except OddrowError:
        return None
    return parsed.numbers[0] if parsed.name == "cost" else None


# Highest scores


def _highest_scores(data: ReportData) -> Section:
    rows = data.by_score[:N_HIGHEST]
    found = reasons(data.artifact.detector, data.take(rows), N_CONTRIBUTIONS, history=data.artifact.history)
    listed = list(_alert_rows(data, rows, found))
    return highest_scores_section(listed, list(_series(data) if data.is_series else _contributions(listed, found)))


def _alert_rows(data: ReportData, rows: Ints, found: Sequence[Sequence[Reason]]) -> Iterator[AlertRow]:
    for row, of_row, counterfactual in zip(rows, found, _counterfactuals(data, rows), strict=True):
        listed = [reason for place, reason in enumerate(of_row[:N_REASONS]) if place == 0 or reason.share >= MIN_SHARE]
        yield AlertRow(
            data.row_name(row),
            float(data.model_scores[row]),
            LABELS.get(data.labels[row], ""),
            bool(data.alerts[row]),
            [f"sample {reason}" if data.is_series else str(reason) for reason in listed],
            counterfactual,
        )


def _counterfactuals(data: ReportData, rows: Ints) -> list[str]:
    """Return the counterfactual of each alert as text. A single sample of a series has none."""
    texts = [""] * len(rows)
    alerts = np.flatnonzero(data.alerts[rows])
    if data.is_series or not len(alerts):
        return texts
    threshold, history = data.artifact.threshold.value, data.artifact.history
    found = counterfactuals(data.artifact.detector, data.take(rows[alerts]), threshold, history=history)
    for place, alert in enumerate(alerts):
        texts[alert] = _changes_text(found.changes(place)) if found.found[place] else NOT_FOUND
    return texts


def _changes_text(changes: Sequence[Change]) -> str:
    more = len(changes) - MOST_CHANGES
    shown = [str(change) for change in changes[: MOST_CHANGES if more > 1 else None]]
    return "\n".join([*shown, f"and {more} more columns"] if more > 1 else shown)


def _contributions(rows: Sequence[AlertRow], found: Sequence[Sequence[Reason]]) -> Iterator[Picture]:
    for row, of_row in list(zip(rows, found, strict=True))[:N_HIGHEST_DRAWN]:
        if of_row:
            shares = np.array([reason.share for reason in of_row])
            yield from plot_contributions(row.name, [reason.column for reason in of_row], shares)


def _series(data: ReportData) -> Iterator[Picture]:
    """Draw the row of median score in each class; without labels, the median row and the highest score."""
    if data.dataset.outcomes.y is None:
        typical = {"Median": np.arange(len(data.labels)), "Highest": data.by_score[:1]}
    else:
        typical = {"Normal": np.flatnonzero(data.labels == 0), "Anomalous": np.flatnonzero(data.labels == 1)}
    for kind, rows in typical.items():
        row = rows[np.argsort(data.model_scores[rows])[len(rows) // 2]]
        title = f"{kind} row {data.row_name(row)}, score {data.model_scores[row]:,.3g}"
        yield from plot_reconstruction(*_reconstructed(data, row), title)


def _reconstructed(data: ReportData, row: int) -> tuple[Floats, Floats]:
    """Return the values of a row in their own units, and their reconstruction, (columns,) each."""
    detector = data.artifact.detector
    table = data.take(np.array([row]))
    numbers, _ = detector.reconstruct(table)
    columns = detector.encoder_.number_columns_
    places = [detector.encoder_.number_sources_.index((column.source, column.part)) for column in columns]
    decoded = [column.decode(numbers[:, place])[0] for column, place in zip(columns, places, strict=True)]
    return detector.schema_.conform(table.frame).to_numpy()[0].astype(np.float64), np.array(decoded)


# Columns


def _columns_section(data: ReportData) -> Iterator[Section]:
    """List the columns that contribute most to alerts. Samples in time are not looked at one by one."""
    if data.is_series:
        return
    alerts = data.by_score[data.alerts[data.by_score]][:MOST_ALERTS]
    rows = alerts if len(alerts) else data.by_score[:FEW]
    shares = _mean_shares(data, rows)
    lines = [(data.column_name(name), f"{share:.1%}") for name, share in shares[:N_COLUMNS_LISTED]]
    which = counted(len(alerts), "alert") if len(alerts) else f"the {counted(len(rows), 'row')} with the highest scores"
    text = f"Mean share of each column in the explanation, over {which}."
    drawn = [name for name, _ in shares[:N_COLUMNS_DRAWN]]
    pictures = [*plot_columns(_numbers(data, drawn), data.labels), *plot_levels(_levels(data, drawn), data.labels)]
    yield Section("Important columns", [text], [PageTable(("column", "share"), lines)], pictures)


def _mean_shares(data: ReportData, rows: Ints) -> list[tuple[str, float]]:
    """Return every column with its mean share of the positive contributions in these rows, the largest first."""
    parts = data.artifact.detector.column_scores(data.take(rows))
    added = np.maximum(parts.to_numpy(), 0)
    shares = (added / np.maximum(added.sum(axis=1, keepdims=True), np.finfo(float).tiny)).mean(axis=0)
    return sorted(zip(parts.columns, shares.tolist(), strict=True), key=lambda each: -each[1])


def _numbers(data: ReportData, names: Sequence[str]) -> dict[str, Floats]:
    """Return the values of the numeric columns among these."""
    kinds = {column.name: column.kind for column in data.artifact.detector.schema_.features}
    numbers = {name: as_numbers(data.dataset.table.frame[name]) for name in names if kinds[name] == "numeric"}
    return {data.column_name(name): values.to_numpy() for name, values in numbers.items() if values is not None}


def _levels(data: ReportData, names: Sequence[str]) -> dict[str, Sequence[str | None]]:
    """Return the levels of the categories among these columns."""
    kinds = {column.name: column.kind for column in data.artifact.detector.schema_.features}
    frame = data.dataset.table.frame
    return {name: frame[name].cast(pl.String).to_list() for name in names if kinds[name] in ("category", "boolean")}


def _reproduce(data: ReportData, commands: Sequence[str]) -> Section:
    artifact = data.artifact
    fingerprints = {
        "training rows": artifact.origin.fingerprint if artifact.origin else None,
        "rows that set the threshold": artifact.threshold.fingerprint,
    }
    hashes = [(name, found.sha256) for name, found in fingerprints.items() if found is not None]
    versions = {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    notes = [THRESHOLD_CHANGED.format(rule=artifact.threshold.rule)] if artifact.earlier else []
    return reproduce_section(commands, versions, hashes, notes)
