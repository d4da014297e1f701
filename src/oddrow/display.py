"""How results show themselves: an HTML table in a notebook, aligned plain text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

CELL = 'style="text-align:{}"'


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", note: str = "") -> str:
    """Return an HTML table of escaped cells; the first column is left-aligned, the others are right-aligned."""
    sides = ["left", *["right"] * (len(headings) - 1)]
    lines = [f"<caption>{escape(caption)}</caption>"] if caption else []
    lines += [f"<thead>{_html_row('th', headings, sides)}</thead>"]
    lines += ["<tbody>", *(_html_row("td", row, sides) for row in rows), "</tbody>"]
    after = "".join(f"<p>{escape(line)}</p>" for line in note.splitlines())
    return f'<table class="oddrow">{"".join(lines)}</table>{after}'


def _html_row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    inner = (f"<{tag} {CELL.format(side)}>{escape(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the same table as aligned text, without a trailing line break.

    >>> print(text_table(["column", "kind"], [["amount", "numeric"], ["shop", "categorical"]]))
    column         kind
    amount      numeric
    shop    categorical
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = []
    for row in [headings, *rows]:
        first, *others = (
            f"{cell:<{w}}" if not k else f"{cell:>{w}}" for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)
