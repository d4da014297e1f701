"""How results show themselves: an HTML table in a notebook, aligned plain text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

CELL = 'style="text-align:{}"'


def html_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", note: str = "", n_left: int = 1
) -> str:
    """Return an HTML table of escaped cells; the first `n_left` columns are left-aligned, the others right-aligned."""
    sides = ["left" if k < n_left else "right" for k in range(len(headings))]
    lines = [f"<caption>{escape(caption)}</caption>"] if caption else []
    lines += [f"<thead>{_html_row('th', headings, sides)}</thead>"]
    lines += ["<tbody>", *(_html_row("td", row, sides) for row in rows), "</tbody>"]
    after = "".join(f"<p>{escape(line)}</p>" for line in note.splitlines())
    return f'<table class="oddrow">{"".join(lines)}</table>{after}'


def _html_row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    inner = (f"<{tag} {CELL.format(side)}>{escape(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, n_left: int = 1) -> str:
    """Return the same table as aligned text, without a trailing line break.

    >>> print(text_table(["column", "kind"], [["amount", "numeric"], ["shop", "categorical"]]))
    column         kind
    amount      numeric
    shop    categorical
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = []
    for row in [headings, *rows]:
        cells = zip(row, widths, strict=True)
        aligned = (f"{cell:<{w}}" if k < n_left else f"{cell:>{w}}" for k, (cell, w) in enumerate(cells))
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)
