"""The README's four runs, over several seeds: fit and evaluate as the command line does, mean ± sd of each number.

python benchmarks/prepare_tables.py && python benchmarks/main_job.py [--seeds 3] [--only creditcard]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from oddrow import Settings, workflow

HANDBOOK_UNUSED = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_TIME_SECONDS,TX_TIME_DAYS,TX_FRAUD_SCENARIO"

RUNS: dict[str, dict[str, Any]] = {
    "creditcard": {
        "train": "creditcard",
        "test": "creditcard",
        "fit": {"label": "Class", "time": "Time", "until": "84550", "weight": "weight"},
        "evaluate": {"start": "84550", "weight": "weight"},
    },
    "kdd99": {
        "train": "kdd99-train",
        "test": "kdd99-test",
        "fit": {"label": "label", "anomaly": "normal."},
        "evaluate": {},
    },
    "ecg": {"train": "ecg-train", "test": "ecg-test", "fit": {"label": "140", "anomaly": "0"}, "evaluate": {}},
    "handbook": {
        "train": "handbook",
        "test": "handbook",
        "fit": {
            "label": "TX_FRAUD",
            "time": "TX_DATETIME",
            "from": "2018-07-25",
            "until": "2018-08-01",
            "drop": HANDBOOK_UNUSED,
        },
        "evaluate": {"start": "2018-08-08", "until": "2018-08-15"},
    },
}


def evaluations(name: str, tables: Path, seeds: range) -> Iterator[dict[str, Any]]:
    """Fit and evaluate once for each seed, with what stands beside; then the autoencoder, of which that is the same."""
    run = RUNS[name]
    train, test = (str(tables / f"{run[part]}.parquet") for part in ("train", "test"))
    for seed in seeds:
        for detector in ("oddrow", "autoencoder"):
            options = {**run["fit"], "detector.name": detector, "seed": seed}
            with tempfile.TemporaryDirectory() as folder:
                workflow.fit(train, f"{folder}/model", Settings.gather(options=options))
                found = workflow.evaluate(test, f"{folder}/model", **run["evaluate"]).to_dict()
            yield found if detector == "oddrow" else {**found, "results": found["results"][:1]}


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Mean ± sd over the seeds of each number of each detector."""
    numbers: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for result in run["results"]:
            for number in ("average_precision", "auroc", "precision", "recall", "f1"):
                numbers[result["name"]][number].append(result[number])
    return {
        name: {
            number: f"{np.mean(values):.3f} ± {np.std(values, ddof=min(1, len(values) - 1)):.3f}"
            for number, values in of_name.items()
        }
        for name, of_name in numbers.items()
    }


def main() -> None:
    """Print a Markdown table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=Path("tables"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=RUNS)
    asked = parser.parse_args()
    for name in [asked.only] if asked.only else RUNS:
        runs = list(evaluations(name, asked.tables, range(asked.seeds)))
        rows, anomalies, rate = (runs[0][key] for key in ("n_rows", "n_anomalies", "rate"))
        print(f"\n{name}: {rows:,} test rows, {anomalies:,} anomalies ({rate:.2%}), {asked.seeds} seeds\n")
        print("| | AP | AUROC | precision | recall | F1 |\n|---|---|---|---|---|---|")
        for detector, numbers in summary(runs).items():
            print(f"| {detector} | {' | '.join(numbers.values())} |", flush=True)


if __name__ == "__main__":
    main()
