"""Execute the notebooks in docs/notebooks and write them as pages, outputs included. `build.py` calls it."""

from __future__ import annotations

import html
import re
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parent / "notebooks"
# Shown where a cell has more than one form of its output.
FORMS = ("image/svg+xml", "text/html", "text/plain")


def executed(source: Path) -> Any:
    """Run a notebook that is kept as text, and return it as an nbformat node with its outputs."""
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return notebook


def write_notebooks() -> None:
    """Execute every notebook and write its page next to it."""
    for source in sorted(NOTEBOOKS.glob("*.py")):
        parts = [
            part for number, cell in enumerate(executed(source).cells) for part in _parts(cell, source.stem, number)
        ]
        note = f"*This page is `docs/notebooks/{source.name}`, executed. Open it in Jupyter with jupytext.*"
        text = "\n\n".join([parts[0], note, *parts[1:]])
        source.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


def _parts(cell: Any, stem: str, number: int) -> list[str]:
    if cell.cell_type == "markdown":
        return [cell.source]
    parts = [f"```python\n{cell.source}\n```"] if cell.source.strip() else []
    for place, output in enumerate(cell.get("outputs", [])):
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(f"```text\n{output.text.rstrip()}\n```")
        elif output.output_type in ("display_data", "execute_result"):
            parts.append(_shown(output.data, f"{stem}-{number}-{place}.svg"))
    return parts


def _shown(data: Any, picture: str) -> str:
    form = next((form for form in FORMS if form in data), None)
    if form == "image/svg+xml":
        (NOTEBOOKS / picture).write_text(data[form], encoding="utf-8")
        title = re.search(r"<!-- ([A-Z][^<>]*?) -->", data[form])
        return f"![{html.escape(title[1]) if title else 'Picture'}]({picture})"
    if form == "text/html":
        # Markdown would read blank lines and indentation.
        return re.sub(r"\n\s*", "\n", data[form]).strip()
    return f"```text\n{data.get('text/plain', '').rstrip()}\n```"
