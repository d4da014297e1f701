"""An evaluation that refuses to flatter: a detector beside its baselines on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError
from oddrow.evaluate.intervals import FALSE_ALARM_RATE, Interval, daily_interval, ranking_intervals
from oddrow.metrics.classification import Confusion, confusion, value_caught
from oddrow.metrics.daily import alerts_per_day, card_precision_at_k, precision_at_k_per_day
from oddrow.metrics.ranking import auroc, average_precision, precision_at_k, recall_at_false_alarm_rate
from oddrow.outcomes import Outcomes
from oddrow.structure import to_plain
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Floats, Mask

# An entity with a larger share of the rows than this decides most draws of entities.
CROWD = 0.2

# More of the rows than this among those that chose a threshold, and they are taken for the same ones.
NEARLY_ALL = 0.95

MOST_REPEATED = 0.5


@dataclass(frozen=True)
class HeldOutSet:
    """The rows to decide on and measure: what is known of them, content hashes (n,), and which are synthetic."""

    outcomes: Outcomes
    hashes: npt.NDArray[np.uint64]
    synthetic: Mask

    def check(self, threshold: Threshold) -> None:
        """Raise `EvaluationError` for synthetic rows, or a threshold that was chosen on these very rows."""
        if self.synthetic.any():
            raise EvaluationError(
                f"{int(self.synthetic.sum()):,} of {len(self.synthetic):,} test rows are synthetic "
                "(oddrow_synthetic is true). Test on real rows only."
            )
        mark = threshold.fingerprint
        if mark is not None and self._has_chosen(mark):
            raise EvaluationError(
                f"the threshold ({threshold.rule}) was chosen on these very rows, {mark.n_rows:,} of them. "
                "Evaluate on rows that chose nothing."
            )

    def _has_chosen(self, mark: Fingerprint) -> bool:
        """Whether the marked rows are these, their normal or their labelled ones, or nearly so.

        Where many rows repeat each other, other rows look the same, and only equality tells.
        """
        parts = (self.hashes, self.hashes[self.outcomes.normal], self.hashes[self.outcomes.labelled])
        if any(mark.is_of(part) for part in parts):
            return True
        repeats = self.duplicate_share > MOST_REPEATED
        return not repeats and any(mark.overlap(part) > NEARLY_ALL for part in parts if len(part))

    @cached_property
    def labelled(self) -> Outcomes:
        """The outcomes of the labelled rows."""
        return self.outcomes.take(self.outcomes.labelled)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of these rows: days without any, an entity that holds many."""
        return [*self._gaps(), *self._crowds()]

    def _gaps(self) -> Iterator[str]:
        if (day := self.outcomes.day) is not None:
            n_days, n_with_rows = int(np.ptp(day)) + 1, len(np.unique(day))
            if n_with_rows < n_days:
                yield f"{n_days - n_with_rows:,} of {n_days:,} days have no rows; they count as days without alerts."

    def _crowds(self) -> Iterator[str]:
        if (entity := self.outcomes.entity) is not None:
            share = np.unique(entity, return_counts=True)[1].max() / len(entity)
            if share > CROWD:
                yield f"One entity holds {share:.0%} of the rows: intervals by entity say little of others."

    @cached_property
    def duplicate_share(self) -> float:
        """Share of the rows that repeat another one."""
        return 1 - len(np.unique(self.hashes)) / len(self.hashes)


K = (10, 100, 1000)

# What a small team can look at in a day.
K_PER_DAY = 100

AT_CUT = ("precision", "recall", "f1", "value_caught")


@dataclass(frozen=True)
class Daily:
    """Means over the days: alerts, and the share of anomalies among the 100 highest rows, or cards, of a day.

    `ceiling` and `card_ceiling` are what a perfect ranking would reach: few days have 100 anomalies.
    """

    n_days: int
    alerts: float
    most_alerts: float
    precision: float | None = None
    ceiling: float | None = None
    card_precision: float | None = None
    card_ceiling: float | None = None


@dataclass(frozen=True)
class Result:
    """The numbers of one scorer. `precision_at` maps k to the precision among the k highest scores.

    `recall_at_false_alarm_rate` is the recall at a false alarm rate of 1 %; `value_caught` the share of the anomalies'
    amount that is in alerts, where amounts are known; `daily` is there where times are. `intervals` are 95 % intervals
    of these by the test rows, by their names, where they were asked for.
    """

    name: str
    average_precision: float
    auroc: float
    recall_at_false_alarm_rate: float
    precision_at: dict[int, float]
    threshold: float
    confusion: Confusion
    value_caught: float | None = None
    daily: Daily | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        at_cut = {name: getattr(self.confusion, name) for name in ("precision", "recall", "f1")}
        bounds = {name: [found.low, found.high] for name, found in self.intervals.items()}
        return {**asdict(self), **at_cut, "intervals": bounds}


def measure(name: str, test: HeldOutSet, scores: Floats, threshold: Threshold, *, intervals: bool = False) -> Result:
    """Measure scores (n,) and a threshold on the test rows; by card where the rows' entity is known.

    All rows are decided on, those with a label are measured. Raises `EvaluationError` where scores are not finite, and
    as `HeldOut.check` does.
    """
    test.check(threshold)
    if not np.isfinite(scores).all():
        raise EvaluationError(f"{name}: {int((~np.isfinite(scores)).sum()):,} scores are not finite.")
    rows, known = test.outcomes, test.outcomes.labelled
    alerts = threshold.alerts(scores, rows.time, rows.entity)
    counts = None if rows.day is None else alerts_per_day(alerts, day=rows.day, sample_weight=rows.weight)
    return _of_labelled(name, test.labelled, scores[known], alerts[known], counts, threshold, intervals)


def _of_labelled(
    name: str,
    rows: Outcomes,
    scores: Floats,
    alerts: Mask,
    counts: Floats | None,
    threshold: Threshold,
    intervals: bool,
) -> Result:
    """The numbers of rows whose labels are known, beside the alerts of every day among all rows."""
    y, weight, total = rows.labels, rows.weight, rows.weights.sum()
    return Result(
        name,
        average_precision(y, scores, sample_weight=weight),
        auroc(y, scores, sample_weight=weight),
        recall_at_false_alarm_rate(y, scores, rate=FALSE_ALARM_RATE, sample_weight=weight),
        {k: precision_at_k(y, scores, k=k, sample_weight=weight) for k in K if k <= total},
        threshold.value,
        confusion(y, alerts, sample_weight=weight),
        None if rows.amount is None else value_caught(y, alerts, amount=rows.amount, sample_weight=weight),
        None if counts is None else _daily(rows, scores, counts),
        _intervals(rows, scores, alerts, threshold) if intervals else {},
    )


def _daily(rows: Outcomes, scores: Floats, counts: Floats) -> Daily:
    numbers = len(counts), float(counts.mean()), float(counts.max())
    # Where rows stand for others, a hundred of them are no day's work.
    if rows.weight is not None or rows.day is None:
        return Daily(*numbers)
    found = precision_at_k_per_day(rows.labels, scores, day=rows.day, k=K_PER_DAY)
    if rows.entity is None:
        return Daily(*numbers, found.mean, found.mean_ceiling)
    cards = card_precision_at_k(rows.labels, scores, day=rows.day, entity=rows.entity, k=K_PER_DAY)
    return Daily(*numbers, found.mean, found.mean_ceiling, cards.mean, cards.mean_ceiling)


def _intervals(rows: Outcomes, scores: Floats, alerts: Mask, threshold: Threshold) -> dict[str, Interval]:
    known: dict[str, Any] = {"weight": rows.weight, "amount": rows.amount, "entity": rows.entity}
    found = {**ranking_intervals(rows.labels, scores, cut=threshold.value, **known), **_daily_intervals(rows, scores)}
    if threshold.cap is None and threshold.discoveries is None:
        return found
    # Not every row that reaches the value is an alert.
    at_cut = ranking_intervals(rows.labels, alerts.astype(np.float64), cut=0.5, **known)
    return {**found, **{name: at_cut[name] for name in AT_CUT if name in at_cut}}


def _daily_intervals(rows: Outcomes, scores: Floats) -> dict[str, Interval]:
    """The daily precisions with their intervals by the days, where there are several."""
    if rows.day is None or rows.weight is not None or np.ptp(rows.day) == 0:
        return {}
    found = {"daily_precision": precision_at_k_per_day(rows.labels, scores, day=rows.day, k=K_PER_DAY)}
    if rows.entity is not None:
        found["daily_card_precision"] = card_precision_at_k(
            rows.labels, scores, day=rows.day, entity=rows.entity, k=K_PER_DAY
        )
    return {name: daily_interval(daily.values) for name, daily in found.items()}


@dataclass(frozen=True)
class Evaluation:
    """A detector beside its baselines on the same rows, with what a reader must know to believe it."""

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
        test: HeldOutSet,
        threshold: Threshold,
        results: tuple[Result, ...],
        seen: Mapping[str, Fingerprint | None],
        notes: tuple[str, ...] = (),
    ) -> Evaluation:
        """Put together; `seen` maps what was chosen to the fingerprint of the rows it was chosen on."""
        overlap = {name: mark.overlap(test.hashes) for name, mark in seen.items() if mark is not None}
        overlap["duplicates"] = test.duplicate_share
        labelled = test.labelled
        rate = float(np.average(labelled.labels, weights=labelled.weight))
        return cls(len(test.outcomes), int(labelled.labels.sum()), rate, threshold, results, overlap, notes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n_rows": self.n_rows,
            "n_anomalies": self.n_anomalies,
            "rate": self.rate,
            "threshold": to_plain(self.threshold.without_rows),
            "results": [result.to_dict() for result in self.results],
            "overlap": dict(self.overlap),
            "notes": list(self.notes),
        }
