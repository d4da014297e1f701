"""What all plots share: axes without a window, colours, row sampling, safe labels, and files."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from warnings import catch_warnings, filterwarnings

import numpy as np

from oddrow.errors import ParameterError
from oddrow.files import check_output_file, replaced_file
from oddrow.typing import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure

MOST_POINTS = 5_000

# A longer column name would leave no room for the plot.
LONGEST_NAME = 28

# The palette of Okabe and Ito, which colour-blind readers can tell apart.
NORMAL, ANOMALY, UNKNOWN = "#0072B2", "#D55E00", "#999999"

DOTS_PER_INCH = 150

WIDE = (7.0, 4.2)


class Group(NamedTuple):
    """The rows of one class: its name, its colour, and the row numbers (n,)."""

    label: str
    colour: str
    rows: Ints


def save(figure: Figure | Axes, path: str | Path) -> None:
    """Write a figure to a PNG file.

    The file is complete or not written at all: an older file stays if writing fails.

    Parameters
    ----------
    figure : Figure or Axes
        The figure, or any axes on it.
    path : str or Path
        The file to write. Its name ends in `.png`.

    Raises
    ------
    ParameterError
        If the name has another ending, or matplotlib is not installed.
    TableError
        If the file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save(new_axes(), Path(folder) / "empty.png")
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ParameterError(f"{path}: plots are saved as PNG. Choose a file name that ends in .png.")
    check_output_file(path)
    whole = _whole_figure(figure)
    with replaced_file(path) as unfinished:
        whole.savefig(unfinished, format="png")


def as_svg(figure: Figure | Axes) -> bytes:
    """Return a figure as SVG with a transparent background.

    Scatter plots are embedded as pixels, because thousands of shapes are slow to show. The same figure gives the same
    bytes.

    Parameters
    ----------
    figure : Figure or Axes
        The figure, or any axes on it.

    Returns
    -------
    bytes
        The SVG document, encoded as UTF-8.

    Raises
    ------
    ParameterError
        If matplotlib is not installed.

    Examples
    --------
    >>> as_svg(new_axes())[:5]
    b'<?xml'
    """
    whole = _whole_figure(figure)
    from matplotlib import rc_context

    written = BytesIO()
    with rc_context({"svg.hashsalt": "oddrow"}), catch_warnings():
        # A column name may hold letters that the font lacks. They are drawn as boxes.
        filterwarnings("ignore", message="Glyph .* missing from font")
        whole.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return written.getvalue()


def _whole_figure(figure: Figure | Axes) -> Any:
    figures, _ = load_matplotlib()
    return figure if isinstance(figure, figures) else figure.get_figure(root=True)


def load_matplotlib() -> tuple[type[Any], type[Any]]:
    """Import matplotlib's figure and canvas classes.

    pyplot is avoided: it keeps every figure in memory and looks for a screen. Raises `ParameterError` if matplotlib is
    not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParameterError("plots need matplotlib: pip install 'oddrow[report]'.") from error
    return Figure, FigureCanvasAgg


def new_axes(axes: Axes | None = None, *, size: tuple[float, float] = WIDE) -> Axes:
    """Return the given axes, or new axes on a new figure.

    Parameters
    ----------
    axes : Axes, optional
        Existing axes, returned as they are.
    size : tuple of float, default (7.0, 4.2)
        Width and height of a new figure, in inches.

    Returns
    -------
    Axes
        The axes to draw on. Their figure belongs to no window.

    Raises
    ------
    ParameterError
        If matplotlib is not installed.

    Examples
    --------
    >>> axes = new_axes(size=(4.0, 3.0))
    >>> new_axes(axes) is axes
    True
    """
    if axes is not None:
        return axes
    figures, canvas = load_matplotlib()
    figure = figures(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    canvas(figure)
    new: Axes = figure.add_subplot()
    return new


def label_axes(axes: Axes, x: str, y: str, title: str = "", *, legend_below: bool = False) -> Axes:
    """Set the labels, the title, a light grid, and a legend if anything on the axes has a name."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18), "ncols": 2, "frameon": False}
        axes.legend(framealpha=0.8, edgecolor="none", **(below if legend_below else {}))
    show_text_literally(axes)
    return axes


def show_text_literally(axes: Any) -> None:
    """Show names character by character: matplotlib would read a column called $x$ as a formula."""
    legend = axes.get_legend()
    sides = [axes.xaxis, axes.yaxis, *([axes.zaxis] if hasattr(axes, "zaxis") else [])]
    texts = [axes.title, *(side.label for side in sides), *([] if legend is None else legend.get_texts())]
    for text in texts:
        text.set(text=printable(text.get_text()), parse_math=False)


def name_bars(axes: Any, names: Sequence[str]) -> None:
    """Write a name, character by character, at each of 0, 1, 2, … of the y axis."""
    axes.set_yticks(np.arange(len(names)), [shorten(name) for name in names])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)


def shorten(name: str) -> str:
    """Cut a long name, so that the plot keeps its room.

    >>> shorten("a" * 40)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaa…'
    """
    name = printable(name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def printable(name: str) -> str:
    r"""Replace characters that no image format accepts.

    >>> printable("a\x01b")
    'a�b'
    """
    return "".join(letter if letter.isprintable() else "�" for letter in name)


def group_by_label(labels: Floats) -> list[Group]:
    """Split rows into three groups, in drawing order: unknown, the more frequent class, the rarer class."""
    normal = Group("normal", NORMAL, np.flatnonzero(labels == 0))
    anomaly = Group("anomaly", ANOMALY, np.flatnonzero(labels == 1))
    known = sorted([normal, anomaly], key=lambda group: (len(group.rows) > 0, -len(group.rows)))
    return [Group("unknown", UNKNOWN, np.flatnonzero(np.isnan(labels))), *known]


def choose_rows(n_rows: int, rarest: Ints) -> Ints:
    """Choose at most 5,000 rows to draw, always the same ones.

    The rarest class gets up to half of the points, or more if the others do not need them.
    """
    others = np.setdiff1d(np.arange(n_rows), rarest)
    random = np.random.default_rng(0)
    n_rarest = min(len(rarest), max(MOST_POINTS // 2, MOST_POINTS - len(others)))
    n_others = min(len(others), MOST_POINTS - n_rarest)
    return np.concatenate(
        [random.choice(rarest, n_rarest, replace=False), random.choice(others, n_others, replace=False)]
    )


def legend_text(label: str, n_drawn: int, n_rows: int) -> str:
    """Return a label with the number of its rows, and how many of them are drawn if not all are."""
    return f"{label}: {n_rows:,}" if n_drawn == n_rows else f"{label}: {n_drawn:,} of {n_rows:,} drawn"
