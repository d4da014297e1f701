"""Tables as HTML and as text: every cell escaped, every column aligned."""

from __future__ import annotations

from xml.etree import ElementTree

from oddrow.display import html_table, text_table


def test_cells_are_escaped() -> None:
    html = html_table(
        ["<b>name</b>", "value"], [["<script>alert(1)</script>", 'a"&b']], caption="<i>", note="<u>\nlast"
    )
    tree = ElementTree.fromstring(f"<div>{html}</div>")
    assert {each.tag for each in tree.iter()} == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert [cell.text for cell in tree.iter("td")] == ["<script>alert(1)</script>", 'a"&b']
    assert [line.text for line in tree.iter("p")] == ["<u>", "last"]


def test_text_is_aligned() -> None:
    assert text_table(["name", "n"], [["a", "1,000"], ["longer", "2"]]).splitlines() == [
        "name        n",
        "a       1,000",
        "longer      2",
    ]
