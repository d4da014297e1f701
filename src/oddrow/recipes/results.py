"""The results of a recipe: means and standard deviations over its runs, after the published rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from oddrow.evaluate.evaluation import Shown
from oddrow.files import write_json, write_text
from oddrow.recipes.labelled_table import LabelledTable
from oddrow.recipes.recipe import SHOWN_METRICS, Published, Recipe

# What one model scored in one run: its name, the threshold rule, metrics and times.
Line = dict[str, Any]

METRIC_NAMES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "ap": "AP",
}

HEADINGS = {name: METRIC_NAMES[name] for name in SHOWN_METRICS}

TIMES = ("fit_s", "score_s")


@dataclass(frozen=True)
class Results:
    """The results of a recipe.

    Parameters
    ----------
    recipe, title : str
        The name and the title of the recipe.
    summary : str
        Source, rows and runs, for the line above the table.
    published : tuple of Published
        The published rows.
    data : str
        The file that was read.
    n_rows, n_anomalies, runs : int
        Numbers of rows, known anomalies and runs.
    rows : tuple of dict
        One for each model, threshold rule and contamination: `{"mean", "sd"}` of every metric over the runs. The
        standard deviation is that of a sample (n - 1), 0 for one run.
    headings : mapping of str to str
        The metrics to show and their headings.
    column : str, default "cut"
        The heading of the threshold rules.
    """

    recipe: str
    title: str
    summary: str
    published: tuple[Published, ...]
    data: str
    n_rows: int
    n_anomalies: int
    runs: int
    rows: tuple[Line, ...]
    headings: Mapping[str, str]
    column: str = "cut"

    @classmethod
    def of(
        cls,
        recipe: Recipe[Any],
        data: LabelledTable,
        lines: Sequence[Line],
        *,
        runs: int,
        remark: str,
        headings: Mapping[str, str],
        column: str,
    ) -> Results:
        """Gather the lines of all runs. `remark` ends the summary."""
        kinds = dict.fromkeys(map(_kind, lines))
        rows = tuple(_row(kind, [line for line in lines if _kind(line) == kind], headings) for kind in kinds)
        source, n_rows = data.table.source, data.table.n_rows
        summary = "; ".join(
            [
                f"{recipe.source}. {source}: {n_rows:,} rows, {data.n_anomalies:,} anomalies",
                f"{runs} runs, mean ± sd" if runs > 1 else "1 run",
                remark,
            ]
        )
        numbers = n_rows, data.n_anomalies, runs
        return cls(recipe.name, recipe.title, summary, recipe.published, source, *numbers, rows, headings, column)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        read = {"data": self.data, "n_rows": self.n_rows, "n_anomalies": self.n_anomalies}
        return {"recipe": self.recipe, **read, "runs": self.runs, "rows": list(self.rows)}

    def to_markdown(self) -> str:
        """Return the table as Markdown, the published rows first."""
        shown = self.shown
        lines = [_markdown(shown.headings), f"|---|---{'|---' * (len(shown.headings) - 2)}|"]
        lines += [
            _markdown((f"*{first}*" if " as published" in first else first, *cells)) for first, *cells in shown.lines
        ]
        return "\n".join([f"**{self.title}.** {self.summary}.", "", *lines]) + "\n"

    @property
    def shown(self) -> Shown:
        """The table: a column for each metric, or for each contamination if there are several."""
        shares = list(dict.fromkeys(row["contamination"] for row in self.rows))
        return self._by_metric() if len(shares) == 1 else self._by_share(shares)

    def _by_metric(self) -> Shown:
        lines = []
        for published in self.published:
            numbers = [getattr(published, name, float("nan")) for name in self.headings]
            cells = ["" if math.isnan(number) else f"{number:.3f}" for number in numbers]
            lines.append((f"{published.method}, as published", published.rule, *cells))
        lines += [
            (row["detector"], row["rule"], *(self._cell(row[name]) for name in self.headings)) for row in self.rows
        ]
        return Shown(("", self.column, *self.headings.values()), tuple(lines))

    def _by_share(self, shares: Sequence[float]) -> Shown:
        """Show F1 only, with a column for each share of anomalies in the training rows."""
        empty = [""] * (len(shares) - 1)
        lines = [(f"{row.method}, as published", "published", f"{row.f1:.3f}", *empty) for row in self.published]
        for kind in dict.fromkeys((row["detector"], row["rule"]) for row in self.rows):
            of_kind = {r["contamination"]: r["f1"] for r in self.rows if (r["detector"], r["rule"]) == kind}
            lines.append((*kind, *(self._cell(of_kind[share]) for share in shares)))
        return Shown(("F1", "cut", *(f"{share:.0%}" for share in shares)), tuple(lines))

    def _cell(self, spread: dict[str, float]) -> str:
        """Return mean and standard deviation. One run has no deviation, unless it has several folds."""
        return f"{spread['mean']:.3f}" + (f" ± {spread['sd']:.3f}" if self.runs > 1 or spread["sd"] > 0 else "")


def write_results(results: Results, folder: Path) -> None:
    """Write results.json and results.md."""
    write_json(results.to_dict(), folder / "results.json")
    write_text(results.to_markdown(), folder / "results.md")


def _markdown(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _kind(line: Line) -> tuple[Any, ...]:
    return line.get("contamination", 0.0), line["detector"], line["rule"]


def _row(kind: tuple[Any, ...], lines: list[Line], headings: Mapping[str, str]) -> Line:
    contamination, detector, rule = kind
    metrics = {name: [line[name] for line in lines] for name in (*headings, *TIMES)}
    spreads = {
        name: {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else 0.0}
        for name, values in metrics.items()
    }
    return {"detector": detector, "rule": rule, "contamination": contamination, **spreads}
