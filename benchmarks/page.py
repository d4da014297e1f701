"""Write docs/benchmarks.md from what the benchmarks have kept in benchmarks/results: `python benchmarks/page.py`.

A script that is to stand on the page has `section(results)`, the Markdown of its section from its JSON alone, and may
have `goals(results)`, pairs of a `race.Goal` and what was measured, and `pictures(results, folder)`, which writes SVG
files there and returns what each shows by its name. It needs `make setup`, and nothing of the peers.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from race import table

ROOT = Path(__file__).parents[1]
# What stands on the page, in order, and the script that measures it.
SCRIPTS = {
    "training": "train_speed",
    "scoring": "score_speed",
    "files": "file_speed",
    "memory": "memory_fit",
    "rows": "row_speed",
    "growth": "growth",
}
HEADING = "# Benchmarks"
GPU = "GPU figures exist for the default detector: [what it costs](quality.md#what-it-costs)."
HOW = (
    "All figures were measured on {machines}. Unless a section says otherwise, each method runs in its own process, "
    "in turn (A B A B), so that a busy minute slows all of them alike. Figures are medians over rounds; ratios are "
    "computed per round, and their median is shown. First calls, which compile, are shown separately. Each section "
    "names the command that measured it; on another machine seconds will differ, ratios less so. "
    "`python benchmarks/page.py` writes this page from the stored results."
)


@dataclass(frozen=True)
class Part:
    """One section of the page; `results` is None where nothing has been measured yet."""

    name: str
    results: dict[str, Any] | None

    @classmethod
    def read(cls, name: str, folder: Path) -> Part:
        """The part of this name, with its results where script and JSON are there."""
        path = folder / f"{name}.json"
        is_there = path.exists() and find_spec(SCRIPTS[name]) is not None
        return cls(name, json.loads(path.read_text(encoding="utf-8")) if is_there else None)

    @cached_property
    def script(self) -> Any:
        """The module of the script."""
        return import_module(SCRIPTS[self.name])

    @property
    def command(self) -> str:
        """How it is measured, as the script's own docstring says."""
        found = re.search(
            rf"^ {{4}}\S.*benchmarks/{SCRIPTS[self.name]}\.py.*$", self.script.__doc__ or "", re.MULTILINE
        )
        return "" if found is None else f"{found[0]}\n\n"

    @property
    def machine(self) -> str:
        """Processor and cores, where it was measured."""
        facts = (self.results or {}).get("facts", {})
        return f"{facts['processor']} with {facts['cores']} cores" if "processor" in facts else ""

    def markdown(self, pictures: Path) -> str:
        """Heading, command, section and pictures."""
        heading = f"## {self.name.capitalize()}"
        if self.results is None:
            return f"{heading}\n\nNot measured.\n"
        text = self.script.section(self.results).strip()
        own, _, rest = text.partition("\n") if text.startswith("#") else (heading, "", text)
        return f"{own}\n\n{self.command}{rest.strip()}\n{self._pictures(pictures)}"

    def _pictures(self, folder: Path) -> str:
        if not hasattr(self.script, "pictures"):
            return ""
        shown = self.script.pictures(self.results, folder)
        return "".join(f"\n![{what}]({folder.name}/{file})\n" for file, what in shown.items())

    def goals(self) -> list[list[str]]:
        """The lines that it adds to the table of all goals."""
        if self.results is None or not hasattr(self.script, "goals"):
            return []
        return [goal.cells(measured) for goal, measured in self.script.goals(self.results)]


def page(parts: list[Part], pictures: Path) -> str:
    """The whole page."""
    machines = " and ".join(dict.fromkeys(part.machine for part in parts if part.machine)) or "no machine yet"
    goals = [cells for part in parts for cells in part.goals()]
    tops = [HEADING, HOW.format(machines=machines), GPU]
    if goals:
        tops.append(table(["goal", "target", "measured", ""], goals))
    text = "\n\n".join([*tops, *(part.markdown(pictures).rstrip() for part in parts)])
    return "\n".join(map(wrapped, text.splitlines())) + "\n"


def wrapped(line: str) -> str:
    """The line in lines of at most 120 characters, unless it is of a table, a command or a picture."""
    if line.startswith(("|", "    ", "![")):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Read, write, say what is lacking."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    parts = [Part.read(name, options.results) for name in SCRIPTS]
    for part in parts:
        if part.results is None:
            print(f"{part.name}: not measured")
    options.out.write_text(page(parts, options.out.parent / "pictures"), encoding="utf-8")


if __name__ == "__main__":
    main()
