"""Plots of rows and columns by class: counts, densities, levels, amounts, and what makes one row odd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from oddrow.plots.canvas import (
    ANOMALY,
    NORMAL,
    Group,
    choose_rows,
    group_by_label,
    label_axes,
    legend_text,
    name_bars,
    new_axes,
    shorten,
)
from oddrow.typing import Floats

if TYPE_CHECKING:
    from oddrow.plots.canvas import Axes

N_BINS, N_MARGINAL_BINS = 50, 40

MOST_LEVELS = 12

# Marker areas in points squared: unknown rows, the more frequent class, the rarer class.
MARKER_AREAS = (6, 6, 18)

# If one class is this many times larger than another, counts go on a log axis.
LOG_COUNTS_FROM = 20

# matplotlib cannot make bins between larger numbers.
LARGEST = 1e300

# A positive column whose largest value is this many times its smallest goes on a log axis.
LOG_VALUES_FROM = 1_000.0


def class_counts(y: npt.ArrayLike, *, axes: Axes | None = None) -> Axes:
    """Draw the number of rows in each class as bars.

    Parameters
    ----------
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. The counts are on a log scale if one class is rare.

    Examples
    --------
    >>> axes = class_counts([0, 0, 0, 1])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['normal: 3 (75.00%)', 'anomaly: 1 (25.00%)']
    """
    axes, groups = new_axes(axes), _groups(y)
    counts = [len(group.rows) for group in groups]
    is_wide = max(counts) > LOG_COUNTS_FROM * min(counts)
    for place, (label, colour, rows) in enumerate(groups):
        axes.bar(place, len(rows), color=colour, label=f"{label}: {len(rows):,} ({len(rows) / np.size(y):.2%})")
    axes.set_xticks([])
    axes.set_yscale("log" if is_wide else "linear")
    axes.set_ylim(1 if is_wide else 0, None)
    return label_axes(axes, "", "rows (log)" if is_wide else "rows", "Rows of each class")


def column_by_class(values: npt.ArrayLike, y: npt.ArrayLike, *, name: str, axes: Axes | None = None) -> Axes:
    """Draw a histogram of a numeric column for each class.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        The values of the column. Values that are not finite are left out.
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    name : str
        The name of the column.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. The histogram of each class adds up to 1.

    Examples
    --------
    >>> column_by_class([1.0, 2.0, 9.0], [0, 0, 1], name="amount").get_title()
    'amount by class'
    """
    axes, numbers = new_axes(axes), np.clip(np.asarray(values, dtype=np.float64), -LARGEST, LARGEST)
    known = numbers[np.isfinite(numbers)]
    is_wide = len(known) > 0 and known.min() > 0 and known.max() / known.min() > LOG_VALUES_FROM
    bins = np.geomspace(known.min(), known.max(), N_BINS) if is_wide else np.linspace(*_range(known), N_BINS)
    for label, colour, rows in _groups(y):
        drawn = numbers[rows][np.isfinite(numbers[rows])]
        _histogram(axes, drawn, bins, colour, f"{label}: {len(rows):,}")
    axes.set_xscale("log" if is_wide else "linear")
    shown = shorten(name)
    return label_axes(axes, shown + (" (log)" if is_wide else ""), "share of the class", f"{shown} by class")


def levels_by_class(levels: Sequence[str | None], y: npt.ArrayLike, *, name: str, axes: Axes | None = None) -> Axes:
    """Draw how frequent each level of a categorical column is in each class.

    Parameters
    ----------
    levels : sequence of str or None, length n
        The level of each row, None if it is missing.
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    name : str
        The name of the column.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes, with a bar for each class and level. Of many levels the 12 most frequent are shown.

    Examples
    --------
    >>> axes = levels_by_class(["BE", "NL", "BE", None], [0, 0, 0, 1], name="country")
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['NL', 'BE', 'missing']
    """
    axes, texts = new_axes(axes), np.array(["missing" if level is None else level for level in levels], dtype=object)
    groups = _groups(y)
    shares = {level: [np.mean(texts[rows] == level) for _, _, rows in groups] for level in set(texts.tolist())}
    shown = sorted(shares, key=lambda level: (-max(shares[level]), level))[:MOST_LEVELS][::-1]
    for place, (label, colour, rows) in enumerate(groups):
        heights = np.arange(len(shown)) + 0.8 * ((place + 0.5) / len(groups) - 0.5)
        widths = [shares[level][place] for level in shown]
        axes.barh(heights, widths, 0.8 / len(groups), color=colour, label=f"{label}: {len(rows):,}")
    name_bars(axes, shown)
    return label_axes(axes, "share of the class", "", f"{shorten(name)} by class", legend_below=True)


def amount_by_row(
    amount: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, *, name: str, x_name: str, axes: Axes | None = None
) -> Axes:
    """Draw amounts against time or row number, coloured by class.

    Parameters
    ----------
    amount : array-like of float, shape (n,)
        The amount of each row.
    x : array-like of float, shape (n,)
        The time or the number of each row.
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    name, x_name : str
        The labels of the y axis and of the x axis.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. At most 5,000 rows are drawn, the same ones every time, and rows of the rarer class are kept.

    Examples
    --------
    >>> amount_by_row([5.0, 7.5, 900.0], [0, 1, 2], [0, 0, 1], name="EUR", x_name="row").get_ylabel()
    'EUR'
    """
    return points_by_class(x, amount, y, x_name=x_name, y_name=name, title=f"{name} by class", axes=axes)


def points_by_class(
    x: npt.ArrayLike,
    values: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    x_name: str,
    y_name: str,
    title: str,
    axes: Axes | None = None,
) -> Axes:
    """Draw points (n,) coloured by class, the rarer class on top and never left out."""
    axes, across, up = new_axes(axes), np.asarray(x, np.float64), np.asarray(values, np.float64)
    groups = group_by_label(np.asarray(y, dtype=np.float64))
    drawn = choose_rows(len(across), groups[-1].rows)
    for layer, (label, colour, rows) in enumerate(groups):
        shown = np.intersect1d(rows, drawn)
        if len(shown):
            axes.scatter(
                across[shown],
                up[shown],
                s=MARKER_AREAS[layer],
                color=colour,
                label=legend_text(label, len(shown), len(rows)),
                alpha=0.6,
                linewidths=0,
                rasterized=True,
                zorder=layer + 2,
            )
    positive = up[drawn][up[drawn] > 0]
    if len(positive) and positive.max() / np.median(positive) > LOG_VALUES_FROM / 10:
        axes.set_yscale("symlog", linthresh=float(np.median(positive)))
    return label_axes(axes, x_name, y_name, title, legend_below=True)


def contributions(names: Sequence[str], shares: npt.ArrayLike, *, title: str = "", axes: Axes | None = None) -> Axes:
    """Draw how much each column contributes to the score of a row.

    Parameters
    ----------
    names : sequence of str, length m
        The names of the columns.
    shares : array-like of float, shape (m,)
        The share of all positive contributions that each column has.
    title : str, optional
        The title, "Contribution to the score" by default.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes, with the largest share on top.

    Examples
    --------
    >>> axes = contributions(["amount", "country"], [0.9, 0.1])
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['country', 'amount']
    """
    axes, values = new_axes(axes), np.asarray(shares, dtype=np.float64)
    order = np.argsort(values)
    axes.barh(np.arange(len(values)), values[order], color=ANOMALY)
    name_bars(axes, [names[place] for place in order])
    return label_axes(axes, "share of the explanation", "", title or "Contribution to the score")


def reconstruction(
    original: npt.ArrayLike, reconstructed: npt.ArrayLike, *, title: str = "", axes: Axes | None = None
) -> Axes:
    """Draw a row of samples in time, such as a heartbeat, with its reconstruction.

    Parameters
    ----------
    original : array-like of float, shape (m,)
        The values of the row.
    reconstructed : array-like of float, shape (m,)
        The reconstructed values.
    title : str, optional
        The title, "Original and reconstruction" by default.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes, with the difference shaded.

    Examples
    --------
    >>> axes = reconstruction([0.0, 1.0, 0.0], [0.1, 0.8, 0.1])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['original', 'reconstruction', 'error']
    """
    axes, seen, expected = new_axes(axes), np.asarray(original), np.asarray(reconstructed)
    axes.plot(seen, color=NORMAL, label="original")
    axes.plot(expected, color=ANOMALY, label="reconstruction")
    axes.fill_between(np.arange(len(seen)), seen, expected, color=ANOMALY, alpha=0.2, label="error")
    return label_axes(axes, "sample", "value", title or "Original and reconstruction")


def marginals(real: npt.ArrayLike, generated: npt.ArrayLike, *, name: str, axes: Axes | None = None) -> Axes:
    """Draw histograms of a column in real rows and in generated rows.

    Parameters
    ----------
    real : array-like of float, shape (n,)
        The values of the column in real rows.
    generated : array-like of float, shape (m,)
        The values of the column in generated rows.
    name : str
        The name of the column.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. Each histogram adds up to 1.

    Examples
    --------
    >>> marginals([1.0, 2.0, 3.0], [1.5, 2.5], name="amount").get_title()
    'amount, real and generated'
    """
    axes = new_axes(axes)
    parts = {"real": np.asarray(real, np.float64), "generated": np.asarray(generated, np.float64)}
    bins = np.histogram_bin_edges(np.concatenate(list(parts.values())), N_MARGINAL_BINS)
    for (label, values), colour in zip(parts.items(), (NORMAL, ANOMALY), strict=True):
        _histogram(axes, values, bins, colour, label)
    return label_axes(axes, name, "share of the rows", f"{name}, real and generated")


def _groups(y: npt.ArrayLike) -> list[Group]:
    """Return the classes that have rows."""
    return [group for group in group_by_label(np.asarray(y, dtype=np.float64)) if len(group.rows)]


def _histogram(axes: Any, values: Floats, bins: Floats, colour: str, label: str) -> None:
    """Draw a histogram whose bars add up to 1."""
    share = np.full(len(values), 1 / max(len(values), 1))
    axes.hist(values, bins=bins, weights=share, histtype="stepfilled", alpha=0.4, color=colour, label=label)


def _range(known: Floats) -> tuple[float, float]:
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)
