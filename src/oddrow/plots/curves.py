"""Plots of training, ranking and thresholds. Only histograms are computed here."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError
from oddrow.plots.by_class import column_by_class, points_by_class
from oddrow.plots.canvas import label_axes, new_axes

if TYPE_CHECKING:
    from oddrow.plots.canvas import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# The first line is wider, so that it can be seen behind one that equals it.
LOSS_LINES = (("#999999", "-", 5.0), ("#0072B2", "-", 1.5), ("#D55E00", "-", 1.5), ("#000000", "--", 1.5))

# The legend of more curves goes below the axes, where it hides none of them.
MAX_BESIDE_LEGEND = 3

Curves = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]

Thresholds = Mapping[str, float] | None


def loss_curve(
    parts: Mapping[str, npt.ArrayLike],
    *,
    epochs: npt.ArrayLike | None = None,
    unit: str = "nats for each row",
    axes: Axes | None = None,
) -> Axes:
    """Draw the loss of each training epoch.

    Parameters
    ----------
    parts : mapping of str to array-like of float, shape (e,)
        The loss and its parts by name.
    epochs : array-like of int, shape (e,), optional
        The number of each epoch, 1, 2, … by default.
    unit : str, default "nats for each row"
        The label of the y axis.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes.

    Raises
    ------
    ParameterError
        If the parts differ in length, or there are none.

    Examples
    --------
    >>> axes = loss_curve({"total": [3.0, 2.0], "KL": [1.0, 0.5]})
    >>> axes.get_xlabel()
    'epoch'
    """
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in parts.items()}
    shapes = {curve.shape for curve in curves.values()}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        raise ParameterError("loss_curve: give at least one part, and one number for each epoch in every part.")
    axes = new_axes(axes)
    for (name, curve), (colour, style, width) in zip(curves.items(), cycle(LOSS_LINES)):
        x = np.arange(1, len(curve) + 1) if epochs is None else np.asarray(epochs)
        axes.plot(x, curve, color=colour, linestyle=style, linewidth=width, label=name)
    locator: Any = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)
    return label_axes(axes, "epoch", unit)


def scores_by_row(
    scores: npt.ArrayLike, y: npt.ArrayLike, thresholds: Thresholds = None, *, axes: Axes | None = None
) -> Axes:
    """Draw scores in the order of the rows, coloured by class.

    Parameters
    ----------
    scores : array-like of float, shape (n,)
        Anomaly scores.
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    thresholds : mapping of str to float, optional
        Thresholds by name, drawn as lines.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. At most 5,000 rows are drawn, the same ones every time, and rows of the rarer class are kept.

    Examples
    --------
    >>> scores_by_row([0.1, 0.2, 3.0], [0, 0, 1], {"alert": 2.0}).get_ylabel()
    'anomaly score'
    """
    names = {"x_name": "row", "y_name": "anomaly score", "title": ""}
    axes = points_by_class(np.arange(np.size(scores)), scores, y, **names, axes=axes)
    _threshold_lines(axes.axhline, thresholds)
    return label_axes(axes, "row", "anomaly score", "Scores by row", legend_below=True)


def score_histogram(
    scores: npt.ArrayLike, y: npt.ArrayLike, thresholds: Thresholds = None, *, axes: Axes | None = None
) -> Axes:
    """Draw a histogram of the scores of each class.

    Parameters
    ----------
    scores : array-like of float, shape (n,)
        Anomaly scores.
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    thresholds : mapping of str to float, optional
        Thresholds by name, drawn as lines.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. The histogram of each class adds up to 1.

    Examples
    --------
    >>> score_histogram([0.1, 0.2, 3.0], [0, 0, 1], {"alert": 2.0}).get_title()
    'Scores by class'
    """
    axes = column_by_class(scores, y, name="anomaly score", axes=axes)
    _threshold_lines(axes.axvline, thresholds)
    return label_axes(axes, axes.get_xlabel(), "share of the class", "Scores by class")


def roc(curves: Curves, *, axes: Axes | None = None) -> Axes:
    """Draw ROC curves, with the false-alarm rate on a log axis.

    Parameters
    ----------
    curves : mapping of str to pair of array-like of float, shape (p,)
        False-alarm rate and recall by the name of the scorer.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes.

    Examples
    --------
    >>> roc({"model": ([0.0, 0.1, 1.0], [0.0, 0.8, 1.0])}).get_title()
    'ROC'
    """
    axes = _draw_curves(curves, axes)
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.set_xlim(0, 1)
    return label_axes(
        axes,
        "false-alarm rate (log above 0.001)",
        "recall",
        "ROC",
        legend_below=len(curves) > MAX_BESIDE_LEGEND,
    )


def precision_recall(curves: Curves, rate: float, *, axes: Axes | None = None) -> Axes:
    """Draw precision against recall.

    Parameters
    ----------
    curves : mapping of str to pair of array-like of float, shape (p,)
        Recall and precision by the name of the scorer.
    rate : float
        The share of anomalies among the rows: the precision of a random ranking, drawn as a line.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes.

    Examples
    --------
    >>> precision_recall({"model": ([1.0, 0.5], [0.1, 0.9])}, rate=0.01).get_title()
    'Precision and recall'
    """
    axes = _draw_curves(curves, axes)
    axes.axhline(rate, color="#999999", linestyle=":", label=f"chance: {rate:.2%}")
    return label_axes(axes, "recall", "precision", "Precision and recall", legend_below=len(curves) > MAX_BESIDE_LEGEND)


def threshold_curve(
    values: npt.ArrayLike,
    precision: npt.ArrayLike,
    recall: npt.ArrayLike,
    thresholds: Thresholds = None,
    *,
    axes: Axes | None = None,
) -> Axes:
    """Draw precision and recall against the threshold.

    Parameters
    ----------
    values : array-like of float, shape (p,)
        Possible thresholds, in the unit of the scores.
    precision : array-like of float, shape (p,)
        The precision at each of them.
    recall : array-like of float, shape (p,)
        The recall at each of them.
    thresholds : mapping of str to float, optional
        Thresholds in use by name, drawn as lines.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes.

    Examples
    --------
    >>> threshold_curve([1.0, 2.0], [0.1, 0.9], [1.0, 0.5], {"alert": 1.5}).get_xlabel()
    'threshold'
    """
    axes = _draw_curves({"precision": (values, precision), "recall": (values, recall)}, axes)
    axes.set_xscale("symlog", linthresh=float(np.median(np.abs(values))) or 1.0)
    _threshold_lines(axes.axvline, thresholds)
    return label_axes(axes, "threshold", "precision, recall", "Precision and recall by threshold")


def precision_at_k(
    k: npt.ArrayLike, precision: npt.ArrayLike, ceiling: npt.ArrayLike, *, axes: Axes | None = None
) -> Axes:
    """Draw the precision among the k highest scores against k.

    Parameters
    ----------
    k : array-like of float, shape (p,)
        Numbers of rows.
    precision : array-like of float, shape (p,)
        The precision among the k highest scores.
    ceiling : array-like of float, shape (p,)
        The precision of a perfect ranking.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes.

    Examples
    --------
    >>> precision_at_k([1, 10], [1.0, 0.4], [1.0, 0.5]).get_xlabel()
    'k (log)'
    """
    axes = _draw_curves({"this ranking": (k, precision), "perfect ranking": (k, ceiling)}, axes)
    axes.set_xscale("log")
    return label_axes(axes, "k (log)", "precision", "Precision among the k highest scores")


def cost_curve(
    values: npt.ArrayLike, cost: npt.ArrayLike, thresholds: Thresholds = None, *, axes: Axes | None = None
) -> Axes:
    """Draw the cost of each possible threshold.

    Parameters
    ----------
    values : array-like of float, shape (p,)
        Possible thresholds, in the unit of the scores.
    cost : array-like of float, shape (p,)
        The cost at each of them, in the unit of the amounts.
    thresholds : mapping of str to float, optional
        Thresholds in use by name, drawn as lines.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes.

    Examples
    --------
    >>> cost_curve([1.0, 2.0, 3.0], [50.0, 20.0, 80.0]).get_title()
    'Cost by threshold'
    """
    axes = _draw_curves({"cost": (values, cost)}, axes)
    axes.set_xscale("symlog", linthresh=float(np.median(np.abs(values))) or 1.0)
    _threshold_lines(axes.axvline, thresholds)
    return label_axes(axes, "threshold", "cost", "Cost by threshold")


def confusion_matrix(counts: npt.ArrayLike, *, axes: Axes | None = None) -> Axes:
    r"""Draw a confusion matrix with counts and shares.

    Parameters
    ----------
    counts : array-like of float, shape (2, 2)
        Numbers of rows: first normal rows, then anomalies; first passed, then alerted.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. Each cell is shaded by its share of the class.

    Examples
    --------
    >>> axes = confusion_matrix([[900, 100], [5, 15]])
    >>> axes.texts[3].get_text()
    '15\n75.0%'
    """
    axes, table = new_axes(axes), np.asarray(counts, dtype=np.float64)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        text = f"{table[row, column]:,.0f}\n{shares[row, column]:.1%}"
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks([0, 1], ["passed", "alert"])
    axes.set_yticks([0, 1], ["normal", "anomaly"])
    axes.set_title("Confusion matrix")
    return axes


def calibration(expected: npt.ArrayLike, observed: npt.ArrayLike, *, axes: Axes | None = None) -> Axes:
    """Draw a calibration curve.

    Parameters
    ----------
    expected : array-like of float, shape (b,)
        The mean predicted probability of an anomaly in each bin.
    observed : array-like of float, shape (b,)
        The share of anomalies in each bin.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. Perfect calibration is a dotted line.

    Examples
    --------
    >>> calibration([0.1, 0.5, 0.9], [0.2, 0.5, 0.7]).get_title()
    'Calibration'
    """
    axes = _draw_curves({"probabilities": (expected, observed)}, axes, marker="o")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="perfect calibration")
    return label_axes(axes, "predicted probability", "share of anomalies", "Calibration")


def _draw_curves(curves: Curves, axes: Axes | None, **style: Any) -> Axes:
    axes = new_axes(axes)
    for place, (name, (x, y)) in enumerate(curves.items()):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(np.asarray(x), np.asarray(y), color=colour, linewidth=2.0 if place == 0 else 1.2, label=name, **style)
    return axes


def _threshold_lines(draw: Any, thresholds: Thresholds) -> None:
    for place, (name, value) in enumerate((thresholds or {}).items()):
        draw(value, color="black", linestyle=("--", "-.", ":")[place % 3], linewidth=1.2, label=f"{name}: {value:.4g}")
