"""Latent spaces: of three dimensions, such as that of DAGMM, and planes, such as that of a sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError, counted, offenders
from oddrow.plots.canvas import DOTS_PER_INCH, INCHES, as_written, by_label, legend_text, matplotlib, subset
from oddrow.plots.classes import points_by_class
from oddrow.typing import Floats

DRAWS = {2: "latent_plane draws two", 3: "latent_space draws three"}

LATENT_NAMES = ("latent code", "relative Euclidean distance", "cosine similarity")

# Half as many points of a label get twice the area, within these limits (points squared), and hide more of what is
# behind them.
INK, SMALLEST, LARGEST = 20_000, 8.0, 30.0

VEIL, THINNEST, THICKEST = 600, 0.35, 0.9


def latent_space(z: npt.ArrayLike, y: npt.ArrayLike, *, names: Sequence[str] = LATENT_NAMES, axes: Any = None) -> Any:
    """Draw z (n, 3) of DAGMM in space, coloured by y (n,): 1 anomaly, 0 normal, NaN unknown (Zong et al. 2018, fig. 3).

    The rarer label lies on top. Of more than 5,000 rows as many are drawn, the same ones every time: all rows of the
    rarer label, up to half of them, and a random choice of the others.

    `axes` are three-dimensional ones to draw into, else new ones on a new figure. `save(latent_space(z, y), path)`
    keeps the picture. Raises `ParameterError` for anything else than three columns of finite numbers.
    """
    points, labels = _checked(z, y, names, 3)
    axes = _new_axes() if axes is None else _in_space(axes)
    groups = by_label(labels)
    rarest = groups[-1][2]
    drawn = subset(len(labels), rarest)
    for layer, (label, colour, rows) in enumerate(groups):
        shown = np.intersect1d(rows, drawn)
        if len(shown):
            _scatter(
                axes, points[shown], zorder=layer + 1, color=colour, label=legend_text(label, len(shown), len(rows))
            )
    _label(axes, names)
    return axes


def latent_plane(
    z: npt.ArrayLike, y: npt.ArrayLike, *, names: Sequence[str] = ("code 1", "code 2"), axes: Any = None
) -> Any:
    """Draw codes z (n, 2) in their plane, coloured by y (n,) as `latent_space` does.

    Raises `ParameterError` for anything else than two columns of finite numbers.
    """
    points, labels = _checked(z, y, names, 2)
    titles = {"x_name": names[0], "y_name": names[1], "title": "Latent plane"}
    return points_by_class(points[:, 0], points[:, 1], labels, **titles, axes=axes)


def _new_axes() -> Any:
    figures, canvas = matplotlib()
    figure = figures(figsize=INCHES, dpi=DOTS_PER_INCH)
    canvas(figure)
    axes = figure.add_axes((0.0, 0.02, 0.96, 0.98), projection="3d")
    return _in_space(axes)


def _in_space(axes: Any) -> Any:
    """The axes, told to draw points in the order of their layers rather than of their distance."""
    if getattr(axes, "name", None) != "3d":
        raise ParameterError("latent_space draws in space: make the axes with add_subplot(projection='3d').")
    axes.computed_zorder = False
    return axes


def _checked(z: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str], width: int) -> tuple[Floats, Floats]:
    points, labels = np.asarray(z, dtype=np.float64), np.asarray(y, dtype=np.float64)
    _check_columns(points, names, width)
    if labels.shape != points.shape[:1]:
        raise ParameterError(f"y has shape {labels.shape}, but z has {counted(len(points), 'row')}.")
    _check_rows("z", points, np.isfinite(points).all(axis=1), "finite numbers")
    _check_rows("y", labels, np.isin(labels, (0, 1)) | np.isnan(labels), "1 anomaly, 0 normal or NaN unknown")
    return points, labels


def _check_columns(points: Floats, names: Sequence[str], width: int) -> None:
    if points.ndim != 2 or len(points) == 0:
        raise ParameterError(f"z has shape {points.shape}. Expected (n, {width}), with a row at least.")
    if (found := points.shape[1]) != width:
        last = f"z[:, [0, {found - 2}, {found - 1}]]"
        choose = f" Choose them: {last} is the first latent code, distance and cosine." if found > width == 3 else ""
        raise ParameterError(f"z has {counted(found, 'column')}, but {DRAWS[width]}.{choose}")
    if len(names) != width:
        raise ParameterError(
            f"names={tuple(names)!r} are not {'three' if width == 3 else 'two'}, one for each column of z."
        )


def _check_rows(name: str, values: Floats, is_right: Any, expected: str) -> None:
    wrong = np.flatnonzero(~is_right)
    if len(wrong):
        shown = offenders(wrong.tolist(), values[wrong[:3]].tolist())
        raise ParameterError(f"{name}: {len(wrong):,} of {len(values):,} rows are not {expected} ({shown}).")


def _scatter(axes: Any, points: Floats, **style: Any) -> None:
    area = np.clip(INK / len(points), SMALLEST, LARGEST)
    alpha = np.clip(VEIL / len(points), THINNEST, THICKEST)
    axes.scatter(*points.T, s=area, alpha=alpha, depthshade=False, linewidths=0, rasterized=True, **style)


def _label(axes: Any, names: Sequence[str]) -> None:
    axes.set_xlabel(names[0], labelpad=8)
    axes.set_ylabel(names[1], labelpad=12)
    axes.set_zlabel(names[2], labelpad=10)
    axes.locator_params(nbins=5)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(-0.1, 1), frameon=False)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[LARGEST])
    as_written(axes)
