"""Features of behaviour: all rows at once, and one row at a time.

The Fraud Detection Handbook's transactions, 1,754,155 rows: its 14 derived features and the time since the customer's
last row, as 15 declared columns. Needs the file in $ODDROW_DATA/fraud_detection_handbook and `make setup`; then

    .venv/bin/python benchmarks/history_speed.py --json history_speed.json

The whole table is computed in processes of their own, reading included; memory is the peak of resident memory, as the
operating system counts it. Then the state behind all but the last rows takes these one by one; each update is timed,
and its columns must equal those of the whole table to the bit.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from fit_handbook import Measured, measure
from oddrow.table.history import History
from oddrow.table.history.state import HistoryState
from race import machine, print_heading, print_table, spread, versions, write_json

TABLE = Path("fraud_detection_handbook", "fdh_transformed.parquet")
COLUMNS = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")
WINDOWS = ("1d", "7d", "30d")
BLOCKS: list[dict[str, Any]] = [
    {"features": ["weekend", "night"]},
    {"by": "CUSTOMER_ID", "windows": WINDOWS, "features": ["count", "mean TX_AMOUNT", "since last"]},
    {"by": "TERMINAL_ID", "windows": WINDOWS, "delay": "7d", "features": ["count", "risk"]},
]
GOAL_S, GOAL_GB, GOAL_US = 20, 3.0, 1000


def add(table: Path) -> pl.DataFrame:
    """The table in order of time, with the 15 columns."""
    frame = pl.read_parquet(table, columns=list(COLUMNS)).sort("TX_DATETIME", maintain_order=True)
    return History.of(BLOCKS).add(frame, "TX_DATETIME", labels(frame))


def labels(frame: pl.DataFrame) -> np.ndarray:
    """1 fraud, 0 none."""
    return frame["TX_FRAUD"].cast(pl.Float64).to_numpy()


def one_by_one(whole: pl.DataFrame, n_rows: int) -> list[float]:
    """Microseconds of each of the last `n_rows` updates. Raises `SystemExit` where one differs from the whole."""
    history = History.of(BLOCKS)
    before, rest = whole.head(-n_rows), whole.tail(n_rows)
    state = HistoryState.after(history, before, "TX_DATETIME", labels(before))
    took, found = [], []
    for row in rest.drop(history.names).iter_slices(1):
        start = time.perf_counter()
        found.append(state.update(row))
        took.append(1e6 * (time.perf_counter() - start))
    if not pl.concat(found).equals(rest):
        raise SystemExit("one by one gave other values than all at once")
    return took


def print_results(runs: list[Measured], updates_us: list[float]) -> None:
    """The table, and how the goals were met."""
    walls, peaks = [run.wall_s for run in runs], [run.peak_gb for run in runs]
    p50, p99 = np.percentile(updates_us, [50, 99])
    lines = [
        ["all at once, wall s", f"{median(walls):.1f}", spread(walls), f"{GOAL_S}"],
        ["all at once, peak memory, GB", f"{max(peaks):.2f}", spread(peaks, 2), f"{GOAL_GB:g}"],
        ["one row, µs, p50", f"{p50:.0f}", "", f"{GOAL_US}"],
        ["one row, µs, p99", f"{p99:.0f}", "", f"{GOAL_US}"],
    ]
    print_table(["history", "measured", "min–max", "goal, under"], lines)
    met = median(walls) < GOAL_S and max(peaks) < GOAL_GB and p99 < GOAL_US
    print(f"goals: {'met' if met else 'missed'}")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--once", type=Path, help="compute this table and end: what the processes do")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Compute, print, keep; skip where the data are not at hand."""
    options = parsed()
    if options.once:
        add(options.once)
        return
    table = Path(os.environ.get("ODDROW_DATA", ""), TABLE)
    if not os.environ.get("ODDROW_DATA") or not table.exists():
        print(f"Skipped: set ODDROW_DATA to a folder that holds {TABLE}.")
        return
    whole = add(table)
    facts = {**machine(), **versions("oddrow", "polars", "numpy")}
    print_heading(f"15 features of {whole.height:,} rows, {options.updates:,} updates", facts)
    once = [sys.executable, __file__, "--once", str(table)]
    runs = [measure(once, dict(os.environ)) for _ in range(options.repetitions)]
    updates_us = one_by_one(whole, options.updates)
    print_results(runs, updates_us)
    measured = {
        "runs": [vars(run) for run in runs],
        "updates_us": np.percentile(updates_us, [50, 90, 99, 100]).tolist(),
    }
    write_json(options.json, {"facts": facts, "blocks": BLOCKS, **measured})


if __name__ == "__main__":
    main()
