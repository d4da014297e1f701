"""The sections of a report, made from evaluations, thresholds and schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oddrow.evaluate.evaluation import FOREST_WITH_LABELS, Evaluation, at_threshold, counts, ranking
from oddrow.evaluate.result import K, Result
from oddrow.report.page import PageTable, Picture, Section
from oddrow.report.pictures import PlotData, plot_ranking, plot_scores, plot_threshold
from oddrow.table.schema import Schema
from oddrow.thresholds.threshold import Threshold

Headline = tuple[str, str, str]

# Longer tables of columns are folded.
MOST_COLUMNS = 10

RANKING = (
    "AP: average precision. P@k: share of anomalies among the k highest scores; a day: the daily mean, of what a "
    "perfect ranking reaches. In parentheses: 95 % bootstrap interval."
)


@dataclass(frozen=True)
class AlertRow:
    """One of the rows with the highest scores, as the report shows it."""

    name: str
    score: float
    label: str
    is_alert: bool
    reasons: Sequence[str]
    counterfactual: str


def headlines(evaluation: Evaluation) -> Iterator[Headline]:
    """Yield the most important numbers, with their intervals."""
    first = evaluation.results[0]
    confusion = first.confusion
    yield f"{first.average_precision:.3f}", "average precision", _interval(first, "average_precision", ".3f")
    yield f"{confusion.precision:.1%}", "of the alerts are anomalies", _interval(first, "precision", ".1%")
    yield f"{confusion.recall:.1%}", "of the anomalies are alerts", _interval(first, "recall", ".1%")
    if first.value_caught is not None:
        yield (
            f"{first.value_caught:.1%}",
            "of the anomalies' amount is in alerts",
            _interval(first, "value_caught", ".1%"),
        )
    if k := max((k for k in first.precision_at if k <= max(evaluation.n_anomalies, min(K))), default=0):
        yield f"{first.precision_at[k]:.1%}", f"anomalies among the {k:,} highest scores", ""
    if first.daily is not None:
        yield f"{first.daily.alerts:,.1f}", "alerts a day", f"{first.daily.most_alerts:,.0f} on the busiest day"
    else:
        yield f"{confusion.true_alerts + confusion.false_alerts:,.0f}", "alerts", f"of {evaluation.n_rows:,} rows"


def headlines_without_labels(data: PlotData, n_alerts: int) -> Iterator[Headline]:
    """Yield the most important numbers of rows without labels."""
    scores = data.model_scores
    yield f"{len(scores):,}", "rows", ""
    yield f"{n_alerts:,}", "alerts", f"{n_alerts / len(scores):.1%} of the rows"
    yield f"{np.median(scores):,.4g}", "median score", f"highest: {scores.max():,.4g}"


def schema_tables(schema: Schema) -> Iterator[PageTable]:
    """List the columns that the model uses, and those it does not."""
    used = [column for column in schema.columns if column.is_feature]
    others = [column for column in schema.columns if not column.is_feature]
    for caption, columns in (("Columns used", used), ("Columns not used", others)):
        if columns:
            lines = [(column.name, column.kind, column.reason, f"{column.n_missing:,}") for column in columns]
            headings, counted = ("column", "kind", "reason", "missing values"), f"{caption} ({len(lines)})"
            yield PageTable(headings, lines, counted, n_texts=3, is_folded=len(lines) > MOST_COLUMNS)


def ranking_section(evaluation: Evaluation, data: PlotData) -> Section:
    """Compare the ranking of the model with the baselines."""
    texts = [
        f"{evaluation.n_anomalies:,} of the {evaluation.n_rows:,} rows are known anomalies ({evaluation.rate:.2%}).",
        *_hint_to_use_labels(evaluation),
        *evaluation.seen_in_words,
    ]
    table = PageTable.of(ranking(evaluation.results), RANKING)
    return Section("Ranking", texts, [table], list(plot_ranking(data)))


def _hint_to_use_labels(evaluation: Evaluation) -> Iterator[str]:
    """Say so if a classifier with labels is clearly better."""
    first, *others = evaluation.results
    bound = first.intervals.get("average_precision")
    for other in others:
        if other.name == FOREST_WITH_LABELS and bound is not None and other.average_precision > bound.high:
            yield (
                f"A random forest trained on the labels ranks these rows better: average precision "
                f"{other.average_precision:.3f}, against {first.average_precision:.3f} here. If new anomalies resemble "
                "the known ones, use a classifier, or let the detector learn from the known anomalies "
                "(detector.known_weight=10)."
            )


def threshold_section(evaluation: Evaluation, data: PlotData, *, false_alarm_cost: float | None = None) -> Section:
    """Describe the threshold and compare its alerts with those of the baselines."""
    first = evaluation.results[0]
    pictures = [*plot_threshold(data, first.confusion, false_alarm_cost), *plot_scores(data)]
    texts = [evaluation.threshold.in_words, evaluation.threshold.guarantee_in_words, counts(first)]
    return Section("Threshold", texts, [PageTable.of(at_threshold(evaluation.results))], pictures)


def threshold_section_without_labels(data: PlotData, threshold: Threshold, n_alerts: int) -> Section:
    """Describe the threshold and the scores of rows without labels."""
    text = (
        f"{n_alerts:,} of {len(data.model_scores):,} rows are alerts. "
        "Without labels, nothing says how many of them are right."
    )
    return Section("Threshold", [threshold.in_words, threshold.guarantee_in_words, text], (), list(plot_scores(data)))


def highest_scores_section(rows: Sequence[AlertRow], pictures: Sequence[Picture]) -> Section:
    """List the rows with the highest scores, with reasons and counterfactuals."""
    headings = ["row", "score", "alert", "label", "why", "would pass with"]
    lines = [
        (
            row.name,
            f"{row.score:,.4g}",
            "yes" if row.is_alert else "no",
            row.label,
            "\n".join(row.reasons),
            row.counterfactual,
        )
        for row in rows
    ]
    filled = [place for place in range(len(headings)) if any(line[place] for line in lines)]
    cells = [[line[place] for place in filled] for line in lines]
    table = PageTable([headings[place] for place in filled], cells, n_texts=len(filled))
    count = "The row with the highest score" if len(rows) == 1 else f"The {len(rows)} rows with the highest scores"
    return Section("Highest scores", [f"{count}, and the columns that contribute most."], [table], pictures)


def limits_section(notes: Sequence[str], evaluation: Evaluation | None) -> Section:
    """List what the reader must not conclude."""
    more = [] if evaluation is None else evaluation.caveats
    return Section("Limits", notes=[*notes, *more])


def reproduce_section(
    commands: Sequence[str],
    versions: Mapping[str, str],
    fingerprints: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
) -> Section:
    """List the commands, versions and fingerprints needed to repeat the report."""
    texts = ["Made with " + ", ".join(f"{name} {number}" for name, number in versions.items()) + "."]
    tables = [PageTable(("rows", "SHA-256 of their features"), fingerprints, n_texts=2)] if fingerprints else []
    return Section("Reproduce", texts, tables, commands=commands, notes=notes)


def _interval(result: Result, name: str, form: str) -> str:
    found = result.intervals.get(name)
    return "" if found is None else f"95 %: {found.low:{form}} to {found.high:{form}}"
