"""The README is short, and pictures come out of reports."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
DOCS = README.parent / "docs"


def test_the_readme_is_short_and_shows_an_alert_before_its_results() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert text.index("oddrow explain") < text.index("## How good it is") < text.index("## How fast it is")


def test_the_numbers_of_the_readme_are_those_of_the_results() -> None:
    """Its tables of quality and speed repeat cells of docs/quality.md and docs/benchmarks.md."""
    text = README.read_text(encoding="utf-8")
    for heading, page in (("## How good it is", "quality.md"), ("## How fast it is", "benchmarks.md")):
        section = text.split(heading)[1].split("\n## ")[0]
        cells = [
            cell.strip() for line in section.splitlines() if line.startswith("| ") for cell in line.split("|")[2:-1]
        ]
        numbers = [cell for cell in cells if cell[:1].isdigit()]
        known = (DOCS / page).read_text(encoding="utf-8").replace("|", " ").split()
        assert len(numbers) >= 10
        assert [number for number in numbers if number not in known] == []


def test_pictures_come_out_of_reports(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    source = base64.b64encode(b'<?xml version="1.0"?><svg width="5"/>').decode()
    page.write_text(f'<img src="data:image/svg+xml;base64,{source}" alt="Of the alerts, most.">')
    run = [sys.executable, str(DOCS / "pictures.py"), str(page)]
    done = subprocess.run([*run, "Of the"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == '<?xml version="1.0"?><svg style="background: white" width="5"/>'
    done = subprocess.run([*run, "Off"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "no picture's caption begins with 'Off'\n")
