"""Bootstrap intervals for the metrics of a ranking and of a threshold, by rows or by whole entities.

Rows are sorted once, not for every draw. Ranking metrics depend only on how many normal rows score between one anomaly
and the next. So all rows between two anomalies form one level, and a draw is the weight of each class in each level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError, check_number, counted
from oddrow.metrics.classification import Confusion, check_amounts, check_both_classes, confusion, value_caught
from oddrow.metrics.ranking import auroc, average_precision, recall_at_false_alarm_rate
from oddrow.typing import Floats, Ints

LEVEL = 0.95
FALSE_ALARM_RATE = 0.01

N_DRAWS = 400
N_RANKING_DRAWS = 200
# Means over days are cheap to draw.
N_DRAWS_OF_DAYS = 2000

# Draws are processed in batches of this size to limit memory.
DRAWS_AT_ONCE = 50

# If anomalies have more distinct scores than this, neighbouring scores are merged. That changes a draw by less than
# 1 / MOST_LEVELS.
MOST_LEVELS = 20_000

# A draw: how often each anomaly was drawn, (anomalies,), and the weight of the normal rows in each level, (levels,).
Draw = tuple[Ints, Floats]


class Interval(NamedTuple):
    """A metric with its 95 % interval.

    Parameters
    ----------
    value : float
        The metric on the rows as they are.
    low, high : float
        Ends of the interval.

    Examples
    --------
    >>> Interval(0.5, 0.4, 0.6).high
    0.6
    """

    value: float
    low: float
    high: float


def draws_of_rows(y: Floats, seed: int, n_draws: int = N_DRAWS) -> npt.NDArray[np.uint8]:
    """Return how often each row is drawn, (n_draws, n). Classes are drawn separately, so that none is ever missing."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n_draws, len(y)), np.uint8)
    for rows in (np.flatnonzero(y == label) for label in np.unique(y)):
        for draw in drawn:
            draw[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
    return drawn


def average_precisions(
    y: Floats, scores: Floats, weight: Floats | None, draws: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Return the average precision of each draw (n_draws, n), as (n_draws,); NaN for a draw without anomalies.

    The numbers equal scikit-learn's, but the rows are sorted only once.

    >>> average_precisions(np.array([1.0, 0.0]), np.array([0.1, 0.9]), None, np.array([[1, 1], [2, 1]], np.uint8))
    array([0.5       , 0.66666667])
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    base = np.ones(len(y)) if weight is None else weight
    parts = np.array_split(draws, -(-len(draws) // DRAWS_AT_ONCE))
    return np.concatenate([_sorted_average_precisions(y[order], ends, part[:, order] * base[order]) for part in parts])


def _sorted_average_precisions(y: Floats, ends: npt.NDArray[np.int64], weights: Floats) -> Floats:
    """Return average precisions for weights (draws, n) of rows sorted by falling score; ties end at `ends`."""
    alerts = np.cumsum(weights, axis=1)[:, ends]
    found = np.cumsum(weights * y, axis=1)[:, ends]
    precision = np.divide(found, alerts, out=np.zeros_like(found), where=alerts > 0)
    steps = np.diff(found, axis=1, prepend=0)
    total, n_found = (precision * steps).sum(axis=1), found[:, -1]
    average: Floats = np.divide(total, n_found, out=np.full(len(total), np.nan), where=n_found > 0)
    return average


def interval(value: float, draws: Floats) -> Interval:
    """Return a value with the interval that its draws (n_draws,) give."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def p_value(draws: Floats) -> float:
    """Return the two-sided p-value of a difference from its draws (n_draws,)."""
    n_draws = len(draws)
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (beyond + 1) / (n_draws + 1)))


def ranking_intervals(
    y: Floats,
    scores: Floats,
    *,
    threshold: float,
    weight: Floats | None = None,
    amount: Floats | None = None,
    entity: Ints | None = None,
    seed: int = 0,
    n_draws: int = N_RANKING_DRAWS,
) -> dict[str, Interval]:
    """Return the metrics of a ranking and of a threshold, each with its 95 % bootstrap interval.

    y, scores, weight and amount are (n,). Without entities, rows are drawn, each class separately, so that the share of
    anomalies stays the same. With entity codes (n,), whole entities are drawn, because the rows of a card are not
    independent; a draw without one of the classes is repeated. A metric that is equal in all draws gets an interval of
    width 0. The keys are average_precision, auroc, precision, recall, f1, recall_at_false_alarm_rate (at most 1 %), and
    value_caught if amounts are given.

    Raises `EvaluationError` if a class is missing, a score is not finite, an amount is negative or not finite, or there
    is only one entity. A million rows take one second with equal weights, two otherwise.

    >>> y, scores = np.array([1.0, 0, 1, 0, 0, 0]), np.array([6.0, 5, 4, 3, 2, 1])
    >>> ranking_intervals(y, scores, threshold=5)["precision"].value
    0.5
    """
    check_number("n_draws", n_draws, 1, whole=True)
    check_both_classes(y)
    if not np.isfinite(scores).all():
        raise EvaluationError(f"{int((~np.isfinite(scores)).sum()):,} of {len(scores):,} scores are not finite.")
    if amount is not None:
        check_amounts(amount)
    ranking = Ranking.of(y, scores, threshold, weight, amount)
    rng = np.random.default_rng(seed)
    drawn = ranking.draws_of_rows(rng) if entity is None else ranking.draws_of_entities(entity, rng)
    draws = [ranking.measure(draw) for draw in islice(drawn, n_draws)]
    values = _values(y, scores, threshold, weight, amount)
    return {name: interval(value, np.array([draw[name] for draw in draws])) for name, value in values.items()}


def daily_interval(values: Floats, seed: int = 0) -> Interval:
    """Return the mean of daily values (days,) with its 95 % interval, taking days as independent.

    Raises `EvaluationError` if there are fewer than two days.

    >>> daily_interval(np.array([0.5, 0.5, 0.5]))
    Interval(value=0.5, low=0.5, high=0.5)
    """
    if len(values) < 2:
        raise EvaluationError(f"{counted(len(values), 'day')} cannot show how days differ. Expected at least two.")
    drawn = np.random.default_rng(seed).integers(0, len(values), (N_DRAWS_OF_DAYS, len(values)))
    return interval(float(values.mean()), values[drawn].mean(axis=1))


def _values(
    y: Floats, scores: Floats, threshold: float, weight: Floats | None, amount: Floats | None
) -> dict[str, float]:
    """Return the metrics of the rows without drawing."""
    alerts, weighted = scores >= threshold, {"sample_weight": weight}
    values = _threshold_metrics(confusion(y, alerts, **weighted)) | {
        "average_precision": average_precision(y, scores, **weighted),
        "auroc": auroc(y, scores, **weighted),
        "recall_at_false_alarm_rate": recall_at_false_alarm_rate(y, scores, rate=FALSE_ALARM_RATE, **weighted),
    }
    return values if amount is None else values | {"value_caught": value_caught(y, alerts, amount=amount, **weighted)}


def _threshold_metrics(counts: Confusion) -> dict[str, float]:
    return {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}


def _ranking_metrics(anomalous: Floats, normal: Floats) -> dict[str, float]:
    """Return ranking metrics from the weight of each class per level (levels,), lowest level first."""
    steps, false = anomalous[::-1], normal[::-1]
    found, false_alarms = np.cumsum(steps), np.cumsum(false)
    alerts = found + false_alarms
    precision = np.divide(found, alerts, out=np.zeros_like(found), where=alerts > 0)
    allowed = np.searchsorted(false_alarms / false_alarms[-1], FALSE_ALARM_RATE, side="right")
    return {
        "average_precision": float(precision @ steps / found[-1]),
        "auroc": float(1 - steps @ (false_alarms - false / 2) / (found[-1] * false_alarms[-1])),
        "recall_at_false_alarm_rate": float(found[allowed - 1] / found[-1]) if allowed else 0.0,
    }


@dataclass(frozen=True)
class RankedClass:
    """The rows of one class, sorted by rising score: row numbers, weights and levels, each (rows,)."""

    row: Ints
    weight: Floats
    level: Ints
    n_levels: int

    @cached_property
    def starts(self) -> Ints:
        """The first position of each level that has rows."""
        return np.flatnonzero(np.append(True, np.diff(self.level) != 0))

    def spread(self, of_occupied: Floats) -> Floats:
        """Return values of the levels that have rows as (levels,), with 0 for empty levels."""
        everywhere = np.zeros(self.n_levels)
        everywhere[self.level[self.starts]] = of_occupied
        return everywhere

    def per_level(self, times: Ints) -> Floats:
        """Return the weight in each level (levels,), given how often each row is drawn (rows,)."""
        return self.spread(np.add.reduceat(self.weight * times, self.starts))

    def draws(self, rng: np.random.Generator) -> Iterator[Floats]:
        """Yield the weight in each level (levels,) for one draw of rows after another, without end."""
        n_rows = len(self.row)
        if np.ptp(self.weight) > 0:
            while True:
                yield self.per_level(_times(n_rows, rng))
        # With equal weights only the number of rows in each level matters, and that is multinomial.
        shares = np.diff(self.starts, append=n_rows) / n_rows
        while True:
            yield self.spread(self.weight[0] * rng.multinomial(n_rows, shares))


@dataclass(frozen=True)
class Ranking:
    """Both classes by level, the first level whose rows are alerts, and the amounts of the anomalies."""

    anomalous: RankedClass
    normal: RankedClass
    first_alert: int
    amount: Floats | None

    @classmethod
    def of(cls, y: Floats, scores: Floats, threshold: float, weight: Floats | None, amount: Floats | None) -> Ranking:
        """Sort the rows and number their levels, lowest first."""
        order = np.argsort(scores)
        rising = scores[order]
        edges = _edges(scores[y == 1], threshold)
        # Even for scores between two edges, odd for scores equal to an edge.
        place = np.searchsorted(edges, rising) + np.searchsorted(edges, rising, side="right")
        new = np.append(False, np.diff(place) != 0)
        level = np.cumsum(new)
        n_levels, first_alert = int(level[-1]) + 1, int(np.searchsorted(rising[np.append(True, new[1:])], threshold))
        weight = np.ones(len(y)) if weight is None else weight
        kinds = (np.flatnonzero(y[order] == label) for label in (1, 0))
        anomalous, normal = (RankedClass(order[kind], weight[order[kind]], level[kind], n_levels) for kind in kinds)
        return cls(anomalous, normal, first_alert, None if amount is None else amount[anomalous.row])

    def draws_of_rows(self, rng: np.random.Generator) -> Iterator[Draw]:
        """Draw rows, each class separately, so that neither is ever missing."""
        return ((_times(len(self.anomalous.row), rng), normal) for normal in self.normal.draws(rng))

    def draws_of_entities(self, entity: Ints, rng: np.random.Generator) -> Iterator[Draw]:
        """Draw whole entities, given each row's code (n,); repeat a draw that lacks a class."""
        codes, code = np.unique(entity, return_inverse=True)
        if len(codes) < 2:
            raise EvaluationError(
                f"all {len(entity):,} rows are of entity {codes[0]}. Expected two at least: leave entity out."
            )
        of_anomalies, of_normal = code[self.anomalous.row], code[self.normal.row]
        while True:
            times = _times(len(codes), rng)
            draw = times[of_anomalies], self.normal.per_level(times[of_normal])
            if self.anomalous.weight @ draw[0] > 0 and draw[1].any():
                yield draw

    def measure(self, draw: Draw) -> dict[str, float]:
        """Return all metrics of a draw."""
        times, normal = draw
        anomalous = self.anomalous.per_level(times)
        numbers = _ranking_metrics(anomalous, normal) | _threshold_metrics(self._confusion(anomalous, normal))
        return numbers if self.amount is None else numbers | {"value_caught": self._caught(times * self.amount)}

    def _confusion(self, anomalous: Floats, normal: Floats) -> Confusion:
        first = self.first_alert
        parts = anomalous[first:], normal[first:], anomalous[:first], normal[:first]
        return Confusion(*(float(part.sum()) for part in parts))

    def _caught(self, amount: Floats) -> float:
        weighted, alerts = self.anomalous.weight * amount, self.anomalous.level >= self.first_alert
        return Confusion(float(weighted[alerts].sum()), 0, float(weighted[~alerts].sum()), 0).recall


def _edges(of_anomalies: Floats, threshold: float) -> Floats:
    """Return the distinct scores of anomalies, thinned if there are too many, and the threshold, sorted."""
    distinct = np.unique(of_anomalies)
    if len(distinct) > MOST_LEVELS:
        # Take evenly spaced anomalies, not distinct scores, so that a score shared by many is kept.
        distinct = np.sort(of_anomalies)[:: -(-len(of_anomalies) // MOST_LEVELS)]
    return np.unique(np.append(distinct, threshold))


def _times(n_units: int, rng: np.random.Generator) -> Ints:
    """Return how often each of n units comes up in n draws with replacement."""
    return np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)
