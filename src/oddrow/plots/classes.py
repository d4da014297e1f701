"""How rows of both classes lie: counts, columns, amounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.plots.canvas import (
    ANOMALY,
    NORMAL,
    by_label,
    labelled,
    legend_text,
    name_rows,
    new_plane,
    shortened,
    subset,
)
from oddrow.typing import Floats

N_MARGINAL_BINS = 40


def reconstruction(original: npt.ArrayLike, rebuilt: npt.ArrayLike, *, title: str = "", axes: Any = None) -> Any:
    """A row (columns,) of samples in time, such as a heartbeat, and what is rebuilt of it, their difference shaded."""
    axes, seen, expected = new_plane(axes), np.asarray(original), np.asarray(rebuilt)
    axes.plot(seen, color=NORMAL, label="original")
    axes.plot(expected, color=ANOMALY, label="rebuilt")
    axes.fill_between(np.arange(len(seen)), seen, expected, color=ANOMALY, alpha=0.2, label="error")
    return labelled(axes, "sample", "value", title or "Original and rebuilt")


def contributions(names: Sequence[str], shares: npt.ArrayLike, *, title: str = "", axes: Any = None) -> Any:
    """The share of a row's score (columns,) that each column adds, the largest on top."""
    axes, values = new_plane(axes), np.asarray(shares, dtype=np.float64)
    order = np.argsort(values)
    axes.barh(np.arange(len(values)), values[order], color=ANOMALY)
    name_rows(axes, [names[place] for place in order])
    return labelled(axes, "share of the score", "", title or "What makes the row odd")


def marginals(real: npt.ArrayLike, generated: npt.ArrayLike, *, name: str, axes: Any = None) -> Any:
    """The density of a column among real (n,) and generated (m,) rows."""
    axes, parts = (
        new_plane(axes),
        {"real": np.asarray(real, np.float64), "generated": np.asarray(generated, np.float64)},
    )
    bins = np.histogram_bin_edges(np.concatenate(list(parts.values())), N_MARGINAL_BINS)
    for (label, values), colour in zip(parts.items(), (NORMAL, ANOMALY), strict=True):
        share = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, bins=bins, weights=share, histtype="stepfilled", alpha=0.4, color=colour, label=label)
    return labelled(axes, name, "share of the rows", f"{name}, real and generated")


N_BINS, MOST_LEVELS = 50, 12

# Points squared of unknown rows, of the more frequent class, of the rarer one.
SIZES = (6, 6, 18)

# Classes of which one is so many times as large as another are counted on a log axis.
FAR_APART = 20

# Larger numbers have no bins between them.
LARGEST = 1e300

# A column whose values span more than this, all above 0, is drawn on a log axis.
WIDE_RANGE = 1_000.0


def class_counts(y: npt.ArrayLike, *, axes: Any = None) -> Any:
    """How many rows are normal, anomalous, unknown, for y (n,) of 0, 1 and NaN; on a log axis where one is rare."""
    axes, present = new_plane(axes), _present(y)
    numbers = [len(rows) for _, _, rows in present]
    is_wide = max(numbers) > FAR_APART * min(numbers)
    for place, (label, colour, rows) in enumerate(present):
        axes.bar(place, len(rows), color=colour, label=f"{label}: {len(rows):,} ({len(rows) / np.size(y):.2%})")
    axes.set_xticks([])
    axes.set_yscale("log" if is_wide else "linear")
    axes.set_ylim(1 if is_wide else 0, None)
    return labelled(axes, "", "rows (log)" if is_wide else "rows", "Rows of each class")


def column_by_class(values: npt.ArrayLike, y: npt.ArrayLike, *, name: str, axes: Any = None) -> Any:
    """The density of a column (n,) among the rows of each class, each adding up to 1."""
    axes, numbers = new_plane(axes), np.clip(np.asarray(values, dtype=np.float64), -LARGEST, LARGEST)
    known = numbers[np.isfinite(numbers)]
    is_wide = len(known) > 0 and known.min() > 0 and known.max() / known.min() > WIDE_RANGE
    bins = np.geomspace(known.min(), known.max(), N_BINS) if is_wide else np.linspace(*_range(known), N_BINS)
    for label, colour, rows in _present(y):
        drawn = numbers[rows][np.isfinite(numbers[rows])]
        share = np.full(len(drawn), 1 / max(len(drawn), 1))
        style = {"histtype": "stepfilled", "alpha": 0.4, "color": colour, "label": f"{label}: {len(rows):,}"}
        axes.hist(drawn, bins=bins, weights=share, **style)
    axes.set_xscale("log" if is_wide else "linear")
    shown = shortened(name)
    return labelled(axes, shown + (" (log)" if is_wide else ""), "share of the class", f"{shown} by class")


def levels_by_class(levels: Sequence[str | None], y: npt.ArrayLike, *, name: str, axes: Any = None) -> Any:
    """The share of each level (n,) of a category among the rows of each class; of many levels the most frequent."""
    axes, texts = new_plane(axes), np.array(["missing" if level is None else level for level in levels], dtype=object)
    groups = _present(y)
    shares = {level: [np.mean(texts[rows] == level) for _, _, rows in groups] for level in set(texts.tolist())}
    shown = sorted(shares, key=lambda level: (-max(shares[level]), level))[:MOST_LEVELS][::-1]
    for place, (label, colour, rows) in enumerate(groups):
        heights = np.arange(len(shown)) + 0.8 * ((place + 0.5) / len(groups) - 0.5)
        widths = [shares[level][place] for level in shown]
        axes.barh(heights, widths, 0.8 / len(groups), color=colour, label=f"{label}: {len(rows):,}")
    name_rows(axes, shown)
    title = f"{shortened(name)} by class"
    return labelled(axes, "share of the class", "", title, is_full=True)


def amount_by_row(
    amount: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, *, name: str, x_name: str, axes: Any = None
) -> Any:
    """Amounts (n,) against a time or a row number x (n,) by class; of more than 5,000 rows as many are drawn."""
    return points_by_class(x, amount, y, x_name=x_name, y_name=name, title=f"{name} by class", axes=axes)


def points_by_class(
    x: npt.ArrayLike, values: npt.ArrayLike, y: npt.ArrayLike, *, x_name: str, y_name: str, title: str, axes: Any = None
) -> Any:
    """Points (n,) by class, the rarer class on top and never left out."""
    axes, across, up = new_plane(axes), np.asarray(x, np.float64), np.asarray(values, np.float64)
    groups = by_label(np.asarray(y, dtype=np.float64))
    drawn = subset(len(across), groups[-1][2])
    for layer, (label, colour, rows) in enumerate(groups):
        shown = np.intersect1d(rows, drawn)
        if len(shown):
            style = {"color": colour, "alpha": 0.6, "linewidths": 0, "rasterized": True}
            style |= {"zorder": layer + 2, "s": SIZES[layer]}
            axes.scatter(across[shown], up[shown], label=legend_text(label, len(shown), len(rows)), **style)
    positive = up[drawn][up[drawn] > 0]
    if len(positive) and positive.max() / np.median(positive) > WIDE_RANGE / 10:
        axes.set_yscale("symlog", linthresh=float(np.median(positive)))
    return labelled(axes, x_name, y_name, title, is_full=True)


def _present(y: npt.ArrayLike) -> list[tuple[str, str, Any]]:
    return [group for group in by_label(np.asarray(y, dtype=np.float64)) if len(group[2])]


def _range(known: Floats) -> tuple[float, float]:
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)
