"""From a file to scores: `oddrow score` as a whole process beside polars, which does no more than read the file.

CSV and Parquet of a thousand rows, a million and ten million, 15 columns of numbers. It needs `make setup`, Linux (the
memory is read from /proc) and 3 GB of disk; then

    .venv/bin/python benchmarks/file_speed.py --json benchmarks/results/files.json

takes about four minutes on two quiet cores. `--large` scores a hundred million rows of Parquet instead, once, with 20
GB of disk; polars does not read them whole. Files have just been written, so they are read out of the system's cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from child import Run, kept, median_s, peak_gb, run_oddrow, run_python
from curves import write_curves
from race import Goal, facts_line, machine, measure_and_keep, spread, table, versions
from structured_rows import check_disk, write_structured

N_COLUMNS = 15
START, ROWS, LARGE_ROWS = 1_000, (1_000_000, 10_000_000), 100_000_000
N_FIT, EPOCHS = 100_000, 2
# Up to so many rows each is timed in every round, larger files in fewer.
MANY_ROUNDS_UP_TO, LONG_ROUNDS = 1_000_000, 3
OURS, BARE = "oddrow score", "polars reads"
TITLES = {"parquet": "Parquet", "csv": "CSV"}
READ = "import polars as pl; pl.read_{kind}(sys.argv[1])"
GOAL_MILLIONS_PER_S, GOAL_TIMES_BARE, GOAL_GB = 1, 5, 2


def fitted(folder: Path) -> Path:
    """A model of few rows and epochs; what it compiles to score them lies on disk for later processes."""
    rows, model = folder / "fit.parquet", folder / "model"
    write_structured(rows, N_FIT, N_COLUMNS)
    run_oddrow("fit", rows, "--out", model, "--detector", "autoencoder", "--set", f"training.epochs={EPOCHS}")
    return model


def timed(kind: str, n_rows: int, model: Path, rounds: int, *, bare: bool) -> dict[str, Any]:
    """Write a file beside the model, score it and read it in turn, remove it."""
    rows, scores = (model.with_name(f"{name}.{kind}") for name in ("rows", "scores"))
    write_structured(rows, n_rows, N_COLUMNS, seed=2)
    runs: dict[str, list[Run]] = {OURS: [], BARE: []}
    for _ in range(rounds):
        runs[OURS].append(run_oddrow("score", rows, "--model", model, "--out", scores))
        if bare:
            runs[BARE].append(run_python(READ.format(kind=kind), rows))
    check_scored(scores, n_rows)
    found = {"kind": kind, "rows": n_rows, "file_bytes": rows.stat().st_size}
    for path in (rows, scores):
        path.unlink()
    return {**found, **{name: kept(of) for name, of in runs.items() if of}}


def check_scored(scores: Path, n_rows: int) -> None:
    """Stop where not every row has got its score."""
    lazy = pl.scan_parquet(scores) if scores.suffix == ".parquet" else pl.scan_csv(scores)
    found = lazy.select(pl.col("anomaly_score").is_finite().sum()).collect().item()
    if found != n_rows:
        raise SystemExit(f"{found:,} of {n_rows:,} rows have a score.")


def entered(options: argparse.Namespace) -> Iterator[tuple[str, int, int]]:
    """Every kind and size of file, and how many rounds it gets."""
    if options.large:
        yield "parquet", LARGE_ROWS, 1
        return
    for n_rows in (START, *options.rows):
        rounds = options.rounds if n_rows <= MANY_ROUNDS_UP_TO else min(LONG_ROUNDS, options.rounds)
        yield from ((kind, n_rows, rounds) for kind in TITLES)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fit once, then time one file after the other."""
    facts = {**machine(), **versions("oddrow", "jax", "polars")}
    files = list(entered(options))
    for kind, n_rows, _ in files:
        check_disk(options.folder, n_rows * N_COLUMNS, f".{kind}")
    with TemporaryDirectory(dir=options.folder) as name:
        model = fitted(Path(name))
        found = [timed(kind, n_rows, model, rounds, bare=not options.large) for kind, n_rows, rounds in files]
    return {"facts": facts, "files": found}


def of_kind(results: dict[str, Any], kind: str, least: int = 0) -> list[dict[str, Any]]:
    """The files of a kind, from so many rows on, small ones first."""
    return [one for one in results["files"] if one["kind"] == kind and one["rows"] >= least]


def rows_per_s(one: dict[str, Any]) -> float:
    """Rows in a second of the whole process, by the median."""
    return float(one["rows"] / median_s(one[OURS]))


def times_bare(one: dict[str, Any]) -> list[float]:
    """How many times as long as polars' bare read it takes, round by round."""
    return [ours / bare for ours, bare in zip(one[OURS]["seconds"], one[BARE]["seconds"], strict=True)]


def start_words(results: dict[str, Any]) -> str:
    """What the start of the processes takes, where that was measured."""
    starts = [one for one in results["files"] if one["rows"] == START]
    if not starts:
        return ""
    ours, bare = (median(median_s(one[name]) for one in starts) for name in (OURS, BARE))
    return f"Of {START:,} rows, most of which is starting, it takes {ours:.2f} s, and polars {bare:.2f} s."


def goals(results: dict[str, Any]) -> list[tuple[Goal, float]]:
    """Rows in a second of Parquet, CSV beside a bare read, the most memory of all."""
    found, why = [], start_words(results)
    for one in of_kind(results, "parquet", max(ROWS)):
        what = f"`oddrow score` of {one['rows']:,} rows of Parquet, the whole process"
        goal = Goal(what, GOAL_MILLIONS_PER_S, "million rows/s", why_missed=why)
        found.append((goal, rows_per_s(one) / 1e6))
    for one in of_kind(results, "csv", min(ROWS)):
        what = f"`oddrow score` of {one['rows']:,} rows of CSV against polars' bare read"
        goal = Goal(what, GOAL_TIMES_BARE, "× as long", at_most=True, why_missed=why)
        found.append((goal, median(times_bare(one))))
    most = max(peak_gb(one[OURS]) for one in results["files"])
    return [*found, (Goal("Most memory of `oddrow score`, files of every size", GOAL_GB, "GB", at_most=True), most)]


def line(one: dict[str, Any]) -> list[str]:
    """A line of the table."""
    ours, bare = one[OURS], one.get(BARE)
    cells = [
        f"{TITLES[one['kind']]}, {one['rows']:,} rows",
        f"{one['file_bytes'] / 1e6:,.1f}",
        str(len(ours["seconds"])),
        f"{median_s(ours):.2f}",
        spread(ours["seconds"], 2),
        f"{rows_per_s(one):,.0f}",
        f"{peak_gb(ours):.2f}",
    ]
    if bare is None:
        return [*cells, "", "", "", ""]
    ratios = times_bare(one)
    return [*cells, f"{median_s(bare):.2f}", f"{median(ratios):.1f}", spread(ratios), f"{peak_gb(bare):.2f}"]


def growth_words(results: dict[str, Any]) -> str:
    """How the memory grows from the smallest of the large files to the largest."""
    said = []
    for kind, title in TITLES.items():
        of = of_kind(results, kind, min(ROWS))
        if len(of) > 1:
            more = peak_gb(of[-1][OURS]) - peak_gb(of[0][OURS])
            said.append(f"{title} from {of[0]['rows']:,} to {of[-1]['rows']:,} rows by {1000 * more:,.0f} MB")
    return f"Peak memory grows for {' and for '.join(said)}." if said else ""


def section(results: dict[str, Any]) -> str:
    """The section of the page, in Markdown."""
    header = ["file, MB", "rounds", f"{OURS}, s", "min–max", "rows/s", "memory, GB"]
    bare = [f"{BARE}, s", "oddrow is × as long", "min–max", "memory, GB"]
    parts = [
        "## From file to scores",
        facts_line(results["facts"]),
        f"{N_COLUMNS} numeric columns; scores are written in the format of the input. Times are of whole processes, "
        "from the start of Python to its end, in turn with polars reading the same file by `pl.read_csv` or "
        "`pl.read_parquet`. Memory is the peak resident size of a process. The model was fitted to "
        f"{N_FIT:,} rows, with {EPOCHS} epochs and otherwise its defaults. {start_words(results)}".rstrip(),
        table(["", *header, *bare], map(line, results["files"])),
        growth_words(results),
        "\n".join(goal.line(measured) for goal, measured in goals(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def pictures(results: dict[str, Any], folder: Path) -> dict[str, str]:
    """Seconds of whole processes against rows."""
    curves = {
        f"{name}, {title}": [(one["rows"], median_s(one[name])) for one in of_kind(results, kind) if name in one]
        for kind, title in TITLES.items()
        for name in (OURS, BARE)
    }
    shown = {name: points for name, points in curves.items() if points}
    write_curves(folder / "files.svg", shown, x="rows", y="seconds of the whole process")
    return {"files.svg": "Seconds of the whole process against rows, from a file to scores"}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help=f"besides {START:,}")
    parser.add_argument("--large", action="store_true", help=f"{LARGE_ROWS:,} rows of Parquet alone")
    parser.add_argument("--rounds", type=int, default=5, help=f"beyond {MANY_ROUNDS_UP_TO:,} rows {LONG_ROUNDS}")
    parser.add_argument("--folder", type=Path, help="where files are written; else where temporary files are")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    measure_and_keep(parsed(), measure, section)


if __name__ == "__main__":
    main()
