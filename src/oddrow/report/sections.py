"""The sections of a report on a model and the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oddrow.evaluate.evaluation import Evaluation, K, Result
from oddrow.evaluate.intervals import Interval
from oddrow.evaluate.text import at_cut, counts, overlaps, qualifying, ranking
from oddrow.report.page import PageTable, Picture, Section
from oddrow.report.pictures import PlotData, of_cut, of_ranking, of_scores
from oddrow.table.schema import Schema
from oddrow.thresholds.threshold import Threshold

Headline = tuple[str, str, str]

WITH_LABELS = "forest with labels"

# More of them are folded away at first.
MOST_COLUMNS = 10

RANKING = (
    "AP: average precision. P@k: the share of anomalies among the k rows that score highest; a day: on average over "
    "the days, of what a perfect ranking would reach. In brackets: the middle 95 % of draws of the rows."
)


@dataclass(frozen=True)
class AlertRow:
    """One of the oddest rows: its name, score, label in words, whether it is an alert, its reasons, and what would let
    it pass.
    """

    named: str
    score: float
    label: str
    is_alert: bool
    reasons: Sequence[str]
    passes: str


def headlines(evaluation: Evaluation) -> Iterator[Headline]:
    """The numbers to read first, with their intervals."""
    first = evaluation.results[0]
    found = first.confusion
    yield f"{first.average_precision:.3f}", "average precision", _interval(first, "average_precision")
    yield f"{found.precision:.1%}", "of the alerts are anomalies", _interval(first, "precision", as_share=True)
    yield f"{found.recall:.1%}", "of the anomalies are alerts", _interval(first, "recall", as_share=True)
    if first.value_caught is not None:
        yield (
            f"{first.value_caught:.1%}",
            "of the anomalies' amount is in alerts",
            _interval(first, "value_caught", as_share=True),
        )
    if k := max((k for k in first.precision_at if k <= max(evaluation.n_anomalies, min(K))), default=0):
        yield f"{first.precision_at[k]:.1%}", f"anomalies among the {k:,} highest", ""
    if first.daily is not None:
        yield f"{first.daily.alerts:,.1f}", "alerts a day", f"{first.daily.most_alerts:,.0f} on the busiest day"
    else:
        yield f"{found.true_alerts + found.false_alerts:,.0f}", "alerts", f"{evaluation.n_rows:,} rows"


def unmeasured_headlines(drawn: PlotData, n_alerts: int) -> Iterator[Headline]:
    """The numbers to read first where no label is known."""
    n_rows = len(drawn.own)
    yield f"{n_rows:,}", "rows", ""
    yield f"{n_alerts:,}", "alerts", f"{n_alerts / n_rows:.2%} of the rows"
    yield f"{np.median(drawn.own):.4g}", "median score", f"highest {drawn.own.max():.4g}"


def of_schema(schema: Schema) -> Iterator[PageTable]:
    """The columns that take part in the score, and those that do not."""
    used = [column for column in schema.columns if column.is_feature]
    others = [column for column in schema.columns if not column.is_feature]
    for caption, columns in (("Columns used", used), ("Columns not used", others)):
        if columns:
            lines = [(column.name, column.kind, column.why, f"{column.n_missing:,}") for column in columns]
            headings, named = ("column", "kind", "why", "missing"), f"{caption} ({len(lines)})"
            yield PageTable(headings, lines, named, n_texts=3, is_aside=len(lines) > MOST_COLUMNS)


def how_it_ranks(evaluation: Evaluation, drawn: PlotData) -> Section:
    """The ranking beside the baselines."""
    texts = [
        f"{evaluation.n_rows:,} rows were scored, {evaluation.n_anomalies:,} of them are known anomalies "
        f"({evaluation.rate:.3%}).",
        *_with_labels(evaluation),
        *overlaps(evaluation),
    ]
    return Section(
        "How well it ranks", texts, [PageTable.of(ranking(evaluation.results), RANKING)], list(of_ranking(drawn))
    )


def _with_labels(evaluation: Evaluation) -> Iterator[str]:
    """That labels would do better, where they clearly do."""
    first, *others = evaluation.results
    bound = first.intervals.get("average_precision")
    for other in others:
        if other.name == WITH_LABELS and bound is not None and other.average_precision > bound.high:
            yield (
                "A random forest that learns from the labels ranks these rows better: an average precision of "
                f"{other.average_precision:.3f} against {first.average_precision:.3f}. Where anomalies are like the "
                "known ones, use a classifier, or let the detector learn from them (detector.known_weight=10)."
            )


def what_the_cut_does(evaluation: Evaluation, drawn: PlotData, *, per_false_alarm: float | None = None) -> Section:
    """The threshold, what it guarantees, and what it gives beside the baselines' cuts."""
    first = evaluation.results[0]
    table = PageTable.of(at_cut(evaluation.results))
    pictures = [*of_cut(drawn, first.confusion, per_false_alarm), *of_scores(drawn)]
    return Section("What the threshold does", [*in_words(evaluation.threshold), counts(first)], [table], pictures)


def what_it_alerts(drawn: PlotData, cut: Threshold, n_alerts: int) -> Section:
    """The threshold and the scores, where no label is known."""
    text = f"{n_alerts:,} of {len(drawn.own):,} rows are alerts. Whether they should be, no label says."
    return Section("What the threshold does", [*in_words(cut), text], (), list(of_scores(drawn)))


def in_words(cut: Threshold) -> Iterator[str]:
    """The threshold, and what it guarantees."""
    yield cut.in_words
    yield cut.guarantee_in_words


def the_oddest(rows: Sequence[AlertRow], pictures: Sequence[Picture]) -> Section:
    """The rows that score highest, and why."""
    headings = ["row", "score", "alert", "label", "why", "would pass with"]
    lines = [
        (row.named, f"{row.score:,.4g}", "yes" if row.is_alert else "no", row.label, "\n".join(row.reasons), row.passes)
        for row in rows
    ]
    kept = [place for place in range(len(headings)) if any(line[place] for line in lines)]
    cells = [[line[place] for place in kept] for line in lines]
    shown = PageTable([headings[place] for place in kept], cells, n_texts=len(kept))
    which = "row that scores" if len(rows) == 1 else "rows that score"
    text = f"The {len(rows)} {which} highest, with the columns that add most to each score."
    return Section("The oddest rows", [text], [shown], pictures)


def limits(always: Sequence[str], evaluation: Evaluation | None) -> Section:
    """What a reader must not conclude."""
    more = [] if evaluation is None else list(qualifying(evaluation))
    return Section("Limits", notes=[*always, *more])


def again(
    commands: Sequence[str],
    versions: Mapping[str, str],
    prints: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
) -> Section:
    """How to do it again: commands, versions, fingerprints of rows."""
    texts = ["This page was made with " + ", ".join(f"{name} {number}" for name, number in versions.items()) + "."]
    tables = [PageTable(("rows", "SHA-256 over their features"), prints, n_texts=2)] if prints else []
    return Section("How to do it again", texts, tables, commands=commands, notes=notes)


def _interval(result: Result, name: str, *, as_share: bool = False) -> str:
    found: Interval | None = result.intervals.get(name)
    if found is None:
        return ""
    form = ".1%" if as_share else ".3f"
    return f"95 %: {found.low:{form}} to {found.high:{form}}"
