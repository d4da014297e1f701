"""What a few known anomalies are worth: average precision on the Handbook's test week and on ULB cards.

    python benchmarks/few_labels.py --data DIR

The same detector has no label at all, or 20, 100 or all frauds of the training rows are known, which it leaves out or
learns from (known_weight). All others stay among the training rows, as nobody knows them; trim may leave them out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.metrics.ranking import average_precision
from oddrow.recipes.prequential_runner import Transactions
from oddrow.recipes.recipe import load_recipe
from oddrow.table.table import Table

Floats = npt.NDArray[np.float64]
Rows = tuple[Table, Floats, Table, Floats, Floats | None]

KNOWN = (0, 20, 100, None)
CASES = ((0.0, 0.0), (0.0, 0.05), (10.0, 0.0), (10.0, 0.05))
CARDS_UNTIL, CARDS_WEIGHT = 84_550, 8.4929


def handbook(data: Path) -> Rows:
    """The book's first test week, without cards known to be compromised."""
    rows = Transactions.read(load_recipe("handbook"), data)
    fold = rows.fold("2018-07-25")
    table, y = rows.data.table, rows.data.y
    return table.take(fold.train), y[fold.train], table.take(fold.test), y[fold.test], None


def cards(data: Path) -> Rows:
    """ULB cards: the first day teaches, the second tests; normal rows of the test are a sample."""
    frame = pl.read_parquet(data / "creditcard_ulb" / "creditcard_union.parquet")
    frame = frame.filter((pl.col("Class") == 1) | pl.col("in_neg_random"))
    names = [*(f"V{column}" for column in range(1, 29)), "Amount"]
    first, second = frame.filter(pl.col("Time") < CARDS_UNTIL), frame.filter(pl.col("Time") >= CARDS_UNTIL)
    y, y_test = (part["Class"].to_numpy().astype(np.float64) for part in (first, second))
    parts = (Table.from_frame(part.select(names)) for part in (first, second))
    train, test = parts
    return train, y, test, y_test, np.where(y_test == 1, 1.0, CARDS_WEIGHT)


def measured(rows: Rows, seed: int) -> Iterator[tuple[str, float]]:
    """Every case and its average precision."""
    train, y, test, y_test, weight = rows
    frauds = np.random.default_rng(seed).permutation(np.flatnonzero(y == 1))
    for n_known in KNOWN:
        known = frauds[:n_known]
        labels = np.full(len(y), np.nan)
        labels[known] = 1
        for known_weight, trim in CASES if len(known) else CASES[:2]:
            detector = AutoencoderDetector(random_state=seed, known_weight=known_weight, trim=trim)
            scores = detector.fit(train, labels).anomaly_score(test)
            name = f"{len(known)} known, known_weight {known_weight:g}, trim {trim:g}"
            yield name, average_precision(y_test, scores, sample_weight=weight)


def main() -> None:
    """Print a table for each data set: mean and standard deviation over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for name, load in {"Handbook, test week": handbook, "ULB cards": cards}.items():
        rows = load(options.data)
        found: dict[str, list[float]] = {}
        for seed in range(options.seeds):
            for case, ap in measured(rows, seed):
                found.setdefault(case, []).append(ap)
        print(f"\n| {name} | AP |\n|---|---|")
        for case, values in found.items():
            print(
                f"| {case} | {np.mean(values):.3f} ± {np.std(values, ddof=min(1, len(values) - 1)):.3f} |", flush=True
            )


if __name__ == "__main__":
    main()
