"""A table as large as IEEE-CIS's, made of its first 1,500 rows: what `oddrow recipe ieee-cis` costs at full size.

The competition's data may not be redistributed, and only its first rows are at hand: these are drawn again, with
their own identity rows, until there are 590,540, and written as CSV, as the public files are. The figures say what
time and memory it takes, nothing of accuracy. Needs $ODDROW_DATA/ieee_cis and `make setup`; then

    .venv/bin/python benchmarks/ieee_cis_full.py --json ieee_cis_full.json

Memory is the peak of resident memory of the child process, as the operating system counts it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from fit_handbook import measure
from race import machine, print_heading, print_table, versions, write_json

TRANSACTIONS, IDENTITY = "train_transaction_first1500.parquet", "train_identity.parquet"
N_ROWS = 590_540
GOAL_GB = 6.0


def write_full_table(source: Path, folder: Path, n_rows: int) -> None:
    """Draw rows with replacement and numbers with a little noise, so that no two rows are the same."""
    rng = np.random.default_rng(0)
    rows = pl.read_parquet(source / TRANSACTIONS)
    drawn = rows[rng.integers(0, rows.height, n_rows)]
    noise = pl.Series(rng.normal(1, 0.01, n_rows))
    drawn = drawn.with_columns(pl.col("TransactionAmt") * noise)
    drawn.write_csv(folder / "train_transaction.csv")
    pl.read_parquet(source / IDENTITY).write_csv(folder / "train_identity.csv")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Write the table, run the recipe once on it, print, keep."""
    options = parsed()
    source = Path(os.environ.get("ODDROW_DATA", ""), "ieee_cis")
    if not os.environ.get("ODDROW_DATA") or not (source / TRANSACTIONS).exists():
        print(f"Skipped: set ODDROW_DATA to a folder that holds ieee_cis/{TRANSACTIONS} and ieee_cis/{IDENTITY}.")
        return
    with tempfile.TemporaryDirectory() as folder:
        write_full_table(source, Path(folder), options.rows)
        oddrow = str(Path(sys.executable).with_name("oddrow"))
        out = Path(folder) / "out"
        command = [oddrow, "recipe", "ieee-cis", "--data", folder, "--out", str(out), "--runs", "1"]
        measured = measure(command, dict(os.environ))
    facts = {**machine(), **versions("oddrow", "jax", "polars")}
    print_heading(f"oddrow recipe ieee-cis --runs 1 on {options.rows:,} rows", facts)
    goal = f"{GOAL_GB:.0f}"
    rows_per_s = options.rows / measured.wall_s
    rows = [
        ("peak memory, GB", f"{measured.peak_gb:.2f}", goal),
        ("wall s", f"{measured.wall_s:.0f}", ""),
        ("rows/s, reading to results", f"{rows_per_s:,.0f}", ""),
    ]
    print_table(("", "measured", "goal"), rows)
    write_json(options.json, {"facts": facts, "rows": options.rows, "measured": asdict(measured)})


if __name__ == "__main__":
    main()
