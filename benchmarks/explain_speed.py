"""Explaining speed: reasons and counterfactuals of many alerts at once.

Mixed rows of 30 columns (27 numbers, a category, a boolean, a time), 20,000 normal ones to fit default networks to;
in each alert some cells are moved far out. Needs `make setup`; then

    .venv/bin/python benchmarks/explain_speed.py --json explain_speed.json

Every contestant runs in a process of its own, one after the other in each round; the first call, which compiles, is
timed apart. The time for a counterfactual depends on how many columns have to change; that is shown too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from race import Contestant, machine, print_heading, print_table, race, spread, versions, write_json

N_FIT = 20_000
N_NUMBERS, N_FACTORS = 27, 6
DETECTORS = ("AutoencoderDetector", "DAGMMDetector")
GOAL_S = 5.0
# DAGMM takes one in ten of these odd rows for an alert.
ODD_ROWS_PER_ALERT = 16


def normal_rows(n_rows: int, seed: int) -> pl.DataFrame:
    """Numbers that few factors rule, a category, a boolean and a time of office hours."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n_rows, N_FACTORS))
    numbers = factors @ np.random.default_rng(0).normal(size=(N_FACTORS, N_NUMBERS))
    numbers += 0.3 * rng.normal(size=numbers.shape)
    seconds = rng.integers(0, 60, n_rows) * 86_400 + np.clip(rng.normal(13, 2, n_rows), 0, 23) * 3600
    return pl.DataFrame({f"x{column}": numbers[:, column] for column in range(N_NUMBERS)}).with_columns(
        shop=pl.Series(np.array(list("abcdef"))[np.digitize(factors[:, 0], [-2, -1, 0, 1, 2])]),
        online=pl.Series(factors[:, 1] > 0),
        time=pl.lit(datetime(2024, 1, 1)) + pl.duration(seconds=pl.lit(pl.Series(seconds.astype(np.int64)))),
    )


def odd_rows(n_rows: int) -> pl.DataFrame:
    """Normal rows with one to three numbers far out, and a level that is new in every tenth."""
    rng = np.random.default_rng(7)
    frame = normal_rows(n_rows, seed=2)
    moved = rng.random((n_rows, N_NUMBERS)).argsort(axis=1) < rng.integers(1, 4, (n_rows, 1))
    away = moved * rng.choice([-1, 1], moved.shape) * rng.uniform(10, 40, moved.shape)
    new = rng.random(n_rows) < 0.1
    return frame.with_columns(
        *(pl.col(f"x{column}") + pl.Series(away[:, column]) for column in range(N_NUMBERS)),
        shop=pl.when(pl.Series(new)).then(pl.lit("new")).otherwise("shop"),
    )


@cache
def fitted(name: str) -> tuple[Any, float]:
    """A default detector, and the threshold that one normal row in a hundred reaches."""
    import oddrow

    detector = getattr(oddrow, name)(training=oddrow.Training(epochs=20), random_state=0).fit(normal_rows(N_FIT, 1))
    return detector, float(np.quantile(detector.anomaly_score(normal_rows(N_FIT, 3)), 0.99))


def alerts_of(name: str, n_rows: int) -> tuple[Any, float, pl.DataFrame]:
    """A detector, its threshold, and as many rows that reach it."""
    detector, threshold = fitted(name)
    odd = odd_rows(ODD_ROWS_PER_ALERT * n_rows)
    alerts = odd.filter(pl.Series(detector.anomaly_score(odd) >= threshold))
    if alerts.height < n_rows:
        raise SystemExit(f"{name}: only {alerts.height:,} of {odd.height:,} rows are alerts")
    return detector, threshold, alerts.head(n_rows)


def explaining(*, name: str, n_rows: int, threads: int | None) -> Callable[[], float]:
    """The three first reasons of every alert; the outcome is how many there are on average."""
    from oddrow.explain import reasons

    detector, _, alerts = alerts_of(name, n_rows)
    return lambda: float(np.mean([len(found) for found in reasons(detector, alerts)]))


def searching(*, name: str, n_rows: int, threads: int | None) -> Callable[[], float]:
    """The counterfactual of every alert; the outcome is the share found."""
    from oddrow.explain import counterfactuals

    detector, threshold, alerts = alerts_of(name, n_rows)
    return lambda: float(counterfactuals(detector, alerts, threshold).found.mean())


def columns_changed(name: str, n_rows: int) -> str:
    """The share of the found rows in which one, two, three and more columns changed."""
    from oddrow.explain import counterfactuals

    detector, threshold, alerts = alerts_of(name, n_rows)
    near = counterfactuals(detector, alerts, threshold)
    changed = np.sum([near.rows[name].ne_missing(near.seen[name]).to_numpy() for name in alerts.columns], axis=0)
    shares = [np.mean(changed[near.found] == n) for n in (1, 2, 3)]
    return ", ".join(f"{share:.0%}" for share in [*shares, 1 - sum(shares)])


def entered(n_rows: int) -> list[Contestant]:
    """Both verbs of both detectors."""
    return [
        Contestant(f"{verb}, {name}", build, {"name": name, "n_rows": n_rows}, n_rows)
        for verb, build in (("reasons", explaining), ("counterfactuals", searching))
        for name in DETECTORS
    ]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Race, print, keep."""
    options = parsed()
    facts = {**machine(), **versions("oddrow", "jax", "polars")}
    print_heading(f"Explaining {options.rows:,} alerts of 30 columns, {options.rounds} rounds", facts)
    timings = race(entered(options.rows), options.rounds)
    lines = [
        [one.title, f"{one.median_s:.2f}", spread(one.seconds, 2), f"{one.first_s:.2f}", f"{one.outcome:.3f}"]
        for one in timings
    ]
    print_table(("", "s", "min–max", "first s", "reasons a row, or share found"), lines)
    changed = {name: columns_changed(name, options.rows) for name in DETECTORS}
    for name, shares in changed.items():
        print(f"{name}: one, two, three and more columns changed in {shares} of the found rows")
    met = all(median(one.seconds) < GOAL_S for one in timings)
    print(f"goal, under {GOAL_S:g} s each: {'met' if met else 'missed'}")
    rows = {"rows": options.rows, "columns_changed": changed}
    write_json(options.json, {"facts": facts, **rows, "timings": [one.to_dict() for one in timings]})


if __name__ == "__main__":
    main()
