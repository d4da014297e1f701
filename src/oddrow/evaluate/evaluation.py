"""`Evaluation`: a detector and its baselines on the same test rows, with what limits the conclusions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from oddrow.display import html_table, text_table
from oddrow.errors import counted
from oddrow.evaluate.result import K_PER_DAY, K, Result, TestSet
from oddrow.structure import to_plain
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Threshold

Cell = Callable[[Result], str]


class Shown(NamedTuple):
    """A table of texts: headings, and lines of cells that each begin with a name."""

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

# Names of scorers that evaluations comment on.
UNTRAINED_COPY, FOREST_WITH_LABELS = "untrained copy", "forest with labels"

COPY_IS_BETTER = (
    "The untrained copy ranks these rows better: training did not help here. Look for columns that drift with "
    "time or name single rows (--drop), or train less (--set training.epochs=N)."
)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a detector and its baselines on the same test rows.

    It shows itself as text when printed and as tables in a notebook.

    Parameters
    ----------
    n_rows : int
        Number of test rows.
    n_anomalies : int
        Number of known anomalies among them.
    rate : float
        Share of anomalies among the labelled rows, weighted.
    threshold : Threshold
        The detector's threshold.
    results : tuple of Result
        The detector first, then the baselines.
    overlap : dict of str to float
        Share of the test rows seen before, by what was done with them (`threshold`, `training`), and the share of
        `duplicates` within the test rows.
    notes : tuple of str, default=()
        What else limits the conclusions, as sentences.

    See Also
    --------
    oddrow.evaluate.measure : Measure a single scorer.
    oddrow.workflow.evaluate : Evaluate a saved model on a table.

    Examples
    --------
    >>> from oddrow.evaluate import measure
    >>> from oddrow.outcomes import Outcomes
    >>> test = TestSet(Outcomes(y=np.array([1.0, 0.0])), np.arange(2, dtype=np.uint64), np.zeros(2, bool))
    >>> threshold = Threshold(5.0, "fixed:5")
    >>> result = measure("amount", test, np.array([9.0, 1.0]), threshold)
    >>> print(str(Evaluation.of(test, threshold, (result,), {})).splitlines()[0])
    2 rows, 1 anomaly (50 %).
    """

    n_rows: int
    n_anomalies: int
    rate: float
    threshold: Threshold
    results: tuple[Result, ...]
    overlap: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        test: TestSet,
        threshold: Threshold,
        results: tuple[Result, ...],
        seen: Mapping[str, Fingerprint | None],
        notes: tuple[str, ...] = (),
    ) -> Evaluation:
        """Put results together and look for test rows seen before.

        Parameters
        ----------
        test : TestSet
            The test rows.
        threshold : Threshold
            The detector's threshold.
        results : tuple of Result
            The detector first, then the baselines.
        seen : dict of str to Fingerprint
            Identity of the rows seen before, by what was done with them.
        notes : tuple of str, default=()
            What else limits the conclusions, as sentences.

        Returns
        -------
        Evaluation
            The evaluation.
        """
        overlap = {name: mark.overlap(test.hashes) for name, mark in seen.items() if mark is not None}
        overlap["duplicates"] = test.duplicate_share
        labelled = test.labelled
        rate = float(np.average(labelled.labels, weights=labelled.weight))
        return cls(len(test.outcomes), int(labelled.labels.sum()), rate, threshold, results, overlap, notes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Returns
        -------
        dict
            All fields; the threshold without the rows that chose it.
        """
        return {
            "n_rows": self.n_rows,
            "n_anomalies": self.n_anomalies,
            "rate": self.rate,
            "threshold": to_plain(self.threshold.without_rows),
            "results": [result.to_dict() for result in self.results],
            "overlap": dict(self.overlap),
            "notes": list(self.notes),
        }

    @property
    def size_in_words(self) -> str:
        """How many rows and anomalies were measured."""
        rows, anomalies = counted(self.n_rows, "row"), "anomaly" if self.n_anomalies == 1 else "anomalies"
        return f"{rows}, {self.n_anomalies:,} {anomalies} ({100 * self.rate:.3g} %)."

    @property
    def seen_in_words(self) -> list[str]:
        """Sentences on test rows that were seen before."""
        duplicates = f"({self.overlap['duplicates']:.1%} repeat another test row)"
        return [
            f"About {share:.1%} of the test rows equal one of the {name} rows {duplicates}."
            for name, share in self.overlap.items()
            if name != "duplicates" and share > 0
        ]

    @property
    def caveats(self) -> list[str]:
        """Sentences on what limits the conclusions."""
        return list(self._caveats())

    def _caveats(self) -> Iterator[str]:
        first = self.results[0]
        if first.daily is not None:
            days = counted(first.daily.n_days, "day")
            yield f"{days}, {first.daily.most_alerts:,.0f} alerts on the busiest day."
        copies = [result for result in self.results if result.name == UNTRAINED_COPY]
        if copies and copies[0].average_precision > first.average_precision:
            yield COPY_IS_BETTER
        yield from self.notes
        if any(result.intervals for result in self.results):
            yield "In brackets: 95 % bootstrap intervals over the test rows, or over whole entities if they are known."

    def _before(self) -> list[str]:
        return [self.size_in_words, *self.seen_in_words]

    def _after(self) -> list[str]:
        return [str(self.threshold), counts(self.results[0]), *self.caveats]

    def __str__(self) -> str:
        tables = [text_table(*ranking(self.results)), "", text_table(*at_threshold(self.results)), ""]
        return "\n".join([*self._before(), "", *tables, *self._after()])

    def _repr_html_(self) -> str:
        tables = [
            html_table(*ranking(self.results), caption=" ".join(self._before())),
            html_table(*at_threshold(self.results), caption="At the threshold", note="\n".join(self._after())),
        ]
        return "".join(tables)
