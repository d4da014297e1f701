"""`Page`: what a report says, and how it becomes one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from oddrow.errors import ParameterError
from oddrow.evaluate.text import Shown
from oddrow.plots import as_svg
from oddrow.plots.canvas import load_matplotlib

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows in words, for those who cannot see it."""

    svg: bytes
    says: str

    @classmethod
    def of(cls, axes: Any, says: str) -> Picture:
        """The figure that axes belong to."""
        return cls(as_svg(axes), says)

    @property
    def source(self) -> str:
        """The picture as an address that holds it whole."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


@dataclass(frozen=True)
class PageTable:
    """Headings and lines of cells; the first `n_texts` columns are texts, the others numbers, set to the right.

    The line `marked` is the one that the report is about. What `is_aside` is folded away at first behind its caption.
    """

    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    caption: str = ""
    n_texts: int = 1
    marked: int | None = None
    is_aside: bool = False

    @classmethod
    def of(cls, shown: Shown, caption: str = "", *, marked: int | None = 0) -> PageTable:
        """A table of results."""
        return cls(*shown, caption=caption, marked=marked)


@dataclass(frozen=True)
class Section:
    """A part of a report: texts, then tables, then pictures, then commands to be copied, then what is to be noted."""

    title: str
    texts: Sequence[str] = ()
    tables: Sequence[PageTable] = ()
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A report: a title, a line below it, the headline numbers as (number, what it is, its interval), sections."""

    title: str
    subtitle: str
    headlines: Sequence[tuple[str, str, str]]
    sections: Sequence[Section]


def check_packages() -> None:
    """Raise `ParameterError` where what a report is made with is missing, before the work rather than after."""
    load_matplotlib()
    _jinja2()


def render(page: Page) -> str:
    """The report as one HTML file, without scripts and without any address outside it.

    Raises `ParameterError` where Jinja2 is missing.

    >>> "<h1>Cards</h1>" in render(Page("Cards", "", (), ()))
    True
    """
    environments, undefined = _jinja2()
    text = resources.files("oddrow.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = environments(autoescape=True, undefined=undefined, trim_blocks=True, lstrip_blocks=True)
    return str(environment.from_string(text).render(page=page))


def _jinja2() -> tuple[type[Any], type[Any]]:
    """Classes of Jinja2: the environment of templates, and what refuses a name that is not there."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ParameterError("reports need Jinja2: pip install 'oddrow[report]'.") from error
    return Environment, StrictUndefined
