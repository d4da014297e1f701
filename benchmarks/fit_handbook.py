"""The whole of `oddrow fit`, from a Parquet file to a saved model: seconds and memory.

The Fraud Detection Handbook's transformed transactions: 1,754,155 rows, 15 numeric columns, an autoencoder 14-7, 20
epochs of batches of 1,024. Needs the file in $ODDROW_DATA/fraud_detection_handbook and `make setup`; then

    .venv/bin/python benchmarks/fit_handbook.py --json fit_handbook.json

The first run finds JAX's compilation cache empty, the others use what it compiled. Memory is the peak of resident
memory of the child process, as the operating system counts it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from race import machine, print_heading, print_table, spread, versions, write_json

TABLE = Path("fraud_detection_handbook", "fdh_transformed.parquet")
N_ROWS = 1_754_155
UNUSED = (
    "TRANSACTION_ID",
    "TX_DATETIME",
    "CUSTOMER_ID",
    "TERMINAL_ID",
    "TX_TIME_SECONDS",
    "TX_TIME_DAYS",
    "TX_FRAUD_SCENARIO",
)
SETTINGS = {
    "detector.name": "autoencoder",
    "detector.hidden": "[14,7]",
    "training.epochs": 20,
    "training.batch_size": 1024,
    # As many as epochs: nothing stops early, all 20 are run.
    "training.patience": 20,
}
GOAL_S, GOAL_GB = 60, 2.0


@dataclass(frozen=True)
class Measured:
    """One run of a command: wall and processor seconds, peak resident memory."""

    wall_s: float
    processor_s: float
    peak_gb: float


def measure(command: list[str], environment: dict[str, str]) -> Measured:
    """Run a command to its end, quietly. Raises `SystemExit` with what it said where it fails."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{said.read().decode()}")
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e9)


def fit_command(table: Path, model: Path) -> list[str]:
    """`oddrow fit` of the environment that runs this script."""
    oddrow = Path(sys.executable).with_name("oddrow")
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    columns = ["--label", "TX_FRAUD", "--drop", ",".join(UNUSED)]
    return [str(oddrow), "fit", str(table), "--out", str(model), *columns, *settings, "--seed", "0"]


def repeat(table: Path, repetitions: int) -> list[Measured]:
    """Fit so many times, with a compilation cache that is empty before the first."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(scratch, "cache"))}
        models = [Path(scratch, f"model{number}") for number in range(repetitions)]
        return [measure(fit_command(table, model), environment) for model in models]


def print_results(runs: list[Measured]) -> None:
    """The table, and how the goals were met."""
    first, later = runs[0], runs[1:] or runs
    walls, peaks = [run.wall_s for run in later], [run.peak_gb for run in runs]
    lines = [
        ["wall s, first run", f"{first.wall_s:.1f}", "", str(GOAL_S), f"{first.wall_s / GOAL_S:.2f}"],
        ["wall s, later runs", f"{median(walls):.1f}", spread(walls), str(GOAL_S), f"{median(walls) / GOAL_S:.2f}"],
        ["peak memory, GB", f"{max(peaks):.2f}", spread(peaks, 2), f"{GOAL_GB:g}", f"{max(peaks) / GOAL_GB:.2f}"],
        ["processor s", f"{median(run.processor_s for run in runs):.1f}", "", "", ""],
    ]
    print_table(["oddrow fit", "median", "min–max", "goal", "ratio to goal"], lines)
    met = first.wall_s < GOAL_S and max(peaks) < GOAL_GB
    print(f"goal under {GOAL_S} s and {GOAL_GB:g} GB: {'met' if met else 'missed'}")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Fit, print, keep; skip where the data are not at hand."""
    options = parsed()
    table = Path(os.environ.get("ODDROW_DATA", ""), TABLE)
    if not os.environ.get("ODDROW_DATA") or not table.exists():
        print(f"Skipped: set ODDROW_DATA to a folder that holds {TABLE}.")
        return
    facts = {**machine(), **versions("oddrow", "jax", "polars")}
    print_heading(f"oddrow fit on {N_ROWS:,} rows x 15 columns, {options.repetitions} runs", facts)
    runs = repeat(table, options.repetitions)
    print_results(runs)
    write_json(options.json, {"facts": facts, "settings": SETTINGS, "runs": [asdict(run) for run in runs]})


if __name__ == "__main__":
    main()
