"""What a recipe found: means and spreads over its runs, beside the published rows, as JSON and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from oddrow.evaluate.text import Shown
from oddrow.files import write_json, write_text
from oddrow.recipes.data import LabelledTable
from oddrow.recipes.recipe import SHOWN, Published, Recipe

NAMES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "ap": "AP",
}

HEADINGS = {name: NAMES[name] for name in SHOWN}

TIMES = ("fit_s", "score_s")

# What is kept of a run for each detector and cut.
LINE = ("detector", "rule", *HEADINGS, *TIMES)


@dataclass(frozen=True)
class Results:
    """One row for each detector, cut and contamination: {"mean", "sd"} of every metric over the runs.

    `said` says in words what was run, `column` what tells rows of one detector apart. The standard deviation is that
    of a sample (n - 1), 0 where there is one run.
    """

    recipe: str
    title: str
    said: str
    published: tuple[Published, ...]
    data: str
    n_rows: int
    n_anomalies: int
    runs: int
    rows: tuple[dict[str, Any], ...]
    headings: Mapping[str, str]
    column: str = "cut"

    @classmethod
    def of(
        cls,
        recipe: Recipe[Any],
        data: LabelledTable,
        found: Sequence[list[dict[str, Any]]],
        *,
        runs: int,
        said: str = "",
        headings: Mapping[str, str] = HEADINGS,
        column: str = "cut",
    ) -> Results:
        """Gather the lines of all runs; `headings` are the metrics to show, by key.

        `said` is what the heading says besides source, rows and runs.
        """
        lines = [line for of_run in found for line in of_run]
        kinds = dict.fromkeys(map(_kind, lines))
        rows = tuple(_row(kind, [line for line in lines if _kind(line) == kind], headings) for kind in kinds)
        read = f"{data.table.source}: {data.table.n_rows:,} rows, {data.n_anomalies:,} anomalies"
        counted = f"{runs} runs, mean ± sd" if runs > 1 else "1 run"
        words = "; ".join([f"{recipe.source}. {read}", counted, *([said] if said else [])])
        numbers = data.table.n_rows, data.n_anomalies, runs
        return cls(
            recipe.name, recipe.title, words, recipe.published, data.table.source, *numbers, rows, headings, column
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        read = {"data": self.data, "n_rows": self.n_rows, "n_anomalies": self.n_anomalies}
        return {"recipe": self.recipe, **read, "runs": self.runs, "rows": list(self.rows)}

    def to_markdown(self) -> str:
        """The table as a reader sees it, the published rows first."""
        shown = self.shown
        lines = [_markdown(shown.headings), f"|---|---{'|---' * (len(shown.headings) - 2)}|"]
        lines += [
            _markdown((f"*{first}*" if " as published" in first else first, *cells)) for first, *cells in shown.lines
        ]
        return "\n".join([f"**{self.title}.** {self.said}.", "", *lines]) + "\n"

    @property
    def shown(self) -> Shown:
        """The table: a column for each metric, or for each contamination where there are several."""
        shares = list(dict.fromkeys(row["contamination"] for row in self.rows))
        return self._by_metric() if len(shares) == 1 else self._by_share(shares)

    def _by_metric(self) -> Shown:
        lines = []
        for row in self.published:
            numbers = [getattr(row, name, float("nan")) for name in self.headings]
            shown = ["" if math.isnan(number) else f"{number:.3f}" for number in numbers]
            lines.append((f"{row.method}, as published", row.rule, *shown))
        for found in self.rows:
            cells = [self._cell(found[name]) for name in self.headings]
            lines.append((found["detector"], found["rule"], *cells))
        return Shown(("", self.column, *self.headings.values()), tuple(lines))

    def _by_share(self, shares: Sequence[float]) -> Shown:
        """F1 alone, a column for each share of anomalies among the training rows."""
        empty = [""] * (len(shares) - 1)
        lines = [(f"{row.method}, as published", "published", f"{row.f1:.3f}", *empty) for row in self.published]
        for kind in dict.fromkeys((row["detector"], row["rule"]) for row in self.rows):
            of_kind = {r["contamination"]: r["f1"] for r in self.rows if (r["detector"], r["rule"]) == kind}
            lines.append((*kind, *(self._cell(of_kind[share]) for share in shares)))
        return Shown(("F1", "cut", *(f"{share:.0%}" for share in shares)), tuple(lines))

    def _cell(self, spread: dict[str, float]) -> str:
        """Mean and standard deviation; one run has none, unless it has several folds."""
        return f"{spread['mean']:.3f}" + (f" ± {spread['sd']:.3f}" if self.runs > 1 or spread["sd"] > 0 else "")


def write_results(results: Results, folder: Path) -> None:
    """Write results.json and results.md, each whole or not at all."""
    write_json(results.to_dict(), folder / "results.json")
    write_text(results.to_markdown(), folder / "results.md")


def _markdown(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _kind(line: dict[str, Any]) -> tuple[Any, ...]:
    return line.get("contamination", 0.0), line["detector"], line["rule"]


def _row(kind: tuple[Any, ...], lines: list[dict[str, Any]], headings: Mapping[str, str]) -> dict[str, Any]:
    contamination, detector, rule = kind
    metrics = {name: [line[name] for line in lines] for name in (*headings, *TIMES)}
    spreads = {name: _spread(values) for name, values in metrics.items()}
    return {"detector": detector, "rule": rule, "contamination": contamination, **spreads}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else 0.0}
