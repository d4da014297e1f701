"""Measure oddrow's detectors on the tables, and add a line for each run to a file.

cd benchmarks && python -m quality.measure [--setting A|B] [--csv results/quality.csv] [--seeds 3]

Runs that are in the file already are not repeated. Both settings, one after the other, take an hour on two cores; side
by side, in two files or in one, half as long.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from quality.contestants import contestants
from quality.sets import SETTINGS, divided, names

FIELDS = (
    "setting",
    "dataset",
    "n_train",
    "n_test",
    "d",
    "anomalies",
    "seed",
    "detector",
    "auroc",
    "ap",
    "f1",
    "fit_s",
    "score_s",
)


def measured(setting: str, dataset: str, seed: int) -> Iterator[dict[str, Any]]:
    """A line for every contestant."""
    rows = divided(dataset, setting, seed)
    about = {
        "setting": setting,
        "dataset": dataset,
        "n_train": len(rows.train),
        "n_test": len(rows.test),
        "d": rows.train.shape[1],
        "anomalies": int(rows.y.sum()),
        "seed": seed,
    }
    for found in contestants(setting, seed, rows.train, rows.test):
        seconds = {"fit_s": round(found.fit_s, 3), "score_s": round(found.score_s, 3)}
        yield {**about, "detector": found.name, **_numbers(rows.y, found.scores), **seconds}


def _numbers(y: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> dict[str, float]:
    numbers = {
        "auroc": roc_auc_score(y, scores),
        "ap": average_precision_score(y, scores),
        "f1": _f1_of_as_many(y, scores),
    }
    return {name: round(float(number), 6) for name, number in numbers.items()}


def _f1_of_as_many(y: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
    """F1 where as many rows are flagged as there are anomalies; of rows that tie at the cut some, as chance has it."""
    n_odd = int(y.sum())
    cut = np.partition(scores, len(scores) - n_odd)[len(scores) - n_odd]
    above, tied = scores > cut, scores == cut
    hits: float = y[above].sum() + (n_odd - above.sum()) * y[tied].mean()
    return hits / n_odd


def read(path: Path) -> list[dict[str, str]]:
    """The lines of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Lines at the end of a file, which begins with the names of its fields."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if is_new:
            writer.writeheader()
        writer.writerows(lines)


def main() -> None:
    """Measure whatever is not in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=SETTINGS, help="one of the two alone")
    parser.add_argument("--csv", type=Path, default=Path("results", "quality.csv"))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    done = {(line["setting"], line["dataset"], int(line["seed"])) for line in read(asked.csv)}
    for setting in SETTINGS if asked.setting is None else [asked.setting]:
        for dataset in names():
            for seed in range(asked.seeds):
                if (setting, dataset, seed) not in done:
                    lines = list(measured(setting, dataset, seed))
                    add(asked.csv, lines)
                    print(SETTINGS[setting], dataset, seed, lines[0]["ap"], f"{lines[0]['fit_s']} s", flush=True)


if __name__ == "__main__":
    main()
