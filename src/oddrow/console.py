"""What the command line prints: schemas, evaluations, plain lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from oddrow.evaluate.comparison import Comparison
from oddrow.evaluate.protocol import Evaluation
from oddrow.evaluate.result import K_PER_DAY, K, Result
from oddrow.explain import Explanation
from oddrow.table.schema import Schema

Cell = Callable[[Result], str]

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
    elif isinstance(message, Explanation):
        show_explanation(message)
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
    """The numbers of the ranking and of the cut beside the baselines, and what qualifies them."""
    cut, first = evaluation.threshold, evaluation.results[0]
    tell(f"{evaluation.n_rows:,} rows, {evaluation.n_anomalies:,} anomalies ({evaluation.rate:.3%}).")
    for line in _overlaps(evaluation):
        tell(line)
    _show_table(RANKING, evaluation.results)
    promise = f" It promises: {cut.promise}." if cut.promise else ""
    tell(f"\nThreshold {cut.value:.6g}: {cut.rule}, chosen on {cut.source} rows.{promise}")
    _show_table(AT_CUT, evaluation.results)
    counts = first.confusion
    tell(
        f"\n{first.name}: {counts.true_alerts:,.0f} true alerts, {counts.false_alerts:,.0f} false alerts, "
        f"{counts.missed:,.0f} missed, {counts.passed:,.0f} passed."
    )
    for line in _qualifying(evaluation):
        tell(line)


def _qualifying(evaluation: Evaluation) -> Iterator[str]:
    first = evaluation.results[0]
    if first.daily is not None:
        yield f"{first.daily.n_days:,} days, {first.daily.most_alerts:,.0f} alerts on the busiest one."
    twins = [result for result in evaluation.results if result.name == "untrained twin"]
    if twins and twins[0].average_precision > first.average_precision:
        yield "The untrained twin ranks these rows better: training did not help here. Look for columns that drift with"
        yield "time or name single rows (--drop), or train less (--set training.epochs=N)."
    yield from evaluation.notes
    yield "In brackets: the middle 95 % of draws of the test rows, of whole entities where these are known."


def _overlaps(evaluation: Evaluation) -> Iterator[str]:
    """How many of the test rows were seen before: who reads on must know."""
    for name, share in evaluation.overlap.items():
        if name != "duplicates" and share > 0:
            yield (
                f"About {share:.1%} of the test rows equal a row of the {name} rows "
                f"({evaluation.overlap['duplicates']:.1%} repeat another test row)."
            )


def _show_table(columns: dict[str, Cell], results: Sequence[Result]) -> None:
    """A line for each result; columns that nobody has are left out."""
    cells = {name: [cell(result) for result in results] for name, cell in columns.items()}
    shown = {name: of for name, of in cells.items() if any(of)}
    grid = _grid("", *shown, right_from=1)
    for result, *line in zip(results, *shown.values(), strict=True):
        grid.add_row(result.name, *line)
    out.print(grid)


def show_explanation(explanation: Explanation) -> None:
    """The score beside the cut, then a line for every column that makes the row odd."""
    side = "above" if explanation.is_above else "below"
    cut = f"{explanation.cut:.6g} ({explanation.rule})"
    tell(f"{explanation.named}: score {explanation.score:.6g}, {side} the threshold {cut}.")
    grid = _grid("column", "seen", "expected", "times its usual error", "share of the score", "code")
    for reason in explanation.reasons:
        times = "" if reason.times is None else f"{reason.times:,.2g}"
        grid.add_row(reason.column, reason.seen, reason.expected, times, f"{reason.share:.0%}", reason.code)
    out.print(grid)


def show_comparison(comparison: Comparison) -> None:
    """Every classifier after every sampler, then what that says."""
    out.print(comparison.to_markdown())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _sure(name: str, value: Cell) -> Cell:
    """A number with its interval behind it."""

    def cell(result: Result) -> str:
        found, text = result.intervals.get(name), value(result)
        return text if found is None or not text else f"{text} ({found.low:.3f} to {found.high:.3f})"

    return cell


def _at(k: int) -> Cell:
    """The precision among the k highest scores."""
    return lambda result: _number(result.precision_at.get(k))


def _of_ceiling(found: str, ceiling: str) -> Cell:
    """A daily mean, of what could be reached."""

    def cell(result: Result) -> str:
        daily = result.daily
        if daily is None or getattr(daily, found) is None:
            return ""
        return f"{getattr(daily, found):.3f} of {getattr(daily, ceiling):.3f}"

    return cell


RANKING: dict[str, Cell] = {
    "AP": _sure("average_precision", lambda result: _number(result.average_precision)),
    "AUROC": lambda result: _number(result.auroc),
    "recall at 1 % false alarms": lambda result: _number(result.recall_at_false_alarm_rate),
    **{f"P@{k}": _at(k) for k in K},
    f"P@{K_PER_DAY} a day": _of_ceiling("precision", "ceiling"),
    f"cards, P@{K_PER_DAY} a day": _of_ceiling("card_precision", "card_ceiling"),
}
AT_CUT: dict[str, Cell] = {
    "precision": _sure("precision", lambda result: _number(result.confusion.precision)),
    "recall": _sure("recall", lambda result: _number(result.confusion.recall)),
    "F1": lambda result: _number(result.confusion.f1),
    "alerts": lambda result: f"{result.confusion.true_alerts + result.confusion.false_alerts:,.0f}",
    "a day": lambda result: "" if result.daily is None else f"{result.daily.alerts:,.1f}",
    "value caught": _sure("value_caught", lambda result: _number(result.value_caught)),
}


def _grid(*names: str, right_from: int | None = None) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        right = right_from is not None and place >= right_from
        grid.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=place == 0)
    return grid
