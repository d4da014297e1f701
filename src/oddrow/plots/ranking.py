"""How good a ranking and a cut are, as curves that somebody has computed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError
from oddrow.plots.canvas import labelled, new_plane
from oddrow.plots.classes import column_by_class, points_by_class

# The first is wider, so that it is seen behind one that it equals.
LINES = (("#BBBBBB", "-", 5.0), ("#0072B2", "-", 1.5), ("#D55E00", "-", 1.5), ("#000000", "--", 1.5))


def losses(
    parts: Mapping[str, npt.ArrayLike],
    *,
    epochs: npt.ArrayLike | None = None,
    unit: str = "nats for each row",
    axes: Any = None,
) -> Any:
    """Draw what training lost, by name: the total and its parts, (epochs,) each, in `unit`, in each epoch or in those
    whose numbers `epochs` (epochs,) has.

    Raises `ParameterError` where the parts have not one number for each epoch.
    """
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in parts.items()}
    shapes = {curve.shape for curve in curves.values()}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        raise ParameterError("losses: each part needs one number for each epoch, and all as many.")
    axes = new_plane(axes)
    for (name, curve), (colour, style, width) in zip(curves.items(), cycle(LINES)):
        x = np.arange(1, len(curve) + 1) if epochs is None else np.asarray(epochs)
        axes.plot(x, curve, color=colour, linestyle=style, linewidth=width, label=name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return labelled(axes, "epoch", unit)


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# Of more curves, a legend among them would hide some.
FEW = 3

Curves = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]

Cuts = Mapping[str, float] | None


def scores_by_row(scores: npt.ArrayLike, y: npt.ArrayLike, cuts: Cuts = None, *, axes: Any = None) -> Any:
    """Scores (n,) against the row number by class, with a line for each cut by its name."""
    names = {"x_name": "row", "y_name": "anomaly score", "title": "Scores and cuts"}
    axes = points_by_class(np.arange(np.size(scores)), scores, y, **names, axes=axes)
    _cut_lines(axes.axhline, cuts)
    return labelled(axes, "row", "anomaly score", "Scores and cuts", is_full=True)


def score_histogram(scores: npt.ArrayLike, y: npt.ArrayLike, cuts: Cuts = None, *, axes: Any = None) -> Any:
    """The density of scores (n,) in each class, with a line for each cut by its name."""
    axes = column_by_class(scores, y, name="anomaly score", axes=axes)
    _cut_lines(axes.axvline, cuts)
    return labelled(axes, axes.get_xlabel(), "share of the class", "Scores by class")


def roc(curves: Curves, *, axes: Any = None) -> Any:
    """False alarm rate and recall, (points,) each, by the name of the scorer; false alarms on a log axis."""
    axes = _curves(curves, axes)
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.set_xlim(0, 1)
    return labelled(axes, "false alarm rate (log beyond 0.001)", "recall", "ROC", is_full=len(curves) > FEW)


def precision_recall(curves: Curves, rate: float, *, axes: Any = None) -> Any:
    """Recall and precision, (points,) each, by scorer, beside the rate of anomalies that chance finds."""
    axes = _curves(curves, axes)
    axes.axhline(rate, color="#999999", linestyle=":", label=f"chance: {rate:.2%}")
    return labelled(axes, "recall", "precision", "Precision and recall", is_full=len(curves) > FEW)


def by_threshold(
    thresholds: npt.ArrayLike,
    precision: npt.ArrayLike,
    recall: npt.ArrayLike,
    cuts: Cuts = None,
    *,
    axes: Any = None,
) -> Any:
    """Precision and recall (points,) against the threshold (points,)."""
    axes = _curves({"precision": (thresholds, precision), "recall": (thresholds, recall)}, axes)
    axes.set_xscale("symlog", linthresh=float(np.median(np.abs(thresholds))) or 1.0)
    _cut_lines(axes.axvline, cuts)
    return labelled(axes, "threshold", "share", "What a threshold gives")


def at_k(k: npt.ArrayLike, precision: npt.ArrayLike, ceiling: npt.ArrayLike, *, axes: Any = None) -> Any:
    """Precision among the k highest scores, (points,), beside what a perfect ranking would reach."""
    axes = _curves({"precision among the k highest": (k, precision), "a perfect ranking": (k, ceiling)}, axes)
    axes.set_xscale("log")
    return labelled(axes, "k (log)", "precision", "Precision at k")


def cost_curve(thresholds: npt.ArrayLike, cost: npt.ArrayLike, cuts: Cuts = None, *, axes: Any = None) -> Any:
    """What each threshold (points,) costs, (points,) in the unit of the amounts."""
    axes = _curves({"cost": (thresholds, cost)}, axes)
    axes.set_xscale("symlog", linthresh=float(np.median(np.abs(thresholds))) or 1.0)
    _cut_lines(axes.axvline, cuts)
    return labelled(axes, "threshold", "cost", "What a threshold costs")


def confusion_matrix(counts: npt.ArrayLike, *, axes: Any = None) -> Any:
    """Counts (2, 2): rows normal and anomalous, columns passed and alert; shaded by the share of the row."""
    axes, table = new_plane(axes), np.asarray(counts, dtype=np.float64)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(table.shape):
        text = f"{table[row, column]:,.0f}\n{shares[row, column]:.1%}"
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks([0, 1], ["passed", "alert"])
    axes.set_yticks([0, 1], ["normal", "anomaly"])
    axes.set_title("What became of the rows")
    return axes


def calibration(expected: npt.ArrayLike, happened: npt.ArrayLike, *, axes: Any = None) -> Any:
    """Mean probability and share of anomalies of each bin, (bins,), beside the line where both are one."""
    axes = _curves({"probabilities": (expected, happened)}, axes, marker="o")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="as it should be")
    return labelled(axes, "probability of an anomaly", "share of anomalies", "Calibration")


def _curves(curves: Curves, axes: Any, **style: Any) -> Any:
    axes = new_plane(axes)
    for place, (name, (x, y)) in enumerate(curves.items()):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(np.asarray(x), np.asarray(y), color=colour, linewidth=2.0 if place == 0 else 1.2, label=name, **style)
    return axes


def _cut_lines(line: Any, cuts: Cuts) -> None:
    for place, (name, value) in enumerate((cuts or {}).items()):
        line(value, color="black", linestyle=("--", "-.", ":")[place % 3], linewidth=1.2, label=f"{name}: {value:.4g}")
