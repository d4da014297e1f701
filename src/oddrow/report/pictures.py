"""The plots of a report: points from `evaluate`, drawn by `plots`, each with a caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from oddrow import plots
from oddrow.evaluate.curves import at_k_points, by_threshold_points, cost_points, roc_points
from oddrow.metrics.classification import Confusion
from oddrow.outcomes import Outcomes
from oddrow.report.page import Picture
from oddrow.typing import Floats

if TYPE_CHECKING:
    from oddrow.plots.canvas import Axes

# Inches: small enough that letters stay legible on a narrow screen.
PLOT_SIZE = (5.2, 3.6)

MOST_CURVES = 6


@dataclass(frozen=True)
class PlotData:
    """Rows to draw: outcomes, scores (n,) by scorer, and thresholds by name. The first scorer is the model."""

    outcomes: Outcomes
    scores: Mapping[str, Floats]
    thresholds: Mapping[str, float]

    @property
    def name(self) -> str:
        """The name of the model."""
        return next(iter(self.scores))

    @property
    def model_scores(self) -> Floats:
        """The scores of the model, (n,)."""
        return self.scores[self.name]

    def labelled(self, scores: Floats) -> tuple[Floats, Floats, Floats | None]:
        """Return labels, scores and weights of the rows with a label."""
        is_labelled = self.outcomes.labelled
        rows = self.outcomes.take(is_labelled)
        return rows.labels, scores[is_labelled], rows.weight


def plot_classes(data: PlotData) -> Iterator[Picture]:
    """Draw the number of rows in each class, and the amounts."""
    outcomes = data.outcomes
    if outcomes.labelled.any():
        axes = plots.class_counts(outcomes.labels, axes=report_axes())
        yield Picture.of(axes, "Number of rows in each class.")
    if outcomes.amount is not None:
        rows = np.arange(len(outcomes))
        axes = plots.amount_by_row(
            outcomes.amount, rows, outcomes.labels, name="amount", x_name="row", axes=report_axes()
        )
        yield Picture.of(axes, "Amount of each row, in the order of the table.")


def plot_training(loss_curve: Sequence[Mapping[str, float]]) -> Iterator[Picture]:
    """Draw the loss curve."""
    parts = {"training rows": "loss", "validation rows": "validation_loss"}
    curves = {
        name: [epoch[key] for epoch in loss_curve] for name, key in parts.items() if loss_curve and key in loss_curve[0]
    }
    if curves:
        epochs = [epoch["epoch"] for epoch in loss_curve]
        axes = plots.loss_curve(curves, epochs=epochs, unit="loss", axes=report_axes())
        axes.set_title("Training")
        if min(map(min, curves.values())) > 0:
            axes.set_yscale("log")
        yield Picture.of(axes, "Loss of each epoch on the training rows and on the validation rows.")


def plot_latent_codes(z: Floats, labels: Floats, names: Sequence[str]) -> Iterator[Picture]:
    """Draw latent codes, (n, 3) or (n, 2)."""
    if len(names) == 3:
        axes = plots.latent_space(z, labels, names=names)
    else:
        axes = plots.latent_plane(z, labels, names=names, axes=report_axes())
    yield Picture.of(axes, f"Rows in the latent space: {', '.join(names)}.")


def plot_ranking(data: PlotData) -> Iterator[Picture]:
    """Draw ROC, precision against recall, and precision at k."""
    labelled = {name: data.labelled(scores) for name, scores in list(data.scores.items())[:MOST_CURVES]}
    curves = {name: by_threshold_points(*each) for name, each in labelled.items()}
    points = {name: (each.recall, each.precision) for name, each in curves.items()}
    y, _, weight = labelled[data.name]
    axes = plots.precision_recall(points, float(np.average(y, weights=weight)), axes=report_axes())
    yield Picture.of(axes, "Precision (share of anomalies among the alerts) at each recall (share of anomalies found).")
    axes = plots.roc({name: roc_points(*each) for name, each in labelled.items()}, axes=report_axes())
    yield Picture.of(axes, "Share of the anomalies found at each false-alarm rate (share of normal rows alerted).")
    axes = plots.precision_at_k(*at_k_points(*labelled[data.name]), axes=report_axes())
    yield Picture.of(axes, f"{data.name}: share of anomalies among the k highest scores.")


def plot_threshold(data: PlotData, confusion: Confusion, false_alarm_cost: float | None = None) -> Iterator[Picture]:
    """Draw precision and recall by threshold, the confusion matrix, and the cost if it is known."""
    y, scores, weight = data.labelled(data.model_scores)
    axes = plots.threshold_curve(*by_threshold_points(y, scores, weight), data.thresholds, axes=report_axes())
    yield Picture.of(axes, "Precision and recall at each possible threshold. Vertical lines: the thresholds in use.")
    counts = [[confusion.passed, confusion.false_alerts], [confusion.missed, confusion.true_alerts]]
    yield Picture.of(plots.confusion_matrix(counts, axes=report_axes()), "Alerts among normal rows and anomalies.")
    amount = data.outcomes.amount
    if false_alarm_cost is not None and amount is not None:
        points = cost_points(y, scores, amount[data.outcomes.labelled], false_alarm_cost, weight)
        axes = plots.cost_curve(*points, data.thresholds, axes=report_axes())
        caption = (
            f"Cost of each possible threshold: {false_alarm_cost:g} for a false alarm, its amount for a missed anomaly."
        )
        yield Picture.of(axes, caption)


def plot_scores(data: PlotData) -> Iterator[Picture]:
    """Draw the scores by row and as histograms."""
    scores, labels = data.model_scores, data.outcomes.labels
    axes = plots.scores_by_row(scores, labels, data.thresholds, axes=report_axes())
    yield Picture.of(axes, "Score of each row in the order of the table, and the thresholds.")
    axes = plots.score_histogram(scores, labels, data.thresholds, axes=report_axes())
    yield Picture.of(axes, "Distribution of the scores in each class.")


def plot_contributions(row: str, names: Sequence[str], shares: Floats) -> Iterator[Picture]:
    """Draw the share of each column in the explanation of a row."""
    axes = plots.contributions(names, shares, title=f"Row {row}", axes=report_axes())
    yield Picture.of(axes, f"Share of each column in the explanation of row {row}.")


def plot_reconstruction(original: Floats, reconstructed: Floats, title: str) -> Iterator[Picture]:
    """Draw a row of samples in time with its reconstruction."""
    axes = plots.reconstruction(original, reconstructed, title=title, axes=report_axes())
    yield Picture.of(axes, f"{title}: original, reconstruction and error.")


def plot_columns(columns: Mapping[str, Floats], labels: Floats) -> Iterator[Picture]:
    """Draw the distribution of numeric columns in each class."""
    for name, values in columns.items():
        axes = plots.column_by_class(values, labels, name=name, axes=report_axes())
        yield Picture.of(axes, f"Distribution of {name} in each class.")


def plot_levels(columns: Mapping[str, Sequence[str | None]], labels: Floats) -> Iterator[Picture]:
    """Draw the frequency of the levels of categorical columns in each class."""
    for name, levels in columns.items():
        axes = plots.levels_by_class(levels, labels, name=name, axes=report_axes())
        yield Picture.of(axes, f"Frequency of the levels of {name} in each class.")


def report_axes() -> Axes:
    """Return new axes of the size that reports show."""
    return plots.new_axes(size=PLOT_SIZE)
