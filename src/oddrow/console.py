"""What the command line prints: schemas, evaluations, plain lines."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from oddrow.evaluate.comparison import Comparison
from oddrow.evaluate.protocol import Evaluation, Result
from oddrow.table.schema import Schema

# Without a terminal there is no width to keep to, and a table folded at 80 columns helps nobody.
# Column names are printed as they are: [red] and :apple: mean nothing here.
out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)


def tell(message: Any) -> None:
    """Print a schema, an evaluation, or a line."""
    if isinstance(message, Schema):
        show_schema(message)
    elif isinstance(message, Evaluation):
        show_evaluation(message)
    elif isinstance(message, Comparison):
        show_comparison(message)
    else:
        out.print(message)


def show_schema(schema: Schema) -> None:
    """Every column with its kind and why; then those that are not used, so that nobody misses them."""
    grid = _grid("column", "kind", "missing", "why")
    for column in schema.columns:
        missing = f"{column.n_missing:,}" if column.n_missing else ""
        grid.add_row(column.name, column.kind, missing, column.why, style=None if column.is_feature else "dim")
    out.print(grid)
    for column in schema.columns:
        if column.kind == "identifier":
            tell(
                f"'{column.name}' is not used: an identifier ({column.why}). "
                f"To use it: --set schema.{column.name}=category"
            )


def show_evaluation(evaluation: Evaluation) -> None:
    """The table of results beside the baselines, and what qualifies it."""
    cut = evaluation.threshold
    tell(
        f"{evaluation.n_rows:,} rows, {evaluation.n_anomalies:,} anomalies ({evaluation.rate:.3%}). "
        f"Threshold {cut.value:.6g}: {cut.rule}, chosen on {cut.source} rows."
    )
    ks = list(evaluation.results[0].precision_at)
    names = [f"P@{k}" for k in ks]
    grid = _grid("", "AP", "AUROC", *names, "precision", "recall", "F1", "alerts", right_from=1)
    for result in evaluation.results:
        grid.add_row(*_cells(result, ks))
    out.print(grid)
    first = evaluation.results[0].confusion
    tell(
        f"{evaluation.results[0].name}: {first.true_alerts:,.0f} true alerts, {first.false_alerts:,.0f} false alerts, "
        f"{first.missed:,.0f} missed, {first.passed:,.0f} passed."
    )
    twins = [result for result in evaluation.results if result.name == "untrained twin"]
    if twins and twins[0].average_precision > evaluation.results[0].average_precision:
        tell("The untrained twin ranks these rows better: training did not help here. Look for columns that drift with")
        tell("time or name single rows (--drop), or train less (--set training.epochs=N).")
    for name, share in evaluation.overlap.items():
        if name != "duplicates" and share > 0:
            tell(
                f"About {share:.1%} of the test rows equal a row of the {name} rows "
                f"({evaluation.overlap['duplicates']:.1%} repeat another test row)."
            )
    for note in evaluation.notes:
        tell(note)


def show_comparison(comparison: Comparison) -> None:
    """Every classifier after every sampler, then what that says."""
    out.print(comparison.to_markdown())


def _cells(result: Result, ks: list[int]) -> list[str]:
    at_cut = result.confusion
    numbers = [result.average_precision, result.auroc, *(result.precision_at[k] for k in ks)]
    numbers += [at_cut.precision, at_cut.recall, at_cut.f1]
    return [
        result.name,
        *(f"{number:.3f}" for number in numbers),
        f"{at_cut.true_alerts + at_cut.false_alerts:,.0f}",
    ]


def _grid(*names: str, right_from: int | None = None) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        right = right_from is not None and place >= right_from
        grid.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=place == 0)
    return grid
