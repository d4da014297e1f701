"""`measure`: one scorer on test rows that it has not seen, as a `Result`."""

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
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Floats, Mask

# An entity with more than this share of the rows decides most draws of entities.
CROWD = 0.2

# If more than this share of the rows chose the threshold, treat them as the same rows.
NEARLY_ALL = 0.95

# If more rows than this repeat another one, overlap is no evidence of the same rows.
MOST_REPEATED = 0.5

K = (10, 100, 1000)
# What a small team can look at in a day.
K_PER_DAY = 100
AT_THRESHOLD = ("precision", "recall", "f1", "value_caught")


@dataclass(frozen=True)
class TestSet:
    """Rows to measure on, with checks that they have not been seen before.

    Parameters
    ----------
    outcomes : Outcomes
        What is known of the rows; those without a label are decided on, not measured.
    hashes : ndarray of uint64, shape (n,)
        A hash of the features of each row.
    synthetic : ndarray of bool, shape (n,)
        Mask of the rows made by a sampler.

    See Also
    --------
    measure : Measure a scorer on these rows.

    Examples
    --------
    >>> outcomes = Outcomes(y=np.array([1.0, 0.0, np.nan]))
    >>> test = TestSet(outcomes, np.arange(3, dtype=np.uint64), np.zeros(3, bool))
    >>> test.labelled.n_rows
    2
    """

    # pytest would collect a class of this name.
    __test__ = False

    outcomes: Outcomes
    hashes: npt.NDArray[np.uint64]
    synthetic: Mask

    def check(self, threshold: Threshold) -> None:
        """Check that the rows are real and did not choose the threshold.

        Parameters
        ----------
        threshold : Threshold
            The threshold to measure.

        Raises
        ------
        EvaluationError
            If rows are synthetic, or the threshold was chosen on these very rows.
        """
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
        """Return whether the marked rows are (nearly) all of these, or their normal or labelled ones."""
        parts = (self.hashes, self.hashes[self.outcomes.normal], self.hashes[self.outcomes.labelled])
        if any(mark.is_of(part) for part in parts):
            return True
        # If many rows repeat each other, different samples overlap, and only equality is evidence.
        repeats = self.duplicate_share > MOST_REPEATED
        return not repeats and any(mark.overlap(part) > NEARLY_ALL for part in parts if len(part))

    @cached_property
    def labelled(self) -> Outcomes:
        """The outcomes of the labelled rows."""
        return self.outcomes.take(self.outcomes.labelled)

    @property
    def notes(self) -> list[str]:
        """Sentences on days without rows and on an entity with many rows."""
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
                yield f"One entity holds {share:.0%} of the rows: intervals by entity say little about the others."

    @cached_property
    def duplicate_share(self) -> float:
        """Share of the rows that repeat another row."""
        return 1 - len(np.unique(self.hashes)) / len(self.hashes)


@dataclass(frozen=True)
class Daily:
    """Means over the days of the test rows.

    Parameters
    ----------
    n_days : int
        Number of days from the first to the last.
    alerts, most_alerts : float
        Alerts on an average day and on the busiest day.
    precision, ceiling : float, optional
        Share of anomalies among the 100 highest scores of a day, and what a perfect ranking would reach.
    card_precision, card_ceiling : float, optional
        The same for the cards, or other entities, of a day.

    Examples
    --------
    >>> Daily(n_days=7, alerts=38.2, most_alerts=40).alerts
    38.2
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
    """Metrics of one scorer on labelled test rows.

    Parameters
    ----------
    name : str
        Name of the scorer.
    average_precision, auroc : float
        Quality of the ranking.
    recall_at_false_alarm_rate : float
        Recall at a false-alarm rate of 1 %.
    precision_at : dict of int to float
        Precision among the k highest scores, for k of 10, 100 and 1,000 as far as there are rows.
    threshold : float
        Value from which scores are alerts.
    confusion : Confusion
        Counts of alerts against labels.
    value_caught : float, optional
        Share of the anomalies' amount that is in alerts, if amounts are known.
    daily : Daily, optional
        Means over the days, if times are known.
    intervals : dict of str to Interval, optional
        95 % intervals by metric.

    See Also
    --------
    measure : Measure a scorer.

    Examples
    --------
    >>> test = TestSet(Outcomes(y=np.array([1.0, 0.0])), np.arange(2, dtype=np.uint64), np.zeros(2, bool))
    >>> result = measure("amount", test, np.array([9.0, 1.0]), Threshold(5.0, "fixed:5"))
    >>> result.auroc, result.confusion.recall
    (1.0, 1.0)
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
        """Return plain values for JSON.

        Returns
        -------
        dict
            The fields, with precision, recall and F1, and intervals as `[low, high]`.
        """
        at_threshold = {name: getattr(self.confusion, name) for name in ("precision", "recall", "f1")}
        bounds = {name: [found.low, found.high] for name, found in self.intervals.items()}
        return {**asdict(self), **at_threshold, "intervals": bounds}


def measure(name: str, test: TestSet, scores: Floats, threshold: Threshold, *, intervals: bool = False) -> Result:
    """Measure scores and a threshold on test rows.

    Parameters
    ----------
    name : str
        Name of the scorer.
    test : TestSet
        Test rows; all are decided on, those with a label are measured.
    scores : ndarray of float64, shape (n,)
        Scores of the rows, higher is odder.
    threshold : Threshold
        Decides which rows are alerts.
    intervals : bool, default=False
        Whether to add 95 % intervals, by entity if entities are known.

    Returns
    -------
    Result
        The metrics.

    Raises
    ------
    EvaluationError
        If scores are not finite, a class is missing, rows are synthetic, or they chose the threshold.

    Examples
    --------
    >>> test = TestSet(Outcomes(y=np.array([1.0, 0.0])), np.arange(2, dtype=np.uint64), np.zeros(2, bool))
    >>> measure("amount", test, np.array([9.0, 1.0]), Threshold(5.0, "fixed:5")).average_precision
    1.0
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
    """Measure labelled rows; `counts` (days,) are the alerts of each day among all rows."""
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
    # Rows that stand for several others are not a day's work one by one.
    if rows.weight is not None or rows.day is None:
        return Daily(*numbers)
    found = precision_at_k_per_day(rows.labels, scores, day=rows.day, k=K_PER_DAY)
    if rows.entity is None:
        return Daily(*numbers, found.mean, found.mean_ceiling)
    cards = card_precision_at_k(rows.labels, scores, day=rows.day, entity=rows.entity, k=K_PER_DAY)
    return Daily(*numbers, found.mean, found.mean_ceiling, cards.mean, cards.mean_ceiling)


def _intervals(rows: Outcomes, scores: Floats, alerts: Mask, threshold: Threshold) -> dict[str, Interval]:
    known: dict[str, Any] = {"weight": rows.weight, "amount": rows.amount, "entity": rows.entity}
    found = {
        **ranking_intervals(rows.labels, scores, threshold=threshold.value, **known),
        **_daily_intervals(rows, scores),
    }
    if threshold.cap is None and threshold.discoveries is None:
        return found
    # Some rows that reach the value are not alerts.
    at_threshold = ranking_intervals(rows.labels, alerts.astype(np.float64), threshold=0.5, **known)
    return {**found, **{name: at_threshold[name] for name in AT_THRESHOLD if name in at_threshold}}


def _daily_intervals(rows: Outcomes, scores: Floats) -> dict[str, Interval]:
    """Return the daily precisions with their intervals, if there are several days."""
    if rows.day is None or rows.weight is not None or np.ptp(rows.day) == 0:
        return {}
    found = {"daily_precision": precision_at_k_per_day(rows.labels, scores, day=rows.day, k=K_PER_DAY)}
    if rows.entity is not None:
        found["daily_card_precision"] = card_precision_at_k(
            rows.labels, scores, day=rows.day, entity=rows.entity, k=K_PER_DAY
        )
    return {name: daily_interval(daily.values) for name, daily in found.items()}
