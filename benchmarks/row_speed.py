"""One row at a time, as a service scores it, and how long `oddrow score` takes from nothing to a file.

A dict in, a score out: a fitted detector, a saved model, and for comparison a table of one row, PyOD's AutoEncoder and
scikit-learn's IsolationForest, which take an array of one row. Needs `make bench-setup`; then

    .venv-bench/bin/python benchmarks/row_speed.py --json benchmarks/results/rows.json

Tables have numbers, some of them with gaps, a category, a boolean and a time; the peers get numbers without gaps.
Everybody scores the same number of rows one by one, in turn with the others, in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from race import Contestant, Goal, Once, Runner, facts_line, machine, measure_and_keep, spread, table, versions

N_FIT, N_FACTORS = 5_000, 6
N_WARM_UP = 200
WIDTHS = (15, 30)
# Every third number has gaps.
GAPS_EVERY, GAPS_SHARE = 3, 0.05
DETECTORS = ("AutoencoderDetector", "DAGMMDetector")
COLD_ROWS, COLD_WIDTH = 1_000, 15
GOAL_US, GOAL_COLD_S = 200, 3.0
WHY_SLOW = "A core that slept between two rows takes longer to wake up than the network takes to run."
WHY_COLD = "Imports are most of it: scikit-learn brings SciPy, and pandas where it is installed; then JAX."

# What `oddrow score` does, part by part; writing the scores, and Python itself, are the rest.
PARTS = """
import json, sys, time
laps = [time.perf_counter()]
def lap():
    laps.append(time.perf_counter())
    return laps[-1] - laps[-2]
import oddrow.cli.app
from oddrow import Artifact, read_table, workflow
from oddrow.cli import console
parts = {"import": lap()}
detector = Artifact.load(sys.argv[1]).detector
parts["load the model"] = lap()
rows = read_table(sys.argv[2])
parts["read the rows"] = lap()
detector.anomaly_score(rows)
first = lap()
detector.anomaly_score(rows)
parts["score"] = lap()
parts["compiled code from the cache"] = first - parts["score"]
print(json.dumps(parts))
"""


def frame(n_rows: int, n_columns: int, seed: int) -> pl.DataFrame:
    """Numbers that few factors rule, some with gaps, then a category, a boolean and a time."""
    rng = np.random.default_rng(seed)
    factors, n_numbers = rng.normal(size=(n_rows, N_FACTORS)), n_columns - 3
    numbers = factors @ np.random.default_rng(0).normal(size=(N_FACTORS, n_numbers))
    numbers += 0.3 * rng.normal(size=numbers.shape)
    gaps = rng.random(numbers.shape) < GAPS_SHARE * (np.arange(n_numbers) % GAPS_EVERY == 0)
    columns = {f"x{column}": np.where(gaps, np.nan, numbers)[:, column] for column in range(n_numbers)}
    seconds = pl.Series(rng.integers(0, 60 * 86_400, n_rows))
    return pl.DataFrame(columns, nan_to_null=True).with_columns(
        shop=pl.Series(rng.choice(list("abcdef"), n_rows)),
        online=pl.Series(factors[:, 1] > 0),
        time=pl.lit(datetime(2024, 1, 1)) + pl.duration(seconds=pl.lit(seconds)),
    )


def array(n_rows: int, n_columns: int, seed: int) -> np.ndarray:
    """Numbers alone, without gaps."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n_rows, N_FACTORS))
    return factors @ np.random.default_rng(0).normal(size=(N_FACTORS, n_columns)) + 0.3 * rng.normal(
        size=(n_rows, n_columns)
    )


def fitted(name: str, n_columns: int, **encoder: Any) -> Any:
    """A detector with its defaults but for the encoder; what has not learned much scores as fast."""
    import oddrow

    encode = oddrow.TableEncoder(**encoder) if encoder else None
    detector = getattr(oddrow, name)(training=oddrow.Training(epochs=2), encoder=encode, random_state=0)
    return detector.fit(frame(N_FIT, n_columns, 1))


def save_model(name: str, n_columns: int, folder: Path) -> None:
    """The same detector with a cut, saved."""
    import oddrow

    oddrow.Artifact(fitted(name, n_columns), oddrow.Threshold(2.0, "fixed:2")).save(folder)


def one_by_one(score: Callable[[Any], float], rows: Sequence[Any]) -> Once:
    """Score all rows, each timed by itself; the outcome is microseconds, and the mean score."""

    def once() -> dict[str, Any]:
        took, scores = [], []
        for row in rows:
            start = time.perf_counter()
            scores.append(score(row))
            took.append(1e6 * (time.perf_counter() - start))
        return {"us": took, "score": float(np.mean(scores))}

    for row in rows[:N_WARM_UP]:
        score(row)
    return once


def by_detector(*, name: str, n_columns: int, n_rows: int, threads: int, **encoder: str) -> Once:
    """A detector that has just been fitted."""
    from oddrow import RowScorer

    return one_by_one(RowScorer(fitted(name, n_columns, **encoder)), frame(n_rows, n_columns, 2).to_dicts())


def by_model(*, folder: str, n_columns: int, n_rows: int, threads: int) -> Once:
    """A saved model."""
    from oddrow import Artifact

    score_row = Artifact.load(folder).row_decider()
    return one_by_one(lambda row: score_row(row).score, frame(n_rows, n_columns, 2).to_dicts())


def by_table(*, folder: str, n_columns: int, n_rows: int, threads: int) -> Once:
    """A saved model that is given tables of one row."""
    from oddrow import Artifact

    detector = Artifact.load(folder).detector
    tables = list(frame(n_rows, n_columns, 2).iter_slices(1))
    return one_by_one(lambda row: float(detector.anomaly_score(row)[0]), tables)


def by_pyod(*, n_columns: int, n_rows: int, threads: int) -> Once:
    """PyOD's AutoEncoder with its defaults, an array of one row."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    torch.set_num_threads(threads)
    detector = AutoEncoder(epoch_num=1, batch_size=256, verbose=0)
    detector.fit(array(N_FIT, n_columns, 1))
    return one_by_one(lambda row: float(detector.decision_function(row)[0]), _rows(n_rows, n_columns))


def by_forest(*, n_columns: int, n_rows: int, threads: int) -> Once:
    """scikit-learn's IsolationForest with its defaults, an array of one row."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(random_state=0, n_jobs=threads).fit(array(N_FIT, n_columns, 1))
    return one_by_one(lambda row: -float(forest.score_samples(row)[0]), _rows(n_rows, n_columns))


def _rows(n_rows: int, n_columns: int) -> list[np.ndarray]:
    return list(array(n_rows, n_columns, 2)[:, None])


class RowRunner(Runner):
    """A contestant whose outcomes of all rounds are kept."""

    def __enter__(self) -> RowRunner:
        """Start it; its first rows are warm already."""
        super().__enter__()
        self.outcomes = [self.outcome]
        return self

    def go(self) -> None:
        """One more round."""
        self.connection.send(True)
        self.outcomes.append(self._receive()[1])

    def summary(self) -> dict[str, Any]:
        """Percentiles of all rows, and the median of each round."""
        us = [outcome["us"] for outcome in self.outcomes]
        p50, p99 = np.percentile(np.concatenate(us), [50, 99]).tolist()
        return {
            "name": self.contestant.name,
            "columns": self.contestant.arguments["n_columns"],
            "is_ours": self.contestant.build in (by_detector, by_model),
            "p50_us": p50,
            "p99_us": p99,
            "round_p50_us": [median(of_round) for of_round in us],
            "score": self.outcome["score"],
        }


def entered(folder: Path, options: argparse.Namespace) -> list[Contestant]:
    """Dicts by fitted detectors and saved models, then a table and peers, of which fewer rows say enough."""
    few = {"n_columns": WIDTHS[-1], "n_rows": options.slow_rows}
    ours = [
        (f"{name}, {how}", build, {"n_columns": n_columns, "n_rows": options.rows, **of})
        for n_columns in WIDTHS
        for name in DETECTORS
        for how, build, of in (
            ("fitted", by_detector, {"name": name}),
            ("saved", by_model, {"folder": str(folder / f"{name}-{n_columns}")}),
        )
    ]
    ranks = {"name": DETECTORS[0], "n_columns": WIDTHS[-1], "n_rows": options.rows, "numbers": "quantile"}
    others: list[tuple[str, Callable[..., Once], dict[str, Any]]] = [
        (f"{DETECTORS[0]} of ranks, fitted", by_detector, ranks),
        ("a table of one row", by_table, {**few, "folder": str(folder / f"{DETECTORS[0]}-{WIDTHS[-1]}")}),
        ("PyOD AutoEncoder", by_pyod, few),
        ("IsolationForest", by_forest, few),
    ]
    return [Contestant(name, build, arguments, arguments["n_rows"], 1) for name, build, arguments in [*ours, *others]]


def raced(contestants: Sequence[Contestant], rounds: int) -> list[dict[str, Any]]:
    """What each takes for a row, round by round in turn."""
    with ExitStack() as stack:
        runners = [stack.enter_context(RowRunner(contestant)) for contestant in contestants]
        for _ in range(rounds - 1):
            for runner in runners:
                runner.go()
        return [runner.summary() for runner in runners]


def cold_start(model: Path, folder: Path, repetitions: int) -> dict[str, Any]:
    """Seconds of the whole process, the first time and afterwards; and what a process like it spends them on."""
    rows = folder / "rows.csv"
    frame(COLD_ROWS, COLD_WIDTH, 3).write_csv(rows)
    program = [str(Path(sys.executable).with_name("oddrow"))]
    command = [*program, "score", str(rows), "--model", str(model), "--out", str(folder / "scores.csv")]
    # A cache of its own, so that the first process finds nothing compiled.
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    seconds = [_seconds(command, environment) for _ in range(repetitions + 1)]
    split = [sys.executable, "-c", PARTS, str(model), str(rows)]
    runs = [json.loads(subprocess.check_output(split, env=environment, text=True)) for _ in range(repetitions)]
    parts = {name: median(run[name] for run in runs) for name in runs[0]}
    rest = {"the rest": median(seconds[1:]) - sum(parts.values())}
    return {"first_s": seconds[0], "seconds": seconds[1:], "parts": {**parts, **rest}}


def _seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Race everybody row by row, then start from nothing."""
    facts = {**machine(), **versions("oddrow", "jax", "polars", "torch", "pyod", "scikit-learn")}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for n_columns in WIDTHS:
            for detector in DETECTORS:
                save_model(detector, n_columns, folder / f"{detector}-{n_columns}")
        cold = cold_start(folder / f"{DETECTORS[0]}-{COLD_WIDTH}", folder, options.starts)
        rows = raced(entered(folder, options), options.rounds)
    kept = {name: getattr(options, name) for name in ("rows", "slow_rows", "rounds", "starts")}
    return {"facts": facts, **kept, "row_by_row": rows, "cold": cold}


def goals(results: dict[str, Any]) -> list[tuple[Goal, float]]:
    """Every goal with what was measured."""
    of_rows = [
        (Goal(f"One row by {_title(one)}, p50", GOAL_US, "µs", at_most=True, why_missed=WHY_SLOW), one["p50_us"])
        for one in results["row_by_row"]
        if one["is_ours"]
    ]
    what = f"`oddrow score` of {COLD_ROWS:,} rows x {COLD_WIDTH} columns, the whole process"
    whole = Goal(what, GOAL_COLD_S, "s", at_most=True, why_missed=WHY_COLD)
    return [*of_rows, (whole, median(results["cold"]["seconds"]))]


def _title(one: dict[str, Any]) -> str:
    return f"{one['name']}, {one['columns']} columns"


def section(results: dict[str, Any]) -> str:
    """The section of the page, in Markdown."""
    rows = [
        [
            _title(one),
            f"{one['p50_us']:,.0f}",
            f"{one['p99_us']:,.0f}",
            spread(one["round_p50_us"], 0),
            f"{one['score']:.4f}",
        ]
        for one in results["row_by_row"]
    ]
    parts = [
        "## One row at a time",
        facts_line(results["facts"]),
        f"{results['rows']:,} dicts one by one in each of {results['rounds']} rounds; {results['slow_rows']:,} for "
        "one-row tables and for the other libraries, which use one thread. Fitted and saved models have the same "
        "scores; \"of ranks\" means `TableEncoder(numbers='quantile')`.",
        table(["", "p50, µs", "p99, µs", "p50 of the rounds", "mean score"], rows),
        _cold_words(results["cold"]),
        table(["the start, in parts", "s"], [[name, f"{took:.2f}"] for name, took in results["cold"]["parts"].items()]),
        "\n".join(goal.line(measured) for goal, measured in goals(results)),
    ]
    return "\n\n".join(parts) + "\n"


def _cold_words(cold: dict[str, Any]) -> str:
    return (
        f"`oddrow score` of a CSV of {COLD_ROWS:,} rows x {COLD_WIDTH} columns, from the start of the process to the "
        f"end, takes {median(cold['seconds']):.2f} s ({spread(cold['seconds'], 2)}); {cold['first_s']:.2f} s the "
        "first time on a machine, when nothing is compiled yet."
    )


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000, help="dicts in a round")
    parser.add_argument("--slow-rows", type=int, default=200, help="tables of one row and arrays in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=5, help="whole processes of oddrow score")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    measure_and_keep(parsed(), measure, section)


if __name__ == "__main__":
    main()
