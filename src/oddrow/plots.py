"""Pictures: each a function of arrays to Axes that computes nothing else; needs matplotlib (extra `report`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError, counted, offenders
from oddrow.table.write import check_place, written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Groups = list[tuple[str, str, Ints]]

LATENT_NAMES = ("latent code", "relative Euclidean distance", "cosine similarity")
MOST_POINTS = 5_000
# Okabe and Ito's palette, which colour-blind readers can tell apart.
NORMAL, ANOMALY, UNKNOWN = "#0072B2", "#D55E00", "#999999"
# The first is wider, so that it is seen behind one that it equals.
LINES = (("#BBBBBB", "-", 5.0), ("#0072B2", "-", 1.5), ("#D55E00", "-", 1.5), ("#000000", "--", 1.5))
INCHES, DOTS_PER_INCH = (7.0, 5.6), 150
# Half as many points of a label get twice the area, within these limits (points squared), and hide more of what is
# behind them.
INK, SMALLEST, LARGEST = 20_000, 8.0, 30.0
VEIL, THINNEST, THICKEST = 600, 0.35, 0.9


def latent_space(
    z: npt.ArrayLike, y: npt.ArrayLike, *, names: Sequence[str] = LATENT_NAMES, axes: Axes | None = None
) -> Axes:
    """Draw z (n, 3) of DAGMM in space, coloured by y (n,): 1 anomaly, 0 normal, NaN unknown (Zong et al. 2018, fig. 3).

    The rarer label lies on top. Of more than 5,000 rows as many are drawn, the same ones every time: all rows of the
    rarer label, up to half of them, and a random choice of the others.

    `axes` are three-dimensional ones to draw into, else new ones on a new figure. `save(latent_space(z, y), path)`
    keeps the picture. Raises `ParameterError` for anything else than three columns of finite numbers.
    """
    points, labels = _checked(z, y, names)
    axes = _new_axes() if axes is None else _in_space(axes)
    groups = _by_label(labels)
    rarest = groups[-1][2]
    drawn = _subset(len(labels), rarest)
    for layer, (label, colour, rows) in enumerate(groups):
        shown = np.intersect1d(rows, drawn)
        if len(shown):
            _scatter(axes, points[shown], zorder=layer + 1, color=colour, label=_counted(label, len(shown), len(rows)))
    _label(axes, names)
    return axes


def losses(parts: Mapping[str, npt.ArrayLike], *, axes: Axes | None = None) -> Axes:
    """Draw what training lost in each epoch, by name: the total and its parts, (epochs,) each, in nats for each row.

    Raises `ParameterError` where the parts have not one number for each epoch.
    """
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in parts.items()}
    shapes = {curve.shape for curve in curves.values()}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        raise ParameterError("losses: each part needs one number for each epoch, and all as many.")
    axes = _new_plane() if axes is None else axes
    for (name, curve), (colour, style, width) in zip(curves.items(), cycle(LINES)):
        axes.plot(np.arange(1, len(curve) + 1), curve, color=colour, linestyle=style, linewidth=width, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("nats for each row")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return axes


def save(figure: Figure | Axes, path: str | Path) -> None:
    """Write a figure, or the one that axes belong to, as a PNG: whole or not at all.

    Raises `ParameterError` for another ending, and `TableError` where nothing can be written.
    """
    figures, _ = _matplotlib()
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ParameterError(f"{path}: pictures are written as PNG. Give a name that ends in .png.")
    check_place(path)
    whole: Any = figure if isinstance(figure, figures) else figure.get_figure(root=True)
    with written_whole(path) as unfinished:
        whole.savefig(unfinished, format="png")


def _matplotlib() -> tuple[type[Any], type[Any]]:
    """Classes of matplotlib: figure and canvas. pyplot is left out, for it keeps every figure and asks for a screen."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParameterError("pictures need matplotlib: pip install 'oddrow[report]'.") from error
    return Figure, FigureCanvasAgg


def _new_axes() -> Any:
    figures, canvas = _matplotlib()
    figure = figures(figsize=INCHES, dpi=DOTS_PER_INCH)
    canvas(figure)
    axes = figure.add_axes((0.0, 0.02, 0.96, 0.98), projection="3d")
    return _in_space(axes)


def _new_plane() -> Any:
    figures, canvas = _matplotlib()
    figure = figures(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    canvas(figure)
    return figure.add_subplot()


def _in_space(axes: Any) -> Any:
    """The axes, told to draw points in the order of their layers rather than of their distance."""
    if getattr(axes, "name", None) != "3d":
        raise ParameterError("latent_space draws in space: make the axes with add_subplot(projection='3d').")
    axes.computed_zorder = False
    return axes


def _checked(z: npt.ArrayLike, y: npt.ArrayLike, names: Sequence[str]) -> tuple[Floats, Floats]:
    points, labels = np.asarray(z, dtype=np.float64), np.asarray(y, dtype=np.float64)
    _check_columns(points, names)
    if labels.shape != points.shape[:1]:
        raise ParameterError(f"y has shape {labels.shape}, but z has {counted(len(points), 'row')}.")
    _check_rows("z", points, np.isfinite(points).all(axis=1), "finite numbers")
    _check_rows("y", labels, np.isin(labels, (0, 1)) | np.isnan(labels), "1 anomaly, 0 normal or NaN unknown")
    return points, labels


def _check_columns(points: Floats, names: Sequence[str]) -> None:
    if points.ndim != 2 or len(points) == 0:
        raise ParameterError(f"z has shape {points.shape}. Expected (n, 3), with a row at least.")
    if (width := points.shape[1]) != 3:
        last = f"z[:, [0, {width - 2}, {width - 1}]]"
        choose = f" Choose them: {last} is the first latent code, distance and cosine." if width > 3 else ""
        raise ParameterError(f"z has {counted(width, 'column')}, but latent_space draws three.{choose}")
    if len(names) != 3:
        raise ParameterError(f"names={tuple(names)!r} are not three, one for each column of z.")


def _check_rows(name: str, values: Floats, is_right: Any, expected: str) -> None:
    wrong = np.flatnonzero(~is_right)
    if len(wrong):
        shown = offenders(wrong.tolist(), values[wrong[:3]].tolist())
        raise ParameterError(f"{name}: {len(wrong):,} of {len(values):,} rows are not {expected} ({shown}).")


def _by_label(labels: Floats) -> Groups:
    """Label, colour and rows: unknown, then the more frequent label, then the rarer one."""
    normal: tuple[str, str, Ints] = ("normal", NORMAL, np.flatnonzero(labels == 0))
    anomaly: tuple[str, str, Ints] = ("anomaly", ANOMALY, np.flatnonzero(labels == 1))
    known = sorted([normal, anomaly], key=lambda group: (len(group[2]) > 0, -len(group[2])))
    return [("unknown", UNKNOWN, np.flatnonzero(np.isnan(labels))), *known]


def _subset(n_rows: int, rarest: Ints) -> Ints:
    """The rows to draw: of the rarest up to half, or as many as the others leave room for."""
    others = np.setdiff1d(np.arange(n_rows), rarest)
    random = np.random.default_rng(0)
    n_rarest = min(len(rarest), max(MOST_POINTS // 2, MOST_POINTS - len(others)))
    n_others = min(len(others), MOST_POINTS - n_rarest)
    return np.concatenate(
        [random.choice(rarest, n_rarest, replace=False), random.choice(others, n_others, replace=False)]
    )


def _scatter(axes: Any, points: Floats, **style: Any) -> None:
    area = np.clip(INK / len(points), SMALLEST, LARGEST)
    alpha = np.clip(VEIL / len(points), THINNEST, THICKEST)
    axes.scatter(*points.T, s=area, alpha=alpha, depthshade=False, linewidths=0, **style)


def _counted(label: str, n_drawn: int, n_rows: int) -> str:
    return f"{label}: {n_rows:,}" if n_drawn == n_rows else f"{label}: {n_drawn:,} of {n_rows:,} drawn"


def _label(axes: Any, names: Sequence[str]) -> None:
    axes.set_xlabel(names[0], labelpad=8)
    axes.set_ylabel(names[1], labelpad=12)
    axes.set_zlabel(names[2], labelpad=10)
    axes.locator_params(nbins=5)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(-0.1, 1), frameon=False)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[LARGEST])
