"""Plots of latent codes in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError, counted, offenders
from oddrow.plots.by_class import points_by_class
from oddrow.plots.canvas import (
    DOTS_PER_INCH,
    choose_rows,
    group_by_label,
    legend_text,
    load_matplotlib,
    show_text_literally,
)
from oddrow.typing import Floats

if TYPE_CHECKING:
    from oddrow.plots.canvas import Axes

LATENT_NAMES = ("latent code", "relative Euclidean distance", "cosine similarity")

INCHES = (7.0, 5.6)

# A class with half as many points gets markers of twice the area (points squared), within these limits.
INK, SMALLEST, LARGEST = 20_000, 8.0, 30.0

# Its markers are also more opaque, within these limits.
VEIL, MIN_ALPHA, MAX_ALPHA = 600, 0.35, 0.9


def latent_space(
    z: npt.ArrayLike, y: npt.ArrayLike, *, names: Sequence[str] = LATENT_NAMES, axes: Axes | None = None
) -> Axes:
    """Draw latent codes in three dimensions, coloured by class.

    The rarer class lies on top. At most 5,000 rows are drawn, the same ones every time: the rarer class gets up to
    half of the points.

    Parameters
    ----------
    z : array-like of float, shape (n, 3)
        The codes. For `DAGMMDetector` with one code: code, relative Euclidean distance, cosine similarity.
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    names : sequence of str, length 3
        The labels of the axes.
    axes : Axes, optional
        Axes with `projection="3d"` to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes.

    Raises
    ------
    ParameterError
        If `z` has no rows, other than three columns or values that are not finite, `y` has other values, or `axes` are
        not three-dimensional.

    References
    ----------
    Zong et al., "Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly Detection", ICLR 2018, figure 3.

    Examples
    --------
    >>> axes = latent_space([[0.0, 0.1, 0.9], [1.0, 2.0, 0.1]], [0, 1])
    >>> axes.get_zlabel()
    'cosine similarity'
    """
    points, labels = _checked(z, y, names, 3)
    space: Any = _new_space() if axes is None else axes
    if getattr(space, "name", None) != "3d":
        raise ParameterError("latent_space draws in three dimensions. Make the axes with projection='3d'.")
    # By default matplotlib draws far points first; here the rarer class goes last.
    space.computed_zorder = False
    groups = group_by_label(labels)
    drawn = choose_rows(len(labels), groups[-1].rows)
    for layer, (label, colour, rows) in enumerate(groups):
        shown = np.intersect1d(rows, drawn)
        if len(shown):
            text = legend_text(label, len(shown), len(rows))
            _scatter(space, points[shown], zorder=layer + 1, color=colour, label=text)
    _label_space(space, names)
    return space  # type: ignore[no-any-return]


def latent_plane(
    z: npt.ArrayLike, y: npt.ArrayLike, *, names: Sequence[str] = ("code 1", "code 2"), axes: Axes | None = None
) -> Axes:
    """Draw latent codes in a plane, coloured by class.

    Parameters
    ----------
    z : array-like of float, shape (n, 2)
        The codes.
    y : array-like of float, shape (n,)
        Labels: 1 anomaly, 0 normal, NaN unknown.
    names : sequence of str, length 2
        The labels of the axes.
    axes : Axes, optional
        Axes to draw on, new ones by default.

    Returns
    -------
    Axes
        The axes. Rows are chosen as by `latent_space`.

    Raises
    ------
    ParameterError
        If `z` has no rows, other than two columns or values that are not finite, or `y` has other values.

    Examples
    --------
    >>> latent_plane([[0.0, 0.1], [1.0, 2.0]], [0, 1]).get_xlabel()
    'code 1'
    """
    points, labels = _checked(z, y, names, 2)
    titles = {"x_name": names[0], "y_name": names[1], "title": "Latent plane"}
    return points_by_class(points[:, 0], points[:, 1], labels, **titles, axes=axes)


def _new_space() -> Any:
    figures, canvas = load_matplotlib()
    figure = figures(figsize=INCHES, dpi=DOTS_PER_INCH)
    canvas(figure)
    return figure.add_axes((0.0, 0.02, 0.96, 0.98), projection="3d")


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
        raise ParameterError(f"z has shape {points.shape}. Expected (n, {width}) with at least one row.")
    if (found := points.shape[1]) != width:
        function = {2: "latent_plane draws two", 3: "latent_space draws three"}[width]
        hint = f" For DAGMM, z[:, [0, {found - 2}, {found - 1}]] is the first latent code, distance and cosine."
        raise ParameterError(f"z has {counted(found, 'column')}, but {function}.{hint if found > width == 3 else ''}")
    if len(names) != width:
        raise ParameterError(f"names={tuple(names)!r}: expected {width} names, one for each column of z.")


def _check_rows(name: str, values: Floats, is_right: npt.ArrayLike, expected: str) -> None:
    wrong = np.flatnonzero(np.logical_not(is_right))
    if len(wrong):
        shown = offenders(wrong.tolist(), values[wrong[:3]].tolist())
        raise ParameterError(f"{name}: {len(wrong):,} of {len(values):,} rows are not {expected} ({shown}).")


def _scatter(axes: Any, points: Floats, **style: Any) -> None:
    area = np.clip(INK / len(points), SMALLEST, LARGEST)
    alpha = np.clip(VEIL / len(points), MIN_ALPHA, MAX_ALPHA)
    axes.scatter(*points.T, s=area, alpha=alpha, depthshade=False, linewidths=0, rasterized=True, **style)


def _label_space(axes: Any, names: Sequence[str]) -> None:
    axes.set_xlabel(names[0], labelpad=8)
    axes.set_ylabel(names[1], labelpad=12)
    axes.set_zlabel(names[2], labelpad=10)
    axes.locator_params(nbins=5)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(-0.1, 1), frameon=False)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[LARGEST])
    show_text_literally(axes)
