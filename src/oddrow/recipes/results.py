"""What a recipe found: means and spreads over its runs, beside the published rows, as JSON and as Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from oddrow.recipes.labelled import LabelledTable
from oddrow.recipes.recipe import Recipe
from oddrow.table.write import written_whole

METRICS = ("f1", "precision", "recall", "auroc", "ap")
TIMES = ("fit_s", "score_s")
# What is kept of a run for each detector and cut.
LINE = ("detector", "rule", *METRICS, *TIMES)


@dataclass(frozen=True)
class Results:
    """One row for each detector, cut and contamination: {"mean", "sd"} of every metric over the runs.

    The standard deviation is that of a sample (n - 1), 0 where there is one run.
    """

    recipe: Recipe
    data: str
    n_rows: int
    n_anomalies: int
    runs: int
    rows: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, recipe: Recipe, data: LabelledTable, runs: int, found: Sequence[list[dict[str, Any]]]) -> Results:
        """Gather the lines of all runs."""
        lines = [line for of_run in found for line in of_run]
        kinds = dict.fromkeys((line["contamination"], line["detector"], line["rule"]) for line in lines)
        rows = [_row(kind, [line for line in lines if _kind(line) == kind]) for kind in kinds]
        return cls(recipe, data.table.source, data.table.n_rows, data.n_anomalies, runs, tuple(rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        read = {"data": self.data, "n_rows": self.n_rows, "n_anomalies": self.n_anomalies}
        return {"recipe": self.recipe.name, **read, "runs": self.runs, "rows": list(self.rows)}

    def to_markdown(self) -> str:
        """The table as a reader sees it, the published rows first."""
        epochs = self.recipe.settings.training.get("epochs")
        published = self.recipe.protocol.published_epochs
        ours = f"{epochs} epochs" + (f" (published: {published})" if published else "")
        title = f"**{self.recipe.title}.** {self.recipe.source}. {self._read}; {self._counted}; {ours}."
        several = len(self.recipe.protocol.contamination) > 1
        return "\n".join([title, "", *(self._by_contamination() if several else self._by_metric())]) + "\n"

    @property
    def _read(self) -> str:
        return f"{self.data}: {self.n_rows:,} rows, {self.n_anomalies:,} anomalies"

    @property
    def _counted(self) -> str:
        return f"{self.runs} runs, mean ± sd" if self.runs > 1 else "1 run"

    def _by_metric(self) -> list[str]:
        lines = ["| | cut | F1 | precision | recall | AUROC | AP |", "|---|---|---|---|---|---|---|"]
        for row in self.recipe.published:
            numbers = [row.f1, row.precision, row.recall]
            shown = ["" if math.isnan(number) else f"{number:.3f}" for number in numbers]
            lines.append(f"| *{row.method}, as published* | published | {' | '.join(shown)} | | |")
        for found in self.rows:
            cells = [self._cell(found[name]) for name in METRICS]
            lines.append(f"| {found['detector']} | {found['rule']} | {' | '.join(cells)} |")
        return lines

    def _by_contamination(self) -> list[str]:
        """F1 alone, a column for each share of anomalies among the training rows."""
        shares = self.recipe.protocol.contamination
        lines = [
            f"| F1 | cut | {' | '.join(f'{share:.0%}' for share in shares)} |",
            f"|---|---{'|---' * len(shares)}|",
            *(
                f"| *{row.method}, as published* | published | {row.f1:.3f} |{' |' * (len(shares) - 1)}"
                for row in self.recipe.published
            ),
        ]
        for kind in dict.fromkeys((row["detector"], row["rule"]) for row in self.rows):
            of_kind = {r["contamination"]: r["f1"] for r in self.rows if (r["detector"], r["rule"]) == kind}
            lines.append(f"| {kind[0]} | {kind[1]} | {' | '.join(self._cell(of_kind[share]) for share in shares)} |")
        return lines

    def _cell(self, spread: dict[str, float]) -> str:
        """Mean and standard deviation; one run has none."""
        return f"{spread['mean']:.3f}" + (f" ± {spread['sd']:.3f}" if self.runs > 1 else "")


def write_results(results: Results, folder: Path) -> None:
    """Write results.json and results.md, each whole or not at all."""
    with written_whole(folder / "results.json") as unfinished:
        unfinished.write_text(json.dumps(results.to_dict(), indent=1) + "\n")
    with written_whole(folder / "results.md") as unfinished:
        unfinished.write_text(results.to_markdown())


def _kind(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["contamination"], line["detector"], line["rule"]


def _row(kind: tuple[Any, ...], lines: list[dict[str, Any]]) -> dict[str, Any]:
    contamination, detector, rule = kind
    metrics = {name: [line[name] for line in lines] for name in (*METRICS, *TIMES)}
    spreads = {name: _spread(values) for name, values in metrics.items()}
    return {"detector": detector, "rule": rule, "contamination": contamination, **spreads}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else 0.0}
