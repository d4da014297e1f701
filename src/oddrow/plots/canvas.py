"""What pictures share: figures without a screen, colours, which rows to draw, files."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

import numpy as np

from oddrow.errors import ParameterError
from oddrow.files import check_place, written_whole
from oddrow.typing import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Groups = list[tuple[str, str, Ints]]

MOST_POINTS = 5_000

# A longer name of a column would leave no room for the picture.
LONGEST_NAME = 28

# Okabe and Ito's palette, which colour-blind readers can tell apart.
NORMAL, ANOMALY, UNKNOWN = "#0072B2", "#D55E00", "#999999"

INCHES, DOTS_PER_INCH = (7.0, 5.6), 150

WIDE = (7.0, 4.2)


def save(figure: Figure | Axes, path: str | Path) -> None:
    """Write a figure, or the one that axes belong to, as a PNG: whole or not at all.

    Raises `ParameterError` for another ending, and `TableError` where nothing can be written.
    """
    figures, _ = matplotlib()
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ParameterError(f"{path}: pictures are written as PNG. Give a name that ends in .png.")
    check_place(path)
    whole: Any = figure if isinstance(figure, figures) else figure.get_figure(root=True)
    with written_whole(path) as unfinished:
        whole.savefig(unfinished, format="png")


def as_svg(figure: Figure | Axes) -> bytes:
    """A figure, or the one that axes belong to, as SVG on no background: clouds of points are pixels in it.

    The same picture gives the same bytes. Raises `ParameterError` where matplotlib is missing.
    """
    figures, _ = matplotlib()
    from matplotlib import rc_context

    whole: Any = figure if isinstance(figure, figures) else figure.get_figure(root=True)
    written = BytesIO()
    with rc_context({"svg.hashsalt": "oddrow"}), catch_warnings():
        # A name may hold letters that the font lacks; a box stands for each.
        filterwarnings("ignore", message="Glyph .* missing from font")
        whole.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return written.getvalue()


def matplotlib() -> tuple[type[Any], type[Any]]:
    """Classes of matplotlib: figure and canvas. pyplot is left out, for it keeps every figure and asks for a screen."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParameterError("pictures need matplotlib: pip install 'oddrow[report]'.") from error
    return Figure, FigureCanvasAgg


def new_plane(axes: Any = None, *, size: tuple[float, float] = WIDE) -> Any:
    """The axes given, or new ones on a new figure of this size in inches."""
    if axes is not None:
        return axes
    figures, canvas = matplotlib()
    figure = figures(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    canvas(figure)
    return figure.add_subplot()


def labelled(axes: Any, x: str, y: str, title: str = "", *, is_full: bool = False) -> Any:
    """Name the axes, and give them a quiet grid and a legend where there is something to tell apart.

    Where the plane `is_full` of points, the legend goes below it.
    """
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18), "ncols": 2, "frameon": False}
        axes.legend(framealpha=0.8, edgecolor="none", **(below if is_full else {}))
    return as_written(axes)


def shortened(name: str) -> str:
    """A name that leaves room for the picture.

    >>> shortened("a" * 40)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaa…'
    """
    name = printable(name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def as_written(axes: Any) -> Any:
    """Have names shown as they are: a column may be called $x$, which means something else to matplotlib."""
    legend = axes.get_legend()
    sides = [axes.xaxis, axes.yaxis, *([axes.zaxis] if hasattr(axes, "zaxis") else [])]
    texts = [axes.title, *(side.label for side in sides), *([] if legend is None else legend.get_texts())]
    for text in texts:
        text.set(text=printable(text.get_text()), parse_math=False)
    return axes


def name_rows(axes: Any, names: Sequence[str]) -> None:
    """Write names at 0, 1, 2, … of the y axis, as they are."""
    axes.set_yticks(np.arange(len(names)), [shortened(name) for name in names])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)


def printable(name: str) -> str:
    """A name without what no picture can hold.

    >>> printable("a\\x01b")
    'a�b'
    """
    return "".join(letter if letter.isprintable() else "�" for letter in name)


def by_label(labels: Floats) -> Groups:
    """Label, colour and rows: unknown, then the more frequent label, then the rarer one."""
    normal: tuple[str, str, Ints] = ("normal", NORMAL, np.flatnonzero(labels == 0))
    anomaly: tuple[str, str, Ints] = ("anomaly", ANOMALY, np.flatnonzero(labels == 1))
    known = sorted([normal, anomaly], key=lambda group: (len(group[2]) > 0, -len(group[2])))
    return [("unknown", UNKNOWN, np.flatnonzero(np.isnan(labels))), *known]


def subset(n_rows: int, rarest: Ints) -> Ints:
    """The rows to draw: of the rarest up to half, or as many as the others leave room for."""
    others = np.setdiff1d(np.arange(n_rows), rarest)
    random = np.random.default_rng(0)
    n_rarest = min(len(rarest), max(MOST_POINTS // 2, MOST_POINTS - len(others)))
    n_others = min(len(others), MOST_POINTS - n_rarest)
    return np.concatenate(
        [random.choice(rarest, n_rarest, replace=False), random.choice(others, n_others, replace=False)]
    )


def legend_text(label: str, n_drawn: int, n_rows: int) -> str:
    """A label with how many of its rows are drawn."""
    return f"{label}: {n_rows:,}" if n_drawn == n_rows else f"{label}: {n_drawn:,} of {n_rows:,} drawn"
