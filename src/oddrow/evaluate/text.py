"""Results as tables of texts, as the command line, a notebook and a report show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from oddrow.evaluate.result import K_PER_DAY, K, Result

Cell = Callable[[Result], str]


class Shown(NamedTuple):
    """A table of texts: the headings and the cells of each line, the first of which is its name."""

    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def ranking(results: Sequence[Result]) -> Shown:
    """Return the metrics of each ranking."""
    return _shown(RANKING, results)


def at_threshold(results: Sequence[Result]) -> Shown:
    """Return the metrics of each scorer's alerts."""
    return _shown(AT_THRESHOLD, results)


def counts(result: Result) -> str:
    """Return the confusion matrix in a sentence."""
    found = result.confusion
    return (
        f"{result.name}: {found.true_alerts:,.0f} true alerts, {found.false_alerts:,.0f} false alerts, "
        f"{found.missed:,.0f} missed, {found.passed:,.0f} passed."
    )


def _shown(columns: dict[str, Cell], results: Sequence[Result]) -> Shown:
    """Return a line for each result; columns without any value are left out."""
    cells = {name: [cell(result) for result in results] for name, cell in columns.items()}
    shown = {name: of for name, of in cells.items() if any(of)}
    names = [result.name for result in results]
    return Shown(("", *shown), tuple(zip(names, *shown.values(), strict=True)))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _with_interval(name: str, value: Cell) -> Cell:
    """Return a cell with a number and its interval."""

    def cell(result: Result) -> str:
        found, text = result.intervals.get(name), value(result)
        return text if found is None or not text else f"{text} ({found.low:.3f} to {found.high:.3f})"

    return cell


def _precision_at(k: int) -> Cell:
    """Return a cell with the precision at k."""
    return lambda result: _number(result.precision_at.get(k))


def _of_ceiling(found: str, ceiling: str) -> Cell:
    """Return a cell with a daily mean and what a perfect ranking would reach."""

    def cell(result: Result) -> str:
        daily = result.daily
        if daily is None or getattr(daily, found) is None:
            return ""
        return f"{getattr(daily, found):.3f} of {getattr(daily, ceiling):.3f}"

    return cell


RANKING: dict[str, Cell] = {
    "AP": _with_interval("average_precision", lambda result: _number(result.average_precision)),
    "AUROC": lambda result: _number(result.auroc),
    "recall at 1 % false alarms": lambda result: _number(result.recall_at_false_alarm_rate),
    **{f"P@{k}": _precision_at(k) for k in K},
    f"P@{K_PER_DAY} a day": _of_ceiling("precision", "ceiling"),
    f"cards, P@{K_PER_DAY} a day": _of_ceiling("card_precision", "card_ceiling"),
}

AT_THRESHOLD: dict[str, Cell] = {
    "precision": _with_interval("precision", lambda result: _number(result.confusion.precision)),
    "recall": _with_interval("recall", lambda result: _number(result.confusion.recall)),
    "F1": lambda result: _number(result.confusion.f1),
    "alerts": lambda result: f"{result.confusion.true_alerts + result.confusion.false_alerts:,.0f}",
    "a day": lambda result: "" if result.daily is None else f"{result.daily.alerts:,.1f}",
    "value caught": _with_interval("value_caught", lambda result: _number(result.value_caught)),
}
