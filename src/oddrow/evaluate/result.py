"""`Result`: the numbers of one scorer, of its ranking and at its cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError
from oddrow.evaluate.bootstrap import Interval
from oddrow.evaluate.daily import alerts_per_day, card_precision_at_k, precision_at_k_per_day
from oddrow.evaluate.held_out import HeldOut
from oddrow.evaluate.intervals import FALSE_ALARM_RATE, daily_interval, ranking_intervals
from oddrow.evaluate.metrics import (
    Confusion,
    auroc,
    average_precision,
    confusion,
    precision_at,
    recall_at_false_alarm_rate,
    value_caught,
)
from oddrow.thresholds.threshold import Threshold

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

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


def measure(name: str, test: HeldOut, scores: Floats, threshold: Threshold, *, intervals: bool = False) -> Result:
    """Measure scores (n,) and a threshold on the test rows; by card where the rows' entity is known.

    All rows are decided on, those with a label are measured. Raises `EvaluationError` where scores are not finite, and
    as `HeldOut.check` does.
    """
    test.check(threshold)
    if not np.isfinite(scores).all():
        raise EvaluationError(f"{name}: {int((~np.isfinite(scores)).sum()):,} scores are not finite.")
    alerts = threshold.alerts(scores, test.time, test.entity)
    counts = None if test.day is None else alerts_per_day(alerts, test.day, test.weight)
    known = ~np.isnan(test.y)
    return _of_labelled(name, test.labelled, scores[known], alerts[known], counts, threshold, intervals)


def _of_labelled(
    name: str,
    test: HeldOut,
    scores: Floats,
    alerts: Mask,
    counts: Floats | None,
    threshold: Threshold,
    intervals: bool,
) -> Result:
    """The numbers of rows whose labels are known, beside the alerts of every day among all rows."""
    total = len(test.y) if test.weight is None else test.weight.sum()
    return Result(
        name,
        average_precision(test.y, scores, test.weight),
        auroc(test.y, scores, test.weight),
        recall_at_false_alarm_rate(FALSE_ALARM_RATE, test.y, scores, test.weight),
        {k: precision_at(k, test.y, scores, test.weight) for k in K if k <= total},
        threshold.value,
        confusion(test.y, alerts, test.weight),
        None if test.amount is None else value_caught(test.y, alerts, test.amount, test.weight),
        None if counts is None else _daily(test, scores, counts),
        _intervals(test, scores, alerts, threshold) if intervals else {},
    )


def _daily(test: HeldOut, scores: Floats, counts: Floats) -> Daily:
    numbers = len(counts), float(counts.mean()), float(counts.max())
    # Where rows stand for others, a hundred of them are no day's work.
    if test.weight is not None or test.day is None:
        return Daily(*numbers)
    rows = precision_at_k_per_day(K_PER_DAY, test.y, scores, test.day)
    if test.entity is None:
        return Daily(*numbers, rows.mean, rows.mean_ceiling)
    cards = card_precision_at_k(K_PER_DAY, test.y, scores, test.day, test.entity)
    return Daily(*numbers, rows.mean, rows.mean_ceiling, cards.mean, cards.mean_ceiling)


def _intervals(test: HeldOut, scores: Floats, alerts: Mask, threshold: Threshold) -> dict[str, Interval]:
    known: dict[str, Any] = {"weight": test.weight, "amount": test.amount, "entity": test.entity}
    found = {**ranking_intervals(test.y, scores, cut=threshold.value, **known), **_daily_intervals(test, scores)}
    if threshold.cap is None and threshold.discoveries is None:
        return found
    # Not every row that reaches the value is an alert.
    at_cut = ranking_intervals(test.y, alerts.astype(np.float64), cut=0.5, **known)
    return {**found, **{name: at_cut[name] for name in AT_CUT if name in at_cut}}


def _daily_intervals(test: HeldOut, scores: Floats) -> dict[str, Interval]:
    """The daily precisions with their intervals by the days, where there are several."""
    if test.day is None or test.weight is not None or np.ptp(test.day) == 0:
        return {}
    found = {"daily_precision": precision_at_k_per_day(K_PER_DAY, test.y, scores, test.day)}
    if test.entity is not None:
        found["daily_card_precision"] = card_precision_at_k(K_PER_DAY, test.y, scores, test.day, test.entity)
    return {name: daily_interval(daily.values) for name, daily in found.items()}
