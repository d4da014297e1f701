"""`Page`: the parts of a report, and how they become one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from oddrow.errors import ParameterError
from oddrow.evaluate.evaluation import Shown
from oddrow.plots import as_svg
from oddrow.plots.canvas import load_matplotlib

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Picture:
    """A plot with its caption.

    Parameters
    ----------
    svg : bytes
        The plot as an SVG document.
    caption : str
        What the plot shows, also for readers who cannot see it.

    Examples
    --------
    >>> from oddrow import plots
    >>> Picture.of(plots.class_counts([0, 0, 1]), "Rows of each class.").caption
    'Rows of each class.'
    """

    svg: bytes
    caption: str

    @classmethod
    def of(cls, axes: Any, caption: str) -> Picture:
        """Draw the figure of some axes.

        Parameters
        ----------
        axes : Axes
            Any axes of the figure.
        caption : str
            What the plot shows.

        Returns
        -------
        Picture
            The plot.
        """
        return cls(as_svg(axes), caption)

    @property
    def source(self) -> str:
        """The plot as a `data:` address, for the `src` of an HTML image."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


@dataclass(frozen=True)
class PageTable:
    """A table of a report.

    Parameters
    ----------
    headings : sequence of str
        One for each column.
    lines : sequence of sequence of str
        The cells. A line break starts a new line in the cell.
    caption : str, optional
        Shown above the table.
    n_texts : int, default 1
        How many of the first columns are text, aligned left. The others are numbers, aligned right.
    marked : int, optional
        The line to highlight.
    is_folded : bool, default False
        Whether the reader must click on the caption to see the table.

    Examples
    --------
    >>> PageTable(("column", "share"), [("amount", "90.0%")]).n_texts
    1
    """

    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    caption: str = ""
    n_texts: int = 1
    marked: int | None = None
    is_folded: bool = False

    @classmethod
    def of(cls, shown: Shown, caption: str = "", *, marked: int | None = 0) -> PageTable:
        """Convert a table of an evaluation.

        Parameters
        ----------
        shown : Shown
            Headings and lines.
        caption : str, optional
            Shown above the table.
        marked : int, default 0
            The line to highlight.

        Returns
        -------
        PageTable
            The table.
        """
        return cls(*shown, caption=caption, marked=marked)


@dataclass(frozen=True)
class Section:
    """A section of a report. Its parts are shown in the order of the parameters.

    Parameters
    ----------
    title : str
        The heading.
    texts : sequence of str, optional
        Paragraphs.
    tables : sequence of PageTable, optional
        Tables.
    pictures : sequence of Picture, optional
        Plots, side by side where the screen is wide enough.
    commands : sequence of str, optional
        Commands that the reader may copy.
    notes : sequence of str, optional
        A list of remarks.

    Examples
    --------
    >>> Section("Limits", notes=["A score is not a probability."]).title
    'Limits'
    """

    title: str
    texts: Sequence[str] = ()
    tables: Sequence[PageTable] = ()
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A report.

    Parameters
    ----------
    title : str
        The title.
    subtitle : str
        The line below the title.
    headlines : sequence of tuple of str
        The most important numbers: number, meaning, remark or interval.
    sections : sequence of Section
        The sections.

    Examples
    --------
    >>> Page("Card payments", "", [("0.71", "average precision", "")], []).title
    'Card payments'
    """

    title: str
    subtitle: str
    headlines: Sequence[tuple[str, str, str]]
    sections: Sequence[Section]


def check_packages() -> None:
    """Check that the packages for a report are installed.

    Raises
    ------
    ParameterError
        If matplotlib or Jinja2 is missing.

    Examples
    --------
    >>> check_packages()
    """
    load_matplotlib()
    _load_jinja2()


def render(page: Page) -> str:
    """Render a report as one HTML file without scripts and without links to other files.

    Parameters
    ----------
    page : Page
        The report. All its texts are escaped.

    Returns
    -------
    str
        The HTML document.

    Raises
    ------
    ParameterError
        If Jinja2 is not installed.

    Examples
    --------
    >>> "<h1>Card payments</h1>" in render(Page("Card payments", "", (), ()))
    True
    """
    environments, undefined = _load_jinja2()
    text = resources.files("oddrow.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = environments(autoescape=True, undefined=undefined, trim_blocks=True, lstrip_blocks=True)
    return str(environment.from_string(text).render(page=page))


def _load_jinja2() -> tuple[type[Any], type[Any]]:
    """Import Jinja2's environment and the class that refuses undefined names."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ParameterError("reports need Jinja2: pip install 'oddrow[report]'.") from error
    return Environment, StrictUndefined
