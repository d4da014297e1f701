"""Print lines, schemas, evaluations, comparisons and explanations to the terminal."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from oddrow.evaluate.evaluation import Evaluation, Shown, at_threshold, counts, ranking
from oddrow.explain import Explanation
from oddrow.resampling.comparison import Comparison
from oddrow.table.schema import Schema

# Without a terminal, rich would fold tables at 80 columns. Column names such as [red] or :apple: are not markup.
out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)


def tell(message: Any) -> None:
    """Print a result as a table, anything else as a line."""
    if isinstance(message, Schema):
        show_schema(message)
    elif isinstance(message, Evaluation):
        show_evaluation(message)
    elif isinstance(message, Comparison):
        show_comparison(message)
    elif isinstance(message, Explanation):
        show_explanation(message)
    else:
        out.print(message)


def show_schema(schema: Schema) -> None:
    """Print the kind of every column with the reason, then how to use columns treated as identifiers."""
    grid = _grid("column", "kind", "missing", "reason")
    for column in schema.columns:
        missing = f"{column.n_missing:,}" if column.n_missing else ""
        grid.add_row(column.name, column.kind, missing, column.reason, style=None if column.is_feature else "dim")
    out.print(grid)
    for column in schema.columns:
        if column.kind == "identifier":
            tell(
                f"'{column.name}' is not used: it looks like an identifier ({column.reason}). "
                f"To use it: --set schema.{column.name}=category"
            )


def show_evaluation(evaluation: Evaluation) -> None:
    """Print how well the model and the baselines rank rows and decide by their thresholds, with notes."""
    cut = evaluation.threshold
    tell(evaluation.size_in_words)
    for line in evaluation.seen_in_words:
        tell(line)
    _show_table(ranking(evaluation.results))
    tell(f"\nThreshold {cut.value:.6g} ({cut.chosen_by}). {cut.guarantee_in_words}")
    _show_table(at_threshold(evaluation.results))
    tell(f"\n{counts(evaluation.results[0])}")
    for line in evaluation.caveats:
        tell(line)


def _show_table(shown: Shown) -> None:
    grid = _grid(*shown.headings, right_from=1)
    for line in shown.lines:
        grid.add_row(*line)
    out.print(grid)


def show_explanation(explanation: Explanation) -> None:
    """Print the score, the columns that make the row odd, and the counterfactual of an alert."""
    tell(explanation.score_in_words)
    headings, rows = explanation.table()
    grid = _grid(*headings)
    for row in rows:
        grid.add_row(*row)
    out.print(grid)
    if explanation.is_alert:
        tell(explanation.counterfactual_in_words)


def show_comparison(comparison: Comparison) -> None:
    """Print every classifier after every sampler, and what follows from it."""
    out.print(comparison.to_markdown())


def _grid(*names: str, right_from: int | None = None) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        right = right_from is not None and place >= right_from
        grid.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=place == 0)
    return grid
