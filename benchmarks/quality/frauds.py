"""The default detector on card frauds: a case-control sample of real ones, simulated ones.

cd benchmarks && python -m quality.frauds --tables ../tables [--json results/quality-frauds.json] [--seeds 3]

The tables are those of prepare_tables.py. Cards: the first day's normal rows are learned from, the second day tested,
normal rows count 8.49 each. Handbook: a week teaches, the week after next tests, as the recipe `handbook` does it; here
nothing is known of any fraud, and cards known to be compromised by then are left out of the test.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

from oddrow import AutoencoderDetector, OddRowDetector, Settings, workflow
from oddrow.metrics.daily import card_precision_at_k
from oddrow.metrics.ranking import auroc, average_precision
from oddrow.recipes.prequential_runner import Transactions
from oddrow.recipes.recipe import load_recipe
from race import machine, table, versions, write_json

K = 100
CARDS = {"label": "Class", "time": "Time", "until": "84550", "weight": "weight"}
WEEK = "2018-07-11"
Line = dict[str, Any]


def cards(tables: Path, seed: int) -> Iterator[Line]:
    """Average precision and AUROC of both detectors, weighted."""
    rows = str(tables / "creditcard.parquet")
    for detector in ("oddrow", "autoencoder"):
        with TemporaryDirectory() as folder:
            settings = Settings.gather(options={**CARDS, "detector.name": detector, "seed": seed})
            workflow.fit(rows, f"{folder}/model", settings)
            found = workflow.evaluate(rows, f"{folder}/model", start="84550", weight="weight").results[0]
        yield {"data": "cards", "detector": found.name, "ap": found.average_precision, "auroc": found.auroc}


def handbook(seed: int) -> Iterator[Line]:
    """The same and card precision of a week, without labels."""
    recipe = load_recipe("handbook")
    rows = Transactions.read(recipe, Path(os.environ["ODDROW_DATA"], "fraud_detection_handbook"))
    fold = rows.fold(WEEK)
    train, test = (rows.data.table.take(part) for part in (fold.train, fold.test))
    known = rows.data.outcomes.take(fold.test)
    y, day, card = known.labels, known.day, known.entity
    assert day is not None
    assert card is not None
    for new in (OddRowDetector, AutoencoderDetector):
        scores = new(random_state=seed).fit(train).anomaly_score(test)
        yield {
            "data": "handbook",
            "detector": new.__name__,
            "ap": average_precision(y, scores),
            "auroc": auroc(y, scores),
            "card_precision": card_precision_at_k(y, scores, day=day, entity=card, k=K).mean,
        }


def section(results: dict[str, Any]) -> str:
    """The table of the page."""
    lines = results["lines"]
    runs = list(dict.fromkeys((line["data"], line["detector"]) for line in lines))
    shown = [
        [
            data,
            detector,
            *(
                _mean([line.get(name) for line in lines if (line["data"], line["detector"]) == (data, detector)])
                for name in ("ap", "auroc", "card_precision")
            ),
        ]
        for data, detector in runs
    ]
    return table(["data", "detector", "AP", "AUROC", f"CP@{K}"], shown)


def _mean(values: list[Any]) -> str:
    if None in values:
        return ""
    return f"{fmean(values):.3f} ± {stdev(values) if len(values) > 1 else 0:.3f}"


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=Path("..", "tables"))
    parser.add_argument("--json", type=Path, default=Path("results", "quality-frauds.json"))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    lines = [line for seed in range(asked.seeds) for line in (*cards(asked.tables, seed), *handbook(seed))]
    results = {"facts": {**machine(), **versions("oddrow", "jax")}, "lines": lines}
    print(section(results))
    write_json(asked.json, results)


if __name__ == "__main__":
    main()
