"""Training on more rows than memory has room for: `oddrow fit --memory` beside the same fit with all rows in memory.

Parquet files of a million rows x 15 columns, 1.2 GB as float64 where the memory is 1 GB. It needs `make setup`, Linux
(the memory is read from /proc), 6 GB of memory for the fit that has all rows there, and 2 GB of disk; then

    .venv/bin/python benchmarks/memory_fit.py --json benchmarks/results/memory.json

takes about four minutes on two quiet cores; with `--files 20 --memory 2GB`, 12 GB of memory and twice as long.

Rows to train on are all normal. Of the test rows one in a hundred is odd: five of its columns are those of another row,
so that every value is one that normal rows have, and only its columns do not go together. Both ways fit the large
table with one seed, and a small one with several, given so little memory that it stays on disk too.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from child import Run, run_oddrow, run_python
from oddrow.metrics.ranking import average_precision
from oddrow.table.parquet import format_bytes, parse_bytes
from race import Goal, facts_line, figure, machine, measure_and_keep, spread, table, versions
from structured_rows import as_frame, check_disk, structured, write_structured

N_COLUMNS = 15
EPOCHS, BATCH_SIZE = 3, 1024
N_TEST, ODD_SHARE, N_SWAPPED = 100_000, 0.01, 5
# Rows stay on disk where four copies of them do not fit.
SMALL_MEMORY_SHARE = 3
ON_DISK, IN_MEMORY = "on disk", "in memory"
ON_DISK_SAID = "they stay on disk"
GOAL_GB = 2
WHY_SLOWER = (
    "Rows on disk take longer: each Parquet column is read several times, and encoded rows are written and read."
)


def write_test(path: Path) -> None:
    """Write test rows with the column `is_odd`, which no model knows."""
    rng = np.random.default_rng(3)
    rows = structured(N_TEST, N_COLUMNS, seed=3)
    others = structured(N_TEST, N_COLUMNS, seed=4)
    is_odd = rng.random(N_TEST) < ODD_SHARE
    is_swapped = rng.permuted(np.tile(np.arange(N_COLUMNS) < N_SWAPPED, (N_TEST, 1)), axis=1)
    mixed = np.where(is_swapped & is_odd[:, None], others, rows)
    as_frame(mixed).with_columns(is_odd=pl.Series(is_odd)).write_parquet(path)


def fit(tables: str, folder: Path, seed: int, memory: str | None) -> dict[str, Any]:
    """Fit and score the test rows: seconds and the most memory of the fit, and the average precision."""
    model, scores = folder / "model", folder / "scores.parquet"
    sets = [f"training.epochs={EPOCHS}", f"training.batch_size={BATCH_SIZE}"]
    options = [part for one in sets for part in ("--set", one)] + (["--memory", memory] if memory else [])
    run = run_oddrow("fit", tables, "--out", model, "--detector", "autoencoder", "--seed", str(seed), *options)
    check_place(run, memory)
    test = folder / "test.parquet"
    run_oddrow("score", test, "--model", model, "--out", scores)
    y, found = pl.read_parquet(test)["is_odd"], pl.read_parquet(scores)["anomaly_score"]
    precision = average_precision(y.cast(pl.Float64).to_numpy(), found.to_numpy())
    return {"seed": seed, "seconds": run.seconds, "peak_bytes": run.peak_bytes, "average_precision": precision}


def check_place(run: Run, memory: str | None) -> None:
    """Stop where rows were in memory that should have stayed on disk."""
    if memory and ON_DISK_SAID not in run.said:
        raise SystemExit(f"all rows fit into {memory}: they were not kept on disk. Take more rows, or less memory.")


def fits(tables: str, folder: Path, seeds: list[int], memory: str) -> dict[str, list[dict[str, Any]]]:
    """Both ways in turn, with every seed."""
    found: dict[str, list[dict[str, Any]]] = {ON_DISK: [], IN_MEMORY: []}
    for seed in seeds:
        found[ON_DISK].append(fit(tables, folder, seed, memory))
        found[IN_MEMORY].append(fit(tables, folder, seed, None))
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Write the tables; fit the large one once each way, the small one with every seed."""
    facts = {**machine(), **versions("oddrow", "jax", "polars")}
    check_disk(options.folder, options.files * options.rows_in_a_file * N_COLUMNS)
    small_memory = format_bytes(SMALL_MEMORY_SHARE * 8 * options.small_rows * N_COLUMNS)
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_test(folder / "test.parquet")
        write_structured(folder / "small.parquet", options.small_rows, N_COLUMNS)
        small = fits(str(folder / "small.parquet"), folder, list(range(options.seeds)), small_memory)
        for file in range(options.files):
            write_structured(folder / f"part-{file:03}.parquet", options.rows_in_a_file, N_COLUMNS, seed=10 + file)
        large = fits(str(folder / "part-*.parquet"), folder, [0], options.memory)
        jax_bytes = run_python("import jax").peak_bytes
    return {
        "facts": facts,
        "files": options.files,
        "large": {"rows": options.files * options.rows_in_a_file, "memory": options.memory, "fits": large},
        "small": {"rows": options.small_rows, "memory": small_memory, "fits": small},
        "jax_bytes": jax_bytes,
    }


def precisions(of: dict[str, Any], way: str) -> list[float]:
    """Average precision of every seed."""
    return [one["average_precision"] for one in of["fits"][way]]


def beyond_jax_gb(results: dict[str, Any], one: dict[str, Any]) -> float:
    """The most memory of a fit, less what a process takes that imports JAX and no more, in 1e9 bytes."""
    return float((one["peak_bytes"] - results["jax_bytes"]) / 1e9)


def seconds_ratios(of: dict[str, Any]) -> list[float]:
    """How many times as long rows on disk take, seed by seed."""
    return [a["seconds"] / b["seconds"] for a, b in zip(of["fits"][ON_DISK], of["fits"][IN_MEMORY], strict=True)]


def noise(of: dict[str, Any]) -> float:
    """The largest difference that another seed alone makes, in either way."""
    return max(abs(a - b) for way in of["fits"] for a, b in combinations(precisions(of, way), 2))


def goals(results: dict[str, Any]) -> list[tuple[Goal, float]]:
    """Memory and average precision."""
    large, small = results["large"], results["small"]
    gb = beyond_jax_gb(results, large["fits"][ON_DISK][0])
    fitted = f"`oddrow fit --memory {large['memory']}` of {large['rows']:,} rows"
    asked = parse_bytes(large["memory"]) / 1e9
    found = [(Goal(f"{fitted}: most memory beyond JAX", GOAL_GB, "GB", at_most=True, aim=asked), gb)]
    if len(precisions(small, ON_DISK)) > 1:
        apart = abs(fmean(precisions(small, ON_DISK)) - fmean(precisions(small, IN_MEMORY)))
        what = f"Average precision, {small['rows']:,} rows on disk and in memory: difference of the means over seeds"
        most = float(figure(noise(small)))
        found.append(
            (Goal(f"{what}, compared with the largest difference between two seeds", most, "AP", at_most=True), apart)
        )
    return found


def large_table(results: dict[str, Any]) -> str:
    """Seconds, memory and precision of the large table."""
    large = results["large"]
    header = ["s", "× as long", "memory, GB", "beyond JAX, GB", "average precision"]
    ratios = {ON_DISK: f"{median(seconds_ratios(large)):.2f}", IN_MEMORY: ""}
    lines = [
        [
            way,
            f"{one['seconds']:.1f}",
            ratios[way],
            f"{one['peak_bytes'] / 1e9:.2f}",
            f"{beyond_jax_gb(results, one):.2f}",
            f"{one['average_precision']:.4f}",
        ]
        for way, (one,) in large["fits"].items()
    ]
    return table(["", *header], lines)


def small_table(results: dict[str, Any]) -> str:
    """Precision of every seed of the small table, and its seconds."""
    small = results["small"]
    seeds = [f"seed {one['seed']}" for one in small["fits"][ON_DISK]]
    lines = [
        [way, *(f"{one:.4f}" for one in precisions(small, way)), f"{fmean(precisions(small, way)):.4f}", _seconds(fits)]
        for way, fits in small["fits"].items()
    ]
    return table(["average precision", *seeds, "mean", "s"], lines)


def _seconds(of_way: list[dict[str, Any]]) -> str:
    return spread([one["seconds"] for one in of_way])


def section(results: dict[str, Any]) -> str:
    """The section of the page, in Markdown."""
    large, small = results["large"], results["small"]
    size = 8 * large["rows"] * N_COLUMNS
    parts = [
        "## Training beyond memory",
        facts_line(results["facts"]),
        f"`oddrow fit` of {results['files']} Parquet files, {large['rows']:,} rows x {N_COLUMNS} columns, "
        f"{format_bytes(size)} as float64, with `--memory {large['memory']}` and without: whole processes, {EPOCHS} "
        f"epochs, batches of {BATCH_SIZE:,}. Memory is the peak resident size; importing JAX alone "
        f"takes {results['jax_bytes'] / 1e9:.2f} GB. Average precision is measured on {N_TEST:,} test rows; in "
        f"{ODD_SHARE:.0%} of them, {N_SWAPPED} columns come from another row.",
        large_table(results),
        f"{WHY_SLOWER} The same of {small['rows']:,} rows, on disk with `--memory {small['memory']}`:",
        small_table(results),
        "\n".join(goal.line(measured) for goal, measured in goals(results)),
    ]
    return "\n\n".join(parts) + "\n"


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--rows-in-a-file", type=int, default=1_000_000)
    parser.add_argument("--memory", default="1GB", help="for the large table")
    parser.add_argument("--small-rows", type=int, default=500_000, help="of the table that several seeds are fitted to")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where tables are written; else where temporary files are")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    measure_and_keep(parsed(), measure, section)


if __name__ == "__main__":
    main()
