"""An evaluation in words and tables, as the command line prints it and a report shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from oddrow.evaluate.evaluation import K_PER_DAY, Evaluation, K, Result

Cell = Callable[[Result], str]

TWIN_IS_BETTER = (
    "The untrained copy ranks these rows better: training did not help here. Look for columns that drift with "
    "time or name single rows (--drop), or train less (--set training.epochs=N)."
)


class Shown(NamedTuple):
    """A table of texts: headings, and as many cells in each line, the first of which names it."""

    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def ranking(results: Sequence[Result]) -> Shown:
    """How well each scorer ranks the rows."""
    return _shown(RANKING, results)


def at_cut(results: Sequence[Result]) -> Shown:
    """What each scorer's cut gives."""
    return _shown(AT_CUT, results)


def counts(result: Result) -> str:
    """What became of the rows."""
    found = result.confusion
    return (
        f"{result.name}: {found.true_alerts:,.0f} true alerts, {found.false_alerts:,.0f} false alerts, "
        f"{found.missed:,.0f} missed, {found.passed:,.0f} passed."
    )


def qualifying(evaluation: Evaluation) -> Iterator[str]:
    """What a reader must know to believe the numbers, sentence by sentence."""
    first = evaluation.results[0]
    if first.daily is not None:
        yield f"{first.daily.n_days:,} days, {first.daily.most_alerts:,.0f} alerts on the busiest one."
    copies = [result for result in evaluation.results if result.name == "untrained copy"]
    if copies and copies[0].average_precision > first.average_precision:
        yield TWIN_IS_BETTER
    yield from evaluation.notes
    yield "In brackets: the middle 95 % of draws of the test rows, of whole entities where these are known."


def overlaps(evaluation: Evaluation) -> Iterator[str]:
    """How many of the test rows were seen before: who reads on must know."""
    for name, share in evaluation.overlap.items():
        if name != "duplicates" and share > 0:
            yield (
                f"About {share:.1%} of the test rows equal a row of the {name} rows "
                f"({evaluation.overlap['duplicates']:.1%} repeat another test row)."
            )


def _shown(columns: dict[str, Cell], results: Sequence[Result]) -> Shown:
    """A line for each result; columns that nobody has are left out."""
    cells = {name: [cell(result) for result in results] for name, cell in columns.items()}
    shown = {name: of for name, of in cells.items() if any(of)}
    names = [result.name for result in results]
    return Shown(("", *shown), tuple(zip(names, *shown.values(), strict=True)))


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
