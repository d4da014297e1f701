"""How the time of fitting and of scoring grows with the rows and the columns of a table.

Both are timed from Parquet to Parquet, by `workflow.fit` and `workflow.score` in this process, after a first call of
each size: neither the start of Python nor compiling flattens the slope. It needs `make setup` and 6 GB of memory; then

    .venv/bin/python benchmarks/growth.py --json benchmarks/results/growth.json

takes about three minutes on two quiet cores.

Batches have 1,024 rows and epochs are fixed, so that the steps of a training are as many as its rows ask for. Sizes are
timed in turn, small ones in every round, large ones in the first ones; the fastest call counts, since whatever else
the machine does only adds to it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from curves import write_curves
from race import Goal, facts_line, figure, machine, measure_and_keep, table, versions
from structured_rows import check_disk, write_structured

N_COLUMNS, N_ROWS = 15, 20_000
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
COLUMNS = (10, 100, 1000)
BATCH_SIZE = 1024
# One epoch shows best what else is done with every row; few rows need some epochs to make training a part of it.
EPOCHS = {"rows": 1, "columns": 10}
# A size of which a round lasts longer is timed twice in all, the first call among them.
LONG_CALL_S = 15
STEADY_FROM = 100_000
GOAL = 1.1
WHY_MISSED = {
    "rows": "Tables that exceed the caches cost more per row.",
    "columns": "Blocks of wide tables have fewer rows, and some work is per column of every block.",
}
WORK = {"fit": "Fitting", "score": "Scoring"}
# What a row, or a column, is timed in.
UNITS = {"rows": ("µs", 1e6), "columns": ("ms", 1e3)}


@dataclass(frozen=True)
class Size:
    """A table, and the axis along which it is one of several."""

    axis: str
    n_rows: int
    n_columns: int

    @property
    def along(self) -> int:
        """How large it is along its axis."""
        return self.n_rows if self.axis == "rows" else self.n_columns

    def write(self, folder: Path) -> None:
        """Write the table into the folder, which is its own."""
        folder.mkdir()
        write_structured(folder / "rows.parquet", self.n_rows, self.n_columns)

    def timed(self, folder: Path) -> dict[str, float]:
        """Seconds of a fit, and of scoring the same table by the model."""
        from oddrow import workflow
        from oddrow.workflow.settings import Settings

        training = {
            "detector.name": "autoencoder",
            "training.epochs": EPOCHS[self.axis],
            "training.batch_size": BATCH_SIZE,
        }
        rows, model, laps = str(folder / "rows.parquet"), folder / "model", [time.perf_counter()]
        workflow.fit(rows, model, Settings.gather(options=training))
        laps.append(time.perf_counter())
        workflow.score(rows, model, folder / "scores.parquet")
        laps.append(time.perf_counter())
        return {work: after - before for work, (before, after) in zip(WORK, pairwise(laps), strict=True)}


def sizes(options: argparse.Namespace) -> list[Size]:
    """Tables that are longer and longer, then tables that are wider and wider."""
    longer = [Size("rows", n_rows, N_COLUMNS) for n_rows in options.rows]
    wider = [Size("columns", options.rows_when_wide, n_columns) for n_columns in options.columns]
    return [*longer, *wider]


def timed_in_turn(entered: Sequence[Size], folder: Path, rounds: int) -> list[list[dict[str, float]]]:
    """What each size took in every call; the first one compiles."""
    found: list[list[dict[str, float]]] = [[] for _ in entered]
    for turn in range(rounds + 1):
        for place, (size, calls) in enumerate(zip(entered, found, strict=True)):
            if turn < 2 or sum(calls[-1].values()) < LONG_CALL_S:
                calls.append(size.timed(folder / str(place)))
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Write the tables, time them in turn."""
    facts = {**machine(), **versions("oddrow", "jax", "polars")}
    entered = sizes(options)
    check_disk(options.folder, sum(size.n_rows * size.n_columns for size in entered))
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for place, size in enumerate(entered):
            size.write(folder / str(place))
        found = timed_in_turn(entered, folder, options.rounds)
    return {
        "facts": facts,
        "rounds": options.rounds,
        "sizes": [
            {"axis": size.axis, "rows": size.n_rows, "columns": size.n_columns, "along": size.along, "calls": calls}
            for size, calls in zip(entered, found, strict=True)
        ],
    }


def points(results: dict[str, Any], axis: str, work: str, least: int = 0) -> list[tuple[float, float]]:
    """Size and the seconds of its fastest call, along an axis."""
    return [
        (one["along"], min(call[work] for call in one["calls"]))
        for one in results["sizes"]
        if one["axis"] == axis and one["along"] >= least
    ]


def exponent(of: Sequence[tuple[float, float]]) -> float:
    """The slope of log seconds against log size, by least squares."""
    log_size, log_seconds = np.log(np.array(of)).T
    return float(np.polyfit(log_size, log_seconds, 1)[0])


def goals(results: dict[str, Any]) -> list[tuple[Goal, float]]:
    """The exponent of every work along every axis, and of rows once more without the small sizes."""
    asked = [(axis, least) for axis, least in (("rows", 0), ("rows", STEADY_FROM), ("columns", 0))]
    found = []
    for work, title in WORK.items():
        for axis, least in asked:
            of = points(results, axis, work, least)
            from_on = f", from {least:,} on" if least else ""
            if len(of) > 1:
                what = f"{title}, exponent of the time in {axis}{from_on}"
                goal = Goal(what, GOAL, "(slope in logs)", at_most=True, why_missed=WHY_MISSED[axis])
                found.append((goal, exponent(of)))
    return found


def growth_table(results: dict[str, Any], axis: str) -> str:
    """Seconds of every size, what that is for a row or a column, and the slope from the size before."""
    header = [axis]
    for work in WORK:
        header += [f"{work}, s", f"{UNITS[axis][0]} a {axis.removesuffix('s')}", "slope from the size before"]
    lines = [_lines(points(results, axis, work), UNITS[axis][1]) for work in WORK]
    columns = [column for of_work in lines for column in zip(*of_work, strict=True)]
    along = [f"{size:,.0f}" for size, _ in points(results, axis, "fit")]
    return table(header, zip(along, *columns, strict=True))


def _lines(of: Sequence[tuple[float, float]], of_a_second: float) -> list[list[str]]:
    slopes = ["", *(f"{math.log(t / s) / math.log(n / m):.2f}" for (m, s), (n, t) in pairwise(of))]
    return [
        [figure(seconds), figure(of_a_second * seconds / size), slope]
        for (size, seconds), slope in zip(of, slopes, strict=True)
    ]


def section(results: dict[str, Any]) -> str:
    """The section of the page, in Markdown."""
    wide = next((one["rows"] for one in results["sizes"] if one["axis"] == "columns"), N_ROWS)
    parts = [
        "## Growth",
        facts_line(results["facts"]),
        "`workflow.fit` and `workflow.score` from Parquet, including reading, inferring kinds, training, setting the "
        "threshold, saving and writing. One process, sizes in turn: a first call, then "
        f"{results['rounds']} rounds, or one if a call takes longer than {LONG_CALL_S} s; the fastest call counts. "
        f"Batches of {BATCH_SIZE:,} rows.",
        f"{N_COLUMNS} columns, {EPOCHS['rows']} epoch:",
        growth_table(results, "rows"),
        "Fixed costs flatten the first steps. In the last step the table exceeds the caches, and every epoch gathers "
        "rows from all over memory.",
        f"{wide:,} rows, {EPOCHS['columns']} epochs; the network is wider for more columns, up to a cap:",
        growth_table(results, "columns"),
        "\n".join(goal.line(measured) for goal, measured in goals(results)),
    ]
    return "\n\n".join(parts) + "\n"


def pictures(results: dict[str, Any], folder: Path) -> dict[str, str]:
    """Seconds against rows, and against columns."""
    shown = {}
    for axis in EPOCHS:
        curves = {work: points(results, axis, work) for work in WORK}
        file = f"growth-{axis}.svg"
        write_curves(folder / file, curves, x=axis, y="seconds")
        shown[file] = f"Seconds of fitting and of scoring against {axis}"
    return shown


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--columns", type=int, nargs="+", default=COLUMNS)
    parser.add_argument("--rows-when-wide", type=int, default=N_ROWS, help="rows of the tables of more columns")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the tables are written; else where temporary files are")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    measure_and_keep(parsed(), measure, section)


if __name__ == "__main__":
    main()
