"""The pictures of a report: what `evaluate` computes, drawn by `plots`, each with a line that says what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oddrow import plots
from oddrow.evaluate.curves import at_k_points, by_threshold_points, cost_points, roc_points
from oddrow.metrics.classification import Confusion
from oddrow.outcomes import Outcomes
from oddrow.report.page import Picture
from oddrow.typing import Floats

Losses = Sequence[Mapping[str, float]]

# Inches: small enough that letters stay legible on a narrow screen.
SMALL = (5.2, 3.6)

MOST_CURVES = 6


@dataclass(frozen=True)
class PlotData:
    """Rows to draw: their outcomes, scores (n,) by the name of who gave them, cuts by name.

    The first scores are those that the report is about.
    """

    outcomes: Outcomes
    scores: Mapping[str, Floats]
    cuts: Mapping[str, float]

    @property
    def name(self) -> str:
        """Who the report is about."""
        return next(iter(self.scores))

    @property
    def own(self) -> Floats:
        """The scores that the report is about, (n,)."""
        return self.scores[self.name]

    def measured(self, scores: Floats) -> tuple[Floats, Floats, Floats | None]:
        """Labels, scores and weights of the rows with a label."""
        known = self.outcomes.labelled
        rows = self.outcomes.take(known)
        return rows.labels, scores[known], rows.weight


def plane(size: tuple[float, float] = SMALL) -> Any:
    """New axes of the size that reports have."""
    return plots.new_axes(size=size)


def of_training(history: Losses) -> Iterator[Picture]:
    """The losses of training, epoch by epoch."""
    parts = {"training": "loss", "held-out rows": "validation_loss"}
    curves = {name: [entry[key] for entry in history] for name, key in parts.items() if history and key in history[0]}
    if curves:
        axes = plots.loss_curve(curves, epochs=[entry["epoch"] for entry in history], unit="loss", axes=plane())
        axes.set_title("Training")
        if min(map(min, curves.values())) > 0:
            axes.set_yscale("log")
        yield Picture.of(axes, "What training lost in each epoch, on the rows it learned from and on those held out.")


def of_ranking(drawn: PlotData) -> Iterator[Picture]:
    """How well everybody ranks the rows: ROC, precision and recall, precision at k."""
    ranked = list(drawn.scores.items())[:MOST_CURVES]
    measured = {name: drawn.measured(scores) for name, scores in ranked}
    curves = {name: by_threshold_points(*each) for name, each in measured.items()}
    points = {name: (each.recall, each.precision) for name, each in curves.items()}
    y, _, weight = measured[drawn.name]
    rate = float(np.average(y, weights=weight))
    axes = plots.precision_recall(points, rate, axes=plane())
    yield Picture.of(axes, "Of the alerts, how many are anomalies, at each share of the anomalies found.")
    axes = plots.roc({name: roc_points(*each) for name, each in measured.items()}, axes=plane())
    yield Picture.of(axes, "The share of anomalies found at each share of normal rows that are false alarms.")
    axes = plots.precision_at_k(*at_k_points(*measured[drawn.name]), axes=plane())
    yield Picture.of(axes, f"{drawn.name}: the share of anomalies among the k rows that score highest.")


def of_cut(drawn: PlotData, confusion: Confusion, per_false_alarm: float | None = None) -> Iterator[Picture]:
    """What the cuts do: precision and recall beside them, what becomes of the rows, what it costs."""
    y, scores, weight = drawn.measured(drawn.own)
    axes = plots.threshold_curve(*by_threshold_points(y, scores, weight), drawn.cuts, axes=plane())
    yield Picture.of(axes, "Precision and recall at every threshold; the lines are the cuts of this report.")
    counts = [[confusion.passed, confusion.false_alerts], [confusion.missed, confusion.true_alerts]]
    axes = plots.confusion_matrix(counts, axes=plane())
    yield Picture.of(axes, "What became of the normal rows and of the anomalies at the cut.")
    if per_false_alarm is not None and drawn.outcomes.amount is not None:
        found = cost_points(y, scores, drawn.outcomes.amount[drawn.outcomes.labelled], per_false_alarm, weight)
        axes = plots.cost_curve(*found, drawn.cuts, axes=plane())
        said = (
            f"What each threshold costs where a false alarm costs {per_false_alarm:g} and a missed anomaly its amount."
        )
        yield Picture.of(axes, said)


def of_scores(drawn: PlotData) -> Iterator[Picture]:
    """How the scores lie, by class."""
    axes = plots.scores_by_row(drawn.own, drawn.outcomes.labels, drawn.cuts, axes=plane())
    yield Picture.of(axes, "The score of each row in the order of the table, and the cuts.")
    axes = plots.score_histogram(drawn.own, drawn.outcomes.labels, drawn.cuts, axes=plane())
    yield Picture.of(axes, "How the scores of each class are spread.")


def of_classes(drawn: PlotData) -> Iterator[Picture]:
    """How many rows of each class there are, and their amounts."""
    if drawn.outcomes.labelled.any():
        yield Picture.of(
            plots.class_counts(drawn.outcomes.labels, axes=plane()), "How many rows of each class there are."
        )
    if drawn.outcomes.amount is not None:
        rows = np.arange(len(drawn.outcomes.labels))
        axes = plots.amount_by_row(
            drawn.outcomes.amount, rows, drawn.outcomes.labels, name="amount", x_name="row", axes=plane()
        )
        yield Picture.of(axes, "The amount of each row in the order of the table.")


def of_columns(columns: Mapping[str, Floats], y: Floats) -> Iterator[Picture]:
    """How the values (n,) of columns lie, by class."""
    for name, values in columns.items():
        axes = plots.column_by_class(values, y, name=name, axes=plane())
        yield Picture.of(axes, f"How the values of {name} are spread in each class.")


def of_levels(columns: Mapping[str, Sequence[str | None]], y: Floats) -> Iterator[Picture]:
    """How often the levels (n,) of categories are there, by class."""
    for name, levels in columns.items():
        axes = plots.levels_by_class(levels, y, name=name, axes=plane())
        yield Picture.of(axes, f"How often each level of {name} is there in each class.")


def of_row(named: str, names: Sequence[str], shares: Floats) -> Iterator[Picture]:
    """What makes one row odd."""
    axes = plots.contributions(names, shares, title=f"What makes {named} odd", axes=plane())
    yield Picture.of(axes, f"The share of the score of {named} that each column adds.")


def of_series(original: Floats, rebuilt: Floats, said: str) -> Iterator[Picture]:
    """A row of samples in time, and what is rebuilt of it."""
    axes = plots.reconstruction(original, rebuilt, title=said, axes=plane())
    yield Picture.of(axes, f"{said}: what is there, what the network expects, and the error between them.")


def of_space(z: Floats, y: Floats, names: Sequence[str]) -> Iterator[Picture]:
    """Numbers of the latent space, (n, 3) or (n, 2)."""
    in_space = len(names) == 3
    axes = plots.latent_space(z, y, names=names) if in_space else plots.latent_plane(z, y, names=names, axes=plane())
    yield Picture.of(axes, f"Where rows lie in the latent space: {', '.join(names)}.")
