"""What the numbers of an evaluation cost: all metrics with their intervals, beside draws made by hand.

Simulated rows of 180 days and 50,000 cards, of which one in a hundred is an anomaly that scores two standard deviations
higher. Needs `make setup`; then

    .venv/bin/python benchmarks/metrics_speed.py --json metrics_speed.json

The goal is for all metrics once, with the intervals by card and of the daily means. An interval is of 200 draws; a draw
by hand takes rows with replacement and asks scikit-learn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from race import Contestant, Once, machine, print_heading, print_table, race, spread, versions, write_json

N_DAYS, N_CARDS, RATE = 180, 50_000, 0.01
K, PRICE = 100, 5.0
GOAL_S, AIM_S = 5, 3
DRAWS, DRAWS_BY_HAND = 200, 2


class Rows(NamedTuple):
    """Labels, scores, amounts, days and cards, each (rows,), and a cut that a hundredth of them reach."""

    y: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    amount: npt.NDArray[np.float64]
    day: npt.NDArray[np.int64]
    card: npt.NDArray[np.int64]
    cut: float


def simulated(n_rows: int) -> Rows:
    """Rows in order of time."""
    rng = np.random.default_rng(0)
    y = (rng.random(n_rows) < RATE).astype(np.float64)
    scores = rng.standard_normal(n_rows) + 2 * y
    day, card = np.sort(rng.integers(0, N_DAYS, n_rows)), rng.integers(0, N_CARDS, n_rows)
    return Rows(y, scores, rng.lognormal(3, 1, n_rows), day, card, float(np.quantile(scores, 1 - RATE)))


def everything(*, n_rows: int, threads: int) -> Once:
    """Every metric of the module once, with the intervals by card and of the daily means."""
    from oddrow import metrics
    from oddrow.evaluate.intervals import ranking_intervals

    rows = simulated(n_rows)
    y, scores, amount, _, card, cut = rows

    def once() -> float:
        alerts = scores >= cut
        found = ranking_intervals(y, scores, threshold=cut, amount=amount, entity=card)
        probability = 1 / (1 + np.exp(-scores))
        metrics.cost(y, alerts, amount=amount, per_false_alarm=PRICE)
        metrics.recall_at_precision(y, scores, precision=0.5)
        metrics.precision_at_k(y, scores, k=K)
        metrics.brier(y, probability)
        metrics.calibration_error(y, probability)
        _days(rows)
        return found["average_precision"].value

    return once


def _days(rows: Rows) -> float:
    from oddrow.evaluate.intervals import daily_interval
    from oddrow.metrics.daily import alerts_per_day, card_precision_at_k, precision_at_k_per_day

    y, scores, _, day, card, cut = rows
    by_row = precision_at_k_per_day(y, scores, day=day, k=K)
    by_card = card_precision_at_k(y, scores, day=day, entity=card, k=K)
    alerts_per_day(scores >= cut, day=day)
    return daily_interval(by_row.values).value + daily_interval(by_card.values).value


def days(*, n_rows: int, threads: int) -> Once:
    """Only the numbers of days."""
    rows = simulated(n_rows)
    return lambda: _days(rows)


def intervals(*, n_rows: int, by: str, threads: int) -> Once:
    """Only the intervals of the ranking and of the cut."""
    from oddrow.evaluate.intervals import ranking_intervals

    y, scores, amount, _, card, cut = simulated(n_rows)
    weight = 1 + np.random.default_rng(1).random(n_rows) if by == "weighted rows" else None
    entity = card if by == "card" else None

    def once() -> float:
        found = ranking_intervals(y, scores, threshold=cut, amount=amount, weight=weight, entity=entity, n_draws=DRAWS)
        return found["average_precision"].value

    return once


def by_hand(*, n_rows: int, threads: int) -> Once:
    """A few draws of rows, measured by scikit-learn's metrics and those that it lacks."""
    from oddrow import metrics

    y, scores, amount, _, _, cut = simulated(n_rows)
    rng = np.random.default_rng(1)

    def draw() -> float:
        rows = rng.integers(0, n_rows, n_rows)
        label, score, alerts = y[rows], scores[rows], scores[rows] >= cut
        metrics.auroc(label, score)
        metrics.confusion(label, alerts)
        metrics.recall_at_false_alarm_rate(label, score, rate=0.01)
        metrics.value_caught(label, alerts, amount=amount[rows])
        return metrics.average_precision(label, score)

    return lambda: float(np.mean([draw() for _ in range(DRAWS_BY_HAND)]))


def entered(n_rows: int) -> list[Contestant]:
    """The whole, its parts, and the draws by hand."""
    sizes: dict[str, Any] = {"n_rows": n_rows}
    parts = [
        Contestant(f"intervals by {by}", intervals, {**sizes, "by": by}, DRAWS)
        for by in ("row", "weighted rows", "card")
    ]
    whole = Contestant("all metrics, intervals by card", everything, sizes, 1)
    return [whole, *parts, Contestant("days", days, sizes, 1), Contestant("by hand", by_hand, sizes, DRAWS_BY_HAND)]


def main() -> None:
    """Time everything in turn, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts = {**machine(), **versions("oddrow", "numpy", "scikit-learn")}
    print_heading(f"Metrics of {options.rows:,} rows, {RATE:.0%} anomalies, {options.rounds} rounds", facts)
    timings = race(entered(options.rows), options.rounds)
    lines = [[one.title, f"{one.median_s:.2f}", spread(one.seconds, 2), f"{one.outcome:.4f}"] for one in timings]
    print_table(("", "s", "min–max", "outcome"), lines)
    whole, by_row, *_, plain = timings
    ratio = median(by_row.ratios(plain))
    print(f"A draw by rows is {ratio:,.0f} × as fast as by hand.")
    met = "met" if whole.median_s <= GOAL_S else "missed"
    print(f"goal {GOAL_S} s (aim {AIM_S} s) for all metrics with intervals: {met}, {whole.median_s:.2f} s")
    write_json(options.json, {"facts": facts, "rows": options.rows, "timings": [one.to_dict() for one in timings]})


if __name__ == "__main__":
    main()
